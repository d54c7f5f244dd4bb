//! Days as `YYYY-MM-DD`.

use chrono::{Datelike, NaiveDate, Weekday};

use super::spelling::without_marks;
use crate::config::DateOrder;

/// Forms that can be read in one way only, besides numbers with slashes.
const FORMS: [&str; 8] = ["%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%d.%m.%Y", "%Y%m%d", "%B %d %Y", "%d %B %Y", "%Y %B %d"];

/// Names of months in English, French, German, Spanish, Italian and Dutch, without marks. The first is what chrono knows.
const MONTHS: [&[&str]; 12] = [
    &["jan", "january", "janv", "janvier", "januar", "janner", "ene", "enero", "gen", "gennaio", "januari"],
    &["feb", "february", "fev", "fevr", "fevrier", "februar", "feber", "febrero", "febbraio", "februari"],
    &["mar", "march", "mars", "marz", "maerz", "mrz", "marzo", "maart", "mrt"],
    &["apr", "april", "avr", "avril", "abr", "abril", "aprile"],
    &["may", "mai", "mayo", "mag", "maggio", "mei"],
    &["jun", "june", "juin", "juni", "junio", "giu", "giugno"],
    &["jul", "july", "juil", "juillet", "juli", "julio", "lug", "luglio"],
    &["aug", "august", "aout", "ago", "agosto", "augustus"],
    &["sep", "sept", "september", "septembre", "septiembre", "setiembre", "set", "sett", "settembre"],
    &["oct", "october", "octobre", "okt", "oktober", "octubre", "ott", "ottobre"],
    &["nov", "november", "novembre", "noviembre"],
    &["dec", "december", "decembre", "dez", "dezember", "dic", "diciembre", "dicembre"],
];

/// Names of the days of a week from Monday on, in the same languages.
const WEEKDAYS: [&[&str]; 7] = [
    &["mon", "monday", "lundi", "montag", "lunes", "lunedi", "maandag"],
    &["tue", "tues", "tuesday", "mardi", "dienstag", "martes", "martedi", "dinsdag"],
    &["wed", "wednesday", "mercredi", "mittwoch", "miercoles", "mercoledi", "woensdag"],
    &["thu", "thur", "thurs", "thursday", "jeudi", "donnerstag", "jueves", "giovedi", "donderdag"],
    &["fri", "friday", "vendredi", "freitag", "viernes", "venerdi", "vrijdag"],
    &["sat", "saturday", "samedi", "samstag", "sonnabend", "sabado", "sabato", "zaterdag"],
    &["sun", "sunday", "dimanche", "sonntag", "domingo", "domenica", "zondag"],
];

/// What may stand beside the numbers of a day that has the name of a month: `1st`, `1er`, `5 de marzo de 1980`, `at 9 am`.
const PARTICLES: [&str; 15] =
    ["st", "nd", "rd", "th", "er", "º", "of", "the", "le", "de", "del", "den", "at", "a", "um"];

/// The day that is written, with or without its weekday before and a time after it. `order` tells which number is the day
/// where both may be.
pub(super) fn day(told: &str, order: Option<DateOrder>) -> Option<String> {
    let (weekday, day) = after_weekday(told);
    let day = before_time(day);
    let date = spelt(day).or_else(|| numbers(day, order))?;
    // With another weekday, either may be the typing error.
    weekday.is_none_or(|weekday| weekday == date.weekday()).then(|| date.to_string())
}

/// The weekday in front, if there is one, and what follows it.
fn after_weekday(told: &str) -> (Option<Weekday>, &str) {
    let end = told.find(|letter: char| !letter.is_alphabetic()).unwrap_or_default();
    let word = without_marks(&told[..end]);
    let names = WEEKDAYS.iter().zip(0..).find(|(names, _)| names.contains(&word.as_str()));
    match names.and_then(|(_, from_monday)| Weekday::try_from(from_monday).ok()) {
        Some(weekday) => (Some(weekday), told[end..].trim_start_matches(['.', ',', ' '])),
        None => (None, told),
    }
}

/// What stands before a time: a birthday at midnight is a day.
fn before_time(told: &str) -> &str {
    let is_before_time = |(_, after): &(&str, &str)| is_time(after);
    let mut parts =
        told.match_indices([' ', 'T', '\u{a0}']).map(|(index, sign)| (&told[..index], &told[index + sign.len()..]));
    parts.find(is_before_time).map_or(told, |(before, _)| before.trim_end_matches([',', ' ']))
}

/// True for what begins like a time: `23:59`, `00:00:00.000+0000`, `12.30`, `14h30`, `12 AM`.
fn is_time(text: &str) -> bool {
    let (hour, after) = digits(text);
    let is_half_of_day = || {
        let lower = after.trim_start().to_lowercase().replace('.', "");
        lower.starts_with("am") || lower.starts_with("pm")
    };
    let has_minutes = after.strip_prefix([':', '.', 'h']).is_some_and(|minutes| digits(minutes).0.len() == 2);
    matches!(hour.len(), 1 | 2) && (has_minutes || is_half_of_day())
}

/// The digits in front, and the rest.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

fn spelt(told: &str) -> Option<NaiveDate> {
    // Whatever follows a day of ten signs goes, be it a time or not.
    let day = match told.split_once(['T', ' ']) {
        Some((day, _)) if day.len() == 10 => day,
        _ => told,
    };
    let has_letters = day.contains(|letter: char| letter.is_alphabetic());
    let day = if has_letters { in_english(day) } else { day.to_owned() };
    // `%Y%m%d` would take other numbers of digits, too.
    let is_compact = day.len() == 8 && day.bytes().all(|byte| byte.is_ascii_digit());
    let forms = FORMS.iter().filter(|form| is_compact == (**form == "%Y%m%d"));
    forms.filter_map(|form| NaiveDate::parse_from_str(&day, form).ok()).find(is_possible)
}

/// `March 5, 1980`, `05-mar.-1980` and `5 de marzo de 1980` as numbers and the English name of the month, with blanks
/// between them.
fn in_english(day: &str) -> String {
    let plain: Vec<char> = without_marks(day).replace([',', '.', '-', '/'], " ").chars().collect();
    let runs = plain.chunk_by(|left, right| left.is_alphabetic() == right.is_alphabetic());
    let words = runs.map(String::from_iter).map(|word| {
        let month = MONTHS.iter().find(|names| names.contains(&word.as_str())).and_then(|names| names.first());
        let is_particle = PARTICLES.contains(&word.as_str());
        if is_particle { String::new() } else { month.map_or(word, |month| (*month).to_owned()) }
    });
    words.collect::<String>().trim().to_owned()
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
