//! Looks numbers up in a Roaring bitmap as it is stored, without making a bitmap of all the others: who of the people that a
//! refresh touched was a member. The portable format: <https://github.com/RoaringBitmap/RoaringFormatSpec>.

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

/// Ascending numbers that are looked up, in many bitmaps.
#[derive(Debug)]
pub(super) struct Numbers {
    count: usize,
    containers: Vec<Container>,
}

/// Those of the numbers that have their first 16 bits in common.
#[derive(Debug)]
struct Container {
    /// The first 16 bits.
    key: u16,
    /// The place of the first one among all numbers.
    first: usize,
    /// The last 16 bits of each, ascending.
    lows: Vec<u16>,
    /// The same as bits.
    words: Box<[u64; WORDS]>,
    /// How many of them are below each word.
    below: Box<[u16; WORDS]>,
}

impl Numbers {
    /// Takes ascending numbers.
    pub(super) fn new(ascending: &[u32]) -> Self {
        let mut containers = Vec::new();
        let mut first = 0;
        for alike in ascending.chunk_by(|left, right| left >> 16 == right >> 16) {
            let lows: Vec<u16> = alike.iter().map(|&number| number as u16).collect();
            let (mut words, mut below) = (Box::new([0; WORDS]), Box::new([0; WORDS]));
            lows.iter().for_each(|&low| words[usize::from(low) / WORD_BITS] |= 1 << (usize::from(low) % WORD_BITS));
            let mut sum = 0;
            for (below, word) in below.iter_mut().zip(words.iter()) {
                *below = sum as u16;
                sum += u64::count_ones(*word);
            }
            containers.push(Container { key: (alike[0] >> 16) as u16, first, lows, words, below });
            first += alike.len();
        }
        Self { count: ascending.len(), containers }
    }

    /// The places among the numbers of those that are in the bitmap `stored`; `None` if that is no bitmap.
    pub(super) fn places_in(&self, stored: &[u8]) -> Option<RoaringBitmap> {
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
        let mut found = Found(vec![0; self.count.div_ceil(WORD_BITS)]);
        let mut wanted = self.containers.iter().peekable();
        for (place, header) in headers.chunks_exact(4).enumerate() {
            let (key, length) = (u16_at(header, 0), usize::from(u16_at(header, 1)) + 1);
            let is_run = runs.get(place / 8).is_some_and(|flags| flags >> (place % 8) & 1 == 1);
            let form = Form::read(&mut reader, is_run, length)?;
            while wanted.next_if(|container| container.key < key).is_some() {}
            if let Some(container) = wanted.next_if(|container| container.key == key) {
                form.find(container, &mut found)?;
            }
        }
        let bytes: Vec<u8> = found.0.into_iter().flat_map(u64::to_le_bytes).collect();
        Some(RoaringBitmap::from_lsb0_bytes(0, &bytes))
    }
}

/// A bit for each number, set for those that are found.
struct Found(Vec<u64>);

impl Found {
    fn set(&mut self, place: usize) {
        self.0[place / WORD_BITS] |= 1 << (place % WORD_BITS);
    }

    /// Sets the bits of places that follow each other. `bit` is 1 for what is there: nobody could foresee a branch.
    fn set_where(&mut self, first: usize, lows: &[u16], bit: impl Fn(usize) -> u64) {
        let (mut place, mut rest) = (first, lows);
        while !rest.is_empty() {
            let (of_word, others) = rest.split_at(rest.len().min(WORD_BITS - place % WORD_BITS));
            // From the last one on, each moves those behind it to their places.
            let word = of_word.iter().rev().fold(0, |word, &low| word << 1 | bit(usize::from(low)));
            self.0[place / WORD_BITS] |= word << (place % WORD_BITS);
            (place, rest) = (place + of_word.len(), others);
        }
    }
}

/// The numbers of a container as they are stored, less what all have in common.
enum Form<'s> {
    /// A bit for each number.
    Bits(&'s [u8; CONTAINER_BYTES]),
    /// Ascending.
    Array(&'s [u8]),
    /// A first number, and how many follow it; ascending.
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

    /// Finds those of the numbers of a container that are here.
    fn find(&self, container: &Container, found: &mut Found) -> Option<()> {
        let Container { first, lows, .. } = container;
        match self {
            Self::Bits(bits) => {
                found.set_where(*first, lows, |low| u64::from(bits[low / 8] >> (low % 8) & 1));
            }
            // Hardly any of them is asked for, so it is they that are looked up.
            Self::Array(values) => {
                for value in values.chunks_exact(2).map(|value| usize::from(u16_at(value, 0))) {
                    let (word, bit) = (container.words[value / WORD_BITS], value % WORD_BITS);
                    if word >> bit & 1 == 1 {
                        let before = (word & ((1 << bit) - 1)).count_ones() as usize;
                        found.set(first + usize::from(container.below[value / WORD_BITS]) + before);
                    }
                }
            }
            Self::Runs(runs) => {
                for run in runs.chunks_exact(4) {
                    let (start, last) = (u16_at(run, 0), u16_at(run, 0).checked_add(u16_at(run, 1))?);
                    let start = lows.partition_point(|&low| low < start);
                    let within = lows[start..].partition_point(|&low| low <= last);
                    found.set_where(first + start, &lows[start..start + within], |_| 1);
                }
            }
        }
        Some(())
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
        let all = (0..1 << 17).collect();
        let some: [Vec<u32>; 5] = [vec![], vec![70_000], (0..200_000).step_by(7).collect(), far().collect(), all];
        for (set, in_runs) in sets().iter().flat_map(|set| [(set, false), (set, true)]) {
            for numbers in &some {
                let expected: RoaringBitmap =
                    (0..).zip(numbers).filter(|(_, number)| set.contains(**number)).map(|(place, _)| place).collect();
                assert_eq!(
                    Numbers::new(numbers).places_in(&stored(set, in_runs)),
                    Some(expected),
                    "{set:?}, {in_runs}"
                );
            }
        }
    }

    #[test]
    fn test_what_is_cut_short_is_no_bitmap() {
        let some = Numbers::new(&[5, 9]);
        for (set, in_runs) in sets().iter().flat_map(|set| [(set, false), (set, true)]) {
            let bytes = stored(set, in_runs);
            let cuts = (0..bytes.len()).step_by(bytes.len() / 100 + 1);
            assert!(cuts.into_iter().all(|length| some.places_in(&bytes[..length]).is_none()), "{set:?}");
        }
        assert_eq!(some.places_in(b"no bitmap at all"), None);
    }
}
