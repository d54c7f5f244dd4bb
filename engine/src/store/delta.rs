//! Opening a Delta table at a version, and committing exact sets of files to its log.
//!
//! Only the log is Delta's: data files are written by [`super::writer`] and read by [`super::scan`]. Every commit is one
//! put-if-absent of the next log entry; who loses the race looks at the new state and tries again. After
//! [`Table::commit_exact`] the version holds *exactly* the files asked for, whatever a crashed or losing writer had
//! left in the log, so no clean-up step has to run first.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use chrono::{DateTime, Utc};
use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake_core::kernel::transaction::{CommitData, TransactionError};
use deltalake_core::kernel::{Action, Add, MetadataExt, Remove, StructType, Transaction, new_metadata};
use deltalake_core::logstore::{CommitOrBytes, LogStoreRef, StorageConfig, default_logstore, get_actions};
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::{DeltaOperation, SaveMode};
use deltalake_core::{DeltaTable, DeltaTableError};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStoreExt;
use object_store::path::Path;
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

    /// The names of all files that the newest version holds, or one of `versions`; `None` if there is no such table, or not yet
    /// one of these versions. To open each of these takes some dozen requests; so the log is read once, backwards: before an
    /// entry, what it added was not there, and what it removed was.
    pub(crate) async fn files_held(&self, versions: &HashSet<u64>) -> Result<Option<HashSet<String>>> {
        let Some(newest) = self.open(None).await? else { return Ok(None) };
        if versions.iter().any(|version| *version > newest.number) {
            return Ok(None);
        }
        let mut present: HashSet<String> = newest.files.into_iter().map(|file| file.path).collect();
        let mut held = present.clone();
        let oldest = versions.iter().min().map_or(newest.number, |oldest| *oldest);
        let entries = (oldest + 1..=newest.number).rev().map(|number| self.entry(number));
        let mut entries = stream::iter(entries).buffered(limits::LOG_READS);
        while let Some((number, actions)) = entries.try_next().await? {
            let (mut added, mut removed) = (HashSet::new(), Vec::new());
            for action in actions {
                match action {
                    Action::Add(add) => {
                        added.insert(add.path);
                    }
                    Action::Remove(remove) => removed.push(remove.path),
                    _ => {}
                }
            }
            present.retain(|file| !added.contains(file));
            present.extend(removed);
            if versions.contains(&(number - 1)) {
                held.extend(present.iter().cloned());
            }
        }
        Ok(Some(held))
    }

    /// Makes sure that the table exists with `schema`; an existing table keeps its own until the next exact commit.
    pub(crate) async fn create_if_absent(&self, schema: &Schema, partition_columns: &[&str]) -> Result<()> {
        self.opened_or_created(schema, partition_columns).await.map(|_| ())
    }

    async fn opened_or_created(&self, schema: &Schema, partition_columns: &[&str]) -> Result<DeltaTable> {
        if let Some(table) = self.load(None).await? {
            return Ok(table);
        }
        let fields = self.fields(schema)?;
        let created = CreateBuilder::new()
            .with_log_store(Arc::clone(&self.log_store))
            .with_table_name(self.name.to_string())
            .with_columns(fields.fields().cloned())
            .with_partition_columns(partition_columns.iter().copied())
            .await;
        match created {
            Ok(table) => Ok(table),
            // Another writer made it first; the table is there either way.
            Err(error) => match self.load(None).await {
                Ok(Some(table)) => Ok(table),
                _ => Err(error.into()),
            },
        }
    }

    /// Appends the files of a batch once: `partition` gives their partition values after a version, and is asked again when
    /// another writer was first. Returns the version that the commit got, or `None` when the batch had been committed before.
    ///
    /// # Errors
    /// DeadlineExceeded if a file is gone; Conflict if others write all the time; what the store reports.
    pub(crate) async fn append_batch(
        &self,
        batch_id: &str,
        files: &[DataFile],
        partition: impl AsyncFn(&Version) -> Result<HashMap<String, Option<String>>>,
    ) -> Result<Option<u64>> {
        for _ in 0..limits::COMMIT_ATTEMPTS_MAX {
            let table = self.require().await?;
            let state = table.snapshot()?;
            if state.transaction_version(self.log_store.as_ref(), batch_id.to_owned()).await?.is_some() {
                return Ok(None);
            }
            self.require_files(files).await?;
            let number = state.version() + 1;
            let partition = partition(&self.version_of(&table)?).await?;
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

    /// Puts files in the place of `earlier` ones as version `number`; false, and nothing changes, if somebody else made that
    /// version.
    pub(crate) async fn replace_as(&self, number: u64, earlier: &[DataFile], files: &[DataFile]) -> Result<bool> {
        let removed = earlier.iter().map(|file| Action::Remove(remove(file)));
        let added = files.iter().map(|file| Action::Add(add(file, HashMap::new())));
        let mode = if earlier.is_empty() { SaveMode::Append } else { SaveMode::Overwrite };
        let operation = DeltaOperation::Write { mode, partition_by: None, predicate: None };
        let is_done = self.put(number, removed.chain(added).collect(), operation).await?;
        if is_done {
            self.checkpoint_when_due(number).await;
        }
        Ok(is_done)
    }

    /// Commits a version that holds exactly `files` with `schema`. Returns its number. If nobody wrote since `last`, nothing of
    /// the log is read.
    pub(crate) async fn commit_exact(
        &self,
        schema: &Schema,
        files: &[DataFile],
        last: Option<&Version>,
    ) -> Result<u64> {
        let fields = self.fields(schema)?;
        if let Some(last) = last
            && self.fields(&last.schema)? == fields
            && let Some(number) = self.put_next(last.number, difference(&last.files, files)).await?
        {
            return Ok(number);
        }
        let mut table = self.opened_or_created(schema, &[]).await?;
        for _ in 0..limits::COMMIT_ATTEMPTS_MAX {
            let state = table.snapshot()?;
            let mut actions = difference(&self.version_of(&table)?.files, files);
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
            if let Some(number) = self.put_next(state.version(), actions).await? {
                return Ok(number);
            }
            table = self.require().await?;
        }
        Err(self.too_many_conflicts())
    }

    /// Makes the version after `number`; `None` if there is nothing to do, or somebody else made it.
    async fn put_next(&self, number: u64, actions: Vec<Action>) -> Result<Option<u64>> {
        let next = number + 1;
        let operation = DeltaOperation::Write { mode: SaveMode::Overwrite, partition_by: None, predicate: None };
        if actions.is_empty() || !self.put(next, actions, operation).await? {
            return Ok(None);
        }
        self.checkpoint_when_due(next).await;
        Ok(Some(next))
    }

    /// Deletes entries of the log from before `cutoff` that nobody needs who opens version `oldest` or a later one: such begin
    /// at a checkpoint.
    pub(crate) async fn trim_log(&self, oldest: u64, cutoff: DateTime<Utc>) -> Result<()> {
        cleanup_expired_logs_for(oldest, self.log_store.as_ref(), cutoff.timestamp_millis(), None).await?;
        Ok(())
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

    /// What entry `number` of the log says.
    async fn entry(&self, number: u64) -> Result<(u64, Vec<Action>)> {
        let Some(content) = self.log_store.read_commit_entry(number).await? else {
            return Err(EngineError::corrupt(format!(
                "entry {number} of the log of table `{}` is gone: something other than Tessera removed it; bring it back",
                self.name
            )));
        };
        Ok((number, get_actions(number, &content)?))
    }

    /// Refuses a commit that would name files which are gone: a refresh deletes those that no commit has named for long.
    async fn require_files(&self, files: &[DataFile]) -> Result<()> {
        let store = self.log_store.object_store(None);
        let head = |file: &DataFile| {
            let (store, path) = (Arc::clone(&store), Path::from(file.path.as_str()));
            async move { store.head(&path).await }
        };
        let heads: Vec<_> = files.iter().map(head).collect();
        let heads = stream::iter(heads).buffer_unordered(limits::STORE_READS);
        match heads.try_collect::<Vec<_>>().await {
            Ok(_) => Ok(()),
            Err(object_store::Error::NotFound { .. }) => Err(EngineError::new(
                ErrorKind::DeadlineExceeded,
                format!(
                    "files for `{}` are gone: they waited for their commit for more than {} hours, after which a refresh \
                     deletes them; ingest the input again, in smaller parts",
                    self.name,
                    limits::ORPHAN_HOURS
                ),
            )),
            Err(error) => Err(error.into()),
        }
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
        let Err(error) = put else { return Ok(true) };
        // It may be there all the same: the client gives up a write whose reply it waits for in vain, and finds our own entry
        // where it repeats one whose reply was lost.
        match (self.log_store.read_commit_entry(number).await, error) {
            (Ok(Some(found)), _) => Ok(found == entry),
            (Ok(None), TransactionError::VersionAlreadyExists(_)) => Ok(false),
            (_, error) => {
                Err(EngineError::from(DeltaTableError::from(error)).context(format!("commit to `{}`", self.name)))
            }
        }
    }

    /// Keeps opening cheap. A checkpoint is a copy of what the log says: failing to write one loses nothing.
    async fn checkpoint_when_due(&self, number: u64) {
        if !number.is_multiple_of(limits::COMMITS_PER_CHECKPOINT) {
            return;
        }
        let written = match self.load(Some(number)).await {
            Ok(Some(table)) => create_checkpoint(&table, None).await.map_err(EngineError::from),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            let error = error.without_values();
            tracing::warn!(table = %self.name, version = number, error, "checkpoint not written");
        }
    }

    /// The columns as the log has them.
    fn fields(&self, schema: &Schema) -> Result<StructType> {
        schema.try_into_kernel().map_err(|error| {
            EngineError::invalid(format!("table `{}` has a column that Delta cannot hold: {error}", self.name))
        })
    }

    fn too_many_conflicts(&self) -> EngineError {
        EngineError::new(
            ErrorKind::Conflict,
            format!("table `{}` is being written by too many others: try again", self.name),
        )
    }
}

/// What makes of the files `present` those that are `wanted`.
fn difference(present: &[DataFile], wanted: &[DataFile]) -> Vec<Action> {
    let [here, there] =
        [present, wanted].map(|files| files.iter().map(|file| file.path.as_str()).collect::<HashSet<_>>());
    let removed = present.iter().filter(|file| !there.contains(file.path.as_str()));
    let added = wanted.iter().filter(|file| !here.contains(file.path.as_str()));
    let removed = removed.map(|file| Action::Remove(remove(file)));
    removed.chain(added.map(|file| Action::Add(add(file, HashMap::new())))).collect()
}

fn add(file: &DataFile, partition_values: HashMap<String, Option<String>>) -> Add {
    Add {
        path: file.path.clone(),
        partition_values,
        size: i64::try_from(file.bytes).unwrap_or(i64::MAX),
        modification_time: Utc::now().timestamp_millis(),
        data_change: true,
        stats: Some(format!("{{\"numRecords\":{}}}", file.rows)),
        ..Default::default()
    }
}

fn remove(file: &DataFile) -> Remove {
    Remove {
        path: file.path.clone(),
        data_change: true,
        deletion_timestamp: Some(Utc::now().timestamp_millis()),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};
    use arrow::datatypes::{DataType, Field};

    use super::super::unsteady::unsteady_lake;
    use super::super::writer::FileWriter;
    use super::*;

    fn schema() -> Schema {
        Schema::new(vec![Field::new("number", DataType::Int64, true)])
    }

    /// A file of one row that no commit names.
    async fn written(lake: &Lake, name: &TableName, run: &str) -> Vec<DataFile> {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let mut writer = FileWriter::new(lake, name, run, 0, &schema(), &[]);
        writer.write(&RecordBatch::try_new(Arc::new(schema()), vec![column]).unwrap()).await.unwrap();
        writer.finish().await.unwrap()
    }

    #[tokio::test]
    async fn test_a_commit_whose_reply_is_lost_counts_once() {
        let (_folder, lake, store) = unsteady_lake();
        let name = TableName::new("ops", "numbers");
        let table = Table::new(&lake, &name);
        table.create_if_absent(&schema(), &[]).await.unwrap();
        let first = written(&lake, &name, "first").await;
        store.lose_replies(1);
        assert!(table.replace_as(1, &[], &first).await.unwrap());
        let second = written(&lake, &name, "second").await;
        store.lose_replies(1);
        assert!(!table.replace_as(1, &[], &second).await.unwrap(), "that is the first's");
        store.lose_replies(1);
        assert_eq!(table.append_batch("second", &second, async |_| Ok(HashMap::new())).await.unwrap(), Some(2));
        let third = written(&lake, &name, "third").await;
        store.refuse_writes(1);
        assert_eq!(table.replace_as(3, &[], &third).await.unwrap_err().kind(), ErrorKind::Unavailable);
        let version = table.open(None).await.unwrap().unwrap();
        assert_eq!((version.number, version.rows()), (2, 2));
    }

    #[tokio::test]
    async fn test_a_batch_that_is_not_the_first_is_partitioned_anew() {
        let (_folder, lake, _) = unsteady_lake();
        let name = TableName::new("landing", "numbers");
        let table = Table::new(&lake, &name);
        table.create_if_absent(&schema(), &[]).await.unwrap();
        let (first, second) = (written(&lake, &name, "first").await, written(&lake, &name, "second").await);
        let asked = std::cell::RefCell::new(Vec::new());
        let partition = async |before: &Version| -> Result<HashMap<String, Option<String>>> {
            asked.borrow_mut().push(before.number);
            if before.number == 0 {
                assert!(table.replace_as(1, &[], &first).await?);
            }
            Ok(HashMap::new())
        };
        assert_eq!(table.append_batch("second", &second, partition).await.unwrap(), Some(2));
        assert_eq!(asked.into_inner(), [0, 1]);
    }

    fn file(number: u64) -> DataFile {
        DataFile { path: format!("run-00-{number:04}.parquet"), bytes: 1, rows: 1, partition: Vec::new() }
    }

    #[tokio::test]
    async fn test_an_exact_commit_holds_its_files_whatever_was_written_since() {
        let (_folder, lake, _) = unsteady_lake();
        let table = Table::new(&lake, &TableName::new("profile", "numbers"));
        let other = Schema::new(vec![Field::new("text", DataType::Utf8, true)]);
        table.commit_exact(&schema(), &[file(1)], None).await.unwrap();
        let first = table.open(None).await.unwrap().unwrap();
        // The next one; one after another that nobody had told of; the same files; other columns.
        let commits: [(&Schema, &[u64], u64); 5] = [
            (&schema(), &[1, 2], 2),
            (&schema(), &[3], 3),
            (&schema(), &[3], 3),
            (&schema(), &[1], 4),
            (&other, &[1], 5),
        ];
        for (schema, files, expected) in commits {
            let files: Vec<DataFile> = files.iter().copied().map(file).collect();
            assert_eq!(table.commit_exact(schema, &files, Some(&first)).await.unwrap(), expected);
            let version = table.open(None).await.unwrap().unwrap();
            assert_eq!((version.number, version.files, version.schema.as_ref()), (expected, files, schema));
        }
    }

    #[tokio::test]
    async fn test_files_held_are_those_that_opening_each_version_gives() {
        let (_folder, lake, _) = unsteady_lake();
        let table = Table::new(&lake, &TableName::new("profile", "numbers"));
        let mut opened = HashMap::from([(0, HashSet::new())]);
        for step in 1_u64..40 {
            let dice = step.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
            if dice.is_multiple_of(3) && step > 1 {
                assert!(table.replace_as(opened.len() as u64, &[], &[file(100 + step)]).await.unwrap());
            } else {
                // Files that come back are as frequent as new ones: a refresh that failed had taken them out.
                let files: Vec<_> = (0..16).filter(|number| dice >> number & 1 == 1).map(file).collect();
                table.commit_exact(&schema(), &files, None).await.unwrap();
            }
            let version = table.open(None).await.unwrap().unwrap();
            opened.insert(version.number, version.files.into_iter().map(|file| file.path).collect::<HashSet<_>>());
        }
        let newest = opened.len() as u64 - 1;
        assert!(newest > 30, "most of the steps change something");
        for kept in [vec![], vec![newest], vec![newest - 1], vec![0], vec![3, 9, 10, 27], (0..newest).collect()] {
            let expected: HashSet<String> =
                kept.iter().chain([&newest]).flat_map(|kept| opened[kept].clone()).collect();
            let held = table.files_held(&kept.iter().copied().collect()).await.unwrap();
            assert_eq!(held.as_ref(), Some(&expected), "{kept:?}");
        }
    }

    #[tokio::test]
    async fn test_files_that_are_gone_are_not_committed() {
        let (_folder, lake, _) = unsteady_lake();
        let name = TableName::new("landing", "numbers");
        let table = Table::new(&lake, &name);
        table.create_if_absent(&schema(), &[]).await.unwrap();
        let files = written(&lake, &name, "run").await;
        lake.root.delete(&layout::table(&lake, &name).join(files[0].path.as_str())).await.unwrap();
        let refused = table.append_batch("run", &files, async |_| Ok(HashMap::new())).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::DeadlineExceeded);
        assert!(refused.to_string().contains("ingest the input again"), "{refused}");
        assert_eq!(table.open(None).await.unwrap().unwrap().number, 0);
    }
}
