//! Figures of what profiles do, as aggregates over `behavior.events`.

use super::super::behavior::{EventSelector, Figure, Measure, Property, Share, Window};
use super::query::{Query, constant};
use super::values::{Values, property};

/// The value of a measure of a profile.
pub(super) fn value(query: &mut Query, measure: &Measure) -> String {
    let Measure { events, figure, window } = measure;
    let counts = counts(query, events, *window);
    let aggregate = |aggregate: &str| format!("{aggregate} filter (where {counts})");
    // What has no value does not count.
    let known = |value: &str| format!("filter (where {counts} and {value} is not null)");
    let (aggregate, nothing) = match figure.plain() {
        Figure::Count => (aggregate("count(*)"), Some("0")),
        Figure::Days => (aggregate("count(distinct cast(occurred_at as date))"), Some("0")),
        Figure::FirstTime => (aggregate("min(occurred_at)"), None),
        Figure::LastTime => (aggregate("max(occurred_at)"), None),
        Figure::Sum(of) => (aggregate(&format!("sum({})", number(of))), Some("0")),
        Figure::Average(of) => (aggregate(&format!("avg({})", number(of))), None),
        Figure::Least(of) => (aggregate(&format!("min({})", number(of))), None),
        Figure::Most(of) => (aggregate(&format!("max({})", number(of))), None),
        Figure::Percentile(of, share) => (percentile(&number(of), *share, &known(&number(of))), None),
        Figure::FirstValue(of) => {
            let value = property(of);
            (format!("first_value({value} order by occurred_at, {value}) {}", known(&value)), None)
        }
        Figure::LastValue(of) => {
            let value = property(of);
            (format!("first_value({value} order by occurred_at desc, {value}) {}", known(&value)), None)
        }
        Figure::DistinctCount(of) => (aggregate(&format!("count(distinct {})", property(of))), Some("0")),
        Figure::Values(of) => {
            let value = property(of);
            (format!("array_agg(distinct {value} order by {value}) {}", known(&value)), Some("make_array()"))
        }
        Figure::MostFrequent(of) => {
            let relation = most_frequent(&counts, &property(of));
            return format!("{}.value", query.joined(relation));
        }
        Figure::EachWeek { weeks, times } => {
            let relation = each_week(query, &counts, *weeks, *times);
            return format!("({}.profile_id is not null)", query.joined(relation));
        }
    };
    let figure = query.figure(&events.event, aggregate);
    nothing.map_or(figure.clone(), |nothing| format!("coalesce({figure}, {nothing})"))
}

/// Which events count, as a condition over events of all names.
pub(super) fn counts(query: &mut Query, events: &EventSelector, window: Window) -> String {
    let mut conditions = vec![format!("event_name = {}", constant(&events.event))];
    conditions.extend(days(query, window));
    if let Some(condition) = &events.condition {
        conditions.push(Values::of_events(query).part(&condition.expression));
    }
    conditions.join(" and ")
}

/// The bounds of a window.
fn days(query: &Query, window: Window) -> Vec<String> {
    let (first, last) = window.bounds(query.today());
    let first = first.map(|day| format!("cast(occurred_at as date) >= date '{day}'"));
    let last = last.map(|day| format!("cast(occurred_at as date) <= date '{day}'"));
    first.into_iter().chain(last).collect()
}

/// As figures read it, and with the places that quotients have.
fn number(of: &Property) -> String {
    match of {
        Property::Path(_) => format!("cast(event_number({}) as decimal(38, 10))", property(of)),
        Property::Column(_) => property(of),
    }
}

/// The smallest number up to which a share of them lie: the nearest rank.
fn percentile(number: &str, share: Share, filter: &str) -> String {
    let thousandths = share.thousandths;
    format!(
        "array_element(array_agg({number} order by {number}) {filter}, \
         greatest((count({number}) {filter} * {thousandths} + 999) / 1000, 1))"
    )
}

/// Each profile with the value that most of its events have; of equally frequent ones the first in the order of texts.
fn most_frequent(counts: &str, value: &str) -> String {
    format!(
        "select profile_id, value\nfrom (\n    select\n        profile_id,\n        {value} as value,\n        \
         row_number() over (partition by profile_id order by count(*) desc, {value}) as place\n    \
         from behavior.events\n    where {counts} and {value} is not null\n    group by profile_id, {value}\n) counted\n\
         where place = 1"
    )
}

/// The profiles with so many events in each of the last weeks, of which none is in the future.
fn each_week(query: &Query, counts: &str, weeks: u32, times: u32) -> String {
    let today = query.today();
    format!(
        "select profile_id\nfrom (\n    \
         select profile_id, cast(date '{today}' - cast(occurred_at as date) as bigint) / 7 as week, count(*) as times\n    \
         from behavior.events\n    where {counts} and cast(occurred_at as date) <= date '{today}'\n    group by 1, 2\n) counted\n\
         where week < {weeks} and times >= {times}\n\
         group by profile_id\nhaving count(*) = {weeks}"
    )
}
