//! The view of a table's own name, which shows what is current.

use std::borrow::Cow;
use std::sync::Arc;

use arrowsmith_io_manager::{CurrentVersions, Error, Result, StoredTable, TablePath, TableSchema};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use crate::database::{Database, identifier, literal, refused, relation};
use crate::types::{PARTITION, kind};

/// The schema of views whose tables have one.
const PUBLIC: &str = "public";
/// What the database says when a view cannot become another as it stands.
const INVALID_DEFINITION: &str = "42P16";

/// Swaps the view in one transaction, if it does not show what is current.
pub(crate) async fn show(
    database: &Database,
    table: &TablePath,
    current: &dyn CurrentVersions,
) -> Result<()> {
    let name = table.table_name();
    let failed = |error| refused("mirror", &name, error);
    let mut connection = database.connect("mirror", &name).await?;
    let mut swap = connection.begin().await.map_err(failed)?;
    // Whoever has the lock asks the catalog, so that the last to show is the last to have asked.
    let lock = "select pg_advisory_xact_lock(hashtext('arrowsmith'), hashtext($1))";
    sqlx::query(lock).bind(&name).execute(&mut *swap).await.map_err(failed)?;
    let parts = current.current().await?;
    let (schema, view) = match name.rsplit_once('.') {
        Some((schema, view)) => (identifier(schema), identifier(view)),
        None => (PUBLIC.to_owned(), identifier(&name)),
    };
    let view = format!("{schema}.{view}");
    let Some(newest) = parts.iter().max_by_key(|part| part.version) else {
        run(&mut swap, format!("drop view if exists {view}")).await.map_err(failed)?;
        return swap.commit().await.map_err(failed);
    };
    if schema != PUBLIC {
        run(&mut swap, format!("create schema if not exists {schema}")).await.map_err(failed)?;
    }
    for part in parts.iter().filter(|part| !part.partitions.is_empty()) {
        note_partitions(&mut swap, part).await.map_err(failed)?;
    }
    let rows = parts.iter().map(|part| rows(part, &newest.schema)).collect::<Result<Vec<_>>>()?;
    let rows = rows.join("\nunion all\n");
    replace(&mut swap, &view, &rows).await.map_err(failed)?;
    swap.commit().await.map_err(failed)
}

/// Makes a view show other rows; one with other columns is made anew, unless others depend on it.
async fn replace(connection: &mut PgConnection, view: &str, rows: &str) -> sqlx::Result<()> {
    let mut attempt = connection.begin().await?;
    match run(&mut attempt, format!("create or replace view {view} as\n{rows}")).await {
        Ok(()) => attempt.commit().await,
        Err(error) if code(&error).as_deref() == Some(INVALID_DEFINITION) => {
            attempt.rollback().await?;
            run(connection, format!("drop view {view}")).await?;
            run(connection, format!("create view {view} as\n{rows}")).await
        }
        Err(error) => Err(error),
    }
}

/// Remembers which partitions of a version are shown.
async fn note_partitions(connection: &mut PgConnection, part: &StoredTable) -> sqlx::Result<()> {
    let version = part.version.to_string();
    sqlx::query("delete from arrowsmith.shown where version = $1::uuid")
        .bind(&version)
        .execute(&mut *connection)
        .await?;
    let note = "insert into arrowsmith.shown select $1::uuid, unnest($2::text[])";
    sqlx::query(note).bind(&version).bind(&part.partitions).execute(connection).await?;
    Ok(())
}

/// The rows of a part, with the columns of the newest one.
fn rows(part: &Arc<StoredTable>, newest: &TableSchema) -> Result<String> {
    let own = part.schema.arrow();
    let column = |field: &arrow::datatypes::FieldRef| {
        let name = identifier(field.name());
        let wanted = kind(field.data_type()).ok_or_else(|| Error::Unwritable {
            table: part.table.clone(),
            reason: format!("`{}` is {}", field.name(), field.data_type()),
        })?;
        Ok(match own.field_with_name(field.name()) {
            Ok(known) if known.data_type() == field.data_type() => name,
            Ok(_) => format!("{name}::{wanted} as {name}"),
            Err(_) => format!("null::{wanted} as {name}"),
        })
    };
    let columns = newest.arrow().fields().iter().map(column).collect::<Result<Vec<_>>>()?;
    let mut rows = format!("select {} from {}", columns.join(", "), relation(part.version));
    if !part.partitions.is_empty() {
        let version = literal(&part.version.to_string());
        rows.push_str(&format!(
            " where {PARTITION} in (select partition from arrowsmith.shown where version = {version})"
        ));
    }
    Ok(rows)
}

async fn run(connection: &mut PgConnection, statement: String) -> sqlx::Result<()> {
    connection.execute(sqlx::raw_sql(AssertSqlSafe(statement))).await.map(|_done| ())
}

fn code(error: &sqlx::Error) -> Option<String> {
    error.as_database_error()?.code().map(Cow::into_owned)
}
