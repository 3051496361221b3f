//! The database: connections, and the table of versions.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::{Duration, UNIX_EPOCH};

use arrowsmith_io_manager::{
    Damage, Depth, Error, ErrorKind, Result, StoredTable, Version, VersionEntry, nearest,
};
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Postgres, Row};
use tokio::sync::OnceCell;
use url::Url;

/// Connections that are open at the same time.
const CONNECTIONS_MAX: u32 = 32;
/// How long a connection is waited for.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);
/// How long a lock is waited for.
const LOCK_LIMIT: &str = "60s";

/// What the manager knows of its versions. The lock keeps two that begin from making it at once.
const SETUP: &str = "
select pg_advisory_xact_lock(hashtext('arrowsmith'), 0);
create schema if not exists arrowsmith;
create table if not exists arrowsmith.versions (
    version uuid primary key,
    table_path text not null,
    manifest text not null,
    checksum numeric not null,
    finished_at timestamptz not null default now()
);
create table if not exists arrowsmith.shown (
    version uuid not null,
    partition text not null,
    primary key (version, partition)
);";

/// A name as SQL has it.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL has it.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The table of a version.
pub(crate) fn relation(version: Version) -> String {
    format!("arrowsmith.v_{}", version.0.simple())
}

/// A PostgreSQL database.
#[derive(Debug)]
pub(crate) struct Database {
    options: PgConnectOptions,
    shown: String,
    pool: OnceCell<PgPool>,
}

impl Database {
    pub(crate) fn open(url: &str, settings: &BTreeMap<String, String>) -> Result<Self> {
        let bad = |reason: String| Error::Url { url: without_secrets(url), reason };
        let options = PgConnectOptions::from_str(url).map_err(|e| bad(told(&e)))?;
        let mut options = options
            .application_name("arrowsmith")
            .options([("lock_timeout", LOCK_LIMIT), ("intervalstyle", "iso_8601")]);
        for (name, value) in settings {
            options = match name.as_str() {
                "user" => options.username(value),
                "password" => options.password(value),
                other => {
                    let near = nearest(other, ["user", "password"]);
                    let near =
                        near.map_or(String::new(), |near| format!("; did you mean `{near}`?"));
                    return Err(bad(format!("it has no setting `{other}`{near}")));
                }
            };
        }
        let name = options.get_database().unwrap_or_else(|| options.get_username()).to_owned();
        let shown = format!("postgres://{}:{}/{name}", options.get_host(), options.get_port());
        Ok(Self { options, shown, pool: OnceCell::new() })
    }

    /// The URL without credentials.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// A connection, after what the manager needs of the database has been made.
    pub(crate) async fn connect(
        &self,
        action: &'static str,
        table: &str,
    ) -> Result<PoolConnection<Postgres>> {
        let failed = |error| refused(action, table, error);
        let pool = self.pool.get_or_try_init(|| async {
            // A pool would ask again until its limit; one connection says at once what is wrong.
            let first = PgConnection::connect_with(&self.options);
            let first = tokio::time::timeout(CONNECT_LIMIT, first).await;
            let mut first = first.map_err(|_elapsed| sqlx::Error::PoolTimedOut)??;
            let mut setup = first.begin().await?;
            setup.execute(SETUP).await?;
            setup.commit().await?;
            first.close().await?;
            let pool = PgPoolOptions::new()
                .max_connections(CONNECTIONS_MAX)
                .acquire_timeout(CONNECT_LIMIT);
            Ok(pool.connect_lazy_with(self.options.clone()))
        });
        pool.await.map_err(failed)?.acquire().await.map_err(failed)
    }

    pub(crate) async fn versions(&self) -> Result<Vec<VersionEntry>> {
        let mut connection = self.connect("list", "arrowsmith.versions").await?;
        let failed = |error| refused("list", "arrowsmith.versions", error);
        let rows = connection.fetch_all(
            "select version::text, table_path, (manifest::json ->> 'size_bytes')::bigint,
                    (extract(epoch from finished_at) * 1000000)::bigint
             from arrowsmith.versions order by version",
        );
        let mut entries = Vec::new();
        for row in rows.await.map_err(failed)? {
            let version: String = row.try_get(0).map_err(failed)?;
            let Ok(version) = version.parse::<Version>() else { continue };
            let bytes: Option<i64> = row.try_get(2).map_err(failed)?;
            let micros: i64 = row.try_get(3).map_err(failed)?;
            entries.push(VersionEntry {
                table: row.try_get(1).map_err(failed)?,
                version,
                last_modified: UNIX_EPOCH + Duration::from_micros(micros.try_into().unwrap_or(0)),
                size_bytes: bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or(0),
            });
        }
        Ok(entries)
    }

