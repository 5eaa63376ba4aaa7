//! The one writer path for reports.
//!
//! Whoever submits puts a job into the tenant's lane and waits for its answer. One task for each tenant with work takes
//! what has gathered there, decides it in order and commits it in one transaction with a constant number of statements;
//! while that commits, the next batch gathers by itself. The transaction holds the tenant's row, so tenants' batches
//! follow each other on all replicas, and each begins by bringing the matching index up to the log: of identical
//! reports submitted at once, the second finds the first (law 4).
//!
//! The task owns the work: a caller that goes away loses its answer and nothing else, and its retry is answered with
//! what was stored (law 2). A job that is wrong fails alone; a batch that the database refuses is tried again job by
//! job, so that one poisoned report cannot take its neighbours along.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::task::TaskTracker;
use tracing::warn;
use uuid::Uuid;

use crate::domain::cluster::{Cluster, ClusterState, title_of};
use crate::domain::coverage::Coverage;
use crate::domain::customer::{ChannelKind, Customer, Installation, canonical_address};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{ClusterId, CustomerId, InstallationId, ProductId, ReportId, TenantId};
use crate::domain::ledger::NO_DEFECT_LINKED;
use crate::domain::policy::Policy;
use crate::domain::report::{
    DEFAULT_ENVIRONMENT, LoopState, Membership, NewReport, NewReporter, Origin, PlacementDecision, Report, Signal,
    Signals,
};
use crate::domain::time::Timestamp;
use crate::domain::violation::Violations;
use crate::matching::{self, Decision, Features, Text};
use crate::store::dirty::{self, Subject};
use crate::store::report::PlacedReport;
use crate::store::request::{self, Answered, Fingerprint};
use crate::store::{self, Reader, StoreError, TenantScope, Txn};
use crate::telemetry::chain;

use super::matcher::IndexGuard;
use super::report::{Known, KnownProblem, missing_facts};
use super::{App, Call, Error, cluster, customer, product};

const METHOD: &str = "SubmitReport";
/// What the loop of a report in a linked cluster waits for until the reconciler has looked at it.
const PENDING: &str = "pending";
/// A longer text is read on a thread of its own.
const LONG_TEXT: usize = 8 * 1024;

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

/// One tenant's reports that wait.
struct Lane {
    waiting: Mutex<Waiting>,
    room: Arc<Semaphore>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// A task works on this lane.
    running: bool,
}

struct Job {
    call: Call,
    new: NewReport,
    product: Option<ProductId>,
    features: Features,
    /// Of the request, if it may be repeated by its id.
    fingerprint: Option<Fingerprint>,
    answer: oneshot::Sender<Result<Accepted, Error>>,
    /// Its place among those that wait, until its batch has ended.
    _room: OwnedSemaphorePermit,
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
            queue: queue.clamp(1, Semaphore::MAX_PERMITS),
            lanes: Mutex::default(),
            products: Mutex::default(),
        }
    }

    fn lane(&self, tenant: TenantId) -> Arc<Lane> {
        let mut lanes = self.lanes.lock().expect("nobody panics while holding it");
        let lane = || Arc::new(Lane { waiting: Mutex::default(), room: Arc::new(Semaphore::new(self.queue)) });
        Arc::clone(lanes.entry(tenant).or_insert_with(lane))
    }
}

impl Lane {
    /// Adds a job. True if nobody works on the lane: the caller begins to.
    fn add(&self, job: Job) -> bool {
        let mut waiting = self.waiting.lock().expect("nobody panics while holding it");
        waiting.jobs.push_back(job);
        !std::mem::replace(&mut waiting.running, true)
    }

    /// The next batch: of one key, whom its events name, and without two jobs for the same report, of which the second
    /// is a replay of the first. What does not fit waits in its order. If nothing waits, the work ends.
    fn take(&self, max: usize) -> Option<Vec<Job>> {
        let mut waiting = self.waiting.lock().expect("nobody panics while holding it");
        let mut batch: Vec<Job> = Vec::new();
        let mut passed_over = VecDeque::new();
        let mut references: HashSet<(String, String)> = HashSet::new();
        let mut requests: HashSet<Uuid> = HashSet::new();
        while let Some(job) = waiting.jobs.pop_front() {
            let same_key = batch.first().is_none_or(|first: &Job| first.call.key == job.call.key);
            let reference = (job.new.source.clone(), job.new.external_id.clone());
            let is_repeated = job.call.request_id.is_some_and(|id| requests.contains(&id));
            if same_key && !is_repeated && !references.contains(&reference) {
                references.insert(reference);
                requests.extend(job.call.request_id);
                batch.push(job);
                if batch.len() == max {
                    break;
                }
            } else {
                passed_over.push_back(job);
            }
        }
        passed_over.append(&mut waiting.jobs);
        waiting.jobs = passed_over;
        waiting.running = !batch.is_empty();
        (!batch.is_empty()).then_some(batch)
    }
}

