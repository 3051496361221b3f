//! Attributes of assets in TOML, as sources and front matter share them.

use std::time::Duration;

use arrowsmith_definitions::{
    Asset, Attributes, AutomationCondition, Backoff, Cron, FreshnessPolicy, HardDeletes, Hook,
    HookEvent, Jitter, Materialized, RetryPolicy, SchemaChange, Snapshot,
};

use crate::document::Reader;
use crate::operations::near_zone;

/// `description group tags owners kinds metadata code_version`.
pub(crate) fn read_attributes(reader: &mut Reader<'_>) -> Attributes {
    let mut attributes = Attributes {
        description: reader.string("description"),
        group: reader.string("group"),
        owners: reader.strings("owners").into_iter().collect(),
        kinds: reader.strings("kinds").into_iter().collect(),
        code_version: reader.string("code_version"),
        ..Attributes::default()
    };
    // A list of tags has no values; a table of tags has.
    if reader.is_table("tags") {
        if let Some(mut tags) = reader.table("tags") {
            for (name, span, value) in tags.rest() {
                match value.as_str() {
                    Some(text) => {
                        attributes.tags.insert(name, text.to_owned());
                    }
                    None => tags.refuse(span, format!("the value of tag `{name}` is not a text")),
                }
            }
            reader.problems.extend(tags.finish());
        }
    } else {
        let tags = reader.strings("tags").into_iter();
        attributes.tags = tags.map(|tag| (tag, String::new())).collect();
    }
    if let Some(mut metadata) = reader.table("metadata") {
        let entries = metadata.rest().into_iter().map(|(name, _, value)| (name, value));
        attributes.metadata = entries.collect();
        reader.problems.extend(metadata.finish());
    }
    attributes
}

/// `io_manager partition_by [io] [retry] timeout pool on_success on_failure`.
pub(crate) fn read_storage_and_policy(reader: &mut Reader<'_>, asset: &mut Asset) {
    asset.storage.io_manager = reader.string("io_manager");
    asset.storage.partition_by = reader.strings("partition_by");
    if let Some(mut options) = reader.table("io") {
        let entries = options.rest().into_iter().map(|(name, _, value)| (name, value));
        asset.storage.options = entries.collect();
        reader.problems.extend(options.finish());
    }
    asset.materialized = read_materialized(reader);
    let changes = [
        ("append_new_columns", SchemaChange::AppendNewColumns),
        ("fail", SchemaChange::Fail),
        ("sync_all_columns", SchemaChange::SyncAllColumns),
    ];
    let given = reader.has("on_schema_change");
    asset.on_schema_change = reader.choice("on_schema_change", &changes).unwrap_or_default();
    if given && !asset.materialized.is_incremental() {
        let name = asset.materialized.name();
        reader.refuse_here(format!(
            "`on_schema_change` is of assets that keep older rows, and a `{name}` keeps none"
        ));
    }
    asset.policy.timeout = reader.duration("timeout");
    asset.policy.pool = reader.string("pool");
    asset.policy.retry = read_retry(reader);
    asset.hooks = read_hooks(reader);
    asset.automation = read_automation(reader);
    asset.freshness = read_freshness(reader);
}

/// `automation`: a condition, such as `eager()`.
fn read_automation(reader: &mut Reader<'_>) -> Option<AutomationCondition> {
    let (text, span) = reader.text("automation")?;
    match text.parse::<AutomationCondition>() {
        Ok(condition) => Some(condition),
        Err(error) => {
            // The text begins behind its quote; one with escapes is marked as a whole.
            let is_plain = span.len() == text.len() + 2;
            let start = span.start + 1;
            let inner = start + error.range.start..start + error.range.end;
            reader.refuse_near(if is_plain { inner } else { span }, error.message, error.nearest);
            None
        }
    }
}

