//! Who has logged in.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::ApiError;
use crate::Web;

/// How long a browser may stay logged in.
const MAX_AGE_SECONDS: u32 = 30 * 24 * 3600;

/// What a page has to know before it asks anything else.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Session {
    /// What is sent in `x-arrowsmith-csrf` with whatever changes something.
    csrf: String,
    /// The version of the server.
    version: &'static str,
    /// Whether SQL may be asked.
    query: bool,
}

/// What is given to log in.
#[derive(Debug, Deserialize, ToSchema)]
pub(crate) struct LogIn {
    /// The token of the server.
    #[serde(default)]
    token: String,
    /// A code that is good for once, in its place.
    #[serde(default)]
    code: String,
}

/// The session of whoever asks.
#[utoipa::path(get, path = "/session", responses((status = 200, body = Session)))]
pub(crate) async fn session(State(web): State<Web>) -> Json<Session> {
    let csrf = web.access().token.as_ref().map(crate::Token::csrf).unwrap_or_default();
    Json(Session { csrf, version: env!("CARGO_PKG_VERSION"), query: web.may_query() })
}

/// Exchanges the token for a cookie that scripts cannot read and other pages cannot use.
#[utoipa::path(post, path = "/session", request_body = LogIn,
    responses((status = 204), (status = 401, body = ApiError)))]
pub(crate) async fn log_in(
    State(web): State<Web>,
    headers: HeaderMap,
    Json(given): Json<LogIn>,
) -> Response {
    let Some(token) = &web.access().token else { return StatusCode::NO_CONTENT.into_response() };
    let lets_in = token.is(given.token.trim()) || web.use_code(given.code.trim());
    if !lets_in {
        return ApiError::new(StatusCode::UNAUTHORIZED, "the token is wrong").into_response();
    }
    let cookie = cookie(&web, &headers, &token.session(), MAX_AGE_SECONDS);
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

/// Forgets the cookie.
#[utoipa::path(delete, path = "/session", responses((status = 204)))]
pub(crate) async fn log_out(State(web): State<Web>, headers: HeaderMap) -> Response {
    let cookie = cookie(&web, &headers, "", 0);
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]).into_response()
}

fn cookie(web: &Web, headers: &HeaderMap, value: &str, seconds: u32) -> String {
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok());
    // Whoever came over TLS never sends it without.
    let secure = if origin.is_some_and(|of| of.starts_with("https://")) { "; Secure" } else { "" };
    let name = web.cookie_name();
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}
