//! How reports stood before an operation.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::cluster::OperationMember;
use crate::domain::id::{OperationId, ReportId};
use crate::domain::report::Origin;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "operation_member")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub operation_id: OperationId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub report_id: ReportId,
    pub score: f64,
    pub origin: Origin,
    pub actor: Option<String>,
    pub reason: String,
    pub previous_operation_id: Option<OperationId>,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for OperationMember {
    fn from(row: Model) -> Self {
        Self {
            operation_id: row.operation_id,
            report_id: row.report_id,
            score: row.score,
            origin: row.origin,
            actor: row.actor,
            reason: row.reason,
            previous_operation_id: row.previous_operation_id,
        }
    }
}

impl From<OperationMember> for ActiveModel {
    fn from(value: OperationMember) -> Self {
        Self {
            operation_id: Set(value.operation_id),
            report_id: Set(value.report_id),
            score: Set(value.score),
            origin: Set(value.origin),
            actor: Set(value.actor),
            reason: Set(value.reason),
            previous_operation_id: Set(value.previous_operation_id),
        }
    }
}
