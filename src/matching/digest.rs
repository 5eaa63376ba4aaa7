//! What a cluster is about, in its customers' own words: a headline and a few key terms.
//!
//! Nothing is composed. The title is the headline of the member whose words stand nearest to what all the others say, and
//! a key term is a word as customers spelled it, chosen by the share of members that say it and by how rare it is among
//! all reports. Likeness is by words alone here: a headline is read by people, who look for the words.
//!
//! What names one case or one person is no headline's business: mail addresses, links, long numbers, dates and what else
//! [`text`](super::text) masks is replaced by `…`, and so is anything that may be a telephone number.
//!
//! The answer depends on the members and on the title so far, not on the members' order. A title that was chosen stays
//! until another one is clearly nearer.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::features::{Features, Text};
use super::text::{self, Kind, MASKS};
use super::words::{self, Traits};
use crate::domain::id::ReportId;

/// Characters of a headline.
const LONGEST: usize = 100;
/// A first sentence that is shorter goes on.
const SHORTEST: usize = 16;
/// Key terms of a cluster.
const MOST_TERMS: usize = 6;
/// Characters of a key term: longer ones are pasted, not said.
const LONGEST_TERM: usize = 32;
/// So many members have to say a term, where there are so many.
const SAY: usize = 2;
/// Digits of a telephone number, a card or an account.
const NUMBER_DIGITS: usize = 7;
/// From so many characters on a headline is read less easily, and what the same number more take from its likeness.
const HANDY: usize = 40;
const LENGTHY: f64 = 0.25;
/// A headline with something left out has to be nearer by this.
const MASKED: f64 = 0.05;
/// To take the place of another one a title has to be nearer by this, and by this share of the other's likeness.
const MARGIN: f64 = 0.03;
const MARGIN_SHARE: f64 = 0.15;
/// What stands for what is left out.
const LEFT_OUT: &str = "…";

/// A member of a cluster, read.
#[derive(Debug, Clone)]
pub struct Member {
    report: ReportId,
    features: Features,
    headline: Option<Headline>,
    /// The terms it says, each by the key the index knows it by, with its spellings.
    terms: BTreeMap<u64, Spelled>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Headline {
    text: String,
    masked: bool,
}

#[derive(Debug, Clone)]
struct Spelled {
    kind: Kind,
    generic: bool,
    spellings: BTreeSet<String>,
}

/// What a cluster is about.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Digest {
    /// A headline; empty if no member says anything.
    pub title: String,
    /// The most telling first.
    pub key_terms: Vec<String>,
}

/// How rare terms are, by their keys.
#[derive(Debug, Clone, Default)]
pub struct Rarity(pub(super) FxHashMap<u64, f64>);

impl Rarity {
    fn of(&self, key: u64) -> f64 {
        self.0.get(&key).copied().unwrap_or(0.0)
    }
}

impl Member {
    /// Reads a member.
    pub fn read(report: ReportId, text: &Text<'_>) -> Self {
        let title = text::read_title(text.title);
        let body = text::read_body(text.body);
        let mut terms = BTreeMap::new();
        for chunk in title.sentences.split_whitespace().chain(body.sentences.split_whitespace()) {
            spell(chunk, &mut terms);
        }
        Self { report, features: Features::of(text), headline: candidate(text.title, text.body), terms }
    }

    /// Everything the matcher needs of it.
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// Which report it is.
    pub fn report(&self) -> ReportId {
        self.report
    }
}

/// What these members are about. `current` is the title so far; it may be empty.
pub fn digest(members: &[Member], current: &str, rarity: &Rarity) -> Digest {
    let mut members: Vec<&Member> = members.iter().collect();
    members.sort_by_key(|member| member.report); // Sums depend on their order in the last digits.
    members.dedup_by_key(|member| member.report);
    Digest { title: title(&members, current, rarity), key_terms: key_terms(&members, rarity) }
}

/// The headline of one report: its title or the first sentence of its body, without what names one case.
pub fn headline(title: &str, body: &str) -> String {
    candidate(title, body).map_or_else(|| LEFT_OUT.to_owned(), |headline| headline.text)
}

// ---- title -----------------------------------------------------------------------------------------------------

