//! Dirty marks: what the reconciler must look at again. A mark says that something changed, never what should follow.

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};
use uuid::Uuid;

use crate::domain::id::{ClusterId, CustomerId};
use crate::domain::text_enum;
use crate::domain::time::Timestamp;

use super::entity::dirty_mark::{ActiveModel, Column, Entity, Model};
use super::error::StoreError;
use super::{Store, TenantScope, Txn, chunks};

text_enum! {
    /// What a mark is about.
    pub enum DirtyKind {
        /// Every customer of a cluster, page by page.
        Cluster = "CLUSTER",
        /// One customer.
        Customer = "CUSTOMER",
    }
}

/// A mark that is due.
#[derive(Debug, Clone)]
pub struct Mark {
    /// Whose it is.
    pub scope: TenantScope,
    /// About what.
    pub subject: Subject,
    /// How often it was set: another number later means that it was set again meanwhile.
    pub mark_count: i64,
    /// Of a cluster, the last customer that was looked at.
    pub page_cursor: Option<CustomerId>,
}

/// What must be looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Every customer of a cluster.
    Cluster(ClusterId),
    /// One customer.
    Customer(CustomerId),
}

impl Subject {
    fn key(self) -> (DirtyKind, Uuid) {
        match self {
            Self::Cluster(id) => (DirtyKind::Cluster, id.uuid()),
            Self::Customer(id) => (DirtyKind::Customer, id.uuid()),
        }
    }
}

/// Marks subjects, to be looked at from `due` on. One that is marked already is looked at at the earlier time, and from
/// its beginning.
pub async fn mark(txn: &Txn, subjects: impl IntoIterator<Item = Subject>, due: Timestamp) -> Result<(), StoreError> {
    let mut subjects: Vec<Subject> = subjects.into_iter().collect();
    subjects.sort();
    subjects.dedup();
    let rows = subjects.into_iter().map(|subject| {
        let (kind, subject) = subject.key();
        ActiveModel {
            kind: Set(kind),
            subject: Set(subject),
            tenant_id: Set(txn.scope().tenant()),
            due_time: Set(due),
            mark_count: Set(1),
            page_cursor: Set(None),
        }
    });
    for chunk in chunks(rows) {
        let earlier = Expr::case(Expr::col((Entity, Column::DueTime)).gt(Expr::value(due)), Expr::value(due))
            .finally(Expr::col((Entity, Column::DueTime)));
        Entity::insert_many(chunk)
            .on_conflict(
                OnConflict::columns([Column::Kind, Column::Subject])
                    .value(Column::DueTime, earlier)
                    .value(Column::MarkCount, Expr::col((Entity, Column::MarkCount)).add(1))
                    .value(Column::PageCursor, Expr::value(None::<CustomerId>))
                    .to_owned(),
            )
            .exec_without_returning(txn.db())
            .await?;
    }
    Ok(())
}

/// The marks of a kind that are due, oldest first.
pub async fn due(store: &Store, kind: DirtyKind, now: Timestamp, limit: u64) -> Result<Vec<Mark>, StoreError> {
    let rows = queue(kind, now, limit).all(&store.read).await?;
    Ok(rows.into_iter().map(from_row).collect())
}

fn queue(kind: DirtyKind, now: Timestamp, limit: u64) -> Select<Entity> {
    Entity::find()
        .filter(Column::Kind.eq(kind))
        .filter(Column::DueTime.lte(now))
        .order_by_asc(Column::DueTime)
        .limit(limit)
}

fn from_row(row: Model) -> Mark {
    let subject = match row.kind {
        DirtyKind::Cluster => Subject::Cluster(ClusterId::from_uuid(row.subject)),
        DirtyKind::Customer => Subject::Customer(CustomerId::from_uuid(row.subject)),
    };
    Mark { scope: TenantScope::new(row.tenant_id), subject, mark_count: row.mark_count, page_cursor: row.page_cursor }
}

/// Reads a mark again inside the transaction that will work on it; `None` if another replica finished it.
pub async fn find(txn: &Txn, subject: Subject) -> Result<Option<Mark>, StoreError> {
    Ok(Entity::find_by_id(subject.key()).one(txn.db()).await?.map(from_row))
}

/// Removes a mark whose work is done, unless it was set again meanwhile.
pub async fn finish(txn: &Txn, mark: &Mark) -> Result<(), StoreError> {
    let (kind, subject) = mark.subject.key();
    Entity::delete_many()
        .filter(Column::Kind.eq(kind))
        .filter(Column::Subject.eq(subject))
        .filter(Column::MarkCount.eq(mark.mark_count))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// Remembers how far the work on a cluster has come.
pub async fn advance(txn: &Txn, mark: &Mark, cursor: CustomerId) -> Result<(), StoreError> {
    let (kind, subject) = mark.subject.key();
    Entity::update_many()
        .col_expr(Column::PageCursor, Expr::value(cursor))
        .filter(Column::Kind.eq(kind))
        .filter(Column::Subject.eq(subject))
        .filter(Column::MarkCount.eq(mark.mark_count))
        .exec(txn.db())
        .await?;
    Ok(())
}
