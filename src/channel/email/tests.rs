//! What [`super`] promises.

use super::super::wire::{Server, Turn, message, nobody, say};
use super::*;

fn config(server: SocketAddr) -> EmailConfig {
    EmailConfig {
        host: server.ip().to_string(),
        port: server.port(),
        tls: Tls::None,
        username: None,
        password: None,
        from: "Acme Support <support@acme.example>".to_owned(),
        reply_to: Some("help@acme.example".to_owned()),
        timeout: Duration::from_secs(10),
        pool: 2,
        message_id_domain: "acme.example".to_owned(),
        list_id: Some("fixes.acme.example".to_owned()),
        authorities: Vec::new(),
    }
}

async fn send(script: &[(&'static str, Turn)]) -> (Outcome, Server) {
    let relay = Server::relay(script).await;
    let outcome = Email::new(config(relay.address)).unwrap().send(&message("ada@example.org")).await;
    (outcome, relay)
}

fn composed(message: &Message) -> Result<String, String> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let email = Email::new(config(nowhere)).unwrap();
    email.compose(message).map(|composed| String::from_utf8(composed.bytes).unwrap())
}

#[test]
fn a_letter_carries_the_headers_of_an_automatic_message() {
    let letter = composed(&message("ada@example.org")).unwrap();
    let (headers, body) = letter.split_once("\r\n\r\n").unwrap();
    for expected in [
        "Date: Sun, 03 May 2026 12:00:00 +0000",
        "From: \"Acme Support\" <support@acme.example>",
        "Reply-To: help@acme.example",
        "To: ada@example.org",
        "Subject: Fixed: \"Export fails\"",
        "Message-ID: <dlv_0192f3c4000070008000000000000001@acme.example>",
        "List-Id: <fixes.acme.example>",
        "List-Unsubscribe: <https://hearback.example/u/abc>",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        "Auto-Submitted: auto-generated",
        "MIME-Version: 1.0",
    ] {
        assert_eq!(headers.lines().filter(|line| *line == expected).count(), 1, "{expected}\n{headers}");
    }
    assert!(headers.contains("Content-Type: multipart/alternative;"), "{headers}");
    let (plain, html) = (body.find("text/plain").unwrap(), body.find("text/html").unwrap());
    assert!(plain < html, "the richest part comes last");
    assert_eq!(letter, composed(&message("ada@example.org")).unwrap(), "a retry is the same letter");
}

#[test]
fn foreign_letters_are_encoded_and_long_links_stay_whole() {
    let url = format!("https://hearback.example/u/{}", "a".repeat(300));
    let letter = composed(&Message {
        subject: "Behoben: „Export schlägt fehl“".to_owned(),
        text: "Grüße".to_owned(),
        unsubscribe_url: Some(url.clone()),
        ..message("ada@bücher.example")
    })
    .unwrap();
    assert!(letter.is_ascii());
    assert!(letter.contains("Subject: Behoben: =?utf-8?b?"), "{letter}");
    assert!(letter.contains("To: ada@xn--bcher-kva.example\r\n"), "{letter}");
    assert!(letter.contains(&format!("List-Unsubscribe: <{url}>\r\n")), "{letter}");
}

#[test]
fn without_https_there_is_no_one_click() {
    let letter =
        |url: Option<&str>| composed(&Message { unsubscribe_url: url.map(str::to_owned), ..message("a@b.example") });
    let plain = letter(Some("http://localhost:8080/u/abc")).unwrap();
    assert!(plain.contains("List-Unsubscribe: <http://localhost:8080/u/abc>") && !plain.contains("One-Click"));
    assert!(!letter(None).unwrap().contains("List-Unsubscribe"));
    assert!(letter(Some("javascript:alert(1)")).is_err());
}

#[tokio::test]
async fn header_injection_is_refused_before_anything_is_sent() {
    let relay = Server::relay(&[]).await;
    let email = Email::new(config(relay.address)).unwrap();
    for evil in ["a\r\nBcc: b@x.example", "a\nb", "a\rb", "a\0b", "a\r\n\r\nbody", "\u{7f}", "a\u{85}b"] {
        let messages = [
            Message { subject: evil.to_owned(), ..message("ada@example.org") },
            Message { address: format!("ada@example.org{evil}"), ..message("") },
            Message { unsubscribe_url: Some(format!("https://x.example/{evil}")), ..message("ada@example.org") },
        ];
        for message in messages {
            let outcome = email.send(&message).await;
            assert!(matches!(outcome, Outcome::Rejected { bounced: false, .. }), "{evil:?} {outcome:?}");
        }
        let mut config = config(relay.address);
        config.from = format!("Acme{evil} <support@acme.example>");
        assert_eq!(Email::new(config).err().unwrap().key, "from");
    }
    assert_eq!(relay.connections(), 0);
}

#[test]
fn a_half_configured_channel_is_not_set_up() {
    type Fault = fn(&mut EmailConfig);
    let faults: [(&str, Fault); 9] = [
        ("pool", |config| config.pool = 0),
        ("timeout", |config| config.timeout = Duration::ZERO),
        ("username", |config| config.password = Some("x".into())),
        ("password", |config| config.username = Some("x".to_owned())),
        ("from", |config| config.from = "nobody".to_owned()),
        ("reply_to", |config| config.reply_to = Some("a b".to_owned())),
        ("message_id_domain", |config| config.message_id_domain = "a b>".to_owned()),
        ("list_id", |config| config.list_id = Some("<x>".to_owned())),
        ("tls", |config| {
            (config.host, config.username) = ("relay.example".to_owned(), Some("x".to_owned()));
            config.password = Some("x".into());
        }),
    ];
    for (key, fault) in faults {
        let mut config = config(SocketAddr::from(([127, 0, 0, 1], 25)));
        fault(&mut config);
        assert_eq!(Email::new(config).err().map(|error| error.key), Some(key));
    }
}

#[tokio::test]
async fn an_accepted_letter_is_delivered() {
    let (outcome, relay) = send(&[]).await;
    assert_eq!(outcome, Outcome::Delivered { detail: "250 2.0.0 queued as 4711".to_owned() });
    let said = relay.said();
    assert_eq!(said[1..4], ["MAIL FROM:<support@acme.example>", "RCPT TO:<ada@example.org>", "DATA"]);
    assert!(said[4].contains("there is a fix."));
}

#[tokio::test]
async fn an_answer_is_judged_by_the_step_it_answers() {
    for (verb, answer, class) in [
        ("CONNECT", "554 5.7.1 not you", "SENDER_FAULT"),
        ("EHLO", "550 no", "SENDER_FAULT"),
        ("MAIL", "550 5.1.1 odd", "SENDER_FAULT"),
        ("RCPT", "550 5.1.1 no such user", "HARD_BOUNCE"),
        ("RCPT", "451 4.7.1 greylisted", "TRANSIENT"),
        ("DATA", "554 5.5.1 no valid recipients", "PERMANENT"),
        ("CONTENT", "550-5.1.1 no such\r\n550 5.1.1 user", "HARD_BOUNCE"),
        ("CONTENT", "451 4.3.0 later", "TRANSIENT"),
    ] {
        let (outcome, _relay) = send(&[(verb, say(&format!("{answer}\r\n")))]).await;
        assert_eq!(outcome.detail().split(':').next(), Some(class), "{verb} {answer}: {outcome:?}");
        assert_eq!(matches!(outcome, Outcome::Rejected { bounced: true, .. }), class == "HARD_BOUNCE");
    }
}

#[tokio::test]
async fn silence_before_the_text_is_a_retry_and_after_it_is_unknown() {
    for verb in ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA"] {
        let (outcome, _relay) = send(&[(verb, Turn::HangUp)]).await;
        assert!(matches!(outcome, Outcome::Retry { not_before: None, .. }), "{verb}: {outcome:?}");
    }
    let (outcome, _relay) = send(&[("DATA", say("250 fine\r\n"))]).await;
    assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    for reply in [Turn::HangUp, say("garbage\r\n"), say("354 more\r\n")] {
        let (outcome, _relay) = send(&[("CONTENT", reply)]).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    }
    let outcome = Email::new(config(nobody().await)).unwrap().send(&message("ada@example.org")).await;
    assert!(matches!(outcome, Outcome::Retry { not_before: None, .. }), "{outcome:?}");
}

