//! Releases and deployments as recorded. Whether they help anybody is for [`super::coverage`] to say.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::coverage::ReleaseState;
use super::id::{DefectId, DeploymentId, ProductId, ReleaseId, TenantId};
use super::text_enum;
use super::time::Timestamp;

text_enum! {
    /// Where a deployment stands.
    pub enum DeploymentState {
        /// In place.
        Active = "ACTIVE",
        /// Taken back.
        RolledBack = "ROLLED_BACK",
    }
}

/// Platforms in lower case; empty means all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Platforms(pub BTreeSet<String>);

/// A named artefact of a product.
#[derive(Debug, Clone, PartialEq)]
pub struct Release {
    /// Its id.
    pub id: ReleaseId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its product.
    pub product_id: ProductId,
    /// Its version.
    pub version: String,
    /// Its line, if the product has lines.
    pub line: Option<String>,
    /// What it exists for.
    pub platforms: Platforms,
    /// Its state.
    pub state: ReleaseState,
    /// Why it was withdrawn.
    pub yank_reason: String,
    /// Its place in the order in which the tenant's releases and deployments were recorded.
    pub sequence: i64,
    /// When we heard that it is released.
    pub release_time: Option<Timestamp>,
    /// When it was withdrawn.
    pub yank_time: Option<Timestamp>,
    /// Rises with every change.
    pub row_version: i64,
    /// When first recorded.
    pub create_time: Timestamp,
    /// When last changed.
    pub update_time: Timestamp,
}

/// A release said to fix a defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReleaseFix {
    /// The release.
    pub release_id: ReleaseId,
    /// The defect.
    pub defect_id: DefectId,
    /// Whose they are.
    pub tenant_id: TenantId,
    /// The defect's `reopen_count` when this was said: once reopened, an older fix no longer counts.
    pub round: i32,
    /// When it was said.
    pub create_time: Timestamp,
}

/// A release reaching a place, in steps of percent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its release.
    pub release_id: ReleaseId,
    /// The release's product.
    pub product_id: ProductId,
    /// The environment.
    pub environment: String,
    /// The region; empty means every one.
    pub region: String,
    /// The ring; empty means every one.
    pub ring: String,
    /// 0 to 100.
    pub percent: i32,
    /// Its state.
    pub state: DeploymentState,
    /// Why it was taken back.
    pub roll_back_reason: String,
    /// Its place in the order of recording; a deployment made again after a roll-back takes a new one.
    pub sequence: i64,
    /// When it was first recorded.
    pub create_time: Timestamp,
    /// When it reached 100 percent.
    pub full_time: Option<Timestamp>,
    /// When it last changed.
    pub update_time: Timestamp,
}
