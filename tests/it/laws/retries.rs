//! Law 2: retries are harmless.

use prost::Message;
use tonic::Code;

use crate::support::api::Api;
use crate::support::proto::*;
use crate::support::raw::Answer;
use crate::support::{Server, a_release, a_report, fields, reason, request_id};

#[tokio::test]
async fn law_2_the_same_report_again_gets_the_same_answer_marked_replayed() {
    let server = Server::start().await;
    let report = a_report().from("ada@example.org").version("2.4.0");
    let first = server.submitted(report.clone()).await;
    assert!(!first.replayed);
    let second = server.submitted(report.clone()).await;
    assert!(second.replayed);
    assert_eq!(second.report, first.report);
    assert_eq!(second.placement.expect("a placement").cluster_id, first.placement.expect("a placement").cluster_id);
    assert_eq!(server.list_reports("").await.len(), 1);
    let sequence = server.history("").await.len();
    server.submitted(report).await;
    let types: Vec<String> =
        server.history("").await.into_iter().skip(sequence).map(|(_, event)| event.r#type).collect();
    assert_eq!(types, ["product.created"], "only the mark that ended the first reading");
}

#[tokio::test]
async fn law_2_the_same_reference_with_other_words_is_refused_and_the_fields_named() {
    let server = Server::start().await;
    let report = a_report().from("ada@example.org").version("2.4.0");
    let first = server.submit(report.clone()).await;
    let other = report.clone().version("2.4.1").body("Something else entirely.");
    let refused = server.try_submit(other).await.expect_err("another body");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED"));
    assert_eq!(fields(&refused), ["report.body", "report.version"]);
    assert_eq!(server.report(&first.id).await, first);
}

#[tokio::test]
async fn law_2_a_request_id_used_for_another_report_is_refused() {
    let server = Server::start().await;
    let id = request_id();
    let report = a_report().from("ada@example.org").request_id(&id);
    let first = server.submitted(report.clone()).await;
    let second = server.submitted(report).await;
    assert!(second.replayed);
    assert_eq!(second.report, first.report);
    let other = a_report().from("ada@example.org").request_id(&id).saying("Another problem");
    let refused = server.try_submit(other).await.expect_err("another body");
    assert_eq!(reason(&refused), "IDEMPOTENCY_KEY_REUSED");
    assert!(fields(&refused).contains(&"report.title".to_owned()), "{:?}", fields(&refused));
    assert_eq!(server.list_reports("").await.len(), 1);
}

#[tokio::test]
async fn law_2_a_retry_after_a_restart_gets_the_first_answer() {
    let server = Server::start().await;
    let report = a_report().from("ada@example.org");
    let release = a_release("2.4.1").fixing("github:acme/app#12").request_id(&request_id());
    let first = server.submitted(report.clone()).await;
    let released = server.release(release.clone()).await;
    let server = server.restart().await;
    let again = server.submitted(report).await;
    assert!(again.replayed);
    assert_eq!(again.report, first.report);
    let again = server.releases().record_release(release.request).await.expect("the same answer").into_inner();
    assert!(again.replayed);
    assert_eq!(again.release.expect("the release").id, released.id);
}

#[tokio::test]
async fn law_2_a_retry_on_the_stream_is_marked_replayed() {
    let server = Server::start().await;
    let report = a_report().from("ada@example.org").input;
    let request = StreamReportsRequest { client_token: "one".to_owned(), report: Some(report) };
    let requests = futures::stream::iter([request.clone(), request]);
    let mut answers = server.reports().stream_reports(requests).await.expect("a stream").into_inner();
    let mut replayed = Vec::new();
    while let Some(answer) = answers.message().await.expect("an answer") {
        assert_eq!(answer.client_token, "one");
        match answer.result.expect("a result") {
            stream_reports_response::Result::Accepted(accepted) => replayed.push(accepted.replayed),
            stream_reports_response::Result::Refused(refused) => panic!("{refused:?}"),
        }
    }
    // They were under way at once, so either may have been first.
    replayed.sort_unstable();
    assert_eq!(replayed, [false, true]);
}

/// What the generated check below sends: for every method with a `request_id`, a request that changes something and the
/// field in which another request differs.
async fn mutations(server: &Server) -> Vec<(&'static str, Vec<u8>, Option<(Vec<u8>, &'static str)>)> {
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    let bea = server.submit(a_report().from("bea@example.org").version("2.4.0")).await;
    let cai = server.submit(a_report().from("cai@example.org").version("2.4.0")).await;
    let gus = server.submit(a_report().from("gus@example.org").version("2.4.0")).await;
    let other = server.submit(a_report().from("dee@example.org").saying("Login page shows a blank screen")).await;
    let third = server.submit(a_report().from("dee@example.org").saying("Printer smells of burnt coffee")).await;
    server.link(&third, "github:acme/app#1").await;
    let moved = server.move_report(&cai, "").await.operation.expect("a step");
    server.submit(a_report().from("hal@example.org").product("")).await;
    let suggestion = server.list_suggestions("").await.remove(0);
    let release = server.release(a_release("3.0.0")).await;
    let doomed = server.release(a_release("3.0.1")).await;
    let deployment = server.deploy(&release, 50).await;
    let (key_id, _) = server.create_key(&["reports.read"]).await;
    let policy = Policy { approval_threshold: Some(0), ..Policy::default() };
    server.policy(policy, &["approval_threshold"]).await;
    let stopped =
        server.submit(a_report().from("eve@example.org").version("1.0.0").saying("Fan is loud at night")).await;
    let approved =
        server.submit(a_report().from("fay@example.org").version("1.0.0").saying("Map tiles stay grey")).await;
    server.link(&stopped, "github:acme/app#2").await;
    server.link(&approved, "github:acme/app#3").await;
    server.release(a_release("1.0.1").fixing("github:acme/app#2").fixing("github:acme/app#3")).await;
    server.run_until_idle().await;
    let announcement_of =
        async |cluster: &str| server.list_announcements(&format!("cluster_id = {cluster}")).await.remove(0);
    let (stopped, approved) = (announcement_of(&stopped.cluster_id).await, announcement_of(&approved.cluster_id).await);

    macro_rules! call {
        ($path:literal, $request:expr, $field:ident = $other:expr) => {{
            let mut request = $request;
            request.request_id = request_id();
            let first = request.encode_to_vec();
            request.$field = $other;
            (concat!("hearback.v1.", $path), first, Some((request.encode_to_vec(), stringify!($field))))
        }};
    }
    let text = ToString::to_string;
    vec![
        call!(
            "ClusterService/UndoOperation",
            UndoOperationRequest { operation_id: moved.id.clone(), ..Default::default() },
            operation_id = text(&"opr_00000000000000000000000000000000")
        ),
        call!(
            "ClusterService/ResolveSuggestion",
            ResolveSuggestionRequest {
                suggestion_id: suggestion.id,
                answer: resolve_suggestion_request::Answer::Reject.into(),
                ..Default::default()
            },
            reason = text(&"another problem")
        ),
        call!(
            "ClusterService/UpdateCluster",
            UpdateClusterRequest {
                cluster: Some(Cluster { id: ada.cluster_id.clone(), title: text(&"Exports"), ..Default::default() }),
                ..Default::default()
            },
            cluster = Some(Cluster { id: ada.cluster_id.clone(), title: text(&"Other"), ..Default::default() })
        ),
        call!(
            "ClusterService/SplitCluster",
            SplitClusterRequest {
                cluster_id: ada.cluster_id.clone(),
                report_ids: vec![gus.id.clone()],
                ..Default::default()
            },
            title = text(&"another")
        ),
        call!(
            "ReportService/MoveReport",
            MoveReportRequest { report_id: bea.id.clone(), ..Default::default() },
            reason = text(&"why not")
        ),
        call!(
            "ClusterService/MergeClusters",
            MergeClustersRequest {
                from_cluster_id: other.cluster_id.clone(),
                into_cluster_id: ada.cluster_id.clone(),
                ..Default::default()
            },
            reason = text(&"another")
        ),
        call!(
            "ClusterService/LinkDefect",
            LinkDefectRequest { cluster_id: ada.cluster_id.clone(), defect: text(&"jira:APP-7"), ..Default::default() },
            defect = text(&"jira:APP-8")
        ),
        call!(
            "ClusterService/UnlinkDefect",
            UnlinkDefectRequest {
                cluster_id: third.cluster_id.clone(),
                defect: text(&"github:acme/app#1"),
                ..Default::default()
            },
            defect = text(&"jira:APP-8")
        ),
        call!(
            "DefectService/UpsertDefect",
            UpsertDefectRequest { tracker: text(&"jira"), key: text(&"APP-9"), ..Default::default() },
            title = text(&"another")
        ),
        call!(
            "ReleaseService/RecordRelease",
            RecordReleaseRequest { product: text(&"app"), version: text(&"5.0.0"), ..Default::default() },
            version = text(&"5.0.1")
        ),
        call!(
            "ReleaseService/YankRelease",
            YankReleaseRequest { release_id: doomed.id.clone(), ..Default::default() },
            reason = text(&"another")
        ),
        call!(
            "ReleaseService/RecordDeployment",
            RecordDeploymentRequest { release_id: release.id.clone(), percent: Some(60), ..Default::default() },
            percent = Some(70)
        ),
        call!(
            "ReleaseService/RollBackDeployment",
            RollBackDeploymentRequest { deployment_id: deployment.id.clone(), ..Default::default() },
            reason = text(&"another")
        ),
        call!(
            "CustomerService/UpsertCustomer",
            UpsertCustomerRequest { external_id: text(&"c-9"), display_name: text(&"Nine"), ..Default::default() },
            display_name = text(&"Ten")
        ),
        call!(
            "CustomerService/RecordInstallation",
            RecordInstallationRequest {
                customer_id: ada.customer_id.clone(),
                product: text(&"app"),
                version: text(&"2.4.1"),
                ..Default::default()
            },
            version = text(&"2.4.2")
        ),
        call!(
            "CustomerService/UpdatePreferences",
            UpdatePreferencesRequest {
                customer_id: ada.customer_id.clone(),
                opted_out: Some(true),
                ..Default::default()
            },
            opted_out = Some(false)
        ),
        call!(
            "AnnouncementService/ApproveAnnouncement",
            ApproveAnnouncementRequest {
                announcement_id: approved.id.clone(),
                plan_digest: approved.plan_digest.clone(),
                ..Default::default()
            },
            plan_digest = text(&"another")
        ),
        call!(
            "AnnouncementService/CancelAnnouncement",
            CancelAnnouncementRequest { announcement_id: stopped.id.clone(), ..Default::default() },
            reason = text(&"another")
        ),
        call!(
            "AdminService/CreateTenant",
            CreateTenantRequest { display_name: text(&"New"), ..Default::default() },
            display_name = text(&"Newer")
        ),
        call!(
            "AdminService/CreateApiKey",
            CreateApiKeyRequest { display_name: text(&"k"), scopes: vec![text(&"reports.read")], ..Default::default() },
            display_name = text(&"l")
        ),
        call!(
            "AdminService/RevokeApiKey",
            RevokeApiKeyRequest { api_key_id: key_id, ..Default::default() },
            api_key_id = text(&"key_00000000000000000000000000000000")
        ),
        call!(
            "AdminService/UpsertProduct",
            UpsertProductRequest { key: text(&"new"), ..Default::default() },
            key = text(&"newer")
        ),
        (
            "hearback.v1.AdminService/RotateWebhookSecret",
            RotateWebhookSecretRequest { request_id: request_id() }.encode_to_vec(),
            None, // There is nothing else in it that could differ.
        ),
        (
            "hearback.v1.AdminService/ResetCalibration",
            ResetCalibrationRequest { request_id: request_id() }.encode_to_vec(),
            None,
        ),
        call!(
            "AdminService/UpdatePolicy",
            UpdatePolicyRequest {
                policy: Some(Policy { acknowledge: true, ..Default::default() }),
                update_mask: Some(crate::support::caller::paths(&["acknowledge"])),
                ..Default::default()
            },
            policy = Some(Policy::default())
        ),
    ]
}

