//! The history.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::event::Event;
use crate::domain::event::EventKind;
use crate::domain::id::{ClusterId, CustomerId, EventId, TenantId};
use crate::domain::time::Timestamp;
use crate::store::sql_types::JsonText;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "event")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: TenantId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub sequence: i64,
    pub id: EventId,
    pub kind: EventKind,
    pub subject: String,
    pub actor: String,
    pub cluster_id: Option<ClusterId>,
    pub customer_id: Option<CustomerId>,
    pub data: JsonText<serde_json::Value>,
    pub time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Event {
    fn from(row: Model) -> Self {
        Self {
            tenant_id: row.tenant_id,
            sequence: row.sequence,
            id: row.id,
            kind: row.kind,
            subject: row.subject,
            actor: row.actor,
            cluster_id: row.cluster_id,
            customer_id: row.customer_id,
            data: row.data.0,
            time: row.time,
        }
    }
}

impl From<Event> for ActiveModel {
    fn from(value: Event) -> Self {
        Self {
            tenant_id: Set(value.tenant_id),
            sequence: Set(value.sequence),
            id: Set(value.id),
            kind: Set(value.kind),
            subject: Set(value.subject),
            actor: Set(value.actor),
            cluster_id: Set(value.cluster_id),
            customer_id: Set(value.customer_id),
            data: Set(JsonText(value.data)),
            time: Set(value.time),
        }
    }
}
