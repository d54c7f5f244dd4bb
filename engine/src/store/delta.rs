//! Opening a Delta table at a version, and committing exact sets of files to its log.
//!
//! Only the log is Delta's: data files are written by [`super::writer`] and read by [`super::scan`]. Every commit is one
//! put-if-absent of the next log entry; who loses the race looks at the new state and tries again. After
//! [`Table::commit_exact`] the version holds *exactly* the files asked for, whatever a crashed or losing writer had
//! left in the log, so no clean-up step has to run first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitData, TransactionError};
use deltalake_core::kernel::{Action, Add, MetadataExt, Remove, StructType, Transaction, new_metadata};
use deltalake_core::logstore::{CommitOrBytes, LogStoreRef, StorageConfig, default_logstore};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableError};
use object_store::prefix::PrefixStore;

use super::{Lake, TableName, layout};
use crate::error::{EngineError, ErrorKind, Result};
use crate::limits;

/// One data file of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DataFile {
    /// Name, relative to the table.
    pub(crate) path: String,
    /// Size in bytes.
    pub(crate) bytes: u64,
    /// Number of rows.
    pub(crate) rows: u64,
    /// Values of the partition columns, in the order of [`Version::partition_columns`].
    pub(crate) partition: Vec<Option<String>>,
}

/// A table at one version: what a reader pins.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// The table.
    pub(crate) name: TableName,
    /// The version in the Delta log.
    pub(crate) number: u64,
    /// All columns; those of the partition come last.
    pub(crate) schema: SchemaRef,
    /// Columns that are kept in the log, not in the files.
    pub(crate) partition_columns: Vec<String>,
    /// The files.
    pub(crate) files: Vec<DataFile>,
}

impl Version {
    /// Number of rows, from the log.
    pub(crate) fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// Size of the files in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// A Delta table that may or may not exist yet.
pub(crate) struct Table {
    name: TableName,
    log_store: LogStoreRef,
}

impl Table {
    /// A handle on table `name` of `lake`; touches nothing.
    pub(crate) fn new(lake: &Lake, name: &TableName) -> Self {
        let url = layout::table_url(lake, name);
        let prefixed = Arc::new(PrefixStore::new(Arc::clone(&lake.root), layout::table(lake, name)));
        let log_store = default_logstore(prefixed, Arc::clone(&lake.root), &url, &StorageConfig::default());
        Self { name: name.clone(), log_store }
    }

    /// The table at `number`, or at its latest version; `None` when there is no table.
    pub(crate) async fn open(&self, number: Option<u64>) -> Result<Option<Version>> {
        Ok(match self.load(number).await? {
            Some(table) => Some(self.version_of(&table)?),
            None => None,
        })
    }

    /// Makes sure that the table exists with `schema`; an existing table keeps its own until the next exact commit.
    pub(crate) async fn create_if_absent(&self, schema: &Schema, partition_columns: &[&str]) -> Result<()> {
        if self.load(None).await?.is_some() {
            return Ok(());
        }
        let fields: StructType = schema.try_into_kernel().map_err(|error| self.wrong_schema(error))?;
        let created = CreateBuilder::new()
            .with_log_store(Arc::clone(&self.log_store))
            .with_table_name(self.name.to_string())
            .with_columns(fields.fields().cloned())
            .with_partition_columns(partition_columns.iter().copied())
            .await;
        match created {
            Ok(_) => Ok(()),
            // Another writer made it first; the table is there either way.
            Err(error) => match self.load(None).await {
                Ok(Some(_)) => Ok(()),
                _ => Err(error.into()),
            },
        }
    }

    /// Appends the files of a batch once: `partition` gives their partition values after a version. Returns the version that the
    /// commit got, or `None` when the batch had been committed before.
    pub(crate) async fn append_batch(
        &self,
        batch_id: &str,
        files: &[DataFile],
        partition: impl Fn(&Version) -> HashMap<String, Option<String>>,
    ) -> Result<Option<u64>> {
        for _ in 0..limits::COMMIT_ATTEMPTS_MAX {
            let table = self.require().await?;
            let state = table.snapshot()?;
            if state.transaction_version(self.log_store.as_ref(), batch_id.to_owned()).await?.is_some() {
                return Ok(None);
            }
            let number = state.version() + 1;
            let partition = partition(&self.version_of(&table)?);
            let mut actions: Vec<Action> = files.iter().map(|file| Action::Add(add(file, partition.clone()))).collect();
            actions.push(Action::Txn(Transaction::new(batch_id, 1)));
            let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
            if self.put(number, actions, operation).await? {
                self.checkpoint_when_due(number).await;
                return Ok(Some(number));
            }
        }
        Err(self.too_many_conflicts())
    }

    /// Appends files as version `number`; false, and nothing is appended, if somebody else made that version.
    pub(crate) async fn append_as(&self, number: u64, files: &[DataFile]) -> Result<bool> {
        let actions = files.iter().map(|file| Action::Add(add(file, HashMap::new()))).collect();
        let operation = DeltaOperation::Write { mode: SaveMode::Append, partition_by: None, predicate: None };
        let is_done = self.put(number, actions, operation).await?;
        if is_done {
            self.checkpoint_when_due(number).await;
        }
        Ok(is_done)
    }

