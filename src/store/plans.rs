//! What is asked all the time goes along an index, however many rows there are. Without statistics SQLite believes that
//! a tenant has ten rows and reads them all; so the plan of every hot statement is looked at here, as it was asked.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sea_orm::{ConnectionTrait, DatabaseBackend, Statement};

use super::dirty::{DirtyKind, Subject};
use super::report::ReportFilter;
use super::{Direction, Store};
use crate::domain::customer::ChannelKind;
use crate::domain::delivery::{AttemptOutcome, DeliveryState};
use crate::domain::id::{AnnouncementId, ClusterId, CustomerId, DefectId, DeliveryId, OperationId, ReportId, TenantId};
use crate::domain::ledger::StatementState;
use crate::domain::report::LoopState;
use crate::domain::time::Timestamp;

const NOW: Timestamp = Timestamp::from_micros(1_000_000);

/// As many as a page or a batch has: with few, even a bad plan looks good.
const MANY: usize = 200;

fn many<T>(new: impl Fn() -> T) -> Vec<T> {
    std::iter::repeat_with(new).take(MANY).collect()
}

/// A step of a plan that reads more than what was asked for.
fn is_bad(step: &str) -> bool {
    // Links are few, and an index of a few rows may be read from end to end.
    let small = step.contains("cluster_defect") || step.contains("ix_report_regressed");
    step.contains("SCAN") && !small || step.ends_with("(tenant_id=?)")
}

#[tokio::test]
async fn what_is_asked_all_the_time_goes_along_an_index() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut store = Store::open_sqlite(&folder.path().join("test.db")).await.expect("a database");
    let scope = super::tenant::insert(&store, TenantId::new(), "acme", NOW).await.expect("a tenant");

    let asked: Arc<Mutex<Vec<Statement>>> = Arc::default();
    let (of_reads, of_writes) = (asked.clone(), asked.clone());
    store.read.set_metric_callback(move |info| of_reads.lock().expect("no panic").push(info.statement.clone()));
    store.write.set_metric_callback(move |info| of_writes.lock().expect("no panic").push(info.statement.clone()));
    let asked_for = ask_everything(&store, scope).await;
    asked_for.expect("every statement is understood");

    let asked = std::mem::take(&mut *asked.lock().expect("no panic"));
    assert!(asked.len() > 50, "{} statements were noted", asked.len());
    let mut bad = Vec::new();
    for statement in asked.into_iter().filter(|statement| !statement.sql.starts_with("INSERT")) {
        let sql = format!("EXPLAIN QUERY PLAN {}", statement.sql);
        let values = statement.values.map(|values| values.0).unwrap_or_default();
        let plan = Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values);
        let rows = store.write.query_all_raw(plan).await.expect("a plan");
        let steps: Vec<String> = rows.iter().map(|row| row.try_get("", "detail").expect("a step")).collect();
        if steps.iter().any(|step| is_bad(step)) {
            let sql: String = statement.sql.chars().take(300).collect();
            bad.push(format!("{sql}\n    {}", steps.join("\n    ")));
        }
    }
    assert!(bad.is_empty(), "{}", bad.join("\n"));
}

