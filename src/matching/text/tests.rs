//! What reading promises as a whole: nothing is lost, nothing foreign is kept, and no text is too odd.

use proptest::prelude::*;

use super::*;

fn canonical(body: &str) -> String {
    read_body(body).canonical
}

/// Some of the tokens, with their texts.
fn told(reading: &Reading, wanted: impl Fn(&Token) -> bool) -> impl Iterator<Item = (String, Token)> {
    let tokens = reading.tokens.iter().filter(|token| wanted(token));
    tokens.map(|&token| (reading.text(token).to_owned(), token)).collect::<Vec<_>>().into_iter()
}

/// The words of a person in a body, with their kinds.
fn prose(body: &str) -> Vec<(String, Kind)> {
    told(&read_body(body), |token| token.zone.is_prose()).map(|(text, token)| (text, token.kind)).collect()
}

fn in_zone(body: &str, zone: Zone) -> Vec<String> {
    told(&read_body(body), |token| token.zone == zone).map(|(text, _)| text).collect()
}

/// How alike two texts' prose is: shared distinct tokens of all distinct tokens.
fn likeness(left: &str, right: &str) -> f64 {
    let set = |text: &str| prose(text).into_iter().collect::<std::collections::BTreeSet<_>>();
    let (left, right) = (set(left), set(right));
    left.intersection(&right).count() as f64 / left.union(&right).count().max(1) as f64
}

const ARTICLE: &str = "\
Since version 4.2 the calendar widget forgets its colours.

I set every calendar to its own colour, close the widget and open it again. Then all of them are grey.
It happens on my tablet as well, but only if the widget was placed by the old version.

Removing the widget and placing it anew helps until the next restart.";

const LOG: &str = "\
2026-03-01 10:11:12.345 INFO  [main] com.acme.widget.Loader - loading 7 calendars
2026-03-01 10:11:12.399 WARN  [main] com.acme.widget.Palette - no colour for calendar 3
2026-03-01 10:11:12.401 ERROR [pool-1] com.acme.widget.Painter - cannot paint
java.lang.IllegalStateException: palette is empty
\tat com.acme.widget.Painter.paint(Painter.java:77)
\tat android.view.View.draw(View.java:1200)";

#[test]
fn an_article_inside_page_furniture_is_the_same_article() {
    let page = format!(
        "Skip to content\nHome | Products | Support | Contact\nHome\nProducts\nBlog\nLog in\n\
         We use cookies to give you the best experience. Read our cookie policy.\nAccept all\n\n{ARTICLE}\n\n\
         Share this post\nFacebook\nTwitter\nLinkedIn\nWas this article helpful?\nRelated articles\nRead more\nRead more\n\
         Leave a comment\n© 2026 Acme Inc. All rights reserved.\nPrivacy policy\nTerms of service"
    );
    let likeness = likeness(ARTICLE, &page);
    assert!(likeness > 0.95, "{likeness}\n{:?}", prose(&page));
}

#[test]
fn a_misspelt_word_of_a_person_is_read_as_the_one_it_was_meant_to_be() {
    assert_eq!(prose("the galery canot be opened on Andriod"), prose("the gallery cannot be opened on Android"));
    assert_eq!(canonical("the galery"), "the galery", "what was said stays what was said");
    let code = in_zone("It fails here:\n```\nlet updaet = galery(1);\nreturn updaet;\n```\n", Zone::Code);
    assert!(code.contains(&"galery".to_owned()) && code.contains(&"updaet".to_owned()), "{code:?}");
}

#[test]
fn an_article_that_shares_a_catch_phrase_is_another() {
    let other = "Please help, it used to work and now it does not.\n\nThe mail client shows an empty inbox after I close \
                 the app and open it again. Then all of my folders are gone until I sign in once more.";
    assert!(likeness(ARTICLE, other) < 0.2, "{}", likeness(ARTICLE, other));
}

