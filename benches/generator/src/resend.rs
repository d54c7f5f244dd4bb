//! Retries: SDKs that got no answer send the same call, with the same message id, again.

use std::collections::BTreeMap;

use crate::dice::Dice;

/// More calls than this never wait at one time, so that memory stays bounded.
const WAITING_MAX: usize = 4096;

/// Calls that will be sent again, by the number of the event after which that happens.
#[derive(Debug)]
pub(crate) struct Resends {
    waiting: BTreeMap<(u64, u64), Vec<u8>>,
    dice: Dice,
    per_thousand: u64,
}

impl Resends {
    /// `per_thousand` of all calls come twice.
    pub(crate) fn new(seed: u64, stream: &str, per_thousand: u64) -> Self {
        Self { waiting: BTreeMap::new(), dice: Dice::new(seed, stream), per_thousand }
    }

    /// Decides whether the call with the number `event` will come again, and keeps it if so.
    pub(crate) fn consider(&mut self, event: u64, call: &[u8]) {
        if self.dice.chance(self.per_thousand) && self.waiting.len() < WAITING_MAX {
            // Most retries come within a moment, some after the phone found its network again.
            let delay = if self.dice.chance(800) { self.dice.between(1, 200) } else { self.dice.between(200, 20_000) };
            self.waiting.insert((event + delay, event), call.to_vec());
        }
    }

    /// A call that comes again now, at event number `event`, if there is one.
    pub(crate) fn due(&mut self, event: u64) -> Option<Vec<u8>> {
        let entry = self.waiting.first_entry()?;
        if entry.key().0 <= event { Some(entry.remove()) } else { None }
    }

    /// A call that was to come again after the last event.
    pub(crate) fn leftover(&mut self) -> Option<Vec<u8>> {
        Some(self.waiting.pop_first()?.1)
    }
}
