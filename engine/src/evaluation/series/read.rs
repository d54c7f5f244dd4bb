//! From batches in the order of reading to series in the order of profiles: what a series needs of a batch is taken out of it
//! at once, while it is in the caches, and then written once more, to where it belongs.

use std::borrow::Cow;

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray, StringViewArray};
use arrow::datatypes::{ArrowPrimitiveType, Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::{Columns, Day, Needs, Series};
use crate::decimal::parse_decimal;
use crate::error::{EngineError, ErrorKind, Result};
use crate::evaluation::people::{NOBODY, People};
use crate::query::interner::Interner;

/// The most rows of a chunk, unless one batch has more. A larger one would be copied again and again as it grows, into memory
/// that is new.
const CHUNK_ROWS: usize = 32 * 1024;
/// A series with less than a row for so many people is sorted, not counted through.
const RARE: usize = 16;

/// What several series have of some batches.
pub(in crate::evaluation) struct Chunks {
    needs: Vec<Needs>,
    /// Of each series those that are complete, and the one that grows.
    of_series: Vec<(Vec<Chunk>, Chunk)>,
    /// The rows of a batch that are each series'.
    rows: Vec<Vec<u32>>,
    /// Whose each row of a batch is.
    profiles: Vec<u32>,
}

/// The series of a row that belongs to none.
pub(in crate::evaluation) const NOWHERE: u32 = u32::MAX;

/// Rows of a series, in the order of reading.
#[derive(Default)]
pub(in crate::evaluation) struct Chunk {
    /// Whose each row is: the profile's row among the people.
    profiles: Vec<u32>,
    /// What the rows say. Their values are numbers of `texts`.
    columns: Columns,
    /// None until there is a value: most of many series have no rows in most parts of what is read.
    texts: Option<Interner>,
}

impl Chunks {
    pub(in crate::evaluation) fn new(needs: Vec<Needs>) -> Self {
        let of_series = needs.iter().map(|_| Default::default()).collect();
        let (rows, profiles) = (vec![Vec::new(); needs.len()], Vec::new());
        Self { of_series, rows, profiles, needs }
    }

    /// Takes what the series need of a batch, which has the columns that any of them does. `places` are the series of its
    /// rows, or [`NOWHERE`].
    ///
    /// # Errors
    /// Internal if the batch lacks a column.
    pub(in crate::evaluation) fn push(&mut self, batch: &RecordBatch, people: &People, places: &[u32]) -> Result<()> {
        self.rows.iter_mut().for_each(Vec::clear);
        let ordinals = column(batch, "ordinal")?.as_primitive::<Int64Type>();
        // All at once, so that the processor waits for many reads at the same time.
        self.profiles.clear();
        self.profiles.extend(ordinals.values().iter().map(|&ordinal| people.row_of(ordinal)));
        for ((row, &profile), &place) in (0..).zip(&self.profiles).zip(places) {
            if profile != NOBODY && place != NOWHERE {
                self.rows[place as usize].push(row);
            }
        }
        let of_batch = OfBatch::new(batch, self.needs.iter().copied().fold(Needs::default(), Needs::or))?;
        for (((complete, chunk), needs), rows) in self.of_series.iter_mut().zip(&self.needs).zip(&self.rows) {
            if chunk.rows() + rows.len() > CHUNK_ROWS {
                let next = chunk.like();
                complete.push(std::mem::replace(chunk, next));
            }
            taken(&self.profiles, rows, &mut chunk.profiles);
            chunk.extend(&of_batch, *needs, rows)?;
        }
        Ok(())
    }

    /// What each series has.
    pub(in crate::evaluation) fn finish(self) -> Vec<Vec<Chunk>> {
        let chunks = |(mut complete, last): (Vec<Chunk>, Chunk)| {
            complete.push(last);
            complete
        };
        self.of_series.into_iter().map(chunks).collect()
    }
}

/// The columns of a batch, 0 for null; those that nobody needs are empty.
#[derive(Default)]
struct OfBatch<'b> {
    days: Cow<'b, [i32]>,
    counts: Cow<'b, [i64]>,
    first_at: Cow<'b, [i64]>,
    last_at: Cow<'b, [i64]>,
    totals: Cow<'b, [i128]>,
    number_counts: Cow<'b, [i64]>,
    leasts: Cow<'b, [i128]>,
    mosts: Cow<'b, [i128]>,
    values: Option<&'b StringViewArray>,
}

