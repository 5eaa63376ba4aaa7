//! From what a customer wrote to the tokens that are compared.
//!
//! Two results come out of one reading. The *canonical* text is every word in order, lower case, with numbers that
//! name one case masked: equal canonical texts are the same statement. The *tokens* are what the lexical score sees:
//! stems without stop words, identifiers whole and in parts, error codes, pairs of characters where a script does not
//! separate words. What the reporter did not write (quoted mail, signatures) and what everybody writes (greetings) is
//! dropped before both.
//!
//! Reading is linear in the text, stops after [`MAX_CHARS`] characters and [`MAX_PIECES`] words, and takes any text of
//! any language. The rules for mail and endings know a few European languages; others simply keep more words.

use std::borrow::Cow;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::words;

/// More than any person writes; the rest of a pasted log adds no evidence.
const MAX_CHARS: usize = 100_000;
/// Words read of one field. The problem is told long before this.
const MAX_PIECES: usize = 2_000;
/// A longer "word" is an encoded blob.
const MAX_WORD_CHARS: usize = 64;

/// What a token is, which decides how much it weighs and whether two different ones speak against each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    /// A no, or the question a text begins with.
    Function,
    /// A stem of a word.
    Word,
    /// A piece of an identifier.
    Part,
    /// A small number or a version: weak when shared, telling when different.
    Number,
    /// The name of a platform.
    Facet,
    /// An identifier or an exception's name, whole.
    Identifier,
    /// An error code.
    Code,
}

impl Kind {
    /// How much one token counts beside a plain word.
    pub(super) fn weight(self) -> f64 {
        match self {
            Self::Word | Self::Facet => 1.0,
            Self::Function => 0.3,
            Self::Part => 0.5,
            Self::Number => 0.4,
            Self::Identifier => 1.2,
            Self::Code => 1.5,
        }
    }
}

/// One token of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    pub(super) kind: Kind,
}

/// One field, read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The words in order, one space between words, one line feed between lines.
    pub(super) canonical: String,
    /// What the lexical score sees, in order, with repetitions.
    pub(super) tokens: Vec<Token>,
    /// Whether any word is more than a number, a mask or a courtesy.
    pub(super) says_something: bool,
}

/// Reads a title: its first thing may be a mail program's reply mark.
pub(super) fn read_title(title: &str) -> Reading {
    let clean = clean(title);
    let mut rest = clean.trim();
    while let Some((mark, after)) = rest.split_once(':') {
        let mark = mark.trim().to_lowercase();
        if !["re", "fw", "fwd", "aw", "wg", "sv", "tr", "rv", "antw"].contains(&mark.as_str()) {
            break;
        }
        rest = after.trim_start();
    }
    read_lines(&[rest])
}

/// Reads a body.
pub(super) fn read_body(body: &str) -> Reading {
    let clean = clean(body);
    read_lines(&written_lines(&clean))
}

/// One spelling for each character: compatibility forms composed, invisible ones gone, quotes straight.
fn clean(text: &str) -> Cow<'_, str> {
    let is_clean = |b: u8| (b' '..=b'~').contains(&b) || b == b'\n';
    if text.len() <= MAX_CHARS && text.bytes().all(is_clean) {
        return Cow::Borrowed(text); // Most texts, and composing is slow.
    }
    text.chars()
        .take(MAX_CHARS)
        .filter(
            |c| !matches!(c, '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}' | '\u{ad}' | '\u{fe00}'..='\u{fe0f}'),
        )
        .map(|c| match c {
            '\u{2018}' | '\u{2019}' | '\u{2bc}' | '\u{b4}' => '\'',
            '\r' => '\n',
            c if c.is_control() && c != '\n' => ' ',
            c => c,
        })
        .nfkc()
        .take(MAX_CHARS)
        .collect()
}

// ---- lines -----------------------------------------------------------------------------------------------------

/// The lines the reporter wrote: no quoted mail, no signature, no greeting, no closing.
fn written_lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = Vec::new();
    for line in text.lines().map(str::trim) {
        if !lines.is_empty() && begins_forwarded_mail(line) {
            break;
        }
        if line.is_empty() || line.starts_with('>') || introduces_quote(line) || is_sent_from(line) {
            continue;
        }
        lines.push(line);
    }
    if let Some(at) = lines.iter().position(|&line| line == "--").filter(|&at| at > 0 && lines.len() - at <= 12) {
        lines.truncate(at);
    }
    // A closing and at most two lines of name below it.
    let tail = lines.len().saturating_sub(3).max(1);
    if let Some(at) =
        (tail..lines.len()).find(|&at| is_courtesy(lines[at]) && lines[at + 1..].iter().all(|l| is_name(l)))
    {
        lines.truncate(at);
    }
    lines.retain(|line| !is_courtesy(line));
    let greetings = lines.iter().take_while(|line| is_greeting(line)).count();
    lines.drain(..greetings.min(lines.len().saturating_sub(1)));
    if let Some(first) = lines.first_mut() {
        *first = after_greeting(first);
    }
    lines
}

