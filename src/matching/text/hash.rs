//! A small hash for words and lines: quick, and the same on every machine and in every release.

/// Multipliers with well mixed bits: the fractions of the golden ratio and of the root of three.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const ROOT: u64 = 0xbb67_ae85_84ca_a73b;

/// Hashes bytes, eight at a time. Not for keys that leave the process with a promise: see `signature` for those.
#[inline]
pub(in crate::matching) fn hash(bytes: &[u8]) -> u64 {
    let mut state = (bytes.len() as u64).wrapping_mul(GOLDEN);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        state = mix(state, u64::from_le_bytes(chunk.try_into().expect("chunks of eight have eight bytes")));
    }
    state = mix(state, number_of(chunks.remainder()));
    state ^= state >> 32;
    state = state.wrapping_mul(GOLDEN);
    state ^ (state >> 29)
}

/// The number that up to eight bytes are, the first the lowest. Bytes may be read twice, but none by itself.
#[inline]
fn number_of(bytes: &[u8]) -> u64 {
    let length = bytes.len();
    if let Some(eight) = bytes.first_chunk() {
        u64::from_le_bytes(*eight)
    } else if let (Some(first), Some(last)) = (bytes.first_chunk(), bytes.last_chunk()) {
        u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (length - 4))
    } else if let [first, .., last] = *bytes {
        u64::from(first) | u64::from(bytes[length / 2]) << (8 * (length / 2)) | u64::from(last) << (8 * (length - 1))
    } else {
        bytes.first().map_or(0, |&only| u64::from(only))
    }
}

fn mix(state: u64, word: u64) -> u64 {
    (state ^ word).wrapping_mul(ROOT).rotate_left(29)
}

/// A short text in three numbers, so that tables compare it without looking elsewhere. A text of another length or with
/// other letters is another key, as no text has zeros in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::matching) struct Key([u64; 3]);

impl Key {
    /// Bytes of the longest text that has a key.
    pub(in crate::matching) const LONGEST: usize = 24;

    /// The key of a text; `None` if it is too long.
    #[inline]
    pub(in crate::matching) fn of(text: &str) -> Option<Self> {
        (text.len() <= Self::LONGEST).then(|| Self::of_prefix(text.as_bytes()))
    }

    /// The key of a text's beginning, of as many bytes as fit. Quickest where that many are there.
    #[inline]
    pub(in crate::matching) fn of_prefix(text: &[u8]) -> Self {
        if let Some(whole) = text.first_chunk::<{ Self::LONGEST }>() {
            let (eights, _) = whole.as_chunks::<8>();
            return Self([eights[0], eights[1], eights[2]].map(u64::from_le_bytes));
        }
        if text.len() <= 8 {
            return Self([number_of(text), 0, 0]);
        }
        let (first, rest) = text.split_at(8);
        let (second, third) = rest.split_at(rest.len().min(8));
        Self([number_of(first), number_of(second), number_of(third)])
    }

    /// The key of the first so many bytes.
    #[inline]
    pub(in crate::matching) fn cut(self, length: usize) -> Self {
        let [first, second, third] = self.0;
        // The lower bits, at most as many as there are.
        let below = |bytes: usize| if bytes < 8 { (1 << (bytes * 8)) - 1 } else { u64::MAX };
        if length <= 8 {
            return Self([first & below(length), 0, 0]);
        }
        Self([first, second & below(length - 8), third & below(length.saturating_sub(16))])
    }

    /// A number with well mixed bits.
    #[inline]
    pub(in crate::matching) fn hash(self) -> u64 {
        let [first, second, third] = self.0;
        let both = first ^ second.wrapping_mul(ROOT).rotate_left(29) ^ third.wrapping_mul(GOLDEN).rotate_left(43);
        let state = (both ^ both >> 32).wrapping_mul(ROOT);
        (state ^ state >> 29).wrapping_mul(GOLDEN) ^ state >> 32
    }
}

/// What most strangers are told by at a glance: a set of hashes that never denies its own, and now and then passes another
/// (a Bloom filter with two bits for a hash, both in one word).
#[derive(Debug)]
pub(in crate::matching) struct Sieve(Box<[u64]>);

impl Sieve {
    /// For so many hashes. Of others one to four in a hundred pass.
    pub(in crate::matching) fn new(hashes: usize) -> Self {
        Self(vec![0; (hashes / 7).next_power_of_two()].into())
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        ((hash >> 32) as usize & (self.0.len() - 1), 1 << (hash & 63) | 1 << (hash >> 6 & 63))
    }

    /// Takes a hash in.
    pub(in crate::matching) fn add(&mut self, hash: u64) {
        let (at, bits) = self.place(hash);
        self.0[at] |= bits;
    }

    /// Whether the hash may have been taken in.
    #[inline]
    pub(in crate::matching) fn passes(&self, hash: u64) -> bool {
        let (at, bits) = self.place(hash);
        self.0[at] & bits == bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_texts_apart_and_knows_their_beginnings() {
        let texts = ["", "a", "b", "ab", "abcdefgh", "abcdefghi", "exactly-24-bytes-in-here"];
        for (at, left) in texts.iter().enumerate() {
            assert!(texts[at + 1..].iter().all(|right| Key::of(left) != Key::of(right)));
            for end in 0..left.len() {
                assert_eq!(Key::of_prefix(left.as_bytes()).cut(end), Key::of_prefix(&left.as_bytes()[..end]));
            }
        }
        assert_eq!(Key::of("a text of more than twenty-four bytes"), None);
    }

    #[test]
    fn lengths_and_borders_count() {
        let texts: [&[u8]; 7] = [b"", b"a", b"b", b"a\0", b"abcdefgh", b"abcdefgh\0", b"bacdefgh"];
        for (at, left) in texts.iter().enumerate() {
            assert!(texts[at + 1..].iter().all(|right| hash(left) != hash(right)));
        }
    }

    #[test]
    fn a_sieve_passes_its_own_and_few_others() {
        let hashes = |from: u64| (from..from + 10_000).map(|n| hash(&n.to_le_bytes()));
        let mut sieve = Sieve::new(10_000);
        hashes(0).for_each(|hash| sieve.add(hash));
        assert!(hashes(0).all(|hash| sieve.passes(hash)));
        let strangers = hashes(10_000).filter(|&hash| sieve.passes(hash)).count();
        assert!(strangers < 300, "{strangers}");
    }
}
