//! A segment as one SQL query over published tables, for people who want to see what it means, check it or take it elsewhere.
//! The engine never runs it: members are computed from what is kept of events, all segments at once.

mod figures;
mod sequences;
mod values;

use chrono::{DateTime, NaiveDate, Utc};

use self::values::Values;
use super::Expr;

/// Returns the query that gives the `profile_id` of everybody whom a segment's condition selects, as of an instant.
///
/// Shape: `profile.profiles` with a left join for everything that the condition asks beside columns of profiles. What counts
/// or adds up events is one aggregation over `behavior.events`.
pub(crate) fn members_sql(condition: &Expr, as_of: DateTime<Utc>) -> String {
    let mut query = Query::new(as_of);
    let condition = query.values().text(condition);
    query.select("profiles.profile_id", &condition)
}

/// A query over profiles that is being written.
struct Query {
    as_of: DateTime<Utc>,
    /// What is aggregated over the events of a profile, in SQL; the place counted from 1 names the column.
    figures: Vec<String>,
    /// The names of the events that figures are of.
    events: Vec<String>,
    /// Relations beside the figures, in SQL; the place counted from 1 names the relation.
    joins: Vec<String>,
}

impl Query {
    fn new(as_of: DateTime<Utc>) -> Self {
        Self { as_of, figures: Vec::new(), events: Vec::new(), joins: Vec::new() }
    }

    fn today(&self) -> NaiveDate {
        self.as_of.date_naive()
    }

    /// Writes values of profiles.
    fn values(&mut self) -> Values<'_> {
        Values::of_profiles(self)
    }

    /// The column of something that is aggregated over events of one name.
    fn figure(&mut self, event: &str, aggregate: String) -> String {
        if !self.events.iter().any(|known| known == event) {
            self.events.push(event.to_owned());
        }
        format!("figures.figure_{}", place_of(&mut self.figures, aggregate))
    }

    /// The name of a relation with a `profile_id` that nobody has twice, which is joined to profiles.
    fn joined(&mut self, relation: String) -> String {
        format!("joined_{}", place_of(&mut self.joins, relation))
    }

    /// The whole query.
    fn select(&self, columns: &str, condition: &str) -> String {
        let mut sql = format!("select {columns}\nfrom profile.profiles profiles\n");
        if !self.figures.is_empty() {
            let figures = self.figures.iter().enumerate();
            let figures: Vec<String> =
                figures.map(|(place, figure)| format!("{figure} as figure_{}", place + 1)).collect();
            let events: Vec<String> = self.events.iter().map(|event| values::quoted(event)).collect();
            let relation = format!(
                "select\n    profile_id,\n    {}\nfrom behavior.events\nwhere event_name in ({})\ngroup by profile_id",
                figures.join(",\n    "),
                events.join(", ")
            );
            sql += &left_join(&relation, "figures");
        }
        for (place, relation) in self.joins.iter().enumerate() {
            sql += &left_join(relation, &format!("joined_{}", place + 1));
        }
        sql + "where " + condition
    }
}

fn left_join(relation: &str, name: &str) -> String {
    format!("left join (\n{}\n) {name} on {name}.profile_id = profiles.profile_id\n", indented(relation))
}

fn indented(sql: &str) -> String {
    sql.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// The place of a text among others, counted from 1; it is added if it is new.
fn place_of(texts: &mut Vec<String>, text: String) -> usize {
    match texts.iter().position(|known| *known == text) {
        Some(place) => place + 1,
        None => {
            texts.push(text);
            texts.len()
        }
    }
}

#[cfg(test)]
mod tests;