#[test]
fn what_a_program_wrote_is_told_from_what_a_person_wrote() {
    let body = format!(
        "The widget is grey after setColour.\n\n{{code:java}}\nwidget.setColour(calendar, palette.next());\n{{code}}\n\n\
         {LOG}\n\n<palette size=\"0\"/>\ncolour.default=grey"
    );
    let words: Vec<_> = prose(&body).into_iter().map(|(text, _)| text).collect();
    assert_eq!(words, ["widget", "grey", "setcolour", "set", "colour"]);
    assert!(in_zone(&body, Zone::Code).contains(&"widget.setcolour".to_owned()));
    assert!(
        in_zone(&body, Zone::Log).contains(&"loading".to_owned())
            || in_zone(&body, Zone::Log).contains(&"load".to_owned())
    );
    assert!(in_zone(&body, Zone::Trace).contains(&"java.lang.illegalstateexception".to_owned()));
    assert!(in_zone(&body, Zone::Config).contains(&"colour.default".to_owned()));
    let stack = read_body(&body).stack.unwrap();
    assert_eq!(stack.exception.as_deref(), Some("java.lang.IllegalStateException"));
    assert_eq!(stack.frames, ["com.acme.widget.Painter.paint"]);
}

#[test]
fn a_template_s_headings_are_structure() {
    let body = "## Steps to reproduce\n1. Open the calendar\n2. Rotate\n\n*Expected result:* colours stay\n\
                Actual result: grey\nEnvironment: Pixel 7\nAndroid 14\n\nIt is urgent.";
    let words: Vec<_> = prose(body).into_iter().map(|(text, _)| text).collect();
    assert_eq!(words, ["open", "calendar", "rotat", "colour", "stay", "grey", "urgent"]);
    assert_eq!(in_zone(body, Zone::Steps), ["open", "calendar", "rotat"]);
    assert_eq!(in_zone(body, Zone::Expected), ["colour", "stay"]);
    assert_eq!(in_zone(body, Zone::Environment), ["pixel", "android"]);
}

#[test]
fn macros_of_a_help_desk_are_nobody_s_words() {
    let body = "##- Please type your reply above this line -##\nThank you for contacting Acme Support!\n\
                Your request (#4711) has been received.\nThe widget is grey.\nThis email is a service from Acme.";
    assert_eq!(canonical(body), "the widget is grey");
    // Unless there is nothing else.
    assert_eq!(canonical("Thank you for contacting Acme Support!"), "thank you for contacting acme support");
}

#[test]
fn the_mail_a_customer_answers_is_cut() {
    let body = "It is still grey.\n\nFrom: Acme Support\nSent: Monday, 2 March 2026 10:00\nTo: Ada\nSubject: Widget\n\
                Have you tried to restart it?";
    assert_eq!(canonical(body), "it is still grey");
}

#[test]
fn greetings_and_who_signed_are_no_part_of_the_message() {
    for (opening, closing) in [
        ("Hello,", "Thanks, Ada"),
        ("Good morning,", "Best regards\nGrace Hopper"),
        ("Dear Ms Lovelace,", "Many thanks, J. Doe"),
        ("Guten Morgen", "Viele Grüße, Alan"),
        ("Hi team", "Cheers"),
    ] {
        let reading = read_body(&format!("{opening}\n\nThe widget is grey.\n\n{closing}"));
        let read = (reading.canonical.as_str(), reading.sentences.trim());
        assert_eq!(read, ("the widget is grey", "The widget is grey."), "{opening} {closing}");
    }
    for kept in
        ["Thanks, it crashes", "Please help, VPN", "THANKS FIX IT NOW", "Thanks for Android 14", "Thanks\nIt crashes."]
    {
        let all = canonical(&format!("The widget is grey.\n{kept}"));
        assert!(all.len() > "the widget is grey".len(), "{kept}: {all}");
    }
    assert_eq!(canonical("Thanks, Ada"), "thanks ada", "a message of nothing else is that");
}

#[test]
fn a_fence_that_is_never_closed_is_none() {
    assert_eq!(prose("{code}\nThe widget stays grey after a restart").len(), 4);
}

#[test]
fn a_long_paste_does_not_drown_the_words() {
    let lines = (0..2_000).map(|n| format!("[INFO] worker{n}.step{n} finished Task{n}Runner\n")).collect::<String>();
    let reading = read_body(&format!("{lines}\nThe widget stays grey"));
    assert!(reading.tokens.len() < 200, "{}", reading.tokens.len());
    assert_eq!(reading.tokens.iter().filter(|token| token.zone.is_prose()).count(), 3);
}