    /// Commits a version that holds exactly `files` with `schema`. Returns its number.
    pub(crate) async fn commit_exact(&self, schema: &Schema, files: &[DataFile]) -> Result<u64> {
        self.create_if_absent(schema, &[]).await?;
        for _ in 0..limits::COMMIT_ATTEMPTS_MAX {
            let table = self.require().await?;
            let state = table.snapshot()?;
            let wanted: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
            let mut present = HashSet::new();
            let mut actions = Vec::new();
            for file in state.log_data().iter() {
                if wanted.contains(file.path().as_ref()) {
                    present.insert(file.path().to_string());
                } else {
                    actions.push(Action::Remove(remove(&file)));
                }
            }
            actions.extend(
                files
                    .iter()
                    .filter(|file| !present.contains(&file.path))
                    .map(|file| Action::Add(add(file, HashMap::new()))),
            );
            let fields: StructType = schema.try_into_kernel().map_err(|error| self.wrong_schema(error))?;
            if state.schema().as_ref() != &fields {
                let metadata = new_metadata(&fields, Vec::<String>::new(), Vec::<(String, String)>::new())
                    .map_err(DeltaTableError::from)?;
                let metadata =
                    metadata.with_table_id(state.metadata().id().to_owned()).map_err(DeltaTableError::from)?;
                actions.push(Action::Metadata(metadata));
            }
            if actions.is_empty() {
                return Ok(state.version());
            }
            let number = state.version() + 1;
            let operation = DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
            if self.put(number, actions, operation).await? {
                self.checkpoint_when_due(number).await;
                return Ok(number);
            }
        }
        Err(self.too_many_conflicts())
    }

    async fn load(&self, number: Option<u64>) -> Result<Option<DeltaTable>> {
        let mut table = DeltaTable::new(Arc::clone(&self.log_store));
        if !table.verify_deltatable_existence().await? {
            return Ok(None);
        }
        let loaded = match number {
            Some(number) => table.load_version(number).await,
            None => table.load().await,
        };
        loaded.map_err(|error| EngineError::from(error).context(format!("table `{}`", self.name)))?;
        Ok(Some(table))
    }

    async fn require(&self) -> Result<DeltaTable> {
        self.load(None).await?.ok_or_else(|| EngineError::not_found(format!("table `{}` does not exist", self.name)))
    }

    fn version_of(&self, table: &DeltaTable) -> Result<Version> {
        let state = table.snapshot()?;
        let partition_columns: Vec<String> = state.metadata().partition_columns().to_vec();
        let mut files: Vec<DataFile> = state
            .log_data()
            .iter()
            .map(|file| {
                let values = file.partition_values_map();
                DataFile {
                    path: file.path().to_string(),
                    bytes: u64::try_from(file.size()).unwrap_or(0),
                    rows: file.num_records().unwrap_or(0) as u64,
                    partition: partition_columns.iter().map(|column| values.get(column).cloned().flatten()).collect(),
                }
            })
            .collect();
        files.sort_by(|left, right| left.path.cmp(&right.path));
        let schema = state.snapshot().arrow_schema();
        Ok(Version { name: self.name.clone(), number: state.version(), schema, partition_columns, files })
    }

    /// Puts log entry `number`; false when another writer was first.
    async fn put(&self, number: u64, actions: Vec<Action>, operation: DeltaOperation) -> Result<bool> {
        let operation_id = uuid::Uuid::new_v4();
        let entry = CommitData::new(actions, operation, HashMap::new(), Vec::new())
            .get_bytes()
            .map_err(DeltaTableError::from)?;
        let put = self.log_store.write_commit_entry(number, CommitOrBytes::LogBytes(entry.clone()), operation_id).await;
        match put {
            Ok(()) => Ok(true),
            Err(TransactionError::VersionAlreadyExists(_)) => {
                // After a lost reply the store's client repeats the write and finds our own entry: that is success.
                Ok(self.log_store.read_commit_entry(number).await?.is_some_and(|found| found == entry))
            }
            Err(error) => {
                Err(EngineError::from(DeltaTableError::from(error)).context(format!("commit to `{}`", self.name)))
            }
        }
    }

    /// Keeps opening cheap. A checkpoint is a copy of what the log says: failing to write one loses nothing.
    async fn checkpoint_when_due(&self, number: u64) {
        if number.is_multiple_of(limits::COMMITS_PER_CHECKPOINT)
            && let Ok(Some(table)) = self.load(Some(number)).await
            && let Err(error) = deltalake_core::checkpoints::create_checkpoint(&table, None).await
        {
            tracing::warn!(table = %self.name, version = number, %error, "checkpoint not written");
        }
    }

    fn wrong_schema(&self, error: impl std::fmt::Display) -> EngineError {
        EngineError::invalid(format!("table `{}` has a column that Delta cannot hold: {error}", self.name))
    }

    fn too_many_conflicts(&self) -> EngineError {
        EngineError::new(
            ErrorKind::Conflict,
            format!("table `{}` is being written by too many others: try again", self.name),
        )
    }
}

fn add(file: &DataFile, partition_values: HashMap<String, Option<String>>) -> Add {
    Add {
        path: file.path.clone(),
        partition_values,
        size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        modification_time: chrono::Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(format!("{{\"numRecords\":{}}}", file.rows)),
        ..Default::default()
    }
}

fn remove(file: &deltalake_core::kernel::LogicalFileView) -> Remove {
    file.remove_action(true)
}
