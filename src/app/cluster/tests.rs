//! What people do with clusters, against a real database.

use crate::app::intake::tests::{Scene, report};
use crate::domain::cluster::{ClusterState, OperationKind};
use crate::domain::event::Event;
use crate::domain::id::ReportId;
use crate::domain::report::{Membership, Origin};
use crate::domain::time::Timestamp;
use crate::store::report::PlacedReport;

use super::operation::NewSplit;
use super::*;

const CRASH: &str = "Export to PDF crashes with FontNotFoundException";
const SLOW: &str = "Synchronising the calendar takes twenty minutes";

impl Scene {
    async fn home(&self, report: ReportId) -> ClusterId {
        self.app.get_report(&self.call, report).await.expect("is there").membership.cluster_id
    }

    /// The places of these reports, without the time at which they came there.
    async fn places(&self, reports: &[&PlacedReport]) -> Vec<Membership> {
        let ids: Vec<ReportId> = reports.iter().map(|placed| placed.report.id).collect();
        let mut places = store::report::memberships(&self.reader(), &ids).await.expect("reads");
        places.sort_by_key(|place| place.report_id);
        for place in &mut places {
            place.update_time = Timestamp::default();
        }
        places
    }

    async fn links(&self, cluster: ClusterId) -> Vec<DefectId> {
        self.app.get_cluster(&self.call, cluster).await.expect("is there").defects
    }

    async fn link(&self, cluster: ClusterId, defect: &str) -> ClusterView {
        let defect = defect.parse().expect("a defect");
        self.app.link_defect(&self.call, cluster, &defect).await.expect("linked").result
    }

    async fn merge(&self, from: ClusterId, into: ClusterId) -> operation::Merged {
        self.app.merge_clusters(&self.call, from, into, "the same").await.expect("merged").result
    }

    async fn move_report(&self, report: &PlacedReport, target: Option<ClusterId>) -> operation::Moved {
        self.app.move_report(&self.call, report.report.id, target, "no").await.expect("moved").result
    }

    async fn undo(&self, operation: &crate::domain::cluster::Operation) -> Result<(), Error> {
        self.app.undo_operation(&self.call, operation.id).await.map(drop)
    }

    async fn events(&self) -> Vec<Event> {
        store::event::after(&self.reader(), 0, 1_000).await.expect("reads")
    }
}

#[tokio::test]
async fn law_5_a_merge_is_undone_exactly() {
    let scene = Scene::new().await;
    let [a1, a2, b1] = [scene.report("1", CRASH).await, scene.report("2", CRASH).await, scene.report("3", SLOW).await];
    let (a, b) = (a1.membership.cluster_id, b1.membership.cluster_id);
    scene.link(a, "github:acme/app#1").await;
    scene.link(a, "github:acme/app#2").await;
    scene.link(b, "github:acme/app#2").await;
    let (before_a, before_b) = (scene.links(a).await, scene.links(b).await);
    let places = scene.places(&[&a1, &a2, &b1]).await;

    let merged = scene.merge(a, b).await;
    assert_eq!((merged.cluster.cluster.report_count, merged.cluster.cluster.reporter_count), (3, 3));
    assert_eq!(scene.links(b).await.len(), 2);
    let gone = scene.cluster(a).await;
    assert_eq!((gone.state, gone.merged_into_cluster_id, gone.report_count), (ClusterState::Merged, Some(b), 0));
    let place = &scene.places(&[&a1]).await[0];
    assert_eq!((place.cluster_id, place.origin, place.reason.as_str()), (b, Origin::Human, "the same"));
    // Matching goes where people said.
    assert_eq!(scene.report("4", CRASH).await.membership.cluster_id, b);
    scene.link(b, "github:acme/app#3").await;
    scene.assert_counted().await;

    scene.undo(&merged.operation).await.expect("undone");
    assert_eq!(scene.places(&[&a1, &a2, &b1]).await, places);
    assert_eq!(scene.links(a).await, before_a);
    assert_eq!(scene.links(b).await.len(), before_b.len() + 1, "what a person linked later stays");
    let back = scene.cluster(a).await;
    assert_eq!((back.state, back.merged_into_cluster_id, back.report_count), (ClusterState::Linked, None, 2));
    scene.assert_counted().await;
    let again = scene.undo(&merged.operation).await;
    assert!(matches!(again, Err(Error::WrongState { .. })), "once");
}

