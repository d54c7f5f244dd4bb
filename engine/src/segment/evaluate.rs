//! Members of all segments in one pass over the profiles, and who entered and left since the last generation. Members are
//! history: a full refresh computes them anew and keeps since when they are.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use datafusion::common::runtime::SpawnedTask;
use datafusion::dataframe::DataFrame;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::prelude::SessionContext;
use futures::future::try_join_all;
use roaring::RoaringBitmap;
use tokio::task::yield_now;

use super::member_sets::{ENTERED, LEFT, MemberSets, Touched};
use super::parsed;
use super::serialized::Numbers;
use super::sets::{Sets, Successors, bytes_of, table_of};
use crate::clock::Micros;
use crate::error::Result;
use crate::evaluation::{Census, People, Scope, renamed_columns};
use crate::expression::{self, Expr, SegmentDefinition, SourceFile, columns_used, is_of_everybody, segments_used};
use crate::limits;
use crate::model::definition::Model;
use crate::model::materialize::Outcome;
use crate::model::workspace::Workspace;
use crate::query::cpu_runtime::joined;
use crate::query::functions::text;
use crate::store::TableName;

const SUCCESSORS: &str = "
    select
        gone.ordinal,
        first_value(
            identities.profile_ordinal
            order by namespace_rank(changes.namespace || ':' || changes.value), changes.namespace, changes.value
        ) as successor
    from new.identity.gone gone
    join new.identity.changes changes on changes.from_profile_id = profile_id(gone.namespace || ':' || gone.value)
    join new.identity.identities identities
        on identities.namespace = changes.namespace and identities.value = changes.value
    where gone.generation = (select number from config.generation)
        and changes.generation = (select number from config.generation)
    group by gone.ordinal";

/// What `segment.member_sets` was before this refresh.
const LAST: &str = "last.segment.member_sets";

/// `segment.member_sets`.
pub(crate) fn table() -> TableName {
    TableName::new("segment", "member_sets")
}

/// Evaluates all segments and adds who entered and who left to `segment.member_sets`. Those that can have changed by
/// `touched` profiles only are evaluated for these.
///
/// # Errors
/// InvalidInput with a line for each mistake of all segments, saying file, line and column; Exhausted if there is no memory
/// for all members.
pub(crate) async fn evaluate(
    workspace: &Workspace,
    model: &Model,
    files: &[SourceFile],
    census: &Census,
    touched: Option<&Census>,
    as_of: Micros,
    generation: u64,
) -> Result<Outcome> {
    let session = &workspace.session;
    workspace.register_slices(&model.references()?)?;
    let started = Instant::now();
    let now = session.clone();
    let successors = SpawnedTask::spawn(async move { successors(&now).await });
    let told = touched.unwrap_or(census);
    workspace.register_slices(&told.scope().references())?;
    // Who everybody is takes long to read, and without segments nobody asks.
    let people = async || if files.is_empty() { Ok(()) } else { told.people().await.map(drop) };
    // Each has to wait now and then.
    let (read, (), earlier) =
        tokio::try_join!(parsed::read(session, files), people(), Earlier::read(workspace, touched))?;
    let known_names = told.known_names(&read.expressions()).await?;
    let definitions = read.checked(known_names)?;
    tracing::debug!(parsed = ?started.elapsed(), "segments are parsed");
    let known = earlier.as_ref().map(|earlier| earlier.known(&definitions)).unwrap_or_default();
    let of_touched = match touched {
        Some(touched) => touched.people().await?.scope().map(|ordinals| Touched {
            segments: Arc::new(known.iter().map(|name| (*name).to_owned()).collect()),
            people: Arc::new(Numbers::new(ordinals)),
        }),
        None => None,
    };
    let held = MemoryConsumer::new("members of segments").register(&session.runtime_env().memory_pool);
    // Members of before are read while those of now are found.
    let last = session.clone();
    let before = SpawnedTask::spawn(async move { MemberSets::read(&last, LAST, of_touched).await });
    let mut found = Vec::new();
    for census in touched.into_iter().filter(|_| !known.is_empty()).chain([census]) {
        let is_here = |definition: &&SegmentDefinition| {
            known.contains(definition.name.as_str()) == (census.scope() != Scope::Everybody)
        };
        let here: Vec<&SegmentDefinition> = definitions.iter().filter(is_here).collect();
        if here.is_empty() {
            continue;
        }
        workspace.register_slices(&census.scope().references())?;
        found.extend(selected(census, &definitions, &here).await?);
    }
    let (before, successors) = (Arc::new(joined(before).await?), Arc::new(joined(successors).await?));
    tracing::debug!(found = ?started.elapsed(), "members of before and of now are known");
    held.try_grow(before.bytes() + found.iter().map(Found::bytes).sum::<usize>())?;
    let names: BTreeSet<&str> = definitions.iter().map(|definition| definition.name.as_str()).collect();
    let removed = before.segments().filter(|name| !names.contains(name));
    found.extend(removed.map(|name| Found { name: name.to_owned(), now: None }));
    let generation = i64::try_from(generation).unwrap_or(i64::MAX);
    let changes = changes(session, &before, found, &successors, as_of, generation).await?;
    tracing::debug!(compared = ?started.elapsed(), "members are compared");
    drop(before);
    held.try_resize(bytes_of(&changes))?;
    store(workspace, model, changes, generation).await
}

