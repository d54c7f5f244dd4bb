//! The profiles of a generation as rows, in the order of their ordinals.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::buffer::{BooleanBuffer, Buffer};
use arrow::compute::interleave;
use arrow::datatypes::Int64Type;
use datafusion::common::runtime::SpawnedTask;
use datafusion::logical_expr::ident;
use datafusion::prelude::SessionContext;
use roaring::RoaringBitmap;

use super::bits::bits;
use super::scope::Scope;
use crate::error::{EngineError, ErrorKind, Result};
use crate::query::cpu_runtime::joined;

/// The row of an identifier that no profile has.
pub(super) const NOBODY: u32 = u32::MAX;
/// Profiles as the last generation had them, of those that a refresh touched: `new.`, since a refresh to which nothing is
/// new leaves the table as it was.
const EARLIER: &str = "
    select distinct earlier_profile_ordinal from new.identity.touched where earlier_profile_ordinal is not null";
/// The column by which states and segments know a profile.
const ORDINAL: &str = "ordinal";
/// The first of some columns that are read: no column of profiles has such a name.
const WHOSE: &str = "whose row";

/// Who the profiles are: all of them, or those that a refresh touched. In sets of them each
/// has a *bit*: its ordinal, if these are all. Those that a refresh touched are few, and their ordinals far from each other:
/// sets of these would take as long as sets of all.
#[derive(Debug)]
pub(crate) struct People {
    ordinals: Vec<u32>,
    living: RoaringBitmap,
    /// `None` for all.
    touched: Option<Touched>,
    /// The row of the profile that has an identifier, by the identifier's ordinal.
    rows: Vec<u32>,
}

/// Profiles that a refresh touched, as they are and as they were.
#[derive(Debug)]
struct Touched {
    /// Their ordinals, ascending: a profile's place here is its bit.
    profiles: Vec<u32>,
    /// The bit of each row.
    bits: Vec<u32>,
    /// The bits of those that there are no more.
    gone: RoaringBitmap,
    /// A bit for each identifier, set for theirs, by its ordinal: of what was kept of events most rows are somebody else's, and
    /// this is small enough to stay in the nearest caches.
    identifiers: Buffer,
}

impl Touched {
    fn new(living: &RoaringBitmap, earlier: RoaringBitmap, rows: &[u32]) -> Self {
        let gone = earlier - living;
        let profiles: Vec<u32> = (living | &gone).iter().collect();
        let places = (0..).zip(&profiles);
        let (is_gone, lives): (Vec<_>, Vec<_>) = places.partition(|(_, ordinal)| gone.contains(**ordinal));
        let of_rows = lives.into_iter().map(|(bit, _)| bit).collect();
        let gone = is_gone.into_iter().map(|(bit, _)| bit).collect();
        let theirs = (0..rows.len()).filter(|&ordinal| rows[ordinal] != NOBODY);
        let identifiers = bits(theirs, rows.len());
        Self { profiles, bits: of_rows, gone, identifiers }
    }
}

impl People {
    /// Reads who the profiles are and which identifiers they have, or had.
    ///
    /// # Errors
    /// What the query reports; Exhausted for more identifiers than bitmaps can number.
    pub(super) async fn read(session: &SessionContext, scope: Scope) -> Result<Self> {
        let columns = [ORDINAL, "profile_ordinal"];
        let batches = session.table(scope.identities()).await?.select_columns(&columns)?.collect().await?;
        let pairs = || {
            batches.iter().flat_map(|batch| {
                let [of, profiles] = [0, 1].map(|column| batch.column(column).as_primitive::<Int64Type>());
                of.values().iter().zip(profiles.values())
            })
        };
        let mut count = 0;
        for (&ordinal, &profile) in pairs() {
            count = count.max(small(ordinal)? as usize + 1).max(small(profile)? as usize + 1);
        }
        let mut rows = vec![NOBODY; count];
        for (&anchor, _) in pairs().filter(|(ordinal, profile)| ordinal == profile) {
            rows[anchor as usize] = 0;
        }
        let mut ordinals = Vec::new();
        for (row, ordinal) in rows.iter_mut().zip(0..).filter(|(row, _)| **row != NOBODY) {
            *row = ordinals.len() as u32;
            ordinals.push(ordinal);
        }
        for (&ordinal, &profile) in pairs() {
            rows[ordinal as usize] = rows[profile as usize];
        }
        let living = ascending(ordinals.iter().copied())?;
        let touched = match scope {
            Scope::Everybody => None,
            Scope::Touched { .. } => {
                let mut earlier = RoaringBitmap::new();
                for batch in session.sql(EARLIER).await?.collect().await? {
                    let of_batch = batch.column(0).as_primitive::<Int64Type>().values().iter();
                    earlier.extend(of_batch.map(|&ordinal| small(ordinal)).collect::<Result<Vec<_>>>()?);
                }
                Some(Touched::new(&living, earlier, &rows))
            }
        };
        Ok(Self { ordinals, living, touched, rows })
    }

