//! The matching index of each tenant, in memory: a cache of what the database says, never a second truth.
//!
//! An index is read from the tenant's reports when it is first needed and then kept current from the event log: an
//! event says *which* reports to look at again, their places are always read from the tables. So it does not matter
//! whether an event is seen twice, or late, or whether the tables are ahead of it. What intake inserts itself it must
//! either settle with its commit ([`TenantIndex::committed`]) or take out again ([`TenantIndex::roll_back`]); an index
//! that somebody left with unsettled reports is thrown away.
//!
//! So that a restart need not read all reports again, an index is kept in a file now and then ([`snapshots`]), with the
//! event up to which it was current. The next process takes it from there and follows the log. A file that is damaged, of
//! another version or of another history is not used: the reports are read, and the log says why.
//!
//! Inside an intake transaction the tenant's row is locked, so an index that was brought up to the log there knows
//! every report there is, on whichever replica it was accepted (law 4).

mod snapshots;
#[cfg(test)]
mod tests;
mod vectors;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use tracing::{info, warn};

use crate::domain::event::{Event, EventKind};
use crate::domain::id::{ClusterId, OperationId, ReportId, TenantId};
use crate::domain::report::Origin;
use crate::domain::time::Timestamp;
use crate::matching::{self, Candidate, Decision, Features, Index, Placement, Stamp, Text};
use crate::store::report::{ReportText, Texts, texts, texts_of};
use crate::store::{self, Reader, TenantScope};

use self::snapshots::Snapshots;
use self::vectors::Beside;
use super::calibration::learned;
use super::{App, Error};
use crate::telemetry::chain;

/// Reports read at once. At the longest texts that are allowed this is 50 MB, usually less than one.
const TEXTS: u64 = 500;
/// Pages of the past that are read at the same time: two take about as long as one is inserted, and one waits its turn.
const READ_AHEAD: usize = 3;
/// Events read at once.
const EVENTS: u64 = 1_000;
/// Constraints read at once.
const CONSTRAINTS: u64 = 5_000;

/// The matching index of each tenant.
#[derive(Default)]
pub struct Matcher {
    tenants: Mutex<HashMap<TenantId, Arc<AsyncMutex<TenantIndex>>>>,
    /// Whose vectors indexes take beside the built-in table's.
    embedder: Option<Arc<str>>,
    snapshots: OnceLock<Arc<Snapshots>>,
}

/// A tenant's index while nobody else uses it.
pub(crate) type IndexGuard = OwnedMutexGuard<TenantIndex>;

impl Matcher {
    /// No index yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// No index yet; they will take this embedder's vectors beside the built-in table's.
    pub fn with_embedder(embedder: &str) -> Self {
        Self { embedder: Some(embedder.into()), ..Self::default() }
    }

    /// Keeps snapshots in this folder, and uses those that are there. Said once, before the first index is asked for.
    pub fn keep_snapshots_in(&self, folder: PathBuf) {
        // Who says it twice is not listened to.
        let _ = self.snapshots.set(Arc::new(Snapshots::new(folder)));
    }

    /// The tenant's index, once nobody else uses it. Bring it up to the log before asking it anything.
    pub(crate) async fn lock(&self, tenant: TenantId) -> IndexGuard {
        let index = {
            let mut tenants = self.tenants.lock().expect("nobody panics while holding it");
            Arc::clone(tenants.entry(tenant).or_insert_with(|| {
                let snapshots = self.snapshots.get().cloned();
                let index = TenantIndex { snapshots, ..TenantIndex::new(self.embedder.clone()) };
                Arc::new(AsyncMutex::new(index))
            }))
        };
        let mut guard = index.lock_owned().await;
        if !guard.unsettled.is_empty() {
            guard.forget();
        }
        guard
    }
}

/// When snapshots are written: each costs as much as the whole index is large, and saves reading what came since the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Save {
    /// While the server runs: if a twentieth of the past is new.
    NowAndThen,
    /// Before it goes down: if a hundredth is new.
    Last,
}

impl Save {
    /// New events from which on a snapshot of so many reports is worth it.
    fn least_news(self, reports: usize) -> i64 {
        let (few, share) = match self {
            Self::NowAndThen => (1_000, 20),
            Self::Last => (200, 100),
        };
        few + i64::try_from(reports).unwrap_or(i64::MAX) / share
    }
}

/// How much of a tenant's past was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Loaded {
    Nothing,
    UpTo(ReportId),
    All,
}

