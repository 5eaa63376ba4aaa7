//! The history. Events are written by [`super::Txn::commit`] only.

use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::domain::event::Event;
use crate::domain::id::CustomerId;

use super::entity::event::{Column, Entity};
use super::error::StoreError;
use super::{Page, Reader};

/// The events after a sequence number, in order.
pub async fn after(db: &Reader<'_>, sequence: i64, limit: u64) -> Result<Vec<Event>, StoreError> {
    let query = Entity::find()
        .filter(Column::TenantId.eq(db.tenant()))
        .filter(Column::Sequence.gt(sequence))
        .order_by_asc(Column::Sequence)
        .limit(limit);
    let rows = query.all(db.db()).await?;
    Ok(rows.into_iter().map(Event::from).collect())
}

/// The sequence number of the tenant's last event; 0 before the first.
pub async fn last_sequence(db: &Reader<'_>) -> Result<i64, StoreError> {
    let last: Option<i64> = Entity::find()
        .select_only()
        .column(Column::Sequence)
        .filter(Column::TenantId.eq(db.tenant()))
        .order_by_desc(Column::Sequence)
        .limit(1)
        .into_tuple()
        .one(db.db())
        .await?;
    Ok(last.unwrap_or(0))
}

/// A page of the events that concern a customer, oldest first.
pub async fn list_for_customer(
    db: &Reader<'_>,
    customer: CustomerId,
    after: i64,
    size: u64,
) -> Result<Page<Event, i64>, StoreError> {
    let query = Entity::find()
        .filter(Column::TenantId.eq(db.tenant()))
        .filter(Column::CustomerId.eq(customer))
        .filter(Column::Sequence.gt(after))
        .order_by_asc(Column::Sequence)
        .limit(size + 1);
    let rows = query.all(db.db()).await?;
    Ok(Page::cut(rows.into_iter().map(Event::from).collect(), size, |event: &Event| event.sequence))
}
