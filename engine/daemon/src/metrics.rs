//! Metrics in the text format of Prometheus. They are read off the instance when they are asked for, so
//! that each daemon of an instance tells the same.

use std::collections::BTreeMap;
use std::fmt::Write;

use crate::{Daemon, Result};

/// All metrics.
pub(crate) async fn text(daemon: &Daemon) -> Result<String> {
    let instance = daemon.instance();
    let mut text = String::new();
    let mut add = |name: &str, kind: &str, help: &str, values: &[(String, f64)]| {
        // Writing to a string does not fail.
        let _ = writeln!(text, "# HELP arrowsmith_{name} {help}\n# TYPE arrowsmith_{name} {kind}");
        for (labels, value) in values {
            let _ = writeln!(text, "arrowsmith_{name}{labels} {value}");
        }
    };
    let one = |label: &str, value: &str| format!("{{{label}=\"{}\"}}", escaped(value));
    let counts = instance.counts().await?;
    let values = |of: &BTreeMap<String, u64>, label: &str| {
        of.iter().map(|(value, count)| (one(label, value), *count as f64)).collect::<Vec<_>>()
    };
    add("runs", "gauge", "Runs by status.", &values(&counts.runs, "status"));
    add("steps", "gauge", "Steps by state.", &values(&counts.steps, "state"));
    add("ticks", "gauge", "Remembered ticks by status.", &values(&counts.ticks, "status"));
    add("slots", "gauge", "Slots of pools that are taken.", &values(&counts.slots, "pool"));
    let materialized = [(String::new(), counts.materializations as f64)];
    add("versions", "gauge", "Stored versions of assets.", &materialized);
    let now = daemon.now();
    let oldest = counts.oldest_queued.map_or(0.0, |at| (now - at) as f64 / 1e6);
    add("queue_age_seconds", "gauge", "How long the oldest run waits.", &[(String::new(), oldest)]);
    let seconds = |at: i64| (now - at) as f64 / 1e6;
    let duties: Vec<_> =
        daemon.duties().iter().map(|of| (one("duty", &of.duty), seconds(of.at))).collect();
    add("duty_age_seconds", "gauge", "How long ago a duty was done.", &duties);
    let failed: Vec<_> = daemon
        .duties()
        .iter()
        .map(|of| (one("duty", &of.duty), f64::from(u8::from(of.error.is_some()))))
        .collect();
    add("duty_failed", "gauge", "Whether a duty could not be done the last time.", &failed);
    let leads = f64::from(u8::from(daemon.leads()));
    add("leader", "gauge", "Whether this daemon leads.", &[(String::new(), leads)]);
    let problems = daemon.problems().map_or(0, |problems| problems.0.len()) as f64;
    add(
        "problems",
        "gauge",
        "Problems of the newest version of the repository.",
        &[(String::new(), problems)],
    );
    let fresh = instance.freshness().await?;
    let fresh: Vec<_> = fresh
        .iter()
        .map(|of| {
            let labels = format!("{{asset=\"{}\",state=\"{}\"}}", escaped(&of.asset), of.state);
            (labels, 1.0)
        })
        .collect();
    add("freshness", "gauge", "How assets stand to their freshness policies.", &fresh);
    Ok(text)
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
