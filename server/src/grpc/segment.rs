//! `SegmentService`.
//!
//! * [`saved`] are segments that calls make.
//! * [`export`] makes files of members.
//! * [`lists`] takes lists of identifiers.
//! * [`personas`] divides members into groups.

mod export;
mod lists;
mod personas;
mod saved;

use std::sync::Arc;

use prost::Message;
use tessera_engine::{Breakdown, ComparedColumn, ErrorKind, Snapshot};
use tessera_proto::v1;
use tessera_proto::v1::segment_service_server::SegmentService;
use tonic::{Code, Request, Response, Status, Streaming};

use super::Reader;
use super::call::{answered, streamed};
use super::convert::{generation, rows, timestamp};
use super::page_token::{PageToken, fitting, page_size};
use super::status::{invalid_field, to_status, with_reason};
use crate::segments::lifts;

const SEGMENT: &str = "select segment from segment.segments where segment = $1";
const CHANGES: &str = "select generation, change, profile_id, at from segment.changes
    where segment = $1 and generation >= cast($2 as bigint)
        and (generation > cast($2 as bigint) or change > $3 or (change = $3 and profile_id > $4))
    order by generation, change, profile_id";
/// Any segment that a generation had.
const EVER: &str = "select segment from segment.sizes where segment = $1 limit 1";
const LISTING: &str = "segments";
/// The most examples of an estimate.
const PREVIEW_MAX: usize = 100;
/// The most segments that are compared at once.
const COMPARED_MAX: usize = 20;
/// The most columns that people are divided by at once.
const COLUMNS_MAX: usize = 20;

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
            required("segment", &request.segment)?;
            let snapshot = self.0.newest().await?;
            let mut all = self.all(&snapshot).await?;
            let mut segment = all.remove(&request.segment).ok_or_else(|| not_found(&request.segment))?;
            let reading = self.0.engine.read_segment(&snapshot, &segment.expression).await.map_err(to_status)?;
            (segment.words, segment.sql) = (reading.words, reading.sql);
            Ok(v1::GetSegmentResponse { generation: generation(&snapshot), segment: Some(segment) })
        };
        answered("SegmentService/GetSegment", work).await
    }

    async fn create_segment(
        &self,
        request: Request<v1::CreateSegmentRequest>,
    ) -> Result<Response<v1::CreateSegmentResponse>, Status> {
        answered("SegmentService/CreateSegment", self.create(request.into_inner())).await
    }

    async fn update_segment(
        &self,
        request: Request<v1::UpdateSegmentRequest>,
    ) -> Result<Response<v1::UpdateSegmentResponse>, Status> {
        answered("SegmentService/UpdateSegment", self.update(request.into_inner())).await
    }

    async fn delete_segment(
        &self,
        request: Request<v1::DeleteSegmentRequest>,
    ) -> Result<Response<v1::DeleteSegmentResponse>, Status> {
        answered("SegmentService/DeleteSegment", self.delete(request.into_inner())).await
    }

    async fn upload_list(
        &self,
        request: Request<Streaming<v1::UploadListRequest>>,
    ) -> Result<Response<v1::UploadListResponse>, Status> {
        answered("SegmentService/UploadList", self.upload(request.into_inner())).await
    }

    async fn delete_list(
        &self,
        request: Request<v1::DeleteListRequest>,
    ) -> Result<Response<v1::DeleteListResponse>, Status> {
        answered("SegmentService/DeleteList", self.delete_list(request.into_inner())).await
    }

    async fn estimate_segment(
        &self,
        request: Request<v1::EstimateSegmentRequest>,
    ) -> Result<Response<v1::EstimateSegmentResponse>, Status> {
        answered("SegmentService/EstimateSegment", self.estimate(request.into_inner())).await
    }

    async fn compare_segments(
        &self,
        request: Request<v1::CompareSegmentsRequest>,
    ) -> Result<Response<v1::CompareSegmentsResponse>, Status> {
        answered("SegmentService/CompareSegments", self.compare(request.into_inner())).await
    }

    async fn find_personas(
        &self,
        request: Request<v1::FindPersonasRequest>,
    ) -> Result<Response<v1::FindPersonasResponse>, Status> {
        answered("SegmentService/FindPersonas", self.personas(request.into_inner())).await
    }

    async fn list_segment_members(
        &self,
        request: Request<v1::ListSegmentMembersRequest>,
    ) -> Result<Response<v1::ListSegmentMembersResponse>, Status> {
        answered("SegmentService/ListSegmentMembers", self.members(request.into_inner())).await
    }

    async fn list_segment_changes(
        &self,
        request: Request<v1::ListSegmentChangesRequest>,
    ) -> Result<Response<v1::ListSegmentChangesResponse>, Status> {
        answered("SegmentService/ListSegmentChanges", self.changes(request.into_inner())).await
    }

    type ExportSegmentMembersStream = export::Export;

    async fn export_segment_members(
        &self,
        request: Request<v1::ExportSegmentMembersRequest>,
    ) -> Result<Response<Self::ExportSegmentMembersStream>, Status> {
        streamed("SegmentService/ExportSegmentMembers", self.export(request.into_inner())).await
    }
}

