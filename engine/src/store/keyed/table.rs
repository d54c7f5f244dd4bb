//! A version of a table, open for look-ups: the rows with a key, without a scan.
//!
//! Each data file has an index in memory, made once from its key columns, because files never change. What a look-up
//! reads are pages of few rows ([`limits::PAGE_ROWS`]), and those stay in memory as long as there is room.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use futures::{StreamExt, TryStreamExt};

use super::cache::LookupCache;
use super::file::{KeyedFile, Place, has_key};
use super::index::key_hash;
use super::keys::{Keys, ORDER, keys_of};
use crate::error::{EngineError, Result};
use crate::limits;
use crate::store::Lake;
use crate::store::delta::Version;

/// A version of a table, open for look-ups.
pub(crate) struct KeyedTable {
    keys: &'static Keys,
    schema: SchemaRef,
    files: Vec<Arc<KeyedFile>>,
    cache: Arc<LookupCache>,
}

/// A row in a block.
struct Row {
    block: Arc<RecordBatch>,
    number: usize,
    /// Microseconds since 1970 UTC; the end of time for none.
    time: i64,
}

impl KeyedTable {
    /// Opens the files of `version` that are not open yet.
    ///
    /// # Errors
    /// Exhausted if the indexes need more memory than they may have; FailedPrecondition for a table without the columns
    /// of its keys.
    pub(crate) async fn open(lake: &Lake, version: &Version, cache: &Arc<LookupCache>) -> Result<Self> {
        let name = &version.name;
        let keys = keys_of(name).ok_or_else(|| EngineError::internal(format!("`{name}` has no keys")))?;
        let schema = read_schema(&version.schema, keys)?;
        let files = version.files.iter().map(|file| cache.file(lake, name, file, keys)).collect::<Vec<_>>();
        // Some wait for the store while one computes.
        let files: Vec<_> = futures::stream::iter(files).buffered(limits::LOOKUP_READS).try_collect().await?;
        for field in schema.fields() {
            let differs = |file: &&Arc<KeyedFile>| {
                file.schema.field_with_name(field.name()).is_ok_and(|given| given.data_type() != field.data_type())
            };
            if files.iter().any(|file| differs(&file)) {
                let message = format!("column `{}` of `{name}` has not the same type in all files", field.name());
                return Err(EngineError::failed_precondition(message));
            }
        }
        Ok(Self { keys, schema, files, cache: Arc::clone(cache) })
    }

    /// The columns of the rows that it gives.
    pub(crate) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows with `values` in the columns of the table's key number `key`, each as a batch, in no order; `None` if
    /// there are so many that a scan is the better way.
    ///
    /// # Errors
    /// What the store reports.
    pub(crate) async fn rows(&self, key: usize, values: &[&str]) -> Result<Option<Vec<RecordBatch>>> {
        let Some(rows) = self.read(&self.places(key, values), key, &[values]).await? else { return Ok(None) };
        rows.iter().map(|row| self.row(row)).collect::<Result<Vec<_>>>().map(Some)
    }

    /// The `limit` latest rows with any of `keys`, the latest first, each as a batch; `None` if they are in so many places
    /// that a scan is the better way.
    ///
    /// # Errors
    /// What the store reports.
    pub(crate) async fn latest(&self, keys: &[[&str; 2]], limit: usize) -> Result<Option<Vec<RecordBatch>>> {
        let keys: Vec<&[&str]> = keys.iter().map(|key| key.as_slice()).collect();
        let mut places: Vec<_> = keys.iter().flat_map(|values| self.places(0, values)).collect();
        if places.len() > limits::LOOKUP_ROWS_MAX {
            return Ok(None);
        }
        places.sort_unstable_by_key(|(file, place)| (Reverse(place.time), *file, place.block, place.row));
        places.dedup();
        let mut found: Vec<(i64, i64, Row)> = Vec::new();
        let mut rest = places.as_slice();
        // Once is enough, but for rows of other keys with the same hash.
        while found.len() < limit && !rest.is_empty() {
            let wanted = (limit - found.len()).min(rest.len());
            // Of equal times, the order of landing decides.
            let last = rest[wanted - 1].1.time;
            let (now, later) = rest.split_at(rest.partition_point(|(_, place)| place.time >= last));
            let Some(rows) = self.read(now, 0, &keys).await? else { return Ok(None) };
            for row in rows {
                found.push((row.time, order(&row)?, row));
            }
            found.sort_unstable_by_key(|(time, order, _)| Reverse((*time, *order)));
            found.truncate(limit);
            rest = later;
        }
        found.iter().map(|(_, _, row)| self.row(row)).collect::<Result<Vec<_>>>().map(Some)
    }

