//! Operations that can be undone.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::cluster::Operation;
use crate::domain::cluster::OperationKind;
use crate::domain::id::{ClusterId, OperationId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "operation")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: OperationId,
    pub tenant_id: TenantId,
    pub kind: OperationKind,
    pub from_cluster_id: ClusterId,
    pub to_cluster_id: ClusterId,
    pub created_cluster: bool,
    pub report_count: i64,
    pub actor: String,
    pub reason: String,
    pub undo_time: Option<Timestamp>,
    pub create_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Operation {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            kind: row.kind,
            from_cluster_id: row.from_cluster_id,
            to_cluster_id: row.to_cluster_id,
            created_cluster: row.created_cluster,
            report_count: row.report_count,
            actor: row.actor,
            reason: row.reason,
            undo_time: row.undo_time,
            create_time: row.create_time,
        }
    }
}

impl From<Operation> for ActiveModel {
    fn from(value: Operation) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            kind: Set(value.kind),
            from_cluster_id: Set(value.from_cluster_id),
            to_cluster_id: Set(value.to_cluster_id),
            created_cluster: Set(value.created_cluster),
            report_count: Set(value.report_count),
            actor: Set(value.actor),
            reason: Set(value.reason),
            undo_time: Set(value.undo_time),
            create_time: Set(value.create_time),
        }
    }
}
