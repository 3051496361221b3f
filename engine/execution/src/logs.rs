//! Log lines of runs: what is traced inside a run goes into its own file.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use arrowsmith_definitions::USER_FIELDS;
use arrowsmith_instance::{RunId, TimeMicros};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing::{Event, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::LookupSpan;

use crate::{Clock, SystemClock};

/// A `tracing` layer that writes each line of a run into the run's file, one JSON object a line.
///
/// A line belongs to the run and step of the spans around it; lines outside of a run are not its
/// business. Clones share the open files.
#[derive(Debug, Clone, Default)]
pub struct RunLogs {
    files: Arc<Mutex<HashMap<String, File>>>,
}

/// One line of the log of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogLine {
    /// When it was written, in microseconds since 1970-01-01 UTC.
    pub at: TimeMicros,
    /// `ERROR`, `WARN`, `INFO`, `DEBUG` or `TRACE`.
    pub level: String,
    /// The step, if it came from one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The module that wrote it.
    pub target: String,
    /// The message.
    pub message: String,
    /// Everything else.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

impl RunLogs {
    pub(crate) fn open(&self, run_id: RunId, path: &Path) {
        match File::options().create(true).append(true).open(path) {
            Ok(file) => {
                drop(self.lock().insert(run_id.to_string(), file));
            }
            Err(error) => tracing::warn!(%error, path = %path.display(), "no log file"),
        }
    }

    pub(crate) fn close(&self, run_id: RunId) {
        drop(self.lock().remove(&run_id.to_string()));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, File>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lines of a file, oldest first; one that was cut off by a crash is left out.
    ///
    /// # Errors
    /// If the file cannot be read; one that does not exist has no lines.
    pub fn read(path: &Path) -> std::io::Result<Vec<LogLine>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut lines = Vec::new();
        for line in BufReader::new(file).lines() {
            lines.extend(serde_json::from_str::<LogLine>(&line?).ok());
        }
        Ok(lines)
    }
}

/// The fields of a span that say where its lines belong.
#[derive(Debug, Default)]
struct Belongs {
    run: Option<String>,
    step: Option<String>,
}

impl Visit for Belongs {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let slot = match field.name() {
            "run_id" => &mut self.run,
            "step" => &mut self.step,
            _ => return,
        };
        *slot = Some(format!("{value:?}"));
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    rest: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        if field.name() == "message" {
            self.message = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        } else {
            self.rest.insert(field.name().to_owned(), value);
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.put(field, Value::from(format!("{value:?}")));
    }
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == USER_FIELDS {
            // Fields that a user has named stand beside the others.
            let named = serde_json::from_str::<Map<String, Value>>(value);
            self.rest.extend(named.unwrap_or_default());
            return;
        }
        self.put(field, Value::from(value));
    }
    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, Value::from(value));
    }
    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, Value::from(value));
    }
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, Value::from(value));
    }
    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, Value::from(value));
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for RunLogs {
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut belongs = Belongs::default();
        attributes.record(&mut belongs);
        if let Some(span) = context.span(id)
            && (belongs.run.is_some() || belongs.step.is_some())
        {
            span.extensions_mut().insert(belongs);
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let (mut run, mut step) = (None, None);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(belongs) = span.extensions().get::<Belongs>() {
                run = run.or_else(|| belongs.run.clone());
                step = step.or_else(|| belongs.step.clone());
            }
        }
        let Some(run) = run else { return };
        // The line is complete before the files are locked: showing a field may itself trace.
        let mut fields = Fields::default();
        event.record(&mut fields);
        let line = LogLine {
            at: SystemClock.now(),
            level: event.metadata().level().to_string(),
            step,
            target: event.metadata().target().to_owned(),
            message: fields.message,
            fields: fields.rest,
        };
        let Ok(mut text) = serde_json::to_vec(&line) else { return };
        text.push(b'\n');
        if let Some(file) = self.lock().get_mut(&run) {
            // A log that cannot be written must not fail the run that it tells of.
            drop(file.write_all(&text));
        }
    }
}
