//! Which partition each row belongs to.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, UInt32Builder};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, Schema, TimeUnit};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use jiff::civil::{Date, DateTime};
use jiff::{SignedDuration, Timestamp};

use super::keys::{DimensionKeys, Values};
use super::{DimensionKind, StepPartitions, TimeWindow, TimeWindows};

pub(super) fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, value) => is_text(value),
        _ => false,
    }
}

/// Why a column of this type cannot say which partition of a dimension a row belongs to.
pub(crate) fn type_problem(kind: &DimensionKind, data_type: &DataType) -> Option<String> {
    let DimensionKind::Time(windows) = kind else {
        let fits = data_type.is_integer() || *data_type == DataType::Boolean || is_text(data_type);
        return (!fits)
            .then(|| format!("keys are texts, whole numbers or truth values, not {data_type}"));
    };
    match data_type {
        DataType::Date32 | DataType::Date64 if !windows.cadence.is_of_days() => {
            Some(format!("a {data_type} does not say which hour it is"))
        }
        DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => None,
        other if is_text(other) => None,
        other => Some(format!("windows of time need a date, a timestamp or the key, not {other}")),
    }
}

/// Windows of time in the unit of a column: days, or parts of seconds since 1970. A column without
/// a zone holds what the wall clock of the definition shows.
pub(super) struct Bounds {
    pub(super) starts: Vec<i64>,
    pub(super) ends: Vec<i64>,
}

impl Bounds {
    pub(super) fn new(
        definition: &TimeWindows,
        windows: &[TimeWindow],
        data_type: &DataType,
    ) -> Result<Self, String> {
        let of: Box<dyn Fn(Timestamp) -> i64> = match data_type {
            DataType::Date32 => Box::new(|moment| days(definition.local(moment).date())),
            DataType::Date64 => {
                Box::new(|moment| days(definition.local(moment).date()) * 86_400_000)
            }
            DataType::Timestamp(unit, None) => {
                let unit = *unit;
                Box::new(move |moment| in_unit(wall_clock(definition.local(moment)), unit))
            }
            DataType::Timestamp(unit, Some(_)) => {
                let unit = *unit;
                Box::new(move |moment| in_unit(moment.as_nanosecond(), unit))
            }
            other => return Err(format!("{other} is no moment")),
        };
        let starts = windows.iter().map(|window| of(window.start)).collect();
        Ok(Self { starts, ends: windows.iter().map(|window| of(window.end)).collect() })
    }

    /// The window that holds a moment; `last` is where the one before it was found.
    fn find(&self, value: i64, last: &mut usize) -> Option<u32> {
        let holds = |at: usize| {
            self.starts.get(at).is_some_and(|start| *start <= value) && value < self.ends[at]
        };
        if !holds(*last) {
            *last = self.starts.partition_point(|start| *start <= value).checked_sub(1)?;
        }
        if holds(*last) { u32::try_from(*last).ok() } else { None }
    }
}

fn days(date: Date) -> i64 {
    let since = date.duration_since(Date::constant(1970, 1, 1));
    since.as_hours() / 24
}

fn wall_clock(local: DateTime) -> i128 {
    let since: SignedDuration = local.duration_since(DateTime::constant(1970, 1, 1, 0, 0, 0, 0));
    since.as_nanos()
}

fn in_unit(nanoseconds: i128, unit: TimeUnit) -> i64 {
    let by = match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    };
    i64::try_from(nanoseconds.div_euclid(by)).unwrap_or(i64::MAX)
}

/// Where a row belongs that no partition of the step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Elsewhere {
    /// Another partition of the asset, or one that does not exist yet.
    Other,
    /// No partition at all.
    Nowhere,
}

/// The partitions of the rows of one batch.
#[derive(Debug)]
pub struct RowPartitions {
    /// For each row the place of its partition in the step's set; null for a row outside of it.
    pub positions: UInt32Array,
    /// The first row that belongs to another partition than those of the step.
    pub first_other: Option<usize>,
    /// The first row that belongs to no partition.
    pub first_nowhere: Option<usize>,
}

/// Says of rows with a certain schema which of a step's partitions they belong to.
pub struct RowPartitioner {
    of: Arc<StepPartitions>,
    columns: Vec<Column>,
    /// The place in the set of each index of a partition.
    positions: HashMap<u32, u32>,
    /// Whether the set is one run of indexes, so that places need no look-up.
    run: Option<(u32, u32)>,
}

struct Column {
    /// Where it is in the rows; `None` if a step is one partition in this dimension.
    at: Option<usize>,
    /// The only part that the step has, where there is no column.
    only: u32,
    bounds: Option<Bounds>,
}

impl std::fmt::Debug for RowPartitioner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowPartitioner").field("of", &self.of).finish_non_exhaustive()
    }
}

