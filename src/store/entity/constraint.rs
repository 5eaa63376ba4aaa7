//! Constraints people left.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::cluster::Constraint;
use crate::domain::id::{ClusterId, ConstraintId, OperationId, ReportId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "placement_constraint")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ConstraintId,
    pub tenant_id: TenantId,
    pub report_id: ReportId,
    pub cluster_id: ClusterId,
    pub operation_id: OperationId,
    pub lifted_by_operation_id: Option<OperationId>,
    pub create_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Constraint {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            report_id: row.report_id,
            cluster_id: row.cluster_id,
            operation_id: row.operation_id,
            lifted_by_operation_id: row.lifted_by_operation_id,
            create_time: row.create_time,
        }
    }
}

impl From<Constraint> for ActiveModel {
    fn from(value: Constraint) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            report_id: Set(value.report_id),
            cluster_id: Set(value.cluster_id),
            operation_id: Set(value.operation_id),
            lifted_by_operation_id: Set(value.lifted_by_operation_id),
            create_time: Set(value.create_time),
        }
    }
}
