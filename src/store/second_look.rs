//! Which clusters are due for a second look, and what it found out about them.
//!
//! A cluster is due when it changed since the last look: by a person, or by more than an eighth of its reports. A look at
//! a large cluster sees little that is new with every report, and a cluster that grows to a million is looked at some
//! hundred times. Who reads what is due needs no marks, and nothing is written where reports are taken in.

use sea_orm::sea_query::{Expr, ExprTrait};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::domain::cluster::Cluster;
use crate::domain::id::{ClusterId, TenantId};

use super::entity::cluster::{Column, Entity};
use super::error::StoreError;
use super::sql_types::JsonText;
use super::{Reader, Store, TenantScope, Txn};

/// The condition of `ix_cluster_unlooked`, word for word.
const DUE: &str = "(looked_version <> version OR report_count > looked_report_count + looked_report_count / 8)";

/// The next tenant with a cluster that is due, by its id.
pub async fn next_tenant(store: &Store, after: Option<TenantScope>) -> Result<Option<TenantScope>, StoreError> {
    let after = after.map_or(TenantId::from_uuid(Uuid::nil()), TenantScope::tenant);
    let next: Option<TenantId> = Entity::find()
        .select_only()
        .column(Column::TenantId)
        .filter(Expr::cust(DUE))
        .filter(Column::TenantId.gt(after))
        .order_by_asc(Column::TenantId)
        .limit(1)
        .into_tuple()
        .one(&store.read)
        .await?;
    Ok(next.map(TenantScope::new))
}

/// The tenant's next clusters that are due, by their ids.
pub async fn due(db: &Reader<'_>, after: Option<ClusterId>, limit: u64) -> Result<Vec<ClusterId>, StoreError> {
    let after = after.unwrap_or(ClusterId::from_uuid(Uuid::nil()));
    let due = Entity::find()
        .select_only()
        .column(Column::Id)
        .filter(Expr::cust(DUE))
        .filter(Column::TenantId.eq(db.tenant()))
        .filter(Column::Id.gt(after))
        .order_by_asc(Column::Id)
        .limit(limit);
    Ok(due.into_tuple().all(db.db()).await?)
}

/// Stores what was derived from a cluster's reports. It is no person's change: the version stays.
pub async fn set_digest(txn: &Txn, cluster: &Cluster) -> Result<(), StoreError> {
    let by_person = Expr::col(Column::TitleByPerson).eq(true);
    let title = Expr::case(by_person, Expr::col(Column::Title)).finally(Expr::value(cluster.derived_title.clone()));
    Entity::update_many()
        .col_expr(Column::Title, title.into())
        .col_expr(Column::DerivedTitle, Expr::value(cluster.derived_title.clone()))
        .col_expr(Column::KeyTerms, Expr::value(JsonText(cluster.key_terms.clone())))
        .filter(of_tenant(txn, cluster.id))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// The cluster was looked at as it was at this version, with so many reports.
pub async fn looked_at(txn: &Txn, id: ClusterId, version: i64, report_count: i64) -> Result<(), StoreError> {
    Entity::update_many()
        .col_expr(Column::LookedVersion, Expr::value(version))
        .col_expr(Column::LookedReportCount, Expr::value(report_count))
        .filter(of_tenant(txn, id))
        .exec(txn.db())
        .await?;
    Ok(())
}

fn of_tenant(txn: &Txn, id: ClusterId) -> Condition {
    Condition::all().add(Column::TenantId.eq(txn.scope().tenant())).add(Column::Id.eq(id))
}
