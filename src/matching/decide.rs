//! From evidence to a decision, with people's word above every score.
//!
//! - An exact match (score 1) outranks every lexical one. Of several clusters that hold the key, one where a person put
//!   a holder wins, then the fingerprint over the text, then the earliest report.
//! - What a person said about a report holds for its near twins: if a person set a report apart from a cluster and the
//!   new text is that report's exact twin, the cluster is barred for it. If it is only alike at attach level, the cluster
//!   is barred too, unless the cluster holds the new text exactly, or a report that a person put there is at least as
//!   alike: then the person's nearer word counts.
//! - At equal score a person's membership outranks a matched one, and an earlier report a later one.
//! - A score that the evidence does not carry is capped below the attach threshold: a known against an unknown product,
//!   and texts that share no more than a catch-phrase.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::exact::Rank;
use super::score::Comparison;
use crate::domain::id::{ClusterId, ReportId};

/// A tenant's thresholds. Scores are between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// From this score on a report is attached.
    pub attach: f64,
    /// From this score on it is attached too, if no other cluster comes near: see [`Policy::lead`]. What two texts share
    /// says more when nothing else shares half as much.
    pub clear: f64,
    /// How many times the score of the next cluster that takes.
    pub lead: f64,
    /// From this score on, where nothing is attached, a person is asked.
    pub suggest: f64,
}

impl Default for Policy {
    fn default() -> Self {
        // On short messages of customers nine of ten attached belong together, and the lead finds a third more of them
        // than the first threshold alone; on bug trackers both attach little, and the lead not more wrongly.
        Self { attach: 0.72, clear: 0.40, lead: 2.0, suggest: 0.30 }
    }
}

impl Policy {
    /// The highest score that is still only a suggestion, used where attaching is out of the question.
    fn cap(&self) -> f64 {
        (self.attach + self.suggest.min(self.attach)) / 2.0
    }

    fn attaches(&self, best: &Standing, runner_up: f64) -> bool {
        let is_ahead = best.score >= self.clear && best.score >= self.lead * runner_up;
        best.score >= self.attach || (is_ahead && !best.contradicted)
    }
}

/// What to do with a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It belongs to this cluster.
    Attach {
        /// The cluster.
        cluster: ClusterId,
        /// Its member that decided.
        report: ReportId,
    },
    /// It may belong to this cluster; a person is asked.
    Suggest {
        /// The cluster.
        cluster: ClusterId,
        /// Its member that decided.
        report: ReportId,
    },
    /// Nothing known is like it.
    New,
}

/// A decision and its reasons.
#[derive(Debug, Clone, PartialEq)]
pub struct Placement {
    /// What to do.
    pub decision: Decision,
    /// The best candidate's score; 0 if there is none.
    pub score: f64,
    /// Why. The weights add up to the score before it was cut to 0..1.
    pub signals: Vec<Signal>,
}

/// One reason of a decision. Its detail may quote words of the report: keep it no longer than the report's text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Signal {
    /// A stable name, such as `exact_text` or `shared_terms`.
    pub name: &'static str,
    /// What it contributed to the score; negative where it spoke against.
    pub weight: f64,
    /// For people.
    pub detail: String,
}

/// A cluster a report may belong to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its member that is most alike.
    pub report: ReportId,
    /// How alike, 0 to 1.
    pub score: f64,
}

/// What an exact key was made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    Fingerprint,
    Text,
    /// Strong evidence and no more: one trace may have several causes. Worth a person's look, not an attachment.
    Stack,
}

/// A cluster that holds the text's exact key.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exact {
    pub(super) cluster: ClusterId,
    pub(super) rank: Rank,
    pub(super) key: Key,
}

/// An exemplar that was compared.
#[derive(Debug, Clone)]
pub(super) struct Near {
    pub(super) cluster: ClusterId,
    pub(super) rank: Rank,
    pub(super) comparison: Comparison,
    /// The clusters a person set reports with the exemplar's text apart from.
    pub(super) apart: Vec<ClusterId>,
    /// Where the index keeps it.
    pub(super) slot: u32,
}

/// All that speaks for and against.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) exact: Vec<Exact>,
    pub(super) near: Vec<Near>,
    /// The clusters a person set the text's exact twins apart from.
    pub(super) apart: BTreeSet<ClusterId>,
}

