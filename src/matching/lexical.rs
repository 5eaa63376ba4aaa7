//! The vocabulary, the exemplars, and the search for those worth comparing.
//!
//! A [`Document`] is *learned* (its terms enter the vocabulary) and may be *shown* (it enters the postings and counts in
//! the frequencies). Only shown documents are found and only they change anybody's score.

use std::sync::{Arc, LazyLock, Mutex};

use rustc_hash::FxHashMap;

use super::features::Features;
use super::postings::{self, Found, Postings};
use super::signature::Signature;
use super::text::Kind;
use super::words;
use crate::domain::id::{ClusterId, ProductId};

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

impl Shown {
    /// Its place among equals, whenever it came.
    fn order(&self) -> u64 {
        let (high, low) = self.cluster.uuid().as_u64_pair();
        self.signature.prefix() ^ high.rotate_left(32) ^ low
    }
}

#[derive(Debug)]
struct Entry {
    key: u64,
    text: Box<str>,
    generic: bool,
    /// How many learned documents name it.
    learned: u32,
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

/// Where the terms of a query stand in it, by the vocabulary's numbers: one more than the place, 0 where the query has no
/// such term.
#[derive(Debug, Default)]
pub(super) struct Places(Vec<u32>);

impl Places {
    /// Where in the query a document's term stands.
    pub(super) fn of(&self, id: u32) -> Option<usize> {
        (self.0[id as usize] as usize).checked_sub(1)
    }
}

/// Working memory of a search, kept between searches.
#[derive(Debug, Default)]
struct Scratch {
    places: Places,
    postings: postings::Scratch,
    wanted: Vec<(u32, f32)>,
    found: Vec<Found>,
}

/// Vocabulary, documents and postings.
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    entries: Vec<Entry>,
    by_key: FxHashMap<u64, u32>,
    free_ids: Vec<u32>,
    postings: Postings,
    /// The shown documents by their slots, and their products beside them: a search asks for many of those.
    shown: Vec<Option<Shown>>,
    products: Vec<Option<ProductId>>,
    scratch: Mutex<Scratch>,
}

/// Logarithms of halves, which a comparison asks for by the hundred.
static LOGARITHMS: LazyLock<Vec<f64>> =
    LazyLock::new(|| (0..16_384).map(|half| (f64::from(half) / 2.0).ln()).collect());

/// The natural logarithm of a whole number or one and a half.
fn ln(number: f64) -> f64 {
    let half = (number * 2.0) as usize;
    LOGARITHMS.get(half).copied().unwrap_or_else(|| number.ln())
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
        let entry = Entry { key, text: text.into(), generic: words::is_generic(text), learned: 0 };
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
                self.free_ids.push(term.id);
            }
        }
    }

    /// Lets a learned document be found. Returns where it is kept; `None` if there is no room for another one.
    pub(super) fn show(&mut self, shown: Shown) -> Option<u32> {
        let length = shown.document.length.max(f32::MIN_POSITIVE);
        let impact = |term: &DocumentTerm| (term.weight / length * 255.0).round().clamp(1.0, 255.0) as u8;
        let terms: Vec<(u32, u8)> = shown.document.terms.iter().map(|term| (term.id, impact(term))).collect();
        let slot = self.postings.add(shown.order(), &terms)?;
        let (at, product) = (slot as usize, shown.document.product);
        if at == self.shown.len() {
            self.shown.push(None);
            self.products.push(None);
        }
        (self.shown[at], self.products[at]) = (Some(shown), product);
        Some(slot)
    }

    /// The exact inverse of [`Lexicon::show`].
    pub(super) fn hide(&mut self, slot: u32) {
        self.postings.remove(slot);
        self.shown[slot as usize] = None;
    }

    /// How many documents can be found.
    pub(super) fn shown_count(&self) -> usize {
        self.postings.len()
    }

    /// The document shown in a slot.
    pub(super) fn document(&self, slot: u32) -> &Document {
        &self.shown[slot as usize].as_ref().expect("a slot is known only while it is shown").document
    }

    /// How telling a term of the vocabulary is.
    pub(super) fn idf(&self, id: u32) -> f64 {
        let entry = &self.entries[id as usize];
        self.idf_of(self.postings.frequency(id), entry.generic)
    }

    /// Whether a term of the vocabulary is an everyday word of reports.
    pub(super) fn is_generic(&self, id: u32) -> bool {
        self.entries[id as usize].generic
    }

    fn idf_of(&self, documents: usize, generic: bool) -> f64 {
        let imagined = if generic { IMAGINED_GENERIC } else { IMAGINED_OTHER };
        let all = self.shown_count() as f64 + IMAGINED;
        (ln(all + 1.0) - ln(documents as f64 + imagined + 0.5)).max(0.1)
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
                    Some(id) => (self.postings.frequency(id), self.entries[id as usize].generic),
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
    pub(super) fn search<T>(&self, query: &Query, limit: usize, judge: impl Fn(u32, &Shown, &Places) -> T) -> Vec<T> {
        let mut scratch = self.scratch.lock().unwrap_or_else(|poisoned| {
            // A search that panicked did not tidy up behind it.
            let mut scratch = poisoned.into_inner();
            *scratch = Scratch::default();
            scratch
        });
        let Scratch { places, postings, wanted, found } = &mut *scratch;
        wanted.clear();
        wanted.extend(query.terms.iter().filter_map(|term| Some((term.id?, (term.weight * term.idf) as f32))));
        let accept = |slot: u32| match (query.product, self.products[slot as usize]) {
            (Some(asked), Some(known)) => asked == known,
            _ => true,
        };
        self.postings.search(postings, wanted, limit, accept, found);

        places.0.resize(self.entries.len(), 0);
        for (place, term) in query.terms.iter().enumerate() {
            if let Some(id) = term.id {
                places.0[id as usize] = place as u32 + 1;
            }
        }
        let shown = found.iter().filter_map(|found| Some((found.slot, self.shown.get(found.slot as usize)?.as_ref()?)));
        let judged = shown.map(|(slot, shown)| judge(slot, shown, places)).collect();
        for id in query.terms.iter().filter_map(|term| term.id) {
            places.0[id as usize] = 0;
        }
        judged
    }
}
