//! The lines of a body: which of them the reporter wrote, and what each is.
//!
//! Rules that drop a line or cut the rest need either a mark that no canonical text has (`>`, `:`, `{`, a line of
//! dashes) or more than one line; a canonical text is one line without such marks, so reading it drops nothing more.

use super::Zone;
use super::classify::{self, Guess};
use super::furniture;
use super::heading::{heading, without_mark};
use super::shape::is_word_char;
use crate::matching::words::{self, Traits};

/// Words of an environment's line at most.
const MAX_FACTS: usize = 15;

/// A line of the report.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line<'a> {
    /// Without the space around it, list mark and heading.
    pub(super) text: &'a str,
    pub(super) zone: Zone,
}

/// A line on its way.
#[derive(Debug, Clone, Copy)]
struct Draft<'a> {
    text: &'a str,
    guess: Guess,
    fenced: bool,
    after_blank: bool,
}

/// Finds the lines the reporter wrote: no quoted mail, no signature, no greeting, no closing, no furniture.
pub(super) fn lines(text: &str) -> Vec<Line<'_>> {
    let drafts = drafts(text);
    if drafts.len() < 2 {
        return drafts.iter().map(|draft| Line { text: after_name(draft.text), zone: Zone::Prose }).collect();
    }
    let mut lines = settle(&written(&drafts));
    if lines.is_empty() {
        // Everything looked like somebody else's: then it is the report.
        let all = drafts.iter().map(|draft| Line { text: draft.text.trim_start_matches('>'), zone: Zone::Prose });
        lines = all.collect();
    }
    if let Some(first) = lines.first_mut() {
        first.text = after_name(first.text);
    }
    lines
}

// ---- fences ----------------------------------------------------------------------------------------------------

/// Splits at line feeds and fences, leaving out blank lines.
fn drafts(text: &str) -> Vec<Draft<'_>> {
    let mut drafts = Vec::with_capacity(text.len() / 32 + 1);
    let mut fences = Fences::new(text);
    let mut after_blank = false;
    for line in text.split('\n') {
        let whole = line.trim_end();
        let mut rest = whole.trim_start();
        if rest.is_empty() {
            after_blank = true;
            continue;
        }
        let mut indent = whole.len() - rest.len();
        while let Some((before, after)) = fences.split(rest) {
            let before = before.trim_end();
            if !before.is_empty() {
                let guess = classify::guess(before, indent);
                drafts.push(Draft { text: before, guess, fenced: fences.is_open, after_blank });
            }
            fences.toggle();
            after_blank = true;
            rest = after.trim_start();
            indent = 0;
        }
        if !rest.is_empty() {
            let guess = classify::guess(rest, indent);
            drafts.push(Draft { text: rest, guess, fenced: fences.is_open, after_blank });
        }
        after_blank = rest.is_empty() && after_blank;
    }
    drafts
}

/// Where code is fenced: `{code}`, `{noformat}` and three back-ticks. A fence that is never closed is none.
struct Fences {
    jira_left: usize,
    ticks_left: usize,
    is_open: bool,
    found: Found,
}

#[derive(Clone, Copy)]
enum Found {
    Jira,
    Ticks,
}

impl Fences {
    fn new(text: &str) -> Self {
        let has = |byte: u8| text.as_bytes().contains(&byte);
        let jira_left = if has(b'{') && (text.contains("{code") || text.contains("{noformat")) {
            text.match_indices('{').filter(|&(at, _)| jira_fence(&text[at..]).is_some()).count()
        } else {
            0
        };
        let ticks_left = if has(b'`') && text.contains("```") {
            text.lines().filter(|line| line.trim_start().starts_with("```")).count()
        } else {
            0
        };
        Self { jira_left, ticks_left, is_open: false, found: Found::Jira }
    }

    /// Splits a line around its first fence.
    fn split<'a>(&mut self, line: &'a str) -> Option<(&'a str, &'a str)> {
        if self.ticks_left > 0 && line.starts_with("```") {
            self.found = Found::Ticks;
            // The name of a language may follow.
            let rest = line.trim_start_matches('`');
            let name =
                rest.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'+' | b'#')).count();
            return Some(("", if name == rest.len() { "" } else { rest.trim_end_matches('`') }));
        }
        if self.jira_left == 0 {
            return None;
        }
        self.found = Found::Jira;
        line.match_indices('{').find_map(|(at, _)| Some((&line[..at], &line[at + jira_fence(&line[at..])?..])))
    }

    fn toggle(&mut self) {
        let left = match self.found {
            Found::Jira => &mut self.jira_left,
            Found::Ticks => &mut self.ticks_left,
        };
        *left = left.saturating_sub(1);
        self.is_open = !self.is_open && *left > 0;
    }
}

