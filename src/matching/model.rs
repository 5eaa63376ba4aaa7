//! The learned judge: which candidate is the likeliest, and how likely it is right.
//!
//! Two small networks over [`Measures`](super::measures::Measures). The *ranker* gives each candidate a number; the
//! share of a cluster is what its candidates have of the sum of the exponentials, so several exemplars that are near
//! speak together. The *gate* looks at the best candidate of the likeliest cluster, and at how far it is ahead, and gives
//! the probability that the report belongs there; what [speaks for](super::measures::SPEAK_FOR) one problem never lowers
//! it. Their weights are a text beside this file, made by `hearback train`.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use super::measures::{COUNT, Measure, Measures};

/// What the gate is told beside the measures of the best candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Lead {
    /// The logarithm of the odds by the cluster's share.
    Odds = COUNT,
    /// The ranker's number for the best candidate.
    Rank,
    /// How far that is ahead of the best of another cluster.
    Margin,
    /// The cluster's share of the ten best.
    OfTen,
    /// Candidates found, as a logarithm.
    Found,
    /// The logarithm of the odds by the share of all candidates that mean the same as the best one, in whichever cluster:
    /// a problem that lies in pieces is still known.
    KinOdds,
    /// How near the candidates of other clusters are to the best one, by their shares.
    Kin,
    /// How near the best candidate of the next cluster is to the best of all.
    Rival,
    /// How near the best candidate is to the other exemplars of its cluster: one that strayed in does not speak for it.
    Fit,
    /// How much nearer the report is to them.
    Nearer,
}

/// How many inputs the gate has.
pub(super) const GATE_INPUTS: usize = Lead::Nearer as usize + 1;
/// Odds beyond this say no more.
const MOST_ODDS: f32 = 6.0;
/// Two texts whose cosine is as low as this mean something else; they mean the same to a growing part from here on …
const NO_KIN: f32 = 0.4;
/// … up to here.
const SURE_KIN: f32 = 0.8;

/// What surrounds a candidate.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    /// The cosines between it and each candidate, itself included; [`f32::NAN`] where it is not known.
    pub(super) cosines: Vec<f32>,
    /// The mean cosine between it and the other exemplars of its cluster, and between those and the new report; not
    /// known if there is no other.
    pub(super) fit: Option<(f32, f32)>,
}

impl Surroundings {
    /// Of a candidate among so many, of which nobody knows what it means.
    pub(super) fn unknown(candidates: usize) -> Self {
        Self { cosines: vec![f32::NAN; candidates], fit: None }
    }
}

/// A cluster in the order of likelihood.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ranked {
    /// Where its best candidate stands among those that were ranked.
    pub(super) best: usize,
    /// Its share of all, 0 to 1.
    pub(super) share: f32,
}

/// The two networks.
#[derive(Debug, Clone, PartialEq)]
pub struct Model {
    pub(super) ranker: Network,
    pub(super) gate: Network,
}

static SHIPPED: LazyLock<Arc<Model>> = LazyLock::new(|| {
    Arc::new(Model::from_text(include_str!("weights.txt")).expect("the weights were written by `hearback train`"))
});

impl Model {
    /// The weights that come with the program.
    pub fn shipped() -> Arc<Self> {
        Arc::clone(&SHIPPED)
    }

    /// A judge that has learned nothing: it goes by the rules of thumb and the vectors.
    pub fn unlearned() -> Self {
        let network = |inputs: usize, bias: f32, trusted: &[(usize, f32)]| {
            let mut direct = vec![0.0; inputs];
            trusted.iter().for_each(|&(at, weight)| direct[at] = weight);
            Network {
                inputs,
                hidden: 1,
                mean: vec![0.0; inputs],
                scale: vec![1.0; inputs],
                first: vec![0.0; inputs],
                first_bias: vec![0.0],
                second: vec![0.0],
                direct,
                bias,
            }
        };
        let trusted = [(Measure::Rules as usize, 6.0), (Measure::Cosine as usize, 6.0)];
        Self { ranker: network(COUNT, 0.0, &trusted), gate: network(GATE_INPUTS, -7.0, &trusted) }
    }

