//! What the machine has: memory and processors, as far as this process may use them.

use std::fs;
use std::path::Path;

/// Of the memory that is there, queries may hold seven tenths; the rest is for reading, writing and everybody else.
const MEMORY_SHARE: f64 = 0.7;
/// Assumed where the machine does not tell.
const MEMORY_BYTES_UNKNOWN: u64 = 2 << 30;

/// Bytes that queries may hold by default.
pub(crate) fn query_memory_bytes() -> usize {
    let limits = [total_bytes(), group_limit_bytes()];
    let bytes = limits.into_iter().flatten().min().unwrap_or(MEMORY_BYTES_UNKNOWN);
    (bytes as f64 * MEMORY_SHARE) as usize
}

/// Processors that this process may use.
pub(crate) fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Lets this process open as many files as the system allows: by default that is often 1,024, and a refresh reads several tables
/// at once, a server besides those of its clients.
pub(crate) fn open_many_files() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

fn total_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

/// The limit of a container or of a unit of systemd.
fn group_limit_bytes() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    smallest_limit_bytes(Path::new("/sys/fs/cgroup"), &groups)
}

/// The smallest limit of this process's control group and of those that it is part of: each of them holds. Inside a container
/// its group is the `root` itself. A group that is not limited says `max`.
fn smallest_limit_bytes(root: &Path, groups: &str) -> Option<u64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/")).unwrap_or_default();
    let folder = root.join(group);
    let folders = folder.ancestors().take_while(|folder| folder.starts_with(root));
    folders.filter_map(|folder| fs::read_to_string(folder.join("memory.max")).ok()?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_the_smallest_limit_of_all_groups_counts() {
        let above = tempfile::tempdir().unwrap();
        let root = above.path().join("cgroup");
        let unit = root.join("system.slice/tessera.service");
        fs::create_dir_all(&unit).unwrap();
        let limit = |groups: &str| smallest_limit_bytes(&root, groups);
        let in_unit = "1:name=systemd:/elsewhere\n0::/system.slice/tessera.service\n";
        assert_eq!(limit(in_unit), None, "no group says anything");
        fs::write(above.path().join("memory.max"), "1\n").unwrap();
        fs::write(root.join("system.slice/memory.max"), "max\n").unwrap();
        assert_eq!(limit(in_unit), None, "what is above the root is no group");
        fs::write(unit.join("memory.max"), "4096\n").unwrap();
        assert_eq!(limit(in_unit), Some(4096));
        fs::write(root.join("system.slice/memory.max"), "2048\n").unwrap();
        assert_eq!(limit(in_unit), Some(2048));
        fs::write(root.join("memory.max"), "8192\n").unwrap();
        assert_eq!([limit(in_unit), limit("0::/\n"), limit("")], [Some(2048), Some(8192), Some(8192)]);
    }
}
