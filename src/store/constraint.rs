//! Constraints: people's lasting word on who does not belong where (law 5).

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, Condition, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef};

use crate::domain::cluster::Constraint;
use crate::domain::id::{ClusterId, ConstraintId, OperationId, ReportId};

use super::entity::{constraint, membership};
use super::error::StoreError;
use super::{Reader, Txn, chunks};

/// A page of the constraints that hold, by their ids.
pub async fn list(db: &Reader<'_>, after: Option<ConstraintId>, size: u64) -> Result<Vec<Constraint>, StoreError> {
    let rows = holding(db)
        .filter(Condition::all().add_option(after.map(|id| constraint::Column::Id.gt(id))))
        .order_by_asc(constraint::Column::Id)
        .limit(size)
        .all(db.db())
        .await?;
    Ok(rows.into_iter().map(Constraint::from).collect())
}

/// The constraints that hold for the reports that are in a cluster now.
pub async fn of_members(db: &Reader<'_>, cluster: ClusterId) -> Result<Vec<Constraint>, StoreError> {
    let place_of_report: RelationDef = constraint::Entity::belongs_to(membership::Entity)
        .from(constraint::Column::ReportId)
        .to(membership::Column::ReportId)
        .into();
    let rows = holding(db)
        .join(JoinType::InnerJoin, place_of_report)
        .filter(membership::Column::ClusterId.eq(cluster))
        .all(db.db())
        .await?;
    Ok(rows.into_iter().map(Constraint::from).collect())
}

/// The constraints that hold for one report.
pub async fn of_report(db: &Reader<'_>, report: ReportId) -> Result<Vec<Constraint>, StoreError> {
    let rows = holding(db).filter(constraint::Column::ReportId.eq(report)).all(db.db()).await?;
    Ok(rows.into_iter().map(Constraint::from).collect())
}

fn holding(db: &Reader<'_>) -> sea_orm::Select<constraint::Entity> {
    constraint::Entity::find()
        .filter(constraint::Column::TenantId.eq(db.tenant()))
        .filter(constraint::Column::LiftedByOperationId.is_null())
}

/// Stores constraints.
pub async fn insert(txn: &Txn, constraints: Vec<Constraint>) -> Result<(), StoreError> {
    for chunk in chunks(constraints) {
        let rows = chunk.into_iter().map(constraint::ActiveModel::from);
        constraint::Entity::insert_many(rows).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// A later word sets constraints aside.
pub async fn lift(txn: &Txn, ids: Vec<ConstraintId>, by: OperationId) -> Result<(), StoreError> {
    for chunk in chunks(ids) {
        constraint::Entity::update_many()
            .col_expr(constraint::Column::LiftedByOperationId, Expr::value(by))
            .filter(constraint::Column::TenantId.eq(txn.scope().tenant()))
            .filter(constraint::Column::Id.is_in(chunk))
            .exec(txn.db())
            .await?;
    }
    Ok(())
}

/// Takes back what an operation said: its own constraints go, and those it set aside hold again.
pub async fn take_back(txn: &Txn, operation: OperationId) -> Result<(), StoreError> {
    let of_tenant = constraint::Column::TenantId.eq(txn.scope().tenant());
    constraint::Entity::delete_many()
        .filter(of_tenant.clone())
        .filter(constraint::Column::OperationId.eq(operation))
        .exec(txn.db())
        .await?;
    constraint::Entity::update_many()
        .col_expr(constraint::Column::LiftedByOperationId, Expr::value(None::<OperationId>))
        .filter(of_tenant)
        .filter(constraint::Column::LiftedByOperationId.eq(operation))
        .exec(txn.db())
        .await?;
    Ok(())
}
