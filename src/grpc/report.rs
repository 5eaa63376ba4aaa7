//! `ReportService`: takes in what customers say, one call or one stream at a time.

use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};

use crate::app::cluster::operation::check_reason;
use crate::app::intake::{Accepted, Patience, ReadReport};
use crate::app::report::{Explanation, KnownProblem, Matched, PlacementView};
use crate::app::{App, Call, Error};
use crate::domain::coverage::Coverage;
use crate::domain::explanation::{Nearest, Signal};
use crate::domain::id::ReportId;
use crate::domain::report::{Labels, LoopState, Membership, NewReport, NewReporter, Origin, PlacementDecision, Report};
use crate::domain::scope::Scope;
use crate::domain::violation::Violations;
use crate::matching::usual_detail;
use crate::store::report::{PlacedReport, ReportFilter};

use super::cluster::{cluster_state, encode_operation, read_filter as read_cluster_filter};
use super::convert::{noted_id, optional_id, optional_text, read_contact_points, read_timestamp, timestamp};
use super::coverage::encode_verdict;
use super::list::{
    Asked, ListFields, any_id, any_of, any_text, encode_page, equal, read_limit, read_terms, unknown_field,
};
use super::proto::{self, report_service_server::ReportService};
use super::{Api, status};

/// Reports of one stream that are on their way at once: enough to fill batches, few enough to slow the sender down.
const IN_FLIGHT: usize = 512;
/// Reports of one stream that are read at once, before they get in line.
const READ_AT_ONCE: usize = 64;
/// Longest `client_token`, in characters.
const MAX_CLIENT_TOKEN: usize = 64;

fn read_reporter(input: &proto::Reporter, violations: &mut Violations) -> NewReporter {
    NewReporter {
        customer_id: optional_id("report.reporter.customer_id", &input.customer_id, violations),
        external_id: optional_text(&input.external_id),
        display_name: input.display_name.trim().to_owned(),
        locale: input.locale.trim().to_owned(),
        time_zone: input.time_zone.trim().to_owned(),
        contact_points: read_contact_points(&input.contact_points),
    }
}

/// A report as a caller sends it. Names are compared without surrounding space, platforms without case.
fn read_report(input: Option<proto::ReportInput>, violations: &mut Violations) -> NewReport {
    let Some(input) = input else {
        violations.add("report", "is required; set it");
        return NewReport::default();
    };
    let reporter = input.reporter.unwrap_or_default();
    NewReport {
        reporter: read_reporter(&reporter, violations),
        occurred_time: read_timestamp("report.occurred_time", input.occurred_time.as_ref(), violations),
        source: input.source.trim().to_owned(),
        external_id: input.external_id.trim().to_owned(),
        product: input.product.trim().to_owned(),
        title: input.title,
        body: input.body,
        version: optional_text(&input.version),
        platform: optional_text(&input.platform.to_lowercase()),
        environment: optional_text(&input.environment),
        region: optional_text(&input.region),
        ring: optional_text(&input.ring),
        fingerprint: optional_text(&input.fingerprint),
        labels: Labels(input.labels.into_iter().collect()),
    }
}

fn decision(decision: PlacementDecision) -> proto::placement::Decision {
    match decision {
        PlacementDecision::Attach => proto::placement::Decision::Attach,
        PlacementDecision::Suggest => proto::placement::Decision::Suggest,
        PlacementDecision::New => proto::placement::Decision::New,
    }
}

fn loop_state(state: LoopState) -> proto::report::LoopState {
    match state {
        LoopState::Open => proto::report::LoopState::Open,
        LoopState::Told => proto::report::LoopState::Told,
        LoopState::Closed => proto::report::LoopState::Closed,
    }
}

fn encode_membership(membership: Membership) -> proto::Membership {
    let origin = match membership.origin {
        Origin::Matched => proto::membership::Origin::Matched,
        Origin::Human => proto::membership::Origin::Human,
    };
    proto::Membership {
        origin: origin.into(),
        score: membership.score,
        actor: membership.actor.unwrap_or_default(),
        reason: membership.reason,
    }
}

