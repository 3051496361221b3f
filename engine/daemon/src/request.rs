//! From what a schedule or sensor asks for to a run in the queue.

use std::collections::BTreeMap;

use arrowsmith_definitions::{JobTarget, RunRequest, RunTarget, nearest};
use arrowsmith_execution::{Engine, Error as ExecutionError};
use arrowsmith_instance::{Launch, QueuedRun, RunId, TimeMicros};
use uuid::Builder;

use crate::queue::PRIORITY_TAG;

/// Who asks for runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asker<'a> {
    /// Such as `schedule:nightly`.
    pub(crate) instigator: &'a str,
    /// What runs unless a request says otherwise.
    pub(crate) target: Option<&'a RunTarget>,
    /// Labels of all its runs.
    pub(crate) tags: &'a BTreeMap<String, String>,
    /// The moment that it asks at, from which ids of runs follow.
    pub(crate) at: TimeMicros,
}

impl Asker<'_> {
    /// The runs that requests stand for.
    ///
    /// # Errors
    /// What is wrong with one of them, in one sentence.
    pub(crate) fn runs(
        &self,
        engine: &Engine,
        requests: Vec<RunRequest>,
        now: TimeMicros,
    ) -> Result<Vec<QueuedRun>, String> {
        let run = |(index, request)| {
            let run_id = derived_run_id(self.instigator, self.at, index);
            self.run(engine, run_id, request, now)
        };
        requests.into_iter().enumerate().map(run).collect()
    }

    fn run(
        &self,
        engine: &Engine,
        run_id: RunId,
        request: RunRequest,
        now: TimeMicros,
    ) -> Result<QueuedRun, String> {
        let target = request.target.as_ref().or(self.target);
        let target = target.ok_or("a request says neither which job runs nor which assets")?;
        let mut tags = self.tags.clone();
        if let Some((kind, name)) = self.instigator.split_once(':') {
            tags.insert(format!("arrowsmith/{kind}"), name.to_owned());
        }
        tags.extend(request.tags.clone());
        queued_run(
            engine,
            run_id,
            target,
            RunRequest { tags, ..request.clone() },
            self.instigator,
            now,
        )
    }
}

/// The run that a request for a target stands for.
///
/// # Errors
/// What is wrong with it, in one sentence.
pub fn queued_run(
    engine: &Engine,
    run_id: RunId,
    target: &RunTarget,
    request: RunRequest,
    origin: &str,
    now: TimeMicros,
) -> Result<QueuedRun, String> {
    let mut tags = BTreeMap::new();
    let (job, selection) = match target {
        RunTarget::Assets(selection) => (None, selection.clone()),
        RunTarget::Job(name) => {
            let job = engine.job(name).map_err(|error| match error {
                ExecutionError::NoJob { .. } => error.to_string(),
                other => crate::error::chain(&other),
            })?;
            tags.clone_from(&job.tags);
            let selection = match &job.target {
                JobTarget::Assets(selection) => selection.clone(),
                JobTarget::Graph(_) => "*".to_owned(),
            };
            (Some(name.clone()), selection)
        }
    };
    if job.is_none() && !request.config.is_null() {
        return Err("a run config is one of a job, and this run is of assets".to_owned());
    }
    tags.extend(request.tags);
    let priority = match tags.get(PRIORITY_TAG) {
        Some(text) => text
            .parse()
            .map_err(|_| format!("tag `{PRIORITY_TAG}` is a whole number, not `{text}`"))?,
        None => 0,
    };
    let launch = Launch {
        job,
        selection,
        partitions: request.partitions,
        partitions_of: BTreeMap::new(),
        only_needed: request.only_needed,
        config: request.config,
        reexecute: None,
        backfill: None,
    };
    Ok(QueuedRun {
        run_id,
        environment: engine.environment.clone(),
        launch,
        tags,
        priority,
        origin: origin.to_owned(),
        run_key: request.run_key,
        parent: None,
        root: run_id,
        at: now,
    })
}

/// The id of a run that follows from who asks for it and for which moment, so that the same request is
/// the same run. It is as old as that moment.
pub fn derived_run_id(instigator: &str, at: TimeMicros, index: usize) -> RunId {
    let hash = blake3::hash(format!("{instigator}\n{at}\n{index}").as_bytes());
    let mut random = [0; 10];
    random.copy_from_slice(&hash.as_bytes()[..10]);
    let millis = u64::try_from(at / 1000).unwrap_or_default();
    RunId(Builder::from_unix_timestamp_millis(millis, &random).into_uuid())
}

/// One partition in the language of sets.
pub(crate) fn exactly(key: &str) -> String {
    let is_plain = |part: &str| {
        part.chars().all(|c| c.is_alphanumeric() || "-_:.+".contains(c))
            && !["all", "missing", "materialized", "latest"].contains(&part)
    };
    let parts = key.split('|');
    let parts = parts.map(|part| if is_plain(part) { part.into() } else { format!("\"{part}\"") });
    parts.collect::<Vec<String>>().join("|")
}

/// The nearest of some names.
pub(crate) fn near<'a>(name: &str, of: impl IntoIterator<Item = &'a String>) -> Option<String> {
    nearest(name, of.into_iter().map(String::as_str)).map(str::to_owned)
}
