//! Unit tests of assets: given rows of its inputs, the rows that an asset must have.
//!
//! The words are dbt's (`given`, `expect`). A test says only the columns that it is about: those
//! that no row names are null in what is given, and are not looked at in what is expected.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Field, Fields, Schema, SchemaRef};
use arrow::json::ReaderBuilder;
use arrow::record_batch::RecordBatch;
use serde_json::Value;

use crate::reference::{Found, KeyIndex};
use crate::{AssetKey, AssetReference, Body, Code, Diagnostic, Place, ResolvedAsset, nearest};

/// A unit test as it is written.
#[derive(Debug, Clone)]
pub struct UnitTest {
    /// Its name.
    pub name: String,
    /// The asset that it is about.
    pub asset: AssetReference,
    /// Rows of inputs; an input that is not given is empty.
    pub given: Vec<Given>,
    /// The rows that come of it, in any order.
    pub expect: Vec<Value>,
    /// Where the expected rows are written.
    pub expect_place: Place,
    /// Where it is written.
    pub place: Place,
}

/// Rows of one input of a unit test.
#[derive(Debug, Clone)]
pub struct Given {
    /// The input.
    pub asset: AssetReference,
    /// Each an object of values by column.
    pub rows: Vec<Value>,
    /// Where they are written.
    pub place: Place,
}

/// A unit test whose rows fit the columns of their tables.
#[derive(Debug, Clone)]
pub struct ResolvedUnitTest {
    /// Its name.
    pub name: String,
    /// The asset that it is about.
    pub asset: AssetKey,
    /// The rows of each input, in the order of the asset's declaration.
    pub given: Vec<RecordBatch>,
    /// The expected rows, with the columns that are compared.
    pub expect: RecordBatch,
    /// Where it is written.
    pub place: Place,
}

impl UnitTest {
    /// Finds the asset and its inputs and types the rows.
    ///
    /// `asset` looks up what is resolved so far. `None` in the result without a problem means that
    /// the asset or an input has a problem of its own, which is told elsewhere.
    pub(crate) fn resolve<'a>(
        &self,
        index: &KeyIndex,
        asset: impl Fn(&AssetKey) -> Option<&'a ResolvedAsset>,
    ) -> Result<Option<ResolvedUnitTest>, Vec<Diagnostic>> {
        let refuse = |message: String, place: &Place| {
            Diagnostic::error(Code::UnitTest, message).at(place.clone())
        };
        let (name, place) = (&self.name, &self.place);
        let key = match index.find(&self.asset, None) {
            Found::One(key) => key,
            Found::Several(keys) => {
                let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
                let message =
                    format!("`{}` of test `{name}` could be {}", self.asset, keys.join(" or "));
                return Err(vec![refuse(message, place).help("write the whole key")]);
            }
            Found::None { nearest } => {
                let message = format!("test `{name}` is of `{}`, which is no asset", self.asset);
                let near = nearest.map(|key| key.to_string());
                return Err(vec![refuse(message, place).did_you_mean(near)]);
            }
        };
        let Some(tested) = asset(&key) else { return Ok(None) };
        let Body::Computed(compute) = &tested.asset.body else {
            let message =
                format!("test `{name}` is of `{key}`, which no query or function computes");
            return Err(vec![refuse(message, place)]);
        };
        if let Some(resource) = compute.resources().first() {
            let message = format!(
                "test `{name}` is of `{key}`, which needs the resource `{}`",
                resource.name
            );
            return Err(vec![
                refuse(message, place).help("test it in Rust, with a resource given"),
            ]);
        }
        let mut problems = Vec::new();
        let mut given: Vec<(&AssetKey, &Given)> = Vec::new();
        for rows in &self.given {
            let found = match index.find(&rows.asset, Some(&key)) {
                Found::One(found) => Some(found),
                _ => None,
            };
            let input = tested.inputs.iter().find(|input| Some(&input.key) == found.as_ref());
            match input {
                Some(input) => given.push((&input.key, rows)),
                None => {
                    let message = format!(
                        "test `{name}` gives `{}`, which `{key}` does not read",
                        rows.asset
                    );
                    let inputs = tested.inputs.iter().map(|input| input.key.as_str());
                    let near = nearest(&rows.asset.to_string(), inputs);
                    problems.push(refuse(message, &rows.place).did_you_mean(near));
                }
            }
        }
        let mut tables = Vec::new();
        for input in &tested.inputs {
            let Some(schema) = asset(&input.key).and_then(|found| found.schema.as_ref()) else {
                return if problems.is_empty() { Ok(None) } else { Err(problems) };
            };
            let rows = given.iter().find(|(key, _)| **key == input.key).map(|(_, given)| given);
            let (rows, place) = rows.map_or((&[][..], place), |given| (&given.rows, &given.place));
            match table(rows, schema) {
                Ok(batch) => tables.push(batch),
                Err(wrong) => problems.extend(wrong.into_iter().map(|(wrong, near)| {
                    let message = format!("test `{name}` gives `{}`: {wrong}", input.key);
                    refuse(message, place).did_you_mean(near)
                })),
            }
        }
        let Some(schema) = &tested.schema else {
            return if problems.is_empty() { Ok(None) } else { Err(problems) };
        };
        let named: BTreeSet<&String> =
            self.expect.iter().filter_map(Value::as_object).flat_map(|row| row.keys()).collect();
        let expected = table(&self.expect, schema).and_then(|batch| {
            let compared =
                |(at, field): (usize, &Arc<Field>)| named.contains(field.name()).then_some(at);
            let columns: Vec<usize> =
                schema.fields().iter().enumerate().filter_map(compared).collect();
            batch.project(&columns).map_err(|error| vec![(error.to_string(), None)])
        });
        match expected {
            Ok(expect) if problems.is_empty() => Ok(Some(ResolvedUnitTest {
                name: name.clone(),
                asset: key,
                given: tables,
                expect,
                place: place.clone(),
            })),
            Ok(_) => Err(problems),
            Err(wrong) => {
                problems.extend(wrong.into_iter().map(|(wrong, near)| {
                    let message = format!("test `{name}` expects of `{key}`: {wrong}");
                    refuse(message, &self.expect_place).did_you_mean(near)
                }));
                Err(problems)
            }
        }
    }
}

