//! Who entered and who left segments, as rows of `segment.member_sets`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::catalog::TableProvider;
use datafusion::datasource::MemTable;
use hashbrown::HashMap;
use roaring::RoaringBitmap;

use super::member_sets::{ENTERED, LEFT, append};
use super::members::Members;
use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::evaluation::{People, ascending};

/// Who goes on where the identifier that a profile goes by is gone: the profile's ordinal, by the identifier's.
pub(super) type Successors = HashMap<u32, u32>;

/// Sets in a batch of rows: few enough to be written while they are in a processor's cache, and far from the 2 GiB that an
/// array of bytes holds.
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Sets that are worth a task, and a file, of their own.
const TASK_BYTES: usize = 32 * 1024 * 1024;

/// Rows of `segment.member_sets`.
pub(super) struct Sets {
    generation: i64,
    rows: Rows,
    batches: Vec<RecordBatch>,
}

/// Rows that are not in a batch yet.
#[derive(Default)]
struct Rows {
    segments: Vec<String>,
    changes: Vec<&'static str>,
    at: Vec<Micros>,
    sizes: Vec<i64>,
    members: BinaryBuilder,
    is_change: Vec<bool>,
}

impl Sets {
    pub(super) fn new(generation: i64) -> Self {
        Self { generation, rows: Rows::default(), batches: Vec::new() }
    }

    pub(super) fn add(
        &mut self,
        name: &str,
        change: &'static str,
        at: Micros,
        members: RoaringBitmap,
        is_change: bool,
    ) -> Result<()> {
        if members.is_empty() {
            return Ok(());
        }
        let rows = &mut self.rows;
        rows.segments.push(name.to_owned());
        rows.changes.push(change);
        rows.at.push(at);
        rows.sizes.push(i64::try_from(members.len()).unwrap_or(i64::MAX));
        append(&mut rows.members, members)?;
        rows.is_change.push(is_change);
        if rows.members.values_slice().len() > BATCH_BYTES { self.flush() } else { Ok(()) }
    }

    /// Adds what makes the members of before, of those of whom the people tell, those of now: both as bits of the people. A
    /// membership follows the person: who is part of another profile now is a member as that one, since the earlier of both.
    pub(super) fn compare(
        &mut self,
        name: &str,
        before: &Members,
        now: RoaringBitmap,
        people: &People,
        successors: &Successors,
        as_of: Micros,
    ) -> Result<()> {
        let gone = people.gone(before.all());
        let (followed, successions) = succession(&gone, before, &now, people, successors);
        let stayed = ascending(successions.iter().map(|(to, _)| *to))?;
        let mut earlier: BTreeMap<Micros, Vec<u32>> = BTreeMap::new();
        let mut met = Vec::new();
        for (to, at) in successions {
            let known = before.entered_at(to);
            if known.is_none_or(|known| at < known) {
                met.extend(known.map(|_| to));
                earlier.entry(at).or_default().push(to);
            }
        }
        let followed = ascending(followed)?;
        // Who is gone is nobody of now, and left unless somebody goes on for them.
        let left = (before.all() - &now) - &followed;
        let entered = (now - before.all()) - stayed;
        // Who goes by another bit, and leaves the one of before; or is a member since earlier.
        let renamed = followed | ascending(met)?;
        self.add(name, LEFT, as_of, people.ordinals_of(renamed)?, false)?;
        for (at, members) in earlier {
            self.add(name, ENTERED, at, people.ordinals_of(ascending(members)?)?, false)?;
        }
        self.add(name, LEFT, as_of, people.ordinals_of(left)?, true)?;
        self.add(name, ENTERED, as_of, people.ordinals_of(entered)?, true)
    }

    fn flush(&mut self) -> Result<()> {
        let mut rows = std::mem::take(&mut self.rows);
        let count = rows.segments.len();
        // As views, sets are not copied where rows are filtered.
        let members = cast(&rows.members.finish(), &DataType::BinaryView)?;
        let columns: [(&str, ArrayRef); 7] = [
            ("segment", Arc::new(StringArray::from(rows.segments))),
            ("generation", Arc::new(Int64Array::from(vec![self.generation; count]))),
            ("change", Arc::new(StringArray::from(rows.changes))),
            ("at", Arc::new(TimestampMicrosecondArray::from(rows.at).with_timezone("UTC"))),
            ("size", Arc::new(Int64Array::from(rows.sizes))),
            ("members", members),
            ("is_change", Arc::new(BooleanArray::from(rows.is_change))),
        ];
        let columns = columns.into_iter().map(|(name, values)| (name, values, true));
        self.batches.push(RecordBatch::try_from_iter_with_nullable(columns)?);
        Ok(())
    }

    /// All rows: at least one batch, which may be empty.
    pub(super) fn batches(mut self) -> Result<Vec<RecordBatch>> {
        self.flush()?;
        Ok(self.batches)
    }
}

/// Of members who are gone those whom a member of now goes on for; and the latter, each with the earliest instant since when.
/// Who is not among the former left, under the ordinal of before.
fn succession(
    gone: &RoaringBitmap,
    before: &Members,
    now: &RoaringBitmap,
    people: &People,
    successors: &Successors,
) -> (Vec<u32>, Vec<(u32, Micros)>) {
    let (mut followed, mut successions) = (Vec::new(), Vec::new());
    for from in gone {
        let gone = people.ordinal_of(from);
        let successor = || successors.get(&gone).and_then(|to| people.bit_of_profile(*to));
        let to = people.bit_of_profile(gone).or_else(successor).filter(|to| now.contains(*to));
        if let (Some(to), Some(at)) = (to, before.entered_at(from)) {
            followed.push(from);
            successions.push((to, at));
        }
    }
    successions.sort_unstable();
    successions.dedup_by_key(|(to, _)| *to);
    (followed, successions)
}

/// Parts as a table, of which each is written by a task of its own, or all by one if they are small.
pub(super) fn table_of(mut parts: Vec<Vec<RecordBatch>>) -> Result<Arc<dyn TableProvider>> {
    if bytes_of(&parts) < TASK_BYTES {
        parts = vec![parts.into_iter().flatten().collect()];
    }
    let schema = parts.iter().flatten().next().map(RecordBatch::schema);
    let schema = schema.ok_or_else(|| EngineError::internal("sets have no batch"))?;
    Ok(Arc::new(MemTable::try_new(schema, parts)?))
}

pub(super) fn bytes_of(parts: &[Vec<RecordBatch>]) -> usize {
    parts.iter().flatten().map(RecordBatch::get_array_memory_size).sum()
}
