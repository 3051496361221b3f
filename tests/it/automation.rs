//! Conditions of assets: what they ask for as things happen, evaluation by evaluation.

use std::sync::Arc;

use arrowsmith::daemon::Daemon;
use arrowsmith::execution::Silent;
use arrowsmith::instance::EvaluationNode;
use arrowsmith::prelude::*;
use arrowsmith::{AutomationCondition, Definitions};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use crate::schedules::{SetClock, daemon};
use crate::support::{folder, materialize};

struct Place {
    _home: TempDir,
    clock: SetClock,
    daemon: Daemon,
}

impl Place {
    async fn new(assets: impl Definitions) -> Self {
        let (home, clock) = (folder(), SetClock::at("2026-01-03T00:00:00Z"));
        let repository = Repository::new("test").with(assets);
        let daemon = daemon(&repository, home.path(), &clock).await;
        Self { _home: home, clock, daemon }
    }

    /// A minute later: what is asked for, and done at once.
    async fn evaluate(&self) -> Vec<String> {
        let asked = self.ask().await;
        let engine = self.daemon.engine().expect("an engine");
        for run in self.daemon.instance().queue().await.expect("a queue") {
            let done =
                engine.run_queued(run.run_id, CancellationToken::new(), Arc::new(Silent)).await;
            done.expect("a run");
        }
        asked
    }

    /// A minute later: what is asked for, and waits.
    async fn ask(&self) -> Vec<String> {
        self.clock.add(60);
        assert!(self.daemon.lead().await.expect("a lead"));
        self.daemon.tick_automation().await.expect("conditions");
        let queue = self.daemon.instance().queue().await.expect("a queue");
        let Some(launch) = queue.last().and_then(|run| run.launch.clone()) else {
            return Vec::new();
        };
        let keys = launch
            .selection
            .split(" or ")
            .map(|key| key.trim_start_matches("key:").replace('"', ""));
        keys.map(|key| match launch.partitions_of.get(&key) {
            Some(set) => format!("{key}[{set}]"),
            None => key,
        })
        .collect()
    }

    async fn materialize(&self, selection: &str, partitions: Option<&str>) {
        materialize(&self.daemon, selection, partitions, &[]).await;
    }

    async fn materialize_with(&self, selection: &str, tags: &[(&str, &str)]) {
        materialize(&self.daemon, selection, None, tags).await;
    }
}

fn asset(key: &str, front: &str, sql: &str) -> impl Definitions + use<> {
    sql_asset(key, &format!("/* +++\n{front}\n+++ */ {sql}"))
}

const NOTHING: [&str; 0] = [];

#[tokio::test]
async fn eager_follows_what_it_reads_as_soon_as_all_of_it_is_there() {
    let place = Place::new(
        Repository::new("")
            .with(asset("a", "", "select 1 as n"))
            .with(asset("b", "", "select 2 as n"))
            .with(asset("c", "automation = \"eager()\"", "select a.n + b.n as n from a, b"))
            .with(asset("d", "automation = \"eager\"", "select n from c")),
    )
    .await;
    assert_eq!(place.evaluate().await, NOTHING, "what was missing before is not made up for");
    place.materialize("a", None).await;
    assert_eq!(place.evaluate().await, NOTHING, "`b` is missing");
    place.materialize("b", None).await;
    assert_eq!(place.evaluate().await, ["c", "d"], "downstream in the same run");
    assert_eq!(place.evaluate().await, NOTHING);
    place.materialize("a", None).await;
    assert_eq!(place.ask().await, ["c", "d"]);
    place.materialize("b", None).await;
    let queued = place.daemon.instance().queue().await.expect("a queue").len();
    place.ask().await;
    let queue = place.daemon.instance().queue().await.expect("a queue");
    assert_eq!(queue.len(), queued, "what waits or goes on is not asked for again");
    // A run that makes all of it itself leaves nothing to ask for.
    place.evaluate().await;
    place.evaluate().await;
    place.materialize("a or b or c or d", None).await;
    assert_eq!(place.evaluate().await, NOTHING);
}

