//! Suggestions: what the matcher was not sure of is put before a person, whose word is carried out as a step that can be
//! taken back. A yes puts the report where it belongs, a no keeps it and its near twins away from there; both are
//! remembered with the matcher's score, so that it learns how sure it may be.
//!
//! What a [second look](super::second_look) proposes is answered in the same way: a yes merges the two clusters, or splits
//! the reports off that stand apart; after a no it is not proposed again, unless that is taken back.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::json;

use crate::domain::cluster::{Cluster, Operation};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{ClusterId, ReportId, SuggestionId};
use crate::domain::suggestion::{Suggestion, SuggestionKind, SuggestionState};
use crate::store::report::PlacedReport;
use crate::store::suggestion::SuggestionFilter;
use crate::store::{self, Direction, Page, Reader, Txn};

use super::cluster::operation::{
    carry_out_merge, carry_out_move, carry_out_refusal, carry_out_rejection, carry_out_split, find_operation,
    need_reason,
};
use super::{App, Call, Error, Once, Resource};

/// A suggestion, with what a person needs to see to answer it.
#[derive(Debug, Clone)]
pub struct SuggestionView {
    /// The suggestion.
    pub suggestion: Suggestion,
    /// The report, where it is now.
    pub placed: PlacedReport,
    /// The cluster it is about; the one it is a part of by now, if it was merged since.
    pub cluster: Cluster,
    /// Of a merge, the cluster that would go, or what it is a part of by now.
    pub from: Option<Cluster>,
}

/// A person's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Answer {
    /// It is so: the report belongs to the cluster, the clusters are one problem, the reports are another.
    Confirm,
    /// It is not.
    Reject,
}

impl Answer {
    fn state(self) -> SuggestionState {
        match self {
            Self::Confirm => SuggestionState::Confirmed,
            Self::Reject => SuggestionState::Rejected,
        }
    }
}

/// An answered suggestion.
#[derive(Debug, Clone)]
pub struct ResolvedSuggestion {
    /// As it is now.
    pub view: SuggestionView,
    /// The step that carried the answer out. `None` where the report was in the cluster already.
    pub operation: Option<Operation>,
}

#[derive(Serialize)]
struct ResolveBody<'a> {
    suggestion_id: SuggestionId,
    answer: Answer,
    reason: &'a str,
}

async fn views(db: &Reader<'_>, suggestions: Vec<Suggestion>) -> Result<Vec<SuggestionView>, Error> {
    let reports: Vec<ReportId> = suggestions.iter().map(|suggestion| suggestion.report_id).collect();
    let placed = store::report::by_ids(db, &reports).await?;
    let placed: HashMap<ReportId, PlacedReport> = placed.into_iter().map(|placed| (placed.report.id, placed)).collect();
    let clusters_of = |suggestion: &Suggestion| [Some(suggestion.cluster_id), suggestion.from_cluster_id];
    let named: BTreeSet<ClusterId> = suggestions.iter().flat_map(clusters_of).flatten().collect();
    let roots = store::cluster::roots(db, named).await?;
    let standing: BTreeSet<ClusterId> = roots.values().copied().collect();
    let clusters = store::cluster::by_ids(db, &Vec::from_iter(standing)).await?;
    let clusters: HashMap<ClusterId, Cluster> = clusters.into_iter().map(|cluster| (cluster.id, cluster)).collect();
    let views = suggestions.into_iter().filter_map(|suggestion| {
        let placed = placed.get(&suggestion.report_id)?.clone();
        let standing = |id: ClusterId| clusters.get(roots.get(&id)?).cloned();
        let cluster = standing(suggestion.cluster_id)?;
        let from = suggestion.from_cluster_id.and_then(standing);
        Some(SuggestionView { suggestion, placed, cluster, from })
    });
    Ok(views.collect())
}

async fn view(db: &Reader<'_>, id: SuggestionId) -> Result<SuggestionView, Error> {
    let suggestion = store::suggestion::find(db, id).await?;
    let found = views(db, Vec::from_iter(suggestion)).await?.pop();
    found.ok_or_else(|| Error::not_found(Resource::Suggestion, id))
}

