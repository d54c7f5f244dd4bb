//! CSV as RFC 4180 has it, with a header line.
//!
//! The delimiter is the one of comma, semicolon and tab that occurs most often in the header, outside of quotes; comma if none does.

use std::borrow::Cow;
use std::collections::HashSet;

use csv_core::ReadRecordResult;

use crate::landing::chunk::count_line_feeds;
use crate::landing::json::ObjectWriter;
use crate::landing::quarantine::{QuarantineBuilder, Reason, Rejection};
use crate::landing::tabular::{Cell, Grouping, PRODUCTS, TabularBuilder};

/// The names of a file's columns and what is between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) delimiter: u8,
    /// Trimmed. Columns without a name are empty here and are not read; a name that occurred before gets a number.
    pub(crate) columns: Vec<String>,
}

impl Header {
    /// Reads a header line; Err when it is not UTF-8.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, std::str::Utf8Error> {
        let delimiter = detect_delimiter(line);
        let mut records = Records::new(line, delimiter);
        let mut columns: Vec<String> = Vec::new();
        let mut names = HashSet::new();
        if let Some(record) = records.next_record() {
            for (start, end) in record.fields() {
                let name = std::str::from_utf8(&record.output[start..end])?.trim();
                let mut unique = name.to_owned();
                let mut number = 2;
                while !name.is_empty() && !names.insert(unique.clone()) {
                    unique = format!("{name}_{number}");
                    number += 1;
                }
                columns.push(unique);
            }
        }
        Ok(Self { delimiter, columns })
    }
}

fn detect_delimiter(line: &[u8]) -> u8 {
    let mut counts = [(b',', 0), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    for byte in line {
        is_quoted ^= *byte == b'"';
        if !is_quoted {
            counts.iter_mut().filter(|(delimiter, _)| delimiter == byte).for_each(|(_, count)| *count += 1);
        }
    }
    // Of equal counts the first wins.
    let mut best = counts[0];
    for candidate in &counts[1..] {
        if candidate.1 > best.1 {
            best = *candidate;
        }
    }
    best.0
}

/// Parses whole records. `first_line` is the 1-based line of the first.
pub(crate) fn parse_rows(
    header: &Header,
    row_bytes_max: usize,
    first_line: u64,
    text: &[u8],
    rows: &mut TabularBuilder<'_>,
    quarantine: &mut QuarantineBuilder,
) {
    let mut records = Records::new(text, header.delimiter);
    let mut line = first_line;
    while let Some(record) = records.next_record() {
        line += count_line_feeds(record.skipped);
        let pushed = record.cells(header, row_bytes_max).and_then(|cells| rows.push(&cells));
        if let Err(rejection) = pushed {
            quarantine.push(line, &rejection, record.raw.trim_ascii_end());
        }
        line += count_line_feeds(record.raw);
    }
}

/// Parses whole records, of which those that `grouping` makes one event follow each other.
pub(crate) fn parse_groups(
    header: &Header,
    grouping: &Grouping,
    row_bytes_max: usize,
    first_line: u64,
    text: &[u8],
    rows: &mut TabularBuilder<'_>,
    quarantine: &mut QuarantineBuilder,
) {
    let mut records = Records::new(text, header.delimiter);
    let mut line = first_line;
    let mut group = Group::default();
    while let Some(record) = records.next_record() {
        line += count_line_feeds(record.skipped);
        match record.cells(header, row_bytes_max) {
            Ok(cells) => {
                let value = cells.iter().find(|cell| cell.name == header.columns[grouping.by]);
                if value.is_none_or(|value| value.text != group.value) {
                    std::mem::take(&mut group).push(rows, quarantine);
                    group.value = value.map(|value| value.text.to_string()).unwrap_or_default();
                    group.line = line;
                }
                group.add(cells, header, grouping, record.raw);
            }
            Err(rejection) => quarantine.push(line, &rejection, record.raw.trim_ascii_end()),
        }
        line += count_line_feeds(record.raw);
    }
    group.push(rows, quarantine);
}

/// Rows that are one event.
#[derive(Default)]
struct Group<'h> {
    /// What they have in common.
    value: String,
    /// The line of the first.
    line: u64,
    /// As it arrived.
    raw: Vec<u8>,
    cells: Vec<Cell<'h>>,
    /// JSON objects.
    products: Vec<String>,
}