#[tokio::test]
async fn on_cron_waits_for_the_tick_and_then_for_all_that_it_reads() {
    let place = Place::new(Repository::new("").with(asset("a", "", "select 1 as n")).with(asset(
        "b",
        "automation = 'on_cron(\"0 * * * *\", \"Europe/Berlin\")'",
        "select n from a",
    )))
    .await;
    place.materialize("a", None).await;
    assert_eq!(place.evaluate().await, NOTHING);
    place.materialize("a", None).await;
    assert_eq!(place.evaluate().await, NOTHING, "no tick has passed");
    place.clock.set("2026-01-03T01:00:00Z");
    assert_eq!(place.evaluate().await, NOTHING, "`a` is older than the tick");
    place.materialize("a", None).await;
    assert_eq!(place.evaluate().await, ["b"]);
    place.materialize("a", None).await;
    assert_eq!(place.evaluate().await, NOTHING, "once for each tick");
}

#[tokio::test]
async fn on_missing_makes_what_comes_to_be_missing() {
    let day =
        "partitions = { daily = \"2026-01-01\", column = \"day\", backfill = \"per_partition\" }";
    let place = Place::new(
        Repository::new("")
            .with(asset("days", day, "select cast($partition_start as date) as day"))
            .with(asset(
                "more",
                &format!("{day}\nautomation = \"on_missing()\""),
                "select day from days",
            )),
    )
    .await;
    assert_eq!(place.evaluate().await, NOTHING, "gaps from before stay");
    place.clock.set("2026-01-04T00:00:00Z");
    assert_eq!(place.evaluate().await, NOTHING, "what it reads is missing");
    place.materialize("days", Some("2026-01-02...2026-01-03")).await;
    assert_eq!(place.evaluate().await, ["more[2026-01-03]"], "the newest window only");
    assert_eq!(place.evaluate().await, NOTHING);
}

#[tokio::test]
async fn eager_partitions_follow_their_own_parents() {
    let day =
        "partitions = { daily = \"2026-01-01\", column = \"day\", backfill = \"per_partition\" }";
    let condition =
        "automation = \"any_deps_updated().since_last_handled() & ~any_deps_missing()\"";
    let place = Place::new(
        Repository::new("")
            .with(asset("days", day, "select cast($partition_start as date) as day"))
            .with(asset("more", &format!("{day}\n{condition}"), "select day from days"))
            .with(asset("all", "automation = \"eager()\"", "select count(*) as n from more")),
    )
    .await;
    place.evaluate().await;
    place.materialize("days", Some("2026-01-01")).await;
    // Not all days of `more` are there, so the sum over them waits.
    assert_eq!(place.evaluate().await, ["more[2026-01-01]"]);
    place.materialize("days", Some("2026-01-02")).await;
    assert_eq!(place.evaluate().await, ["all", "more[2026-01-02]"]);
}

#[tokio::test]
async fn what_failed_and_what_changed_can_be_asked_for() {
    let place = Place::new(
        Repository::new("")
            .with(asset(
                "a",
                "automation = \"execution_failed() & ~newly_requested()\"",
                "select cast('x' || n as int) as n from b",
            ))
            .with(asset("b", "", "select 1 as n")),
    )
    .await;
    place.materialize("b", None).await;
    place.evaluate().await;
    place.materialize("a", None).await;
    assert_eq!(place.evaluate().await, ["a"]);
    assert_eq!(place.evaluate().await, NOTHING, "it was asked for a moment ago");
    assert_eq!(place.evaluate().await, ["a"]);
}

