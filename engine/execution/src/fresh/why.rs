//! Why an asset is stale, down to the roots, or why it is not.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrowsmith_definitions::{AssetKey, PartitionExpr};
use serde::Serialize;
use similar::{ChangeTag, TextDiff};

use super::decide::{Changed, Difference};
use super::digests::Digests;
use super::provenance::{Held, held};
use super::{Candidate, provenance};
use crate::plan::PlanRequest;
use crate::{Engine, Result, Step};

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
    /// What of the code is other than before: lines that begin with `-` and `+`.
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
        let is_cut = node.partitions.is_some();
        let candidate = Candidate {
            consumes,
            now: &now,
            needed: &needed,
            current,
            is_cut,
            is_settled: node.waits_for().is_empty(),
        };
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

    /// Whether any of the differences means other rows; notes those that do.
    async fn real(
        &self,
        candidate: &Candidate<'_>,
        differences: Vec<Difference>,
        held: [&Held<'_>; 2],
        looked: &mut Looked,
    ) -> Result<bool> {
        let mut real = false;
        for difference in differences {
            let Difference::Versions(input) = &difference else {
                looked.found.insert(difference);
                real = true;
                continue;
            };
            let id = (input.0.as_str(), input.1.as_str());
            let both = [&*held[0][&id], &*held[1][&id]];
            let mut digests = Digests::of(self, &[both[0], both[1]].concat(), true).await?;
            if self.same(&mut digests, candidate, input, both).await? {
                continue;
            }
            real = true;
            if !looked.found.insert(difference.clone()) {
                continue;
            }
            let columns = looked.columns.entry(input.0.clone()).or_default();
            for scan in candidate.consumes.scans.get(&input.0).into_iter().flatten() {
                for column in &scan.columns {
                    let one = arrowsmith_definitions::Scan {
                        columns: vec![column.clone()],
                        ..scan.clone()
                    };
                    if !digests.are_same(self, &one, &input.1, both).await? {
                        columns.insert(column.clone());
                    }
                }
            }
        }
        Ok(real)
    }
}

/// Lines that are not in both, without their indentation, which tells only how deep they stand.
fn changes(before: &str, now: &str) -> Vec<String> {
    if before.is_empty() {
        return Vec::new();
    }
    let lines = |text: &str| text.lines().map(str::trim).collect::<Vec<_>>().join("\n") + "\n";
    let (before, now) = (lines(before), lines(now));
    let found = TextDiff::from_lines(&before, &now);
    let changed = found.iter_all_changes().filter(|change| change.tag() != ChangeTag::Equal);
    changed.map(|change| format!("{} {}", change.tag(), change.value().trim_end())).collect()
}

/// What was found about the partitions of a step.
#[derive(Debug, Default)]
struct Looked {
    found: BTreeSet<Difference>,
    columns: BTreeMap<AssetKey, BTreeSet<String>>,
    changes: Vec<String>,
    unknown: u64,
}

impl Looked {
    fn causes(self) -> Vec<StaleCause> {
        let mut causes = Vec::new();
        let mut by_input: BTreeMap<(AssetKey, &str), Vec<String>> = BTreeMap::new();
        for difference in self.found {
            let (kind, (asset, key)): (&str, Changed) = match difference {
                Difference::Code => {
                    let reason = "its code is another than that of its current version";
                    let changes = self.changes.clone();
                    let cause = StaleCause::new(StaleCategory::Code, reason);
                    causes.push(StaleCause { changes, ..cause });
                    continue;
                }
                Difference::Source(changed) => ("files", changed),
                Difference::Versions(changed) => ("rows", changed),
                Difference::Key(changed) => ("partitions", changed),
            };
            by_input.entry((asset, kind)).or_default().push(key);
        }
        for ((asset, kind), mut partitions) in by_input {
            partitions.retain(|key| !key.is_empty());
            let columns = match kind {
                "rows" => self.columns.get(&asset).cloned().unwrap_or_default(),
                _ => BTreeSet::new(),
            };
            let category = match kind {
                "partitions" => StaleCategory::Dependencies,
                _ => StaleCategory::Data,
            };
            let reason = match kind {
                "files" => format!("the files of `{asset}` are others"),
                "rows" if columns.is_empty() => {
                    format!("`{asset}` has other rows in what it reads of it")
                }
                "rows" => format!("`{asset}` has other values in columns that it reads"),
                _ => format!("it reads other partitions of `{asset}` than before"),
            };
            let (input, columns) = (Some(asset.to_string()), columns.into_iter().collect());
            causes.push(StaleCause {
                input,
                columns,
                partitions,
                ..StaleCause::new(category, reason)
            });
        }
        causes
    }
}
