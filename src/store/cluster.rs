//! Clusters, their counters, their links to defects, and what their states are derived from.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, EntityTrait, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef};

use crate::domain::cluster::{Cluster, ClusterDefect, ClusterState, Operation};
use crate::domain::coverage::ReleaseState;
use crate::domain::id::{ClusterId, DefectId, OperationId, ProductId, TenantId};
use crate::domain::report::LoopState;
use crate::domain::statements::Waiting;
use crate::domain::time::Timestamp;

use super::entity::{cluster, cluster_defect, membership, release, release_fix, report};
use super::error::StoreError;
use super::suggestion::flagged_clusters;
use super::{Direction, Page, Reader, Store, TenantScope, Txn, chunks};

/// What a list of clusters is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct ClusterFilter {
    /// In this state. Without it, merged ones are left out.
    pub state: Option<ClusterState>,
    /// About this product.
    pub product: Option<ProductId>,
    /// Linked to this defect.
    pub defect: Option<DefectId>,
    /// With so many reports at least.
    pub min_report_count: Option<i64>,
    /// With exactly so many reports.
    pub report_count: Option<i64>,
    /// With a proposal to split it that nobody has answered, or without.
    pub needs_review: Option<bool>,
}

/// The order of a list of clusters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterOrder {
    /// By age.
    CreateTime(Direction),
    /// Most reports first.
    Impact,
}

