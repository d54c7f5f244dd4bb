//! Figures with their windows and conditions.

use super::*;
use crate::expression::measures_used;
use crate::expression::testing::{expression, refuses_segment, segment};
use crate::expression::text::text_of;

#[track_caller]
fn measure(text: &str) -> Measure {
    match expression(text) {
        Expr::Measure(measure) | Expr::Did(measure) => measure,
        other => panic!("{text} is {other:?}"),
    }
}

fn path(names: &[&str]) -> Property {
    Property::Path(names.iter().map(|name| (*name).to_owned()).collect())
}

#[test]
fn reads_figures() {
    let column = |name: &str| Property::Column(name.to_owned());
    for (text, figure) in [
        ("event_count('x')", Figure::Count),
        ("EVENT_DAYS('x')", Figure::Days),
        ("first_event_at('x')", Figure::FirstTime),
        ("last_event_at('x')", Figure::LastTime),
        ("event_sum('x', Revenue)", Figure::Sum(column("revenue"))),
        ("event_sum('x', 'revenue')", Figure::Sum(column("revenue"))),
        ("event_sum('x', property('revenue'))", Figure::Sum(path(&["revenue"]))),
        ("event_avg('x', 'shipping.cost')", Figure::Average(path(&["shipping", "cost"]))),
        ("event_min('x', property('q'))", Figure::Least(path(&["q"]))),
        ("event_max('x', occurred_at)", Figure::Most(column("occurred_at"))),
        ("event_percentile('x', revenue, 0.125)", Figure::Percentile(column("revenue"), Share { thousandths: 125 })),
        ("event_percentile('x', revenue, .9)", Figure::Percentile(column("revenue"), Share { thousandths: 900 })),
        ("event_percentile('x', revenue, 1.000)", Figure::Percentile(column("revenue"), Share { thousandths: 1000 })),
        ("event_percentile('x', revenue, 0)", Figure::Percentile(column("revenue"), Share { thousandths: 0 })),
        ("event_first('x', revenue)", Figure::FirstValue(column("revenue"))),
        ("event_last('x', 'q')", Figure::LastValue(path(&["q"]))),
        ("event_most_frequent('x', utm_source)", Figure::MostFrequent(column("utm_source"))),
        ("event_distinct('x', 'q')", Figure::DistinctCount(path(&["q"]))),
        ("event_values('x', page_path)", Figure::Values(column("page_path"))),
        ("did_weekly('x', weeks => 4, times => 3)", Figure::EachWeek { weeks: 4, times: 3 }),
    ] {
        assert_eq!(measure(text).figure, figure, "{text}");
    }
    assert_eq!(measure("did_weekly('x', weeks => 4, times => 3)").window, Window::last(Span::of_days(27)));
}

#[test]
fn reads_windows_that_lie_back() {
    let window = |text: &str| measure(text).window;
    assert_eq!(
        window("did('x', within => interval '30 days', ago => interval '1 week')"),
        Window::Within { last: Span::of_days(30), ago: Some(Span::of_days(7)) }
    );
    assert_eq!(
        window("did('x', ago => interval '1 day', within => interval '30 days')"),
        Window::Within { last: Span::of_days(30), ago: Some(Span::of_days(1)) }
    );
    let without_today = window("did('x', within => interval '14 days', ago => interval '0 days')");
    let bounds = without_today.bounds("2026-06-01".parse().unwrap());
    assert_eq!(bounds, ("2026-05-18".parse().ok(), "2026-05-31".parse().ok()));
}

#[test]
fn no_days_before_today_are_today() {
    let today = measure("did('x', within => interval '0 days')").window;
    assert_eq!(today, Window::last(Span::default()));
    // What wrong clocks send is in it, as in every window that ends with the day.
    assert_eq!(today.bounds("2026-06-01".parse().unwrap()), ("2026-06-01".parse().ok(), None));
    let message = "1:29: 0 days are today alone, and `ago` leaves out today; write at least `within => interval '1 day'`, or \
                   remove `ago`";
    refuses_segment("did('x', within => interval '0 days', ago => interval '0 days')", message);
    refuses_segment("did('x', within => interval '0 days', ago => interval '1 week')", message);
}

