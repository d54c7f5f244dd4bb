//! Reading what was kept of events: each table once, whatever many figures need it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use datafusion::common::ScalarValue;
use datafusion::common::runtime::SpawnedTask;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::{Expr, cast, col, lit};
use datafusion::physical_plan::execute_stream_partitioned;
use datafusion::prelude::SessionContext;
use futures::{FutureExt, StreamExt, TryStreamExt, future, stream};
use hashbrown::HashMap;

use super::figures::Figures;
use super::fold::{self, Days};
use super::kept::{Keeping, Kept, What};
use super::measured;
use super::people::People;
use super::scope::Scope;
use super::sequence;
use super::series::{self, Chunk, Chunks, NOWHERE, Needs, Series};
use crate::error::{EngineError, Result};
use crate::query::cpu_runtime::{blocking, joined};
use crate::query::functions::text;
use crate::store::kept_files;

/// The query that keeps what traits and segments define, here run for what is not kept.
const DEFINED_SQL: &str = include_str!("../../../sql/behavior/defined_measures.sql");
/// The query that keeps instants, likewise.
const INSTANTS_SQL: &str = include_str!("../../../sql/behavior/instants.sql");

/// Pages of a file are searched for so many identifiers: DataFusion prunes by lists of no more.
const SEARCHED_MAX: usize = 20;

/// What is wanted of a series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    needs: Needs,
    /// From the first to the last day that any figure counts.
    days: Days,
}

impl Wanted {
    /// True if it has all of `other`.
    pub(super) fn covers(&self, other: &Self) -> bool {
        self.days.hull(other.days) == self.days && self.needs.or(other.needs) == self.needs
    }

    /// What either wants.
    pub(super) fn or(self, other: Self) -> Self {
        Self { needs: self.needs.or(other.needs), days: self.days.hull(other.days) }
    }
}

/// The series that figures are folded from, and what they want of them.
pub(super) fn wanted(figures: &Figures, today: i32) -> BTreeMap<Kept, Wanted> {
    let measures =
        figures.measures.iter().map(|measure| (Kept::of(measure), fold::needs(&measure.figure), measure.window));
    let instants = Needs { instants: true, ..Needs::default() };
    let sequences = figures.sequences.iter().flat_map(|sequence| {
        sequence::selectors(sequence)
            .into_iter()
            .map(move |selector| (Kept::instants(selector), instants, sequence.window))
    });
    let mut all: BTreeMap<Kept, Wanted> = BTreeMap::new();
    for (kept, needs, window) in measures.chain(sequences) {
        let wanted = Wanted { needs, days: Days::of(window, today) };
        let known = all.entry(kept).or_insert(wanted);
        *known = known.or(wanted);
    }
    all
}

