//! `instance info|rebuild`.

use serde_json::json;

use crate::Exit;
use crate::args::InstanceCommand;
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, say};

pub(crate) async fn instance(context: &Context, command: InstanceCommand) -> CommandResult {
    let engine = context.engine().await?;
    match command {
        InstanceCommand::Info { format } => {
            let pointers = engine.instance.pointers(&engine.environment).await;
            let pointers = pointers.map_err(|e| fail(&e.into()))?;
            let totals = engine.instance.partition_totals(&engine.environment).await;
            let totals = totals.map_err(|e| fail(&e.into()))?;
            let mut rows = Rows::new("arrowsmith.instance.v1", &["name", "value"]);
            let mut row = |name: &str, value: String| rows.push(vec![json!(name), json!(value)]);
            let home = engine.instance.home();
            row("home", home.map_or("memory".to_owned(), |home| home.display().to_string()));
            row("environment", engine.environment.clone());
            row("tables", (pointers.len() + totals.len()).to_string());
            for (name, manager) in &engine.resolved.io_managers {
                row(
                    &format!("io manager {name}"),
                    format!("{} {}", manager.kind(), manager.store_url()),
                );
            }
            rows.print(format.format)?;
        }
        InstanceCommand::Rebuild => {
            let restored = engine.rebuild().await.map_err(|e| fail(&e))?;
            say(&format!("{restored} tables or partitions were restored from their manifests"));
        }
    }
    Ok(Exit::Ok)
}
