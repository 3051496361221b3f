//! A SQL query as the computation of an asset.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use arrowsmith_definitions::{
    Asset, AssetKey, AssetReference, Body, BoundInput, BoxError, Code, ColumnLineage, Compute,
    ComputeContext, Definitions, Diagnostic, Input, InputSchema, Materialized, Partitions, Place,
    Repository, Resolution, StepPartitions,
};
use async_trait::async_trait;
use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, Diagnostic as PlannerNote, ScalarValue};
use datafusion::datasource::ViewTable;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::SessionState;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::prelude::SessionContext;

use crate::diagnose::{duplicate_columns, planner_note};
use crate::document::Text;
use crate::incremental::{column_problems, put_together, stored_schema};
use crate::lineage::lineage;
use crate::parameters::{
    Parameters, bind_watermark, has_parameters, has_watermark, parameter_problems,
    watermark_problems,
};
use crate::parse::{Query, first_word, span_place};
use crate::reads::reads;
use crate::{InputTable, Variables, diagnose, front_matter, plan_query, planning_session};

/// A query that is checked against the schemas of its inputs, and planned over their versions.
#[derive(Debug, Clone)]
pub struct SqlQuery {
    query: Query,
    /// How the asset that it computes is cut, if it is.
    partitions: Option<Arc<Partitions>>,
    /// What becomes of the rows that are stored already.
    materialized: Materialized,
}

impl SqlQuery {
    /// Parses a text and puts values in the place of its variables.
    ///
    /// # Errors
    /// Everything that is wrong with the text alone.
    pub fn parse(
        file: &Arc<Path>,
        text: &Arc<str>,
        variables: &Variables,
    ) -> Result<Self, Vec<Diagnostic>> {
        let mut query = Query::parse(file, text).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        for (name, span) in variables.bind(&mut query.statement) {
            let message = format!("`{name}` is no variable");
            let problem = Diagnostic::error(Code::Variable, message).at(span_place(file, span));
            problems.push(match variables.nearest_placeholder(&name) {
                Some(near) => problem.did_you_mean(Some(near)),
                None => problem.help("variables are declared in `[vars]` and used as `$var_NAME`"),
            });
        }
        if problems.is_empty() {
            Ok(Self { query, partitions: None, materialized: Materialized::Table })
        } else {
            Err(problems)
        }
    }

    /// The parsed query.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// One input for each table that the query names.
    pub fn inputs(&self) -> Vec<Input> {
        let input = |table: &crate::TableName| Input {
            place: Some(table.place.clone()),
            ..Input::new(&table.name, AssetReference { segments: table.segments.clone() })
        };
        self.query.tables.iter().map(input).collect()
    }

    /// The query of an asset: rows of other partitions than those that a step makes are left out,
    /// parameters have values, and older rows are kept as the asset says.
    #[must_use]
    pub fn of_asset(self, asset: &Asset) -> Self {
        let (partitions, materialized) = (asset.partitions.clone(), asset.materialized.clone());
        Self { partitions, materialized, ..self }
    }

    /// Plans the query with the parameters of a step, or with values of their types.
    fn plan(
        &self,
        state: &SessionState,
        tables: &HashMap<String, InputTable>,
        step: Option<&StepPartitions>,
    ) -> DataFusionResult<(LogicalPlan, Vec<PlannerNote>)> {
        if let Materialized::Append { watermark: Some(column) } = &self.materialized
            && has_watermark(&self.query)
        {
            // What the column is, is known once the query is planned with any value for it.
            let unknown = bind_watermark(&self.query, &ScalarValue::Null)?;
            let (plan, _) = plan_query(&unknown, state, tables)?;
            let field = plan.schema().field_with_unqualified_name(column)?;
            let typed = ScalarValue::try_from(field.data_type())?;
            return plan_query(&bind_watermark(&self.query, &typed)?, state, tables);
        }
        let (Some(definition), true) =
            (self.partitions.as_deref(), has_parameters(&self.query.statement))
        else {
            return plan_query(&self.query, state, tables);
        };
        let parameters = Parameters::new(definition, step);
        let planned = plan_query(&parameters.bind(&self.query), state, tables)?;
        match parameters.of_column(planned.0.schema().as_arrow()) {
            Some(better) => plan_query(&better.bind(&self.query), state, tables),
            None => Ok(planned),
        }
    }

