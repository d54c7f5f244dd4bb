//! Personas: who the people of a segment are, as groups that are alike, told in words and ready to be saved as segments.

use std::cmp::Reverse;
use std::sync::Arc;

use chrono::{DateTime, NaiveDate};
use futures::FutureExt;
use roaring::RoaringBitmap;

use super::Engine;
use super::segments::{ComparedColumn, compared_column};
use crate::error::{EngineError, ErrorKind, Result};
use crate::evaluation::Census;
use crate::expression::{self, ColumnType, Expr, in_words, text_of};
use crate::query::limited::QueryLimits;
use crate::segment;
use crate::segment::personas::{self, Fact, Frequency, Spread};
use crate::segment::saved::{self, SegmentContent};
use crate::snapshot::Snapshot;

/// How a segment is divided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Division {
    /// Into people who are alike in some traits: numbers, yes and no, or times.
    Clusters {
        /// Columns of profiles.
        traits: Vec<String>,
        /// How many; `None` for as many as are told apart best. At least 2, at most [`Division::CLUSTERS_MAX`], and fewer by
        /// many traits.
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
    /// What it may be called: one line, and no other of the groups has it.
    pub title: String,
    /// What sets its people apart from everybody: one line.
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
    /// NotFound for a column that profiles have not; InvalidInput for one that cannot divide people, if all are alike, and if
    /// the conditions would be too long to be saved.
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

    /// Makes a segment of each persona, `prefix-1`, `prefix-2`, ..., and returns their names. `created_by` is kept for whoever
    /// asks.
    ///
    /// # Errors
    /// AlreadyExists, before any is made, if there are segments of some of the names. As [`Engine::create_segment`]: the
    /// message then says which were made before.
    pub async fn save_personas(&self, prefix: &str, personas: Vec<Persona>, created_by: &str) -> Result<Vec<String>> {
        let names: Vec<String> = (1..=personas.len()).map(|number| format!("{prefix}-{number}")).collect();
        let taken = self.taken(&names).await?;
        if !taken.is_empty() {
            let message = format!(
                "no segment is made, since there are some of these names: {}; delete them, or take another prefix",
                quoted(&taken)
            );
            return Err(EngineError::new(ErrorKind::AlreadyExists, message));
        }
        for (place, (name, persona)) in names.iter().zip(personas).enumerate() {
            let Persona { title, description, expression, .. } = persona;
            let (title, description) = (Some(title), Some(description));
            let content = SegmentContent { title, purpose: None, description, expression };
            let made = self.create_segment(name, content, created_by).await;
            made.map_err(|error| but_not(&names[..place], name, error))?;
        }
        Ok(names)
    }

    /// Those of some names that segments have, be it in the project's files or saved ones.
    async fn taken(&self, names: &[String]) -> Result<Vec<String>> {
        let (project, names) = (Arc::clone(&self.project), names.to_vec());
        let work = async move {
            let files = expression::load(&project.folder, "segments")?;
            let saved = saved::all(&project, None).await?.in_force;
            let is_taken = |name: &String| saved.contains_key(name) || files.iter().any(|file| file.name == *name);
            Ok(names.into_iter().filter(is_taken).collect())
        };
        self.cpu.run(work).await
    }
}

/// The error that a persona could not be saved after some others were.
fn but_not(made: &[String], name: &str, error: EngineError) -> EngineError {
    if made.is_empty() {
        return error;
    }
    error
        .context(format!("{} are made, and `tessera segment delete NAME` deletes each; but not `{name}`", quoted(made)))
}

fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Groups before anybody is in them.
struct Groups {
    /// The condition of each, and its title if it has one of its own.
    conditions: Vec<(Option<String>, Expr)>,
    silhouettes: Vec<(usize, f64)>,
    /// The columns that divide.
    columns: Vec<String>,
}

