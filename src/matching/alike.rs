//! Whether two clusters may be one problem: what the texts of each say of the other.
//!
//! A few exemplars of a cluster are asked where they would go if their cluster were not there ([`Index::rivals`]). What
//! they say of another cluster, on average, is how probable it is that the two are one; one that does not name it says no.
//! Both clusters are asked so, and who says more of the other counts: a single report says all there is of its cluster,
//! and a large one has texts that are about the other and texts that are not.
//!
//! A merge moves many reports at once, so it takes more to propose one than to ask about one report: half way to what would
//! attach it. And two single reports were held against each other when the second came; what was no match then takes as
//! much as an attachment now.

use std::collections::BTreeMap;

use super::decide::{Policy, Signal};
use super::features::Features;
use super::index::Index;
use super::index::review::Rival;
use crate::domain::id::{ClusterId, ReportId};

/// Exemplars of a cluster that are asked about other ones.
pub const ASKED: usize = 6;
/// Other clusters that are worth asking about this one.
const NEAREST: usize = 3;

/// What the texts of one cluster say of others.
#[derive(Debug, Clone)]
pub struct Votes {
    cluster: ClusterId,
    is_single: bool,
    asked: usize,
    others: BTreeMap<ClusterId, Vote>,
}

/// What they say of one.
#[derive(Debug, Clone)]
struct Vote {
    sum: f64,
    count: usize,
    /// The text that is nearest, and how.
    nearest: (ReportId, Rival),
}

/// How much two clusters are alike.
#[derive(Debug, Clone, PartialEq)]
pub struct Likeness {
    /// How probable it is that they are one problem, 0 to 1.
    pub score: f64,
    /// What it takes to propose to merge them.
    pub needed: f64,
    /// The texts that are nearest: of the one cluster, and of the other.
    pub reports: (ReportId, ReportId),
    /// Why. The weights add up to the score.
    pub signals: Vec<Signal>,
}

impl Votes {
    /// Asks the texts of a cluster, each told with the report it stands for; the first [`ASKED`] of them.
    pub fn of(index: &Index, cluster: ClusterId, texts: &[(ReportId, Features)]) -> Self {
        let texts = &texts[..texts.len().min(ASKED)];
        let mut others: BTreeMap<ClusterId, Vote> = BTreeMap::new();
        for (report, features) in texts {
            for rival in index.rivals(cluster, features) {
                let (other, score) = (rival.cluster, rival.score);
                match others.get_mut(&other) {
                    Some(vote) => {
                        vote.sum += score;
                        vote.count += 1;
                        if score > vote.nearest.1.score {
                            vote.nearest = (*report, rival);
                        }
                    }
                    None => drop(others.insert(other, Vote { sum: score, count: 1, nearest: (*report, rival) })),
                }
            }
        }
        Self { cluster, is_single: index.size(cluster) == 1, asked: texts.len(), others }
    }

    /// The few other clusters that are worth asking about this one: to which some text would go at this threshold.
    pub fn nearest(&self, threshold: f64) -> Vec<ClusterId> {
        let mut near: Vec<(f64, ClusterId)> =
            self.others.iter().map(|(&other, vote)| (vote.nearest.1.score, other)).collect();
        near.retain(|&(best, _)| best >= threshold);
        near.sort_by(|(one, first), (other, second)| other.total_cmp(one).then(first.cmp(second)));
        near.into_iter().take(NEAREST).map(|(_, other)| other).collect()
    }