    /// The largest value of the watermark's column that is stored, if there is such a column and
    /// the query asks for it.
    async fn watermark(&self, context: &ComputeContext) -> Result<Option<ScalarValue>, BoxError> {
        let Materialized::Append { watermark: Some(column) } = &self.materialized else {
            return Ok(None);
        };
        let Some(previous) = context.previous.as_ref().filter(|_| has_watermark(&self.query))
        else {
            return Ok(None);
        };
        let session = SessionContext::new_with_state((*context.session).clone());
        let largest = session.read_table(Arc::clone(previous))?;
        let largest = largest.aggregate(vec![], vec![max(ident(column))])?.collect().await?;
        match largest.first() {
            Some(batch) if batch.num_rows() > 0 => {
                Ok(Some(ScalarValue::try_from_array(batch.column(0), 0)?))
            }
            _ => Ok(None),
        }
    }

    fn check(&self, inputs: &[InputSchema<'_>]) -> Resolution {
        let mut problems = parameter_problems(&self.query, self.partitions.as_deref());
        problems.extend(watermark_problems(&self.query, &self.materialized));
        if !problems.is_empty() {
            return Resolution { problems, ..Resolution::default() };
        }
        // What could be said without these columns would only repeat their problem.
        let Some(tables) = columns_of(inputs) else { return Resolution::default() };
        let state = planning_session();
        let (plan, notes) = match self.plan(state, &tables, None) {
            Ok(planned) => planned,
            Err(error) => {
                let problems = diagnose(&self.query, &error);
                return Resolution { problems, ..Resolution::default() };
            }
        };
        let notes = notes.iter();
        let mut problems: Vec<_> = notes.map(|note| planner_note(&self.query, note)).collect();
        problems.extend(duplicate_columns(&self.query, plan.schema()));
        let taken = column_problems(&self.materialized, plan.schema().as_arrow());
        problems.extend(taken.into_iter().map(|problem| problem.at(self.query.beginning())));
        match state.optimize(&plan) {
            Ok(optimized) => {
                let schema = output_schema(optimized.schema());
                let schema = Some(stored_schema(&self.materialized, &schema));
                // Values of parameters are not known yet, and so are filters with them.
                let known = !has_parameters(&self.query.statement) && !has_watermark(&self.query);
                // Whatever cannot be said is not known, and means that the asset is built.
                let reads = reads(&self.query, &plan, &optimized, known).ok();
                Resolution { schema, problems, reads }
            }
            Err(error) => {
                problems.extend(diagnose(&self.query, &error));
                Resolution { problems, ..Resolution::default() }
            }
        }
    }
}

/// The tables of inputs, if the columns of all of them are known.
fn columns_of(inputs: &[InputSchema<'_>]) -> Option<HashMap<String, InputTable>> {
    let table = |input: &InputSchema<'_>| {
        let columns = InputTable::Columns(Arc::clone(input.schema?));
        Some((input.name.to_owned(), columns))
    };
    inputs.iter().map(table).collect()
}

/// The columns without the tables that they come from.
fn output_schema(schema: &DFSchema) -> SchemaRef {
    let plain = |field: &Arc<Field>| {
        Field::new(field.name(), field.data_type().clone(), field.is_nullable())
    };
    Arc::new(Schema::new(schema.fields().iter().map(plain).collect::<Vec<_>>()))
}

#[async_trait]
impl Compute for SqlQuery {
    fn kind(&self) -> &'static str {
        "sql"
    }

    fn code(&self) -> Option<&str> {
        Some(&self.query.text)
    }

