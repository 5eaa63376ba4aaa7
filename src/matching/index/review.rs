//! A second look at what is placed: which clusters may be one problem, and which may be several.
//!
//! When a report came, it was held against what was known then. Later there is more: clusters began that may be one, and
//! a cluster may have grown along a chain of likenesses. So a cluster's exemplars are asked again where they belong, each
//! as if it had just come and some texts were not there:
//!
//! - without all of its own cluster ([`Index::rivals`]): a cluster whose exemplars would go to another one is perhaps the
//!   same problem;
//! - without itself and those that hang together with it ([`Index::parts`]): exemplars that hang together with no other
//!   are perhaps another problem. That bounds a cluster's diameter: a chain holds only as long as each link does.
//!
//! Nothing is changed by either. Texts that a person placed or vouched for hang together by that.

use std::collections::BTreeSet;

use rustc_hash::FxHashSet;

use super::{Cluster, Index, TextKey, Wording};
use crate::domain::id::{ClusterId, ReportId};
use crate::matching::decide::{self, Evidence, Judgement, Near, Signal};
use crate::matching::digest::{Member, Rarity};
use crate::matching::features::Features;
use crate::matching::lexical::{Query, told};
use crate::matching::measures::{self, Measure, Measures};

/// Exemplars of a cluster that are looked at, the best ones: each is asked again whenever two parts join, while new reports
/// wait for the index.
const REVIEWED: usize = 12;
/// Other clusters that are told of one text.
const RIVALS: usize = 3;
/// Reports of one part that are told.
const PART_REPORTS: usize = 100;

/// A text that speaks for its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemplar {
    /// The best report with this text.
    pub report: ReportId,
    /// Whether a person put that report where it is.
    pub by_person: bool,
}

/// Another cluster that a text may belong to.
#[derive(Debug, Clone, PartialEq)]
pub struct Rival {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its member that is most alike.
    pub report: ReportId,
    /// How probable it is, 0 to 1.
    pub score: f64,
    /// Why.
    pub signals: Vec<Signal>,
}

/// Reports that hang together, and with the rest of their cluster do not.
#[derive(Debug, Clone, PartialEq)]
pub struct Part {
    /// Its reports, the first of its best text first.
    pub reports: Vec<ReportId>,
    /// How probable it is at best that one of its texts belongs to the rest, 0 to 1.
    pub score: f64,
}

impl Index {
    /// The texts that speak for a cluster, the best first.
    pub fn exemplars(&self, cluster: ClusterId) -> Vec<Exemplar> {
        let exemplar = |text: &Wording| Exemplar { report: text.best().report, by_person: !text.best().matched };
        self.clusters.get(cluster).map_or_else(Vec::new, |home| exemplars_of(home).map(exemplar).collect())
    }

    /// How many reports a cluster has.
    pub(in crate::matching) fn size(&self, cluster: ClusterId) -> usize {
        self.clusters.get(cluster).map_or(0, |home| home.size as usize)
    }

    /// How rare the terms of these members are among all reports.
    pub fn rarity(&self, members: &[Member]) -> Rarity {
        let mut rarity = Rarity::default();
        for member in members {
            let features = member.features();
            let terms = self.lexicon.query(features).terms;
            rarity.0.extend(terms.iter().map(|term| (features.terms()[term.at].key, term.idf)));
        }
        rarity
    }

    /// Where else a text of this cluster may belong, best first: judged as if nothing of the cluster were there. Clusters
    /// that people keep it away from are left out.
    pub fn rivals(&self, own: ClusterId, features: &Features) -> Vec<Rival> {
        let query = self.lexicon.query(features);
        let evidence = self.evidence(features, &query, false);
        let evidence = self.without(&query, &evidence, own, |_| true);
        let judgement = self.judge(&query, &evidence);
        let rival = |best: &decide::Standing| Rival {
            cluster: best.cluster,
            report: best.rank.report,
            score: best.score,
            signals: self.signals(features, &query, &evidence, best, judgement.verdict.as_ref()),
        };
        judgement.standings.iter().take(RIVALS).map(rival).collect()
    }

