//! The reconciler: from what is true now it derives what each customer should have heard, compares it with the
//! told-truth ledger, and writes the difference. It reads no events and has no memory: an RPC, a restart or the clock
//! only marks something dirty, and running it again changes nothing.
//!
//! The unit is a page of customers. [`evaluate`] reads everything about them in a constant number of queries and asks
//! the domain; [`apply`] writes deliveries, corrections, suppressions and the state of every loop. A cluster is a walk
//! over its customers, page by page, each page its own transaction, so that a million reporters need no more memory
//! than ten.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;
use tracing::debug;

use crate::domain::announcement::{APPROVED_BY_POLICY, Announcement, AnnouncementState, Stage};
use crate::domain::coverage::{Coverage, Verdict};
use crate::domain::customer::{ChannelKind, ContactPoint, ContactState, Customer};
use crate::domain::delivery::{Delivery, DeliveryState, REJECTED, RETRIES_EXHAUSTED, UNWRITABLE};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{AnnouncementId, ClusterId, CustomerId, DeliveryId, ReleaseId, StatementId};
use crate::domain::ledger::{self, Due, Statement, StatementState};
use crate::domain::policy::Policy;
use crate::domain::statements::{self, CustomerFacts, Outlook, Standing, Waiting, World};
use crate::domain::time::Timestamp;
use crate::domain::version::Version;
use crate::store::dirty::{self, DirtyKind, Mark, Subject};
use crate::store::statement::ReportBrief;
use crate::store::{self, Reader, TenantScope, Txn};

use super::{App, Error, Progress, announcement, cluster, delivery, world};

/// Customers taken up in one turn, in one transaction.
const CUSTOMERS: u64 = 256;
/// Clusters taken up in one turn, each for one page in a transaction of its own. Customers are looked at first, because
/// they are quickly done; but however many there are, clusters have their turn.
const CLUSTERS: u64 = 16;
/// Clusters marked by one sweep.
const SWEEP: u64 = 256;

/// Everything about one customer, and what follows from it.
#[derive(Debug)]
pub(crate) struct Evaluation {
    /// Who.
    pub(crate) customer: Customer,
    /// Where to reach them, in the order of preference.
    pub(crate) contacts: Vec<ContactPoint>,
    /// What they reported.
    pub(crate) reports: Vec<ReportBrief>,
    /// How they stand to each defect.
    pub(crate) standings: Vec<Standing>,
    /// What they were told.
    pub(crate) statements: Vec<Statement>,
    /// What is to be written down.
    pub(crate) due: Vec<Due>,
}

/// A page of customers, judged together.
#[derive(Debug)]
pub(crate) struct Page {
    /// What is true for all of them.
    pub(crate) world: World,
    /// Each of them.
    pub(crate) evaluations: Vec<Evaluation>,
}

/// Reads everything about these customers and asks the domain what follows.
pub(crate) async fn evaluate(
    db: &Reader<'_>,
    policy: &Policy,
    now: Timestamp,
    customers: &[CustomerId],
) -> Result<Page, Error> {
    let reports = store::statement::reports_of(db, customers).await?;
    let clusters: BTreeSet<ClusterId> = reports.iter().map(|report| report.cluster_id).collect();
    let clusters: Vec<ClusterId> = clusters.into_iter().collect();
    let world = world::load(db, &clusters).await?;

    let mut reports = group(reports, |report| report.customer_id);
    let mut installations = group(store::customer::installations_of(db, customers).await?, |it| it.customer_id);
    let mut contacts = group(store::customer::contact_points_of(db, customers).await?, |it| it.customer_id);
    let mut told = group(store::statement::of_customers(db, customers).await?, |it| it.customer_id);
    let mut evaluations = Vec::with_capacity(customers.len());
    for customer in store::customer::by_ids(db, customers).await? {
        let reports = reports.remove(&customer.id).unwrap_or_default();
        let facts = CustomerFacts {
            reports: reports.iter().map(ReportBrief::facts).collect(),
            installations: installations
                .remove(&customer.id)
                .unwrap_or_default()
                .iter()
                .map(|installation| (installation.product_id, installation.facts()))
                .collect(),
        };
        let standings = statements::standings(&world, &facts, policy, now);
        let statements = told.remove(&customer.id).unwrap_or_default();
        let due = ledger::due(&standings, &statements, &world, policy);
        let contacts = contacts.remove(&customer.id).unwrap_or_default();
        evaluations.push(Evaluation { customer, contacts, reports, standings, statements, due });
    }
    Ok(Page { world, evaluations })
}

