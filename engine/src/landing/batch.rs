//! One input on its way into the lake: parsed on threads, written to files, committed once.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::record_batch::RecordBatch;
use object_store::ObjectStoreExt;
use tokio::sync::mpsc;

use super::batch_id::batch_id;
use super::identifier_rules::IdentifierRules;
use super::pipeline::{self, BatchContext, InputSummary, ParsedChunk};
use super::{Input, PARTITION_COLUMNS, latest_sequence, table_schema, tables};
use crate::config::{IdentityConfig, Normalize, Source};
use crate::error::{EngineError, ErrorKind, Result};
use crate::progress::Progress;
use crate::project::Project;
use crate::store::delta::{DataFile, Table, Version};
use crate::store::writer::FileWriter;
use crate::store::{Lake, TableName, layout};

/// Chunks waiting for a writer. Bounds memory together with the parser's own queues.
const CHUNKS_WAITING: usize = 2;

/// Columns of which nearly every value differs.
const UNIQUE_COLUMNS: [&str; 6] = ["position", "event_id", "event_hash", "occurred_at", "properties", "record_key"];

/// What became of one input.
#[derive(Debug, Clone)]
pub struct BatchReport {
    /// The input's name.
    pub input: String,
    /// The batch's id.
    pub batch_id: String,
    /// Rows that landed.
    pub rows: u64,
    /// Rows in quarantine.
    pub quarantined: u64,
    /// Rows in quarantine by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Bytes read.
    pub bytes: u64,
    /// True if the same content had landed before: nothing was added.
    pub repeated: bool,
}

/// An input whose rows are in files that no commit names yet.
pub(super) struct WrittenBatch {
    report: BatchReport,
    files: WrittenFiles,
}

/// The files of one input.
struct WrittenFiles {
    rows: Vec<DataFile>,
    quarantined: Vec<DataFile>,
}

/// Parses `input` and writes its rows, until `is_stopped`. On an error nothing stays behind but what cannot be deleted.
pub(super) async fn write(
    project: &Project,
    source: &Source,
    rows_table: &TableName,
    input: Input,
    progress: &Progress,
    is_stopped: &Arc<AtomicBool>,
) -> Result<WrittenBatch> {
    let name = input.name();
    let run = uuid::Uuid::now_v7().simple().to_string();
    let (to_rows, row_writers) = start_writers(&project.lake, rows_table, &run, project.threads);
    let (to_quarantine, quarantine_writers) = start_writers(&project.lake, &tables()[2], &run, 1);
    let sink = Sink {
        name: name.clone(),
        progress: progress.clone(),
        is_stopped: Arc::clone(is_stopped),
        to_rows,
        to_quarantine,
        next: 0,
    };
    let parsed = parse(project, source, input, sink).await;
    let mut failures = Vec::new();
    let files = WrittenFiles {
        rows: finish(row_writers, &mut failures).await,
        quarantined: finish(quarantine_writers, &mut failures).await,
    };
    match parsed {
        Ok(summary) if failures.is_empty() => {
            let report = BatchReport {
                batch_id: batch_id(&project.config, source, &summary),
                input: name,
                rows: summary.rows,
                quarantined: summary.quarantined,
                reasons: summary.quarantine_reasons,
                bytes: summary.bytes,
                repeated: false,
            };
            Ok(WrittenBatch { report, files })
        }
        parsed => {
            files.delete(&project.lake, rows_table).await;
            failures.extend(parsed.err());
            Err(cause(failures).context(format!("`{name}` did not land")))
        }
    }
}

/// The failure to tell: a full disk first. Writers that fail stop the parser, to which nobody listens any more.
fn cause(failures: Vec<EngineError>) -> EngineError {
    let (full, others): (Vec<_>, Vec<_>) =
        failures.into_iter().partition(|failure| failure.kind() == ErrorKind::Exhausted);
    let first = full.into_iter().chain(others).next();
    first.unwrap_or_else(|| EngineError::internal("writing stopped without an error"))
}

impl WrittenFiles {
    async fn delete(&self, lake: &Lake, rows_table: &TableName) {
        delete(lake, rows_table, &self.rows).await;
        delete(lake, &tables()[2], &self.quarantined).await;
    }
}

