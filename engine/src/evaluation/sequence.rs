//! Who did one thing after another. What merges by day cannot tell that: of the events that sequences name every instant
//! is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use arrow::array::BooleanArray;
use arrow::buffer::BooleanBuffer;

use super::bits::bits;
use super::fold::Days;
use super::series::Series;
use crate::expression::{EventSelector, STEPS_MAX, Sequence, Window};

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// The selectors that a sequence names, each once, ordered.
pub(super) fn selectors(sequence: &Sequence) -> BTreeSet<&EventSelector> {
    sequence.steps.iter().flat_map(|step| step.without.iter().chain([&step.events])).collect()
}

/// Sequences of the same events: what somebody did is put in order once for all of them.
pub(super) struct Alike {
    /// The events; those of each place are a bit in sets.
    selectors: Vec<EventSelector>,
    /// Everything that has to happen.
    all: u32,
    sequences: Vec<OneOf>,
}

/// One of the sequences that are alike.
struct OneOf {
    /// Its place among all.
    place: usize,
    steps: Steps,
    window: Window,
}

/// Puts those of some sequences together that are alike.
pub(super) fn alike(sequences: &[Sequence]) -> Vec<Alike> {
    let mut alike: BTreeMap<(BTreeSet<&EventSelector>, u32), Vec<OneOf>> = BTreeMap::new();
    for (place, sequence) in sequences.iter().enumerate() {
        let selectors = selectors(sequence);
        let steps = Steps::new(sequence, &selectors);
        alike.entry((selectors, steps.all())).or_default().push(OneOf { place, steps, window: sequence.window });
    }
    let alike = alike.into_iter();
    alike
        .map(|((selectors, all), sequences)| Alike {
            selectors: selectors.into_iter().cloned().collect(),
            all,
            sequences,
        })
        .collect()
}

impl Alike {
    /// The events that they are of.
    pub(super) fn selectors(&self) -> &[EventSelector] {
        &self.selectors
    }

    /// Whether each of some rows of people did each of the sequences, as they are on the day `today`, with the sequence's
    /// place. `series` has a row for each instant of the events of each selector.
    pub(super) fn did(&self, series: &[&Series], people: &Range<u32>, today: i32) -> Vec<(usize, BooleanArray)> {
        let windows: Vec<Days> = self.sequences.iter().map(|of| Days::of(of.window, today)).collect();
        let any_of_them = windows.iter().copied().reduce(Days::hull).unwrap_or(Days::EVER);
        let mut did: Vec<Vec<usize>> = vec![Vec::new(); self.sequences.len()];
        self.each_profile(series, people, any_of_them, |profile, moments| {
            for ((of, days), did) in self.sequences.iter().zip(&windows).zip(&mut did) {
                if of.steps.are_in(days.cut(moments, |(at, _)| *at)) {
                    did.push((profile - people.start) as usize);
                }
            }
        });
        let rows = people.len();
        let whole = |did: Vec<usize>| BooleanArray::from(BooleanBuffer::new(bits(did.into_iter(), rows), 0, rows));
        self.sequences.iter().zip(did).map(|(of, did)| (of.place, whole(did))).collect()
    }

