//! What can cross the edge between two steps: always an Arrow table.
//!
//! A value of serde becomes a table of one row and one column, `item`, by `serde_arrow`; a type
//! whose columns cannot be told before there is a value is kept as JSON text in a column `json`.

use std::any::TypeId;
use std::future::Future;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StringArray};
use arrow::buffer::OffsetBuffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::catalog::memory::MemorySourceConfig;
use datafusion::physical_plan::ExecutionPlan;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_arrow::schema::{SchemaLike, TracingOptions};
use serde_arrow::utils::{Item, Items};

use crate::{BoundInput, BoxError, Columns, ComputeContext, RecordBatches, Table};

const ITEM: &str = "item";
const JSON: &str = "json";

/// A type that can be an input or output of an op: any `Serialize + DeserializeOwned` value,
/// [`Table<Row>`](Table) or [`RecordBatches`].
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be an input or output of an op",
    label = "cannot cross the edge of a step",
    note = "use a type with `Serialize` and `Deserialize`, `Table<Row>` or `RecordBatches`; \
            `OpContext`, `Config<_>` and `Resource<_>` are parameters that are no inputs"
)]
pub trait OpValue: Sized + Send + Sync + 'static {
    /// The columns of its table, if they are known before there is a value.
    fn schema() -> Option<SchemaRef>;

    /// The value in an input of an attempt.
    fn load(
        input: &BoundInput,
        context: &ComputeContext,
    ) -> impl Future<Output = Result<Self, BoxError>> + Send;

    /// The table of the value; `None` if it is a unit, which is not stored.
    fn into_plan(self) -> Result<Option<Arc<dyn ExecutionPlan>>, BoxError>;
}

/// A type at the edge of a step, for checks at load and for messages.
#[derive(Debug, Clone)]
pub struct ValueType {
    /// As it is written in Rust, without modules.
    pub name: String,
    id: TypeId,
    /// The type of the values that may be gathered into it, for a `Vec`.
    item: Option<TypeId>,
    /// The columns, if they are known.
    pub schema: Option<SchemaRef>,
}

impl ValueType {
    /// The type `T`.
    pub fn of<T: OpValue>() -> Self {
        Self { item: None, schema: T::schema(), ..Self::named::<T>() }
    }

    /// The type `Vec<T>`, into which several outputs of type `T` may be gathered.
    pub fn vec_of<T: OpValue>() -> Self
    where
        Vec<T>: OpValue,
    {
        Self { item: Some(TypeId::of::<T>()), ..Self::of::<Vec<T>>() }
    }

    /// What an input has that only comes after something else.
    pub fn nothing() -> Self {
        Self::named::<Nothing>()
    }

    fn named<T: 'static>() -> Self {
        let name = short_name(std::any::type_name::<T>());
        Self { name, id: TypeId::of::<T>(), item: None, schema: None }
    }

    /// Whether it is [`Nothing`]: no value is loaded.
    pub fn is_nothing(&self) -> bool {
        self.id == TypeId::of::<Nothing>()
    }

    /// Whether it is `()`: no value is stored.
    pub fn is_unit(&self) -> bool {
        self.id == TypeId::of::<()>()
    }

    /// Whether an input of this type takes an output of that type.
    pub fn takes(&self, output: &Self) -> bool {
        self.is_nothing() || self.id == output.id
    }

    /// Whether an input of this type takes several outputs of that type.
    pub fn gathers(&self, output: &Self) -> bool {
        self.item == Some(output.id)
    }
}

/// `alloc::vec::Vec<my::Row>` as `Vec<Row>`.
fn short_name(full: &str) -> String {
    let mut name = String::new();
    let mut segment = String::new();
    for c in full.chars() {
        match c {
            ':' => segment.clear(),
            c if c.is_alphanumeric() || c == '_' => segment.push(c),
            other => {
                name.push_str(&std::mem::take(&mut segment));
                name.push(other);
            }
        }
    }
    name + &segment
}

/// The type of an input that only orders: the op runs after what is wired to it, and loads nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Nothing;

/// Outputs whose number is known only when the op has run; each has a mapping key, which is part
/// of the step keys of what is mapped over them.
#[derive(Debug, Clone, Default)]
pub struct DynamicOutputs<T>(Vec<(String, T)>);

