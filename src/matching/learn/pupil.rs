//! A network while it learns: gradients, steps, and the mean of the last of them.

use super::Dice;
use crate::matching::model::Network;

/// How a network learns.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) hidden: usize,
    pub(super) rounds: usize,
    pub(super) rate: f32,
    pub(super) decay: f32,
    /// The share of hidden units and inputs left out at each step, so that none is relied upon alone.
    pub(super) dropout: f32,
    pub(super) seed: u64,
    pub(super) batch: usize,
}

/// A network while it learns (Adam).
#[derive(Debug)]
pub(super) struct Pupil {
    pub(super) network: Network,
    /// The mean of the weights of the last steps, and of how many: it is steadier than where the steps happen to end.
    /// Polyak and Juditsky, "Acceleration of stochastic approximation by averaging", 1992.
    settled: Vec<f64>,
    settling: u32,
    gradient: Vec<f32>,
    mean: Vec<f32>,
    square: Vec<f32>,
    steps: i32,
    one_sided: Vec<OneSided>,
    /// To which side each hidden unit moves the answer, 1 or -1, if an input is one-sided. It stays on it.
    sides: Vec<f32>,
}

/// An input of which more can only raise the answer, or can only lower it.
#[derive(Debug, Clone, Copy)]
pub(super) struct OneSided {
    pub(super) input: usize,
    /// 1 if it raises, -1 if it lowers.
    pub(super) side: f32,
}

