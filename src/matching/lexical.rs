//! The vocabulary, the exemplars, and the search for those worth comparing.
//!
//! A [`Document`] is *learned* (its terms enter the vocabulary) and may be *shown* (it enters the postings and counts in
//! the frequencies). Only shown documents are found and only they change anybody's score.

use std::sync::{Arc, LazyLock, Mutex};

use rustc_hash::FxHashMap;

use super::embed::Vector;
use super::features::Features;
use super::postings::{self, Found, Postings};
use super::signature::Signature;
use super::text::Kind;
use super::vectors::{self, Nearest, Vectors};
use super::words;
use crate::domain::id::{ClusterId, ProductId};

/// Documents a young stream is imagined to have seen already.
const IMAGINED: f64 = 500.0;
/// In how many of them an everyday word of reports stood, and any other word.
const IMAGINED_GENERIC: f64 = 60.0;
const IMAGINED_OTHER: f64 = 1.0;
/// No term says less than this.
const LEAST_IDF: f64 = 0.1;

/// A text as the index keeps it.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) product: Option<ProductId>,
    pub(super) has_body: bool,
    pub(super) terms: Box<[DocumentTerm]>,
    pub(super) vector: Vector,
    pub(super) trigrams: Box<[u16]>,
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
    pub(super) generic: bool,
}

/// A document that can be found.
#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) cluster: ClusterId,
    pub(super) signature: Signature,
    pub(super) words: u64,
    pub(super) document: Arc<Document>,
}

impl Shown {
    /// Its place among equals, whenever it came.
    fn order(&self) -> u64 {
        let (high, low) = self.cluster.uuid().as_u64_pair();
        self.signature.prefix() ^ self.words ^ high.rotate_left(32) ^ low
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
    pub(super) id: Option<u32>,
    pub(super) kind: Kind,
    pub(super) head: bool,
    pub(super) weight: f64,
    pub(super) generic: bool,
    pub(super) idf: f64,
}

/// A text that is looked for.
#[derive(Debug)]
pub(super) struct Query<'f> {
    pub(super) product: Option<ProductId>,
    pub(super) has_body: bool,
    pub(super) vector: &'f Vector,
    pub(super) trigrams: &'f [u16],
    pub(super) time: Option<i64>,
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
    vectors: vectors::Scratch,
    wanted: Vec<(u32, f32)>,
    found: Vec<Found>,
    nearest: Vec<Nearest>,
}

/// Vocabulary, documents and postings.
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    entries: Vec<Entry>,
    by_key: FxHashMap<u64, u32>,
    free_ids: Vec<u32>,
    /// By term: the logarithm of how many documents have it, with those that are imagined. A comparison asks for many.
    commonness: Vec<f32>,
    postings: Postings,
    vectors: Vectors,
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

