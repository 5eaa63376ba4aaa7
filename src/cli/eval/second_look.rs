//! What a second look at a finished stream proposes, and how much of it is right.
//!
//! Every cluster is looked at as the service does (`app::second_look`), when the last report has come and no person has
//! said anything. A merge is right if the commonest truths of both clusters are the same, a split if those of the part and of
//! the rest are not. What the clusters are worth is told as they were, with every right proposal accepted, and with all.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;

use super::metrics::{Agreement, Case, metrics};
use super::stream::{Labelled, Run, place_of, report};
use crate::domain::id::{ClusterId, ReportId};
use crate::matching::{ASKED, Features, Index, Votes};

/// What was proposed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Found {
    clusters: usize,
    merges: Proposals,
    /// Merges that are not proposed because a person is asked about the only report of one of the two already.
    asked_already: Proposals,
    splits: Proposals,
    bcubed_before: Agreement,
    bcubed_right_accepted: Agreement,
    bcubed_all_accepted: Agreement,
    seconds: f64,
}

/// How many of one kind, and how many of them are right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct Proposals {
    proposed: usize,
    right: usize,
    precision: f64,
}

/// A proposal, and whether it is right.
struct Proposal<T> {
    what: T,
    is_right: bool,
}

/// Looks at every cluster.
pub(crate) fn look(reports: &[Labelled], run: &Run) -> Found {
    let begin = std::time::Instant::now();
    let homes = homes(&run.cases);
    let (merges, asked_already) = merges(reports, run, &homes);
    let splits = splits(reports, run, &homes);
    let accepted = |only_right: bool| {
        let mut cases = run.cases.clone();
        let accepts = |is_right| is_right || !only_right;
        for Proposal { what: part, is_right } in &splits {
            if accepts(*is_right) {
                part.iter().for_each(|&at| cases[at as usize].cluster = part[0]);
            }
        }
        let mut roots: HashMap<u32, u32> = HashMap::new();
        for Proposal { what: (one, other), is_right } in &merges {
            let (one, other) = (root(&roots, *one), root(&roots, *other));
            if accepts(*is_right) && one != other {
                roots.insert(other, one);
            }
        }
        cases.iter_mut().for_each(|case| case.cluster = root(&roots, case.cluster));
        metrics(&cases).bcubed
    };
    Found {
        clusters: homes.len(),
        merges: Proposals::of(&merges),
        asked_already: Proposals::of(&asked_already),
        splits: Proposals::of(&splits),
        bcubed_before: metrics(&run.cases).bcubed,
        bcubed_right_accepted: accepted(true),
        bcubed_all_accepted: accepted(false),
        seconds: begin.elapsed().as_secs_f64(),
    }
}

impl Proposals {
    fn of<T>(proposals: &[Proposal<T>]) -> Self {
        let (proposed, right) = (proposals.len(), proposals.iter().filter(|proposal| proposal.is_right).count());
        Self { proposed, right, precision: if proposed == 0 { 0.0 } else { right as f64 / proposed as f64 } }
    }
}

/// The reports of each cluster, by their places in the stream.
fn homes(cases: &[Case]) -> BTreeMap<u32, Vec<u32>> {
    let mut homes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for (at, case) in (0..).zip(cases) {
        homes.entry(case.cluster).or_default().push(at);
    }
    homes
}

/// What a cluster was joined to at last.
fn root(roots: &HashMap<u32, u32>, mut cluster: u32) -> u32 {
    while let Some(&next) = roots.get(&cluster) {
        cluster = next;
    }
    cluster
}

/// The truth of most of these; the earliest of several.
fn commonest(cases: &[Case], places: impl Iterator<Item = u32>) -> Option<u32> {
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    places.for_each(|at| *counts.entry(cases[at as usize].truth).or_default() += 1);
    counts.into_iter().max_by_key(|&(truth, count)| (count, std::cmp::Reverse(truth))).map(|(truth, _)| truth)
}

/// A cluster's exemplars as they are read again, the best first.
fn exemplars(reports: &[Labelled], index: &Index, cluster: ClusterId) -> Vec<(ReportId, Features)> {
    let read = |report: ReportId| (report, reports[place_of(report.uuid()) as usize].features());
    index.exemplars(cluster).into_iter().map(|exemplar| read(exemplar.report)).collect()
}

fn cluster(at: u32) -> ClusterId {
    ClusterId::from_uuid(report(at as usize).uuid())
}

type Merges = Vec<Proposal<(u32, u32)>>;

