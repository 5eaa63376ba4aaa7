//! Law 9: told at most once per customer, fix and stage, whatever happens.

use futures::future::join_all;

use crate::support::proto::*;
use crate::support::receiver::Scripted;
use crate::support::{Receiver, Server, a_release, a_report, days, minutes, soon};

const DEFECT: &str = "github:acme/app#12";

/// A release that fixes what this customer reported, planned and due.
async fn due(server: &Server, address: &str) -> Report {
    let report = server.submit(a_report().from(address).version("2.4.0")).await;
    server.link(&report, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.app().reconcile_once(server.clock.now()).await.expect("it is planned");
    report
}

/// Begins to send what is due and is cut off when the other side has it.
async fn cut_off_while_sending(server: &Server, arrived: impl Future<Output = ()>) {
    let (app, now) = (server.app().clone(), server.clock.now());
    let sending = tokio::spawn(async move { app.deliver_once(now).await });
    soon("the message to arrive", arrived).await;
    sending.abort();
    assert!(sending.await.expect_err("it was cut off").is_cancelled());
}

#[tokio::test]
async fn law_9_a_crash_between_intent_and_outcome_repeats_a_mail_once_under_its_own_id_and_then_leaves_it_unconfirmed()
{
    let server = Server::start().await;
    let ada = due(&server, "hang@example.org").await;
    cut_off_while_sending(&server, server.mailbox.arrivals("hang@example.org", 1)).await;
    let server = server.crash().await;
    server.run_until_idle().await;
    assert_eq!(server.mail_to("hang@example.org").len(), 1, "its lease still holds");

    // The lease ends, the retry comes due, and meets the same fate.
    server.after(minutes(2)).await;
    server.clock.advance(minutes(10));
    cut_off_while_sending(&server, server.mailbox.arrivals("hang@example.org", 2)).await;
    let server = server.crash().await;
    for _ in 0..5 {
        server.after(days(1)).await;
    }
    let mails = server.mail_to("hang@example.org");
    assert_eq!(mails.len(), 2, "never a third time");
    assert_eq!(mails[0].header("message-id"), mails[1].header("message-id"));
    let delivery = server.delivery_to(&ada).await;
    assert_eq!(delivery.state(), delivery::State::Unconfirmed);
    assert_eq!(server.loop_of(&ada).await, "TOLD told_unconfirmed");
}

#[tokio::test]
async fn law_9_a_webhook_cut_off_is_repeated_under_the_same_id_until_it_is_known_to_have_arrived() {
    let receiver = Receiver::scripted([Scripted::Hang]).await;
    let server = Server::start().await;
    server.admin().rotate_webhook_secret(RotateWebhookSecretRequest::default()).await.expect("a secret");
    let ada = server.submit(a_report().webhook(&receiver.url()).version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.app().reconcile_once(server.clock.now()).await.expect("it is planned");
    cut_off_while_sending(&server, receiver.arrivals(1)).await;
    let server = server.crash().await;
    for _ in 0..3 {
        server.after(minutes(10)).await;
    }
    let posts = receiver.posts();
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[0].header("webhook-id"), posts[1].header("webhook-id"));
    assert_eq!(posts[0].body, posts[1].body);
    assert_eq!(server.delivery_to(&ada).await.state(), delivery::State::Delivered);
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
}

#[tokio::test]
async fn law_9_an_outcome_that_comes_after_its_lease_changes_nothing() {
    let server = Server::start().await;
    let desk = server.submit(a_report().stream("ticket-1").version("2.4.0")).await;
    server.link(&desk, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    let mut slow = crate::announcement::Watcher::start(&server, 10).await;
    let first = slow.delivery().await;
    crate::announcement::Watcher::let_lapse(&server, &desk).await;
    let mut quick = crate::announcement::Watcher::start(&server, 10).await;
    let second = quick.delivery().await;
    assert_eq!(first.delivery_id, second.delivery_id, "the same statement again");
    let applied = quick.acknowledge(&second.delivery_id).await;
    assert!(applied);
    let applied = slow.acknowledge(&first.delivery_id).await;
    assert!(!applied, "it was recorded before");
    assert_eq!(server.delivery_to(&desk).await.state(), delivery::State::Delivered);
}

#[tokio::test]
async fn law_9_no_tenant_waits_for_the_slow_receivers_of_another_while_its_lease_runs() {
    let server = Server::start_with(|config| {
        // Longer than the test would wait for it.
        config.email.timeout = minutes(5);
        config.delivery.lease = minutes(6);
    })
    .await;
    let other = server.second_tenant().await;
    due(&server, "hang@example.org").await;
    let ben = other.submit(a_report().from("ben@example.org").version("2.4.0")).await;
    other.link(&ben, DEFECT).await;
    other.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.app().reconcile_once(server.clock.now()).await.expect("it is planned");
    cut_off_while_sending(&server, async {
        server.mailbox.arrivals("hang@example.org", 1).await;
        server.mailbox.arrivals("ben@example.org", 1).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_9_passes_that_run_again_and_at_once_tell_nobody_twice() {
    let server = Server::start().await;
    let mut reports = Vec::new();
    for number in 0..20 {
        let from = format!("c{number}@example.org");
        reports.push(server.submit(a_report().from(&from).version("2.4.0")).await);
    }
    server.link(&reports[0], DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    join_all((0..4).map(|_| server.run_until_idle())).await;
    for _ in 0..3 {
        server.after(days(1)).await;
    }
    assert_eq!(server.mailbox.all().len(), 20);
    for number in 0..20 {
        assert_eq!(server.mail_to(&format!("c{number}@example.org")).len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_9_two_servers_tell_nobody_twice() {
    if crate::support::database::postgres_url().is_none() {
        println!("skipped: two servers share a database only on Postgres; set TEST_DATABASE_URL");
        return;
    }
    let server = Server::start().await;
    let other = server.replica().await;
    let mut reports = Vec::new();
    for number in 0..30 {
        let from = format!("c{number}@example.org");
        reports.push(server.submit(a_report().from(&from).version("2.4.0")).await);
    }
    server.link(&reports[0], DEFECT).await;
    other.release(a_release("2.4.1").fixing(DEFECT)).await;
    tokio::join!(server.run_until_idle(), other.run_until_idle(), server.run_until_idle());
    server.after(days(1)).await;
    assert_eq!(server.mailbox.all().len(), 30);
}

#[tokio::test]
async fn law_9_clusters_merged_after_telling_tell_nobody_again() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    let also =
        server.submit(a_report().from("ada@example.org").version("2.4.0").saying("Login shows a blank screen")).await;
    server.submit(a_report().from("ben@example.org").version("2.4.0").saying("Login shows a blank screen")).await;
    assert_ne!(also.cluster_id, ada.cluster_id);
    server.link(&ada, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 1);
    let step = server.merge(&also.cluster_id, &ada.cluster_id).await;
    server.run_until_idle().await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1, "she was told about this fix");
    assert_eq!(server.mail_to("ben@example.org").len(), 1, "the merge brought it to him");
    assert_eq!(server.loop_of(&also).await, "TOLD told");
    server.undo(&step).await;
    server.run_until_idle().await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1, "it is still true of her first report");
    assert_eq!(server.mail_to("ben@example.org").len(), 2, "of his it never was");
}

#[tokio::test]
async fn law_9_two_clusters_with_one_defect_tell_a_customer_of_both_once() {
    let server = Server::start().await;
    let first = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    let second =
        server.submit(a_report().from("ada@example.org").version("2.4.0").saying("Login shows a blank screen")).await;
    assert_ne!(first.cluster_id, second.cluster_id);
    server.link(&first, DEFECT).await;
    server.link(&second, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.after(days(1)).await;
    assert_eq!(server.mailbox.all().len(), 1);
    assert_eq!(server.loop_of(&first).await, "TOLD told");
    assert_eq!(server.loop_of(&second).await, "TOLD told");
}

#[tokio::test]
async fn law_9_reports_of_one_customer_over_three_channels_are_one_telling() {
    let server = Server::start().await;
    let submit = async |source: &str| {
        let report = a_report().from("ada@example.org").version("2.4.0").with(|input| input.source = source.to_owned());
        server.submit(report).await
    };
    let reports = [submit("zendesk").await, submit("email").await, submit("twitter").await];
    server.link(&reports[0], DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.release(a_release("2.4.2").fixing(DEFECT)).await;
    server.after(days(1)).await;
    assert_eq!(server.mailbox.all().len(), 1);
    for report in &reports {
        assert_eq!(server.loop_of(report).await, "TOLD told");
    }
}

#[tokio::test]
async fn law_9_later_releases_and_upgrades_add_no_telling() {
    let server = Server::start().await;
    let ada = due(&server, "ada@example.org").await;
    server.run_until_idle().await;
    for version in ["2.4.2", "2.5.0", "3.0.0"] {
        server.release(a_release(version).fixing(DEFECT)).await;
        server.now_runs(&ada, version).await;
        server.after(days(1)).await;
    }
    assert_eq!(server.mailbox.all().len(), 1);
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
}
