//! Constants of the language: numbers, dates, instants, and windows of whole days.

use chrono::{DateTime, NaiveDate, NaiveDateTime, Utc};

use super::parse::sql_parser::ast::{DataType, Interval, Value};
use super::{ColumnType, Literal};

/// A hundred years: a longer window means "ever", and is written so.
const WINDOW_DAYS_MAX: u32 = 36_500;
const MINUTES_PER_DAY: u32 = 24 * 60;
/// What a decimal column holds.
const DECIMAL_DIGITS_MAX: usize = 38;

/// Every error is a message without its position.
type Checked<T> = Result<T, String>;

/// The constant that a value stands for.
pub(super) fn literal(value: &Value) -> Checked<Literal> {
    match value {
        Value::Number(digits, _) => number(digits),
        Value::SingleQuotedString(text) => Ok(Literal::Text(text.clone())),
        Value::Boolean(flag) => Ok(Literal::Boolean(*flag)),
        Value::Null => Err("comparing with `null` is never true; write `is null` or `is not null`".to_owned()),
        other => Err(format!("`{other}` is not available; write text in single quotes, such as 'FR'")),
    }
}

fn number(digits: &str) -> Checked<Literal> {
    if let Ok(integer) = digits.parse::<i64>() {
        return Ok(Literal::Integer(integer));
    }
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let count = digits.bytes().filter(u8::is_ascii_digit).count();
    if is_plain && (1..=DECIMAL_DIGITS_MAX).contains(&count) {
        return Ok(Literal::Decimal(digits.to_owned()));
    }
    Err(format!("`{digits}` is not a plain number of at most {DECIMAL_DIGITS_MAX} digits"))
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

/// The type of a constant; `None` for a number of days, which is not a value of its own.
pub(super) fn literal_type(literal: &Literal) -> Option<ColumnType> {
    match literal {
        Literal::Text(_) => Some(ColumnType::Text),
        Literal::Integer(_) => Some(ColumnType::Integer),
        Literal::Decimal(_) => Some(ColumnType::Decimal),
        Literal::Boolean(_) => Some(ColumnType::Boolean),
        Literal::Date(_) => Some(ColumnType::Date),
        Literal::Timestamp(_) => Some(ColumnType::Timestamp),
        Literal::Days(_) => None,
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

/// The whole days of `interval '2 weeks'`, `interval '1 week 3 days'` or `interval '90' day`.
pub(super) fn interval_days(interval: &Interval) -> Checked<u32> {
    days_of_text(&interval_text(interval)?)
}

/// The minutes of `interval '1 day'`, `interval '1 hour 30 minutes'` or `interval '90' minute`.
pub(super) fn interval_minutes(interval: &Interval) -> Checked<u32> {
    let text = interval_text(interval)?;
    let minutes = sum_of_text(&text, minutes_of_unit)?;
    if !(1..=WINDOW_DAYS_MAX * MINUTES_PER_DAY).contains(&minutes) {
        return Err(format!("'{text}' must be from 1 minute to {WINDOW_DAYS_MAX} days"));
    }
    Ok(minutes)
}

fn interval_text(interval: &Interval) -> Checked<String> {
    const USAGE: &str = "write an interval as `interval '90 days'`";
    let Interval { value, leading_field, leading_precision, last_field, fractional_seconds_precision } = interval;
    if leading_precision.is_some() || last_field.is_some() || fractional_seconds_precision.is_some() {
        return Err(USAGE.to_owned());
    }
    let text = match value.as_ref() {
        super::parse::sql_parser::ast::Expr::Value(value) => match &value.value {
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

/// The whole days of `90 days` or `1 week 3 days`.
pub(super) fn days_of_text(text: &str) -> Checked<u32> {
    let days = sum_of_text(text, days_of_unit)?;
    if !(1..=WINDOW_DAYS_MAX).contains(&days) {
        return Err(format!("'{text}' must be from 1 to {WINDOW_DAYS_MAX} days"));
    }
    Ok(days)
}

/// Adds up numbers with units; what is too large for the sum is `u32::MAX`.
fn sum_of_text(text: &str, factor_of: fn(&str) -> Checked<u32>) -> Checked<u32> {
    let words: Vec<&str> = text.split_whitespace().collect();
    if words.is_empty() || words.len() % 2 == 1 {
        return Err(format!("'{text}' is not an interval; write a number and a unit, such as '90 days'"));
    }
    let mut sum: u32 = 0;
    for pair in words.chunks_exact(2) {
        let [count, unit] = pair else { continue };
        let factor = factor_of(unit)?;
        let count: u32 =
            count.parse().map_err(|_| format!("`{count}` in '{text}' must be a whole number above zero"))?;
        sum = sum.saturating_add(count.saturating_mul(factor));
    }
    Ok(sum)
}

fn days_of_unit(unit: &str) -> Checked<u32> {
    match unit.to_ascii_lowercase().as_str() {
        "day" | "days" => Ok(1),
        "week" | "weeks" => Ok(7),
        "month" | "months" | "quarter" | "quarters" | "year" | "years" => {
            Err(format!("a `{unit}` has no fixed number of days; write days or weeks, such as '90 days'"))
        }
        "hour" | "hours" | "minute" | "minutes" | "second" | "seconds" => {
            Err(format!("`{unit}` is finer than a day, and behaviour is counted by day; write days or weeks"))
        }
        _ => Err(format!("`{unit}` is not a unit of time; write days or weeks, such as '90 days'")),
    }
}

fn minutes_of_unit(unit: &str) -> Checked<u32> {
    match unit.to_ascii_lowercase().as_str() {
        "minute" | "minutes" => Ok(1),
        "hour" | "hours" => Ok(60),
        "second" | "seconds" => Err(format!("`{unit}` is too fine; write minutes, hours or days")),
        _ => Ok(days_of_unit(unit)? * MINUTES_PER_DAY),
    }
}
