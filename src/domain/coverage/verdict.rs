//! The words of coverage: the verdict, the rule that decided, and both with the release to name.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::facts::ReleaseFacts;
use crate::domain::id::ReleaseId;
use crate::domain::version::UnknownWordError;

/// Whether a fix has reached an installation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    /// What the customer runs has the fix.
    Covered,
    /// The customer can have the fix by moving to the named release.
    UpgradeAvailable,
    /// The fix has not reached this customer; it may yet.
    NotYet,
    /// The fix will not come to what this customer runs.
    NotApplicable,
    /// Nothing says what this customer runs, or it cannot be compared.
    Unknown,
}

impl Verdict {
    pub(super) const ALL: [Self; 5] =
        [Self::Covered, Self::UpgradeAvailable, Self::NotYet, Self::NotApplicable, Self::Unknown];

    /// Its name, as stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Covered => "COVERED",
            Self::UpgradeAvailable => "UPGRADE_AVAILABLE",
            Self::NotYet => "NOT_YET",
            Self::NotApplicable => "NOT_APPLICABLE",
            Self::Unknown => "UNKNOWN",
        }
    }

    /// Whether `FIX_AVAILABLE` may be said (law 7).
    pub const fn allows_fix_available(self) -> bool {
        matches!(self, Self::Covered | Self::UpgradeAvailable)
    }
}

impl FromStr for Verdict {
    type Err = UnknownWordError;

    fn from_str(text: &str) -> Result<Self, UnknownWordError> {
        Self::ALL.into_iter().find(|verdict| verdict.as_str() == text).ok_or(UnknownWordError { kind: "verdict" })
    }
}

/// The rule that decided. Each leads to one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Rule {
    /// Covered: it runs the line's release with the fix, or a later one of that line.
    SameLineAtOrAfter,
    /// Covered: its line is above every line with the fix, and nothing shows that it branched off before the fix.
    LaterLine,
    /// Covered: all that the deployments say may run there has the fix.
    Deployed,
    /// Upgrade available: its line has a release with the fix, after what it runs.
    SameLineBefore,
    /// Upgrade available: a release with the fix runs in its place, but what it last reported is older.
    DeployedSince,
    /// Not yet: no release is recorded as containing the fix.
    NoReleaseWithFix,
    /// Not yet: the release with the fix is announced but not out.
    ReleasePlanned,
    /// Not yet: the release with the fix was withdrawn.
    ReleaseYanked,
    /// Not yet: the fix is out, but not in its line, which is maintained.
    LineWithoutFix,
    /// Not yet: the fix is out for other platforms only.
    PlatformWithoutFix,
    /// Not yet: it runs a stable version, and only prereleases have the fix.
    PrereleaseOnly,
    /// Not yet: the fix has reached a part of its place, which may or may not be this installation.
    RolloutPartial,
    /// Not yet: the fix has not reached its place, or is there no longer.
    RolloutElsewhere,
    /// Not applicable: its version is in no maintained line, and not above those with the fix.
    LineNotMaintained,
    /// Unknown: its version is not known.
    VersionUnknown,
    /// Unknown: its version cannot be compared with those that have the fix.
    VersionIncomparable,
    /// Unknown: its version may belong to a line that is not told by numbers.
    LineUnknown,
    /// Unknown: the verdict depends on its platform, which is not known.
    PlatformUnknown,
    /// Unknown: a prerelease of a later line, which may have branched off before the fix.
    PrereleaseBeforeFix,
}

impl Rule {
    pub(super) const ALL: [Self; 19] = [
        Self::SameLineAtOrAfter,
        Self::LaterLine,
        Self::Deployed,
        Self::SameLineBefore,
        Self::DeployedSince,
        Self::NoReleaseWithFix,
        Self::ReleasePlanned,
        Self::ReleaseYanked,
        Self::LineWithoutFix,
        Self::PlatformWithoutFix,
        Self::PrereleaseOnly,
        Self::RolloutPartial,
        Self::RolloutElsewhere,
        Self::LineNotMaintained,
        Self::VersionUnknown,
        Self::VersionIncomparable,
        Self::LineUnknown,
        Self::PlatformUnknown,
        Self::PrereleaseBeforeFix,
    ];

