//! What was kept of the events that figures need, in memory: a row for each day of each identifier, by the profile that
//! has the identifier now.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::{
    Array, ArrayRef, AsArray, Decimal128Array, Int32Array, Int64Array, StringViewArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{Date32Type, Decimal128Type, Int64Type, TimestampMicrosecondType};
use arrow::record_batch::RecordBatch;

use super::people::{NOBODY, People};
use crate::decimal::parse_decimal;
use crate::error::{EngineError, Result};

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

/// Rows ordered by profile. Columns that no figure needs are empty.
#[derive(Debug, Default)]
pub(super) struct Series {
    /// The profile: its row among the people.
    pub(super) rows: Vec<u32>,
    /// UTC days since 1970.
    pub(super) days: Vec<i32>,
    /// Numbers of events.
    pub(super) counts: Vec<i64>,
    /// Microseconds since 1970 UTC; of instants, when each was.
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
    /// Places in `texts`.
    pub(super) values: Vec<u32>,
    /// The values, sorted.
    pub(super) texts: Vec<String>,
    /// The values as numbers, where they are.
    pub(super) numbers: Vec<Option<i128>>,
}

impl Series {
    /// Bytes that it takes in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.rows.as_slice())
            + size_of_val(self.days.as_slice())
            + size_of_val(self.counts.as_slice())
            + size_of_val(self.first_at.as_slice())
            + size_of_val(self.last_at.as_slice())
            + size_of_val(self.totals.as_slice())
            + size_of_val(self.number_counts.as_slice())
            + size_of_val(self.leasts.as_slice())
            + size_of_val(self.mosts.as_slice())
            + size_of_val(self.values.as_slice())
            + size_of_val(self.numbers.as_slice())
            + self.texts.iter().map(|text| size_of::<String>() + text.len()).sum::<usize>()
    }

    /// The series' rows of some rows of people.
    pub(super) fn of(&self, people: &Range<u32>) -> Range<usize> {
        let place = |row| self.rows.partition_point(|&of| of < row);
        place(people.start)..place(people.end)
    }

    /// The series' rows of each profile that has any, among some of its rows.
    pub(super) fn by_profile(&self, places: Range<usize>) -> impl Iterator<Item = (u32, Range<usize>)> {
        let mut next = places.start;
        std::iter::from_fn(move || {
            let start = next;
            let row = self.rows.get(..places.end)?.get(start)?;
            next += self.rows[start..places.end].iter().take_while(|&of| of == row).count();
            Some((*row, start..next))
        })
    }
}

/// A series that is being read.
#[derive(Debug, Default)]
pub(super) struct SeriesBuilder {
    needs: Needs,
    series: Series,
    codes: HashMap<String, u32>,
}

impl SeriesBuilder {
    pub(super) fn new(needs: Needs) -> Self {
        Self { needs, ..Self::default() }
    }

    /// Takes the rows of `columns` at `places`.
    pub(super) fn push(&mut self, columns: &StateColumns, places: impl Iterator<Item = usize>, people: &People) {
        let series = &mut self.series;
        for place in places {
            let row = people.row_of(columns.ordinals.value(place));
            if row == NOBODY {
                continue;
            }
            series.rows.push(row);
            if let Some(instants) = &columns.instants {
                series.first_at.push(instants.value(place));
            }
            if let Some((days, counts)) = &columns.days {
                series.days.push(days.value(place));
                series.counts.push(counts.value(place));
            }
            if let (true, Some((first, last))) = (self.needs.times, &columns.times) {
                series.first_at.push(first.value(place));
                series.last_at.push(last.value(place));
            }
            if let (true, Some(totals)) = (self.needs.totals, &columns.totals) {
                series.totals.push(if totals.is_null(place) { 0 } else { totals.value(place) });
            }
            if let (true, Some((counts, leasts, mosts))) = (self.needs.numbers, &columns.numbers) {
                series.number_counts.push(counts.value(place));
                series.leasts.push(leasts.value(place));
                series.mosts.push(mosts.value(place));
            }
            if let (true, Some(values)) = (self.needs.values, &columns.values) {
                let text = values.value(place);
                let code = match self.codes.get(text) {
                    Some(code) => *code,
                    None => {
                        let code = self.codes.len() as u32;
                        self.codes.insert(text.to_owned(), code);
                        code
                    }
                };
                series.values.push(code);
            }
        }
    }

