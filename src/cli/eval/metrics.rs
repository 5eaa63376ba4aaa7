//! How good the answers about a stream of reports were: the figures every other matcher is measured by too.
//!
//! A report is judged by what was known when it came. It is a *duplicate* if an earlier report has the same truth.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;

/// Ranks up to which a hit counts.
const RANKS: [usize; 3] = [1, 5, 10];
/// Depth of the mean average precision.
const DEPTH: usize = 20;
const YEAR_SECONDS: i64 = 365 * 24 * 60 * 60;

/// One report of the stream: what is true of it and what was answered.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// Reports of one issue share it.
    pub truth: u32,
    /// When it came, in seconds, if known.
    pub time: Option<i64>,
    /// Where it was put on arrival.
    pub cluster: u32,
    /// Earlier reports by their places in the stream, best first. A place that is not earlier is a mistake.
    pub candidates: Vec<u32>,
    /// How sure it is that the report belongs to an existing cluster.
    pub score: Option<f64>,
}

/// All figures.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Metrics {
    pub reports: usize,
    pub retrieval: Retrieval,
    pub retrieval_1y: Option<Retrieval>,
    pub decision: Attaching,
    pub false_merge_rate: f64,
    pub false_merge_rate_founder: f64,
    pub score: Option<Ranking>,
    pub pairwise: Agreement,
    pub bcubed: Agreement,
    pub ari: f64,
    pub v_measure: VMeasure,
    pub clusters: Counts,
    /// Of the reports whose score was among the highest, how many had a first candidate of the same truth.
    pub surest: Option<BTreeMap<&'static str, f64>>,
}

/// Over the duplicates: where the first report of the same truth stood.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Retrieval {
    pub queries: usize,
    #[serde(rename = "recall_rate@1")]
    pub at_1: f64,
    #[serde(rename = "recall_rate@5")]
    pub at_5: f64,
    #[serde(rename = "recall_rate@10")]
    pub at_10: f64,
    #[serde(rename = "recall_rate@50")]
    pub at_50: f64,
    pub mrr: f64,
    #[serde(rename = "map@20")]
    pub map: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bad_candidates: Option<usize>,
}

/// Precision, recall and their harmonic mean.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Agreement {
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
}

/// Whether reports were attached to the cluster where most are of their own truth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Attaching {
    #[serde(flatten)]
    pub agreement: Agreement,
    pub attached: usize,
    pub duplicates: usize,
}

/// Average precision of the scores, where a duplicate is what is looked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Ranking {
    pub ap: f64,
    pub base_rate: f64,
}

/// Homogeneity, completeness and their harmonic mean.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct VMeasure {
    pub homogeneity: f64,
    pub completeness: f64,
    pub v: f64,
}

/// Numbers of clusters.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Counts {
    pub predicted: usize,
    #[serde(rename = "true")]
    pub real: usize,
}

fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

impl Agreement {
    fn of(precision: f64, recall: f64) -> Self {
        Self { precision, recall, f1: ratio(2.0 * precision * recall, precision + recall) }
    }

    fn of_counts(both: f64, predicted: f64, actual: f64) -> Self {
        Self::of(ratio(both, predicted), ratio(both, actual))
    }
}

/// Computes every figure of a stream, in order of arrival.
pub fn metrics(cases: &[Case]) -> Metrics {
    let dated = !cases.is_empty() && cases.iter().all(|case| case.time.is_some());
    let mut metrics = clustering(cases);
    metrics.retrieval = retrieval(cases, None);
    metrics.retrieval_1y = dated.then(|| Retrieval { bad_candidates: None, ..retrieval(cases, Some(YEAR_SECONDS)) });
    decisions(cases, &mut metrics);
    metrics.score = ranking(cases);
    metrics.surest = surest(cases);
    metrics
}

fn retrieval(cases: &[Case], window: Option<i64>) -> Retrieval {
    let mut members: HashMap<u32, Vec<u32>> = HashMap::new();
    let (mut hits, mut hits_50, mut queries, mut reciprocal, mut average, mut bad) =
        ([0usize; 3], 0u32, 0usize, 0.0, 0.0, 0);
    for (at, case) in cases.iter().enumerate() {
        let is_near = |other: u32| match (window, case.time, cases[other as usize].time) {
            (Some(window), Some(now), Some(then)) => now - then <= window,
            _ => true,
        };
        let earlier = members.entry(case.truth).or_default();
        let relevant: HashSet<u32> = earlier.iter().copied().filter(|&other| is_near(other)).collect();
        earlier.push(at as u32);
        let mut seen = HashSet::new();
        let mut ranks = Vec::new();
        let mut rank = 0;
        for &candidate in &case.candidates {
            if candidate as usize >= at || seen.contains(&candidate) {
                bad += 1;
                rank += 1;
            } else if is_near(candidate) {
                rank += 1;
                if relevant.contains(&candidate) {
                    ranks.push(rank);
                }
            }
            seen.insert(candidate);
        }
        if relevant.is_empty() {
            continue;
        }
        queries += 1;
        if let Some(&first) = ranks.first() {
            reciprocal += 1.0 / first as f64;
            for (hit, rank) in hits.iter_mut().zip(RANKS) {
                *hit += usize::from(first <= rank);
            }
            hits_50 += u32::from(first <= 50);
            let top = ranks.iter().filter(|&&rank| rank <= DEPTH);
            let sum: f64 = (1..).zip(top).map(|(found, &rank)| f64::from(found) / rank as f64).sum();
            average += sum / relevant.len().min(DEPTH) as f64;
        }
    }
    let share = |sum: f64| ratio(sum, queries as f64);
    Retrieval {
        queries,
        at_1: share(hits[0] as f64),
        at_5: share(hits[1] as f64),
        at_10: share(hits[2] as f64),
        at_50: share(f64::from(hits_50)),
        mrr: share(reciprocal),
        map: share(average),
        bad_candidates: Some(bad),
    }
}

