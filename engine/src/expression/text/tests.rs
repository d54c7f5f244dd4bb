//! What is written is read as the same expression.

use datafusion::sql::sqlparser::keywords::ALL_KEYWORDS;

use super::*;
use crate::expression::behavior::EventCondition;
use crate::expression::parse::parse_segment;
use crate::expression::testing::{columns, expression, segment};
use crate::expression::{ColumnType, measures_used};

#[track_caller]
fn check(text: &str, canonical: &str) {
    let read = expression(text);
    assert_eq!(text_of(&read), canonical, "{text}");
    assert_eq!(expression(canonical), read, "{text}\n--> {canonical}");
}

#[track_caller]
fn keeps(text: &str) {
    check(text, text);
}

#[test]
fn writes_every_construct() {
    for text in [
        "country",
        "\"firstName\"",
        "5",
        "-5",
        "0.10",
        "-(-age)",
        "-age * 2 - -3",
        "age - (age - 1) - 2",
        "age * (age + 1) / lifetime_value",
        "age + age * 2",
        "(age + 1) * 2 > 3 and not age = 5",
        "is_customer or is_customer and age > 3",
        "(is_customer or age < 2) and (is_customer and age <> 3) and not (is_customer or age >= 3)",
        "not not is_customer",
        "(not is_customer) = is_customer",
        "(age > 3) = (age < 5)",
        "(age > 3) is true",
        "is_customer is not false",
        "(is_customer or age > 3) is null",
        "country is not null",
        "country in ('FR', 'it''s')",
        "age not in (1, -2, 3.5)",
        "age in (1, lifetime_value, -age + 2)",
        "country not in (\"firstName\", 'a' || country)",
        "age between 1 and 5 + age",
        "birthday not between date '1980-01-01' and date '1990-12-31'",
        "country like 'F\\_%'",
        "country not ilike '%fr%'",
        "cast(country as integer)",
        "cast(age as text) || 'x' || country",
        "'x' || (country || 'y') = 'z'",
        "case when age > 3 then 'a' when is_customer then country else 'b' end",
        "case when age > 3 then null when age > 2 then null when is_customer then country end",
        "case when age > 3 and is_customer then 1 end + 1",
        "days_since(birthday) > 3",
        "contains(tags, 'vip')",
        "length(tags) + length(country)",
        "lower(upper(trim(country)))",
        "concat(country, ' ', \"firstName\")",
        "starts_with(country, 'F')",
        "abs(age) + round(lifetime_value, 2) + round(lifetime_value) + floor(lifetime_value) + ceil(lifetime_value)",
        "coalesce(nullif(country, ''), 'XX')",
        "left(country, 1) || substr(country, 2, 3) = split_part(country, '-', 2)",
        "replace(initcap(country), 'a', 'b') || 'x' ~ '^[ab]' and country !~* 'c$'",
        "(country ~ 'a') = (country !~ 'b')",
        "country is distinct from 'FR'",
        "(age + 1 is not distinct from age * 2) and not (country is distinct from 'a' || 'b') or (age is distinct from 3)",
        "-age % 3 * 2 - age % (age + 1) = 0",
        "sqrt(age) + power(age, 2) > ln(lifetime_value)",
        "birthday < current_date - interval '15 months 2 days' + interval '1 year'",
        "last_seen_at > now() - interval '1 day 2 hours' - interval '90 minutes'",
        "greatest(age, 1) > least(lifetime_value, 2)",
        "date_trunc('month', last_seen_at) < now()",
        "date_part('dow', birthday) = 0",
        "birthday < current_date - interval '1 day'",
        "last_seen_at + interval '10 days' - interval '1 day' >= timestamp '2026-01-31T12:00:00.123456Z'",
        "last_seen_at > timestamp '2026-01-31T12:00:00Z'",
        "consented('marketing')",
        "split('summer') < 0.5",
        "score(lifetime_value, 5)",
        "score(event_count('a'), 3, 'descending')",
    ] {
        keeps(text);
    }
    for text in [
        "in_segment('it''s')",
        "in_list('vip') and not in_list('it''s')",
        "top(100, lifetime_value)",
        "top(10, event_count('a', within => interval '30 days')) filter (where country = 'FR' or in_list('vip'))",
    ] {
        assert_eq!(text_of(&segment(text)), text);
    }
}

