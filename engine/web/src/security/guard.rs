//! The guard: the only way to any route.

use axum::extract::{Request, State};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::token::same;
use crate::Web;
use crate::api::ApiError;
use crate::ui;

/// What a page sends with whatever changes something; the session says which value.
const CSRF_HEADER: &str = "x-arrowsmith-csrf";

/// What is answered without the token: whether the process lives, and what it takes to log in.
const PUBLIC: [(Method, &str); 4] = [
    (Method::GET, "/health"),
    (Method::POST, "/api/v1/session"),
    (Method::GET, "/login.css"),
    (Method::GET, "/login.js"),
];

fn is_public(method: &Method, path: &str) -> bool {
    PUBLIC.iter().any(|(known, at)| known == method && *at == path)
}

/// How a request has shown that it may be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// By a cookie, which a browser sends whoever has asked it to.
    Cookie,
    /// By a header, which only the caller itself can have written, or nothing has to be shown.
    Header,
    Nothing,
}

pub(crate) async fn guard(State(web): State<Web>, request: Request, next: Next) -> Response {
    match refusal(&web, &request) {
        Some(refusal) => refusal,
        None => next.run(request).await,
    }
}

fn refusal(web: &Web, request: &Request) -> Option<Response> {
    let (method, headers) = (request.method(), request.headers());
    if !is_ours(web, request) {
        let message = "this server has another name; `--allow-host NAME` adds one";
        return Some(ApiError::new(StatusCode::MISDIRECTED_REQUEST, message).into_response());
    }
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    if changes && !is_same_origin(headers) {
        let message = "the request comes from another origin";
        return Some(ApiError::new(StatusCode::FORBIDDEN, message).into_response());
    }
    let is_public = is_public(method, request.uri().path());
    let shown = shown(web, headers);
    if shown == Shown::Nothing && !is_public {
        return Some(unauthorized(headers));
    }
    if changes {
        if !is_json(headers) {
            let message = "the body has to be `application/json`";
            let refusal = ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, message);
            return Some(refusal.into_response());
        }
        let token = web.access().token.as_ref();
        let sent = headers.get(CSRF_HEADER).and_then(|sent| sent.to_str().ok());
        let is_meant = shown != Shown::Cookie
            || token.is_none_or(|token| sent.is_some_and(|sent| same(sent, &token.csrf())));
        if !is_meant && !is_public {
            let message = format!("the header `{CSRF_HEADER}` is missing or wrong");
            return Some(ApiError::new(StatusCode::FORBIDDEN, message).into_response());
        }
    }
    None
}

/// A page for whoever wants to see one, a document for programs.
fn unauthorized(headers: &HeaderMap) -> Response {
    let accepts = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accepts.is_some_and(|accept| accept.contains("text/html")) {
        return (StatusCode::UNAUTHORIZED, ui::login_page()).into_response();
    }
    ApiError::new(StatusCode::UNAUTHORIZED, "the token is missing or wrong").into_response()
}

/// Whether it was sent to this server by one of its names, so that no other name leads here.
fn is_ours(web: &Web, request: &Request) -> bool {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(Authority::as_str));
    host.is_some_and(|host| web.access().answers_to(without_port(host), web.address()))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Programs send neither header; browsers cannot be kept from it.
fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    if text("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
        return false;
    }
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    let host = text("host").unwrap_or_default();
    let origin = origin.to_str().unwrap_or_default();
    let of = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    of == Some(host)
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).map(str::trim);
    kind.is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"))
}

fn shown(web: &Web, headers: &HeaderMap) -> Shown {
    let Some(token) = &web.access().token else { return Shown::Header };
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(bearer) = bearer.and_then(|value| value.strip_prefix("Bearer ")) {
        return if token.is(bearer) { Shown::Header } else { Shown::Nothing };
    }
    let (name, session) = (web.cookie_name(), token.session());
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| {
        let (name, value) = pair.trim().split_once('=')?;
        Some((name, value))
    });
    let is_logged_in = pairs.any(|(of, value)| of == name && same(value, &session));
    if is_logged_in { Shown::Cookie } else { Shown::Nothing }
}
