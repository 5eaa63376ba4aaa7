//! Announcements.

use sea_orm::{ActiveModelTrait, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::domain::announcement::{Announcement, AnnouncementState, Stage};
use crate::domain::id::{AnnouncementId, ClusterId};

use super::entity::announcement::{ActiveModel, Column, Entity};
use super::error::StoreError;
use super::{Direction, Page, Reader, Txn, chunks};

/// What a list is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// About this cluster.
    pub cluster_id: Option<ClusterId>,
    /// In this state.
    pub state: Option<AnnouncementState>,
    /// At this stage.
    pub stage: Option<Stage>,
}

/// One announcement.
pub async fn find(db: &Reader<'_>, id: AnnouncementId) -> Result<Option<Announcement>, StoreError> {
    let row = Entity::find_by_id(id).filter(Column::TenantId.eq(db.tenant())).one(db.db()).await?;
    Ok(row.map(Announcement::from))
}

/// Announcements by their ids.
pub async fn by_ids(
    db: &Reader<'_>,
    ids: impl IntoIterator<Item = AnnouncementId>,
) -> Result<Vec<Announcement>, StoreError> {
    let mut found = Vec::new();
    for chunk in chunks(ids) {
        let query = Entity::find().filter(Column::TenantId.eq(db.tenant())).filter(Column::Id.is_in(chunk));
        found.extend(query.all(db.db()).await?.into_iter().map(Announcement::from));
    }
    Ok(found)
}

/// The announcements about these clusters that can still take recipients, newest first.
pub async fn open_of_clusters(db: &Reader<'_>, clusters: &[ClusterId]) -> Result<Vec<Announcement>, StoreError> {
    let mut found = Vec::new();
    for chunk in chunks(clusters.iter().copied()) {
        let query = Entity::find()
            .filter(Column::TenantId.eq(db.tenant()))
            .filter(Column::ClusterId.is_in(chunk))
            .filter(Column::State.is_in([AnnouncementState::AwaitingApproval, AnnouncementState::Approved]));
        found.extend(query.all(db.db()).await?.into_iter().map(Announcement::from));
    }
    // Sorted here: asked for an order, SQLite reads all of the tenant's announcements in it.
    found.sort_by_key(|announcement| std::cmp::Reverse(announcement.id));
    Ok(found)
}

/// A page of announcements.
pub async fn list(
    db: &Reader<'_>,
    filter: &Filter,
    after: Option<AnnouncementId>,
    direction: Direction,
    size: u64,
) -> Result<Page<Announcement, AnnouncementId>, StoreError> {
    let mut query = Entity::find().filter(Column::TenantId.eq(db.tenant()));
    if let Some(cluster) = filter.cluster_id {
        query = query.filter(Column::ClusterId.eq(cluster));
    }
    if let Some(state) = filter.state {
        query = query.filter(Column::State.eq(state));
    }
    if let Some(stage) = filter.stage {
        query = query.filter(Column::Stage.eq(stage));
    }
    query = match (direction, after) {
        (Direction::Ascending, Some(after)) => query.filter(Column::Id.gt(after)).order_by_asc(Column::Id),
        (Direction::Ascending, None) => query.order_by_asc(Column::Id),
        (Direction::Descending, Some(after)) => query.filter(Column::Id.lt(after)).order_by_desc(Column::Id),
        (Direction::Descending, None) => query.order_by_desc(Column::Id),
    };
    let rows = query.limit(size + 1).all(db.db()).await?;
    Ok(Page::cut(rows.into_iter().map(Announcement::from).collect(), size, |announcement: &Announcement| {
        announcement.id
    }))
}

/// Stores new announcements.
pub async fn insert(txn: &Txn, announcement: Announcement) -> Result<(), StoreError> {
    Entity::insert(ActiveModel::from(announcement)).exec_without_returning(txn.db()).await?;
    Ok(())
}

/// Stores new values.
pub async fn update(txn: &Txn, announcement: Announcement) -> Result<(), StoreError> {
    ActiveModel::from(announcement).reset_all().update(txn.db()).await?;
    Ok(())
}
