//! From lines to words: the canonical text and the tokens, in one pass.
//!
//! A word's canonical form reads back as the same word, and what is decided about it depends only on the canonical
//! forms around it: so a canonical text is its own canonical text.

use std::ops::Range;

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use super::shape::{hyphened_code, is_error_code, is_unspaced, is_word_char, split_identifier};
use super::{Kind, Reading, Zone, hash};
use crate::matching::spelling;
use crate::matching::words::{self, Traits};

/// Words read of one field. The problem is told long before this.
pub(super) const MAX_PIECES: usize = 2_000;
/// Words read of code, logs and the like. What follows repeats.
const MAX_QUIET_PIECES: usize = 400;
/// Distinct tokens kept of all code, and of all logs, traces and configuration: about as many as a long text has.
const MAX_CODE_TOKENS: usize = 160;
const MAX_LOG_TOKENS: usize = 160;
/// Places for tokens of code and logs that were seen.
const RECENT: usize = 256;
/// A longer "word" is an encoded blob.
const MAX_WORD_CHARS: usize = 64;
/// A line of courtesy is short.
const MAX_COURTESY_WORDS: usize = 10;
/// Parts kept of one identifier.
const MAX_PARTS: usize = 8;

/// What stands in a canonical text for what names one case.
pub(in crate::matching) const MASKS: &[&str] = &["<num>", "<id>", "<url>", "<email>", "<date>", "<ip>"];

/// Reads the lines of one field.
pub(super) struct Reader {
    reading: Reading,
    /// Whether lines of nothing but courtesy are dropped, and a greeting at the beginning.
    drops_courtesy: bool,
    /// A greeting the text began with, in case nothing follows it.
    held: Option<String>,
    opening: bool,
    pieces: usize,
    quiet_pieces: usize,
    code_tokens: usize,
    log_tokens: usize,
    /// Recent tokens of code and logs, which count once: a table of one place per key. Empty until there is one.
    recent: Vec<u64>,
    last: Last,
    zone: Zone,
    line_pieces: usize,
    line_courtesies: usize,
    /// The line in lower case, if it is ASCII.
    lower: String,
    stem: String,
    parts: Vec<Range<usize>>,
}

/// What the next word may want to know of the last.
#[derive(Debug, Clone, Copy, Default)]
struct Last {
    traits: Traits,
    token: LastToken,
}

#[derive(Debug, Clone, Copy, Default)]
enum LastToken {
    #[default]
    Other,
    /// The token of `log` or `sign`.
    Log(usize),
    /// The token of a bare number.
    Number(usize),
}

impl Reader {
    pub(super) fn new(length: usize, drops_courtesy: bool) -> Self {
        Self {
            reading: Reading {
                canonical: String::with_capacity(length.min(16_000) + 16),
                tokens: Vec::with_capacity((length / 6).min(600) + 8),
                ..Reading::default()
            },
            drops_courtesy,
            held: None,
            opening: drops_courtesy,
            pieces: 0,
            quiet_pieces: 0,
            code_tokens: 0,
            log_tokens: 0,
            recent: Vec::new(),
            last: Last::default(),
            zone: Zone::Prose,
            line_pieces: 0,
            line_courtesies: 0,
            lower: String::new(),
            stem: String::new(),
            parts: Vec::new(),
        }
    }

