//! The statements of a transaction as one text, so that they cross to the database together: each
//! crossing costs as much as a dozen statements.

use std::borrow::Cow;
use std::fmt::Write;

use serde::de::DeserializeOwned;

use super::Connection;
use super::read::decode;
use crate::Result;

/// What a database understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    Sqlite,
    #[cfg_attr(not(feature = "postgres"), expect(dead_code, reason = "nothing speaks it then"))]
    Postgres,
}

/// What SQLite has under a name, and PostgreSQL under another. What PostgreSQL has not at all is made
/// by `postgres.sql`.
const RENAMED: [(&str, &str); 5] = [
    ("json_group_array(", "json_agg("),
    ("json_group_object(", "json_object_agg("),
    ("json_object(", "json_build_object("),
    ("json_array(", "json_build_array("),
    ("json(", "stored_json("),
];

/// What a connection is given: a text with one or more statements, and the values of its `$1`, `$2` …
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: String,
    pub(super) arguments: Vec<Option<String>>,
}

/// Statements that wait to be run, in order.
#[derive(Debug)]
pub(super) struct Script {
    dialect: Dialect,
    sql: String,
    arguments: Vec<Option<String>>,
}

impl Dialect {
    fn translated(self, sql: &str) -> Cow<'_, str> {
        match self {
            // A row that is taken apart need not become a text and be parsed again for that.
            Self::Sqlite if sql.contains("value->>") => {
                Cow::Owned(sql.replace("json_each(", "jsonb_each("))
            }
            Self::Sqlite => Cow::Borrowed(sql),
            Self::Postgres => {
                let renamed = |sql: String, (old, new): (&str, &str)| sql.replace(old, new);
                Cow::Owned(RENAMED.into_iter().fold(sql.to_owned(), renamed))
            }
        }
    }

    /// Takes the right to write, which one transaction has at a time.
    fn begin(self) -> &'static str {
        match self {
            Self::Sqlite => "begin immediate",
            Self::Postgres => "begin; select pg_advisory_xact_lock(hashtext(current_schema()), 1)",
        }
    }
}

impl Script {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, sql: String::new(), arguments: Vec::new() }
    }

    pub(super) fn begin(&mut self) {
        self.sql.push_str(self.dialect.begin());
    }

    /// One more statement, whose `$1`, `$2` … are these arguments.
    ///
    /// Arguments are texts; a column of numbers makes numbers of them. PostgreSQL gives arguments to
    /// single statements only and wants to know their types, so that there they are literals, which
    /// get their type from where they stand.
    pub(super) fn add<const N: usize>(&mut self, sql: &str, arguments: [Option<String>; N]) {
        let offset = self.arguments.len();
        if !self.sql.is_empty() {
            self.sql.push_str(";\n");
        }
        let sql = self.dialect.translated(sql);
        let mut parts = sql.split('$');
        self.sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            match (part[..digits].parse::<usize>(), self.dialect) {
                // Not an argument but a path into a document.
                (Err(_), _) => self.sql.push('$'),
                // Writing to a string does not fail.
                (Ok(number), Dialect::Sqlite) => drop(write!(self.sql, "${}", number + offset)),
                (Ok(number), Dialect::Postgres) => {
                    let argument = arguments.get(number.wrapping_sub(1));
                    self.sql.push_str(&literal(argument.and_then(Option::as_deref)));
                }
            }
            self.sql.push_str(&part[digits..]);
        }
        if self.dialect == Dialect::Sqlite {
            self.arguments.extend(arguments);
        }
    }

    /// What waits; nothing waits afterwards.
    pub(super) fn take(&mut self) -> Statement {
        let (sql, arguments) = (std::mem::take(&mut self.sql), std::mem::take(&mut self.arguments));
        Statement { sql, arguments }
    }

    /// Runs what waits.
    pub(super) async fn run(&mut self, connection: &mut Connection) -> Result<()> {
        connection.run(self.take()).await.map(|_| ())
    }

    /// Runs what waits and then a query for one document; returns what it says.
    pub(super) async fn ask<const N: usize, T: DeserializeOwned + Default>(
        &mut self,
        connection: &mut Connection,
        sql: &str,
        arguments: [Option<String>; N],
    ) -> Result<T> {
        self.add(sql, arguments);
        let found = connection.run(self.take()).await?;
        found.map_or_else(|| Ok(T::default()), |found| decode(&found, "an aggregate"))
    }

    /// Runs what waits and then a change; returns how many rows it changed.
    pub(super) async fn change<const N: usize>(
        &mut self,
        connection: &mut Connection,
        sql: &str,
        arguments: [Option<String>; N],
    ) -> Result<i64> {
        match self.dialect {
            Dialect::Sqlite => {
                self.add(sql, arguments);
                self.ask(connection, "select changes()", []).await
            }
            Dialect::Postgres => {
                let counted =
                    format!("with changed as ({sql} returning 1) select count(*) from changed");
                self.ask(connection, &counted, arguments).await
            }
        }
    }
}

/// A text as SQL has it, where `standard_conforming_strings` is on. PostgreSQL cannot hold a zero
/// byte, and one would end the statement.
fn literal(text: Option<&str>) -> String {
    match text {
        None => "null".to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', "''").replace('\0', "\u{fffd}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Dialect, Script};

    #[test]
    fn one_statement_is_told_in_two_dialects() {
        let sql =
            "select json_group_array(json(tags)) from runs where origin->>'$.a' = $2 and 5 = $1";
        let arguments = || [Some("5".to_owned()), Some("it's \0 $1".to_owned())];
        let told = |dialect| {
            let mut script = Script::new(dialect);
            script.add("select 1", [None]);
            script.add(sql, arguments());
            script.take()
        };
        let sqlite = told(Dialect::Sqlite);
        assert_eq!(
            sqlite.sql,
            "select 1;\nselect json_group_array(json(tags)) from runs \
             where origin->>'$.a' = $3 and 5 = $2"
        );
        assert_eq!(sqlite.arguments.len(), 3);
        let postgres = told(Dialect::Postgres);
        assert_eq!(
            postgres.sql,
            "select 1;\nselect json_agg(stored_json(tags)) from runs \
             where origin->>'$.a' = 'it''s \u{fffd} $1' and 5 = '5'"
        );
        assert!(postgres.arguments.is_empty());
    }
}
