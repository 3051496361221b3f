//! From definitions to a checked graph: names, circles, schemas, options.

mod columns;
mod graph;
mod operate;
mod partitions;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use arrowsmith_io_manager::IoManager;

use crate::reference::{Found, KeyIndex};
use crate::{
    Asset, AssetGraph, AssetKey, Body, Code, Diagnostic, Input, InputSchema, Job, Operations,
    PartitionMapping, Problems, Reads, Repository, ResolvedUnitTest, ResourceDefinition, Schedule,
    ScheduleCadence, Sensor, Severity, Ticks, TimeWindows, nearest,
};

/// IO managers that are open, by name.
pub type IoManagers = BTreeMap<String, Arc<dyn IoManager>>;

/// A repository without errors: every name is found, every schema is known or known to be open.
#[derive(Debug, Clone)]
pub struct Resolved {
    /// The repository's name.
    pub name: String,
    /// The project folder, if there is one.
    pub root: Option<PathBuf>,
    /// Who reads whom.
    pub graph: AssetGraph,
    /// Every asset by its key.
    pub assets: HashMap<AssetKey, Arc<ResolvedAsset>>,
    /// The managers that the assets name.
    pub io_managers: IoManagers,
    /// By name.
    pub jobs: BTreeMap<String, Arc<Job>>,
    /// By name.
    pub schedules: BTreeMap<String, Arc<ResolvedSchedule>>,
    /// By name.
    pub sensors: BTreeMap<String, Arc<Sensor>>,
    /// How its daemon works.
    pub operations: Operations,
    /// By name.
    pub resources: BTreeMap<String, ResourceDefinition>,
    /// In the order of definition.
    pub unit_tests: Vec<ResolvedUnitTest>,
    /// Warnings.
    pub warnings: Vec<Diagnostic>,
    index: Arc<KeyIndex>,
}

/// A schedule whose ticks are known.
#[derive(Debug, Clone)]
pub struct ResolvedSchedule {
    /// The definition.
    pub schedule: Arc<Schedule>,
    /// When it ticks.
    pub ticks: Ticks,
    /// What its partitions are, if each tick is for one.
    pub windows: Option<TimeWindows>,
}

impl ResolvedSchedule {
    /// When it ticks, for people.
    pub fn cadence(&self) -> String {
        match (&self.schedule.cadence, &self.windows) {
            (ScheduleCadence::Cron { crons, timezone }, _) => {
                let crons: Vec<String> = crons.iter().map(ToString::to_string).collect();
                let zone = timezone.iana_name().unwrap_or("UTC");
                format!("{} {zone}", crons.join(" or "))
            }
            (ScheduleCadence::Partitions { offset }, Some(windows)) => {
                let later = if offset.is_zero() {
                    String::new()
                } else {
                    format!(" and {} s", offset.as_secs())
                };
                format!("after each partition{later} ({})", windows.cadence)
            }
            _ => String::new(),
        }
    }
}

/// An asset whose inputs are found.
#[derive(Debug, Clone)]
pub struct ResolvedAsset {
    /// The definition.
    pub asset: Arc<Asset>,
    /// In the order of the definition.
    pub inputs: Vec<ResolvedInput>,
    /// The columns, if they are known before it runs.
    pub schema: Option<SchemaRef>,
    /// What its rows depend on, if that is known.
    pub reads: Option<Arc<Reads>>,
    /// The name of its IO manager.
    pub io_manager: String,
}

/// An input and the asset that it is.
#[derive(Debug, Clone, PartialEq)]
pub struct ResolvedInput {
    /// The name by which the computation asks for it.
    pub name: String,
    /// The asset.
    pub key: AssetKey,
    /// The IO manager that loads it; the one that stored it if it is open.
    pub io_manager: Option<String>,
    /// Which of its partitions are read, if the reader says so.
    pub mapping: Option<PartitionMapping>,
    /// Whether partitions that are missing are left out.
    pub allow_missing: bool,
}

