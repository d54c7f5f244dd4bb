//! One input on its way into the lake: parsed on threads, written to files, committed once.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use object_store::ObjectStoreExt;
use tokio::sync::mpsc;

use super::identifier_rules::IdentifierRules;
use super::pipeline::{self, BatchContext, InputSummary, ParsedChunk};
use super::quarantine::Reason;
use super::{Input, PARTITION_COLUMNS, latest_sequence, table_schema, tables};
use crate::config::{IdentityConfig, Normalize, Source, SourceKind};
use crate::error::{EngineError, Result};
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
    rows: Vec<DataFile>,
    quarantined: Vec<DataFile>,
}

/// Parses `input` and writes its rows. On an error nothing stays behind.
pub(super) async fn write(
    project: &Project,
    source: &Source,
    rows_table: &TableName,
    input: Input,
    progress: &Progress,
) -> Result<WrittenBatch> {
    let name = input.name();
    let run = uuid::Uuid::now_v7().simple().to_string();
    let quarantine = &tables()[2];
    let (to_rows, mut row_writers) = start_writers(&project.lake, rows_table, &run, project.threads);
    let (to_quarantine, mut quarantine_writers) = start_writers(&project.lake, quarantine, &run, 1);
    let parsed = parse(project, source, input, progress.clone(), name.clone(), to_rows, to_quarantine).await;
    let rows = finish(&mut row_writers).await;
    let quarantined = finish(&mut quarantine_writers).await;
    match (parsed, rows, quarantined) {
        (Ok(summary), Ok(rows), Ok(quarantined)) => {
            let report = BatchReport {
                batch_id: batch_id(project, source, &summary),
                input: name,
                rows: summary.rows,
                quarantined: summary.quarantined,
                reasons: summary.quarantine_reasons,
                bytes: summary.bytes,
                repeated: false,
            };
            Ok(WrittenBatch { report, rows, quarantined })
        }
        (parsed, rows, quarantined) => {
            let errors = [parsed.err(), rows.as_ref().err().map(again), quarantined.as_ref().err().map(again)];
            delete(&project.lake, rows_table, &rows.unwrap_or_default()).await;
            delete(&project.lake, quarantine, &quarantined.unwrap_or_default()).await;
            // A full disk stops the writers first, and the parser only because nobody listens any more.
            let mut errors: Vec<EngineError> = errors.into_iter().flatten().collect();
            let worst = errors.iter().position(|error| error.kind() == crate::ErrorKind::Exhausted).unwrap_or(0);
            Err(errors.swap_remove(worst).context(format!("`{name}` did not land")))
        }
    }
}

fn again(error: &EngineError) -> EngineError {
    EngineError::new(error.kind(), error.to_string())
}

impl WrittenBatch {
    /// Commits quarantine first, rows second: when the rows are there, everything is. A crash in between is mended by
    /// the same input sent again.
    pub(super) async fn commit(self, project: &Project, rows_table: &TableName) -> Result<BatchReport> {
        let quarantine = &tables()[2];
        let mut report = self.report;
        let quarantined = append(&project.lake, quarantine, &report.batch_id, &self.quarantined).await?;
        let rows = append(&project.lake, rows_table, &report.batch_id, &self.rows).await?;
        report.repeated = !rows && !quarantined;
        Ok(report)
    }
}

/// Appends the files as batch `batch_id`; false, and the files deleted, if that batch is there already.
async fn append(lake: &Lake, name: &TableName, batch_id: &str, files: &[DataFile]) -> Result<bool> {
    // A clock of events and records (Lamport 1978): what is committed later has a higher number, in whichever table.
    let [events, records, _] = tables();
    let other = if *name == events { Some(records) } else { (*name == records).then_some(events) };
    let elsewhere = match other {
        Some(other) => Table::new(lake, &other).open(None).await?.as_ref().map_or(0, latest_sequence),
        None => 0,
    };
    let partition = |before: &Version| {
        let sequence = latest_sequence(before).max(elsewhere) + 1;
        HashMap::from([
            (PARTITION_COLUMNS[0].to_owned(), Some(sequence.to_string())),
            (PARTITION_COLUMNS[1].to_owned(), Some(batch_id.to_owned())),
        ])
    };
    let committed = Table::new(lake, name).append_batch(batch_id, files, partition).await?;
    if committed.is_none() {
        delete(lake, name, files).await;
    }
    Ok(committed.is_some())
}