/// The length of the `{code:…}` or `{noformat}` a text begins with.
fn jira_fence(text: &str) -> Option<usize> {
    let rest = text.strip_prefix("{code").or_else(|| text.strip_prefix("{noformat"))?;
    let end = rest.bytes().take(80).position(|b| matches!(b, b'}' | b'\n'))?;
    (rest.as_bytes()[end] == b'}' && (end == 0 || rest.starts_with(':'))).then(|| text.len() - rest.len() + end + 1)
}

// ---- who wrote it ----------------------------------------------------------------------------------------------

fn written<'a>(drafts: &[Draft<'a>]) -> Vec<Draft<'a>> {
    let mut kept: Vec<Draft<'a>> = Vec::with_capacity(drafts.len());
    let mut at = 0;
    while let Some(&draft) = drafts.get(at) {
        at += 1;
        let line = draft.text;
        if draft.fenced || matches!(draft.guess, Guess::Sure(_)) && !line.starts_with(['>', '<']) {
            kept.push(draft);
            continue;
        }
        if begins_forwarded_mail(line) {
            if kept.is_empty() {
                continue;
            }
            break;
        }
        if is_mail_header(line) && drafts.get(at).is_some_and(|next| is_mail_header(next.text)) {
            if !kept.is_empty() {
                break;
            }
            while drafts.get(at).is_some_and(|next| is_mail_header(next.text)) {
                at += 1;
            }
            continue;
        }
        if line.starts_with('>') || introduces_quote(line) || is_sent_from(line) || furniture::is_furniture(line) {
            continue;
        }
        kept.push(draft);
    }
    drop_menus(&mut kept);
    let count = kept.len();
    if let Some(cut) = kept.iter().position(|draft| is_dashes(draft.text)).filter(|&cut| cut > 0 && count - cut <= 12) {
        kept.truncate(cut);
    }
    // A closing and at most two lines of name below it.
    let tail = kept.len().saturating_sub(3).max(1);
    if let Some(cut) = (tail..kept.len())
        .find(|&cut| is_closing(kept[cut].text) && kept[cut + 1..].iter().all(|draft| is_name(draft.text)))
    {
        kept.truncate(cut);
    }
    kept
}

/// The line above a mail signature.
fn is_dashes(line: &str) -> bool {
    matches!(line, "--" | "—" | "___" | "__")
}

fn begins_forwarded_mail(line: &str) -> bool {
    line.starts_with("-----")
        && ["original", "forwarded", "ursprüngliche", "message d'origine", "mensaje original"]
            .iter()
            .any(|mark| line.to_lowercase().contains(mark))
}

/// `From: Ada`, `*Sent:* Monday`.
fn is_mail_header(line: &str) -> bool {
    let line = line.trim_start_matches('*');
    let Some(end) = line.as_bytes().iter().take(9).position(|b| *b == b':') else { return false };
    ["from", "sent", "to", "cc", "subject", "date", "reply-to", "von", "gesendet", "an", "betreff", "de", "à", "objet"]
        .iter()
        .any(|name| line[..end].eq_ignore_ascii_case(name))
}

/// `On Monday … Ada wrote:` and its kin.
fn introduces_quote(line: &str) -> bool {
    let Some(line) = line.strip_suffix(':') else { return false };
    if line.len() > 300 {
        return false;
    }
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
    const MARKS: &[&str] = &["sent from my ", "von meinem ", "envoyé de mon ", "enviado desde mi ", "get outlook for "];
    let head = |mark: &str| line.as_bytes().get(..mark.len()).is_some_and(|h| h.eq_ignore_ascii_case(mark.as_bytes()));
    line.len() <= 60 && MARKS.iter().any(|mark| head(mark))
}

/// Runs of short lines that read like the links of a menu.
fn drop_menus(lines: &mut Vec<Draft<'_>>) {
    if lines.len() < 5 {
        return;
    }
    let links: Vec<Option<bool>> =
        lines.iter().map(|draft| if draft.fenced { None } else { furniture::menu_link(draft.text) }).collect();
    let mut drop = vec![false; lines.len()];
    let mut from = 0;
    for at in 0..=links.len() {
        if links.get(at).copied().flatten().is_some() {
            continue;
        }
        let run = &links[from..at];
        let known = run.iter().filter(|link| **link == Some(true)).count();
        // Two of five: menus have entries of their own as well.
        if run.len() >= 3 && known * 5 >= run.len() * 2 && known >= 2 {
            drop[from..at].fill(true);
        }
        from = at + 1;
    }
    let mut dropped = drop.iter();
    lines.retain(|_| !dropped.next().copied().unwrap_or(false));
}

fn line_words(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !is_word_char(c)).filter(|word| !word.is_empty())
}

fn has(word: &str, traits: Traits) -> bool {
    words::traits(&word.to_lowercase()).any(traits)
}

