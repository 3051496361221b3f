//! What this process has used, where `/proc` tells it.

/// Clock ticks of `/proc` in a second; Linux has had no other number for decades.
const TICKS: f64 = 100.0;

/// Processor time of all threads so far.
pub(super) fn cpu_seconds() -> Option<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program stands in parentheses and may hold spaces.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / TICKS)
}

/// Forgets the most memory that the process ever had.
pub(super) fn reset_peak() {
    // Where it cannot be reset, the peak of the whole process is told.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

/// The most memory since it was reset.
pub(super) fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}
