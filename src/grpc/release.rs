//! `ReleaseService`.

use tonic::{Request, Response, Status};

use crate::app::Error;
use crate::app::coverage::CoverageSubject;
use crate::app::deployment::NewDeployment;
use crate::app::release::{NewRelease, ReleaseView};
use crate::domain::coverage::ReleaseState;
use crate::domain::id::{DeploymentId, ReleaseId};
use crate::domain::release::{Deployment, DeploymentState};
use crate::domain::scope::Scope;
use crate::domain::violation::Violations;
use crate::store::release::ReleaseFilter;

use super::coverage::{encode_coverage, read_installation};
use super::list::{Asked, ListFields, any_id, any_text, encode_page, equal, unknown_field};
use super::proto::release_service_server::ReleaseService;
use super::{Api, convert, proto};

#[tonic::async_trait]
impl ReleaseService for Api {
    async fn record_release(
        &self,
        request: Request<proto::RecordReleaseRequest>,
    ) -> Result<Response<proto::RecordReleaseResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ReleasesWrite, request_id, &mut violations).await?;
        let new = read_release(request.into_inner(), &mut violations);
        let done = self.app.record_release(&call, new, violations).await?;
        Ok(Response::new(proto::RecordReleaseResponse {
            release: Some(encode_release(&done.view)),
            created: done.created,
            replayed: done.replayed,
        }))
    }

    async fn yank_release(
        &self,
        request: Request<proto::YankReleaseRequest>,
    ) -> Result<Response<proto::YankReleaseResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ReleasesWrite, request_id, &mut violations).await?;
        let request = request.into_inner();
        let id: ReleaseId = convert::noted_id("release_id", &request.release_id, &mut violations);
        violations.text("reason", &request.reason, 1_000);
        violations.into_result()?;
        let (view, replayed) = self.app.yank_release(&call, id, &request.reason).await?;
        Ok(Response::new(proto::YankReleaseResponse { release: Some(encode_release(&view)), replayed }))
    }

    async fn record_deployment(
        &self,
        request: Request<proto::RecordDeploymentRequest>,
    ) -> Result<Response<proto::RecordDeploymentResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ReleasesWrite, request_id, &mut violations).await?;
        let request = request.into_inner();
        let new = NewDeployment {
            release_id: convert::required_id("release_id", &request.release_id, &mut violations),
            environment: request.environment,
            region: request.region,
            ring: request.ring,
            percent: request.percent,
        };
        let done = self.app.record_deployment(&call, new, violations).await?;
        Ok(Response::new(proto::RecordDeploymentResponse {
            deployment: Some(encode_deployment(&done.result)),
            replayed: done.replayed,
        }))
    }

    async fn roll_back_deployment(
        &self,
        request: Request<proto::RollBackDeploymentRequest>,
    ) -> Result<Response<proto::RollBackDeploymentResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ReleasesWrite, request_id, &mut violations).await?;
        let request = request.into_inner();
        let id: DeploymentId = convert::noted_id("deployment_id", &request.deployment_id, &mut violations);
        violations.text("reason", &request.reason, 1_000);
        violations.into_result()?;
        let done = self.app.roll_back_deployment(&call, id, &request.reason).await?;
        Ok(Response::new(proto::RollBackDeploymentResponse {
            deployment: Some(encode_deployment(&done.result)),
            replayed: done.replayed,
        }))
    }

    async fn get_release(
        &self,
        request: Request<proto::GetReleaseRequest>,
    ) -> Result<Response<proto::GetReleaseResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ReleasesRead).await?;
        let mut violations = Violations::new();
        let id = convert::required_id("release_id", &request.get_ref().release_id, &mut violations);
        let view = self.app.get_release(&call, id.ok_or(Error::Invalid(violations))?).await?;
        Ok(Response::new(proto::GetReleaseResponse { release: Some(encode_release(&view)) }))
    }

    async fn list_releases(
        &self,
        request: Request<proto::ListReleasesRequest>,
    ) -> Result<Response<proto::ListReleasesResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ReleasesRead).await?;
        let request = request.into_inner();
        let fields = ListFields {
            list: "releases",
            page_size: request.page_size,
            page_token: &request.page_token,
            filter: &request.filter,
            order_by: &request.order_by,
        };
        let mut violations = Violations::new();
        let asked: Asked<ReleaseId> = fields.read(&mut violations);
        let filter = read_filter(&asked, &mut violations);
        violations.into_result().map_err(Error::Invalid)?;
        let page = self.app.list_releases(&call, &filter, asked.after, asked.direction, asked.size).await?;
        let (releases, next) = encode_page(page, |view| view.release.id, |view| encode_release(&view));
        Ok(Response::new(proto::ListReleasesResponse { releases, next_page_token: fields.next(next) }))
    }

    async fn get_coverage(
        &self,
        request: Request<proto::GetCoverageRequest>,
    ) -> Result<Response<proto::GetCoverageResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ReleasesRead).await?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let defect = convert::defect_ref("defect", &request.defect, &mut violations);
        let subject = read_subject(request.subject, &mut violations);
        let (Some(defect), Some(subject), true) = (defect, subject, violations.is_empty()) else {
            return Err(Error::Invalid(violations).into());
        };
        let judged = self.app.get_coverage(&call, &defect, subject).await?;
        let coverages = judged.iter().map(|judged| match &judged.installation {
            Some((product, facts)) => encode_coverage(&judged.coverage, Some(facts), &product.to_string()),
            None => encode_coverage(&judged.coverage, None, ""),
        });
        Ok(Response::new(proto::GetCoverageResponse { coverages: coverages.collect() }))
    }
}

