//! What [`super`] promises.

use uuid::Uuid;

use super::*;
use crate::app::Once;
use crate::app::coverage::CoverageSubject;
use crate::app::defect::NewDefect;
use crate::app::deployment::NewDeployment;
use crate::channel::Channels;
use crate::clock::Clock;
use crate::domain::coverage::InstallationFacts;
use crate::domain::defect::{Defect, DefectState};
use crate::domain::id::{ApiKeyId, TenantId};
use crate::domain::product::Lines;
use crate::domain::scope::Scopes;
use crate::domain::time::Timestamp;
use crate::domain::version::VersionScheme;

/// One tenant with a product `app`, lines 2.3 and 2.4, and a product `web` that arrives by deployments.
struct World {
    app: std::sync::Arc<App>,
    call: Call,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = store::Store::open_sqlite(&folder.path().join("test.db")).await.expect("a database");
        let now = Timestamp::from_micros(1_000_000);
        let scope = store::tenant::insert(&store, TenantId::new(), "Acme", now).await.expect("a tenant");
        let txn = store.begin_system(scope, now).await.expect("a transaction");
        for (key, version_scheme, lines) in
            [("app", VersionScheme::Semver, vec!["2.3", "2.4"]), ("web", VersionScheme::Continuous, vec![])]
        {
            let product = Product {
                id: ProductId::new(),
                tenant_id: scope.tenant(),
                key: key.to_owned(),
                display_name: key.to_owned(),
                version_scheme,
                lines: Lines(lines.into_iter().map(str::to_owned).collect()),
                version: 1,
                create_time: now,
            };
            store::tenant::insert_product(&txn, product).await.expect("a product");
        }
        txn.commit().await.expect("a commit");
        let app = App::for_tests(store, Clock::manual(now), Channels::default());
        let call = Call { scope, key: ApiKeyId::new(), scopes: Scopes::default(), request_id: None, now };
        Self { app, call, _folder: folder }
    }

    async fn try_record(&self, new: NewRelease) -> Result<RecordedRelease, Error> {
        self.app.record_release(&self.call, new, Violations::new()).await
    }

    async fn record(&self, new: NewRelease) -> RecordedRelease {
        self.try_record(new).await.expect("recorded")
    }

    async fn try_deploy(&self, release: ReleaseId, percent: i32) -> Result<Once<Deployment>, Error> {
        let new = NewDeployment {
            release_id: Some(release),
            environment: String::new(),
            region: String::new(),
            ring: String::new(),
            percent: Some(percent),
        };
        self.app.record_deployment(&self.call, new, Violations::new()).await
    }

    async fn deploy(&self, release: ReleaseId, percent: i32) -> Once<Deployment> {
        self.try_deploy(release, percent).await.expect("deployed")
    }

    async fn state(&self, state: DefectState) -> Defect {
        let new = NewDefect {
            tracker: "jira".to_owned(),
            key: "APP-7".to_owned(),
            title: String::new(),
            url: String::new(),
            state: Some(state),
        };
        self.app.upsert_defect(&self.call, new).await.expect("upserted").view.defect
    }

    async fn rule(&self, product: &str, version: Option<&str>) -> String {
        let facts = InstallationFacts { version: version.map(str::to_owned), ..InstallationFacts::default() };
        let subject = CoverageSubject::Installation { product: product.to_owned(), facts };
        let judged = self.app.get_coverage(&self.call, &app_7(), subject).await.expect("judged");
        judged[0].coverage.rule.as_str().to_owned()
    }

    async fn kinds(&self) -> Vec<EventKind> {
        let events = store::event::after(&self.app.read(&self.call), 0, 100).await.expect("events");
        events.into_iter().map(|event| event.kind).collect()
    }
}

fn app_7() -> DefectRef {
    DefectRef::Key { tracker: "jira".to_owned(), key: "APP-7".to_owned() }
}

fn of(product: &str, version: &str) -> NewRelease {
    NewRelease {
        product: product.to_owned(),
        version: version.to_owned(),
        line: String::new(),
        platforms: vec![],
        state: ReleaseState::Released,
        defects: vec![],
    }
}

fn fixing(product: &str, version: &str) -> NewRelease {
    NewRelease { defects: vec![app_7()], ..of(product, version) }
}

#[tokio::test]
async fn a_release_recorded_twice_is_recorded_once() {
    let world = World::new().await;
    let first = world.record(fixing("app", "2.4.1")).await;
    assert_eq!((first.created, first.replayed), (true, false));
    assert_eq!(first.view.release.line.as_deref(), Some("2.4"));
    let again = world.record(fixing("app", " 2.4.1")).await;
    assert_eq!((again.created, again.replayed), (false, true));
    assert_eq!(again.view.release, first.view.release);
    assert_eq!(world.kinds().await, [EventKind::DefectCreated, EventKind::ReleaseRecorded]);
}

