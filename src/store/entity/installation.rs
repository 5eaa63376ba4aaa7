//! Installations.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::customer::Installation;
use crate::domain::id::{CustomerId, InstallationId, ProductId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "installation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: InstallationId,
    pub tenant_id: TenantId,
    pub customer_id: CustomerId,
    pub product_id: ProductId,
    pub version: Option<String>,
    pub platform: String,
    pub environment: String,
    pub region: Option<String>,
    pub ring: Option<String>,
    pub create_time: Timestamp,
    pub last_seen_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Installation {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            customer_id: row.customer_id,
            product_id: row.product_id,
            version: row.version,
            platform: row.platform,
            environment: row.environment,
            region: row.region,
            ring: row.ring,
            create_time: row.create_time,
            last_seen_time: row.last_seen_time,
        }
    }
}

impl From<Installation> for ActiveModel {
    fn from(value: Installation) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            customer_id: Set(value.customer_id),
            product_id: Set(value.product_id),
            version: Set(value.version),
            platform: Set(value.platform),
            environment: Set(value.environment),
            region: Set(value.region),
            ring: Set(value.ring),
            create_time: Set(value.create_time),
            last_seen_time: Set(value.last_seen_time),
        }
    }
}
