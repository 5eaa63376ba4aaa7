//! Deliveries and their tries: a queue in the database, worked on under leases.

use sea_orm::sea_query::{Cond, Expr, ExprTrait};
use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect, Select};

use crate::domain::announcement::Stage;
use crate::domain::customer::ChannelKind;
use crate::domain::delivery::{Attempt, AttemptOutcome, Delivery, DeliveryState};
use crate::domain::id::{AnnouncementId, ClusterId, CustomerId, DeliveryId, TenantId};
use crate::domain::time::Timestamp;

use super::entity::{attempt, delivery};
use super::error::StoreError;
use super::{Direction, Page, Reader, Store, TenantScope, Txn, chunks};

/// What a list is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this announcement.
    pub announcement_id: Option<AnnouncementId>,
    /// About this cluster.
    pub cluster_id: Option<ClusterId>,
    /// To this customer.
    pub customer_id: Option<CustomerId>,
    /// By this channel.
    pub channel: Option<ChannelKind>,
    /// At this stage.
    pub stage: Option<Stage>,
    /// In this state.
    pub state: Option<DeliveryState>,
}

/// Due now, or left behind by a worker whose lease ended.
fn is_due(now: Timestamp) -> Cond {
    Cond::any()
        .add(
            Cond::all()
                .add(delivery::Column::State.eq(DeliveryState::Pending))
                .add(delivery::Column::NextAttemptTime.lte(now)),
        )
        .add(
            Cond::all()
                .add(delivery::Column::State.eq(DeliveryState::Sending))
                .add(delivery::Column::LeaseExpireTime.lte(now)),
        )
}

/// What is due, longest due first, read along the index of what is not finished. The states are written out, because
/// SQLite uses a partial index only for a condition that it can read. What is being sent was due when it was claimed,
/// so one time bounds both kinds.
fn queue(now: Timestamp, limit: u64) -> Select<delivery::Entity> {
    delivery::Entity::find()
        .select_only()
        .filter(Expr::cust("state IN ('PENDING', 'SENDING')"))
        .filter(delivery::Column::NextAttemptTime.lte(now))
        .filter(is_due(now))
        .order_by_asc(delivery::Column::NextAttemptTime)
        .order_by_asc(delivery::Column::Id)
        .limit(limit)
}

/// The deliveries of all tenants that are due, longest due first; but for the stream's, which wait for whoever watches.
/// Those on a channel that is not configured any more are among them: another has to be found, or a reason given.
pub async fn due(store: &Store, now: Timestamp, limit: u64) -> Result<Vec<(TenantScope, DeliveryId)>, StoreError> {
    let rows: Vec<(TenantId, DeliveryId)> = queue(now, limit)
        .columns([delivery::Column::TenantId, delivery::Column::Id])
        .filter(delivery::Column::Channel.ne(ChannelKind::Stream))
        .into_tuple()
        .all(&store.read)
        .await?;
    Ok(rows.into_iter().map(|(tenant, id)| (TenantScope::new(tenant), id)).collect())
}

/// One tenant's deliveries that are due on a channel.
pub async fn due_of_tenant(
    db: &Reader<'_>,
    channel: ChannelKind,
    now: Timestamp,
    limit: u64,
) -> Result<Vec<DeliveryId>, StoreError> {
    Ok(queue(now, limit)
        .column(delivery::Column::Id)
        .filter(delivery::Column::TenantId.eq(db.tenant()))
        .filter(delivery::Column::Channel.eq(channel))
        .into_tuple()
        .all(db.db())
        .await?)
}

/// Those of these deliveries that are still due, read inside the transaction that will claim them. The tenant's row is
/// locked, so nobody else claims them meanwhile.
pub async fn still_due(txn: &Txn, ids: &[DeliveryId]) -> Result<Vec<Delivery>, StoreError> {
    let mut found = Vec::new();
    for chunk in chunks(ids.iter().copied()) {
        let rows = delivery::Entity::find()
            .filter(delivery::Column::TenantId.eq(txn.scope().tenant()))
            .filter(delivery::Column::Id.is_in(chunk))
            .filter(is_due(txn.now()))
            .order_by_asc(delivery::Column::NextAttemptTime)
            .all(txn.db())
            .await?;
        found.extend(rows.into_iter().map(Delivery::from));
    }
    Ok(found)
}

/// Deliveries by their ids.
pub async fn by_ids(db: &Reader<'_>, ids: impl IntoIterator<Item = DeliveryId>) -> Result<Vec<Delivery>, StoreError> {
    let mut found = Vec::new();
    for chunk in chunks(ids) {
        let rows = delivery::Entity::find()
            .filter(delivery::Column::TenantId.eq(db.tenant()))
            .filter(delivery::Column::Id.is_in(chunk))
            .all(db.db())
            .await?;
        found.extend(rows.into_iter().map(Delivery::from));
    }
    Ok(found)
}

