//! Exit codes, which are a contract with scripts.

use std::process::ExitCode;

use arrowsmith_io_manager::ErrorKind;

/// How a command went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// 0: as asked.
    Ok = 0,
    /// 1: something failed: a step, a query, a check of files.
    Failed = 1,
    /// 2: the command line is wrong.
    Usage = 2,
    /// 3: the project is invalid.
    Invalid = 3,
    /// 4: `plan --exit-code` has found that something would run.
    Pending = 4,
    /// 5: storage or the instance cannot be reached.
    Environment = 5,
    /// 130: interrupted.
    Interrupted = 130,
    /// 143: terminated.
    Terminated = 143,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// The exit code of an error of this kind.
pub(crate) fn exit_of(kind: ErrorKind) -> Exit {
    match kind {
        ErrorKind::Invalid | ErrorKind::NotFound => Exit::Usage,
        ErrorKind::Unavailable | ErrorKind::Internal => Exit::Environment,
        ErrorKind::Cancelled => Exit::Interrupted,
        _ => Exit::Failed,
    }
}
