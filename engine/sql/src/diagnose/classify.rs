//! What kind of mistake a planner's message is about, in our words where they are clearer.

use arrowsmith_definitions::{Code, Place, nearest};
use datafusion::common::{Diagnostic as PlannerNote, SchemaError};
use datafusion::error::DataFusionError;

use super::{locate, lower_first};
use crate::parse::Query;
use crate::planning_session;

/// What is to be told.
pub(super) struct Finding {
    pub(super) code: Code,
    pub(super) message: String,
    pub(super) mark: Option<String>,
    pub(super) helps: Vec<String>,
    pub(super) replacement: Option<String>,
    pub(super) place: Option<Place>,
}

impl Finding {
    fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            mark: None,
            helps: Vec::new(),
            replacement: None,
            place: None,
        }
    }

    fn at(mut self, place: Option<Place>) -> Self {
        self.place = place;
        self
    }

    fn help(mut self, text: impl Into<String>) -> Self {
        self.helps.push(text.into());
        self
    }
}

/// A message without the prefixes and the backtrace that DataFusion adds.
pub(super) fn plain_text(message: &str) -> String {
    let mut text = message.split("\n\nbacktrace:").next().unwrap_or_default().trim();
    loop {
        let before = text;
        for prefix in [
            "Error during planning: ",
            "SQL error: ",
            "Schema error: ",
            "Internal error: ",
            "Execution error: ",
            "Arrow error: ",
            "Cast error: ",
            "This feature is not implemented: ",
            "type_coercion\ncaused by\n",
            "sql parser error: ",
        ] {
            text = text.strip_prefix(prefix).unwrap_or(text);
        }
        for (open, close) in [("ParserError(\"", "\")"), ("TokenizerError(\"", "\")")] {
            if let Some(inner) = text.strip_prefix(open).and_then(|t| t.strip_suffix(close)) {
                text = inner;
            }
        }
        if text == before {
            break;
        }
    }
    let text = text.split("\nThis issue was likely caused by").next().unwrap_or(text);
    text.split(" This issue was likely caused by").next().unwrap_or(text).trim().to_owned()
}

/// The text between the first `open` and the next `close`.
fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let start = text.find(open)? + open.len();
    let length = text[start..].find(close)?;
    Some(&text[start..start + length])
}

pub(super) fn classify(
    query: &Query,
    root: &DataFusionError,
    text: &str,
    note: Option<&PlannerNote>,
) -> Finding {
    if let DataFusionError::SchemaError(error, _) = root {
        return schema_error(query, error, note);
    }
    let known = [function_problem, type_problem, grouping_problem];
    if let Some(finding) = known.iter().find_map(|find| find(query, text)) {
        return finding;
    }
    let mut finding = match note {
        Some(note) => {
            let mut finding = Finding::new(Code::Query, lower_first(&note.message));
            finding.helps = note.helps.iter().map(|help| lower_first(&help.message)).collect();
            finding
        }
        None => Finding::new(Code::Query, lower_first(&text.replace('\n', " "))),
    };
    if text.contains("columns") && text.to_lowercase().contains("union") {
        finding.code = Code::Type;
    }
    finding
}

fn schema_error(query: &Query, error: &SchemaError, note: Option<&PlannerNote>) -> Finding {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let relation = field.relation.as_ref().map(ToString::to_string);
            let message = match &relation {
                Some(table) => format!("`{table}` has no column `{}`", field.name),
                None => format!("there is no column `{}`", field.name),
            };
            let mut finding = Finding::new(Code::UnknownColumn, message);
            let mut candidates: Vec<&str> = valid_fields
                .iter()
                .filter(|valid| relation.is_none() || valid.relation == field.relation)
                .map(|valid| valid.name.as_str())
                .collect();
            candidates.sort_unstable();
            candidates.dedup();
            finding.replacement =
                nearest(&field.name, candidates.iter().copied()).map(str::to_owned);
            if finding.replacement.is_none() && !candidates.is_empty() {
                let shown: Vec<String> =
                    candidates.iter().take(12).map(|c| format!("`{c}`")).collect();
                let more = if candidates.len() > 12 { ", …" } else { "" };
                finding = finding.help(format!("there are {}{more}", shown.join(", ")));
            }
            finding
        }
        SchemaError::AmbiguousReference { field } => {
            let message = format!("column `{}` is in several tables", field.name);
            let mut finding = Finding::new(Code::AmbiguousColumn, message);
            for help in note.map(|note| note.helps.as_slice()).unwrap_or_default() {
                finding = finding.help(lower_first(&help.message));
            }
            finding.help(format!("write the table before it: `table.{}`", field.name))
        }
        SchemaError::DuplicateUnqualifiedField { name }
        | SchemaError::DuplicateQualifiedField { name, .. } => {
            let message = format!("two columns are named `{name}`");
            Finding::new(Code::DuplicateColumn, message).at(locate::repeated_alias(query, name))
        }
    }
}