impl<'b> OfBatch<'b> {
    fn new(batch: &'b RecordBatch, needs: Needs) -> Result<Self> {
        let mut columns = Self::default();
        if needs.instants {
            columns.first_at = values::<TimestampMicrosecondType>(batch, "at")?;
            return Ok(columns);
        }
        columns.days = values::<Date32Type>(batch, "date")?;
        columns.counts = values::<Int64Type>(batch, "event_count")?;
        if needs.times {
            columns.first_at = values::<TimestampMicrosecondType>(batch, "first_at")?;
            columns.last_at = values::<TimestampMicrosecondType>(batch, "last_at")?;
        }
        if needs.totals {
            columns.totals = values::<Decimal128Type>(batch, "total")?;
        }
        if needs.numbers {
            columns.number_counts = values::<Int64Type>(batch, "number_count")?;
            columns.leasts = values::<Decimal128Type>(batch, "least")?;
            columns.mosts = values::<Decimal128Type>(batch, "most")?;
        }
        if needs.values {
            columns.values = Some(column(batch, "property_value")?.as_string_view());
        }
        Ok(columns)
    }
}

/// A column's values; 0 for null.
fn values<'b, T: ArrowPrimitiveType>(batch: &'b RecordBatch, name: &str) -> Result<Cow<'b, [T::Native]>> {
    let column: &PrimitiveArray<T> = column(batch, name)?.as_primitive();
    Ok(match column.nulls() {
        None => Cow::Borrowed(column.values()),
        Some(_) => Cow::Owned(column.iter().map(Option::unwrap_or_default).collect()),
    })
}

impl Chunk {
    /// One without rows that has room for all that a chunk may have: as it grows, its columns would be copied.
    fn like(&self) -> Self {
        fn room<T>(column: &[T]) -> Vec<T> {
            Vec::with_capacity(if column.is_empty() { 0 } else { CHUNK_ROWS })
        }
        let columns = Columns {
            days: room(&self.columns.days),
            first_at: room(&self.columns.first_at),
            last_at: room(&self.columns.last_at),
            totals: room(&self.columns.totals),
            number_counts: room(&self.columns.number_counts),
            leasts: room(&self.columns.leasts),
            mosts: room(&self.columns.mosts),
            values: room(&self.columns.values),
        };
        Self { profiles: room(&self.profiles), columns, texts: None }
    }

    /// How many rows it has.
    pub(in crate::evaluation) fn rows(&self) -> usize {
        self.profiles.len()
    }

    /// Adds some rows of a batch.
    fn extend(&mut self, batch: &OfBatch<'_>, needs: Needs, rows: &[u32]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let columns = &mut self.columns;
        if needs.instants {
            taken(&batch.first_at, rows, &mut columns.first_at);
            return Ok(());
        }
        let mut bits = 0;
        columns.days.extend(rows.iter().map(|&row| {
            let (date, count) = (batch.days[row as usize], batch.counts[row as usize]);
            bits |= count;
            Day { date, count: count as u32 }
        }));
        if u32::try_from(bits).is_err() {
            let most = u32::MAX;
            let message = format!(
                "an identifier has more than {most} events of one name on a day, which is more than can be counted: find the source that sends them"
            );
            return Err(EngineError::new(ErrorKind::Exhausted, message));
        }
        if needs.times {
            taken(&batch.first_at, rows, &mut columns.first_at);
            taken(&batch.last_at, rows, &mut columns.last_at);
        }
        if needs.totals {
            taken(&batch.totals, rows, &mut columns.totals);
        }
        if needs.numbers {
            taken(&batch.number_counts, rows, &mut columns.number_counts);
            taken(&batch.leasts, rows, &mut columns.leasts);
            taken(&batch.mosts, rows, &mut columns.mosts);
        }
        if let Some(values) = batch.values.filter(|_| needs.values) {
            let texts = self.texts.get_or_insert_default();
            texts.numbers(rows.len(), |place| values.value(rows[place] as usize), &mut columns.values)?;
        }
        Ok(())
    }
}

