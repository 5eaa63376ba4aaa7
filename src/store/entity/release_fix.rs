//! Which release fixes which defect.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::id::{DefectId, ReleaseId, TenantId};
use crate::domain::release::ReleaseFix;
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "release_fix")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub release_id: ReleaseId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub defect_id: DefectId,
    pub tenant_id: TenantId,
    pub round: i32,
    pub create_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for ReleaseFix {
    fn from(row: Model) -> Self {
        Self {
            release_id: row.release_id,
            defect_id: row.defect_id,
            tenant_id: row.tenant_id,
            round: row.round,
            create_time: row.create_time,
        }
    }
}

impl From<ReleaseFix> for ActiveModel {
    fn from(value: ReleaseFix) -> Self {
        Self {
            release_id: Set(value.release_id),
            defect_id: Set(value.defect_id),
            tenant_id: Set(value.tenant_id),
            round: Set(value.round),
            create_time: Set(value.create_time),
        }
    }
}
