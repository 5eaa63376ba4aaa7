//! The lexical candidates: which documents share the most telling terms with a text.
//!
//! A document is a set of terms, each with an *impact*: how much it says about the document, from the document's text
//! alone. Everything that depends on the other documents is in the weights of the query, so documents
//! come and go without touching one another. The score of a document is the sum over the query's terms of weight times
//! impact, in whole numbers: it does not depend on the order of anything.
//!
//! A search has three steps, so that it stays short however many documents there are:
//!
//! 1. **Plan.** The terms of the greatest weight are *scanned*, as many as about [`SCANNED`] postings allow: these are the
//!    rare ones, which a match of any worth shares. At least [`FEWEST`] are scanned, up to [`MOST_SCANNED`] postings.
//! 2. **Scan.** Postings are added up window by window of slots, in a memory that fits into the processor's cache. The
//!    best [`KEPT`] documents, or more if more are asked for, go on.
//! 3. **Complete.** The terms that were not scanned are looked up in those documents, and the best are handed out.
//!
//! So a document is missed only if the rare terms it shares with the query count less than those of `KEPT` others; what
//! is handed out has its full score. Where everything is scanned (small indexes, short queries) the result is exact.
//! Equal scores are ordered by the documents' keys, which the caller gives. Two indexes that hold the same documents
//! answer the same, whatever happened before.
//!
//! Left out on purpose: which terms a text has, and how telling a term is.

mod list;
#[cfg(test)]
mod tests;

use list::{List, WINDOW, WINDOW_BITS};

/// Postings read for a query, and one more for every [`DOCUMENTS_FOR_ONE`] documents, but not more than [`MOST_EXTRA`]:
/// what is looked for is buried deeper in a larger index. A quarter of a millisecond at the most.
const SCANNED: usize = 24_000;
const DOCUMENTS_FOR_ONE: usize = 8;
const MOST_EXTRA: usize = 160_000;
/// A term that more than one document in so many has finds nobody by itself: it is looked up in what others found, unless
/// the index is so small that it costs nothing.
const COMMON_ONE_IN: usize = 6;
const SMALL: usize = 1_000;
/// At least so many terms are scanned, so that a text of everyday words finds something.
const FEWEST: usize = 4;
/// No query reads more postings than this, unless its single best term has more.
const MOST_SCANNED: usize = 500_000;
/// Documents whose score is completed.
const KEPT: usize = 128;
/// Weights of a query are rounded to this many steps.
const WEIGHT_STEPS: f32 = 2_047.0;
/// A longer query is cut, so that sums fit into 32 bits. The text pipeline cuts long before.
const LONGEST_QUERY: usize = 8_192;

/// How many documents there is room for: a posting is a slot of 24 bits and an impact of 8.
pub(super) const MOST_DOCUMENTS: usize = 1 << 24;
/// Term numbers are below this, for the same reason.
pub(super) const MOST_TERMS: u32 = 1 << 24;

/// A document that a search found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) slot: u32,
    pub(super) score: f32,
}

/// A term of a document: its number in the upper 24 bits, its impact in the lower 8.
type Packed = u32;

#[derive(Debug)]
struct Document {
    key: u64,
    /// In the order of the terms' numbers.
    terms: Box<[Packed]>,
}

/// The documents and, by term, who has it.
#[derive(Debug, Default)]
pub(super) struct Postings {
    lists: Vec<List>,
    documents: Vec<Option<Document>>,
    free: Vec<u32>,
}

impl Postings {
    /// Keeps a document under a slot that is free again after [`Postings::remove`]; the next search finds it. `None`
    /// if there is no room. Terms are distinct; an impact of 0 or a number from [`MOST_TERMS`] on is left out.
    pub(super) fn add(&mut self, key: u64, terms: &[(u32, u8)]) -> Option<u32> {
        if self.free.is_empty() && self.documents.len() >= MOST_DOCUMENTS {
            return None;
        }
        let kept = terms.iter().filter(|&&(term, impact)| term < MOST_TERMS && impact > 0);
        let mut terms: Box<[Packed]> = kept.map(|&(term, impact)| term << 8 | u32::from(impact)).collect();
        terms.sort_unstable();
        debug_assert!(terms.windows(2).all(|pair| pair[0] >> 8 != pair[1] >> 8), "a term occurs twice");
        if let Some(&last) = terms.last() {
            self.make_room_for_term(last >> 8);
        }
        let slot = self.free.pop().unwrap_or(self.documents.len() as u32);
        for &packed in &terms {
            self.lists[(packed >> 8) as usize].insert(slot, packed as u8);
        }
        let document = Some(Document { key, terms });
        match self.documents.get_mut(slot as usize) {
            Some(free) => *free = document,
            None => self.documents.push(document),
        }
        Some(slot)
    }