/// One sentence, and the nearest name.
type Wrong = (String, Option<String>);

/// Rows as a table of these columns, of which those that a row does not name are null.
fn table(rows: &[Value], schema: &SchemaRef) -> Result<RecordBatch, Vec<Wrong>> {
    let nullable = |field: &Arc<Field>| field.as_ref().clone().with_nullable(true);
    let schema: SchemaRef =
        Arc::new(Schema::new(schema.fields().iter().map(nullable).collect::<Fields>()));
    let mut wrong = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let number = at + 1;
        let Some(columns) = row.as_object() else {
            wrong.push((format!("row {number} is `{row}`, not a table of columns"), None));
            continue;
        };
        let names = || schema.fields().iter().map(|field| field.name().as_str());
        let unknown: Vec<&String> =
            columns.keys().filter(|column| !names().any(|name| name == *column)).collect();
        for column in &unknown {
            let near = nearest(column, names()).map(str::to_owned);
            wrong.push((format!("row {number} has `{column}`, which is no column"), near));
        }
        if unknown.is_empty()
            && let Err(error) = decode(&rows[at..=at], &schema)
        {
            wrong.push((format!("row {number} does not fit the columns: {error}"), None));
        }
    }
    if !wrong.is_empty() {
        return Err(wrong);
    }
    decode(rows, &schema).map_err(|error| vec![(error, None)])
}

fn decode(rows: &[Value], schema: &SchemaRef) -> Result<RecordBatch, String> {
    let told = |error: arrow::error::ArrowError| {
        let text = error.to_string();
        text.strip_prefix("Json error: ").unwrap_or(&text).to_owned()
    };
    let builder = ReaderBuilder::new(Arc::clone(schema)).with_batch_size(rows.len().max(1));
    let mut decoder = builder.build_decoder().map_err(told)?;
    decoder.serialize(rows).map_err(told)?;
    let batch = decoder.flush().map_err(told)?;
    Ok(batch.unwrap_or_else(|| RecordBatch::new_empty(Arc::clone(schema))))
}
