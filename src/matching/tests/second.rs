//! What a second embedder's space changes, and when.

use super::*;

/// Two embedders that know nothing of words: they see one of ten themes.
const ONE: &str = "one model";
const OTHER: &str = "another model";
const KNOWN: u128 = 60;
/// Shares no word with anything.
const STRANGE: &str = "Zweifelhafte Quittungen überall";

fn words(n: u128) -> String {
    let (things, faults) = (
        ["invoice", "gallery", "calendar", "printer", "keyboard", "map", "playlist", "ticket", "password", "camera"],
        ["freezes", "vanishes", "flickers", "overheats", "duplicates", "rejects names", "loses colours"],
    );
    let at = n as usize;
    format!(
        "The {} {} on screen{}",
        things[at % things.len()],
        faults[at % faults.len()],
        "abcdefgh".repeat(1 + at / 70)
    )
}

/// What an embedder says of a theme: not always quite the same.
fn says(embedder: &str, theme: u128, variant: u128) -> Embedding {
    let draw = |seed: u128, at: u128| {
        let mut mixed = (seed as u64 ^ 0x9e37_79b9).wrapping_add(at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed >> 40) as f32 / (1 << 23) as f32 - 1.0
    };
    let seed = theme * 1_000 + if embedder == ONE { 7 } else { 11 };
    let spread = 0.2 + (variant % 5) as f32 / 5.0;
    let numbers: Vec<f32> = (0..384).map(|at| draw(seed, at) + spread * draw(900_000 + variant, at) + 0.5).collect();
    Embedding::of(Space::named(embedder), &numbers, Order::Any).expect("finite numbers")
}

fn theme(n: u128) -> u128 {
    n % 10
}

fn known(n: u128) -> Features {
    title(&words(n))
}

/// Sixty reports, all but the first few with a vector.
fn filled(lacking: u128) -> Index {
    let mut index = Index::new(Policy::default());
    index.use_space(Space::named(ONE));
    for n in 0..KNOWN {
        let features = if n < lacking { known(n) } else { known(n).with_embedding(says(ONE, theme(n), n)) };
        index.insert(report(n), cluster(n), false, &features);
    }
    index.fit_scale();
    index
}

/// It, about the theme of report 13.
fn stranger() -> Features {
    title(STRANGE).with_embedding(says(ONE, theme(13), 500))
}

fn found(index: &Index, features: &Features) -> Vec<(ClusterId, f64)> {
    index.candidates(features, 20).iter().map(|candidate| (candidate.cluster, candidate.score)).collect()
}

#[test]
fn what_the_words_do_not_say_is_found_in_the_second_space() {
    let index = filled(0);
    assert!(index.goes_by(stranger().embedding().unwrap()));
    let nearest: Vec<ClusterId> = found(&index, &stranger()).into_iter().take(3).map(|(cluster, _)| cluster).collect();
    for near in nearest {
        assert!((0..KNOWN).any(|n| theme(n) == theme(13) && near == cluster(n)), "{near:?}");
    }
}

#[test]
fn until_nearly_all_have_a_vector_the_table_is_gone_by_wholly() {
    for (lacking, second) in [(0, true), (1, true), (2, false), (40, false), (60, false)] {
        let index = filled(lacking);
        assert_eq!(index.goes_by(stranger().embedding().unwrap()), second, "{lacking} lack a vector");
        let same = found(&index, &stranger()) == found(&index, &title(STRANGE));
        assert_eq!(same, !second, "{lacking} lack a vector");
        assert_eq!(index.lacking_vectors().len() as u128, lacking);
    }
}

#[test]
fn few_reports_go_by_the_table_whatever_they_have() {
    let mut index = Index::new(Policy::default());
    index.use_space(Space::named(ONE));
    for n in 0..20 {
        index.insert(report(n), cluster(n), false, &known(n).with_embedding(says(ONE, theme(n), n)));
        index.fit_scale();
    }
    assert!(!index.goes_by(&says(ONE, 3, 500)), "cosines of so few cannot be compared with the table's");
}

#[test]
fn a_text_without_a_vector_goes_by_the_table_among_texts_that_have_one() {
    let mut plain = Index::new(Policy::default());
    (0..KNOWN).for_each(|n| plain.insert(report(n), cluster(n), false, &known(n)));
    assert_eq!(found(&filled(0), &title(STRANGE)), found(&plain, &title(STRANGE)));
    assert_eq!(filled(0).place(&known(5)).decision, plain.place(&known(5)).decision);
}

