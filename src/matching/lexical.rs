//! The vocabulary, the exemplars, and the search for those worth comparing.
//!
//! A document is *learned* (its terms enter the vocabulary, and it gets a slot) and may be *shown* (it enters the postings
//! and counts in the frequencies). Only shown documents are found and only they change anybody's score.

mod second;

use std::io::{self, Read, Write};
use std::sync::{LazyLock, Mutex};

use rustc_hash::FxHashMap;

use super::embed::{self, Aligner, Probe, Vector};
use super::features::Features;
use super::measures;
use super::packed::{Body, DocumentTerm, MOST_TERMS, Pieces, Terms};
use super::postings::{self, Documents, Found, MOST_DOCUMENTS, Postings};
use super::second::SecondSpace;
use super::snapshot::SnapshotError;
use super::snapshot::frames::{In, Out};
use super::table::{Map, Numbers, Rows, fetch};
use super::text::Kind;
use super::vectors::{self, Nearest, Vectors};
use super::words;
use crate::domain::id::ProductId;

/// Documents a young stream is imagined to have seen already.
const IMAGINED: f64 = 500.0;
/// In how many of them an everyday word of reports stood, and any other word.
const IMAGINED_GENERIC: f64 = 60.0;
const IMAGINED_OTHER: f64 = 1.0;
/// No term says less than this.
const LEAST_IDF: f64 = 0.1;

/// A text that the index keeps, to be compared with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document<'d> {
    pub(super) product: Option<ProductId>,
    /// When it was last heard, or [`UNTOLD`].
    pub(super) latest: i64,
    pub(super) has_body: bool,
    pub(super) terms: Terms<'d>,
    pub(super) pieces: Pieces<'d>,
}

/// A text as the index keeps it, but for its vector.
#[derive(Debug)]
struct Kept {
    body: Body,
    /// Its place among equals, whenever it came.
    order: u64,
    /// When it was last heard, or [`UNTOLD`].
    latest: i64,
    /// What the caller keeps with it while it is shown.
    home: u32,
    has_body: bool,
    state: State,
}

/// The home of a document that has none.
const NOWHERE: u32 = u32::MAX;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum State {
    Free,
    Hidden,
    Shown,
}

/// In place of a time that is not known.
pub(super) const UNTOLD: i64 = i64::MIN;

/// A time, if it is known.
pub(super) fn told(time: i64) -> Option<i64> {
    Some(time).filter(|&time| time != UNTOLD)
}

/// Documents that are handed out to be compared; more would rarely change who is first.
const COMPARED: usize = 24;
/// What a cosine is worth beside the logarithm of a rank, and what a logarithm of days takes away, where documents are
/// chosen that are compared.
const COSINE_WORTH: f32 = 10.0;
const DAYS_WORTH: f32 = 0.8;

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
pub(super) struct Query {
    pub(super) product: Option<ProductId>,
    pub(super) has_body: bool,
    pub(super) aligner: Aligner,
    pub(super) probe: Probe,
    /// What is looked for in the second space, if that is the one to go by.
    pub(super) second: Option<Probe>,
    pub(super) time: Option<i64>,
    pub(super) terms: Vec<QueryTerm>,
}

/// What a query has, laid out so that many documents can be held against it.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// By the vocabulary's numbers: one more than the place of the term in the query, 0 where it has no such term.
    terms: Vec<u32>,
}

impl Places {
    /// Where in the query a document's term stands.
    pub(super) fn of(&self, id: u32) -> Option<usize> {
        (self.terms[id as usize] as usize).checked_sub(1)
    }

    fn lay_out(&mut self, query: &Query, vocabulary: usize) {
        self.terms.resize(vocabulary, 0);
        for (place, term) in query.terms.iter().enumerate() {
            if let Some(id) = term.id {
                self.terms[id as usize] = place as u32 + 1;
            }
        }
    }

