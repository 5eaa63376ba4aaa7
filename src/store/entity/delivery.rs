//! Deliveries.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::announcement::Stage;
use crate::domain::coverage::Verdict;
use crate::domain::customer::ChannelKind;
use crate::domain::delivery::Delivery;
use crate::domain::delivery::DeliveryState;
use crate::domain::id::{AnnouncementId, ClusterId, ContactPointId, CustomerId, DeliveryId, ReleaseId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "delivery")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DeliveryId,
    pub tenant_id: TenantId,
    pub announcement_id: AnnouncementId,
    pub cluster_id: ClusterId,
    pub customer_id: CustomerId,
    pub stage: Stage,
    pub contact_point_id: ContactPointId,
    pub channel: ChannelKind,
    pub state: DeliveryState,
    pub reason: String,
    pub verdict: Option<Verdict>,
    pub release_id: Option<ReleaseId>,
    pub version: String,
    pub attempt_count: i32,
    pub contact_attempt_count: i32,
    pub unknown_count: i32,
    pub next_attempt_time: Timestamp,
    pub lease_token: i64,
    pub lease_expire_time: Option<Timestamp>,
    pub create_time: Timestamp,
    pub finish_time: Option<Timestamp>,
    pub update_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Delivery {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            announcement_id: row.announcement_id,
            cluster_id: row.cluster_id,
            customer_id: row.customer_id,
            stage: row.stage,
            contact_point_id: row.contact_point_id,
            channel: row.channel,
            state: row.state,
            reason: row.reason,
            verdict: row.verdict,
            release_id: row.release_id,
            version: row.version,
            attempt_count: row.attempt_count,
            contact_attempt_count: row.contact_attempt_count,
            unknown_count: row.unknown_count,
            next_attempt_time: row.next_attempt_time,
            lease_token: row.lease_token,
            lease_expire_time: row.lease_expire_time,
            create_time: row.create_time,
            finish_time: row.finish_time,
            update_time: row.update_time,
        }
    }
}

impl From<Delivery> for ActiveModel {
    fn from(value: Delivery) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            announcement_id: Set(value.announcement_id),
            cluster_id: Set(value.cluster_id),
            customer_id: Set(value.customer_id),
            stage: Set(value.stage),
            contact_point_id: Set(value.contact_point_id),
            channel: Set(value.channel),
            state: Set(value.state),
            reason: Set(value.reason),
            verdict: Set(value.verdict),
            release_id: Set(value.release_id),
            version: Set(value.version),
            attempt_count: Set(value.attempt_count),
            contact_attempt_count: Set(value.contact_attempt_count),
            unknown_count: Set(value.unknown_count),
            next_attempt_time: Set(value.next_attempt_time),
            lease_token: Set(value.lease_token),
            lease_expire_time: Set(value.lease_expire_time),
            create_time: Set(value.create_time),
            finish_time: Set(value.finish_time),
            update_time: Set(value.update_time),
        }
    }
}
