//! The told-truth ledger.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::announcement::Stage;
use crate::domain::coverage::Verdict;
use crate::domain::id::{
    AnnouncementId, ClusterId, CustomerId, DefectId, DeliveryId, ReleaseId, StatementId, TenantId,
};
use crate::domain::ledger::Statement;
use crate::domain::ledger::StatementState;
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "statement")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: StatementId,
    pub tenant_id: TenantId,
    pub customer_id: CustomerId,
    pub defect_id: DefectId,
    pub stage: Stage,
    pub ordinal: i32,
    pub state: StatementState,
    pub reason: String,
    pub cluster_id: ClusterId,
    pub announcement_id: Option<AnnouncementId>,
    pub delivery_id: Option<DeliveryId>,
    pub release_id: Option<ReleaseId>,
    pub version: String,
    pub verdict: Option<Verdict>,
    pub rule: String,
    pub told_time: Option<Timestamp>,
    pub withdraw_time: Option<Timestamp>,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Statement {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            customer_id: row.customer_id,
            defect_id: row.defect_id,
            stage: row.stage,
            ordinal: row.ordinal,
            state: row.state,
            reason: row.reason,
            cluster_id: row.cluster_id,
            announcement_id: row.announcement_id,
            delivery_id: row.delivery_id,
            release_id: row.release_id,
            version: row.version,
            verdict: row.verdict,
            rule: row.rule,
            told_time: row.told_time,
            withdraw_time: row.withdraw_time,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

impl From<Statement> for ActiveModel {
    fn from(value: Statement) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            customer_id: Set(value.customer_id),
            defect_id: Set(value.defect_id),
            stage: Set(value.stage),
            ordinal: Set(value.ordinal),
            state: Set(value.state),
            reason: Set(value.reason),
            cluster_id: Set(value.cluster_id),
            announcement_id: Set(value.announcement_id),
            delivery_id: Set(value.delivery_id),
            release_id: Set(value.release_id),
            version: Set(value.version),
            verdict: Set(value.verdict),
            rule: Set(value.rule),
            told_time: Set(value.told_time),
            withdraw_time: Set(value.withdraw_time),
            create_time: Set(value.create_time),
            update_time: Set(value.update_time),
        }
    }
}
