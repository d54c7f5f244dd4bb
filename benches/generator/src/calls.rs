//! The files of Segment calls: `data/web-<n>.ndjson` and `data/mobile.ndjson`, with batches, retries and broken rows.

use std::io;
use std::path::Path;

use crate::broken::{BROKEN_CALLS, write_broken_call};
use crate::call::{CallWriter, OrderWorth, write_batch};
use crate::catalog::Catalog;
use crate::dice::Dice;
use crate::files::{DataFile, FileWriter};
use crate::resend::Resends;
use crate::traffic::{Moment, Traffic, TrafficPlan};

/// Calls in a file before the next one starts.
const CALLS_A_FILE: u64 = 250_000;

/// Writes the web's files.
pub(crate) fn write_web(directory: &Path, catalog: &Catalog, plan: TrafficPlan) -> io::Result<Vec<DataFile>> {
    let files = plan.events.div_ceil(CALLS_A_FILE).max(2);
    let names = (1..=files).map(|number| format!("web-{number}.ndjson")).collect();
    CallFiles::create(directory, names, "web", catalog, plan)?.write(catalog, plan)
}

/// Writes the app's file.
pub(crate) fn write_mobile(directory: &Path, catalog: &Catalog, plan: TrafficPlan) -> io::Result<Vec<DataFile>> {
    CallFiles::create(directory, vec!["mobile.ndjson".to_owned()], "mobile", catalog, plan)?.write(catalog, plan)
}

/// The files of one source while they are written.
struct CallFiles<'a> {
    directory: &'a Path,
    source: &'static str,
    /// Names of the files still to come, the next one last.
    names: Vec<String>,
    calls_a_file: u64,
    file: FileWriter,
    done: Vec<DataFile>,
    calls: CallWriter<'a>,
    resends: Resends,
    dice: Dice,
    batch: Batch,
    line: Vec<u8>,
    events: u64,
    /// A broken row follows every so many good ones.
    broken_every: u64,
    broken: u64,
}

/// Calls that will be one line.
#[derive(Default)]
struct Batch {
    calls: Vec<u8>,
    left: u64,
    /// When the last of them arrived.
    last_at: i64,
    count: u64,
}

impl<'a> CallFiles<'a> {
    fn create(
        directory: &'a Path,
        mut names: Vec<String>,
        source: &'static str,
        catalog: &'a Catalog,
        plan: TrafficPlan,
    ) -> io::Result<Self> {
        let calls_a_file = plan.events.div_ceil(names.len() as u64).max(1);
        names.reverse();
        let first = names.pop().unwrap_or_default();
        Ok(Self {
            directory,
            source,
            names,
            calls_a_file,
            file: FileWriter::create(directory, &first, source, true)?,
            done: Vec::new(),
            calls: CallWriter::new(catalog, plan.seed, plan.in_app, false),
            resends: Resends::new(plan.seed, source, 8),
            dice: Dice::new(plan.seed, if plan.in_app { "app files" } else { "web files" }),
            batch: Batch::default(),
            line: Vec::new(),
            events: 0,
            broken_every: (plan.events / (3 * BROKEN_CALLS)).clamp(20, 2_000),
            broken: 0,
        })
    }

    fn write(mut self, catalog: &Catalog, plan: TrafficPlan) -> io::Result<Vec<DataFile>> {
        let mut traffic = Traffic::new(plan, catalog);
        while let Some(moment) = traffic.next() {
            self.write_moment(&moment)?;
        }
        self.end_batch()?;
        while let Some(call) = self.resends.leftover() {
            self.repeat(&call)?;
        }
        self.done.push(self.file.finish()?);
        Ok(self.done)
    }

    fn write_moment(&mut self, moment: &Moment<'_>) -> io::Result<()> {
        if self.file.landed_count() >= self.calls_a_file {
            self.next_file()?;
        }
        self.events += 1;
        self.line.clear();
        let worth = self.calls.write(&mut self.line, moment);
        self.resends.consider(self.events, &self.line);
        self.good(worth);
        if self.batch.left == 0 && self.dice.chance(6) {
            self.start_batch(moment.arrives_at);
        }
        if self.batch.left == 0 {
            self.file.line(&self.line)?;
        } else {
            self.add_to_batch(moment.arrives_at)?;
        }
        while let Some(call) = self.resends.due(self.events) {
            self.repeat(&call)?;
        }
        if self.events.is_multiple_of(self.broken_every) {
            self.break_one(moment.occurred_at)?;
        }
        Ok(())
    }

    fn good(&mut self, worth: Option<OrderWorth>) {
        self.file.landed();
        if let Some(worth) = worth {
            self.file.ordered(worth);
        }
    }

    fn repeat(&mut self, call: &[u8]) -> io::Result<()> {
        self.file.repeated();
        self.file.line(call)
    }

    fn break_one(&mut self, at: i64) -> io::Result<()> {
        let mut row = Vec::new();
        let reason = write_broken_call(&mut row, self.broken, self.broken, &self.line, at);
        self.broken += 1;
        self.file.broken(reason);
        self.file.line(&row)
    }

    /// Starts a batch. One in 32 has a call among its good ones that names nobody.
    fn start_batch(&mut self, at: i64) {
        self.batch.left = self.dice.between(2, 20);
        self.batch.count += 1;
        if self.batch.count.is_multiple_of(32) {
            let reason = write_broken_call(&mut self.batch.calls, 2, self.broken, &[], at);
            self.broken += 1;
            self.file.broken(reason);
        }
    }

    fn add_to_batch(&mut self, at: i64) -> io::Result<()> {
        if !self.batch.calls.is_empty() {
            self.batch.calls.push(b',');
        }
        self.batch.calls.extend_from_slice(&self.line);
        self.batch.last_at = at;
        self.batch.left -= 1;
        if self.batch.left == 0 { self.end_batch() } else { Ok(()) }
    }

    fn end_batch(&mut self) -> io::Result<()> {
        self.batch.left = 0;
        if self.batch.calls.is_empty() {
            return Ok(());
        }
        let mut line = Vec::with_capacity(self.batch.calls.len() + 64);
        write_batch(&mut line, &self.batch.calls, self.batch.last_at)?;
        self.batch.calls.clear();
        self.file.line(&line)
    }

    fn next_file(&mut self) -> io::Result<()> {
        self.end_batch()?;
        if let Some(name) = self.names.pop() {
            let next = FileWriter::create(self.directory, &name, self.source, true)?;
            self.done.push(std::mem::replace(&mut self.file, next).finish()?);
            // The collector was restarted in between: the last call before comes again after.
            let last = std::mem::take(&mut self.line);
            self.repeat(&last)?;
            self.line = last;
        }
        Ok(())
    }
}
