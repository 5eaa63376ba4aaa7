//! Releases, the defects they fix and the places they were deployed to; and what a customer runs, as coverage asks.

use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ActiveModelTrait, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::domain::coverage::{InstallationFacts, ReleaseState};
use crate::domain::customer::Installation;
use crate::domain::id::{ClusterId, CustomerId, DefectId, DeploymentId, ProductId, ReleaseId};
use crate::domain::release::{Deployment, DeploymentState, Release, ReleaseFix};
use crate::domain::report::DEFAULT_ENVIRONMENT;

use super::entity::release::{ActiveModel, Column, Entity};
use super::entity::{cluster_defect, customer, defect, deployment, installation, release_fix, report};
use super::error::StoreError;
use super::{Direction, Page, Reader, Txn, chunks};

/// Which releases a list is of. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseFilter {
    /// Of this product.
    pub product_id: Option<ProductId>,
    /// With this version.
    pub version: Option<String>,
    /// Of this line; an empty one means of none.
    pub line: Option<String>,
    /// In this state.
    pub state: Option<ReleaseState>,
    /// Fixing this defect, if it was not reopened since.
    pub defect_id: Option<DefectId>,
}

/// Releases by their ids, in any order. What does not exist is left out.
pub async fn by_ids(db: &Reader<'_>, ids: &[ReleaseId]) -> Result<Vec<Release>, StoreError> {
    let mut releases = Vec::with_capacity(ids.len());
    for chunk in chunks(ids.iter().copied()) {
        let query = Entity::find().filter(Column::TenantId.eq(db.tenant())).filter(Column::Id.is_in(chunk));
        releases.extend(query.all(db.db()).await?.into_iter().map(Release::from));
    }
    Ok(releases)
}

/// The release of a product with exactly this version.
pub async fn find_by_version(
    db: &Reader<'_>,
    product: ProductId,
    version: &str,
) -> Result<Option<Release>, StoreError> {
    let query = Entity::find()
        .filter(Column::TenantId.eq(db.tenant()))
        .filter(Column::ProductId.eq(product))
        .filter(Column::Version.eq(version));
    Ok(query.one(db.db()).await?.map(Release::from))
}

/// All releases of these products, as they were recorded.
pub async fn of_products(db: &Reader<'_>, products: &[ProductId]) -> Result<Vec<Release>, StoreError> {
    let mut releases = Vec::new();
    for chunk in chunks(products.iter().copied()) {
        let query = Entity::find()
            .filter(Column::TenantId.eq(db.tenant()))
            .filter(Column::ProductId.is_in(chunk))
            .order_by_asc(Column::Sequence);
        releases.extend(query.all(db.db()).await?.into_iter().map(Release::from));
    }
    Ok(releases)
}

/// A page of the tenant's releases, by the time they were first recorded.
pub async fn list(
    db: &Reader<'_>,
    filter: &ReleaseFilter,
    after: Option<ReleaseId>,
    direction: Direction,
    size: u64,
) -> Result<Page<Release, ReleaseId>, StoreError> {
    let mut query = Entity::find().filter(Column::TenantId.eq(db.tenant())).limit(size + 1);
    if let Some(product) = filter.product_id {
        query = query.filter(Column::ProductId.eq(product));
    }
    if let Some(version) = &filter.version {
        query = query.filter(Column::Version.eq(version.as_str()));
    }
    match filter.line.as_deref() {
        None => {}
        Some("") => query = query.filter(Column::Line.is_null()),
        Some(line) => query = query.filter(Column::Line.eq(line)),
    }
    if let Some(state) = filter.state {
        query = query.filter(Column::State.eq(state));
    }
    if let Some(defect) = filter.defect_id {
        let fixing = Query::select()
            .column(release_fix::Column::ReleaseId)
            .from(release_fix::Entity)
            .and_where(release_fix::Column::TenantId.eq(db.tenant()))
            .and_where(release_fix::Column::DefectId.eq(defect))
            .and_where(Expr::exists(round_that_counts()))
            .to_owned();
        query = query.filter(Column::Id.in_subquery(fixing));
    }
    query = match direction {
        Direction::Ascending => query.order_by_asc(Column::Id),
        Direction::Descending => query.order_by_desc(Column::Id),
    };
    if let Some(after) = after {
        query = query.filter(match direction {
            Direction::Ascending => Column::Id.gt(after),
            Direction::Descending => Column::Id.lt(after),
        });
    }
    let rows = query.all(db.db()).await?;
    Ok(Page::cut(rows.into_iter().map(Release::from).collect(), size, |release: &Release| release.id))
}

