//! Pools: how many steps of a kind go on at the same time, in all runs of an instance together.

use arrowsmith_instance::RunId;
use tokio::sync::OwnedSemaphorePermit;

use crate::{Engine, Result, Step};

/// What a step holds of its pool; a pool without a limit gives nothing to hold.
#[derive(Debug, Default)]
pub(crate) struct PoolSlot(
    #[expect(dead_code, reason = "it is given back when it is dropped")]
    Option<OwnedSemaphorePermit>,
);

impl Engine {
    /// Takes a slot of the pool of a step: of those of this process, and of those that all processes
    /// share. `None` if none is free.
    pub(crate) async fn take_slot(&self, run_id: RunId, step: &Step) -> Result<Option<PoolSlot>> {
        let Some((name, pool)) =
            step.node.pool.as_ref().and_then(|of| self.pools.get_key_value(of))
        else {
            return Ok(Some(PoolSlot::default()));
        };
        let Ok(permit) = pool.clone().try_acquire_owned() else { return Ok(None) };
        let limit = self.limits.pools.get(name).copied().unwrap_or(usize::MAX);
        let at = self.clock.now();
        let taken = self.instance.take_slot(name, limit, run_id, &step.key, at).await?;
        Ok(taken.then_some(PoolSlot(Some(permit))))
    }

    /// Lets other processes have the slot of a step.
    pub(crate) async fn free_slot(&self, run_id: RunId, step: &Step) -> Result<()> {
        let is_pooled = step.node.pool.as_ref().is_some_and(|of| self.pools.contains_key(of));
        if is_pooled {
            self.instance.free_slot(run_id, &step.key).await?;
        }
        Ok(())
    }
}
