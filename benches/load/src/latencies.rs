//! How long answers took.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// Durations of answers, all of them: quantiles are exact.
#[derive(Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    /// Notes an answer to a question of `asked`.
    pub(crate) fn note(&mut self, asked: Instant) {
        self.0.push(asked.elapsed());
    }

    /// Takes over another's.
    pub(crate) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// The median, the 99th percentile and the longest, in milliseconds, and how many there were.
    pub(crate) fn figures(mut self) -> Value {
        self.0.sort_unstable();
        let quantile = |share: f64| {
            let rank = (self.0.len() as f64 * share).ceil() as usize;
            self.0.get(rank.saturating_sub(1)).map(|duration| duration.as_secs_f64() * 1000.0)
        };
        json!({ "count": self.0.len(), "p50_ms": quantile(0.5), "p99_ms": quantile(0.99), "max_ms": quantile(1.0) })
    }
}
