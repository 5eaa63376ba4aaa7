//! What people answered corrects how far the judge may be trusted in one tenant's stream.
//!
//! The judge's probabilities were learned from other streams, of which each has its own share of duplicates and its own
//! way of writing; so in a new one they are too high or too low throughout. A person's answers tell by how much. The
//! answers are fitted by a logistic regression on the log odds of the score (Platt, "Probabilistic outputs for support
//! vector machines", 1999), with two numbers: a slope and an offset. To begin with the judge is believed: against a small
//! offset that belief weighs as much as some sixty answers, so that the first few move little, and against a large one
//! less and less. Most streams are much like those it learned from; one that is not is soon known for it.
//!
//! Only thresholds follow from it ([`Policy::calibrated`](super::Policy::calibrated)). The scores that are stored and
//! shown stay the judge's own, so that what was learned yesterday does not enter what is learned today.

use serde::{Deserialize, Serialize};

/// A person's word on what the judge had scored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answer {
    /// The judge's score.
    pub score: f64,
    /// Whether it was the same problem.
    pub same: bool,
}

/// How the judge's scores are to be read.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// What the log odds of a score are multiplied by.
    pub slope: f64,
    /// What is added to them then.
    pub offset: f64,
}

impl Default for Calibration {
    /// Scores are taken at their word.
    fn default() -> Self {
        Self { slope: 1.0, offset: 0.0 }
    }
}

/// How firmly slope and offset are believed to be 1 and 0: the curvature that answers have to outweigh; an answer about a
/// score of one half has a quarter for the offset. What people are asked about lies in a narrow range of scores, and a
/// slope that was fitted there is a bold guess about the scores above it, which attach: so it hardly moves before there are
/// hundreds of answers.
const FIRM_SLOPE: f64 = 200.0;
const FIRM_OFFSET: f64 = 16.0;
/// From about this offset on the belief no longer grows with the square of the offset but in proportion to it. (The
/// pseudo-Huber loss, which is smooth and convex: Charbonnier and others, "Deterministic edge-preserving regularization in
/// computed imaging", 1997.)
const FAR_OFFSET: f64 = 0.25;
/// A slope near 0 would make every score mean the same.
const SLOPES: std::ops::RangeInclusive<f64> = 0.2..=5.0;
/// Scores beyond are as good as these: one answer about a score of 1 must not outweigh all others.
const SURE: f64 = 0.999;
/// A shorter step changes nothing that anybody could see.
const LEAST_STEP: f64 = 1e-12;
/// The fit is convex and smooth; Newton's steps end long before.
const STEPS: usize = 50;

/// How much an offset is disbelieved; and by how much more with each step, and with each step of that.
fn disbelief(offset: f64) -> [f64; 3] {
    let root = (1.0 + (offset / FAR_OFFSET).powi(2)).sqrt();
    [FIRM_OFFSET * FAR_OFFSET * FAR_OFFSET * (root - 1.0), FIRM_OFFSET * offset / root, FIRM_OFFSET / root.powi(3)]
}

fn log_odds(probability: f64) -> f64 {
    let probability = probability.clamp(1.0 - SURE, SURE);
    (probability / (1.0 - probability)).ln()
}

fn logistic(log_odds: f64) -> f64 {
    1.0 / (1.0 + (-log_odds).exp())
}

impl Calibration {
    /// The reading of scores that these answers make likeliest. Their order does not matter.
    pub fn fit(answers: &[Answer]) -> Self {
        let mut points: Vec<(f64, f64)> = answers
            .iter()
            .filter(|answer| answer.score.is_finite())
            .map(|answer| (log_odds(answer.score), f64::from(u8::from(answer.same))))
            .collect();
        // Sums depend on their order in the last digits, and replicas read answers in any.
        points.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        let loss = |fitted: &Self| {
            let of_answers = points.iter().map(|&(x, same)| {
                let z = fitted.slope * x + fitted.offset;
                // -ln of the probability of this answer, without overflow.
                z.max(0.0) - z * same + (-z.abs()).exp().ln_1p()
            });
            of_answers.sum::<f64>() + FIRM_SLOPE * (fitted.slope - 1.0).powi(2) / 2.0 + disbelief(fitted.offset)[0]
        };
        let descend = |mut fitted: Self, slope_moves: bool| {
            for _ in 0..STEPS {
                let [_, of_offset, curvature] = disbelief(fitted.offset);
                let mut gradient = [FIRM_SLOPE * (fitted.slope - 1.0), of_offset];
                let [mut aa, mut ab, mut bb] = [FIRM_SLOPE, 0.0, curvature];
                for &(x, same) in &points {
                    let p = logistic(fitted.slope * x + fitted.offset);
                    let weight = p * (1.0 - p);
                    gradient[0] += (p - same) * x;
                    gradient[1] += p - same;
                    aa += weight * x * x;
                    ab += weight * x;
                    bb += weight;
                }
                let determinant = aa * bb - ab * ab;
                let step = if slope_moves {
                    let slope = (bb * gradient[0] - ab * gradient[1]) / determinant;
                    [slope, (aa * gradient[1] - ab * gradient[0]) / determinant]
                } else {
                    [0.0, gradient[1] / bb]
                };
                // Halved until it does no harm, so that no step overshoots.
                let before = loss(&fitted);
                let next = (0..30).map(|halvings| 0.5_f64.powi(halvings)).find_map(|share| {
                    let next = Self { slope: fitted.slope - share * step[0], offset: fitted.offset - share * step[1] };
                    (loss(&next) <= before).then_some(next)
                });
                let Some(next) = next.filter(|_| step.iter().any(|step| step.abs() > LEAST_STEP)) else { break };
                fitted = next;
            }
            fitted
        };
        let free = descend(Self::default(), true);
        if SLOPES.contains(&free.slope) {
            return free;
        }
        // The loss is convex: with the slope held at its bound, the best offset is the best there is.
        descend(Self { slope: free.slope.clamp(*SLOPES.start(), *SLOPES.end()), ..free }, false)
    }

