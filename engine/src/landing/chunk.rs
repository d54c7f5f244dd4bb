//! Cuts a text into chunks that end at the ends of rows, in memory bounded by the longest row allowed.

use std::io::Read;

use crate::error::{EngineError, Result};
use crate::landing::csv::readable;
use crate::landing::csv::records::{Record, last_group_start};
use crate::landing::input::OpenInput;
use crate::landing::quarantine::{Reason, Rejection};
use crate::limits::{CHUNK_BYTES, QUARANTINE_RAW_BYTES_MAX};

const BYTE_ORDER_MARK: &[u8] = &[0xef, 0xbb, 0xbf];

/// A piece of the input's text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Chunk {
    /// Whole rows.
    Rows(Rows),
    /// A row that cannot be parsed, with those of its group before it; `head` is their start.
    Refused { line: u64, head: Vec<u8>, rejection: Rejection },
}

/// Whole rows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rows {
    /// The 1-based number of the first line.
    pub(crate) first_line: u64,
    pub(crate) text: Vec<u8>,
    /// The line before these, and why it was refused, if it was.
    pub(crate) refused_before: Option<(u64, Rejection)>,
}

/// Where a row ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowEnd {
    /// At every line feed.
    Line,
    /// At every line feed outside of quotes (RFC 4180).
    CsvRecord {
        /// Between two fields.
        delimiter: u8,
        /// How many fields a row has.
        columns: usize,
        /// The number of a column: rows that follow each other with the same value of it stay together.
        grouped_by: Option<usize>,
    },
}

/// Reads an input chunk by chunk.
pub(crate) struct Chunker {
    input: OpenInput,
    row_end: RowEnd,
    row_bytes_max: usize,
    /// Read, but not handed out: the start of the row that the last chunk did not end.
    pending: Vec<u8>,
    /// 1-based number of the line that `pending` starts in.
    line: u64,
    /// The line before `pending`, and why it was refused, if it was.
    refused: Option<(u64, Rejection)>,
    at_end: bool,
    failure: Option<EngineError>,
}

impl Chunker {
    pub(crate) fn new(input: OpenInput, row_bytes_max: usize) -> Self {
        Self {
            input,
            row_end: RowEnd::Line,
            row_bytes_max,
            pending: Vec::new(),
            line: 1,
            refused: None,
            at_end: false,
            failure: None,
        }
    }

    /// Refuses an input that is one JSON array of objects instead of lines: none of its rows would land.
    ///
    /// # Errors
    /// InvalidInput, saying what to do.
    pub(crate) fn refuse_array(&mut self) -> Result<()> {
        self.fill(CHUNK_BYTES);
        if !is_array_of_objects(&self.pending) {
            return Ok(());
        }
        Err(EngineError::invalid(format!(
            "`{}` is one JSON array: write one object a line, as `jq -c '.[]'` does of it",
            self.input.name
        )))
    }

    /// Takes the first line off, without its end; None when the input is empty. Fields of a header have no line feeds.
    pub(crate) fn header(&mut self) -> Result<Option<Vec<u8>>> {
        self.fill(CHUNK_BYTES);
        let length = match memchr::memchr(b'\n', &self.pending) {
            Some(end) => end + 1,
            None if self.failure.is_none() && self.pending.len() < CHUNK_BYTES => self.pending.len(),
            None => {
                let too_long =
                    || EngineError::invalid(format!("`{}` has no header line in its first 4 MiB", self.input.name));
                return Err(self.failure.take().unwrap_or_else(too_long));
            }
        };
        if length == 0 {
            return Ok(None);
        }
        let rest = self.pending.split_off(length);
        let mut header = std::mem::replace(&mut self.pending, rest);
        self.line += 1;
        // A tab at the end is one more column.
        let end = header.iter().rposition(|byte| !matches!(byte, b'\r' | b'\n')).map_or(0, |last| last + 1);
        header.truncate(end);
        Ok(Some(header))
    }

    /// From now on rows end as CSV records do.
    pub(crate) fn set_row_end(&mut self, row_end: RowEnd) {
        self.row_end = row_end;
    }

    /// The input's name.
    pub(crate) fn name(&self) -> &str {
        &self.input.name
    }

    /// Lines handed out so far.
    pub(crate) fn lines(&self) -> u64 {
        self.line - 1
    }

