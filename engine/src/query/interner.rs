//! Texts as small numbers: each different text is kept once, all of them in one buffer.

use std::hash::{BuildHasher, RandomState};

use datafusion::error::{DataFusionError, Result};
use hashbrown::HashTable;

/// Numbers texts from 0 in the order of their first appearance.
#[derive(Default)]
pub(crate) struct Interner {
    /// All texts, one after the other.
    bytes: Vec<u8>,
    /// Where each text ends.
    ends: Vec<usize>,
    numbers: HashTable<u32>,
    hasher: RandomState,
}

impl Interner {
    /// The number of `text`.
    ///
    /// # Errors
    /// ResourcesExhausted beyond four billion texts.
    pub(crate) fn number(&mut self, text: &str) -> Result<u32> {
        let hash = self.hasher.hash_one(text.as_bytes());
        let (bytes, ends, hasher) = (&self.bytes, &self.ends, &self.hasher);
        if let Some(&number) = self.numbers.find(hash, |&number| slice(bytes, ends, number) == text.as_bytes()) {
            return Ok(number);
        }
        let number = u32::try_from(self.ends.len())
            .map_err(|_| DataFusionError::ResourcesExhausted(format!("more than {} different texts", u32::MAX)))?;
        self.numbers.insert_unique(hash, number, |&number| hasher.hash_one(slice(bytes, ends, number)));
        self.bytes.extend_from_slice(text.as_bytes());
        self.ends.push(self.bytes.len());
        Ok(number)
    }

    /// How many different texts there are: their numbers are below it.
    pub(crate) fn len(&self) -> u32 {
        // No more were given.
        u32::try_from(self.ends.len()).unwrap_or(u32::MAX)
    }

    /// The text with `number`, which this interner gave.
    pub(crate) fn text(&self, number: u32) -> &str {
        // Only whole texts were put in.
        std::str::from_utf8(slice(&self.bytes, &self.ends, number)).unwrap_or_default()
    }

    /// Bytes held.
    pub(crate) fn allocated_bytes(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * size_of::<usize>() + self.numbers.allocation_size()
    }
}

fn slice<'a>(bytes: &'a [u8], ends: &[usize], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] };
    &bytes[start..ends[number]]
}
