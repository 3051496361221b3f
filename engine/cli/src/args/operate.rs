//! The grammar of what works by itself: the daemon, schedules and sensors.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{FormatArgs, parse_variable};
use crate::workspace::WORKSPACE_FILE;

#[derive(Debug, Subcommand)]
pub(crate) enum DaemonCommand {
    /// Serve the repository: its schedules, sensors, run queue, and the watch over runs
    Run {
        /// Where to answer `/health`, `/ready`, `/metrics` and calls of webhooks, such as 127.0.0.1:3030
        #[arg(long, value_name = "ADDRESS", env = "ARROWSMITH_LISTEN")]
        listen: Option<SocketAddr>,
        /// Serve all repositories of this file, each by a daemon of its own
        #[arg(long, value_name = "FILE", conflicts_with = "listen")]
        workspace: Option<PathBuf>,
        /// End when standard input ends, as it does when the process at its other end is gone
        #[arg(long, hide = true)]
        until_input_ends: bool,
    },
    /// Show who leads, and when each duty was last done; ends with 1 if nobody does them
    Status {
        #[command(flatten)]
        format: FormatArgs,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// List the repositories of a workspace, and whether they are sound
    List {
        /// The workspace file
        #[arg(default_value = WORKSPACE_FILE)]
        file: PathBuf,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Type-check all repositories of a workspace
    Check {
        /// The workspace file
        #[arg(default_value = WORKSPACE_FILE)]
        file: PathBuf,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScheduleCommand {
    /// List schedules, whether they run, and when they tick next
    List {
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Let a schedule tick from now on
    Start {
        /// The schedule
        name: String,
    },
    /// Let a schedule tick no more
    Stop {
        /// The schedule
        name: String,
    },
    /// Show what a schedule would ask for at its next ticks; nothing is run
    Preview {
        /// The schedule
        name: String,
        /// How many ticks
        #[arg(short = 'n', long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=1000))]
        ticks: u16,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show the newest ticks of a schedule
    Logs(TicksArgs),
}

#[derive(Debug, Subcommand)]
pub(crate) enum SensorCommand {
    /// List sensors, and whether they run
    List {
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Let a sensor look from now on
    Start {
        /// The sensor
        name: String,
    },
    /// Let a sensor look no more
    Stop {
        /// The sensor
        name: String,
    },
    /// Show what a sensor would ask for now; nothing is run or remembered
    Preview {
        /// The sensor
        name: String,
        /// What it has seen, in the place of its own cursor
        #[arg(long)]
        cursor: Option<String>,
        #[command(flatten)]
        format: FormatArgs,
    },
    /// Show or change what a sensor has seen
    Cursor {
        /// The sensor
        name: String,
        /// Let it have seen this
        #[arg(long, value_name = "CURSOR", conflicts_with = "delete")]
        set: Option<String>,
        /// Let it have seen nothing
        #[arg(long)]
        delete: bool,
    },
    /// Show the newest ticks of a sensor
    Logs(TicksArgs),
}

#[derive(Debug, Args)]
pub(crate) struct TicksArgs {
    /// The schedule or sensor
    pub(crate) name: String,
    /// How many
    #[arg(short = 'n', long, default_value_t = 20)]
    pub(crate) limit: u32,
    #[command(flatten)]
    pub(crate) format: FormatArgs,
}

/// What is to wait in the queue.
#[derive(Debug, Args)]
pub(crate) struct LaunchArgs {
    /// Which assets
    #[arg(required_unless_present = "job")]
    pub(crate) selection: Vec<String>,
    /// A job in the place of assets
    #[arg(long, conflicts_with = "selection")]
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) partitions: super::PartitionArgs,
    /// A run config of the job in TOML, YAML or JSON; of several, the first wins
    #[arg(short, long = "config", value_name = "FILE", requires = "job")]
    pub(crate) config: Vec<PathBuf>,
    /// Compute everything that is selected, also what is fresh
    #[arg(long)]
    pub(crate) force: bool,
    /// A label of the run; may be given several times
    #[arg(long = "tag", value_name = "NAME=VALUE", value_parser = parse_variable)]
    pub(crate) tags: Vec<(String, String)>,
    /// Runs of a higher priority go first
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) priority: i64,
    /// Queue no second run for the same key
    #[arg(long, value_name = "KEY")]
    pub(crate) run_key: Option<String>,
}