/// Adds changes to the state.
async fn store(
    workspace: &Workspace,
    model: &Model,
    changes: Vec<Vec<RecordBatch>>,
    generation: i64,
) -> Result<Outcome> {
    let session = &workspace.session;
    let bytes = bytes_of(&changes);
    let changes = table_of(changes)?;
    if bytes <= limits::KEPT_IN_MEMORY_BYTES {
        // Whoever asks what this generation added need not read it back.
        workspace.keep_new_in_memory(&table(), Arc::clone(&changes))?;
    }
    let changes = session.read_table(changes)?;
    let last = workspace.last.get(&table());
    let files = last.map(|version| version.files.clone()).unwrap_or_default();
    // Sets of a version of before there were sizes would count as nobody.
    let have_sizes = last.is_none_or(|version| version.schema.column_with_name("size").is_some());
    if files.len() <= limits::STATE_FILES_MAX && have_sizes {
        return workspace.store(model, changes, files).await;
    }
    // The state is in many pieces, or in an old form: who was a member before is written in one.
    let before = MemberSets::read(session, LAST, None).await?;
    let mut whole = Sets::new(generation - 1);
    for name in before.segments() {
        for (at, set) in before.members(name)?.into_since() {
            whole.add(name, ENTERED, at, set, false)?;
        }
    }
    let whole = session.read_table(table_of(vec![whole.batches()?])?)?;
    let (_, base) = workspace.write(model, whole, "base").await?;
    workspace.store(model, changes, base).await
}

/// What the last generation had, for a refresh that knows whom it touched.
struct Earlier<'r> {
    touched: &'r Census,
    /// Segments with their expressions.
    segments: BTreeSet<(String, String)>,
    /// Columns of profiles that have another name now.
    renamed: BTreeSet<String>,
    traits: DataFrame,
}

impl<'r> Earlier<'r> {
    /// `None` if everybody is evaluated.
    async fn read(workspace: &Workspace, touched: Option<&'r Census>) -> Result<Option<Self>> {
        let Some(touched) = touched else { return Ok(None) };
        let session = &workspace.session;
        let mut segments = BTreeSet::new();
        for batch in session.sql("select segment, expression from last.segment.segments").await?.collect().await? {
            let (names, expressions) = (text(batch.column(0))?, text(batch.column(1))?);
            let rows = names.iter().zip(expressions.iter());
            segments.extend(rows.filter_map(|(name, expression)| Some((name?.to_owned(), expression?.to_owned()))));
        }
        let (renamed, traits) = (renamed_columns(workspace).await?, session.table("profile.traits").await?);
        Ok(Some(Self { touched, segments, renamed, traits }))
    }

