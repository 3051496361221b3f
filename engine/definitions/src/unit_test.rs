//! Unit tests of assets: given rows of its inputs, the rows that an asset must have.
//!
//! The words are dbt's (`given`, `expect`). A test says only the columns that it is about: those
//! that no row names are null in what is given, and are not looked at in what is expected.

use std::collections::{BTreeSet, HashMap};
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
        let key = self.find(index).map_err(|problem| vec![problem])?;
        let Some(tested) = asset(&key) else { return Ok(None) };
        self.testable(tested).map_err(|problem| vec![problem])?;
        let mut problems = Vec::new();
        let given = self.given_rows(index, tested, asset, &mut problems);
        let expect = self.expected_rows(tested, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        let (name, place) = (self.name.clone(), self.place.clone());
        Ok(given.zip(expect).map(|(given, expect)| ResolvedUnitTest {
            name,
            asset: key,
            given,
            expect,
            place,
        }))
    }

    fn refuse(&self, message: &str, place: &Place) -> Diagnostic {
        let message = format!("test `{}` {message}", self.name);
        Diagnostic::error(Code::UnitTest, message).at(place.clone())
    }

    fn find(&self, index: &KeyIndex) -> Result<AssetKey, Diagnostic> {
        match index.find(&self.asset, None) {
            Found::One(key) => Ok(key),
            Found::Several(keys) => {
                let keys: Vec<String> = keys.iter().map(|key| format!("`{key}`")).collect();
                let message =
                    format!("is of `{}`, which could be {}", self.asset, keys.join(" or "));
                Err(self.refuse(&message, &self.place).help("write the whole key"))
            }
            Found::None { nearest } => {
                let message = format!("is of `{}`, which is no asset", self.asset);
                let near = nearest.map(|key| key.to_string());
                Err(self.refuse(&message, &self.place).did_you_mean(near))
            }
        }
    }

    fn testable(&self, tested: &ResolvedAsset) -> Result<(), Diagnostic> {
        let key = &tested.asset.key;
        let Body::Computed(compute) = &tested.asset.body else {
            let message = format!("is of `{key}`, which no query or function computes");
            return Err(self.refuse(&message, &self.place));
        };
        match compute.resources().first() {
            None => Ok(()),
            Some(resource) => {
                let message =
                    format!("is of `{key}`, which needs the resource `{}`", resource.name);
                let help = "test it in Rust, with a resource given";
                Err(self.refuse(&message, &self.place).help(help))
            }
        }
    }

    /// A table for each input; `None` if the columns of one are not known.
    fn given_rows<'a>(
        &self,
        index: &KeyIndex,
        tested: &ResolvedAsset,
        asset: impl Fn(&AssetKey) -> Option<&'a ResolvedAsset>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Vec<RecordBatch>> {
        let key = &tested.asset.key;
        let mut given: HashMap<AssetKey, &Given> = HashMap::new();
        for rows in &self.given {
            match index.find(&rows.asset, Some(key)) {
                Found::One(found) if tested.inputs.iter().any(|input| input.key == found) => {
                    given.insert(found, rows);
                }
                _ => {
                    let message = format!("gives `{}`, which `{key}` does not read", rows.asset);
                    let inputs = tested.inputs.iter().map(|input| input.key.as_str());
                    let near = nearest(&rows.asset.to_string(), inputs);
                    problems.push(self.refuse(&message, &rows.place).did_you_mean(near));
                }
            }
        }
        let mut tables = Vec::new();
        for input in &tested.inputs {
            let schema = asset(&input.key)?.schema.as_ref()?;
            let rows = given.get(&input.key);
            let place = rows.map_or(&self.place, |given| &given.place);
            match table(rows.map_or(&[], |given| given.rows.as_slice()), schema) {
                Ok(batch) => tables.push(batch),
                Err(wrong) => problems.extend(wrong.into_iter().map(|(wrong, near)| {
                    let message = format!("gives `{}`: {wrong}", input.key);
                    self.refuse(&message, place).did_you_mean(near)
                })),
            }
        }
        Some(tables)
    }

    /// The expected rows with the columns that any of them names; `None` if the columns of the
    /// asset are not known.
    fn expected_rows(
        &self,
        tested: &ResolvedAsset,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<RecordBatch> {
        let schema = tested.schema.as_ref()?;
        let named: BTreeSet<&String> =
            self.expect.iter().filter_map(Value::as_object).flat_map(|row| row.keys()).collect();
        let compared = schema.fields().iter().enumerate();
        let compared = compared.filter(|(_, field)| named.contains(field.name()));
        let columns: Vec<usize> = compared.map(|(at, _)| at).collect();
        let rows = table(&self.expect, schema).and_then(|batch| {
            batch.project(&columns).map_err(|error| vec![(error.to_string(), None)])
        });
        rows.map_err(|wrong| {
            problems.extend(wrong.into_iter().map(|(wrong, near)| {
                let message = format!("expects of `{}`: {wrong}", tested.asset.key);
                self.refuse(&message, &self.expect_place).did_you_mean(near)
            }));
        })
        .ok()
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
