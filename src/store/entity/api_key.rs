//! API keys.

use sea_orm::entity::prelude::*;

use crate::domain::id::{ApiKeyId, TenantId};
use crate::domain::scope::Scopes;
use crate::domain::time::Timestamp;
use crate::store::sql_types::JsonText;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ApiKeyId,
    pub tenant_id: TenantId,
    pub display_name: String,
    pub secret_hash: String,
    pub scopes: JsonText<Scopes>,
    pub create_time: Timestamp,
    pub expire_time: Option<Timestamp>,
    pub revoke_time: Option<Timestamp>,
}

impl ActiveModelBehavior for ActiveModel {}
