//! Law 5: people outrank the matcher, and what they did can be taken back exactly.

use std::collections::BTreeMap;

use tonic::Code;

use crate::support::proto::{Report, UndoOperationRequest, placement};
use crate::support::{Caller, Server, a_report, reason};

const EXPORT: &str = "Export to PDF stops at page three";
const LOGIN: &str = "Login shows a blank screen after the update";

fn export(from: &str) -> crate::support::builders::ReportBuilder {
    a_report().from(from).saying(EXPORT)
}

/// Where everything is, without what time changes.
async fn places(caller: &Caller) -> BTreeMap<String, (String, String, f64)> {
    let reports = caller.list_reports("").await;
    let place = |report: Report| {
        let membership = report.membership.expect("a place");
        (report.id, (report.cluster_id, membership.origin().as_str_name().to_owned(), membership.score))
    };
    reports.into_iter().map(place).collect()
}

#[tokio::test]
async fn law_5_a_report_moved_out_takes_later_twins_of_its_text_along() {
    let server = Server::start().await;
    let ada = server.submit(export("ada@example.org")).await;
    let ben = server.submit(export("ben@example.org")).await;
    assert_eq!(ben.cluster_id, ada.cluster_id);
    let moved = server.move_report(&ben, "").await.report.expect("the report");
    assert_ne!(moved.cluster_id, ada.cluster_id);
    let cai = server.submitted(export("cai@example.org")).await;
    let report = cai.report.expect("the report");
    assert_eq!(report.cluster_id, moved.cluster_id, "a person put this text there");
    assert_eq!(cai.placement.expect("a placement").decision(), placement::Decision::Attach);
}

#[tokio::test]
async fn law_5_a_report_moved_to_another_cluster_takes_later_twins_there_even_after_a_restart() {
    let server = Server::start().await;
    let ada = server.submit(export("ada@example.org")).await;
    let ben = server.submit(a_report().from("ben@example.org").saying(LOGIN)).await;
    server.move_report(&ada, &ben.cluster_id).await;
    let server = server.restart().await;
    let cai = server.submit(export("cai@example.org")).await;
    assert_eq!(cai.cluster_id, ben.cluster_id);
}

#[tokio::test]
async fn law_5_a_merge_is_obeyed_by_later_text_of_both_kinds() {
    let server = Server::start().await;
    let ada = server.submit(export("ada@example.org")).await;
    let ben = server.submit(a_report().from("ben@example.org").saying(LOGIN)).await;
    server.merge(&ben.cluster_id, &ada.cluster_id).await;
    for text in [EXPORT, LOGIN] {
        let later = server.submit(a_report().from("cai@example.org").saying(text)).await;
        assert_eq!(later.cluster_id, ada.cluster_id, "{text}");
    }
}

#[tokio::test]
async fn law_5_a_split_is_obeyed_by_later_identical_text() {
    let server = Server::start().await;
    let ada = server.submit(export("ada@example.org")).await;
    let alike = "Export to PDF stops at page three on paper of size A5";
    let ben = server.submit(a_report().from("ben@example.org").saying(alike)).await;
    let home = if ben.cluster_id == ada.cluster_id {
        ada.cluster_id.clone()
    } else {
        server.merge(&ben.cluster_id, &ada.cluster_id).await;
        ada.cluster_id.clone()
    };
    let split = server.split(&home, &[&ben]).await.new_cluster.expect("the new cluster");
    let later = server.submit(a_report().from("cai@example.org").saying(alike)).await;
    assert_eq!(later.cluster_id, split.id);
    let later = server.submit(export("dee@example.org")).await;
    assert_eq!(later.cluster_id, ada.cluster_id);
}

#[tokio::test]
async fn law_5_every_step_is_taken_back_exactly() {
    let server = Server::start().await;
    let ada = server.submit(export("ada@example.org")).await;
    let ben = server.submit(export("ben@example.org")).await;
    let cai = server.submit(a_report().from("cai@example.org").saying(LOGIN)).await;
    server.link(&cai, "github:acme/app#7").await;
    let before = (places(&server).await, server.cluster(&ada.cluster_id).await, server.cluster(&cai.cluster_id).await);

    let step = server.merge(&cai.cluster_id, &ada.cluster_id).await;
    assert_eq!(server.cluster(&ada.cluster_id).await.defect_ids.len(), 1, "a merge brings its links");
    server.undo(&step).await;
    let step = server.split(&ada.cluster_id, &[&ben]).await.operation.expect("a step");
    server.undo(&step).await;
    let step = server.move_report(&ben, &cai.cluster_id).await.operation.expect("a step");
    server.undo(&step).await;

    let after = (places(&server).await, server.cluster(&ada.cluster_id).await, server.cluster(&cai.cluster_id).await);
    assert_eq!(after.0, before.0);
    for (after, before) in [(after.1, before.1), (after.2, before.2)] {
        assert_eq!(
            (after.report_count, after.reporter_count, after.defect_ids, after.state, after.title),
            (before.report_count, before.reporter_count, before.defect_ids, before.state, before.title),
        );
    }
    // Their constraints are gone too: the matcher decides again.
    let later = server.submit(export("dee@example.org")).await;
    assert_eq!(later.cluster_id, ada.cluster_id);
    let later = server.submit(a_report().from("eve@example.org").saying(LOGIN)).await;
    assert_eq!(later.cluster_id, cai.cluster_id);
}

