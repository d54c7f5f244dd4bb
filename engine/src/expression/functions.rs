//! The functions of the language: which there are, where each may stand, and those that ask what else is known of a
//! profile.

use super::calls::Call;
use super::check::{Checker, Scope, Typed, snippet};
use super::parse::sql_parser::ast::{Expr as SqlExpr, Function};
use super::plain;
use super::types::{is_number, is_time, type_name};
use super::{ColumnType, Expr, Literal};
use crate::config::nearest::suggestion;
use crate::error::Result;

/// Figures of what a profile does. In the order in which messages name them.
const MEASURES: [&str; 17] = [
    "event_count",
    "did",
    "event_days",
    "first_event_at",
    "last_event_at",
    "event_sum",
    "event_avg",
    "event_min",
    "event_max",
    "event_percentile",
    "event_first",
    "event_last",
    "event_most_frequent",
    "event_distinct",
    "event_values",
    "did_weekly",
    "did_first_time",
];
/// What else is known of a profile.
const OF_PROFILES: [&str; 6] = ["in_segment", "in_list", "top", "split", "consented", "score"];
/// Functions of single values beside the plain ones. Some are nodes of their own to the parser; they are here for messages.
const SCALARS: [&str; 22] = [
    "concat",
    "concat_ws",
    "contains",
    "regexp_like",
    "mod",
    "abs",
    "round",
    "floor",
    "ceil",
    "coalesce",
    "nullif",
    "greatest",
    "least",
    "date_trunc",
    "date_part",
    "extract",
    "timezone",
    "days_since",
    "now",
    "current_date",
    "cast",
    "try_cast",
];
/// The most groups of a score.
const GROUPS_MAX: i64 = 1_000;

/// What a function is about, which decides where it may stand and which arguments it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    /// A figure of what a profile does.
    Measure,
    /// Events that follow each other.
    Sequence,
    /// One of those events.
    Step,
    /// What else is known of a profile.
    OfProfiles,
    /// What an event says.
    OfEvents,
    /// Single values.
    Scalar,
}

/// The family of a function; `None` if there is no such function.
pub(super) fn family(name: &str) -> Option<Family> {
    Some(match name {
        "did_sequence" => Family::Sequence,
        "event" => Family::Step,
        "property" => Family::OfEvents,
        name if MEASURES.contains(&name) => Family::Measure,
        name if OF_PROFILES.contains(&name) => Family::OfProfiles,
        name if SCALARS.contains(&name) || plain::named(name).next().is_some() => Family::Scalar,
        _ => return None,
    })
}

