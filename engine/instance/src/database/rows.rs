//! Rows on their way to a statement; what stands where in them, the statements in [`write`](super::write)
//! say.

use std::borrow::Cow;

use arrowsmith_io_manager::Version;
use serde::Serialize;

use crate::request::Current;
use crate::{Error, Event, NewOutput, NewVersion, Publish, Result, RunId, TimeMicros};

/// Rows for one statement, as one JSON array of arrays. A document is a value of a row as it is, which
/// becomes its text when the row is taken apart.
#[derive(Debug, Default)]
pub(super) struct Rows(Vec<u8>);

impl Rows {
    pub(super) fn push(&mut self, row: &impl Serialize) -> Result<()> {
        self.separate();
        serde_json::to_writer(&mut self.0, row).map_err(refused)
    }

    /// One event, about a run and perhaps a step and an asset.
    pub(super) fn push_event(
        &mut self,
        of: (RunId, Option<&str>, Option<&str>),
        at: TimeMicros,
        event: &Event,
    ) -> Result<()> {
        self.push_with_folded(of, at, event, &[])
    }

    /// One event, with others that come in front of it.
    fn push_with_folded(
        &mut self,
        (run, step, asset): (RunId, Option<&str>, Option<&str>),
        at: TimeMicros,
        event: &Event,
        folded: &[Cow<'_, Event>],
    ) -> Result<()> {
        let folded = (!folded.is_empty()).then_some(folded);
        self.push(&(run, step, asset, at, event.kind(), event, folded))
    }

    pub(super) fn join(&mut self, others: &Self) {
        if let Some(others) = others.0.get(1..) {
            self.separate();
            self.0.extend_from_slice(others);
        }
    }

    fn separate(&mut self) {
        self.0.push(if self.0.is_empty() { b'[' } else { b',' });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn text(mut self) -> Result<Option<String>> {
        self.0.extend_from_slice(if self.is_empty() { b"[]" } else { b"]" });
        String::from_utf8(self.0).map(Some).map_err(refused)
    }
}

/// What a publish, or many of them, brings to each table.
#[derive(Debug, Default)]
pub(crate) struct PublishRows {
    pub(super) versions: Rows,
    /// What becomes current in the place of something.
    pub(super) pointers: Rows,
    /// Which of the others are no longer current: those of an environment and an asset that are cut
    /// otherwise.
    pub(super) cuts: Rows,
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
        let (attempt, at) = (&publish.attempt, publish.at);
        let (run, step) = (attempt.run_id, attempt.step_key.as_str());
        // What began before for the same tables can no longer publish them.
        let raises = u8::from(publish.begins);
        for new in &publish.versions {
            push_version(
                &mut all.versions,
                new,
                (run, attempt.attempt_id),
                at,
                publish.duration_us,
            )?;
            let pointers = if new.keeps_others { &mut all.beside } else { &mut all.pointers };
            push_new_pointers(pointers, new, &attempt.environment, at, raises)?;
            if !new.keeps_others {
                push_cut(&mut all.cuts, (&attempt.environment, &new.asset), new.tables())?;
            }
        }
        for old in &publish.reused {
            let of = (attempt.environment.as_str(), old.asset.as_str(), old.version);
            push_pointers(&mut all.pointers, of, old.tables(), at, raises)?;
            push_cut(&mut all.cuts, (of.0, of.1), old.tables())?;
            all.pins.push(&(run, old.version))?;
        }
        for output in &publish.outputs {
            push_output(&mut all.outputs, output, publish)?;
        }
        let (id, number, version) = (attempt.attempt_id, attempt.number, attempt.version);
        all.attempts.push(&(id, run, step, number, version, attempt.at, at))?;
        let (rows, bytes) = publish.totals();
        all.steps.push(&(run, step, at, rows, bytes, attempt.at, publish.state(), number))?;
        if publish.begins {
            all.events.push_event((run, Some(step), None), attempt.at, &attempt.event())?;
        }
        let mut folded = Vec::new();
        for (asset, event) in publish.events() {
            if event.is_folded() {
                folded.push(event);
            } else {
                let of = (run, Some(step), asset);
                all.events.push_with_folded(of, at, &event, &std::mem::take(&mut folded))?;
            }
        }
        Ok(all)
    }

    pub(super) fn join(&mut self, others: &Self) {
        self.versions.join(&others.versions);
        self.pointers.join(&others.pointers);
        self.cuts.join(&others.cuts);
        self.beside.join(&others.beside);
        self.pins.join(&others.pins);
        self.outputs.join(&others.outputs);
        self.attempts.join(&others.attempts);
        self.steps.join(&others.steps);
        self.events.join(&others.events);
    }
}

pub(super) fn encode(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(refused)
}

fn refused(error: impl std::error::Error) -> Error {
    Error::Stored { what: "a request".to_owned(), reason: error.to_string() }
}

fn push_output(to: &mut Rows, output: &NewOutput, publish: &Publish) -> Result<()> {
    to.push(&(
        publish.attempt.run_id,
        &publish.attempt.step_key,
        &output.output,
        output.mapping_key.as_deref().unwrap_or_default(),
        &output.asset,
        &output.io_manager,
        publish.at,
        output.version,
        &output.metadata,
        output.stored.as_deref(),
    ))
}

pub(super) fn push_new_pointers(
    to: &mut Rows,
    new: &NewVersion,
    environment: &str,
    at: TimeMicros,
    raises: u8,
) -> Result<()> {
    push_pointers(to, (environment, &new.asset, new.stored.version), new.tables(), at, raises)
}

/// One row for each table of an environment, an asset and a version that becomes current, and by how
/// much its epoch rises with it.
fn push_pointers<'a>(
    to: &mut Rows,
    (environment, asset, version): (&str, &str, Version),
    mut tables: impl Iterator<Item = Current<'a>>,
    at: TimeMicros,
    raises: u8,
) -> Result<()> {
    tables.try_for_each(|(key, rows, bytes)| {
        to.push(&(environment, asset, key.unwrap_or_default(), version, at, rows, bytes, raises))
    })
}

/// One row for what becomes current of an environment and an asset, with the key of any of its tables:
/// all of them are pieces, or it is the only one.
fn push_cut<'a>(
    to: &mut Rows,
    (environment, asset): (&str, &str),
    mut tables: impl Iterator<Item = Current<'a>>,
) -> Result<()> {
    let Some((key, ..)) = tables.next() else { return Ok(()) };
    to.push(&(environment, asset, key.unwrap_or_default()))
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
        &new.inputs,
        &new.metadata,
        &*new.stored,
        &new.provenance,
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
        let text = |rows: Rows| rows.text().expect("text");
        assert_eq!(text(all).as_deref(), Some(r#"[[1,"a"],[2,"a"],[3,"a"]]"#));
        assert_eq!(text(of(&[])).as_deref(), Some("[]"));
    }
}