fn taken<T: Copy>(values: &[T], rows: &[u32], to: &mut Vec<T>) {
    to.extend(rows.iter().map(|&row| values[row as usize]));
}

/// The series of which `chunks` has all rows. `bits` has the bit of each of the people.
///
/// # Errors
/// Exhausted beyond four billion rows or different values.
pub(in crate::evaluation) fn series(chunks: &[Chunk], bits: &[u32]) -> Result<Series> {
    let placed = Placed::new(chunks, bits.len())?;
    let mut of = Vec::with_capacity(placed.to.len());
    for (place, bounds) in placed.starts.windows(2).enumerate() {
        of.resize(bounds[1] as usize, place as u32);
    }
    let mut columns = Columns {
        days: placed.column(|columns| &columns.days),
        first_at: placed.column(|columns| &columns.first_at),
        last_at: placed.column(|columns| &columns.last_at),
        totals: placed.column(|columns| &columns.totals),
        number_counts: placed.column(|columns| &columns.number_counts),
        leasts: placed.column(|columns| &columns.leasts),
        mosts: placed.column(|columns| &columns.mosts),
        values: Vec::new(),
    };
    if columns.days.is_empty() {
        for bounds in placed.starts.windows(2) {
            columns.first_at[bounds[0] as usize..bounds[1] as usize].sort_unstable();
        }
    }
    let bits = placed.profiles.iter().map(|&profile| bits[profile as usize]).collect();
    let mut series = Series { bits, of, columns, ..Series::default() };
    placed.read_values(&mut series)?;
    (series.profiles, series.starts) = (placed.profiles, placed.starts);
    Ok(series)
}

/// Where the rows of a series belong.
struct Placed<'c> {
    chunks: &'c [Chunk],
    /// Where each row goes, in the order of reading.
    to: Vec<u32>,
    /// Those of the people who have rows.
    profiles: Vec<u32>,
    /// Where each one's start, and in the end the number of rows.
    starts: Vec<u32>,
}

impl<'c> Placed<'c> {
    fn new(chunks: &'c [Chunk], people: usize) -> Result<Self> {
        let count: usize = chunks.iter().map(Chunk::rows).sum();
        if u32::try_from(count).is_err() {
            let message = format!("what is kept of events for one figure has more than {} rows", u32::MAX);
            return Err(EngineError::new(ErrorKind::Exhausted, message));
        }
        let is_rare = count < people / RARE;
        Ok(if is_rare { Self::by_sorting(chunks, count) } else { Self::by_counting(chunks, count, people) })
    }

    /// Where few people have rows: what it takes does not depend on how many there are.
    fn by_sorting(chunks: &'c [Chunk], count: usize) -> Self {
        let whose = chunks.iter().flat_map(|chunk| &chunk.profiles).copied();
        let mut rows: Vec<(u32, u32)> = whose.zip(0..).collect();
        rows.sort_unstable();
        let mut to = vec![0; count];
        let (mut profiles, mut starts) = (Vec::new(), Vec::new());
        for (place, &(profile, row)) in (0..).zip(&rows) {
            to[row as usize] = place;
            if profiles.last() != Some(&profile) {
                profiles.push(profile);
                starts.push(place);
            }
        }
        starts.push(count as u32);
        Self { chunks, to, profiles, starts }
    }

