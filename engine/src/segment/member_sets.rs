//! The sets of `segment.member_sets` as they are read: members are made of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BinaryBuilder, BinaryViewArray, RecordBatch};
use arrow::datatypes::{DataType, Int64Type, TimestampMicrosecondType};
use datafusion::common::runtime::SpawnedTask;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use futures::future::try_join_all;
use roaring::RoaringBitmap;

use super::members::Members;
use super::serialized::Numbers;
use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::query::cpu_runtime::joined;
use crate::query::functions::text;
use crate::store::kept_files;

/// The change of those who enter.
pub(super) const ENTERED: &str = "entered";
/// The change of those who leave.
pub(super) const LEFT: &str = "left";
/// The columns that members are made of.
const COLUMNS: [&str; 5] = ["segment", "generation", "change", "at", "members"];

/// Rows of `segment.member_sets`, in any order.
#[derive(Debug, Default)]
pub(super) struct MemberSets {
    places: BTreeMap<String, Vec<Place>>,
    /// The sets of each batch that are needed whole. They stay bytes until somebody asks for them.
    whole: Vec<BinaryViewArray>,
}

/// The segments of which it matters only who of the people that a refresh touched was a member.
#[derive(Debug, Clone)]
pub(super) struct Touched {
    pub(super) segments: Arc<BTreeSet<String>>,
    /// The ordinals of these people; a set of them has their places here as bits.
    pub(super) people: Arc<Numbers>,
}

/// Where a set is in the order of all sets of its segment: by generation, and of one generation those who left before those
/// who entered.
#[derive(Debug)]
struct Place {
    order: (i64, bool, Micros),
    set: Set,
}

#[derive(Debug)]
enum Set {
    /// Ordinals, in a row of a batch.
    Whole { batch: usize, row: usize },
    /// The bits of those whom a refresh touched.
    Touched(RoaringBitmap),
}

impl MemberSets {
    /// Reads them from `table`, which is `segment.member_sets` or an earlier version of it.
    ///
    /// # Errors
    /// What the query reports; Corrupt for a set that cannot be read.
    pub(super) async fn read(session: &SessionContext, table: &str, touched: Option<Touched>) -> Result<Self> {
        let sets = match touched {
            Some(_) => kept_files::table(session, table).await?,
            None => session.table(table).await?,
        };
        let tasks = sets.select_columns(&COLUMNS)?.execute_stream_partitioned().await?.into_iter().map(|mut stream| {
            let touched = touched.clone();
            joined(SpawnedTask::spawn(async move {
                let mut sets = Self::default();
                while let Some(batch) = stream.next().await.transpose()? {
                    sets.push(&batch, touched.as_ref())?;
                }
                Ok(sets)
            }))
        });
        let mut all = Self::default();
        try_join_all(tasks).await?.into_iter().for_each(|sets| all.append(sets));
        Ok(all)
    }

    /// Takes the rows of a batch with [`COLUMNS`].
    ///
    /// # Errors
    /// Corrupt for a set of the touched that cannot be read.
    pub(super) fn push(&mut self, batch: &RecordBatch, touched: Option<&Touched>) -> Result<()> {
        let (segments, changes) = (text(batch.column(0))?, text(batch.column(2))?);
        let generations = batch.column(1).as_primitive::<Int64Type>();
        let at = batch.column(3).as_primitive::<TimestampMicrosecondType>();
        let sets = views(batch.column(4))?;
        let mut is_needed = false;
        for (row, segment) in segments.iter().enumerate() {
            let segment = segment.unwrap_or_default();
            let among = touched.filter(|touched| touched.segments.contains(segment));
            let set = match among {
                Some(touched) => Set::Touched(touched.people.places_in(sets.value(row)).ok_or_else(not_a_set)?),
                None => Set::Whole { batch: self.whole.len(), row },
            };
            is_needed |= matches!(set, Set::Whole { .. });
            let place = Place { order: (generations.value(row), changes.value(row) == ENTERED, at.value(row)), set };
            match self.places.get_mut(segment) {
                Some(places) => places.push(place),
                None => drop(self.places.insert(segment.to_owned(), vec![place])),
            }
        }
        self.whole.extend(is_needed.then_some(sets));
        Ok(())
    }

    fn append(&mut self, other: Self) {
        let before = self.whole.len();
        self.whole.extend(other.whole);
        for (segment, mut places) in other.places {
            for place in &mut places {
                if let Set::Whole { batch, .. } = &mut place.set {
                    *batch += before;
                }
            }
            self.places.entry(segment).or_default().extend(places);
        }
    }

    /// The segments that have or had members, by name.
    pub(super) fn segments(&self) -> impl Iterator<Item = &str> {
        self.places.keys().map(String::as_str)
    }

