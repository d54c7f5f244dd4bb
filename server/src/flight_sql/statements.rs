//! What clients prepared, what they may fetch, and what runs: kept for a while under handles that nobody can guess.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use tessera_engine::{Snapshot, Statement};
use tokio_util::sync::CancellationToken;

/// What nobody used for so long is forgotten.
pub(crate) const KEPT: Duration = Duration::from_secs(600);
/// How often that is looked for: statements to fetch hold generations open.
const SWEEP: Duration = Duration::from_secs(30);
/// More than so many of a kind push the longest unused out.
const KEPT_MAX: usize = 10_000;
/// So do more bytes of texts and values of a kind. Larger than any request.
const KEPT_BYTES_MAX: usize = 64 << 20;

/// What plans of statements that nobody has fetched yet may take. Beyond it those of the longest unused are dropped: whoever
/// fetches one of them waits until it is planned again.
const PLANS_BYTES_MAX: usize = 64 << 20;
/// A plan takes about so many bytes for each of its text, as was measured,
const PLAN_BYTES_PER_BYTE: usize = 110;
/// and these besides: `select *` is short, and its table may have hundreds of columns.
const PLAN_BYTES_MIN: usize = 64 << 10;

/// A prepared statement: planned anew each time, over the newest generation.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) sql: String,
    /// The values of its parameters, one row.
    pub(crate) values: Option<RecordBatch>,
}

impl Prepared {
    /// Its text and its values.
    pub(crate) fn bytes(&self) -> usize {
        self.sql.len() + self.values.as_ref().map_or(0, RecordBatch::get_array_memory_size)
    }
}

/// A statement to fetch, and the means to stop that.
#[derive(Debug)]
pub(crate) struct Fetchable {
    pub(crate) query: Prepared,
    /// What it reads: whoever fetches it again gets the same rows.
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) cancel: CancellationToken,
    /// Only until it is fetched, see [`Fetchable::take_plan`].
    plan: Mutex<Option<Statement>>,
}

impl Fetchable {
    /// A query, and what it was planned as.
    pub(crate) fn new(query: Prepared, statement: Statement, cancel: CancellationToken) -> Self {
        let snapshot = Arc::clone(statement.snapshot());
        Self { query, snapshot, cancel, plan: Mutex::new(Some(statement)) }
    }

    /// Its plan, for who fetches it first. It is not kept for another time, which seldom comes: it takes a hundred times the
    /// memory of its text.
    pub(crate) fn take_plan(&self) -> Option<Statement> {
        lock(&self.plan).take()
    }

    /// What the plan takes, about; 0 once there is none.
    pub(crate) fn plan_bytes(&self) -> usize {
        let estimate = PLAN_BYTES_MIN + self.query.sql.len() * PLAN_BYTES_PER_BYTE;
        lock(&self.plan).as_ref().map_or(0, |_| estimate)
    }
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
        let (handle, bytes) = (new_handle(), prepared.bytes());
        lock(&self.prepared).put(handle.clone(), prepared, bytes, Instant::now());
        handle
    }

    /// A prepared statement.
    pub(crate) fn prepared(&self, handle: &str) -> Option<Arc<Prepared>> {
        lock(&self.prepared).get(handle, Instant::now())
    }

    /// Gives a prepared statement its values; false if there is none.
    pub(crate) fn bind(&self, handle: &str, values: RecordBatch) -> bool {
        let (mut kept, now) = (lock(&self.prepared), Instant::now());
        let Some(prepared) = kept.get(handle, now) else { return false };
        let bound = Prepared { sql: prepared.sql.clone(), values: Some(values) };
        let bytes = bound.bytes();
        kept.put(handle.to_owned(), bound, bytes, now);
        true
    }

    /// Forgets a prepared statement.
    pub(crate) fn close(&self, handle: &str) {
        lock(&self.prepared).entries.remove(handle);
    }

    /// Keeps a statement to fetch; returns the handle of its ticket.
    pub(crate) fn offer(&self, fetchable: Fetchable) -> String {
        let (handle, bytes) = (new_handle(), fetchable.query.bytes());
        let mut kept = lock(&self.fetchable);
        kept.put(handle.clone(), fetchable, bytes, Instant::now());
        kept.drop_plans();
        handle
    }

    /// A statement to fetch. It is kept for as long as the caller holds it.
    pub(crate) fn fetchable(&self, handle: &str) -> Option<Arc<Fetchable>> {
        lock(&self.fetchable).get(handle, Instant::now())
    }

    /// Stops a statement, be it fetched or not; false if there is none.
    pub(crate) fn cancel(&self, handle: &str) -> bool {
        match lock(&self.fetchable).entries.remove(handle) {
            Some(entry) => {
                entry.value.cancel.cancel();
                true
            }
            None => false,
        }
    }
}

