//! The instance as a database: SQLite in the home, or PostgreSQL. All SQL of this crate stands in
//! this folder.
//!
//! There is one text of each statement, in the SQL of SQLite, which [`script`] brings to PostgreSQL:
//! what has another name there is renamed, and a few functions and operators are made with the
//! tables. Many rows travel to a statement as one JSON array, so that a transaction of a hundred
//! requests is a dozen statements, and come back as one JSON document.

mod order;
#[cfg(feature = "postgres")]
mod postgres;
mod read;
mod read_browse;
mod read_operations;
mod rows;
mod script;
mod sqlite;
mod system;
mod write;

use std::path::Path;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{SqliteConnection, SqlitePool};

pub(crate) use read::DatabaseReader;
pub(crate) use rows::PublishRows;
pub(crate) use write::DatabaseWriter;

use crate::settings::DatabaseSettings;
use crate::{Error, Result};
use script::{Dialect, Script, Statement};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// A connection that changes.
#[derive(Debug)]
enum Connection {
    Sqlite(SqliteConnection),
    #[cfg(feature = "postgres")]
    Postgres(Box<postgres::Session>),
}

/// Connections that read.
#[derive(Debug, Clone)]
enum Pool {
    Sqlite(SqlitePool),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::PgPool),
}

/// Opens the database of a home, makes or migrates its tables, and returns both ends.
pub(crate) async fn open(
    home: &Path,
    settings: Option<&DatabaseSettings>,
) -> Result<(DatabaseWriter, DatabaseReader)> {
    let (connection, pool) = match settings {
        None => sqlite::open(home).await?,
        #[cfg(feature = "postgres")]
        Some(settings) => postgres::open(settings).await?,
        #[cfg(not(feature = "postgres"))]
        Some(settings) => return Err(settings.unsupported()),
    };
    Ok((DatabaseWriter::new(connection), DatabaseReader::new(pool)))
}

/// How many transactions have written; nothing is made or migrated.
pub(crate) async fn changes(home: &Path, settings: Option<&DatabaseSettings>) -> Option<i64> {
    let found = match settings {
        None => sqlite::changes(home).await,
        #[cfg(feature = "postgres")]
        Some(settings) => postgres::changes(settings).await,
        #[cfg(not(feature = "postgres"))]
        Some(_) => None,
    };
    let (migration, changes): (Option<i64>, i64) = serde_json::from_str(&found?).ok()?;
    let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
    (migration == newest).then_some(changes)
}

/// How far a database is migrated, and how many transactions have written to it.
const CHANGES: &str = "select json_array(
    (select max(version) from _sqlx_migrations where success), (select count from changes))";

impl Connection {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Returns when a transaction can begin: a server that has gone away is waited for.
    async fn ready(&mut self) -> Result<()> {
        match self {
            Self::Sqlite(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.ready().await,
        }
    }

    /// Runs statements; returns the first value of the last row that one of them has returned.
    async fn run(&mut self, statement: Statement) -> Result<Option<String>> {
        match self {
            Self::Sqlite(connection) => sqlite::run(connection, statement).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(session) => session.run(statement).await,
        }
    }
}

impl Pool {
    fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            #[cfg(feature = "postgres")]
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    /// The one value that a query returns.
    async fn ask<const N: usize>(
        &self,
        sql: &str,
        arguments: [Option<String>; N],
    ) -> Result<Option<String>> {
        let mut script = Script::new(self.dialect());
        script.add(sql, arguments);
        match self {
            Self::Sqlite(pool) => sqlite::run(pool, script.take()).await,
            #[cfg(feature = "postgres")]
            Self::Postgres(pool) => postgres::run(pool, script.take()).await,
        }
    }
}

fn migration_error(error: MigrateError, database: String) -> Error {
    match error {
        MigrateError::VersionMissing(migration) | MigrateError::VersionTooNew(migration, _) => {
            Error::Newer { database, migration }
        }
        source => Error::Migration { source },
    }
}
