//! Rust types as Arrow columns: what `#[derive(Columns)]` builds on.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, BooleanArray, Date32Array, Decimal128Array, ListArray,
    PrimitiveArray, StringArray, StructArray, TimestampMicrosecondArray, make_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{
    DataType, Field, FieldRef, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Schema, SchemaRef, TimeUnit, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;

/// A row type: its Arrow schema, a view of its columns without copying, and rows both ways.
///
/// Use `#[derive(Columns)]`. The view of `struct Order { amount: f64 }` has a method
/// `amount() -> &Float64Array`.
pub trait Columns: Sized + Send + Sync + 'static {
    /// The columns of one batch, each already of its array type.
    type View<'a>;

    /// The columns in the order of the struct's fields.
    fn fields() -> Fields;

    /// The columns of a batch that has [`schema`](Self::schema) exactly.
    fn view(columns: &[ArrayRef]) -> Self::View<'_>;

    /// One row of a view.
    fn row(view: &Self::View<'_>, row: usize) -> Self;

    /// The arrays of rows; `None` is a null of every column.
    fn arrays(rows: Vec<Option<Self>>) -> Vec<ArrayRef>;

    /// The schema of the table that holds such rows.
    fn schema() -> SchemaRef {
        Arc::new(Schema::new(Self::fields()))
    }

    /// Rows as one batch.
    ///
    /// # Errors
    /// If a value does not fit its column, such as a decimal with too many digits.
    fn batch(rows: Vec<Self>) -> Result<RecordBatch, ArrowError> {
        let count = rows.len();
        let arrays = Self::arrays(rows.into_iter().map(Some).collect());
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(Self::schema(), arrays, &options)
    }
}

/// A Rust type that can be the type of a column.
///
/// | Rust | Arrow |
/// |---|---|
/// | `bool`, `i8`…`i64`, `u8`…`u64`, `f32`, `f64` | the same |
/// | `String` | Utf8 |
/// | [`Date`] | Date32 |
/// | [`Timestamp`] | Timestamp(µs), with `#[column(timezone = "…")]` in that zone |
/// | [`Decimal<P, S>`](Decimal) | Decimal128(P, S) |
/// | `Vec<T>` | List of T |
/// | a struct that derives `Columns` | Struct |
/// | `Option<T>` | T, nullable |
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a column",
    label = "no Arrow type is known for this",
    note = "use a number, `bool`, `String`, `Date`, `Timestamp`, `Decimal<P, S>`, `Vec<_>`, \
            `Option<_>`, or a struct with `#[derive(Columns)]`"
)]
pub trait ColumnType: Sized {
    /// The array of such a column.
    type Array: Array + Clone + 'static;
    /// Whether the column may hold nulls.
    const NULLABLE: bool = false;
    /// The Arrow type.
    fn data_type() -> DataType;
    /// The value of a row that is not null, or of any row for an `Option`.
    fn value(array: &Self::Array, row: usize) -> Self;
    /// An array of values; `None` is null.
    fn build(values: Vec<Option<Self>>) -> Self::Array;
    /// The array behind a column of this type.
    fn downcast(array: &ArrayRef) -> &Self::Array {
        array.as_any().downcast_ref().expect("a column is cast to its type before it is viewed")
    }
}

macro_rules! primitives {
    ($($rust:ty => $arrow:ty),+ $(,)?) => {$(
        impl ColumnType for $rust {
            type Array = PrimitiveArray<$arrow>;
            fn data_type() -> DataType {
                <$arrow as ArrowPrimitiveType>::DATA_TYPE
            }
            fn value(array: &Self::Array, row: usize) -> Self {
                array.value(row)
            }
            fn build(values: Vec<Option<Self>>) -> Self::Array {
                values.into_iter().collect()
            }
        }
    )+};
}

primitives! {
    i8 => Int8Type, i16 => Int16Type, i32 => Int32Type, i64 => Int64Type,
    u8 => UInt8Type, u16 => UInt16Type, u32 => UInt32Type, u64 => UInt64Type,
    f32 => Float32Type, f64 => Float64Type,
}

impl ColumnType for bool {
    type Array = BooleanArray;
    fn data_type() -> DataType {
        DataType::Boolean
    }
    fn value(array: &Self::Array, row: usize) -> Self {
        array.value(row)
    }
    fn build(values: Vec<Option<Self>>) -> Self::Array {
        values.into_iter().collect()
    }
}

impl ColumnType for String {
    type Array = StringArray;
    fn data_type() -> DataType {
        DataType::Utf8
    }
    fn value(array: &Self::Array, row: usize) -> Self {
        array.value(row).to_owned()
    }
    fn build(values: Vec<Option<Self>>) -> Self::Array {
        values.into_iter().collect()
    }
}

/// A day, as days since 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub i32);

impl ColumnType for Date {
    type Array = Date32Array;
    fn data_type() -> DataType {
        DataType::Date32
    }
    fn value(array: &Self::Array, row: usize) -> Self {
        Self(array.value(row))
    }
    fn build(values: Vec<Option<Self>>) -> Self::Array {
        values.into_iter().map(|v| v.map(|d| d.0)).collect()
    }
}

