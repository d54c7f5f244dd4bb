//! A segment as one SQL query over published tables, for people who want to see what it means, check it or take it elsewhere.
//! The engine never runs it: members are computed from what is kept of events, all segments at once.

mod figures;
mod query;
mod sequences;
mod values;

use chrono::{DateTime, Utc};

use self::query::Query;
use self::values::Values;
use super::Expr;

/// Returns the query that gives the `profile_id` of everybody whom a segment's condition selects, as of an instant.
///
/// Shape: `profile.profiles` with a left join for everything that the condition asks beside columns of profiles. What counts
/// or adds up events is one aggregation over `behavior.events`.
pub(crate) fn members_sql(condition: &Expr, as_of: DateTime<Utc>) -> String {
    let mut query = Query::new(as_of);
    let condition = Values::of_profiles(&mut query).text(condition);
    query.select("profiles.profile_id", &condition)
}

#[cfg(test)]
mod tests;
