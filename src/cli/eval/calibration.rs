//! Whether scores mean what they say: of the reports that were scored 0.7, seven of ten should be right.

use serde::Serialize;

use super::metrics::Case;
use crate::matching::{Answer, Calibration, Policy};

/// Scores are looked at in so many ranges of equal width.
const RANGES: usize = 10;
/// After so many answers of people the figures are taken again.
const ANSWERS: usize = 200;

/// How far scores can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reliability {
    /// Expected calibration error: by how much the share of right ones differs from the scores, on average.
    pub ece: f64,
    /// Each range of scores in which there is a report.
    pub ranges: Vec<Range>,
}

/// The reports whose scores are in one range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Range {
    pub from: f64,
    pub reports: usize,
    pub mean_score: f64,
    pub right: f64,
}

/// Before and after people answered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Calibrated {
    /// Of all reports with a candidate.
    pub shipped: Reliability,
    /// Of those that came after the 200th suggestion was answered, read as before …
    pub rest: Option<Reliability>,
    /// … and as the answers teach.
    pub rest_calibrated: Option<Reliability>,
}

/// Holds the score of each report against whether its first candidate was of the same truth. Every suggestion is answered
/// truly, at once.
pub fn calibrated(cases: &[Case], policy: &Policy) -> Calibrated {
    let judged: Vec<Answer> = cases
        .iter()
        .filter_map(|case| {
            let first = cases.get(*case.candidates.first()? as usize)?;
            Some(Answer { score: case.score?, same: first.truth == case.truth })
        })
        .collect();
    let is_suggested = |judged: &Answer| (policy.suggest..policy.attach).contains(&judged.score);
    let suggested: Vec<usize> = (0..judged.len()).filter(|&at| is_suggested(&judged[at])).collect();
    let last = suggested.get(ANSWERS - 1);
    let rest = last.map(|&last| {
        let answers: Vec<Answer> = suggested.iter().take(ANSWERS).map(|&at| judged[at]).collect();
        let fitted = Calibration::fit(&answers);
        let rest = &judged[last + 1..];
        let read = rest.iter().map(|judged| Answer { score: fitted.probability(judged.score), ..*judged });
        (reliability(rest), reliability(&read.collect::<Vec<_>>()))
    });
    let (rest, rest_calibrated) = rest.unzip();
    Calibrated { shipped: reliability(&judged), rest, rest_calibrated }
}

fn reliability(judged: &[Answer]) -> Reliability {
    let mut sums = [(0_usize, 0.0, 0_usize); RANGES];
    for judged in judged {
        let range = ((judged.score * RANGES as f64) as usize).min(RANGES - 1);
        let (count, scores, right) = &mut sums[range];
        *count += 1;
        *scores += judged.score;
        *right += usize::from(judged.same);
    }
    let range = |(at, (count, scores, right)): (usize, (usize, f64, usize))| Range {
        from: at as f64 / RANGES as f64,
        reports: count,
        mean_score: scores / count as f64,
        right: right as f64 / count as f64,
    };
    let ranges: Vec<Range> = sums.into_iter().enumerate().filter(|(_, (count, ..))| *count > 0).map(range).collect();
    let error = |range: &Range| range.reports as f64 * (range.mean_score - range.right).abs();
    let ece = ranges.iter().map(error).sum::<f64>() / judged.len().max(1) as f64;
    Reliability { ece, ranges }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_that_mean_what_they_say_have_no_error() {
        let judged = |score, right: usize, of: usize| (0..of).map(move |at| Answer { score, same: at < right });
        let honest: Vec<Answer> = judged(0.25, 1, 4).chain(judged(0.75, 3, 4)).collect();
        assert!(reliability(&honest).ece < 1e-9);
        let boastful: Vec<Answer> = judged(0.95, 1, 2).collect();
        let found = reliability(&boastful);
        assert!((found.ece - 0.45).abs() < 1e-9, "{found:?}");
        assert_eq!((found.ranges.len(), found.ranges[0].reports), (1, 2));
        assert!(reliability(&[]).ece == 0.0, "nothing was said");
    }
}
