//! What was found about the partitions of a step, as causes.

use std::collections::{BTreeMap, BTreeSet};

use arrowsmith_definitions::{AssetKey, Scan};
use similar::{ChangeTag, TextDiff};

use super::{StaleCategory, StaleCause};
use crate::fresh::Candidate;
use crate::fresh::decide::{Changed, Difference};
use crate::fresh::digests::Digests;
use crate::fresh::provenance::Held;
use crate::{Engine, Result};

impl Engine {
    /// Whether any of the differences means other rows; notes those that do.
    pub(super) async fn real(
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
                    let one = Scan { columns: vec![column.clone()], ..scan.clone() };
                    if !digests.are_same(self, &one, &input.1, both).await? {
                        columns.insert(column.clone());
                    }
                }
            }
            if looked.rows.contains_key(&input.0) {
                continue;
            }
            let changed = columns.clone();
            for scan in candidate.consumes.scans.get(&input.0).into_iter().flatten() {
                // What cannot be read any more is not shown.
                let rows =
                    self.differing_rows(scan, &input.1, both, &changed).await.unwrap_or_default();
                if !rows.is_empty() {
                    looked.rows.insert(input.0.clone(), rows);
                    break;
                }
            }
        }
        Ok(real)
    }
}

/// Lines that are not in both, without their indentation, which tells only how deep they stand.
pub(super) fn changes(before: &str, now: &str) -> Vec<String> {
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
pub(super) struct Looked {
    found: BTreeSet<Difference>,
    columns: BTreeMap<AssetKey, BTreeSet<String>>,
    /// A few rows of each input that are not in both.
    rows: BTreeMap<AssetKey, Vec<String>>,
    /// Lines of the code that are not in both.
    pub(super) changes: Vec<String>,
    /// Partitions of which it is not known what they were made of.
    pub(super) unknown: u64,
}

impl Looked {
    pub(super) fn causes(mut self) -> Vec<StaleCause> {
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
            let changes = match kind {
                "rows" => self.rows.remove(&asset).unwrap_or_default(),
                _ => Vec::new(),
            };
            let (input, columns) = (Some(asset.to_string()), columns.into_iter().collect());
            causes.push(StaleCause {
                input,
                columns,
                changes,
                partitions,
                ..StaleCause::new(category, reason)
            });
        }
        causes
    }
}
