//! One integration binary, because each one links DataFusion. A module a topic; every test goes
//! through a public interface: the library's, or the command line's.
#![expect(clippy::disallowed_methods, reason = "tests wait for processes by the machine's clock")]

mod automation;
mod check;
mod checks;
mod cli;
mod corruption;
mod crash;
mod delta;
mod every_call;
mod examples;
mod execution;
mod faults;
mod flights;
mod fresh;
mod fuzzed;
mod in_process;
mod incremental;
mod interop;
mod io_managers;
mod jobs;
mod lineage;
mod memory;
mod monitoring;
mod operate;
mod ops;
mod own_io_manager;
mod partitioned;
mod partitions;
mod postgres;
mod power;
mod python;
mod queue;
mod random_graphs;
mod resources;
mod rust_assets;
mod s3;
mod schedules;
mod selection;
mod sensors;
mod shared_instance;
mod signatures;
mod support;
#[path = "../fuzz/targets.rs"]
mod targets;
mod telemetry;
mod templates;
mod tpch;
mod unchanged;
mod unit_tests;
mod web;
