//! A parsed query and its inputs as a logical plan.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::catalog::TableFunctionArgs;
use datafusion::common::config::ConfigOptions;
use datafusion::common::{Diagnostic as PlannerNote, TableReference, plan_datafusion_err};
use datafusion::datasource::cte_worktable::CteWorkTable;
use datafusion::datasource::provider_as_source;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, ScalarUDF, TableProviderFilterPushDown,
    TableSource, WindowUDF,
};
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion::sql::parser::DFParser;
use datafusion::sql::planner::{ParserOptions, SqlToRel};

use crate::parse::Query;

/// Table functions that read nothing from outside; any other would be a hidden dependency.
const TABLE_FUNCTIONS: [&str; 2] = ["generate_series", "range"];

/// What stands for a table while a query is planned.
#[derive(Clone)]
pub enum InputTable {
    /// Only its columns are known.
    Columns(SchemaRef),
    /// Its rows can be read.
    Rows(Arc<dyn datafusion::catalog::TableProvider>),
}

impl std::fmt::Debug for InputTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Columns(_) => "Columns",
            Self::Rows(_) => "Rows",
        })
    }
}

impl InputTable {
    fn source(&self) -> Arc<dyn TableSource> {
        match self {
            Self::Columns(schema) => Arc::new(PlannedTable(Arc::clone(schema))),
            Self::Rows(table) => provider_as_source(Arc::clone(table)),
        }
    }
}

/// A table of which only the columns are known. Filters are pushed to it as far as they go, so that
/// an optimized plan tells what it would read.
#[derive(Debug)]
pub(crate) struct PlannedTable(SchemaRef);

impl TableSource for PlannedTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.0)
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }
}

/// The session in which projects are checked: DataFusion's functions, and no table at all.
pub fn planning_session() -> &'static SessionState {
    static SESSION: OnceLock<SessionState> = OnceLock::new();
    SESSION.get_or_init(|| {
        let config = SessionConfig::new().with_information_schema(false);
        SessionContext::new_with_config(config).state()
    })
}

/// Plans a query over exactly these tables, by the names that it uses.
///
/// Returns the plan as the planner makes it, and what the planner warns of.
///
/// # Errors
/// The planner's own error, with spans; [`diagnose`](crate::diagnose) makes it readable.
pub fn plan_query(
    query: &Query,
    state: &SessionState,
    tables: &HashMap<String, InputTable>,
) -> Result<(LogicalPlan, Vec<PlannerNote>)> {
    let sources = tables.iter().map(|(name, table)| (name.clone(), table.source())).collect();
    let catalog = Catalog { state, sources };
    let options = ParserOptions { collect_spans: true, ..ParserOptions::default() };
    let planner = SqlToRel::new_with_options(&catalog, options);
    let plan = planner.sql_statement_to_plan(query.statement.clone())?;
    Ok((plan, planner.take_warnings()))
}

/// The tables of one query and the functions of a session.
struct Catalog<'a> {
    state: &'a SessionState,
    sources: HashMap<String, Arc<dyn TableSource>>,
}

impl ContextProvider for Catalog<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let source = self.sources.get(&name.to_string()).cloned();
        source.ok_or_else(|| plan_datafusion_err!("table '{name}' not found"))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        let function = self.state.table_functions().get(name).cloned();
        match function {
            Some(function) if TABLE_FUNCTIONS.contains(&name) => {
                let arguments = TableFunctionArgs::new(&args, self.state);
                Ok(provider_as_source(function.create_table_provider_with_args(arguments)?))
            }
            _ => Err(DataFusionError::Plan(format!("Invalid function '{name}'"))),
        }
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        Ok(provider_as_source(Arc::new(CteWorkTable::new(name, schema))))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        self.state.expr_planners()
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        None
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}

/// A type as SQL writes it, as Arrow has it; planned as a cast, since the planner keeps its
/// conversion of types to itself.
pub(crate) fn sql_data_type(
    state: &SessionState,
    data_type: &datafusion::sql::sqlparser::ast::DataType,
) -> Result<DataType> {
    let text = format!("select cast(null as {data_type})");
    let mut statements = DFParser::parse_sql(&text)?;
    let statement = statements.pop_front().ok_or_else(|| plan_datafusion_err!("no type"))?;
    let catalog = Catalog { state, sources: HashMap::new() };
    let plan = SqlToRel::new(&catalog).statement_to_plan(statement)?;
    Ok(plan.schema().field(0).data_type().clone())
}
