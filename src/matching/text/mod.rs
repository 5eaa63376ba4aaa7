//! From what a customer wrote to the tokens that are compared.
//!
//! Several results come out of one reading of a field:
//!
//! - the *canonical* text: every word in order, lower case, one space between, with numbers that name one case masked.
//!   Equal canonical texts are the same statement, and a canonical text reads back as itself;
//! - the *tokens* the scores see: stems without stop words, identifiers whole and in parts, error codes, pairs of
//!   characters where a script does not separate words. Each knows its [`Zone`]: what a person wrote is told from code,
//!   logs, traces and configuration, which are kept apart and capped so that no paste drowns the words around it;
//! - the stack trace, if there is one.
//!
//! What the reporter did not write is dropped before: quoted mail and signatures, greetings, macros of help desks,
//! headings of templates, the furniture around a copied page.
//!
//! The road: [`clean`] makes one spelling of each character, [`layout`] finds the lines and what each is (by
//! [`classify`], [`heading`] and [`furniture`]), [`word`] reads them. Reading is linear in the text, stops after
//! 100,000 bytes and 2,000 words, and takes any text of any language. The rules for mail, headings and endings know a
//! few European languages; others simply keep more words.

mod classify;
mod clean;
mod furniture;
mod hash;
mod heading;
mod layout;
mod shape;
mod word;

use self::word::Reader;
use super::signature::stack::{self, StackTrace};

pub(super) use self::clean::clean;
pub(super) use self::hash::{Key, Sieve, hash};
pub(super) use self::shape::is_unspaced as is_joined;
pub(super) use self::word::MASKS;

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
    /// The name of a platform or of a file format.
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

/// What the line of a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Zone {
    /// What happened, in somebody's words.
    Prose,
    /// How to make it happen.
    Steps,
    /// What should have happened.
    Expected,
    /// Where it happened: versions, devices.
    Environment,
    /// Source code, commands.
    Code,
    /// Settings, mark-up, data.
    Config,
    /// Lines of a log.
    Log,
    /// Frames of a stack trace.
    Trace,
}

impl Zone {
    /// Whether a person wrote it as sentences. Of everything else each distinct token counts once.
    pub(super) fn is_prose(self) -> bool {
        matches!(self, Self::Prose | Self::Steps | Self::Expected)
    }

    /// How much a token counts here beside one in prose.
    pub(super) fn weight(self) -> f64 {
        match self {
            Self::Prose => 1.0,
            Self::Steps => 0.9,
            Self::Expected => 0.7,
            Self::Environment => 0.3,
            Self::Code | Self::Trace => 0.5,
            Self::Config | Self::Log => 0.35,
        }
    }
}

/// One token of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    /// Where its text stands in [`Reading::texts`].
    start: u32,
    length: u32,
    /// The hash of its text, the same everywhere.
    pub(super) key: u64,
    pub(super) kind: Kind,
    pub(super) zone: Zone,
}

/// One field, read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The words in order, one space between words.
    pub(super) canonical: String,
    /// What the scores see, in order; with repetitions in prose.
    pub(super) tokens: Vec<Token>,
    /// The texts of the tokens, in one piece of memory: a report has hundreds.
    texts: String,
    /// Whether any word is more than a number, a mask or a courtesy.
    pub(super) says_something: bool,
    /// The first stack trace.
    pub(super) stack: Option<StackTrace>,
    /// The sentences as they were written, up to [`MAX_SENTENCES`]; no lines of nothing but courtesy.
    pub(super) sentences: String,
}

impl Reading {
    /// How one of its tokens reads.
    pub(super) fn text(&self, token: Token) -> &str {
        &self.texts[token.start as usize..(token.start + token.length) as usize]
    }

    /// A token of this text.
    fn token(&mut self, text: &str, kind: Kind, zone: Zone) -> Token {
        let (start, length) = (self.texts.len() as u32, text.len() as u32);
        self.texts.push_str(text);
        Token { start, length, key: hash(text.as_bytes()), kind, zone }
    }
}

/// Bytes kept of a field's sentences.
const MAX_SENTENCES: usize = 1_500;

/// Reads a title: its first thing may be a mail program's reply mark.
pub(super) fn read_title(title: &str) -> Reading {
    let clean = clean::clean(title);
    let mut rest = clean.trim();
    while let Some((mark, after)) = rest.split_once(':') {
        if !["re", "fw", "fwd", "aw", "wg", "sv", "tr", "rv", "antw"]
            .iter()
            .any(|m| m.eq_ignore_ascii_case(mark.trim()))
        {
            break;
        }
        rest = after.trim_start();
    }
    let mut reader = Reader::new(rest.len(), false);
    reader.line(rest, Zone::Prose);
    let mut reading = reader.finish();
    reading.sentences = rest[..rest.floor_char_boundary(MAX_SENTENCES)].to_owned();
    reading
}

/// Reads a body.
pub(super) fn read_body(body: &str) -> Reading {
    let clean = clean::clean(body);
    let lines = layout::lines(&clean);
    let mut reader = Reader::new(clean.len(), true);
    let mut sentences = String::new();
    for line in &lines {
        let is_told = reader.line(line.text, line.zone);
        let room = MAX_SENTENCES.saturating_sub(sentences.len() + 1);
        if is_told && line.zone.is_prose() && room > 0 {
            sentences.push_str(&line.text[..line.text.floor_char_boundary(room)]);
            sentences.push(' ');
        }
    }
    let mut reading = Reading { sentences, ..reader.finish() };
    if lines.iter().any(|line| line.zone == Zone::Trace) {
        reading.stack = stack::read(lines.iter().map(|line| (line.text, line.zone.is_prose())));
    }
    reading
}

#[cfg(test)]
mod tests;
