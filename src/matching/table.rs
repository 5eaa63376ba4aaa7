//! Tables that grow a little at a time: nothing large is copied while a report waits, and little room stays empty.
//!
//! [`Rows`] are kept by number, [`Numbers`] find a number by the hash of what it stands for, and a [`Map`] is both. A few
//! things of which there is mostly one are [`Few`].

use std::hash::{BuildHasher as _, Hash};
use std::ops::{Deref, Index, IndexMut};

use rustc_hash::FxBuildHasher;

/// Rows of a piece.
const PIECE: usize = 1 << PIECE_BITS;
const PIECE_BITS: u32 = 10;

/// Rows by number, in pieces of equal length.
#[derive(Debug)]
pub(super) struct Rows<T> {
    pieces: Vec<Vec<T>>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { pieces: Vec::new() }
    }
}

impl<T> Rows<T> {
    pub(super) fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| ((self.pieces.len() - 1) << PIECE_BITS) + last.len())
    }

    pub(super) fn push(&mut self, row: T) {
        match self.pieces.last_mut() {
            Some(last) if last.len() < PIECE => last.push(row),
            // The first piece grows as it must: most tenants are small.
            None => self.pieces.push(vec![row]),
            Some(_) => {
                let mut piece = Vec::with_capacity(PIECE);
                piece.push(row);
                self.pieces.push(piece);
            }
        }
    }

    pub(super) fn get(&self, at: usize) -> Option<&T> {
        self.pieces.get(at >> PIECE_BITS)?.get(at & (PIECE - 1))
    }

    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        self.pieces.get_mut(at >> PIECE_BITS)?.get_mut(at & (PIECE - 1))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten()
    }

    /// Puts a row under a number that may be the next one.
    pub(super) fn set(&mut self, at: usize, row: T) {
        match self.get_mut(at) {
            Some(place) => *place = row,
            None => self.push(row),
        }
    }
}

impl<T> Index<usize> for Rows<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        &self.pieces[at >> PIECE_BITS][at & (PIECE - 1)]
    }
}

impl<T> IndexMut<usize> for Rows<T> {
    #[inline]
    fn index_mut(&mut self, at: usize) -> &mut T {
        &mut self.pieces[at >> PIECE_BITS][at & (PIECE - 1)]
    }
}

/// Numbers by the hashes of what they stand for. The one who asks compares what they stand for.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    /// The upper half of a hash and one more than the number; 0 where nothing is.
    places: Vec<u64>,
    count: usize,
}

impl Numbers {
    fn home(&self, place: u64) -> usize {
        (((place >> 32) * self.places.len() as u64) >> 32) as usize
    }

    fn after(&self, at: usize) -> usize {
        if at + 1 == self.places.len() { 0 } else { at + 1 }
    }

    /// The numbers that may be meant by a hash.
    pub(super) fn all(&self, hash: u64) -> impl Iterator<Item = u32> {
        let mut at = self.home(hash);
        std::iter::from_fn(move || {
            let place = self.places.get(at).copied().filter(|&place| place != 0)?;
            at = self.after(at);
            Some(place)
        })
        .filter(move |place| place >> 32 == hash >> 32)
        .map(|place| place as u32 - 1)
    }

    /// The first number by a hash that `is` what was looked for.
    pub(super) fn find(&self, hash: u64, is: impl Fn(u32) -> bool) -> Option<u32> {
        self.all(hash).find(|&number| is(number))
    }

    /// Adds a number; it may be there already.
    pub(super) fn insert(&mut self, hash: u64, number: u32) {
        if (self.count + 1) * 5 > self.places.len() * 4 {
            self.resize(self.places.len() + self.places.len() / 4 + 8);
        }
        self.count += 1;
        self.put(hash >> 32 << 32 | u64::from(number + 1));
    }

    /// Makes room for so many at once.
    pub(super) fn reserve(&mut self, count: usize) {
        let length = count + count / 3 + 8;
        if length > self.places.len() {
            self.resize(length);
        }
    }

