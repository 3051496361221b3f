//! The default IO manager: tables as immutable Parquet files.
//!
//! [`ParquetIoManager`] executes the partitions of a plan concurrently, one writer each, into
//! `<table>/<version>/<hive path>/<partition>-<n>.parquet`, hashes every byte on its way, and seals
//! the version with a manifest. Reading needs no listing: the manifest names the files, their
//! lengths and their statistics.
//!
//! | file | what it does |
//! |---|---|
//! | `options.rs` | the options of TOML and of assets, as `WriterProperties` |
//! | `write.rs` | plan → streams → files |
//! | `prune.rs` | which files a filter leaves out by what the manifest says of them |
//! | `hive.rs` | the columns that say into which directory a row goes |
//! | `split.rs` | rows → pieces, one a directory |
//! | `gather.rs` | pieces are gathered within a budget, then encoded directory by directory |
//! | `spill.rs` | small pieces wait on disk |
//! | `encoding.rs` | how columns are best encoded |
//! | `file.rs` | one file: encode, hash, upload, collect statistics |
//! | `checked.rs` | what is compared with the manifest before a row is decoded |
//! | `texts.rs` | statistics of texts, where the encoder takes none |
//! | `read.rs` | files → `TableProvider` |
//!
//! It knows no graph, run or job; what they want to find in a footer comes as labels.

mod checked;
mod encoding;
mod file;
mod gather;
mod hive;
mod manager;
mod options;
mod prune;
mod read;
mod spill;
mod split;
mod texts;
mod write;

pub use manager::ParquetIoManager;
pub use options::ParquetOptions;
