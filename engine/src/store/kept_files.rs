//! Data files that stay in memory as they were read, for a process that reads them again and again: files never change.
//!
//! What was not read since the last [`KeptFiles::settle`] goes: a file that was folded into another one, or the columns of a
//! segment that is no more. What there is no room for is read again each time.

use std::any::Any;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayData, RecordBatch};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::error::Result;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::{ExecutionPlan, collect, project_schema};
use datafusion::prelude::SessionContext;

use super::scan::Scan;

/// Columns of files, in memory.
pub(crate) struct KeptFiles {
    bytes_max: usize,
    held: MemoryReservation,
    files: Mutex<HashMap<Key, Kept>>,
}

/// A file's path with its table, and places of columns in the table.
type Key = (String, Vec<usize>);

/// Some columns of a file.
struct Kept {
    batches: Arc<[RecordBatch]>,
    bytes: usize,
    /// Since the last [`KeptFiles::settle`].
    was_read: bool,
}

impl fmt::Debug for KeptFiles {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "KeptFiles({} bytes)", self.held.size())
    }
}

impl KeptFiles {
    /// None yet; they will take at most `bytes_max` of `pool`.
    pub(crate) fn new(pool: &Arc<dyn MemoryPool>, bytes_max: usize) -> Self {
        Self { bytes_max, held: MemoryConsumer::new("files in memory").register(pool), files: Mutex::default() }
    }

    /// Forgets what was not read since this was last called.
    pub(crate) fn settle(&self) {
        let mut files = self.files();
        files.retain(|_, kept| std::mem::take(&mut kept.was_read));
        let bytes = files.values().map(|kept| kept.bytes).sum();
        self.held.shrink(self.held.size().saturating_sub(bytes));
    }

    /// How many bytes are in memory.
    pub(crate) fn bytes(&self) -> usize {
        self.held.size()
    }

    fn get(&self, key: &Key) -> Option<Arc<[RecordBatch]>> {
        let mut files = self.files();
        let kept = files.get_mut(key)?;
        kept.was_read = true;
        Some(Arc::clone(&kept.batches))
    }

    /// Keeps what was read, if there is room.
    fn keep(&self, key: Key, batches: &Arc<[RecordBatch]>) {
        let bytes = bytes_of(batches);
        let mut files = self.files();
        if files.contains_key(&key) || self.held.size() + bytes > self.bytes_max || self.held.try_grow(bytes).is_err() {
            return;
        }
        files.insert(key, Kept { batches: Arc::clone(batches), bytes, was_read: true });
    }

