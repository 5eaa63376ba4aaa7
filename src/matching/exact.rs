//! Who holds which exact key, and which clusters a person keeps away from it. Kept for every member.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;

use super::signature::Signature;
use crate::domain::id::{ClusterId, ReportId};

/// A member's standing: those a person placed come first, then the earliest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Rank {
    pub(super) matched: bool,
    pub(super) report: ReportId,
}

/// One kind of exact key, and who holds it.
#[derive(Debug, Default)]
pub(super) struct Keys {
    holders: FxHashMap<Signature, Holders>,
    pub(super) apart: Apart,
}

/// Mostly one.
#[derive(Debug)]
enum Holders {
    One(ClusterId, Rank),
    Many(BTreeMap<ClusterId, BTreeSet<Rank>>),
}

impl Keys {
    pub(super) fn hold(&mut self, key: Signature, cluster: ClusterId, rank: Rank) {
        let holders = self.holders.entry(key).or_insert(Holders::One(cluster, rank));
        match holders {
            Holders::One(first, its) if (*first, *its) == (cluster, rank) => {}
            Holders::One(first, its) => {
                let mut many = BTreeMap::from([(*first, BTreeSet::from([*its]))]);
                many.entry(cluster).or_default().insert(rank);
                *holders = Holders::Many(many);
            }
            Holders::Many(many) => {
                many.entry(cluster).or_default().insert(rank);
            }
        }
    }

    pub(super) fn release(&mut self, key: Signature, cluster: ClusterId, rank: Rank) {
        let is_free = match self.holders.get_mut(&key) {
            None => return,
            Some(Holders::One(first, its)) => (*first, *its) == (cluster, rank),
            Some(Holders::Many(many)) => {
                if let Some(ranks) = many.get_mut(&cluster) {
                    ranks.remove(&rank);
                    if ranks.is_empty() {
                        many.remove(&cluster);
                    }
                }
                many.is_empty()
            }
        };
        if is_free {
            self.holders.remove(&key);
        }
    }

    /// The best member of each cluster that holds the key.
    pub(super) fn holders(&self, key: Signature) -> impl Iterator<Item = (ClusterId, Rank)> {
        let (one, many) = match self.holders.get(&key) {
            None => (None, None),
            Some(Holders::One(cluster, rank)) => (Some((*cluster, *rank)), None),
            Some(Holders::Many(many)) => (None, Some(many)),
        };
        let best = |(cluster, ranks): (&ClusterId, &BTreeSet<Rank>)| Some((*cluster, *ranks.first()?));
        one.into_iter().chain(many.into_iter().flat_map(|many| many.iter()).filter_map(best))
    }
}

/// Which clusters a person keeps away from a key.
#[derive(Debug, Default)]
pub(super) struct Apart {
    /// From how many of a key's reports a cluster is kept apart.
    clusters: FxHashMap<Signature, BTreeMap<ClusterId, u32>>,
}

impl Apart {
    pub(super) fn set(&mut self, key: Signature, cluster: ClusterId) {
        *self.clusters.entry(key).or_default().entry(cluster).or_default() += 1;
    }

    pub(super) fn clear(&mut self, key: Signature, cluster: ClusterId) {
        let Some(clusters) = self.clusters.get_mut(&key) else { return };
        if let Some(count) = clusters.get_mut(&cluster) {
            *count -= 1;
            if *count == 0 {
                clusters.remove(&cluster);
            }
        }
        if clusters.is_empty() {
            self.clusters.remove(&key);
        }
    }

    /// The clusters a person keeps away from reports with this key.
    pub(super) fn of(&self, key: Signature) -> impl Iterator<Item = ClusterId> {
        self.clusters.get(&key).into_iter().flat_map(|clusters| clusters.keys().copied())
    }

    pub(super) fn has(&self, key: Signature) -> bool {
        self.clusters.contains_key(&key)
    }

    /// Whether a person ever said such a thing.
    pub(super) fn is_empty(&self) -> bool {
        self.clusters.is_empty()
    }
}