    /// The parts of a cluster that do not hang together with its main part, which is left out: the part that people
    /// vouched for, else the one with the most reports. `texts` are the exemplars' texts as they were read; two hang
    /// together if one would be suggested to belong to the other, or if both have the same fingerprint or stack trace. A
    /// part that would go to another cluster together with the rest is left out too.
    pub fn parts(&self, cluster: ClusterId, texts: &[Features], vouched: &BTreeSet<ReportId>) -> Vec<Part> {
        let Some(home) = self.clusters.get(cluster) else { return Vec::new() };
        let mut asked: Vec<Asked<'_>> = Vec::new();
        for wording in exemplars_of(home) {
            let Some(features) = texts.iter().find(|features| key_of(features) == wording.key) else { continue };
            let query = self.lexicon.query(features);
            let evidence = self.evidence(features, &query, false);
            let is_vouched = wording.members.iter().any(|rank| !rank.matched || vouched.contains(&rank.report));
            asked.push(Asked { wording, query, evidence, is_vouched });
        }
        let is_asked = |text: &&Wording| asked.iter().any(|asked| asked.wording.key == text.key);
        let unasked: Vec<TextKey> = home.texts.iter().filter(|text| !is_asked(text)).map(|text| text.key).collect();
        let mut parts = joined_by_keys(self, &asked);
        let scores = loop {
            let scores: Vec<(f64, usize)> =
                (0..parts.len()).map(|at| self.outlook(cluster, &asked, &unasked, &parts, at)).collect();
            let joins = |&at: &usize| parts.len() > 1 && scores[at].0 >= self.policy.suggest && scores[at].1 != at;
            let Some(at) = (0..parts.len()).find(joins) else { break scores };
            let other = scores[at].1;
            let joining = std::mem::take(&mut parts[at]);
            parts[other].extend(joining);
            parts[other].sort_unstable();
            parts.remove(at);
        };
        let weight = |part: &Vec<usize>| {
            let vouched = part.iter().any(|&at| asked[at].is_vouched);
            let reports: usize = part.iter().map(|&at| asked[at].wording.members.len()).sum();
            (vouched, reports, std::cmp::Reverse(part[0]))
        };
        let main = (0..parts.len()).max_by_key(|&at| weight(&parts[at]));
        let is_apart = |at, part: &[usize]| Some(at) != main && !self.go_together(cluster, &asked, part);
        let apart = parts.iter().zip(scores).enumerate().filter(|(at, (part, _))| is_apart(*at, part));
        let part = |(_, (part, (score, _))): (usize, (&Vec<usize>, (f64, usize)))| {
            let reports = part.iter().flat_map(|&at| asked[at].wording.members.iter()).map(|rank| rank.report);
            Part { reports: reports.take(PART_REPORTS).collect(), score }
        };
        apart.map(part).collect()
    }

