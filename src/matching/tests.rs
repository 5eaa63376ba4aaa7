//! What the matcher promises as a whole.

mod second;
mod titled;

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::domain::id::{ClusterId, ProductId, ReportId};
use uuid::Uuid;

fn report(n: u128) -> ReportId {
    ReportId::from_uuid(Uuid::from_u128(n))
}

fn cluster(n: u128) -> ClusterId {
    ClusterId::from_uuid(Uuid::from_u128(n))
}

fn product(n: u128) -> ProductId {
    ProductId::from_uuid(Uuid::from_u128(n))
}

fn title(title: &str) -> Features {
    Features::of(&Text { product: Some(product(1)), fingerprint: None, title, body: "" })
}

fn printed(print: &str, title: &str) -> Features {
    Features::of(&Text { product: Some(product(1)), fingerprint: Some(print), title, body: "" })
}

/// An index of titles; the first is report 1 in cluster 1, and so on.
fn index(titles: &[&str]) -> Index {
    let mut index = Index::new(Policy::default());
    for (n, text) in (1..).zip(titles) {
        index.insert(report(n), cluster(n), false, &title(text));
    }
    index
}

fn attached(index: &Index, text: &str) -> Option<ClusterId> {
    match index.place(&title(text)).decision {
        Decision::Attach { cluster, .. } => Some(cluster),
        Decision::Suggest { .. } | Decision::New => None,
    }
}

const EXPORT: &str = "App crashes when I export to PDF";

#[test]
fn an_index_can_be_handed_to_another_thread() {
    fn is_sent<T: Send + Sync>() {}
    is_sent::<Index>();
    is_sent::<Features>();
}

#[test]
fn lay_words_for_the_same_problem_attach() {
    let index = index(&[
        EXPORT,
        "I cannot log in since the last update",
        "My invoice shows the wrong VAT rate",
        "Pictures are not uploading to the gallery",
    ]);
    for (text, n) in [
        ("exporting a pdf makes the app crash", 1),
        ("The app crashed while exporting to PDF!", 1),
        ("Crash on PDF export", 1),
        ("after the last update I can't sign in", 2),
        ("wrong VAT rate on my invoices", 3),
        ("uploading photos to the gallery does not work", 4),
    ] {
        let placement = index.place(&title(text));
        assert_eq!(
            placement.decision,
            Decision::Attach { cluster: cluster(n), report: report(n) },
            "{text}: {placement:?}"
        );
    }
}

/// Whoever writes in a hurry has the same problem.
#[test]
fn a_slip_of_the_hand_keeps_nobody_from_the_same_problem() {
    let index = index(&[
        EXPORT,
        "I cannot log in since the last update",
        "Pictures are not uploading to the gallery",
        "The widget shows the wrong month on Android",
    ]);
    for (text, n) in [
        ("App crahses when I exprot to PDF", 1),
        ("i canot log in since the last updaet", 2),
        ("picturs are not uploding to the galery", 3),
        ("teh widgt shows the wrogn month on Andriod", 4),
    ] {
        assert_eq!(attached(&index, text), Some(cluster(n)), "{text}: {:?}", index.place(&title(text)));
    }
    // A platform stays one, however it is spelled.
    assert_eq!(attached(&index, "The widget shows the wrong month on iPhone"), None);
    assert_eq!(attached(&self::index(&["The widget is empty on Andriod"]), "The widget is empty on iPhone"), None);
}

#[test]
fn a_decision_tells_what_was_nearest_and_the_thresholds_that_held() {
    let known = [EXPORT, "Crash on PDF export", "My invoice shows the wrong VAT rate", "Battery drains overnight"];
    let mut index = index(&known);
    for attach in [0.05, 0.5, 0.9, 1.0] {
        index.set_policy(Policy { attach, suggest: 0.01 });
        for text in
            known.into_iter().chain(["exporting a pdf makes the app crash", "the VAT rate is wrong on my invoice"])
        {
            let Placement { decision, score, nearest, thresholds, .. } = index.place(&title(text));
            let first = nearest.first().expect("something is near");
            assert_eq!((first.score, thresholds.suggest), (score, 0.01));
            assert!(nearest.is_sorted_by(|better, worse| better.score >= worse.score));
            assert!(thresholds.attach <= attach, "near twins need less, and nobody more");
            match decision {
                Decision::Attach { cluster, report } => {
                    assert_eq!((first.cluster, first.report), (cluster, report));
                    assert!(score >= thresholds.attach, "{text}: {score} {thresholds:?}");
                }
                Decision::Suggest { cluster, .. } => assert_eq!(first.cluster, cluster),
                Decision::New => {}
            }
        }
    }
    assert_eq!(Index::new(Policy::default()).place(&title(EXPORT)).nearest, []);
}

