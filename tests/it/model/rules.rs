//! What may be said to whom: a second, naive reading of the rules, over [`Facts`] alone.

use super::facts::{DefectState, Deployment, Facts, PRODUCTS, Release, ReleaseState, Report, Runs, Scheme, Time};

/// Whether a fix has reached somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Covered,
    UpgradeAvailable,
    /// Nothing to be had anywhere helps this customer.
    NotYet,
    /// Something does, and has not reached them.
    OnItsWay,
    NotApplicable,
    Unknown,
}

/// How one report stands to one defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum View {
    /// The fix helps.
    Helps(Verdict),
    /// What the customer ran when reporting had the fix, and no later one helps.
    Regression,
    /// It does not, and may yet.
    Waits,
    /// It does not, and the defect was closed without another.
    Ends,
    /// It will not come to what the customer runs.
    Never,
    /// Nobody can know.
    Unknown,
}

impl Facts {
    /// Whether FIX_AVAILABLE may be said now.
    pub(super) fn is_sayable(&self, customer: usize, defect: usize) -> bool {
        self.reports_about(customer, defect).into_iter().any(|report| self.report_allows(report, defect))
    }

    /// Whether FIX_AVAILABLE is true, if it was said.
    pub(super) fn holds(&self, customer: usize, defect: usize) -> bool {
        self.reports_about(customer, defect)
            .into_iter()
            .any(|report| !matches!(self.verdict_of(report, defect), Verdict::NotYet | Verdict::OnItsWay))
    }

    /// A customer's reports in clusters linked to the defect.
    pub(super) fn reports_about(&self, customer: usize, defect: usize) -> Vec<usize> {
        let about = |&number: &usize| {
            let report = &self.reports[number];
            report.customer == customer && self.clusters[report.cluster].links.contains_key(&defect)
        };
        (0..self.reports.len()).filter(about).collect()
    }

    fn report_allows(&self, report: usize, defect: usize) -> bool {
        let helps = |defect| matches!(self.view(report, defect), View::Helps(_));
        let links = &self.clusters[self.reports[report].cluster].links;
        let others_allow = self.any_defect
            || links
                .keys()
                .filter(|&&other| other != defect)
                .all(|&other| helps(other) || self.is_given_up(report, other));
        helps(defect) && others_allow && (self.any_defect || self.is_together(report))
    }

    /// Whether a release that the customer can have helps with all that helps at all; or nothing has to be done.
    fn is_together(&self, report: usize) -> bool {
        let product = self.reports[report].product();
        let links = &self.clusters[self.reports[report].cluster].links;
        let views = links.keys().map(|&defect| (defect, self.view(report, defect)));
        let helping: Vec<(usize, Verdict)> = views
            .filter_map(|(defect, view)| match view {
                View::Helps(verdict) => Some((defect, verdict)),
                _ => None,
            })
            .collect();
        if PRODUCTS[product].scheme == Scheme::Continuous
            || helping.len() < 2
            || helping.iter().all(|(_, verdict)| *verdict == Verdict::Covered)
        {
            return true;
        }
        let runs = self.what_runs(report);
        (0..self.releases.len()).filter(|&release| self.releases[release].product == product).any(|release| {
            let moved = Runs { version: Some(self.releases[release].version), ring: runs.ring };
            self.cover(product, &[release], runs, None) == Verdict::UpgradeAvailable
                && helping.iter().all(|&(defect, _)| {
                    let fixes = self.helping(report, &self.fixes(product, defect));
                    self.cover(product, &fixes, &moved, None) == Verdict::Covered
                })
        })
    }

    /// Closed without a fix, and none helps either: nobody waits for it.
    fn is_given_up(&self, report: usize, defect: usize) -> bool {
        self.defects[defect].state == DefectState::ClosedWithoutFix && self.view(report, defect) == View::Ends
    }

