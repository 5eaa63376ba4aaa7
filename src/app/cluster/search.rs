//! Finding clusters by what their reports say, with the index that places new ones.

use std::collections::HashMap;

use crate::app::{App, Call, Error};
use crate::domain::cluster::Cluster;
use crate::domain::id::{ClusterId, ReportId};
use crate::matching::{self, Candidate, Features, Text};
use crate::store::cluster::ClusterFilter;
use crate::store::{self, Reader};

use super::{ClusterView, views};

/// The nearest clusters, among which a filter looks.
pub(crate) const NEAREST: usize = 100;
/// Longest query, in characters.
pub const MAX_QUERY: usize = 10_000;

/// A cluster that was found.
#[derive(Debug, Clone)]
pub struct FoundCluster {
    /// The cluster.
    pub view: ClusterView,
    /// How near it is beside the others.
    pub score: f64,
    /// Its report that is nearest.
    pub report: ReportId,
}

impl App {
    /// The clusters that come nearest to a query and that the filter lets through, best first.
    pub async fn search_clusters(
        &self,
        call: &Call,
        query: &str,
        filter: &ClusterFilter,
        limit: usize,
    ) -> Result<Vec<FoundCluster>, Error> {
        let query = query.to_owned();
        let (product, is_embedded) = (filter.product, self.embedding.is_some());
        let read = move || {
            let text = Text { product, fingerprint: None, title: &query, body: "" };
            (Features::of(&text), is_embedded.then(|| matching::said(&query, "")))
        };
        let read = tokio::task::spawn_blocking(read).await.map_err(|error| Error::Internal(Box::new(error)))?;
        let features = match read {
            (features, Some(said)) => self.embedded(call.scope, features, said).await,
            (features, None) => features,
        };
        let index = self.current_index(call.scope).await?;
        let search = move || index.candidates(&features, NEAREST);
        let candidates = tokio::task::spawn_blocking(search).await.map_err(|error| Error::Internal(Box::new(error)))?;
        let db = self.read(call);
        let found = passing(&db, candidates, filter, limit).await?;
        let clusters = found.iter().map(|(_, cluster)| cluster.clone()).collect();
        let views = views(&db, clusters).await?;
        let found = found.into_iter().zip(views).map(|((candidate, _), view)| FoundCluster {
            view,
            score: candidate.score,
            report: candidate.report,
        });
        Ok(found.collect())
    }
}

/// The first of these candidates that a filter lets through, each with its cluster.
pub(crate) async fn passing(
    db: &Reader<'_>,
    candidates: Vec<Candidate>,
    filter: &ClusterFilter,
    limit: usize,
) -> Result<Vec<(Candidate, Cluster)>, Error> {
    let ids: Vec<ClusterId> = candidates.iter().map(|candidate| candidate.cluster).collect();
    let clusters = store::cluster::passing_of(db, &ids, filter).await?;
    let mut clusters: HashMap<ClusterId, Cluster> = clusters.into_iter().map(|cluster| (cluster.id, cluster)).collect();
    let found = candidates.into_iter().filter_map(|candidate| Some((candidate, clusters.remove(&candidate.cluster)?)));
    Ok(found.take(limit).collect())
}
