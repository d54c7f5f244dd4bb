//! Personas: who the people of a segment are, as groups that are alike, told in words and ready to be saved as segments.

use std::sync::Arc;

use futures::FutureExt;
use roaring::RoaringBitmap;

use super::Engine;
use super::segments::{ComparedColumn, compared_column};
use crate::error::{EngineError, Result};
use crate::evaluation::Census;
use crate::expression::{Expr, in_words, text_of};
use crate::query::limited::QueryLimits;
use crate::segment::{self, personas};
use crate::snapshot::Snapshot;

/// What sets a group apart must be by so much more or less frequent than among everybody.
const LIFT_MIN: f64 = 1.2;
/// A value that fewer of a group have does not describe it.
const SHARE_MIN: f64 = 0.1;
/// What a persona is told by.
const FACTS_MAX: usize = 4;
/// What it is named after.
const FACTS_IN_TITLE: usize = 2;

/// How a segment is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Division {
    /// Into people who are alike in some traits: numbers, yes and no, or times.
    Clusters {
        /// Columns of profiles.
        traits: Vec<String>,
        /// How many; `None` for as many as are told apart best. At least 2, at most [`Division::CLUSTERS_MAX`].
        count: Option<usize>,
    },
    /// Into the cells of recency and frequency, by columns with scores from 1 to 5.
    Cells {
        /// The score of recency: 5 is the shortest time ago.
        recency: String,
        /// The score of frequency.
        frequency: String,
        /// The score of money. With it, the mean of both counts as frequency.
        monetary: Option<String>,
    },
}

impl Division {
    /// The most clusters.
    pub const CLUSTERS_MAX: usize = personas::CLUSTERS_MAX;
}

/// A group of people within a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Persona {
    /// What it may be called.
    pub title: String,
    /// What sets its people apart from everybody.
    pub description: String,
    /// The condition by which it can be saved as a segment.
    pub expression: String,
    /// The same in words.
    pub words: String,
    /// Its people.
    pub size: u64,
}

/// The groups of a segment, the largest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Personas {
    /// The groups. Nobody is in two.
    pub personas: Vec<Persona>,
    /// People in the segment.
    pub size: u64,
    /// People in all.
    pub profile_count: u64,
    /// For each number of clusters that was tried, the mean silhouette: from -1 to 1, the higher the better they are told
    /// apart.
    pub silhouettes: Vec<(usize, f64)>,
    /// What each column is of everybody and of each group.
    pub columns: Vec<ComparedColumn>,
}

impl Engine {
    /// Divides the members of a segment, or everybody, and tells what sets the groups apart: in the columns that divide
    /// them, and in `described_by`, columns of `profile.profiles` or `touchpoint`.
    ///
    /// # Errors
    /// NotFound for a column that profiles have not; InvalidInput for one that cannot divide people, and if all are alike.
    pub async fn find_personas(
        &self,
        snapshot: &Arc<Snapshot>,
        segment: Option<&str>,
        division: Division,
        described_by: &[String],
        limits: QueryLimits,
    ) -> Result<Personas> {
        if let Division::Clusters { count: Some(count), .. } = &division
            && !(2..=Division::CLUSTERS_MAX).contains(count)
        {
            return Err(EngineError::invalid(format!(
                "{count} personas are not from 2 to {}; leave the number out to have it found",
                Division::CLUSTERS_MAX
            )));
        }
        let (snapshot, segment) = (Arc::clone(snapshot), segment.map(str::to_owned));
        let described_by = described_by.to_vec();
        let work = async move { found(&snapshot, segment.as_deref(), &division, described_by).await };
        self.within_time(limits, work.boxed()).await
    }
}

