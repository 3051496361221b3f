//! What the manifest says of each file: which files a filter leaves out, and what the planner is told.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, StringArray, UInt64Array};
use arrow::compute::cast;
use arrow::datatypes::Schema;
use arrowsmith_io_manager::{ColumnStatistics, StoredFile};
use datafusion::catalog::Session;
use datafusion::common::{Column, DFSchema, ScalarValue};
use datafusion::error::Result;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::{PruningPredicateBuilder, PruningStatistics};

/// Files and what is known of their columns, a column at a time.
pub(crate) struct KnownFiles<'a> {
    pub(crate) files: &'a [&'a StoredFile],
    pub(crate) schema: &'a Schema,
}

impl KnownFiles<'_> {
    /// For each file whether it may have rows for which all filters are true.
    ///
    /// # Errors
    /// The planner's, of a filter that is no expression over the columns.
    pub(crate) fn may_match(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<bool>> {
        let everything = || vec![true; self.files.len()];
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(everything()) };
        let filter =
            state.create_physical_expr(filter, &DFSchema::try_from(self.schema.clone())?)?;
        let schema = Arc::new(self.schema.clone());
        match PruningPredicateBuilder::new().with_file_schema(schema).build(filter) {
            Some(predicate) => predicate.prune(self),
            // Statistics say nothing about such a filter.
            None => Ok(everything()),
        }
    }

    /// The smallest or largest value of a column in each file; null where it is not known.
    pub(crate) fn extremes(
        &self,
        name: &str,
        pick: fn(&ColumnStatistics) -> Option<&str>,
    ) -> Option<ArrayRef> {
        let field = self.schema.field_with_name(name).ok()?;
        let text = |file: &&StoredFile| match file.partition.get(name) {
            Some(value) => value.clone(),
            None => file.columns.get(name).and_then(pick).map(str::to_owned),
        };
        let texts: StringArray = self.files.iter().map(text).collect();
        cast(&texts, field.data_type()).ok()
    }

    /// How many values of a column are null in each file.
    pub(crate) fn nulls(&self, name: &str) -> UInt64Array {
        let count = |file: &&StoredFile| match file.partition.get(name) {
            Some(Some(_)) => Some(0),
            Some(None) => Some(file.row_count),
            None => file.columns.get(name).and_then(|known| known.null_count),
        };
        self.files.iter().map(count).collect()
    }
}

pub(crate) fn smallest(known: &ColumnStatistics) -> Option<&str> {
    known.min.as_deref()
}

pub(crate) fn largest(known: &ColumnStatistics) -> Option<&str> {
    known.max.as_deref()
}

impl PruningStatistics for KnownFiles<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.extremes(&column.name, smallest)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.extremes(&column.name, largest)
    }

    fn num_containers(&self) -> usize {
        self.files.len()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        Some(Arc::new(self.nulls(&column.name)))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        Some(Arc::new(self.files.iter().map(|file| Some(file.row_count)).collect::<UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}
