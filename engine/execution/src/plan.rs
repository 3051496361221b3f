//! From a selection to steps with pinned inputs.

mod assets;
mod config;
mod graph;
mod job;
mod missing;
mod needed;
mod partitions;
mod reason;
mod reexecution;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrowsmith_definitions::{AssetKey, PartitionExpr};
use arrowsmith_instance::{Pointer, RunId};
use serde::Serialize;
use serde_json::Value;

use arrowsmith_io_manager::Version;

use crate::node::{Node, NodeInput, NodeSource};

pub use job::JobRequest;
pub use reexecution::Reexecute;

/// What a plan is asked to make.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PlanRequest {
    /// The assets; empty means all.
    pub selection: String,
    /// The partitions of those that have any; all that exist if it is open.
    pub partitions: Option<PartitionExpr>,
    /// The partitions of single assets, in the place of `partitions`.
    pub partitions_of: BTreeMap<AssetKey, PartitionExpr>,
    /// Whether incremental assets are made anew, as if nothing was stored.
    pub full_refresh: bool,
    /// Whether what is fresh is left out: assets and partitions whose current versions are what would
    /// be computed again.
    pub only_needed: bool,
    /// Whether it is only asked what would be computed: inputs that are missing are no problem, and
    /// nothing is left out.
    pub is_question: bool,
}

impl PlanRequest {
    /// All of the selected assets, with all partitions.
    pub fn new(selection: impl Into<String>) -> Self {
        Self { selection: selection.into(), ..Self::default() }
    }

    /// The same with only some partitions.
    #[must_use]
    pub fn with_partitions(self, partitions: PartitionExpr) -> Self {
        Self { partitions: Some(partitions), ..self }
    }

    /// The same with sets of partitions by asset, as a plan or a run has them.
    pub(crate) fn with_told(mut self, told: &BTreeMap<String, String>) -> Self {
        let parsed =
            told.iter().filter_map(|(key, set)| Some((key.parse().ok()?, set.parse().ok()?)));
        self.partitions_of = parsed.collect();
        self
    }
}

/// Steps in an order in which each comes after what it reads.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What was selected, for people.
    pub selection: String,
    /// Whose pointers are moved.
    pub environment: String,
    /// The steps.
    pub steps: Vec<Arc<Step>>,
    /// How many tables and partitions were left out, because they are fresh.
    pub fresh: u64,
    /// The job, if it is a plan of one.
    pub job: Option<String>,
    /// The run whose outputs it goes on with.
    pub parent: Option<RunId>,
    /// The first run of which it is a continuation.
    pub root: Option<RunId>,
    /// The run config as it was given; `{ env = "NAME" }` stands for secrets.
    pub config: Value,
    /// The run config with the values of the environment.
    pub(crate) resolved_config: ResolvedConfig,
    /// Steps that run at the same time, if the job says so.
    pub max_concurrent: Option<usize>,
    /// The partitions that are made, by asset, in the language of the command line.
    pub partitions: BTreeMap<String, String>,
    /// What is read from outside of the plan, as it is current now.
    pub(crate) pinned: HashMap<AssetKey, Pointer>,
}

/// One asset or op that is to be run.
#[derive(Debug, Clone, Serialize)]
pub struct Step {
    /// The asset's key, or the path of the op's node.
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
    pub(crate) node: Arc<Node>,
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
    /// It is stale because of something else.
    Stale {
        /// What.
        cause: String,
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
            Self::Stale { cause } => f.write_str(cause),
            Self::Selected => f.write_str("selected"),
        }
    }
}

/// A run config in which secrets may stand, so that it is never shown.
#[derive(Clone, Default)]
pub(crate) struct ResolvedConfig(pub(crate) Value);

impl std::fmt::Debug for ResolvedConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ResolvedConfig(…)")
    }
}

impl Plan {
    /// A plan without steps.
    pub(crate) fn nothing(environment: &str) -> Self {
        Self {
            selection: String::new(),
            environment: environment.to_owned(),
            steps: Vec::new(),
            fresh: 0,
            job: None,
            parent: None,
            root: None,
            config: Value::Null,
            resolved_config: ResolvedConfig::default(),
            max_concurrent: None,
            partitions: BTreeMap::new(),
            pinned: HashMap::new(),
        }
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The versions that it reads although they may be replaced meanwhile.
    pub(crate) fn pins(&self) -> Vec<Version> {
        let mut pins: Vec<Version> = self.pinned.values().map(|pinned| pinned.version).collect();
        let inputs = self.steps.iter().flat_map(|step| &step.node.inputs);
        for source in inputs.flat_map(NodeInput::leaves) {
            if let NodeSource::Partitions(of) = source {
                pins.extend(of.pinned.iter().map(|(version, _)| *version));
            }
        }
        pins.sort_unstable();
        pins.dedup();
        pins
    }
}

/// Sets for each step how many there are on the longest path from it to an end.
fn with_longest_paths(mut steps: Vec<Step>) -> Vec<Arc<Step>> {
    for at in (0..steps.len()).rev() {
        let length = steps[at].longest_path + 1;
        for before in steps[at].after.clone() {
            steps[before].longest_path = steps[before].longest_path.max(length);
        }
    }
    steps.into_iter().map(Arc::new).collect()
}