fn begins_forwarded_mail(line: &str) -> bool {
    line.starts_with("-----")
        && ["original", "forwarded", "ursprüngliche", "message d'origine", "mensaje original"]
            .iter()
            .any(|mark| line.to_lowercase().contains(mark))
}

/// `On Monday … Ada wrote:` and its kin.
fn introduces_quote(line: &str) -> bool {
    let Some(line) = line.strip_suffix(':') else { return false };
    let line = line.trim_end().to_lowercase();
    [
        ("on ", "wrote"),
        ("am ", "schrieb"),
        ("le ", "a écrit"),
        ("el ", "escribió"),
        ("em ", "escreveu"),
        ("il ", "scritto"),
    ]
    .iter()
    .any(|(first, last)| line.starts_with(first) && (line.ends_with(last) || line.contains(&format!(" {last} "))))
}

fn is_sent_from(line: &str) -> bool {
    if line.chars().count() > 60 {
        return false;
    }
    let line = line.to_lowercase();
    ["sent from my ", "von meinem ", "envoyé de mon ", "enviado desde mi ", "get outlook for "]
        .iter()
        .any(|mark| line.starts_with(mark))
}

fn line_words(line: &str) -> impl Iterator<Item = String> {
    line.split(|c: char| !is_word_char(c)).filter(|word| !word.is_empty()).map(str::to_lowercase)
}

/// A short line of nothing but greeting, thanks or closing. A single word of them may still be the whole report.
fn is_courtesy(line: &str) -> bool {
    let mut count = 0;
    line_words(line).all(|word| {
        count += 1;
        count <= 10 && words::is_courtesy(&word)
    }) && count > 0
}

/// A line that may be a person's name below a closing.
fn is_name(line: &str) -> bool {
    line_words(line).count() <= 3 && !line.contains(|c: char| c.is_ascii_digit() || ":._/()[]".contains(c))
}

/// `Dear Ms Lovelace,` alone on its line.
fn is_greeting(line: &str) -> bool {
    line_words(line).next().is_some_and(|word| words::is_greeting(&word))
        && line.ends_with([',', '!', '.'])
        && line_words(line).count() <= 4
}

/// What follows `Hi team,` on the same line.
fn after_greeting(line: &str) -> &str {
    let mut rest = line;
    loop {
        let end = rest.find(|c: char| !is_word_char(c)).unwrap_or(rest.len());
        let word = rest[..end].to_lowercase();
        let begun = rest.len() < line.len();
        if !(words::is_greeting(&word) || begun && words::is_greeted(&word)) || end == rest.len() {
            return rest;
        }
        rest = rest[end..].trim_start_matches(|c: char| !is_word_char(c) && !"<[(#\"'/\\$€£".contains(c));
    }
}

// ---- words -----------------------------------------------------------------------------------------------------

/// A word as read: its canonical form, and what it is.
struct Piece {
    canonical: String,
    class: Class,
}

enum Class {
    Word,
    Number,
    Code,
    Identifier(Vec<String>),
    /// A run of a script that does not separate words.
    Run,
    Mask,
}

const MASKS: &[&str] = &["<num>", "<id>", "<url>", "<email>", "<date>", "<ip>"];

fn is_word_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || !c.is_ascii() && (c.is_alphanumeric() || is_combining_mark(c))
}

fn is_unspaced(c: char) -> bool {
    matches!(c as u32,
        0x0e00..=0x0eff | 0x1000..=0x109f | 0x1780..=0x17ff | 0x3040..=0x30ff | 0x3400..=0x9fff | 0xac00..=0xd7af
        | 0xf900..=0xfaff | 0x2_0000..=0x3_ffff)
        && !is_combining_mark(c) // A mark belongs to whatever it stands upon.
}

