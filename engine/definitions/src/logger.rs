//! Log lines of user code.

use serde_json::{Map, Value};
use tracing::Level;

/// The field of a log event that carries those which a user has named.
pub const USER_FIELDS: &str = "user_fields";

/// Writes lines into the log of a step.
///
/// ```
/// # fn example(context: arrowsmith_definitions::OpContext) {
/// context.log().with("rows", 3).info("the file was read");
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Logger {
    span: tracing::Span,
    fields: Map<String, Value>,
}

impl Logger {
    /// A logger whose lines belong to a span.
    pub fn new(span: tracing::Span) -> Self {
        Self { span, fields: Map::new() }
    }

    /// The logger with one more field for its lines.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.fields.insert(name.into(), value.into());
        self
    }

    /// What is of interest only while looking for a mistake.
    pub fn debug(&self, message: &str) {
        self.write(Level::DEBUG, message);
    }

    /// What went as it should.
    pub fn info(&self, message: &str) {
        self.write(Level::INFO, message);
    }

    /// What is odd, but no failure.
    pub fn warning(&self, message: &str) {
        self.write(Level::WARN, message);
    }

    /// What went wrong.
    pub fn error(&self, message: &str) {
        self.write(Level::ERROR, message);
    }

    fn write(&self, level: Level, message: &str) {
        let user_fields = if self.fields.is_empty() {
            String::new()
        } else {
            Value::Object(self.fields.clone()).to_string()
        };
        // The level of an event is part of its type, so each has its own.
        self.span.in_scope(|| match level {
            Level::ERROR => tracing::error!(target: "user", user_fields, "{message}"),
            Level::WARN => tracing::warn!(target: "user", user_fields, "{message}"),
            Level::INFO => tracing::info!(target: "user", user_fields, "{message}"),
            _ => tracing::debug!(target: "user", user_fields, "{message}"),
        });
    }
}
