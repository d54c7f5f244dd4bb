//! Traits by themselves, and traits that name each other.

use super::*;
use crate::expression::Span;
use crate::expression::behavior::Figure;
use crate::expression::measures_used;
use crate::expression::testing::{columns, parse_trait, refuses_trait};
use crate::expression::text::text_of;

fn sources(files: &[(&str, &str)]) -> Vec<SourceFile> {
    let source = |(name, text): &(&str, &str)| SourceFile {
        name: (*name).to_owned(),
        file: format!("traits/{name}.sql"),
        text: (*text).to_owned(),
    };
    files.iter().map(source).collect()
}

/// The names and types of traits in their order.
#[track_caller]
fn ordered(files: &[(&str, &str)]) -> Vec<(String, ColumnType)> {
    let definitions = parse_traits(&sources(files), &columns()).unwrap_or_else(|error| panic!("{error}"));
    definitions.into_iter().map(|definition| (definition.name, definition.column_type)).collect()
}

#[track_caller]
fn problems(files: &[(&str, &str)]) -> Vec<String> {
    let error = parse_traits(&sources(files), &columns()).expect_err("wrong").to_string();
    error.lines().map(str::to_owned).collect()
}

#[test]
fn reads_the_header() {
    let text = "-- title: Orders\n-- description: Of the last quarter\n-- type: bigint\n-- window: 90 days\n
        event_count('Order Completed') - event_count('Order Completed', within => interval '7 days');\n";
    let orders = parse_trait("orders", text).expect("valid");
    assert_eq!(orders.title.as_deref(), Some("Orders"));
    assert_eq!(orders.description.as_deref(), Some("Of the last quarter"));
    assert_eq!(orders.column_type, ColumnType::Integer);
    assert_eq!(orders.window, Some(Window::last(Span::of_days(90))));
    assert!(orders.sql.starts_with("event_count(") && orders.sql.ends_with("'7 days')"), "{}", orders.sql);
    let windows: Vec<Window> = measures_used(&orders.expression).iter().map(|measure| measure.window).collect();
    assert_eq!(windows, [Window::last(Span::of_days(7)), Window::last(Span::of_days(90))]);
}

#[test]
fn the_header_may_say_any_window() {
    let day = |text: &str| text.parse().unwrap();
    for (written, expected) in [
        ("last 3 months", Window::last(Span { months: 3, ..Span::default() })),
        ("1 week 2 days", Window::last(Span::of_days(9))),
        ("0 days", Window::last(Span::default())),
        ("last 0 days", Window::last(Span::default())),
        ("Since 2026-01-31", Window::Since(day("2026-01-31"))),
        ("between 2026-01-01 and 2026-01-31", Window::Between(day("2026-01-01"), day("2026-01-31"))),
    ] {
        let read = parse_trait("x", &format!("-- window: {written}\nevent_count('x')")).expect(written);
        assert_eq!(read.window, Some(expected), "{written}");
    }
}

#[test]
fn the_window_of_the_header_is_for_figures_that_give_none() {
    let windowed = |text: &str| parse_trait("x", &format!("-- window: 2 weeks\n{text}")).expect(text).expression;
    for (text, written) in [
        ("did('x')", "did('x', within => interval '14 days')"),
        ("did('x', since => date '2026-01-31')", "did('x', since => date '2026-01-31')"),
        ("did_weekly('x', times => 1, weeks => 2)", "did_weekly('x', times => 1, weeks => 2)"),
        ("did_sequence('A' then 'B')", "did_sequence('A' then 'B', within => interval '14 days')"),
        ("did_first_time('x')", "(first_event_at('x') >= current_date - interval '14 days') is true"),
    ] {
        assert_eq!(text_of(&windowed(text)), written);
    }
    let weekly = measures_used(&windowed("did_weekly('x', times => 1, weeks => 2)"));
    assert_eq!(weekly[0].figure, Figure::EachWeek { weeks: 2, times: 1 });
    assert_eq!(weekly[0].window, Window::last(Span::of_days(13)));
}

