//! Coverage: whether the fix of a defect has reached what a customer runs, and by which rule.
//!
//! Everything here is a pure function over plain data, so the same facts always give the same verdict. What is not
//! known stays unknown, and of two readings the one that waits is taken: a customer told too late can still be told, a
//! customer told something false cannot be untold.
//!
//! Under `SEMVER` versions are compared per release line. A line's own fix decides for the line. A line above every
//! fixed one has the fix only if nothing shows that it branched off earlier; a line that plans the fix, or had it
//! withdrawn, evidently needs its own. Deployments gate who can *get* a release, never whether somebody who reports
//! to run it has it.
//!
//! Under `CONTINUOUS` deployments say what runs where. The newest that reached all of a place hides the older ones
//! there; those above it that reached a part may run as well, so all of them must have the fix.
//!
//! [`Judge`] prepares a product once for many installations. Which releases contain a fix, and which installations a
//! customer has, is the caller's knowledge.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeSet;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::ReleaseId;
use super::time::Timestamp;
use super::version::{Line, UnknownWordError, Version, VersionScheme, line_of};

/// The environment of an installation that names none.
pub const PRODUCTION: &str = "production";

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
    const ALL: [Self; 5] = [Self::Covered, Self::UpgradeAvailable, Self::NotYet, Self::NotApplicable, Self::Unknown];

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
    const ALL: [Self; 19] = [
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
    fn by(rule: Rule, release: Option<&ReleaseFacts>) -> Self {
        Self {
            verdict: rule.verdict(),
            rule,
            release: release.map(|release| release.id),
            version: release.map(|release| release.version.clone()),
        }
    }
}

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

/// Says whether a fix has reached an installation. For many installations, prepare a [`Judge`].
pub fn judge(product: &ProductFacts, fixes: &BTreeSet<ReleaseId>, installation: &InstallationFacts) -> Coverage {
    Judge::new(product, fixes).judge(installation)
}

/// Whether `fix` was already in what the customer ran when reporting at `as_of`.
///
/// If so, the report is evidence that the fix does not hold, and not a reason to answer "already fixed" (law 11). A
/// version speaks for itself whatever the time; deployments count only if they had reached all of the place by `as_of`.
pub fn already_running(
    product: &ProductFacts,
    fix: ReleaseId,
    installation: &InstallationFacts,
    as_of: Timestamp,
) -> bool {
    let fixes = BTreeSet::from([fix]);
    let coverage = match product.scheme {
        VersionScheme::Semver => judge(product, &fixes, installation),
        VersionScheme::Continuous => {
            let mut then = product.clone();
            for release in &mut then.releases {
                release.deployments.retain(|deployment| {
                    !deployment.rolled_back && deployment.full_time.is_some_and(|full_time| full_time <= as_of)
                });
            }
            judge(&then, &fixes, installation)
        }
    };
    coverage.verdict == Verdict::Covered
}

/// What holds for a customer with several installations: the worst of them, so that nothing is said that is false for
/// one. `NOT_APPLICABLE` only if nothing else is left; of equals the first; `None` for none.
pub fn combine(coverages: impl IntoIterator<Item = Coverage>) -> Option<Coverage> {
    // The first of the smallest wins in `min_by_key`.
    coverages.into_iter().min_by_key(|coverage| match coverage.verdict {
        Verdict::NotYet => 0,
        Verdict::Unknown => 1,
        Verdict::UpgradeAvailable => 2,
        Verdict::Covered => 3,
        Verdict::NotApplicable => 4,
    })
}

/// A product and a fix, prepared to judge many installations.
pub struct Judge<'a> {
    scheme: VersionScheme,
    /// By sequence.
    releases: Vec<Known<'a>>,
    /// All lines. Empty: the product is one line.
    lines: BTreeSet<Line>,
    /// How many numbers name a line here.
    line_length: usize,
    line_names: Vec<&'a str>,
    /// All platforms that releases name.
    platforms: BTreeSet<&'a str>,
    /// Indexes of releases with their standing deployments, the newest deployment first.
    standing: Vec<(usize, &'a DeploymentFacts)>,
}