async fn found(
    snapshot: &Snapshot,
    segment: Option<&str>,
    division: &Division,
    described_by: Vec<String>,
) -> Result<Personas> {
    let (census, session) = (snapshot.census()?, snapshot.session());
    let members = match segment {
        Some(name) => {
            let memberships = snapshot.memberships().await?;
            memberships.get(name).map(|members| members.all().clone()).unwrap_or_default()
        }
        None => census.people().await?.living().clone(),
    };
    let (mut groups, silhouettes, mut columns): (Vec<(Option<String>, Expr)>, _, _) = match division {
        Division::Clusters { traits, count } => {
            let clustered = personas::clustered(session, census, &members, traits, *count).await?;
            let groups = clustered.conditions.into_iter().map(|condition| (None, condition)).collect();
            (groups, clustered.silhouettes, traits.clone())
        }
        Division::Cells { recency, frequency, monetary } => {
            let known = segment::columns(session).await?;
            let (recency, frequency, monetary) = (recency.clone(), frequency.clone(), monetary.clone());
            let scores = personas::Scores { recency, frequency, monetary };
            let cells = personas::cells(&known, census, &scores).await?;
            let columns = [scores.recency, scores.frequency].into_iter().chain(scores.monetary).collect();
            (cells.into_iter().map(|(name, condition)| (Some(name), condition)).collect(), Vec::new(), columns)
        }
    };
    let conditions: Vec<Expr> = groups.iter().map(|(_, condition)| condition.clone()).collect();
    let sets = personas::selected(census, &members, &conditions).await?;
    let mut by_size: Vec<((Option<String>, Expr), RoaringBitmap)> = groups.drain(..).zip(sets).collect();
    by_size.sort_by_key(|(_, set)| std::cmp::Reverse(set.len()));
    let (groups, sets): (Vec<_>, Vec<RoaringBitmap>) = by_size.into_iter().unzip();
    columns.extend(described_by);
    let compared = compared(census, &sets, columns).await?;
    let profile_count = census.people().await?.len() as u64;
    let mut personas: Vec<Persona> = Vec::with_capacity(groups.len());
    for (place, (title, condition)) in groups.into_iter().enumerate() {
        let size = sets[place].len();
        let facts = facts(&compared, place, size, profile_count);
        let title = title.unwrap_or_else(|| unlike(&personas, &facts));
        personas.push(persona(title, segment, condition, size, &facts));
    }
    Ok(Personas { personas, size: members.len(), profile_count, silhouettes, columns: compared })
}

/// Each column once.
async fn compared(census: &Census, sets: &[RoaringBitmap], columns: Vec<String>) -> Result<Vec<ComparedColumn>> {
    let mut compared: Vec<ComparedColumn> = Vec::new();
    for column in columns {
        if compared.iter().all(|known| known.column != column) {
            compared.push(compared_column(census, sets, column).await?);
        }
    }
    Ok(compared)
}

/// Something in which a group differs from everybody.
struct Fact {
    /// For its title.
    short: String,
    /// For its description.
    long: String,
    /// How many times as much or as frequent it is; below 1 for less.
    ratio: f64,
}

/// A title after some facts: as many as tell it from those that there are, if so many do.
fn unlike(personas: &[Persona], facts: &[Fact]) -> String {
    let title = |count: usize| {
        let joined = facts.iter().take(count).map(|fact| fact.short.as_str()).collect::<Vec<_>>().join(", ");
        let mut letters = joined.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    };
    let is_new = |title: &String| personas.iter().all(|known| known.title != *title);
    if facts.is_empty() {
        return "Like everybody".to_owned();
    }
    (FACTS_IN_TITLE..=facts.len()).map(title).find(is_new).unwrap_or_else(|| title(facts.len()))
}

fn persona(title: String, segment: Option<&str>, condition: Expr, size: u64, facts: &[Fact]) -> Persona {
    let description = match facts {
        _ if size == 0 => "Nobody".to_owned(),
        [] => "Nothing sets them apart from everybody".to_owned(),
        facts => facts.iter().map(|fact| fact.long.as_str()).collect::<Vec<_>>().join(", "),
    };
    let expression = match (segment, condition) {
        (None, condition) => condition,
        (Some(name), Expr::And(conditions)) => {
            Expr::And(std::iter::once(Expr::InSegment(name.to_owned())).chain(conditions).collect())
        }
        (Some(name), condition) => Expr::And(vec![Expr::InSegment(name.to_owned()), condition]),
    };
    Persona { title, description, expression: text_of(&expression), words: in_words(&expression), size }
}

/// What sets the group at `place` of the columns apart, what does so most first.
fn facts(columns: &[ComparedColumn], place: usize, size: u64, everybody: u64) -> Vec<Fact> {
    let mut facts: Vec<Fact> = columns.iter().filter_map(|column| fact(column, place, size, everybody)).collect();
    let strength = |fact: &Fact| fact.ratio.max(f64::MIN_POSITIVE).ln().abs();
    facts.sort_by(|left, right| strength(right).total_cmp(&strength(left)));
    facts.truncate(FACTS_MAX);
    facts
}