fn read_lines(lines: &[&str]) -> Reading {
    let mut pieces = Vec::new();
    let mut reading = Reading::default();
    for line in lines {
        let from = pieces.len();
        for chunk in line.split_whitespace() {
            if pieces.len() >= MAX_PIECES {
                break;
            }
            read_chunk(chunk, &mut pieces);
        }
        pieces.truncate(MAX_PIECES);
        for (at, piece) in pieces[from..].iter().enumerate() {
            if at > 0 {
                reading.canonical.push(' ');
            } else if !reading.canonical.is_empty() {
                reading.canonical.push('\n');
            }
            reading.canonical.push_str(&piece.canonical);
        }
    }
    reading.tokens = tokens(&pieces);
    reading.says_something = pieces
        .iter()
        .any(|piece| !matches!(piece.class, Class::Mask | Class::Number) && !words::is_courtesy(&piece.canonical));
    reading
}

fn push(pieces: &mut Vec<Piece>, canonical: &str, class: Class) {
    let lower = canonical.to_lowercase();
    // Lower case can undo the composition of rare letters.
    let canonical = if lower.is_ascii() { lower } else { lower.nfkc().collect() };
    pieces.push(Piece { canonical, class });
}

fn mask(pieces: &mut Vec<Piece>, mask: &'static str) {
    pieces.push(Piece { canonical: mask.to_owned(), class: Class::Mask });
}

/// Reads what stands between two spaces.
fn read_chunk(chunk: &str, pieces: &mut Vec<Piece>) {
    if let Some(known) = MASKS.iter().find(|&&mask| mask == chunk) {
        return mask(pieces, known);
    }
    if chunk.contains("[email]") {
        return mask(pieces, "<email>");
    }
    let core = chunk.trim_matches(|c: char| !is_word_char(c) && c != '_');
    let before = &chunk[..chunk.len() - chunk.trim_start_matches(|c: char| !is_word_char(c) && c != '_').len()];
    if core.is_empty() {
        return;
    }
    if core.contains("://") || starts_with_ignoring_case(core, "www.") {
        return mask(pieces, "<url>");
    }
    if let Some((name, host)) = core.split_once('@')
        && name.ends_with(is_word_char)
        && host.starts_with(is_word_char)
        && host.contains('.')
    {
        return mask(pieces, "<email>");
    }
    if core.bytes().all(|b| b.is_ascii_digit() || b"-/.:,TZ+".contains(&b))
        && core.starts_with(|c: char| c.is_ascii_digit())
    {
        let names_case = before.ends_with(['#', '$', '€', '£', '¥', '₹'])
            || chunk.ends_with(['$', '€', '£', '¥', '₹'])
            || pieces.last().is_some_and(|last| words::names_one_case(&last.canonical));
        return read_figure(core, names_case, pieces);
    }
    if core.len() == 36 && core.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') && core.matches('-').count() == 4 {
        return mask(pieces, "<id>");
    }
    // Of a path only its last name says what it is about.
    let core = if core.matches(['/', '\\']).count() >= 2 || before.ends_with(['/', '\\', '~']) {
        core.rsplit(['/', '\\']).next().unwrap_or(core)
    } else {
        core
    };
    for segment in core.split(|c: char| !is_word_char(c) && !"_.:$'".contains(c)) {
        for (at, segment) in segment.split(':').filter(|s| !s.is_empty()).enumerate() {
            // `Bar.java:12` is a place in a file, which moves with every release.
            if at > 0 && segment.bytes().all(|b| b.is_ascii_digit()) {
                mask(pieces, "<num>");
            } else {
                read_segment(segment, pieces);
            }
        }
    }
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// Reads digits and what may stand between them: a date, a time, a version, an address, a number.
fn read_figure(core: &str, names_case: bool, pieces: &mut Vec<Piece>) {
    let groups: Vec<&str> = core.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty()).collect();
    let only = |separators: &str| core.chars().all(|c| c.is_ascii_digit() || separators.contains(c));
    if core.contains(':')
        || groups.len() >= 3 && only("-/TZ+")
        || groups.len() == 3 && only(".") && groups[2].len() == 4
    {
        mask(pieces, "<date>");
    } else if names_case || core.contains(',') {
        mask(pieces, "<num>");
    } else if groups.len() == 4 && only(".") && groups.iter().all(|group| group.parse::<u8>().is_ok()) {
        mask(pieces, "<ip>");
    } else if groups.len() >= 2 && only(".") && core.len() <= MAX_WORD_CHARS {
        push(pieces, core.trim_end_matches('.'), Class::Number);
    } else {
        for group in groups {
            // Longer numbers name an order, a process, a moment.
            if group.len() >= 5 { mask(pieces, "<num>") } else { push(pieces, group, Class::Number) }
        }
    }
}