    fn put(&mut self, place: u64) {
        let mut at = self.home(place);
        while self.places[at] != 0 {
            at = self.after(at);
        }
        self.places[at] = place;
    }

    fn resize(&mut self, length: usize) {
        let old = std::mem::replace(&mut self.places, vec![0; length]);
        old.into_iter().filter(|&place| place != 0).for_each(|place| self.put(place));
    }

    /// Takes a number out once. One that is not there is left alone.
    pub(super) fn remove(&mut self, hash: u64, number: u32) {
        let wanted = hash >> 32 << 32 | u64::from(number + 1);
        if self.places.is_empty() {
            return;
        }
        let mut at = self.home(hash);
        while self.places[at] != wanted {
            if self.places[at] == 0 {
                return;
            }
            at = self.after(at);
        }
        self.count -= 1;
        // Those behind move up, unless they are at home already.
        let (mut gap, mut next) = (at, self.after(at));
        while self.places[next] != 0 {
            let home = self.home(self.places[next]);
            let is_between = if gap <= next { gap < home && home <= next } else { gap < home || home <= next };
            if !is_between {
                self.places[gap] = self.places[next];
                gap = next;
            }
            next = self.after(next);
        }
        self.places[gap] = 0;
        if self.count * 4 < self.places.len() && self.places.len() > 64 {
            self.resize(self.places.len() / 2);
        }
    }
}

/// A map whose entries have numbers, which stay the same as long as they are in it.
#[derive(Debug)]
pub(super) struct Map<K, V> {
    numbers: Numbers,
    rows: Rows<Option<(K, V)>>,
    free: Vec<u32>,
}

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self { numbers: Numbers::default(), rows: Rows::default(), free: Vec::new() }
    }
}

