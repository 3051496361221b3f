//! One attempt of one step: compute, write, seal. Nothing of it is visible to a reader.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrowsmith_definitions::{
    AssetKey, Body, BoxError, ComputeContext, Emitted, OutputMetadata, ResolvedAsset,
};
use arrowsmith_instance::DigestRecord;
use arrowsmith_io_manager::{
    ColumnDifference, PartitionedWrite, SchemaDifference, StoredTable, TablePath, TableSchema,
    Version, WriteTarget,
};
use datafusion::physical_plan::ExecutionPlan;
use uuid::Uuid;

use crate::checks::{Evaluated, evaluate, watched_checks};
use crate::fresh::WrittenDigests;
use crate::keyed::{POSITION, keyed};
use crate::node::{Node, NodeOutput};
use crate::record::{code_version, inputs_label};
use crate::watch::watch;
use crate::{Counters, Engine};

/// The label of a version that comes behind what was stored before it.
pub(crate) const APPENDED: &str = "appended";

/// What an attempt works with.
pub(crate) struct AttemptInput {
    pub(crate) context: ComputeContext,
    /// That of the first output; further outputs get versions of their own.
    pub(crate) version: Version,
    pub(crate) input_versions: BTreeMap<String, Version>,
    pub(crate) counters: Arc<Counters>,
    /// Whether it is to need little memory.
    pub(crate) frugal: bool,
}

/// Sealed outputs that wait to be published.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) outputs: Vec<WrittenOutput>,
    pub(crate) checks: Vec<Evaluated>,
    pub(crate) metadata: OutputMetadata,
}

#[derive(Debug)]
pub(crate) struct WrittenOutput {
    pub(crate) output: String,
    pub(crate) mapping_key: Option<String>,
    pub(crate) version: Version,
    /// `None` for a unit, which is not stored.
    pub(crate) stored: Option<Arc<StoredTable>>,
    /// Of what its readers are going to scan.
    pub(crate) digests: Vec<DigestRecord>,
}

/// Runs a node and writes what it emits as new versions.
pub(crate) async fn attempt(
    engine: &Engine,
    node: &Node,
    input: AttemptInput,
) -> Result<Written, BoxError> {
    let context = input.context.clone();
    let emitted = node.work.run(input.context.clone()).await?.into_emitted();
    check_emitted(node, &emitted)?;
    let (mut outputs, mut checks) = (Vec::with_capacity(emitted.len()), Vec::new());
    let mut version = Some(input.version);
    for Emitted { output, mapping_key, plan } in emitted {
        let declared = node.output(&output).ok_or("an emitted output was checked")?;
        let version = version.take().unwrap_or_else(|| Version(Uuid::now_v7()));
        let (mut stored, mut digests) = (None, Vec::new());
        if let Some(plan) = plan {
            let target = target(node, declared, &input, mapping_key.as_deref(), version)?;
            let written = write(engine, declared, &target, plan, &input).await?;
            checks.extend(written.checks);
            (stored, digests) = (Some(written.stored), written.digests);
        }
        outputs.push(WrittenOutput { output, mapping_key, version, stored, digests });
    }
    Ok(Written { outputs, checks, metadata: context.output_metadata() })
}

/// Everything that is required was emitted, and nothing twice or undeclared.
fn check_emitted(node: &Node, emitted: &[Emitted]) -> Result<(), BoxError> {
    let mut seen = HashSet::new();
    for Emitted { output, mapping_key, .. } in emitted {
        if node.output(output).is_none() {
            return Err(format!("it emitted `{output}`, which is none of its outputs").into());
        }
        if !seen.insert((output, mapping_key)) {
            return Err(format!("it emitted `{output}` twice").into());
        }
    }
    let missing = node.outputs.iter().find(|declared| {
        declared.required && !emitted.iter().any(|emitted| emitted.output == declared.name)
    });
    match missing {
        Some(missing) => {
            Err(format!("it did not emit `{}`, which is required", missing.name).into())
        }
        None => Ok(()),
    }
}

/// An asset has its own place; any other output has one in the folder of its run.
fn table_path(
    declared: &NodeOutput,
    input: &AttemptInput,
    mapping_key: Option<&str>,
) -> Result<TablePath, BoxError> {
    if let Some(resolved) = &declared.asset {
        return Ok(resolved.asset.key.table_path());
    }
    let info = &input.context.info;
    let step = info.step_key.replace(['.', '/'], ":");
    let mut segments = vec!["_runs", &info.run_id, &step, &declared.name];
    segments.extend(mapping_key);
    Ok(TablePath::new(segments)?)
}

