//! Which space a search goes by, and cosines in it: see [`crate::matching::second`].

use std::collections::BTreeSet;

use super::{Hit, Lexicon, Query};
use crate::domain::id::ReportId;
use crate::matching::embed::Probe;
use crate::matching::features::Features;
use crate::matching::second::{NEIGHBOURS, TextName};

impl Lexicon {
    /// A text was learned, and its words are kept from now on.
    pub(in crate::matching) fn keep_in_second(&mut self, report: ReportId, features: &Features) {
        if let Some(second) = &mut self.second {
            second.keep((features.signature(), features.words()), report);
        }
    }

    /// Somebody says a text that is kept, perhaps with a vector that it lacked.
    pub(in crate::matching) fn give_in_second(&mut self, features: &Features) {
        if let (Some(second), Some(embedding)) = (&mut self.second, features.embedding()) {
            second.give((features.signature(), features.words()), embedding);
        }
    }

    /// A kept text is shown; `order` is its place among equals.
    pub(in crate::matching) fn show_in_second(&mut self, name: TextName, slot: u32, order: u64) {
        if let Some(second) = &mut self.second {
            second.show(name, slot, order);
        }
    }

    /// The exact inverse of [`Lexicon::show_in_second`].
    pub(in crate::matching) fn hide_in_second(&mut self, name: TextName, slot: u32) {
        if let Some(second) = &mut self.second {
            second.hide(name, slot);
        }
    }

    /// A text's document was forgotten.
    pub(in crate::matching) fn release_in_second(&mut self, name: TextName) {
        if let Some(second) = &mut self.second {
            second.release(name);
        }
    }

    /// Gives every hit that is known by its words alone its cosine in the second space; what lacks one there gets the
    /// middle of the others'.
    pub(super) fn measure_in_second(&self, query: &Query, hits: &mut [(f32, u64, Hit)]) {
        let mut known: Vec<f32> = Vec::with_capacity(hits.len());
        let mut lacking = Vec::new();
        for (at, (.., hit)) in hits.iter_mut().enumerate().filter(|(_, (.., hit))| hit.lexical_rank > 0) {
            match self.cosine_in(query, self.probe(query), hit.slot) {
                Some(cosine) => {
                    hit.cosine = cosine;
                    known.push(cosine);
                }
                None => lacking.push(at),
            }
        }
        if lacking.is_empty() {
            return;
        }
        let middle = known.len() / 2;
        let cosine = if known.is_empty() { 0.0 } else { *known.select_nth_unstable_by(middle, f32::total_cmp).1 };
        for at in lacking {
            hits[at].2.cosine = cosine;
        }
    }

    /// What a query is about, in the space that is gone by for it.
    pub(in crate::matching) fn probe<'q>(&self, query: &'q Query) -> &'q Probe {
        query.second.as_ref().unwrap_or(&query.probe)
    }

    /// What a shown document is about, in the space that is gone by for this query; `None` if it lacks a vector there.
    pub(in crate::matching) fn probe_of(&self, query: &Query, slot: u32) -> Option<Probe> {
        match (&query.second, &self.second) {
            (Some(_), Some(second)) => second.probe_of(slot),
            _ => Some(self.vector(slot).probe()),
        }
    }

    /// The cosine of a probe of the query's space and a shown document, on the table's scale; `None` if the document
    /// lacks a vector there.
    pub(in crate::matching) fn cosine_in(&self, query: &Query, probe: &Probe, slot: u32) -> Option<f32> {
        match (&query.second, &self.second) {
            (Some(_), Some(second)) => second.cosine(probe, slot),
            _ => Some(self.cosine(probe, slot)),
        }
    }

    /// Finds out how cosines of the second space lie beside the table's, if it is time: from documents and those nearest
    /// to them in either space.
    pub(in crate::matching) fn fit_second(&mut self) {
        let Some(second) = self.second.as_ref().filter(|second| second.wants_scale()) else { return };
        let (mut pairs, mut scratch, mut nearest) = (Vec::new(), self.scratch(), Vec::new());
        for slot in second.sample() {
            let (here, Some(there)) = (self.vector(slot).probe(), second.probe_of(slot)) else { continue };
            let mut neighbours = BTreeSet::new();
            let others = |other: u32| other != slot;
            let key = |slot: u32| self.order(slot);
            self.vectors.search(&mut scratch.vectors, &here, NEIGHBOURS, others, key, &mut nearest);
            neighbours.extend(nearest.iter().map(|nearest| nearest.slot));
            second.search(&mut scratch.vectors, &there, NEIGHBOURS, others, key, &mut nearest);
            neighbours.extend(nearest.iter().map(|nearest| nearest.slot));
            pairs.extend(
                neighbours
                    .into_iter()
                    .filter_map(|other| Some((second.raw_cosine(&there, other)?, self.cosine(&here, other)))),
            );
        }
        drop(scratch);
        if let Some(second) = &mut self.second {
            second.fit(&pairs);
        }
    }
}
