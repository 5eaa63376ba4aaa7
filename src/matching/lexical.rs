//! The vocabulary, the exemplars, and the search for those worth comparing.
//!
//! A [`Document`] is *learned* (its terms enter the vocabulary) and may be *shown* (it enters the postings and counts in
//! the frequencies). Only shown documents are found and only they change anybody's score.

mod second;

use std::sync::{Arc, LazyLock, Mutex};

use rustc_hash::FxHashMap;

use super::embed::{Probe, Vector};
use super::features::Features;
use super::measures;
use super::postings::{self, Found, Postings};
use super::second::SecondSpace;
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

/// Runs of three characters are this many.
const RUNS: usize = 1 << 16;
/// Documents that are handed out to be compared; more would rarely change who is first.
const COMPARED: usize = 24;
/// What a cosine is worth beside the logarithm of a rank, and what a logarithm of days takes away, where documents are
/// chosen that are compared.
const COSINE_WORTH: f32 = 10.0;
const DAYS_WORTH: f32 = 0.8;

impl Shown {
    /// Its place among equals, whenever it came.
    pub(super) fn order(&self) -> u64 {
        let (high, low) = self.cluster.uuid().as_u64_pair();
        self.signature.prefix() ^ self.words ^ high.rotate_left(32) ^ low
    }
}

#[derive(Debug)]
struct Entry {
    key: u64,
    /// How many learned documents name it.
    learned: u32,
    generic: bool,
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
    pub(super) trigrams: &'f [u16],
    pub(super) probe: Probe,
    /// What is looked for in the second space, if that is the one to go by.
    pub(super) second: Option<Probe>,
    pub(super) time: Option<i64>,
    pub(super) terms: Vec<QueryTerm>,
}

/// What a query has, laid out so that many documents can be held against it.
#[derive(Debug)]
pub(super) struct Places {
    /// By the vocabulary's numbers: one more than the place of the term in the query, 0 where it has no such term.
    terms: Vec<u32>,
    /// By the runs of three characters: a bit for each that the query has.
    runs: Vec<u64>,
}

impl Default for Places {
    fn default() -> Self {
        Self { terms: Vec::new(), runs: vec![0; RUNS / 64] }
    }
}

impl Places {
    /// Where in the query a document's term stands.
    pub(super) fn of(&self, id: u32) -> Option<usize> {
        (self.terms[id as usize] as usize).checked_sub(1)
    }

    /// How many of these distinct runs the query has.
    pub(super) fn shared_runs(&self, runs: &[u16]) -> usize {
        let has = |run: &u16| (self.runs[usize::from(*run) / 64] >> (run % 64) & 1) as usize;
        runs.iter().map(has).sum()
    }

    fn lay_out(&mut self, query: &Query<'_>, vocabulary: usize) {
        self.terms.resize(vocabulary, 0);
        for (place, term) in query.terms.iter().enumerate() {
            if let Some(id) = term.id {
                self.terms[id as usize] = place as u32 + 1;
            }
        }
        for run in query.trigrams {
            self.runs[usize::from(*run) / 64] |= 1 << (run % 64);
        }
    }

