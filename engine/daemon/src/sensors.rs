//! Sensors: what one of them has seen becomes a tick in the instance, with its runs and its cursor.

mod assets;
mod files;
mod runs;

use std::collections::HashMap;
use std::sync::Arc;

use arrowsmith_definitions::{RunRequest, Sensor, SensorContext, SensorKind, SensorResult};
use arrowsmith_execution::Engine;
use arrowsmith_instance::{
    Instance, InstigatorRecord, Leader, NewTick, SetInstigator, TickStatus, Ticked, TimeMicros,
};
use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;

use crate::duties::guarded;
use crate::happenings::InstanceHappenings;
use crate::lead::micros;
use crate::request::{Asker, near};
use crate::{Daemon, Error, Result};

/// Ticks that ask for nothing, as the one before, are remembered no more often than this.
const SKIPS_EVERY: i64 = 15 * 60 * 1_000_000;

/// How many calls of a webhook may come within the same microsecond.
const CALLS_AT_ONCE: usize = 100;

/// What a sensor is called in the instance.
pub(crate) fn instigator(name: &str) -> String {
    format!("sensor:{name}")
}

/// Which part of the instance and of the world a sensor sees.
#[derive(Debug)]
struct Sighting<'a> {
    engine: &'a Arc<Engine>,
    sensor: &'a Sensor,
    cursor: Option<String>,
    payload: Option<Value>,
}

impl Daemon {
    /// Looks at all sensors that are due by now; how many there were.
    ///
    /// # Errors
    /// Of the instance; what is wrong with a sensor is told by its tick.
    pub async fn tick_sensors(&self) -> Result<usize> {
        let due = self.due_sensors().await?;
        let ticks = due.iter().map(|name| self.tick_sensor(name, None));
        let ticked = join_all(ticks).await;
        let count = ticked.len();
        ticked.into_iter().collect::<Result<Vec<_>>>()?;
        Ok(count)
    }

    /// Looks at all sensors that are due, each in a task of its own, so that a slow one holds up none.
    pub(crate) async fn look_at_sensors(&self) -> Result<()> {
        for name in self.due_sensors().await? {
            if !self.state().looking.insert(name.clone()) {
                continue;
            }
            let daemon = self.clone();
            tokio::spawn(async move {
                if let Err(error) = daemon.tick_sensor(&name, None).await {
                    tracing::error!(sensor = name, %error, "a sensor could not be looked at");
                }
                daemon.state().looking.remove(&name);
            });
        }
        Ok(())
    }

    /// The names of sensors that are due by now. One that is met for the first time sees what happens
    /// from now on.
    pub(crate) async fn due_sensors(&self) -> Result<Vec<String>> {
        let (Some(engine), Some(_)) = (self.engine(), self.leader()) else { return Ok(Vec::new()) };
        let known = self.instigators().await?;
        let (now, mut due) = (self.now(), Vec::new());
        for sensor in engine.resolved.sensors.values() {
            let name = instigator(&sensor.name);
            if !is_running(&known, sensor) || matches!(sensor.kind, SensorKind::Webhook { .. }) {
                continue;
            }
            if !known.contains_key(&name) {
                self.shared.instance.set_instigator(&name, SetInstigator::Meet, now).await?;
            }
            let looked_at = self.state().looked_at.get(&sensor.name).copied();
            let is_over =
                |last: TimeMicros| now - last >= micros(sensor.min_interval) || now < last;
            if looked_at.is_none_or(is_over) {
                due.push(sensor.name.clone());
            }
        }
        Ok(due)
    }

    /// Looks at a sensor, whenever it was looked at last.
    ///
    /// # Errors
    /// `Unknown`; of the instance.
    pub async fn tick_sensor(&self, name: &str, payload: Option<Value>) -> Result<Option<Ticked>> {
        let (Some(engine), Some(leader)) = (self.engine(), self.leader()) else { return Ok(None) };
        let sensor = Arc::clone(find(&engine, name)?);
        let began_at = self.now();
        self.state().looked_at.insert(name.to_owned(), began_at);
        let mut known = self.instigators().await?;
        let record = known.remove(&instigator(name));
        let cursor = record.as_ref().and_then(|record| record.cursor.clone());
        let sighting = Sighting { engine: &engine, sensor: &sensor, cursor, payload };
        let seen = sighting.evaluate().await;
        self.remember(&engine, &sensor, record, seen, (began_at, leader)).await
    }

