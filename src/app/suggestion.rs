//! Suggestions: what the matcher was not sure of is put before a person, whose word is carried out as a step that can be
//! taken back. A yes puts the report where it belongs, a no keeps it and its near twins away from there; both are
//! remembered with the matcher's score, so that it learns how sure it may be.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::json;

use crate::domain::cluster::{Cluster, Operation};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{ClusterId, ReportId, SuggestionId};
use crate::domain::suggestion::{Suggestion, SuggestionState};
use crate::store::report::PlacedReport;
use crate::store::suggestion::SuggestionFilter;
use crate::store::{self, Direction, Page, Reader, Txn};

use super::cluster::operation::{carry_out_merge, carry_out_move, carry_out_rejection, find_operation, need_reason};
use super::{App, Call, Error, Once, Resource};

/// A suggestion, with what a person needs to see to answer it.
#[derive(Debug, Clone)]
pub struct SuggestionView {
    /// The suggestion.
    pub suggestion: Suggestion,
    /// The report, where it is now.
    pub placed: PlacedReport,
    /// The cluster it may belong to; the one it is a part of by now, if it was merged since.
    pub cluster: Cluster,
}

/// A person's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Answer {
    /// The report belongs to the cluster.
    Confirm,
    /// It does not.
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
    let named: BTreeSet<ClusterId> = suggestions.iter().map(|suggestion| suggestion.cluster_id).collect();
    let roots = store::cluster::roots(db, named).await?;
    let standing: BTreeSet<ClusterId> = roots.values().copied().collect();
    let clusters = store::cluster::by_ids(db, &Vec::from_iter(standing)).await?;
    let clusters: HashMap<ClusterId, Cluster> = clusters.into_iter().map(|cluster| (cluster.id, cluster)).collect();
    let views = suggestions.into_iter().filter_map(|suggestion| {
        let placed = placed.get(&suggestion.report_id)?.clone();
        let cluster = clusters.get(roots.get(&suggestion.cluster_id)?)?.clone();
        Some(SuggestionView { suggestion, placed, cluster })
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
        let facts = json!({"suggestion_id": suggestion.id, "operation_id": step, "state": state});
        let event = NewEvent::new(EventKind::SuggestionResolved, suggestion.report_id);
        txn.record(event.cluster(suggestion.cluster_id).data(facts));
    }
    Ok(())
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
        let SuggestionView { suggestion, placed, cluster } = view(&txn.read(), id).await?;
        let refuse = |problem: String| Err(Error::wrong_state(Resource::Suggestion, id, problem));
        if suggestion.state == answer.state() {
            return Ok(Once { result: resolved(&txn.read(), id).await?, replayed: true });
        }
        if suggestion.state != SuggestionState::Pending {
            let state = suggestion.state.to_string().to_lowercase();
            return match suggestion.operation_id {
                Some(step) => refuse(format!("was {state} already; take {step} back first")),
                None => refuse(format!("was {state} already; move the report instead")),
            };
        }
        let home = placed.membership.cluster_id;
        match answer {
            Answer::Confirm if home == cluster.id => {
                answered(&mut txn, &[suggestion], SuggestionState::Confirmed, None).await?;
            }
            // The step makes the suggestion true, and so answers it like any other that it makes true.
            Answer::Confirm => {
                let own = store::cluster::find(&txn.read(), home).await?;
                // A cluster of this report alone would be left empty: it goes as a whole, with its links.
                match own.filter(|own| own.report_count == 1) {
                    Some(own) => carry_out_merge(&mut txn, &own, cluster.id, reason).await?,
                    None => carry_out_move(&mut txn, &placed, Some(cluster.id), reason).await?,
                };
            }
            Answer::Reject if home == cluster.id => {
                let report = placed.report.id;
                return refuse(format!("cannot be rejected: {report} is in {home} by now; move it out instead"));
            }
            Answer::Reject => {
                let step = carry_out_rejection(&mut txn, &placed, cluster.id, reason).await?;
                answered(&mut txn, &[suggestion], SuggestionState::Rejected, Some(&step)).await?;
            }
        }
        self.remember(&txn, call, METHOD, &body, json!({"suggestion_id": id})).await?;
        let result = resolved(&txn.read(), id).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: false })
    }
}
