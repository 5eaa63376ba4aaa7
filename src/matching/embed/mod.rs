//! What a text is about, as a direction: texts of one meaning point the same way, whatever their words.
//!
//! A static table has a row for every piece of a word ([`pieces`]); a text's vector is the sum of its pieces' rows. It
//! is kept as 256 bytes and a length. Sums are in whole numbers, so a vector is the same on every machine.
//!
//! Where the table came from, and under which licence, is told in `NOTICE.md` beside it.

mod align;
mod pieces;

use std::sync::LazyLock;

use pieces::Pieces;

pub(super) use align::Aligner;

/// Numbers of a vector.
pub(super) const DIMENSIONS: usize = 256;
/// Pieces read of a title, and of the prose of a body. What a text is about is told by then.
const MOST_OF_TITLE: usize = 128;
const MOST_OF_BODY: usize = 128;
/// With fewer telling pieces a title leaves the word to the body.
const FEW_PIECES: usize = 4;
/// How much longer than the title's sum the body's may be: the more a body says, the less it says it of one thing.
const BODY_SHARE: f32 = 0.7;
/// Both together may be this long, though: a title whose rows are short says little, and leaves the word to the body. Of a
/// tracker's titles one in a hundred is shorter than 450, and half are longer than 760; "Question" is 120.
const ROOM: f32 = 1_000.0;

static TABLE: &[u8] = include_bytes!("table.bin");
static PIECES: LazyLock<Pieces> = LazyLock::new(|| Pieces::new(include_str!("vocabulary.txt")));

/// Whether the table has such a row.
pub(super) fn has_row(row: u16) -> bool {
    usize::from(row) < TABLE.len() / DIMENSIONS
}

/// The words that have a row of their own, the most common ones mostly first.
pub(super) fn vocabulary() -> impl Iterator<Item = &'static str> {
    include_str!("vocabulary.txt").lines()
}

/// A number for the table and its vocabulary.
pub(super) fn checksum() -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(TABLE);
    hasher.update(include_bytes!("vocabulary.txt"));
    hasher.finalize()
}

/// A direction, rounded to bytes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Vector {
    numbers: [i8; DIMENSIONS],
    /// One by the length of `numbers`; 0 for a text without direction.
    scale: f32,
}

/// A vector that is compared with many.
#[derive(Debug, Clone)]
pub(super) struct Probe {
    numbers: [i16; DIMENSIONS],
    scale: f32,
}

/// The rows of a text's pieces, in their order.
struct Rows {
    rows: [u32; MOST_PIECES],
    count: usize,
}

/// The rows of a text, added up.
#[derive(Debug, Clone)]
struct Sum {
    numbers: [i16; DIMENSIONS],
    count: usize,
}

/// Pieces that can be added up without overflow.
const MOST_PIECES: usize = 255;
/// Added to a number, this leaves it rounded in the lowest bits.
const ROUNDS: f32 = 12_582_912.0;

fn round(number: f32) -> i32 {
    ((number + ROUNDS).to_bits() as i32).wrapping_sub(ROUNDS.to_bits() as i32)
}

/// What a report is about: its title, and the sentences of its body as far as they do not drown the title. And the rows
/// of the telling pieces that it begins with, to be aligned with others: the title's, and if those are few the body's.
pub(super) fn read(title: &str, body: &str) -> (Vector, Box<[u16]>) {
    let (title, body) = (Rows::of(title, MOST_OF_TITLE), Rows::of(body, MOST_OF_BODY));
    let title_says = title.telling().count();
    let begins = title.telling().chain(body.telling().filter(|_| title_says < FEW_PIECES));
    (vector_of(&Sum::of(&title), &Sum::of(&body)), begins.take(align::MOST).collect())
}