/// A moment, as microseconds since 1970-01-01 00:00 UTC.
///
/// Its column has no time zone unless the field says `#[column(timezone = "…")]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

impl ColumnType for Timestamp {
    type Array = TimestampMicrosecondArray;
    fn data_type() -> DataType {
        DataType::Timestamp(TimeUnit::Microsecond, None)
    }
    fn value(array: &Self::Array, row: usize) -> Self {
        Self(array.value(row))
    }
    fn build(values: Vec<Option<Self>>) -> Self::Array {
        values.into_iter().map(|v| v.map(|t| t.0)).collect()
    }
}

/// A number with `S` decimal places and at most `P` digits, kept as a whole number of units of
/// the last place: `Decimal::<12, 2>(1999)` is 19.99.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Decimal<const P: u8, const S: i8>(pub i128);

impl<const P: u8, const S: i8> ColumnType for Decimal<P, S> {
    type Array = Decimal128Array;
    fn data_type() -> DataType {
        DataType::Decimal128(P, S)
    }
    fn value(array: &Self::Array, row: usize) -> Self {
        Self(array.value(row))
    }
    fn build(values: Vec<Option<Self>>) -> Self::Array {
        let array: Decimal128Array = values.into_iter().map(|v| v.map(|d| d.0)).collect();
        array.with_data_type(Self::data_type())
    }
}

impl<T: ColumnType> ColumnType for Option<T> {
    type Array = T::Array;
    const NULLABLE: bool = true;
    fn data_type() -> DataType {
        T::data_type()
    }
    fn value(array: &Self::Array, row: usize) -> Self {
        array.is_valid(row).then(|| T::value(array, row))
    }
    fn build(values: Vec<Option<Self>>) -> Self::Array {
        T::build(values.into_iter().map(Option::flatten).collect())
    }
}

impl<T: ColumnType> ColumnType for Vec<T> {
    type Array = ListArray;
    fn data_type() -> DataType {
        DataType::List(list_item::<T>())
    }
    fn value(array: &Self::Array, row: usize) -> Self {
        let items = array.value(row);
        let items = T::downcast(&items);
        (0..items.len()).map(|i| T::value(items, i)).collect()
    }
    fn build(values: Vec<Option<Self>>) -> Self::Array {
        let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
        let lengths = values.iter().map(|list| list.as_ref().map_or(0, Self::len));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let items = values.into_iter().flatten().flatten().map(Some).collect();
        let items: ArrayRef = Arc::new(T::build(items));
        ListArray::new(list_item::<T>(), offsets, items, Some(nulls))
    }
}

/// The field of the items of a list of `T`.
pub fn list_item<T: ColumnType>() -> FieldRef {
    Arc::new(Field::new_list_field(T::data_type(), T::NULLABLE))
}

/// A row type as the type of a column; implemented by `#[derive(Columns)]`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the type of a column",
    label = "no Arrow type is known for `{Self}`",
    note = "use a number, `bool`, `String`, `Date`, `Timestamp`, `Decimal<P, S>`, `Vec<_>`, \
            `Option<_>`, or a struct with `#[derive(Columns)]`"
)]
pub trait StructType: Columns {}

impl<R: StructType> ColumnType for R {
    type Array = StructArray;
    fn data_type() -> DataType {
        DataType::Struct(R::fields())
    }
    fn value(array: &Self::Array, row: usize) -> Self {
        R::row(&R::view(array.columns()), row)
    }
    fn build(values: Vec<Option<Self>>) -> Self::Array {
        build_struct(values)
    }
}

/// An array of structs; a null row is null in every field.
pub fn build_struct<R: Columns>(values: Vec<Option<R>>) -> StructArray {
    let nulls: NullBuffer = values.iter().map(Option::is_some).collect();
    let length = values.len();
    let arrays = R::arrays(values);
    StructArray::try_new_with_length(R::fields(), arrays, Some(nulls), length)
        .expect("the arrays of a row type have its fields' types")
}

/// The field of a struct; `timezone` replaces the time zone of a timestamp.
pub fn struct_field(
    name: &str,
    data_type: DataType,
    nullable: bool,
    timezone: Option<&str>,
) -> Field {
    let data_type = match (data_type, timezone) {
        (DataType::Timestamp(unit, _), Some(zone)) => DataType::Timestamp(unit, Some(zone.into())),
        (other, _) => other,
    };
    Field::new(name, data_type, nullable)
}

/// An array as the column of a field; a timestamp takes the field's time zone.
pub fn typed_array(array: impl Array + 'static, field: &Field) -> ArrayRef {
    if array.data_type() == field.data_type() {
        return Arc::new(array);
    }
    // Only the time zone can differ, which is no part of the values; a cast would shift them.
    let data = array.to_data().into_builder().data_type(field.data_type().clone()).build();
    make_array(data.expect("a timestamp can be given a time zone"))
}
