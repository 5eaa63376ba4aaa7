//! What embedders beside the built-in table say of reports, kept so that nobody is asked twice: neither after a restart,
//! nor by another replica, nor for another report of the same words.

use sea_orm::sea_query::{OnConflict, Query};
use sea_orm::{ActiveValue::Set, ColumnTrait, Condition, EntityTrait, QueryFilter, QuerySelect};

use crate::domain::id::ReportId;
use crate::domain::time::Timestamp;

use super::entity::report_vector::{ActiveModel, Column, Entity};
use super::error::StoreError;
use super::{Reader, Txn, chunks};

/// One embedder's word on one report.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportVector {
    /// Which report.
    pub report_id: ReportId,
    /// Of the text that the embedder was given.
    pub text_hash: String,
    /// What it said, as the matcher keeps it.
    pub vector: Vec<u8>,
}

/// Keeps what an embedder said. What is there stays.
pub async fn insert(txn: &Txn, embedder: &str, vectors: Vec<ReportVector>) -> Result<(), StoreError> {
    let rows = vectors.into_iter().map(|vector| ActiveModel {
        report_id: Set(vector.report_id),
        embedder: Set(embedder.to_owned()),
        tenant_id: Set(txn.scope().tenant()),
        text_hash: Set(vector.text_hash),
        vector: Set(vector.vector),
        create_time: Set(txn.now()),
    });
    for chunk in chunks(rows) {
        Entity::insert_many(chunk)
            .on_conflict(
                OnConflict::columns([Column::TenantId, Column::ReportId, Column::Embedder]).do_nothing().to_owned(),
            )
            .exec_without_returning(txn.db())
            .await?;
    }
    Ok(())
}

/// What an embedder said of these reports, in any order. What is not known is left out.
pub async fn of_reports(
    db: &Reader<'_>,
    embedder: &str,
    reports: &[ReportId],
) -> Result<Vec<(ReportId, Vec<u8>)>, StoreError> {
    let mut found = Vec::with_capacity(reports.len());
    for chunk in chunks(reports.iter().copied()) {
        let rows: Vec<(ReportId, Vec<u8>)> = Entity::find()
            .select_only()
            .columns([Column::ReportId, Column::Vector])
            .filter(Column::ReportId.is_in(chunk))
            .filter(Column::Embedder.eq(embedder))
            .filter(Column::TenantId.eq(db.tenant()))
            .into_tuple()
            .all(db.db())
            .await?;
        found.extend(rows);
    }
    Ok(found)
}

/// What an embedder said of these texts of the tenant, by their hashes. What is not known is left out; what is known of
/// several reports may come several times.
pub async fn of_texts(
    db: &Reader<'_>,
    embedder: &str,
    hashes: &[String],
) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
    let mut found = Vec::with_capacity(hashes.len());
    for chunk in chunks(hashes.iter().cloned()) {
        let rows: Vec<(String, Vec<u8>)> = Entity::find()
            .select_only()
            .columns([Column::TextHash, Column::Vector])
            .distinct()
            .filter(Column::TenantId.eq(db.tenant()))
            .filter(Column::Embedder.eq(embedder))
            .filter(Column::TextHash.is_in(chunk))
            .into_tuple()
            .all(db.db())
            .await?;
        found.extend(rows);
    }
    Ok(found)
}

/// Forgets what other embedders said before a moment; returns how much that was. Call it again while it is not 0.
pub async fn forget_others(txn: &Txn, embedder: &str, before: Timestamp, limit: u64) -> Result<u64, StoreError> {
    let mut forgotten = 0;
    // Two ranges, each along the index; "another than" would read every vector there is.
    for others in [Column::Embedder.lt(embedder), Column::Embedder.gt(embedder)] {
        let which = Condition::all()
            .add(Column::TenantId.eq(txn.scope().tenant()))
            .add(others.clone())
            .add(Column::CreateTime.lt(before));
        let some =
            Query::select().column(Column::ReportId).from(Entity).cond_where(which.clone()).limit(limit).to_owned();
        let deleted =
            Entity::delete_many().filter(Column::ReportId.in_subquery(some)).filter(which).exec(txn.db()).await?;
        forgotten += deleted.rows_affected;
    }
    Ok(forgotten)
}

