//! What an embedder beside the built-in table promises: it makes matching better where it answers, and costs nothing
//! but its vectors where it does not.

use std::time::Duration;

use hearback::app::embedding::Counts;
use hearback::config::Config;

use crate::support::embedder::{Embedder, Mood};
use crate::support::proto::*;
use crate::support::{Caller, Server, a_report, days, minutes, tls};

/// Reports that have nothing to do with each other, and one about a password.
const COUNT: usize = 44;

fn text(n: usize) -> String {
    let things = ["calendar", "gallery", "keyboard", "playlist", "camera", "map", "ticket", "search", "login", "chat"];
    let faults = ["freezes", "vanishes", "flickers", "overheats", "rings twice", "loses colours", "turns grey"];
    let places = ["start", "settings", "checkout"];
    if n == 13 {
        return "I have forgotten my password".to_owned();
    }
    format!("The {} {} in the {} screen", things[n % 10], faults[n % 7], places[n % 3])
}

async fn fill(caller: &Caller) -> Vec<Report> {
    let mut reports = Vec::new();
    for n in 0..COUNT {
        reports.push(caller.submit(a_report().customer(&format!("c{n}")).saying(&text(n))).await);
    }
    reports
}

async fn start(embedder: &Embedder) -> Server {
    Server::start_with(|config| embedder.configure(config)).await
}

fn counts(server: &Server) -> Counts {
    server.app().embedding.as_ref().expect("an embedder is configured").counts()
}

/// The clusters that come nearest to a query, best first.
async fn search(caller: &Caller, query: &str) -> Vec<String> {
    let request = SearchClustersRequest { query: query.to_owned(), ..SearchClustersRequest::default() };
    let results = caller.clusters().search_clusters(request).await.expect("an answer").into_inner().results;
    results.into_iter().map(|result| result.cluster.expect("a cluster").id).collect()
}

/// Says in German what the report about the password says. Only the embedder knows.
const GERMAN: &str = "Kennwort vergessen";

async fn knows_german(caller: &Caller, reports: &[Report]) -> bool {
    search(caller, GERMAN).await.first() == Some(&reports[13].cluster_id)
}

#[tokio::test]
async fn what_the_embedder_knows_is_found_and_what_it_is_asked_is_what_was_agreed() {
    let embedder = Embedder::open().await;
    let server = start(&embedder).await;
    let reports = fill(&server).await;
    assert!(knows_german(&server, &reports).await);
    let question = embedder.questions().remove(0);
    assert_eq!(question.path, "/v1/embeddings");
    assert_eq!(question.authorization.as_deref(), Some("Bearer key-271828"));
    assert_eq!(question.body, serde_json::json!({"model": "one", "input": [text(0)]}));

    // A dry run says what would become of the report: it asks, too.
    let report = a_report().saying("Rechnung leer, Drucker verklemmt").request().report;
    let before = counts(&server).asked;
    let request = MatchReportRequest { report, ..MatchReportRequest::default() };
    server.reports().match_report(request).await.expect("an answer");
    assert_eq!(counts(&server).asked, before + 1);
    assert_eq!((counts(&server).fell_back, counts(&server).failed), (0, 0));
}

#[tokio::test]
async fn without_an_embedder_nobody_knows_german() {
    let server = Server::start().await;
    let reports = fill(&server).await;
    assert!(!knows_german(&server, &reports).await, "else the other tests show nothing");
    assert!(server.app().embedding.is_none());
}

#[tokio::test]
async fn a_dead_endpoint_costs_no_report_and_is_left_alone() {
    for mood in [Mood::Status(500), Mood::Status(401), Mood::Busy(3_600), Mood::Silent, Mood::Garbage, Mood::TooFew] {
        let embedder = Embedder::open().await;
        embedder.be(mood.clone());
        let server = Server::start_with(|config| {
            embedder.configure(config);
            config.embedder.timeout = Duration::from_millis(400);
        })
        .await;
        let reports = fill(&server).await;
        let twin = server.submit(a_report().customer("twin").saying(&text(13))).await;
        assert_eq!(twin.cluster_id, reports[13].cluster_id, "{mood:?}: matching goes on");
        let counted = counts(&server);
        assert_eq!(counted.fell_back as usize, COUNT + 1, "{mood:?}");
        assert!((1..=3).contains(&counted.failed), "{mood:?}: {counted:?}");
        server.run_until_idle().await;
        assert_eq!(counts(&server).failed, counted.failed, "{mood:?}: nor does the pass ask");

        // It is back: what it was not asked is asked now.
        embedder.be(Mood::Good);
        server.after(minutes(61)).await;
        assert!(knows_german(&server, &reports).await, "{mood:?}");
    }
}

