//! What the reconciler must look at.

use sea_orm::entity::prelude::*;

use crate::domain::id::{CustomerId, TenantId};
use crate::domain::time::Timestamp;
use crate::store::dirty::DirtyKind;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "dirty_mark")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub kind: DirtyKind,
    #[sea_orm(primary_key, auto_increment = false)]
    pub subject: Uuid,
    pub tenant_id: TenantId,
    pub due_time: Timestamp,
    pub mark_count: i64,
    pub page_cursor: Option<CustomerId>,
}

impl ActiveModelBehavior for ActiveModel {}