impl WrittenBatch {
    /// Commits quarantine first, rows second: when the rows are there, everything is. A crash in between is mended by
    /// the same input sent again.
    pub(super) async fn commit(self, project: &Project, rows_table: &TableName) -> Result<BatchReport> {
        let quarantine = &tables()[2];
        let mut report = self.report;
        let quarantined = append(&project.lake, quarantine, &report.batch_id, &self.files.quarantined).await?;
        let rows = append(&project.lake, rows_table, &report.batch_id, &self.files.rows).await?;
        report.repeated = !rows && !quarantined;
        Ok(report)
    }

    /// Deletes what was written.
    pub(super) async fn discard(self, project: &Project, rows_table: &TableName) {
        self.files.delete(&project.lake, rows_table).await;
    }
}

/// Appends the files as batch `batch_id`; false, and the files deleted, if that batch is there already.
async fn append(lake: &Lake, name: &TableName, batch_id: &str, files: &[DataFile]) -> Result<bool> {
    let partition = async |before: &Version| -> Result<HashMap<String, Option<String>>> {
        let sequence = next_sequence(lake, before).await?;
        Ok(HashMap::from([
            (PARTITION_COLUMNS[0].to_owned(), Some(sequence.to_string())),
            (PARTITION_COLUMNS[1].to_owned(), Some(batch_id.to_owned())),
        ]))
    };
    let committed = Table::new(lake, name).append_batch(batch_id, files, partition).await?;
    if committed.is_none() {
        delete(lake, name, files).await;
    }
    Ok(committed.is_some())
}

/// The number of a batch that follows a version. A clock of events and records (Lamport 1978): it is higher than that of every
/// batch, in whichever of the two tables, that was committed before this commit was tried. Batches committed to both at the same
/// time may have the same number.
async fn next_sequence(lake: &Lake, before: &Version) -> Result<u64> {
    let [events, records, _] = tables();
    let other = if before.name == events { Some(records) } else { (before.name == records).then_some(events) };
    let elsewhere = match other {
        Some(other) => Table::new(lake, &other).open(None).await?.as_ref().map_or(0, latest_sequence),
        None => 0,
    };
    Ok(latest_sequence(before).max(elsewhere) + 1)
}

/// Files that no commit names are garbage: one that cannot be deleted now is found by a later refresh.
async fn delete(lake: &Lake, name: &TableName, files: &[DataFile]) {
    for file in files {
        if let Err(error) = lake.root.delete(&layout::table(lake, name).join(file.path.as_str())).await {
            tracing::warn!(table = %name, file = file.path, %error, "file not deleted");
        }
    }
}

fn salesforce_namespaces(config: &IdentityConfig) -> Vec<String> {
    let of_salesforce = config.namespaces.iter().filter(|namespace| namespace.normalize == Normalize::SalesforceId);
    of_salesforce.map(|namespace| namespace.name.clone()).collect()
}

async fn parse(project: &Project, source: &Source, input: Input, mut sink: Sink) -> Result<InputSummary> {
    let (source, config, threads) = (source.clone(), project.config.clone(), project.threads);
    let context = BatchContext {
        landed_at_us: project.clock.now(),
        identifiers: IdentifierRules {
            max: project.config.landing.identifiers_max,
            judge: Arc::clone(&project.judge_identifiers),
            salesforce_namespaces: salesforce_namespaces(&project.config.identity),
        },
    };
    let parsed = tokio::task::spawn_blocking(move || {
        pipeline::parse_input(input, &source, &config, &context, threads, &mut |chunk| sink.take(chunk))
    });
    parsed.await.map_err(|error| EngineError::internal(format!("parsing stopped: {error}")))?
}

/// Where the chunks of an input go.
struct Sink {
    name: String,
    progress: Progress,
    is_stopped: Arc<AtomicBool>,
    to_rows: Vec<mpsc::Sender<RecordBatch>>,
    to_quarantine: Vec<mpsc::Sender<RecordBatch>>,
    next: usize,
}

impl Sink {
    fn take(&mut self, chunk: ParsedChunk) -> Result<()> {
        if self.is_stopped.load(Ordering::Relaxed) {
            return Err(EngineError::new(ErrorKind::Cancelled, "an input before it did not land"));
        }
        self.progress.read(&self.name, chunk.bytes_read, chunk.rows.num_rows() as u64);
        if chunk.rows.num_rows() > 0 {
            send(&self.to_rows[self.next % self.to_rows.len()], chunk.rows)?;
            self.next += 1;
        }
        if chunk.quarantined.num_rows() > 0 {
            send(&self.to_quarantine[0], chunk.quarantined)?;
        }
        Ok(())
    }
}

