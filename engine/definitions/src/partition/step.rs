//! The partitions that one step makes, and the filter that leaves the rows of others out.

use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, cast, ident, lit};

use super::keys::Values;
use super::rows::{Bounds, is_text};
use super::{OutsideRows, PartitionKeys, PartitionSet, Partitions, TimeWindow};

/// Longest list of keys or of runs of windows in a filter; what is longer is filtered row by row.
const TERMS_MAX: usize = 200;

/// A set of the partitions of an asset, which one step makes together.
#[derive(Debug, Clone)]
pub struct StepPartitions {
    /// What the partitions are.
    pub definition: Arc<Partitions>,
    /// Those that exist.
    pub keys: Arc<PartitionKeys>,
    /// Those that the step makes.
    pub set: PartitionSet,
}

impl StepPartitions {
    /// Their keys, in order.
    pub fn texts(&self) -> Vec<String> {
        self.keys.texts(&self.set)
    }

    /// The key, if it is a single one.
    pub fn single(&self) -> Option<String> {
        let index = self.single_index()?;
        Some(self.keys.key(index))
    }

    fn single_index(&self) -> Option<u32> {
        (self.set.len() == 1).then(|| self.set.iter().next()).flatten()
    }

    /// The key of a dimension, if the set is a single partition.
    pub fn single_of(&self, dimension: &str) -> Option<String> {
        let index = self.single_index()?;
        let at = self.keys.dimensions.iter().position(|known| known.name == dimension)?;
        Some(self.keys.dimensions[at].key(self.keys.parts(index)[at]))
    }

    /// From the beginning of the first window to the end of the last, if there is one dimension of
    /// time.
    pub fn window(&self) -> Option<TimeWindow> {
        let windows = self.set.iter().map(|index| self.keys.window(index));
        windows.reduce(|a, b| {
            let (a, b) = (a?, b?);
            Some(TimeWindow { start: a.start.min(b.start), end: a.end.max(b.end) })
        })?
    }

    /// Whether the rows say by columns which partition they belong to.
    pub fn is_by_columns(&self) -> bool {
        self.definition.dimensions.iter().all(|dimension| dimension.column.is_some())
    }

    /// The parts of the set in one dimension.
    fn projected(&self, at: usize) -> PartitionSet {
        match self.keys.dimensions.len() {
            1 => self.set.clone(),
            _ => self.set.iter().map(|index| self.keys.parts(index)[at]).collect(),
        }
    }

    /// What leaves out the rows of other partitions, as far as statistics and indexes can use it:
    /// rows that belong to none stay, unless the definition drops them; so do rows of some other
    /// partitions where the set is no product of its dimensions. `None` keeps everything.
    pub fn filter(&self, schema: &Schema) -> Option<Expr> {
        let dimensions = self.definition.dimensions.iter().enumerate();
        let filters = dimensions.filter_map(|(at, dimension)| {
            let column = dimension.column.as_deref()?;
            let data_type = schema.field_with_name(column).ok()?.data_type();
            self.filter_of(at, ident(column), data_type)
        });
        filters.reduce(Expr::and)
    }

    fn filter_of(&self, at: usize, column: Expr, data_type: &DataType) -> Option<Expr> {
        let (keys, set) = (&self.keys.dimensions[at], self.projected(at));
        let all = PartitionSet::first(keys.len());
        let drops = self.definition.outside == OutsideRows::Drop;
        match &keys.values {
            Values::Time { definition, windows } if !is_text(data_type) => {
                let bounds = Bounds::new(definition, windows, data_type).ok()?;
                let value = |moment: i64| lit(scalar(moment, data_type));
                let mut runs = set.ranges();
                if runs.len() > TERMS_MAX {
                    let (first, last) = (*runs.first()?.start(), *runs.last()?.end());
                    runs = vec![first..=last];
                }
                let run = |run: &std::ops::RangeInclusive<u32>| {
                    let (first, last) = (*run.start() as usize, *run.end() as usize);
                    let begins = column.clone().gt_eq(value(bounds.starts[first]));
                    begins.and(column.clone().lt(value(bounds.ends[last])))
                };
                let requested = runs.iter().map(run).reduce(Expr::or)?;
                if drops {
                    return Some(requested);
                }
                // What comes after the last window has no partition yet, unless time has an end.
                let mut kept = requested.or(column.clone().lt(value(*bounds.starts.first()?)));
                if definition.end.is_some() {
                    kept = kept.or(column.clone().gt_eq(value(*bounds.ends.last()?)));
                }
                Some(kept.or(column.is_null()))
            }
            _ if set == all && !drops => None,
            _ => {
                let text = if is_text(data_type) { column } else { cast(column, DataType::Utf8) };
                let listed = |set: &PartitionSet| {
                    let short = set.len() <= TERMS_MAX as u64;
                    let keys = || set.iter().map(|part| lit(keys.key(part))).collect::<Vec<_>>();
                    short.then(keys)
                };
                if drops {
                    return listed(&set).map(|keys| text.in_list(keys, false));
                }
                let others = listed(&all.difference(&set))?;
                Some(text.clone().in_list(others, true).or(text.is_null()))
            }
        }
    }
}

/// A moment in the unit of a column as a value of its type.
pub(super) fn scalar(moment: i64, data_type: &DataType) -> ScalarValue {
    use arrow::datatypes::TimeUnit as U;
    match data_type {
        DataType::Date32 => ScalarValue::Date32(Some(i32::try_from(moment).unwrap_or(i32::MAX))),
        DataType::Date64 => ScalarValue::Date64(Some(moment)),
        DataType::Timestamp(U::Second, zone) => {
            ScalarValue::TimestampSecond(Some(moment), zone.clone())
        }
        DataType::Timestamp(U::Millisecond, zone) => {
            ScalarValue::TimestampMillisecond(Some(moment), zone.clone())
        }
        DataType::Timestamp(U::Microsecond, zone) => {
            ScalarValue::TimestampMicrosecond(Some(moment), zone.clone())
        }
        DataType::Timestamp(U::Nanosecond, zone) => {
            ScalarValue::TimestampNanosecond(Some(moment), zone.clone())
        }
        _ => ScalarValue::Int64(Some(moment)),
    }
}
