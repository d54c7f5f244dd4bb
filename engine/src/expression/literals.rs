//! Constants of the language: numbers, dates, instants, and windows of whole days.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use super::Literal;
use super::parse::sql_parser::ast::{DataType, Expr as SqlExpr, Interval, Value, ValueWithSpan};
use super::span::Span;

/// A hundred years: a longer window means "ever", and is written so.
const DAYS_MAX: u64 = 36_525;
/// A twelfth of a year of 365.25 days, as a fraction.
const DAYS_PER_MONTH: (u64, u64) = (487, 16);
const MINUTES_PER_DAY: u32 = 24 * 60;
/// What a decimal column holds.
const DECIMAL_DIGITS_MAX: usize = 38;
/// Of them after the point: as many as a quotient has. Places of factors add up, and sums and comparisons have those of the side
/// that has more, so that more of them would leave none for the digits before the point.
const DECIMAL_PLACES_MAX: usize = 14;

/// Every error is a message without its position.
type Checked<T> = Result<T, String>;

/// The constant that a value stands for.
pub(super) fn literal(value: &Value) -> Checked<Literal> {
    match value {
        Value::Number(digits, _) => number(digits),
        Value::SingleQuotedString(text) => Ok(Literal::Text(text.clone())),
        Value::Boolean(flag) => Ok(Literal::Boolean(*flag)),
        Value::Null => Err(
            "no comparison with `null` is true, and what is computed with it is null; write `is null` or `is not null`"
                .to_owned(),
        ),
        other => Err(format!("`{other}` is not available; write text in single quotes, such as 'FR'")),
    }
}

/// The text of a constant.
pub(super) fn text_constant(sql: &SqlExpr) -> Option<&str> {
    match sql {
        SqlExpr::Value(ValueWithSpan { value: Value::SingleQuotedString(text), .. }) => Some(text),
        _ => None,
    }
}

fn number(written: &str) -> Checked<Literal> {
    let plain = match written.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => exponent.parse().ok().and_then(|exponent| shifted(mantissa, exponent)),
        None => Some(written.to_owned()),
    };
    let is_plain = |digits: &String| digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let too_long = || format!("`{written}` is not a number of at most {DECIMAL_DIGITS_MAX} digits");
    let plain = plain.filter(is_plain).ok_or_else(too_long)?;
    if let Ok(integer) = plain.parse::<i64>() {
        return Ok(Literal::Integer(integer));
    }
    // `5.` is a decimal that reads like the end of a sentence.
    let digits = match plain.strip_suffix('.') {
        Some(whole) if whole.parse::<i64>().is_ok() => format!("{whole}.0"),
        Some(whole) => whole.to_owned(),
        None => plain,
    };
    let places = digits.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if places > DECIMAL_PLACES_MAX {
        return Err(format!(
            "`{written}` has {places} digits after the point; write at most {DECIMAL_PLACES_MAX}, or divide by a whole number"
        ));
    }
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    if (1..=DECIMAL_DIGITS_MAX).contains(&count) { Ok(Literal::Decimal(digits)) } else { Err(too_long()) }
}

/// The digits of a number times ten to the power of `places`; `None` if they would be very many.
fn shifted(digits: &str, places: isize) -> Option<String> {
    let zeros = "0".repeat(2 * DECIMAL_DIGITS_MAX);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{zeros}{whole}{fraction}{zeros}");
    let point = (zeros.len() + whole.len()).checked_add_signed(places).filter(|point| *point <= all.len())?;
    let (whole, fraction) = (all[..point].trim_start_matches('0'), all[point..].trim_end_matches('0'));
    let whole = if whole.is_empty() { "0" } else { whole };
    Some(if fraction.is_empty() { whole.to_owned() } else { format!("{whole}.{fraction}") })
}

/// A number with the other sign; `None` for what is not a number or has no opposite.
pub(super) fn negated(literal: &Literal) -> Option<Literal> {
    match literal {
        Literal::Integer(integer) => integer.checked_neg().map(Literal::Integer),
        Literal::Decimal(digits) => Some(Literal::Decimal(match digits.strip_prefix('-') {
            Some(positive) => positive.to_owned(),
            None => format!("-{digits}"),
        })),
        _ => None,
    }
}

/// `date '2026-01-31'` or `timestamp '2026-01-31 12:00:00'`.
pub(super) fn typed_text(data_type: &DataType, text: &str) -> Checked<Literal> {
    match data_type {
        DataType::Date => date(text),
        DataType::Timestamp(..) => timestamp(text),
        other => Err(format!(
            "`{other} '...'` is not available; only `date '...'`, `timestamp '...'` and `interval '...'` are"
        )),
    }
}

pub(super) fn date(text: &str) -> Checked<Literal> {
    let day = text.trim().parse::<NaiveDate>();
    day.map(Literal::Date).map_err(|_| format!("'{text}' is not a date; write one such as '2026-01-31'"))
}