    /// The next chunk; None at the end. An input that breaks off yields its whole rows first and then the error.
    pub(crate) fn next_chunk(&mut self) -> Result<Option<Chunk>> {
        let mut wanted = CHUNK_BYTES;
        loop {
            self.fill(wanted);
            if self.pending.is_empty() {
                return self.failure.take().map_or(Ok(None), Err);
            }
            let end = self.last_row_end();
            if end > 0 {
                return Ok(Some(self.take_rows(end)));
            }
            if self.failure.is_some() {
                // What is left is half a row.
                self.pending.clear();
                continue;
            }
            if !self.at_end && self.is_one_group() {
                return Err(EngineError::invalid(format!(
                    "`{}` has more than {} bytes of rows from line {} on with the same value of the column mapped as `group_by`; \
                     name the column that differs from event to event",
                    self.input.name,
                    self.pending.len(),
                    self.line
                )));
            }
            if self.at_end || self.pending.len() - self.whole_rows().0 > self.row_bytes_max {
                return Ok(Some(self.refuse_row()));
            }
            wanted = self.pending.len() + CHUNK_BYTES;
        }
    }

    /// Reads until `wanted` bytes are pending or the input ends.
    fn fill(&mut self, wanted: usize) {
        if self.at_end || self.pending.len() >= wanted {
            return;
        }
        let is_start = self.line == 1 && self.pending.is_empty();
        let missing = wanted - self.pending.len();
        self.pending.reserve(missing);
        match self.input.text.by_ref().take(missing as u64).read_to_end(&mut self.pending) {
            Ok(read) => self.at_end = read < missing,
            Err(error) => {
                self.at_end = true;
                let whole_lines = self.lines() + count_line_feeds(&self.pending);
                self.failure = Some(self.input.read_error(error, whole_lines));
            }
        }
        if is_start && self.pending.starts_with(BYTE_ORDER_MARK) {
            self.pending.drain(..BYTE_ORDER_MARK.len());
        }
        if is_start && is_utf16(&self.pending) {
            self.pending.clear();
            self.at_end = true;
            let problem = format!("`{}` is UTF-16 text; convert it to UTF-8", self.input.name);
            self.failure = Some(EngineError::invalid(problem));
        }
    }

    /// The end of what can be handed out: the last whole row in `pending`, or the last whole group; 0 when there is none.
    fn last_row_end(&self) -> usize {
        let (end, is_open) = self.whole_rows();
        let is_whole = self.at_end && self.failure.is_none() && !is_open;
        match self.row_end {
            _ if is_whole => self.pending.len(),
            RowEnd::CsvRecord { delimiter, columns, grouped_by: Some(column) } => {
                let is_readable = |record: &Record<'_, '_>| readable(record, columns, self.row_bytes_max).is_ok();
                last_group_start(&self.pending[..end], delimiter, column, is_readable)
            }
            _ => end,
        }
    }

    /// True if the whole rows of `pending`, which are of one group, are longer than a row may be.
    fn is_one_group(&self) -> bool {
        let is_grouped = matches!(self.row_end, RowEnd::CsvRecord { grouped_by: Some(_), .. });
        is_grouped && self.whole_rows().0 > self.row_bytes_max
    }

    /// Where the last whole row in `pending` ends, and whether a quote is open after it.
    fn whole_rows(&self) -> (usize, bool) {
        match self.row_end {
            RowEnd::CsvRecord { delimiter, .. } if memchr::memchr(b'"', &self.pending).is_some() => {
                last_record_end(&self.pending, delimiter)
            }
            _ => (memchr::memrchr(b'\n', &self.pending).map_or(0, |end| end + 1), false),
        }
    }

    fn take_rows(&mut self, end: usize) -> Chunk {
        let rest = self.pending[end..].to_vec();
        let mut text = std::mem::replace(&mut self.pending, rest);
        text.truncate(end);
        let first_line = self.line;
        self.line += count_line_feeds(&text);
        if !text.ends_with(b"\n") {
            self.line += 1;
        }
        Chunk::Rows(Rows { first_line, text, refused_before: self.refused.take() })
    }

    /// Refuses the line that keeps `pending` from being handed out and goes on after it: it is too long, or opens a quote that
    /// nothing closes. (Taking the quote at its word would swallow all rows to the end of the file.) Rows before it are of one
    /// group, which it may be of, too.
    fn refuse_row(&mut self) -> Chunk {
        let first_line = self.line;
        let (end, _) = self.whole_rows();
        let line = first_line + count_line_feeds(&self.pending[..end]);
        self.line = line + 1;
        let (head, rejection) = match memchr::memchr(b'\n', &self.pending[end..]) {
            Some(length) => self.unclosed_line(line, end, end + length + 1),
            None => self.long_line(line, end),
        };
        self.refused = Some((line, rejection.clone()));
        Chunk::Refused { line: first_line, head, rejection }
    }

