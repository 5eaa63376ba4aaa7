//! Laws 15 and 16: history is append-only and gap-free, and the server's clock orders things.

use std::collections::BTreeSet;

use futures::future::join_all;
use prost_types::Timestamp;
use tonic::Code;

use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, minutes, reason, soon};

const DEFECT: &str = "github:acme/app#12";

/// A bit of everything.
async fn busy(server: &Server, version: &str) -> Report {
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    let ben = server.submit(a_report().from("ben@example.org").version("2.4.0")).await;
    server.clock.advance(minutes(1));
    server.link(&ada, DEFECT).await;
    let release = server.release(a_release(version).fixing(DEFECT)).await;
    server.run_until_idle().await;
    server.clock.advance(minutes(1));
    let step = server.split(&ada.cluster_id, &[&ben]).await.operation.expect("a step");
    server.run_until_idle().await;
    server.undo(&step).await;
    server.yank(&release).await;
    server.opt_out(&ben.customer_id, true).await;
    server.run_until_idle().await;
    ada
}

#[tokio::test]
async fn law_15_sequences_have_no_gap_and_never_change() {
    let server = Server::start().await;
    busy(&server, "2.4.1").await;
    let first = server.history("").await;
    let sequences: Vec<i64> = first.iter().map(|(_, event)| event.sequence).collect();
    assert!(sequences.iter().copied().eq(1..=first.len() as i64), "{sequences:?}");
    let ids: BTreeSet<_> = first.iter().map(|(_, event)| event.id.clone()).collect();
    assert_eq!(ids.len(), first.len());
    let times: Vec<_> = first.iter().map(|(_, event)| event.time.map(|time| (time.seconds, time.nanos))).collect();
    assert!(times.is_sorted() && times.iter().all(Option::is_some));
    for (_, event) in &first {
        let data = format!("{:?}", event.data);
        assert!(!data.contains("@example.org") && !data.contains("third page"), "facts only: {event:?}");
        assert!(event.actor == "system" || event.actor.starts_with("key_"), "{event:?}");
    }
    let server = server.restart().await;
    busy(&server, "2.4.2").await;
    let second = server.history("").await;
    assert_eq!(second[..first.len()], first[..]);
}

