//! The selection language, for a box that completes and refuses as one types.

use std::collections::BTreeSet;

use arrowsmith_definitions::{Resolved, Selection};
use axum::Json;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Answer;
use crate::Web;

/// How many completions are told.
const COMPLETIONS: usize = 20;
/// What words of a selection end at.
const ENDS: &[char] = &[' ', '(', ')', '+', '*', ','];
const ATTRIBUTES: [&str; 6] = ["key:", "tag:", "owner:", "group:", "kind:", "is:"];

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Asked {
    /// The selection.
    text: String,
    /// Where the cursor is, in bytes; completions are told if it is given.
    cursor: Option<usize>,
}

/// What a selection selects, or what is wrong with it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Selected {
    /// How many assets; none if it is wrong.
    count: Option<usize>,
    /// What is wrong with it.
    error: Option<String>,
    /// The bytes of the text that are wrong.
    range: Option<[usize; 2]>,
    /// Where the word begins that is completed.
    from: usize,
    /// What it may become.
    completions: Vec<String>,
}

/// Looks at a selection while it is typed.
#[utoipa::path(get, path = "/selection", params(Asked), responses((status = 200, body = Selected)))]
pub(crate) async fn selection(
    State(web): State<Web>,
    Query(asked): Query<Asked>,
) -> Answer<Selected> {
    let engine = web.engine()?;
    let (from, completions) = match asked.cursor {
        Some(cursor) => completions(&engine.resolved, &asked.text, cursor),
        None => (0, Vec::new()),
    };
    let parsed = match asked.text.trim() {
        "" => Ok(Selection::all()),
        text => text.parse::<Selection>(),
    };
    let selected = parsed.and_then(|parsed| parsed.evaluate(&engine.resolved));
    Ok(Json(match selected {
        Ok(keys) => {
            Selected { count: Some(keys.len()), error: None, range: None, from, completions }
        }
        Err(error) => {
            let near = error.nearest.map_or(String::new(), |n| format!("; did you mean `{n}`?"));
            let message = format!("{}{near}", error.message);
            let range = Some([error.range.start, error.range.end]);
            Selected { count: None, error: Some(message), range, from, completions }
        }
    }))
}

fn completions(resolved: &Resolved, text: &str, cursor: usize) -> (usize, Vec<String>) {
    let before = text.get(..cursor).unwrap_or(text);
    let from = before.rfind(ENDS).map_or(0, |at| at + 1);
    let word = before[from..].to_lowercase();
    let attributes = resolved.assets.values().map(|of| &of.asset.attributes);
    let mut found: BTreeSet<String> = BTreeSet::new();
    match word.split_once(':') {
        Some(("group", _)) => found.extend(attributes.filter_map(|of| of.group.clone())),
        Some(("owner", _)) => found.extend(attributes.flat_map(|of| of.owners.clone())),
        Some(("kind", _)) => found.extend(attributes.flat_map(|of| of.kinds.clone())),
        Some(("tag", _)) => found.extend(attributes.flat_map(|of| {
            of.tags.iter().map(|(name, value)| match value.as_str() {
                "" => name.clone(),
                value => format!("{name}={value}"),
            })
        })),
        Some(("is", _)) => found.extend(["external", "materializable"].map(str::to_owned)),
        _ => found.extend(resolved.assets.keys().map(ToString::to_string)),
    }
    let (prefix, rest) = match word.split_once(':') {
        Some((name, rest)) => (format!("{name}:"), rest.to_owned()),
        None => (String::new(), word.clone()),
    };
    let mut matching: Vec<String> = Vec::new();
    if prefix.is_empty() {
        let fitting = ATTRIBUTES.iter().filter(|name| name.starts_with(word.as_str()));
        matching.extend(fitting.map(|name| (*name).to_owned()));
    }
    let mut fitting: Vec<String> =
        found.into_iter().filter(|name| name.to_lowercase().contains(&rest)).collect();
    // What begins with the word is more likely to be meant.
    fitting.sort_by_key(|name| !name.to_lowercase().starts_with(&rest));
    let quoted = |name: String| {
        let is_plain = !name.contains(ENDS) && !name.contains(':');
        if is_plain { format!("{prefix}{name}") } else { format!("{prefix}\"{name}\"") }
    };
    matching.extend(fitting.into_iter().map(quoted));
    matching.truncate(COMPLETIONS);
    (from, matching)
}