    /// Bytes of all sets.
    pub(super) fn bytes(&self) -> usize {
        let bytes = |place: &Place| match &place.set {
            Set::Whole { batch, row } => self.whole[*batch].value(*row).len(),
            Set::Touched(bits) => bits.serialized_size(),
        };
        self.places.values().flatten().map(bytes).sum()
    }

    /// Who is a member of a segment after all of its sets: the ordinals, or the bits of the touched if only these matter.
    ///
    /// # Errors
    /// Corrupt for a set that cannot be read.
    pub(super) fn members(&self, segment: &str) -> Result<Members> {
        let mut places: Vec<&Place> = self.places.get(segment).into_iter().flatten().collect();
        places.sort_unstable_by_key(|place| place.order);
        let mut members = Members::default();
        for Place { order: (_, enters, at), set } in places {
            let set = match set {
                Set::Whole { batch, row } => bitmap(self.whole[*batch].value(*row))?,
                Set::Touched(bits) => bits.clone(),
            };
            if *enters {
                members.enter(*at, set);
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
    views(column)?.iter().map(|set| bitmap(set.unwrap_or_default())).collect()
}

/// Bytes of the sets in the last column of a batch. What holds them may hold those of other batches, too.
///
/// # Errors
/// What Arrow reports of a column of something else.
pub(super) fn bytes_of_sets(batch: &RecordBatch) -> Result<usize> {
    let Some(sets) = batch.columns().last() else { return Ok(0) };
    Ok(views(sets)?.lengths().map(|length| length as usize).sum())
}

/// A column of sets, whichever way its bytes are held; they are not copied.
fn views(column: &ArrayRef) -> Result<BinaryViewArray> {
    Ok(arrow::compute::cast(column, &DataType::BinaryView)?.as_binary_view().clone())
}

fn bitmap(set: &[u8]) -> Result<RoaringBitmap> {
    RoaringBitmap::deserialize_from(set).map_err(|_| not_a_set())
}

fn not_a_set() -> EngineError {
    EngineError::corrupt("a segment's set of members is no Roaring bitmap")
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
    use arrow::array::{Int64Array, StringViewArray, TimestampMicrosecondArray};

    use super::*;

    /// A row of `segment.member_sets`: the segment, the generation, the change, when, and who.
    type Row<'r> = (&'r str, i64, &'r str, Micros, &'r [u32]);

    fn batch(rows: &[Row<'_>]) -> RecordBatch {
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
        RecordBatch::try_from_iter(columns).unwrap()
    }

    #[test]
    fn test_members_are_those_who_entered_and_did_not_leave() {
        let rows: [Row<'_>; 6] = [
            ("a", 3, ENTERED, 30, &[2, 9]),
            ("a", 1, ENTERED, 10, &[1, 2, 3]),
            ("a", 2, LEFT, 20, &[2]),
            ("b", 1, ENTERED, 10, &[1]),
            // One that goes by another ordinal: it leaves as 3 and is there as 4 since before.
            ("a", 4, ENTERED, 10, &[4]),
            ("a", 4, LEFT, 40, &[3]),
        ];
        let people = Arc::new(Numbers::new(&[2, 3, 4, 70_000]));
        let touched = Touched { segments: Arc::new(BTreeSet::from(["a".to_owned()])), people };
        // In one batch, or in two that two threads read.
        for count in [0, 3] {
            let [mut all, mut of_some] = [None, Some(&touched)].map(|touched| {
                let mut sets = MemberSets::default();
                sets.push(&batch(&rows[..count]), touched).unwrap();
                let mut others = MemberSets::default();
                others.push(&batch(&rows[count..]), touched).unwrap();
                sets.append(others);
                sets
            });
            let entered_at = |members: &Members| [1, 2, 3, 4, 9].map(|ordinal| members.entered_at(ordinal));
            let of_a = all.members("a").unwrap();
            assert_eq!(of_a.all().iter().collect::<Vec<_>>(), [1, 2, 4, 9]);
            assert_eq!(entered_at(&of_a), [Some(10), Some(30), None, Some(10), Some(30)]);
            assert_eq!(all.segments().collect::<Vec<_>>(), ["a", "b"]);
            assert!(all.members("c").unwrap().all().is_empty());
            // By their bits; of other segments everybody matters.
            let touched = of_some.members("a").unwrap();
            assert_eq!([0, 1, 2, 3].map(|bit| touched.entered_at(bit)), [Some(30), None, Some(10), None]);
            for sets in [&mut all, &mut of_some] {
                assert_eq!(sets.members("b").unwrap().all().iter().collect::<Vec<_>>(), [1]);
            }
        }
    }
}
