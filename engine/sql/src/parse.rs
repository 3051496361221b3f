//! SQL text to one query, with limits, and the tables that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use arrowsmith_definitions::{Code, Diagnostic, Place, Position};
use datafusion::common::TableReference;
use datafusion::sql::parser::{DFParserBuilder, Statement as DfStatement};
use datafusion::sql::planner::object_name_to_table_reference;
use datafusion::sql::resolve::resolve_table_references;
use datafusion::sql::sqlparser::ast::{
    SelectItem, SetExpr, Spanned, Statement, TableFactor, Visit, Visitor, visit_relations,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::tokenizer::{Span, Token, Tokenizer, Whitespace};

use crate::diagnose::syntax_problem;

/// Longest text of a query.
const BYTES_MAX: usize = 256 * 1024;
/// Most operators in a query. The planner recurses once for each of a chain, so that this bounds
/// its stack.
const OPERATORS_MAX: usize = 4_000;
/// Deepest nesting of parentheses and subqueries.
const DEPTH_MAX: usize = 200;

/// A parsed query and where its text is.
#[derive(Debug, Clone)]
pub struct Query {
    /// The file, as it is to be shown.
    pub file: Arc<Path>,
    /// The whole text of the file, front matter included.
    pub text: Arc<str>,
    pub(crate) statement: Statement,
    /// Tables that are not made by the query itself, in the order of their names.
    pub tables: Vec<TableName>,
    /// Comments behind selected columns, by column.
    pub column_comments: BTreeMap<String, String>,
}

/// A table as a query names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// The name as the planner will ask for it.
    pub name: String,
    /// Its segments, after SQL's folding to lower case.
    pub segments: Vec<String>,
    /// Where it is named first.
    pub place: Place,
}

impl Query {
    /// Parses a text that must be exactly one query.
    ///
    /// # Errors
    /// One problem with its place: too large, not parseable, not one query.
    pub fn parse(file: &Arc<Path>, text: &Arc<str>) -> Result<Self, Diagnostic> {
        check_size(file, text)?;
        let dialect = GenericDialect {};
        let parsed = DFParserBuilder::new(text.as_ref())
            .with_dialect(&dialect)
            .with_recursion_limit(DEPTH_MAX)
            .build()
            .and_then(|mut parser| parser.parse_statements());
        let statements = parsed.map_err(|error| syntax_problem(file, text, &error.to_string()))?;
        let statement = single_query(file, text, statements.into())?;
        let wrapped = DfStatement::Statement(Box::new(statement.clone()));
        let (references, _) = resolve_table_references(&wrapped, true)
            .map_err(|e| Diagnostic::error(Code::Query, e.to_string()))?;
        let functions = table_functions(&statement);
        let tables = references
            .into_iter()
            .filter(|reference| !functions.contains(&reference.to_string()))
            .map(|reference| table_name(file, &statement, &reference))
            .collect();
        let column_comments = column_comments(text, &statement);
        Ok(Self {
            file: Arc::clone(file),
            text: Arc::clone(text),
            statement,
            tables,
            column_comments,
        })
    }

    /// The place of a span of the parser.
    pub(crate) fn place(&self, span: Span) -> Place {
        span_place(&self.file, span)
    }

    /// The first word of the query, where no better place is known.
    pub(crate) fn beginning(&self) -> Place {
        first_word(&self.file, &self.text)
    }
}

/// A span of the parser as a place; it counts lines and columns as we do.
pub(crate) fn span_place(file: &Arc<Path>, span: Span) -> Place {
    let position = |line: u64, column: u64| Position {
        line: usize::try_from(line).unwrap_or(usize::MAX).max(1),
        column: usize::try_from(column).unwrap_or(usize::MAX).max(1),
    };
    Place {
        file: Arc::clone(file),
        start: position(span.start.line, span.start.column),
        end: position(span.end.line, span.end.column),
    }
}

fn tokens(text: &str) -> Option<Vec<(Token, Span)>> {
    let dialect = GenericDialect {};
    let tokens = Tokenizer::new(&dialect, text).tokenize_with_location().ok()?;
    Some(tokens.into_iter().map(|t| (t.token, t.span)).collect())
}

pub(crate) fn first_word(file: &Arc<Path>, text: &str) -> Place {
    let first = tokens(text)
        .and_then(|tokens| tokens.into_iter().find(|(t, _)| !matches!(t, Token::Whitespace(_))));
    match first {
        Some((_, span)) => span_place(file, span),
        None => Place::point(file, 1, 1),
    }
}

/// The innermost `(` that is never closed, or the first `)` that was never opened.
pub(crate) fn unmatched_parenthesis(text: &str) -> Option<Span> {
    let mut open = Vec::new();
    for (token, span) in tokens(text)? {
        match token {
            Token::LParen => open.push(span),
            Token::RParen if open.pop().is_none() => return Some(span),
            _ => {}
        }
    }
    open.pop()
}

