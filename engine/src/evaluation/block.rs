//! A block of profiles: the columns that conditions and traits are computed from.
//!
//! Most profiles did not do most things. So a figure is computed of those who did anything of its kind, and once of somebody
//! who did nothing; a condition on it likewise, and only its truth is told of every profile. Conditions that join several
//! columns need the figure itself of everybody.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use roaring::RoaringBitmap;

use super::bits::bits;
use super::figures::{Figures, measure_column, sequence_column};
use super::fold::{self, Days};
use super::kept::Kept;
use super::people::ascending;
use super::population::{Beside, Population};
use super::sequence::{self, Alike};
use super::series::Series;
use super::types::day_of;
use crate::error::{EngineError, Result};

/// Sets of fewer are told one by one.
const SPARSE_MAX: usize = 256;

/// The columns of blocks.
pub(super) struct Layout {
    schema: SchemaRef,
    figures: Figures,
    /// What measures are folded from.
    series: Vec<Arc<Series>>,
    /// Which of them each measure is.
    measured: Vec<usize>,
    /// The sequences, with the instants of the events that they are of.
    sequences: Vec<(Alike, Vec<Arc<Series>>)>,
    /// The measures that have a column.
    whole: BTreeSet<usize>,
    beside: Beside,
}

impl Layout {
    /// One of blocks of `population`, with columns for the measures at the places `whole`.
    ///
    /// # Errors
    /// Internal if something that a figure needs was not read.
    pub(super) fn new(
        population: &Population,
        figures: Figures,
        whole: BTreeSet<usize>,
        beside: Beside,
    ) -> Result<Self> {
        let field = |name: &str, values: &ArrayRef| Field::new(name, values.data_type().clone(), true);
        let mut fields: Vec<Field> = population.columns.iter().map(|(name, values)| field(name, values)).collect();
        fields.extend(beside.iter().map(|(name, values)| field(name, values)));
        fields.extend(whole.iter().map(|&place| measure_field(&figures, place)));
        let sequences = 0..figures.sequences.len();
        fields.extend(sequences.map(|place| Field::new(sequence_column(place), DataType::Boolean, true)));
        let series = |kept: &Kept| {
            let series = population.series.get(kept).map(Arc::clone);
            series.ok_or_else(|| EngineError::internal("what a figure needs was not read"))
        };
        let mut kept: Vec<Kept> = figures.measures.iter().map(Kept::of).collect();
        let measured = kept.clone();
        kept.sort();
        kept.dedup();
        let measured = measured.iter().map(|of| kept.partition_point(|known| known < of)).collect();
        let instants = |alike: Alike| {
            let kept = alike.selectors().iter().map(Kept::instants);
            let instants = kept.map(|kept| series(&kept)).collect::<Result<_>>()?;
            Ok((alike, instants))
        };
        let sequences = sequence::alike(&figures.sequences).into_iter().map(instants).collect::<Result<_>>()?;
        let series = kept.iter().map(series).collect::<Result<_>>()?;
        Ok(Self { schema: Arc::new(Schema::new(fields)), figures, series, measured, sequences, whole, beside })
    }

    /// The columns.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// That of a measure alone, whether it has a column in blocks or not.
    pub(super) fn schema_of_measure(&self, place: usize) -> SchemaRef {
        Arc::new(Schema::new(vec![measure_field(&self.figures, place)]))
    }
}

fn measure_field(figures: &Figures, place: usize) -> Field {
    Field::new(measure_column(place), fold::data_type(&figures.measures[place].figure), true)
}

/// Some profiles.
pub(super) struct Block<'p> {
    population: &'p Population,
    layout: &'p Layout,
    /// Their rows among the people.
    rows: Range<u32>,
    bits: Bits<'p>,
    /// Of each series of the layout the rows by day, if they were asked for.
    by_day: Vec<OnceCell<Vec<u32>>>,
}

