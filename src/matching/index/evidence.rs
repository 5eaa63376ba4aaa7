//! What speaks for and against a report's belonging to what is known: found, measured, and put into words.

use rustc_hash::FxHashMap;

use super::{EXEMPLARS, Index, Wording};
use crate::domain::id::ClusterId;
use crate::matching::decide::{Evidence, Exact, Ground, Key, Near, Signal, Standing, Verdict};
use crate::matching::embed::Probe;
use crate::matching::features::Features;
use crate::matching::lexical::{Hit, Places, Query, told};
use crate::matching::measures::{self, ClusterView, Measure, Measures, UNTOLD};
use crate::matching::model::Surroundings;
use crate::matching::reasons;
use crate::matching::score::{self, Asked};

/// Reports of a young stream that are imagined to have come once each.
const IMAGINED_REPORTS: f64 = 30.0;
/// The nearest candidates that the others are compared with.
const SUPPORTERS: usize = 8;
/// Exemplars that are found by words, and as many by meaning. The right one is rarely further down.
const FOUND: usize = 50;

impl Index {
    /// Collects what speaks for and against. Where an exact match decides anyway, the search is left out if `exact_will_do`.
    pub(super) fn evidence(&self, features: &Features, query: &Query, exact_will_do: bool) -> Evidence {
        let mut evidence = Evidence::default();
        let text = features.says_something().then(|| features.signature());
        let exact = |key| move |(cluster, rank)| Exact { cluster, rank, key };
        if let Some(held) = features.fingerprint() {
            evidence.exact.extend(self.keys.fingerprints.holders(held).map(exact(Key::Fingerprint)));
            evidence.apart.extend(self.keys.fingerprints.apart.of(held));
        }
        if let Some(held) = text {
            evidence.exact.extend(self.text_holders(held).map(exact(Key::Text)));
            evidence.apart.extend(self.keys.texts_apart.of(held));
        }
        let decided = evidence.exact.iter().any(|exact| !evidence.apart.contains(&exact.cluster));
        if features.says_something() && !(exact_will_do && decided) {
            let stacks = features.stack().into_iter().flat_map(|stack| self.stacks.holders(stack));
            evidence.exact.extend(stacks.map(|(cluster, rank)| Exact { cluster, rank, key: Key::Stack }));
            evidence.near = self.measured(query, &evidence.exact, &mut evidence.rest);
        }
        evidence
    }

    /// Finds what may be the same and measures it.
    fn measured(&self, query: &Query, exact: &[Exact], rest: &mut Vec<u32>) -> Vec<Near> {
        let asked = Asked::of(query);
        let most_idf = self.lexicon.most_idf();
        let repeated = self.report_count().saturating_sub(self.cluster_count()) as f64;
        let repeats = repeated / (self.report_count() as f64 + IMAGINED_REPORTS);
        // What a person set apart speaks by every text that is like it.
        let apart = &self.keys.texts_apart;
        let crucial = |slot| !apart.is_empty() && apart.has(self.shown(slot).1.key.signature);
        let measure = |hit: &Hit, places: &Places| {
            let (cluster, wording) = self.shown(hit.slot);
            let document = self.lexicon.document(hit.slot);
            let comparison = score::compare(&self.lexicon, places, query, &asked, &document);
            let mut measures = comparison.measures(most_idf);
            let same_stack = exact.iter().any(|exact| exact.key == Key::Stack && exact.cluster == cluster);
            let days = measures::days(query.time, told(document.latest));
            let aligned = query.aligner.align(document.pieces.iter());
            let rank = |rank: u32| if rank == 0 { 0.0 } else { 1.0 / f64::from(rank) };
            for (measure, value) in [
                (Measure::Cosine, f64::from(hit.cosine)),
                (Measure::Aligned, aligned.map_or(UNTOLD, |aligned| aligned.mean)),
                (Measure::Alone, aligned.map_or(UNTOLD, |aligned| aligned.alone)),
                (Measure::SameStack, f64::from(u8::from(same_stack))),
                (Measure::Terms, (query.terms.len() as f64).ln_1p()),
                (Measure::LexicalRank, rank(hit.lexical_rank)),
                (Measure::VectorRank, rank(hit.vector_rank)),
                (Measure::Days, days.map_or(UNTOLD, f64::ln_1p)),
                (Measure::Recent, days.map_or(UNTOLD, |days| 1.0 / (1.0 + days / 7.0))),
                (Measure::Repeats, repeats),
            ] {
                measures.set(measure, value);
            }
            Near {
                cluster,
                rank: wording.best(),
                comparison,
                apart: apart.of(wording.key.signature).collect(),
                slot: hit.slot,
                measures,
            }
        };
        let mut near = self.lexicon.search(query, FOUND, crucial, measure, rest);
        let mut all: Vec<Measures> = near.iter().map(|near| near.measures).collect();
        measures::relate(&mut all);
        near.iter_mut().zip(all).for_each(|(near, measures)| near.measures = measures);
        self.measure_support(query, &mut near);
        self.measure_clusters(query, &mut near);
        near
    }

