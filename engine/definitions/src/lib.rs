//! What a project consists of: assets, their dependencies, and what may be said about them.
//!
//! A [`Repository`] gathers [`Asset`]s from Rust code and project folders. [`Repository::resolve`]
//! derives the [`AssetGraph`], propagates schemas from sources to leaves and returns either a
//! [`Resolved`] repository or *every* problem as a [`Diagnostic`] with its place.
//!
//! ```text
//! Repository ──resolve──▶ Resolved { graph, schema of each asset }
//!     ▲                        │ Selection::evaluate
//!   Asset = key + attributes + inputs + Compute
//! ```
//!
//! This crate is pure: it reads no clock and no disk, starts no task, and plans no SQL. How an
//! asset's rows are computed is behind [`Compute`]; where they are stored is behind
//! [`IoManager`](arrowsmith_io_manager::IoManager).
//!
//! ```
//! use arrowsmith_definitions::AssetKey;
//! let key: AssetKey = "marts/delays".parse().unwrap();
//! assert_eq!(key.to_string(), "marts.delays");
//! ```

mod asset;
mod automation;
mod check;
mod compute;
mod config;
mod context;
mod diagnostic;
mod failure;
mod freshness;
mod function;
mod graph;
mod hook;
mod job;
mod key;
mod lineage;
mod logger;
mod materialized;
mod operations;
mod ops;
mod partition;
mod policy;
mod reads;
mod reference;
mod repository;
mod resolve;
mod resource;
mod run_request;
mod schedule;
mod selection;
mod sensor;

mod unit_test;

pub use asset::{Asset, Attributes, Backing, Body, Input, Source, StorageSpec, TableSource};
pub use automation::{AutomationCondition, ConditionError, Cron, DepFilter, Operand};
pub use check::{
    Aggregate, AggregateWatch, AssetCheck, CheckBody, CheckContext, CheckResult, CheckSeverity,
    SAMPLED_ROWS, Watch,
};
pub use compute::{BoxError, Compute, InputSchema, Resolution};
pub use config::{
    Config, ConfigMapping, ConfigSchema, Entry, Environment, Field, Secret, Shape, Tree,
    check_config, run_shape,
};
pub use context::{
    AssetContext, BoundInput, ComputeContext, History, NoHistory, OpContext, OutputMetadata,
    RESULT, StepInfo,
};
pub use diagnostic::{Code, Diagnostic, Label, Place, Position, Problems, Severity};
pub use failure::{PermanentFailure, RetryRequested};
pub use freshness::{FreshnessPolicy, FreshnessState};
pub use function::{
    AssetFunction, AssetParam, ColumnType, Columns, Date, Decimal, Declaration, FunctionAsset,
    IntoOutput, RecordBatches, StructType, Table, Timestamp, build_struct, list_item, scan_as,
    struct_field, typed_array,
};
pub use graph::AssetGraph;
pub use hook::{Hook, HookAction, HookContext, HookEvent, HookFunction};
pub use job::{Job, JobTarget};
pub use key::{AssetKey, InvalidKey};
pub use lineage::{Affected, ColumnLineage, ColumnOf, Influence, LineageEdge};
pub use logger::{Logger, USER_FIELDS};
pub use materialized::{HardDeletes, Materialized, SchemaChange, Snapshot};
pub use operations::{
    Channel, Launcher, Notification, Occasion, Operations, RetryStrategy, TagLimit, TagValues,
};
pub use ops::{
    DynamicHandle, DynamicOutputs, Emitted, FlatGraph, FlatInput, FlatNode, FlatSource, Graph,
    GraphInput, GraphInputs, GraphNode, GraphOutput, Handle, Handles, IntoInput, Literal, NodeBody,
    NodeBuilder, Nothing, Op, OpBody, OpInput, OpOutput, OpValue, Outputs, Source as GraphSource,
    Unset, ValueType, Wiring, compose, default_value, json_table, node,
};
pub use partition::{
    BackfillPolicy, Cadence, CustomMapping, Dimension, DimensionKind, DynamicKeys, OutsideRows,
    PartitionExpr, PartitionExprError, PartitionKeys, PartitionMapping, PartitionSet, Partitions,
    Required, RowPartitioner, RowPartitions, StepPartitions, TimeWindow, TimeWindows,
    check_partition_key,
};
pub use policy::{Backoff, ExecutionPolicy, Jitter, RetryPolicy};
pub use reads::{Reads, Scan};
pub use reference::AssetReference;
pub use repository::{
    Definitions, IoManagerChoice, IoManagerSettings, Limits, LoadOptions, Loader, Repository,
};
pub use resolve::{IoManagers, Resolved, ResolvedAsset, ResolvedInput, ResolvedSchedule};
pub use resource::{Made, Resource, ResourceDefinition, ResourceNeed, ResourceType, Resources};
pub use run_request::{RunRequest, RunTarget};
pub use schedule::{
    Schedule, ScheduleCadence, ScheduleContext, ScheduleFunction, TickResult, Ticks,
};
pub use selection::{Selection, SelectionError};
pub use sensor::{
    AssetEvent, AssetEventFunction, AssetSensor, FileSensor, Happenings, RunEnd, RunEvent,
    RunEventFunction, RunSensor, Sensor, SensorContext, SensorFunction, SensorKind, SensorResult,
};
pub use unit_test::{Given, ResolvedUnitTest, UnitTest};

pub use arrowsmith_io_manager::nearest;
