//! Defects, and which clusters they are linked to.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{Expr, ExprTrait, Query, SimpleExpr};
use sea_orm::{ActiveModelTrait, ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::domain::cluster::{ClusterDefect, ClusterState};
use crate::domain::defect::{Defect, DefectRef, DefectState};
use crate::domain::id::DefectId;

use super::entity::defect::{ActiveModel, Column, Entity};
use super::entity::{cluster, cluster_defect};
use super::error::StoreError;
use super::{Direction, Page, Reader, Txn, chunks};

/// Which defects a list is of. What is `None` does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DefectFilter {
    /// Of this tracker.
    pub tracker: Option<String>,
    /// With this key.
    pub key: Option<String>,
    /// In this state.
    pub state: Option<DefectState>,
}

/// Defects by their ids, in any order. What does not exist is left out.
pub async fn by_ids(db: &Reader<'_>, ids: &[DefectId]) -> Result<Vec<Defect>, StoreError> {
    let mut defects = Vec::with_capacity(ids.len());
    for chunk in chunks(ids.iter().copied()) {
        let query = Entity::find().filter(Column::TenantId.eq(db.tenant())).filter(Column::Id.is_in(chunk));
        defects.extend(query.all(db.db()).await?.into_iter().map(Defect::from));
    }
    Ok(defects)
}

/// Defects by tracker and key, in any order. What does not exist is left out.
pub async fn by_keys(db: &Reader<'_>, keys: BTreeSet<(&str, &str)>) -> Result<Vec<Defect>, StoreError> {
    let mut defects = Vec::with_capacity(keys.len());
    for chunk in chunks(keys) {
        let mut of_trackers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (tracker, key) in chunk {
            of_trackers.entry(tracker).or_default().push(key);
        }
        let any = of_trackers.into_iter().fold(Condition::any(), |any, (tracker, keys)| {
            any.add(Condition::all().add(Column::Tracker.eq(tracker)).add(Column::Key.is_in(keys)))
        });
        let query = Entity::find().filter(Column::TenantId.eq(db.tenant())).filter(any);
        defects.extend(query.all(db.db()).await?.into_iter().map(Defect::from));
    }
    Ok(defects)
}

/// The defect that somebody names.
pub async fn find(db: &Reader<'_>, defect: &DefectRef) -> Result<Option<Defect>, StoreError> {
    let query = Entity::find().filter(Column::TenantId.eq(db.tenant()));
    let query = match defect {
        DefectRef::Id(id) => query.filter(Column::Id.eq(*id)),
        DefectRef::Key { tracker, key } => {
            query.filter(Column::Tracker.eq(tracker.as_str())).filter(Column::Key.eq(key.as_str()))
        }
    };
    Ok(query.one(db.db()).await?.map(Defect::from))
}

/// A page of the tenant's defects, by the time they were first recorded.
pub async fn list(
    db: &Reader<'_>,
    filter: &DefectFilter,
    after: Option<DefectId>,
    direction: Direction,
    size: u64,
) -> Result<Page<Defect, DefectId>, StoreError> {
    let mut query = Entity::find().filter(Column::TenantId.eq(db.tenant())).limit(size + 1);
    if let Some(tracker) = &filter.tracker {
        query = query.filter(Column::Tracker.eq(tracker.as_str()));
    }
    if let Some(key) = &filter.key {
        query = query.filter(Column::Key.eq(key.as_str()));
    }
    if let Some(state) = filter.state {
        query = query.filter(Column::State.eq(state));
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
    Ok(Page::cut(rows.into_iter().map(Defect::from).collect(), size, |defect: &Defect| defect.id))
}

/// The links of these defects to clusters. A cluster that went into another one does not count: its links went along.
pub async fn clusters_of(db: &Reader<'_>, ids: &[DefectId]) -> Result<Vec<ClusterDefect>, StoreError> {
    let mut links = Vec::new();
    for chunk in chunks(ids.iter().copied()) {
        let query = cluster_defect::Entity::find()
            .filter(cluster_defect::Column::TenantId.eq(db.tenant()))
            .filter(cluster_defect::Column::DefectId.is_in(chunk))
            .filter(of_a_standing_cluster())
            .order_by_asc(cluster_defect::Column::ClusterId);
        links.extend(query.all(db.db()).await?.into_iter().map(ClusterDefect::from));
    }
    Ok(links)
}

/// Whether a link's cluster was not merged away.
pub(super) fn of_a_standing_cluster() -> SimpleExpr {
    let linked = Expr::col((cluster_defect::Entity, cluster_defect::Column::ClusterId));
    let standing = Query::select()
        .expr(Expr::value(1))
        .from(cluster::Entity)
        .and_where(Expr::col((cluster::Entity, cluster::Column::Id)).eq(linked))
        .and_where(Expr::col((cluster::Entity, cluster::Column::State)).ne(ClusterState::Merged))
        .to_owned();
    Expr::exists(standing)
}

/// Stores new defects.
pub async fn insert(txn: &Txn, defects: Vec<Defect>) -> Result<(), StoreError> {
    for chunk in chunks(defects.into_iter().map(ActiveModel::from)) {
        Entity::insert_many(chunk).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// Stores a defect's new values.
pub async fn update(txn: &Txn, defect: Defect) -> Result<(), StoreError> {
    ActiveModel::from(defect).reset_all().update(txn.db()).await?;
    Ok(())
}
