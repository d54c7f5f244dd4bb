//! Why two identifiers are one person, or are not: by the links of a generation.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType};

use super::chain::shortest_chain;
use crate::clock::Micros;
use crate::error::{EngineError, ErrorKind, Result};
use crate::limits;
use crate::query::functions::text;

/// Why two identifiers are one person, or are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// The profile of each.
    pub profile_ids: [String; 2],
    /// The shortest chain of links from the first to the second: that with the fewest links that do not count, and of such the
    /// one with the fewest links. Empty if nothing connects them. For one person all of them count; for two, those that do not
    /// count are what keeps them apart.
    pub links: Vec<ExplainedLink>,
}

/// Two identifiers that were seen together, or that somebody decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExplainedLink {
    /// The more trusted one, `namespace:value`.
    pub a: String,
    /// The other.
    pub b: String,
    /// Time of the earliest event or record with both, microseconds since 1970 UTC; none for a correction.
    pub first_seen_at: Option<Micros>,
    /// Time of the latest.
    pub last_seen_at: Option<Micros>,
    /// Number of events, and of records as they are now, with both: 0 for a correction, and for what `keep_links` keeps.
    pub event_count: i64,
    /// The sources that saw them together, and `correction by` with who decided that they are one person.
    pub sources: Vec<String>,
    /// Why it does not count; none if it does.
    pub dropped_reason: Option<String>,
}

/// The tables of a generation, for whoever asks them something.
pub(crate) trait Tables: Sync {
    /// The rows of a query with texts for its parameters.
    ///
    /// # Errors
    /// Exhausted for more than `rows_max`; what the query reports.
    fn rows(
        &self,
        query: &str,
        parameters: &[&str],
        rows_max: u64,
    ) -> impl Future<Output = Result<Vec<RecordBatch>>> + Send;
}

const PROFILE: &str = "select profile_id, coalesce(cluster, profile_id) as component from identity.identities where namespace = $1 and value = $2";
/// The links, dropped ones included, of what is connected: of everything, or of two profiles.
const LINKS: &str = "
    with members as (
        select namespace || ':' || value as identifier, profile_id
        from identity.identities
        where coalesce(cluster, profile_id) = $1
    ),

    near as (
        select identifier from members where $2 = 'everything' or profile_id in ($3, $4)
    ),

    pairs as (
        select unnest(identifier_pairs(identifiers)) as pair, source, first_seen_at, last_seen_at, event_count
        from identity.sets
        where first_identifier(identifiers) in (select identifier from members)
    ),

    links as (
        select
            pair['a'] as a,
            pair['b'] as b,
            min(first_seen_at) as first_seen_at,
            max(last_seen_at) as last_seen_at,
            sum(event_count) as event_count,
            array_to_string(array_agg(distinct source order by source), chr(31)) as sources
        from pairs
        where
            (pair['a'] in (select identifier from near) or pair['b'] in (select identifier from near))
            -- A correction may name what nobody has.
            and pair['a'] in (select identifier from members)
            and pair['b'] in (select identifier from members)
        group by 1, 2
    )

    select links.a, links.b, links.first_seen_at, links.last_seen_at, links.event_count, links.sources, dropped.reason
    from links
    left join identity.dropped_links dropped
        on dropped.a_namespace || ':' || dropped.a_value = links.a and dropped.b_namespace || ':' || dropped.b_value = links.b
    order by links.a, links.b";

const COMPONENT: &str = "select coalesce(cluster, profile_id) from identity.identities where profile_id = $1 limit 1";

/// The links among the identifiers of a profile, and those that would connect it to others but do not count.
///
/// # Errors
/// Exhausted for more links than can be shown; what the queries report.
pub(crate) async fn graph(tables: &impl Tables, profile_id: &str) -> Result<Vec<ExplainedLink>> {
    let found = tables.rows(COMPONENT, &[profile_id], 1).await?;
    let Some(batch) = found.iter().find(|batch| batch.num_rows() > 0) else { return Ok(Vec::new()) };
    let component = text(batch.column(0))?.value(0).to_owned();
    links(tables, [&component, "near", profile_id, profile_id], limits::GRAPH_LINKS_MAX).await
}

