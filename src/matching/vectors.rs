//! The candidates by meaning: which documents' vectors point nearest to a text's.
//!
//! The table's dimensions are ordered by how much they tell, so the first [`HEAD`] numbers of each vector are looked at
//! first, and the best [`RESCORED`] are compared in full. Up to [`FLAT`] documents every one is looked at: then the
//! answer depends on the documents alone. Beyond that they lie in lists of neighbours that are split in two as they grow,
//! and a search reads the nearest lists, [`READ`] documents in all. Which list a document is in can depend on the order
//! of arrival; of documents that are near, few are missed, and the lexical search finds most of those.
//!
//! A document may go at any time. Nothing is trained, nothing is rebuilt.

mod centres;

use std::io::{self, Read, Write};

use super::embed::{DIMENSIONS, Probe, Vector};
use super::snapshot::SnapshotError;
use super::snapshot::frames::{In, Out};
use super::table::{Rows, fetch};
use centres::{Centre, Centres, FOR_MANY, dots_of, nearer_to_first, two_centres};

/// Leading numbers that are looked at first.
const HEAD: usize = 64;
const TAIL: usize = DIMENSIONS - HEAD;
/// How many are compared in full.
const RESCORED: usize = 96;
/// Up to so many documents lie in one list.
const FLAT: usize = 6_000;
/// A list is split when it has more, once there are lists.
const FULL: usize = 256;
/// Documents that a search reads at least, in the nearest lists, if there are so many.
const READ: usize = 2_000;
/// So many lists are put in order by how near they are; usually enough to read that many documents.
const NEAREST: usize = 48;
type Head = [i8; HEAD];
type Tail = [i8; TAIL];

/// The documents' vectors. Those that are shown are found.
#[derive(Debug, Default)]
pub(super) struct Vectors {
    lists: Vec<List>,
    /// The middle of each list.
    centres: Centres,
    hidden: List,
    /// Where the head of each slot's vector lies.
    places: Rows<Place>,
    /// The rest of each slot's vector.
    tails: Rows<Tail>,
    count: usize,
}

/// A list, and the place there.
#[derive(Debug, Clone, Copy)]
struct Place {
    list: u32,
    at: u32,
}

/// Vectors that nobody finds lie in this list, and those without direction in none.
const HIDDEN: u32 = u32::MAX - 1;
const NOWHERE: Place = Place { list: u32::MAX, at: 0 };

#[derive(Debug, Default)]
struct List {
    heads: Vec<Head>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    slot: u32,
    /// One by the length of the whole vector.
    scale: f32,
}

/// Working memory of searches.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    near: Vec<(f32, u32)>,
    dots: Vec<i32>,
    best: Vec<Nearest>,
}

/// A document that a search found.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nearest {
    pub(super) slot: u32,
    /// Of the leading numbers while searching, of the whole vectors when found.
    pub(super) cosine: f32,
}

impl List {
    fn push(&mut self, head: Head, entry: Entry) {
        if self.entries.len() == self.entries.capacity() {
            // By an eighth at a time, where doubling would leave a third of the memory empty.
            let room = self.entries.len() / 8 + 4;
            self.heads.reserve_exact(room);
            self.entries.reserve_exact(room);
        }
        self.heads.push(head);
        self.entries.push(entry);
    }
}

impl List {
    fn save(&self, out: &mut Out<impl Write>) -> io::Result<()> {
        out.count(self.entries.len())?;
        for (head, entry) in self.heads.iter().zip(&self.entries) {
            out.bytes(&head.map(|number| number as u8))?;
            out.u32(entry.slot)?;
            out.u32(entry.scale.to_bits())?;
        }
        Ok(())
    }

    fn load(input: &mut In<impl Read>, most: usize) -> Result<Self, SnapshotError> {
        let mut list = Self::default();
        let count = input.count(most)?;
        list.heads.reserve_exact(count);
        list.entries.reserve_exact(count);
        for _ in 0..count {
            list.heads.push(input.array()?.map(|byte| byte as i8));
            list.entries.push(Entry { slot: input.u32()?, scale: input.f32()? });
        }
        Ok(list)
    }
}

impl Vectors {
    pub(super) fn save(&self, out: &mut Out<impl Write>) -> io::Result<()> {
        self.tails.iter().try_for_each(|tail| out.bytes(&tail.map(|number| number as u8)))?;
        out.count(self.lists.len())?;
        for centre in self.centres.iter() {
            out.bytes(&centre.head.map(|number| number as u8))?;
            out.u32(centre.scale.to_bits())?;
        }
        self.lists.iter().chain([&self.hidden]).try_for_each(|list| list.save(out))
    }

