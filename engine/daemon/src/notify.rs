//! Notifications: who is told when something has happened.
//!
//! Each notification remembers what it has told of by a cursor, like a sensor. The cursor moves after
//! the message was sent, so that a daemon that dies in between tells it twice rather than never.

use std::process::Stdio;
use std::time::Duration;

use arrowsmith_definitions::{Channel, FreshnessState, Notification, Occasion};
use arrowsmith_instance::{Event, RunStatus, SetInstigator};
use jiff::Timestamp;
use minijinja::value::{Serde, Value as Context};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use crate::{Daemon, Result};

/// How long one message may take.
const SEND_TIMEOUT: Duration = Duration::from_secs(15);
/// How often a message is sent that has not arrived.
const TRIES: u32 = 3;
/// What is looked at at once.
const PAGE: u32 = 200;
const HOUR_MICROS: i64 = 3_600_000_000;

/// What a notification has told of.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Cursor {
    event: i64,
    freshness: i64,
    tick: i64,
    /// Since when messages of this hour are counted, and how many there were.
    hour: i64,
    sent: u32,
    /// Messages that were left out.
    left_out: u32,
}

/// Something that somebody is told of.
#[derive(Debug)]
struct Message {
    occasion: Occasion,
    body: Value,
}

impl Daemon {
    /// Tells of what has happened; how many messages were sent.
    ///
    /// # Errors
    /// Of the instance; a message that cannot be sent is logged.
    pub async fn notify(&self) -> Result<usize> {
        let (Some(engine), Some(_)) = (self.engine(), self.leader()) else { return Ok(0) };
        let mut sent = 0;
        for notification in &engine.resolved.operations.notifications {
            sent += self.tell(&engine.resolved.name, notification).await?;
        }
        Ok(sent)
    }

    async fn tell(&self, repository: &str, of: &Notification) -> Result<usize> {
        let instance = &self.shared.instance;
        let name = format!("notification:{}", of.name);
        let known = self.instigators().await?;
        let stored = known.get(&name).and_then(|record| record.cursor.clone());
        let Some(stored) = stored else {
            let freshness = instance.freshness().await?;
            let cursor = Cursor {
                event: instance.last_event().await?,
                freshness: freshness.iter().map(|of| of.change_id).max().unwrap_or(0),
                tick: instance.last_tick().await?,
                ..Cursor::default()
            };
            self.keep(&name, &cursor).await?;
            return Ok(0);
        };
        let mut cursor: Cursor = serde_json::from_str(&stored).unwrap_or_default();
        let before = cursor.clone();
        let messages = self.messages(of, &mut cursor).await?;
        let mut sent = 0;
        for message in messages {
            let now = self.now();
            if now - cursor.hour >= HOUR_MICROS {
                (cursor.hour, cursor.sent) = (now, 0);
            }
            if cursor.sent >= of.max_per_hour {
                cursor.left_out += 1;
                continue;
            }
            cursor.sent += 1;
            let left_out = std::mem::take(&mut cursor.left_out);
            match self.send(repository, of, &message, left_out).await {
                Ok(()) => sent += 1,
                Err(error) => {
                    tracing::error!(notification = of.name, error, "a message could not be sent");
                }
            }
        }
        if serde_json::to_value(&cursor).ok() != serde_json::to_value(&before).ok() {
            self.keep(&name, &cursor).await?;
        }
        Ok(sent)
    }

    async fn keep(&self, name: &str, cursor: &Cursor) -> Result<()> {
        let text = serde_json::to_string(cursor).unwrap_or_default();
        let set = SetInstigator::Cursor(Some(text));
        Ok(self.shared.instance.set_instigator(name, set, self.now()).await?)
    }

    /// What has happened since, as far as it is settled.
    async fn messages(&self, of: &Notification, cursor: &mut Cursor) -> Result<Vec<Message>> {
        let instance = &self.shared.instance;
        let wants = |occasion| of.on.contains(&occasion);
        let mut messages = Vec::new();
        let ends = instance.ends_after(cursor.event, PAGE).await?;
        let checks = instance.events_after(&["ASSET_CHECK_EVALUATION"], cursor.event, PAGE).await?;
        // No page goes beyond the end of the other.
        let is_full = |count: usize| count >= PAGE as usize;
        let mut until = i64::MAX;
        if is_full(ends.len()) {
            until = until.min(ends.last().map_or(0, |end| end.event_id));
        }
        if is_full(checks.len()) {
            until = until.min(checks.last().map_or(0, |(_, check)| check.event_id));
        }
        for end in &ends {
            // Whether it is tried again is decided soon.
            if end.status == RunStatus::Failure && end.retry.is_none() && end.is_queued {
                until = until.min(end.event_id - 1);
            }
        }
        for end in ends.into_iter().filter(|end| end.event_id <= until) {
            cursor.event = cursor.event.max(end.event_id);
            let is_last = end.retry.as_deref().is_none_or(|retry| retry == "no");
            let occasion = match end.status {
                RunStatus::Failure if is_last => Occasion::RunFailure,
                RunStatus::Success => Occasion::RunSuccess,
                _ => continue,
            };
            if wants(occasion) {
                let body = json!({
                    "run_id": end.run_id, "job": end.job, "selection": end.selection,
                    "origin": end.origin, "state": end.status, "error": end.error, "at": moment(end.at),
                });
                messages.push(Message { occasion, body });
            }
        }
        for (run_id, record) in checks.into_iter().filter(|(_, check)| check.event_id <= until) {
            cursor.event = cursor.event.max(record.event_id);
            let Event::AssetCheckEvaluation {
                check,
                passed: false,
                severity,
                failing_rows,
                found,
                ..
            } = record.event
            else {
                continue;
            };
            if wants(Occasion::CheckFailure) {
                let error = found.or_else(|| failing_rows.map(|rows| format!("{rows} rows fail")));
                let body = json!({
                    "run_id": run_id, "asset": record.asset, "check": check, "state": severity,
                    "error": error, "at": moment(record.at),
                });
                messages.push(Message { occasion: Occasion::CheckFailure, body });
            }
        }
        for change in instance.freshness_after(cursor.freshness).await? {
            cursor.freshness = change.change_id;
            let is_late = [FreshnessState::Warn, FreshnessState::Fail]
                .iter()
                .any(|of| of.as_str() == change.state);
            if wants(Occasion::Freshness) && is_late {
                let body = json!({ "asset": change.asset, "state": change.state, "at": moment(change.at) });
                messages.push(Message { occasion: Occasion::Freshness, body });
            }
        }
        for tick in instance.failed_ticks_after(cursor.tick).await? {
            cursor.tick = tick.tick_id;
            if wants(Occasion::TickFailure) {
                let body = json!({
                    "instigator": tick.instigator, "state": tick.status, "error": tick.reason,
                    "at": moment(tick.ended_at),
                });
                messages.push(Message { occasion: Occasion::TickFailure, body });
            }
        }
        Ok(messages)
    }

