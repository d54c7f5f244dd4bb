//! Reads one input on one thread, parses it on several, and hands the chunks on in the order of the input.

use std::collections::{BTreeMap, HashSet};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use arrow::record_batch::RecordBatch;

use crate::config::{ProjectConfig, Source, SourceFormat};
use crate::error::{EngineError, Result};
use crate::landing::chunk::{Chunk, Chunker, RowEnd, Rows, count_line_feeds};
use crate::landing::identifier_rules::IdentifierRules;
use crate::landing::input::{Input, RawBytes};
use crate::landing::parquet::ParquetInput;
use crate::landing::quarantine::{QuarantineBuilder, Rejection};
use crate::landing::row_id::Numbering;
use crate::landing::schema::{EventsBuilder, TakePart, UnnumberedRows};
use crate::landing::segment_spec::SegmentParser;
use crate::landing::tabular::{Grouping, Mapping, TabularBuilder};
use crate::landing::{csv, ndjson, parquet};
use crate::limits::BATCH_EVENTS_FACTOR;

/// What all rows of a batch share.
#[derive(Debug, Clone)]
pub(crate) struct BatchContext {
    /// The instant of landing, in microseconds since 1970 UTC.
    pub(crate) landed_at_us: i64,
    /// Which identifiers can be used.
    pub(crate) identifiers: IdentifierRules,
}

/// Some rows of an input.
#[derive(Debug)]
pub(crate) struct ParsedChunk {
    /// Rows of `landing.events` or `landing.records`.
    pub(crate) rows: RecordBatch,
    /// Rows of `landing.quarantine`.
    pub(crate) quarantined: RecordBatch,
    /// Bytes of the input as given that were read since the chunk before.
    pub(crate) bytes_read: u64,
}

/// What a whole input held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InputSummary {
    /// BLAKE3 of the input's bytes as given (compressed if they are), in hex.
    pub(crate) content_hash: String,
    /// Rows that can land.
    pub(crate) rows: u64,
    /// Rows in quarantine.
    pub(crate) quarantined: u64,
    /// Bytes of the input as given.
    pub(crate) bytes: u64,
    /// Lines of text, or rows of a Parquet file.
    pub(crate) lines: u64,
    /// Rows in quarantine by reason.
    pub(crate) quarantine_reasons: BTreeMap<String, u64>,
}

/// Reads one input to its end and hands its rows, in input order, to `sink`.
///
/// Blocks: call it off the async runtime. Uses `threads` threads to parse and one to read; memory is bounded by the chunks
/// between them. (Events without an id of their own cost 20 to 40 bytes each in addition: they are counted among their equals;
/// so do events of several rows, whose rows have to follow each other.)
///
/// # Errors
///
/// `InvalidInput` when a mapped column is missing (before any chunk), or when the input breaks off or is damaged: then the
/// rows before the damage have been handed on, and must not be committed. Errors of `sink` are passed on.
pub(crate) fn parse_input(
    input: Input,
    source: &Source,
    config: &ProjectConfig,
    batch: &BatchContext,
    threads: usize,
    sink: &mut dyn FnMut(ParsedChunk) -> Result<()>,
) -> Result<InputSummary> {
    let file = input.name();
    let raw;
    let (mut reader, rows) = match source.format {
        SourceFormat::Parquet => {
            raw = RawBytes::default();
            open_parquet(&input, source, config.landing.event_bytes_max, &batch.identifiers, &raw)?
        }
        _ => {
            let open = input.open()?;
            raw = open.raw.clone();
            open_text(Chunker::new(open, text_bytes_max(source, config)), source, config, &batch.identifiers)?
        }
    };
    let parser =
        Parser { source, landed_at_us: batch.landed_at_us, row_bytes_max: config.landing.event_bytes_max, rows };
    let mut ordered = OrderedStage {
        source,
        file: &file,
        landed_at_us: batch.landed_at_us,
        numbering: Numbering::default(),
        groups_seen: HashSet::new(),
        summary: InputSummary::empty(),
        bytes_handed_on: 0,
        sink,
    };
    let threads = threads.max(1);
    // Each chunk brings its own one-place channel for the result, and these wait in the order of the input. So nothing has to
    // be sorted, and no more chunks are under way than there are places here.
    let (to_parsers, work) = sync_channel::<Job>(threads);
    let (to_ordered, results) = sync_channel::<Receiver<Result<Parsed>>>(threads * 2);
    let work = Arc::new(Mutex::new(work));
    let lines = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            // Moved in, so that both channels close when reading ends.
            let (to_parsers, to_ordered) = (to_parsers, to_ordered);
            read_all(&mut reader, &raw, &to_parsers, &to_ordered)
        });
        let parsing: Vec<_> = (0..threads)
            .map(|_| {
                let (parser, work) = (&parser, Arc::clone(&work));
                scope.spawn(move || parse_all(parser, &work))
            })
            .collect();
        // Only the parsing threads hold the work now: should they all stop, reading stops too.
        drop(work);
        let handed_on = ordered.hand_on(results);
        // When handing on failed, nobody takes results any more: reading stops at its next chunk and closes the work.
        let read = reading.join().map_err(|_| EngineError::internal("the reading thread stopped"));
        let parsed: Vec<_> = parsing.into_iter().map(thread::ScopedJoinHandle::join).collect();
        if parsed.iter().any(std::result::Result::is_err) {
            return Err(EngineError::internal("a parsing thread stopped"));
        }
        handed_on?;
        read?
    })?;
    let mut summary = ordered.summary;
    summary.lines = lines;
    summary.bytes = raw.count();
    summary.content_hash = raw.content_hash();
    Ok(summary)
}

