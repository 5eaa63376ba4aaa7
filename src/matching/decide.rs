//! From evidence to a decision, with people's word above every score.
//!
//! - An exact match (score 1) outranks every lexical one. Of several clusters that hold the key, one where a person put
//!   a holder wins, then the fingerprint over the text, then the earliest report.
//! - What a person said about a report holds for its near twins: if a person set a report apart from a cluster and the
//!   new text is that report's exact twin, the cluster is barred for it. If it is only alike at attach level, the cluster
//!   is barred too, unless the cluster holds the new text exactly, or a report that a person put there is at least as
//!   alike: then the person's nearer word counts.
//! - At equal score a person's membership outranks a matched one, and an earlier report a later one.
//! - The same person's further report goes to their earlier one more readily.
//! - A score that the evidence does not carry is capped below the attach threshold: a known against an unknown product,
//!   and texts that share no more than a catch-phrase.

use std::collections::{BTreeMap, BTreeSet};

use rustc_hash::FxHashMap;
use serde::{Deserialize, Serialize};

use super::calibrate::Calibration;
use super::exact::Rank;
use super::measures::Measures;
use super::model::{GATE_INPUTS, Model, Ranked, Surroundings};
use super::score::Comparison;
use crate::domain::id::{ClusterId, ReportId};

/// A tenant's thresholds. Scores are probabilities that a report belongs where it is put.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// From this score on a report is attached.
    pub attach: f64,
    /// From this score on, where nothing is attached, a person is asked.
    pub suggest: f64,
}

impl Default for Policy {
    fn default() -> Self {
        Self::for_precision(0.95)
    }
}

impl Policy {
    /// The thresholds at which about this share of the attached are right: if probabilities above a threshold are spread
    /// evenly up to 1, their mean lies in the middle.
    pub fn for_precision(precision: f64) -> Self {
        let attach = (2.0 * precision - 1.0).clamp(SUGGEST, 1.0);
        Self { attach, suggest: SUGGEST }
    }

    /// The same thresholds for a tenant whose people have taught how the judge's scores are to be read.
    #[must_use]
    pub fn calibrated(&self, calibration: &Calibration) -> Self {
        if *calibration == Calibration::default() {
            return *self;
        }
        let suggest = calibration.score(self.suggest);
        Self { attach: calibration.score(self.attach).max(suggest), suggest }
    }

    /// Where the words alone already make two texts near twins, this probability is enough: two witnesses agree.
    fn twin(&self) -> f64 {
        (self.attach * TWIN_SHARE).max(1.0 - (1.0 - self.attach) * TWIN_DOUBT)
    }

    /// The thresholds as they hold for a standing.
    pub(super) fn of(&self, standing: Option<&Standing>) -> Self {
        match standing.map(|standing| standing.ground) {
            Some(Ground::Alike { capped: 0.0, twin: true, .. }) => Self { attach: self.twin(), ..*self },
            _ => *self,
        }
    }

    /// The highest score that is still only a suggestion, used where attaching is out of the question.
    fn cap(&self) -> f64 {
        (self.attach + self.suggest.min(self.attach)) / 2.0
    }
}

/// From this probability on it is worth a person's look.
const SUGGEST: f64 = 0.15;
/// Of texts that are as alike as this, and so many times more than any other cluster's, that holds too. What two texts
/// share says more when nothing else shares half as much.
const CLEAR: f64 = 0.40;
const LEAD: f64 = 2.0;
/// What near twins need of the probability that others need; but their doubt is never more than so many times as large,
/// lest somebody who wants hardly any mistake gets these.
const TWIN_SHARE: f64 = 0.8;
const TWIN_DOUBT: f64 = 2.5;
/// Who reported a problem and writes again writes about the same one so many times more often, by the odds, than somebody
/// else. Of somebody with several problems what is above once is shared among them: a reseller who reports every day says
/// no more by that. A rule of thumb: no stream to learn from tells who reports.
const AGAIN: f64 = 4.0;
/// Of somebody with more problems it says nothing any more.
pub(super) const FEW_PROBLEMS: usize = 32;
/// Texts at least as alike as this, by the rules of thumb, are near twins: what a person said of one holds for the other.
const TWIN: f64 = 0.72;

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
    /// The best clusters, each with the member that is most alike; the first decided.
    pub nearest: Vec<Candidate>,
    /// The thresholds as they held for the first: near twins attach from a lower score on.
    pub thresholds: Policy,
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
    /// For people; empty where there is no more to say than [`usual_detail`](super::usual_detail) does.
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
    pub(super) measures: Measures,
}

