//! Tenants.

use sea_orm::entity::prelude::*;

use crate::domain::id::TenantId;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;
use crate::store::sql_types::JsonText;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: TenantId,
    pub display_name: String,
    pub policy: JsonText<Policy>,
    pub policy_version: i64,
    pub webhook_secret: Option<String>,
    pub previous_webhook_secret: Option<String>,
    pub previous_webhook_secret_expire_time: Option<Timestamp>,
    pub event_sequence: i64,
    pub create_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