#[test]
fn conditions_are_over_columns_and_properties_of_events() {
    for (text, condition) in [
        ("currency = 'EUR' and property('q') >= 2", "currency = 'EUR' and property('q') >= 2"),
        ("2 < property('q')", "2 < property('q')"),
        ("property('gift')", "property('gift')"),
        ("not property('gift') and property('gift') is null", "not property('gift') and property('gift') is null"),
        ("property('day') >= date '2026-01-31'", "property('day') >= date '2026-01-31'"),
        ("property('q') in (1, 2.5)", "property('q') in (1, 2.5)"),
        (
            "property('day') in ('2026-01-31', date '2026-02-01')",
            "property('day') in (date '2026-01-31', date '2026-02-01')",
        ),
        ("property('q') between 1 and property('max')", "property('q') between 1 and property('max')"),
        ("property('a') = property('b')", "property('a') = property('b')"),
        ("property('a') + property('b') > revenue", "property('a') + property('b') > revenue"),
        ("date_part('hour', occurred_at) >= 18", "date_part('hour', occurred_at) >= 18"),
        ("extract(year from property('born')) = 2000", "date_part('year', property('born')) = 2000"),
        ("lower(property('coupon')) like 'summer%'", "lower(property('coupon')) like 'summer%'"),
        ("coalesce(property('q'), 0) = 0", "coalesce(property('q'), 0) = 0"),
        (
            "case when property('q') > 2 then property('a') else 1 end > 3",
            "case when property('q') > 2 then property('a') else 1 end > 3",
        ),
        ("cast(property('q') as integer) = 2", "cast(property('q') as integer) = 2"),
        (
            "occurred_at - interval '3 days' < property('ordered_at')",
            "occurred_at - interval '3 days' < property('ordered_at')",
        ),
    ] {
        let text = format!("event_count('x') filter (where {text})");
        let read = measure(&text).events.condition.expect("a condition");
        assert_eq!(read.text, condition);
        assert_eq!(text_of(&read.expression), condition);
    }
}

#[test]
fn properties_take_the_type_of_what_they_stand_beside() {
    let types = |text: &str| {
        let read = measure(&format!("event_count('x') filter (where {text})")).events.condition.expect("a condition");
        let mut types = Vec::new();
        read.expression.for_each(&mut |expr| {
            if let Expr::Property { as_type, .. } = expr {
                types.push(*as_type);
            }
        });
        types
    };
    assert_eq!(types("property('x') = 'a'"), [ColumnType::Text]);
    assert_eq!(types("property('x') is null"), [ColumnType::Text]);
    assert_eq!(types("2 = property('x')"), [ColumnType::Decimal]);
    assert_eq!(types("property('x') = true"), [ColumnType::Boolean]);
    assert_eq!(types("property('x') or property('y') is true"), [ColumnType::Boolean, ColumnType::Boolean]);
    assert_eq!(types("property('x') < date '2026-01-31'"), [ColumnType::Date]);
    assert_eq!(types("property('x') < occurred_at"), [ColumnType::Timestamp]);
    assert_eq!(types("property('x') in (1, 2)"), [ColumnType::Decimal]);
    assert_eq!(types("property('x') in ('1', '2')"), [ColumnType::Text]);
    assert_eq!(types("property('x') between property('y') and 3"), [ColumnType::Decimal, ColumnType::Decimal]);
    assert_eq!(types("abs(property('x')) > 3"), [ColumnType::Decimal]);
    assert_eq!(types("greatest(property('x'), 3, property('y')) > 3"), [ColumnType::Decimal, ColumnType::Decimal]);
}

