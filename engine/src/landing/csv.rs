//! CSV as RFC 4180 has it, with a header line.
//!
//! The delimiter is the one of comma, semicolon and tab that occurs most often in the header, outside of quotes; comma if none does.
//! A line `sep=;` before it, as Excel reads and writes it, names another.

mod group;
pub(crate) mod records;

pub(crate) use self::group::parse_groups;

use std::borrow::Cow;
use std::collections::HashMap;

use self::records::{Record, Records};
use crate::landing::chunk::{Rows, count_line_feeds};
use crate::landing::quarantine::{QuarantineBuilder, Reason, Rejection};
use crate::landing::tabular::{Cell, TabularBuilder};

/// How files begin that are no CSV but often taken for it, and what to do with them. (A file that is compressed once is unpacked
/// when it is read.)
const OTHER_FILES: [(&[u8], &str); 3] = [
    (b"PK\x03\x04", "is that of a zip file, as Excel workbooks are; save the sheet as CSV, or unpack the file"),
    (b"\xd0\xcf\x11\xe0", "is that of an Excel workbook; save the sheet as CSV"),
    (b"\x1f\x8b", "is compressed: the file is a gzip inside of another; unpack it once and land what comes out"),
];

/// The names of a file's columns and what is between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) delimiter: u8,
    /// Trimmed. Columns without a name are empty here and are not read; a name that occurred before gets a number.
    pub(crate) columns: Vec<String>,
}

impl Header {
    /// Reads a header line.
    ///
    /// # Errors
    /// What is wrong with it, and what to do: it is of a file of another kind, not UTF-8, or the whole of a file whose lines end as
    /// on old Macs.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, &'static str> {
        Self::parse_delimited(line, detect_delimiter(line))
    }

    /// Reads a header line whose delimiter is known.
    ///
    /// # Errors
    /// As `parse`.
    pub(crate) fn parse_delimited(line: &[u8], delimiter: u8) -> Result<Self, &'static str> {
        if let Some((_, problem)) = OTHER_FILES.iter().find(|(start, _)| line.starts_with(start)) {
            return Err(problem);
        }
        let mut records = Records::new(line, delimiter);
        let mut columns: Vec<String> = Vec::new();
        let mut next_numbers = HashMap::new();
        if let Some(record) = records.next_record() {
            for (start, end) in record.fields() {
                let name = std::str::from_utf8(&record.output[start..end]);
                let name = name.map_err(|_| "is not UTF-8; convert the file to UTF-8")?.trim();
                columns.push(if name.is_empty() { String::new() } else { unique_name(name, &mut next_numbers) });
            }
        }
        if records.next_record().is_some() {
            return Err(
                "ends with a carriage return alone, as on old Macs; save the file with lines that end with line feeds",
            );
        }
        Ok(Self { delimiter, columns })
    }
}

/// The name, with a number if it is taken. For each name that is taken, `next_numbers` has the first that was not tried: a header
/// may have the same name very often.
fn unique_name(name: &str, next_numbers: &mut HashMap<String, usize>) -> String {
    let mut number = next_numbers.get(name).copied().unwrap_or(2);
    let mut unique = name.to_owned();
    while next_numbers.contains_key(&unique) {
        unique = format!("{name}_{number}");
        number += 1;
    }
    next_numbers.insert(name.to_owned(), number);
    next_numbers.entry(unique.clone()).or_insert(2);
    unique
}

/// The delimiter that a line `sep=;` names.
pub(crate) fn named_delimiter(line: &[u8]) -> Option<u8> {
    let (name, delimiter) = line.split_at_checked(4)?;
    match delimiter {
        [byte] if name.eq_ignore_ascii_case(b"sep=") && is_delimiter(*byte) => Some(*byte),
        _ => None,
    }
}