async fn found(
    snapshot: &Snapshot,
    segment: Option<&str>,
    division: &Division,
    described_by: Vec<String>,
) -> Result<Personas> {
    let census = snapshot.census()?;
    let known = segment::columns(snapshot.session()).await?;
    let members = match segment {
        Some(name) => {
            let memberships = snapshot.memberships().await?;
            memberships.get(name).map(|members| members.all().clone()).unwrap_or_default()
        }
        None => census.people().await?.living().clone(),
    };
    let Groups { conditions, silhouettes, columns } = groups(snapshot, &known, &members, division).await?;
    let of_each: Vec<Expr> = conditions.iter().map(|(_, condition)| condition.clone()).collect();
    let sets = personas::selected(census, &members, &of_each).await?;
    let mut by_size: Vec<_> = conditions.into_iter().zip(sets).collect();
    by_size.sort_by_key(|(_, set)| Reverse(set.len()));
    let (conditions, sets): (Vec<_>, Vec<RoaringBitmap>) = by_size.into_iter().unzip();
    let columns = columns.into_iter().chain(described_by).collect();
    let described = described(census, &known, &sets, columns).await?;
    let profile_count = census.people().await?.len() as u64;
    let today = DateTime::from_timestamp_micros(snapshot.as_of().unwrap_or_default()).unwrap_or_default().date_naive();
    let facts: Vec<Vec<Fact>> = sets
        .iter()
        .enumerate()
        .map(|(place, set)| {
            let facts = described.iter().filter_map(|column| column.fact(place, set.len(), profile_count, today));
            personas::told(facts.collect(), set.len())
        })
        .collect();
    let personas = conditions.into_iter().zip(personas::titles(&facts)).zip(&facts).zip(&sets);
    let personas = personas
        .map(|((((own_title, condition), title), facts), set)| {
            persona(own_title.unwrap_or(title), segment, condition, set.len(), facts)
        })
        .collect();
    let columns = described.into_iter().map(|column| column.compared).collect();
    Ok(Personas { personas, size: members.len(), profile_count, silhouettes, columns })
}

async fn groups(
    snapshot: &Snapshot,
    known: &[(String, ColumnType)],
    members: &RoaringBitmap,
    division: &Division,
) -> Result<Groups> {
    let census = snapshot.census()?;
    match division {
        Division::Clusters { traits, count } => {
            let clustered = personas::clustered(census, known, members, traits, *count).await?;
            let conditions = clustered.conditions.into_iter().map(|condition| (None, condition)).collect();
            Ok(Groups { conditions, silhouettes: clustered.silhouettes, columns: traits.clone() })
        }
        Division::Cells { recency, frequency, monetary } => {
            let (recency, frequency, monetary) = (recency.clone(), frequency.clone(), monetary.clone());
            let scores = personas::Scores { recency, frequency, monetary };
            let cells = personas::cells(known, census, &scores).await?;
            let conditions = cells.into_iter().map(|(name, condition)| (Some(name), condition)).collect();
            let columns = [scores.recency, scores.frequency].into_iter().chain(scores.monetary).collect();
            Ok(Groups { conditions, silhouettes: Vec::new(), columns })
        }
    }
}

/// What a column is of everybody and of each group.
struct Described {
    compared: ComparedColumn,
    /// Of numbers and times; no other column has a mean.
    amounts: Option<Amounts>,
}

struct Amounts {
    are_times: bool,
    everybody: Spread,
    groups: Vec<Spread>,
}

/// Each column once.
async fn described(
    census: &Census,
    known: &[(String, ColumnType)],
    sets: &[RoaringBitmap],
    columns: Vec<String>,
) -> Result<Vec<Described>> {
    let mut described: Vec<Described> = Vec::new();
    for column in columns {
        if described.iter().all(|known| known.compared.column != column) {
            let compared = compared_column(census, sets, column).await?;
            let amounts = amounts(census, known, sets, &compared).await?;
            described.push(Described { compared, amounts });
        }
    }
    Ok(described)
}

async fn amounts(
    census: &Census,
    known: &[(String, ColumnType)],
    sets: &[RoaringBitmap],
    compared: &ComparedColumn,
) -> Result<Option<Amounts>> {
    let column = compared.column.as_str();
    let column_type = known.iter().find(|(name, _)| name == column).map(|(_, column_type)| *column_type);
    let are_times = matches!(column_type, Some(ColumnType::Date | ColumnType::Timestamp));
    if !are_times && compared.mean.is_none() {
        return Ok(None);
    }
    let everybody = spread(census, census.people().await?.living(), column, are_times).await?;
    let mut groups = Vec::with_capacity(sets.len());
    for set in sets {
        groups.push(spread(census, set, column, are_times).await?);
    }
    Ok(Some(Amounts { are_times, everybody, groups }))
}

async fn spread(census: &Census, people: &RoaringBitmap, column: &str, are_times: bool) -> Result<Spread> {
    let mut numbers = census.numbers(people, column).await?.unwrap_or_default();
    if are_times {
        // Days ago grow to the past.
        numbers.iter_mut().flatten().for_each(|days| *days = -*days);
    }
    Ok(Spread::of(&numbers))
}