    /// How much this cluster and another one are alike; `None` if no text of either names the other.
    pub fn likeness(&self, other: &Self, policy: &Policy) -> Option<Likeness> {
        let (here, there) = (self.about(other.cluster), other.about(self.cluster));
        let by_here = match (&here, &there) {
            (Some((here, _)), Some((there, _))) => here >= there,
            (here, _) => here.is_some(),
        };
        let (votes, (score, vote)) = if by_here { (self, here?) } else { (other, there?) };
        let (asked, rival) = &vote.nearest;
        let reports = if by_here { (*asked, rival.report) } else { (rival.report, *asked) };
        let detail =
            format!("{} of {} texts of {} that were asked are like it", vote.count, votes.asked, votes.cluster);
        let mut signals = rival.signals.clone();
        signals.push(Signal { name: "other_texts", weight: score - rival.score, detail });
        let half_way = f64::midpoint(policy.suggest.min(policy.attach), policy.attach);
        let needed = if self.is_single && other.is_single { policy.attach } else { half_way };
        Some(Likeness { score, needed, reports, signals })
    }

    /// What is said of another cluster.
    fn about(&self, other: ClusterId) -> Option<(f64, &Vote)> {
        let vote = self.others.get(&other)?;
        Some((vote.sum / self.asked.max(1) as f64, vote))
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::matching::Text;

    const TEXTS: [&str; 6] = [
        "The export to PDF crashes when an invoice has a logo",
        "When there is a logo on an invoice, PDF export crashes",
        "My invoice shows the wrong VAT rate",
        "Battery drains overnight on my phone",
        "I cannot log in since the last update",
        "Pictures are not uploading to the gallery",
    ];

    fn report(n: usize) -> ReportId {
        ReportId::from_uuid(Uuid::from_u128(n as u128 + 1))
    }

    fn cluster(n: usize) -> ClusterId {
        ClusterId::from_uuid(Uuid::from_u128(n as u128 + 1))
    }

    fn text(n: usize) -> Features {
        Features::of(&Text { product: None, fingerprint: None, title: TEXTS[n], body: "" })
    }

    /// What each of the first two clusters says. Each text is in the cluster that is named for it.
    fn votes(homes: &[usize]) -> [Votes; 2] {
        let mut index = Index::new(Policy::default());
        for (n, &home) in homes.iter().enumerate() {
            index.insert(report(n), cluster(home), false, &text(n));
        }
        [0, 1].map(|own| {
            let texts = (0..homes.len()).filter(|&n| homes[n] == own).map(|n| (report(n), text(n)));
            Votes::of(&index, cluster(own), &texts.collect::<Vec<_>>())
        })
    }

    #[test]
    fn the_side_that_says_more_of_the_other_counts_whoever_is_asked_first() {
        let policy = Policy::default();
        let [one, other] = votes(&[0, 1, 1, 2, 3, 4]);
        let likeness = one.likeness(&other, &policy).expect("they are alike");
        assert_eq!(likeness.reports, (report(0), report(1)));
        let sum: f64 = likeness.signals.iter().map(|signal| signal.weight).sum();
        assert!((sum - likeness.score).abs() < 0.01, "the reasons add up: {likeness:?}");
        let turned = other.likeness(&one, &policy).expect("they are alike");
        assert_eq!((turned.score, turned.reports), (likeness.score, (report(1), report(0))));
        // Half of what the other cluster says is about something else.
        assert!(likeness.score > other.about(cluster(0)).map_or(0.0, |(score, _)| score), "{likeness:?}");
    }

    #[test]
    fn a_merge_takes_more_than_a_suggestion_and_one_of_two_single_reports_as_much_as_an_attachment() {
        let policy = Policy { attach: 0.9, suggest: 0.2 };
        let needed = |homes: &[usize]| {
            let [one, other] = votes(homes);
            one.likeness(&other, &policy).expect("they are alike").needed
        };
        assert_eq!(needed(&[0, 1, 1, 2, 3, 4]), 0.55);
        assert_eq!(needed(&[0, 1, 2, 2, 3, 4]), 0.9);
    }

    #[test]
    fn who_is_like_nobody_has_nobody_to_be_held_against() {
        let [one, other] = votes(&[2, 2, 2, 0, 1, 2]);
        assert_eq!(one.nearest(0.5), []);
        assert!(one.likeness(&other, &Policy::default()).is_none_or(|likeness| likeness.score < likeness.needed));
    }
}
