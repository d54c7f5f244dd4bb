//! The time of the machine, behind a value that tests can replace.

use std::sync::Arc;

/// Microseconds since 1970-01-01 UTC.
pub type Micros = i64;

/// Tells the time. Passed in, so that a month of refreshes runs in a test of a millisecond.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> Micros + Send + Sync>);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Arc::new(|| chrono::Utc::now().timestamp_micros()))
    }

    /// A clock that tells what `now` returns.
    pub fn from_fn(now: impl Fn() -> Micros + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// Now, in microseconds since 1970-01-01 UTC.
    pub fn now(&self) -> Micros {
        (self.0)()
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Clock({})", self.now())
    }
}