#[test]
fn refuses_wrong_arguments() {
    for (text, message) in [
        (
            "event_sum('x') > 1",
            "1:1: `event_sum` takes an event and a property; write `event_sum('Order Completed', revenue)` for a column of \
             events, or `event_sum('Order Completed', 'coupon')` for a property",
        ),
        (
            "event_sum('x', 5) > 1",
            "1:16: the property's name must be text in single quotes, not `5`; write `event_sum('Order Completed', \
             revenue)` for a column of events, or `event_sum('Order Completed', 'coupon')` for a property",
        ),
        (
            "event_sum('x', quantity) > 1",
            "1:16: events have no column `quantity`; write 'quantity' in quotes for a property; known: `source`, \
             `touchpoint`, `party`, `event_type`, `page_path`, `page_title`, `page_section`, `referrer`, `utm_source`, \
             `utm_medium`, `utm_campaign`, `currency`, `revenue`, `occurred_at`",
        ),
        (
            "event_sum('x', revenu) > 1",
            "1:16: events have no column `revenu`; write 'revenu' in quotes for a property; did you mean `revenue`?",
        ),
        (
            "event_sum('x', currency) > 1",
            "1:16: column `currency` is text; `event_sum` needs numbers, such as `revenue`",
        ),
        (
            "event_min('x', currency) > 1",
            "1:16: column `currency` is text; `event_min` needs numbers, such as `revenue`",
        ),
        ("contains(event_values('x', revenue), 'a')", "1:28: column `revenue` is decimal; `event_values` needs text"),
        (
            "event_sum('x', 'a..b') > 1",
            "1:16: 'a..b' has a point without a name beside it; write `event_sum('Order Completed', revenue)` for a column \
             of events, or `event_sum('Order Completed', 'coupon')` for a property",
        ),
        (
            "event_percentile('x', revenue) > 1",
            "1:1: `event_percentile` takes an event, a property and a share; write `event_percentile('Order Completed', \
             revenue, 0.5)`",
        ),
        (
            "event_percentile('x', revenue, 50) > 1",
            "1:32: the share must be a number from 0 to 1 with at most three decimal places, such as 0.5, not `50`",
        ),
        (
            "event_percentile('x', revenue, 0.9999) > 1",
            "1:32: the share must be a number from 0 to 1 with at most three decimal places, such as 0.5, not `0.9999`",
        ),
        (
            "event_last('x', 'q') > 1",
            "1:24: `event_last('x', 'q')` is text, but `1` is a number; write '1' in quotes, or `cast(event_last('x', 'q') \
             as decimal)`",
        ),
        (
            "did_weekly('x', times => 3)",
            "1:1: `did_weekly` needs `times` and `weeks`; write `did_weekly('Page Viewed', times => 3, weeks => 4)`",
        ),
        ("did_weekly('x', times => 0, weeks => 4)", "1:26: `times` must be a whole number from 1 to 1000000, not `0`"),
        (
            "did_weekly('x', times => 3, weeks => 4, within => interval '3 days')",
            "1:60: `did_weekly` has no `within`; it has `times`, `weeks`",
        ),
        (
            "did_first_time('x')",
            "1:1: `did_first_time` needs a window; write `did_first_time('Order Completed', within => interval '90 days')`",
        ),
        (
            "did('x', ago => interval '3 days')",
            "1:26: `ago` moves the window of `within` back; write `within => interval '30 days', ago => interval '30 days'`",
        ),
        (
            "did('x', since => date '2026-01-31', ago => interval '3 days')",
            "1:54: `ago` moves the window of `within` back; write `within => interval '30 days', ago => interval '30 days'`",
        ),
        (
            "did('x', within => interval '3 days', ago => 3)",
            "1:46: `ago` must be an interval, not `3`; write `did('Event Name', within => interval '90 days')`",
        ),
        (
            "did('x', within => interval '3 days', ago => interval '0 weeks')",
            "1:55: '0 weeks' must be more than nothing, and at most 100 years",
        ),
        (
            "did('x', span => interval '3 days')",
            "1:27: `did` has no `span`; it has `within`, `ago`, `since`, `between`",
        ),
        ("did('x', since => date '2026-02-30')", "1:24: '2026-02-30' is not a date; write one such as '2026-01-31'"),
        (
            "lower(country) filter (where is_customer) = 'x'",
            "1:30: `lower` has no `filter`; only `top` and functions of events such as `event_count` have",
        ),
    ] {
        refuses_segment(text, message);
    }
}