/// A hash with well mixed upper bits.
pub(super) fn hash_of(key: &impl Hash) -> u64 {
    let hash = FxBuildHasher.hash_one(key);
    (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl<K: Copy + Eq + Hash, V> Map<K, V> {
    pub(super) fn len(&self) -> usize {
        self.rows.len() - self.free.len()
    }

    /// Makes room for so many at once.
    pub(super) fn reserve(&mut self, count: usize) {
        self.numbers.reserve(count);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (K, &V)> {
        self.rows.iter().flatten().map(|(key, value)| (*key, value))
    }

    /// The number of a key.
    pub(super) fn number(&self, key: K) -> Option<u32> {
        let is = |number: u32| self.rows[number as usize].as_ref().is_some_and(|(other, _)| *other == key);
        self.numbers.find(hash_of(&key), is)
    }

    /// The entry of a number.
    pub(super) fn at(&self, number: u32) -> Option<(K, &V)> {
        self.rows.get(number as usize)?.as_ref().map(|(key, value)| (*key, value))
    }

    /// The value of a number.
    pub(super) fn at_mut(&mut self, number: u32) -> Option<&mut V> {
        self.rows.get_mut(number as usize)?.as_mut().map(|(_, value)| value)
    }

    pub(super) fn get(&self, key: K) -> Option<&V> {
        Some(self.at(self.number(key)?)?.1)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut V> {
        self.at_mut(self.number(key)?)
    }

    /// The number and value of a key, after `first` if it was not there.
    pub(super) fn entry(&mut self, key: K, first: impl FnOnce() -> V) -> (u32, &mut V) {
        let number = self.number(key).unwrap_or_else(|| {
            let number = self.free.pop().unwrap_or(self.rows.len() as u32);
            self.rows.set(number as usize, Some((key, first())));
            self.numbers.insert(hash_of(&key), number);
            number
        });
        let (_, value) = self.rows[number as usize].as_mut().expect("it was found or put there just now");
        (number, value)
    }

    pub(super) fn remove(&mut self, key: K) -> Option<(u32, V)> {
        let number = self.number(key)?;
        self.numbers.remove(hash_of(&key), number);
        self.free.push(number);
        let (_, value) = self.rows[number as usize].take()?;
        Some((number, value))
    }
}

/// A few things in a row; one of them needs no memory of its own.
#[derive(Debug, Default)]
pub(super) enum Few<T> {
    #[default]
    None,
    One(T),
    // A vector itself would make the whole larger.
    #[allow(clippy::box_collection)]
    Many(Box<Vec<T>>),
}

impl<T> From<Vec<T>> for Few<T> {
    fn from(mut things: Vec<T>) -> Self {
        match things.len() {
            0 => Self::None,
            1 => things.pop().map_or(Self::None, Self::One),
            _ => {
                things.shrink_to_fit();
                Self::Many(Box::new(things))
            }
        }
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

impl<T> Few<T> {
    pub(super) fn as_mut(&mut self) -> &mut [T] {
        match self {
            Self::None => &mut [],
            Self::One(one) => std::slice::from_mut(one),
            Self::Many(many) => many,
        }
    }

    pub(super) fn insert(&mut self, at: usize, new: T) {
        *self = match std::mem::take(self) {
            Self::None => Self::One(new),
            Self::One(one) => Self::Many(Box::new(if at == 0 { vec![new, one] } else { vec![one, new] })),
            Self::Many(mut many) => {
                many.insert(at, new);
                Self::Many(many)
            }
        };
    }

    /// Takes one out that is there.
    pub(super) fn remove(&mut self, at: usize) -> T {
        let (rest, gone) = match std::mem::take(self) {
            Self::None => unreachable!("nothing can be taken out of nothing"),
            Self::One(one) => (Self::None, one),
            Self::Many(mut many) => {
                let gone = many.remove(at);
                match (many.len(), many.pop()) {
                    (1, Some(last)) => (Self::One(last), gone),
                    (_, last) => {
                        many.extend(last);
                        (Self::Many(many), gone)
                    }
                }
            }
        };
        *self = rest;
        gone
    }
}

/// Reads what lies anywhere in memory, a byte of each stretch that the processor fetches at once: it then waits for all of
/// them together and not for one after the other.
pub(super) fn fetch(bytes: impl Iterator<Item = u8>) {
    std::hint::black_box(bytes.fold(0, |all, byte| all ^ byte));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_map_holds_what_a_map_holds(steps in prop::collection::vec((0_u32..200, any::<bool>()), 0..900)) {
            let (mut map, mut model) = (Map::default(), BTreeMap::new());
            for (at, (key, comes)) in steps.into_iter().enumerate() {
                if comes {
                    let (number, value) = map.entry(key, || at);
                    prop_assert_eq!(*value, *model.entry(key).or_insert(at));
                    prop_assert_eq!(map.at(number).map(|(key, _)| key), Some(key));
                } else {
                    prop_assert_eq!(map.remove(key).map(|(_, value)| value), model.remove(&key));
                }
                prop_assert_eq!(map.len(), model.len());
            }
            for key in 0..200 {
                prop_assert_eq!(map.get(key), model.get(&key));
            }
        }

        #[test]
        fn a_few_are_as_a_vector(steps in prop::collection::vec((any::<u8>(), any::<bool>()), 0..60)) {
            let (mut few, mut model) = (Few::default(), Vec::new());
            for (value, comes) in steps {
                let at = usize::from(value) % (model.len() + 1);
                if comes {
                    few.insert(at, value);
                    model.insert(at, value);
                } else if at < model.len() {
                    prop_assert_eq!(few.remove(at), model.remove(at));
                }
                prop_assert_eq!(&*few, &model[..]);
            }
        }
    }

    #[test]
    fn numbers_of_one_hash_are_all_found() {
        let mut numbers = Numbers::default();
        (0..100).for_each(|number| numbers.insert(7 << 40, number));
        (0..100).step_by(2).for_each(|number| numbers.remove(7 << 40, number));
        let mut found: Vec<u32> = numbers.all(7 << 40).collect();
        found.sort_unstable();
        assert_eq!(found, (0..100).filter(|number| number % 2 == 1).collect::<Vec<_>>());
        assert_eq!(numbers.find(8 << 40, |_| true), None);
    }
}