    /// Reads one line; answers whether it was left in.
    pub(super) fn line(&mut self, text: &str, zone: Zone) -> bool {
        let quiet = !zone.is_prose();
        if self.pieces >= MAX_PIECES || quiet && self.quiet_pieces >= MAX_QUIET_PIECES {
            return false;
        }
        self.zone = zone;
        (self.line_pieces, self.line_courtesies) = (0, 0);
        let (canonical, tokens, pieces) = (self.reading.canonical.len(), self.reading.tokens.len(), self.pieces);
        let (last, says_something, opening) = (self.last, self.reading.says_something, self.opening);
        if text.is_ascii() {
            let mut lower = std::mem::take(&mut self.lower);
            lower.clear();
            lower.push_str(text);
            lower.make_ascii_lowercase();
            let is_space = |byte: &u8| byte.is_ascii_whitespace();
            let mut from = 0;
            while from < text.len() && self.pieces < MAX_PIECES {
                let length = text.as_bytes()[from..].iter().position(is_space).unwrap_or(text.len() - from);
                if length > 0 {
                    self.chunk(&text[from..from + length], Some(&lower[from..from + length]));
                }
                from += length + 1;
            }
            self.lower = lower;
        } else {
            for chunk in text.split_whitespace() {
                self.chunk(chunk, None);
                if self.pieces >= MAX_PIECES {
                    break;
                }
            }
        }
        let is_courtesy = self.line_pieces > 0
            && self.line_pieces == self.line_courtesies
            && self.pieces - pieces <= MAX_COURTESY_WORDS;
        if self.drops_courtesy && is_courtesy {
            self.reading.canonical.truncate(canonical);
            self.reading.tokens.truncate(tokens);
            (self.pieces, self.last, self.reading.says_something, self.opening) =
                (pieces, last, says_something, opening);
            self.held = None;
            return false;
        }
        if quiet {
            self.quiet_pieces += self.line_pieces;
        }
        true
    }

    pub(super) fn finish(mut self) -> Reading {
        if let Some(held) = self.held.take()
            && self.reading.canonical.is_empty()
        {
            self.reading.canonical = held;
        }
        self.reading
    }

    // ---- pieces ------------------------------------------------------------------------------------------------

    /// Puts a space before the next piece and answers where it begins.
    fn begin(&mut self) -> usize {
        if !self.reading.canonical.is_empty() {
            self.reading.canonical.push(' ');
        }
        self.opening = false;
        self.pieces += 1;
        self.line_pieces += 1;
        self.reading.canonical.len()
    }

    fn push_lower(&mut self, raw: &str) {
        let start = self.reading.canonical.len();
        if raw.is_ascii() {
            self.reading.canonical.push_str(raw);
            self.reading.canonical[start..].make_ascii_lowercase();
        } else {
            // Lower case can undo the composition of rare letters.
            self.reading.canonical.extend(raw.to_lowercase().nfkc());
        }
    }

    fn mask(&mut self, mask: &str) {
        self.begin();
        self.reading.canonical.push_str(mask);
        self.last = Last::default();
    }

    fn push_token(&mut self, text: &str, kind: Kind) {
        if !self.zone.is_prose() {
            let key = hash(text.as_bytes());
            let count = if self.zone == Zone::Code { &mut self.code_tokens } else { &mut self.log_tokens };
            let limit = if self.zone == Zone::Code { MAX_CODE_TOKENS } else { MAX_LOG_TOKENS };
            self.recent.resize(RECENT, 0);
            let recent = &mut self.recent[key as usize % RECENT];
            if *count >= limit || *recent == key {
                return;
            }
            *recent = key;
            *count += 1;
        }
        if self.reading.tokens.len() < MAX_PIECES {
            let token = self.reading.token(text, kind, self.zone);
            self.reading.tokens.push(token);
        }
    }

    fn rename_token(&mut self, at: usize, text: &str, kind: Kind) {
        if let Some(zone) = self.reading.tokens.get(at).map(|token| token.zone) {
            self.reading.tokens[at] = self.reading.token(text, kind, zone);
        }
    }

    /// A plain word.
    fn word(&mut self, raw: &str) {
        let before = (self.pieces, self.opening, self.reading.canonical.len());
        let start = self.begin();
        self.push_lower(raw);
        let canonical = std::mem::take(&mut self.reading.canonical);
        let is_told = self.tell(&canonical[start..], before);
        self.reading.canonical = canonical;
        if !is_told {
            self.reading.canonical.truncate(before.2);
        }
    }

    /// The same for a word in lower case.
    fn lower_word(&mut self, word: &str) {
        let before = (self.pieces, self.opening, self.reading.canonical.len());
        self.begin();
        self.reading.canonical.push_str(word);
        if !self.tell(word, before) {
            self.reading.canonical.truncate(before.2);
        }
    }