/// A page of deliveries.
pub async fn list(
    db: &Reader<'_>,
    filter: &Filter,
    after: Option<DeliveryId>,
    direction: Direction,
    size: u64,
) -> Result<Page<Delivery, DeliveryId>, StoreError> {
    use delivery::Column;
    let mut query = delivery::Entity::find().filter(Column::TenantId.eq(db.tenant()));
    if let Some(announcement) = filter.announcement_id {
        query = query.filter(Column::AnnouncementId.eq(announcement));
    }
    if let Some(cluster) = filter.cluster_id {
        query = query.filter(Column::ClusterId.eq(cluster));
    }
    if let Some(stage) = filter.stage {
        query = query.filter(Column::Stage.eq(stage));
    }
    if let Some(customer) = filter.customer_id {
        query = query.filter(Column::CustomerId.eq(customer));
    }
    if let Some(channel) = filter.channel {
        query = query.filter(Column::Channel.eq(channel));
    }
    if let Some(state) = filter.state {
        query = query.filter(Column::State.eq(state));
    }
    query = match (direction, after) {
        (Direction::Ascending, Some(after)) => query.filter(Column::Id.gt(after)).order_by_asc(Column::Id),
        (Direction::Ascending, None) => query.order_by_asc(Column::Id),
        (Direction::Descending, Some(after)) => query.filter(Column::Id.lt(after)).order_by_desc(Column::Id),
        (Direction::Descending, None) => query.order_by_desc(Column::Id),
    };
    let rows = query.limit(size + 1).all(db.db()).await?;
    Ok(Page::cut(rows.into_iter().map(Delivery::from).collect(), size, |delivery: &Delivery| delivery.id))
}

/// A page of an announcement's deliveries, by customer and age: the order its plan digest is made in. A customer may
/// have several, one for each defect that was fixed meanwhile.
pub async fn plan(
    db: &Reader<'_>,
    announcement: AnnouncementId,
    after: Option<(CustomerId, DeliveryId)>,
    size: u64,
) -> Result<Vec<Delivery>, StoreError> {
    let mut query = delivery::Entity::find()
        .filter(delivery::Column::TenantId.eq(db.tenant()))
        .filter(delivery::Column::AnnouncementId.eq(announcement))
        .filter(delivery::Column::State.ne(DeliveryState::Cancelled))
        .order_by_asc(delivery::Column::CustomerId)
        .order_by_asc(delivery::Column::Id)
        .limit(size);
    if let Some((customer, id)) = after {
        let later = delivery::Column::CustomerId.gt(customer).or(delivery::Column::Id.gt(id));
        query = query.filter(delivery::Column::CustomerId.gte(customer).and(later));
    }
    Ok(query.all(db.db()).await?.into_iter().map(Delivery::from).collect())
}

/// How many deliveries an announcement has in each state.
pub async fn count_by_state(
    db: &Reader<'_>,
    announcement: AnnouncementId,
) -> Result<Vec<(DeliveryState, i64)>, StoreError> {
    Ok(of_announcement(db, announcement)
        .select_only()
        .column(delivery::Column::State)
        .column_as(delivery::Column::Id.count(), "delivery_count")
        .group_by(delivery::Column::State)
        .into_tuple()
        .all(db.db())
        .await?)
}

/// Whether any delivery of an announcement is not final yet.
pub async fn any_unfinished(db: &Reader<'_>, announcement: AnnouncementId) -> Result<bool, StoreError> {
    let states = [DeliveryState::AwaitingApproval, DeliveryState::Pending, DeliveryState::Sending];
    let query = of_announcement(db, announcement).filter(delivery::Column::State.is_in(states)).limit(1);
    Ok(query.one(db.db()).await?.is_some())
}

fn of_announcement(db: &Reader<'_>, announcement: AnnouncementId) -> Select<delivery::Entity> {
    delivery::Entity::find()
        .filter(delivery::Column::TenantId.eq(db.tenant()))
        .filter(delivery::Column::AnnouncementId.eq(announcement))
}

