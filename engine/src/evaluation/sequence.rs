//! Who did one thing after another. What merges by day cannot tell that, so it is found in the events themselves.

use std::collections::HashMap;
use std::ops::Range;

use arrow::array::BooleanArray;

use super::fold::Days;
use crate::expression::{EventSelector, Sequence};

const MICROS_PER_MINUTE: i64 = 60_000_000;
const MICROS_PER_DAY: i64 = 86_400_000_000;

/// Events that steps of sequences name, ordered by profile and time. An event that several selectors take is there for
/// each.
#[derive(Debug, Default)]
pub(super) struct Instants {
    /// The profile: its row among the people.
    pub(super) rows: Vec<u32>,
    /// Microseconds since 1970 UTC.
    pub(super) at: Vec<i64>,
    /// Which selector takes it.
    pub(super) selectors: Vec<u32>,
    /// The selectors' places.
    pub(super) places: HashMap<EventSelector, u32>,
}

impl Instants {
    /// Orders what was read: rows, instants and selectors.
    pub(super) fn ordered(mut read: Vec<(u32, i64, u32)>, places: HashMap<EventSelector, u32>) -> Self {
        read.sort_unstable();
        Self {
            rows: read.iter().map(|(row, ..)| *row).collect(),
            at: read.iter().map(|(_, at, _)| *at).collect(),
            selectors: read.into_iter().map(|(.., selector)| selector).collect(),
            places,
        }
    }

    /// Bytes that they take in memory.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(self.rows.as_slice()) + size_of_val(self.at.as_slice()) + size_of_val(self.selectors.as_slice())
    }

    /// Whether each of some rows of people did a sequence on the days that count.
    pub(super) fn did(&self, sequence: &Sequence, days: Days, people: Range<u32>) -> BooleanArray {
        let mut did = vec![false; people.len()];
        let steps = Steps::new(sequence, &self.places);
        let mut next = self.rows.partition_point(|&row| row < people.start);
        while let Some(row) = self.rows.get(next).filter(|row| people.contains(row)) {
            let end = next + self.rows[next..].iter().take_while(|&of| of == row).count();
            did[(row - people.start) as usize] = steps.are_in(self, next..end, days);
            next = end;
        }
        BooleanArray::from(did)
    }
}

/// The steps of a sequence, with places of selectors; `None` is a selector that takes nothing.
struct Steps {
    does: Vec<Option<u32>>,
    without: Vec<Vec<u32>>,
    span_micros: i64,
}

impl Steps {
    fn new(sequence: &Sequence, places: &HashMap<EventSelector, u32>) -> Self {
        let without = |selectors: &[EventSelector]| selectors.iter().filter_map(|of| places.get(of).copied()).collect();
        Self {
            does: sequence.steps.iter().map(|step| places.get(&step.events).copied()).collect(),
            without: sequence.steps.iter().map(|step| without(&step.without)).collect(),
            span_micros: sequence.span_minutes.map_or(i64::MAX, |minutes| i64::from(minutes) * MICROS_PER_MINUTE),
        }
    }

    /// Goes through the events of one profile, moment by moment. Of all ways in which the first steps were done so far the
    /// one that began last is all that matters: what comes next is open to each of them, and it leaves most of the span.
    fn are_in(&self, events: &Instants, places: Range<usize>, days: Days) -> bool {
        let mut begun: Vec<Option<i64>> = vec![None; self.does.len()];
        let counts = |at: i64| days.has(i32::try_from(at.div_euclid(MICROS_PER_DAY)).unwrap_or(i32::MAX));
        let mut next = places.start;
        while next < places.end {
            let at = events.at[next];
            let end = next + events.at[next..places.end].iter().take_while(|&&of| of == at).count();
            let moment = &events.selectors[next..end];
            next = end;
            if !counts(at) {
                continue;
            }
            let reached = |step: usize| match (self.does[step], step.checked_sub(1)) {
                (Some(selector), None) if moment.contains(&selector) => Some(at),
                (Some(selector), Some(before)) if moment.contains(&selector) => begun[before],
                _ => None,
            };
            let reached: Vec<Option<i64>> = (0..self.does.len()).map(reached).collect();
            if reached.last().copied().flatten().is_some_and(|start| at - start <= self.span_micros) {
                return true;
            }
            // What may not come between ends what waits for the step after it; what is done at the same moment goes on.
            for step in 1..self.does.len() {
                if self.without[step].iter().any(|selector| moment.contains(selector)) {
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
