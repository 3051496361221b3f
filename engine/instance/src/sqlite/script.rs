//! The statements of a transaction as one text, so that they cross to the thread of the database
//! together: each crossing costs as much as a dozen statements.

use std::fmt::Write;

use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::Result;

/// Statements that wait to be run, in order.
#[derive(Debug, Default)]
pub(super) struct Script {
    sql: String,
    arguments: Vec<Option<String>>,
}

impl Script {
    /// One more statement, whose `$1`, `$2` … are these arguments.
    ///
    /// Arguments are texts; a column of numbers makes numbers of them.
    pub(super) fn add<const N: usize>(&mut self, sql: &str, arguments: [Option<String>; N]) {
        let offset = self.arguments.len();
        if !self.sql.is_empty() {
            self.sql.push_str(";\n");
        }
        let mut parts = sql.split('$');
        self.sql.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let number: usize = part[..digits].parse().unwrap_or(0);
            // Writing to a string does not fail.
            let _ = write!(self.sql, "${}{}", number + offset, &part[digits..]);
        }
        self.arguments.extend(arguments);
    }

    /// Runs what waits.
    pub(super) async fn run(&mut self, connection: &mut SqliteConnection) -> Result<()> {
        let Self { sql, arguments } = std::mem::take(self);
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for argument in arguments {
            query = query.bind(argument);
        }
        query.execute(connection).await?;
        Ok(())
    }

    /// Runs what waits and then a query, which has one row; returns the row.
    pub(super) async fn row<const N: usize>(
        &mut self,
        connection: &mut SqliteConnection,
        sql: &str,
        arguments: [Option<String>; N],
    ) -> Result<SqliteRow> {
        self.add(sql, arguments);
        let Self { sql, arguments } = std::mem::take(self);
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql));
        for argument in arguments {
            query = query.bind(argument);
        }
        Ok(query.fetch_one(connection).await?)
    }

    /// Runs what waits and then a change; returns how many rows it changed.
    pub(super) async fn change<const N: usize>(
        &mut self,
        connection: &mut SqliteConnection,
        sql: &str,
        arguments: [Option<String>; N],
    ) -> Result<i64> {
        self.add(sql, arguments);
        Ok(self.row(connection, "select changes()", []).await?.get(0))
    }
}