/// Scores of texts that say the same problem, each in an index of a few others: without times, and with so many seconds
/// between what is known and what comes.
fn scores_by_time(seconds: i64) -> Vec<(&'static str, f64, f64)> {
    const NOW: i64 = 1_700_000_000;
    let known = [
        EXPORT,
        "I cannot log in since the last update",
        "My invoice shows the wrong VAT rate",
        "Pictures are not uploading to the gallery",
    ];
    let mut timed = Index::new(Policy::default());
    for (n, text) in (1..).zip(known) {
        timed.insert(report(n), cluster(n), false, &title(text).arrived(NOW - seconds));
    }
    let untimed = index(&known);
    let asked = [
        "exporting a pdf makes the app crash",
        "The app crashed while exporting to PDF!",
        "after the last update I can't sign in",
        "wrong VAT rate on my invoices",
        "uploading photos to the gallery does not work",
    ];
    let scores =
        asked.map(|text| (text, untimed.place(&title(text)).score, timed.place(&title(text).arrived(NOW)).score));
    scores.into()
}

#[test]
fn one_crash_reported_twice_within_a_minute_is_one_crash() {
    for (text, without, with) in scores_by_time(60) {
        assert!(with >= without.min(0.6), "{text}: {without} without times, {with} with");
    }
}

#[test]
fn when_reports_are_from_says_little_of_whether_they_are_the_same() {
    for seconds in [0, 60, 3_600, 86_400, 7 * 86_400] {
        for (text, without, with) in scores_by_time(seconds) {
            let apart = (with - without).abs();
            assert!(apart < 0.15, "{text}, after {seconds} s: {without} without times, {with} with");
        }
    }
}

#[test]
fn a_subject_that_says_little_leaves_the_word_to_the_body() {
    let text = |title, body| Features::of(&Text { product: None, fingerprint: None, title, body });
    let mut index = index(&[]);
    let known = "Hello,\nwhenever I export my report to PDF the app crashes and I lose my changes.\nThanks, Ada";
    index.insert(report(1), cluster(1), false, &text("App crash", known));
    let other = "Hi team\nthe app crashes if I export a report as PDF, all changes are lost.\nBest regards\nGrace";
    let placement = index.place(&text("PDF export", other));
    assert_eq!(placement.decision, Decision::Attach { cluster: cluster(1), report: report(1) }, "{placement:?}");
    let placement =
        index.place(&text("App crash", "Hi, when I take a picture with the front camera it closes itself."));
    assert_eq!(placement.decision, Decision::New, "{placement:?}");
    let titled = text("PDF export crashes the app", known);
    index.insert(report(2), cluster(2), false, &titled);
    // Both clusters now hold this body: the nearer title is named first, and whether the two are one is a person's word.
    let asked = text("App crashes exporting PDF", other);
    let placement = index.place(&asked);
    assert!(placement.nearest[0].cluster == cluster(2) && placement.decision != Decision::New, "{placement:?}");
    index.remove_report(report(1));
    let placement = index.place(&asked);
    assert_eq!(placement.decision, Decision::Attach { cluster: cluster(2), report: report(2) }, "{placement:?}");
}

#[test]
fn two_mails_share_nothing_but_their_subject_and_courtesies() {
    let mail = |says: &str, name: &str| {
        Features::of(&Text {
            product: None,
            fingerprint: None,
            title: "Question",
            body: &format!("Good morning,\n\n{says}\n\nMany thanks, {name}"),
        })
    };
    let mut index = index(&[]);
    index.insert(report(1), cluster(1), false, &mail("The invoice shows the wrong VAT rate.", "Ada"));
    let other = index.place(&mail("Pictures are not uploading to the gallery.", "Ada"));
    assert_eq!(other.decision, Decision::New, "{other:?}");
    // Whoever signs, and however it is said.
    for (says, name) in [("The invoice shows the wrong VAT rate.", "Grace"), ("wrong VAT rate on my invoices", "Alan")]
    {
        let same = index.place(&mail(says, name));
        assert_eq!(same.decision, Decision::Attach { cluster: cluster(1), report: report(1) }, "{same:?}");
    }
}

