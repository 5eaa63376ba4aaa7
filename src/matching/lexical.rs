//! The inverted index over exemplars, and the search for those worth comparing.
//!
//! A [`Document`] is *learned* (its terms enter the vocabulary) and may be *shown* (it enters the postings and counts in
//! the frequencies). Only shown documents are found and only they change anybody's score.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use super::features::Features;
use super::signature::Signature;
use super::text::Kind;
use super::words;
use crate::domain::id::{ClusterId, ProductId};

/// So many of a text's most telling terms look for candidates; the comparison itself uses all.
const SEARCH_TERMS: usize = 24;
/// From this many documents on, terms of more than one document in twenty do not search.
const LARGE: usize = 1_000;
/// At least so many terms search, however common.
const FEWEST_SEARCH_TERMS: usize = 4;
/// Documents a young stream is imagined to have seen already.
const IMAGINED: f64 = 500.0;
/// In how many of them an everyday word of reports stood, and any other word.
const IMAGINED_GENERIC: f64 = 60.0;
const IMAGINED_OTHER: f64 = 1.0;

/// A text as the index keeps it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) product: Option<ProductId>,
    pub(super) has_body: bool,
    pub(super) terms: Box<[DocumentTerm]>,
    /// Length of the vector of weights, before any frequency.
    length: f32,
}

/// A term of a document, in the order of the terms' keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct DocumentTerm {
    pub(super) id: u32,
    pub(super) weight: f32,
    pub(super) kind: Kind,
    pub(super) head: bool,
}

/// A document that can be found.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) cluster: ClusterId,
    pub(super) signature: Signature,
    pub(super) document: Arc<Document>,
}

/// A shown document with what the search reads of every one it touches, at hand without a step to the document.
#[derive(Debug)]
struct Placed {
    shown: Shown,
    product: Option<ProductId>,
    length: f32,
}

#[derive(Debug)]
struct Entry {
    key: u64,
    text: Box<str>,
    generic: bool,
    /// How many learned documents name it.
    learned: u32,
    /// The shown ones, in the order of their slots.
    postings: Vec<(u32, f32)>,
}

/// A term of the text that is looked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueryTerm {
    /// Where it stands in the features.
    pub(super) at: usize,
    id: Option<u32>,
    pub(super) kind: Kind,
    pub(super) head: bool,
    pub(super) weight: f64,
    pub(super) generic: bool,
    pub(super) idf: f64,
}

impl QueryTerm {
    /// Whether it is the vocabulary's term of this number.
    pub(super) fn is(&self, id: u32) -> bool {
        self.id == Some(id)
    }
}

/// A text that is looked for.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) product: Option<ProductId>,
    pub(super) has_body: bool,
    pub(super) terms: Vec<QueryTerm>,
}

/// Working memory of a search, kept between searches.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    scores: Vec<f32>,
    touched: Vec<u32>,
    /// One more than the place in the query, by term; 0 where the query has no such term.
    places: Vec<u32>,
}

impl Scratch {
    /// Where in the query a document's term stands.
    pub(super) fn place(&self, id: u32) -> Option<usize> {
        (self.places[id as usize] as usize).checked_sub(1)
    }
}

/// Vocabulary, documents and postings.
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    entries: Vec<Entry>,
    by_key: HashMap<u64, u32>,
    free_ids: Vec<u32>,
    slots: Vec<Option<Placed>>,
    free_slots: Vec<u32>,
    scratch: Mutex<Scratch>,
}

impl Lexicon {
    /// Takes a text's terms into the vocabulary.
    pub(super) fn learn(&mut self, features: &Features) -> Arc<Document> {
        let terms: Box<[DocumentTerm]> = features
            .terms()
            .iter()
            .map(|term| {
                let id = self.id_of(term.key, || features.term_text(term));
                self.entries[id as usize].learned += 1;
                DocumentTerm { id, weight: term.weight, kind: term.kind, head: term.head }
            })
            .collect();
        let length = terms.iter().map(|term| term.weight * term.weight).sum::<f32>().sqrt();
        Arc::new(Document { product: features.product(), has_body: features.has_body(), terms, length })
    }

