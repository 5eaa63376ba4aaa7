//! Law 4: no race makes twins.

use std::collections::BTreeSet;

use futures::future::join_all;

use crate::support::database::postgres_url;
use crate::support::{Caller, Server, a_report};

/// `texts` distinct problems, each reported `times` times at once, spread over the callers; how many homes they found.
async fn rush(callers: &[&Caller], texts: usize, times: usize) -> usize {
    let submits = (0..texts * times).map(|number| {
        let caller = callers[number % callers.len()];
        // Signatures differ as words do that share nothing.
        let text = words(number % texts);
        let report = a_report().from(&format!("c{number}@example.org")).saying(&text);
        async move { (text, caller.submit(report).await.cluster_id) }
    });
    let placed = join_all(submits).await;
    let mut homes = BTreeSet::new();
    for text in placed.iter().map(|(text, _)| text).collect::<BTreeSet<_>>() {
        let own: BTreeSet<_> = placed.iter().filter(|(said, _)| said == text).map(|(_, home)| home.clone()).collect();
        assert_eq!(own.len(), 1, "twins of {text:?}: {own:?}");
        homes.extend(own);
    }
    homes.len()
}

/// A made-up sentence, of which no word is in another one of the first 1,600.
fn words(number: usize) -> String {
    let syllables = ["ba", "ke", "li", "mo", "nu", "pra", "sto", "tri", "vel", "xan"];
    let word = |seed: usize| [seed % 10, seed / 10 % 10, seed / 100 % 10, seed / 1_000 % 10].map(|at| syllables[at]);
    (0..6).map(|at| word((number * 6 + at) * 7 % 10_000).concat()).collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_4_identical_reports_at_once_land_in_one_cluster() {
    let server = Server::start().await;
    assert_eq!(rush(&[&server], 1, 64).await, 1);
    let clusters = server.list_clusters().await;
    assert_eq!(clusters.iter().map(|cluster| cluster.report_count).collect::<Vec<_>>(), [64]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_4_two_servers_on_one_postgres_make_no_twins() {
    if postgres_url().is_none() {
        println!("skipped: two servers share a database only on Postgres; set TEST_DATABASE_URL");
        return;
    }
    let server = Server::start().await;
    let other = server.replica().await;
    let texts = 500;
    let homes = rush(&[&server, &other], texts, 10).await;
    assert_eq!(server.list_clusters().await.len(), homes);
    let alone = Server::start().await;
    for number in 0..texts {
        alone.submit(a_report().from(&format!("c{number}@example.org")).saying(&words(number))).await;
    }
    assert_eq!(alone.list_clusters().await.len(), homes, "as many as one server makes one by one");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_4_one_report_submitted_many_times_at_once_is_one_report() {
    let server = Server::start().await;
    let report = a_report().from("ada@example.org");
    let answers = join_all((0..32).map(|_| server.submitted(report.clone()))).await;
    let ids: BTreeSet<_> = answers.iter().filter_map(|answer| Some(answer.report.as_ref()?.id.clone())).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 1);
    assert_eq!(server.list_reports("").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn law_4_one_new_customer_over_many_channels_at_once_is_one_customer() {
    let server = Server::start().await;
    let submits = (0..16).map(|_| server.submit(a_report().from("new@example.org")));
    let customers: BTreeSet<_> = join_all(submits).await.into_iter().map(|report| report.customer_id).collect();
    assert_eq!(customers.len(), 1);
}
