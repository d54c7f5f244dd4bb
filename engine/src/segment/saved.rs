//! Saved segments, which are kept in the lake: the log `ops.segments`, a row for each change. The last row of a name says what
//! is in force.
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
use crate::expression::{self, SourceFile};
use crate::ids;
use crate::limits;
use crate::project::{Project, log};
use crate::query::functions::text;
use crate::store::TableName;
use crate::store::delta::{Table, Version};

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

impl SegmentContent {
    /// The first of title, purpose and description that is not one line, or too long, and what is wrong with it: they are
    /// kept as the header of a file.
    pub fn wrong_words(&self) -> Option<(&'static str, EngineError)> {
        let words = [("title", &self.title), ("purpose", &self.purpose), ("description", &self.description)];
        words.into_iter().find_map(|(name, text)| {
            let text = text.as_ref()?;
            let is_line = !text.trim().is_empty() && !text.contains(['\n', '\r']);
            let problem = match is_line {
                false => "must be one line, or left out".to_owned(),
                true if text.len() > limits::SEGMENT_WORDS_BYTES_MAX => {
                    format!("may have at most {} bytes", limits::SEGMENT_WORDS_BYTES_MAX)
                }
                true => return None,
            };
            Some((name, EngineError::invalid(format!("the {name} {problem}"))))
        })
    }

    /// The same with the expression as a generation has it: without blanks and semicolons around it.
    #[must_use]
    pub(crate) fn trimmed(&self) -> Self {
        let expression = self.expression.trim_start().trim_end_matches(|end: char| end.is_whitespace() || end == ';');
        Self { expression: expression.to_owned(), ..self.clone() }
    }
}

/// A saved segment.
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

impl SavedSegment {
    /// Whether `evaluated`, the expression that a generation has of it, is what it says now. One that was saved with blanks
    /// or comments around it has none there.
    pub fn is_evaluated_as(&self, evaluated: &str) -> bool {
        let now = expression::read_segment_header(&source(&self.name, &self.content));
        now.is_ok_and(|now| now.sql == evaluated)
    }
}

/// Saved segments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedSegments {
    /// Those in force, by name.
    pub in_force: BTreeMap<String, SavedSegment>,
    /// Names of those that were deleted after an instant.
    pub deleted: Vec<String>,
}

/// Refuses a name that segments cannot have.
///
/// # Errors
/// InvalidInput.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let nothing = SourceFile { name: name.to_owned(), file: "the name".to_owned(), text: String::new() };
    expression::read_segment_header(&nothing).map(drop)
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

/// The files of segments, and saved ones.
///
/// # Errors
/// InvalidInput if a file has the name of one of those; what the store reports.
pub(crate) async fn with_saved(project: &Project, mut files: Vec<SourceFile>) -> Result<Vec<SourceFile>> {
    for (name, saved) in all(project, None).await?.in_force {
        if let Some(SourceFile { file, .. }) = files.iter().find(|file| file.name == name) {
            return Err(EngineError::invalid(format!(
                "{file}: {} made a segment `{name}` with `tessera segment create` or a call: rename the file, or `tessera segment delete {name}`",
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
    for _ in 0..limits::COMMIT_ATTEMPTS_MAX {
        let version = log::open(project, &table(), &schema()).await?;
        let content = decide(&read(project, version.clone(), None).await?.in_force)?;
        let etag = ids::change_id();
        let row = row(&etag, version.number + 1, name, content.as_ref(), changed_by, changed_at)?;
        if log::append(project, version, &etag, &row).await? {
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
    let session = log::session(project, version)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(expression: &str) -> SavedSegment {
        let title = Some("Big spenders".to_owned());
        SavedSegment {
            name: "big".to_owned(),
            content: SegmentContent { title, expression: expression.to_owned(), ..SegmentContent::default() },
            changed_by: "ada".to_owned(),
            changed_at: 0,
            etag: "1".to_owned(),
        }
    }

    #[test]
    fn test_what_surrounds_an_expression_does_not_make_it_another_one() {
        for same in ["spent > 5", " spent > 5\n", "spent > 5;", "\nspent > 5 ; ", "-- only for people\nspent > 5\r\n"] {
            assert!(saved(same).is_evaluated_as("spent > 5"), "{same:?}");
        }
        assert!(!saved("spent > 6").is_evaluated_as("spent > 5"));
        for around in ["spent > 5", " spent > 5\n", "spent > 5 ; ", "\tspent > 5;\n"] {
            assert_eq!(saved(around).content.trimmed().expression, "spent > 5", "{around:?}");
        }
    }

    #[test]
    fn test_words_for_people_are_one_line_each() {
        let wrong = |content: SegmentContent| content.wrong_words().map(|(field, _)| field);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(wrong(SegmentContent { title: some("Big"), ..SegmentContent::default() }), None);
        assert_eq!(wrong(SegmentContent { title: some(" "), ..SegmentContent::default() }), Some("title"));
        let long = "d".repeat(limits::SEGMENT_WORDS_BYTES_MAX + 1);
        assert_eq!(
            wrong(SegmentContent { description: some(&long), ..SegmentContent::default() }),
            Some("description")
        );
        assert_eq!(wrong(SegmentContent { purpose: some("a\rb"), ..SegmentContent::default() }), Some("purpose"));
        assert_eq!(
            wrong(SegmentContent { description: some("a\nb"), ..SegmentContent::default() }),
            Some("description")
        );
        assert!(check_name("big-spenders_2").is_ok());
        assert!(
            check_name("Big Spenders").unwrap_err().to_string().contains("segment name `Big Spenders` may hold only")
        );
    }
}
