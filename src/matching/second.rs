//! A second space beside the table's: vectors of the same texts by another embedder.
//!
//! Every text always has the table's vector, at once and without fail. Those of another embedder come with the report
//! or later, some never. So that there is no moment without candidates, and no cosine across two spaces, each search
//! goes wholly by one of the two: by the second if the text that is looked for has a vector there, if no more
//! than one in [`LACKING`] shown documents lacks one (or a single one), and if a [`Scale`] is known; else by the table. A document that
//! lacks a vector is then found by its words alone, and its cosine is taken to be the middle of those that the others
//! found by words have: nobody measured it, so it neither gains nor loses by it.
//!
//! The judge learned from the table's cosines, and another embedder's lie elsewhere: some call two strangers 0.7. A
//! [`Scale`] brings them to where the table's lie. That is an approximation: it makes mean and deviation the same, not
//! the shape, and knows nothing of who is right; what is left over the tenant's calibration learns from people's answers.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::embed::{Probe, Vector};
use super::embedding::{Embedding, Space};
use super::signature::Signature;
use super::vectors::{self, Nearest, Vectors};
use crate::domain::id::ReportId;

/// One in so many shown documents may lack a vector.
const LACKING: usize = 50;
/// Shown documents from which on cosines can be compared with the table's.
pub(super) const LEAST_SHOWN: usize = 32;
/// Documents whose neighbours are looked at to find the scale, and how many of those in each space.
pub(super) const SAMPLED: usize = 64;
pub(super) const NEIGHBOURS: usize = 8;
/// Fewer pairs say nothing.
const LEAST_PAIRS: usize = 64;
/// Cosines that are all the same tell nothing apart.
const LEAST_DEVIATION: f64 = 0.005;
/// A scale stretches or shrinks no more than this.
const MOST_SLOPE: f64 = 4.0;

/// Names a text, as the index does: by its signature and its words.
pub(super) type TextName = (Signature, u64);

/// Brings the cosines of one space to where those of the table lie: an affine map.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    slope: f64,
    offset: f64,
}

impl Scale {
    /// The scale by which these pairs have the mean and the deviation that they have in the table's space. Each is the
    /// cosine of two documents, in the second space and in the table's. `None` if they say too little.
    pub(super) fn fit(pairs: &[(f32, f32)]) -> Option<Self> {
        if pairs.len() < LEAST_PAIRS {
            return None;
        }
        let count = pairs.len() as f64;
        let moments = |of: fn(&(f32, f32)) -> f32| {
            let mean = pairs.iter().map(|pair| f64::from(of(pair))).sum::<f64>() / count;
            let square = pairs.iter().map(|pair| (f64::from(of(pair)) - mean).powi(2)).sum::<f64>() / count;
            (mean, square.sqrt())
        };
        let ((mean, deviation), (wanted_mean, wanted_deviation)) = (moments(|pair| pair.0), moments(|pair| pair.1));
        if deviation < LEAST_DEVIATION {
            return None;
        }
        let slope = (wanted_deviation / deviation).clamp(1.0 / MOST_SLOPE, MOST_SLOPE);
        Some(Self { slope, offset: wanted_mean - slope * mean })
    }

    /// A cosine of the second space as it would be in the table's.
    pub(super) fn apply(self, cosine: f32) -> f32 {
        (self.slope * f64::from(cosine) + self.offset).clamp(-1.0, 1.0) as f32
    }
}

/// A text whose words the index keeps.
#[derive(Debug)]
struct Kept {
    /// Documents that have it.
    holders: u32,
    /// A report that said it when it came; it may have gone since.
    report: ReportId,
    vector: Option<Arc<Vector>>,
    /// Where documents with it are shown, and their places among equals.
    slots: Vec<(u32, u64)>,
}

/// The vectors of one embedder, for the texts that the index keeps.
#[derive(Debug)]
pub(super) struct SecondSpace {
    space: Space,
    texts: FxHashMap<TextName, Kept>,
    /// Of the texts, those without a vector.
    lacking: usize,
    /// The vectors of shown documents, by slot.
    by_slot: Vec<Option<Arc<Vector>>>,
    shown: usize,
    shown_lacking: usize,
    vectors: Vectors,
    scale: Option<Scale>,
    /// How many were shown when the scale was fitted.
    fitted_at: usize,
}

