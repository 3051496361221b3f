//! How an asset is written.

use arrowsmith_definitions::Body;
use axum::Json;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use super::assets::find;
use super::{Answer, ApiError};
use crate::Web;

/// A file with more bytes is not shown.
const SHOWN_BYTES_MAX: u64 = 512 * 1024;

/// The text that defines an asset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Definition {
    /// `sql`, `rust`, `graph` or the kind of a source.
    kind: String,
    /// The file; none if it is not known.
    file: Option<String>,
    /// The line of its beginning.
    line: Option<usize>,
    /// The text of the file, if it can be shown.
    text: Option<String>,
    /// The code as it is computed, where that is known and is another text.
    code: Option<String>,
    /// Where a source reads from, without credentials.
    location: Option<String>,
}

/// How an asset is written. The file is the one that the definition names, whatever is asked.
#[utoipa::path(get, path = "/assets/{key}/definition", params(("key" = String, Path)),
    responses((status = 200, body = Definition), (status = 404, body = ApiError)))]
pub(crate) async fn definition(
    State(web): State<Web>,
    Path(key): Path<String>,
) -> Answer<Definition> {
    let engine = web.engine()?;
    let asset = &find(&engine, &key)?.asset;
    let (kind, code, location) = match &asset.body {
        Body::Computed(compute) => {
            (compute.kind().to_owned(), compute.code().map(str::to_owned), None)
        }
        Body::Graph { .. } => ("graph".to_owned(), None, None),
        Body::External(source) => (source.kind().to_owned(), None, Some(source.location())),
    };
    let place = asset.place.clone();
    let file = place.as_ref().map(|place| place.file.clone());
    let text = match file {
        Some(file) => tokio::task::spawn_blocking(move || text(&file)).await.ok().flatten(),
        None => None,
    };
    Ok(Json(Definition {
        kind,
        file: place.as_ref().map(|place| place.file.display().to_string()),
        line: place.as_ref().map(|place| place.start.line),
        text,
        code,
        location,
    }))
}

fn text(file: &std::path::Path) -> Option<String> {
    let is_small = std::fs::metadata(file).is_ok_and(|found| found.len() <= SHOWN_BYTES_MAX);
    is_small.then(|| std::fs::read_to_string(file).ok()).flatten()
}
