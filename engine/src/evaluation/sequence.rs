//! Who did one thing after another. What merges by day cannot tell that: of the events that sequences name every instant
//! is kept.

use std::ops::Range;

use arrow::array::BooleanArray;

use super::fold::Days;
use super::series::Series;
use crate::expression::{EventSelector, Sequence};

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// The selectors that a sequence names, each once.
pub(super) fn selectors(sequence: &Sequence) -> Vec<&EventSelector> {
    let named = sequence.steps.iter().flat_map(|step| step.without.iter().chain([&step.events]));
    let mut selectors = Vec::new();
    for selector in named {
        if !selectors.contains(&selector) {
            selectors.push(selector);
        }
    }
    selectors
}

/// Whether each of some rows of people did a sequence on the days that count. `series` has a row for each instant of the
/// events of each of [`selectors`].
pub(super) fn did(sequence: &Sequence, series: &[&Series], days: Days, people: Range<u32>) -> BooleanArray {
    let mut did = vec![false; people.len()];
    let steps = Steps::new(sequence);
    let mut kinds: Vec<Kind> =
        series.iter().enumerate().map(|(selector, series)| Kind::new(selector, series, &people)).collect();
    // Who lacks one of the steps did not do it all, so what fewest did is looked at first, and what is no step last.
    kinds.sort_by_key(|kind| (kind.bit & steps.all == 0, kind.places.len()));
    let Some((rarest, others)) = kinds.split_first_mut() else { return BooleanArray::from(did) };
    let mut moments: Vec<(i64, u32)> = Vec::new();
    for place in rarest.places.clone() {
        let profile = rarest.series.profiles[place];
        moments.clear();
        let mut may_be = rarest.push(place, days, &mut moments);
        for kind in others.iter_mut() {
            may_be = may_be && (kind.push_those_of(profile, days, &mut moments) || kind.bit & steps.all == 0);
        }
        if may_be {
            moments.sort_unstable();
            did[(profile - people.start) as usize] = steps.are_in(&moments);
        }
    }
    BooleanArray::from(did)
}

/// The instants of the events of one selector.
struct Kind<'s> {
    /// The selector, as a bit.
    bit: u32,
    series: &'s Series,
    /// The profiles that are still to come.
    places: Range<usize>,
}

impl<'s> Kind<'s> {
    fn new(selector: usize, series: &'s Series, people: &Range<u32>) -> Self {
        Self { bit: 1 << selector, series, places: series.among(people) }
    }

    /// Adds the instants of the profile at a place; false if there is none.
    fn push(&self, place: usize, days: Days, moments: &mut Vec<(i64, u32)>) -> bool {
        let instants = days.cut(&self.series.columns.first_at[self.series.rows(place)]);
        moments.extend(instants.iter().map(|&at| (at, self.bit)));
        !instants.is_empty()
    }

    /// The same of a profile, which comes after all that were asked for.
    fn push_those_of(&mut self, profile: u32, days: Days, moments: &mut Vec<(i64, u32)>) -> bool {
        let to_come = &self.series.profiles[self.places.clone()];
        self.places.start += places_below(to_come, profile);
        let is_here = self.series.profiles[self.places.clone()].first() == Some(&profile);
        is_here && self.push(self.places.start, days, moments)
    }
}

/// How many of ascending `rows` are below `row`, which is probably near: in steps that double until one is too far.
fn places_below(rows: &[u32], row: u32) -> usize {
    let mut end = 1;
    while end < rows.len() && rows[end] < row {
        end *= 2;
    }
    let start = end / 2;
    start + rows[start..rows.len().min(end)].partition_point(|&of| of < row)
}

/// The most selectors that a sequence names: the language has no more steps.
const SELECTORS_MAX: usize = 10;
/// Nothing is begun.
const NEVER: i64 = i64::MIN;

/// The steps of a sequence. A set of selectors is a number with a bit for each.
struct Steps {
    does: Vec<usize>,
    without: Vec<u32>,
    /// Everything that has to happen.
    all: u32,
    span_micros: i64,
}

impl Steps {
    fn new(sequence: &Sequence) -> Self {
        let selectors = selectors(sequence);
        let place = |of: &EventSelector| selectors.iter().position(|selector| *selector == of).unwrap_or_default();
        let does: Vec<usize> = sequence.steps.iter().map(|step| place(&step.events)).collect();
        let set = |of: &[EventSelector]| of.iter().fold(0, |set, selector| set | 1 << place(selector));
        Self {
            all: does.iter().fold(0, |set, selector| set | 1 << selector),
            does,
            without: sequence.steps.iter().map(|step| set(&step.without)).collect(),
            span_micros: sequence.span_minutes.map_or(i64::MAX, |minutes| i64::from(minutes) * MICROS_PER_MINUTE),
        }
    }

    /// Goes through what one profile did, instants with selectors in the order of time. Of all ways in which the first
    /// steps were done so far the one that began last is all that matters: what comes next is open to each of them, and it
    /// leaves most of the span.
    fn are_in(&self, moments: &[(i64, u32)]) -> bool {
        // When the way began by which each step was reached.
        let mut begun = [NEVER; SELECTORS_MAX];
        for moment in moments.chunk_by(|left, right| left.0 == right.0) {
            let at = moment[0].0;
            let happens = moment.iter().fold(0, |set, (_, selector)| set | selector);
            // From the last step down, so that each builds on what was before this moment.
            for (step, &does) in self.does.iter().enumerate().rev() {
                let start = match step.checked_sub(1) {
                    _ if happens & (1 << does) == 0 => NEVER,
                    None => at,
                    Some(before) => begun[before],
                };
                if let Some(before) = step.checked_sub(1)
                    && happens & self.without[step] != 0
                {
                    begun[before] = NEVER; // what is done at this very moment follows and is not between
                }
                if start == NEVER {
                    continue;
                }
                if step + 1 == self.does.len() && at - start <= self.span_micros {
                    return true;
                }
                begun[step] = begun[step].max(start);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::places_below;

    #[test]
    fn test_finds_a_row_wherever_it_is() {
        let rows: Vec<u32> = (0..100).map(|row| row * 3 + 1).collect();
        for count in 0..rows.len() {
            for row in 0..305 {
                let below = rows[..count].iter().filter(|&&of| of < row).count();
                assert_eq!(places_below(&rows[..count], row), below, "of {count} rows, {row}");
            }
        }
    }
}
