//! What was kept of the events that figures need, in memory: a row for each day of each identifier, by the profile that
//! has the identifier now.

mod read;

use std::ops::Range;

pub(super) use read::{Chunk, Chunks, NOWHERE, column, series};

/// Rows are put into the order of their days by counting if there are fewer days from the first to the last.
const DAYS_COUNTED_MAX: i64 = 32 * 1024;

/// Which columns of a series its figures need, beside who and when.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// Only when events happened: then there is a row for each, and no day.
    pub(super) instants: bool,
    /// When the first and the last event of the day were.
    pub(super) times: bool,
    /// The sum of the numbers.
    pub(super) totals: bool,
    /// How many numbers there are, the least and the most of them.
    pub(super) numbers: bool,
    /// The property's value: then the days have a row for each.
    pub(super) values: bool,
}

impl Needs {
    /// What either needs.
    pub(super) fn or(self, other: Self) -> Self {
        Self {
            instants: self.instants || other.instants,
            times: self.times || other.times,
            totals: self.totals || other.totals,
            numbers: self.numbers || other.numbers,
            values: self.values || other.values,
        }
    }
}

/// A day with what happened. Both are read together, and written to places far from each other.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Day {
    /// UTC days since 1970.
    pub(super) date: i32,
    /// Number of events.
    pub(super) count: u32,
}

/// Columns of rows. Those that no figure needs are empty.
#[derive(Debug, Default)]
pub(super) struct Columns {
    /// The day, and how many events there were.
    pub(super) days: Vec<Day>,
    /// Microseconds since 1970 UTC; of instants, when each was, ascending for each profile.
    pub(super) first_at: Vec<i64>,
    /// Microseconds since 1970 UTC.
    pub(super) last_at: Vec<i64>,
    /// Sums of the property, in units of the last digit that decimals have.
    pub(super) totals: Vec<i128>,
    /// How many events had a number.
    pub(super) number_counts: Vec<i64>,
    /// The smallest number, in the same units; of days without one it counts for nothing.
    pub(super) leasts: Vec<i128>,
    /// The largest number.
    pub(super) mosts: Vec<i128>,
    /// Places among the texts of a series.
    pub(super) values: Vec<u32>,
}

/// Rows of profiles, in the order of the profiles.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The profiles that have any: their rows among the people, ascending.
    pub(super) profiles: Vec<u32>,
    /// Their bits in sets of people, ascending too.
    pub(super) bits: Vec<u32>,
    /// Where the rows of each of them start, and after the last one the number of all rows.
    starts: Vec<u32>,
    /// Whose each row is: a place in `profiles`.
    pub(super) of: Vec<u32>,
    /// What the rows say.
    pub(super) columns: Columns,
    /// The values, sorted.
    pub(super) texts: Vec<String>,
    /// The values as numbers, where they are.
    pub(super) numbers: Vec<Option<i128>>,
}

impl Columns {
    fn bytes(&self) -> usize {
        size_of_val(self.days.as_slice())
            + size_of_val(self.first_at.as_slice())
            + size_of_val(self.last_at.as_slice())
            + size_of_val(self.totals.as_slice())
            + size_of_val(self.number_counts.as_slice())
            + size_of_val(self.leasts.as_slice())
            + size_of_val(self.mosts.as_slice())
            + size_of_val(self.values.as_slice())
    }
}

impl Series {
    /// Bytes that it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.profiles.as_slice())
            + size_of_val(self.bits.as_slice())
            + size_of_val(self.starts.as_slice())
            + size_of_val(self.of.as_slice())
            + self.columns.bytes()
            + size_of_val(self.numbers.as_slice())
            + self.texts.iter().map(|text| size_of::<String>() + text.len()).sum::<usize>()
    }

    /// The places in `profiles` of those among some rows of people.
    pub(super) fn among(&self, people: &Range<u32>) -> Range<usize> {
        let place = |row| self.profiles.partition_point(|&of| of < row);
        place(people.start)..place(people.end)
    }

    /// Instants of profiles, in the order of both.
    #[cfg(test)]
    pub(super) fn of_instants(rows: &[(u32, i64)]) -> Self {
        let mut series = Self { starts: vec![0], ..Self::default() };
        for of_profile in rows.chunk_by(|left, right| left.0 == right.0) {
            series.profiles.push(of_profile[0].0);
            series.columns.first_at.extend(of_profile.iter().map(|(_, at)| *at));
            series.starts.push(series.columns.first_at.len() as u32);
        }
        series
    }

    /// The rows of the profiles at some places in `profiles`.
    pub(super) fn rows_of(&self, places: &Range<usize>) -> Range<usize> {
        self.starts[places.start] as usize..self.starts[places.end] as usize
    }

    /// The same rows in the order of their days, which are few beside them.
    pub(super) fn by_day(&self, places: &Range<usize>) -> Vec<u32> {
        let rows = self.rows_of(places);
        let dates = || self.columns.days[rows.clone()].iter().map(|day| day.date);
        let numbered = || (rows.start as u32..).zip(dates());
        let (first, last) = dates().fold((i32::MAX, i32::MIN), |(first, last), date| (first.min(date), last.max(date)));
        // One day that is far from the others must not cost more than all of these.
        if i64::from(last) - i64::from(first) >= DAYS_COUNTED_MAX {
            let mut by_day: Vec<(i32, u32)> = numbered().map(|(row, date)| (date, row)).collect();
            by_day.sort_unstable();
            return by_day.into_iter().map(|(_, row)| row).collect();
        }
        let mut ends = vec![0_u32; if rows.is_empty() { 0 } else { (last - first) as usize + 2 }];
        dates().for_each(|date| ends[(date - first) as usize + 1] += 1);
        (1..ends.len()).for_each(|day| ends[day] += ends[day - 1]);
        let mut by_day = vec![0; rows.len()];
        for (row, date) in numbered() {
            let next = &mut ends[(date - first) as usize];
            by_day[*next as usize] = row;
            *next += 1;
        }
        by_day
    }

    /// The rows of the profile at a place in `profiles`.
    pub(super) fn rows(&self, place: usize) -> Range<usize> {
        self.starts[place] as usize..self.starts[place + 1] as usize
    }
}

#[cfg(test)]
mod tests {
    use super::{Columns, Day, Series};

    #[test]
    fn test_rows_are_in_the_order_of_days_however_far_these_are_from_each_other() {
        for far in [3, i32::MIN, i32::MAX] {
            let days = [9, 4, far, 4, 5, 9].map(|date| Day { date, count: 1 }).to_vec();
            let columns = Columns { days, ..Columns::default() };
            // Three profiles, of which the second has the rows 1 to 3.
            let series = Series { starts: vec![0, 1, 4, 6], columns, ..Series::default() };
            let mut expected: Vec<u32> = (1..6).collect();
            expected.sort_by_key(|&row| series.columns.days[row as usize].date);
            assert_eq!(series.by_day(&(1..3)), expected, "{far}");
            assert_eq!(series.by_day(&(1..1)), [0_u32; 0]);
        }
    }
}
