//! Plans of assets: one step each, or those of the graph behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrowsmith_definitions::{
    AssetKey, Backing, Body, Code, Compute, Diagnostic, Hook, RESULT, ResolvedAsset, RetryPolicy,
    Selection,
};
use arrowsmith_instance::Pointer;
use serde_json::Value;

use super::{Plan, Reason, ResolvedConfig, Step, with_longest_paths};
use crate::node::{Node, NodeInput, NodeOutput, NodeSource, Work};
use crate::record::code_version;
use crate::{Engine, Error, Result};

/// What a job adds to the plan of its assets.
#[derive(Debug, Clone, Default)]
pub(super) struct Extras {
    pub(super) config: Value,
    pub(super) hooks: Vec<Hook>,
    pub(super) retry: Option<RetryPolicy>,
}

/// Steps that are being put together.
struct Planner<'a> {
    engine: &'a Engine,
    extras: &'a Extras,
    pointers: &'a BTreeMap<String, Pointer>,
    steps: Vec<Step>,
    /// The step and output that makes an asset.
    made: HashMap<AssetKey, (usize, String)>,
    pinned: HashMap<AssetKey, Pointer>,
    problems: Vec<Diagnostic>,
}

impl Engine {
    /// Plans to compute every selected asset that can be materialized.
    ///
    /// Inputs outside of the selection are pinned to their current versions.
    ///
    /// # Errors
    /// `Selection`, or `Unplannable` with every input that was never materialized.
    pub async fn plan(&self, selection: &str) -> Result<Plan> {
        self.plan_selection(selection, &Extras::default()).await
    }

    pub(super) async fn plan_selection(&self, selection: &str, extras: &Extras) -> Result<Plan> {
        let failed = |source| Error::Selection { text: selection.to_owned(), source };
        let parsed: Selection = if selection.trim().is_empty() {
            Selection::all()
        } else {
            selection.parse().map_err(failed)?
        };
        let selected = parsed.evaluate(&self.resolved).map_err(failed)?;
        let selected: BTreeSet<AssetKey> = selected
            .into_iter()
            .filter(|key| self.resolved.asset(key).is_some_and(|a| !a.asset.is_external()))
            .collect();
        let pointers = self.instance.pointers(&self.environment).await?;
        let mut planner = Planner {
            engine: self,
            extras,
            pointers: &pointers,
            steps: Vec::new(),
            made: HashMap::new(),
            pinned: HashMap::new(),
            problems: Vec::new(),
        };
        for key in self.resolved.graph.topological().iter().filter(|key| selected.contains(key)) {
            planner.add(key, &selected).await?;
        }
        planner.problems.extend(self.outdated_inputs(&planner.pinned).await?);
        if !planner.problems.is_empty() {
            return Err(Error::Unplannable { problems: planner.problems });
        }
        let selection =
            if selection.trim().is_empty() { "*".to_owned() } else { selection.trim().to_owned() };
        Ok(Plan {
            selection,
            environment: self.environment.clone(),
            pinned: planner.pinned,
            steps: with_longest_paths(planner.steps),
            job: None,
            parent: None,
            root: None,
            config: Value::Null,
            resolved_config: ResolvedConfig(extras.config.clone()),
            max_concurrent: None,
        })
    }

    async fn reason(
        &self,
        key: &AssetKey,
        after: Option<&Step>,
        pointers: &BTreeMap<String, Pointer>,
    ) -> Result<Reason> {
        let Some(pointer) = pointers.get(key.as_str()) else { return Ok(Reason::Missing) };
        let resolved = &self.resolved.assets[key];
        if pointer.code_version != code_version(&resolved.asset) {
            return Ok(Reason::CodeChanged);
        }
        if let Some(before) = after {
            return Ok(Reason::UpstreamRuns { input: before.key.clone() });
        }
        let made = self.instance.materialization(pointer.version).await?;
        for (input, version) in made.map(|made| made.inputs).unwrap_or_default() {
            if pointers.get(&input).is_some_and(|current| current.version != version) {
                return Ok(Reason::InputChanged { input });
            }
        }
        Ok(Reason::Selected)
    }

