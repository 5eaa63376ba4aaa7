//! One batch: who reported, where each report goes, and everything that is stored about it, in one transaction.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use serde_json::json;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::app::matcher::IndexGuard;
use crate::app::{App, Error, cluster, customer};
use crate::domain::cluster::{Cluster, ClusterState};
use crate::domain::customer::{Customer, Installation};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::explanation::{Grounds, Nearest, Signal, Signals};
use crate::domain::id::{ClusterId, CustomerId, InstallationId, ReportId, SuggestionId};
use crate::domain::ledger::NO_DEFECT_LINKED;
use crate::domain::policy::Policy;
use crate::domain::report::{
    DEFAULT_ENVIRONMENT, LoopState, Membership, NewReporter, Origin, PlacementDecision, Report,
};
use crate::domain::suggestion::{Suggestion, SuggestionKind, SuggestionState};
use crate::domain::time::Timestamp;
use crate::matching::{self, Decision, Features};
use crate::store::dirty::{self, Subject};
use crate::store::report::PlacedReport;
use crate::store::request::{self, Answered};
use crate::store::vector::ReportVector;
use crate::store::{self, TenantScope, Txn};

use super::METHOD;
use super::lane::Job;
use super::replay::find_replays;

/// Reports of a batch that are stored together, while the next are decided. As most parts have this size, their statements
/// are known to the database.
const PART: usize = 32;

/// What the loop of a report in a linked cluster waits for until the reconciler has looked at it.
const PENDING: &str = "pending";

/// A report that is stored, and whether it was before.
pub(super) struct Stored {
    pub(super) placed: PlacedReport,
    pub(super) replayed: bool,
}

/// What became of one job.
pub(super) type Outcome = Result<Stored, Error>;

