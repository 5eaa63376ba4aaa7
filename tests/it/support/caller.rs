//! Somebody with an API key: typed clients, and short words for what tests do all the time.

use std::net::SocketAddr;

use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status, Streaming};

use super::builders::{ReleaseBuilder, ReportBuilder};
use super::proto::admin_service_client::AdminServiceClient;
use super::proto::announcement_service_client::AnnouncementServiceClient;
use super::proto::cluster_service_client::ClusterServiceClient;
use super::proto::customer_service_client::CustomerServiceClient;
use super::proto::defect_service_client::DefectServiceClient;
use super::proto::event_service_client::EventServiceClient;
use super::proto::release_service_client::ReleaseServiceClient;
use super::proto::report_service_client::ReportServiceClient;
use super::proto::*;
use super::soon;

/// Puts the key on every call.
#[derive(Clone)]
pub(crate) struct Auth(Option<MetadataValue<tonic::metadata::Ascii>>);

impl Interceptor for Auth {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        self.apply(request.metadata_mut());
        Ok(request)
    }
}

impl Auth {
    fn apply(&self, metadata: &mut MetadataMap) {
        if let Some(value) = &self.0 {
            metadata.insert("authorization", value.clone());
        }
    }
}

type Service = InterceptedService<Channel, Auth>;

/// See the module's docs.
#[derive(Clone)]
pub(crate) struct Caller {
    channel: Channel,
    key: String,
    auth: Auth,
}

impl Caller {
    /// Connects with this key; an empty one is left out.
    pub(crate) async fn connect(address: SocketAddr, key: &str) -> Self {
        let channel = Endpoint::from_shared(format!("http://{address}")).expect("an address").connect_lazy();
        let value = (!key.is_empty()).then(|| format!("Bearer {key}").parse().expect("a key is plain text"));
        Self { channel, key: key.to_owned(), auth: Auth(value) }
    }

    pub(crate) fn key(&self) -> &str {
        &self.key
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn authorize(&self, metadata: &mut MetadataMap) {
        self.auth.apply(metadata);
    }

    pub(crate) fn reports(&self) -> ReportServiceClient<Service> {
        ReportServiceClient::with_interceptor(self.channel(), self.auth.clone())
    }

    pub(crate) fn clusters(&self) -> ClusterServiceClient<Service> {
        ClusterServiceClient::with_interceptor(self.channel(), self.auth.clone())
    }

    pub(crate) fn defects(&self) -> DefectServiceClient<Service> {
        DefectServiceClient::with_interceptor(self.channel(), self.auth.clone())
    }

    pub(crate) fn releases(&self) -> ReleaseServiceClient<Service> {
        ReleaseServiceClient::with_interceptor(self.channel(), self.auth.clone())
    }

    pub(crate) fn customers(&self) -> CustomerServiceClient<Service> {
        CustomerServiceClient::with_interceptor(self.channel(), self.auth.clone())
    }

    pub(crate) fn announcements(&self) -> AnnouncementServiceClient<Service> {
        AnnouncementServiceClient::with_interceptor(self.channel(), self.auth.clone())
    }

    pub(crate) fn events_service(&self) -> EventServiceClient<Service> {
        EventServiceClient::with_interceptor(self.channel(), self.auth.clone())
    }

    pub(crate) fn admin(&self) -> AdminServiceClient<Service> {
        AdminServiceClient::with_interceptor(self.channel(), self.auth.clone())
    }

    /// Records a SEMVER product.
    pub(crate) async fn product(&self, key: &str, name: &str) -> Product {
        self.product_of(key, name, product::VersionScheme::Semver, &[]).await
    }

    /// Records a product of this scheme with these lines.
    pub(crate) async fn product_of(
        &self,
        key: &str,
        name: &str,
        scheme: product::VersionScheme,
        lines: &[&str],
    ) -> Product {
        let request = UpsertProductRequest {
            key: key.to_owned(),
            display_name: name.to_owned(),
            version_scheme: scheme.into(),
            lines: lines.iter().map(ToString::to_string).collect(),
            ..UpsertProductRequest::default()
        };
        self.admin().upsert_product(request).await.expect("a product").into_inner().product.expect("it is there")
    }

    /// A key with these scopes: its id and its text.
    pub(crate) async fn create_key(&self, scopes: &[&str]) -> (String, String) {
        let request = CreateApiKeyRequest {
            display_name: scopes.join(" "),
            scopes: scopes.iter().map(ToString::to_string).collect(),
            ..CreateApiKeyRequest::default()
        };
        let created = self.admin().create_api_key(request).await.expect("a key").into_inner();
        (created.api_key.expect("its facts").id, created.secret)
    }

    /// Changes the policy; the mask names the fields.
    pub(crate) async fn policy(&self, policy: Policy, mask: &[&str]) -> Policy {
        let request = UpdatePolicyRequest {
            policy: Some(policy),
            update_mask: Some(paths(mask)),
            ..UpdatePolicyRequest::default()
        };
        self.admin().update_policy(request).await.expect("a policy").into_inner().policy.expect("it is there")
    }

    /// Submits a report and gets the whole answer.
    pub(crate) async fn submitted(&self, report: ReportBuilder) -> SubmitReportResponse {
        self.try_submit(report).await.expect("the report is accepted")
    }

    /// Submits a report.
    pub(crate) async fn submit(&self, report: ReportBuilder) -> Report {
        self.submitted(report).await.report.expect("the report as stored")
    }

    /// Submits a report that may be refused.
    pub(crate) async fn try_submit(&self, report: ReportBuilder) -> Result<SubmitReportResponse, Status> {
        Ok(self.reports().submit_report(report.request()).await?.into_inner())
    }

    pub(crate) async fn report(&self, id: &str) -> Report {
        let request = GetReportRequest { report_id: id.to_owned() };
        self.reports().get_report(request).await.expect("the report").into_inner().report.expect("it is there")
    }

    /// Why a report is where it is.
    pub(crate) async fn explain(&self, report: &Report) -> ExplainReportResponse {
        let request = ExplainReportRequest { report_id: report.id.clone() };
        self.reports().explain_report(request).await.expect("the reasons").into_inner()
    }

    /// All reports that pass the filter.
    pub(crate) async fn list_reports(&self, filter: &str) -> Vec<Report> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request =
                ListReportsRequest { page_size: 500, page_token, filter: filter.to_owned(), order_by: String::new() };
            let page = self.reports().list_reports(request).await.expect("a page of reports").into_inner();
            all.extend(page.reports);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }

    /// Where a report's loop stands, as in `TOLD told`.
    pub(crate) async fn loop_of(&self, report: &Report) -> String {
        let now = self.report(&report.id).await;
        let state = now.loop_state().as_str_name().trim_start_matches("LOOP_STATE_");
        format!("{state} {}", now.loop_reason)
    }

    pub(crate) async fn cluster(&self, id: &str) -> Cluster {
        let request = GetClusterRequest { cluster_id: id.to_owned() };
        self.clusters().get_cluster(request).await.expect("the cluster").into_inner().cluster.expect("it is there")
    }

    /// All clusters, merged ones left out.
    pub(crate) async fn list_clusters(&self) -> Vec<Cluster> {
        let (mut all, mut page_token) = (Vec::new(), String::new());
        loop {
            let request = ListClustersRequest { page_size: 500, page_token, ..ListClustersRequest::default() };
            let page = self.clusters().list_clusters(request).await.expect("a page of clusters").into_inner();
            all.extend(page.clusters);
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return all;
            }
        }
    }

    /// Links a defect to the cluster of this report as it was answered.
    pub(crate) async fn link(&self, report: &Report, defect: &str) -> Cluster {
        self.link_cluster(&report.cluster_id, defect).await
    }

    pub(crate) async fn link_cluster(&self, cluster_id: &str, defect: &str) -> Cluster {
        let request = LinkDefectRequest {
            cluster_id: cluster_id.to_owned(),
            defect: defect.to_owned(),
            ..LinkDefectRequest::default()
        };
        self.clusters().link_defect(request).await.expect("the link").into_inner().cluster.expect("its cluster")
    }

    pub(crate) async fn unlink(&self, cluster_id: &str, defect: &str) {
        let request = UnlinkDefectRequest {
            cluster_id: cluster_id.to_owned(),
            defect: defect.to_owned(),
            ..UnlinkDefectRequest::default()
        };
        self.clusters().unlink_defect(request).await.expect("the link goes");
    }

    pub(crate) async fn merge(&self, from: &str, into: &str) -> Operation {
        let request = MergeClustersRequest {
            from_cluster_id: from.to_owned(),
            into_cluster_id: into.to_owned(),
            reason: "the same problem".to_owned(),
            ..MergeClustersRequest::default()
        };
        self.clusters().merge_clusters(request).await.expect("a merge").into_inner().operation.expect("the step")
    }

    pub(crate) async fn split(&self, cluster: &str, reports: &[&Report]) -> SplitClusterResponse {
        let request = SplitClusterRequest {
            cluster_id: cluster.to_owned(),
            report_ids: reports.iter().map(|report| report.id.clone()).collect(),
            reason: "another problem".to_owned(),
            ..SplitClusterRequest::default()
        };
        self.clusters().split_cluster(request).await.expect("a split").into_inner()
    }

    /// Moves a report to a cluster, or to a new one of its own.
    pub(crate) async fn move_report(&self, report: &Report, cluster: &str) -> MoveReportResponse {
        let request = MoveReportRequest {
            report_id: report.id.clone(),
            cluster_id: cluster.to_owned(),
            reason: "it belongs there".to_owned(),
            ..MoveReportRequest::default()
        };
        self.reports().move_report(request).await.expect("a move").into_inner()
    }

    /// All suggestions, newest first, that pass a filter.
    pub(crate) async fn list_suggestions(&self, filter: &str) -> Vec<Suggestion> {
        let request = ListSuggestionsRequest { filter: filter.to_owned(), ..ListSuggestionsRequest::default() };
        self.clusters().list_suggestions(request).await.expect("a list").into_inner().suggestions
    }

    /// Answers a suggestion.
    pub(crate) async fn resolve(
        &self,
        suggestion: &Suggestion,
        answer: resolve_suggestion_request::Answer,
    ) -> ResolveSuggestionResponse {
        let request = ResolveSuggestionRequest {
            suggestion_id: suggestion.id.clone(),
            answer: answer.into(),
            reason: "they said so".to_owned(),
            ..ResolveSuggestionRequest::default()
        };
        self.clusters().resolve_suggestion(request).await.expect("an answer").into_inner()
    }

    pub(crate) async fn undo(&self, operation: &Operation) {
        let request = UndoOperationRequest { operation_id: operation.id.clone(), ..UndoOperationRequest::default() };
        self.clusters().undo_operation(request).await.expect("the step is taken back");
    }

    /// Records what a tracker says of a defect named `tracker:key`.
    pub(crate) async fn defect(&self, defect: &str, state: defect::State) -> Defect {
        let (tracker, key) = defect.split_once(':').expect("tracker:key");
        let request = UpsertDefectRequest {
            tracker: tracker.to_owned(),
            key: key.to_owned(),
            state: state.into(),
            ..UpsertDefectRequest::default()
        };
        self.defects().upsert_defect(request).await.expect("a defect").into_inner().defect.expect("it is there")
    }

    pub(crate) async fn release(&self, release: ReleaseBuilder) -> Release {
        let response = self.releases().record_release(release.request).await.expect("a release");
        response.into_inner().release.expect("it is there")
    }

    pub(crate) async fn yank(&self, release: &Release) -> Release {
        let request = YankReleaseRequest {
            release_id: release.id.clone(),
            reason: "it made things worse".to_owned(),
            ..YankReleaseRequest::default()
        };
        self.releases().yank_release(request).await.expect("the release goes").into_inner().release.expect("it")
    }

    /// Records that a release has reached this share of everybody in production.
    pub(crate) async fn deploy(&self, release: &Release, percent: i32) -> Deployment {
        self.deploy_to(release, "", percent).await
    }

    /// The same for one ring.
    pub(crate) async fn deploy_to(&self, release: &Release, ring: &str, percent: i32) -> Deployment {
        let request = RecordDeploymentRequest {
            release_id: release.id.clone(),
            ring: ring.to_owned(),
            percent: Some(percent),
            ..RecordDeploymentRequest::default()
        };
        self.releases().record_deployment(request).await.expect("a deployment").into_inner().deployment.expect("it")
    }

    pub(crate) async fn roll_back(&self, deployment: &Deployment) {
        let request = RollBackDeploymentRequest {
            deployment_id: deployment.id.clone(),
            reason: "errors rose".to_owned(),
            ..RollBackDeploymentRequest::default()
        };
        self.releases().roll_back_deployment(request).await.expect("it is taken back");
    }

    pub(crate) async fn customer(&self, id: &str) -> Customer {
        let request = GetCustomerRequest { customer_id: id.to_owned() };
        self.customers().get_customer(request).await.expect("the customer").into_inner().customer.expect("it")
    }

    /// Says that a report's customer now runs this version of `app`.
    pub(crate) async fn now_runs(&self, report: &Report, version: &str) {
        let request = RecordInstallationRequest {
            customer_id: report.customer_id.clone(),
            product: "app".to_owned(),
            version: version.to_owned(),
            platform: report.platform.clone(),
            ..RecordInstallationRequest::default()
        };
        self.customers().record_installation(request).await.expect("an installation");
    }

    /// Says whether a customer wants to hear nothing at all.
    pub(crate) async fn opt_out(&self, customer_id: &str, opted_out: bool) {
        let request = UpdatePreferencesRequest {
            customer_id: customer_id.to_owned(),
            opted_out: Some(opted_out),
            ..UpdatePreferencesRequest::default()
        };
        self.customers().update_preferences(request).await.expect("the customer's wish");
    }

    /// All announcements that pass the filter, newest first.
    pub(crate) async fn list_announcements(&self, filter: &str) -> Vec<Announcement> {
        let request = ListAnnouncementsRequest {
            page_size: 500,
            filter: filter.to_owned(),
            ..ListAnnouncementsRequest::default()
        };
        self.announcements().list_announcements(request).await.expect("announcements").into_inner().announcements
    }

    /// All deliveries that pass the filter, oldest first.
    pub(crate) async fn list_deliveries(&self, filter: &str) -> Vec<Delivery> {
        let request =
            ListDeliveriesRequest { page_size: 500, filter: filter.to_owned(), ..ListDeliveriesRequest::default() };
        self.announcements().list_deliveries(request).await.expect("deliveries").into_inner().deliveries
    }

    /// The one delivery to this customer.
    #[track_caller]
    pub(crate) fn delivery_to(&self, report: &Report) -> impl Future<Output = Delivery> + use<> {
        let (caller, filter) = (self.clone(), format!("customer_id = {}", report.customer_id));
        async move {
            let mut deliveries = caller.list_deliveries(&filter).await;
            assert_eq!(deliveries.len(), 1, "{deliveries:?}");
            deliveries.remove(0)
        }
    }

    /// Who would be told what about a cluster, and why the others would not.
    pub(crate) async fn preview(&self, cluster_id: &str) -> PreviewAnnouncementResponse {
        let request = PreviewAnnouncementRequest {
            cluster_id: cluster_id.to_owned(),
            page_size: 500,
            ..PreviewAnnouncementRequest::default()
        };
        self.announcements().preview_announcement(request).await.expect("a preview").into_inner()
    }

    /// Watches the history from its beginning, or after a token.
    pub(crate) async fn watch(&self, resume_token: &str) -> Result<Streaming<WatchResponse>, Status> {
        let request = WatchRequest { resume_token: resume_token.to_owned(), from_beginning: resume_token.is_empty() };
        Ok(self.events_service().watch(request).await?.into_inner())
    }

    /// The history after a token, or all of it, up to now; each event with the token that resumes after it.
    pub(crate) async fn history(&self, resume_token: &str) -> Vec<(String, Event)> {
        // A change of our own marks the end.
        let key = format!("end-{}", uuid::Uuid::now_v7().simple());
        let end = self.product(&key, "The end").await.id;
        let mut stream = self.watch(resume_token).await.expect("a watch");
        let mut history = Vec::new();
        loop {
            let next = soon("the next event", stream.message()).await.expect("the stream goes on");
            let next = next.expect("the stream does not end");
            let Some(event) = next.event else { continue };
            if event.subject == end {
                return history;
            }
            history.push((next.resume_token, event));
        }
    }
}

/// A field mask.
pub(crate) fn paths(paths: &[&str]) -> prost_types::FieldMask {
    prost_types::FieldMask { paths: paths.iter().map(ToString::to_string).collect() }
}
