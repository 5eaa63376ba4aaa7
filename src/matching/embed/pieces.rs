//! Words cut into the pieces that the table has rows for: BERT's word pieces.
//!
//! Lower case, without accents; every punctuation mark and every Chinese character is a word by itself; a word is cut
//! from the left into the longest known pieces, and one that cannot be cut is left out.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::super::text::{Key, Sieve};
use super::super::{spelling, words};

/// A longer word is left out.
const MAX_WORD_CHARS: usize = 100;
/// The first rows stand for padding and for what is unknown.
const SPECIAL: usize = 2;

/// The vocabulary: what begins a word, and what continues it.
#[derive(Debug)]
pub(super) struct Pieces {
    begins: Table,
    continues: Table,
}

/// Pieces and their rows.
#[derive(Debug)]
struct Table {
    /// What the bytes of a piece roll up to: most beginnings of a word are no piece, and are answered by this.
    rolled: Sieve,
    /// A piece and its row, 0 for none; half of them at most are taken.
    slots: Box<[(Key, u32)]>,
    longest: usize,
}

impl Table {
    fn new(pieces: &[(&str, u32)]) -> Self {
        let size = (pieces.len() * 2 + 2).next_power_of_two();
        let mut table = Self {
            rolled: Sieve::new(pieces.len()),
            slots: vec![(Key::default(), 0); size].into(),
            longest: pieces.iter().map(|(text, _)| text.len()).max().unwrap_or(0),
        };
        for &(text, row) in pieces {
            let key = Key::of(text).expect("a test has looked at the longest piece");
            table.rolled.add(text.bytes().fold(0, roll));
            let mut at = table.home(key);
            while table.slots[at].1 != 0 {
                at = (at + 1) % size;
            }
            table.slots[at] = (key, row);
        }
        table
    }

    fn home(&self, key: Key) -> usize {
        key.hash() as usize & (self.slots.len() - 1)
    }

    fn row(&self, key: Key) -> Option<u32> {
        let mut at = self.home(key);
        loop {
            match self.slots[at] {
                (_, 0) => return None,
                (other, row) if other == key => return Some(row),
                _ => at = (at + 1) & (self.slots.len() - 1),
            }
        }
    }

    /// The longest piece that a text begins with: its row and its length.
    fn longest_of(&self, text: &[u8]) -> Option<(u32, usize)> {
        let mut may_end = [false; Key::LONGEST];
        let mut rolled = 0;
        for (may_end, &byte) in may_end.iter_mut().zip(text).take(self.longest) {
            rolled = roll(rolled, byte);
            *may_end = self.rolled.passes(rolled);
        }
        let key = Key::of_prefix(text);
        // A piece ends where a character ends, so nothing is found in the middle of one.
        let lengths = (1..=Key::LONGEST).rev().filter(|length| may_end[length - 1]);
        { lengths }.find_map(|length| Some((self.row(key.cut(length))?, length)))
    }
}

/// One byte more, rolled up with those before.
fn roll(rolled: u64, byte: u8) -> u64 {
    (rolled ^ u64::from(byte)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(25)
}

impl Pieces {
    /// Reads a vocabulary of a piece a line, the row being the line.
    pub(super) fn new(vocabulary: &str) -> Self {
        let (mut begins, mut continues) = (Vec::new(), Vec::new());
        for (row, line) in (0..).zip(vocabulary.lines()).skip(SPECIAL) {
            match line.strip_prefix("##") {
                Some(text) if !text.is_empty() => continues.push((text, row)),
                _ => begins.push((line, row)),
            }
        }
        Self { begins: Table::new(&begins), continues: Table::new(&continues) }
    }

    /// Hands the rows of a text to `take`, until that answers `false`.
    pub(super) fn read(&self, text: &str, mut take: impl FnMut(u32) -> bool) {
        if text.is_ascii() {
            return self.read_ascii(text, take);
        }
        let mut word = String::new();
        let mut goes_on = true;
        let mut end = |word: &mut String| {
            let goes_on = word.is_empty() || self.word(word, word.len(), &mut take);
            word.clear();
            goes_on
        };
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
        end(&mut word);
    }

    /// The same for a text in ASCII, as most are.
    fn read_ascii(&self, text: &str, mut take: impl FnMut(u32) -> bool) {
        let class = |byte: u8| CLASSES[usize::from(byte & 127)];
        let mut lower = String::with_capacity(text.len() + Key::LONGEST);
        lower.push_str(text);
        lower.make_ascii_lowercase();
        if lower.bytes().any(|byte| class(byte) == Class::Nothing) {
            lower.retain(|c| class(c as u8) != Class::Nothing);
        }
        // So that every word has as many bytes behind it as a key looks at.
        lower.extend([' '; Key::LONGEST]);
        let mut rest = lower.as_str();
        while let Some(&first) = rest.as_bytes().first() {
            let length = match class(first) {
                Class::Letter => rest.bytes().position(|byte| class(byte) != Class::Letter).unwrap_or(rest.len()),
                _ => 1,
            };
            if class(first) != Class::Space && !self.word(rest, length, &mut take) {
                return;
            }
            rest = &rest[length..];
        }
    }

    /// Cuts the word that a text begins with, of so many bytes; answers whether to go on.
    fn word(&self, text: &str, length: usize, take: &mut impl FnMut(u32) -> bool) -> bool {
        if length <= Key::LONGEST
            && let Some(row) = self.begins.row(Key::of_prefix(text.as_bytes()).cut(length))
        {
            return take(row);
        }
        self.cut(&text[..length], take)
    }

    /// Cuts a word that is no piece as a whole.
    #[inline(never)]
    fn cut(&self, word: &str, take: &mut impl FnMut(u32) -> bool) -> bool {
        if word.len() > MAX_WORD_CHARS && word.chars().count() > MAX_WORD_CHARS {
            return true;
        }
        let other = words::same(word).or_else(|| spelling::meant(word));
        if let Some(row) = other.and_then(|other| self.begins.row(Key::of(other)?)) {
            return take(row);
        }
        // Nothing is told of a word before all of it is known.
        let mut rows = [0; MAX_WORD_CHARS];
        let mut count = 0;
        let mut rest = word.as_bytes();
        while !rest.is_empty() {
            let table = if count == 0 { &self.begins } else { &self.continues };
            let Some((row, length)) = table.longest_of(rest) else { return true };
            rows[count] = row;
            count += 1;
            rest = &rest[length..];
        }
        rows[..count].iter().all(|&row| take(row))
    }
}

/// What an ASCII character in lower case is to the pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Part of a word.
    Letter,
    /// Between words.
    Space,
    /// A word by itself.
    Mark,
    /// Left out.
    Nothing,
}

const CLASSES: [Class; 128] = {
    let mut classes = [Class::Nothing; 128];
    let mut byte = 0;
    while byte < 128 {
        classes[byte] = match byte as u8 {
            b'a'..=b'z' | b'0'..=b'9' => Class::Letter,
            b' ' | b'\t' | b'\n' | b'\r' => Class::Space,
            0..b' ' | 0x7f.. => Class::Nothing,
            _ => Class::Mark,
        };
        byte += 1;
    }
    classes
};

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