/// Reads one word, identifier or code.
fn read_segment(segment: &str, pieces: &mut Vec<Piece>) {
    let segment = segment.trim_matches(['_', '.', '$', '\'']);
    if segment.is_empty() {
        return;
    }
    if segment.contains('\'') {
        // `can't` is one word, `app's` is `app`; after a longer head (`l'application`) both sides are words.
        let segment = segment.strip_suffix("'s").or_else(|| segment.strip_suffix("'S")).unwrap_or(segment);
        return match segment.split_once('\'') {
            None => read_segment(segment, pieces),
            Some((head, tail)) if head.chars().count() <= 2 && tail.chars().count() > 3 => {
                read_segment(head, pieces);
                read_segment(&tail.replace('\'', ""), pieces);
            }
            Some(_) => read_segment(&segment.replace('\'', ""), pieces),
        };
    }
    if segment.contains(is_unspaced) {
        return read_runs(segment, pieces);
    }
    if segment.is_ascii() {
        if let Some(hex) = segment.strip_prefix("0x").or_else(|| segment.strip_prefix("0X"))
            && !hex.is_empty()
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
        {
            // Windows and COM codes have eight digits and their top bit set; anything else is an address.
            if hex.len() == 8 && hex.starts_with(['8', 'c', 'C', 'e', 'E']) {
                return push(pieces, segment, Class::Code);
            }
            return mask(pieces, "<id>");
        }
        let digits = segment.bytes().filter(u8::is_ascii_digit).count();
        let letters = segment.bytes().filter(u8::is_ascii_alphabetic).count();
        let is_hex = segment.len() >= 8 && segment.bytes().all(|b| b.is_ascii_hexdigit());
        if digits > 0 && letters > 0 && (is_hex || segment.len() >= 16 && digits >= 6) {
            return mask(pieces, "<id>");
        }
        let bare = segment.strip_prefix(['v', 'V']).unwrap_or(segment);
        if bare.starts_with(|c: char| c.is_ascii_digit())
            && (letters == 0 || bare.len() < segment.len() || bare.contains('.'))
            && bare.len() <= 24
            && !bare.contains('_')
        {
            return if bare.len() >= 5 && bare.bytes().all(|b| b.is_ascii_digit()) {
                mask(pieces, "<num>")
            } else {
                push(pieces, segment, Class::Number)
            };
        }
        if is_error_code(segment) {
            return push(pieces, segment, Class::Code);
        }
    }
    if segment.chars().count() > MAX_WORD_CHARS {
        return mask(pieces, "<id>");
    }
    let parts = identifier_parts(segment);
    if parts.len() > 1 {
        push(pieces, segment, Class::Identifier(parts));
    } else if segment.contains(char::is_alphanumeric) {
        push(pieces, segment, Class::Word);
    }
}

/// A few letters and then at least two digits: `E1234`, `ORA00942`, `KB50123`.
fn is_error_code(segment: &str) -> bool {
    let letters = segment.bytes().take_while(u8::is_ascii_alphabetic).count();
    let digits = segment.bytes().skip(letters).take_while(u8::is_ascii_digit).count();
    (1..=6).contains(&letters) && (2..=8).contains(&digits) && letters + digits == segment.len()
}

/// The words inside `camelCase`, `HTTPServer`, `snake_case`, `a.dotted.path`. One part means it is no identifier.
fn identifier_parts(segment: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for section in segment.split(['_', '.', '$']).filter(|section| !section.is_empty()) {
        let chars: Vec<char> = section.chars().collect();
        let mut from = 0;
        for at in 1..chars.len() {
            let hump = chars[at - 1].is_lowercase() && chars[at].is_uppercase();
            let after_acronym = chars[at - 1].is_uppercase()
                && chars[at].is_uppercase()
                && chars.get(at + 1).is_some_and(|c| c.is_lowercase())
                && chars.get(at + 2).is_some_and(|c| c.is_lowercase());
            // `iPhone` and `eBay` are names, not identifiers.
            if (hump || after_acronym) && at - from > 1 {
                parts.push(chars[from..at].iter().collect());
                from = at;
            }
        }
        parts.push(chars[from..].iter().collect());
    }
    parts
}