fn decisions(cases: &[Case], metrics: &mut Metrics) {
    #[derive(Default)]
    struct Inside {
        /// How many of each truth, in the order the truths came.
        counts: Vec<(u32, usize)>,
    }
    let mut inside: HashMap<u32, Inside> = HashMap::new();
    let mut known = HashSet::new();
    let (mut attached, mut right, mut right_founder, mut duplicates) = (0usize, 0usize, 0usize, 0usize);
    for case in cases {
        duplicates += usize::from(!known.insert(case.truth));
        let cluster = inside.entry(case.cluster).or_default();
        if let Some(&(founder, _)) = cluster.counts.first() {
            attached += 1;
            // The earliest wins a tie.
            let most = cluster.counts.iter().map(|&(_, count)| count).max().unwrap_or(0);
            let commonest = cluster.counts.iter().find(|&&(_, count)| count == most).map(|&(truth, _)| truth);
            right += usize::from(commonest == Some(case.truth));
            right_founder += usize::from(founder == case.truth);
        }
        match cluster.counts.iter_mut().find(|(truth, _)| *truth == case.truth) {
            Some((_, count)) => *count += 1,
            None => cluster.counts.push((case.truth, 1)),
        }
    }
    let agreement = Agreement::of_counts(right as f64, attached as f64, duplicates as f64);
    metrics.decision = Attaching { agreement, attached, duplicates };
    metrics.false_merge_rate = ratio((attached - right) as f64, attached as f64);
    metrics.false_merge_rate_founder = ratio((attached - right_founder) as f64, attached as f64);
}

fn ranking(cases: &[Case]) -> Option<Ranking> {
    let mut known = HashSet::new();
    let mut rows = Vec::with_capacity(cases.len());
    for case in cases {
        rows.push((case.score?, !known.insert(case.truth)));
    }
    rows.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let positives = rows.iter().filter(|(_, positive)| *positive).count() as f64;
    let (mut found, mut sum, mut at) = (0.0, 0.0, 0);
    while at < rows.len() {
        // Equal scores stand or fall together.
        let equal = rows[at..].iter().take_while(|(score, _)| *score == rows[at].0).count();
        let gain = rows[at..at + equal].iter().filter(|(_, positive)| *positive).count() as f64;
        at += equal;
        found += gain;
        sum += gain * found / at as f64;
    }
    Some(Ranking { ap: ratio(sum, positives), base_rate: ratio(positives, rows.len() as f64) })
}

fn surest(cases: &[Case]) -> Option<BTreeMap<&'static str, f64>> {
    let mut rows = Vec::with_capacity(cases.len());
    for case in cases {
        let first = case.candidates.first().and_then(|&first| cases.get(first as usize));
        rows.push((case.score?, first.is_some_and(|first| first.truth == case.truth)));
    }
    rows.sort_by(|(a, _), (b, _)| b.total_cmp(a));
    let share = |permille: usize| {
        let top = &rows[..(rows.len() * permille).div_ceil(1_000)];
        ratio(top.iter().filter(|(_, right)| *right).count() as f64, top.len() as f64)
    };
    let shares = [("0.5%", 5), ("1%", 10), ("2%", 20), ("5%", 50), ("10%", 100)];
    Some(shares.into_iter().map(|(name, permille)| (name, share(permille))).collect())
}