/// The logarithm of how many documents have a term, with those that are imagined.
fn commonness(documents: usize, generic: bool) -> f32 {
    let imagined = if generic { IMAGINED_GENERIC } else { IMAGINED_OTHER };
    ln(documents as f64 + imagined + 0.5) as f32
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
                let generic = self.entries[id as usize].generic;
                DocumentTerm { id, weight: term.weight, kind: term.kind, head: term.head, generic }
            })
            .collect();
        let length = terms.iter().map(|term| term.weight * term.weight).sum::<f32>().sqrt();
        self.commonness.resize(self.entries.len(), 0.0);
        for term in &terms {
            self.commonness[term.id as usize] = commonness(self.postings.frequency(term.id), term.generic);
        }
        Arc::new(Document {
            product: features.product(),
            has_body: features.has_body(),
            terms,
            vector: features.vector().clone(),
            trigrams: features.trigrams().into(),
            length,
        })
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
        self.vectors.add(slot, shown.order(), &shown.document.vector);
        self.count_terms(&shown.document);
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
        self.vectors.remove(slot);
        if let Some(hidden) = self.shown[slot as usize].take() {
            self.count_terms(&hidden.document);
        }
    }

    /// How many documents can be found.
    pub(super) fn shown_count(&self) -> usize {
        self.postings.len()
    }

    /// The document shown in a slot.
    pub(super) fn document(&self, slot: u32) -> &Document {
        &self.shown[slot as usize].as_ref().expect("a slot is known only while it is shown").document
    }

    /// How telling a term of the vocabulary is, beside the logarithm of all documents.
    pub(super) fn idf_beside(&self, ln_of_all: f64, id: u32) -> f64 {
        (ln_of_all - f64::from(self.commonness[id as usize])).max(LEAST_IDF)
    }

    /// The logarithm of all documents, with those that are imagined.
    pub(super) fn ln_of_all(&self) -> f64 {
        ln(self.shown_count() as f64 + IMAGINED + 1.0)
    }

    /// Counts again who has a document's terms.
    fn count_terms(&mut self, document: &Document) {
        self.commonness.resize(self.entries.len(), 0.0);
        for term in &document.terms {
            self.commonness[term.id as usize] = commonness(self.postings.frequency(term.id), term.generic);
        }
    }

    /// The greatest idf there is.
    pub(super) fn most_idf(&self) -> f64 {
        self.idf_of(0, false)
    }

    fn idf_of(&self, documents: usize, generic: bool) -> f64 {
        (self.ln_of_all() - f64::from(commonness(documents, generic))).max(LEAST_IDF)
    }

    /// Looks a text's terms up.
    pub(super) fn query<'f>(&self, features: &'f Features) -> Query<'f> {
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
        Query {
            product: features.product(),
            has_body: features.has_body(),
            vector: features.vector(),
            trigrams: features.trigrams(),
            time: features.time(),
            terms,
        }
    }

    /// Finds the `limit` documents that share the most of the query's telling terms, and the `limit` nearest by what
    /// they are about; none whose product differs. Hands each to `judge` with what it needs to compare. As long as the
    /// nearest are looked for among all, nothing depends on the order of arrival.
    pub(super) fn search<T>(
        &self,
        query: &Query<'_>,
        limit: usize,
        mut judge: impl FnMut(&Hit, &Shown, &Places) -> T,
    ) -> Vec<T> {
        let mut scratch = self.scratch.lock().unwrap_or_else(|poisoned| {
            // A search that panicked did not tidy up behind it.
            let mut scratch = poisoned.into_inner();
            *scratch = Scratch::default();
            scratch
        });
        let Scratch { places, postings, vectors, wanted, found, nearest } = &mut *scratch;
        wanted.clear();
        wanted.extend(query.terms.iter().filter_map(|term| Some((term.id?, (term.weight * term.idf) as f32))));
        let accept = |slot: u32| match (query.product, self.products[slot as usize]) {
            (Some(asked), Some(known)) => asked == known,
            _ => true,
        };
        self.postings.search(postings, wanted, limit, accept, found);
        let vector = |slot: u32| &self.document(slot).vector;
        self.vectors.search(vectors, query.vector, limit, accept, vector, nearest);

        let mut hits: Vec<Hit> = Vec::with_capacity(found.len() + nearest.len());
        let mut by_slot: FxHashMap<u32, usize> = FxHashMap::default();
        // Equal ones share their rank, so that nobody is ahead by chance.
        let mut rank = 0;
        for (at, one) in found.iter().enumerate() {
            rank = if at > 0 && found[at - 1].score == one.score { rank } else { at as u32 + 1 };
            by_slot.insert(one.slot, hits.len());
            hits.push(Hit { slot: one.slot, lexical_rank: rank, vector_rank: 0 });
        }
        for (at, one) in nearest.iter().enumerate() {
            rank = if at > 0 && nearest[at - 1].cosine == one.cosine { rank } else { at as u32 + 1 };
            let hit = *by_slot.entry(one.slot).or_insert_with(|| {
                hits.push(Hit { slot: one.slot, lexical_rank: 0, vector_rank: 0 });
                hits.len() - 1
            });
            hits[hit].vector_rank = rank;
        }

        places.0.resize(self.entries.len(), 0);
        for (place, term) in query.terms.iter().enumerate() {
            if let Some(id) = term.id {
                places.0[id as usize] = place as u32 + 1;
            }
        }
        let shown = hits.iter().filter_map(|hit| Some((hit, self.shown.get(hit.slot as usize)?.as_ref()?)));
        let judged = shown.map(|(hit, shown)| judge(hit, shown, places)).collect();
        for id in query.terms.iter().filter_map(|term| term.id) {
            places.0[id as usize] = 0;
        }
        judged
    }
}

/// A document that a search found, and where in each list; 0 if it is not there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) slot: u32,
    pub(super) lexical_rank: u32,
    pub(super) vector_rank: u32,
}