#[tokio::test]
async fn an_endpoint_that_nobody_listens_at_costs_no_report() {
    let gone = Embedder::open().await;
    let change = |config: &mut Config| {
        gone.configure(config);
        config.embedder.timeout = Duration::from_millis(400);
        let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
        config.embedder.url = Some(format!("http://{nobody}/v1").parse().expect("a URL"));
    };
    let server = Server::start_with(change).await;
    let reports = fill(&server).await;
    assert_eq!(reports.len(), COUNT);
    assert_eq!(counts(&server).fell_back as usize, COUNT);
    assert!(!search(&server, "forgotten password").await.is_empty());
}

#[tokio::test]
async fn a_restart_asks_the_endpoint_for_nothing_it_answered_before() {
    let embedder = Embedder::open().await;
    let server = start(&embedder).await;
    let reports = fill(&server).await;
    assert_eq!(embedder.texts().len(), COUNT);
    let server = server.restart().await;
    server.run_until_idle().await;
    // Somebody says what was said before, and a help desk sends a report again.
    server.submit(a_report().customer("other").saying(&text(13))).await;
    assert_eq!(embedder.texts().len(), COUNT);
    assert!(knows_german(&server, &reports).await);
    assert_eq!(embedder.texts().split_off(COUNT), [GERMAN]);
}

#[tokio::test]
async fn a_replica_asks_for_nothing_that_another_one_has_kept() {
    let embedder = Embedder::open().await;
    let server = start(&embedder).await;
    let replica = server.replica().await;
    let reports = fill(&server).await;
    replica.run_until_idle().await;
    assert!(knows_german(&replica, &reports).await);

    // What one replica lacks and another one fetches comes to both.
    embedder.be(Mood::Busy(60));
    let late = server.submit(a_report().customer("late").saying("The invoice is empty")).await;
    embedder.be(Mood::Good);
    replica.run_until_idle().await;
    let asked = embedder.texts().len();
    server.after(minutes(2)).await;
    assert_eq!(embedder.texts().len(), asked);
    for server in [&server, &replica] {
        assert_eq!(search(server, "Rechnung leer").await.first(), Some(&late.cluster_id));
    }
}

#[tokio::test]
async fn changing_the_embedder_leaves_no_moment_without_candidates_and_going_back_asks_nothing() {
    let embedder = Embedder::open().await;
    let server = start(&embedder).await;
    let reports = fill(&server).await;
    let change = |model: &'static str| move |config: &mut Config| config.embedder.model = Some(model.to_owned());

    let server = server.restart_with(change("two")).await;
    assert_eq!(embedder.texts().len(), COUNT, "nothing is asked again before the pass");
    assert_eq!(search(&server, "forgotten password").await.first(), Some(&reports[13].cluster_id));
    assert!(!knows_german(&server, &reports).await, "the old vectors mean nothing beside the new model's");
    let twin = server.submit(a_report().customer("twin").saying("Forgotten the password")).await;
    server.run_until_idle().await;
    assert!(knows_german(&server, &reports).await);
    assert_eq!(server.report(&twin.id).await.cluster_id, twin.cluster_id, "nobody is regrouped");

    // The change is taken back.
    let asked = embedder.texts().len();
    let server = server.restart_with(change("one")).await;
    server.run_until_idle().await;
    assert!(knows_german(&server, &reports).await);
    let again = embedder.texts().split_off(asked);
    assert!(again.iter().all(|text| !reports.iter().any(|report| report.title == *text)), "{again:?}");

    // After a day what the other one said is forgotten, and what is in use is not.
    server.after(days(2)).await;
    let server = server.restart().await;
    let asked = embedder.texts().len();
    server.run_until_idle().await;
    assert_eq!(embedder.texts().len(), asked);
    let server = server.restart_with(change("two")).await;
    server.run_until_idle().await;
    assert!(embedder.texts().len() >= asked + COUNT);
    assert!(knows_german(&server, &reports).await);
}

