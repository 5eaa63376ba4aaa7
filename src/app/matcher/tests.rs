//! Restarts: an index from its snapshot is the index that reading everything gives.

use futures::future::join_all;

use super::*;
use crate::app::intake::Patience;
use crate::app::intake::tests::{Scene, report};
use crate::domain::violation::Violations;
use crate::matching::Text;

const THINGS: [&str; 8] = ["invoice", "calendar", "gallery", "printer", "search", "editor", "payment", "timeline"];

fn title(n: usize) -> String {
    let (thing, other) = (THINGS[n % 8], THINGS[n / 8 % 8]);
    format!("The {thing} loses its {other}{n} when the window of part{n} closes")
}

/// A tenant with enough reports to be worth a snapshot, and the folder of its snapshots.
async fn scene() -> (Scene, tempfile::TempDir) {
    let (scene, folder) = (Scene::new().await, tempfile::tempdir().expect("a folder"));
    scene.app.matcher.keep_snapshots_in(folder.path().join("indexes"));
    let submits = (0..90).map(|n| {
        let new = report(&n.to_string(), &title(n));
        scene.app.submit_report(&scene.call, new, Violations::new(), Patience::Wait)
    });
    join_all(submits).await.into_iter().for_each(|one| drop(one.expect("accepted")));
    (scene, folder)
}

fn file(scene: &Scene, folder: &tempfile::TempDir) -> PathBuf {
    Snapshots::new(folder.path().join("indexes")).place(scene.call.scope.tenant())
}

fn answers(index: &IndexGuard) -> Vec<(Placement, Vec<Candidate>)> {
    let ask = |n| {
        let title = format!("{} and {}", title(n), THINGS[n % 5]);
        let features = Features::of(&Text { product: None, fingerprint: None, title: &title, body: "" });
        index.place_among(&features, 10)
    };
    (0..100).step_by(3).map(ask).collect()
}

/// Another process starts, with the snapshots that are in the folder; and one without any, which reads everything. Fails
/// unless they are the same. Answers whether the first took its index from a snapshot.
async fn starts_from_snapshot(scene: &Scene, folder: &tempfile::TempDir) -> bool {
    let (with, without) = (scene.replica().await, scene.replica().await);
    with.matcher.keep_snapshots_in(folder.path().join("indexes"));
    let with = with.current_index(scene.call.scope).await.expect("read");
    let without = without.current_index(scene.call.scope).await.expect("read");
    assert_eq!(answers(&with), answers(&without));
    assert_eq!(with.index.report_count(), without.index.report_count());
    assert_eq!(with.apart, without.apart);
    assert_eq!((with.sequence, without.saved), (without.sequence, 0));
    with.saved > 0
}

#[tokio::test]
async fn law_4_a_restart_goes_on_from_the_snapshot_and_sees_what_came_since() {
    let (scene, folder) = scene().await;
    scene.app.save_indexes(Save::Last).await.expect("saved");
    assert!(starts_from_snapshot(&scene, &folder).await);
    scene.report("later", &title(0)).await;
    let one = scene.report("another", "Something that nobody has said before").await;
    assert!(starts_from_snapshot(&scene, &folder).await);
    // What people did is in the log as well: a report moved, and with it a constraint; two clusters made one.
    let moved = scene.app.move_report(&scene.call, one.report.id, None, "not this").await.expect("moved");
    drop(moved);
    let (from, into) = (scene.report("a", &title(3)).await, scene.report("b", &title(5)).await);
    let merge = scene.app.merge_clusters(
        &scene.call,
        from.membership.cluster_id,
        into.membership.cluster_id,
        "they are the same",
    );
    merge.await.expect("merged");
    assert!(starts_from_snapshot(&scene, &folder).await);
}

#[tokio::test]
async fn a_snapshot_with_constraints_is_no_different_from_reading_them() {
    let (scene, folder) = scene().await;
    let twin = scene.report("twin", &title(1)).await;
    scene.app.move_report(&scene.call, twin.report.id, None, "another problem").await.expect("moved");
    scene.app.current_index(scene.call.scope).await.expect("caught up");
    scene.app.save_indexes(Save::Last).await.expect("saved");
    assert!(starts_from_snapshot(&scene, &folder).await);
}

#[tokio::test]
async fn a_damaged_snapshot_costs_time_and_nothing_else() {
    let (scene, folder) = scene().await;
    scene.app.save_indexes(Save::Last).await.expect("saved");
    let file = file(&scene, &folder);
    let whole = std::fs::read(&file).expect("it is there");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 4;
    for bytes in [&flipped[..], &whole[..whole.len() - 100], b"", b"something else altogether"] {
        std::fs::write(&file, bytes).expect("written");
        assert!(!starts_from_snapshot(&scene, &folder).await);
    }
    std::fs::write(&file, whole).expect("written");
    assert!(starts_from_snapshot(&scene, &folder).await);
}

#[tokio::test]
async fn a_snapshot_of_another_history_or_tenant_is_not_used() {
    let (scene, folder) = scene().await;
    let tenant = scene.call.scope.tenant();
    let index = scene.app.current_index(scene.call.scope).await.expect("read");
    let (sequence, db) = (index.sequence, scene.reader());
    let event = event_at(&db, sequence).await.expect("read").expect("an event");
    let right = Stamp { tenant: tenant.uuid(), sequence, event };
    drop(index);
    for (stamp, is_used) in [
        (right, true),
        // A database that was put back to an earlier state, and one that then went on.
        (Stamp { sequence: sequence + 1, ..right }, false),
        (Stamp { event: uuid::Uuid::from_u128(1), ..right }, false),
        (Stamp { tenant: uuid::Uuid::from_u128(1), ..right }, false),
    ] {
        let index = scene.app.current_index(scene.call.scope).await.expect("read");
        let snapshots = scene.app.matcher.snapshots.get().expect("they are kept");
        snapshots.write(tenant, index, stamp).await.expect("written");
        assert_eq!(starts_from_snapshot(&scene, &folder).await, is_used, "{stamp:?}");
    }
}

#[tokio::test]
async fn a_snapshot_is_written_when_there_is_news_enough_and_leaves_nothing_beside_it() {
    let (scene, folder) = scene().await;
    scene.app.save_indexes(Save::NowAndThen).await.expect("asked");
    assert!(!file(&scene, &folder).exists(), "a young tenant is read as quickly");
    scene.app.save_indexes(Save::Last).await.expect("saved");
    let written = std::fs::read(file(&scene, &folder)).expect("it is there");
    scene.report("later", &title(0)).await;
    scene.app.save_indexes(Save::Last).await.expect("asked");
    assert_eq!(std::fs::read(file(&scene, &folder)).expect("it is there"), written, "one report is no news");
    assert_eq!(std::fs::read_dir(folder.path().join("indexes")).expect("a folder").count(), 1);
}
