//! `[schedules]`, `[sensors]` and `[daemon]` of a project file.

use std::collections::BTreeMap;
use std::ops::Range;

use arrowsmith_definitions::{
    Cadence, Channel, Diagnostic, Launcher, Notification, Occasion, Operations, RetryStrategy,
    RunEnd, RunTarget, Schedule, ScheduleCadence, Secret, Sensor, TagLimit, TagValues,
};
use jiff::tz::TimeZone;
use serde_json::Value;

use crate::document::{Reader, Text};

/// `[schedules.NAME]`.
pub(crate) fn read_schedule(
    text: &Text,
    name: String,
    span: Range<usize>,
    mut reader: Reader<'_>,
) -> Result<Schedule, Vec<Diagnostic>> {
    let place = text.place(span);
    let target = read_target(&mut reader);
    let crons = read_crons(&mut reader);
    let timezone = read_timezone(&mut reader);
    let offset = reader.duration("offset");
    let latest = [("latest", true)];
    let partitioned = reader.choice("partitions", &latest).unwrap_or_default();
    let Some(target) = target else {
        reader.refuse_here(format!(
            "schedule `{name}` says neither which `job` it runs nor which `selection`"
        ));
        return Err(reader.finish());
    };
    let mut schedule = Schedule::of_partitions(name, target);
    schedule.place = Some(place);
    schedule.partitioned = partitioned || crons.is_empty();
    schedule.cadence = if crons.is_empty() {
        ScheduleCadence::Partitions { offset: offset.unwrap_or_default() }
    } else {
        if offset.is_some() {
            reader.refuse_here("`offset` is of schedules without `cron`, which follow partitions");
        }
        ScheduleCadence::Cron { crons, timezone: timezone.unwrap_or(TimeZone::UTC) }
    };
    schedule.description = reader.string("description");
    schedule.catch_up = reader.count("catch_up");
    schedule.runs_by_default = read_status(&mut reader);
    schedule.tags = read_tags(&mut reader, "tags");
    schedule.config = read_config(&mut reader);
    finished(reader, schedule)
}

/// `[sensors.NAME]`.
pub(crate) fn read_sensor(
    text: &Text,
    name: String,
    span: Range<usize>,
    mut reader: Reader<'_>,
) -> Result<Sensor, Vec<Diagnostic>> {
    let place = text.place(span);
    let target = read_target(&mut reader);
    let ends = [
        ("success", RunEnd::Success),
        ("failure", RunEnd::Failure),
        ("canceled", RunEnd::Canceled),
    ];
    let found = [
        reader.string("files").map(|files| Sensor::files(&name, files)),
        reader.string("assets").map(|selection| Sensor::asset(&name, selection)),
        reader.string("all_assets").map(|selection| Sensor::multi_asset(&name, selection)),
        reader.choice("runs", &ends).map(|end| Sensor::run_status(&name, [end])),
        read_secret(&mut reader, "webhook_secret").map(|secret| Sensor::webhook(&name, secret)),
    ];
    let jobs = reader.strings("jobs");
    let mut found = found.into_iter().flatten();
    let (Some(sensor), None) = (found.next(), found.next()) else {
        reader.refuse_here(format!(
            "sensor `{name}` looks at exactly one of `files`, `assets`, `all_assets`, `runs` and \
             `webhook_secret`"
        ));
        reader.skip(&["description", "min_interval", "default_status", "tags"]);
        return Err(reader.finish());
    };
    let mut sensor = sensor.of_jobs(jobs);
    sensor.place = Some(place);
    sensor.target = target;
    sensor.description = reader.string("description");
    if let Some(interval) = reader.duration("min_interval") {
        sensor.min_interval = interval;
    }
    sensor.runs_by_default = read_status(&mut reader);
    sensor.tags = read_tags(&mut reader, "tags");
    finished(reader, sensor)
}

fn finished<T>(reader: Reader<'_>, value: T) -> Result<T, Vec<Diagnostic>> {
    let problems = reader.finish();
    if problems.is_empty() { Ok(value) } else { Err(problems) }
}

/// `job` or `selection`.
fn read_target(reader: &mut Reader<'_>) -> Option<RunTarget> {
    let job = reader.string("job").map(RunTarget::Job);
    let selection = reader.string("selection").map(RunTarget::Assets);
    if job.is_some() && selection.is_some() {
        reader.refuse_here("it runs a `job` or a `selection`, not both");
    }
    job.or(selection)
}