    fn clear(&mut self, query: &Query) {
        for id in query.terms.iter().filter_map(|term| term.id) {
            self.terms[id as usize] = 0;
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
    /// By term: its key, and how many learned documents name it.
    keys: Vec<u64>,
    learned: Vec<u32>,
    by_key: Numbers,
    free_terms: Vec<u32>,
    /// By term: the logarithm of how many documents have it, with those that are imagined. A comparison asks for many.
    commonness: Vec<f32>,
    /// By term: whether it is everybody's word.
    generic: Vec<bool>,
    postings: Postings,
    vectors: Vectors,
    documents: Rows<Kept>,
    /// By slot: one more than the number of the document's product, 0 if it has none. A search asks for many.
    product_of: Vec<u32>,
    free_slots: Vec<u32>,
    /// The documents' products, and how many documents each has.
    products: Map<ProductId, u32>,
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

/// No text is longer when it is packed.
const LONGEST_BODY: usize = 1 << 16;

impl Lexicon {
    /// How many documents there is room for.
    pub(super) const MOST: usize = MOST_DOCUMENTS;

    pub(super) fn save(&self, out: &mut Out<impl Write>) -> io::Result<()> {
        out.count(self.keys.len())?;
        self.keys.iter().try_for_each(|&key| out.u64(key))?;
        self.learned.iter().try_for_each(|&count| out.u32(count))?;
        self.generic.iter().try_for_each(|&generic| out.u8(u8::from(generic)))?;
        out.count(self.documents.len())?;
        for (kept, product) in self.documents.iter().zip(&self.product_of) {
            out.u8(kept.state as u8 | u8::from(kept.has_body) << 4)?;
            if kept.state != State::Free {
                let product = product.checked_sub(1).and_then(|number| self.products.at(number));
                out.u8(u8::from(product.is_some()))?;
                product.map_or(Ok(()), |(product, _)| out.bytes(product.uuid().as_bytes()))?;
                out.u16(kept.body.piece_count())?;
                out.count(kept.body.bytes().len())?;
                out.bytes(kept.body.bytes())?;
            }
        }
        self.vectors.save(out)?;
        self.postings.save(out)
    }

    /// Reads what was saved. Each document then asks to be settled.
    pub(super) fn load(input: &mut In<impl Read>) -> Result<Self, SnapshotError> {
        let mut lexicon = Self::default();
        let terms = input.count(MOST_TERMS as usize)?;
        lexicon.keys.reserve_exact(terms);
        lexicon.learned.reserve_exact(terms);
        lexicon.generic.reserve_exact(terms);
        for _ in 0..terms {
            lexicon.keys.push(input.u64()?);
        }
        for _ in 0..terms {
            lexicon.learned.push(input.u32()?);
        }
        for _ in 0..terms {
            lexicon.generic.push(input.u8()? == 1);
        }
        lexicon.by_key.reserve(terms);
        for (id, (&key, &learned)) in (0..).zip(lexicon.keys.iter().zip(&lexicon.learned)) {
            if learned == 0 {
                lexicon.free_terms.push(id);
            } else {
                lexicon.by_key.insert(key, id);
            }
        }
        let slots = input.count(MOST_DOCUMENTS)?;
        for slot in 0..slots as u32 {
            lexicon.load_document(slot, terms, input)?;
        }
        // Side by side: they are asked for with every posting.
        let states: Vec<State> = lexicon.documents.iter().map(|kept| kept.state).collect();
        let state = |slot: u32| states.get(slot as usize).copied().filter(|&state| state != State::Free);
        let is_shown = |slot| state(slot).map(|state| state == State::Shown);
        let vectors = Vectors::load(input, slots, is_shown)?;
        let shown = states.iter().filter(|&&state| state == State::Shown).count();
        let postings = Postings::load(input, shown, slots, |slot| is_shown(slot) == Some(true))?;
        (lexicon.vectors, lexicon.postings) = (vectors, postings);
        let Self { postings, generic, .. } = &lexicon;
        lexicon.commonness =
            (0..).zip(generic).map(|(id, &generic)| commonness(postings.frequency(id), generic)).collect();
        Ok(lexicon)
    }

    fn load_document(&mut self, slot: u32, terms: usize, input: &mut In<impl Read>) -> Result<(), SnapshotError> {
        let wrong = || SnapshotError::Damaged("a document is not as it should be");
        let flags = input.u8()?;
        let (mut product, mut body) = (0, Body::new(&[], std::iter::empty()));
        let state = match flags & 15 {
            0 => State::Free,
            1 => State::Hidden,
            2 => State::Shown,
            _ => return Err(wrong()),
        };
        if state == State::Free {
            self.free_slots.push(slot);
        } else {
            if input.u8()? == 1 {
                let its = ProductId::from_uuid(uuid::Uuid::from_bytes(input.array()?));
                let (number, documents) = self.products.entry(its, || 0);
                *documents += 1;
                product = number + 1;
            }
            let pieces = input.u16()?;
            let mut bytes = vec![0; input.count(LONGEST_BODY)?];
            input.fill(&mut bytes)?;
            body = Body::from_bytes(bytes.into(), pieces).ok_or_else(wrong)?;
            let is_known = body.terms().impacts().all(|(id, _)| (id as usize) < terms);
            if !is_known || !body.pieces().iter().all(embed::has_row) {
                return Err(wrong());
            }
        }
        let (order, latest, home, has_body) = (0, UNTOLD, NOWHERE, flags & 16 != 0);
        self.documents.push(Kept { body, order, latest, home, has_body, state });
        self.product_of.push(product);
        Ok(())
    }

    /// Tells of a document that was read whose it is. `shown` must be as it was.
    pub(super) fn settle(
        &mut self,
        slot: u32,
        shown: bool,
        home: u32,
        order: u64,
        latest: i64,
    ) -> Result<(), SnapshotError> {
        let state = if shown { State::Shown } else { State::Hidden };
        let kept = self.documents.get_mut(slot as usize).filter(|kept| kept.state == state && kept.home == NOWHERE);
        let Some(kept) = kept else { return Err(SnapshotError::Damaged("a text is not where it should be")) };
        (kept.home, kept.order, kept.latest) = (home, order, latest);
        Ok(())
    }

    /// Every document that was read must have been settled.
    pub(super) fn check_homes(&self) -> Result<(), SnapshotError> {
        if self.documents.iter().any(|kept| kept.state != State::Free && kept.home == NOWHERE) {
            return Err(SnapshotError::Damaged("a text is nobody's"));
        }
        Ok(())
    }

    /// Whether there is room for another document.
    pub(super) fn has_room(&self) -> bool {
        !self.free_slots.is_empty() || self.documents.len() < MOST_DOCUMENTS
    }

    /// Takes a text's terms into the vocabulary and keeps it. Returns where; `None` if there is no room for another one.
    pub(super) fn learn(&mut self, features: &Features) -> Option<u32> {
        if !self.has_room() {
            return None;
        }
        let mut terms = Vec::with_capacity(features.terms().len());
        for term in features.terms() {
            // Of a vocabulary that is full the rest is left out.
            let Some(id) = self.id_of(term.key, || features.term_text(term)) else { continue };
            self.learned[id as usize] += 1;
            terms.push(DocumentTerm { id, weight: term.weight, kind: term.kind, head: term.head });
        }
        let product = features.product().map_or(0, |product| {
            let (number, documents) = self.products.entry(product, || 0);
            *documents += 1;
            number + 1
        });
        let slot = self.free_slots.pop().unwrap_or(self.documents.len() as u32);
        let document = Kept {
            body: Body::new(features.pieces(), terms.into_iter()),
            order: 0,
            latest: UNTOLD,
            home: 0,
            has_body: features.has_body(),
            state: State::Hidden,
        };
        self.documents.set(slot as usize, document);
        if self.product_of.len() < self.documents.len() {
            if self.product_of.len() == self.product_of.capacity() {
                self.product_of.reserve_exact(self.product_of.len() / 8 + 64);
            }
            self.product_of.push(0);
        }
        self.product_of[slot as usize] = product;
        self.vectors.keep(slot, features.vector());
        Some(slot)
    }

    fn id_of<'a>(&mut self, key: u64, text: impl FnOnce() -> &'a str) -> Option<u32> {
        if let Some(id) = self.find(key) {
            return Some(id);
        }
        let generic = words::is_generic(text());
        let id = self.free_terms.pop().unwrap_or(self.keys.len() as u32);
        if id >= MOST_TERMS {
            return None;
        }
        let at = id as usize;
        if at == self.keys.len() {
            if at == self.keys.capacity() {
                // By an eighth at a time: tables of millions should not double.
                let room = at / 8 + 64;
                self.keys.reserve_exact(room);
                self.learned.reserve_exact(room);
                self.commonness.reserve_exact(room);
                self.generic.reserve_exact(room);
            }
            self.keys.push(key);
            self.learned.push(0);
            self.commonness.push(0.0);
            self.generic.push(generic);
        } else {
            (self.keys[at], self.generic[at]) = (key, generic);
        }
        self.commonness[at] = commonness(0, generic);
        self.by_key.insert(key, id);
        Some(id)
    }

    fn find(&self, key: u64) -> Option<u32> {
        self.by_key.find(key, |id| self.keys[id as usize] == key)
    }

    /// Takes a hidden document's terms out of the vocabulary, where nobody else names them. Nothing of it stays.
    pub(super) fn forget(&mut self, slot: u32) {
        let kept = &mut self.documents[slot as usize];
        kept.state = State::Free;
        let body = std::mem::replace(&mut kept.body, Body::new(&[], std::iter::empty()));
        for term in body.terms().iter() {
            let at = term.id as usize;
            self.learned[at] -= 1;
            if self.learned[at] == 0 {
                self.by_key.remove(self.keys[at], term.id);
                self.free_terms.push(term.id);
            }
        }
        let product = self.product_of[slot as usize].checked_sub(1).and_then(|number| self.products.at(number));
        if let Some((product, _)) = product
            && let Some(documents) = self.products.get_mut(product)
        {
            *documents -= 1;
            if *documents == 0 {
                self.products.remove(product);
            }
        }
        self.vectors.forget(slot);
        self.free_slots.push(slot);
    }

    /// Lets a learned document be found. `home` is handed out with it; `order` is its place among equals, which depends on
    /// what it is and not on when it came.
    pub(super) fn show(&mut self, slot: u32, home: u32, order: u64, latest: i64) {
        let kept = &mut self.documents[slot as usize];
        (kept.home, kept.order, kept.latest, kept.state) = (home, order, latest, State::Shown);
        self.postings.add(slot, kept.body.terms());
        self.vectors.show(slot);
        self.count_terms(slot);
    }

    /// Tells when a shown document was last heard, or [`UNTOLD`].
    pub(super) fn set_latest(&mut self, slot: u32, latest: i64) {
        self.documents[slot as usize].latest = latest;
    }

    /// The exact inverse of [`Lexicon::show`].
    pub(super) fn hide(&mut self, slot: u32) {
        let kept = &mut self.documents[slot as usize];
        kept.state = State::Hidden;
        self.postings.remove(slot, kept.body.terms());
        self.vectors.hide(slot);
        self.count_terms(slot);
    }

    /// How many documents can be found.
    pub(super) fn shown_count(&self) -> usize {
        self.postings.len()
    }

    /// The document in a slot.
    pub(super) fn document(&self, slot: u32) -> Document<'_> {
        let kept = &self.documents[slot as usize];
        Document {
            product: self.product_of[slot as usize].checked_sub(1).and_then(|number| Some(self.products.at(number)?.0)),
            latest: kept.latest,
            has_body: kept.has_body,
            terms: kept.body.terms(),
            pieces: kept.body.pieces(),
        }
    }

    /// What the document in a slot is about.
    pub(super) fn vector(&self, slot: u32) -> Vector {
        self.vectors.vector(slot)
    }

    /// How near a document is by what it is about.
    pub(super) fn cosine(&self, probe: &Probe, slot: u32) -> f32 {
        self.vectors.cosine(probe, slot)
    }

    /// A shown document's place among equals.
    pub(super) fn order(&self, slot: u32) -> u64 {
        self.documents[slot as usize].order
    }

    /// What the caller keeps with a document that is shown.
    pub(super) fn home(&self, slot: u32) -> Option<u32> {
        let kept = self.documents.get(slot as usize)?;
        (kept.state == State::Shown).then_some(kept.home)
    }

    /// Whether a term of the vocabulary is everybody's word.
    pub(super) fn is_generic(&self, id: u32) -> bool {
        self.generic[id as usize]
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
    fn count_terms(&mut self, slot: u32) {
        for (id, _) in self.documents[slot as usize].body.terms().impacts() {
            let at = id as usize;
            self.commonness[at] = commonness(self.postings.frequency(id), self.generic[at]);
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
    pub(super) fn query(&self, features: &Features) -> Query {
        let ln_of_all = self.ln_of_all();
        let (unknown, unknown_generic) = (self.idf_of(0, false), self.idf_of(0, true));
        let terms = features
            .terms()
            .iter()
            .enumerate()
            .map(|(at, term)| {
                let id = self.find(term.key);
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
            aligner: Aligner::new(features.pieces()),
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
        query: &Query,
        limit: usize,
        crucial: impl Fn(u32) -> bool,
        mut judge: impl FnMut(&Hit, &Places) -> T,
        rest: &mut Vec<u32>,
    ) -> Vec<T> {
        let mut scratch = self.scratch();
        let Scratch { places, postings, vectors, wanted, found, nearest, hit_of, hits } = &mut *scratch;
        wanted.clear();
        wanted.extend(query.terms.iter().filter_map(|term| Some((term.id?, (term.weight * term.idf) as f32))));
        // No document has a product of this number.
        let other = u32::MAX;
        let product = query.product.map(|product| self.products.number(product).map_or(other, |number| number + 1));
        let accept = |slot: u32| {
            product.is_none_or(|product| {
                let its = self.product_of[slot as usize];
                its == 0 || product == its
            })
        };
        let key = |slot: u32| self.documents[slot as usize].order;
        let documents = Documents { key, terms: |slot: u32| self.documents[slot as usize].body.terms() };
        self.postings.search(postings, &documents, wanted, limit, accept, found);
        match (&query.second, &self.second) {
            (Some(probe), Some(second)) => second.search(vectors, probe, limit, accept, key, nearest),
            _ => self.vectors.search(vectors, &query.probe, limit, accept, key, nearest),
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
        if query.second.is_none() {
            self.vectors.fetch(hits.iter().filter(|(.., hit)| hit.vector_rank == 0).map(|(.., hit)| hit.slot));
        }
        for (promise, order, hit) in hits.iter_mut() {
            let kept = &self.documents[hit.slot as usize];
            if hit.vector_rank == 0 && query.second.is_none() {
                hit.cosine = self.vectors.cosine(&query.probe, hit.slot);
            }
            let rank = if hit.lexical_rank == 0 { limit as u32 + limit as u32 / 5 } else { hit.lexical_rank };
            let days = measures::days(query.time, told(kept.latest)).map_or(0.0, f64::ln_1p) as f32;
            *promise = COSINE_WORTH * hit.cosine - DAYS_WORTH * days - ln(f64::from(rank)) as f32;
            *order = kept.order;
        }
        hits.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2.slot).cmp(&(b.1, b.2.slot))));
        let has_crucial = hits.iter().any(|(.., hit)| crucial(hit.slot));
        let compared = if has_crucial { hits.len() } else { COMPARED.min(hits.len()) };
        rest.extend(hits[compared..].iter().map(|(.., hit)| hit.slot));
        fetch(hits[..compared].iter().flat_map(|(.., hit)| self.documents[hit.slot as usize].body.terms().stretches()));
        places.lay_out(query, self.keys.len());
        let judged = hits[..compared].iter().map(|(.., hit)| judge(hit, places)).collect();
        places.clear(query);
        judged
    }

    /// Lays the query out once more, to look at a document that was found.
    pub(super) fn with_places<T>(&self, query: &Query, look: impl FnOnce(&Places) -> T) -> T {
        let Scratch { places, .. } = &mut *self.scratch();
        places.lay_out(query, self.keys.len());
        let seen = look(places);
        places.clear(query);
        seen
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
