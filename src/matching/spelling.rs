//! Which common word a misspelt one was meant to be.
//!
//! Customers type in a hurry, and one wrong letter makes a word that nobody else says: neither the words nor the meaning of
//! two reports would meet in it. So a word that nobody knows is read as the common word that is one edit away (Damerau, "A
//! technique for computer detection and correction of spelling errors", 1964): two letters that changed places, a letter
//! missing, too many, or another. Known are the words that the embedding table has rows for (these are the common ones),
//! those of a list (`spelling/NOTICE.md`), and what shares their stem. The first letter is mostly right and stays. Short words
//! are near to too many others: in those of four letters only their order is put right, and shorter ones stay as they are.
//!
//! Candidates are found as in SymSpell (Garbe, 2012): two words that are one edit apart have a form in common in which one
//! letter is left out. Those forms of all common words are in a table.

use std::sync::LazyLock;

use super::embed;
use super::table::Numbers;
use super::text::{Sieve, hash};
use super::words::{self, Traits};

/// Letters of a word that may be a misspelling, and of what it may have been.
const SHORTEST: usize = 4;
const LONGEST: usize = 20;
/// In a shorter word only the order of letters is put right.
const LETTERS_FOR_ALL: usize = 5;

/// Words that are near to a common one and no misspelling of it, a word a line.
const LIST: &str = include_str!("spelling/known.txt");

/// A number for the words that are known beside the vocabulary.
pub(super) fn checksum() -> u64 {
    hash(LIST.as_bytes())
}

/// What it takes to know a word, and the common one that is near to it.
struct Spelling {
    /// The stems of all words that are known. One in a hundred others passes for one, and so a misspelt word may.
    stems: Sieve,
    /// The common words in one text, and where each ends.
    text: String,
    ends: Vec<u32>,
    /// The numbers of the common words by the hashes of their forms, and which forms there are.
    numbers: Numbers,
    forms: Sieve,
}

static SPELLING: LazyLock<Spelling> = LazyLock::new(|| {
    // The most common ones mostly come first.
    let common = embed::vocabulary().filter(|word| may_be_told(word)).collect::<Vec<_>>();
    Spelling::new(&common, LIST.lines())
});

/// How a word was misspelt, the likeliest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Slip {
    /// Letters changed places, or one of two equal ones is missing, or there are two for one.
    Order,
    /// A letter is missing, or one too many.
    Count,
    /// A letter stands for another.
    Letter,
}

/// The word that a lower-case word was probably meant to be, if it is none that is known.
pub(super) fn meant(word: &str) -> Option<&'static str> {
    if !may_be_told(word) || words::traits(word) != Traits::default() {
        return None;
    }
    let mut stem = String::with_capacity(LONGEST);
    words::stem(word, &mut stem);
    meant_by_unknown(word, &stem)
}

/// The same for a word that is in no list of [`words`], with its stem.
pub(super) fn meant_by_unknown(word: &str, stem: &str) -> Option<&'static str> {
    // Most words are known, so that is asked first.
    let is_long = word.len() >= SHORTEST;
    let may_be_wrong = is_long && !SPELLING.stems.passes(hash(stem.as_bytes())) && may_be_told(word);
    may_be_wrong.then(|| SPELLING.nearest(word)).flatten()
}

fn may_be_told(word: &str) -> bool {
    (SHORTEST..=LONGEST).contains(&word.len()) && word.bytes().all(|byte| byte.is_ascii_lowercase())
}

impl Spelling {
    fn new<'w>(common: &[&'w str], known: impl Iterator<Item = &'w str>) -> Self {
        let mut stem = String::new();
        let known: Vec<&str> = common.iter().copied().chain(known).collect();
        let forms: usize = common.iter().map(|word| word.len()).sum();
        let mut spelling = Self {
            stems: Sieve::new(known.len()),
            forms: Sieve::new(forms),
            text: common.concat(),
            ends: Vec::with_capacity(common.len()),
            numbers: Numbers::default(),
        };
        spelling.numbers.reserve(forms);
        for word in known {
            words::stem(word, &mut stem);
            spelling.stems.add(hash(stem.as_bytes()));
        }
        let mut end = 0;
        for (number, word) in (0..).zip(common) {
            end += word.len() as u32;
            spelling.ends.push(end);
            forms_of(word, |form| {
                spelling.numbers.insert(form, number);
                spelling.forms.add(form);
            });
        }
        spelling
    }

    fn word(&self, number: u32) -> &str {
        let at = number as usize;
        let start = at.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[start as usize..self.ends[at] as usize]
    }

    /// The common word that is one edit away; the likeliest if there are several, and of these the most common.
    fn nearest(&self, word: &str) -> Option<&str> {
        let mut nearest: Option<(Slip, u32)> = None;
        forms_of(word, |form| {
            for number in self.forms.passes(form).then(|| self.numbers.all(form)).into_iter().flatten() {
                let slip = slip(word.as_bytes(), self.word(number).as_bytes());
                let slip = slip.filter(|&slip| slip == Slip::Order || word.len() >= LETTERS_FOR_ALL);
                nearest = slip.map(|slip| (slip, number)).into_iter().chain(nearest).min();
            }
        });
        nearest.map(|(_, number)| self.word(number))
    }
}

