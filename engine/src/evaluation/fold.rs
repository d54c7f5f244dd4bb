//! Figures of profiles from the days of their identifiers: all that marketers ask of events is added up here.

use std::cell::OnceCell;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, ListBuilder, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field};

use super::series::{Needs, Series};
use super::types::{MICROS_PER_DAY, QUOTIENT, date_of, days_since_epoch, timestamp_type};
use crate::decimal;
use crate::error::{EngineError, Result};
use crate::expression::{Figure, Share, Window};

/// Digits of a sum: as many as DataFusion gives a sum of decimals.
const SUM_PRECISION: u8 = 28;
/// From units of a decimal to those of a quotient.
const QUOTIENT_UNITS: i128 = 1_000_000;
const DAYS_PER_WEEK: i32 = 7;

/// UTC days since 1970, the first and the last included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Days {
    /// The first.
    pub(super) first: i32,
    /// The last.
    pub(super) last: i32,
}

impl Days {
    /// All of them.
    pub(super) const EVER: Self = Self { first: i32::MIN, last: i32::MAX };

    /// The days of `window` as they are on the day `today`.
    pub(super) fn of(window: Window, today: i32) -> Self {
        let (first, last) = window.bounds(date_of(today));
        Self { first: first.map_or(i32::MIN, days_since_epoch), last: last.map_or(i32::MAX, days_since_epoch) }
    }

    /// Those of either, and those between.
    pub(super) fn hull(self, other: Self) -> Self {
        Self { first: self.first.min(other.first), last: self.last.max(other.last) }
    }

    /// Of what is ascending by its instant, in microseconds since 1970 UTC, that on one of them.
    pub(super) fn cut<T>(self, ascending: &[T], at: impl Fn(&T) -> i64) -> &[T] {
        let midnight = |day: i32| i64::from(day).saturating_mul(MICROS_PER_DAY);
        let (first, last) = (midnight(self.first), midnight(self.last).saturating_add(MICROS_PER_DAY - 1));
        // Most windows are open to one side.
        let start = if self.first == i32::MIN { 0 } else { ascending.partition_point(|of| at(of) < first) };
        let rest = &ascending[start..];
        if self.last == i32::MAX { rest } else { &rest[..rest.partition_point(|of| at(of) <= last)] }
    }

    /// Whether a day is one of them.
    pub(super) fn has(self, day: i32) -> bool {
        self.first <= day && day <= self.last
    }
}

/// What a figure needs of a series.
pub(super) fn needs(figure: &Figure) -> Needs {
    let none = Needs::default();
    match figure.plain() {
        Figure::Count | Figure::Days | Figure::EachWeek { .. } => none,
        Figure::FirstTime | Figure::LastTime => Needs { times: true, ..none },
        Figure::Sum(_) => Needs { totals: true, ..none },
        Figure::Average(_) => Needs { totals: true, numbers: true, ..none },
        Figure::Least(_) | Figure::Most(_) => Needs { numbers: true, ..none },
        Figure::FirstValue(_) | Figure::LastValue(_) => Needs { times: true, values: true, ..none },
        Figure::Percentile(..) | Figure::MostFrequent(_) | Figure::DistinctCount(_) | Figure::Values(_) => {
            Needs { values: true, ..none }
        }
    }
}

/// The type that a figure's column has.
pub(super) fn data_type(figure: &Figure) -> DataType {
    match figure.plain() {
        Figure::Count | Figure::Days | Figure::DistinctCount(_) => DataType::Int64,
        Figure::FirstTime | Figure::LastTime => timestamp_type(),
        Figure::Sum(_) => DataType::Decimal128(SUM_PRECISION, decimal::SCALE),
        Figure::Average(_) => QUOTIENT,
        Figure::Least(_) | Figure::Most(_) | Figure::Percentile(..) => {
            DataType::Decimal128(decimal::PRECISION, decimal::SCALE)
        }
        Figure::FirstValue(_) | Figure::LastValue(_) | Figure::MostFrequent(_) => DataType::Utf8View,
        Figure::Values(_) => DataType::List(texts_element()),
        Figure::EachWeek { .. } => DataType::Boolean,
    }
}

fn texts_element() -> Arc<Field> {
    Arc::new(Field::new("element", DataType::Utf8View, true))
}

