//! One attempt of one step: compute, write, seal. Nothing of it is visible to a reader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrowsmith_definitions::{AssetKey, Body, BoundInput, BoxError, ComputeContext, ResolvedAsset};
use arrowsmith_instance::RunId;
use arrowsmith_io_manager::{
    ColumnDifference, SchemaDifference, StoredTable, TableSchema, Version, WriteTarget,
};

use crate::count::CountExec;
use crate::record::{code_version, inputs_label};
use crate::{Counters, Engine};

/// What an attempt works with.
pub(crate) struct AttemptInput {
    pub(crate) run_id: RunId,
    pub(crate) number: u32,
    pub(crate) version: Version,
    pub(crate) inputs: Vec<BoundInput>,
    pub(crate) input_versions: BTreeMap<String, Version>,
    pub(crate) counters: Arc<Counters>,
}

/// A sealed version that waits to be published.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) stored: Arc<StoredTable>,
    pub(crate) metadata: BTreeMap<String, serde_json::Value>,
}

/// Computes the asset and writes its rows as a new version.
pub(crate) async fn attempt(
    engine: &Engine,
    resolved: &ResolvedAsset,
    input: AttemptInput,
) -> Result<Written, BoxError> {
    let asset = &resolved.asset;
    let Body::Computed(compute) = &asset.body else {
        return Err(format!("`{}` is external and cannot be materialized", asset.key).into());
    };
    let metadata = Arc::new(Mutex::new(BTreeMap::new()));
    let context = ComputeContext {
        key: asset.key.clone(),
        run_id: input.run_id.to_string(),
        attempt: input.number,
        inputs: input.inputs,
        session: Arc::clone(&engine.session),
        metadata: Arc::clone(&metadata),
    };
    let plan = compute.compute(context).await?;
    if let Some(promised) = &resolved.schema {
        let promised = TableSchema::new(Arc::clone(promised));
        let mut difference = promised.difference(&plan.schema());
        // Whether a column holds nulls is known only when its rows are.
        difference.columns.retain(|c| !matches!(c, ColumnDifference::Nullable { .. }));
        if !difference.is_empty() {
            return Err(schema_error(&asset.key, difference));
        }
    }
    let manager = engine
        .resolved
        .io_managers
        .get(&resolved.io_manager)
        .ok_or_else(|| format!("there is no IO manager `{}`", resolved.io_manager))?;
    let target = WriteTarget {
        table: asset.key.table_path(),
        version: input.version,
        promised: resolved.schema.clone(),
        partition_by: asset.storage.partition_by.clone(),
        options: asset.storage.options.clone(),
        labels: labels(resolved, input.run_id, &input.input_versions),
    };
    let counted = Arc::new(CountExec::new(plan, input.counters));
    let stored = manager.write(counted, Arc::clone(&engine.task), &target).await?;
    refuse_nulls(resolved, &stored)?;
    let metadata = metadata.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Written { stored: Arc::new(stored), metadata })
}

fn schema_error(key: &AssetKey, difference: SchemaDifference) -> BoxError {
    arrowsmith_io_manager::Error::Schema { table: key.to_string(), difference }.into()
}

/// A column that was promised without nulls has none, as far as the manager counted them.
fn refuse_nulls(resolved: &ResolvedAsset, stored: &StoredTable) -> Result<(), BoxError> {
    let Some(promised) = &resolved.schema else { return Ok(()) };
    let holds_nulls = |name: &str| {
        let counts = stored.files.iter().filter_map(|file| file.columns.get(name)?.null_count);
        counts.sum::<u64>() > 0
    };
    let columns: Vec<ColumnDifference> = promised
        .fields()
        .iter()
        .filter(|field| !field.is_nullable() && holds_nulls(field.name()))
        .map(|field| ColumnDifference::Nullable { column: field.name().clone() })
        .collect();
    if columns.is_empty() {
        return Ok(());
    }
    Err(schema_error(&resolved.asset.key, SchemaDifference { columns }))
}

/// What is written into footers and manifests, so that the catalog can be rebuilt from them.
fn labels(
    resolved: &ResolvedAsset,
    run_id: RunId,
    inputs: &BTreeMap<String, Version>,
) -> BTreeMap<String, String> {
    let asset = &resolved.asset;
    let mut labels = BTreeMap::from([
        ("asset".to_owned(), asset.key.to_string()),
        ("run".to_owned(), run_id.to_string()),
        ("io_manager".to_owned(), resolved.io_manager.clone()),
        ("inputs".to_owned(), inputs_label(inputs)),
    ]);
    if let Some(code) = code_version(asset) {
        labels.insert("code_version".to_owned(), code);
    }
    labels
}
