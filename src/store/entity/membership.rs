//! Which cluster each report is in.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::id::{ClusterId, CustomerId, OperationId, ReportId, TenantId};
use crate::domain::report::Membership;
use crate::domain::report::Origin;
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "membership")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub report_id: ReportId,
    pub tenant_id: TenantId,
    pub cluster_id: ClusterId,
    pub customer_id: CustomerId,
    pub score: f64,
    pub origin: Origin,
    pub actor: Option<String>,
    pub reason: String,
    pub operation_id: Option<OperationId>,
    pub update_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Membership {
    fn from(row: Model) -> Self {
        Self {
            report_id: row.report_id,
            tenant_id: row.tenant_id,
            cluster_id: row.cluster_id,
            customer_id: row.customer_id,
            score: row.score,
            origin: row.origin,
            actor: row.actor,
            reason: row.reason,
            operation_id: row.operation_id,
            update_time: row.update_time,
        }
    }
}

impl From<Membership> for ActiveModel {
    fn from(value: Membership) -> Self {
        Self {
            report_id: Set(value.report_id),
            tenant_id: Set(value.tenant_id),
            cluster_id: Set(value.cluster_id),
            customer_id: Set(value.customer_id),
            score: Set(value.score),
            origin: Set(value.origin),
            actor: Set(value.actor),
            reason: Set(value.reason),
            operation_id: Set(value.operation_id),
            update_time: Set(value.update_time),
        }
    }
}