#[tokio::test]
async fn what_is_read_is_looked_at_as_far_as_a_condition_says() {
    let place = Place::new(
        Repository::new("")
            .with(asset("fast", "", "select 1 as n"))
            .with(asset("slow", "tags = { speed = \"slow\" }", "select 1 as n"))
            .with(asset(
                "all",
                "automation = 'eager().ignore(\"tag:speed=slow\")'",
                "select f.n + s.n as n from fast f, slow s",
            ))
            .with(asset(
                "some",
                "automation = 'eager().replace(\"any_deps_updated\", any_deps_match(newly_updated()).allow(\"slow\"))'",
                "select f.n + s.n as n from fast f, slow s",
            )),
    )
    .await;
    assert_eq!(place.evaluate().await, NOTHING, "what they read is missing");
    place.materialize("fast or slow", None).await;
    assert_eq!(place.evaluate().await, ["all", "some"]);
    place.materialize("slow", None).await;
    assert_eq!(place.evaluate().await, ["some"]);
    place.materialize("fast", None).await;
    assert_eq!(place.evaluate().await, ["all"]);
    assert_eq!(place.evaluate().await, NOTHING);
}

#[tokio::test]
async fn an_update_between_the_tick_and_the_next_look_counts() {
    let place = Place::new(Repository::new("").with(asset("a", "", "select 1 as n")).with(asset(
        "b",
        "automation = 'on_cron(\"0 6 * * *\")'",
        "select n from a",
    )))
    .await;
    place.clock.set("2026-01-03T05:58:30Z");
    assert_eq!(place.evaluate().await, NOTHING);
    // Before the tick it is too early; after it, it counts although nobody has looked meanwhile.
    place.materialize("a", None).await;
    place.clock.set("2026-01-03T05:59:30Z");
    assert_eq!(place.evaluate().await, NOTHING);
    place.clock.set("2026-01-04T05:59:50Z");
    assert_eq!(place.evaluate().await, NOTHING, "not updated since the tick");
    place.clock.set("2026-01-05T06:00:10Z");
    place.materialize("a", None).await;
    assert_eq!(place.evaluate().await, ["b"]);
    assert_eq!(place.evaluate().await, NOTHING);
}

#[tokio::test]
async fn the_tags_of_the_runs_that_have_updated_it_can_be_asked_for() {
    let place = Place::new(
        Repository::new("")
            .with(asset("source", "", "select 1 as n"))
            .with(asset(
                "any",
                "automation = 'any_deps_match(any_new_update_has_run_tags(\"team=a\"))'",
                "select n from source",
            ))
            .with(asset(
                "every",
                "automation = 'any_deps_match(all_new_updates_have_run_tags(\"team\"))'",
                "select n from source",
            )),
    )
    .await;
    place.evaluate().await;
    place.materialize_with("source", &[("team", "a")]).await;
    assert_eq!(place.evaluate().await, ["any", "every"]);
    place.materialize_with("source", &[("team", "b")]).await;
    assert_eq!(place.evaluate().await, ["every"]);
    place.materialize_with("source", &[("team", "a")]).await;
    place.materialize_with("source", &[]).await;
    assert_eq!(place.evaluate().await, ["any"]);
}

#[tokio::test]
async fn another_asset_and_the_run_that_made_it_can_be_asked_for() {
    let place =
        Place::new(Repository::new("").with(asset("flag", "", "select 1 as n")).with(asset(
            "b",
            "automation = 'asset_matches(\"flag\", executed_with_tags(\"go\").newly_true())'",
            "select 2 as n",
        )))
        .await;
    place.evaluate().await;
    place.materialize_with("flag", &[]).await;
    assert_eq!(place.evaluate().await, NOTHING);
    place.materialize_with("flag", &[("go", "yes")]).await;
    assert_eq!(place.evaluate().await, ["b"]);
    assert_eq!(place.evaluate().await, NOTHING, "it still was, and is not newly so");
    place.materialize_with("flag", &[]).await;
    assert_eq!(place.evaluate().await, NOTHING);
    place.materialize_with("flag", &[("go", "again")]).await;
    assert_eq!(place.evaluate().await, ["b"]);
}

#[tokio::test]
async fn checks_that_hold_can_be_waited_for() {
    let place = Place::new(
        Repository::new("").with(asset("n", "[checks]\nnot_null = [\"n\"]", "select 1 as n")).with(
            asset(
                "sum",
                "automation = \"any_deps_match(newly_updated() & check_passed())\"",
                "select n from n",
            ),
        ),
    )
    .await;
    place.evaluate().await;
    assert_eq!(place.evaluate().await, NOTHING);
    place.materialize("n", None).await;
    assert_eq!(place.evaluate().await, ["sum"]);
}

