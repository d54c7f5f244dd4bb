//! Answers on standard output, batch by batch: memory does not grow with the answer.

use std::io::Write;

use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::json::writer::{JsonArray, LineDelimited, Writer as JsonWriter};
use futures::TryStreamExt;
use tessera_engine::QueryResult;

use crate::cli::Format;
use crate::encode;
use crate::table::TableWriter;

/// Says a line to whoever asked. Unlike `println!` it does not panic when nobody can hear it.
///
/// # Errors
/// What writing reports: standard output may be closed, or a full disk.
pub(crate) fn say(line: impl std::fmt::Display) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

/// Prints an answer.
pub(crate) async fn print(result: QueryResult, format: Format) -> Result<()> {
    let out = std::io::BufWriter::new(std::io::stdout().lock());
    match format {
        Format::Table => table(result, out).await,
        Format::Csv => csv(result, out).await,
        Format::Json => json::<JsonArray>(result, out, "\n").await,
        Format::Ndjson => json::<LineDelimited>(result, out, "").await,
    }
}

async fn table(mut result: QueryResult, out: impl Write) -> Result<()> {
    let mut table = TableWriter::new(out, &result.schema);
    while let Some(batch) = result.batches.try_next().await? {
        table.push(batch)?;
    }
    table.end()
}

async fn csv(mut result: QueryResult, mut out: impl Write) -> Result<()> {
    let header = RecordBatch::new_empty(std::sync::Arc::clone(&result.schema));
    out.write_all(&encode::csv(&header, true)?)?;
    while let Some(batch) = result.batches.try_next().await? {
        out.write_all(&encode::csv(&batch, false)?)?;
    }
    Ok(out.flush()?)
}

async fn json<F: arrow::json::writer::JsonFormat>(mut result: QueryResult, out: impl Write, end: &str) -> Result<()> {
    let builder = arrow::json::WriterBuilder::new().with_explicit_nulls(true);
    let mut writer: JsonWriter<_, F> = builder.build(out);
    while let Some(batch) = result.batches.try_next().await? {
        writer.write(&batch)?;
    }
    writer.finish()?;
    let mut out = writer.into_inner();
    out.write_all(end.as_bytes())?;
    Ok(out.flush()?)
}