#[test]
fn statuses_and_codes_are_known_by_their_context() {
    let codes =
        |text: &str| told(&read_body(text), |token| token.kind == Kind::Code).map(|(text, _)| text).collect::<Vec<_>>();
    assert_eq!(codes("it answers 503 service unavailable"), Vec::<String>::new());
    assert_eq!(codes("it answers 500 internal error"), ["code500"]);
    assert_eq!(codes("404 not found"), ["code404"]);
    assert_eq!(codes("error code: 80070057"), ["code80070057"]);
    assert_eq!(codes("ORA-00942 and APP-1234, see https://x.example/browse/APP-99"), ["ora00942", "app1234"]);
    assert_eq!(codes("see https://x.example/browse/APP-991?a=b"), ["app991"]);
    assert_eq!(codes("room 500 is cold"), Vec::<String>::new());
}

#[test]
fn other_languages_keep_their_words() {
    assert_eq!(canonical("Le widget reste gris après l'ouverture."), "le widget reste gris après l ouverture");
    assert!(!prose("Виджет остаётся серым после перезапуска").is_empty());
    assert!(!prose("ウィジェットが灰色のままです。").is_empty());
    assert!(!prose("הווידג'ט נשאר אפור").is_empty());
    assert_eq!(prose("위젯이 회색"), prose(&"위젯이 회색".chars().flat_map(decomposed).collect::<String>()));
}

fn decomposed(c: char) -> Vec<char> {
    use unicode_normalization::UnicodeNormalization;
    std::iter::once(c).nfd().collect()
}

/// Lines of every kind, to be mixed.
fn line() -> impl Strategy<Value = String> {
    let whole = prop::sample::select(vec![
        "",
        "Hi Bob,",
        "Hello",
        "Thanks!",
        "Best regards",
        "Ada Lovelace",
        "--",
        "> quoted",
        "On Monday Ada wrote:",
        "Steps to reproduce:",
        "Expected: a dialog",
        "Environment: Windows 10",
        "Home | Blog | Contact | Help",
        "Home",
        "Blog",
        "Contact",
        "Read more",
        "Sent from my phone",
        "-----Original Message-----",
        "From: Ada",
        "Sent: now",
        "We use cookies",
        "{code}",
        "{noformat}",
        "```rust",
        "```",
        "x = y(1);",
        "\tat a.b.C.d(C.java:1)",
        "[INFO] a b c",
        "2024-01-02 10:11:12 x",
        "java.lang.FooException: no",
        "h3. Problem",
        "1. Open",
        "<a>b</a>",
        "Thank you for contacting us",
        "order=4711 x=1.2.2024 id=2.4.1",
        "TRACK-1234 ORA-00942 www.x.example http:www.y",
        "error 123456 port 80 code=500",
        "a'b'c l'application thank's",
        "İstanbul ΣΑΣ ﬁn e\u{301}",
        "アプリPDF字",
    ]);
    prop_oneof![3 => whole.prop_map(str::to_owned), 1 => "\\PC{0,40}", 1 => "[ -~]{0,60}"]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_text_is_its_own_canonical_text(lines in prop::collection::vec(line(), 0..12)) {
        let once = canonical(&lines.join("\n"));
        prop_assert_eq!(&canonical(&once), &once);
    }

    #[test]
    fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let text = String::from_utf8_lossy(&bytes);
        read_title(&text);
        let once = canonical(&text);
        prop_assert_eq!(&canonical(&once), &once);
    }

    #[test]
    fn a_log_below_changes_no_word_above(
        sentences in prop::collection::vec("[A-Z][a-z]{2,8}( [a-z]{2,9}){3,12}\\.", 1..6),
        times in 1..4_usize,
    ) {
        let words = sentences.join("\n");
        let with_log = format!("{words}\n\n{}", format!("{LOG}\n").repeat(times));
        prop_assert_eq!(prose(&with_log), prose(&words));
    }

    #[test]
    fn reading_takes_any_mixture(lines in prop::collection::vec(line(), 0..40)) {
        let reading = read_body(&lines.join("\r\n"));
        prop_assert!(told(&reading, |_| true).all(|(text, token)| !text.is_empty() && token.key == hash(text.as_bytes())));
    }
}

fn kinds(text: &str, kind: Kind) -> Vec<String> {
    told(&read_body(text), |token| token.kind == kind).map(|(text, _)| text).collect()
}

#[test]
fn only_what_the_reporter_wrote_is_read() {
    let mail = "Hi team,\n\nThe export fails.\n\nBest regards,\nAda Lovelace\n\nSent from my iPhone\n\n\
                On Mon, 3 May 2021 at 10:00, Support <s@example.org> wrote:\n> Please try again\n> Thanks";
    assert_eq!(canonical(mail), "the export fails");
    assert_eq!(canonical("The export fails.\n-- \nAda\nAcme Corp, +44 20 1234"), "the export fails");
    assert_eq!(canonical("Hello support, the export fails"), "the export fails");
    assert_eq!(
        canonical("Sehr geehrte Damen und Herren,\nder Export geht nicht\nMit freundlichen Grüßen\nAda"),
        "der export geht nicht"
    );
    assert_eq!(read_title("RE: Fwd: The export fails").canonical, "the export fails");
}