    pub(crate) async fn manifest(&self, entry: &VersionEntry) -> Result<Option<StoredTable>> {
        let failed = |error| refused("read", &entry.table, error);
        let mut connection = self.connect("read", &entry.table).await?;
        let query = sqlx::query_scalar::<_, String>(
            "select manifest from arrowsmith.versions where version = $1::uuid",
        );
        let version = entry.version.to_string();
        let found = query.bind(&version).fetch_optional(&mut *connection).await.map_err(failed)?;
        let Some(found) = found else { return Ok(None) };
        serde_json::from_str(&found).map(Some).map_err(|error| Error::Damaged {
            table: entry.table.clone(),
            version,
            path: "arrowsmith.versions".to_owned(),
            reason: error.to_string(),
        })
    }

    pub(crate) async fn verify(&self, stored: &StoredTable, depth: Depth) -> Result<Vec<Damage>> {
        let failed = |error| refused("verify", &stored.table, error);
        let mut connection = self.connect("verify", &stored.table).await?;
        let relation = relation(stored.version);
        let damaged = |reason| Ok(vec![Damage { path: relation.clone(), reason }]);
        let query = sqlx::query_as::<_, (bool, Option<String>)>(
            "select to_regclass($1) is not null,
                    (select checksum::text from arrowsmith.versions where version = $2::uuid)",
        );
        let query = query.bind(&relation).bind(stored.version.to_string());
        let (is_there, sealed) = query.fetch_one(&mut *connection).await.map_err(failed)?;
        let Some(sealed) = sealed.filter(|_| is_there) else {
            return damaged("the table is missing".to_owned());
        };
        if depth == Depth::Size {
            return Ok(Vec::new());
        }
        let (_, found) = totals(&mut connection, &relation).await.map_err(failed)?;
        if found == sealed {
            return Ok(Vec::new());
        }
        damaged(format!("its checksum is {found}, not {sealed}"))
    }

    pub(crate) async fn remove(&self, entry: &VersionEntry) -> Result<u64> {
        let failed = |error| refused("remove", &entry.table, error);
        let mut connection = self.connect("remove", &entry.table).await?;
        let mut removal = connection.begin().await.map_err(failed)?;
        let version = literal(&entry.version.to_string());
        // A view that still shows it keeps it.
        let statements = format!(
            "drop table if exists {};
             delete from arrowsmith.shown where version = {version};
             delete from arrowsmith.versions where version = {version}",
            relation(entry.version)
        );
        removal.execute(sqlx::raw_sql(AssertSqlSafe(statements))).await.map_err(failed)?;
        removal.commit().await.map_err(failed)?;
        Ok(entry.size_bytes)
    }
}

/// Rows, and a sum over all of them that does not depend on their order.
pub(crate) async fn totals(
    connection: &mut PgConnection,
    relation: &str,
) -> sqlx::Result<(u64, String)> {
    let query = format!(
        "select count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text from {relation} t"
    );
    let (rows, sum): (i64, String) =
        sqlx::query_as(AssertSqlSafe(query)).fetch_one(connection).await?;
    Ok((rows.try_into().unwrap_or(0), sum))
}

/// An answer of the database, with what the caller can do about it.
pub(crate) fn refused(action: &'static str, table: &str, source: sqlx::Error) -> Error {
    let kind = match &source {
        sqlx::Error::Database(error) => match error.code().as_deref().unwrap_or_default() {
            // Values that do not fit, and constraints.
            code if code.starts_with("22") || code.starts_with("23") => ErrorKind::Data,
            // Serialization, deadlocks and locks.
            code if code.starts_with("40") || code.starts_with("55") => ErrorKind::Conflict,
            // Resources, an operator who intervenes, and connections.
            code if ["53", "57", "58", "08"].iter().any(|class| code.starts_with(class)) => {
                ErrorKind::Unavailable
            }
            _ => ErrorKind::Invalid,
        },
        sqlx::Error::Configuration(_) => ErrorKind::Invalid,
        _ => ErrorKind::Unavailable,
    };
    let source = told(&source).into();
    Error::Backend { action, table: table.to_owned(), kind, source }
}

/// The message of the database with its detail, without the name of the library.
fn told(error: &sqlx::Error) -> String {
    let sqlx::Error::Database(database) = error else { return error.to_string() };
    let detail = database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>();
    let detail = detail.and_then(|error| error.detail());
    let detail = detail.map_or(String::new(), |detail| format!(" ({detail})"));
    format!("the database says: {}{detail}", database.message())
}

fn without_secrets(url: &str) -> String {
    match Url::parse(url) {
        Ok(mut parsed) => {
            // A URL that cannot have one has none.
            let _ignored = parsed.set_password(None);
            parsed.set_query(None);
            parsed.to_string()
        }
        Err(_) => "the URL".to_owned(),
    }
}