/// Reads series. `kept` has the numbers under which the state holds some of them, by definition.
///
/// # Errors
/// What the queries report.
pub(super) async fn series(
    session: &SessionContext,
    scope: Scope,
    wanted: BTreeMap<Kept, Wanted>,
    kept: &BTreeMap<String, i64>,
    people: &Arc<People>,
) -> Result<Vec<(Kept, Series)>> {
    let (mut of_all, mut defined, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for (of, wanted) in wanted {
        match kept.get(&of.definition()) {
            _ if of.is_of_all_events() => of_all.push((of, wanted)),
            Some(number) => defined.push((of, wanted, *number)),
            None => others.push((of, wanted)),
        }
    }
    let mut reads = Vec::new();
    if !of_all.is_empty() {
        reads.push(async { of_all_events(scope.measures(session).await?, of_all, people).await }.boxed());
    }
    for (kept, table) in by_table(defined, |(of, ..)| of) {
        let read = async move { of_measures(state(session, table.name(), people).await?, kept, people).await };
        reads.push(read.boxed());
    }
    for (not_kept, table) in by_table(others, |(of, _)| of) {
        let read = async move {
            let (frame, numbered) = find(session, not_kept, table).await?;
            of_measures(frame, numbered, people).await
        };
        reads.push(read.boxed());
    }
    Ok(future::try_join_all(reads).await?.into_iter().flatten().collect())
}

async fn of_all_events(
    frame: DataFrame,
    wanted: Vec<(Kept, Wanted)>,
    people: &Arc<People>,
) -> Result<Vec<(Kept, Series)>> {
    let places: HashMap<String, u32> =
        (0..).zip(&wanted).map(|(place, (of, _))| (of.events.event.clone(), place)).collect();
    let frame = on_days(wanted.iter().map(|(_, wanted)| wanted), frame, "date")?;
    let needs = union(wanted.iter().map(|(_, wanted)| wanted.needs));
    let frame = frame.select(selected("event_name", needs, |column| match column {
        "total" => col("revenue").alias("total"),
        other => col(other),
    }))?;
    let places_of = move |batch: &RecordBatch| {
        let names = text(batch.column(0))?;
        // Equal views are equal texts, and a batch has few different ones.
        let mut known: HashMap<u128, u32> = HashMap::new();
        let place = |row| places.get(names.value(row)).copied().unwrap_or(NOWHERE);
        let rows = names.views().iter().enumerate();
        Ok(rows.map(|(row, &view)| *known.entry(view).or_insert_with(|| place(row))).collect())
    };
    let needs = wanted.iter().map(|(_, wanted)| wanted.needs).collect();
    let series = read(frame, needs, places_of, people).await?;
    Ok(wanted.into_iter().map(|(of, _)| of).zip(series).collect())
}

/// What is kept of some people and measures, and maybe of others. Those have no row among the people and no series: to leave
/// them out here would cost more than to read them.
async fn state(session: &SessionContext, table: &str, people: &People) -> Result<DataFrame> {
    let state = match people.scope() {
        Some(_) => kept_files::table(session, table).await?,
        None => session.table(table).await?,
    };
    Ok(match people.few_identifiers(SEARCHED_MAX) {
        Some(few) => state.filter(col("ordinal").in_list(few.into_iter().map(lit).collect(), false))?,
        None => state,
    })
}

async fn of_measures(
    frame: DataFrame,
    wanted: Vec<(Kept, Wanted, i64)>,
    people: &Arc<People>,
) -> Result<Vec<(Kept, Series)>> {
    let places: HashMap<i64, u32> = (0..).zip(&wanted).map(|(place, (.., number))| (*number, place)).collect();
    let needs = union(wanted.iter().map(|(_, wanted, _)| wanted.needs));
    let frame = if needs.instants {
        frame.select(vec![col("measure_id"), col("ordinal"), col("at")])?
    } else {
        on_days(wanted.iter().map(|(_, wanted, _)| wanted), frame, "date")?.select(selected(
            "measure_id",
            needs,
            col,
        ))?
    };
    let places_of = move |batch: &RecordBatch| {
        let numbers = batch.column(0).as_primitive::<Int64Type>().values().iter();
        Ok(numbers.map(|number| places.get(number).copied().unwrap_or(NOWHERE)).collect())
    };
    let needs = wanted.iter().map(|(_, wanted, _)| wanted.needs).collect();
    let series = read(frame, needs, places_of, people).await?;
    Ok(wanted.into_iter().map(|(of, ..)| of).zip(series).collect())
}

/// Where something is kept.
#[derive(Clone, Copy)]
enum State {
    ByDay,
    Instants,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::ByDay => "behavior.defined_measures",
            Self::Instants => "behavior.instants",
        }
    }

    fn sql(self) -> &'static str {
        match self {
            Self::ByDay => DEFINED_SQL,
            Self::Instants => INSTANTS_SQL,
        }
    }

    /// The column that says on which day it happened.
    fn day(self) -> &'static str {
        match self {
            Self::ByDay => "date",
            Self::Instants => "at",
        }
    }
}

/// What is kept in each table, if anything is.
fn by_table<T>(wanted: Vec<T>, of: impl Fn(&T) -> &Kept) -> impl Iterator<Item = (Vec<T>, State)> {
    let (instants, by_day): (Vec<T>, Vec<T>) = wanted.into_iter().partition(|wanted| of(wanted).what == What::Instant);
    [(by_day, State::ByDay), (instants, State::Instants)].into_iter().filter(|(wanted, _)| !wanted.is_empty())
}

/// What nobody has asked for before, from the events themselves, by the query that would keep it.
async fn find(
    session: &SessionContext,
    wanted: Vec<(Kept, Wanted)>,
    state: State,
) -> Result<(DataFrame, Vec<(Kept, Wanted, i64)>)> {
    let keeping = Keeping::settle(wanted.iter().map(|(of, _)| of.clone()).collect(), Vec::new());
    let numbers: HashMap<Kept, i64> = keeping.iter().map(|(of, number)| (of.clone(), number)).collect();
    // Functions of its own, over the same tables.
    let session = SessionContext::new_with_state(session.state());
    for function in measured::functions(&session, &keeping)? {
        session.register_udf(function.as_ref().clone());
    }
    let sql = crate::model::definition::everything(&crate::model::definition::counting_lines(state.sql(), false))?;
    // Events before and after are not read at all: their files say when they happened.
    let frame = on_days(wanted.iter().map(|(_, wanted)| wanted), session.sql(&sql).await?, state.day())?;
    let numbered = wanted.into_iter().map(|(of, wanted)| {
        let number = numbers.get(&of).copied().ok_or_else(|| EngineError::internal("a measure has no number"))?;
        Ok((of, wanted, number))
    });
    Ok((frame, numbered.collect::<Result<_>>()?))
}

