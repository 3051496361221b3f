//! Sensors: runs when something has happened.
//!
//! A sensor is looked at again and again, never more often than its interval says. It remembers by a
//! *cursor* what it has seen: the cursor moves in the same transaction in which its runs are queued, so
//! that nothing is seen twice and nothing is missed.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use jiff::Timestamp;
use serde_json::Value;

use crate::schedule::boxed;
use crate::{AssetKey, BoxError, Place, RunRequest, RunTarget, Secret};

/// How long passes at least between two looks, unless a sensor says otherwise.
const MIN_INTERVAL: Duration = Duration::from_secs(30);

/// Runs when something has happened.
#[derive(Clone)]
pub struct Sensor {
    /// Its name: letters, digits and `_`.
    pub name: String,
    /// Markdown.
    pub description: Option<String>,
    /// What it looks at.
    pub kind: SensorKind,
    /// What runs if a request does not say it.
    pub target: Option<RunTarget>,
    /// Labels of its runs.
    pub tags: std::collections::BTreeMap<String, String>,
    /// How long passes at least between two looks.
    pub min_interval: Duration,
    /// Whether it looks although nobody has started it.
    pub runs_by_default: bool,
    /// Where it is defined.
    pub place: Option<Place>,
}

/// What a sensor looks at.
#[derive(Clone)]
pub enum SensorKind {
    /// Whatever its function looks at.
    Function(Arc<SensorFunction>),
    /// Materializations of assets.
    Assets(AssetSensor),
    /// Runs that have ended.
    Runs(RunSensor),
    /// Objects of a store that are new or have changed.
    Files(FileSensor),
    /// Calls of `POST /webhooks/NAME` with the secret.
    Webhook {
        /// What a caller signs with: `X-Arrowsmith-Signature: sha256=HMAC` of the body, as GitHub
        /// does, or sends as `Authorization: Bearer SECRET`.
        secret: Secret<String>,
    },
}

/// The function of a sensor.
pub type SensorFunction =
    dyn Fn(SensorContext) -> BoxFuture<'static, Result<SensorResult, BoxError>> + Send + Sync;

/// Looks at materializations of assets.
#[derive(Clone)]
pub struct AssetSensor {
    /// The assets, as a selection.
    pub selection: String,
    /// Whether it waits until each of them has been materialized since its last run; otherwise each
    /// materialization makes a run.
    pub all: bool,
    /// Says which runs materializations ask for; otherwise one of the target, with the partitions.
    pub function: Option<Arc<AssetEventFunction>>,
}

/// What an asset sensor asks for when it has seen materializations.
pub type AssetEventFunction = dyn Fn(&[AssetEvent]) -> SensorResult + Send + Sync;

/// Looks at runs that have ended.
#[derive(Clone)]
pub struct RunSensor {
    /// Which ends it looks at; all if it is empty.
    pub ends: Vec<RunEnd>,
    /// Whose runs it looks at, by the names of jobs; all runs if it is empty.
    pub jobs: Vec<String>,
    /// Says which runs an end asks for; otherwise one of the target.
    pub function: Option<Arc<RunEventFunction>>,
}

/// What a run sensor does when it has seen the end of a run.
pub type RunEventFunction =
    dyn Fn(RunEvent) -> BoxFuture<'static, Result<SensorResult, BoxError>> + Send + Sync;

/// Looks at objects of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSensor {
    /// A URL or a path below the project, with `*`, `**`, and `{partition}` where a partition key
    /// stands.
    pub files: String,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunEnd {
    /// Everything that it planned is published.
    Success,
    /// Something failed.
    Failure,
    /// It was stopped.
    Canceled,
}

/// A materialization that has happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AssetEvent {
    /// Rises with time.
    pub event_id: i64,
    /// The asset.
    pub asset: AssetKey,
    /// The partition, if the asset has any.
    pub partition_key: Option<String>,
    /// The run.
    pub run_id: String,
    /// When.
    pub at: Timestamp,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEvent {
    /// Rises with time.
    pub event_id: i64,
    /// The run.
    pub run_id: String,
    /// Its job, if it was of one.
    pub job: Option<String>,
    /// What was selected.
    pub selection: String,
    /// How it ended.
    pub end: RunEnd,
    /// Why, if not well.
    pub error: Option<String>,
    /// When.
    pub at: Timestamp,
}