    /// Makes a token of a word that was put into the canonical text, or of the word it was meant to be; answers `false` if
    /// it is held back for now. `before` are the pieces, whether the text was opening, and the canonical text's length
    /// before the word.
    fn tell(&mut self, word: &str, before: (usize, bool, usize)) -> bool {
        let (pieces, opening, _) = before;
        let (word, traits) = self.recognise(word);
        if traits.any(Traits::COURTESY) {
            self.line_courtesies += 1;
        }
        if opening && (traits.any(Traits::GREETING) || self.held.is_some() && traits.any(Traits::GREETED)) {
            self.held = Some(word.to_owned());
            (self.pieces, self.opening) = (pieces, opening);
            return false;
        }
        self.reading.says_something |= !traits.any(Traits::COURTESY);
        let last = std::mem::replace(&mut self.last, Last { traits, token: LastToken::Other });
        match last.token {
            LastToken::Log(at) if matches!(word, "in" | "on" | "into" | "onto") => {
                self.rename_token(at, "login", Kind::Word);
            }
            LastToken::Log(at) if matches!(word, "out" | "off") => self.rename_token(at, "logout", Kind::Word),
            LastToken::Number(at) => self.name_status(at, word, traits),
            _ => {}
        }
        if traits.any(Traits::FACET) {
            self.push_token(words::same(word).unwrap_or(word), Kind::Facet);
        } else if pieces == 0 && traits.any(Traits::QUESTION) {
            self.push_token(&format!("?{word}"), Kind::Function);
        } else if traits.any(Traits::NEGATION) {
            if self.zone.is_prose() {
                self.push_token("not", Kind::Function);
            }
        } else if !traits.any(Traits::STOP) {
            let stem = std::mem::take(&mut self.stem);
            let before = self.reading.tokens.len();
            self.push_token(&stem, Kind::Word);
            if matches!(stem.as_str(), "log" | "sign") && self.reading.tokens.len() > before {
                self.last.token = LastToken::Log(before);
            }
            self.stem = stem;
        }
        true
    }

