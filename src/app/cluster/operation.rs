//! What people do with reports: move one, merge two clusters, split one, and take it back. People outrank the matcher
//! (law 5): each step leaves a constraint that later matching obeys, and remembers how every report stood before.
//!
//! A merge copies the links of the cluster that goes, so that nothing is said on account of a link alone; conversations
//! are never merged. A constraint that a newer word contradicts is set aside by it, and holds again when that word is
//! taken back. A step can be taken back while each of its reports is still where it put them: whoever moved one since
//! has to take that back first, and is named.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::json;

use crate::domain::cluster::{Cluster, ClusterDefect, Constraint, Operation, OperationKind};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{ClusterId, ConstraintId, DefectId, OperationId, ReportId};
use crate::domain::suggestion::SuggestionState;
use crate::domain::violation::Violations;
use crate::matching::headline;
use crate::store::dirty::{self, Subject};
use crate::store::report::PlacedReport;
use crate::store::{self, Reader, Txn};

use super::super::{App, Call, Error, Once, Resource, remembered, suggestion};
use super::{ClusterView, refresh_states, standing, view};

/// Customers marked one by one; beyond that the marks of both clusters, between which they moved, find them all.
const MARKED_CUSTOMERS: u64 = 1_000;
/// Reports of one split at most.
const MAX_SPLIT: usize = 1_000;
const MAX_REASON: usize = 1_000;

/// A report that was moved.
#[derive(Debug, Clone)]
pub struct Moved {
    /// In its new place.
    pub placed: PlacedReport,
    /// The step.
    pub operation: Operation,
}

/// Two clusters that became one.
#[derive(Debug, Clone)]
pub struct Merged {
    /// The cluster that stayed.
    pub cluster: ClusterView,
    /// The step.
    pub operation: Operation,
}

/// One cluster that became two.
#[derive(Debug, Clone)]
pub struct Split {
    /// The new one.
    pub new_cluster: ClusterView,
    /// What is left.
    pub remaining_cluster: ClusterView,
    /// The step.
    pub operation: Operation,
}

/// A split as a caller asks for it.
#[derive(Debug, Clone, Serialize)]
pub struct NewSplit {
    /// The cluster to split.
    pub cluster_id: ClusterId,
    /// The reports that go.
    pub report_ids: Vec<ReportId>,
    /// Title of the new cluster; empty takes its first report's.
    pub title: String,
    /// Why.
    pub reason: String,
}

#[derive(Serialize)]
struct MoveBody<'a> {
    report_id: ReportId,
    cluster_id: Option<ClusterId>,
    reason: &'a str,
}

#[derive(Serialize)]
struct MergeBody<'a> {
    from_cluster_id: ClusterId,
    into_cluster_id: ClusterId,
    reason: &'a str,
}

#[derive(Serialize)]
struct UndoBody {
    operation_id: OperationId,
}

/// Notes what is wrong with why somebody did something.
pub fn check_reason(reason: &str, violations: &mut Violations) {
    violations.text("reason", reason, MAX_REASON);
}

/// Refuses what is wrong with it.
pub(in crate::app) fn need_reason(reason: &str) -> Result<(), Error> {
    let mut violations = Violations::new();
    check_reason(reason, &mut violations);
    Ok(violations.into_result()?)
}

impl NewSplit {
    /// Notes what is wrong with it.
    pub fn check(&self, violations: &mut Violations) {
        violations.text("title", &self.title, super::MAX_TITLE);
        check_reason(&self.reason, violations);
        if self.report_ids.is_empty() || self.report_ids.len() > MAX_SPLIT {
            violations.add("report_ids", format!("has {} ids; send 1 to {MAX_SPLIT}", self.report_ids.len()));
        }
    }
}

pub(in crate::app) async fn find_operation(db: &Reader<'_>, id: OperationId) -> Result<Operation, Error> {
    let found = store::operation::find(db, id).await?;
    found.ok_or_else(|| Error::not_found(Resource::Operation, id))
}