fn group<T>(items: Vec<T>, key: impl Fn(&T) -> CustomerId) -> HashMap<CustomerId, Vec<T>> {
    let mut groups: HashMap<CustomerId, Vec<T>> = HashMap::new();
    for item in items {
        groups.entry(key(&item)).or_default().push(item);
    }
    groups
}

/// What one letter about several defects may promise: who must move for one of them is told so, and the release that
/// is named has the fixes of all.
pub(super) fn spoken<'a>(coverages: impl Iterator<Item = &'a Coverage>, world: &World) -> Option<&'a Coverage> {
    let place = |release: ReleaseId| {
        let of_products = world.products.values().flat_map(|product| &product.releases);
        let release = of_products.into_iter().find(|known| known.id == release)?;
        Some((Version::parse(&release.version).ok(), release.sequence))
    };
    coverages.max_by_key(|coverage| {
        let caution = match coverage.verdict {
            Verdict::Covered => 0,
            Verdict::UpgradeAvailable => 1,
            Verdict::Unknown | Verdict::NotYet | Verdict::NotApplicable => 2,
        };
        (caution, coverage.release.and_then(place))
    })
}

/// The release that a letter promises help from; `None` if the customer has what helps.
fn promised(coverage: &Coverage) -> Option<ReleaseId> {
    coverage.release.filter(|_| coverage.verdict != Verdict::Covered)
}

/// How a customer would be reached now, or why they cannot be.
pub(crate) fn usable_contact<'a>(
    customer: &Customer,
    contacts: &'a [ContactPoint],
    enabled: &[ChannelKind],
) -> Result<&'a ContactPoint, &'static str> {
    if customer.opted_out {
        return Err("opted_out");
    }
    let usable = |contact: &&ContactPoint| contact.state == ContactState::Active && enabled.contains(&contact.channel);
    if let Some(contact) = contacts.iter().find(usable) {
        return Ok(contact);
    }
    let any = |state| contacts.iter().any(|contact| contact.state == state);
    Err(if contacts.is_empty() {
        "no_contact_point"
    } else if any(ContactState::OptedOut) {
        "opted_out"
    } else if any(ContactState::Bounced) {
        "bounced"
    } else {
        "channel_disabled"
    })
}

/// What one page's writing has to remember until its end.
struct Writer<'a> {
    txn: &'a mut Txn,
    enabled: &'a [ChannelKind],
    /// Announcements that still take recipients, by cluster and stage.
    open: HashMap<(ClusterId, Stage), Announcement>,
    touched: BTreeSet<AnnouncementId>,
    deliveries: Vec<Delivery>,
    inserts: Vec<Statement>,
    deletes: Vec<StatementId>,
    cancelled: BTreeMap<&'static str, Vec<DeliveryId>>,
    /// Not to be repeated, and perhaps heard.
    in_doubt: Vec<DeliveryId>,
    /// To be looked at again once this page is written.
    again: Vec<(Subject, Timestamp)>,
}

/// What a page's writing left to do.
pub(crate) struct Applied {
    /// Announcements whose plan changed.
    pub(crate) touched: BTreeSet<AnnouncementId>,
    /// Clusters whose derived state may have changed.
    pub(crate) clusters: BTreeSet<ClusterId>,
    /// Customers to be looked at again, and when.
    pub(crate) again: Vec<(Subject, Timestamp)>,
}

