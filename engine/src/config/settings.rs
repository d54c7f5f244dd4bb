//! The small tables: the file's version, `[lake]`, `[behavior]`, `[engine]`, `[landing]`.

use super::reader::{self, Problems, TableReader};
use super::{BehaviorConfig, EngineConfig, LandingConfig};
use crate::error::{EngineError, Result};

/// The version of the file's format that this engine reads.
const FORMAT_VERSION: u64 = 1;
/// A day: a pause longer than that always starts a new session.
const SESSION_TIMEOUT_MINUTES_MAX: u64 = 24 * 60;
/// More threads than any machine has that this engine was tried on.
const THREADS_MAX: u64 = 1_024;
/// Links grow with the square of the identifiers of one row: 100 make 4,950 links.
const IDENTIFIERS_MAX_MAX: u64 = 100;
/// One event must fit into memory many times over.
const EVENT_BYTES_MAX_MAX: u64 = 64 << 20;

pub(super) fn check_version(root: &TableReader<'_, '_>, problems: &mut Problems<'_>) {
    match root.value("version") {
        None => problems.add(root.span(), "`version` is missing; begin the file with `version = 1`"),
        Some(value) if reader::integer_of(value) != Some(FORMAT_VERSION) => {
            problems
                .add(&value.span(), "this engine reads `version = 1` only; write `version = 1` or use a newer engine");
        }
        Some(_) => {}
    }
}

pub(super) fn read_lake_url(root: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> String {
    let default = "lake".to_owned();
    let Some(table) = root.table("lake", "[lake]", problems) else {
        return default;
    };
    table.check_keys(&["url"], problems);
    let Some(url) = table.string("url", problems) else {
        return default;
    };
    if let Err(message) = check_lake_url(&url) {
        problems.add(&table.span_of("url"), message);
    }
    url
}

/// Checks the form of a lake's URL; whether anything is there is the store's to find out.
fn check_lake_url(url: &str) -> Result<(), String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Ok(());
    };
    match scheme {
        "file" if rest.starts_with('/') => return Ok(()),
        "file" => {
            return Err(format!("lake `url = \"{url}\"` is relative; write `file:///folder`, or a plain path"));
        }
        "s3" => {}
        _ => {
            let known = "a path, `file://` or `s3://`";
            return Err(format!("lake `url` begins with `{scheme}://`, which cannot hold a lake; write {known}"));
        }
    }
    let bucket = rest.split('/').next().unwrap_or_default();
    // The URL itself is left out of the next messages: it may hold a secret.
    if bucket.contains('@') {
        return Err("lake `url` holds credentials; give them in the environment and leave them out of the file".into());
    }
    if rest.contains(['?', '#']) {
        return Err("lake `url` must be a bucket and a folder only, without `?` and `#`".into());
    }
    if bucket.is_empty() {
        return Err(format!("lake `url` names no bucket; write `{scheme}://bucket/folder`"));
    }
    Ok(())
}

pub(super) fn read_behavior(root: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> BehaviorConfig {
    let mut behavior = BehaviorConfig::default();
    let Some(table) = root.table("behavior", "[behavior]", problems) else {
        return behavior;
    };
    table.check_keys(&["session_timeout_minutes"], problems);
    let minutes = table.integer("session_timeout_minutes", 1..=SESSION_TIMEOUT_MINUTES_MAX, problems);
    if let Some(minutes) = minutes.and_then(|minutes| u32::try_from(minutes).ok()) {
        behavior.session_timeout_minutes = minutes;
    }
    behavior
}

pub(super) fn read_engine(root: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> EngineConfig {
    let Some(table) = root.table("engine", "[engine]", problems) else {
        return EngineConfig::default();
    };
    table.check_keys(&["memory_limit", "threads"], problems);
    let threads = table.integer("threads", 1..=THREADS_MAX, problems);
    EngineConfig {
        memory_limit: read_byte_size(&table, "memory_limit", problems),
        threads: threads.and_then(|threads| usize::try_from(threads).ok()),
    }
}

pub(super) fn read_landing(root: &TableReader<'_, '_>, problems: &mut Problems<'_>) -> LandingConfig {
    let mut landing = LandingConfig::default();
    let Some(table) = root.table("landing", "[landing]", problems) else {
        return landing;
    };
    table.check_keys(&["event_bytes_max", "identifiers_max"], problems);
    if let Some(bytes) = read_byte_size(&table, "event_bytes_max", problems) {
        match usize::try_from(bytes) {
            Ok(bytes) if (1..=EVENT_BYTES_MAX_MAX).contains(&(bytes as u64)) => landing.event_bytes_max = bytes,
            _ => {
                problems.add(&table.span_of("event_bytes_max"), "`event_bytes_max` in [landing] must be at most 64MiB")
            }
        }
    }
    // One identifier a row could never link anything.
    let identifiers = table.integer("identifiers_max", 2..=IDENTIFIERS_MAX_MAX, problems);
    if let Some(identifiers) = identifiers.and_then(|identifiers| usize::try_from(identifiers).ok()) {
        landing.identifiers_max = identifiers;
    }
    landing
}

/// A size as text with a unit, or a plain number of bytes.
pub(super) fn read_byte_size(table: &TableReader<'_, '_>, key: &str, problems: &mut Problems<'_>) -> Option<u64> {
    let value = table.value(key)?;
    let size = match value.get_ref().as_str() {
        Some(text) => parse_byte_size(text).ok(),
        None => reader::integer_of(value).filter(|bytes| *bytes > 0),
    };
    if size.is_none() {
        let message = format!("`{key}` in {} must be a size above zero such as \"3GiB\" or \"512MiB\"", table.called());
        problems.add(&value.span(), message);
    }
    size
}

/// Parses a size such as `3GiB`, `1.5 GB` or `4096` (bytes) and returns bytes. `KiB`, `MiB`, `GiB`, `TiB` are powers of
/// 1,024; `kB`, `MB`, `GB`, `TB` powers of 1,000; case does not count.
///
/// # Errors
///
/// `InvalidInput` for anything else, for zero, and for more than 64 bits hold.
pub fn parse_byte_size(text: &str) -> Result<u64> {
    let refused = || EngineError::invalid(format!("`{text}` is not a size; write one such as `3GiB` or `512MiB`"));
    let trimmed = text.trim();
    let unit_start = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(unit_start);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1_000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(refused()),
    };
    // Whole numbers stay exact; a fraction is rounded down to a byte.
    let bytes = match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => number
            .parse::<f64>()
            .ok()
            .map(|fraction| fraction * factor as f64)
            .filter(|bytes| *bytes < 1e18)
            .map(|bytes| bytes as u64),
    };
    bytes.filter(|bytes| *bytes > 0).ok_or_else(refused)
}
