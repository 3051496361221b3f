//! `[checks]` of a front matter.

use std::ops::Range;
use std::sync::Arc;

use arrowsmith_definitions::{
    Asset, AssetCheck, AssetKey, AssetReference, CheckSeverity, Input, Materialized, Place, nearest,
};
use serde_json::Value;

use super::{Condition, SqlCheck, expression};
use crate::document::{Reader, Text};
use crate::parse::Query;

/// Adds the checks of a front matter to an asset, and what they read to its inputs.
pub(crate) fn read_checks(reader: &mut Reader<'_>, text: &Text, asset: &mut Asset) {
    let Some(table) = reader.table("checks") else { return };
    let mut checks = Checks { text, table, found: Vec::new() };
    let warn = checks.table.texts("warn");
    let non_blocking = checks.table.texts("non_blocking");
    checks.read();
    let Checks { table, found, .. } = checks;
    reader.problems.extend(table.finish());
    let names: Vec<String> = found.iter().map(|(name, _)| name.clone()).collect();
    let marked =
        |list: &[(String, Range<usize>)], name: &String| list.iter().any(|(n, _)| n == name);
    for (name, span) in warn.iter().chain(&non_blocking) {
        if names.contains(name) {
            continue;
        }
        let message = format!("`{}` has no check `{name}`", asset.key);
        let near = nearest(name, names.iter().map(String::as_str));
        let problem = text.problem(span.clone(), message).did_you_mean(near);
        reader.problems.push(problem);
    }
    for (name, check) in found {
        for reference in check.reads(&asset.key) {
            if !asset.inputs.iter().any(|input| input.name == reference.to_string()) {
                let place = Some(check.place.clone());
                asset.inputs.push(Input { place, ..Input::new(reference.to_string(), reference) });
            }
        }
        let place = check.place.clone();
        let mut check = AssetCheck::new(name.clone(), Arc::new(check));
        check.place = Some(place);
        check.blocking = !marked(&non_blocking, &name);
        if marked(&warn, &name) {
            check.severity = CheckSeverity::Warn;
        }
        asset.checks.push(check);
    }
}

/// A merge has one row for each key, and a snapshot one for each that is open; otherwise nothing is
/// published.
pub(crate) fn add_key_check(asset: &mut Asset) {
    let columns = match &asset.materialized {
        Materialized::Merge { unique_key } => unique_key.clone(),
        Materialized::Snapshot(snapshot) => {
            snapshot.unique_key.iter().cloned().chain(["valid_to".to_owned()]).collect()
        }
        _ => return,
    };
    let name = format!("unique_{}", columns.join("_"));
    if columns.is_empty() || asset.checks.iter().any(|check| check.name == name) {
        return;
    }
    let place = asset.place.clone().unwrap_or_else(|| Place::point("", 1, 1));
    let check = SqlCheck { condition: Condition::Unique(columns), place };
    asset.checks.push(AssetCheck::new(name, Arc::new(check)));
}

struct Checks<'a> {
    text: &'a Text,
    table: Reader<'a>,
    found: Vec<(String, SqlCheck)>,
}