/// A report for the wire.
pub(crate) fn encode_report(placed: PlacedReport) -> proto::Report {
    let Report {
        id,
        tenant_id: _,
        source,
        external_id,
        customer_id,
        product_id,
        title,
        body,
        version,
        platform,
        environment,
        region,
        ring,
        fingerprint,
        labels,
        occurred_time,
        create_time,
        decision: _,
        decision_score: _,
        decision_cluster_id: _,
        suggested_cluster_id: _,
        signals: _,
        grounds: _,
        loop_state: state,
        loop_reason,
    } = placed.report;
    proto::Report {
        id: id.to_string(),
        source,
        external_id,
        customer_id: customer_id.to_string(),
        product_id: product_id.map(|id| id.to_string()).unwrap_or_default(),
        title,
        body,
        version: version.unwrap_or_default(),
        platform: platform.unwrap_or_default(),
        environment: environment.unwrap_or_default(),
        fingerprint: fingerprint.unwrap_or_default(),
        labels: labels.0.into_iter().collect(),
        occurred_time: occurred_time.map(timestamp),
        create_time: Some(timestamp(create_time)),
        cluster_id: placed.membership.cluster_id.to_string(),
        membership: Some(encode_membership(placed.membership)),
        loop_state: loop_state(state).into(),
        loop_reason,
        region: region.unwrap_or_default(),
        ring: ring.unwrap_or_default(),
    }
}

pub(crate) fn encode_signal(signal: Signal) -> proto::Signal {
    let Signal { name, weight, mut detail } = signal;
    if detail.is_empty() {
        usual_detail(&name).clone_into(&mut detail);
    }
    proto::Signal { name, weight, detail }
}

fn encode_placement(placement: PlacementView) -> proto::Placement {
    proto::Placement {
        decision: decision(placement.decision).into(),
        cluster_id: placement.cluster.map(|id| id.to_string()).unwrap_or_default(),
        score: placement.score,
        suggested_cluster_id: placement.suggested.map(|id| id.to_string()).unwrap_or_default(),
        signals: placement.signals.into_iter().map(encode_signal).collect(),
    }
}

fn encode_known_problem(known: KnownProblem) -> proto::KnownProblem {
    proto::KnownProblem {
        cluster_id: known.cluster.id.to_string(),
        title: known.cluster.title,
        state: cluster_state(known.cluster.state).into(),
        report_count: known.cluster.report_count,
        workaround: known.cluster.workaround,
        defect_ids: known.defects.iter().map(ToString::to_string).collect(),
    }
}

fn encode_fixed_in(coverage: Coverage) -> proto::FixedIn {
    proto::FixedIn {
        release_id: coverage.release.map(|id| id.to_string()).unwrap_or_default(),
        version: coverage.version.unwrap_or_default(),
        verdict: encode_verdict(coverage.verdict).into(),
        rule: coverage.rule.as_str().to_owned(),
    }
}

fn texts(facts: Vec<&'static str>) -> Vec<String> {
    facts.into_iter().map(str::to_owned).collect()
}

fn encode_accepted(accepted: Accepted) -> proto::SubmitReportResponse {
    proto::SubmitReportResponse {
        placement: Some(encode_placement(PlacementView::of(&accepted.placed.report))),
        report: Some(encode_report(accepted.placed)),
        known_problem: accepted.known_problem.map(encode_known_problem),
        fixed_in: accepted.fixed_in.map(encode_fixed_in),
        missing_facts: texts(accepted.missing_facts),
        replayed: accepted.replayed,
    }
}

fn encode_matched(matched: Matched) -> proto::MatchReportResponse {
    let candidates = matched.candidates.into_iter().map(|(candidate, title)| proto::MatchCandidate {
        cluster_id: candidate.cluster.to_string(),
        title,
        score: candidate.score,
        report_id: candidate.report.to_string(),
    });
    proto::MatchReportResponse {
        placement: Some(encode_placement(matched.placement)),
        candidates: candidates.collect(),
        known_problem: matched.known_problem.map(encode_known_problem),
        fixed_in: matched.fixed_in.map(encode_fixed_in),
        missing_facts: texts(matched.missing_facts),
    }
}

fn encode_explanation(explanation: Explanation) -> proto::ExplainReportResponse {
    let Explanation { placed, nearest } = explanation;
    let candidate = |(near, title): (Nearest, String)| proto::MatchCandidate {
        cluster_id: near.cluster_id.to_string(),
        title,
        score: near.score,
        report_id: near.report_id.to_string(),
    };
    let nearest = nearest.into_iter().map(candidate).collect();
    let grounds = placed.report.grounds.as_ref().map(|grounds| proto::PlacementGrounds {
        matcher_version: i32::try_from(grounds.version).unwrap_or(i32::MAX),
        attach_threshold: grounds.attach,
        suggest_threshold: grounds.suggest,
        nearest,
    });
    proto::ExplainReportResponse {
        placement: Some(encode_placement(PlacementView::of(&placed.report))),
        grounds,
        create_time: Some(timestamp(placed.report.create_time)),
        cluster_id: placed.membership.cluster_id.to_string(),
        operation_id: placed.membership.operation_id.map(|id| id.to_string()).unwrap_or_default(),
        membership: Some(encode_membership(placed.membership)),
    }
}

