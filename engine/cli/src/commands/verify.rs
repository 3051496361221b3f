//! `verify`: computes current tables once more, and compares them with what is stored.

use arrowsmith_definitions::AssetKey;
use arrowsmith_execution::{Verdict, Verified};
use serde_json::json;

use super::asset::select;
use super::partitions::expression;
use crate::Exit;
use crate::args::{Format, PartitionArgs};
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, complain, print, say};

pub(crate) async fn verify(
    context: &Context,
    selection: &str,
    share: f64,
    partitions: &PartitionArgs,
    format: Format,
) -> CommandResult {
    let engine = context.engine().await?;
    let selected = select(&engine, selection)?.into_iter();
    let is_stored = |key: &AssetKey| engine.resolved.assets[key].asset.is_materializable();
    let keys: Vec<AssetKey> = selected.filter(is_stored).collect();
    let set = expression(partitions)?;
    let verified = engine.verify(&keys, set.as_ref(), share).await.map_err(|e| fail(&e))?;
    if format == Format::Table {
        verified.iter().try_for_each(|of| print(&told(of)))?;
    } else {
        let columns = &["asset", "partitions", "verdict", "reason", "rows"];
        let mut rows = Rows::new("arrowsmith.verified.v1", columns);
        for of in &verified {
            rows.push(vec![
                json!(of.asset),
                json!(of.partitions),
                json!(of.verdict),
                json!(of.reason),
                json!(of.rows),
            ]);
        }
        rows.print(format)?;
    }
    let count = |verdict| verified.iter().filter(|of| of.verdict == verdict).count();
    let (same, different) = (count(Verdict::Same), count(Verdict::Different));
    let unverifiable = count(Verdict::Unverifiable);
    let summary = format!("{same} same, {different} different, {unverifiable} unverifiable");
    if different == 0 {
        say(&summary);
        return Ok(Exit::Ok);
    }
    complain(&format!(
        "{summary}; what is computed from the same code and inputs must be the same"
    ));
    Ok(Exit::Failed)
}

fn told(of: &Verified) -> String {
    let word = match of.verdict {
        Verdict::Same => "same",
        Verdict::Different => "different",
        Verdict::Unverifiable => "unverifiable",
    };
    let partitions = of.partitions.as_ref().map_or(String::new(), |set| format!("[{set}]"));
    let reason = of.reason.as_ref().map_or(String::new(), |reason| format!(": {reason}"));
    let rows = of.rows.iter().map(|row| format!("\n                {row}"));
    format!("{word:>12}  {}{partitions}{reason}{}", of.asset, rows.collect::<String>())
}
