//! `ProfileService`.

use std::sync::Arc;

use arrow::array::RecordBatch;
use prost::Message;
use tessera_engine::{ErrorKind, ExplainedLink, ProfileCard, ProfileKey, Snapshot};
use tessera_proto::v1;
use tessera_proto::v1::profile_service_server::ProfileService;
use tessera_proto::v1::{get_identity_graph_request, get_profile_request};
use tonic::{Code, Request, Response, Status};

use super::Reader;
use super::call::answered;
use super::convert::{Row, generation, identifier, normalized, rows, timestamp};
use super::status::{invalid_field, to_status, with_reason};

/// The most events of an answer.
const EVENTS_MAX: usize = 1_000;
/// The most bytes of them: clients take 4 MiB in one message, and a profile is more than its events.
const EVENTS_BYTES_MAX: usize = 3 << 20;
/// The most identifiers of an answer, and the most attributes: who has more is a shop's tablet or a mistake, and SQL shows it all.
const PARTS_MAX: usize = 1_000;
/// The most bytes of either.
const PARTS_BYTES_MAX: usize = 256 << 10;
/// Columns of a profile that have fields of their own.
const OWN_FIELDS: [&str; 3] = ["profile_id", "first_seen_at", "last_seen_at"];

/// The service.
#[derive(Debug)]
pub(crate) struct Profiles(pub(crate) Reader);

#[tonic::async_trait]
impl ProfileService for Profiles {
    async fn get_profile(
        &self,
        request: Request<v1::GetProfileRequest>,
    ) -> Result<Response<v1::GetProfileResponse>, Status> {
        answered("ProfileService/GetProfile", self.get(request.into_inner())).await
    }

    async fn explain_identity(
        &self,
        request: Request<v1::ExplainIdentityRequest>,
    ) -> Result<Response<v1::ExplainIdentityResponse>, Status> {
        answered("ProfileService/ExplainIdentity", self.explain(request.into_inner())).await
    }

    async fn get_identity_graph(
        &self,
        request: Request<v1::GetIdentityGraphRequest>,
    ) -> Result<Response<v1::GetIdentityGraphResponse>, Status> {
        answered("ProfileService/GetIdentityGraph", self.graph(request.into_inner())).await
    }
}

impl Profiles {
    async fn get(&self, request: v1::GetProfileRequest) -> Result<v1::GetProfileResponse, Status> {
        let events = usize::try_from(request.event_limit).ok().filter(|&limit| limit <= EVENTS_MAX);
        let events = events
            .ok_or_else(|| invalid_field("event_limit", "INPUT_INVALID", format!("must be from 0 to {EVENTS_MAX}")))?;
        let key = match request.key {
            Some(get_profile_request::Key::ProfileId(profile_id)) => self.key(Some(profile_id), None)?,
            Some(get_profile_request::Key::Identifier(identifier)) => self.key(None, Some(identifier))?,
            None => self.key(None, None)?,
        };
        let snapshot = self.0.newest().await?;
        let card = self.card(&snapshot, &key, events).await?;
        Ok(v1::GetProfileResponse { generation: generation(&snapshot), profile: Some(profile(card)?) })
    }

    async fn graph(&self, request: v1::GetIdentityGraphRequest) -> Result<v1::GetIdentityGraphResponse, Status> {
        let key = match request.key {
            Some(get_identity_graph_request::Key::ProfileId(profile_id)) => self.key(Some(profile_id), None)?,
            Some(get_identity_graph_request::Key::Identifier(identifier)) => self.key(None, Some(identifier))?,
            None => self.key(None, None)?,
        };
        let snapshot = self.0.newest().await?;
        let card = self.card(&snapshot, &key, 0).await?;
        let links =
            self.0.engine.identity_graph(&snapshot, &card.profile_id, self.0.limits).await.map_err(to_status)?;
        Ok(v1::GetIdentityGraphResponse {
            generation: generation(&snapshot),
            profile_id: card.profile_id,
            identifiers: rows(&card.identifiers).map(identifier_of_profile).collect::<Result<_, _>>()?,
            links: links.into_iter().map(link).collect(),
        })
    }

    async fn card(&self, snapshot: &Arc<Snapshot>, key: &ProfileKey, events: usize) -> Result<ProfileCard, Status> {
        let found = self.0.engine.profile(snapshot, key, events, self.0.limits).await.map_err(to_status)?;
        found.ok_or_else(|| {
            with_reason(
                Code::NotFound,
                "PROFILE_NOT_FOUND",
                "nobody in the newest generation has that id or identifier; what landed since needs a refresh",
            )
        })
    }

    fn key(&self, profile_id: Option<String>, identifier: Option<v1::Identifier>) -> Result<ProfileKey, Status> {
        match (profile_id, identifier) {
            (Some(profile_id), _) if !profile_id.is_empty() => Ok(ProfileKey::ProfileId(profile_id)),
            (_, Some(identifier)) if !identifier.namespace.is_empty() => {
                let (namespace, value) = normalized(&self.0.engine, "identifier", Some(&identifier))?;
                Ok(ProfileKey::Identifier { namespace, value })
            }
            _ => Err(invalid_field("key", "INPUT_INVALID", "give `profile_id`, or `identifier` with its namespace")),
        }
    }

