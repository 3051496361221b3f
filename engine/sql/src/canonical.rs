//! The canonical plan of a query: a text that is the same for queries that are the same.
//!
//! It is the optimized plan, a node a line. Formatting, comments, aliases and names of common table
//! expressions are gone, and so are columns of inputs that the query does not read. A column stands by
//! the name that it has in its table; one that was computed, or of which there are several, stands by its
//! position in the rows below.

use arrow::datatypes::Field;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{
    Column, DFSchema, DFSchemaRef, JoinType, ScalarValue, plan_datafusion_err,
};
use datafusion::error::Result;
use datafusion::logical_expr::{Distinct, Expr, Join, LogicalPlan, SortExpr, TableScan};

use crate::reads::is_input;

/// A plan without names of its own, or an error if it has a part that has no such form.
pub(crate) fn canonical(plan: &LogicalPlan) -> Result<String> {
    Ok(Form::of(plan)?.lines.join("\n"))
}

/// Names, types and nullability of the columns of a result.
pub(crate) fn columns_of(schema: &DFSchema) -> String {
    let columns = schema.fields().iter();
    let columns = columns.map(|f| format!("{}:{}:{}", f.name(), f.data_type(), f.is_nullable()));
    columns.collect::<Vec<_>>().join(", ")
}

/// The canonical form of a plan.
struct Form {
    lines: Vec<String>,
    /// For each of its columns the name that it has in a table, if it comes from one as it is.
    names: Vec<Option<String>>,
}

/// The rows below an expression.
struct Below<'a> {
    schemas: Vec<&'a DFSchemaRef>,
    names: Vec<Option<String>>,
}

impl Form {
    /// A node above others, which are indented.
    fn node(line: String, below: impl IntoIterator<Item = Self>, names: Names) -> Self {
        let (mut lines, mut first) = (vec![line], None);
        for form in below {
            lines.extend(form.lines.iter().map(|line| format!("  {line}")));
            first.get_or_insert(form.names);
        }
        let names = match names {
            Names::Same => first.unwrap_or_default(),
            Names::These(names) => names,
        };
        Self { lines, names }
    }

    fn of(plan: &LogicalPlan) -> Result<Self> {
        Ok(match plan {
            LogicalPlan::SubqueryAlias(alias) => Self::of(&alias.input)?,
            LogicalPlan::Subquery(subquery) => Self::of(&subquery.subquery)?,
            LogicalPlan::TableScan(scan) if is_input(scan) => scanned(scan)?,
            LogicalPlan::Projection(node) => {
                let (form, below) = below(&node.input)?;
                let names = node.expr.iter().map(|expr| below.name(expr)).collect();
                let line = format!("project {}", below.told(&node.expr)?);
                Self::node(line, [form], Names::These(names))
            }
            LogicalPlan::Filter(node) => {
                let (form, below) = below(&node.input)?;
                let line = format!("filter {}", below.told([&node.predicate])?);
                Self::node(line, [form], Names::Same)
            }
            LogicalPlan::Window(node) => {
                let (form, below) = below(&node.input)?;
                let line = format!("window {}", below.told(&node.window_expr)?);
                let mut names = below.names;
                names.resize(node.schema.fields().len(), None);
                Self::node(line, [form], Names::These(names))
            }
            LogicalPlan::Aggregate(node) => {
                let (form, below) = below(&node.input)?;
                let (groups, sums) = (below.told(&node.group_expr)?, below.told(&node.aggr_expr)?);
                let mut names: Vec<_> =
                    node.group_expr.iter().map(|expr| below.name(expr)).collect();
                names.resize(node.schema.fields().len(), None);
                let line = format!("aggregate {sums} by {groups}");
                Self::node(line, [form], Names::These(names))
            }
            LogicalPlan::Sort(node) => {
                let (form, below) = below(&node.input)?;
                let keys = below.told(node.expr.iter().map(|sort| &sort.expr))?;
                let how: Vec<String> = node.expr.iter().map(order).collect();
                let fetch = node.fetch.map_or(String::new(), |rows| format!(", first {rows} rows"));
                let line = format!("sort {keys} {}{fetch}", how.join(", "));
                Self::node(line, [form], Names::Same)
            }
            LogicalPlan::Join(node) => joined(node)?,
            LogicalPlan::Union(node) => {
                let forms = node.inputs.iter().map(|input| Self::of(input));
                let forms = forms.collect::<Result<Vec<_>>>()?;
                let count = node.schema.fields().len();
                Self::node("union".to_owned(), forms, Names::These(vec![None; count]))
            }
            LogicalPlan::Distinct(Distinct::All(inner)) => {
                Self::node("distinct".to_owned(), [Self::of(inner)?], Names::Same)
            }
            LogicalPlan::EmptyRelation(node) => {
                let rows = if node.produce_one_row { "one row" } else { "no rows" };
                let line = format!("{rows} of {}", columns_of(&node.schema));
                Self::node(line, [], Names::These(vec![None; node.schema.fields().len()]))
            }
            LogicalPlan::Values(node) => {
                let nothing = Below { schemas: Vec::new(), names: Vec::new() };
                let rows = node.values.iter().map(|row| nothing.told(row));
                let line = format!("values {}", rows.collect::<Result<Vec<_>>>()?.join(" "));
                Self::node(line, [], Names::These(vec![None; node.schema.fields().len()]))
            }
            _ => return Err(plan_datafusion_err!("no canonical form")),
        })
    }
}

enum Names {
    /// Those of the rows below.
    Same,
    These(Vec<Option<String>>),
}

fn below(input: &LogicalPlan) -> Result<(Form, Below<'_>)> {
    let form = Form::of(input)?;
    let below = Below { schemas: vec![input.schema()], names: form.names.clone() };
    Ok((form, below))
}

