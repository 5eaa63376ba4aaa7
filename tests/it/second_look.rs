//! What a second look at clusters promises: titles and key terms in the customers' own words, and proposals that change
//! nothing until a person says yes.

use std::collections::BTreeMap;

use crate::support::builders::ReportBuilder;
use crate::support::caller::paths;
use crate::support::proto::resolve_suggestion_request::Answer;
use crate::support::proto::suggestion::{Kind, State};
use crate::support::proto::*;
use crate::support::{Caller, Server, a_report, reason, soon};

const LOGO: &str = "The export to PDF crashes when an invoice has a logo";
const LOGO_TOO: &str = "When there is a logo on an invoice, PDF export crashes";
const INVOICE: &str = "My invoice shows the wrong VAT rate";
const BATTERY: &str = "Battery drains overnight on my phone";

fn said(from: &str, text: &str) -> ReportBuilder {
    a_report().from(from).saying(text)
}

/// Two clusters about the same problem, with two reports each: the matcher was told to be very sure.
async fn alike(server: &Server) -> (Report, Report) {
    server.policy(Policy { attach_precision: 0.999, ..Policy::default() }, &["attach_precision"]).await;
    let ada = server.submit(said("ada@example.org", LOGO)).await;
    let ben = server.submit(said("ben@example.org", LOGO_TOO)).await;
    for (from, text, home) in [("cai@example.org", LOGO, &ada), ("dan@example.org", LOGO_TOO, &ben)] {
        assert_eq!(server.submit(said(from, text)).await.cluster_id, home.cluster_id);
    }
    assert_ne!(ada.cluster_id, ben.cluster_id);
    (ada, ben)
}

/// A cluster of two problems. Ben's words came to Ada's by the fingerprint, and Cai's to Ben's; then a person took Ben's
/// report out, and with it what Cai's hung on.
async fn of_two_problems(server: &Server) -> (Report, Report) {
    let ada = server.submit(said("ada@example.org", INVOICE).fingerprint("crash-1")).await;
    let ben = server.submit(said("ben@example.org", BATTERY).fingerprint("crash-1")).await;
    let cai = server.submit(said("cai@example.org", BATTERY)).await;
    assert_eq!([&ben.cluster_id, &cai.cluster_id], [&ada.cluster_id; 2]);
    server.move_report(&ben, "").await;
    (ada, cai)
}

async fn proposals(caller: &Caller, kind: &str) -> Vec<Suggestion> {
    caller.list_suggestions(&format!("kind = {kind}")).await
}

async fn home(server: &Server, report: &Report) -> String {
    server.report(&report.id).await.cluster_id
}

/// Where everything is and what it is, as far as people and the matcher decide it.
async fn everything(caller: &Caller) -> (BTreeMap<String, Membership>, BTreeMap<String, Cluster>) {
    let reports = caller.list_reports("").await.into_iter();
    let places = reports.map(|report| (report.id, report.membership.expect("a place"))).collect();
    let clusters = caller.list_clusters().await.into_iter();
    let clusters = clusters.map(|cluster| {
        let derived = Cluster { title: String::new(), key_terms: Vec::new(), needs_review: false, ..cluster };
        (derived.id.clone(), derived)
    });
    (places, clusters.collect())
}

#[tokio::test]
async fn two_clusters_about_one_problem_are_proposed_with_reasons() {
    let server = Server::start().await;
    let (ada, ben) = alike(&server).await;
    server.look_again().await;
    let merges = proposals(&server, "MERGE").await;
    assert_eq!(merges.len(), 1, "{merges:#?}");
    let merge = &merges[0];
    assert_eq!((merge.kind(), merge.state()), (Kind::Merge, State::Pending));
    assert_eq!((&merge.cluster_id, &merge.from_cluster_id), (&ada.cluster_id, &ben.cluster_id), "the later one goes");
    assert_eq!((&merge.cluster_title, &merge.from_cluster_title), (&LOGO.to_owned(), &LOGO_TOO.to_owned()));
    assert_eq!(merge.report_cluster_id, ben.cluster_id);
    assert!((0.15..=1.0).contains(&merge.score), "{merge:#?}");
    let sum: f64 = merge.signals.iter().map(|signal| signal.weight).sum();
    assert!((sum - merge.score).abs() < 0.01, "the reasons add up: {merge:#?}");
    for cluster in [&ada.cluster_id, &ben.cluster_id] {
        let filter = format!("kind = MERGE AND state = PENDING AND cluster_id = {cluster}");
        assert_eq!(server.list_suggestions(&filter).await, merges, "it is about both");
    }
    assert!(proposals(&server, "SPLIT").await.is_empty());
    let history = server.history("").await;
    let told: Vec<&Event> =
        history.iter().map(|(_, event)| event).filter(|event| event.r#type == "suggestion.proposed").collect();
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].subject.as_str(), told[0].actor.as_str()), (merge.id.as_str(), "system"));
}