    /// People who have one identifier each, of whom these are the ordinals.
    #[cfg(test)]
    pub(super) fn of(ordinals: Vec<u32>) -> Self {
        let mut rows = vec![NOBODY; ordinals.last().map_or(0, |last| *last as usize + 1)];
        ordinals.iter().enumerate().for_each(|(row, &ordinal)| rows[ordinal as usize] = row as u32);
        let living = ordinals.iter().copied().collect();
        Self { ordinals, living, touched: None, rows }
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.ordinals.len()
    }

    /// True if there is nobody of whom they could tell anything.
    pub(crate) fn are_none(&self) -> bool {
        self.ordinals.is_empty() && self.touched.as_ref().is_none_or(|touched| touched.profiles.is_empty())
    }

    /// The profiles' ordinals, ascending: that of each row.
    pub(crate) fn ordinals(&self) -> &[u32] {
        &self.ordinals
    }

    /// The same as a set.
    pub(crate) fn living(&self) -> &RoaringBitmap {
        &self.living
    }

    /// The bit of each row, ascending.
    pub(super) fn bits(&self) -> &[u32] {
        self.touched.as_ref().map_or(&self.ordinals, |touched| &touched.bits)
    }

    /// The ordinals of the profiles, as they are and as they were, of whom these people tell, ascending; `None` for all.
    pub(crate) fn scope(&self) -> Option<&[u32]> {
        self.touched.as_ref().map(|touched| touched.profiles.as_slice())
    }

    /// The ordinal of the profile that has a bit.
    pub(crate) fn ordinal_of(&self, bit: u32) -> u32 {
        self.scope().and_then(|profiles| profiles.get(bit as usize)).copied().unwrap_or(bit)
    }

    /// The ordinals of a set of profiles.
    ///
    /// # Errors
    /// None that is known: who ascend by their bits ascend by their ordinals.
    pub(crate) fn ordinals_of(&self, bits: RoaringBitmap) -> Result<RoaringBitmap> {
        match self.scope() {
            Some(_) => ascending(bits.iter().map(|bit| self.ordinal_of(bit))),
            None => Ok(bits),
        }
    }

    /// Of a set of profiles of before those that there are no more.
    pub(crate) fn gone(&self, before: &RoaringBitmap) -> RoaringBitmap {
        match &self.touched {
            Some(touched) => before & &touched.gone,
            None => before - &self.living,
        }
    }

    /// The ordinal of the profile that has an identifier now.
    pub(crate) fn profile_of(&self, identifier: u32) -> Option<u32> {
        self.ordinals.get(self.row_of(i64::from(identifier)) as usize).copied()
    }

    /// Its bit. A profile has the identifier with its own ordinal, too.
    pub(crate) fn bit_of_profile(&self, identifier: u32) -> Option<u32> {
        self.bits().get(self.row_of(i64::from(identifier)) as usize).copied()
    }

    /// The row of the profile that has an identifier, or [`NOBODY`].
    pub(super) fn row_of(&self, identifier: i64) -> u32 {
        usize::try_from(identifier).ok().and_then(|ordinal| self.rows.get(ordinal)).copied().unwrap_or(NOBODY)
    }

    /// Which of the identifiers with these ordinals are theirs; `None` if these are all people, who have nearly all.
    pub(super) fn have(&self, identifiers: &[i64]) -> Option<BooleanBuffer> {
        let known = self.touched.as_ref()?.identifiers.as_slice();
        Some(BooleanBuffer::collect_bool(identifiers.len(), |place| {
            let ordinal = identifiers[place] as usize; // one below zero is beyond all
            known.get(ordinal / 8).is_some_and(|byte| byte >> (ordinal % 8) & 1 == 1)
        }))
    }

