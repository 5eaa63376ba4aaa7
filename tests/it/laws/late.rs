//! Law 11: a late reporter hears at once, and a report from a covered version is evidence, not an answer.

use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, days};

const DEFECT: &str = "github:acme/app#12";

async fn known_problem() -> (Server, Report) {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    let request = UpdateClusterRequest {
        cluster: Some(Cluster {
            id: ada.cluster_id.clone(),
            workaround: "Export in two halves.".to_owned(),
            ..Cluster::default()
        }),
        ..UpdateClusterRequest::default()
    };
    server.clusters().update_cluster(request).await.expect("a workaround");
    (server, ada)
}

#[tokio::test]
async fn law_11_the_answer_carries_the_known_problem_its_workaround_and_the_release_that_helps() {
    let (server, ada) = known_problem().await;
    let ben = server.submitted(a_report().from("ben@example.org").version("2.4.0")).await;
    let known = ben.known_problem.expect("it is known");
    assert_eq!(known.cluster_id, ada.cluster_id);
    assert_eq!(known.workaround, "Export in two halves.");
    assert_eq!((known.report_count, known.defect_ids.len()), (2, 1));
    assert_eq!(ben.fixed_in, None, "nothing is released");

    let release = server.release(a_release("2.4.1").fixing(DEFECT)).await;
    let cai = server.submitted(a_report().from("cai@example.org").version("2.4.0")).await;
    let fixed = cai.fixed_in.expect("it is fixed");
    assert_eq!((fixed.release_id.as_str(), fixed.version.as_str()), (release.id.as_str(), "2.4.1"));
    assert_eq!(fixed.verdict(), coverage::Verdict::UpgradeAvailable);
    assert!(!fixed.rule.is_empty());

    let dry = MatchReportRequest {
        report: Some(a_report().version("2.4.0").input),
        candidate_count: 3,
        ..Default::default()
    };
    let dry = server.reports().match_report(dry).await.expect("a match").into_inner();
    assert_eq!(dry.fixed_in.expect("it is fixed").version, "2.4.1");
    assert_eq!(dry.known_problem.expect("it is known").report_count, 3, "asking stores nothing");
}

#[tokio::test]
async fn law_11_fixed_in_is_not_said_to_whom_it_does_not_help() {
    let (server, _) = known_problem().await;
    server.release(a_release("2.4.1").fixing(DEFECT).platform("linux")).await;
    for (version, platform) in [("2.4.0", "amiga"), ("", "linux"), ("banana", "linux"), ("2.4.1", "linux")] {
        let answer = server.submitted(a_report().from("x@example.org").version(version).platform(platform)).await;
        assert_eq!(answer.fixed_in, None, "{version:?} on {platform}");
    }
}

#[tokio::test]
async fn law_11_a_report_from_a_covered_version_is_regression_evidence() {
    let (server, ada) = known_problem().await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    let ben = server.submitted(a_report().from("ben@example.org").version("2.4.1")).await;
    assert_eq!(ben.fixed_in, None);
    let ben = ben.report.expect("his report");
    server.after(days(1)).await;
    assert_eq!(server.mail_to("ben@example.org").len(), 0, "nobody tells him that it is fixed");
    assert_eq!(server.loop_of(&ben).await, "OPEN regression_reported");
    assert_eq!(server.cluster(&ada.cluster_id).await.state(), cluster::State::Regressed);
    // A release after his own helps him.
    server.release(a_release("2.4.2").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert_eq!(server.mail_to("ben@example.org").len(), 1);
    assert!(server.subjects("ben@example.org")[0].contains("2.4.2"));
}

#[tokio::test]
async fn law_11_a_backport_in_a_lower_line_hides_no_regression() {
    for [first, second] in [["2.3.7", "2.4.1"], ["2.4.1", "2.3.7"]] {
        let (server, ada) = known_problem().await;
        let of_line = |version: &str| a_release(version).line(&version[..3]);
        server.release(of_line("2.4.0")).await;
        server.release(of_line(first).fixing(DEFECT)).await;
        server.release(of_line(second).fixing(DEFECT)).await;
        server.run_until_idle().await;
        let ben = server.submitted(a_report().from("ben@example.org").version("2.4.2")).await;
        assert_eq!(ben.fixed_in, None, "2.4.1 did not help, and 2.3.7 is no way forward");
        let ben = ben.report.expect("his report");
        server.after(days(1)).await;
        assert_eq!(server.mail_to("ben@example.org").len(), 0);
        assert_eq!(server.loop_of(&ben).await, "OPEN regression_reported");
        assert_eq!(server.cluster(&ada.cluster_id).await.state(), cluster::State::Regressed);
        server.release(of_line("2.4.3").fixing(DEFECT)).await;
        server.run_until_idle().await;
        assert!(server.subjects("ben@example.org")[0].contains("2.4.3"));
    }
}

#[tokio::test]
async fn law_11_what_is_worth_asking_for_is_named() {
    let server = Server::start().await;
    let answer = server.submitted(a_report().customer("c-1").product("")).await;
    let mut missing = answer.missing_facts;
    missing.sort();
    assert_eq!(missing, ["contact_point", "platform", "product", "version"]);
    let answer = server.submitted(a_report().from("ada@example.org").version("1.0.0").platform("ios")).await;
    assert_eq!(answer.missing_facts, Vec::<String>::new());
}
