//! What a daemon answers over HTTP: `/health`, `/ready`, `/metrics`, and calls of webhooks.
//!
//! | path | answer |
//! |---|---|
//! | `GET /health` | 200 while the process answers |
//! | `GET /ready` | 200 if a version of the repository is served and every duty is done in time, else 503 with what is wrong |
//! | `GET /metrics` | the text format of Prometheus |
//! | `POST /webhooks/NAME` | 202 if the sensor was evaluated; 401 without its secret, 404 without the sensor |

use std::net::SocketAddr;

use arrowsmith_definitions::{Secret, SensorKind};
use arrowsmith_instance::Ticked;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{get, post};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::sensors::is_running;
use crate::{Daemon, Error, Result, metrics};

/// A call of a webhook has no more bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

impl Daemon {
    /// Answers over HTTP until `cancel` is cancelled.
    ///
    /// # Errors
    /// `Listen`.
    pub async fn serve(&self, address: SocketAddr, cancel: CancellationToken) -> Result<()> {
        let listener =
            TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source })?;
        let address = listener.local_addr().unwrap_or(address);
        tracing::info!(%address, "the daemon answers");
        let router = Router::new()
            .route("/health", get(|| async { "ok\n" }))
            .route("/ready", get(ready))
            .route("/metrics", get(measured))
            .route("/webhooks/{name}", post(called))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone());
        let served = axum::serve(listener, router).with_graceful_shutdown(cancel.cancelled_owned());
        served.await.map_err(|source| Error::Listen { address, source })
    }
}

async fn ready(State(daemon): State<Daemon>) -> Response {
    let problems = daemon.problems().map(|problems| problems.0.len());
    let duties: Vec<Value> = daemon
        .duties()
        .into_iter()
        .map(|duty| json!({ "duty": duty.duty, "at": duty.at, "error": duty.error }))
        .collect();
    let body =
        json!({ "leads": daemon.leads(), "problems": problems.unwrap_or(0), "duties": duties });
    let status = if daemon.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(body)).into_response()
}

async fn measured(State(daemon): State<Daemon>) -> Response {
    match metrics::text(&daemon).await {
        Ok(text) => ([("content-type", "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            (StatusCode::SERVICE_UNAVAILABLE, crate::error::chain(&error)).into_response()
        }
    }
}

async fn called(
    State(daemon): State<Daemon>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let refuse = |status: StatusCode, why: &str| (status, format!("{why}\n")).into_response();
    let engine = daemon.engine();
    let sensor = engine.as_ref().and_then(|engine| engine.resolved.sensors.get(&name).cloned());
    let Some((sensor, secret)) = sensor.and_then(|sensor| match &sensor.kind {
        SensorKind::Webhook { secret } => Some((std::sync::Arc::clone(&sensor), secret.clone())),
        _ => None,
    }) else {
        return refuse(StatusCode::NOT_FOUND, "there is no such webhook");
    };
    if !is_signed(&secret, &headers, &body) {
        return refuse(StatusCode::UNAUTHORIZED, "the secret is missing or wrong");
    }
    let payload: Value = if body.is_empty() {
        json!({})
    } else {
        match serde_json::from_slice(&body) {
            Ok(payload) => payload,
            Err(_) => return refuse(StatusCode::BAD_REQUEST, "the body is no JSON"),
        }
    };
    let known = match daemon.instigators().await {
        Ok(known) => known,
        Err(error) => {
            return refuse(StatusCode::SERVICE_UNAVAILABLE, &crate::error::chain(&error));
        }
    };
    if !is_running(&known, &sensor) {
        return refuse(StatusCode::CONFLICT, "the sensor is stopped");
    }
    match daemon.tick_sensor(&name, Some(payload)).await {
        Ok(Some(Ticked::Yes { .. })) => (StatusCode::ACCEPTED, "accepted\n").into_response(),
        Ok(Some(Ticked::Before)) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "too many calls at once")
        }
        Ok(None | Some(Ticked::NotLeader)) => {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "another daemon leads")
        }
        Err(error) => refuse(StatusCode::SERVICE_UNAVAILABLE, &crate::error::chain(&error)),
    }
}

/// Whether a call has the secret, or is signed with it.
fn is_signed(secret: &Secret<String>, headers: &HeaderMap, body: &[u8]) -> bool {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let signs = |message: &[u8], signature: &[u8]| {
        let mac = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes());
        mac.is_ok_and(|mac| mac.chain_update(message).verify_slice(signature).is_ok())
    };
    if let Some(token) = header("authorization").and_then(|value| value.strip_prefix("Bearer ")) {
        // Both are hashed with the secret, so that the comparison takes as long whatever is wrong.
        let own = Hmac::<Sha256>::new_from_slice(secret.reveal().as_bytes());
        let own =
            own.map(|mac| mac.chain_update(secret.reveal().as_bytes()).finalize().into_bytes());
        return own.is_ok_and(|own| signs(token.as_bytes(), &own));
    }
    let signature = header("x-arrowsmith-signature").or_else(|| header("x-hub-signature-256"));
    let signature = signature.and_then(|value| value.strip_prefix("sha256="));
    signature.and_then(unhex).is_some_and(|signature| signs(body, &signature))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.as_bytes();
    if !digits.len().is_multiple_of(2) || !text.is_ascii() {
        return None;
    }
    digits
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}