/// Writes what is due for a page of customers.
pub(crate) async fn apply(txn: &mut Txn, page: &mut Page, enabled: &[ChannelKind]) -> Result<Applied, Error> {
    let spoken_of: BTreeSet<ClusterId> = page
        .evaluations
        .iter()
        .flat_map(|evaluation| &evaluation.due)
        .filter_map(|due| match due {
            Due::Tell { cluster, .. } => Some(*cluster),
            Due::Drop { .. } | Due::Forget { .. } => None,
        })
        .collect();
    let spoken_of: Vec<ClusterId> = spoken_of.into_iter().collect();
    let mut open = HashMap::new();
    for announcement in store::announcement::open_of_clusters(&txn.read(), &spoken_of).await? {
        let automatic = txn.policy().approval_threshold.is_none() || announcement.stage == Stage::Correction;
        // An approved plan is closed, unless nobody had to be asked for it.
        if announcement.state == AnnouncementState::AwaitingApproval || automatic {
            open.entry((announcement.cluster_id, announcement.stage)).or_insert(announcement);
        }
    }
    let mut writer = Writer {
        txn,
        enabled,
        open,
        touched: BTreeSet::new(),
        deliveries: Vec::new(),
        inserts: Vec::new(),
        deletes: Vec::new(),
        cancelled: BTreeMap::new(),
        in_doubt: Vec::new(),
        again: Vec::new(),
    };
    let sent = sent_before(writer.txn, page).await?;
    let mut loops = Vec::new();
    let mut clusters = BTreeSet::new();
    for evaluation in &mut page.evaluations {
        writer.write(evaluation, &page.world, &sent).await?;
        for report in &mut evaluation.reports {
            let links = page.world.links.get(&report.cluster_id);
            let (state, reason) = ledger::loop_of(report.id, links, &evaluation.standings, &evaluation.statements);
            if (report.loop_state, report.loop_reason.as_str()) != (state, reason.as_str()) {
                writer.txn.record(
                    NewEvent::new(EventKind::LoopChanged, report.id)
                        .customer(report.customer_id)
                        .cluster(report.cluster_id)
                        .data(json!({"state": state, "reason": reason})),
                );
                report.loop_state = state;
                report.loop_reason.clone_from(&reason);
                loops.push((report.id, state, reason));
                clusters.insert(report.cluster_id);
            }
        }
        let settling = evaluation.standings.iter().filter_map(|standing| match standing.outlook {
            Outlook::Wait(Waiting::Settling { until }, _) => Some(until),
            _ => None,
        });
        if let Some(until) = settling.min() {
            writer.again.push((Subject::Customer(evaluation.customer.id), until));
        }
    }
    let Writer { txn, mut touched, deliveries, inserts, deletes, cancelled, in_doubt, again, .. } = writer;
    for mut delivery in store::delivery::by_ids(&txn.read(), in_doubt).await? {
        touched.insert(delivery.announcement_id);
        delivery::finish(txn, &mut delivery, DeliveryState::Unconfirmed, delivery::OUTCOME_UNKNOWN).await?;
    }
    for (reason, ids) in &cancelled {
        store::statement::delete_of_deliveries(txn, ids).await?;
        store::delivery::finish(txn, ids, DeliveryState::Cancelled, reason).await?;
    }
    store::statement::delete(txn, deletes).await?;
    store::delivery::insert(txn, deliveries).await?;
    store::statement::insert(txn, inserts).await?;
    store::statement::set_loops(txn, loops).await?;
    Ok(Applied { touched, clusters, again })
}

/// Deliveries of a page that cannot simply be taken back.
#[derive(Default)]
struct SentBefore {
    /// Being sent, or left behind by a process that died: the outcome decides.
    in_flight: BTreeSet<DeliveryId>,
    /// They wait for another try, and an earlier one may have arrived.
    in_doubt: BTreeSet<DeliveryId>,
}

async fn sent_before(txn: &Txn, page: &Page) -> Result<SentBefore, Error> {
    let pending = page
        .evaluations
        .iter()
        .flat_map(|evaluation| &evaluation.statements)
        .filter_map(|statement| statement.delivery_id.filter(|_| statement.state == StatementState::Pending));
    let pending: BTreeSet<DeliveryId> = pending.collect();
    let mut sent = SentBefore::default();
    for delivery in store::delivery::by_ids(&txn.read(), pending).await? {
        if delivery.state == DeliveryState::Sending {
            sent.in_flight.insert(delivery.id);
        } else if delivery.may_have_arrived() {
            sent.in_doubt.insert(delivery.id);
        }
    }
    Ok(sent)
}