fn clustering(cases: &[Case]) -> Metrics {
    let n = cases.len() as f64;
    // Ordered, so that sums are the same in every run.
    let (mut cell, mut row, mut column) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for case in cases {
        *cell.entry((case.truth, case.cluster)).or_insert(0.0) += 1.0;
        *row.entry(case.truth).or_insert(0.0) += 1.0;
        *column.entry(case.cluster).or_insert(0.0) += 1.0;
    }
    let pairs = |count: f64| count * (count - 1.0) / 2.0;
    let both: f64 = cell.values().copied().map(pairs).sum();
    let real: f64 = row.values().copied().map(pairs).sum();
    let predicted: f64 = column.values().copied().map(pairs).sum();
    let expected = ratio(real * predicted, pairs(n));
    let peak = f64::midpoint(real, predicted);
    let entropy = |counts: &BTreeMap<u32, f64>| -counts.values().map(|count| count / n * (count / n).ln()).sum::<f64>();
    let (mut mutual, mut precision, mut recall) = (0.0, 0.0, 0.0);
    for ((truth, cluster), &count) in &cell {
        mutual += count / n * (count * n / (row[truth] * column[cluster])).ln();
        precision += ratio(count * count / column[cluster], n);
        recall += ratio(count * count / row[truth], n);
    }
    let share = |entropy: f64| if entropy == 0.0 { 1.0 } else { mutual / entropy };
    let (homogeneity, completeness) = (share(entropy(&row)), share(entropy(&column)));
    let none = Agreement::of(0.0, 0.0);
    Metrics {
        reports: cases.len(),
        retrieval: retrieval(&[], None),
        retrieval_1y: None,
        decision: Attaching { agreement: none, attached: 0, duplicates: 0 },
        false_merge_rate: 0.0,
        false_merge_rate_founder: 0.0,
        score: None,
        pairwise: Agreement::of_counts(both, predicted, real),
        bcubed: Agreement::of(precision, recall),
        ari: if peak == expected { 1.0 } else { (both - expected) / (peak - expected) },
        v_measure: VMeasure {
            homogeneity,
            completeness,
            v: ratio(2.0 * homogeneity * completeness, homogeneity + completeness),
        },
        clusters: Counts { predicted: column.len(), real: row.len() },
        surest: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNKNOWN: u32 = u32::MAX;

    fn case(truth: u32, day: i64, cluster: u32, candidates: &[u32], score: f64) -> Case {
        Case { truth, time: Some(day * 86_400), cluster, candidates: candidates.to_vec(), score: Some(score) }
    }

    /// Reports a to e are 0 to 4; c is about a's issue, d about b's, 399 days later.
    fn perfect() -> Vec<Case> {
        vec![
            case(0, 0, 1, &[], 0.0),
            case(1, 1, 2, &[0], 0.1),
            case(0, 2, 1, &[0, 1], 0.9),
            case(1, 400, 2, &[1], 0.8),
            case(4, 401, 3, &[1], 0.2),
        ]
    }

    fn close(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn perfect_answers_have_perfect_figures() {
        let found = metrics(&perfect());
        assert_eq!((found.retrieval.at_1, found.retrieval.mrr, found.retrieval.map), (1.0, 1.0, 1.0));
        assert_eq!((found.retrieval.queries, found.retrieval_1y.map(|year| year.queries)), (2, Some(1)));
        assert_eq!((found.decision.agreement.f1, found.false_merge_rate), (1.0, 0.0));
        assert_eq!((found.ari, found.v_measure.v, found.bcubed.f1, found.pairwise.f1), (1.0, 1.0, 1.0, 1.0));
        assert_eq!(found.score.map(|score| score.ap), Some(1.0));
        assert_eq!(found.clusters, Counts { predicted: 3, real: 3 });
    }

    #[test]
    fn every_kind_of_mistake_counts() {
        let mut cases = perfect();
        cases[2].candidates = vec![1, UNKNOWN, 0];
        cases[3] = Case { cluster: 1, candidates: vec![2, 3, 4], ..cases[3].clone() };
        cases[4].cluster = 1;
        let found = metrics(&cases);
        assert_eq!((found.retrieval.at_1, found.retrieval.at_5), (0.0, 0.5));
        assert!(close(found.retrieval.mrr, 1.0 / 6.0));
        assert_eq!(found.retrieval.bad_candidates, Some(3));
        assert_eq!(found.decision.agreement, Agreement { precision: 1.0 / 3.0, recall: 0.5, f1: 0.4 });
        assert_eq!((found.decision.attached, found.decision.duplicates), (3, 2));
        assert!(close(found.false_merge_rate, 2.0 / 3.0));
        // Clusters {a c d e} {b}: 6 predicted pairs, 2 true ones, 1 in both.
        assert_eq!(found.pairwise, Agreement::of_counts(1.0, 6.0, 2.0));
        assert!(close(found.ari, (1.0 - 1.2) / (4.0 - 1.2)));
        assert!(close(found.bcubed.precision, (4.0 / 4.0 + 1.0 / 4.0 + 1.0 / 4.0 + 1.0) / 5.0));
    }

    #[test]
    fn the_commonest_truth_of_a_cluster_decides_and_the_earliest_of_two() {
        let case = |truth| Case { truth, ..Case::default() };
        let found = metrics(&[case(0), case(1), case(1), case(1), case(0)]);
        assert_eq!(found.decision.attached, 4);
        assert!(close(found.false_merge_rate, 3.0 / 4.0));
        assert_eq!((found.retrieval_1y, found.score), (None, None));
    }

    #[test]
    fn one_cluster_of_all_is_not_homogeneous_and_none_is_complete() {
        let with = |cluster: fn(usize) -> u32| {
            let cases = perfect().into_iter().enumerate();
            metrics(&cases.map(|(at, case)| Case { cluster: cluster(at), ..case }).collect::<Vec<_>>())
        };
        assert_eq!(with(|_| 0).v_measure.homogeneity, 0.0);
        let split = with(|at| at as u32);
        assert_eq!((split.decision.agreement.f1, split.false_merge_rate, split.v_measure.homogeneity), (0.0, 0.0, 1.0));
    }
}
