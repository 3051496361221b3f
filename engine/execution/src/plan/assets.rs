//! Plans of assets: one step each, or those of the graph behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrowsmith_definitions::{
    AssetKey, Backing, Body, Code, Compute, Diagnostic, Hook, Materialized, PartitionSet, RESULT,
    ResolvedAsset, ResolvedInput, RetryPolicy, Selection, StepPartitions,
};
use arrowsmith_instance::{Pointer, VersionSummary};
use arrowsmith_io_manager::Version;
use serde_json::Value;

use super::missing::{not_materialized, partitions_not_materialized};
use super::partitions::{Cuts, suffix};
use super::reason::Inputs;
use super::{Plan, PlanRequest, Reason, ResolvedConfig, Step, with_longest_paths};
use crate::fresh::{Consumes, Freshness, Made};
use crate::node::{Node, NodeInput, NodeOutput, NodeSource, PartitionSource, Work};
use crate::{Engine, Error, Result};

/// What a job adds to the plan of its assets.
#[derive(Debug, Clone, Default)]
pub(super) struct Extras {
    pub(super) config: Value,
    pub(super) hooks: Vec<Hook>,
    pub(super) retry: Option<RetryPolicy>,
}

/// Steps that are being put together.
pub(super) struct Planner<'a> {
    pub(super) engine: &'a Engine,
    pub(super) extras: &'a Extras,
    pub(super) pointers: &'a BTreeMap<String, Pointer>,
    pub(super) cuts: &'a Cuts,
    pub(super) selected: &'a BTreeSet<AssetKey>,
    pub(super) full_refresh: bool,
    pub(super) only_needed: bool,
    pub(super) is_question: bool,
    pub(super) left_out: u64,
    /// The current versions of what is selected.
    summaries: HashMap<Version, VersionSummary>,
    /// What every version that may be fresh was made of.
    pub(super) made_of: Made,
    /// Why the node that is put together is not fresh, if that is known.
    pub(super) cause: Option<String>,
    pub(super) steps: Vec<Step>,
    /// The steps and outputs that make an asset: one, or one for each piece of its partitions.
    pub(super) made: HashMap<AssetKey, Vec<Maker>>,
    pub(super) pinned: HashMap<AssetKey, Pointer>,
    pub(super) problems: Vec<Diagnostic>,
}

/// An output of a step that makes an asset, or a piece of it.
pub(super) struct Maker {
    at: usize,
    output: String,
    piece: Option<Arc<StepPartitions>>,
}

impl Engine {
    /// Plans to compute every selected asset that can be materialized.
    ///
    /// Inputs outside of the selection are pinned to their current versions.
    ///
    /// # Errors
    /// `Selection`, or `Unplannable` with every input that was never materialized.
    pub async fn plan(&self, selection: &str) -> Result<Plan> {
        self.plan_request(&PlanRequest::new(selection)).await
    }

    /// Plans to compute every selected asset that can be materialized; of partitioned assets the
    /// partitions that are asked for, else all that exist.
    ///
    /// # Errors
    /// As [`plan`](Self::plan), also with every partition that is not there.
    pub async fn plan_request(&self, request: &PlanRequest) -> Result<Plan> {
        self.plan_selection(request, &Extras::default()).await
    }

    pub(super) async fn plan_selection(
        &self,
        request: &PlanRequest,
        extras: &Extras,
    ) -> Result<Plan> {
        let selection = request.selection.as_str();
        let failed = |source| Error::Selection { text: selection.to_owned(), source };
        let parsed: Selection = if selection.trim().is_empty() {
            Selection::all()
        } else {
            selection.parse().map_err(failed)?
        };
        let selected = parsed.evaluate(&self.resolved).map_err(failed)?;
        let selected: BTreeSet<AssetKey> = selected
            .into_iter()
            .filter(|key| self.resolved.asset(key).is_some_and(|a| a.asset.is_materializable()))
            .collect();
        let pointers = self.instance.pointers(&self.environment).await?;
        let mut problems = Vec::new();
        let cuts = Cuts::new(self, &selected, request, &mut problems).await?;
        if !problems.is_empty() {
            return Err(Error::Unplannable { problems });
        }
        let summaries = self.summaries(&selected, &pointers, &cuts).await?;
        let mut made_of = Made::new();
        let only_needed = request.only_needed && !request.full_refresh;
        if only_needed {
            let made = summaries.values().chain(cuts.made.values().flat_map(HashMap::values));
            let made = made.filter_map(|made| Some((made.version, made.provenance.clone()?)));
            made_of.extend(made);
        }
        let mut planner = Planner {
            engine: self,
            extras,
            pointers: &pointers,
            cuts: &cuts,
            selected: &selected,
            full_refresh: request.full_refresh,
            only_needed,
            is_question: request.is_question,
            left_out: 0,
            summaries,
            made_of,
            cause: None,
            steps: Vec::new(),
            made: HashMap::new(),
            pinned: HashMap::new(),
            problems: Vec::new(),
        };
        for key in self.resolved.graph.topological().iter().filter(|key| selected.contains(key)) {
            planner.add(key).await?;
        }
        planner.problems.extend(self.outdated_inputs(&planner.pinned).await?);
        if !request.full_refresh {
            for key in &selected {
                planner.problems.extend(self.schema_change(key).await?);
            }
        }
        if !planner.problems.is_empty() && !request.is_question {
            return Err(Error::Unplannable { problems: planner.problems });
        }
        let selection =
            if selection.trim().is_empty() { "*".to_owned() } else { selection.trim().to_owned() };
        Ok(Plan {
            selection,
            environment: self.environment.clone(),
            partitions: cuts.told(),
            pinned: planner.pinned,
            fresh: planner.left_out,
            steps: with_longest_paths(planner.steps),
            job: None,
            parent: None,
            root: None,
            config: Value::Null,
            resolved_config: ResolvedConfig(extras.config.clone()),
            max_concurrent: None,
        })
    }

