//! Sets of small numbers as bits.

use arrow::buffer::Buffer;

const WORD_BITS: usize = u64::BITS as usize;

/// A bit for each number below `count`, set for those in `numbers`, which ascend. The first is the least significant of the
/// first byte, as Arrow and Roaring have them.
pub(super) fn bits(numbers: impl Iterator<Item = usize>, count: usize) -> Buffer {
    let mut words = vec![0_u64; count.div_ceil(WORD_BITS)];
    // One that is written again at once would have to be waited for.
    let (mut place, mut word) = (0, 0);
    for number in numbers {
        if number / WORD_BITS != place {
            words[place] = u64::to_le(word);
            (place, word) = (number / WORD_BITS, 0);
        }
        word |= 1_u64 << (number % WORD_BITS);
    }
    if let Some(last) = words.get_mut(place) {
        *last = u64::to_le(word);
    }
    Buffer::from_vec(words).slice_with_length(0, count.div_ceil(8))
}

#[cfg(test)]
mod tests {
    use super::bits;

    #[test]
    fn test_sets_the_bits_of_numbers() {
        assert_eq!(bits([0, 1, 9, 63, 64, 200].into_iter(), 201).as_slice(), {
            let mut bytes = [0_u8; 26];
            (bytes[0], bytes[1], bytes[7], bytes[8], bytes[25]) = (0b11, 0b10, 0b1000_0000, 0b1, 0b1);
            bytes
        });
        assert_eq!(bits([130].into_iter(), 131).as_slice()[16], 0b100);
        assert_eq!(bits([].into_iter(), 3).as_slice(), [0]);
        assert!(bits([].into_iter(), 0).is_empty());
    }
}
