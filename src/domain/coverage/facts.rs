//! The facts that coverage is judged from, as plain data.

use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::domain::id::ReleaseId;
use crate::domain::time::Timestamp;
use crate::domain::version::{UnknownWordError, VersionScheme};

/// The environment of an installation that names none.
pub const PRODUCTION: &str = "production";

/// What a customer runs, as far as known. An empty text counts as unknown.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InstallationFacts {
    /// The version it last reported.
    pub version: Option<String>,
    /// The platform, in any case.
    pub platform: Option<String>,
    /// The environment; [`PRODUCTION`] when nobody said.
    pub environment: String,
    /// The region.
    pub region: Option<String>,
    /// The ring.
    pub ring: Option<String>,
}

impl Default for InstallationFacts {
    /// An installation in production of which nothing else is known.
    fn default() -> Self {
        Self { version: None, platform: None, environment: PRODUCTION.to_owned(), region: None, ring: None }
    }
}

/// Where a release is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ReleaseState {
    /// Announced, not to be had yet.
    Planned,
    /// To be had.
    Released,
    /// Withdrawn.
    Yanked,
}

impl ReleaseState {
    /// Its name, as stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Planned => "PLANNED",
            Self::Released => "RELEASED",
            Self::Yanked => "YANKED",
        }
    }
}

impl FromStr for ReleaseState {
    type Err = UnknownWordError;

    fn from_str(text: &str) -> Result<Self, UnknownWordError> {
        [Self::Planned, Self::Released, Self::Yanked]
            .into_iter()
            .find(|state| state.as_str() == text)
            .ok_or(UnknownWordError { kind: "release state" })
    }
}

/// A release, as far as coverage asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReleaseFacts {
    /// Its id.
    pub id: ReleaseId,
    /// Its version.
    pub version: String,
    /// The line it was recorded for.
    pub line: Option<String>,
    /// The platforms it exists for, in lower case; empty means all.
    pub platforms: BTreeSet<String>,
    /// Its state.
    pub state: ReleaseState,
    /// Its place in the server's order of recording.
    pub sequence: i64,
    /// When this server heard that it is released.
    pub release_time: Option<Timestamp>,
    /// Where it was deployed, those rolled back included.
    pub deployments: Vec<DeploymentFacts>,
}

/// A deployment, as far as coverage asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentFacts {
    /// The environment.
    pub environment: String,
    /// The region; `None` means every region.
    pub region: Option<String>,
    /// The ring; `None` means every ring.
    pub ring: Option<String>,
    /// How much of the place it has reached, 0 to 100.
    pub percent: u8,
    /// Whether it was taken back.
    pub rolled_back: bool,
    /// Its place in the server's order of first recording.
    pub sequence: i64,
    /// When it was first recorded.
    pub create_time: Timestamp,
    /// When it reached 100 percent.
    pub full_time: Option<Timestamp>,
}

/// A product with all its releases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProductFacts {
    /// How its versions compare.
    pub scheme: VersionScheme,
    /// The lines it declares; those that releases name are maintained too.
    pub lines: Vec<String>,
    /// All its releases, in any order.
    pub releases: Vec<ReleaseFacts>,
}
