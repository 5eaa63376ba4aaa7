//! Webhooks as their receivers see them: signed, repeated after failure, never redirected, never inward.

use std::time::Duration;

use crate::support::proto::*;
use crate::support::receiver::Scripted;
use crate::support::{Receiver, Server, a_release, a_report, days, fields, minutes, tls};

const DEFECT: &str = "github:acme/app#12";

async fn rotate(server: &Server) -> RotateWebhookSecretResponse {
    server.admin().rotate_webhook_secret(RotateWebhookSecretRequest::default()).await.expect("a secret").into_inner()
}

/// Something to be told at this URL, and the pass that tells it.
async fn told(server: &Server, url: &str) -> Report {
    let report = server.submit(a_report().webhook(url).customer("c-1").version("2.4.0").reference("W-1")).await;
    server.link(&report, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    report
}

#[tokio::test]
async fn a_webhook_is_signed_names_what_it_is_about_and_carries_no_other_customer() {
    let receiver = Receiver::open().await;
    let server = Server::start().await;
    let secret = rotate(&server).await.secret;
    server.submit(a_report().from("secret-ben@example.org").named("Ben").version("2.4.0")).await;
    let report = told(&server, &receiver.url()).await;
    let posts = receiver.posts();
    assert_eq!(posts.len(), 1);
    let post = &posts[0];
    assert!(post.is_signed_with(&secret));
    assert_eq!((post.path.as_str(), post.header("content-type")), ("/hook", "application/json"));
    let delivery = server.delivery_to(&report).await;
    assert_eq!(post.header("webhook-id"), delivery.id);
    assert_eq!(post.header("webhook-timestamp"), (server.clock.now().micros() / 1_000_000).to_string());
    let body = post.json();
    assert_eq!(body["type"], "fix.announced");
    let data = &body["data"];
    assert_eq!((&data["version"], &data["stage"]), (&"2.4.1".into(), &"FIX_AVAILABLE".into()));
    assert_eq!((&data["customer_external_id"], &data["reports"][0]), (&"c-1".into(), &"zendesk/W-1".into()));
    assert!(!body.to_string().contains("ben"), "{body}");
}

#[tokio::test]
async fn a_secret_that_was_rotated_signs_for_a_day_beside_the_new_one() {
    let receiver = Receiver::open().await;
    let server = Server::start().await;
    let first = rotate(&server).await;
    assert_eq!(first.previous_expire_time, None);
    let second = rotate(&server).await;
    assert!(second.previous_expire_time.is_some());
    told(&server, &receiver.url()).await;
    assert!(receiver.posts()[0].is_signed_with(&first.secret) && receiver.posts()[0].is_signed_with(&second.secret));
    server.clock.advance(days(1));
    let other = server.submit(a_report().webhook(&receiver.url()).version("2.4.0").saying("Login is blank")).await;
    server.link(&other, "jira:APP-7").await;
    server.release(a_release("2.4.2").fixing("jira:APP-7")).await;
    server.run_until_idle().await;
    let post = receiver.posts().remove(1);
    assert!(post.is_signed_with(&second.secret) && !post.is_signed_with(&first.secret));
}

#[tokio::test]
async fn a_failed_webhook_is_repeated_by_the_schedule_with_the_same_id_and_a_new_timestamp() {
    let receiver = Receiver::scripted([
        Scripted::Status(503),
        Scripted::With(429, "retry-after", "7200".to_owned()),
        Scripted::Status(200),
    ])
    .await;
    let server = Server::start().await;
    let secret = rotate(&server).await.secret;
    let report = told(&server, &receiver.url()).await;
    assert_eq!(receiver.posts().len(), 1);
    let delivery = server.delivery_to(&report).await;
    assert_eq!((delivery.state(), delivery.reason.as_str()), (delivery::State::Pending, "retry"));
    server.after(Duration::from_secs(3)).await;
    assert_eq!(receiver.posts().len(), 1, "the first pause is five seconds, give or take a fifth");
    server.after(Duration::from_secs(4)).await;
    assert_eq!(receiver.posts().len(), 2);
    server.after(minutes(119)).await;
    assert_eq!(receiver.posts().len(), 2, "the receiver asked for two hours");
    server.after(minutes(2)).await;
    let posts = receiver.posts();
    assert_eq!(posts.len(), 3);
    assert!(posts.iter().all(|post| post.is_signed_with(&secret)));
    let ids: Vec<_> = posts.iter().map(|post| post.header("webhook-id")).collect();
    assert!(ids.iter().all(|id| *id == ids[0]));
    let times: Vec<i64> = posts.iter().map(|post| post.header("webhook-timestamp").parse().expect("seconds")).collect();
    assert!(times.is_sorted() && times[0] < times[2]);
    let delivery = server.delivery_to(&report).await;
    assert_eq!((delivery.state(), delivery.attempt_count), (delivery::State::Delivered, 3));
    assert_eq!(server.loop_of(&report).await, "TOLD told");
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Receiver::open().await;
    let receiver = Receiver::scripted((0..20).map(|_| Scripted::With(302, "location", elsewhere.url()))).await;
    let server = Server::start().await;
    rotate(&server).await;
    let report = told(&server, &receiver.url()).await;
    server.after(minutes(10)).await;
    assert_eq!(elsewhere.posts().len(), 0);
    assert!(receiver.posts().len() > 1, "it is a failure like others");
    assert_ne!(server.delivery_to(&report).await.state(), delivery::State::Delivered);
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_not_asked_again() {
    let receiver = Receiver::scripted([Scripted::Status(410)]).await;
    let server = Server::start().await;
    rotate(&server).await;
    let report = told(&server, &receiver.url()).await;
    server.after(days(3)).await;
    assert_eq!(receiver.posts().len(), 1);
    assert_eq!(server.loop_of(&report).await, "CLOSED bounced");
    let customer = server.customer(&report.customer_id).await;
    assert_eq!(customer.contact_points[0].state(), contact_point::State::Bounced);
}

#[tokio::test]
async fn networks_that_are_not_public_are_out_of_reach() {
    let receiver = Receiver::open().await;
    let server = Server::start_with(|config| config.webhook.allow_networks.clear()).await;
    rotate(&server).await;
    let inward =
        [&receiver.url(), "http://10.0.0.1/", "http://[::1]:80/", "http://169.254.169.254/", "http://2130706433/"];
    for url in inward {
        let refused = server.try_submit(a_report().webhook(url)).await.expect_err("it is not public");
        assert_eq!(fields(&refused), ["report.reporter.contact_points[0].address"], "{url}");
    }
    // One that was let in by earlier settings is not reached either.
    let server =
        server.restart_with(|config| config.webhook.allow_networks = vec!["127.0.0.0/8".parse().expect("one")]);
    let server = server.await;
    let report = server.submit(a_report().webhook(&receiver.url()).version("2.4.0")).await;
    let server = server.restart_with(|config| config.webhook.allow_networks.clear()).await;
    server.link(&report, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.after(days(3)).await;
    assert_eq!(receiver.posts().len(), 0);
    assert_eq!(server.loop_of(&report).await, "CLOSED rejected");
}

#[tokio::test]
async fn a_correction_says_that_it_is_one() {
    let receiver = Receiver::open().await;
    let server = Server::start().await;
    rotate(&server).await;
    let report = told(&server, &receiver.url()).await;
    server.unlink(&report.cluster_id, DEFECT).await;
    server.run_until_idle().await;
    let posts = receiver.posts();
    assert_eq!(posts.len(), 2);
    assert_eq!(posts[1].json()["type"], "correction.announced");
    assert_ne!(posts[0].header("webhook-id"), posts[1].header("webhook-id"));
}

#[tokio::test]
async fn a_webhook_goes_over_tls_to_an_endpoint_whose_authority_is_trusted_and_to_no_other() {
    let receiver = Receiver::open_tls().await;
    let server = Server::start_with(|config| config.webhook.allow_http = false).await;
    let secret = rotate(&server).await.secret;
    let report = told(&server, &receiver.url()).await;
    assert!(receiver.posts().is_empty(), "nobody vouches for this endpoint");
    let delivery = server.delivery_to(&report).await;
    assert_eq!((delivery.state(), delivery.attempt_count), (delivery::State::Pending, 1));
    let attempt = &delivery.attempts[0];
    assert!(attempt.detail.contains("certificate"), "an operator can tell why: {attempt:?}");

    let server = server.restart_with(|config| config.webhook.ca = Some(tls::ca())).await;
    server.after(minutes(1)).await;
    let posts = receiver.posts();
    assert_eq!(posts.len(), 1, "{:?}", server.delivery_to(&report).await);
    assert!(posts[0].is_signed_with(&secret));
    assert_eq!(server.loop_of(&report).await, "TOLD told");
}
