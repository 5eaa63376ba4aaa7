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
mod tests;