/// A release, read.
struct Known<'a> {
    facts: &'a ReleaseFacts,
    /// `None` if it does not parse; those take no part under `SEMVER`.
    version: Option<Version>,
    /// `None` if the product is one line, or if it is in none of its lines.
    line: Option<Line>,
    /// Whether it is recorded as containing the fix.
    fixes: bool,
}

/// A release that is out, runs on the platform, and contains the fix; with its version.
type Live<'j, 'a> = (&'j Known<'a>, &'j Version);

/// Which releases an installation can run.
type Runs<'r> = &'r dyn Fn(&ReleaseFacts) -> bool;

impl<'a> Judge<'a> {
    /// Prepares a product and the releases recorded as containing the fix.
    pub fn new(product: &'a ProductFacts, fixes: &BTreeSet<ReleaseId>) -> Self {
        let mut line_names: Vec<&str> = product.lines.iter().map(String::as_str).collect();
        line_names.extend(product.releases.iter().filter_map(|release| release.line.as_deref()));
        line_names.retain(|name| !name.trim().is_empty());
        let mut lines: BTreeSet<Line> = line_names.iter().filter_map(|name| Line::parse(name)).collect();
        // Two numbers, as in 2.4, unless the product names its lines otherwise.
        let line_length = lines.iter().filter_map(length).max().unwrap_or(2);

        let platforms = product.releases.iter().flat_map(|release| &release.platforms).map(String::as_str).collect();
        let mut releases: Vec<Known<'a>> = product
            .releases
            .iter()
            .map(|facts| Known {
                facts,
                version: Version::parse(&facts.version).ok(),
                line: facts.line.as_deref().and_then(Line::parse),
                fixes: fixes.contains(&facts.id),
            })
            .collect();
        releases.sort_by_key(|release| release.facts.sequence);
        if product.scheme == VersionScheme::Semver && !lines.is_empty() {
            // A fix outside all lines shows that somebody maintains one there.
            let opened: Vec<Line> = releases
                .iter()
                .filter(|release| release.fixes && release.line.is_none())
                .filter_map(|release| release.version.as_ref())
                .filter(|version| longest_line(&lines, version).is_none())
                .map(|version| Line::around(version, line_length))
                .collect();
            lines.extend(opened);
            for release in releases.iter_mut().filter(|release| release.line.is_none()) {
                release.line = release.version.as_ref().and_then(|version| longest_line(&lines, version));
            }
        }

        let mut standing: Vec<_> = releases
            .iter()
            .enumerate()
            .flat_map(|(index, release)| release.facts.deployments.iter().map(move |deployment| (index, deployment)))
            .filter(|(_, deployment)| !deployment.rolled_back)
            .collect();
        standing.sort_by_key(|(index, deployment)| Reverse((deployment.sequence, *index)));
        Self { scheme: product.scheme, releases, lines, line_length, line_names, platforms, standing }
    }

    /// Says whether the fix has reached this installation.
    pub fn judge(&self, installation: &InstallationFacts) -> Coverage {
        if !self.releases.iter().any(|release| release.fixes) {
            return Coverage::by(Rule::NoReleaseWithFix, None);
        }
        if !self.releases.iter().any(Known::is_out_with_fix) {
            return waiting(self.recorded());
        }
        if let Some(platform) = known(installation.platform.as_deref()) {
            return self.judge_on(installation, Some(&platform.to_lowercase()));
        }
        // It may run on any platform: only what holds on all of them holds. One that no release names stands for the
        // rest of the world.
        let elsewhere = self.judge_on(installation, None);
        let named: Vec<Coverage> =
            self.platforms.iter().map(|platform| self.judge_on(installation, Some(platform))).collect();
        let helps = |coverage: &Coverage| coverage.verdict.allows_fix_available();
        if helps(&elsewhere) && named.iter().all(helps) || named.iter().all(|other| other.verdict == elsewhere.verdict)
        {
            return elsewhere;
        }
        let to_name = named.into_iter().find(|coverage| helps(coverage) || coverage.verdict == Verdict::Unknown);
        Coverage { verdict: Verdict::Unknown, rule: Rule::PlatformUnknown, ..to_name.unwrap_or(elsewhere) }
    }

    /// Judges for one platform; `None` is one that no release names.
    fn judge_on(&self, installation: &InstallationFacts, platform: Option<&str>) -> Coverage {
        let runs: Runs<'_> = &|release| {
            release.platforms.is_empty() || platform.is_some_and(|platform| release.platforms.contains(platform))
        };
        if !self.releases.iter().any(|release| release.is_out_with_fix() && runs(release.facts)) {
            return waiting(self.recorded());
        }
        match self.scheme {
            VersionScheme::Semver => self.judge_version(installation, runs),
            VersionScheme::Continuous => self.judge_deployments(installation, runs),
        }
    }

    /// All releases recorded with the fix, whatever their state.
    fn recorded(&self) -> impl Iterator<Item = &Known<'a>> {
        self.releases.iter().filter(|release| release.fixes)
    }
}