fn vector_of(title: &Sum, body: &Sum) -> Vector {
    if body.count == 0 {
        return title.vector();
    }
    let (title_length, body_length) = (title.length(), body.length());
    let most = (BODY_SHARE * title_length).max(ROOM - title_length);
    let share = if title_length > 0.0 && body_length > most { most / body_length } else { 1.0 };
    let mut both = [0; DIMENSIONS];
    for (both, (title, body)) in both.iter_mut().zip(title.numbers.iter().zip(&body.numbers)) {
        *both = i32::from(*title) + round(f32::from(*body) * share);
    }
    direction(&both)
}

/// The direction of a sum.
fn direction(sum: &[i32; DIMENSIONS]) -> Vector {
    let largest = sum.iter().map(|number| number.abs()).max().unwrap_or(0);
    if largest == 0 {
        return Vector::of([0; DIMENSIONS]);
    }
    let factor = 127.0 / largest as f32;
    Vector::of(sum.map(|number| round(number as f32 * factor) as i8))
}

impl Rows {
    /// The rows of a text's first pieces. All are known before the first is read: the processor then waits for many of
    /// them at once.
    fn of(text: &str, most: usize) -> Self {
        let most = most.min(MOST_PIECES);
        let mut rows = Self { rows: [0; MOST_PIECES], count: 0 };
        if most > 0 {
            PIECES.read(text, |row| {
                rows.rows[rows.count] = row;
                rows.count += 1;
                rows.count < most
            });
        }
        rows
    }

    fn all(&self) -> &[u32] {
        &self.rows[..self.count]
    }

    /// Those that say something.
    fn telling(&self) -> impl Iterator<Item = u16> {
        // A test has looked at the number of rows.
        self.all().iter().filter(|&&row| align::says_something(row)).map(|&row| row as u16)
    }
}

impl Sum {
    /// Adds up rows.
    fn of(rows: &Rows) -> Self {
        let mut sum = Self { numbers: [0; DIMENSIONS], count: rows.count };
        add_rows(rows.all(), &mut sum.numbers);
        sum
    }

    fn length(&self) -> f32 {
        // In eight sums, which the processor adds up side by side.
        let mut squares = [0.0_f32; 8];
        for eight in self.numbers.chunks_exact(8) {
            for (square, &number) in squares.iter_mut().zip(eight) {
                *square += f32::from(number) * f32::from(number);
            }
        }
        squares.iter().sum::<f32>().sqrt()
    }

    fn vector(&self) -> Vector {
        direction(&self.numbers.map(i32::from))
    }
}

impl Vector {
    /// The vector of these numbers.
    pub(super) fn of(numbers: [i8; DIMENSIONS]) -> Self {
        let square: i32 = numbers.iter().map(|&number| i32::from(number) * i32::from(number)).sum();
        Self { numbers, scale: if square == 0 { 0.0 } else { (1.0 / f64::from(square).sqrt()) as f32 } }
    }

    /// Its numbers.
    pub(super) fn numbers(&self) -> &[i8; DIMENSIONS] {
        &self.numbers
    }

    /// One by its length; 0 if it has none.
    pub(super) fn scale(&self) -> f32 {
        self.scale
    }

    /// The signs of the first numbers, which say the most: the same for texts that point nearly the same way.
    pub(super) fn signs(&self) -> u64 {
        self.numbers.iter().take(64).fold(0, |signs, &number| signs << 1 | u64::from(number > 0))
    }

    /// Whether the text has no piece that the table knows.
    pub(super) fn is_zero(&self) -> bool {
        self.scale == 0.0
    }

    /// Prepares it to be compared with many.
    pub(super) fn probe(&self) -> Probe {
        Probe { numbers: self.numbers.map(i16::from), scale: self.scale }
    }
}

impl Probe {
    /// Its numbers.
    pub(super) fn numbers(&self) -> &[i16; DIMENSIONS] {
        &self.numbers
    }

    /// Whether it points nowhere.
    pub(super) fn is_zero(&self) -> bool {
        self.scale == 0.0
    }

