//! The run queue: which of the runs that wait are handed to a process.

use std::collections::HashMap;
use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, Body, JobTarget, Selection, TagLimit, TagValues};
use arrowsmith_execution::Engine;
use arrowsmith_instance::{Launch, LiveRun, ProcessIdentity, RunStatus};

use crate::lead::micros;
use crate::{Daemon, Result};

/// The label whose value says which runs go first: a whole number, higher is earlier.
pub const PRIORITY_TAG: &str = "arrowsmith/priority";
/// The label whose value says how often a failed run is tried again.
pub const RETRIES_TAG: &str = "arrowsmith/max_retries";
/// The label whose value says what of a failed run is run again: `from_failure` or `all_steps`.
pub const RETRY_STRATEGY_TAG: &str = "arrowsmith/retry_strategy";

impl Daemon {
    /// Hands runs that wait to processes, as far as limits allow: those of a higher priority first,
    /// then those that have waited longer. A run that a limit holds back holds back no other. A run that
    /// is to make a table which another is making waits for it, since only the newer would be published.
    /// Returns how many began.
    ///
    /// # Errors
    /// Of the instance.
    pub async fn dequeue(&self) -> Result<usize> {
        let (Some(engine), Some(leader)) = (self.engine(), self.leader()) else { return Ok(0) };
        let operations = &engine.resolved.operations;
        let runs = self.shared.instance.queue().await?;
        let mut going: Vec<&LiveRun> =
            runs.iter().filter(|run| run.status != RunStatus::Queued).collect();
        let mut taken = Taken::default();
        let mut tables = Tables::new(&engine);
        for run in &going {
            taken.add(run, &operations.tag_limits);
            tables.add(run);
        }
        let mut began = 0;
        for run in runs.iter().filter(|run| run.status == RunStatus::Queued) {
            if going.len() >= operations.max_concurrent_runs {
                break;
            }
            if !taken.allows(run, &operations.tag_limits) || tables.overlap(run) {
                continue;
            }
            let now = self.now();
            let until = now + micros(operations.start_timeout);
            let by = ProcessIdentity::current();
            let claimed =
                self.shared.instance.claim_run(run.run_id, Some(leader), by, now, until).await?;
            if claimed {
                self.launch(&engine, run.run_id).await?;
                taken.add(run, &operations.tag_limits);
                tables.add(run);
                going.push(run);
                began += 1;
            }
        }
        Ok(began)
    }
}

/// How many runs go on under each limit.
#[derive(Debug, Default)]
struct Taken<'a>(HashMap<(usize, &'a str), usize>);

impl<'a> Taken<'a> {
    fn add(&mut self, run: &'a LiveRun, limits: &[TagLimit]) {
        for place in places(run, limits) {
            *self.0.entry(place).or_default() += 1;
        }
    }

    fn allows(&self, run: &'a LiveRun, limits: &[TagLimit]) -> bool {
        places(run, limits).iter().all(|place| {
            let taken = self.0.get(place).copied().unwrap_or_default();
            taken < limits[place.0].limit
        })
    }
}

/// The limits that a run counts for, each with the value that is counted.
fn places<'a>(run: &'a LiveRun, limits: &[TagLimit]) -> Vec<(usize, &'a str)> {
    let place = |(at, limit): (usize, &TagLimit)| {
        let value = run.tags.get(&limit.name)?;
        match &limit.values {
            TagValues::Any => Some((at, "")),
            TagValues::Each => Some((at, value.as_str())),
            TagValues::One(one) => (one == value).then_some((at, value.as_str())),
        }
    };
    limits.iter().enumerate().filter_map(place).collect()
}

/// The tables that runs are making: each asset with the partitions as they were asked for.
struct Tables<'a> {
    engine: &'a Engine,
    /// By job and selection.
    selected: HashMap<(Option<&'a str>, &'a str), Arc<Vec<AssetKey>>>,
    making: HashMap<AssetKey, Vec<Option<&'a str>>>,
}

impl<'a> Tables<'a> {
    fn new(engine: &'a Engine) -> Self {
        Self { engine, selected: HashMap::new(), making: HashMap::new() }
    }

    fn add(&mut self, run: &'a LiveRun) {
        let Some(launch) = &run.launch else { return };
        for asset in self.assets_of(launch).iter() {
            let making = self.making.entry(asset.clone()).or_default();
            making.push(launch.partitions.as_deref());
        }
    }

    fn overlap(&mut self, run: &'a LiveRun) -> bool {
        let Some(launch) = &run.launch else { return false };
        let wanted = launch.partitions.as_deref();
        let assets = self.assets_of(launch);
        assets.iter().any(|asset| {
            let Some(making) = self.making.get(asset) else { return false };
            let is_cut =
                self.engine.resolved.asset(asset).is_some_and(|of| of.asset.partitions.is_some());
            // Different sets of partitions go on side by side; a set that is open is all of them.
            making
                .iter()
                .any(|other| !is_cut || other.is_none() || wanted.is_none() || *other == wanted)
        })
    }

    /// The assets that a run makes; none of a job of ops, or of a selection that cannot be planned.
    fn assets_of(&mut self, launch: &'a Launch) -> Arc<Vec<AssetKey>> {
        let key = (launch.job.as_deref(), launch.selection.as_str());
        let found = self.selected.entry(key).or_insert_with(|| {
            let resolved = &self.engine.resolved;
            let job = launch.job.as_ref().and_then(|job| resolved.jobs.get(job));
            if job.is_some_and(|job| matches!(job.target, JobTarget::Graph(_))) {
                return Arc::default();
            }
            let selected = launch.selection.parse::<Selection>();
            let selected = selected.and_then(|of| of.evaluate(resolved));
            let is_made = |key: &AssetKey| {
                resolved.asset(key).is_some_and(|of| !matches!(of.asset.body, Body::External(_)))
            };
            Arc::new(selected.into_iter().flatten().filter(is_made).collect())
        });
        Arc::clone(found)
    }
}