#[tokio::test]
async fn law_2_a_request_is_answered_the_same_again_and_another_body_is_refused() {
    let mut world = World::new().await;
    world.call.request_id = Some(Uuid::now_v7());
    let first = world.record(fixing("app", "2.4.1")).await;
    let again = world.record(fixing("app", "2.4.1")).await;
    assert_eq!((again.created, again.replayed), (true, true));
    assert_eq!(again.view.release.id, first.view.release.id);
    let refused = world.try_record(fixing("app", "2.4.2")).await;
    assert!(matches!(refused, Err(Error::KeyReused { fields, .. }) if fields == ["version"]));
}

#[tokio::test]
async fn a_planned_release_becomes_released_and_never_goes_back() {
    let world = World::new().await;
    let planned = || NewRelease { state: ReleaseState::Planned, ..fixing("app", "2.4.1") };
    let release = world.record(planned()).await.view.release;
    assert_eq!(release.release_time, None);
    assert_eq!(world.rule("app", Some("2.4.0")).await, "RELEASE_PLANNED");
    assert!(matches!(world.try_deploy(release.id, 100).await, Err(Error::WrongState { .. })));
    world.record(of("app", "2.4.0")).await;
    let released = world.record(fixing("app", "2.4.1")).await.view.release;
    assert_eq!((released.release_time, released.sequence), (Some(world.call.now), 3));
    let late = world.record(planned()).await;
    assert_eq!((late.replayed, late.view.release.state), (true, ReleaseState::Released));
    assert_eq!(world.rule("app", Some("2.4.0")).await, "SAME_LINE_BEFORE");
}

#[tokio::test]
async fn a_release_recorded_again_gains_platforms_and_fixes() {
    let world = World::new().await;
    let on = |platforms: &[&str]| NewRelease {
        platforms: platforms.iter().map(|&platform| platform.to_owned()).collect(),
        ..of("app", "2.4.1")
    };
    world.record(on(&["iOS"])).await;
    let release = world.record(on(&["Android"])).await.view.release;
    assert_eq!(release.platforms.0, BTreeSet::from(["android".to_owned(), "ios".to_owned()]));
    let again = world.record(fixing("app", "2.4.1")).await;
    assert_eq!((again.view.defect_ids.len(), again.replayed), (1, false));
    assert_eq!(again.view.release.platforms, release.platforms);
    assert_eq!(again.view.release.row_version, 3);
    let other_line = NewRelease { line: "lts".to_owned(), ..of("app", "2.4.1") };
    assert!(matches!(world.try_record(other_line).await, Err(Error::Invalid(_))));
}

#[tokio::test]
async fn everything_wrong_with_a_release_is_named_at_once() {
    let world = World::new().await;
    let mut decoded = Violations::new();
    decoded.add("defects[0]", "is no defect");
    let new = NewRelease {
        line: "x".repeat(65),
        platforms: vec![" ".to_owned()],
        state: ReleaseState::Yanked,
        ..of("app", "next")
    };
    let refused = world.app.record_release(&world.call, new, decoded).await;
    let Err(Error::Invalid(violations)) = refused else { panic!("accepted") };
    let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
    assert_eq!(fields, ["defects[0]", "line", "platforms[0]", "state", "version"]);
    let unknown = NewRelease { defects: vec![DefectRef::Id(DefectId::new())], ..of("app", "2.4.1") };
    assert!(matches!(world.try_record(unknown).await, Err(Error::NotFound { .. })));
    assert_eq!(world.kinds().await, []);
}

#[tokio::test]
async fn law_8_a_withdrawn_release_helps_nobody_and_does_not_come_back() {
    let world = World::new().await;
    let id = world.record(fixing("app", "2.4.1")).await.view.release.id;
    assert_eq!(world.rule("app", Some("2.4.1")).await, "SAME_LINE_AT_OR_AFTER");
    let (view, replayed) = world.app.yank_release(&world.call, id, "crashes").await.expect("yanked");
    assert_eq!((view.release.state, replayed), (ReleaseState::Yanked, false));
    assert!(world.app.yank_release(&world.call, id, "again").await.expect("yanked").1);
    assert_eq!(world.rule("app", Some("2.4.1")).await, "RELEASE_YANKED");
    assert!(matches!(world.try_record(fixing("app", "2.4.1")).await, Err(Error::WrongState { .. })));
    assert!(matches!(world.try_deploy(id, 10).await, Err(Error::WrongState { .. })));
}

