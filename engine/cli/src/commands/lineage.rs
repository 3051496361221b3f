//! `lineage`: what an asset or a column comes from, and where it goes.

use std::collections::BTreeSet;
use std::path::Path;

use arrowsmith_definitions::{AssetKey, ColumnOf, LineageEdge, ResolvedAsset, nearest};
use arrowsmith_execution::Engine;
use arrowsmith_web::{AssetGraph, svg};
use serde_json::json;

use super::asset::find;
use crate::Exit;
use crate::args::Format;
use crate::context::{CommandResult, Context};
use crate::output::{Rows, complain, print, say};

pub(crate) async fn lineage(
    context: &Context,
    asset: &str,
    column: Option<&str>,
    format: Format,
) -> CommandResult {
    let engine = context.engine_without_instance().await?;
    let resolved = find(&engine, asset)?;
    match column {
        Some(column) => of_column(&engine, &column_of(resolved, column)?, format),
        None => of_asset(&engine, &resolved.asset.key, format),
    }
}

/// Draws the graph: all of it, or what an asset reads and is read by.
pub(crate) async fn draw(context: &Context, asset: Option<&str>, file: &Path) -> CommandResult {
    let engine = context.engine_without_instance().await?;
    let keys = match asset {
        None => engine.resolved.assets.keys().cloned().collect(),
        Some(asset) => {
            let key = find(&engine, asset)?.asset.key.clone();
            let (graph, of) = (&engine.resolved.graph, BTreeSet::from([key]));
            let up = graph.ancestors(&of, usize::MAX);
            &(&up | &graph.descendants(&of, usize::MAX)) | &of
        }
    };
    let picture = svg(&AssetGraph::of(&engine.resolved, &keys));
    std::fs::write(file, picture).map_err(|error| {
        complain(&format!("`{}` cannot be written: {error}", file.display()));
        Exit::Environment
    })?;
    say(&format!("{} assets are drawn in `{}`", keys.len(), file.display()));
    Ok(Exit::Ok)
}

/// A column of an asset; a wrong name is told with the nearest.
pub(super) fn column_of(resolved: &ResolvedAsset, column: &str) -> CommandResult<ColumnOf> {
    let asset = resolved.asset.key.clone();
    let Some(schema) = &resolved.schema else {
        complain(&format!("the columns of `{asset}` are not known before it runs"));
        return Err(Exit::Usage);
    };
    if schema.field_with_name(column).is_err() {
        let near = nearest(column, schema.fields().iter().map(|field| field.name().as_str()));
        let near = near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
        complain(&format!("`{asset}` has no column `{column}`{near}"));
        return Err(Exit::Usage);
    }
    Ok(ColumnOf { asset, column: column.to_owned() })
}

fn of_column(engine: &Engine, of: &ColumnOf, format: Format) -> CommandResult {
    let up = engine.resolved.column_upstream(of);
    let down = engine.resolved.column_downstream(of);
    if format == Format::Table {
        print(&format!("{of} comes from"))?;
        edges(&up, of, true)?;
        print(&format!("{of} goes into"))?;
        edges(&down, of, false)?;
        return Ok(Exit::Ok);
    }
    let columns = &["from", "from_column", "to", "to_column", "influence"];
    let mut rows = Rows::new("arrowsmith.column_lineage.v1", columns);
    for edge in up.iter().chain(&down) {
        rows.push(vec![
            json!(edge.from.asset.to_string()),
            json!(edge.from.column),
            json!(edge.to.to_string()),
            json!(edge.to_column),
            json!(edge.influence),
        ]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

/// Values as an indented tree, and what decides about rows below it.
fn edges(all: &[LineageEdge], root: &ColumnOf, is_up: bool) -> CommandResult<()> {
    let (direct, indirect): (Vec<&LineageEdge>, Vec<&LineageEdge>) =
        all.iter().partition(|edge| edge.to_column.is_some());
    let ends = |edge: &LineageEdge| {
        let column = edge.to_column.clone().unwrap_or_default();
        (edge.from.clone(), ColumnOf { asset: edge.to.clone(), column })
    };
    let mut seen = BTreeSet::new();
    let mut pending = vec![(root.clone(), String::new(), 0)];
    while let Some((at, how, depth)) = pending.pop() {
        if depth > 0 {
            print(&format!("{}{at}  {how}", "  ".repeat(depth)))?;
        }
        if !seen.insert(at.clone()) {
            continue;
        }
        let next = direct.iter().filter_map(|edge| {
            let (from, to) = ends(edge);
            let (here, there) = if is_up { (to, from) } else { (from, to) };
            (here == at).then(|| (there, edge.influence.to_string(), depth + 1))
        });
        let mut next: Vec<_> = next.collect();
        next.reverse();
        pending.extend(next);
    }
    if direct.is_empty() {
        print("  no other column")?;
    }
    for edge in indirect {
        let (from, to, how) = (&edge.from, &edge.to, edge.influence);
        print(&if is_up {
            format!("  the rows of {to} depend on {from}  {how}")
        } else {
            format!("  the rows of {to} depend on it by {from}  {how}")
        })?;
    }
    Ok(())
}

fn of_asset(engine: &Engine, key: &AssetKey, format: Format) -> CommandResult {
    let graph = &engine.resolved.graph;
    let of = BTreeSet::from([key.clone()]);
    let up = graph.ancestors(&of, usize::MAX);
    let down = graph.descendants(&of, usize::MAX);
    if format == Format::Table {
        print(&format!("{key} reads"))?;
        tree(&mut |key| graph.upstream(key), key)?;
        print(&format!("{key} is read by"))?;
        tree(&mut |key| graph.downstream(key), key)?;
        return Ok(Exit::Ok);
    }
    let mut rows = Rows::new("arrowsmith.lineage.v1", &["from", "to"]);
    for reader in up.union(&down) {
        for read in graph.upstream(reader) {
            if up.contains(&read) || down.contains(&read) {
                rows.push(vec![json!(read.to_string()), json!(reader.to_string())]);
            }
        }
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

/// An indented tree without recursion; what was shown above is not unfolded again.
fn tree(next: &mut dyn FnMut(&AssetKey) -> Vec<AssetKey>, root: &AssetKey) -> CommandResult<()> {
    let mut seen = BTreeSet::new();
    let mut pending: Vec<(AssetKey, usize)> =
        next(root).into_iter().rev().map(|key| (key, 1)).collect();
    if pending.is_empty() {
        return print("  nothing");
    }
    while let Some((key, depth)) = pending.pop() {
        let again = !seen.insert(key.clone());
        let children = next(&key);
        let mark = if again && !children.is_empty() { "  (above)" } else { "" };
        print(&format!("{}{key}{mark}", "  ".repeat(depth)))?;
        if !again {
            pending.extend(children.into_iter().rev().map(|key| (key, depth + 1)));
        }
    }
    Ok(())
}