impl Segments {
    async fn list(&self, request: v1::ListSegmentsRequest) -> Result<v1::ListSegmentsResponse, Status> {
        let size = page_size(request.page_size, 100, 1_000)?;
        let token = PageToken::open(&request.page_token, LISTING)?;
        let snapshot = self.pinned(token.as_ref()).await?;
        let after = token.map(|token| token.last).unwrap_or_default();
        let all = self.all(&snapshot).await?.into_values();
        let mut segments: Vec<v1::Segment> = all.filter(|segment| segment.segment > after).take(size + 1).collect();
        let size = fitting(segments.iter().map(Message::encoded_len), size);
        let next_page_token = next_token(&snapshot, LISTING, &mut segments, size, |segment| &segment.segment);
        Ok(v1::ListSegmentsResponse { generation: generation(&snapshot), segments, next_page_token })
    }

    /// Refuses a name that no segment of the generation has.
    async fn segment(&self, snapshot: &Arc<Snapshot>, name: &str) -> Result<(), Status> {
        required("segment", name)?;
        let batches = self.0.rows(snapshot, SEGMENT, &[name]).await?;
        rows(&batches).next().map(drop).ok_or_else(|| not_found(name))
    }

    async fn estimate(&self, request: v1::EstimateSegmentRequest) -> Result<v1::EstimateSegmentResponse, Status> {
        let preview =
            usize::try_from(request.preview_size).ok().filter(|&size| size <= PREVIEW_MAX).ok_or_else(|| {
                invalid_field("preview_size", "INPUT_INVALID", format!("must be from 0 to {PREVIEW_MAX}"))
            })?;
        columns_asked("breakdown_by", &request.breakdown_by)?;
        let snapshot = self.0.newest().await?;
        let v1::EstimateSegmentRequest { expression, breakdown_by, .. } = request;
        let engine = &self.0.engine;
        let estimate = engine.estimate_segment(&snapshot, &expression, preview, &breakdown_by, self.0.limits).await;
        let estimate = estimate.map_err(|error| match error.kind() {
            ErrorKind::InvalidInput => invalid_field("expression", "EXPRESSION_INVALID", error.to_string()),
            ErrorKind::NotFound => invalid_field("breakdown_by", "INPUT_INVALID", error.to_string()),
            _ => to_status(error),
        })?;
        Ok(v1::EstimateSegmentResponse {
            generation: generation(&snapshot),
            size: count(estimate.size),
            profile_count: count(estimate.profile_count),
            preview_profile_ids: estimate.preview,
            words: estimate.reading.words,
            sql: estimate.reading.sql,
            breakdowns: estimate.breakdowns.into_iter().map(breakdown).collect(),
            hints: estimate.hints,
        })
    }

