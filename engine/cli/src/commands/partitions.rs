//! `partitions list|add|remove`, and sets of partitions on the command line.

use arrowsmith_definitions::{Code, Diagnostic, DimensionKind, PartitionExpr, nearest};
use arrowsmith_execution::{Engine, Error, PlanRequest};
use serde_json::{Value, json};

use super::asset::find;
use crate::Exit;
use crate::args::{Format, PartitionArgs, PartitionsCommand};
use crate::context::{CommandResult, Context, fail};
use crate::diagnostics::report;
use crate::output::{Rows, moment, say};

/// What a command is asked to plan.
pub(crate) fn request(selection: &[String], args: &PartitionArgs) -> CommandResult<PlanRequest> {
    let request = PlanRequest::new(selection.join(" or "));
    Ok(match expression(args)? {
        Some(partitions) => request.with_partitions(partitions),
        None => request,
    })
}

/// The union of the sets that are given; `None` without any.
pub(crate) fn expression(args: &PartitionArgs) -> CommandResult<Option<PartitionExpr>> {
    if args.partitions.is_empty() {
        return Ok(None);
    }
    args.partitions.join(",").parse().map(Some).map_err(|error| {
        let error: arrowsmith_definitions::PartitionExprError = error;
        let problem = Diagnostic::error(Code::Partitions, error.message);
        report(&[problem.did_you_mean(error.nearest)]);
        Exit::Usage
    })
}

pub(crate) async fn partitions(context: &Context, command: PartitionsCommand) -> CommandResult {
    let engine = context.engine().await?;
    match command {
        PartitionsCommand::List { asset, partitions, format } => {
            list(&engine, &asset, &partitions, format.format).await
        }
        PartitionsCommand::Add { name, keys } => change(&engine, &name, keys, true).await,
        PartitionsCommand::Remove { name, keys } => change(&engine, &name, keys, false).await,
    }
}

async fn list(engine: &Engine, name: &str, args: &PartitionArgs, format: Format) -> CommandResult {
    let key = &find(engine, name)?.asset.key;
    let wrong = |message: String, nearest| {
        fail(&Error::Partitions { asset: key.to_string(), message, nearest })
    };
    let known = engine.partitions(key).await.map_err(|e| fail(&e))?;
    let known = known.ok_or_else(|| wrong("it has none".to_owned(), None))?;
    let set = match expression(args)? {
        Some(expr) => expr.evaluate(&known.keys, &known.materialized),
        None => Ok(known.keys.all()),
    };
    let set = set.map_err(|error| wrong(error.message, error.nearest))?;
    let columns = &["partition", "from", "to", "rows", "bytes", "materialized"];
    let mut rows = Rows::new("arrowsmith.partitions.v1", columns);
    for index in set.iter() {
        let window = known.keys.window(index);
        let bound = |at: jiff::Timestamp| json!(moment(at.as_microsecond()));
        let current = known.current(index);
        rows.push(vec![
            json!(known.keys.key(index)),
            window.map_or(Value::Null, |window| bound(window.start)),
            window.map_or(Value::Null, |window| bound(window.end)),
            json!(current.map(|pointer| pointer.row_count)),
            json!(current.map(|pointer| pointer.size_bytes)),
            json!(current.map(|pointer| moment(pointer.published_at))),
        ]);
    }
    rows.print(format)?;
    Ok(Exit::Ok)
}

/// Adds or removes keys of a list that some asset is partitioned by.
async fn change(engine: &Engine, name: &str, keys: Vec<String>, add: bool) -> CommandResult {
    let assets = engine.resolved.assets.values();
    let dimensions = assets.flat_map(|resolved| resolved.asset.partitions.iter());
    let lists = dimensions.flat_map(|partitions| &partitions.dimensions).filter_map(|dimension| {
        match &dimension.kind {
            DimensionKind::Dynamic(list) => Some(list.as_str()),
            _ => None,
        }
    });
    let lists: Vec<&str> = lists.collect();
    if !lists.contains(&name) {
        let message = format!("no asset is partitioned by a dynamic list `{name}`");
        let near = nearest(name, lists.iter().copied());
        report(&[Diagnostic::error(Code::Partitions, message).did_you_mean(near)]);
        return Err(Exit::Usage);
    }
    let wrong =
        keys.iter().filter_map(|key| arrowsmith_definitions::check_partition_key(key).err());
    let problems: Vec<Diagnostic> =
        wrong.map(|why| Diagnostic::error(Code::Partitions, why)).collect();
    if !problems.is_empty() {
        report(&problems);
        return Err(Exit::Usage);
    }
    let (count, now) = (keys.len(), engine.now());
    let changed = if add {
        engine.instance.add_dynamic_partitions(name, keys, now).await
    } else {
        engine.instance.remove_dynamic_partitions(name, keys, now).await
    };
    changed.map_err(|e| fail(&e.into()))?;
    let known = engine.instance.dynamic_partitions(name).await.map_err(|e| fail(&e.into()))?;
    let verb = if add { "added to" } else { "taken from" };
    say(&format!("{count} keys {verb} `{name}`, which has {} now", known.len()));
    Ok(Exit::Ok)
}
