//! Parquet files, with the same mapping as a table: every value as text.

use std::borrow::Cow;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Float64Type, Schema};
use arrow::json::writer::{EncoderOptions, make_encoder};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use crate::error::{EngineError, Result};
use crate::landing::input::RawBytes;
use crate::landing::json::whole_number;
use crate::landing::quarantine::{QuarantineBuilder, Rejection};
use crate::landing::tabular::{Cell, TabularBuilder};
use crate::limits::{PARQUET_BATCH_BYTES_MAX, PARQUET_BATCH_ROWS};

/// How Parquet files begin, and those with an encrypted footer, of which their reader tells.
const MAGIC: [&[u8]; 2] = [b"PAR1", b"PARE"];
/// So much of a file that is no Parquet is looked at.
const HEAD_BYTES: usize = 512;

/// An open file and the names of its columns.
pub(crate) struct ParquetInput {
    pub(crate) columns: Vec<String>,
    pub(crate) reader: ParquetRecordBatchReader,
}

impl ParquetInput {
    /// Opens the file, and hashes it whole: its reader skips about in it.
    pub(crate) fn open(path: &Path, row_bytes_max: usize, raw: &RawBytes) -> Result<Self> {
        let place = || format!("`{}`", path.display());
        let mut file = File::open(path).map_err(|error| EngineError::from(error).context(place()))?;
        let head = hash_file(&mut file, raw).map_err(|error| EngineError::from(error).context(place()))?;
        if let Some(problem) = other_kind(&head) {
            return Err(EngineError::invalid(format!("{} is no Parquet file{problem}", place())));
        }
        let damaged = |error: parquet::errors::ParquetError| {
            EngineError::invalid(format!(
                "{} is not a whole Parquet file ({error}); get a whole copy and land that",
                place()
            ))
        };
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(damaged)?;
        let columns = column_names(builder.schema());
        let rows_at_once = (PARQUET_BATCH_BYTES_MAX / row_bytes_max).clamp(1, PARQUET_BATCH_ROWS);
        let reader = builder.with_batch_size(rows_at_once).build().map_err(damaged)?;
        Ok(Self { columns, reader })
    }
}

fn column_names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}

/// Hashes a file; how it begins.
fn hash_file(file: &mut File, raw: &RawBytes) -> std::io::Result<Vec<u8>> {
    use std::io::Read;
    let mut buffer = vec![0; 1 << 20];
    let mut head = Vec::with_capacity(HEAD_BYTES);
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(head);
        }
        raw.add(&buffer[..length]);
        head.extend_from_slice(&buffer[..length.min(HEAD_BYTES - head.len())]);
    }
}

/// What to do with a file that begins as no Parquet file does. One that ends within the first bytes of such a file is a part of
/// one.
fn other_kind(head: &[u8]) -> Option<&'static str> {
    let first = &head[..head.len().min(4)];
    if MAGIC.iter().any(|magic| magic.starts_with(first)) {
        return None;
    }
    let text = match std::str::from_utf8(head) {
        Ok(text) => text,
        // The last character may be cut off.
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&head[..error.valid_up_to()]).unwrap_or_default()
        }
        Err(_) => "",
    };
    let text = text.trim_start_matches('\u{feff}').trim_start();
    let is_text = !text.contains(|character: char| character.is_control() && !character.is_whitespace());
    Some(match text.chars().next() {
        Some('{') if is_text => {
            " but seems to be JSON; set `format = \"ndjson\"` in its source, or `\"segment\"` if it holds calls of the Segment spec"
        }
        Some(_) if is_text => " but seems to be text; set `format = \"csv\"` in its source",
        _ => "; get the Parquet file and land that",
    })
}

/// Parses the rows of a batch. `first_row` is the 1-based number of the first in the file.
pub(crate) fn parse_rows(
    row_bytes_max: usize,
    first_row: u64,
    batch: &RecordBatch,
    rows: &mut TabularBuilder<'_>,
    quarantine: &mut QuarantineBuilder,
) -> Result<()> {
    let arrays = batch.columns().iter().map(in_utc).collect::<Result<Vec<_>>>()?;
    let columns = arrays.iter().map(|array| TextColumn::new(array)).collect::<Result<Vec<_>>>()?;
    let schema = batch.schema();
    for row in 0..batch.num_rows() {
        let texts = columns.iter().map(|column| column.text(row)).collect::<Result<Vec<_>>>()?;
        let mut cells = Vec::with_capacity(texts.len());
        let mut bytes = 0;
        for ((text, column), field) in texts.iter().zip(&columns).zip(schema.fields()) {
            bytes += text.len();
            let trimmed = text.trim();
            if !trimmed.is_empty() {
                let json = column.is_nested.then_some(trimmed);
                cells.push(Cell { name: Cow::Borrowed(field.name()), text: Cow::Borrowed(trimmed), json });
            }
        }
        let pushed =
            if bytes > row_bytes_max { Err(Rejection::too_large(bytes, row_bytes_max)) } else { rows.push(&cells) };
        if let Err(rejection) = pushed {
            let raw = cells.iter().map(|cell| format!("{}={}", cell.name, cell.text)).collect::<Vec<_>>().join("\n");
            quarantine.push(first_row + row as u64, &rejection, raw.as_bytes());
        }
    }
    Ok(())
}