#[test]
fn the_same_persons_report_goes_to_their_earlier_one_more_readily() {
    let mut index = index(&["I cannot export my report as PDF", "The invoice shows the wrong tax"]);
    let again = title("exporting a PDF fails for my report");
    let of_anybody = index.place(&again);
    let own = BTreeSet::from([cluster(1)]);
    let of_theirs = index.place_for(&again, &own);
    assert!(of_theirs.score > of_anybody.score, "{of_theirs:?}");
    assert!(of_theirs.signals.iter().any(|signal| signal.name == "same_reporter"));
    let sum: f64 = of_theirs.signals.iter().map(|signal| signal.weight).sum();
    assert!((sum - of_theirs.score).abs() < 1e-9, "the reasons add up: {sum}");
    // Where anybody's would be put before a person, theirs is attached.
    let between = (of_theirs.score + of_anybody.score) / 2.0;
    let attached = Decision::Attach { cluster: cluster(1), report: report(1) };
    index.set_policy(Policy { attach: between, suggest: 0.1 });
    assert_eq!(index.place_for(&again, &own).decision, attached);
    // Who has reported everything says little by reporting again.
    let many: BTreeSet<ClusterId> = (1..=50).map(cluster).collect();
    assert_eq!(index.place_for(&again, &many), index.place(&again));
    let some: BTreeSet<ClusterId> = (1..=10).map(cluster).collect();
    let of_somebody_busy = index.place_for(&again, &some).score;
    assert!(of_anybody.score < of_somebody_busy && of_somebody_busy < of_theirs.score, "{of_somebody_busy}");
    // Another problem of theirs is another problem.
    let other = index.place_for(&title("Dark mode is missing on the tablet"), &own);
    assert_eq!(other.decision, Decision::New, "{other:?}");
}

#[test]
fn a_catch_phrase_or_a_platform_does_not_attach() {
    let index = index(&[
        EXPORT,
        "The app does not work on my phone",
        "Calendar sync is slow on Android",
        "Crash on JDK 13 at startup",
    ]);
    for text in [
        "App crashes when I open the settings",
        "The search does not work on my phone",
        "The website does not work",
        "Calendar sync is slow on iOS",
        "Crash on JDK 14 at startup",
        "PDF",
        "please help, it does not work",
    ] {
        let placement = index.place(&title(text));
        assert!(!matches!(placement.decision, Decision::Attach { .. }), "{text}: {placement:?}");
    }
}

/// What is fixed for one file format is not fixed for another.
#[test]
fn another_file_format_does_not_attach_and_the_same_one_does_however_it_is_called() {
    let index =
        index(&[EXPORT, "Invoices are empty when I download them as Excel", "The gallery does not take jpg files"]);
    for text in [
        "App crashes when I export to Excel",
        "Invoices are empty when I download them as CSV",
        "The gallery does not take png files",
    ] {
        let placement = index.place(&title(text));
        assert!(!matches!(placement.decision, Decision::Attach { .. }), "{text}: {placement:?}");
    }
    assert_eq!(attached(&index, "invoices are empty if I download them as xlsx"), Some(cluster(2)));
    assert_eq!(attached(&index, "the gallery does not take JPEG files!"), Some(cluster(3)));
}

#[test]
fn two_products_never_match_and_an_unknown_one_only_suggests() {
    let index = index(&[EXPORT]);
    let of = |product| Features::of(&Text { product, fingerprint: Some("f"), title: EXPORT, body: "" });
    let other = index.place(&of(Some(product(2))));
    assert_eq!((other.decision, other.score), (Decision::New, 0.0));
    let unknown = index.place(&of(None));
    assert!(matches!(unknown.decision, Decision::Suggest { .. }), "{unknown:?}");
    assert!(unknown.signals.iter().any(|signal| signal.name == "product_unknown" && signal.weight < 0.0));
    assert!(index.candidates(&of(Some(product(2))), 10).is_empty());
}

