//! One data file, open for look-ups: rows by their keys, read a block at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, AsArray, RecordBatch, StringArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Schema, SchemaRef, TimestampMicrosecondType};
use datafusion::execution::memory_pool::MemoryReservation;
use futures::TryStreamExt;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector};
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};

use super::index::{KeyIndex, KeyIndexBuilder, key_hash};
use super::keys::Keys;
use super::reader::FileReader;
use crate::error::{EngineError, Result};
use crate::limits;

/// One data file with an index for each of its table's keys. It never changes, so generations share it.
pub(super) struct KeyedFile {
    /// Tells the files of a process apart, also those that are gone.
    pub(super) number: u64,
    /// The columns of its blocks.
    pub(super) schema: SchemaRef,
    bytes: FileReader,
    metadata: ArrowReaderMetadata,
    columns: ProjectionMask,
    blocks: Vec<Block>,
    indexes: Vec<KeyIndex>,
    /// Each row's time, microseconds since 1970 UTC, the end of time for none; empty for a table without times.
    times: Box<[i64]>,
    /// What the indexes and the metadata hold.
    _memory: MemoryReservation,
}

/// Rows that are read together: those of a page.
struct Block {
    row_group: usize,
    /// Its first row in the row group.
    offset: usize,
    /// Its first row in the file.
    first_row: usize,
    rows: usize,
}

/// Where a row is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// The number of its block in the file.
    pub(super) block: usize,
    /// Its number in the block.
    pub(super) row: usize,
    /// Its time, microseconds since 1970 UTC; the end of time for none.
    pub(super) time: i64,
}

impl KeyedFile {
    /// Reads the key columns of a file, and indexes them.
    ///
    /// # Errors
    /// Exhausted if `memory` may not hold the indexes; FailedPrecondition for a file that look-ups cannot use.
    pub(super) async fn open(mut bytes: FileReader, keys: &Keys, memory: MemoryReservation) -> Result<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load_async(&mut bytes, options).await?;
        let blocks = blocks(&metadata)?;
        if blocks.iter().any(|block| block.rows > limits::BLOCK_ROWS_MAX) {
            return Err(EngineError::failed_precondition(
                "a data file has large pages: `tessera refresh --full` writes small ones",
            ));
        }
        let rows = blocks.iter().map(|block| block.rows).sum();
        let arrays = keys.columns.len() + usize::from(keys.time.is_some());
        memory.try_grow(metadata.metadata().memory_size() + KeyIndex::bytes_for(rows).saturating_mul(arrays))?;
        let (columns, schema) = match keys.read {
            Some(names) => {
                let is_read = |name: &str| names.contains(&name);
                let fields = metadata.schema().fields().iter().filter(|field| is_read(field.name())).cloned();
                let columns = ProjectionMask::columns(metadata.parquet_schema(), names.iter().copied());
                (columns, Arc::new(Schema::new(fields.collect::<Vec<_>>())))
            }
            None => (ProjectionMask::all(), Arc::clone(metadata.schema())),
        };
        let mut file = Self {
            number: NUMBER.fetch_add(1, Ordering::Relaxed),
            schema,
            bytes,
            metadata,
            columns,
            blocks,
            indexes: Vec::new(),
            times: Box::default(),
            _memory: memory,
        };
        file.index(keys, rows).await?;
        Ok(file)
    }

    async fn index(&mut self, keys: &Keys, rows: usize) -> Result<()> {
        let names = keys.columns.iter().copied().flatten().copied().chain(keys.time);
        let columns = ProjectionMask::columns(self.metadata.parquet_schema(), names);
        let mut batches = self.reader().with_projection(columns).build()?;
        let mut indexes: Vec<_> = keys.columns.iter().map(|_| KeyIndexBuilder::with_capacity(rows)).collect();
        let mut times = Vec::with_capacity(if keys.time.is_some() { rows } else { 0 });
        let mut first_row = 0;
        while let Some(batch) = batches.try_next().await? {
            for (index, columns) in indexes.iter_mut().zip(keys.columns) {
                index_rows(&batch, columns, first_row, index)?;
            }
            if let Some(column) = keys.time {
                let of_batch = named(&batch, column)?.as_primitive_opt::<TimestampMicrosecondType>();
                let of_batch = of_batch.ok_or_else(|| wrong_type(column, "instants"))?;
                times.extend(of_batch.iter().map(|time| time.unwrap_or(i64::MAX)));
            }
            first_row += batch.num_rows();
            // Queries wait for the same threads.
            tokio::task::yield_now().await;
        }
        self.indexes = indexes.into_iter().map(KeyIndexBuilder::finish).collect();
        self.times = times.into_boxed_slice();
        Ok(())
    }

    /// Where rows are that may have the key with `hash`; `key` is its number among the table's keys.
    pub(super) fn places(&self, key: usize, hash: u32) -> impl Iterator<Item = Place> {
        self.indexes[key].rows(hash).map(|row| {
            let row = row as usize;
            let block = self.blocks.partition_point(|block| block.first_row <= row).saturating_sub(1);
            let time = self.times.get(row).copied().unwrap_or(i64::MAX);
            Place { block, row: row - self.blocks[block].first_row, time }
        })
    }

    /// Reads a block.
    ///
    /// # Errors
    /// Corrupt for a file that is gone or not what its footer says; what the store reports.
    pub(super) async fn read(&self, block: usize) -> Result<RecordBatch> {
        let block = &self.blocks[block];
        let rows = RowSelection::from(vec![RowSelector::skip(block.offset), RowSelector::select(block.rows)]);
        let reader = self.reader().with_projection(self.columns.clone()).with_row_groups(vec![block.row_group]);
        let stream = reader.with_row_selection(rows).with_batch_size(block.rows).build()?;
        let mut batches: Vec<RecordBatch> = stream.try_collect().await?;
        let batch = match batches.pop() {
            Some(batch) if batches.is_empty() => batch,
            last => concat_batches(&self.schema, batches.iter().chain(&last))?,
        };
        if batch.num_rows() != block.rows {
            return Err(EngineError::corrupt(format!("`{}` has not the rows that its footer says", self.bytes.path)));
        }
        // It may stay for long: without the room that decoding left at the ends.
        let (_, mut columns, _) = batch.into_parts();
        columns.iter_mut().for_each(|column| column.shrink_to_fit());
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }

    fn reader(&self) -> ParquetRecordBatchStreamBuilder<FileReader> {
        ParquetRecordBatchStreamBuilder::new_with_metadata(self.bytes.clone(), self.metadata.clone())
    }
}

