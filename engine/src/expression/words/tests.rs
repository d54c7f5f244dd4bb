//! Expressions as people who do not read the language read them.

use super::*;
use crate::expression::testing::{expression, segment};

#[track_caller]
fn check(text: &str, words: &str) {
    assert_eq!(in_words(&expression(text)), words, "{text}");
}

#[test]
fn says_a_whole_segment() {
    let text = "country = 'FR'
        and event_count('Order Completed', within => interval '90 days') filter (where currency = 'EUR') >= 2
        and not in_segment('employees')";
    let words = "country is 'FR', and did 'Order Completed' at least 2 times in the last 90 days (where currency is \
        'EUR'), and not in segment 'employees'";
    assert_eq!(in_words(&segment(text)), words);
}

#[test]
fn says_conditions() {
    for (text, words) in [
        ("is_customer or age > 3 and not is_customer", "is_customer, or (age is more than 3, and not is_customer)"),
        ("not (age <= 3 or age <> 5)", "not (age is at most 3, or age is not 5)"),
        ("not consented('ads') and consented('email')", "did not consent to 'ads', and consented to 'email'"),
        ("country in ('FR', 'DE')", "country is one of ('FR', 'DE')"),
        ("age not in (1, -2)", "age is none of (1, -2)"),
        ("lifetime_value > 5.", "lifetime_value is more than 5.0"),
        ("age not between 1 and 5 + 1", "age is not from 1 to (5 + 1)"),
        ("country is null or age is not null", "country is unknown, or age is known"),
        ("is_customer is not true", "(is_customer) is not true"),
        ("country like 'F%'", "country starts with 'F'"),
        ("country not like '%F'", "country does not end with 'F'"),
        ("country ilike '%fr%'", "country contains 'fr', in upper or lower case"),
        (
            "concat_ws(' ', country, upper(country)) = 'x'",
            "(country and (country in upper case) with ' ' between them) is 'x'",
        ),
        (
            "extract(hour from last_seen_at at time zone 'Europe/Paris') >= 18",
            "the hour of (last_seen_at by the clocks of 'Europe/Paris') is at least 18",
        ),
        ("country like 'F_'", "country looks like 'F_'"),
        ("birthday >= '1980-01-01'", "birthday is at or after 1980-01-01"),
        ("last_seen_at < now() - interval '14 days'", "last_seen_at is before (14 days before now)"),
        ("current_date + interval '1 day' > birthday", "(1 day after today) is after birthday"),
        ("days_since(birthday) < 7", "the days since birthday is less than 7"),
        ("current_date - birthday < 7", "the days since birthday is less than 7"),
        ("contains(tags, 'vip')", "tags has the entry 'vip'"),
        ("split('summer') < 0.5", "(the place in the split 'summer') is less than 0.5"),
        ("starts_with(country, 'F')", "country starts with 'F'"),
        ("(age > 3) = is_customer", "(age is more than 3) is is_customer"),
    ] {
        check(text, words);
    }
}

#[test]
fn says_values() {
    for (text, words) in [
        ("-age * 2 + (age - 1)", "((minus age) * 2) + (age - 1)"),
        ("country || 'x'", "country followed by 'x'"),
        ("cast(age as text)", "age as text"),
        ("lower(trim(country))", "(country without blanks around it) in lower case"),
        ("upper(country)", "country in upper case"),
        ("length(country) + length(tags)", "(the length of country) + (the number of entries of tags)"),
        ("round(lifetime_value, 2)", "lifetime_value rounded to 2 decimal places"),
        ("floor(lifetime_value) + ceil(lifetime_value)", "(lifetime_value rounded down) + (lifetime_value rounded up)"),
        ("round(abs(age))", "(age without its sign) rounded"),
        ("sqrt(floor(lifetime_value))", "the square root of (lifetime_value rounded down)"),
        ("floor(sqrt(lifetime_value))", "(the square root of lifetime_value) rounded down"),
        ("left(country, 2) || 'x'", "(the start of country, 2 long) followed by 'x'"),
        ("age % 2", "the remainder of age divided by 2"),
        ("country ~ '^a'", "country matches '^a'"),
        ("country is distinct from 'FR'", "country is other than 'FR', where unknown counts as a value"),
        ("country !~* '^a'", "country does not match '^a', in upper or lower case"),
        ("last_seen_at - interval '13 months 1 day'", "13 months and 1 day before last_seen_at"),
        ("coalesce(country, 'XX')", "country, or if unknown 'XX'"),
        ("nullif(country, '')", "country unless it is ''"),
        ("concat(country, ' ', country)", "country followed by ' ' followed by country"),
        ("greatest(age, 1) - least(age, 2)", "(the greatest of (age, 1)) - (the least of (age, 2))"),
        ("date_trunc('month', birthday)", "the start of the month of birthday"),
        ("date_part('dow', birthday)", "the day of the week (Sunday is 0) of birthday"),
        (
            "case when age > 3 then 'a' when is_customer then 'b' else 'c' end",
            "'a' if age is more than 3; 'b' if is_customer; otherwise 'c'",
        ),
        ("case when age > 3 then null else age end", "unknown if age is more than 3; otherwise age"),
        ("score(age, 5)", "the score of age from 1 (the lowest) to 5"),
        ("score(event_count('a'), 3, 'descending')", "the score of (the number of 'a') from 1 (the highest) to 3"),
        ("timestamp '2026-01-31 12:00:00'", "2026-01-31 12:00:00 UTC"),
    ] {
        check(text, words);
    }
}

