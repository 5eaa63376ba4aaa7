//! `ClusterService`: problems, and what people decide about them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;

use futures::stream::{self, Stream, StreamExt, TryStreamExt};
use tonic::{Request, Response, Status};

use crate::app::cluster::operation::{NewSplit, check_reason};
use crate::app::cluster::search::MAX_QUERY;
use crate::app::cluster::{ClusterChange, ClusterView};
use crate::app::event::{EventFeed, Feed, Start, encode_token};
use crate::app::{App, Call, Error};
use crate::domain::cluster::{ClusterState, Operation, OperationKind};
use crate::domain::defect::DefectRef;
use crate::domain::event::{Event, EventKind};
use crate::domain::filter::{Operator, Term};
use crate::domain::id::ClusterId;
use crate::domain::scope::Scope;
use crate::domain::suggestion::SuggestionKind;
use crate::domain::violation::Violations;
use crate::store::cluster::{ClusterFilter, ClusterOrder};

use super::Api;
use super::convert::{defect_ref, noted_id, optional_id, timestamp};
use super::list::{Asked, ListFields, any_id, any_of, encode_page, equal, read_limit, read_terms, unknown_field};
use super::proto::{self, cluster_service_server::ClusterService};
use super::suggestion;

/// A state for the wire.
pub(crate) fn cluster_state(state: ClusterState) -> proto::cluster::State {
    match state {
        ClusterState::Open => proto::cluster::State::Open,
        ClusterState::Linked => proto::cluster::State::Linked,
        ClusterState::FixMerged => proto::cluster::State::FixMerged,
        ClusterState::FixReleased => proto::cluster::State::FixReleased,
        ClusterState::Resolved => proto::cluster::State::Resolved,
        ClusterState::Regressed => proto::cluster::State::Regressed,
        ClusterState::ClosedWithoutFix => proto::cluster::State::ClosedWithoutFix,
        ClusterState::Merged => proto::cluster::State::Merged,
    }
}

/// A cluster for the wire.
pub(crate) fn encode_cluster(view: ClusterView) -> proto::Cluster {
    let ClusterView { cluster, defects, needs_review } = view;
    proto::Cluster {
        id: cluster.id.to_string(),
        title: cluster.title,
        state: cluster_state(cluster.state).into(),
        product_id: cluster.product_id.map(|id| id.to_string()).unwrap_or_default(),
        workaround: cluster.workaround,
        guidance: cluster.guidance,
        report_count: cluster.report_count,
        reporter_count: cluster.reporter_count,
        defect_ids: defects.iter().map(ToString::to_string).collect(),
        merged_into_cluster_id: cluster.merged_into_cluster_id.map(|id| id.to_string()).unwrap_or_default(),
        create_time: Some(timestamp(cluster.create_time)),
        update_time: Some(timestamp(cluster.update_time)),
        etag: cluster.version.to_string(),
        key_terms: cluster.key_terms,
        title_by_person: cluster.title_by_person,
        needs_review,
    }
}

/// An operation for the wire.
pub(crate) fn encode_operation(operation: Operation) -> proto::Operation {
    let kind = match operation.kind {
        OperationKind::Move => proto::operation::Kind::Move,
        OperationKind::Merge => proto::operation::Kind::Merge,
        OperationKind::Split => proto::operation::Kind::Split,
        OperationKind::Reject => proto::operation::Kind::Reject,
    };
    proto::Operation {
        id: operation.id.to_string(),
        kind: kind.into(),
        from_cluster_id: operation.from_cluster_id.to_string(),
        to_cluster_id: operation.to_cluster_id.to_string(),
        report_count: operation.report_count,
        actor: operation.actor,
        reason: operation.reason,
        create_time: Some(timestamp(operation.create_time)),
        undo_time: operation.undo_time.map(timestamp),
    }
}