    /// Does something with all that each profile did on some days, in the order of time, if it has everything that has to
    /// happen.
    fn each_profile(
        &self,
        series: &[&Series],
        people: &Range<u32>,
        days: Days,
        mut act: impl FnMut(u32, &[(i64, u32)]),
    ) {
        let mut kinds: Vec<Kind> =
            series.iter().enumerate().map(|(selector, series)| Kind::new(selector, series, people)).collect();
        // Who lacks one of the steps did not do it all, so what fewest did is looked at first, and what is no step last.
        kinds.sort_by_key(|kind| (kind.bit & self.all == 0, kind.places.len()));
        let Some((rarest, others)) = kinds.split_first_mut() else { return };
        let mut moments: Vec<(i64, u32)> = Vec::new();
        for place in rarest.places.clone() {
            let profile = rarest.series.profiles[place];
            moments.clear();
            let mut may_be = rarest.push(place, days, &mut moments);
            for kind in others.iter_mut() {
                may_be = may_be && (kind.push_those_of(profile, days, &mut moments) || kind.bit & self.all == 0);
            }
            if may_be {
                moments.sort_unstable();
                act(profile, &moments);
            }
        }
    }
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
        let instants = days.cut(&self.series.columns.first_at[self.series.rows(place)], |at| *at);
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

/// Nothing is begun.
const NEVER: i64 = i64::MIN;

/// The steps of a sequence. A set of selectors is a number with a bit for each.
struct Steps {
    does: Vec<usize>,
    without: Vec<u32>,
    span_micros: i64,
}

impl Steps {
    fn new(sequence: &Sequence, selectors: &BTreeSet<&EventSelector>) -> Self {
        let place = |of: &EventSelector| selectors.iter().position(|selector| *selector == of).unwrap_or_default();
        let set = |of: &[EventSelector]| of.iter().fold(0, |set, selector| set | 1 << place(selector));
        Self {
            does: sequence.steps.iter().map(|step| place(&step.events)).collect(),
            without: sequence.steps.iter().map(|step| set(&step.without)).collect(),
            span_micros: sequence.span_minutes.map_or(i64::MAX, |minutes| i64::from(minutes) * MICROS_PER_MINUTE),
        }
    }

    /// Everything that has to happen.
    fn all(&self) -> u32 {
        self.does.iter().fold(0, |set, selector| set | 1 << selector)
    }

    /// Goes through what one profile did, instants with selectors in the order of time. Of all ways in which the first
    /// steps were done so far the one that began last is all that matters: what comes next is open to each of them, and it
    /// leaves most of the span.
    fn are_in(&self, moments: &[(i64, u32)]) -> bool {
        // When the way began by which each step was reached.
        let mut begun = [NEVER; STEPS_MAX];
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
    use super::{alike, places_below};
    use crate::evaluation::series::Series;
    use crate::evaluation::types::MICROS_PER_DAY;
    use crate::expression::sequences_used;
    use crate::expression::testing::segment;

    #[test]
    fn test_each_of_the_sequences_of_the_same_events_has_its_own_answer() {
        let [at_1, at_2, at_9, at_10] = [1, 2, 9, 10].map(|day| day * MICROS_PER_DAY + MICROS_PER_DAY / 2);
        // The first did A, B, A, B; the third A and B at once; the others one of them.
        let a = Series::of_instants(&[(0, at_1), (0, at_9), (2, at_2), (3, at_1)]);
        let b = Series::of_instants(&[(0, at_2), (0, at_10), (1, at_2), (2, at_2)]);
        let cases = [
            ("did_sequence('A' then 'B')", [true, false, false, false]),
            ("did_sequence('B' then 'A')", [true, false, false, false]),
            ("did_sequence('A' then 'B' then 'A' then 'B')", [true, false, false, false]),
            (
                "did_sequence('A' then 'B', between => (date '1970-01-02', date '1970-01-03'))",
                [true, false, false, false],
            ),
            ("did_sequence('A' then 'B', between => (date '1970-01-03', date '1970-01-10'))", [false; 4]),
            (
                "did_sequence('B' then 'A', between => (date '1970-01-03', date '1970-01-10'))",
                [true, false, false, false],
            ),
            ("did_sequence('B' then 'A', since => date '1970-01-04')", [false; 4]),
            ("did_sequence('B' then 'A', span => interval '6 days')", [false; 4]),
        ];
        let mut sequences: Vec<_> = cases.iter().flat_map(|(text, _)| sequences_used(&segment(text))).collect();
        let texts = sequences.clone();
        sequences.sort();
        let alike = alike(&sequences);
        assert_eq!(alike.len(), 1);
        assert_eq!(alike[0].selectors().iter().map(|of| of.event.as_str()).collect::<Vec<_>>(), ["A", "B"]);
        let did = alike[0].did(&[&a, &b], &(0..4), 20);
        for (sequence, (text, expected)) in texts.iter().zip(cases) {
            let place = sequences.binary_search(sequence).unwrap();
            let (_, found) = did.iter().find(|(of, _)| *of == place).unwrap();
            assert_eq!(found.iter().map(Option::unwrap).collect::<Vec<_>>(), expected, "{text}");
        }
    }

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