impl<'h> Group<'h> {
    fn add(&mut self, cells: Vec<Cell<'_>>, header: &'h Header, grouping: &Grouping, raw: &[u8]) {
        self.raw.extend_from_slice(raw);
        let mut product = ObjectWriter::default();
        let mut has_product = false;
        for (name, column) in &grouping.products {
            if let Some(cell) = cells.iter().find(|cell| cell.name == header.columns[*column]) {
                product.push_text(name, &cell.text);
                has_product = true;
            }
        }
        if has_product {
            self.products.push(product.finish().to_owned());
        }
        for cell in cells {
            if self.cells.iter().all(|known| known.name != cell.name)
                && let Some(name) = header.columns.iter().find(|column| cell.name == **column)
            {
                let text = Cow::Owned(cell.text.into_owned());
                self.cells.push(Cell { name: Cow::Borrowed(name), text, json: None });
            }
        }
    }

    fn push(self, rows: &mut TabularBuilder<'_>, quarantine: &mut QuarantineBuilder) {
        if self.cells.is_empty() {
            return;
        }
        let products = format!("[{}]", self.products.join(","));
        let mut cells: Vec<Cell<'_>> = self.cells;
        if !self.products.is_empty() {
            let (name, text) = (Cow::Borrowed(PRODUCTS), Cow::Borrowed(products.as_str()));
            cells.push(Cell { name, text, json: Some(&products) });
        }
        if let Err(rejection) = rows.push(&cells) {
            quarantine.push(self.line, &rejection, self.raw.trim_ascii_end());
        }
    }
}

/// Where the last rows of `text` begin that have their value of the column number `by` in common: more of them may follow.
pub(crate) fn last_group_start(text: &[u8], delimiter: u8, by: usize) -> usize {
    let mut records = Records::new(text, delimiter);
    let (mut start, mut at) = (0, 0);
    let mut last: Option<Vec<u8>> = None;
    while let Some(record) = records.next_record() {
        let begin = at + record.skipped.len();
        at = begin + record.raw.len();
        let field = record.fields().nth(by).map_or(&[][..], |(from, to)| record.output[from..to].trim_ascii());
        if field.is_empty() || last.as_deref() != Some(field) {
            (start, last) = (begin, Some(field.to_vec()));
        }
    }
    start
}

/// Walks over the records of a text.
struct Records<'t> {
    reader: csv_core::Reader,
    rest: &'t [u8],
    output: Vec<u8>,
    ends: Vec<usize>,
}

/// One record: its text, the blank lines before it, and its fields.
struct Record<'r, 't> {
    skipped: &'t [u8],
    raw: &'t [u8],
    output: &'r [u8],
    ends: &'r [usize],
}

impl<'t> Records<'t> {
    fn new(text: &'t [u8], delimiter: u8) -> Self {
        let reader = csv_core::ReaderBuilder::new().delimiter(delimiter).build();
        Self { reader, rest: text, output: vec![0; 4096], ends: vec![0; 64] }
    }

