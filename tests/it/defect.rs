//! What `DefectService` promises beyond the laws.

use crate::support::proto::*;
use crate::support::{Server, a_report, fields, reason};

fn upsert(title: &str, state: defect::State) -> UpsertDefectRequest {
    UpsertDefectRequest {
        tracker: "github".to_owned(),
        key: "acme/app#12".to_owned(),
        title: title.to_owned(),
        state: state.into(),
        ..UpsertDefectRequest::default()
    }
}

#[tokio::test]
async fn an_upsert_adds_to_what_is_known_and_says_when_it_changed_nothing() {
    let server = Server::start().await;
    let first = server.defects().upsert_defect(upsert("Export stops", defect::State::Unspecified)).await.expect("one");
    let first = first.into_inner();
    let known = first.defect.expect("it");
    assert!(first.created && !first.replayed);
    assert_eq!((known.state(), known.reopen_count), (defect::State::Open, 0));
    let again = server.defects().upsert_defect(upsert("", defect::State::Closed)).await.expect("one").into_inner();
    let closed = again.defect.expect("it");
    assert!(!again.created && !again.replayed);
    assert_eq!((closed.id.as_str(), closed.title.as_str()), (known.id.as_str(), "Export stops"));
    assert_eq!(closed.state(), defect::State::Closed);
    assert_ne!(closed.etag, known.etag);
    let same = server.defects().upsert_defect(upsert("", defect::State::Closed)).await.expect("one").into_inner();
    assert!(same.replayed);
    assert_eq!(same.defect.expect("it"), closed);
    let reopened = server.defects().upsert_defect(upsert("", defect::State::Open)).await.expect("one").into_inner();
    assert_eq!(reopened.defect.expect("it").reopen_count, 1);
}

#[tokio::test]
async fn a_defect_is_found_by_id_and_by_tracker_and_key() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    let cluster = server.link(&ada, "github:acme/app#12").await;
    for name in ["github:acme/app#12", &cluster.defect_ids[0]] {
        let request = GetDefectRequest { defect: name.to_owned() };
        let defect = server.defects().get_defect(request).await.expect(name).into_inner().defect.expect("it");
        assert_eq!((defect.tracker.as_str(), defect.key.as_str()), ("github", "acme/app#12"));
        assert_eq!(defect.cluster_ids, std::slice::from_ref(&ada.cluster_id));
    }
    let request = GetDefectRequest { defect: "github:acme/app#13".to_owned() };
    assert_eq!(reason(&server.defects().get_defect(request).await.expect_err("unknown")), "RESOURCE_NOT_FOUND");
}

#[tokio::test]
async fn all_that_is_wrong_with_a_defect_is_named_at_once() {
    let server = Server::start().await;
    let request = UpsertDefectRequest {
        tracker: "Git Hub".to_owned(),
        key: String::new(),
        title: "t".repeat(1_001),
        url: "javascript:alert(1)".to_owned(),
        state: 99,
        ..UpsertDefectRequest::default()
    };
    let refused = server.defects().upsert_defect(request).await.expect_err("much is wrong");
    assert_eq!(fields(&refused), ["key", "state", "title", "tracker", "url"]);
}

#[tokio::test]
async fn defects_are_listed_and_filtered() {
    let server = Server::start().await;
    for (defect, state) in [("github:a#1", defect::State::Open), ("jira:A-1", defect::State::Closed)] {
        server.defect(defect, state).await;
    }
    let list = async |filter: &str| -> Vec<String> {
        let request = ListDefectsRequest { filter: filter.to_owned(), ..Default::default() };
        let page = server.defects().list_defects(request).await.expect("a page").into_inner();
        page.defects.into_iter().map(|defect| defect.key).collect()
    };
    assert_eq!(list("").await, ["A-1", "a#1"]);
    assert_eq!(list("tracker = jira").await, ["A-1"]);
    assert_eq!(list("state = OPEN").await, ["a#1"]);
    assert_eq!(list("tracker = github AND key = \"a#1\"").await, ["a#1"]);
    assert_eq!(list("state = FIX_MERGED").await, Vec::<String>::new());
}
