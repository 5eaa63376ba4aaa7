//! Intake against a real database.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use futures::future::join_all;
use uuid::Uuid;

use crate::app::release::NewRelease;
use crate::channel::Channels;
use crate::clock::Clock;
use crate::domain::cluster::Cluster;
use crate::domain::coverage::{ReleaseState, Verdict};
use crate::domain::customer::{ChannelKind, ContactAddress};
use crate::domain::defect::DefectRef;
use crate::domain::id::{ApiKeyId, ClusterId};
use crate::domain::product::{Lines, Product};
use crate::domain::report::{Labels, NewReporter};
use crate::domain::scope::Scopes;
use crate::domain::time::Timestamp;
use crate::domain::version::VersionScheme;
use crate::store::cluster::ClusterFilter;
use crate::store::{PostgresOptions, Store, tenant};

use super::*;

/// A tenant with a product, and a key that may do everything.
pub(in crate::app) struct Scene {
    pub(in crate::app) app: Arc<App>,
    pub(in crate::app) call: Call,
    folder: tempfile::TempDir,
}

fn start() -> Timestamp {
    Timestamp::from_micros(1_000_000)
}

/// A fresh file; or, where `TEST_DATABASE_URL` says so, a Postgres whose tenants are as good as databases of their own.
async fn open(folder: &Path) -> Store {
    let Ok(url) = std::env::var("TEST_DATABASE_URL") else {
        return Store::open_sqlite(&folder.join("test.db")).await.expect("a database");
    };
    let timeout = Duration::from_secs(30);
    let options = PostgresOptions {
        max_connections: 4,
        min_connections: 0,
        acquire_timeout: timeout,
        statement_timeout: timeout,
    };
    Store::open_postgres(&url, &options).await.expect("a database")
}

impl Scene {
    pub(in crate::app) async fn new() -> Self {
        Self::with_channels(Channels::default()).await
    }

    pub(in crate::app) async fn with_channels(channels: Channels) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = open(folder.path()).await;
        let scope = tenant::insert(&store, TenantId::new(), "Acme", start()).await.expect("a tenant");
        let txn = store.begin_system(scope, start()).await.expect("a transaction");
        let product = Product {
            id: ProductId::new(),
            tenant_id: scope.tenant(),
            key: "app".to_owned(),
            display_name: "App".to_owned(),
            version_scheme: VersionScheme::Semver,
            lines: Lines::default(),
            version: 1,
            create_time: start(),
        };
        tenant::insert_product(&txn, product).await.expect("a product");
        txn.commit().await.expect("a commit");
        let app = App::for_tests(store, Clock::manual(start()), channels);
        let call = Call { scope, key: ApiKeyId::new(), scopes: Scopes::default(), request_id: None, now: start() };
        Self { app, call, folder }
    }

    /// Another process on the same database, which knows nothing yet.
    pub(in crate::app) async fn replica(&self) -> Arc<App> {
        App::for_tests(open(self.folder.path()).await, Clock::manual(start()), Channels::default())
    }

    pub(in crate::app) async fn try_submit(&self, new: NewReport) -> Result<Accepted, Error> {
        self.app.submit_report(&self.call, new, Violations::new(), Patience::Refuse).await
    }

    pub(in crate::app) async fn submit(&self, new: NewReport) -> Accepted {
        self.try_submit(new).await.expect("accepted")
    }

    /// A report of this text by a customer of its own, in its place.
    pub(in crate::app) async fn report(&self, reference: &str, title: &str) -> PlacedReport {
        self.submit(report(reference, title)).await.placed
    }

    pub(in crate::app) fn reader(&self) -> Reader<'_> {
        self.app.read(&self.call)
    }

    pub(in crate::app) async fn cluster(&self, id: ClusterId) -> Cluster {
        store::cluster::find(&self.reader(), id).await.expect("reads").expect("is there")
    }

    /// A release of the product that fixes this defect, for everybody to have.
    pub(in crate::app) async fn release(&self, version: &str, defect: DefectRef) {
        let new = NewRelease {
            product: "app".to_owned(),
            version: version.to_owned(),
            line: String::new(),
            platforms: Vec::new(),
            state: ReleaseState::Released,
            defects: vec![defect],
        };
        self.app.record_release(&self.call, new, Violations::new()).await.expect("recorded");
    }

    /// Fails unless the counters of every cluster equal what a recount gives.
    pub(in crate::app) async fn assert_counted(&self) {
        let filter = store::report::ReportFilter::default();
        let all = store::report::list(&self.reader(), &filter, store::Direction::Ascending, None, 1_000).await;
        let mut counts: BTreeMap<ClusterId, (i64, HashSet<CustomerId>)> = BTreeMap::new();
        for placed in all.expect("reads").items {
            let (reports, reporters) = counts.entry(placed.membership.cluster_id).or_default();
            *reports += 1;
            reporters.insert(placed.report.customer_id);
        }
        for (id, (reports, reporters)) in counts {
            let cluster = self.cluster(id).await;
            let reporters = i64::try_from(reporters.len()).expect("few");
            assert_eq!((cluster.report_count, cluster.reporter_count), (reports, reporters), "{id}");
        }
    }
}