/// The figure of each of some profiles of a series, which are at `places` there, and after these that of somebody who did
/// nothing. Of nothing, a count and a sum are 0, a list is empty, and everything else is null. `today` is the day that weeks
/// are counted back from. `by_day` is for [`Series::by_day`] of the profiles, if a figure of theirs has asked for it.
pub(super) fn folded(
    figure: &Figure,
    series: &Series,
    days: Days,
    today: i32,
    places: Range<usize>,
    by_day: &OnceCell<Vec<u32>>,
) -> Result<ArrayRef> {
    let fold = Fold { series, days, places, by_day };
    Ok(match figure.plain() {
        Figure::Count => Arc::new(Int64Array::from(fold.sums(|row| fold.count(row)))),
        Figure::Days => Arc::new(Int64Array::from(fold.distinct_days())),
        Figure::FirstTime => fold.times(&series.columns.first_at, i64::min, i64::MAX),
        Figure::LastTime => fold.times(&series.columns.last_at, i64::max, i64::MIN),
        Figure::Sum(_) => {
            decimals(fold.sums(|row| series.columns.totals[row]).into_iter().map(Some), &data_type(figure))?
        }
        Figure::Average(_) => {
            let totals = fold.sums(|row| series.columns.totals[row]);
            let counts = fold.sums(|row| series.columns.number_counts[row]);
            decimals(totals.into_iter().zip(counts).map(|(total, count)| mean(total, count)), &QUOTIENT)?
        }
        Figure::Least(_) => decimals(fold.extremes(&series.columns.leasts, i128::min).into_iter(), &data_type(figure))?,
        Figure::Most(_) => decimals(fold.extremes(&series.columns.mosts, i128::max).into_iter(), &data_type(figure))?,
        Figure::Percentile(_, share) => decimals(fold.percentiles(*share).into_iter(), &data_type(figure))?,
        Figure::FirstValue(_) => {
            fold.texts(|rows| rows.min_by_key(|&row| (series.columns.first_at[row], series.columns.values[row])))
        }
        Figure::LastValue(_) => fold.texts(|rows| {
            // Of equally late values the first in the order of texts, whichever row it is in.
            rows.min_by_key(|&row| (std::cmp::Reverse(series.columns.last_at[row]), series.columns.values[row]))
        }),
        Figure::MostFrequent(_) => fold.most_frequent(),
        Figure::DistinctCount(_) => {
            Arc::new(Int64Array::from_iter_values(fold.distinct_values().iter().map(|values| values.len() as i64)))
        }
        Figure::Values(_) => fold.lists(),
        Figure::EachWeek { weeks, times } => Arc::new(fold.each_week(*weeks, *times, today)),
    })
}

struct Fold<'s> {
    series: &'s Series,
    days: Days,
    /// Of the profiles.
    places: Range<usize>,
    by_day: &'s OnceCell<Vec<u32>>,
}