    /// What a word is known for; what a person wrote and nobody knows is the word it was meant to be. Its stem is left in
    /// `stem`, if it is one that is told.
    fn recognise<'w>(&mut self, word: &'w str) -> (&'w str, Traits) {
        let traits = words::traits(word);
        if traits.any(Traits::STOP) {
            return (word, traits);
        }
        words::stem(word, &mut self.stem);
        if traits == Traits::default()
            && self.zone.is_prose()
            && let Some(meant) = spelling::meant_by_unknown(word, &self.stem)
        {
            words::stem(meant, &mut self.stem);
            return (meant, words::traits(meant));
        }
        (word, traits)
    }

    /// `500 internal …`, `404 error`: the number before this word is a status.
    fn name_status(&mut self, at: usize, word: &str, traits: Traits) {
        let Some(&token) = self.reading.tokens.get(at) else { return };
        let number = self.reading.text(token);
        let is_status = number.len() == 3 && number.starts_with(['4', '5']);
        if word == "error" && number.len() >= 3
            || is_status && (traits.any(Traits::AFTER_STATUS) || word == "not" && number == "404")
        {
            let code = format!("code{number}");
            self.rename_token(at, &code, Kind::Code);
        }
    }

    fn code(&mut self, raw: &str) {
        let start = self.begin();
        self.push_lower(raw);
        self.push_from(start, Kind::Code);
        self.reading.says_something = true;
        self.last = Last::default();
    }

    /// A small number or a version.
    fn number(&mut self, raw: &str) {
        if self.last.traits.any(Traits::NAMES_ONE_CASE) {
            return self.mask("<num>");
        }
        let start = self.begin();
        self.push_lower(raw);
        let follows_name = self.last.traits.any(Traits::NAMES_CODE);
        self.last = Last::default();
        let canonical = std::mem::take(&mut self.reading.canonical);
        let number = &canonical[start..];
        if follows_name && number.len() >= 3 && !number.contains('.') {
            self.push_token(&format!("code{number}"), Kind::Code);
        } else if self.zone.is_prose() || self.zone == Zone::Config {
            let at = self.reading.tokens.len();
            self.push_token(number.strip_prefix('v').unwrap_or(number), Kind::Number);
            if !number.contains('.') {
                self.last.token = LastToken::Number(at);
            }
        }
        self.reading.canonical = canonical;
    }

    fn push_from(&mut self, start: usize, kind: Kind) {
        let canonical = std::mem::take(&mut self.reading.canonical);
        self.push_token(&canonical[start..], kind);
        self.reading.canonical = canonical;
    }

    /// An identifier of several parts, found by [`split_identifier`].
    fn identifier(&mut self, raw: &str, parts: &[Range<usize>]) {
        let start = self.begin();
        self.push_lower(raw);
        let canonical = std::mem::take(&mut self.reading.canonical);
        let whole = &canonical[start..];
        let traits = words::traits(whole);
        self.reading.says_something |= !traits.any(Traits::COURTESY);
        self.last = Last { traits, token: LastToken::Other };
        if traits.any(Traits::FACET) {
            self.push_token(whole, Kind::Facet);
        } else if parts.iter().any(|part| part.len() > 1) {
            self.push_token(whole, Kind::Identifier);
            // `e.g.` is none. `Ti.UI.createView` is also `createView`.
            if raw.is_ascii()
                && let Some(section) = whole.rsplit('.').next().filter(|section| section.len() < whole.len())
                && parts.iter().filter(|part| part.start >= whole.len() - section.len()).count() > 1
            {
                self.push_token(section, Kind::Identifier);
            }
            let mut lower = String::new();
            let mut stem = std::mem::take(&mut self.stem);
            for part in parts.iter().take(MAX_PARTS).map(|part| &raw[part.clone()]) {
                lower.clear();
                if part.is_ascii() {
                    lower.push_str(part);
                    lower.make_ascii_lowercase();
                } else {
                    lower.push_str(&part.to_lowercase());
                }
                if lower.len() > 1 && lower.chars().nth(1).is_some() && !words::traits(&lower).any(Traits::STOP) {
                    words::stem(&lower, &mut stem);
                    self.push_token(&stem, Kind::Part);
                }
            }
            self.stem = stem;
        }
        self.reading.canonical = canonical;
    }

    /// A run of a script that does not separate words: its pairs of characters.
    fn run(&mut self, raw: &str) {
        let start = self.begin();
        self.push_lower(raw);
        self.reading.says_something = true;
        self.last = Last::default();
        let canonical = std::mem::take(&mut self.reading.canonical);
        let run = &canonical[start..];
        let ends = run.char_indices().map(|(at, _)| at).skip(1).chain([run.len()]);
        let seconds = run.char_indices().map(|(at, _)| at).skip(2).chain([run.len()]);
        if run.chars().nth(1).is_none() {
            self.push_token(run, Kind::Word);
        } else {
            let starts = run.char_indices().map(|(at, _)| at);
            for ((from, _), to) in starts.zip(ends).zip(seconds).take(MAX_PIECES) {
                self.push_token(&run[from..to], Kind::Word);
            }
        }
        self.reading.canonical = canonical;
    }

    // ---- chunks ------------------------------------------------------------------------------------------------

    /// Reads what stands between two spaces; `lower` is the same in lower case, if it is ASCII.
    fn chunk(&mut self, chunk: &str, lower: Option<&str>) {
        let bytes = chunk.as_bytes();
        let is_core = |byte: &u8| GLYPHS[usize::from(*byte)] != EDGE;
        let Some(from) = bytes.iter().position(is_core) else { return };
        let to = bytes.iter().rposition(is_core).map_or(from, |last| last + 1);
        let glyphs = |bytes: &[u8]| bytes.iter().fold(0, |all, &byte| all | GLYPHS[usize::from(byte)]);
        let (first, others) = (glyphs(&bytes[from..=from]), glyphs(&bytes[from + 1..to]));
        // Nearly everything is a plain word.
        if matches!((first, others), (UPPER, 0 | UPPER | LOWER) | (LOWER, 0 | LOWER))
            && to - from <= MAX_WORD_CHARS
            && bytes[0] != b'<'
            && !chunk.starts_with("[email")
            && (from == 0 || !matches!(bytes[from - 1], b'/' | b'\\' | b'~'))
        {
            return match lower {
                Some(lower) => self.lower_word(&lower[from..to]),
                None => self.word(&chunk[from..to]),
            };
        }
        self.odd_chunk(chunk);
    }

    fn odd_chunk(&mut self, chunk: &str) {
        if let Some(known) = MASKS.iter().find(|&&mask| mask == chunk) {
            return self.mask(known);
        }
        if chunk.len() >= 7 && chunk.contains("[email]") {
            return self.mask("<email>");
        }
        let is_edge = |c: char| !is_word_char(c) && c != '_';
        let core = chunk.trim_matches(is_edge);
        if core.is_empty() {
            return;
        }
        let before = &chunk[..chunk.len() - chunk.trim_start_matches(is_edge).len()];
        if core.len() >= 5 && core.contains("://") || starts_with_ignoring_case(core, "www.") {
            self.mask("<url>");
            // A link to a tracker's item says which.
            let path = core.split(['?', '#']).next().unwrap_or(core);
            if let Some(key) = path.rsplit('/').next().and_then(hyphened_code) {
                self.push_token(&key.to_lowercase(), Kind::Code);
            }
            return;
        }
        if let Some((name, host)) = core.split_once('@')
            && name.ends_with(is_word_char)
            && host.starts_with(is_word_char)
            && host.contains('.')
        {
            return self.mask("<email>");
        }
        if core.starts_with(|c: char| c.is_ascii_digit())
            && core.bytes().all(|b| b.is_ascii_digit() || b"-/.:,TZ+".contains(&b))
        {
            let names_case = before.ends_with(['#', '$', '€', '£', '¥', '₹'])
                || chunk.ends_with(['$', '€', '£', '¥', '₹'])
                || self.last.traits.any(Traits::NAMES_ONE_CASE);
            return self.figure(core, names_case);
        }
        if core.len() == 36
            && core.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-')
            && core.bytes().filter(|b| *b == b'-').count() == 4
        {
            return self.mask("<id>");
        }
        if let Some(code) = hyphened_code(core) {
            return self.code(&code);
        }
        // Of a path only its last name says what it is about.
        let is_path =
            before.ends_with(['/', '\\', '~']) || core.bytes().filter(|b| matches!(b, b'/' | b'\\')).count() >= 2;
        let core = if is_path { core.rsplit(['/', '\\']).next().unwrap_or(core) } else { core };
        for segment in core.split(|c: char| !is_word_char(c) && !matches!(c, '_' | '.' | ':' | '$' | '\'')) {
            for (at, segment) in segment.split(':').filter(|s| !s.is_empty()).enumerate() {
                // `Bar.java:12` is a place in a file, which moves with every release.
                if at > 0 && segment.bytes().all(|b| b.is_ascii_digit()) {
                    self.mask("<num>");
                } else {
                    self.segment(segment);
                }
            }
        }
    }

    /// Reads digits and what may stand between them: a date, a time, a version, an address, a number.
    fn figure(&mut self, core: &str, names_case: bool) {
        let groups = || core.split(|c: char| !c.is_ascii_digit()).filter(|group| !group.is_empty());
        let count = groups().count();
        let only = |separators: &str| core.chars().all(|c| c.is_ascii_digit() || separators.contains(c));
        if core.contains(':')
            || count >= 3 && only("-/TZ+")
            || count == 3 && only(".") && groups().next_back().is_some_and(|group| group.len() == 4)
        {
            self.mask("<date>");
        } else if names_case || core.contains(',') {
            self.mask("<num>");
        } else if count == 4 && only(".") && groups().all(|group| group.parse::<u8>().is_ok()) {
            self.mask("<ip>");
        } else if count >= 2 && only(".") && core.len() <= MAX_WORD_CHARS {
            self.number(core.trim_end_matches('.'));
        } else {
            for group in groups() {
                self.digits(group);
            }
        }
    }

    /// A bare number. Long ones name an order, a process, a moment; unless an error is named by it.
    fn digits(&mut self, digits: &str) {
        if digits.len() < 5 || digits.len() <= 10 && self.last.traits.any(Traits::NAMES_CODE) {
            self.number(digits);
        } else {
            self.mask("<num>");
        }
    }

    /// Reads one word, identifier or code.
    fn segment(&mut self, segment: &str) {
        let segment = segment.trim_matches(['_', '.', '$', '\'']);
        if segment.is_empty() {
            return;
        }
        if starts_with_ignoring_case(segment, "www.") {
            return self.mask("<url>");
        }
        if segment.contains('\'') {
            // `can't` is one word, `app's` is `app`; after a longer head (`l'application`) both sides are words.
            let segment = segment.strip_suffix("'s").or_else(|| segment.strip_suffix("'S")).unwrap_or(segment);
            return match segment.split_once('\'') {
                None => self.segment(segment),
                Some((head, tail)) if head.chars().count() <= 2 && tail.chars().count() > 3 => {
                    self.segment(head);
                    self.segment(&tail.replace('\'', ""));
                }
                Some(_) => self.segment(&segment.replace('\'', "")),
            };
        }
        if !segment.is_ascii() && segment.contains(is_unspaced) {
            return self.runs(segment);
        }
        if segment.is_ascii() && self.ascii_figure(segment) {
            return;
        }
        if segment.chars().count() > MAX_WORD_CHARS {
            return self.mask("<id>");
        }
        let mut parts = std::mem::take(&mut self.parts);
        split_identifier(segment, &mut parts);
        if parts.len() > 1 {
            self.identifier(segment, &parts);
        } else if segment.contains(char::is_alphanumeric) {
            self.word(segment);
        }
        self.parts = parts;
    }

    /// Reads a segment that is a number, an address, a hash or a code; answers whether it was one.
    fn ascii_figure(&mut self, segment: &str) -> bool {
        let digits = segment.bytes().filter(u8::is_ascii_digit).count();
        if digits == 0 {
            return false;
        }
        if let Some(hex) = segment.strip_prefix("0x").or_else(|| segment.strip_prefix("0X"))
            && !hex.is_empty()
            && hex.bytes().all(|b| b.is_ascii_hexdigit())
        {
            // Windows and COM codes have eight digits and their top bit set; anything else is an address.
            if hex.len() == 8 && hex.starts_with(['8', 'c', 'C', 'e', 'E']) {
                self.code(segment);
            } else {
                self.mask("<id>");
            }
            return true;
        }
        let letters = segment.bytes().filter(u8::is_ascii_alphabetic).count();
        let is_hex = segment.len() >= 8 && segment.bytes().all(|b| b.is_ascii_hexdigit());
        if letters > 0 && (is_hex || segment.len() >= 16 && digits >= 6) {
            self.mask("<id>");
            return true;
        }
        if segment.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
            self.figure(segment, self.last.traits.any(Traits::NAMES_ONE_CASE));
            return true;
        }
        let bare = segment.strip_prefix(['v', 'V']).unwrap_or(segment);
        if bare.starts_with(|c: char| c.is_ascii_digit())
            && (letters == 0 || bare.len() < segment.len() || bare.contains('.'))
            && bare.len() <= 24
            && !bare.contains('_')
        {
            if bare.len() >= 5 && bare.len() == digits {
                self.mask("<num>");
            } else {
                self.number(segment);
            }
            return true;
        }
        if is_error_code(segment) {
            self.code(segment);
            return true;
        }
        false
    }

    /// Splits a segment where a script that does not separate words begins or ends.
    fn runs(&mut self, segment: &str) {
        let mut from = 0;
        let mut unspaced = segment.chars().next().is_some_and(is_unspaced);
        for (at, c) in segment.char_indices().chain([(segment.len(), ' ')]) {
            let ends = at == segment.len() || !is_combining_mark(c) && is_unspaced(c) != unspaced;
            if ends && at > from {
                let run = &segment[from..at];
                if !unspaced {
                    self.segment(run);
                } else if run.contains(char::is_alphanumeric) {
                    self.run(run);
                }
                (from, unspaced) = (at, is_unspaced(c));
            }
        }
    }
}

/// What a byte may be in a chunk. A bit each, so that those of a word can be taken together.
const LOWER: u8 = 1;
const UPPER: u8 = 2;
/// Digits, what joins words, and scripts other than ASCII.
const OTHER: u8 = 4;
/// What stands around words, and sometimes in them.
const EDGE: u8 = 8;

const GLYPHS: [u8; 256] = {
    let mut glyphs = [EDGE; 256];
    let mut byte = 0;
    while byte < 256 {
        glyphs[byte] = match byte as u8 {
            b'a'..=b'z' => LOWER,
            b'A'..=b'Z' => UPPER,
            b'0'..=b'9' | b'_' | 128.. => OTHER,
            _ => EDGE,
        };
        byte += 1;
    }
    glyphs
};

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}