    /// The cosine of the angle to a vector, which is told by its leading numbers, the others and one by its length; 0 if
    /// either has no direction.
    pub(super) fn cosine<const N: usize, const M: usize>(&self, head: &[i8; N], tail: &[i8; M], scale: f32) -> f32 {
        const { assert!(N + M == DIMENSIONS && N.is_multiple_of(16)) };
        dot(&self.numbers, head, tail) as f32 * self.scale * scale
    }

    /// The cosine of the angle to a whole vector.
    #[cfg(test)]
    pub(super) fn cosine_to(&self, other: &Vector) -> f32 {
        self.cosine(&other.numbers, &[], other.scale)
    }
}

/// Numbers of a row that are added up at a time: as many as stay in registers.
const PART: usize = 64;

/// Adds up rows of the table. Written so that the compiler adds many numbers at once, by the widest registers that the
/// processor has.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn add_rows(rows: &[u32], sums: &mut [i16; DIMENSIONS]) {
    let (parts, _) = TABLE.as_chunks::<PART>();
    for (at, sums) in sums.as_chunks_mut::<PART>().0.iter_mut().enumerate() {
        let mut added = [0; PART];
        for &row in rows {
            let Some(part) = parts.get(row as usize * (DIMENSIONS / PART) + at) else { continue };
            for (sum, &byte) in added.iter_mut().zip(part) {
                *sum += i16::from(byte as i8);
            }
        }
        *sums = added;
    }
}

/// Written so that the compiler multiplies many numbers at once, by the widest registers that the processor has.
#[multiversion::multiversion(targets("x86_64+avx2"))]
fn dot(one: &[i16; DIMENSIONS], head: &[i8], tail: &[i8]) -> i32 {
    let (first, rest) = one.split_at(head.len());
    let mut sums = [0; 16];
    for (one, other) in [(first, head), (rest, tail)] {
        // Heads and tails are of whole sixteens.
        for (one, other) in one.as_chunks::<16>().0.iter().zip(other.as_chunks::<16>().0) {
            for (sum, (&a, &b)) in sums.iter_mut().zip(one.iter().zip(other)) {
                *sum += i32::from(a) * i32::from(i16::from(b));
            }
        }
    }
    sums.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cosine(one: &str, other: &str) -> f32 {
        read(one, "").0.probe().cosine_to(&read(other, "").0)
    }

    #[test]
    fn texts_of_one_meaning_point_the_same_way() {
        let near = cosine("I cannot sign in with my password", "login fails, it says wrong credentials");
        let far = cosine("I cannot sign in with my password", "the printer prints blank pages");
        assert!(near > far + 0.1, "{near} {far}");
        assert!(cosine("App crashes", "app CRASHES") > 0.999);
        assert!(cosine("my acct has a wrogn balence", "my account has a wrong balance") > 0.999);
    }

    #[test]
    fn a_long_body_does_not_drown_its_title() {
        let body = "Every time the nightly job runs, the queue grows and the worker stops. ".repeat(20);
        let with_body = read("Invoice shows the wrong tax", &body).0.probe();
        assert!(with_body.cosine_to(&read("Invoice shows the wrong tax", "").0) > 0.6);
    }

    #[test]
    fn a_text_without_known_pieces_points_nowhere() {
        let nothing = read("", "\u{1f9ff}\u{1f9ff}").0;
        assert!(nothing.is_zero());
        assert_eq!(nothing.probe().cosine_to(&read("crash", "").0), 0.0);
    }

    #[test]
    fn every_row_has_its_piece() {
        let longest = include_str!("vocabulary.txt").lines().map(|line| line.trim_start_matches("##").len()).max();
        assert!(longest <= Some(super::super::text::Key::LONGEST), "{longest:?}");
        assert_eq!(TABLE.len() % DIMENSIONS, 0);
        assert!(TABLE.len() / DIMENSIONS <= 1 << 16, "a row is told by 16 bits");
        assert_eq!(include_str!("vocabulary.txt").lines().count(), TABLE.len() / DIMENSIONS);
    }
}
