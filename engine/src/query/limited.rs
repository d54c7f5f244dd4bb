//! What one query may use: time, rows and memory. Every limit that is reached says its name and how it can be raised.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use datafusion::common::DataFusionError;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation};

use crate::error::{EngineError, ErrorKind};

/// What one query may use; `None` is no limit of its own.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueryLimits {
    /// To plan it, and then again to run it, up to its last row.
    pub time: Option<Duration>,
    /// Rows of the answer.
    pub rows: Option<u64>,
    /// Bytes that operators hold; beyond it they spill or refuse.
    pub memory_bytes: Option<usize>,
}

pub(crate) fn too_long(limit: Duration) -> EngineError {
    EngineError::new(
        ErrorKind::DeadlineExceeded,
        format!(
            "the query took longer than {} s: ask for less, or raise `query_seconds_max` in [serve]",
            limit.as_secs()
        ),
    )
}

pub(crate) fn too_many_rows(limit: u64) -> EngineError {
    EngineError::new(
        ErrorKind::Exhausted,
        format!("the answer has more than {limit} rows: add a `limit`, or raise `query_rows_max` in [serve]"),
    )
}

/// A share of the process's pool: what is held counts in both, and may not be more than the limit.
#[derive(Debug)]
pub(crate) struct PoolShare {
    parent: Arc<dyn MemoryPool>,
    limit: usize,
    setting: &'static str,
    held: AtomicUsize,
}

impl PoolShare {
    /// A share of `parent` of at most `limit` bytes, which `setting` of [serve] bounds.
    pub(crate) fn new(parent: Arc<dyn MemoryPool>, limit: usize, setting: &'static str) -> Self {
        Self { parent, limit, setting, held: AtomicUsize::new(0) }
    }
}

impl std::fmt::Display for PoolShare {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "the {} bytes of `{}` of {}", self.limit, self.setting, self.parent)
    }
}

impl MemoryPool for PoolShare {
    fn name(&self) -> &str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.parent.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.parent.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.held.fetch_add(additional, Ordering::Relaxed);
        self.parent.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.held.fetch_sub(shrink, Ordering::Relaxed);
        self.parent.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> datafusion::error::Result<()> {
        let held = self.held.fetch_add(additional, Ordering::Relaxed);
        let granted = if held.saturating_add(additional) > self.limit {
            Err(DataFusionError::ResourcesExhausted(format!(
                "more than {} bytes of memory are needed: ask for less, or raise `{}` in [serve]",
                self.limit, self.setting
            )))
        } else {
            self.parent.try_grow(reservation, additional)
        };
        if granted.is_err() {
            self.held.fetch_sub(additional, Ordering::Relaxed);
        }
        granted
    }

    fn reserved(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}