    fn resolve(&self, key: &AssetKey, inputs: &[InputSchema<'_>]) -> Resolution {
        let mut resolution = self.check(inputs);
        let unknown = inputs.iter().find(|input| input.schema.is_none());
        if let (Some(input), true) = (unknown, resolution.problems.is_empty()) {
            let message = format!(
                "`{key}` is not type-checked, since the columns of `{}` are not known",
                input.key
            );
            let place = self.query.tables.iter().find(|t| t.name == input.name);
            resolution.problems.push(
                Diagnostic::warning(Code::UnknownSchema, message)
                    .at(place.map(|table| table.place.clone()))
                    .help("let its function return `Table<Row>`, or give it `schema = Row`"),
            );
        }
        resolution
    }

    fn lineage(&self, inputs: &[InputSchema<'_>]) -> Option<ColumnLineage> {
        let state = planning_session();
        let (plan, _) = self.plan(state, &columns_of(inputs)?, None).ok()?;
        lineage(state, &plan)
    }

    fn filters_partitions(&self) -> bool {
        true
    }

    async fn compute(&self, context: ComputeContext) -> Result<Arc<dyn ExecutionPlan>, BoxError> {
        let mut tables = HashMap::new();
        for input in &*context.inputs {
            let rows = InputTable::Rows(Arc::clone(input.table()?));
            tables.insert(input.name.clone(), rows);
        }
        let step = context.partitions.as_deref();
        let (mut plan, _) = self.plan(&context.session, &tables, step)?;
        if let Some(largest) = self.watermark(&context).await? {
            let query = bind_watermark(&self.query, &largest)?;
            plan = plan_query(&query, &context.session, &tables)?.0;
        }
        if let Some(filter) = step.and_then(|step| step.filter(plan.schema().as_arrow())) {
            plan = LogicalPlanBuilder::from(plan).filter(filter)?.build()?;
        }
        let (previous, now) = (context.previous.as_ref(), context.info.started_at);
        plan = put_together(&self.materialized, plan, previous, now, &context.session)?;
        Ok(context.session.create_physical_plan(&plan).await?)
    }

    fn view(
        &self,
        inputs: &[BoundInput],
        session: &SessionState,
    ) -> Result<Arc<dyn TableProvider>, BoxError> {
        let mut tables = HashMap::new();
        for input in inputs {
            tables.insert(input.name.clone(), InputTable::Rows(Arc::clone(input.table()?)));
        }
        let (plan, _) = plan_query(&self.query, session, &tables)?;
        Ok(Arc::new(ViewTable::new(plan, None)))
    }
}

/// Adds the asset of a SQL text to a repository; what is wrong becomes a problem of it.
///
/// The text may begin with front matter. It is the same as a file of a project, for repositories
/// that are written in Rust.
///
/// ```
/// use arrowsmith_definitions::Repository;
/// let repository = Repository::new("demo")
///     .with(arrowsmith_sql::sql_asset("marts.delays", "select 1 as delay"));
/// assert_eq!(repository.assets.len(), 1);
/// ```
#[track_caller]
pub fn sql_asset(key: &str, sql: &str) -> impl Definitions + use<> {
    let caller = std::panic::Location::caller();
    let place = Place::point(caller.file(), caller.line() as usize, caller.column() as usize);
    let file: Arc<Path> = Path::new(&format!("<{key}>")).into();
    let (text, key) = (Arc::from(sql), key.parse::<AssetKey>());
    SqlText { key: key.map_err(|e| e.to_string()), file, text, place }
}

struct SqlText {
    key: Result<AssetKey, String>,
    file: Arc<Path>,
    text: Arc<str>,
    place: Place,
}

impl Definitions for SqlText {
    fn add_to(self, repository: &mut Repository) {
        match self.key {
            Ok(key) => {
                let variables = Variables::default();
                add_asset(repository, key, &self.file, &self.text, &variables);
                if let Some(asset) = repository.assets.last_mut() {
                    asset.place = Some(self.place);
                }
            }
            Err(message) => {
                let problem = Diagnostic::error(Code::Key, message).at(self.place);
                repository.problems.push(problem);
            }
        }
    }
}

/// Adds the asset of a text. It is there even when the text cannot be parsed, so that nothing
/// downstream is said to read an unknown table.
pub(crate) fn add_asset(
    repository: &mut Repository,
    key: AssetKey,
    file: &Arc<Path>,
    text: &Arc<str>,
    variables: &Variables,
) {
    let parsed = SqlQuery::parse(file, text, variables);
    let inputs = parsed.as_ref().map(SqlQuery::inputs).unwrap_or_default();
    let mut asset = Asset::computed(key, Arc::new(Unparsed), inputs);
    asset.place = Some(first_word(file, text));
    let document =
        Text { file: Arc::clone(file), text: Arc::clone(text), start: 0, code: Code::FrontMatter };
    let mut problems = front_matter::read(&document, &mut asset);
    match parsed {
        Ok(query) => {
            asset.attributes.columns.clone_from(&query.query.column_comments);
            let query = query.of_asset(&asset);
            asset.body = Body::Computed(Arc::new(query));
        }
        Err(found) => {
            repository.broken.insert(asset.key.clone());
            problems.splice(0..0, found);
        }
    }
    repository.problems.extend(problems);
    asset.attributes.kinds.insert("sql".to_owned());
    repository.assets.push(asset);
}

/// Adds an asset whose query cannot be known, so that only that is told and nothing downstream.
pub(crate) fn add_unparsed(repository: &mut Repository, key: AssetKey, place: Place) {
    repository.broken.insert(key.clone());
    let mut asset = Asset::computed(key, Arc::new(Unparsed), Vec::new());
    asset.place = Some(place);
    repository.assets.push(asset);
}

/// Stands for a query whose text is wrong; its problem is told elsewhere.
#[derive(Debug)]
struct Unparsed;

#[async_trait]
impl Compute for Unparsed {
    fn kind(&self) -> &'static str {
        "sql"
    }

    fn code(&self) -> Option<&str> {
        None
    }

    fn resolve(&self, _key: &AssetKey, _inputs: &[InputSchema<'_>]) -> Resolution {
        Resolution::default()
    }

    async fn compute(&self, context: ComputeContext) -> Result<Arc<dyn ExecutionPlan>, BoxError> {
        Err(format!("the query of `{}` cannot be parsed", context.info.step_key).into())
    }
}
