//! What the segment language accepts, and how it refuses the rest.

use super::*;
use crate::expression::Span;
use crate::expression::syntax::FILE_BYTES_MAX;
use crate::expression::testing::columns;
use crate::expression::{
    BinaryOp, EventSelector, Expr, Figure, Literal, Measure, ScalarFunction, Window, measures_used, segments_used,
};

fn parse(text: &str) -> Result<SegmentDefinition> {
    parse_segment(&crate::expression::testing::source("loyal", "segments/loyal.sql", text), &columns())
}

fn expression(text: &str) -> Expr {
    parse(text).unwrap_or_else(|error| panic!("{text}\n--> {error}")).expression
}

#[track_caller]
fn check_refused(text: &str, position: &str, words: &str) {
    let message = parse(text).expect_err(text).to_string();
    let start = format!("segments/loyal.sql:{position}: ");
    assert!(message.starts_with(&start) && message.contains(words), "{text}\n--> {message}");
}

fn column(name: &str) -> Expr {
    let (_, column_type) = columns().into_iter().find(|(known, _)| known == name).expect("known");
    Expr::Column { name: name.to_owned(), column_type }
}

fn text(value: &str) -> Literal {
    Literal::Text(value.to_owned())
}

fn binary(op: BinaryOp, left: Expr, right: Expr) -> Expr {
    Expr::Binary { op, left: Box::new(left), right: Box::new(right) }
}

fn measure(event: &str, within_days: Option<u32>) -> Measure {
    let window = within_days.map_or(Window::Ever, |days| Window::last(Span::of_days(days)));
    let events = EventSelector { event: event.to_owned(), condition: None };
    Measure { events, figure: Figure::Count, window }
}

const EXAMPLE: &str = "-- title: Loyal customers in France who went quiet
-- purpose: marketing
-- A comment for people, see https://example.com

country = 'FR' and lifetime_value >= 500
and event_count('Order Completed', within => interval '90 days') >= 2
-- not seen lately
and not did('Page Viewed', within => interval '14 days')
and not in_segment('employees');
";

#[test]
fn parses_the_example() {
    let segment = parse(EXAMPLE).expect("valid");
    assert_eq!(segment.title.as_deref(), Some("Loyal customers in France who went quiet"));
    assert_eq!(segment.purpose.as_deref(), Some("marketing"));
    assert_eq!(segment.description, None);
    assert!(segment.sql.starts_with("country = 'FR'") && segment.sql.ends_with("in_segment('employees')"));
    let expected = Expr::And(vec![
        binary(BinaryOp::Equal, column("country"), Expr::Literal(text("FR"))),
        binary(BinaryOp::GreaterOrEqual, column("lifetime_value"), Expr::Literal(Literal::Integer(500))),
        binary(
            BinaryOp::GreaterOrEqual,
            Expr::Measure(measure("Order Completed", Some(90))),
            Expr::Literal(Literal::Integer(2)),
        ),
        Expr::Not(Box::new(Expr::Did(measure("Page Viewed", Some(14))))),
        Expr::Not(Box::new(Expr::InSegment("employees".to_owned()))),
    ]);
    assert_eq!(segment.expression, expected);
    assert_eq!(measures_used(&expected), [measure("Order Completed", Some(90)), measure("Page Viewed", Some(14))]);
    assert_eq!(segments_used(&expected), ["employees"]);
}

