//! People in segments, and those that an expression selects which is no segment yet.

use std::sync::Arc;

use tokio::time::timeout;

use super::Engine;
use crate::clock::Micros;
use crate::error::Result;
use crate::query::limited::{QueryLimits, too_long};
use crate::segment;
use crate::snapshot::Snapshot;

/// How many people a condition selects, and some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentEstimate {
    /// People whom it selects: an exact count.
    pub size: u64,
    /// People in all.
    pub profile_count: u64,
    /// Ids of some of those selected.
    pub preview: Vec<String>,
}

/// A member of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMember {
    /// By which a listing goes on.
    pub ordinal: u32,
    /// Who.
    pub profile_id: String,
    /// Since when, microseconds since 1970 UTC.
    pub entered_at: Micros,
}

impl Engine {
    /// Counts the people whom a segment's expression selects, without saving it, and names `preview` of them.
    ///
    /// # Errors
    /// InvalidInput with line and column, and the nearest known names, for an expression that is wrong.
    pub async fn estimate_segment(
        &self,
        snapshot: &Arc<Snapshot>,
        expression: &str,
        preview: usize,
        limits: QueryLimits,
    ) -> Result<SegmentEstimate> {
        let _place = self.place().await?;
        let (of_snapshot, expression) = (Arc::clone(snapshot), expression.to_owned());
        let selected = self.cpu.run(async move {
            let census = of_snapshot.census()?;
            let estimate = async {
                let selected = segment::selected(of_snapshot.session(), census, &expression).await?;
                let profile_count = census.people().await?.len() as u64;
                let some: Vec<u32> = selected.iter().take(preview).collect();
                Ok(SegmentEstimate { size: selected.len(), profile_count, preview: census.profile_ids(&some).await? })
            };
            match limits.time {
                Some(time) => timeout(time, estimate).await.map_err(|_| too_long(time))?,
                None => estimate.await,
            }
        });
        selected.await
    }

    /// What an expression says, in words.
    ///
    /// # Errors
    /// InvalidInput with line and column, and the nearest known names, for an expression that is wrong.
    pub async fn segment_in_words(&self, snapshot: &Arc<Snapshot>, expression: &str) -> Result<String> {
        let (snapshot, expression) = (Arc::clone(snapshot), expression.to_owned());
        self.cpu.run(async move { segment::in_words(snapshot.session(), &expression).await }).await
    }

    /// Up to `count` members of a segment whose ordinals are above `after`, in the order of ordinals; none of a segment
    /// that does not exist.
    ///
    /// # Errors
    /// Exhausted if there is no memory for the members of segments; what the store reports.
    pub async fn segment_members(
        &self,
        snapshot: &Arc<Snapshot>,
        segment: &str,
        after: Option<u32>,
        count: usize,
    ) -> Result<Vec<SegmentMember>> {
        let (snapshot, segment) = (Arc::clone(snapshot), segment.to_owned());
        let listed = self.cpu.run(async move {
            let memberships = snapshot.memberships().await?;
            let Some(members) = memberships.get(&segment) else { return Ok(Vec::new()) };
            let from = after.map_or(0, |after| after.saturating_add(1));
            let ordinals: Vec<u32> = members.all().range(from..).take(count).collect();
            let ids = snapshot.census()?.profile_ids(&ordinals).await?;
            let entered_at = |ordinal: u32| members.entered_at(ordinal).unwrap_or_default();
            let member = |(ordinal, profile_id)| SegmentMember { ordinal, profile_id, entered_at: entered_at(ordinal) };
            Ok(ordinals.into_iter().zip(ids).map(member).collect())
        });
        listed.await
    }
}
