//! All profiles in memory, with what some expressions need of them: where traits and segments are computed.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, ArrayRef, new_empty_array};
use datafusion::common::DFSchema;
use datafusion::common::runtime::SpawnedTask;
use datafusion::prelude::SessionContext;
use roaring::RoaringBitmap;
use tokio::task::yield_now;

use super::block::{Block, Layout};
use super::compile::Compiler;
use super::evaluated::evaluated;
use super::figures::Figures;
use super::kept::Kept;
use super::people::People;
use super::score;
use super::series::Series;
use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::expression::Expr;
use crate::query::cpu_runtime::joined;

/// The most profiles whose figures are computed at once: a column of theirs fits into a processor's cache.
const BLOCK_ROWS: usize = 16 * 1024;
/// Numbers of a container of a Roaring bitmap differ in so many bits only. The people of a block are of one container.
const CONTAINER_BITS: u32 = 16;

/// Profiles with the columns, and what was kept of the events, that some expressions need.
pub(crate) struct Population {
    pub(super) session: SessionContext,
    pub(super) as_of: Micros,
    pub(super) people: Arc<People>,
    /// In the order of the people.
    pub(super) columns: BTreeMap<String, ArrayRef>,
    pub(super) series: HashMap<Kept, Arc<Series>>,
    /// Who is in each of some sets, by the column that tells it: their bits.
    pub(super) sets: BTreeMap<String, RoaringBitmap>,
}

/// Columns that are computed of everybody before those of a block, by name, in the order of the people.
pub(super) type Beside = BTreeMap<String, ArrayRef>;

impl Population {
    /// What was asked of the events of `known` names and that no event has, in words.
    pub(crate) fn absences(&self, known: &BTreeSet<String>) -> Vec<String> {
        let nothing = self
            .series
            .iter()
            .filter(|(kept, series)| series.profiles.is_empty() && known.contains(&kept.events.event));
        let mut absences: Vec<String> = nothing.filter_map(|(kept, _)| kept.absence()).collect();
        absences.sort();
        absences
    }

    /// The values of an expression, in the order of the people.
    ///
    /// # Errors
    /// What computing it reports.
    pub(crate) async fn values(self: &Arc<Self>, expression: &Expr) -> Result<ArrayRef> {
        self.values_beside(expression, &self.masks()).await
    }

    /// The same of an expression that also names columns `beside` those of the people.
    pub(super) async fn values_beside(self: &Arc<Self>, expression: &Expr, beside: &Beside) -> Result<ArrayRef> {
        let mut figures = Figures::of([expression]);
        let mut beside = beside.clone();
        for of in score::scores(expression) {
            let values = Box::pin(self.values_beside(score::scored(of)?, &beside)).await?;
            beside.insert(figures.add_score(of), score::groups(of, &values)?);
        }
        let compiler = Compiler { figures: &figures, as_of: self.as_of };
        let value = compiler.expr(expression)?;
        let all = (0..figures.measures.len()).collect();
        let layout = Layout::new(self, figures, all, beside)?;
        let df_schema = DFSchema::try_from(Arc::clone(layout.schema()))?;
        let value = self.session.create_physical_expr(value, &df_schema)?;
        let nothing = new_empty_array(&value.data_type(layout.schema())?);
        let parts = self.by_block(Vec::new, move |population, values: &mut Vec<(u32, ArrayRef)>, rows| {
            let batch = Block::new(population, &layout, rows.clone()).batch()?;
            values.push((rows.start, evaluated(&value, &batch)?));
            Ok(())
        });
        let mut parts: Vec<(u32, ArrayRef)> = parts.await?.into_iter().flatten().collect();
        parts.sort_by_key(|(start, _)| *start);
        let parts: Vec<&dyn Array> =
            std::iter::once(&nothing).chain(parts.iter().map(|(_, part)| part)).map(AsRef::as_ref).collect();
        Ok(arrow::compute::concat(&parts)?)
    }

    /// Works on all blocks, as many at a time as a query has threads. Each thread adds to a value of its own, in the order
    /// of the blocks that it takes.
    pub(super) async fn by_block<A: Send + 'static>(
        self: &Arc<Self>,
        empty: impl Fn() -> A,
        work: impl Fn(&Self, &mut A, Range<u32>) -> Result<()> + Send + Sync + 'static,
    ) -> Result<Vec<A>> {
        let (work, next) = (Arc::new(work), Arc::new(AtomicUsize::new(0)));
        let threads = self.session.copied_config().target_partitions();
        let blocks = Arc::new(blocks(self.people.bits(), threads));
        let tasks: Vec<_> = (0..threads)
            .map(|_| {
                let (population, work, next) = (Arc::clone(self), Arc::clone(&work), Arc::clone(&next));
                let blocks = Arc::clone(&blocks);
                let mut done = empty();
                // On the threads of queries, which are on processors of their own already: threads that wake for some
                // milliseconds are often put on the one that woke them.
                SpawnedTask::spawn(async move {
                    while let Some(block) = blocks.get(next.fetch_add(1, Ordering::Relaxed)) {
                        work(&population, &mut done, block.clone())?;
                        yield_now().await;
                    }
                    Ok::<_, EngineError>(done)
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.push(joined(task).await?);
        }
        Ok(all)
    }
}

/// The rows of each block of people, who have these bits in sets of people. Few people are one block for each thread: to begin
/// a thousand conditions takes as long as to compute them for a few thousand people.
fn blocks(bits: &[u32], threads: usize) -> Vec<Range<u32>> {
    let most = bits.len().div_ceil(threads.max(1)).clamp(1, BLOCK_ROWS);
    let is_same_container = |left: &u32, right: &u32| left >> CONTAINER_BITS == right >> CONTAINER_BITS;
    let mut blocks: Vec<Range<u32>> = Vec::new();
    for part in bits.chunk_by(is_same_container).flat_map(|of_container| of_container.chunks(most)) {
        let start = blocks.last().map_or(0, |before| before.end);
        blocks.push(start..start + part.len() as u32);
    }
    blocks
}

#[cfg(test)]
mod tests {
    use super::{BLOCK_ROWS, blocks};

    #[test]
    fn test_blocks_have_all_rows_and_no_two_containers() {
        let rows = BLOCK_ROWS as u32;
        let bits: Vec<u32> = (0..3 * rows + 1).chain([1 << 16, (1 << 16) + 1, 3 << 16]).collect();
        let expected = [
            0..rows,
            rows..2 * rows,
            2 * rows..3 * rows,
            3 * rows..3 * rows + 1,
            3 * rows + 1..3 * rows + 3,
            3 * rows + 3..3 * rows + 4,
        ];
        assert_eq!(blocks(&bits, 1), expected);
        assert_eq!(blocks(&[], 2), []);
    }

    #[test]
    fn test_few_people_are_shared_among_threads() {
        let bits: Vec<u32> = (0..1000).collect();
        assert_eq!(blocks(&bits, 2), [0..500, 500..1000]);
        assert_eq!(blocks(&bits[..3], 2), [0..2, 2..3]);
    }
}