fn read_crons(reader: &mut Reader<'_>) -> Vec<Cadence> {
    let mut crons = Vec::new();
    for (text, span) in reader.texts("cron") {
        match Cadence::cron(&text) {
            Ok(cron) => crons.push(cron),
            Err(message) => reader.refuse(span, message),
        }
    }
    crons
}

fn read_timezone(reader: &mut Reader<'_>) -> Option<TimeZone> {
    let (name, span) = reader.text("timezone")?;
    match TimeZone::get(&name) {
        Ok(zone) => Some(zone),
        Err(_) => {
            reader.refuse_near(span, format!("there is no time zone `{name}`"), near_zone(&name));
            None
        }
    }
}

/// The zone that was perhaps meant.
pub(crate) fn near_zone(name: &str) -> Option<String> {
    let zones: Vec<String> = jiff::tz::db().available().map(|zone| zone.to_string()).collect();
    arrowsmith_definitions::nearest(name, zones.iter().map(String::as_str)).map(str::to_owned)
}

/// Whether it runs although nobody has started it.
fn read_status(reader: &mut Reader<'_>) -> bool {
    let words = [("running", true), ("stopped", false)];
    reader.choice("default_status", &words).unwrap_or_default()
}

fn read_tags(reader: &mut Reader<'_>, key: &'static str) -> BTreeMap<String, String> {
    let mut tags = BTreeMap::new();
    let Some(mut table) = reader.table(key) else { return tags };
    for (name, span, value) in table.rest() {
        match value.as_str() {
            Some(value) => {
                tags.insert(name, value.to_owned());
            }
            None => table.refuse(span, format!("the value of tag `{name}` is not a text")),
        }
    }
    reader.problems.extend(table.finish());
    tags
}

fn read_config(reader: &mut Reader<'_>) -> Value {
    let Some(mut table) = reader.table("config") else { return Value::Null };
    let entries = table.rest().into_iter().map(|(name, _, value)| (name, value));
    let config = entries.collect();
    reader.problems.extend(table.finish());
    config
}

/// A text, or `{ env = "NAME" }`.
fn read_secret(reader: &mut Reader<'_>, key: &'static str) -> Option<Secret<String>> {
    let (value, span) = reader.value(key)?;
    match secret_of(&value, key) {
        Ok(secret) => Some(secret),
        Err(message) => {
            reader.refuse(span, message);
            None
        }
    }
}

fn secret_of(value: &Value, key: &str) -> Result<Secret<String>, String> {
    if let Some(text) = value.as_str() {
        return Ok(Secret::new(text.to_owned()));
    }
    let variable = value.get("env").and_then(Value::as_str);
    let variable =
        variable.ok_or_else(|| format!("`{key}` is a text or `{{ env = \"NAME\" }}`"))?;
    std::env::var(variable)
        .map(Secret::new)
        .map_err(|_| format!("`{key}` is in `{variable}`, which the environment lacks"))
}

/// `[daemon]`.
pub(crate) fn read_daemon(mut reader: Reader<'_>, problems: &mut Vec<Diagnostic>) -> Operations {
    let mut of = Operations::default();
    let launchers = [("subprocess", Launcher::Subprocess), ("in_process", Launcher::InProcess)];
    let strategies =
        [("from_failure", RetryStrategy::FromFailure), ("all_steps", RetryStrategy::AllSteps)];
    let as_u32 =
        |count: Option<usize>, or: u32| count.and_then(|n| n.try_into().ok()).unwrap_or(or);
    of.launcher = reader.choice("launcher", &launchers).unwrap_or_default();
    of.max_concurrent_runs = reader.count("max_concurrent_runs").unwrap_or(of.max_concurrent_runs);
    of.run_retries = as_u32(reader.count("run_retries"), of.run_retries);
    of.retry_strategy = reader.choice("retry_strategy", &strategies).unwrap_or_default();
    of.max_resumes = as_u32(reader.count("max_resumes"), of.max_resumes);
    of.run_memory_bytes = reader.bytes("run_memory_limit");
    for (key, value) in [
        ("start_timeout", &mut of.start_timeout),
        ("cancel_grace", &mut of.cancel_grace),
        ("evaluation_timeout", &mut of.evaluation_timeout),
        ("tick_retention", &mut of.tick_retention),
        ("skipped_tick_retention", &mut of.skipped_tick_retention),
        ("event_retention", &mut of.event_retention),
    ] {
        if let Some(duration) = reader.duration(key) {
            *value = duration;
        }
    }
    if let Some(mut limits) = reader.table("tag_limits") {
        for (name, span, value) in limits.rest() {
            match tag_limits(&name, &value) {
                Ok(found) => of.tag_limits.extend(found),
                Err(message) => limits.refuse(span, message),
            }
        }
        problems.extend(limits.finish());
    }
    if let Some(mut notifications) = reader.table("notifications") {
        for (name, _, table) in notifications.tables() {
            match read_notification(name, table) {
                Ok(notification) => of.notifications.push(notification),
                Err(wrong) => problems.extend(wrong),
            }
        }
        problems.extend(notifications.finish());
    }
    problems.extend(reader.finish());
    of
}