/// Instants are stored in UTC whatever zone they are shown in; shown in UTC, they need no database of zones.
fn in_utc(array: &ArrayRef) -> Result<ArrayRef> {
    match array.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            Ok(arrow::compute::cast(array, &DataType::Timestamp(*unit, Some("+00:00".into())))?)
        }
        _ => Ok(Arc::clone(array)),
    }
}

/// A column whose values are wanted as text: times as RFC 3339, lists and structs as JSON, null as nothing. Whole numbers have no
/// fraction, for many programs write a column of them as floats when some are missing.
struct TextColumn<'a> {
    array: &'a dyn Array,
    formatter: Option<ArrayFormatter<'a>>,
    /// The values of a column of floats.
    floats: Option<Float64Array>,
    is_nested: bool,
}

impl<'a> TextColumn<'a> {
    fn new(array: &'a dyn Array) -> Result<Self> {
        let is_nested = array.data_type().is_nested()
            && !matches!(array.data_type(), DataType::Dictionary(..) | DataType::RunEndEncoded(..));
        let options = FormatOptions::new().with_null("");
        let formatter = if is_nested { None } else { Some(ArrayFormatter::try_new(array, &options)?) };
        let is_float = array.data_type().is_floating();
        let floats = if is_float { Some(arrow::compute::cast(array, &DataType::Float64)?) } else { None };
        let floats = floats.map(|floats| floats.as_primitive::<Float64Type>().clone());
        Ok(Self { array, formatter, floats, is_nested })
    }

    fn text(&self, row: usize) -> Result<String> {
        if self.array.is_null(row) {
            return Ok(String::new());
        }
        if let Some(whole) = self.floats.as_ref().and_then(|floats| whole_number(floats.value(row))) {
            return Ok(whole);
        }
        match &self.formatter {
            Some(formatter) => Ok(formatter.value(row).try_to_string()?),
            None => nested_json(self.array, row),
        }
    }
}

fn nested_json(array: &dyn Array, row: usize) -> Result<String> {
    let value = array.slice(row, 1);
    let field = Arc::new(Field::new("value", array.data_type().clone(), true));
    let mut json = Vec::new();
    make_encoder(&field, &value, &EncoderOptions::default())?.encode(0, &mut json);
    Ok(String::from_utf8_lossy(&json).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn problem(content: &[u8]) -> String {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        let opened = ParquetInput::open(file.path(), 1 << 20, &RawBytes::default());
        let error = opened.map(|input| input.columns).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        let message = error.to_string();
        let (_, problem) = message.split_once(&format!("`{}` ", file.path().display())).unwrap();
        assert!(!problem.contains("ada"), "{problem}");
        problem.to_owned()
    }

    #[test]
    fn test_a_file_that_is_no_parquet_is_told_its_format() {
        for json in ["{\"email\":\"ada@example.com\"}\n", "\u{feff}\n {\"type\":\"page\"}"] {
            let message = problem(json.as_bytes());
            assert!(
                message.contains("is no Parquet file but seems to be JSON") && message.contains("ndjson"),
                "{message}"
            );
        }
        // The first bytes that are looked at end within a character.
        let long = format!("a,{}", "é".repeat(HEAD_BYTES));
        for text in ["id,email\n1,ada@example.com\n", "id", &long] {
            assert!(problem(text.as_bytes()).contains("set `format = \"csv\"`"), "{text}");
        }
        for other in [&b"PK\x03\x04\x14\x00"[..], b"\x1f\x8b\x08\x00", b"caf\xe9,1", b"  \n\n", b"{\x00\x01\x02"] {
            assert!(problem(other).ends_with("is no Parquet file; get the Parquet file and land that"), "{other:?}");
        }
    }

    #[test]
    fn test_a_part_of_a_parquet_file_is_told_so() {
        for part in [&b""[..], b"PA", b"PAR1", b"PAR1\x15\x04\x15\x10", b"PARE\x00\x00\x00\x00PARE"] {
            assert!(problem(part).contains("is not a whole Parquet file"), "{part:?}");
        }
    }
}