#[test]
fn accepts_the_whole_language() {
    for accepted in [
        "is_customer",
        "not is_customer or (is_customer and age > 3)",
        "is_customer is true or is_customer is not false",
        "country is null or age is not null",
        "country in ('FR', 'DE') and age not in (1, -2, 3.5)",
        "age between 18 and 30 and lifetime_value not between 1.5 and 10",
        "birthday between '1980-01-01' and date '1990-12-31'",
        "country like 'F%' or country not ilike '%r\\_'",
        "lower(country) = 'fr' and upper(country) <> 'DE' and length(country) = 2",
        "starts_with(country, 'F') and abs(-age) != +5 and round(lifetime_value, 2) = 1.25",
        "coalesce(country, 'XX') = 'XX' and coalesce(age, 0.5, 3) > 0.4",
        "date_trunc('Month', last_seen_at) = date_trunc('month', now())",
        "last_seen_at >= now() - interval '2 weeks' and birthday < current_date - interval '1 week 3 days'",
        "birthday + interval '90' day > '2026-01-01' and birthday < '2026-01-01 12:00'",
        "last_seen_at >= '2026-01-31T12:00:00+01:00' and last_seen_at < timestamp '2026-01-31 12:00:00'",
        "age + 1 > 2 * age - 3 and lifetime_value / 2 >= 1",
        "cast(country as integer) > 5 and cast(age as text) like '1%' and country::date > '2026-01-01'",
        "did('Page Viewed') = true and did('x') <> did('y')",
        "event_count('a', WITHIN => INTERVAL '1 day') < event_count('b')",
        "COUNTRY = 'FR' and firstname = 'Ada' and \"firstName\" <> 'Bob'",
        "/* a comment */ country = 'it''s'",
    ] {
        expression(accepted);
    }
}

#[test]
fn reads_constants_by_what_they_stand_beside() {
    let day = chrono::NaiveDate::from_ymd_opt(2026, 1, 31).expect("a day");
    let noon = day.and_hms_opt(12, 0, 0).expect("noon").and_utc();
    let literal = |text: &str| match expression(text) {
        Expr::Binary { right, .. } => *right,
        other => other,
    };
    assert_eq!(literal("birthday = '2026-01-31'"), Expr::Literal(Literal::Date(day)));
    assert_eq!(literal("birthday < '2026-01-31 12:00'"), Expr::Literal(Literal::Timestamp(noon)));
    assert_eq!(literal("last_seen_at < '2026-01-31T13:00:00+01:00'"), Expr::Literal(Literal::Timestamp(noon)));
    assert_eq!(literal("country = '2026-01-31'"), Expr::Literal(text("2026-01-31")));
    assert_eq!(literal("age = -5"), Expr::Literal(Literal::Integer(-5)));
    assert_eq!(literal("age = -9999999999999999999"), Expr::Literal(Literal::Decimal("-9999999999999999999".into())));
    assert_eq!(literal("lifetime_value = 0.10"), Expr::Literal(Literal::Decimal("0.10".into())));
    for (number, digits) in [
        ("5.", "5.0"),
        ("-5.", "-5.0"),
        ("5.e0", "5"),
        (".5", ".5"),
        ("99999999999999999999999999999999999999.", "99999999999999999999999999999999999999"),
    ] {
        let expected = digits.parse().map_or(Literal::Decimal(digits.into()), Literal::Integer);
        assert_eq!(literal(&format!("lifetime_value = {number}")), Expr::Literal(expected), "{number}");
    }
    let moved = binary(
        BinaryOp::Subtract,
        Expr::Function { function: ScalarFunction::Now, arguments: Vec::new() },
        Expr::Literal(Literal::Interval(Span::of_days(10))),
    );
    assert_eq!(literal("last_seen_at < now() - interval '1 week 3 days'"), moved);
}