impl Known<'_> {
    fn is_out(&self) -> bool {
        self.facts.state == ReleaseState::Released
    }

    fn is_out_with_fix(&self) -> bool {
        self.fixes && self.is_out()
    }
}

/// Semantic versions, line by line.
impl<'a> Judge<'a> {
    fn judge_version(&self, installation: &InstallationFacts, runs: Runs<'_>) -> Coverage {
        let mut live: Vec<Live<'_, 'a>> = self
            .releases
            .iter()
            .filter(|release| release.is_out_with_fix() && runs(release.facts))
            .filter_map(|release| Some((release, release.version.as_ref()?)))
            .collect();
        live.sort_by_key(|(_, version)| *version);

        let unknown = |rule| Coverage::by(rule, to_name(&live, installation));
        let Some(text) = known(installation.version.as_deref()) else { return unknown(Rule::VersionUnknown) };
        let Ok(version) = Version::parse(text) else { return unknown(Rule::VersionIncomparable) };
        if live.is_empty() {
            return unknown(Rule::VersionIncomparable);
        }

        let exact = self.find_exactly(text, &version);
        let line = exact.and_then(|release| release.line.clone()).or_else(|| longest_line(&self.lines, &version));
        let in_line = |release: &Known<'_>| release.line == line;
        if self.lines.is_empty() || (line.is_some() && self.recorded().any(in_line)) {
            live.retain(|(release, _)| in_line(release));
            return self.judge_in_line(&version, line.as_ref(), exact, &live, installation, runs);
        }
        match &line {
            Some(Line::Named(_)) => Coverage::by(Rule::LineWithoutFix, None),
            None if exact.is_none() && self.lines.iter().any(|line| length(line).is_none()) => {
                unknown(Rule::LineUnknown)
            }
            _ => self.judge_across_lines(&version, line.as_ref(), &live, installation),
        }
    }

