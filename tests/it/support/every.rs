//! One request for every method, about things of one tenant. A method without an entry here fails every test that asks
//! for all of them.

use prost::Message;

use super::api::Api;
use super::caller::paths;
use super::proto::*;
use super::{Caller, Server, a_release, a_report};

/// A tenant's things, one of each kind.
pub(crate) struct Things {
    pub(crate) report: Report,
    pub(crate) other_cluster: String,
    pub(crate) operation: String,
    pub(crate) suggestion: String,
    pub(crate) defect: String,
    pub(crate) release: String,
    pub(crate) deployment: String,
    pub(crate) contact_point: String,
    pub(crate) announcement: Announcement,
    pub(crate) product: String,
    pub(crate) api_key: String,
}

impl Things {
    /// Makes them. The announcement waits for approval.
    pub(crate) async fn of(server: &Server, caller: &Caller) -> Self {
        caller.policy(Policy { approval_threshold: Some(0), ..Policy::default() }, &["approval_threshold"]).await;
        let report = caller.submit(a_report().from("theirs@example.org").customer("theirs").version("2.4.0")).await;
        let twin = caller.submit(a_report().from("twin@example.org").version("2.4.0")).await;
        let moved = caller.move_report(&twin, "").await;
        caller.submit(a_report().from("unsure@example.org").product("")).await;
        let suggestion = caller.list_suggestions("").await.remove(0).id;
        let cluster = caller.link(&report, "github:theirs/app#1").await;
        let release = caller.release(a_release("2.4.1").fixing("github:theirs/app#1")).await;
        let deployment = caller.deploy(&caller.release(a_release("9.0.0")).await, 50).await;
        server.run_until_idle().await;
        let announcement = caller.list_announcements("").await.remove(0);
        let (api_key, _) = caller.create_key(&["reports.read"]).await;
        Self {
            contact_point: caller.customer(&report.customer_id).await.contact_points[0].id.clone(),
            other_cluster: moved.report.expect("the report").cluster_id,
            operation: moved.operation.expect("a step").id,
            suggestion,
            defect: cluster.defect_ids[0].clone(),
            product: release.product_id,
            release: release.id,
            deployment: deployment.id,
            announcement,
            api_key,
            report,
        }
    }
}

impl Things {
    /// The ids of all of them.
    pub(crate) fn ids(&self) -> Vec<String> {
        [
            &self.report.id,
            &self.report.cluster_id,
            &self.report.customer_id,
            &self.operation,
            &self.suggestion,
            &self.defect,
            &self.release,
            &self.deployment,
            &self.contact_point,
            &self.announcement.id,
            &self.product,
            &self.api_key,
        ]
        .map(String::clone)
        .into()
    }
}

/// What a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About {
    /// Something that exists and is named by an id: of another tenant it is not found.
    Thing,
    /// Something named by this field, whose absence is told like any other wrong field.
    Reference(&'static str),
    /// The caller's own things, all of them or by a name that each tenant has its own of.
    Own,
    /// A stream of what happens.
    Stream,
}

