//! Products.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::id::{ProductId, TenantId};
use crate::domain::product::Lines;
use crate::domain::product::Product;
use crate::domain::time::Timestamp;
use crate::domain::version::VersionScheme;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "product")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ProductId,
    pub tenant_id: TenantId,
    pub key: String,
    pub display_name: String,
    pub version_scheme: VersionScheme,
    pub lines: Lines,
    pub version: i64,
    pub create_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Product {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            key: row.key,
            display_name: row.display_name,
            version_scheme: row.version_scheme,
            lines: row.lines,
            version: row.version,
            create_time: row.create_time,
        }
    }
}

impl From<Product> for ActiveModel {
    fn from(value: Product) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            key: Set(value.key),
            display_name: Set(value.display_name),
            version_scheme: Set(value.version_scheme),
            lines: Set(value.lines),
            version: Set(value.version),
            create_time: Set(value.create_time),
        }
    }
}