#[test]
fn an_equal_text_or_fingerprint_attaches_with_score_one() {
    let mut index = index(&["Order #4711 was never delivered"]);
    index.insert(report(2), cluster(2), false, &printed("NullPointer@Main:12", "boom"));
    for (features, n, name) in [
        (title("order #815 was NEVER delivered!"), 1, "exact_text"),
        (printed("NullPointer@Main:12", "something else entirely"), 2, "fingerprint"),
    ] {
        let placement = index.place(&features);
        assert_eq!(placement.decision, Decision::Attach { cluster: cluster(n), report: report(n) });
        assert_eq!((placement.score, placement.signals[0].name), (1.0, name));
    }
    assert_eq!(index.place(&title("")).decision, Decision::New);
}

#[test]
fn texts_that_say_nothing_are_not_the_same() {
    let index = index(&["", "Hello", "12345", "???"]);
    for text in ["", "Hello", "12345", "???"] {
        assert_eq!(index.place(&title(text)).decision, Decision::New, "{text:?}");
    }
}

#[test]
fn of_two_holders_of_a_key_the_person_s_wins_and_then_the_earliest() {
    let mut index = Index::new(Policy::default());
    index.insert(report(2), cluster(2), false, &title(EXPORT));
    index.insert(report(1), cluster(1), false, &title(EXPORT));
    assert_eq!(attached(&index, EXPORT), Some(cluster(1)));
    index.insert(report(3), cluster(3), true, &title(EXPORT));
    assert_eq!(attached(&index, EXPORT), Some(cluster(3)));
    index.remove_report(report(3));
    assert_eq!(attached(&index, EXPORT), Some(cluster(1)));
}

#[test]
fn law_5_a_moved_report_takes_its_twins_along() {
    let mut index = index(&[EXPORT]);
    // Report 2 says the same; a person moved it to cluster 2.
    index.insert(report(2), cluster(2), true, &title("exporting a pdf makes the app crash"));
    index.set_apart(report(2), cluster(1));
    // Its exact twin and its near twin follow it …
    assert_eq!(attached(&index, "exporting a pdf makes the app crash"), Some(cluster(2)));
    assert_eq!(attached(&index, "crash of the app exporting the pdf"), Some(cluster(2)));
    // … and who says exactly what the other report says stays with that.
    assert_eq!(attached(&index, EXPORT), Some(cluster(1)));
}

#[test]
fn law_5_a_rejected_suggestion_holds_for_near_twins_until_it_is_taken_back() {
    let mut index = index(&["My invoice shows the wrong VAT rate", "Wrong VAT rate on the invoice preview"]);
    index.set_apart(report(2), cluster(1));
    let twin = title("VAT rate wrong on invoice preview");
    let clusters = |index: &Index| index.candidates(&twin, 9).iter().map(|c| c.cluster).collect::<Vec<_>>();
    assert_eq!(clusters(&index), [cluster(2)]);
    index.clear_apart(report(2), cluster(1));
    assert_eq!(clusters(&index), [cluster(2), cluster(1)]);
}

#[test]
fn law_5_an_equal_fingerprint_does_not_overrule_a_person() {
    let mut index = Index::new(Policy::default());
    index.insert(report(1), cluster(1), false, &printed("f", "one"));
    index.insert(report(2), cluster(2), false, &printed("f", "two"));
    index.set_apart(report(2), cluster(1));
    let placement = index.place(&printed("f", "three"));
    assert_eq!(placement.decision, Decision::Attach { cluster: cluster(2), report: report(2) });
}

#[test]
fn a_constraint_may_be_known_before_its_report() {
    let mut index = Index::new(Policy::default());
    index.set_apart(report(2), cluster(1));
    index.insert(report(1), cluster(1), false, &title(EXPORT));
    index.insert(report(2), cluster(2), false, &title(EXPORT));
    assert_eq!(attached(&index, EXPORT), Some(cluster(2)));
    index.remove_report(report(2));
    assert_eq!(attached(&index, EXPORT), Some(cluster(1)));
}

