//! A text as the index keeps it: the pieces that it begins with and the terms, in one piece of memory.
//!
//! A term takes five bytes: 24 bits of its number, its kind, whether it stands in the head, and 12 bits of its weight.

use super::text::Kind;

/// Term numbers are below this.
pub(super) const MOST_TERMS: u32 = 1 << 24;
/// No weight is greater than this: a saturated frequency times the root of a kind's weight.
const MOST_WEIGHT: f32 = 1.25;
const WEIGHT_STEPS: f32 = 4_095.0;

const KINDS: [Kind; 7] =
    [Kind::Function, Kind::Word, Kind::Part, Kind::Number, Kind::Facet, Kind::Identifier, Kind::Code];

/// A term of a document, in the order of the terms' keys.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct DocumentTerm {
    pub(super) id: u32,
    pub(super) weight: f32,
    pub(super) kind: Kind,
    pub(super) head: bool,
}

type Packed = [u8; 5];

fn steps(packed: &Packed) -> f32 {
    let &[.., low, high] = packed;
    f32::from(u16::from_le_bytes([low, high]) >> 4)
}

/// The term's number: three bytes of the four that are read at once.
fn id(packed: &Packed) -> u32 {
    let &[a, b, c, flags, _] = packed;
    u32::from_le_bytes([a, b, c, flags]) & (MOST_TERMS - 1)
}

fn pack(term: &DocumentTerm) -> Packed {
    let steps = (term.weight / MOST_WEIGHT * WEIGHT_STEPS).round().clamp(1.0, WEIGHT_STEPS) as u64;
    pack_steps(term, steps)
}

fn pack_steps(term: &DocumentTerm, steps: u64) -> Packed {
    let packed = u64::from(term.id) | (term.kind as u64) << 24 | u64::from(term.head) << 27 | steps << 28;
    let [a, b, c, d, e, ..] = packed.to_le_bytes();
    [a, b, c, d, e]
}

fn unpack(packed: &Packed) -> DocumentTerm {
    let flags = packed[3];
    DocumentTerm {
        id: id(packed),
        weight: steps(packed) * (MOST_WEIGHT / WEIGHT_STEPS),
        kind: KINDS[usize::from(flags & 7).min(KINDS.len() - 1)],
        head: flags & 8 != 0,
    }
}

/// The terms of a document.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms<'d> {
    packed: &'d [Packed],
    /// What makes an impact of a weight.
    factor: f32,
}

impl<'d> Terms<'d> {
    pub(super) fn len(self) -> usize {
        self.packed.len()
    }

    pub(super) fn iter(self) -> impl Iterator<Item = DocumentTerm> + use<'d> {
        self.packed.iter().map(unpack)
    }

    /// What has to be read of it for [`fetch`](super::table::fetch).
    pub(super) fn stretches(self) -> impl Iterator<Item = u8> + use<'d> {
        self.packed.as_flattened().iter().step_by(64).copied()
    }

    /// The terms' numbers and what each says about the document, 1 to 255.
    pub(super) fn impacts(self) -> impl Iterator<Item = (u32, u8)> + use<'d> {
        self.packed.iter().map(move |packed| (id(packed), impact(steps(packed), self.factor) as u8))
    }

    /// The sum of the impacts, each times the weight of its term.
    pub(super) fn worth(self, weight: impl Fn(u32) -> u32) -> u32 {
        let mut worth = 0;
        for packed in self.packed {
            let weight = weight(id(packed));
            if weight > 0 {
                worth += weight * impact(steps(packed), self.factor);
            }
        }
        worth
    }
}

fn impact(steps: f32, factor: f32) -> u32 {
    // Only positive numbers: a half more, cut off, is rounded.
    ((steps * factor + 0.5) as u32).clamp(1, 255)
}

/// The rows of the telling pieces that a text begins with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pieces<'d>(&'d [[u8; 2]]);

impl<'d> Pieces<'d> {
    pub(super) fn iter(self) -> impl Iterator<Item = u16> + use<'d> {
        self.0.iter().map(|&row| u16::from_le_bytes(row))
    }
}