    /// Where rows are many and people dense.
    fn by_counting(chunks: &'c [Chunk], count: usize, people: usize) -> Self {
        let mut ends = vec![0_u32; people + 1];
        for &profile in chunks.iter().flat_map(|chunk| &chunk.profiles) {
            ends[profile as usize + 1] += 1;
        }
        for profile in 0..people {
            ends[profile + 1] += ends[profile];
        }
        let mut to = Vec::with_capacity(count);
        for chunk in chunks {
            to.extend(chunk.profiles.iter().map(|&profile| {
                let next = &mut ends[profile as usize];
                *next += 1;
                *next - 1
            }));
        }
        let (profiles, starts) = having_rows(&ends);
        Self { chunks, to, profiles, starts }
    }

    /// A column in the order of the profiles; empty if the chunks do not have it.
    fn column<T: Copy + Default>(&self, of: impl Fn(&Columns) -> &Vec<T>) -> Vec<T> {
        if self.chunks.iter().all(|chunk| of(&chunk.columns).is_empty()) {
            return Vec::new();
        }
        let mut column = vec![T::default(); self.to.len()];
        for (&value, &to) in self.chunks.iter().flat_map(|chunk| of(&chunk.columns)).zip(&self.to) {
            column[to as usize] = value;
        }
        column
    }

    /// Adds values, if the chunks have any.
    fn read_values(&self, series: &mut Series) -> Result<()> {
        if self.chunks.iter().all(|chunk| chunk.texts.is_none()) {
            return Ok(());
        }
        let mut texts = Interner::default();
        let mut numbers = Vec::new();
        for (of_chunk, columns) in self.chunks.iter().filter_map(|chunk| Some((chunk.texts.as_ref()?, &chunk.columns)))
        {
            let here = texts.absorb(of_chunk)?;
            numbers.extend(columns.values.iter().map(|&number| here[number as usize]));
        }
        let mut sorted: Vec<(&str, u32)> = (0..texts.len()).map(|number| (texts.text(number), number)).collect();
        sorted.sort_unstable();
        let mut place_of = vec![0; sorted.len()];
        for (place, (_, number)) in sorted.iter().enumerate() {
            place_of[*number as usize] = place as u32;
        }
        series.columns.values = vec![0; numbers.len()];
        for (number, &to) in numbers.iter().zip(&self.to) {
            series.columns.values[to as usize] = place_of[*number as usize];
        }
        series.numbers = sorted.iter().map(|(text, _)| parse_decimal(text)).collect();
        series.texts = sorted.into_iter().map(|(text, _)| text.to_owned()).collect();
        Ok(())
    }
}

/// Those of the people who have rows, which end at `ends`, with where each one's start, and in the end the number of rows.
fn having_rows(ends: &[u32]) -> (Vec<u32>, Vec<u32>) {
    // Each is written, and the next one over it if nobody is here: a processor could not foresee who is.
    let (mut profiles, mut starts) = (vec![0; ends.len()], vec![0; ends.len()]);
    let (mut count, mut start) = (0, 0);
    for (profile, &end) in ends.iter().enumerate() {
        (profiles[count], starts[count]) = (profile as u32, start);
        count += usize::from(end > start);
        start = end;
    }
    profiles.truncate(count);
    starts.truncate(count);
    starts.push(start);
    // They are kept, and of a rare event nearly all of them would be empty.
    profiles.shrink_to_fit();
    starts.shrink_to_fit();
    (profiles, starts)
}

