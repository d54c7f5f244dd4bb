//! One person by an identifier or by id: from the indexes if the snapshot has them, otherwise by SQL.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use tokio::time::timeout;

use super::Engine;
use crate::error::{EngineError, Result};
use crate::lookup::{Found, ProfileCard, ProfileKey};
use crate::query::functions::text;
use crate::query::limited::{QueryLimits, too_long};
use crate::snapshot::Snapshot;

const BY_IDENTIFIER: &str = "select profile_id from identity.identities where namespace = $1 and value = $2";
const BY_ID: &str = "select profile_id from profile.profiles where profile_id = $1";
const SUCCESSOR: &str = "select successor_id from identity.aliases where profile_id = $1";
const PROFILE: &str = "select * from profile.profiles where profile_id = $1";
const IDENTIFIERS: &str = "select * from identity.identities where profile_id = $1 order by namespace, value";
const ATTRIBUTES: &str =
    "select * from profile.attributes where profile_id = $1 order by name, is_current desc, updated_at desc, source";
const EVENTS: &str = "select events.event_id, events.source, events.touchpoint, events.event_type, events.event_name,
        events.occurred_at, events.namespace, events.value, events.page_path, events.revenue, events.currency,
        events.properties, events.landed_order
    from staging.events events
    join (select namespace, value from identity.identities where profile_id = $1) identities
        on identities.namespace = events.namespace and identities.value = events.value
    order by events.occurred_at desc, events.landed_order desc";

impl Engine {
    /// The person that `key` names, with the `event_limit` latest events; `None` if there is nobody. The id of a profile
    /// that is no more names its successor.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub async fn profile(
        &self,
        snapshot: &Arc<Snapshot>,
        key: &ProfileKey,
        event_limit: usize,
        limits: QueryLimits,
    ) -> Result<Option<ProfileCard>> {
        let found = self.living_profile(snapshot, key, event_limit, limits).await?;
        if let (None, ProfileKey::ProfileId(profile_id)) = (&found, key)
            && let Some(successor_id) = self.successor(snapshot, profile_id, limits).await?
        {
            return self.living_profile(snapshot, &ProfileKey::ProfileId(successor_id), event_limit, limits).await;
        }
        Ok(found)
    }

    /// The id of the profile that `key` names; `None` if there is nobody. The id of a profile that is no more names its successor.
    ///
    /// # Errors
    /// As [`Engine::execute`].
    pub async fn profile_id(
        &self,
        snapshot: &Arc<Snapshot>,
        key: &ProfileKey,
        limits: QueryLimits,
    ) -> Result<Option<String>> {
        match key {
            ProfileKey::Identifier { namespace, value } => {
                self.first_text(snapshot, BY_IDENTIFIER, &[namespace, value], limits).await
            }
            ProfileKey::ProfileId(profile_id) => match self.first_text(snapshot, BY_ID, &[profile_id], limits).await? {
                Some(living) => Ok(Some(living)),
                None => self.successor(snapshot, profile_id, limits).await,
            },
        }
    }

    /// The first column of the first row of a query, a text.
    async fn first_text(
        &self,
        snapshot: &Arc<Snapshot>,
        query: &str,
        parameters: &[&str],
        limits: QueryLimits,
    ) -> Result<Option<String>> {
        let found = self.rows(snapshot, query, parameters, limits).await?;
        let Some(batch) = found.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
        Ok(Some(text(batch.column(0))?.value(0).to_owned()))
    }

    /// The profile that has the anchor of one that is no more.
    async fn successor(
        &self,
        snapshot: &Arc<Snapshot>,
        profile_id: &str,
        limits: QueryLimits,
    ) -> Result<Option<String>> {
        if !snapshot.has_table("identity", "aliases") {
            return Ok(None); // a generation of before there were any
        }
        self.first_text(snapshot, SUCCESSOR, &[profile_id], limits).await
    }

    async fn living_profile(
        &self,
        snapshot: &Arc<Snapshot>,
        key: &ProfileKey,
        event_limit: usize,
        limits: QueryLimits,
    ) -> Result<Option<ProfileCard>> {
        let found = self.found(snapshot, key, event_limit, limits).await?;
        let Some(mut card) = found else { return Ok(None) };
        let of_snapshot = Arc::clone(snapshot);
        let memberships = self.cpu.run(async move { of_snapshot.memberships().await }).await?;
        card.segments = memberships.rows_of(&card.profile_id, ordinal_of(&card)?)?;
        Ok(Some(card))
    }

    async fn found(
        &self,
        snapshot: &Arc<Snapshot>,
        key: &ProfileKey,
        event_limit: usize,
        limits: QueryLimits,
    ) -> Result<Option<ProfileCard>> {
        if let Some(lookup) = snapshot.lookup() {
            let key = key.clone();
            let found = self.cpu.run(async move {
                let found = lookup.card(&key, event_limit);
                match limits.time {
                    Some(time) => timeout(time, found).await.map_err(|_| too_long(time))?,
                    None => found.await,
                }
            });
            match found.await? {
                Found::Card(card) => return Ok(Some(card)),
                Found::Nobody => return Ok(None),
                Found::TooMuch => {}
            }
        }
        self.profile_by_sql(snapshot, key, event_limit, limits).await
    }

    async fn profile_by_sql(
        &self,
        snapshot: &Arc<Snapshot>,
        key: &ProfileKey,
        event_limit: usize,
        limits: QueryLimits,
    ) -> Result<Option<ProfileCard>> {
        let profile_id = match key {
            ProfileKey::ProfileId(profile_id) => profile_id.clone(),
            ProfileKey::Identifier { namespace, value } => {
                let found = self.first_text(snapshot, BY_IDENTIFIER, &[namespace, value], limits).await?;
                let Some(profile_id) = found else { return Ok(None) };
                profile_id
            }
        };
        let parameters = [profile_id.as_str()];
        let of_profile = |query| self.rows(snapshot, query, &parameters, limits);
        let latest = format!("{EVENTS} limit {event_limit}");
        let events = async { if event_limit == 0 { Ok(Vec::new()) } else { of_profile(&latest).await } };
        let (profile, identifiers, attributes, events) =
            tokio::try_join!(of_profile(PROFILE), of_profile(IDENTIFIERS), of_profile(ATTRIBUTES), events)?;
        if profile.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(None);
        }
        Ok(Some(ProfileCard { profile_id, profile, identifiers, attributes, segments: Vec::new(), events }))
    }
}

/// The ordinal by which segments know a person.
fn ordinal_of(card: &ProfileCard) -> Result<u32> {
    let column = card.identifiers.first().and_then(|rows| rows.column_by_name("profile_ordinal"));
    let ordinal = column.and_then(|column| column.as_primitive_opt::<Int64Type>()?.values().first().copied());
    let ordinal = ordinal.and_then(|ordinal| u32::try_from(ordinal).ok());
    ordinal.ok_or_else(|| EngineError::internal("a profile has no ordinal"))
}
