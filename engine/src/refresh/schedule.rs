//! When a refresh is due. Pure: the time is passed in, and so is what was done; the loop that waits is the server's.
//!
//! A schedule names instants. The last of them that has passed is *due* unless the refresh that made what is published
//! began at that instant or later. So nothing has to be remembered but what the generations say anyway: a server that was
//! down at the instant finds it due when it comes up, and of two servers the second finds that the first did it.

use chrono::DateTime;
use chrono_tz::Tz;
use croner::Cron;

use crate::clock::Micros;
use crate::config::Schedule;
use crate::config::serve::parse_cron;
use crate::error::{EngineError, Result};

/// A schedule, ready to be asked.
#[derive(Debug, Clone)]
pub struct Timetable {
    cron: Cron,
    zone: Tz,
}

impl Timetable {
    /// Reads a schedule.
    ///
    /// # Errors
    /// InvalidInput if its expression or time zone cannot be read.
    pub fn new(schedule: &Schedule) -> Result<Self> {
        let wrong = |what: String| EngineError::invalid(format!("schedule `{}`: {what}", schedule.name));
        let cron = parse_cron(&schedule.cron).map_err(|error| wrong(format!("`{}`: {error}", schedule.cron)))?;
        let zone = schedule.time_zone.parse().map_err(|_| wrong(format!("unknown zone `{}`", schedule.time_zone)))?;
        Ok(Self { cron, zone })
    }

    /// The last instant of the schedule that is not after `now`, microseconds since 1970 UTC; `None` if there is none.
    pub fn last_until(&self, now: Micros) -> Option<Micros> {
        let now = DateTime::from_timestamp_micros(now)?.with_timezone(&self.zone);
        // One that falls on `now` counts.
        let found = self.cron.find_previous_occurrence(&now, true).ok()?;
        Some(found.timestamp_micros())
    }

    /// The first instant of the schedule after `now`; `None` if there is none.
    pub fn next_after(&self, now: Micros) -> Option<Micros> {
        let now = DateTime::from_timestamp_micros(now)?.with_timezone(&self.zone);
        let found = self.cron.find_next_occurrence(&now, false).ok()?;
        Some(found.timestamp_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timetable(cron: &str, zone: &str) -> Timetable {
        let schedule =
            Schedule { name: "test".to_owned(), cron: cron.to_owned(), time_zone: zone.to_owned(), full: false };
        Timetable::new(&schedule).unwrap()
    }

    fn at(text: &str) -> Micros {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros()
    }

    #[test]
    fn test_the_last_instant_includes_now_and_the_next_does_not() {
        let quarters = timetable("*/15 * * * *", "UTC");
        assert_eq!(quarters.last_until(at("2026-03-01T10:15:00Z")), Some(at("2026-03-01T10:15:00Z")));
        assert_eq!(quarters.last_until(at("2026-03-01T10:29:59Z")), Some(at("2026-03-01T10:15:00Z")));
        assert_eq!(quarters.next_after(at("2026-03-01T10:15:00Z")), Some(at("2026-03-01T10:30:00Z")));
    }

    #[test]
    fn test_instants_are_those_of_the_time_zone_also_when_clocks_change() {
        let nightly = timetable("30 4 * * *", "Europe/Paris");
        assert_eq!(nightly.next_after(at("2026-01-10T12:00:00Z")), Some(at("2026-01-11T03:30:00Z")));
        assert_eq!(nightly.next_after(at("2026-07-10T12:00:00Z")), Some(at("2026-07-11T02:30:00Z")));
        // At 02:00 on 2026-03-29 clocks go to 03:00: half past two does not exist, and is not left out.
        let in_the_gap = timetable("30 2 * * *", "Europe/Paris");
        let next = in_the_gap.next_after(at("2026-03-28T12:00:00Z")).unwrap();
        assert!((at("2026-03-29T00:59:59Z")..=at("2026-03-29T02:00:00Z")).contains(&next), "{next}");
    }

    #[test]
    fn test_an_instant_long_gone_is_found() {
        let yearly = timetable("0 0 1 1 *", "UTC");
        assert_eq!(yearly.last_until(at("2026-11-24T00:00:00Z")), Some(at("2026-01-01T00:00:00Z")));
    }
}