impl Writer<'_> {
    async fn write(&mut self, evaluation: &mut Evaluation, world: &World, sent: &SentBefore) -> Result<(), Error> {
        self.part(evaluation, sent);
        // What is said to one customer about one cluster at one stage is one delivery, however many defects it covers, as
        // long as it can name one release.
        let mut together: BTreeMap<(ClusterId, Stage, Option<ReleaseId>), Vec<Due>> = BTreeMap::new();
        for due in std::mem::take(&mut evaluation.due) {
            match due {
                Due::Tell { cluster, stage, ref coverage, .. } => {
                    let release = coverage.as_ref().and_then(promised);
                    together.entry((cluster, stage, release)).or_default().push(due);
                }
                Due::Drop { slot, reason } => self.drop(evaluation, slot, reason, sent),
                Due::Forget { slot } => self.forget(evaluation, slot),
            }
        }
        for ((cluster, stage, _), tells) in together {
            let contact = usable_contact(&evaluation.customer, &evaluation.contacts, self.enabled).cloned();
            match contact {
                Ok(_) if !self.worth_another_try(evaluation, &tells) => {}
                Ok(contact) => self.plan(evaluation, world, (cluster, stage), tells, &contact).await?,
                Err(reason) => self.suppress(evaluation, tells, reason),
            }
        }
        Ok(())
    }

    /// Where every contact point was tried to its end, only one that is new or was given back since is worth a try.
    fn worth_another_try(&self, evaluation: &Evaluation, tells: &[Due]) -> bool {
        let slots = tells.iter().filter_map(|tell| match tell {
            Due::Tell { slot, .. } => *slot,
            Due::Drop { .. } | Due::Forget { .. } => None,
        });
        let failed = slots
            .filter_map(|slot| evaluation.statements.iter().find(|statement| statement.id == slot))
            .filter(|statement| [REJECTED, RETRIES_EXHAUSTED, UNWRITABLE].contains(&statement.reason.as_str()))
            .map(|statement| statement.update_time)
            .max();
        failed.is_none_or(|failed| {
            evaluation.contacts.iter().any(|contact| {
                contact.state == ContactState::Active
                    && self.enabled.contains(&contact.channel)
                    && contact.update_time > failed
            })
        })
    }

    /// Takes back deliveries of which the defects are not fixed in one release any more: a letter names one.
    fn part(&mut self, evaluation: &mut Evaluation, sent: &SentBefore) {
        let mut promises: BTreeMap<DeliveryId, (StatementId, BTreeSet<Option<ReleaseId>>)> = BTreeMap::new();
        for statement in &evaluation.statements {
            let is_open = (statement.state, statement.stage) == (StatementState::Pending, Stage::FixAvailable);
            let standing = evaluation.standings.iter().find(|standing| standing.defect == statement.defect_id);
            let (Some(delivery), Some(standing)) = (statement.delivery_id.filter(|_| is_open), standing) else {
                continue;
            };
            if let Outlook::Say(coverage) = &standing.outlook {
                let (_, promised_in) = promises.entry(delivery).or_insert_with(|| (statement.id, BTreeSet::new()));
                promised_in.insert(promised(coverage));
            }
        }
        for (slot, promised_in) in promises.into_values() {
            if promised_in.len() > 1 {
                self.drop(evaluation, slot, "no_longer_true", sent);
            }
        }
    }

    /// Takes back a delivery before it is sent, with everything it carries.
    fn drop(&mut self, evaluation: &mut Evaluation, slot: StatementId, reason: &'static str, sent: &SentBefore) {
        let statement = evaluation.statements.iter().find(|statement| statement.id == slot);
        let Some(delivery) = statement.and_then(|statement| statement.delivery_id) else { return };
        if sent.in_flight.contains(&delivery) {
            return; // Its outcome marks the customer dirty, and if it was told, it is corrected.
        }
        if sent.in_doubt.contains(&delivery) {
            // It may have been heard: it ends as that, and then the truth is told against it.
            if !self.in_doubt.contains(&delivery) {
                self.in_doubt.push(delivery);
            }
            return;
        }
        let carried = evaluation.statements.iter().filter(|statement| statement.delivery_id == Some(delivery)).count();
        if carried > 1 {
            // The rest of what it carried is still to be said.
            self.again.push((Subject::Customer(evaluation.customer.id), self.txn.now()));
        }
        let announcement = statement.and_then(|statement| statement.announcement_id);
        self.touched.extend(announcement);
        let stage = statement.map(|statement| statement.stage.as_str());
        self.txn.record(
            NewEvent::new(EventKind::DeliveryFinished, delivery)
                .customer(evaluation.customer.id)
                .data(json!({"state": DeliveryState::Cancelled, "stage": stage, "reason": reason})),
        );
        self.cancelled.entry(reason).or_default().push(delivery);
        evaluation.statements.retain(|statement| statement.delivery_id != Some(delivery));
    }

    fn forget(&mut self, evaluation: &mut Evaluation, slot: StatementId) {
        self.deletes.push(slot);
        evaluation.statements.retain(|statement| statement.id != slot);
    }

    fn suppress(&mut self, evaluation: &mut Evaluation, tells: Vec<Due>, reason: &'static str) {
        for tell in tells {
            let Due::Tell { slot, .. } = &tell else { continue };
            if let Some(slot) = *slot {
                let known = evaluation.statements.iter().any(|known| known.id == slot && known.reason == reason);
                if known {
                    continue; // It was suppressed for this reason before.
                }
                self.forget(evaluation, slot);
            }
            let Some(mut statement) = self.statement(&evaluation.customer, &tell) else { continue };
            statement.state = StatementState::Suppressed;
            reason.clone_into(&mut statement.reason);
            self.txn.record(
                NewEvent::new(EventKind::StatementSuppressed, statement.id)
                    .customer(statement.customer_id)
                    .cluster(statement.cluster_id)
                    .data(json!({"stage": statement.stage, "reason": reason, "defect_id": statement.defect_id})),
            );
            evaluation.statements.push(statement.clone());
            self.inserts.push(statement);
        }
    }

    async fn plan(
        &mut self,
        evaluation: &mut Evaluation,
        world: &World,
        (cluster, stage): (ClusterId, Stage),
        tells: Vec<Due>,
        contact: &ContactPoint,
    ) -> Result<(), Error> {
        let announcement = self.announcement(cluster, stage).await?;
        let now = self.txn.now();
        let coverages = tells.iter().filter_map(|tell| match tell {
            Due::Tell { coverage, .. } => coverage.as_ref(),
            Due::Drop { .. } | Due::Forget { .. } => None,
        });
        let coverage = spoken(coverages, world).cloned();
        let state = if announcement.state == AnnouncementState::Approved {
            DeliveryState::Pending
        } else {
            DeliveryState::AwaitingApproval
        };
        let delivery = Delivery {
            id: DeliveryId::new(),
            tenant_id: self.txn.scope().tenant(),
            announcement_id: announcement.id,
            cluster_id: cluster,
            customer_id: evaluation.customer.id,
            stage,
            contact_point_id: contact.id,
            channel: contact.channel,
            state,
            reason: String::new(),
            verdict: coverage.as_ref().map(|coverage| coverage.verdict),
            release_id: coverage.as_ref().and_then(|coverage| coverage.release),
            version: coverage.and_then(|coverage| coverage.version).unwrap_or_default(),
            attempt_count: 0,
            contact_attempt_count: 0,
            unknown_count: 0,
            next_attempt_time: now,
            lease_token: 0,
            lease_expire_time: None,
            create_time: now,
            finish_time: None,
            update_time: now,
        };
        for tell in &tells {
            if let Due::Tell { slot: Some(slot), .. } = tell {
                self.forget(evaluation, *slot);
            }
            let Some(mut statement) = self.statement(&evaluation.customer, tell) else { continue };
            statement.announcement_id = Some(announcement.id);
            statement.delivery_id = Some(delivery.id);
            evaluation.statements.push(statement.clone());
            self.inserts.push(statement);
        }
        self.txn.record(
            NewEvent::new(EventKind::DeliveryPlanned, delivery.id)
                .customer(delivery.customer_id)
                .cluster(cluster)
                .data(json!({
                    "announcement_id": announcement.id, "stage": stage, "channel": delivery.channel,
                    "verdict": delivery.verdict, "version": delivery.version,
                })),
        );
        self.touched.insert(announcement.id);
        self.deliveries.push(delivery);
        Ok(())
    }

    fn statement(&self, customer: &Customer, tell: &Due) -> Option<Statement> {
        let Due::Tell { defect, cluster, stage, ordinal, coverage, reason, .. } = tell else { return None };
        let now = self.txn.now();
        Some(Statement {
            id: StatementId::new(),
            tenant_id: self.txn.scope().tenant(),
            customer_id: customer.id,
            defect_id: *defect,
            stage: *stage,
            ordinal: *ordinal,
            state: StatementState::Pending,
            reason: (*reason).to_owned(),
            cluster_id: *cluster,
            announcement_id: None,
            delivery_id: None,
            release_id: coverage.as_ref().and_then(|coverage| coverage.release),
            version: coverage.as_ref().and_then(|coverage| coverage.version.clone()).unwrap_or_default(),
            verdict: coverage.as_ref().map(|coverage| coverage.verdict),
            rule: coverage.as_ref().map(|coverage| coverage.rule.as_str().to_owned()).unwrap_or_default(),
            told_time: None,
            withdraw_time: None,
            create_time: now,
            update_time: now,
        })
    }

    /// The announcement that takes recipients for this cluster and stage, made if there is none.
    async fn announcement(&mut self, cluster: ClusterId, stage: Stage) -> Result<Announcement, Error> {
        if let Some(open) = self.open.get(&(cluster, stage)) {
            return Ok(open.clone());
        }
        let now = self.txn.now();
        // Taking something back never waits for a person: what was said is false now.
        let automatic = self.txn.policy().approval_threshold.is_none() || stage == Stage::Correction;
        let announcement = Announcement {
            id: AnnouncementId::new(),
            tenant_id: self.txn.scope().tenant(),
            cluster_id: cluster,
            stage,
            state: if automatic { AnnouncementState::Approved } else { AnnouncementState::AwaitingApproval },
            plan_digest: String::new(),
            recipient_count: 0,
            told_count: 0,
            approved_by: automatic.then(|| APPROVED_BY_POLICY.to_owned()),
            cancel_reason: String::new(),
            create_time: now,
            approve_time: automatic.then_some(now),
            update_time: now,
        };
        self.txn.record(
            NewEvent::new(EventKind::AnnouncementPlanned, announcement.id)
                .cluster(cluster)
                .data(json!({"stage": stage, "state": announcement.state})),
        );
        store::announcement::insert(self.txn, announcement.clone()).await?;
        self.open.insert((cluster, stage), announcement.clone());
        Ok(announcement)
    }
}