    /// Pinned inputs whose stored columns are not those that their definitions now promise, and
    /// that the selected assets were checked against.
    async fn outdated_inputs(
        &self,
        pinned: &HashMap<AssetKey, Pointer>,
    ) -> Result<Vec<Diagnostic>> {
        let mut problems = Vec::new();
        let mut keys: Vec<&AssetKey> = pinned.keys().collect();
        keys.sort();
        for key in keys {
            let resolved = &self.resolved.assets[key];
            let Some(promised) = &resolved.schema else { continue };
            let Some(made) = self.instance.materialization(pinned[key].version).await? else {
                continue;
            };
            let promised = arrowsmith_io_manager::TableSchema::new(promised.clone());
            let mut difference = promised.difference(made.stored.schema.arrow());
            difference.columns.retain(|column| {
                !matches!(column, arrowsmith_io_manager::ColumnDifference::Nullable { .. })
            });
            if !difference.is_empty() {
                let message = format!(
                    "`{key}` was materialized with other columns than it is now defined with: \
                     {difference}"
                );
                problems.push(
                    Diagnostic::error(Code::NotMaterialized, message)
                        .at(resolved.asset.place.clone())
                        .help(format!("materialize it first: `arrowsmith materialize {key}`")),
                );
            }
        }
        Ok(problems)
    }
}

impl Planner<'_> {
    async fn add(&mut self, key: &AssetKey, selected: &BTreeSet<AssetKey>) -> Result<()> {
        if self.made.contains_key(key) {
            return Ok(());
        }
        let engine = self.engine;
        let resolved = &engine.resolved.assets[key];
        let mut inputs = Vec::new();
        for input in &resolved.inputs {
            let source = self.source(key, &input.key);
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
                let node = self.asset_node(resolved, compute, inputs);
                let at = self.push(key, key.to_string(), node).await?;
                self.made.insert(key.clone(), (at, RESULT.to_owned()));
                Ok(())
            }
            Body::Graph { backing, .. } => self.add_backing(key, backing, &inputs, selected).await,
        }
    }

    /// Where an input of an asset comes from.
    fn source(&mut self, reader: &AssetKey, key: &AssetKey) -> NodeSource {
        if let Some((at, output)) = self.made.get(key) {
            let (at, output) = (*at, output.clone());
            return NodeSource::Step { at, output, mapping_key: None, collect: false };
        }
        if !self.engine.resolved.assets[key].asset.is_external() {
            match self.pointers.get(key.as_str()) {
                Some(pointer) => {
                    self.pinned.insert(key.clone(), pointer.clone());
                }
                None => self.problems.push(not_materialized(reader, key)),
            }
        }
        NodeSource::Asset(key.clone())
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
        let config = config.and_then(|entry| entry.get("config")).cloned();
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
            config: Arc::new(config.unwrap_or_default()),
            resources: compute.resources().to_vec(),
            hooks: [&*asset.hooks, &*self.extras.hooks].concat(),
            code_version: None,
            mapped_over: None,
            mapping_key: None,
        }
    }

    /// The ops of the graph behind an asset, and behind others that are outputs of it.
    async fn add_backing(
        &mut self,
        key: &AssetKey,
        backing: &Backing,
        inputs: &[NodeInput],
        selected: &BTreeSet<AssetKey>,
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
        for (path, mut node) in nodes {
            let step = if is_single { prefix.clone() } else { format!("{prefix}.{path}") };
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
                let Some(declared) = declared.filter(|_| selected.contains(asset)) else {
                    continue;
                };
                let resolved = &self.engine.resolved.assets[asset];
                declared.asset = Some(Arc::clone(resolved));
                declared.io_manager.clone_from(&resolved.io_manager);
                node.hooks.extend(resolved.asset.hooks.iter().cloned());
                self.made.insert(asset.clone(), (at, declared.name.clone()));
            }
            node.hooks.extend(self.extras.hooks.iter().cloned());
            node.policy.retry = node.policy.retry.or(self.extras.retry);
            self.push(key, step, node).await?;
        }
        Ok(())
    }

    async fn push(&mut self, key: &AssetKey, step: String, node: Node) -> Result<usize> {
        let after = node.waits_for();
        let sources = node.inputs.iter().flat_map(|input| &input.sources);
        let mut reads: Vec<String> = sources
            .filter_map(|source| match source {
                NodeSource::Asset(key) => Some(key.to_string()),
                _ => None,
            })
            .collect();
        reads.sort();
        reads.dedup();
        let before = after.first().map(|before| &self.steps[*before]);
        let reason = self.engine.reason(key, before, self.pointers).await?;
        let (node, longest_path) = (Arc::new(node), 1);
        self.steps.push(Step { key: step, reason, after, reads, longest_path, node });
        Ok(self.steps.len() - 1)
    }
}

fn not_materialized(key: &AssetKey, input: &AssetKey) -> Diagnostic {
    let message = format!("`{key}` reads `{input}`, which has not been materialized");
    Diagnostic::error(Code::NotMaterialized, message)
        .help(format!("materialize both: `arrowsmith materialize '+{key}'`"))
}
