//! Logs of `ops`: tables beside the generations, to which servers and refreshes add rows at any time.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use datafusion::dataframe::DataFrame;
use datafusion::error::Result as DataFusionResult;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;

use super::Project;
use crate::error::{EngineError, Result};
use crate::limits;
use crate::store::TableName;
use crate::store::delta::{DataFile, Table, Version};
use crate::store::scan::Scan;
use crate::store::writer::FileWriter;

/// The name that a log has in the queries over it.
pub(crate) const LOG: &str = "log";

/// The newest version of a log, which is made if it is not there.
///
/// # Errors
/// What the store reports.
pub(crate) async fn open(project: &Project, name: &TableName, schema: &Schema) -> Result<Version> {
    let table = Table::new(&project.lake, name);
    if let Some(version) = table.open(None).await? {
        return Ok(version);
    }
    table.create_if_absent(schema, &[]).await?;
    table.open(None).await?.ok_or_else(|| EngineError::internal(format!("the log `{name}` is not there")))
}

/// A session in which the log, as it was in a version, is called [`LOG`].
///
/// # Errors
/// What the session reports.
pub(crate) fn session(project: &Project, version: Version) -> Result<SessionContext> {
    let session = project.session()?;
    session.register_table(LOG, Arc::new(Scan::new(&project.lake, version)))?;
    Ok(session)
}

/// Adds rows to a log as what follows `version`; false, and nothing is added, if somebody else was first. `id` is in the name
/// of the file that they are written to.
///
/// # Errors
/// What the store reports.
pub(crate) async fn append(project: &Project, version: Version, id: &str, rows: &RecordBatch) -> Result<bool> {
    append_tidied(project, version, id, rows, Ok).await
}

/// The same of a log of whose rows `tidied` leaves out what nobody needs any more. Each addition makes a file; once there are
/// many small ones, they are written together, tidied.
///
/// # Errors
/// What the store and the query report.
pub(crate) async fn append_tidied(
    project: &Project,
    version: Version,
    id: &str,
    rows: &RecordBatch,
    tidied: impl FnOnce(DataFrame) -> DataFusionResult<DataFrame>,
) -> Result<bool> {
    let (name, schema, number) = (version.name.clone(), rows.schema(), version.number + 1);
    let small = small_files(&version);
    let mut writer = FileWriter::new(&project.lake, &name, id, 0, &schema, &[]);
    if !small.is_empty() {
        let session = session(project, Version { files: small.clone(), ..version })?;
        let mut batches = tidied(session.table(LOG).await?)?.execute_stream().await?;
        while let Some(batch) = batches.try_next().await? {
            writer.write(&batch).await?;
        }
    }
    writer.write(rows).await?;
    Table::new(&project.lake, &name).replace_as(number, &small, &writer.finish().await?).await
}

/// The small files of a log, if they are too many.
fn small_files(version: &Version) -> Vec<DataFile> {
    let small: Vec<_> = version.files.iter().filter(|file| file.rows < limits::SMALL_FILE_ROWS).cloned().collect();
    if small.len() > limits::SMALL_FILES_MAX { small } else { Vec::new() }
}