    /// The current versions of assets, asked for once; not those of partitions, which the cuts know.
    async fn summaries(
        &self,
        selected: &BTreeSet<AssetKey>,
        pointers: &BTreeMap<String, Pointer>,
        cuts: &Cuts,
    ) -> Result<HashMap<Version, VersionSummary>> {
        let whole = selected.iter().filter_map(|key| Some(pointers.get(key.as_str())?.version));
        let appended = selected.iter().filter_map(|key| cuts.appended.get(key)?.last().copied());
        let versions: Vec<Version> = whole.chain(appended).collect();
        let found = self.instance.version_summaries(&versions).await?;
        Ok(found.into_iter().map(|made| (made.version, made)).collect())
    }
}

impl Planner<'_> {
    async fn add(&mut self, key: &AssetKey) -> Result<()> {
        if self.made.contains_key(key) {
            return Ok(());
        }
        let pieces = match self.cuts.pieces(&self.engine.resolved.assets[key]) {
            Some(pieces) => pieces.into_iter().map(Some).collect(),
            None => vec![None],
        };
        for piece in pieces {
            self.add_piece(key, piece).await?;
        }
        Ok(())
    }

    /// The steps that make an asset, or a piece of its partitions.
    async fn add_piece(
        &mut self,
        key: &AssetKey,
        piece: Option<Arc<StepPartitions>>,
    ) -> Result<()> {
        let resolved = &self.engine.resolved.assets[key];
        let mut inputs = Vec::new();
        for input in &resolved.inputs {
            let source = self.source(key, input, piece.as_deref());
            inputs.push(NodeInput {
                name: input.name.clone(),
                gathered: false,
                is_nothing: false,
                io_manager: input.io_manager.clone(),
                sources: vec![source],
            });
        }
        match &resolved.asset.body {
            Body::External(_) => Ok(()),
            Body::Computed(compute) => {
                let mut node = self.asset_node(resolved, compute, inputs);
                node.partitions.clone_from(&piece);
                node.full_refresh = self.full_refresh;
                if self.only_needed || self.is_question {
                    node.current = Some(Arc::new(self.current(key, piece.as_deref())));
                }
                if self.only_needed {
                    let Freshness { fresh, cause } = self.fresh(&node).await?;
                    self.cause = cause;
                    self.left_out += fresh.len();
                    let left = match &piece {
                        None if !fresh.is_empty() => return Ok(()),
                        Some(piece) if !fresh.is_empty() => piece.set.difference(&fresh),
                        _ => PartitionSet::default(),
                    };
                    if let (Some(piece), false) = (&piece, fresh.is_empty()) {
                        if left.is_empty() {
                            return Ok(());
                        }
                        let piece = StepPartitions { set: left, ..(**piece).clone() };
                        return Box::pin(self.add_piece(key, Some(Arc::new(piece)))).await;
                    }
                }
                let behind = piece.as_deref().map(suffix).unwrap_or_default();
                let at = self.push(key, format!("{key}{behind}"), node);
                let maker = Maker { at, output: RESULT.to_owned(), piece };
                self.made.entry(key.clone()).or_default().push(maker);
                Ok(())
            }
            Body::Graph { backing, .. } => self.add_backing(key, backing, &inputs, piece),
        }
    }

    /// Where an input of an asset comes from.
    fn source(
        &mut self,
        reader: &AssetKey,
        input: &ResolvedInput,
        piece: Option<&StepPartitions>,
    ) -> NodeSource {
        let key = &input.key;
        let resolved = &self.engine.resolved.assets[key];
        if resolved.asset.materialized == Materialized::View {
            let inputs = resolved.inputs.iter().map(|inner| NodeInput {
                name: inner.name.clone(),
                gathered: false,
                is_nothing: false,
                io_manager: inner.io_manager.clone(),
                sources: vec![self.source(reader, inner, piece)],
            });
            return NodeSource::View { asset: key.clone(), inputs: inputs.collect() };
        }
        if let Some(versions) = self.cuts.appended.get(key) {
            return self.appended(reader, key, versions);
        }
        if self.cuts.of.contains_key(key) {
            return self.partitions_of(reader, input, piece);
        }
        if let Some([maker]) = self.made.get(key).map(Vec::as_slice) {
            let (at, output) = (maker.at, maker.output.clone());
            return NodeSource::Step { at, output, mapping_key: None, collect: false };
        }
        if !resolved.asset.is_external() {
            match self.pointers.get(key.as_str()) {
                Some(pointer) => {
                    self.pinned.insert(key.clone(), pointer.clone());
                }
                None => self.problems.push(not_materialized(reader, key)),
            }
        }
        NodeSource::Asset(key.clone())
    }

    /// All rows of an asset that appends: what is current now, or when its step has ended.
    fn appended(&mut self, reader: &AssetKey, key: &AssetKey, versions: &[Version]) -> NodeSource {
        let mut source = PartitionSource::new(key.clone());
        source.is_appended = true;
        for maker in self.made.get(key).into_iter().flatten() {
            source.made.push((maker.at, maker.output.clone(), Vec::new()));
            source.is_all = true;
        }
        if !source.is_all {
            source.pinned = versions.iter().map(|version| (*version, Vec::new())).collect();
            if versions.is_empty() {
                self.problems.push(not_materialized(reader, key));
            }
        }
        NodeSource::Partitions(Arc::new(source))
    }

    /// The partitions of an input that a reader needs: those that this plan makes, and the current
    /// versions of others.
    fn partitions_of(
        &mut self,
        reader: &AssetKey,
        input: &ResolvedInput,
        piece: Option<&StepPartitions>,
    ) -> NodeSource {
        let upstream = &self.cuts.of[&input.key];
        let set = piece.map(|piece| &piece.set);
        let required = self.cuts.required(self.engine, reader, input, set);
        let nonexistent = required.nonexistent.iter().filter(|_| !input.allow_missing);
        for missing in nonexistent {
            let message = format!(
                "`{reader}` needs partition `{missing}` of `{}`, which does not exist",
                input.key
            );
            self.problems.push(Diagnostic::error(Code::Partitions, message).help(format!(
                "`arrowsmith partitions list {}` shows those that exist; `[inputs]` says which of \
                 them are read, such as `\"all\"`",
                input.key
            )));
        }
        let mut source = PartitionSource::new(input.key.clone());
        source.mapped = self.cuts.mapped(reader, input).map(Arc::new);
        if self.engine.resolved.assets[&input.key].asset.is_external() {
            source.external = upstream.keys.texts(&required.set);
            return NodeSource::Partitions(Arc::new(source));
        }
        let mut left = required.set;
        for maker in self.made.get(&input.key).into_iter().flatten() {
            let Some(made) = &maker.piece else { continue };
            let used = left.intersection(&made.set);
            if !used.is_empty() {
                let keys = upstream.keys.texts(&used);
                source.made.push((maker.at, maker.output.clone(), keys));
                left = left.difference(&used);
            }
        }
        let missing = left.difference(&upstream.materialized);
        // An input may be read as far as it is there.
        if !missing.is_empty() && !input.allow_missing {
            if *reader == input.key {
                self.earlier_are_missing(input, missing);
            } else {
                let problem = partitions_not_materialized(reader, &input.key, upstream, &missing);
                self.problems.push(problem);
            }
        }
        source.pinned = upstream.versions(&left).into_iter().collect();
        NodeSource::Partitions(Arc::new(source))
    }

    fn asset_node(
        &self,
        resolved: &Arc<ResolvedAsset>,
        compute: &Arc<dyn Compute>,
        inputs: Vec<NodeInput>,
    ) -> Node {
        let asset = &resolved.asset;
        let mut policy = asset.policy.clone();
        policy.retry = policy.retry.or(self.extras.retry);
        let config = self.extras.config.get("ops").and_then(|ops| ops.get(asset.key.as_str()));
        let config = config.and_then(|entry| entry.get("config")).cloned().unwrap_or_default();
        let consumes = Consumes::of(&self.engine.resolved, resolved, &config);
        Node {
            work: Work::Asset(Arc::clone(compute)),
            inputs,
            outputs: vec![NodeOutput {
                name: RESULT.to_owned(),
                io_manager: resolved.io_manager.clone(),
                required: true,
                dynamic: false,
                asset: Some(Arc::clone(resolved)),
            }],
            pool: policy.pool.clone(),
            policy,
            config: Arc::new(config),
            resources: compute.resources().to_vec(),
            hooks: [&*asset.hooks, &*self.extras.hooks].concat(),
            code_version: None,
            mapped_over: None,
            mapping_key: None,
            partitions: None,
            full_refresh: false,
            consumes: consumes.map(Arc::new),
            current: None,
        }
    }

    /// The ops of the graph behind an asset, and behind others that are outputs of it.
    fn add_backing(
        &mut self,
        key: &AssetKey,
        backing: &Backing,
        inputs: &[NodeInput],
        piece: Option<Arc<StepPartitions>>,
    ) -> Result<()> {
        let graph = &backing.graph;
        let of_one = backing.assets.len() == 1;
        let prefix = if of_one { key.to_string() } else { graph.name.clone() };
        let outside = inputs.iter().map(|input| (input.name.clone(), input.clone())).collect();
        let ops = self.extras.config.get("ops").and_then(|ops| ops.get(&prefix));
        let ops = ops.and_then(|entry| entry.get("ops")).cloned().unwrap_or_default();
        let first = self.steps.len();
        let nodes = super::graph::nodes(graph, &outside, &ops, first);
        let (nodes, outputs) = match nodes {
            Ok(nodes) => nodes,
            Err(problems) => {
                self.problems.extend(problems);
                return Ok(());
            }
        };
        // A multi-asset is one op, whose step has its name.
        let is_single = nodes.len() == 1 && !of_one;
        let behind = piece.as_deref().map(suffix).unwrap_or_default();
        for (path, mut node) in nodes {
            let path = if is_single { String::new() } else { format!(".{path}") };
            let step = format!("{prefix}{path}{behind}");
            node.partitions.clone_from(&piece);
            let at = self.steps.len();
            for (output, asset) in &backing.assets {
                let inner = outputs.iter().find_map(|(name, source)| match source {
                    NodeSource::Step { at: from, output: inner, .. }
                        if name == output && *from == at =>
                    {
                        Some(inner)
                    }
                    _ => None,
                });
                let declared = node.outputs.iter_mut().find(|o| Some(&o.name) == inner);
                let Some(declared) = declared.filter(|_| self.selected.contains(asset)) else {
                    continue;
                };
                let resolved = &self.engine.resolved.assets[asset];
                declared.asset = Some(Arc::clone(resolved));
                declared.io_manager.clone_from(&resolved.io_manager);
                node.hooks.extend(resolved.asset.hooks.iter().cloned());
                let (output, piece) = (declared.name.clone(), piece.clone());
                let maker = Maker { at, output, piece };
                self.made.entry(asset.clone()).or_default().push(maker);
            }
            node.hooks.extend(self.extras.hooks.iter().cloned());
            node.policy.retry = node.policy.retry.or(self.extras.retry);
            self.push(key, step, node);
        }
        Ok(())
    }

    fn push(&mut self, key: &AssetKey, step: String, node: Node) -> usize {
        let after = node.waits_for();
        let (mut reads, mut inputs) = (Vec::new(), Inputs::new());
        for source in node.inputs.iter().flat_map(NodeInput::leaves) {
            let (asset, version) = match source {
                NodeSource::Asset(key) => (key, self.pinned.get(key).map(|p| p.version)),
                NodeSource::Partitions(of) if of.made.is_empty() => (&of.asset, of.newest()),
                _ => continue,
            };
            reads.push(asset.to_string());
            inputs.extend(version.map(|version| (asset.to_string(), version)));
        }
        reads.sort();
        reads.dedup();
        let before = after.first().map(|before| self.steps[*before].key.as_str());
        let engine = self.engine;
        let reason = match (&node.partitions, self.cuts.of.get(key)) {
            (Some(piece), Some(_)) => {
                engine.reason_of_partitions(key, self.cuts, &piece.set, before, &inputs)
            }
            _ => match self.pointers.get(key.as_str()) {
                Some(pointer) => {
                    let made: Vec<_> = self.summaries.get(&pointer.version).into_iter().collect();
                    engine.reason_of(key, &made, before, &inputs)
                }
                None => Reason::Missing,
            },
        };
        // Where the canonical code is known, another text is no other code.
        let is_known = node.current.is_some() && node.consumes.is_some();
        let reason = match (self.cause.take(), reason) {
            (Some(cause), Reason::Selected | Reason::CodeChanged) => Reason::Stale { cause },
            (None, Reason::CodeChanged) if is_known => before
                .map_or(Reason::Selected, |input| Reason::UpstreamRuns { input: input.to_owned() }),
            (_, reason) => reason,
        };
        let (node, longest_path) = (Arc::new(node), 1);
        self.steps.push(Step { key: step, reason, after, reads, longest_path, node });
        self.steps.len() - 1
    }
}
