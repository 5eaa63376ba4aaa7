//! Writes what a look found, as far as it is new: in one transaction, after another look at what people said.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;

use crate::domain::cluster::Cluster;
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::explanation::{Signal, Signals};
use crate::domain::id::{ClusterId, ReportId, SuggestionId};
use crate::domain::suggestion::{Suggestion, SuggestionKind, SuggestionState};
use crate::matching::{Digest, Part};
use crate::store::{self, Reader, Txn};

use super::Findings;
use crate::app::Error;
use crate::app::intake::signals;

/// A proposal is withdrawn below this share of what it takes to make it, so that it does not come and go.
const STAYS: f64 = 0.8;
/// Two scores that differ by less are one.
const SAME_SCORE: f64 = 0.005;

/// The other cluster of a merge.
pub(super) fn other_of(merge: &Suggestion, id: ClusterId) -> Option<ClusterId> {
    let from = merge.from_cluster_id?;
    Some(if from == id { merge.cluster_id } else { from })
}

/// Writes what a look found; answers whether there was anything to write down. Whoever changed the cluster meanwhile has
/// made it due again, and nothing is written.
pub(super) async fn write(txn: &mut Txn, seen: &Cluster, findings: Findings) -> Result<bool, Error> {
    let id = seen.id;
    let Some(cluster) = store::cluster::find(&txn.read(), id).await? else { return Ok(false) };
    if cluster.version != seen.version || (cluster.looked_version, cluster.looked_report_count) != looked(seen) {
        return Ok(false);
    }
    if let Some(digest) = &findings.digest {
        write_digest(txn, cluster, digest).await?;
    }
    let known = store::suggestion::proposals_about(&txn.read(), &[id]).await?;
    let (splits, merges): (Vec<_>, Vec<_>) = known.into_iter().partition(|known| known.kind == SuggestionKind::Split);
    write_splits(txn, id, splits, &findings.parts).await?;
    write_merges(txn, seen, merges, findings).await?;
    store::second_look::looked_at(txn, id, seen.version, seen.report_count).await?;
    Ok(true)
}

fn looked(cluster: &Cluster) -> (i64, i64) {
    (cluster.looked_version, cluster.looked_report_count)
}

async fn write_digest(txn: &mut Txn, mut cluster: Cluster, digest: &Digest) -> Result<(), Error> {
    let title_changes = !digest.title.is_empty() && digest.title != cluster.derived_title;
    let terms_change = digest.key_terms != cluster.key_terms;
    if !title_changes && !terms_change {
        return Ok(());
    }
    if title_changes {
        cluster.derived_title.clone_from(&digest.title);
    }
    cluster.key_terms.clone_from(&digest.key_terms);
    store::second_look::set_digest(txn, &cluster).await?;
    let changed = [("title", title_changes && !cluster.title_by_person), ("key_terms", terms_change)];
    let fields: Vec<&str> = changed.into_iter().filter_map(|(name, changes)| changes.then_some(name)).collect();
    if !fields.is_empty() {
        let event = NewEvent::new(EventKind::ClusterUpdated, cluster.id).cluster(cluster.id);
        txn.record(event.data(json!({"fields": fields})));
    }
    Ok(())
}

/// Proposes a split for each part that stands apart, and withdraws what was proposed for others.
async fn write_splits(txn: &mut Txn, id: ClusterId, known: Vec<Suggestion>, parts: &[Part]) -> Result<(), Error> {
    let mut known: BTreeMap<ReportId, Suggestion> =
        known.into_iter().map(|suggestion| (suggestion.report_id, suggestion)).collect();
    for part in parts {
        let Some(&first) = part.reports.first() else { continue };
        let detail = match part.reports.len() {
            1 => "one report is like no other of the cluster".to_owned(),
            count => format!("{count} reports are like no others of the cluster"),
        };
        let score = 1.0 - part.score;
        let new = Suggestion {
            kind: SuggestionKind::Split,
            report_id: first,
            cluster_id: id,
            from_cluster_id: None,
            report_ids: part.reports.clone(),
            score,
            signals: Signals(vec![Signal { name: "stands_apart".to_owned(), weight: score, detail }]),
            ..begin(txn)
        };
        propose(txn, new, known.remove(&first)).await?;
    }
    withdraw(txn, known.into_values()).await
}

/// Proposes to merge the clusters that are alike, and withdraws what is so no longer.
async fn write_merges(txn: &mut Txn, seen: &Cluster, known: Vec<Suggestion>, findings: Findings) -> Result<(), Error> {
    let id = seen.id;
    let stands = findings.digest.is_some();
    let mut known: BTreeMap<ClusterId, Suggestion> =
        known.into_iter().filter_map(|known| Some((other_of(&known, id)?, known))).collect();
    let others: Vec<ClusterId> = findings.merges.keys().copied().collect();
    let mut others: HashMap<ClusterId, Cluster> =
        store::cluster::by_ids(&txn.read(), &others).await?.into_iter().map(|other| (other.id, other)).collect();
    let kept_apart = if others.is_empty() { BTreeSet::new() } else { kept_apart(txn, id, &others).await? };
    for (other_id, likeness) in findings.merges {
        let Some(other) = others.remove(&other_id) else { continue };
        let other_stands = other.merged_into_cluster_id.is_none() && other.report_count > 0;
        let waits = known.get(&other_id).is_some_and(|known| known.state == SuggestionState::Pending);
        let needed = if waits { likeness.needed * STAYS } else { likeness.needed };
        if !other_stands || likeness.score < needed || kept_apart.contains(&other_id) {
            continue;
        }
        if !waits && is_asked_already(&txn.read(), seen, &other).await? {
            continue;
        }
        // The smaller one goes; of equals the later one.
        let goes = (seen.report_count, std::cmp::Reverse(id)) < (other.report_count, std::cmp::Reverse(other_id));
        let (from, into, report) =
            if goes { (id, other_id, likeness.reports.0) } else { (other_id, id, likeness.reports.1) };
        let new = Suggestion {
            kind: SuggestionKind::Merge,
            report_id: report,
            cluster_id: into,
            from_cluster_id: Some(from),
            report_ids: Vec::new(),
            score: likeness.score,
            signals: signals(&likeness.signals),
            ..begin(txn)
        };
        propose(txn, new, known.remove(&other_id)).await?;
    }
    let gone = known.into_iter().filter(|(other, _)| !stands || findings.held.contains(other));
    withdraw(txn, gone.map(|(_, proposal)| proposal)).await
}