async fn resolved(db: &Reader<'_>, id: SuggestionId) -> Result<ResolvedSuggestion, Error> {
    let view = view(db, id).await?;
    let operation = match view.suggestion.operation_id {
        Some(operation) => Some(find_operation(db, operation).await?),
        None => None,
    };
    Ok(ResolvedSuggestion { view, operation })
}

/// Records a person's answer to suggestions, and the step that carried it out.
pub(super) async fn answered(
    txn: &mut Txn,
    suggestions: &[Suggestion],
    state: SuggestionState,
    step: Option<&Operation>,
) -> Result<(), Error> {
    let step = step.map(|step| step.id);
    store::suggestion::resolve(txn, suggestions.iter().map(|suggestion| suggestion.id), state, step).await?;
    for suggestion in suggestions {
        let kind = suggestion.kind;
        let facts = json!({"suggestion_id": suggestion.id, "kind": kind, "operation_id": step, "state": state});
        let event = NewEvent::new(EventKind::SuggestionResolved, suggestion.report_id);
        txn.record(event.cluster(suggestion.cluster_id).data(facts));
    }
    Ok(())
}

/// Answers where one report belongs.
async fn place(txn: &mut Txn, view: SuggestionView, answer: Answer, reason: &str) -> Result<(), Error> {
    let SuggestionView { suggestion, placed, cluster, .. } = view;
    let home = placed.membership.cluster_id;
    match answer {
        Answer::Confirm if home == cluster.id => {
            answered(txn, &[suggestion], SuggestionState::Confirmed, None).await?;
        }
        // The step makes the suggestion true, and so answers it like any other that it makes true.
        Answer::Confirm => {
            let own = store::cluster::find(&txn.read(), home).await?;
            // A cluster of this report alone would be left empty: it goes as a whole, with its links.
            match own.filter(|own| own.report_count == 1) {
                Some(own) => carry_out_merge(txn, &own, cluster.id, reason).await?,
                None => carry_out_move(txn, &placed, Some(cluster.id), reason).await?,
            };
        }
        Answer::Reject if home == cluster.id => {
            let report = placed.report.id;
            let problem = format!("cannot be rejected: {report} is in {home} by now; move it out instead");
            return Err(Error::wrong_state(Resource::Suggestion, suggestion.id, problem));
        }
        Answer::Reject => {
            let step = carry_out_rejection(txn, &placed, cluster.id, reason).await?;
            answered(txn, &[suggestion], SuggestionState::Rejected, Some(&step)).await?;
        }
    }
    Ok(())
}

/// The proposed merges that this one made true.
pub(super) async fn merged_by(db: &Reader<'_>, merge: &Operation) -> Result<Vec<Suggestion>, Error> {
    let mut proposed = store::suggestion::proposals_about(db, &[merge.from_cluster_id, merge.to_cluster_id]).await?;
    proposed.retain(|proposed| proposed.state == SuggestionState::Pending && proposed.from_cluster_id.is_some());
    let named = proposed.iter().flat_map(|proposed| [Some(proposed.cluster_id), proposed.from_cluster_id]);
    let named: BTreeSet<ClusterId> = named.flatten().collect();
    let roots = store::cluster::roots(db, named).await?;
    let root = |id: ClusterId| roots.get(&id);
    proposed.retain(|proposed| proposed.from_cluster_id.and_then(root) == root(proposed.cluster_id));
    Ok(proposed)
}

/// Says yes to a merge. The step makes it true, and so answers it like any other that it makes true.
async fn merge(txn: &mut Txn, view: SuggestionView, reason: &str) -> Result<(), Error> {
    let SuggestionView { suggestion, cluster, from, .. } = view;
    match from {
        Some(from) if from.id != cluster.id => {
            carry_out_merge(txn, &from, cluster.id, reason).await?;
            Ok(())
        }
        _ => answered(txn, &[suggestion], SuggestionState::Confirmed, None).await,
    }
}

