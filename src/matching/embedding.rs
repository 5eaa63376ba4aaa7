//! A text's vector as another embedder than the built-in table sees it, in the form in which the table's are kept.
//!
//! An embedder may give any count of numbers. Those whose first numbers tell the most by design are asked for no more
//! than are kept. All others are turned by a fixed transform and, if there are more than are kept, 256 of the results are
//! chosen: the subsampled randomised Hadamard transform (N. Ailon, B. Chazelle, "The fast Johnson-Lindenstrauss
//! transform", 2009; J. Tropp, "Improved analysis of the subsampled randomized Hadamard transform", 2011). Up to 256
//! numbers it is a rotation, which leaves every cosine as it was; beyond, a cosine is off by some 0.06 at most places.
//! It spreads what a vector says evenly over its numbers, so that the search may look at the first of them first.
//!
//! Two vectors mean something beside each other only if one embedder made both: each names its [`Space`], and an index
//! takes those of one space.

use sha2::{Digest, Sha256};

use super::embed::{DIMENSIONS, Vector};
use super::text;

/// Bytes of a text that an embedder is given. What it is about is told by then, and small models read no more.
const MOST_SAID: usize = 2_000;
/// More numbers than any embedder gives.
const MOST_NUMBERS: usize = 1 << 16;
/// Where the signs and the choice begin. Another number would be another space.
const SEED: u64 = 0x4845_4152_4241_434b;

/// Names the embedder that made a vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Space(u64);

impl Space {
    /// The space of the embedder with this name.
    pub fn named(embedder: &str) -> Self {
        let digest = Sha256::digest(embedder.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        Self(u64::from_be_bytes(first))
    }
}

/// How the numbers of an embedder come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// The first tell the most, and no more than 256 are asked for.
    MostTellingFirst,
    /// None is before the others.
    Any,
}

/// Why numbers are no vector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// There are none, or more than 65,536.
    #[error("a vector has {0} numbers; from 1 to 65536 can be used")]
    Count(usize),
    /// One is no number.
    #[error("a vector holds a number that is not finite")]
    NotFinite,
}

/// What a text is about, as one embedder has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedding {
    space: Space,
    pub(super) vector: Vector,
}

impl Embedding {
    /// Bytes of [`Embedding::to_bytes`].
    pub const LENGTH: usize = DIMENSIONS;

    /// Brings what an embedder gave into the form that is kept.
    ///
    /// # Errors
    /// For numbers that are no vector. All zeros are one: it is near to nothing.
    pub fn of(space: Space, numbers: &[f32], order: Order) -> Result<Self, Unusable> {
        if numbers.is_empty() || numbers.len() > MOST_NUMBERS {
            return Err(Unusable::Count(numbers.len()));
        }
        if !numbers.iter().all(|number| number.is_finite()) {
            return Err(Unusable::NotFinite);
        }
        // Whatever the length was, sums stay in range.
        let largest = numbers.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
        if largest == 0.0 {
            return Ok(Self::without_direction(space));
        }
        let scaled = numbers.iter().map(|number| number / largest);
        let kept = match order {
            Order::MostTellingFirst => {
                let mut kept = [0.0; DIMENSIONS];
                kept.iter_mut().zip(scaled).for_each(|(kept, number)| *kept = number);
                kept
            }
            Order::Any => turned(scaled.collect()),
        };
        Ok(Self { space, vector: rounded(&kept) })
    }

    /// The vector of a text that says nothing.
    pub fn without_direction(space: Space) -> Self {
        Self { space, vector: Vector::of([0; DIMENSIONS]) }
    }

    /// Reads what [`Embedding::to_bytes`] wrote; `None` for anything else.
    pub fn from_bytes(space: Space, bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; DIMENSIONS] = bytes.try_into().ok()?;
        Some(Self { space, vector: Vector::of(bytes.map(|byte| byte as i8)) })
    }

    /// The vector as bytes, to be kept beside the name of its embedder.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.vector.numbers().iter().map(|&number| number as u8).collect()
    }

    /// Which embedder made it.
    pub fn space(&self) -> Space {
        self.space
    }
}

/// What an embedder is given of a report: its title and its sentences, without quotes, signatures, code and logs. Empty
/// if there are none.
pub fn said(title: &str, body: &str) -> String {
    let (title, body) = (text::read_title(title).sentences, text::read_body(body).sentences);
    let mut said = format!("{}\n{}", title.trim(), body.trim()).trim().to_owned();
    said.truncate(said.floor_char_boundary(MOST_SAID));
    said
}

fn rounded(numbers: &[f32; DIMENSIONS]) -> Vector {
    let largest = numbers.iter().fold(0.0_f32, |largest, number| largest.max(number.abs()));
    let factor = if largest > 0.0 { 127.0 / largest } else { 0.0 };
    Vector::of(numbers.map(|number| (number * factor).round() as i8))
}

/// The transform of the module's docs.
fn turned(mut numbers: Vec<f32>) -> [f32; DIMENSIONS] {
    let size = numbers.len().max(DIMENSIONS).next_power_of_two();
    numbers.resize(size, 0.0);
    let mut state = SEED;
    for some in numbers.chunks_mut(64) {
        let signs = next(&mut state);
        for (at, number) in some.iter_mut().enumerate() {
            if signs >> at & 1 == 1 {
                *number = -*number;
            }
        }
    }
    let mut half = 1;
    while half < size {
        for pair in numbers.chunks_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (left, right) in left.iter_mut().zip(right) {
                (*left, *right) = (*left + *right, *left - *right);
            }
        }
        half *= 2;
    }
    // The first of a shuffled deck.
    for at in 0..DIMENSIONS {
        let left = (size - at) as u64;
        numbers.swap(at, at + (next(&mut state) % left) as usize);
    }
    std::array::from_fn(|at| numbers[at])
}

