//! Time: how instants are written, and the rhythm of a shop's week.

/// Seconds of a day.
pub(crate) const DAY: i64 = 86_400;

/// Year, month and day of a day counted from 1970-01-01 (Howard Hinnant's algorithm for the Gregorian calendar).
fn civil(days: i64) -> (i64, i64, i64) {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let day_of_era = z.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn digits(out: &mut Vec<u8>, value: i64, width: u32) {
    for place in (0..width).rev() {
        out.push(b'0' + (value / 10i64.pow(place) % 10) as u8);
    }
}

/// Appends `2025-03-01`.
pub(crate) fn write_date(out: &mut Vec<u8>, seconds: i64) {
    let (year, month, day) = civil(seconds.div_euclid(DAY));
    digits(out, year, 4);
    out.push(b'-');
    digits(out, month, 2);
    out.push(b'-');
    digits(out, day, 2);
}

/// Appends `12:34:56`.
fn write_clock(out: &mut Vec<u8>, seconds: i64) {
    let second_of_day = seconds.rem_euclid(DAY);
    digits(out, second_of_day / 3600, 2);
    out.push(b':');
    digits(out, second_of_day / 60 % 60, 2);
    out.push(b':');
    digits(out, second_of_day % 60, 2);
}

/// Appends an instant as SDKs send it: `2025-03-01T12:34:56.789Z`.
pub(crate) fn write_instant(out: &mut Vec<u8>, milliseconds: i64) {
    let seconds = milliseconds.div_euclid(1000);
    write_date(out, seconds);
    out.push(b'T');
    write_clock(out, seconds);
    out.push(b'.');
    digits(out, milliseconds.rem_euclid(1000), 3);
    out.push(b'Z');
}

/// Appends a time as a till prints it, without a zone: `2025-03-01 12:34:56`.
pub(crate) fn write_wall_time(out: &mut Vec<u8>, seconds: i64) {
    write_date(out, seconds);
    out.push(b' ');
    write_clock(out, seconds);
}

/// When things happen: by hour of the day and day of the week, a little more every week, and far more on the days of a
/// campaign. Turns a share of all events (0 to 1) into an instant.
#[derive(Debug)]
pub(crate) struct Rhythm {
    start: i64,
    /// The share of all events before the end of each hour.
    cumulative: Vec<f64>,
}

/// Relative activity by hour of the day, for people who shop at home.
const ONLINE_HOURS: [f64; 24] = [
    1.6, 0.9, 0.5, 0.4, 0.4, 0.6, 1.4, 2.8, 3.6, 3.9, 4.2, 4.6, 5.6, 5.2, 4.3, 4.1, 4.3, 5.0, 5.9, 7.0, 8.2, 8.6, 6.4,
    3.4,
];
/// Relative activity by hour of the day, for shops with a door.
const STORE_HOURS: [f64; 24] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 2.6, 3.6, 4.4, 3.8, 3.2, 3.4, 4.4, 5.6, 5.4, 2.4, 0.0, 0.0, 0.0,
    0.0,
];
/// Relative activity by day of the week, Sunday first.
const ONLINE_WEEK: [f64; 7] = [1.35, 1.0, 0.92, 0.9, 0.95, 1.0, 1.2];
/// The same for shops with a door, which are closed on Sundays.
const STORE_WEEK: [f64; 7] = [0.0, 0.7, 0.85, 1.0, 0.95, 1.3, 2.1];

impl Rhythm {
    /// The rhythm of people at their screens.
    pub(crate) fn online(start: i64, days: u32) -> Self {
        Self::new(start, days, &ONLINE_HOURS, &ONLINE_WEEK)
    }

    /// The rhythm of shops with a door, in their own wall time.
    pub(crate) fn store(start: i64, days: u32) -> Self {
        Self::new(start, days, &STORE_HOURS, &STORE_WEEK)
    }

    fn new(start: i64, days: u32, by_hour: &[f64; 24], by_weekday: &[f64; 7]) -> Self {
        let hours = (i64::from(days.max(1)) * 24) as usize;
        let mut total = 0.0;
        let mut cumulative = Vec::with_capacity(hours);
        for hour in 0..hours {
            let at = start + hour as i64 * 3600;
            let day = at.div_euclid(DAY);
            let weekday = (day + 4).rem_euclid(7) as usize;
            let campaign = if day.rem_euclid(28) == 9 { 1.9 } else { 1.0 };
            let growth = 1.0 + 0.4 * hour as f64 / hours as f64;
            total += by_hour[at.rem_euclid(DAY) as usize / 3600] * by_weekday[weekday] * campaign * growth;
            cumulative.push(total);
        }
        // A single Sunday has no opening hour: anything is better than a division by nothing.
        if total == 0.0 {
            cumulative = (1..=hours).map(|hour| hour as f64).collect();
            total = hours as f64;
        }
        for share in &mut cumulative {
            *share /= total;
        }
        Self { start, cumulative }
    }

    /// The instant, in milliseconds, before which `share` (0 to 1) of everything has happened.
    pub(crate) fn at(&self, share: f64) -> i64 {
        let hour = self.cumulative.partition_point(|end| *end <= share).min(self.cumulative.len() - 1);
        let before = if hour == 0 { 0.0 } else { self.cumulative[hour - 1] };
        let within = ((share - before) / (self.cumulative[hour] - before)).clamp(0.0, 0.999_999);
        self.start * 1000 + hour as i64 * 3_600_000 + (within * 3_600_000.0) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instant(milliseconds: i64) -> String {
        let mut out = Vec::new();
        write_instant(&mut out, milliseconds);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn instants_are_written_in_the_gregorian_calendar() {
        assert_eq!(instant(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(instant(951_782_400_123), "2000-02-29T00:00:00.123Z");
        assert_eq!(instant(1_735_689_599_999), "2024-12-31T23:59:59.999Z");
        assert_eq!(instant(-1), "1969-12-31T23:59:59.999Z");
    }

    #[test]
    fn rhythm_is_monotone_and_stays_inside_its_days() {
        let rhythm = Rhythm::online(1_700_000_000, 30);
        let instants: Vec<i64> = (0..=1000).map(|n| rhythm.at(f64::from(n) / 1000.0)).collect();
        assert!(instants.windows(2).all(|pair| pair[0] <= pair[1]));
        assert!(instants[0] >= 1_700_000_000_000);
        assert!(instants[1000] < (1_700_000_000 + 30 * DAY) * 1000);
    }

    #[test]
    fn shops_are_closed_at_night() {
        let rhythm = Rhythm::store(1_700_006_400, 14);
        for n in 0..500 {
            let hour = rhythm.at(f64::from(n) / 500.0).rem_euclid(DAY * 1000) / 3_600_000;
            assert!((9..20).contains(&hour), "a sale at {hour} o'clock");
        }
    }
}
