//! What the service does: one operation, one transaction, one story. The doors decide when; this decides what.
//!
//! [`App`] is shared by every door and every pass. A [`Call`] says who asks, and in which moment. Operations that a
//! caller may repeat look for an [earlier](App::earlier) answer first and [remember](App::remember) their own, so that a
//! retry gets the first answer.

use std::sync::Arc;
#[cfg(test)]
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
#[cfg(test)]
use tokio_util::task::TaskTracker;
use uuid::Uuid;

#[cfg(test)]
use crate::channel::{Channels, egress::EgressPolicy};
use crate::clock::Clock;
#[cfg(test)]
use crate::domain::delivery::RetrySchedule;
use crate::domain::id::ApiKeyId;
use crate::domain::scope::{Scope, Scopes};
use crate::domain::time::Timestamp;
use crate::store::request::{self, Fingerprint};
use crate::store::{Reader, Store, TenantScope, Txn};

pub mod admin;
pub mod announcement;
pub mod auth;
pub mod calibration;
pub mod cluster;
pub mod coverage;
pub mod customer;
pub mod defect;
pub mod delivery;
pub mod deployment;
pub mod embedding;
pub mod error;
pub mod event;
pub mod intake;
pub(crate) mod letter;
pub mod matcher;
pub mod product;
pub mod reconcile;
pub mod release;
pub mod report;
pub mod second_look;
pub mod suggestion;
pub mod wake;
pub(crate) mod world;

pub use error::{Error, Resource};

/// Who calls, and in which moment.
#[derive(Debug, Clone)]
pub struct Call {
    /// Whose rows it may touch.
    pub scope: TenantScope,
    /// The key that calls.
    pub key: ApiKeyId,
    /// What it may do.
    pub scopes: Scopes,
    /// The caller's idempotency key.
    pub request_id: Option<Uuid>,
    /// The edge read the clock once.
    pub now: Timestamp,
}

impl Call {
    /// Refuses a key that lacks the scope.
    pub fn need(&self, scope: Scope) -> Result<(), Error> {
        if self.scopes.allow(scope) { Ok(()) } else { Err(Error::ScopeMissing { scope }) }
    }

    /// Who the events name.
    pub fn actor(&self) -> String {
        self.key.to_string()
    }
}

/// Whether a pass found something to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It did; there may be more.
    More,
    /// Nothing is due now.
    Idle,
}

/// What an operation that may be repeated came to.
#[derive(Debug, Clone)]
pub struct Once<T> {
    /// Its result.
    pub result: T,
    /// It was done by an earlier call of the same request id.
    pub replayed: bool,
}

/// The service.
pub struct App {
    /// What is remembered.
    pub store: Store,
    /// What time it is.
    pub clock: Clock,
    /// Hints that there is work.
    pub wake: wake::Wake,
    /// Where reports wait for their batch.
    pub intake: intake::Intake,
    /// The matching index of each tenant.
    pub matcher: matcher::Matcher,
    /// What the ways out can do.
    pub delivery: delivery::Deliverer,
    /// An embedder beside the built-in table, if one is configured.
    pub embedding: Option<Arc<embedding::Endpoint>>,
    /// Whose clusters are looked at again next.
    pub turns: second_look::Turns,
    auth: auth::KeyCache,
}

impl App {
    /// Puts the service together.
    pub fn new(store: Store, clock: Clock, intake: intake::Intake, deliverer: delivery::Deliverer) -> Arc<Self> {
        Self::with_embedder(store, clock, intake, deliverer, None)
    }

    /// Puts the service together, with an embedder beside the built-in table if there is one.
    pub fn with_embedder(
        store: Store,
        clock: Clock,
        intake: intake::Intake,
        deliverer: delivery::Deliverer,
        embedding: Option<embedding::Endpoint>,
    ) -> Arc<Self> {
        let matcher = embedding.as_ref().map(|endpoint| matcher::Matcher::with_embedder(endpoint.id()));
        Arc::new(Self {
            store,
            clock,
            wake: wake::Wake::new(),
            intake,
            matcher: matcher.unwrap_or_default(),
            delivery: deliverer,
            embedding: embedding.map(Arc::new),
            turns: second_look::Turns::default(),
            auth: auth::KeyCache::new(),
        })
    }

    /// A service without channels, for tests of single operations.
    #[cfg(test)]
    pub(crate) fn for_tests(store: Store, clock: Clock, channels: Channels) -> Arc<Self> {
        let settings = delivery::DeliverySettings {
            batch: 64,
            lease: Duration::from_secs(30),
            stream_lease: Duration::from_secs(60),
            stream_heartbeat: Duration::from_secs(15),
            per_destination: 4,
            schedule: RetrySchedule { delays: Vec::new(), jitter: 0.0, max_age: Duration::from_secs(3600) },
            public_url: "https://hearback.example/".parse().expect("a URL"),
            reconcile_page: 500,
            sweep_period: Duration::from_secs(3600),
        };
        let deliverer = delivery::Deliverer {
            channels,
            egress: EgressPolicy { allow_networks: Vec::new(), allow_http: false },
            settings,
        };
        Self::new(store, clock, intake::Intake::new(TaskTracker::new(), 64, 64), deliverer)
    }

    /// Reads as this caller, outside a transaction.
    pub fn read(&self, call: &Call) -> Reader<'_> {
        self.store.reader(call.scope)
    }

    /// Begins to write as this caller.
    pub async fn begin(&self, call: &Call) -> Result<Txn, Error> {
        Ok(self.store.begin(call.scope, &call.actor(), call.now).await?)
    }

    /// Looks for an earlier answer to this request, first thing in the transaction that will do it (law 2). `body` is
    /// everything the caller asked for; what is returned is what [`App::remember`] was given then.
    pub async fn earlier<B: Serialize>(
        &self,
        txn: &Txn,
        call: &Call,
        method: &str,
        body: &B,
    ) -> Result<Option<Value>, Error> {
        let Some(request_id) = call.request_id else { return Ok(None) };
        let Some(answered) = request::find(txn, method, request_id).await? else { return Ok(None) };
        let fields = answered.fingerprint.differences(&Fingerprint::of(body));
        if fields.is_empty() {
            Ok(Some(answered.result))
        } else {
            Err(Error::KeyReused { key: format!("request_id {request_id}"), fields })
        }
    }

    /// Remembers the answer to this request, last thing in the transaction that did it. `result` names what was made
    /// or changed, enough to answer again.
    pub async fn remember<B: Serialize>(
        &self,
        txn: &Txn,
        call: &Call,
        method: &str,
        body: &B,
        result: Value,
    ) -> Result<(), Error> {
        if let Some(request_id) = call.request_id {
            request::remember(txn, method, request_id, Fingerprint::of(body), result).await?;
        }
        Ok(())
    }
}

/// A part of the answer that [`App::remember`] kept.
pub(crate) fn remembered<T: serde::de::DeserializeOwned>(answer: &Value, part: &str) -> Result<T, Error> {
    serde_json::from_value(answer[part].clone()).map_err(|error| Error::Internal(Box::new(error)))
}
