//! Contact points.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::customer::ContactPoint;
use crate::domain::customer::{ChannelKind, ContactState};
use crate::domain::id::{ContactPointId, CustomerId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "contact_point")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ContactPointId,
    pub tenant_id: TenantId,
    pub customer_id: CustomerId,
    pub channel: ChannelKind,
    pub address: String,
    pub canonical_address: String,
    pub state: ContactState,
    pub unsubscribe_token: String,
    pub position: i32,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for ContactPoint {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            customer_id: row.customer_id,
            channel: row.channel,
            address: row.address,
            canonical_address: row.canonical_address,
            state: row.state,
            unsubscribe_token: row.unsubscribe_token,
            position: row.position,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

impl From<ContactPoint> for ActiveModel {
    fn from(value: ContactPoint) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            customer_id: Set(value.customer_id),
            channel: Set(value.channel),
            address: Set(value.address),
            canonical_address: Set(value.canonical_address),
            state: Set(value.state),
            unsubscribe_token: Set(value.unsubscribe_token),
            position: Set(value.position),
            create_time: Set(value.create_time),
            update_time: Set(value.update_time),
        }
    }
}
