//! The checks of a version that was written and is not published yet.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrowsmith_definitions::{
    AssetCheck, BoxError, CheckContext, CheckResult, CheckSeverity, ComputeContext, ResolvedAsset,
};
use arrowsmith_instance::Event;
use arrowsmith_io_manager::{IoManager, StoredTable};

use crate::watch::WatchedCheck;

/// What a check has found of one asset.
#[derive(Debug)]
pub(crate) struct Evaluated {
    pub(crate) asset: String,
    pub(crate) event: Event,
    /// Why nothing is published, if the failure keeps it from being.
    pub(crate) blocking: Option<String>,
}

/// The checks that are evaluated while the rows are written.
pub(crate) fn watched_checks(
    resolved: &ResolvedAsset,
    schema: &SchemaRef,
) -> Result<Arc<[WatchedCheck]>, BoxError> {
    let mut checks = Vec::new();
    for (at, check) in resolved.asset.checks.iter().enumerate() {
        if let Some(watch) = check.body.watch(schema)? {
            checks.push(WatchedCheck::new(at, watch)?);
        }
    }
    Ok(checks.into())
}

/// Evaluates every check of an asset on the version that was written.
pub(crate) async fn evaluate(
    resolved: &ResolvedAsset,
    stored: &Arc<StoredTable>,
    manager: &Arc<dyn IoManager>,
    watched: &[WatchedCheck],
    step: &ComputeContext,
) -> Result<Vec<Evaluated>, BoxError> {
    let mut evaluated = Vec::new();
    for (at, check) in resolved.asset.checks.iter().enumerate() {
        let result = match watched.iter().find(|watched| watched.at == at) {
            Some(watched) => watched.result(),
            None => {
                let context = CheckContext {
                    key: resolved.asset.key.clone(),
                    table: manager.provider(stored)?,
                    row_count: stored.row_count,
                    step: step.clone(),
                };
                check.body.evaluate(context).await
            }
        };
        let failed = |e: BoxError| format!("check `{}` could not be evaluated: {e}", check.name);
        evaluated.push(told(resolved, stored, check, result.map_err(failed)?));
    }
    Ok(evaluated)
}

fn told(
    resolved: &ResolvedAsset,
    stored: &StoredTable,
    check: &AssetCheck,
    result: CheckResult,
) -> Evaluated {
    let severity = match check.severity {
        CheckSeverity::Warn => "warn",
        CheckSeverity::Error => "error",
    };
    let why = match (&result.found, result.failing_rows) {
        (Some(found), _) => found.clone(),
        (None, Some(1)) => "it does not hold for 1 row".to_owned(),
        (None, Some(rows)) => format!("it does not hold for {rows} rows"),
        (None, None) => "it does not hold".to_owned(),
    };
    let sample = result.sample.iter().take(3).map(ToString::to_string);
    let sample = sample.collect::<Vec<_>>().join(", ");
    let rows = if sample.is_empty() { String::new() } else { format!(", such as {sample}") };
    let (key, name) = (&resolved.asset.key, &check.name);
    if !result.passed {
        tracing::warn!(check = %name, severity, "check of `{key}` failed: {why}{rows}");
    }
    let blocking = (!result.passed && check.blocks())
        .then(|| format!("check `{name}` of `{key}` failed: {why}{rows}"));
    Evaluated {
        asset: key.to_string(),
        event: Event::AssetCheckEvaluation {
            check: name.clone(),
            version: stored.version.to_string(),
            passed: result.passed,
            severity: severity.to_owned(),
            blocks: check.blocks(),
            failing_rows: result.failing_rows,
            sample: result.sample,
            found: result.found,
        },
        blocking,
    }
}
