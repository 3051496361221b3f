//! Partitions: how the rows of an asset are cut, as definitions, keys, sets and mappings.
//!
//! A [`Partitions`] says what the partitions are; [`PartitionKeys`] are those that exist at a
//! moment, each known by its index; a [`PartitionSet`] is a set of such indexes, on which union,
//! difference and ranges are cheap however many there are. Texts of keys are made only for people
//! and for the catalog. A [`PartitionMapping`] says which partitions of an upstream asset a set of
//! partitions reads.
//!
//! The semantics are Dagster's, with any number of dimensions.

mod definition;
mod keys;
mod mapping;
mod parse;
mod set;
mod time;

pub use definition::{BackfillPolicy, Dimension, DimensionKind, OutsideRows, Partitions};
pub use keys::{DynamicKeys, PartitionKeys};
pub use mapping::{CustomMapping, PartitionMapping, Required};
pub use parse::{PartitionExpr, PartitionExprError};
pub use set::PartitionSet;
pub use time::{Cadence, TimeWindow, TimeWindows};
