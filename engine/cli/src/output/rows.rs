//! Rows of a listing in any format.

use serde::Serialize;
use serde_json::{Map, Value};

use super::print;
use crate::Exit;
use crate::args::Format;

/// A listing: named columns and rows of values. The JSON form carries its own version.
#[derive(Debug)]
pub(crate) struct Rows {
    schema: &'static str,
    columns: &'static [&'static str],
    rows: Vec<Vec<Value>>,
}

impl Rows {
    /// `schema` is the name and version of the JSON form, such as `arrowsmith.runs.v1`.
    pub(crate) fn new(schema: &'static str, columns: &'static [&'static str]) -> Self {
        Self { schema, columns, rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<Value>) {
        self.rows.push(row);
    }

    pub(crate) fn print(&self, format: Format) -> Result<(), Exit> {
        match format {
            Format::Table => print(&self.table()),
            Format::Json => print_document(self.schema, "rows", &self.objects()),
            Format::Ndjson => self.objects().iter().try_for_each(|row| print(&row.to_string())),
            Format::Csv => {
                print(&self.columns.join(","))?;
                self.rows.iter().try_for_each(|row| {
                    print(&row.iter().map(csv_cell).collect::<Vec<_>>().join(","))
                })
            }
        }
    }

    fn objects(&self) -> Vec<Value> {
        let object = |row: &Vec<Value>| {
            let cells = self.columns.iter().map(|c| (*c).to_owned()).zip(row.iter().cloned());
            Value::Object(cells.collect::<Map<_, _>>())
        };
        self.rows.iter().map(object).collect()
    }

    /// Columns aligned by spaces; numbers to the right.
    fn table(&self) -> String {
        let cells: Vec<Vec<String>> =
            self.rows.iter().map(|row| row.iter().map(cell).collect()).collect();
        let width = |i: usize| {
            let widest = cells.iter().map(|row| row[i].chars().count()).max().unwrap_or(0);
            widest.max(self.columns[i].len())
        };
        let widths: Vec<usize> = (0..self.columns.len()).map(width).collect();
        let numeric = |i: usize| {
            self.rows.iter().any(|row| row[i].is_number())
                && self.rows.iter().all(|row| row[i].is_number() || row[i].is_null())
        };
        let numeric: Vec<bool> = (0..self.columns.len()).map(numeric).collect();
        let line = |row: &[String]| {
            let padded = row.iter().enumerate().map(|(i, text)| {
                let pad = " ".repeat(widths[i] - text.chars().count());
                if numeric[i] { format!("{pad}{text}") } else { format!("{text}{pad}") }
            });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        let head: Vec<String> = self.columns.iter().map(|c| c.to_uppercase()).collect();
        let mut lines = vec![line(&head)];
        lines.extend(cells.iter().map(|row| line(row)));
        lines.join("\n")
    }
}

/// One JSON document: `{"schema": …, NAME: …}`.
pub(crate) fn print_document(schema: &str, name: &str, value: &impl Serialize) -> Result<(), Exit> {
    let mut document = Map::new();
    document.insert("schema".to_owned(), Value::from(schema));
    document.insert(name.to_owned(), serde_json::to_value(value).unwrap_or_default());
    print(&serde_json::to_string_pretty(&document).unwrap_or_default())
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.replace('\n', " "),
        Value::Number(number) => match number.as_u64() {
            Some(number) => super::count(number),
            None => number.to_string(),
        },
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn csv_cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text
    }
}