    async fn remember(
        &self,
        engine: &Engine,
        sensor: &Sensor,
        record: Option<InstigatorRecord>,
        seen: Result<SensorResult, String>,
        (began_at, leader): (TimeMicros, Leader),
    ) -> Result<Option<Ticked>> {
        let name = instigator(&sensor.name);
        // Two looks within a microsecond are two looks.
        let scheduled_at =
            began_at.max(record.as_ref().map_or(began_at, |record| record.ticked_until + 1));
        let mut tick = NewTick {
            instigator: name.clone(),
            scheduled_at,
            began_at,
            ended_at: self.now(),
            status: TickStatus::Failure,
            reason: None,
            cursor: None,
            runs: Vec::new(),
            add_partitions: Vec::new(),
            remove_partitions: Vec::new(),
            conditions: Vec::new(),
        };
        let runs = seen.and_then(|seen| {
            let (target, tags) = (sensor.target.as_ref(), &sensor.tags);
            let asker = Asker { instigator: &name, target, tags, at: scheduled_at };
            Ok((asker.runs(engine, seen.run_requests.clone(), began_at)?, seen))
        });
        match runs {
            Ok((runs, seen)) => {
                let is_empty = runs.is_empty() && seen.add_partitions.is_empty();
                tick.status = if is_empty { TickStatus::Skipped } else { TickStatus::Success };
                tick.reason = seen.skip_reason;
                tick.cursor = seen.cursor;
                tick.runs = runs;
                tick.add_partitions = seen.add_partitions;
                tick.remove_partitions = seen.remove_partitions;
            }
            Err(error) => tick.reason = Some(error),
        }
        let is_same = tick.cursor.is_none()
            || tick.cursor == record.as_ref().and_then(|record| record.cursor.clone());
        if tick.status == TickStatus::Skipped && is_same && tick.remove_partitions.is_empty() {
            let last = self.shared.instance.ticks(&name, 1).await?.pop();
            if last.is_some_and(|last| {
                last.status == TickStatus::Skipped
                    && last.reason == tick.reason
                    && began_at - last.ended_at < SKIPS_EVERY
            }) {
                return Ok(None);
            }
        }
        // Two calls of a webhook may come at the same moment.
        for _ in 0..CALLS_AT_ONCE {
            match self.shared.instance.tick(tick.clone(), Some(leader)).await? {
                Ticked::Before => tick.scheduled_at += 1,
                ticked => return Ok(Some(ticked)),
            }
        }
        Ok(Some(Ticked::Before))
    }

    /// What a sensor would ask for now, with what it is to know; nothing is remembered.
    ///
    /// # Errors
    /// `Unknown`.
    pub async fn preview_sensor(
        engine: &Arc<Engine>,
        name: &str,
        cursor: Option<String>,
    ) -> Result<Result<SensorResult, String>> {
        let sensor = find(engine, name)?;
        Ok(Sighting { engine, sensor, cursor, payload: None }.evaluate().await)
    }
}

/// Whether a sensor looks: somebody has started it, or nobody has stopped one that runs by itself.
pub(crate) fn is_running(known: &HashMap<String, InstigatorRecord>, sensor: &Sensor) -> bool {
    let said = known.get(&instigator(&sensor.name)).and_then(|record| record.is_running);
    said.unwrap_or(sensor.runs_by_default)
}

fn find<'a>(engine: &'a Engine, name: &str) -> Result<&'a Arc<Sensor>> {
    let sensors = &engine.resolved.sensors;
    sensors.get(name).ok_or_else(|| Error::Unknown {
        what: "sensor",
        name: name.to_owned(),
        nearest: near(name, sensors.keys()),
    })
}

impl Sighting<'_> {
    /// What the sensor asks for, within its time.
    async fn evaluate(&self) -> Result<SensorResult, String> {
        let limit = self.engine.resolved.operations.evaluation_timeout;
        let looked = async { self.look().await.map_err(Into::into) };
        guarded(looked, limit, self.engine.clock()).await
    }

    async fn look(&self) -> Result<SensorResult, String> {
        let told = |error: arrowsmith_definitions::BoxError| crate::error::chain(&*error);
        match &self.sensor.kind {
            SensorKind::Function(function) => {
                let context = SensorContext {
                    now: Timestamp::from_microsecond(self.engine.now()).unwrap_or_default(),
                    cursor: self.cursor.clone(),
                    payload: self.payload.clone(),
                    happenings: Arc::new(InstanceHappenings(self.instance().clone())),
                };
                function(context).await.map_err(told)
            }
            SensorKind::Assets(of) => self.assets(of).await,
            SensorKind::Runs(of) => self.runs(of).await,
            SensorKind::Files(of) => self.files(of).await,
            SensorKind::Webhook { .. } => self.called(),
        }
    }

    fn instance(&self) -> &Instance {
        &self.engine.instance
    }

    /// What a call of the webhook asks for: `{ "partitions", "run_key", "tags", "config" }`, each of
    /// which may be missing.
    fn called(&self) -> Result<SensorResult, String> {
        let Some(payload) = &self.payload else {
            return Ok(SensorResult::skip("nobody has called"));
        };
        let text = |name: &str| match payload.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(format!("`{name}` is a text")),
        };
        let mut request = RunRequest {
            run_key: text("run_key")?,
            partitions: text("partitions")?,
            config: payload.get("config").cloned().unwrap_or_default(),
            ..RunRequest::new()
        };
        match payload.get("tags") {
            None | Some(Value::Null) => {}
            Some(Value::Object(tags)) => {
                for (name, value) in tags {
                    let value = value.as_str().ok_or("the values of `tags` are texts")?;
                    request.tags.insert(name.clone(), value.to_owned());
                }
            }
            Some(_) => return Err("`tags` is an object".to_owned()),
        }
        Ok(request.into())
    }
}
