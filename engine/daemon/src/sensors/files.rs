//! Sensors of files: objects of a store that are new or have changed.
//!
//! The cursor holds a short hash of each object that is there. Objects that are there when the sensor
//! looks for the first time are known; from then on a new or changed one asks for a run of the
//! partitions in the paths of all that have changed, which computes just what is not fresh.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use arrowsmith_definitions::{FileSensor, RunRequest, SensorResult};
use arrowsmith_io_manager::{Durability, Store};
use futures::TryStreamExt;
use object_store::{ObjectMeta, ObjectStore};
use regex::Regex;

use super::Sighting;
use crate::request::exactly;

/// Objects by their path, each with what tells it from another of the same path.
type Objects = BTreeMap<String, String>;

/// A file that was changed a moment ago may still be written.
const SETTLED_MICROS: i64 = 2_000_000;
/// Digits of a hash that tell one state of an object from another.
const DIGITS: usize = 12;

impl Sighting<'_> {
    pub(super) async fn files(&self, of: &FileSensor) -> Result<SensorResult, String> {
        let root = self.engine.resolved.root.clone().unwrap_or_default();
        let pattern = Pattern::parse(&of.files)?;
        let found = list(&pattern, &root).await?;
        let Some(before) = &self.cursor else {
            let reason = format!("{} files are there; it sees what comes from now on", found.len());
            let states: BTreeMap<_, _> =
                found.into_iter().map(|(path, (state, _))| (path, state)).collect();
            return Ok(SensorResult::skip(reason).with_cursor(text(&states)));
        };
        let before: Objects = serde_json::from_str(before)
            .map_err(|error| format!("its cursor is none of a sensor of files: {error}"))?;
        let settled = self.engine.now() - SETTLED_MICROS;
        let settled = |(path, (state, changed)): (String, (String, i64))| {
            let state = if changed > settled { before.get(&path)?.clone() } else { state };
            Some((path, state))
        };
        let now: Objects = found.into_iter().filter_map(settled).collect();
        let cursor = text(&now);
        let changed: Vec<(&String, &String)> =
            now.iter().filter(|(path, state)| before.get(*path) != Some(state)).collect();
        if changed.is_empty() {
            let skip = SensorResult::skip("no file is new or has changed");
            return Ok(if before == now { skip } else { skip.with_cursor(cursor) });
        }
        let keys: BTreeSet<String> =
            changed.iter().filter_map(|(path, _)| pattern.partition_of(path)).collect();
        let told: Vec<String> =
            changed.iter().map(|(path, state)| format!("{path}@{state}")).collect();
        let run_key = blake3::hash(told.join("\n").as_bytes()).to_hex();
        let mut request = RunRequest::once(run_key.as_str()).only_needed();
        if !keys.is_empty() {
            let keys: Vec<String> = keys.iter().map(|key| exactly(key)).collect();
            request.partitions = Some(keys.join(","));
        }
        Ok(SensorResult::from(request).with_cursor(cursor))
    }
}

/// Where files are, and what their paths look like.
#[derive(Debug)]
struct Pattern {
    /// The URL or path of the folder in which all of them are.
    folder: String,
    /// A path below the folder; each group is a part of a partition key.
    path: Regex,
    /// The names of the groups, in the order of the parts of a key.
    parts: Vec<String>,
}

