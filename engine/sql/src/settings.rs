//! `arrowsmith.toml`: the project file.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use arrowsmith_definitions::{
    Code, Diagnostic, IoManagerSettings, Job, Limits, Operations, Schedule, Sensor,
};
use serde_json::Value;

use crate::Variables;
use crate::attributes::{read_hooks, read_retry};
use crate::document::{Reader, Text};
use crate::operations::{read_daemon, read_schedule, read_sensor};
use crate::source::{SourceSettings, read_sources};

/// What a project file says.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    pub(crate) name: Option<String>,
    pub(crate) default_io_manager: Option<String>,
    pub(crate) limits: Limits,
    pub(crate) variables: Variables,
    pub(crate) io_managers: BTreeMap<String, IoManagerSettings>,
    pub(crate) sources: Vec<SourceSettings>,
    pub(crate) jobs: Vec<Job>,
    pub(crate) schedules: Vec<Schedule>,
    pub(crate) sensors: Vec<Sensor>,
    pub(crate) operations: Option<Operations>,
}

/// Reads a project file; what is wrong in it is told, and the rest is still used.
pub(crate) fn read(file: &Arc<Path>, text: &Arc<str>, problems: &mut Vec<Diagnostic>) -> Settings {
    let document =
        Text { file: Arc::clone(file), text: Arc::clone(text), start: 0, code: Code::Project };
    let mut settings = Settings::default();
    let table = document.parse(text, problems);
    let mut reader = Reader::new(&document, "the project file", table);
    if let Some(mut project) = reader.table("project") {
        settings.name = project.string("name");
        settings.default_io_manager = project.string("io_manager");
        problems.extend(project.finish());
    }
    if let Some(mut run) = reader.table("run") {
        settings.limits = Limits {
            max_concurrent: run.count("max_concurrent"),
            memory_bytes: run.bytes("memory_limit"),
            step_timeout: run.duration("step_timeout"),
            run_timeout: run.duration("run_timeout"),
            pools: read_pools(&mut run, problems),
        };
        problems.extend(run.finish());
    }
    if let Some(mut vars) = reader.table("vars") {
        let mut declared = Vec::new();
        for (name, span, value) in vars.rest() {
            match value {
                Value::Array(_) | Value::Object(_) => vars.refuse(
                    span,
                    format!("variable `{name}` is a text, number, truth value, date or time"),
                ),
                value => declared.push((name, value)),
            }
        }
        settings.variables = Variables::new(declared);
        problems.extend(vars.finish());
    }
    if let Some(mut managers) = reader.table("io_managers") {
        for (name, _, manager) in managers.tables() {
            settings.io_managers.insert(name, read_io_manager(manager, problems));
        }
        problems.extend(managers.finish());
    }
    if let Some(mut jobs) = reader.table("jobs") {
        for (name, span, job) in jobs.tables() {
            settings.jobs.extend(read_job(&document, name, span, job, problems));
        }
        problems.extend(jobs.finish());
    }
    if let Some(mut schedules) = reader.table("schedules") {
        for (name, span, schedule) in schedules.tables() {
            match read_schedule(&document, name, span, schedule) {
                Ok(schedule) => settings.schedules.push(schedule),
                Err(wrong) => problems.extend(wrong),
            }
        }
        problems.extend(schedules.finish());
    }
    if let Some(mut sensors) = reader.table("sensors") {
        for (name, span, sensor) in sensors.tables() {
            match read_sensor(&document, name, span, sensor) {
                Ok(sensor) => settings.sensors.push(sensor),
                Err(wrong) => problems.extend(wrong),
            }
        }
        problems.extend(sensors.finish());
    }
    settings.operations = reader.table("daemon").map(|daemon| read_daemon(daemon, problems));
    if let Some(sources) = reader.table("sources") {
        settings.sources = read_sources(&document, sources, problems);
    }
    problems.extend(reader.finish());
    settings
}

/// `[jobs.NAME]`: a selection of assets under a name.
fn read_job(
    text: &Text,
    name: String,
    span: std::ops::Range<usize>,
    mut reader: Reader<'_>,
    problems: &mut Vec<Diagnostic>,
) -> Option<Job> {
    let place = text.place(span);
    let selection = reader.string("selection");
    if selection.is_none() && reader.problems.is_empty() {
        let message = format!("job `{name}` has no `selection`");
        reader.problems.push(Diagnostic::error(text.code, message).at(place.clone()));
    }
    let mut job = Job::from_assets(name, selection.clone().unwrap_or_default());
    job.place = Some(place);
    job.description = reader.string("description");
    job.max_concurrent = reader.count("max_concurrent");
    job.retry = read_retry(&mut reader);
    job.hooks = read_hooks(&mut reader);
    if let Some(mut tags) = reader.table("tags") {
        for (tag, span, value) in tags.rest() {
            match value.as_str() {
                Some(value) => {
                    job.tags.insert(tag, value.to_owned());
                }
                None => tags.refuse(span, format!("the value of tag `{tag}` is not a text")),
            }
        }
        problems.extend(tags.finish());
    }
    if let Some(mut config) = reader.table("config") {
        let entries = config.rest().into_iter().map(|(name, _, value)| (name, value));
        job.config = entries.collect();
        problems.extend(config.finish());
    }
    problems.extend(reader.finish());
    selection.map(|_| job)
}

/// `[run.pools]`: the slots of each pool.
fn read_pools(run: &mut Reader<'_>, problems: &mut Vec<Diagnostic>) -> BTreeMap<String, usize> {
    let mut pools = BTreeMap::new();
    let Some(mut table) = run.table("pools") else { return pools };
    for (name, span, value) in table.rest() {
        match value.as_u64().and_then(|slots| usize::try_from(slots).ok()).filter(|n| *n > 0) {
            Some(slots) => {
                pools.insert(name, slots);
            }
            None => {
                let message = format!("pool `{name}` has a whole number of slots above zero");
                table.refuse(span, message);
            }
        }
    }
    problems.extend(table.finish());
    pools
}

/// Everything but the named keys is an option of the manager, which knows them itself.
fn read_io_manager(mut reader: Reader<'_>, problems: &mut Vec<Diagnostic>) -> IoManagerSettings {
    let place = reader.place();
    let kind = reader.string("type").unwrap_or_else(|| "parquet".to_owned());
    let store = reader.string("store");
    let fsync = reader.boolean("fsync");
    let mut store_settings = BTreeMap::new();
    if let Some(mut settings) = reader.table("store_settings") {
        for (name, span, value) in settings.rest() {
            match value {
                Value::String(text) => {
                    store_settings.insert(name, text);
                }
                Value::Bool(_) | Value::Number(_) => {
                    store_settings.insert(name, value.to_string());
                }
                // Secrets stay out of project files: `{ env = "NAME" }` names where they are.
                Value::Object(object) if object.len() == 1 && object.contains_key("env") => {
                    let variable = object["env"].as_str().unwrap_or_default();
                    match std::env::var(variable) {
                        Ok(secret) => {
                            store_settings.insert(name, secret);
                        }
                        Err(_) => settings.refuse(
                            span,
                            format!("`{name}` is in `{variable}`, which the environment lacks"),
                        ),
                    }
                }
                _ => settings.refuse(span, format!("`{name}` is a text or `{{ env = \"NAME\" }}`")),
            }
        }
        problems.extend(settings.finish());
    }
    let options = reader.rest().into_iter().map(|(name, _, value)| (name, value)).collect();
    problems.extend(reader.finish());
    IoManagerSettings { kind, store, fsync, store_settings, options, place: Some(place) }
}