    fn make_room_for_term(&mut self, term: u32) {
        let count = term as usize + 1;
        if count > self.lists.len() {
            // By an eighth at a time: a table of millions should not double.
            self.lists.reserve_exact(count.saturating_sub(self.lists.capacity()).max(self.lists.len() / 8));
            self.lists.resize_with(count, List::default);
        }
    }

    /// Forgets a document. Nothing of it stays. A free slot is left alone.
    pub(super) fn remove(&mut self, slot: u32) {
        let Some(Document { terms, .. }) = self.documents.get_mut(slot as usize).and_then(Option::take) else { return };
        for &packed in &terms {
            self.lists[(packed >> 8) as usize].remove(slot);
        }
        self.free.push(slot);
    }

    /// How many documents there are.
    pub(super) fn len(&self) -> usize {
        self.documents.len() - self.free.len()
    }

    /// How many documents have a term.
    pub(super) fn frequency(&self, term: u32) -> usize {
        self.lists.get(term as usize).map_or(0, List::len)
    }

    /// The key that a document was added with; `None` if the slot is free.
    pub(super) fn key(&self, slot: u32) -> Option<u64> {
        Some(self.documents.get(slot as usize)?.as_ref()?.key)
    }

    fn packed(&self, slot: u32) -> &[Packed] {
        let document = self.documents.get(slot as usize).and_then(Option::as_ref);
        document.map_or(&[], |document| &document.terms)
    }

    /// Finds the `limit` best documents among those that `accept` lets through, best first.
    ///
    /// The query is terms with weights, each term once; a weight that is not positive is left out. Where two weights are
    /// equal the earlier term is scanned first, so the order must come from the text and not from the terms' numbers.
    pub(super) fn search(
        &self,
        scratch: &mut Scratch,
        query: &[(u32, f32)],
        limit: usize,
        accept: impl Fn(u32) -> bool,
        found: &mut Vec<Found>,
    ) {
        found.clear();
        if limit == 0 {
            return;
        }
        let step = self.plan(scratch, query);
        if scratch.terms.is_empty() {
            return;
        }
        let kept = if scratch.scanned < scratch.terms.len() { KEPT.max(2 * limit) } else { limit };
        self.scan(scratch, kept, accept);
        self.complete(scratch);
        let Scratch { best, .. } = scratch;
        best.retain(|sum| sum.score > 0);
        self.keep_best(best, limit);
        best.sort_unstable_by(|a, b| self.best_first(a, b));
        found.extend(best.iter().map(|sum| Found { slot: sum.slot, score: sum.score as f32 * step / 255.0 }));
    }

    /// Puts the query's terms in the order of their weights, and the scanned ones first. Returns what one step of weight
    /// is worth.
    fn plan(&self, scratch: &mut Scratch, query: &[(u32, f32)]) -> f32 {
        let Scratch { terms, rest, scanned, .. } = scratch;
        terms.clear();
        rest.clear();
        let known = |&&(term, weight): &&(u32, f32)| weight > 0.0 && weight.is_finite() && self.frequency(term) > 0;
        let heaviest = query.iter().filter(known).map(|&(_, weight)| weight).fold(0.0, f32::max);
        let step = heaviest / WEIGHT_STEPS;
        if step <= 0.0 {
            return 0.0;
        }
        terms.extend(query.iter().filter(known).map(|&(term, weight)| Term {
            number: term,
            weight: (weight / step).round().max(1.0) as u32,
            exact: weight,
            at: 0,
        }));
        terms.sort_by(|a, b| b.exact.total_cmp(&a.exact));
        terms.truncate(LONGEST_QUERY);

        let scanned_postings = SCANNED + (self.len() / DOCUMENTS_FOR_ONE).min(MOST_EXTRA);
        let mut read = 0;
        let mut count = 0;
        terms.retain(|term| {
            let frequency = self.frequency(term.number);
            let most = if count < FEWEST { MOST_SCANNED } else { scanned_postings };
            let finds_few = count < FEWEST || self.len() <= SMALL || frequency * COMMON_ONE_IN <= self.len();
            let is_scanned = count == 0 || finds_few && read + frequency <= most;
            if is_scanned {
                read += frequency;
                count += 1;
            } else {
                rest.push(*term);
            }
            is_scanned
        });
        *scanned = count;
        terms.append(rest);
        step
    }

