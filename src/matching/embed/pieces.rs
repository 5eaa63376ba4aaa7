//! Words cut into the pieces that the table has rows for: BERT's word pieces.
//!
//! Lower case, without accents; every punctuation mark and every Chinese character is a word by itself; a word is cut
//! from the left into the longest known pieces, and one that cannot be cut is left out.

use rustc_hash::FxHashMap;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::super::text::hash;

/// A longer word is left out.
const MAX_WORD_CHARS: usize = 100;
/// The first rows stand for padding and for what is unknown.
const SPECIAL: usize = 2;

/// The vocabulary.
#[derive(Debug)]
pub(super) struct Pieces {
    /// Rows by the hash of what begins a word, and of what continues it. Texts are compared, so no hash misleads.
    begins: FxHashMap<u64, u32>,
    continues: FxHashMap<u64, u32>,
    texts: Vec<&'static str>,
    longest: usize,
}

impl Pieces {
    /// Reads a vocabulary of a piece a line, the row being the line.
    pub(super) fn new(vocabulary: &'static str) -> Self {
        let mut pieces =
            Self { begins: FxHashMap::default(), continues: FxHashMap::default(), texts: Vec::new(), longest: 0 };
        for (row, line) in vocabulary.lines().enumerate() {
            let (map, text) = match line.strip_prefix("##") {
                Some(text) if !text.is_empty() => (&mut pieces.continues, text),
                _ => (&mut pieces.begins, line),
            };
            pieces.texts.push(text);
            if row >= SPECIAL {
                map.insert(hash(text.as_bytes()), row as u32);
                pieces.longest = pieces.longest.max(text.len());
            }
        }
        pieces
    }

    /// Hands the rows of a text to `take`, until that answers `false`.
    pub(super) fn read(&self, text: &str, mut take: impl FnMut(u32) -> bool) {
        let mut word = String::new();
        let mut goes_on = true;
        let mut end = |word: &mut String| {
            let goes_on = word.is_empty() || self.word(word, &mut take);
            word.clear();
            goes_on
        };
        if text.is_ascii() {
            for byte in text.bytes() {
                match byte {
                    b'a'..=b'z' | b'0'..=b'9' => word.push(char::from(byte)),
                    b'A'..=b'Z' => word.push(char::from(byte.to_ascii_lowercase())),
                    b' ' | b'\t' | b'\n' | b'\r' => goes_on = end(&mut word),
                    0..=b' ' | 0x7f.. => {}
                    mark => {
                        goes_on = end(&mut word);
                        word.push(char::from(mark));
                        goes_on = goes_on && end(&mut word);
                    }
                }
                if !goes_on {
                    return;
                }
            }
        } else {
            for c in text.nfd().flat_map(char::to_lowercase).filter(|&c| !is_combining_mark(c)) {
                if c.is_whitespace() {
                    goes_on = end(&mut word);
                } else if is_alone(c) {
                    goes_on = end(&mut word);
                    word.push(c);
                    goes_on = goes_on && end(&mut word);
                } else if !c.is_control() && c != '\u{fffd}' {
                    word.push(c);
                }
                if !goes_on {
                    return;
                }
            }
        }
        end(&mut word);
    }

    /// Cuts a word; answers whether to go on.
    fn word(&self, word: &str, take: &mut impl FnMut(u32) -> bool) -> bool {
        if let Some(row) = self.row(&self.begins, word) {
            return take(row);
        }
        if word.len() > MAX_WORD_CHARS && word.chars().count() > MAX_WORD_CHARS {
            return true;
        }
        // Nothing is told of a word before all of it is known.
        let mut rows = [0; MAX_WORD_CHARS];
        let mut count = 0;
        let mut rest = word;
        while !rest.is_empty() {
            let map = if count == 0 { &self.begins } else { &self.continues };
            let mut length = rest.floor_char_boundary(self.longest.min(rest.len()));
            let row = loop {
                if length == 0 {
                    return true;
                }
                if let Some(row) = self.row(map, &rest[..length]) {
                    break row;
                }
                length = rest.floor_char_boundary(length - 1);
            };
            rows[count] = row;
            count += 1;
            rest = &rest[length..];
        }
        rows[..count].iter().all(|&row| take(row))
    }

    fn row(&self, map: &FxHashMap<u64, u32>, text: &str) -> Option<u32> {
        if text.len() > self.longest {
            return None;
        }
        map.get(&hash(text.as_bytes())).copied().filter(|&row| self.texts[row as usize] == text)
    }
}

/// Whether a character is a word by itself.
fn is_alone(c: char) -> bool {
    c.is_ascii_punctuation()
        || matches!(c as u32,
            0x4e00..=0x9fff | 0x3400..=0x4dbf | 0x2_0000..=0x2_ceaf | 0xf900..=0xfaff | 0x2_f800..=0x2_fa1f)
        || is_punctuation(c)
}

/// Unicode's punctuation beyond ASCII, as far as texts have it.
fn is_punctuation(c: char) -> bool {
    matches!(c as u32,
        0xa1 | 0xa7 | 0xab | 0xb6 | 0xb7 | 0xbb | 0xbf | 0x37e | 0x387 | 0x55a..=0x55f | 0x589 | 0x58a | 0x5be | 0x5c0
        | 0x5c3 | 0x5c6 | 0x5f3 | 0x5f4 | 0x609 | 0x60a | 0x60c | 0x60d | 0x61b | 0x61d..=0x61f | 0x66a..=0x66d | 0x6d4
        | 0x964 | 0x965 | 0xe4f | 0xe5a | 0xe5b | 0x2010..=0x2027 | 0x2030..=0x2043 | 0x2045..=0x2051
        | 0x2053..=0x205e | 0x207d | 0x207e | 0x2329 | 0x232a | 0x3001..=0x3003 | 0x3008..=0x3011 | 0x3014..=0x301f
        | 0x3030 | 0x303d | 0x30a0 | 0x30fb | 0xfe30..=0xfe52 | 0xfe54..=0xfe61 | 0xfe63 | 0xfe68 | 0xfe6a | 0xfe6b
        | 0xff01..=0xff03 | 0xff05..=0xff0a | 0xff0c..=0xff0f | 0xff1a | 0xff1b | 0xff1f | 0xff20 | 0xff3b..=0xff3d
        | 0xff3f | 0xff5b | 0xff5d | 0xff5f..=0xff65)
}

#[cfg(test)]
mod tests {
    use super::*;

    const VOCABULARY: &str = "[PAD]\n[UNK]\n!\n##\nun\n##able\n##a\nopen\ncafe\n中\n'\nt\ncan\n";

    fn read(text: &str) -> Vec<&'static str> {
        let pieces = Pieces::new(VOCABULARY);
        let mut found = Vec::new();
        pieces.read(text, |row| {
            found.push(VOCABULARY.lines().nth(row as usize).expect("a row is a line"));
            found.len() < 6
        });
        found
    }

    #[test]
    fn words_are_cut_into_the_longest_known_pieces() {
        assert_eq!(read("Unable, OPEN!"), ["un", "##able", "open", "!"]);
        assert_eq!(read("una xyz unx can't"), ["un", "##a", "can", "'", "t"]);
        assert_eq!(read("Café中open"), ["cafe", "中", "open"]);
        assert_eq!(read("[PAD] ## \u{0} \u{fffd}"), [""; 0]);
    }

    #[test]
    fn reading_ends_when_enough_was_read() {
        assert_eq!(read(&"open ".repeat(9)).len(), 6);
    }
}
