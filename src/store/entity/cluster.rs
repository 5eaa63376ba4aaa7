//! Clusters.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::cluster::Cluster;
use crate::domain::cluster::ClusterState;
use crate::domain::id::{ClusterId, ProductId, TenantId};
use crate::domain::time::Timestamp;
use crate::store::sql_types::JsonText;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "cluster")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ClusterId,
    pub tenant_id: TenantId,
    pub title: String,
    pub title_by_person: bool,
    pub derived_title: String,
    pub key_terms: JsonText<Vec<String>>,
    pub state: ClusterState,
    pub product_id: Option<ProductId>,
    pub workaround: String,
    pub guidance: String,
    pub report_count: i64,
    pub reporter_count: i64,
    pub merged_into_cluster_id: Option<ClusterId>,
    pub sweep_time: Timestamp,
    pub looked_version: i64,
    pub looked_report_count: i64,
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
            title_by_person: row.title_by_person,
            derived_title: row.derived_title,
            key_terms: row.key_terms.0,
            state: row.state,
            product_id: row.product_id,
            workaround: row.workaround,
            guidance: row.guidance,
            report_count: row.report_count,
            reporter_count: row.reporter_count,
            merged_into_cluster_id: row.merged_into_cluster_id,
            sweep_time: row.sweep_time,
            looked_version: row.looked_version,
            looked_report_count: row.looked_report_count,
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
            title_by_person: Set(value.title_by_person),
            derived_title: Set(value.derived_title),
            key_terms: Set(JsonText(value.key_terms)),
            state: Set(value.state),
            product_id: Set(value.product_id),
            workaround: Set(value.workaround),
            guidance: Set(value.guidance),
            report_count: Set(value.report_count),
            reporter_count: Set(value.reporter_count),
            merged_into_cluster_id: Set(value.merged_into_cluster_id),
            sweep_time: Set(value.sweep_time),
            looked_version: Set(value.looked_version),
            looked_report_count: Set(value.looked_report_count),
            version: Set(value.version),
            create_time: Set(value.create_time),
            update_time: Set(value.update_time),
        }
    }
}
