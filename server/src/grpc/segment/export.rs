//! The members of a segment as a file.

use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use tessera_engine::{EngineError, ErrorKind};
use tessera_proto::v1;
use tonic::Status;

use super::super::convert::generation;
use super::super::status::{invalid_field, to_status};
use super::{Segments, count};
use crate::encode::{self, FileFormat};

/// Pieces of a file.
pub(crate) type Export = BoxStream<'static, Result<v1::ExportSegmentMembersResponse, Status>>;

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
        let engine = &self.0.engine;
        if !request.url.is_empty() && !engine.config().serve.allows_export_to(&request.url) {
            let message = "the URL is under none of those that `export_to` in [serve] of tessera.toml allows";
            return Err(invalid_field("url", "INPUT_INVALID", message));
        }
        encode::check_url(&request.url).map_err(|error| invalid_field("url", "INPUT_INVALID", error.to_string()))?;
        let snapshot = self.0.newest().await?;
        self.segment(&snapshot, &request.segment).await?;
        let result = engine.export_members(&snapshot, &request.segment, &request.columns, self.0.limits).await;
        let result = result.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::InvalidInput => {
                invalid_field("columns", "INPUT_INVALID", error.to_string())
            }
            _ => to_status(error),
        })?;
        let generation = generation(&snapshot);
        let pieces = encode::pieces(result, format).map_err(unwritable)?;
        if request.url.is_empty() {
            let piece =
                move |data: Bytes| v1::ExportSegmentMembersResponse { generation, data: data.into(), written_bytes: 0 };
            // A file may have no bytes, and of which generation it is shall be told all the same.
            let first = futures::stream::iter([Ok(piece(Bytes::new()))]);
            return Ok(first.chain(pieces.map_ok(piece).map_err(unwritable)).boxed());
        }
        let written = encode::write(engine, &request.url, pieces).await.map_err(to_status)?;
        let written = v1::ExportSegmentMembersResponse { generation, data: Vec::new(), written_bytes: count(written) };
        Ok(futures::stream::iter([Ok(written)]).boxed())
    }
}

fn unwritable(error: anyhow::Error) -> Status {
    to_status(error.downcast::<EngineError>().unwrap_or_else(encode::unwritable))
}
