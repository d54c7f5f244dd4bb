//! Answers as files, piece by piece: memory does not grow with the answer.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result};
use arrow::array::{Array, ArrayRef, RecordBatch, StringArray};
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::LineDelimitedWriter;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use tessera_engine::{EngineError, QueryResult};

/// A kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum FileFormat {
    Csv,
    Ndjson,
    Parquet,
}

/// Makes a file of batches.
pub(crate) trait Encoder: Send {
    /// What a batch adds to the file.
    ///
    /// # Errors
    /// What the format's writer reports.
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>>;

    /// What the file ends with.
    ///
    /// # Errors
    /// What the format's writer reports.
    fn end(self: Box<Self>) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

/// Begins a file of batches of `schema`, and returns what it begins with.
///
/// # Errors
/// For columns that the format cannot have.
pub(crate) fn begin(format: FileFormat, schema: &SchemaRef) -> Result<(Box<dyn Encoder>, Vec<u8>)> {
    Ok(match format {
        FileFormat::Csv => (Box::new(Csv), csv(&RecordBatch::new_empty(Arc::clone(schema)), true)?),
        FileFormat::Ndjson => (Box::new(Ndjson), Vec::new()),
        FileFormat::Parquet => {
            let pieces = Pieces::default();
            let properties = WriterProperties::builder().set_compression(Compression::ZSTD(Default::default()));
            let writer = ArrowWriter::try_new(pieces.clone(), Arc::clone(schema), Some(properties.build()))?;
            (Box::new(Parquet { writer, pieces }), Vec::new())
        }
    })
}

/// The file of an answer in pieces, none of them empty.
///
/// # Errors
/// For columns that the format cannot have. The error of a piece is the engine's where a batch has one.
pub(crate) fn pieces(result: QueryResult, format: FileFormat) -> Result<BoxStream<'static, Result<Vec<u8>>>> {
    let (encoder, beginning) = begin(format, &result.schema)?;
    let rest = futures::stream::try_unfold((result.batches, Some(encoder)), |(mut batches, encoder)| async move {
        let Some(mut encoder) = encoder else { return Ok(None) };
        match batches.try_next().await? {
            Some(batch) => Ok(Some((encoder.encode(&batch)?, (batches, Some(encoder))))),
            None => Ok(Some((encoder.end()?, (batches, None)))),
        }
    });
    let all = futures::stream::iter([Ok(beginning)]).chain(rest);
    Ok(all.filter(|piece| std::future::ready(!matches!(piece, Ok(piece) if piece.is_empty()))).boxed())
}

/// Pieces for whoever writes a file for the engine.
pub(crate) fn as_bytes(pieces: BoxStream<'static, Result<Vec<u8>>>) -> BoxStream<'static, Result<Bytes, EngineError>> {
    let error = |error: anyhow::Error| error.downcast::<EngineError>().unwrap_or_else(unwritable);
    pieces.map_ok(Bytes::from).map_err(error).boxed()
}

/// Why a file cannot be written that has nothing to do with the query.
pub(crate) fn unwritable(error: anyhow::Error) -> EngineError {
    EngineError::invalid(format!("the file cannot be written: {error:#}"))
}

struct Csv;

impl Encoder for Csv {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        csv(batch, false)
    }
}

struct Ndjson;

impl Encoder for Ndjson {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        ndjson(batch)
    }
}

struct Parquet {
    writer: ArrowWriter<Pieces>,
    pieces: Pieces,
}

impl Encoder for Parquet {
    fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        self.writer.write(batch)?;
        Ok(self.pieces.take())
    }

    fn end(self: Box<Self>) -> Result<Vec<u8>> {
        self.writer.close().context("the end of the file")?;
        Ok(self.pieces.take())
    }
}

/// A batch as CSV. It is formatted in memory and then written: the CSV writer would turn the reason of a failed write into
/// text.
///
/// # Errors
/// What the format's writer reports.
pub(crate) fn csv(batch: &RecordBatch, with_header: bool) -> Result<Vec<u8>> {
    let mut writer = CsvWriterBuilder::new().with_header(with_header).build(Vec::new());
    writer.write(&flattened(batch)?)?;
    Ok(writer.into_inner())
}

fn ndjson(batch: &RecordBatch) -> Result<Vec<u8>> {
    let mut writer: LineDelimitedWriter<_> =
        arrow::json::WriterBuilder::new().with_explicit_nulls(true).build(Vec::new());
    writer.write(batch)?;
    writer.finish()?;
    Ok(writer.into_inner())
}

/// CSV has no lists: they are printed as text.
fn flattened(batch: &RecordBatch) -> Result<RecordBatch> {
    let options = FormatOptions::default();
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
        if !column.data_type().is_nested() {
            fields.push(field.as_ref().clone());
            columns.push(Arc::clone(column));
            continue;
        }
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
        let texts: StringArray =
            (0..column.len()).map(|row| (!column.is_null(row)).then(|| formatter.value(row).to_string())).collect();
        fields.push(Field::new(field.name(), DataType::Utf8, true));
        columns.push(Arc::new(texts));
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// What a writer has written and nobody has taken yet.
#[derive(Debug, Clone, Default)]
struct Pieces(Arc<Mutex<Vec<u8>>>);

impl Pieces {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