impl RowPartitioner {
    /// # Errors
    /// One sentence, if a partition column is not there or has a type that says no partition.
    pub fn try_new(of: Arc<StepPartitions>, schema: &Schema) -> Result<Self, String> {
        let first = of.set.iter().next().unwrap_or_default();
        let only = of.keys.parts(first);
        let mut columns = Vec::new();
        for (i, dimension) in of.definition.dimensions.iter().enumerate() {
            let Some(name) = &dimension.column else {
                columns.push(Column { at: None, only: only[i], bounds: None });
                continue;
            };
            let at = schema.index_of(name).map_err(|_| {
                format!("its rows have no column `{name}`, which says their partition")
            })?;
            let data_type = schema.field(at).data_type();
            if let Some(why) = type_problem(&dimension.kind, data_type) {
                return Err(format!("column `{name}` says no partition: {why}"));
            }
            let bounds = match &of.keys.dimensions[i].values {
                Values::Time { definition, windows } if !is_text(data_type) => {
                    Some(Bounds::new(definition, windows, data_type)?)
                }
                _ => None,
            };
            columns.push(Column { at: Some(at), only: 0, bounds });
        }
        let run = match of.set.ranges().as_slice() {
            [only] => Some((*only.start(), *only.end())),
            _ => None,
        };
        let positions = match run {
            Some(_) => HashMap::new(),
            None => of.set.iter().zip(0..).collect(),
        };
        Ok(Self { of, columns, positions, run })
    }

    fn position(&self, index: u32) -> Option<u32> {
        match self.run {
            Some((first, last)) => (first <= index && index <= last).then(|| index - first),
            None => self.positions.get(&index).copied(),
        }
    }

    /// # Errors
    /// If a column cannot be read as what it says it is.
    pub fn of_rows(&self, batch: &RecordBatch) -> Result<RowPartitions, ArrowError> {
        let parts = self.columns.iter().zip(&self.of.keys.dimensions);
        let parts = parts
            .map(|(column, keys)| column.parts(keys, batch))
            .collect::<Result<Vec<_>, ArrowError>>()?;
        let mut positions = UInt32Builder::with_capacity(batch.num_rows());
        let (mut first_other, mut first_nowhere) = (None, None);
        for row in 0..batch.num_rows() {
            let mut index = Ok(0);
            for (part, keys) in parts.iter().zip(&self.of.keys.dimensions) {
                index = match (index, part[row]) {
                    (Ok(index), Ok(part)) => Ok(index * keys.len() + part),
                    (Err(Elsewhere::Nowhere), _) | (_, Err(Elsewhere::Nowhere)) => {
                        Err(Elsewhere::Nowhere)
                    }
                    _ => Err(Elsewhere::Other),
                };
            }
            let position = index.and_then(|index| self.position(index).ok_or(Elsewhere::Other));
            match position {
                Ok(_) => {}
                Err(Elsewhere::Other) => first_other = first_other.or(Some(row)),
                Err(Elsewhere::Nowhere) => first_nowhere = first_nowhere.or(Some(row)),
            }
            positions.append_option(position.ok());
        }
        Ok(RowPartitions { positions: positions.finish(), first_other, first_nowhere })
    }

    /// The columns of a row that say its partition, for people.
    pub fn told(&self, batch: &RecordBatch, row: usize) -> String {
        let options = FormatOptions::default().with_null("null");
        let schema = batch.schema();
        let columns = self.columns.iter().filter_map(|column| {
            let at = column.at?;
            let value = ArrayFormatter::try_new(batch.column(at), &options).ok()?;
            Some(format!("`{}` is {}", schema.field(at).name(), value.value(row)))
        });
        columns.collect::<Vec<_>>().join(", ")
    }
}

impl Column {
    /// For each row its part in the dimension.
    fn parts(
        &self,
        keys: &DimensionKeys,
        batch: &RecordBatch,
    ) -> Result<Vec<Result<u32, Elsewhere>>, ArrowError> {
        let Some(at) = self.at else { return Ok(vec![Ok(self.only); batch.num_rows()]) };
        let column = batch.column(at);
        match (&self.bounds, &keys.values) {
            (Some(bounds), Values::Time { definition, .. }) => {
                Ok(moments(bounds, definition.end.is_none(), &integers(column)?))
            }
            _ => texts(keys, column),
        }
    }
}

fn integers(column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match column.data_type() {
        DataType::Date32 => cast(&cast(column, &DataType::Int32)?, &DataType::Int64),
        _ => cast(column, &DataType::Int64),
    }
}

fn moments(bounds: &Bounds, goes_on: bool, values: &ArrayRef) -> Vec<Result<u32, Elsewhere>> {
    let mut last = 0;
    let known_until = bounds.ends.last().copied().unwrap_or(i64::MIN);
    let values = values.as_primitive::<Int64Type>();
    let part = |value: Option<i64>| {
        let value = value.ok_or(Elsewhere::Nowhere)?;
        bounds.find(value, &mut last).ok_or({
            if goes_on && value >= known_until { Elsewhere::Other } else { Elsewhere::Nowhere }
        })
    };
    values.iter().map(part).collect()
}

/// Keys as texts; each is looked for once.
fn texts(
    keys: &DimensionKeys,
    column: &ArrayRef,
) -> Result<Vec<Result<u32, Elsewhere>>, ArrowError> {
    let texts = cast(column, &DataType::Utf8View)?;
    let texts = texts.as_string_view();
    let mut known: HashMap<&str, Option<u32>> = HashMap::new();
    let mut last: Option<(&str, Option<u32>)> = None;
    let mut parts = Vec::with_capacity(texts.len());
    for text in texts {
        let found = match (text, last) {
            (None, _) => None,
            (Some(text), Some((before, found))) if before == text => found,
            (Some(text), _) => {
                let found = *known.entry(text).or_insert_with(|| keys.find(text));
                last = Some((text, found));
                found
            }
        };
        parts.push(found.ok_or(Elsewhere::Nowhere));
    }
    Ok(parts)
}
