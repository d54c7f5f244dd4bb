//! What the machine has: memory and processors, as far as this process may use them.

use std::fs;

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

/// The limit of a container.
fn group_limit_bytes() -> Option<u64> {
    fs::read_to_string("/sys/fs/cgroup/memory.max").ok()?.trim().parse().ok()
}