#[test]
fn refuses_types_that_do_not_fit() {
    check_refused(
        "country = 5",
        "1:11",
        "`country` is text, but `5` is a number; write '5' in quotes, or `cast(country as decimal)`",
    );
    check_refused("lifetime_value >= '500'", "1:19", "write 500 without quotes");
    check_refused(
        "event_count('x')",
        "1:1",
        "`event_count('x')` is a number, not a condition; compare it, such as `>= 1`",
    );
    check_refused(
        "is_customer and\n  country",
        "2:3",
        "`country` is text, not a condition; compare it, such as `country = '...'`",
    );
    check_refused("not age", "1:5", "not a condition");
    check_refused("did('x') >= 1", "1:13", "use `event_count(...)`");
    check_refused("is_customer > false", "1:1", "have no order");
    check_refused("country + 1 > 2", "1:1", "`country` is text, but a number is needed here");
    check_refused("lower(age) = 'x'", "1:7", "text is needed here");
    check_refused("age like '1%'", "1:1", "text is needed here");
    check_refused("country like country", "1:14", "a pattern must be a text constant");
    check_refused("country in ('FR', 5)", "1:19", "`country` is text, but `5` is a number");
    check_refused("age between 1 and 'x'", "1:19", "is a number, but `'x'` is text");
    check_refused("coalesce(country, 1) = 'x'", "1:19", "`country` is text");
    check_refused("coalesce('x', country) = 'x'", "1:10", "begin `coalesce` with a column");
    check_refused("birthday = 'soon'", "1:12", "'soon' is not a date; write one such as '2026-01-31'");
    check_refused("last_seen_at > '2026-13-01'", "1:16", "is not a time");
    check_refused("date '2026-02-30' < birthday", "1:6", "is not a date");
    check_refused("last_seen_at - birthday > 3", "1:1", "times cannot be subtracted");
    check_refused("birthday + current_date > birthday", "1:1", "times cannot be added");
    check_refused(
        "birthday + 5 > birthday",
        "1:12",
        "`5` is a number, which cannot be added to a date; write an interval, such as `interval '30 days'`",
    );
    check_refused("last_seen_at - (age) > now()", "1:17", "`age` is a number, which cannot be subtracted from a time");
    check_refused("age + interval '3 days' > 5", "1:1", "only a date or a time can be moved by an interval");
    check_refused("interval '3 days' is null", "1:10", "never null");
    check_refused("last_seen_at > interval '3 days'", "1:25", "`INTERVAL '3 days'` is an interval, not a value");
    check_refused(
        "interval '3 days' > interval '1 day'",
        "1:10",
        "`INTERVAL '3 days'` is an interval, not a value; move a time by it, such as `last_seen_at < now() - interval",
    );
    check_refused("interval '3 days' in (interval '1 day')", "1:10", "is an interval, not a value");
    check_refused("cast(is_customer as date) > '2026-01-01'", "1:6", "cannot become a date");
    check_refused("cast(country as json) = 'x'", "1:6", "cast to `JSON` is not available");
    check_refused("country = null", "1:11", "write `is null`");
    check_refused("country not in ('FR', null)", "1:23", "write `is null`");
    check_refused("age > 1e400", "1:7", "is not a number of at most 38 digits");
    check_refused("date_trunc('hour', last_seen_at) = now()", "1:12", "is not a unit");
    check_refused("round(lifetime_value, age) = 1", "1:23", "decimal places");
}

#[test]
fn refuses_unknown_names_with_the_nearest() {
    check_refused("contry = 'FR'", "1:1", "there is no column `contry` in `profile.profiles`; did you mean `country`?");
    check_refused("shoe_size = 5", "1:1", "known: `country`, ");
    check_refused("country = \"FR\"", "1:11", "if it is text, write it in single quotes: 'FR'");
    check_refused(
        "event_cuont('x') > 1",
        "1:1",
        "function `event_cuont` is not available in segments; did you mean `event_count`?",
    );
    check_refused("json_get(country, 'x')", "1:1", "known: `event_count`, `did`");
    check_refused(
        "did('x', withn => interval '3 days')",
        "1:28",
        "there is no argument `withn`; did you mean `within`?",
    );
}