/// Pieces and terms, packed.
#[derive(Debug)]
pub(super) struct Body {
    bytes: Box<[u8]>,
    pieces: u16,
    factor: f32,
}

impl Body {
    pub(super) fn new(pieces: &[u16], terms: impl ExactSizeIterator<Item = DocumentTerm>) -> Self {
        let mut bytes = vec![0; pieces.len() * 2 + terms.len() * size_of::<Packed>()].into_boxed_slice();
        let (places_of_pieces, places_of_terms) = bytes.split_at_mut(pieces.len() * 2);
        for (place, piece) in places_of_pieces.as_chunks_mut().0.iter_mut().zip(pieces) {
            *place = piece.to_le_bytes();
        }
        for (place, term) in places_of_terms.as_chunks_mut().0.iter_mut().zip(terms) {
            *place = pack(&term);
        }
        Self::of(bytes, pieces.len() as u16)
    }

    fn of(bytes: Box<[u8]>, pieces: u16) -> Self {
        let mut body = Self { bytes, pieces, factor: 0.0 };
        let square: f32 = body.terms().packed.iter().map(|packed| steps(packed) * steps(packed)).sum();
        body.factor = 255.0 / square.sqrt().max(1.0);
        body
    }

    /// A text of terms with these impacts.
    #[cfg(test)]
    pub(super) fn of_impacts(terms: &[(u32, u8)]) -> Self {
        let term = |id| DocumentTerm { id, weight: 0.0, kind: Kind::Word, head: false };
        let bytes: Vec<u8> = terms.iter().flat_map(|&(id, impact)| pack_steps(&term(id), u64::from(impact))).collect();
        Self { bytes: bytes.into(), pieces: 0, factor: 1.0 }
    }

    /// What [`Body::bytes`] gave; `None` if it cannot be that.
    pub(super) fn from_bytes(bytes: Box<[u8]>, pieces: u16) -> Option<Self> {
        let terms = bytes.get(usize::from(pieces) * 2..)?;
        (terms.len() % size_of::<Packed>() == 0).then(|| Self::of(bytes, pieces))
    }

    pub(super) fn piece_count(&self) -> u16 {
        self.pieces
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn pieces(&self) -> Pieces<'_> {
        Pieces(self.bytes[..usize::from(self.pieces) * 2].as_chunks().0)
    }

    pub(super) fn terms(&self) -> Terms<'_> {
        Terms { packed: self.bytes[usize::from(self.pieces) * 2..].as_chunks().0, factor: self.factor }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_reads_as_it_was_packed() {
        let term = |id, weight, kind, head| DocumentTerm { id, weight, kind, head };
        let terms: Vec<DocumentTerm> =
            (0..).zip(KINDS).map(|(at, kind)| term(at * 2_796_202, 0.1 + at as f32 / 6.0, kind, at % 2 == 0)).collect();
        let body = Body::new(&[3, 700, 65_535], terms.iter().copied());
        assert_eq!(body.pieces().iter().collect::<Vec<_>>(), [3, 700, 65_535]);
        for (packed, term) in body.terms().iter().zip(&terms) {
            assert!((packed.weight - term.weight).abs() < 0.000_2, "{packed:?} {term:?}");
            assert_eq!(DocumentTerm { weight: 0.0, ..packed }, DocumentTerm { weight: 0.0, ..*term });
        }
        assert_eq!(body.terms().len(), terms.len());
        let again = Body::from_bytes(body.bytes().into(), 3).expect("it was packed");
        assert!(again.terms().impacts().eq(body.terms().impacts()));
        let length = terms.iter().map(|term| term.weight * term.weight).sum::<f32>().sqrt();
        for ((id, impact), term) in body.terms().impacts().zip(&terms) {
            assert_eq!((id, u32::from(impact)), (term.id, (term.weight / length * 255.0).round() as u32));
        }
        assert!(Body::from_bytes([1, 2, 3].into(), 0).is_none() && Body::from_bytes([1, 2, 3].into(), 2).is_none());
    }
}
