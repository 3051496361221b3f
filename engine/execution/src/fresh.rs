//! Whether what is current of an asset is what would be computed again.
//!
//! A version remembers what it was made of: its code, and the versions of what it read
//! ([`Provenance`](arrowsmith_instance::Provenance)). It is fresh as long as its code is the same and
//! each of those versions is current. Where an input has another version now, the rows that are read of
//! both decide: a digest over exactly the columns and filters of the plan
//! ([`Reads`](arrowsmith_definitions::Reads)), taken once for each version and kept. Whatever is not
//! known means that the asset is computed, unless a version that was stored before is what would be
//! computed.

mod consumes;
mod decide;
mod digests;
mod provenance;
mod reuse;
mod why;
mod written;

pub(crate) use consumes::Consumes;
pub(crate) use decide::{Candidate, Freshness, Made};
pub use why::{StaleCategory, StaleCause, StaleStatus, Why};

pub(crate) use written::{Scanned, WrittenDigests};

pub(crate) use provenance::{Needed, provenance};