#[test]
fn refuses_wrong_calls() {
    check_refused("did()", "1:1", "`did` names no event; write `did('Event Name')`");
    check_refused("did(country)", "1:5", "the event's name must be text in single quotes, not `country`");
    check_refused("did(' ')", "1:5", "is blank");
    check_refused(
        "did('x', interval '3 days')",
        "1:19",
        "takes one event; write `did('Event Name')` or `did('Event Name', within => interval",
    );
    check_refused("did('x', within => 3)", "1:20", "`within` must be an interval, not `3`");
    check_refused("did('x', within := interval '3 days')", "1:10", "takes one event");
    check_refused("did('x', within => interval '3 days', within => interval '3 days')", "1:58", "given twice");
    check_refused("in_segment(country)", "1:12", "the segment's name must be text in single quotes");
    check_refused("in_segment('loyal')", "1:1", "refers to itself");
    check_refused("in_segment('a', 'b')", "1:1", "takes one name");
    check_refused("did('x', within => interval '3 days', since => date '2026-01-01')", "1:53", "are two windows");
    check_refused("did('x', since => last_seen_at)", "1:19", "`since` must be a day such as");
    check_refused("did('x', between => date '2026-01-01')", "1:26", "write two days");
    check_refused("did('x', between => (date '2026-02-01', date '2026-01-31'))", "1:46", "is before 2026-02-01");
    check_refused("in_segment('a', within => interval '3 days')", "1:36", "has no `within`");
    check_refused("lower(country, country) = 'x'", "1:1", "wrong arguments; write `lower(text)`");
    check_refused("event_count(*) > 1", "1:1", "argument `*`");
    check_refused("event_count(distinct 'x') > 1", "1:1", "without `over` or `distinct`");
    check_refused("event_count('x') over () > 1", "1:1", "without `over` or `distinct`");
    check_refused("now(3) > last_seen_at", "1:1", "takes no argument");
}

#[test]
fn refuses_windows_that_are_not_whole_days() {
    check_refused("birthday > current_date - interval '201 years'", "1:36", "more than nothing, and at most 200 years");
    for (interval, words) in [
        ("12 hours", "`hours` is finer than a day, and behaviour is counted by day"),
        ("0 weeks", "must be more than nothing, and at most 100 years"),
        ("0 hours", "`hours` is finer than a day"),
        ("999999 weeks", "must be more than nothing, and at most 100 years"),
        ("4294967297 months", "must be more than nothing, and at most 100 years"),
        ("1200 months 1 day", "must be more than nothing, and at most 100 years"),
        ("-3 days", "must be a whole number above zero"),
        ("1.5 days", "must be a whole number above zero"),
        ("soon", "is not an interval"),
        ("3 moons", "is not a unit of time"),
    ] {
        check_refused(&format!("did('x', within => interval '{interval}')"), "1:29", words);
    }
    check_refused(
        "birthday > current_date - interval '2 hours'",
        "1:36",
        "`current_date` is a date, which has no hours",
    );
    check_refused("did('x', within => interval age day)", "1:29", "write an interval as");
}

