//! Live events: what has happened, as it happens, from the last event that a page has seen.
//!
//! A stream never holds more than one answer of the instance. Who is too far behind is told so in one
//! event, and asks for what it shows anew.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use arrowsmith_definitions::Problems;
use arrowsmith_execution::Engine;
use arrowsmith_instance::{RunId, RunStatus};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::response::sse::{Event, KeepAlive, Sse};
use futures::Stream;
use futures::stream::unfold;
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;

use super::ApiError;
use super::events::{EventInfo, KINDS};
use super::runs::{RunInfo, known, log_lines};
use crate::Web;

/// How often it is looked whether something has happened.
const PAUSE: Duration = Duration::from_millis(250);
/// Events that are sent one by one; of more only the last is told.
const BURST: u32 = 400;
/// The header of a browser that connects again.
const LAST_EVENT: &str = "last-event-id";

type Events = VecDeque<Result<Event, Infallible>>;

fn event(name: &str, id: impl AsRef<str>, data: &impl Serialize) -> Result<Event, Infallible> {
    let data = serde_json::to_string(data).unwrap_or_default();
    Ok(Event::default().event(name).id(id).data(data))
}

/// The right to one stream, of which there are not many.
fn permit(web: &Web) -> Result<OwnedSemaphorePermit, ApiError> {
    let permit = Arc::clone(web.streams()).try_acquire_owned();
    permit.map_err(|_| {
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "too many pages are told of events")
    })
}

#[expect(clippy::disallowed_methods, reason = "it is looked by the machine's clock")]
async fn pause(web: &Web) -> bool {
    tokio::select! {
        () = tokio::time::sleep(PAUSE) => true,
        () = web.ending().cancelled() => false,
    }
}

fn answer(
    stream: impl Stream<Item = Result<Event, Infallible>> + Send + 'static,
) -> axum::response::Response {
    Sse::new(stream).keep_alive(KeepAlive::default()).into_response()
}

/// What the stream of everything has told.
struct Told {
    web: Web,
    after: i64,
    tick: i64,
    engine: Option<Arc<Engine>>,
    problems: Option<Arc<Problems>>,
    waiting: Events,
    _permit: OwnedSemaphorePermit,
}

/// Server-sent events of all runs: `event` for each that changes what pages show, `lagged` in the place of
/// more than can be told one by one, `tick` when a schedule or sensor has ticked, `repository` when another
/// version of it is served or it has other problems. Resumes behind `Last-Event-ID`.
#[utoipa::path(get, path = "/events", operation_id = "follow_events",
    responses((status = 200, content_type = "text/event-stream", body = EventInfo)))]
pub(crate) async fn events(
    State(web): State<Web>,
    headers: HeaderMap,
) -> Result<axum::response::Response, ApiError> {
    let permit = permit(&web)?;
    let instance = web.daemon().instance();
    let last =
        headers.get(LAST_EVENT).and_then(|id| id.to_str().ok()).and_then(|id| id.parse().ok());
    let after = match last {
        Some(last) => last,
        None => instance.last_event().await?,
    };
    let told = Told {
        after,
        tick: instance.last_tick().await?,
        engine: web.daemon().engine(),
        problems: web.daemon().problems(),
        waiting: VecDeque::from([event("hello", after.to_string(), &after)]),
        web,
        _permit: permit,
    };
    Ok(answer(unfold(told, |mut told| async {
        loop {
            if let Some(next) = told.waiting.pop_front() {
                return Some((next, told));
            }
            if !pause(&told.web).await {
                return None;
            }
            // An instance that cannot be asked now is asked again.
            drop(told.look().await);
        }
    })))
}