    /// Reads the vectors of so many slots. Those that hold for `is_shown` are in the lists that are searched.
    pub(super) fn load(
        input: &mut In<impl Read>,
        slots: usize,
        is_shown: impl Fn(u32) -> Option<bool>,
    ) -> Result<Self, SnapshotError> {
        let mut vectors = Self::default();
        for _ in 0..slots {
            vectors.tails.push(input.array()?.map(|byte| byte as i8));
            vectors.places.push(NOWHERE);
        }
        let lists = input.count(slots)?;
        for _ in 0..lists {
            let head = input.array()?.map(|byte| byte as i8);
            vectors.centres.push(Centre { head, scale: input.f32()? });
        }
        for number in (0..lists as u32).chain([HIDDEN]) {
            let list = List::load(input, slots)?;
            for (at, entry) in (0..).zip(&list.entries) {
                let place = vectors.places.get_mut(entry.slot as usize).filter(|place| place.list == NOWHERE.list);
                let Some(place) = place.filter(|_| is_shown(entry.slot) == Some(number != HIDDEN)) else {
                    return Err(SnapshotError::Damaged("a vector is where it should not be"));
                };
                *place = Place { list: number, at };
            }
            if number == HIDDEN {
                vectors.hidden = list;
            } else {
                vectors.count += list.entries.len();
                vectors.lists.push(list);
            }
        }
        Ok(vectors)
    }

    /// Keeps a vector under a free slot, to be shown later.
    pub(super) fn keep(&mut self, slot: u32, vector: &Vector) {
        while self.places.len() < slot as usize {
            self.tails.push([0; TAIL]);
            self.places.push(NOWHERE);
        }
        let (head, tail) = vector
            .numbers()
            .split_first_chunk::<HEAD>()
            .map_or(([0; HEAD], [0; TAIL]), |(head, tail)| (*head, tail.try_into().unwrap_or([0; TAIL])));
        self.tails.set(slot as usize, tail);
        self.places.set(slot as usize, NOWHERE);
        if !vector.is_zero() {
            self.put(HIDDEN, head, Entry { slot, scale: vector.scale() });
        }
    }

    /// Forgets a slot's vector, if there is one.
    pub(super) fn forget(&mut self, slot: u32) {
        self.take(slot);
        if let Some(tail) = self.tails.get_mut(slot as usize) {
            *tail = [0; TAIL];
        }
    }

    /// Lets a vector be found. One without direction is near to nothing and never found.
    pub(super) fn show(&mut self, slot: u32) {
        let Some((head, entry)) = self.take(slot) else { return };
        if self.lists.is_empty() {
            self.push_list(Centre::default());
        }
        let list = if self.lists.len() == 1 { 0 } else { self.centres.nearest(&head) };
        self.put(list as u32, head, entry);
        self.count += 1;
        let full = if self.lists.len() == 1 { FLAT } else { FULL };
        if self.lists[list].entries.len() > full {
            self.split(list);
        }
    }

    /// The inverse of [`Vectors::show`].
    pub(super) fn hide(&mut self, slot: u32) {
        let Some((head, entry)) = self.take(slot) else { return };
        self.put(HIDDEN, head, entry);
    }

    fn list(&self, list: u32) -> &List {
        if list == HIDDEN { &self.hidden } else { &self.lists[list as usize] }
    }

    fn list_mut(&mut self, list: u32) -> &mut List {
        if list == HIDDEN { &mut self.hidden } else { &mut self.lists[list as usize] }
    }

    fn put(&mut self, number: u32, head: Head, entry: Entry) {
        let list = self.list_mut(number);
        let at = list.entries.len() as u32;
        list.push(head, entry);
        self.places[entry.slot as usize] = Place { list: number, at };
    }

    /// Takes a vector out of its list.
    fn take(&mut self, slot: u32) -> Option<(Head, Entry)> {
        let place = std::mem::replace(self.places.get_mut(slot as usize)?, NOWHERE);
        if place.list == NOWHERE.list {
            return None;
        }
        let at = place.at as usize;
        let list = self.list_mut(place.list);
        let (head, entry) = (list.heads.swap_remove(at), list.entries.swap_remove(at));
        if let Some(moved) = list.entries.get(at).map(|entry| entry.slot) {
            self.places[moved as usize] = place;
        }
        if place.list != HIDDEN {
            self.count -= 1;
            if self.count == 0 {
                self.lists.clear();
                self.centres.clear();
            }
        }
        Some((head, entry))
    }

    /// The vector of a slot.
    pub(super) fn vector(&self, slot: u32) -> Vector {
        let mut numbers = [0; DIMENSIONS];
        let Place { list, at } = self.places[slot as usize];
        if list != NOWHERE.list {
            numbers[..HEAD].copy_from_slice(&self.list(list).heads[at as usize]);
            numbers[HEAD..].copy_from_slice(&self.tails[slot as usize]);
        }
        Vector::of(numbers)
    }