/// What has happened in the instance, as sensors may ask.
#[async_trait]
pub trait Happenings: fmt::Debug + Send + Sync {
    /// Materializations after an event, oldest first.
    async fn materializations(
        &self,
        assets: &[AssetKey],
        after: i64,
    ) -> Result<Vec<AssetEvent>, BoxError>;

    /// Ends of runs after an event, oldest first.
    async fn ended_runs(&self, after: i64) -> Result<Vec<RunEvent>, BoxError>;
}

/// What a sensor is told.
#[derive(Debug, Clone)]
pub struct SensorContext {
    /// Now.
    pub now: Timestamp,
    /// What the sensor has said at its last tick.
    pub cursor: Option<String>,
    /// What has come with a call, if it is one of a webhook.
    pub payload: Option<Value>,
    /// What has happened in the instance.
    pub happenings: Arc<dyn Happenings>,
}

/// What a sensor has found.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct SensorResult {
    /// The runs that it asks for.
    pub run_requests: Vec<RunRequest>,
    /// Why there is none.
    pub skip_reason: Option<String>,
    /// What the next tick is to know; what is known stays if it is open.
    pub cursor: Option<String>,
    /// Keys that come to lists of dynamic partitions, before its runs.
    pub add_partitions: Vec<(String, Vec<String>)>,
    /// Keys that are taken from lists of dynamic partitions.
    pub remove_partitions: Vec<(String, Vec<String>)>,
}

impl SensorResult {
    /// Nothing is to be done.
    pub fn skip(reason: impl Into<String>) -> Self {
        Self { skip_reason: Some(reason.into()), ..Self::default() }
    }

    /// The same, which the next tick is to know.
    #[must_use]
    pub fn with_cursor(self, cursor: impl Into<String>) -> Self {
        Self { cursor: Some(cursor.into()), ..self }
    }

    /// The same with new keys of a list of dynamic partitions.
    #[must_use]
    pub fn with_partitions<S: Into<String>>(
        mut self,
        list: impl Into<String>,
        keys: impl IntoIterator<Item = S>,
    ) -> Self {
        let keys = keys.into_iter().map(Into::into).collect();
        self.add_partitions.push((list.into(), keys));
        self
    }
}

impl From<RunRequest> for SensorResult {
    fn from(request: RunRequest) -> Self {
        vec![request].into()
    }
}

impl From<Vec<RunRequest>> for SensorResult {
    fn from(run_requests: Vec<RunRequest>) -> Self {
        Self { run_requests, ..Self::default() }
    }
}