/// A report of this text by a customer of its own.
pub(in crate::app) fn report(reference: &str, title: &str) -> NewReport {
    NewReport {
        source: "zendesk".to_owned(),
        external_id: reference.to_owned(),
        reporter: NewReporter { external_id: Some(format!("customer of {reference}")), ..NewReporter::default() },
        title: title.to_owned(),
        ..NewReport::default()
    }
}

const CRASH: &str = "Export to PDF crashes with FontNotFoundException";

#[tokio::test(flavor = "multi_thread")]
async fn law_4_identical_reports_at_once_land_in_one_cluster() {
    let scene = Scene::new().await;
    let other = scene.replica().await;
    let submits = (0..60).map(|n| {
        let app = if n % 2 == 0 { &scene.app } else { &other };
        let mut new = report(&n.to_string(), CRASH);
        // Every customer reports twice.
        new.reporter.external_id = Some(format!("customer {}", n / 2));
        app.submit_report(&scene.call, new, Violations::new(), Patience::Wait)
    });
    let accepted: Vec<Accepted> = join_all(submits).await.into_iter().map(|one| one.expect("accepted")).collect();
    let clusters: BTreeSet<ClusterId> = accepted.iter().map(|one| one.placed.membership.cluster_id).collect();
    assert_eq!(clusters.len(), 1);
    let first = accepted.iter().filter(|one| one.placed.report.decision == PlacementDecision::New).count();
    assert_eq!(first, 1, "one began the cluster");
    let cluster = scene.cluster(*clusters.first().expect("one")).await;
    assert_eq!((cluster.report_count, cluster.reporter_count), (60, 30));
    scene.assert_counted().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn law_3_a_batch_that_is_stored_in_parts_counts_every_customer_once() {
    let scene = Scene::new().await;
    let problems = [CRASH, "Invoices show the wrong VAT rate", "The widget stays grey after midnight"];
    let submits = (0..60).map(|n| {
        let mut new = report(&n.to_string(), problems[n % 3]);
        // Four customers have each problem, and report it five times.
        new.reporter.external_id = Some(format!("customer {}", n % 12));
        scene.try_submit(new)
    });
    let accepted: Vec<Accepted> = join_all(submits).await.into_iter().map(|one| one.expect("accepted")).collect();
    let clusters: BTreeSet<ClusterId> = accepted.iter().map(|one| one.placed.membership.cluster_id).collect();
    assert_eq!(clusters.len(), 3);
    for cluster in clusters {
        let cluster = scene.cluster(cluster).await;
        assert_eq!((cluster.report_count, cluster.reporter_count), (20, 4));
    }
    scene.assert_counted().await;
}

#[tokio::test]
async fn law_4_after_a_restart_the_past_is_known() {
    let scene = Scene::new().await;
    let first = scene.report("1", CRASH).await;
    let restarted = scene.replica().await;
    let second = restarted
        .submit_report(&scene.call, report("2", CRASH), Violations::new(), Patience::Refuse)
        .await
        .expect("accepted");
    assert_eq!(second.placed.membership.cluster_id, first.membership.cluster_id);
    assert_eq!(second.known_problem.expect("a known one").cluster.report_count, 2);
    // And the first process hears of it from the log.
    let third = scene.submit(report("3", CRASH)).await;
    assert_eq!(third.known_problem.expect("a known one").cluster.report_count, 3);
}

#[tokio::test]
async fn law_2_a_report_sent_again_is_answered_as_before() {
    let scene = Scene::new().await;
    let first = scene.submit(report("1", CRASH)).await;
    let again = scene.submit(report("1", CRASH)).await;
    assert!(!first.replayed && again.replayed);
    assert_eq!(again.placed, first.placed);
    assert_eq!(scene.cluster(first.placed.membership.cluster_id).await.report_count, 1);
}

#[tokio::test]
async fn law_2_another_report_under_the_same_reference_is_refused_naming_what_differs() {
    let scene = Scene::new().await;
    scene.submit(report("1", CRASH)).await;
    let mut other = NewReport { version: Some("2.4.0".to_owned()), ..report("1", "Another title") };
    other.labels = Labels([("tier".to_owned(), "gold".to_owned())].into());
    other.reporter.external_id = Some("somebody else".to_owned());
    let Err(Error::KeyReused { key, fields }) = scene.try_submit(other).await else { panic!("was accepted") };
    assert_eq!(key, "report zendesk/1");
    assert_eq!(fields, ["report.title", "report.version", "report.labels", "report.reporter"]);
}

#[tokio::test]
async fn law_2_a_request_id_is_answered_once() {
    let mut scene = Scene::new().await;
    scene.call.request_id = Some(Uuid::from_u128(7));
    let first = scene.submit(report("1", CRASH)).await;
    let again = scene.submit(report("1", CRASH)).await;
    assert!(again.replayed);
    assert_eq!(again.placed.report.id, first.placed.report.id);
    let Err(Error::KeyReused { fields, .. }) = scene.try_submit(report("2", CRASH)).await else {
        panic!("was accepted")
    };
    assert_eq!(fields, ["report.external_id", "report.reporter.external_id"]);
}

#[tokio::test]
async fn law_2_the_same_report_sent_twice_at_once_is_stored_once() {
    let scene = Scene::new().await;
    let both = [scene.try_submit(report("1", CRASH)), scene.try_submit(report("1", CRASH))];
    let answers: Vec<Accepted> = join_all(both).await.into_iter().map(|one| one.expect("accepted")).collect();
    assert_eq!(answers[0].placed, answers[1].placed);
    assert!(answers[0].replayed != answers[1].replayed);
}

#[tokio::test]
async fn a_report_that_is_wrong_fails_alone() {
    let scene = Scene::new().await;
    let mut unknown = report("2", CRASH);
    unknown.reporter.customer_id = Some(CustomerId::new());
    let batch = [report("1", CRASH), unknown, report("3", CRASH)].map(|new| scene.try_submit(new));
    let answers = join_all(batch).await;
    assert!(answers[0].is_ok() && answers[2].is_ok());
    assert!(matches!(answers[1], Err(Error::NotFound { .. })));
    let unknown_product = NewReport { product: "nothing".to_owned(), ..report("4", CRASH) };
    assert!(matches!(scene.try_submit(unknown_product).await, Err(Error::Invalid(_))));
    scene.assert_counted().await;
}

#[tokio::test]
async fn a_caller_that_goes_away_loses_only_its_answer() {
    let scene = Scene::new().await;
    {
        let submit = scene.try_submit(report("1", CRASH));
        futures::pin_mut!(submit);
        assert!(futures::poll!(&mut submit).is_pending());
    }
    let again = scene.submit(report("1", CRASH)).await;
    assert!(again.replayed, "it was stored without its caller");
}

#[tokio::test]
async fn more_than_may_wait_is_refused() {
    let scene = Scene::new().await;
    let lane = scene.app.intake.lane(scene.call.scope.tenant());
    let full = lane.room.acquire_many(64).await.expect("room");
    assert!(matches!(scene.try_submit(report("1", CRASH)).await, Err(Error::Overloaded)));
    drop(full);
    scene.submit(report("1", CRASH)).await;
}

#[tokio::test]
async fn law_13_tenants_never_meet_in_matching() {
    let scene = Scene::new().await;
    let first = scene.report("1", CRASH).await;
    let scope = tenant::insert(&scene.app.store, TenantId::new(), "Other", start()).await.expect("a tenant");
    let call = Call { scope, ..scene.call.clone() };
    let theirs = scene
        .app
        .submit_report(&call, report("1", CRASH), Violations::new(), Patience::Refuse)
        .await
        .expect("accepted");
    assert_eq!(theirs.placed.report.decision, PlacementDecision::New);
    assert_ne!(theirs.placed.membership.cluster_id, first.membership.cluster_id);
    assert!(matches!(scene.app.get_report(&call, first.report.id).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn law_11_a_late_reporter_hears_at_once() {
    let scene = Scene::new().await;
    let ran = |reference: &str, version: &str| NewReport {
        product: "app".to_owned(),
        version: Some(version.to_owned()),
        ..report(reference, CRASH)
    };
    let first = scene.submit(ran("1", "2.4.0")).await;
    assert_eq!(first.fixed_in, None);
    assert_eq!(first.missing_facts, ["platform", "contact_point"]);
    let defect = "github:acme/app#12".parse().expect("a defect");
    let cluster = first.placed.membership.cluster_id;
    scene.app.link_defect(&scene.call, cluster, &defect).await.expect("linked");
    scene.release("2.4.1", defect).await;

    let late = scene.submit(ran("2", "2.4.0")).await;
    let fixed_in = late.fixed_in.expect("there is a fix");
    assert_eq!((fixed_in.verdict, fixed_in.version.as_deref()), (Verdict::UpgradeAvailable, Some("2.4.1")));
    assert_eq!(late.known_problem.expect("known").defects.len(), 1);
    let asked = scene
        .app
        .match_report(&scene.call, ran("", "2.4.0"), Violations::new(), &ClusterFilter::default(), 5)
        .await
        .expect("matched");
    assert_eq!(asked.fixed_in.expect("there is a fix").version.as_deref(), Some("2.4.1"));
    assert_eq!(asked.candidates.first().map(|(candidate, _)| candidate.cluster), Some(cluster));

    let regression = scene.submit(ran("3", "2.4.1")).await;
    assert_eq!(regression.fixed_in, None, "it did not help this customer");
    assert!(regression.known_problem.is_some());
}

#[tokio::test]
async fn a_dry_run_stores_nothing() {
    let scene = Scene::new().await;
    let first = scene.report("1", CRASH).await;
    for _ in 0..2 {
        let matched = scene
            .app
            .match_report(&scene.call, report("", CRASH), Violations::new(), &ClusterFilter::default(), 5)
            .await
            .expect("matched");
        assert_eq!(matched.placement.cluster, Some(first.membership.cluster_id));
        assert_eq!(matched.known_problem.expect("known").cluster.report_count, 1);
    }
}

#[tokio::test]
async fn reporters_are_asked_for_what_is_missing() {
    let scene = Scene::new().await;
    let mut complete = NewReport {
        product: "app".to_owned(),
        version: Some("1.0.0".to_owned()),
        platform: Some("ios".to_owned()),
        ..report("1", CRASH)
    };
    let address = "ada@example.org".to_owned();
    complete.reporter.contact_points = vec![ContactAddress { channel: Some(ChannelKind::Email), address }];
    assert!(scene.submit(complete.clone()).await.missing_facts.is_empty());
    complete.external_id = "2".to_owned();
    complete.reporter.contact_points.clear();
    complete.platform = None;
    assert_eq!(scene.submit(complete).await.missing_facts, ["platform"], "the address is known");
}
