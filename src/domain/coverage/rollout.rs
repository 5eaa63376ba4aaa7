//! Deployments: what runs where, and where a release has arrived.

use std::collections::BTreeSet;

use super::{Coverage, DeploymentFacts, InstallationFacts, Judge, Known, PRODUCTION, ReleaseFacts, ReleaseState};
use super::{Rule, Runs, Verdict, known, waiting};
use crate::domain::version::{Line, line_of};

/// From the newest down.
impl<'a> Judge<'a> {
    pub(super) fn judge_deployments(&self, installation: &InstallationFacts, runs: Runs<'_>) -> Coverage {
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
pub(super) fn can_be_had(release: &ReleaseFacts, installation: &InstallationFacts) -> bool {
    release.deployments.is_empty() || standing_here(release, installation).any(|deployment| deployment.percent >= 100)
}

/// An environment nobody named is production.
fn environment(name: &str) -> &str {
    known(Some(name)).unwrap_or(PRODUCTION)
}

/// Whether a release is on its way to an installation's place.
pub(super) fn has_begun(release: &ReleaseFacts, installation: &InstallationFacts) -> bool {
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
pub(super) fn stands_somewhere(release: &ReleaseFacts) -> bool {
    release.deployments.is_empty() || release.deployments.iter().any(|deployment| !deployment.rolled_back)
}

/// Whether it was taken back from where an installation may be, and nothing says that it is still there.
fn was_rolled_back(release: &ReleaseFacts, installation: &InstallationFacts) -> bool {
    let mut deployments = release.deployments.iter();
    deployments.any(|deployment| deployment.rolled_back && matching(deployment, installation) != Match::No)
        && standing_here(release, installation).next().is_none()
}
