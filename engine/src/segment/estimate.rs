//! Whom an expression selects that is not saved.

use std::collections::BTreeSet;

use chrono::DateTime;
use datafusion::prelude::SessionContext;
use roaring::RoaringBitmap;

use super::hints::hints;
use super::members::Memberships;
use super::parsed::columns;
use crate::clock::Micros;
use crate::error::{EngineError, Result};
use crate::evaluation::{Census, UNSAVED};
use crate::expression::{self, Expr, KnownNames, SourceFile, lists_used, purposes_used, segments_used};
use crate::query::functions::text;

const SEGMENTS: &str = "select segment from segment.segments";
/// The purposes of consent that the configuration names or somebody told.
const PURPOSES: &str = "select purpose from config.consents union select purpose from profile.consents";
const LISTS: &str = "select list from segment.lists";
/// The lists that the next refresh will know: with those that were uploaded since the last one, without those deleted.
const LISTS_NOW: &str = "
    with uploaded as (
        select
            list, content is not null as is_there,
            row_number() over (partition by list order by changed_at desc, change_id desc) as newest
        from ops.lists
    )

    select list from segment.lists where list not in (select list from uploaded where newest = 1 and not is_there)
    union
    select list from uploaded where newest = 1 and is_there";

/// What an expression says: in words, and as a query.
pub(crate) struct Readings {
    pub(crate) words: String,
    pub(crate) sql: String,
}

impl Readings {
    fn of(condition: &Expr, as_of: Micros) -> Self {
        let as_of = DateTime::from_timestamp_micros(as_of).unwrap_or_default();
        Self { words: expression::in_words(condition), sql: expression::members_sql(condition, as_of) }
    }
}

/// Whom an expression selects.
pub(crate) struct Selected {
    /// Their ordinals.
    pub(crate) members: RoaringBitmap,
    pub(crate) readings: Readings,
    /// What in it matches nothing, and may be misspelled.
    pub(crate) hints: Vec<String>,
}

/// Those whom an expression selects, and what it says as of an instant. It may name the segments that the session has: their
/// members are those of the generation.
///
/// # Errors
/// InvalidInput with line and column, and the nearest known names, for an expression that is wrong; FailedPrecondition if it
/// names a list that was uploaded after the generation.
pub(crate) async fn selected(
    session: &SessionContext,
    census: &Census,
    memberships: &Memberships,
    expression: &str,
    as_of: Micros,
) -> Result<Selected> {
    let condition = parsed(session, expression, Some(SEGMENTS)).await?;
    check_refreshed(session, &lists_used(&condition)).await?;
    let readings = Readings::of(&condition, as_of);
    if let Some(members) = combined(&condition, memberships, census).await? {
        return Ok(Selected { members, readings, hints: Vec::new() });
    }
    let nobody = RoaringBitmap::new();
    let members = |name: &String| memberships.get(name).map_or(&nobody, |members| members.all()).clone();
    let members = segments_used(&condition).iter().map(|name| (name.clone(), members(name))).collect();
    let population = census.population(&[&condition]).await?;
    let selected = population.selected(&[(UNSAVED, &condition)], &members).await?;
    let hints = hints(census, &condition, Some(&population)).await?;
    Ok(Selected { members: selected.into_iter().next().unwrap_or_default(), readings, hints })
}

/// What the event names of an expression match nothing of, as [`Selected::hints`].
///
/// # Errors
/// As [`readings`].
pub(crate) async fn names_hints(session: &SessionContext, census: &Census, expression: &str) -> Result<Vec<String>> {
    hints(census, &parsed(session, expression, None).await?, None).await
}

/// What an expression says as of an instant.
///
/// # Errors
/// InvalidInput as [`selected`]; which segments there are does not matter, and lists are those that the next refresh will know.
pub(crate) async fn readings(session: &SessionContext, expression: &str, as_of: Micros) -> Result<Readings> {
    Ok(Readings::of(&parsed(session, expression, None).await?, as_of))
}

/// `segments` is a query for those that it may name; without it these are all.
async fn parsed(session: &SessionContext, expression: &str, segments: Option<&str>) -> Result<Expr> {
    let file = SourceFile { name: UNSAVED.to_owned(), file: "the expression".to_owned(), text: expression.to_owned() };
    let definition = expression::parse_segment(&file, &columns(session).await?)?;
    let names = async |used: Vec<String>, query: Option<&str>| match query {
        Some(query) if !used.is_empty() => names(session, query).await.map(Some),
        _ => Ok(None),
    };
    // What else was made since the last refresh is not known before the next.
    let known = KnownNames {
        segments: names(segments_used(&definition.expression), segments).await?,
        lists: names(lists_used(&definition.expression), Some(LISTS_NOW)).await?,
        purposes: names(purposes_used(&definition.expression), Some(PURPOSES)).await?,
    };
    definition.check_names(&known).map_err(|error| error.context("as of the last refresh"))?;
    Ok(definition.expression)
}

/// Refuses lists of which it is not known yet who is on them.
async fn check_refreshed(session: &SessionContext, lists: &[String]) -> Result<()> {
    if lists.is_empty() {
        return Ok(());
    }
    let known = names(session, LISTS).await?;
    match lists.iter().find(|list| !known.contains(*list)) {
        Some(new) => Err(EngineError::failed_precondition(format!(
            "list `{new}` was uploaded after the last refresh: who is on it is known after the next one"
        ))),
        None => Ok(()),
    }
}

async fn names(session: &SessionContext, query: &str) -> Result<BTreeSet<String>> {
    let mut known = BTreeSet::new();
    for batch in session.sql(query).await?.collect().await? {
        known.extend(text(batch.column(0))?.iter().flatten().map(str::to_owned));
    }
    Ok(known)
}

/// Whom a combination of segments selects; `None` if the expression is more than that.
async fn combined(condition: &Expr, memberships: &Memberships, census: &Census) -> Result<Option<RoaringBitmap>> {
    if !is_of_segments(condition) {
        return Ok(None);
    }
    let everybody = census.people().await?.living();
    Ok(Some(combination(condition, memberships, everybody)))
}

fn is_of_segments(condition: &Expr) -> bool {
    match condition {
        Expr::InSegment(_) => true,
        Expr::And(_) | Expr::Or(_) | Expr::Not(_) => condition.children().into_iter().all(is_of_segments),
        _ => false,
    }
}

fn combination(condition: &Expr, memberships: &Memberships, everybody: &RoaringBitmap) -> RoaringBitmap {
    let of = |condition: &Expr| combination(condition, memberships, everybody);
    match condition {
        Expr::InSegment(name) => memberships.get(name).map(|members| members.all().clone()).unwrap_or_default(),
        Expr::And(conditions) => conditions.iter().map(of).reduce(|left, right| left & right).unwrap_or_default(),
        Expr::Or(conditions) => conditions.iter().map(of).reduce(|left, right| left | right).unwrap_or_default(),
        Expr::Not(condition) => everybody - of(condition),
        _ => RoaringBitmap::new(), // is_of_segments lets nothing else through
    }
}
