//! How much memory queries may use together.

/// What the process needs besides queries: buffers of writers and of user code.
const RESERVE_BYTES: usize = 256 * 1024 * 1024;
const LEAST_BYTES: usize = 64 * 1024 * 1024;

/// Two thirds of what the machine or its control group allows, less a reserve.
pub(crate) fn default_memory_bytes() -> usize {
    let machine = machine_bytes().unwrap_or(4 << 30);
    let allowed = cgroup_bytes().map_or(machine, |limit| limit.min(machine));
    queries_share(allowed)
}

/// What queries may use of all memory that a process may have.
pub(crate) fn queries_share(allowed: usize) -> usize {
    (allowed / 3 * 2).saturating_sub(RESERVE_BYTES).max(LEAST_BYTES)
}

fn machine_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

fn cgroup_bytes() -> Option<usize> {
    let files = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    files.iter().find_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok())
}