/// Splits a segment where a script that does not separate words begins or ends.
fn read_runs(segment: &str, pieces: &mut Vec<Piece>) {
    let mut from = 0;
    let mut unspaced = segment.chars().next().is_some_and(is_unspaced);
    for (at, c) in segment.char_indices().chain([(segment.len(), ' ')]) {
        let ends = at == segment.len() || !is_combining_mark(c) && is_unspaced(c) != unspaced;
        if ends && at > from {
            let run = &segment[from..at];
            if !unspaced {
                read_segment(run, pieces);
            } else if run.contains(char::is_alphanumeric) {
                push(pieces, run, Class::Run);
            }
            (from, unspaced) = (at, is_unspaced(c));
        }
    }
}

// ---- tokens ----------------------------------------------------------------------------------------------------

/// What the lexical score sees of the words.
fn tokens(pieces: &[Piece]) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::with_capacity(pieces.len());
    let at_word = |at: usize| pieces.get(at).map_or("", |piece| piece.canonical.as_str());
    for (at, piece) in pieces.iter().enumerate() {
        if tokens.len() >= MAX_PIECES {
            break;
        }
        let word = piece.canonical.as_str();
        let previous = at.checked_sub(1).map_or("", at_word);
        match &piece.class {
            Class::Mask => {}
            Class::Word if at == 0 && words::is_question(word) => {
                tokens.push(Token { text: format!("?{word}"), kind: Kind::Function });
            }
            Class::Word => push_word(word, at_word(at + 1), &mut tokens),
            Class::Code => tokens.push(Token { text: word.to_owned(), kind: Kind::Code }),
            Class::Number => {
                let names_code =
                    |word: &str| ["http", "status", "error", "code", "errno", "fehler", "erreur"].contains(&word);
                if word.len() >= 3 && !word.contains('.') && (names_code(previous) || at_word(at + 1) == "error") {
                    tokens.push(Token { text: format!("code{word}"), kind: Kind::Code });
                } else {
                    let bare = word.strip_prefix('v').unwrap_or(word);
                    tokens.push(Token { text: bare.to_owned(), kind: Kind::Number });
                }
            }
            Class::Identifier(parts) => {
                if words::is_facet(word) {
                    tokens.push(Token { text: word.to_owned(), kind: Kind::Facet });
                    continue;
                }
                tokens.push(Token { text: word.to_owned(), kind: Kind::Identifier });
                for part in parts.iter().map(|part| part.to_lowercase()).filter(|part| part.chars().count() > 1) {
                    if !words::is_stop(&part) {
                        tokens.push(Token { text: words::stem(&part), kind: Kind::Part });
                    }
                }
            }
            Class::Run => {
                let chars: Vec<char> = word.chars().take(MAX_PIECES).collect();
                let pairs = chars.windows(2.min(chars.len())).map(|pair| pair.iter().collect());
                tokens.extend(pairs.map(|text| Token { text, kind: Kind::Word }));
            }
        }
    }
    tokens.truncate(MAX_PIECES);
    tokens
}

