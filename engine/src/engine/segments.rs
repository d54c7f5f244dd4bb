//! People in segments, and those that an expression selects which is no segment yet.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::BoxStream;
use roaring::{MultiOps, RoaringBitmap};
use tokio::time::timeout;

use super::{Engine, QueryResult};
use crate::clock::Micros;
use crate::config::nearest::suggestion;
use crate::error::{EngineError, Result};
use crate::evaluation::Census;
use crate::query::limited::{QueryLimits, too_long};
use crate::snapshot::Snapshot;
use crate::store::object::write_object;
use crate::{limits, segment};

/// Since when somebody is a member.
const ENTERED_AT: &str = "entered_at";

/// How many people a condition selects, and some of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentEstimate {
    /// People whom it selects: an exact count.
    pub size: u64,
    /// People in all.
    pub profile_count: u64,
    /// Ids of some of those selected.
    pub preview: Vec<String>,
    /// The condition in words and in SQL.
    pub reading: SegmentReading,
    /// How those selected divide by each of the columns that were asked for.
    pub breakdowns: Vec<Breakdown>,
    /// What in the condition matches nothing, and may be misspelled: a sentence each.
    pub hints: Vec<String>,
}

/// A segment's expression for people who do not read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentReading {
    /// In plain English.
    pub words: String,
    /// As a query over the tables of the generation, which gives the `profile_id` of every member. The engine computes
    /// members otherwise; this is for people to see, to check and to take elsewhere.
    pub sql: String,
}

/// How people divide by the values of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Breakdown {
    /// The column.
    pub column: String,
    /// The most frequent values with their numbers of people, the most frequent first; `None` is no value.
    pub values: Vec<(Option<String>, u64)>,
    /// People with any other value.
    pub others: u64,
}

/// How segments overlap, and what sets them apart.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// For each segment, its members.
    pub sizes: Vec<u64>,
    /// For each segment and each segment, people in both.
    pub overlaps: Vec<Vec<u64>>,
    /// For each segment, people in it and in no other of them.
    pub only: Vec<u64>,
    /// People in any of them.
    pub any: u64,
    /// People in all of them.
    pub all: u64,
    /// People in all.
    pub profile_count: u64,
    /// For each column that was asked for, what it is of everybody and of each segment.
    pub columns: Vec<ComparedColumn>,
}

/// A column of profiles, of everybody and of segments.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparedColumn {
    /// The column.
    pub column: String,
    /// The mean of everybody's numbers; `None` for a column of something else.
    pub mean: Option<f64>,
    /// The same of each segment.
    pub means: Vec<Option<f64>>,
    /// How everybody divides by it; numbers do not.
    pub everybody: Breakdown,
    /// For each segment, how many of its members have each of the values of `everybody`.
    pub members: Vec<Vec<u64>>,
}

/// A member of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentMember {
    /// By which a listing goes on.
    pub ordinal: u32,
    /// Who.
    pub profile_id: String,
    /// Since when, microseconds since 1970 UTC.
    pub entered_at: Micros,
}

impl Engine {
    /// Counts the people whom a segment's expression selects, without saving it, names `preview` of them, and tells how
    /// they divide by `columns` of `profile.profiles` or by `touchpoint`.
    ///
    /// # Errors
    /// InvalidInput with line and column, and the nearest known names, for an expression that is wrong; NotFound for a
    /// column that profiles have not.
    pub async fn estimate_segment(
        &self,
        snapshot: &Arc<Snapshot>,
        expression: &str,
        preview: usize,
        columns: &[String],
        limits: QueryLimits,
    ) -> Result<SegmentEstimate> {
        let (of_snapshot, expression, columns) = (Arc::clone(snapshot), expression.to_owned(), columns.to_vec());
        let work = async move {
            let (census, session) = (of_snapshot.census()?, of_snapshot.session());
            let memberships = of_snapshot.memberships().await?;
            let as_of = of_snapshot.as_of().unwrap_or_default();
            let selected = segment::selected(session, census, &memberships, &expression, as_of).await?;
            let segment::Selected { members, readings, hints } = selected;
            let some: Vec<u32> = members.iter().take(preview).collect();
            let mut breakdowns = Vec::new();
            for column in columns {
                breakdowns.push(shown(census.breakdown(&members, &column).await?, column));
            }
            Ok(SegmentEstimate {
                size: members.len(),
                profile_count: census.people().await?.len() as u64,
                preview: census.profile_ids(&some).await?,
                reading: SegmentReading { words: readings.words, sql: readings.sql },
                breakdowns,
                hints,
            })
        };
        self.within_time(limits, work.boxed()).await
    }

