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
    let mut moments: Vec<(i64, usize)> = Vec::new();
    // Who never did the first thing did not do it all.
    for (row, _) in first.by_profile(first.of(&people)) {
        moments.clear();
        for (selector, (series, range)) in series.iter().zip(&mut ranges).enumerate() {
            range.start += series.rows[range.clone()].partition_point(|&of| of < row);
            let of_row = series.rows[range.clone()].iter().take_while(|&&of| of == row).count();
            let places = range.start..range.start + of_row;
            let counting = places.filter(|&at| days.has(series.days[at]));
            moments.extend(counting.map(|at| (series.first_at[at], selector)));
        }
        moments.sort_unstable();
        did[(row - people.start) as usize] = steps.are_in(&moments);
    }
    BooleanArray::from(did)
}

/// The steps of a sequence, with places of selectors.
struct Steps {
    does: Vec<usize>,
    without: Vec<Vec<usize>>,
    span_micros: i64,
}

impl Steps {
    fn new(sequence: &Sequence) -> Self {
        let selectors = selectors(sequence);
        let place = |of: &EventSelector| selectors.iter().position(|selector| *selector == of).unwrap_or_default();
        Self {
            does: sequence.steps.iter().map(|step| place(&step.events)).collect(),
            without: sequence.steps.iter().map(|step| step.without.iter().map(place).collect()).collect(),
            span_micros: sequence.span_minutes.map_or(i64::MAX, |minutes| i64::from(minutes) * MICROS_PER_MINUTE),
        }
    }

    /// Goes through what one profile did, instants with selectors in the order of time. Of all ways in which the first
    /// steps were done so far the one that began last is all that matters: what comes next is open to each of them, and it
    /// leaves most of the span.
    fn are_in(&self, moments: &[(i64, usize)]) -> bool {
        let mut begun: Vec<Option<i64>> = vec![None; self.does.len()];
        for moment in moments.chunk_by(|left, right| left.0 == right.0) {
            let at = moment[0].0;
            let happens = |selector: usize| moment.iter().any(|(_, of)| *of == selector);
            let reached = |step: usize| match step.checked_sub(1) {
                _ if !happens(self.does[step]) => None,
                None => Some(at),
                Some(before) => begun[before],
            };
            let reached: Vec<Option<i64>> = (0..self.does.len()).map(reached).collect();
            if reached.last().copied().flatten().is_some_and(|start| at - start <= self.span_micros) {
                return true;
            }
            // What may not come between ends what waits for the step after it; what is done at the same moment goes on.
            for step in 1..self.does.len() {
                if self.without[step].iter().any(|&selector| happens(selector)) {
                    begun[step - 1] = None;
                }
            }
            for (begun, reached) in begun.iter_mut().zip(reached) {
                *begun = (*begun).max(reached);
            }
        }
        false
    }
}