#[test]
fn writes_figures_and_sequences() {
    for text in [
        "event_count('Order Completed')",
        "event_count('Order Completed', within => interval '90 days')",
        "event_days('x', within => interval '1 day', ago => interval '30 days')",
        "event_days('x', within => interval '14 days', ago => interval '0 days')",
        "event_days('x', within => interval '0 days')",
        "event_count('x', within => interval '3 months', ago => interval '1 year 2 days')",
        "did('x', since => date '2026-01-31')",
        "first_event_at('x', between => (date '2026-01-01', date '2026-01-31'))",
        "last_event_at('x') filter (where revenue > 5 and property('shipping.city') = 'Paris')",
        "event_sum('x', revenue) + event_avg('x', 'quantity') + event_min('x', revenue) + event_max('x', 'a.b')",
        "event_min('x', occurred_at) = event_max('x', occurred_at)",
        "event_percentile('x', revenue, 0.5) + event_percentile('x', 'q', 1) + event_percentile('x', 'q', 0.125)",
        "event_first('x', page_path) = event_last('x', 'it''s') or event_most_frequent('x', currency) = 'EUR'",
        "event_distinct('x', utm_source)",
        "event_values('x', 'coupon', within => interval '7 days') filter (where currency = 'EUR')",
        "did_weekly('x', times => 3, weeks => 4) filter (where source = 'shop')",
        "did_sequence('A' then 'B')",
        "did_sequence('A' then not 'C' then not event('D') filter (where revenue > 5) then 'B', within => interval '90 days', \
         span => interval '1 day')",
        "did_sequence(event('A') filter (where page_section = 'pricing') then 'B', span => interval '90 minutes')",
        "did_sequence('A' then 'B', span => interval '36 hours')",
    ] {
        keeps(text);
    }
}

#[test]
fn different_spellings_have_one_text() {
    check("COUNTRY  =  \n 'FR' -- a comment", "country = 'FR'");
    check("country::text = 'FR'", "cast(country as text) = 'FR'");
    check("extract(YEAR from birthday)", "date_part('year', birthday)");
    check("birthday = '2026-01-31'", "birthday = date '2026-01-31'");
    check("last_seen_at > '2026-01-31'", "last_seen_at > timestamp '2026-01-31T00:00:00Z'");
    check("did('x', within => interval '2' week)", "did('x', within => interval '14 days')");
    check("event_percentile('x', REVENUE, .50)", "event_percentile('x', revenue, 0.5)");
    check("event_sum('x', property('a.b'))", "event_sum('x', 'a.b')");
    check("case country when 'FR' then 1 else null end", "case when country = 'FR' then 1 end");
    check(
        "did_sequence('A' then 'B', span => interval '2880 minutes')",
        "did_sequence('A' then 'B', span => interval '2 days')",
    );
    check("floor(age)", "age");
    check("lifetime_value > 5.", "lifetime_value > 5.0");
    check(
        "did_first_time('x', within => interval '30 days')",
        "(first_event_at('x') >= current_date - interval '30 days') is true",
    );
    check("did_first_time('x', within => interval '0 days')", "(first_event_at('x') >= current_date) is true");
    check(
        "did_first_time('x', within => interval '1 day', ago => interval '0 days')",
        "(first_event_at('x') >= current_date - interval '1 day' and first_event_at('x') < current_date) is true",
    );
}

#[test]
fn equal_conditions_are_one_measure() {
    let text = "event_count('x') filter (where currency = 'EUR' and property('q') >= 2)
        > event_count('x') filter (where  CURRENCY='EUR'  and  PROPERTY('q')>=2 )";
    let measures = measures_used(&segment(text));
    assert_eq!(measures.len(), 1, "{measures:?}");
    let condition = measures[0].events.condition.clone();
    let text = condition.as_ref().map(|EventCondition { text, .. }| text.as_str());
    assert_eq!(text, Some("currency = 'EUR' and property('q') >= 2"));
}

/// Any word may be the name of a column: those that the parser would take for something else get quotes.
#[test]
fn every_word_can_name_a_column() {
    let words = ALL_KEYWORDS.iter().map(|word| word.to_lowercase());
    let words =
        words.chain(["1st", "a b", "a\"b", "Käse", "käse", "", "x-y", "did", "now", "property"].map(str::to_owned));
    let mut failed = Vec::new();
    for word in words {
        let mut columns = columns();
        columns.push((word.clone(), ColumnType::Boolean));
        columns.push(("another".to_owned(), ColumnType::Boolean));
        let name = name(&word);
        for text in [
            name.clone(),
            format!("not {name}"),
            format!("{name} = {name}"),
            format!("{name} and {name} or {name}"),
            format!("{name} is null and {name} is not true"),
            format!("{name} in (true)"),
            format!("({name} or another) and ({name})"),
            format!("case when {name} then {name} when another then {name} else {name} end"),
            format!("cast({name} as text) = 'x' and coalesce({name}, {name}, {name})"),
        ] {
            let read = |text: &str| {
                parse_segment(&crate::expression::testing::source("loyal", "f", text), &columns)
                    .map(|parsed| parsed.expression)
            };
            let is_same = read(&text).is_ok_and(|parsed| read(&text_of(&parsed)).is_ok_and(|again| again == parsed));
            if !is_same {
                failed.push(word.clone());
                break;
            }
        }
    }
    assert_eq!(failed, Vec::<String>::new());
}