    /// How probable a score says it is, as the answers have it.
    pub fn probability(&self, score: f64) -> f64 {
        logistic(self.slope * log_odds(score) + self.offset)
    }

    /// The score that says so much: the other way round.
    pub fn score(&self, probability: f64) -> f64 {
        logistic((log_odds(probability) - self.offset) / self.slope)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn answers(score: f64, yes: usize, no: usize) -> Vec<Answer> {
        let all = |same, count| std::iter::repeat_n(Answer { score, same }, count);
        all(true, yes).chain(all(false, no)).collect()
    }

    #[test]
    fn without_answers_the_judge_is_believed() {
        let calibration = Calibration::fit(&[]);
        assert_eq!(calibration, Calibration::default());
        for score in [0.1, 0.5, 0.9] {
            assert!((calibration.probability(score) - score).abs() < 1e-9);
        }
    }

    #[test]
    fn many_answers_outweigh_the_judge_and_few_do_not() {
        // It said 0.5; of 200 a quarter were right.
        let many = Calibration::fit(&answers(0.5, 50, 150));
        assert!((many.probability(0.5) - 0.25).abs() < 0.02, "{many:?}");
        let few = Calibration::fit(&answers(0.5, 0, 2));
        assert!(few.probability(0.5) > 0.3, "{few:?}");
        // And of scores that are higher, more are right than of lower ones.
        assert!(many.probability(0.8) > many.probability(0.5));
    }

    #[test]
    fn a_little_that_answers_say_otherwise_is_doubted_and_much_is_soon_believed() {
        let little = Calibration::fit(&answers(0.5, 28, 22));
        assert!((0.505..0.535).contains(&little.probability(0.5)), "{little:?}");
        let much = Calibration::fit(&answers(0.2, 45, 5));
        assert!((0.75..0.9).contains(&much.probability(0.2)), "{much:?}");
    }

    #[test]
    fn a_slope_at_its_bound_has_the_offset_that_fits_it() {
        // High scores were wrong and low ones right: the slope would turn round.
        let turned = [answers(0.9, 1, 600), answers(0.1, 600, 1)].concat();
        let fitted = Calibration::fit(&turned);
        assert_eq!(fitted.slope, 0.2);
        assert!((fitted.probability(0.5) - 0.5).abs() < 0.01, "{fitted:?}");
        let one_more = Calibration::fit(&[turned, answers(0.5, 0, 1)].concat());
        assert!(one_more.probability(0.5) < fitted.probability(0.5));
    }

    fn any_answers() -> impl Strategy<Value = Vec<Answer>> {
        let answer = (0.0..=1.0, any::<bool>()).prop_map(|(score, same)| Answer { score, same });
        proptest::collection::vec(answer, 0..60)
    }

    proptest! {
        #[test]
        fn any_answers_give_a_rising_reading_that_can_be_turned_round(answers in any_answers(), score in 0.01..0.99) {
            let fitted = Calibration::fit(&answers);
            prop_assert!(fitted.slope.is_finite() && fitted.offset.is_finite());
            prop_assert!(fitted.probability(score) <= fitted.probability(score + 0.009));
            let back = fitted.score(fitted.probability(score));
            // Readings beyond 0.999 are as good as that one, and lead back to it.
            let extreme = !(0.001..=0.999).contains(&fitted.probability(score));
            prop_assert!(extreme || (back - score).abs() < 1e-6, "{score} {back} {fitted:?}");
        }

        #[test]
        fn the_order_of_answers_changes_nothing(answers in any_answers()) {
            let mut other = answers.clone();
            other.reverse();
            prop_assert_eq!(Calibration::fit(&answers), Calibration::fit(&other));
        }

        #[test]
        fn a_no_never_raises_what_it_was_about(answers in any_answers(), score in 0.0..=1.0) {
            let before = Calibration::fit(&answers);
            let mut more = answers;
            more.push(Answer { score, same: false });
            let after = Calibration::fit(&more);
            prop_assert!(after.probability(score) <= before.probability(score) + 1e-6);
        }
    }
}
