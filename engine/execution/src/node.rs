//! What a step is made of: one node, whether it is an asset or an op.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrowsmith_definitions::{
    AssetKey, BoxError, Compute, ComputeContext, ExecutionPolicy, Hook, Materialized, Op, Outputs,
    PartitionKeys, PartitionMapping, ResolvedAsset, ResourceNeed, StepPartitions,
};
use arrowsmith_instance::OutputRecord;
use arrowsmith_io_manager::Version;
use serde_json::Value;

use crate::fresh::Consumes;

/// The work of a step, and how it hangs together with other steps.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) work: Work,
    pub(crate) inputs: Vec<NodeInput>,
    pub(crate) outputs: Vec<NodeOutput>,
    pub(crate) policy: ExecutionPolicy,
    pub(crate) config: Arc<Value>,
    pub(crate) resources: Vec<ResourceNeed>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) pool: Option<String>,
    pub(crate) code_version: Option<String>,
    /// The step whose dynamic output says how many steps this one stands for.
    pub(crate) mapped_over: Option<usize>,
    /// The key of the dynamic output, once it is known.
    pub(crate) mapping_key: Option<String>,
    /// The partitions that it makes, if its assets have any.
    pub(crate) partitions: Option<Arc<StepPartitions>>,
    /// Whether an incremental asset is made anew, as if nothing was stored.
    pub(crate) full_refresh: bool,
    /// What it consumes, if that is known; only then is it remembered what its versions are made of.
    pub(crate) consumes: Option<Arc<Consumes>>,
    /// The current version of each partition that it would make (index zero for one without
    /// partitions), if it is not computed where that is fresh.
    pub(crate) current: Option<Arc<BTreeMap<u32, Version>>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Work {
    Asset(Arc<dyn Compute>),
    Op(Arc<Op>),
}

impl Work {
    pub(crate) async fn run(&self, context: ComputeContext) -> Result<Outputs, BoxError> {
        match self {
            Self::Asset(compute) => Ok(Outputs::table(compute.compute(context).await?)),
            Self::Op(op) => op.body.run(context).await,
        }
    }
}

/// An input and where its value comes from.
#[derive(Debug, Clone)]
pub(crate) struct NodeInput {
    pub(crate) name: String,
    /// Whether each source is one item of a list.
    pub(crate) gathered: bool,
    /// Whether it only orders, so that no value is loaded.
    pub(crate) is_nothing: bool,
    /// The IO manager that loads it, if it is not the one that stored it.
    pub(crate) io_manager: Option<String>,
    pub(crate) sources: Vec<NodeSource>,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeSource {
    /// An output of a step of the same run.
    Step { at: usize, output: String, mapping_key: Option<String>, collect: bool },
    /// The pinned version of an asset, or an external one.
    Asset(AssetKey),
    /// Some partitions of an asset, or all versions of one that appends.
    Partitions(Arc<PartitionSource>),
    /// An asset that is computed where it is read.
    View { asset: AssetKey, inputs: Vec<NodeInput> },
    /// What a step of an earlier run has emitted.
    Stored(Arc<OutputRecord>),
    /// What a step of an earlier run had not emitted.
    Absent { step: String, output: String },
    /// A value that stands in the graph or the run config.
    Literal(Value),
}

/// Partitions of one asset and where they come from.
#[derive(Debug, Clone)]
pub(crate) struct PartitionSource {
    pub(crate) asset: AssetKey,
    /// Steps and outputs of the same run, each with the keys that are read of it.
    pub(crate) made: Vec<(usize, String, Vec<String>)>,
    /// Current versions with keys.
    pub(crate) pinned: Vec<(Version, Vec<String>)>,
    /// Keys of an asset that Arrowsmith only reads.
    pub(crate) external: Vec<String>,
    /// Whether it is everything that is current when the steps before have ended.
    pub(crate) is_all: bool,
    /// Whether it is an asset that appends, whose versions together are all of it.
    pub(crate) is_appended: bool,
    /// What each partition of the reader needs of it; everything if it is open.
    pub(crate) mapped: Option<Arc<Mapped>>,
}

/// A mapping between the partitions of a reader and of what it reads.
#[derive(Debug)]
pub(crate) struct Mapped {
    pub(crate) mapping: PartitionMapping,
    pub(crate) mine: Arc<PartitionKeys>,
    pub(crate) theirs: Arc<PartitionKeys>,
}

impl PartitionSource {
    pub(crate) fn new(asset: AssetKey) -> Self {
        Self {
            asset,
            made: Vec::new(),
            pinned: Vec::new(),
            external: Vec::new(),
            is_all: false,
            is_appended: false,
            mapped: None,
        }
    }

    /// The newest of the versions that are pinned.
    pub(crate) fn newest(&self) -> Option<Version> {
        self.pinned.iter().map(|(version, _)| *version).max()
    }
}

/// An output and where it goes.
#[derive(Debug, Clone)]
pub(crate) struct NodeOutput {
    pub(crate) name: String,
    pub(crate) io_manager: String,
    pub(crate) required: bool,
    pub(crate) dynamic: bool,
    /// The asset that it is, if it is one.
    pub(crate) asset: Option<Arc<ResolvedAsset>>,
}

impl NodeInput {
    /// Its sources, with those of views in their place.
    pub(crate) fn leaves(&self) -> Vec<&NodeSource> {
        let leaves = self.sources.iter().flat_map(|source| match source {
            NodeSource::View { inputs, .. } => inputs.iter().flat_map(Self::leaves).collect(),
            leaf => vec![leaf],
        });
        leaves.collect()
    }
}

impl Node {
    /// The steps that must have ended before this one can begin.
    pub(crate) fn waits_for(&self) -> Vec<usize> {
        let sources = self.inputs.iter().flat_map(NodeInput::leaves);
        let mut steps: Vec<usize> = sources
            .flat_map(|source| match source {
                NodeSource::Step { at, .. } => vec![*at],
                NodeSource::Partitions(of) => of.made.iter().map(|(at, ..)| *at).collect(),
                _ => Vec::new(),
            })
            .collect();
        steps.sort_unstable();
        steps.dedup();
        steps
    }

    /// The assets that it makes, in the order of its outputs.
    pub(crate) fn assets(&self) -> Vec<AssetKey> {
        let assets = self.outputs.iter().filter_map(|output| output.asset.as_ref());
        assets.map(|resolved| resolved.asset.key.clone()).collect()
    }

    /// Whether its asset keeps what is stored and adds to it.
    pub(crate) fn appends(&self) -> bool {
        self.outputs
            .iter()
            .filter_map(|output| output.asset.as_ref())
            .any(|resolved| matches!(resolved.asset.materialized, Materialized::Append { .. }))
    }

    pub(crate) fn output(&self, name: &str) -> Option<&NodeOutput> {
        self.outputs.iter().find(|output| output.name == name)
    }

    /// One of the steps that it stands for. `instances` are those of the same key by the step that
    /// they stand for.
    pub(crate) fn instance(
        &self,
        key: &str,
        over: usize,
        instances: &BTreeMap<usize, usize>,
    ) -> Self {
        let mut node = self.clone();
        node.mapped_over = None;
        node.mapping_key = Some(key.to_owned());
        for source in node.inputs.iter_mut().flat_map(|input| &mut input.sources) {
            if let NodeSource::Step { at, mapping_key, collect: false, .. } = source {
                if *at == over {
                    *mapping_key = Some(key.to_owned());
                } else if let Some(instance) = instances.get(at) {
                    *at = *instance;
                }
            }
        }
        node
    }
}
