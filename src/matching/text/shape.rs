//! What the shape of a word tells: a code, an identifier, a script without spaces.

use std::ops::Range;

use unicode_normalization::char::is_combining_mark;

/// Whether a character belongs to words.
pub(super) fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() && (c.is_alphanumeric() || is_combining_mark(c))
}

/// Whether a character is of a script that does not separate words.
pub(in crate::matching) fn is_unspaced(c: char) -> bool {
    !c.is_ascii()
        && matches!(c as u32,
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af
        | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
        && !is_combining_mark(c) // A mark belongs to whatever it stands upon.
}

/// A few letters and then at least two digits: `E1234`, `ORA00942`, `KB50123`.
pub(super) fn is_error_code(segment: &str) -> bool {
    let letters = segment.bytes().take_while(u8::is_ascii_alphabetic).count();
    let digits = segment.bytes().skip(letters).take_while(u8::is_ascii_digit).count();
    (1..=6).contains(&letters) && (2..=8).contains(&digits) && letters + digits == segment.len()
}

/// `ORA-00942`, `APP-1234`: written without the hyphen it is a code like the others.
pub(super) fn hyphened_code(text: &str) -> Option<String> {
    let (letters, digits) = text.split_once('-')?;
    let is_code = (2..=6).contains(&letters.len())
        && letters.bytes().all(|b| b.is_ascii_uppercase())
        && (3..=8).contains(&digits.len())
        && digits.bytes().all(|b| b.is_ascii_digit())
        // `DEAD-0042` would read as hexadecimal.
        && !(letters.len() + digits.len() >= 8 && letters.bytes().all(|b| b.is_ascii_hexdigit()));
    is_code.then(|| format!("{letters}{digits}"))
}

/// Finds the words inside `camelCase`, `HTTPServer`, `snake_case`, `a.dotted.path`. One part means it is no identifier.
pub(super) fn split_identifier(segment: &str, parts: &mut Vec<Range<usize>>) {
    parts.clear();
    let mut start = 0;
    for section in segment.split(['_', '.', '$']) {
        let offset = start;
        start += section.len() + 1;
        if section.is_empty() {
            continue;
        }
        let mut from = 0;
        let mut from_count = 0;
        let mut previous = ' ';
        for (count, (at, c)) in section.char_indices().enumerate() {
            if c.is_uppercase() && count - from_count > 1 {
                let hump = previous.is_lowercase();
                let mut after = section[at + c.len_utf8()..].chars();
                let after_acronym = previous.is_uppercase()
                    && after.next().is_some_and(char::is_lowercase)
                    && after.next().is_some_and(char::is_lowercase);
                // `iPhone` and `eBay` are names, not identifiers.
                if hump || after_acronym {
                    parts.push(offset + from..offset + at);
                    (from, from_count) = (at, count);
                }
            }
            previous = c;
        }
        parts.push(offset + from..offset + section.len());
    }
}
