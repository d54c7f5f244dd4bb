//! Streams of batches to Parquet files: one writer a stream, in parallel, each file named for its run so that only
//! files which a commit names are ever read.

use std::sync::Arc;

use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::record_batch::RecordBatch;
use datafusion::common::runtime::SpawnedTask;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::StreamExt;
use object_store::buffered::BufWriter;
use parquet::arrow::AsyncArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::delta::DataFile;
use super::keyed::keys::keys_of;
use super::{Lake, TableName, layout};
use crate::error::{EngineError, Result};
use crate::limits;

/// Writes the files of one writer of one run.
pub(crate) struct FileWriter {
    lake: Lake,
    table: TableName,
    run: String,
    writer: usize,
    schema: SchemaRef,
    properties: WriterProperties,
    open: Option<OpenFile>,
    done: Vec<DataFile>,
}

struct OpenFile {
    name: String,
    rows: u64,
    /// The files' schema, with views where the batches have them.
    schema: SchemaRef,
    writer: AsyncArrowWriter<BufWriter>,
}

impl FileWriter {
    /// A writer of `table`; `schema` is the files' schema, `unique` names columns of which nearly every value differs.
    pub(crate) fn new(
        lake: &Lake,
        table: &TableName,
        run: &str,
        writer: usize,
        schema: &Schema,
        unique: &[String],
    ) -> Self {
        Self {
            lake: lake.clone(),
            table: table.clone(),
            run: run.to_owned(),
            writer,
            schema: Arc::new(file_schema(schema)),
            properties: properties(table, schema, unique),
            open: None,
            done: Vec::new(),
        }
    }

    /// Appends a batch. Views are written as they are: Parquet has one kind of text, and of bytes.
    pub(crate) async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if self.open.as_ref().is_some_and(|open| open.rows >= limits::FILE_ROWS_MAX) {
            self.close().await?;
        }
        let open = match &mut self.open {
            Some(open) => open,
            empty => {
                let name = layout::data_file(&self.run, self.writer, self.done.len());
                let path = layout::table(&self.lake, &self.table).join(name.as_str());
                let object = BufWriter::new(Arc::clone(&self.lake.root), path);
                // Readers get their schema from the log. A schema hidden in the file would only contradict it.
                let options =
                    ArrowWriterOptions::new().with_properties(self.properties.clone()).with_skip_arrow_metadata(true);
                let schema = Arc::new(written_schema(&self.schema, &batch.schema()));
                let writer = AsyncArrowWriter::try_new_with_options(object, Arc::clone(&schema), options)?;
                empty.insert(OpenFile { name, rows: 0, schema, writer })
            }
        };
        let batch = cast(batch, &open.schema)?;
        open.rows += batch.num_rows() as u64;
        open.writer.write(&batch).await?;
        Ok(())
    }

    async fn close(&mut self) -> Result<()> {
        if let Some(mut open) = self.open.take() {
            open.writer.finish().await?;
            let bytes = open.writer.bytes_written() as u64;
            self.done.push(DataFile { path: open.name, bytes, rows: open.rows, partition: Vec::new() });
        }
        Ok(())
    }

    /// Closes the last file and says what was written.
    pub(crate) async fn finish(&mut self) -> Result<Vec<DataFile>> {
        self.close().await?;
        Ok(self.take_done())
    }

    /// The files that are whole: after a failure, what there is to delete.
    pub(crate) fn take_done(&mut self) -> Vec<DataFile> {
        std::mem::take(&mut self.done)
    }
}

impl Drop for FileWriter {
    /// What was begun is thrown away, whatever ended the run. A file in a folder goes by itself; in a bucket no listing would
    /// show the parts, only the bill.
    fn drop(&mut self) {
        let Some(open) = self.open.take().filter(|_| self.lake.url.scheme() != "file") else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = open.writer.into_inner().abort().await {
                    tracing::warn!(file = open.name, %error, "upload not aborted");
                }
            });
        }
    }
}

/// What is done to each batch before it is written.
pub(crate) type BatchMap = Arc<dyn Fn(RecordBatch) -> Result<RecordBatch> + Send + Sync>;

/// Writes every stream with a writer of its own, in parallel.
pub(crate) async fn write_streams(
    lake: &Lake,
    table: &TableName,
    run: &str,
    schema: &SchemaRef,
    unique: &[String],
    streams: Vec<SendableRecordBatchStream>,
    map: Option<BatchMap>,
) -> Result<Vec<DataFile>> {
    let tasks: Vec<_> = streams
        .into_iter()
        .enumerate()
        .map(|(number, mut stream)| {
            let mut writer = FileWriter::new(lake, table, run, number, schema, unique);
            let map = map.clone();
            let task = SpawnedTask::spawn(async move {
                while let Some(batch) = stream.next().await {
                    let batch = match &map {
                        Some(map) => map(batch?)?,
                        None => batch?,
                    };
                    writer.write(&batch).await?;
                }
                writer.finish().await
            });
            async move { task.await.map_err(|error| EngineError::internal(error.to_string()))? }
        })
        .collect();
    let files: Vec<Vec<DataFile>> = futures::future::try_join_all(tasks).await?;
    Ok(files.into_iter().flatten().collect())
}

