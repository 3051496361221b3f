//! Functions as assets: parameters are extractors, as in axum's handlers.
//!
//! A parameter's *type* says what it is (an upstream table, the context), and its *name* which
//! upstream asset it reads. The `#[asset]` macro only passes the names along; everything it does
//! can be done by hand with [`FunctionAsset`].

mod asset;
mod columns;
mod output;
mod param;

pub use asset::{AssetFunction, FunctionAsset};
pub use columns::{
    ColumnType, Columns, Date, Decimal, StructType, Timestamp, build_struct, list_item,
    struct_field, typed_array,
};
pub use output::IntoOutput;
pub use param::{AssetParam, Declaration, RecordBatches, Table, scan_as};
