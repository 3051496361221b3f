//! Why an asset is stale, down to the roots, or why it is not.

mod looked;
mod rows;

use std::collections::{BTreeMap, HashMap};

use arrowsmith_definitions::{AssetKey, PartitionExpr};
use serde::Serialize;

use super::decide::Difference;
use super::provenance::held;
use super::{Candidate, provenance};
use crate::plan::PlanRequest;
use crate::{Engine, Result, Step};
use looked::{Looked, changes};

/// How an asset stands, and why.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Why {
    /// The asset.
    pub asset: String,
    /// How it stands; the worst of its partitions.
    pub status: StaleStatus,
    /// How many tables or partitions are in each state.
    pub counts: BTreeMap<StaleStatus, u64>,
    /// Why it is not fresh; causes of causes are inside of them.
    pub causes: Vec<StaleCause>,
}

/// Whether what is current is what would be computed. Dagster's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StaleStatus {
    /// It is.
    Fresh,
    /// It is not, or that is not known.
    Stale,
    /// Nothing is current.
    Missing,
}

/// Why an asset is stale.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StaleCause {
    /// What kind of cause it is.
    pub category: StaleCategory,
    /// What it is, in a sentence without its end.
    pub reason: String,
    /// The asset that it comes from, if it comes from another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<String>,
    /// Columns that are read and have other values.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub columns: Vec<String>,
    /// What is other than before: lines of the code, or a few rows, that begin with `-` and `+`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<String>,
    /// Partitions of the input, if it has any.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub partitions: Vec<String>,
    /// Why the input is stale itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub causes: Vec<Self>,
}

/// Dagster's categories, and what it has none for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StaleCategory {
    /// Its code is another.
    Code,
    /// What it reads is another.
    Data,
    /// It reads something else than before, or that is stale or missing.
    Dependencies,
    /// Whether it is fresh cannot be known.
    Unknown,
}

impl StaleCause {
    fn new(category: StaleCategory, reason: impl Into<String>) -> Self {
        Self {
            category,
            reason: reason.into(),
            input: None,
            columns: Vec::new(),
            changes: Vec::new(),
            partitions: Vec::new(),
            causes: Vec::new(),
        }
    }
}

impl Engine {
    /// How an asset stands and why, its chosen partitions taken together. Rows are read where only
    /// they can tell.
    ///
    /// # Errors
    /// As a plan of the asset, but for inputs that are missing.
    pub async fn why(&self, key: &AssetKey, partitions: Option<&PartitionExpr>) -> Result<Why> {
        self.why_of(key, partitions, &mut HashMap::new()).await
    }

    async fn why_of(
        &self,
        key: &AssetKey,
        partitions: Option<&PartitionExpr>,
        seen: &mut HashMap<AssetKey, Why>,
    ) -> Result<Why> {
        let request = PlanRequest {
            partitions: partitions.cloned(),
            is_question: true,
            ..PlanRequest::new(format!("key:\"{key}\""))
        };
        let plan = self.plan_request(&request).await?;
        let (mut counts, mut causes) = (BTreeMap::new(), Vec::new());
        for step in &plan.steps {
            self.look(key, step, &plan.pinned, &mut counts, &mut causes).await?;
        }
        for input in &self.resolved.assets[key].inputs {
            let upstream = &self.resolved.assets[&input.key];
            if upstream.asset.is_external() || input.key == *key {
                continue;
            }
            let why = match seen.get(&input.key) {
                Some(known) => known.clone(),
                None => Box::pin(self.why_of(&input.key, None, seen)).await?,
            };
            seen.insert(input.key.clone(), why.clone());
            if why.status != StaleStatus::Fresh {
                let word = if why.status == StaleStatus::Missing { "missing" } else { "stale" };
                let reason = format!("`{}` is {word}", input.key);
                causes.push(StaleCause {
                    input: Some(input.key.to_string()),
                    causes: why.causes,
                    ..StaleCause::new(StaleCategory::Dependencies, reason)
                });
            }
        }
        let mut status = counts.keys().max().copied().unwrap_or(StaleStatus::Fresh);
        if status == StaleStatus::Fresh && !causes.is_empty() {
            status = StaleStatus::Stale;
        }
        Ok(Why { asset: key.to_string(), status, counts, causes })
    }

    /// What one step says of its partitions.
    async fn look(
        &self,
        key: &AssetKey,
        step: &Step,
        pinned: &HashMap<AssetKey, arrowsmith_instance::Pointer>,
        counts: &mut BTreeMap<StaleStatus, u64>,
        causes: &mut Vec<StaleCause>,
    ) -> Result<()> {
        let node = &step.node;
        let total = node.partitions.as_ref().map_or(1, |piece| piece.set.len());
        let empty = BTreeMap::new();
        let current = node.current.as_deref().unwrap_or(&empty);
        let missing = total - current.len() as u64;
        if missing > 0 {
            *counts.entry(StaleStatus::Missing).or_default() += missing;
        }
        if current.is_empty() {
            return Ok(());
        }
        let mut all = |status, count: usize| *counts.entry(status).or_default() += count as u64;
        let unknown = |reason: &str| StaleCause::new(StaleCategory::Unknown, reason);
        let Some(consumes) = node.consumes.as_deref() else {
            all(StaleStatus::Stale, current.len());
            causes.push(unknown("what it reads is not known, so it is computed each time"));
            return Ok(());
        };
        if let Some(why) = &consumes.unknowable {
            all(StaleStatus::Stale, current.len());
            causes.push(unknown(&format!("{why}, so it is computed each time")));
            return Ok(());
        }
        let emitted = |_, _: &str, _: Option<&str>| None;
        let found = provenance(self, consumes, node, pinned, &emitted).await;
        let found =
            found.map_err(|source| crate::Error::Source { asset: key.to_string(), source })?;
        let Some((now, needed)) = found else {
            all(StaleStatus::Stale, current.len());
            causes.push(unknown("the state of a source that it reads is not known"));
            return Ok(());
        };
        let candidate = Candidate::of(node, consumes, (&now, &needed), current);
        let known = self.made(current.values().copied()).await?;
        let now_held = held(&now);
        let mut looked = Looked::default();
        for (index, version) in current {
            let Some(made) = known.get(version) else {
                all(StaleStatus::Stale, 1);
                looked.unknown += 1;
                continue;
            };
            let before = held(made);
            let differences = candidate.differences(*index, made, &before, &now_held);
            if differences.contains(&Difference::Code) && looked.changes.is_empty() {
                let before = self.instance.code(&made.code).await?;
                let before = before.as_deref().unwrap_or_default();
                looked.changes = changes(before, &consumes.text);
            }
            let real =
                self.real(&candidate, differences, [&before, &now_held], &mut looked).await?;
            all(if real { StaleStatus::Stale } else { StaleStatus::Fresh }, 1);
        }
        if looked.unknown > 0 {
            causes.push(unknown("it was stored without what it was made of"));
        }
        causes.extend(looked.causes());
        Ok(())
    }
}
