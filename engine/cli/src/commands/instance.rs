//! `instance info|rebuild|migrate|gc`.

use arrowsmith_daemon::Daemon;
use serde_json::json;

use crate::Exit;
use crate::args::InstanceCommand;
use crate::context::{CommandResult, Context, fail};
use crate::output::{Rows, say};

pub(crate) async fn instance(context: &Context, command: InstanceCommand) -> CommandResult {
    if matches!(command, InstanceCommand::Migrate) {
        let instance = context.instance().await?;
        let version = instance.migration().await.map_err(|e| fail(&e.into()))?;
        say(&format!("the instance is at migration {version}"));
        return Ok(Exit::Ok);
    }
    let engine = context.engine().await?;
    match command {
        InstanceCommand::Migrate => {}
        InstanceCommand::Gc => {
            let forget = Daemon::to_forget(&engine.resolved.operations, engine.now());
            let (ticks, events) =
                engine.instance.forget(forget).await.map_err(|e| fail(&e.into()))?;
            say(&format!("{ticks} ticks and {events} events were forgotten"));
        }
        InstanceCommand::Info { format } => {
            let pointers = engine.instance.pointers(&engine.environment).await;
            let pointers = pointers.map_err(|e| fail(&e.into()))?;
            let totals = engine.instance.partition_totals(&engine.environment).await;
            let totals = totals.map_err(|e| fail(&e.into()))?;
            let mut rows = Rows::new("arrowsmith.instance.v1", &["name", "value"]);
            let mut row = |name: &str, value: String| rows.push(vec![json!(name), json!(value)]);
            let home = engine.instance.home();
            row("home", home.map_or("memory".to_owned(), |home| home.display().to_string()));
            row("database", engine.instance.database().unwrap_or("instance.db").to_owned());
            row("environment", engine.environment.clone());
            row("tables", (pointers.len() + totals.len()).to_string());
            let counts = engine.instance.counts().await.map_err(|e| fail(&e.into()))?;
            row("runs", counts.runs.values().sum::<u64>().to_string());
            row("versions", counts.materializations.to_string());
            row("events", counts.events.to_string());
            row("ticks", counts.ticks.values().sum::<u64>().to_string());
            let migration = engine.instance.migration().await.map_err(|e| fail(&e.into()))?;
            row("migration", migration.to_string());
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
