//! `instance.toml` in the home: where the instance is, if it is not a file beside it.

use std::path::Path;

use toml::{Table, Value};

use crate::{Error, Result};

const FILE: &str = "instance.toml";
const SCHEMA: &str = "arrowsmith_instance";

/// `[database]`: a PostgreSQL database, in which the instance has a schema of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DatabaseSettings {
    pub(crate) url: String,
    pub(crate) schema: String,
}

impl DatabaseSettings {
    /// The settings of a home; none if it has no such file.
    ///
    /// # Errors
    /// `Home` with the place of whatever is wrong.
    pub(crate) fn read(home: &Path) -> Result<Option<Self>> {
        let path = home.join(FILE);
        let refuse = |reason: String| Error::Home { path: path.clone(), reason };
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(refuse(error.to_string())),
        };
        let table: Table = text.parse().map_err(|e: toml::de::Error| refuse(e.to_string()))?;
        Self::of(table).map_err(refuse)
    }

    fn of(mut file: Table) -> Result<Option<Self>, String> {
        let database = file.remove("database");
        only(&file, "the file", "database")?;
        let Some(database) = database else { return Ok(None) };
        let Value::Table(mut database) = database else {
            return Err("`database` is a table with `url` and `schema`".to_owned());
        };
        let url = match database.remove("url") {
            Some(Value::String(url)) => url,
            Some(Value::Table(from)) => from_environment(&from)?,
            _ => return Err("`database.url` is a text, or `{ env = \"NAME\" }`".to_owned()),
        };
        let schema = match database.remove("schema") {
            None => SCHEMA.to_owned(),
            Some(Value::String(schema)) if is_plain(&schema) => schema,
            Some(other) => {
                return Err(format!(
                    "`database.schema` is {other}, but has to be a name of small letters, digits \
                     and `_`"
                ));
            }
        };
        only(&database, "`database`", "url` and `schema")?;
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Some(Self { url, schema }));
        }
        Err("`database.url` begins with `postgres://`".to_owned())
    }

    /// The URL without what may be secret in it.
    pub(crate) fn shown(&self) -> String {
        let after = self.url.rsplit_once('@').map_or_else(
            || self.url.split_once("://").map_or("", |(_, after)| after),
            |(_, after)| after,
        );
        let place = after.split('?').next().unwrap_or_default();
        format!("postgres://{place}?schema={}", self.schema)
    }

    #[cfg(not(feature = "postgres"))]
    pub(crate) fn unsupported(&self) -> Error {
        let source = "this program was built without the feature `postgres`".into();
        Error::Unreachable { database: self.shown(), source: sqlx::Error::Configuration(source) }
    }
}

fn from_environment(from: &Table) -> Result<String, String> {
    let Some(name) = from.get("env").and_then(Value::as_str).filter(|_| from.len() == 1) else {
        return Err("`database.url` is a text, or `{ env = \"NAME\" }`".to_owned());
    };
    std::env::var(name).map_err(|_| {
        format!("`database.url` is that of the environment variable `{name}`, which is not set")
    })
}

/// Refuses what nobody has taken out of a table.
fn only(rest: &Table, whose: &str, known: &str) -> Result<(), String> {
    match rest.keys().next() {
        Some(key) => Err(format!("{whose} has no `{key}`, only `{known}`")),
        None => Ok(()),
    }
}

fn is_plain(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b == b'_';
    name.len() <= 63
        && name.bytes().next().is_some_and(plain)
        && name.bytes().all(|b| plain(b) || b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::DatabaseSettings;

    fn read(text: &str) -> Result<Option<(String, String)>, String> {
        let settings = DatabaseSettings::of(text.parse().expect("TOML"))?;
        Ok(settings.map(|of| (of.url, of.schema)))
    }

    #[test]
    fn the_database_of_a_home() {
        let some = |url: &str, schema: &str| Ok(Some((url.to_owned(), schema.to_owned())));
        assert_eq!(read(""), Ok(None));
        assert_eq!(
            read("[database]\nurl = 'postgres://db/x'"),
            some("postgres://db/x", "arrowsmith_instance")
        );
        assert_eq!(
            read("[database]\nurl = 'postgresql://db'\nschema = 'shop_2'"),
            some("postgresql://db", "shop_2")
        );
        for (text, problem) in [
            ("databse = 1", "the file has no `databse`, only `database`"),
            ("[database]\nurl = 'mysql://x'", "`database.url` begins with `postgres://`"),
            ("[database]\nurl = 5", "`database.url` is a text, or `{ env = \"NAME\" }`"),
            (
                "[database]\nurl = { env = 'ARROWSMITH_NOT_SET' }",
                "`database.url` is that of the environment variable `ARROWSMITH_NOT_SET`, which is not set",
            ),
            (
                "[database]\nurl = 'postgres://x'\nuser = 'me'",
                "`database` has no `user`, only `url` and `schema`",
            ),
            (
                "[database]\nurl = 'postgres://x'\nschema = 'a-b'",
                "`database.schema` is \"a-b\", but has to be a name of small letters, digits and `_`",
            ),
        ] {
            assert_eq!(read(text), Err(problem.to_owned()));
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let url = "postgres://me:CANARY@db.example.com:5432/x?sslkey=CANARY".to_owned();
        let shown = DatabaseSettings { url, schema: "s".to_owned() }.shown();
        assert_eq!(shown, "postgres://db.example.com:5432/x?schema=s");
    }
}