    /// The candidates' clusters, likeliest first, and what the ranker says of each candidate. `clusters` names the
    /// cluster of each candidate by a number below their count.
    pub(super) fn rank(&self, all: &[Measures], clusters: &[usize]) -> (Vec<Ranked>, Vec<f32>) {
        let (mut normal, mut units) = (vec![0.0; self.ranker.inputs], vec![0.0; self.ranker.hidden]);
        let scores: Vec<f32> = all
            .iter()
            .map(|measures| {
                self.ranker.normal(&measures.0, &mut normal);
                self.ranker.answer(&normal, &mut units)
            })
            .collect();
        let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let mut ranked: Vec<Ranked> = Vec::new();
        let mut place = vec![usize::MAX; all.len()];
        let mut sum = 0.0;
        for (at, (&score, &cluster)) in scores.iter().zip(clusters).enumerate() {
            if place[cluster] == usize::MAX {
                place[cluster] = ranked.len();
                ranked.push(Ranked { best: at, share: 0.0 });
            }
            let entry = &mut ranked[place[cluster]];
            if score > scores[entry.best] {
                entry.best = at;
            }
            let mass = (score - top).exp();
            entry.share += mass;
            sum += mass;
        }
        ranked.iter_mut().for_each(|entry| entry.share /= sum);
        // Equal ones stay in the order of the search, which does not depend on when they came.
        ranked.sort_by(|a, b| b.share.total_cmp(&a.share));
        (ranked, scores)
    }

    /// What the gate looks at. `around` tells what surrounds one of the candidates.
    pub(super) fn gate_inputs(
        all: &[Measures],
        clusters: &[usize],
        ranked: &[Ranked],
        scores: &[f32],
        around: impl FnOnce(usize) -> Surroundings,
    ) -> [f32; GATE_INPUTS] {
        let mut inputs = [0.0; GATE_INPUTS];
        let Some(first) = ranked.first() else { return inputs };
        inputs[..COUNT].copy_from_slice(&all[first.best].0);
        let share = first.share.clamp(1e-4, 1.0 - 1e-4);
        let second = ranked.iter().skip(1).map(|other| scores[other.best]).fold(f32::NEG_INFINITY, f32::max);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order.truncate(10);
        let is_own = |at: usize| clusters[at] == clusters[first.best];
        let own = order.iter().filter(|&&at| is_own(at)).count();
        let Surroundings { cosines, fit } = around(first.best);
        let (mut mass, mut kin, mut others, mut nearness) = (0.0, 0.0, 0.0, 0.0);
        for (at, (score, &cosine)) in scores.iter().zip(&cosines).enumerate() {
            let own_mass = (score - scores[order[0]]).exp();
            mass += own_mass;
            if is_own(at) {
                kin += own_mass;
            } else if !cosine.is_nan() {
                kin += own_mass * ((cosine - NO_KIN) / (SURE_KIN - NO_KIN)).clamp(0.0, 1.0);
                others += own_mass;
                nearness += own_mass * cosine;
            }
        }
        let kin = (kin / mass).clamp(1e-4, 1.0 - 1e-4);
        let nearness = if others > 0.0 { nearness / others } else { f32::NAN };
        let rival = ranked.get(1).map_or(f32::NAN, |other| cosines[other.best]);
        let (fit, nearer) = fit.map_or((f32::NAN, f32::NAN), |(fit, new)| (fit, new - fit));
        for (lead, value) in [
            (Lead::Odds, (share / (1.0 - share)).ln().clamp(-MOST_ODDS, MOST_ODDS)),
            (Lead::Rank, scores[first.best]),
            (Lead::Margin, (scores[first.best] - second).min(MOST_ODDS)),
            (Lead::OfTen, own as f32 / order.len() as f32),
            (Lead::Found, (scores.len() as f32).ln_1p()),
            (Lead::KinOdds, (kin / (1.0 - kin)).ln().clamp(-MOST_ODDS, MOST_ODDS)),
            (Lead::Kin, nearness),
            (Lead::Rival, rival),
            (Lead::Fit, fit),
            (Lead::Nearer, nearer),
        ] {
            inputs[lead as usize] = value;
        }
        inputs
    }

    /// The probability that the likeliest cluster is the right one.
    pub(super) fn probability(&self, inputs: &[f32; GATE_INPUTS]) -> f64 {
        logistic(self.gate.score(inputs))
    }

    /// Reads weights.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_text(text: &str) -> Result<Self, String> {
        let mut words = text.lines().filter(|line| !line.starts_with('#')).flat_map(str::split_whitespace);
        let ranker = Network::read(&mut words, "ranker", COUNT)?;
        let gate = Network::read(&mut words, "gate", GATE_INPUTS)?;
        match words.next() {
            None => Ok(Self { ranker, gate }),
            Some(word) => Err(format!("there is more than two networks: {word}")),
        }
    }

    /// Writes weights, as [`Model::from_text`] reads them.
    pub fn to_text(&self) -> String {
        let mut text = "# Weights of the learned judge; made by `hearback train`.\n".to_owned();
        self.ranker.write("ranker", &mut text);
        self.gate.write("gate", &mut text);
        text
    }
}

