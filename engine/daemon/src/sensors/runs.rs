//! Sensors of runs that have ended.

use arrowsmith_definitions::{RunRequest, RunSensor, SensorResult};

use super::{Sighting, instigator};
use crate::happenings::{PAGE, run_event};

impl Sighting<'_> {
    /// The cursor is the id of the last event that was seen.
    pub(super) async fn runs(&self, of: &RunSensor) -> Result<SensorResult, String> {
        let told = |error: arrowsmith_instance::Error| crate::error::chain(&error);
        let Some(cursor) = &self.cursor else {
            let event = self.instance().last_event().await.map_err(told)?;
            return Ok(SensorResult::skip("it sees runs that end from now on")
                .with_cursor(event.to_string()));
        };
        let after: i64 = cursor
            .parse()
            .map_err(|_| format!("its cursor `{cursor}` is none of a sensor of runs"))?;
        let found = self.instance().ends_after(after, PAGE).await.map_err(told)?;
        let Some(last) = found.last() else { return Ok(SensorResult::skip("no run has ended")) };
        let mut result = SensorResult::default().with_cursor(last.event_id.to_string());
        let own = instigator(&self.sensor.name);
        for happening in &found {
            let Some(event) = run_event(happening) else { continue };
            let is_wanted = (of.ends.is_empty() || of.ends.contains(&event.end))
                && (of.jobs.is_empty() || event.job.as_ref().is_some_and(|job| of.jobs.contains(job)))
                // A sensor that sees its own runs would never come to an end.
                && happening.origin.as_ref() != Some(&own);
            if !is_wanted {
                continue;
            }
            match &of.function {
                Some(function) => {
                    let seen =
                        function(event).await.map_err(|error| crate::error::chain(&*error))?;
                    result.run_requests.extend(seen.run_requests);
                    result.add_partitions.extend(seen.add_partitions);
                    result.remove_partitions.extend(seen.remove_partitions);
                    result.skip_reason = seen.skip_reason.or(result.skip_reason);
                }
                None => result.run_requests.push(RunRequest::once(event.run_id)),
            }
        }
        Ok(result)
    }
}