impl Told {
    async fn look(&mut self) -> arrowsmith_instance::Result<()> {
        let daemon = self.web.daemon().clone();
        let instance = daemon.instance();
        let found = instance.events_after(&KINDS, self.after, BURST).await?;
        if found.len() == BURST as usize {
            self.after = instance.last_event().await?;
            self.waiting.push_back(event("lagged", self.after.to_string(), &self.after));
        } else {
            for (run_id, record) in found {
                self.after = record.event_id;
                let told = EventInfo::of(run_id, record);
                self.waiting.push_back(event("event", told.id.to_string(), &told));
            }
        }
        let tick = instance.last_tick().await?;
        if tick != self.tick {
            self.tick = tick;
            self.waiting.push_back(event("tick", self.after.to_string(), &tick));
        }
        let (engine, problems) = (daemon.engine(), daemon.problems());
        if !same(engine.as_ref(), self.engine.as_ref())
            || !same(problems.as_ref(), self.problems.as_ref())
        {
            (self.engine, self.problems) = (engine, problems);
            let count = self.problems.as_ref().map_or(0, |problems| problems.0.len());
            self.waiting.push_back(event("repository", self.after.to_string(), &count));
        }
        Ok(())
    }
}

fn same<T>(one: Option<&Arc<T>>, other: Option<&Arc<T>>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => Arc::ptr_eq(one, other),
        (None, None) => true,
        _ => false,
    }
}

/// What the stream of a run has told.
struct ToldOfRun {
    web: Web,
    run_id: RunId,
    after: i64,
    log_after: i64,
    status: Option<RunStatus>,
    ended: bool,
    waiting: Events,
    _permit: OwnedSemaphorePermit,
}

/// Server-sent events of one run: `run` whenever it stands otherwise, `event` for each event, `log` for
/// lines of its log, and `end` when it has ended and everything is told. Resumes behind `Last-Event-ID`.
#[utoipa::path(get, path = "/runs/{id}/stream", operation_id = "follow_run", params(("id" = String, Path)),
    responses((status = 200, content_type = "text/event-stream", body = EventInfo),
        (status = 404, body = ApiError)))]
pub(crate) async fn run(
    State(web): State<Web>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<axum::response::Response, ApiError> {
    let permit = permit(&web)?;
    let run_id = known(web.daemon().instance(), &id).await?;
    let last = headers.get(LAST_EVENT).and_then(|id| id.to_str().ok());
    let (after, log_after) = last
        .and_then(|last| last.split_once('.'))
        .and_then(|(event, log)| Some((event.parse().ok()?, log.parse().ok()?)))
        .unwrap_or((0, 0));
    let told = ToldOfRun {
        web,
        run_id,
        after,
        log_after,
        status: None,
        ended: false,
        waiting: Events::new(),
        _permit: permit,
    };
    Ok(answer(unfold(told, |mut told| async {
        loop {
            if let Some(next) = told.waiting.pop_front() {
                return Some((next, told));
            }
            if told.ended {
                return None;
            }
            drop(told.look().await);
            if told.waiting.is_empty() && !pause(&told.web).await {
                return None;
            }
        }
    })))
}

impl ToldOfRun {
    async fn look(&mut self) -> arrowsmith_instance::Result<()> {
        let instance = self.web.daemon().instance().clone();
        // Asked first, so that whatever a run has said before its end is told before it.
        let run = instance.run(&self.run_id.to_string()).await?;
        let status = run.status;
        let mut records = instance.events(self.run_id, self.after).await?.into_iter().peekable();
        while let Some(record) = records.next() {
            // Events that share an id are told as a whole, or again.
            if records.peek().is_none_or(|next| next.event_id != record.event_id) {
                self.after = record.event_id;
            }
            let told = EventInfo::of(self.run_id, record);
            self.waiting.push_back(event("event", self.id(), &told));
        }
        let lines = log_lines(&instance, self.run_id, self.log_after).await;
        self.log_after = lines.after;
        if !lines.lines.is_empty() {
            self.waiting.push_back(event("log", self.id(), &lines.lines));
        }
        if self.status != Some(status) || !self.waiting.is_empty() {
            self.status = Some(status);
            self.waiting.push_back(event("run", self.id(), &RunInfo::from(run)));
        } else if status.is_final() && !lines.more {
            self.ended = true;
            self.waiting.push_back(event("end", self.id(), &status.to_string()));
        }
        Ok(())
    }

    fn id(&self) -> String {
        format!("{}.{}", self.after, self.log_after)
    }
}
