//! Deployments.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::id::{DeploymentId, ProductId, ReleaseId, TenantId};
use crate::domain::release::Deployment;
use crate::domain::release::DeploymentState;
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "deployment")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: DeploymentId,
    pub tenant_id: TenantId,
    pub release_id: ReleaseId,
    pub product_id: ProductId,
    pub environment: String,
    pub region: String,
    pub ring: String,
    pub percent: i32,
    pub state: DeploymentState,
    pub roll_back_reason: String,
    pub sequence: i64,
    pub create_time: Timestamp,
    pub full_time: Option<Timestamp>,
    pub update_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Deployment {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            release_id: row.release_id,
            product_id: row.product_id,
            environment: row.environment,
            region: row.region,
            ring: row.ring,
            percent: row.percent,
            state: row.state,
            roll_back_reason: row.roll_back_reason,
            sequence: row.sequence,
            create_time: row.create_time,
            full_time: row.full_time,
            update_time: row.update_time,
        }
    }
}

impl From<Deployment> for ActiveModel {
    fn from(value: Deployment) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            release_id: Set(value.release_id),
            product_id: Set(value.product_id),
            environment: Set(value.environment),
            region: Set(value.region),
            ring: Set(value.ring),
            percent: Set(value.percent),
            state: Set(value.state),
            roll_back_reason: Set(value.roll_back_reason),
            sequence: Set(value.sequence),
            create_time: Set(value.create_time),
            full_time: Set(value.full_time),
            update_time: Set(value.update_time),
        }
    }
}