    /// Takes off the line from `start` to `end`, and what is before it.
    fn unclosed_line(&mut self, line: u64, start: usize, end: usize) -> (Vec<u8>, Rejection) {
        let is_too_long = self.pending.len() - start > self.row_bytes_max;
        let rest = self.pending.split_off(end);
        let head = std::mem::replace(&mut self.pending, rest);
        let rejection = match is_too_long {
            true => Rejection::new(
                Reason::TooLarge,
                format!(
                    "a quote opens on line {line} and is not closed within {} bytes; close or double it, or raise `event_bytes_max` in [landing]",
                    self.row_bytes_max
                ),
            ),
            false => never_closed(line),
        };
        (head, rejection)
    }

    /// Takes off the line from `start` on, to its end that is still to be read, and what is before it.
    fn long_line(&mut self, line: u64, start: usize) -> (Vec<u8>, Rejection) {
        let mut length = self.pending.len() - start;
        let mut head = std::mem::take(&mut self.pending);
        // One byte more than is kept, so that the cut can fall between two characters.
        head.truncate(QUARANTINE_RAW_BYTES_MAX + 1);
        while !self.at_end {
            self.fill(QUARANTINE_RAW_BYTES_MAX);
            match memchr::memchr(b'\n', &self.pending) {
                Some(end) => {
                    length += end;
                    self.pending.drain(..=end);
                    break;
                }
                None => {
                    length += self.pending.len();
                    self.pending.clear();
                }
            }
        }
        let is_too_long = length > self.row_bytes_max;
        (head, if is_too_long { Rejection::too_large(length, self.row_bytes_max) } else { never_closed(line) })
    }
}

fn never_closed(line: u64) -> Rejection {
    let detail =
        format!("a quote opens on line {line} and is not closed before the end of the file; close or double it");
    Rejection::new(Reason::BadRow, detail)
}

/// Whether a text begins as UTF-16 does: with its byte order mark, or with two letters of ASCII, each with a zero beside it.
fn is_utf16(text: &[u8]) -> bool {
    match text {
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] => true,
        [first, 0, second, 0, ..] | [0, first, 0, second, ..] => *first != 0 && *second != 0,
        _ => false,
    }
}

/// Whether a text begins as one array of objects does. A first line that is whole, before others, is a row that is wrong.
fn is_array_of_objects(text: &[u8]) -> bool {
    let text = text.trim_ascii_start();
    let begins = text.strip_prefix(b"[").is_some_and(|inside| inside.trim_ascii_start().starts_with(b"{"));
    let (first, rest) = text.split_at(memchr::memchr(b'\n', text).unwrap_or(text.len()));
    let is_row = || !rest.trim_ascii().is_empty() && serde_json::from_slice::<serde::de::IgnoredAny>(first).is_ok();
    begins && !is_row()
}

pub(crate) fn count_line_feeds(text: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', text).count() as u64
}

/// The end of the last whole CSV record in `text`, which starts with a record, and whether a quote is still open at the end.
pub(crate) fn last_record_end(text: &[u8], delimiter: u8) -> (usize, bool) {
    let mut last_end = 0;
    let mut at = 0;
    // At the start of each turn, `at` is the start of a field.
    while at < text.len() {
        if text[at] == b'"' {
            match closing_quote(text, at + 1) {
                Some(close) => at = close + 1,
                None => return (last_end, true),
            }
        }
        // A quote within an unquoted field is an ordinary character.
        match memchr::memchr2(delimiter, b'\n', &text[at..]) {
            Some(offset) => {
                at += offset + 1;
                if text[at - 1] == b'\n' {
                    last_end = at;
                }
            }
            None => return (last_end, false),
        }
    }
    (last_end, false)
}