#[test]
fn what_names_one_case_is_masked() {
    assert_eq!(canonical("order 4711 failed"), canonical("Order #4712 failed!"));
    assert_eq!(canonical("it broke at 2024-01-02 10:11:12"), canonical("it broke at 30.11.2025 09:00"));
    assert_eq!(canonical("see https://a.example/x?y=1"), "see <url>");
    assert_eq!(canonical("I am ada@example.org"), "i am <email>");
    assert_eq!(canonical("id 0192f3c4-aaaa-7000-8000-000000000000"), "id <id>");
    assert_eq!(canonical("commit 9fceb02d0ae598e9"), "commit <id>");
    assert_eq!(canonical("charged $19.99 twice"), "charged <num> twice");
    assert_eq!(canonical("from 192.168.0.12"), "from <ip>");
}

#[test]
fn small_numbers_and_versions_stay_and_tell_texts_apart() {
    assert_eq!(kinds("fails on JDK 13 with v2.4.1", Kind::Number), ["13", "2.4.1"]);
    assert_ne!(canonical("fails on JDK 13"), canonical("fails on JDK 14"));
}

#[test]
fn codes_exceptions_and_identifiers_stay_strong() {
    assert_eq!(kinds("E1234, HTTP 500 and 0x80070057", Kind::Code), ["e1234", "code500", "0x80070057"]);
    assert_eq!(
        kinds("NullPointerException in setBarColor, ERR_FOO at com.acme.Main", Kind::Identifier),
        ["nullpointerexception", "setbarcolor", "err_foo", "com.acme.main"]
    );
    assert_eq!(kinds("setBarColor", Kind::Part), ["set", "bar", "color"]);
}

#[test]
fn a_script_without_spaces_gives_pairs_of_characters() {
    assert_eq!(kinds("アプリPDF", Kind::Word), ["アプ", "プリ"]);
    assert_eq!(kinds("アプリPDF", Kind::Facet), ["pdf"]);
    assert_eq!(kinds("字", Kind::Word), ["字"]);
}

#[test]
fn signing_in_has_one_name() {
    for text in ["cannot log in", "Logging into", "sign-in", "login", "signin"] {
        assert_eq!(kinds(text, Kind::Word), ["login"], "{text}");
    }
}

#[test]
fn a_hundred_thousand_characters_are_no_burden() {
    for text in [
        "x".repeat(200_000),
        "a.".repeat(100_000),
        "字".repeat(100_000),
        "'".repeat(100_000),
        "a'".repeat(50_000),
        "aア".repeat(50_000),
        "hi bob,\n".repeat(12_000),
        "> a:\n".repeat(20_000),
        "hi ".repeat(50_000),
    ] {
        assert!(read_body(&text).tokens.len() <= word::MAX_PIECES);
    }
}

proptest! {
    #[test]
    fn any_text_is_read(text in any::<String>()) {
        read_title(&text);
        read_body(&text);
    }

    #[test]
    fn reading_what_was_read_changes_nothing(
        lines in prop::collection::vec(prop::collection::vec(prop::sample::select(vec![
            "Hi", "team,", "the", "App's", "can't", "log", "in", "FooException:", "E1234", "order", "#4711", "12.5.1",
            "v2", "99999", "2024-01-02", "10:30", "a@b.example", "https://x.example", "Thanks!", "Ada", "アプリPDF",
            "foo_bar.baz", "/usr/lib/x.so", "İstanbul", "ΣΑΣ", "(re-try)", "0xdeadbeef00", "<num>", "$5", "iOS/Android",
        ]), 0..6), 0..6)
    ) {
        let text = lines.iter().map(|line| line.join(" ")).collect::<Vec<_>>().join("\n");
        let once = canonical(&text);
        prop_assert_eq!(&canonical(&once), &once);
    }

    #[test]
    fn reading_any_title_twice_changes_nothing(text in "\\PC{0,60}") {
        let once = read_title(&text).canonical;
        prop_assert_eq!(&read_title(&once).canonical, &once);
    }
}
