//! What look-ups of a process share: the files that are open, and the blocks that were read.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use arrow::array::RecordBatch;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryPool, MemoryReservation};
use object_store::path::Path;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use tokio::sync::Semaphore;

use super::file::KeyedFile;
use super::keys::Keys;
use super::reader::FileReader;
use crate::error::{EngineError, Result};
use crate::limits;
use crate::store::delta::DataFile;
use crate::store::{Lake, TableName, layout};

/// What look-ups of a process share: the files that are open, and the blocks that were read.
pub(crate) struct LookupCache {
    /// What indexes and blocks may hold together.
    bytes: usize,
    /// For the indexes of files.
    index_pool: Arc<dyn MemoryPool>,
    files: Mutex<HashMap<Path, Weak<KeyedFile>>>,
    blocks: Cache<(u64, usize), Arc<RecordBatch>, BlockBytes>,
    blocks_memory: Mutex<MemoryReservation>,
    /// One for each block that may be read now.
    reads: Semaphore,
}

#[derive(Clone)]
struct BlockBytes;

impl Weighter<(u64, usize), Arc<RecordBatch>> for BlockBytes {
    fn weight(&self, _: &(u64, usize), block: &Arc<RecordBatch>) -> u64 {
        block.get_array_memory_size() as u64
    }
}

impl LookupCache {
    /// One that may hold `bytes`. Indexes count in `index_pool`, which bounds them, and blocks in `block_pool`.
    pub(crate) fn new(bytes: usize, index_pool: Arc<dyn MemoryPool>, block_pool: &Arc<dyn MemoryPool>) -> Self {
        Self {
            bytes,
            index_pool,
            files: Mutex::default(),
            blocks: Cache::with_weighter(bytes / limits::BLOCK_BYTES, bytes as u64, BlockBytes),
            blocks_memory: Mutex::new(MemoryConsumer::new("rows kept for look-ups").register(block_pool)),
            reads: Semaphore::new(limits::BLOCK_READS_MAX),
        }
    }

    /// A data file of table `name`, open; its index is made unless another generation has it.
    pub(super) async fn file(
        &self,
        lake: &Lake,
        name: &TableName,
        file: &DataFile,
        keys: &Keys,
    ) -> Result<Arc<KeyedFile>> {
        let path = layout::table(lake, name).join(file.path.as_str());
        let open = self.files().get(&path).and_then(Weak::upgrade);
        if let Some(open) = open {
            return Ok(open);
        }
        let memory = MemoryConsumer::new("index for look-ups").register(&self.index_pool);
        let reader = FileReader { store: Arc::clone(&lake.root), path: path.clone(), bytes: file.bytes };
        let opened = KeyedFile::open(reader, keys, memory).await;
        let opened = Arc::new(opened.map_err(|error| error.context(format!("look-ups in `{name}`")))?);
        self.files().insert(path, Arc::downgrade(&opened));
        Ok(opened)
    }

    /// Forgets what belongs to files that no generation has open any more, and gives blocks what indexes leave.
    pub(crate) fn settle(&self) {
        let mut files = self.files();
        files.retain(|_, file| file.strong_count() > 0);
        let live: HashSet<u64> = files.values().filter_map(Weak::upgrade).map(|file| file.number).collect();
        drop(files);
        self.blocks.retain(|(file, _), _| live.contains(file));
        self.blocks.set_capacity(self.bytes.saturating_sub(self.index_pool.reserved()) as u64);
        // Shrinking is never refused.
        let _ = self.account();
    }

    /// A block of a file.
    pub(super) async fn block(&self, file: &KeyedFile, number: usize) -> Result<Arc<RecordBatch>> {
        let key = (file.number, number);
        if let Some(block) = self.blocks.get(&key) {
            return Ok(block);
        }
        let read = async {
            let _place = self.reads.acquire().await.map_err(|error| EngineError::internal(error.to_string()))?;
            file.read(number).await.map(Arc::new)
        };
        let block = self.blocks.get_or_insert_async(&key, read).await?;
        if self.account().is_err() {
            self.blocks.remove(&key); // queries have taken what was left
        }
        Ok(block)
    }

    /// Counts the blocks in the pool.
    fn account(&self) -> datafusion::error::Result<()> {
        let memory = self.blocks_memory.lock().unwrap_or_else(PoisonError::into_inner);
        memory.try_resize(usize::try_from(self.blocks.weight()).unwrap_or(usize::MAX))
    }

    fn files(&self) -> MutexGuard<'_, HashMap<Path, Weak<KeyedFile>>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