fn title(members: &[&Member], current: &str, rarity: &Rarity) -> String {
    let directions: Vec<Direction> = members.iter().map(|member| Direction::of(&member.features, rarity)).collect();
    let nearness = |headline: &Headline| {
        let text = Text { product: None, fingerprint: None, title: &headline.text, body: "" };
        let own = Direction::of(&Features::of(&text), rarity);
        let sum: f64 = directions.iter().map(|other| own.cosine(other)).sum();
        let excess = headline.text.chars().count().saturating_sub(HANDY) as f64 / HANDY as f64;
        let mean = sum / directions.len().max(1) as f64 * (1.0 - LENGTHY * excess);
        mean - if headline.masked { MASKED } else { 0.0 }
    };
    let headlines: BTreeSet<&Headline> = members.iter().filter_map(|member| member.headline.as_ref()).collect();
    let measured = headlines.into_iter().map(|headline| (nearness(headline), headline));
    let best = measured.max_by(|(one, first), (other, second)| {
        // Of equals the shorter one, and then the first in the alphabet.
        let length = |headline: &Headline| headline.text.chars().count();
        one.total_cmp(other).then_with(|| length(second).cmp(&length(first))).then_with(|| second.cmp(first))
    });
    let Some((best_nearness, best)) = best else { return current.to_owned() };
    // One that was cut ends as if something were left out.
    let bare = current.trim_end_matches(LEFT_OUT).trim_end();
    let masked = bare.contains(LEFT_OUT) || current.ends_with(" …");
    let so_far = Headline { text: current.to_owned(), masked };
    let may_stay = bare.contains(char::is_alphanumeric) && mask(bare).0 == bare;
    if may_stay {
        let nearness = nearness(&so_far);
        if best_nearness < nearness + MARGIN + MARGIN_SHARE * nearness.max(0.0) {
            return so_far.text;
        }
    }
    best.text.clone()
}

/// A text as a direction: its terms, weighed by how rare they are.
struct Direction(Vec<(u64, f64)>);

impl Direction {
    fn of(features: &Features, rarity: &Rarity) -> Self {
        let weights = features.terms().iter().map(|term| (term.key, f64::from(term.weight) * rarity.of(term.key)));
        let mut weights: Vec<(u64, f64)> = weights.filter(|&(_, weight)| weight > 0.0).collect();
        let length = weights.iter().map(|(_, weight)| weight * weight).sum::<f64>().sqrt();
        weights.iter_mut().for_each(|(_, weight)| *weight /= length);
        Self(weights)
    }

    fn cosine(&self, other: &Self) -> f64 {
        let weight_of = |key: u64| Some(other.0[other.0.binary_search_by_key(&key, |&(key, _)| key).ok()?].1);
        self.0.iter().filter_map(|&(key, weight)| Some(weight * weight_of(key)?)).sum()
    }
}

/// What a member would be called by; `None` if it says nothing that may stand in a headline.
fn candidate(title: &str, body: &str) -> Option<Headline> {
    let read = text::read_title(title);
    if read.says_something
        && let Some(headline) = presentable(&read.sentences)
    {
        return Some(headline);
    }
    let read = text::read_body(body);
    let of_body = read.says_something.then(|| presentable(first_sentence(&read.sentences))).flatten();
    of_body.or_else(|| presentable(title)).or_else(|| presentable(body))
}

fn presentable(text: &str) -> Option<Headline> {
    let (text, masked) = mask(text);
    let text = shorten(&text);
    text.contains(char::is_alphabetic).then_some(Headline { text, masked })
}

fn first_sentence(text: &str) -> &str {
    for (count, (at, c)) in text.char_indices().enumerate() {
        let after = at + c.len_utf8();
        let ends = match c {
            '.' | '!' | '?' => text[after..].starts_with(char::is_whitespace),
            '。' | '！' | '？' | '\n' => true,
            _ => false,
        };
        if ends && count + 1 >= SHORTEST {
            return &text[..after];
        }
    }
    text
}

/// Cuts a headline at the end of a word.
fn shorten(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(LONGEST) else { return text.to_owned() };
    let cut = &text[..end];
    let cut = match cut.rfind(char::is_whitespace) {
        Some(space) if space * 2 > end => &cut[..space],
        _ => cut, // Words that are not separated end anywhere.
    };
    format!("{}{LEFT_OUT}", cut.trim_end_matches(|c: char| !c.is_alphanumeric()))
}

// ---- masks -----------------------------------------------------------------------------------------------------

/// The text on one line, without what names one case or one person, and whether anything was left out.
fn mask(text: &str) -> (String, bool) {
    let text = text::clean(text);
    let text = mask_numbers(&text);
    let mut kept: Vec<&str> = Vec::new();
    let mut last = Traits::default();
    for chunk in text.split_whitespace() {
        let names_case = last.any(Traits::NAMES_ONE_CASE) && chunk.starts_with(|c: char| c.is_ascii_digit());
        if names_case || chunk.contains(LEFT_OUT) || is_masked(chunk) {
            if kept.last() != Some(&LEFT_OUT) {
                kept.push(LEFT_OUT);
            }
        } else {
            kept.push(chunk);
        }
        last = words::traits(&chunk.trim_matches(|c: char| !c.is_alphanumeric()).to_lowercase());
    }
    let masked = kept.contains(&LEFT_OUT);
    (kept.join(" "), masked)
}

/// Whether what stands between two spaces is, or contains, what the matcher masks.
fn is_masked(chunk: &str) -> bool {
    if chunk.bytes().all(|byte| byte.is_ascii_alphabetic() || matches!(byte, b',' | b'.' | b'!' | b'?' | b'\'')) {
        return chunk.len() > LONGEST / 2; // A word that long is an encoded blob.
    }
    let is_address = chunk.match_indices('@').any(|(at, _)| {
        chunk[..at].ends_with(char::is_alphanumeric) && chunk[at + 1..].starts_with(char::is_alphanumeric)
    });
    is_address || text::read_title(chunk).canonical.split(' ').any(|word| MASKS.contains(&word))
}