/// The next number of a fixed sequence (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    fn space() -> Space {
        Space::named("a model")
    }

    fn drawn(seed: u64, count: usize) -> Vec<f32> {
        let mut state = seed;
        (0..count).map(|_| (next(&mut state) >> 40) as f32 / (1 << 23) as f32 - 1.0).collect()
    }

    fn cosine(one: &[f32], other: &[f32]) -> f32 {
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        dot(one, other) / (dot(one, one) * dot(other, other)).sqrt()
    }

    fn kept_cosine(one: &[f32], other: &[f32], order: Order) -> f32 {
        let of = |numbers| Embedding::of(space(), numbers, order).unwrap().vector;
        of(one).probe().cosine_to(&of(other))
    }

    /// Two vectors with some of a third in both.
    fn relatives(count: usize, common: f32) -> (Vec<f32>, Vec<f32>) {
        let shared = drawn(1, count);
        let mix = |own: Vec<f32>| own.iter().zip(&shared).map(|(own, shared)| own + common * shared).collect();
        (mix(drawn(2, count)), mix(drawn(3, count)))
    }

    #[test]
    fn few_numbers_keep_their_cosines() {
        for count in [1, 2, 3, 100, 255, 256] {
            for common in [0.0, 0.5, 2.0] {
                let (one, other) = relatives(count, common);
                for order in [Order::Any, Order::MostTellingFirst] {
                    let (before, after) = (cosine(&one, &other), kept_cosine(&one, &other, order));
                    assert!((before - after).abs() < 0.02, "{count} {order:?}: {before} {after}");
                }
            }
        }
    }

    #[test]
    fn many_numbers_nearly_keep_their_cosines() {
        for count in [257, 384, 768, 1536, 3072] {
            for common in [0.0, 0.5, 1.0, 3.0] {
                let (one, other) = relatives(count, common);
                let (before, after) = (cosine(&one, &other), kept_cosine(&one, &other, Order::Any));
                assert!((before - after).abs() < 0.15, "{count}: {before} {after}");
            }
        }
    }

    #[test]
    fn one_number_that_outshines_the_others_is_spread() {
        let mut numbers = drawn(5, 384);
        numbers[300] = 40.0;
        let kept = Embedding::of(space(), &numbers, Order::Any).unwrap();
        let large = kept.vector.numbers().iter().filter(|number| number.unsigned_abs() > 60).count();
        assert!(large > 100, "{large}");
    }

    #[test]
    fn lengths_do_not_matter_and_extremes_do_no_harm() {
        let numbers = drawn(9, 384);
        let of = |factor: f32| {
            let scaled: Vec<f32> = numbers.iter().map(|number| number * factor).collect();
            Embedding::of(space(), &scaled, Order::Any).unwrap()
        };
        assert_eq!(of(1.0), of(1024.0));
        assert!(!of(f32::MAX / 2.0).vector.is_zero() && !of(1e-38).vector.is_zero());
    }

    #[test]
    fn what_is_no_vector_is_refused() {
        let of = |numbers: &[f32]| Embedding::of(space(), numbers, Order::Any);
        assert_eq!(of(&[]), Err(Unusable::Count(0)));
        assert_eq!(of(&vec![1.0; MOST_NUMBERS + 1]), Err(Unusable::Count(MOST_NUMBERS + 1)));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            assert_eq!(of(&[1.0, bad]), Err(Unusable::NotFinite));
        }
        assert_eq!(of(&[0.0; 8]), Ok(Embedding::without_direction(space())));
    }

    #[test]
    fn what_is_written_is_read() {
        let one = Embedding::of(space(), &drawn(4, 384), Order::Any).unwrap();
        assert_eq!(Embedding::from_bytes(space(), &one.to_bytes()), Some(one.clone()));
        assert_eq!(one.to_bytes().len(), Embedding::LENGTH);
        assert_eq!(Embedding::from_bytes(space(), &one.to_bytes()[1..]), None);
    }

    /// Vectors are kept in databases: when this fails, the names of all embedders must change with it.
    #[test]
    fn the_transform_stays_as_it_is() {
        let kept = Embedding::of(space(), &drawn(7, 384), Order::Any).unwrap();
        assert_eq!(&kept.vector.numbers()[..8], &PINNED);
    }

    const PINNED: [i8; 8] = [51, -2, -36, 19, 1, -62, -58, 97];

    #[test]
    fn an_embedder_is_given_what_the_customer_wrote() {
        let said = said("Re: Export fails", "Hi,\nthe export fails since Monday.\n\n> You wrote:\n> hello\n");
        assert!(said.starts_with("Export fails\n") && said.contains("since Monday"), "{said}");
        assert!(!said.contains("You wrote"), "{said}");
        assert_eq!(super::said("", "  "), "");
        assert!(super::said("ü".repeat(3_000).as_str(), "").len() <= MOST_SAID);
    }
}