/// Says yes to a split: those of its reports that are still in the cluster leave it.
async fn split(txn: &mut Txn, view: SuggestionView, reason: &str) -> Result<(), Error> {
    let SuggestionView { suggestion, cluster, .. } = view;
    let memberships = store::report::memberships(&txn.read(), &suggestion.report_ids).await?;
    let here = memberships.into_iter().filter(|membership| membership.cluster_id == cluster.id);
    let mut going: Vec<ReportId> = here.map(|membership| membership.report_id).collect();
    going.sort();
    let all_go = i64::try_from(going.len()).is_ok_and(|count| count >= cluster.report_count);
    if going.is_empty() || all_go {
        let problem = match all_go && !going.is_empty() {
            true => format!("cannot be confirmed: nothing else is in {} by now; reject it instead", cluster.id),
            false => format!("cannot be confirmed: its reports have left {} by now; reject it instead", cluster.id),
        };
        return Err(Error::wrong_state(Resource::Suggestion, suggestion.id, problem));
    }
    let step = carry_out_split(txn, &cluster, &going, "", reason).await?;
    answered(txn, &[suggestion], SuggestionState::Confirmed, Some(&step)).await
}

/// Says no to a merge or a split. Of a merge, the report that is nearest to the other cluster is kept out of it, and with
/// it its near twins; so the two are kept apart whatever they become a part of.
async fn refuse_proposal(txn: &mut Txn, view: SuggestionView, reason: &str) -> Result<(), Error> {
    let SuggestionView { suggestion, placed, cluster, from } = view;
    if from.as_ref().is_some_and(|from| from.id == cluster.id) {
        let problem = format!("cannot be rejected: both are a part of {} by now; split it instead", cluster.id);
        return Err(Error::wrong_state(Resource::Suggestion, suggestion.id, problem));
    }
    let home = from.map(|from| from.id);
    let apart = Vec::from_iter((home == Some(placed.membership.cluster_id)).then_some(placed.report.id));
    let step = carry_out_refusal(txn, cluster.id, home.unwrap_or(cluster.id), &apart, reason).await?;
    answered(txn, &[suggestion], SuggestionState::Rejected, Some(&step)).await
}

impl App {
    /// A page of suggestions.
    pub async fn list_suggestions(
        &self,
        call: &Call,
        filter: &SuggestionFilter,
        direction: Direction,
        after: Option<SuggestionId>,
        size: u64,
    ) -> Result<Page<SuggestionView, SuggestionId>, Error> {
        let db = self.read(call);
        let page = store::suggestion::list(&db, filter, direction, after, size).await?;
        Ok(Page { items: views(&db, page.items).await?, next: page.next })
    }

    /// Carries out a person's answer. The same answer again changes nothing; another one is refused until the step of
    /// the first is taken back.
    pub async fn resolve_suggestion(
        &self,
        call: &Call,
        id: SuggestionId,
        answer: Answer,
        reason: &str,
    ) -> Result<Once<ResolvedSuggestion>, Error> {
        const METHOD: &str = "ResolveSuggestion";
        need_reason(reason)?;
        let body = ResolveBody { suggestion_id: id, answer, reason };
        let mut txn = self.begin(call).await?;
        if self.earlier(&txn, call, METHOD, &body).await?.is_some() {
            return Ok(Once { result: resolved(&txn.read(), id).await?, replayed: true });
        }
        let view = view(&txn.read(), id).await?;
        let refuse = |problem: String| Err(Error::wrong_state(Resource::Suggestion, id, problem));
        if view.suggestion.state == answer.state() {
            return Ok(Once { result: resolved(&txn.read(), id).await?, replayed: true });
        }
        if view.suggestion.state == SuggestionState::Withdrawn {
            return refuse("was withdrawn: what it rested on is gone; merge, split or move by hand instead".to_owned());
        }
        if view.suggestion.state != SuggestionState::Pending {
            let state = view.suggestion.state.to_string().to_lowercase();
            return match view.suggestion.operation_id {
                Some(step) => refuse(format!("was {state} already; take {step} back first")),
                None => refuse(format!("was {state} already; move the report instead")),
            };
        }
        match (view.suggestion.kind, answer) {
            (SuggestionKind::Placement, _) => place(&mut txn, view, answer, reason).await?,
            (SuggestionKind::Merge, Answer::Confirm) => merge(&mut txn, view, reason).await?,
            (SuggestionKind::Split, Answer::Confirm) => split(&mut txn, view, reason).await?,
            (SuggestionKind::Merge | SuggestionKind::Split, Answer::Reject) => {
                refuse_proposal(&mut txn, view, reason).await?;
            }
        }
        self.remember(&txn, call, METHOD, &body, json!({"suggestion_id": id})).await?;
        let result = resolved(&txn.read(), id).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: false })
    }
}
