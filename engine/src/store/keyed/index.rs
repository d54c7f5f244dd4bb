//! Where the rows with a key are in one data file.

use twox_hash::XxHash3_64;

/// The rows of a file by the hashes of their keys, in memory: eight bytes a row.
///
/// An entry is one number, the hash in its upper half and the row in its lower. Sorted, the entries of a key lie side by
/// side, and a binary search finds them.
pub(super) struct KeyIndex(Box<[u64]>);

impl KeyIndex {
    /// Bytes of an index of so many rows.
    pub(super) fn bytes_for(rows: usize) -> usize {
        rows.saturating_mul(size_of::<u64>())
    }

    /// The rows whose key has `hash`, ascending. Keys share hashes: whoever asks compares the row itself.
    pub(super) fn rows(&self, hash: u32) -> impl Iterator<Item = u32> {
        let start = self.0.partition_point(|&entry| entry >> 32 < u64::from(hash));
        let entries = self.0[start..].iter().take_while(move |&&entry| entry >> 32 == u64::from(hash));
        entries.map(|&entry| (entry & u64::from(u32::MAX)) as u32)
    }
}

/// An index in the making.
pub(super) struct KeyIndexBuilder(Vec<u64>);

impl KeyIndexBuilder {
    /// One of at most `rows` rows.
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self(Vec::with_capacity(rows))
    }

    /// Adds a row with the hash of its key.
    pub(super) fn push(&mut self, hash: u32, row: u32) {
        self.0.push(u64::from(hash) << 32 | u64::from(row));
    }

    /// The index.
    pub(super) fn finish(mut self) -> KeyIndex {
        self.0.sort_unstable();
        KeyIndex(self.0.into_boxed_slice())
    }
}

/// The hash of a key of one or more values: XXH3, each value's hash being the seed of the next one's.
pub(super) fn key_hash<'v>(values: impl IntoIterator<Item = &'v str>) -> u32 {
    let hash = values.into_iter().fold(0, |seed, value| XxHash3_64::oneshot_with_seed(seed, value.as_bytes()));
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_every_row_of_a_hash_is_found_and_no_other() {
        let mut index = KeyIndexBuilder::with_capacity(8);
        for (row, hash) in [(0, 7), (2, u32::MAX), (3, 7), (4, 0), (5, 8), (u32::MAX, 8)] {
            index.push(hash, row);
        }
        let index = index.finish();
        let rows = |hash| index.rows(hash).collect::<Vec<_>>();
        assert_eq!(rows(7), [0, 3]);
        assert_eq!(rows(u32::MAX), [2]);
        assert_eq!(rows(0), [4]);
        assert_eq!(rows(8), [5, u32::MAX]);
        assert_eq!(rows(9), [] as [u32; 0]);
    }

    #[test]
    fn test_where_one_value_ends_and_the_next_begins_matters() {
        assert_ne!(key_hash(["ab", "c"]), key_hash(["a", "bc"]));
        assert_eq!(key_hash(["email", "a@example.com"]), key_hash(["email", "a@example.com"]));
    }
}
