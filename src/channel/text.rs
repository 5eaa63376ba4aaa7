//! Text from outside, made fit to stand inside a message: it stays words and never becomes structure.
//!
//! What is stored keeps its exact characters; only what is shown passes through here.

/// Whether a character shows nothing itself but can change how its neighbours read: bidi controls, zero-width marks,
/// tags. Joiners stay, because Persian, Indic scripts and emoji need them.
pub(super) fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{feff}'
        | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// One line: control characters and runs of space become one space, invisible ones go, and what is longer than
/// `max_chars` ends in an ellipsis.
pub(super) fn one_line(text: &str, max_chars: usize) -> String {
    // Far more than is kept is never looked at, so a megabyte of title costs nothing.
    let visible: String = text
        .chars()
        .take(max_chars.saturating_mul(8))
        .filter(|&c| c == '\u{2028}' || c == '\u{2029}' || !is_invisible(c))
        .map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c })
        .collect();
    cut(&visible.split_whitespace().collect::<Vec<_>>().join(" "), max_chars)
}

/// Several lines, each cleaned like [`one_line`]; never two empty ones in a row.
pub(super) fn lines(text: &str, max_chars: usize) -> String {
    let mut kept: Vec<String> = Vec::new();
    for line in text.lines().map(|line| one_line(line, max_chars)) {
        if !(line.is_empty() && kept.last().is_none_or(String::is_empty)) {
            kept.push(line);
        }
    }
    cut(kept.join("\n").trim_end(), max_chars)
}

fn cut(text: &str, max_chars: usize) -> String {
    if text.chars().count() <= max_chars {
        return text.to_owned();
    }
    let head: String = text.chars().take(max_chars.saturating_sub(1)).collect();
    format!("{}…", head.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_one_line_and_shows_what_it_says() {
        assert_eq!(one_line("a\r\nBcc: x\0\ty", 99), "a Bcc: x y");
        assert_eq!(one_line("pay\u{202e}lap\u{2066} \u{200b}now\u{e0041}", 99), "paylap now");
        assert_eq!(one_line("one\u{2028}two", 99), "one two");
    }

    #[test]
    fn long_text_ends_in_an_ellipsis() {
        assert_eq!(one_line(&"ä".repeat(50), 10), format!("{}…", "ä".repeat(9)));
        assert_eq!(one_line("exactly", 7), "exactly");
        assert_eq!(one_line(&"x ".repeat(1 << 20), 5), "x x…");
    }

    #[test]
    fn paragraphs_keep_their_shape() {
        assert_eq!(lines("\n\nfirst \u{202e}\r\n\r\n\n\nsecond\n", 99), "first\n\nsecond");
    }
}