#[tokio::test]
async fn law_5_a_step_that_another_stands_on_is_not_taken_back() {
    let server = Server::start().await;
    let ada = server.submit(export("ada@example.org")).await;
    let ben = server.submit(export("ben@example.org")).await;
    let first = server.move_report(&ben, "").await;
    let second = server.move_report(&ben, &ada.cluster_id).await.operation.expect("a step");
    let request = |id: &str| UndoOperationRequest { operation_id: id.to_owned(), ..Default::default() };
    let first = first.operation.expect("a step");
    let refused = server.clusters().undo_operation(request(&first.id)).await.expect_err("another stands on it");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
    server.undo(&second).await;
    server.undo(&first).await;
    assert_eq!(server.report(&ben.id).await.cluster_id, ada.cluster_id);
}

#[tokio::test]
async fn law_5_customers_of_a_merged_cluster_never_see_each_other() {
    let server = Server::start().await;
    let ada = server.submit(export("ada@example.org").named("Ada Lovelace").version("2.4.0")).await;
    let ben = server.submit(a_report().from("ben@example.org").named("Ben Nevis").version("2.4.0").saying(LOGIN)).await;
    server.merge(&ben.cluster_id, &ada.cluster_id).await;
    server.link(&ada, "github:acme/app#12").await;
    server.release(crate::support::a_release("2.4.1").fixing("github:acme/app#12")).await;
    server.run_until_idle().await;
    let mails = server.mailbox.all();
    assert_eq!(mails.len(), 2);
    for mail in &mails {
        let (own, other) = if mail.recipient.starts_with("ada") { ("Ada", "Ben") } else { ("Ben", "Ada") };
        assert!(mail.text.contains(own), "{}", mail.text);
        for words in [mail.raw.as_str(), mail.text.as_str(), mail.html.as_str()] {
            assert!(!words.contains(other), "{words}");
        }
    }
    let texts: Vec<_> = mails.iter().map(|mail| mail.text.contains(LOGIN)).collect();
    assert_eq!(texts.iter().filter(|has| **has).count(), 1, "each is answered with their own words");
}

#[tokio::test]
async fn law_5_a_link_that_two_merges_brought_stays_until_both_are_taken_back_and_nobody_is_corrected_before() {
    const DEFECT: &str = "github:acme/app#12";
    for own in [false, true] {
        let server = Server::start().await;
        let ada = server.submit(export("ada@example.org").version("2.4.0")).await;
        let ben = server.submit(a_report().from("ben@example.org").saying(LOGIN).version("2.4.0")).await;
        let invoice = "The invoice shows the wrong currency";
        let cai = server.submit(a_report().from("cai@example.org").saying(invoice).version("2.4.0")).await;
        server.link(&ada, DEFECT).await;
        server.link(&ben, DEFECT).await;
        let merges = [
            server.merge(&ada.cluster_id, &cai.cluster_id).await,
            server.merge(&ben.cluster_id, &cai.cluster_id).await,
        ];
        if own {
            server.link(&cai, DEFECT).await;
        }
        server.release(crate::support::a_release("2.4.1").fixing(DEFECT)).await;
        server.run_until_idle().await;
        assert_eq!(server.mailbox.all().len(), 3);

        server.undo(&merges[0]).await;
        server.run_until_idle().await;
        assert_eq!(server.cluster(&cai.cluster_id).await.defect_ids.len(), 1, "the other merge says so, too");
        assert_eq!(server.mailbox.all().len(), 3, "nothing that was said is false");

        server.undo(&merges[1]).await;
        server.run_until_idle().await;
        assert_eq!(server.cluster(&cai.cluster_id).await.defect_ids.len(), usize::from(own));
        for address in ["ada@example.org", "ben@example.org"] {
            assert_eq!(server.mail_to(address).len(), 1, "their own clusters are linked");
        }
        assert_eq!(server.mail_to("cai@example.org").len(), if own { 1 } else { 2 }, "{own}");
    }
}