/// Stores new deliveries.
pub async fn insert(txn: &Txn, deliveries: Vec<Delivery>) -> Result<(), StoreError> {
    for chunk in chunks(deliveries.into_iter().map(delivery::ActiveModel::from)) {
        delivery::Entity::insert_many(chunk).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// Stores new values.
pub async fn update(txn: &Txn, delivery: Delivery) -> Result<(), StoreError> {
    delivery::ActiveModel::from(delivery).reset_all().update(txn.db()).await?;
    Ok(())
}

/// Lets the deliveries of an announcement go out.
pub async fn release_approved(txn: &Txn, announcement: AnnouncementId) -> Result<(), StoreError> {
    delivery::Entity::update_many()
        .col_expr(delivery::Column::State, Expr::value(DeliveryState::Pending))
        .col_expr(delivery::Column::NextAttemptTime, Expr::value(txn.now()))
        .col_expr(delivery::Column::UpdateTime, Expr::value(txn.now()))
        .filter(delivery::Column::TenantId.eq(txn.scope().tenant()))
        .filter(delivery::Column::AnnouncementId.eq(announcement))
        .filter(delivery::Column::State.eq(DeliveryState::AwaitingApproval))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// A page of an announcement's deliveries that can still be stopped, in no order: waiting, and not being sent at this
/// moment.
pub async fn stoppable(db: &Reader<'_>, announcement: AnnouncementId, size: u64) -> Result<Vec<Delivery>, StoreError> {
    let rows = delivery::Entity::find()
        .filter(delivery::Column::TenantId.eq(db.tenant()))
        .filter(delivery::Column::AnnouncementId.eq(announcement))
        .filter(delivery::Column::State.is_in([DeliveryState::AwaitingApproval, DeliveryState::Pending]))
        .limit(size)
        .all(db.db())
        .await?;
    Ok(rows.into_iter().map(Delivery::from).collect())
}

/// Gives deliveries their final state, without another word to anybody.
pub async fn finish(txn: &Txn, ids: &[DeliveryId], state: DeliveryState, reason: &str) -> Result<(), StoreError> {
    for chunk in chunks(ids.iter().copied()) {
        delivery::Entity::update_many()
            .col_expr(delivery::Column::State, Expr::value(state))
            .col_expr(delivery::Column::Reason, Expr::value(reason))
            .col_expr(delivery::Column::FinishTime, Expr::value(txn.now()))
            .col_expr(delivery::Column::UpdateTime, Expr::value(txn.now()))
            .col_expr(delivery::Column::LeaseExpireTime, Expr::value(None::<i64>))
            // A worker that still holds the old lease changes nothing any more.
            .col_expr(delivery::Column::LeaseToken, Expr::col(delivery::Column::LeaseToken).add(1))
            .filter(delivery::Column::TenantId.eq(txn.scope().tenant()))
            .filter(delivery::Column::Id.is_in(chunk))
            .exec(txn.db())
            .await?;
    }
    Ok(())
}

/// Records tries before anything is sent.
pub async fn insert_attempts(txn: &Txn, attempts: Vec<Attempt>) -> Result<(), StoreError> {
    for chunk in chunks(attempts.into_iter().map(attempt::ActiveModel::from)) {
        attempt::Entity::insert_many(chunk).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// Records what came of the try that runs under this lease.
pub async fn finish_attempt(
    txn: &Txn,
    delivery: DeliveryId,
    lease_token: i64,
    outcome: AttemptOutcome,
    detail: &str,
) -> Result<(), StoreError> {
    attempt::Entity::update_many()
        .col_expr(attempt::Column::Outcome, Expr::value(outcome))
        .col_expr(attempt::Column::Detail, Expr::value(detail))
        .col_expr(attempt::Column::FinishTime, Expr::value(txn.now()))
        .filter(attempt::Column::TenantId.eq(txn.scope().tenant()))
        .filter(attempt::Column::DeliveryId.eq(delivery))
        .filter(attempt::Column::LeaseToken.eq(lease_token))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// When a delivery's present contact point was first tried for it.
pub async fn first_try_time(db: &Reader<'_>, delivery: &Delivery) -> Result<Option<Timestamp>, StoreError> {
    let first = attempt::Entity::find()
        .filter(attempt::Column::TenantId.eq(db.tenant()))
        .filter(attempt::Column::DeliveryId.eq(delivery.id))
        .filter(attempt::Column::ContactPointId.eq(delivery.contact_point_id))
        .order_by_asc(attempt::Column::Number)
        .one(db.db())
        .await?;
    Ok(first.map(|attempt| attempt.start_time))
}

/// The tries of deliveries, oldest first.
pub async fn attempts_of(db: &Reader<'_>, deliveries: &[DeliveryId]) -> Result<Vec<Attempt>, StoreError> {
    let mut found = Vec::new();
    for chunk in chunks(deliveries.iter().copied()) {
        let rows = attempt::Entity::find()
            .filter(attempt::Column::TenantId.eq(db.tenant()))
            .filter(attempt::Column::DeliveryId.is_in(chunk))
            .order_by_asc(attempt::Column::Number)
            .all(db.db())
            .await?;
        found.extend(rows.into_iter().map(Attempt::from));
    }
    Ok(found)
}