#[test]
fn a_text_set_apart_is_compared_in_every_cluster_whenever_its_report_comes() {
    const SHARED: &str = "password";
    let asked = ["password rejected".to_owned()];
    // Cluster 1 has more texts than are compared, and the shared one is its last.
    let crowded = || {
        let mut index = Index::new(Policy::default());
        for n in 1..=12 {
            index.insert(report(n), cluster(1), false, &title(&format!("invoice w{n}x")));
        }
        index.insert(report(13), cluster(1), false, &title(SHARED));
        index
    };
    let (mut earlier, mut later, never) = (crowded(), crowded(), crowded());
    earlier.set_apart(report(14), cluster(3));
    earlier.insert(report(14), cluster(2), false, &title(SHARED));
    later.insert(report(14), cluster(2), false, &title(SHARED));
    later.set_apart(report(14), cluster(3));
    assert_eq!(seen(&earlier, &asked), seen(&later, &asked));
    assert_eq!(earlier.candidates(&title(&asked[0]), 9).len(), 2, "both clusters hold it");
    // It is shown there no longer than the report is known.
    earlier.remove_report(report(14));
    later.remove_cluster(cluster(2));
    assert_eq!(seen(&earlier, &asked), seen(&never, &asked));
    assert_eq!(seen(&later, &asked), seen(&never, &asked));
}

#[test]
fn a_person_s_nearer_word_counts_more_than_a_bar_from_further_away() {
    let mut index = Index::new(Policy::default());
    index.insert(report(1), cluster(1), true, &title("Wrong VAT rate on the printed invoice"));
    index.insert(report(2), cluster(2), false, &title("Wrong VAT rate on the invoice"));
    index.set_apart(report(2), cluster(1));
    assert_eq!(attached(&index, "the VAT rate is wrong on printed invoices"), Some(cluster(1)));
}

#[test]
fn reasons_add_up_to_the_score() {
    let index = index(&["Calendar sync fails with E1234 on Android 12", EXPORT]);
    let placement = index.place(&title("E1234: calendar sync on Android 13"));
    let sum: f64 = placement.signals.iter().map(|signal| signal.weight).sum();
    assert!((sum.clamp(0.0, 1.0) - placement.score).abs() < 1e-9, "{placement:?}");
    let names: Vec<_> = placement.signals.iter().map(|signal| signal.name).collect();
    assert_eq!((names[0], names[1]), ("ordinary", "shared_terms"));
    let says_something = |signal: &Signal| !signal.detail.is_empty() || !usual_detail(signal.name).is_empty();
    assert!(placement.signals.iter().all(says_something), "{placement:?}");
    assert!(placement.signals[1].detail.contains("e1234"), "{placement:?}");
    // Another version is another problem, however probable the words make it.
    assert!(!matches!(placement.decision, Decision::Attach { .. }), "{placement:?}");
}

#[test]
fn exemplars_are_in_words_of_their_own() {
    let words = ["calendar", "sync", "breaks", "every", "night"];
    let in_order = |n: usize| {
        let mut left = words.to_vec();
        let order: Vec<&str> = (1..=5).rev().map(|count| left.remove((n / count + n * count) % count)).collect();
        order.join(" ")
    };
    let orders: BTreeSet<String> = (0..600).map(in_order).collect();
    assert!(orders.len() > 60, "{}", orders.len());
    let mut index = Index::new(Policy::default());
    for (n, text) in (1..).zip(&orders) {
        index.insert(report(n), cluster(1), false, &title(text));
    }
    let last = 1 + orders.len() as u128;
    index.insert(report(last), cluster(1), false, &title("appointments of my team disappear overnight"));
    let near = index.candidates(&title("the appointments of our team disappeared"), 1);
    assert_eq!(near[0].report, report(last), "a problem is known by its many wordings, not by one said in many orders");
    assert_eq!(index.take_stale(), []);
    // The next one in these words has to be read again.
    index.remove_report(report(1));
    assert_eq!(index.take_stale(), [cluster(1)]);
    index.remove_cluster(cluster(1));
    for (n, text) in (1..).zip(&orders).skip(1) {
        index.insert(report(n), cluster(1), false, &title(text));
    }
    assert_eq!(index.take_stale(), []);
    assert_eq!(index.candidates(&title("night sync of the calendar breaks"), 1)[0].report, report(2));
}