/// The most bytes of one row of text.
fn text_bytes_max(source: &Source, config: &ProjectConfig) -> usize {
    match source.format {
        SourceFormat::Segment => config.landing.event_bytes_max.saturating_mul(BATCH_EVENTS_FACTOR),
        _ => config.landing.event_bytes_max,
    }
}

fn open_text(
    mut chunker: Chunker,
    source: &Source,
    config: &ProjectConfig,
    identifiers: &IdentifierRules,
) -> Result<(Reader, RowParser)> {
    if source.format != SourceFormat::Csv {
        chunker.refuse_array()?;
    }
    let rows = match source.format {
        SourceFormat::Segment => RowParser::Segment(SegmentParser {
            event_bytes_max: config.landing.event_bytes_max,
            identifiers: identifiers.clone(),
        }),
        SourceFormat::Csv => {
            let mut mapping = Mapping::new(source, identifiers)?;
            let name = chunker.name().to_owned();
            let header = csv_header(&mut chunker)?;
            if !header.columns.is_empty() {
                mapping.find_columns(&source.name, &name, &header.columns)?;
            }
            let grouping = mapping.grouping(&name, &header.columns)?;
            let grouped_by = grouping.as_ref().map(|grouping| grouping.by);
            let columns = header.columns.len();
            chunker.set_row_end(RowEnd::CsvRecord { delimiter: header.delimiter, columns, grouped_by });
            RowParser::Csv(mapping, header, grouping)
        }
        _ => RowParser::Ndjson(Mapping::new(source, identifiers)?),
    };
    Ok((Reader::Text(Box::new(chunker)), rows))
}

/// The header of a CSV text: the first of its lines that is neither blank nor names the delimiter.
fn csv_header(chunker: &mut Chunker) -> Result<csv::Header> {
    let mut delimiter = None;
    let mut line = chunker.header()?;
    while let Some(text) = &line {
        let named = if delimiter.is_none() { csv::named_delimiter(text) } else { None };
        if named.is_none() && !text.trim_ascii().is_empty() {
            break;
        }
        delimiter = delimiter.or(named);
        line = chunker.header()?;
    }
    let line = line.unwrap_or_default();
    let header = match delimiter {
        Some(delimiter) => csv::Header::parse_delimited(&line, delimiter),
        None => csv::Header::parse(&line),
    };
    header.map_err(|problem| EngineError::invalid(format!("the header of `{}` {problem}", chunker.name())))
}

fn open_parquet(
    input: &Input,
    source: &Source,
    row_bytes_max: usize,
    identifiers: &IdentifierRules,
    raw: &RawBytes,
) -> Result<(Reader, RowParser)> {
    let mut mapping = Mapping::new(source, identifiers)?;
    let path = input.path().ok_or_else(|| {
        EngineError::invalid(format!(
            "`{}` is a stream, and Parquet can only be read from a file; save it and land the file",
            input.name()
        ))
    })?;
    let opened = ParquetInput::open(path, row_bytes_max, raw)?;
    mapping.find_columns(&source.name, &input.name(), &opened.columns)?;
    Ok((
        Reader::Parquet { name: input.name(), reader: Box::new(opened.reader), rows_read: 0 },
        RowParser::Parquet(mapping),
    ))
}

/// A piece of an input on its way to a parser.
enum Piece {
    Text(Chunk),
    Table { first_row: u64, batch: RecordBatch },
}

