//! Texts as small numbers: each different text is kept once, all of them in one buffer.
//!
//! A text is known by its fingerprint, 96 bits of SipHash-1-3 (Aumasson and Bernstein 2012) with a key that nobody outside
//! the process knows. That two of a billion texts have the same has a probability of 10^-11, and whoever chooses texts cannot
//! make it likelier. So texts are not compared, and a look-up takes one read of memory that nothing has fetched yet, that of a
//! slot of the table. [`Interner::numbers_of`] begins many of these reads before it needs the first, so that the processor waits
//! for them at once.

use std::hash::{BuildHasher, RandomState};
use std::hint::black_box;
use std::sync::LazyLock;

use datafusion::error::{DataFusionError, Result};
use siphasher::sip128::SipHasher13;

/// The number of no text.
const NONE: u32 = u32::MAX;
/// Texts are looked up in blocks whose intermediate results stay in the nearest cache.
const BLOCK: usize = 256;
const SLOTS_MIN: usize = 1024;
/// An odd number, by which a power of two of blocks have another order: blocks that follow each other are far apart.
const SCATTER: usize = 0x9E37_79B1;

/// The process's: one for all, since an interner takes fingerprints from others.
static KEY: LazyLock<Key> = LazyLock::new(|| {
    let random = RandomState::new();
    Key(SipHasher13::new_with_keys(random.hash_one(0), random.hash_one(1)))
});

/// By which a text is known.
pub(crate) type Fingerprint = [u32; 3];

/// What makes fingerprints of texts: of one namespace, or without any. A text has another one in each namespace.
pub(crate) struct Key(SipHasher13);

impl Key {
    /// That of a namespace.
    pub(crate) fn of(namespace: Option<&str>) -> Self {
        let Some(namespace) = namespace else { return Self(KEY.0) };
        let keys = KEY.0.hash(namespace.as_bytes());
        Self(SipHasher13::new_with_keys(keys.h1, keys.h2))
    }

    pub(crate) fn fingerprint(&self, text: &str) -> Fingerprint {
        let hash = self.0.hash(text.as_bytes());
        [hash.h1 as u32, hash.h2 as u32, (hash.h2 >> 32) as u32]
    }
}

/// Numbers texts from 0 in the order of their first appearance.
pub(crate) struct Interner {
    /// All texts, one after the other.
    whole: String,
    /// Where each text ends.
    ends: Vec<usize>,
    /// Open addressing with linear probing: a power of two of slots, at most three quarters of them taken.
    slots: Vec<Slot>,
}

/// A place in the table.
#[derive(Clone, Copy)]
struct Slot {
    /// Its first bits say where the slot is.
    fingerprint: Fingerprint,
    /// The text's number.
    number: u32,
}

const FREE: Slot = Slot { fingerprint: [0; 3], number: NONE };

impl Default for Interner {
    fn default() -> Self {
        Self { whole: String::new(), ends: Vec::new(), slots: vec![FREE; SLOTS_MIN] }
    }
}

impl Interner {
    /// The number of `text`.
    ///
    /// # Errors
    /// ResourcesExhausted beyond four billion texts.
    pub(crate) fn number(&mut self, text: &str) -> Result<u32> {
        self.make_room(1);
        self.find(KEY.fingerprint(text), || text)
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
        let mut fingerprints = [[0; 3]; BLOCK];
        for first in (0..count).step_by(BLOCK) {
            let block = first..count.min(first + BLOCK);
            let fingerprints = &mut fingerprints[..block.len()];
            for (place, fingerprint) in block.zip(fingerprints.iter_mut()) {
                *fingerprint = KEY.fingerprint(text(place));
            }
            self.numbers_of(fingerprints, |place| text(first + place), numbers)?;
        }
        Ok(())
    }

