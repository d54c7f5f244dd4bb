//! Whom conditions select: all of them at once, and after those the ones that are of others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{ArrayRef, AsArray, BooleanArray, UInt32Array};
use arrow::compute::{SortColumn, SortOptions, and, filter, is_not_null, lexsort_to_indices};
use arrow::datatypes::UInt32Type;
use datafusion::common::runtime::SpawnedTask;
use roaring::RoaringBitmap;

use super::block::{Block, Layout};
use super::compile::Compiler;
use super::conditions::{TakenApart, is_true};
use super::figures::{Figures, segment_column, top_column};
use super::population::{Beside, Population};
use crate::error::{EngineError, Result};
use crate::expression::{Expr, segments_used};
use crate::query::cpu_runtime::joined;

impl Population {
    /// For each of named conditions, of which each comes after those that it names with `in_segment`, the bits of the
    /// people for which it is true. They may also name other segments, of which `segments` has the members.
    ///
    /// # Errors
    /// What compiling and computing them report.
    pub(crate) async fn selected(
        self: &Arc<Self>,
        conditions: &[(&str, &Expr)],
        segments: &BTreeMap<String, RoaringBitmap>,
    ) -> Result<Vec<RoaringBitmap>> {
        let mut beside = self.masks();
        beside.extend(segments.iter().map(|(name, set)| (segment_column(name), self.mask(set))));
        let rounds = rounds(conditions);
        let of_round = |round: usize| -> Vec<(&str, &Expr)> {
            conditions.iter().filter(|(name, _)| rounds.get(name) == Some(&round)).copied().collect()
        };
        let mut found: BTreeMap<&str, RoaringBitmap> = BTreeMap::new();
        for round in 0..=rounds.values().max().copied().unwrap_or(0) {
            let here = of_round(round);
            for (_, condition) in here.iter().filter(|_| round > 0) {
                for segment in segments_used(condition) {
                    if let Some(members) = found.get(segment.as_str()) {
                        beside.entry(segment_column(&segment)).or_insert_with(|| self.mask(members));
                    }
                }
                for top in tops(condition) {
                    let column = top_column(top);
                    if !beside.contains_key(&column) {
                        let best = self.best(top, &beside).await?;
                        beside.insert(column, best);
                    }
                }
            }
            let selected = self.selected_at_once(&here, &beside).await?;
            found.extend(here.iter().map(|(name, _)| *name).zip(selected));
        }
        Ok(conditions.iter().map(|(name, _)| found.remove(name).unwrap_or_default()).collect())
    }

    /// The same, where all that is computed of everybody is `beside`.
    async fn selected_at_once(
        self: &Arc<Self>,
        conditions: &[(&str, &Expr)],
        beside: &Beside,
    ) -> Result<Vec<RoaringBitmap>> {
        let started = Instant::now();
        let figures = Figures::of(conditions.iter().map(|(_, condition)| *condition));
        let compiler = Compiler { figures: &figures, as_of: self.as_of };
        let taken_apart = TakenApart::new(compiler, conditions)?;
        let layout = Layout::new(self, figures, taken_apart.whole_measures(), beside.clone())?;
        let compiled = taken_apart.compile(&self.session, &layout)?;
        let compiled_in = started.elapsed();
        let count = conditions.len();
        let empty = move || vec![RoaringBitmap::new(); count];
        let parts = self.by_block(empty, move |population, members: &mut Vec<RoaringBitmap>, rows| {
            let found = compiled.members(&Block::new(population, &layout, rows))?;
            members.iter_mut().zip(found).for_each(|(members, found)| *members |= found);
            Ok(())
        });
        let members = united(parts.await?).await?;
        tracing::debug!(count, compiled = ?compiled_in, selected = ?started.elapsed(), "conditions are computed");
        Ok(members)
    }

    /// The columns that tell who is in which set.
    pub(super) fn masks(&self) -> Beside {
        self.sets.iter().map(|(column, set)| (column.clone(), self.mask(set))).collect()
    }

    /// Whether each row is one of a set of profiles.
    fn mask(&self, set: &RoaringBitmap) -> ArrayRef {
        let mut members = set.iter().peekable();
        let is_member = |&bit: &u32| {
            while members.next_if(|&member| member < bit).is_some() {}
            members.next_if_eq(&bit).is_some()
        };
        Arc::new(BooleanArray::from(self.people.bits().iter().map(is_member).collect::<Vec<bool>>()))
    }

    /// Whether each row is one of those with the greatest values; of equal ones, who was known first.
    async fn best(self: &Arc<Self>, top: &Expr, beside: &Beside) -> Result<ArrayRef> {
        let Expr::Top { count, of, among } = top else {
            return Err(EngineError::internal("this takes nobody's best"));
        };
        let values = self.values_beside(of, beside).await?;
        let mut competes = is_not_null(&values)?;
        if let Some(condition) = among {
            let condition = self.values_beside(condition, beside).await?;
            competes = and(&competes, &is_true(condition.as_boolean()))?;
        }
        let rows = UInt32Array::from_iter_values(0..self.people.len() as u32);
        let first_known = UInt32Array::from(self.people.first_known());
        let (values, rows) = (filter(&values, &competes)?, filter(&rows, &competes)?);
        let first_known = filter(&first_known, &competes)?;
        let order = |descending| Some(SortOptions { descending, nulls_first: false });
        let by =
            [SortColumn { values, options: order(true) }, SortColumn { values: first_known, options: order(false) }];
        let best = lexsort_to_indices(&by, Some(*count as usize))?;
        let rows = rows.as_primitive::<UInt32Type>();
        let mut is_best = vec![false; self.people.len()];
        for &place in best.values() {
            is_best[rows.value(place as usize) as usize] = true;
        }
        Ok(Arc::new(BooleanArray::from(is_best)))
    }
}

