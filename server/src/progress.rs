//! Progress of long work: a live line on a terminal, plain lines elsewhere.

use std::collections::HashMap;
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Instant;

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};
use tessera_engine::{Event, Progress};

/// Progress of an ingest: bytes and rows so far.
pub(crate) fn ingest() -> (Progress, ProgressBar) {
    let bar = bar();
    let live = bar.clone();
    let totals = Mutex::new(HashMap::<String, (u64, u64)>::new());
    let started = Instant::now();
    let listen = move |event: Event<'_>| {
        let Event::Read { input, bytes, rows } = event else { return };
        let Ok(mut totals) = totals.lock() else { return };
        let total = totals.entry(input.to_owned()).or_default();
        *total = (total.0 + bytes, total.1 + rows);
        let (bytes, rows) = totals.values().fold((0, 0), |sum, total| (sum.0 + total.0, sum.1 + total.1));
        let rate = bytes as f64 / started.elapsed().as_secs_f64().max(0.001);
        live.set_message(format!(
            "{} rows, {} read, {}/s",
            HumanCount(rows),
            HumanBytes(bytes),
            HumanBytes(rate as u64)
        ));
        live.tick();
    };
    (Progress::new(listen), bar)
}

/// Progress of a refresh: the step that runs.
pub(crate) fn refresh() -> (Progress, ProgressBar) {
    let bar = bar();
    let live = bar.clone();
    let listen = move |event: Event<'_>| {
        if let Event::Step(name) = event {
            live.set_message(name.to_owned());
            live.tick();
        }
    };
    (Progress::new(listen), bar)
}

fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed} {msg}") {
        bar.set_style(style);
    }
    bar
}
