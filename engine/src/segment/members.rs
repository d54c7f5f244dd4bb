//! Who is in each segment and since when, in memory: Roaring bitmaps of the profiles' ordinals.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, AsArray, BinaryViewArray, RecordBatch, StringViewArray, TimestampMicrosecondArray};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::common::runtime::SpawnedTask;
use datafusion::prelude::SessionContext;
use roaring::{MultiOps, RoaringBitmap};

use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::query::cpu_runtime::joined;
use crate::query::functions::text;

/// The change of those who enter.
pub(super) const ENTERED: &str = "entered";
/// The change of those who leave.
pub(super) const LEFT: &str = "left";
/// The columns of `segment.member_sets` that members are made of.
const COLUMNS: &str = "segment, generation, change, at, members";

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

    /// The members that are in a set; all of them for none.
    pub(super) fn among(&self, set: Option<&RoaringBitmap>) -> RoaringBitmap {
        match set {
            Some(set) => self.since.values().map(|members| members & set).union(),
            None => self.all().clone(),
        }
    }

    /// Since when a profile is in it; `None` if it is not.
    pub(crate) fn entered_at(&self, ordinal: u32) -> Option<Micros> {
        self.since.iter().find(|(_, members)| members.contains(ordinal)).map(|(at, _)| *at)
    }

    /// The members by when they entered, the earliest first.
    pub(crate) fn since(&self) -> impl Iterator<Item = (Micros, &RoaringBitmap)> {
        self.since.iter().map(|(at, members)| (*at, members))
    }

    fn enter(&mut self, at: Micros, members: RoaringBitmap) {
        self.all = OnceLock::new();
        *self.since.entry(at).or_default() |= members;
    }

    fn leave(&mut self, members: &RoaringBitmap) {
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
        let query = format!("select {COLUMNS} from {table}");
        let batches = Arc::new(session.sql(&query).await?.collect().await?);
        let parts = session.copied_config().target_partitions() as u64;
        let tasks: Vec<_> = (0..parts)
            .map(|part| {
                let batches = Arc::clone(&batches);
                // Any way to divide segments that does not depend on their order.
                let is_here = move |segment: &str| segment.bytes().map(u64::from).sum::<u64>() % parts == part;
                SpawnedTask::spawn_blocking(move || {
                    let mut sets = MemberSets::default();
                    batches.iter().try_for_each(|batch| sets.push_those(batch, is_here))?;
                    Ok::<_, EngineError>(sets.folded())
                })
            })
            .collect();
        let mut all = Self::default();
        for task in tasks {
            all.0.extend(joined(task).await?.0);
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

    /// Bytes that they take in memory, about, once all of each segment are asked for.
    pub(crate) fn bytes(&self) -> usize {
        let sets = self.0.values().flat_map(|members| members.since.values().chain([members.all()]));
        sets.map(RoaringBitmap::serialized_size).sum()
    }
}

/// Rows of `segment.member_sets`, in any order.
#[derive(Debug, Default)]
pub(super) struct MemberSets(Vec<MemberSet>);

/// Ordered as sets follow each other: of one generation those who left before those who entered.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    segment: String,
    generation: i64,
    enters: bool,
    at: Micros,
}

#[derive(Debug)]
struct MemberSet {
    place: Place,
    members: RoaringBitmap,
}

impl MemberSets {
    /// Takes the rows of a batch with [`COLUMNS`].
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.push_those(batch, |_| true)
    }

    /// Takes those of some segments.
    fn push_those(&mut self, batch: &RecordBatch, is_here: impl Fn(&str) -> bool) -> Result<()> {
        let (segments, changes) = (text(batch.column(0))?, text(batch.column(2))?);
        let generations = batch.column(1).as_primitive::<Int64Type>();
        let at = batch.column(3).as_primitive::<TimestampMicrosecondType>();
        let sets = views(batch.column(4))?;
        for row in (0..batch.num_rows()).filter(|&row| is_here(segments.value(row))) {
            let (segment, members) = (segments.value(row).to_owned(), bitmap(sets.value(row))?);
            let enters = changes.value(row) == ENTERED;
            let place = Place { segment, generation: generations.value(row), enters, at: at.value(row) };
            self.0.push(MemberSet { place, members });
        }
        Ok(())
    }

    /// Who is a member after all of them.
    pub(super) fn folded(mut self) -> Memberships {
        self.0.sort_by(|left, right| left.place.cmp(&right.place));
        let mut memberships: BTreeMap<String, Members> = BTreeMap::new();
        for MemberSet { place, members } in self.0 {
            let of_segment = memberships.entry(place.segment).or_default();
            if place.enters {
                of_segment.enter(place.at, members);
            } else {
                of_segment.leave(&members);
            }
        }
        Memberships(memberships)
    }
}

/// The sets of a column.
///
/// # Errors
/// Corrupt for one that cannot be read.
pub(super) fn bitmaps(column: &ArrayRef) -> Result<Vec<RoaringBitmap>> {
    views(column)?.iter().map(|set| bitmap(set.unwrap_or_default())).collect()
}

/// A column of sets, whichever way its bytes are held; they are not copied.
fn views(column: &ArrayRef) -> Result<BinaryViewArray> {
    Ok(arrow::compute::cast(column, &DataType::BinaryView)?.as_binary_view().clone())
}

fn bitmap(set: &[u8]) -> Result<RoaringBitmap> {
    RoaringBitmap::deserialize_from(set)
        .map_err(|error| EngineError::corrupt(format!("a segment's set of members cannot be read: {error}")))
}

/// A set as a column has it.
pub(super) fn serialized(mut members: RoaringBitmap) -> Result<Vec<u8>> {
    members.optimize();
    let mut bytes = Vec::with_capacity(members.serialized_size());
    members.serialize_into(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(segment: &str, generation: i64, enters: bool, at: Micros, members: &[u32]) -> MemberSet {
        let place = Place { segment: segment.to_owned(), generation, enters, at };
        MemberSet { place, members: members.iter().copied().collect() }
    }

    #[test]
    fn test_members_are_those_who_entered_and_did_not_leave() {
        let sets = MemberSets(vec![
            set("a", 3, true, 30, &[2, 9]),
            set("a", 1, true, 10, &[1, 2, 3]),
            set("a", 2, false, 20, &[2]),
            set("b", 1, true, 10, &[1]),
            // One that goes by another ordinal: it leaves as 3 and is there as 4 since before.
            set("a", 4, true, 10, &[4]),
            set("a", 4, false, 40, &[3]),
        ]);
        let memberships = sets.folded();
        let of_a = memberships.get("a").unwrap();
        assert_eq!(of_a.all().iter().collect::<Vec<_>>(), [1, 2, 4, 9]);
        assert_eq!(
            [1, 2, 3, 4, 9].map(|ordinal| of_a.entered_at(ordinal)),
            [Some(10), Some(30), None, Some(10), Some(30)]
        );
        assert_eq!(memberships.get("b").unwrap().all().len(), 1);
        assert!(memberships.get("c").is_none());
    }
}
