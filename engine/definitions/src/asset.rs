//! Assets: a key, what is said about it, what it reads, and how its rows come to be.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrowsmith_io_manager::Options;
use async_trait::async_trait;
use datafusion::catalog::TableProvider;

use crate::{
    AssetCheck, AssetKey, AssetReference, AutomationCondition, BoxError, Code, Compute, Diagnostic,
    ExecutionPolicy, FreshnessPolicy, Graph, Hook, Materialized, PartitionMapping, Partitions,
    Place, SchemaChange, nearest,
};

/// A table in persistent storage together with what computes it.
#[derive(Debug, Clone)]
pub struct Asset {
    /// Its name.
    pub key: AssetKey,
    /// What is said about it.
    pub attributes: Attributes,
    /// How it is stored.
    pub storage: StorageSpec,
    /// What a materialization does with the rows that are stored already.
    pub materialized: Materialized,
    /// What happens when its columns are not those that are stored.
    pub on_schema_change: SchemaChange,
    /// How its rows are cut into partitions, if they are.
    pub partitions: Option<Arc<Partitions>>,
    /// The columns that it promises to have, in any order; one that differs is a mistake. `None`
    /// promises nothing.
    pub columns: Option<SchemaRef>,
    /// How often and how long it may try.
    pub policy: ExecutionPolicy,
    /// What it reads, in the order of declaration.
    pub inputs: Vec<Input>,
    /// What must hold of its rows before anybody sees them.
    pub checks: Vec<AssetCheck>,
    /// What runs after its step.
    pub hooks: Vec<Hook>,
    /// When it is materialized by itself.
    pub automation: Option<AutomationCondition>,
    /// How old what is current may be.
    pub freshness: Option<FreshnessPolicy>,
    /// How its rows come to be.
    pub body: Body,
    /// Where it is defined.
    pub place: Option<Place>,
}

/// How the rows of an asset come to be.
#[derive(Debug, Clone)]
pub enum Body {
    /// Somebody else makes them; Arrowsmith only reads them.
    External(Arc<dyn Source>),
    /// Arrowsmith computes and stores them.
    Computed(Arc<dyn Compute>),
    /// An output of a graph of ops, whose steps run for it.
    Graph {
        /// The graph, shared by all assets that are outputs of it.
        backing: Arc<Backing>,
        /// The name of the output.
        output: String,
    },
}

/// A graph whose outputs are assets.
#[derive(Debug, Clone)]
pub struct Backing {
    /// The graph; each of its inputs is an upstream asset.
    pub graph: Graph,
    /// The asset of each output.
    pub assets: BTreeMap<String, AssetKey>,
}

/// What is said about an asset, for people and selections; none of it changes rows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Attributes {
    /// Markdown.
    pub description: Option<String>,
    /// One group, such as `marts`.
    pub group: Option<String>,
    /// Free labels; a tag without a value has an empty one.
    pub tags: BTreeMap<String, String>,
    /// E-mail addresses and `team:NAME`.
    pub owners: BTreeSet<String>,
    /// At most ten words such as `sql` or `python`.
    pub kinds: BTreeSet<String>,
    /// Anything else.
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// The author's word that the code is the same.
    pub code_version: Option<String>,
    /// Descriptions of columns.
    pub columns: BTreeMap<String, String>,
}

/// How an asset is stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StorageSpec {
    /// The name of the IO manager; the project's default if it is open.
    pub io_manager: Option<String>,
    /// Hive columns, outermost first.
    pub partition_by: Vec<String>,
    /// Options over the manager's own.
    pub options: Options,
}

/// One upstream asset as it is named in a query or parameter.
#[derive(Debug, Clone)]
pub struct Input {
    /// The name by which the computation asks for it.
    pub name: String,
    /// The name by which it is found.
    pub reference: AssetReference,
    /// Columns that must be there, castable to these types; `None` takes any table.
    pub expects: Option<SchemaRef>,
    /// The IO manager that loads it; the one that stored it if it is open.
    pub io_manager: Option<String>,
    /// Which of its partitions are read; inferred from both definitions if it is open.
    pub mapping: Option<PartitionMapping>,
    /// Whether partitions that do not exist or are not materialized are left out, and are no error.
    pub allow_missing: bool,
    /// Where it is named.
    pub place: Option<Place>,
}