/// The next quote that is not doubled.
fn closing_quote(text: &[u8], mut from: usize) -> Option<usize> {
    loop {
        let quote = from + memchr::memchr(b'"', &text[from..])?;
        if text.get(quote + 1) != Some(&b'"') {
            return Some(quote);
        }
        from = quote + 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::landing::input::Input;

    fn chunker(bytes: impl Into<Vec<u8>>, row_bytes_max: usize) -> Chunker {
        let reader = Box::new(std::io::Cursor::new(bytes.into()));
        Chunker::new(Input::Reader { name: "test".into(), reader }.open().unwrap(), row_bytes_max)
    }

    fn all(mut chunker: Chunker) -> (Vec<Chunk>, Option<EngineError>) {
        let mut chunks = Vec::new();
        loop {
            match chunker.next_chunk() {
                Ok(Some(chunk)) => chunks.push(chunk),
                Ok(None) => return (chunks, None),
                Err(error) => return (chunks, Some(error)),
            }
        }
    }

    fn rows(first_line: u64, text: &str) -> Chunk {
        Chunk::Rows(Rows { first_line, text: text.as_bytes().to_vec(), refused_before: None })
    }

    fn rows_after(rejection: &Rejection, first_line: u64, text: &str) -> Chunk {
        let refused_before = Some((first_line - 1, rejection.clone()));
        Chunk::Rows(Rows { first_line, text: text.as_bytes().to_vec(), refused_before })
    }

    #[test]
    fn test_chunker_takes_a_last_line_without_end_and_skips_the_byte_order_mark() {
        assert_eq!(all(chunker("\u{feff}a\nb", 100)).0, vec![rows(1, "a\nb")]);
        assert_eq!(all(chunker("", 100)).0, vec![]);
    }

    #[test]
    fn test_chunker_refuses_utf16_with_and_without_its_mark() {
        let little: Vec<u8> = "id,name\n1,Ada\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "id,name\n1,Ada\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let marked = [&[0xff, 0xfe], &little[..]].concat();
        let zstd = zstd::encode_all(&marked[..], 1).unwrap();
        for bytes in [little, [&[0xfe, 0xff], &big[..]].concat(), big, marked, zstd] {
            assert!(chunker(bytes.clone(), 100).header().unwrap_err().to_string().contains("`test` is UTF-16 text"));
            let (chunks, error) = all(chunker(bytes, 100));
            assert!(chunks.is_empty() && error.unwrap().to_string().contains("convert it to UTF-8"));
        }
        assert_eq!(all(chunker("a\0\0b", 100)).0, vec![rows(1, "a\0\0b")]);
    }

    #[test]
    fn test_an_array_of_objects_is_refused() {
        for array in ["[{\"a\":1}]", " [\n{\"a\":1},\n{\"a\":2}\n]\n", "[{\"a\":1},\n{\"a\":2}]", "[ {\"a\":"] {
            let error = chunker(array, 100).refuse_array().unwrap_err().to_string();
            assert!(error.contains("`test` is one JSON array: write one object a line"), "{error}");
        }
        // Lines that are wrong go to quarantine, the others land.
        for lines in ["", "[1]\n{\"a\":1}\n", "[{\"a\":1}]\n{\"a\":2}\n", "{\"a\":[{}]}\n", "[\n1]"] {
            chunker(lines, 100).refuse_array().unwrap();
        }
    }

    #[test]
    fn test_chunker_cuts_at_line_ends_and_counts_lines() {
        let line = format!("{}\n", "x".repeat(999));
        let (chunks, error) = all(chunker(line.repeat(10_000), 1 << 20));
        assert!(error.is_none());
        assert_eq!(chunks.len(), 3);
        let mut next_line = 1;
        for chunk in chunks {
            let Chunk::Rows(Rows { first_line, text, .. }) = chunk else { panic!("refused") };
            assert_eq!(first_line, next_line);
            assert!(text.ends_with(b"\n") && text.len() <= CHUNK_BYTES);
            next_line += count_line_feeds(&text);
        }
        assert_eq!(next_line, 10_001);
    }

    #[test]
    fn test_chunker_keeps_only_the_head_of_a_line_that_is_too_long() {
        let long = "y".repeat(50 << 20);
        let (chunks, error) = all(chunker(format!("a\n{long}\nb\n"), 1 << 20));
        assert!(error.is_none());
        assert_eq!(chunks[0], rows(1, "a\n"));
        let Chunk::Refused { line: 2, head, rejection } = &chunks[1] else { panic!("{:?}", chunks.len()) };
        assert_eq!(head.len(), QUARANTINE_RAW_BYTES_MAX + 1);
        assert_eq!(*rejection, Rejection::too_large(50 << 20, 1 << 20));
        assert_eq!(chunks[2], rows_after(rejection, 3, "b\n"));
    }

    #[test]
    fn test_chunker_yields_whole_rows_of_a_cut_gzip_then_the_error() {
        use std::io::Write;
        let lines: String = (0..20_000).map(|number| format!("{{\"n\":{}}}\n", number * 7919 % 104_729)).collect();
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        gzip.write_all(lines.as_bytes()).unwrap();
        let whole = gzip.finish().unwrap();
        let (chunks, error) = all(chunker(&whole[..whole.len() / 2], 1 << 20));
        let [Chunk::Rows(Rows { text, .. })] = &chunks[..] else { panic!("one chunk expected") };
        assert!(text.len() > 10_000 && lines.as_bytes().starts_with(text) && text.ends_with(b"\n"));
        let error = error.unwrap();
        assert_eq!(error.kind(), crate::error::ErrorKind::InvalidInput);
        assert!(error.to_string().contains(&format!("after line {}", count_line_feeds(text))), "{error}");
        let twice = [whole.clone(), whole].concat();
        assert_eq!(all(chunker(twice, 1 << 20)).0, vec![rows(1, &lines.repeat(2))]);
    }

    #[test]
    fn test_chunker_yields_whole_rows_of_a_cut_zstd_then_the_error() {
        let lines: String = (0..200_000).map(|number| format!("{{\"n\":{}}}\n", number * 7919 % 104_729)).collect();
        let whole = zstd::encode_all(lines.as_bytes(), 1).unwrap();
        assert_eq!(all(chunker(whole.clone(), 1 << 20)).0.len(), 1);
        let (chunks, error) = all(chunker(&whole[..whole.len() / 2], 1 << 20));
        assert!(matches!(&chunks[..], [Chunk::Rows(Rows { text, .. })] if text.ends_with(b"\n")));
        assert_eq!(error.unwrap().kind(), crate::error::ErrorKind::InvalidInput);
    }

    #[test]
    fn test_last_record_end_knows_quotes() {
        let end = |text: &str| last_record_end(text.as_bytes(), b',');
        assert_eq!(end("a,\"b\nc\",d\ne"), (10, false));
        assert_eq!(end("a,\"b\"\"\n\"\"c\"\n\"x"), (12, true));
        assert_eq!(end("5\" pipe,1\n6\" pipe,2\n"), (20, false));
        assert_eq!(end("\"a\nb"), (0, true));
    }

    #[test]
    fn test_chunker_keeps_rows_of_a_group_together() {
        let row = |number: usize| format!("{},{}\n", number / 7, "x".repeat(990));
        let mut chunker = chunker((0..10_000).map(row).collect::<String>(), 1 << 20);
        chunker.set_row_end(RowEnd::CsvRecord { delimiter: b',', columns: 2, grouped_by: Some(0) });
        let (chunks, error) = all(chunker);
        assert!(error.is_none() && chunks.len() == 3);
        let mut rows = 0;
        for chunk in chunks {
            let Chunk::Rows(Rows { text, .. }) = chunk else { panic!("refused") };
            assert_eq!(rows % 7, 0, "a chunk begins with a group");
            rows += count_line_feeds(&text);
        }
        assert_eq!(rows, 10_000);
    }

    #[test]
    fn test_chunker_refuses_an_input_that_is_one_group() {
        let mut chunker = chunker(format!("same,{}\n", "x".repeat(990)).repeat(10_000), 1 << 20);
        chunker.set_row_end(RowEnd::CsvRecord { delimiter: b',', columns: 2, grouped_by: Some(0) });
        let (chunks, error) = all(chunker);
        assert_eq!(chunks, []);
        let error = error.unwrap().to_string();
        assert!(error.contains("from line 1 on with the same value") && error.contains("group_by"), "{error}");
    }

    #[test]
    fn test_chunker_goes_on_after_a_quote_that_nothing_closes() {
        let mut unclosed = chunker("1,\"a\"\n2,\"b\n3,c\n", 100);
        unclosed.set_row_end(RowEnd::CsvRecord { delimiter: b',', columns: 2, grouped_by: None });
        let (chunks, _) = all(unclosed);
        assert_eq!(chunks[0], rows(1, "1,\"a\"\n"));
        let Chunk::Refused { line: 2, head, rejection } = &chunks[1] else { panic!("{chunks:?}") };
        assert_eq!((head.as_slice(), rejection.reason), (&b"2,\"b\n"[..], Reason::BadRow));
        assert_eq!(chunks[2], rows_after(rejection, 3, "3,c\n"));
    }
}
