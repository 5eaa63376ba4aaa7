//! Clusters: what they are, what people write about them, which defects cause them, and the state that follows. What
//! people do with their reports is in [`operation`].

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;
use serde_json::json;

use crate::domain::cluster::{Cluster, ClusterDefect, StateFacts, derive_state};
use crate::domain::defect::{Defect, DefectRef, DefectState};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{ClusterId, DefectId};
use crate::domain::violation::Violations;
use crate::store::cluster::{ClusterFilter, ClusterOrder};
use crate::store::dirty::{self, Subject};
use crate::store::{self, Page, Reader, Txn};

use super::{App, Call, Error, Once, Resource, defect, remembered};

pub mod operation;
pub mod search;

/// Longest title, in characters.
const MAX_TITLE: usize = 200;
/// Longest workaround or guidance, in characters.
const MAX_ADVICE: usize = 10_000;

/// A cluster with the defects it is linked to.
#[derive(Debug, Clone)]
pub struct ClusterView {
    /// The cluster.
    pub cluster: Cluster,
    /// Its defects.
    pub defects: Vec<DefectId>,
    /// A second look says that it may be several problems, and nobody has answered.
    pub needs_review: bool,
}

/// What a person writes about a cluster. `None` leaves it as it is.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ClusterChange {
    /// A headline; empty hands it back, and the cluster is called by its derived one again.
    pub title: Option<String>,
    /// What customers can do meanwhile.
    pub workaround: Option<String>,
    /// Advice for support.
    pub guidance: Option<String>,
}

impl ClusterChange {
    /// Notes what is wrong with it.
    pub fn check(&self, violations: &mut Violations) {
        violations.text("cluster.title", self.title.as_deref().unwrap_or_default(), MAX_TITLE);
        violations.text("cluster.workaround", self.workaround.as_deref().unwrap_or_default(), MAX_ADVICE);
        violations.text("cluster.guidance", self.guidance.as_deref().unwrap_or_default(), MAX_ADVICE);
    }
}

#[derive(Serialize)]
struct UpdateBody<'a> {
    cluster: UpdateFields<'a>,
}

#[derive(Serialize)]
struct UpdateFields<'a> {
    id: ClusterId,
    etag: &'a str,
    #[serde(flatten)]
    change: &'a ClusterChange,
}

#[derive(Serialize)]
struct LinkBody {
    cluster_id: ClusterId,
    defect: String,
}

/// The clusters with their links, in the same order.
async fn views(db: &Reader<'_>, clusters: Vec<Cluster>) -> Result<Vec<ClusterView>, Error> {
    let ids: Vec<ClusterId> = clusters.iter().map(|cluster| cluster.id).collect();
    let mut defects: HashMap<ClusterId, Vec<DefectId>> = HashMap::new();
    for link in store::cluster::links_of(db, &ids).await? {
        defects.entry(link.cluster_id).or_default().push(link.defect_id);
    }
    let flagged = store::suggestion::flagged(db, &ids).await?;
    let views = clusters.into_iter().map(|cluster| {
        let defects = defects.remove(&cluster.id).unwrap_or_default();
        let needs_review = flagged.contains(&cluster.id);
        ClusterView { cluster, defects, needs_review }
    });
    Ok(views.collect())
}

/// One cluster with its links.
async fn view(db: &Reader<'_>, id: ClusterId) -> Result<ClusterView, Error> {
    let cluster = store::cluster::find(db, id).await?;
    let cluster = cluster.ok_or_else(|| Error::not_found(Resource::Cluster, id))?;
    views(db, vec![cluster]).await?.pop().ok_or_else(|| Error::not_found(Resource::Cluster, id))
}

/// A cluster that stands by itself. One that was merged is not worked on any more: the error names where its reports
/// went.
async fn standing(db: &Reader<'_>, id: ClusterId) -> Result<Cluster, Error> {
    let cluster = store::cluster::find(db, id).await?;
    let cluster = cluster.ok_or_else(|| Error::not_found(Resource::Cluster, id))?;
    if cluster.merged_into_cluster_id.is_none() {
        return Ok(cluster);
    }
    let root = store::cluster::roots(db, [id]).await?.remove(&id).unwrap_or(id);
    Err(Error::wrong_state(Resource::Cluster, id, format!("was merged into {root}; use that one")))
}

