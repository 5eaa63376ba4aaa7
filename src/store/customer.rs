//! Customers, where to reach them, and what they run. Everything is read and written for many at once, because intake
//! resolves the reporters of a whole batch.

use sea_orm::sea_query::{Expr, ExprTrait, Func, OnConflict};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use crate::domain::customer::{ChannelKind, ContactPoint, ContactState, Customer, Installation};
use crate::domain::id::{ContactPointId, CustomerId};

use super::entity::{contact_point, customer, installation};
use super::error::StoreError;
use super::{Reader, Store, TenantScope, Txn, chunks};

/// Customers by their ids, in no order.
pub async fn by_ids(db: &Reader<'_>, ids: &[CustomerId]) -> Result<Vec<Customer>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for chunk in chunks(ids.iter().copied()) {
        let rows = customer::Entity::find()
            .filter(customer::Column::TenantId.eq(db.tenant()))
            .filter(customer::Column::Id.is_in(chunk))
            .all(db.db())
            .await?;
        found.extend(rows.into_iter().map(Customer::from));
    }
    Ok(found)
}

/// Customers by the caller's own ids, in no order.
pub async fn by_external_ids(db: &Reader<'_>, external_ids: &[String]) -> Result<Vec<Customer>, StoreError> {
    let mut found = Vec::with_capacity(external_ids.len());
    for chunk in chunks(external_ids.iter().cloned()) {
        let rows = customer::Entity::find()
            .filter(customer::Column::TenantId.eq(db.tenant()))
            .filter(customer::Column::ExternalId.is_in(chunk))
            .all(db.db())
            .await?;
        found.extend(rows.into_iter().map(Customer::from));
    }
    Ok(found)
}

/// Contact points by channel and canonical address, in no order.
pub async fn contact_points_by_address(
    db: &Reader<'_>,
    addresses: &[(ChannelKind, String)],
) -> Result<Vec<ContactPoint>, StoreError> {
    let mut found = Vec::new();
    // One question for each channel: SQLite answers one about several by reading all of the tenant's.
    for &channel in ChannelKind::ALL {
        let of_channel = addresses.iter().filter(|(of, _)| *of == channel).map(|(_, address)| address.as_str());
        for chunk in chunks(of_channel) {
            let rows = contact_point::Entity::find()
                .filter(contact_point::Column::TenantId.eq(db.tenant()))
                .filter(contact_point::Column::Channel.eq(channel))
                .filter(contact_point::Column::CanonicalAddress.is_in(chunk))
                .all(db.db())
                .await?;
            found.extend(rows.into_iter().map(ContactPoint::from));
        }
    }
    Ok(found)
}

/// The contact points of these customers; each customer's own are in the order of preference.
pub async fn contact_points_of(db: &Reader<'_>, customers: &[CustomerId]) -> Result<Vec<ContactPoint>, StoreError> {
    let mut found = Vec::new();
    for chunk in chunks(customers.iter().copied()) {
        let rows = contact_point::Entity::find()
            .filter(contact_point::Column::TenantId.eq(db.tenant()))
            .filter(contact_point::Column::CustomerId.is_in(chunk))
            .order_by_asc(contact_point::Column::Position)
            .order_by_asc(contact_point::Column::Id)
            .all(db.db())
            .await?;
        found.extend(rows.into_iter().map(ContactPoint::from));
    }
    Ok(found)
}

/// One contact point.
pub async fn find_contact_point(db: &Reader<'_>, id: ContactPointId) -> Result<Option<ContactPoint>, StoreError> {
    let row = contact_point::Entity::find_by_id(id)
        .filter(contact_point::Column::TenantId.eq(db.tenant()))
        .one(db.db())
        .await?;
    Ok(row.map(ContactPoint::from))
}

/// The contact point that a link in a message unsubscribes. The token is the authority: whoever holds it was sent it.
pub async fn find_by_unsubscribe_token(
    store: &Store,
    token: &str,
) -> Result<Option<(TenantScope, ContactPoint)>, StoreError> {
    let row = contact_point::Entity::find()
        .filter(contact_point::Column::UnsubscribeToken.eq(token))
        .one(&store.read)
        .await?;
    Ok(row.map(|row| (TenantScope::new(row.tenant_id), ContactPoint::from(row))))
}

/// What these customers run, the longest known first.
pub async fn installations_of(db: &Reader<'_>, customers: &[CustomerId]) -> Result<Vec<Installation>, StoreError> {
    let mut found = Vec::new();
    for chunk in chunks(customers.iter().copied()) {
        let rows = installation::Entity::find()
            .filter(installation::Column::TenantId.eq(db.tenant()))
            .filter(installation::Column::CustomerId.is_in(chunk))
            .order_by_asc(installation::Column::Id)
            .all(db.db())
            .await?;
        found.extend(rows.into_iter().map(Installation::from));
    }
    Ok(found)
}