/// The proposed merges, and those that would be if nobody were asked about the only report of one of the two.
fn merges(reports: &[Labelled], run: &Run, homes: &BTreeMap<u32, Vec<u32>>) -> (Merges, Merges) {
    let votes = |&home: &u32| {
        let mut texts = exemplars(reports, &run.index, cluster(home));
        texts.truncate(ASKED);
        (home, Votes::of(&run.index, cluster(home), &texts))
    };
    let votes: BTreeMap<u32, Votes> = homes.keys().map(votes).collect();
    let policy = run.index.policy();
    let mut seen = BTreeSet::new();
    let (mut merges, mut asked_already) = (Vec::new(), Vec::new());
    for (&home, own) in &votes {
        for other in own.nearest(policy.suggest).into_iter().map(|other| place_of(other.uuid())) {
            let pair = (home.min(other), home.max(other));
            let Some(likeness) = own.likeness(&votes[&other], &policy) else { continue };
            if !seen.insert(pair) || likeness.score < likeness.needed {
                continue;
            }
            let truth = |home: u32| commonest(&run.cases, homes[&home].iter().copied());
            let is_right = truth(pair.0) == truth(pair.1);
            let asks =
                |single: u32, whole: u32| homes[&single].len() == 1 && run.suggested.get(&single) == Some(&whole);
            let is_asked = asks(pair.0, pair.1) || asks(pair.1, pair.0);
            if is_asked { &mut asked_already } else { &mut merges }.push(Proposal { what: pair, is_right });
        }
    }
    (merges, asked_already)
}

/// The proposed splits: the reports of each part that stands apart.
fn splits(reports: &[Labelled], run: &Run, homes: &BTreeMap<u32, Vec<u32>>) -> Vec<Proposal<Vec<u32>>> {
    let mut splits = Vec::new();
    for (&home, places) in homes.iter().filter(|(_, places)| places.len() > 1) {
        let texts: Vec<Features> =
            exemplars(reports, &run.index, cluster(home)).into_iter().map(|(_, features)| features).collect();
        for part in run.index.parts(cluster(home), &texts, &BTreeSet::new()) {
            let part: Vec<u32> = part.reports.iter().map(|report| place_of(report.uuid())).collect();
            let rest = places.iter().copied().filter(|at| !part.contains(at));
            let is_right = commonest(&run.cases, part.iter().copied()) != commonest(&run.cases, rest);
            splits.push(Proposal { what: part, is_right });
        }
    }
    splits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::eval::stream;
    use crate::matching::{Model, Policy};

    const LOGO: &str = "The export to PDF crashes when an invoice has a logo";
    const LOGO_TOO: &str = "When there is a logo on an invoice, PDF export crashes";
    const BATTERY: &str = "Battery drains overnight on my phone";

    /// What is found in a stream where only equal texts attach, each told with its truth.
    fn found(reports: &[(&str, &str)]) -> Found {
        let labelled = |(id, (title, truth)): (usize, &(&str, &str))| {
            let line = serde_json::json!({"id": id.to_string(), "title": title, "truth": truth});
            serde_json::from_value::<Labelled>(line).expect("a report")
        };
        let reports: Vec<Labelled> = reports.iter().enumerate().map(labelled).collect();
        let policy = Policy { attach: 0.999, suggest: 0.15 };
        look(&reports, &stream::run(&reports, policy, Model::shipped(), false))
    }

    #[test]
    fn a_merge_is_right_if_the_commonest_truths_are_the_same() {
        let stream = |truth| [(LOGO, "a"), (LOGO_TOO, truth), (LOGO, "a"), (LOGO_TOO, truth), (BATTERY, "c")];
        let same = found(&stream("a"));
        assert_eq!((same.clusters, same.merges), (3, Proposals { proposed: 1, right: 1, precision: 1.0 }));
        assert!(same.bcubed_before.f1 < 1.0);
        assert_eq!((same.bcubed_right_accepted.f1, same.bcubed_all_accepted.f1), (1.0, 1.0));
        let other = found(&stream("b"));
        assert_eq!(other.merges, Proposals { proposed: 1, right: 0, precision: 0.0 });
        assert_eq!((other.bcubed_before.f1, other.bcubed_right_accepted.f1), (1.0, 1.0));
        assert!(other.bcubed_all_accepted.f1 < 1.0);
    }

    #[test]
    fn what_somebody_is_asked_already_is_told_apart() {
        let found = found(&[(LOGO, "a"), (LOGO, "a"), (LOGO_TOO, "a")]);
        assert_eq!((found.merges.proposed, found.asked_already.right), (0, 1));
    }

    #[test]
    fn a_split_is_right_if_the_part_is_about_something_else_than_the_rest() {
        let reports: Vec<Labelled> = [("a", LOGO), ("a", LOGO_TOO), ("b", BATTERY)]
            .map(|(truth, title)| serde_json::json!({"id": title, "title": title, "truth": truth}))
            .map(|line| serde_json::from_value(line).expect("a report"))
            .into();
        let mut run = stream::run(&reports, Policy::default(), Model::shipped(), false);
        // As if the matcher had put all of them together.
        for (at, case) in run.cases.iter_mut().enumerate() {
            run.index.insert(report(at), cluster(0), false, &reports[at].features());
            case.cluster = 0;
        }
        let found = look(&reports, &run);
        assert_eq!((found.clusters, found.splits), (1, Proposals { proposed: 1, right: 1, precision: 1.0 }));
        assert_eq!(found.bcubed_right_accepted.f1, 1.0);
    }
}
