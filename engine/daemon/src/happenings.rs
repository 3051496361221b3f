//! What has happened in the instance, as sensors may ask.

use std::collections::HashSet;

use arrowsmith_definitions::{AssetEvent, AssetKey, BoxError, Happenings, RunEnd, RunEvent};
use arrowsmith_instance::{Happening, Instance, RunStatus};
use async_trait::async_trait;
use jiff::Timestamp;

/// Events that are read at once.
pub(crate) const PAGE: u32 = 1000;

/// The events of an instance.
#[derive(Debug)]
pub(crate) struct InstanceHappenings(pub(crate) Instance);

#[async_trait]
impl Happenings for InstanceHappenings {
    async fn materializations(
        &self,
        assets: &[AssetKey],
        after: i64,
    ) -> Result<Vec<AssetEvent>, BoxError> {
        let wanted: HashSet<&AssetKey> = assets.iter().collect();
        let found = self.0.materializations_after(after, PAGE).await?;
        let events = found.iter().filter_map(asset_event);
        Ok(events.filter(|event| wanted.contains(&event.asset)).collect())
    }

    async fn ended_runs(&self, after: i64) -> Result<Vec<RunEvent>, BoxError> {
        Ok(self.0.ends_after(after, PAGE).await?.iter().filter_map(run_event).collect())
    }
}

fn at(happening: &Happening) -> Timestamp {
    Timestamp::from_microsecond(happening.at).unwrap_or_default()
}

pub(crate) fn asset_event(happening: &Happening) -> Option<AssetEvent> {
    Some(AssetEvent {
        event_id: happening.event_id,
        asset: happening.asset.as_ref()?.parse().ok()?,
        partition_key: happening.partition_key.clone(),
        run_id: happening.run_id.to_string(),
        at: at(happening),
    })
}

pub(crate) fn run_event(happening: &Happening) -> Option<RunEvent> {
    let end = match happening.status {
        RunStatus::Success => RunEnd::Success,
        RunStatus::Failure => RunEnd::Failure,
        RunStatus::Canceled => RunEnd::Canceled,
        _ => return None,
    };
    Some(RunEvent {
        event_id: happening.event_id,
        run_id: happening.run_id.to_string(),
        job: happening.job.clone(),
        selection: happening.selection.clone(),
        end,
        error: happening.error.clone(),
        at: at(happening),
    })
}