impl Pupil {
    /// A network that knows nothing but the scale of its inputs.
    pub(super) fn new<'r>(inputs: usize, course: &Course, rows: impl Iterator<Item = (&'r [f32], f32)>) -> Self {
        let (mut sum, mut square, mut total) = (vec![0.0_f64; inputs], vec![0.0_f64; inputs], vec![0.0_f64; inputs]);
        for (row, weight) in rows {
            let weight = f64::from(weight);
            for (at, &value) in row.iter().enumerate().filter(|(_, value)| !value.is_nan()) {
                total[at] += weight;
                sum[at] += weight * f64::from(value);
                square[at] += weight * f64::from(value) * f64::from(value);
            }
        }
        let mut dice = Dice::new(course.seed);
        let mean: Vec<f32> = sum.iter().zip(&total).map(|(sum, total)| (sum / total.max(1e-9)) as f32).collect();
        let scale = (0..inputs)
            .map(|at| {
                let deviation = (square[at] / total[at].max(1e-9) - f64::from(mean[at]).powi(2)).max(0.0).sqrt();
                if deviation > 1e-4 { (1.0 / deviation) as f32 } else { 0.0 }
            })
            .collect();
        let spread = (6.0 / (inputs + course.hidden) as f32).sqrt();
        let mut draw =
            |count: usize, spread: f32| (0..count).map(|_| (dice.unit() * 2.0 - 1.0) * spread).collect::<Vec<f32>>();
        let network = Network {
            inputs,
            hidden: course.hidden,
            mean,
            scale,
            first: draw(inputs * course.hidden, spread),
            first_bias: vec![0.0; course.hidden],
            second: draw(course.hidden, 0.3),
            direct: vec![0.0; inputs],
            bias: 0.0,
        };
        let count = inputs * course.hidden + 2 * course.hidden + inputs + 1;
        let zeros = || vec![0.0; count];
        let settled = vec![0.0; count];
        let (one_sided, sides) = (Vec::new(), Vec::new());
        let (gradient, mean, square) = (zeros(), zeros(), zeros());
        Self { network, settled, settling: 0, gradient, mean, square, steps: 0, one_sided, sides }
    }

    /// The same network, for which some inputs are one-sided: all ways from such an input to the answer, through any hidden
    /// unit and past them, have the sign of its side or weigh nothing. Sill, "Monotonic networks", 1997.
    pub(super) fn one_sided(mut self, inputs: impl Iterator<Item = OneSided>) -> Self {
        self.one_sided = inputs.collect();
        self.sides = self.network.second.iter().map(|weight| 1.0_f32.copysign(*weight)).collect();
        // Half of what was drawn by lot has the wrong sign.
        self.mend(|weight| -weight);
        self
    }

    /// Puts something else where a weight has a sign that it must not have.
    fn mend(&mut self, mended: fn(f32) -> f32) {
        let Network { hidden, ref mut first, ref mut second, ref mut direct, .. } = self.network;
        let mend = |weight: &mut f32, side: f32| {
            if *weight * side < 0.0 {
                *weight = mended(*weight);
            }
        };
        second.iter_mut().zip(&self.sides).for_each(|(weight, &side)| mend(weight, side));
        for &OneSided { input, side } in &self.one_sided {
            let through = first[input * hidden..][..hidden].iter_mut();
            through.zip(&self.sides).for_each(|(weight, unit)| mend(weight, unit * side));
            mend(&mut direct[input], side);
        }
    }

    /// Adds the gradient of one row, where the loss grows by `slope` for each step of the answer.
    pub(super) fn learn(&mut self, normal: &[f32], units: &[f32], slope: f32) {
        let hidden = self.network.hidden;
        let (first, rest) = self.gradient.split_at_mut(self.network.inputs * hidden);
        let (first_bias, rest) = rest.split_at_mut(hidden);
        let (second, rest) = rest.split_at_mut(hidden);
        let (direct, bias) = rest.split_at_mut(self.network.inputs);
        let mut back = vec![0.0; hidden];
        for at in 0..hidden {
            if units[at] > 0.0 {
                second[at] += slope * units[at];
                back[at] = slope * self.network.second[at];
                first_bias[at] += back[at];
            }
        }
        for ((&value, row), direct) in normal.iter().zip(first.chunks_exact_mut(hidden)).zip(direct) {
            if value != 0.0 {
                *direct += slope * value;
                for (gradient, back) in row.iter_mut().zip(&back) {
                    *gradient += value * back;
                }
            }
        }
        bias[0] += slope;
    }

    /// Takes a step against the gradient that was added up, and begins a new one.
    pub(super) fn step(&mut self, rate: f32, decay: f32) {
        self.steps += 1;
        let (mean_left, square_left) = (1.0 - 0.9_f32.powi(self.steps), 1.0 - 0.999_f32.powi(self.steps));
        let decayed = self.network.first.len();
        for (at, weight) in self.network.weights_mut().enumerate() {
            let gradient = std::mem::take(&mut self.gradient[at]);
            self.mean[at] = 0.9 * self.mean[at] + 0.1 * gradient;
            self.square[at] = 0.999 * self.square[at] + 0.001 * gradient * gradient;
            let step = (self.mean[at] / mean_left) / ((self.square[at] / square_left).sqrt() + 1e-7);
            let decay = if at < decayed { decay } else { decay * 0.3 };
            *weight -= rate * (step + decay * *weight);
        }
        self.mend(|_| 0.0);
    }

    /// Counts the weights as they are now among the last ones.
    pub(super) fn settle(&mut self) {
        self.settling += 1;
        for (settled, weight) in self.settled.iter_mut().zip(self.network.weights_mut()) {
            *settled += (f64::from(*weight) - *settled) / f64::from(self.settling);
        }
    }

    /// What was learned.
    pub(super) fn finish(mut self) -> Network {
        if self.settling > 0 {
            for (settled, weight) in self.settled.iter().zip(self.network.weights_mut()) {
                *weight = *settled as f32;
            }
        }
        self.network
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COURSE: Course = Course { hidden: 6, rounds: 30, rate: 0.01, decay: 0.0, dropout: 0.0, seed: 5, batch: 8 };

    /// Learns `wanted` from inputs that lie on a grid.
    fn taught(one_sided: &[OneSided], wanted: fn(&[f32; 2]) -> f32) -> Network {
        let grid = |at: u16| f32::from(at) / 4.0 - 1.0;
        let rows: Vec<[f32; 2]> = (0..81).map(|at| [grid(at % 9), grid(at / 9)]).collect();
        let pupil = Pupil::new(2, &COURSE, rows.iter().map(|row| (&row[..], 1.0)));
        let mut pupil = pupil.one_sided(one_sided.iter().copied());
        let (mut normal, mut units) = ([0.0; 2], [0.0; 6]);
        for _ in 0..COURSE.rounds {
            for batch in rows.chunks(COURSE.batch) {
                for row in batch {
                    pupil.network.normal(row, &mut normal);
                    let slope = pupil.network.answer(&normal, &mut units) - wanted(row);
                    pupil.learn(&normal, &units, slope / COURSE.batch as f32);
                }
                pupil.step(COURSE.rate, COURSE.decay);
                pupil.settle();
            }
        }
        pupil.finish()
    }

    #[test]
    fn more_of_a_one_sided_input_never_moves_the_answer_to_the_other_side() {
        let contrary: fn(&[f32; 2]) -> f32 = |&[one, other]| other - 2.0 * one;
        let free = taught(&[], contrary);
        assert!(free.score(&[1.0, 0.0]) < free.score(&[-1.0, 0.0]) - 1.0, "else there is nothing to hold back");
        for (side, wanted) in [(1.0, contrary), (-1.0, |&[one, other]: &[f32; 2]| other + 2.0 * one)] {
            let held = taught(&[OneSided { input: 0, side }], wanted);
            for other in [-1.0, -0.3, 0.4, 1.0] {
                let answers: Vec<f32> =
                    (0_u16..=20).map(|at| held.score(&[f32::from(at) / 10.0 - 1.0, other])).collect();
                assert!(answers.windows(2).all(|two| (two[1] - two[0]) * side >= -1e-6), "{side}: {answers:?}");
            }
            assert!(held.score(&[0.0, 1.0]) > held.score(&[0.0, -1.0]) + 0.5, "the other input is learned from");
        }
    }

    #[test]
    fn what_may_only_raise_the_answer_still_does() {
        let held = taught(&[OneSided { input: 0, side: 1.0 }], |&[one, other]| one.max(0.0) + 0.5 * other);
        assert!(held.score(&[1.0, 0.0]) > held.score(&[-1.0, 0.0]) + 0.5);
    }
}