/// A probability from the logarithm of its odds.
pub(super) fn logistic(odds: f32) -> f64 {
    1.0 / (1.0 + (-f64::from(odds)).exp())
}

/// A network of one hidden layer. Inputs are brought to mean 0 and deviation 1 first.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Network {
    pub(super) inputs: usize,
    pub(super) hidden: usize,
    pub(super) mean: Vec<f32>,
    /// One by the deviation; 0 for an input that is not used.
    pub(super) scale: Vec<f32>,
    /// For each input the weights to all hidden units.
    pub(super) first: Vec<f32>,
    pub(super) first_bias: Vec<f32>,
    pub(super) second: Vec<f32>,
    /// Weights past the hidden layer.
    pub(super) direct: Vec<f32>,
    pub(super) bias: f32,
}

/// Inputs further from the mean than so many deviations say no more.
const FURTHEST: f32 = 4.0;

impl Network {
    /// A network whose answer is the mean of the answers of several that bring their inputs to the same scale. Its hidden
    /// units are those of all.
    pub(super) fn together(networks: &[Self]) -> Self {
        let Some(first) = networks.first() else { panic!("there is a network to take the mean of") };
        let share = 1.0 / networks.len() as f32;
        let all = |part: fn(&Self) -> &[f32]| networks.iter().flat_map(part).copied().collect::<Vec<f32>>();
        let rows = |input: usize| networks.iter().flat_map(move |one| &one.first[input * one.hidden..][..one.hidden]);
        Self {
            inputs: first.inputs,
            hidden: networks.iter().map(|one| one.hidden).sum(),
            mean: first.mean.clone(),
            scale: first.scale.clone(),
            first: (0..first.inputs).flat_map(rows).copied().collect(),
            first_bias: all(|one| &one.first_bias),
            second: all(|one| &one.second).into_iter().map(|weight| weight * share).collect(),
            direct: (0..first.inputs)
                .map(|at| networks.iter().map(|one| one.direct[at]).sum::<f32>() * share)
                .collect(),
            bias: networks.iter().map(|one| one.bias).sum::<f32>() * share,
        }
    }

    /// All that is learned, the weights of the inputs first.
    pub(super) fn weights_mut(&mut self) -> impl Iterator<Item = &mut f32> {
        let rest = self.first_bias.iter_mut().chain(&mut self.second).chain(&mut self.direct);
        self.first.iter_mut().chain(rest).chain(std::iter::once(&mut self.bias))
    }

    fn parts(&self) -> [&[f32]; 6] {
        [&self.mean, &self.scale, &self.first, &self.first_bias, &self.second, &self.direct]
    }

    fn write(&self, name: &str, text: &mut String) {
        let _ = writeln!(text, "{name} {} {} {}", self.inputs, self.hidden, self.bias);
        for part in self.parts() {
            for row in part.chunks(self.hidden) {
                let row: Vec<String> = row.iter().map(|weight| format!("{weight:.4e}")).collect();
                let _ = writeln!(text, "{}", row.join(" "));
            }
        }
    }