    fn id_of<'a>(&mut self, key: u64, text: impl FnOnce() -> &'a str) -> u32 {
        if let Some(&id) = self.by_key.get(&key) {
            return id;
        }
        let text = text();
        let entry =
            Entry { key, text: text.into(), generic: words::is_generic(text), learned: 0, postings: Vec::new() };
        let id = self.free_ids.pop().unwrap_or(self.entries.len() as u32);
        match self.entries.get_mut(id as usize) {
            Some(free) => *free = entry,
            None => self.entries.push(entry),
        }
        self.by_key.insert(key, id);
        id
    }

    /// Takes a hidden document's terms out of the vocabulary, where nobody else names them.
    pub(super) fn forget(&mut self, document: &Document) {
        for term in &document.terms {
            let entry = &mut self.entries[term.id as usize];
            entry.learned -= 1;
            if entry.learned == 0 {
                self.by_key.remove(&entry.key);
                entry.text = Box::default();
                entry.postings = Vec::new();
                self.free_ids.push(term.id);
            }
        }
    }

    /// Lets a learned document be found. Returns where it is kept.
    pub(super) fn show(&mut self, shown: Shown) -> u32 {
        let slot = self.free_slots.pop().unwrap_or(self.slots.len() as u32);
        for term in &shown.document.terms {
            let postings = &mut self.entries[term.id as usize].postings;
            let at = postings.partition_point(|&(other, _)| other < slot);
            postings.insert(at, (slot, term.weight));
        }
        if slot as usize == self.slots.len() {
            self.slots.push(None);
        }
        let Document { product, length, .. } = *shown.document;
        self.slots[slot as usize] = Some(Placed { shown, product, length: length.max(f32::MIN_POSITIVE) });
        slot
    }

    /// The exact inverse of [`Lexicon::show`].
    pub(super) fn hide(&mut self, slot: u32) {
        let Some(Placed { shown, .. }) = self.slots[slot as usize].take() else { return };
        for term in &shown.document.terms {
            let postings = &mut self.entries[term.id as usize].postings;
            if let Ok(at) = postings.binary_search_by_key(&slot, |&(other, _)| other) {
                postings.remove(at);
            }
        }
        self.free_slots.push(slot);
    }

    /// How many documents can be found.
    pub(super) fn shown_count(&self) -> usize {
        self.slots.len() - self.free_slots.len()
    }

    /// The document shown in a slot.
    pub(super) fn document(&self, slot: u32) -> &Document {
        &self.slots[slot as usize].as_ref().expect("a slot is known only while it is shown").shown.document
    }

    /// How telling a term of the vocabulary is.
    pub(super) fn idf(&self, id: u32) -> f64 {
        let entry = &self.entries[id as usize];
        self.idf_of(entry.postings.len(), entry.generic)
    }

    /// Whether a term of the vocabulary is an everyday word of reports.
    pub(super) fn is_generic(&self, id: u32) -> bool {
        self.entries[id as usize].generic
    }

    fn idf_of(&self, documents: usize, generic: bool) -> f64 {
        let imagined = if generic { IMAGINED_GENERIC } else { IMAGINED_OTHER };
        let all = self.shown_count() as f64 + IMAGINED;
        ((all + 1.0) / (documents as f64 + imagined + 0.5)).ln().max(0.1)
    }

    /// Looks a text's terms up.
    pub(super) fn query(&self, features: &Features) -> Query {
        let terms = features
            .terms()
            .iter()
            .enumerate()
            .map(|(at, term)| {
                let id = self.by_key.get(&term.key).copied();
                let (documents, generic) = match id {
                    Some(id) => (self.entries[id as usize].postings.len(), self.entries[id as usize].generic),
                    None => (0, words::is_generic(features.term_text(term))),
                };
                QueryTerm {
                    at,
                    id,
                    kind: term.kind,
                    head: term.head,
                    weight: f64::from(term.weight),
                    generic,
                    idf: self.idf_of(documents, generic),
                }
            })
            .collect();
        Query { product: features.product(), has_body: features.has_body(), terms }
    }

    /// Finds the `limit` documents that share the most of the query's telling terms and whose product does not differ,
    /// and hands each to `judge` with what it needs to compare. Nothing depends on the order of arrival.
    pub(super) fn search<T>(&self, query: &Query, limit: usize, judge: impl Fn(u32, &Shown, &Scratch) -> T) -> Vec<T> {
        let mut scratch = self.scratch.lock().unwrap_or_else(|poisoned| {
            // A search that panicked did not tidy up behind it.
            let mut scratch = poisoned.into_inner();
            *scratch = Scratch::default();
            scratch
        });
        let scratch = &mut *scratch;
        scratch.scores.resize(self.slots.len(), 0.0);
        scratch.places.resize(self.entries.len(), 0);

        for (place, term) in query.terms.iter().enumerate() {
            if let Some(id) = term.id {
                scratch.places[id as usize] = place as u32 + 1;
            }
        }
        for term in self.search_terms(query) {
            let weight = (term.weight * term.idf) as f32;
            for &(slot, posted) in self.postings(term) {
                let score = &mut scratch.scores[slot as usize];
                if *score == 0.0 {
                    scratch.touched.push(slot);
                }
                *score += weight * posted;
            }
        }
        let mut found: Vec<(f32, u32, &Shown)> = scratch
            .touched
            .iter()
            .filter_map(|&slot| {
                let Placed { shown, product, length } = self.slots[slot as usize].as_ref()?;
                let differs = matches!((query.product, *product), (Some(a), Some(b)) if a != b);
                let score = scratch.scores[slot as usize] / length;
                (!differs).then_some((score, slot, shown))
            })
            .collect();
        let best_first = |(a, _, left): &(f32, u32, &Shown), (b, _, right): &(f32, u32, &Shown)| {
            b.total_cmp(a).then_with(|| (left.signature, left.cluster).cmp(&(right.signature, right.cluster)))
        };
        if found.len() > limit {
            found.select_nth_unstable_by(limit, best_first);
            found.truncate(limit);
        }
        found.sort_unstable_by(best_first);
        let judged = found.iter().map(|&(_, slot, shown)| judge(slot, shown, scratch)).collect();
        for slot in scratch.touched.drain(..) {
            scratch.scores[slot as usize] = 0.0;
        }
        for id in query.terms.iter().filter_map(|term| term.id) {
            scratch.places[id as usize] = 0;
        }
        judged
    }

    fn postings(&self, term: &QueryTerm) -> &[(u32, f32)] {
        term.id.map_or(&[], |id| &self.entries[id as usize].postings)
    }

    fn search_terms<'q>(&self, query: &'q Query) -> Vec<&'q QueryTerm> {
        let mut terms: Vec<&QueryTerm> = query.terms.iter().filter(|term| !self.postings(term).is_empty()).collect();
        let worth = |term: &QueryTerm| term.weight * term.idf;
        terms.sort_by(|a, b| worth(b).total_cmp(&worth(a)).then(a.at.cmp(&b.at)));
        terms.truncate(SEARCH_TERMS);
        if self.shown_count() > LARGE {
            let telling = |term: &&QueryTerm| self.postings(term).len() * 20 <= self.shown_count();
            if terms.iter().filter(|term| telling(term)).count() >= FEWEST_SEARCH_TERMS {
                terms.retain(telling);
            }
        }
        terms
    }
}
