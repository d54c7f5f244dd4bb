//! What clients prepared, what they may fetch, and what runs: kept for a while under handles that nobody can guess.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tessera_engine::Statement;
use tokio_util::sync::CancellationToken;

/// What nobody used for so long is forgotten.
const KEPT: Duration = Duration::from_secs(600);
/// More than so many of a kind push the longest unused out.
const KEPT_MAX: usize = 10_000;

/// A prepared statement: planned anew each time, over the newest generation.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) sql: String,
    /// The values of its parameters, one row.
    pub(crate) values: Option<RecordBatch>,
}

/// A statement to fetch, and the means to stop that.
#[derive(Debug, Clone)]
pub(crate) struct Fetchable {
    pub(crate) statement: Statement,
    pub(crate) cancel: CancellationToken,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct Statements {
    prepared: Mutex<Kept<Prepared>>,
    fetchable: Mutex<Kept<Fetchable>>,
}

impl Statements {
    /// Keeps a prepared statement; returns its handle.
    pub(crate) fn prepare(&self, prepared: Prepared) -> String {
        lock(&self.prepared).put(prepared)
    }

    /// A prepared statement.
    pub(crate) fn prepared(&self, handle: &str) -> Option<Prepared> {
        lock(&self.prepared).get(handle)
    }

    /// Gives a prepared statement its values; false if there is none.
    pub(crate) fn bind(&self, handle: &str, values: RecordBatch) -> bool {
        match lock(&self.prepared).entries.get_mut(handle) {
            Some((used, prepared)) => {
                (*used, prepared.values) = (Instant::now(), Some(values));
                true
            }
            None => false,
        }
    }

    /// Forgets a prepared statement.
    pub(crate) fn close(&self, handle: &str) {
        lock(&self.prepared).entries.remove(handle);
    }

    /// Keeps a statement to fetch; returns the handle of its ticket.
    pub(crate) fn offer(&self, statement: Statement, cancel: CancellationToken) -> String {
        lock(&self.fetchable).put(Fetchable { statement, cancel })
    }

    /// A statement to fetch.
    pub(crate) fn fetchable(&self, handle: &str) -> Option<Fetchable> {
        lock(&self.fetchable).get(handle)
    }

    /// Stops a statement, be it fetched or not; false if there is none.
    pub(crate) fn cancel(&self, handle: &str) -> bool {
        match lock(&self.fetchable).entries.remove(handle) {
            Some((_, fetchable)) => {
                fetchable.cancel.cancel();
                true
            }
            None => false,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Values by handle, each with the instant of its last use.
#[derive(Debug)]
struct Kept<T> {
    entries: HashMap<String, (Instant, T)>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<T: Clone> Kept<T> {
    fn put(&mut self, value: T) -> String {
        let now = Instant::now();
        self.entries.retain(|_, (used, _)| now.duration_since(*used) < KEPT);
        if self.entries.len() >= KEPT_MAX {
            let oldest = self.entries.iter().min_by_key(|(_, (used, _))| *used).map(|(handle, _)| handle.clone());
            oldest.and_then(|handle| self.entries.remove(&handle));
        }
        let handle = uuid::Uuid::new_v4().simple().to_string();
        self.entries.insert(handle.clone(), (now, value));
        handle
    }

    fn get(&mut self, handle: &str) -> Option<T> {
        let (used, value) = self.entries.get_mut(handle)?;
        *used = Instant::now();
        Some(value.clone())
    }
}
