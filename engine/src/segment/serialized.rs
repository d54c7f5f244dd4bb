//! Looks numbers up in a Roaring bitmap as it is stored, without making a bitmap of all the others: who of the people that a
//! refresh touched was a member. The portable format: <https://github.com/RoaringBitmap/RoaringFormatSpec>.

use std::ops::Range;

use roaring::RoaringBitmap;

/// The first 16 bits of a bitmap of which some containers are runs.
const WITH_RUNS: u32 = 12347;
/// The first 32 bits of one without.
const WITHOUT_RUNS: u32 = 12346;
/// From so many containers on, one with runs has their offsets, too.
const OFFSETS_MIN: usize = 4;
/// A container of more numbers is bits.
const ARRAY_MAX: usize = 4096;
const WORD_BITS: usize = u64::BITS as usize;
/// The words of a container.
const WORDS: usize = (1 << 16) / WORD_BITS;
const CONTAINER_BYTES: usize = WORDS * size_of::<u64>();

/// The places among ascending `numbers` of those that are in the bitmap `stored`; `None` if that is no bitmap.
pub(super) fn places(stored: &[u8], numbers: &[u32]) -> Option<RoaringBitmap> {
    let mut reader = Reader(stored);
    let cookie = reader.u32()?;
    let (count, runs) = match cookie {
        WITHOUT_RUNS => (reader.u32()? as usize, &[][..]),
        _ if cookie & 0xffff == WITH_RUNS => {
            let count = (cookie >> 16) as usize + 1;
            (count, reader.bytes(count.div_ceil(8))?)
        }
        _ => return None,
    };
    let headers = reader.bytes(count.checked_mul(4)?)?;
    if runs.is_empty() || count >= OFFSETS_MIN {
        reader.bytes(count * 4)?;
    }
    let mut found = vec![0_u64; numbers.len().div_ceil(WORD_BITS)];
    let mut scratch = [0; WORDS];
    let mut next = 0;
    for (container, header) in headers.chunks_exact(4).enumerate() {
        let (key, length) = (u16_at(header, 0), usize::from(u16_at(header, 1)) + 1);
        let is_run = runs.get(container / 8).is_some_and(|flags| flags >> (container % 8) & 1 == 1);
        let form = Form::read(&mut reader, is_run, length)?;
        let start = next + numbers[next..].partition_point(|number| number >> 16 < u32::from(key));
        next = start + numbers[start..].partition_point(|number| number >> 16 == u32::from(key));
        if start < next {
            form.find(numbers, start..next, &mut scratch, &mut found)?;
        }
    }
    let bytes: Vec<u8> = found.into_iter().flat_map(u64::to_le_bytes).collect();
    Some(RoaringBitmap::from_lsb0_bytes(0, &bytes))
}

