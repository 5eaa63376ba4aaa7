//! What `ReportService` promises beyond the laws.

use std::collections::BTreeSet;

use futures::StreamExt;
use tonic::Code;

use crate::support::proto::*;
use crate::support::{Server, a_report, fields, minutes, reason};

#[tokio::test]
async fn all_that_is_wrong_with_a_report_is_named_at_once() {
    let server = Server::start().await;
    let report = ReportInput {
        source: "Zendesk!".to_owned(),
        external_id: String::new(),
        reporter: Some(Reporter {
            display_name: "n".repeat(257),
            locale: "not a locale".to_owned(),
            time_zone: "Mars/Olympus".to_owned(),
            contact_points: vec![
                ContactPointInput { channel: 0, address: "x".to_owned() },
                ContactPointInput { channel: Channel::Email.into(), address: String::new() },
                ContactPointInput { channel: 99, address: "x".to_owned() },
                ContactPointInput { channel: Channel::Email.into(), address: "ada at example.org".to_owned() },
            ],
            ..Reporter::default()
        }),
        product: "nobody-recorded-it".to_owned(),
        version: "v".repeat(129),
        platform: "p".repeat(65),
        fingerprint: "f".repeat(257),
        labels: (0..33).map(|number| (format!("label-{number}"), String::new())).collect(),
        occurred_time: Some(prost_types::Timestamp { seconds: i64::MAX, nanos: 0 }),
        ..ReportInput::default()
    };
    let request = SubmitReportRequest { request_id: "seven".to_owned(), report: Some(report) };
    let refused = server.reports().submit_report(request).await.expect_err("much is wrong");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "FIELD_INVALID"));
    assert_eq!(
        fields(&refused),
        [
            "report.external_id",
            "report.fingerprint",
            "report.labels",
            "report.occurred_time",
            "report.platform",
            "report.product",
            "report.reporter.contact_points[0].channel",
            "report.reporter.contact_points[1].address",
            "report.reporter.contact_points[2].channel",
            "report.reporter.contact_points[3].address",
            "report.reporter.display_name",
            "report.reporter.locale",
            "report.reporter.time_zone",
            "report.source",
            "report.title",
            "report.version",
            "request_id",
        ]
    );
    assert_eq!(server.list_reports("").await, []);
}

#[tokio::test]
async fn a_report_is_kept_as_it_was_said() {
    let server = Server::start().await;
    let report = a_report()
        .from("ada@example.org")
        .customer("c-1")
        .named("Ada")
        .version("2.4.0")
        .platform("Windows")
        .fingerprint("crash-1")
        .body("  First line\n\n\tSecond line 👋  ")
        .with(|input| {
            input.region = "eu".to_owned();
            input.ring = "beta".to_owned();
            input.labels.insert("plan".to_owned(), "gold".to_owned());
        });
    let said = report.input.clone();
    let kept = server.submit(report).await;
    assert_eq!(server.report(&kept.id).await, kept);
    assert_eq!((&kept.source, &kept.external_id), (&said.source, &said.external_id));
    assert_eq!((&kept.title, &kept.body), (&said.title, &said.body));
    assert_eq!((&kept.version, &kept.fingerprint, &kept.labels), (&said.version, &said.fingerprint, &said.labels));
    assert_eq!((kept.region.as_str(), kept.ring.as_str()), ("eu", "beta"));
    assert_eq!(kept.platform, "windows", "compared without case");
    assert!(kept.product_id.starts_with("prd_") && kept.customer_id.starts_with("cus_"));
    let membership = kept.membership.expect("a place");
    assert_eq!((membership.origin(), membership.score), (membership::Origin::Matched, 1.0));
    let customer = server.customer(&kept.customer_id).await;
    assert_eq!((customer.external_id.as_str(), customer.display_name.as_str()), ("c-1", "Ada"));
    assert_eq!(customer.contact_points.len(), 1);
}

#[tokio::test]
async fn a_product_nobody_recorded_is_refused() {
    let server = Server::start().await;
    let refused = server.try_submit(a_report().from("ada@example.org").product("nothing")).await.expect_err("unknown");
    assert!(matches!(refused.code(), Code::NotFound | Code::InvalidArgument), "{refused:?}");
    assert!(["RESOURCE_NOT_FOUND", "FIELD_INVALID"].contains(&reason(&refused).as_str()));
}

#[tokio::test]
async fn a_customer_is_known_by_id_by_the_callers_id_or_by_an_address() {
    let server = Server::start().await;
    let first = server.submit(a_report().from("ada@example.org").customer("c-1")).await;
    let by_address = server.submit(a_report().from("ADA@Example.org")).await;
    let by_external_id = server.submit(a_report().customer("c-1")).await;
    let by_id = a_report().with(|input| {
        input.reporter = Some(Reporter { customer_id: first.customer_id.clone(), ..Reporter::default() });
    });
    let by_id = server.submit(by_id).await;
    for report in [by_address, by_external_id, by_id] {
        assert_eq!(report.customer_id, first.customer_id);
    }
    assert_eq!(server.cluster(&first.cluster_id).await.reporter_count, 1);
}