#[tokio::test]
async fn law_5_what_a_person_moved_away_stays_away_and_so_do_its_twins() {
    let scene = Scene::new().await;
    let [first, second] = [scene.report("1", CRASH).await, scene.report("2", CRASH).await];
    let left = first.membership.cluster_id;
    let moved = scene.move_report(&second, None).await;
    let own = moved.placed.membership.cluster_id;
    assert_ne!(own, left);
    assert_eq!(moved.operation.kind, OperationKind::Move);
    assert_eq!(scene.report("3", CRASH).await.membership.cluster_id, own, "people outrank the matcher");
    scene.assert_counted().await;

    scene.undo(&moved.operation).await.expect("undone");
    assert_eq!(scene.home(second.report.id).await, left);
    assert_eq!(scene.places(&[&second]).await[0].origin, Origin::Matched);
    assert_eq!(scene.cluster(own).await.merged_into_cluster_id, None, "another report has come since");
    scene.assert_counted().await;
}

#[tokio::test]
async fn law_5_a_newer_word_lifts_an_older_one_until_it_is_taken_back() {
    let scene = Scene::new().await;
    let [first, second] = [scene.report("1", CRASH).await, scene.report("2", CRASH).await];
    let left = first.membership.cluster_id;
    let away = scene.move_report(&second, None).await;
    let own = away.placed.membership.cluster_id;
    let held = || async { store::constraint::list(&scene.reader(), None, 10).await.expect("reads").len() };
    assert_eq!(held().await, 1);
    let merged = scene.merge(own, left).await;
    assert_eq!(held().await, 0, "they belong together after all");
    assert_eq!(scene.report("3", CRASH).await.membership.cluster_id, left);
    scene.undo(&merged.operation).await.expect("undone");
    assert_eq!(held().await, 1);

    let back = scene.move_report(&second, Some(left)).await;
    let constraints = store::constraint::list(&scene.reader(), None, 10).await.expect("reads");
    let said: Vec<_> = constraints.iter().map(|constraint| (constraint.report_id, constraint.cluster_id)).collect();
    assert_eq!(said, [(second.report.id, own)], "only the newest word");
    scene.undo(&back.operation).await.expect("undone");
    scene.undo(&away.operation).await.expect("undone");
    assert_eq!(held().await, 0);
    let emptied = scene.cluster(own).await;
    assert_eq!((emptied.state, emptied.merged_into_cluster_id), (ClusterState::Merged, Some(left)));
}

#[tokio::test]
async fn law_5_a_split_is_obeyed_and_undone() {
    let scene = Scene::new().await;
    let [a, b, c] = [scene.report("1", CRASH).await, scene.report("2", CRASH).await, scene.report("3", CRASH).await];
    let cluster = a.membership.cluster_id;
    let split = |report_ids: Vec<ReportId>| NewSplit {
        cluster_id: cluster,
        report_ids,
        title: String::new(),
        reason: "two fonts".to_owned(),
    };
    let all = vec![a.report.id, b.report.id, c.report.id];
    assert!(matches!(scene.app.split_cluster(&scene.call, split(all)).await, Err(Error::Invalid(_))));
    let stranger = scene.report("4", SLOW).await;
    let wrong = scene.app.split_cluster(&scene.call, split(vec![a.report.id, stranger.report.id])).await;
    let Err(Error::Invalid(violations)) = wrong else { panic!("was split") };
    assert_eq!(violations.iter().map(|v| v.field.as_str()).collect::<Vec<_>>(), ["report_ids[1]"]);

    let places = scene.places(&[&a, &b, &c]).await;
    let done = scene.app.split_cluster(&scene.call, split(vec![b.report.id, c.report.id])).await.expect("split").result;
    assert_eq!((done.new_cluster.cluster.report_count, done.remaining_cluster.cluster.report_count), (2, 1));
    assert_eq!(done.new_cluster.cluster.title, CRASH);
    assert_eq!(scene.report("5", CRASH).await.membership.cluster_id, done.new_cluster.cluster.id);
    let undone = scene.app.undo_operation(&scene.call, done.operation.id).await.expect("undone").result;
    assert!(undone.undo_time.is_some());
    assert_eq!(scene.places(&[&a, &b, &c]).await, places);
    scene.assert_counted().await;
}