impl Input {
    /// Any table, found by a reference.
    pub fn new(name: impl Into<String>, reference: AssetReference) -> Self {
        Self {
            name: name.into(),
            reference,
            expects: None,
            io_manager: None,
            mapping: None,
            allow_missing: false,
            place: None,
        }
    }
}

/// A table that Arrowsmith reads but does not make.
#[async_trait]
pub trait Source: fmt::Debug + Send + Sync {
    /// Its columns.
    fn schema(&self) -> SchemaRef;

    /// Its rows.
    ///
    /// # Errors
    /// Whatever keeps it from being read now.
    async fn provider(&self) -> Result<Arc<dyn TableProvider>, BoxError>;

    /// The rows of some of its partitions, if it has any.
    ///
    /// # Errors
    /// As `provider`, and if a partition is not there.
    async fn provider_of(&self, keys: &[String]) -> Result<Arc<dyn TableProvider>, BoxError> {
        let _ = keys;
        self.provider().await
    }

    /// What stands for the state of its rows, and is another when they may have changed: of each of
    /// some partitions, or of all of them under an empty key if there is no key. `None` if it is not
    /// known.
    ///
    /// # Errors
    /// Whatever keeps it from being asked now.
    async fn states(&self, keys: &[String]) -> Result<Option<BTreeMap<String, String>>, BoxError> {
        let _ = keys;
        Ok(None)
    }

    /// The file or folder of this machine whose files, and nothing else, make its state; `None` if there
    /// is no such.
    fn local_path(&self) -> Option<PathBuf> {
        None
    }

    /// Where it is, for people.
    fn location(&self) -> String;

    /// What it is made of, such as `csv`.
    fn kind(&self) -> &str;
}

/// A [`Source`] over a table that is already at hand.
#[derive(Debug)]
pub struct TableSource(pub Arc<dyn TableProvider>);

#[async_trait]
impl Source for TableSource {
    fn schema(&self) -> SchemaRef {
        self.0.schema()
    }

    async fn provider(&self) -> Result<Arc<dyn TableProvider>, BoxError> {
        Ok(Arc::clone(&self.0))
    }

    fn location(&self) -> String {
        "a table of this process".to_owned()
    }

    fn kind(&self) -> &'static str {
        "table"
    }
}

impl Asset {
    /// An asset that is computed, without attributes.
    pub fn computed(key: AssetKey, compute: Arc<dyn Compute>, inputs: Vec<Input>) -> Self {
        Self::new(key, Body::Computed(compute), inputs)
    }

    /// An asset that is only read.
    pub fn external(key: AssetKey, source: Arc<dyn Source>) -> Self {
        Self::new(key, Body::External(source), Vec::new())
    }

    /// The asset that is the only output of a graph.
    ///
    /// # Panics
    /// If the graph has not exactly one output.
    pub fn from_single_output(key: AssetKey, graph: Graph) -> Self {
        let [output] = graph.outputs.as_slice() else {
            #[expect(clippy::panic, reason = "a graph is written by the caller")]
            {
                panic!("graph `{}` has not one output but {}", graph.name, graph.outputs.len())
            }
        };
        let output = output.name.clone();
        let assets = Self::from_graph(graph, [(output, key)], &BTreeMap::new());
        assets.into_iter().next().expect("there is one asset for one output")
    }

    /// The assets that are outputs of one op, which makes all of them in one step.
    pub fn from_op(
        op: crate::Op,
        assets: impl IntoIterator<Item = (String, AssetKey)>,
        reads: &BTreeMap<String, AssetKey>,
    ) -> Vec<Self> {
        Self::from_graph(Graph::of_op(op), assets, reads)
    }

    /// The assets that are outputs of a graph: several of a multi-asset, one of a graph-backed
    /// asset. Each input of the graph is the upstream asset of its name, or of `reads`.
    pub fn from_graph(
        graph: Graph,
        assets: impl IntoIterator<Item = (String, AssetKey)>,
        reads: &BTreeMap<String, AssetKey>,
    ) -> Vec<Self> {
        let assets: BTreeMap<String, AssetKey> = assets.into_iter().collect();
        let input = |input: &crate::GraphInput| {
            let named = || AssetReference::named(&input.name);
            let reference = reads.get(&input.name).map_or_else(named, AssetReference::to);
            Input {
                expects: input.value_type.schema.clone(),
                place: graph.place.clone(),
                ..Input::new(&input.name, reference)
            }
        };
        let inputs: Vec<Input> = graph.inputs.iter().map(input).collect();
        let (description, place) = (graph.description.clone(), graph.place.clone());
        let backing = Arc::new(Backing { graph, assets });
        let asset = |(output, key): (&String, &AssetKey)| {
            let body = Body::Graph { backing: Arc::clone(&backing), output: output.clone() };
            let mut asset = Self::new(key.clone(), body, inputs.clone()).with_kind("ops");
            asset.attributes.description.clone_from(&description);
            asset.place.clone_from(&place);
            asset
        };
        backing.assets.iter().map(asset).collect()
    }

