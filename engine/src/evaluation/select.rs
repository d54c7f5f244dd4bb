//! Whom conditions select: all of them at once, and after those the ones that take the best of some.

use std::collections::{BTreeMap, BTreeSet};
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
    /// For each of named conditions, of which each comes after those that it names with `in_segment`, the ordinals of the
    /// profiles for which it is true. They may also name other segments, of which `segments` has the members.
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
        let ranked = ranked(conditions);
        let at_once: Vec<(&str, &Expr)> =
            conditions.iter().filter(|(name, _)| !ranked.contains(name)).copied().collect();
        let selected = self.selected_at_once(&at_once, &beside).await?;
        let mut found: BTreeMap<&str, RoaringBitmap> = at_once.iter().map(|(name, _)| *name).zip(selected).collect();
        for (name, condition) in conditions.iter().filter(|(name, _)| ranked.contains(name)) {
            for segment in segments_used(condition) {
                if let Some(members) = found.get(segment.as_str()) {
                    beside.insert(segment_column(&segment), self.mask(members));
                }
            }
            for top in tops(condition) {
                let best = self.best(top, &beside).await?;
                beside.insert(top_column(top), best);
            }
            let selected = self.selected_at_once(&[(name, condition)], &beside).await?;
            found.extend(selected.into_iter().map(|members| (*name, members)));
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
        let segments = conditions.iter().copied().collect();
        let compiler = Compiler { figures: &figures, segments: &segments, as_of: self.as_of };
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
        let is_member = |&ordinal: &u32| {
            while members.next_if(|&member| member < ordinal).is_some() {}
            members.next_if_eq(&ordinal).is_some()
        };
        Arc::new(BooleanArray::from(self.people.ordinals().iter().map(is_member).collect::<Vec<bool>>()))
    }

    /// Whether each row is one of those with the greatest values.
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
        let (values, rows) = (filter(&values, &competes)?, filter(&rows, &competes)?);
        let order = |descending| Some(SortOptions { descending, nulls_first: false });
        let by = [
            SortColumn { values, options: order(true) },
            SortColumn { values: Arc::clone(&rows), options: order(false) }, // who was known first
        ];
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
        SpawnedTask::spawn_blocking(move || {
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

/// The conditions that take the best of some, or name one that does.
fn ranked<'c>(conditions: &[(&'c str, &Expr)]) -> BTreeSet<&'c str> {
    let mut ranked: BTreeSet<&str> = BTreeSet::new();
    for (name, condition) in conditions {
        let names = segments_used(condition);
        if !tops(condition).is_empty() || names.iter().any(|segment| ranked.contains(segment.as_str())) {
            ranked.insert(name);
        }
    }
    ranked
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

    use super::united;

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
