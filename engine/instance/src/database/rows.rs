//! Rows on their way to a statement; what stands where in them, the statements in [`write`](super::write)
//! say.

use arrowsmith_io_manager::Version;
use serde::Serialize;

use crate::request::Current;
use crate::{Error, Event, NewOutput, NewVersion, Publish, Result, RunId, TimeMicros};

/// Rows for one statement, as one JSON array of arrays.
#[derive(Debug, Default)]
pub(super) struct Rows(String);

impl Rows {
    pub(super) fn push(&mut self, row: &impl Serialize) -> Result<()> {
        self.push_text(&encode(row)?);
        Ok(())
    }

    /// One event, about a run and perhaps a step and an asset.
    pub(super) fn push_event(
        &mut self,
        (run, step, asset): (RunId, Option<&str>, Option<&str>),
        at: TimeMicros,
        event: &Event,
    ) -> Result<()> {
        self.push(&(run, step, asset, at, event.kind(), encode(event)?))
    }

    pub(super) fn join(&mut self, others: &Self) {
        if let Some(others) = others.0.strip_prefix('[') {
            self.push_text(others);
        }
    }

    fn push_text(&mut self, rows: &str) {
        self.0.push(if self.0.is_empty() { '[' } else { ',' });
        self.0.push_str(rows);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn text(mut self) -> Option<String> {
        self.0.push_str(if self.is_empty() { "[]" } else { "]" });
        Some(self.0)
    }
}

/// What a publish, or many of them, brings to each table.
#[derive(Debug, Default)]
pub(crate) struct PublishRows {
    pub(super) versions: Rows,
    /// What becomes current in the place of something.
    pub(super) pointers: Rows,
    /// What becomes current beside whatever is.
    pub(super) beside: Rows,
    pub(super) pins: Rows,
    pub(super) outputs: Rows,
    pub(super) attempts: Rows,
    pub(super) steps: Rows,
    pub(super) events: Rows,
}

impl PublishRows {
    pub(crate) fn of(publish: &Publish) -> Result<Self> {
        let mut all = Self::default();
        let (run, step, at) = (publish.run_id, publish.step_key.as_str(), publish.at);
        for new in &publish.versions {
            push_version(
                &mut all.versions,
                new,
                (run, publish.attempt_id),
                at,
                publish.duration_us,
            )?;
            let pointers = if new.keeps_others { &mut all.beside } else { &mut all.pointers };
            push_new_pointers(pointers, new, &publish.environment, at)?;
        }
        for old in &publish.reused {
            let of = (publish.environment.as_str(), old.asset.as_str(), old.version);
            push_pointers(&mut all.pointers, of, old.tables(), at)?;
            all.pins.push(&(run, old.version))?;
        }
        for output in &publish.outputs {
            push_output(&mut all.outputs, output, publish)?;
        }
        all.attempts.push(&(publish.attempt_id, at))?;
        let (started, (rows, bytes)) = (publish.started_at, publish.totals());
        all.steps.push(&(run, step, at, rows, bytes, started, publish.state()))?;
        for (asset, event) in publish.events() {
            all.events.push_event((run, Some(step), asset), at, &event)?;
        }
        Ok(all)
    }

    pub(super) fn join(&mut self, others: &Self) {
        self.versions.join(&others.versions);
        self.pointers.join(&others.pointers);
        self.beside.join(&others.beside);
        self.pins.join(&others.pins);
        self.outputs.join(&others.outputs);
        self.attempts.join(&others.attempts);
        self.steps.join(&others.steps);
        self.events.join(&others.events);
    }
}

pub(super) fn encode(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| Error::Stored { what: "a request".to_owned(), reason: e.to_string() })
}

fn push_output(to: &mut Rows, output: &NewOutput, publish: &Publish) -> Result<()> {
    to.push(&(
        publish.run_id,
        &publish.step_key,
        &output.output,
        output.mapping_key.as_deref().unwrap_or_default(),
        &output.asset,
        &output.io_manager,
        publish.at,
        output.version,
        encode(&output.metadata)?,
        output.stored.as_deref().map(encode).transpose()?,
    ))
}

pub(super) fn push_new_pointers(
    to: &mut Rows,
    new: &NewVersion,
    environment: &str,
    at: TimeMicros,
) -> Result<()> {
    push_pointers(to, (environment, &new.asset, new.stored.version), new.tables(), at)
}

/// One row for each table of an environment, an asset and a version that becomes current.
fn push_pointers<'a>(
    to: &mut Rows,
    (environment, asset, version): (&str, &str, Version),
    mut tables: impl Iterator<Item = Current<'a>>,
    at: TimeMicros,
) -> Result<()> {
    tables.try_for_each(|(key, rows, bytes)| {
        to.push(&(environment, asset, key.unwrap_or_default(), version, at, rows, bytes))
    })
}

/// One row, which the attempt of a run has made.
pub(super) fn push_version(
    to: &mut Rows,
    new: &NewVersion,
    (run, attempt): (impl Serialize, impl Serialize),
    at: TimeMicros,
    duration_us: u64,
) -> Result<()> {
    to.push(&(
        new.stored.version,
        &new.asset,
        run,
        attempt,
        &new.io_manager,
        at,
        duration_us,
        new.stored.row_count,
        new.stored.size_bytes,
        &new.code_version,
        encode(&new.inputs)?,
        encode(&new.metadata)?,
        encode(&*new.stored)?,
        new.provenance.as_ref().map(encode).transpose()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::Rows;

    #[test]
    fn rows_are_one_array_whichever_way_they_came() {
        let of = |numbers: &[u8]| {
            let mut rows = Rows::default();
            for number in numbers {
                rows.push(&(number, "a")).expect("a row");
            }
            rows
        };
        let mut all = of(&[]);
        for some in [&[][..], &[1], &[2, 3], &[]] {
            all.join(&of(some));
        }
        assert_eq!(all.text().as_deref(), Some(r#"[[1,"a"],[2,"a"],[3,"a"]]"#));
        assert_eq!(of(&[]).text().as_deref(), Some("[]"));
    }
}
