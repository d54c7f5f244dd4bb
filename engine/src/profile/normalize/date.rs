//! Days as `YYYY-MM-DD`.

use chrono::{Datelike, NaiveDate};

use crate::config::DateOrder;

/// Forms that can be read in one way only, besides numbers with slashes. chrono takes names of months long and short.
const FORMS: [&str; 8] = ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%Y%m%d", "%B %d %Y", "%d %B %Y", "%d-%B-%Y", "%Y-%B-%d"];

/// The day that is written, with or without a time. `order` tells which number is the day where both may be.
pub(super) fn day(told: &str, order: Option<DateOrder>) -> Option<String> {
    let date = spelt(told).or_else(|| numbers(told, order))?;
    Some(date.to_string())
}

fn spelt(told: &str) -> Option<NaiveDate> {
    // The time of an instant goes: a birthday at midnight is a day.
    let day = match told.split_once(['T', ' ']) {
        Some((day, _)) if day.len() == 10 => day,
        _ => told,
    };
    // `March 5, 1980` and `05 mar. 1980`.
    let has_letters = day.contains(|letter: char| letter.is_alphabetic());
    let day = if has_letters { day.replace([',', '.'], "") } else { day.to_owned() };
    // `%Y%m%d` would take other numbers of digits, too.
    let is_compact = day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit());
    let forms = FORMS.iter().filter(|form| is_compact == (**form == "%Y%m%d"));
    forms.filter_map(|form| NaiveDate::parse_from_str(&day, form).ok()).find(is_possible)
}

/// `25/12/1980` and `25-12-1980`: the number above 12 is the day, else `order` decides.
fn numbers(told: &str, order: Option<DateOrder>) -> Option<NaiveDate> {
    let parts: Vec<u32> = told.split(['/', '-']).map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let &[first, second, year] = parts.as_slice() else { return None };
    let (day, month) = match order {
        _ if first > 12 => (first, second),
        _ if second > 12 => (second, first),
        _ if first == second => (first, second),
        Some(DateOrder::DayFirst) => (first, second),
        Some(DateOrder::MonthFirst) => (second, first),
        None => return None,
    };
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day).filter(is_possible)
}

/// Nobody was born before, or will be after: a year of two digits, or a typing error.
fn is_possible(date: &NaiveDate) -> bool {
    (1800..2200).contains(&date.year())
}
