//! Two texts held against each other word by word: has what one says its like in the other, whatever the word for it?
//!
//! A vector is one sum, in which a word that nothing answers to is lost among those that agree. Here each piece of either
//! text is aligned with the piece of the other that means the most alike. After Sultan, Bethard and Sumner, "Back to basics
//! for monolingual alignment", 2014, with the rows of the table in place of rules.

use std::sync::LazyLock;

use super::{DIMENSIONS, TABLE};

/// Leading numbers of a row that pieces are compared by.
const HEAD: usize = 64;
/// Pieces of a text that are aligned at most.
pub(super) const MOST: usize = 16;
/// The length of a row is how much its piece says; what is shorter than this (articles, punctuation) is not aligned.
const LEAST_LENGTH: f32 = 100.0;
/// The length of an ordinary row.
const USUAL_LENGTH: f32 = 280.0;

/// How much a row's piece says, 1 being ordinary, and one by the length of its head.
#[derive(Debug, Clone, Copy)]
struct Row {
    weight: f32,
    scale: f32,
}

static ROWS: LazyLock<Box<[Row]>> = LazyLock::new(|| {
    let length = |numbers: &[u8]| {
        let square: i32 = numbers.iter().map(|&byte| i32::from(byte as i8) * i32::from(byte as i8)).sum();
        (square as f32).sqrt()
    };
    let row =
        |row: &[u8; DIMENSIONS]| Row { weight: length(row) / USUAL_LENGTH, scale: 1.0 / length(&row[..HEAD]).max(1.0) };
    TABLE.as_chunks().0.iter().map(row).collect()
});

/// Whether a piece says enough to be aligned.
pub(super) fn says_something(row: u32) -> bool {
    ROWS.get(row as usize).is_some_and(|row| row.weight >= LEAST_LENGTH / USUAL_LENGTH)
}

/// How two texts are aligned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::matching) struct Alignment {
    /// How near the pieces of either text are to their likes in the other, 0 to 1; the mean of both texts.
    pub(in crate::matching) mean: f64,
    /// The piece that says the most to which nothing answers: its weight times how far its like is.
    pub(in crate::matching) alone: f64,
}

/// A text whose pieces others are aligned with.
#[derive(Debug)]
pub(in crate::matching) struct Aligner {
    /// The leading numbers of its pieces, at length 1: the first numbers of all pieces, then the second ones, and so on.
    heads: [[f32; MOST]; HEAD],
    weights: [f32; MOST],
    count: usize,
}

impl Aligner {
    /// Of a text that begins with these rows.
    pub(in crate::matching) fn new(rows: &[u16]) -> Self {
        let mut aligner = Self { heads: [[0.0; MOST]; HEAD], weights: [0.0; MOST], count: rows.len().min(MOST) };
        for (at, &row) in rows.iter().take(MOST).enumerate() {
            let Row { weight, scale } = ROWS[usize::from(row)];
            aligner.weights[at] = weight;
            for (heads, &byte) in aligner.heads.iter_mut().zip(head(row)) {
                heads[at] = f32::from(byte as i8) * scale;
            }
        }
        aligner
    }

    /// Aligns it with a text that begins with these rows; not known if either says nothing.
    pub(in crate::matching) fn align(&self, rows: impl Iterator<Item = u16>) -> Option<Alignment> {
        let mut best = [0.0_f32; MOST];
        let (mut near, mut weights, mut alone) = (0.0, 0.0, 0.0_f32);
        for row in rows.take(MOST) {
            let Row { weight, scale } = ROWS[usize::from(row)];
            let like = likeness(&self.heads, head(row), scale, &mut best);
            near += weight * like;
            weights += weight;
            alone = alone.max(weight * (1.0 - like));
        }
        let (mut own_near, mut own_weights) = (0.0, 0.0);
        for (weight, best) in self.weights.iter().zip(best).take(self.count) {
            own_near += weight * best;
            own_weights += weight;
            alone = alone.max(weight * (1.0 - best));
        }
        let is_known = weights > 0.0 && own_weights > 0.0;
        is_known.then(|| Alignment {
            mean: f64::from((near / weights + own_near / own_weights) / 2.0),
            alone: f64::from(alone),
        })
    }
}

fn head(row: u16) -> &'static [u8; HEAD] {
    TABLE[usize::from(row) * DIMENSIONS..].first_chunk().expect("a row is in the table")
}

/// How near a piece is to the nearest of all, at least 0; and to which it is the nearest so far. Written so that the
/// compiler holds many pieces against it at once; each sum is in one order, so that it is the same on every machine.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn likeness(heads: &[[f32; MOST]; HEAD], head: &[u8; HEAD], scale: f32, best: &mut [f32; MOST]) -> f32 {
    let mut sums = [0.0_f32; MOST];
    for (heads, &byte) in heads.iter().zip(head) {
        let number = f32::from(byte as i8);
        for (sum, head) in sums.iter_mut().zip(heads) {
            *sum += head * number;
        }
    }
    let mut most = 0.0_f32;
    for (sum, best) in sums.iter().zip(best) {
        let cosine = sum * scale;
        *best = if cosine > *best { cosine } else { *best };
        most = if cosine > most { cosine } else { most };
    }
    most
}

#[cfg(test)]
mod tests {
    use super::super::read;
    use super::*;

    fn align(one: &str, other: &str) -> Option<Alignment> {
        Aligner::new(&read(one, "").1).align(read(other, "").1.iter().copied())
    }

    #[test]
    fn equal_texts_are_wholly_aligned_and_nothing_is_alone() {
        let Alignment { mean, alone } =
            align("How do I unclog a drain", "how do i unclog the drain?").expect("both speak");
        assert!(mean > 0.999 && alone < 0.001, "{mean} {alone}");
    }

    #[test]
    fn a_word_that_nothing_answers_to_is_alone() {
        let (photo, toilet) = (
            align("the photo is blurred", "the picture is blurred").expect("both speak"),
            align("the toilet is blurred", "the picture is blurred").expect("both speak"),
        );
        assert!(photo.alone < toilet.alone && photo.mean > toilet.mean, "{photo:?} {toilet:?}");
    }

    #[test]
    fn it_is_the_same_from_either_side() {
        let texts = ["App crashes when I export to PDF", "exporting a pdf makes the app crash", "my card was stolen"];
        for one in texts {
            for other in texts {
                let (here, there) = (align(one, other).expect("both speak"), align(other, one).expect("both speak"));
                assert!((here.mean - there.mean).abs() < 1e-5 && (here.alone - there.alone).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn what_says_nothing_is_aligned_with_nothing() {
        assert_eq!(align("", "App crash"), None);
        assert_eq!(align("App crash", "the ?"), None);
    }
}
