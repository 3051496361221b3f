//! The instance and its daemon, and what the repository is configured with.

use std::collections::BTreeMap;

use arrowsmith_daemon::is_late;
use arrowsmith_instance::{LiveRun, RunStatus};
use axum::Json;
use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::Answer;
use crate::Web;

/// The instance.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct InstanceInfo {
    version: &'static str,
    /// Its database without credentials; the file in the home if it is open.
    database: Option<String>,
    home: Option<String>,
    /// The newest migration of the database.
    migration: i64,
    /// Whether the daemon of this server leads.
    leads: bool,
    duties: Vec<DutyInfo>,
    /// Runs by state.
    runs: BTreeMap<String, u64>,
    /// How many versions are known.
    materializations: u64,
    /// How many events are kept.
    events: u64,
    /// Runs that wait, in the order in which they begin.
    queue: Vec<QueueEntry>,
    /// Runs that may go on at the same time.
    max_concurrent_runs: usize,
    pools: Vec<PoolInfo>,
    /// What is stored, largest first.
    stored: Vec<StoredInfo>,
    /// Bytes of all stored versions.
    stored_bytes: u64,
}

/// A duty of the daemon.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DutyInfo {
    duty: String,
    /// When it was last done.
    at: i64,
    /// Whether that is long ago.
    late: bool,
    error: Option<String>,
}

/// A run that waits or goes on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueEntry {
    run_id: String,
    status: String,
    priority: i64,
    created_at: i64,
}

/// A pool of slots.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PoolInfo {
    name: String,
    limit: usize,
    /// Steps that hold a slot now.
    used: u64,
}

/// What is stored of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StoredInfo {
    asset: String,
    versions: u64,
    size_bytes: u64,
}

/// The instance and its daemon.
#[utoipa::path(get, path = "/instance", responses((status = 200, body = InstanceInfo)))]
pub(crate) async fn instance(State(web): State<Web>) -> Answer<InstanceInfo> {
    let engine = web.engine()?;
    let instance = &engine.instance;
    let now = engine.now();
    let counts = instance.counts().await?;
    let stored = instance.stored_bytes().await?;
    let queue = instance.runs_that_are(&[RunStatus::Queued]).await?;
    let entry = |run: LiveRun| QueueEntry {
        run_id: run.run_id.to_string(),
        status: run.status.to_string(),
        priority: run.priority,
        created_at: run.created_at,
    };
    let duties = instance.heartbeats().await?.into_iter().map(|beat| DutyInfo {
        late: is_late(&beat, now),
        duty: beat.duty,
        at: beat.at,
        error: beat.error,
    });
    let pools = engine.pools().into_iter().map(|(name, limit)| PoolInfo {
        used: counts.slots.get(&name).copied().unwrap_or(0),
        name,
        limit,
    });
    Ok(Json(InstanceInfo {
        version: env!("CARGO_PKG_VERSION"),
        database: instance.database().map(str::to_owned),
        home: instance.home().map(|home| home.display().to_string()),
        migration: instance.migration().await?,
        leads: web.daemon().leads(),
        duties: duties.collect(),
        runs: counts.runs,
        materializations: counts.materializations,
        events: counts.events,
        queue: queue.into_iter().take(200).map(entry).collect(),
        max_concurrent_runs: engine.resolved.operations.max_concurrent_runs,
        pools: pools.collect(),
        stored_bytes: stored.iter().map(|of| of.size_bytes).sum(),
        stored: stored
            .into_iter()
            .take(50)
            .map(|of| StoredInfo {
                asset: of.asset,
                versions: of.versions,
                size_bytes: of.size_bytes,
            })
            .collect(),
    }))
}

/// A resource of the repository.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ResourceInfo {
    name: String,
    /// Its type in Rust.
    type_name: String,
    /// Resources that it needs itself.
    needs: Vec<String>,
    /// What it may be configured with, as JSON Schema.
    schema: Option<Value>,
    /// What the repository configures it with; secrets are shown as `{ env = NAME }`, never their values.
    config: Value,
}

/// An IO manager of the repository.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IoManagerInfo {
    name: String,
    kind: String,
    /// Where it stores, without credentials.
    store: String,
    /// How many assets it stores.
    assets: usize,
}

/// What the repository is configured with.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Resources {
    resources: Vec<ResourceInfo>,
    io_managers: Vec<IoManagerInfo>,
}

/// Resources and IO managers.
#[utoipa::path(get, path = "/resources", responses((status = 200, body = Resources)))]
pub(crate) async fn resources(State(web): State<Web>) -> Answer<Resources> {
    let engine = web.engine()?;
    let of = &engine.resolved;
    let resource =
        |(name, definition): (&String, &arrowsmith_definitions::ResourceDefinition)| ResourceInfo {
            name: name.clone(),
            type_name: definition.type_name.to_owned(),
            needs: definition.needs.iter().map(|need| need.name.clone()).collect(),
            schema: definition.config.as_ref().map(|config| config.schema.clone()),
            config: redacted(&definition.default_config),
        };
    let used = |name: &str| {
        of.assets.values().filter(|a| a.asset.is_materializable() && a.io_manager == name).count()
    };
    let mut io_managers: Vec<IoManagerInfo> = of
        .io_managers
        .iter()
        .map(|(name, manager)| IoManagerInfo {
            name: name.clone(),
            kind: manager.kind().to_owned(),
            store: manager.store_url(),
            assets: used(name),
        })
        .collect();
    io_managers.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Json(Resources { resources: of.resources.iter().map(resource).collect(), io_managers }))
}

/// A configuration in which texts under names that sound like secrets are not shown.
fn redacted(value: &Value) -> Value {
    const SECRET: [&str; 5] = ["password", "secret", "token", "key", "credential"];
    match value {
        Value::Object(entries) => {
            let entry = |(name, value): (&String, &Value)| {
                let lower = name.to_lowercase();
                let hides = value.is_string() && SECRET.iter().any(|word| lower.contains(word));
                let shown = if hides { Value::from("…") } else { redacted(value) };
                (name.clone(), shown)
            };
            entries.iter().map(entry).collect()
        }
        Value::Array(items) => items.iter().map(redacted).collect(),
        other => other.clone(),
    }
}
