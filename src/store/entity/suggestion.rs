//! Suggestions.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::explanation::Signals;
use crate::domain::id::{ClusterId, OperationId, ReportId, SuggestionId, TenantId};
use crate::domain::suggestion::{Suggestion, SuggestionKind, SuggestionState};
use crate::domain::time::Timestamp;
use crate::store::sql_types::JsonText;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "suggestion")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: SuggestionId,
    pub tenant_id: TenantId,
    pub kind: SuggestionKind,
    pub report_id: ReportId,
    pub cluster_id: ClusterId,
    pub from_cluster_id: Option<ClusterId>,
    pub report_ids: JsonText<Vec<ReportId>>,
    pub score: f64,
    pub signals: Signals,
    pub state: SuggestionState,
    pub operation_id: Option<OperationId>,
    pub actor: Option<String>,
    pub create_time: Timestamp,
    pub resolve_time: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Suggestion {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            kind: row.kind,
            report_id: row.report_id,
            cluster_id: row.cluster_id,
            from_cluster_id: row.from_cluster_id,
            report_ids: row.report_ids.0,
            score: row.score,
            signals: row.signals,
            state: row.state,
            operation_id: row.operation_id,
            actor: row.actor,
            create_time: row.create_time,
            resolve_time: row.resolve_time,
        }
    }
}

impl From<Suggestion> for ActiveModel {
    fn from(value: Suggestion) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            kind: Set(value.kind),
            report_id: Set(value.report_id),
            cluster_id: Set(value.cluster_id),
            from_cluster_id: Set(value.from_cluster_id),
            report_ids: Set(JsonText(value.report_ids)),
            score: Set(value.score),
            signals: Set(value.signals),
            state: Set(value.state),
            operation_id: Set(value.operation_id),
            actor: Set(value.actor),
            create_time: Set(value.create_time),
            resolve_time: Set(value.resolve_time),
        }
    }
}
