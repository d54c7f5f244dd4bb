//! Uploaded lists of identifiers, which are kept in the lake. The next refresh knows them.

use std::sync::Arc;

use super::Engine;
use crate::error::{EngineError, ErrorKind, Result};
use crate::expression::{self, lists_used};
use crate::limits::LIST_BYTES_MAX;
use crate::refresh::{list_log, lists};
use crate::segment::{self, saved};

/// What is on a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListSummary {
    /// Different identifiers.
    pub identifiers: u64,
    /// Values that are no identifiers: blocked, or not of their namespace.
    pub dropped: u64,
}

impl Engine {
    /// The most bytes of a list that is uploaded.
    pub const LIST_BYTES_MAX: usize = LIST_BYTES_MAX;

    /// Refuses a name that lists cannot have.
    ///
    /// # Errors
    /// InvalidInput.
    pub fn check_list_name(name: &str) -> Result<()> {
        lists::check_name(name)
    }

    /// Makes the list `name`, or puts another in its place: a CSV text whose header names namespaces. `uploaded_by` is kept for
    /// whoever asks.
    ///
    /// # Errors
    /// InvalidInput with a line for a text that cannot be used; AlreadyExists if a file of the project is called the same;
    /// Exhausted for a text of more than 64 MiB.
    pub async fn upload_list(&self, name: &str, content: Vec<u8>, uploaded_by: &str) -> Result<ListSummary> {
        if uploaded_by.trim().is_empty() {
            return Err(EngineError::invalid("say who uploads the list"));
        }
        if content.len() > LIST_BYTES_MAX {
            let message = format!("a list has at most {} MiB: cut it into several", LIST_BYTES_MAX >> 20);
            return Err(EngineError::new(ErrorKind::Exhausted, message));
        }
        self.check_lake().await?;
        let (project, now) = (Arc::clone(&self.project), self.clock().now());
        let (name, uploaded_by) = (name.to_owned(), uploaded_by.to_owned());
        let uploading = async move {
            lists::check_name(&name)?;
            lists::check_no_file(&project.folder, &name)?;
            let list = lists::parse_text(&name, &content, &project.config.identity)?;
            let content = std::str::from_utf8(&content).map_err(|_| EngineError::internal("a list is not UTF-8"))?;
            list_log::append(&project, &name, Some(content), &uploaded_by, now).await?;
            Ok(ListSummary { identifiers: list.identifiers.len() as u64, dropped: list.dropped })
        };
        self.cpu.run(uploading).await
    }

    /// Deletes a list that was uploaded.
    ///
    /// # Errors
    /// NotFound if there is none; FailedPrecondition if a segment names it.
    pub async fn delete_list(&self, name: &str, deleted_by: &str) -> Result<()> {
        if deleted_by.trim().is_empty() {
            return Err(EngineError::invalid("say who deletes the list"));
        }
        let snapshot = self.reload().await?;
        let (project, now) = (Arc::clone(&self.project), self.clock().now());
        let (name, deleted_by) = (name.to_owned(), deleted_by.to_owned());
        let deleting = async move {
            if !list_log::in_force(&project).await?.contains_key(&name) {
                return Err(EngineError::not_found(format!("no list `{name}` was uploaded")));
            }
            let files = saved::with_saved(&project, expression::load(&project.folder, "segments")?).await?;
            if snapshot.number().is_some() {
                let segments = segment::parse(snapshot.session(), &files).await?;
                if let Some(needing) = segments.iter().find(|segment| lists_used(&segment.expression).contains(&name)) {
                    let message = format!("segment `{}` names list `{name}`: change it first", needing.name);
                    return Err(EngineError::failed_precondition(message));
                }
            }
            list_log::append(&project, &name, None, &deleted_by, now).await
        };
        self.cpu.run(deleting).await
    }
}