/// An odd number of well mixed bits, and the number by which its product with another is divided again.
const BASE: u64 = 0x9e37_79b9_7f4a_7c15;
const INVERSE: u64 = {
    let (mut inverse, mut right_bits) = (BASE, 3);
    while right_bits < u64::BITS {
        inverse = inverse.wrapping_mul(2_u64.wrapping_sub(BASE.wrapping_mul(inverse)));
        right_bits *= 2;
    }
    inverse
};

/// Hands over the hashes of a word and of what is left of it without one of its letters, which is not the first. A hash is
/// made of the sum of the letters, each times a power of its place, so that it is known at once without any of them.
fn forms_of(word: &str, mut take: impl FnMut(u64)) {
    let mixed = |sum: u64| {
        let mixed = (sum ^ sum >> 32).wrapping_mul(BASE);
        mixed ^ mixed >> 29
    };
    let bytes = word.as_bytes();
    let mut sums = [0_u64; LONGEST + 1];
    let mut power = 1_u64;
    for (at, &byte) in bytes.iter().enumerate() {
        sums[at + 1] = sums[at].wrapping_add(power.wrapping_mul(u64::from(byte)));
        power = power.wrapping_mul(BASE);
    }
    let all = sums[bytes.len()];
    take(mixed(all));
    for at in 1..bytes.len() {
        // Without either of two equal letters it is the same.
        if bytes.get(at + 1) != Some(&bytes[at]) {
            let after = all.wrapping_sub(sums[at + 1]).wrapping_mul(INVERSE);
            take(mixed(sums[at].wrapping_add(after)));
        }
    }
}

/// How one word became another one, if they begin with one letter and are one edit apart.
fn slip(one: &[u8], other: &[u8]) -> Option<Slip> {
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    let same = short.iter().zip(long).take_while(|(a, b)| a == b).count();
    let (rest, long_rest) = (&short[same..], &long[same..]);
    match (rest, long_rest) {
        _ if same == 0 => None,
        (_, [more, after @ ..]) if rest == after => {
            Some(if *more == long[same - 1] { Slip::Order } else { Slip::Count })
        }
        ([a, b, after @ ..], [c, d, others @ ..]) if (a, b) == (d, c) && after == others => Some(Slip::Order),
        ([_, after @ ..], [_, others @ ..]) if after == others => Some(Slip::Letter),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_word_is_the_common_one_it_was_meant_to_be() {
        for (wrong, right) in [
            ("canot", "cannot"),
            ("updaet", "update"),
            ("pasword", "password"),
            ("passsword", "password"),
            ("accaunt", "account"),
            ("trasnfer", "transfer"),
            ("calender", "calendar"),
            ("wehn", "when"),
        ] {
            assert_eq!(meant(wrong), Some(right), "{wrong}");
        }
    }

    #[test]
    fn what_is_known_short_or_no_plain_word_stays() {
        for word in ["password", "cannot", "teh", "wehm", "dont", "größe", "e1234", "qqqqqqq", "ubuntu", "assword", ""]
        {
            assert_eq!(meant(word), None, "{word}");
        }
    }

    #[test]
    fn one_edit_is_one_letter_or_two_that_changed_places() {
        for (one, other, how) in [
            ("abcd", "acbd", Some(Slip::Order)),
            ("abcd", "abbcd", Some(Slip::Order)),
            ("abcd", "abd", Some(Slip::Count)),
            ("abcd", "abc", Some(Slip::Count)),
            ("abcd", "abxd", Some(Slip::Letter)),
            ("abcd", "abcd", None),
            ("abcd", "xbcd", None),
            ("abcd", "adcb", None),
            ("abcd", "abcdef", None),
            ("abcd", "axyd", None),
        ] {
            assert_eq!(slip(one.as_bytes(), other.as_bytes()), how, "{one} {other}");
            assert_eq!(slip(other.as_bytes(), one.as_bytes()), how, "{other} {one}");
        }
    }

    #[test]
    fn the_likeliest_slip_goes_before_the_most_common_word() {
        let spelling = Spelling::new(&["amount", "account", "accounts"], std::iter::empty());
        assert_eq!(spelling.nearest("acount"), Some("account"));
        assert_eq!(spelling.nearest("acounts"), Some("accounts"));
        assert_eq!(spelling.nearest("amuont"), Some("amount"));
    }

    #[test]
    fn a_word_that_is_known_is_no_misspelling_of_the_one_it_is_near_to() {
        for word in ["revert", "reverted", "allocates", "scons"] {
            assert!(SPELLING.nearest(word).is_some() && meant(word).is_none(), "{word}");
        }
    }

    #[test]
    fn two_words_that_are_one_edit_apart_have_a_form_in_common() {
        let forms = |word: &str| {
            let mut forms = std::collections::HashSet::new();
            forms_of(word, |form| _ = forms.insert(form));
            forms
        };
        for other in ["abcde", "abce", "abxde", "abdce", "aabcde", "abcdee", "abcdx"] {
            assert!(forms("abcde").intersection(&forms(other)).next().is_some(), "{other}");
        }
    }
}