    /// The line has, plans or had a fix of its own.
    fn judge_in_line(
        &self,
        version: &Version,
        line: Option<&Line>,
        exact: Option<&Known<'a>>,
        live: &[Live<'_, 'a>],
        installation: &InstallationFacts,
        runs: Runs<'_>,
    ) -> Coverage {
        let recorded = || self.recorded().filter(|release| release.line.as_ref() == line);
        // Without declared lines a backport still shows: 2.3.7 says nothing about 2.4.0 when 2.4.1 fixes it again.
        let needs_its_own = |fix: &Version| {
            self.lines.is_empty()
                && !fix.same_minor(version)
                && recorded()
                    .filter_map(|release| release.version.as_ref())
                    .any(|other| other > version && other.same_minor(version))
        };
        let mut incomparable = false;
        for (fix, fix_version) in live.iter().filter(|(_, fix_version)| !needs_its_own(fix_version)) {
            match self.reaches(version, fix, fix_version) {
                Some(true) => {
                    let own = exact.filter(|release| release.is_out_with_fix() && runs(release.facts));
                    return Coverage::by(Rule::SameLineAtOrAfter, Some(own.unwrap_or(fix).facts));
                }
                Some(false) => {}
                None => incomparable = true,
            }
        }
        if incomparable {
            return Coverage::by(Rule::VersionIncomparable, to_name(live, installation));
        }

        // What can be moved to: the fix, or a later release of its line, if the fix itself was not taken back.
        let carries = |release: &Known<'_>, target: &Version| {
            live.iter().any(|(fix, fix_version)| {
                fix.facts.id == release.facts.id || (target > *fix_version && stands_somewhere(fix.facts))
            })
        };
        let mut targets: Vec<Live<'_, 'a>> = self
            .releases
            .iter()
            .filter(|release| release.is_out() && runs(release.facts) && release.line.as_ref() == line)
            .filter_map(|release| Some((release, release.version.as_ref()?)))
            .filter(|(release, target)| *target > version && carries(release, target))
            .collect();
        if targets.is_empty() {
            return waiting(recorded().filter(|release| !(release.is_out() && runs(release.facts))));
        }
        targets.sort_by_key(|(_, version)| *version);
        let earliest = targets[0].0.facts;
        if !version.is_prerelease() {
            targets.retain(|(_, target)| !target.is_prerelease());
        }
        let Some(first) = targets.first().map(|(release, _)| release.facts) else {
            return Coverage::by(Rule::PrereleaseOnly, Some(earliest));
        };
        if let Some((target, _)) = targets.iter().find(|(target, _)| can_be_had(target.facts, installation)) {
            return Coverage::by(Rule::SameLineBefore, Some(target.facts));
        }
        match targets.iter().find(|(target, _)| has_begun(target.facts, installation)) {
            Some((target, _)) => Coverage::by(Rule::RolloutPartial, Some(target.facts)),
            None => Coverage::by(Rule::RolloutElsewhere, Some(first)),
        }
    }

    /// The line, if any, knows nothing of the fix; other lines have it.
    fn judge_across_lines(
        &self,
        version: &Version,
        line: Option<&Line>,
        live: &[Live<'_, 'a>],
        installation: &InstallationFacts,
    ) -> Coverage {
        let fixed: BTreeSet<&Line> =
            live.iter().filter_map(|(fix, _)| fix.line.as_ref()).filter(|line| length(line).is_some()).collect();
        let above_all = fixed.iter().all(|fixed| fixed.place(version) == Some(Ordering::Greater));
        let Some(nearest) = fixed.last().filter(|_| above_all) else {
            let rule = if line.is_some() { Rule::LineWithoutFix } else { Rule::LineNotMaintained };
            return Coverage::by(rule, None);
        };
        let in_nearest = || live.iter().map(|(fix, _)| *fix).filter(|fix| fix.line.as_ref() == Some(*nearest));
        let fixed_at = in_nearest().map(|fix| fix.facts.sequence).min();
        let own = line.cloned().unwrap_or_else(|| Line::around(version, self.line_length));
        let existed_before = self.releases.iter().any(|release| {
            Some(release.facts.sequence) < fixed_at
                && match (line, &release.version) {
                    (None, Some(version)) => release.line.is_none() && own.place(version) == Some(Ordering::Equal),
                    _ => release.line.as_ref() == Some(&own),
                }
        });
        if existed_before {
            Coverage::by(Rule::LineWithoutFix, None)
        } else if version.is_prerelease() {
            Coverage::by(Rule::PrereleaseBeforeFix, to_name(live, installation))
        } else {
            Coverage::by(Rule::LaterLine, in_nearest().next().map(|fix| fix.facts))
        }
    }

    /// Whether a version of the fix's line contains the fix; `None` if only build metadata could tell.
    fn reaches(&self, version: &Version, fix: &Known<'_>, fix_version: &Version) -> Option<bool> {
        match version.cmp(fix_version) {
            Ordering::Greater => Some(true),
            Ordering::Less => Some(false),
            Ordering::Equal if fix_version.build().is_empty() || fix_version.build() == version.build() => Some(true),
            Ordering::Equal if version.build().is_empty() => {
                let other_build = self.releases.iter().any(|release| {
                    release.version.as_ref() == Some(fix_version) && !release.fixes && release.line == fix.line
                });
                (!other_build).then_some(true)
            }
            Ordering::Equal => None,
        }
    }

    /// The release with exactly this version, better by its text than by its precedence.
    fn find_exactly(&self, text: &str, version: &Version) -> Option<&Known<'a>> {
        let mut equal = self.releases.iter().filter(|release| release.version.as_ref() == Some(version));
        equal.clone().find(|release| release.facts.version.trim() == text).or_else(|| equal.next())
    }
}