#[tokio::test]
async fn law_15_a_watcher_that_resumes_from_any_token_sees_each_event_exactly_once() {
    let server = Server::start().await;
    busy(&server, "2.4.1").await;
    let all = server.history("").await;
    for (at, (token, _)) in all.iter().enumerate() {
        let rest: Vec<i64> = server.history(token).await.iter().map(|(_, event)| event.sequence).collect();
        let expected: Vec<i64> = all[at + 1..].iter().map(|(_, event)| event.sequence).collect();
        assert_eq!(rest[..expected.len()], expected, "after {}", at + 1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_15_a_watcher_misses_nothing_of_what_many_write_at_once() {
    let server = Server::start().await;
    let mut stream = server.watch("").await.expect("a watch");
    let writes = (0..60).map(|number| {
        let server = &server;
        async move {
            let text = format!("Problem {number} of its own kind {}", number * 7919);
            server.submit(a_report().from(&format!("c{number}@example.org")).saying(&text)).await.id
        }
    });
    let written: BTreeSet<String> = join_all(writes).await.into_iter().collect();
    let (mut seen, mut next) = (BTreeSet::new(), 1);
    while seen.len() < written.len() {
        let response = soon("the next event", stream.message()).await.expect("it goes on").expect("it goes on");
        let Some(event) = response.event else { continue };
        assert_eq!(event.sequence, next, "each once, in order");
        next += 1;
        if event.r#type == "report.submitted" {
            assert!(seen.insert(event.subject));
        }
    }
    assert_eq!(seen, written);
}

#[tokio::test]
async fn law_15_a_token_of_nowhere_is_refused() {
    let server = Server::start().await;
    let theirs = server.second_tenant().await;
    for _ in 0..40 {
        theirs.submit(a_report().from("x@example.org")).await;
    }
    let (foreign, _) = theirs.history("").await.pop().expect("a history");
    for token in ["garbage", "AAAA", "-1", &foreign] {
        let refused = match server.watch(token).await {
            Err(refused) => refused,
            Ok(mut stream) => soon("an answer", stream.message()).await.expect_err(token),
        };
        assert!(
            matches!(
                (refused.code(), reason(&refused).as_str()),
                (Code::OutOfRange, "CURSOR_UNKNOWN") | (Code::InvalidArgument, "FIELD_INVALID")
            ),
            "{token}: {refused:?}"
        );
    }
}

#[tokio::test]
async fn law_15_watching_clusters_resumes_where_it_left_off() {
    let server = Server::start().await;
    let watch = async |token: &str| {
        let request = WatchClustersRequest { resume_token: token.to_owned(), ..Default::default() };
        server.clusters().watch_clusters(request).await.expect("a watch").into_inner()
    };
    let mut stream = watch("").await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    let next = async |stream: &mut tonic::Streaming<WatchClustersResponse>| loop {
        let response = soon("a change", stream.message()).await.expect("it goes on").expect("it goes on");
        if response.cluster.is_some() {
            return response;
        }
    };
    let first = next(&mut stream).await;
    assert_eq!(first.cluster.as_ref().map(|cluster| cluster.id.as_str()), Some(ada.cluster_id.as_str()));
    drop(stream);
    server.link(&ada, DEFECT).await;
    let mut stream = watch(&first.resume_token).await;
    let mut types = Vec::new();
    while !types.contains(&"cluster.defect_linked".to_owned()) {
        types.push(next(&mut stream).await.r#type);
    }
}

#[tokio::test]
async fn law_16_what_callers_call_the_time_orders_nothing() {
    let server = Server::start().await;
    let at = |seconds| move |input: &mut ReportInput| input.occurred_time = Some(Timestamp { seconds, nanos: 5 });
    let future = server.submit(a_report().from("a@example.org").with(at(32_503_680_000))).await;
    server.clock.advance(minutes(1));
    let past = server.submit(a_report().from("b@example.org").with(at(-1))).await;
    server.clock.advance(minutes(1));
    let none = server.submit(a_report().from("c@example.org")).await;
    let order: Vec<String> = server.list_reports("").await.into_iter().map(|report| report.id).collect();
    assert_eq!(order, [none.id.clone(), past.id.clone(), future.id.clone()], "newest accepted first");
    assert_eq!(
        future.occurred_time,
        Some(Timestamp { seconds: 32_503_680_000, nanos: 0 }),
        "a fact, to the microsecond"
    );
    let noon = crate::support::server::noon().micros() / 1_000_000;
    let created: Vec<i64> = [&future, &past, &none].map(|report| report.create_time.expect("a time").seconds).to_vec();
    assert_eq!(created, [noon, noon + 60, noon + 120]);
    let cluster = server.cluster(&future.cluster_id).await;
    assert_eq!(cluster.create_time.expect("a time").seconds, noon);
}

#[tokio::test]
async fn law_16_a_report_said_to_be_old_is_judged_by_when_it_came() {
    let server = Server::start().await;
    server.product_of("cloud", "Acme Cloud", product::VersionScheme::Continuous, &[]).await;
    let ada = server.submit(a_report().product("cloud").from("ada@example.org")).await;
    server.link(&ada, DEFECT).await;
    server.clock.advance(minutes(1));
    server.deploy(&server.release(a_release("42").of("cloud").fixing(DEFECT)).await, 100).await;
    server.clock.advance(minutes(1));
    // "It happened last year", says the caller, after the fix went live: it did not help.
    let last_year =
        |input: &mut ReportInput| input.occurred_time = Some(Timestamp { seconds: 1_748_000_000, nanos: 0 });
    let late = server.submit(a_report().product("cloud").from("late@example.org").with(last_year)).await;
    server.run_until_idle().await;
    assert_eq!(server.loop_of(&late).await, "OPEN regression_reported");
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
}
