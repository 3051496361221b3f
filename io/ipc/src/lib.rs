//! Tables as immutable Arrow IPC files: what is written fast and read back at once, such as the
//! outputs of ops.
//!
//! [`IpcIoManager`] writes one file a partition of the plan, in the `file` form of the format, and
//! seals the version with a manifest. Columns of `partition_by` stay in the files; there are no
//! options.
//!
//! It knows no graph, run or job; what they want to find in a manifest comes as labels.

mod manager;
mod read;
mod write;

pub use manager::IpcIoManager;