/// Files that no commit names are garbage: one that cannot be deleted now is found by a later refresh.
async fn delete(lake: &Lake, name: &TableName, files: &[DataFile]) {
    for file in files {
        let _ = lake.root.delete(&layout::table(lake, name).join(file.path.as_str())).await;
    }
}

/// The same content under the same mapping is the same batch; events of which the rules of identity or the size limit refuse
/// some, under the same rules: under others there may be more that land. A record that landed again would be its newest
/// version.
fn batch_id(project: &Project, source: &Source, summary: &InputSummary) -> String {
    let mut identity = format!("{}\u{1f}{source:?}\u{1f}{}", source.name, summary.content_hash);
    let is_refused = |code: &&str| source.kind == SourceKind::Events && summary.quarantine_reasons.contains_key(*code);
    if Reason::codes_of_identity().iter().any(is_refused) {
        let rules = &project.config.identity;
        let sets: [BTreeSet<&String>; 2] = [rules.blocked.iter().collect(), rules.blocked_patterns.iter().collect()];
        let blocked = (sets, rules.use_default_blocklist);
        let identifiers_max = project.config.landing.identifiers_max;
        identity.push_str(&format!("\u{1f}{:?}\u{1f}{blocked:?}\u{1f}{identifiers_max}", rules.namespaces));
    }
    if is_refused(&Reason::TooLarge.code()) {
        identity.push_str(&format!("\u{1f}{}", project.config.landing.event_bytes_max));
    }
    blake3::hash(identity.as_bytes()).to_hex()[..32].to_owned()
}

fn salesforce_namespaces(config: &IdentityConfig) -> Vec<String> {
    let of_salesforce = config.namespaces.iter().filter(|namespace| namespace.normalize == Normalize::SalesforceId);
    of_salesforce.map(|namespace| namespace.name.clone()).collect()
}

async fn parse(
    project: &Project,
    source: &Source,
    input: Input,
    progress: Progress,
    name: String,
    to_rows: Vec<mpsc::Sender<RecordBatch>>,
    to_quarantine: Vec<mpsc::Sender<RecordBatch>>,
) -> Result<InputSummary> {
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
        let mut next = 0;
        let mut sink = |chunk: ParsedChunk| {
            progress.read(&name, chunk.bytes_read, chunk.rows.num_rows() as u64);
            if chunk.rows.num_rows() > 0 {
                send(&to_rows[next % to_rows.len()], chunk.rows)?;
                next += 1;
            }
            if chunk.quarantined.num_rows() > 0 {
                send(&to_quarantine[0], chunk.quarantined)?;
            }
            Ok(())
        };
        pipeline::parse_input(input, &source, &config, &context, threads, &mut sink)
    });
    parsed.await.map_err(|error| EngineError::internal(format!("parsing stopped: {error}")))?
}

fn send(to: &mpsc::Sender<RecordBatch>, batch: RecordBatch) -> Result<()> {
    to.blocking_send(batch).map_err(|_| EngineError::internal("a writer stopped"))
}

type Writer = tokio::task::JoinHandle<Result<Vec<DataFile>>>;

fn start_writers(
    lake: &Lake,
    name: &TableName,
    run: &str,
    count: usize,
) -> (Vec<mpsc::Sender<RecordBatch>>, Vec<Writer>) {
    (0..count.max(1))
        .map(|number| {
            let (sender, mut receiver) = mpsc::channel::<RecordBatch>(CHUNKS_WAITING);
            let file_schema = schema_without_partition(name);
            let unique = UNIQUE_COLUMNS.map(str::to_owned);
            let mut writer = FileWriter::new(lake, name, run, number, &file_schema, &unique);
            let task = tokio::spawn(async move {
                while let Some(batch) = receiver.recv().await {
                    writer.write(&batch).await?;
                }
                writer.finish().await
            });
            (sender, task)
        })
        .unzip()
}

fn schema_without_partition(name: &TableName) -> arrow::datatypes::Schema {
    let schema = table_schema(name);
    let fields: Vec<_> =
        schema.fields().iter().filter(|field| !PARTITION_COLUMNS.contains(&field.name().as_str())).cloned().collect();
    arrow::datatypes::Schema::new(fields)
}

async fn finish(writers: &mut Vec<Writer>) -> Result<Vec<DataFile>> {
    let mut files = Vec::new();
    let mut failure = None;
    for writer in writers.drain(..) {
        match writer
            .await
            .map_err(|error| EngineError::internal(format!("a writer stopped: {error}")))
            .and_then(|result| result)
        {
            Ok(written) => files.extend(written),
            Err(error) => failure = Some(error),
        }
    }
    failure.map_or(Ok(files), Err)
}