/// A step that begins in this transaction.
fn begin(txn: &Txn, kind: OperationKind, from: ClusterId, to: ClusterId, report_count: i64, reason: &str) -> Operation {
    Operation {
        id: OperationId::new(),
        tenant_id: txn.scope().tenant(),
        kind,
        from_cluster_id: from,
        to_cluster_id: to,
        created_cluster: false,
        report_count,
        actor: txn.actor().to_owned(),
        reason: reason.to_owned(),
        undo_time: None,
        create_time: txn.now(),
    }
}

/// Begins a cluster for reports that leave another one, of which this is the first.
async fn create_cluster(txn: &mut Txn, first: &PlacedReport, title: &str) -> Result<ClusterId, Error> {
    let id = ClusterId::new();
    let derived = headline(&first.report.title, &first.report.body);
    let mut cluster = Cluster::begin(id, txn.scope().tenant(), derived, first.report.product_id, txn.now());
    cluster.call_it(title.trim());
    store::cluster::insert(txn, vec![cluster]).await?;
    let event = NewEvent::new(EventKind::ClusterCreated, id).cluster(id);
    txn.record(event.data(json!({"report_id": first.report.id})));
    Ok(id)
}

/// These reports do not belong to that cluster, a person said.
async fn set_apart(txn: &Txn, operation: &Operation, reports: &[ReportId]) -> Result<(), Error> {
    let constraints = reports.iter().map(|&report_id| Constraint {
        id: ConstraintId::new(),
        tenant_id: txn.scope().tenant(),
        report_id,
        cluster_id: operation.from_cluster_id,
        operation_id: operation.id,
        lifted_by_operation_id: None,
        create_time: txn.now(),
    });
    Ok(store::constraint::insert(txn, constraints.collect()).await?)
}

/// Sets aside those of these constraints that keep their report from `home`.
async fn lift(txn: &Txn, by: OperationId, constraints: &[Constraint], home: ClusterId) -> Result<(), Error> {
    let named: BTreeSet<ClusterId> = constraints.iter().map(|constraint| constraint.cluster_id).collect();
    let roots: HashMap<ClusterId, ClusterId> = store::cluster::roots(&txn.read(), named).await?;
    let contradicted = constraints
        .iter()
        .filter(|constraint| roots.get(&constraint.cluster_id) == Some(&home))
        .map(|constraint| constraint.id);
    Ok(store::constraint::lift(txn, contradicted.collect(), by).await?)
}

/// Facts of a step, for its event.
fn facts(operation: &Operation) -> serde_json::Value {
    json!({
        "operation_id": operation.id,
        "from": operation.from_cluster_id,
        "to": operation.to_cluster_id,
        "report_count": operation.report_count,
    })
}

/// What follows whenever reports went from one cluster to another: answered suggestions, marks and states.
async fn follow_up(txn: &mut Txn, operation: &Operation) -> Result<(), Error> {
    confirm_suggested(txn, operation).await?;
    mark_moved(txn, operation).await
}

/// Has everybody looked at again who is concerned by a step, or by its undoing.
async fn mark_moved(txn: &mut Txn, operation: &Operation) -> Result<(), Error> {
    let clusters = [operation.from_cluster_id, operation.to_cluster_id];
    let customers = store::operation::customers_of(&txn.read(), operation.id, MARKED_CUSTOMERS + 1).await?;
    let mut marks: Vec<Subject> = clusters.iter().copied().map(Subject::Cluster).collect();
    if u64::try_from(customers.len()).is_ok_and(|count| count <= MARKED_CUSTOMERS) {
        marks.extend(customers.into_iter().map(Subject::Customer));
    }
    dirty::mark(txn, marks, txn.now()).await?;
    refresh_states(txn, &clusters).await
}

