//! What help desks, leads and pipelines do, one call each.

use tonic::{Code, Status};

use super::super::super::client::{self, CallError, Client, request_id};
use super::super::corpus::{self, ContactKind, DemoReport, Scheme};
use crate::grpc::proto::{self, stream_reports_response};

/// Callers that submit side by side. The messages of one human go through the same one, in their order.
const LANES: usize = 4;

/// Creates a product.
pub(super) async fn product(client: &Client, product: &corpus::Product) -> Result<(), CallError> {
    let scheme = match product.scheme {
        Scheme::Semver => proto::product::VersionScheme::Semver,
        Scheme::Continuous => proto::product::VersionScheme::Continuous,
    };
    let request = proto::UpsertProductRequest {
        request_id: request_id(),
        key: product.key.to_owned(),
        display_name: product.name.to_owned(),
        version_scheme: scheme.into(),
        lines: product.lines.iter().map(|line| (*line).to_owned()).collect(),
    };
    let mut api = client.admin();
    client::call(request, async |request| api.upsert_product(request).await).await?;
    Ok(())
}

/// Makes the secret that signs webhooks: without one, none is sent.
pub(super) async fn webhook_secret(client: &Client) -> Result<(), CallError> {
    let request = proto::RotateWebhookSecretRequest { request_id: request_id() };
    let mut api = client.admin();
    client::call(request, async |request| api.rotate_webhook_secret(request).await).await?;
    Ok(())
}

/// Records a release; answers with its id.
pub(super) async fn release(
    client: &Client,
    product: &str,
    version: &str,
    defects: &[&str],
) -> Result<String, CallError> {
    let request = proto::RecordReleaseRequest {
        request_id: request_id(),
        product: product.to_owned(),
        version: version.to_owned(),
        defects: defects.iter().map(|defect| (*defect).to_owned()).collect(),
        ..Default::default()
    };
    let mut api = client.releases();
    let answer = client::call(request, async |request| api.record_release(request).await).await?;
    Ok(answer.release.unwrap_or_default().id)
}

/// Withdraws a release.
pub(super) async fn yank(client: &Client, release: &str, reason: &str) -> Result<(), CallError> {
    let request = proto::YankReleaseRequest {
        request_id: request_id(),
        release_id: release.to_owned(),
        reason: reason.to_owned(),
    };
    let mut api = client.releases();
    client::call(request, async |request| api.yank_release(request).await).await?;
    Ok(())
}

/// Rolls a release out in production, in one region or everywhere.
pub(super) async fn deployment(
    client: &Client,
    release: &str,
    region: Option<&str>,
    percent: i32,
) -> Result<(), CallError> {
    let request = proto::RecordDeploymentRequest {
        request_id: request_id(),
        release_id: release.to_owned(),
        region: region.unwrap_or_default().to_owned(),
        percent: Some(percent),
        ..Default::default()
    };
    let mut api = client.releases();
    client::call(request, async |request| api.record_deployment(request).await).await?;
    Ok(())
}

/// Records a defect and its state.
pub(super) async fn defect(
    client: &Client,
    problem: &corpus::Problem,
    state: proto::defect::State,
) -> Result<(), CallError> {
    let (tracker, key) = problem.tracker.split_once(':').unwrap_or_default();
    let request = proto::UpsertDefectRequest {
        request_id: request_id(),
        tracker: tracker.to_owned(),
        key: key.to_owned(),
        title: problem.title.to_owned(),
        state: state.into(),
        ..Default::default()
    };
    let mut api = client.defects();
    client::call(request, async |request| api.upsert_defect(request).await).await?;
    Ok(())
}

/// Says that a defect causes a cluster's problem.
pub(super) async fn link(client: &Client, cluster: &str, defect: &str) -> Result<(), CallError> {
    let request = proto::LinkDefectRequest {
        request_id: request_id(),
        cluster_id: cluster.to_owned(),
        defect: defect.to_owned(),
    };
    let mut api = client.clusters();
    client::call(request, async |request| api.link_defect(request).await).await?;
    Ok(())
}

/// Writes down what helps meanwhile.
pub(super) async fn workaround(client: &Client, cluster: &str, text: &str) -> Result<(), CallError> {
    let cluster = proto::Cluster { id: cluster.to_owned(), workaround: text.to_owned(), ..Default::default() };
    let mask = prost_types::FieldMask { paths: vec!["workaround".to_owned()] };
    let request =
        proto::UpdateClusterRequest { request_id: request_id(), cluster: Some(cluster), update_mask: Some(mask) };
    let mut api = client.clusters();
    client::call(request, async |request| api.update_cluster(request).await).await?;
    Ok(())
}

/// Puts one cluster into another.
pub(super) async fn merge(client: &Client, from: &str, into: &str) -> Result<(), CallError> {
    let request = proto::MergeClustersRequest {
        request_id: request_id(),
        from_cluster_id: from.to_owned(),
        into_cluster_id: into.to_owned(),
        reason: "the same problem".to_owned(),
    };
    let mut api = client.clusters();
    client::call(request, async |request| api.merge_clusters(request).await).await?;
    Ok(())
}

