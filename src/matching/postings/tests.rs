//! Against a model that looks at every document.

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::packed::Body;
use super::*;

type Terms = Vec<(u32, u8)>;

/// Postings, and the documents beside them.
#[derive(Default)]
struct Shelf {
    postings: Postings,
    documents: Vec<Option<(u64, Body)>>,
    free: Vec<u32>,
}

impl Shelf {
    fn add(&mut self, key: u64, terms: &[(u32, u8)]) -> u32 {
        let body = Body::of_impacts(terms);
        let slot = self.free.pop().unwrap_or(self.documents.len() as u32);
        self.postings.add(slot, body.terms());
        match self.documents.get_mut(slot as usize) {
            Some(free) => *free = Some((key, body)),
            None => self.documents.push(Some((key, body))),
        }
        slot
    }

    fn remove(&mut self, slot: u32) {
        let Some((_, body)) = self.documents[slot as usize].take() else { return };
        self.postings.remove(slot, body.terms());
        self.free.push(slot);
    }

    fn document(&self, slot: u32) -> &(u64, Body) {
        self.documents[slot as usize].as_ref().expect("only documents are found")
    }

    fn search(&self, query: &[(u32, f32)], limit: usize, accept: impl Fn(u32) -> bool) -> Vec<Found> {
        let mut found = Vec::new();
        let key = |slot| self.document(slot).0;
        let documents = Documents { key, terms: |slot| self.document(slot).1.terms() };
        self.postings.search(&mut Scratch::default(), &documents, query, limit, accept, &mut found);
        found
    }
}