/// Everything that intake, the reconciler, the sender and lists ask again and again.
async fn ask_everything(store: &Store, scope: super::TenantScope) -> Result<(), super::StoreError> {
    let (clusters, customers) = (many(ClusterId::new), many(CustomerId::new));
    let (reports, deliveries, defects) = (many(ReportId::new), many(DeliveryId::new), many(DefectId::new));
    let (cluster, announcement, operation) = (clusters[0], AnnouncementId::new(), OperationId::new());
    let txn = store.begin_system(scope, NOW + Duration::from_secs(60)).await?;
    let db = txn.read();

    super::delivery::due(store, NOW, 64).await?;
    super::delivery::due_of_tenant(&db, ChannelKind::Stream, NOW, 64).await?;
    super::delivery::still_due(&txn, &deliveries[..64]).await?;
    super::delivery::by_ids(&db, deliveries.iter().copied()).await?;
    super::delivery::plan(&db, announcement, None, 1_000).await?;
    super::delivery::plan(&db, announcement, Some((customers[0], deliveries[0])), 1_000).await?;
    super::delivery::count_by_state(&db, announcement).await?;
    super::delivery::any_unfinished(&db, announcement).await?;
    super::delivery::stoppable(&db, announcement, 1_000).await?;
    super::delivery::release_approved(&txn, announcement).await?;
    super::delivery::finish(&txn, &deliveries, DeliveryState::Cancelled, "").await?;
    super::delivery::finish_attempt(&txn, deliveries[0], 1, AttemptOutcome::Retry, "").await?;
    super::delivery::attempts_of(&db, &deliveries).await?;
    for filter in [
        super::delivery::Filter { announcement_id: Some(announcement), ..Default::default() },
        super::delivery::Filter { cluster_id: Some(cluster), ..Default::default() },
        super::delivery::Filter { customer_id: Some(customers[0]), ..Default::default() },
    ] {
        super::delivery::list(&db, &filter, None, Direction::Ascending, 50).await?;
        super::delivery::list(&db, &filter, Some(deliveries[0]), Direction::Descending, 50).await?;
    }

    super::dirty::due(store, DirtyKind::Customer, NOW, 256).await?;
    super::dirty::find(&txn, Subject::Cluster(cluster)).await?;
    super::announcement::by_ids(&db, [announcement]).await?;
    super::announcement::open_of_clusters(&db, &clusters).await?;

    super::statement::reports_of(&db, &customers).await?;
    super::statement::customers_of_cluster(&db, cluster, None, 500).await?;
    super::statement::customers_of_cluster(&db, cluster, Some(customers[0]), 500).await?;
    super::statement::of_customers(&db, &customers).await?;
    super::statement::of_deliveries(&db, &deliveries).await?;
    super::statement::told(&txn, &deliveries, StatementState::Told).await?;
    super::statement::suppress(&txn, &deliveries, "").await?;
    super::statement::delete_of_deliveries(&txn, &deliveries).await?;
    super::statement::withdraw(&txn, customers[0], defects[0], 1).await?;
    let loops = reports.iter().map(|&report| (report, LoopState::Told, "told".to_owned()));
    super::statement::set_loops(&txn, loops.collect()).await?;

    super::customer::by_ids(&db, &customers).await?;
    super::customer::by_external_ids(&db, &many(|| "u-1".to_owned())).await?;
    super::customer::contact_points_of(&db, &customers).await?;
    let addresses = [ChannelKind::Email, ChannelKind::Stream].map(|channel| many(|| (channel, "a".to_owned())));
    super::customer::contact_points_by_address(&db, &addresses.concat()).await?;
    super::customer::installations_of(&db, &customers).await?;

    super::report::by_ids(&db, &reports).await?;
    super::report::by_references(&db, &[many(|| ("desk", "1")), many(|| ("mail", "1"))].concat()).await?;
    super::report::memberships(&db, &reports).await?;
    super::report::linked_customers(&db, &customers).await?;
    super::report::homes_of(&db, &customers).await?;
    let pairs = clusters.iter().copied().zip(customers.iter().copied());
    super::report::known_reporters(&db, pairs).await?;
    for filter in [
        ReportFilter { loop_state: Some(LoopState::Open), ..Default::default() },
        ReportFilter { cluster: Some(cluster), ..Default::default() },
        ReportFilter { cluster: Some(cluster), loop_state: Some(LoopState::Open), ..Default::default() },
        ReportFilter { customer: Some(customers[0]), ..Default::default() },
    ] {
        super::report::list(&db, &filter, Direction::Descending, None, 50).await?;
        super::report::list(&db, &filter, Direction::Ascending, Some(reports[0]), 50).await?;
    }

    super::vector::of_reports(&db, "m", &reports).await?;
    super::vector::of_texts(&db, "m", &many(|| "h".to_owned())).await?;
    super::vector::forget_others(&txn, "m", NOW, 1_000).await?;
    super::vector::erase(&txn, &reports).await?;

    super::cluster::by_ids(&db, &clusters).await?;
    super::cluster::links_of(&db, &clusters).await?;
    super::cluster::loops(&db, &clusters).await?;
    super::cluster::released_fixes(&db, &defects).await?;
    super::cluster::stale_linked(store, NOW, 256).await?;
    super::cluster::recount(&txn, &clusters[..2]).await?;
    super::second_look::next_tenant(store, None).await?;
    super::second_look::next_tenant(store, Some(scope)).await?;
    super::second_look::due(&db, None, 4).await?;
    super::second_look::due(&db, Some(cluster), 4).await?;
    super::second_look::looked_at(&txn, cluster, 1, 1).await?;
    super::suggestion::proposals_about(&db, &clusters[..2]).await?;
    super::suggestion::flagged(&db, &clusters).await?;
    super::suggestion::pending_of_members(&db, cluster).await?;
    super::operation::standing_merge_of(&db, cluster).await?;
    super::operation::moved_since(&db, operation).await?;
    super::operation::customers_of(&db, operation, 1_000).await?;
    super::constraint::of_report(&db, reports[0]).await?;
    super::constraint::take_back(&txn, operation).await?;
    super::defect::by_ids(&db, &defects).await?;
    super::release::fixes_of_defects(&db, &defects).await?;
    super::event::after(&db, 0, 100).await?;
    txn.commit().await?;
    Ok(())
}
