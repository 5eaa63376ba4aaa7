//! Law 17: text from outside is data.

use tonic::Code;
use tonic_types::StatusExt;

use crate::support::api::Api;
use crate::support::every::{self, Things};
use crate::support::raw::Answer;
use crate::support::{Receiver, Server, a_release, a_report, reason};

/// What people and machines have been seen to send.
const HOSTILE: [&str; 14] = [
    "",
    " ",
    "\r\nBcc: victim@example.org\r\n\r\n<b>owned</b>",
    "{{ 7919 * 7907 }} {% include \"en/letter.txt\" %} {# #} ${7919*7907} <%= 7919*7907 %>",
    "<script>alert(1)</script><img src=x onerror=alert(1)>&amp;",
    "'; DROP TABLE report; --",
    "\u{202e}evil\u{2066}\u{200f}\u{feff}\u{0000}",
    "a\0b",
    "👩‍👩‍👧‍👦🏳️‍🌈 e\u{301}\u{301}\u{301} ﷽ 𓀀",
    "=HYPERLINK(\"http://evil.example\",\"click\")",
    "../../../../etc/passwd%00",
    "\u{1b}[2J\u{7}\u{8}\u{7f}",
    "rep_ffffffffffffffffffffffffffffffff",
    "a = b AND c != 'd' OR \"",
];

/// Numbers at the ends of what fits and a little beyond what is allowed: sizes, enums, seconds, nanoseconds.
const NUMBERS: [i64; 13] = [
    -1,
    0,
    1,
    99,
    501,
    1_000_000_000,
    -62_135_596_801,
    253_402_300_800,
    9_223_372_036_855,
    i32::MAX as i64,
    i32::MIN as i64,
    i64::MAX,
    i64::MIN,
];

/// What is wrong with the answer to such a call, if anything is.
async fn untyped(server: &Server, path: &str, field: &str, message: Vec<u8>, sent: &str) -> Option<String> {
    let begin: String = sent.chars().take(40).collect();
    let status = server.raw(path, message).await.err()?;
    let said = status.get_details_error_info().map(|info| info.reason).unwrap_or_default();
    let is_ours = !said.is_empty()
        && !matches!(status.code(), Code::Internal | Code::Unknown | Code::DataLoss | Code::Unavailable)
        && !status.message().contains(['\r', '\n', '\0']);
    let names_fields = status.code() != Code::InvalidArgument
        || ["FIELD_INVALID", "IDEMPOTENCY_KEY_REUSED"].contains(&said.as_str())
            && !crate::support::fields(&status).is_empty()
        || said == "MESSAGE_MALFORMED";
    (!is_ours || !names_fields).then(|| format!("{path} {field} {begin:?}: {status:?}"))
}

