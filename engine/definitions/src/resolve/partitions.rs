//! What can be wrong with partitions before any of them is known.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;

use super::{IoManagers, ResolvedInput};
use crate::partition::type_problem;
use crate::{
    Asset, AssetKey, Body, Code, Diagnostic, DimensionKind, Materialized, PartitionMapping, nearest,
};

/// Problems of a definition, and of where its partitions are to be stored.
pub(super) fn problems(asset: &Asset, manager: &str, managers: &IoManagers) -> Vec<Diagnostic> {
    let Some(partitions) = &asset.partitions else { return Vec::new() };
    let problem = |why: String| {
        Diagnostic::error(Code::Partitions, format!("partitions of `{}`: {why}", asset.key))
            .at(asset.place.clone())
    };
    let mut problems: Vec<Diagnostic> = partitions.problems().into_iter().map(problem).collect();
    if asset.is_external() {
        return problems;
    }
    if let Some(found) = managers.get(manager).filter(|manager| !manager.stores_partitions()) {
        let able = managers.iter().filter(|(_, manager)| manager.stores_partitions());
        let able: Vec<String> = able.map(|(name, _)| format!("`{name}`")).collect();
        problems.push(
            problem(format!(
                "IO manager `{manager}` of type `{}` cannot store them one by one",
                found.kind()
            ))
            .help(format!("store it with {}", able.join(" or "))),
        );
    }
    problems
}

/// Whether an input is earlier windows of the asset that reads it, which closes no circle.
pub(super) fn is_earlier(asset: &Asset, input: &ResolvedInput) -> bool {
    let Some(partitions) = asset.partitions.as_ref().filter(|_| input.key == asset.key) else {
        return false;
    };
    let is_time = |name: &str| {
        let dimension = partitions.dimensions.iter().find(|dimension| dimension.name == name);
        dimension.is_some_and(|of| matches!(of.kind, DimensionKind::Time(_)))
    };
    let is_before = |mapping: &PartitionMapping| matches!(mapping, PartitionMapping::TimeWindow { end_offset, .. } if *end_offset < 0);
    match (&input.mapping, &*partitions.dimensions) {
        (Some(PartitionMapping::Dimensions(map)), _) => {
            map.iter().any(|(to, (from, how))| to == from && is_time(to) && is_before(how))
        }
        (Some(mapping), [only]) => is_time(&only.name) && is_before(mapping),
        _ => false,
    }
}

/// What a shape cannot go together with.
pub(super) fn shape_problems(asset: &Asset) -> Vec<Diagnostic> {
    let (key, shape) = (&asset.key, asset.materialized.name());
    let problem = |why: &str| {
        let message = format!("`{key}` is materialized as `{shape}`, {why}");
        Diagnostic::error(Code::Attribute, message).at(asset.place.clone())
    };
    let mut problems = Vec::new();
    if asset.materialized != Materialized::Table && asset.partitions.is_some() {
        let why = "which is not cut into partitions: those are replaced one by one by themselves";
        problems.push(problem(why));
    }
    if asset.materialized == Materialized::View && !asset.checks.is_empty() {
        problems.push(problem("so nothing is written that its checks could look at"));
    }
    let is_rust = !matches!(&asset.body, Body::Computed(compute) if compute.kind() == "sql");
    if is_rust
        && !matches!(
            asset.materialized,
            Materialized::Table | Materialized::Append { watermark: None }
        )
    {
        problems.push(problem("which only a SQL query can be"));
    }
    problems
}

/// Partition columns that are not there, or whose type says no partition.
pub(super) fn column_problems(asset: &Asset, schema: &SchemaRef) -> Vec<Diagnostic> {
    let Some(partitions) = &asset.partitions else { return Vec::new() };
    let key = &asset.key;
    let mut problems = Vec::new();
    for dimension in &partitions.dimensions {
        let Some(column) = &dimension.column else { continue };
        let (problem, near) = match schema.field_with_name(column) {
            Err(_) => {
                let names = schema.fields().iter().map(|field| field.name().as_str());
                let message = format!(
                    "`{key}` is partitioned by `{column}`, which is no column of its result"
                );
                (Diagnostic::error(Code::UnknownColumn, message), nearest(column, names))
            }
            Ok(field) => match type_problem(&dimension.kind, field.data_type()) {
                Some(why) => {
                    let message = format!("`{key}` cannot be partitioned by `{column}`: {why}");
                    (Diagnostic::error(Code::Partitions, message), None)
                }
                None => continue,
            },
        };
        problems.push(problem.at(asset.place.clone()).did_you_mean(near));
    }
    problems
}

/// Mappings of inputs that have no partitions, or other dimensions than a mapping names; and
/// outputs of one graph that are cut differently.
pub(super) fn mapping_problems(
    asset: &Asset,
    inputs: &[ResolvedInput],
    assets: &BTreeMap<&AssetKey, &Asset>,
) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let key = &asset.key;
    for (input, found) in asset.inputs.iter().zip(inputs) {
        if input.mapping.is_none() && !input.allow_missing {
            continue;
        }
        let place = input.place.clone().or_else(|| asset.place.clone());
        let problem = |why: String| {
            let message = format!("the partition mapping of `{}` in `{key}`: {why}", input.name);
            Diagnostic::error(Code::Partitions, message).at(place.clone())
        };
        let upstream = assets.get(&found.key).and_then(|asset| asset.partitions.as_ref());
        let Some(upstream) = upstream else {
            problems.push(problem(format!("`{}` has no partitions", found.key)));
            continue;
        };
        let Some(PartitionMapping::Dimensions(map)) = &input.mapping else { continue };
        let theirs = || upstream.dimensions.iter().map(|dimension| dimension.name.as_str());
        let mine = || {
            let own = asset.partitions.iter().flat_map(|own| &own.dimensions);
            own.map(|dimension| dimension.name.as_str())
        };
        for (to, (from, _)) in map {
            if !theirs().any(|name| name == to) {
                let near = nearest(to, theirs());
                let why = format!("`{}` has no dimension `{to}`", found.key);
                problems.push(problem(why).did_you_mean(near));
            }
            if !mine().any(|name| name == from) {
                let near = nearest(from, mine());
                problems
                    .push(problem(format!("`{key}` has no dimension `{from}`")).did_you_mean(near));
            }
        }
    }
    if let Body::Graph { backing, .. } = &asset.body {
        let other = backing.assets.values().find(|other| {
            assets.get(other).is_some_and(|other| other.partitions != asset.partitions)
        });
        if let Some(other) = other {
            let message = format!(
                "`{key}` and `{other}` are outputs of one graph, but have different partitions"
            );
            problems.push(Diagnostic::error(Code::Partitions, message).at(asset.place.clone()));
        }
    }
    problems
}