#[tokio::test]
async fn a_second_look_changes_nothing_by_itself() {
    let server = Server::start().await;
    alike(&server).await;
    of_two_problems(&server).await;
    let before = everything(&server).await;
    let history = server.history("").await.len();
    server.look_again().await;
    assert!(!proposals(&server, "MERGE").await.is_empty() && !proposals(&server, "SPLIT").await.is_empty());
    assert_eq!(everything(&server).await, before);
    for (_, event) in server.history("").await.split_off(history) {
        if event.subject.starts_with("prd_") {
            continue; // Each look at the history leaves one mark.
        }
        assert!(["suggestion.proposed", "cluster.updated"].contains(&event.r#type.as_str()), "{event:?}");
        assert_eq!(event.actor, "system");
    }
    // And again, on whichever replica and after whatever: what was found is what is found.
    let found = (server.list_suggestions("").await, server.list_clusters().await);
    let history = server.history("").await.len();
    server.look_again().await;
    let server = server.crash().await;
    server.look_again().await;
    assert_eq!((server.list_suggestions("").await, server.list_clusters().await), found);
    assert_eq!(server.history("").await.len(), history + 1);
}

#[tokio::test]
async fn a_yes_to_a_merge_merges_and_can_be_taken_back() {
    let server = Server::start().await;
    let (ada, ben) = alike(&server).await;
    server.look_again().await;
    let merge = proposals(&server, "MERGE").await.remove(0);
    let answered = server.resolve(&merge, Answer::Confirm).await;
    let step = answered.operation.expect("a step");
    let now = answered.suggestion.expect("the suggestion");
    assert_eq!((step.kind(), now.state(), &now.operation_id), (operation::Kind::Merge, State::Confirmed, &step.id));
    assert_eq!(home(&server, &ben).await, ada.cluster_id);
    assert_eq!(server.cluster(&ada.cluster_id).await.report_count, 4);
    server.look_again().await;
    assert_eq!(proposals(&server, "MERGE").await.len(), 1, "nothing new follows");

    server.undo(&step).await;
    assert_eq!(home(&server, &ben).await, ben.cluster_id);
    assert_eq!(proposals(&server, "MERGE").await, [merge], "the question stands as it stood before");
    server.look_again().await;
    assert_eq!(proposals(&server, "MERGE").await[0].state(), State::Pending);
}

#[tokio::test]
async fn law_5_a_no_to_a_merge_is_obeyed_until_it_is_taken_back() {
    let server = Server::start().await;
    let (ada, ben) = alike(&server).await;
    server.look_again().await;
    let merge = proposals(&server, "MERGE").await.remove(0);
    let answered = server.resolve(&merge, Answer::Reject).await;
    let step = answered.operation.expect("a step");
    assert_eq!((step.kind(), step.report_count), (operation::Kind::Reject, 0));
    assert_eq!(home(&server, &ben).await, ben.cluster_id);
    for from in ["e@example.org", "f@example.org", "g@example.org"] {
        server.submit(said(from, LOGO)).await;
        server.submit(said(&format!("t{from}"), LOGO_TOO)).await;
        server.look_again().await;
    }
    let merges = proposals(&server, "MERGE").await;
    assert_eq!(merges.len(), 1);
    assert_eq!((merges[0].state(), &merges[0].id), (State::Rejected, &merge.id));
    // Nor for what the clusters become a part of.
    let eve = server.submit(said("eve@example.org", BATTERY)).await;
    server.merge(&ben.cluster_id, &eve.cluster_id).await;
    server.look_again().await;
    let about = format!("kind = MERGE AND state = PENDING AND cluster_id = {}", ada.cluster_id);
    assert!(server.list_suggestions(&about).await.is_empty());

    server.undo(&step).await;
    assert_eq!(
        proposals(&server, "MERGE").await.iter().find(|one| one.id == merge.id).expect("it").state(),
        State::Pending
    );
}

#[tokio::test]
async fn law_5_what_a_person_split_is_not_proposed_to_be_merged() {
    let server = Server::start().await;
    let ada = server.submit(said("ada@example.org", LOGO)).await;
    let ben = server.submit(said("ben@example.org", LOGO_TOO)).await;
    assert_eq!(ada.cluster_id, ben.cluster_id);
    let step = server.split(&ada.cluster_id, &[&ben]).await.operation.expect("a step");
    server.look_again().await;
    assert!(proposals(&server, "MERGE").await.is_empty());
    server.undo(&step).await;
    server.look_again().await;
    assert!(server.list_suggestions("").await.is_empty(), "it was one cluster, and is again");
}

#[tokio::test]
async fn a_merge_by_hand_answers_the_proposal_and_another_one_withdraws_it() {
    let server = Server::start().await;
    let (ada, ben) = alike(&server).await;
    server.look_again().await;
    let merge = proposals(&server, "MERGE").await.remove(0);
    let step = server.merge(&ada.cluster_id, &ben.cluster_id).await;
    let now = proposals(&server, "MERGE").await.remove(0);
    assert_eq!((now.state(), &now.operation_id), (State::Confirmed, &step.id));
    server.undo(&step).await;

    // Everything leaves the cluster: there is nothing left to propose.
    let eve = server.submit(said("eve@example.org", BATTERY)).await;
    for report in server.list_reports(&format!("cluster_id = {}", ben.cluster_id)).await {
        server.move_report(&report, &eve.cluster_id).await;
    }
    server.look_again().await;
    let now = proposals(&server, "MERGE").await.into_iter().find(|one| one.id == merge.id).expect("it");
    assert_eq!(now.state(), State::Withdrawn);
    assert!(now.resolve_time.is_some() && now.actor.is_empty());
    let request = ResolveSuggestionRequest {
        suggestion_id: merge.id.clone(),
        answer: Answer::Confirm.into(),
        ..ResolveSuggestionRequest::default()
    };
    let refused = server.clusters().resolve_suggestion(request).await.expect_err("its ground is gone");
    assert_eq!(reason(&refused), "STATE_FORBIDS");
    let types: Vec<String> = server.history("").await.into_iter().map(|(_, event)| event.r#type).collect();
    assert!(types.contains(&"suggestion.withdrawn".to_owned()));
}

#[tokio::test]
async fn reports_that_stand_apart_are_flagged_and_named() {
    let server = Server::start().await;
    let (ada, cai) = of_two_problems(&server).await;
    assert!(!server.cluster(&ada.cluster_id).await.needs_review);
    server.look_again().await;
    let split = proposals(&server, "SPLIT").await.remove(0);
    assert_eq!((split.kind(), split.state()), (Kind::Split, State::Pending));
    assert_eq!((&split.cluster_id, &split.report_ids), (&ada.cluster_id, &vec![cai.id.clone()]));
    assert!(split.score > 0.85 && !split.signals.is_empty(), "{split:?}");
    let cluster = server.cluster(&ada.cluster_id).await;
    assert!(cluster.needs_review);
    for (needed, count) in [("true", 1), ("false", 1)] {
        let filter = format!("needs_review = {needed}");
        let request = ListClustersRequest { filter, ..ListClustersRequest::default() };
        let listed = server.clusters().list_clusters(request).await.expect("a page").into_inner().clusters;
        assert_eq!(listed.len(), count, "{needed}");
        assert!(listed.iter().all(|cluster| cluster.needs_review.to_string() == needed));
    }
}

#[tokio::test]
async fn whoever_watches_a_cluster_learns_that_it_needs_review() {
    let server = Server::start().await;
    let (ada, _) = of_two_problems(&server).await;
    let request = WatchClustersRequest { cluster_id: ada.cluster_id.clone(), ..WatchClustersRequest::default() };
    let mut stream = server.clusters().watch_clusters(request).await.expect("a watch").into_inner();
    let mut needs_review = async |wanted: &str| loop {
        let message = soon("a change", stream.message()).await.expect("it goes on").expect("it goes on");
        if message.r#type == wanted {
            break message.cluster.expect("the cluster").needs_review;
        }
    };
    server.look_again().await;
    assert!(needs_review("suggestion.proposed").await);
    server.resolve(&proposals(&server, "SPLIT").await[0], Answer::Reject).await;
    assert!(!needs_review("suggestion.resolved").await);
}

#[tokio::test]
async fn a_yes_to_a_split_takes_them_out_and_can_be_taken_back() {
    let server = Server::start().await;
    let (ada, cai) = of_two_problems(&server).await;
    server.look_again().await;
    let split = proposals(&server, "SPLIT").await.remove(0);
    let answered = server.resolve(&split, Answer::Confirm).await;
    let step = answered.operation.expect("a step");
    assert_eq!((step.kind(), &step.from_cluster_id), (operation::Kind::Split, &ada.cluster_id));
    assert_eq!(home(&server, &cai).await, step.to_cluster_id);
    assert!(!server.cluster(&ada.cluster_id).await.needs_review);
    server.look_again().await;
    assert!(server.list_suggestions("kind = SPLIT AND state = PENDING").await.is_empty());
    // Whoever says what Ben says may now be where Ben is.
    assert_eq!(proposals(&server, "MERGE").await.remove(0).from_cluster_id, step.to_cluster_id);

    server.undo(&step).await;
    assert_eq!(home(&server, &cai).await, ada.cluster_id);
    assert!(server.cluster(&ada.cluster_id).await.needs_review);
    assert_eq!(proposals(&server, "SPLIT").await, [split]);
}

#[tokio::test]
async fn law_5_a_no_to_a_split_is_obeyed_for_these_reports() {
    let server = Server::start().await;
    let (ada, cai) = of_two_problems(&server).await;
    server.look_again().await;
    let split = proposals(&server, "SPLIT").await.remove(0);
    let step = server.resolve(&split, Answer::Reject).await.operation.expect("a step");
    assert!(!server.cluster(&ada.cluster_id).await.needs_review);
    server.submit(said("dan@example.org", INVOICE).fingerprint("crash-1")).await;
    server.submit(said("eve@example.org", INVOICE).fingerprint("crash-1")).await;
    server.look_again().await;
    assert_eq!(proposals(&server, "SPLIT").await.iter().map(Suggestion::state).collect::<Vec<_>>(), [State::Rejected]);
    assert_eq!(home(&server, &cai).await, ada.cluster_id);
    server.undo(&step).await;
    assert!(server.cluster(&ada.cluster_id).await.needs_review, "the question stands again");
}

#[tokio::test]
async fn law_5_what_a_person_put_together_does_not_stand_apart() {
    let server = Server::start().await;
    let ada = server.submit(said("ada@example.org", LOGO)).await;
    let ben = server.submit(said("ben@example.org", BATTERY)).await;
    server.merge(&ben.cluster_id, &ada.cluster_id).await;
    let cai = server.submit(said("cai@example.org", "My invoice shows the wrong VAT rate")).await;
    server.move_report(&cai, &ada.cluster_id).await;
    server.look_again().await;
    assert!(proposals(&server, "SPLIT").await.iter().all(|split| !split.report_ids.contains(&cai.id)));
    assert!(proposals(&server, "SPLIT").await.iter().all(|split| !split.report_ids.contains(&ben.id)));
}

#[tokio::test]
async fn a_flag_goes_when_those_who_stood_apart_have_left() {
    let server = Server::start().await;
    let (ada, cai) = of_two_problems(&server).await;
    server.look_again().await;
    assert!(server.cluster(&ada.cluster_id).await.needs_review);
    server.move_report(&cai, "").await;
    server.look_again().await;
    assert!(!server.cluster(&ada.cluster_id).await.needs_review);
    assert_eq!(proposals(&server, "SPLIT").await[0].state(), State::Withdrawn);
}

#[tokio::test]
async fn two_replicas_that_look_at_once_propose_once() {
    let server = Server::start().await;
    alike(&server).await;
    of_two_problems(&server).await;
    let app = server.app();
    let now = app.clock.now();
    for _ in 0..4 {
        let looks = futures::join!(app.look_again_once(now), app.look_again_once(now), app.look_again_once(now));
        assert!(looks.0.is_ok() && looks.1.is_ok() && looks.2.is_ok());
    }
    server.look_again().await;
    assert_eq!(proposals(&server, "MERGE").await.len(), 1);
    assert_eq!(proposals(&server, "SPLIT").await.len(), 1);
}

#[tokio::test]
async fn law_13_every_tenant_has_its_turn_and_sees_its_own_proposals() {
    let server = Server::start().await;
    let theirs = server.second_tenant().await;
    for caller in [&*server as &Caller, &theirs] {
        caller.policy(Policy { attach_precision: 0.999, ..Policy::default() }, &["attach_precision"]).await;
        for text in [LOGO, LOGO_TOO, LOGO, LOGO_TOO] {
            caller.submit(said("ada@example.org", text)).await;
        }
    }
    for number in 0..20 {
        server.submit(said("ada@example.org", &format!("{BATTERY} of kind x{number}y"))).await;
    }
    // One turn has room for both tenants, however much one of them has.
    let now = server.app().clock.now();
    server.app().look_again_once(now).await.expect("a turn");
    let proposed = proposals(&theirs, "MERGE").await;
    assert_eq!(proposed.len(), 1);
    server.look_again().await;
    let ours = proposals(&server, "MERGE").await;
    let about = |merge: &Suggestion| merge.cluster_title == LOGO;
    assert_eq!(ours.iter().filter(|merge| about(merge)).count(), 1);
    assert!(ours.iter().all(|merge| merge.id != proposed[0].id));
}

fn renamed(id: &str, title: &str) -> UpdateClusterRequest {
    let cluster = Cluster { id: id.to_owned(), title: title.to_owned(), ..Cluster::default() };
    UpdateClusterRequest { cluster: Some(cluster), update_mask: Some(paths(&["title"])), ..Default::default() }
}

/// A cluster whose first report says little in its title.
async fn badly_called(server: &Server) -> String {
    let say = async |from: &str, title: &str, body: &str| {
        server.submit(said(from, title).body(body).fingerprint("pdf")).await.cluster_id
    };
    let id = say("ada@example.org", "A question from a happy customer", "The PDF export stops at page three.").await;
    say("ben@example.org", "PDF export stops at page three", "The export of a long document ends there.").await;
    say("cai@example.org", "Export to PDF stops", "After page three the export of my document stops.").await;
    id
}

#[tokio::test]
async fn a_cluster_is_called_by_what_one_customer_says_for_all() {
    let server = Server::start().await;
    let id = badly_called(&server).await;
    let first = server.cluster(&id).await;
    assert_eq!((first.title.as_str(), first.key_terms.len()), ("A question from a happy customer", 0));
    server.look_again().await;
    let cluster = server.cluster(&id).await;
    assert_eq!(cluster.title, "PDF export stops at page three");
    assert!(!cluster.title_by_person);
    assert!(cluster.key_terms.contains(&"PDF".to_owned()), "{:?}", cluster.key_terms);
    assert_eq!(cluster.etag, first.etag, "nobody's update is refused for that");
    let request = SearchClustersRequest { query: "PDF export".to_owned(), ..Default::default() };
    let found = server.clusters().search_clusters(request).await.expect("a search").into_inner().results;
    assert_eq!(found[0].cluster.as_ref().map(|found| &found.key_terms), Some(&cluster.key_terms));
    assert_eq!(server.list_clusters().await[0].key_terms, cluster.key_terms);
}

#[tokio::test]
async fn a_person_s_title_stays_until_it_is_handed_back() {
    let server = Server::start().await;
    let id = badly_called(&server).await;
    let update = async |title: &str| {
        let answer = server.clusters().update_cluster(renamed(&id, title)).await.expect("an update").into_inner();
        answer.cluster.expect("the cluster")
    };
    let cluster = update("PDF: page three").await;
    assert!(cluster.title_by_person);
    server.look_again().await;
    let cluster = server.cluster(&id).await;
    assert_eq!((cluster.title.as_str(), cluster.title_by_person), ("PDF: page three", true));
    assert!(!cluster.key_terms.is_empty(), "its terms are derived all the same");
    let cluster = update("").await;
    assert_eq!((cluster.title.as_str(), cluster.title_by_person), ("PDF export stops at page three", false));
}

#[tokio::test]
async fn a_title_shows_no_address_and_no_telephone_number() {
    let server = Server::start().await;
    let text = "Mails to ada@example.org bounce, call +49 170 1234567";
    let ada = server.submit(said("ada@example.org", text)).await;
    assert_eq!(ada.title, text, "the report is kept as it came");
    for _ in 0..2 {
        let cluster = server.cluster(&ada.cluster_id).await;
        assert_eq!(cluster.title, "Mails to … bounce, call …");
        assert!(cluster.key_terms.iter().all(|term| !term.contains("ada") && !term.contains("170")));
        server.look_again().await;
    }
}