fn encode_refusal(error: &Error) -> proto::stream_reports_response::Refusal {
    let (code, reason) = status::classify(error);
    let field_violations = status::brief_violations(error)
        .iter()
        .map(|violation| proto::FieldViolation {
            field: violation.field.clone(),
            description: violation.description.clone(),
        })
        .collect();
    proto::stream_reports_response::Refusal {
        code: code.into(),
        reason: status::reason_text(reason).to_owned(),
        message: status::brief(&error.to_string()),
        field_violations,
    }
}

fn read_filter(asked: &Asked<ReportId>, violations: &mut Violations) -> ReportFilter {
    let mut filter = ReportFilter::default();
    for term in &asked.terms {
        match term.field.as_str() {
            "cluster_id" => equal(term, &mut filter.cluster, any_id, violations),
            "customer_id" => equal(term, &mut filter.customer, any_id, violations),
            "product_id" => equal(term, &mut filter.product, any_id, violations),
            "source" => equal(term, &mut filter.source, any_text, violations),
            "external_id" => equal(term, &mut filter.external_id, any_text, violations),
            "loop_state" => equal(term, &mut filter.loop_state, any_of(LoopState::ALL), violations),
            "loop_reason" => equal(term, &mut filter.loop_reason, any_text, violations),
            _ => unknown_field(
                term,
                "cluster_id, customer_id, product_id, source, external_id, loop_state or loop_reason",
                violations,
            ),
        }
    }
    filter
}

/// A report of a stream, read or refused.
struct Streamed {
    client_token: String,
    call: Call,
    read: Result<ReadReport, Error>,
}

/// At most as much of a token as one may have: an answer must not grow with what is wrong in the question.
fn echo(mut client_token: String) -> String {
    if let Some((end, _)) = client_token.char_indices().nth(MAX_CLIENT_TOKEN) {
        client_token.truncate(end);
    }
    client_token
}

/// Reads a message of a stream. An error ends the stream; what is wrong with the report itself only refuses it.
async fn read_streamed(
    app: Arc<App>,
    mut call: Call,
    message: Result<proto::StreamReportsRequest, Status>,
) -> Result<Streamed, Status> {
    let message = message?;
    // The stream outlives the call that began it.
    app.check_key(call.scope, call.key).await?;
    call.now = app.clock.now();
    let read = async {
        let mut violations = Violations::new();
        if message.client_token.chars().count() > MAX_CLIENT_TOKEN {
            let problem = format!("is longer than {MAX_CLIENT_TOKEN} characters; send a shorter one, or none");
            violations.add("client_token", problem);
        }
        let new = read_report(message.report, &mut violations);
        app.read_report(&call, new, violations).await
    };
    let read = read.await;
    Ok(Streamed { client_token: echo(message.client_token), call, read })
}

/// Queues a report of a stream, and gives what waits for its answer.
async fn queue_streamed(
    app: Arc<App>,
    streamed: Result<Streamed, Status>,
) -> impl Future<Output = Result<proto::StreamReportsResponse, Status>> {
    use proto::stream_reports_response::Result as Outcome;
    let queued = match streamed {
        Err(status) => Err(status),
        Ok(Streamed { client_token, call, read }) => {
            let queued = match read {
                Ok(read) => app.queue_report(&call, read, Patience::Wait).await,
                Err(error) => Err(error),
            };
            Ok((client_token, queued))
        }
    };
    async move {
        let (client_token, queued) = queued?;
        let accepted = match queued {
            Ok(queued) => queued.answer().await,
            Err(error) => Err(error),
        };
        let outcome = match accepted {
            Ok(accepted) => Outcome::Accepted(encode_accepted(accepted)),
            Err(error) => Outcome::Refused(encode_refusal(&error)),
        };
        Ok(proto::StreamReportsResponse { client_token, result: Some(outcome) })
    }
}

