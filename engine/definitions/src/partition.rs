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
mod rows;
mod set;
mod step;
mod time;

pub use definition::check_key as check_partition_key;
pub use definition::{BackfillPolicy, Dimension, DimensionKind, OutsideRows, Partitions};
pub use keys::{DynamicKeys, PartitionKeys};
pub use mapping::{CustomMapping, PartitionMapping, Required};
pub use parse::{PartitionExpr, PartitionExprError};
pub(crate) use rows::type_problem;
pub use rows::{RowPartitioner, RowPartitions};
pub use set::PartitionSet;
pub use step::StepPartitions;
pub use time::{Cadence, TimeWindow, TimeWindows};
