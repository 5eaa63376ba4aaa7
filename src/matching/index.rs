//! One tenant's past, kept so that a text can be placed in it.
//!
//! Every member's exact keys are kept. Of its words only those of a cluster's *exemplars* are shown to the search: the
//! [`EXEMPLARS`] best distinct texts of a cluster (those a person placed first, then the earliest), and every text a
//! person set apart from some cluster. As many again are kept ready, so that a removal finds its successor. The choice
//! depends on the members alone and not on the order they came in.

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::decide::{self, Candidate, Evidence, Exact, Ground, Key, Near, Placement, Policy, Signal, Standing};
use super::exact::{Keys, Rank};
use super::features::Features;
use super::lexical::{Document, Lexicon, Query, Shown};
use super::score;
use super::signature::Signature;
use crate::domain::id::{ClusterId, ReportId};

/// Distinct texts of a cluster that are compared. More would let a cluster drift along a chain of likenesses.
const EXEMPLARS: usize = 12;
/// Distinct texts of a cluster whose words are kept: the exemplars and their successors.
const KEPT: usize = 2 * EXEMPLARS;
/// Exemplars compared word by word. The right one is rarely further down the search's list.
const COMPARED: usize = 40;

/// One tenant's memory of its reports: a cache of what the database says, never a second truth.
#[derive(Debug)]
pub struct Index {
    policy: Policy,
    members: FxHashMap<ReportId, Member>,
    clusters: FxHashMap<ClusterId, Cluster>,
    keys: ExactKeys,
    stacks: Keys,
    apart: FxHashMap<ReportId, BTreeSet<ClusterId>>,
    lexicon: Lexicon,
    stale: BTreeSet<ClusterId>,
}

#[derive(Debug, Clone, Copy)]
struct Member {
    cluster: ClusterId,
    matched: bool,
    signature: Signature,
    fingerprint: Option<Signature>,
    stack: Option<Signature>,
    /// A text that says nothing holds no text key: it is not the same as another one that says nothing.
    says_something: bool,
}

/// The keys that make two reports one statement.
#[derive(Debug, Default)]
struct ExactKeys {
    texts: Keys,
    fingerprints: Keys,
}

impl ExactKeys {
    /// The keys that a member holds, each with the keys of its kind.
    fn of<'k>(&'k mut self, member: &Member) -> impl Iterator<Item = (&'k mut Keys, Signature)> + use<'k> {
        let text = member.says_something.then_some((&mut self.texts, member.signature));
        text.into_iter().chain(member.fingerprint.map(|key| (&mut self.fingerprints, key)))
    }
}

/// The distinct texts of a cluster.
#[derive(Debug, Default)]
struct Cluster {
    texts: FxHashMap<Signature, Wording>,
    /// The texts by their best member.
    ranking: BTreeSet<(Rank, Signature)>,
}

/// One distinct text of a cluster.
#[derive(Debug)]
struct Wording {
    /// Its members, best first.
    members: BTreeSet<Rank>,
    /// Its words, where they are kept.
    document: Option<Arc<Document>>,
    /// Where the search keeps it, while it is shown.
    slot: Option<u32>,
}