#[tonic::async_trait]
impl ReportService for Api {
    async fn submit_report(
        &self,
        request: Request<proto::SubmitReportRequest>,
    ) -> Result<Response<proto::SubmitReportResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ReportsWrite, request_id, &mut violations).await?;
        let new = read_report(request.into_inner().report, &mut violations);
        let accepted = self.app.submit_report(&call, new, violations, Patience::Refuse).await?;
        Ok(Response::new(encode_accepted(accepted)))
    }

    type StreamReportsStream = Pin<Box<dyn Stream<Item = Result<proto::StreamReportsResponse, Status>> + Send>>;

    async fn stream_reports(
        &self,
        request: Request<Streaming<proto::StreamReportsRequest>>,
    ) -> Result<Response<Self::StreamReportsStream>, Status> {
        let call = self.caller(request.metadata(), Scope::ReportsWrite).await?;
        let app = Arc::clone(&self.app);
        // When the server drains, nothing more is read; what was read is still answered.
        let incoming = request.into_inner().take_until(self.shutdown.clone().cancelled_owned());
        let reader = Arc::clone(&app);
        let read = incoming
            .map(move |message| read_streamed(Arc::clone(&reader), call.clone(), message))
            .buffered(READ_AT_ONCE);
        // One after the other: reports are taken in in the order in which they were sent.
        let answers = read.then(move |streamed| queue_streamed(Arc::clone(&app), streamed));
        let shutdown = self.shutdown.clone();
        // An end without error would look like the end of the sender's own stream.
        let end = futures::stream::once(async move { shutdown.is_cancelled() })
            .filter_map(|is_draining| async move { is_draining.then(|| Err(Error::ShuttingDown.into())) });
        Ok(Response::new(answers.buffered(IN_FLIGHT).chain(end).boxed()))
    }

    async fn match_report(
        &self,
        request: Request<proto::MatchReportRequest>,
    ) -> Result<Response<proto::MatchReportResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ReportsRead).await?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let limit = read_limit("candidate_count", request.candidate_count, &mut violations);
        let filter = read_cluster_filter(&read_terms(&request.filter, &mut violations), &mut violations);
        let new = read_report(request.report, &mut violations);
        let matched = self.app.match_report(&call, new, violations, &filter, limit).await?;
        Ok(Response::new(encode_matched(matched)))
    }

    async fn get_report(
        &self,
        request: Request<proto::GetReportRequest>,
    ) -> Result<Response<proto::GetReportResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ReportsRead).await?;
        let mut violations = Violations::new();
        let id = noted_id("report_id", &request.get_ref().report_id, &mut violations);
        violations.into_result()?;
        let placed = self.app.get_report(&call, id).await?;
        Ok(Response::new(proto::GetReportResponse { report: Some(encode_report(placed)) }))
    }

    async fn explain_report(
        &self,
        request: Request<proto::ExplainReportRequest>,
    ) -> Result<Response<proto::ExplainReportResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ReportsRead).await?;
        let mut violations = Violations::new();
        let id = noted_id("report_id", &request.get_ref().report_id, &mut violations);
        violations.into_result()?;
        let explanation = self.app.explain_report(&call, id).await?;
        Ok(Response::new(encode_explanation(explanation)))
    }

    async fn list_reports(
        &self,
        request: Request<proto::ListReportsRequest>,
    ) -> Result<Response<proto::ListReportsResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ReportsRead).await?;
        let request = request.into_inner();
        let fields = ListFields {
            list: "reports",
            page_size: request.page_size,
            page_token: &request.page_token,
            filter: &request.filter,
            order_by: &request.order_by,
        };
        let mut violations = Violations::new();
        let asked: Asked<ReportId> = fields.read(&mut violations);
        let filter = read_filter(&asked, &mut violations);
        violations.into_result().map_err(Error::Invalid)?;
        let page = self.app.list_reports(&call, &filter, asked.direction, asked.after, asked.size).await?;
        let (reports, next) = encode_page(page, |placed| placed.report.id, encode_report);
        Ok(Response::new(proto::ListReportsResponse { reports, next_page_token: fields.next(next) }))
    }

    async fn move_report(
        &self,
        request: Request<proto::MoveReportRequest>,
    ) -> Result<Response<proto::MoveReportResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ClustersWrite, request_id, &mut violations).await?;
        let request = request.into_inner();
        let report = noted_id("report_id", &request.report_id, &mut violations);
        let target = optional_id("cluster_id", &request.cluster_id, &mut violations);
        check_reason(&request.reason, &mut violations);
        violations.into_result()?;
        let done = self.app.move_report(&call, report, target, &request.reason).await?;
        Ok(Response::new(proto::MoveReportResponse {
            report: Some(encode_report(done.result.placed)),
            operation: Some(encode_operation(done.result.operation)),
            replayed: done.replayed,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_the_same_reads_the_same() {
        let input = proto::ReportInput {
            source: "zendesk".to_owned(),
            platform: " Windows ".to_owned(),
            version: "  ".to_owned(),
            ..proto::ReportInput::default()
        };
        let new = read_report(Some(input), &mut Violations::new());
        assert_eq!((new.platform.as_deref(), new.version), (Some("windows"), None));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let input = proto::ReportInput {
            reporter: Some(proto::Reporter { customer_id: "nobody".to_owned(), ..proto::Reporter::default() }),
            ..proto::ReportInput::default()
        };
        for (report, field) in [(Some(input), "report.reporter.customer_id"), (None, "report")] {
            let mut violations = Violations::new();
            read_report(report, &mut violations);
            let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
            assert_eq!(fields, [field]);
        }
    }
}