/// A filter of clusters, read term by term.
pub(super) fn read_filter(terms: &[Term], violations: &mut Violations) -> ClusterFilter {
    let count = |text: &str| text.parse::<i64>().map_err(|_| "a whole number".to_owned());
    let truth = |text: &str| text.parse::<bool>().map_err(|_| "true or false".to_owned());
    let mut filter = ClusterFilter::default();
    for term in terms {
        match (term.field.as_str(), term.operator) {
            ("state", _) => equal(term, &mut filter.state, any_of(ClusterState::ALL), violations),
            ("product_id", _) => equal(term, &mut filter.product, any_id, violations),
            ("defect_id", _) => equal(term, &mut filter.defect, any_id, violations),
            ("needs_review", _) => equal(term, &mut filter.needs_review, truth, violations),
            ("report_count", Operator::Equal) => equal(term, &mut filter.report_count, count, violations),
            ("report_count", Operator::AtLeast) => {
                let term = Term { operator: Operator::Equal, ..term.clone() };
                equal(&term, &mut filter.min_report_count, count, violations);
            }
            _ => unknown_field(term, "state, product_id, defect_id, needs_review or report_count", violations),
        }
    }
    filter
}

/// What is to be changed: what the mask names, or without one what is set.
fn read_change(
    cluster: &proto::Cluster,
    mask: Option<&prost_types::FieldMask>,
    violations: &mut Violations,
) -> ClusterChange {
    let named: Vec<&str> = mask.into_iter().flat_map(|mask| &mask.paths).map(String::as_str).collect();
    for path in &named {
        if !["title", "workaround", "guidance"].contains(path) {
            violations.add("update_mask", format!("{path:?} cannot be changed; name title, workaround or guidance"));
        }
    }
    let wanted = |name: &str, value: &str| {
        let is_wanted = if named.is_empty() { !value.is_empty() } else { named.contains(&name) };
        is_wanted.then(|| value.trim().to_owned())
    };
    ClusterChange {
        title: wanted("title", &cluster.title),
        workaround: wanted("workaround", &cluster.workaround),
        guidance: wanted("guidance", &cluster.guidance),
    }
}

fn read_split(request: proto::SplitClusterRequest, violations: &mut Violations) -> NewSplit {
    let ids = request.report_ids.iter().enumerate();
    NewSplit {
        cluster_id: noted_id("cluster_id", &request.cluster_id, violations),
        report_ids: ids.map(|(index, id)| noted_id(&format!("report_ids[{index}]"), id, violations)).collect(),
        title: request.title.trim().to_owned(),
        reason: request.reason,
    }
}

/// A cluster and a defect, both of which must be there.
fn read_link(cluster_id: &str, defect: &str, mut violations: Violations) -> Result<(ClusterId, DefectRef), Error> {
    let id = noted_id("cluster_id", cluster_id, &mut violations);
    match defect_ref("defect", defect, &mut violations) {
        Some(defect) if violations.is_empty() => Ok((id, defect)),
        _ => Err(Error::Invalid(violations)),
    }
}

/// The clusters that an event changed.
fn changed_clusters(event: &Event) -> Vec<ClusterId> {
    let is_one = matches!(
        event.kind,
        EventKind::ReportSubmitted
            | EventKind::ReportMoved
            | EventKind::ClusterCreated
            | EventKind::ClusterUpdated
            | EventKind::ClusterStateChanged
            | EventKind::ClusterMerged
            | EventKind::ClusterSplit
            | EventKind::OperationUndone
            | EventKind::DefectLinked
            | EventKind::DefectUnlinked
    );
    // Whether a cluster needs a review depends on the proposals to split it.
    let is_split =
        || event.data.get("kind").and_then(serde_json::Value::as_str) == Some(SuggestionKind::Split.as_str());
    let is_answer = matches!(
        event.kind,
        EventKind::SuggestionProposed | EventKind::SuggestionWithdrawn | EventKind::SuggestionResolved
    );
    if !(is_one || is_answer && is_split()) {
        return Vec::new();
    }
    let named = ["from", "to"].into_iter().filter_map(|end| event.data.get(end)?.as_str()?.parse().ok());
    let mut clusters: Vec<ClusterId> = event.cluster_id.into_iter().chain(named).collect();
    clusters.sort();
    clusters.dedup();
    clusters
}

