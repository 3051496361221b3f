//! Attributes of assets in TOML, as sources and front matter share them.

use std::time::Duration;

use arrowsmith_definitions::{Asset, Attributes, Backoff, Hook, HookEvent, Jitter, RetryPolicy};

use crate::document::Reader;

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
    asset.policy.timeout = reader.duration("timeout");
    asset.policy.pool = reader.string("pool");
    asset.policy.retry = read_retry(reader);
    asset.hooks = read_hooks(reader);
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