#[tokio::test]
async fn law_2_every_mutation_is_done_once_under_one_request_id() {
    let server = Server::start().await;
    let api = Api::read();
    let calls = mutations(&server).await;

    let mut known: Vec<&str> =
        calls.iter().map(|(path, ..)| *path).chain(["hearback.v1.ReportService/SubmitReport"]).collect();
    let mut wanted: Vec<&str> = api
        .methods
        .iter()
        .filter(|method| api.has_field(&method.input, "request_id"))
        .map(|method| method.path.as_str())
        .collect();
    known.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(known, wanted, "every method with a request_id is tried here; reports have tests of their own above");

    let replayed = |path: &str, answer: Answer| {
        let Answer::Message(bytes) = answer else { panic!("{path}: {answer:?}") };
        api.flag(&api.method(path).output, "replayed", &bytes)
    };
    for (path, first, ..) in &calls {
        let answer = server.raw(path, first.clone()).await.unwrap_or_else(|status| panic!("{path}: {status:?}"));
        assert!(!replayed(path, answer), "{path} is new");
    }
    let (token, _) = server.history("").await.pop().expect("a history");
    for (path, first, other) in &calls {
        let answer = server.raw(path, first.clone()).await.unwrap_or_else(|status| panic!("{path} again: {status:?}"));
        assert!(replayed(path, answer), "{path} was done before");
        let Some((second, field)) = other else { continue };
        let refused = server.raw(path, second.clone()).await.expect_err(path);
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, "IDEMPOTENCY_KEY_REUSED"),
            "{path}: {refused:?}"
        );
        let fields = fields(&refused);
        assert!(fields.iter().any(|known| known.starts_with(field)), "{path} names {field}: {fields:?}");
    }
    let types: Vec<String> = server.history(&token).await.into_iter().map(|(_, event)| event.r#type).collect();
    assert_eq!(types, ["product.created"], "replays change nothing; the one event is the mark of the reading before");
}