impl App {
    /// Moves a report to another cluster, or to a new one of its own. Matching keeps it, and what is like it, away from
    /// the cluster it left.
    pub async fn move_report(
        &self,
        call: &Call,
        report: ReportId,
        target: Option<ClusterId>,
        reason: &str,
    ) -> Result<Once<Moved>, Error> {
        const METHOD: &str = "MoveReport";
        need_reason(reason)?;
        let body = MoveBody { report_id: report, cluster_id: target, reason };
        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &body).await? {
            let result = moved(&txn.read(), report, remembered(&earlier, "operation_id")?).await?;
            return Ok(Once { result, replayed: true });
        }
        let placed = store::report::find(&txn.read(), report).await?;
        let placed = placed.ok_or_else(|| Error::not_found(Resource::Report, report))?;
        if let Some(to) = target {
            standing(&txn.read(), to).await?;
        }
        let operation = carry_out_move(&mut txn, &placed, target, reason).await?;
        self.remember(&txn, call, METHOD, &body, json!({"operation_id": operation.id})).await?;
        let result = moved(&txn.read(), report, operation.id).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: false })
    }

    /// Puts one cluster's reports and links into another.
    pub async fn merge_clusters(
        &self,
        call: &Call,
        from: ClusterId,
        into: ClusterId,
        reason: &str,
    ) -> Result<Once<Merged>, Error> {
        const METHOD: &str = "MergeClusters";
        need_reason(reason)?;
        let body = MergeBody { from_cluster_id: from, into_cluster_id: into, reason };
        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &body).await? {
            let result = merged(&txn.read(), remembered(&earlier, "operation_id")?).await?;
            return Ok(Once { result, replayed: true });
        }
        let goes = standing(&txn.read(), from).await?;
        standing(&txn.read(), into).await?;
        if from == into {
            return Err(Error::wrong_state(Resource::Cluster, from, "cannot be merged into itself; name another one"));
        }
        let operation = carry_out_merge(&mut txn, &goes, into, reason).await?;
        self.remember(&txn, call, METHOD, &body, json!({"operation_id": operation.id})).await?;
        let result = merged(&txn.read(), operation.id).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: false })
    }

    /// Takes reports out of a cluster into a new one. Matching keeps them, and what is like them, out of the old one.
    pub async fn split_cluster(&self, call: &Call, new: NewSplit) -> Result<Once<Split>, Error> {
        const METHOD: &str = "SplitCluster";
        let mut violations = Violations::new();
        new.check(&mut violations);
        violations.into_result()?;
        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &new).await? {
            let result = split(&txn.read(), remembered(&earlier, "operation_id")?).await?;
            return Ok(Once { result, replayed: true });
        }
        let from = standing(&txn.read(), new.cluster_id).await?;
        let going = find_going(&txn.read(), &from, &new.report_ids).await?;
        let operation = carry_out_split(&mut txn, &from, &going, &new.title, &new.reason).await?;
        self.remember(&txn, call, METHOD, &new, json!({"operation_id": operation.id})).await?;
        let result = split(&txn.read(), operation.id).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: false })
    }

    /// Takes a step back: every report is again where and as it was before.
    pub async fn undo_operation(&self, call: &Call, id: OperationId) -> Result<Once<Operation>, Error> {
        const METHOD: &str = "UndoOperation";
        let body = UndoBody { operation_id: id };
        let mut txn = self.begin(call).await?;
        if self.earlier(&txn, call, METHOD, &body).await?.is_some() {
            return Ok(Once { result: find_operation(&txn.read(), id).await?, replayed: true });
        }
        let operation = find_operation(&txn.read(), id).await?;
        check_undo(&txn.read(), &operation).await?;
        let (from, to) = (operation.from_cluster_id, operation.to_cluster_id);
        store::operation::restore_members(&txn, &operation).await?;
        store::constraint::take_back(&txn, id).await?;
        store::suggestion::reopen(&txn, id).await?;
        if operation.kind == OperationKind::Merge {
            take_back_links(&txn, &operation).await?;
            store::cluster::set_merged_into(&txn, from, None).await?;
        }
        store::cluster::recount(&txn, &[from, to]).await?;
        let left = store::cluster::find(&txn.read(), to).await?.map_or(0, |cluster| cluster.report_count);
        if operation.created_cluster && left == 0 {
            // Whoever kept its id is led to where its reports are.
            store::cluster::set_merged_into(&txn, to, Some(from)).await?;
        }
        store::operation::set_undone(&txn, id).await?;
        txn.record(NewEvent::new(EventKind::OperationUndone, id).cluster(from).data(facts(&operation)));
        mark_moved(&mut txn, &operation).await?;
        self.remember(&txn, call, METHOD, &body, json!({"operation_id": id})).await?;
        let result = find_operation(&txn.read(), id).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: false })
    }
}