    /// The segments of which only touched profiles can have another answer than in the last generation: they are as they
    /// were, and so is everything that they name.
    fn known<'d>(&self, definitions: &'d [SegmentDefinition]) -> BTreeSet<&'d str> {
        let is_trait = |name: &String| self.traits.schema().fields().iter().any(|field| field.name() == name);
        let is_as_it_was =
            |column: &String| !self.renamed.contains(column) && (!is_trait(column) || self.touched.has(column));
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for SegmentDefinition { name, sql, expression, .. } in definitions {
            let is_known = self.segments.contains(&(name.clone(), sql.clone()))
                && !is_of_everybody(expression)
                && columns_used(expression).iter().all(is_as_it_was)
                && segments_used(expression).iter().all(|segment| known.contains(segment.as_str()));
            if is_known {
                known.insert(name);
            }
        }
        known
    }
}

/// Who goes on for profiles whose anchors this refresh found gone: who was with it, as `identity.aliases` has it.
async fn successors(session: &SessionContext) -> Result<Successors> {
    let mut successors = Successors::new();
    for batch in session.sql(SUCCESSORS).await?.collect().await? {
        let [gone, successor] = [0, 1].map(|column| batch.column(column).as_primitive::<Int64Type>());
        let pairs = gone.values().iter().zip(successor.values());
        successors.extend(pairs.filter_map(|(gone, to)| Some((u32::try_from(*gone).ok()?, u32::try_from(*to).ok()?))));
    }
    Ok(successors)
}

/// The members of a segment.
struct Found {
    name: String,
    /// The members now as bits of the people of whom that is told; `None` if there is no such segment any more.
    now: Option<(RoaringBitmap, Arc<People>)>,
}

impl Found {
    fn bytes(&self) -> usize {
        self.now.as_ref().map_or(0, |(members, _)| members.serialized_size())
    }
}

/// Who is in some segments now, of all segments.
async fn selected(census: &Census, all: &[SegmentDefinition], some: &[&SegmentDefinition]) -> Result<Vec<Found>> {
    let names: BTreeSet<&str> = some.iter().map(|definition| definition.name.as_str()).collect();
    // Segments that these name are computed, too.
    let needed = expression::needed(all, names.iter().copied());
    let conditions: Vec<(&str, &Expr)> = all
        .iter()
        .filter(|definition| needed.contains(&definition.name))
        .map(|definition| (definition.name.as_str(), &definition.expression))
        .collect();
    let expressions: Vec<&Expr> = conditions.iter().map(|(_, condition)| *condition).collect();
    let population = census.population(&expressions).await?;
    let selected = population.selected(&conditions, &BTreeMap::new()).await?;
    let people = census.people().await?;
    let wanted = conditions.iter().zip(selected).filter(|((name, _), _)| names.contains(name));
    Ok(wanted
        .map(|((name, _), now)| Found { name: (*name).to_owned(), now: Some((now, Arc::clone(people))) })
        .collect())
}

/// What makes the members of before those of now, in as many parts as there are threads to find it.
async fn changes(
    session: &SessionContext,
    before: &Arc<MemberSets>,
    found: Vec<Found>,
    successors: &Arc<Successors>,
    as_of: Micros,
    generation: i64,
) -> Result<Vec<Vec<RecordBatch>>> {
    let threads = session.copied_config().target_partitions();
    let mut parts: Vec<Vec<Found>> = (0..threads).map(|_| Vec::new()).collect();
    for (place, segment) in found.into_iter().enumerate() {
        parts[place % threads].push(segment);
    }
    let tasks = parts.into_iter().map(|part| {
        let (before, successors) = (Arc::clone(before), Arc::clone(successors));
        joined(SpawnedTask::spawn(async move {
            let mut sets = Sets::new(generation);
            for Found { name, now } in part {
                match now {
                    Some((now, people)) => {
                        let before = before.members(&name)?;
                        sets.compare(&name, &before, now, &people, &successors, as_of)?;
                    }
                    None => sets.add(&name, LEFT, as_of, before.members(&name)?.all().clone(), true)?,
                }
                yield_now().await;
            }
            sets.batches()
        }))
    });
    try_join_all(tasks).await
}
