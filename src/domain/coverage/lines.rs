//! Semantic versions, judged line by line.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use super::rollout::{can_be_had, has_begun, stands_somewhere};
use super::{Coverage, InstallationFacts, Judge, Known, ReleaseFacts, Rule, Runs, known, waiting};
use crate::domain::version::{Line, Version};

/// A release that is out, runs on the platform, and contains the fix; with its version.
type Live<'j, 'a> = (&'j Known<'a>, &'j Version);

impl<'a> Judge<'a> {
    pub(super) fn judge_version(&self, installation: &InstallationFacts, runs: Runs<'_>) -> Coverage {
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
        let line = self.line_at(text, &version);
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
        let says_nothing_about = |fix: &Known<'_>, version: &Version| self.is_backport_to(fix, version);
        let (mut incomparable, mut may_be_older) = (false, false);
        for (fix, fix_version) in live.iter().filter(|(fix, _)| !says_nothing_about(fix, version)) {
            match self.reaches(version, fix, fix_version) {
                // Nobody recorded it, so nobody knows which of the two came first.
                Some(true) if self.lines.is_empty() && exact.is_none() && is_early(version, fix_version) => {
                    may_be_older = true;
                }
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
        if may_be_older {
            return Coverage::by(Rule::PrereleaseBeforeFix, to_name(live, installation));
        }

        // What can be moved to: the fix, or a later release of its line, if the fix itself was not taken back.
        let carries = |release: &Known<'_>, target: &Version| {
            live.iter().any(|(fix, fix_version)| {
                fix.facts.id == release.facts.id
                    || (target > *fix_version && !says_nothing_about(fix, target) && stands_somewhere(fix.facts))
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
            let mut not_out = recorded().filter(|release| !(release.is_out() && runs(release.facts))).peekable();
            return match not_out.peek() {
                Some(_) => waiting(not_out),
                // What is out are backports to lower lines.
                None => Coverage::by(Rule::LineWithoutFix, None),
            };
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

    /// Without declared lines a backport still shows: 2.3.7 says nothing about 2.4.0 when 2.4.1 fixes it again, nor when
    /// some 2.4 was there before 2.3.7 was.
    fn is_backport_to(&self, fix: &Known<'_>, version: &Version) -> bool {
        let below = fix.version.as_ref().is_some_and(|fix| fix < version && !fix.same_minor(version));
        self.lines.is_empty()
            && below
            && self.releases.iter().any(|other| {
                other.version.as_ref().is_some_and(|other_version| {
                    let fixes_again = other.fixes && other_version > version;
                    let was_there = other.facts.sequence < fix.facts.sequence;
                    other_version.same_minor(version) && (fixes_again || was_there)
                })
            })
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

    /// The fixes above what an installation runs, and of them those of its own line. Both empty without a version.
    pub(super) fn above(&self, installation: &InstallationFacts) -> (Vec<&ReleaseFacts>, Vec<&ReleaseFacts>) {
        let text = known(installation.version.as_deref()).unwrap_or_default();
        let Ok(version) = Version::parse(text) else { return Default::default() };
        let line = self.line_at(text, &version);
        let is_above =
            |fix_line: Option<&Line>| fix_line.and_then(|line| line.place(&version)) == Some(Ordering::Greater);
        let above = self.recorded().filter(|fix| {
            let reached = fix.version.as_ref().map(|fix_version| self.reaches(&version, fix, fix_version));
            // A lower line's fix counts as in the lines above it, whatever its version.
            reached.is_some_and(|reached| reached != Some(true)) && (fix.line == line || !is_above(fix.line.as_ref()))
        });
        let own_line = above.clone().filter(|fix| fix.line == line);
        (above.clone().map(|fix| fix.facts).collect(), own_line.map(|fix| fix.facts).collect())
    }

    /// The line a version belongs to: its release's, if there is one.
    fn line_at(&self, text: &str, version: &Version) -> Option<Line> {
        let exact = self.find_exactly(text, version);
        exact.and_then(|release| release.line.clone()).or_else(|| longest_line(&self.lines, version))
    }

    /// The release with exactly this version, better by its text than by its precedence.
    fn find_exactly(&self, text: &str, version: &Version) -> Option<&Known<'a>> {
        let mut equal = self.releases.iter().filter(|release| release.version.as_ref() == Some(version));
        equal.clone().find(|release| release.facts.version.trim() == text).or_else(|| equal.next())
    }
}

/// Whether a version is a prerelease of a later minor version than the fix is of.
fn is_early(version: &Version, fix: &Version) -> bool {
    version.is_prerelease() && !version.same_minor(fix)
}

/// The release to name in conditional words: of those to be had in the highest line, the earliest.
fn to_name<'a>(live: &[Live<'_, 'a>], installation: &InstallationFacts) -> Option<&'a ReleaseFacts> {
    let available = || live.iter().map(|(fix, _)| *fix).filter(|fix| can_be_had(fix.facts, installation));
    let highest = available().map(|fix| &fix.line).max()?;
    available().find(|fix| fix.line == *highest).map(|fix| fix.facts)
}

/// How many numbers name the line; `None` for a named one.
pub(super) fn length(line: &Line) -> Option<usize> {
    match line {
        Line::Named(_) => None,
        Line::Numbered(numbers) => Some(numbers.len()),
    }
}

pub(super) fn longest_line(lines: &BTreeSet<Line>, version: &Version) -> Option<Line> {
    lines.iter().filter(|line| line.place(version) == Some(Ordering::Equal)).max_by_key(|line| length(line)).cloned()
}
