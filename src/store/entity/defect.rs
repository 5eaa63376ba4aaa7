//! Defects.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::defect::Defect;
use crate::domain::defect::DefectState;
use crate::domain::id::{DefectId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "defect")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DefectId,
    pub tenant_id: TenantId,
    pub tracker: String,
    pub key: String,
    pub title: String,
    pub url: String,
    pub state: DefectState,
    pub reopen_count: i32,
    pub version: i64,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Defect {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            tracker: row.tracker,
            key: row.key,
            title: row.title,
            url: row.url,
            state: row.state,
            reopen_count: row.reopen_count,
            version: row.version,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

impl From<Defect> for ActiveModel {
    fn from(value: Defect) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            tracker: Set(value.tracker),
            key: Set(value.key),
            title: Set(value.title),
            url: Set(value.url),
            state: Set(value.state),
            reopen_count: Set(value.reopen_count),
            version: Set(value.version),
            create_time: Set(value.create_time),
            update_time: Set(value.update_time),
        }
    }
}