/// A short line of nothing but greeting, thanks or closing.
fn is_courtesy(line: &str) -> bool {
    line.len() <= 120 && {
        let mut words = line_words(line).peekable();
        words.peek().is_some() && words.all(|word| has(word, Traits::COURTESY))
    }
}

/// `Many thanks`, or `Best regards, Ada Lovelace`: what stands behind the courtesy has to look like a name.
fn is_closing(line: &str) -> bool {
    is_courtesy(line)
        || line.len() <= 120 && !line.contains(is_in_no_name) && {
            let words: Vec<&str> = line_words(line).collect();
            let courtesies = words.iter().take_while(|word| has(word, Traits::COURTESY)).count();
            let (courtesies, name) = words.split_at(courtesies);
            let is_capitalised = |word: &&str| {
                let mut letters = word.chars();
                letters.next().is_some_and(char::is_uppercase) && !letters.next().is_some_and(char::is_uppercase)
            };
            courtesies.iter().any(|word| has(word, Traits::CLOSING))
                && name.len() <= 3
                && name.iter().all(is_capitalised)
        }
}

/// A line that may be a person's name below a closing.
fn is_name(line: &str) -> bool {
    line.len() <= 60 && line_words(line).count() <= 3 && !line.contains(|c| c == '.' || is_in_no_name(c))
}

fn is_in_no_name(c: char) -> bool {
    c.is_ascii_digit() || ":_/()[]".contains(c)
}

/// What follows `Dear Ms Lovelace,`. All of it if nothing does.
fn after_name(line: &str) -> &str {
    let head = &line[..line.floor_char_boundary(60)];
    let Some(end) = head.find([',', '!']) else { return line };
    let mut name = line_words(&head[..end]);
    let is_greeting = name.next().is_some_and(|word| has(word, Traits::GREETING)) && name.count() <= 3;
    let rest = line[end + 1..].trim_start();
    if is_greeting && !rest.is_empty() { rest } else { line }
}

/// `Good morning`, or `Dear Ms Lovelace,` alone on its line.
fn is_greeting(line: &str) -> bool {
    let is_addressed = || {
        line.len() <= 60
            && line.ends_with([',', '!', '.', ':'])
            && line_words(line).next().is_some_and(|word| has(word, Traits::GREETING))
            && line_words(line).count() <= 4
    };
    is_courtesy(line) || is_addressed()
}

// ---- what it is ------------------------------------------------------------------------------------------------

/// Decides each line by its looks, its neighbours and the heading above it.
fn settle<'a>(drafts: &[Draft<'a>]) -> Vec<Line<'a>> {
    let mut lines = Vec::with_capacity(drafts.len());
    let greetings = drafts.iter().take_while(|draft| !draft.fenced && is_greeting(draft.text)).count();
    let drafts = &drafts[greetings.min(drafts.len().saturating_sub(1))..];
    let mut section = Zone::Prose;
    let mut before: Option<Zone> = None;
    for (at, draft) in drafts.iter().enumerate() {
        let next = drafts.get(at + 1).filter(|next| !next.after_blank);
        let next_sure = next.and_then(|next| match next.guess {
            Guess::Sure(zone) => Some(zone),
            _ => None,
        });
        let before_close = before.filter(|_| !draft.after_blank);
        let looks = match draft.guess {
            Guess::Sure(zone) => Some(zone),
            Guess::Exception if next_sure == Some(Zone::Trace) || before_close == Some(Zone::Trace) => {
                Some(Zone::Trace)
            }
            Guess::Exception => before_close.filter(|zone| *zone == Zone::Log),
            Guess::Weak => before_close.or(next_sure),
            // A message that went over its line, or the source line under a Python frame.
            Guess::Prose => before_close
                .filter(|zone| next_sure == Some(*zone) && matches!(zone, Zone::Log | Zone::Trace | Zone::Code)),
        };
        let looks = match looks {
            None if draft.fenced => Some(before_close.unwrap_or(Zone::Code)),
            looks => looks,
        };
        before = looks;
        if let Some(zone) = looks {
            lines.push(Line { text: draft.text, zone });
            continue;
        }
        let text = without_mark(draft.text);
        if let Some(heading) = heading(text) {
            // `OS: Ubuntu. And now the story …` tells more than an environment.
            let is_story = heading.content.split_ascii_whitespace().nth(MAX_FACTS).is_some();
            section = if heading.zone == Zone::Environment && is_story { Zone::Prose } else { heading.zone };
            if !heading.content.is_empty() {
                lines.push(Line { text: heading.content, zone: section });
            }
            // Of an environment only what stands in one block.
            continue;
        }
        if section == Zone::Environment && draft.after_blank {
            section = Zone::Prose;
        }
        if !text.is_empty() {
            lines.push(Line { text, zone: section });
        }
    }
    lines
}
