//! Texts as small numbers: each different text is kept once, all of them in one buffer.
//!
//! Looking up a text takes three reads of memory that nothing has fetched yet: its slot in the table, where the text there
//! ends, and that text. [`Interner::numbers`] takes many texts through each of these steps before the next one, so that the
//! processor waits for many reads at once. One after the other takes several times as long when the table outgrows the caches.

use std::hash::{BuildHasher, Hasher};
use std::hint::black_box;

use datafusion::error::{DataFusionError, Result};
use hashbrown::DefaultHashBuilder;

/// The number of no text.
const NONE: u32 = u32::MAX;
/// Texts are taken through the steps in blocks whose intermediate results stay in the nearest cache.
const BLOCK: usize = 256;
const SLOTS_MIN: usize = 1024;

/// Numbers texts from 0 in the order of their first appearance.
pub(crate) struct Interner {
    /// All texts, one after the other.
    whole: String,
    /// Where each text ends.
    ends: Vec<usize>,
    /// Open addressing with linear probing: a power of two of slots, at most three quarters of them taken.
    slots: Vec<Slot>,
    hasher: DefaultHashBuilder,
}

/// A place in the table.
#[derive(Clone, Copy)]
struct Slot {
    /// The text's hash. Its lower bits say where the slot is, the others spare most comparisons with other texts.
    hash: u32,
    /// The text's number.
    number: u32,
}

const FREE: Slot = Slot { hash: 0, number: NONE };

impl Default for Interner {
    fn default() -> Self {
        let slots = vec![FREE; SLOTS_MIN];
        Self { whole: String::new(), ends: Vec::new(), slots, hasher: DefaultHashBuilder::default() }
    }
}

impl Interner {
    /// The number of `text`.
    ///
    /// # Errors
    /// ResourcesExhausted beyond four billion texts.
    pub(crate) fn number(&mut self, text: &str) -> Result<u32> {
        self.make_room(1);
        self.probe(text, self.hash(text))
    }

    /// Appends the numbers of `count` texts to `numbers`.
    ///
    /// # Errors
    /// As [`Interner::number`].
    pub(crate) fn numbers<'t>(
        &mut self,
        count: usize,
        text: impl Fn(usize) -> &'t str,
        numbers: &mut Vec<u32>,
    ) -> Result<()> {
        let mut hashes = [0_u32; BLOCK];
        let mut likely = [NONE; BLOCK];
        let mut starts = [0_usize; BLOCK];
        for first in (0..count).step_by(BLOCK) {
            let block = first..count.min(first + BLOCK);
            self.make_room(block.len());
            for (place, hash) in block.clone().zip(&mut hashes) {
                *hash = self.hash(text(place));
            }
            for (hash, likely) in hashes[..block.len()].iter().zip(&mut likely) {
                *likely = self.first_with(*hash);
            }
            for (likely, start) in likely[..block.len()].iter().zip(&mut starts) {
                *start = if *likely == NONE { 0 } else { self.start(*likely) };
            }
            // Only fetches the texts: whether they are equal is asked when all are on their way.
            let fetch = |sum: u8, start: &usize| sum ^ self.whole.as_bytes().get(*start).copied().unwrap_or_default();
            black_box(starts[..block.len()].iter().fold(0, fetch));
            for (place, (likely, hash)) in block.zip(likely.iter().zip(&hashes)) {
                let text = text(place);
                let is_it = *likely != NONE && self.text(*likely) == text;
                numbers.push(if is_it { *likely } else { self.probe(text, *hash)? });
            }
        }
        Ok(())
    }

    /// How many different texts there are: their numbers are below it.
    pub(crate) fn len(&self) -> u32 {
        // No more were given.
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// The text with `number`, which this interner gave.
    pub(crate) fn text(&self, number: u32) -> &str {
        &self.whole[self.start(number)..self.ends[number as usize]]
    }

    /// Bytes held.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.whole.capacity() + self.ends.capacity() * size_of::<usize>() + self.slots.capacity() * size_of::<Slot>()
    }

    /// Finds a text, or puts it in; there is room.
    fn probe(&mut self, text: &str, hash: u32) -> Result<u32> {
        let mut place = self.place(hash);
        loop {
            let slot = self.slots[place];
            if slot.number == NONE {
                let number = u32::try_from(self.ends.len()).ok().filter(|number| *number != NONE);
                let number = number
                    .ok_or_else(|| DataFusionError::ResourcesExhausted(format!("more than {NONE} different texts")))?;
                self.slots[place] = Slot { hash, number };
                self.whole.push_str(text);
                self.ends.push(self.whole.len());
                return Ok(number);
            }
            if slot.hash == hash && self.text(slot.number) == text {
                return Ok(slot.number);
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }

    /// Doubles the table as long as `count` more texts might take more than three quarters of it.
    fn make_room(&mut self, count: usize) {
        let mut size = self.slots.len();
        while (self.ends.len() + count) * 4 > size * 3 {
            size *= 2;
        }
        if size == self.slots.len() {
            return;
        }
        let slots = std::mem::replace(&mut self.slots, vec![FREE; size]);
        for slot in slots.into_iter().filter(|slot| slot.number != NONE) {
            let mut place = self.place(slot.hash);
            while self.slots[place].number != NONE {
                place = (place + 1) & (size - 1);
            }
            self.slots[place] = slot;
        }
    }

    /// The number of the first text with this hash, or `NONE`.
    fn first_with(&self, hash: u32) -> u32 {
        let mut place = self.place(hash);
        loop {
            let slot = self.slots[place];
            if slot.hash == hash || slot.number == NONE {
                return slot.number;
            }
            place = (place + 1) & (self.slots.len() - 1);
        }
    }

    fn hash(&self, text: &str) -> u32 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(text.as_bytes());
        hasher.finish() as u32
    }

    fn place(&self, hash: u32) -> usize {
        hash as usize & (self.slots.len() - 1)
    }

    fn start(&self, number: u32) -> usize {
        if number == 0 { 0 } else { self.ends[number as usize - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_equal_texts_have_one_number_and_come_back() {
        let texts: Vec<String> = (0..20_000).map(|number| format!("namespace:{}", number % 7_000)).collect();
        let mut interner = Interner::default();
        let mut numbers = Vec::new();
        interner.numbers(texts.len(), |place| &texts[place], &mut numbers).unwrap();
        assert_eq!(interner.len(), 7_000);
        for (text, &number) in texts.iter().zip(&numbers) {
            assert_eq!(interner.text(number), text);
            assert_eq!(interner.number(text).unwrap(), number);
        }
        assert_eq!(interner.number("").unwrap(), 7_000);
        assert_eq!(interner.text(7_000), "");
    }
}
