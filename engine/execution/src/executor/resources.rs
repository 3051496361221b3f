//! The resources of a run: made before its first step, taken down after its last.

use std::collections::BTreeSet;

use arrowsmith_definitions::{Made, ResourceNeed, Resources};
use arrowsmith_instance::{Event, RunId, Tell};
use serde_json::Value;

use crate::error::chain;
use crate::panics::caught;
use crate::{Engine, Plan};

/// What was made, in the order in which it was.
pub(super) struct RunResources {
    pub(super) values: Resources,
    made: Vec<(String, Made)>,
}

impl RunResources {
    /// Makes exactly what the steps of a plan need, each after what it needs itself.
    ///
    /// The error is one sentence; what was made before it is taken down again.
    pub(super) async fn set_up(
        engine: &Engine,
        run_id: RunId,
        plan: &Plan,
    ) -> Result<Self, String> {
        let mut this = Self { values: Resources::default(), made: Vec::new() };
        let needs = plan.steps.iter().flat_map(|step| &step.node.resources);
        for name in in_order(engine, needs) {
            let failure = this.make(engine, plan, &name).await.err();
            let event = match &failure {
                None => Event::ResourceInitSuccess { resource: name.clone() },
                Some(error) => {
                    Event::ResourceInitFailure { resource: name.clone(), error: error.clone() }
                }
            };
            let at = engine.clock.now();
            let tell = Tell { run_id, step_key: None, asset: None, event, at };
            let told = engine.instance.tell(vec![tell]).await;
            let failure = failure.or(told.err().map(|error| chain(&error)));
            if let Some(error) = failure {
                this.tear_down().await;
                return Err(format!("resource `{name}` could not be set up: {error}"));
            }
        }
        Ok(this)
    }

    async fn make(&mut self, engine: &Engine, plan: &Plan, name: &str) -> Result<(), String> {
        let definition = engine.resolved.resources.get(name).ok_or("it is not defined")?;
        let given = plan.resolved_config.0.pointer(&format!("/resources/{name}/config"));
        let config = match given {
            Some(given) => merged(definition.default_config.clone(), given),
            None => definition.default_config.clone(),
        };
        let made = caught(definition.set_up(config, &self.values)).await;
        let made = made.map_err(|panic| panic.to_string())?.map_err(|error| chain(&*error))?;
        self.values.insert(name, made.shared());
        self.made.push((name.to_owned(), made));
        Ok(())
    }

    /// Takes down what was made, the last first. Errors are logged.
    pub(super) async fn tear_down(self) {
        drop(self.values);
        for (resource, made) in self.made.into_iter().rev() {
            match caught(made.into_teardown()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(resource, error = %chain(&*error), "it was not taken down");
                }
                Err(panic) => tracing::warn!(resource, error = %panic, "it was not taken down"),
            }
        }
    }
}

/// Names of resources, each after those that it needs.
fn in_order<'a>(engine: &Engine, needs: impl Iterator<Item = &'a ResourceNeed>) -> Vec<String> {
    let (mut order, mut seen) = (Vec::new(), BTreeSet::new());
    for need in needs {
        // A resource is entered, and left when everything that it needs was.
        let mut pending = vec![(need.name.clone(), false)];
        while let Some((name, is_done)) = pending.pop() {
            if is_done {
                order.push(name);
                continue;
            }
            if !seen.insert(name.clone()) {
                continue;
            }
            let needs = engine.resolved.resources.get(&name).map(|found| found.needs.clone());
            pending.push((name, true));
            pending.extend(needs.into_iter().flatten().map(|need| (need.name, false)));
        }
    }
    order
}

/// `over` on `base`, key by key.
fn merged(base: Value, over: &Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (key, value) in over {
                let before = base.remove(key).unwrap_or_default();
                base.insert(key.clone(), merged(before, value));
            }
            Value::Object(base)
        }
        (_, over) => over.clone(),
    }
}