/// Stores a new release.
pub async fn insert(txn: &Txn, release: Release) -> Result<(), StoreError> {
    Entity::insert(ActiveModel::from(release)).exec_without_returning(txn.db()).await?;
    Ok(())
}

/// Stores a release's new values.
pub async fn update(txn: &Txn, release: Release) -> Result<(), StoreError> {
    ActiveModel::from(release).reset_all().update(txn.db()).await?;
    Ok(())
}

/// The next place in the order of the tenant's releases and deployments. Two writers never get the same one: the
/// transaction holds the tenant.
pub async fn next_sequence(txn: &Txn) -> Result<i64, StoreError> {
    let tenant = txn.scope().tenant();
    let of_releases: Option<Option<i64>> = Entity::find()
        .select_only()
        .column_as(Column::Sequence.max(), "last")
        .filter(Column::TenantId.eq(tenant))
        .into_tuple()
        .one(txn.db())
        .await?;
    let of_deployments: Option<Option<i64>> = deployment::Entity::find()
        .select_only()
        .column_as(deployment::Column::Sequence.max(), "last")
        .filter(deployment::Column::TenantId.eq(tenant))
        .into_tuple()
        .one(txn.db())
        .await?;
    Ok(Ord::max(of_releases.flatten(), of_deployments.flatten()).unwrap_or(0) + 1)
}

/// All fixes recorded for these defects, those of earlier rounds included.
pub async fn fixes_of_defects(db: &Reader<'_>, defects: &[DefectId]) -> Result<Vec<ReleaseFix>, StoreError> {
    let mut fixes = Vec::new();
    for chunk in chunks(defects.iter().copied()) {
        let query = release_fix::Entity::find()
            .filter(release_fix::Column::TenantId.eq(db.tenant()))
            .filter(release_fix::Column::DefectId.is_in(chunk));
        fixes.extend(query.all(db.db()).await?.into_iter().map(ReleaseFix::from));
    }
    Ok(fixes)
}

/// All fixes recorded for these releases, those of earlier rounds included.
pub async fn fixes_of_releases(db: &Reader<'_>, releases: &[ReleaseId]) -> Result<Vec<ReleaseFix>, StoreError> {
    let mut fixes = Vec::new();
    for chunk in chunks(releases.iter().copied()) {
        let query = release_fix::Entity::find()
            .filter(release_fix::Column::TenantId.eq(db.tenant()))
            .filter(release_fix::Column::ReleaseId.is_in(chunk));
        fixes.extend(query.all(db.db()).await?.into_iter().map(ReleaseFix::from));
    }
    Ok(fixes)
}

/// Those fixes of these releases whose defect was not reopened since, in the order of their defects.
pub async fn standing_fixes_of_releases(
    db: &Reader<'_>,
    releases: &[ReleaseId],
) -> Result<Vec<ReleaseFix>, StoreError> {
    let mut fixes = Vec::new();
    for chunk in chunks(releases.iter().copied()) {
        let query = release_fix::Entity::find()
            .filter(release_fix::Column::TenantId.eq(db.tenant()))
            .filter(release_fix::Column::ReleaseId.is_in(chunk))
            .filter(Expr::exists(round_that_counts()))
            .order_by_asc(release_fix::Column::DefectId);
        fixes.extend(query.all(db.db()).await?.into_iter().map(ReleaseFix::from));
    }
    Ok(fixes)
}

/// For `EXISTS`: the defect of a fix, if the fix is of the defect's present round.
fn round_that_counts() -> SelectStatement {
    let of_fix = |column| Expr::col((release_fix::Entity, column));
    Query::select()
        .expr(Expr::value(1))
        .from(defect::Entity)
        .and_where(Expr::col((defect::Entity, defect::Column::Id)).eq(of_fix(release_fix::Column::DefectId)))
        .and_where(Expr::col((defect::Entity, defect::Column::ReopenCount)).eq(of_fix(release_fix::Column::Round)))
        .to_owned()
}

/// The clusters of all defects that some release of this product is said to fix.
pub async fn clusters_fixed_in(db: &Reader<'_>, product: ProductId) -> Result<Vec<ClusterId>, StoreError> {
    let releases = Query::select()
        .column(Column::Id)
        .from(Entity)
        .and_where(Column::TenantId.eq(db.tenant()))
        .and_where(Column::ProductId.eq(product))
        .to_owned();
    let defects = Query::select()
        .column(release_fix::Column::DefectId)
        .from(release_fix::Entity)
        .and_where(release_fix::Column::ReleaseId.in_subquery(releases))
        .to_owned();
    let clusters = cluster_defect::Entity::find()
        .select_only()
        .column(cluster_defect::Column::ClusterId)
        .distinct()
        .filter(cluster_defect::Column::TenantId.eq(db.tenant()))
        .filter(cluster_defect::Column::DefectId.in_subquery(defects))
        .filter(super::defect::of_a_standing_cluster());
    Ok(clusters.into_tuple().all(db.db()).await?)
}

