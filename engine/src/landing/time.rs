//! Instants in text, as the sources write them.

use chrono::{NaiveDate, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

use crate::error::{EngineError, Result};
use crate::landing::quarantine::{Reason, Rejection};

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// 2100-01-01, in microseconds since 1970: later times are typing errors or placeholders.
const TIME_LIMIT_US: i64 = 4_102_444_800 * MICROS_PER_SECOND;

/// The zone of times that name none; UTC without `name`.
pub(crate) fn parse_zone(source: &str, name: Option<&str>) -> Result<Tz> {
    let Some(name) = name else { return Ok(Tz::UTC) };
    name.parse().map_err(|_| {
        EngineError::invalid(format!(
            "source `{source}`: `{name}` is not a time zone; give an IANA name such as `Europe/Paris`"
        ))
    })
}

/// Reads a time as microseconds since 1970 UTC. `zone` is that of times which name none.
///
/// Takes `YYYY-MM-DD`, or that with `T` or a space and `HH:MM[:SS[.fraction]]`, then nothing, `Z`, ` UTC`, `+02`, `+0200` or
/// `+02:00`; also whole seconds (10 digits) or milliseconds (13 digits) since 1970. None for anything else.
pub(crate) fn parse_time(text: &str, zone: Tz) -> Option<i64> {
    let bytes = text.trim().as_bytes();
    if bytes.iter().all(u8::is_ascii_digit) {
        return parse_epoch(bytes);
    }
    let mut rest = Cursor(bytes);
    let (year, month, day) =
        (rest.digits(4)?, rest.byte(b'-').then(|| rest.digits(2))??, rest.byte(b'-').then(|| rest.digits(2))??);
    let days = days_from_civil(year, month, day)?;
    let mut micros_of_day = 0;
    if !rest.0.is_empty() {
        if !(rest.byte(b'T') || rest.byte(b't') || rest.byte(b' ')) {
            return None;
        }
        micros_of_day = parse_time_of_day(&mut rest)?;
    }
    let local = days * SECONDS_PER_DAY * MICROS_PER_SECOND + micros_of_day;
    match parse_offset(&mut rest)? {
        Some(offset_seconds) => Some(local - offset_seconds * MICROS_PER_SECOND),
        None if zone == Tz::UTC => Some(local),
        None => local_to_utc(local, zone),
    }
}

/// Refuses event times before 1970 and from 2100 on.
pub(crate) fn check_possible(at_us: i64, what: &str) -> Result<(), Rejection> {
    if (0..TIME_LIMIT_US).contains(&at_us) {
        return Ok(());
    }
    Err(Rejection::new(
        Reason::ImpossibleTime,
        format!("`{what}` is before 1970 or after 2099; correct it at the source"),
    ))
}

fn parse_epoch(digits: &[u8]) -> Option<i64> {
    let micros_per_unit = match digits.len() {
        10 => MICROS_PER_SECOND,
        13 => 1_000,
        _ => return None,
    };
    let units = digits.iter().fold(0_i64, |units, digit| units * 10 + i64::from(digit - b'0'));
    Some(units * micros_per_unit)
}

fn parse_time_of_day(rest: &mut Cursor<'_>) -> Option<i64> {
    let hour = rest.digits(2)?;
    let minute = rest.byte(b':').then(|| rest.digits(2))??;
    let mut second = 0;
    let mut micros = 0;
    if rest.byte(b':') {
        second = rest.digits(2)?;
        if rest.byte(b'.') || rest.byte(b',') {
            micros = rest.fraction()?;
        }
    }
    // A leap second counts as the first of the next minute.
    let is_valid = hour < 24 && minute < 60 && second <= 60;
    is_valid.then_some((hour * 3600 + minute * 60 + second) * MICROS_PER_SECOND + micros)
}

/// Seconds east of UTC; `Some(None)` when the text ends here, None when it is something else.
#[expect(clippy::option_option, reason = "no offset and a wrong offset differ")]
fn parse_offset(rest: &mut Cursor<'_>) -> Option<Option<i64>> {
    if rest.0.is_empty() {
        return Some(None);
    }
    rest.byte(b' ');
    if matches!(rest.0, b"Z" | b"z" | b"UTC" | b"GMT") {
        return Some(Some(0));
    }
    let sign = if rest.byte(b'+') {
        1
    } else if rest.byte(b'-') {
        -1
    } else {
        return None;
    };
    let hours = rest.digits(2)?;
    let minutes = match rest.0.is_empty() {
        true => 0,
        false => {
            rest.byte(b':');
            rest.digits(2)?
        }
    };
    let is_valid = rest.0.is_empty() && hours < 24 && minutes < 60;
    is_valid.then_some(Some(sign * (hours * 3600 + minutes * 60)))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar; None when there is no such day.
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    const DAYS: [i64; 12] = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of_month = *DAYS.get(usize::try_from(month - 1).ok()?)? + i64::from(month == 2 && is_leap);
    if day < 1 || day > days_of_month {
        return None;
    }
    // Years that start in March put the leap day last, so that one formula serves all months.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The earlier of two instants that a clock showed twice; an hour that a clock left out is taken as if it had not.
fn local_to_utc(local_us: i64, zone: Tz) -> Option<i64> {
    let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?.and_hms_opt(0, 0, 0)?;
    let local = epoch.checked_add_signed(TimeDelta::microseconds(local_us))?;
    if let Some(instant) = zone.from_local_datetime(&local).earliest() {
        return Some(instant.timestamp_micros());
    }
    let before = zone.from_local_datetime(&(local - TimeDelta::hours(3))).earliest()?;
    Some(local_us - i64::from(before.offset().fix().local_minus_utc()) * MICROS_PER_SECOND)
}

/// What is still to be read.
struct Cursor<'a>(&'a [u8]);

impl Cursor<'_> {
    fn byte(&mut self, expected: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == expected => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn digits(&mut self, count: usize) -> Option<i64> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        digits.iter().try_fold(0, |number, digit| digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0')))
    }

    /// Microseconds of a fraction of a second; digits beyond the sixth are cut off.
    fn fraction(&mut self) -> Option<i64> {
        let length = self.0.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let mut unit = MICROS_PER_SECOND;
        let mut micros = 0;
        for digit in digits.iter().take(6) {
            unit /= 10;
            micros += i64::from(digit - b'0') * unit;
        }
        (length > 0).then_some(micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(rfc3339: &str) -> i64 {
        chrono::DateTime::parse_from_rfc3339(rfc3339).unwrap().timestamp_micros()
    }

    #[test]
    fn test_parse_time_reads_every_form() {
        let cases = [
            ("2026-11-23T14:04:38.374+00:00", "2026-11-23T14:04:38.374Z"),
            ("2026-11-23T14:04:43.895172Z", "2026-11-23T14:04:43.895172Z"),
            ("2026-11-23T14:04:43.895172999Z", "2026-11-23T14:04:43.895172Z"),
            ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
            ("1997-01-12", "1997-01-12T00:00:00Z"),
            ("2026-01-02 03:04", "2026-01-02T03:04:00Z"),
            ("2026-01-02 03:04:05 UTC", "2026-01-02T03:04:05Z"),
            ("2026-01-02T03:04:05.000+0200", "2026-01-02T01:04:05Z"),
            ("2026-01-02 03:04:05+02", "2026-01-02T01:04:05Z"),
            ("2026-01-02T03:04:05-05:30", "2026-01-02T08:34:05Z"),
            ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z"),
            ("1700000000", "2023-11-14T22:13:20Z"),
            ("1700000000123", "2023-11-14T22:13:20.123Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            (" 2026-01-02 ", "2026-01-02T00:00:00Z"),
        ];
        for (text, instant) in cases {
            assert_eq!(parse_time(text, Tz::UTC), Some(expected(instant)), "{text}");
        }
    }

    #[test]
    fn test_parse_time_refuses_other_text() {
        let cases = [
            "",
            "yesterday",
            "2026",
            "170000000",
            "2026-13-01",
            "2026-02-29",
            "2026-00-10",
            "2026-01-32",
            "02/01/2026",
            "2026-01-02T",
            "2026-01-02T25:00:00Z",
            "2026-01-02T03:04:05Q",
            "2026-01-02T03:04:05.Z",
            "2026-01-02T03:04:05+2",
            "2026-01-02T03:04:05+02:00x",
            "2026-01-02é03:04",
            "20é6-01-02",
            "-026-01-02",
        ];
        for text in cases {
            assert_eq!(parse_time(text, Tz::UTC), None, "{text}");
        }
    }

    #[test]
    fn test_parse_time_takes_the_zone_of_the_source() {
        let paris = parse_zone("shop", Some("Europe/Paris")).unwrap();
        assert_eq!(parse_time("2026-07-01 12:00", paris), Some(expected("2026-07-01T10:00:00Z")));
        assert_eq!(parse_time("2026-01-01 12:00", paris), Some(expected("2026-01-01T11:00:00Z")));
        assert_eq!(parse_time("2026-01-01T12:00:00Z", paris), Some(expected("2026-01-01T12:00:00Z")));
        // The clock shows 02:30 twice in October and never in March.
        assert_eq!(parse_time("2026-10-25 02:30", paris), Some(expected("2026-10-25T00:30:00Z")));
        assert_eq!(parse_time("2026-03-29 02:30", paris), Some(expected("2026-03-29T01:30:00Z")));
        assert!(parse_zone("shop", Some("Mars")).unwrap_err().to_string().contains("`Mars`"));
    }

    #[test]
    fn test_parse_time_agrees_with_chrono_over_all_days() {
        let mut day = NaiveDate::from_ymd_opt(1899, 1, 1).unwrap();
        while day < NaiveDate::from_ymd_opt(2105, 1, 1).unwrap() {
            let micros = day.and_hms_opt(0, 0, 0).unwrap().and_utc().timestamp_micros();
            assert_eq!(parse_time(&day.to_string(), Tz::UTC), Some(micros));
            day = day.succ_opt().unwrap();
        }
    }

    #[test]
    fn test_check_possible_has_its_limits() {
        assert!(check_possible(0, "timestamp").is_ok());
        assert!(check_possible(expected("2099-12-31T23:59:59Z"), "timestamp").is_ok());
        assert_eq!(check_possible(-1, "timestamp").unwrap_err().reason, Reason::ImpossibleTime);
        assert_eq!(
            check_possible(expected("2100-01-01T00:00:00Z"), "timestamp").unwrap_err().reason,
            Reason::ImpossibleTime
        );
    }
}
