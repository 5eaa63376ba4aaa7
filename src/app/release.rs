//! Releases: what was shipped, and the defects it fixes. This and deployments are the only evidence that a fix is
//! available (law 6); taking it back corrects whoever was told (law 8).
//!
//! [`load_product_facts`] is how everything that judges coverage gets to know a product.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Value, json};

use crate::domain::coverage::{DeploymentFacts, ProductFacts, ReleaseFacts, ReleaseState};
use crate::domain::defect::DefectRef;
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{DefectId, ProductId, ReleaseId};
use crate::domain::product::Product;
use crate::domain::release::{Deployment, DeploymentState, Platforms, Release, ReleaseFix};
use crate::domain::version;
use crate::domain::violation::Violations;
use crate::store::dirty::{self, Subject};
use crate::store::release::ReleaseFilter;
use crate::store::{self, Direction, Page, Reader, Txn};

use super::{App, Call, Error, Resource, defect, product, remembered};

/// A release with what is told about it.
#[derive(Debug, Clone)]
pub struct ReleaseView {
    /// The release.
    pub release: Release,
    /// The defects it fixes, of those not reopened since.
    pub defect_ids: Vec<DefectId>,
    /// Where it was deployed, as recorded.
    pub deployments: Vec<Deployment>,
}

/// A release as a pipeline or a person states it.
#[derive(Debug, Clone)]
pub struct NewRelease {
    /// The product, by key or id.
    pub product: String,
    /// The version.
    pub version: String,
    /// The line; empty lets the product's lines decide.
    pub line: String,
    /// The platforms; empty means all of a new release, and no more of a known one.
    pub platforms: Vec<String>,
    /// Planned or released.
    pub state: ReleaseState,
    /// The defects it fixes.
    pub defects: Vec<DefectRef>,
}

/// Platforms and defects that one request may name.
const MAX_PLATFORMS: usize = 32;
const MAX_DEFECTS: usize = 1_000;

impl NewRelease {
    /// Notes what is wrong with it, as far as it shows without its product.
    fn check(&self, violations: &mut Violations) {
        violations.required_text("product", &self.product, 128);
        violations.required_text("version", &self.version, 128);
        violations.text("line", &self.line, 64);
        if self.platforms.len() > MAX_PLATFORMS {
            let count = self.platforms.len();
            violations.add("platforms", format!("has {count} entries; send at most {MAX_PLATFORMS}"));
        }
        for (index, platform) in self.platforms.iter().enumerate() {
            violations.required_text(&format!("platforms[{index}]"), platform, 64);
        }
        if self.state == ReleaseState::Yanked {
            violations.add("state", "cannot be YANKED here; record it as released, and withdraw it with YankRelease");
        }
        if self.defects.len() > MAX_DEFECTS {
            let count = self.defects.len();
            violations
                .add("defects", format!("has {count} entries; send at most {MAX_DEFECTS}, the rest in a second call"));
        }
    }

    fn platforms(&self) -> BTreeSet<String> {
        self.platforms.iter().map(|platform| platform.trim().to_lowercase()).collect()
    }

    /// What two requests are compared by.
    fn body(&self) -> Value {
        let defects: Vec<String> = self.defects.iter().map(ToString::to_string).collect();
        json!({
            "product": self.product,
            "version": self.version,
            "line": self.line,
            "platforms": self.platforms(),
            "state": self.state,
            "defects": defects,
        })
    }
}

/// What became of a stated release.
#[derive(Debug, Clone)]
pub struct RecordedRelease {
    /// The release.
    pub view: ReleaseView,
    /// It was new.
    pub created: bool,
    /// Nothing was changed now.
    pub replayed: bool,
}

impl App {
    /// Records a release, or adds to it: platforms, fixes, and that a planned one is released now. `violations` is
    /// what the caller's decoding found wrong already, so that everything is answered at once.
    pub async fn record_release(
        &self,
        call: &Call,
        new: NewRelease,
        mut violations: Violations,
    ) -> Result<RecordedRelease, Error> {
        const METHOD: &str = "RecordRelease";
        new.check(&mut violations);
        if !violations.is_empty() {
            find_product(&self.read(call), &new, &mut violations).await?;
            return Err(violations.into());
        }

        let mut txn = self.begin(call).await?;
        let body = new.body();
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &body).await? {
            let view = get(&txn.read(), remembered(&earlier, "release_id")?).await?;
            return Ok(RecordedRelease { view, created: earlier["created"] == true, replayed: true });
        }
        let found = find_product(&txn.read(), &new, &mut violations).await?;
        let Some(product) = found.filter(|_| violations.is_empty()) else { return Err(violations.into()) };