    async fn send(
        &self,
        repository: &str,
        of: &Notification,
        message: &Message,
        left_out: u32,
    ) -> Result<(), String> {
        let mut body = message.body.clone();
        if let Some(body) = body.as_object_mut() {
            body.insert("occasion".to_owned(), json!(message.occasion.as_str()));
            body.insert("repository".to_owned(), json!(repository));
            if left_out > 0 {
                body.insert("left_out".to_owned(), json!(left_out));
            }
        }
        let text = text_of(of, message.occasion, &body)?;
        if let Some(body) = body.as_object_mut() {
            body.insert("text".to_owned(), json!(text));
        }
        let mut pause = Duration::from_secs(1);
        let mut last = String::new();
        for _ in 0..TRIES {
            let sending = deliver(&of.channel, &body, &text);
            let sent = tokio::select! {
                sent = sending => sent,
                () = self.shared.clock.sleep(SEND_TIMEOUT) => Err("it took too long".to_owned()),
            };
            match sent {
                Ok(()) => return Ok(()),
                Err(error) => last = error,
            }
            self.shared.clock.sleep(pause).await;
            pause *= 3;
        }
        Err(last)
    }
}

fn moment(micros: i64) -> String {
    Timestamp::from_microsecond(micros).unwrap_or_default().to_string()
}

/// The message in one or a few lines.
fn text_of(of: &Notification, occasion: Occasion, body: &Value) -> Result<String, String> {
    const DEFAULT: &str = "{% if occasion == 'run_failure' %}run {{ run_id[-8:] }} of \
        {{ job or selection }} failed: {{ error }}\
        {% elif occasion == 'run_success' %}run {{ run_id[-8:] }} of {{ job or selection }} succeeded\
        {% elif occasion == 'check_failure' %}check {{ check }} of {{ asset }} does not hold: {{ error }}\
        {% elif occasion == 'freshness' %}{{ asset }} is not as fresh as it is to be: {{ state }}\
        {% else %}{{ instigator }} could not be evaluated: {{ error }}{% endif %} ({{ repository }})\
        {% if left_out %}, and {{ left_out }} messages were left out{% endif %}";
    let template = of.template.as_deref().unwrap_or(DEFAULT);
    let mut environment = minijinja::Environment::new();
    environment.set_fuel(Some(100_000));
    let rendered = environment.render_str(template, Context::from(Serde(body)));
    rendered.map_err(|error| format!("the template for {}: {error}", occasion.as_str()))
}

async fn deliver(channel: &Channel, body: &Value, text: &str) -> Result<(), String> {
    match channel {
        Channel::Webhook { url, headers } => {
            let client =
                reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build();
            let client = client.map_err(|error| error.without_url().to_string())?;
            let mut request = client.post(url.reveal()).body(body.to_string());
            request = request.header("content-type", "application/json");
            for (name, value) in headers {
                request = request.header(name, value.reveal());
            }
            // The URL may be a secret.
            let answer = request.send().await.map_err(|error| error.without_url().to_string())?;
            let status = answer.status();
            if status.is_success() { Ok(()) } else { Err(format!("the answer is {status}")) }
        }
        Channel::Command(words) => {
            let Some((program, arguments)) = words.split_first() else { return Ok(()) };
            let mut command = tokio::process::Command::new(program);
            command.args(arguments).env("ARROWSMITH_MESSAGE", text);
            command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
            command.kill_on_drop(true);
            let mut child = command
                .spawn()
                .map_err(|error| format!("`{program}` cannot be started: {error}"))?;
            if let Some(mut input) = child.stdin.take() {
                // A program that does not read its input is told by its environment.
                drop(input.write_all(body.to_string().as_bytes()).await);
            }
            let status = child.wait().await.map_err(|error| error.to_string())?;
            if status.success() { Ok(()) } else { Err(format!("`{program}` ended with {status}")) }
        }
    }
}