impl Repository {
    /// Checks everything that can be checked without reading rows.
    ///
    /// # Errors
    /// All problems at once, warnings among them, if any is an error.
    pub fn resolve(&self, io_managers: &IoManagers) -> Result<Resolved, Problems> {
        let mut problems = self.problems.clone();
        let assets = self.unique_assets(&mut problems);
        let index = KeyIndex::new(assets.keys().copied());
        let mut inputs: HashMap<&AssetKey, Vec<ResolvedInput>> = HashMap::new();
        let mut broken: HashSet<&AssetKey> = self.broken.iter().collect();
        for asset in assets.values() {
            problems.extend(asset.attribute_problems());
            let (found, lost) = find_inputs(asset, &index);
            if !lost.is_empty() {
                broken.insert(&asset.key);
            }
            problems.extend(lost);
            inputs.insert(&asset.key, found);
        }
        let graph = graph_of(&assets, &inputs, &mut problems);
        let mut resolved: HashMap<AssetKey, Arc<ResolvedAsset>> = HashMap::new();
        let default = self.default_io_manager.as_deref().unwrap_or("default");
        for key in graph.topological() {
            let asset = assets[key];
            let io_manager = asset.storage.io_manager.as_deref().unwrap_or(default).to_owned();
            problems.extend(io_manager_problems(asset, &io_manager, io_managers));
            problems.extend(partitions::problems(asset, &io_manager, io_managers));
            problems.extend(partitions::shape_problems(asset));
            let (mut schema, mut reads) = (None, None);
            let reads_broken = inputs[key].iter().any(|input| broken.contains(&input.key));
            if reads_broken || broken.contains(key) {
                broken.insert(&asset.key);
            } else {
                let (found, consumed, wrong) = check_asset(asset, &inputs[key], &resolved);
                if wrong.iter().any(|problem| problem.severity == Severity::Error) {
                    broken.insert(&asset.key);
                }
                problems.extend(wrong);
                problems.extend(partitions::mapping_problems(asset, &inputs[key], &assets));
                let own = found.as_ref().or(asset.columns.as_ref());
                let schemas = columns::inputs(key, own, &inputs[key], &resolved);
                problems.extend(check_problems(asset, found.as_ref(), &schemas));
                schema = found;
                reads = consumed.map(Arc::new);
            }
            let resolved_asset = ResolvedAsset {
                asset: Arc::new(asset.clone()),
                inputs: inputs[key].clone(),
                schema,
                reads,
                io_manager,
            };
            resolved.insert(key.clone(), Arc::new(resolved_asset));
        }
        problems.extend(graph::job_problems(self));
        problems.extend(graph::backing_problems(self));
        let sound = |key: &AssetKey| resolved.get(key).filter(|_| !broken.contains(key));
        let unit_tests = self.sound_unit_tests(&index, sound, &mut problems);
        let mut resolved = Resolved {
            name: self.name.clone(),
            root: self.root.clone(),
            graph,
            assets: resolved,
            io_managers: io_managers.clone(),
            jobs: self.jobs.iter().map(|job| (job.name.clone(), Arc::new(job.clone()))).collect(),
            schedules: BTreeMap::new(),
            sensors: BTreeMap::new(),
            operations: self.operations.clone().unwrap_or_default(),
            resources: self.resources.clone(),
            unit_tests,
            warnings: Vec::new(),
            index: Arc::new(index),
        };
        problems.extend(operate::add(self, &mut resolved));
        let mut problems = Problems(problems);
        problems.sort();
        if problems.has_errors() {
            return Err(problems);
        }
        resolved.warnings = problems.0;
        Ok(resolved)
    }

    fn sound_unit_tests<'a>(
        &self,
        index: &KeyIndex,
        sound: impl Fn(&AssetKey) -> Option<&'a Arc<ResolvedAsset>>,
        problems: &mut Vec<Diagnostic>,
    ) -> Vec<ResolvedUnitTest> {
        let mut unit_tests = Vec::new();
        for test in &self.unit_tests {
            match test.resolve(index, |key| sound(key).map(Arc::as_ref)) {
                Ok(test) => unit_tests.extend(test),
                Err(wrong) => problems.extend(wrong),
            }
        }
        unit_tests
    }

    /// The first definition of each key; the others are problems.
    fn unique_assets<'a>(
        &'a self,
        problems: &mut Vec<Diagnostic>,
    ) -> BTreeMap<&'a AssetKey, &'a Asset> {
        let mut unique: BTreeMap<&AssetKey, &Asset> = BTreeMap::new();
        for asset in &self.assets {
            if let Some(first) = unique.get(&asset.key) {
                let message = format!("asset `{}` is defined twice", asset.key);
                problems.push(
                    Diagnostic::error(Code::DuplicateKey, message)
                        .at(asset.place.clone())
                        .label(first.place.clone(), "it is first defined here"),
                );
            } else {
                unique.insert(&asset.key, asset);
            }
        }
        unique
    }
}

impl Resolved {
    /// Whether some asset is materialized by a condition.
    pub fn has_conditions(&self) -> bool {
        self.assets.values().any(|of| of.asset.automation.is_some())
    }