    /// Its name, as stored and sent.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SameLineAtOrAfter => "SAME_LINE_AT_OR_AFTER",
            Self::LaterLine => "LATER_LINE",
            Self::Deployed => "DEPLOYED",
            Self::SameLineBefore => "SAME_LINE_BEFORE",
            Self::DeployedSince => "DEPLOYED_SINCE",
            Self::NoReleaseWithFix => "NO_RELEASE_WITH_FIX",
            Self::ReleasePlanned => "RELEASE_PLANNED",
            Self::ReleaseYanked => "RELEASE_YANKED",
            Self::LineWithoutFix => "LINE_WITHOUT_FIX",
            Self::PlatformWithoutFix => "PLATFORM_WITHOUT_FIX",
            Self::PrereleaseOnly => "PRERELEASE_ONLY",
            Self::RolloutPartial => "ROLLOUT_PARTIAL",
            Self::RolloutElsewhere => "ROLLOUT_ELSEWHERE",
            Self::LineNotMaintained => "LINE_NOT_MAINTAINED",
            Self::VersionUnknown => "VERSION_UNKNOWN",
            Self::VersionIncomparable => "VERSION_INCOMPARABLE",
            Self::LineUnknown => "LINE_UNKNOWN",
            Self::PlatformUnknown => "PLATFORM_UNKNOWN",
            Self::PrereleaseBeforeFix => "PRERELEASE_BEFORE_FIX",
        }
    }

    /// Whether the fix is out, and what an installation runs decides that it has not reached it.
    pub const fn is_about_what_runs(self) -> bool {
        matches!(self, Self::LineWithoutFix | Self::PlatformWithoutFix | Self::PrereleaseOnly)
    }

    /// The verdict it leads to.
    pub const fn verdict(self) -> Verdict {
        match self {
            Self::SameLineAtOrAfter | Self::LaterLine | Self::Deployed => Verdict::Covered,
            Self::SameLineBefore | Self::DeployedSince => Verdict::UpgradeAvailable,
            Self::NoReleaseWithFix
            | Self::ReleasePlanned
            | Self::ReleaseYanked
            | Self::LineWithoutFix
            | Self::PlatformWithoutFix
            | Self::PrereleaseOnly
            | Self::RolloutPartial
            | Self::RolloutElsewhere => Verdict::NotYet,
            Self::LineNotMaintained => Verdict::NotApplicable,
            Self::VersionUnknown
            | Self::VersionIncomparable
            | Self::LineUnknown
            | Self::PlatformUnknown
            | Self::PrereleaseBeforeFix => Verdict::Unknown,
        }
    }
}

impl FromStr for Rule {
    type Err = UnknownWordError;

    fn from_str(text: &str) -> Result<Self, UnknownWordError> {
        Self::ALL.into_iter().find(|rule| rule.as_str() == text).ok_or(UnknownWordError { kind: "coverage rule" })
    }
}

/// A verdict, the rule that decided it, and the release to name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// The verdict.
    pub verdict: Verdict,
    /// The rule that decided.
    pub rule: Rule,
    /// The release to name to the customer: the one they have the fix since, can move to, or wait for. With `UNKNOWN`,
    /// one that is to be had and contains the fix, for conditional wording. `None` if there is none to name.
    pub release: Option<ReleaseId>,
    /// Its version.
    pub version: Option<String>,
}

impl Coverage {
    pub(super) fn by(rule: Rule, release: Option<&ReleaseFacts>) -> Self {
        Self {
            verdict: rule.verdict(),
            rule,
            release: release.map(|release| release.id),
            version: release.map(|release| release.version.clone()),
        }
    }
}