#[test]
fn types_are_those_of_the_expression() {
    for (text, column_type) in [
        ("country", ColumnType::Text),
        ("event_count('x')", ColumnType::Integer),
        ("event_count('x') / 2", ColumnType::Decimal),
        ("event_sum('x', revenue)", ColumnType::Decimal),
        ("event_min('x', 'q')", ColumnType::Decimal),
        ("event_min('x', occurred_at)", ColumnType::Timestamp),
        ("event_last('x', revenue)", ColumnType::Decimal),
        ("event_last('x', 'coupon')", ColumnType::Text),
        ("event_values('x', 'coupon')", ColumnType::Texts),
        ("did('x')", ColumnType::Boolean),
        ("did_weekly('x', times => 1, weeks => 1)", ColumnType::Boolean),
        ("birthday", ColumnType::Date),
        ("coalesce(birthday, last_seen_at)", ColumnType::Timestamp),
        ("case when is_customer then 1 else 0.5 end", ColumnType::Decimal),
        ("case when is_customer then '2026-01-31' else birthday end", ColumnType::Date),
        ("date_part('year', birthday)", ColumnType::Integer),
        ("floor(lifetime_value)", ColumnType::Decimal),
        ("days_since(birthday)", ColumnType::Integer),
        ("score(lifetime_value, 5)", ColumnType::Integer),
        ("-- type: decimal\nage", ColumnType::Decimal),
        ("-- type: list\ntags", ColumnType::Texts),
    ] {
        assert_eq!(parse_trait("x", text).expect(text).column_type, column_type, "{text}");
    }
    let widened = parse_trait("x", "-- type: decimal\nage").expect("valid");
    assert_eq!(text_of(&widened.expression), "cast(age as decimal)");
}

#[test]
fn each_comes_after_those_it_names() {
    let files = [
        ("a", "c + 1"),
        ("b", "case when a > 3 then 'big' end"),
        ("c", "event_count('x')"),
        ("d", "B = 'big'"),
        // Columns of events are no traits.
        ("revenue", "event_sum('Order Completed', revenue) filter (where revenue > 0 and currency = 'EUR')"),
        ("currency", "event_last('Order Completed', currency) || cast(revenue as text)"),
    ];
    let expected = [
        ("c", ColumnType::Integer),
        ("revenue", ColumnType::Decimal),
        ("a", ColumnType::Integer),
        ("currency", ColumnType::Text),
        ("b", ColumnType::Text),
        ("d", ColumnType::Boolean),
    ];
    assert_eq!(ordered(&files), expected.map(|(name, column_type)| (name.to_owned(), column_type)));
}

#[test]
fn reports_all_problems_at_once() {
    let files = [
        ("a", "country +"),
        ("b", "a = 'x' and shoe_size > 3"),
        ("c", "d"),
        ("d", "e || 'x'"),
        ("e", "c"),
        ("f", "c"),
        ("g", "contry"),
        ("h", "country"),
        ("i", "-- title: x\nage +\nh + j"),
        ("j", "age + i"),
    ];
    assert_eq!(
        problems(&files),
        [
            "traits/a.sql:1:10: expected: an expression, found: EOF",
            "traits/c.sql:1:1: traits refer to each other in a circle: `c` -> `d` -> `e` -> `c`; remove one reference",
            "traits/i.sql:3:5: traits refer to each other in a circle: `i` -> `j` -> `i`; remove one reference",
            "traits/g.sql:1:1: there is no column `contry` in `profile.profiles`; did you mean `country`?",
        ]
    );
    assert_eq!(
        problems(&[("a", "a + 1")]),
        ["traits/a.sql:1:1: traits refer to each other in a circle: `a` -> `a`; remove one reference"]
    );
    assert_eq!(
        problems(&[("a", "age"), ("a", "age")]),
        ["traits/a.sql: trait `a` is defined twice; rename one of them"]
    );
}