#[test]
fn refuses_what_is_not_a_condition_over_one_profile() {
    check_refused("select 1", "1:1", "write it without `select`");
    check_refused("where country = 'FR'", "1:1", "write it without `where`");
    check_refused("country = 'FR'; drop table x", "1:17", "follows a complete condition");
    check_refused("country = 'FR' country = 'DE'", "1:16", "join conditions with `and` or `or`");
    check_refused(
        "and country = 'FR'",
        "1:1",
        "there is nothing before `and`; write a condition there, or remove `and`",
    );
    check_refused("country = 'FR' and\n (OR age > 3)", "2:3", "there is nothing before `or`");
    check_refused("country = 'FR' and and age > 3", "1:20", "there is nothing before `and`");
    check_refused("did('x') filter (where and revenue > 3)", "1:24", "there is nothing before `and`");
    check_refused("not", "1:1", "there is no condition after `not`; write one, or remove `not`");
    check_refused("is_customer and NOT", "1:17", "there is no condition after `not`");
    check_refused("country in (select 'FR')", "1:1", "use another segment with `in_segment('name')`");
    check_refused("exists (select 1)", "1:9", "use another segment");
    check_refused("profiles.country = 'FR'", "1:1", "write the column's name alone");
    check_refused("country is distinct from 'FR' and is_customer", "1:1", "write brackets around");
    check_refused("age is not distinct from age = 3", "1:1", "write brackets around");
    check_refused("country @> '^F'", "1:1", "operator `@>` is not available");
    check_refused("country similar to 'F%'", "1:1", "use `like`, or `~` with a regular expression");
    check_refused("country like 'F!%' escape '!!'", "1:14", "`escape '!!'` is longer than one character");
    check_refused("country like 'F!' escape '!'", "1:14", "the pattern ends with its `escape` character");
    check_refused("(country, age) = ('FR', 5)", "1:2", "compare columns one by one");
    check_refused("country = $1", "1:11", "is not available");
    check_refused("country =", "1:10", "expected: an expression");
    check_refused(
        "country = 'FR",
        "1:11",
        "the quote that begins `'FR` is not closed; write `'` at its end, and twice for one inside of it",
    );
    check_refused("age > 3 and\n did('Women's Day')", "2:18", "the quote that begins `')` is not closed");
    check_refused(
        "\"firstName = 'Ada'",
        "1:1",
        "the quote that begins `\"firstName = 'Ada'` is not closed; write `\"`",
    );
    check_refused("did(Page Viewed)", "1:5", "the name of an event stands in single quotes: 'Page Viewed'");
    check_refused(
        "event_sum( Order Was Completed, revenue) > 1",
        "1:12",
        "the name of an event stands in single quotes: 'Order Was Completed'",
    );
    check_refused("did('A', within 30 days)", "1:10", "`=>` follows `within`: write `within => interval '30 days'`");
    check_refused("did('A', WITHIN interval '3 days')", "1:10", "`=>` follows `within`");
    check_refused("is_customer and (age > 3", "1:25", "expected: )");
    check_refused("event_count('A', within => 20 days) > 1", "1:31", "a span of time is written `interval '90 days'`");
    check_refused("age > 18 years", "1:10", "a span of time is written `interval '90 days'`");
    check_refused("event_count('A' where revenue > 1) > 1", "1:17", "`event_count('A') filter (where ...)`");
    check_refused("country in ['FR']", "1:12", "a list stands in round brackets: `in ('FR', 'DE')`");
    check_refused("time '12:00' = last_seen_at", "1:6", "only `date '...'`");
}

#[test]
fn refuses_wrong_headers() {
    check_refused("-- titel: x\nis_customer", "1:1", "unknown header `titel`; did you mean `title`?");
    check_refused("\n-- owner: x\nis_customer", "2:1", "unknown header `owner`; known: `title`");
    check_refused("-- title: x\n-- title: y\nis_customer", "2:1", "given twice");
    check_refused("-- purpose:\nis_customer", "1:1", "header `purpose` is empty");
    check_refused("-- title: nothing else", "1:1", "the segment has no expression");
    check_refused("", "1:1", "the segment has no expression");
    check_refused("-- title: x\nis_custmer", "2:1", "did you mean `is_customer`?");
    let message =
        parse_segment(&crate::expression::testing::source("Loyal", "segments/Loyal.sql", "is_customer"), &columns())
            .expect_err("name")
            .to_string();
    assert!(message.starts_with("segments/Loyal.sql: segment name `Loyal` may hold only"), "{message}");
    let windows = parse("\u{feff}-- title: x\r\n\r\nis_customer\r\n").expect("valid");
    assert_eq!((windows.title.as_deref(), windows.sql.as_str()), (Some("x"), "is_customer"));
}

