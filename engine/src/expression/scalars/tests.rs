//! Functions of single values.

use super::*;
use crate::expression::testing::{expression, refuses_segment, segment};
use crate::expression::{columns_used, in_words, is_of_everybody, text_of};

#[test]
fn case_fits_its_values() {
    let typed = |text: &str| match expression(text) {
        Expr::Case { branches, otherwise } => (branches, otherwise),
        other => panic!("{text} is {other:?}"),
    };
    let (branches, otherwise) = typed("case when age > 3 then '2026-01-31' else birthday end");
    assert!(matches!(branches[0].1, Some(Expr::Literal(Literal::Date(_)))), "{branches:?}");
    assert!(otherwise.is_some());
    let (branches, otherwise) = typed("case country when 'FR' then 1 when 'DE' then 2.5 else null end");
    assert_eq!(branches.len(), 2);
    assert_eq!(otherwise, None);
    segment("case when is_customer then age > 3 else false end");
}

#[test]
fn knows_what_depends_on_the_instant_or_on_everybody() {
    for (text, does) in [
        ("last_seen_at < now() - interval '30 days'", true),
        ("country = 'FR' and not (now() > last_seen_at)", true),
        ("birthday = current_date", false),
        ("top(10, age)", true),
        ("not in_list('vip')", true),
        ("split('summer') < 0.5", false),
        ("days_since(last_seen_at) > 3", false),
        ("did('x', within => interval '3 days')", false),
        ("age > 3 and birthday < '2026-01-31'", false),
    ] {
        assert_eq!(is_of_everybody(&segment(text)), does, "{text}");
    }
}

#[test]
fn says_which_columns_it_reads() {
    let text = "case when COUNTRY = 'FR' then age end > lifetime_value and contains(tags, country)
        and event_sum('x', revenue) filter (where currency = 'EUR') > score";
    let columns = [("score".to_owned(), ColumnType::Integer)];
    let columns = [crate::expression::testing::columns().as_slice(), &columns].concat();
    let parsed =
        crate::expression::parse::parse_segment(&crate::expression::testing::source("loyal", "f", text), &columns)
            .expect("valid");
    assert_eq!(columns_used(&parsed.expression), ["age", "country", "lifetime_value", "score", "tags"]);
}

#[test]
fn reads_the_forms_that_sql_has_for_the_same() {
    for (text, one_form) in [
        ("substring(country from 2 for 3) = 'x'", "substr(country, 2, 3) = 'x'"),
        ("substring(country, 2) = 'x'", "substr(country, 2) = 'x'"),
        ("position('a' in country) > 0", "strpos(country, 'a') > 0"),
        ("trim(both 'x' from country) = 'y'", "trim(country, 'x') = 'y'"),
        ("trim(leading 'x' from country) = 'y'", "ltrim(country, 'x') = 'y'"),
        ("trim(trailing 'x' from country) = 'y'", "rtrim(country, 'x') = 'y'"),
        ("btrim(country, 'x') = 'y'", "trim(country, 'x') = 'y'"),
        ("CHAR_LENGTH(country) = character_length(country)", "length(country) = length(country)"),
        ("pow(age, 2) > 9", "power(age, 2) > 9"),
        ("mod(age, 2) = 1", "age % 2 = 1"),
        ("regexp_like(country, 'a|b')", "country ~ 'a|b'"),
        ("regexp_like(country, 'a|b', 'i')", "country ~* 'a|b'"),
        ("'vip' = any(tags)", "contains(tags, 'vip')"),
        ("country = any((tags))", "contains(tags, country)"),
        ("last_seen_at - (interval '3 months') < now()", "last_seen_at - interval '3 months' < now()"),
        ("current_date - birthday > 9", "days_since(birthday) > 9"),
        (
            "extract(hour from last_seen_at at time zone 'Europe/Paris') > 3",
            "date_part('hour', timezone('Europe/Paris', last_seen_at)) > 3",
        ),
        ("country like 'a!%!!b\\%' escape '!'", "country like 'a\\%\\!b\\\\%'"),
        ("country like 'a!' escape ''", "country like 'a!'"),
        ("country not ilike '%!_%' escape '!'", "country not ilike '%\\_%'"),
        ("age > 1e3", "age > 1000"),
        ("lifetime_value > 12.5E-1 or lifetime_value < -1.50e+01", "lifetime_value > 1.25 or lifetime_value < -15"),
        ("age > 0e9 or lifetime_value > 1e-14", "age > 0 or lifetime_value > 0.00000000000001"),
        ("(age > 3) is not unknown", "(age > 3) is not null"),
    ] {
        assert_eq!(text_of(&segment(text)), one_form, "{text}");
    }
}