impl App {
    /// Works on the dirty marks that are due. `More` if it found any.
    pub async fn reconcile_once(&self, now: Timestamp) -> Result<Progress, Error> {
        let customers = dirty::due(&self.store, DirtyKind::Customer, now, CUSTOMERS).await?;
        let clusters = dirty::due(&self.store, DirtyKind::Cluster, now, CLUSTERS).await?;
        if customers.is_empty() && clusters.is_empty() {
            return Ok(Progress::Idle);
        }
        let mut by_scope: HashMap<TenantScope, Vec<Mark>> = HashMap::new();
        for mark in customers {
            by_scope.entry(mark.scope).or_default().push(mark);
        }
        for (scope, marks) in by_scope {
            self.reconcile_customers(scope, marks, now).await?;
        }
        for mark in clusters {
            if let Subject::Cluster(id) = mark.subject {
                self.reconcile_cluster(mark, id, now).await?;
            }
        }
        Ok(Progress::More)
    }

    async fn reconcile_customers(&self, scope: TenantScope, marks: Vec<Mark>, now: Timestamp) -> Result<(), Error> {
        let mut txn = self.store.begin_system(scope, now).await?;
        let mut customers = Vec::with_capacity(marks.len());
        for mark in &marks {
            if let Subject::Customer(id) = mark.subject {
                customers.push(id);
            }
            // Before the work: what the work itself marks again must stay.
            dirty::finish(&txn, mark).await?;
        }
        let policy = txn.policy().clone();
        let mut page = evaluate(&txn.read(), &policy, now, &customers).await?;
        let applied = apply(&mut txn, &mut page, &self.delivery.enabled()).await?;
        announcement::settle_plans(&mut txn, &applied.touched).await?;
        self.finish_page(txn, applied).await
    }