    /// The same of texts whose fingerprints are known.
    pub(crate) fn numbers_of<'t>(
        &mut self,
        fingerprints: &[Fingerprint],
        text: impl Fn(usize) -> &'t str,
        numbers: &mut Vec<u32>,
    ) -> Result<()> {
        for (block, fingerprints) in fingerprints.chunks(BLOCK).enumerate() {
            self.make_room(fingerprints.len());
            let fetch = |sum: u32, fingerprint: &Fingerprint| sum ^ self.slots[self.place(fingerprint)].number;
            black_box(fingerprints.iter().fold(0, fetch));
            for (place, fingerprint) in (block * BLOCK..).zip(fingerprints) {
                numbers.push(self.find(*fingerprint, || text(place))?);
            }
        }
        Ok(())
    }

    /// Takes all texts of another one; gives the number here of each.
    ///
    /// # Errors
    /// As [`Interner::number`].
    pub(crate) fn absorb(&mut self, other: &Self) -> Result<Vec<u32>> {
        let mut numbers = vec![NONE; other.ends.len()];
        let mut taken: Vec<&Slot> = Vec::with_capacity(BLOCK);
        let blocks = other.slots.len() / BLOCK; // a power of two
        for block in 0..blocks {
            // Block by block, for their slots are neighbours here too. But not one after the other: all texts of the first would
            // crowd the first slots here, while there is room behind, and each would be looked for behind all that came before.
            let first = block.wrapping_mul(SCATTER) % blocks * BLOCK;
            self.make_room(BLOCK);
            taken.clear();
            taken.extend(other.slots[first..first + BLOCK].iter().filter(|slot| slot.number != NONE));
            other.fetch(taken.iter().map(|slot| slot.number));
            for slot in &taken {
                numbers[slot.number as usize] = self.find(slot.fingerprint, || other.text(slot.number))?;
            }
        }
        Ok(numbers)
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

    /// Has some texts fetched, for whoever reads them one by one after that.
    pub(crate) fn fetch(&self, numbers: impl Iterator<Item = u32> + Clone) {
        // Where they are, and then themselves: the second needs the first.
        black_box(numbers.clone().fold(0, |sum, number| sum ^ self.start(number)));
        let first_byte = |number| self.whole.as_bytes().get(self.start(number)).copied().unwrap_or_default();
        black_box(numbers.fold(0, |sum, number| sum ^ first_byte(number)));
    }

    /// Bytes held.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.whole.capacity() + self.ends.capacity() * size_of::<usize>() + self.slots.capacity() * size_of::<Slot>()
    }

    /// Finds a text, or puts it in; there is room.
    fn find<'t>(&mut self, fingerprint: Fingerprint, text: impl FnOnce() -> &'t str) -> Result<u32> {
        let mut place = self.place(&fingerprint);
        loop {
            let slot = self.slots[place];
            if slot.number == NONE {
                let number = u32::try_from(self.ends.len()).ok().filter(|number| *number != NONE);
                let number = number
                    .ok_or_else(|| DataFusionError::ResourcesExhausted(format!("more than {NONE} different texts")))?;
                self.slots[place] = Slot { fingerprint, number };
                self.whole.push_str(text());
                self.ends.push(self.whole.len());
                return Ok(number);
            }
            if slot.fingerprint == fingerprint {
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
            let mut place = self.place(&slot.fingerprint);
            while self.slots[place].number != NONE {
                place = (place + 1) & (size - 1);
            }
            self.slots[place] = slot;
        }
    }

    fn start(&self, number: u32) -> usize {
        if number == 0 { 0 } else { self.ends[number as usize - 1] }
    }

    fn place(&self, fingerprint: &Fingerprint) -> usize {
        fingerprint[0] as usize & (self.slots.len() - 1)
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

    #[test]
    fn test_what_is_absorbed_has_the_number_of_its_text() {
        let interned = |texts: std::ops::Range<u32>| {
            let mut interner = Interner::default();
            for number in texts {
                interner.number(&number.to_string()).unwrap();
            }
            interner
        };
        let (mut few, many) = (interned(0..10), interned(5..5_000));
        let numbers = few.absorb(&many).unwrap();
        assert_eq!(few.len(), 5_000);
        for (theirs, number) in (0..).zip(numbers) {
            assert_eq!(few.text(number), many.text(theirs));
        }
    }
}