/// One request for every method.
pub(crate) fn requests(things: &Things) -> Vec<(String, About, Vec<u8>)> {
    use About::{Own, Reference, Stream, Thing};
    let text = |text: &str| text.to_owned();
    let things_report = || things.report.id.clone();
    let cluster = || things.report.cluster_id.clone();
    let customer = || things.report.customer_id.clone();
    let input = || a_report().from("someone@example.org").input;
    let mut all = Vec::new();
    macro_rules! request {
        ($path:literal, $about:expr, $request:expr) => {
            all.push((text(concat!("hearback.v1.", $path)), $about, $request.encode_to_vec()));
        };
    }
    request!("ReportService/SubmitReport", Own, SubmitReportRequest { request_id: text(""), report: Some(input()) });
    request!(
        "ReportService/StreamReports",
        Own,
        StreamReportsRequest { client_token: text("token"), report: Some(input()) }
    );
    request!("ReportService/MatchReport", Own, MatchReportRequest { report: Some(input()), ..Default::default() });
    request!("ReportService/GetReport", Thing, GetReportRequest { report_id: things_report() });
    request!("ReportService/ExplainReport", Thing, ExplainReportRequest { report_id: things_report() });
    request!("ReportService/ListReports", Own, ListReportsRequest::default());
    request!(
        "ReportService/MoveReport",
        Thing,
        MoveReportRequest {
            report_id: things_report(),
            cluster_id: things.other_cluster.clone(),
            ..Default::default()
        }
    );

    request!("ClusterService/GetCluster", Thing, GetClusterRequest { cluster_id: cluster() });
    request!("ClusterService/ListClusters", Own, ListClustersRequest::default());
    request!(
        "ClusterService/SearchClusters",
        Own,
        SearchClustersRequest { query: text("words"), ..Default::default() }
    );
    request!(
        "ClusterService/UpdateCluster",
        Thing,
        UpdateClusterRequest {
            cluster: Some(Cluster { id: cluster(), title: text("A title"), ..Default::default() }),
            ..Default::default()
        }
    );
    request!(
        "ClusterService/MergeClusters",
        Thing,
        MergeClustersRequest {
            from_cluster_id: things.other_cluster.clone(),
            into_cluster_id: cluster(),
            ..Default::default()
        }
    );
    request!(
        "ClusterService/SplitCluster",
        Thing,
        SplitClusterRequest { cluster_id: cluster(), report_ids: vec![things_report()], ..Default::default() }
    );
    request!(
        "ClusterService/UndoOperation",
        Thing,
        UndoOperationRequest { operation_id: things.operation.clone(), ..Default::default() }
    );
    request!("ClusterService/ListSuggestions", Own, ListSuggestionsRequest::default());
    request!(
        "ClusterService/ResolveSuggestion",
        Thing,
        ResolveSuggestionRequest {
            suggestion_id: things.suggestion.clone(),
            answer: resolve_suggestion_request::Answer::Reject.into(),
            ..Default::default()
        }
    );
    request!(
        "ClusterService/LinkDefect",
        Thing,
        LinkDefectRequest { cluster_id: cluster(), defect: text("jira:NEW-1"), ..Default::default() }
    );
    request!(
        "ClusterService/UnlinkDefect",
        Thing,
        UnlinkDefectRequest { cluster_id: cluster(), defect: text("jira:NEW-1"), ..Default::default() }
    );
    request!("ClusterService/WatchClusters", Stream, WatchClustersRequest::default());

    request!(
        "DefectService/UpsertDefect",
        Own,
        UpsertDefectRequest { tracker: text("github"), key: text("theirs/app#1"), ..Default::default() }
    );
    request!("DefectService/GetDefect", Thing, GetDefectRequest { defect: things.defect.clone() });
    request!("DefectService/ListDefects", Own, ListDefectsRequest::default());

    request!(
        "ReleaseService/RecordRelease",
        Reference("product"),
        RecordReleaseRequest { product: things.product.clone(), version: text("9.9.9"), ..Default::default() }
    );
    request!(
        "ReleaseService/YankRelease",
        Thing,
        YankReleaseRequest { release_id: things.release.clone(), ..Default::default() }
    );
    request!(
        "ReleaseService/RecordDeployment",
        Thing,
        RecordDeploymentRequest { release_id: things.release.clone(), percent: Some(60), ..Default::default() }
    );
    request!(
        "ReleaseService/RollBackDeployment",
        Thing,
        RollBackDeploymentRequest { deployment_id: things.deployment.clone(), ..Default::default() }
    );
    request!("ReleaseService/GetRelease", Thing, GetReleaseRequest { release_id: things.release.clone() });
    request!("ReleaseService/ListReleases", Own, ListReleasesRequest::default());
    request!(
        "ReleaseService/GetCoverage",
        Thing,
        GetCoverageRequest {
            defect: things.defect.clone(),
            subject: Some(get_coverage_request::Subject::CustomerId(customer())),
        }
    );

    request!(
        "CustomerService/UpsertCustomer",
        Thing,
        UpsertCustomerRequest { customer_id: customer(), display_name: text("A name"), ..Default::default() }
    );
    request!("CustomerService/GetCustomer", Thing, GetCustomerRequest { customer_id: customer() });
    request!(
        "CustomerService/RecordInstallation",
        Thing,
        RecordInstallationRequest {
            customer_id: customer(),
            product: text("app"),
            version: text("1.0.0"),
            ..Default::default()
        }
    );
    request!(
        "CustomerService/UpdatePreferences",
        Thing,
        UpdatePreferencesRequest {
            customer_id: customer(),
            opt_out_contact_point_ids: vec![things.contact_point.clone()],
            ..Default::default()
        }
    );
    request!(
        "CustomerService/GetTimeline",
        Thing,
        GetTimelineRequest { customer_id: customer(), ..Default::default() }
    );

    request!(
        "AnnouncementService/PreviewAnnouncement",
        Thing,
        PreviewAnnouncementRequest { cluster_id: cluster(), ..Default::default() }
    );
    request!(
        "AnnouncementService/ApproveAnnouncement",
        Thing,
        ApproveAnnouncementRequest {
            announcement_id: things.announcement.id.clone(),
            plan_digest: things.announcement.plan_digest.clone(),
            ..Default::default()
        }
    );
    request!(
        "AnnouncementService/CancelAnnouncement",
        Thing,
        CancelAnnouncementRequest { announcement_id: things.announcement.id.clone(), ..Default::default() }
    );
    request!(
        "AnnouncementService/GetAnnouncement",
        Thing,
        GetAnnouncementRequest { announcement_id: things.announcement.id.clone() }
    );
    request!("AnnouncementService/ListAnnouncements", Own, ListAnnouncementsRequest::default());
    request!("AnnouncementService/ListDeliveries", Own, ListDeliveriesRequest::default());
    request!(
        "AnnouncementService/WatchAnnouncements",
        Stream,
        WatchAnnouncementsRequest { message: Some(watch_announcements_request::Message::Start(Default::default())) }
    );

    request!("EventService/Watch", Stream, WatchRequest::default());

    request!("AdminService/CreateTenant", Own, CreateTenantRequest { display_name: text("New"), ..Default::default() });
    request!("AdminService/GetTenant", Own, GetTenantRequest::default());
    request!("AdminService/ListTenants", Own, ListTenantsRequest::default());
    request!(
        "AdminService/CreateApiKey",
        Own,
        CreateApiKeyRequest { display_name: text("New"), scopes: vec![text("reports.read")], ..Default::default() }
    );
    request!("AdminService/ListApiKeys", Own, ListApiKeysRequest::default());
    request!(
        "AdminService/RevokeApiKey",
        Thing,
        RevokeApiKeyRequest { api_key_id: things.api_key.clone(), ..Default::default() }
    );
    request!(
        "AdminService/UpsertProduct",
        Own,
        UpsertProductRequest { key: text("app"), display_name: text("Another name"), ..Default::default() }
    );
    request!("AdminService/GetProduct", Thing, GetProductRequest { product: things.product.clone() });
    request!("AdminService/ListProducts", Own, ListProductsRequest::default());
    request!("AdminService/GetPolicy", Own, GetPolicyRequest::default());
    request!(
        "AdminService/UpdatePolicy",
        Own,
        UpdatePolicyRequest {
            policy: Some(Policy { acknowledge: true, ..Default::default() }),
            update_mask: Some(paths(&["acknowledge"])),
            ..Default::default()
        }
    );
    request!("AdminService/GetCalibration", Own, GetCalibrationRequest::default());
    request!("AdminService/ResetCalibration", Own, ResetCalibrationRequest::default());
    request!("AdminService/RotateWebhookSecret", Own, RotateWebhookSecretRequest::default());

    let mut known: Vec<&str> = all.iter().map(|(path, ..)| path.as_str()).collect();
    let api = Api::read();
    let mut wanted: Vec<&str> = api.methods.iter().map(|method| method.path.as_str()).collect();
    known.sort_unstable();
    wanted.sort_unstable();
    assert_eq!(known, wanted, "every method has a request here, and every request a method");
    all
}
