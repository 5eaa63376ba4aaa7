//! The one writer path for reports.
//!
//! Whoever submits puts a job into the tenant's lane and waits for its answer. One task for each tenant with work takes
//! what has gathered there, decides it in order and commits it in one transaction; while some of its reports are decided, a
//! few statements store those before, and while all of it commits, the next batch gathers by itself. The transaction holds
//! the tenant's row, so tenants' batches follow each other on all replicas, and each begins by bringing the matching index
//! up to the log: of identical reports submitted at once, the second finds the first (law 4).
//!
//! The task owns the work: a caller that goes away loses its answer and nothing else, and its retry is answered with
//! what was stored (law 2). A job that is wrong fails alone; a batch that the database refuses is tried again job by
//! job, so that one poisoned report cannot take its neighbours along.

mod batch;
mod lane;
mod replay;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;
use tracing::warn;

use crate::domain::coverage::Coverage;
use crate::domain::id::{CustomerId, ProductId, TenantId};
use crate::domain::report::{NewReport, PlacementDecision};
use crate::domain::violation::Violations;
use crate::matching::Features;
use crate::store::report::PlacedReport;
use crate::store::request::Fingerprint;
use crate::store::{self, Reader, StoreError, TenantScope};
use crate::telemetry::chain;

pub(crate) use self::batch::signals;

use self::batch::{Batch, Outcome, Stored};
use self::lane::{Job, Lane, WorkOn};
use super::embedding::ReadText;
use super::report::{Known, KnownProblem, missing_facts};
use super::{App, Call, Error, customer, product};

const METHOD: &str = "SubmitReport";

/// What became of a submitted report, and what is known about its problem.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// The report as stored, and where it belongs now.
    pub placed: PlacedReport,
    /// The problem it joined, if others reported it before.
    pub known_problem: Option<KnownProblem>,
    /// The release that helps this customer.
    pub fixed_in: Option<Coverage>,
    /// Facts worth asking the customer for.
    pub missing_facts: Vec<&'static str>,
    /// It was accepted before, and nothing was changed now.
    pub replayed: bool,
}

/// What to do when more reports wait than may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Refuse: the caller tries again later.
    Refuse,
    /// Wait: the caller is a stream, and is slowed down.
    Wait,
}

/// Where reports wait for their batch.
pub struct Intake {
    tasks: TaskTracker,
    max_batch: usize,
    queue: usize,
    lanes: Mutex<HashMap<TenantId, Arc<Lane>>>,
    /// Products are never removed, and keep their keys.
    products: Mutex<HashMap<(TenantId, String), ProductId>>,
}

/// What a request of `SubmitReport` asks, under the names of its fields.
#[derive(Serialize)]
struct Body<'a> {
    report: &'a NewReport,
}

impl Intake {
    /// Nothing waits. Batches take at most `max_batch` reports, and at most `queue` of a tenant's wait.
    pub fn new(tasks: TaskTracker, max_batch: usize, queue: usize) -> Self {
        Self {
            tasks,
            max_batch: max_batch.max(1),
            queue: queue.clamp(1, Lane::MOST),
            lanes: Mutex::default(),
            products: Mutex::default(),
        }
    }

    fn lane(&self, tenant: TenantId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().expect("nobody panics while holding it");
        let lane = || Arc::new(Lane::new(self.queue));
        Arc::clone(lanes.entry(tenant).or_insert_with(lane))
    }
}

/// A report that can be accepted, read for matching.
pub struct ReadReport {
    new: NewReport,
    product: Option<ProductId>,
    features: Features,
    text_hash: Option<String>,
}

/// A report that waits for its batch.
pub struct QueuedReport {
    answered: oneshot::Receiver<Result<Accepted, Error>>,
}

impl QueuedReport {
    /// What became of it.
    pub async fn answer(self) -> Result<Accepted, Error> {
        self.answered.await.map_err(|gone| Error::Internal(Box::new(gone)))?
    }
}

