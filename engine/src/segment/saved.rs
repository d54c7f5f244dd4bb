//! Segments that were made while serving: the log `ops.segments` in the lake, a row for each change. The last row of a name
//! says what is in force.
//!
//! Two servers may change segments of one lake at once. A change is decided on what a version of the log says and
//! committed as the next version or not at all, so that nobody's change is lost unseen.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringArray, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType};

use crate::clock::Micros;
use crate::error::{EngineError, ErrorKind, Result};
use crate::expression::SourceFile;
use crate::ids;
use crate::limits;
use crate::project::Project;
use crate::query::functions::text;
use crate::store::TableName;
use crate::store::delta::{Table, Version};
use crate::store::scan::Scan;
use crate::store::writer::FileWriter;

const LOG: &str = "log";
const NEWEST_FIRST: &str = "select segment, title, purpose, description, expression, changed_by, changed_at, change_id
    from log order by revision desc";

/// What a segment says, as people write it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentContent {
    /// A short name for people: one line.
    pub title: Option<String>,
    /// What its members may be used for: one line.
    pub purpose: Option<String>,
    /// Longer words for people: one line.
    pub description: Option<String>,
    /// The condition over a profile.
    pub expression: String,
}

/// A segment that was made while serving.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavedSegment {
    /// Its name.
    pub name: String,
    /// What it says.
    pub content: SegmentContent,
    /// Who made it, or changed it last.
    pub changed_by: String,
    /// When, microseconds since 1970 UTC.
    pub changed_at: Micros,
    /// Another one after each change.
    pub etag: String,
}

/// Segments that were made while serving.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedSegments {
    /// Those in force, by name.
    pub in_force: BTreeMap<String, SavedSegment>,
    /// Names of those that were deleted after an instant.
    pub deleted: Vec<String>,
}

/// The log.
pub(crate) fn table() -> TableName {
    TableName::new("ops", "segments")
}

/// Its columns.
pub(crate) fn schema() -> SchemaRef {
    let text = |name| Field::new(name, DataType::Utf8, true);
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    Arc::new(Schema::new(vec![
        text("change_id"),
        Field::new("revision", DataType::Int64, true),
        Field::new("changed_at", instant, true),
        text("changed_by"),
        text("segment"),
        text("title"),
        text("purpose"),
        text("description"),
        text("expression"),
    ]))
}

/// Those in force, and those that were deleted after an instant.
///
/// # Errors
/// What the store and the query report.
pub(crate) async fn all(project: &Project, deleted_after: Option<Micros>) -> Result<SavedSegments> {
    match Table::new(&project.lake, &table()).open(None).await? {
        Some(version) => read(project, version, deleted_after).await,
        None => Ok(SavedSegments::default()),
    }
}

/// The files of segments, and those that were made while serving.
///
/// # Errors
/// InvalidInput if a file has the name of one of those; what the store reports.
pub(crate) async fn with_saved(project: &Project, mut files: Vec<SourceFile>) -> Result<Vec<SourceFile>> {
    for (name, saved) in all(project, None).await?.in_force {
        if let Some(SourceFile { file, .. }) = files.iter().find(|file| file.name == name) {
            return Err(EngineError::invalid(format!(
                "{file}: {} made a segment `{name}` while serving: rename the file, or `tessera segment delete {name}`",
                saved.changed_by
            )));
        }
        files.push(source(&name, &saved.content));
    }
    files.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(files)
}

/// A segment as a file would have it.
pub(crate) fn source(name: &str, content: &SegmentContent) -> SourceFile {
    let SegmentContent { title, purpose, description, expression } = content;
    let header = [("title", title), ("purpose", purpose), ("description", description)];
    let header = header.map(|(key, value)| value.as_ref().map(|value| format!("-- {key}: {value}\n")));
    let text = header.into_iter().flatten().chain([expression.clone()]).collect();
    SourceFile { name: name.to_owned(), file: format!("saved segment {name}"), text }
}

