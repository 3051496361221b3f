//! `*.sql.jinja`: SQL that is written by a template, for what typed variables cannot say.
//!
//! The rendered text is a file of the home, so that an error in it has a place that can be looked
//! at. Templates see the variables of the project as `var` and nothing of the machine.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, Code, Diagnostic, Place, nearest};
use minijinja::value::{Serde, Value};
use minijinja::{Environment, ErrorKind, UndefinedBehavior, context};

use crate::Variables;

/// Steps of rendering, so that no loop goes on for ever.
const FUEL: u64 = 10_000_000;

/// Renders a template; an error has its place in the template.
pub(crate) fn render(
    file: &Arc<Path>,
    template: &str,
    variables: &Variables,
) -> Result<String, Diagnostic> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_fuel(Some(FUEL));
    let name = file.display().to_string();
    let values = context! { var => Value::from(Serde(variables)) };
    let rendered = environment.template_from_named_str(&name, template);
    let rendered = rendered.and_then(|template| template.render(values));
    rendered.map_err(|error| problem(file, template, variables, &error))
}

fn problem(
    file: &Arc<Path>,
    template: &str,
    variables: &Variables,
    error: &minijinja::Error,
) -> Diagnostic {
    let place = match error.range() {
        Some(range) => Place::in_text(file, template, range),
        None => Place::point(&**file, error.line().unwrap_or(1), 1),
    };
    let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let refuse = |message: &str| Diagnostic::error(Code::Template, message).at(place.clone());
    match error.kind() {
        ErrorKind::OutOfFuel => refuse("the template does not come to an end"),
        ErrorKind::UndefinedError => {
            let name = detail.split('`').nth(1).and_then(|name| name.strip_prefix("var."));
            let near = name.and_then(|name| nearest(name, variables.names()));
            let undefined = refuse(&detail);
            match near {
                Some(near) => undefined.did_you_mean(Some(format!("var.{near}"))),
                None => undefined.help("variables of `[vars]` are `{{ var.NAME }}` in a template"),
            }
        }
        _ => refuse(&detail),
    }
}

/// Where the rendered text of an asset stands.
pub(crate) fn compiled_path(home: &Path, key: &AssetKey) -> PathBuf {
    home.join("compiled").join(format!("{}.sql", key.table_path()))
}

/// Writes the rendered text, unless it stands there already.
pub(crate) fn write_compiled(path: &Path, text: &str) -> std::io::Result<()> {
    if std::fs::read(path).is_ok_and(|written| written == text.as_bytes()) {
        return Ok(());
    }
    std::fs::create_dir_all(path.parent().unwrap_or(path))?;
    std::fs::write(path, text)
}