#[tokio::test]
async fn an_embedder_that_comes_later_is_asked_in_batches_for_all_that_is_there() {
    let embedder = Embedder::open().await;
    let server = Server::start().await;
    let reports = fill(&server).await;
    let server = server
        .restart_with(|config| {
            embedder.configure(config);
            config.embedder.batch = 10;
        })
        .await;
    server.run_until_idle().await;
    let sizes: Vec<usize> = embedder.questions().iter().map(|question| question.texts().len()).collect();
    assert_eq!(sizes, [10, 10, 10, 10, 4]);
    assert!(knows_german(&server, &reports).await);
}

#[tokio::test]
async fn who_asks_for_a_pause_gets_it() {
    let embedder = Embedder::open().await;
    let server = start(&embedder).await;
    embedder.be(Mood::Busy(120));
    let reports = fill(&server).await;
    assert_eq!(embedder.questions().len(), 1);
    embedder.be(Mood::Good);
    server.after(Duration::from_secs(119)).await;
    assert_eq!(embedder.questions().len(), 1);
    server.after(Duration::from_secs(2)).await;
    assert_eq!(embedder.questions().len(), 2);
    assert!(knows_german(&server, &reports).await);
}

#[tokio::test]
async fn a_text_that_is_refused_holds_nobody_up() {
    let embedder = Embedder::open().await;
    embedder.be(Mood::Picky("poison"));
    let server = Server::start().await;
    server.submit(a_report().customer("p").saying("The poison list is empty")).await;
    let reports = fill(&server).await;
    let server = server.restart_with(|config| embedder.configure(config)).await;
    server.run_until_idle().await;
    assert!(knows_german(&server, &reports).await);
    // Nor is it asked for again and again.
    let asked = embedder.texts().len();
    server.after(minutes(10)).await;
    assert_eq!(embedder.texts().len(), asked);
    let twin = server.submit(a_report().customer("q").saying("Poison list empty")).await;
    assert!(!twin.cluster_id.is_empty());
}

#[tokio::test]
async fn reports_that_come_at_once_go_in_few_questions() {
    let embedder = Embedder::open().await;
    let server = start(&embedder).await;
    let submits = (0..COUNT).map(|n| {
        let text = text(n);
        let report = a_report().customer(&format!("c{n}")).saying(&text);
        server.submit(report)
    });
    let reports = futures::future::join_all(submits).await;
    assert_eq!(reports.len(), COUNT);
    assert_eq!(embedder.texts().len(), COUNT);
    assert!(embedder.questions().len() < COUNT, "{}", embedder.questions().len());
    assert_eq!(counts(&server).fell_back, 0);
}

#[tokio::test]
async fn law_13_what_was_said_of_one_tenants_text_is_not_told_to_another() {
    let embedder = Embedder::open().await;
    let server = start(&embedder).await;
    let other = server.second_tenant().await;
    server.submit(a_report().customer("a").saying("My secret project fails")).await;
    other.submit(a_report().customer("a").saying("My secret project fails")).await;
    assert_eq!(embedder.texts().len(), 2, "each tenant's own question: whether it was asked before is not to be seen");
    assert_eq!(counts(&server).known, 0);
}

#[tokio::test]
async fn an_endpoint_with_a_certificate_of_ones_own_is_believed_if_its_authority_is_named() {
    let embedder = Embedder::open_tls().await;
    for (ca, asked) in [(None, 0), (Some(tls::ca()), 1)] {
        let server = Server::start_with(|config| {
            embedder.configure(config);
            config.embedder.ca = ca;
            config.embedder.timeout = if asked == 0 { Duration::from_millis(400) } else { Duration::from_secs(10) };
        })
        .await;
        server.submit(a_report().customer("a").saying("The map stays empty")).await;
        assert_eq!(embedder.texts().len(), asked);
        assert_eq!(counts(&server).fell_back, u64::from(asked == 0));
    }
}
