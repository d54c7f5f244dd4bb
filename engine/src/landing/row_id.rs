//! What an event is known by, and the numbering of rows in input order.
//!
//! An event is known by its source and message id. One without a message id is known by its content and its number among the
//! equal rows of the input, so that real equal rows all count and a longer export of the same data adds only what is new.

use std::borrow::Cow;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::Arc;

use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringBuilder};
use arrow::datatypes::Int64Type;
use hashbrown::HashMap;
use twox_hash::XxHash3_64;

use crate::error::Result;
use crate::landing::schema::UnnumberedRows;

/// Where `event_id` and `event_hash` are among [`UnnumberedRows::columns`] of events.
const EVENT_ID: usize = 2;
const EVENT_HASH: usize = 3;

/// What one event is known by within its source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EventId<'a> {
    /// The sender's message id.
    Given(Cow<'a, str>),
    /// [`content_hash`] of the row.
    Content(u128),
}

/// Speeds up the search for duplicates; equality is always on source and id themselves.
pub(crate) fn event_hash(source: &str, event_id: &str) -> i64 {
    // One-shot hashing of a joined text beats the streaming hasher, whose state is half a kilobyte.
    let mut joined = [0_u8; 256];
    let length = source.len() + 1 + event_id.len();
    if length <= joined.len() {
        joined[..source.len()].copy_from_slice(source.as_bytes());
        joined[source.len()] = 0x1f;
        joined[source.len() + 1..length].copy_from_slice(event_id.as_bytes());
        return XxHash3_64::oneshot(&joined[..length]) as i64;
    }
    XxHash3_64::oneshot(format!("{source}\u{1f}{event_id}").as_bytes()) as i64
}

/// The first 128 bits of the BLAKE3 hash of a row's content.
pub(crate) fn content_hash(content: &[u8]) -> u128 {
    let mut first = [0_u8; 16];
    first.copy_from_slice(&blake3::hash(content).as_bytes()[..16]);
    u128::from_be_bytes(first)
}

/// Gives rows their positions and their numbers among equals. Chunks come in input order.
#[derive(Default)]
pub(crate) struct Numbering {
    next_position: i64,
    seen: HashMap<[u8; 16], u32, BuildHasherDefault<FirstBytes>>,
}

impl Numbering {
    /// The chunk's rows with every column of their schema.
    pub(crate) fn number(&mut self, source: &str, rows: UnnumberedRows) -> Result<RecordBatch> {
        let UnnumberedRows { schema, mut columns, content_hashes } = rows;
        if !content_hashes.is_empty() {
            self.name_by_content(source, &mut columns, &content_hashes);
        }
        let row_count = columns[0].len() as i64;
        let positions = Int64Array::from_iter_values(self.next_position..self.next_position + row_count);
        self.next_position += row_count;
        columns.insert(0, Arc::new(positions));
        Ok(RecordBatch::try_new(schema, columns)?)
    }

    /// Fills the ids that only the order of the input tells.
    fn name_by_content(
        &mut self,
        source: &str,
        columns: &mut [arrow::array::ArrayRef],
        content_hashes: &[(usize, u128)],
    ) {
        let given_ids = columns[EVENT_ID].as_string::<i32>();
        let mut ids = StringBuilder::with_capacity(given_ids.len(), given_ids.len() * 36);
        let mut hashes = columns[EVENT_HASH].as_primitive::<Int64Type>().values().to_vec();
        let mut next_row = 0;
        for (row, content_hash) in content_hashes {
            (next_row..*row).for_each(|given| ids.append_value(given_ids.value(given)));
            let occurrence = self.seen.entry(content_hash.to_be_bytes()).or_default();
            let id = format!("{content_hash:032x}-{occurrence}");
            *occurrence += 1;
            hashes[*row] = event_hash(source, &id);
            ids.append_value(id);
            next_row = row + 1;
        }
        (next_row..given_ids.len()).for_each(|given| ids.append_value(given_ids.value(given)));
        columns[EVENT_ID] = Arc::new(ids.finish());
        columns[EVENT_HASH] = Arc::new(Int64Array::from(hashes));
    }
}

/// Hashes keys that are hashes already: takes their first eight bytes.
#[derive(Default)]
struct FirstBytes(u64);

impl Hasher for FirstBytes {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(first) = bytes.first_chunk() {
            self.0 = u64::from_le_bytes(*first);
        }
    }

    // The length that arrays put before their bytes says nothing here.
    fn write_usize(&mut self, _: usize) {}

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_event_hash_is_that_of_the_joined_text() {
        let expected = XxHash3_64::oneshot(b"web\x1fm-1") as i64;
        assert_eq!(event_hash("web", "m-1"), expected);
        let long = "m".repeat(300);
        assert_eq!(event_hash("web", &long), XxHash3_64::oneshot(format!("web\x1f{long}").as_bytes()) as i64);
    }

    #[test]
    fn test_content_hash_is_the_start_of_blake3() {
        let hex = blake3::hash(b"row").to_hex();
        assert_eq!(format!("{:032x}", content_hash(b"row")), hex[..32]);
    }
}