#[test]
fn plain_functions_are_read_written_and_said() {
    for plain in plain::all() {
        let of_kind = |takes: &Takes| match takes {
            Takes::Text => "country",
            Takes::Number => "age",
            Takes::Short => "'ab'",
            Takes::Whole => "2",
        };
        let arguments: Vec<&str> = plain.takes.iter().map(of_kind).collect();
        let text = format!("{}({})", plain.name, arguments.join(", "));
        let read = expression(&text);
        assert_eq!(text_of(&read), text);
        let words = in_words(&read);
        assert!(arguments.iter().all(|argument| words.contains(argument)) && !words.contains(['{', '}']), "{words}");
    }
}

/// Whatever is done twice at each level is done thousands of times here.
#[test]
fn what_is_deeply_nested_is_read_written_and_said_at_once() {
    for (before, inner, after) in [
        ("sqrt(", "age", ")"),
        ("lower(", "country", ")"),
        ("coalesce(country, ", "country", ")"),
        ("greatest(1, ", "age", ")"),
        ("age + (", "age", ")"),
        ("(1.5 * ", "age", ")"),
        ("date_trunc('day', ", "birthday", ")"),
        ("case when is_customer then country else ", "country", " end"),
        ("not (", "is_customer", ")"),
        ("(is_customer in (", "is_customer", "))"),
    ] {
        let text = format!("{}{inner}{}", before.repeat(12), after.repeat(12));
        let read = expression(&text);
        assert_eq!(expression(&text_of(&read)), read);
        assert!(in_words(&read).contains(inner) && read.value_type().is_some(), "{text}");
    }
    // An `end` without its `case` hides nothing.
    for (level, column) in [("greatest(1, ", 153), ("greatest(1, end + ", 225)] {
        let text = format!("{}age{} > 1", level.repeat(30), ")".repeat(30));
        let message = "the expression is nested too deeply; split it into segments joined by `in_segment('name')`";
        refuses_segment(&text, &format!("1:{column}: {message}"));
    }
}