fn send(to: &mpsc::Sender<RecordBatch>, batch: RecordBatch) -> Result<()> {
    to.blocking_send(batch).map_err(|_| EngineError::internal("a writer stopped"))
}

/// Gives the whole files that it wrote, and why there are no more if it failed.
type Writer = tokio::task::JoinHandle<(Vec<DataFile>, Option<EngineError>)>;

fn start_writers(
    lake: &Lake,
    name: &TableName,
    run: &str,
    count: usize,
) -> (Vec<mpsc::Sender<RecordBatch>>, Vec<Writer>) {
    (0..count.max(1))
        .map(|number| {
            let (sender, receiver) = mpsc::channel::<RecordBatch>(CHUNKS_WAITING);
            let file_schema = schema_without_partition(name);
            let unique = UNIQUE_COLUMNS.map(str::to_owned);
            let mut writer = FileWriter::new(lake, name, run, number, &file_schema, &unique);
            let task = tokio::spawn(async move {
                match write_all(&mut writer, receiver).await {
                    Ok(files) => (files, None),
                    Err(failure) => (writer.take_done(), Some(failure)),
                }
            });
            (sender, task)
        })
        .unzip()
}

async fn write_all(writer: &mut FileWriter, mut batches: mpsc::Receiver<RecordBatch>) -> Result<Vec<DataFile>> {
    while let Some(batch) = batches.recv().await {
        writer.write(&batch).await?;
    }
    writer.finish().await
}

fn schema_without_partition(name: &TableName) -> arrow::datatypes::Schema {
    let schema = table_schema(name);
    let fields: Vec<_> =
        schema.fields().iter().filter(|field| !PARTITION_COLUMNS.contains(&field.name().as_str())).cloned().collect();
    arrow::datatypes::Schema::new(fields)
}

/// Waits for the writers. Gives all whole files, also those of writers that failed.
async fn finish(writers: Vec<Writer>, failures: &mut Vec<EngineError>) -> Vec<DataFile> {
    let mut files = Vec::new();
    for writer in writers {
        match writer.await {
            Ok((written, failure)) => {
                files.extend(written);
                failures.extend(failure);
            }
            Err(error) => failures.push(EngineError::internal(format!("a writer stopped: {error}"))),
        }
    }
    files
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use futures::TryStreamExt;

    use super::super::quarantine::{QuarantineBuilder, Rejection};
    use super::*;

    fn refused() -> RecordBatch {
        let mut quarantine = QuarantineBuilder::default();
        quarantine.push(1, &Rejection::bad_encoding(), b"caf\xe9");
        quarantine.finish("web", "a.json", 0).unwrap().0
    }

    /// The names of the files in a table's folder.
    async fn stored(lake: &Lake, name: &TableName) -> HashSet<String> {
        let listed = lake.root.list(Some(&layout::table(lake, name)));
        listed.map_ok(|file| file.location.filename().unwrap().to_owned()).try_collect().await.unwrap()
    }

    #[tokio::test]
    async fn test_files_of_other_writers_are_known_and_deleted_when_one_fails() {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open("lake", folder.path(), &HashMap::new()).unwrap();
        let name = &tables()[2];
        let (senders, writers) = start_writers(&lake, name, "run", 3);
        for sender in &senders {
            sender.send(refused()).await.unwrap();
        }
        let no_row_of_the_table = refused().project(&[0, 1]).unwrap();
        senders[1].send(no_row_of_the_table).await.unwrap();
        drop(senders);
        let mut failures = Vec::new();
        let files = finish(writers, &mut failures).await;
        assert_eq!(failures.len(), 1);
        let names: HashSet<String> = files.iter().map(|file| file.path.clone()).collect();
        assert_eq!(names, HashSet::from(["run-00-0000.parquet".to_owned(), "run-02-0000.parquet".to_owned()]));
        assert!(names.is_subset(&stored(&lake, name).await));
        delete(&lake, name, &files).await;
        assert!(names.is_disjoint(&stored(&lake, name).await));
    }

    #[test]
    fn test_a_full_disk_is_told_before_what_it_leads_to() {
        let stopped = || EngineError::internal("a writer stopped");
        assert_eq!(cause(vec![stopped(), EngineError::new(ErrorKind::Exhausted, "full")]).to_string(), "full");
        assert_eq!(cause(vec![EngineError::invalid("wrong"), stopped()]).to_string(), "wrong");
    }
}
