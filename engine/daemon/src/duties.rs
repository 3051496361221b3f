//! The duties of a daemon, each a task of its own, and what keeps one of them from holding up others.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_definitions::BoxError;
use arrowsmith_execution::Clock;
use arrowsmith_instance::{Heartbeat, TimeMicros};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{Daemon, Result};

/// How often it is told which duties do their work.
const BEAT: Duration = Duration::from_secs(30);
/// How long a duty may take before it counts as failed.
const DUTY_TIMEOUT: Duration = Duration::from_mins(10);

/// A duty, and how often it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Duty {
    Lead,
    Schedules,
    Sensors,
    Automation,
    Freshness,
    Queue,
    Monitor,
    Retries,
    Notifications,
    Reload,
    Retention,
}

impl Duty {
    const ALL: [Self; 11] = [
        Self::Lead,
        Self::Schedules,
        Self::Sensors,
        Self::Automation,
        Self::Freshness,
        Self::Queue,
        Self::Monitor,
        Self::Retries,
        Self::Notifications,
        Self::Reload,
        Self::Retention,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Lead => "lead",
            Self::Schedules => "schedules",
            Self::Sensors => "sensors",
            Self::Automation => "automation",
            Self::Freshness => "freshness",
            Self::Queue => "queue",
            Self::Monitor => "monitor",
            Self::Retries => "retries",
            Self::Notifications => "notifications",
            Self::Reload => "reload",
            Self::Retention => "retention",
        }
    }

    const fn every(self) -> Duration {
        match self {
            Self::Lead | Self::Automation => Duration::from_secs(5),
            Self::Freshness => Duration::from_secs(30),
            Self::Schedules | Self::Sensors | Self::Queue => Duration::from_secs(1),
            Self::Monitor | Self::Retries | Self::Notifications | Self::Reload => {
                Duration::from_secs(2)
            }
            Self::Retention => Duration::from_hours(1),
        }
    }

    /// How long it may not be done: twice its interval, and as long as a beat and a slow sensor or
    /// database may take.
    fn limit(self) -> TimeMicros {
        const SLACK: Duration = Duration::from_mins(1);
        crate::lead::micros(self.every() * 2 + SLACK)
    }

    fn work(self, daemon: Daemon) -> BoxFuture<'static, Result<()>> {
        Box::pin(async move {
            match self {
                Self::Lead => daemon.lead().await.map(drop),
                Self::Schedules => daemon.tick_schedules().await.map(drop),
                Self::Sensors => daemon.look_at_sensors().await,
                Self::Automation => daemon.tick_automation().await.map(drop),
                Self::Freshness => daemon.tick_freshness().await.map(drop),
                Self::Queue => daemon.dequeue().await.map(drop),
                Self::Monitor => daemon.monitor().await,
                Self::Retries => daemon.retry_failed().await.map(drop),
                Self::Notifications => daemon.notify().await.map(drop),
                Self::Reload => daemon.reload().await.map(drop),
                Self::Retention => daemon.forget_old().await,
            }
        })
    }
}

impl Daemon {
    /// Does all duties until `cancel` is cancelled; then hands the lead over and lets runs in this
    /// process stop in an orderly way. Runs in processes of their own go on.
    ///
    /// # Errors
    /// Of the instance, at the end.
    pub async fn run(&self, cancel: CancellationToken) -> Result<()> {
        // Whoever is to do its duties alone knows that from the beginning.
        self.guard(Duty::Lead).await;
        let mut tasks = JoinSet::new();
        for duty in Duty::ALL {
            let (daemon, cancel) = (self.clone(), cancel.clone());
            tasks.spawn(async move {
                let mut first = duty != Duty::Lead;
                loop {
                    let pause = if first { Duration::ZERO } else { duty.every() };
                    first = false;
                    let woken = async {
                        match duty {
                            Duty::Queue => daemon.shared.run_ended.notified().await,
                            _ => std::future::pending().await,
                        }
                    };
                    tokio::select! {
                        () = cancel.cancelled() => return,
                        () = daemon.shared.clock.sleep(pause) => {}
                        () = woken => {}
                    }
                    daemon.guard(duty).await;
                }
            });
        }
        let (daemon, beating) = (self.clone(), cancel.clone());
        tasks.spawn(async move {
            loop {
                daemon.beat().await;
                tokio::select! {
                    () = beating.cancelled() => return,
                    () = daemon.shared.clock.sleep(BEAT) => {}
                }
            }
        });
        while tasks.join_next().await.is_some() {}
        self.stop_launched().await;
        self.resign().await
    }