/// Why a cluster stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ground {
    Fingerprint,
    ExactText,
    StackTrace,
    /// The comparison at this place of the evidence, and what a cap took from it.
    Alike {
        near: usize,
        capped: f64,
    },
}

/// A cluster in the running.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) cluster: ClusterId,
    pub(super) rank: Rank,
    pub(super) score: f64,
    pub(super) ground: Ground,
    /// A number, platform or code differs: being ahead of others is not enough then.
    pub(super) contradicted: bool,
}

impl Standing {
    /// Sorts the better first. The ranks differ, so this is a total order.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let ground = |standing: &Self| match standing.ground {
            Ground::Fingerprint => 0,
            Ground::ExactText => 1,
            Ground::StackTrace => 2,
            Ground::Alike { .. } => 3,
        };
        let is_alike = |standing: &Self| matches!(standing.ground, Ground::Alike { .. });
        other
            .score
            .total_cmp(&self.score)
            .then(is_alike(self).cmp(&is_alike(other)))
            .then(self.rank.matched.cmp(&other.rank.matched))
            .then(ground(self).cmp(&ground(other)))
            .then(self.rank.cmp(&other.rank))
            .then(self.cluster.cmp(&other.cluster))
    }
}

/// The clusters in the running, best first, each once; barred ones left out.
pub(super) fn standings(policy: &Policy, evidence: &Evidence) -> Vec<Standing> {
    let barred = barred(policy, evidence);
    let exact = evidence.exact.iter().map(|exact| Standing {
        cluster: exact.cluster,
        rank: exact.rank,
        score: if exact.key == Key::Stack { policy.cap() } else { 1.0 },
        ground: match exact.key {
            Key::Fingerprint => Ground::Fingerprint,
            Key::Text => Ground::ExactText,
            Key::Stack => Ground::StackTrace,
        },
        contradicted: false,
    });
    let near = evidence.near.iter().enumerate().map(|(at, near)| {
        let score = near.comparison.score();
        let capped = if near.comparison.product_unknown || near.comparison.has_little_evidence() {
            score.min(policy.cap())
        } else {
            score
        };
        let ground = Ground::Alike { near: at, capped: capped - score };
        let contradicted = near.comparison.is_contradicted();
        Standing { cluster: near.cluster, rank: near.rank, score: capped, ground, contradicted }
    });
    let mut all: Vec<Standing> = exact.chain(near).filter(|standing| !barred.contains(&standing.cluster)).collect();
    all.sort_by(Standing::order);
    let mut seen = BTreeSet::new();
    all.retain(|standing| seen.insert(standing.cluster));
    all
}

/// The clusters people keep the text away from.
fn barred(policy: &Policy, evidence: &Evidence) -> BTreeSet<ClusterId> {
    let says_so = |exact: &&Exact| exact.key != Key::Stack;
    let held: BTreeSet<ClusterId> = evidence.exact.iter().filter(says_so).map(|exact| exact.cluster).collect();
    let mut placed_by_person: BTreeMap<ClusterId, f64> = BTreeMap::new();
    for near in evidence.near.iter().filter(|near| !near.rank.matched) {
        let best = placed_by_person.entry(near.cluster).or_default();
        *best = best.max(near.comparison.score());
    }
    let mut barred = evidence.apart.clone();
    for near in &evidence.near {
        let score = near.comparison.score();
        if score < policy.attach {
            continue;
        }
        let nearer_word = |cluster| placed_by_person.get(cluster).is_some_and(|&placed| placed >= score);
        barred.extend(near.apart.iter().filter(|cluster| !held.contains(cluster) && !nearer_word(cluster)));
    }
    barred
}

/// Decides by the best standing and how far it is ahead.
pub(super) fn decide(policy: &Policy, standings: &[Standing]) -> Decision {
    let Some(best) = standings.first() else { return Decision::New };
    let &Standing { cluster, rank: Rank { report, .. }, score, ground, .. } = best;
    let runner_up = standings.get(1).map_or(0.0, |standing| standing.score);
    let attaches = match ground {
        // The same statement attaches whatever the thresholds are.
        Ground::Fingerprint | Ground::ExactText => true,
        Ground::StackTrace => false,
        Ground::Alike { capped, .. } => capped == 0.0 && policy.attaches(best, runner_up),
    };
    if attaches {
        Decision::Attach { cluster, report }
    } else if score >= policy.suggest {
        Decision::Suggest { cluster, report }
    } else {
        Decision::New
    }
}