impl SecondSpace {
    /// Nothing of this space is known yet.
    pub(super) fn new(space: Space) -> Self {
        Self {
            space,
            texts: FxHashMap::default(),
            lacking: 0,
            by_slot: Vec::new(),
            shown: 0,
            shown_lacking: 0,
            vectors: Vectors::default(),
            scale: None,
            fitted_at: 0,
        }
    }

    /// A document with this text is kept from now on.
    pub(super) fn keep(&mut self, name: TextName, report: ReportId) {
        let lacking = &mut self.lacking;
        let kept = self.texts.entry(name).or_insert_with(|| {
            *lacking += 1;
            Kept { holders: 0, report, vector: None, slots: Vec::new() }
        });
        kept.holders += 1;
    }

    /// One document with this text is not kept any more.
    pub(super) fn release(&mut self, name: TextName) {
        let Some(kept) = self.texts.get_mut(&name) else { return };
        kept.holders -= 1;
        if kept.holders == 0 {
            self.lacking -= usize::from(kept.vector.is_none());
            self.texts.remove(&name);
        }
    }

    /// Takes a text's vector, if the text is kept and lacks one and the vector is of this space.
    pub(super) fn give(&mut self, name: TextName, embedding: &Embedding) {
        let Some(kept) = self.texts.get_mut(&name) else { return };
        if kept.vector.is_some() || embedding.space() != self.space {
            return;
        }
        let vector = Arc::new(embedding.vector.clone());
        kept.vector = Some(Arc::clone(&vector));
        self.lacking -= 1;
        for &(slot, _) in &kept.slots {
            self.vectors.keep(slot, &vector);
            self.vectors.show(slot);
            self.by_slot[slot as usize] = Some(Arc::clone(&vector));
            self.shown_lacking -= 1;
        }
    }

    /// A kept document is shown in a slot.
    pub(super) fn show(&mut self, name: TextName, slot: u32, order: u64) {
        let Some(kept) = self.texts.get_mut(&name) else { return };
        kept.slots.push((slot, order));
        self.shown += 1;
        if self.by_slot.len() <= slot as usize {
            self.by_slot.resize(slot as usize + 1, None);
        }
        match &kept.vector {
            Some(vector) => {
                self.vectors.keep(slot, vector);
                self.vectors.show(slot);
                self.by_slot[slot as usize] = Some(Arc::clone(vector));
            }
            None => self.shown_lacking += 1,
        }
    }

    /// The exact inverse of [`SecondSpace::show`].
    pub(super) fn hide(&mut self, name: TextName, slot: u32) {
        let Some(kept) = self.texts.get_mut(&name) else { return };
        kept.slots.retain(|&(other, _)| other != slot);
        self.shown -= 1;
        if self.by_slot[slot as usize].take().is_none() {
            self.shown_lacking -= 1;
        }
        self.vectors.forget(slot);
    }

    /// How many texts lack a vector.
    pub(super) fn lacking_count(&self) -> usize {
        self.lacking
    }

    /// The texts that lack a vector, each with a report that said it.
    pub(super) fn lacking(&self) -> Vec<(TextName, ReportId)> {
        if self.lacking == 0 {
            return Vec::new();
        }
        let lacking = self.texts.iter().filter(|(_, kept)| kept.vector.is_none());
        lacking.map(|(&name, kept)| (name, kept.report)).collect()
    }

    /// Whether nearly all shown documents have a vector.
    fn is_nearly_whole(&self) -> bool {
        self.shown_lacking <= (self.shown / LACKING).max(1)
    }

    /// What to look for here: `None` where the table's space has to do.
    pub(super) fn probe(&self, embedding: Option<&Embedding>) -> Option<Probe> {
        let embedding = embedding.filter(|embedding| embedding.space() == self.space)?;
        (self.scale.is_some() && self.is_nearly_whole()).then(|| embedding.vector.probe())
    }

    /// A shown document's vector, to be compared with others.
    pub(super) fn probe_of(&self, slot: u32) -> Option<Probe> {
        Some(self.vector(slot)?.probe())
    }

    fn vector(&self, slot: u32) -> Option<&Vector> {
        self.by_slot.get(slot as usize)?.as_deref()
    }

    /// The cosine of a probe of this space and a shown document, as it would be in the table's; `None` if it lacks a
    /// vector.
    pub(super) fn cosine(&self, probe: &Probe, slot: u32) -> Option<f32> {
        Some(self.scaled(self.raw_cosine(probe, slot)?))
    }

