//! Law 10: nobody is forgotten. Every report's loop ends told, or with a recorded reason, or stands open with one.

use std::collections::BTreeMap;

use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, days};

const DEFECT: &str = "github:acme/app#12";

#[tokio::test]
async fn law_10_every_loop_has_a_state_and_a_reason() {
    let server = Server::start().await;
    let told = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    let silent = server.submit(a_report().customer("no-address").version("2.4.0")).await;
    let opted_out = server.submit(a_report().from("out@example.org").version("2.4.0")).await;
    let bounced = server.submit(a_report().from("bounce-550@example.org").version("2.4.0")).await;
    let refused = server.submit(a_report().from("refuse-554@example.org").version("2.4.0")).await;
    let unknown = server.submit(a_report().from("unknown@example.org")).await;
    let covered = server.submit(a_report().from("covered@example.org").version("2.4.1")).await;
    let unlinked = server.submit(a_report().from("other@example.org").version("2.4.0").saying("Fan is loud")).await;
    server.opt_out(&opted_out.customer_id, true).await;
    server.link(&told, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    for _ in 0..3 {
        server.after(days(1)).await;
    }

    for (report, expected) in [
        (&told, "TOLD told"),
        (&silent, "CLOSED no_contact_point"),
        (&opted_out, "CLOSED opted_out"),
        (&bounced, "CLOSED bounced"),
        (&refused, "CLOSED rejected"),
        (&unknown, "OPEN coverage_unknown"),
        (&covered, "OPEN regression_reported"),
        (&unlinked, "OPEN no_defect_linked"),
    ] {
        assert_eq!(server.loop_of(report).await, expected, "{}", report.title);
    }

    // Open loops can be listed at any time, and add up.
    let listed = async |filter: &str| server.list_reports(filter).await.len();
    let all = server.list_reports("").await;
    let mut by_reason: BTreeMap<(i32, String), usize> = BTreeMap::new();
    for report in &all {
        assert_ne!(report.loop_state(), report::LoopState::Unspecified);
        assert!(!report.loop_reason.is_empty(), "{}", report.id);
        *by_reason.entry((report.loop_state, report.loop_reason.clone())).or_default() += 1;
    }
    assert_eq!(listed("loop_state = OPEN").await, 3);
    assert_eq!(listed("loop_state = CLOSED").await, 4);
    assert_eq!(listed("loop_state = TOLD").await, 1);
    for ((state, reason), count) in by_reason {
        let state =
            report::LoopState::try_from(state).expect("a state").as_str_name().trim_start_matches("LOOP_STATE_");
        assert_eq!(
            listed(&format!("loop_state = {state} AND loop_reason = {reason}")).await,
            count,
            "{state} {reason}"
        );
    }
}

#[tokio::test]
async fn law_10_a_preview_names_every_customer_of_the_cluster() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    let silent = server.submit(a_report().customer("no-address").version("2.4.0")).await;
    let unknown = server.submit(a_report().from("unknown@example.org")).await;
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    let preview = server.preview(&ada.cluster_id).await;
    let said: BTreeMap<_, _> =
        preview.recipients.iter().map(|recipient| (recipient.customer_id.as_str(), recipient)).collect();
    assert_eq!(said.len(), 3);
    assert_eq!(said[ada.customer_id.as_str()].stage(), Stage::FixAvailable);
    assert_eq!(said[silent.customer_id.as_str()].reason, "no_contact_point");
    assert_eq!(said[unknown.customer_id.as_str()].stage(), Stage::Unspecified);
    assert!(!said[unknown.customer_id.as_str()].reason.is_empty());
    assert_eq!(server.mailbox.all().len(), 0, "a preview says nothing to anybody");
}

#[tokio::test]
async fn law_10_who_could_not_be_reached_is_told_when_they_can() {
    let server = Server::start().await;
    let ada = server.submit(a_report().customer("c-1").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert_eq!(server.loop_of(&ada).await, "CLOSED no_contact_point");
    let request = UpsertCustomerRequest {
        external_id: "c-1".to_owned(),
        contact_points: vec![ContactPointInput {
            channel: Channel::Email.into(),
            address: "ada@example.org".to_owned(),
        }],
        ..UpsertCustomerRequest::default()
    };
    server.customers().upsert_customer(request).await.expect("an address");
    server.run_until_idle().await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1);
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
}

#[tokio::test]
async fn law_10_an_announcement_that_a_person_stopped_ends_the_loops_with_that_reason() {
    let server = Server::start().await;
    server.policy(Policy { approval_threshold: Some(0), ..Policy::default() }, &["approval_threshold"]).await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    let announcement = server.list_announcements("").await.remove(0);
    let request = CancelAnnouncementRequest { announcement_id: announcement.id, ..Default::default() };
    server.announcements().cancel_announcement(request).await.expect("it is stopped");
    server.after(days(1)).await;
    assert_eq!(server.mailbox.all().len(), 0);
    assert_eq!(server.loop_of(&ada).await, "CLOSED cancelled_by_person");
}

#[tokio::test]
async fn law_10_a_channel_that_fails_for_days_ends_with_its_reason_and_can_be_listed() {
    let server = Server::start_with(|config| {
        config.delivery.retry_schedule = vec![std::time::Duration::from_secs(5), days(1)];
    })
    .await;
    let ada = server.submit(a_report().from("bounce-451@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert_eq!(server.loop_of(&ada).await, "OPEN delivery_pending");
    for _ in 0..5 {
        server.after(days(1)).await;
    }
    let delivery = server.delivery_to(&ada).await;
    assert_eq!((delivery.state(), delivery.attempt_count), (delivery::State::Failed, 3));
    assert_eq!(server.loop_of(&ada).await, "CLOSED retries_exhausted");
    assert_eq!(server.list_deliveries("state = FAILED").await.len(), 1);
}

#[tokio::test]
async fn law_10_a_channel_that_is_configured_no_more_leaves_a_reason_and_is_taken_up_when_it_is_back() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.app().reconcile_once(server.clock.now()).await.expect("it is planned");
    let server = server.restart_with(|config| config.email.enabled = false).await;
    server.after(days(1)).await;
    assert_eq!(server.loop_of(&ada).await, "CLOSED channel_disabled");
    let server = server.restart_with(|config| config.email.enabled = true).await;
    server.after(days(1)).await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1);
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
}