    fn files(&self) -> MutexGuard<'_, HashMap<Key, Kept>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes that batches hold; what several of them share counts once.
fn bytes_of(batches: &[RecordBatch]) -> usize {
    fn add(data: &ArrayData, known: &mut HashSet<usize>, bytes: &mut usize) {
        let buffers = data.buffers().iter().chain(data.nulls().map(|nulls| nulls.buffer()));
        for buffer in buffers.filter(|buffer| known.insert(buffer.data_ptr().as_ptr() as usize)) {
            *bytes += buffer.capacity();
        }
        data.child_data().iter().for_each(|child| add(child, known, bytes));
    }
    let (mut known, mut bytes) = (HashSet::new(), 0);
    for column in batches.iter().flat_map(RecordBatch::columns) {
        add(&column.to_data(), &mut known, &mut bytes);
    }
    bytes
}

/// All rows of a table, whose files stay in memory if the session has [`KeptFiles`] as an extension.
///
/// # Errors
/// NotFound if there is no such table.
pub(crate) async fn table(session: &SessionContext, name: &str) -> Result<DataFrame> {
    let provider = session.table_provider(name).await?;
    let any: &dyn Any = provider.as_ref();
    match (session.copied_config().get_extension::<KeptFiles>(), any.downcast_ref::<Scan>()) {
        (Some(kept), Some(scan)) => session.read_table(Arc::new(KeptScan { scan: scan.clone(), kept })),
        _ => session.read_table(provider),
    }
}

/// A version of a table whose files stay in memory.
#[derive(Debug)]
struct KeptScan {
    scan: Scan,
    kept: Arc<KeptFiles>,
}

#[async_trait]
impl TableProvider for KeptScan {
    fn schema(&self) -> SchemaRef {
        self.scan.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    /// Reads what is not in memory yet.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let columns = projection.cloned().unwrap_or_else(|| (0..self.schema().fields().len()).collect());
        let mut all: Vec<RecordBatch> = Vec::new();
        for (path, file) in self.scan.by_file() {
            let key = (path, columns.clone());
            let batches = match self.kept.get(&key) {
                Some(batches) => batches,
                None => {
                    let plan = file.scan(state, projection, &[], None).await?;
                    let batches: Arc<[RecordBatch]> = collect(plan, state.task_ctx()).await?.into();
                    self.kept.keep(key, &batches);
                    batches
                }
            };
            all.extend(batches.iter().cloned());
        }
        let schema = project_schema(&self.schema(), projection)?;
        Ok(MemorySourceConfig::try_new_exec(&divided(all, state.config().target_partitions()), schema, None)?)
    }
}

/// The rows in so many parts of about as many each: few rows may be one batch.
fn divided(batches: Vec<RecordBatch>, parts: usize) -> Vec<Vec<RecordBatch>> {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let of_part = rows.div_ceil(parts.max(1)).max(1);
    let (mut divided, mut part) = (Vec::new(), Vec::new());
    let mut room = of_part;
    for mut batch in batches {
        while batch.num_rows() > room {
            let (here, rest) = (batch.slice(0, room), batch.slice(room, batch.num_rows() - room));
            part.push(here);
            divided.push(std::mem::take(&mut part));
            (batch, room) = (rest, of_part);
        }
        room -= batch.num_rows();
        part.push(batch);
    }
    divided.push(part);
    divided
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array};
    use datafusion::execution::memory_pool::GreedyMemoryPool;

    use super::*;

    const ROWS: usize = 1000;
    const BYTES: usize = ROWS * size_of::<i64>();

    /// A file's rows in two batches, which share their memory.
    fn batches() -> Arc<[RecordBatch]> {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![7; ROWS]));
        let whole = RecordBatch::try_from_iter([("number", column)]).unwrap();
        [whole.slice(0, 400), whole.slice(400, 600)].into()
    }

    fn key(file: &str) -> Key {
        (file.to_owned(), vec![0])
    }

    fn files(bytes_max: usize) -> (Arc<dyn MemoryPool>, KeptFiles) {
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(10 * BYTES));
        let files = KeptFiles::new(&pool, bytes_max);
        (pool, files)
    }

    #[test]
    fn test_what_was_not_read_goes_and_gives_its_memory_back() {
        let (pool, files) = files(10 * BYTES);
        files.keep(key("a"), &batches());
        files.keep(key("b"), &batches());
        assert_eq!(pool.reserved(), 2 * BYTES);
        files.settle();
        assert!(files.get(&key("a")).is_some_and(|batches| batches.len() == 2));
        files.settle();
        assert!(files.get(&key("b")).is_none());
        assert!(files.get(&key("a")).is_some());
        assert_eq!((files.bytes(), pool.reserved()), (BYTES, BYTES));
        // Other columns are others.
        assert!(files.get(&("a".to_owned(), vec![1])).is_none());
        files.settle();
        files.settle();
        assert_eq!(pool.reserved(), 0);
    }

    #[test]
    fn test_rows_are_divided_among_threads() {
        let rows = |parts: usize| -> Vec<Vec<usize>> {
            let divided = divided(batches().to_vec(), parts);
            divided.iter().map(|part| part.iter().map(RecordBatch::num_rows).collect()).collect()
        };
        assert_eq!(rows(1), [vec![400, 600]]);
        assert_eq!(rows(2), [vec![400, 100], vec![500]]);
        assert_eq!(rows(3), [vec![334], vec![66, 268], vec![332]]);
        assert_eq!(divided(Vec::new(), 2), [Vec::new()]);
    }

    #[test]
    fn test_what_has_no_room_is_not_kept() {
        let (pool, files) = files(2 * BYTES - 1);
        files.keep(key("a"), &batches());
        files.keep(key("b"), &batches());
        assert!(files.get(&key("a")).is_some() && files.get(&key("b")).is_none());
        assert_eq!(pool.reserved(), BYTES);
    }
}