#[tokio::test]
async fn law_17_hostile_text_in_any_field_of_any_method_gets_a_typed_answer() {
    let server = Server::start().await;
    let things = Things::of(&server, &server).await;
    let api = Api::read();
    let long = "x".repeat(1 << 19);
    let mut wrong = Vec::new();
    for (path, _, message) in every::requests(&things) {
        // A revoked key and another tenant are tried elsewhere; here the caller has to go on.
        let method = api.method(&path);
        for field in api.strings(&method.input) {
            for text in HOSTILE.iter().copied().chain([long.as_str()]) {
                // Streams have a silence to wait for; their texts are the same ones.
                if method.streams && text.len() > 100 {
                    continue;
                }
                let message = [message.clone(), field.encode(text)].concat();
                wrong.extend(untyped(&server, &path, &field.name, message, text).await);
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers: {wrong:#?}", wrong.len());
    // And after all that everything still works.
    server.run_until_idle().await;
    server.look_again().await;
    let report = a_report().from("ada@example.org").saying("An ordinary problem with the weather widget");
    server.submit(report).await;
    assert!(!server.history("").await.is_empty());
}

#[tokio::test]
async fn law_17_any_number_in_any_field_of_any_method_gets_a_typed_answer() {
    let server = Server::start().await;
    let things = Things::of(&server, &server).await;
    let api = Api::read();
    let mut wrong = Vec::new();
    for (path, _, message) in every::requests(&things) {
        for field in api.numbers(&api.method(&path).input) {
            for number in NUMBERS {
                let message = [message.clone(), field.encode_number(number)].concat();
                wrong.extend(untyped(&server, &path, &field.name, message, &number.to_string()).await);
            }
        }
    }
    assert!(wrong.is_empty(), "{} answers: {wrong:#?}", wrong.len());
    server.run_until_idle().await;
    server.submit(a_report().from("ada@example.org")).await;
}

#[tokio::test]
async fn law_17_bytes_that_are_no_text_or_no_field_are_refused_everywhere() {
    let server = Server::start().await;
    let things = Things::of(&server, &server).await;
    let api = Api::read();
    let mut wrong = Vec::new();
    for (path, _, message) in every::requests(&things) {
        let input = &api.method(&path).input;
        let mut broken = vec![("cut", message[..message.len().saturating_sub(1)].to_vec()), ("nothing", Vec::new())];
        for field in api.strings(input) {
            // A byte that begins nothing, a lone surrogate, an overlong NUL; and a number where a text belongs.
            for bytes in [&b"\xff"[..], b"\xed\xa0\x80", b"\xc0\x80"] {
                broken.push(("no UTF-8", [message.clone(), field.encode_bytes(bytes)].concat()));
            }
            broken.push(("a number", [message.clone(), field.encode_number(7)].concat()));
        }
        for field in api.numbers(input) {
            broken.push(("a text", [message.clone(), field.encode("seven")].concat()));
        }
        for (what, message) in broken {
            if what != "cut" && what != "nothing" {
                match server.raw(&path, message.clone()).await {
                    Err(status) if reason(&status) == "MESSAGE_MALFORMED" => {}
                    // A packed list of numbers is bytes too.
                    other => wrong.push(format!("{path} {what}: {other:?}")),
                }
            }
            wrong.extend(untyped(&server, &path, what, message, "").await);
        }
    }
    assert!(wrong.is_empty(), "{} answers: {wrong:#?}", wrong.len());
    server.submit(a_report().from("ada@example.org")).await;
}

#[tokio::test]
async fn law_17_a_nul_is_refused_in_every_field_that_is_kept() {
    let server = Server::start().await;
    for change in [
        (|input| input.title = "a\0b".to_owned()) as fn(&mut crate::support::proto::ReportInput),
        |input| input.body = "a\0b".to_owned(),
        |input| input.external_id = "a\0b".to_owned(),
        |input| input.version = "a\0b".to_owned(),
        |input| input.platform = "a\0b".to_owned(),
        |input| input.environment = "a\0b".to_owned(),
        |input| input.region = "a\0b".to_owned(),
        |input| input.ring = "a\0b".to_owned(),
        |input| input.fingerprint = "a\0b".to_owned(),
        |input| input.product = "a\0b".to_owned(),
        |input| drop(input.labels.insert("key".to_owned(), "a\0b".to_owned())),
        |input| drop(input.labels.insert("a\0b".to_owned(), "value".to_owned())),
        |input| input.reporter.get_or_insert_default().display_name = "a\0b".to_owned(),
        |input| input.reporter.get_or_insert_default().external_id = "a\0b".to_owned(),
        |input| input.reporter.get_or_insert_default().contact_points[0].address = "a\0b".to_owned(),
    ] {
        let report = a_report().from("ada@example.org").with(change);
        let input = report.input.clone();
        let refused = server.try_submit(report).await.expect_err("a NUL");
        assert_eq!(reason(&refused), "FIELD_INVALID", "{input:?}");
    }
    assert_eq!(server.list_reports("").await, []);
}

#[tokio::test]
async fn law_17_hostile_words_reach_mails_and_webhooks_as_words() {
    let receiver = Receiver::open().await;
    let server = Server::start().await;
    server
        .admin()
        .rotate_webhook_secret(crate::support::proto::RotateWebhookSecretRequest::default())
        .await
        .expect("a secret");
    let mut reports = Vec::new();
    for (number, text) in HOSTILE.iter().enumerate().filter(|(_, text)| !text.contains('\0') && !text.trim().is_empty())
    {
        let from = format!("c{number}@example.org");
        let report = a_report()
            .from(&from)
            .named(text)
            .version("2.4.0")
            .reference(&format!("{number} {text}"))
            .fingerprint("one problem")
            .saying(text);
        reports.push((from, *text, server.submit(report).await));
    }
    let hook = server.submit(
        a_report()
            .webhook(&receiver.url())
            .named(HOSTILE[2])
            .version("2.4.0")
            .fingerprint("one problem")
            .saying(HOSTILE[4]),
    );
    let hook = hook.await;
    server.link(&hook, "github:acme/app#12").await;
    server.release(a_release("2.4.1").fixing("github:acme/app#12")).await;
    server.run_until_idle().await;

    let mails = server.mailbox.all();
    assert_eq!(mails.len(), reports.len(), "nobody was added, nobody left out");
    for (from, text, report) in &reports {
        assert_eq!(&server.report(&report.id).await.title, text, "it is kept as it came");
        let mail = server.mail_to(from).remove(0);
        let names: Vec<&str> = mail.headers.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "subject",
            "from",
            "to",
            "date",
            "message-id",
            "mime-version",
            "list-unsubscribe",
            "list-unsubscribe-post",
        ];
        for name in expected {
            assert_eq!(names.iter().filter(|known| **known == name).count(), 1, "{name} for {text:?} in {names:?}");
        }
        assert!(!names.contains(&"bcc") && !names.contains(&"cc"), "{text:?}: {names:?}");
        let header_text = |value: &str| value.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c));
        for (name, value) in &mail.headers {
            assert!(!header_text(value), "{name}: {value:?}");
        }
        assert!(!mail.text.contains("62615533"), "no template was run: {}", mail.text);
        assert!(
            !mail.html.contains("<script") && !mail.html.contains("<img src=x") && !mail.html.contains("<b>owned"),
            "{}",
            mail.html
        );
        assert!(
            mail.raw.split("\r\n").all(|line| line.len() <= 998 && !line.contains('\r') && !line.contains('\n')),
            "lines are lines"
        );
    }
    let posts = receiver.posts();
    assert_eq!(posts.len(), 1);
    assert!(posts[0].json()["data"]["text"].as_str().is_some_and(|text| !text.contains("62615533")));
}

#[tokio::test]
async fn law_17_a_message_that_is_no_message_gets_a_typed_answer() {
    let server = Server::start().await;
    for path in ["hearback.v1.ReportService/SubmitReport", "hearback.v1.AdminService/GetPolicy"] {
        let refused = server.raw(path, vec![0xff; 64]).await.expect_err("not a message");
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "MESSAGE_MALFORMED"));
    }
    let unknown = [0x9a, 0x3f, 0x03, b'a', b'b', b'c']; // Field 1011 of a later contract.
    let answer = server.raw("hearback.v1.AdminService/GetPolicy", unknown.to_vec()).await.expect("it is ignored");
    assert!(matches!(answer, Answer::Message(_)));
}
