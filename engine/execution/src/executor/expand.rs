//! The steps of a dynamic output enter the run.

use arrowsmith_instance::{ReplaceSteps, StepState};

use super::Loop;
use crate::Result;
use crate::expansion::Expansion;

impl Loop {
    /// Puts one step a mapping key in the place of each that is mapped over the step `over`.
    pub(super) async fn expand(&mut self, over: usize, keys: &[String]) -> Result<()> {
        let is_open = |state: &Option<StepState>| state.is_some_and(|state| !state.is_final());
        let (old, new, free) = {
            let mut shape = self.run.shape();
            if !shape.steps[over].node.outputs.iter().any(|output| output.dynamic) {
                return Ok(());
            }
            let planned = |at: usize| self.states[at] == Some(StepState::Planned);
            let expansion = Expansion::of(&shape.steps, over, keys, planned);
            let key = |at: &usize| shape.steps[*at].key.clone();
            let old: Vec<String> = expansion.replaced.iter().map(key).collect();
            let new: Vec<String> = expansion.instances.iter().map(|s| s.key.clone()).collect();
            let mut free: Vec<usize> = expansion.collecting.iter().map(|(at, _)| *at).collect();
            for at in &expansion.replaced {
                self.states[*at] = None;
            }
            for step in expansion.instances {
                free.push(shape.steps.len());
                shape.add(step, |at| is_open(&self.states[at]));
                self.states.push(Some(StepState::Planned));
            }
            for (at, node) in expansion.collecting {
                shape.rewire(at, node, |at| is_open(&self.states[at]));
            }
            (old, new, free)
        };
        if !old.is_empty() {
            let run_id = self.run.run_id;
            self.run.engine.instance.replace_steps(ReplaceSteps { run_id, old, new }).await?;
        }
        for at in free {
            self.push_if_free(at);
        }
        Ok(())
    }
}