impl<T> DynamicOutputs<T> {
    /// None so far.
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// One more; keys are unique and of letters, digits and `_`.
    #[must_use]
    pub fn with(mut self, mapping_key: impl Into<String>, value: T) -> Self {
        self.0.push((mapping_key.into(), value));
        self
    }

    /// Keys and values in the order in which they were added.
    ///
    /// # Errors
    /// Names the first key that is not allowed or not unique.
    pub fn into_pairs(self) -> Result<Vec<(String, T)>, BoxError> {
        let mut seen = std::collections::HashSet::new();
        for (key, _) in &self.0 {
            if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(format!("mapping key `{key}` is not letters, digits and `_`").into());
            }
            if !seen.insert(key.clone()) {
                return Err(format!("mapping key `{key}` is emitted twice").into());
            }
        }
        Ok(self.0)
    }
}

impl<K: Into<String>, T> FromIterator<(K, T)> for DynamicOutputs<T> {
    fn from_iter<I: IntoIterator<Item = (K, T)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }
}

impl<T: Serialize + DeserializeOwned + Send + Sync + 'static> OpValue for T {
    fn schema() -> Option<SchemaRef> {
        let fields = traced::<T>();
        fields.map(|fields| Arc::new(Schema::new(fields)))
    }

    async fn load(input: &BoundInput, context: &ComputeContext) -> Result<Self, BoxError> {
        if TypeId::of::<T>() == TypeId::of::<()>() {
            return Ok(serde_json::from_value(serde_json::Value::Null)?);
        }
        let mut parts = Vec::new();
        for table in input.tables() {
            parts.push(context.collect(table).await?);
        }
        let batch = match parts.as_slice() {
            [one] if !input.is_gathered() => one.clone(),
            several => gathered(several)?,
        };
        decode(&batch)
    }

    fn into_plan(self) -> Result<Option<Arc<dyn ExecutionPlan>>, BoxError> {
        if TypeId::of::<T>() == TypeId::of::<()>() {
            return Ok(None);
        }
        let batch = encode(&self)?;
        let schema = batch.schema();
        Ok(Some(MemorySourceConfig::try_new_exec(&[vec![batch]], schema, None)?))
    }
}

impl<R: Columns> OpValue for Table<R> {
    fn schema() -> Option<SchemaRef> {
        Some(R::schema())
    }

    async fn load(input: &BoundInput, context: &ComputeContext) -> Result<Self, BoxError> {
        Self::read(&input.name, context).await
    }

    fn into_plan(self) -> Result<Option<Arc<dyn ExecutionPlan>>, BoxError> {
        let batches = self.into_batches();
        Ok(Some(MemorySourceConfig::try_new_exec(&[batches], R::schema(), None)?))
    }
}

impl OpValue for RecordBatches {
    fn schema() -> Option<SchemaRef> {
        None
    }

    async fn load(input: &BoundInput, context: &ComputeContext) -> Result<Self, BoxError> {
        Self::read(&input.name, context).await
    }

    fn into_plan(self) -> Result<Option<Arc<dyn ExecutionPlan>>, BoxError> {
        Ok(Some(MemorySourceConfig::try_new_exec(&[self.batches], self.schema, None)?))
    }
}

/// The one column of a value's table, if the type alone says it.
fn traced<T: DeserializeOwned>() -> Option<Vec<FieldRef>> {
    let options = TracingOptions::default()
        .allow_null_fields(true)
        .map_as_struct(false)
        .enums_without_data_as_strings(true);
    Vec::<FieldRef>::from_type::<Item<T>>(options).ok()
}

/// One row, one column.
pub(crate) fn encode<T: Serialize + DeserializeOwned>(value: &T) -> Result<RecordBatch, BoxError> {
    if let Some(fields) = traced::<T>()
        && let Ok(batch) = serde_arrow::to_record_batch(&fields, &Items(&[value]))
    {
        return Ok(batch);
    }
    let text: ArrayRef = Arc::new(StringArray::from(vec![serde_json::to_string(value)?]));
    Ok(RecordBatch::try_from_iter([(JSON, text)])?)
}

/// The default of an input, as the graph keeps it.
pub fn default_value<T: Serialize>(value: impl Into<T>) -> Option<serde_json::Value> {
    serde_json::to_value(value.into()).ok()
}