fn is_delimiter(byte: u8) -> bool {
    byte == b'\t' || byte.is_ascii_punctuation() && byte != b'"'
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

/// Parses whole records.
pub(crate) fn parse_rows(
    header: &Header,
    row_bytes_max: usize,
    chunk: &Rows,
    rows: &mut TabularBuilder<'_>,
    quarantine: &mut QuarantineBuilder,
) {
    for_each_row(header, row_bytes_max, chunk, |line, raw, cells| {
        if let Err(rejection) = cells.and_then(|cells| rows.push(&cells)) {
            quarantine.push(line, &rejection, raw.trim_ascii_end());
        }
    });
}

/// Calls `take` with the line, the text and the values of each record, or why it cannot be read.
fn for_each_row(
    header: &Header,
    row_bytes_max: usize,
    chunk: &Rows,
    mut take: impl FnMut(u64, &[u8], Result<Vec<Cell<'_>>, Rejection>),
) {
    let mut records = Records::new(&chunk.text, header.delimiter);
    let mut line = chunk.first_line;
    while let Some(record) = records.next_record() {
        line += count_line_feeds(record.skipped);
        take(line, record.raw, cells(&record, header, row_bytes_max));
        line += count_line_feeds(record.raw);
    }
}

/// The text of the record's fields, if each of them can be read.
pub(crate) fn readable<'r>(
    record: &Record<'r, '_>,
    columns: usize,
    row_bytes_max: usize,
) -> Result<&'r str, Rejection> {
    if record.raw.len() > row_bytes_max {
        return Err(Rejection::too_large(record.raw.len(), row_bytes_max));
    }
    let text = std::str::from_utf8(record.output).map_err(|_| Rejection::bad_encoding())?;
    if record.ends.len() != columns {
        let detail = format!(
            "{} fields where the header has {columns}; quote fields that hold the delimiter",
            record.ends.len()
        );
        return Err(Rejection::new(Reason::BadRow, detail));
    }
    // Halves of a character in two fields are UTF-8 only together.
    if record.ends.iter().any(|end| !text.is_char_boundary(*end)) {
        return Err(Rejection::bad_encoding());
    }
    Ok(text)
}

/// The record's values that are not blank, by their columns.
fn cells<'r>(record: &Record<'r, '_>, header: &'r Header, row_bytes_max: usize) -> Result<Vec<Cell<'r>>, Rejection> {
    let text = readable(record, header.columns.len(), row_bytes_max)?;
    let mut cells = Vec::with_capacity(header.columns.len());
    for (column, (start, end)) in header.columns.iter().zip(record.fields()) {
        let text = text[start..end].trim();
        if !text.is_empty() && !column.is_empty() {
            cells.push(Cell { name: Cow::Borrowed(column), text: Cow::Borrowed(text), json: None });
        }
    }
    Ok(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn test_a_line_may_name_the_delimiter() {
        for (line, delimiter) in [("sep=;", b';'), ("SEP=|", b'|'), ("sep=\t", b'\t')] {
            assert_eq!(named_delimiter(line.as_bytes()), Some(delimiter), "{line}");
        }
        for line in ["", "sep", "sep=", "sep=a", "sep=\"", "sep=;;", "set=;"] {
            assert_eq!(named_delimiter(line.as_bytes()), None, "{line}");
        }
        let header = Header::parse_delimited(b"a|b;c;d", b'|').unwrap();
        assert_eq!((header.delimiter, header.columns), (b'|', vec!["a".to_owned(), "b;c;d".to_owned()]));
    }

    #[test]
    fn test_header_is_one_line() {
        assert_eq!(columns("a,b\r").1, ["a", "b"]);
        assert_eq!(columns("a,\"b\rc\"").1, ["a", "b\rc"]);
        assert!(Header::parse(b"a,b\r1,2").unwrap_err().contains("old Macs"));
        assert!(Header::parse(b"a,\xff").unwrap_err().contains("UTF-8"));
    }

    #[test]
    fn test_header_of_another_kind_of_file_is_told_so() {
        let problem = |line: &[u8]| Header::parse(line).unwrap_err();
        assert!(problem(b"PK\x03\x04\x14\x00\xff").contains("save the sheet as CSV, or unpack"));
        assert!(problem(b"PK\x03\x04").contains("zip"), "what follows may be in the next line");
        assert!(problem(b"\xd0\xcf\x11\xe0\xa1\xb1").contains("Excel"));
        assert!(problem(b"\x1f\x8b\x08").contains("unpack it once"));
        assert_eq!(columns("PK,id").1, ["PK", "id"]);
    }

    #[test]
    fn test_header_names_columns_once() {
        assert_eq!(columns(" a ,,b,a,a").1, ["a", "", "b", "a_2", "a_3"]);
        assert_eq!(columns("a_2,a,a,a_2,a").1, ["a_2", "a", "a_3", "a_2_2", "a_4"]);
    }

    #[test]
    fn test_header_of_very_many_equal_names_is_read_at_once() {
        let columns = columns(&vec!["country"; 300_000].join(",")).1;
        assert_eq!((columns[1].as_str(), columns[299_999].as_str()), ("country_2", "country_300000"));
    }
}