    /// The same before it is brought to the table's scale.
    pub(super) fn raw_cosine(&self, probe: &Probe, slot: u32) -> Option<f32> {
        self.vector(slot).map(|_| self.vectors.cosine(probe, slot))
    }

    fn scaled(&self, cosine: f32) -> f32 {
        self.scale.map_or(cosine, |scale| scale.apply(cosine))
    }

    /// The nearest shown documents, as [`Vectors::search`] finds them, by cosines on the table's scale.
    pub(super) fn search(
        &self,
        scratch: &mut vectors::Scratch,
        probe: &Probe,
        limit: usize,
        accept: impl Fn(u32) -> bool,
        key: impl Fn(u32) -> u64,
        found: &mut Vec<Nearest>,
    ) {
        self.vectors.search(scratch, probe, limit, accept, key, found);
        found.iter_mut().for_each(|nearest| nearest.cosine = self.scaled(nearest.cosine));
    }

    /// Whether a scale can be found and is not known, or was found among half as many documents.
    pub(super) fn wants_scale(&self) -> bool {
        self.shown >= LEAST_SHOWN.max(2 * self.fitted_at) && self.is_nearly_whole()
    }

    /// Slots of shown documents with a vector, in an order that does not depend on when they came; some of them, spread
    /// over all.
    pub(super) fn sample(&self) -> Vec<u32> {
        let shown = self.texts.values().filter(|kept| kept.vector.is_some()).flat_map(|kept| &kept.slots);
        let mut slots: Vec<(u64, u32)> = shown.map(|&(slot, order)| (order, slot)).collect();
        slots.sort_unstable();
        slots.iter().step_by(slots.len().div_ceil(SAMPLED).max(1)).map(|&(_, slot)| slot).collect()
    }

    /// Goes by these pairs from now on.
    pub(super) fn fit(&mut self, pairs: &[(f32, f32)]) {
        self.fitted_at = self.shown;
        // What was good enough before is better than nothing.
        self.scale = Scale::fit(pairs).or(self.scale);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: impl Iterator<Item = f32> + Clone) -> (f32, f32) {
        let count = values.clone().count() as f32;
        let mean = values.clone().sum::<f32>() / count;
        (mean, (values.map(|value| (value - mean).powi(2)).sum::<f32>() / count).sqrt())
    }

    #[test]
    fn scaled_cosines_have_the_mean_and_the_deviation_of_the_tables() {
        // A model that calls strangers 0.7 and twins 0.95.
        let pairs: Vec<(f32, f32)> = (0..100)
            .map(|n| {
                let likeness = n as f32 / 100.0;
                (0.7 + 0.25 * likeness, 0.1 + 0.7 * likeness * likeness)
            })
            .collect();
        let scale = Scale::fit(&pairs).expect("enough pairs");
        let (mean, deviation) = moments(pairs.iter().map(|pair| scale.apply(pair.0)));
        let (wanted_mean, wanted_deviation) = moments(pairs.iter().map(|pair| pair.1));
        assert!((mean - wanted_mean).abs() < 0.01, "{mean} {wanted_mean}");
        assert!((deviation - wanted_deviation).abs() < 0.01, "{deviation} {wanted_deviation}");
        assert!(scale.apply(0.9) > scale.apply(0.8), "who is nearer stays nearer");
    }

    #[test]
    fn a_scale_of_what_lies_alike_changes_nothing() {
        let pairs: Vec<(f32, f32)> = (0..80).map(|n| (n as f32 / 100.0, n as f32 / 100.0)).collect();
        let scale = Scale::fit(&pairs).expect("enough pairs");
        assert!((scale.apply(0.4) - 0.4).abs() < 1e-5);
    }

    #[test]
    fn what_says_too_little_gives_no_scale() {
        assert_eq!(Scale::fit(&[(0.1, 0.2); 3]), None);
        assert_eq!(Scale::fit(&[(0.5, 0.2); 100]), None, "all the same");
    }

    #[test]
    fn a_scaled_cosine_is_a_cosine() {
        let pairs: Vec<(f32, f32)> = (0..100).map(|n| (0.5 + n as f32 / 1000.0, n as f32 / 100.0)).collect();
        let scale = Scale::fit(&pairs).expect("enough pairs");
        for cosine in [-1.0, 0.0, 0.5, 1.0] {
            assert!((-1.0..=1.0).contains(&scale.apply(cosine)));
        }
    }
}