        let before = store::release::find_by_version(&txn.read(), product.id, new.version.trim()).await?;
        let fixed = defect::resolve_or_create(&mut txn, &new.defects).await?;
        let recorded: HashSet<DefectId> = match &before {
            None => HashSet::new(),
            Some(before) => {
                let fixes = store::release::fixes_of_releases(&txn.read(), &[before.id]).await?;
                fixes.into_iter().map(|fix| fix.defect_id).collect()
            }
        };
        let mut after = match &before {
            None => first_recorded(&txn, &product, &new).await?,
            Some(before) => recorded_again(&txn, before, &new, !recorded.is_empty() || !fixed.is_empty()).await?,
        };
        // A fix that is recorded already stays of its round: a retried pipeline must not revive one that did not hold.
        let fixes: Vec<ReleaseFix> = fixed
            .into_iter()
            .filter(|defect| !recorded.contains(&defect.id))
            .map(|defect| ReleaseFix {
                release_id: after.id,
                defect_id: defect.id,
                tenant_id: after.tenant_id,
                round: defect.reopen_count,
                create_time: txn.now(),
            })
            .collect();

        let created = before.is_none();
        let release_changed = before.as_ref() != Some(&after);
        let replayed = !release_changed && fixes.is_empty();
        if !replayed {
            if created {
                store::release::insert(&txn, after.clone()).await?;
            } else {
                after.row_version += 1;
                after.update_time = txn.now();
                store::release::update(&txn, after.clone()).await?;
            }
            let defect_ids: Vec<DefectId> = fixes.iter().map(|fix| fix.defect_id).collect();
            store::release::insert_fixes(&txn, fixes).await?;
            txn.record(NewEvent::new(EventKind::ReleaseRecorded, after.id).data(json!({
                "product_id": after.product_id,
                "version": after.version,
                "state": after.state,
                "defect_ids": defect_ids,
            })));
            if release_changed {
                // Lines, platforms and order of all its releases decide about every fix of a product.
                mark_product_dirty(&txn, product.id).await?;
            } else {
                defect::mark_dirty(&txn, &defect_ids).await?;
            }
        }
        let result = json!({ "release_id": after.id, "created": created });
        self.remember(&txn, call, METHOD, &body, result).await?;
        let view = view_one(&txn.read(), after).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(RecordedRelease { view, created, replayed })
    }

    /// Withdraws a release for good. Also says whether it was withdrawn before, and nothing was changed now.
    pub async fn yank_release(&self, call: &Call, id: ReleaseId, reason: &str) -> Result<(ReleaseView, bool), Error> {
        const METHOD: &str = "YankRelease";
        let body = json!({ "release_id": id, "reason": reason });
        let mut violations = Violations::new();
        violations.text("reason", reason, 1_000);
        violations.into_result()?;

        let mut txn = self.begin(call).await?;
        let earlier = self.earlier(&txn, call, METHOD, &body).await?;
        let mut view = get(&txn.read(), id).await?;
        if earlier.is_some() {
            return Ok((view, true));
        }
        let replayed = view.release.state == ReleaseState::Yanked;
        if !replayed {
            let release = &mut view.release;
            release.state = ReleaseState::Yanked;
            release.yank_reason = reason.to_owned();
            release.yank_time = Some(txn.now());
            release.row_version += 1;
            release.update_time = txn.now();
            store::release::update(&txn, release.clone()).await?;
            let data = json!({ "product_id": release.product_id, "version": release.version });
            txn.record(NewEvent::new(EventKind::ReleaseYanked, id).data(data));
            mark_product_dirty(&txn, release.product_id).await?;
        }
        self.remember(&txn, call, METHOD, &body, json!({ "release_id": id })).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok((view, replayed))
    }

    /// One release.
    pub async fn get_release(&self, call: &Call, id: ReleaseId) -> Result<ReleaseView, Error> {
        get(&self.read(call), id).await
    }

    /// A page of releases, by the time they were first recorded.
    pub async fn list_releases(
        &self,
        call: &Call,
        filter: &ReleaseFilter,
        after: Option<ReleaseId>,
        direction: Direction,
        size: u64,
    ) -> Result<Page<ReleaseView, ReleaseId>, Error> {
        let db = self.read(call);
        let page = store::release::list(&db, filter, after, direction, size).await?;
        Ok(Page { items: views(&db, page.items).await?, next: page.next })
    }
}

