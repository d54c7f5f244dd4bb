//! `SegmentService`.

use std::sync::Arc;

use tessera_engine::{ErrorKind, Snapshot};
use tessera_proto::v1;
use tessera_proto::v1::segment_service_server::SegmentService;
use tonic::{Code, Request, Response, Status};

use super::convert::{generation, rows, timestamp};
use super::page_token::{PageToken, page_size};
use super::status::{invalid_field, to_status, with_reason};
use super::{Reader, answered};

const SEGMENTS: &str =
    "select segments.segment, segments.title, segments.purpose, segments.description, segments.expression,
        coalesce(sizes.size, 0) as size
    from segment.segments
    left join (select segment, size from segment.sizes where generation = (select max(generation) from segment.sizes)) sizes
        on sizes.segment = segments.segment";
const LISTING: &str = "segments";
/// The most examples of an estimate.
const PREVIEW_MAX: usize = 100;

/// The service.
#[derive(Debug)]
pub(crate) struct Segments(pub(crate) Reader);

#[tonic::async_trait]
impl SegmentService for Segments {
    async fn list_segments(
        &self,
        request: Request<v1::ListSegmentsRequest>,
    ) -> Result<Response<v1::ListSegmentsResponse>, Status> {
        answered("SegmentService/ListSegments", self.list(request.into_inner())).await
    }

    async fn get_segment(
        &self,
        request: Request<v1::GetSegmentRequest>,
    ) -> Result<Response<v1::GetSegmentResponse>, Status> {
        let request = request.into_inner();
        let work = async {
            let snapshot = self.0.newest().await?;
            let segment = self.segment(&snapshot, &request.segment).await?;
            Ok(v1::GetSegmentResponse { generation: generation(&snapshot), segment: Some(segment) })
        };
        answered("SegmentService/GetSegment", work).await
    }

    async fn estimate_segment(
        &self,
        request: Request<v1::EstimateSegmentRequest>,
    ) -> Result<Response<v1::EstimateSegmentResponse>, Status> {
        answered("SegmentService/EstimateSegment", self.estimate(request.into_inner())).await
    }

    async fn list_segment_members(
        &self,
        request: Request<v1::ListSegmentMembersRequest>,
    ) -> Result<Response<v1::ListSegmentMembersResponse>, Status> {
        answered("SegmentService/ListSegmentMembers", self.members(request.into_inner())).await
    }
}

impl Segments {
    async fn list(&self, request: v1::ListSegmentsRequest) -> Result<v1::ListSegmentsResponse, Status> {
        let size = page_size(request.page_size, 100, 1_000)?;
        let token = PageToken::open(&request.page_token, LISTING)?;
        let snapshot = self.pinned(token.as_ref()).await?;
        let after = token.map(|token| token.last).unwrap_or_default();
        let query = format!("{SEGMENTS} where segments.segment > $1 order by 1 limit {}", size + 1);
        let batches = self.0.rows(&snapshot, &query, &[&after]).await?;
        let mut segments = rows(&batches).map(segment).collect::<Result<Vec<_>, _>>()?;
        let next_page_token = next_token(&snapshot, LISTING, &mut segments, size, |segment| &segment.segment);
        Ok(v1::ListSegmentsResponse { generation: generation(&snapshot), segments, next_page_token })
    }

    async fn segment(&self, snapshot: &Arc<Snapshot>, name: &str) -> Result<v1::Segment, Status> {
        if name.is_empty() {
            return Err(invalid_field("segment", "INPUT_INVALID", "give the segment's name"));
        }
        let batches = self.0.rows(snapshot, &format!("{SEGMENTS} where segments.segment = $1"), &[name]).await?;
        rows(&batches).next().map(segment).transpose()?.ok_or_else(|| not_found(name))
    }

    async fn estimate(&self, request: v1::EstimateSegmentRequest) -> Result<v1::EstimateSegmentResponse, Status> {
        let preview =
            usize::try_from(request.preview_size).ok().filter(|&size| size <= PREVIEW_MAX).ok_or_else(|| {
                invalid_field("preview_size", "INPUT_INVALID", format!("must be from 0 to {PREVIEW_MAX}"))
            })?;
        let snapshot = self.0.newest().await?;
        let estimate = self.0.engine.estimate_segment(&snapshot, &request.expression, preview, self.0.limits).await;
        let estimate = estimate.map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => invalid_field("expression", "EXPRESSION_INVALID", error.to_string()),
            _ => to_status(error),
        })?;
        Ok(v1::EstimateSegmentResponse {
            generation: generation(&snapshot),
            size: i64::try_from(estimate.size).unwrap_or(i64::MAX),
            profile_count: i64::try_from(estimate.profile_count).unwrap_or(i64::MAX),
            preview_profile_ids: estimate.preview,
        })
    }

    async fn members(&self, request: v1::ListSegmentMembersRequest) -> Result<v1::ListSegmentMembersResponse, Status> {
        let size = page_size(request.page_size, 100, 10_000)?;
        let listing = format!("members of {}", request.segment);
        let token = PageToken::open(&request.page_token, &listing)?;
        let snapshot = self.pinned(token.as_ref()).await?;
        if token.is_none() {
            self.segment(&snapshot, &request.segment).await?;
        }
        let after = token.and_then(|token| token.last.parse().ok());
        let listed =
            self.0.engine.segment_members(&snapshot, &request.segment, after, size + 1).await.map_err(to_status)?;
        let mut members: Vec<(String, v1::SegmentMember)> = listed
            .into_iter()
            .map(|member| {
                let enter_time = Some(timestamp(member.entered_at));
                (member.ordinal.to_string(), v1::SegmentMember { profile_id: member.profile_id, enter_time })
            })
            .collect();
        let next_page_token = next_token(&snapshot, &listing, &mut members, size, |(ordinal, _)| ordinal);
        let members = members.into_iter().map(|(_, member)| member).collect();
        Ok(v1::ListSegmentMembersResponse { generation: generation(&snapshot), members, next_page_token })
    }

    /// The generation of the listing's first page.
    async fn pinned(&self, token: Option<&PageToken>) -> Result<Arc<Snapshot>, Status> {
        match token {
            None => self.0.newest().await,
            Some(token) => self.0.engine.snapshot(token.generation).await.map_err(|error| match error.kind() {
                ErrorKind::NotFound => with_reason(
                    Code::FailedPrecondition,
                    "GENERATION_GONE",
                    format!("{error}: begin the listing again, without a page token"),
                ),
                _ => to_status(error),
            }),
        }
    }
}

/// Takes the row that only shows that there is a next page off, and makes the token of that page.
fn next_token<T>(
    snapshot: &Snapshot,
    listing: &str,
    page: &mut Vec<T>,
    size: usize,
    key: impl Fn(&T) -> &String,
) -> String {
    if page.len() <= size {
        return String::new();
    }
    page.truncate(size);
    let last = page.last().map(|last| key(last).clone()).unwrap_or_default();
    PageToken { generation: snapshot.number().unwrap_or_default(), last }.seal(listing)
}

fn segment(row: super::convert::Row<'_>) -> Result<v1::Segment, Status> {
    Ok(v1::Segment {
        segment: row.text("segment")?,
        title: row.text("title")?,
        purpose: row.text("purpose")?,
        description: row.text("description")?,
        expression: row.text("expression")?,
        size: row.integer("size")?,
    })
}

/// There is no segment of that name.
pub(super) fn not_found(name: &str) -> Status {
    with_reason(
        Code::NotFound,
        "SEGMENT_NOT_FOUND",
        format!("there is no segment `{name}` in the newest generation; a new file in segments/ needs a refresh"),
    )
}
