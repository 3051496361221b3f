//! `why`: how an asset stands, and why.

use arrowsmith_definitions::Affected;
use arrowsmith_execution::{StaleCause, StaleStatus, Why};
use arrowsmith_instance::{EvaluationNode, EvaluationRecord};

use super::asset::find;
use super::lineage::column_of;
use super::partitions::expression;
use crate::Exit;
use crate::args::{Format, PartitionArgs};
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, complain, count, moment, print, print_document, say};
use serde_json::json;

/// Partitions that are named; of more only the number is told.
const NAMED: usize = 4;

pub(crate) async fn why(
    context: &Context,
    asset: &str,
    partitions: &PartitionArgs,
    format: Format,
) -> CommandResult {
    let engine = context.engine().await?;
    // Steps have such names as well.
    let named = asset.strip_suffix(']').and_then(|named| named.split_once('['));
    let (asset, set) = named.map_or((asset, None), |(asset, set)| (asset, Some(set.to_owned())));
    let sets = partitions.partitions.iter().cloned().chain(set);
    let set = expression(&PartitionArgs { partitions: sets.collect() })?;
    let key = find(&engine, asset)?.asset.key.clone();
    let why = engine.why(&key, set.as_ref()).await.map_err(|e| fail(&e))?;
    let evaluated = if engine.resolved.assets[&key].asset.automation.is_some() {
        let found = engine.instance.evaluations(key.as_str(), 1).await;
        found.map_err(|e| fail(&e.into()))?.pop()
    } else {
        None
    };
    match format {
        Format::Table => {
            print(&told(&why))?;
            if let Some(evaluated) = &evaluated {
                print(&told_evaluation(evaluated))?;
            }
        }
        _ => {
            let mut why = serde_json::to_value(&why).unwrap_or_default();
            if let (Some(why), Some(evaluated)) = (why.as_object_mut(), &evaluated) {
                why.insert("automation".to_owned(), json!(evaluated));
            }
            print_document("arrowsmith.why.v1", "why", &why)?;
        }
    }
    Ok(Exit::Ok)
}

/// What its condition came to when it last came to something else.
fn told_evaluation(evaluated: &EvaluationRecord) -> String {
    fn add(node: &EvaluationNode, depth: usize, text: &mut String) {
        let sign = if node.count > 0 { '+' } else { '-' };
        let held = match (node.count, node.held.as_str()) {
            (0, _) | (_, "") => String::new(),
            (_, held) => format!("  {held}"),
        };
        text.push_str(&format!("\n  {}{sign} {}{held}", "  ".repeat(depth), node.name));
        for child in &node.children {
            add(child, depth + 1, text);
        }
    }
    let requested = match evaluated.came_to.requested.as_str() {
        "" => "nothing was asked for".to_owned(),
        "all" => "it was asked for".to_owned(),
        set => format!("{set} was asked for"),
    };
    let mut text = format!("automation, at {}: {requested}", moment(evaluated.at));
    add(&evaluated.came_to.tree, 0, &mut text);
    text
}

pub(crate) async fn if_column_changes(
    context: &Context,
    column: &str,
    format: Format,
) -> CommandResult {
    let engine = context.engine_without_instance().await?;
    let Some((asset, column)) = column.rsplit_once('.') else {
        complain(&format!(
            "`{column}` names no column; write the asset before it, such as `staging.orders.{column}`"
        ));
        return Err(Exit::Usage);
    };
    let changed = column_of(find(&engine, asset)?, column)?;
    let affected = engine.resolved.affected_by(&changed);
    let mut rows = Rows::new("arrowsmith.affected.v1", &["asset", "reads", "changes"]);
    for of in &affected {
        let reads: Vec<String> = of.reads.iter().map(ToString::to_string).collect();
        let changes = match &of.columns {
            Some(columns) => json!(columns),
            None => json!("all of its rows"),
        };
        rows.push(vec![json!(of.asset.to_string()), json!(reads), changes]);
    }
    rows.print(format)?;
    let is_stored = |of: &&Affected| engine.resolved.assets[&of.asset].asset.is_materializable();
    let (run, all) = (affected.iter().filter(is_stored).count(), &engine.resolved.assets);
    let all = all.values().filter(|of| of.asset.is_materializable()).count();
    say(&format!("{run} of {all} assets would run"));
    Ok(Exit::Ok)
}

fn told(why: &Why) -> String {
    let word = |status| match status {
        StaleStatus::Fresh => "fresh",
        StaleStatus::Stale => "stale",
        StaleStatus::Missing => "missing",
    };
    let mut text = format!("{} is {}", why.asset, word(why.status));
    // Where only what it reads is stale, its own partitions say nothing.
    if why.counts.values().sum::<u64>() > 1 && why.counts.contains_key(&why.status) {
        let counts = why.counts.iter().rev();
        let counts = counts.map(|(status, n)| format!("{} {}", count(*n), word(*status)));
        text.push_str(&format!(": {}", counts.collect::<Vec<_>>().join(", ")));
    }
    text.push('\n');
    match (why.status, why.causes.as_slice()) {
        (StaleStatus::Missing, []) => text.push_str("└─ it has never been materialized\n"),
        (StaleStatus::Fresh, []) => {
            text.push_str(
                "└─ its code and what it reads are what they were when it was computed\n",
            );
        }
        (_, causes) => tree(causes, "", &mut text),
    }
    text
}

fn tree(causes: &[StaleCause], indent: &str, text: &mut String) {
    for (at, cause) in causes.iter().enumerate() {
        let is_last = at + 1 == causes.len();
        let (branch, below) = if is_last { ("└─", "   ") } else { ("├─", "│  ") };
        text.push_str(&format!("{indent}{branch} {}", cause.reason));
        if !cause.columns.is_empty() {
            text.push_str(&format!(": {}", cause.columns.join(", ")));
        }
        match cause.partitions.as_slice() {
            [] => {}
            few if few.len() <= NAMED => text.push_str(&format!(" ({})", few.join(", "))),
            many => text.push_str(&format!(" ({} partitions)", count(many.len() as u64))),
        }
        text.push('\n');
        for change in &cause.changes {
            text.push_str(&format!("{indent}{below}  {change}\n"));
        }
        tree(&cause.causes, &format!("{indent}{below}"), text);
    }
}