fn order(sort: &SortExpr) -> String {
    let order = if sort.asc { "asc" } else { "desc" };
    format!("{order} nulls {}", if sort.nulls_first { "first" } else { "last" })
}

fn scanned(scan: &TableScan) -> Result<Form> {
    let schema = scan.source.schema();
    let fields = scan.projected_schema.fields().iter();
    let names = fields.clone().map(|field| plain(field.name())).collect();
    let fields = fields.map(|field| {
        let nullable = schema.field_with_name(field.name()).is_ok_and(Field::is_nullable);
        let not = if nullable { "" } else { " not null" };
        format!("{} {}{not}", field.name(), field.data_type())
    });
    let fields = fields.collect::<Vec<_>>().join(", ");
    let named = |filter| replaced(filter, &|column: &Column| Ok(column.name.clone()));
    let mut filters: Vec<String> = scan.filters.iter().map(named).collect::<Result<_>>()?;
    filters.sort();
    let filters = match filters.as_slice() {
        [] => String::new(),
        filters => format!(" where {}", filters.join(" and ")),
    };
    let line = format!("scan {} ({fields}){filters}", scan.table_name);
    Ok(Form::node(line, [], Names::These(names)))
}

fn joined(node: &Join) -> Result<Form> {
    let (left, of_left) = below(&node.left)?;
    let (right, of_right) = below(&node.right)?;
    let on = node
        .on
        .iter()
        .map(|(l, r)| Ok(format!("{} = {}", of_left.told([l])?, of_right.told([r])?)));
    let on = on.collect::<Result<Vec<_>>>()?.join(" and ");
    let both = Below {
        schemas: vec![node.left.schema(), node.right.schema()],
        names: [&*of_left.names, &*of_right.names].concat(),
    };
    let filter = both.told(&node.filter)?;
    let (null, aware) = (node.null_equality, node.null_aware);
    let line = format!("{} join on {on} {filter} {null:?} {aware}", node.join_type);
    let mut names = match node.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => of_left.names,
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => of_right.names,
        JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => both.names,
    };
    names.resize(node.schema.fields().len(), None);
    Ok(Form::node(line, [left, right], Names::These(names)))
}

/// A name that cannot be taken for anything else.
fn plain(name: &str) -> Option<String> {
    let is_plain = name.starts_with(|c: char| c.is_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_plain.then(|| name.to_owned())
}

impl Below<'_> {
    /// Expressions over these rows.
    fn told<'a>(&self, exprs: impl IntoIterator<Item = &'a Expr>) -> Result<String> {
        let place = |column: &Column| self.place(column);
        let exprs = exprs.into_iter().map(|expr| replaced(expr, &place));
        Ok(format!("[{}]", exprs.collect::<Result<Vec<_>>>()?.join(", ")))
    }

    fn position(&self, column: &Column) -> Option<usize> {
        let mut offset = 0;
        for schema in &self.schemas {
            if let Some(at) = schema.maybe_index_of_column(column) {
                return Some(offset + at);
            }
            offset += schema.fields().len();
        }
        None
    }

    fn place(&self, column: &Column) -> Result<String> {
        let nowhere = || plan_datafusion_err!("`{column}` is nowhere");
        let at = self.position(column).ok_or_else(nowhere)?;
        let name = self.names.get(at).and_then(Option::as_ref);
        let is_only =
            |name: &&String| self.names.iter().flatten().filter(|other| other == name).count() == 1;
        Ok(name.filter(is_only).cloned().unwrap_or_else(|| format!("#{at}")))
    }

    /// The name of an expression that is nothing but a column.
    fn name(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Alias(alias) => self.name(&alias.expr),
            Expr::Column(column) => self.names.get(self.position(column)?)?.clone(),
            _ => None,
        }
    }
}

/// A text in which nothing can be taken for its end.
fn escaped(value: ScalarValue) -> ScalarValue {
    let escape = |text: String| Some(text.escape_debug().to_string());
    match value {
        ScalarValue::Utf8(Some(text)) => ScalarValue::Utf8(escape(text)),
        ScalarValue::LargeUtf8(Some(text)) => ScalarValue::LargeUtf8(escape(text)),
        ScalarValue::Utf8View(Some(text)) => ScalarValue::Utf8View(escape(text)),
        other => other,
    }
}

/// An expression with other columns and without aliases, and the plans of its subqueries.
fn replaced(expr: &Expr, name: &impl Fn(&Column) -> Result<String>) -> Result<String> {
    let mut subqueries = Vec::new();
    let replaced = expr.clone().transform_up(|expr| {
        Ok(match expr {
            Expr::Column(column) => {
                Transformed::yes(Expr::Column(Column::new_unqualified(name(&column)?)))
            }
            Expr::Alias(alias) => Transformed::yes(*alias.expr),
            Expr::Literal(value, metadata) => {
                Transformed::yes(Expr::Literal(escaped(value), metadata))
            }
            Expr::Exists(ref exists) => {
                subqueries.push(canonical(&exists.subquery.subquery)?);
                Transformed::no(expr)
            }
            Expr::InSubquery(ref inside) => {
                subqueries.push(canonical(&inside.subquery.subquery)?);
                Transformed::no(expr)
            }
            Expr::ScalarSubquery(ref subquery) => {
                subqueries.push(canonical(&subquery.subquery)?);
                Transformed::no(expr)
            }
            Expr::SetComparison(_) | Expr::OuterReferenceColumn(..) => {
                return Err(plan_datafusion_err!("no canonical form"));
            }
            other => Transformed::no(other),
        })
    })?;
    let subqueries = subqueries.iter().map(|plan| format!(" {{{}}}", plan.replace('\n', ";")));
    Ok(format!("{}{}", replaced.data, subqueries.collect::<String>()))
}