/// Stores new fixes.
pub async fn insert_fixes(txn: &Txn, fixes: Vec<ReleaseFix>) -> Result<(), StoreError> {
    for chunk in chunks(fixes.into_iter().map(release_fix::ActiveModel::from)) {
        release_fix::Entity::insert_many(chunk).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// One deployment.
pub async fn find_deployment(db: &Reader<'_>, id: DeploymentId) -> Result<Option<Deployment>, StoreError> {
    let query = deployment::Entity::find_by_id(id).filter(deployment::Column::TenantId.eq(db.tenant()));
    Ok(query.one(db.db()).await?.map(Deployment::from))
}

/// The deployment of a release to exactly this place.
pub async fn find_deployment_at(
    db: &Reader<'_>,
    release: ReleaseId,
    environment: &str,
    region: &str,
    ring: &str,
) -> Result<Option<Deployment>, StoreError> {
    let query = deployment::Entity::find()
        .filter(deployment::Column::TenantId.eq(db.tenant()))
        .filter(deployment::Column::ReleaseId.eq(release))
        .filter(deployment::Column::Environment.eq(environment))
        .filter(deployment::Column::Region.eq(region))
        .filter(deployment::Column::Ring.eq(ring));
    Ok(query.one(db.db()).await?.map(Deployment::from))
}

/// Whether another release of the product was deployed to exactly this place after this one, and still stands there.
pub async fn is_superseded(db: &Reader<'_>, deployment: &Deployment) -> Result<bool, StoreError> {
    let newer = deployment::Entity::find()
        .filter(deployment::Column::TenantId.eq(db.tenant()))
        .filter(deployment::Column::ProductId.eq(deployment.product_id))
        .filter(deployment::Column::Environment.eq(deployment.environment.as_str()))
        .filter(deployment::Column::Region.eq(deployment.region.as_str()))
        .filter(deployment::Column::Ring.eq(deployment.ring.as_str()))
        .filter(deployment::Column::State.eq(DeploymentState::Active))
        .filter(deployment::Column::Sequence.gt(deployment.sequence))
        .one(db.db())
        .await?;
    Ok(newer.is_some())
}

/// All deployments of these releases, those taken back included, as they were recorded.
pub async fn deployments_of_releases(db: &Reader<'_>, releases: &[ReleaseId]) -> Result<Vec<Deployment>, StoreError> {
    let mut deployments = Vec::new();
    for chunk in chunks(releases.iter().copied()) {
        let query = deployment::Entity::find()
            .filter(deployment::Column::TenantId.eq(db.tenant()))
            .filter(deployment::Column::ReleaseId.is_in(chunk))
            .order_by_asc(deployment::Column::Sequence);
        deployments.extend(query.all(db.db()).await?.into_iter().map(Deployment::from));
    }
    Ok(deployments)
}

/// All deployments of the releases of these products, those taken back included, as they were recorded.
pub async fn deployments_of_products(db: &Reader<'_>, products: &[ProductId]) -> Result<Vec<Deployment>, StoreError> {
    let mut deployments = Vec::new();
    for chunk in chunks(products.iter().copied()) {
        let query = deployment::Entity::find()
            .filter(deployment::Column::TenantId.eq(db.tenant()))
            .filter(deployment::Column::ProductId.is_in(chunk))
            .order_by_asc(deployment::Column::Sequence);
        deployments.extend(query.all(db.db()).await?.into_iter().map(Deployment::from));
    }
    Ok(deployments)
}

/// Stores a new deployment.
pub async fn insert_deployment(txn: &Txn, new: Deployment) -> Result<(), StoreError> {
    deployment::Entity::insert(deployment::ActiveModel::from(new)).exec_without_returning(txn.db()).await?;
    Ok(())
}

/// Stores a deployment's new values.
pub async fn update_deployment(txn: &Txn, changed: Deployment) -> Result<(), StoreError> {
    deployment::ActiveModel::from(changed).reset_all().update(txn.db()).await?;
    Ok(())
}

/// Reports that are asked what their customer runs, at most: the newest word of a place counts, and whoever reports
/// more often has said it long before.
const MAX_REPORTS: u64 = 1_000;

/// What a report says of the place it came from.
type ReportedPlace =
    (Option<ProductId>, Option<String>, Option<String>, Option<String>, Option<String>, Option<String>);

/// What a customer runs of these products: their installations; of a product without any, what the customer's reports
/// say, the newest for each platform and environment. A report that names no product speaks of the only one there is
/// to choose. `None` if there is no such customer.
pub async fn runs_of_customer(
    db: &Reader<'_>,
    customer_id: CustomerId,
    products: &[ProductId],
) -> Result<Option<Vec<(ProductId, InstallationFacts)>>, StoreError> {
    let known = customer::Entity::find_by_id(customer_id).filter(customer::Column::TenantId.eq(db.tenant()));
    if known.one(db.db()).await?.is_none() {
        return Ok(None);
    }
    let installations = installation::Entity::find()
        .filter(installation::Column::TenantId.eq(db.tenant()))
        .filter(installation::Column::CustomerId.eq(customer_id))
        .filter(installation::Column::ProductId.is_in(products.iter().copied()))
        .order_by_asc(installation::Column::Id);
    let mut runs: Vec<(ProductId, InstallationFacts)> = installations
        .all(db.db())
        .await?
        .into_iter()
        .map(|row| (row.product_id, Installation::from(row).facts()))
        .collect();

    let silent: Vec<ProductId> =
        products.iter().copied().filter(|product| runs.iter().all(|(other, _)| other != product)).collect();
    if silent.is_empty() {
        return Ok(Some(runs));
    }
    let mut about = Condition::any().add(report::Column::ProductId.is_in(silent));
    let only = if let [only] = products { Some(*only) } else { None };
    if only.is_some() {
        about = about.add(report::Column::ProductId.is_null());
    }
    let reports: Vec<ReportedPlace> = report::Entity::find()
        .select_only()
        .columns([
            report::Column::ProductId,
            report::Column::Version,
            report::Column::Platform,
            report::Column::Environment,
            report::Column::Region,
            report::Column::Ring,
        ])
        .filter(report::Column::TenantId.eq(db.tenant()))
        .filter(report::Column::CustomerId.eq(customer_id))
        .filter(about)
        .order_by_desc(report::Column::Id)
        .limit(MAX_REPORTS)
        .into_tuple()
        .all(db.db())
        .await?;
    let mut said = BTreeMap::new();
    for (product, version, platform, environment, region, ring) in reports {
        let Some(product) = product.or(only) else { continue };
        let environment = environment.unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned());
        said.entry((product, platform.clone(), environment.clone())).or_insert(InstallationFacts {
            version,
            platform,
            environment,
            region,
            ring,
        });
    }
    runs.extend(said.into_iter().map(|((product, _, _), facts)| (product, facts)));
    Ok(Some(runs))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::Store;
    use super::super::entity::cluster;
    use super::*;
    use crate::domain::cluster::{Cluster, ClusterDefect, ClusterState};
    use crate::domain::customer::Customer;
    use crate::domain::explanation::Signals;
    use crate::domain::id::{InstallationId, ReportId, TenantId};
    use crate::domain::release::Platforms;
    use crate::domain::report::{Labels, LoopState, PlacementDecision, Report};
    use crate::domain::time::Timestamp;

    const NOW: Timestamp = Timestamp::from_micros(1);

    async fn begin(folder: &tempfile::TempDir) -> (Store, Txn) {
        let store = Store::open_sqlite(&folder.path().join("test.db")).await.expect("a database");
        let scope = super::super::tenant::insert(&store, TenantId::new(), "Acme", NOW).await.expect("a tenant");
        let txn = store.begin_system(scope, NOW).await.expect("a transaction");
        (store, txn)
    }

    async fn insert_cluster(txn: &Txn, state: ClusterState, defect_id: DefectId) -> ClusterId {
        let tenant_id = txn.scope().tenant();
        let begun = Cluster::begin(ClusterId::new(), tenant_id, String::new(), None, NOW);
        let row = Cluster { state, report_count: 1, reporter_count: 1, ..begun };
        let link = ClusterDefect {
            cluster_id: row.id,
            defect_id,
            tenant_id,
            operation_id: None,
            actor: "test".to_owned(),
            create_time: NOW,
        };
        let id = row.id;
        cluster::Entity::insert(cluster::ActiveModel::from(row))
            .exec_without_returning(txn.db())
            .await
            .expect("stored");
        cluster_defect::Entity::insert(cluster_defect::ActiveModel::from(link))
            .exec_without_returning(txn.db())
            .await
            .expect("stored");
        id
    }

    #[tokio::test]
    async fn a_change_of_a_product_concerns_the_clusters_of_its_fixes_that_still_stand() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_store, txn) = begin(&folder).await;
        let (product_id, defect_id, other) = (ProductId::new(), DefectId::new(), DefectId::new());
        let release = Release {
            id: ReleaseId::new(),
            tenant_id: txn.scope().tenant(),
            product_id,
            version: "2.4.1".to_owned(),
            line: None,
            platforms: Platforms::default(),
            state: ReleaseState::Released,
            yank_reason: String::new(),
            sequence: next_sequence(&txn).await.expect("a number"),
            release_time: None,
            yank_time: None,
            row_version: 1,
            create_time: NOW,
            update_time: NOW,
        };
        let fix = ReleaseFix {
            release_id: release.id,
            defect_id,
            tenant_id: txn.scope().tenant(),
            round: 0,
            create_time: NOW,
        };
        insert(&txn, release).await.expect("stored");
        insert_fixes(&txn, vec![fix]).await.expect("stored");
        let standing = insert_cluster(&txn, ClusterState::Linked, defect_id).await;
        insert_cluster(&txn, ClusterState::Merged, defect_id).await;
        let elsewhere = insert_cluster(&txn, ClusterState::Linked, other).await;

        assert_eq!(clusters_fixed_in(&txn.read(), product_id).await.expect("clusters"), [standing]);
        assert_eq!(clusters_fixed_in(&txn.read(), ProductId::new()).await.expect("clusters"), []);
        let links = super::super::defect::clusters_of(&txn.read(), &[defect_id, other]).await.expect("links");
        let linked: BTreeSet<_> = links.iter().map(|link| link.cluster_id).collect();
        assert_eq!(linked, BTreeSet::from([standing, elsewhere]));
        assert_eq!(next_sequence(&txn).await.expect("a number"), 2);
    }

    #[tokio::test]
    async fn what_a_customer_runs_is_what_is_installed_or_else_what_the_newest_report_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_store, txn) = begin(&folder).await;
        let tenant_id = txn.scope().tenant();
        let (customer_id, installed, reported) = (CustomerId::new(), ProductId::new(), ProductId::new());
        assert_eq!(runs_of_customer(&txn.read(), customer_id, &[installed]).await.expect("read"), None);
        let row = Customer {
            id: customer_id,
            tenant_id,
            external_id: None,
            display_name: String::new(),
            locale: String::new(),
            time_zone: String::new(),
            opted_out: false,
            version: 1,
            create_time: NOW,
            update_time: NOW,
        };
        customer::Entity::insert(customer::ActiveModel::from(row))
            .exec_without_returning(txn.db())
            .await
            .expect("stored");
        let row = Installation {
            id: InstallationId::new(),
            tenant_id,
            customer_id,
            product_id: installed,
            version: Some("2.4.0".to_owned()),
            platform: String::new(),
            environment: DEFAULT_ENVIRONMENT.to_owned(),
            region: None,
            ring: None,
            create_time: NOW,
            last_seen_time: NOW,
        };
        installation::Entity::insert(installation::ActiveModel::from(row))
            .exec_without_returning(txn.db())
            .await
            .expect("stored");
        for (number, (product, version)) in
            [(Some(installed), "9.9.9"), (Some(reported), "1.0.0"), (Some(reported), "1.1.0"), (None, "7.7.7")]
                .into_iter()
                .enumerate()
        {
            let row = Report {
                id: ReportId::new(),
                tenant_id,
                source: "desk".to_owned(),
                external_id: number.to_string(),
                customer_id,
                product_id: product,
                title: String::new(),
                body: String::new(),
                version: Some(version.to_owned()),
                platform: None,
                environment: None,
                region: None,
                ring: None,
                fingerprint: None,
                labels: Labels::default(),
                occurred_time: None,
                create_time: NOW,
                decision: PlacementDecision::New,
                decision_score: 0.0,
                decision_cluster_id: ClusterId::new(),
                suggested_cluster_id: None,
                signals: Signals::default(),
                grounds: None,
                loop_state: LoopState::Open,
                loop_reason: String::new(),
            };
            report::Entity::insert(report::ActiveModel::from(row))
                .exec_without_returning(txn.db())
                .await
                .expect("stored");
        }
        let runs = async |products: &[ProductId]| {
            let runs = runs_of_customer(&txn.read(), customer_id, products).await.expect("read").expect("known");
            runs.into_iter().map(|(_, facts)| facts.version.unwrap_or_default()).collect::<Vec<_>>()
        };
        assert_eq!(runs(&[installed, reported]).await, ["2.4.0", "1.1.0"]);
        assert_eq!(runs(&[reported]).await, ["7.7.7"], "it can only mean this product");
        assert_eq!(runs(&[]).await, Vec::<String>::new());
    }
}