impl<'p> Block<'p> {
    pub(super) fn new(population: &'p Population, layout: &'p Layout, rows: Range<u32>) -> Self {
        let bits = Bits(&population.people.bits()[rows.start as usize..rows.end as usize]);
        let by_day = vec![OnceCell::new(); layout.series.len()];
        Self { population, layout, rows, bits, by_day }
    }

    /// All columns of the layout.
    ///
    /// # Errors
    /// Internal if a figure does not have its type.
    pub(super) fn batch(&self) -> Result<RecordBatch> {
        let Layout { schema, sequences, whole, beside, .. } = self.layout;
        let slice = |values: &ArrayRef| values.slice(self.rows.start as usize, self.rows.len());
        let mut columns: Vec<ArrayRef> = self.population.columns.values().chain(beside.values()).map(slice).collect();
        for &place in whole {
            columns.push(self.measured(place)?.whole()?);
        }
        let today = day_of(self.population.as_of);
        let mut did: Vec<(usize, BooleanArray)> = Vec::new();
        for (alike, instants) in sequences {
            let instants: Vec<&Series> = instants.iter().map(Arc::as_ref).collect();
            did.extend(alike.did(&instants, &self.rows, today));
        }
        did.sort_by_key(|(place, _)| *place);
        columns.extend(did.into_iter().map(|(_, did)| Arc::new(did) as ArrayRef));
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }

    /// A measure.
    ///
    /// # Errors
    /// Internal if it does not have its type.
    pub(super) fn measured(&self, place: usize) -> Result<Measured<'p>> {
        let (measure, of) = (&self.layout.figures.measures[place], self.layout.measured[place]);
        let series = &self.layout.series[of];
        let today = day_of(self.population.as_of);
        let places = series.among(&self.rows);
        let days = Days::of(measure.window, today);
        let values = fold::folded(&measure.figure, series, days, today, places.clone(), &self.by_day[of])?;
        let (profiles, known) = (&series.profiles[places.clone()], &series.bits[places]);
        Ok(Measured { profiles, known, first: self.rows.start, bits: self.bits, values })
    }

    /// What is true of the rows, for [`Block::members`].
    pub(super) fn mask(&self, truth: &BooleanArray) -> BooleanArray {
        spread(truth, |truth| self.bits.set(truth.set_indices().map(|row| self.bits.0[row])))
    }

    /// True of everybody.
    pub(super) fn everybody(&self) -> BooleanBuffer {
        self.bits.set(self.bits.0.iter().copied())
    }

    /// The people of whom a mask is true.
    ///
    /// # Errors
    /// Internal if bits are not ordered.
    pub(super) fn members(&self, mask: &BooleanBuffer) -> Result<RoaringBitmap> {
        self.bits.members(mask)
    }
}

fn spread(truth: &BooleanArray, set: impl Fn(&BooleanBuffer) -> BooleanBuffer) -> BooleanArray {
    let is_known = truth.nulls().map(|nulls| NullBuffer::new(set(nulls.inner())));
    BooleanArray::new(set(truth.values()), is_known)
}

/// The bits that the rows of a block have in sets of people, ascending. A mask has a place for each bit from the first to the
/// last, as bitmaps take them, and says nothing of those that are nobody's.
#[derive(Clone, Copy)]
struct Bits<'p>(&'p [u32]);

impl Bits<'_> {
    /// The bit of the first place: bitmaps take whole bytes.
    fn start(self) -> u32 {
        self.0.first().map_or(0, |first| first & !7)
    }

    /// A mask that is true of some ascending bits.
    fn set(self, bits_of_some: impl Iterator<Item = u32>) -> BooleanBuffer {
        let start = self.start();
        let count = self.0.last().map_or(0, |last| (last - start) as usize + 1);
        BooleanBuffer::new(bits(bits_of_some.map(|bit| (bit - start) as usize), count), 0, count)
    }

    fn members(self, mask: &BooleanBuffer) -> Result<RoaringBitmap> {
        let start = self.start();
        if mask.count_set_bits() < SPARSE_MAX {
            let members = mask.set_indices().map(|place| start + place as u32);
            return ascending(members);
        }
        // So they are taken several times as fast as one by one.
        Ok(RoaringBitmap::from_lsb0_bytes(start, mask.sliced().as_slice()))
    }
}