    /// The asset of this key.
    pub fn asset(&self, key: &AssetKey) -> Option<&ResolvedAsset> {
        self.assets.get(key).map(Arc::as_ref)
    }

    /// The asset that a user means by a name: its key, or a unique last segment.
    ///
    /// # Errors
    /// A diagnostic that names the nearest key, or the several that it could be.
    pub fn find(&self, name: &str) -> Result<&ResolvedAsset, Diagnostic> {
        let key: AssetKey = name
            .parse()
            .map_err(|e: crate::InvalidKey| Diagnostic::error(Code::Key, e.to_string()))?;
        let reference = crate::AssetReference::to(&key);
        match self.index.find(&reference, None) {
            Found::One(key) => Ok(&self.assets[&key]),
            Found::Several(keys) => Err(several(&reference.to_string(), &keys)),
            Found::None { nearest } => {
                let message = format!("there is no asset `{name}`");
                Err(Diagnostic::error(Code::UnknownTable, message)
                    .did_you_mean(nearest.map(|k| k.to_string())))
            }
        }
    }

    /// The asset that a reference in a query outside of the project means.
    ///
    /// # Errors
    /// As [`find`](Self::find).
    pub fn find_reference(
        &self,
        reference: &crate::AssetReference,
    ) -> Result<&ResolvedAsset, Diagnostic> {
        self.find(&reference.to_string())
    }
}

fn several(name: &str, keys: &[AssetKey]) -> Diagnostic {
    let shown: Vec<String> = keys.iter().map(|k| format!("`{k}`")).collect();
    Diagnostic::error(Code::AmbiguousTable, format!("`{name}` could be {}", shown.join(" or ")))
        .help("write the whole key")
}

/// The graph of assets, without those that read each other in circles, which are problems.
fn graph_of<'a>(
    assets: &BTreeMap<&'a AssetKey, &'a Asset>,
    inputs: &'a HashMap<&AssetKey, Vec<ResolvedInput>>,
    problems: &mut Vec<Diagnostic>,
) -> AssetGraph {
    match AssetGraph::try_new(edges(assets, inputs)) {
        Ok(graph) => graph,
        Err(cycles) => {
            problems.extend(cycles.iter().map(|cycle| cycle_problem(cycle, assets)));
            AssetGraph::try_new(without_cycles(assets, inputs, &cycles)).unwrap_or_default()
        }
    }
}

/// Who reads whom. Earlier windows of an asset itself close no circle.
fn edges<'a>(
    assets: &BTreeMap<&'a AssetKey, &'a Asset>,
    inputs: &'a HashMap<&AssetKey, Vec<ResolvedInput>>,
) -> Vec<(&'a AssetKey, Vec<&'a AssetKey>)> {
    let edge = |(key, asset): (&&'a AssetKey, &&Asset)| {
        let read = inputs[*key].iter().filter(|input| !partitions::is_earlier(asset, input));
        (*key, read.map(|input| &input.key).collect())
    };
    assets.iter().map(edge).collect()
}

fn find_inputs(asset: &Asset, index: &KeyIndex) -> (Vec<ResolvedInput>, Vec<Diagnostic>) {
    let (mut found, mut lost) = (Vec::new(), Vec::new());
    for input in &asset.inputs {
        match index.find(&input.reference, Some(&asset.key)) {
            Found::One(key) => found.push(ResolvedInput {
                name: input.name.clone(),
                key,
                io_manager: input.io_manager.clone(),
                mapping: input.mapping.clone(),
                allow_missing: input.allow_missing,
            }),
            Found::Several(keys) => {
                lost.push(several(&input.reference.to_string(), &keys).at(place(asset, input)));
            }
            Found::None { nearest } => {
                let message =
                    format!("`{}` reads `{}`, which is no asset", asset.key, input.reference);
                let diagnostic = Diagnostic::error(Code::UnknownTable, message)
                    .at(place(asset, input))
                    .marked("no asset or source of this name");
                lost.push(diagnostic.did_you_mean(nearest.map(|k| k.to_string())));
            }
        }
    }
    (found, lost)
}

fn place(asset: &Asset, input: &Input) -> Option<crate::Place> {
    input.place.clone().or_else(|| asset.place.clone())
}