    /// One page of a cluster's customers.
    async fn reconcile_cluster(&self, mark: Mark, id: ClusterId, now: Timestamp) -> Result<(), Error> {
        let mut txn = self.store.begin_system(mark.scope, now).await?;
        let Some(mark) = dirty::find(&txn, mark.subject).await? else { return Ok(()) };
        let size = self.delivery.settings.reconcile_page;
        let customers = store::statement::customers_of_cluster(&txn.read(), id, mark.page_cursor, size).await?;
        let is_last = u64::try_from(customers.len()).unwrap_or(u64::MAX) < size;
        match customers.last() {
            Some(&last) if !is_last => dirty::advance(&txn, &mark, last).await?,
            _ => {
                dirty::finish(&txn, &mark).await?;
                store::cluster::swept(&txn, id).await?;
            }
        }
        let policy = txn.policy().clone();
        let mut page = evaluate(&txn.read(), &policy, now, &customers).await?;
        let mut applied = apply(&mut txn, &mut page, &self.delivery.enabled()).await?;
        applied.clusters.insert(id);
        debug!(cluster.id = %id, customer_count = customers.len(), is_last, "reconciled a page of {id}");
        announcement::settle_page(&mut txn, id, is_last, &applied.touched).await?;
        self.finish_page(txn, applied).await
    }