fn told(node: &EvaluationNode, depth: usize, text: &mut String) {
    text.push_str(&format!("{}{} {}\n", "  ".repeat(depth), node.count, node.name));
    for child in &node.children {
        told(child, depth + 1, text);
    }
}

#[tokio::test]
async fn each_evaluation_that_comes_to_something_else_is_remembered_as_a_tree() {
    let place = Place::new(Repository::new("").with(asset("a", "", "select 1 as n")).with(asset(
        "b",
        "automation = \"eager()\"",
        "select n from a",
    )))
    .await;
    let instance = place.daemon.instance().clone();
    let trees = async || instance.evaluations("b", 100).await.expect("evaluations").len();
    for _ in 0..3 {
        place.evaluate().await;
    }
    assert_eq!(trees().await, 2, "the first, and what it is without it");
    place.materialize("a", None).await;
    place.ask().await;
    let evaluated = instance.evaluations("b", 1).await.expect("evaluations").remove(0);
    let mut text = String::new();
    told(&evaluated.came_to.tree, 0, &mut text);
    insta::assert_snapshot!(text);
}

#[test]
fn conditions_are_read_as_they_are_written() {
    let same = [
        "missing()",
        "in_progress() | missing() & ~newly_updated()",
        "any_deps_match(missing() & ~will_be_requested()).since(newly_requested()).newly_true()",
        "in_latest_time_window(\"259200s\") & cron_tick_passed(\"0 6 * * *\", \"Europe/Berlin\")",
        "all_deps_match(newly_updated()).with_label(\"all new\")",
        "any_deps_match(missing()).allow(\"tag:slow\").ignore('key:\"a\"').newly_true()",
        "asset_matches(\"a.b\", missing()) & executed_with_tags(\"team\")",
        "check_passed() & freshness_passed() | freshness_warned()",
        "any_new_update_has_run_tags(\"team=a\", \"by\") & all_new_updates_have_run_tags(\"by\")",
    ];
    for text in same {
        let condition: AutomationCondition = text.parse().expect(text);
        let again: AutomationCondition = condition.to_string().parse().expect(text);
        assert_eq!(condition, again);
    }
    let wrong = |text: &str| {
        let error = text.parse::<AutomationCondition>().expect_err(text);
        (error.message, text[error.range].to_owned(), error.nearest)
    };
    let near = |name: &str| Some(name.to_owned());
    assert_eq!(
        wrong("eagre()"),
        ("there is no condition `eagre`".into(), "eagre".into(), near("eager"))
    );
    assert_eq!(wrong("missing().sinc(missing())").2, near("since"));
    assert_eq!(
        wrong("missing() & "),
        ("a name such as `eager` was expected".into(), String::new(), None)
    );
    assert_eq!(wrong("missing() missing()").0, "an end or an operator was expected");
    assert_eq!(wrong("(missing()").0, "`)` was expected");
    assert_eq!(wrong("on_cron(\"0 25 * * *\")").1, "\"0 25 * * *\"");
    assert_eq!(wrong("on_cron(\"0 6 * * *\", \"Mars\")").0, "there is no time zone `Mars`");
    assert_eq!(wrong("missing(\"x\")").0, "`missing` takes nothing in its parentheses");
    assert_eq!(
        wrong("missing().ignore(\"x\")").0,
        "`ignore` is about what is read, which this condition does not ask"
    );
    assert_eq!(
        wrong("eager().replace(\"any_deps_missng\", missing())").0,
        "what `replace` names is not in the condition"
    );
    assert_eq!(wrong("all_new_updates_have_run_tags()").1, "all_new_updates_have_run_tags");
    assert_eq!(wrong(&"(".repeat(100)).0, "the condition is nested too deeply");
    assert_eq!(wrong(&"~".repeat(1000)).0, "the condition is nested too deeply");
}