    /// How a report stands to a defect of its cluster.
    pub(super) fn view(&self, report: usize, defect: usize) -> View {
        let verdict = self.verdict_of(report, defect);
        let helps = matches!(verdict, Verdict::Covered | Verdict::UpgradeAvailable);
        if !helps && self.is_regression(report, defect) {
            return View::Regression;
        }
        match verdict {
            verdict @ (Verdict::Covered | Verdict::UpgradeAvailable) => View::Helps(verdict),
            Verdict::NotYet if self.defects[defect].state == DefectState::ClosedWithoutFix => View::Ends,
            Verdict::NotYet | Verdict::OnItsWay => View::Waits,
            Verdict::NotApplicable => View::Never,
            Verdict::Unknown => View::Unknown,
        }
    }

    /// Whether what the customer ran when reporting had the fix.
    fn had_the_fix(&self, report: usize, fixes: &[usize]) -> bool {
        let report = &self.reports[report];
        self.cover(report.product(), fixes, &report.runs, Some(report.time)) == Verdict::Covered
    }

    /// The fixes that can help: all, but to those who had one when reporting only the later ones.
    fn helping(&self, report: usize, fixes: &[usize]) -> Vec<usize> {
        let mut helping = fixes.to_vec();
        if self.had_the_fix(report, fixes) {
            let Report { runs, .. } = &self.reports[report];
            helping.retain(|&fix| match PRODUCTS[self.releases[fix].product].scheme {
                Scheme::Semver => {
                    runs.version.is_some_and(|version| parse(self.releases[fix].version) > parse(version))
                }
                Scheme::Continuous => !self.had_the_fix(report, &[fix]),
            });
        }
        helping
    }

    /// Had the fix, and there is no later one in the line.
    fn is_regression(&self, report: usize, defect: usize) -> bool {
        let Report { runs, .. } = &self.reports[report];
        let product = self.reports[report].product();
        let fixes = self.fixes(product, defect);
        let lines = self.lines(product, &fixes);
        let in_line = |fix: &usize| {
            runs.version.is_none_or(|version| {
                PRODUCTS[product].scheme == Scheme::Continuous
                    || line_of(self.releases[*fix].version, &lines) == line_of(version, &lines)
            })
        };
        self.had_the_fix(report, &fixes) && !self.helping(report, &fixes).iter().any(in_line)
    }

    fn verdict_of(&self, report: usize, defect: usize) -> Verdict {
        let product = self.reports[report].product();
        let helping = self.helping(report, &self.fixes(product, defect));
        self.cover(product, &helping, self.what_runs(report), None)
    }

    /// What the customer runs of the report's product, as last heard; else what the report says.
    pub(super) fn what_runs(&self, report: usize) -> &Runs {
        let report = &self.reports[report];
        self.customers[report.customer].installations.get(&report.product()).unwrap_or(&report.runs)
    }

    /// Whether somebody who runs `version` has the fix, for checking what a letter promises.
    pub(super) fn contains_fix(&self, product: usize, version: &'static str, defect: usize) -> bool {
        let runs = Runs { version: Some(version), ring: None };
        let fixes = self.fixes(product, defect);
        match PRODUCTS[product].scheme {
            Scheme::Semver => self.cover(product, &fixes, &runs, None) == Verdict::Covered,
            Scheme::Continuous => {
                let release = self.release_of(product, version).map(|release| &self.releases[release]);
                release.is_some_and(|release| self.carries(release, &fixes))
            }
        }
    }

    fn cover(&self, product: usize, fixes: &[usize], runs: &Runs, as_of: Option<Time>) -> Verdict {
        let live: Vec<&Release> =
            fixes.iter().map(|&fix| &self.releases[fix]).filter(|fix| fix.state == ReleaseState::Released).collect();
        if live.is_empty() {
            return Verdict::NotYet;
        }
        match PRODUCTS[product].scheme {
            Scheme::Semver => self.cover_version(product, fixes, &live, runs),
            Scheme::Continuous => self.cover_place(product, fixes, runs, as_of),
        }
    }

