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
//! Left out on purpose: which terms a text has, where they are kept, and how telling a term is.

mod list;
#[cfg(test)]
mod tests;

use list::{List, WINDOW, WINDOW_BITS};

use std::io::{self, Read, Write};

use super::packed::Terms;
use super::snapshot::SnapshotError;
use super::snapshot::frames::{In, Out};
use super::table::fetch;

/// Postings read for a query, and one more for every [`DOCUMENTS_FOR_ONE`] documents, but not more than [`MOST_EXTRA`]:
/// what is looked for is buried deeper in a larger index.
const SCANNED: usize = 24_000;
const DOCUMENTS_FOR_ONE: usize = 40;
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

/// A document that a search found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Found {
    pub(super) slot: u32,
    pub(super) score: f32,
}

/// By term, who has it.
#[derive(Debug, Default)]
pub(super) struct Postings {
    lists: Vec<List>,
    /// One more than the highest slot that ever was.
    slots: usize,
    count: usize,
}

/// Where a search looks what it found up: each document's key, which orders equals, and its terms.
pub(super) struct Documents<K, T> {
    pub(super) key: K,
    pub(super) terms: T,
}

impl Postings {
    /// Lets a document be found by its distinct terms, under a slot below [`MOST_DOCUMENTS`] that is not in use.
    pub(super) fn add(&mut self, slot: u32, terms: Terms<'_>) {
        for (term, impact) in terms.impacts() {
            self.make_room_for_term(term);
            self.lists[term as usize].insert(slot, impact);
        }
        self.slots = self.slots.max(slot as usize + 1);
        self.count += 1;
    }

    fn make_room_for_term(&mut self, term: u32) {
        let count = term as usize + 1;
        if count > self.lists.len() {
            if count > self.lists.capacity() {
                // By an eighth at a time: a table of millions should not double.
                self.lists.reserve_exact(count - self.lists.len() + self.lists.len() / 8);
            }
            self.lists.resize_with(count, List::default);
        }
    }

    /// Forgets a document that was added with these terms. Nothing of it stays.
    pub(super) fn remove(&mut self, slot: u32, terms: Terms<'_>) {
        for (term, _) in terms.impacts() {
            self.lists[term as usize].remove(slot);
        }
        self.count -= 1;
    }

    pub(super) fn save(&self, out: &mut Out<impl Write>) -> io::Result<()> {
        out.count(self.lists.len())?;
        self.lists.iter().try_for_each(|list| list.save(out))
    }

    /// Reads the postings of so many documents, who hold for `is_shown`, below slot `slots`.
    pub(super) fn load(
        input: &mut In<impl Read>,
        count: usize,
        slots: usize,
        is_shown: impl Fn(u32) -> bool,
    ) -> Result<Self, SnapshotError> {
        let length = input.count(super::packed::MOST_TERMS as usize)?;
        let mut lists = Vec::with_capacity(length + length / 8);
        for _ in 0..length {
            lists.push(List::load(input, &is_shown)?);
        }
        Ok(Self { lists, slots, count })
    }

    /// How many documents there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// How many documents have a term.
    pub(super) fn frequency(&self, term: u32) -> usize {
        self.lists.get(term as usize).map_or(0, List::len)
    }

    /// Finds the `limit` best documents among those that `accept` lets through, best first.
    ///
    /// The query is terms with weights, each term once; a weight that is not positive is left out. Where two weights are
    /// equal the earlier term is scanned first, so the order must come from the text and not from the terms' numbers.
    pub(super) fn search<'d>(
        &self,
        scratch: &mut Scratch,
        documents: &Documents<impl Fn(u32) -> u64, impl Fn(u32) -> Terms<'d>>,
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
        self.scan(scratch, kept, &documents.key, accept);
        complete(scratch, &documents.terms);
        let Scratch { best, .. } = scratch;
        best.retain(|sum| sum.score > 0);
        keep_best(best, limit, &documents.key);
        best.sort_unstable_by(|a, b| best_first(a, b, &documents.key));
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
    fn scan(&self, scratch: &mut Scratch, kept: usize, key: impl Fn(u32) -> u64, accept: impl Fn(u32) -> bool) {
        let Scratch { terms, scanned, sums, best, .. } = scratch;
        let terms = &mut terms[..*scanned];
        best.clear();
        sums.resize(WINDOW, 0);
        let sums: &mut [u32; WINDOW] = sums.as_mut_slice().try_into().expect("it was given that length just now");
        // Sums below this cannot be among the best any more.
        let mut least = 1;
        for window in 0..self.slots.div_ceil(WINDOW) {
            let base = (window << WINDOW_BITS) as u32;
            // A document that has none but the last terms cannot come up to `least`: those only add to what others found.
            let mut finding = terms.len();
            let mut most_of_rest = 0;
            while let Some(Term { weight, number, .. }) = terms[1..finding].last() {
                most_of_rest += weight * self.lists[*number as usize].most_in(window);
                if most_of_rest >= least {
                    break;
                }
                finding -= 1;
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
                            keep_best(best, kept, &key);
                            least = best.last().map_or(1, |sum| sum.score);
                        }
                    }
                });
            }
        }
        keep_best(best, kept, &key);
    }
}

/// Adds what the terms that were not scanned are worth in the kept documents.
fn complete<'d>(scratch: &mut Scratch, terms_of: impl Fn(u32) -> Terms<'d>) {
    let Scratch { terms, scanned, best, lookup, .. } = scratch;
    let rest = &terms[*scanned..];
    if rest.is_empty() {
        return;
    }
    lookup.fill(rest);
    fetch(best.iter().flat_map(|sum| terms_of(sum.slot).stretches()));
    for sum in best.iter_mut() {
        sum.score += terms_of(sum.slot).worth(|term| lookup.weight(term));
    }
}

/// Cuts the sums to the `kept` best; the last of them is the least, if there was anything to cut. Keys lie elsewhere in
/// memory, so only those of equals at the border are looked at.
fn keep_best(best: &mut Vec<Sum>, kept: usize, key: impl Fn(u32) -> u64) {
    if best.len() <= kept {
        return;
    }
    let (_, &mut Sum { score: least, .. }, below) = best.select_nth_unstable_by(kept - 1, |a, b| b.score.cmp(&a.score));
    if below.iter().any(|sum| sum.score == least) {
        best.retain(|sum| sum.score >= least);
        best.sort_unstable_by_key(|sum| std::cmp::Reverse(sum.score));
        let above = best.partition_point(|sum| sum.score > least);
        best[above..].select_nth_unstable_by_key(kept - 1 - above, |sum| (key(sum.slot), sum.slot));
    }
    best.truncate(kept);
}

fn best_first(a: &Sum, b: &Sum, key: impl Fn(u32) -> u64) -> std::cmp::Ordering {
    b.score.cmp(&a.score).then_with(|| (key(a.slot), a.slot).cmp(&(key(b.slot), b.slot)))
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