    /// Measures how near each candidate is to what else is near.
    pub(super) fn measure_support(&self, query: &Query, near: &mut [Near]) {
        let mut nearest: Vec<usize> = (0..near.len()).collect();
        let cosine = |at: &usize| near[*at].measures.get(Measure::Cosine);
        nearest.sort_unstable_by(|a, b| cosine(b).total_cmp(&cosine(a)).then(near[*a].rank.cmp(&near[*b].rank)));
        nearest.truncate(SUPPORTERS);
        let supporters: Vec<(usize, f64, Probe)> = nearest
            .iter()
            .filter_map(|&at| {
                Some((at, f64::from(cosine(&at).max(0.0)).powi(4), self.lexicon.probe_of(query, near[at].slot)?))
            })
            .collect();
        for (at, one) in near.iter_mut().enumerate() {
            let (mut sum, mut weights) = (0.0, 0.0);
            for (_, weight, probe) in supporters.iter().filter(|(other, ..)| *other != at) {
                let Some(cosine) = self.lexicon.cosine_in(query, probe, one.slot) else { continue };
                sum += weight * f64::from(cosine);
                weights += weight;
            }
            let lacks = weights == 0.0 && query.second.is_some();
            let otherwise = if lacks { f64::from(one.measures.get(Measure::Cosine)) } else { 0.0 };
            one.measures.set(Measure::Support, if weights > 0.0 { sum / weights } else { otherwise });
        }
    }

    /// Measures what the candidates' clusters add.
    pub(super) fn measure_clusters(&self, query: &Query, near: &mut [Near]) {
        let mut views: FxHashMap<ClusterId, (ClusterView, Vec<f32>)> = FxHashMap::default();
        for near in near.iter() {
            let view = || (self.view(near.cluster, query, near.measures.get(Measure::Cosine)), Vec::new());
            let (_, wholes) = views.entry(near.cluster).or_insert_with(view);
            wholes.push(near.measures.get(Measure::Whole));
        }
        let count = near.len() as f64;
        for near in near.iter_mut() {
            let Some((view, wholes)) = views.get_mut(&near.cluster) else { continue };
            let found = wholes.len();
            wholes.sort_unstable_by(|a, b| b.total_cmp(a));
            let best = &wholes[..found.min(3)];
            for (measure, value) in [
                (Measure::ClusterDays, view.days.map_or(UNTOLD, f64::ln_1p)),
                (Measure::ClusterSize, f64::from(view.size).ln()),
                (Measure::ClusterShare, found as f64 / count.max(1.0)),
                (Measure::ClusterMean, view.mean),
                (Measure::ClusterNearest, view.nearest),
                (Measure::ClusterWhole, f64::from(best.iter().sum::<f32>()) / best.len() as f64),
            ] {
                near.measures.set(measure, value);
            }
        }
    }

    /// What a cluster adds. `otherwise` is the cosine of one whose exemplars have none.
    fn view(&self, cluster: ClusterId, query: &Query, otherwise: f32) -> ClusterView {
        let Some(home) = self.clusters.get(cluster) else { return ClusterView::default() };
        let shown = home.texts.iter().take(EXEMPLARS).filter_map(Wording::shown_in);
        let probe = self.lexicon.probe(query);
        let mut cosines: Vec<f32> = shown.filter_map(|slot| self.lexicon.cosine_in(query, probe, slot)).collect();
        if cosines.is_empty() {
            cosines.push(otherwise);
        }
        cosines.sort_unstable_by(|a, b| b.total_cmp(a));
        let mean = |cosines: &[f32]| f64::from(cosines.iter().sum::<f32>()) / cosines.len().max(1) as f64;
        ClusterView {
            size: home.size,
            mean: mean(&cosines),
            nearest: mean(&cosines[..cosines.len().min(3)]),
            days: measures::days(query.time, told(home.latest)),
        }
    }