fn cycle_problem(cycle: &[AssetKey], assets: &BTreeMap<&AssetKey, &Asset>) -> Diagnostic {
    let mut shown: Vec<String> = cycle.iter().map(|key| format!("`{key}`")).collect();
    shown.extend(shown.first().cloned());
    let message = format!("assets read each other in a circle: {}", shown.join(" reads "));
    let mut diagnostic = Diagnostic::error(Code::Cycle, message);
    for (i, key) in cycle.iter().enumerate() {
        let next = &cycle[(i + 1) % cycle.len()];
        let asset = assets[key];
        let reads = asset.inputs.iter().find(|input| {
            input.reference.segments == next.segments()
                || input.reference.segments.last().map(String::as_str) == Some(next.name())
        });
        let at = reads.map_or_else(|| asset.place.clone(), |input| place(asset, input));
        let text = format!("`{key}` reads `{next}` here");
        diagnostic =
            if i == 0 { diagnostic.at(at).marked(text) } else { diagnostic.label(at, text) };
    }
    let own = cycle.first().filter(|_| cycle.len() == 1).map(|key| assets[key]);
    match own.map(|asset| asset.partitions.is_some()) {
        Some(true) => diagnostic.help(format!(
            "it may read its own earlier windows of time: \
             `[inputs]` `\"{}\" = {{ start_offset = -1, end_offset = -1 }}`",
            cycle[0]
        )),
        Some(false) => diagnostic.help(
            "only an asset that is partitioned by time may read itself, its earlier windows; \
             one that adds to its rows is `materialized = \"append\"` and asks for `$watermark`",
        ),
        None => diagnostic.help("take one of these reads out of the circle"),
    }
}

/// The assets with the inputs inside circles left out, so that the rest can still be checked.
fn without_cycles<'a>(
    assets: &BTreeMap<&'a AssetKey, &'a Asset>,
    inputs: &'a HashMap<&AssetKey, Vec<ResolvedInput>>,
    cycles: &[Vec<AssetKey>],
) -> Vec<(&'a AssetKey, Vec<&'a AssetKey>)> {
    let in_cycle = |key: &AssetKey| cycles.iter().any(|cycle| cycle.contains(key));
    assets
        .keys()
        .filter(|key| !in_cycle(key))
        .map(|key| {
            let reads = inputs[key].iter().map(|input| &input.key);
            (*key, reads.filter(|read| !in_cycle(read)).collect())
        })
        .collect()
}

fn io_manager_problems(asset: &Asset, name: &str, managers: &IoManagers) -> Vec<Diagnostic> {
    if asset.is_external() {
        return Vec::new();
    }
    let unknown = asset.inputs.iter().filter_map(|input| {
        let name = input.io_manager.as_ref().filter(|name| !managers.contains_key(*name))?;
        let message = format!(
            "input `{}` of `{}` is to be loaded by `{name}`, which is no IO manager",
            input.name, asset.key
        );
        let near = nearest(name, managers.keys().map(String::as_str));
        Some(Diagnostic::error(Code::IoManager, message).at(place(asset, input)).did_you_mean(near))
    });
    let mut problems: Vec<Diagnostic> = unknown.collect();
    let Some(manager) = managers.get(name) else {
        let message =
            format!("`{}` is to be stored by `{name}`, which is no IO manager", asset.key);
        let diagnostic = Diagnostic::error(Code::IoManager, message).at(asset.place.clone());
        problems.push(diagnostic.did_you_mean(nearest(name, managers.keys().map(String::as_str))));
        return problems;
    };
    let wrong = manager.check_options(&asset.storage.options);
    problems.extend(wrong.into_iter().map(|problem| {
        let message = format!("`{}`: {}", asset.key, problem.message);
        Diagnostic::error(Code::IoManager, message)
            .at(asset.place.clone())
            .did_you_mean(problem.suggestion)
    }));
    problems
}

fn check_asset(
    asset: &Asset,
    inputs: &[ResolvedInput],
    resolved: &HashMap<AssetKey, Arc<ResolvedAsset>>,
) -> (Option<SchemaRef>, Option<Reads>, Vec<Diagnostic>) {
    let compute = match &asset.body {
        Body::External(source) => return (Some(source.schema()), None, Vec::new()),
        Body::Computed(compute) => compute,
        Body::Graph { backing, output } => {
            let schema = graph::output_schema(backing, output);
            return (schema, None, typed_inputs(asset, inputs, resolved));
        }
    };
    let own = columns::own(asset, &**compute, inputs, resolved);
    let schemas = columns::inputs(&asset.key, own.as_ref(), inputs, resolved);
    let mut problems = typed_inputs(asset, inputs, resolved);
    let resolution = compute.resolve(&asset.key, &schemas);
    problems.extend(resolution.problems);
    if own.is_none() && inputs.iter().any(|input| input.key == asset.key) {
        return (None, None, vec![columns::undeclared(asset)]);
    }
    if let Some(schema) = &resolution.schema {
        problems.extend(columns::promise_problems(asset, schema));
        problems.extend(asset.storage_problems(schema));
        problems.extend(partitions::column_problems(asset, schema));
    }
    (resolution.schema, resolution.reads, problems)
}