/// Leaves the lane usable if its task panics. Who waited is told by the end of their channel.
struct WorkOn(Arc<Lane>);

impl Drop for WorkOn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            waiting.jobs.clear();
            waiting.running = false;
        }
    }
}

/// A report that is stored, and whether it was before.
struct Stored {
    placed: PlacedReport,
    replayed: bool,
}

type Outcome = Result<Stored, Error>;

/// What a batch came to.
struct Batch {
    /// One for each job, in order.
    outcomes: Vec<Outcome>,
    policy: Policy,
    now: Timestamp,
}

/// A job that is not a replay, with its reporter.
struct Fresh {
    job: usize,
    report: ReportId,
    customer: CustomerId,
}

/// Where a fresh report goes.
struct Decided {
    fresh: Fresh,
    cluster: ClusterId,
    placement: matching::Placement,
}

impl App {
    /// Accepts a report and places it in a cluster, or does nothing at all. An answer is durable (law 1).
    pub async fn submit_report(
        self: &Arc<Self>,
        call: &Call,
        new: NewReport,
        patience: Patience,
    ) -> Result<Accepted, Error> {
        let mut violations = Violations::new();
        new.check(false, &mut violations);
        let addresses = &new.reporter.contact_points;
        customer::check_addresses("report.reporter", addresses, self.delivery.egress(), &mut violations);
        violations.into_result()?;
        let product = self.product_of(&self.read(call), &new.product).await?;
        let (new, features) = read_text(new, product).await?;

        let lane = self.intake.lane(call.scope.tenant());
        let room = match patience {
            Patience::Refuse => Arc::clone(&lane.room).try_acquire_owned().map_err(|_| Error::Overloaded)?,
            Patience::Wait => Arc::clone(&lane.room).acquire_owned().await.map_err(|_| Error::ShuttingDown)?,
        };
        let fingerprint = call.request_id.map(|_| Fingerprint::of(&Body { report: &new }));
        let (answer, answered) = oneshot::channel();
        let job = Job { call: call.clone(), new, product, features, fingerprint, answer, _room: room };
        if lane.add(job) {
            let (app, scope) = (Arc::clone(self), call.scope);
            self.intake.tasks.spawn(async move {
                let work = WorkOn(lane);
                while let Some(jobs) = work.0.take(app.intake.max_batch) {
                    app.accept(scope, jobs).await;
                }
            });
        }
        answered.await.map_err(|gone| Error::Internal(Box::new(gone)))?
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

    async fn store_batch(&self, scope: TenantScope, jobs: &[Job]) -> Result<Batch, Error> {
        let mut index = self.matcher.lock(scope.tenant()).await;
        if !index.is_loaded() {
            let db = self.store.reader(scope);
            let last = store::event::last_sequence(&db).await?;
            index.catch_up(&db, last).await?;
        }
        let actor = jobs.first().map(|job| job.call.actor()).unwrap_or_default();
        let mut txn = self.store.begin(scope, &actor, self.clock.now()).await?;
        let (policy, now) = (txn.policy().clone(), txn.now());
        let (mut outcomes, answered) = find_replays(&txn, jobs).await?;
        let fresh = find_reporters(&mut txn, jobs, &mut outcomes).await?;
        let places_reports = !fresh.is_empty();
        let mut decided = Vec::new();
        if places_reports {
            index.catch_up(&txn.read(), txn.sequence_before()).await?;
            (index, decided) = decide_all(index, jobs, fresh).await?;
        }
        let written = async {
            for (job, placed) in write(&mut txn, jobs, decided).await? {
                outcomes[job] = Some(Ok(Stored { placed, replayed: false }));
            }
            remember(&txn, jobs, &outcomes, &answered).await
        };
        if let Err(error) = written.await {
            index.roll_back();
            return Err(error);
        }
        match txn.commit().await {
            Ok(last) if places_reports => index.committed(last),
            Ok(_) => {}
            Err(error) => {
                index.forget();
                return Err(error.into());
            }
        }
        drop(index);
        self.wake.committed();
        let outcomes = outcomes.into_iter().map(|outcome| outcome.expect("every job is a replay, refused or written"));
        Ok(Batch { outcomes: outcomes.collect(), policy, now })
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

/// Reads what matching needs; a long text on a thread that may take its time.
pub(crate) async fn read_text(new: NewReport, product: Option<ProductId>) -> Result<(NewReport, Features), Error> {
    let is_long = new.title.len() + new.body.len() > LONG_TEXT;
    let read = move || {
        let text = Text { product, fingerprint: new.fingerprint.as_deref(), title: &new.title, body: &new.body };
        let features = Features::of(&text);
        (new, features)
    };
    if is_long {
        return tokio::task::spawn_blocking(read).await.map_err(|error| Error::Internal(Box::new(error)));
    }
    Ok(read())
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

/// Finds the jobs that were done before, by request id or by the report's own reference (law 2), and refuses those that
/// ask for something else under the same key. Also tells which request ids are remembered already.
async fn find_replays(txn: &Txn, jobs: &[Job]) -> Result<(Vec<Option<Outcome>>, HashSet<Uuid>), Error> {
    let db = txn.read();
    let request_ids: Vec<Uuid> = jobs.iter().filter_map(|job| job.call.request_id).collect();
    let answered = request::find_many(txn, METHOD, request_ids).await?;
    let earlier = |job: &Job| answered.get(&job.call.request_id?);
    let ids: Vec<ReportId> = jobs.iter().filter_map(|job| report_of(earlier(job)?)).collect();
    let references: Vec<(&str, &str)> =
        jobs.iter().map(|job| (job.new.source.as_str(), job.new.external_id.as_str())).collect();
    let by_id: HashMap<ReportId, PlacedReport> =
        store::report::by_ids(&db, &ids).await?.into_iter().map(|placed| (placed.report.id, placed)).collect();
    let by_reference: HashMap<(String, String), PlacedReport> = store::report::by_references(&db, &references)
        .await?
        .into_iter()
        .map(|placed| ((placed.report.source.clone(), placed.report.external_id.clone()), placed))
        .collect();
    let repeated = |job: &Job| by_reference.get(&(job.new.source.clone(), job.new.external_id.clone()));
    let reporters: Vec<&NewReporter> =
        jobs.iter().filter(|job| repeated(job).is_some()).map(|job| &job.new.reporter).collect();
    let people = KnownPeople::load(&db, &reporters).await?;

    let outcomes = jobs.iter().map(|job| {
        if let Some(earlier) = earlier(job) {
            let now = job.fingerprint.clone().unwrap_or_default();
            let fields = earlier.fingerprint.differences(&now);
            if !fields.is_empty() {
                let id = job.call.request_id.unwrap_or_default();
                return Some(Err(Error::KeyReused { key: format!("request_id {id}"), fields }));
            }
            if let Some(placed) = report_of(earlier).and_then(|id| by_id.get(&id)) {
                return Some(Ok(Stored { placed: placed.clone(), replayed: true }));
            }
        }
        let placed = repeated(job)?;
        let fields = differences(job, &placed.report, people.find(&job.new.reporter));
        Some(if fields.is_empty() {
            Ok(Stored { placed: placed.clone(), replayed: true })
        } else {
            let key = format!("report {}/{}", job.new.source, job.new.external_id);
            Err(Error::KeyReused { key, fields })
        })
    });
    Ok((outcomes.collect(), answered.into_keys().collect()))
}

fn report_of(answered: &Answered) -> Option<ReportId> {
    answered.result.get("report_id")?.as_str()?.parse().ok()
}

/// The fields in which a report differs from the one stored under its reference. Of the reporter only who it is counts:
/// names, languages and further addresses are the customer's and may have changed since.
fn differences(job: &Job, stored: &Report, reporter: Option<CustomerId>) -> Vec<String> {
    let new = &job.new;
    let differing = [
        ("product", stored.product_id != job.product),
        ("title", stored.title != new.title),
        ("body", stored.body != new.body),
        ("version", stored.version != new.version),
        ("platform", stored.platform != new.platform),
        ("environment", stored.environment != new.environment),
        ("region", stored.region != new.region),
        ("ring", stored.ring != new.ring),
        ("fingerprint", stored.fingerprint != new.fingerprint),
        ("labels", stored.labels != new.labels),
        ("occurred_time", stored.occurred_time != new.occurred_time),
        ("reporter", reporter != Some(stored.customer_id)),
    ];
    differing.into_iter().filter(|&(_, differs)| differs).map(|(field, _)| format!("report.{field}")).collect()
}

/// Who the reporters of repeated reports are, found as [`customer::resolve_many`] finds them, without adding anybody.
#[derive(Default)]
struct KnownPeople {
    by_external_id: HashMap<String, CustomerId>,
    by_address: HashMap<(ChannelKind, String), CustomerId>,
}

impl KnownPeople {
    async fn load(db: &Reader<'_>, reporters: &[&NewReporter]) -> Result<Self, Error> {
        if reporters.is_empty() {
            return Ok(Self::default());
        }
        let external_ids: BTreeSet<String> =
            reporters.iter().filter_map(|reporter| reporter.external_id.clone()).collect();
        let addresses: BTreeSet<_> = reporters.iter().flat_map(|reporter| addresses(reporter)).collect();
        let customers = store::customer::by_external_ids(db, &Vec::from_iter(external_ids)).await?;
        let contacts = store::customer::contact_points_by_address(db, &Vec::from_iter(addresses)).await?;
        let by_external_id = customers.into_iter().filter_map(|customer| Some((customer.external_id?, customer.id)));
        let by_address =
            contacts.into_iter().map(|contact| ((contact.channel, contact.canonical_address), contact.customer_id));
        Ok(Self { by_external_id: by_external_id.collect(), by_address: by_address.collect() })
    }

    fn find(&self, reporter: &NewReporter) -> Option<CustomerId> {
        let by_external_id = || self.by_external_id.get(reporter.external_id.as_ref()?).copied();
        let by_address = || addresses(reporter).find_map(|address| self.by_address.get(&address).copied());
        reporter.customer_id.or_else(by_external_id).or_else(by_address)
    }
}

fn addresses(reporter: &NewReporter) -> impl Iterator<Item = (ChannelKind, String)> {
    reporter.contact_points.iter().filter_map(|contact| {
        let channel = contact.channel?;
        Some((channel, canonical_address(channel, &contact.address)))
    })
}

/// Finds or makes the customers of the jobs that are no replays. One that cannot be found fails its own job.
async fn find_reporters(txn: &mut Txn, jobs: &[Job], outcomes: &mut [Option<Outcome>]) -> Result<Vec<Fresh>, Error> {
    let left: Vec<usize> = (0..jobs.len()).filter(|&job| outcomes[job].is_none()).collect();
    if left.is_empty() {
        return Ok(Vec::new());
    }
    let reporters: Vec<NewReporter> = left.iter().map(|&job| jobs[job].new.reporter.clone()).collect();
    let customers: Vec<Result<Customer, Error>> = customer::resolve_many(txn, &reporters).await?;
    let mut fresh = Vec::with_capacity(left.len());
    for (job, customer) in left.into_iter().zip(customers) {
        match customer {
            Ok(customer) => fresh.push(Fresh { job, report: ReportId::new(), customer: customer.id }),
            Err(error) => outcomes[job] = Some(Err(error)),
        }
    }
    Ok(fresh)
}

/// Decides where reports go, in order: later ones find the earlier. On a thread that may take its time.
async fn decide_all(
    mut index: IndexGuard,
    jobs: &[Job],
    fresh: Vec<Fresh>,
) -> Result<(IndexGuard, Vec<Decided>), Error> {
    let features: Vec<Features> = fresh.iter().map(|fresh| jobs[fresh.job].features.clone()).collect();
    let decide = move || {
        let decide = |(fresh, features): (Fresh, Features)| {
            let (cluster, placement) = index.take_in(fresh.report, &features);
            Decided { fresh, cluster, placement }
        };
        let decided = fresh.into_iter().zip(features).map(decide).collect();
        (index, decided)
    };
    tokio::task::spawn_blocking(decide).await.map_err(|error| Error::Internal(Box::new(error)))
}

/// Stores what was decided, with its events and marks.
async fn write(txn: &mut Txn, jobs: &[Job], decided: Vec<Decided>) -> Result<Vec<(usize, PlacedReport)>, Error> {
    if decided.is_empty() {
        return Ok(Vec::new());
    }
    let mut begun: BTreeMap<ClusterId, Cluster> = BTreeMap::new();
    for decided in &decided {
        if !matches!(decided.placement.decision, Decision::Attach { .. }) {
            let new = &jobs[decided.fresh.job];
            begun.insert(decided.cluster, begin_cluster(txn, decided.cluster, new));
        }
    }
    let joined: BTreeSet<ClusterId> =
        decided.iter().map(|decided| decided.cluster).filter(|cluster| !begun.contains_key(cluster)).collect();
    let joined = Vec::from_iter(joined);
    let linked: BTreeSet<ClusterId> =
        store::cluster::links_of(&txn.read(), &joined).await?.into_iter().map(|link| link.cluster_id).collect();

    let added = count(txn, &decided, &mut begun).await?;
    let mut stored = Vec::with_capacity(decided.len());
    let mut installations = Vec::new();
    let mut customers = BTreeSet::new();
    for decided in decided {
        let job = &jobs[decided.fresh.job];
        let (customer, cluster) = (decided.fresh.customer, decided.cluster);
        let placed = place(txn, job, &decided, linked.contains(&cluster));
        let report = &placed.report;
        if report.decision != PlacementDecision::Attach {
            let event = NewEvent::new(EventKind::ClusterCreated, cluster).cluster(cluster);
            txn.record(event.data(json!({"report_id": report.id})));
        }
        let facts = json!({"report_id": report.id, "cluster_id": cluster, "decision": report.decision});
        let event = NewEvent::new(EventKind::ReportSubmitted, report.id).cluster(cluster).customer(customer);
        txn.record(event.data(facts));
        installations.extend(installation_of(report));
        customers.insert(customer);
        stored.push((decided.fresh.job, placed));
    }
    store::cluster::insert(txn, begun.into_values().collect()).await?;
    store::report::insert(txn, stored.iter().map(|(_, placed)| placed.clone()).collect()).await?;
    store::cluster::add_to_counters(txn, &added).await?;
    store::customer::upsert_installations(txn, installations).await?;
    // Who joined a linked cluster may have to be told; who runs something new, told about an older report.
    let concerned = store::report::linked_customers(&txn.read(), &Vec::from_iter(customers)).await?;
    dirty::mark(txn, concerned.into_iter().map(Subject::Customer), txn.now()).await?;
    reopen_resolved(txn, &Vec::from_iter(linked)).await?;
    Ok(stored)
}

fn begin_cluster(txn: &Txn, id: ClusterId, job: &Job) -> Cluster {
    Cluster {
        id,
        tenant_id: txn.scope().tenant(),
        title: title_of(&job.new.title, &job.new.body),
        state: ClusterState::Open,
        product_id: job.product,
        workaround: String::new(),
        guidance: String::new(),
        report_count: 0,
        reporter_count: 0,
        merged_into_cluster_id: None,
        sweep_time: txn.now(),
        version: 1,
        create_time: txn.now(),
        update_time: txn.now(),
    }
}

/// Counts the new reports: those of clusters that begin into these, the others as what is to be added. A customer who
/// has a report in the cluster already is counted there (law 3).
async fn count(
    txn: &Txn,
    decided: &[Decided],
    begun: &mut BTreeMap<ClusterId, Cluster>,
) -> Result<BTreeMap<ClusterId, (i64, i64)>, Error> {
    let pairs: BTreeSet<(ClusterId, CustomerId)> = decided
        .iter()
        .filter(|decided| !begun.contains_key(&decided.cluster))
        .map(|decided| (decided.cluster, decided.fresh.customer))
        .collect();
    let mut counted: HashSet<(ClusterId, CustomerId)> =
        store::report::known_reporters(&txn.read(), pairs).await?.into_iter().collect();
    let mut added: BTreeMap<ClusterId, (i64, i64)> = BTreeMap::new();
    for decided in decided {
        let reporters = i64::from(counted.insert((decided.cluster, decided.fresh.customer)));
        let (report_count, reporter_count) = match begun.get_mut(&decided.cluster) {
            Some(cluster) => (&mut cluster.report_count, &mut cluster.reporter_count),
            None => {
                let (reports, reporters) = added.entry(decided.cluster).or_default();
                (reports, reporters)
            }
        };
        *report_count += 1;
        *reporter_count += reporters;
    }
    Ok(added)
}

/// The report as it will be stored, and its place.
fn place(txn: &Txn, job: &Job, decided: &Decided, is_linked: bool) -> PlacedReport {
    let Decided { fresh, cluster, placement } = decided;
    let (decision, suggested) = match placement.decision {
        Decision::Attach { .. } => (PlacementDecision::Attach, None),
        Decision::Suggest { cluster, .. } => (PlacementDecision::Suggest, Some(cluster)),
        Decision::New => (PlacementDecision::New, None),
    };
    let attaches = decision == PlacementDecision::Attach;
    let strongest = placement.signals.first().map_or("first_report", |signal| signal.name);
    let new = &job.new;
    let report = Report {
        id: fresh.report,
        tenant_id: txn.scope().tenant(),
        source: new.source.clone(),
        external_id: new.external_id.clone(),
        customer_id: fresh.customer,
        product_id: job.product,
        title: new.title.clone(),
        body: new.body.clone(),
        version: new.version.clone(),
        platform: new.platform.clone(),
        environment: new.environment.clone(),
        region: new.region.clone(),
        ring: new.ring.clone(),
        fingerprint: new.fingerprint.clone(),
        labels: new.labels.clone(),
        occurred_time: new.occurred_time,
        create_time: txn.now(),
        decision,
        decision_score: placement.score,
        decision_cluster_id: *cluster,
        suggested_cluster_id: suggested,
        signals: signals(&placement.signals),
        loop_state: LoopState::Open,
        loop_reason: if is_linked { PENDING } else { NO_DEFECT_LINKED }.to_owned(),
    };
    let membership = Membership {
        report_id: fresh.report,
        tenant_id: txn.scope().tenant(),
        cluster_id: *cluster,
        customer_id: fresh.customer,
        score: if attaches { placement.score } else { 1.0 },
        origin: Origin::Matched,
        actor: None,
        reason: if attaches { strongest } else { "first_report" }.to_owned(),
        operation_id: None,
        update_time: txn.now(),
    };
    PlacedReport { report, membership }
}

/// The matcher's reasons as they are remembered.
pub(crate) fn signals(signals: &[matching::Signal]) -> Signals {
    let remembered = signals.iter().map(|signal| Signal {
        name: signal.name.to_owned(),
        weight: signal.weight,
        detail: signal.detail.clone(),
    });
    Signals(remembered.collect())
}

/// What the report says that its customer runs; `None` if it says nothing.
fn installation_of(report: &Report) -> Option<Installation> {
    let says_something = report.version.is_some()
        || report.platform.is_some()
        || report.environment.is_some()
        || report.region.is_some()
        || report.ring.is_some();
    let product_id = report.product_id.filter(|_| says_something)?;
    Some(Installation {
        id: InstallationId::new(),
        tenant_id: report.tenant_id,
        customer_id: report.customer_id,
        product_id,
        version: report.version.clone(),
        platform: report.platform.clone().unwrap_or_default(),
        environment: report.environment.clone().unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
        region: report.region.clone(),
        ring: report.ring.clone(),
        create_time: report.create_time,
        last_seen_time: report.create_time,
    })
}

/// A new report opens a loop: a cluster where every loop was closed is resolved no longer. Nothing else that states are
/// derived from has changed.
async fn reopen_resolved(txn: &mut Txn, linked: &[ClusterId]) -> Result<(), Error> {
    let clusters = store::cluster::by_ids(&txn.read(), linked).await?;
    let resolved: Vec<ClusterId> = clusters
        .into_iter()
        .filter(|cluster| cluster.state == ClusterState::Resolved)
        .map(|cluster| cluster.id)
        .collect();
    cluster::refresh_states(txn, &resolved).await
}

/// Remembers the request ids of what was accepted now, and of what was repeated under a new one.
async fn remember(
    txn: &Txn,
    jobs: &[Job],
    outcomes: &[Option<Outcome>],
    answered: &HashSet<Uuid>,
) -> Result<(), Error> {
    let answers = jobs.iter().zip(outcomes).filter_map(|(job, outcome)| {
        let Some(Ok(stored)) = outcome else { return None };
        let request_id = job.call.request_id.filter(|id| !answered.contains(id))?;
        let fingerprint = job.fingerprint.clone()?;
        Some((request_id, Answered { fingerprint, result: json!({"report_id": stored.placed.report.id}) }))
    });
    let answers: Vec<(Uuid, Answered)> = answers.collect();
    Ok(request::remember_many(txn, METHOD, answers).await?)
}

#[cfg(test)]
pub(in crate::app) mod tests;
