//! The learned judge: which candidate is the likeliest, and how likely it is right.
//!
//! Two small networks over [`Measures`](super::measures::Measures). The *ranker* gives each candidate a number; the
//! share of a cluster is what its candidates have of the sum of the exponentials, so several exemplars that are near
//! speak together. The *gate* looks at the best candidate of the likeliest cluster, and at how far it is ahead, and gives
//! the probability that the report belongs there. Their weights are a text beside this file, made by `hearback train`.

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
}

/// How many inputs the gate has.
pub(super) const GATE_INPUTS: usize = Lead::Found as usize + 1;
/// Odds beyond this say no more.
const MOST_ODDS: f32 = 6.0;

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

    /// What the gate looks at.
    pub(super) fn gate_inputs(
        all: &[Measures],
        clusters: &[usize],
        ranked: &[Ranked],
        scores: &[f32],
    ) -> [f32; GATE_INPUTS] {
        let mut inputs = [0.0; GATE_INPUTS];
        let Some(first) = ranked.first() else { return inputs };
        inputs[..COUNT].copy_from_slice(&all[first.best].0);
        let share = first.share.clamp(1e-4, 1.0 - 1e-4);
        let second = ranked.iter().skip(1).map(|other| scores[other.best]).fold(f32::NEG_INFINITY, f32::max);
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
        order.truncate(10);
        let own = order.iter().filter(|&&at| clusters[at] == clusters[first.best]).count();
        for (lead, value) in [
            (Lead::Odds, (share / (1.0 - share)).ln().clamp(-MOST_ODDS, MOST_ODDS)),
            (Lead::Rank, scores[first.best]),
            (Lead::Margin, (scores[first.best] - second).min(MOST_ODDS)),
            (Lead::OfTen, own as f32 / order.len() as f32),
            (Lead::Found, (scores.len() as f32).ln_1p()),
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
