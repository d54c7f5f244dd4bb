//! Segments as SQL queries.

use chrono::{DateTime, Utc};

use super::members_sql;
use crate::expression::testing::segment;

fn as_of() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-06-01T10:00:00Z").unwrap().to_utc()
}

#[test]
fn test_figures_are_aggregated_in_one_reading_of_events() {
    let condition = segment(
        "country = 'FR' and event_count('Order Completed', within => interval '90 days') >= 2
         and not did('Page Viewed', within => interval '14 days') and not in_segment('o''hare')",
    );
    assert_eq!(
        members_sql(&condition, as_of()),
        "select profiles.profile_id
from profile.profiles profiles
left join (
    select
        profile_id,
        count(*) filter (where event_name = 'Order Completed' and cast(occurred_at as date) >= date '2026-03-03') as figure_1,
        count(*) filter (where event_name = 'Page Viewed' and cast(occurred_at as date) >= date '2026-05-18') as figure_2
    from behavior.events
    where event_name in ('Order Completed', 'Page Viewed')
    group by profile_id
) figures on figures.profile_id = profiles.profile_id
left join (
    select profile_id from segment.memberships where segment = 'o''hare'
) joined_1 on joined_1.profile_id = profiles.profile_id
where (profiles.country = 'FR')
    and (coalesce(figures.figure_1, 0) >= 2)
    and (not (coalesce(figures.figure_2, 0) > 0))
    and (not (joined_1.profile_id is not null))"
    );
}

#[test]
fn test_days_of_texts_are_those_of_their_instants_and_amounts_have_room_to_be_rounded() {
    let sql = members_sql(&segment("cast(country as date) = date '2026-05-20' and ceil(lifetime_value) > 3"), as_of());
    let day = "try_cast(arrow_try_cast(castable(profiles.country), 'Timestamp(Microsecond, Some(\"UTC\"))') as date)";
    assert!(sql.contains(&format!("({day} = date '2026-05-20')")), "{sql}");
    assert!(sql.contains("(ceil(cast(profiles.lifetime_value as decimal(38, 10))) > 3)"), "{sql}");
}

#[test]
fn test_a_window_of_no_days_is_today() {
    let sql = members_sql(&segment("did('x', within => interval '0 days')"), as_of());
    assert!(sql.contains("event_name = 'x' and cast(occurred_at as date) >= date '2026-06-01')"), "{sql}");
}

#[test]
fn test_instants_that_nanoseconds_cannot_say_are_microseconds() {
    let sql = members_sql(
        &segment("last_seen_at < timestamp '9999-12-31 00:00:00' and last_seen_at > timestamp '2026-01-01'"),
        as_of(),
    );
    assert!(sql.contains("< arrow_cast('9999-12-31T00:00:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"), "{sql}");
    assert!(sql.contains("> timestamp '2026-01-01T00:00:00Z'"), "{sql}");
}
