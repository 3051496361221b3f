//! A dataflow engine: software-defined assets on Apache Arrow.
//!
//! This crate re-exports the others, and is all that a user's package depends on.
//!
//! ```no_run
//! use arrowsmith::prelude::*;
//!
//! #[derive(Columns)]
//! struct Order { customer: String, amount: f64 }
//!
//! #[derive(Columns)]
//! struct Spent { customer: String, amount: f64 }
//!
//! /// What each customer has spent.
//! #[asset(group = "marts")]
//! fn spent(orders: Table<Order>) -> Vec<Spent> {
//!     let mut spent = std::collections::BTreeMap::new();
//!     for order in orders.rows() {
//!         *spent.entry(order.customer).or_insert(0.0) += order.amount;
//!     }
//!     spent.into_iter().map(|(customer, amount)| Spent { customer, amount }).collect()
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     arrowsmith::main(
//!         Repository::new("shop")
//!             .with(sql_asset("orders", "select 'ada' as customer, 12.5 as amount"))
//!             .with(assets![spent]),
//!     )
//! }
//! ```

extern crate self as arrowsmith;

pub use arrowsmith_definitions::*;
pub use arrowsmith_macros::{Columns, asset, graph, op};
pub use arrowsmith_sql::{SqlProject, SqlQuery, sql_asset, sql_project};
pub use {arrow, datafusion, object_store};

/// Storage: IO managers, stores, manifests, and the suite that a manager must pass.
pub mod io {
    pub use arrowsmith_io_csv::CsvIoManager;
    #[cfg(feature = "delta")]
    pub use arrowsmith_io_delta::DeltaIoManager;
    pub use arrowsmith_io_ipc::IpcIoManager;
    pub use arrowsmith_io_manager::*;
    pub use arrowsmith_io_parquet::{ParquetIoManager, ParquetOptions};
    #[cfg(feature = "postgres")]
    pub use arrowsmith_io_postgres::PostgresIoManager;
    /// What an `impl IoManager` is marked with.
    pub use async_trait::async_trait;
}

/// Runs, events and the catalog.
pub mod instance {
    pub use arrowsmith_instance::*;
}

/// Planning and running without the command line.
pub mod execution {
    pub use arrowsmith_execution::*;
}

/// Schedules, sensors and the run queue without the command line.
pub mod daemon {
    pub use arrowsmith_daemon::*;
}

/// Resources that ship with it.
pub mod resources {
    pub use arrowsmith_resources::*;
}

/// What the definitions of a repository need.
pub mod prelude {
    pub use crate::{
        Asset, AssetContext, AssetKey, BackfillPolicy, BoxError, Cadence, Columns, Config, Date,
        Decimal, DynamicHandle, DynamicOutputs, FunctionAsset, Graph, Handle, Hook, Job, Literal,
        Nothing, OpContext, PartitionMapping, Partitions, RecordBatches, Repository, Resource,
        ResourceDefinition, ResourceType, Resources, RetryRequested, RunRequest, RunTarget,
        Schedule, ScheduleContext, Sensor, SensorContext, SensorResult, Table, TickResult,
        TimeWindows, Timestamp, Unset, asset, assets, graph, op, sql_asset, sql_project,
    };
    pub use datafusion::dataframe::DataFrame;
    pub use datafusion::prelude::{col, lit};
}

/// The command line of a repository: a binary that calls it *is* its CLI.
pub fn main(repository: Repository) -> std::process::ExitCode {
    arrowsmith_cli::main(Some(repository))
}

/// The command line of the project folder that it is started in.
pub fn project_main() -> std::process::ExitCode {
    arrowsmith_cli::main(None)
}

/// The assets of functions with `#[asset]`, as a `Vec<Asset>`.
#[macro_export]
macro_rules! assets {
    ($($function:ty),* $(,)?) => {
        ::std::vec![$(<$function>::asset()),*]
    };
}