/// One tenant's index, and how current it is.
pub(crate) struct TenantIndex {
    index: Index,
    loaded: Loaded,
    /// The event up to which it is current.
    sequence: i64,
    apart: BTreeSet<(ReportId, ClusterId)>,
    /// Clusters to be read again as a whole.
    reload: BTreeSet<ClusterId>,
    /// Inserted by a transaction that has not ended.
    unsettled: Vec<ReportId>,
    /// How sure the matcher has to be is as the tenant's policy and people's answers have it.
    is_taught: bool,
    /// Another embedder's vectors of the same reports.
    beside: Option<Beside>,
    /// Where it is kept, if it is, and the event up to which it is kept there.
    snapshots: Option<Arc<Snapshots>>,
    saved: i64,
}

impl TenantIndex {
    fn new(embedder: Option<Arc<str>>) -> Self {
        let mut index = Index::new(matching::Policy::default());
        let beside = embedder.map(Beside::new);
        if let Some(beside) = &beside {
            index.use_space(beside.space());
        }
        Self {
            index,
            beside,
            loaded: Loaded::Nothing,
            sequence: 0,
            apart: BTreeSet::new(),
            reload: BTreeSet::new(),
            unsettled: Vec::new(),
            is_taught: false,
            snapshots: None,
            saved: 0,
        }
    }
}

/// When a report is from, for the matcher, in seconds since 1970: what the caller says of it, who may import years of
/// the past in an hour; else when it was accepted. It is evidence and orders nothing (law 16).
pub(super) fn seconds(occurred: Option<Timestamp>, accepted: Timestamp) -> i64 {
    occurred.unwrap_or(accepted).micros().div_euclid(1_000_000)
}

/// A report that was read, and its place.
type ReadReport = (ReportId, ClusterId, Origin, Features);

/// Reads texts. It takes a while.
fn read_all(texts: Vec<ReportText>) -> Vec<ReadReport> {
    let read = |text: ReportText| {
        let features = Features::of(&Text {
            product: text.product_id,
            fingerprint: text.fingerprint.as_deref(),
            title: &text.title,
            body: &text.body,
        });
        let features = features.arrived(seconds(text.occurred_time, text.create_time));
        (text.report_id, text.cluster_id, text.origin, features)
    };
    texts.into_iter().map(read).collect()
}

/// What a number of events ask to be looked at again.
#[derive(Default)]
struct Changes {
    reports: BTreeSet<ReportId>,
    operations: BTreeSet<OperationId>,
    /// Somebody answered, corrected or changed the policy.
    teach: bool,
}

impl Changes {
    fn note(&mut self, event: &Event) {
        if event.kind == EventKind::ReportSubmitted {
            self.reports.extend(event.subject.parse::<ReportId>());
        } else {
            self.teach = true;
            let operation = event.data.get("operation_id").and_then(serde_json::Value::as_str);
            self.operations.extend(operation.and_then(|text| text.parse::<OperationId>().ok()));
        }
    }
}

impl TenantIndex {
    /// Whether the tenant's past was read once. If not, read it before a transaction begins: it takes a while.
    pub(crate) fn is_loaded(&self) -> bool {
        self.loaded == Loaded::All
    }

    /// Brings the index up to the tenant's last event, `last`. May be given up at any await: it goes on from there.
    pub(crate) async fn catch_up(&mut self, db: &Reader<'_>, last: i64) -> Result<(), Error> {
        self.load(db, last).await?;
        if self.sequence < last {
            self.follow(db, last).await?;
        }
        self.reload.extend(self.index.take_stale());
        while let Some(&cluster) = self.reload.first() {
            self.reload_cluster(db, cluster).await?;
            self.reload.remove(&cluster);
        }
        self.read_vectors(db).await?;
        if !self.is_taught {
            let (policy, _) = store::tenant::policy(db).await?;
            self.index.set_policy(learned(db, &policy).await?.thresholds);
            self.is_taught = true;
        }
        Ok(())
    }

    async fn load(&mut self, db: &Reader<'_>, last: i64) -> Result<(), Error> {
        if self.loaded == Loaded::Nothing {
            if self.restore(db, last).await? {
                return Ok(());
            }
            // What changes from here on is an event after this one.
            self.sequence = last;
        }
        let mut after = match self.loaded {
            Loaded::Nothing => None,
            Loaded::UpTo(report) => Some(report),
            Loaded::All => return Ok(()),
        };
        // While one page is inserted, other threads read the next ones.
        let mut reading = VecDeque::with_capacity(READ_AHEAD);
        let mut is_last = false;
        loop {
            while !is_last && reading.len() < READ_AHEAD {
                let page = texts(db, Texts::All(after), TEXTS).await?;
                match page.last().map(|text| text.report_id) {
                    None => is_last = true,
                    Some(read_to) => {
                        after = Some(read_to);
                        reading.push_back((tokio::task::spawn_blocking(move || read_all(page)), read_to));
                    }
                }
            }
            let Some((read, read_to)) = reading.pop_front() else { break };
            self.insert_all(read.await.map_err(|error| Error::Internal(Box::new(error)))?);
            self.loaded = Loaded::UpTo(read_to);
        }
        self.read_constraints(db).await?;
        self.loaded = Loaded::All;
        Ok(())
    }

