//! How much memory queries may use together.

use std::path::Path;

/// What the process needs besides queries: buffers of writers and of user code.
const RESERVE_BYTES: usize = 256 * 1024 * 1024;
const LEAST_BYTES: usize = 64 * 1024 * 1024;

/// Half of what the machine or its control group allows, less a reserve.
pub(crate) fn default_memory_bytes() -> usize {
    let machine = machine_bytes().unwrap_or(4 << 30);
    let allowed = cgroup_bytes().map_or(machine, |limit| limit.min(machine));
    queries_share(allowed)
}

/// What queries may use of all memory that a process may have. Encoders, and rows on their way to a
/// spill file, are not in the pool: with two thirds of 2 GiB a process was killed.
pub(crate) fn queries_share(allowed: usize) -> usize {
    (allowed / 2).saturating_sub(RESERVE_BYTES).max(LEAST_BYTES)
}

fn machine_bytes() -> Option<usize> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kibibytes: usize = line.split_whitespace().nth(1)?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The least limit of the control groups in which the process is, of either version.
fn cgroup_bytes() -> Option<usize> {
    let groups = std::fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    limit_of(&groups, Path::new("/sys/fs/cgroup"))
}

/// Each line is `number:controllers:path`; a limit of a group holds for all groups below it. A
/// container often sees its own group as the root, below which the path does not exist.
fn limit_of(groups: &str, root: &Path) -> Option<usize> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let (root, file) = match controllers {
            "" => (root.to_owned(), "memory.max"),
            _ if controllers.split(',').any(|name| name == "memory") => {
                (root.join("memory"), "memory.limit_in_bytes")
            }
            _ => continue,
        };
        let group = root.join(path.trim_start_matches('/'));
        let within = group.ancestors().take_while(|above| above.starts_with(&root));
        files.extend(within.map(|above| above.join(file)));
    }
    files.iter().filter_map(|file| std::fs::read_to_string(file).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::limit_of;

    #[test]
    fn the_least_limit_of_all_groups_above_holds() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = folder.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        // The second version of control groups.
        write("a/memory.max", "1000\n");
        write("a/b/memory.max", "max\n");
        write("a/c/memory.max", "500\n");
        assert_eq!(limit_of("0::/a/b\n", folder.path()), Some(1000));
        assert_eq!(limit_of("0::/a/c\n", folder.path()), Some(500));
        assert_eq!(limit_of("0::/elsewhere\n", folder.path()), None);
        // The first, beside other controllers; and a container that is its own root.
        write("memory/memory.limit_in_bytes", "9000\n");
        write("memory/d/memory.limit_in_bytes", "700\n");
        let first = |path: &str| format!("3:cpu,cpuacct:/x\n5:memory:{path}\n0::/\n");
        assert_eq!(limit_of(&first("/d"), folder.path()), Some(700));
        assert_eq!(limit_of(&first("/docker/123"), folder.path()), Some(9000));
    }
}