fn push_word(word: &str, next: &str, tokens: &mut Vec<Token>) {
    if words::is_facet(word) {
        tokens.push(Token { text: word.to_owned(), kind: Kind::Facet });
        return;
    }
    if words::is_negation(word) {
        tokens.push(Token { text: "not".to_owned(), kind: Kind::Function });
        return;
    }
    if words::is_stop(word) {
        return;
    }
    let stem = words::stem(word);
    // `log in`, `signing into` and `login` are one thing.
    let text = match (stem.as_str(), next) {
        ("log" | "sign", "in" | "on" | "into" | "onto") => "login".to_owned(),
        ("log" | "sign", "out" | "off") => "logout".to_owned(),
        _ => stem,
    };
    tokens.push(Token { text, kind: Kind::Word });
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn canonical(body: &str) -> String {
        read_body(body).canonical
    }

    fn kinds(text: &str, kind: Kind) -> Vec<String> {
        read_body(text).tokens.into_iter().filter(|token| token.kind == kind).map(|token| token.text).collect()
    }

    #[test]
    fn only_what_the_reporter_wrote_is_read() {
        let mail = "Hi team,\n\nThe export fails.\n\nBest regards,\nAda Lovelace\n\nSent from my iPhone\n\n\
                    On Mon, 3 May 2021 at 10:00, Support <s@example.org> wrote:\n> Please try again\n> Thanks";
        assert_eq!(canonical(mail), "the export fails");
        assert_eq!(canonical("The export fails.\n-- \nAda\nAcme Corp, +44 20 1234"), "the export fails");
        assert_eq!(canonical("Hello support, the export fails"), "the export fails");
        assert_eq!(
            canonical("Sehr geehrte Damen und Herren,\nder Export geht nicht\nMit freundlichen Grüßen\nAda"),
            "der export geht nicht"
        );
        assert_eq!(read_title("RE: Fwd: The export fails").canonical, "the export fails");
    }

    #[test]
    fn what_names_one_case_is_masked() {
        assert_eq!(canonical("order 4711 failed"), canonical("Order #4712 failed!"));
        assert_eq!(canonical("it broke at 2024-01-02 10:11:12"), canonical("it broke at 30.11.2025 09:00"));
        assert_eq!(canonical("see https://a.example/x?y=1"), "see <url>");
        assert_eq!(canonical("I am ada@example.org"), "i am <email>");
        assert_eq!(canonical("id 0192f3c4-aaaa-7000-8000-000000000000"), "id <id>");
        assert_eq!(canonical("commit 9fceb02d0ae598e9"), "commit <id>");
        assert_eq!(canonical("charged $19.99 twice"), "charged <num> twice");
        assert_eq!(canonical("from 192.168.0.12"), "from <ip>");
    }

    #[test]
    fn small_numbers_and_versions_stay_and_tell_texts_apart() {
        assert_eq!(kinds("fails on JDK 13 with v2.4.1", Kind::Number), ["13", "2.4.1"]);
        assert_ne!(canonical("fails on JDK 13"), canonical("fails on JDK 14"));
    }

    #[test]
    fn codes_exceptions_and_identifiers_stay_strong() {
        assert_eq!(kinds("E1234, HTTP 500 and 0x80070057", Kind::Code), ["e1234", "code500", "0x80070057"]);
        assert_eq!(
            kinds("NullPointerException in setBarColor, ERR_FOO at com.acme.Main", Kind::Identifier),
            ["nullpointerexception", "setbarcolor", "err_foo", "com.acme.main"]
        );
        assert_eq!(kinds("setBarColor", Kind::Part), ["set", "bar", "color"]);
    }

    #[test]
    fn a_script_without_spaces_gives_pairs_of_characters() {
        assert_eq!(kinds("アプリPDF", Kind::Word), ["アプ", "プリ", "pdf"]);
        assert_eq!(kinds("字", Kind::Word), ["字"]);
    }

    #[test]
    fn signing_in_has_one_name() {
        for text in ["cannot log in", "Logging into", "sign-in", "login", "signin"] {
            assert_eq!(kinds(text, Kind::Word), ["login"], "{text}");
        }
    }

    #[test]
    fn a_hundred_thousand_characters_are_no_burden() {
        for text in [
            "x".repeat(200_000),
            "a.".repeat(100_000),
            "字".repeat(100_000),
            "'".repeat(100_000),
            "a'".repeat(50_000),
            "aア".repeat(50_000),
            "hi bob,\n".repeat(12_000),
            "> a:\n".repeat(20_000),
            "hi ".repeat(50_000),
        ] {
            assert!(read_body(&text).tokens.len() <= MAX_PIECES);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            read_title(&text);
            read_body(&text);
        }

        #[test]
        fn reading_what_was_read_changes_nothing(
            lines in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![
                "Hi", "team,", "the", "App's", "can't", "log", "in", "FooException:", "E1234", "order", "#4711", "12.5.1",
                "v2", "99999", "2024-01-02", "10:30", "a@b.example", "https://x.example", "Thanks!", "Ada", "アプリPDF",
                "foo_bar.baz", "/usr/lib/x.so", "İstanbul", "ΣΑΣ", "(re-try)", "0xdeadbeef00", "<num>", "$5", "iOS/Android",
            ]), 0..6), 0..6)
        ) {
            let text = lines.iter().map(|line| line.join(" ")).collect::<Vec<_>>().join("\n");
            let once = canonical(&text);
            let twice = canonical(&once);
            // A closing can only be told at the end of what is left, so a second reading may find another.
            prop_assert!(once == twice || once.starts_with(&twice) || once.ends_with(&twice), "{once:?} became {twice:?}");
        }

        #[test]
        fn reading_any_title_twice_changes_nothing(text in "\\PC{0,60}") {
            let once = read_title(&text).canonical;
            prop_assert_eq!(&read_title(&once).canonical, &once);
        }
    }
}