    fn read<'t>(words: &mut impl Iterator<Item = &'t str>, name: &str, inputs: usize) -> Result<Self, String> {
        let mut word = |what: &str| words.next().ok_or_else(|| format!("{name}: {what} is missing"));
        if word("its name")? != name {
            return Err(format!("a network is not {name}"));
        }
        let count = |text: &str| text.parse::<usize>().map_err(|error| format!("{name}: {text}: {error}"));
        let number = |text: &str| text.parse::<f32>().map_err(|error| format!("{name}: {text}: {error}"));
        let (found, hidden) = (count(word("the number of inputs")?)?, count(word("the size of the layer")?)?);
        if found != inputs || !(1..=1_024).contains(&hidden) {
            return Err(format!("{name}: {found} inputs and {hidden} units do not fit"));
        }
        let bias = number(word("the bias")?)?;
        let mut part =
            |length: usize| (0..length).map(|_| number(word("a weight")?)).collect::<Result<Vec<f32>, String>>();
        Ok(Self {
            inputs,
            hidden,
            bias,
            mean: part(inputs)?,
            scale: part(inputs)?,
            first: part(inputs * hidden)?,
            first_bias: part(hidden)?,
            second: part(hidden)?,
            direct: part(inputs)?,
        })
    }

    /// The inputs as the network sees them. What is not known is ordinary.
    pub(super) fn normal(&self, raw: &[f32], normal: &mut [f32]) {
        for (at, value) in normal.iter_mut().enumerate() {
            let known = ((raw[at] - self.mean[at]) * self.scale[at]).clamp(-FURTHEST, FURTHEST);
            *value = if known.is_nan() { 0.0 } else { known };
        }
    }

    /// What the hidden units say of normal inputs.
    pub(super) fn activate(&self, normal: &[f32], units: &mut [f32]) {
        units.copy_from_slice(&self.first_bias);
        for (&value, weights) in normal.iter().zip(self.first.chunks_exact(self.hidden)) {
            if value != 0.0 {
                for (unit, weight) in units.iter_mut().zip(weights) {
                    *unit += value * weight;
                }
            }
        }
        for unit in units.iter_mut() {
            *unit = unit.max(0.0);
        }
    }

    /// The number for normal inputs.
    pub(super) fn answer(&self, normal: &[f32], units: &mut [f32]) -> f32 {
        self.activate(normal, units);
        let through: f32 = units.iter().zip(&self.second).map(|(unit, weight)| unit * weight).sum();
        let direct: f32 = normal.iter().zip(&self.direct).map(|(value, weight)| value * weight).sum();
        self.bias + through + direct
    }

    /// The number for raw inputs.
    pub(super) fn score(&self, raw: &[f32]) -> f32 {
        let (mut normal, mut units) = (vec![0.0; self.inputs], vec![0.0; self.hidden]);
        self.normal(raw, &mut normal);
        self.answer(&normal, &mut units)
    }
}

#[cfg(test)]
mod tests {
    use super::super::measures::{SPEAK_AGAINST, SPEAK_FOR};
    use super::*;

    fn network(seed: f32) -> Network {
        let draw = |count: usize| (0..count).map(|at| ((at as f32 + 1.7) * seed).sin()).collect::<Vec<f32>>();
        Network {
            inputs: 3,
            hidden: 2,
            mean: vec![0.5, 0.0, 1.0],
            scale: vec![1.0, 2.0, 0.5],
            first: draw(6),
            first_bias: draw(2),
            second: draw(2),
            direct: draw(3),
            bias: seed,
        }
    }

    #[test]
    fn networks_taken_together_answer_with_their_mean() {
        let networks = [network(1.3), network(2.9), network(0.4)];
        let together = Network::together(&networks);
        for raw in [[0.0, 0.0, 0.0], [1.0, -0.5, 3.0], [0.2, f32::NAN, -1.0]] {
            let mean = networks.iter().map(|one| one.score(&raw)).sum::<f32>() / 3.0;
            assert!((together.score(&raw) - mean).abs() < 1e-5, "{raw:?}");
        }
    }

    #[test]
    fn more_likeness_never_makes_the_same_problem_less_probable() {
        let model = Model::shipped();
        let gate = &model.gate;
        for (measures, side) in [(&SPEAK_FOR[..], 1.0), (&SPEAK_AGAINST[..], -1.0)] {
            for input in measures.iter().map(|&measure| measure as usize) {
                assert!(gate.direct[input] * side >= 0.0, "{measures:?}");
                let through = gate.first[input * gate.hidden..][..gate.hidden].iter().zip(&gate.second);
                assert!(through.into_iter().all(|(first, second)| first * second * side >= 0.0), "input {input}");
            }
        }
    }

    /// The gate's inputs of two clusters with one candidate each that the ranker takes for equal.
    fn of_two(cosine_between: f32) -> [f32; GATE_INPUTS] {
        let (all, clusters) = ([Measures::default(); 2], [0, 1]);
        let (ranked, scores) = Model::unlearned().rank(&all, &clusters);
        let around = |_| Surroundings { cosines: vec![1.0, cosine_between], fit: None };
        Model::gate_inputs(&all, &clusters, &ranked, &scores, around)
    }

    #[test]
    fn a_problem_in_two_clusters_is_as_well_known_as_in_one_if_they_mean_the_same() {
        let (same, other) = (of_two(0.95), of_two(0.1));
        let lead = |inputs: &[f32; GATE_INPUTS], lead: Lead| inputs[lead as usize];
        assert!(lead(&same, Lead::Odds).abs() < 1e-5 && lead(&other, Lead::Odds).abs() < 1e-5);
        assert!(lead(&other, Lead::KinOdds).abs() < 1e-5, "a rival that means something else leaves it open");
        assert!(lead(&same, Lead::KinOdds) >= MOST_ODDS, "a rival that means the same does not");
        assert!(lead(&same, Lead::Fit).is_nan(), "a cluster of one fits itself, which tells nothing");
    }
}