/// A measure of a block.
pub(super) struct Measured<'p> {
    /// Of whom anything is known: their rows among the people.
    profiles: &'p [u32],
    /// Their bits.
    known: &'p [u32],
    /// The first row of the block.
    first: u32,
    /// Those of the block.
    bits: Bits<'p>,
    /// Of those profiles, and then of somebody of whom nothing is known.
    values: ArrayRef,
}

impl Measured<'_> {
    /// The value of each row.
    fn whole(&self) -> Result<ArrayRef> {
        let mut places = vec![self.profiles.len() as u32; self.bits.0.len()];
        for (place, profile) in self.profiles.iter().enumerate() {
            places[(profile - self.first) as usize] = place as u32;
        }
        Ok(take(&self.values, &UInt32Array::from(places), None)?)
    }

    /// The values alone: those of the profiles of whom anything is known, and of somebody else. `schema` has a column.
    ///
    /// # Errors
    /// Internal if the schema is that of another measure.
    pub(super) fn batch(&self, schema: &SchemaRef) -> Result<RecordBatch> {
        Ok(RecordBatch::try_new(Arc::clone(schema), vec![Arc::clone(&self.values)])?)
    }

    /// As [`Block::mask`], from what is true of the rows of [`Measured::batch`].
    pub(super) fn mask(&self, truth: &BooleanArray) -> BooleanArray {
        spread(truth, |truth| {
            let others = truth.value(self.profiles.len());
            let different = if others { !truth } else { truth.clone() };
            let set = self.bits.set(different.set_indices().map(|place| self.known[place]));
            if others { !&set } else { set }
        })
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    /// Rows 10 to 15, of which 11 and 14 are known, with the bits 20 to 25.
    fn measured(values: [Option<i64>; 3]) -> Measured<'static> {
        let bits = Bits(&[20, 21, 22, 23, 24, 25]);
        let values = Arc::new(Int64Array::from(values.to_vec()));
        Measured { profiles: &[11, 14], known: &[21, 24], first: 10, bits, values }
    }

    #[test]
    fn test_whoever_is_not_known_is_like_somebody_who_did_nothing() {
        let whole = measured([Some(7), None, Some(0)]).whole().unwrap();
        let whole: Vec<Option<i64>> = whole.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(whole, [Some(0), Some(7), Some(0), Some(0), None, Some(0)]);

        let spread = |truth: [Option<bool>; 3]| -> Vec<Option<bool>> {
            // The places begin with the bit 16.
            measured([None; 3]).mask(&BooleanArray::from(truth.to_vec())).iter().skip(4).collect()
        };
        let (yes, no, unknown) = (Some(true), Some(false), None);
        assert_eq!(spread([yes, no, no]), [no, yes, no, no, no, no]);
        assert_eq!(spread([yes, no, yes]), [yes, yes, yes, yes, no, yes]);
        assert_eq!(spread([yes, unknown, no]), [no, yes, no, no, unknown, no]);
        assert_eq!(spread([yes, no, unknown]), [unknown, yes, unknown, unknown, no, unknown]);
    }

    #[test]
    fn test_members_are_those_of_whom_a_mask_is_true() {
        let close: Vec<u32> = (9..1000).filter(|bit| bit % 7 != 0).collect();
        let far: Vec<u32> = (1..250).map(|number| number * number).collect();
        for of_rows in [close, far, Vec::new()] {
            let bits = Bits(&of_rows);
            for every in [1, 2, 5, 400] {
                let some: Vec<u32> = of_rows.iter().copied().step_by(every).collect();
                let members = bits.members(&bits.set(some.iter().copied())).unwrap();
                assert_eq!(members.iter().collect::<Vec<_>>(), some, "every {every}");
            }
        }
    }
}
