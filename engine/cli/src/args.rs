//! The command line's grammar.

mod operate;
mod web;

use std::path::PathBuf;

use clap::builder::TypedValueParser;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use operate::{
    DaemonCommand, LaunchArgs, ScheduleCommand, SensorCommand, TicksArgs, WorkspaceCommand,
};
pub(crate) use web::WebArgs;

/// Software-defined assets on Apache Arrow.
#[derive(Debug, Parser)]
#[command(name = "arrowsmith", version, max_term_width = 100, propagate_version = true)]
pub(crate) struct Arguments {
    /// The project folder [default: the nearest `arrowsmith.toml` upward]
    #[arg(long, global = true, value_name = "DIR", env = "ARROWSMITH_PROJECT")]
    pub(crate) project: Option<PathBuf>,
    /// A variable of the project; may be given several times
    #[arg(long = "var", global = true, value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub(crate) variables: Vec<(String, String)>,
    /// Say more: -v for debug, -vv for trace lines
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
    /// How to write log lines to standard error
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text, env = "ARROWSMITH_LOG_FORMAT")]
    pub(crate) log_format: LogFormat,
    /// When to use colour
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    pub(crate) color: Color,
    #[command(subcommand)]
    pub(crate) command: Command,
}

fn parse_variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Color {
    Auto,
    Always,
    Never,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

impl Color {
    pub(crate) fn write_global(self) {
        match self {
            Self::Auto => {}
            Self::Always => anstream::ColorChoice::Always.write_global(),
            Self::Never => anstream::ColorChoice::Never.write_global(),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a new project that runs at once
    Init {
        /// The folder; it must be empty or new
        #[arg(default_value = ".")]
        directory: PathBuf,
    },
    /// Type-check the whole project without running anything
    Check {
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Run the unit tests of `tests/*.toml`
    Test {
        /// Only tests with this text in their name or in that of their asset
        filter: Option<String>,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Look at the assets of the project
    #[command(subcommand)]
    Asset(AssetCommand),
    /// Compute assets that are missing or stale, and publish their tables
    Materialize {
        /// Which assets, such as `marts.delays`, `+delays`, `group:marts and not tag:slow` [default: all]
        selection: Vec<String>,
        #[command(flatten)]
        partitions: PartitionArgs,
        /// Make incremental assets anew, as if nothing was stored
        #[arg(long)]
        full_refresh: bool,
        /// Compute everything that is selected, also what is fresh
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Show what `materialize` would do, and why
    Plan {
        /// Which assets [default: all]
        selection: Vec<String>,
        #[command(flatten)]
        partitions: PartitionArgs,
        /// As if everything that is selected was computed, also what is fresh
        #[arg(long)]
        force: bool,
        /// End with 4 if something would run
        #[arg(long)]
        exit_code: bool,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show what an asset or a column comes from, and where it goes
    Lineage {
        /// The asset
        #[arg(required_unless_present = "svg")]
        asset: Option<String>,
        /// A column of it
        #[arg(long, value_name = "NAME")]
        column: Option<String>,
        /// Draw the graph into this file instead: all of it, or what the asset reads and is read by
        #[arg(long, value_name = "FILE", conflicts_with = "column")]
        svg: Option<PathBuf>,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show whether an asset is fresh, and why not
    Why {
        /// The asset, or partitions of it as `ASSET[SET]`
        #[arg(required_unless_present = "if_column_changes")]
        asset: Option<String>,
        /// Show instead what would run if the values of a column changed, such as `staging.orders.amount`
        #[arg(long, value_name = "ASSET.COLUMN", conflicts_with_all = ["asset", "PartitionArgs"])]
        if_column_changes: Option<String>,
        #[command(flatten)]
        partitions: PartitionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Compute current tables once more, and compare them with what is stored
    Verify {
        /// The assets, as a selection; all of them if there is none
        selection: Vec<String>,
        /// Only a random share of tables and partitions, such as `5%`
        #[arg(long, value_name = "SHARE", default_value = "100%", value_parser = parse_share)]
        sample: f64,
        #[command(flatten)]
        partitions: PartitionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Materialize many partitions, and go on where it stopped
    #[command(subcommand)]
    Backfill(BackfillCommand),
    /// Look at partitions, and change dynamic ones
    #[command(subcommand)]
    Partitions(PartitionsCommand),
    /// Look at jobs and run them
    #[command(subcommand)]
    Job(JobCommand),
    /// Look at runs, queue them, stop them, and run them again
    #[command(subcommand)]
    Run(RunCommand),
    /// Look at schedules, and start and stop them
    #[command(subcommand)]
    Schedule(ScheduleCommand),
    /// Look at sensors, and start and stop them
    #[command(subcommand)]
    Sensor(SensorCommand),
    /// Let the repository work by itself
    #[command(subcommand)]
    Daemon(DaemonCommand),
    /// Serve the web UI; what is queued waits for a daemon
    Web(WebArgs),
    /// Open the web UI, with a daemon beside it
    Dev(WebArgs),
    /// Look at several repositories at once
    #[command(subcommand)]
    Workspace(WorkspaceCommand),
    /// Say what is in the repository, for a workspace
    #[command(hide = true)]
    Describe,
    /// Show the head of a table, its columns and its statistics
    Show {
        /// The asset
        asset: String,
        /// Rows to show
        #[arg(short = 'n', long, default_value_t = 10)]
        limit: usize,
        #[command(flatten)]
        partitions: PartitionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Run a SQL query over the current tables
    Query {
        /// The query; `-` reads it from standard input
        sql: String,
        /// How to write the result
        #[arg(short, long, value_enum, default_value_t = QueryFormat::Table)]
        format: QueryFormat,
        /// Write to a file instead of standard output; `parquet` and `arrow` need it
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
    /// Print the files of an asset's current version, for DuckDB, polars and others
    Files {
        /// The asset
        asset: String,
        #[command(flatten)]
        partitions: PartitionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Remove versions that nothing needs
    Vacuum {
        /// Keep what is younger, such as `24h` or `7d`; `0` keeps nothing that is not needed
        #[arg(long, default_value = "7d", value_parser = parse_retention)]
        retention: std::time::Duration,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Compare every current table with its manifest
    Fsck {
        /// Compare sizes only, without reading the files
        #[arg(long)]
        quick: bool,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Look after what is stored
    #[command(subcommand)]
    Io(IoCommand),
    /// Measure ways to store tables
    #[command(subcommand)]
    Bench(BenchCommand),
    /// Look after the instance
    #[command(subcommand)]
    Instance(InstanceCommand),
    /// Explain the code of a message, such as AS0206
    Explain {
        /// The code; all codes are listed without it
        code: Option<String>,
    },
    /// Print a script that completes commands in a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum AssetCommand {
    /// List assets
    List {
        /// Which assets [default: all, sources included]
        selection: Vec<String>,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show everything that is known of an asset
    Show {
        /// The asset
        asset: String,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// List the stored versions of an asset, newest first
    Versions {
        /// The asset
        asset: String,
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Make a stored version current again; nothing is computed or copied
    Rollback {
        /// The asset
        asset: String,
        /// The version [default: the one before what is current]
        #[arg(value_name = "VERSION")]
        to: Option<String>,
    },
}

/// How a run is carried out.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RunArgs {
    /// Steps that compute at the same time
    #[arg(short = 'j', long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_concurrent: Option<u16>,
    /// Stop everything at the first failure
    #[arg(long)]
    pub(crate) fail_fast: bool,
    /// A label of the run; may be given several times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub(crate) tags: Vec<(String, String)>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum IoCommand {
    /// Copy what is current to another IO manager, compare it, and make the copy current
    Migrate {
        /// Which assets [default: all]
        selection: Vec<String>,
        /// The name of the IO manager
        #[arg(long, value_name = "NAME")]
        to: String,
        #[command(flatten)]
        format: FormatArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    /// Write and read the same rows in every way that is asked about
    Io(BenchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// The asset whose current rows are measured with [default: generated events]
    pub(crate) asset: Option<String>,
    /// How many rows are generated
    #[arg(long, default_value_t = 1_000_000, conflicts_with = "asset")]
    pub(crate) rows: usize,
    /// Types of IO managers: `parquet`, `delta`, `ipc`, `csv`, `postgres`, `memory`
    #[arg(long, value_delimiter = ',', default_value = "parquet")]
    pub(crate) managers: Vec<String>,
    /// Stores, such as `warehouse` or `s3://bucket/prefix` [default: that of the home]
    #[arg(long, value_delimiter = ',', value_name = "URL")]
    pub(crate) stores: Vec<String>,
    /// Codecs of Parquet, such as `zstd(1),snappy,none`
    #[arg(long, value_delimiter = ',')]
    pub(crate) compression: Vec<String>,
    /// Rows of a row group
    #[arg(long, value_delimiter = ',')]
    pub(crate) row_group_rows: Vec<String>,
    /// Columns that make directories; `none` for a plain table
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    pub(crate) partition_by: Vec<String>,
    /// Columns by which files are sorted; `none` for rows as they come
    #[arg(long, value_delimiter = ',', value_name = "COLUMN")]
    pub(crate) sort_by: Vec<String>,
    /// Repetitions after one that does not count
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..).map(usize::from))]
    pub(crate) repeat: usize,
    /// Also draw the results
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// Which partitions.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PartitionArgs {
    /// Which partitions, such as `2013-01-05`, `2013-02`, `2013-01-01...2013-01-31`, `missing`,
    /// `latest(7)`, `all,!2013-03` [default: all]
    #[arg(short, long = "partition", value_name = "SET")]
    pub(crate) partitions: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BackfillCommand {
    /// Make partitions of assets, in the order of their dependencies
    Start {
        /// Which assets [default: all]
        selection: Vec<String>,
        #[command(flatten)]
        partitions: PartitionArgs,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Show how far a backfill is
    Status {
        /// Its id, the end of one, or `latest`
        #[arg(default_value = "latest")]
        backfill: String,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// List backfills, newest first
    List {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Ask a backfill to stop; what it has made stays
    Cancel {
        /// Its id, the end of one, or `latest`
        #[arg(default_value = "latest")]
        backfill: String,
    },
    /// Make what a stopped or interrupted backfill has not made
    Resume {
        /// Its id, the end of one, or `latest`
        #[arg(default_value = "latest")]
        backfill: String,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Make again what failed in a backfill
    Retry {
        /// Its id, the end of one, or `latest`
        #[arg(default_value = "latest")]
        backfill: String,
        #[command(flatten)]
        run: RunArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum PartitionsCommand {
    /// List the partitions of an asset
    List {
        /// The asset
        asset: String,
        #[command(flatten)]
        partitions: PartitionArgs,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Add keys to a list of dynamic partitions
    Add {
        /// The name of the list
        name: String,
        /// The keys
        #[arg(required = true)]
        keys: Vec<String>,
    },
    /// Take keys from a list of dynamic partitions; what was materialized for them stays
    Remove {
        /// The name of the list
        name: String,
        /// The keys
        #[arg(required = true)]
        keys: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum JobCommand {
    /// List jobs
    List {
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show the steps of a job, or what its run config looks like
    Show {
        /// The job
        job: String,
        /// Show the reference of its run config instead
        #[arg(long)]
        config: bool,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Run a job
    Run {
        /// The job
        job: String,
        /// A run config in TOML, YAML or JSON; of several, the first wins
        #[arg(short, long = "config", value_name = "FILE")]
        config: Vec<PathBuf>,
        /// An entry of the run config, such as `ops.greet.config.name=ada`; wins over files
        #[arg(long = "set", value_name = "PATH=VALUE", value_parser = parse_variable)]
        set: Vec<(String, String)>,
        /// Which ops, such as `x`, `x+`, `++x`, `*x`, `x*`, joined by commas [default: all]
        #[arg(long, value_name = "OPS")]
        select: Option<String>,
        #[command(flatten)]
        partitions: PartitionArgs,
        #[command(flatten)]
        run: RunArgs,
    },
    /// Write a commented template of the run config of a job
    ScaffoldConfig {
        /// The job
        job: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// List the newest runs
    List {
        /// How many
        #[arg(short = 'n', long, default_value_t = 20)]
        limit: u32,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show the steps of a run
    Show {
        /// Its id, the beginning or end of it, or `latest`
        #[arg(default_value = "latest")]
        run: String,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Run a run again: all of it, what failed and what never ran, or some of its steps
    Reexecute {
        /// Its id, the beginning or end of it, or `latest`
        #[arg(default_value = "latest")]
        run: String,
        /// Only steps that failed or never ran; the outputs of the others are loaded
        #[arg(long, conflicts_with = "select")]
        from_failure: bool,
        /// Only these steps, such as `x*`; the outputs of the others are loaded
        #[arg(long, value_name = "STEPS")]
        select: Option<String>,
        #[command(flatten)]
        options: RunArgs,
    },
    /// Queue a run, which a daemon carries out
    Launch(LaunchArgs),
    /// Ask a run to stop, wherever it goes on, and wait until it has
    Terminate {
        /// Its id, the beginning or end of it, or `latest`
        #[arg(default_value = "latest")]
        run: String,
        /// Only ask
        #[arg(long)]
        no_wait: bool,
    },
    /// Carry out a run of the queue in this process, as the daemon lets its processes do
    #[command(hide = true)]
    Execute {
        /// Its id
        run: String,
    },
    /// Show what happened in a run, with the log lines of its steps
    Logs {
        /// Its id, the beginning or end of it, or `latest`
        #[arg(default_value = "latest")]
        run: String,
        /// Only this step
        #[arg(long)]
        step: Option<String>,
        #[command(flatten)]
        format: FormatArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum InstanceCommand {
    /// Say where the instance is and what is in it
    Info {
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Restore the catalog from the manifests beside the data, if the database was lost
    Rebuild,
    /// Bring the database up to this version, and say at which it is; every command does so as well
    Migrate,
    /// Forget ticks and events that are older than `[daemon]` says; what is current stays known
    Gc,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct FormatArgs {
    /// How to write the result
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Ndjson,
    Csv,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueryFormat {
    Table,
    Json,
    Ndjson,
    Csv,
    Parquet,
    Arrow,
}

fn parse_retention(text: &str) -> Result<std::time::Duration, String> {
    if text == "0" {
        return Ok(std::time::Duration::ZERO);
    }
    let wrong = || "write a duration such as `24h`, `7d`, `30m` or `0`".to_owned();
    let span = match text.strip_suffix('d').map(str::parse::<i64>) {
        Some(days) => jiff::SignedDuration::from_hours(days.map_err(|_| wrong())? * 24),
        None => text.parse().map_err(|_| wrong())?,
    };
    span.try_into().map_err(|_| "a retention is not negative".to_owned())
}

fn parse_share(text: &str) -> Result<f64, String> {
    let share = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse(),
    };
    let share = share.ok().filter(|share| *share > 0.0 && *share <= 1.0);
    share.ok_or_else(|| "write a share such as `5%` or `0.05`".to_owned())
}
