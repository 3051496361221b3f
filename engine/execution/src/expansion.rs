//! Steps that stand for as many as a dynamic output has values, once their number is known.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Step;
use crate::node::{Node, NodeSource};

/// What becomes of the steps of a run when the mapping keys of a dynamic output are known.
pub(crate) struct Expansion {
    /// The steps that stood for others and go.
    pub(crate) replaced: Vec<usize>,
    /// The steps that come; their indexes follow those that are there.
    pub(crate) instances: Vec<Step>,
    /// Steps that collect values have other nodes.
    pub(crate) collecting: Vec<(usize, Node)>,
}

impl Expansion {
    /// `may_expand` says which steps have not begun.
    pub(crate) fn of(
        steps: &[Arc<Step>],
        over: usize,
        keys: &[String],
        may_expand: impl Fn(usize) -> bool,
    ) -> Self {
        let mapped = |at: &usize| steps[*at].node.mapped_over == Some(over) && may_expand(*at);
        let replaced: Vec<usize> = (0..steps.len()).filter(mapped).collect();
        let mut places: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        let mut instances = Vec::new();
        for at in &replaced {
            let stands_for = &steps[*at];
            places.entry(*at).or_default();
            for (i, key) in keys.iter().enumerate() {
                let of_key = places.iter().filter_map(|(at, all)| Some((*at, *all.get(i)?)));
                let node = stands_for.node.instance(key, over, &of_key.collect());
                let index = steps.len() + instances.len();
                instances.push(Step {
                    key: format!("{}[{key}]", stands_for.key),
                    after: node.waits_for(),
                    node: Arc::new(node),
                    ..(**stands_for).clone()
                });
                places.entry(*at).or_default().push(index);
            }
        }
        let others = (0..steps.len()).filter(|at| may_expand(*at) && !replaced.contains(at));
        let collecting = others
            .filter_map(|at| Some((at, collecting(&steps[at].node, over, keys, &places)?)))
            .collect();
        Self { replaced, instances, collecting }
    }
}

/// The node with all values of the dynamic output, or of what was mapped over it, in the place of
/// the source that collects them; `None` if it collects none of them.
fn collecting(
    node: &Node,
    over: usize,
    keys: &[String],
    places: &BTreeMap<usize, Vec<usize>>,
) -> Option<Node> {
    let mut node = node.clone();
    let mut changed = false;
    for input in &mut node.inputs {
        let mut sources = Vec::new();
        for source in std::mem::take(&mut input.sources) {
            let NodeSource::Step { at, output, collect: true, .. } = &source else {
                sources.push(source);
                continue;
            };
            let (at, output) = (*at, output.clone());
            let single = |at, mapping_key| NodeSource::Step {
                at,
                output: output.clone(),
                mapping_key,
                collect: false,
            };
            if at == over {
                sources.extend(keys.iter().map(|key| single(at, Some(key.clone()))));
            } else if let Some(steps) = places.get(&at) {
                sources.extend(steps.iter().map(|step| single(*step, None)));
            } else {
                sources.push(source);
                continue;
            }
            input.gathered = true;
            changed = true;
        }
        input.sources = sources;
    }
    changed.then_some(node)
}