fn read_release(request: proto::RecordReleaseRequest, violations: &mut Violations) -> NewRelease {
    let state = match proto::release::State::try_from(request.state) {
        Ok(proto::release::State::Planned) => ReleaseState::Planned,
        Ok(proto::release::State::Unspecified | proto::release::State::Released) => ReleaseState::Released,
        Ok(proto::release::State::Yanked) => ReleaseState::Yanked,
        Err(_) => {
            let problem = format!("{} is no state that this server knows; send PLANNED or RELEASED", request.state);
            violations.add("state", problem);
            ReleaseState::Released
        }
    };
    let defects = request.defects.iter().enumerate();
    NewRelease {
        defects: defects
            .filter_map(|(index, text)| convert::defect_ref(&format!("defects[{index}]"), text, violations))
            .collect(),
        product: request.product,
        version: request.version,
        line: request.line,
        platforms: request.platforms,
        state,
    }
}

fn read_filter(asked: &Asked<ReleaseId>, violations: &mut Violations) -> ReleaseFilter {
    let mut filter = ReleaseFilter::default();
    for term in &asked.terms {
        match term.field.as_str() {
            "product_id" => equal(term, &mut filter.product_id, any_id, violations),
            "version" => equal(term, &mut filter.version, any_text, violations),
            "line" => equal(term, &mut filter.line, any_text, violations),
            "state" => {
                let one_of = |_| "PLANNED, RELEASED or YANKED".to_owned();
                equal(term, &mut filter.state, |text| text.parse().map_err(one_of), violations);
            }
            "defect_id" => equal(term, &mut filter.defect_id, any_id, violations),
            _ => unknown_field(term, "product_id, version, line, state or defect_id", violations),
        }
    }
    filter
}

fn read_subject(
    subject: Option<proto::get_coverage_request::Subject>,
    violations: &mut Violations,
) -> Option<CoverageSubject> {
    use proto::get_coverage_request::Subject;
    match subject {
        None => {
            violations.add("subject", "is required; set customer_id or installation");
            None
        }
        Some(Subject::CustomerId(id)) => {
            convert::required_id("customer_id", &id, violations).map(CoverageSubject::Customer)
        }
        Some(Subject::Installation(installation)) => {
            violations.required_text("installation.product", &installation.product, 128);
            let facts = read_installation("installation", &installation, violations);
            Some(CoverageSubject::Installation { product: installation.product.trim().to_owned(), facts })
        }
    }
}

fn encode_state(state: ReleaseState) -> proto::release::State {
    match state {
        ReleaseState::Planned => proto::release::State::Planned,
        ReleaseState::Released => proto::release::State::Released,
        ReleaseState::Yanked => proto::release::State::Yanked,
    }
}

/// A release for the wire.
pub(crate) fn encode_release(view: &ReleaseView) -> proto::Release {
    let ReleaseView { release, defect_ids, deployments } = view;
    proto::Release {
        id: release.id.to_string(),
        product_id: release.product_id.to_string(),
        version: release.version.clone(),
        line: release.line.clone().unwrap_or_default(),
        platforms: release.platforms.0.iter().cloned().collect(),
        state: encode_state(release.state).into(),
        defect_ids: defect_ids.iter().map(ToString::to_string).collect(),
        deployments: deployments.iter().map(encode_deployment).collect(),
        yank_reason: release.yank_reason.clone(),
        release_time: release.release_time.map(convert::timestamp),
        yank_time: release.yank_time.map(convert::timestamp),
        create_time: Some(convert::timestamp(release.create_time)),
        etag: release.row_version.to_string(),
    }
}

/// A deployment for the wire.
pub(crate) fn encode_deployment(deployment: &Deployment) -> proto::Deployment {
    let state = match deployment.state {
        DeploymentState::Active => proto::deployment::State::Active,
        DeploymentState::RolledBack => proto::deployment::State::RolledBack,
    };
    proto::Deployment {
        id: deployment.id.to_string(),
        release_id: deployment.release_id.to_string(),
        environment: deployment.environment.clone(),
        region: deployment.region.clone(),
        ring: deployment.ring.clone(),
        percent: deployment.percent,
        state: state.into(),
        create_time: Some(convert::timestamp(deployment.create_time)),
        update_time: Some(convert::timestamp(deployment.update_time)),
        roll_back_reason: deployment.roll_back_reason.clone(),
    }
}
