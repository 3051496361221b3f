//! What is forgotten, so that the instance does not grow for ever.

use arrowsmith_definitions::Operations;
use arrowsmith_instance::{Forget, TimeMicros};

use crate::lead::micros;
use crate::{Daemon, Result};

impl Daemon {
    /// What is older than the settings of a repository say.
    pub fn to_forget(of: &Operations, now: TimeMicros) -> Forget {
        Forget {
            ticks_before: now - micros(of.tick_retention),
            skipped_before: now - micros(of.skipped_tick_retention),
            events_before: now - micros(of.event_retention),
        }
    }

    /// Forgets ticks and events that are older than the repository says.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn forget_old(&self) -> Result<()> {
        let (Some(engine), Some(_)) = (self.engine(), self.leader()) else { return Ok(()) };
        let forget = Self::to_forget(&engine.resolved.operations, self.now());
        let (ticks, events) = self.shared.instance.forget(forget).await?;
        if ticks + events > 0 {
            tracing::info!(ticks, events, "what is old was forgotten");
        }
        Ok(())
    }
}