/// Deployments, from the newest down.
impl<'a> Judge<'a> {
    fn judge_deployments(&self, installation: &InstallationFacts, runs: Runs<'_>) -> Coverage {
        let version = known(installation.version.as_deref());
        let named =
            version.and_then(|version| self.releases.iter().find(|release| release.facts.version.trim() == version));
        // What was taken back from its place does not run there any more, whatever it last reported.
        let reported = named.filter(|release| !was_rolled_back(release.facts, installation));
        if let Some(release) = reported
            && self.carries(release, runs)
        {
            return Coverage::by(Rule::SameLineAtOrAfter, self.first_fix(&release.line, runs));
        }
        let line = match named {
            Some(release) => Some(release.line.clone()),
            None => version.and_then(|version| line_of(version, self.line_names.iter().copied())).map(Line::parse),
        };
        if let Some(line) = &line
            && self.first_fix(line, runs).is_none()
        {
            let mut recorded = self.recorded().filter(|release| release.line == *line).peekable();
            return match recorded.peek() {
                Some(_) => waiting(recorded),
                None => Coverage::by(Rule::LineWithoutFix, None),
            };
        }
        let coverage = self.judge_places(line.as_ref(), installation, runs);
        match reported {
            Some(_) if coverage.verdict == Verdict::Covered => {
                Coverage { verdict: Rule::DeployedSince.verdict(), rule: Rule::DeployedSince, ..coverage }
            }
            _ => coverage,
        }
    }

    /// Judges by what may run in the installation's place; on every line there, unless its line is known.
    fn judge_places(&self, line: Option<&Option<Line>>, installation: &InstallationFacts, runs: Runs<'_>) -> Coverage {
        let here: Vec<(&Known<'a>, &DeploymentFacts, Match)> = self
            .standing
            .iter()
            .map(|(index, deployment)| (&self.releases[*index], *deployment))
            .filter(|(release, _)| runs(release.facts) && line.is_none_or(|line| release.line == *line))
            .map(|(release, deployment)| (release, deployment, matching(deployment, installation)))
            .filter(|(_, _, matched)| *matched != Match::No)
            .collect();
        let lines: BTreeSet<&Option<Line>> = here.iter().map(|(release, _, _)| &release.line).collect();

        let mut covering = None;
        let mut without_fix = None;
        let mut open_end = lines.is_empty();
        for line in lines {
            let mut complete = false;
            // At 0 percent nobody runs it.
            for (release, deployment, matched) in
                here.iter().filter(|(release, deployment, _)| release.line == *line && deployment.percent > 0)
            {
                if !self.carries(release, runs) {
                    without_fix = without_fix.or(Some(*release));
                }
                if deployment.percent >= 100 && *matched == Match::Yes {
                    complete = true;
                    covering = covering.or(self.first_fix(line, runs));
                    break;
                }
            }
            // Nothing says what the rest of the place runs.
            open_end |= !complete;
        }
        match without_fix {
            None if !open_end => return Coverage::by(Rule::Deployed, covering),
            Some(release) if self.first_fix(&release.line, runs).is_none() => {
                return Coverage::by(Rule::LineWithoutFix, None);
            }
            Some(release) if self.would_carry(release, runs) => {
                return Coverage::by(Rule::ReleaseYanked, Some(release.facts));
            }
            _ => {}
        }
        let partly = here
            .iter()
            .filter(|(release, deployment, matched)| {
                *matched == Match::Yes && deployment.percent < 100 && self.carries(release, runs)
            })
            .map(|(release, _, _)| release.facts)
            .next();
        let awaited = || self.releases.iter().find(|release| release.is_out_with_fix() && runs(release.facts));
        match partly {
            Some(release) => Coverage::by(Rule::RolloutPartial, Some(release)),
            None => Coverage::by(Rule::RolloutElsewhere, awaited().map(|release| release.facts)),
        }
    }

    /// The earliest release of a line that is out with the fix.
    fn first_fix(&self, line: &Option<Line>, runs: Runs<'_>) -> Option<&'a ReleaseFacts> {
        self.releases
            .iter()
            .find(|release| release.is_out_with_fix() && release.line == *line && runs(release.facts))
            .map(|release| release.facts)
    }

    /// Whether a release has the fix: each replaces the one before, so all after the first do.
    fn carries(&self, release: &Known<'_>, runs: Runs<'_>) -> bool {
        release.facts.state != ReleaseState::Yanked && self.would_carry(release, runs)
    }

    fn would_carry(&self, release: &Known<'_>, runs: Runs<'_>) -> bool {
        self.first_fix(&release.line, runs).is_some_and(|fix| fix.sequence <= release.facts.sequence)
    }
}

/// Why releases recorded with the fix are of no use: the most hopeful reason, and the release it is about.
fn waiting<'k, 'a: 'k>(recorded: impl Iterator<Item = &'k Known<'a>>) -> Coverage {
    let first = recorded.min_by_key(|release| match release.facts.state {
        ReleaseState::Released => 0,
        ReleaseState::Planned => 1,
        ReleaseState::Yanked => 2,
    });
    let rule = match first.map(|release| release.facts.state) {
        Some(ReleaseState::Released) => Rule::PlatformWithoutFix,
        Some(ReleaseState::Planned) => Rule::ReleasePlanned,
        Some(ReleaseState::Yanked) => Rule::ReleaseYanked,
        None => Rule::NoReleaseWithFix,
    };
    Coverage::by(rule, first.map(|release| release.facts))
}

/// The release to name in conditional words: of those to be had in the highest line, the earliest.
fn to_name<'a>(live: &[Live<'_, 'a>], installation: &InstallationFacts) -> Option<&'a ReleaseFacts> {
    let available = || live.iter().map(|(fix, _)| *fix).filter(|fix| can_be_had(fix.facts, installation));
    let highest = available().map(|fix| &fix.line).max()?;
    available().find(|fix| fix.line == *highest).map(|fix| fix.facts)
}

/// How many numbers name the line; `None` for a named one.
fn length(line: &Line) -> Option<usize> {
    match line {
        Line::Named(_) => None,
        Line::Numbered(numbers) => Some(numbers.len()),
    }
}

fn longest_line(lines: &BTreeSet<Line>, version: &Version) -> Option<Line> {
    lines.iter().filter(|line| line.place(version) == Some(Ordering::Equal)).max_by_key(|line| length(line)).cloned()
}

/// Whether a deployment is where an installation is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    No,
    /// It names a region or ring, and the installation's is not known.
    Maybe,
    Yes,
}

