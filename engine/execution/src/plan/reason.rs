//! Why a step runs, and what keeps an input from being read.

use std::collections::{BTreeMap, HashMap};

use arrowsmith_definitions::{AssetKey, Code, Diagnostic, PartitionSet, SchemaChange};
use arrowsmith_instance::{Pointer, VersionSummary};
use arrowsmith_io_manager::{ColumnDifference, TableSchema, Version};

use super::Reason;
use super::partitions::Cuts;
use crate::record::code_version;
use crate::{Engine, Error, Result};

/// What a step would be computed from: for each input outside of the plan the newest version of
/// what it reads of it.
pub(super) type Inputs = BTreeMap<String, Version>;

impl Engine {
    /// Why a set of partitions is computed.
    pub(super) fn reason_of_partitions(
        &self,
        key: &AssetKey,
        cuts: &Cuts,
        set: &PartitionSet,
        before: Option<&str>,
        inputs: &Inputs,
    ) -> Reason {
        let partitions = &cuts.of[key];
        if !set.difference(&partitions.materialized).is_empty() {
            return Reason::Missing;
        }
        let known = cuts.made.get(key);
        let versions = partitions.versions(set).into_keys();
        let made: Vec<&VersionSummary> =
            versions.filter_map(|version| known?.get(&version)).collect();
        self.reason_of(key, &made, before, inputs)
    }

    /// Why what current versions hold is computed again. `before` is a step of the plan that it reads.
    pub(super) fn reason_of(
        &self,
        key: &AssetKey,
        made: &[&VersionSummary],
        before: Option<&str>,
        inputs: &Inputs,
    ) -> Reason {
        let code = code_version(&self.resolved.assets[key].asset);
        if made.iter().any(|made| made.code_version != code) {
            return Reason::CodeChanged;
        }
        if let Some(before) = before {
            return Reason::UpstreamRuns { input: before.to_owned() };
        }
        let is_older = |(input, version): (&String, &Version)| {
            inputs.get(input).is_some_and(|current| current != version)
        };
        let older = made.iter().find_map(|made| {
            made.inputs.iter().find(|entry| is_older(*entry)).map(|(input, _)| input.clone())
        });
        older.map_or(Reason::Selected, |input| Reason::InputChanged { input })
    }

    /// What an incremental asset says about columns that are not those that are stored.
    pub(super) async fn schema_change(&self, key: &AssetKey) -> Result<Option<Diagnostic>> {
        let resolved = &self.resolved.assets[key];
        let asset = &resolved.asset;
        let (true, Some(promised)) = (asset.materialized.is_incremental(), &resolved.schema) else {
            return Ok(None);
        };
        let stored = match self.current(key).await {
            Ok(mut current) => current.pop(),
            Err(Error::NotMaterialized { .. }) => None,
            Err(error) => return Err(error),
        };
        let Some(stored) = stored else { return Ok(None) };
        let promised = TableSchema::new(promised.clone());
        let mut difference = promised.difference(stored.stored.schema.arrow());
        difference.columns.retain(|column| match column {
            ColumnDifference::Nullable { .. } => false,
            ColumnDifference::Missing { .. } => asset.on_schema_change == SchemaChange::Fail,
            _ => asset.on_schema_change != SchemaChange::SyncAllColumns,
        });
        if difference.is_empty() {
            return Ok(None);
        }
        let message = format!(
            "`{key}` keeps rows that were stored with other columns than it has now: {difference}"
        );
        Ok(Some(Diagnostic::error(Code::SchemaChange, message).at(asset.place.clone()).help(
            format!(
                "`on_schema_change` says what becomes of them; `arrowsmith materialize {key} \
                 --full-refresh` makes all rows anew"
            ),
        )))
    }

    /// Pinned inputs whose stored columns are not those that their definitions now promise, and
    /// that the selected assets were checked against.
    pub(super) async fn outdated_inputs(
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
            let promised = TableSchema::new(promised.clone());
            let mut difference = promised.difference(made.stored.schema.arrow());
            difference.columns.retain(|c| !matches!(c, ColumnDifference::Nullable { .. }));
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