/// What several threads found of each condition, by as many threads.
async fn united(found: Vec<Vec<RoaringBitmap>>) -> Result<Vec<RoaringBitmap>> {
    let (threads, count) = (found.len().max(1), found.first().map_or(0, Vec::len));
    let mut found: Vec<_> = found.into_iter().map(Vec::into_iter).collect();
    let share = |_| -> Vec<Vec<RoaringBitmap>> {
        let of_thread = found.iter_mut().map(|found| found.by_ref().take(count.div_ceil(threads)).collect());
        of_thread.collect()
    };
    let unite = |mut found: Vec<Vec<RoaringBitmap>>| {
        SpawnedTask::spawn(async move {
            let mut members = found.pop().unwrap_or_default();
            for of_thread in found {
                members.iter_mut().zip(of_thread).for_each(|(members, part)| *members |= part);
            }
            Ok::<_, EngineError>(members)
        })
    };
    let tasks: Vec<_> = (0..threads).map(share).map(unite).collect();
    let mut members = Vec::with_capacity(count);
    for task in tasks {
        members.extend(joined(task).await?);
    }
    Ok(members)
}

/// In which round each condition is computed. In the first are those that are of one profile alone, and join with others by
/// `and`, `or` and `not`; what takes the best of some, or computes with who is in a segment, takes a round after those that
/// it names.
fn rounds<'c>(conditions: &[(&'c str, &Expr)]) -> BTreeMap<&'c str, usize> {
    let mut rounds: BTreeMap<&str, usize> = BTreeMap::new();
    for (name, condition) in conditions {
        let named = segments_used(condition).iter().filter_map(|segment| rounds.get(segment.as_str())).max().copied();
        let round = match named.unwrap_or(0) {
            0 if tops(condition).is_empty() && !computes_with_segments(condition, true) => 0,
            named => named + 1,
        };
        rounds.insert(name, round);
    }
    rounds
}

/// Whether it asks for a segment elsewhere than in a condition that `and`, `or` and `not` join.
fn computes_with_segments(expression: &Expr, is_joined: bool) -> bool {
    let is_joined = match expression {
        Expr::InSegment(_) => return !is_joined,
        Expr::And(_) | Expr::Or(_) | Expr::Not(_) => is_joined,
        _ => false,
    };
    expression.children().into_iter().any(|child| computes_with_segments(child, is_joined))
}

/// What takes the best of some in an expression, each after those inside it.
fn tops(expression: &Expr) -> Vec<&Expr> {
    let mut found: Vec<&Expr> = expression.children().into_iter().flat_map(tops).collect();
    if matches!(expression, Expr::Top { .. }) {
        found.push(expression);
    }
    found
}

#[cfg(test)]
mod tests {
    use roaring::RoaringBitmap;

    use super::{rounds, united};
    use crate::expression::Expr;

    #[test]
    fn test_what_computes_with_a_segment_comes_a_round_after_it() {
        let segment = |name: &str| Expr::InSegment(name.to_owned());
        let is_true = |name| Expr::IsBoolean { expr: Box::new(segment(name)), value: true, negated: false };
        let conditions = [
            ("plain", Expr::IsBoolean { expr: Box::new(Expr::And(vec![])), value: true, negated: false }),
            ("joins", Expr::And(vec![segment("plain"), Expr::Not(Box::new(segment("elsewhere")))])),
            ("computes", Expr::Or(vec![segment("joins"), is_true("plain")])),
            ("joins_that", segment("computes")),
            ("computes_again", is_true("joins_that")),
        ];
        let conditions: Vec<(&str, &Expr)> = conditions.iter().map(|(name, condition)| (*name, condition)).collect();
        let rounds: Vec<usize> = rounds(&conditions).into_values().collect(); // by name
        assert_eq!(rounds, [1, 3, 0, 2, 0]);
    }

    #[tokio::test]
    async fn test_what_threads_found_is_united_condition_by_condition() {
        for (threads, count) in [(1, 3), (2, 5), (3, 1), (4, 0), (3, 9)] {
            let set = |thread: u32, condition: u32| RoaringBitmap::from([thread, 100 + condition]);
            let found =
                (0..threads).map(|thread| (0..count).map(|condition| set(thread, condition)).collect()).collect();
            let expected: Vec<RoaringBitmap> =
                (0..count).map(|condition| (0..threads).chain([100 + condition]).collect()).collect();
            assert_eq!(united(found).await.unwrap(), expected, "{threads} threads, {count} conditions");
        }
    }
}