/// The product, if it is known; and what is wrong with product and version.
async fn find_product(
    db: &Reader<'_>,
    new: &NewRelease,
    violations: &mut Violations,
) -> Result<Option<Product>, Error> {
    if new.product.trim().is_empty() {
        return Ok(None); // Noted already.
    }
    let product = match product::resolve(db, "product", new.product.trim()).await {
        Ok(product) => product,
        Err(Error::Invalid(found)) => {
            found.iter().for_each(|violation| violations.add(&violation.field, &violation.description));
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    if !new.version.trim().is_empty()
        && let Err(error) = version::check(product.version_scheme, new.version.trim())
    {
        violations.add("version", error.to_string());
    }
    Ok(Some(product))
}

async fn first_recorded(txn: &Txn, product: &Product, new: &NewRelease) -> Result<Release, Error> {
    let version = new.version.trim();
    let line = match new.line.trim() {
        "" => version::line_of(version, &product.lines.0),
        line => Some(line),
    };
    Ok(Release {
        id: ReleaseId::new(),
        tenant_id: txn.scope().tenant(),
        product_id: product.id,
        version: version.to_owned(),
        line: line.map(str::to_owned),
        platforms: Platforms(new.platforms()),
        state: new.state,
        yank_reason: String::new(),
        sequence: store::release::next_sequence(txn).await?,
        release_time: (new.state == ReleaseState::Released).then(|| txn.now()),
        yank_time: None,
        row_version: 1,
        create_time: txn.now(),
        update_time: txn.now(),
    })
}

/// The release with what a further recording adds to it.
async fn recorded_again(txn: &Txn, before: &Release, new: &NewRelease, has_fixes: bool) -> Result<Release, Error> {
    if before.state == ReleaseState::Yanked {
        let problem = "was withdrawn for good; record the next version instead";
        return Err(Error::wrong_state(Resource::Release, before.id, problem));
    }
    let mut after = before.clone();
    match (new.line.trim(), &before.line) {
        ("", _) => {}
        (line, None) => after.line = Some(line.to_owned()),
        (line, Some(recorded)) if line == recorded => {}
        (_, Some(recorded)) => {
            let problem =
                format!("is {recorded:?} of this release already and does not change; send that, or leave it empty");
            return Err(Error::invalid("line", problem));
        }
    }
    // All platforms stay all; leaving them out adds none.
    if !before.platforms.0.is_empty() {
        after.platforms.0.extend(new.platforms());
    }
    // A late word that it is planned does not take it back.
    if before.state == ReleaseState::Planned && new.state == ReleaseState::Released {
        after.state = ReleaseState::Released;
        after.release_time = Some(txn.now());
        if has_fixes {
            // What was recorded between the plan and now did not wait for this fix and may lack it.
            after.sequence = store::release::next_sequence(txn).await?;
        }
    }
    Ok(after)
}

/// Has everybody looked at again whom a fix in this product concerns.
pub(super) async fn mark_product_dirty(txn: &Txn, product: ProductId) -> Result<(), Error> {
    let clusters = store::release::clusters_fixed_in(&txn.read(), product).await?;
    dirty::mark(txn, clusters.into_iter().map(Subject::Cluster), txn.now()).await?;
    Ok(())
}

async fn get(db: &Reader<'_>, id: ReleaseId) -> Result<ReleaseView, Error> {
    let found = store::release::by_ids(db, &[id]).await?.pop();
    view_one(db, found.ok_or_else(|| Error::not_found(Resource::Release, id))?).await
}

async fn view_one(db: &Reader<'_>, release: Release) -> Result<ReleaseView, Error> {
    Ok(views(db, vec![release]).await?.remove(0))
}

async fn views(db: &Reader<'_>, releases: Vec<Release>) -> Result<Vec<ReleaseView>, Error> {
    let ids: Vec<ReleaseId> = releases.iter().map(|release| release.id).collect();
    let mut defect_ids: HashMap<ReleaseId, Vec<DefectId>> = HashMap::new();
    for fix in store::release::standing_fixes_of_releases(db, &ids).await? {
        defect_ids.entry(fix.release_id).or_default().push(fix.defect_id);
    }
    let mut deployments: HashMap<ReleaseId, Vec<Deployment>> = HashMap::new();
    for deployment in store::release::deployments_of_releases(db, &ids).await? {
        deployments.entry(deployment.release_id).or_default().push(deployment);
    }
    let view = |release: Release| ReleaseView {
        defect_ids: defect_ids.remove(&release.id).unwrap_or_default(),
        deployments: deployments.remove(&release.id).unwrap_or_default(),
        release,
    };
    Ok(releases.into_iter().map(view).collect())
}

/// What coverage needs to know of a product: all its releases, and all deployments of each.
pub(crate) fn product_facts(product: &Product, releases: Vec<Release>, deployments: Vec<Deployment>) -> ProductFacts {
    let some = |text: String| (!text.is_empty()).then_some(text);
    let mut of_release: HashMap<ReleaseId, Vec<DeploymentFacts>> = HashMap::new();
    for deployment in deployments {
        let percent = u8::try_from(deployment.percent.clamp(0, 100)).expect("0 to 100 fits");
        of_release.entry(deployment.release_id).or_default().push(DeploymentFacts {
            environment: deployment.environment,
            region: some(deployment.region),
            ring: some(deployment.ring),
            percent,
            rolled_back: deployment.state == DeploymentState::RolledBack,
            sequence: deployment.sequence,
            create_time: deployment.create_time,
            full_time: deployment.full_time,
        });
    }
    let releases = releases.into_iter().map(|release| ReleaseFacts {
        id: release.id,
        version: release.version,
        line: release.line,
        platforms: release.platforms.0,
        state: release.state,
        sequence: release.sequence,
        release_time: release.release_time,
        deployments: of_release.remove(&release.id).unwrap_or_default(),
    });
    ProductFacts { scheme: product.version_scheme, lines: product.lines.0.clone(), releases: releases.collect() }
}

/// What coverage needs to know of these products, in three queries.
pub(crate) async fn load_product_facts(
    db: &Reader<'_>,
    ids: &[ProductId],
) -> Result<HashMap<ProductId, ProductFacts>, Error> {
    let products = store::tenant::products(db, ids.iter().copied()).await?;
    let mut releases: HashMap<ProductId, Vec<Release>> = HashMap::new();
    for release in store::release::of_products(db, ids).await? {
        releases.entry(release.product_id).or_default().push(release);
    }
    let mut deployments: HashMap<ProductId, Vec<Deployment>> = HashMap::new();
    for deployment in store::release::deployments_of_products(db, ids).await? {
        deployments.entry(deployment.product_id).or_default().push(deployment);
    }
    let facts = products.into_iter().map(|product| {
        let releases = releases.remove(&product.id).unwrap_or_default();
        let deployments = deployments.remove(&product.id).unwrap_or_default();
        (product.id, product_facts(&product, releases, deployments))
    });
    Ok(facts.collect())
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::app::Once;
    use crate::app::coverage::CoverageSubject;
    use crate::app::defect::NewDefect;
    use crate::app::deployment::NewDeployment;
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
            let app = App::for_tests(store, Clock::manual(now));
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
        world.call.scope =
            store::tenant::insert(&world.app.store, TenantId::new(), "Other", now).await.expect("a tenant");
        let got = world.app.get_release(&world.call, recorded).await;
        assert!(matches!(got, Err(Error::NotFound { resource: Resource::Release, .. })));
        assert!(matches!(world.try_deploy(recorded, 100).await, Err(Error::NotFound { .. })));
        assert!(matches!(
            world.app.get_defect(&world.call, &app_7()).await,
            Err(Error::NotFound { resource: Resource::Defect, .. })
        ));
    }
}
