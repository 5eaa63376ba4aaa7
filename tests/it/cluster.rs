//! What `ClusterService` promises beyond the laws.

use tonic::Code;

use crate::support::caller::paths;
use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, fields, reason};

fn update(cluster: Cluster, mask: &[&str]) -> UpdateClusterRequest {
    UpdateClusterRequest {
        cluster: Some(cluster),
        update_mask: (!mask.is_empty()).then(|| paths(mask)),
        ..UpdateClusterRequest::default()
    }
}

#[tokio::test]
async fn an_update_changes_what_the_mask_names_and_nothing_else() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    let id = ada.cluster_id;
    let new = Cluster {
        id: id.clone(),
        title: "PDF export is cut short".to_owned(),
        workaround: "Export in two halves.".to_owned(),
        guidance: "Ask for the document.".to_owned(),
        ..Cluster::default()
    };
    server.clusters().update_cluster(update(new.clone(), &["workaround"])).await.expect("an update");
    let cluster = server.cluster(&id).await;
    assert_eq!((cluster.title.as_str(), cluster.workaround.as_str()), (ada.title.as_str(), "Export in two halves."));
    assert_eq!(cluster.guidance, "");
    // Without a mask: what is set.
    let more = Cluster { workaround: String::new(), ..new };
    server.clusters().update_cluster(update(more, &[])).await.expect("an update");
    let cluster = server.cluster(&id).await;
    assert_eq!(
        (cluster.title.as_str(), cluster.guidance.as_str()),
        ("PDF export is cut short", "Ask for the document.")
    );
    assert_eq!(cluster.workaround, "Export in two halves.");
    // With one, a field can be emptied.
    let emptied = Cluster { id: id.clone(), ..Cluster::default() };
    server.clusters().update_cluster(update(emptied, &["workaround"])).await.expect("an update");
    assert_eq!(server.cluster(&id).await.workaround, "");
}

#[tokio::test]
async fn an_update_of_what_nobody_can_set_is_refused() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    for path in ["state", "report_count", "nothing", ""] {
        let cluster = Cluster { id: ada.cluster_id.clone(), ..Cluster::default() };
        let refused = server.clusters().update_cluster(update(cluster, &[path])).await.expect_err(path);
        assert_eq!(reason(&refused), "FIELD_INVALID", "{path}");
        assert!(fields(&refused)[0].starts_with("update_mask"), "{path}: {refused:?}");
    }
}

#[tokio::test]
async fn a_stale_etag_is_refused_and_the_other_persons_words_stay() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    let seen = server.cluster(&ada.cluster_id).await;
    let mine = Cluster { title: "Mine".to_owned(), ..seen.clone() };
    let theirs = Cluster { title: "Theirs".to_owned(), ..seen };
    server.clusters().update_cluster(update(theirs, &["title"])).await.expect("they were first");
    let refused = server.clusters().update_cluster(update(mine.clone(), &["title"])).await.expect_err("it changed");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let cluster = server.cluster(&ada.cluster_id).await;
    assert_eq!(cluster.title, "Theirs");
    let mine = Cluster { etag: cluster.etag, ..mine };
    server.clusters().update_cluster(update(mine, &["title"])).await.expect("read again, decided again");
    assert_eq!(server.cluster(&ada.cluster_id).await.title, "Mine");
}

#[tokio::test]
async fn the_state_follows_from_what_is_true() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    let ben = server.submit(a_report().from("ben@example.org")).await;
    let state = async || server.cluster(&ada.cluster_id).await.state();
    assert_eq!(state().await, cluster::State::Open);
    server.link(&ada, "github:acme/app#12").await;
    assert_eq!(state().await, cluster::State::Linked);
    server.defect("github:acme/app#12", defect::State::FixMerged).await;
    server.run_until_idle().await;
    assert_eq!(state().await, cluster::State::FixMerged);
    let release = server.release(a_release("2.4.1").fixing("github:acme/app#12")).await;
    server.run_until_idle().await;
    assert_eq!(state().await, cluster::State::FixReleased, "Ben's version is unknown, so his loop is open");
    server.now_runs(&ben, "2.4.1").await;
    server.run_until_idle().await;
    assert_eq!(state().await, cluster::State::Resolved);
    server.yank(&release).await;
    server.run_until_idle().await;
    assert_eq!(state().await, cluster::State::FixMerged);
    server.unlink(&ada.cluster_id, "github:acme/app#12").await;
    server.run_until_idle().await;
    assert_eq!(state().await, cluster::State::Open);
}

#[tokio::test]
async fn clusters_are_listed_by_impact_filtered_and_without_merged_ones() {
    let server = Server::start().await;
    let texts = ["Export to PDF stops at page three", "Login shows a blank screen", "Battery drains overnight"];
    let mut clusters = Vec::new();
    for (number, text) in texts.iter().enumerate() {
        for reporter in 0..=number {
            let report = server.submit(a_report().from(&format!("c{reporter}@example.org")).saying(text)).await;
            clusters.push(report.cluster_id);
        }
    }
    clusters.dedup();
    assert_eq!(clusters.len(), 3);
    server.link_cluster(&clusters[1], "jira:APP-7").await;
    let defect = server.cluster(&clusters[1]).await.defect_ids.remove(0);
    let list = async |filter: &str, order_by: &str| -> Vec<String> {
        let request = ListClustersRequest {
            filter: filter.to_owned(),
            order_by: order_by.to_owned(),
            ..ListClustersRequest::default()
        };
        let page = server.clusters().list_clusters(request).await.expect("a page").into_inner();
        page.clusters.into_iter().map(|cluster| cluster.id).collect()
    };
    let reversed: Vec<String> = clusters.iter().rev().cloned().collect();
    assert_eq!(list("", "report_count desc").await, reversed);
    assert_eq!(list("", "create_time").await, clusters);
    assert_eq!(list("report_count >= 2", "").await, reversed[..2]);
    assert_eq!(list("state = LINKED", "").await, [clusters[1].clone()]);
    assert_eq!(list(&format!("defect_id = {defect}"), "").await, [clusters[1].clone()]);
    server.merge(&clusters[0], &clusters[2]).await;
    assert_eq!(list("", "create_time").await, clusters[1..]);
    assert_eq!(list("state = MERGED", "").await, [clusters[0].clone()]);
    for filter in ["title = x", "report_count > 1", "report_count >= many", "state = RED"] {
        let request = ListClustersRequest { filter: filter.to_owned(), ..Default::default() };
        let refused = server.clusters().list_clusters(request).await.expect_err(filter);
        assert_eq!(fields(&refused), ["filter"], "{filter}");
    }
}