#[test]
fn refuses_in_conditions_what_is_not_of_one_event() {
    for (condition, message) in [
        ("revenue", "`revenue` is a number, not a condition; compare it, such as `> 0`"),
        (
            "currency = 5",
            "`currency` is text, but `5` is a number; write '5' in quotes, or `cast(currency as decimal)`",
        ),
        (
            "country = 'FR'",
            "there is no column `country` in `behavior.events`; write `property('country')` for a property; columns are \
             known: `source`, `touchpoint`, `party`, `event_type`, `page_path`, `page_title`, `page_section`, `referrer`, \
             `utm_source`, `utm_medium`, `utm_campaign`, `currency`, `revenue`, `occurred_at`",
        ),
        ("curency = 'EUR'", "there is no column `curency` in `behavior.events`; did you mean `currency`?"),
        (
            "did('y')",
            "`did` is not available in a condition over events: it tells of all events of a profile, and this is a \
             condition over one event; move it out of the brackets",
        ),
        (
            "did('y') filter (where revenue > 3)",
            "`did` is not available in a condition over events: it tells of all events of a profile, and this is a \
             condition over one event; move it out of the brackets",
        ),
        (
            "in_segment('vip')",
            "`in_segment` is not available in a condition over events: it tells of a profile, and this is a condition over \
             one event; move it out of the brackets",
        ),
        (
            "now() > occurred_at",
            "`now` is not available in a condition over events: what an event says does not move with time; bound the days \
             with `within => interval '90 days'`",
        ),
        (
            "current_date > occurred_at",
            "`current_date` is not available in a condition over events: what an event says does not move with time; bound \
             the days with `within => interval '90 days'`",
        ),
        (
            "days_since(occurred_at) > 3",
            "`days_since` is not available in a condition over events: what an event says does not move with time; bound \
             the days with `within => interval '90 days'`",
        ),
        (
            "lowr(currency) = 'eur'",
            "function `lowr` is not available in a condition over events; did you mean `lower`?",
        ),
        (
            "property(currency) = 'x'",
            "the property's name must be text in single quotes, not `currency`; write `property('coupon')`, or \
             `property('shipping.city')` for one inside another",
        ),
    ] {
        let column = if condition.starts_with("property") { 41 } else { 32 };
        let column = if condition == "currency = 5" { 43 } else { column };
        refuses_segment(&format!("event_count('x') filter (where {condition}) > 1"), &format!("1:{column}: {message}"));
    }
    refuses_segment(
        "event_count('x') filter (where property('a') in ('x', 1)) > 1",
        "1:55: `'x'` is text, but `1` is a number; compare a column with a constant",
    );
    refuses_segment(
        "property('coupon') = 'x'",
        "1:1: `property` is not available in segments: it belongs into a condition over events: `event_count('Order \
         Completed') filter (where property('coupon') is not null)`",
    );
}

#[test]
fn did_first_time_compares_the_first_time_ever() {
    let used = measures_used(&segment("did_first_time('x', within => interval '30 days') filter (where revenue > 5)"));
    let [first] = used.as_slice() else { panic!("{used:?}") };
    assert_eq!((&first.figure, first.window), (&Figure::FirstTime, Window::Ever));
    assert!(first.events.condition.is_some());
    for (window, written) in [
        (
            "within => interval '1 month', ago => interval '100 years'",
            "(first_event_at('x') >= current_date - interval '1201 months' and first_event_at('x') < current_date - interval '100 years') is true",
        ),
        (
            "within => interval '30 days', ago => interval '7 days'",
            "(first_event_at('x') >= current_date - interval '37 days' and first_event_at('x') < current_date - interval '7 days') is true",
        ),
        ("since => date '2026-01-31'", "(first_event_at('x') >= date '2026-01-31') is true"),
        (
            "between => (date '2026-01-01', date '2026-01-31')",
            "(first_event_at('x') >= date '2026-01-01' and first_event_at('x') < date '2026-02-01') is true",
        ),
    ] {
        assert_eq!(text_of(&segment(&format!("did_first_time('x', {window})"))), written);
    }
}
