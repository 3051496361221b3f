//! Jobs: a graph of ops, or a selection of assets, under a name.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{Graph, Hook, Place, RetryPolicy};

/// The unit of execution and monitoring.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its name: letters, digits and `_`.
    pub name: String,
    /// Markdown.
    pub description: Option<String>,
    /// What it runs.
    pub target: JobTarget,
    /// Labels of its runs.
    pub tags: BTreeMap<String, String>,
    /// The run config under that of a run.
    pub config: Value,
    /// What runs after each of its steps.
    pub hooks: Vec<Hook>,
    /// Steps that run at the same time.
    pub max_concurrent: Option<usize>,
    /// The retry policy of ops that have none.
    pub retry: Option<RetryPolicy>,
    /// Where it is defined.
    pub place: Option<Place>,
}

/// What a job runs.
#[derive(Debug, Clone)]
pub enum JobTarget {
    /// The ops of a graph.
    Graph(Graph),
    /// The assets of a selection.
    Assets(String),
}

impl Job {
    /// A job that runs a graph, with its name.
    #[track_caller]
    pub fn from_graph(graph: Graph) -> Self {
        Self::new(graph.name.clone(), JobTarget::Graph(graph))
    }

    /// A job that materializes the assets of a selection.
    #[track_caller]
    pub fn from_assets(name: impl Into<String>, selection: impl Into<String>) -> Self {
        Self::new(name.into(), JobTarget::Assets(selection.into()))
    }

    #[track_caller]
    fn new(name: String, target: JobTarget) -> Self {
        Self {
            name,
            description: None,
            target,
            tags: BTreeMap::new(),
            config: Value::Null,
            hooks: Vec::new(),
            max_concurrent: None,
            retry: None,
            place: Some(Place::caller()),
        }
    }

    /// The job under another name.
    #[must_use]
    pub fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// The job with a description in Markdown.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// The job with one more tag for its runs.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(tag.into(), value.into());
        self
    }

    /// The job with a run config, which that of a run goes over.
    #[must_use]
    pub fn with_config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// The job with one more hook after each of its steps.
    #[must_use]
    pub fn with_hook(mut self, hook: Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// The job with a limit on the steps that run at the same time.
    #[must_use]
    pub fn with_max_concurrent(mut self, steps: usize) -> Self {
        self.max_concurrent = Some(steps);
        self
    }

    /// The job with a retry policy for ops that have none.
    #[must_use]
    pub fn with_retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = Some(retry);
        self
    }
}