#[test]
fn refuses_wrong_calls() {
    for (text, message) in [
        ("concat(country) = 'x'", "1:1: wrong arguments; write `concat(first_name, ' ', last_name)`"),
        ("concat(country, age) = 'x'", "1:17: `age` is a number, but text is needed here; write `cast(... as text)`"),
        ("country || age = 'x'", "1:12: `age` is a number, but text is needed here; write `cast(... as text)`"),
        ("trim(age) = 'x'", "1:6: `age` is a number, but text is needed here; write `cast(... as text)`"),
        (
            "trim(both age from country) = 'x'",
            "1:11: `age` is a number, but text is needed here; write `cast(... as text)`",
        ),
        ("left(country) = 'x'", "1:1: wrong arguments; write `left(text, 2)`"),
        ("substr(country) = 'x'", "1:8: `SUBSTR(country)` is not available in segments; write `substr(text, 1, 3)`"),
        ("trim(country, 'a', 'b') = 'x'", "1:6: wrong arguments; write `trim(text)` or `trim(text, '...')`"),
        (
            "split_part(country, '-', 0) = 'x'",
            "1:26: a number of characters or parts must be a whole number from 1 to 2147483647, not `0`",
        ),
        (
            "substr(country, age) = 'x'",
            "1:17: a number of characters or parts must be a whole number from 1 to 2147483647, not `age`",
        ),
        (
            "sqrt(country) > 1",
            "1:6: `country` is text, but a number is needed here; write `cast(... as decimal)` if it holds numbers",
        ),
        (
            "country % 2 = 1",
            "1:1: `country` is text, but a number is needed here; write `cast(... as decimal)` if it holds numbers",
        ),
        ("country ~ '('", "1:11: `'('` is no regular expression: unclosed group"),
        ("country ~ country", "1:11: a regular expression must be a text constant, such as '@(gmail|gmx)[.]'"),
        ("concat_ws(', ') = 'x'", "1:1: wrong arguments; write `concat_ws(' ', first_name, last_name)`"),
        ("timezone(last_seen_at) < now()", "1:1: wrong arguments; write `timezone('Europe/Paris', last_seen_at)`"),
        ("birthday at time zone 'UTC' < now()", "1:1: `birthday` is a date, which is the same by all clocks"),
        (
            "now() < last_seen_at at time zone 'Paris'",
            "1:35: `'Paris'` is no time zone; write one such as 'Europe/Paris' or 'UTC'",
        ),
        (
            "now() < last_seen_at at time zone country",
            "1:35: `country` is no time zone; write one such as 'Europe/Paris' or 'UTC'",
        ),
        ("age > 1e40", "1:7: `1e40` is not a number of at most 38 digits"),
        ("age > 1e999999999999", "1:7: `1e999999999999` is not a number of at most 38 digits"),
        (
            "lifetime_value / age * 3.1234567890123456e-13 > 0",
            "1:24: `3.1234567890123456e-13` has 29 digits after the point; write at most 14, or divide by a whole number",
        ),
        ("age > -1e-35", "1:8: `1e-35` has 35 digits after the point; write at most 14, or divide by a whole number"),
        (
            "did('x') filter (where property('q') < 0.123456789012345)",
            "1:40: `0.123456789012345` has 15 digits after the point; write at most 14, or divide by a whole number",
        ),
        ("regexp_like(country)", "1:1: wrong arguments; write `regexp_like(text, 'pattern')`"),
        ("regexp_like(country, 'x', 'g')", "1:27: the only flag is 'i', for upper or lower case"),
        (
            "country ~* 'k{50000}'",
            "1:12: `'k{50000}'` is no regular expression: Compiled regex exceeds size limit of 10485760 bytes.",
        ),
        ("replace(country, 'a', country) = 'x'", "1:23: `country` must be a text constant of at most 100 bytes"),
        (
            "replace(replace(country, 'a', 'aa'), 'b', 'bb') = 'x'",
            "1:1: `replace` makes longer what another one made longer; leave that to one of them",
        ),
        (
            "country <> all(tags)",
            "1:1: `country <> ALL(tags)` is not available in segments; write `contains(list, 'entry')` or `not contains(...)`",
        ),
        ("country = any(age)", "1:15: `age` is a number, but a list is needed here"),
        ("age is unknown", "1:1: `age` is a number, not a condition; compare it, such as `> 0`"),
        ("tags in (tags)", "1:1: lists are not compared; write `contains(list, 'entry')`"),
        (
            "floor(country) = 1",
            "1:7: `country` is text, but a number is needed here; write `cast(... as decimal)` if it holds numbers",
        ),
        (
            "ceil(lifetime_value, 2) = 1",
            "1:6: `CEIL(lifetime_value, 2)` is not available in segments; write `floor(number)` or `ceil(number)`",
        ),
        ("flor(lifetime_value) = 1", "1:1: function `flor` is not available in segments; did you mean `floor`?"),
        ("nullif(country) = 'x'", "1:1: wrong arguments; write `nullif(column, '')`"),
        (
            "nullif(country, 1) = 'x'",
            "1:17: `country` is text, but `1` is a number; write '1' in quotes, or `cast(country as decimal)`",
        ),
        ("greatest(age) = 1", "1:1: wrong arguments; write `greatest(column, another)`"),
        ("greatest(is_customer, did('x'))", "1:10: `is_customer` is true or false, which has no order"),
        ("least(age, country) = 1", "1:12: `age` is a number, but `country` is text; write `cast(country as decimal)`"),
        (
            "date_part('century', birthday) = 1",
            "1:11: `'century'` is not a unit; write 'year', 'quarter', 'month', 'week', 'day', 'dow', 'doy', 'hour' or 'minute'",
        ),
        ("date_part('year') = 1", "1:1: wrong arguments; write `date_part('month', last_seen_at)`"),
        (
            "extract(epoch from birthday) = 1",
            "1:20: `epoch` is not a unit; write 'year', 'quarter', 'month', 'week', 'day', 'dow', 'doy', 'hour' or 'minute'",
        ),
        ("extract(year from country) = 1", "1:19: `country` is text, but a date or a time is needed here"),
        ("days_since(age) > 1", "1:12: `age` is a number, but a date or a time is needed here"),
        ("days_since() > 1", "1:1: wrong arguments; write `days_since(last_seen_at)`"),
        (
            "contains(country, 'x')",
            "1:10: `country` is text, but a list is needed here; to search in text, write `like '%word%'`",
        ),
        ("contains(tags, 5)", "1:16: `5` is a number, but text is needed here; write `cast(... as text)`"),
        ("contains(tags)", "1:1: wrong arguments; write `contains(list, 'entry')`"),
        ("length(age) = 1", "1:8: `age` is a number, but text is needed here; write `cast(... as text)`"),
        ("tags = tags", "1:1: lists are not compared; write `contains(list, 'entry')`"),
        ("tags = 'x'", "1:8: `tags` is a list, but `'x'` is text; write `contains(list, 'entry')`"),
        ("tags in ('x')", "1:10: `tags` is a list, but `'x'` is text; write `contains(list, 'entry')`"),
        ("tags between tags and tags", "1:1: lists have no order; write `contains(list, 'entry')`"),
        ("tags", "1:1: `tags` is a list, not a condition; write `contains(list, '...')`"),
        ("cast(tags as text) = 'x'", "1:6: `tags` is a list, which cannot become text"),
        (
            "consented(country)",
            "1:11: the purpose must be text in single quotes, not `country`; write `consented('marketing')`",
        ),
        ("consented()", "1:1: `consented` takes one purpose; write `consented('marketing')`"),
        (
            "score(age, 5) > 3",
            "1:1: `score` is not available in segments: it compares all profiles; write a trait with it, and name the trait here",
        ),
        ("case when age then 1 end = 1", "1:11: `age` is a number, not a condition; compare it, such as `> 0`"),
        (
            "case when is_customer then 1 else 'x' end = 1",
            "1:35: `1` is a number, but `'x'` is text; compare a column with a constant",
        ),
        (
            "case when is_customer then null end = 'x'",
            "1:28: a `case` that is always null; give a value to one condition",
        ),
        (
            "case case age when 1 then 2 when 3 then 4 end when 2 then is_customer when 4 then true end",
            "1:6: a `case` of a `case`; write the inner one as a trait",
        ),
        (
            "case country when 5 then 1 end = 1",
            "1:19: `country` is text, but `5` is a number; write '5' in quotes, or `cast(country as decimal)`",
        ),
        (
            "last_seen_at - birthday > 3",
            "1:1: times cannot be subtracted; write `days_since(first_seen_at) > 30`, or `first_seen_at < now() - interval '30 days'`",
        ),
    ] {
        refuses_segment(text, message);
    }
}
