//! SQLite as the instance database: one file in the home.

use std::path::Path;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection as _, Executor, Row, Sqlite, SqliteConnection};

use super::script::Statement;
use super::{CHANGES, Connection, MIGRATIONS, Pool, migration_error};
use crate::{Error, Result};

/// How long a statement waits for another process before it fails.
const BUSY_TIMEOUT: Duration = Duration::from_secs(30);
const READERS: u32 = 4;
/// Memory for pages of the connection that writes, at most, as SQLite wants it: negative KiB. Indexes of
/// many assets are written here and there; what does not fit would be read again for each transaction.
const CACHE: &str = "-65536";
/// Pages of the log, 64 MiB, before they are copied into the file: each once, however often it was
/// written.
const CHECKPOINT: &str = "16384";

/// Opens `instance.db` in `home`, makes or migrates its tables, and returns both ends.
pub(super) async fn open(home: &Path) -> Result<(Connection, Pool)> {
    let refuse = |reason: String| Error::Home { path: home.to_owned(), reason };
    if let Some(kind) = network_disk(home)
        && std::env::var_os("ARROWSMITH_ALLOW_NETWORK_DISK").is_none()
    {
        return Err(refuse(format!(
            "it is on a {kind} file system, where SQLite's locks cannot be trusted; set \
             ARROWSMITH_HOME to a local disk, or ARROWSMITH_ALLOW_NETWORK_DISK=1 to try it anyway"
        )));
    }
    let path = home.join("instance.db");
    let options = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT);
    let options = options.disable_statement_logging();
    let writes =
        options.clone().pragma("cache_size", CACHE).pragma("wal_autocheckpoint", CHECKPOINT);
    let mut connection = writes.connect().await?;
    // SQLite has no lock over several transactions, and each migration is one: of two processes that
    // begin at once the second would repeat what the first has just done.
    let lock = lock(home).await.map_err(|e| refuse(e.to_string()))?;
    migrate(&mut connection, &path).await?;
    drop(lock);
    let pool = SqlitePoolOptions::new()
        .max_connections(READERS)
        .acquire_timeout(BUSY_TIMEOUT)
        .connect_lazy_with(options);
    Ok((Connection::Sqlite(connection), Pool::Sqlite(pool)))
}

pub(super) async fn changes(home: &Path) -> Option<String> {
    let options = SqliteConnectOptions::new().filename(home.join("instance.db"));
    let mut connection = options.busy_timeout(BUSY_TIMEOUT).connect().await.ok()?;
    let statement = Statement { sql: CHANGES.to_owned(), arguments: Vec::new() };
    let found = run(&mut connection, statement).await.ok()?;
    connection.close().await.ok()?;
    found
}

/// Runs statements; returns the first value of the row that one of them returns.
pub(super) async fn run<'c>(
    executor: impl Executor<'c, Database = Sqlite>,
    statement: Statement,
) -> Result<Option<String>> {
    let query = sqlx::query(sqlx::AssertSqlSafe(statement.sql));
    let query = statement.arguments.into_iter().fold(query, Query::bind);
    let row = query.fetch_optional(executor).await?;
    // A number is a text as well, if nobody asks what it was.
    Ok(row.map(|row| row.try_get_unchecked(0)).transpose()?.flatten())
}

/// The lock under which the database is migrated; it goes with the file, whatever happens.
async fn lock(home: &Path) -> std::io::Result<std::fs::File> {
    let path = home.join("instance.lock");
    let wait = tokio::task::spawn_blocking(move || {
        let file = std::fs::File::create(path)?;
        file.lock()?;
        Ok(file)
    });
    match tokio::time::timeout(BUSY_TIMEOUT, wait).await {
        Ok(locked) => locked.map_err(std::io::Error::other)?,
        Err(_elapsed) => Err(std::io::Error::other("another process is migrating it for too long")),
    }
}

async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<()> {
    let migrated = MIGRATIONS.run(connection).await;
    migrated.map_err(|error| migration_error(error, path.display().to_string()))
}

