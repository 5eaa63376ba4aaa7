//! A small hash for words and lines: quick, and the same on every machine and in every release.

/// Multipliers with well mixed bits: the fractions of the golden ratio and of the root of three.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
const ROOT: u64 = 0xbb67_ae85_84ca_a73b;

/// Hashes bytes, eight at a time. Not for keys that leave the process with a promise: see `signature` for those.
pub(in crate::matching) fn hash(bytes: &[u8]) -> u64 {
    let mut state = (bytes.len() as u64).wrapping_mul(GOLDEN);
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        state = mix(state, u64::from_le_bytes(chunk.try_into().expect("chunks of eight have eight bytes")));
    }
    let tail = chunks.remainder().iter().rev().fold(0, |tail, &byte| tail << 8 | u64::from(byte));
    state = mix(state, tail);
    state ^= state >> 32;
    state = state.wrapping_mul(GOLDEN);
    state ^ (state >> 29)
}

fn mix(state: u64, word: u64) -> u64 {
    (state ^ word).wrapping_mul(ROOT).rotate_left(29)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_and_borders_count() {
        let texts: [&[u8]; 7] = [b"", b"a", b"b", b"a\0", b"abcdefgh", b"abcdefgh\0", b"bacdefgh"];
        for (at, left) in texts.iter().enumerate() {
            assert!(texts[at + 1..].iter().all(|right| hash(left) != hash(right)));
        }
    }
}
