//! Mails as their recipients and their servers see them.

use std::{env, fs};

use hearback::config::EmailTls;

use crate::support::mailbox::Spoken;
use crate::support::proto::*;
use crate::support::{Mailbox, Server, a_release, a_report, days, minutes, tls};

const DEFECT: &str = "github:acme/app#12";

async fn told(server: &Server, report: crate::support::builders::ReportBuilder) -> Report {
    let report = server.submit(report.version("2.4.0")).await;
    server.link(&report, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    report
}

#[tokio::test]
async fn a_mail_has_one_recipient_text_and_html_and_a_way_out() {
    let server = Server::start().await;
    server.submit(a_report().from("ben@example.org").named("Ben").version("2.4.0")).await;
    let ada = told(&server, a_report().from("ada@example.org").named("Ada")).await;
    let mail = server.mail_to("ada@example.org").remove(0);
    assert!(mail.header("to").contains("ada@example.org") && !mail.raw.contains("ben@example.org"));
    assert_eq!(mail.header("from"), "\"Acme Support\" <support@acme.example>");
    let delivery = server.delivery_to(&ada).await;
    assert_eq!(mail.header("message-id"), format!("<{}@acme.example>", delivery.id));
    assert_eq!(mail.header("auto-submitted"), "auto-generated");
    assert!(mail.unsubscribe_url().starts_with("https://hearback.example/u/"));
    for words in [&mail.text, &mail.html] {
        assert!(words.contains("Ada") && words.contains("Acme App 2.4.1"), "{words}");
    }
    assert!(mail.html.contains("<p>") && !mail.text.contains("<p>"));
}

#[tokio::test]
async fn an_address_that_does_not_exist_gives_way_to_the_next_and_is_not_used_again() {
    let server = Server::start().await;
    let ada = told(&server, a_report().from("bounce-550@example.org").from("ada@example.org")).await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1);
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
    let states: Vec<_> =
        server.customer(&ada.customer_id).await.contact_points.iter().map(ContactPoint::state).collect();
    assert_eq!(states, [contact_point::State::Bounced, contact_point::State::Active]);
    let delivery = server.delivery_to(&ada).await;
    assert_eq!((delivery.state(), delivery.attempt_count), (delivery::State::Delivered, 2));
    // The next statement goes straight to the address that works.
    server.unlink(&ada.cluster_id, DEFECT).await;
    server.run_until_idle().await;
    let correction = server.list_deliveries(&format!("customer_id = {}", ada.customer_id)).await.remove(1);
    assert_eq!(correction.attempt_count, 1);
    assert_eq!(server.mail_to("ada@example.org").len(), 2);
}

#[tokio::test]
async fn a_greylisted_mail_is_sent_again() {
    let server = Server::start().await;
    let ada = told(&server, a_report().from("greylist@example.org")).await;
    assert_eq!(server.mailbox.all().len(), 0);
    assert_eq!(server.delivery_to(&ada).await.state(), delivery::State::Pending);
    server.after(minutes(30)).await;
    assert_eq!(server.mail_to("greylist@example.org").len(), 1);
    assert_eq!(server.delivery_to(&ada).await.state(), delivery::State::Delivered);
}

#[tokio::test]
async fn a_mail_whose_answer_was_lost_is_repeated_once_and_then_unconfirmed() {
    let server = Server::start().await;
    let ada = told(&server, a_report().from("drop@example.org").from("second@example.org")).await;
    for _ in 0..5 {
        server.after(days(1)).await;
    }
    let mails = server.mail_to("drop@example.org");
    assert_eq!(mails.len(), 2);
    assert_eq!(mails[0].header("message-id"), mails[1].header("message-id"));
    assert_eq!(server.mail_to("second@example.org").len(), 0, "it may have arrived");
    assert_eq!(server.delivery_to(&ada).await.state(), delivery::State::Unconfirmed);
    assert_eq!(server.loop_of(&ada).await, "TOLD told_unconfirmed");
}

#[tokio::test]
async fn every_address_failing_ends_with_the_last_reason() {
    let server = Server::start().await;
    let ada = told(&server, a_report().from("bounce-550@example.org").from("bounce-551@example.org")).await;
    server.after(days(1)).await;
    assert_eq!(server.delivery_to(&ada).await.state(), delivery::State::Failed);
    assert_eq!(server.loop_of(&ada).await, "CLOSED bounced");
    assert_eq!(server.mailbox.all().len(), 0);
}

#[tokio::test]
async fn a_mail_goes_through_another_mail_server_too() {
    let (Ok(address), Ok(mailbox)) = (env::var("TEST_SMTP_ADDRESS"), env::var("TEST_SMTP_MAILBOX")) else {
        println!("skipped: no mail server of another make; set TEST_SMTP_ADDRESS and TEST_SMTP_MAILBOX");
        return;
    };
    let server = Server::start_with(|config| {
        let (host, port) = address.rsplit_once(':').expect("host:port");
        config.email.host = Some(host.to_owned());
        config.email.port = Some(port.parse().expect("a port"));
    })
    .await;
    let recipient = format!("ada-{}@example.org", uuid::Uuid::now_v7().simple());
    let ada = told(&server, a_report().from(&recipient).named("Ada Łovelace").saying("Grüße aus Köln 👋")).await;
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
    let kept = fs::read_to_string(mailbox).expect("its mailbox");
    let mails: Vec<serde_json::Value> = kept
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("one mail a line"))
        .filter(|mail| mail["rcpt"] == recipient.as_str())
        .collect();
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0]["headers"]["subject"], "Fixed in Acme App 2.4.1: \"Grüße aus Köln 👋\"");
    assert!(mails[0]["text"].as_str().is_some_and(|text| text.contains("Hello Ada Łovelace,")), "{}", mails[0]["text"]);
}

/// Against a mail server that takes nothing in the clear.
#[tokio::test]
async fn a_mail_goes_over_tls_to_a_server_whose_authority_is_trusted_and_to_no_other() {
    for (spoken, kind) in [(Spoken::AfterStartTls, EmailTls::Starttls), (Spoken::InTls, EmailTls::Implicit)] {
        let relay = Mailbox::open_to(spoken).await;
        let server = Server::start_with(|config| {
            config.email.host = Some("localhost".to_owned());
            config.email.port = Some(relay.address.port());
            config.email.tls = kind;
        })
        .await;
        let ada = told(&server, a_report().from("ada@example.org")).await;
        assert!(relay.all().is_empty(), "{spoken:?}: nobody vouches for this server");
        let delivery = server.delivery_to(&ada).await;
        assert_eq!((delivery.state(), delivery.attempt_count), (delivery::State::Pending, 1));
        let attempt = &delivery.attempts[0];
        assert!(attempt.detail.contains("certificate"), "{spoken:?}: an operator can tell why: {attempt:?}");

        let server = server.restart_with(|config| config.email.ca = Some(tls::ca())).await;
        server.after(minutes(1)).await;
        assert_eq!(relay.to("ada@example.org").len(), 1, "{spoken:?}: {:?}", server.delivery_to(&ada).await);
        assert_eq!(server.loop_of(&ada).await, "TOLD told");
    }
}