    /// Of each row the ordinal of its identifier that was known first: it stays when somebody logs in.
    pub(super) fn first_known(&self) -> Vec<u32> {
        let mut first = vec![NOBODY; self.len()];
        for (ordinal, &row) in (0..).zip(&self.rows) {
            if let Some(first) = first.get_mut(row as usize) {
                *first = ordinal.min(*first);
            }
        }
        first
    }

    /// Their identifiers; `None` if they have more than `most`.
    pub(super) fn few_identifiers(&self, most: usize) -> Option<Vec<i64>> {
        let identifiers = (0..).zip(&self.rows).filter(|(_, row)| **row != NOBODY).map(|(ordinal, _)| ordinal);
        let few: Vec<i64> = identifiers.take(most + 1).collect();
        (few.len() <= most).then_some(few)
    }

    /// Bytes that they take in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.ordinals.as_slice()) + size_of_val(self.rows.as_slice()) + self.living.serialized_size()
    }

    /// Columns of profiles in the order of the people; null for those that they do not have.
    ///
    /// # Errors
    /// Internal if they do not fit.
    pub(super) async fn ordered(&self, unordered: Unordered) -> Result<BTreeMap<String, ArrayRef>> {
        let Unordered { nothing, batches } = unordered;
        // The first part is one null, for who is absent.
        let mut places = vec![(0, 0); self.len()];
        for (number, batch) in batches.iter().enumerate() {
            for (place, &ordinal) in batch.column(0).as_primitive::<Int64Type>().values().iter().enumerate() {
                // Its anchor is an identifier of the profile.
                if let Some(of_row) = places.get_mut(self.row_of(ordinal) as usize) {
                    *of_row = (number + 1, place);
                }
            }
        }
        let places = Arc::new(places);
        let schema = nothing.schema();
        let tasks: Vec<_> = schema
            .fields()
            .iter()
            .enumerate()
            .skip(1)
            .map(|(index, field)| {
                let parts: Vec<ArrayRef> = batches.iter().map(|batch| Arc::clone(batch.column(index))).collect();
                let absent = new_null_array(field.data_type(), 1);
                let (name, places) = (field.name().clone(), Arc::clone(&places));
                SpawnedTask::spawn_blocking(move || {
                    let parts: Vec<&dyn Array> = std::iter::once(&absent).chain(&parts).map(AsRef::as_ref).collect();
                    Ok::<_, EngineError>((name, interleave(&parts, &places)?))
                })
            })
            .collect();
        let mut ordered = BTreeMap::new();
        for task in tasks {
            let (name, values) = joined(task).await?;
            ordered.insert(name, values);
        }
        Ok(ordered)
    }
}

/// Columns of a table that has a row for each profile, after their ordinals.
pub(super) struct Unordered {
    /// No rows of them.
    nothing: RecordBatch,
    batches: Vec<RecordBatch>,
}

impl Unordered {
    /// Reads them; it need not be known who the people are.
    ///
    /// # Errors
    /// What the query reports.
    pub(super) async fn read(session: &SessionContext, table: &str, columns: &[String]) -> Result<Self> {
        // By another name, for it may be one of the columns.
        let whose = ident(ORDINAL).alias(WHOSE);
        let selected: Vec<_> = std::iter::once(whose).chain(columns.iter().map(ident)).collect();
        let frame = session.table(table).await?.select(selected)?;
        let nothing = RecordBatch::new_empty(Arc::new(frame.schema().as_arrow().clone()));
        Ok(Self { nothing, batches: frame.collect().await? })
    }
}

/// A set of ascending numbers: each is put behind those before it, several times as fast as where it is looked for its place.
///
/// # Errors
/// Internal if they do not ascend.
pub(crate) fn ascending(numbers: impl IntoIterator<Item = u32>) -> Result<RoaringBitmap> {
    RoaringBitmap::from_sorted_iter(numbers).map_err(|_| EngineError::internal("numbers of a set do not ascend"))
}

/// An ordinal as bitmaps have it.
fn small(ordinal: i64) -> Result<u32> {
    u32::try_from(ordinal).ok().filter(|&ordinal| ordinal != NOBODY).ok_or_else(|| {
        EngineError::new(
            ErrorKind::Exhausted,
            format!("there are more than {} identifiers: segments cannot number so many", u32::MAX - 1),
        )
    })
}