fn matching(deployment: &DeploymentFacts, installation: &InstallationFacts) -> Match {
    let named = |place: &Option<String>, own: &Option<String>| match (known(place.as_deref()), known(own.as_deref())) {
        (None, _) => Match::Yes,
        (Some(_), None) => Match::Maybe,
        (Some(place), Some(own)) if place.eq_ignore_ascii_case(own) => Match::Yes,
        (Some(_), Some(_)) => Match::No,
    };
    if !environment(&deployment.environment).eq_ignore_ascii_case(environment(&installation.environment)) {
        return Match::No;
    }
    named(&deployment.region, &installation.region).min(named(&deployment.ring, &installation.ring))
}

/// Whether an installation can have a release now. Without any deployment record, everybody can.
fn can_be_had(release: &ReleaseFacts, installation: &InstallationFacts) -> bool {
    release.deployments.is_empty() || standing_here(release, installation).any(|deployment| deployment.percent >= 100)
}

/// An environment nobody named is production.
fn environment(name: &str) -> &str {
    known(Some(name)).unwrap_or(PRODUCTION)
}

/// Whether a release is on its way to an installation's place.
fn has_begun(release: &ReleaseFacts, installation: &InstallationFacts) -> bool {
    standing_here(release, installation).any(|deployment| deployment.percent < 100)
}

fn standing_here<'r>(
    release: &'r ReleaseFacts,
    installation: &'r InstallationFacts,
) -> impl Iterator<Item = &'r DeploymentFacts> {
    release
        .deployments
        .iter()
        .filter(|deployment| !deployment.rolled_back && matching(deployment, installation) == Match::Yes)
}

/// Whether not all of its deployments were taken back.
fn stands_somewhere(release: &ReleaseFacts) -> bool {
    release.deployments.is_empty() || release.deployments.iter().any(|deployment| !deployment.rolled_back)
}

/// Whether it was taken back from where an installation may be, and nothing says that it is still there.
fn was_rolled_back(release: &ReleaseFacts, installation: &InstallationFacts) -> bool {
    let mut deployments = release.deployments.iter();
    deployments.any(|deployment| deployment.rolled_back && matching(deployment, installation) != Match::No)
        && standing_here(release, installation).next().is_none()
}

/// A text that says something.
fn known(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