#[test]
fn who_speaks_for_others_in_the_same_words_is_as_late_as_the_last_of_them() {
    let on_day = |text: &str, day: i64| title(text).arrived(day * 86_400);
    let (one, again) = ("calendar sync breaks every night", "every night calendar sync breaks");
    let placed = |index: &Index| index.place(&on_day("the calendar sync broke again tonight", 101));
    let said = |second: &str, day: i64| {
        let mut index = Index::new(Policy::default());
        index.insert(report(1), cluster(1), false, &on_day(one, 0));
        index.insert(report(2), cluster(1), false, &on_day(second, day));
        index
    };
    let mut index = said(again, 100);
    assert_eq!(placed(&index), placed(&said(one, 100)), "as if the same text had come again");
    assert_ne!(placed(&index).score, placed(&said(again, 0)).score, "times are evidence");
    let mut kept = Vec::new();
    let stamp = Stamp { tenant: Uuid::nil(), sequence: 1, event: Uuid::nil() };
    index.snapshot(&stamp, &mut kept).expect("memory takes it");
    let (restored, _) = Index::restore(Policy::default(), &*kept).expect("it was written just now");
    assert_eq!(placed(&restored), placed(&index));
    index.remove_report(report(2));
    index.insert(report(2), cluster(1), false, &on_day(again, 0));
    assert_eq!(placed(&index), placed(&said(again, 0)));
}

#[test]
fn a_removal_that_takes_more_than_was_kept_ready_is_told() {
    let mut index = Index::new(Policy::default());
    let text = |n: u128| format!("w{n}x alpha{} beta{}", n * 7, n * 13);
    for n in 1..=80 {
        index.insert(report(n), cluster(1), false, &title(&text(n)));
    }
    for n in 1..=12 {
        index.remove_report(report(n));
    }
    assert_eq!(index.take_stale(), []);
    index.remove_report(report(13));
    assert_eq!(index.take_stale(), [cluster(1)]);
    index.remove_cluster(cluster(1));
    assert_eq!((index.report_count(), index.cluster_count()), (0, 0));
}

#[test]
fn two_texts_of_one_signature_are_both_kept_whichever_came_first() {
    let text = |body: &str| Features::of(&Text { product: None, fingerprint: None, title: "Export fails", body });
    let plain = text("the ledger page crashes on export");
    let fenced = text("```\nthe ledger page crashes on export\n```");
    assert_eq!(plain.signature(), fenced.signature());
    let asked = ["ledger crashes on exporting".to_owned(), "Export fails".to_owned()];
    let with = |reports: [(u128, &Features); 2]| {
        let mut index = Index::new(Policy::default());
        for (n, features) in reports {
            index.insert(report(n), cluster(1), false, features);
        }
        index.remove_report(report(2));
        let without = seen(&index, &asked);
        index.insert(report(2), cluster(1), false, &fenced);
        (seen(&index, &asked), without)
    };
    assert_eq!(with([(1, &plain), (2, &fenced)]), with([(2, &fenced), (1, &plain)]));
}

// ---- properties ------------------------------------------------------------------------------------------------

#[derive(Debug, Clone)]
struct Entry {
    report: u128,
    cluster: u128,
    by_person: bool,
    product: u128,
    print: Option<&'static str>,
    text: String,
}

const WORDS: &[&str] = &[
    "app",
    "crash",
    "export",
    "pdf",
    "invoice",
    "login",
    "password",
    "E1234",
    "E4321",
    "FooException",
    "slow",
    "android",
    "ios",
    "13",
    "14",
    "calendar",
    "sync",
    "photo",
    "upload",
    "does not work",
];

fn texts() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(WORDS), 1..6).prop_map(|words| words.join(" "))
}

fn entries(most: usize) -> impl Strategy<Value = Vec<Entry>> {
    let entry = (
        1..6_u128,
        any::<bool>(),
        0..3_u128,
        prop::option::weighted(0.2, prop::sample::select(&["f", "g"][..])),
        texts(),
    );
    prop::collection::vec(entry, 0..most).prop_map(|entries| {
        (1..)
            .zip(entries)
            .map(|(report, (cluster, by_person, product, print, text))| Entry {
                report,
                cluster,
                by_person,
                product,
                print,
                text,
            })
            .collect()
    })
}

impl Entry {
    fn features(&self) -> Features {
        let product = (self.product > 0).then(|| product(self.product));
        Features::of(&Text { product, fingerprint: self.print, title: &self.text, body: "" })
    }

    fn put(&self, index: &mut Index) {
        index.insert(report(self.report), cluster(self.cluster), self.by_person, &self.features());
    }
}