    async fn finish_page(&self, mut txn: Txn, applied: Applied) -> Result<(), Error> {
        let now = txn.now();
        for (subject, due) in &applied.again {
            dirty::mark(&txn, [*subject], (*due).max(now)).await?;
        }
        let clusters: Vec<ClusterId> = applied.clusters.into_iter().collect();
        cluster::refresh_states(&mut txn, &clusters).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(())
    }

    /// Marks linked clusters that nobody looked at for a long time: what no mark announced is found anyway.
    pub async fn sweep_once(&self, now: Timestamp) -> Result<Progress, Error> {
        let before = now - self.delivery.settings.sweep_period;
        let stale = store::cluster::stale_linked(&self.store, before, SWEEP).await?;
        if stale.is_empty() {
            return Ok(Progress::Idle);
        }
        let mut by_scope: HashMap<TenantScope, Vec<ClusterId>> = HashMap::new();
        for (scope, cluster) in stale {
            by_scope.entry(scope).or_default().push(cluster);
        }
        for (scope, clusters) in by_scope {
            let txn = self.store.begin_system(scope, now).await?;
            dirty::mark(&txn, clusters.iter().copied().map(Subject::Cluster), now).await?;
            for cluster in clusters {
                store::cluster::swept(&txn, cluster).await?;
            }
            txn.commit().await?;
        }
        self.wake.committed();
        Ok(Progress::More)
    }
}

#[cfg(test)]
mod tests {
    use crate::app::intake::tests::Scene;

    use super::*;

    #[tokio::test]
    async fn law_10_clusters_have_their_turn_however_many_customers_wait() {
        let scene = Scene::new().await;
        let placed = scene.report("1", "Export to PDF crashes").await;
        let cluster = Subject::Cluster(placed.membership.cluster_id);
        let (store, now) = (&scene.app.store, scene.app.clock.now());
        let txn = store.begin_system(scene.call.scope, now).await.expect("a transaction");
        let customers = (0..=CUSTOMERS).map(|_| Subject::Customer(CustomerId::new()));
        dirty::mark(&txn, customers.chain([cluster]), now).await.expect("marks");
        txn.commit().await.expect("a commit");

        scene.app.reconcile_once(now).await.expect("a turn");
        let left = dirty::due(store, DirtyKind::Customer, now, 2 * CUSTOMERS).await.expect("reads");
        assert_eq!(left.len(), 1, "one more than a turn takes");
        let left = dirty::due(store, DirtyKind::Cluster, now, 10).await.expect("reads");
        assert!(left.is_empty(), "{left:?}");
    }
}
