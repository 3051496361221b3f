//! Resources that ship with Arrowsmith: an object store, an HTTP client, a DataFusion session.
//!
//! They are defined and configured like any other, and are parameters of ops and assets:
//!
//! ```
//! use arrowsmith_definitions::{Repository, ResourceDefinition};
//! use arrowsmith_resources::{HttpClient, ObjectStoreResource};
//! let repository = Repository::new("shop")
//!     .with_resource("api", ResourceDefinition::new::<HttpClient>())
//!     .with_resource("lake", ResourceDefinition::new::<ObjectStoreResource>());
//! assert_eq!(repository.resources.len(), 2);
//! ```
//!
//! It is a crate of its own since an HTTP client is heavy, and nothing else of the engine needs one.

mod http;
mod object_store;
mod session;

pub use http::{HttpClient, HttpConfig, HttpError, HttpResponse};
pub use object_store::{ObjectStoreConfig, ObjectStoreResource};
pub use session::{DataFusionSession, SessionSettings};