fn union(needs: impl Iterator<Item = Needs>) -> Needs {
    needs.fold(Needs::default(), Needs::or)
}

/// The rows of the days that count, by a column of days or times.
fn on_days<'w>(wanted: impl Iterator<Item = &'w Wanted>, frame: DataFrame, column: &str) -> Result<DataFrame> {
    let Some(days) = wanted.map(|wanted| wanted.days).reduce(Days::hull) else { return Ok(frame) };
    // In the column's own type: beside a time a day would become nanoseconds, which end in 2262.
    let of_column = frame.schema().field_with_unqualified_name(column)?.data_type().clone();
    let midnight = |day: i32| cast(lit(ScalarValue::Date32(Some(day))), of_column.clone());
    let first = (days.first != i32::MIN).then(|| col(column).gt_eq(midnight(days.first)));
    let last = days.last.checked_add(1).map(|after| col(column).lt(midnight(after)));
    match first.into_iter().chain(last).reduce(Expr::and) {
        Some(condition) => Ok(frame.filter(condition)?),
        None => Ok(frame),
    }
}

/// The columns that are needed, after the one that tells whose row it is.
fn selected(whose: &str, needs: Needs, column: impl Fn(&'static str) -> Expr) -> Vec<Expr> {
    let mut names = vec!["ordinal", "date", "event_count"];
    names.extend(needs.times.then_some(["first_at", "last_at"]).into_iter().flatten());
    names.extend(needs.totals.then_some("total"));
    names.extend(needs.numbers.then_some(["number_count", "least", "most"]).into_iter().flatten());
    names.extend(needs.values.then_some("property_value"));
    std::iter::once(col(whose)).chain(names.into_iter().map(column)).collect()
}

/// The rows of a batch that are of the people.
fn of_people(batch: RecordBatch, people: &People) -> Result<RecordBatch> {
    match people.have(series::column(&batch, "ordinal")?.as_primitive::<Int64Type>().values()) {
        Some(are_theirs) => Ok(filter_record_batch(&batch, &BooleanArray::new(are_theirs, None))?),
        None => Ok(batch),
    }
}

/// Reads the rows of a query into series; `places_of` says to which each row of a batch belongs.
async fn read(
    frame: DataFrame,
    needs: Vec<Needs>,
    places_of: impl Fn(&RecordBatch) -> Result<Vec<u32>> + Send + Sync + 'static,
    people: &Arc<People>,
) -> Result<Vec<Series>> {
    let context = Arc::new(frame.task_ctx());
    let streams = execute_stream_partitioned(frame.create_physical_plan().await?, context)?;
    let threads = streams.len().max(1);
    let places_of = Arc::new(places_of);
    let tasks = streams.into_iter().map(|mut stream| {
        let (places_of, people) = (Arc::clone(&places_of), Arc::clone(people));
        let mut chunks = Chunks::new(needs.clone());
        joined(SpawnedTask::spawn(async move {
            while let Some(batch) = stream.next().await.transpose()? {
                let batch = of_people(batch, &people)?;
                chunks.push(&batch, &people, &places_of(&batch)?)?;
            }
            Ok::<_, EngineError>(chunks.finish())
        }))
    });
    let mut chunks: Vec<Vec<Chunk>> = needs.iter().map(|_| Vec::new()).collect();
    for read in future::try_join_all(tasks).await? {
        chunks.iter_mut().zip(read).for_each(|(chunks, read)| chunks.extend(read));
    }
    let mut chunks: Vec<(usize, Vec<Chunk>)> = chunks.into_iter().enumerate().collect();
    // The longest first: to begin it last, when nothing is left for the other threads, would take longest.
    chunks.sort_by_key(|(_, chunks)| Reverse(chunks.iter().map(Chunk::rows).sum::<usize>()));
    let tasks = chunks.into_iter().map(|(place, chunks)| {
        let people = Arc::clone(people);
        blocking(move || Ok((place, series::series(&chunks, people.bits())?)))
    });
    let mut series: Vec<(usize, Series)> = stream::iter(tasks).buffer_unordered(threads).try_collect().await?;
    series.sort_by_key(|(place, _)| *place);
    Ok(series.into_iter().map(|(_, series)| series).collect())
}