/// Changes the segment `name` to what `decide` makes of those in force, or deletes it if that is nothing. `decide` is asked
/// again when somebody else was first.
///
/// # Errors
/// What `decide` refuses; Conflict if others write all the time; what the store reports.
pub(crate) async fn change(
    project: &Project,
    name: &str,
    changed_by: &str,
    changed_at: Micros,
    decide: impl Fn(&BTreeMap<String, SavedSegment>) -> Result<Option<SegmentContent>>,
) -> Result<SavedSegment> {
    let log = Table::new(&project.lake, &table());
    log.create_if_absent(&schema(), &[]).await?;
    for _ in 0..limits::COMMIT_ATTEMPTS_MAX {
        let version = log.open(None).await?.ok_or_else(|| EngineError::internal("the log of segments is not there"))?;
        let revision = version.number + 1;
        let content = decide(&read(project, version, None).await?.in_force)?;
        let etag = ids::change_id();
        let row = row(&etag, revision, name, content.as_ref(), changed_by, changed_at)?;
        let mut writer = FileWriter::new(&project.lake, &table(), &etag, 0, &schema(), &[]);
        writer.write(&row).await?;
        if log.append_as(revision, &writer.finish().await?).await? {
            let (name, changed_by) = (name.to_owned(), changed_by.to_owned());
            return Ok(SavedSegment { name, content: content.unwrap_or_default(), changed_by, changed_at, etag });
        }
    }
    Err(EngineError::new(ErrorKind::Conflict, "segments are being changed by too many others: try again"))
}

fn row(
    etag: &str,
    revision: u64,
    name: &str,
    content: Option<&SegmentContent>,
    changed_by: &str,
    changed_at: Micros,
) -> Result<RecordBatch> {
    let one = |value: Option<&str>| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let of_content = |value: fn(&SegmentContent) -> Option<&str>| one(content.and_then(value));
    let columns: Vec<ArrayRef> = vec![
        one(Some(etag)),
        Arc::new(Int64Array::from(vec![i64::try_from(revision).ok()])),
        Arc::new(TimestampMicrosecondArray::from(vec![changed_at]).with_timezone("UTC")),
        one(Some(changed_by)),
        one(Some(name)),
        of_content(|content| content.title.as_deref()),
        of_content(|content| content.purpose.as_deref()),
        of_content(|content| content.description.as_deref()),
        of_content(|content| Some(&content.expression)),
    ];
    Ok(RecordBatch::try_new(schema(), columns)?)
}

async fn read(project: &Project, version: Version, deleted_after: Option<Micros>) -> Result<SavedSegments> {
    let session = project.session()?;
    session.register_table(LOG, Arc::new(Scan::new(&project.lake, version)))?;
    let (mut saved, mut seen) = (SavedSegments::default(), BTreeSet::new());
    for batch in session.sql(NEWEST_FIRST).await?.collect().await? {
        let texts = |column: usize| text(batch.column(column));
        let [names, titles, purposes, descriptions] = [texts(0)?, texts(1)?, texts(2)?, texts(3)?];
        let [expressions, changed_by, etags] = [texts(4)?, texts(5)?, texts(7)?];
        let changed_at = batch.column(6).as_primitive::<TimestampMicrosecondType>();
        let owned = |texts: &StringViewArray, row: usize| texts.is_valid(row).then(|| texts.value(row).to_owned());
        for row in 0..batch.num_rows() {
            let name = names.value(row).to_owned();
            if !seen.insert(name.clone()) {
                continue;
            }
            let changed_at = changed_at.value(row);
            let Some(expression) = owned(&expressions, row) else {
                saved.deleted.extend(deleted_after.is_some_and(|after| changed_at > after).then_some(name));
                continue;
            };
            let [title, purpose, description] = [&titles, &purposes, &descriptions].map(|texts| owned(texts, row));
            let content = SegmentContent { title, purpose, description, expression };
            let (changed_by, etag) = (changed_by.value(row).to_owned(), etags.value(row).to_owned());
            saved.in_force.insert(name.clone(), SavedSegment { name, content, changed_by, changed_at, etag });
        }
    }
    Ok(saved)
}