/// Forgets what nobody used, for as long as there is anybody who keeps.
pub(crate) async fn forget_unused(statements: Weak<Statements>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        let Some(statements) = statements.upgrade() else { return };
        let now = Instant::now();
        lock(&statements.prepared).sweep(now);
        lock(&statements.fetchable).sweep(now);
    }
}

fn new_handle() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug)]
struct Entry<T> {
    used: Instant,
    bytes: usize,
    value: Arc<T>,
}

impl<T> Entry<T> {
    /// Used within the time, or right now.
    fn is_in_use(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.used) < KEPT || Arc::strong_count(&self.value) > 1
    }
}

/// Values by handle, each with the instant of its last use.
#[derive(Debug)]
struct Kept<T> {
    entries: HashMap<String, Entry<T>>,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { entries: HashMap::new() }
    }
}

impl<T> Kept<T> {
    fn put(&mut self, handle: String, value: T, bytes: usize, now: Instant) {
        self.entries.remove(&handle);
        self.sweep(now);
        while self.entries.len() >= KEPT_MAX || self.bytes() + bytes > KEPT_BYTES_MAX {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used).map(|(handle, _)| handle.clone());
            let Some(oldest) = oldest else { break };
            self.entries.remove(&oldest);
        }
        self.entries.insert(handle, Entry { used: now, bytes, value: Arc::new(value) });
    }

    fn get(&mut self, handle: &str, now: Instant) -> Option<Arc<T>> {
        let entry = self.entries.get_mut(handle).filter(|entry| entry.is_in_use(now))?;
        entry.used = now;
        Some(Arc::clone(&entry.value))
    }

    fn sweep(&mut self, now: Instant) {
        self.entries.retain(|_, entry| entry.is_in_use(now));
    }

    fn bytes(&self) -> usize {
        self.entries.values().map(|entry| entry.bytes).sum()
    }
}

impl Kept<Fetchable> {
    /// Drops plans, those of the longest unused statements first, until the others are within bounds.
    fn drop_plans(&self) {
        let mut planned: Vec<_> = self.entries.values().filter(|entry| entry.value.plan_bytes() > 0).collect();
        planned.sort_unstable_by_key(|entry| Reverse(entry.used));
        let mut kept = 0;
        for entry in planned {
            let bytes = entry.value.plan_bytes();
            if kept + bytes <= PLANS_BYTES_MAX {
                kept += bytes;
            } else {
                drop(entry.value.take_plan());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_what_nobody_used_is_forgotten() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        kept.put("used".to_owned(), 1, 0, start);
        kept.put("unused".to_owned(), 2, 0, start);
        kept.put("held".to_owned(), 3, 0, start);
        let held = kept.get("held", start).unwrap();
        assert!(kept.get("used", start + KEPT / 2).is_some());
        let later = start + KEPT;
        assert!(kept.get("unused", later).is_none(), "also before anybody sweeps");
        kept.sweep(later);
        assert_eq!(kept.entries.len(), 2);
        assert!(kept.get("used", later).is_some() && kept.get("held", later).is_some());
        drop(held);
        kept.sweep(later + KEPT);
        assert!(kept.entries.is_empty());
    }

    #[test]
    fn test_long_texts_push_the_longest_unused_out() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        for place in 0..4 {
            kept.put(place.to_string(), place, KEPT_BYTES_MAX / 4, start + Duration::from_secs(place));
        }
        let later = start + Duration::from_secs(10);
        assert!(kept.get("0", later).is_some());
        kept.put("long".to_owned(), 4, KEPT_BYTES_MAX / 2, later);
        let mut left: Vec<&str> = kept.entries.keys().map(String::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["0", "3", "long"]);
        kept.put("3".to_owned(), 5, 1, later);
        assert_eq!(kept.bytes(), KEPT_BYTES_MAX * 3 / 4 + 1, "what is put again counts once");
    }

    #[test]
    fn test_many_push_the_longest_unused_out() {
        let (mut kept, start) = (Kept::default(), Instant::now());
        for place in 0..KEPT_MAX as u64 {
            let used = start + Duration::from_millis(place);
            kept.entries.insert(place.to_string(), Entry { used, bytes: 0, value: Arc::new(place) });
        }
        kept.put("last".to_owned(), 0, 0, start + Duration::from_secs(60));
        assert_eq!(kept.entries.len(), KEPT_MAX);
        assert!(!kept.entries.contains_key("0") && kept.entries.contains_key("last"));
    }
}
