//! What a tenant's memory has of another embedder's vectors: see [`crate::matching::second`].

use rustc_hash::FxHashSet;

use super::{Index, Rank};
use crate::domain::id::ReportId;
use crate::matching::embedding::{Embedding, Space};
use crate::matching::second::{SecondSpace, TextName};

impl Index {
    /// From now on goes by the vectors of this space too, once nearly all texts have one. What was known of another
    /// space is forgotten.
    pub fn use_space(&mut self, space: Space) {
        let mut second = SecondSpace::new(space);
        let homes = self.clusters.iter().flat_map(|(_, home)| home.texts.iter());
        for wording in homes.filter(|wording| wording.document.is_some()) {
            second.keep(wording.key.name(), wording.best().report);
            if let Some(slot) = wording.shown_in() {
                second.show(wording.key.name(), slot, self.lexicon.order(slot));
            }
        }
        self.lexicon.second = Some(Box::new(second));
    }

    /// Reports whose texts lack a vector of the second space, one for each text, in any order.
    pub fn lacking_vectors(&self) -> Vec<ReportId> {
        let lacking = self.lexicon.second.as_ref().map_or_else(Vec::new, |second| second.lacking());
        let (known, gone): (Vec<_>, Vec<_>) =
            lacking.into_iter().partition(|(_, report)| self.members.get(*report).is_some());
        let mut reports: Vec<ReportId> = known.into_iter().map(|(_, report)| report).collect();
        let mut gone: FxHashSet<TextName> = gone.into_iter().map(|(name, _)| name).collect();
        if !gone.is_empty() {
            // Others say the same.
            let texts = self.clusters.iter().flat_map(|(_, home)| home.texts.iter());
            reports.extend(texts.filter(|text| gone.remove(&text.key.name())).map(|text| text.best().report));
        }
        reports
    }

    /// How many texts lack a vector of the second space.
    pub fn lacking_count(&self) -> usize {
        self.lexicon.second.as_ref().map_or(0, |second| second.lacking_count())
    }

    /// Takes what another embedder says of a report's text. One of another space than is used changes nothing.
    pub fn give_vector(&mut self, report: ReportId, embedding: &Embedding) {
        let Some(member) = self.members.get(report) else { return };
        let rank = Rank { matched: member.matched, report };
        let home = self.cluster(member.cluster).map(|(_, home)| home);
        let text = home.and_then(|home| home.texts.iter().find(|text| text.members.binary_search(&rank).is_ok()));
        if let (Some(name), Some(second)) = (text.map(|text| text.key.name()), &mut self.lexicon.second) {
            second.give(name, embedding);
        }
    }

    /// Finds out how cosines of the second space lie beside the table's, if enough is there and it is time. Until then
    /// the table's space is gone by.
    pub fn fit_scale(&mut self) {
        self.lexicon.fit_second();
    }

    /// Whether a text with this vector would be looked for in the second space.
    pub fn goes_by(&self, embedding: &Embedding) -> bool {
        self.lexicon.second.as_ref().is_some_and(|second| second.probe(Some(embedding)).is_some())
    }
}
