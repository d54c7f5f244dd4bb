//! Figures of profiles from the days of their identifiers: all that marketers ask of events is added up here.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Decimal128Array, Int64Array, ListBuilder, StringViewArray, StringViewBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field};

use super::series::{Needs, Series};
use super::types::{MICROS_PER_DAY, QUOTIENT, days_since_epoch, timestamp_type};
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
    /// The days of `window` as they are on the day `today`.
    pub(super) fn of(window: Window, today: i32) -> Self {
        let whole = |days: u32| i32::try_from(days).unwrap_or(i32::MAX);
        match window {
            Window::Ever => Self { first: i32::MIN, last: i32::MAX },
            Window::Within { days, ago: 0 } => Self { first: today.saturating_sub(whole(days)), last: i32::MAX },
            Window::Within { days, ago } => {
                let end = today.saturating_sub(whole(ago));
                Self { first: end.saturating_sub(whole(days)), last: end.saturating_sub(1) }
            }
            Window::Since(first) => Self { first: days_since_epoch(first), last: i32::MAX },
            Window::Between(first, last) => Self { first: days_since_epoch(first), last: days_since_epoch(last) },
        }
    }

    /// Whether an instant, in microseconds since 1970 UTC, is on one of them.
    pub(super) fn have(self, at: i64) -> bool {
        let midnight = |day: i32| i64::from(day).saturating_mul(MICROS_PER_DAY);
        midnight(self.first) <= at && at < midnight(self.last).saturating_add(MICROS_PER_DAY)
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

/// The figure of each of some rows of people. Of nothing, a count and a sum are 0, a list is empty, and everything else
/// is null. `today` is the day that weeks are counted back from.
pub(super) fn folded(figure: &Figure, series: &Series, days: Days, today: i32, people: Range<u32>) -> Result<ArrayRef> {
    let fold = Fold { series, days, people };
    Ok(match figure.plain() {
        Figure::Count => Arc::new(Int64Array::from(fold.sums(&series.counts))),
        Figure::Days => Arc::new(Int64Array::from(fold.distinct_days())),
        Figure::FirstTime => fold.times(&series.first_at, i64::min),
        Figure::LastTime => fold.times(&series.last_at, i64::max),
        Figure::Sum(_) => decimals(fold.sums(&series.totals).into_iter().map(Some), &data_type(figure))?,
        Figure::Average(_) => {
            let (totals, counts) = (fold.sums(&series.totals), fold.sums(&series.number_counts));
            decimals(totals.into_iter().zip(counts).map(|(total, count)| mean(total, count)), &QUOTIENT)?
        }
        Figure::Least(_) => decimals(fold.extremes(&series.leasts, i128::min).into_iter(), &data_type(figure))?,
        Figure::Most(_) => decimals(fold.extremes(&series.mosts, i128::max).into_iter(), &data_type(figure))?,
        Figure::Percentile(_, share) => decimals(fold.percentiles(*share).into_iter(), &data_type(figure))?,
        Figure::FirstValue(_) => fold.texts(|places| places.min_by_key(|&at| (series.first_at[at], series.values[at]))),
        Figure::LastValue(_) => fold.texts(|places| {
            // Of equally late values the first in the order of texts, whichever row it is in.
            places.min_by_key(|&at| (std::cmp::Reverse(series.last_at[at]), series.values[at]))
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
    people: Range<u32>,
}

impl Fold<'_> {
    fn len(&self) -> usize {
        self.people.len()
    }

    /// The places that count, with the person that each is of.
    fn places(&self) -> impl Iterator<Item = (usize, usize)> {
        let places = self.series.of(&self.people);
        let start = self.people.start;
        places
            .filter(|&at| self.days.has(self.series.days[at]))
            .map(move |at| ((self.series.rows[at] - start) as usize, at))
    }

    /// For each person that has any, the places that count.
    fn by_person(&self) -> impl Iterator<Item = (usize, impl Iterator<Item = usize>)> {
        let start = self.people.start;
        self.series.by_profile(self.series.of(&self.people)).map(move |(row, places)| {
            ((row - start) as usize, places.filter(|&at| self.days.has(self.series.days[at])))
        })
    }

    fn sums<T: Copy + Default + std::ops::AddAssign>(&self, column: &[T]) -> Vec<T> {
        let mut sums = vec![T::default(); self.len()];
        for (person, at) in self.places() {
            sums[person] += column[at];
        }
        sums
    }

    fn distinct_days(&self) -> Vec<i64> {
        let mut counts = vec![0; self.len()];
        let mut days = Vec::new();
        for (person, places) in self.by_person() {
            days.clear();
            days.extend(places.map(|at| self.series.days[at]));
            days.sort_unstable();
            days.dedup();
            counts[person] = days.len() as i64;
        }
        counts
    }

    fn times(&self, column: &[i64], choose: fn(i64, i64) -> i64) -> ArrayRef {
        let mut times: Vec<Option<i64>> = vec![None; self.len()];
        for (person, at) in self.places() {
            let time = &mut times[person];
            *time = Some(time.map_or(column[at], |known| choose(known, column[at])));
        }
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC"))
    }

    fn extremes(&self, column: &[i128], choose: fn(i128, i128) -> i128) -> Vec<Option<i128>> {
        let mut extremes: Vec<Option<i128>> = vec![None; self.len()];
        for (person, at) in self.places().filter(|&(_, at)| self.series.number_counts[at] > 0) {
            let extreme = &mut extremes[person];
            *extreme = Some(extreme.map_or(column[at], |known| choose(known, column[at])));
        }
        extremes
    }

    /// By nearest rank: the smallest number that as large a share as `share` of all does not exceed.
    fn percentiles(&self, share: Share) -> Vec<Option<i128>> {
        let mut percentiles = vec![None; self.len()];
        let mut numbers: Vec<(i128, i64)> = Vec::new();
        for (person, places) in self.by_person() {
            numbers.clear();
            numbers.extend(places.filter_map(|at| {
                let number = self.series.numbers[self.series.values[at] as usize]?;
                Some((number, self.series.counts[at]))
            }));
            numbers.sort_unstable();
            let count = numbers.iter().map(|(_, count)| count).sum();
            let rank = share.rank(count);
            let mut passed = 0;
            percentiles[person] = numbers.iter().find_map(|&(number, count)| {
                passed += count;
                (passed >= rank).then_some(number)
            });
        }
        percentiles
    }

    fn texts(&self, choose: impl Fn(&mut dyn Iterator<Item = usize>) -> Option<usize>) -> ArrayRef {
        let mut chosen: Vec<Option<&str>> = vec![None; self.len()];
        for (person, mut places) in self.by_person() {
            chosen[person] = choose(&mut places).map(|at| self.text(self.series.values[at]));
        }
        Arc::new(StringViewArray::from(chosen))
    }

    /// Of equally frequent values the first in the order of texts.
    fn most_frequent(&self) -> ArrayRef {
        let mut chosen: Vec<Option<&str>> = vec![None; self.len()];
        let mut values: Vec<(u32, i64)> = Vec::new();
        for (person, places) in self.by_person() {
            values.clear();
            values.extend(places.map(|at| (self.series.values[at], self.series.counts[at])));
            values.sort_unstable();
            let frequencies = values.chunk_by(|left, right| left.0 == right.0).map(|of_value| {
                let count: i64 = of_value.iter().map(|(_, count)| count).sum();
                (std::cmp::Reverse(count), of_value[0].0)
            });
            chosen[person] = frequencies.min().map(|(_, value)| self.text(value));
        }
        Arc::new(StringViewArray::from(chosen))
    }

    fn distinct_values(&self) -> Vec<Vec<u32>> {
        let mut lists = vec![Vec::new(); self.len()];
        for (person, places) in self.by_person() {
            let list = &mut lists[person];
            list.extend(places.map(|at| self.series.values[at]));
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
        for (person, places) in self.by_person() {
            counts.fill(0);
            for at in places {
                let week =
                    today.checked_sub(self.series.days[at]).filter(|&ago| ago >= 0).map(|ago| ago / DAYS_PER_WEEK);
                if let Some(count) = week.and_then(|week| counts.get_mut(usize::try_from(week).ok()?)) {
                    *count += self.series.counts[at];
                }
            }
            each[person] = counts.iter().all(|&count| count >= i64::from(times));
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
