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
    let mut ranges: Vec<Range<usize>> = series.iter().map(|series| series.of(&people)).collect();
    let Some(first) = steps.does.first().map(|&selector| series[selector]) else { return BooleanArray::from(did) };
    let mut moments: Vec<(i64, u32)> = Vec::new();
    // Who never did the first thing did not do it all.
    for (row, _) in first.by_profile(first.of(&people)) {
        moments.clear();
        let mut happened = 0_u32;
        for (selector, (series, range)) in series.iter().zip(&mut ranges).enumerate() {
            while range.start < range.end && series.rows[range.start] < row {
                range.start += 1;
            }
            while range.start < range.end && series.rows[range.start] == row {
                if days.have(series.first_at[range.start]) {
                    moments.push((series.first_at[range.start], 1 << selector));
                    happened |= 1 << selector;
                }
                range.start += 1;
            }
        }
        if happened & steps.all == steps.all {
            moments.sort_unstable();
            did[(row - people.start) as usize] = steps.are_in(&moments);
        }
    }
    BooleanArray::from(did)
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
