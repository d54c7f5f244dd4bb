//! The query: `profile.profiles`, one aggregation over events, and whatever else is joined.

use chrono::{DateTime, NaiveDate, Utc};

use super::super::text::quoted;

/// A query over profiles that is being written.
pub(super) struct Query {
    pub(super) as_of: DateTime<Utc>,
    /// What is aggregated over the events of a profile, in SQL; the place counted from 1 names the column.
    figures: Vec<String>,
    /// The names of the events that figures are of.
    events: Vec<String>,
    /// Relations beside the figures, in SQL; the place counted from 1 names the relation.
    joins: Vec<String>,
}

impl Query {
    pub(super) fn new(as_of: DateTime<Utc>) -> Self {
        Self { as_of, figures: Vec::new(), events: Vec::new(), joins: Vec::new() }
    }

    pub(super) fn today(&self) -> NaiveDate {
        self.as_of.date_naive()
    }

    /// The column of something that is aggregated over events of one name.
    pub(super) fn figure(&mut self, event: &str, aggregate: String) -> String {
        if !self.events.iter().any(|known| known == event) {
            self.events.push(event.to_owned());
        }
        format!("figures.figure_{}", place_of(&mut self.figures, aggregate))
    }

    /// The name of a relation with a `profile_id` that nobody has twice, which is joined to profiles.
    pub(super) fn joined(&mut self, relation: String) -> String {
        format!("joined_{}", place_of(&mut self.joins, relation))
    }

    /// The whole query.
    pub(super) fn select(&self, columns: &str, condition: &str) -> String {
        let mut sql = format!("select {columns}\nfrom profile.profiles profiles\n");
        if !self.figures.is_empty() {
            let figures = self.figures.iter().enumerate();
            let figures: Vec<String> =
                figures.map(|(place, figure)| format!("{figure} as figure_{}", place + 1)).collect();
            let events: Vec<String> = self.events.iter().map(|event| constant(event)).collect();
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

/// No constant has a line feed in it: see [`constant`].
pub(super) fn indented(sql: &str) -> String {
    sql.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

/// A text constant. Its line feeds stand outside of the quotes, for what is inside must not be indented.
pub(super) fn constant(text: &str) -> String {
    if !text.contains(['\n', '\r']) {
        return quoted(text);
    }
    let outside = |text: String, sign: char| text.replace(sign, &format!("' || chr({}) || '", u32::from(sign)));
    format!("({})", outside(outside(quoted(text), '\n'), '\r'))
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
