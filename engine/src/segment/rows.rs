//! Sets as rows in SQL: `set_members` has a row for each ordinal of each set, `members_of` for each member of each segment.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMicrosecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::MemoryReservation;
use roaring::RoaringBitmap;

use super::member_sets::{MemberSets, bitmaps, bytes_of_sets};
use crate::query::relation::{Operator, Output, Relation};

/// Rows of a batch.
const BATCH_ROWS: usize = 8192;
const ORDINAL: &str = "ordinal";

/// `set_members((select ..., members from ...))`: `ordinal` of each member, with the other columns.
#[derive(Debug)]
pub(super) struct SetMembers;

impl Relation for SetMembers {
    fn name(&self) -> &'static str {
        "set_members"
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        let Some((_, others)) = input.fields().split_last() else {
            return Err(DataFusionError::Plan("set_members takes a query whose last column is sets".to_owned()));
        };
        let fields =
            others.iter().map(|field| field.as_ref().clone()).chain([Field::new(ORDINAL, DataType::Int64, false)]);
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

    fn partition_by(&self) -> &'static [&'static str] {
        &["segment"]
    }

    fn operator(&self, reservation: MemoryReservation) -> Box<dyn Operator> {
        Box::new(Unpacking { batches: Vec::new(), reservation })
    }
}

struct Unpacking {
    batches: Vec<RecordBatch>,
    reservation: MemoryReservation,
}

impl Operator for Unpacking {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.reservation.try_grow(bytes_of_sets(batch)?)?;
        self.batches.push(batch.clone());
        Ok(())
    }

    fn finish(self: Box<Self>, _: usize) -> Vec<Output> {
        let Self { batches, reservation } = *self;
        let rows = batches.into_iter().flat_map(move |batch| {
            let _held = &reservation;
            (0..batch.num_rows()).map(move |row| (batch.clone(), row))
        });
        vec![Box::new(rows.flat_map(|(batch, row)| match unpacked(&batch, row) {
            Ok(batches) => Box::new(batches) as Output,
            Err(error) => Box::new(std::iter::once(Err(error))),
        }))]
    }
}

/// The rows for one set.
fn unpacked(batch: &RecordBatch, row: usize) -> Result<impl Iterator<Item = Result<RecordBatch>> + use<>> {
    let (others, sets) = (batch.columns().split_last()).map_or((&[][..], None), |(sets, others)| (others, Some(sets)));
    let sets = sets.ok_or_else(|| DataFusionError::Internal("a batch has no sets".to_owned()))?;
    let schema = SetMembers.schema(&batch.schema())?;
    let others: Vec<ArrayRef> = others.iter().map(|column| column.slice(row, 1)).collect();
    let set = bitmaps(&sets.slice(row, 1))?.pop().unwrap_or_default();
    Ok(ordinals(set).map(move |ordinals| {
        let repeated = UInt32Array::from(vec![0; ordinals.len()]);
        let columns = others.iter().map(|column| take(column, &repeated, None));
        let mut columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        columns.push(Arc::new(ordinals));
        Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
    }))
}

/// The members of a set, in arrays of some.
fn ordinals(set: RoaringBitmap) -> impl Iterator<Item = Int64Array> {
    let mut members = set.into_iter();
    std::iter::from_fn(move || {
        let some: Vec<i64> = members.by_ref().take(BATCH_ROWS).map(i64::from).collect();
        (!some.is_empty()).then(|| Int64Array::from(some))
    })
}

/// `members_of((select segment, generation, change, at, members from segment.member_sets))`: `segment, ordinal,
/// entered_at` of each member.
#[derive(Debug)]
pub(super) struct MembersOf;

impl Relation for MembersOf {
    fn name(&self) -> &'static str {
        "members_of"
    }

    fn schema(&self, input: &Schema) -> Result<SchemaRef> {
        let names: Vec<&str> = input.fields().iter().map(|field| field.name().as_str()).collect();
        if names != ["segment", "generation", "change", "at", "members"] {
            let message = "members_of takes segment, generation, change, at, members";
            return Err(DataFusionError::Plan(message.to_owned()));
        }
        Ok(Arc::new(Schema::new(vec![
            Field::new("segment", DataType::Utf8View, false),
            Field::new(ORDINAL, DataType::Int64, false),
            Field::new("entered_at", DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())), false),
        ])))
    }

    fn partition_by(&self) -> &'static [&'static str] {
        &["segment"]
    }

    fn operator(&self, reservation: MemoryReservation) -> Box<dyn Operator> {
        Box::new(Folding { sets: MemberSets::default(), reservation })
    }
}

struct Folding {
    sets: MemberSets,
    reservation: MemoryReservation,
}

impl Operator for Folding {
    fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.reservation.try_grow(bytes_of_sets(batch)?)?;
        Ok(self.sets.push(batch, None)?)
    }

    fn finish(self: Box<Self>, _: usize) -> Vec<Output> {
        let Self { sets, reservation } = *self;
        let segments: Vec<String> = sets.segments().map(str::to_owned).collect();
        vec![Box::new(segments.into_iter().flat_map(move |segment| -> Output {
            let _held = &reservation;
            match sets.members(&segment) {
                Ok(members) => Box::new(members.into_since().flat_map(move |(at, set)| {
                    let segment = segment.clone();
                    ordinals(set).map(move |ordinals| member_rows(&segment, at, ordinals))
                })),
                Err(error) => Box::new(std::iter::once(Err(error.into()))),
            }
        }))]
    }
}

fn member_rows(segment: &str, at: i64, ordinals: Int64Array) -> Result<RecordBatch> {
    let count = ordinals.len();
    let segments = StringViewArray::from_iter_values(std::iter::repeat_n(segment, count));
    let at = TimestampMicrosecondArray::from(vec![at; count]).with_timezone("UTC");
    let schema = Schema::new(vec![
        Field::new("segment", DataType::Utf8View, false),
        Field::new(ORDINAL, DataType::Int64, false),
        Field::new("entered_at", at.data_type().clone(), false),
    ]);
    Ok(RecordBatch::try_new(Arc::new(schema), vec![Arc::new(segments), Arc::new(ordinals), Arc::new(at)])?)
}
