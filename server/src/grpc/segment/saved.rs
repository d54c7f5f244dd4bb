//! Segments that calls make: creating, changing and deleting them, and how listings show them.

use std::collections::BTreeMap;
use std::sync::Arc;

use tessera_engine::{Engine, EngineError, ErrorKind, SavedSegment, SegmentContent, Snapshot};
use tessera_proto::v1;
use tonic::{Code, Status};

use super::super::convert::timestamp;
use super::super::status::{invalid_field, said, to_status};
use super::{Segments, not_found, required};
use crate::segments::{self, LastChange, ListedSegment};

/// The fields of a segment that a call may change.
const CHANGEABLE: [&str; 4] = ["title", "purpose", "description", "expression"];
/// How often a call without an etag is tried while others change the segment.
const ATTEMPTS_MAX: usize = 20;
/// No segment has it.
const NO_ETAG: &str = "";

impl Segments {
    pub(super) async fn create(&self, request: v1::CreateSegmentRequest) -> Result<v1::CreateSegmentResponse, Status> {
        let given = named(request.segment)?;
        said("created_by", &request.created_by)?;
        let content = content(&given);
        check_words(&given.segment, &content)?;
        let saved = self.0.engine.create_segment(&given.segment, content, &request.created_by).await;
        Ok(v1::CreateSegmentResponse { segment: Some(message(saved.map_err(refused)?.into())) })
    }

    pub(super) async fn update(&self, request: v1::UpdateSegmentRequest) -> Result<v1::UpdateSegmentResponse, Status> {
        let given = named(request.segment)?;
        said("updated_by", &request.updated_by)?;
        let mask = request.update_mask.map(|mask| mask.paths).unwrap_or_default();
        if let Some(unknown) = mask.iter().find(|path| !CHANGEABLE.contains(&path.as_str())) {
            let message = format!("`{unknown}` cannot be changed; {} can", CHANGEABLE.join(", "));
            return Err(invalid_field("update_mask", "INPUT_INVALID", message));
        }
        // What is not in the mask stays as it was read. If somebody changed it since, that is read again, unless the call says
        // which segment it means.
        for _ in 1..ATTEMPTS_MAX {
            match self.update_once(&given, &mask, &request.updated_by).await {
                Err(error) if error.code() == Code::Aborted && given.etag.is_empty() => {}
                updated => return updated,
            }
        }
        self.update_once(&given, &mask, &request.updated_by).await
    }

    async fn update_once(
        &self,
        given: &v1::Segment,
        mask: &[String],
        updated_by: &str,
    ) -> Result<v1::UpdateSegmentResponse, Status> {
        let before = match self.saved_segment(&given.segment).await {
            // A file may define it: the engine says so.
            Err(absent) if absent.code() == Code::NotFound => {
                let content = content(given);
                let updated = self.0.engine.update_segment(&given.segment, content, Some(NO_ETAG), updated_by).await;
                let of_file = updated.err().filter(|error| error.kind() == ErrorKind::AlreadyExists);
                return Err(of_file.map_or(absent, to_status));
            }
            before => before?,
        };
        let changes = |field: &str| mask.is_empty() || mask.iter().any(|path| path == field);
        let (now, then) = (content(given), before.content);
        let content = SegmentContent {
            title: if changes("title") { now.title } else { then.title },
            purpose: if changes("purpose") { now.purpose } else { then.purpose },
            description: if changes("description") { now.description } else { then.description },
            expression: if changes("expression") { now.expression } else { then.expression },
        };
        check_words(&given.segment, &content)?;
        let etag = if given.etag.is_empty() { &before.etag } else { &given.etag };
        let saved = self.0.engine.update_segment(&given.segment, content, Some(etag), updated_by).await;
        Ok(v1::UpdateSegmentResponse { segment: Some(message(saved.map_err(refused)?.into())) })
    }

    pub(super) async fn delete(&self, request: v1::DeleteSegmentRequest) -> Result<v1::DeleteSegmentResponse, Status> {
        required("segment", &request.segment)?;
        said("deleted_by", &request.deleted_by)?;
        let etag = Some(request.etag.as_str()).filter(|etag| !etag.is_empty());
        let deleted = self.0.engine.delete_segment(&request.segment, etag, &request.deleted_by).await;
        deleted.map_err(|error| match error.kind() {
            ErrorKind::NotFound => not_found(&request.segment),
            _ => to_status(error),
        })?;
        Ok(v1::DeleteSegmentResponse {})
    }

    /// All segments by name: those of a generation, and what calls have made of them since.
    pub(super) async fn all(&self, snapshot: &Arc<Snapshot>) -> Result<BTreeMap<String, v1::Segment>, Status> {
        let all = segments::all(&self.0.engine, snapshot, self.0.limits).await.map_err(to_status)?;
        Ok(all.into_iter().map(|(name, segment)| (name, message(segment))).collect())
    }

    async fn saved_segment(&self, name: &str) -> Result<SavedSegment, Status> {
        let mut saved = self.0.engine.saved_segments(None).await.map_err(to_status)?;
        saved.in_force.remove(name).ok_or_else(|| not_found(name))
    }
}

/// A segment as a message, without its reading.
fn message(segment: ListedSegment) -> v1::Segment {
    let SegmentContent { title, purpose, description, expression } = segment.content;
    let (etag, updated_by, update_time) = match segment.last_change {
        Some(LastChange { by, at, etag }) => (etag, by, Some(timestamp(at))),
        None => Default::default(),
    };
    v1::Segment {
        segment: segment.name,
        title: title.unwrap_or_default(),
        purpose: purpose.unwrap_or_default(),
        description: description.unwrap_or_default(),
        expression,
        size: segment.size.unwrap_or_default(),
        etag,
        updated_by,
        update_time,
        is_pending: segment.is_pending,
        ..v1::Segment::default()
    }
}

fn named(segment: Option<v1::Segment>) -> Result<v1::Segment, Status> {
    let segment = segment.unwrap_or_default();
    if segment.segment.is_empty() {
        return Err(invalid_field("segment.segment", "INPUT_INVALID", "give the segment's name"));
    }
    Ok(segment)
}

fn content(segment: &v1::Segment) -> SegmentContent {
    let given = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    SegmentContent {
        title: given(&segment.title),
        purpose: given(&segment.purpose),
        description: given(&segment.description),
        expression: segment.expression.clone(),
    }
}

/// INVALID_ARGUMENT, naming the field, if the name or the words for people cannot be saved.
fn check_words(name: &str, content: &SegmentContent) -> Result<(), Status> {
    let wrong = |field: &str, error: EngineError| {
        invalid_field(&format!("segment.{field}"), "INPUT_INVALID", error.to_string())
    };
    Engine::check_segment_name(name).map_err(|error| wrong("segment", error))?;
    content.wrong_words().map_or(Ok(()), |(field, error)| Err(wrong(field, error)))
}

/// Why a segment is not saved whose name and words are right.
fn refused(error: EngineError) -> Status {
    match error.kind() {
        ErrorKind::InvalidInput => invalid_field("segment.expression", "EXPRESSION_INVALID", error.to_string()),
        _ => to_status(error),
    }
}
