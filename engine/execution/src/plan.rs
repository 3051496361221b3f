//! From a selection to steps with pinned inputs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrowsmith_definitions::{AssetKey, Code, Diagnostic, Selection};
use arrowsmith_instance::Pointer;
use serde::Serialize;

use crate::record::code_version;
use crate::{Engine, Error, Result};

/// Steps in an order in which each comes after what it reads.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What was selected, for people.
    pub selection: String,
    /// Whose pointers are moved.
    pub environment: String,
    /// The steps.
    pub steps: Vec<Step>,
    /// What is read from outside of the plan, as it is current now.
    pub(crate) pinned: HashMap<AssetKey, Pointer>,
}

/// One asset that is to be computed.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The asset's key.
    pub key: String,
    /// Why it runs.
    pub reason: Reason,
    /// Indexes of the steps whose output it reads.
    pub after: Vec<usize>,
    /// Assets outside of the plan that it reads.
    pub reads: Vec<String>,
    /// Steps on the longest path from here to an end; the longest goes first.
    pub longest_path: usize,
    #[serde(skip)]
    pub(crate) asset: AssetKey,
}

/// Why a step is in a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// It has never been materialized.
    Missing,
    /// Its code is other than that of its current version.
    CodeChanged,
    /// An input has a newer version than the one it was computed from.
    InputChanged {
        /// The input.
        input: String,
    },
    /// Something that it reads is computed in the same plan.
    UpstreamRuns {
        /// The upstream asset.
        input: String,
    },
    /// It is selected; nothing about it has changed.
    Selected,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing => f.write_str("never materialized"),
            Self::CodeChanged => f.write_str("code changed"),
            Self::InputChanged { input } => write!(f, "`{input}` has a newer version"),
            Self::UpstreamRuns { input } => write!(f, "`{input}` runs"),
            Self::Selected => f.write_str("selected"),
        }
    }
}

impl Plan {
    /// The plan whose steps read and write only these assets, in the order given.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl Engine {
    /// Plans to compute every selected asset that can be materialized.
    ///
    /// Inputs outside of the selection are pinned to their current versions.
    ///
    /// # Errors
    /// `Selection`, or `Unplannable` with every input that was never materialized.
    pub async fn plan(&self, selection: &str) -> Result<Plan> {
        let failed = |source| Error::Selection { text: selection.to_owned(), source };
        let parsed: Selection = if selection.trim().is_empty() {
            Selection::all()
        } else {
            selection.parse().map_err(failed)?
        };
        let selected = parsed.evaluate(&self.resolved).map_err(failed)?;
        let selected: BTreeSet<AssetKey> = selected
            .into_iter()
            .filter(|key| self.resolved.asset(key).is_some_and(|a| !a.asset.is_external()))
            .collect();
        let pointers = self.instance.pointers(&self.environment).await?;
        self.plan_assets(selection, &selected, &pointers).await
    }

    async fn plan_assets(
        &self,
        selection: &str,
        selected: &BTreeSet<AssetKey>,
        pointers: &BTreeMap<String, Pointer>,
    ) -> Result<Plan> {
        let order: Vec<&AssetKey> =
            self.resolved.graph.topological().iter().filter(|k| selected.contains(k)).collect();
        let index: HashMap<&AssetKey, usize> =
            order.iter().enumerate().map(|(i, key)| (*key, i)).collect();
        let (mut steps, mut pinned, mut problems) = (Vec::new(), HashMap::new(), Vec::new());
        for key in &order {
            let resolved = &self.resolved.assets[*key];
            let (mut after, mut reads) = (Vec::new(), Vec::new());
            for input in &resolved.inputs {
                if let Some(at) = index.get(&input.key) {
                    after.push(*at);
                    continue;
                }
                reads.push(input.key.to_string());
                if self.resolved.assets[&input.key].asset.is_external() {
                    continue;
                }
                match pointers.get(input.key.as_str()) {
                    Some(pointer) => {
                        pinned.insert(input.key.clone(), pointer.clone());
                    }
                    None => problems.push(not_materialized(key, &input.key)),
                }
            }
            after.sort_unstable();
            after.dedup();
            reads.sort();
            reads.dedup();
            let reason = self.reason(key, &after, &steps, pointers).await?;
            steps.push(Step {
                key: key.to_string(),
                reason,
                after,
                reads,
                longest_path: 1,
                asset: (*key).clone(),
            });
        }
        problems.extend(self.outdated_inputs(&pinned).await?);
        if !problems.is_empty() {
            return Err(Error::Unplannable { problems });
        }
        for at in (0..steps.len()).rev() {
            let length = steps[at].longest_path + 1;
            for before in steps[at].after.clone() {
                steps[before].longest_path = steps[before].longest_path.max(length);
            }
        }
        let selection =
            if selection.trim().is_empty() { "*".to_owned() } else { selection.trim().to_owned() };
        Ok(Plan { selection, environment: self.environment.clone(), steps, pinned })
    }

    async fn reason(
        &self,
        key: &AssetKey,
        after: &[usize],
        steps: &[Step],
        pointers: &BTreeMap<String, Pointer>,
    ) -> Result<Reason> {
        let Some(pointer) = pointers.get(key.as_str()) else { return Ok(Reason::Missing) };
        let resolved = &self.resolved.assets[key];
        if pointer.code_version != code_version(&resolved.asset) {
            return Ok(Reason::CodeChanged);
        }
        if let Some(before) = after.first() {
            return Ok(Reason::UpstreamRuns { input: steps[*before].key.clone() });
        }
        let made = self.instance.materialization(pointer.version).await?;
        for (input, version) in made.map(|made| made.inputs).unwrap_or_default() {
            if pointers.get(&input).is_some_and(|current| current.version != version) {
                return Ok(Reason::InputChanged { input });
            }
        }
        Ok(Reason::Selected)
    }

    /// Pinned inputs whose stored columns are not those that their definitions now promise, and
    /// that the selected assets were checked against.
    async fn outdated_inputs(
        &self,
        pinned: &HashMap<AssetKey, Pointer>,
    ) -> Result<Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut keys: Vec<&AssetKey> = pinned.keys().collect();
        keys.sort();
        for key in keys {
            let resolved = &self.resolved.assets[key];
            let Some(promised) = &resolved.schema else { continue };
            let Some(made) = self.instance.materialization(pinned[key].version).await? else {
                continue;
            };
            let promised = arrowsmith_io_manager::TableSchema::new(promised.clone());
            let mut difference = promised.difference(made.stored.schema.arrow());
            difference.columns.retain(|column| {
                !matches!(column, arrowsmith_io_manager::ColumnDifference::Nullable { .. })
            });
            if !difference.is_empty() {
                let message = format!(
                    "`{key}` was materialized with other columns than it is now defined with: \
                     {difference}"
                );
                problems.push(
                    Diagnostic::error(Code::NotMaterialized, message)
                        .at(resolved.asset.place.clone())
                        .help(format!("materialize it first: `arrowsmith materialize {key}`")),
                );
            }
        }
        Ok(problems)
    }
}

fn not_materialized(key: &AssetKey, input: &AssetKey) -> Diagnostic {
    let message = format!("`{key}` reads `{input}`, which has not been materialized");
    Diagnostic::error(Code::NotMaterialized, message)
        .help(format!("materialize both: `arrowsmith materialize '+{key}'`"))
}
