//! Links of clusters and defects.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::cluster::ClusterDefect;
use crate::domain::id::{ClusterId, DefectId, OperationId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "cluster_defect")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub cluster_id: ClusterId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub defect_id: DefectId,
    pub tenant_id: TenantId,
    pub operation_id: Option<OperationId>,
    pub actor: String,
    pub create_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for ClusterDefect {
    fn from(row: Model) -> Self {
        Self {
            cluster_id: row.cluster_id,
            defect_id: row.defect_id,
            tenant_id: row.tenant_id,
            operation_id: row.operation_id,
            actor: row.actor,
            create_time: row.create_time,
        }
    }
}

impl From<ClusterDefect> for ActiveModel {
    fn from(value: ClusterDefect) -> Self {
        Self {
            cluster_id: Set(value.cluster_id),
            defect_id: Set(value.defect_id),
            tenant_id: Set(value.tenant_id),
            operation_id: Set(value.operation_id),
            actor: Set(value.actor),
            create_time: Set(value.create_time),
        }
    }
}
