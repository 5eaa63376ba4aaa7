//! Learning the weights of a [`Network`] from examples; the same examples give the same weights.

mod pupil;

use rustc_hash::FxHashMap;

use super::measures::{COUNT, Measure, Measures, SPEAK_AGAINST, SPEAK_FOR};
use super::model::{GATE_INPUTS, Model, Network, Surroundings, logistic};
use crate::domain::id::{ClusterId, ReportId};
use pupil::{Course, OneSided, Pupil};

/// Numbers that look random and are the same in every run.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The same seed gives the same numbers.
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// From 0 up to 1.
    pub fn unit(&mut self) -> f32 {
        (self.next() >> 40) as f32 / (1 << 24) as f32
    }

    /// From 0 up to `limit`, which it is below; 0 if that is 0.
    pub fn below(&mut self, limit: usize) -> usize {
        (((self.next() >> 32) * limit as u64) >> 32) as usize
    }

    pub(super) fn shuffle<T>(&mut self, all: &mut [T]) {
        for at in (1..all.len()).rev() {
            let other = self.below(at + 1);
            all.swap(at, other);
        }
    }
}

/// A report beside what was known when it came, to learn from.
#[derive(Debug, Clone)]
pub struct Lesson {
    rows: Vec<Row>,
}

/// A candidate of a lesson.
#[derive(Debug, Clone)]
pub(super) struct Row {
    report: ReportId,
    cluster: ClusterId,
    measures: Measures,
    around: Surroundings,
    /// The report is about the same.
    same: bool,
    /// The cluster is where it belongs.
    belongs: bool,
}

impl Row {
    pub(super) fn new(report: ReportId, cluster: ClusterId, measures: Measures, around: Surroundings) -> Self {
        Self { report, cluster, measures, around, same: false, belongs: false }
    }
}

impl Lesson {
    pub(super) fn new(rows: Vec<Row>) -> Self {
        Self { rows }
    }

    /// Says what is true.
    pub fn answer(&mut self, mut same: impl FnMut(ReportId) -> bool, mut belongs: impl FnMut(ClusterId) -> bool) {
        for row in &mut self.rows {
            row.same = same(row.report);
            row.belongs = belongs(row.cluster);
        }
    }

