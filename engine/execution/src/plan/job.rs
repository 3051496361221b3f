//! Plans of jobs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrowsmith_definitions::{Entry, Job, JobTarget, check_config, nearest, run_shape};
use serde_json::Value;

use super::assets::Extras;
use super::{Plan, PlanRequest, Reason, ResolvedConfig, Step, with_longest_paths};
use crate::{Engine, Error, Result};

/// What a run of a job is asked to do.
#[derive(Debug, Clone, Default)]
pub struct JobRequest {
    /// The run config, which goes over that of the job; none if it is open.
    pub config: Option<Entry>,
    /// Which ops, in the form `x`, `x+`, `++x`, `*x`, `x*`, joined by commas; all if it is open.
    pub select: Option<String>,
    /// The partitions of its assets; the selection is that of the job.
    pub plan: PlanRequest,
}

impl Engine {
    /// The job of a name.
    ///
    /// # Errors
    /// `NoJob` with the nearest name.
    pub fn job(&self, name: &str) -> Result<&Arc<Job>> {
        let jobs = &self.resolved.jobs;
        jobs.get(name).ok_or_else(|| Error::NoJob {
            job: name.to_owned(),
            nearest: nearest(name, jobs.keys().map(String::as_str)).map(str::to_owned),
        })
    }

    /// Plans a run of a job.
    ///
    /// # Errors
    /// `NoJob`, `Config` with every error of the run config, `Selection`, or `Unplannable` with
    /// everything that is missing.
    pub async fn plan_job(&self, name: &str, request: &JobRequest) -> Result<Plan> {
        let job = Arc::clone(self.job(name)?);
        let given = request.config.clone().unwrap_or_else(Entry::empty);
        let given = given.over(Entry::of_value(&job.config));
        let of = format!("job `{}`", job.name);
        let shape = run_shape(&job, &self.resolved);
        let checked = check_config(&of, &given, &shape, &|name| std::env::var(name).ok());
        let config = checked.map_err(|problems| Error::Config { problems })?;
        let mut plan = match &job.target {
            JobTarget::Assets(selection) => {
                let extras = Extras { config, hooks: job.hooks.clone(), retry: job.retry };
                let plan = PlanRequest { selection: selection.clone(), ..request.plan.clone() };
                self.plan_selection(&plan, &extras).await?
            }
            JobTarget::Graph(graph) => {
                let ops = config.get("ops").cloned().unwrap_or_default();
                let nodes = super::graph::nodes(graph, &BTreeMap::new(), &ops, 0);
                let (nodes, _) = nodes.map_err(|problems| Error::Unplannable { problems })?;
                let steps = nodes.into_iter().map(|(key, mut node)| {
                    node.hooks.extend(job.hooks.iter().cloned());
                    node.policy.retry = node.policy.retry.or(job.retry);
                    let (after, reason) = (node.waits_for(), Reason::Selected);
                    let (node, longest_path) = (Arc::new(node), 1);
                    Step { key, reason, after, reads: Vec::new(), longest_path, node }
                });
                Plan {
                    fresh: 0,
                    selection: request.select.clone().unwrap_or_else(|| "*".to_owned()),
                    environment: self.environment.clone(),
                    steps: with_longest_paths(steps.collect()),
                    partitions: BTreeMap::new(),
                    pinned: HashMap::new(),
                    job: None,
                    parent: None,
                    root: None,
                    config: Value::Null,
                    resolved_config: ResolvedConfig(config),
                    max_concurrent: None,
                }
            }
        };
        plan.job = Some(job.name.clone());
        plan.config = given.value();
        let configured = plan.resolved_config.0.pointer("/execution/max_concurrent");
        let configured = configured.and_then(Value::as_u64);
        plan.max_concurrent =
            configured.and_then(|n| usize::try_from(n).ok()).or(job.max_concurrent);
        if let Some(select) = &request.select {
            let selected = select_steps(&plan.steps, select)?;
            super::reexecution::keep(&mut plan, &selected, None)?;
        }
        Ok(plan)
    }
}

/// The steps of a selection in the form of ops: `x` alone, `+` for one level more on its side, `*`
/// for all, commas between several.
pub(super) fn select_steps(steps: &[Arc<Step>], text: &str) -> Result<BTreeSet<usize>> {
    let mut selected = BTreeSet::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let name = part.trim_start_matches(['+', '*']);
        let up = levels(&part[..part.len() - name.len()]);
        let key = name.trim_end_matches(['+', '*']);
        let down = levels(&name[key.len()..]);
        let Some(at) = steps.iter().position(|step| step.key == key) else {
            let near = nearest(key, steps.iter().map(|step| step.key.as_str()));
            return Err(Error::NoStep { step: key.to_owned(), nearest: near.map(str::to_owned) });
        };
        let upstream = |at: usize| steps[at].after.clone();
        let downstream =
            |at: usize| (0..steps.len()).filter(|r| steps[*r].after.contains(&at)).collect();
        selected.extend(reach(at, up, upstream));
        selected.extend(reach(at, down, downstream));
    }
    Ok(selected)
}

/// `+` is one level, `++` two, and a `*` is all.
fn levels(signs: &str) -> usize {
    if signs.contains('*') { usize::MAX } else { signs.len() }
}

fn reach(from: usize, levels: usize, next: impl Fn(usize) -> Vec<usize>) -> BTreeSet<usize> {
    let mut reached = BTreeSet::from([from]);
    let mut frontier = vec![from];
    for _ in 0..levels {
        let further: Vec<usize> = frontier.iter().flat_map(|at| next(*at)).collect();
        frontier = further.into_iter().filter(|at| reached.insert(*at)).collect();
        if frontier.is_empty() {
            break;
        }
    }
    reached
}
