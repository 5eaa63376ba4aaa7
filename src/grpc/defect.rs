//! `DefectService`.

use tonic::{Request, Response, Status};

use crate::app::Error;
use crate::app::defect::{DefectView, NewDefect};
use crate::domain::defect::DefectState;
use crate::domain::id::DefectId;
use crate::domain::scope::Scope;
use crate::domain::violation::Violations;
use crate::store::defect::DefectFilter;

use super::list::{Asked, ListFields, any_text, encode_page, equal, unknown_field};
use super::proto::defect_service_server::DefectService;
use super::{Api, convert, proto};

#[tonic::async_trait]
impl DefectService for Api {
    async fn upsert_defect(
        &self,
        request: Request<proto::UpsertDefectRequest>,
    ) -> Result<Response<proto::UpsertDefectResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::DefectsWrite, request_id, &mut violations).await?;
        let new = read_defect(request.into_inner(), &mut violations);
        new.check(&mut violations);
        violations.into_result()?;
        let done = self.app.upsert_defect(&call, new).await?;
        Ok(Response::new(proto::UpsertDefectResponse {
            defect: Some(encode_defect(&done.view)),
            created: done.created,
            replayed: done.replayed,
        }))
    }

    async fn get_defect(
        &self,
        request: Request<proto::GetDefectRequest>,
    ) -> Result<Response<proto::GetDefectResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::DefectsRead).await?;
        let mut violations = Violations::new();
        let defect = convert::defect_ref("defect", &request.get_ref().defect, &mut violations);
        let defect = defect.ok_or(Error::Invalid(violations))?;
        let view = self.app.get_defect(&call, &defect).await?;
        Ok(Response::new(proto::GetDefectResponse { defect: Some(encode_defect(&view)) }))
    }

    async fn list_defects(
        &self,
        request: Request<proto::ListDefectsRequest>,
    ) -> Result<Response<proto::ListDefectsResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::DefectsRead).await?;
        let request = request.into_inner();
        let fields = ListFields {
            list: "defects",
            page_size: request.page_size,
            page_token: &request.page_token,
            filter: &request.filter,
            order_by: &request.order_by,
        };
        let mut violations = Violations::new();
        let asked: Asked<DefectId> = fields.read(&mut violations);
        let filter = read_filter(&asked, &mut violations);
        violations.into_result().map_err(Error::Invalid)?;
        let page = self.app.list_defects(&call, &filter, asked.after, asked.direction, asked.size).await?;
        let (defects, next) = encode_page(page, |view| view.defect.id, |view| encode_defect(&view));
        Ok(Response::new(proto::ListDefectsResponse { defects, next_page_token: fields.next(next) }))
    }
}

fn read_defect(request: proto::UpsertDefectRequest, violations: &mut Violations) -> NewDefect {
    let state = match proto::defect::State::try_from(request.state) {
        Ok(proto::defect::State::Unspecified) => None,
        Ok(proto::defect::State::Open) => Some(DefectState::Open),
        Ok(proto::defect::State::FixMerged) => Some(DefectState::FixMerged),
        Ok(proto::defect::State::Closed) => Some(DefectState::Closed),
        Ok(proto::defect::State::ClosedWithoutFix) => Some(DefectState::ClosedWithoutFix),
        Err(_) => {
            violations
                .add("state", format!("{} is no state that this server knows; send one of 0 to 4", request.state));
            None
        }
    };
    NewDefect {
        tracker: request.tracker,
        key: request.key,
        title: request.title.trim().to_owned(),
        url: request.url.trim().to_owned(),
        state,
    }
}

fn read_filter(asked: &Asked<DefectId>, violations: &mut Violations) -> DefectFilter {
    let mut filter = DefectFilter::default();
    for term in &asked.terms {
        match term.field.as_str() {
            "tracker" => equal(term, &mut filter.tracker, any_text, violations),
            "key" => equal(term, &mut filter.key, any_text, violations),
            "state" => {
                let one_of = |_| "OPEN, FIX_MERGED, CLOSED or CLOSED_WITHOUT_FIX".to_owned();
                equal(term, &mut filter.state, |text| text.parse().map_err(one_of), violations);
            }
            _ => unknown_field(term, "tracker, key or state", violations),
        }
    }
    filter
}

fn encode_state(state: DefectState) -> proto::defect::State {
    match state {
        DefectState::Open => proto::defect::State::Open,
        DefectState::FixMerged => proto::defect::State::FixMerged,
        DefectState::Closed => proto::defect::State::Closed,
        DefectState::ClosedWithoutFix => proto::defect::State::ClosedWithoutFix,
    }
}

/// A defect for the wire.
pub(crate) fn encode_defect(view: &DefectView) -> proto::Defect {
    let DefectView { defect, cluster_ids } = view;
    proto::Defect {
        id: defect.id.to_string(),
        tracker: defect.tracker.clone(),
        key: defect.key.clone(),
        title: defect.title.clone(),
        url: defect.url.clone(),
        state: encode_state(defect.state).into(),
        reopen_count: defect.reopen_count,
        cluster_ids: cluster_ids.iter().map(ToString::to_string).collect(),
        create_time: Some(convert::timestamp(defect.create_time)),
        update_time: Some(convert::timestamp(defect.update_time)),
        etag: defect.version.to_string(),
    }
}