/// Explains why the identifiers `a` and `b`, each a namespace and a normalised value, are one person, or are not.
///
/// # Errors
/// NotFound if nobody has one of them; Exhausted if they are connected with more links than can be looked through;
/// what the queries report.
pub(crate) async fn explain(tables: &impl Tables, a: (&str, &str), b: (&str, &str)) -> Result<Explanation> {
    let (of_a, of_b) = (profile_of(tables, "first", a).await?, profile_of(tables, "second", b).await?);
    let mut explanation = Explanation { profile_ids: [of_a.0, of_b.0], links: Vec::new() };
    if of_a.1 == of_b.1 {
        let ends = [format!("{}:{}", a.0, a.1), format!("{}:{}", b.0, b.1)];
        // What a shared device connects can be large; nearly always the two profiles' own links are all it takes.
        for scope in ["near", "everything"] {
            let [of_first, of_second] = &explanation.profile_ids;
            let links = links(tables, [&*of_a.1, scope, of_first, of_second], limits::EXPLAINED_LINKS_MAX).await?;
            if let Some(chain) = chain(&links, &ends) {
                explanation.links = chain;
                break;
            }
        }
    }
    Ok(explanation)
}

/// The profile of an identifier, and what all links connect it to.
async fn profile_of(tables: &impl Tables, which: &str, (namespace, value): (&str, &str)) -> Result<(String, String)> {
    let found = tables.rows(PROFILE, &[namespace, value], 1).await?;
    let batch = found.iter().find(|batch| batch.num_rows() > 0).ok_or_else(|| {
        EngineError::not_found(format!(
            "nobody has the {which} identifier, of `{namespace}`: look how it is spelled; what landed since the last refresh needs a `tessera refresh`"
        ))
    })?;
    let part = |column: usize| Ok::<_, EngineError>(text(batch.column(column))?.value(0).to_owned());
    Ok((part(0)?, part(1)?))
}

async fn links(tables: &impl Tables, parameters: [&str; 4], links_max: u64) -> Result<Vec<ExplainedLink>> {
    let found = tables.rows(LINKS, &parameters, links_max).await.map_err(|error| match error.kind() {
        ErrorKind::Exhausted => error.context("there are too many links to explain: look into identity.links"),
        _ => error,
    })?;
    found.iter().map(links_of).try_fold(Vec::new(), |mut all, links| {
        all.extend(links?);
        Ok(all)
    })
}

/// The shortest chain between two identifiers.
fn chain(links: &[ExplainedLink], [a, b]: &[String; 2]) -> Option<Vec<ExplainedLink>> {
    let ends: Vec<_> = links.iter().map(|link| (&*link.a, &*link.b, link.dropped_reason.is_none())).collect();
    Some(shortest_chain(&ends, a, b)?.into_iter().map(|link| links[link].clone()).collect())
}

fn links_of(batch: &RecordBatch) -> Result<Vec<ExplainedLink>> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let (a, b) = (text(batch.column(0))?, text(batch.column(1))?);
    let (first, last) = (cast(batch.column(2), &instant)?, cast(batch.column(3), &instant)?);
    let (first, last) =
        (first.as_primitive::<TimestampMicrosecondType>(), last.as_primitive::<TimestampMicrosecondType>());
    let counts = cast(batch.column(4), &DataType::Int64)?;
    let counts = counts.as_primitive::<Int64Type>();
    let (sources, reasons) = (text(batch.column(5))?, text(batch.column(6))?);
    let link = |row: usize| ExplainedLink {
        a: a.value(row).to_owned(),
        b: b.value(row).to_owned(),
        first_seen_at: first.is_valid(row).then(|| first.value(row)),
        last_seen_at: last.is_valid(row).then(|| last.value(row)),
        event_count: counts.value(row),
        sources: sources.value(row).split('\u{1f}').map(str::to_owned).collect(),
        dropped_reason: reasons.is_valid(row).then(|| reasons.value(row).to_owned()),
    };
    Ok((0..batch.num_rows()).map(link).collect())
}
