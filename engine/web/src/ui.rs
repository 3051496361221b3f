//! The files of the UI, compiled into the program.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};

use crate::api::ApiError;
use files::Files;

mod files {
    #![expect(clippy::same_name_method, reason = "the macro writes methods of its trait twice")]

    use rust_embed::RustEmbed;

    /// `ui/dist` as Vite has built it; `ui/README.md` says how. A debug build reads it from the disk.
    #[derive(RustEmbed)]
    #[folder = "ui/dist"]
    #[exclude = "build-info.json"]
    pub(super) struct Files;
}

/// Files under here carry a hash of what is in them in their names.
const HASHED: &str = "static/";

/// A file of the UI. Whatever is none is a page, which the UI shows by itself.
pub(crate) async fn file(request: Request) -> Response {
    let path = request.uri().path().trim_start_matches('/');
    if path.starts_with("api/") {
        return ApiError::new(StatusCode::NOT_FOUND, "there is no such route").into_response();
    }
    let is_file = path.starts_with(HASHED) || Files::get(path).is_some();
    let name = if is_file { path } else { "index.html" };
    let Some(found) = Files::get(name) else {
        return ApiError::new(StatusCode::NOT_FOUND, "there is no such file").into_response();
    };
    let cached =
        if name.starts_with(HASHED) { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [(header::CONTENT_TYPE, kind_of(name)), (header::CACHE_CONTROL, cached)];
    (headers, Body::from(found.data)).into_response()
}

/// Where the token is given; it needs nothing that is behind the guard.
pub(crate) fn login_page() -> Response {
    let found = Files::get("login.html").map(|file| file.data);
    Html(Body::from(found.unwrap_or_default())).into_response()
}

fn kind_of(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("html") => "text/html; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("css") => "text/css; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("json") => "application/json",
        Some("txt") => "text/plain; charset=utf-8",
        Some("woff2") => "font/woff2",
        _ => "application/octet-stream",
    }
}