#[tokio::test]
async fn law_5_a_step_is_not_undone_under_a_later_one() {
    let scene = Scene::new().await;
    let [first, second, third] =
        [scene.report("1", CRASH).await, scene.report("2", CRASH).await, scene.report("3", SLOW).await];
    let (a, c) = (first.membership.cluster_id, third.membership.cluster_id);
    let moved = scene.move_report(&second, None).await;
    let b = moved.placed.membership.cluster_id;
    let merged = scene.merge(b, c).await;
    let Err(Error::WrongState { problem, .. }) = scene.undo(&moved.operation).await else { panic!("was undone") };
    assert!(problem.contains(&merged.operation.id.to_string()), "{problem}");
    scene.undo(&merged.operation).await.expect("undone");

    let merged = scene.merge(a, c).await;
    let Err(Error::WrongState { problem, .. }) = scene.undo(&moved.operation).await else { panic!("was undone") };
    assert!(problem.contains(&merged.operation.id.to_string()), "its first home is gone: {problem}");
    scene.undo(&merged.operation).await.expect("undone");
    scene.undo(&moved.operation).await.expect("undone");
    assert_eq!(scene.home(second.report.id).await, a);
    scene.assert_counted().await;
}

#[tokio::test]
async fn what_was_merged_is_not_worked_on_and_names_where_it_went() {
    let scene = Scene::new().await;
    let [a, b, c] = [
        scene.report("1", CRASH).await,
        scene.report("2", SLOW).await,
        scene.report("3", "The invoice shows the wrong currency").await,
    ];
    let [a, b, c] = [a, b, c].map(|placed| placed.membership.cluster_id);
    scene.merge(a, b).await;
    scene.merge(b, c).await;
    for result in [
        scene.app.merge_clusters(&scene.call, a, c, "").await.map(drop),
        scene.app.merge_clusters(&scene.call, c, b, "").await.map(drop),
        scene.app.update_cluster(&scene.call, a, "", ClusterChange::default()).await.map(drop),
        scene.app.link_defect(&scene.call, a, &"github:acme/app#1".parse().expect("a defect")).await.map(drop),
    ] {
        let Err(Error::WrongState { problem, .. }) = result else { panic!("was done") };
        assert!(problem.contains(&c.to_string()), "{problem}");
    }
    assert!(scene.app.merge_clusters(&scene.call, c, c, "").await.is_err());
    assert_eq!(scene.report("4", CRASH).await.membership.cluster_id, c);
}

#[tokio::test]
async fn two_people_do_not_overwrite_each_other() {
    let scene = Scene::new().await;
    let id = scene.report("1", CRASH).await.membership.cluster_id;
    let change = |title: &str| ClusterChange { title: Some(title.to_owned()), ..ClusterChange::default() };
    let first = scene.app.update_cluster(&scene.call, id, "1", change("Fonts")).await.expect("updated").result;
    assert_eq!((first.cluster.title.as_str(), first.cluster.version), ("Fonts", 2));
    let stale = scene.app.update_cluster(&scene.call, id, "1", change("PDF")).await;
    assert!(matches!(stale, Err(Error::StaleEtag { .. })));
    scene.report("2", CRASH).await;
    scene.app.update_cluster(&scene.call, id, "2", change("PDF")).await.expect("a report is no person's change");
}

