//! Freshness policies: how assets stand to them, and when that changes.

use std::collections::HashMap;

use arrowsmith_definitions::FreshnessState;
use jiff::Timestamp;

use crate::{Daemon, Result};

impl Daemon {
    /// Looks how assets stand to their policies, and remembers what has changed; how many have.
    ///
    /// Of a partitioned asset the partition that was materialized last counts.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn tick_freshness(&self) -> Result<usize> {
        let (Some(engine), Some(_)) = (self.engine(), self.leader()) else { return Ok(0) };
        let assets = engine.resolved.assets.values();
        let mut policies: Vec<_> = assets
            .filter_map(|of| Some((of.asset.key.to_string(), of.asset.freshness.clone()?)))
            .collect();
        if policies.is_empty() {
            return Ok(0);
        }
        policies.sort_by(|a, b| a.0.cmp(&b.0));
        let instance = &self.shared.instance;
        let pointers = instance.pointers(&engine.environment).await?;
        let totals = instance.partition_totals(&engine.environment).await?;
        let known: HashMap<String, String> =
            instance.freshness().await?.into_iter().map(|of| (of.asset, of.state)).collect();
        let now = Timestamp::from_microsecond(self.now()).unwrap_or_default();
        let mut changed = Vec::new();
        for (asset, policy) in policies {
            let whole = pointers.get(&asset).map(|pointer| pointer.published_at);
            let parts = totals.get(&asset).map(|totals| totals.published_at);
            let made = whole.max(parts).and_then(|at| Timestamp::from_microsecond(at).ok());
            let state = policy.state(made, now).as_str();
            let before = known.get(&asset).map_or(FreshnessState::Unknown.as_str(), String::as_str);
            if before != state {
                changed.push((asset, state.to_owned()));
            }
        }
        let count = changed.len();
        if count > 0 {
            instance.set_freshness(changed, self.now()).await?;
        }
        Ok(count)
    }
}