/// One watcher of clusters.
struct ClusterFeed {
    app: Arc<App>,
    call: Call,
    only: Option<ClusterId>,
    feed: EventFeed,
}

impl ClusterFeed {
    fn heartbeat(&self) -> proto::WatchClustersResponse {
        let resume_token = encode_token(self.feed.scope(), self.feed.sequence());
        proto::WatchClustersResponse { resume_token, ..proto::WatchClustersResponse::default() }
    }

    /// What to send next. Events that changed no cluster that is watched move the token on silently.
    async fn next(mut self) -> Result<Option<(Vec<proto::WatchClustersResponse>, Self)>, Status> {
        loop {
            match self.feed.next().await? {
                Feed::Events(events) => {
                    let messages = self.messages(&events).await?;
                    if !messages.is_empty() {
                        return Ok(Some((messages, self)));
                    }
                }
                Feed::Heartbeat => return Ok(Some((vec![self.heartbeat()], self))),
                Feed::End => return Err(Error::ShuttingDown.into()),
            }
        }
    }

    /// One message for each event and cluster it changed, with the cluster as it is now.
    async fn messages(&self, events: &[Event]) -> Result<Vec<proto::WatchClustersResponse>, Error> {
        let is_watched = |id: &ClusterId| self.only.is_none_or(|only| only == *id);
        let changes: Vec<(&Event, ClusterId)> = events
            .iter()
            .flat_map(|event| changed_clusters(event).into_iter().filter(is_watched).map(move |id| (event, id)))
            .collect();
        let mut ids: Vec<ClusterId> = changes.iter().map(|&(_, id)| id).collect();
        ids.sort();
        ids.dedup();
        let views = self.app.clusters(&self.call, &ids).await?;
        let views: HashMap<ClusterId, ClusterView> = views.into_iter().map(|view| (view.cluster.id, view)).collect();
        // Of an event with two clusters, only the second message may be resumed after.
        let resume_after = |place: usize, event: &Event| match changes.get(place + 1) {
            Some((later, _)) if later.sequence == event.sequence => event.sequence - 1,
            _ => event.sequence,
        };
        let messages = changes.iter().enumerate().map(|(place, &(event, id))| proto::WatchClustersResponse {
            resume_token: encode_token(self.feed.scope(), resume_after(place, event)),
            r#type: event.kind.to_string(),
            cluster: views.get(&id).cloned().map(encode_cluster),
        });
        Ok(messages.collect())
    }
}