    /// Takes what another one read of the same series.
    pub(super) fn absorb(&mut self, other: Self) {
        let mut codes = vec![0; other.codes.len()];
        for (text, code) in other.codes {
            let next = self.codes.len() as u32;
            codes[code as usize] = *self.codes.entry(text).or_insert(next);
        }
        let (series, other) = (&mut self.series, other.series);
        series.rows.extend(other.rows);
        series.days.extend(other.days);
        series.counts.extend(other.counts);
        series.first_at.extend(other.first_at);
        series.last_at.extend(other.last_at);
        series.totals.extend(other.totals);
        series.number_counts.extend(other.number_counts);
        series.leasts.extend(other.leasts);
        series.mosts.extend(other.mosts);
        series.values.extend(other.values.iter().map(|&code| codes[code as usize]));
    }

    /// The series, ordered by profile; `people` is their number.
    pub(super) fn finish(self, people: usize) -> Series {
        let order = counted_order(&self.series.rows, people);
        let mut texts: Vec<(String, u32)> = self.codes.into_iter().collect();
        texts.sort_unstable();
        let mut sorted_code = vec![0; texts.len()];
        for (place, (_, code)) in texts.iter().enumerate() {
            sorted_code[*code as usize] = place as u32;
        }
        let series = self.series;
        Series {
            rows: taken(&series.rows, &order),
            days: taken(&series.days, &order),
            counts: taken(&series.counts, &order),
            first_at: taken(&series.first_at, &order),
            last_at: taken(&series.last_at, &order),
            totals: taken(&series.totals, &order),
            number_counts: taken(&series.number_counts, &order),
            leasts: taken(&series.leasts, &order),
            mosts: taken(&series.mosts, &order),
            values: taken(&series.values, &order).into_iter().map(|code: u32| sorted_code[code as usize]).collect(),
            numbers: texts.iter().map(|(text, _)| parse_decimal(text)).collect(),
            texts: texts.into_iter().map(|(text, _)| text).collect(),
        }
    }
}

/// The places of `rows` in the order of their values, which are below `people`; a counting sort, since they are many and
/// dense.
fn counted_order(rows: &[u32], people: usize) -> Vec<u32> {
    let mut next = vec![0_u32; people + 1];
    for &row in rows {
        next[row as usize + 1] += 1;
    }
    for row in 1..next.len() {
        next[row] += next[row - 1];
    }
    let mut order = vec![0; rows.len()];
    for (place, &row) in rows.iter().enumerate() {
        let to = &mut next[row as usize];
        order[*to as usize] = place as u32;
        *to += 1;
    }
    order
}

/// A column in another order; an empty one stays empty.
fn taken<T: Copy>(column: &[T], order: &[u32]) -> Vec<T> {
    if column.is_empty() { Vec::new() } else { order.iter().map(|&place| column[place as usize]).collect() }
}

/// Columns of a batch of measures.
pub(super) struct StateColumns {
    ordinals: Int64Array,
    instants: Option<TimestampMicrosecondArray>,
    /// With the number of events of each.
    days: Option<(Int32Array, Int64Array)>,
    times: Option<(TimestampMicrosecondArray, TimestampMicrosecondArray)>,
    totals: Option<Decimal128Array>,
    numbers: Option<(Int64Array, Decimal128Array, Decimal128Array)>,
    values: Option<StringViewArray>,
}

impl StateColumns {
    /// The columns that `needs` names, which the batch has.
    pub(super) fn of(batch: &RecordBatch, needs: Needs) -> Result<Self> {
        let column = |name: &str| -> Result<&ArrayRef> {
            batch.column_by_name(name).ok_or_else(|| EngineError::internal(format!("measures have no `{name}`")))
        };
        let integers = |name: &str| Ok::<_, EngineError>(column(name)?.as_primitive::<Int64Type>().clone());
        let decimals = |name: &str| Ok::<_, EngineError>(column(name)?.as_primitive::<Decimal128Type>().clone());
        let times = |name: &str| Ok::<_, EngineError>(column(name)?.as_primitive::<TimestampMicrosecondType>().clone());
        Ok(Self {
            ordinals: integers("ordinal")?,
            instants: if needs.instants { Some(times("at")?) } else { None },
            days: match needs.instants {
                true => None,
                false => {
                    let days = column("date")?.as_primitive::<Date32Type>().clone();
                    Some((days.reinterpret_cast(), integers("event_count")?))
                }
            },
            times: if needs.times { Some((times("first_at")?, times("last_at")?)) } else { None },
            totals: if needs.totals { Some(decimals("total")?) } else { None },
            numbers: match needs.numbers {
                true => Some((integers("number_count")?, decimals("least")?, decimals("most")?)),
                false => None,
            },
            values: if needs.values { Some(column("property_value")?.as_string_view().clone()) } else { None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::counted_order;

    #[test]
    fn test_orders_places_by_row() {
        assert_eq!(counted_order(&[2, 0, 2, 1, 0], 3), [1, 4, 3, 0, 2]);
        assert_eq!(counted_order(&[], 0), [0_u32; 0]);
    }
}