impl Pattern {
    /// `*` is anything within a folder, `**` anything, `?` one character, `{name}` a part of a key.
    fn parse(text: &str) -> Result<Self, String> {
        let special = text.find(['*', '?', '{']).unwrap_or(text.len());
        let folder = text[..special].rfind('/').map_or("", |at| &text[..=at]);
        let (mut rest, mut path, mut parts) =
            (&text[folder.len()..], String::from("^"), Vec::new());
        while let Some(next) = rest.chars().next() {
            if let Some(after) = rest.strip_prefix("**/") {
                path.push_str("(?:.*/)?");
                rest = after;
            } else if let Some(after) = rest.strip_prefix("**") {
                path.push_str(".*");
                rest = after;
            } else if let Some((name, after)) =
                rest.strip_prefix('{').and_then(|rest| rest.split_once('}'))
            {
                path.push_str(&format!("(?P<{name}>[^/]+?)"));
                parts.push(name.to_owned());
                rest = after;
            } else {
                match next {
                    '*' => path.push_str("[^/]*"),
                    '?' => path.push_str("[^/]"),
                    other => path.push_str(&regex::escape(&other.to_string())),
                }
                rest = &rest[next.len_utf8()..];
            }
        }
        path.push('$');
        parts.sort();
        let path = Regex::new(&path).map_err(|_| format!("`{text}` is no pattern of paths"))?;
        Ok(Self { folder: folder.to_owned(), path, parts })
    }

    /// The partition key in a path below the folder, if the pattern has any.
    fn partition_of(&self, path: &str) -> Option<String> {
        let found = self.path.captures(path)?;
        let parts = self.parts.iter().filter_map(|name| found.name(name));
        let parts: Vec<&str> = parts.map(|part| part.as_str()).collect();
        (!parts.is_empty()).then(|| parts.join("|"))
    }
}

fn text(objects: &Objects) -> String {
    serde_json::to_string(objects).unwrap_or_default()
}

/// What is there, each with its state and when it was changed; never, where objects appear at once.
async fn list(pattern: &Pattern, root: &Path) -> Result<BTreeMap<String, (String, i64)>, String> {
    let told = |error: &dyn std::error::Error| {
        format!("`{}` cannot be listed: {}", pattern.folder, crate::error::chain(error))
    };
    let folder = if pattern.folder.is_empty() { "." } else { pattern.folder.as_str() };
    let store = Store::open(folder, root, Durability::None, &BTreeMap::new());
    let store = store.map_err(|error| told(&error))?;
    let below = store.path("").map_err(|error| told(&error))?;
    let found: Vec<ObjectMeta> =
        store.objects().list(Some(&below)).try_collect().await.map_err(|error| told(&error))?;
    let object = |meta: ObjectMeta| {
        let path: Vec<_> = meta.location.prefix_match(&below)?.collect();
        let path = path.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/");
        let changed = meta.last_modified.timestamp_micros();
        let state = format!("{} {changed} {}", meta.size, meta.e_tag.unwrap_or_default());
        let state = blake3::hash(state.as_bytes()).to_hex()[..DIGITS].to_owned();
        // An empty file is one that is just being written.
        let changed = if store.url().contains("://") { 0 } else { changed };
        (meta.size > 0 && pattern.path.is_match(&path)).then_some((path, (state, changed)))
    };
    Ok(found.into_iter().filter_map(object).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_finds_keys_in_paths() {
        let of = |pattern: &str, path: &str| {
            let pattern = Pattern::parse(pattern).expect("a pattern");
            (pattern.folder.clone(), pattern.path.is_match(path), pattern.partition_of(path))
        };
        let key = |key: &str| Some(key.to_owned());
        let monthly = "data/flights/{partition}.csv.gz";
        assert_eq!(of(monthly, "2013-02.csv.gz"), ("data/flights/".into(), true, key("2013-02")));
        assert_eq!(of(monthly, "old/2013-02.csv.gz"), ("data/flights/".into(), false, None));
        assert_eq!(
            of("s3://lake/in/{region}/{day}/*.json", "eu/2026-01-01/7.json"),
            ("s3://lake/in/".into(), true, key("2026-01-01|eu"))
        );
        assert_eq!(of("in/**/x.csv", "a/b/x.csv"), ("in/".into(), true, None));
        assert_eq!(of("in/**/x.csv", "x.csv"), ("in/".into(), true, None));
        assert_eq!(of("x(1).csv", "x(1).csv"), (String::new(), true, None));
    }
}
