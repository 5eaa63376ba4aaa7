//! Customers.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::customer::Customer;
use crate::domain::id::{CustomerId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "customer")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: CustomerId,
    pub tenant_id: TenantId,
    pub external_id: Option<String>,
    pub display_name: String,
    pub locale: String,
    pub time_zone: String,
    pub opted_out: bool,
    pub version: i64,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Customer {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            external_id: row.external_id,
            display_name: row.display_name,
            locale: row.locale,
            time_zone: row.time_zone,
            opted_out: row.opted_out,
            version: row.version,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

impl From<Customer> for ActiveModel {
    fn from(value: Customer) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            external_id: Set(value.external_id),
            display_name: Set(value.display_name),
            locale: Set(value.locale),
            time_zone: Set(value.time_zone),
            opted_out: Set(value.opted_out),
            version: Set(value.version),
            create_time: Set(value.create_time),
            update_time: Set(value.update_time),
        }
    }
}
