//! Announcements.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::announcement::Announcement;
use crate::domain::announcement::{AnnouncementState, Stage};
use crate::domain::id::{AnnouncementId, ClusterId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "announcement")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: AnnouncementId,
    pub tenant_id: TenantId,
    pub cluster_id: ClusterId,
    pub stage: Stage,
    pub state: AnnouncementState,
    pub plan_digest: String,
    pub recipient_count: i64,
    pub told_count: i64,
    pub approved_by: Option<String>,
    pub cancel_reason: String,
    pub create_time: Timestamp,
    pub approve_time: Option<Timestamp>,
    pub update_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Announcement {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            cluster_id: row.cluster_id,
            stage: row.stage,
            state: row.state,
            plan_digest: row.plan_digest,
            recipient_count: row.recipient_count,
            told_count: row.told_count,
            approved_by: row.approved_by,
            cancel_reason: row.cancel_reason,
            create_time: row.create_time,
            approve_time: row.approve_time,
            update_time: row.update_time,
        }
    }
}

impl From<Announcement> for ActiveModel {
    fn from(value: Announcement) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            cluster_id: Set(value.cluster_id),
            stage: Set(value.stage),
            state: Set(value.state),
            plan_digest: Set(value.plan_digest),
            recipient_count: Set(value.recipient_count),
            told_count: Set(value.told_count),
            approved_by: Set(value.approved_by),
            cancel_reason: Set(value.cancel_reason),
            create_time: Set(value.create_time),
            approve_time: Set(value.approve_time),
            update_time: Set(value.update_time),
        }
    }
}
