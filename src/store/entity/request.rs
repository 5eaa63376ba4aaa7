//! Answered requests, by their ids.

use sea_orm::entity::prelude::*;

use crate::domain::id::TenantId;
use crate::domain::time::Timestamp;
use crate::store::request::Fingerprint;
use crate::store::sql_types::JsonText;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "request")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: TenantId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub method: String,
    pub fingerprint: JsonText<Fingerprint>,
    pub result: JsonText<serde_json::Value>,
    pub create_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