/// Moves a report to a cluster that stands by itself, or to a new one.
pub(in crate::app) async fn carry_out_move(
    txn: &mut Txn,
    placed: &PlacedReport,
    target: Option<ClusterId>,
    reason: &str,
) -> Result<Operation, Error> {
    let report = placed.report.id;
    let from = placed.membership.cluster_id;
    let to = match target {
        Some(to) => to,
        None => create_cluster(txn, placed, "").await?,
    };
    if from == to {
        return Err(Error::wrong_state(Resource::Report, report, format!("is in {to} already")));
    }
    let mut operation = begin(txn, OperationKind::Move, from, to, 1, reason);
    operation.created_cluster = target.is_none();
    store::operation::insert(txn, operation.clone()).await?;
    let said = store::constraint::of_report(&txn.read(), report).await?;
    lift(txn, operation.id, &said, to).await?;
    store::operation::move_members(txn, &operation, Some(&[report])).await?;
    set_apart(txn, &operation, &[report]).await?;
    store::cluster::recount(txn, &[from, to]).await?;
    let event = NewEvent::new(EventKind::ReportMoved, report).cluster(to).customer(placed.report.customer_id);
    txn.record(event.data(facts(&operation)));
    follow_up(txn, &operation).await?;
    Ok(operation)
}

/// Puts all reports and links of one cluster into another, which both stand by themselves.
pub(in crate::app) async fn carry_out_merge(
    txn: &mut Txn,
    goes: &Cluster,
    into: ClusterId,
    reason: &str,
) -> Result<Operation, Error> {
    let from = goes.id;
    let operation = begin(txn, OperationKind::Merge, from, into, goes.report_count, reason);
    store::operation::insert(txn, operation.clone()).await?;
    // A person who merges says that they belong together after all, on both sides.
    let of_those_who_go = store::constraint::of_members(&txn.read(), from).await?;
    lift(txn, operation.id, &of_those_who_go, into).await?;
    let of_those_who_stay = store::constraint::of_members(&txn.read(), into).await?;
    lift(txn, operation.id, &of_those_who_stay, from).await?;
    store::operation::move_members(txn, &operation, None).await?;
    copy_links(txn, &operation).await?;
    store::cluster::set_merged_into(txn, from, Some(into)).await?;
    store::cluster::recount(txn, &[from, into]).await?;
    txn.record(NewEvent::new(EventKind::ClusterMerged, from).cluster(into).data(facts(&operation)));
    follow_up(txn, &operation).await?;
    Ok(operation)
}

/// Takes reports of a cluster, not all of them, into a new one. They come oldest first.
pub(in crate::app) async fn carry_out_split(
    txn: &mut Txn,
    from: &Cluster,
    going: &[ReportId],
    title: &str,
    reason: &str,
) -> Result<Operation, Error> {
    let first = store::report::find(&txn.read(), going[0]).await?;
    let first = first.ok_or_else(|| Error::not_found(Resource::Report, going[0]))?;
    let to = create_cluster(txn, &first, title).await?;
    let count = i64::try_from(going.len()).expect("no more than a split may have");
    let mut operation = begin(txn, OperationKind::Split, from.id, to, count, reason);
    operation.created_cluster = true;
    store::operation::insert(txn, operation.clone()).await?;
    store::operation::move_members(txn, &operation, Some(going)).await?;
    set_apart(txn, &operation, going).await?;
    store::cluster::recount(txn, &[from.id, to]).await?;
    txn.record(NewEvent::new(EventKind::ClusterSplit, from.id).cluster(from.id).data(facts(&operation)));
    follow_up(txn, &operation).await?;
    Ok(operation)
}

