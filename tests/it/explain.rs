//! What `ExplainReport` promises: why a report is where it is, told as it was when the report came.

use std::process::Stdio;

use tokio::process::Command;

use crate::support::builders::ReportBuilder;
use crate::support::proto::membership::Origin;
use crate::support::proto::placement::Decision;
use crate::support::proto::*;
use crate::support::{Server, a_report, fields, reason};

const LOGO: &str = "The export to PDF crashes when an invoice has a logo";
const LOGO_TOO: &str = "When there is a logo on an invoice, PDF export crashes";

fn said(from: &str, text: &str) -> ReportBuilder {
    a_report().from(from).saying(text)
}

/// What was decided when the report came, and by what.
fn then(why: &ExplainReportResponse) -> (Placement, PlacementGrounds) {
    (why.placement.clone().expect("a placement"), why.grounds.clone().expect("its grounds"))
}

/// A placement without the last digit of its weights.
fn in_short(placement: &Placement) -> (i32, &String, f64, Vec<(&String, &String)>) {
    let signals = placement.signals.iter().map(|signal| (&signal.name, &signal.detail)).collect();
    (placement.decision, &placement.cluster_id, placement.score, signals)
}

#[tokio::test]
async fn an_attached_report_names_its_score_the_thresholds_the_reasons_and_the_report_that_decided() {
    let server = Server::start().await;
    let ada = server.submit(said("ada@example.org", LOGO)).await;
    let answer = server.submitted(said("ben@example.org", LOGO_TOO)).await;
    let ben = answer.report.expect("the report");
    assert_eq!(ben.cluster_id, ada.cluster_id);
    let why = server.explain(&ben).await;
    let (placement, grounds) = then(&why);
    assert_eq!(in_short(&placement), in_short(&answer.placement.expect("a placement")), "as it was answered");
    assert_eq!(placement.decision(), Decision::Attach);
    let sum: f64 = placement.signals.iter().map(|signal| signal.weight).sum();
    assert!(placement.signals.len() > 1 && (sum - placement.score).abs() < 0.01, "the reasons add up: {placement:?}");
    assert!(placement.signals.iter().all(|signal| !signal.detail.is_empty()), "each says something: {placement:?}");
    assert!(grounds.matcher_version > 0);
    assert!((0.15..=placement.score).contains(&grounds.attach_threshold), "{grounds:?}");
    assert!(grounds.suggest_threshold < grounds.attach_threshold);
    let decided = &grounds.nearest[0];
    assert_eq!((&decided.report_id, &decided.cluster_id), (&ada.id, &ada.cluster_id));
    assert!((decided.score - placement.score).abs() < 1e-9 && decided.title == LOGO, "{decided:?}");
    let now = why.membership.expect("a place");
    assert_eq!((why.cluster_id, now.origin(), why.operation_id.as_str()), (ada.cluster_id, Origin::Matched, ""));
    assert_eq!(why.create_time, ben.create_time);
}

#[tokio::test]
async fn a_report_like_no_other_and_one_that_a_person_is_asked_about_say_so() {
    let server = Server::start().await;
    let ada = server.submit(said("ada@example.org", LOGO)).await;
    let (placement, grounds) = then(&server.explain(&ada).await);
    assert_eq!((placement.decision(), placement.score, grounds.nearest.len()), (Decision::New, 0.0, 0));
    assert!(grounds.attach_threshold > 0.5 && grounds.matcher_version > 0, "{grounds:?}");
    let ben = server.submit(said("ben@example.org", LOGO_TOO).product("")).await;
    let (placement, grounds) = then(&server.explain(&ben).await);
    assert_eq!((placement.decision(), &placement.suggested_cluster_id), (Decision::Suggest, &ada.cluster_id));
    assert_eq!(grounds.nearest[0].cluster_id, ada.cluster_id);
    assert!(placement.signals.iter().any(|signal| signal.name == "product_unknown"), "{placement:?}");
    let cai = server.submit(said("cai@example.org", LOGO)).await;
    let (placement, grounds) = then(&server.explain(&cai).await);
    assert_eq!((placement.signals[0].name.as_str(), placement.score), ("exact_text", 1.0));
    assert_eq!(grounds.nearest[0].report_id, ada.id);
}

#[tokio::test]
async fn rivals_are_named_best_first() {
    let server = Server::start().await;
    server.policy(Policy { attach_precision: 0.999, ..Policy::default() }, &["attach_precision"]).await;
    let ada = server.submit(said("ada@example.org", LOGO)).await;
    let ben = server.submit(said("ben@example.org", LOGO_TOO)).await;
    assert_ne!(ada.cluster_id, ben.cluster_id);
    let cai = server.submit(said("cai@example.org", "PDF export crashes because of the logo on my invoice")).await;
    let (_, grounds) = then(&server.explain(&cai).await);
    let clusters: Vec<&String> = grounds.nearest.iter().map(|near| &near.cluster_id).collect();
    assert!(clusters.len() == 2 && clusters.contains(&&ada.cluster_id) && clusters.contains(&&ben.cluster_id));
    assert!(grounds.nearest[0].score >= grounds.nearest[1].score, "{grounds:?}");
}

#[tokio::test]
async fn what_was_decided_stays_as_it_was_whatever_people_and_policies_do_later() {
    let server = Server::start().await;
    let ada = server.submit(said("ada@example.org", LOGO)).await;
    let ben = server.submit(said("ben@example.org", LOGO_TOO)).await;
    let before = server.explain(&ben).await;
    server.policy(Policy { attach_precision: 0.999, ..Policy::default() }, &["attach_precision"]).await;
    let moved = server.move_report(&ben, "").await;
    let step = moved.operation.expect("a step");
    let server = server.crash().await;
    let why = server.explain(&ben).await;
    assert_eq!(then(&why), then(&before));
    assert_ne!(why.cluster_id, ada.cluster_id);
    let now = why.membership.expect("a place");
    assert_eq!((now.origin(), now.reason.as_str()), (Origin::Human, "it belongs there"));
    assert!(now.actor.starts_with("key_") && why.operation_id == step.id);
    server.undo(&step).await;
    assert_eq!(server.explain(&ben).await.cluster_id, ada.cluster_id);
}

#[tokio::test]
async fn what_is_no_report_s_id_is_refused() {
    let server = Server::start().await;
    let request = ExplainReportRequest { report_id: "clu_1".to_owned() };
    let refused = server.reports().explain_report(request).await.expect_err("no report's id");
    assert_eq!((reason(&refused).as_str(), fields(&refused)), ("FIELD_INVALID", vec!["report_id".to_owned()]));
}

#[tokio::test]
async fn the_command_line_explains_it_to_people_and_programs() {
    let server = Server::start().await;
    let ada = server.submit(said("ada@example.org", LOGO)).await;
    let ben = server.submit(said("ben@example.org", LOGO_TOO)).await;
    let explained = async |flags: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hearback"));
        command.args(["report", "explain", &ben.id]).args(flags).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.env("HEARBACK_ADDRESS", server.grpc_url()).env("HEARBACK_API_KEY", server.key());
        let output = command.output().await.expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let words = explained(&[]).await;
    for part in ["ATTACH", "by the matcher", "WEIGHT", ada.id.as_str(), ada.cluster_id.as_str(), LOGO] {
        assert!(words.contains(part), "{part}: {words}");
    }
    let json = explained(&["--output", "json"]).await;
    assert!(json.contains("\"matcher_version\"") && json.contains(&ada.id), "{json}");
}