#[test]
fn bounds_size_and_depth_without_using_up_the_stack() {
    let values: Vec<String> = (0..10_000).map(|value| format!("'{value}'")).collect();
    expression(&format!("country in ({})", values.join(", ")));
    expression(&vec!["age = 1"; 300].join(" and "));
    expression(&format!("{} > 1", vec!["age"; 50].join(" + ")));
    check_refused(&vec!["age = 1"; 400].join(" or "), "1:3668", "more than 1000 words and operators");
    check_refused(&format!("({}) = 5", vec!["age = 1"; 300].join(" and ")), "1:3601", "is true or false");
    check_refused(&format!("{} > 1", vec!["1"; 900].join(" + ")), "1:403", "nested too deeply");
    check_refused(&format!("{}is_customer{}", "(".repeat(60), ")".repeat(60)), "1:1", "nested too deeply");
    check_refused(&format!("{}is_customer{}", "(".repeat(200), ")".repeat(200)), "1:101", "nested too deeply");
    check_refused(&"not ".repeat(200), "1:401", "nested too deeply");
    check_refused(&format!("is_customer{}", " is true".repeat(200)), "1:408", "nested too deeply");
    check_refused(&" ".repeat(FILE_BYTES_MAX + 1), "1:1", "larger than 256 KiB");
    expression(&format!("case {} end = 2", "when age = 1 then 2 ".repeat(200)));
    check_refused(&format!("{}age", "case when age = 1 then ".repeat(150)), "1:2269", "nested too deeply");
    check_refused(&format!("end = {}", "not ".repeat(200)), "1:399", "nested too deeply");
    let chain = vec!["did('x')"; 150].join(" and ");
    assert_eq!(crate::expression::measures_in(&chain, "f").expect("valid").len(), 1);
    assert_eq!(crate::expression::measures_in(&vec!["age = 1"; 333].join(" and "), "f").expect("valid"), []);
}

#[test]
fn reports_all_problems_at_once() {
    let file =
        |(name, text): (&str, &str)| crate::expression::testing::source(name, format!("segments/{name}.sql"), text);
    let files = [
        ("c1", "is_customer and in_segment('c2')"),
        ("c2", "-- title: x\nin_segment('c1')"),
        ("c3", "did('Buy') and\n in_segment('zz') and consented('q')\nand in_list('l') and consented('email')"),
        ("c4", "in_segment('c5') or top(5, age) filter (where IN_LIST ('vips'))"),
        ("c5", "contry = 'FR' and in_segment('yy')"),
    ]
    .map(file);
    let set = |name: &str| Some(BTreeSet::from([name.to_owned()]));
    let known = KnownNames { segments: None, lists: set("vip"), purposes: set("email") };
    let lines = |read: Result<Vec<SegmentDefinition>>| -> Vec<String> {
        read.expect_err("wrong").to_string().lines().map(str::to_owned).collect()
    };
    let unknown = [
        "segments/c3.sql:2:2: there is no segment `zz`; known: `c1`, `c2`, `c4`, `c5`",
        "segments/c3.sql:2:23: there is no purpose of consent `q`; known: `email`",
        "segments/c3.sql:3:5: there is no list `l`; known: `vip`",
        "segments/c4.sql:1:47: there is no list `vips`; did you mean `vip`?",
    ];
    let others = [
        "segments/c5.sql:1:1: there is no column `contry` in `profile.profiles`; did you mean `country`?",
        "segments/c1.sql:1:17: segments refer to each other in a circle: `c1` -> `c2` -> `c1`; remove one reference",
    ];
    assert_eq!(lines(read_segments(&files, &columns()).checked(known)), [unknown.as_slice(), &others].concat());
    // Here it is not known which lists and purposes there are.
    assert_eq!(lines(parse_segments(&files, &columns())), [&unknown[..1], &others].concat());
}

#[test]
fn windows_are_days() {
    let day = |text: &str| text.parse().expect("a day");
    let cases = [
        ("did('x', since => date '2026-01-31')", Window::Since(day("2026-01-31"))),
        (
            "did('x', between => (date '2024-02-29', date '2024-02-29'))",
            Window::Between(day("2024-02-29"), day("2024-02-29")),
        ),
        ("did('x', within => interval '2 weeks')", Window::last(Span::of_days(14))),
        ("did('x', within => interval '0 days')", Window::last(Span::default())),
        ("did('x', within => interval '0' DAY)", Window::last(Span::default())),
        ("did('x')", Window::Ever),
    ];
    for (text, window) in cases {
        let used = measures_used(&expression(text));
        assert_eq!(used, [Measure { window, ..measure("x", None) }], "{text}");
    }
    let times = measures_used(&expression("last_event_at('x') > first_event_at('x') or first_event_at('x') < now()"));
    assert_eq!(times.iter().map(|time| time.figure.clone()).collect::<Vec<_>>(), [Figure::FirstTime, Figure::LastTime]);
}
