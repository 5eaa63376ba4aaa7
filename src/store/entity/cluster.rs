//! Clusters.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::cluster::Cluster;
use crate::domain::cluster::ClusterState;
use crate::domain::id::{ClusterId, ProductId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "cluster")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ClusterId,
    pub tenant_id: TenantId,
    pub title: String,
    pub state: ClusterState,
    pub product_id: Option<ProductId>,
    pub workaround: String,
    pub guidance: String,
    pub report_count: i64,
    pub reporter_count: i64,
    pub merged_into_cluster_id: Option<ClusterId>,
    pub sweep_time: Timestamp,
    pub version: i64,
    pub create_time: Timestamp,
    pub update_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Cluster {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            title: row.title,
            state: row.state,
            product_id: row.product_id,
            workaround: row.workaround,
            guidance: row.guidance,
            report_count: row.report_count,
            reporter_count: row.reporter_count,
            merged_into_cluster_id: row.merged_into_cluster_id,
            sweep_time: row.sweep_time,
            version: row.version,
            create_time: row.create_time,
            update_time: row.update_time,
        }
    }
}

impl From<Cluster> for ActiveModel {
    fn from(value: Cluster) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            title: Set(value.title),
            state: Set(value.state),
            product_id: Set(value.product_id),
            workaround: Set(value.workaround),
            guidance: Set(value.guidance),
            report_count: Set(value.report_count),
            reporter_count: Set(value.reporter_count),
            merged_into_cluster_id: Set(value.merged_into_cluster_id),
            sweep_time: Set(value.sweep_time),
            version: Set(value.version),
            create_time: Set(value.create_time),
            update_time: Set(value.update_time),
        }
    }
}
