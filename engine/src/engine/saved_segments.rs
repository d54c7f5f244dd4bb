//! Making, changing and deleting saved segments, which are kept in the lake. The next refresh evaluates what was changed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Engine;
use crate::clock::Micros;
use crate::error::{EngineError, ErrorKind, Result};
use crate::expression::{self, ColumnType, SourceFile};
use crate::segment::saved::{SavedSegment, SavedSegments, SegmentContent};
use crate::segment::{self, saved};

impl Engine {
    /// The saved segments: those in force, and those that were deleted after an instant.
    ///
    /// # Errors
    /// What the store reports.
    pub async fn saved_segments(&self, deleted_after: Option<Micros>) -> Result<SavedSegments> {
        let project = Arc::clone(&self.project);
        self.cpu.run(async move { saved::all(&project, deleted_after).await }).await
    }

    /// Refuses a name that segments cannot have.
    ///
    /// # Errors
    /// InvalidInput.
    pub fn check_segment_name(name: &str) -> Result<()> {
        saved::check_name(name)
    }

    /// Makes a segment. `created_by` is kept for whoever asks.
    ///
    /// # Errors
    /// AlreadyExists if there is one of that name, saved or in the project's files; InvalidInput with line and column for
    /// an expression that is wrong; FailedPrecondition before the first refresh, which shows what profiles have, and while
    /// another segment is wrong.
    pub async fn create_segment(&self, name: &str, content: SegmentContent, created_by: &str) -> Result<SavedSegment> {
        self.save_segment(name, Some(content), created_by, Expected::Nothing).await
    }

    /// Changes a saved segment to `content`. With an `etag` only if it is still the one that has it.
    ///
    /// # Errors
    /// NotFound if there is none; Conflict if it has another etag; else as [`Engine::create_segment`].
    pub async fn update_segment(
        &self,
        name: &str,
        content: SegmentContent,
        etag: Option<&str>,
        updated_by: &str,
    ) -> Result<SavedSegment> {
        self.save_segment(name, Some(content), updated_by, Expected::of(etag)).await
    }

    /// Deletes a saved segment. With an `etag` only if it is still the one that has it.
    ///
    /// # Errors
    /// NotFound if there is none; Conflict if it has another etag; FailedPrecondition before the first refresh, if only the
    /// project's files define it, or if another segment names it.
    pub async fn delete_segment(&self, name: &str, etag: Option<&str>, deleted_by: &str) -> Result<()> {
        self.save_segment(name, None, deleted_by, Expected::of(etag)).await?;
        Ok(())
    }

    async fn save_segment(
        &self,
        name: &str,
        content: Option<SegmentContent>,
        changed_by: &str,
        expected: Expected,
    ) -> Result<SavedSegment> {
        if changed_by.trim().is_empty() {
            return Err(EngineError::invalid("say who changes the segment"));
        }
        let snapshot = self.reload().await?;
        snapshot.census()?; // what profiles have is known once they are computed
        self.check_lake().await?;
        let (project, now) = (Arc::clone(&self.project), self.clock().now());
        let (name, changed_by) = (name.to_owned(), changed_by.to_owned());
        let saving = async move {
            let files = expression::load(&project.folder, "segments")?;
            if files.iter().any(|file| file.name == name) {
                let message = format!("segments/{name}.sql of the project defines `{name}`: change it there");
                if content.is_some() {
                    return Err(EngineError::new(ErrorKind::AlreadyExists, message));
                }
                // A saved one stands in the file's way: that may be deleted.
                if !saved::all(&project, None).await?.in_force.contains_key(&name) {
                    return Err(EngineError::failed_precondition(message));
                }
            }
            if let Some(content) = &content {
                check_lines(content)?;
                // All of it together may be longer than a file may be.
                expression::read_segment_header(&saved::source(&name, content))?;
                segment::readings(snapshot.session(), &content.expression, 0).await?;
            }
            let columns = segment::columns(snapshot.session()).await?;
            let decide = |saved: &BTreeMap<String, SavedSegment>| {
                expected.check(saved.get(&name), &name)?;
                let others = saved.values().filter(|saved| saved.name != name);
                let others = others.map(|saved| saved::source(&saved.name, &saved.content));
                let others: Vec<SourceFile> = files.iter().cloned().chain(others).collect();
                check_all(&name, content.as_ref(), others, &columns)?;
                Ok(content.as_ref().map(SegmentContent::trimmed))
            };
            saved::change(&project, &name, &changed_by, now, decide).await
        };
        self.cpu.run(saving).await
    }
}

/// What whoever changes a segment believes that there is.
enum Expected {
    /// None of that name.
    Nothing,
    /// One with this etag.
    One(String),
    /// One, whatever it is.
    Any,
}

impl Expected {
    fn of(etag: Option<&str>) -> Self {
        etag.map_or(Self::Any, |etag| Self::One(etag.to_owned()))
    }

    fn check(&self, saved: Option<&SavedSegment>, name: &str) -> Result<()> {
        match (self, saved) {
            (Self::Nothing, Some(saved)) => Err(EngineError::new(
                ErrorKind::AlreadyExists,
                format!(
                    "there is a segment `{name}`, which {} made: update it, or take another name",
                    saved.changed_by
                ),
            )),
            (Self::One(_) | Self::Any, None) => Err(EngineError::not_found(format!(
                "there is no saved segment `{name}`; those in segments/ are changed there"
            ))),
            (Self::One(etag), Some(saved)) if *etag != saved.etag => {
                let message = format!("{} has changed segment `{name}` since: read it again", saved.changed_by);
                Err(EngineError::new(ErrorKind::Conflict, message))
            }
            _ => Ok(()),
        }
    }
}

/// Whether the segments that `name` names exist, and none names it that is deleted, shows in all of them together.
fn check_all(
    name: &str,
    content: Option<&SegmentContent>,
    others: Vec<SourceFile>,
    columns: &[(String, ColumnType)],
) -> Result<()> {
    let with = |expression: &str| {
        // Without the other words: a line of an error is one of the expression.
        let content = SegmentContent { expression: expression.to_owned(), ..SegmentContent::default() };
        let all: Vec<SourceFile> = others.iter().cloned().chain([saved::source(name, &content)]).collect();
        expression::parse_segments(&all, columns).map(drop)
    };
    let without = expression::parse_segments(&others, columns).map(drop);
    // The others are right if they are alone, or beside one of that name that is right itself.
    let of_others = without.as_ref().err().and_then(|_| with("profile_id is not null").err());
    match (content, of_others) {
        (Some(content), None) => with(&content.expression),
        (Some(content), Some(others)) => with(&content.expression).map_err(|_| {
            EngineError::failed_precondition(format!(
                "another segment is wrong, which has to be mended first: {others}"
            ))
        }),
        (None, None) => {
            without.map_err(|error| EngineError::failed_precondition(format!("`{name}` is needed: {error}")))
        }
        // To delete it may be what mends them.
        (None, Some(_)) => Ok(()),
    }
}

/// What is kept as the header of a file has no line ends, and is not in the expression, too.
fn check_lines(content: &SegmentContent) -> Result<()> {
    if let Some(key) = expression::first_key(&content.expression) {
        let message = format!(
            "the expression begins with a header, `-- {key}: ...`: leave it out, and give what it says by itself"
        );
        return Err(EngineError::invalid(message));
    }
    content.wrong_words().map_or(Ok(()), |(_, error)| Err(error))
}