#[test]
fn vectors_of_two_embedders_are_never_compared() {
    let mut index = filled(0);
    let foreign = title(STRANGE).with_embedding(says(OTHER, theme(13), 500));
    assert!(!index.goes_by(foreign.embedding().unwrap()));
    assert_eq!(found(&index, &foreign), found(&index, &title(STRANGE)), "another embedder's goes by the table");

    // Nor is one taken in.
    index.insert(report(90), cluster(90), false, &title("A new thing").with_embedding(says(OTHER, 3, 9)));
    index.give_vector(report(90), &says(OTHER, 3, 9));
    assert_eq!(index.lacking_vectors(), [report(90)]);
    index.give_vector(report(90), &says(ONE, 3, 9));
    assert_eq!(index.lacking_vectors(), []);
}

#[test]
fn changing_the_embedder_leaves_no_moment_without_candidates() {
    let mut index = filled(0);
    let wanted = |embedder| title("The invoice freezes").with_embedding(says(embedder, theme(13), 500));
    assert!(!found(&index, &wanted(ONE)).is_empty());
    index.use_space(Space::named(OTHER));
    let mut seen = 0;
    while let Some(&lacking) = index.lacking_vectors().first() {
        for embedder in [ONE, OTHER] {
            assert!(!found(&index, &wanted(embedder)).is_empty());
            assert!(!index.goes_by(&says(ONE, 1, 1)), "the embedder before is not gone by");
        }
        let n = lacking.uuid().as_u128();
        index.give_vector(lacking, &says(OTHER, theme(n), n));
        index.fit_scale();
        seen += 1;
    }
    assert_eq!(seen, KNOWN);
    assert!(index.goes_by(&says(OTHER, 1, 1)));
    assert_ne!(found(&index, &wanted(OTHER)), found(&index, &title("The invoice freezes")));
}

#[test]
fn what_lacks_a_vector_is_found_by_its_words_in_the_second_space_too() {
    let index = filled(1);
    let asked = known(0).with_embedding(says(ONE, 9, 501));
    assert!(index.goes_by(asked.embedding().unwrap()));
    let title = words(0);
    let asked = self::title(&format!("{title} again and again")).with_embedding(says(ONE, 9, 501));
    assert!(found(&index, &asked).iter().any(|(found, _)| *found == cluster(0)));
}

#[test]
fn one_vector_serves_all_reports_of_a_text_and_each_text_is_asked_for_once() {
    let mut index = Index::new(Policy::default());
    index.use_space(Space::named(ONE));
    for n in 0..40 {
        index.insert(report(n), cluster(n % 4), false, &title(&words(n % 4)));
    }
    let lacking = index.lacking_vectors();
    assert_eq!(lacking.len(), 4);
    // Somebody says one of them again, and then the embedder answers.
    index.insert(report(50), cluster(1), false, &title(&words(1)).with_embedding(says(ONE, 1, 1)));
    assert_eq!(index.lacking_vectors().len(), 3);
    index.remove_report(report(50));
    let lacking = index.lacking_vectors();
    assert_eq!(lacking.len(), 3, "what was said of the text stays");
    // The report that was named is gone before the answer comes; others say the same.
    index.remove_report(lacking[0]);
    let others = index.lacking_vectors();
    assert_eq!(others.len(), 3);
    assert!(!others.contains(&lacking[0]));
    for report in others {
        index.give_vector(report, &says(ONE, 1, 1));
    }
    assert_eq!(index.lacking_vectors(), []);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn with_a_second_space_an_index_answers_the_same_whatever_came_and_went(
        order in Just((0..KNOWN).collect::<Vec<_>>()).prop_shuffle(),
        gone in prop::collection::btree_set(0..KNOWN, 0..20),
        late in prop::collection::btree_set(0..KNOWN, 0..KNOWN as usize),
    ) {
        let (mut one, mut other) = (Index::new(Policy::default()), Index::new(Policy::default()));
        one.use_space(Space::named(ONE));
        for n in (0..KNOWN).filter(|n| !gone.contains(n)) {
            one.insert(report(n), cluster(n % 25), false, &known(n).with_embedding(says(ONE, theme(n), n)));
        }
        one.fit_scale();
        // Half of it before anybody asks an embedder, vectors at once or later, some reports twice.
        for (at, &n) in order.iter().enumerate() {
            if at == 20 {
                other.use_space(Space::named(ONE));
            }
            let features = known(n);
            let features = if late.contains(&n) { features } else { features.with_embedding(says(ONE, theme(n), n)) };
            other.insert(report(n), cluster(n % 25), false, &features);
        }
        gone.iter().for_each(|&n| other.remove_report(report(n)));
        for report in other.lacking_vectors() {
            let n = report.uuid().as_u128();
            other.give_vector(report, &says(ONE, theme(n), n));
        }
        other.fit_scale();
        prop_assert_eq!(other.lacking_vectors(), []);
        prop_assert_eq!(found(&one, &stranger()), found(&other, &stranger()));
        prop_assert_eq!(one.place(&stranger()), other.place(&stranger()));
        prop_assert!(one.goes_by(stranger().embedding().unwrap()));
    }
}