/// The types that every Delta reader knows: no views, no dictionaries.
pub(crate) fn file_schema(schema: &Schema) -> Schema {
    Schema::new(schema.fields().iter().map(|field| plain_field(field)).collect::<Vec<_>>())
}

fn plain_field(field: &Field) -> Field {
    Field::new(field.name(), plain_type(field.data_type()), field.is_nullable())
}

fn plain_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        DataType::BinaryView | DataType::LargeBinary => DataType::Binary,
        DataType::Dictionary(_, value) => plain_type(value),
        DataType::UInt8 | DataType::UInt16 => DataType::Int32,
        DataType::UInt32 | DataType::UInt64 => DataType::Int64,
        DataType::Timestamp(_, Some(_)) => {
            DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, Some("UTC".into()))
        }
        DataType::List(item) | DataType::LargeList(item) => {
            DataType::List(Arc::new(plain_field(item).with_name("element")))
        }
        DataType::Struct(fields) => DataType::Struct(fields.iter().map(|field| plain_field(field)).collect()),
        other => other.clone(),
    }
}

/// The files' schema, with views where the batches have them.
fn written_schema(files: &Schema, batches: &Schema) -> Schema {
    let fields = files.fields().iter().zip(batches.fields()).map(|(field, given)| match given.data_type() {
        view @ (DataType::Utf8View | DataType::BinaryView) if &plain_type(view) == field.data_type() => {
            field.as_ref().clone().with_data_type(view.clone())
        }
        _ => field.as_ref().clone(),
    });
    Schema::new(fields.collect::<Vec<_>>())
}

fn cast(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch> {
    // Otherwise what does not fit would be null.
    let options = CastOptions { safe: false, ..CastOptions::default() };
    let columns = batch
        .columns()
        .iter()
        .zip(schema.fields())
        .map(|(column, field)| {
            if column.data_type() == field.data_type() {
                Ok(Arc::clone(column))
            } else {
                cast_with_options(column, field.data_type(), &options).map_err(|_| {
                    let (name, wanted) = (field.name(), field.data_type());
                    EngineError::invalid(format!(
                        "column `{name}` has a value that {wanted} cannot hold: cast it in the query"
                    ))
                })
            }
        })
        .collect::<Result<Vec<_>>>()?;
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}

fn properties(table: &TableName, schema: &Schema, unique: &[String]) -> WriterProperties {
    let mut builder = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(limits::ROW_GROUP_ROWS))
        .set_max_row_group_bytes(Some(limits::ROW_GROUP_BYTES));
    if keys_of(table).is_some() {
        builder = builder
            .set_data_page_row_count_limit(limits::PAGE_ROWS)
            .set_dictionary_page_size_limit(limits::PAGE_DICTIONARY_BYTES);
    }
    for column in unique {
        let path = ColumnPath::from(column.as_str());
        // A dictionary of values that never repeat is built, found useless and thrown away again.
        builder = builder.set_column_dictionary_enabled(path.clone(), false);
        builder = match schema.field_with_name(column).map(|field| plain_type(field.data_type())) {
            // Ids lie in no order: between the smallest and the largest of a page is everything.
            Ok(DataType::Utf8) => builder.set_column_statistics_enabled(path, EnabledStatistics::None),
            // Nor do sets. Roaring bitmaps are small already: Zstandard makes them a fifth smaller, no more.
            Ok(DataType::Binary) => builder
                .set_column_statistics_enabled(path.clone(), EnabledStatistics::None)
                .set_column_compression(path, Compression::UNCOMPRESSED)
                .set_max_row_group_bytes(Some(limits::SETS_GROUP_BYTES)),
            // Numbers and times of neighbouring rows are near each other: their differences have few bits, and take less time
            // to compress than they do.
            Ok(DataType::Int64 | DataType::Timestamp(..)) => {
                builder.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
            }
            _ => builder,
        };
    }
    builder.build()
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};

    use super::super::unsteady::unsteady_lake;
    use super::*;

    #[tokio::test]
    async fn test_an_upload_that_is_not_finished_is_thrown_away() {
        let (_folder, mut lake, store) = unsteady_lake();
        lake.url = url::Url::parse("s3://lake/").unwrap();
        let field = |number| Field::new(format!("column_{number}"), DataType::Int64, true);
        let schema = Arc::new(Schema::new((0..8).map(field).collect::<Vec<_>>()));
        // Numbers that do not compress: more than stays in memory before an upload begins.
        let column = |number: i64| -> ArrayRef {
            let value = |row: i64| (number << 32 | row).wrapping_mul(0x5851_F42D_4C95_7F2D).rotate_left(29);
            Arc::new((0..limits::ROW_GROUP_ROWS as i64).map(value).collect::<Int64Array>())
        };
        let batch = RecordBatch::try_new(Arc::clone(&schema), (0..8).map(column).collect()).unwrap();
        let table = TableName::new("landing", "numbers");
        for is_finished in [true, false] {
            let mut writer = FileWriter::new(&lake, &table, "run", 0, &schema, &[]);
            writer.write(&batch).await.unwrap();
            writer.write(&batch.slice(0, 1)).await.unwrap();
            if is_finished {
                drop(writer.finish().await.unwrap())
            } else {
                drop(writer)
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            assert_eq!(store.aborted(), usize::from(!is_finished));
        }
    }
}