impl Described {
    /// How the group at `place`, of `size` people, differs from everybody.
    fn fact(&self, place: usize, size: u64, everybody: u64, today: NaiveDate) -> Option<Fact> {
        let column = self.compared.column.as_str();
        match &self.amounts {
            Some(of) if of.are_times => Fact::of_times(column, &of.everybody, &of.groups[place], today),
            Some(of) => Fact::of_numbers(column, &of.everybody, &of.groups[place]),
            None => {
                let share = |count: u64, of: u64| if of == 0 { 0.0 } else { count as f64 / of as f64 };
                let values = self.compared.everybody.values.iter().zip(&self.compared.members[place]);
                let frequencies = values.map(|((value, all), members)| Frequency {
                    value: value.as_deref(),
                    own: share(*members, size),
                    of_all: share(*all, everybody),
                });
                Fact::of_values(column, frequencies)
            }
        }
    }
}

fn persona(title: String, segment: Option<&str>, condition: Expr, size: u64, facts: &[Fact]) -> Persona {
    let description = facts.iter().map(|fact| fact.long.as_str()).collect::<Vec<_>>().join(", ");
    let expression = match segment {
        None => condition,
        Some(name) => personas::within(name, condition),
    };
    Persona { title, description, expression: text_of(&expression), words: in_words(&expression), size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::segments::Breakdown;

    fn column(name: &str, values: [(Option<&str>, u64); 2], members: [u64; 2], amounts: Option<Amounts>) -> Described {
        let values = values.map(|(value, count)| (value.map(str::to_owned), count)).to_vec();
        let everybody = Breakdown { column: name.to_owned(), values, others: 0 };
        let members = vec![members.to_vec()];
        Described {
            compared: ComparedColumn { column: name.to_owned(), mean: None, means: vec![None], everybody, members },
            amounts,
        }
    }

    #[test]
    fn test_a_column_is_told_as_what_it_is() {
        let today = NaiveDate::from_ymd_opt(2026, 6, 1).unwrap_or_default();
        let told = |of: &Described| of.fact(0, 10, 100, today).map(|fact| fact.long);
        let countries = column("country", [(Some("FR"), 50), (None, 50)], [8, 2], None);
        assert_eq!(told(&countries).unwrap(), "country FR 1.6 times as frequent (80 % against 50 %)");
        // Few have the same time: how frequent it is says nothing.
        let [everybody, late] = [[Some(-1.0), Some(-61.0)], [Some(-1.0), Some(-1.0)]].map(|days| Spread::of(&days));
        let values = [(Some("2026-05-31"), 1), (Some("2026-04-01"), 1)];
        let amounts = |are_times| Some(Amounts { are_times, everybody, groups: vec![late] });
        let orders = column("last_order_at", values, [1, 0], amounts(true));
        assert_eq!(
            told(&orders).unwrap(),
            "last order at 30 days later than everybody's (2026-05-31 against 2026-05-01)"
        );
        assert_eq!(told(&column("balance", values, [1, 0], amounts(false))).unwrap(), "balance -1 against -31");
    }

    #[test]
    fn test_a_persona_says_what_sets_it_apart_and_who_is_in_it() {
        let value = |value| Frequency { value: Some(value), own: 0.8, of_all: 0.2 };
        let facts = ["FR", "DE"].map(|country| Fact::of_values("country", std::iter::once(value(country))));
        let facts: Vec<Fact> = facts.into_iter().flatten().collect();
        let told = persona("Europe".to_owned(), Some("loyal"), Expr::InSegment("a".to_owned()), 10, &facts);
        assert_eq!(told.expression, "in_segment('loyal') and in_segment('a')");
        assert_eq!(
            told.description,
            "country FR 4.0 times as frequent (80 % against 20 %), country DE 4.0 times as frequent (80 % against 20 %)"
        );
    }

    #[test]
    fn test_who_cannot_save_all_is_told_what_is_made() {
        let failed = || EngineError::new(ErrorKind::Conflict, "try again");
        let made = ["p-1".to_owned(), "p-2".to_owned()];
        let told = but_not(&made, "p-3", failed());
        assert_eq!(told.kind(), ErrorKind::Conflict);
        assert_eq!(
            told.to_string(),
            "`p-1`, `p-2` are made, and `tessera segment delete NAME` deletes each; but not `p-3`: try again"
        );
        assert_eq!(but_not(&[], "p-1", failed()).to_string(), "try again");
    }
}