/// `NAME = 2` for all values together, `NAME = { each = 1 }`, or `NAME = { VALUE = 1, … }`.
fn tag_limits(name: &str, value: &Value) -> Result<Vec<TagLimit>, String> {
    let count = |value: &Value| {
        let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
        count.ok_or_else(|| {
            format!("the limit of tag `{name}` is a whole number, `{{ each = 1 }}`, or one a value")
        })
    };
    let limit =
        |values, of: &Value| Ok(TagLimit { name: name.to_owned(), values, limit: count(of)? });
    match value {
        Value::Object(values) => {
            let of_value = |(value, of): (&String, &Value)| match value.as_str() {
                "each" => limit(TagValues::Each, of),
                one => limit(TagValues::One(one.to_owned()), of),
            };
            values.iter().map(of_value).collect()
        }
        all => Ok(vec![limit(TagValues::Any, all)?]),
    }
}

/// `[daemon.notifications.NAME]`.
fn read_notification(
    name: String,
    mut reader: Reader<'_>,
) -> Result<Notification, Vec<Diagnostic>> {
    const MAX_PER_HOUR: u32 = 20;
    let mut on = Vec::new();
    for (word, span) in reader.texts("on") {
        match Occasion::ALL.iter().find(|(known, _)| *known == word) {
            Some((_, occasion)) => on.push(*occasion),
            None => {
                let words = Occasion::ALL.map(|(known, _)| known);
                let near = arrowsmith_definitions::nearest(&word, words).map(str::to_owned);
                reader.refuse_near(span, format!("`{word}` is no occasion"), near);
            }
        }
    }
    let (url, command) = (read_secret(&mut reader, "webhook"), reader.strings("command"));
    let mut headers = BTreeMap::new();
    if let Some(mut table) = reader.table("headers") {
        for (header, span, value) in table.rest() {
            match secret_of(&value, &header) {
                Ok(secret) => {
                    headers.insert(header, secret);
                }
                Err(message) => table.refuse(span, message),
            }
        }
        reader.problems.extend(table.finish());
    }
    let channel = match (url, command.is_empty()) {
        (Some(url), true) => Some(Channel::Webhook { url, headers }),
        (None, false) => Some(Channel::Command(command)),
        _ if !reader.problems.is_empty() => None,
        _ => {
            reader.refuse_here("a notification goes to a `webhook` or to a `command`");
            None
        }
    };
    if on.is_empty() && reader.problems.is_empty() {
        reader.refuse_here(format!("notification `{name}` does not say of what: `on`"));
    }
    let template = reader.text("template");
    if let Some((text, span)) = &template
        && let Err(error) = minijinja::Environment::new().template_from_str(text)
    {
        reader.refuse(span.clone(), format!("the template cannot be read: {error}"));
    }
    let per_hour = reader.count("max_per_hour").and_then(|n| n.try_into().ok());
    let max_per_hour = per_hour.unwrap_or(MAX_PER_HOUR);
    let template = template.map(|(text, _)| text);
    let problems = reader.finish();
    match channel {
        Some(channel) if problems.is_empty() => {
            Ok(Notification { name, on, channel, template, max_per_hour })
        }
        _ => Err(problems),
    }
}
