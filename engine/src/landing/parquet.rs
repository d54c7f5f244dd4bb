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
        hash_file(&mut file, raw).map_err(|error| EngineError::from(error).context(place()))?;
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

fn hash_file(file: &mut File, raw: &RawBytes) -> std::io::Result<()> {
    use std::io::Read;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let length = file.read(&mut buffer)?;
        if length == 0 {
            return Ok(());
        }
        raw.add(&buffer[..length]);
    }
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