    /// Takes the index from its snapshot, if there is one of this history; what happened since is in the log.
    async fn restore(&mut self, db: &Reader<'_>, last: i64) -> Result<bool, Error> {
        let Some(snapshots) = self.snapshots.clone() else { return Ok(false) };
        let tenant = db.scope().tenant();
        let policy = self.index.policy();
        let read = tokio::task::spawn_blocking(move || snapshots.read(tenant, policy)).await;
        let read = read.map_err(|error| Error::Internal(Box::new(error)))?;
        let refused = |why: &str| warn!(%tenant, "the index's snapshot is not used, all reports are read: {why}");
        let (index, stamp) = match read {
            Ok(Some(found)) => found,
            Ok(None) => return Ok(false),
            Err(error) => {
                refused(&chain(&error).to_string());
                return Ok(false);
            }
        };
        if stamp.tenant != tenant.uuid() {
            refused("it is another tenant's");
            return Ok(false);
        }
        if stamp.sequence > last || event_at(db, stamp.sequence).await? != Some(stamp.event) {
            refused("the database has another history");
            return Ok(false);
        }
        self.apart = index.set_apart_pairs().collect();
        self.index = index;
        if let Some(beside) = &self.beside {
            self.index.use_space(beside.space());
        }
        (self.sequence, self.saved) = (stamp.sequence, stamp.sequence);
        self.read_constraints(db).await?;
        self.loaded = Loaded::All;
        info!(%tenant, reports = self.index.report_count(), news = last - stamp.sequence, "the index is restored");
        Ok(true)
    }

    /// Whether a snapshot is worth its price.
    fn is_worth_saving(&self, when: Save) -> bool {
        let is_settled = self.loaded == Loaded::All && self.unsettled.is_empty() && self.reload.is_empty();
        is_settled && self.sequence - self.saved >= when.least_news(self.index.report_count())
    }

    async fn follow(&mut self, db: &Reader<'_>, last: i64) -> Result<(), Error> {
        let mut sequence = self.sequence;
        loop {
            let events = store::report::placements_after(db, sequence, EVENTS).await?;
            let mut changes = Changes::default();
            events.iter().for_each(|event| changes.note(event));
            self.is_taught &= !changes.teach;
            let reports: Vec<ReportId> = changes.reports.into_iter().collect();
            for some in reports.chunks(usize::try_from(TEXTS).unwrap_or(usize::MAX)) {
                self.insert_texts(texts_of(db, some).await?).await?;
            }
            for &operation in &changes.operations {
                let mut after = None;
                loop {
                    let page = texts(db, Texts::OfOperation(operation, after), TEXTS).await?;
                    let Some(read_to) = page.last().map(|text| text.report_id) else { break };
                    after = Some(read_to);
                    self.insert_texts(page).await?;
                }
            }
            if !changes.operations.is_empty() {
                self.read_constraints(db).await?;
            }
            let Some(read_to) = events.last().map(|event| event.sequence) else { break };
            sequence = read_to;
            self.sequence = sequence;
        }
        self.sequence = sequence.max(last);
        Ok(())
    }

    async fn reload_cluster(&mut self, db: &Reader<'_>, cluster: ClusterId) -> Result<(), Error> {
        self.index.remove_cluster(cluster);
        let mut after = None;
        loop {
            let page = texts(db, Texts::OfCluster(cluster, after), TEXTS).await?;
            let Some(last) = page.last() else { return Ok(()) };
            after = Some((last.customer_id, last.report_id));
            self.insert_texts(page).await?;
        }
    }

    async fn insert_texts(&mut self, texts: Vec<ReportText>) -> Result<(), Error> {
        if texts.is_empty() {
            return Ok(());
        }
        let read = tokio::task::spawn_blocking(move || read_all(texts)).await;
        self.insert_all(read.map_err(|error| Error::Internal(Box::new(error)))?);
        Ok(())
    }

    fn insert_all(&mut self, read: Vec<ReadReport>) {
        for (report, cluster, origin, features) in read {
            self.index.insert(report, cluster, origin == Origin::Human, &features);
            if let Some(beside) = &mut self.beside {
                beside.note(report);
            }
        }
    }

