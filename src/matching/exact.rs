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

/// One kind of exact key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    holders: FxHashMap<Signature, BTreeMap<ClusterId, BTreeSet<Rank>>>,
    /// From how many of a key's reports a cluster is kept apart.
    apart: FxHashMap<Signature, BTreeMap<ClusterId, u32>>,
}

impl Keys {
    pub(super) fn hold(&mut self, key: Signature, cluster: ClusterId, rank: Rank) {
        self.holders.entry(key).or_default().entry(cluster).or_default().insert(rank);
    }

    pub(super) fn release(&mut self, key: Signature, cluster: ClusterId, rank: Rank) {
        let Some(clusters) = self.holders.get_mut(&key) else { return };
        if let Some(ranks) = clusters.get_mut(&cluster) {
            ranks.remove(&rank);
            if ranks.is_empty() {
                clusters.remove(&cluster);
            }
        }
        if clusters.is_empty() {
            self.holders.remove(&key);
        }
    }

    /// The best member of each cluster that holds the key.
    pub(super) fn holders(&self, key: Signature) -> impl Iterator<Item = (ClusterId, Rank)> {
        let clusters = self.holders.get(&key).into_iter().flatten();
        clusters.filter_map(|(cluster, ranks)| Some((*cluster, *ranks.first()?)))
    }

    pub(super) fn set_apart(&mut self, key: Signature, cluster: ClusterId) {
        *self.apart.entry(key).or_default().entry(cluster).or_default() += 1;
    }

    pub(super) fn clear_apart(&mut self, key: Signature, cluster: ClusterId) {
        let Some(clusters) = self.apart.get_mut(&key) else { return };
        if let Some(count) = clusters.get_mut(&cluster) {
            *count -= 1;
            if *count == 0 {
                clusters.remove(&cluster);
            }
        }
        if clusters.is_empty() {
            self.apart.remove(&key);
        }
    }

    /// The clusters a person keeps away from reports with this key.
    pub(super) fn apart(&self, key: Signature) -> impl Iterator<Item = ClusterId> {
        self.apart.get(&key).into_iter().flat_map(|clusters| clusters.keys().copied())
    }

    pub(super) fn is_apart(&self, key: Signature) -> bool {
        self.apart.contains_key(&key)
    }
}