/// A column's mean beside everybody's, or the value of it that is most typical of the group.
fn fact(column: &ComparedColumn, place: usize, size: u64, everybody: u64) -> Option<Fact> {
    let name = column.column.replace('_', " ");
    if let Some(of_all) = column.mean {
        let mean = column.means[place]?;
        // A ratio of debts, or to nothing, has no meaning.
        let ratio = (of_all > 0.0 && mean >= 0.0).then(|| mean / of_all)?;
        let short = match ratio {
            0.0 => format!("no {name}"),
            _ if ratio >= LIFT_MIN => format!("high {name}"),
            _ if ratio <= 1.0 / LIFT_MIN => format!("low {name}"),
            _ => return None,
        };
        let long = format!("{name} {} everybody's ({} against {})", times(ratio), number(mean), number(of_all));
        return Some(Fact { short, long, ratio });
    }
    let share = |count: u64, of: u64| if of == 0 { 0.0 } else { count as f64 / of as f64 };
    let values = column.everybody.values.iter().zip(&column.members[place]);
    let typical = values
        .filter_map(|((value, all), members)| {
            let (own, of_all) = (share(*members, size), share(*all, everybody));
            (own >= SHARE_MIN && of_all > 0.0).then(|| (own / of_all, own, of_all, value.as_deref()))
        })
        .filter(|(ratio, ..)| *ratio >= LIFT_MIN)
        .max_by(|left, right| left.0.total_cmp(&right.0));
    let (ratio, own, of_all, value) = typical?;
    let value = value.unwrap_or("unknown");
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    Some(Fact {
        short: format!("{name} {value}"),
        long: format!("{name} {value} {} as frequent ({} against {})", times(ratio), percent(own), percent(of_all)),
        ratio,
    })
}

fn times(ratio: f64) -> String {
    if ratio < 0.1 { format!("{ratio:.2} times") } else { format!("{ratio:.1} times") }
}

/// With as many digits as people read.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::segments::Breakdown;

    fn numbers(column: &str, mean: f64, of_group: Option<f64>) -> ComparedColumn {
        let everybody = Breakdown { column: column.to_owned(), values: Vec::new(), others: 10 };
        ComparedColumn {
            column: column.to_owned(),
            mean: Some(mean),
            means: vec![of_group],
            everybody,
            members: vec![Vec::new()],
        }
    }

    fn countries(everybody: [u64; 2], members: [u64; 2]) -> ComparedColumn {
        let values = [Some("FR".to_owned()), None].into_iter().zip(everybody).collect();
        ComparedColumn {
            column: "country".to_owned(),
            mean: None,
            means: vec![None],
            everybody: Breakdown { column: "country".to_owned(), values, others: 0 },
            members: vec![members.to_vec()],
        }
    }

    #[test]
    fn test_what_differs_most_comes_first() {
        let columns = [
            numbers("orders", 2.0, Some(2.2)),
            numbers("spent", 100.0, Some(310.4)),
            numbers("days_quiet", 40.0, Some(4.0)),
            numbers("debt", -5.0, Some(-10.0)),
            numbers("empty", 1.0, None),
            countries([50, 50], [8, 2]),
        ];
        let facts = facts(&columns, 0, 10, 100);
        let told: Vec<&str> = facts.iter().map(|fact| fact.long.as_str()).collect();
        assert_eq!(
            told,
            [
                "days quiet 0.1 times everybody's (4.00 against 40.0)",
                "spent 3.1 times everybody's (310 against 100)",
                "country FR 1.6 times as frequent (80 % against 50 %)",
            ]
        );
        let condition = Expr::InSegment("a".to_owned());
        let told = persona(unlike(&[], &facts), Some("loyal"), condition.clone(), 10, &facts);
        assert_eq!(told.title, "Low days quiet, high spent");
        assert_eq!(told.expression, "in_segment('loyal') and in_segment('a')");
        assert_eq!(unlike(&[told], &facts), "Low days quiet, high spent, country FR");
        assert_eq!(persona(unlike(&[], &[]), None, condition, 10, &[]).title, "Like everybody");
    }
}