impl Fold<'_> {
    /// One for each profile, and one for nobody.
    fn len(&self) -> usize {
        self.places.len() + 1
    }

    /// The rows that count of each profile, with its number among these.
    fn by_profile(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = usize>)> {
        let counts = |row: &usize| self.days.has(self.date(*row));
        self.places.clone().enumerate().map(move |(number, place)| (number, self.series.rows(place).filter(counts)))
    }

    /// Does something with each row that counts and its profile's number. To go through rows is faster than to go from profile
    /// to profile: most have few rows.
    fn each_row(&self, mut act: impl FnMut(usize, usize)) {
        let mut act = |row: usize| act(row, self.series.of[row] as usize - self.places.start);
        if self.days == Days::EVER {
            return self.series.rows_of(&self.places).for_each(act);
        }
        let by_day = self.by_day.get_or_init(|| self.series.by_day(&self.places));
        let start = by_day.partition_point(|&row| self.date(row as usize) < self.days.first);
        let end = by_day.partition_point(|&row| self.date(row as usize) <= self.days.last);
        by_day.get(start..end).unwrap_or_default().iter().for_each(|&row| act(row as usize));
    }

    fn sums<T: Copy + Default + std::ops::AddAssign>(&self, of_row: impl Fn(usize) -> T) -> Vec<T> {
        let mut sums = vec![T::default(); self.len()];
        self.each_row(|row, number| sums[number] += of_row(row));
        sums
    }

    /// How many events a row is of.
    fn count(&self, row: usize) -> i64 {
        i64::from(self.series.columns.days[row].count)
    }

    /// The day of a row.
    fn date(&self, row: usize) -> i32 {
        self.series.columns.days[row].date
    }

    fn distinct_days(&self) -> Vec<i64> {
        let mut counts = vec![0; self.len()];
        let mut days = Vec::new();
        for (number, rows) in self.by_profile() {
            days.clear();
            days.extend(rows.map(|row| self.date(row)));
            days.sort_unstable();
            days.dedup();
            counts[number] = days.len() as i64;
        }
        counts
    }

    /// The extremes of a column of instants; `nothing` is beyond all of them.
    fn times(&self, column: &[i64], choose: impl Fn(i64, i64) -> i64, nothing: i64) -> ArrayRef {
        let mut times = vec![nothing; self.len()];
        self.each_row(|row, number| times[number] = choose(times[number], column[row]));
        let is_known = NullBuffer::from_iter(times.iter().map(|&time| time != nothing));
        Arc::new(TimestampMicrosecondArray::new(times.into(), Some(is_known)).with_timezone("UTC"))
    }

    fn extremes(&self, column: &[i128], choose: fn(i128, i128) -> i128) -> Vec<Option<i128>> {
        let mut extremes: Vec<Option<i128>> = vec![None; self.len()];
        for (number, rows) in self.by_profile() {
            let numbers = rows.filter(|&row| self.series.columns.number_counts[row] > 0).map(|row| column[row]);
            extremes[number] = numbers.reduce(choose);
        }
        extremes
    }

    /// By nearest rank: the smallest number that as large a share as `share` of all does not exceed.
    fn percentiles(&self, share: Share) -> Vec<Option<i128>> {
        let mut percentiles = vec![None; self.len()];
        let mut numbers: Vec<(i128, i64)> = Vec::new();
        for (number, rows) in self.by_profile() {
            numbers.clear();
            numbers.extend(rows.filter_map(|row| {
                let value = self.series.numbers[self.series.columns.values[row] as usize]?;
                Some((value, self.count(row)))
            }));
            numbers.sort_unstable();
            let count = numbers.iter().map(|(_, count)| count).sum();
            let rank = share.rank(count);
            let mut passed = 0;
            percentiles[number] = numbers.iter().find_map(|&(value, count)| {
                passed += count;
                (passed >= rank).then_some(value)
            });
        }
        percentiles
    }

    fn texts(&self, choose: impl Fn(&mut dyn Iterator<Item = usize>) -> Option<usize>) -> ArrayRef {
        let mut chosen: Vec<Option<&str>> = vec![None; self.len()];
        for (number, mut rows) in self.by_profile() {
            chosen[number] = choose(&mut rows).map(|row| self.text(self.series.columns.values[row]));
        }
        Arc::new(StringViewArray::from(chosen))
    }

    /// Of equally frequent values the first in the order of texts.
    fn most_frequent(&self) -> ArrayRef {
        let mut chosen: Vec<Option<&str>> = vec![None; self.len()];
        let mut values: Vec<(u32, i64)> = Vec::new();
        for (number, rows) in self.by_profile() {
            values.clear();
            values.extend(rows.map(|row| (self.series.columns.values[row], self.count(row))));
            values.sort_unstable();
            let frequencies = values.chunk_by(|left, right| left.0 == right.0).map(|of_value| {
                let count: i64 = of_value.iter().map(|(_, count)| count).sum();
                (std::cmp::Reverse(count), of_value[0].0)
            });
            chosen[number] = frequencies.min().map(|(_, value)| self.text(value));
        }
        Arc::new(StringViewArray::from(chosen))
    }

    fn distinct_values(&self) -> Vec<Vec<u32>> {
        let mut lists = vec![Vec::new(); self.len()];
        for (number, rows) in self.by_profile() {
            let list = &mut lists[number];
            list.extend(rows.map(|row| self.series.columns.values[row]));
            list.sort_unstable();
            list.dedup();
        }
        lists
    }

    fn lists(&self) -> ArrayRef {
        let mut lists = ListBuilder::new(StringViewBuilder::new()).with_field(texts_element());
        for list in self.distinct_values() {
            for value in list {
                lists.values().append_value(self.text(value));
            }
            lists.append(true);
        }
        Arc::new(lists.finish())
    }

    fn text(&self, value: u32) -> &str {
        &self.series.texts[value as usize]
    }

    /// Weeks are the last `weeks` times seven days, `today` included.
    fn each_week(&self, weeks: u32, times: u32, today: i32) -> BooleanArray {
        let mut counts = vec![0_i64; weeks as usize];
        let mut each = vec![false; self.len()];
        for (number, rows) in self.by_profile() {
            counts.fill(0);
            for row in rows {
                let week = today.checked_sub(self.date(row)).filter(|&ago| ago >= 0).map(|ago| ago / DAYS_PER_WEEK);
                if let Some(count) = week.and_then(|week| counts.get_mut(usize::try_from(week).ok()?)) {
                    *count += self.count(row);
                }
            }
            each[number] = counts.iter().all(|&count| count >= i64::from(times));
        }
        BooleanArray::from(each)
    }
}

/// Rounded half away from zero.
fn mean(total: i128, count: i64) -> Option<i128> {
    let (total, count) = (total * QUOTIENT_UNITS, i128::from(count));
    (count > 0).then(|| (total + total.signum() * (count / 2)) / count)
}

fn decimals(values: impl Iterator<Item = Option<i128>>, data_type: &DataType) -> Result<ArrayRef> {
    let DataType::Decimal128(precision, scale) = *data_type else {
        return Err(EngineError::internal("a number is a decimal"));
    };
    Ok(Arc::new(Decimal128Array::from_iter(values).with_precision_and_scale(precision, scale)?))
}