/// All that speaks for and against.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    pub(super) exact: Vec<Exact>,
    pub(super) near: Vec<Near>,
    /// Where the index keeps what was found and not compared, best first.
    pub(super) rest: Vec<u32>,
    /// The clusters a person set the text's exact twins apart from.
    pub(super) apart: BTreeSet<ClusterId>,
    /// The clusters in which whoever reports has a report already.
    pub(super) own: BTreeSet<ClusterId>,
}

/// Why a cluster stands where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Ground {
    Fingerprint,
    ExactText,
    StackTrace,
    /// The comparison at this place of the evidence, what it gained because the same person reports, and what a cap took
    /// from it.
    Alike {
        near: usize,
        again: f64,
        capped: f64,
        /// The rules of thumb, which look at the words alone, take them for near twins.
        twin: bool,
    },
}

/// A cluster in the running.
#[derive(Debug, Clone, Copy)]
pub(super) struct Standing {
    pub(super) cluster: ClusterId,
    pub(super) rank: Rank,
    pub(super) score: f64,
    pub(super) ground: Ground,
}

impl Standing {
    pub(super) fn candidate(&self) -> Candidate {
        Candidate { cluster: self.cluster, report: self.rank.report, score: self.score }
    }

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

/// The clusters in the running.
#[derive(Debug)]
pub(super) struct Judgement {
    /// Best first, each once; barred ones left out.
    pub(super) standings: Vec<Standing>,
    /// What the best of those that are alike was judged by.
    pub(super) verdict: Option<Verdict>,
    /// The clusters people keep the text away from.
    pub(super) barred: BTreeSet<ClusterId>,
}

/// Judges by all that speaks for and against. `around` tells what surrounds the evidence at one place.
pub(super) fn judge(
    policy: &Policy,
    model: &Model,
    evidence: &Evidence,
    around: impl FnOnce(usize) -> Surroundings,
) -> Judgement {
    let barred = barred(evidence);
    let (alike, verdict) = by_likeness(policy, model, evidence, &barred, around);
    let mut all: Vec<Standing> =
        by_key(policy, evidence, &alike).filter(|exact| !barred.contains(&exact.cluster)).collect();
    all.extend(alike);
    all.sort_by(Standing::order);
    let mut seen = BTreeSet::new();
    all.retain(|standing| seen.insert(standing.cluster));
    Judgement { standings: all, verdict, barred }
}

/// What exact keys say. A fingerprint and an equal text are certain. A stack trace may have several causes: it is worth a
/// person's look and no more, and within these bounds as much as the judge says.
fn by_key<'e>(
    policy: &'e Policy,
    evidence: &'e Evidence,
    alike: &'e [Standing],
) -> impl Iterator<Item = Standing> + use<'e> {
    evidence.exact.iter().map(|&Exact { cluster, rank, key }| {
        let judged = || alike.iter().find(|standing| standing.cluster == cluster).map(|standing| standing.score);
        let (score, ground) = match key {
            Key::Fingerprint => (1.0, Ground::Fingerprint),
            Key::Text => (1.0, Ground::ExactText),
            Key::Stack => {
                let most = policy.cap();
                let least = policy.suggest.min(most);
                (judged().map_or(least, |judged| judged.clamp(least, most)), Ground::StackTrace)
            }
        };
        Standing { cluster, rank, score, ground }
    })
}

