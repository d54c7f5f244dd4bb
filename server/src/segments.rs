//! All segments, as the command line and calls show them: those of a generation, and what was made of them since.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use tessera_engine::{ComparedColumn, Engine, EngineError, QueryLimits, SavedSegment, SegmentContent, Snapshot};

const EVALUATED: &str = "
    select
        segments.segment, segments.title, segments.purpose, segments.description, segments.expression,
        cast(coalesce(sizes.size, 0) as bigint) as size
    from segment.segments
    left join (select segment, size from segment.sizes where generation = (select max(generation) from segment.sizes)) sizes
        on sizes.segment = segments.segment";

/// A segment.
#[derive(Debug)]
pub(crate) struct ListedSegment {
    /// Its name.
    pub(crate) name: String,
    /// What it says now.
    pub(crate) content: SegmentContent,
    /// Its members in the generation; `None` if that does not have it.
    pub(crate) size: Option<i64>,
    /// `None` for one of the project's files.
    pub(crate) last_change: Option<LastChange>,
    /// Whether it says something else than in the generation: the next refresh evaluates it.
    pub(crate) is_pending: bool,
}

/// What is known of a segment that a call or a command has made.
#[derive(Debug)]
pub(crate) struct LastChange {
    /// Who made it, or changed it last.
    pub(crate) by: String,
    /// When, microseconds since 1970 UTC.
    pub(crate) at: i64,
    /// Another one after each change.
    pub(crate) etag: String,
}

/// One that no refresh has evaluated.
impl From<SavedSegment> for ListedSegment {
    fn from(saved: SavedSegment) -> Self {
        let SavedSegment { name, content, changed_by, changed_at, etag } = saved;
        let last_change = Some(LastChange { by: changed_by, at: changed_at, etag });
        Self { name, content, size: None, last_change, is_pending: true }
    }
}

/// All segments, by name.
///
/// # Errors
/// FailedPrecondition before the first refresh; what the query and the store report.
pub(crate) async fn all(
    engine: &Engine,
    snapshot: &Arc<Snapshot>,
    limits: QueryLimits,
) -> Result<BTreeMap<String, ListedSegment>, EngineError> {
    let mut all = BTreeMap::new();
    for batch in engine.rows(snapshot, EVALUATED, &[], limits).await? {
        all.extend(evaluated(&batch)?.into_iter().map(|segment| (segment.name.clone(), segment)));
    }
    let saved = engine.saved_segments(snapshot.as_of()).await?;
    for name in saved.deleted {
        all.remove(&name);
    }
    for (name, saved) in saved.in_force {
        let before = all.remove(&name);
        let is_evaluated = before.as_ref().is_some_and(|before| saved.is_evaluated_as(&before.content.expression));
        let size = before.and_then(|before| before.size);
        all.insert(name, ListedSegment { size, is_pending: !is_evaluated, ..saved.into() });
    }
    Ok(all)
}

/// The segments of a generation in rows of [`EVALUATED`].
fn evaluated(batch: &RecordBatch) -> Result<Vec<ListedSegment>, EngineError> {
    let texts: Vec<_> =
        batch.columns().iter().take(5).map(|column| cast(column, &DataType::Utf8)).collect::<Result<_, _>>()?;
    let text = |column: usize, row: usize| {
        let column = texts.get(column)?.as_string::<i32>();
        column.is_valid(row).then(|| column.value(row).to_owned())
    };
    let sizes = batch.column(texts.len()).as_primitive::<Int64Type>();
    let segment = |row: usize| ListedSegment {
        name: text(0, row).unwrap_or_default(),
        content: SegmentContent {
            title: text(1, row),
            purpose: text(2, row),
            description: text(3, row),
            expression: text(4, row).unwrap_or_default(),
        },
        size: Some(sizes.value(row)),
        last_change: None,
        is_pending: false,
    };
    Ok((0..batch.num_rows()).map(segment).collect())
}

/// How many times as much a segment has of a column as everybody has: of each of its values, or of its mean. `place` is the
/// segment's among those compared, and `size` its members; `everybody` is how many people there are.
pub(crate) fn lifts(column: &ComparedColumn, place: usize, size: u64, everybody: u64) -> Vec<f64> {
    let share = |part: u64, of: u64| part as f64 / of as f64;
    match (column.mean, column.means.get(place).copied().flatten()) {
        (Some(of_all), Some(mean)) => vec![mean / of_all],
        (Some(_), None) => vec![f64::NAN],
        (None, _) => {
            let values = column.members.get(place).into_iter().flatten().zip(&column.everybody.values);
            values.map(|(members, (_, all))| share(*members, size) / share(*all, everybody)).collect()
        }
    }
}