    fn next_record(&mut self) -> Option<Record<'_, 't>> {
        let blank = self.rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let (skipped, text) = self.rest.split_at(blank);
        if text.is_empty() {
            return None;
        }
        let (mut read, mut written, mut fields) = (0, 0, 0);
        loop {
            let (result, input, output, ends) =
                self.reader.read_record(&text[read..], &mut self.output[written..], &mut self.ends[fields..]);
            read += input;
            written += output;
            fields += ends;
            match result {
                // At the end of the text, an empty input says that there is no more.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => self.output.resize(self.output.len() * 2, 0),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record | ReadRecordResult::End => break,
            }
        }
        // The reader stops after the carriage return of a line end.
        if text.get(read) == Some(&b'\n') && text.get(read.wrapping_sub(1)) == Some(&b'\r') {
            read += 1;
        }
        let (raw, rest) = text.split_at(read);
        self.rest = rest;
        (fields > 0).then_some(Record { skipped, raw, output: &self.output[..written], ends: &self.ends[..fields] })
    }
}

impl<'r> Record<'r, '_> {
    fn fields(&self) -> impl Iterator<Item = (usize, usize)> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(self.ends.iter().copied())
    }

    fn cells(&self, header: &'r Header, row_bytes_max: usize) -> Result<Vec<Cell<'r>>, Rejection> {
        if self.raw.len() > row_bytes_max {
            return Err(Rejection::too_large(self.raw.len(), row_bytes_max));
        }
        let output = std::str::from_utf8(self.output).map_err(|_| Rejection::bad_encoding())?;
        if self.ends.len() != header.columns.len() {
            let detail = format!(
                "{} fields where the header has {}; quote fields that hold the delimiter",
                self.ends.len(),
                header.columns.len()
            );
            return Err(Rejection::new(Reason::BadRow, detail));
        }
        let mut cells = Vec::with_capacity(header.columns.len());
        for (column, (start, end)) in header.columns.iter().zip(self.fields()) {
            // Halves of a character in two fields are UTF-8 only together.
            let text = output.get(start..end).ok_or_else(Rejection::bad_encoding)?.trim();
            if !text.is_empty() && !column.is_empty() {
                cells.push(Cell { name: Cow::Borrowed(column), text: Cow::Borrowed(text), json: None });
            }
        }
        Ok(cells)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_the_last_group_is_found_across_quotes_and_blank_lines() {
        let start = |text: &str| last_group_start(text.as_bytes(), b',', 0);
        assert_eq!(start("a,1\nb,2\n\nb,\"3\n\"\n"), 4);
        assert_eq!(start("a,1\na,2\n"), 0);
        assert_eq!(start("a,1\n,2\n,3\n"), 7, "a blank value is nobody's group");
    }

    fn columns(line: &str) -> (char, Vec<String>) {
        let header = Header::parse(line.as_bytes()).unwrap();
        (header.delimiter as char, header.columns)
    }

    #[test]
    fn test_header_detects_the_delimiter() {
        assert_eq!(columns("a,b"), (',', vec!["a".into(), "b".into()]));
        assert_eq!(columns("a;b;\"c,d,e,f\""), (';', vec!["a".into(), "b".into(), "c,d,e,f".into()]));
        assert_eq!(columns("a\tb"), ('\t', vec!["a".into(), "b".into()]));
        assert_eq!(columns("a"), (',', vec!["a".into()]));
    }

    #[test]
    fn test_header_names_columns_once() {
        assert_eq!(columns(" a ,,b,a,a").1, ["a", "", "b", "a_2", "a_3"]);
    }

    #[test]
    fn test_records_know_their_lines() {
        let mut records = Records::new(b"\r\na,\"x\r\ny\"\r\n\n\nb,c", b',');
        let mut seen = Vec::new();
        while let Some(record) = records.next_record() {
            seen.push((record.skipped.to_vec(), record.raw.to_vec(), record.output.to_vec()));
        }
        assert_eq!(seen[0], (b"\r\n".to_vec(), b"a,\"x\r\ny\"\r\n".to_vec(), b"ax\r\ny".to_vec()));
        assert_eq!(seen[1], (b"\n\n".to_vec(), b"b,c".to_vec(), b"bc".to_vec()));
        assert_eq!(seen.len(), 2);
    }
}
