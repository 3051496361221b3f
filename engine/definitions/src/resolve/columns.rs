//! The columns that an asset promises, and those of what it reads.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use super::{ResolvedAsset, ResolvedInput, place};
use crate::{Asset, AssetKey, Code, Compute, Diagnostic, InputSchema, nearest};

/// The columns of an asset that reads itself, before they are checked: those that it promises, else
/// what it has whatever it reads.
pub(super) fn own(
    asset: &Asset,
    compute: &dyn Compute,
    inputs: &[ResolvedInput],
    resolved: &HashMap<AssetKey, Arc<ResolvedAsset>>,
) -> Option<SchemaRef> {
    if !inputs.iter().any(|input| input.key == asset.key) {
        return None;
    }
    let unknown = || self::inputs(&asset.key, None, inputs, resolved);
    asset.columns.clone().or_else(|| compute.resolve(&asset.key, &unknown()).schema)
}

pub(super) fn undeclared(asset: &Asset) -> Diagnostic {
    let message = format!("`{0}` reads `{0}`, so that its columns are declared", asset.key);
    let own = asset.inputs.iter().find(|i| i.reference.to_string().ends_with(asset.key.name()));
    Diagnostic::error(Code::UnknownSchema, message)
        .at(own.map_or_else(|| asset.place.clone(), |input| place(asset, input)))
        .help("declare each of them with its type: `[columns]`, or `with_columns` in Rust")
}

/// What differs between the columns of a result and those that were promised.
pub(super) fn promise_problems(asset: &Asset, found: &SchemaRef) -> Vec<Diagnostic> {
    let Some(promised) = &asset.columns else { return Vec::new() };
    let key = &asset.key;
    let problem = |code, message: String| Diagnostic::error(code, message).at(asset.place.clone());
    let mut problems = Vec::new();
    for field in promised.fields() {
        let (name, wanted) = (field.name(), field.data_type());
        match found.field_with_name(name) {
            Err(_) => {
                let names = found.fields().iter().map(|field| field.name().as_str());
                let message = format!("`{key}` declares a column `{name}`, which it does not have");
                problems
                    .push(problem(Code::UnknownColumn, message).did_you_mean(nearest(name, names)));
            }
            Ok(is) if is.data_type() != wanted => {
                let message = format!(
                    "column `{name}` of `{key}` is {}, but is declared as {wanted}",
                    is.data_type()
                );
                problems.push(problem(Code::Type, message).help("cast it, or correct `[columns]`"));
            }
            Ok(_) => {}
        }
    }
    let undeclared = found.fields().iter().filter(|f| promised.field_with_name(f.name()).is_err());
    problems.extend(undeclared.map(|field| {
        let message = format!("`{key}` has a column `{}`, which it does not declare", field.name());
        problem(Code::UnknownColumn, message).help("add it to `[columns]`, or do not select it")
    }));
    problems
}

/// The schemas of inputs; `own` is that of the asset itself.
pub(super) fn inputs<'a>(
    key: &AssetKey,
    own: Option<&'a SchemaRef>,
    inputs: &'a [ResolvedInput],
    resolved: &'a HashMap<AssetKey, Arc<ResolvedAsset>>,
) -> Vec<InputSchema<'a>> {
    let schema = |of: &AssetKey| match resolved.get(of) {
        None if of == key => own,
        upstream => upstream.and_then(|upstream| upstream.schema.as_ref()),
    };
    inputs
        .iter()
        .map(|i| InputSchema { name: &i.name, key: &i.key, schema: schema(&i.key) })
        .collect()
}