/// Derives the states of these clusters from what is true now, and records those that changed.
pub(crate) async fn refresh_states(txn: &mut Txn, clusters: &[ClusterId]) -> Result<(), Error> {
    if clusters.is_empty() {
        return Ok(());
    }
    let db = txn.read();
    let rows = store::cluster::by_ids(&db, clusters).await?;
    let mut links: HashMap<ClusterId, Vec<DefectId>> = HashMap::new();
    for link in store::cluster::links_of(&db, clusters).await? {
        links.entry(link.cluster_id).or_default().push(link.defect_id);
    }
    let ids: BTreeSet<DefectId> = links.values().flatten().copied().collect();
    let ids = Vec::from_iter(ids);
    let defects: HashMap<DefectId, Defect> =
        store::defect::by_ids(&db, &ids).await?.into_iter().map(|defect| (defect.id, defect)).collect();
    let released = store::cluster::released_fixes(&db, &ids).await?;

    let mut facts: HashMap<ClusterId, StateFacts> = HashMap::new();
    for cluster in &rows {
        let merged = cluster.merged_into_cluster_id.is_some();
        let mut facts_of = StateFacts { merged, ..StateFacts::default() };
        for defect in links.get(&cluster.id).into_iter().flatten().filter_map(|id| defects.get(id)) {
            facts_of.defects += 1;
            // A release that is out is stronger than anything a tracker says (law 6), and counts once.
            if released.contains(&(defect.id, defect.reopen_count)) {
                facts_of.fix_released += 1;
            } else {
                match defect.state {
                    DefectState::Open => {}
                    DefectState::FixMerged | DefectState::Closed => facts_of.fix_merged += 1,
                    DefectState::ClosedWithoutFix => facts_of.without_fix += 1,
                }
            }
        }
        facts.insert(cluster.id, facts_of);
    }
    // Loops matter only where a fix is out; elsewhere nobody has to look for a large cluster's.
    let fixed: Vec<ClusterId> =
        facts.iter().filter(|(_, facts)| facts.fix_released > 0).map(|(&cluster, _)| cluster).collect();
    for (cluster, loops) in store::cluster::loops(&db, &fixed).await? {
        let facts = facts.entry(cluster).or_default();
        (facts.open_loops, facts.regressions) = (loops.open, loops.regressed);
    }

    let changed: Vec<_> = rows
        .into_iter()
        .filter_map(|cluster| {
            let state = derive_state(*facts.get(&cluster.id)?);
            (state != cluster.state).then_some((cluster, state))
        })
        .collect();
    let states: Vec<_> = changed.iter().map(|(cluster, state)| (cluster.id, *state)).collect();
    store::cluster::set_states(txn, &states).await?;
    for (cluster, state) in changed {
        let event = NewEvent::new(EventKind::ClusterStateChanged, cluster.id).cluster(cluster.id);
        txn.record(event.data(json!({"from": cluster.state, "to": state})));
    }
    Ok(())
}

impl App {
    /// One cluster, merged or not.
    pub async fn get_cluster(&self, call: &Call, id: ClusterId) -> Result<ClusterView, Error> {
        view(&self.read(call), id).await
    }

    /// Clusters by their ids, in any order. What does not exist is left out.
    pub async fn clusters(&self, call: &Call, ids: &[ClusterId]) -> Result<Vec<ClusterView>, Error> {
        let db = self.read(call);
        views(&db, store::cluster::by_ids(&db, ids).await?).await
    }

    /// A page of clusters.
    pub async fn list_clusters(
        &self,
        call: &Call,
        filter: &ClusterFilter,
        order: ClusterOrder,
        after: Option<(i64, ClusterId)>,
        size: u64,
    ) -> Result<Page<ClusterView, (i64, ClusterId)>, Error> {
        let db = self.read(call);
        let page = store::cluster::list(&db, filter, order, after, size).await?;
        Ok(Page { items: views(&db, page.items).await?, next: page.next })
    }

