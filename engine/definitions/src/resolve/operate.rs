//! Schedules and sensors: that their names are unique, that their targets exist, and when they tick.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::{Resolved, ResolvedSchedule};
use crate::ops::is_name;
use crate::partition::TimeWindows;
use crate::schedule::{ScheduleCadence, Ticks};
use crate::{
    AssetKey, AutomationCondition, Code, Diagnostic, JobTarget, Place, Repository, RunTarget,
    Schedule, Selection, SensorKind, nearest,
};

/// Adds the schedules and sensors of a repository to what is resolved of it.
pub(super) fn add(repository: &Repository, resolved: &mut Resolved) -> Vec<Diagnostic> {
    let mut problems = Vec::new();
    let mut seen: BTreeMap<&str, Option<&Place>> = BTreeMap::new();
    let schedules = repository.schedules.iter().map(|of| ("schedule", &of.name, &of.place));
    let sensors = repository.sensors.iter().map(|of| ("sensor", &of.name, &of.place));
    for (what, name, place) in schedules.chain(sensors) {
        if !is_name(name) {
            let message = format!("{what} `{name}` is not named by letters, digits and `_`");
            problems.push(Diagnostic::error(Code::Schedule, message).at(place.clone()));
        }
        if name == "automation" {
            let message =
                format!("{what} `{name}` has the name under which conditions of assets run");
            problems.push(Diagnostic::error(Code::Schedule, message).at(place.clone()));
        }
        if let Some(first) = seen.insert(name, place.as_ref()) {
            let message = format!("{what} `{name}` has the name of another schedule or sensor");
            problems.push(
                Diagnostic::error(Code::Schedule, message)
                    .at(place.clone())
                    .label(first.cloned(), "it is first defined here"),
            );
        }
    }
    for (key, of) in &resolved.assets {
        let selections = of.asset.automation.iter().flat_map(AutomationCondition::selections);
        let (what, place) = (format!("the condition of `{key}`"), of.asset.place.as_ref());
        problems.extend(selections.filter_map(|text| select(&what, text, place, resolved).err()));
        for other in of.asset.automation.iter().flat_map(AutomationCondition::assets) {
            if !resolved.assets.contains_key(other) {
                let names = resolved.assets.keys().map(AssetKey::as_str);
                let message = format!("{what} names `{other}`, which is no asset");
                let problem = Diagnostic::error(Code::Schedule, message).at(place.cloned());
                problems
                    .push(problem.did_you_mean(nearest(other.as_str(), names).map(str::to_owned)));
            }
        }
    }
    for schedule in &repository.schedules {
        let what = format!("schedule `{}`", schedule.name);
        let assets = target(&what, &schedule.target, schedule.place.as_ref(), resolved);
        match assets.and_then(|assets| ticks(schedule, &assets, resolved)) {
            Ok((ticks, windows)) => {
                let schedule = Arc::new(schedule.clone());
                let found = ResolvedSchedule { schedule: Arc::clone(&schedule), ticks, windows };
                resolved.schedules.insert(schedule.name.clone(), Arc::new(found));
            }
            Err(problem) => problems.push(problem),
        }
    }
    for sensor in &repository.sensors {
        let what = format!("sensor `{}`", sensor.name);
        let place = sensor.place.as_ref();
        let of_target = sensor.target.iter().map(|of| target(&what, of, place, resolved).err());
        problems.extend(of_target.flatten());
        match &sensor.kind {
            SensorKind::Assets(of) => {
                problems.extend(select(&what, &of.selection, place, resolved).err());
            }
            SensorKind::Runs(of) => {
                let of_jobs = of.jobs.iter().map(|name| job(&what, name, place, resolved).err());
                problems.extend(of_jobs.flatten());
            }
            _ => {}
        }
        let acts_alone = match &sensor.kind {
            SensorKind::Function(_) => true,
            SensorKind::Assets(of) => of.function.is_some(),
            SensorKind::Runs(of) => of.function.is_some(),
            SensorKind::Files(_) | SensorKind::Webhook { .. } => false,
        };
        if sensor.target.is_none() && !acts_alone {
            let message = format!("{what} says neither which `job` it runs nor which `selection`");
            problems.push(Diagnostic::error(Code::Schedule, message).at(sensor.place.clone()));
        }
        resolved.sensors.insert(sensor.name.clone(), Arc::new(sensor.clone()));
    }
    problems
}