/// An instant; without a zone it is in UTC, and a day alone is its start.
pub(super) fn timestamp(text: &str) -> Checked<Literal> {
    let trimmed = text.trim();
    if let Ok(instant) = DateTime::parse_from_rfc3339(trimmed) {
        return Ok(Literal::Timestamp(instant.with_timezone(&Utc)));
    }
    for format in ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"] {
        if let Ok(instant) = NaiveDateTime::parse_from_str(trimmed, format) {
            return Ok(Literal::Timestamp(instant.and_utc()));
        }
    }
    let day = trimmed.parse::<NaiveDate>().ok().and_then(|day| day.and_hms_opt(0, 0, 0));
    let refused =
        || format!("'{text}' is not a time; write one such as '2026-01-31 12:00:00' or '2026-01-31T12:00:00+01:00'");
    day.map(|instant| Literal::Timestamp(instant.and_utc())).ok_or_else(refused)
}

/// `interval '3 months'`, `interval '1 week 3 days'` or `interval '90' minute`.
pub(super) fn interval(interval: &Interval) -> Checked<Span> {
    // Two windows' lengths: a window and how far back it ends.
    span_of_text(&interval_text(interval)?, 2 * DAYS_MAX, |_, _| Ok(()))
}

/// The same of whole days, as windows have them. `0 days` is a length, too: such a window is today, and one that ends so far
/// back leaves out today alone.
pub(super) fn interval_days(interval: &Interval) -> Checked<Span> {
    days_of_text(&interval_text(interval)?)
}

/// The minutes of `interval '1 day'` or `interval '1 hour 30 minutes'`: how far apart instants may be.
pub(super) fn interval_minutes(interval: &Interval) -> Checked<u32> {
    let no_months = |word: &str, span: Span| match span.months {
        0 => Ok(()),
        _ => Err(format!("a `{word}` has no fixed number of days; write days or weeks, such as '90 days'")),
    };
    let Span { days, minutes, .. } = span_of_text(&interval_text(interval)?, DAYS_MAX, no_months)?;
    Ok(days * MINUTES_PER_DAY + minutes)
}

fn interval_text(interval: &Interval) -> Checked<String> {
    const USAGE: &str = "write an interval as `interval '90 days'`";
    let Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } = interval;
    if leading_precision.is_some() || last_field.is_some() || fractional_seconds_precision.is_some() {
        return Err(USAGE.to_owned());
    }
    let text = match value.as_ref() {
        SqlExpr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => text,
            _ => return Err(USAGE.to_owned()),
        },
        _ => return Err(USAGE.to_owned()),
    };
    Ok(match leading_field {
        Some(field) => format!("{text} {field}"),
        None => text.clone(),
    })
}

/// The whole days of `90 days`, `3 months`, `1 week 3 days` or `0 days`.
pub(super) fn days_of_text(text: &str) -> Checked<Span> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if matches!(words.as_slice(), ["0", unit] if ["day", "days"].iter().any(|day| unit.eq_ignore_ascii_case(day))) {
        return Ok(Span::default());
    }
    span_of_text(text, DAYS_MAX, |word, span| match span.minutes {
        0 => Ok(()),
        _ => Err(format!("`{word}` is finer than a day, and behaviour is counted by day; write days, weeks or months")),
    })
}

/// Adds up numbers with units. `check` refuses a unit, with what one of it is.
fn span_of_text(text: &str, days_max: u64, check: impl Fn(&str, Span) -> Checked<()>) -> Checked<Span> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() || words.len() % 2 == 1 {
        return Err(format!("'{text}' is not an interval; write a number and a unit, such as '90 days'"));
    }
    let mut sum = Span::default();
    for pair in words.chunks_exact(2) {
        let [count, unit] = pair else { continue };
        let of_unit = span_of_unit(unit)?;
        check(unit, of_unit)?;
        let refused = || format!("`{count}` in '{text}' must be a whole number above zero");
        let count = if count.bytes().all(|byte| byte.is_ascii_digit()) { count } else { return Err(refused()) };
        let count: u32 = count.parse().unwrap_or(u32::MAX);
        let times = |of_unit: u32| of_unit.saturating_mul(count);
        let (months, days, minutes) = (times(of_unit.months), times(of_unit.days), times(of_unit.minutes));
        sum = sum.and(Span { months, days, minutes });
    }
    let Span { months, days, minutes } = sum;
    let of_months = u64::from(months) * DAYS_PER_MONTH.0 / DAYS_PER_MONTH.1;
    if sum.is_nothing() || of_months + u64::from(days) + u64::from(minutes / MINUTES_PER_DAY) > days_max {
        let years = days_max * 100 / DAYS_MAX;
        return Err(format!("'{text}' must be more than nothing, and at most {years} years"));
    }
    Ok(sum)
}

fn span_of_unit(word: &str) -> Checked<Span> {
    let none = Span::default();
    match word.to_ascii_lowercase().as_str() {
        "minute" | "minutes" => Ok(Span { minutes: 1, ..none }),
        "hour" | "hours" => Ok(Span { minutes: 60, ..none }),
        "day" | "days" => Ok(Span::of_days(1)),
        "week" | "weeks" => Ok(Span::of_days(7)),
        "month" | "months" => Ok(Span { months: 1, ..none }),
        "quarter" | "quarters" => Ok(Span { months: 3, ..none }),
        "year" | "years" => Ok(Span { months: 12, ..none }),
        "second" | "seconds" => Err(format!("`{word}` is too fine; write minutes, hours or days")),
        _ => Err(format!("`{word}` is not a unit of time; write days, weeks or months, such as '90 days'")),
    }
}