enum Reader {
    Text(Box<Chunker>),
    Parquet { name: String, reader: Box<::parquet::arrow::arrow_reader::ParquetRecordBatchReader>, rows_read: u64 },
}

impl Reader {
    fn next_piece(&mut self) -> Result<Option<Piece>> {
        match self {
            Self::Text(chunker) => Ok(chunker.next_chunk()?.map(Piece::Text)),
            Self::Parquet { name, reader, rows_read } => {
                let batch = reader.next().transpose().map_err(|error| {
                    EngineError::invalid(format!(
                        "`{name}` cannot be read after row {rows_read} ({error}); get a whole copy and land that"
                    ))
                })?;
                Ok(batch.map(|batch| {
                    let first_row = *rows_read + 1;
                    *rows_read += batch.num_rows() as u64;
                    Piece::Table { first_row, batch }
                }))
            }
        }
    }

    fn lines(&self) -> u64 {
        match self {
            Self::Text(chunker) => chunker.lines(),
            Self::Parquet { rows_read, .. } => *rows_read,
        }
    }
}

struct Job {
    piece: Piece,
    /// Bytes of the input read when this piece was complete.
    bytes_read: u64,
    /// Takes what the piece becomes: one part, or more if it becomes much.
    result: SyncSender<Result<Parsed>>,
}

struct Parsed {
    rows: UnnumberedRows,
    quarantine: QuarantineBuilder,
    bytes_read: u64,
}

/// Reads until the end, or until nobody listens; the number of lines.
fn read_all(
    reader: &mut Reader,
    raw: &RawBytes,
    to_parsers: &SyncSender<Job>,
    to_ordered: &SyncSender<Receiver<Result<Parsed>>>,
) -> Result<u64> {
    while let Some(piece) = reader.next_piece()? {
        let (result, receiver) = sync_channel(1);
        let job = Job { piece, bytes_read: raw.count(), result };
        if to_ordered.send(receiver).is_err() || to_parsers.send(job).is_err() {
            break;
        }
    }
    Ok(reader.lines())
}

fn parse_all(parser: &Parser<'_>, work: &Mutex<Receiver<Job>>) {
    loop {
        let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        parser.parse(&job);
    }
}

/// How the rows of the source's format are read.
enum RowParser {
    Segment(SegmentParser),
    Csv(Mapping, csv::Header, Option<Grouping>),
    Ndjson(Mapping),
    Parquet(Mapping),
}

struct Parser<'a> {
    source: &'a Source,
    landed_at_us: i64,
    row_bytes_max: usize,
    rows: RowParser,
}

impl Parser<'_> {
    fn parse(&self, job: &Job) {
        // Nobody waits for the result when handing on has failed.
        let hand_on = |parsed: Result<Parsed>| drop(job.result.send(parsed));
        let bytes_read = job.bytes_read;
        let mut take_part = |rows: Result<UnnumberedRows>| {
            hand_on(rows.map(|rows| Parsed { rows, quarantine: QuarantineBuilder::default(), bytes_read }));
        };
        let mut quarantine = QuarantineBuilder::default();
        let rows = self.parse_rows(&job.piece, &mut quarantine, &mut take_part);
        hand_on(rows.map(|rows| Parsed { rows, quarantine, bytes_read }));
    }

    /// Parses a piece; its rows are what is left when all parts were taken.
    fn parse_rows(
        &self,
        piece: &Piece,
        quarantine: &mut QuarantineBuilder,
        take_part: TakePart<'_>,
    ) -> Result<UnnumberedRows> {
        if let Piece::Text(Chunk::Refused { line, head, rejection }) = piece {
            quarantine.push(*line, rejection, head);
        }
        match (&self.rows, piece) {
            (RowParser::Segment(parser), piece) => {
                let mut events = EventsBuilder::new(&self.source.name, self.landed_at_us, take_part);
                for_each_line(piece, parser.line_bytes_max(), quarantine, |number, line, quarantine| {
                    parser.parse_line(number, line, &mut events, quarantine);
                });
                events.finish()
            }
            (RowParser::Ndjson(mapping), piece) => self.tabular(mapping, take_part, |rows| {
                for_each_line(piece, self.row_bytes_max, quarantine, |number, line, quarantine| {
                    ndjson::parse_line(number, line, self.row_bytes_max, rows, quarantine);
                });
                Ok(())
            }),
            (RowParser::Csv(mapping, header, grouping), Piece::Text(Chunk::Rows(chunk))) => {
                let bytes_max = self.row_bytes_max;
                self.tabular(mapping, take_part, |rows| {
                    match grouping {
                        None => csv::parse_rows(header, bytes_max, chunk, rows, quarantine),
                        Some(by) => csv::parse_groups(header, by, bytes_max, chunk, rows, quarantine),
                    }
                    Ok(())
                })
            }
            (RowParser::Parquet(mapping), Piece::Table { first_row, batch }) => {
                self.tabular(mapping, take_part, |rows| {
                    parquet::parse_rows(self.row_bytes_max, *first_row, batch, rows, quarantine)
                })
            }
            (RowParser::Csv(mapping, ..) | RowParser::Parquet(mapping), _) => {
                self.tabular(mapping, take_part, |_| Ok(()))
            }
        }
    }

    fn tabular(
        &self,
        mapping: &Mapping,
        take_part: TakePart<'_>,
        parse: impl FnOnce(&mut TabularBuilder<'_>) -> Result<()>,
    ) -> Result<UnnumberedRows> {
        let mut rows = TabularBuilder::new(&self.source.name, self.landed_at_us, mapping, take_part);
        parse(&mut rows)?;
        rows.finish()
    }
}

