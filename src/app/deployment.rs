//! Deployments: where a release has arrived. Under `CONTINUOUS` they are what decides who has a fix; taking one back
//! lets run again what ran there before.

use serde::Serialize;
use serde_json::json;

use crate::domain::coverage::{PRODUCTION, ReleaseState};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{DeploymentId, ReleaseId};
use crate::domain::release::{Deployment, DeploymentState, Release};
use crate::domain::time::Timestamp;
use crate::domain::violation::Violations;
use crate::store::{self, Reader, Txn};

use super::release::mark_product_dirty;
use super::{App, Call, Error, Once, Resource, remembered};

/// A step of a deployment as a pipeline states it.
#[derive(Debug, Clone, Serialize)]
pub struct NewDeployment {
    /// The release; `None` if decoding found none, which it has noted.
    pub release_id: Option<ReleaseId>,
    /// The environment; empty means production.
    pub environment: String,
    /// The region; empty means every one.
    pub region: String,
    /// The ring; empty means every one.
    pub ring: String,
    /// How much of the place it has reached.
    pub percent: Option<i32>,
}

impl NewDeployment {
    /// Notes what is wrong with it.
    fn check(&self, violations: &mut Violations) {
        violations.text("environment", &self.environment, 64);
        violations.text("region", &self.region, 64);
        violations.text("ring", &self.ring, 64);
        match self.percent {
            None => violations.add("percent", "is required; send 0 to 100, and 0 too must be said"),
            Some(0..=100) => {}
            Some(percent) => violations.add("percent", format!("is {percent}; send 0 to 100")),
        }
    }
}

impl App {
    /// Records that a release has reached so many percent of a place. `violations` is what the caller's decoding found
    /// wrong already, so that everything is answered at once.
    pub async fn record_deployment(
        &self,
        call: &Call,
        new: NewDeployment,
        mut violations: Violations,
    ) -> Result<Once<Deployment>, Error> {
        const METHOD: &str = "RecordDeployment";
        new.check(&mut violations);
        let (Some(release_id), Some(percent), true) = (new.release_id, new.percent, violations.is_empty()) else {
            return Err(violations.into());
        };

        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &new).await? {
            let result = get(&txn.read(), remembered(&earlier, "deployment_id")?).await?;
            return Ok(Once { result, replayed: true });
        }
        let release = store::release::by_ids(&txn.read(), &[release_id]).await?.pop();
        let release = release.ok_or_else(|| Error::not_found(Resource::Release, release_id))?;
        check_can_be_deployed(&release)?;
        let environment = match new.environment.trim() {
            "" => PRODUCTION,
            environment => environment,
        };
        let (region, ring) = (new.region.trim(), new.ring.trim());
        let before = store::release::find_deployment_at(&txn.read(), release_id, environment, region, ring).await?;

        // An older release recorded again over a newer one is how many pipelines roll back.
        let superseded = match &before {
            Some(before) => store::release::is_superseded(&txn.read(), before).await?,
            None => false,
        };
        let stands =
            |before: &Deployment| before.state == DeploymentState::Active && before.percent == percent && !superseded;
        let replayed = before.as_ref().is_some_and(stands);
        let deployment = match before {
            Some(before) if stands(&before) => before,
            Some(before) => {
                let after = moved(&txn, before, percent, superseded).await?;
                store::release::update_deployment(&txn, after.clone()).await?;
                after
            }
            None => {
                let new = Deployment {
                    id: DeploymentId::new(),
                    tenant_id: release.tenant_id,
                    release_id,
                    product_id: release.product_id,
                    environment: environment.to_owned(),
                    region: region.to_owned(),
                    ring: ring.to_owned(),
                    percent,
                    state: DeploymentState::Active,
                    roll_back_reason: String::new(),
                    sequence: store::release::next_sequence(&txn).await?,
                    create_time: txn.now(),
                    full_time: full_time(None, percent, txn.now()),
                    update_time: txn.now(),
                };
                store::release::insert_deployment(&txn, new.clone()).await?;
                new
            }
        };
        if !replayed {
            record(&mut txn, EventKind::DeploymentRecorded, &deployment);
            mark_product_dirty(&txn, deployment.product_id).await?;
        }
        let result = json!({ "deployment_id": deployment.id });
        self.remember(&txn, call, METHOD, &new, result).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result: deployment, replayed })
    }

    /// Records that a deployment was taken back.
    pub async fn roll_back_deployment(
        &self,
        call: &Call,
        id: DeploymentId,
        reason: &str,
    ) -> Result<Once<Deployment>, Error> {
        const METHOD: &str = "RollBackDeployment";
        let body = json!({ "deployment_id": id, "reason": reason });
        let mut violations = Violations::new();
        violations.text("reason", reason, 1_000);
        violations.into_result()?;

        let mut txn = self.begin(call).await?;
        let earlier = self.earlier(&txn, call, METHOD, &body).await?;
        let mut deployment = get(&txn.read(), id).await?;
        if earlier.is_some() {
            return Ok(Once { result: deployment, replayed: true });
        }
        let replayed = deployment.state == DeploymentState::RolledBack;
        if !replayed {
            deployment.state = DeploymentState::RolledBack;
            deployment.roll_back_reason = reason.to_owned();
            deployment.update_time = txn.now();
            store::release::update_deployment(&txn, deployment.clone()).await?;
            record(&mut txn, EventKind::DeploymentRolledBack, &deployment);
            mark_product_dirty(&txn, deployment.product_id).await?;
        }
        self.remember(&txn, call, METHOD, &body, json!({ "deployment_id": id })).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result: deployment, replayed })
    }
}

async fn get(db: &Reader<'_>, id: DeploymentId) -> Result<Deployment, Error> {
    let found = store::release::find_deployment(db, id).await?;
    found.ok_or_else(|| Error::not_found(Resource::Deployment, id))
}

fn check_can_be_deployed(release: &Release) -> Result<(), Error> {
    let problem = match release.state {
        ReleaseState::Released => return Ok(()),
        ReleaseState::Planned => "is only planned; record it as released before it is deployed",
        ReleaseState::Yanked => "was withdrawn for good; deploy another release, or roll this one's deployments back",
    };
    Err(Error::wrong_state(Resource::Release, release.id, problem))
}

/// A deployment that has reached another percentage. One that was taken back, or that another release has come after,
/// begins anew: it comes after whatever was deployed meanwhile.
async fn moved(txn: &Txn, before: Deployment, percent: i32, superseded: bool) -> Result<Deployment, Error> {
    let mut after = Deployment { percent, update_time: txn.now(), ..before };
    if superseded || after.state == DeploymentState::RolledBack {
        after.state = DeploymentState::Active;
        after.roll_back_reason = String::new();
        after.sequence = store::release::next_sequence(txn).await?;
        after.create_time = txn.now();
        after.full_time = None;
    }
    after.full_time = full_time(after.full_time, percent, txn.now());
    Ok(after)
}

/// Since when all of the place is reached.
fn full_time(before: Option<Timestamp>, percent: i32, now: Timestamp) -> Option<Timestamp> {
    if percent == 100 { before.or(Some(now)) } else { None }
}

fn record(txn: &mut Txn, kind: EventKind, deployment: &Deployment) {
    txn.record(NewEvent::new(kind, deployment.id).data(json!({
        "release_id": deployment.release_id,
        "product_id": deployment.product_id,
        "environment": deployment.environment,
        "region": deployment.region,
        "ring": deployment.ring,
        "percent": deployment.percent,
    })));
}
