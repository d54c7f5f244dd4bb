//! Who is in each segment and since when, in memory: Roaring bitmaps of the profiles' ordinals.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow::array::{
    ArrayRef, AsArray, BinaryBuilder, BinaryViewArray, RecordBatch, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::common::runtime::SpawnedTask;
use datafusion::prelude::SessionContext;
use roaring::{MultiOps, RoaringBitmap};

use super::serialized::places;
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
        let sets = Arc::new(MemberSets::read(session, table).await?);
        let parts = session.copied_config().target_partitions();
        let tasks: Vec<_> = (0..parts)
            .map(|part| {
                let sets = Arc::clone(&sets);
                SpawnedTask::spawn_blocking(move || {
                    let here = sets.segments().skip(part).step_by(parts);
                    here.map(|segment| Ok((segment.to_owned(), sets.members(segment, None)?))).collect()
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

    /// Bytes that they take in memory, about, once all of each segment are asked for.
    pub(crate) fn bytes(&self) -> usize {
        let sets = self.0.values().flat_map(|members| members.since.values().chain([members.all()]));
        sets.map(RoaringBitmap::serialized_size).sum()
    }
}

/// Rows of `segment.member_sets`, in any order. A set stays bytes until somebody asks for it.
#[derive(Debug, Default)]
pub(super) struct MemberSets {
    places: BTreeMap<String, Vec<Place>>,
    /// The sets of each batch.
    sets: Vec<BinaryViewArray>,
}

/// Where a set is. Ordered as sets follow each other: of one generation those who left before those who entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    generation: i64,
    enters: bool,
    at: Micros,
    batch: usize,
    row: usize,
}

impl MemberSets {
    /// Reads them from `table`, which is `segment.member_sets` or an earlier version of it.
    ///
    /// # Errors
    /// What the query reports.
    pub(super) async fn read(session: &SessionContext, table: &str) -> Result<Self> {
        let mut sets = Self::default();
        for batch in session.sql(&format!("select {COLUMNS} from {table}")).await?.collect().await? {
            sets.push(&batch)?;
        }
        Ok(sets)
    }

    /// Takes the rows of a batch with [`COLUMNS`].
    pub(super) fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        let (segments, changes) = (text(batch.column(0))?, text(batch.column(2))?);
        let generations = batch.column(1).as_primitive::<Int64Type>();
        let at = batch.column(3).as_primitive::<TimestampMicrosecondType>();
        for (row, segment) in segments.iter().enumerate() {
            let (generation, enters) = (generations.value(row), changes.value(row) == ENTERED);
            let place = Place { generation, enters, at: at.value(row), batch: self.sets.len(), row };
            let segment = segment.unwrap_or_default();
            match self.places.get_mut(segment) {
                Some(places) => places.push(place),
                None => drop(self.places.insert(segment.to_owned(), vec![place])),
            }
        }
        self.sets.push(views(batch.column(4))?);
        Ok(())
    }

    /// The segments that have or had members, by name.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Who is a member of a segment after all of its sets; or the places of those who are among ascending ordinals.
    ///
    /// # Errors
    /// Corrupt for a set that cannot be read.
    pub(super) fn members(&self, segment: &str, among: Option<&[u32]>) -> Result<Members> {
        let mut places = self.places.get(segment).cloned().unwrap_or_default();
        places.sort_unstable();
        let mut members = Members::default();
        for Place { enters, at, batch, row, .. } in places {
            let set = bitmap(self.sets[batch].value(row), among)?;
            if enters {
                members.enter(at, set);
            } else {
                members.leave(&set);
            }
        }
        Ok(members)
    }
}

/// The sets of a column.
///
/// # Errors
/// Corrupt for one that cannot be read.
pub(super) fn bitmaps(column: &ArrayRef) -> Result<Vec<RoaringBitmap>> {
    views(column)?.iter().map(|set| bitmap(set.unwrap_or_default(), None)).collect()
}

/// A column of sets, whichever way its bytes are held; they are not copied.
fn views(column: &ArrayRef) -> Result<BinaryViewArray> {
    Ok(arrow::compute::cast(column, &DataType::BinaryView)?.as_binary_view().clone())
}

/// A set, or the places of those that are among ascending ordinals.
fn bitmap(set: &[u8], among: Option<&[u32]>) -> Result<RoaringBitmap> {
    let read = match among {
        Some(among) => places(set, among),
        None => RoaringBitmap::deserialize_from(set).ok(),
    };
    read.ok_or_else(|| EngineError::corrupt("a segment's set of members is no Roaring bitmap"))
}

/// Adds a set to a column, as its next value.
pub(super) fn append(column: &mut BinaryBuilder, mut members: RoaringBitmap) -> Result<()> {
    members.optimize();
    members.serialize_into(&mut *column)?;
    column.append_value([]);
    Ok(())
}

#[cfg(test)]
mod tests {
    use arrow::array::Int64Array;

    use super::*;

    /// A row of `segment.member_sets`: the segment, the generation, the change, when, and who.
    type Row<'r> = (&'r str, i64, &'r str, Micros, &'r [u32]);

    fn sets(rows: &[Row<'_>]) -> MemberSets {
        let mut members = BinaryBuilder::new();
        rows.iter().for_each(|row| append(&mut members, row.4.iter().copied().collect()).unwrap());
        let at = TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| row.3)).with_timezone("UTC");
        let columns: [(&str, ArrayRef); 5] = [
            ("segment", Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| row.0)))),
            ("generation", Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1)))),
            ("change", Arc::new(StringViewArray::from_iter_values(rows.iter().map(|row| row.2)))),
            ("at", Arc::new(at)),
            ("members", Arc::new(members.finish())),
        ];
        let mut sets = MemberSets::default();
        sets.push(&RecordBatch::try_from_iter(columns).unwrap()).unwrap();
        sets
    }

    #[test]
    fn test_members_are_those_who_entered_and_did_not_leave() {
        let sets = sets(&[
            ("a", 3, ENTERED, 30, &[2, 9]),
            ("a", 1, ENTERED, 10, &[1, 2, 3]),
            ("a", 2, LEFT, 20, &[2]),
            ("b", 1, ENTERED, 10, &[1]),
            // One that goes by another ordinal: it leaves as 3 and is there as 4 since before.
            ("a", 4, ENTERED, 10, &[4]),
            ("a", 4, LEFT, 40, &[3]),
        ]);
        let entered_at = |members: &Members| [1, 2, 3, 4, 9].map(|ordinal| members.entered_at(ordinal));
        let of_a = sets.members("a", None).unwrap();
        assert_eq!(of_a.all().iter().collect::<Vec<_>>(), [1, 2, 4, 9]);
        assert_eq!(entered_at(&of_a), [Some(10), Some(30), None, Some(10), Some(30)]);
        let of_some = sets.members("a", Some(&[2, 3, 4, 70_000])).unwrap();
        assert_eq!([0, 1, 2, 3].map(|place| of_some.entered_at(place)), [Some(30), None, Some(10), None]);
        assert_eq!(sets.segments().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(sets.members("b", None).unwrap().all().len(), 1);
        assert!(sets.members("c", None).unwrap().all().is_empty());
    }
}