/// A proposal that begins in this transaction, about nothing yet.
fn begin(txn: &Txn) -> Suggestion {
    Suggestion {
        id: SuggestionId::new(),
        tenant_id: txn.scope().tenant(),
        kind: SuggestionKind::Merge,
        report_id: ReportId::from_uuid(uuid::Uuid::nil()),
        cluster_id: ClusterId::from_uuid(uuid::Uuid::nil()),
        from_cluster_id: None,
        report_ids: Vec::new(),
        score: 0.0,
        signals: Signals::default(),
        state: SuggestionState::Pending,
        operation_id: None,
        actor: None,
        create_time: txn.now(),
        resolve_time: None,
    }
}

/// Those of these clusters that a person's word keeps apart from this one, in either direction.
async fn kept_apart(
    txn: &Txn,
    id: ClusterId,
    others: &HashMap<ClusterId, Cluster>,
) -> Result<BTreeSet<ClusterId>, Error> {
    let db = txn.read();
    let mut said: Vec<(ClusterId, ClusterId)> = Vec::new();
    for home in others.keys().copied().chain([id]) {
        let constraints = store::constraint::of_members(&db, home).await?;
        said.extend(constraints.into_iter().map(|constraint| (home, constraint.cluster_id)));
    }
    let roots = store::cluster::roots(&db, said.iter().map(|&(_, from)| from)).await?;
    let pairs = said.into_iter().filter_map(|(home, from)| Some((home, *roots.get(&from)?)));
    let apart = pairs.filter_map(|(home, from)| match (home == id, from == id) {
        (true, false) => Some(from),
        (false, true) => Some(home),
        _ => None,
    });
    Ok(apart.collect())
}

/// Whether a person is asked already whether the only report of one of the two belongs to the other: a yes would merge
/// them.
async fn is_asked_already(db: &Reader<'_>, one: &Cluster, other: &Cluster) -> Result<bool, Error> {
    for (single, whole) in [(one, other), (other, one)] {
        if single.report_count != 1 {
            continue;
        }
        let asked = store::suggestion::pending_of_members(db, single.id).await?;
        let roots = store::cluster::roots(db, asked.iter().map(|asked| asked.cluster_id)).await?;
        if roots.values().any(|&root| root == whole.id) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Makes a proposal, unless it was rejected; one that is known is brought up to date.
async fn propose(txn: &mut Txn, new: Suggestion, known: Option<Suggestion>) -> Result<(), Error> {
    let is_new = known.as_ref().is_none_or(|known| known.state == SuggestionState::Withdrawn);
    let proposal = match known {
        Some(known) if matches!(known.state, SuggestionState::Rejected | SuggestionState::Confirmed) => return Ok(()),
        Some(known) => {
            let same = known.report_id == new.report_id
                && known.cluster_id == new.cluster_id
                && known.report_ids == new.report_ids
                && (known.score - new.score).abs() < SAME_SCORE;
            if !is_new && same {
                return Ok(());
            }
            let revised = Suggestion { id: known.id, create_time: known.create_time, ..new };
            store::suggestion::propose_again(txn, &revised).await?;
            revised
        }
        None => {
            store::suggestion::insert(txn, vec![new.clone()]).await?;
            new
        }
    };
    if is_new {
        let facts = json!({
            "suggestion_id": proposal.id,
            "kind": proposal.kind,
            "score": proposal.score,
            "from_cluster_id": proposal.from_cluster_id,
            "report_count": proposal.report_ids.len(),
        });
        let event = NewEvent::new(EventKind::SuggestionProposed, proposal.id).cluster(proposal.cluster_id);
        txn.record(event.data(facts));
    }
    Ok(())
}

/// Withdraws those of these proposals that wait for an answer.
async fn withdraw(txn: &mut Txn, proposals: impl Iterator<Item = Suggestion>) -> Result<(), Error> {
    let gone: Vec<Suggestion> = proposals.filter(|proposal| proposal.state == SuggestionState::Pending).collect();
    store::suggestion::withdraw(txn, gone.iter().map(|proposal| proposal.id)).await?;
    for proposal in gone {
        let event = NewEvent::new(EventKind::SuggestionWithdrawn, proposal.id).cluster(proposal.cluster_id);
        txn.record(event.data(json!({"suggestion_id": proposal.id, "kind": proposal.kind})));
    }
    Ok(())
}
