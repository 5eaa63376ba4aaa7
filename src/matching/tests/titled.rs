//! What is promised of reports as help desks send them: a title, and a body in other words.

use super::*;

fn told((title, body): (&str, &str)) -> Features {
    Features::of(&Text { product: Some(product(1)), fingerprint: None, title, body })
}

/// Six problems; the first is report 1 in cluster 1, and so on.
const KNOWN: [(&str, &str); 6] = [
    (
        "PDF export fails with error E4012",
        "When I export an invoice as PDF the app shows error E4012 and no file is saved.",
    ),
    ("Login loop after update", "Since the update to 3.1 I am sent back to the login page each time I sign in."),
    ("Wrong VAT on invoice", "My invoice for March has 19 % VAT, but I am in Austria and it should be 20 %."),
    ("Photos do not upload", "Uploading photos to the gallery stops at 90 % and then says failed."),
    ("Push notifications missing on Android", "I get no push notifications on my phone any more."),
    ("Card declined at checkout", "My card is declined although there is enough money on it."),
];

fn index_of_six() -> Index {
    let mut index = index(&[]);
    for (n, known) in (1..).zip(KNOWN) {
        index.insert(report(n), cluster(n), false, &told(known));
    }
    index
}

#[test]
fn a_report_with_a_title_and_a_body_attaches_as_a_bare_message_does() {
    let index = index_of_six();
    for (n, asked) in [
        (
            3,
            (
                "Invoice shows the wrong tax rate",
                "Good morning,\nthe VAT rate on my last invoice is wrong, it should be the Austrian one.\nBest regards\nGrace",
            ),
        ),
        (
            4,
            ("Gallery upload stuck", "I try to add pictures to my gallery but the upload never finishes.\nThanks, Ada"),
        ),
        (
            5,
            (
                "No notifications",
                "Hello,\nmy Android phone has not shown any notification of your app since yesterday.",
            ),
        ),
    ] {
        let placement = index.place(&told(asked));
        assert_eq!(
            placement.decision,
            Decision::Attach { cluster: cluster(n), report: report(n) },
            "{asked:?} {placement:?}"
        );
    }
}

#[test]
fn another_problem_with_the_same_things_does_not_attach() {
    let index = index_of_six();
    for asked in [
        ("Cannot see my invoice", "I do not find the invoice of March in my account."),
        ("Invoice was sent twice", "I got the same invoice for March two times."),
        ("Gallery is slow", "Opening the gallery takes a minute."),
        ("Card was charged twice", "At the checkout my credit card was charged two times."),
    ] {
        let placement = index.place(&told(asked));
        assert!(!matches!(placement.decision, Decision::Attach { .. }), "{asked:?} {placement:?}");
    }
}

#[test]
fn a_problem_that_lies_in_many_small_clusters_is_not_doubted_for_that() {
    let tellings = [
        "The app crashes when I export a report to PDF",
        "Exporting a report as PDF crashes the app",
        "App crash on PDF export of a report",
        "crashes every time I export my report to PDF",
        "PDF export of reports makes the app crash",
        "When I export reports to PDF the app crashes",
    ];
    let asked = title("the app crashed while I exported a report to PDF");
    let placed = |cluster_of: fn(u128) -> u128| {
        let mut index = index_of_six();
        for (n, telling) in (11..).zip(tellings) {
            index.insert(report(n), cluster(cluster_of(n)), false, &title(telling));
        }
        index.place(&asked)
    };
    let (in_one, in_six) = (placed(|_| 11), placed(|n| n));
    for placement in [&in_one, &in_six] {
        assert!(matches!(placement.decision, Decision::Attach { .. }), "{placement:?}");
    }
    assert!(in_six.score > in_one.score - 0.15, "{} in one cluster, {} in six", in_one.score, in_six.score);
}

#[test]
fn a_code_that_both_tell_speaks_for_the_same_problem() {
    let asked = (
        "Cannot export my invoice to PDF (E4012)",
        "Hello! Exporting an invoice as PDF stopped working: error E4012, and the file is not saved. Thanks",
    );
    let placement = index_of_six().place(&told(asked));
    assert_eq!(placement.decision, Decision::Attach { cluster: cluster(1), report: report(1) }, "{placement:?}");
    for code in ["E1042", "ERR-1042", "0x80070410", "error 1042", "HTTP 502"] {
        let index = index(&[&format!("Card payment was refused ({code})"), "Login loop after update"]);
        let placement = index.place(&title(&format!("{code}: my money did not arrive")));
        let of_the_code = placement.signals.iter().find(|signal| signal.name == "strong_terms");
        assert!(of_the_code.is_some_and(|signal| signal.weight > 0.0), "{code} {placement:?}");
    }
}

#[test]
fn a_code_that_both_tell_is_not_enough() {
    let index = index_of_six();
    for asked in [
        ("Password reset fails with E4012", "I wanted to set a new password and got error E4012."),
        ("E4012 when I rename a folder", "As soon as I rename a folder I see E4012."),
        ("E4012", "I get error E4012. Please help!"),
    ] {
        let placement = index.place(&told(asked));
        assert!(!matches!(placement.decision, Decision::Attach { .. }), "{asked:?} {placement:?}");
        assert_eq!(placement.nearest.first().map(|near| near.cluster), Some(cluster(1)), "{asked:?} {placement:?}");
    }
}
