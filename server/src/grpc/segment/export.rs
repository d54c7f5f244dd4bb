//! The members of a segment as a file.

use std::pin::Pin;

use futures::{Stream, StreamExt};
use tessera_engine::QueryResult;
use tessera_proto::v1;
use tonic::Status;

use super::super::convert::generation;
use super::super::status::{invalid_field, to_status};
use super::Segments;
use crate::encode::{self, FileFormat};

/// Pieces of a file.
pub(crate) type Export = Pin<Box<dyn Stream<Item = Result<v1::ExportSegmentMembersResponse, Status>> + Send>>;

impl Segments {
    pub(super) async fn export(&self, request: v1::ExportSegmentMembersRequest) -> Result<Export, Status> {
        let format = match request.format() {
            v1::ExportFormat::Csv => FileFormat::Csv,
            v1::ExportFormat::Ndjson => FileFormat::Ndjson,
            v1::ExportFormat::Parquet => FileFormat::Parquet,
            v1::ExportFormat::Unspecified => {
                return Err(invalid_field("format", "INPUT_INVALID", "say which kind of file"));
            }
        };
        let snapshot = self.0.newest().await?;
        self.segment(&snapshot, &request.segment).await?;
        let engine = &self.0.engine;
        let result = engine.export_members(&snapshot, &request.segment, &request.columns, self.0.limits).await;
        let result = result.map_err(|error| match error.kind() {
            tessera_engine::ErrorKind::NotFound => invalid_field("columns", "INPUT_INVALID", error.to_string()),
            _ => to_status(error),
        })?;
        let generation = generation(&snapshot);
        let piece =
            move |data: Result<Vec<u8>, Status>| data.map(|data| v1::ExportSegmentMembersResponse { generation, data });
        Ok(pieces(result, format)?
            .filter(|data| futures::future::ready(!matches!(data, Ok(data) if data.is_empty())))
            .map(piece)
            .boxed())
    }
}

/// The file of an answer in pieces.
fn pieces(
    result: QueryResult,
    format: FileFormat,
) -> Result<impl Stream<Item = Result<Vec<u8>, Status>> + Send, Status> {
    let (encoder, beginning) = encode::begin(format, &result.schema).map_err(unwritable)?;
    let rest = futures::stream::try_unfold((result.batches, Some(encoder)), |(mut batches, encoder)| async move {
        let Some(mut encoder) = encoder else { return Ok(None) };
        match batches.next().await {
            Some(batch) => {
                let data = encoder.encode(&batch.map_err(to_status)?).map_err(unwritable)?;
                Ok(Some((data, (batches, Some(encoder)))))
            }
            None => Ok(Some((encoder.end().map_err(unwritable)?, (batches, None)))),
        }
    });
    Ok(futures::stream::iter([Ok(beginning)]).chain(rest))
}

fn unwritable(error: anyhow::Error) -> Status {
    to_status(tessera_engine::EngineError::invalid(format!("the file cannot be written: {error:#}")))
}
