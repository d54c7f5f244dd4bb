//! Traffic: the visits of a whole crowd, interleaved in the order in which their events arrive.
//!
//! Only the visits that are open at one instant are in memory, whatever the number of events.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::calendar::{DAY, Rhythm};
use crate::catalog::Catalog;
use crate::dice::Dice;
use crate::people::Crowd;
use crate::visit::{Action, Visit};

/// Where the traffic comes from, and how much of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TrafficPlan {
    pub(crate) seed: u64,
    pub(crate) people: u64,
    /// Exactly so many events come.
    pub(crate) events: u64,
    pub(crate) start: i64,
    pub(crate) days: u32,
    pub(crate) in_app: bool,
    /// Whether neighbours may share a browser.
    pub(crate) shared_devices: bool,
}

/// One event.
#[derive(Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) visit: &'a Visit,
    pub(crate) action: Action,
    /// When the event arrives, in milliseconds since 1970.
    pub(crate) arrives_at: i64,
    /// When it happened: earlier, if the device was offline.
    pub(crate) occurred_at: i64,
}

/// The stream of events.
#[derive(Debug)]
pub(crate) struct Traffic<'a> {
    plan: TrafficPlan,
    catalog: &'a Catalog,
    crowd: Crowd,
    rhythm: Rhythm,
    dice: Dice,
    /// Events of all visits that have started.
    planned: u64,
    next_start: i64,
    visits: Vec<Visit>,
    free: Vec<usize>,
    /// The next event of every open visit: when, a number that decides between equal instants, and whose.
    due: BinaryHeap<Reverse<(i64, u64, usize)>>,
    sequence: u64,
    end: i64,
}

impl<'a> Traffic<'a> {
    /// Nothing has happened yet.
    pub(crate) fn new(plan: TrafficPlan, catalog: &'a Catalog) -> Self {
        let rhythm = Rhythm::online(plan.start, plan.days);
        Self {
            plan,
            catalog,
            crowd: Crowd::new(plan.seed, plan.people),
            dice: Dice::new(plan.seed, if plan.in_app { "app traffic" } else { "web traffic" }),
            planned: 0,
            next_start: rhythm.at(0.0),
            rhythm,
            visits: Vec::new(),
            free: Vec::new(),
            due: BinaryHeap::new(),
            sequence: 0,
            end: (plan.start + i64::from(plan.days.max(1)) * DAY) * 1000 - 1,
        }
    }

    /// The next event, or `None` after the last.
    pub(crate) fn next(&mut self) -> Option<Moment<'_>> {
        while self.planned < self.plan.events && self.due.peek().is_none_or(|Reverse((at, ..))| self.next_start <= *at)
        {
            self.start_visit();
        }
        let Reverse((at, _, slot)) = self.due.pop()?;
        let action = self.visits[slot].step(&mut self.dice);
        if self.visits[slot].is_over() {
            self.free.push(slot);
        } else {
            let at = (at + self.visits[slot].pause(&mut self.dice)).min(self.end);
            self.schedule(at, slot);
        }
        let visit = &self.visits[slot];
        Some(Moment { visit, action, arrives_at: at, occurred_at: (at - visit.late_by).max(self.plan.start * 1000) })
    }

    fn start_visit(&mut self) {
        let dice = &mut self.dice;
        let in_app = self.plan.in_app;
        let person =
            if in_app { self.crowd.somebody_who(dice, |person| person.has_app()) } else { self.crowd.somebody(dice) };
        // The app's installation is one more device, after the browsers.
        let device = if in_app { 8 } else { dice.below(person.devices()) };
        let cookie = person.cookie(self.plan.seed, device, self.next_start / 1000 / DAY, self.plan.shared_devices);
        let late_by = if dice.chance(if in_app { 15 } else { 4 }) {
            dice.between(3_600, 3 * DAY as u64) as i64 * 1000
        } else {
            0
        };
        let mut visit = Visit::plan(self.catalog, person, cookie, in_app, late_by, dice);
        visit.cut((self.plan.events - self.planned) as usize);
        self.planned += visit.length() as u64;
        let slot = match self.free.pop() {
            Some(slot) => {
                self.visits[slot] = visit;
                slot
            }
            None => {
                self.visits.push(visit);
                self.visits.len() - 1
            }
        };
        self.schedule(self.next_start, slot);
        self.next_start = self.rhythm.at(self.planned as f64 / self.plan.events as f64).max(self.next_start);
    }

    fn schedule(&mut self, at: i64, slot: usize) {
        self.due.push(Reverse((at, self.sequence, slot)));
        self.sequence += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(events: u64) -> TrafficPlan {
        TrafficPlan {
            seed: 11,
            people: 300,
            events,
            start: 1_700_000_000,
            days: 20,
            in_app: false,
            shared_devices: false,
        }
    }

    #[test]
    fn events_come_in_order_of_arrival_and_as_many_as_planned() {
        let catalog = Catalog::new(11);
        let mut traffic = Traffic::new(plan(5_000), &catalog);
        let (mut count, mut last, mut late, mut orders) = (0, 0, 0, 0);
        while let Some(moment) = traffic.next() {
            assert!(moment.arrives_at >= last);
            last = moment.arrives_at;
            late += u64::from(moment.occurred_at < moment.arrives_at);
            orders += u64::from(moment.action == Action::OrderCompleted);
            assert!(moment.action != Action::OrderCompleted || moment.visit.total(&catalog) > 0);
            count += 1;
        }
        assert_eq!(count, 5_000);
        assert!(last < (1_700_000_000 + 20 * DAY) * 1000);
        assert!(late > 0 && orders > 20, "{late} late, {orders} orders");
        assert!(traffic.visits.len() < 200, "{} visits in memory", traffic.visits.len());
    }

    #[test]
    fn a_shorter_run_of_a_visit_never_overshoots() {
        let catalog = Catalog::new(11);
        for events in [0, 1, 2, 7] {
            let mut traffic = Traffic::new(plan(events), &catalog);
            let mut count = 0;
            while traffic.next().is_some() {
                count += 1;
            }
            assert_eq!(count, events);
        }
    }
}
