//! Chance: a seeded generator for sequences, and a mixing function for facts that must not depend on any order.

use rand::rngs::SmallRng;
use rand::{RngCore, SeedableRng};

/// A seeded source of choices. Two dice of one seed and one stream name make the same choices.
#[derive(Debug)]
pub(crate) struct Dice(SmallRng);

impl Dice {
    /// Dice of their own for one purpose (`stream`), so that adding choices to one file changes no other file.
    pub(crate) fn new(seed: u64, stream: &str) -> Self {
        let stream = stream.bytes().fold(seed, |state, byte| mix(state, u64::from(byte)));
        Dice(SmallRng::seed_from_u64(stream))
    }

    /// A number from 0 to `limit` - 1 (0 for a limit of 0).
    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        scale(self.0.next_u64(), limit)
    }

    /// One place of a list of `length` places.
    pub(crate) fn place(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True `per_thousand` times in a thousand.
    pub(crate) fn chance(&mut self, per_thousand: u64) -> bool {
        self.below(1000) < per_thousand
    }

    /// A number in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of the items, of which there must be at least one.
    pub(crate) fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.place(items.len())]
    }
}

/// A 64-bit hash of two numbers (SplitMix64's finaliser): the same facts about a person in every file, with no memory of them.
pub(crate) fn mix(state: u64, value: u64) -> u64 {
    let mut z = state.wrapping_add(value.wrapping_mul(0x9E37_79B9_7F4A_7C15)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// A number for a subject, to mix into a seed so that facts about different subjects are independent.
pub(crate) const fn topic(name: &[u8; 4]) -> u64 {
    u32::from_be_bytes(*name) as u64
}

/// Brings a 64-bit hash evenly into 0 to `limit` - 1.
pub(crate) fn scale(hash: u64, limit: u64) -> u64 {
    ((u128::from(hash) * u128::from(limit)) >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_one_seed_differ_and_repeat() {
        let draw = |seed, stream| {
            (0..8).map(|_| 0).scan(Dice::new(seed, stream), |d, _: u8| Some(d.below(1000))).collect::<Vec<_>>()
        };
        assert_eq!(draw(1, "web"), draw(1, "web"));
        assert_ne!(draw(1, "web"), draw(1, "crm"));
        assert_ne!(draw(1, "web"), draw(2, "web"));
    }

    #[test]
    fn between_includes_both_ends() {
        let mut dice = Dice::new(5, "ends");
        let seen: std::collections::BTreeSet<u64> = (0..200).map(|_| dice.between(3, 5)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(dice.below(0), 0);
    }
}
