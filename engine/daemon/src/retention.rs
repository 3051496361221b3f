//! What is forgotten, so that the instance does not grow for ever.

use arrowsmith_instance::Forget;

use crate::lead::micros;
use crate::{Daemon, Result};

impl Daemon {
    /// Forgets ticks and events that are older than the repository says.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn forget_old(&self) -> Result<()> {
        let (Some(engine), Some(_)) = (self.engine(), self.leader()) else { return Ok(()) };
        let (of, now) = (&engine.resolved.operations, self.now());
        let forget = Forget {
            ticks_before: now - micros(of.tick_retention),
            skipped_before: now - micros(of.skipped_tick_retention),
            events_before: now - micros(of.event_retention),
        };
        let (ticks, events) = self.shared.instance.forget(forget).await?;
        if ticks + events > 0 {
            tracing::info!(ticks, events, "what is old was forgotten");
        }
        Ok(())
    }
}
