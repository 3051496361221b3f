//! A run as it goes on: live lines on a terminal, one line an event elsewhere.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use arrowsmith_execution::{Counters, Observer, Progress};
use arrowsmith_instance::StepState;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::{bytes, count, elapsed, say};

/// How often live lines are redrawn.
const TICK: Duration = Duration::from_millis(100);

/// The observer that suits where standard error goes.
pub(crate) fn observer(quiet: bool) -> Arc<dyn Observer> {
    if !quiet && std::io::stderr().is_terminal() {
        Arc::new(Live::new())
    } else {
        Arc::new(Plain { quiet })
    }
}

fn style(state: StepState) -> (Style, &'static str) {
    match state {
        StepState::Success => (AnsiColor::Green.on_default(), "ok"),
        StepState::Failure => (AnsiColor::Red.on_default().bold(), "failed"),
        StepState::Reused => (AnsiColor::Cyan.on_default(), "reused"),
        StepState::Confirmed => (AnsiColor::Cyan.on_default(), "fresh"),
        StepState::Skipped => (AnsiColor::Yellow.on_default(), "skipped"),
        StepState::Canceled => (AnsiColor::Yellow.on_default(), "canceled"),
        _ => (Style::new(), "…"),
    }
}

/// The line of a step that has ended.
fn ended(
    step: &str,
    state: StepState,
    size: (u64, u64),
    took: Duration,
    reason: Option<&str>,
) -> String {
    let (style, word) = style(state);
    let mut line = format!("{style}{word:>8}{style:#}  {step}");
    if matches!(state, StepState::Success | StepState::Reused) {
        let (rows, size) = (count(size.0), bytes(size.1));
        line.push_str(&format!("  {rows} rows  {size}  {}", elapsed(took)));
    } else if let Some(reason) = reason {
        line.push_str(&format!(": {reason}"));
    }
    line
}

/// The line of what went wrong beside a step that has succeeded.
fn warned(step: &str, warning: &str) -> String {
    format!(" warning  {step}: {warning}")
}

/// One line an event.
#[derive(Debug)]
struct Plain {
    quiet: bool,
}

impl Observer for Plain {
    fn notice(&self, progress: Progress) {
        match progress {
            Progress::StepEnded { step, state, rows, bytes, elapsed, reason }
                if (!self.quiet || state == StepState::Failure) =>
            {
                say(&ended(&step, state, (rows, bytes), elapsed, reason.as_deref()));
            }
            _ if self.quiet => {}
            Progress::RunStarted { run_id, steps } => {
                say(&format!("run {} with {steps} steps", run_id.short()));
            }
            Progress::StepStarted { step, attempt, .. } if attempt > 1 => {
                say(&format!("   retry  {step}, attempt {attempt}"));
            }
            Progress::StepStarted { step, .. } => say(&format!("   start  {step}")),
            Progress::StepRetrying { step, error, wait } => {
                say(&format!("   retry  {step} in {}: {error}", elapsed(wait)));
            }
            Progress::StepWarned { step, warning } => say(&warned(&step, &warning)),
            Progress::Stopping { reason } => say(&format!("stopping: {reason}")),
            _ => {}
        }
    }
}

/// A line for each running step, above a bar for the run.
#[derive(Debug)]
struct Live {
    screen: MultiProgress,
    run: ProgressBar,
    steps: Mutex<BTreeMap<String, (ProgressBar, Arc<Counters>)>>,
}

impl Live {
    fn new() -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        let run = screen.add(ProgressBar::new(0));
        let bar = ProgressStyle::with_template("{bar:30} {pos}/{len} steps  {elapsed}");
        run.set_style(bar.unwrap_or_else(|_| ProgressStyle::default_bar()));
        run.enable_steady_tick(TICK);
        Self { screen, run, steps: Mutex::default() }
    }

    fn line(&self, text: &str) {
        // Colour is decided here, since the bars print past `anstream`.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|v| !v.is_empty());
        let text =
            if plain { anstream::adapter::strip_str(text).to_string() } else { text.to_owned() };
        drop(self.screen.println(text));
    }
}

impl Observer for Live {
    fn notice(&self, progress: Progress) {
        let mut steps = self.steps.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::RunStarted { steps, .. } => self.run.set_length(steps as u64),
            Progress::StepStarted { step, attempt, counters } => {
                let bar = self.screen.insert_before(&self.run, ProgressBar::new_spinner());
                let rows = Arc::clone(&counters);
                let style = ProgressStyle::with_template("{spinner} {msg}  {rows}  {elapsed}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner())
                    .with_key(
                        "rows",
                        move |_: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
                            out.write_str(&format!("{} rows", count(rows.rows())))
                                .unwrap_or_default();
                        },
                    );
                bar.set_style(style);
                let again =
                    if attempt > 1 { format!(" (attempt {attempt})") } else { String::new() };
                bar.set_message(format!("{step}{again}"));
                bar.enable_steady_tick(TICK);
                if let Some((old, _)) = steps.insert(step, (bar, counters)) {
                    old.finish_and_clear();
                }
            }
            Progress::StepRetrying { step, error, wait } => {
                self.line(&format!("   retry  {step} in {}: {error}", elapsed(wait)));
            }
            Progress::StepEnded { step, state, rows, bytes, elapsed, reason } => {
                if let Some((bar, _)) = steps.remove(&step) {
                    bar.finish_and_clear();
                }
                self.line(&ended(&step, state, (rows, bytes), elapsed, reason.as_deref()));
                self.run.inc(1);
            }
            Progress::StepWarned { step, warning } => self.line(&warned(&step, &warning)),
            Progress::Stopping { reason } => self.line(&format!("stopping: {reason}")),
            Progress::RunEnded { .. } => self.run.finish_and_clear(),
            _ => {}
        }
    }
}