impl App {
    /// Accepts a report and places it in a cluster, or does nothing at all. An answer is durable (law 1).
    pub async fn submit_report(
        self: &Arc<Self>,
        call: &Call,
        new: NewReport,
        violations: Violations,
        patience: Patience,
    ) -> Result<Accepted, Error> {
        let read = self.read_report(call, new, violations).await?;
        self.queue_report(call, read, patience).await?.answer().await
    }

    /// Checks and reads a report. Reports of one stream may be read at once, and then are not ready in their order.
    pub async fn read_report(&self, call: &Call, new: NewReport, violations: Violations) -> Result<ReadReport, Error> {
        let product = self.check_report(call, &new, false, violations).await?;
        let ReadText { new, features, text_hash } = self.read_text(call.scope, new, product, call.now).await?;
        Ok(ReadReport { new, product, features, text_hash })
    }

    /// Refuses a report that cannot be accepted, or would not be if it were no dry run. `violations` is what was wrong
    /// with the request before: the caller learns everything at once.
    pub(crate) async fn check_report(
        &self,
        call: &Call,
        new: &NewReport,
        dry_run: bool,
        mut violations: Violations,
    ) -> Result<Option<ProductId>, Error> {
        let mut others = Violations::new();
        new.check(dry_run, &mut others);
        if !dry_run {
            let addresses = &new.reporter.contact_points;
            customer::check_addresses("report.reporter", addresses, self.delivery.egress(), &mut others);
        }
        let product = match self.product_of(&self.read(call), &new.product).await {
            Ok(product) => product,
            Err(Error::Invalid(unknown)) => {
                others.add_others(&unknown);
                None
            }
            Err(error) => return Err(error),
        };
        violations.add_others(&others);
        violations.into_result()?;
        Ok(product)
    }

    /// Puts a report behind those that wait already. What one caller queues one after the other is taken in in that
    /// order.
    pub async fn queue_report(
        self: &Arc<Self>,
        call: &Call,
        read: ReadReport,
        patience: Patience,
    ) -> Result<QueuedReport, Error> {
        let ReadReport { new, product, features, text_hash } = read;
        let lane = self.intake.lane(call.scope.tenant());
        let room = match patience {
            Patience::Refuse => Arc::clone(&lane.room).try_acquire_owned().map_err(|_| Error::Overloaded)?,
            Patience::Wait => Arc::clone(&lane.room).acquire_owned().await.map_err(|_| Error::ShuttingDown)?,
        };
        let fingerprint = call.request_id.map(|_| Fingerprint::of(&Body { report: &new }));
        let (answer, answered) = oneshot::channel();
        let job = Job { call: call.clone(), new, product, features, text_hash, fingerprint, answer, _room: room };
        if lane.add(job) {
            let (app, scope) = (Arc::clone(self), call.scope);
            self.intake.tasks.spawn(async move {
                let work = WorkOn(lane);
                while let Some(jobs) = work.0.take(app.intake.max_batch) {
                    app.accept(scope, jobs).await;
                }
            });
        }
        Ok(QueuedReport { answered })
    }

    /// The product that a report names, if any.
    pub(crate) async fn product_of(&self, db: &Reader<'_>, text: &str) -> Result<Option<ProductId>, Error> {
        if text.is_empty() {
            return Ok(None);
        }
        let key = (db.scope().tenant(), text.to_owned());
        if let Some(&id) = self.intake.products.lock().expect("nobody panics while holding it").get(&key) {
            return Ok(Some(id));
        }
        let id = product::resolve(db, "report.product", text).await?.id;
        self.intake.products.lock().expect("nobody panics while holding it").insert(key, id);
        Ok(Some(id))
    }

