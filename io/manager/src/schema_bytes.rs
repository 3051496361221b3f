//! A schema as bytes: an Arrow IPC message, as Parquet footers have it too.

use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

use arrow::datatypes::Schema;
use arrow::ipc::convert::{IpcSchemaEncoder, fb_to_schema};
use arrow::ipc::root_as_schema;

/// The schema with all of its metadata, which [`schema_from_bytes`] reads again.
pub fn schema_to_bytes(schema: &Schema) -> Vec<u8> {
    IpcSchemaEncoder::new().schema_to_fb(schema).finished_data().to_vec()
}

/// The schema that such bytes say; `None` if they do not say one.
pub fn schema_from_bytes(bytes: &[u8]) -> Option<Schema> {
    let message = root_as_schema(bytes).ok()?;
    // Of types that are not there, or lack a part, arrow has no error but a panic.
    quietly(|| fb_to_schema(message))
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// What a function returns; `None` if it panics, of which nobody is told.
fn quietly<T>(function: impl FnOnce() -> T) -> Option<T> {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                usual(info);
            }
        }));
    });
    QUIET.set(true);
    let returned = panic::catch_unwind(AssertUnwindSafe(function));
    QUIET.set(false);
    returned.ok()
}