/// Where an output goes, and what is written beside it.
fn target(
    node: &Node,
    declared: &NodeOutput,
    input: &AttemptInput,
    mapping_key: Option<&str>,
    version: Version,
) -> Result<WriteTarget, BoxError> {
    let resolved = declared.asset.as_deref();
    let storage = resolved.map(|resolved| resolved.asset.storage.clone()).unwrap_or_default();
    Ok(WriteTarget {
        table: table_path(declared, input, mapping_key)?,
        version,
        promised: resolved.and_then(|resolved| resolved.schema.clone()),
        partitions: input
            .context
            .partitions
            .as_deref()
            .filter(|_| resolved.is_some())
            .map(|of| PartitionedWrite { column: POSITION.to_owned(), keys: of.texts().into() }),
        partition_by: storage.partition_by,
        options: storage.options,
        labels: labels(node, declared, input),
    })
}

/// A sealed table, and what was found out while it was written.
struct Sealed {
    stored: Arc<StoredTable>,
    checks: Vec<Evaluated>,
    digests: Vec<DigestRecord>,
}

/// Writes the rows of an output, and what the checks of its asset say of them.
async fn write(
    engine: &Engine,
    declared: &NodeOutput,
    target: &WriteTarget,
    plan: Arc<dyn ExecutionPlan>,
    input: &AttemptInput,
) -> Result<Sealed, BoxError> {
    let resolved = declared.asset.as_deref();
    if let (Some(promised), Some(resolved)) = (&target.promised, resolved) {
        let mut difference = TableSchema::new(Arc::clone(promised)).difference(&plan.schema());
        // Whether a column holds nulls is known only when its rows are.
        difference.columns.retain(|c| !matches!(c, ColumnDifference::Nullable { .. }));
        if !difference.is_empty() {
            return Err(schema_error(&resolved.asset.key, difference));
        }
    }
    let rows = match resolved {
        Some(resolved) => watched_checks(resolved, &plan.schema())?,
        None => Arc::default(),
    };
    let manager = engine.manager(&declared.io_manager)?;
    let plan = match (&input.context.partitions, &target.partitions) {
        (Some(partitions), Some(_)) => {
            let leaves_out = resolved.is_some_and(|resolved| match &resolved.asset.body {
                Body::Computed(compute) => compute.filters_partitions(),
                _ => false,
            });
            let keyed = keyed(plan, Arc::clone(partitions), leaves_out)?;
            Arc::new(keyed) as Arc<dyn ExecutionPlan>
        }
        _ => plan,
    };
    let scans = resolved.map_or(&[][..], |of| engine.scanned.of(&engine.resolved, &of.asset.key));
    let scanned = WrittenDigests::new(&engine.session.state, scans, &plan.schema()).map(Arc::new);
    let watched = watch(plan, Arc::clone(&input.counters), Arc::clone(&rows), scanned.clone());
    let task = Arc::clone(&engine.session_of(input.frugal).task);
    let stored = manager.write(Arc::new(watched), task, target).await?;
    let stored = Arc::new(stored);
    let Some(resolved) = resolved else {
        return Ok(Sealed { stored, checks: Vec::new(), digests: Vec::new() });
    };
    refuse_nulls(resolved, &stored)?;
    let checks = evaluate(resolved, &stored, manager, &rows, &input.context).await?;
    let keys = target.partitions.as_ref().map_or(&[][..], |of| &*of.keys);
    let digests = scanned.map_or_else(Vec::new, |scanned| scanned.records(&stored, keys));
    Ok(Sealed { stored, checks, digests })
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
fn labels(node: &Node, declared: &NodeOutput, input: &AttemptInput) -> BTreeMap<String, String> {
    let info = &input.context.info;
    let mut labels = BTreeMap::from([
        ("run".to_owned(), info.run_id.clone()),
        ("step".to_owned(), info.step_key.clone()),
        ("io_manager".to_owned(), declared.io_manager.clone()),
        ("inputs".to_owned(), inputs_label(&input.input_versions)),
    ]);
    if node.appends() && input.context.previous.is_some() {
        labels.insert(APPENDED.to_owned(), "true".to_owned());
    }
    if let Some(resolved) = &declared.asset {
        labels.insert("asset".to_owned(), resolved.asset.key.to_string());
    }
    let code = declared.asset.as_ref().and_then(|resolved| code_version(&resolved.asset));
    if let Some(code) = code.or_else(|| node.code_version.clone()) {
        labels.insert("code_version".to_owned(), code);
    }
    labels
}