#[tokio::test]
async fn law_8_a_retried_pipeline_does_not_revive_a_fix_that_did_not_hold() {
    let world = World::new().await;
    world.state(DefectState::Open).await;
    world.record(fixing("app", "2.4.1")).await;
    world.state(DefectState::Closed).await;
    assert_eq!(world.state(DefectState::Open).await.reopen_count, 1);
    let retried = world.record(fixing("app", "2.4.1")).await;
    assert!(retried.replayed && retried.view.defect_ids.is_empty());
    assert_eq!(world.rule("app", Some("2.4.1")).await, "NO_RELEASE_WITH_FIX");
    world.record(fixing("app", "2.4.2")).await;
    assert_eq!(world.rule("app", Some("2.4.1")).await, "SAME_LINE_BEFORE");
    let by_defect =
        ReleaseFilter { defect_id: Some(world.state(DefectState::Open).await.id), ..ReleaseFilter::default() };
    let page = world.app.list_releases(&world.call, &by_defect, None, Direction::Descending, 10).await;
    let versions: Vec<_> = page.expect("a page").items.into_iter().map(|view| view.release.version).collect();
    assert_eq!(versions, ["2.4.2"]);
}

#[tokio::test]
async fn defects_are_named_in_bulk_and_each_counts_once() {
    let world = World::new().await;
    let known = world.state(DefectState::Open).await;
    let by_key =
        |number: usize| DefectRef::Key { tracker: format!("tracker{}", number % 300), key: number.to_string() };
    let mut defects: Vec<DefectRef> = (0..600).map(by_key).collect();
    defects.extend([DefectRef::Id(known.id), app_7(), by_key(0)]);
    let recorded = world.record(NewRelease { defects, ..of("app", "2.4.1") }).await;
    assert_eq!(recorded.view.defect_ids.len(), 601);
}

#[tokio::test]
async fn law_6_a_defect_closed_without_a_release_is_available_to_nobody() {
    let world = World::new().await;
    world.state(DefectState::Closed).await;
    assert_eq!(world.rule("app", Some("9.9.9")).await, "NO_RELEASE_WITH_FIX");
}

#[tokio::test]
async fn law_8_a_deployment_taken_back_begins_anew() {
    let mut world = World::new().await;
    let id = world.record(fixing("web", "build 7")).await.view.release.id;
    let half = world.deploy(id, 50).await.result;
    assert_eq!((half.percent, half.full_time), (50, None));
    assert_eq!(world.rule("web", None).await, "ROLLOUT_PARTIAL");
    let full = world.deploy(id, 100).await.result;
    assert_eq!((full.id, full.sequence, full.full_time), (half.id, half.sequence, Some(world.call.now)));
    assert!(world.deploy(id, 100).await.replayed);
    assert_eq!(world.rule("web", None).await, "DEPLOYED");
    assert_eq!(world.deploy(id, 90).await.result.full_time, None);
    let back = world.app.roll_back_deployment(&world.call, half.id, "slow").await.expect("rolled back");
    assert_eq!((back.result.state, back.replayed), (DeploymentState::RolledBack, false));
    assert!(world.app.roll_back_deployment(&world.call, half.id, "").await.expect("again").replayed);
    assert_eq!(world.rule("web", None).await, "ROLLOUT_ELSEWHERE");
    world.call.now = Timestamp::from_micros(9_000_000);
    let anew = world.deploy(id, 100).await.result;
    assert_eq!((anew.id, anew.state), (half.id, DeploymentState::Active));
    assert!(anew.sequence > full.sequence);
    assert_eq!((anew.create_time, anew.full_time), (world.call.now, Some(world.call.now)));
    assert_eq!(anew.roll_back_reason, "");
}

#[tokio::test]
async fn law_13_another_tenants_release_is_not_found() {
    let mut world = World::new().await;
    let recorded = world.record(fixing("app", "2.4.1")).await.view.release.id;
    let now = world.call.now;
    world.call.scope = store::tenant::insert(&world.app.store, TenantId::new(), "Other", now).await.expect("a tenant");
    let got = world.app.get_release(&world.call, recorded).await;
    assert!(matches!(got, Err(Error::NotFound { resource: Resource::Release, .. })));
    assert!(matches!(world.try_deploy(recorded, 100).await, Err(Error::NotFound { .. })));
    assert!(matches!(
        world.app.get_defect(&world.call, &app_7()).await,
        Err(Error::NotFound { resource: Resource::Defect, .. })
    ));
}