/// Forgets what all embedders said of these reports, whose texts are erased (law 14).
pub async fn erase(txn: &Txn, reports: &[ReportId]) -> Result<(), StoreError> {
    for chunk in chunks(reports.iter().copied()) {
        Entity::delete_many()
            .filter(Column::ReportId.is_in(chunk))
            .filter(Column::TenantId.eq(txn.scope().tenant()))
            .exec(txn.db())
            .await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::id::TenantId;
    use crate::store::{Store, TenantScope, tenant};

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    async fn scene() -> (Store, TenantScope, TenantScope, tempfile::TempDir) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open_sqlite(&folder.path().join("test.db")).await.expect("a database");
        let one = tenant::insert(&store, TenantId::new(), "one", NOW).await.expect("a tenant");
        let other = tenant::insert(&store, TenantId::new(), "other", NOW).await.expect("a tenant");
        (store, one, other, folder)
    }

    fn vector(report: ReportId, hash: &str) -> ReportVector {
        ReportVector { report_id: report, text_hash: hash.to_owned(), vector: vec![1, 2, 3] }
    }

    async fn keep(store: &Store, scope: TenantScope, embedder: &str, now: Timestamp, vectors: Vec<ReportVector>) {
        let txn = store.begin_system(scope, now).await.expect("a transaction");
        insert(&txn, embedder, vectors).await.expect("they are kept");
        txn.commit().await.expect("a commit");
    }

    #[tokio::test]
    async fn law_13_a_vector_is_seen_by_its_tenant_and_under_its_embedder_only() {
        let (store, one, other, _folder) = scene().await;
        let report = ReportId::new();
        keep(&store, one, "a", NOW, vec![vector(report, "h")]).await;
        // Twice is once.
        keep(&store, one, "a", NOW, vec![vector(report, "h")]).await;
        for (scope, embedder, count) in [(one, "a", 1), (one, "b", 0), (other, "a", 0)] {
            let db = store.reader(scope);
            assert_eq!(of_reports(&db, embedder, &[report]).await.expect("read").len(), count);
            assert_eq!(of_texts(&db, embedder, &["h".to_owned()]).await.expect("read").len(), count);
        }
    }

    #[tokio::test]
    async fn law_14_what_is_erased_is_gone_with_every_embedder_and_its_neighbours_stay() {
        let (store, one, other, _folder) = scene().await;
        let (gone, stays) = (ReportId::new(), ReportId::new());
        for embedder in ["a", "b"] {
            keep(&store, one, embedder, NOW, vec![vector(gone, "h"), vector(stays, "i")]).await;
        }
        for (scope, left) in [(other, 2), (one, 1)] {
            let txn = store.begin_system(scope, NOW).await.expect("a transaction");
            erase(&txn, &[gone]).await.expect("erased");
            txn.commit().await.expect("a commit");
            for embedder in ["a", "b"] {
                let found = of_reports(&store.reader(one), embedder, &[gone, stays]).await.expect("read");
                assert_eq!(found.len(), left, "{embedder}");
            }
        }
    }

    #[tokio::test]
    async fn what_other_embedders_said_is_forgotten_when_it_is_old() {
        let (store, one, _, _folder) = scene().await;
        let later = NOW + Duration::from_secs(60);
        let reports: Vec<ReportId> = (0..5).map(|_| ReportId::new()).collect();
        for (embedder, time) in [("a", NOW), ("m", NOW), ("z", NOW), ("y", later)] {
            keep(&store, one, embedder, time, reports.iter().map(|&report| vector(report, "h")).collect()).await;
        }
        let mut forgotten = Vec::new();
        loop {
            let txn = store.begin_system(one, later).await.expect("a transaction");
            let some = forget_others(&txn, "m", later, 3).await.expect("forgotten");
            txn.commit().await.expect("a commit");
            if some == 0 {
                break;
            }
            forgotten.push(some);
        }
        assert_eq!(forgotten, [6, 4], "bounded, from both sides");
        for (embedder, left) in [("a", 0), ("m", 5), ("y", 5), ("z", 0)] {
            let found = of_reports(&store.reader(one), embedder, &reports).await.expect("read");
            assert_eq!(found.len(), left, "{embedder}");
        }
    }
}