/// Stores new clusters.
pub async fn insert(txn: &Txn, clusters: Vec<Cluster>) -> Result<(), StoreError> {
    for chunk in chunks(clusters) {
        let rows = chunk.into_iter().map(cluster::ActiveModel::from);
        cluster::Entity::insert_many(rows).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// One cluster.
pub async fn find(db: &Reader<'_>, id: ClusterId) -> Result<Option<Cluster>, StoreError> {
    Ok(by_ids(db, &[id]).await?.pop())
}

/// Clusters by their ids, in any order. What does not exist is left out.
pub async fn by_ids(db: &Reader<'_>, ids: &[ClusterId]) -> Result<Vec<Cluster>, StoreError> {
    let mut clusters = Vec::with_capacity(ids.len());
    for chunk in chunks(ids.iter().copied()) {
        let rows = cluster::Entity::find()
            .filter(cluster::Column::TenantId.eq(db.tenant()))
            .filter(cluster::Column::Id.is_in(chunk))
            .all(db.db())
            .await?;
        clusters.extend(rows.into_iter().map(Cluster::from));
    }
    Ok(clusters)
}

/// What a filter lets through.
fn passing(db: &Reader<'_>, filter: &ClusterFilter) -> Condition {
    use cluster::Column;
    let mut all = Condition::all()
        .add(Column::TenantId.eq(db.tenant()))
        .add(match filter.state {
            Some(state) => Column::State.eq(state),
            None => Column::State.ne(ClusterState::Merged),
        })
        .add_option(filter.product.map(|id| Column::ProductId.eq(id)))
        .add_option(filter.min_report_count.map(|count| Column::ReportCount.gte(count)))
        .add_option(filter.report_count.map(|count| Column::ReportCount.eq(count)));
    if let Some(defect) = filter.defect {
        let linked = Query::select()
            .column(cluster_defect::Column::ClusterId)
            .from(cluster_defect::Entity)
            .and_where(cluster_defect::Column::DefectId.eq(defect))
            .to_owned();
        all = all.add(Column::Id.in_subquery(linked));
    }
    if let Some(needs_review) = filter.needs_review {
        let flagged = Column::Id.in_subquery(flagged_clusters(db));
        all = all.add(if needs_review { flagged } else { flagged.not() });
    }
    all
}

/// Those of these clusters that a filter lets through, in any order.
pub async fn passing_of(
    db: &Reader<'_>,
    ids: &[ClusterId],
    filter: &ClusterFilter,
) -> Result<Vec<Cluster>, StoreError> {
    let mut clusters = Vec::with_capacity(ids.len());
    for chunk in chunks(ids.iter().copied()) {
        let query = cluster::Entity::find().filter(passing(db, filter)).filter(cluster::Column::Id.is_in(chunk));
        clusters.extend(query.all(db.db()).await?.into_iter().map(Cluster::from));
    }
    Ok(clusters)
}

/// A page of clusters. The key of a page is the last cluster's report count and id.
pub async fn list(
    db: &Reader<'_>,
    filter: &ClusterFilter,
    order: ClusterOrder,
    after: Option<(i64, ClusterId)>,
    size: u64,
) -> Result<Page<Cluster, (i64, ClusterId)>, StoreError> {
    use cluster::Column;
    let mut all = passing(db, filter);
    let query = cluster::Entity::find();
    let query = match order {
        ClusterOrder::CreateTime(Direction::Ascending) => {
            all = all.add_option(after.map(|(_, id)| Column::Id.gt(id)));
            query.order_by_asc(Column::Id)
        }
        ClusterOrder::CreateTime(Direction::Descending) => {
            all = all.add_option(after.map(|(_, id)| Column::Id.lt(id)));
            query.order_by_desc(Column::Id)
        }
        ClusterOrder::Impact => {
            all = all.add_option(after.map(|(count, id)| {
                let smaller = Column::ReportCount.lt(count).or(Column::Id.lt(id));
                Column::ReportCount.lte(count).and(smaller)
            }));
            query.order_by_desc(Column::ReportCount).order_by_desc(Column::Id)
        }
    };
    let rows = query.filter(all).limit(size + 1).all(db.db()).await?;
    let clusters = rows.into_iter().map(Cluster::from).collect();
    Ok(Page::cut(clusters, size, |cluster: &Cluster| (cluster.report_count, cluster.id)))
}

/// Where these clusters' reports are now: each with the cluster at the end of its merges. Those that stand by
/// themselves are their own.
pub async fn roots(
    db: &Reader<'_>,
    ids: impl IntoIterator<Item = ClusterId>,
) -> Result<HashMap<ClusterId, ClusterId>, StoreError> {
    let mut roots: HashMap<ClusterId, ClusterId> = ids.into_iter().map(|id| (id, id)).collect();
    let mut unfollowed: BTreeSet<ClusterId> = roots.values().copied().collect();
    // One round for each merge of the longest chain; no cluster merges into one that was merged, so there is no circle.
    while !unfollowed.is_empty() {
        let ids: Vec<ClusterId> = unfollowed.iter().copied().collect();
        let mut into: HashMap<ClusterId, ClusterId> = HashMap::new();
        for chunk in chunks(ids) {
            let rows: Vec<(ClusterId, ClusterId)> = cluster::Entity::find()
                .select_only()
                .columns([cluster::Column::Id, cluster::Column::MergedIntoClusterId])
                .filter(cluster::Column::TenantId.eq(db.tenant()))
                .filter(cluster::Column::Id.is_in(chunk))
                .filter(cluster::Column::MergedIntoClusterId.is_not_null())
                .into_tuple()
                .all(db.db())
                .await?;
            into.extend(rows);
        }
        for root in roots.values_mut() {
            if let Some(&next) = into.get(root) {
                *root = next;
            }
        }
        unfollowed = into.into_values().collect();
    }
    Ok(roots)
}

/// Stores what a person wrote about a cluster, and its new version.
pub async fn update_texts(txn: &Txn, cluster: &Cluster) -> Result<(), StoreError> {
    cluster::Entity::update_many()
        .col_expr(cluster::Column::Title, Expr::value(cluster.title.clone()))
        .col_expr(cluster::Column::TitleByPerson, Expr::value(cluster.title_by_person))
        .col_expr(cluster::Column::Workaround, Expr::value(cluster.workaround.clone()))
        .col_expr(cluster::Column::Guidance, Expr::value(cluster.guidance.clone()))
        .col_expr(cluster::Column::Version, Expr::value(cluster.version))
        .col_expr(cluster::Column::UpdateTime, Expr::value(cluster.update_time))
        .filter(of_tenant(txn, [cluster.id]))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// Says where a cluster's reports went, or that it stands by itself again.
pub async fn set_merged_into(txn: &Txn, id: ClusterId, into: Option<ClusterId>) -> Result<(), StoreError> {
    cluster::Entity::update_many()
        .col_expr(cluster::Column::MergedIntoClusterId, Expr::value(into))
        .filter(of_tenant(txn, [id]))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// Stores derived states.
pub async fn set_states(txn: &Txn, states: &[(ClusterId, ClusterState)]) -> Result<(), StoreError> {
    let mut by_state: BTreeMap<ClusterState, Vec<ClusterId>> = BTreeMap::new();
    for &(id, state) in states {
        by_state.entry(state).or_default().push(id);
    }
    for (state, ids) in by_state {
        for chunk in chunks(ids) {
            cluster::Entity::update_many()
                .col_expr(cluster::Column::State, Expr::value(state))
                .col_expr(cluster::Column::UpdateTime, Expr::value(txn.now()))
                .filter(of_tenant(txn, chunk))
                .exec(txn.db())
                .await?;
        }
    }
    Ok(())
}

fn of_tenant(txn: &Txn, ids: impl IntoIterator<Item = ClusterId>) -> Condition {
    Condition::all().add(cluster::Column::TenantId.eq(txn.scope().tenant())).add(cluster::Column::Id.is_in(ids))
}

/// Adds new reports, and customers who had none there, to the counters. People's changes alone raise the version: an
/// etag that went stale with every report could never be used on a busy cluster.
pub async fn add_to_counters(txn: &Txn, added: &BTreeMap<ClusterId, (i64, i64)>) -> Result<(), StoreError> {
    let added: Vec<(ClusterId, (i64, i64))> = added.iter().map(|(&id, &counts)| (id, counts)).collect();
    for chunk in chunks(added) {
        let ids: Vec<ClusterId> = chunk.iter().map(|&(id, _)| id).collect();
        let plus = |column: cluster::Column, count: fn(&(i64, i64)) -> i64| {
            let mut by_id = sea_orm::sea_query::CaseStatement::new();
            for (id, counts) in &chunk {
                by_id = by_id.case(cluster::Column::Id.eq(*id), Expr::value(count(counts)));
            }
            Expr::col(column).add(Expr::expr(by_id.finally(Expr::value(0_i64))))
        };
        cluster::Entity::update_many()
            .col_expr(cluster::Column::ReportCount, plus(cluster::Column::ReportCount, |counts| counts.0))
            .col_expr(cluster::Column::ReporterCount, plus(cluster::Column::ReporterCount, |counts| counts.1))
            .col_expr(cluster::Column::UpdateTime, Expr::value(txn.now()))
            .filter(of_tenant(txn, ids))
            .exec(txn.db())
            .await?;
    }
    Ok(())
}

/// Counts reports and reporters afresh after a person's change, and raises the version (law 3).
pub async fn recount(txn: &Txn, ids: &[ClusterId]) -> Result<(), StoreError> {
    let count = |what: Expr| {
        let members = Query::select()
            .expr(what)
            .from(membership::Entity)
            .and_where(
                Expr::col((membership::Entity, membership::Column::ClusterId))
                    .equals((cluster::Entity, cluster::Column::Id)),
            )
            .to_owned();
        Expr::SubQuery(None, Box::new(members.into()))
    };
    cluster::Entity::update_many()
        .col_expr(cluster::Column::ReportCount, count(Expr::col(membership::Column::ReportId).count()))
        .col_expr(cluster::Column::ReporterCount, count(Expr::col(membership::Column::CustomerId).count_distinct()))
        .col_expr(cluster::Column::Version, Expr::col(cluster::Column::Version).add(1))
        .col_expr(cluster::Column::UpdateTime, Expr::value(txn.now()))
        .filter(of_tenant(txn, ids.iter().copied()))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// A person changed something that belongs to a cluster: its version rises.
pub async fn touch(txn: &Txn, id: ClusterId) -> Result<(), StoreError> {
    cluster::Entity::update_many()
        .col_expr(cluster::Column::Version, Expr::col(cluster::Column::Version).add(1))
        .col_expr(cluster::Column::UpdateTime, Expr::value(txn.now()))
        .filter(of_tenant(txn, [id]))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// The cluster was looked at as a whole.
pub async fn swept(txn: &Txn, id: ClusterId) -> Result<(), StoreError> {
    cluster::Entity::update_many()
        .col_expr(cluster::Column::SweepTime, Expr::value(txn.now()))
        .filter(of_tenant(txn, [id]))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// Linked clusters of all tenants that nobody has looked at since, longest ago first.
pub async fn stale_linked(
    store: &Store,
    before: Timestamp,
    limit: u64,
) -> Result<Vec<(TenantScope, ClusterId)>, StoreError> {
    let linked = Query::select().column(cluster_defect::Column::ClusterId).from(cluster_defect::Entity).to_owned();
    let rows: Vec<(TenantId, ClusterId)> = cluster::Entity::find()
        .select_only()
        .columns([cluster::Column::TenantId, cluster::Column::Id])
        .filter(cluster::Column::SweepTime.lt(before))
        .filter(cluster::Column::State.ne(ClusterState::Merged))
        .filter(cluster::Column::Id.in_subquery(linked))
        .order_by_asc(cluster::Column::SweepTime)
        .limit(limit)
        .into_tuple()
        .all(&store.read)
        .await?;
    Ok(rows.into_iter().map(|(tenant, id)| (TenantScope::new(tenant), id)).collect())
}

// Links.

/// The links of these clusters to defects, by cluster and defect.
pub async fn links_of(db: &Reader<'_>, clusters: &[ClusterId]) -> Result<Vec<ClusterDefect>, StoreError> {
    let mut links = Vec::new();
    for chunk in chunks(clusters.iter().copied()) {
        let rows = cluster_defect::Entity::find()
            .filter(cluster_defect::Column::TenantId.eq(db.tenant()))
            .filter(cluster_defect::Column::ClusterId.is_in(chunk))
            .order_by_asc(cluster_defect::Column::ClusterId)
            .order_by_asc(cluster_defect::Column::DefectId)
            .all(db.db())
            .await?;
        links.extend(rows.into_iter().map(ClusterDefect::from));
    }
    Ok(links)
}

/// Stores links.
pub async fn insert_links(txn: &Txn, links: Vec<ClusterDefect>) -> Result<(), StoreError> {
    for chunk in chunks(links) {
        let rows = chunk.into_iter().map(cluster_defect::ActiveModel::from);
        cluster_defect::Entity::insert_many(rows).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

fn link(txn: &Txn, cluster: ClusterId) -> Condition {
    Condition::all()
        .add(cluster_defect::Column::TenantId.eq(txn.scope().tenant()))
        .add(cluster_defect::Column::ClusterId.eq(cluster))
}

/// A person says what a merge brought along: the link stays when the merge is undone.
pub async fn adopt_link(txn: &Txn, cluster: ClusterId, defect: DefectId) -> Result<(), StoreError> {
    cluster_defect::Entity::update_many()
        .col_expr(cluster_defect::Column::OperationId, Expr::value(None::<OperationId>))
        .col_expr(cluster_defect::Column::Actor, Expr::value(txn.actor()))
        .filter(link(txn, cluster).add(cluster_defect::Column::DefectId.eq(defect)))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// Removes a link.
pub async fn delete_link(txn: &Txn, cluster: ClusterId, defect: DefectId) -> Result<(), StoreError> {
    cluster_defect::Entity::delete_many()
        .filter(link(txn, cluster).add(cluster_defect::Column::DefectId.eq(defect)))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// A link that a merge brought is another merge's from now on, and goes when that one is taken back.
pub async fn hand_link_to(txn: &Txn, brought: &ClusterDefect, heir: &Operation) -> Result<(), StoreError> {
    cluster_defect::Entity::update_many()
        .col_expr(cluster_defect::Column::OperationId, Expr::value(heir.id))
        .col_expr(cluster_defect::Column::Actor, Expr::value(heir.actor.clone()))
        .filter(link(txn, brought.cluster_id).add(cluster_defect::Column::DefectId.eq(brought.defect_id)))
        .exec(txn.db())
        .await?;
    Ok(())
}

// What states are derived from.

/// Fixes of these defects in releases that are out: the defect, and the round the fix was recorded in.
pub async fn released_fixes(db: &Reader<'_>, defects: &[DefectId]) -> Result<HashSet<(DefectId, i32)>, StoreError> {
    let mut fixes = HashSet::new();
    for chunk in chunks(defects.iter().copied()) {
        let release_of_fix: RelationDef = release_fix::Entity::belongs_to(release::Entity)
            .from(release_fix::Column::ReleaseId)
            .to(release::Column::Id)
            .into();
        let rows: Vec<(DefectId, i32)> = release_fix::Entity::find()
            .select_only()
            .columns([release_fix::Column::DefectId, release_fix::Column::Round])
            .join(JoinType::InnerJoin, release_of_fix)
            .filter(release_fix::Column::TenantId.eq(db.tenant()))
            .filter(release_fix::Column::DefectId.is_in(chunk))
            .filter(release::Column::State.eq(ReleaseState::Released))
            .into_tuple()
            .all(db.db())
            .await?;
        fixes.extend(rows);
    }
    Ok(fixes)
}

/// Whether loops of a cluster are open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Loops {
    /// Any is.
    pub open: bool,
    /// Any because of a report from a version that should have had the fix.
    pub regressed: bool,
}

/// Whether these clusters have open loops. Asked with every page of customers: nothing is counted, the search ends with
/// the first one found, and begins with those who are told last.
pub async fn loops(db: &Reader<'_>, clusters: &[ClusterId]) -> Result<HashMap<ClusterId, Loops>, StoreError> {
    let mut loops = HashMap::new();
    for chunk in chunks(clusters.iter().copied()) {
        let rows: Vec<(ClusterId, bool, bool)> = loops_query(db, chunk).into_tuple().all(db.db()).await?;
        loops.extend(rows.into_iter().map(|(id, open, regressed)| (id, Loops { open, regressed })));
    }
    Ok(loops)
}

fn loops_query(db: &Reader<'_>, clusters: Vec<ClusterId>) -> sea_orm::Select<cluster::Entity> {
    let report_id = || Expr::col((membership::Entity, membership::Column::ReportId));
    let in_cluster = || {
        Expr::col((membership::Entity, membership::Column::ClusterId)).equals((cluster::Entity, cluster::Column::Id))
    };
    let open = Query::select()
        .expr(report_id())
        .from(membership::Entity)
        .inner_join(report::Entity, report_id().equals((report::Entity, report::Column::Id)))
        .and_where(in_cluster())
        .and_where(Expr::col((report::Entity, report::Column::LoopState)).eq(LoopState::Open))
        .order_by((membership::Entity, membership::Column::CustomerId), sea_orm::Order::Desc)
        .limit(1)
        .to_owned();
    // Few reports are regressions, and an index of those alone leads to them: SQLite takes the tables of a cross join
    // in this order, and a partial index for a condition that it can read.
    let regressed = Query::select()
        .expr(report_id())
        .from(report::Entity)
        .cross_join(membership::Entity)
        .and_where(report_id().equals((report::Entity, report::Column::Id)))
        .and_where(in_cluster())
        .and_where(Expr::cust(format!("report.loop_reason = '{}'", Waiting::RegressionReported.reason())))
        .limit(1)
        .to_owned();
    let found = |select: SelectStatement| Expr::SubQuery(None, Box::new(select.into())).is_not_null();
    cluster::Entity::find()
        .select_only()
        .column(cluster::Column::Id)
        .column_as(found(open), "open")
        .column_as(found(regressed), "regressed")
        .filter(cluster::Column::TenantId.eq(db.tenant()))
        .filter(cluster::Column::Id.is_in(clusters))
}