/// Records a person's no to a proposal about one or two clusters. `apart` are reports that it keeps out of `from`.
pub(in crate::app) async fn carry_out_refusal(
    txn: &mut Txn,
    from: ClusterId,
    to: ClusterId,
    apart: &[ReportId],
    reason: &str,
) -> Result<Operation, Error> {
    let operation = begin(txn, OperationKind::Reject, from, to, 0, reason);
    store::operation::insert(txn, operation.clone()).await?;
    set_apart(txn, &operation, apart).await?;
    Ok(operation)
}

/// Keeps a report out of a cluster that it is not in: a person said that it does not belong there.
pub(in crate::app) async fn carry_out_rejection(
    txn: &mut Txn,
    placed: &PlacedReport,
    cluster: ClusterId,
    reason: &str,
) -> Result<Operation, Error> {
    carry_out_refusal(txn, cluster, placed.membership.cluster_id, &[placed.report.id], reason).await
}

/// What the matcher suggested and a step now made true is answered by it.
async fn confirm_suggested(txn: &mut Txn, operation: &Operation) -> Result<(), Error> {
    let home = operation.to_cluster_id;
    let mut pending = store::suggestion::pending_of_members(&txn.read(), home).await?;
    let clusters: BTreeSet<ClusterId> = pending.iter().map(|suggestion| suggestion.cluster_id).collect();
    let roots = store::cluster::roots(&txn.read(), clusters).await?;
    pending.retain(|suggestion| roots.get(&suggestion.cluster_id) == Some(&home));
    if operation.kind == OperationKind::Merge {
        pending.extend(suggestion::merged_by(&txn.read(), operation).await?);
    }
    suggestion::answered(txn, &pending, SuggestionState::Confirmed, Some(operation)).await
}

async fn moved(db: &Reader<'_>, report: ReportId, operation: OperationId) -> Result<Moved, Error> {
    let placed = store::report::find(db, report).await?;
    let placed = placed.ok_or_else(|| Error::not_found(Resource::Report, report))?;
    Ok(Moved { placed, operation: find_operation(db, operation).await? })
}

async fn merged(db: &Reader<'_>, operation: OperationId) -> Result<Merged, Error> {
    let operation = find_operation(db, operation).await?;
    Ok(Merged { cluster: view(db, operation.to_cluster_id).await?, operation })
}

async fn split(db: &Reader<'_>, operation: OperationId) -> Result<Split, Error> {
    let operation = find_operation(db, operation).await?;
    Ok(Split {
        new_cluster: view(db, operation.to_cluster_id).await?,
        remaining_cluster: view(db, operation.from_cluster_id).await?,
        operation,
    })
}

/// The reports of a split, each once and oldest first.
async fn find_going(db: &Reader<'_>, from: &Cluster, ids: &[ReportId]) -> Result<Vec<ReportId>, Error> {
    let here: BTreeSet<ReportId> = store::report::memberships(db, ids)
        .await?
        .into_iter()
        .filter(|membership| membership.cluster_id == from.id)
        .map(|membership| membership.report_id)
        .collect();
    let mut violations = Violations::new();
    for (index, id) in ids.iter().enumerate().filter(|(_, id)| !here.contains(id)) {
        violations.add(format!("report_ids[{index}]"), format!("{id} is not a report of {}; leave it out", from.id));
    }
    if i64::try_from(here.len()).is_ok_and(|count| count >= from.report_count) {
        violations.add("report_ids", "names every report of the cluster; leave at least one where it is");
    }
    violations.into_result()?;
    Ok(Vec::from_iter(here))
}