    /// Reads what people said about who does not belong where, and tells the index what is new or taken back.
    async fn read_constraints(&mut self, db: &Reader<'_>) -> Result<(), Error> {
        let mut said = Vec::new();
        let mut after = None;
        loop {
            let page = store::constraint::list(db, after, CONSTRAINTS).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            said.extend(page.into_iter().map(|constraint| (constraint.report_id, constraint.cluster_id)));
        }
        let clusters: BTreeSet<ClusterId> = said.iter().map(|&(_, cluster)| cluster).collect();
        let roots = store::cluster::roots(db, clusters).await?;
        // Who was set apart from a cluster is set apart from what it became a part of.
        let now: BTreeSet<(ReportId, ClusterId)> = said
            .into_iter()
            .map(|(report, cluster)| (report, roots.get(&cluster).copied().unwrap_or(cluster)))
            .collect();
        for &(report, cluster) in self.apart.difference(&now) {
            self.index.clear_apart(report, cluster);
        }
        for &(report, cluster) in now.difference(&self.apart) {
            self.index.set_apart(report, cluster);
        }
        self.apart = now;
        Ok(())
    }

    /// Where a text would go, and whom it resembles.
    pub(crate) fn place_among(&self, features: &Features, limit: usize) -> (Placement, Vec<Candidate>) {
        self.index.place_among(features, limit)
    }

    /// Whom a text resembles.
    pub(crate) fn candidates(&self, features: &Features, limit: usize) -> Vec<Candidate> {
        self.index.candidates(features, limit)
    }

    /// What is remembered, to ask more of it.
    pub(crate) fn memory(&self) -> &Index {
        &self.index
    }

    /// Decides where a new report goes and remembers it there, so that the next one finds it. `own` are the clusters in
    /// which its reporter has one. Settled by [`TenantIndex::committed`] or [`TenantIndex::roll_back`].
    pub(crate) fn take_in(
        &mut self,
        report: ReportId,
        features: &Features,
        own: &BTreeSet<ClusterId>,
    ) -> (ClusterId, Placement) {
        let placement = self.index.place_for(features, own);
        let cluster = match placement.decision {
            Decision::Attach { cluster, .. } => cluster,
            Decision::Suggest { .. } | Decision::New => ClusterId::new(),
        };
        self.unsettled.push(report);
        self.index.insert(report, cluster, false, features);
        (cluster, placement)
    }

    /// What was taken in is stored, with this as the tenant's last event.
    pub(crate) fn committed(&mut self, sequence: i64) {
        self.unsettled.clear();
        self.sequence = sequence;
    }

    /// What was taken in is not stored.
    pub(crate) fn roll_back(&mut self) {
        for report in std::mem::take(&mut self.unsettled) {
            self.index.remove_report(report);
        }
    }

    /// Nobody knows what is stored: everything is read again.
    pub(crate) fn forget(&mut self) {
        let snapshots = self.snapshots.take();
        *self = Self { snapshots, ..Self::new(self.beside.take().map(|beside| beside.embedder)) };
    }
}

/// The id of the event at a place of the log.
async fn event_at(db: &Reader<'_>, sequence: i64) -> Result<Option<uuid::Uuid>, Error> {
    let events = store::event::after(db, sequence - 1, 1).await?;
    Ok(events.first().filter(|event| event.sequence == sequence).map(|event| event.id.uuid()))
}

impl App {
    /// Reads every tenant's past, so that nobody's first report waits for it.
    pub async fn warm_matcher(&self) -> Result<(), Error> {
        for scope in store::tenant::all_scopes(&self.store).await? {
            self.current_index(scope).await?;
        }
        Ok(())
    }

    /// Writes snapshots of the indexes for which it is worth it. A file that cannot be written is told of in the log and
    /// costs no more than the time it would have saved.
    ///
    /// # Errors
    /// If the database cannot be asked.
    pub async fn save_indexes(&self, when: Save) -> Result<(), Error> {
        let Some(snapshots) = self.matcher.snapshots.get() else { return Ok(()) };
        for scope in store::tenant::all_scopes(&self.store).await? {
            let tenant = scope.tenant();
            let is_known = self.matcher.tenants.lock().expect("nobody panics while holding it").contains_key(&tenant);
            if !is_known {
                continue;
            }
            let index = self.matcher.lock(tenant).await;
            if !index.is_worth_saving(when) {
                continue;
            }
            let sequence = index.sequence;
            let Some(event) = event_at(&self.store.reader(scope), sequence).await? else { continue };
            let stamp = Stamp { tenant: tenant.uuid(), sequence, event };
            let written = snapshots.write(tenant, index, stamp).await;
            match written {
                Ok(bytes) => info!(%tenant, sequence, bytes, "the index is kept in a snapshot"),
                Err(error) => warn!(%tenant, error = %chain(&error), "the index's snapshot cannot be written"),
            }
        }
        Ok(())
    }

    /// The tenant's index, current as of now.
    pub(crate) async fn current_index(&self, scope: TenantScope) -> Result<IndexGuard, Error> {
        let mut index = self.matcher.lock(scope.tenant()).await;
        let db = self.store.reader(scope);
        let last = store::event::last_sequence(&db).await?;
        index.catch_up(&db, last).await?;
        Ok(index)
    }
}