    // Semantic versions.

    fn cover_version(&self, product: usize, fixes: &[usize], live: &[&Release], runs: &Runs) -> Verdict {
        let Some(version) = runs.version else { return Verdict::Unknown };
        let lines = self.lines(product, fixes);
        let line = line_of(version, &lines);
        let of_line = |other: &str| line_of(other, &lines) == line;
        if lines.is_empty() || line.is_some() && fixes.iter().any(|&fix| of_line(self.releases[fix].version)) {
            return self.cover_in_line(product, fixes, version, runs, &of_line);
        }
        let fixed: Vec<Version> = live.iter().filter_map(|fix| Some(parse(&line_of(fix.version, &lines)?))).collect();
        let own = parse(&minor(version));
        let Some(nearest) = fixed.iter().max().filter(|nearest| own > **nearest) else {
            return if line.is_some() { Verdict::NotYet } else { Verdict::NotApplicable };
        };
        // A later line has the fix, unless it was there before the fix was.
        let fixed_at = live
            .iter()
            .filter(|fix| line_of(fix.version, &lines).is_some_and(|line| parse(&line) == *nearest))
            .map(|fix| fix.sequence)
            .min();
        let was_there = self.releases.iter().any(|release| {
            release.product == product && Some(release.sequence) < fixed_at && minor(release.version) == minor(version)
        });
        if was_there { Verdict::NotYet } else { Verdict::Covered }
    }

    fn cover_in_line(
        &self,
        product: usize,
        fixes: &[usize],
        version: &str,
        runs: &Runs,
        of_line: &dyn Fn(&str) -> bool,
    ) -> Verdict {
        let has_lines = !PRODUCTS[product].lines.is_empty();
        let recorded: Vec<&Release> =
            fixes.iter().map(|&fix| &self.releases[fix]).filter(|fix| of_line(fix.version)).collect();
        let is_in = |fix: &Release, version: &str| {
            // 1.0.1 says nothing about 1.1.0 when 1.1.1 fixes it again, or when some 1.1 was there before 1.0.1.
            let is_backport = !has_lines
                && minor(fix.version) != minor(version)
                && (recorded
                    .iter()
                    .any(|other| minor(other.version) == minor(version) && parse(other.version) > parse(version))
                    || self.releases.iter().any(|other| {
                        other.product == product
                            && minor(other.version) == minor(version)
                            && other.sequence < fix.sequence
                    }));
            fix.state == ReleaseState::Released && parse(version) >= parse(fix.version) && !is_backport
        };
        if recorded.iter().any(|fix| is_in(fix, version)) {
            return Verdict::Covered;
        }
        let taken_back = |fix: &Release| !fix.deployments.is_empty() && fix.deployments.iter().all(|it| it.rolled_back);
        let helps = |target: &Release| {
            target.state == ReleaseState::Released
                && parse(target.version) > parse(version)
                && of_line(target.version)
                && recorded.iter().any(|fix| {
                    fix.id == target.id
                        || is_in(fix, target.version) && fix.version != target.version && !taken_back(fix)
                })
        };
        let of_product = self.releases.iter().filter(|release| release.product == product);
        let mut helping = of_product.filter(|target| helps(target)).peekable();
        if helping.peek().is_none() {
            Verdict::NotYet
        } else if helping.any(|target| can_be_had(target, runs)) {
            Verdict::UpgradeAvailable
        } else {
            Verdict::OnItsWay
        }
    }

    /// The product's lines, and those that a fix outside them shows to be maintained.
    fn lines(&self, product: usize, fixes: &[usize]) -> Vec<String> {
        let mut lines: Vec<String> = PRODUCTS[product].lines.iter().map(|&line| line.to_owned()).collect();
        if !lines.is_empty() {
            lines.extend(fixes.iter().map(|&fix| minor(self.releases[fix].version)));
        }
        lines
    }

    // Deployments.