    /// Serves the newest version of the repository until `cancel` is cancelled, and does nothing else:
    /// whatever is queued waits for another daemon.
    ///
    /// # Errors
    /// Never; what goes wrong is told in the log, as of any duty.
    pub async fn follow(&self, cancel: CancellationToken) -> Result<()> {
        loop {
            tokio::select! {
                () = cancel.cancelled() => return Ok(()),
                () = self.shared.clock.sleep(Duty::Reload.every()) => {}
            }
            self.guard(Duty::Reload).await;
        }
    }

    /// Looks at the queue now, in the place of at its next look.
    pub fn hurry(&self) {
        self.shared.run_ended.notify_one();
    }

    /// Does a duty, and remembers how it went.
    async fn guard(&self, duty: Duty) {
        let work = async {
            duty.work(self.clone())
                .await
                .map_err(|error| BoxError::from(crate::error::chain(&error)))
        };
        let went = guarded(work, DUTY_TIMEOUT, &self.shared.clock).await;
        if let Err(error) = &went {
            tracing::error!(duty = duty.name(), error, "a duty could not be done");
        }
        let now = self.now();
        self.state().duties.insert(duty.name(), (now, went.err()));
    }

    async fn beat(&self) {
        let beat = |(duty, (at, error)): (&&str, &(i64, Option<String>))| Heartbeat {
            duty: (*duty).to_owned(),
            owner: self.shared.owner.clone(),
            at: *at,
            error: error.clone(),
        };
        let beats: Vec<Heartbeat> = self.state().duties.iter().map(beat).collect();
        let leads = self.leader().is_some();
        if leads && let Err(error) = self.shared.instance.beat(beats).await {
            tracing::error!(
                error = crate::error::chain(&error),
                "the heartbeat could not be written"
            );
        }
    }

    /// When each duty was done, and what went wrong the last time.
    pub fn duties(&self) -> Vec<Heartbeat> {
        let state = self.state();
        let duties = state.duties.iter().map(|(duty, (at, error))| Heartbeat {
            duty: (*duty).to_owned(),
            owner: self.shared.owner.clone(),
            at: *at,
            error: error.clone(),
        });
        let mut duties: Vec<Heartbeat> = duties.collect();
        duties.sort_by(|a, b| a.duty.cmp(&b.duty));
        duties
    }

    /// Whether every duty was done within its time, and a version of the repository is served.
    pub fn is_ready(&self) -> bool {
        self.engine().is_some() && Duty::ALL.iter().all(|duty| self.is_alive(*duty))
    }

    fn is_alive(&self, duty: Duty) -> bool {
        let done = self.state().duties.get(duty.name()).map(|(at, _)| *at);
        done.is_some_and(|at| self.now() - at <= duty.limit())
    }
}

/// Whether a duty that told of itself should have done so again by now; one that is not known is not
/// waited for.
pub fn is_late(beat: &Heartbeat, now: TimeMicros) -> bool {
    let duty = Duty::ALL.into_iter().find(|duty| duty.name() == beat.duty);
    duty.is_some_and(|duty| now - beat.at > duty.limit())
}

/// What a future of somebody else's comes to, within a limit and without its panic.
pub(crate) async fn guarded<T>(
    work: impl Future<Output = Result<T, BoxError>>,
    limit: Duration,
    clock: &Arc<dyn Clock>,
) -> Result<T, String> {
    let caught = AssertUnwindSafe(work).catch_unwind();
    tokio::select! {
        done = caught => match done {
            Ok(done) => done.map_err(|error| crate::error::chain(&*error)),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
                Err(format!("it panicked: {}", text.unwrap_or_default()))
            }
        },
        () = clock.sleep(limit) => Err(format!("it took longer than {} s", limit.as_secs())),
    }
}