fn function_problem(query: &Query, text: &str) -> Option<Finding> {
    if let Some(name) = between(text, "Invalid function '", "'") {
        let state = planning_session();
        let mut names: Vec<&str> = state.scalar_functions().keys().map(String::as_str).collect();
        names.extend(state.aggregate_functions().keys().map(String::as_str));
        names.extend(state.window_functions().keys().map(String::as_str));
        names.sort_unstable();
        let mut finding = Finding::new(Code::Function, format!("there is no function `{name}`"))
            .at(locate::call(query, name));
        finding.replacement = nearest(name, names).map(str::to_owned);
        return Some(finding);
    }
    let of_signature = between(text, "unction '", "'")
        .filter(|_| text.contains("expect") || text.contains("failed to match any signature"));
    let of_call = between(text, "matches the given name and argument types '", "(");
    let name = of_signature.or(of_call)?;
    let given = between(text, "argument types '", "'");
    let message = if let Some(given) = given {
        format!("no `{name}` takes these arguments: `{given}`")
    } else {
        // The reasons of all signatures follow each other; the first says enough.
        let reason = text.split("Error during planning: ").nth(1).unwrap_or(text);
        let reason = reason.split([',', '.', ';']).next().unwrap_or(reason);
        format!("`{name}` does not take these arguments: {}", lower_first(reason))
    };
    let mut finding = Finding::new(Code::Function, message).at(locate::call(query, name));
    finding.mark = Some("these arguments do not fit".to_owned());
    if let Some((_, candidates)) = text.split_once("Candidate functions:") {
        let candidates: Vec<&str> = candidates.lines().map(str::trim).collect();
        let shown: Vec<&str> = candidates.into_iter().filter(|c| !c.is_empty()).take(4).collect();
        if !shown.is_empty() {
            finding = finding.help(format!("it is {}", shown.join(", or ")));
        }
    }
    Some(finding)
}

fn type_problem(query: &Query, text: &str) -> Option<Finding> {
    if let Some(operation) =
        between(text, "Cannot infer common argument type for comparison operation ", "\u{0}")
            .or_else(|| text.split_once("comparison operation ").map(|(_, rest)| rest))
    {
        let operator = operation.split_whitespace().find(|word| is_operator(word))?;
        let message = format!("these types cannot be compared: {}", operation.trim());
        return Some(Finding::new(Code::Type, message).at(locate::operation(query, operator)));
    }
    if let Some((_, types)) = text.split_once("Cannot coerce arithmetic expression ") {
        let types = types.split(" to valid types").next().unwrap_or(types);
        let message = format!("these types cannot be calculated with: {types}");
        return Some(Finding::new(Code::Type, message).at(locate::arithmetic(query, text)));
    }
    if let Some(value) = between(text, "Cannot cast string '", "'") {
        let wanted = between(text, "to value of ", " type").unwrap_or("the type");
        let message = format!("the text '{value}' is no {wanted}");
        return Some(Finding::new(Code::Type, message).at(locate::literal(query, value)));
    }
    if let Some(value) = between(text, "Error parsing timestamp from '", "'") {
        let message = format!("the text '{value}' is no moment in time");
        return Some(Finding::new(Code::Type, message).at(locate::literal(query, value)));
    }
    let lower = text.to_lowercase();
    if lower.contains("common type for then/else") || lower.contains("case expression") {
        let message = lower_first(text);
        return Some(Finding::new(Code::Type, message).at(locate::case(query)));
    }
    let about_types = [
        "cannot be used with",
        "coerce",
        "incompatible",
        "cannot be cast",
        "unsupported cast",
        "boolean",
    ];
    about_types.iter().any(|word| lower.contains(word)).then(|| {
        Finding::new(Code::Type, lower_first(&text.replace('\n', " ")))
            .at(locate::arithmetic(query, text))
    })
}

fn is_operator(word: &str) -> bool {
    !word.is_empty()
        && (word.chars().all(|c| "=<>!~*+-/%|&^".contains(c))
            || ["LIKE", "ILIKE", "IN", "AND", "OR"].contains(&word))
}

fn grouping_problem(query: &Query, text: &str) -> Option<Finding> {
    let lower = text.to_lowercase();
    if lower.contains("projections require unique expression names") {
        let name = between(text, " AS ", "\"").or_else(|| between(text, "expression \"", "\""))?;
        let name = name.rsplit('.').next().unwrap_or(name);
        let message = format!("two columns are named `{name}`");
        return Some(
            Finding::new(Code::DuplicateColumn, message)
                .at(locate::repeated_alias(query, name))
                .help("give one of them another name"),
        );
    }
    let about_aggregates = lower.contains("aggregate")
        && (lower.contains("where") || lower.contains("filter") || lower.contains("not allowed"));
    if about_aggregates {
        let is_aggregate = |name: &str| planning_session().aggregate_functions().contains_key(name);
        let message = "an aggregate cannot stand in `where`, which is applied to single rows";
        return Some(
            Finding::new(Code::Grouping, message)
                .at(locate::in_where(query, is_aggregate))
                .help("put the condition into `having`"),
        );
    }
    if lower.contains("group by") {
        let name = between(text, "column \"", "\"").or_else(|| between(text, "'", "'"));
        let column = name.map(|n| n.rsplit('.').next().unwrap_or(n).to_owned());
        let message = match &column {
            Some(column) => format!("`{column}` is neither grouped nor aggregated"),
            None => lower_first(text),
        };
        let mut finding = Finding::new(Code::Grouping, message);
        if let Some(column) = column {
            finding = finding
                .help(format!("add it to `group by`, or take one value: `any_value({column})`"));
        }
        return Some(finding);
    }
    None
}