    /// Adds up the scanned terms and keeps the `kept` best.
    fn scan(&self, scratch: &mut Scratch, kept: usize, accept: impl Fn(u32) -> bool) {
        let Scratch { terms, scanned, sums, best, .. } = scratch;
        let terms = &mut terms[..*scanned];
        best.clear();
        sums.resize(WINDOW, 0);
        let sums: &mut [u32; WINDOW] = sums.as_mut_slice().try_into().expect("it was given that length just now");
        // Sums below this cannot be among the best any more.
        let mut least = 1;
        for window in 0..self.documents.len().div_ceil(WINDOW) {
            let base = (window << WINDOW_BITS) as u32;
            // A document that has none but the last terms cannot come up to `least`: those only add to what others found.
            let mut finding = terms.len();
            let mut most_of_rest = 0;
            while finding > 1 && most_of_rest + terms[finding - 1].weight * 255 < least {
                finding -= 1;
                most_of_rest += terms[finding].weight * 255;
            }
            let (finding, adding) = terms.split_at_mut(finding);
            for term in finding.iter() {
                let weight = term.weight;
                let list = &self.lists[term.number as usize];
                list.for_each_in(window, term.at, |low, impact| sums[low & (WINDOW - 1)] += weight * impact);
            }
            for term in adding {
                let weight = term.weight;
                let list = &self.lists[term.number as usize];
                term.at = list.for_each_in(window, term.at, |low, impact| {
                    let sum = &mut sums[low & (WINDOW - 1)];
                    *sum += if *sum > 0 { weight * impact } else { 0 };
                });
            }
            for term in finding {
                let list = &self.lists[term.number as usize];
                term.at = list.for_each_in(window, term.at, |low, _| {
                    let score = std::mem::take(&mut sums[low & (WINDOW - 1)]);
                    if score < least {
                        return;
                    }
                    let slot = base | low as u32;
                    if accept(slot) {
                        best.push(Sum { score, slot });
                        if best.len() >= 2 * kept + 64 {
                            self.keep_best(best, kept);
                            least = best.last().map_or(1, |sum| sum.score);
                        }
                    }
                });
            }
        }
        self.keep_best(best, kept);
    }

    fn worth(&self, lookup: &Lookup, slot: u32) -> u32 {
        self.packed(slot).iter().map(|&packed| lookup.weight(packed >> 8) * (packed & 0xff)).sum()
    }

    /// Adds what the terms that were not scanned are worth in the kept documents.
    fn complete(&self, scratch: &mut Scratch) {
        let Scratch { terms, scanned, best, lookup, .. } = scratch;
        let rest = &terms[*scanned..];
        if rest.is_empty() {
            return;
        }
        lookup.fill(rest);
        // Each document is somewhere else in memory: ask for all of them before waiting for the first.
        let first_term = |sum: &Sum| self.packed(sum.slot).first().copied().unwrap_or(0);
        std::hint::black_box(best.iter().map(first_term).fold(0, |all, packed| all ^ packed));
        for sum in best.iter_mut() {
            sum.score += self.worth(lookup, sum.slot);
        }
    }

    /// Cuts the sums to the `kept` best; the last of them is the least, if there was anything to cut.
    fn keep_best(&self, best: &mut Vec<Sum>, kept: usize) {
        if best.len() > kept {
            best.select_nth_unstable_by(kept - 1, |a, b| self.best_first(a, b));
            best.truncate(kept);
        }
    }

    fn best_first(&self, a: &Sum, b: &Sum) -> std::cmp::Ordering {
        b.score.cmp(&a.score).then_with(|| (self.key(a.slot), a.slot).cmp(&(self.key(b.slot), b.slot)))
    }
}

/// A term of the query as the search uses it.
#[derive(Debug, Clone, Copy)]
struct Term {
    number: u32,
    weight: u32,
    exact: f32,
    /// How far its list was read.
    at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Sum {
    score: u32,
    slot: u32,
}

/// Working memory of searches, so that none has to allocate. One search at a time uses it.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    terms: Vec<Term>,
    rest: Vec<Term>,
    scanned: usize,
    sums: Vec<u32>,
    best: Vec<Sum>,
    lookup: Lookup,
}

/// The weights of a few terms, by number: a table without collisions, so that nothing has to be guessed at.
#[derive(Debug, Default)]
struct Lookup {
    entries: Vec<(u32, u32)>,
    factor: u32,
    shift: u32,
}

impl Lookup {
    const FREE: u32 = u32::MAX;

    fn fill(&mut self, terms: &[Term]) {
        let mut size = (terms.len() * 8).next_power_of_two().max(256);
        self.factor = 0x9e37_79b1;
        'again: loop {
            self.shift = 32 - size.trailing_zeros();
            self.entries.clear();
            self.entries.resize(size, (Self::FREE, 0));
            for term in terms {
                let home = self.home(term.number);
                if self.entries[home].0 != Self::FREE {
                    // Another factor may do; a larger table will at last, for distinct terms.
                    self.factor = self.factor.wrapping_mul(0x85eb_ca6b) | 1;
                    size = (size + size / 2).next_power_of_two().min(1 << 24);
                    continue 'again;
                }
                self.entries[home] = (term.number, term.weight);
            }
            return;
        }
    }

    fn home(&self, term: u32) -> usize {
        (term.wrapping_mul(self.factor) >> self.shift) as usize
    }

    fn weight(&self, term: u32) -> u32 {
        let (number, weight) = self.entries[self.home(term)];
        if number == term { weight } else { 0 }
    }
}
