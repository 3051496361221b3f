//! Schedules: each tick that is due becomes a tick in the instance, with its runs.

use std::collections::HashMap;
use std::sync::Arc;

use arrowsmith_definitions::{
    ResolvedSchedule, RunRequest, ScheduleContext, TickResult, TimeWindows,
};
use arrowsmith_execution::Engine;
use arrowsmith_instance::{InstigatorRecord, Leader, NewTick, SetInstigator, TickStatus, Ticked};
use jiff::Timestamp;

use crate::duties::guarded;
use crate::request::{Asker, exactly, near};
use crate::{Daemon, Error, Result};

/// What a schedule is called in the instance.
pub(crate) fn instigator(name: &str) -> String {
    format!("schedule:{name}")
}

impl Daemon {
    /// Does the ticks of all schedules that are due by now; how many there were.
    ///
    /// A tick and its runs are one transaction. Of ticks that were missed, only as many are made up for
    /// as the schedule says.
    ///
    /// # Errors
    /// Of the instance; what is wrong with a schedule is told by its tick.
    pub async fn tick_schedules(&self) -> Result<usize> {
        let (Some(engine), Some(leader)) = (self.engine(), self.leader()) else { return Ok(0) };
        let known = self.instigators().await?;
        let mut done = 0;
        for schedule in engine.resolved.schedules.values() {
            let name = instigator(&schedule.schedule.name);
            let Some(record) = known.get(&name) else {
                let now = self.now();
                self.shared.instance.set_instigator(&name, SetInstigator::Meet, now).await?;
                continue;
            };
            if !record.is_running.unwrap_or(schedule.schedule.runs_by_default) {
                continue;
            }
            for tick in self.due(schedule, record) {
                match self.tick_schedule(&engine, schedule, tick, leader).await? {
                    Ticked::NotLeader => return Ok(done),
                    Ticked::Before | Ticked::Yes { .. } => done += 1,
                }
            }
        }
        Ok(done)
    }

    pub(crate) async fn instigators(&self) -> Result<HashMap<String, InstigatorRecord>> {
        let known = self.shared.instance.instigators().await?;
        Ok(known.into_iter().map(|record| (record.name.clone(), record)).collect())
    }

    fn due(&self, schedule: &ResolvedSchedule, record: &InstigatorRecord) -> Vec<Timestamp> {
        let now = self.now();
        if now <= record.ticked_until {
            return Vec::new();
        }
        let ends = [record.ticked_until, now].map(Timestamp::from_microsecond);
        let [Ok(after), Ok(until)] = ends else { return Vec::new() };
        schedule.ticks.last(after, until, schedule.schedule.catches_up())
    }

    async fn tick_schedule(
        &self,
        engine: &Arc<Engine>,
        schedule: &ResolvedSchedule,
        at: Timestamp,
        leader: Leader,
    ) -> Result<Ticked> {
        let name = instigator(&schedule.schedule.name);
        let (began_at, scheduled_at) = (self.now(), at.as_microsecond());
        let evaluated = evaluate(engine, schedule, at).await;
        let runs = evaluated.and_then(|result| {
            let asker = Asker {
                instigator: &name,
                target: Some(&schedule.schedule.target),
                tags: &schedule.schedule.tags,
                at: scheduled_at,
            };
            let runs = asker.runs(engine, result.run_requests, began_at)?;
            Ok((runs, result.skip_reason))
        });
        let (status, runs, reason) = match runs {
            Ok((runs, reason)) if runs.is_empty() => (TickStatus::Skipped, runs, reason),
            Ok((runs, _)) => (TickStatus::Success, runs, None),
            Err(error) => (TickStatus::Failure, Vec::new(), Some(error)),
        };
        let tick = NewTick {
            instigator: name,
            scheduled_at,
            began_at,
            ended_at: self.now(),
            status,
            reason,
            cursor: None,
            runs,
            add_partitions: Vec::new(),
            remove_partitions: Vec::new(),
            conditions: Vec::new(),
        };
        Ok(self.shared.instance.tick(tick, Some(leader)).await?)
    }

    /// What a schedule would ask for at its next tick, which stays undone.
    ///
    /// # Errors
    /// `Unknown`.
    pub async fn preview_schedule(
        engine: &Arc<Engine>,
        name: &str,
        at: Timestamp,
    ) -> Result<Result<TickResult, String>> {
        let schedules = &engine.resolved.schedules;
        let schedule = schedules.get(name).ok_or_else(|| Error::Unknown {
            what: "schedule",
            name: name.to_owned(),
            nearest: near(name, schedules.keys()),
        })?;
        Ok(evaluate(engine, schedule, at).await)
    }
}

/// What a schedule asks for at a tick.
async fn evaluate(
    engine: &Arc<Engine>,
    resolved: &ResolvedSchedule,
    at: Timestamp,
) -> Result<TickResult, String> {
    let schedule = &resolved.schedule;
    let partition_key = match &resolved.windows {
        Some(windows) => match newest(windows, at) {
            Some(key) => Some(key),
            None => return Ok(TickResult::skip("no partition has ended yet")),
        },
        None => None,
    };
    let mut result = match &schedule.function {
        Some(function) => {
            let context =
                ScheduleContext { scheduled_at: at, partition_key: partition_key.clone() };
            let limit = engine.resolved.operations.evaluation_timeout;
            guarded(function(context), limit, engine.clock()).await?
        }
        None => RunRequest::new().into(),
    };
    for request in &mut result.run_requests {
        if request.config.is_null() && request.target.is_none() {
            request.config = schedule.config.clone();
        }
        if request.partitions.is_none() {
            request.partitions = partition_key.as_deref().map(exactly);
        }
    }
    Ok(result)
}

/// The key of the newest window that has ended.
fn newest(windows: &TimeWindows, at: Timestamp) -> Option<String> {
    windows.windows(at).last().map(|window| windows.key(window.start))
}