#[tokio::test]
async fn law_6_the_state_follows_from_defects_and_releases() {
    let scene = Scene::new().await;
    let new = crate::domain::report::NewReport { product: "app".to_owned(), ..report("1", CRASH) };
    let id = scene.submit(new).await.placed.membership.cluster_id;
    assert_eq!(scene.cluster(id).await.state, ClusterState::Open);
    assert_eq!(scene.link(id, "github:acme/app#1").await.cluster.state, ClusterState::Linked);
    let defect: DefectRef = "github:acme/app#1".parse().expect("a defect");
    let again = scene.app.link_defect(&scene.call, id, &defect).await.expect("linked");
    assert!(again.replayed);
    scene.release("2.4.1", defect.clone()).await;
    let mut txn = scene.app.begin(&scene.call).await.expect("begins");
    refresh_states(&mut txn, &[id]).await.expect("refreshes");
    txn.commit().await.expect("commits");
    assert_eq!(scene.cluster(id).await.state, ClusterState::FixReleased);
    let unlinked = scene.app.unlink_defect(&scene.call, id, &defect).await.expect("unlinked");
    assert_eq!((unlinked.replayed, unlinked.result.cluster.state), (false, ClusterState::Open));
}

#[tokio::test]
async fn law_15_every_step_is_an_event_without_a_gap() {
    let scene = Scene::new().await;
    let [a, b] = [scene.report("1", CRASH).await, scene.report("2", SLOW).await];
    let merged = scene.merge(a.membership.cluster_id, b.membership.cluster_id).await;
    scene.undo(&merged.operation).await.expect("undone");
    let events = scene.events().await;
    let sequences: Vec<i64> = events.iter().map(|event| event.sequence).collect();
    assert_eq!(sequences, (1..=i64::try_from(events.len()).expect("few")).collect::<Vec<_>>());
    let of_clusters: Vec<&str> =
        events.iter().map(|event| event.kind.as_str()).filter(|kind| !kind.starts_with("customer.")).collect();
    assert_eq!(
        of_clusters,
        [
            "cluster.created",
            "report.submitted",
            "cluster.created",
            "report.submitted",
            "cluster.merged",
            "cluster.state_changed",
            "operation.undone",
            "cluster.state_changed",
        ]
    );
}

#[tokio::test]
async fn law_5_a_link_of_several_merges_goes_with_the_last_of_them_in_any_order() {
    const TEXTS: [&str; 4] =
        [CRASH, SLOW, "The invoice shows the wrong currency", "Dark mode hides the text of every button"];
    for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0], [1, 0, 2]] {
        let scene = Scene::new().await;
        let mut clusters = Vec::new();
        for (number, text) in TEXTS.iter().enumerate() {
            clusters.push(scene.report(&number.to_string(), text).await.membership.cluster_id);
        }
        let into = clusters[3];
        let mut merges = Vec::new();
        for &from in &clusters[..3] {
            scene.link(from, "github:acme/app#1").await;
            merges.push(scene.merge(from, into).await.operation);
        }
        for (place, &merge) in order.iter().enumerate() {
            assert_eq!(scene.links(into).await.len(), 1, "{order:?} at {place}");
            scene.undo(&merges[merge]).await.expect("undone");
        }
        assert!(scene.links(into).await.is_empty(), "{order:?}");
    }
}

#[tokio::test]
async fn law_5_a_link_that_a_person_took_away_does_not_come_back_with_an_older_merge() {
    let scene = Scene::new().await;
    let [a, b, c] = [
        scene.report("1", CRASH).await,
        scene.report("2", SLOW).await,
        scene.report("3", "The invoice shows the wrong currency").await,
    ];
    let [a, b, c] = [a, b, c].map(|placed| placed.membership.cluster_id);
    let defect: DefectRef = "github:acme/app#1".parse().expect("a defect");
    scene.link(a, "github:acme/app#1").await;
    scene.link(b, "github:acme/app#1").await;
    scene.merge(a, c).await;
    scene.app.unlink_defect(&scene.call, c, &defect).await.expect("unlinked");
    let later = scene.merge(b, c).await;
    assert_eq!(scene.links(c).await.len(), 1);
    scene.undo(&later.operation).await.expect("undone");
    assert!(scene.links(c).await.is_empty(), "the person's word about the older merge stands");
}
