//! Releases.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::coverage::ReleaseState;
use crate::domain::id::{ProductId, ReleaseId, TenantId};
use crate::domain::release::Platforms;
use crate::domain::release::Release;
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "release")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ReleaseId,
    pub tenant_id: TenantId,
    pub product_id: ProductId,
    pub version: String,
    pub line: Option<String>,
    pub platforms: Platforms,
    pub state: ReleaseState,
    pub yank_reason: String,
    pub sequence: i64,
    pub release_time: Option<Timestamp>,
    pub yank_time: Option<Timestamp>,
    pub row_version: i64,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Release {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            product_id: row.product_id,
            version: row.version,
            line: row.line,
            platforms: row.platforms,
            state: row.state,
            yank_reason: row.yank_reason,
            sequence: row.sequence,
            release_time: row.release_time,
            yank_time: row.yank_time,
            row_version: row.row_version,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

impl From<Release> for ActiveModel {
    fn from(value: Release) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            product_id: Set(value.product_id),
            version: Set(value.version),
            line: Set(value.line),
            platforms: Set(value.platforms),
            state: Set(value.state),
            yank_reason: Set(value.yank_reason),
            sequence: Set(value.sequence),
            release_time: Set(value.release_time),
            yank_time: Set(value.yank_time),
            row_version: Set(value.row_version),
            create_time: Set(value.create_time),
            update_time: Set(value.update_time),
        }
    }
}