/// Calls `parse` for each line that is not blank, with its 1-based number; lines too long or not UTF-8 go to quarantine.
fn for_each_line(
    piece: &Piece,
    line_bytes_max: usize,
    quarantine: &mut QuarantineBuilder,
    mut parse: impl FnMut(u64, &str, &mut QuarantineBuilder),
) {
    let Piece::Text(Chunk::Rows(Rows { first_line, text, .. })) = piece else { return };
    // Checking all at once is much cheaper than line by line, and nearly always enough.
    let all_utf8 = std::str::from_utf8(text).ok();
    let mut start = 0;
    let mut number = *first_line;
    while start < text.len() {
        let end = memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |length| start + length);
        let bytes = &text[start..end];
        let line = match all_utf8 {
            Some(all) => all.get(start..end),
            None => std::str::from_utf8(bytes).ok(),
        };
        match line.map(str::trim) {
            _ if bytes.len() > line_bytes_max => {
                quarantine.push(number, &Rejection::too_large(bytes.len(), line_bytes_max), bytes)
            }
            None => quarantine.push(number, &Rejection::bad_encoding(), bytes),
            Some("") => {}
            Some(line) => parse(number, line, quarantine),
        }
        start = end + 1;
        number += 1;
    }
    debug_assert_eq!(
        number,
        first_line + count_line_feeds(text) + u64::from(!text.ends_with(b"\n")),
        "lines are counted twice"
    );
}

/// Numbers the rows and hands them on; the one place that sees the chunks in order.
struct OrderedStage<'a> {
    source: &'a Source,
    file: &'a str,
    landed_at_us: i64,
    numbering: Numbering,
    /// Hashes of what rows of one event have in common.
    groups_seen: HashSet<u64>,
    summary: InputSummary,
    bytes_handed_on: u64,
    sink: &'a mut dyn FnMut(ParsedChunk) -> Result<()>,
}

impl OrderedStage<'_> {
    fn hand_on(&mut self, results: Receiver<Receiver<Result<Parsed>>>) -> Result<()> {
        for parts in results {
            let first = parts.recv().map_err(|_| EngineError::internal("a parsing thread stopped"))?;
            for parsed in std::iter::once(first).chain(parts) {
                self.hand_on_part(parsed?)?;
            }
        }
        Ok(())
    }

    fn hand_on_part(&mut self, part: Parsed) -> Result<()> {
        let Parsed { rows, mut quarantine, bytes_read } = part;
        quarantine.explain_scattered(&mut self.groups_seen);
        let (quarantined, reasons) = quarantine.finish(&self.source.name, self.file, self.landed_at_us)?;
        let rows = self.numbering.number(&self.source.name, rows)?;
        self.summary.rows += rows.num_rows() as u64;
        self.summary.quarantined += quarantined.num_rows() as u64;
        for (reason, count) in reasons {
            *self.summary.quarantine_reasons.entry(reason.to_owned()).or_default() += count;
        }
        let bytes_since = bytes_read - self.bytes_handed_on;
        self.bytes_handed_on = bytes_read;
        (self.sink)(ParsedChunk { rows, quarantined, bytes_read: bytes_since })
    }
}

impl InputSummary {
    fn empty() -> Self {
        Self {
            content_hash: String::new(),
            rows: 0,
            quarantined: 0,
            bytes: 0,
            lines: 0,
            quarantine_reasons: BTreeMap::new(),
        }
    }
}

#[cfg(test)]
mod tests;
