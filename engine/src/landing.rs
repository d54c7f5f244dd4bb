//! Stage 1: accept, quarantine, append once.
//!
//! An input is one batch. It is read once, in parallel, in bounded memory; its good rows go to `landing.events` or
//! `landing.records`, what cannot be accepted to `landing.quarantine`, and both are committed when the input has been
//! read to its end. The batch's id is a hash of its source's mapping and its content, and a committed id is remembered
//! in the tables' logs: the same input again adds nothing.

mod batch;
mod batch_id;
pub(crate) mod chunk;
mod consent;
pub(crate) mod csv;
mod identifier_rules;
mod input;
mod json;
mod ndjson;
mod parquet;
mod pipeline;
mod quarantine;
mod row_id;
mod schema;
mod segment_spec;
mod tabular;
mod time;

pub use batch::BatchReport;
pub use input::Input;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arrow::datatypes::{DataType, Field, Schema};
use futures::{StreamExt, TryStreamExt, future};

use crate::config::{Source, SourceKind};
use crate::error::Result;
use crate::progress::Progress;
use crate::project::Project;
use crate::store::delta::{DataFile, Table, Version};
use crate::store::{Lake, TableName};

/// Partition columns of every landing table, in this order: the batch's number and its id.
pub(crate) const PARTITION_COLUMNS: [&str; 2] = ["sequence", "batch_id"];

/// How many inputs are read at the same time. Each uses all threads for parsing; two overlap reading with committing.
const INPUTS_AT_ONCE: usize = 2;

/// How long an input may take to stop beside one that failed: it may be a stream that waits for its sender.
const STOP_SECONDS: u64 = 5;

/// The landing tables.
pub(crate) fn tables() -> [TableName; 3] {
    ["events", "records", "quarantine"].map(|table| TableName::new("landing", table))
}

/// Makes sure that a landing table exists, so that it can be read before anything landed.
pub(crate) async fn create_if_absent(lake: &Lake, name: &TableName) -> Result<()> {
    Table::new(lake, name).create_if_absent(&table_schema(name), &PARTITION_COLUMNS).await
}

/// The highest number of a batch in a landing table: batches are ordered by it.
fn latest_sequence(version: &Version) -> u64 {
    let sequence = |file: &DataFile| file.partition.first()?.as_ref()?.parse().ok();
    version.files.iter().filter_map(sequence).max().unwrap_or(0)
}

/// Lands `inputs` of the source named `source`, committing them in the order given, and tells `landed` of each. After one that
/// fails none lands.
pub(crate) async fn ingest(
    project: &Project,
    source: &str,
    inputs: Vec<Input>,
    progress: &Progress,
    landed: &mut (dyn FnMut(BatchReport) + Send),
) -> Result<()> {
    let source = project.config.source(source)?;
    let rows_table = table_of(source);
    for name in [&rows_table, &tables()[2]] {
        create_if_absent(&project.lake, name).await?;
    }
    let is_stopped = Arc::new(AtomicBool::new(false));
    let begun = inputs.into_iter().take_while(|_| !is_stopped.load(Ordering::Relaxed));
    let written = begun.map(|input| batch::write(project, source, &rows_table, input, progress, &is_stopped));
    let mut written = futures::stream::iter(written).buffered(INPUTS_AT_ONCE);
    let committed = async {
        while let Some(batch) = written.try_next().await? {
            landed(batch.commit(project, &rows_table).await?);
        }
        Ok(())
    };
    let committed = committed.await;
    if committed.is_err() {
        is_stopped.store(true, Ordering::Relaxed);
        // Committed now, it would come before the input that failed, when that is sent again.
        let discarded =
            written.filter_map(|batch| future::ready(batch.ok())).for_each(|batch| batch.discard(project, &rows_table));
        let _ = tokio::time::timeout(Duration::from_secs(STOP_SECONDS), discarded).await;
    }
    committed
}

fn table_of(source: &Source) -> TableName {
    let [events, records, _] = tables();
    match source.kind {
        SourceKind::Events => events,
        SourceKind::Records => records,
    }
}

pub(crate) fn table_schema(name: &TableName) -> Schema {
    let rows = match name.table.as_str() {
        "events" => schema::events_schema(),
        "records" => schema::records_schema(),
        _ => schema::quarantine_schema(),
    };
    let mut fields: Vec<Arc<Field>> =
        rows.fields().iter().map(|field| Arc::new(field.as_ref().clone().with_nullable(true))).collect();
    fields.push(Arc::new(Field::new(PARTITION_COLUMNS[0], DataType::Int64, true)));
    fields.push(Arc::new(Field::new(PARTITION_COLUMNS[1], DataType::Utf8, true)));
    Schema::new(fields)
}
