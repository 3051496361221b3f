//! PostgreSQL as the instance database, for instances that several machines share.
//!
//! The migrations are those of SQLite, with its words for numbered rows exchanged. A transaction that
//! writes holds an advisory lock of its schema, so that there is one at a time, as in SQLite: what
//! holds there holds here, and events are numbered in the order in which they become visible.

use std::borrow::Cow;
use std::str::FromStr;
use std::time::Duration;

use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection as _, Executor, PgConnection, Postgres, Row,
    SqlSafeStr,
};

use super::script::{Dialect, Script, Statement};
use super::{CHANGES, Connection, MIGRATIONS, Pool, migration_error};
use crate::settings::DatabaseSettings;
use crate::{Error, Result};

/// What stands in the migrations for SQLite, and what PostgreSQL calls it. Outputs are read in the
/// order in which they came.
const EXCHANGED: [(&str, &str); 3] = [
    ("integer primary key autoincrement", "bigint generated always as identity primary key"),
    (" without rowid", ""),
    ("table outputs (", "table outputs (\n  rowid bigint generated always as identity,"),
];

/// How long a connection is waited for, and a server that has gone away.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
const RECONNECT_PAUSE: Duration = Duration::from_millis(500);
/// How long an answer is waited for; the server gives up before.
const ANSWER_LIMIT: Duration = Duration::from_secs(90);
const READERS: u32 = 4;

/// Limits of the server for whatever a connection waits for, and what literals rely on.
const SESSION: [(&str, &str); 5] = [
    ("lock_timeout", "30s"),
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("standard_conforming_strings", "on"),
    // That something is there already is no news.
    ("client_min_messages", "warning"),
];

/// One connection, which is made again when it breaks.
#[derive(Debug)]
pub(super) struct Session {
    options: PgConnectOptions,
    shown: String,
    connection: Option<PgConnection>,
}

/// Connects, makes or migrates the tables, and returns both ends.
pub(super) async fn open(settings: &DatabaseSettings) -> Result<(Connection, Pool)> {
    let (shown, options) = (settings.shown(), options(settings)?);
    let mut session = Session { shown, options, connection: None };
    let mut connection = session.connect().await?;
    make_schema(&mut connection, &settings.schema).await?;
    let migrated = Migrator::with_migrations(migrations()).run(&mut connection).await;
    migrated.map_err(|error| migration_error(error, session.shown.clone()))?;
    session.connection = Some(connection);
    let pool = PgPoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(CONNECT_LIMIT)
        .connect_lazy_with(session.options.clone());
    Ok((Connection::Postgres(Box::new(session)), Pool::Postgres(pool)))
}

pub(super) async fn changes(settings: &DatabaseSettings) -> Option<String> {
    let options = options(settings).ok()?;
    let connect = PgConnection::connect_with(&options);
    let mut connection = tokio::time::timeout(CONNECT_LIMIT, connect).await.ok()?.ok()?;
    let mut script = Script::new(Dialect::Postgres);
    script.add(CHANGES, []);
    let found = run(&mut connection, script.take()).await.ok()?;
    connection.close().await.ok()?;
    found
}

fn options(settings: &DatabaseSettings) -> Result<PgConnectOptions> {
    let refused = |source| Error::Unreachable { database: settings.shown(), source };
    let options = PgConnectOptions::from_str(&settings.url).map_err(refused)?;
    // Whether a statement is to be logged is asked of subscribers that are filtered by layer, and
    // what is asked and not told makes them forget the next event.
    let options = options.disable_statement_logging();
    let options = options.application_name("arrowsmith").options(SESSION);
    Ok(options.options([("search_path", &settings.schema)]))
}

/// Two processes that begin at once do not make it twice.
async fn make_schema(connection: &mut PgConnection, schema: &str) -> Result<()> {
    let mut script = Script::new(Dialect::Postgres);
    script.add("begin; select pg_advisory_xact_lock(hashtext($1), 0)", [Some(schema.to_owned())]);
    script.add(&format!("create schema if not exists {schema}"), []);
    script.add("commit", []);
    run(connection, script.take()).await.map(|_| ())
}

fn migrations() -> Vec<Migration> {
    let made = |version, description: &'static str, sql: String| {
        let sql = AssertSqlSafe(sql).into_sql_str();
        Migration::new(version, Cow::Borrowed(description), MigrationType::Simple, sql, false)
    };
    let functions = made(0, "functions", include_str!("postgres.sql").to_owned());
    let tables = MIGRATIONS.iter().map(|migration| {
        let exchange = |sql: String, (old, new): (&str, &str)| sql.replace(old, new);
        let sql = EXCHANGED.into_iter().fold(migration.sql.as_str().to_owned(), exchange);
        made(migration.version, "tables", sql)
    });
    std::iter::once(functions).chain(tables).collect()
}

impl Session {
    async fn connect(&self) -> Result<PgConnection> {
        let failed = |source| Error::Unreachable { database: self.shown.clone(), source };
        let connect = PgConnection::connect_with(&self.options);
        let connected = tokio::time::timeout(CONNECT_LIMIT, connect).await;
        connected.map_err(|_elapsed| failed(sqlx::Error::PoolTimedOut))?.map_err(failed)
    }

    /// Returns when there is a connection that answers: one that broke is made again, and a server
    /// that has gone away is waited for.
    pub(super) async fn ready(&mut self) -> Result<()> {
        if let Some(connection) = &mut self.connection {
            match tokio::time::timeout(ANSWER_LIMIT, connection.ping()).await {
                Ok(Ok(())) => return Ok(()),
                _ => self.connection = None,
            }
        }
        let mut last = None;
        let again = async {
            loop {
                match self.connect().await {
                    Ok(connection) => break connection,
                    Err(error) => last = Some(error),
                }
                #[expect(clippy::disallowed_methods, reason = "the server is waited for, no time")]
                tokio::time::sleep(RECONNECT_PAUSE).await;
            }
        };
        match tokio::time::timeout(CONNECT_LIMIT, again).await {
            Ok(connection) => self.connection = Some(connection),
            Err(_elapsed) => return Err(last.unwrap_or(Error::Closed)),
        }
        Ok(())
    }

    pub(super) async fn run(&mut self, statement: Statement) -> Result<Option<String>> {
        let connection = self.connection.as_mut().ok_or(Error::Lost)?;
        match tokio::time::timeout(ANSWER_LIMIT, run(connection, statement)).await {
            Ok(Ok(found)) => Ok(found),
            // What the database itself says leaves the connection as it was.
            Ok(Err(error @ Error::Database { source: sqlx::Error::Database(_) })) => Err(error),
            Ok(Err(_)) | Err(_) => {
                self.connection = None;
                Err(Error::Lost)
            }
        }
    }
}

/// Runs statements without arguments; returns the first value of the last row.
pub(super) async fn run<'c>(
    executor: impl Executor<'c, Database = Postgres>,
    statement: Statement,
) -> Result<Option<String>> {
    let rows = sqlx::raw_sql(AssertSqlSafe(statement.sql)).fetch_all(executor).await?;
    let Some(row) = rows.last().filter(|row| !row.is_empty()) else { return Ok(None) };
    let value = row.try_get_raw(0)?;
    if sqlx::ValueRef::is_null(&value) {
        return Ok(None);
    }
    let text = value.as_str().map_err(sqlx::Error::Decode)?;
    Ok(Some(text.to_owned()))
}