#[tonic::async_trait]
impl ClusterService for Api {
    async fn get_cluster(
        &self,
        request: Request<proto::GetClusterRequest>,
    ) -> Result<Response<proto::GetClusterResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ClustersRead).await?;
        let mut violations = Violations::new();
        let id = noted_id("cluster_id", &request.get_ref().cluster_id, &mut violations);
        violations.into_result()?;
        let view = self.app.get_cluster(&call, id).await?;
        Ok(Response::new(proto::GetClusterResponse { cluster: Some(encode_cluster(view)) }))
    }

    async fn list_clusters(
        &self,
        request: Request<proto::ListClustersRequest>,
    ) -> Result<Response<proto::ListClustersResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ClustersRead).await?;
        let request = request.into_inner();
        let by_impact = request.order_by.split_whitespace().collect::<Vec<_>>() == ["report_count", "desc"];
        let fields = ListFields {
            // A list of its own, whose page tokens no other order takes.
            list: if by_impact { "clusters by report_count" } else { "clusters" },
            page_size: request.page_size,
            page_token: &request.page_token,
            filter: &request.filter,
            order_by: if by_impact { "" } else { &request.order_by },
        };
        let mut violations = Violations::new();
        let asked: Asked<(i64, ClusterId)> = fields.read(&mut violations);
        let filter = read_filter(&asked.terms, &mut violations);
        violations.into_result().map_err(Error::Invalid)?;
        let order = if by_impact { ClusterOrder::Impact } else { ClusterOrder::CreateTime(asked.direction) };
        let page = self.app.list_clusters(&call, &filter, order, asked.after, asked.size).await?;
        let key = |view: &ClusterView| (view.cluster.report_count, view.cluster.id);
        let (clusters, next) = encode_page(page, key, encode_cluster);
        Ok(Response::new(proto::ListClustersResponse { clusters, next_page_token: fields.next(next) }))
    }

    async fn search_clusters(
        &self,
        request: Request<proto::SearchClustersRequest>,
    ) -> Result<Response<proto::SearchClustersResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ClustersRead).await?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        violations.required_text("query", &request.query, MAX_QUERY);
        let filter = read_filter(&read_terms(&request.filter, &mut violations), &mut violations);
        let limit = read_limit("page_size", request.page_size, &mut violations);
        violations.into_result()?;
        let found = self.app.search_clusters(&call, &request.query, &filter, limit).await?;
        let results = found.into_iter().map(|found| proto::SearchedCluster {
            cluster: Some(encode_cluster(found.view)),
            score: found.score,
            report_id: found.report.to_string(),
        });
        Ok(Response::new(proto::SearchClustersResponse { results: results.collect() }))
    }

    async fn update_cluster(
        &self,
        request: Request<proto::UpdateClusterRequest>,
    ) -> Result<Response<proto::UpdateClusterResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ClustersWrite, request_id, &mut violations).await?;
        let request = request.into_inner();
        let cluster = request.cluster.unwrap_or_default();
        let id = noted_id("cluster.id", &cluster.id, &mut violations);
        let change = read_change(&cluster, request.update_mask.as_ref(), &mut violations);
        change.check(&mut violations);
        violations.into_result()?;
        let done = self.app.update_cluster(&call, id, &cluster.etag, change).await?;
        Ok(Response::new(proto::UpdateClusterResponse {
            cluster: Some(encode_cluster(done.result)),
            replayed: done.replayed,
        }))
    }

    async fn merge_clusters(
        &self,
        request: Request<proto::MergeClustersRequest>,
    ) -> Result<Response<proto::MergeClustersResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ClustersWrite, request_id, &mut violations).await?;
        let request = request.into_inner();
        let from = noted_id("from_cluster_id", &request.from_cluster_id, &mut violations);
        let into = noted_id("into_cluster_id", &request.into_cluster_id, &mut violations);
        check_reason(&request.reason, &mut violations);
        violations.into_result()?;
        let done = self.app.merge_clusters(&call, from, into, &request.reason).await?;
        Ok(Response::new(proto::MergeClustersResponse {
            cluster: Some(encode_cluster(done.result.cluster)),
            operation: Some(encode_operation(done.result.operation)),
            replayed: done.replayed,
        }))
    }

    async fn split_cluster(
        &self,
        request: Request<proto::SplitClusterRequest>,
    ) -> Result<Response<proto::SplitClusterResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ClustersWrite, request_id, &mut violations).await?;
        let new = read_split(request.into_inner(), &mut violations);
        new.check(&mut violations);
        violations.into_result()?;
        let done = self.app.split_cluster(&call, new).await?;
        Ok(Response::new(proto::SplitClusterResponse {
            new_cluster: Some(encode_cluster(done.result.new_cluster)),
            remaining_cluster: Some(encode_cluster(done.result.remaining_cluster)),
            operation: Some(encode_operation(done.result.operation)),
            replayed: done.replayed,
        }))
    }

    async fn undo_operation(
        &self,
        request: Request<proto::UndoOperationRequest>,
    ) -> Result<Response<proto::UndoOperationResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ClustersWrite, request_id, &mut violations).await?;
        let id = noted_id("operation_id", &request.get_ref().operation_id, &mut violations);
        violations.into_result()?;
        let done = self.app.undo_operation(&call, id).await?;
        Ok(Response::new(proto::UndoOperationResponse {
            operation: Some(encode_operation(done.result)),
            replayed: done.replayed,
        }))
    }

    async fn list_suggestions(
        &self,
        request: Request<proto::ListSuggestionsRequest>,
    ) -> Result<Response<proto::ListSuggestionsResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::ClustersRead).await?;
        suggestion::list(self, &call, request.get_ref()).await.map(Response::new).map_err(Status::from)
    }

    async fn resolve_suggestion(
        &self,
        request: Request<proto::ResolveSuggestionRequest>,
    ) -> Result<Response<proto::ResolveSuggestionResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ClustersWrite, request_id, &mut violations).await?;
        suggestion::resolve(self, &call, request.get_ref(), violations).await.map(Response::new).map_err(Status::from)
    }

    async fn link_defect(
        &self,
        request: Request<proto::LinkDefectRequest>,
    ) -> Result<Response<proto::LinkDefectResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ClustersWrite, request_id, &mut violations).await?;
        let (id, defect) = read_link(&request.get_ref().cluster_id, &request.get_ref().defect, violations)?;
        let done = self.app.link_defect(&call, id, &defect).await?;
        let cluster = Some(encode_cluster(done.result));
        Ok(Response::new(proto::LinkDefectResponse { cluster, replayed: done.replayed }))
    }

    async fn unlink_defect(
        &self,
        request: Request<proto::UnlinkDefectRequest>,
    ) -> Result<Response<proto::UnlinkDefectResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::ClustersWrite, request_id, &mut violations).await?;
        let (id, defect) = read_link(&request.get_ref().cluster_id, &request.get_ref().defect, violations)?;
        let done = self.app.unlink_defect(&call, id, &defect).await?;
        let cluster = Some(encode_cluster(done.result));
        Ok(Response::new(proto::UnlinkDefectResponse { cluster, replayed: done.replayed }))
    }

    type WatchClustersStream = Pin<Box<dyn Stream<Item = Result<proto::WatchClustersResponse, Status>> + Send>>;

    async fn watch_clusters(
        &self,
        request: Request<proto::WatchClustersRequest>,
    ) -> Result<Response<Self::WatchClustersStream>, Status> {
        let call = self.caller(request.metadata(), Scope::ClustersRead).await?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let only: Option<ClusterId> = optional_id("cluster_id", &request.cluster_id, &mut violations);
        violations.into_result().map_err(Error::Invalid)?;
        if let Some(id) = only {
            self.app.get_cluster(&call, id).await?; // Nobody waits for what will never come.
        }
        let start = if request.resume_token.is_empty() { Start::Next } else { Start::After(request.resume_token) };
        let feed = self.app.watch(&call, &start, self.shutdown.clone()).await?;
        let feed = ClusterFeed { app: Arc::clone(&self.app), call, only, feed };
        // Who begins with the next change has no token yet, and would lose its place if it were cut off before one.
        let first = (start == Start::Next).then(|| Ok(feed.heartbeat()));
        let messages = stream::try_unfold(feed, ClusterFeed::next)
            .map_ok(|messages| stream::iter(messages.into_iter().map(Ok)))
            .try_flatten();
        Ok(Response::new(stream::iter(first).chain(messages).boxed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(paths: &[&str], title: &str, workaround: &str) -> (ClusterChange, Violations) {
        let cluster =
            proto::Cluster { title: title.to_owned(), workaround: workaround.to_owned(), ..proto::Cluster::default() };
        let mask = prost_types::FieldMask { paths: paths.iter().map(|&path| path.to_owned()).collect() };
        let mut violations = Violations::new();
        (read_change(&cluster, Some(&mask), &mut violations), violations)
    }

    #[test]
    fn a_mask_says_what_changes_and_without_one_what_is_set() {
        let (masked, _) = change(&["workaround"], "ignored", "");
        assert_eq!((masked.title, masked.workaround.as_deref(), masked.guidance), (None, Some(""), None));
        let (unmasked, _) = change(&[], "A title", "");
        assert_eq!((unmasked.title.as_deref(), unmasked.workaround), (Some("A title"), None));
        assert!(!change(&["state"], "", "").1.is_empty());
    }
}
