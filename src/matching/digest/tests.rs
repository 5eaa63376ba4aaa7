//! What a digest promises.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::id::ClusterId;
use crate::matching::{Index, Policy};

fn report(n: usize) -> ReportId {
    ReportId::from_uuid(Uuid::from_u128(n as u128 + 1))
}

fn member(n: usize, title: &str, body: &str) -> Member {
    Member::read(report(n), &Text { product: None, fingerprint: None, title, body })
}

/// Members of these titles and bodies, and how rare their terms are among them and some other reports.
fn read(texts: &[(&str, &str)]) -> (Vec<Member>, Rarity) {
    let members: Vec<Member> = texts.iter().enumerate().map(|(n, (title, body))| member(n, title, body)).collect();
    let mut index = Index::new(Policy::default());
    let others = ["The printer prints blank pages", "My invoice shows the wrong VAT rate", "Battery drains overnight"];
    for (n, text) in others.iter().enumerate() {
        let features = Features::of(&Text { product: None, fingerprint: None, title: text, body: "" });
        index.insert(report(1_000 + n), ClusterId::from_uuid(Uuid::from_u128(2 + n as u128)), false, &features);
    }
    for member in &members {
        index.insert(member.report(), ClusterId::from_uuid(Uuid::from_u128(1)), false, member.features());
    }
    let rarity = index.rarity(&members);
    (members, rarity)
}

fn of(texts: &[(&str, &str)], current: &str) -> Digest {
    let (members, rarity) = read(texts);
    digest(&members, current, &rarity)
}

const EXPORTS: [(&str, &str); 5] = [
    ("Help!!!", "Since the update the PDF export of long documents stops at page three. Please fix."),
    ("PDF export stops at page three", "I export a long document and it ends after the third page."),
    ("Exporting a PDF is cut short", "The export to PDF of a long document stops after page three"),
    ("Where is my logo", "In the PDF export of a document the logo is missing and it stops at page three"),
    ("export", "The PDF export stops."),
];

#[test]
fn the_title_is_what_one_member_says_for_all_and_the_terms_are_theirs() {
    let digest = of(&EXPORTS, "");
    assert_eq!(digest.title, "PDF export stops at page three");
    assert!(digest.key_terms.starts_with(&["PDF".to_owned()]) || digest.key_terms.contains(&"PDF".to_owned()));
    assert!(digest.key_terms.contains(&"export".to_owned()), "{:?}", digest.key_terms);
    assert!(!digest.key_terms.contains(&"logo".to_owned()), "one customer alone said it: {:?}", digest.key_terms);
    assert!(digest.key_terms.len() <= MOST_TERMS);
}

#[test]
fn a_title_stays_until_another_one_is_clearly_nearer() {
    let chosen = of(&EXPORTS, "").title;
    let nearly_as_good = "The PDF export of long documents stops at page three";
    assert_eq!(of(&EXPORTS, nearly_as_good).title, nearly_as_good);
    assert_eq!(of(&EXPORTS, "Where is my logo").title, chosen);
    assert_eq!(of(&EXPORTS, &chosen).title, chosen);
}

#[test]
fn a_headline_is_the_title_or_the_first_sentence_and_short() {
    assert_eq!(headline("Re: Export fails", "Hello"), "Export fails");
    let body = "Hi,\n\nthe export fails since Monday. It worked before.\n\nThanks\nBob";
    assert_eq!(headline("", body), "the export fails since Monday.");
    assert_eq!(headline("Help", "The export fails since Monday"), "The export fails since Monday");
    assert_eq!(headline("Thanks!", ""), "Thanks!");
    assert_eq!(headline("", "12345678"), "…");
    let unspaced = headline(&"請求書の税率が間違っています".repeat(10), "");
    assert!(unspaced.starts_with("請求書の税率") && unspaced.ends_with('…'), "{unspaced}");
    assert!(unspaced.chars().count() <= LONGEST + 1, "{unspaced}");
    let long = headline(&"a very long title ".repeat(20), "");
    assert!(long.chars().count() <= LONGEST + 1 && long.ends_with(" very…"), "it ends with a word: {long}");
}

