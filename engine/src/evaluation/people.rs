//! The profiles of a generation as rows, in the order of their ordinals.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::Int64Type;
use datafusion::common::runtime::SpawnedTask;
use datafusion::logical_expr::ident;
use datafusion::prelude::SessionContext;
use roaring::RoaringBitmap;

use super::scope::Scope;
use crate::error::{EngineError, ErrorKind, Result};
use crate::query::cpu_runtime::joined;

/// The row of an identifier that no profile has.
pub(super) const NOBODY: u32 = u32::MAX;
/// Identifiers as the last generation had them, of those that a refresh touched: `new.`, since a refresh to which nothing
/// is new leaves the table as it was.
const EARLIER: &str = "select earlier_ordinal from new.identity.touched where earlier_ordinal is not null";
/// The column by which states and segments know a profile.
const ORDINAL: &str = "ordinal";

/// Who the profiles are: all of them, or those that a refresh touched.
#[derive(Debug)]
pub(crate) struct People {
    ordinals: Vec<u32>,
    living: RoaringBitmap,
    /// The identifiers whose profiles these are, or were; `None` for all.
    scope: Option<RoaringBitmap>,
    /// Those of the scope that are no living profile's ordinal.
    gone: RoaringBitmap,
    /// The row of the profile that has an identifier, by the identifier's ordinal.
    rows: Vec<u32>,
}

impl People {
    /// Reads who the profiles are and which identifiers they have, or had.
    ///
    /// # Errors
    /// What the query reports; Exhausted for more identifiers than bitmaps can number.
    pub(super) async fn read(session: &SessionContext, scope: Scope) -> Result<Self> {
        let columns = [ORDINAL, "profile_ordinal"];
        let batches = session.table(scope.identities()).await?.select_columns(&columns)?.collect().await?;
        let mut profile_of: Vec<u32> = Vec::new();
        for batch in &batches {
            let [of, profiles] = [0, 1].map(|column| batch.column(column).as_primitive::<Int64Type>());
            for (&ordinal, &profile) in of.values().iter().zip(profiles.values()) {
                let place = small(ordinal)? as usize;
                if profile_of.len() <= place {
                    profile_of.resize(place + 1, NOBODY);
                }
                profile_of[place] = small(profile)?;
            }
        }
        let is_anchor = |(ordinal, profile): (usize, &u32)| (*profile as usize == ordinal).then_some(*profile);
        let ordinals: Vec<u32> = profile_of.iter().enumerate().filter_map(is_anchor).collect();
        let mut row_of = vec![NOBODY; profile_of.len()];
        for (row, &ordinal) in ordinals.iter().enumerate() {
            row_of[ordinal as usize] = row as u32;
        }
        let scope = match scope {
            Scope::Everybody => None,
            Scope::Touched { .. } => {
                let now = profile_of.iter().enumerate().filter(|(_, profile)| **profile != NOBODY);
                let mut touched: RoaringBitmap = now.map(|(ordinal, _)| ordinal as u32).collect();
                for batch in session.sql(EARLIER).await?.collect().await? {
                    let earlier = batch.column(0).as_primitive::<Int64Type>();
                    touched.extend(earlier.values().iter().map(|&ordinal| small(ordinal)).collect::<Result<Vec<_>>>()?);
                }
                Some(touched)
            }
        };
        let rows = profile_of.iter().map(|&profile| row_of.get(profile as usize).copied().unwrap_or(NOBODY)).collect();
        let living = RoaringBitmap::from_sorted_iter(ordinals.iter().copied())
            .map_err(|_| EngineError::internal("ordinals are not ordered"))?;
        let gone = scope.as_ref().map(|scope| scope - &living).unwrap_or_default();
        Ok(Self { ordinals, living, scope, gone, rows })
    }

    /// People who have one identifier each, of whom these are the ordinals.
    #[cfg(test)]
    pub(super) fn of(ordinals: Vec<u32>) -> Self {
        let mut rows = vec![NOBODY; ordinals.last().map_or(0, |last| *last as usize + 1)];
        ordinals.iter().enumerate().for_each(|(row, &ordinal)| rows[ordinal as usize] = row as u32);
        let living = ordinals.iter().copied().collect();
        Self { ordinals, living, scope: None, gone: RoaringBitmap::new(), rows }
    }

    /// How many they are.
    pub(crate) fn len(&self) -> usize {
        self.ordinals.len()
    }

    /// True if there is nobody of whom they could tell anything.
    pub(crate) fn are_none(&self) -> bool {
        self.ordinals.is_empty() && self.scope.as_ref().is_none_or(RoaringBitmap::is_empty)
    }

    /// The profiles' ordinals, ascending: that of each row.
    pub(crate) fn ordinals(&self) -> &[u32] {
        &self.ordinals
    }

    /// The same as a set.
    pub(crate) fn living(&self) -> &RoaringBitmap {
        &self.living
    }

    /// The profiles, as they were, of whom these people tell what they are now; `None` for all.
    pub(crate) fn scope(&self) -> Option<&RoaringBitmap> {
        self.scope.as_ref()
    }

    /// Those of some profiles of the scope, as they were, that there are no more.
    pub(crate) fn gone(&self, before: &RoaringBitmap) -> RoaringBitmap {
        match self.scope {
            Some(_) => before & &self.gone,
            None => before - &self.living,
        }
    }

    /// The ordinal of the profile that has an identifier now.
    pub(crate) fn profile_of(&self, identifier: u32) -> Option<u32> {
        self.ordinals.get(self.row_of(i64::from(identifier)) as usize).copied()
    }

    /// The row of the profile that has an identifier, or [`NOBODY`].
    pub(super) fn row_of(&self, identifier: i64) -> u32 {
        usize::try_from(identifier).ok().and_then(|ordinal| self.rows.get(ordinal)).copied().unwrap_or(NOBODY)
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
        let selected: Vec<_> = std::iter::once(ORDINAL).chain(columns.iter().map(String::as_str)).map(ident).collect();
        let frame = session.table(table).await?.select(selected)?;
        let nothing = RecordBatch::new_empty(Arc::new(frame.schema().as_arrow().clone()));
        Ok(Self { nothing, batches: frame.collect().await? })
    }
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
