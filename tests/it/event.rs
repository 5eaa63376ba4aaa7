//! What `EventService` promises beyond the laws.

use std::time::Duration;

use futures::StreamExt;
use tonic::Code;

use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, reason, soon};

#[tokio::test]
async fn a_watch_without_a_token_begins_with_what_happens_next() {
    let server = Server::start().await;
    let before = server.submit(a_report().from("ada@example.org")).await;
    let mut stream = server.events_service().watch(WatchRequest::default()).await.expect("a watch").into_inner();
    let after = server.submit(a_report().from("ben@example.org").saying("Login shows a blank screen")).await;
    let mut subjects = Vec::new();
    while !subjects.contains(&after.id) {
        let response = soon("the next event", stream.message()).await.expect("it goes on").expect("it goes on");
        subjects.extend(response.event.map(|event| event.subject));
    }
    assert!(!subjects.contains(&before.id));
}

#[tokio::test]
async fn a_watch_says_at_once_where_it_can_be_resumed() {
    let server = Server::start().await;
    server.submit(a_report().from("ada@example.org")).await;
    let mut stream = server.events_service().watch(WatchRequest::default()).await.expect("a watch").into_inner();
    let heartbeat = soon("a heartbeat", stream.message()).await.expect("it goes on").expect("it goes on");
    assert!(heartbeat.event.is_none() && !heartbeat.resume_token.is_empty());
    drop(stream);
    let ben = server.submit(a_report().from("ben@example.org")).await;
    let mut stream = server.watch(&heartbeat.resume_token).await.expect("it resumes");
    let event = loop {
        let response = soon("the event", stream.message()).await.expect("it goes on").expect("it goes on");
        if let Some(event) = response.event {
            break event;
        }
    };
    assert!(
        [&ben.id, &ben.customer_id].contains(&&event.subject),
        "what happened meanwhile, and nothing twice: {event:?}"
    );
}

#[tokio::test]
async fn a_token_and_the_beginning_are_not_asked_for_together() {
    let server = Server::start().await;
    let (token, _) = server.history("").await.pop().expect("a history");
    let request = WatchRequest { resume_token: token, from_beginning: true };
    let refused = match server.events_service().watch(request).await {
        Err(refused) => refused,
        Ok(stream) => soon("the refusal", stream.into_inner().message()).await.expect_err("both"),
    };
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "FIELD_INVALID"));
}

#[tokio::test]
async fn the_history_of_a_loop_reads_as_it_happened() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, "github:acme/app#12").await;
    let release = server.release(a_release("2.4.1").fixing("github:acme/app#12")).await;
    server.run_until_idle().await;
    server.yank(&release).await;
    server.run_until_idle().await;
    let types: Vec<String> = server.history("").await.into_iter().map(|(_, event)| event.r#type).collect();
    // What each step is known by, in order; others may stand between.
    let mut rest = types.iter();
    for expected in [
        "tenant.created",
        "product.created",
        "customer.created",
        "cluster.created",
        "report.submitted",
        "cluster.defect_linked",
        "release.recorded",
        "announcement.planned",
        "delivery.planned",
        "delivery.finished",
        "release.yanked",
        "delivery.planned",
        "delivery.finished",
    ] {
        let found = rest.by_ref().any(|known| known == expected);
        let mut either = ["customer.created", "cluster.created", "report.submitted"].contains(&expected);
        either &= types.iter().any(|known| known == expected);
        assert!(found || either, "{expected} in {types:#?}");
        if !found {
            rest = types.iter();
        }
    }
}

#[tokio::test]
async fn a_silent_stream_shows_that_it_is_alive_as_often_as_is_configured() {
    let server = Server::start_with(|config| config.stream.heartbeat = Duration::from_millis(50)).await;
    let mut events = server.events_service().watch(WatchRequest::default()).await.expect("a watch").into_inner();
    let request = WatchClustersRequest::default();
    let mut clusters = server.clusters().watch_clusters(request).await.expect("a watch").into_inner();
    let start = watch_announcements_request::Start::default();
    let start = Some(watch_announcements_request::Message::Start(start));
    let start = futures::stream::iter([WatchAnnouncementsRequest { message: start }]).chain(futures::stream::pending());
    let mut announcements = server.announcements().watch_announcements(start).await.expect("a watch").into_inner();
    // The first comes at once; one more by default after 15 seconds.
    let signs = async {
        for _ in 0..5 {
            let event = events.message().await.expect("it goes on").expect("it goes on");
            assert!(event.event.is_none() && !event.resume_token.is_empty());
            let cluster = clusters.message().await.expect("it goes on").expect("it goes on");
            assert!(cluster.cluster.is_none() && !cluster.resume_token.is_empty());
            let said = announcements.message().await.expect("it goes on").expect("it goes on").message;
            assert!(matches!(said, Some(watch_announcements_response::Message::Heartbeat(_))), "{said:?}");
        }
    };
    tokio::time::timeout(Duration::from_secs(10), signs).await.expect("signs of life as often as configured");
}
