//! Calls are found whatever else a text names.

use super::*;
use crate::expression::text::text_of;

fn found(text: &str) -> Vec<String> {
    measures_in(text, "f.sql").expect(text).into_iter().map(|measure| text_of(&Expr::Measure(measure))).collect()
}

#[test]
fn finds_measures_wherever_they_stand() {
    let text = "-- title: x
        no_such_column > 3 and case when did('A') then event_sum('B', revenue) else no_such_function(event_count('C')) end > 1
        and score(last_event_at('D', within => interval '3 days'), 5) in (1) or -event_days('E') is null
        and (did('A') or extract(year from first_event_at('F')) = 2026)
        and did_first_time('G', since => date '2026-01-31')";
    let expected = [
        "event_count('A')",
        "event_sum('B', revenue)",
        "event_count('C')",
        "last_event_at('D', within => interval '3 days')",
        "event_days('E')",
        "first_event_at('F')",
        "first_event_at('G')",
    ];
    assert_eq!(found(text), expected);
}

#[test]
fn applies_the_window_of_the_header() {
    assert_eq!(found("-- window: 30 days\ndid('A') and x"), ["event_count('A', within => interval '30 days')"]);
    assert_eq!(
        found("-- window: 30 days\ndid('A', since => date '2026-01-31')"),
        ["event_count('A', since => date '2026-01-31')"]
    );
}

#[test]
fn finds_sequences() {
    let text = "x = 1 and did_sequence('A' then event('B') filter (where revenue > 5)) and did('C')";
    let sequences = sequences_in(text, "f.sql").expect("valid");
    assert_eq!(sequences.len(), 1);
    assert_eq!(found(text), ["event_count('C')"]);
}

#[test]
fn says_where_a_call_is_wrong() {
    for (text, message) in [
        (
            "x and\n did()",
            "f.sql:2:2: `did` names no event; write `did('Event Name')` or `did('Event Name', within => interval '90 days')`",
        ),
        ("", "f.sql:1:1: the file has no expression; write one"),
        (
            "-- window: 1 hour\nx",
            "f.sql:1:1: header `window`: `hour` is finer than a day, and behaviour is counted by day; write days, weeks or months",
        ),
        (
            "did('x') filter (where did('y'))",
            "f.sql:1:24: `did` is not available in a condition over events: it tells of all events of a profile, and this is a \
             condition over one event; move it out of the brackets",
        ),
    ] {
        assert_eq!(measures_in(text, "f.sql").expect_err(text).to_string(), message);
    }
}

#[test]
fn names_are_those_of_profiles_only() {
    let parsed = parse_sql(
        Kind::File,
        "f.sql",
        "a + event_sum('x', b) filter (where c = 1) > case when \"D\" then lower(e) end and did_sequence('A' then event('B') filter (where f))",
    )
    .expect("valid");
    let mut names = Vec::new();
    walk(&parsed, &mut |node| {
        if let Node::Name(name) = node {
            names.push(name.value.clone());
        }
    });
    assert_eq!(names, ["a", "D", "e"]);
}