/// All that can be seen of an index.
fn seen(index: &Index, texts: &[String]) -> Vec<(Placement, Vec<Candidate>)> {
    let features = |text: &String| {
        Features::of(&Text { product: Some(product(1)), fingerprint: Some("f"), title: text, body: "" })
    };
    let both = texts.iter().flat_map(|text| [features(text), title(text)]);
    both.map(|features| (index.place(&features), index.candidates(&features, 5))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_arrival_changes_nothing(
        (entries, shuffled) in entries(60).prop_flat_map(|entries| (Just(entries.clone()), Just(entries).prop_shuffle())),
        apart in prop::collection::vec((1..60_u128, 1..6_u128), 0..4),
        asked in prop::collection::vec(texts(), 4),
    ) {
        let (mut one, mut other) = (Index::new(Policy::default()), Index::new(Policy::default()));
        apart.iter().for_each(|&(r, c)| one.set_apart(report(r), cluster(c)));
        entries.iter().for_each(|entry| entry.put(&mut one));
        shuffled.iter().for_each(|entry| entry.put(&mut other));
        if other.take_stale().is_empty() {
            apart.iter().rev().for_each(|&(r, c)| other.set_apart(report(r), cluster(c)));
        }
        prop_assume!(other.take_stale().is_empty() && one.take_stale().is_empty());
        prop_assert_eq!(seen(&one, &asked), seen(&other, &asked));
    }

    #[test]
    fn removing_is_the_inverse_of_inserting(
        entries in entries(60),
        kept in 0..60_usize,
        asked in prop::collection::vec(texts(), 4),
        apart in prop::collection::vec((1..60_u128, 1..6_u128), 0..4),
    ) {
        let kept = kept.min(entries.len());
        let (mut one, mut other) = (Index::new(Policy::default()), Index::new(Policy::default()));
        for index in [&mut one, &mut other] {
            apart.iter().for_each(|&(r, c)| index.set_apart(report(r), cluster(c)));
        }
        entries[..kept].iter().for_each(|entry| entry.put(&mut one));
        entries.iter().for_each(|entry| entry.put(&mut other));
        entries[kept..].iter().for_each(|entry| other.remove_report(report(entry.report)));
        // Clusters that lost more than was kept ready say so, and are inserted again.
        for stale in other.take_stale() {
            other.remove_cluster(stale);
            entries[..kept].iter().filter(|entry| cluster(entry.cluster) == stale).for_each(|entry| entry.put(&mut other));
        }
        prop_assert_eq!((one.report_count(), one.cluster_count()), (other.report_count(), other.cluster_count()));
        prop_assert_eq!(seen(&one, &asked), seen(&other, &asked));
    }

    #[test]
    fn law_5_no_placement_breaks_a_constraint(
        entries in entries(40),
        apart in prop::collection::vec((1..40_u128, 1..6_u128), 1..6),
    ) {
        let mut index = Index::new(Policy::default());
        entries.iter().for_each(|entry| entry.put(&mut index));
        apart.iter().for_each(|&(r, c)| index.set_apart(report(r), cluster(c)));
        for (r, c) in apart {
            // Who says exactly what the report says is kept away from the cluster as well.
            let Some(entry) = entries.iter().find(|entry| entry.report == r) else { continue };
            let found = index.candidates(&entry.features(), 100);
            prop_assert!(found.iter().all(|candidate| candidate.cluster != cluster(c)), "{:?} in {}", found, c);
        }
    }

    #[test]
    fn two_products_are_never_candidates(entries in entries(40), text in texts()) {
        let mut index = Index::new(Policy::default());
        for entry in &entries {
            Entry { product: 2, ..entry.clone() }.put(&mut index);
        }
        prop_assert!(index.candidates(&title(&text), 10).is_empty());
    }

    #[test]
    fn any_text_can_be_placed(one in any::<String>(), other in any::<String>()) {
        let mut index = Index::new(Policy::default());
        let features = Features::of(&Text { product: None, fingerprint: Some(&one), title: &one, body: &other });
        index.insert(report(1), cluster(1), false, &features);
        let placement = index.place(&Features::of(&Text { product: None, fingerprint: None, title: &other, body: &one }));
        prop_assert!((0.0..=1.0).contains(&placement.score));
        index.remove_report(report(1));
        prop_assert_eq!(index.place(&features).decision, Decision::New);
    }
}