    fn new(key: AssetKey, body: Body, inputs: Vec<Input>) -> Self {
        Self {
            key,
            attributes: Attributes::default(),
            storage: StorageSpec::default(),
            materialized: Materialized::default(),
            on_schema_change: SchemaChange::default(),
            columns: None,
            partitions: None,
            policy: ExecutionPolicy::default(),
            inputs,
            checks: Vec::new(),
            hooks: Vec::new(),
            automation: None,
            freshness: None,
            body,
            place: None,
        }
    }

    /// The asset with a description in Markdown.
    #[must_use]
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.attributes.description = Some(description.into());
        self
    }

    /// The asset in a group.
    #[must_use]
    pub fn with_group(mut self, group: impl Into<String>) -> Self {
        self.attributes.group = Some(group.into());
        self
    }

    /// The asset with one more tag.
    #[must_use]
    pub fn with_tag(mut self, tag: impl Into<String>, value: impl Into<String>) -> Self {
        self.attributes.tags.insert(tag.into(), value.into());
        self
    }

    /// The asset with one more owner: an e-mail address or `team:NAME`.
    #[must_use]
    pub fn with_owner(mut self, owner: impl Into<String>) -> Self {
        self.attributes.owners.insert(owner.into());
        self
    }

    /// The asset with one more kind.
    #[must_use]
    pub fn with_kind(mut self, kind: impl Into<String>) -> Self {
        self.attributes.kinds.insert(kind.into());
        self
    }

    /// The asset with a code version.
    #[must_use]
    pub fn with_code_version(mut self, version: impl Into<String>) -> Self {
        self.attributes.code_version = Some(version.into());
        self
    }

    /// The asset stored by the IO manager of this name.
    #[must_use]
    pub fn with_io_manager(mut self, name: impl Into<String>) -> Self {
        self.storage.io_manager = Some(name.into());
        self
    }

    /// The asset stored in hive directories of these columns.
    #[must_use]
    pub fn with_partition_by<S: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = S>,
    ) -> Self {
        self.storage.partition_by = columns.into_iter().map(Into::into).collect();
        self
    }

    /// The asset cut into partitions.
    #[must_use]
    pub fn with_partitions(mut self, partitions: Partitions) -> Self {
        self.partitions = Some(Arc::new(partitions));
        self
    }

    /// The asset promising columns: one that its result does not have, or of another type, is a
    /// problem of the project.
    #[must_use]
    pub fn with_columns(mut self, columns: SchemaRef) -> Self {
        self.columns = Some(columns);
        self
    }

    /// The asset reading those partitions of an input that a mapping says.
    ///
    /// # Panics
    /// If it has no input of this name.
    #[must_use]
    pub fn with_mapping(mut self, input: &str, mapping: PartitionMapping) -> Self {
        self.input_mut(input).mapping = Some(mapping);
        self
    }

    fn input_mut(&mut self, name: &str) -> &mut Input {
        let found = self.inputs.iter_mut().find(|known| known.name == name);
        #[expect(clippy::panic, reason = "the inputs are written by the caller")]
        found.unwrap_or_else(|| panic!("asset `{}` has no input `{name}`", self.key))
    }

    /// The asset reading what there is of the partitions of an input, and no error if some are
    /// missing.
    ///
    /// # Panics
    /// If it has no input of this name.
    #[must_use]
    pub fn allowing_missing(mut self, input: &str) -> Self {
        self.input_mut(input).allow_missing = true;
        self
    }

    /// The asset with one more check.
    #[must_use]
    pub fn with_check(mut self, check: AssetCheck) -> Self {
        self.checks.push(check);
        self
    }

    /// The asset with one more hook after its step.
    #[must_use]
    pub fn with_hook(mut self, hook: Hook) -> Self {
        self.hooks.push(hook);
        self
    }

    /// The asset with a retry policy.
    #[must_use]
    pub fn with_retry(mut self, retry: crate::RetryPolicy) -> Self {
        self.policy.retry = Some(retry);
        self
    }

    /// The asset with a limit on the time of one attempt.
    #[must_use]
    pub fn with_timeout(mut self, timeout: std::time::Duration) -> Self {
        self.policy.timeout = Some(timeout);
        self
    }

    /// The asset defined at the place of the call.
    #[must_use]
    #[track_caller]
    pub fn here(mut self) -> Self {
        self.place = Some(Place::caller());
        self
    }

    /// The asset, materialized by itself when a condition says so.
    #[must_use]
    pub fn with_automation(self, condition: AutomationCondition) -> Self {
        Self { automation: Some(condition), ..self }
    }

    /// The asset with a policy of how old what is current may be.
    #[must_use]
    pub fn with_freshness(self, policy: FreshnessPolicy) -> Self {
        Self { freshness: Some(policy), ..self }
    }

    /// The asset whose rows come behind those that are stored.
    #[must_use]
    pub fn appending(mut self) -> Self {
        self.materialized = Materialized::Append { watermark: None };
        self
    }

    /// Whether a step can make it: it is computed and stored.
    pub fn is_materializable(&self) -> bool {
        !self.is_external() && self.materialized != Materialized::View
    }

    /// Whether Arrowsmith only reads it.
    pub fn is_external(&self) -> bool {
        matches!(self.body, Body::External(_))
    }

    /// What is wrong with the attributes.
    pub(crate) fn attribute_problems(&self) -> Vec<Diagnostic> {
        let mut problems = Vec::new();
        let mut refuse = |message: String| {
            let diagnostic = Diagnostic::error(Code::Attribute, message);
            problems.push(diagnostic.at(self.place.clone()));
        };
        let key = &self.key;
        let word = |text: &str, more: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || more.contains(c);
            !text.is_empty() && text.len() <= 63 && text.chars().all(allowed)
        };
        if let Some(group) = &self.attributes.group
            && !group.split('/').all(|segment| word(segment, ""))
        {
            refuse(format!(
                "group `{group}` of `{key}` is not letters, digits and `_`, in segments joined by `/`"
            ));
        }
        for (tag, value) in &self.attributes.tags {
            let mut parts = tag.splitn(2, '/');
            if !parts.all(|part| word(part, ".-")) || !(value.is_empty() || word(value, ".-")) {
                refuse(format!(
                    "tag `{tag}` of `{key}` is not at most 63 letters, digits, `_`, `.` and `-`, \
                     with at most one `/`"
                ));
            }
        }
        for owner in &self.attributes.owners {
            let is_team = owner.strip_prefix("team:").is_some_and(|team| !team.is_empty());
            let is_mail =
                owner.split_once('@').is_some_and(|(a, b)| !a.is_empty() && b.contains('.'));
            if !is_team && !is_mail {
                refuse(format!(
                    "owner `{owner}` of `{key}` is neither an e-mail address nor `team:NAME`"
                ));
            }
        }
        if self.attributes.kinds.len() > 10 {
            refuse(format!("`{key}` has more than ten kinds"));
        }
        problems
    }

    /// Problems that show only when the columns are known.
    pub(crate) fn storage_problems(&self, schema: &SchemaRef) -> Vec<Diagnostic> {
        let names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        let sort_by = self.storage.options.get("sort_by").and_then(|v| v.as_array());
        let sorted = sort_by.into_iter().flatten().filter_map(|v| v.as_str());
        let sorted = sorted.filter_map(|text| text.split_whitespace().next());
        let blooms = self.storage.options.get("bloom_filters").and_then(|v| v.as_array());
        let blooms = blooms.into_iter().flatten().filter_map(|v| v.as_str());
        let named = self.storage.partition_by.iter().map(|c| ("partition_by", c.as_str()));
        let named = named.chain(self.materialized.columns());
        let named = named.chain(sorted.map(|c| ("sort_by", c)));
        let named = named.chain(blooms.map(|c| ("bloom_filters", c)));
        named
            .filter(|(_, column)| !names.contains(column))
            .map(|(option, column)| {
                let message = format!(
                    "`{option}` of `{}` names no column `{column}` of its result",
                    self.key
                );
                Diagnostic::error(Code::UnknownColumn, message)
                    .at(self.place.clone())
                    .did_you_mean(nearest(column, names.iter().copied()))
            })
            .collect()
    }
}
