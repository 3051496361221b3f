//! What is printed: data on standard output, everything else on standard error.

mod batches;
mod heat;
mod rows;

use std::error::Error;
use std::io::Write;

pub(crate) use batches::{print_batches, write_file};
pub(crate) use heat::heat_map;
pub(crate) use rows::{Rows, print_document};

use crate::Exit;

const ERROR: anstyle::Style = anstyle::AnsiColor::Red.on_default().effects(anstyle::Effects::BOLD);
const NOTE: anstyle::Style = anstyle::Style::new().effects(anstyle::Effects::BOLD);

/// A line on standard error. That nobody listens is no reason to fail.
pub(crate) fn say(text: &str) {
    drop(writeln!(anstream::stderr(), "{text}"));
}

/// A line that begins with a red `error:`.
pub(crate) fn complain(text: &str) {
    say(&format!("{ERROR}error{ERROR:#}: {text}"));
}

/// A line that begins with `note:`.
pub(crate) fn note(text: &str) {
    say(&format!("{NOTE}note{NOTE:#}: {text}"));
}

/// A line of data. A reader that has seen enough, such as `head`, ends the command well.
pub(crate) fn print(text: &str) -> Result<(), Exit> {
    written(anstream::stdout().write_all(format!("{text}\n").as_bytes()))
}

/// The end of a command whose output could not be written.
pub(crate) fn written(result: std::io::Result<()>) -> Result<(), Exit> {
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Err(Exit::Ok),
        Err(error) => {
            complain(&format!("the output cannot be written: {error}"));
            Err(Exit::Environment)
        }
    }
}

/// An error with all its causes in one line.
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        let first = cause_text.split("\n\nbacktrace:").next().unwrap_or_default().trim();
        if !text.contains(first) {
            text.push_str(": ");
            text.push_str(first);
        }
        source = cause.source();
    }
    text
}

/// `1.2 MB`
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{count} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// `1,234,567`
pub(crate) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `12 ms`, `3.4 s`, `5 m 06 s`
pub(crate) fn elapsed(duration: std::time::Duration) -> String {
    let seconds = duration.as_secs();
    if seconds >= 60 {
        return format!("{} m {:02} s", seconds / 60, seconds % 60);
    }
    if seconds >= 1 {
        return format!("{:.1} s", duration.as_secs_f64());
    }
    format!("{} ms", duration.as_millis())
}

/// A moment in UTC, to the second.
pub(crate) fn moment(micros: i64) -> String {
    let timestamp = jiff::Timestamp::from_microsecond(micros).unwrap_or_default();
    timestamp.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_shown_for_people() {
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(999), "999");
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1_234_567), "1.2 MB");
        assert_eq!(elapsed(std::time::Duration::from_millis(12)), "12 ms");
        assert_eq!(elapsed(std::time::Duration::from_secs(306)), "5 m 06 s");
    }
}