/// Replaces runs of digits, with what stands between the digits of telephone numbers, if they are long.
fn mask_numbers(text: &str) -> String {
    let between = |c: char| matches!(c, ' ' | '-' | '(' | ')' | '.' | '/' | '+' | '\u{a0}');
    let mut masked = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(char::is_numeric) {
        let (before, run) = rest.split_at(start);
        let (mut digits, mut end) = (0, 0);
        for (at, c) in run.char_indices() {
            if c.is_numeric() {
                (digits, end) = (digits + 1, at + c.len_utf8());
            } else if !between(c) {
                break;
            }
        }
        rest = &run[end..];
        if digits >= NUMBER_DIGITS {
            masked.push_str(before.trim_end_matches(['+', '(']));
            masked.push(' ');
            masked.push_str(LEFT_OUT);
            if rest.starts_with(char::is_alphabetic) {
                masked.push(' ');
            }
        } else {
            masked.push_str(before);
            masked.push_str(&run[..end]);
        }
    }
    masked.push_str(rest);
    masked
}

// ---- key terms -------------------------------------------------------------------------------------------------

/// Notes the terms of what stands between two spaces, as they are spelled there.
fn spell(chunk: &str, terms: &mut BTreeMap<u64, Spelled>) {
    if mask_numbers(chunk).contains(LEFT_OUT) || is_masked(chunk) {
        return;
    }
    let edge = |c: char| !c.is_alphanumeric() && !matches!(c, '_' | '.' | '-' | '\'' | '$');
    for piece in chunk.split(edge) {
        let piece = piece.trim_matches(|c: char| !c.is_alphanumeric());
        let reading = text::read_title(piece);
        let is_joined = piece.contains(text::is_joined);
        for &token in &reading.tokens {
            let text = reading.text(token);
            let spelling = if is_joined { text } else { piece };
            let length = spelling.chars().count();
            let names_something = matches!(token.kind, Kind::Word | Kind::Facet | Kind::Identifier | Kind::Code);
            if names_something && (2..=LONGEST_TERM).contains(&length) && spelling.contains(char::is_alphabetic) {
                let generic = words::is_generic(text);
                let spelled = Spelled { kind: token.kind, generic, spellings: BTreeSet::new() };
                terms.entry(token.key).or_insert(spelled).spellings.insert(spelling.to_owned());
            }
            if !is_joined {
                break; // An identifier is told by its whole.
            }
        }
    }
}

/// A term of the cluster.
#[derive(Default)]
struct Term {
    members: usize,
    is_code: bool,
    generic: bool,
    /// By how many members each spelling is used.
    spellings: BTreeMap<String, usize>,
}

fn key_terms(members: &[&Member], rarity: &Rarity) -> Vec<String> {
    let mut terms: BTreeMap<u64, Term> = BTreeMap::new();
    for member in members {
        for (&key, spelled) in &member.terms {
            let term = terms.entry(key).or_default();
            term.members += 1;
            term.is_code |= spelled.kind == Kind::Code;
            term.generic |= spelled.generic;
            for spelling in &spelled.spellings {
                *term.spellings.entry(spelling.clone()).or_default() += 1;
            }
        }
    }
    let count = members.len().max(1) as f64;
    let mut told: Vec<(f64, String)> = terms
        .iter()
        // What one customer alone says may be a name, and a code that one alone has, a number of theirs.
        .filter(|(_, term)| term.members >= if term.is_code { SAY } else { SAY.min(members.len()) })
        .filter(|(_, term)| !term.generic)
        .map(|(&key, term)| (term.members as f64 / count * rarity.of(key), spelling(term)))
        .filter(|&(worth, _)| worth > 0.0)
        .collect();
    told.sort_by(|(one, first), (other, second)| other.total_cmp(one).then_with(|| first.cmp(second)));
    told.dedup_by(|(_, one), (_, other)| one.eq_ignore_ascii_case(other));
    told.truncate(MOST_TERMS);
    told.into_iter().map(|(_, spelling)| spelling).collect()
}

/// The spelling that most members use. A capital that only begins a sentence does not count.
fn spelling(term: &Term) -> String {
    let mut used: BTreeMap<&str, usize> = BTreeMap::new();
    for (spelling, count) in &term.spellings {
        let lower = spelling.to_lowercase();
        let begins = spelling.chars().skip(1).all(|c| !c.is_uppercase());
        let same = term.spellings.get_key_value(&lower).filter(|_| begins);
        *used.entry(same.map_or(spelling, |(lower, _)| lower)).or_default() += count;
    }
    let best = used.into_iter().max_by(|(one, count), (other, other_count)| {
        let length = |text: &str| text.chars().count();
        count.cmp(other_count).then_with(|| length(other).cmp(&length(one))).then_with(|| other.cmp(one))
    });
    best.map_or_else(String::new, |(spelling, _)| spelling.to_owned())
}

#[cfg(test)]
mod tests;