/// A column of what is kept of events.
///
/// # Errors
/// Internal if the batch lacks it.
pub(in crate::evaluation) fn column<'b>(batch: &'b RecordBatch, name: &str) -> Result<&'b ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| EngineError::internal(format!("measures have no `{name}`")))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, Int64Array};

    use super::*;

    /// Instants of people.
    fn chunk(rows: &[(u32, i64)]) -> Chunk {
        let (profiles, first_at) = rows.iter().copied().unzip();
        Chunk { profiles, columns: Columns { first_at, ..Columns::default() }, texts: None }
    }

    #[test]
    fn test_rows_are_in_the_order_of_profiles() {
        let chunks = [chunk(&[(2, 21), (0, 1), (2, 20)]), chunk(&[]), chunk(&[(1, 10), (0, 2)])];
        // Of few people, and of so many that hardly anybody has rows.
        for people in [4, 1000 * RARE as u32] {
            let bits: Vec<u32> = (5..5 + people).collect();
            let read = series(&chunks, &bits).unwrap();
            assert_eq!((&*read.profiles, &*read.bits), (&[0, 1, 2][..], &[5, 6, 7][..]));
            assert_eq!([0, 1, 2].map(|place| read.rows(place)), [0..2, 2..3, 3..5]);
            assert_eq!(read.of, [0, 0, 1, 2, 2]);
            assert_eq!(read.columns.first_at, [1, 2, 10, 20, 21]);
            assert!(read.columns.days.is_empty());
        }
    }

    #[test]
    fn test_rows_of_several_chunks_are_one_series() {
        let people = People::of(vec![3, 5, 9]);
        let mut chunks = Chunks::new(vec![Needs { values: true, ..Needs::default() }]);
        let rows = CHUNK_ROWS as i64 * 2 / 3;
        // Each person in turn, and others whom nobody knows; the values of a batch end with its number.
        for number in 0..3 {
            let values = StringViewArray::from_iter_values((0..rows).map(|row| format!("{} {number}", row % 2)));
            let columns: [(&str, ArrayRef); 4] = [
                (
                    "ordinal",
                    Arc::new(Int64Array::from_iter_values((0..rows).map(|row| [3, 4, 5, 9][row as usize % 4]))),
                ),
                ("date", Arc::new(Date32Array::from_iter_values((0..rows).map(|row| row as i32)))),
                ("event_count", Arc::new(Int64Array::from_iter_values(std::iter::repeat_n(number, rows as usize)))),
                ("property_value", Arc::new(values)),
            ];
            chunks.push(&RecordBatch::try_from_iter(columns).unwrap(), &people, &vec![0; rows as usize]).unwrap();
        }
        let [chunks] = <[Vec<Chunk>; 1]>::try_from(chunks.finish()).unwrap_or_else(|_| panic!("there is one series"));
        assert!(chunks.len() > 1);
        let read = series(&chunks, people.bits()).unwrap();
        assert_eq!(read.texts, ["0 0", "0 1", "0 2", "1 0", "1 1", "1 2"]);
        for (place, &ordinal) in [3, 5, 9].iter().enumerate() {
            assert_eq!(read.bits[place], ordinal);
            let mut found: Vec<(i32, u32, &str)> = read
                .rows(place)
                .map(|row| (read.columns.days[row], &read.texts[read.columns.values[row] as usize]))
                .map(|(day, text)| (day.date, day.count, text.as_str()))
                .collect();
            let expected = (0..3).flat_map(|number| {
                let first = [3, 4, 5, 9].iter().position(|&of| of == ordinal).unwrap() as i64;
                (first..rows).step_by(4).map(move |row| (row as i32, number, format!("{} {number}", row % 2)))
            });
            let mut expected: Vec<(i32, u32, String)> = expected.collect();
            found.sort_unstable();
            expected.sort_unstable();
            assert!(found.iter().copied().eq(expected.iter().map(|(date, count, text)| (
                *date,
                *count,
                text.as_str()
            ))));
        }
    }

    #[test]
    fn test_of_nobody_there_is_nothing() {
        let read = series(&[chunk(&[])], &[]).unwrap();
        assert_eq!((read.profiles, read.of, read.columns.first_at), (vec![], vec![], vec![]));
        assert_eq!(read.starts, [0]);
    }
}