#[tokio::test]
async fn steps_that_make_no_sense_are_refused_with_the_reason() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    let ben = server.submit(a_report().from("ben@example.org").saying("Login shows a blank screen")).await;
    let merge = |from: &str, into: &str| MergeClustersRequest {
        from_cluster_id: from.to_owned(),
        into_cluster_id: into.to_owned(),
        ..MergeClustersRequest::default()
    };
    let split = |cluster: &str, reports: &[&str]| SplitClusterRequest {
        cluster_id: cluster.to_owned(),
        report_ids: reports.iter().map(ToString::to_string).collect(),
        ..SplitClusterRequest::default()
    };
    let refused = server.clusters().merge_clusters(merge(&ada.cluster_id, &ada.cluster_id)).await.expect_err("itself");
    assert!(matches!(refused.code(), Code::InvalidArgument | Code::FailedPrecondition), "{refused:?}");
    let refused = server.clusters().split_cluster(split(&ada.cluster_id, &[])).await.expect_err("nothing");
    assert_eq!(fields(&refused), ["report_ids"]);
    let refused = server.clusters().split_cluster(split(&ada.cluster_id, &[&ada.id])).await.expect_err("everything");
    assert!(["STATE_FORBIDS", "FIELD_INVALID"].contains(&reason(&refused).as_str()), "{refused:?}");
    let refused = server.clusters().split_cluster(split(&ada.cluster_id, &[&ben.id])).await.expect_err("not in it");
    assert!(
        ["STATE_FORBIDS", "FIELD_INVALID", "RESOURCE_NOT_FOUND"].contains(&reason(&refused).as_str()),
        "{refused:?}"
    );
    server.merge(&ben.cluster_id, &ada.cluster_id).await;
    let refused = server.clusters().merge_clusters(merge(&ben.cluster_id, &ada.cluster_id)).await.expect_err("gone");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
    let link = LinkDefectRequest { cluster_id: ada.cluster_id, defect: "no colon".to_owned(), ..Default::default() };
    assert_eq!(fields(&server.clusters().link_defect(link).await.expect_err("no defect")), ["defect"]);
}

async fn search(server: &Server, query: &str, filter: &str) -> Vec<SearchedCluster> {
    let request = SearchClustersRequest { query: query.to_owned(), filter: filter.to_owned(), page_size: 0 };
    server.clusters().search_clusters(request).await.expect("an answer").into_inner().results
}

#[tokio::test]
async fn clusters_are_found_by_what_their_reports_say_at_once_and_wherever_they_went() {
    let server = Server::start().await;
    let export = server.submit(a_report().from("ada@example.org").saying("Export to PDF crashes with a logo")).await;
    let login = server.submit(a_report().from("ben@example.org").saying("Login refuses passwords with umlauts")).await;
    let photos =
        server.submit(a_report().from("cy@example.org").saying("Photos appear upside down after syncing")).await;
    for (query, expected) in [
        ("pdf export", &export),
        ("umlaut in my password", &login),
        ("my pictures are upside down since the sync", &photos),
    ] {
        let found = search(&server, query, "").await;
        let first = found.first().unwrap_or_else(|| panic!("{query} finds nothing"));
        assert_eq!(first.cluster.as_ref().map(|cluster| &cluster.id), Some(&expected.cluster_id), "{query}");
        assert_eq!(first.report_id, expected.id);
        assert!(found.iter().all(|found| (0.0..=1.0).contains(&found.score)), "{found:?}");
        assert!(found.is_sorted_by(|a, b| a.score >= b.score), "best first");
    }

    server.link(&export, "github:acme/app#1").await;
    let found = search(&server, "pdf export", "state = LINKED").await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(search(&server, "pdf export", "state = LINKED AND report_count >= 2").await, []);

    server.merge(&export.cluster_id, &login.cluster_id).await;
    let found = search(&server, "pdf export", "").await;
    let first = found.first().and_then(|found| found.cluster.as_ref()).expect("it is found");
    assert_eq!((&first.id, &found[0].report_id), (&login.cluster_id, &export.id), "where it went");
}

#[tokio::test]
async fn a_search_that_cannot_be_done_says_why() {
    let server = Server::start().await;
    let request = SearchClustersRequest { query: "  ".to_owned(), filter: "size = 3".to_owned(), page_size: -1 };
    let refused = server.clusters().search_clusters(request).await.expect_err("nothing is right");
    assert_eq!(fields(&refused), ["filter", "page_size", "query"]);
    assert_eq!(search(&server, "nobody has reported anything", "").await, []);
}