#[tokio::test]
async fn law_2_what_stands_so_already_is_marked_replayed_under_any_request_id() {
    let server = Server::start().await;
    let report = server.submit(a_report().from("ada@example.org")).await;
    let product = UpsertProductRequest {
        key: "app".to_owned(),
        display_name: "App".to_owned(),
        lines: vec!["2.4".to_owned()],
        ..Default::default()
    };
    let policy = UpdatePolicyRequest {
        policy: Some(Policy { acknowledge: true, ..Default::default() }),
        update_mask: Some(crate::support::caller::paths(&["acknowledge"])),
        ..Default::default()
    };
    let cluster = UpdateClusterRequest {
        cluster: Some(Cluster {
            id: report.cluster_id.clone(),
            workaround: "Restart it".to_owned(),
            ..Default::default()
        }),
        ..Default::default()
    };
    let customer = UpsertCustomerRequest {
        customer_id: report.customer_id.clone(),
        display_name: "Ada".to_owned(),
        ..Default::default()
    };
    let preferences = UpdatePreferencesRequest {
        customer_id: report.customer_id.clone(),
        opted_out: Some(true),
        ..Default::default()
    };
    let say = async || {
        let replayed = [
            server.admin().upsert_product(product.clone()).await.expect("a product").into_inner().replayed,
            server.admin().update_policy(policy.clone()).await.expect("a policy").into_inner().replayed,
            server.clusters().update_cluster(cluster.clone()).await.expect("a cluster").into_inner().replayed,
            server.customers().upsert_customer(customer.clone()).await.expect("a customer").into_inner().replayed,
            server.customers().update_preferences(preferences.clone()).await.expect("a wish").into_inner().replayed,
        ];
        (replayed, server.history("").await.len())
    };
    let (first, length) = say().await;
    assert_eq!(first, [false; 5]);
    // Each look at the history leaves one mark.
    assert_eq!(say().await, ([true; 5], length + 1));
}
