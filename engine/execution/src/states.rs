//! How every asset of a repository stands, at one look.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrowsmith_definitions::{AssetKey, Materialized};
use arrowsmith_instance::{Event, TimeMicros};
use serde::Serialize;

use crate::{Engine, PlanRequest, Result, StaleStatus};

/// How one asset stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetState {
    /// Whether what is current is what would be computed; `None` of a source or view, which are read as
    /// they are.
    pub status: Option<StaleStatus>,
    /// Why it is stale, in a few words.
    pub reason: Option<String>,
    /// Whether a run computes it now.
    pub running: bool,
    /// Whether the last attempt to compute it failed, and nothing was published since.
    pub failed: bool,
    /// How many of its checks do not hold for what they have looked at last: errors and warnings.
    pub checks_failed: [u64; 2],
    /// Rows of what is current.
    pub row_count: Option<u64>,
    /// Bytes of what is current.
    pub size_bytes: Option<u64>,
    /// When the newest of it was published.
    pub materialized_at: Option<TimeMicros>,
    /// How many of its partitions are current, and how many there are.
    pub partitions: Option<[u64; 2]>,
    /// How it stands to its freshness policy, if it has one: `pass`, `warn`, `fail` or `unknown`.
    pub freshness: Option<String>,
}

/// How all assets stand.
pub type States = BTreeMap<AssetKey, AssetState>;

impl Engine {
    /// How all assets stand. No rows are read for it, so digests decide only where they are known.
    ///
    /// # Errors
    /// Of the instance, which has to be a database.
    pub async fn states(&self) -> Result<States> {
        let request = PlanRequest { only_needed: true, is_question: true, ..PlanRequest::new("*") };
        let plan = self.plan_request(&request).await?;
        let mut reasons: HashMap<AssetKey, String> = HashMap::new();
        for step in &plan.steps {
            for asset in step.node.assets() {
                reasons.entry(asset).or_insert_with(|| step.reason.to_string());
            }
        }
        let pointers = self.instance.pointers(&self.environment).await?;
        let totals = self.instance.partition_totals(&self.environment).await?;
        let freshness = self.instance.freshness().await?;
        let freshness: HashMap<String, String> =
            freshness.into_iter().map(|change| (change.asset, change.state)).collect();
        let running = self.running_assets().await?;
        let checks = self.failed_checks().await?;
        let mut states = States::new();
        for (key, resolved) in &self.resolved.assets {
            let asset = &resolved.asset;
            let pointer = pointers.get(key.as_str());
            let total = totals.get(key.as_str());
            let at = pointer.map(|p| p.published_at).max(total.map(|t| t.published_at));
            let sum = |whole: Option<u64>, parts: Option<u64>| match (whole, parts) {
                (None, None) => None,
                (whole, parts) => Some(whole.unwrap_or(0) + parts.unwrap_or(0)),
            };
            let is_table = asset.is_materializable() && asset.materialized != Materialized::View;
            let status = is_table.then(|| match (reasons.contains_key(key), at) {
                (_, None) => StaleStatus::Missing,
                (true, Some(_)) => StaleStatus::Stale,
                (false, Some(_)) => StaleStatus::Fresh,
            });
            let partitions = match &asset.partitions {
                Some(_) if is_table => self.partitions(key).await?,
                _ => None,
            };
            let state = AssetState {
                reason: reasons.get(key).filter(|_| status == Some(StaleStatus::Stale)).cloned(),
                status,
                running: running.contains(key),
                failed: false,
                checks_failed: checks.get(key.as_str()).copied().unwrap_or_default(),
                row_count: sum(pointer.map(|p| p.row_count), total.map(|t| t.row_count)),
                size_bytes: sum(pointer.map(|p| p.size_bytes), total.map(|t| t.size_bytes)),
                materialized_at: at,
                partitions: partitions.map(|of| [of.materialized.len(), u64::from(of.keys.len())]),
                freshness: freshness.get(key.as_str()).cloned(),
            };
            states.insert(key.clone(), state);
        }
        for end in self.instance.last_ends().await? {
            let Some(state) = asset_of(&end.step_key).and_then(|key| states.get_mut(&key)) else {
                continue;
            };
            state.failed |= end.failed && state.materialized_at.is_none_or(|at| at < end.at);
        }
        Ok(states)
    }

    async fn running_assets(&self) -> Result<BTreeSet<AssetKey>> {
        let running = self.instance.running_steps().await?;
        Ok(running.iter().filter_map(|(_, step)| asset_of(step)).collect())
    }

    /// By asset, how many checks do not hold: errors and warnings.
    async fn failed_checks(&self) -> Result<HashMap<String, [u64; 2]>> {
        let mut failed: HashMap<String, [u64; 2]> = HashMap::new();
        for row in self.instance.last_checks(None).await? {
            let Event::AssetCheckEvaluation { passed: false, severity, .. } = &row.event else {
                continue;
            };
            let is_warning = severity == "warn";
            failed.entry(row.asset).or_default()[usize::from(is_warning)] += 1;
        }
        Ok(failed)
    }
}

/// The asset of a step: its key, before what says which partitions or which op of a graph it is.
fn asset_of(step: &str) -> Option<AssetKey> {
    step.split('[').next()?.parse().ok()
}