    fn clear(&mut self, query: &Query<'_>) {
        for id in query.terms.iter().filter_map(|term| term.id) {
            self.terms[id as usize] = 0;
        }
        for run in query.trigrams {
            self.runs[usize::from(*run) / 64] = 0;
        }
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
    hit_of: FxHashMap<u32, usize>,
    hits: Vec<(f32, u64, Hit)>,
}

/// Vocabulary, documents and postings.
#[derive(Debug, Default)]
pub(super) struct Lexicon {
    entries: Vec<Entry>,
    by_key: FxHashMap<u64, u32>,
    free_ids: Vec<u32>,
    /// By term: the logarithm of how many documents have it, with those that are imagined. A comparison asks for many.
    commonness: Vec<f32>,
    /// By term: whether it is everybody's word.
    generic: Vec<bool>,
    postings: Postings,
    vectors: Vectors,
    /// The shown documents by their slots, and their products beside them: a search asks for many of those.
    shown: Vec<Option<Shown>>,
    products: Vec<Option<ProductId>>,
    /// When each was last heard.
    latest: Vec<Option<i64>>,
    /// Another embedder's vectors of the same texts.
    pub(super) second: Option<Box<SecondSpace>>,
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
                let entry = &mut self.entries[id as usize];
                entry.learned += 1;
                DocumentTerm { id, weight: term.weight, kind: term.kind, head: term.head, generic: entry.generic }
            })
            .collect();
        let length = terms.iter().map(|term| term.weight * term.weight).sum::<f32>().sqrt();
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
        let generic = words::is_generic(text());
        let entry = Entry { key, generic, learned: 0 };
        let id = self.free_ids.pop().unwrap_or(self.entries.len() as u32);
        let at = id as usize;
        if at == self.entries.len() {
            self.entries.push(entry);
            self.commonness.push(0.0);
            self.generic.push(generic);
        } else {
            (self.entries[at], self.generic[at]) = (entry, generic);
        }
        self.commonness[at] = commonness(0, generic);
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
                self.free_ids.push(term.id);
            }
        }
    }

    /// Lets a learned document be found. Returns where it is kept; `None` if there is no room for another one.
    pub(super) fn show(&mut self, shown: Shown, latest: Option<i64>) -> Option<u32> {
        let length = shown.document.length.max(f32::MIN_POSITIVE);
        let impact = |term: &DocumentTerm| (term.weight / length * 255.0).round().clamp(1.0, 255.0) as u8;
        let terms: Vec<(u32, u8)> = shown.document.terms.iter().map(|term| (term.id, impact(term))).collect();
        let slot = self.postings.add(shown.order(), &terms)?;
        self.vectors.add(slot, shown.order(), &shown.document.vector);
        if let Some(second) = &mut self.second {
            second.show((shown.signature, shown.words), slot, shown.order());
        }
        self.count_terms(&shown.document);
        let (at, product) = (slot as usize, shown.document.product);
        if at == self.shown.len() {
            self.shown.push(None);
            self.products.push(None);
            self.latest.push(None);
        }
        (self.shown[at], self.products[at], self.latest[at]) = (Some(shown), product, latest);
        Some(slot)
    }

    /// Tells when a shown document was last heard.
    pub(super) fn set_latest(&mut self, slot: u32, latest: Option<i64>) {
        self.latest[slot as usize] = latest;
    }

    /// The exact inverse of [`Lexicon::show`].
    pub(super) fn hide(&mut self, slot: u32) {
        self.postings.remove(slot);
        self.vectors.remove(slot);
        if let Some(hidden) = self.shown[slot as usize].take() {
            if let Some(second) = &mut self.second {
                second.hide((hidden.signature, hidden.words), slot);
            }
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
        let ln_of_all = self.ln_of_all();
        let (unknown, unknown_generic) = (self.idf_of(0, false), self.idf_of(0, true));
        let terms = features
            .terms()
            .iter()
            .enumerate()
            .map(|(at, term)| {
                let id = self.by_key.get(&term.key).copied();
                let (idf, generic) = match id {
                    Some(id) => (self.idf_beside(ln_of_all, id), self.generic[id as usize]),
                    None if words::is_generic(features.term_text(term)) => (unknown_generic, true),
                    None => (unknown, false),
                };
                QueryTerm { at, id, kind: term.kind, head: term.head, weight: f64::from(term.weight), generic, idf }
            })
            .collect();
        Query {
            product: features.product(),
            has_body: features.has_body(),
            trigrams: features.trigrams(),
            probe: features.vector().probe(),
            second: self.second.as_ref().and_then(|second| second.probe(features.embedding())),
            time: features.time(),
            terms,
        }
    }

    fn scratch(&self) -> std::sync::MutexGuard<'_, Scratch> {
        self.scratch.lock().unwrap_or_else(|poisoned| {
            // A search that panicked did not tidy up behind it.
            let mut scratch = poisoned.into_inner();
            *scratch = Scratch::default();
            scratch
        })
    }

    /// Finds the `limit` documents that share the most of the query's telling terms, and the `limit` nearest by what
    /// they are about; none whose product differs. Of these, [`COMPARED`] are handed to `judge` with what it needs to
    /// compare: those that promise the most by their ranks, their cosines and their times. The slots of the others are
    /// put into `rest`, best first. If any of them is `crucial`, all are handed over. As long as the nearest are looked
    /// for among all, nothing depends on the order of arrival.
    pub(super) fn search<T>(
        &self,
        query: &Query<'_>,
        limit: usize,
        crucial: impl Fn(&Shown) -> bool,
        mut judge: impl FnMut(&Hit, &Shown, &Places) -> T,
        rest: &mut Vec<u32>,
    ) -> Vec<T> {
        let mut scratch = self.scratch();
        let Scratch { places, postings, vectors, wanted, found, nearest, hit_of, hits } = &mut *scratch;
        wanted.clear();
        wanted.extend(query.terms.iter().filter_map(|term| Some((term.id?, (term.weight * term.idf) as f32))));
        let accept = |slot: u32| match (query.product, self.products[slot as usize]) {
            (Some(asked), Some(known)) => asked == known,
            _ => true,
        };
        self.postings.search(postings, wanted, limit, accept, found);
        let vector = |slot: u32| &self.document(slot).vector;
        match (&query.second, &self.second) {
            (Some(probe), Some(second)) => second.search(vectors, probe, limit, accept, nearest),
            _ => self.vectors.search(vectors, &query.probe, limit, accept, vector, nearest),
        }

        hits.clear();
        hit_of.clear();
        // Equal ones share their rank, so that nobody is ahead by chance.
        let mut rank = 0;
        for (at, one) in found.iter().enumerate() {
            rank = if at > 0 && found[at - 1].score == one.score { rank } else { at as u32 + 1 };
            hit_of.insert(one.slot, hits.len());
            hits.push((0.0, 0, Hit { slot: one.slot, lexical_rank: rank, vector_rank: 0, cosine: 0.0 }));
        }
        for (at, one) in nearest.iter().enumerate() {
            rank = if at > 0 && nearest[at - 1].cosine == one.cosine { rank } else { at as u32 + 1 };
            let hit = *hit_of.entry(one.slot).or_insert_with(|| {
                hits.push((0.0, 0, Hit { slot: one.slot, lexical_rank: 0, vector_rank: 0, cosine: 0.0 }));
                hits.len() - 1
            });
            (hits[hit].2.vector_rank, hits[hit].2.cosine) = (rank, one.cosine);
        }
        if query.second.is_some() {
            self.measure_in_second(query, hits);
        }
        hits.retain_mut(|(promise, order, hit)| {
            let Some(shown) = self.shown.get(hit.slot as usize).and_then(Option::as_ref) else { return false };
            if hit.vector_rank == 0 && query.second.is_none() {
                hit.cosine = query.probe.cosine(&shown.document.vector);
            }
            let rank = if hit.lexical_rank == 0 { limit as u32 + limit as u32 / 5 } else { hit.lexical_rank };
            let days = measures::days(query.time, self.latest[hit.slot as usize]).map_or(0.0, f64::ln_1p) as f32;
            *promise = COSINE_WORTH * hit.cosine - DAYS_WORTH * days - ln(f64::from(rank)) as f32;
            *order = shown.order();
            true
        });
        hits.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2.slot).cmp(&(b.1, b.2.slot))));
        let shown = |hit: &Hit| self.shown[hit.slot as usize].as_ref();
        let has_crucial = hits.iter().any(|(.., hit)| shown(hit).is_some_and(&crucial));
        let compared = if has_crucial { hits.len() } else { COMPARED.min(hits.len()) };
        rest.extend(hits[compared..].iter().map(|(.., hit)| hit.slot));
        places.lay_out(query, self.entries.len());
        let judged = hits[..compared].iter().filter_map(|(.., hit)| Some(judge(hit, shown(hit)?, places))).collect();
        places.clear(query);
        judged
    }

    /// Lays the query out once more, to look at a document that was found.
    pub(super) fn with_places<T>(&self, query: &Query<'_>, look: impl FnOnce(&Places) -> T) -> T {
        let Scratch { places, .. } = &mut *self.scratch();
        places.lay_out(query, self.entries.len());
        let seen = look(places);
        places.clear(query);
        seen
    }

    /// What is shown in a slot.
    pub(super) fn shown(&self, slot: u32) -> Option<&Shown> {
        self.shown.get(slot as usize)?.as_ref()
    }
}

/// A document that a search found, and where in each list; 0 if it is not there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hit {
    pub(super) slot: u32,
    pub(super) lexical_rank: u32,
    pub(super) vector_rank: u32,
    pub(super) cosine: f32,
}