#[test]
fn says_what_profiles_do() {
    for (text, words) in [
        ("did('x', within => interval '1 day')", "did 'x' in the last 1 day"),
        ("not did('x', since => date '2026-01-31')", "did not do 'x' since 2026-01-31"),
        ("event_count('x') = 1", "did 'x' exactly 1 time"),
        ("did('x', within => interval '1 year')", "did 'x' in the last 1 year"),
        ("did('x', within => interval '14 days', ago => interval '0 days')", "did 'x' in the 14 days before today"),
        ("did('x', within => interval '0 days')", "did 'x' today"),
        ("event_count('x', within => interval '0 days') >= 2", "did 'x' at least 2 times today"),
        ("did_first_time('x', within => interval '0 days')", "the first time of 'x' is at or after today"),
        (
            "did('x', within => interval '2 weeks', ago => interval '1 month 3 days')",
            "did 'x' in the 14 days before the last 1 month and 3 days",
        ),
        ("event_days('x', within => interval '7 days') > 3", "did 'x' on more than 3 days in the last 7 days"),
        (
            "event_count('x', within => interval '30 days') > event_count('x', within => interval '30 days', ago => interval '30 days')",
            "the number of 'x' in the last 30 days is more than the number of 'x' in the 30 days before the last 30 days",
        ),
        (
            "event_count('x', between => (date '2026-01-01', date '2026-01-31'))",
            "the number of 'x' from 2026-01-01 to 2026-01-31",
        ),
        ("first_event_at('x') < '2026-01-01'", "the first time of 'x' is before 2026-01-01 00:00:00 UTC"),
        ("last_event_at('x')", "the last time of 'x'"),
        ("event_sum('x', revenue) / 2", "(the sum of revenue of 'x') / 2"),
        ("event_avg('x', 'a.b')", "the average a.b of 'x'"),
        ("event_min('x', revenue)", "the least revenue of 'x'"),
        ("event_max('x', revenue)", "the greatest revenue of 'x'"),
        ("event_percentile('x', revenue, 0.5)", "the median of revenue of 'x'"),
        ("event_percentile('x', revenue, 0.21)", "the 21st percentile of revenue of 'x'"),
        ("event_percentile('x', revenue, 0.12)", "the 12th percentile of revenue of 'x'"),
        ("event_percentile('x', revenue, 0.999)", "the 99.9th percentile of revenue of 'x'"),
        ("event_first('x', page_path)", "the first page_path of 'x'"),
        ("event_last('x', 'coupon')", "the last coupon of 'x'"),
        ("event_most_frequent('x', 'coupon')", "the most frequent coupon of 'x'"),
        ("event_distinct('x', 'coupon')", "the number of different values of coupon of 'x'"),
        ("event_values('x', 'coupon')", "the different values of coupon of 'x'"),
        // A property is told from the column of its name.
        ("event_sum('x', property('revenue'))", "the sum of the property revenue of 'x'"),
        ("event_sum('x', 'revenue')", "the sum of revenue of 'x'"),
        ("event_min('x', property('revenue'))", "the least property revenue of 'x'"),
        ("event_last('x', 'revenue.net')", "the last revenue.net of 'x'"),
        (
            "did('x') filter (where property('currency') = currency)",
            "did 'x' (where the property currency is currency)",
        ),
        ("did_weekly('x', times => 3, weeks => 4)", "did 'x' at least 3 times in each of the last 4 weeks"),
        (
            "did_first_time('x', within => interval '30 days')",
            "the first time of 'x' is at or after (30 days before today)",
        ),
        (
            "did_first_time('x', between => (date '2026-01-01', date '2026-01-31'))",
            "(the first time of 'x' is at or after 2026-01-01, and the first time of 'x' is before 2026-02-01)",
        ),
        (
            "did_sequence('A' then not 'C' then not 'D' then event('B') filter (where property('q') >= 2), within => interval '90 days', span => interval '1 day')",
            "did 'A' then 'B' (where q is at least 2) (without 'C' or 'D' in between) in the last 90 days with at most 1 day from first to last",
        ),
    ] {
        check(text, words);
    }
}

#[test]
fn says_what_is_of_segments_only() {
    for (text, words) in [
        ("not in_list('vip')", "not on the list 'vip'"),
        ("top(10, age)", "one of the 10 with the highest age"),
        (
            "top(5, event_count('x')) filter (where country = 'FR' or age > 3)",
            "one of the 5 with the highest (the number of 'x') among those for whom (country is 'FR', or age is more than 3)",
        ),
    ] {
        assert_eq!(in_words(&segment(text)), words, "{text}");
    }
}