/// When a schedule ticks, and of which windows.
fn ticks(
    schedule: &Schedule,
    assets: &BTreeSet<AssetKey>,
    resolved: &Resolved,
) -> Result<(Ticks, Option<TimeWindows>), Diagnostic> {
    let windows =
        if schedule.partitioned { Some(windows(schedule, assets, resolved)?) } else { None };
    let ticks = match (&schedule.cadence, &windows) {
        (ScheduleCadence::Cron { crons, timezone }, _) => Ticks::of_crons(crons, timezone),
        (ScheduleCadence::Partitions { offset }, Some(windows)) => {
            Ticks::of_windows(windows, *offset)
        }
        (ScheduleCadence::Partitions { .. }, None) => {
            let message = format!("schedule `{}` has no `cron`", schedule.name);
            return Err(Diagnostic::error(Code::Schedule, message).at(schedule.place.clone()));
        }
    };
    Ok((ticks, windows))
}

/// The windows of time of which all partitioned assets of a schedule are.
fn windows(
    schedule: &Schedule,
    assets: &BTreeSet<AssetKey>,
    resolved: &Resolved,
) -> Result<TimeWindows, Diagnostic> {
    let refuse = |message: String| {
        Err(Diagnostic::error(Code::Schedule, message)
            .at(schedule.place.clone())
            .help("choose assets that are partitioned by the same windows of time"))
    };
    let mut found: Option<(&AssetKey, &TimeWindows)> = None;
    for key in assets {
        let partitions = resolved.asset(key).and_then(|of| of.asset.partitions.as_ref());
        let Some(windows) = partitions.and_then(|of| of.windows()) else { continue };
        match found {
            Some((first, other)) if other != windows => {
                return refuse(format!(
                    "schedule `{}` is one of partitions, but those of `{first}` and `{key}` are not \
                     the same",
                    schedule.name
                ));
            }
            _ => found = Some((key, windows)),
        }
    }
    match found {
        Some((_, windows)) => Ok(windows.clone()),
        None => refuse(format!(
            "schedule `{}` is one of partitions, but none of its assets is partitioned by time",
            schedule.name
        )),
    }
}

/// The assets of a target; none of a job of ops.
fn target(
    what: &str,
    target: &RunTarget,
    place: Option<&Place>,
    resolved: &Resolved,
) -> Result<BTreeSet<AssetKey>, Diagnostic> {
    match target {
        RunTarget::Assets(selection) => select(what, selection, place, resolved),
        RunTarget::Job(name) => job(what, name, place, resolved),
    }
}

fn job(
    what: &str,
    name: &str,
    place: Option<&Place>,
    resolved: &Resolved,
) -> Result<BTreeSet<AssetKey>, Diagnostic> {
    let Some(job) = resolved.jobs.get(name) else {
        let near = nearest(name, resolved.jobs.keys().map(String::as_str)).map(str::to_owned);
        let message = format!("{what} runs `{name}`, which is no job");
        return Err(Diagnostic::error(Code::Schedule, message)
            .at(place.cloned())
            .did_you_mean(near));
    };
    match &job.target {
        JobTarget::Assets(selection) => select(what, selection, place, resolved),
        JobTarget::Graph(_) => Ok(BTreeSet::new()),
    }
}

fn select(
    what: &str,
    selection: &str,
    place: Option<&Place>,
    resolved: &Resolved,
) -> Result<BTreeSet<AssetKey>, Diagnostic> {
    let parsed = selection.parse::<Selection>().and_then(|of| of.evaluate(resolved));
    parsed.map(|keys| keys.into_iter().collect()).map_err(|error| {
        Diagnostic::error(Code::Selection, format!("the selection of {what}: {error}"))
            .at(place.cloned())
            .did_you_mean(error.nearest.clone())
            .help(error.marked(selection))
    })
}