    /// Changes what people wrote about a cluster. An empty `etag` overwrites what others wrote meanwhile.
    pub async fn update_cluster(
        &self,
        call: &Call,
        id: ClusterId,
        etag: &str,
        change: ClusterChange,
    ) -> Result<Once<ClusterView>, Error> {
        const METHOD: &str = "UpdateCluster";
        let mut violations = Violations::new();
        change.check(&mut violations);
        violations.into_result()?;
        let body = UpdateBody { cluster: UpdateFields { id, etag, change: &change } };
        let mut txn = self.begin(call).await?;
        if self.earlier(&txn, call, METHOD, &body).await?.is_some() {
            return Ok(Once { result: view(&txn.read(), id).await?, replayed: true });
        }
        let mut cluster = standing(&txn.read(), id).await?;
        if !etag.is_empty() && etag != cluster.version.to_string() {
            return Err(Error::StaleEtag { resource: Resource::Cluster, id: id.to_string() });
        }
        let mut fields = Vec::new();
        if change.title.as_ref().is_some_and(|title| cluster.call_it(title)) {
            fields.push("title");
        }
        for (name, known, given) in [
            ("workaround", &mut cluster.workaround, change.workaround.as_ref()),
            ("guidance", &mut cluster.guidance, change.guidance.as_ref()),
        ] {
            if let Some(given) = given.filter(|given| *given != known) {
                known.clone_from(given);
                fields.push(name);
            }
        }
        if !fields.is_empty() {
            cluster.version += 1;
            cluster.update_time = txn.now();
            store::cluster::update_texts(&txn, &cluster).await?;
            txn.record(NewEvent::new(EventKind::ClusterUpdated, id).cluster(id).data(json!({"fields": fields})));
        }
        self.remember(&txn, call, METHOD, &body, json!({"cluster_id": id})).await?;
        let result = view(&txn.read(), id).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: fields.is_empty() })
    }

    /// Says that a defect causes a cluster's problem. One that stands already changes nothing, unless it came with a
    /// merge: then it is now a person's word and outlives the merge.
    pub async fn link_defect(
        &self,
        call: &Call,
        id: ClusterId,
        defect: &DefectRef,
    ) -> Result<Once<ClusterView>, Error> {
        const METHOD: &str = "LinkDefect";
        let body = LinkBody { cluster_id: id, defect: defect.to_string() };
        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &body).await? {
            let id = remembered(&earlier, "cluster_id")?;
            return Ok(Once { result: view(&txn.read(), id).await?, replayed: true });
        }
        standing(&txn.read(), id).await?;
        let defect_id = defect::resolve_or_create(&mut txn, std::slice::from_ref(defect))
            .await?
            .pop()
            .ok_or_else(|| Error::not_found(Resource::Defect, defect))?
            .id;
        let links = store::cluster::links_of(&txn.read(), &[id]).await?;
        let link = links.into_iter().find(|link| link.defect_id == defect_id);
        let replayed = link.as_ref().is_some_and(|link| link.operation_id.is_none());
        match link {
            Some(_) if replayed => {}
            Some(_) => store::cluster::adopt_link(&txn, id, defect_id).await?,
            None => {
                let link = ClusterDefect {
                    cluster_id: id,
                    defect_id,
                    tenant_id: txn.scope().tenant(),
                    operation_id: None,
                    actor: txn.actor().to_owned(),
                    create_time: txn.now(),
                };
                store::cluster::insert_links(&txn, vec![link]).await?;
            }
        }
        self.finish_link(txn, call, METHOD, &body, EventKind::DefectLinked, defect_id, replayed).await
    }

    /// Takes a link back. Customers who were told on its account are corrected.
    pub async fn unlink_defect(
        &self,
        call: &Call,
        id: ClusterId,
        defect: &DefectRef,
    ) -> Result<Once<ClusterView>, Error> {
        const METHOD: &str = "UnlinkDefect";
        let body = LinkBody { cluster_id: id, defect: defect.to_string() };
        let txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &body).await? {
            let id = remembered(&earlier, "cluster_id")?;
            return Ok(Once { result: view(&txn.read(), id).await?, replayed: true });
        }
        standing(&txn.read(), id).await?;
        let defect_id = defect::resolve(&txn.read(), defect).await?.id;
        let links = store::cluster::links_of(&txn.read(), &[id]).await?;
        let replayed = !links.iter().any(|link| link.defect_id == defect_id);
        if !replayed {
            store::cluster::delete_link(&txn, id, defect_id).await?;
        }
        self.finish_link(txn, call, METHOD, &body, EventKind::DefectUnlinked, defect_id, replayed).await
    }

    /// What linking and unlinking have in common: everybody in the cluster is looked at again.
    #[allow(clippy::too_many_arguments)] // Two callers, one story; a struct would only rename the arguments.
    async fn finish_link(
        &self,
        mut txn: Txn,
        call: &Call,
        method: &str,
        body: &LinkBody,
        kind: EventKind,
        defect: DefectId,
        replayed: bool,
    ) -> Result<Once<ClusterView>, Error> {
        let id = body.cluster_id;
        if !replayed {
            store::cluster::touch(&txn, id).await?;
            txn.record(NewEvent::new(kind, id).cluster(id).data(json!({"defect_id": defect})));
            dirty::mark(&txn, [Subject::Cluster(id)], txn.now()).await?;
            refresh_states(&mut txn, &[id]).await?;
        }
        self.remember(&txn, call, method, body, json!({"cluster_id": id})).await?;
        let result = view(&txn.read(), id).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed })
    }
}

#[cfg(test)]
mod tests;