/// Links the cluster that stays to what the other one was linked to. The other one keeps its own, to be itself again
/// when the merge is taken back.
async fn copy_links(txn: &Txn, merge: &Operation) -> Result<(), Error> {
    let (from, to) = (merge.from_cluster_id, merge.to_cluster_id);
    let (there, here): (Vec<ClusterDefect>, Vec<ClusterDefect>) =
        store::cluster::links_of(&txn.read(), &[from, to]).await?.into_iter().partition(|link| link.cluster_id == to);
    let there: BTreeSet<DefectId> = there.into_iter().map(|link| link.defect_id).collect();
    let copies = here.into_iter().filter(|link| !there.contains(&link.defect_id)).map(|link| ClusterDefect {
        cluster_id: to,
        operation_id: Some(merge.id),
        actor: txn.actor().to_owned(),
        create_time: txn.now(),
        ..link
    });
    Ok(store::cluster::insert_links(txn, copies.collect()).await?)
}

/// Takes back the links that a merge brought. One that a later merge would have brought as well is that merge's from
/// now on: while somebody's word stands that the defect causes this problem, what was said on its account is true. The
/// clusters that went cannot be linked or unlinked since, so their links are still those that they came with.
async fn take_back_links(txn: &Txn, merge: &Operation) -> Result<(), Error> {
    let db = txn.read();
    let mut brought = store::cluster::links_of(&db, &[merge.to_cluster_id]).await?;
    brought.retain(|link| link.operation_id == Some(merge.id));
    if brought.is_empty() {
        return Ok(());
    }
    let later = store::operation::later_merges_into(&db, merge).await?;
    let sources: Vec<ClusterId> = later.iter().map(|later| later.from_cluster_id).collect();
    let theirs: BTreeSet<(ClusterId, DefectId)> = store::cluster::links_of(&db, &sources)
        .await?
        .into_iter()
        .map(|link| (link.cluster_id, link.defect_id))
        .collect();
    for link in brought {
        match later.iter().find(|later| theirs.contains(&(later.from_cluster_id, link.defect_id))) {
            Some(heir) => store::cluster::hand_link_to(txn, &link, heir).await?,
            None => store::cluster::delete_link(txn, link.cluster_id, link.defect_id).await?,
        }
    }
    Ok(())
}

/// Whether everything the step did still stands as it left it.
async fn check_undo(db: &Reader<'_>, operation: &Operation) -> Result<(), Error> {
    let refuse = |problem: String| Err(Error::wrong_state(Resource::Operation, operation.id, problem));
    if operation.undo_time.is_some() {
        return refuse("was taken back already".to_owned());
    }
    if let Some((report, later)) = store::operation::moved_since(db, operation.id).await? {
        let later = later.map_or_else(|| "another step".to_owned(), |later| later.to_string());
        return refuse(format!("cannot be taken back: {later} moved {report} since; take that back first"));
    }
    // Reports go back to a cluster that must be there, and leave one that must not be a part of another.
    let must_stand = match operation.kind {
        OperationKind::Merge => operation.to_cluster_id,
        OperationKind::Move | OperationKind::Split => operation.from_cluster_id,
        // Nothing was moved: what was said can be taken back wherever the reports are now.
        OperationKind::Reject => return Ok(()),
    };
    let cluster = store::cluster::find(db, must_stand).await?;
    if let Some(into) = cluster.and_then(|cluster| cluster.merged_into_cluster_id) {
        return match store::operation::standing_merge_of(db, must_stand).await? {
            Some(merge) => refuse(format!(
                "cannot be taken back: {} merged {must_stand} into {into} since; take that back first",
                merge.id
            )),
            None => refuse(format!("cannot be taken back: {must_stand} is a part of {into} now")),
        };
    }
    Ok(())
}