    /// How probable it is that a part belongs to the rest of its cluster, and which part then is the nearest; itself if
    /// there is none. Texts of the cluster that are not asked say nothing.
    fn outlook(
        &self,
        cluster: ClusterId,
        asked: &[Asked<'_>],
        unasked: &[TextKey],
        parts: &[Vec<usize>],
        at: usize,
    ) -> (f64, usize) {
        let own = parts[at].iter().map(|&text| asked[text].wording.key);
        let hidden: FxHashSet<TextKey> = own.chain(unasked.iter().copied()).collect();
        let mut best = (0.0, at);
        for &text in &parts[at] {
            let Asked { query, evidence, .. } = &asked[text];
            let evidence = self.without(query, evidence, cluster, |key| hidden.contains(&key));
            let Judgement { standings, .. } = self.judge_without(query, &evidence, |text| hidden.contains(&text.key));
            let Some(own) = standings.iter().find(|standing| standing.cluster == cluster) else { continue };
            let holds = |part: &Vec<usize>| part.iter().any(|&text| asked[text].wording.best() == own.rank);
            if let Some(nearest) = parts.iter().position(holds)
                && own.score > best.0
            {
                best = (own.score, nearest);
            }
        }
        best
    }

    /// Whether some text of a part and some other text of its cluster would go to one and the same other cluster, if theirs
    /// were not there. Then the part is no other problem than the rest: all three are perhaps one. Unless a person keeps a
    /// report of that cluster away from this one.
    fn go_together(&self, cluster: ClusterId, asked: &[Asked<'_>], part: &[usize]) -> bool {
        let (of_part, of_rest): (Vec<usize>, Vec<usize>) = (0..asked.len()).partition(|at| part.contains(at));
        let ways = |texts: Vec<usize>| -> BTreeSet<ClusterId> {
            let way = |at: usize| {
                let Asked { query, evidence, .. } = &asked[at];
                let evidence = self.without(query, evidence, cluster, |_| true);
                let standings = self.judge(query, &evidence).standings;
                standings.into_iter().filter(|other| other.score >= self.policy.suggest).map(|other| other.cluster)
            };
            texts.into_iter().flat_map(way).collect()
        };
        let mut shared = ways(of_part);
        for (report, _) in self.apart.iter().filter(|(_, kept_from)| kept_from.contains(&cluster)) {
            self.cluster_of(*report).map(|kept| shared.remove(&kept));
        }
        !shared.is_empty() && !shared.is_disjoint(&ways(of_rest))
    }

    /// The evidence as it would be if these texts of a cluster were not there, and nothing else of it were known.
    fn without(
        &self,
        query: &Query,
        evidence: &Evidence,
        cluster: ClusterId,
        is_hidden: impl Fn(TextKey) -> bool,
    ) -> Evidence {
        let key = |near: &Near| self.shown(near.slot).1.key;
        let (gone, mut near): (Vec<Near>, Vec<Near>) =
            evidence.near.iter().cloned().partition(|near| near.cluster == cluster && is_hidden(key(near)));
        // Who stood behind one that is gone moves up.
        for measure in [Measure::LexicalRank, Measure::VectorRank] {
            let ranks: Vec<f32> = gone.iter().map(|near| near.measures.get(measure)).collect();
            for near in &mut near {
                let share = near.measures.get(measure);
                if share > 0.0 {
                    let before = ranks.iter().filter(|&&other| other > share).count() as f64;
                    near.measures.set(measure, 1.0 / (1.0 / f64::from(share) - before).max(1.0));
                }
            }
        }
        let mut all: Vec<Measures> = near.iter().map(|near| near.measures).collect();
        measures::relate(&mut all);
        near.iter_mut().zip(all).for_each(|(near, measures)| near.measures = measures);
        self.measure_support(query, &mut near);
        self.measure_clusters(query, &mut near);
        self.measure_rest(query, &mut near, cluster, is_hidden);
        let exact = evidence.exact.iter().filter(|exact| exact.cluster != cluster).copied().collect();
        Evidence { exact, near, rest: Vec::new(), apart: evidence.apart.clone(), own: BTreeSet::new() }
    }

    /// Measures what a cluster adds without the texts that are hidden.
    fn measure_rest(&self, query: &Query, near: &mut [Near], cluster: ClusterId, is_hidden: impl Fn(TextKey) -> bool) {
        let Some(home) = self.clusters.get(cluster) else { return };
        let (left, hidden): (Vec<&Wording>, Vec<&Wording>) = exemplars_of(home).partition(|text| !is_hidden(text.key));
        let slots = left.iter().filter_map(|text| text.shown_in());
        let mut cosines: Vec<f32> =
            slots.filter_map(|slot| self.lexicon.cosine_in(query, self.lexicon.probe(query), slot)).collect();
        cosines.sort_unstable_by(|a, b| b.total_cmp(a));
        let mean = |cosines: &[f32]| f64::from(cosines.iter().sum::<f32>()) / cosines.len().max(1) as f64;
        let gone: usize = hidden.iter().map(|text| text.members.len()).sum();
        let size = (home.size as usize).saturating_sub(gone).max(1);
        let latest = left.iter().map(|text| text.latest).max();
        let days = measures::days(query.time, latest.and_then(told));
        for near in near.iter_mut().filter(|near| near.cluster == cluster) {
            for (measure, value) in [
                (Measure::ClusterMean, mean(&cosines)),
                (Measure::ClusterNearest, mean(&cosines[..cosines.len().min(3)])),
                (Measure::ClusterSize, (size as f64).ln()),
                (Measure::ClusterDays, days.map_or(measures::UNTOLD, f64::ln_1p)),
                // Texts of one stack trace hang together by that; what is left has another one.
                (Measure::SameStack, 0.0),
            ] {
                near.measures.set(measure, value);
            }
        }
    }
}

/// An exemplar that is asked where it belongs.
struct Asked<'i> {
    wording: &'i Wording,
    query: Query,
    evidence: Evidence,
    is_vouched: bool,
}

fn exemplars_of(home: &Cluster) -> impl Iterator<Item = &Wording> {
    home.texts.iter().take(REVIEWED).filter(|text| text.shown_in().is_some())
}

fn key_of(features: &Features) -> TextKey {
    TextKey { signature: features.signature(), words: features.words() }
}

/// The exemplars by their places, those together that hang together whatever their words are like.
fn joined_by_keys(index: &Index, asked: &[Asked<'_>]) -> Vec<Vec<usize>> {
    let same = |one: &Asked<'_>, other: &Asked<'_>| {
        let member = |asked: &Asked<'_>| index.members.get(asked.wording.best().report);
        let (Some(first), Some(second)) = (member(one), member(other)) else { return false };
        let shares = |first: Option<_>, second: Option<_>| first.is_some() && first == second;
        one.is_vouched && other.is_vouched
            || one.wording.key.signature == other.wording.key.signature
            || shares(first.fingerprint(), second.fingerprint())
            || shares(first.stack(), second.stack())
    };
    let mut parts: Vec<Vec<usize>> = Vec::new();
    for at in 0..asked.len() {
        let (joined, apart): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|part| part.iter().any(|&other| same(&asked[at], &asked[other])));
        let mut part: Vec<usize> = joined.into_iter().flatten().chain([at]).collect();
        part.sort_unstable();
        parts = apart;
        parts.push(part);
    }
    parts.sort_unstable();
    parts
}

#[cfg(test)]
mod tests;
