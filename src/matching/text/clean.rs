//! One spelling for each character: compatibility forms composed, invisible characters gone, quotes straight.
//!
//! Most texts are plain ASCII and come back as they are. In the others only the stretches that are not ASCII are
//! composed (with the one letter before them, which a mark may stand upon): composing is slow, and an ASCII character
//! never changes what is before it.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

/// More than any person writes, in bytes; the rest of a pasted log adds no evidence.
pub(super) const MAX_BYTES: usize = 100_000;

/// Cleans a text, cut at [`MAX_BYTES`]. The only control characters left are tab, line feed and carriage return.
pub(in crate::matching) fn clean(text: &str) -> Cow<'_, str> {
    let text = &text[..text.floor_char_boundary(MAX_BYTES)];
    let is_odd = |byte: u8| byte >= 0x7f || byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r');
    // No early exit: so the compiler can look at many bytes at once.
    if !text.bytes().fold(false, |odd, byte| odd | is_odd(byte)) {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len() + 16);
    let mut run = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let ascii = rest.bytes().position(|byte| !byte.is_ascii()).unwrap_or(rest.len());
        push_ascii(&rest[..ascii], &mut clean);
        rest = &rest[ascii..];
        let odd = rest.bytes().position(|byte| byte.is_ascii()).unwrap_or(rest.len());
        if odd > 0 {
            run.clear();
            run.extend(clean.pop().filter(|_| ascii > 0));
            run.extend(rest[..odd].chars().filter_map(seen));
            match is_nfkc_quick(run.chars()) {
                IsNormalized::Yes => clean.push_str(&run),
                // Composing can bring forth what is cleaned.
                _ => clean.extend(run.nfkc().filter_map(|c| if c.is_ascii() { Some(c) } else { seen(c) })),
            }
            rest = &rest[odd..];
        }
    }
    Cow::Owned(clean)
}

fn push_ascii(text: &str, clean: &mut String) {
    if text.bytes().all(|byte| !byte.is_ascii_control() || matches!(byte, b'\t' | b'\n' | b'\r')) {
        clean.push_str(text);
    } else {
        clean.extend(text.chars().map(|c| if c.is_control() && !matches!(c, '\t' | '\n' | '\r') { ' ' } else { c }));
    }
}

/// What a character outside ASCII looks like to a reader; `None` if like nothing.
fn seen(c: char) -> Option<char> {
    match c {
        '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}' | '\u{ad}' => None,
        '\u{fe00}'..='\u{fe0f}' => None,
        '\u{2018}' | '\u{2019}' | '\u{2bc}' | '\u{b4}' | '\u{ff07}' => Some('\''),
        '\u{85}' | '\u{2028}' | '\u{2029}' => Some('\n'),
        c if c.is_control() => Some(' '),
        c => Some(c),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_character_has_one_spelling() {
        assert_eq!(clean("cafe\u{301} ﬁx Ａ①"), "café fix A1");
        assert_eq!(clean("a\u{200b}b\u{ad}c can\u{2019}t"), "abc can't");
        assert_eq!(clean("\u{149}a"), "'na");
        assert_eq!(clean("a\u{0}b\u{2028}c"), "a b\nc");
        assert!(matches!(clean("plain\ttext\r\n"), Cow::Borrowed(_)));
    }

    proptest! {
        #[test]
        fn composing_in_stretches_is_composing_the_whole(text in "[a-z\u{300}-\u{308}éﬁ가-각ᄀ-나-ᅣ\u{3099}かがｶﾞ]{0,20}") {
            prop_assert_eq!(clean(&text).into_owned(), text.nfkc().collect::<String>());
        }
    }
}