impl Index {
    /// An empty memory.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            members: FxHashMap::default(),
            clusters: FxHashMap::default(),
            keys: ExactKeys::default(),
            stacks: Keys::default(),
            apart: FxHashMap::default(),
            lexicon: Lexicon::default(),
            stale: BTreeSet::new(),
        }
    }

    /// The thresholds in force.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Changes the thresholds. Nothing else changes.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// How many reports are known.
    pub fn report_count(&self) -> usize {
        self.members.len()
    }

    /// How many clusters have a report.
    pub fn cluster_count(&self) -> usize {
        self.clusters.len()
    }

    /// The cluster a report was inserted into.
    pub fn cluster_of(&self, report: ReportId) -> Option<ClusterId> {
        self.members.get(&report).map(|member| member.cluster)
    }

    /// Remembers that a report belongs to a cluster. A report that is already known moves.
    pub fn insert(&mut self, report: ReportId, cluster: ClusterId, by_person: bool, features: &Features) {
        self.remove_report(report);
        let rank = Rank { matched: !by_person, report };
        let member = Member {
            cluster,
            matched: !by_person,
            signature: features.signature(),
            fingerprint: features.fingerprint(),
            stack: features.stack(),
            says_something: features.says_something(),
        };
        self.members.insert(report, member);
        if let Some(stack) = member.stack {
            self.stacks.hold(stack, cluster, rank);
        }
        for (keys, key) in self.keys.of(&member) {
            keys.hold(key, cluster, rank);
            for &other in self.apart.get(&report).into_iter().flatten() {
                keys.set_apart(key, other);
            }
        }

        let home = self.clusters.entry(cluster).or_default();
        let wording = home.texts.entry(member.signature).or_insert_with(|| Wording {
            members: BTreeSet::new(),
            document: None,
            slot: None,
        });
        if let Some(&best) = wording.members.first() {
            home.ranking.remove(&(best, member.signature));
        }
        wording.members.insert(rank);
        let best = wording.members.first().copied().unwrap_or(rank);
        home.ranking.insert((best, member.signature));
        if wording.document.is_none() {
            wording.document = Some(self.lexicon.learn(features));
        }
        self.choose_exemplars(cluster, member.signature);
        self.choose_where_set_apart(report, member.signature);
    }

    /// Forgets a report, as if it had never been inserted. What people said about it stays: [`Index::clear_apart`].
    pub fn remove_report(&mut self, report: ReportId) {
        let Some(member) = self.members.remove(&report) else { return };
        let Member { cluster, signature, matched, .. } = member;
        let rank = Rank { matched, report };
        if let Some(stack) = member.stack {
            self.stacks.release(stack, cluster, rank);
        }
        for (keys, key) in self.keys.of(&member) {
            keys.release(key, cluster, rank);
            for &other in self.apart.get(&report).into_iter().flatten() {
                keys.clear_apart(key, other);
            }
        }

        let Some(home) = self.clusters.get_mut(&cluster) else { return };
        if let Some(wording) = home.texts.get_mut(&signature) {
            if let Some(&best) = wording.members.first() {
                home.ranking.remove(&(best, signature));
            }
            wording.members.remove(&rank);
            if let Some(&best) = wording.members.first() {
                home.ranking.insert((best, signature));
            } else if let Some(gone) = home.texts.remove(&signature) {
                Self::drop_wording(&mut self.lexicon, gone);
            }
        }
        if home.texts.is_empty() {
            self.clusters.remove(&cluster);
            self.stale.remove(&cluster);
        } else {
            self.choose_exemplars(cluster, signature);
        }
        self.choose_where_set_apart(report, signature);
    }

    /// Forgets all members of a cluster, so that they can be inserted again as the database has them.
    pub fn remove_cluster(&mut self, cluster: ClusterId) {
        let Some(home) = self.clusters.remove(&cluster) else { return };
        self.stale.remove(&cluster);
        let mut set_apart = Vec::new();
        for (signature, wording) in home.texts {
            for &rank in &wording.members {
                let Some(member) = self.members.remove(&rank.report) else { continue };
                if let Some(stack) = member.stack {
                    self.stacks.release(stack, cluster, rank);
                }
                for (keys, key) in self.keys.of(&member) {
                    keys.release(key, cluster, rank);
                    for &other in self.apart.get(&rank.report).into_iter().flatten() {
                        keys.clear_apart(key, other);
                    }
                }
                if self.apart.contains_key(&rank.report) {
                    set_apart.push(signature);
                }
            }
            Self::drop_wording(&mut self.lexicon, wording);
        }
        for signature in set_apart {
            self.choose_exemplars_of_text(signature);
        }
    }

    /// A person said that this report, and so its near twins, do not belong to this cluster. The report may come later.
    pub fn set_apart(&mut self, report: ReportId, cluster: ClusterId) {
        if !self.apart.entry(report).or_default().insert(cluster) {
            return;
        }
        let Some(&member) = self.members.get(&report) else { return };
        for (keys, key) in self.keys.of(&member) {
            keys.set_apart(key, cluster);
        }
        self.choose_exemplars_of_text(member.signature);
    }

    /// The person took it back.
    pub fn clear_apart(&mut self, report: ReportId, cluster: ClusterId) {
        let Some(clusters) = self.apart.get_mut(&report) else { return };
        if !clusters.remove(&cluster) {
            return;
        }
        if clusters.is_empty() {
            self.apart.remove(&report);
        }
        let Some(&member) = self.members.get(&report) else { return };
        for (keys, key) in self.keys.of(&member) {
            keys.clear_apart(key, cluster);
        }
        self.choose_exemplars_of_text(member.signature);
    }

    /// The clusters of which removals took more exemplars than were kept ready, or a constraint asks for words that were
    /// not kept. They still match, by fewer exemplars. To restore them, remove each and insert its members again.
    pub fn take_stale(&mut self) -> Vec<ClusterId> {
        std::mem::take(&mut self.stale).into_iter().collect()
    }

    /// Where a text belongs, and why.
    pub fn place(&self, features: &Features) -> Placement {
        let query = self.lexicon.query(features);
        let evidence = self.evidence(features, &query, COMPARED, true);
        let standings = decide::standings(&self.policy, &evidence);
        let best = standings.first();
        Placement {
            decision: decide::decide(&self.policy, &standings),
            score: best.map_or(0.0, |best| best.score),
            signals: best.map_or_else(Vec::new, |best| self.signals(features, &query, &evidence, best)),
        }
    }

    /// The clusters a text may belong to, best first, each once. Those that people keep it away from are left out.
    pub fn candidates(&self, features: &Features, limit: usize) -> Vec<Candidate> {
        let query = self.lexicon.query(features);
        // A cluster takes up several places of the search with its exemplars.
        let evidence = self.evidence(features, &query, COMPARED.max(limit.saturating_mul(4)), false);
        let standings = decide::standings(&self.policy, &evidence);
        let candidate =
            |best: &Standing| Candidate { cluster: best.cluster, report: best.rank.report, score: best.score };
        standings.iter().take(limit).map(candidate).collect()
    }

    /// Collects what speaks for and against. Where an exact match decides anyway, the search is left out if `exact_will_do`.
    fn evidence(&self, features: &Features, query: &Query, compared: usize, exact_will_do: bool) -> Evidence {
        let mut evidence = Evidence::default();
        let text = features.says_something().then(|| features.signature());
        let ExactKeys { texts, fingerprints } = &self.keys;
        for (keys, held, key) in [(fingerprints, features.fingerprint(), Key::Fingerprint), (texts, text, Key::Text)] {
            let Some(held) = held else { continue };
            evidence.exact.extend(keys.holders(held).map(|(cluster, rank)| Exact { cluster, rank, key }));
            evidence.apart.extend(keys.apart(held));
        }
        let decided = evidence.exact.iter().any(|exact| !evidence.apart.contains(&exact.cluster));
        if features.says_something() && !(exact_will_do && decided) {
            let stacks = features.stack().into_iter().flat_map(|stack| self.stacks.holders(stack));
            evidence.exact.extend(stacks.map(|(cluster, rank)| Exact { cluster, rank, key: Key::Stack }));
            evidence.near = self.lexicon.search(query, compared, |slot, shown, places| {
                let rank = self.best_of(shown);
                Near {
                    cluster: shown.cluster,
                    rank,
                    comparison: score::compare(&self.lexicon, places, query, &shown.document),
                    apart: self.keys.texts.apart(shown.signature).collect(),
                    slot,
                }
            });
        }
        evidence
    }

    /// The best member that a shown text stands for.
    fn best_of(&self, shown: &Shown) -> Rank {
        let wording = self.clusters.get(&shown.cluster).and_then(|home| home.texts.get(&shown.signature));
        *wording.and_then(|wording| wording.members.first()).expect("a text is hidden before its last member goes")
    }

    fn signals(&self, features: &Features, query: &Query, evidence: &Evidence, best: &Standing) -> Vec<Signal> {
        let exact = |name, detail: &str| vec![Signal { name, weight: 1.0, detail: detail.to_owned() }];
        let (near, capped) = match best.ground {
            Ground::Fingerprint => return exact("fingerprint", "the caller gave both the same fingerprint"),
            Ground::ExactText => {
                return exact("exact_text", "both say the same, apart from numbers, dates and courtesies");
            }
            Ground::StackTrace => {
                let detail = "both have the same stack trace".to_owned();
                return vec![Signal { name: "stack_trace", weight: best.score, detail }];
            }
            Ground::Alike { near, capped } => (&evidence.near[near], capped),
        };
        let document = self.lexicon.document(near.slot);
        let mut signals = near.comparison.signals(features, &self.lexicon, query, document);
        if near.comparison.product_unknown {
            let detail = "only one of the two names its product".to_owned();
            signals.push(Signal { name: "product_unknown", weight: capped, detail });
        } else if capped < 0.0 {
            let detail = "they share little more than everyday words".to_owned();
            signals.push(Signal { name: "little_evidence", weight: capped, detail });
        }
        signals
    }

    fn drop_wording(lexicon: &mut Lexicon, wording: Wording) {
        if let Some(slot) = wording.slot {
            lexicon.hide(slot);
        }
        if let Some(document) = wording.document {
            lexicon.forget(&document);
        }
    }

    /// A report that a person set apart came or went, and with it the reason to show its text in other clusters too.
    fn choose_where_set_apart(&mut self, report: ReportId, signature: Signature) {
        if self.apart.contains_key(&report) {
            self.choose_exemplars_of_text(signature);
        }
    }

    /// Chooses again in every cluster where a text is held.
    fn choose_exemplars_of_text(&mut self, signature: Signature) {
        let clusters: Vec<ClusterId> = self.keys.texts.holders(signature).map(|(cluster, _)| cluster).collect();
        for cluster in clusters {
            self.choose_exemplars(cluster, signature);
        }
    }

    /// Shows a cluster's exemplars and nothing else of it, after one of its texts changed.
    fn choose_exemplars(&mut self, cluster: ClusterId, changed: Signature) {
        let Some(home) = self.clusters.get_mut(&cluster) else { return };
        // The ranks around the two borders can have moved by one; beyond that only the changed text can differ.
        let mut stale = false;
        let looked_at: Vec<(usize, Signature)> =
            home.ranking.iter().take(KEPT + 1).map(|&(_, signature)| signature).enumerate().collect();
        let changed_is_beyond = !looked_at.iter().any(|&(_, signature)| signature == changed);
        let beyond = changed_is_beyond.then_some((usize::MAX, changed));
        for (place, signature) in looked_at.into_iter().chain(beyond) {
            let Some(wording) = home.texts.get_mut(&signature) else { continue };
            let pinned = self.keys.texts.is_apart(signature);
            if place < EXEMPLARS || pinned {
                match (&wording.document, wording.slot) {
                    (Some(document), None) => {
                        let document = Arc::clone(document);
                        wording.slot = self.lexicon.show(Shown { cluster, signature, document });
                    }
                    (None, _) => stale = true,
                    (Some(_), Some(_)) => {}
                }
            } else if let Some(slot) = wording.slot.take() {
                self.lexicon.hide(slot);
            }
            if place >= KEPT
                && !pinned
                && let Some(document) = wording.document.take()
            {
                self.lexicon.forget(&document);
            }
        }
        if stale {
            self.stale.insert(cluster);
        }
    }
}