fn key_of(at: usize) -> u64 {
    (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn terms() -> impl Strategy<Value = Terms> {
    proptest::collection::btree_map(0_u32..40, 1_u8.., 0..12).prop_map(|terms| terms.into_iter().collect())
}

fn query() -> impl Strategy<Value = Vec<(u32, f32)>> {
    proptest::collection::btree_map(0_u32..45, 0.1_f32..9.0, 0..10).prop_map(|terms| terms.into_iter().collect())
}

/// What a search for the query would find, by key, if it looked at every document.
fn all_found(documents: &[(u64, &Terms)], query: &[(u32, f32)], limit: usize) -> Vec<u64> {
    let frequent = |term: u32| documents.iter().any(|(_, terms)| terms.iter().any(|&(other, _)| other == term));
    let heaviest = query.iter().filter(|&&(term, _)| frequent(term)).map(|&(_, weight)| weight).fold(0.0, f32::max);
    let step = heaviest / WEIGHT_STEPS;
    let mut scored: Vec<(u32, u64)> = documents
        .iter()
        .map(|(key, terms)| {
            let worth = |&(term, impact): &(u32, u8)| {
                let weight = query.iter().find(|&&(other, _)| other == term).map_or(0.0, |&(_, weight)| weight);
                if weight > 0.0 { (weight / step).round().max(1.0) as u32 * u32::from(impact) } else { 0 }
            };
            (terms.iter().map(worth).sum(), *key)
        })
        .filter(|&(score, _)| score > 0)
        .collect();
    scored.sort_by_key(|&(score, key)| (std::cmp::Reverse(score), key));
    scored.truncate(limit);
    scored.into_iter().map(|(_, key)| key).collect()
}

fn search(shelf: &Shelf, query: &[(u32, f32)], limit: usize) -> Vec<(u64, f32)> {
    let found = shelf.search(query, limit, |_| true);
    found.iter().map(|found| (shelf.document(found.slot).0, found.score)).collect()
}

/// Keeps the documents, adding and removing those that are marked in between.
fn filled(documents: &[(Terms, bool)], backwards: bool) -> Shelf {
    let mut shelf = Shelf::default();
    let mut order: Vec<usize> = (0..documents.len()).collect();
    if backwards {
        order.reverse();
    }
    let mut passing: Vec<u32> = Vec::new();
    for at in order {
        let (terms, stays) = &documents[at];
        let slot = shelf.add(key_of(at), terms);
        if !stays {
            passing.push(slot);
        }
        if passing.len() > 2 {
            passing.drain(..).for_each(|slot| shelf.remove(slot));
        }
    }
    passing.drain(..).for_each(|slot| shelf.remove(slot));
    shelf
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_search_finds_what_looking_at_everything_finds(
        documents in vec((terms(), any::<bool>()), 0..60), query in query(), limit in 1_usize..20, backwards: bool,
    ) {
        let shelf = filled(&documents, backwards);
        let staying: Vec<(u64, &Terms)> = documents.iter().enumerate()
            .filter(|(_, (_, stays))| *stays).map(|(at, (terms, _))| (key_of(at), terms)).collect();
        let found: Vec<u64> = search(&shelf, &query, limit).into_iter().map(|(key, _)| key).collect();
        prop_assert_eq!(found, all_found(&staying, &query, limit));
        prop_assert_eq!(shelf.postings.len(), staying.len());
        for term in 0..45 {
            let having = staying.iter().filter(|(_, terms)| terms.iter().any(|&(other, _)| other == term)).count();
            prop_assert_eq!(shelf.postings.frequency(term), having);
        }
    }

    #[test]
    fn the_order_of_arrival_changes_nothing(
        documents in vec((terms(), any::<bool>()), 0..60), query in query(), limit in 1_usize..20,
    ) {
        prop_assert_eq!(
            search(&filled(&documents, false), &query, limit),
            search(&filled(&documents, true), &query, limit)
        );
    }
}

#[test]
fn common_terms_keep_their_postings_through_removals() {
    let mut shelf = Shelf::default();
    let terms = |n: u32| vec![(0, 1 + (n % 255) as u8), (1 + n % 50, 9), (100 + n, 50)];
    let slots: Vec<u32> = (0..20_000).map(|n| shelf.add(u64::from(n), &terms(n))).collect();
    assert_eq!((shelf.postings.frequency(0), shelf.postings.frequency(7)), (20_000, 400));
    for n in (0..20_000).filter(|n| n % 10 != 3) {
        shelf.remove(slots[n]);
    }
    let Shelf { postings, .. } = &shelf;
    assert_eq!((postings.len(), postings.frequency(0), postings.frequency(100)), (2_000, 2_000, 0));
    let best = search(&shelf, &[(0, 1.0)], 5);
    assert_eq!(best.iter().map(|&(key, _)| key % 255).collect::<Vec<_>>(), [253; 5]);
    assert!(best.is_sorted_by_key(|&(key, _)| key), "{best:?}");
    // Free slots are used again, in the middle of the lists.
    let again = shelf.add(77, &[(0, 255), (3, 255)]);
    assert!((again as usize) < 20_000);
    assert_eq!(search(&shelf, &[(0, 1.0), (3, 2.0)], 1)[0].0, 77);
}

#[test]
fn nearly_all_of_the_best_are_found_in_a_large_index() {
    // Every document has thirty common terms and one rarer one; only a part of the postings is read.
    let mut dice = 1_u64;
    let mut roll = |end: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % end
    };
    let mut shelf = Shelf::default();
    let mut all: Vec<Terms> = Vec::new();
    for n in 0..30_000_u64 {
        let mut terms: Terms = (0..12).map(|_| ((roll(200) * roll(200) / 200) as u32, 60 + roll(120) as u8)).collect();
        terms.push((200 + roll(3_000) as u32, 150));
        terms.sort_unstable();
        terms.dedup_by_key(|&mut (term, _)| term);
        shelf.add(n, &terms);
        all.push(terms);
    }
    let (mut right, mut asked) = (0, 0);
    for of in all.iter().step_by(1_000) {
        let idf = |term| (30_000.0 / shelf.postings.frequency(term) as f32).ln().max(0.1);
        let query: Vec<(u32, f32)> = of.iter().map(|&(term, _)| (term, idf(term))).collect();
        let documents: Vec<(u64, &Terms)> = (0..).zip(&all).collect();
        let best = all_found(&documents, &query, 10);
        let found = search(&shelf, &query, 50);
        asked += best.len();
        right += best.iter().filter(|&&key| found.iter().any(|&(other, _)| other == key)).count();
    }
    assert!(right * 100 >= asked * 97, "{right} of {asked}");
}

#[test]
fn what_is_refused_is_not_found() {
    let mut shelf = Shelf::default();
    let one = shelf.add(1, &[(1, 100), (2, 100)]);
    let other = shelf.add(2, &[(1, 90)]);
    let found = shelf.search(&[(1, 1.0), (2, 1.0)], 9, |slot| slot != one);
    assert_eq!(found.iter().map(|found| found.slot).collect::<Vec<_>>(), [other]);
}
