//! The concepts, part by part: an op with config, one graph used three ways, assets, an IO manager
//! of one's own, and jobs.
//!
//! ```sh
//! cargo run --example concepts -- job run greeting --set ops.context_op.config.name=ada
//! cargo run --example concepts -- job run linear
//! cargo run --example concepts -- materialize '+report'
//! ```

mod json_lines;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;

use arrowsmith::prelude::*;
use arrowsmith::{BoxError, Secret};
use json_lines::JsonLines;
use schemars::JsonSchema;
use serde::Deserialize;

/// How somebody is greeted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Greeting {
    /// Who is greeted.
    name: String,
    /// How often.
    #[serde(default = "once")]
    times: u32,
    /// In which voice.
    #[serde(default)]
    voice: Voice,
    /// Words by language.
    #[serde(default)]
    words: BTreeMap<String, String>,
    /// Whom to leave out.
    #[serde(default)]
    except: Vec<String>,
    /// What opens the door; it is shown nowhere.
    password: Option<Secret<String>>,
    /// Where the greeting goes: exactly one of them.
    to: Option<Target>,
}

fn once() -> u32 {
    1
}

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Voice {
    #[default]
    Plain,
    Loud,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Target {
    File { path: String },
    Mail { address: String },
}

/// Greets somebody by name: an op that looks at its context and configuration.
#[op]
fn context_op(context: OpContext, config: Config<Greeting>) -> String {
    let to = match &config.to {
        Some(Target::File { path }) => format!("the file {path}"),
        Some(Target::Mail { address }) => format!("mail to {address}"),
        None => "standard output".to_owned(),
    };
    context.log().with("name", config.name.clone()).with("to", to).info("greeting somebody");
    if config.except.contains(&config.name) {
        return "nobody is greeted".to_owned();
    }
    let word = config.words.get("en").map_or("hello", String::as_str);
    let known = config.password.as_ref().is_some_and(|password| !password.reveal().is_empty());
    let word = if known { "welcome back" } else { word };
    let mark = if matches!(config.voice, Voice::Loud) { "!" } else { "." };
    format!("{word}, {}{mark} ", config.name).repeat(config.times as usize)
}

#[graph]
fn greeting() -> Handle<String> {
    context_op()
}

#[op]
fn return_one() -> i64 {
    1
}

#[op]
fn add_one(n: i64) -> i64 {
    n + 1
}

/// One, and three more: directly in a job, in another graph, and behind an asset.
#[graph]
fn linear() -> Handle<i64> {
    add_one(add_one(add_one(return_one())))
}

#[op]
fn total(numbers: Vec<i64>) -> i64 {
    numbers.iter().sum()
}

/// A graph that holds `linear` twice.
#[graph]
fn nested() -> Handle<i64> {
    total(vec![linear(), add_one(linear())])
}

/// An asset of one row with an upstream asset of the name of its parameter.
#[derive(Columns)]
struct Number {
    item: i64,
}

/// What the graph behind `four` has computed, doubled; stored as JSON lines.
#[asset(io_manager = "json")]
fn report(four: Table<Number>) -> Vec<Number> {
    four.rows().map(|row| Number { item: row.item * 2 }).collect()
}

/// A connection that is made for a run and closed after it.
struct Connection {
    url: String,
}

#[derive(Deserialize, JsonSchema)]
struct ConnectionConfig {
    /// Where the database is.
    url: String,
}

impl ResourceType for Connection {
    type Config = ConnectionConfig;

    async fn setup(config: ConnectionConfig, _others: &Resources) -> Result<Self, BoxError> {
        Ok(Self { url: config.url })
    }
}

#[op]
fn ask(connection: Resource<Connection>) -> String {
    format!("asked {}", connection.url)
}

#[graph]
fn asking() -> Handle<String> {
    ask()
}

fn main() -> ExitCode {
    let four = "four".parse().expect("a key");
    arrowsmith::main(
        Repository::new("concepts")
            .with(Job::from_graph(greeting::graph()).with_description("Greets somebody."))
            .with(Job::from_graph(linear::graph()))
            .with(Job::from_graph(nested::graph()))
            .with(Job::from_graph(asking::graph()))
            .with(Job::from_assets("reports", "+report"))
            .with(Asset::from_single_output(four, linear::graph()))
            .with(assets![report])
            .with_default_io_manager("default")
            .with_io_manager("json", Arc::new(JsonLines { folder: "json".into() }))
            .with_resource("connection", ResourceDefinition::new::<Connection>()),
    )
}