    /// Compares segments: how they overlap, and what their members have in `columns` of `profile.profiles` or at a
    /// `touchpoint`. A segment that nobody was ever in has no members.
    ///
    /// # Errors
    /// NotFound for a column that profiles have not.
    pub async fn compare_segments(
        &self,
        snapshot: &Arc<Snapshot>,
        segments: &[String],
        columns: &[String],
        limits: QueryLimits,
    ) -> Result<Comparison> {
        let (of_snapshot, segments, columns) = (Arc::clone(snapshot), segments.to_vec(), columns.to_vec());
        let work = async move {
            let census = of_snapshot.census()?;
            let memberships = of_snapshot.memberships().await?;
            let members =
                |name: &String| memberships.get(name).map(|members| members.all().clone()).unwrap_or_default();
            let sets: Vec<RoaringBitmap> = segments.iter().map(members).collect();
            let mut compared = Vec::new();
            for column in columns {
                compared.push(compared_column(census, &sets, column).await?);
            }
            Ok(Comparison {
                sizes: sets.iter().map(RoaringBitmap::len).collect(),
                overlaps: sets
                    .iter()
                    .map(|left| sets.iter().map(|right| left.intersection_len(right)).collect())
                    .collect(),
                only: (0..sets.len()).map(|place| only(&sets, place)).collect(),
                any: sets.iter().union().len(),
                all: sets.iter().intersection().len(),
                profile_count: census.people().await?.len() as u64,
                columns: compared,
            })
        };
        self.within_time(limits, work.boxed()).await
    }

    /// Runs `work` on the query threads, in a place among the queries that may run at once.
    pub(super) async fn within_time<T: Send + 'static>(
        &self,
        limits: QueryLimits,
        work: BoxFuture<'static, Result<T>>,
    ) -> Result<T> {
        let in_time = async move {
            match limits.time {
                Some(time) => timeout(time, work).await.map_err(|_| too_long(time))?,
                None => work.await,
            }
        };
        let _place = self.place().await?;
        self.cpu.run(in_time).await
    }

    /// What an expression says, in words and in SQL.
    ///
    /// # Errors
    /// InvalidInput with line and column, and the nearest known names, for an expression that is wrong.
    pub async fn read_segment(&self, snapshot: &Arc<Snapshot>, expression: &str) -> Result<SegmentReading> {
        let (snapshot, expression) = (Arc::clone(snapshot), expression.to_owned());
        let readings = self.cpu.run(async move {
            segment::readings(snapshot.session(), &expression, snapshot.as_of().unwrap_or_default()).await
        });
        let segment::Readings { words, sql } = readings.await?;
        Ok(SegmentReading { words, sql })
    }

    /// Names of events in an expression that no event has, a sentence each: they may be misspelled.
    ///
    /// # Errors
    /// As [`Engine::read_segment`].
    pub async fn segment_hints(&self, snapshot: &Arc<Snapshot>, expression: &str) -> Result<Vec<String>> {
        let (snapshot, expression) = (Arc::clone(snapshot), expression.to_owned());
        let hints = async move { segment::names_hints(snapshot.session(), snapshot.census()?, &expression).await };
        self.cpu.run(hints).await
    }

    /// Up to `count` members of a segment whose ordinals are above `after`, in the order of ordinals; none of a segment
    /// that does not exist.
    ///
    /// # Errors
    /// Exhausted if there is no memory for the members of segments; what the store reports.
    pub async fn segment_members(
        &self,
        snapshot: &Arc<Snapshot>,
        segment: &str,
        after: Option<u32>,
        count: usize,
    ) -> Result<Vec<SegmentMember>> {
        let (snapshot, segment) = (Arc::clone(snapshot), segment.to_owned());
        let listed = self.cpu.run(async move {
            let memberships = snapshot.memberships().await?;
            let Some(members) = memberships.get(&segment) else { return Ok(Vec::new()) };
            let from = after.map_or(0, |after| after.saturating_add(1));
            let ordinals: Vec<u32> = members.all().range(from..).take(count).collect();
            let ids = snapshot.census()?.profile_ids(&ordinals).await?;
            let entered_at = |ordinal: u32| members.entered_at(ordinal).unwrap_or_default();
            let member = |(ordinal, profile_id)| SegmentMember { ordinal, profile_id, entered_at: entered_at(ordinal) };
            Ok(ordinals.into_iter().zip(ids).map(member).collect())
        });
        listed.await
    }

    /// The members of a segment with columns of their profiles, and `entered_at`: for files. Without columns, `profile_id`
    /// and `entered_at`.
    ///
    /// # Errors
    /// NotFound for a column that profiles have not; else as [`Engine::execute`].
    pub async fn export_members(
        &self,
        snapshot: &Arc<Snapshot>,
        segment: &str,
        columns: &[String],
        limits: QueryLimits,
    ) -> Result<QueryResult> {
        let limits = QueryLimits { rows: None, ..limits }; // a file has no page that somebody reads
        let query = {
            let (snapshot, columns) = (Arc::clone(snapshot), columns.to_vec());
            self.cpu.run(async move { export_query(&snapshot, &columns).await }).await?
        };
        let statement = self.prepare(snapshot, &query, limits).await?.bind_texts(&[segment])?;
        self.execute(&statement, limits).await
    }

    /// Writes a file, piece by piece, to a `file://` or an `s3://bucket/key` URL at which nothing is yet, and returns its
    /// bytes. Whoever finds it finds all of it.
    ///
    /// # Errors
    /// AlreadyExists if something is there; InvalidInput for a URL that names no object; the error of a piece; what the
    /// store reports.
    pub async fn write_file(&self, url: &str, pieces: BoxStream<'static, Result<Bytes>>) -> Result<u64> {
        write_object(url, &self.storage_options, pieces).await
    }
}

