//! The files that were written and the truth about them, so that a test can say exactly what must land.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::call::OrderWorth;

/// The truth about one data file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataFile {
    /// Where it is.
    pub path: PathBuf,
    /// The source of `tessera.toml` that it belongs to.
    pub source: &'static str,
    /// Whether its rows are events; otherwise they are records.
    pub is_events: bool,
    /// Lines of NDJSON, or rows of CSV without the header. A batch call is one line with many events.
    pub lines: u64,
    /// Bytes.
    pub bytes: u64,
    /// Events or records that are new and good: what must land when the files are landed in the order of [`ShopFiles::data`].
    pub landed: u64,
    /// Events that were already in this file or in an earlier one of the source, with the same message id; records that
    /// say again, word for word, what an earlier file of the source said of that key.
    pub duplicates: u64,
    /// Rows, or calls within a batch, that must be quarantined, by the reason.
    pub quarantined: BTreeMap<&'static str, u64>,
    /// How many of the landed events are orders.
    pub orders: u64,
    /// What the landed orders with a usable revenue are worth, in cents, by currency.
    pub revenue: BTreeMap<&'static str, u64>,
}

/// What [`crate::Shop::write`] wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShopFiles {
    /// People the shop has (some of them may never have come by).
    pub people: u64,
    /// `tessera.toml`, traits and segments.
    pub project: Vec<PathBuf>,
    /// The data files, in the order in which they are to be landed.
    pub data: Vec<DataFile>,
}

impl ShopFiles {
    /// The files of one source, in the order in which they are to be landed.
    pub fn of<'a>(&'a self, source: &'a str) -> impl Iterator<Item = &'a DataFile> {
        self.data.iter().filter(move |file| file.source == source)
    }

    /// Events that must land, of all sources: the `events` of the shop.
    pub fn events(&self) -> u64 {
        self.data.iter().filter(|file| file.is_events).map(|file| file.landed).sum()
    }

    /// Events that arrive a second time.
    pub fn duplicate_events(&self) -> u64 {
        self.data.iter().filter(|file| file.is_events).map(|file| file.duplicates).sum()
    }

    /// Rows that must be quarantined, by reason.
    pub fn quarantined(&self) -> BTreeMap<&'static str, u64> {
        let mut total = BTreeMap::new();
        for (reason, count) in self.data.iter().flat_map(|file| &file.quarantined) {
            *total.entry(*reason).or_insert(0) += count;
        }
        total
    }

    /// Orders that must land.
    pub fn orders(&self) -> u64 {
        self.data.iter().map(|file| file.orders).sum()
    }

    /// Revenue that must land, in cents, by currency.
    pub fn revenue(&self) -> BTreeMap<&'static str, u64> {
        let mut total = BTreeMap::new();
        for (currency, cents) in self.data.iter().flat_map(|file| &file.revenue) {
            *total.entry(*currency).or_insert(0) += cents;
        }
        total
    }
}

/// A data file being written: lines go out, the truth is kept.
#[derive(Debug)]
pub(crate) struct FileWriter {
    out: BufWriter<File>,
    truth: DataFile,
}

impl FileWriter {
    /// Creates `directory/name`, replacing a file of that name.
    pub(crate) fn create(directory: &Path, name: &str, source: &'static str, is_events: bool) -> io::Result<Self> {
        let path = directory.join(name);
        let out = BufWriter::with_capacity(1 << 20, File::create(&path)?);
        let truth = DataFile {
            path,
            source,
            is_events,
            lines: 0,
            bytes: 0,
            landed: 0,
            duplicates: 0,
            quarantined: BTreeMap::new(),
            orders: 0,
            revenue: BTreeMap::new(),
        };
        Ok(Self { out, truth })
    }

    /// Writes the header of a CSV file.
    pub(crate) fn header(&mut self, header: &str) -> io::Result<()> {
        self.bytes(header.as_bytes())?;
        self.bytes(b"\n")
    }

    /// Writes one line or row, and its end.
    pub(crate) fn line(&mut self, line: &[u8]) -> io::Result<()> {
        self.truth.lines += 1;
        self.bytes(line)?;
        self.bytes(b"\n")
    }

    fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.truth.bytes += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Notes that a good, new row was written.
    pub(crate) fn landed(&mut self) {
        self.truth.landed += 1;
    }

    /// Notes that the last good row was an order.
    pub(crate) fn ordered(&mut self, worth: OrderWorth) {
        self.truth.orders += 1;
        if let Some(cents) = worth.revenue {
            *self.truth.revenue.entry(worth.currency).or_insert(0) += cents;
        }
    }

    /// Notes that a row was written that had been written before.
    pub(crate) fn repeated(&mut self) {
        self.truth.duplicates += 1;
    }

    /// Notes that a row was written that must be quarantined.
    pub(crate) fn broken(&mut self, reason: &'static str) {
        *self.truth.quarantined.entry(reason).or_insert(0) += 1;
    }

    /// How many good, new rows the file has.
    pub(crate) fn landed_count(&self) -> u64 {
        self.truth.landed
    }

    /// Flushes the file and hands out the truth about it.
    pub(crate) fn finish(mut self) -> io::Result<DataFile> {
        self.out.flush()?;
        Ok(self.truth)
    }
}