/// The clusters that are alike, and how the likeliest was judged.
fn by_likeness(
    policy: &Policy,
    model: &Model,
    evidence: &Evidence,
    barred: &BTreeSet<ClusterId>,
    around: impl FnOnce(usize) -> Surroundings,
) -> (Vec<Standing>, Option<Verdict>) {
    let near: Vec<usize> =
        (0..evidence.near.len()).filter(|&at| !barred.contains(&evidence.near[at].cluster)).collect();
    let mut numbers: FxHashMap<ClusterId, usize> = FxHashMap::default();
    let mut clusters = Vec::with_capacity(near.len());
    for &at in &near {
        let next = numbers.len();
        clusters.push(*numbers.entry(evidence.near[at].cluster).or_insert(next));
    }
    let measures: Vec<Measures> = near.iter().map(|&at| evidence.near[at].measures).collect();
    let (ranked, scores) = model.rank(&measures, &clusters);
    let Some(first) = ranked.first() else { return (Vec::new(), None) };
    let inputs = Model::gate_inputs(&measures, &clusters, &ranked, &scores, |best| {
        let Surroundings { cosines, fit } = around(near[best]);
        Surroundings { cosines: near.iter().map(|&at| cosines[at]).collect(), fit }
    });
    let verdict = Verdict { inputs, probability: model.probability(&inputs), share: f64::from(first.share) };
    let standing = |ranked: &Ranked| {
        let at = near[ranked.best];
        let near = &evidence.near[at];
        let judged = verdict.probability * f64::from(ranked.share) / verdict.share;
        let score = if evidence.own.contains(&near.cluster) { said_again(judged, evidence.own.len()) } else { judged };
        let comparison = &near.comparison;
        let is_capped = comparison.product_unknown || comparison.is_contradicted();
        let capped = if is_capped { score.min(policy.cap()) } else { score };
        let rules = comparison.score();
        let others = evidence.near.iter().filter(|other| other.cluster != near.cluster);
        let is_clear = || others.map(|other| other.comparison.score()).fold(0.0, f64::max) * LEAD <= rules;
        let twin = rules >= TWIN || rules >= CLEAR && is_clear();
        let ground = Ground::Alike { near: at, again: score - judged, capped: capped - score, twin };
        Standing { cluster: near.cluster, rank: near.rank, score: capped, ground }
    };
    (ranked.iter().map(standing).collect(), Some(verdict))
}

/// How probable it is that a report belongs to one of the clusters where the same person has one, if it would be this
/// probable of anybody.
fn said_again(probability: f64, clusters: usize) -> f64 {
    let more_often = 1.0 + (AGAIN - 1.0) / clusters.max(1) as f64;
    let odds = more_often * probability / (1.0 - probability);
    if odds.is_finite() { odds / (1.0 + odds) } else { 1.0 }
}

/// How the likeliest cluster was judged.
#[derive(Debug, Clone)]
pub(super) struct Verdict {
    pub(super) inputs: [f32; GATE_INPUTS],
    pub(super) probability: f64,
    share: f64,
}

/// The clusters people keep the text away from.
fn barred(evidence: &Evidence) -> BTreeSet<ClusterId> {
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
        if score < TWIN {
            continue;
        }
        let nearer_word = |cluster| placed_by_person.get(cluster).is_some_and(|&placed| placed >= score);
        barred.extend(near.apart.iter().filter(|cluster| !held.contains(cluster) && !nearer_word(cluster)));
    }
    barred
}

/// Decides by the best standing.
pub(super) fn decide(policy: &Policy, standings: &[Standing]) -> Decision {
    let Some(best) = standings.first() else { return Decision::New };
    let &Standing { cluster, rank: Rank { report, .. }, score, ground } = best;
    let attaches = match ground {
        // The same statement attaches whatever the thresholds are.
        Ground::Fingerprint | Ground::ExactText => true,
        Ground::StackTrace => false,
        Ground::Alike { capped, .. } => capped == 0.0 && score >= policy.of(Some(best)).attach,
    };
    if attaches {
        Decision::Attach { cluster, report }
    } else if score >= policy.suggest {
        Decision::Suggest { cluster, report }
    } else {
        Decision::New
    }
}