    fn places(&self, key: usize, values: &[&str]) -> Vec<(usize, Place)> {
        let hash = key_hash(values.iter().copied());
        let files = self.files.iter().enumerate();
        files.flat_map(|(number, file)| file.places(key, hash).map(move |place| (number, place))).collect()
    }

    /// The rows at `places` that do have one of the keys `values`; `None` if they are in too many blocks.
    async fn read(&self, places: &[(usize, Place)], key: usize, values: &[&[&str]]) -> Result<Option<Vec<Row>>> {
        let blocks: BTreeSet<_> = places.iter().map(|(file, place)| (*file, place.block)).collect();
        if blocks.len() > limits::LOOKUP_BLOCKS_MAX {
            return Ok(None);
        }
        let read = async |(file, block): (usize, usize)| {
            Ok::<_, EngineError>(((file, block), self.cache.block(self.files[file].as_ref(), block).await?))
        };
        let reads: Vec<_> = blocks.into_iter().map(read).collect();
        let blocks = futures::stream::iter(reads).buffer_unordered(limits::LOOKUP_READS);
        let blocks: Result<HashMap<(usize, usize), Arc<RecordBatch>>> = blocks.try_collect().await;
        let blocks = blocks?;
        let mut rows = Vec::with_capacity(places.len());
        for (file, place) in places {
            let Some(block) = blocks.get(&(*file, place.block)) else { continue };
            for values in values {
                if has_key(block, place.row, self.keys.columns[key], values)? {
                    rows.push(Row { block: Arc::clone(block), number: place.row, time: place.time });
                    break;
                }
            }
        }
        Ok(Some(rows))
    }

    /// The row with the table's columns. A file that was written before a column came has nothing in it.
    fn row(&self, row: &Row) -> Result<RecordBatch> {
        let columns = self.schema.fields().iter().map(|field| match row.block.column_by_name(field.name()) {
            Some(column) => column.slice(row.number, 1),
            None => new_null_array(field.data_type(), 1),
        });
        let columns: Vec<ArrayRef> = columns.collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}

fn order(row: &Row) -> Result<i64> {
    let orders = row.block.column_by_name(ORDER).and_then(|orders| orders.as_primitive_opt::<Int64Type>());
    let orders = orders.ok_or_else(|| EngineError::internal(format!("rows without `{ORDER}` have no order")))?;
    Ok(if orders.is_null(row.number) { i64::MAX } else { orders.value(row.number) })
}

/// The columns that are read of a version.
fn read_schema(schema: &Schema, keys: &Keys) -> Result<SchemaRef> {
    let all = |names: &[&str]| -> Result<Vec<Field>> {
        let fields = names.iter().map(|name| schema.field_with_name(name).cloned());
        fields.collect::<Result<_, _>>().map_err(|error| EngineError::failed_precondition(error.to_string()))
    };
    all(&keys.columns.concat())?;
    match keys.read {
        Some(names) => Ok(Arc::new(Schema::new(all(names)?))),
        None => Ok(Arc::new(Schema::new(schema.fields().clone()))),
    }
}