    /// The cosine of the angle to the vector of a slot; 0 if either has no direction.
    pub(super) fn cosine(&self, probe: &Probe, slot: u32) -> f32 {
        let Place { list, at } = self.places[slot as usize];
        if list == NOWHERE.list {
            return 0.0;
        }
        let List { heads, entries, .. } = self.list(list);
        probe.cosine(&heads[at as usize], &self.tails[slot as usize], entries[at as usize].scale)
    }

    /// Has these slots' vectors ready to be compared.
    pub(super) fn fetch(&self, slots: impl Iterator<Item = u32>) {
        let tails = slots.filter_map(|slot| self.tails.get(slot as usize));
        fetch(tails.flat_map(|tail| tail.iter().step_by(64).map(|&number| number as u8)));
    }

    /// How many vectors these lists hold.
    fn held(&self, lists: &[(f32, u32)]) -> usize {
        lists.iter().map(|&(_, list)| self.lists[list as usize].entries.len()).sum()
    }

    fn push_list(&mut self, centre: Centre) {
        self.lists.push(List::default());
        self.centres.push(centre);
    }

    /// Splits a list around two centres, and its parts again while they are too long.
    fn split(&mut self, list: usize) {
        let mut open = vec![list];
        while let Some(list) = open.pop() {
            let List { heads, entries, .. } = std::mem::take(&mut self.lists[list]);
            let (one, other) = two_centres(&heads);
            let new = self.lists.len();
            self.push_list(other);
            self.centres.set(list, one);
            let count = entries.len();
            let is_first: Vec<bool> = heads.iter().map(|head| nearer_to_first(head, &one, &other)).collect();
            let firsts = is_first.iter().filter(|&&is_first| is_first).count();
            for (part, count) in [(list, firsts), (new, count - firsts)] {
                self.lists[part].heads.reserve_exact(count);
                self.lists[part].entries.reserve_exact(count);
            }
            for ((head, entry), is_first) in heads.into_iter().zip(entries).zip(is_first) {
                self.put(if is_first { list } else { new } as u32, head, entry);
            }
            for part in [list, new] {
                let length = self.lists[part].entries.len();
                // Equal vectors cannot be told apart: their list stays long.
                if length > FULL && length < count {
                    open.push(part);
                }
            }
        }
    }