fn check_problems(
    asset: &Asset,
    schema: Option<&SchemaRef>,
    inputs: &[InputSchema<'_>],
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for (i, check) in asset.checks.iter().enumerate() {
        if asset.checks[..i].iter().any(|before| before.name == check.name) {
            let message = format!("`{}` has two checks `{}`", asset.key, check.name);
            problems.push(Diagnostic::error(Code::Attribute, message).at(check.place.clone()));
        }
        problems.extend(check.body.resolve(&asset.key, schema, inputs));
    }
    problems
}

/// What typed inputs ask for that their tables do not have.
fn typed_inputs(
    asset: &Asset,
    inputs: &[ResolvedInput],
    resolved: &HashMap<AssetKey, Arc<ResolvedAsset>>,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    for (input, found) in asset.inputs.iter().zip(inputs) {
        let upstream = resolved.get(&found.key).and_then(|upstream| upstream.schema.as_ref());
        if let (Some(expected), Some(schema)) = (&input.expects, upstream) {
            problems.extend(contract_problems(asset, input, &found.key, expected, schema));
        }
    }
    problems
}

/// What a typed input asks for that the table does not have.
fn contract_problems(
    asset: &Asset,
    input: &Input,
    key: &AssetKey,
    expected: &SchemaRef,
    found: &SchemaRef,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut refuse = |message: String, near: Option<&str>| {
        problems.push(
            Diagnostic::error(Code::Contract, message).at(place(asset, input)).did_you_mean(near),
        );
    };
    for field in expected.fields() {
        let name = field.name();
        let wanted = format!("input `{}` of `{}` needs column `{name}`", input.name, asset.key);
        let Ok(column) = found.field_with_name(name) else {
            let names = found.fields().iter().map(|f| f.name().as_str());
            refuse(format!("{wanted}, which `{key}` does not have"), nearest(name, names));
            continue;
        };
        if !fits(column.data_type(), field.data_type()) {
            let (is, needed) = (column.data_type(), field.data_type());
            refuse(format!("{wanted} as {needed}, but in `{key}` it is {is}"), None);
        } else if column.is_nullable() && !field.is_nullable() {
            refuse(
                format!(
                    "{wanted} without nulls, but in `{key}` it may hold nulls: make it an `Option`"
                ),
                None,
            );
        }
    }
    problems
}

/// Whether a column can be read as another type without losing a value.
fn fits(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    let rank = |t: &DataType| match t {
        T::Int8 | T::UInt8 => Some(1),
        T::Int16 | T::UInt16 => Some(2),
        T::Int32 | T::UInt32 => Some(4),
        T::Int64 | T::UInt64 => Some(8),
        _ => None,
    };
    let text = |t: &DataType| matches!(t, T::Utf8 | T::LargeUtf8 | T::Utf8View);
    let bytes = |t: &DataType| matches!(t, T::Binary | T::LargeBinary | T::BinaryView);
    match (from, to) {
        _ if from == to => true,
        (T::Dictionary(_, value), _) => fits(value, to),
        _ if text(from) && text(to) || bytes(from) && bytes(to) => true,
        (T::Float32, T::Float64) => true,
        (T::Timestamp(_, a), T::Timestamp(_, b)) => a.is_some() == b.is_some(),
        (T::Decimal128(p, s), T::Decimal128(q, t)) => {
            t >= s && i16::from(*q) - i16::from(*t) >= i16::from(*p) - i16::from(*s)
        }
        (T::List(a) | T::LargeList(a), T::List(b) | T::LargeList(b)) => {
            fits(a.data_type(), b.data_type())
        }
        (T::Struct(a), T::Struct(b)) => b.iter().all(|wanted| {
            a.iter().any(|f| f.name() == wanted.name() && fits(f.data_type(), wanted.data_type()))
        }),
        _ => match (rank(from), rank(to)) {
            (Some(a), Some(b)) => {
                let unsigned =
                    |t: &DataType| matches!(t, T::UInt8 | T::UInt16 | T::UInt32 | T::UInt64);
                match (unsigned(from), unsigned(to)) {
                    (true, false) => a < b,
                    (false, true) => false,
                    _ => a <= b,
                }
            }
            (Some(width), None) => matches!(to, T::Float64) && width <= 4,
            _ => false,
        },
    }
}
