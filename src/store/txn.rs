//! A write transaction of one tenant.
//!
//! It begins by taking the tenant's row, so that a tenant's writers follow each other on either database: SQLite has one
//! writer anyway, Postgres holds the row lock until the commit. Two things rest on that. Reports are assigned to
//! clusters one batch after the other, so that identical reports on different replicas find each other (law 4). And
//! events get their sequence numbers inside: number n + 1 is never visible before number n, so a reader who remembers
//! the last number misses nothing (law 15).

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, DatabaseExecutor, DatabaseTransaction, EntityTrait, QueryFilter, QuerySelect};

use crate::domain::event::{Event, NewEvent, SYSTEM};
use crate::domain::id::EventId;
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;

use super::entity;
use super::error::StoreError;
use super::scope::TenantScope;
use super::{Store, chunks};

/// A write transaction of one tenant. Dropping it rolls back.
pub struct Txn {
    db: DatabaseTransaction,
    scope: TenantScope,
    actor: String,
    now: Timestamp,
    policy: Policy,
    sequence: i64,
    events: Vec<NewEvent>,
}

impl Store {
    /// Begins a write transaction of this tenant. `actor` is who the events name.
    pub async fn begin(&self, scope: TenantScope, actor: &str, now: Timestamp) -> Result<Txn, StoreError> {
        let db = self.begin_write().await?;
        let tenant = entity::tenant::Entity::find_by_id(scope.tenant())
            .lock_exclusive()
            .one(&db)
            .await?
            .ok_or_else(|| StoreError::Unfit(format!("tenant {} is gone", scope.tenant())))?;
        Ok(Txn {
            db,
            scope,
            actor: actor.to_owned(),
            now,
            policy: tenant.policy.0,
            sequence: tenant.event_sequence,
            events: Vec::new(),
        })
    }

    /// Begins a write transaction of what the service does by itself.
    pub async fn begin_system(&self, scope: TenantScope, now: Timestamp) -> Result<Txn, StoreError> {
        self.begin(scope, SYSTEM, now).await
    }
}

impl Txn {
    /// The connection that statements of this transaction go through.
    pub(in crate::store) fn db(&self) -> &DatabaseTransaction {
        &self.db
    }

    /// Reads inside this transaction see its own writes.
    pub fn read(&self) -> super::Reader<'_> {
        super::Reader { db: DatabaseExecutor::Transaction(&self.db), scope: self.scope }
    }

    /// Whose rows it may touch.
    pub fn scope(&self) -> TenantScope {
        self.scope
    }

    /// Who acts.
    pub fn actor(&self) -> &str {
        &self.actor
    }

    /// The one moment it happens in.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// What the tenant lets be said.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// The sequence number of the tenant's last event before this transaction.
    pub fn sequence_before(&self) -> i64 {
        self.sequence
    }

    /// Records a change with the transaction that makes it.
    pub fn record(&mut self, event: NewEvent) {
        self.events.push(event);
    }

    /// Whether anything was recorded.
    pub fn has_events(&self) -> bool {
        !self.events.is_empty()
    }

    /// Commits; from here on it is durable (law 1). Returns the sequence number of the tenant's last event.
    pub async fn commit(self) -> Result<i64, StoreError> {
        let last = self.sequence + i64::try_from(self.events.len()).expect("a transaction's events fit in memory");
        let rows = self.events.into_iter().zip(self.sequence + 1..).map(|(event, sequence)| {
            entity::event::ActiveModel::from(Event {
                id: EventId::new(),
                tenant_id: self.scope.tenant(),
                sequence,
                kind: event.kind,
                subject: event.subject,
                actor: self.actor.clone(),
                cluster_id: event.cluster_id,
                customer_id: event.customer_id,
                data: event.data,
                time: self.now,
            })
        });
        let rows: Vec<_> = rows.collect();
        for chunk in chunks(rows) {
            entity::event::Entity::insert_many(chunk).exec_without_returning(&self.db).await?;
        }
        if last > self.sequence {
            entity::tenant::Entity::update_many()
                .col_expr(entity::tenant::Column::EventSequence, Expr::value(last))
                .filter(entity::tenant::Column::Id.eq(self.scope.tenant()))
                .exec(&self.db)
                .await?;
        }
        self.db.commit().await?;
        Ok(last)
    }
}