/// True if the row has the values of a key in `columns`.
pub(super) fn has_key(batch: &RecordBatch, row: usize, columns: &[&str], values: &[&str]) -> Result<bool> {
    for (column, value) in columns.iter().zip(values) {
        let texts = texts(batch, column)?;
        if texts.is_null(row) || texts.value(row) != *value {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The pages of the first column: our writer ends those of all columns of a row group at the same rows. Where another
/// writer did not, a block is a little more to read.
fn blocks(metadata: &ArrowReaderMetadata) -> Result<Vec<Block>> {
    let metadata = metadata.metadata();
    let mut blocks = Vec::new();
    let mut first_row = 0;
    for (row_group, of_group) in metadata.row_groups().iter().enumerate() {
        let rows = usize::try_from(of_group.num_rows()).unwrap_or(0);
        let pages = metadata.offset_index().and_then(|index| index.get(row_group)?.first());
        let offsets = pages.into_iter().flat_map(|pages| &pages.page_locations);
        let mut offsets: Vec<usize> = offsets.filter_map(|page| usize::try_from(page.first_row_index).ok()).collect();
        if offsets.is_empty() {
            offsets.push(0);
        }
        let ends = offsets.iter().skip(1).copied().chain([rows]);
        for (&offset, end) in offsets.iter().zip(ends) {
            let rows = end.checked_sub(offset);
            let rows = rows.ok_or_else(|| EngineError::corrupt("the pages of a data file are in no order"))?;
            blocks.push(Block { row_group, offset, first_row: first_row + offset, rows });
        }
        first_row += rows;
    }
    Ok(blocks)
}

/// Indexes the rows of a batch that have all values of a key.
fn index_rows(batch: &RecordBatch, columns: &[&str], first_row: usize, index: &mut KeyIndexBuilder) -> Result<()> {
    let columns = columns.iter().map(|column| texts(batch, column)).collect::<Result<Vec<_>>>()?;
    for row in (0..batch.num_rows()).filter(|&row| columns.iter().all(|column| column.is_valid(row))) {
        let in_file = u32::try_from(first_row + row)
            .map_err(|_| EngineError::failed_precondition("a data file has more than four billion rows"))?;
        index.push(key_hash(columns.iter().map(|column| column.value(row))), in_file);
    }
    Ok(())
}

fn texts<'b>(batch: &'b RecordBatch, column: &str) -> Result<&'b StringArray> {
    named(batch, column)?.as_string_opt::<i32>().ok_or_else(|| wrong_type(column, "text"))
}

fn named<'b>(batch: &'b RecordBatch, column: &str) -> Result<&'b Arc<dyn Array>> {
    let found = batch.column_by_name(column);
    found.ok_or_else(|| EngineError::failed_precondition(format!("a data file has no column `{column}`")))
}

fn wrong_type(column: &str, wanted: &str) -> EngineError {
    EngineError::failed_precondition(format!("column `{column}` of a data file holds no {wanted}"))
}
