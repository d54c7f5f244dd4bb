//! A block of profiles: the columns that conditions and traits are computed from.
//!
//! Most profiles did not do most things. So a figure is computed of those who did anything of its kind, and once of somebody
//! who did nothing; a condition on it likewise, and only its truth is told of every profile. Conditions that join several
//! columns need the figure itself of everybody.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::bits::bits as bits_of;
use super::figures::{Figures, measure_column, sequence_column};
use super::fold::{self, Days};
use super::kept::Kept;
use super::population::{Beside, Population};
use super::sequence;
use super::series::Series;
use super::types::day_of;
use crate::error::{EngineError, Result};

/// The columns of blocks.
pub(super) struct Layout {
    schema: SchemaRef,
    figures: Figures,
    /// The measures that have a column.
    whole: BTreeSet<usize>,
    beside: Beside,
}

impl Layout {
    /// One of blocks of `population`, with columns for the measures at the places `whole`.
    pub(super) fn new(population: &Population, figures: Figures, whole: BTreeSet<usize>, beside: Beside) -> Self {
        let field = |name: &str, values: &ArrayRef| Field::new(name, values.data_type().clone(), true);
        let mut fields: Vec<Field> = population.columns.iter().map(|(name, values)| field(name, values)).collect();
        fields.extend(beside.iter().map(|(name, values)| field(name, values)));
        fields.extend(whole.iter().map(|&place| measure_field(&figures, place)));
        let sequences = 0..figures.sequences.len();
        fields.extend(sequences.map(|place| Field::new(sequence_column(place), DataType::Boolean, true)));
        Self { schema: Arc::new(Schema::new(fields)), figures, whole, beside }
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
}

impl<'p> Block<'p> {
    pub(super) fn new(population: &'p Population, layout: &'p Layout, rows: Range<u32>) -> Self {
        Self { population, layout, rows }
    }

    /// All columns of the layout.
    ///
    /// # Errors
    /// Internal if something that a figure needs was not read.
    pub(super) fn batch(&self) -> Result<RecordBatch> {
        let Layout { schema, figures, whole, beside } = self.layout;
        let slice = |values: &ArrayRef| values.slice(self.rows.start as usize, self.rows.len());
        let mut columns: Vec<ArrayRef> = self.population.columns.values().chain(beside.values()).map(slice).collect();
        for &place in whole {
            columns.push(self.measured(place)?.whole()?);
        }
        let today = day_of(self.population.as_of);
        for sequence in &figures.sequences {
            let days = Days::of(sequence.window, today);
            let selectors = sequence::selectors(sequence).into_iter().map(Kept::instants);
            let series = selectors.map(|kept| self.series(&kept)).collect::<Result<Vec<&Series>>>()?;
            columns.push(Arc::new(sequence::did(sequence, &series, days, self.rows.clone())));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
    }

    /// A measure.
    ///
    /// # Errors
    /// Internal if what it needs was not read.
    pub(super) fn measured(&self, place: usize) -> Result<Measured<'p>> {
        let measure = &self.layout.figures.measures[place];
        let series = self.series(&Kept::of(measure))?;
        let today = day_of(self.population.as_of);
        let places = series.among(&self.rows);
        let days = Days::of(measure.window, today);
        let values = fold::folded(&measure.figure, series, days, today, places.clone())?;
        Ok(Measured { profiles: &series.profiles[places], first: self.rows.start, count: self.rows.len(), values })
    }

    fn series(&self, kept: &Kept) -> Result<&'p Series> {
        let series = self.population.series.get(kept);
        series.map(Arc::as_ref).ok_or_else(|| EngineError::internal("what a figure needs was not read"))
    }
}

/// A measure of a block.
pub(super) struct Measured<'p> {
    /// Of whom anything is known: their rows among the people.
    profiles: &'p [u32],
    /// The first row of the block.
    first: u32,
    /// How many rows the block has.
    count: usize,
    /// Of those profiles, and then of somebody of whom nothing is known.
    values: ArrayRef,
}

impl Measured<'_> {
    /// The value of each row.
    fn whole(&self) -> Result<ArrayRef> {
        let mut places = vec![self.profiles.len() as u32; self.count];
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

    /// What is true of each row, by what is true of the rows of [`Measured::batch`].
    pub(super) fn spread(&self, truth: &BooleanArray) -> BooleanArray {
        let is_known = truth.nulls().map(|nulls| NullBuffer::new(self.spread_bits(nulls.inner())));
        BooleanArray::new(self.spread_bits(truth.values()), is_known)
    }

    fn spread_bits(&self, bits: &BooleanBuffer) -> BooleanBuffer {
        let others = bits.value(self.profiles.len());
        let different = if others { !bits } else { bits.clone() };
        let rows = different.set_indices().map(|place| (self.profiles[place] - self.first) as usize);
        let spread = BooleanBuffer::new(bits_of(rows, self.count), 0, self.count);
        if others { !&spread } else { spread }
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    /// Rows 10 to 15, of which 11 and 14 are known.
    fn measured(values: [Option<i64>; 3]) -> Measured<'static> {
        Measured { profiles: &[11, 14], first: 10, count: 6, values: Arc::new(Int64Array::from(values.to_vec())) }
    }

    #[test]
    fn test_whoever_is_not_known_is_like_somebody_who_did_nothing() {
        let whole = measured([Some(7), None, Some(0)]).whole().unwrap();
        let whole: Vec<Option<i64>> = whole.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(whole, [Some(0), Some(7), Some(0), Some(0), None, Some(0)]);

        let spread = |truth: [Option<bool>; 3]| -> Vec<Option<bool>> {
            measured([None; 3]).spread(&BooleanArray::from(truth.to_vec())).iter().collect()
        };
        let (yes, no, unknown) = (Some(true), Some(false), None);
        assert_eq!(spread([yes, no, no]), [no, yes, no, no, no, no]);
        assert_eq!(spread([yes, no, yes]), [yes, yes, yes, yes, no, yes]);
        assert_eq!(spread([yes, unknown, no]), [no, yes, no, no, unknown, no]);
        assert_eq!(spread([yes, no, unknown]), [unknown, yes, unknown, unknown, no, unknown]);
    }
}
