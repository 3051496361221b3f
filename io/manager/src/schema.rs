//! Table schemas, and what differs between two of them.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

/// The schema of a stored table: Arrow fields in the order of the columns.
///
/// A thin view of an Arrow [`Schema`] that knows what schema drift is. Metadata of fields does not
/// take part in comparisons.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSchema(SchemaRef);

impl TableSchema {
    /// Wraps an Arrow schema.
    pub fn new(schema: SchemaRef) -> Self {
        Self(schema)
    }

    /// The Arrow schema.
    pub fn arrow(&self) -> &SchemaRef {
        &self.0
    }

    /// The columns of which a reader wants to see names, types and nullability.
    pub fn columns(&self) -> impl Iterator<Item = &Arc<Field>> {
        self.0.fields().iter()
    }

    /// Column by column, what `found` has otherwise than this schema promises.
    ///
    /// A column that was promised nullable may be found not null; views and plain layouts of
    /// strings and binaries are the same type, since a reader cannot tell their rows apart.
    pub fn difference(&self, found: &Schema) -> SchemaDifference {
        let mut columns = Vec::new();
        for (position, promised) in self.0.fields().iter().enumerate() {
            let column = promised.name().clone();
            match found.fields().iter().position(|f| f.name() == promised.name()) {
                None => columns.push(ColumnDifference::Missing { column }),
                Some(at) => {
                    let field = found.field(at);
                    if plain(promised.data_type()) != plain(field.data_type()) {
                        let (expected, found) =
                            (promised.data_type().clone(), field.data_type().clone());
                        columns.push(ColumnDifference::Type { column, expected, found });
                    } else if !promised.is_nullable() && field.is_nullable() {
                        columns.push(ColumnDifference::Nullable { column });
                    } else if at != position {
                        columns.push(ColumnDifference::Position {
                            column,
                            expected: position,
                            found: at,
                        });
                    }
                }
            }
        }
        for field in found.fields() {
            if self.0.field_with_name(field.name()).is_err() {
                let (column, data_type) = (field.name().clone(), field.data_type().clone());
                columns.push(ColumnDifference::Added { column, data_type });
            }
        }
        SchemaDifference { columns }
    }
}

/// The type with layouts that mean the same rows folded together.
fn plain(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain(value),
        other => other.clone(),
    }
}

/// All columns in which two schemas differ; empty when they agree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaDifference {
    /// One entry a column.
    pub columns: Vec<ColumnDifference>,
}

impl SchemaDifference {
    /// Whether the schemas agree.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }
}

/// How one column differs.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ColumnDifference {
    /// Promised, but not there.
    Missing {
        /// Its name.
        column: String,
    },
    /// There, but not promised.
    Added {
        /// Its name.
        column: String,
        /// Its type.
        data_type: DataType,
    },
    /// Of another type.
    Type {
        /// Its name.
        column: String,
        /// The promised type.
        expected: DataType,
        /// The type that is there.
        found: DataType,
    },
    /// Promised not null, but may hold nulls.
    Nullable {
        /// Its name.
        column: String,
    },
    /// At another position, counted from zero.
    Position {
        /// Its name.
        column: String,
        /// The promised position.
        expected: usize,
        /// Where it is.
        found: usize,
    },
}

impl fmt::Display for ColumnDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { column } => write!(f, "column `{column}` is missing"),
            Self::Added { column, data_type } => {
                write!(f, "column `{column}` ({data_type}) was not promised")
            }
            Self::Type { column, expected, found } => {
                write!(f, "column `{column}` is {found}, not {expected}")
            }
            Self::Nullable { column } => write!(f, "column `{column}` may hold nulls"),
            Self::Position { column, expected, found } => {
                write!(f, "column `{column}` is at position {found}, not {expected}")
            }
        }
    }
}

impl fmt::Display for SchemaDifference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, column) in self.columns.iter().enumerate() {
            write!(f, "{}{column}", if i == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_each_column_once() {
        let promised = TableSchema::new(Arc::new(Schema::new(vec![
            Field::new("id", DataType::Int64, false),
            Field::new("name", DataType::Utf8, true),
            Field::new("gone", DataType::Utf8, true),
        ])));
        let found = Schema::new(vec![
            Field::new("id", DataType::Int64, true),
            Field::new("name", DataType::Float64, true),
            Field::new("new", DataType::Utf8View, true),
        ]);
        assert_eq!(
            promised.difference(&found).to_string(),
            "column `id` may hold nulls; column `name` is Float64, not Utf8; \
             column `gone` is missing; column `new` (Utf8View) was not promised"
        );
    }

    #[test]
    fn layouts_of_the_same_rows_do_not_differ() {
        let promised =
            TableSchema::new(Arc::new(Schema::new(vec![Field::new("name", DataType::Utf8, true)])));
        let found = Schema::new(vec![Field::new("name", DataType::Utf8View, false)]);
        assert!(promised.difference(&found).is_empty());
    }
}
