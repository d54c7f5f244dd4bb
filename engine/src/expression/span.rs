//! Lengths of time as people say them: a month is what the calendar makes of it.

use chrono::{Days, Months, NaiveDate};

/// Months, days and minutes, each counted for itself: no number of days is a month.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    /// Months of the calendar.
    pub(crate) months: u32,
    /// Days beside them.
    pub(crate) days: u32,
    /// Minutes beside those. Windows have none: behaviour is counted by day.
    pub(crate) minutes: u32,
}

impl Span {
    /// Days alone.
    pub(crate) fn of_days(days: u32) -> Self {
        Self { days, ..Self::default() }
    }

    /// True if it is no time at all.
    pub(crate) fn is_nothing(self) -> bool {
        self == Self::default()
    }

    /// Both.
    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            months: self.months.saturating_add(other.months),
            days: self.days.saturating_add(other.days),
            minutes: self.minutes.saturating_add(other.minutes),
        }
    }

    /// The day that lies so many months and days before another. As in SQL, months are taken off first, and where a month
    /// does not have the day, its last one counts: a month before 31 May is 30 April.
    pub(crate) fn before(self, day: NaiveDate) -> NaiveDate {
        let month = day.checked_sub_months(Months::new(self.months));
        let before = month.and_then(|month| month.checked_sub_days(Days::new(u64::from(self.days))));
        before.unwrap_or(NaiveDate::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_months_are_those_of_the_calendar() {
        let span = |months, days| Span { months, days, minutes: 0 };
        for (length, day, expected) in [
            (span(1, 0), "2026-05-31", "2026-04-30"),
            (span(1, 0), "2024-03-31", "2024-02-29"),
            (span(12, 0), "2024-02-29", "2023-02-28"),
            (span(3, 1), "2026-05-31", "2026-02-27"),
            (span(0, 30), "2026-03-01", "2026-01-30"),
            (span(0, 0), "2026-03-01", "2026-03-01"),
        ] {
            assert_eq!(length.before(day.parse().unwrap()).to_string(), expected, "{length:?} before {day}");
        }
    }
}