/// The numbers of a container, less what all have in common.
enum Form<'s> {
    /// A bit for each number.
    Bits(&'s [u8; CONTAINER_BYTES]),
    /// Ascending.
    Array(&'s [u8]),
    /// A first number, and how many follow it.
    Runs(&'s [u8]),
}

impl<'s> Form<'s> {
    fn read(reader: &mut Reader<'s>, is_run: bool, length: usize) -> Option<Self> {
        Some(if is_run {
            let runs = usize::from(u16_at(reader.bytes(2)?, 0));
            Self::Runs(reader.bytes(runs * 4)?)
        } else if length <= ARRAY_MAX {
            Self::Array(reader.bytes(length * 2)?)
        } else {
            Self::Bits(reader.bytes(CONTAINER_BYTES)?.try_into().ok()?)
        })
    }

    /// Sets a bit of `found` for the place of each number that is here.
    fn find(&self, numbers: &[u32], range: Range<usize>, scratch: &mut [u64; WORDS], found: &mut [u64]) -> Option<()> {
        match self {
            Self::Bits(bits) => {
                find(numbers, range, found, |low| u64::from(bits[low / 8] >> (low % 8) & 1));
                return Some(());
            }
            Self::Array(values) => {
                scratch.fill(0);
                for value in values.chunks_exact(2) {
                    let value = usize::from(u16_at(value, 0));
                    scratch[value / WORD_BITS] |= 1 << (value % WORD_BITS);
                }
            }
            Self::Runs(runs) => {
                scratch.fill(0);
                for run in runs.chunks_exact(4) {
                    let last = u16_at(run, 0).checked_add(u16_at(run, 1))?;
                    for value in usize::from(u16_at(run, 0))..=usize::from(last) {
                        scratch[value / WORD_BITS] |= 1 << (value % WORD_BITS);
                    }
                }
            }
        }
        find(numbers, range, found, |low| scratch[low / WORD_BITS] >> (low % WORD_BITS) & 1);
        Some(())
    }
}

/// `bit` is 1 for what is there: nobody could foresee a branch.
fn find(numbers: &[u32], range: Range<usize>, found: &mut [u64], bit: impl Fn(usize) -> u64) {
    let mut start = range.start;
    while start < range.end {
        let end = range.end.min((start / WORD_BITS + 1) * WORD_BITS);
        // From the last one on, each moves those behind it to their places.
        let of_word = numbers[start..end].iter().rev();
        let word = of_word.fold(0, |word, number| word << 1 | bit((number & 0xffff) as usize));
        found[start / WORD_BITS] |= word << (start % WORD_BITS);
        start = end;
    }
}

/// The 16 bits at a place; all is stored with the least byte first.
fn u16_at(bytes: &[u8], place: usize) -> u16 {
    u16::from_le_bytes([bytes[2 * place], bytes[2 * place + 1]])
}

struct Reader<'s>(&'s [u8]);

impl<'s> Reader<'s> {
    fn bytes(&mut self, count: usize) -> Option<&'s [u8]> {
        let (bytes, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sets in every form of container, and of several.
    fn sets() -> Vec<RoaringBitmap> {
        let sets: [Vec<u32>; 7] = [
            vec![],
            vec![5, 70_000],
            (0..200_000).step_by(3).collect(),
            (10..90_000).chain([131_072]).collect(),
            (0..6).map(|container| container << 16).collect(),
            (0..65_536).chain(500_000..500_010).chain(600_000..700_000).collect(),
            vec![u32::MAX],
        ];
        sets.into_iter().map(|set| set.into_iter().collect()).collect()
    }

    fn stored(set: &RoaringBitmap, in_runs: bool) -> Vec<u8> {
        let mut set = set.clone();
        if in_runs {
            set.optimize();
        }
        let mut bytes = Vec::new();
        set.serialize_into(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn test_finds_the_places_of_numbers_in_every_form() {
        let far = || (0..700_000).step_by(777).chain([u32::MAX]);
        let some: [Vec<u32>; 4] = [vec![], vec![70_000], (0..200_000).step_by(7).collect(), far().collect()];
        for (set, in_runs) in sets().iter().flat_map(|set| [(set, false), (set, true)]) {
            for numbers in &some {
                let expected: RoaringBitmap =
                    (0..).zip(numbers).filter(|(_, number)| set.contains(**number)).map(|(place, _)| place).collect();
                assert_eq!(places(&stored(set, in_runs), numbers), Some(expected), "{set:?}, {in_runs}");
            }
        }
    }

    #[test]
    fn test_what_is_cut_short_is_no_bitmap() {
        for (set, in_runs) in sets().iter().flat_map(|set| [(set, false), (set, true)]) {
            let bytes = stored(set, in_runs);
            let cuts = (0..bytes.len()).step_by(bytes.len() / 100 + 1);
            assert!(cuts.into_iter().all(|length| places(&bytes[..length], &[5, 9]).is_none()), "{set:?}");
        }
        assert_eq!(places(b"no bitmap at all", &[5]), None);
    }
}
