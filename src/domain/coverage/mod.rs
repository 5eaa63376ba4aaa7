//! Coverage: whether the fix of a defect has reached what a customer runs, and by which rule.
//!
//! Everything here is a pure function over plain data, so the same facts always give the same verdict. What is not
//! known stays unknown, and of two readings the one that waits is taken: a customer told too late can still be told, a
//! customer told something false cannot be untold.
//!
//! Under `SEMVER` versions are compared per release line. A line's own fix decides for the line. A line above every
//! fixed one has the fix only if nothing shows that it branched off earlier; a line that plans the fix, or had it
//! withdrawn, evidently needs its own. A product without lines is one line, but for what shows that it is not: a fix
//! of a lower minor version that was recorded after a higher one was there is a backport, and says nothing about it.
//! Deployments gate who can *get* a release, never whether somebody who reports to run it has it.
//!
//! Under `CONTINUOUS` deployments say what runs where. The newest that reached all of a place hides the older ones
//! there; those above it that reached a part may run as well, so all of them must have the fix.
//!
//! [`Judge`] prepares a product once for many installations. Which releases contain a fix, and which installations a
//! customer has, is the caller's knowledge.

mod facts;
mod lines;
mod reported;
mod rollout;
mod verdict;

use std::cmp::Reverse;
use std::collections::BTreeSet;

pub use facts::{DeploymentFacts, InstallationFacts, PRODUCTION, ProductFacts, ReleaseFacts, ReleaseState};
pub use reported::{Reported, reported};
pub use verdict::{Coverage, Rule, Verdict};

use self::lines::{length, longest_line};
use super::id::ReleaseId;
use super::version::{Line, Version, VersionScheme};

/// Says whether a fix has reached an installation. For many installations, prepare a [`Judge`].
pub fn judge(product: &ProductFacts, fixes: &BTreeSet<ReleaseId>, installation: &InstallationFacts) -> Coverage {
    Judge::new(product, fixes).judge(installation)
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
    fn recorded(&self) -> impl Iterator<Item = &Known<'a>> + Clone {
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

/// A text that says something.
fn known(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests;
