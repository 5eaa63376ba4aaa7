//! What people did to clusters. Whole clusters move by statements of a constant number, whatever their size: how each
//! report stood before is copied inside the database, so that it can be put back exactly (law 5).

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef,
};

use crate::domain::cluster::{Operation, OperationKind};
use crate::domain::id::{ClusterId, CustomerId, OperationId, ReportId};
use crate::domain::report::Origin;

use super::entity::{membership, operation, operation_member};
use super::error::StoreError;
use super::{Reader, Txn, chunks};

/// Stores an operation.
pub async fn insert(txn: &Txn, operation: Operation) -> Result<(), StoreError> {
    operation::Entity::insert(operation::ActiveModel::from(operation)).exec_without_returning(txn.db()).await?;
    Ok(())
}

/// One operation.
pub async fn find(db: &Reader<'_>, id: OperationId) -> Result<Option<Operation>, StoreError> {
    let row =
        operation::Entity::find_by_id(id).filter(operation::Column::TenantId.eq(db.tenant())).one(db.db()).await?;
    Ok(row.map(Operation::from))
}

/// The operation was taken back.
pub async fn set_undone(txn: &Txn, id: OperationId) -> Result<(), StoreError> {
    operation::Entity::update_many()
        .col_expr(operation::Column::UndoTime, Expr::value(txn.now()))
        .filter(operation::Column::Id.eq(id))
        .filter(operation::Column::TenantId.eq(txn.scope().tenant()))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// The merge that stands and took a cluster's reports away.
pub async fn standing_merge_of(db: &Reader<'_>, from: ClusterId) -> Result<Option<Operation>, StoreError> {
    let row = operation::Entity::find()
        .filter(operation::Column::TenantId.eq(db.tenant()))
        .filter(operation::Column::FromClusterId.eq(from))
        .filter(operation::Column::Kind.eq(OperationKind::Merge))
        .filter(operation::Column::UndoTime.is_null())
        .order_by_desc(operation::Column::Id)
        .one(db.db())
        .await?;
    Ok(row.map(Operation::from))
}

/// The merges that stand and came to the same cluster after this one, oldest first.
pub async fn later_merges_into(db: &Reader<'_>, merge: &Operation) -> Result<Vec<Operation>, StoreError> {
    let rows = operation::Entity::find()
        .filter(operation::Column::TenantId.eq(db.tenant()))
        .filter(operation::Column::ToClusterId.eq(merge.to_cluster_id))
        .filter(operation::Column::Kind.eq(OperationKind::Merge))
        .filter(operation::Column::UndoTime.is_null())
        .filter(operation::Column::Id.gt(merge.id))
        .order_by_asc(operation::Column::Id)
        .all(db.db())
        .await?;
    Ok(rows.into_iter().map(Operation::from).collect())
}

fn reports_of(id: OperationId) -> SelectStatement {
    Query::select()
        .column(operation_member::Column::ReportId)
        .from(operation_member::Entity)
        .and_where(operation_member::Column::OperationId.eq(id))
        .to_owned()
}

/// Moves the reports of an operation from its one cluster to the other, and keeps how each of them stood before.
/// `None` moves all.
pub async fn move_members(txn: &Txn, operation: &Operation, reports: Option<&[ReportId]>) -> Result<(), StoreError> {
    let narrowings: Vec<Condition> = match reports {
        None => vec![Condition::all()],
        Some(reports) => chunks(reports.iter().copied())
            .map(|chunk| Condition::all().add(membership::Column::ReportId.is_in(chunk)))
            .collect(),
    };
    for narrowing in narrowings {
        let before = Query::select()
            .expr(Expr::value(operation.id))
            .columns([
                membership::Column::ReportId,
                membership::Column::Score,
                membership::Column::Origin,
                membership::Column::Actor,
                membership::Column::Reason,
                membership::Column::OperationId,
            ])
            .from(membership::Entity)
            .and_where(membership::Column::TenantId.eq(txn.scope().tenant()))
            .and_where(membership::Column::ClusterId.eq(operation.from_cluster_id))
            .cond_where(narrowing)
            .to_owned();
        let copy = Query::insert()
            .into_table(operation_member::Entity)
            .columns([
                operation_member::Column::OperationId,
                operation_member::Column::ReportId,
                operation_member::Column::Score,
                operation_member::Column::Origin,
                operation_member::Column::Actor,
                operation_member::Column::Reason,
                operation_member::Column::PreviousOperationId,
            ])
            .select_from(before)
            .expect("as many columns are selected as are inserted")
            .to_owned();
        txn.db().execute(&copy).await?;
    }
    membership::Entity::update_many()
        .col_expr(membership::Column::ClusterId, Expr::value(operation.to_cluster_id))
        .col_expr(membership::Column::Score, Expr::value(1.0))
        .col_expr(membership::Column::Origin, Expr::value(Origin::Human))
        .col_expr(membership::Column::Actor, Expr::value(operation.actor.clone()))
        .col_expr(membership::Column::Reason, Expr::value(operation.reason.clone()))
        .col_expr(membership::Column::OperationId, Expr::value(operation.id))
        .col_expr(membership::Column::UpdateTime, Expr::value(txn.now()))
        .filter(membership::Column::TenantId.eq(txn.scope().tenant()))
        .filter(membership::Column::ReportId.in_subquery(reports_of(operation.id)))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// Puts the reports of an operation back where and as they were.
pub async fn restore_members(txn: &Txn, operation: &Operation) -> Result<(), StoreError> {
    let before = |column: operation_member::Column| {
        let select = Query::select()
            .column((operation_member::Entity, column))
            .from(operation_member::Entity)
            .and_where(operation_member::Column::OperationId.eq(operation.id))
            .and_where(
                Expr::col((operation_member::Entity, operation_member::Column::ReportId))
                    .equals((membership::Entity, membership::Column::ReportId)),
            )
            .to_owned();
        Expr::SubQuery(None, Box::new(select.into()))
    };
    membership::Entity::update_many()
        .col_expr(membership::Column::ClusterId, Expr::value(operation.from_cluster_id))
        .col_expr(membership::Column::Score, before(operation_member::Column::Score))
        .col_expr(membership::Column::Origin, before(operation_member::Column::Origin))
        .col_expr(membership::Column::Actor, before(operation_member::Column::Actor))
        .col_expr(membership::Column::Reason, before(operation_member::Column::Reason))
        .col_expr(membership::Column::OperationId, before(operation_member::Column::PreviousOperationId))
        .col_expr(membership::Column::UpdateTime, Expr::value(txn.now()))
        .filter(membership::Column::TenantId.eq(txn.scope().tenant()))
        .filter(membership::Column::ReportId.in_subquery(reports_of(operation.id)))
        .exec(txn.db())
        .await?;
    Ok(())
}

fn members_of(db: &Reader<'_>, id: OperationId) -> sea_orm::Select<membership::Entity> {
    let moved_member: RelationDef = membership::Entity::belongs_to(operation_member::Entity)
        .from(membership::Column::ReportId)
        .to(operation_member::Column::ReportId)
        .into();
    membership::Entity::find()
        .join(JoinType::InnerJoin, moved_member)
        .filter(membership::Column::TenantId.eq(db.tenant()))
        .filter(operation_member::Column::OperationId.eq(id))
}

/// A report of this operation that is not where the operation put it, and the operation that moved it since.
pub async fn moved_since(
    db: &Reader<'_>,
    id: OperationId,
) -> Result<Option<(ReportId, Option<OperationId>)>, StoreError> {
    let row = members_of(db, id)
        .filter(membership::Column::OperationId.ne(id).or(membership::Column::OperationId.is_null()))
        .one(db.db())
        .await?;
    Ok(row.map(|row| (row.report_id, row.operation_id)))
}

/// The customers whose reports an operation moved, up to a limit.
pub async fn customers_of(db: &Reader<'_>, id: OperationId, limit: u64) -> Result<Vec<CustomerId>, StoreError> {
    let query = members_of(db, id).select_only().column(membership::Column::CustomerId).distinct();
    Ok(query.limit(limit).into_tuple().all(db.db()).await?)
}