    async fn compare(&self, request: v1::CompareSegmentsRequest) -> Result<v1::CompareSegmentsResponse, Status> {
        let v1::CompareSegmentsRequest { segments, columns } = request;
        if !(2..=COMPARED_MAX).contains(&segments.len()) {
            let message = format!("give from 2 to {COMPARED_MAX} segments");
            return Err(invalid_field("segments", "INPUT_INVALID", message));
        }
        columns_asked("columns", &columns)?;
        let snapshot = self.0.newest().await?;
        for name in &segments {
            self.segment(&snapshot, name).await?;
        }
        let compared = self.0.engine.compare_segments(&snapshot, &segments, &columns, self.0.limits).await;
        let compared = compared.map_err(|error| match error.kind() {
            ErrorKind::NotFound => invalid_field("columns", "INPUT_INVALID", error.to_string()),
            _ => to_status(error),
        })?;
        let overlap = |(place, segment): (usize, String)| v1::SegmentOverlap {
            segment,
            size: count(compared.sizes[place]),
            shared: compared.overlaps[place].iter().copied().map(count).collect(),
            only: count(compared.only[place]),
        };
        let column = |column: &ComparedColumn| compared_column(column, &compared.sizes, compared.profile_count);
        Ok(v1::CompareSegmentsResponse {
            generation: generation(&snapshot),
            overlaps: segments.into_iter().enumerate().map(overlap).collect(),
            union_size: count(compared.any),
            intersection_size: count(compared.all),
            profile_count: count(compared.profile_count),
            columns: compared.columns.iter().map(column).collect(),
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
        let after = token.map(|token| token.last_read(|ordinal| ordinal.parse().ok())).transpose()?;
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

    async fn changes(&self, request: v1::ListSegmentChangesRequest) -> Result<v1::ListSegmentChangesResponse, Status> {
        let size = page_size(request.page_size, 100, 10_000)?;
        if request.after_generation < 0 {
            let message = "must be a generation, or 0 for all changes";
            return Err(invalid_field("after_generation", "INPUT_INVALID", message));
        }
        let listing = format!("changes of {} after {}", request.segment, request.after_generation);
        let token = PageToken::open(&request.page_token, &listing)?;
        let snapshot = self.pinned(token.as_ref()).await?;
        required("segment", &request.segment)?;
        if token.is_none() && rows(&self.0.rows(&snapshot, EVER, &[&request.segment]).await?).next().is_none() {
            return Err(not_found(&request.segment));
        }
        let [generation_of_last, change_of_last, profile_of_last] = match token {
            Some(token) => token.last_read(change_key)?,
            None => [request.after_generation.to_string(), "~".to_owned(), String::new()], // after all words for changes
        };
        let after = [request.segment.as_str(), &generation_of_last, &change_of_last, &profile_of_last];
        let batches = self.0.rows(&snapshot, &format!("{CHANGES} limit {}", size + 1), &after).await?;
        let mut changes = Vec::new();
        for row in rows(&batches) {
            let (generation, profile_id, change) =
                (row.integer("generation")?, row.text("profile_id")?, row.text("change")?);
            let key = format!("{generation} {change} {profile_id}");
            let is_entry = matches!(change.as_str(), "entered" | "renamed_to");
            let (is_rename, change_time) = (change.starts_with("renamed"), row.time("at")?);
            changes.push((key, v1::SegmentChange { generation, profile_id, is_entry, change_time, is_rename }));
        }
        let next_page_token = next_token(&snapshot, &listing, &mut changes, size, |(key, _)| key);
        let changes = changes.into_iter().map(|(_, change)| change).collect();
        Ok(v1::ListSegmentChangesResponse { generation: generation(&snapshot), changes, next_page_token })
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

/// The generation, the word and the profile of a change, from what a page token says of it; `None` for anything else.
fn change_key(last: &str) -> Option<[String; 3]> {
    let [generation, change, profile] = last.splitn(3, ' ').collect::<Vec<_>>().try_into().ok()?;
    let generation = i64::try_from(generation.parse::<u64>().ok()?).ok()?;
    Some([generation.to_string(), change.to_owned(), profile.to_owned()])
}

fn columns_asked(field: &str, columns: &[String]) -> Result<(), Status> {
    match columns.len() {
        count if count > COLUMNS_MAX => {
            Err(invalid_field(field, "INPUT_INVALID", format!("give at most {COLUMNS_MAX} columns")))
        }
        _ => Ok(()),
    }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn value_counts(values: &[(Option<String>, u64)]) -> Vec<v1::ValueCount> {
    values.iter().map(|(value, people)| v1::ValueCount { value: value.clone(), count: count(*people) }).collect()
}

fn breakdown(breakdown: Breakdown) -> v1::Breakdown {
    let values = value_counts(&breakdown.values);
    v1::Breakdown { column: breakdown.column, values, other_count: count(breakdown.others) }
}

/// `sizes` are the members of each segment.
fn compared_column(column: &ComparedColumn, sizes: &[u64], everybody: u64) -> v1::ColumnComparison {
    let segment = |(place, size): (usize, &u64)| {
        let counts = column.members[place].iter().copied().map(count).collect();
        v1::SegmentColumn { mean: column.means[place], counts, lift: lifts(column, place, *size, everybody) }
    };
    v1::ColumnComparison {
        column: column.column.clone(),
        mean: column.mean,
        values: value_counts(&column.everybody.values),
        segments: sizes.iter().enumerate().map(segment).collect(),
    }
}

/// Refuses a `field` with a name that is not given.
fn required(field: &str, name: &str) -> Result<(), Status> {
    match name {
        "" => Err(invalid_field(field, "INPUT_INVALID", format!("give the {field}'s name"))),
        _ => Ok(()),
    }
}

/// There is no segment of that name.
pub(super) fn not_found(name: &str) -> Status {
    with_reason(
        Code::NotFound,
        "SEGMENT_NOT_FOUND",
        format!("there is no segment `{name}` in the newest generation; a new one needs a refresh"),
    )
}