    /// What surrounds one of the candidates, as if the hidden texts were not there.
    pub(super) fn surroundings(
        &self,
        query: &Query,
        near: &[Near],
        at: usize,
        is_hidden: impl Fn(&Wording) -> bool,
    ) -> Surroundings {
        let one = &near[at];
        let Some(probe) = self.lexicon.probe_of(query, one.slot) else { return Surroundings::unknown(near.len()) };
        let new_probe = self.lexicon.probe(query);
        let cosine = |probe: &Probe, slot: u32| self.lexicon.cosine_in(query, probe, slot);
        let cosines = near.iter().map(|other| cosine(&probe, other.slot).unwrap_or(f32::NAN)).collect();
        let texts = self.clusters.get(one.cluster).into_iter().flat_map(|home| home.texts.iter().take(EXEMPLARS));
        let shown = texts.filter(|text| !is_hidden(text)).filter_map(Wording::shown_in);
        let (mut fit, mut new, mut others) = (0.0, 0.0, 0.0);
        for slot in shown.filter(|&slot| slot != one.slot) {
            if let Some((known, asked)) = cosine(&probe, slot).zip(cosine(new_probe, slot)) {
                fit += known;
                new += asked;
                others += 1.0;
            }
        }
        Surroundings { cosines, fit: (others > 0.0).then(|| (fit / others, new / others)) }
    }

    /// The text that is shown in a slot, and its cluster.
    pub(super) fn shown(&self, slot: u32) -> (ClusterId, &Wording) {
        let home = self.lexicon.home(slot).and_then(|number| self.cluster(number));
        let found = home.and_then(|(cluster, home)| {
            let is = |text: &&Wording| text.document.is_some_and(|document| document.number() == slot);
            Some((cluster, home.texts.iter().find(is)?))
        });
        found.expect("a text is hidden before its last member goes")
    }

    pub(super) fn signals(
        &self,
        features: &Features,
        query: &Query,
        evidence: &Evidence,
        best: &Standing,
        verdict: Option<&Verdict>,
    ) -> Vec<Signal> {
        let exact = |name, detail: &str| vec![Signal { name, weight: 1.0, detail: detail.to_owned() }];
        let (near, again, capped) = match best.ground {
            Ground::Fingerprint => return exact("fingerprint", "the caller gave both the same fingerprint"),
            Ground::ExactText => {
                return exact("exact_text", "both say the same, apart from numbers, dates and courtesies");
            }
            Ground::StackTrace => {
                let detail = "both have the same stack trace".to_owned();
                return vec![Signal { name: "stack_trace", weight: best.score, detail }];
            }
            Ground::Alike { near, again, capped, .. } => (&evidence.near[near], again, capped),
        };
        let document = self.lexicon.document(near.slot);
        let mut signals = Vec::new();
        if let Some(verdict) = verdict {
            let name = |places: &Places| score::shared_terms(features, query, places, &document);
            let shared = self.lexicon.with_places(query, name);
            signals = reasons::of(&self.model, &verdict.inputs, &near.measures, &shared);
            // Of equals another one may stand first.
            let rest = best.score - again - capped - verdict.probability;
            if rest != 0.0 {
                signals.push(Signal { name: "rivals", weight: rest, detail: "another cluster is as near".to_owned() });
            }
        }
        if again != 0.0 {
            let detail = "the same customer has a report there".to_owned();
            signals.push(Signal { name: "same_reporter", weight: again, detail });
        }
        if capped != 0.0 {
            let (name, detail) = if near.comparison.product_unknown {
                ("product_unknown", "only one of the two names its product")
            } else if near.comparison.has_little_evidence() {
                ("little_evidence", "they share little more than everyday words")
            } else {
                ("contradiction", "a number, a platform, a file format or an error code differs")
            };
            signals.push(Signal { name, weight: capped, detail: detail.to_owned() });
        }
        signals
    }
}