    /// Whether nothing was found, so that nothing can be learned.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

/// How networks are taught.
#[derive(Debug, Clone, Copy)]
pub struct Teaching {
    /// How often the lessons are gone through.
    pub rounds: usize,
    /// Another number gives other weights of the same worth.
    pub seed: u64,
}

impl Default for Teaching {
    fn default() -> Self {
        Self { rounds: 10, seed: 1 }
    }
}

/// Lessons of a stream that the ranker is taught by, at most; those where it can learn something.
const RANKED: usize = 2_000;
/// Right and wrong candidates of a lesson that are looked at in one round.
const MOST_RIGHT: usize = 8;
const MOST_WRONG: usize = 32;
/// Lessons of a stream that the gate is taught by, at most, and out of how many at its beginning: how sure to be is learned
/// where most tenants are, and an order from all there is.
const GATED: usize = 4_000;
const GATED_FROM: usize = 8_000;
/// Each stream counts as much as the next, but for the smallest.
const SMALL_STREAM: f32 = 200.0;

/// Networks of either kind that learn from other lots and are taken together: what one of them is wrong about by chance the
/// others are not. More rankers find nothing more; with more gates less depends on the seed, and one is asked once a report.
const RANKERS: u64 = 3;
const GATES: u64 = 9;

/// Steps become smaller down to this share of the first.
const SLOWEST: f32 = 0.2;
/// After this share of all steps the weights are averaged.
const SETTLES: f32 = 0.5;

/// Teaches both networks by streams of lessons: first the order, then how sure it is. From the streams of `gate_only`
/// nothing is learned about the order.
pub fn teach(streams: &[&[Lesson]], gate_only: &[&[Lesson]], teaching: &Teaching) -> Model {
    let ranker = teach_ranker(streams, teaching);
    let gate = teach_gate(&ranker, &[streams, gate_only].concat(), teaching);
    Model { ranker, gate }
}

fn stream_weight(lessons: usize) -> f32 {
    1_000.0 / (lessons as f32 + SMALL_STREAM)
}

fn teach_ranker(streams: &[&[Lesson]], teaching: &Teaching) -> Network {
    let mut dice = Dice::new(teaching.seed + 7);
    let mut lessons: Vec<(&Lesson, f32)> = Vec::new();
    for stream in streams {
        let is_telling =
            |lesson: &&Lesson| lesson.rows.iter().any(|row| row.same) && lesson.rows.iter().any(|row| !row.same);
        let mut telling: Vec<&Lesson> = stream.iter().filter(is_telling).collect();
        dice.shuffle(&mut telling);
        telling.truncate(RANKED);
        let weight = stream_weight(telling.len());
        lessons.extend(telling.into_iter().map(|lesson| (lesson, weight)));
    }
    let rankers = (0..RANKERS).map(|ranker| {
        let course = Course {
            hidden: 24,
            rounds: teaching.rounds,
            rate: 0.003,
            decay: 0.3,
            dropout: 0.35,
            seed: teaching.seed + 1_000 * ranker,
            batch: 16,
        };
        teach_one_ranker(&mut lessons, &course, &mut dice)
    });
    Network::together(&rankers.collect::<Vec<_>>())
}

fn teach_one_ranker(lessons: &mut [(&Lesson, f32)], course: &Course, dice: &mut Dice) -> Network {
    let rows = lessons.iter().flat_map(|(lesson, weight)| lesson.rows.iter().map(|row| (&row.measures.0[..], *weight)));
    let mut pupil = Pupil::new(COUNT, course, rows);
    let steps = (course.rounds * lessons.len().div_ceil(course.batch)) as f32;
    let mut step = 0.0;
    for _ in 0..course.rounds {
        dice.shuffle(lessons);
        for batch in lessons.chunks(course.batch) {
            for (lesson, weight) in batch {
                let mut rows: Vec<&Row> = lesson.rows.iter().collect();
                dice.shuffle(&mut rows);
                let (mut right, mut wrong) = (0, 0);
                rows.retain(|row| {
                    let count = if row.same { &mut right } else { &mut wrong };
                    *count += 1;
                    *count <= if row.same { MOST_RIGHT } else { MOST_WRONG }
                });
                rank_rows(&mut pupil, &rows, weight / course.batch as f32, course.dropout, dice);
            }
            step += 1.0;
            pupil.step(course.rate * (1.0 - step / steps).max(SLOWEST), course.decay);
            if step > steps * SETTLES {
                pupil.settle();
            }
        }
    }
    pupil.finish()
}

/// One lesson of the ranker: the right candidates together should have the whole share.
fn rank_rows(pupil: &mut Pupil, rows: &[&Row], weight: f32, dropout: f32, dice: &mut Dice) {
    let hidden = pupil.network.hidden;
    let kept: Vec<bool> = (0..COUNT).map(|_| dice.unit() >= dropout).collect();
    let (mut normals, mut units) = (vec![0.0; COUNT * rows.len()], vec![0.0; hidden * rows.len()]);
    let mut scores = Vec::with_capacity(rows.len());
    for ((row, normal), units) in rows.iter().zip(normals.chunks_exact_mut(COUNT)).zip(units.chunks_exact_mut(hidden)) {
        pupil.network.normal(&row.measures.0, normal);
        normal.iter_mut().zip(&kept).filter(|(_, kept)| !**kept).for_each(|(value, _)| *value = 0.0);
        scores.push(pupil.network.answer(normal, units));
    }
    let top = scores.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let masses: Vec<f32> = scores.iter().map(|score| (score - top).exp()).collect();
    let all: f32 = masses.iter().sum();
    let right: f32 = masses.iter().zip(rows).filter(|(_, row)| row.same).map(|(mass, _)| mass).sum();
    for (at, row) in rows.iter().enumerate() {
        let wanted = if row.same { masses[at] / right.max(1e-9) } else { 0.0 };
        let slope = (masses[at] / all - wanted) * weight;
        pupil.learn(&normals[at * COUNT..(at + 1) * COUNT], &units[at * hidden..(at + 1) * hidden], slope);
    }
}

/// What the gate sees, what it should say, and how much that counts.
type Case = ([f32; GATE_INPUTS], bool, f32);

fn teach_gate(ranker: &Network, streams: &[&[Lesson]], teaching: &Teaching) -> Network {
    let mut dice = Dice::new(teaching.seed + 8);
    let model = Model { ranker: ranker.clone(), gate: ranker.clone() };
    let mut cases: Vec<Case> = Vec::new();
    for stream in streams {
        let first = stream.iter().take(GATED_FROM);
        let mut some: Vec<&Lesson> = first.filter(|lesson| !lesson.is_empty()).collect();
        dice.shuffle(&mut some);
        some.truncate(GATED);
        let weight = stream_weight(some.len());
        cases.extend(some.into_iter().map(|lesson| {
            let (inputs, belongs) = lesson.gate_case(&model);
            (inputs, belongs, weight)
        }));
    }
    let gates = (0..GATES).map(|gate| {
        let course = Course {
            hidden: 16,
            rounds: teaching.rounds,
            rate: 0.002,
            decay: 0.03,
            dropout: 0.05,
            seed: teaching.seed + 1 + 1_000 * gate,
            batch: 32,
        };
        teach_one_gate(&mut cases, &course, &mut dice)
    });
    Network::together(&gates.collect::<Vec<_>>())
}

fn teach_one_gate(cases: &mut [Case], course: &Course, dice: &mut Dice) -> Network {
    let pupil = Pupil::new(GATE_INPUTS, course, cases.iter().map(|(inputs, _, weight)| (&inputs[..], *weight)));
    let sides = [(&SPEAK_FOR[..], 1.0), (&SPEAK_AGAINST[..], -1.0)];
    let one_sided = |(measures, side): (&'static [Measure], f32)| {
        measures.iter().map(move |&measure| OneSided { input: measure as usize, side })
    };
    let mut pupil = pupil.one_sided(sides.into_iter().flat_map(one_sided));
    let steps = (course.rounds * cases.len().div_ceil(course.batch)) as f32;
    let (mut normal, mut units) = ([0.0; GATE_INPUTS], vec![0.0; course.hidden]);
    let mut step = 0.0;
    for _ in 0..course.rounds {
        dice.shuffle(cases);
        for batch in cases.chunks(course.batch) {
            for (inputs, belongs, weight) in batch {
                pupil.network.normal(inputs, &mut normal);
                for value in &mut normal {
                    if dice.unit() < course.dropout {
                        *value = 0.0;
                    }
                }
                let probability = logistic(pupil.network.answer(&normal, &mut units)) as f32;
                let slope = (probability - f32::from(u8::from(*belongs))) * weight / course.batch as f32;
                pupil.learn(&normal, &units, slope);
            }
            step += 1.0;
            pupil.step(course.rate * (1.0 - step / steps).max(SLOWEST), course.decay);
            if step > steps * SETTLES {
                pupil.settle();
            }
        }
    }
    pupil.finish()
}

impl Lesson {
    /// What the gate sees, and what it should say.
    fn gate_case(&self, model: &Model) -> ([f32; GATE_INPUTS], bool) {
        let mut numbers: FxHashMap<ClusterId, usize> = FxHashMap::default();
        let mut clusters = Vec::with_capacity(self.rows.len());
        for row in &self.rows {
            let next = numbers.len();
            clusters.push(*numbers.entry(row.cluster).or_insert(next));
        }
        let measures: Vec<Measures> = self.rows.iter().map(|row| row.measures).collect();
        let (ranked, scores) = model.rank(&measures, &clusters);
        let belongs = ranked.first().is_some_and(|first| self.rows[first.best].belongs);
        let around = |at: usize| self.rows[at].around.clone();
        (Model::gate_inputs(&measures, &clusters, &ranked, &scores, around), belongs)
    }
}
