//! Sensors of materializations.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use arrowsmith_definitions::{
    AssetEvent, AssetKey, AssetSensor, RunRequest, Selection, SensorResult,
};
use serde::{Deserialize, Serialize};

use super::Sighting;
use crate::happenings::{PAGE, asset_event};
use crate::request::exactly;

/// What an asset sensor has seen.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Cursor {
    /// Everything up to this event.
    event: i64,
    /// What was materialized since the last run, by asset; a part without partitions has no key.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pending: BTreeMap<String, BTreeSet<Option<String>>>,
}

impl Sighting<'_> {
    pub(super) async fn assets(&self, of: &AssetSensor) -> Result<SensorResult, String> {
        let selected = of.selection.parse::<Selection>();
        let selected = selected.and_then(|selected| selected.evaluate(&self.engine.resolved));
        let selected: HashSet<AssetKey> =
            selected.map_err(|error| error.to_string())?.into_iter().collect();
        let told = |error: arrowsmith_instance::Error| crate::error::chain(&error);
        let Some(cursor) = &self.cursor else {
            let event = self.instance().last_event().await.map_err(told)?;
            let cursor = Cursor { event, ..Cursor::default() };
            return Ok(SensorResult::skip("it sees what is materialized from now on")
                .with_cursor(text(&cursor)));
        };
        let mut cursor: Cursor = serde_json::from_str(cursor)
            .map_err(|error| format!("its cursor is none of an asset sensor: {error}"))?;
        let found =
            self.instance().materializations_after(cursor.event, PAGE).await.map_err(told)?;
        let Some(last) = found.last() else {
            return Ok(SensorResult::skip("nothing was materialized"));
        };
        cursor.event = last.event_id;
        let events = found.iter().filter_map(asset_event);
        let events: Vec<AssetEvent> =
            events.filter(|event| selected.contains(&event.asset)).collect();
        if let Some(function) = &of.function
            && !events.is_empty()
        {
            return Ok(function(&events).with_cursor(text(&cursor)));
        }
        let run_requests =
            if of.all { all_of(&selected, &events, &mut cursor) } else { each_of(&events) };
        let skip_reason = run_requests.is_empty().then(|| "it waits for other assets".to_owned());
        let cursor = Some(text(&cursor));
        Ok(SensorResult { run_requests, skip_reason, cursor, ..SensorResult::default() })
    }
}

fn text(cursor: &Cursor) -> String {
    serde_json::to_string(cursor).unwrap_or_default()
}

/// One run for each partition of which something was materialized.
fn each_of(events: &[AssetEvent]) -> Vec<RunRequest> {
    let mut newest: BTreeMap<Option<&str>, i64> = BTreeMap::new();
    for event in events {
        newest.insert(event.partition_key.as_deref(), event.event_id);
    }
    let request = |(key, event): (Option<&str>, i64)| RunRequest {
        partitions: key.map(exactly),
        ..RunRequest::once(event.to_string())
    };
    newest.into_iter().map(request).collect()
}

/// One run when each of the assets was materialized; with partitions, for those that each has.
fn all_of(
    selected: &HashSet<AssetKey>,
    events: &[AssetEvent],
    cursor: &mut Cursor,
) -> Vec<RunRequest> {
    for event in events {
        let pending = cursor.pending.entry(event.asset.to_string()).or_default();
        pending.insert(event.partition_key.clone());
    }
    let parts = selected.iter().map(|asset| cursor.pending.get(asset.as_str()));
    let Some(parts) = parts.collect::<Option<Vec<_>>>() else { return Vec::new() };
    let keyed: Vec<BTreeSet<&String>> = parts
        .iter()
        .map(|parts| parts.iter().flatten().collect::<BTreeSet<_>>())
        .filter(|keys| !keys.is_empty())
        .collect();
    let common = keyed.into_iter().reduce(|a, b| a.intersection(&b).copied().collect());
    let request = match common {
        Some(common) if common.is_empty() => return Vec::new(),
        Some(common) => {
            let keys: Vec<String> = common.into_iter().map(|key| exactly(key)).collect();
            RunRequest::new().with_partitions(keys.join(","))
        }
        None => RunRequest::new(),
    };
    cursor.pending.clear();
    vec![RunRequest { run_key: Some(cursor.event.to_string()), ..request }]
}