impl Sensor {
    /// A sensor that looks at whatever a function looks at.
    #[track_caller]
    pub fn new<F, Fut, R, E>(name: impl Into<String>, function: F) -> Self
    where
        F: Fn(SensorContext) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<SensorResult> + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::of(name, SensorKind::Function(Arc::new(boxed(function))))
    }

    /// A sensor that runs its target for each materialization of the assets of a selection, with
    /// their partitions.
    #[track_caller]
    pub fn asset(name: impl Into<String>, selection: impl Into<String>) -> Self {
        let selection = selection.into();
        Self::of(name, SensorKind::Assets(AssetSensor { selection, all: false, function: None }))
    }

    /// A sensor that runs its target when all assets of a selection have been materialized since it
    /// ran it last.
    #[track_caller]
    pub fn multi_asset(name: impl Into<String>, selection: impl Into<String>) -> Self {
        let selection = selection.into();
        Self::of(name, SensorKind::Assets(AssetSensor { selection, all: true, function: None }))
    }

    /// A sensor that runs its target when a run has ended so.
    #[track_caller]
    pub fn run_status(name: impl Into<String>, ends: impl Into<Vec<RunEnd>>) -> Self {
        let (ends, jobs) = (ends.into(), Vec::new());
        Self::of(name, SensorKind::Runs(RunSensor { ends, jobs, function: None }))
    }

    /// A sensor that does something when a run has failed.
    #[track_caller]
    pub fn run_failure<F, Fut, R, E>(name: impl Into<String>, function: F) -> Self
    where
        F: Fn(RunEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<SensorResult> + 'static,
        E: Into<BoxError> + 'static,
    {
        Self::run_status(name, [RunEnd::Failure]).on_run(function)
    }

    /// A sensor that looks for files that are new or have changed.
    #[track_caller]
    pub fn files(name: impl Into<String>, files: impl Into<String>) -> Self {
        Self::of(name, SensorKind::Files(FileSensor { files: files.into() }))
    }

    /// A sensor that waits for calls of `POST /webhooks/NAME`.
    #[track_caller]
    pub fn webhook(name: impl Into<String>, secret: Secret<String>) -> Self {
        Self::of(name, SensorKind::Webhook { secret })
    }

    /// A sensor of any kind.
    #[track_caller]
    pub fn of(name: impl Into<String>, kind: SensorKind) -> Self {
        Self {
            name: name.into(),
            description: None,
            kind,
            target: None,
            tags: Default::default(),
            min_interval: MIN_INTERVAL,
            runs_by_default: false,
            place: Some(Place::caller()),
        }
    }

    /// The sensor with what its requests run unless they say otherwise.
    #[must_use]
    pub fn with_target(self, target: RunTarget) -> Self {
        Self { target: Some(target), ..self }
    }

    /// The sensor of assets with a function that says which runs materializations ask for.
    #[must_use]
    pub fn on_materializations(
        mut self,
        function: impl Fn(&[AssetEvent]) -> SensorResult + Send + Sync + 'static,
    ) -> Self {
        if let SensorKind::Assets(of) = &mut self.kind {
            of.function = Some(Arc::new(function));
        }
        self
    }

    /// The sensor of runs with a function that is called for each end.
    #[must_use]
    pub fn on_run<F, Fut, R, E>(mut self, function: F) -> Self
    where
        F: Fn(RunEvent) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R, E>> + Send + 'static,
        R: Into<SensorResult> + 'static,
        E: Into<BoxError> + 'static,
    {
        if let SensorKind::Runs(of) = &mut self.kind {
            of.function = Some(Arc::new(boxed(function)));
        }
        self
    }

    /// The sensor of runs, of these jobs only.
    #[must_use]
    pub fn of_jobs<S: Into<String>>(mut self, jobs: impl IntoIterator<Item = S>) -> Self {
        if let SensorKind::Runs(of) = &mut self.kind {
            of.jobs = jobs.into_iter().map(Into::into).collect();
        }
        self
    }

    /// The sensor with one more label for its runs.
    #[must_use]
    pub fn with_tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// The sensor, never more often than this.
    #[must_use]
    pub fn with_min_interval(self, min_interval: Duration) -> Self {
        Self { min_interval, ..self }
    }

    /// The sensor, which looks although nobody has started it.
    #[must_use]
    pub fn running(self) -> Self {
        Self { runs_by_default: true, ..self }
    }

    /// What it looks at, in one word.
    pub const fn kind_name(&self) -> &'static str {
        match self.kind {
            SensorKind::Function(_) => "function",
            SensorKind::Assets(AssetSensor { all: false, .. }) => "asset",
            SensorKind::Assets(_) => "multi_asset",
            SensorKind::Runs(_) => "run_status",
            SensorKind::Files(_) => "files",
            SensorKind::Webhook { .. } => "webhook",
        }
    }
}

impl fmt::Debug for Sensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind_name();
        f.debug_struct("Sensor")
            .field("name", &self.name)
            .field("kind", &kind)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for SensorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SensorKind")
    }
}

impl fmt::Debug for AssetSensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AssetSensor").field("selection", &self.selection).finish_non_exhaustive()
    }
}

impl fmt::Debug for RunSensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunSensor").field("jobs", &self.jobs).finish_non_exhaustive()
    }
}