impl Checks<'_> {
    fn push(&mut self, name: String, span: Range<usize>, condition: Condition) {
        let place = self.text.place(span);
        self.found.push((name, SqlCheck { condition, place }));
    }

    fn read(&mut self) {
        for (column, span) in self.table.texts("not_null") {
            self.push(format!("not_null_{column}"), span, Condition::NotNull(column));
        }
        if let Some((value, span)) = self.table.value("unique") {
            self.unique(&value, &span);
        }
        if let Some((value, span)) = self.table.value("row_count")
            && let Some(limits) = self.limits("row_count", &span, &value, Value::is_u64)
        {
            let [min, max] = limits.map(|limit| limit.and_then(|limit| limit.as_u64()));
            self.push("row_count".to_owned(), span, Condition::RowCount { min, max });
        }
        self.each("accepted_values", |this, column, span, value| match value {
            Value::Array(values) => {
                let name = format!("accepted_values_{column}");
                this.push(name, span, Condition::Accepted(column, values));
            }
            _ => this.table.refuse(span, format!("the accepted values of `{column}` are a list")),
        });
        self.each("range", |this, column, span, value| {
            let name = format!("range_{column}");
            let plain = |limit: &Value| limit.is_number() || limit.is_string();
            if let Some([min, max]) = this.limits(&name, &span, &value, plain) {
                this.push(name, span, Condition::Range { column, min, max });
            }
        });
        self.each("relationships", |this, column, span, value| {
            let target = value.as_str().unwrap_or_default();
            let split = target.rsplit_once('.');
            let Some((Ok(key), other)) = split.map(|(t, c)| (t.parse::<AssetKey>(), c)) else {
                let message = format!("`{column}` relates to `table.column`, not `{target}`");
                this.table.refuse(span, message);
                return;
            };
            let (table, other) = (AssetReference::to(&key), other.to_owned());
            let name = format!("relationships_{column}");
            this.push(name, span, Condition::Relationship { column, table, other });
        });
        self.queries("expression", |text, sql| expression(&text.file, sql), Condition::Expression);
        self.queries("query", |text, sql| Query::parse(&text.file, &sql.into()), Condition::Query);
    }

    /// `{ min = …, max = … }`, of which one may be left out.
    fn limits(
        &mut self,
        check: &str,
        span: &Range<usize>,
        value: &Value,
        fits: impl Fn(&Value) -> bool,
    ) -> Option<[Option<Value>; 2]> {
        let given = value.as_object().filter(|limits| !limits.is_empty());
        let known = |(name, limit): (&String, &Value)| {
            ["min", "max"].contains(&name.as_str()) && fits(limit)
        };
        match given {
            Some(limits) if limits.iter().all(known) => {
                Some(["min", "max"].map(|name| limits.get(name).cloned()))
            }
            _ => {
                let message = format!("`{check}` has a `min`, a `max` or both, not `{value}`");
                self.table.refuse(span.clone(), message);
                None
            }
        }
    }

    fn unique(&mut self, value: &Value, span: &Range<usize>) {
        for entry in value.as_array().into_iter().flatten() {
            let columns: Option<Vec<String>> = match entry {
                Value::String(column) => Some(vec![column.clone()]),
                Value::Array(columns) => {
                    columns.iter().map(|column| column.as_str().map(str::to_owned)).collect()
                }
                _ => None,
            };
            match columns {
                Some(columns) => {
                    let name = format!("unique_{}", columns.join("_"));
                    self.push(name, span.clone(), Condition::Unique(columns));
                }
                None => self.table.refuse(span.clone(), "`unique` lists columns, or lists of them"),
            }
        }
    }

    fn each(&mut self, key: &'static str, read: fn(&mut Self, String, Range<usize>, Value)) {
        let Some(mut table) = self.table.table(key) else { return };
        for (name, span, value) in table.rest() {
            read(self, name, span, value);
        }
        self.table.problems.extend(table.finish());
    }

    fn queries(
        &mut self,
        key: &'static str,
        parse: fn(&Text, &str) -> Result<Query, arrowsmith_definitions::Diagnostic>,
        condition: fn(Box<Query>) -> Condition,
    ) {
        let Some(mut table) = self.table.table(key) else { return };
        for (name, span, value) in table.rest() {
            match value.as_str().map(|sql| parse(self.text, sql)) {
                Some(Ok(query)) => self.push(name, span, condition(Box::new(query))),
                Some(Err(problem)) => {
                    let place = self.text.place(span);
                    self.table.problems.push(problem.at(place));
                }
                None => self.table.refuse(span, format!("check `{name}` is a text of SQL")),
            }
        }
        self.table.problems.extend(table.finish());
    }
}