#[tokio::test]
async fn a_relay_that_stalls_is_left_in_time() {
    let send = async |verb, turn| {
        let relay = Server::relay(&[(verb, turn)]).await;
        let config = EmailConfig { timeout: Duration::from_secs(2), ..config(relay.address) };
        Email::new(config).unwrap().send(&message("ada@example.org")).await
    };
    let endless = Turn::Endless(format!("250-{}\r\n", "x".repeat(900)));
    let (silent, endless, mute, half) = tokio::join!(
        send("RCPT", Turn::Silence),
        send("RCPT", endless),
        send("CONTENT", Turn::Silence),
        send("CONTENT", say("250-half an answer")),
    );
    for outcome in [silent, endless] {
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
    }
    for outcome in [mute, half] {
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_connection_is_used_again_and_a_dead_one_is_replaced() {
    let relay = Server::relay(&[]).await;
    let email = Email::new(config(relay.address)).unwrap();
    for _ in 0..3 {
        assert!(matches!(email.send(&message("ada@example.org")).await, Outcome::Delivered { .. }));
    }
    assert_eq!(relay.connections(), 1);

    let forgetful = Server::relay(&[("RSET", Turn::HangUp)]).await;
    let email = Email::new(config(forgetful.address)).unwrap();
    for _ in 0..2 {
        assert!(matches!(email.send(&message("ada@example.org")).await, Outcome::Delivered { .. }));
    }
    assert_eq!(forgetful.connections(), 2);
}

#[tokio::test]
async fn a_refused_recipient_does_not_cost_the_connection() {
    let relay = Server::relay(&[("RCPT", say("550 5.1.1 unknown\r\n"))]).await;
    let email = Email::new(config(relay.address)).unwrap();
    for _ in 0..2 {
        assert!(matches!(email.send(&message("ada@example.org")).await, Outcome::Rejected { bounced: true, .. }));
    }
    assert_eq!(relay.connections(), 1);
}

#[tokio::test]
async fn a_relay_without_starttls_gets_neither_password_nor_letter() {
    let relay = Server::relay(&[]).await;
    let config = EmailConfig {
        tls: Tls::StartTls,
        username: Some("acme".to_owned()),
        password: Some("secret".into()),
        ..config(relay.address)
    };
    let outcome = Email::new(config).unwrap().send(&message("ada@example.org")).await;
    assert!(matches!(&outcome, Outcome::Retry { detail, .. } if detail.starts_with("CONFIG")), "{outcome:?}");
    assert!(!relay.said().iter().any(|line| line.starts_with("AUTH") || line.starts_with("MAIL")));
}

#[tokio::test]
async fn a_refused_login_is_a_matter_for_the_operator() {
    let relay = Server::relay(&[("AUTH", say("535 5.7.8 bad credentials\r\n"))]).await;
    let config =
        EmailConfig { username: Some("acme".to_owned()), password: Some("secret".into()), ..config(relay.address) };
    let outcome = Email::new(config).unwrap().send(&message("ada@example.org")).await;
    assert!(matches!(&outcome, Outcome::Retry { detail, .. } if detail.starts_with("CONFIG")), "{outcome:?}");
}

#[tokio::test]
async fn an_address_beyond_ascii_needs_a_relay_that_can() {
    let relay = Server::relay(&[]).await;
    let outcome = Email::new(config(relay.address)).unwrap().send(&message("jürgen@example.org")).await;
    assert!(matches!(outcome, Outcome::Rejected { bounced: false, .. }), "{outcome:?}");

    let able = Server::relay(&[("EHLO", say("250-relay\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n"))]).await;
    let outcome = Email::new(config(able.address)).unwrap().send(&message("jürgen@example.org")).await;
    assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
    assert!(able.said()[1].contains("SMTPUTF8"), "{:?}", able.said());
}

#[tokio::test]
async fn a_lone_dot_in_the_text_does_not_end_the_letter() {
    let relay = Server::relay(&[]).await;
    let evil =
        Message { text: "a\r\n.\r\nRSET\r\nMAIL FROM:<x@y.example>\r\n".to_owned(), ..message("ada@example.org") };
    assert!(matches!(Email::new(config(relay.address)).unwrap().send(&evil).await, Outcome::Delivered { .. }));
    assert_eq!(relay.said().len(), 5, "{:?}", relay.said());
}

#[tokio::test]
async fn what_is_kept_of_an_answer_does_not_name_the_recipient() {
    let (outcome, _relay) = send(&[("RCPT", say("550 5.1.1 <ADA@example.org> unknown, ada@example.org\r\n"))]).await;
    assert_eq!(outcome.detail(), "HARD_BOUNCE: 550 5.1.1 <[address]> unknown, [address]");
}