#[test]
fn reports_unknown_purposes() {
    let files =
        sources(&[("a", "age > 3"), ("b", "a and consented('ads')\n or consented('email') or consented('emial')")]);
    let definitions = parse_traits(&files, &columns()).expect("right by themselves");
    let known = KnownNames { purposes: Some(BTreeSet::from(["email".to_owned()])), ..KnownNames::default() };
    let message = check_trait_names(&definitions, &known).expect_err("unknown").to_string();
    let expected = "traits/b.sql:1:7: there is no purpose of consent `ads`; known: `email`\n\
        traits/b.sql:2:27: there is no purpose of consent `emial`; did you mean `email`?";
    assert_eq!(message, expected);
    check_trait_names(&definitions, &KnownNames::default()).expect("purposes are not known");
}

#[test]
fn refuses_wrong_names() {
    for name in ["Orders", "last-order", "1st", "_x", ""] {
        let message = parse_trait(name, "age").expect_err(name).to_string();
        let expected = format!(
            "traits/{name}.sql: trait name `{name}` may hold only lower-case letters, digits and `_`, and begins with a \
             letter; rename the file"
        );
        assert_eq!(message, expected);
    }
    let message = |name| parse_trait(name, "age").expect_err(name).to_string();
    for word in ["user", "and"] {
        assert_eq!(message(word), format!("traits/{word}.sql: `{word}` is a word of the language; rename the file"));
    }
    for (name, told) in [
        ("touchpoint", "where people are divided by columns, it is where they did something"),
        ("entered_at", "where members are exported, it is since when they are in the segment"),
    ] {
        assert_eq!(message(name), format!("traits/{name}.sql: no trait is called `{name}`: {told}; rename the file"));
    }
    assert_eq!(message("country"), "traits/country.sql: profiles have a column `country` already; rename the file");
}

#[test]
fn refuses_wrong_headers_and_files() {
    for (text, message) in [
        ("-- purpose: ads\nage", "1:1: unknown header `purpose`; known: `title`, `description`, `type`, `window`"),
        (
            "-- type: number\nage",
            "1:1: there is no type `number`; known: `text`, `integer`, `bigint`, `decimal`, `boolean`, `date`, `timestamp`, `list`",
        ),
        ("-- type: integr\nage", "1:1: there is no type `integr`; did you mean `integer`?"),
        (
            "-- title: x\n-- type: integer\nlifetime_value",
            "2:1: the expression is of type decimal, but `type` says integer; write `-- type: decimal`, or change the \
             expression",
        ),
        (
            "-- window: 3 hours\nage",
            "1:1: header `window`: `hours` is finer than a day, and behaviour is counted by day; write days, weeks or months",
        ),
        (
            "-- window: between 2026-02-01 and 2026-01-01\nage",
            "1:1: header `window`: 2026-01-01 is before 2026-02-01: no day is between them",
        ),
        ("-- window: since June\nage", "1:1: header `window`: 'June' is not a date; write one such as '2026-01-31'"),
        (
            "-- window: soon\nage",
            "1:1: header `window`: 'soon' is not an interval; write a number and a unit, such as '90 days'",
        ),
        ("-- title: x", "1:1: the trait has no expression; write one such as `event_count('Order Completed')`"),
        ("select age", "1:1: a trait is one expression over a profile; write it without `select`"),
        ("age age", "1:5: `age` follows a complete expression; write one expression"),
        ("interval '3 days'", "1:10: `INTERVAL '3 days'` is an interval, not a value"),
        (
            "in_segment('vip')",
            "1:1: `in_segment` is not available in traits: segments are computed after traits; write the segment's \
             condition here, or use the trait in a segment",
        ),
        ("score(country, 5)", "1:7: `country` is text; `score` needs a number, a date or a time"),
        ("score(age)", "1:1: wrong arguments; write `score(lifetime_value, 5)`"),
        ("score(age, 1)", "1:12: the number of groups must be a whole number from 2 to 1000, not `1`"),
        ("score(age, age)", "1:12: the number of groups must be a whole number from 2 to 1000, not `age`"),
        (
            "score(age, 5, 'down')",
            "1:15: `'down'` is no direction; write 'descending' to make 1 the highest, or leave it out",
        ),
        ("score(score(age, 5) + 1, 5)", "1:7: a score of a score; write the inner one as a trait of its own"),
    ] {
        refuses_trait(text, message);
    }
}
