//! Who runs a run, so that another process can tell whether it still lives.

use serde::{Deserialize, Serialize};

/// A process of some machine, told apart from a later one with the same number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// This boot of this machine, and what of its processes can be seen from here: two containers of
    /// a machine see each their own.
    pub boot: String,
    /// The process number.
    pub pid: u32,
    /// When the process began, in ticks since boot; empty where that is not known.
    pub started: String,
}

impl ProcessIdentity {
    /// This process.
    pub fn current() -> Self {
        let pid = std::process::id();
        Self { boot: boot_id(), pid, started: start_ticks(pid).unwrap_or_default() }
    }

    /// Whether the process is known to be gone: of this boot, and no longer there.
    ///
    /// A process of another machine or container is not known to be gone until its lease has expired.
    pub fn is_gone(&self) -> bool {
        let here = boot_id();
        if here.is_empty() || here != self.boot || self.started.is_empty() {
            return false;
        }
        start_ticks(self.pid).is_none_or(|started| started != self.started)
    }
}

/// Empty where it is not known.
fn boot_id() -> String {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
    let seen = std::fs::read_link("/proc/self/ns/pid");
    match (boot, seen) {
        (Ok(boot), Ok(seen)) => format!("{} {}", boot.trim(), seen.display()),
        _ => String::new(),
    }
}

/// The 22nd field of `/proc/PID/stat`; the second is in parentheses and may hold spaces.
fn start_ticks(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    // A zombie has ended; it only waits for its parent to notice.
    let mut fields = after_name.split_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::ProcessIdentity;

    #[test]
    fn only_what_could_be_seen_from_here_is_known_to_be_gone() {
        let this = ProcessIdentity::current();
        assert!(!this.is_gone());
        let ended = ProcessIdentity { started: "1".to_owned(), ..this };
        assert!(ended.is_gone(), "another process has its number by now");
        let of_a_container =
            ProcessIdentity { boot: ended.boot.replace("pid:[", "pid:[9"), ..ended };
        assert!(!of_a_container.is_gone());
    }
}