#[test]
fn what_names_one_case_or_person_is_left_out() {
    for (text, kept) in [
        ("Mails to ada.lovelace@example.org bounce", "Mails to … bounce"),
        ("Call me at +49 170 123 4567 about the export", "Call me at … about the export"),
        ("Call (030) 901820-44, export fails", "Call … export fails"),
        ("電話は090-1234-5678です", "電話は … です"),
        ("My order 4711 is lost", "My order … is lost"),
        ("Card 4111 1111 1111 1111 was refused", "Card … was refused"),
        ("See https://acme.example/r/42?token=s3cret fails", "See … fails"),
        ("Crash since 2024-05-01 on login", "Crash since … on login"),
        ("10.1.2.3 cannot be reached by VPN", "… cannot be reached by VPN"),
        ("Device 550e8400-e29b-41d4-a716-446655440000 is offline", "Device … is offline"),
        ("Write to me@here.example, me@there.example now", "Write to … now"),
        ("Export to PDF fails with E1234 in 2.4.1", "Export to PDF fails with E1234 in 2.4.1"),
    ] {
        assert_eq!(headline(text, ""), kept);
    }
}

#[test]
fn a_code_that_one_customer_alone_has_is_no_key_term() {
    let digest = of(&[("Upload of contract AB123456 hangs", "")], "");
    assert!(digest.key_terms.iter().all(|term| !term.contains("123456")), "{:?}", digest.key_terms);
    let digest = of(&[("Upload hangs with E4021", ""), ("E4021 when I upload", "")], "");
    assert!(digest.key_terms.contains(&"E4021".to_owned()), "{:?}", digest.key_terms);
}

#[test]
fn terms_are_spelled_as_most_customers_spell_them() {
    let texts =
        [("Uploads hang", "createView fails"), ("uploads hang", ""), ("Upload hangs in createView", "uploads hang")];
    let digest = of(&texts, "");
    assert!(digest.key_terms.contains(&"uploads".to_owned()), "{:?}", digest.key_terms);
    assert!(digest.key_terms.contains(&"createView".to_owned()), "{:?}", digest.key_terms);
}

/// Whether the matcher would mask anything of it.
fn shows_nothing_masked(text: &str) -> bool {
    let runs = mask_numbers(text);
    let addresses = text.match_indices('@').any(|(at, _)| {
        text[..at].ends_with(char::is_alphanumeric) && text[at + 1..].starts_with(char::is_alphanumeric)
    });
    runs == text && !addresses && text.split_whitespace().all(|chunk| !is_masked(chunk))
}

fn words() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        Just("export".to_owned()),
        Just("PDF".to_owned()),
        Just("crashes".to_owned()),
        Just("order".to_owned()),
        Just("bob@example.org".to_owned()),
        Just("+49 170 1234567".to_owned()),
        Just("https://a.example/x".to_owned()),
        Just("2024-05-01".to_owned()),
        Just("ログイン".to_owned()),
        Just("a.\nb".to_owned()),
        "[0-9]{1,12}",
        "\\PC{0,6}",
    ];
    prop::collection::vec(word, 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn any_text_has_a_headline_that_is_short_and_shows_nothing_masked(title in words(), body in words()) {
        let headline = headline(&title, &body);
        prop_assert!(!headline.is_empty() && headline.chars().count() <= LONGEST + 1);
        prop_assert!(!headline.contains(char::is_control), "{headline:?}");
        prop_assert!(shows_nothing_masked(&headline), "{headline:?}");
    }

    #[test]
    fn a_digest_does_not_depend_on_the_order_of_members(
        texts in prop::collection::vec((words(), words()), 0..6),
        turn in 0_usize..6,
        current in words(),
    ) {
        let texts: Vec<(&str, &str)> = texts.iter().map(|(title, body)| (title.as_str(), body.as_str())).collect();
        let (mut members, rarity) = read(&texts);
        let one = digest(&members, &current, &rarity);
        members.reverse();
        let length = members.len().max(1);
        members.rotate_left(turn % length % length);
        prop_assert_eq!(&digest(&members, &current, &rarity), &one);
        prop_assert!(one.key_terms.iter().all(|term| shows_nothing_masked(term)), "{:?}", one.key_terms);
        if one.title != current {
            prop_assert!(shows_nothing_masked(&one.title), "{:?}", one.title);
            // And what was chosen stays.
            prop_assert_eq!(&digest(&members, &one.title, &rarity), &one);
        }
    }

    #[test]
    fn no_text_is_too_odd(title in "(?s).{0,80}", body in "(?s).{0,300}") {
        let (members, rarity) = read(&[(&title, &body), (&body, &title)]);
        digest(&members, &title, &rarity);
        headline(&title, &body);
    }
}
