//! Who is in each segment and since when, in memory: Roaring bitmaps of the profiles' ordinals.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use datafusion::common::runtime::SpawnedTask;
use datafusion::prelude::SessionContext;
use roaring::{MultiOps, RoaringBitmap};

use super::member_sets::MemberSets;
use crate::clock::Micros;
use crate::error::Result;
use crate::query::cpu_runtime::joined;

/// The members of one segment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Members {
    since: BTreeMap<Micros, RoaringBitmap>,
    /// All of those, once somebody asks.
    all: OnceLock<RoaringBitmap>,
}

impl Members {
    /// The members.
    pub(crate) fn all(&self) -> &RoaringBitmap {
        let mut sets = self.since.values();
        match (sets.next(), sets.next()) {
            (Some(only), None) => only,
            _ => self.all.get_or_init(|| self.since.values().union()),
        }
    }

    /// Since when a profile is in it; `None` if it is not.
    pub(crate) fn entered_at(&self, ordinal: u32) -> Option<Micros> {
        // There is a set for each refresh in which somebody entered: most profiles are in none of them.
        if !self.all().contains(ordinal) {
            return None;
        }
        self.since.iter().find(|(_, members)| members.contains(ordinal)).map(|(at, _)| *at)
    }

    /// The members by when they entered, the earliest first.
    pub(super) fn into_since(self) -> impl Iterator<Item = (Micros, RoaringBitmap)> {
        self.since.into_iter()
    }

    pub(super) fn enter(&mut self, at: Micros, members: RoaringBitmap) {
        self.all = OnceLock::new();
        *self.since.entry(at).or_default() |= members;
    }

    pub(super) fn leave(&mut self, members: &RoaringBitmap) {
        self.all = OnceLock::new();
        self.since.retain(|_, since| {
            *since -= members;
            !since.is_empty()
        });
    }
}

/// The members of all segments, by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memberships(BTreeMap<String, Members>);

impl Memberships {
    /// Reads them from `table`, which is `segment.member_sets` or an earlier version of it.
    ///
    /// # Errors
    /// What the query reports; Corrupt for sets that cannot be read.
    pub(crate) async fn read(session: &SessionContext, table: &str) -> Result<Self> {
        let sets = Arc::new(MemberSets::read(session, table, None).await?);
        let parts = session.copied_config().target_partitions();
        let tasks: Vec<_> = (0..parts)
            .map(|part| {
                let sets = Arc::clone(&sets);
                SpawnedTask::spawn_blocking(move || {
                    let here = sets.segments().skip(part).step_by(parts);
                    here.map(|segment| Ok((segment.to_owned(), sets.members(segment)?))).collect()
                })
            })
            .collect();
        let mut all = Self::default();
        for task in tasks {
            let here: BTreeMap<String, Members> = joined(task).await?;
            all.0.extend(here);
        }
        Ok(all)
    }

    /// A segment's members; `None` if there is no such segment, or it never had any.
    pub(crate) fn get(&self, segment: &str) -> Option<&Members> {
        self.0.get(segment)
    }

    /// The rows of `segment.memberships` of one profile, by segment.
    ///
    /// # Errors
    /// Internal if the rows do not fit their columns.
    pub(crate) fn rows_of(&self, profile_id: &str, ordinal: u32) -> Result<Vec<RecordBatch>> {
        let of_profile = self.iter().filter_map(|(segment, members)| Some((segment, members.entered_at(ordinal)?)));
        let (segments, at): (Vec<&str>, Vec<Micros>) = of_profile.unzip();
        if segments.is_empty() {
            return Ok(Vec::new());
        }
        let ids = StringViewArray::from_iter_values(std::iter::repeat_n(profile_id, segments.len()));
        let at = TimestampMicrosecondArray::from(at).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 3] = [
            ("segment", Arc::new(StringViewArray::from(segments))),
            ("profile_id", Arc::new(ids)),
            ("entered_at", Arc::new(at)),
        ];
        Ok(vec![RecordBatch::try_from_iter(columns)?])
    }

    /// All segments that have or had members, by name.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Members)> {
        self.0.iter().map(|(segment, members)| (segment.as_str(), members))
    }

    /// Bytes that they take in memory, about, once all of each segment are asked for: of those who entered at several times
    /// that is another set.
    pub(crate) fn bytes(&self) -> usize {
        let bytes = |members: &Members| {
            let since: usize = members.since.values().map(RoaringBitmap::serialized_size).sum();
            if members.since.len() > 1 { 2 * since } else { since }
        };
        self.0.values().map(bytes).sum()
    }
}
