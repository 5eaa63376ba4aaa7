//! Gathers what is true, for [`crate::domain::statements`] to judge: links, defects, fixes, releases, deployments. A
//! constant number of queries, however many clusters are asked about.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::id::{ClusterId, DefectId, ProductId, ReleaseId};
use crate::domain::release::ReleaseFix;
use crate::domain::statements::{DefectFacts, World};
use crate::domain::time::Timestamp;
use crate::store::{self, Reader};

use super::Error;
use super::release::load_product_facts;

/// What is true about the defects linked to these clusters.
pub(crate) async fn load(db: &Reader<'_>, clusters: &[ClusterId]) -> Result<World, Error> {
    let mut links: HashMap<ClusterId, BTreeSet<DefectId>> = HashMap::new();
    for link in store::cluster::links_of(db, clusters).await? {
        links.entry(link.cluster_id).or_default().insert(link.defect_id);
    }
    let ids: BTreeSet<DefectId> = links.values().flatten().copied().collect();
    load_defects(db, ids, links).await
}

/// The same for defects that are named, linked or not.
pub(crate) async fn load_defects(
    db: &Reader<'_>,
    ids: BTreeSet<DefectId>,
    links: HashMap<ClusterId, BTreeSet<DefectId>>,
) -> Result<World, Error> {
    if ids.is_empty() {
        return Ok(World { links, ..World::default() });
    }
    let ids: Vec<DefectId> = ids.into_iter().collect();
    let defects = store::defect::by_ids(db, &ids).await?;
    let fixes = store::release::fixes_of_defects(db, &ids).await?;
    let rounds: HashMap<DefectId, i32> = defects.iter().map(|defect| (defect.id, defect.reopen_count)).collect();
    // A fix recorded before its defect was reopened no longer counts (law 8).
    let current: Vec<ReleaseFix> =
        fixes.into_iter().filter(|fix| rounds.get(&fix.defect_id) == Some(&fix.round)).collect();
    let release_ids: BTreeSet<ReleaseId> = current.iter().map(|fix| fix.release_id).collect();
    let release_ids: Vec<ReleaseId> = release_ids.into_iter().collect();
    let releases = store::release::by_ids(db, &release_ids).await?;
    let product_of: HashMap<ReleaseId, ProductId> =
        releases.iter().map(|release| (release.id, release.product_id)).collect();
    let product_ids: BTreeSet<ProductId> = product_of.values().copied().collect();
    let product_ids: Vec<ProductId> = product_ids.into_iter().collect();
    let products = load_product_facts(db, &product_ids).await?;

    let mut evidence: HashMap<ReleaseId, Timestamp> = HashMap::new();
    for release in products.values().flat_map(|product| &product.releases) {
        let deployed = release.deployments.iter().filter_map(|deployment| deployment.full_time);
        if let Some(time) = deployed.chain(release.release_time).max() {
            evidence.insert(release.id, time);
        }
    }
    let mut facts: HashMap<DefectId, DefectFacts> = defects
        .into_iter()
        .map(|defect| (defect.id, DefectFacts { state: defect.state, fixes: BTreeMap::new(), evidence_time: None }))
        .collect();
    for fix in current {
        let (Some(defect), Some(&product)) = (facts.get_mut(&fix.defect_id), product_of.get(&fix.release_id)) else {
            continue;
        };
        defect.fixes.entry(product).or_default().insert(fix.release_id);
        let time = evidence.get(&fix.release_id).copied().unwrap_or(fix.create_time).max(fix.create_time);
        defect.evidence_time = defect.evidence_time.max(Some(time));
    }
    Ok(World { links, defects: facts, products })
}