/// The query of members with some columns of their profiles; `$1` is the segment.
async fn export_query(snapshot: &Snapshot, columns: &[String]) -> Result<String> {
    let profiles = snapshot.session().table("profile.profiles").await?;
    let known: Vec<&str> = profiles.schema().fields().iter().map(|field| field.name().as_str()).collect();
    let usual = ["profile_id".to_owned(), ENTERED_AT.to_owned()];
    let mut selected = Vec::new();
    let columns = if columns.is_empty() { &usual } else { columns };
    for (place, column) in columns.iter().enumerate() {
        if columns.iter().take(place).any(|before| before == column) {
            return Err(EngineError::invalid(format!("column `{column}` is named twice: name it once")));
        }
        if column == ENTERED_AT {
            selected.push(format!("memberships.{ENTERED_AT}"));
        } else if known.contains(&column.as_str()) {
            selected.push(format!("profiles.\"{}\"", column.replace('"', "\"\"")));
        } else {
            let hint = suggestion(column, known.iter().copied().chain([ENTERED_AT]));
            return Err(EngineError::not_found(format!("profiles have no column `{column}`; {hint}")));
        }
    }
    Ok(format!(
        "select {} from segment.memberships join profile.profiles on profiles.profile_id = memberships.profile_id
         where memberships.segment = $1",
        selected.join(", ")
    ))
}

/// People in one of some segments and in no other.
fn only(sets: &[RoaringBitmap], place: usize) -> u64 {
    let others = sets.iter().enumerate().filter(|(other, _)| *other != place).map(|(_, set)| set);
    let others = others.union();
    sets.get(place).map_or(0, |set| set.difference_len(&others))
}

/// The first of many values.
fn shown(mut values: Vec<(Option<String>, u64)>, column: String) -> Breakdown {
    let others = values.iter().skip(limits::VALUES_SHOWN).map(|(_, count)| count).sum();
    values.truncate(limits::VALUES_SHOWN);
    Breakdown { column, values, others }
}

pub(super) async fn compared_column(census: &Census, sets: &[RoaringBitmap], column: String) -> Result<ComparedColumn> {
    let everybody = census.people().await?.living().clone();
    if let Some(mean) = census.mean(&everybody, &column).await? {
        let mut means = Vec::new();
        for set in sets {
            means.push(census.mean(set, &column).await?.flatten());
        }
        let everybody = Breakdown { column: column.clone(), values: Vec::new(), others: everybody.len() };
        return Ok(ComparedColumn { column, mean, means, everybody, members: vec![Vec::new(); sets.len()] });
    }
    let everybody = shown(census.breakdown(&everybody, &column).await?, column.clone());
    let mut members = Vec::new();
    for set in sets {
        let counts: HashMap<Option<String>, u64> = census.breakdown(set, &column).await?.into_iter().collect();
        members.push(everybody.values.iter().map(|(value, _)| counts.get(value).copied().unwrap_or(0)).collect());
    }
    Ok(ComparedColumn { column, mean: None, means: vec![None; sets.len()], everybody, members })
}