/// `[freshness]`: `fail` and `warn`, or `deadline` with `timezone` and `lower_bound`.
fn read_freshness(reader: &mut Reader<'_>) -> Option<FreshnessPolicy> {
    let mut table = reader.table("freshness")?;
    let (fail, warn) = (table.duration("fail"), table.duration("warn"));
    let (deadline, zone) = (table.text("deadline"), table.string("timezone"));
    let lower_bound = table.duration("lower_bound");
    let policy = match (fail, deadline) {
        (Some(fail), None) => {
            if warn.is_some_and(|warn| warn >= fail) {
                table.refuse_here("what is warned of is younger than what fails");
            }
            Some(FreshnessPolicy::TimeWindow { fail, warn })
        }
        (None, Some((cron, span))) => {
            let zone = zone.unwrap_or_else(|| "UTC".to_owned());
            match Cron::new(&cron, &zone) {
                Ok(deadline) => {
                    let lower_bound = lower_bound.unwrap_or(Duration::from_hours(24));
                    Some(FreshnessPolicy::Cron { deadline: Box::new(deadline), lower_bound })
                }
                Err(message) => {
                    table.refuse_near(span, message, near_zone(&zone).filter(|near| *near != zone));
                    None
                }
            }
        }
        _ if !table.problems.is_empty() => None,
        _ => {
            table.refuse_here("it says when it fails: `fail = \"26h\"`, or a `deadline`");
            None
        }
    };
    reader.problems.extend(table.finish());
    policy
}

/// `materialized`, with `unique_key`, `watermark`, `updated_at`, `check_columns`, `hard_deletes`.
fn read_materialized(reader: &mut Reader<'_>) -> Materialized {
    let words = [
        ("table", Materialized::Table),
        ("view", Materialized::View),
        ("append", Materialized::Append { watermark: None }),
        ("merge", Materialized::Merge { unique_key: Vec::new() }),
        ("snapshot", Materialized::Snapshot(Snapshot::default())),
    ];
    let names: Vec<(&'static str, usize)> =
        words.iter().enumerate().map(|(at, (word, _))| (*word, at)).collect();
    let at = reader.choice("materialized", &names).unwrap_or_default();
    let mut how = words[at].1.clone();
    match &mut how {
        Materialized::Table | Materialized::View => {}
        Materialized::Append { watermark } => *watermark = reader.string("watermark"),
        Materialized::Merge { unique_key } => *unique_key = read_unique_key(reader, "merge"),
        Materialized::Snapshot(snapshot) => {
            snapshot.unique_key = read_unique_key(reader, "snapshot");
            snapshot.updated_at = reader.string("updated_at");
            snapshot.check_columns = reader.strings("check_columns");
            let deletes =
                [("ignore", HardDeletes::Ignore), ("invalidate", HardDeletes::Invalidate)];
            snapshot.hard_deletes = reader.choice("hard_deletes", &deletes).unwrap_or_default();
            if snapshot.updated_at.is_some() && !snapshot.check_columns.is_empty() {
                reader.refuse_here(
                    "a snapshot looks at `updated_at` or compares `check_columns`, not both",
                );
            }
        }
    }
    how
}

fn read_unique_key(reader: &mut Reader<'_>, word: &str) -> Vec<String> {
    let unique_key = reader.strings("unique_key");
    if unique_key.is_empty() {
        reader.refuse_here(format!("a `{word}` tells rows apart by `unique_key`"));
    }
    unique_key
}

/// `[retry]`: a retry policy.
pub(crate) fn read_retry(reader: &mut Reader<'_>) -> Option<RetryPolicy> {
    let mut retry = reader.table("retry")?;
    let backoffs = [
        ("constant", Backoff::Constant),
        ("linear", Backoff::Linear),
        ("exponential", Backoff::Exponential),
    ];
    let jitters =
        [("none", Jitter::None), ("full", Jitter::Full), ("plus_minus", Jitter::PlusMinus)];
    let policy = RetryPolicy {
        max_retries: retry.count("max_retries").and_then(|n| n.try_into().ok()).unwrap_or(1),
        delay: retry.duration("delay").unwrap_or(Duration::from_secs(1)),
        backoff: retry.choice("backoff", &backoffs).unwrap_or_default(),
        jitter: retry.choice("jitter", &jitters).unwrap_or_default(),
    };
    reader.problems.extend(retry.finish());
    Some(policy)
}

/// `on_success` and `on_failure`: a program and its arguments, which run after a step.
pub(crate) fn read_hooks(reader: &mut Reader<'_>) -> Vec<Hook> {
    let mut hooks = Vec::new();
    for (key, on) in [("on_success", HookEvent::Success), ("on_failure", HookEvent::Failure)] {
        let words = reader.strings(key);
        if !words.is_empty() {
            hooks.push(Hook::command(on, words));
        }
    }
    hooks
}
