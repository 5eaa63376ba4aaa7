//! One story, from a report to the mail that answers it, and on: a late upgrade, a release withdrawn, a correction, and
//! the fix told again. Everything else in these tests is one of its steps, looked at closely.

use crate::support::proto::*;
use crate::support::{Server, a_release, a_report, days};

#[tokio::test]
async fn a_reporter_hears_back_when_it_is_fixed_for_them_and_again_when_that_changes() {
    let server = Server::start().await;

    // Ada reports a problem. Nobody has reported it before.
    let ada = server.submitted(a_report().named("Ada").from("ada@example.org").version("2.4.0").reference("T-1")).await;
    assert_eq!(ada.placement.expect("a placement").decision(), placement::Decision::New);
    assert_eq!(ada.known_problem, None);
    let ada = ada.report.expect("her report");

    // Ben reports the same in his own words, from an older version; the answer says that it is known.
    let ben = server
        .submitted(
            a_report()
                .named("Ben")
                .from("ben@example.org")
                .version("1.9.0")
                .saying("PDF export stops at page three")
                .body("Exporting a long document to PDF: the file ends after the third page."),
        )
        .await;
    assert_eq!(ben.known_problem.expect("it is known").cluster_id, ada.cluster_id);
    assert_eq!(ben.report.expect("his report").cluster_id, ada.cluster_id);

    // Cai's version nobody knows.
    let cai = server.submit(a_report().named("Cai").from("cai@example.org")).await;
    assert_eq!(cai.cluster_id, ada.cluster_id);
    assert_eq!(server.cluster(&ada.cluster_id).await.report_count, 3);

    // Engineering links a defect and closes it. That ships nothing, so it tells nobody.
    server.link(&ada, "github:acme/app#12").await;
    server.defect("github:acme/app#12", defect::State::Closed).await;
    server.after(days(3)).await;
    assert_eq!(server.mailbox.all().len(), 0);
    assert_eq!(server.loop_of(&ada).await, "OPEN waiting_for_release");

    // The fix is released. Ada and Ben can have it by updating, and are told so; of Cai we know too little.
    let release = server.release(a_release("2.4.1").fixing("github:acme/app#12")).await;
    server.run_until_idle().await;
    let mails = server.mail_to("ada@example.org");
    assert_eq!(mails.len(), 1);
    assert_eq!(mails[0].subject(), "Fixed in Acme App 2.4.1: \"Export to PDF stops at page three\"");
    assert!(mails[0].text.starts_with("Hello Ada,"), "{}", mails[0].text);
    assert!(mails[0].text.contains("Please update to Acme App 2.4.1"), "{}", mails[0].text);
    assert!(mails[0].text.contains("(reference T-1 at zendesk, 1 June 2026)"), "{}", mails[0].text);
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
    assert_eq!(server.subjects("ben@example.org").len(), 1);
    assert_eq!(server.subjects("cai@example.org").len(), 0);
    assert_eq!(server.loop_of(&cai).await, "OPEN coverage_unknown");

    // Weeks later Cai's app says what it is: one version behind. Now it is true for Cai too.
    server.after(days(40)).await;
    server.now_runs(&cai, "2.4.0").await;
    server.run_until_idle().await;
    assert_eq!(server.subjects("cai@example.org").len(), 1);
    assert_eq!(server.loop_of(&cai).await, "TOLD told");

    // Dee reports it from the old version, late, and hears at once which release helps.
    let dee = server.submitted(a_report().named("Dee").from("dee@example.org").version("2.4.0")).await;
    assert_eq!(dee.fixed_in.expect("it is fixed").version, "2.4.1");

    // 2.4.1 is withdrawn. Exactly those who were told are corrected, Dee among them if she was.
    server.run_until_idle().await;
    server.yank(&release).await;
    server.run_until_idle().await;
    for customer in ["ada", "ben", "cai", "dee"] {
        let subjects = server.subjects(&format!("{customer}@example.org"));
        assert_eq!(subjects.len(), 2, "{customer}: {subjects:?}");
        assert!(subjects[1].starts_with("Correction:"), "{customer}: {subjects:?}");
    }
    assert_eq!(server.loop_of(&ada).await, "OPEN waiting_for_release");

    // 2.4.2 fixes it again, and everybody is told again: once.
    server.release(a_release("2.4.2").fixing("github:acme/app#12")).await;
    server.run_until_idle().await;
    server.after(days(7)).await;
    for customer in ["ada", "ben", "cai", "dee"] {
        let mails = server.mail_to(&format!("{customer}@example.org"));
        assert_eq!(mails.len(), 3, "{customer}");
        assert!(mails[2].subject().starts_with("Fixed in Acme App 2.4.2:"), "{customer}: {}", mails[2].subject());
        assert!(mails[2].text.contains("Earlier we named Acme App 2.4.1 to you"), "{customer}: {}", mails[2].text);
    }
    let cluster = server.cluster(&ada.cluster_id).await;
    assert_eq!(cluster.state(), cluster::State::Resolved);

    // The history of Ada's report reads as it happened.
    let entries = server
        .customers()
        .get_timeline(GetTimelineRequest { customer_id: ada.customer_id.clone(), ..GetTimelineRequest::default() })
        .await
        .expect("her timeline")
        .into_inner()
        .entries;
    let told = entries.iter().filter(|entry| entry.r#type == "delivery.finished").count();
    assert_eq!(told, 3, "{entries:?}");
    assert!(entries.is_sorted_by_key(|entry| entry.time.map(|time| (time.seconds, time.nanos))), "{entries:?}");
}