/// The kind of the file system below `path`, if it is one that other machines share.
fn network_disk(path: &Path) -> Option<String> {
    let path = path.canonicalize().ok()?;
    let mounts = std::fs::read_to_string("/proc/mounts").ok()?;
    let shared = |kind: &str| {
        matches!(kind, "nfs" | "nfs4" | "cifs" | "smb3" | "smbfs" | "9p" | "ceph" | "glusterfs")
            || kind.starts_with("fuse.")
    };
    let mut best: Option<(usize, &str)> = None;
    for line in mounts.lines() {
        let mut fields = line.split(' ');
        let (Some(_), Some(point), Some(kind)) = (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        if path.starts_with(point) && best.is_none_or(|(length, _)| point.len() >= length) {
            best = Some((point.len(), kind));
        }
    }
    best.filter(|(_, kind)| shared(kind)).map(|(_, kind)| kind.to_owned())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use sqlx::migrate::Migrator;
    use sqlx::{Connection as _, SqliteConnection};

    use super::{MIGRATIONS, SqliteConnectOptions};
    use crate::{Error, Instance, RunStatus};

    const RUN: &str = "01890000-0000-7000-8000-000000000001";

    async fn connect(home: &Path) -> SqliteConnection {
        let options =
            SqliteConnectOptions::new().filename(home.join("instance.db")).create_if_missing(true);
        SqliteConnection::connect_with(&options).await.expect("a database")
    }

    /// A database as the first `count` migrations have left it, with a run that has ended in it.
    async fn made_by(home: &Path, count: usize) {
        let mut connection = connect(home).await;
        let migrations = MIGRATIONS.iter().take(count).cloned().collect();
        Migrator::with_migrations(migrations).run(&mut connection).await.expect("migrated");
        let sql = format!(
            "insert into runs (run_id, environment, selection, status, tags, process, lease_until,
               created_at, ended_at)
             values ('{RUN}', 'main', '*', 'success', '{{}}',
               '{{\"boot\":\"\",\"pid\":1,\"started\":\"\"}}', 0, 5, 7);
             insert into steps (run_id, step_key, position, state) values ('{RUN}', 'a', 0, 'success');
             insert into events (run_id, at, kind, payload)
             values ('{RUN}', 7, 'RUN_SUCCESS', '{{\"kind\":\"RUN_SUCCESS\"}}')"
        );
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.expect("rows");
        connection.close().await.expect("closed");
    }

    #[tokio::test]
    async fn an_instance_of_any_earlier_version_is_brought_up_to_date_with_what_it_remembers() {
        for count in 1..=MIGRATIONS.iter().count() {
            let home = tempfile::tempdir().expect("a folder");
            made_by(home.path(), count).await;
            let instance = Instance::open(home.path()).await.expect("an instance");
            let run = instance.run("latest").await.expect("a run");
            assert_eq!(run.run_id.to_string(), RUN, "of migration {count}");
            assert_eq!((run.status, run.ended_at), (RunStatus::Success, Some(7)));
            assert_eq!(run.started_at.is_some(), count < 6, "what has begun is known from when");
            assert_eq!(instance.steps(run.run_id).await.expect("steps").len(), 1);
            assert_eq!(instance.ends_after(0, 10).await.expect("ends").len(), 1);
            let newest = MIGRATIONS.iter().map(|migration| migration.version).max();
            assert_eq!(instance.migration().await.ok(), newest);
        }
    }

    #[tokio::test]
    async fn an_instance_of_a_later_version_is_left_alone() {
        let home = tempfile::tempdir().expect("a folder");
        drop(Instance::open(home.path()).await.expect("an instance"));
        let mut connection = connect(home.path()).await;
        let sql = "insert into _sqlx_migrations
                     (version, description, success, checksum, execution_time)
                   values (9999, 'later', true, x'00', 0)";
        sqlx::query(sql).execute(&mut connection).await.expect("a row");
        connection.close().await.expect("closed");
        let opened = Instance::open(home.path()).await;
        assert!(matches!(opened, Err(Error::Newer { migration: 9999, .. })), "{opened:?}");
    }
}