    async fn explain(&self, request: v1::ExplainIdentityRequest) -> Result<v1::ExplainIdentityResponse, Status> {
        let engine = &self.0.engine;
        let (a, b) = (normalized(engine, "a", request.a.as_ref())?, normalized(engine, "b", request.b.as_ref())?);
        let snapshot = self.0.newest().await?;
        let explained = self.0.engine.explain(&snapshot, (&a.0, &a.1), (&b.0, &b.1), self.0.limits);
        let explained = explained.await.map_err(|error| match error.kind() {
            ErrorKind::NotFound => with_reason(Code::NotFound, "PROFILE_NOT_FOUND", error.to_string()),
            _ => to_status(error),
        })?;
        let [a_profile_id, b_profile_id] = explained.profile_ids;
        let links = explained.links.into_iter().map(link).collect();
        Ok(v1::ExplainIdentityResponse { generation: generation(&snapshot), a_profile_id, b_profile_id, links })
    }
}

fn link(link: ExplainedLink) -> v1::IdentityLink {
    v1::IdentityLink {
        a: Some(identifier(&link.a)),
        b: Some(identifier(&link.b)),
        first_seen_time: link.first_seen_at.map(timestamp),
        last_seen_time: link.last_seen_at.map(timestamp),
        event_count: link.event_count,
        sources: link.sources,
        dropped_reason: link.dropped_reason,
    }
}

fn profile(card: ProfileCard) -> Result<v1::Profile, Status> {
    let row = rows(&card.profile).next();
    let row = row.ok_or_else(|| with_reason(Code::NotFound, "PROFILE_NOT_FOUND", "the profile has no row"))?;
    Ok(v1::Profile {
        profile_id: card.profile_id.clone(),
        first_seen_time: row.time("first_seen_at")?,
        last_seen_time: row.time("last_seen_at")?,
        traits: Some(row.fields(&OWN_FIELDS)?),
        identifiers: first(&card.identifiers, PARTS_MAX, PARTS_BYTES_MAX, identifier_of_profile)?,
        attributes: first(&card.attributes, PARTS_MAX, PARTS_BYTES_MAX, attribute)?,
        segments: rows(&card.segments).map(segment).collect::<Result<_, _>>()?,
        events: first(&card.events, EVENTS_MAX, EVENTS_BYTES_MAX, event)?,
        identifier_count: count(&card.identifiers),
        attribute_count: count(&card.attributes),
    })
}

fn identifier_of(row: Row<'_>) -> Result<v1::Identifier, Status> {
    Ok(v1::Identifier { namespace: row.text("namespace")?, value: row.text("value")? })
}

fn identifier_of_profile(row: Row<'_>) -> Result<v1::ProfileIdentifier, Status> {
    Ok(v1::ProfileIdentifier {
        identifier: Some(identifier_of(row)?),
        first_seen_time: row.time("first_seen_at")?,
        last_seen_time: row.time("last_seen_at")?,
    })
}

fn attribute(row: Row<'_>) -> Result<v1::ProfileAttribute, Status> {
    Ok(v1::ProfileAttribute {
        name: row.text("name")?,
        value: row.text("attribute")?,
        source: row.text("source")?,
        party: row.text("party")?,
        update_time: row.time("updated_at")?,
        is_current: row.boolean("is_current")?,
    })
}

fn segment(row: Row<'_>) -> Result<v1::ProfileSegment, Status> {
    Ok(v1::ProfileSegment { segment: row.text("segment")?, enter_time: row.time("entered_at")? })
}

/// The first rows as messages, as many as there may be and as fit; the first of all however long it is.
fn first<M: Message>(
    batches: &[RecordBatch],
    count_max: usize,
    bytes_max: usize,
    message: impl Fn(Row<'_>) -> Result<M, Status>,
) -> Result<Vec<M>, Status> {
    let (mut messages, mut bytes) = (Vec::new(), 0);
    for row in rows(batches).take(count_max) {
        let message = message(row)?;
        bytes += message.encoded_len();
        if bytes > bytes_max && !messages.is_empty() {
            break;
        }
        messages.push(message);
    }
    Ok(messages)
}

fn count(batches: &[RecordBatch]) -> i64 {
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn event(row: Row<'_>) -> Result<v1::ProfileEvent, Status> {
    Ok(v1::ProfileEvent {
        event_id: row.text("event_id")?,
        source: row.text("source")?,
        touchpoint: row.text("touchpoint")?,
        event_type: row.text("event_type")?,
        event_name: row.text("event_name")?,
        occur_time: row.time("occurred_at")?,
        identifier: Some(identifier_of(row)?),
        page_path: row.optional_text("page_path")?,
        revenue: row.optional_text("revenue")?,
        currency: row.optional_text("currency")?,
        properties_json: row.optional_text("properties")?,
    })
}