/// Moves a report to a cluster, or for an empty one to one of its own; answers with where it is now.
pub(super) async fn move_report(client: &Client, report: &str, cluster: &str) -> Result<String, CallError> {
    let request = proto::MoveReportRequest {
        request_id: request_id(),
        report_id: report.to_owned(),
        cluster_id: cluster.to_owned(),
        reason: "about something else".to_owned(),
    };
    let mut api = client.reports();
    let answer = client::call(request, async |request| api.move_report(request).await).await?;
    Ok(answer.report.unwrap_or_default().cluster_id)
}

/// A customer wants to hear nothing more.
pub(super) async fn opt_out(client: &Client, customer: &str) -> Result<(), CallError> {
    let request = proto::UpdatePreferencesRequest {
        request_id: request_id(),
        customer_id: customer.to_owned(),
        opted_out: Some(true),
        ..Default::default()
    };
    let mut api = client.customers();
    client::call(request, async |request| api.update_preferences(request).await).await?;
    Ok(())
}

/// A customer's installation says what it runs.
pub(super) async fn installation(
    client: &Client,
    customer: &str,
    product: &str,
    version: &str,
    platform: &str,
) -> Result<(), CallError> {
    let request = proto::RecordInstallationRequest {
        request_id: request_id(),
        customer_id: customer.to_owned(),
        product: product.to_owned(),
        version: version.to_owned(),
        platform: platform.to_owned(),
        ..Default::default()
    };
    let mut api = client.customers();
    client::call(request, async |request| api.record_installation(request).await).await?;
    Ok(())
}

/// A report as its help desk submits it.
fn input(report: &DemoReport, webhook_url: &str) -> proto::ReportInput {
    let contact_points = report.contacts.iter().map(|(kind, address)| proto::ContactPointInput {
        channel: match kind {
            ContactKind::Email => proto::Channel::Email,
            ContactKind::Webhook => proto::Channel::Webhook,
            ContactKind::Stream => proto::Channel::Stream,
        }
        .into(),
        address: address.replace("{webhook}", webhook_url),
    });
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    proto::ReportInput {
        source: report.source.to_owned(),
        external_id: report.external_id.clone(),
        reporter: Some(proto::Reporter {
            external_id: report.customer_external_id.clone().unwrap_or_default(),
            display_name: report.display_name.clone(),
            contact_points: contact_points.collect(),
            ..Default::default()
        }),
        product: report.product.to_owned(),
        title: report.title.clone(),
        body: report.body.clone(),
        version: text(report.version),
        platform: text(report.platform),
        environment: text(report.environment),
        region: text(report.region),
        ring: text(report.ring),
        ..Default::default()
    }
}

/// Submits one report.
pub(super) async fn submit(
    client: &Client,
    report: &DemoReport,
    webhook_url: &str,
) -> Result<proto::SubmitReportResponse, CallError> {
    let request = proto::SubmitReportRequest { request_id: request_id(), report: Some(input(report, webhook_url)) };
    let mut api = client.reports();
    client::call(request, async |request| api.submit_report(request).await).await
}

/// Submits reports through several callers at once, one of them over a stream; answers in the order of the reports.
pub(super) async fn submit_all(
    client: &Client,
    reports: &[DemoReport],
    webhook_url: &str,
) -> Result<Vec<proto::SubmitReportResponse>, CallError> {
    let mut lanes: [Vec<(usize, &DemoReport)>; LANES] = Default::default();
    for (index, report) in reports.iter().enumerate() {
        let lane = report.customer_key.bytes().map(usize::from).sum::<usize>() % LANES;
        lanes[lane].push((index, report));
    }
    let [streamed, called @ ..] = &lanes;
    let (streamed, called) = futures::try_join!(
        stream(client, streamed, webhook_url),
        futures::future::try_join_all(called.iter().map(|lane| one_by_one(client, lane, webhook_url))),
    )?;
    let mut answers: Vec<_> = called.into_iter().flatten().chain(streamed).collect();
    answers.sort_by_key(|(index, _)| *index);
    Ok(answers.into_iter().map(|(_, answer)| answer).collect())
}

type Answered = Vec<(usize, proto::SubmitReportResponse)>;

async fn one_by_one(client: &Client, lane: &[(usize, &DemoReport)], webhook_url: &str) -> Result<Answered, CallError> {
    let mut answered = Vec::with_capacity(lane.len());
    for (index, report) in lane {
        answered.push((*index, submit(client, report, webhook_url).await?));
    }
    Ok(answered)
}

async fn stream(client: &Client, lane: &[(usize, &DemoReport)], webhook_url: &str) -> Result<Answered, CallError> {
    use stream_reports_response::Result as Answer;
    let requests: Vec<_> = lane
        .iter()
        .map(|(index, report)| proto::StreamReportsRequest {
            client_token: index.to_string(),
            report: Some(input(report, webhook_url)),
        })
        .collect();
    let mut answers = client.reports().stream_reports(tokio_stream::iter(requests)).await?.into_inner();
    let mut answered = Vec::with_capacity(lane.len());
    while let Some(answer) = answers.message().await? {
        let index = answer.client_token.parse().map_err(|_| Status::internal("an answer to no report"))?;
        match answer.result {
            Some(Answer::Accepted(accepted)) => answered.push((index, accepted)),
            Some(Answer::Refused(refused)) => {
                return Err(Status::new(Code::from(refused.code), refused.message).into());
            }
            None => return Err(Status::internal("an answer that says nothing").into()),
        }
    }
    Ok(answered)
}