    fn carries(&self, release: &Release, fixes: &[usize]) -> bool {
        release.state != ReleaseState::Yanked && self.would_carry(release, fixes)
    }

    /// Each release replaces the one before, so all from the first fix on have it.
    fn would_carry(&self, release: &Release, fixes: &[usize]) -> bool {
        let first = fixes
            .iter()
            .map(|&fix| &self.releases[fix])
            .filter(|fix| fix.state == ReleaseState::Released)
            .map(|fix| fix.sequence)
            .min();
        first.is_some_and(|first| first <= release.sequence)
    }

    fn cover_place(&self, product: usize, fixes: &[usize], runs: &Runs, as_of: Option<Time>) -> Verdict {
        let counts = |deployment: &Deployment| {
            as_of.is_none_or(|as_of| {
                !deployment.rolled_back && deployment.full_time.is_some_and(|full_time| full_time <= as_of)
            })
        };
        let of_product: Vec<(&Release, Vec<&Deployment>)> = self
            .releases
            .iter()
            .filter(|release| release.product == product)
            .map(|release| (release, release.deployments.iter().filter(|deployment| counts(deployment)).collect()))
            .collect();
        let is_here = |deployment: &Deployment| deployment.ring.is_none() || deployment.ring == runs.ring;
        let may_be_here = |deployment: &Deployment| is_here(deployment) || runs.ring.is_none();

        let named = of_product.iter().find(|(release, _)| Some(release.version) == runs.version);
        let reported = named.filter(|(_, deployments)| {
            let gone = deployments.iter().any(|deployment| deployment.rolled_back && may_be_here(deployment));
            let stands = deployments.iter().any(|deployment| !deployment.rolled_back && is_here(deployment));
            !gone || stands
        });
        if reported.is_some_and(|(release, _)| self.carries(release, fixes)) {
            return Verdict::Covered;
        }
        let mut here: Vec<(&Release, &Deployment)> = of_product
            .iter()
            .flat_map(|(release, deployments)| deployments.iter().map(move |deployment| (*release, *deployment)))
            .filter(|(_, deployment)| !deployment.rolled_back && deployment.percent > 0 && may_be_here(deployment))
            .collect();
        here.sort_by_key(|(_, deployment)| std::cmp::Reverse(deployment.sequence));
        // From the newest down to the one that reached all of the place: any of these may run there.
        let reach_all = here.iter().position(|(_, deployment)| deployment.percent == 100 && is_here(deployment));
        let last = reach_all.unwrap_or(here.len().saturating_sub(1));
        let lacking = here.iter().take(last + 1).map(|(release, _)| release).find(|it| !self.carries(it, fixes));
        match lacking {
            None if reach_all.is_some() && reported.is_some() => Verdict::UpgradeAvailable,
            None if reach_all.is_some() => Verdict::Covered,
            // What runs there had the fix and was withdrawn.
            Some(release) if self.would_carry(release, fixes) => Verdict::NotYet,
            _ => Verdict::OnItsWay,
        }
    }
}

/// Three numbers; missing ones count as 0.
type Version = [u32; 3];

fn parse(text: &str) -> Version {
    let mut numbers = text.split('.').map(|number| number.parse().expect("the small world has plain versions"));
    [0; 3].map(|none| numbers.next().unwrap_or(none))
}

/// `2.4` of `2.4.1`.
fn minor(version: &str) -> String {
    let [major, minor, _] = parse(version);
    format!("{major}.{minor}")
}

fn line_of(version: &str, lines: &[String]) -> Option<String> {
    lines.iter().find(|line| **line == minor(version)).cloned()
}

/// Whether a release is to be had where somebody is. Without deployments it is to be had everywhere.
fn can_be_had(release: &Release, runs: &Runs) -> bool {
    release.deployments.is_empty()
        || release.deployments.iter().any(|deployment| {
            !deployment.rolled_back
                && deployment.percent == 100
                && (deployment.ring.is_none() || deployment.ring == runs.ring)
        })
}
