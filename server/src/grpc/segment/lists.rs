//! Lists of identifiers that calls upload.

use tessera_engine::{Engine, ErrorKind};
use tessera_proto::v1;
use tonic::{Status, Streaming};

use super::{Segments, count, required};
use crate::grpc::status::{invalid_field, said, to_status};

impl Segments {
    /// Keeps a list that comes in pieces, the first of which says its name and who uploads it.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, naming the field, if the first piece does not, if a later one says otherwise, or if the text is no
    /// list; what the engine reports.
    pub(super) async fn upload(
        &self,
        mut pieces: Streaming<v1::UploadListRequest>,
    ) -> Result<v1::UploadListResponse, Status> {
        let Some(first) = pieces.message().await? else {
            return Err(invalid_field("list", "INPUT_INVALID", "send the list's name in the first message"));
        };
        let v1::UploadListRequest { list, uploaded_by, data: mut content } = first;
        required("list", &list)?;
        Engine::check_list_name(&list).map_err(|error| invalid_field("list", "INPUT_INVALID", error.to_string()))?;
        said("uploaded_by", &uploaded_by)?;
        while let Some(piece) = pieces.message().await? {
            goes_on("list", &piece.list, &list)?;
            goes_on("uploaded_by", &piece.uploaded_by, &uploaded_by)?;
            content.extend(piece.data);
            if content.len() > Engine::LIST_BYTES_MAX {
                break; // it is refused, and nobody should have all of it in memory first
            }
        }
        let uploaded = self.0.engine.upload_list(&list, content, &uploaded_by).await;
        let uploaded = uploaded.map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => invalid_field("data", "LIST_INVALID", error.to_string()),
            _ => to_status(error),
        })?;
        Ok(v1::UploadListResponse {
            identifier_count: count(uploaded.identifiers),
            dropped_count: count(uploaded.dropped),
        })
    }

    /// Deletes a list.
    ///
    /// # Errors
    /// INVALID_ARGUMENT, naming the field, if one is missing; what the engine reports.
    pub(super) async fn delete_list(&self, request: v1::DeleteListRequest) -> Result<v1::DeleteListResponse, Status> {
        required("list", &request.list)?;
        said("deleted_by", &request.deleted_by)?;
        self.0.engine.delete_list(&request.list, &request.deleted_by).await.map_err(to_status)?;
        Ok(v1::DeleteListResponse {})
    }
}

/// Refuses a later piece whose `field` says something else than that of the first.
fn goes_on(field: &str, of_piece: &str, of_first: &str) -> Result<(), Status> {
    if of_piece.is_empty() || of_piece == of_first {
        return Ok(());
    }
    let message = "a later message says something else than the first: upload one list a call, and say this in its first message only";
    Err(invalid_field(field, "INPUT_INVALID", message))
}