/// Stores new customers.
pub async fn insert_customers(txn: &Txn, customers: Vec<Customer>) -> Result<(), StoreError> {
    for chunk in chunks(customers.into_iter().map(customer::ActiveModel::from)) {
        customer::Entity::insert_many(chunk).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// Stores the new values of customers there are, all in one statement.
pub async fn update_customers(txn: &Txn, customers: Vec<Customer>) -> Result<(), StoreError> {
    use customer::Column;
    for chunk in chunks(customers.into_iter().map(customer::ActiveModel::from)) {
        let update = OnConflict::column(Column::Id)
            .update_columns([
                Column::ExternalId,
                Column::DisplayName,
                Column::Locale,
                Column::TimeZone,
                Column::OptedOut,
                Column::Version,
                Column::UpdateTime,
            ])
            .action_and_where(Expr::col((customer::Entity, Column::TenantId)).eq(txn.scope().tenant()))
            .to_owned();
        customer::Entity::insert_many(chunk).on_conflict(update).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// Stores a customer's new values.
pub async fn update_customer(txn: &Txn, customer: Customer) -> Result<(), StoreError> {
    update_customers(txn, vec![customer]).await
}

/// Stores new contact points.
pub async fn insert_contact_points(txn: &Txn, contact_points: Vec<ContactPoint>) -> Result<(), StoreError> {
    for chunk in chunks(contact_points.into_iter().map(contact_point::ActiveModel::from)) {
        contact_point::Entity::insert_many(chunk).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// Says whether contact points may be used.
pub async fn set_contact_states(txn: &Txn, ids: &[ContactPointId], state: ContactState) -> Result<(), StoreError> {
    for chunk in chunks(ids.iter().copied()) {
        contact_point::Entity::update_many()
            .col_expr(contact_point::Column::State, Expr::value(state))
            .col_expr(contact_point::Column::UpdateTime, Expr::value(txn.now()))
            .filter(contact_point::Column::TenantId.eq(txn.scope().tenant()))
            .filter(contact_point::Column::Id.is_in(chunk))
            .exec(txn.db())
            .await?;
    }
    Ok(())
}

/// Says whether a contact point may be used.
pub async fn set_contact_state(txn: &Txn, id: ContactPointId, state: ContactState) -> Result<(), StoreError> {
    set_contact_states(txn, &[id], state).await
}

/// Stores what customers run. Of an installation that is known, the version, region and ring change only where a new
/// value is given; it was seen last when the new one was.
pub async fn upsert_installations(txn: &Txn, installations: Vec<Installation>) -> Result<(), StoreError> {
    use installation::Column;
    // Postgres refuses a statement that meets the same row twice.
    let mut distinct: Vec<Installation> = Vec::with_capacity(installations.len());
    let mut places = std::collections::HashMap::new();
    for new in installations {
        let place = (new.customer_id, new.product_id, new.platform.clone(), new.environment.clone());
        match places.entry(place) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(distinct.len());
                distinct.push(new);
            }
            std::collections::hash_map::Entry::Occupied(entry) => distinct[*entry.get()].hear(&new),
        }
    }
    for chunk in chunks(distinct.into_iter().map(installation::ActiveModel::from)) {
        let given_or_known = |column: Column| {
            let given = Expr::col(("excluded", column));
            Expr::expr(Func::coalesce([given, Expr::col((installation::Entity, column))]))
        };
        let update = same_place(txn)
            .value(Column::Version, given_or_known(Column::Version))
            .value(Column::Region, given_or_known(Column::Region))
            .value(Column::Ring, given_or_known(Column::Ring))
            .update_column(Column::LastSeenTime)
            .to_owned();
        installation::Entity::insert_many(chunk).on_conflict(update).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// Stores what runs in one place, instead of what was known of it: what is not said is not known any more.
pub async fn replace_installation(txn: &Txn, installation: Installation) -> Result<(), StoreError> {
    use installation::Column;
    let update = same_place(txn)
        .update_columns([Column::Version, Column::Region, Column::Ring, Column::LastSeenTime])
        .to_owned();
    let row = installation::ActiveModel::from(installation);
    installation::Entity::insert(row).on_conflict(update).exec_without_returning(txn.db()).await?;
    Ok(())
}

/// One customer runs a product once for each platform and environment.
fn same_place(txn: &Txn) -> OnConflict {
    use installation::Column;
    OnConflict::columns([Column::CustomerId, Column::ProductId, Column::Platform, Column::Environment])
        .action_and_where(Expr::col((installation::Entity, Column::TenantId)).eq(txn.scope().tenant()))
        .to_owned()
}
