//! Lists that were uploaded while serving: the log `ops.lists` in the lake, a row for each upload and deletion. The last row
//! of a name says what is in force. Servers whose clocks differ may write to one lake: a row is from no earlier than the one
//! before it, so that the order of their instants is that of their commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};

use crate::clock::Micros;
use crate::error::{EngineError, ErrorKind, Result};
use crate::project::Project;
use crate::query::functions::text;
use crate::store::TableName;
use crate::store::delta::{Table, Version};
use crate::store::scan::Scan;
use crate::store::writer::FileWriter;
use crate::{ids, limits};

const LOG: &str = "log";
const IN_FORCE: &str = "
    select list, content
    from (
        select list, content, row_number() over (partition by list order by changed_at desc, change_id desc) as newest
        from log
    )
    where newest = 1 and content is not null";
const NEWEST: &str = "select max(changed_at) from log";

/// The log.
pub(crate) fn table() -> TableName {
    TableName::new("ops", "lists")
}

/// Its columns.
pub(crate) fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("change_id"),
        Field::new("changed_at", instant, true),
        text("changed_by"),
        text("list"),
        text("content"),
    ]))
}

/// Says what a list is from now on: the text of its file, or that there is none.
///
/// # Errors
/// Conflict if others write all the time; what the store and the query report.
pub(crate) async fn append(
    project: &Project,
    list: &str,
    content: Option<&str>,
    changed_by: &str,
    changed_at: Micros,
) -> Result<()> {
    let (name, schema) = (table(), schema());
    let log = Table::new(&project.lake, &name);
    log.create_if_absent(&schema, &[]).await?;
    let one = |value: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    for _ in 0..limits::COMMIT_ATTEMPTS_MAX {
        let version = log.open(None).await?.ok_or_else(|| EngineError::internal("the log of lists is not there"))?;
        let number = version.number + 1;
        let changed_at = newest(project, version).await?.map_or(changed_at, |newest| changed_at.max(newest + 1));
        let id = ids::change_id();
        let columns: Vec<ArrayRef> = vec![
            one(Some(&id)),
            Arc::new(TimestampMicrosecondArray::from(vec![changed_at]).with_timezone("UTC")),
            one(Some(changed_by)),
            one(Some(list)),
            one(content),
        ];
        let mut writer = FileWriter::new(&project.lake, &name, &id, 0, &schema, &[]);
        writer.write(&RecordBatch::try_new(Arc::clone(&schema), columns)?).await?;
        if log.append_as(number, &writer.finish().await?).await? {
            return Ok(());
        }
    }
    Err(EngineError::new(ErrorKind::Conflict, "lists are being changed by too many others: try again"))
}

/// When the last row was added.
async fn newest(project: &Project, version: Version) -> Result<Option<Micros>> {
    let session = project.session()?;
    session.register_table(LOG, Arc::new(Scan::new(&project.lake, version)))?;
    let batches = session.sql(NEWEST).await?.collect().await?;
    let instants = batches.iter().flat_map(|batch| batch.column(0).as_primitive::<TimestampMicrosecondType>());
    Ok(instants.flatten().max())
}

/// Those in force: the texts of their files, by name.
///
/// # Errors
/// What the store and the query report.
pub(crate) async fn in_force(project: &Project) -> Result<BTreeMap<String, String>> {
    let mut lists = BTreeMap::new();
    let Some(version) = Table::new(&project.lake, &table()).open(None).await? else { return Ok(lists) };
    let session = project.session()?;
    session.register_table(LOG, Arc::new(Scan::new(&project.lake, version)))?;
    for batch in session.sql(IN_FORCE).await?.collect().await? {
        let (names, contents) = (text(batch.column(0))?, text(batch.column(1))?);
        let known = (0..names.len()).map(|row| (names.value(row).to_owned(), contents.value(row).to_owned()));
        lists.extend(known);
    }
    Ok(lists)
}