#[tokio::test]
async fn the_same_fingerprint_is_the_same_problem_whatever_the_words() {
    let server = Server::start().await;
    let first = server.submit(a_report().from("a@example.org").fingerprint("crash-1").saying("It crashed")).await;
    let second = server
        .submitted(a_report().from("b@example.org").fingerprint("crash-1").saying("Konnte nicht gespeichert werden"))
        .await;
    let placement = second.placement.expect("a placement");
    assert_eq!((placement.cluster_id.as_str(), placement.score), (first.cluster_id.as_str(), 1.0));
    assert_eq!(placement.signals[0].name, "fingerprint");
    let other = server.submit(a_report().from("c@example.org").fingerprint("crash-2").saying("Screen flickers")).await;
    assert_ne!(other.cluster_id, first.cluster_id);
}

#[tokio::test]
async fn reports_of_different_products_are_never_one_problem() {
    let server = Server::start().await;
    server.product("web", "Acme Web").await;
    let app = server.submit(a_report().from("a@example.org")).await;
    let web = server.submit(a_report().from("b@example.org").product("web")).await;
    assert_ne!(app.cluster_id, web.cluster_id);
}

#[tokio::test]
async fn asking_whether_it_is_known_stores_nothing() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    let before = server.history("").await.len();
    let input = ReportInput { reporter: None, external_id: String::new(), source: String::new(), ..a_report().input };
    let request = MatchReportRequest { report: Some(input), candidate_count: 5, ..Default::default() };
    let answer = server.reports().match_report(request).await.expect("an answer").into_inner();
    let placement = answer.placement.expect("a placement");
    assert_eq!(
        (placement.decision(), placement.cluster_id.as_str()),
        (placement::Decision::Attach, ada.cluster_id.as_str())
    );
    assert_eq!(answer.candidates[0].cluster_id, ada.cluster_id);
    assert_eq!(answer.candidates[0].report_id, ada.id);
    assert_eq!(server.list_reports("").await.len(), 1);
    assert_eq!(server.history("").await.len(), before + 1, "the mark of the reading before");
}

#[tokio::test]
async fn a_stream_answers_each_report_in_order_and_a_refusal_does_not_end_it() {
    let server = Server::start().await;
    let requests: Vec<_> = (0..50)
        .map(|number| {
            let report = a_report().from(&format!("c{number}@example.org"));
            let report = if number % 10 == 3 { report.reference("") } else { report };
            StreamReportsRequest { client_token: number.to_string(), report: Some(report.input) }
        })
        .collect();
    let mut answers =
        server.reports().stream_reports(futures::stream::iter(requests)).await.expect("a stream").into_inner();
    for number in 0..50 {
        let answer = answers.message().await.expect("an answer").expect("one for each");
        assert_eq!(answer.client_token, number.to_string());
        match answer.result.expect("a result") {
            stream_reports_response::Result::Accepted(accepted) => {
                assert!(number % 10 != 3 && accepted.report.is_some())
            }
            stream_reports_response::Result::Refused(refused) => {
                assert_eq!(number % 10, 3);
                assert_eq!((refused.code, refused.reason.as_str()), (Code::InvalidArgument as i32, "FIELD_INVALID"));
                assert_eq!(refused.field_violations[0].field, "report.external_id");
            }
        }
    }
    assert!(answers.message().await.expect("the end").is_none());
    assert_eq!(server.list_reports("").await.len(), 45);
}

#[tokio::test]
async fn a_streams_reports_are_taken_in_in_the_order_in_which_they_were_sent() {
    let server = Server::start().await;
    // Long texts take longer to read, and of the first reports the product has to be looked up.
    let sent: Vec<String> = (0..60).map(|number| format!("S-{number}")).collect();
    let long = "The export of a long document stops after its third page. ".repeat(800);
    let requests: Vec<_> = sent
        .iter()
        .enumerate()
        .map(|(number, reference)| {
            let report = a_report().from("ada@example.org").reference(reference);
            let report = if number % 3 == 0 { report.body(&long) } else { report };
            StreamReportsRequest { client_token: String::new(), report: Some(report.input) }
        })
        .collect();
    let answers = server.reports().stream_reports(futures::stream::iter(requests)).await.expect("a stream");
    let answers: Vec<_> = answers.into_inner().collect().await;
    assert!(answers.len() == sent.len() && answers.iter().all(Result::is_ok));
    let request =
        ListReportsRequest { page_size: 500, order_by: "create_time".to_owned(), ..ListReportsRequest::default() };
    let stored = server.reports().list_reports(request).await.expect("a page").into_inner().reports;
    let stored: Vec<String> = stored.into_iter().map(|report| report.external_id).collect();
    assert_eq!(stored, sent);
}

