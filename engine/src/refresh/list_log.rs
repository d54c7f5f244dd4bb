//! Uploaded lists, which are kept in the lake: the log `ops.lists`, a row for each upload and deletion. The last row
//! of a name says what is in force. Servers whose clocks differ may write to one lake: a row is from no earlier than the one
//! before it, so that the order of their instants is that of their commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, col, lit, when};
use datafusion::prelude::SessionContext;

use crate::clock::Micros;
use crate::error::{EngineError, ErrorKind, Result};
use crate::project::{Project, log};
use crate::query::functions::text;
use crate::store::TableName;
use crate::store::delta::Table;
use crate::{ids, limits};

/// When each list was last told of, and by which row.
const LAST: &str = "
    select list, last_value(change_id order by changed_at, change_id) as change_id, max(changed_at) as changed_at
    from log
    group by list";

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
    let schema = schema();
    let one = |value: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    for _ in 0..limits::COMMIT_ATTEMPTS_MAX {
        let version = log::open(project, &table(), &schema).await?;
        let last = last(&log::session(project, version.clone())?).await?;
        let newest = last.iter().map(|last| last.changed_at).max();
        let changed_at = newest.map_or(changed_at, |newest| changed_at.max(newest + 1));
        let id = ids::change_id();
        let columns: Vec<ArrayRef> = vec![
            one(Some(&id)),
            Arc::new(TimestampMicrosecondArray::from(vec![changed_at]).with_timezone("UTC")),
            one(Some(changed_by)),
            one(Some(list)),
            one(content),
        ];
        let row = RecordBatch::try_new(Arc::clone(&schema), columns)?;
        // Who uploaded what is kept for good, and long contents while they are in force.
        let in_force = is_one_of(last.iter().filter(|last| last.list != list));
        let tidied = |log: DataFrame| log.with_column("content", when(in_force, col("content")).end()?);
        if log::append_tidied(project, version, &id, &row, tidied).await? {
            return Ok(());
        }
    }
    Err(EngineError::new(ErrorKind::Conflict, "lists are being changed by too many others: try again"))
}

/// The last row of a list.
struct Last {
    list: String,
    change_id: String,
    changed_at: Micros,
}

/// Those of all lists. Contents are not read: they are long.
async fn last(session: &SessionContext) -> Result<Vec<Last>> {
    let mut all = Vec::new();
    for batch in session.sql(LAST).await?.collect().await? {
        let (lists, ids) = (text(batch.column(0))?, text(batch.column(1))?);
        let changed_at = batch.column(2).as_primitive::<TimestampMicrosecondType>();
        all.extend((0..batch.num_rows()).map(|row| Last {
            list: lists.value(row).to_owned(),
            change_id: ids.value(row).to_owned(),
            changed_at: changed_at.value(row),
        }));
    }
    Ok(all)
}

fn is_one_of<'l>(rows: impl Iterator<Item = &'l Last>) -> Expr {
    col("change_id").in_list(rows.map(|row| lit(row.change_id.clone())).collect(), false)
}

/// Those in force: the texts of their files, by name.
///
/// # Errors
/// What the store and the query report.
pub(crate) async fn in_force(project: &Project) -> Result<BTreeMap<String, String>> {
    let mut lists = BTreeMap::new();
    let Some(version) = Table::new(&project.lake, &table()).open(None).await? else { return Ok(lists) };
    let session = log::session(project, version)?;
    let is_last = is_one_of(last(&session).await?.iter());
    let in_force = session.table(log::LOG).await?.filter(is_last.and(col("content").is_not_null()))?;
    for batch in in_force.select_columns(&["list", "content"])?.collect().await? {
        let (names, contents) = (text(batch.column(0))?, text(batch.column(1))?);
        let known = (0..names.len()).map(|row| (names.value(row).to_owned(), contents.value(row).to_owned()));
        lists.extend(known);
    }
    Ok(lists)
}