fn check_size(file: &Arc<Path>, text: &str) -> Result<(), Diagnostic> {
    let refuse = |message: String| {
        Err(Diagnostic::error(Code::TooLarge, message)
            .at(first_word(file, ""))
            .help("split the query into several assets"))
    };
    if text.len() > BYTES_MAX {
        let kilobytes = text.len() / 1024;
        return refuse(format!("the query has {kilobytes} KiB; at most 256 KiB are planned"));
    }
    let is_operator = |token: &Token| match token {
        Token::Word(word) => {
            matches!(word.value.to_ascii_lowercase().as_str(), "and" | "or" | "not" | "union")
        }
        Token::Plus
        | Token::Minus
        | Token::Mul
        | Token::Div
        | Token::Mod
        | Token::StringConcat
        | Token::Eq
        | Token::Lt
        | Token::Gt
        | Token::DoubleColon
        | Token::Pipe
        | Token::Ampersand
        | Token::Caret => true,
        _ => false,
    };
    let operators = tokens(text).map_or(0, |t| t.iter().filter(|(t, _)| is_operator(t)).count());
    if operators > OPERATORS_MAX {
        return refuse(format!(
            "the query has {operators} operators; at most {OPERATORS_MAX} are planned"
        ));
    }
    Ok(())
}

fn single_query(
    file: &Arc<Path>,
    text: &str,
    mut statements: Vec<DfStatement>,
) -> Result<Statement, Diagnostic> {
    let refuse = |message: &str| {
        Err(Diagnostic::error(Code::Statement, message)
            .at(first_word(file, text))
            .help("an asset is one `select`; its rows are stored for you"))
    };
    match (statements.pop(), statements.is_empty()) {
        (None, _) => refuse("there is no query"),
        (Some(_), false) => refuse("there is more than one statement"),
        (Some(DfStatement::Statement(statement)), true) => match *statement {
            Statement::Query(_) => Ok(*statement),
            _ => refuse("this statement is not a query"),
        },
        (Some(_), true) => refuse("this statement is not a query"),
    }
}

/// Names in `from` that are calls, such as `generate_series(1, 10)`.
fn table_functions(statement: &Statement) -> BTreeSet<String> {
    struct Calls(BTreeSet<String>);
    impl Visitor for Calls {
        type Break = ();
        fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<()> {
            if let TableFactor::Table { name, args: Some(_), .. } = factor
                && let Ok(reference) = object_name_to_table_reference(name.clone(), true)
            {
                self.0.insert(reference.to_string());
            }
            ControlFlow::Continue(())
        }
    }
    let mut calls = Calls(BTreeSet::new());
    let _: ControlFlow<()> = statement.visit(&mut calls);
    calls.0
}

fn table_name(file: &Arc<Path>, statement: &Statement, reference: &TableReference) -> TableName {
    let mut found = None;
    let _: ControlFlow<()> = visit_relations(statement, |relation| {
        match object_name_to_table_reference(relation.clone(), true) {
            Ok(same) if same == *reference => {
                found = Some(relation.span());
                ControlFlow::Break(())
            }
            _ => ControlFlow::Continue(()),
        }
    });
    let segments = [reference.catalog(), reference.schema(), Some(reference.table())];
    TableName {
        name: reference.to_string(),
        segments: segments.into_iter().flatten().map(str::to_owned).collect(),
        place: found.map_or_else(|| Place::point(file, 1, 1), |span| span_place(file, span)),
    }
}

/// For each selected column with a name, the comment that follows it on its line.
fn column_comments(text: &str, statement: &Statement) -> BTreeMap<String, String> {
    let mut comments = BTreeMap::new();
    let Statement::Query(query) = statement else { return comments };
    let SetExpr::Select(select) = &*query.body else { return comments };
    let Some(tokens) = tokens(text) else { return comments };
    let line_comments: BTreeMap<u64, &str> = tokens
        .iter()
        .filter_map(|(token, span)| match token {
            Token::Whitespace(Whitespace::SingleLineComment { comment, .. }) => {
                Some((span.start.line, comment.trim()))
            }
            _ => None,
        })
        .collect();
    let ends: Vec<u64> = select.projection.iter().map(|item| item.span().end.line).collect();
    for (i, item) in select.projection.iter().enumerate() {
        let name = match item {
            SelectItem::ExprWithAlias { alias, .. } => alias.value.clone(),
            SelectItem::UnnamedExpr(expr) => match expr {
                datafusion::sql::sqlparser::ast::Expr::Identifier(ident) => ident.value.clone(),
                datafusion::sql::sqlparser::ast::Expr::CompoundIdentifier(parts) => {
                    parts.last().map(|ident| ident.value.clone()).unwrap_or_default()
                }
                _ => continue,
            },
            _ => continue,
        };
        // A comment behind several columns of one line says nothing about any of them.
        let line = ends[i];
        let alone = ends.iter().filter(|end| **end == line).count() == 1;
        if let Some(comment) = line_comments.get(&line).filter(|c| alone && !c.is_empty()) {
            comments.insert(name, (*comment).to_owned());
        }
    }
    comments
}