/// What a batch came to.
pub(super) struct Batch {
    /// One for each job, in order.
    pub(super) outcomes: Vec<Outcome>,
    pub(super) policy: Policy,
    pub(super) now: Timestamp,
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
    /// Decides and stores a batch, in one transaction.
    pub(super) async fn store_batch(&self, scope: TenantScope, jobs: &[Job]) -> Result<Batch, Error> {
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
        let mut written = Ok(());
        if places_reports {
            index.catch_up(&txn.read(), txn.sequence_before()).await?;
            let homes = homes_of(&txn, &fresh).await?;
            let (deciding, decided) = decide_all(index, jobs, fresh, homes);
            written = self.write_all(&mut txn, jobs, decided, &mut outcomes).await;
            index = deciding.await.map_err(|error| Error::Internal(Box::new(error)))?;
        }
        if written.is_ok() {
            written = remember(&txn, jobs, &outcomes, &answered).await;
        }
        if let Err(error) = written {
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
}

impl App {
    /// Stores what is decided, part by part as it comes.
    async fn write_all(
        &self,
        txn: &mut Txn,
        jobs: &[Job],
        mut decided: mpsc::UnboundedReceiver<Vec<Decided>>,
        outcomes: &mut [Option<Outcome>],
    ) -> Result<(), Error> {
        while let Some(part) = decided.recv().await {
            let placed = write(txn, jobs, part).await?;
            self.keep_vectors(txn, jobs, &placed).await?;
            for (job, placed) in placed {
                outcomes[job] = Some(Ok(Stored { placed, replayed: false }));
            }
        }
        Ok(())
    }

    /// Keeps what the embedder said of the reports, if there is one and it did.
    async fn keep_vectors(&self, txn: &Txn, jobs: &[Job], placed: &[(usize, PlacedReport)]) -> Result<(), Error> {
        let Some(endpoint) = &self.embedding else { return Ok(()) };
        let vectors = placed.iter().filter_map(|(job, placed)| {
            let job = &jobs[*job];
            let vector = job.features.embedding()?.to_bytes();
            Some(ReportVector { report_id: placed.report.id, text_hash: job.text_hash.clone()?, vector })
        });
        Ok(store::vector::insert(txn, endpoint.id(), vectors.collect()).await?)
    }
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

/// In which clusters the reporters have reports already.
async fn homes_of(txn: &Txn, fresh: &[Fresh]) -> Result<HashMap<CustomerId, BTreeSet<ClusterId>>, Error> {
    let customers: BTreeSet<CustomerId> = fresh.iter().map(|fresh| fresh.customer).collect();
    let mut homes: HashMap<CustomerId, BTreeSet<ClusterId>> = HashMap::new();
    for (customer, cluster) in store::report::homes_of(&txn.read(), &Vec::from_iter(customers)).await? {
        homes.entry(customer).or_default().insert(cluster);
    }
    Ok(homes)
}

/// Decides where reports go, in order: later ones find the earlier. On a thread that may take its time. What is decided
/// comes in parts, so that one is stored while the next is decided; who stops listening stops it.
fn decide_all(
    mut index: IndexGuard,
    jobs: &[Job],
    fresh: Vec<Fresh>,
    mut homes: HashMap<CustomerId, BTreeSet<ClusterId>>,
) -> (JoinHandle<IndexGuard>, mpsc::UnboundedReceiver<Vec<Decided>>) {
    let features: Vec<Features> = fresh.iter().map(|fresh| jobs[fresh.job].features.clone()).collect();
    let (parts, decided) = mpsc::unbounded_channel();
    let decide = move || {
        let mut fresh = fresh.into_iter().zip(features);
        loop {
            let decide = |(fresh, features): (Fresh, Features)| {
                let own = homes.entry(fresh.customer).or_default();
                let (cluster, placement) = index.take_in(fresh.report, &features, own);
                own.insert(cluster);
                Decided { fresh, cluster, placement }
            };
            let part: Vec<Decided> = fresh.by_ref().take(PART).map(decide).collect();
            if part.is_empty() || parts.send(part).is_err() {
                return index;
            }
        }
    };
    (tokio::task::spawn_blocking(decide), decided)
}

/// Stores a part of what was decided, with its events and marks.
async fn write(txn: &mut Txn, jobs: &[Job], decided: Vec<Decided>) -> Result<Vec<(usize, PlacedReport)>, Error> {
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
    let mut suggestions = Vec::new();
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
        suggestions.extend(suggestion_of(report));
        customers.insert(customer);
        stored.push((decided.fresh.job, placed));
    }
    store::cluster::insert(txn, begun.into_values().collect()).await?;
    store::report::insert(txn, stored.iter().map(|(_, placed)| placed.clone()).collect()).await?;
    store::cluster::add_to_counters(txn, &added).await?;
    store::suggestion::insert(txn, suggestions).await?;
    store::customer::upsert_installations(txn, installations).await?;
    // Who joined a linked cluster may have to be told; who runs something new, told about an older report.
    let concerned = store::report::linked_customers(&txn.read(), &Vec::from_iter(customers)).await?;
    dirty::mark(txn, concerned.into_iter().map(Subject::Customer), txn.now()).await?;
    reopen_resolved(txn, &Vec::from_iter(linked)).await?;
    Ok(stored)
}

fn begin_cluster(txn: &Txn, id: ClusterId, job: &Job) -> Cluster {
    let title = matching::headline(&job.new.title, &job.new.body);
    Cluster::begin(id, txn.scope().tenant(), title, job.product, txn.now())
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
        grounds: Some(grounds(placement)),
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

/// What the matcher went by, as it is remembered.
fn grounds(placement: &matching::Placement) -> Grounds {
    let nearest = placement.nearest.iter().map(|near| Nearest {
        cluster_id: near.cluster,
        report_id: near.report,
        score: near.score,
    });
    let thresholds = placement.thresholds;
    Grounds {
        version: matching::VERSION,
        attach: thresholds.attach,
        suggest: thresholds.suggest,
        nearest: nearest.collect(),
    }
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

/// What a person is asked about the report; `None` if the matcher was sure.
fn suggestion_of(report: &Report) -> Option<Suggestion> {
    Some(Suggestion {
        id: SuggestionId::new(),
        tenant_id: report.tenant_id,
        kind: SuggestionKind::Placement,
        report_id: report.id,
        cluster_id: report.suggested_cluster_id?,
        from_cluster_id: None,
        report_ids: Vec::new(),
        score: report.decision_score,
        signals: report.signals.clone(),
        state: SuggestionState::Pending,
        operation_id: None,
        actor: None,
        create_time: report.create_time,
        resolve_time: None,
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
