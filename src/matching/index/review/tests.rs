//! What a second look at an index promises.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::matching::{Policy, Text};

const TEXTS: [&str; 8] = [
    "App crashes when I export to PDF",
    "exporting a pdf makes the app crash",
    "Crash on PDF export",
    "The app crashed while exporting to PDF!",
    "I cannot log in since the last update",
    "after the last update I can't sign in",
    "My invoice shows the wrong VAT rate",
    "Pictures are not uploading to the gallery",
];

fn report(n: usize) -> ReportId {
    ReportId::from_uuid(Uuid::from_u128(n as u128 + 1))
}

fn cluster(n: usize) -> ClusterId {
    ClusterId::from_uuid(Uuid::from_u128(n as u128 + 1))
}

fn printed(n: usize, print: Option<&str>) -> Features {
    Features::of(&Text { product: None, fingerprint: print, title: TEXTS[n], body: "" })
}

fn text(n: usize) -> Features {
    printed(n, None)
}

/// An index with each text in the cluster that is named for it.
fn index(homes: &[usize]) -> Index {
    let mut index = Index::new(Policy::default());
    for (n, &home) in homes.iter().enumerate() {
        index.insert(report(n), cluster(home), false, &text(n));
    }
    index
}

/// The parts of the first cluster that stand apart, by the numbers of their texts.
fn apart(index: &Index, vouched: &[usize]) -> Vec<Vec<usize>> {
    let number = |id: ReportId| (0..TEXTS.len()).find(|&n| report(n) == id).expect("a text");
    let exemplars = index.exemplars(cluster(0));
    let texts: Vec<Features> = exemplars.iter().map(|exemplar| text(number(exemplar.report))).collect();
    let parts = index.parts(cluster(0), &texts, &vouched.iter().map(|&n| report(n)).collect());
    parts.into_iter().map(|part| part.reports.into_iter().map(number).collect()).collect()
}

#[test]
fn a_cluster_s_texts_are_asked_as_if_it_were_not_there() {
    let index = index(&[0, 0, 1, 1, 2, 2, 3, 4]);
    for n in 0..2 {
        let rivals = index.rivals(cluster(0), &text(n));
        assert_eq!(rivals[0].cluster, cluster(1), "{rivals:?}");
        assert!(rivals[0].score > 0.5 && !rivals[0].signals.is_empty(), "{rivals:?}");
        assert!(rivals.iter().all(|rival| rival.cluster != cluster(0)));
    }
    let rivals = index.rivals(cluster(3), &text(6));
    assert!(rivals.iter().all(|rival| rival.score < index.policy().suggest), "{rivals:?}");
}

#[test]
fn a_person_s_word_bars_a_rival() {
    let mut index = index(&[0, 0, 1, 1, 2, 2, 3, 4]);
    index.set_apart(report(0), cluster(1));
    assert!(index.rivals(cluster(0), &text(0)).iter().all(|rival| rival.cluster != cluster(1)));
}

#[test]
fn a_cluster_of_one_problem_has_no_parts() {
    assert_eq!(apart(&index(&[0, 0, 0, 0, 2, 2, 3, 4]), &[]), [] as [Vec<usize>; 0]);
}

#[test]
fn what_is_like_nothing_else_of_its_cluster_stands_apart() {
    assert_eq!(apart(&index(&[0, 0, 0, 0, 2, 2, 0, 4]), &[]), [[6]]);
    // Together, if it is like each other: a chain of likenesses is not enough, and two pairs are two problems.
    assert_eq!(apart(&index(&[0, 0, 0, 0, 0, 0, 3, 4]), &[]), [[4, 5]]);
    assert_eq!(apart(&index(&[0, 0, 0, 0, 0, 0, 0, 0]), &[]), [vec![4, 5], vec![6], vec![7]]);
}

#[test]
fn what_would_go_elsewhere_together_with_the_rest_does_not_stand_apart() {
    assert_eq!(apart(&index(&[0, 1, 1, 1, 0, 2, 3, 4]), &[]), [[4]]);
    // Both texts are what the second cluster is about: the two may be one, and no text is out of place.
    let mut index = index(&[0, 1, 1, 1, 0, 1, 3, 4]);
    assert_eq!(apart(&index, &[]), [] as [Vec<usize>; 0]);
    // Who says that the two are not one says that the texts are two problems.
    index.set_apart(report(1), cluster(0));
    assert_eq!(apart(&index, &[]), [[4]]);
}

#[test]
fn whom_a_person_vouched_for_does_not_stand_apart() {
    let all = index(&[0, 0, 0, 0, 0, 0, 0, 4]);
    assert_eq!(apart(&all, &[0, 6]), [[4, 5]]);
    // Then the others may be what stands apart.
    assert_eq!(apart(&all, &[6]), [vec![0, 1, 2, 3], vec![4, 5]]);
    let mut moved = index(&[0, 0, 0, 0, 2, 2, 3, 4]);
    moved.insert(report(0), cluster(0), true, &text(0));
    moved.insert(report(6), cluster(0), true, &text(6));
    assert_eq!(apart(&moved, &[]), [] as [Vec<usize>; 0]);
}

#[test]
fn one_fingerprint_holds_unlike_texts_together() {
    let mut index = index(&[0, 0, 0, 0, 2, 2, 3, 4]);
    let texts = [printed(0, Some("f")), printed(6, Some("f"))];
    index.insert(report(0), cluster(0), false, &texts[0]);
    index.insert(report(6), cluster(0), false, &texts[1]);
    assert_eq!(index.parts(cluster(0), &texts, &BTreeSet::new()), []);
}

proptest! {
    #[test]
    fn a_second_look_does_not_depend_on_the_order_of_arrival(
        homes in prop::collection::vec(0_usize..3, TEXTS.len()),
        order in Just((0..TEXTS.len()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let one = index(&homes);
        let mut other = Index::new(Policy::default());
        for n in order {
            other.insert(report(n), cluster(homes[n]), false, &text(n));
        }
        prop_assert_eq!(one.exemplars(cluster(0)), other.exemplars(cluster(0)));
        prop_assert_eq!(apart(&one, &[]), apart(&other, &[]));
        for (n, &home) in homes.iter().enumerate() {
            let rivals = one.rivals(cluster(home), &text(n));
            prop_assert_eq!(&rivals, &other.rivals(cluster(home), &text(n)));
            prop_assert!(rivals.iter().all(|rival| rival.cluster != cluster(home)));
        }
        // The main part is never named.
        let named: usize = apart(&one, &[]).iter().map(Vec::len).sum();
        prop_assert!(named == 0 || named < one.exemplars(cluster(0)).len());
    }
}