impl Checker<'_> {
    pub(super) fn function(&self, sql: &SqlExpr, function: &Function) -> Result<Typed> {
        let name = function.name.to_string().to_lowercase();
        let Some(family) = family(&name) else {
            let hint = suggestion(&name, self.functions());
            let scope = self.scope.name();
            return self.refuse(sql, format!("function `{name}` is not available in {scope}; {hint}"));
        };
        if let Some(message) = self.misplaced(&name, family) {
            return self.refuse(sql, message);
        }
        let call = self.call(sql, function)?;
        match family {
            Family::Measure => self.measure(&call),
            Family::Sequence => Ok((Expr::Sequence(self.sequence(&call)?), Some(ColumnType::Boolean))),
            Family::OfEvents | Family::Step => self.property(&call),
            Family::Scalar => self.scalar(&call),
            Family::OfProfiles => match call.name.as_str() {
                "in_segment" => self.in_segment(&call),
                "in_list" => self.in_list(&call),
                "top" => self.top(&call),
                "split" => self.split(&call),
                "consented" => self.consented(&call),
                _ => self.score(&call),
            },
        }
    }

    /// The functions that may stand here.
    fn functions(&self) -> impl Iterator<Item = &'static str> + Clone {
        let more: &[&str] = &["did_sequence", "property"];
        let all = MEASURES.iter().chain(more).chain(&OF_PROFILES).copied().chain(plain::names()).chain(SCALARS);
        all.filter(|name| family(name).is_some_and(|family| self.misplaced(name, family).is_none()))
    }

    /// Why a function may not stand here, and what to do instead.
    fn misplaced(&self, name: &str, family: Family) -> Option<String> {
        let hint = match (self.scope, family, name) {
            (Scope::Event, Family::Measure | Family::Sequence, _) => {
                "it tells of all events of a profile, and this is a condition over one event; move it out of the brackets"
            }
            (Scope::Event, Family::OfProfiles, _) => {
                "it tells of a profile, and this is a condition over one event; move it out of the brackets"
            }
            (Scope::Event, _, "now" | "current_date" | "days_since") => {
                "what an event says does not move with time; bound the days with `within => interval '90 days'`"
            }
            (Scope::Segment | Scope::Trait, Family::OfEvents, _) => {
                "it belongs into a condition over events: `event_count('Order Completed') filter (where property('coupon') is not null)`"
            }
            (_, Family::Step, _) => {
                "it is a step of `did_sequence('Product Viewed' then event('Order Completed') filter (where revenue > 100))`"
            }
            (Scope::Segment, _, "score") => "it compares all profiles; write a trait with it, and name the trait here",
            (Scope::Trait, _, "in_segment") => {
                "segments are computed after traits; write the segment's condition here, or use the trait in a segment"
            }
            (Scope::Trait, _, "in_list" | "top") => "it belongs into a segment; write one with it",
            _ => return None,
        };
        Some(format!("`{name}` is not available in {}: {hint}", self.scope.name()))
    }

    fn in_segment(&self, call: &Call<'_>) -> Result<Typed> {
        let usage = "write `in_segment('name')`";
        let [segment] = call.positional.as_slice() else {
            return self.refuse(call.sql, format!("`in_segment` takes one name; {usage}"));
        };
        let segment = self.name_argument(segment, "the segment's name", usage)?;
        if segment == self.name {
            let message = format!("segment `{segment}` refers to itself; refer to other segments only");
            return self.refuse(call.sql, message);
        }
        Ok((Expr::InSegment(segment), Some(ColumnType::Boolean)))
    }

    fn in_list(&self, call: &Call<'_>) -> Result<Typed> {
        let usage = "write `in_list('name')`";
        let [list] = call.positional.as_slice() else {
            return self.refuse(call.sql, format!("`in_list` takes one name; {usage}"));
        };
        let list = self.name_argument(list, "the list's name", usage)?;
        Ok((Expr::InList(list), Some(ColumnType::Boolean)))
    }

    fn top(&self, call: &Call<'_>) -> Result<Typed> {
        let [count_sql, of_sql] = call.positional.as_slice() else {
            return self.wrong_arguments(call, "top(100, lifetime_value) filter (where country = 'FR')");
        };
        let count = self.count_argument(count_sql, "the number of profiles", 1, i64::from(u32::MAX))?;
        let of = Box::new(self.ordered(of_sql, "top")?);
        let among = call.filter.map(|condition| self.condition(condition)).transpose()?.map(Box::new);
        Ok((Expr::Top { count, of, among }, Some(ColumnType::Boolean)))
    }

    fn split(&self, call: &Call<'_>) -> Result<Typed> {
        let usage = "write `split('name') < 0.5`";
        let [name] = call.positional.as_slice() else {
            return self.refuse(call.sql, format!("`split` takes one name; {usage}"));
        };
        let name = self.name_argument(name, "the split's name", usage)?;
        Ok((Expr::Split(name), Some(ColumnType::Decimal)))
    }

    /// A value by which profiles are ordered.
    fn ordered(&self, sql: &SqlExpr, function: &str) -> Result<Expr> {
        let (of, of_type) = self.expression(sql)?;
        if !of_type.is_some_and(|of_type| is_number(of_type) || is_time(of_type)) {
            let (snippet, type_name) = (snippet(sql), type_name(of_type));
            let message = format!("{snippet} is {type_name}; `{function}` needs a number, a date or a time");
            return self.refuse(sql, message);
        }
        Ok(of)
    }

    fn consented(&self, call: &Call<'_>) -> Result<Typed> {
        let usage = "write `consented('marketing')`";
        let [purpose] = call.positional.as_slice() else {
            return self.refuse(call.sql, format!("`consented` takes one purpose; {usage}"));
        };
        let purpose = self.name_argument(purpose, "the purpose", usage)?;
        Ok((Expr::Consented(purpose), Some(ColumnType::Boolean)))
    }

    fn score(&self, call: &Call<'_>) -> Result<Typed> {
        let usage = "score(lifetime_value, 5)";
        let (of_sql, groups_sql, direction) = match call.positional.as_slice() {
            [of, groups] => (*of, *groups, None),
            [of, groups, direction] => (*of, *groups, Some(*direction)),
            _ => return self.wrong_arguments(call, usage),
        };
        let of = self.ordered(of_sql, "score")?;
        let mut has_score = false;
        of.for_each(&mut |expr| has_score |= matches!(expr, Expr::Score { .. }));
        if has_score {
            return self.refuse(of_sql, "a score of a score; write the inner one as a trait of its own");
        }
        let groups = self.count_argument(groups_sql, "the number of groups", 2, GROUPS_MAX)?;
        let descending = match direction {
            Some(direction) => self.is_descending(direction)?,
            None => false,
        };
        Ok((Expr::Score { of: Box::new(of), groups, descending }, Some(ColumnType::Integer)))
    }

    fn is_descending(&self, sql: &SqlExpr) -> Result<bool> {
        match self.expression(sql)?.0 {
            Expr::Literal(Literal::Text(text)) if text.eq_ignore_ascii_case("descending") => Ok(true),
            _ => {
                let hint = "write 'descending' to make 1 the highest, or leave it out";
                self.refuse(sql, format!("{} is no direction; {hint}", snippet(sql)))
            }
        }
    }

    /// A whole number that must be known before any profile is read.
    pub(super) fn count_argument(&self, sql: &SqlExpr, what: &str, least: i64, most: i64) -> Result<u32> {
        let count = match self.expression(sql)?.0 {
            Expr::Literal(Literal::Integer(count)) if (least..=most).contains(&count) => u32::try_from(count).ok(),
            _ => None,
        };
        count.ok_or_else(|| {
            self.error(sql, format!("{what} must be a whole number from {least} to {most}, not {}", snippet(sql)))
        })
    }
}