#[tokio::test]
async fn pages_hold_each_report_once_while_others_are_submitted() {
    let server = Server::start().await;
    let mut first = BTreeSet::new();
    for _ in 0..12 {
        first.insert(server.submit(a_report().from("ada@example.org")).await.id);
        server.clock.advance(minutes(1));
    }
    for order_by in ["", "create_time", "create_time desc"] {
        let (mut seen, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListReportsRequest {
                page_size: 5,
                page_token,
                order_by: order_by.to_owned(),
                ..ListReportsRequest::default()
            };
            let page = server.reports().list_reports(request).await.expect("a page").into_inner();
            assert!(page.reports.len() <= 5);
            seen.extend(page.reports.into_iter().map(|report| report.id));
            page_token = page.next_page_token;
            if page_token.is_empty() || seen.len() > 100 {
                break;
            }
            if order_by != "create_time" {
                server.submit(a_report().from("ben@example.org")).await;
            }
        }
        let distinct: BTreeSet<_> = seen.iter().cloned().collect();
        assert_eq!(distinct.len(), seen.len(), "{order_by}: each once");
        assert!(distinct.is_superset(&first), "{order_by}: none left out");
    }
}

#[tokio::test]
async fn lists_are_filtered_and_what_cannot_be_is_explained() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org").reference("A 1")).await;
    let ben = server.submit(a_report().from("ben@example.org").saying("Login shows a blank screen")).await;
    for (filter, expected) in [
        (format!("cluster_id = {}", ada.cluster_id), vec![&ada.id]),
        (format!("customer_id = {}", ben.customer_id), vec![&ben.id]),
        (format!("product_id = {}", ada.product_id), vec![&ben.id, &ada.id]),
        ("source = zendesk AND external_id = \"A 1\"".to_owned(), vec![&ada.id]),
        ("loop_state = TOLD".to_owned(), vec![]),
        ("loop_state = OPEN AND loop_reason = no_defect_linked".to_owned(), vec![&ben.id, &ada.id]),
    ] {
        let found = server.list_reports(&filter).await;
        let ids: Vec<_> = found.iter().map(|report| &report.id).collect();
        assert_eq!(ids, expected, "{filter}");
    }
    for filter in [
        "colour = red",
        "loop_state = PURPLE",
        "cluster_id > clu_1",
        "cluster_id = rep_1",
        "source =",
        "source = a OR source = b",
    ] {
        let request = ListReportsRequest { filter: filter.to_owned(), ..Default::default() };
        let refused = server.reports().list_reports(request).await.expect_err(filter);
        assert_eq!(
            (reason(&refused).as_str(), fields(&refused)),
            ("FIELD_INVALID", vec!["filter".to_owned()]),
            "{filter}"
        );
    }
    let order = ListReportsRequest { order_by: "title".to_owned(), ..Default::default() };
    assert_eq!(fields(&server.reports().list_reports(order).await.expect_err("unknown")), ["order_by"]);
    let size = ListReportsRequest { page_size: -1, ..Default::default() };
    assert_eq!(fields(&server.reports().list_reports(size).await.expect_err("negative")), ["page_size"]);
    let token = ListReportsRequest { page_token: "garbage".to_owned(), ..Default::default() };
    assert_eq!(fields(&server.reports().list_reports(token).await.expect_err("garbage")), ["page_token"]);
}

#[tokio::test]
async fn a_page_token_belongs_to_its_filter() {
    let server = Server::start().await;
    for _ in 0..3 {
        server.submit(a_report().from("ada@example.org")).await;
    }
    let request = ListReportsRequest { page_size: 1, ..Default::default() };
    let page = server.reports().list_reports(request.clone()).await.expect("a page").into_inner();
    let request =
        ListReportsRequest { page_token: page.next_page_token, filter: "source = zendesk".to_owned(), ..request };
    let refused = server.reports().list_reports(request).await.expect_err("another filter");
    assert_eq!(fields(&refused), ["page_token"]);
}

#[tokio::test]
async fn ids_of_another_kind_are_refused_with_the_form_they_should_have() {
    let server = Server::start().await;
    for id in ["", "clu_00000000000000000000000000000000", "rep_", "rep_zz", "00000000-0000-0000-0000-000000000000"] {
        let request = GetReportRequest { report_id: id.to_owned() };
        let refused = server.reports().get_report(request).await.expect_err("no report's id");
        assert_eq!(fields(&refused), ["report_id"], "{id:?}");
    }
}

#[tokio::test]
async fn who_reports_again_is_put_where_they_reported_more_readily() {
    // The same two reports, once by two customers and once by one.
    let place = async |second: &str| {
        let server = Server::start().await;
        server.submit(a_report().from("ada@example.org").saying("I cannot export my report as PDF")).await;
        let second = a_report().from(second).saying("exporting a PDF fails for my report");
        server.submitted(second).await.placement.expect("a placement")
    };
    let (of_another, of_theirs) = (place("grace@example.org").await, place("ada@example.org").await);
    let is_said = |placement: &Placement| placement.signals.iter().any(|signal| signal.name == "same_reporter");
    assert!(!is_said(&of_another) && is_said(&of_theirs));
    assert!(of_theirs.score > of_another.score, "{} {}", of_theirs.score, of_another.score);
}