    /// Finds the `limit` nearest documents that `accept` lets through, nearest first; equal ones by their keys.
    pub(super) fn search(
        &self,
        scratch: &mut Scratch,
        probe: &Probe,
        limit: usize,
        accept: impl Fn(u32) -> bool,
        key: impl Fn(u32) -> u64,
        found: &mut Vec<Nearest>,
    ) {
        found.clear();
        if probe.is_zero() || limit == 0 {
            return;
        }
        let best_first = |a: &Nearest, b: &Nearest| {
            b.cosine.total_cmp(&a.cosine).then_with(|| (key(a.slot), a.slot).cmp(&(key(b.slot), b.slot)))
        };
        let keep_best = |best: &mut Vec<Nearest>, kept: usize| {
            if best.len() > kept {
                best.select_nth_unstable_by(kept - 1, best_first);
                best.truncate(kept);
            }
        };
        let Scratch { near, dots, best } = scratch;
        best.clear();
        near.clear();
        let wanted = probe.numbers().first_chunk::<HEAD>().copied().unwrap_or([0; HEAD]);
        if self.lists.len() > 1 {
            self.centres.around(&wanted, FOR_MANY, dots, near);
            // Where much was taken away, lists are short.
            if near.len() < self.lists.len() && self.held(near) < READ {
                near.clear();
                self.centres.around(&wanted, usize::MAX, dots, near);
            }
            let by_distance = |a: &(f32, u32), b: &(f32, u32)| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1));
            // Few lists are read; only if they are short are the others put in order as well.
            let first = NEAREST.min(near.len());
            if first < near.len() {
                near.select_nth_unstable_by(first, by_distance);
            }
            near[..first].sort_unstable_by(by_distance);
            if self.held(&near[..first]) < READ {
                near[first..].sort_unstable_by(by_distance);
            }
        } else {
            near.push((0.0, 0));
        }
        let kept = RESCORED.max(limit);
        let (mut read, mut least) = (0, f32::NEG_INFINITY);
        for &(_, list) in near.iter() {
            let Some(List { heads, entries, .. }) = self.lists.get(list as usize) else { break };
            dots_of(&wanted, heads, dots);
            for (&dot, entry) in dots.iter().zip(entries) {
                let cosine = dot as f32 * entry.scale;
                if cosine >= least && accept(entry.slot) {
                    best.push(Nearest { slot: entry.slot, cosine });
                    if best.len() >= 4 * kept {
                        keep_best(best, kept);
                        least = best.iter().map(|nearest| nearest.cosine).fold(f32::INFINITY, f32::min);
                    }
                }
            }
            read += entries.len();
            if read >= READ && self.lists.len() > 1 {
                break;
            }
        }
        keep_best(best, kept);
        self.fetch(best.iter().map(|nearest| nearest.slot));
        for nearest in best.iter_mut() {
            nearest.cosine = self.cosine(probe, nearest.slot);
        }
        keep_best(best, limit);
        best.sort_unstable_by(best_first);
        found.extend_from_slice(best);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Vectors around a few themes, so that lists have something to divide.
    fn themed(count: u32) -> Vec<Vector> {
        let mut state = 7_u64;
        let mut draw = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as i8
        };
        let themes: Vec<[i8; DIMENSIONS]> = (0..40).map(|_| std::array::from_fn(|_| draw())).collect();
        let one = |n: u32| {
            let theme = themes[n as usize % themes.len()];
            // As in the table, the first numbers tell most.
            Vector::of(std::array::from_fn(|at| ((theme[at] / 2).saturating_add(draw() / 3)) / (1 + (at / 24) as i8)))
        };
        (0..count).map(one).collect()
    }

    fn add(index: &mut Vectors, slot: u32, vector: &Vector) {
        index.keep(slot, vector);
        index.show(slot);
    }

    fn index(vectors: &[Vector]) -> Vectors {
        let mut index = Vectors::default();
        (0..).zip(vectors).for_each(|(slot, vector)| add(&mut index, slot, vector));
        index
    }

    fn found(index: &Vectors, wanted: &Vector, limit: usize) -> Vec<u32> {
        let mut found = Vec::new();
        index.search(&mut Scratch::default(), &wanted.probe(), limit, |_| true, u64::from, &mut found);
        found.iter().map(|nearest| nearest.slot).collect()
    }

    fn exactly(vectors: &[Vector], wanted: &Vector, limit: usize) -> Vec<u32> {
        let probe = wanted.probe();
        let mut all: Vec<(u32, f32)> = (0..).zip(vectors.iter().map(|vector| probe.cosine_to(vector))).collect();
        all.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        all.iter().take(limit).map(|(slot, _)| *slot).collect()
    }

    #[test]
    fn the_nearest_of_many_are_found_in_lists_too() {
        let vectors = themed(3 * FLAT as u32);
        let index = index(&vectors);
        assert!(index.lists.len() > 40, "{}", index.lists.len());
        let (mut hits, mut all) = (0, 0);
        for wanted in vectors.iter().step_by(701) {
            let exact = exactly(&vectors, wanted, 10);
            let found = found(&index, wanted, 10);
            hits += exact.iter().filter(|slot| found.contains(slot)).count();
            all += exact.len();
        }
        assert!(hits * 100 >= all * 80, "{hits} of {all}");
    }

    #[test]
    fn what_is_removed_is_not_found_and_equal_vectors_do_not_stop_a_split() {
        let mut vectors = themed(50);
        vectors.extend(vec![vectors[0].clone(); FLAT + 10]);
        let mut index = index(&vectors);
        for slot in 0..vectors.len() as u32 {
            if slot != 7 {
                index.hide(slot);
                index.forget(slot);
            }
        }
        assert_eq!(found(&index, &vectors[0], 5), [7]);
        index.hide(7);
        index.hide(7);
        assert!(found(&index, &vectors[0], 5).is_empty() && index.lists.is_empty());
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn a_small_index_answers_the_same_whatever_came_and_went(
            order in Just((0..60_u32).collect::<Vec<_>>()).prop_shuffle(),
            gone in prop::collection::btree_set(0..60_u32, 0..30),
        ) {
            let vectors = themed(60);
            let (mut one, mut other) = (Vectors::default(), Vectors::default());
            (0..60).for_each(|slot| one.keep(slot, &vectors[slot as usize]));
            (0..60).for_each(|slot| other.keep(slot, &vectors[slot as usize]));
            (0..60).filter(|slot| !gone.contains(slot)).for_each(|slot| one.show(slot));
            order.iter().for_each(|&slot| other.show(slot));
            gone.iter().for_each(|&slot| other.hide(slot));
            for (slot, vector) in (0..).zip(&vectors) {
                prop_assert_eq!(&one.vector(slot), vector);
                prop_assert_eq!(one.cosine(&vectors[7].probe(), slot), other.cosine(&vectors[7].probe(), slot));
            }
            for wanted in vectors.iter().step_by(7) {
                prop_assert_eq!(found(&one, wanted, 9), found(&other, wanted, 9));
            }
        }
    }
}