/// A value of JSON as the table from which an input of any type can be read.
///
/// # Errors
/// Never for a value that is one.
pub fn json_table(value: &serde_json::Value) -> Result<RecordBatch, BoxError> {
    let text: ArrayRef = Arc::new(StringArray::from(vec![value.to_string()]));
    Ok(RecordBatch::try_from_iter([(JSON, text)])?)
}

/// The value of a table that [`encode`] has made.
pub(crate) fn decode<T: DeserializeOwned>(batch: &RecordBatch) -> Result<T, BoxError> {
    if let Some(text) = batch.column_by_name(JSON) {
        return Ok(serde_json::from_str(text.as_string::<i32>().value(0))?);
    }
    let items: Vec<Item<T>> = serde_arrow::from_record_batch(batch)?;
    let first = items.into_iter().next().ok_or("the table of a value has no row")?;
    Ok(first.0)
}

/// The tables of several values as that of one list of them.
fn gathered(parts: &[RecordBatch]) -> Result<RecordBatch, BoxError> {
    if parts.iter().any(|part| part.column_by_name(JSON).is_some()) || parts.is_empty() {
        let texts = parts.iter().filter_map(|part| part.column_by_name(JSON));
        let texts: Vec<&str> = texts.map(|text| text.as_string::<i32>().value(0)).collect();
        let text: ArrayRef = Arc::new(StringArray::from(vec![format!("[{}]", texts.join(","))]));
        return Ok(RecordBatch::try_from_iter([(JSON, text)])?);
    }
    let rows = concat_batches(&parts[0].schema(), parts)?;
    let items = Arc::clone(rows.column(0));
    let item = Arc::new(Field::new_list_field(items.data_type().clone(), items.is_nullable()));
    let offsets = OffsetBuffer::from_lengths([items.len()]);
    let list: ArrayRef = Arc::new(ListArray::new(Arc::clone(&item), offsets, items, None));
    let schema = Schema::new(vec![Field::new(ITEM, DataType::List(item), false)]);
    Ok(RecordBatch::try_new(Arc::new(schema), vec![list])?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    enum Shape {
        Point,
        Circle { radius: f64 },
    }

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Nested {
        name: String,
        maybe: Option<i32>,
        list: Vec<Vec<u8>>,
        map: BTreeMap<String, f32>,
        shape: Shape,
        pair: (i64, bool),
    }

    #[track_caller]
    fn comes_back<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(value: T) {
        let batch = encode(&value).expect("a table");
        assert_eq!((batch.num_rows(), batch.num_columns()), (1, 1));
        assert_eq!(decode::<T>(&batch).expect("a value"), value);
    }

    #[test]
    fn values_of_every_shape_come_back() {
        comes_back(-7_i64);
        comes_back(f64::INFINITY);
        comes_back("ü".to_owned());
        comes_back(Some(3_u8));
        comes_back(None::<String>);
        comes_back(Vec::<i64>::new());
        comes_back(vec![Some(1), None]);
        comes_back(BTreeMap::from([("a".to_owned(), vec![1, 2])]));
        comes_back(Shape::Point);
        comes_back(serde_json::json!({"any": [1, "x", null]}));
        comes_back(Nested {
            name: "n".to_owned(),
            maybe: None,
            list: vec![vec![], vec![1]],
            map: BTreeMap::from([("k".to_owned(), 0.5)]),
            shape: Shape::Circle { radius: 1.0 },
            pair: (1, true),
        });
    }

    #[test]
    fn several_values_are_gathered_into_a_list() {
        let parts = [1.5_f64, f64::NEG_INFINITY].map(|v| encode(&v).expect("a table"));
        let list: Vec<f64> = decode(&gathered(&parts).expect("a list")).expect("values");
        assert_eq!(list, [1.5, f64::NEG_INFINITY]);
        let parts = [serde_json::json!(1), serde_json::json!("a")];
        let parts = parts.map(|v| encode(&v).expect("a table"));
        let list: Vec<serde_json::Value> =
            decode(&gathered(&parts).expect("a list")).expect("json");
        assert_eq!(list, [serde_json::json!(1), serde_json::json!("a")]);
        let none: Vec<i64> = decode(&gathered(&[]).expect("a list")).expect("values");
        assert!(none.is_empty());
    }

    #[test]
    fn types_are_named_without_modules() {
        assert_eq!(short_name("alloc::vec::Vec<(my::Row, i64)>"), "Vec<(Row, i64)>");
    }
}
