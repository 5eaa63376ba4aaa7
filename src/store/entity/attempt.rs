//! Tries at deliveries.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::delivery::Attempt;
use crate::domain::delivery::AttemptOutcome;
use crate::domain::id::{AttemptId, ContactPointId, DeliveryId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "attempt")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AttemptId,
    pub tenant_id: TenantId,
    pub delivery_id: DeliveryId,
    pub number: i32,
    pub contact_point_id: ContactPointId,
    pub lease_token: i64,
    pub outcome: AttemptOutcome,
    pub detail: String,
    pub start_time: Timestamp,
    pub finish_time: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Attempt {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            delivery_id: row.delivery_id,
            number: row.number,
            contact_point_id: row.contact_point_id,
            lease_token: row.lease_token,
            outcome: row.outcome,
            detail: row.detail,
            start_time: row.start_time,
            finish_time: row.finish_time,
        }
    }
}

impl From<Attempt> for ActiveModel {
    fn from(value: Attempt) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            delivery_id: Set(value.delivery_id),
            number: Set(value.number),
            contact_point_id: Set(value.contact_point_id),
            lease_token: Set(value.lease_token),
            outcome: Set(value.outcome),
            detail: Set(value.detail),
            start_time: Set(value.start_time),
            finish_time: Set(value.finish_time),
        }
    }
}