    /// Stores a batch and answers it.
    async fn accept(self: &Arc<Self>, scope: TenantScope, jobs: Vec<Job>) {
        match self.store_batch(scope, &jobs).await {
            Ok(batch) => self.answer_later(scope, jobs, batch),
            Err(error @ Error::Internal(_)) if jobs.len() > 1 => {
                warn!(error = %chain(&error), report_count = jobs.len(), "a batch failed, trying its reports one by one");
                for job in jobs {
                    let alone = vec![job];
                    match self.store_batch(scope, &alone).await {
                        Ok(batch) => self.answer_later(scope, alone, batch),
                        Err(error) => refuse_all(alone, error),
                    }
                }
            }
            Err(error) => refuse_all(jobs, error),
        }
    }

    /// Answers need a few reads more, for which the next batch does not wait.
    fn answer_later(self: &Arc<Self>, scope: TenantScope, jobs: Vec<Job>, batch: Batch) {
        let app = Arc::clone(self);
        self.intake.tasks.spawn(async move { app.answer(scope, jobs, batch).await });
    }

    async fn answer(&self, scope: TenantScope, jobs: Vec<Job>, batch: Batch) {
        let known = self.known_of(scope, &jobs, &batch.outcomes).await;
        for (job, outcome) in jobs.into_iter().zip(batch.outcomes) {
            let answer = match (outcome, &known) {
                (Ok(stored), Ok((known, reachable))) => {
                    let Stored { placed, replayed } = stored;
                    let joined = placed.report.decision == PlacementDecision::Attach;
                    let facts = super::report::facts_of(&placed);
                    Ok(Accepted {
                        known_problem: joined.then(|| known.problem(placed.membership.cluster_id)).flatten(),
                        fixed_in: known.fixed_in(facts, &batch.policy, batch.now),
                        missing_facts: missing_facts(&job.new, !reachable.contains(&placed.report.customer_id)),
                        placed,
                        replayed,
                    })
                }
                // It is stored; a retry is answered in full.
                (Ok(_), Err(error)) => Err(again(error)),
                (Err(error), _) => Err(error),
            };
            // Nobody to answer: the caller went away, and finds its report when it asks again.
            drop(job.answer.send(answer));
        }
    }

    /// What is known about the clusters that reports went to, and which customers have a contact point.
    async fn known_of(
        &self,
        scope: TenantScope,
        jobs: &[Job],
        outcomes: &[Outcome],
    ) -> Result<(Known, HashSet<CustomerId>), Error> {
        let db = self.store.reader(scope);
        let stored = || jobs.iter().zip(outcomes).filter_map(|(job, outcome)| Some((job, outcome.as_ref().ok()?)));
        let may_be_known = stored()
            .filter(|(_, stored)| stored.replayed || stored.placed.report.decision == PlacementDecision::Attach)
            .map(|(_, stored)| stored.placed.membership.cluster_id);
        let known = Known::load(&db, may_be_known.collect()).await?;
        let (named, unnamed): (Vec<_>, Vec<_>) =
            stored().partition(|(job, _)| !job.new.reporter.contact_points.is_empty());
        let mut reachable: HashSet<CustomerId> =
            named.into_iter().map(|(_, stored)| stored.placed.report.customer_id).collect();
        let unnamed: BTreeSet<CustomerId> =
            unnamed.into_iter().map(|(_, stored)| stored.placed.report.customer_id).collect();
        if !unnamed.is_empty() {
            let contacts = store::customer::contact_points_of(&db, &Vec::from_iter(unnamed)).await?;
            reachable.extend(contacts.into_iter().map(|contact| contact.customer_id));
        }
        Ok((known, reachable))
    }
}

/// One error for every job of a batch: the first gets it, the others one that means the same.
fn refuse_all(jobs: Vec<Job>, error: Error) {
    warn!(error = %chain(&error), report_count = jobs.len(), "a batch of reports was not stored");
    let copies: Vec<Error> = jobs.iter().skip(1).map(|_| again(&error)).collect();
    for (job, error) in jobs.into_iter().zip(std::iter::once(error).chain(copies)) {
        drop(job.answer.send(Err(error)));
    }
}

fn again(error: &Error) -> Error {
    Error::Unavailable(StoreError::Unfit(chain(error).to_string()))
}

#[cfg(test)]
pub(in crate::app) mod tests;
