//! The API under `/api/v1`: JSON documents, typed by an OpenAPI document that is kept beside the UI.
//!
//! Times are microseconds since 1970-01-01 UTC. Lists have a limit and a cursor, which is the last item
//! of the page before. Whatever goes wrong is an [`ApiError`].

mod assets;
mod automation;
mod backfills;
mod checks;
mod definitions;
mod error;
mod events;
mod history;
mod instance;
mod jobs;
mod launch;
mod lineage;
mod partitions;
mod preview;
mod query;
mod repository;
mod rows;
mod runs;
mod selection;
mod session;
mod states;
mod stream;

pub(crate) use assets::select;
pub(crate) use error::{Answer, ApiError};
pub(crate) use states::Caches;

use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Web;
use crate::graph;

/// Where the routes are.
pub(crate) const PREFIX: &str = "/api/v1";
/// Items of a page, unless asked otherwise, and at most.
const PAGE: u32 = 50;
const PAGE_MAX: u32 = 500;

/// The document of the API in the repository; a test compares it with [`openapi`].
pub const OPENAPI_FILE: &str = "engine/web/ui/openapi.json";

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Arrowsmith",
        description = "Assets, runs and what runs by itself, as the web UI sees them.",
        version = "1"
    ),
    components(schemas(jobs::OpNode, jobs::OpEdge))
)]
struct Document;

/// All routes with their documents.
pub(crate) fn routes() -> OpenApiRouter<Web> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(session::session, session::log_in, session::log_out))
        .routes(routes!(repository::repository))
        .routes(routes!(selection::selection))
        .routes(routes!(assets::assets))
        .routes(routes!(assets::asset))
        .routes(routes!(assets::rollback))
        .routes(routes!(states::states))
        .routes(routes!(definitions::definition))
        .routes(routes!(history::versions))
        .routes(routes!(history::statistics))
        .routes(routes!(preview::rows))
        .routes(routes!(partitions::partitions))
        .routes(routes!(lineage::column_lineage))
        .routes(routes!(automation::evaluations))
        .routes(routes!(states::why))
        .routes(routes!(graph::api::graph))
        .routes(routes!(jobs::jobs))
        .routes(routes!(jobs::job))
        .routes(routes!(jobs::check_config))
        .routes(routes!(launch::plan))
        .routes(routes!(runs::runs, launch::launch))
        .routes(routes!(runs::run))
        .routes(routes!(runs::events))
        .routes(routes!(runs::logs))
        .routes(routes!(launch::terminate))
        .routes(routes!(launch::reexecute))
        .routes(routes!(automation::schedules))
        .routes(routes!(automation::sensors))
        .routes(routes!(automation::set))
        .routes(routes!(automation::ticks))
        .routes(routes!(automation::preview))
        .routes(routes!(backfills::backfills, backfills::start))
        .routes(routes!(backfills::backfill))
        .routes(routes!(backfills::cancel))
        .routes(routes!(backfills::resume))
        .routes(routes!(checks::checks))
        .routes(routes!(checks::history))
        .routes(routes!(instance::resources))
        .routes(routes!(instance::instance))
        .routes(routes!(query::query))
        .routes(routes!(query::download))
        .routes(routes!(stream::events))
        .routes(routes!(stream::run))
}

/// The OpenAPI document of the API.
pub fn openapi() -> String {
    let (_, document) = OpenApiRouter::new().nest(PREFIX, routes()).split_for_parts();
    let mut text = document.to_pretty_json().unwrap_or_default();
    text.push('\n');
    text
}

/// How many items a page has.
fn page(limit: Option<u32>) -> u32 {
    limit.unwrap_or(PAGE).clamp(1, PAGE_MAX)
}
