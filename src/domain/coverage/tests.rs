//! What [`super`] promises.

use super::*;
use crate::domain::time::Timestamp;
use ReleaseState::{Planned, Released, Yanked};
use Rule::*;
use proptest::prelude::*;

/// A product in the making, with the releases that fix one defect.
#[derive(Debug, Clone)]
struct World {
    product: ProductFacts,
    fixes: BTreeSet<ReleaseId>,
}

impl World {
    fn semver(lines: &[&str]) -> Self {
        let lines = lines.iter().map(|&line| line.to_owned()).collect();
        Self {
            product: ProductFacts { scheme: VersionScheme::Semver, lines, releases: vec![] },
            fixes: BTreeSet::new(),
        }
    }

    fn continuous() -> Self {
        let mut world = Self::semver(&[]);
        world.product.scheme = VersionScheme::Continuous;
        world
    }

    fn release(&mut self, version: &str) -> &mut ReleaseFacts {
        let sequence = self.product.releases.len() as i64;
        self.product.releases.push(ReleaseFacts {
            id: ReleaseId::new(),
            version: version.to_owned(),
            line: None,
            platforms: BTreeSet::new(),
            state: Released,
            sequence,
            release_time: None,
            deployments: vec![],
        });
        self.product.releases.last_mut().unwrap()
    }

    fn fix(&mut self, version: &str) -> &mut ReleaseFacts {
        let id = self.release(version).id;
        self.fixes.insert(id);
        self.product.releases.last_mut().unwrap()
    }

    fn get(&mut self, version: &str) -> &mut ReleaseFacts {
        self.product.releases.iter_mut().find(|release| release.version == version).unwrap()
    }

    fn deploy(&mut self, version: &str, ring: Option<&str>, percent: u8) -> &mut DeploymentFacts {
        let sequence = self.product.releases.iter().map(|release| release.deployments.len() as i64).sum();
        let release = self.get(version);
        release.deployments.push(deployment(ring, percent, sequence));
        release.deployments.last_mut().unwrap()
    }

    fn judge(&self, installation: &InstallationFacts) -> (Rule, Option<String>) {
        let coverage = judge(&self.product, &self.fixes, installation);
        assert_eq!(coverage.verdict, coverage.rule.verdict());
        assert_eq!(coverage.release.is_some(), coverage.version.is_some());
        (coverage.rule, coverage.version)
    }

    #[track_caller]
    fn says(&self, installation: &InstallationFacts, rule: Rule, version: &str) {
        let named = Some(version.to_owned()).filter(|version| !version.is_empty());
        assert_eq!(self.judge(installation), (rule, named), "{installation:?}");
    }

    fn reported(&self, installation: &InstallationFacts, as_of: i64) -> Reported {
        reported(&self.product, &self.fixes, installation, Timestamp::from_micros(as_of))
    }

    fn is_regression(&self, installation: &InstallationFacts, as_of: i64) -> bool {
        self.reported(installation, as_of).regression
    }

    /// The versions of the fixes that can help.
    fn helping(&self, installation: &InstallationFacts) -> Vec<&str> {
        let helping = self.reported(installation, i64::MAX).helping;
        let releases = self.product.releases.iter().filter(|release| helping.contains(&release.id));
        releases.map(|release| release.version.as_str()).collect()
    }
}

fn deployment(ring: Option<&str>, percent: u8, sequence: i64) -> DeploymentFacts {
    let time = Timestamp::from_micros(100 + sequence);
    DeploymentFacts {
        environment: PRODUCTION.to_owned(),
        region: None,
        ring: ring.map(str::to_owned),
        percent,
        rolled_back: false,
        sequence,
        create_time: time,
        full_time: (percent == 100).then_some(time),
    }
}

fn runs(version: &str) -> InstallationFacts {
    InstallationFacts { version: Some(version.to_owned()), ..Default::default() }
}

fn somewhere() -> InstallationFacts {
    InstallationFacts::default()
}

fn on(installation: InstallationFacts, platform: &str) -> InstallationFacts {
    InstallationFacts { platform: Some(platform.to_owned()), ..installation }
}

fn in_ring(installation: InstallationFacts, ring: &str) -> InstallationFacts {
    InstallationFacts { ring: Some(ring.to_owned()), ..installation }
}

fn platforms(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Fixed in 2.4.1 with backport 2.3.7.
fn backported() -> World {
    let mut world = World::semver(&["2.3", "2.4"]);
    for version in ["2.2.9", "2.3.6", "2.4.0"] {
        world.release(version);
    }
    world.fix("2.4.1");
    world.fix("2.3.7");
    world
}

#[test]
fn law_7_a_backport_helps_exactly_its_own_line() {
    let mut world = backported();
    for _ in 0..2 {
        world.says(&runs("2.3.6"), SameLineBefore, "2.3.7");
        world.says(&runs("2.4.0"), SameLineBefore, "2.4.1");
        world.says(&runs("2.4.1"), SameLineAtOrAfter, "2.4.1");
        world.says(&runs("2.3.8"), SameLineAtOrAfter, "2.3.7");
        world.says(&runs("2.5.0"), LaterLine, "2.4.1");
        world.says(&runs("3.0"), LaterLine, "2.4.1");
        world.says(&runs("2.2.9"), LineNotMaintained, "");
        world.says(&runs("v2.4"), SameLineBefore, "2.4.1");
        // The same must hold when nobody declared lines, but releases name them.
        world.product.lines.clear();
        world.get("2.3.7").line = Some("2.3".to_owned());
    }
}

#[test]
fn law_7_a_backport_shows_even_without_lines() {
    let mut world = backported();
    world.product.lines.clear();
    world.says(&runs("2.3.6"), SameLineBefore, "2.3.7");
    world.says(&runs("2.4.0"), SameLineBefore, "2.4.1");
    world.says(&runs("2.3.8"), SameLineAtOrAfter, "2.3.7");
    world.says(&runs("2.5.0"), SameLineAtOrAfter, "2.3.7");
    world.get("2.4.1").state = Planned;
    world.says(&runs("2.4.0"), ReleasePlanned, "2.4.1");
}

#[test]
fn law_6_a_closed_defect_without_a_release_is_not_yet() {
    for mut world in [World::semver(&[]), World::semver(&["2.4"]), World::continuous()] {
        world.says(&runs("2.4.1"), NoReleaseWithFix, "");
        world.release("2.4.1");
        world.deploy("2.4.1", None, 100);
        world.says(&runs("2.4.1"), NoReleaseWithFix, "");
        world.says(&somewhere(), NoReleaseWithFix, "");
    }
}

#[test]
fn law_6_a_planned_release_is_not_yet() {
    for mut world in [World::semver(&["2.4"]), World::continuous()] {
        world.fix("2.4.1").state = Planned;
        world.says(&runs("2.4.0"), ReleasePlanned, "2.4.1");
        world.says(&runs("2.4.1"), ReleasePlanned, "2.4.1");
    }
}

#[test]
fn law_7_a_version_that_cannot_be_compared_stays_unknown() {
    let world = backported();
    world.says(&somewhere(), VersionUnknown, "2.4.1");
    world.says(&runs(" "), VersionUnknown, "2.4.1");
    world.says(&runs("nightly"), VersionIncomparable, "2.4.1");
    world.says(&runs("2024.01.3"), VersionIncomparable, "2.4.1");
}

#[test]
fn law_7_another_build_of_the_fixed_version_stays_unknown() {
    let mut world = World::semver(&[]);
    world.fix("2.4.1+7");
    world.says(&runs("2.4.1+7"), SameLineAtOrAfter, "2.4.1+7");
    world.says(&runs("2.4.1"), SameLineAtOrAfter, "2.4.1+7");
    world.says(&runs("2.4.1+5"), VersionIncomparable, "2.4.1+7");
    world.release("2.4.1+5");
    world.says(&runs("2.4.1"), VersionIncomparable, "2.4.1+7");
    world.says(&runs("2.4.2"), SameLineAtOrAfter, "2.4.1+7");
}

#[test]
fn law_7_prereleases_of_the_fixed_version_are_affected() {
    let world = backported();
    world.says(&runs("2.4.1-rc.1"), SameLineBefore, "2.4.1");
    world.says(&runs("2.4.2-rc.1"), SameLineAtOrAfter, "2.4.1");
    world.says(&runs("2.5.0-beta.1"), PrereleaseBeforeFix, "2.4.1");
}

#[test]
fn a_stable_installation_is_not_sent_to_a_prerelease() {
    let mut world = World::semver(&[]);
    world.fix("2.5.0-beta.2");
    world.says(&runs("2.4.0"), PrereleaseOnly, "2.5.0-beta.2");
    world.says(&runs("2.5.0-beta.1"), SameLineBefore, "2.5.0-beta.2");
    world.release("2.5.0");
    world.says(&runs("2.4.0"), SameLineBefore, "2.5.0");
}

#[test]
fn law_7_a_line_that_branched_off_before_the_fix_waits() {
    let mut world = World::semver(&["2.4"]);
    world.release("2.5.0").line = Some("2.5".to_owned());
    world.release("2.6.0"); // Nobody maintains it, but it was there.
    world.fix("2.4.1");
    world.says(&runs("2.5.0"), LineWithoutFix, "");
    world.says(&runs("2.5.3"), LineWithoutFix, "");
    world.says(&runs("2.6.2"), LineWithoutFix, "");
    world.says(&runs("2.7.0"), LaterLine, "2.4.1");
    world.fix("2.5.4");
    world.says(&runs("2.5.3"), SameLineBefore, "2.5.4");
    // A fix where nobody declared a line opens one, and the releases around it are in it.
    world.fix("2.6.3");
    world.says(&runs("2.6.0"), SameLineBefore, "2.6.3");
    world.release("2.6.4");
    world.deploy("2.6.3", Some("beta"), 100);
    world.says(&runs("2.6.0"), SameLineBefore, "2.6.4");
}

#[test]
fn law_7_a_line_below_the_fix_waits_while_it_is_maintained() {
    let mut world = World::semver(&["2.3", "2.4"]);
    world.fix("2.4.1");
    world.says(&runs("2.3.6"), LineWithoutFix, "");
    world.says(&runs("2.2.9"), LineNotMaintained, "");
}

#[test]
fn law_7_a_line_between_fixed_ones_waits() {
    let mut world = World::semver(&["2.4", "2.5", "2.7"]);
    world.fix("2.4.1");
    world.fix("2.7.1");
    world.says(&runs("2.5.0"), LineWithoutFix, "");
    world.says(&runs("2.6.0"), LineNotMaintained, "");
    world.says(&runs("2.8.0"), LaterLine, "2.7.1");
}

#[test]
fn law_7_a_line_that_plans_the_fix_needs_its_own() {
    let mut world = backported();
    world.fix("2.5.1").state = Planned;
    world.says(&runs("2.5.0"), ReleasePlanned, "2.5.1");
    world.get("2.5.1").state = Released;
    world.says(&runs("2.5.0"), SameLineBefore, "2.5.1");
    world.get("2.5.1").state = Yanked;
    world.says(&runs("2.5.1"), ReleaseYanked, "2.5.1");
    world.says(&runs("2.5.0"), ReleaseYanked, "2.5.1");
    world.says(&runs("2.6.0"), LaterLine, "2.4.1");
}

#[test]
fn lines_with_names_are_known_by_their_releases_only() {
    let mut world = World::semver(&["lts", "2.4"]);
    world.release("2.3.6").line = Some("lts".to_owned());
    world.fix("2.4.1");
    world.says(&runs("2.3.6"), LineWithoutFix, "");
    world.says(&runs("2.3.5"), LineUnknown, "2.4.1");
    world.release("2.2.9");
    world.says(&runs("2.2.9"), LineNotMaintained, "");
    world.fix("2.3.7").line = Some("lts".to_owned());
    world.says(&runs("2.3.6"), SameLineBefore, "2.3.7");
    world.says(&runs("2.3.7"), SameLineAtOrAfter, "2.3.7");
    world.says(&runs("2.4.0"), SameLineBefore, "2.4.1");
}

#[test]
fn law_8_a_yank_withdraws_the_fix() {
    for mut world in [backported(), World::semver(&[]), World::continuous()] {
        if world.fixes.is_empty() {
            world.fix("2.4.1");
        }
        world.deploy("2.4.1", None, 100);
        assert_eq!(world.judge(&runs("2.4.1")).0.verdict(), Verdict::Covered);
        world.get("2.4.1").state = Yanked;
        world.says(&runs("2.4.1"), ReleaseYanked, "2.4.1");
    }
}

#[test]
fn law_8_after_a_yank_the_next_fix_is_the_upgrade() {
    let mut world = backported();
    world.get("2.4.1").state = Yanked;
    world.fix("2.4.2");
    world.says(&runs("2.4.0"), SameLineBefore, "2.4.2");
    world.says(&runs("2.4.1"), SameLineBefore, "2.4.2");
    world.says(&runs("2.4.2"), SameLineAtOrAfter, "2.4.2");
}

#[test]
fn law_7_a_fix_for_another_platform_is_not_yet() {
    for mut world in [World::semver(&["2.4"]), World::continuous()] {
        world.fix("2.4.1").platforms = platforms(&["ios"]);
        world.deploy("2.4.1", None, 100);
        world.says(&on(runs("2.4.0"), "android"), PlatformWithoutFix, "2.4.1");
        assert!(judge(&world.product, &world.fixes, &on(runs("2.4.0"), "iOS")).verdict.allows_fix_available());
        world.says(&runs("2.4.0"), PlatformUnknown, "2.4.1");
        world.says(&somewhere(), PlatformUnknown, "2.4.1");
    }
}

#[test]
fn an_unknown_platform_does_not_matter_where_all_agree() {
    let mut world = World::semver(&[]);
    world.fix("2.4.1").platforms = platforms(&["ios"]);
    world.fix("2.4.2");
    world.says(&runs("2.4.0"), SameLineBefore, "2.4.2");
    world.says(&runs("2.4.1"), SameLineBefore, "2.4.2");
    world.says(&on(runs("2.4.1"), "ios"), SameLineAtOrAfter, "2.4.1");
}

#[test]
fn law_7_a_staged_release_is_an_upgrade_only_where_it_has_arrived() {
    let mut world = World::semver(&["2.4"]);
    world.fix("2.4.1");
    world.deploy("2.4.1", Some("beta"), 100);
    world.says(&in_ring(runs("2.4.0"), "Beta"), SameLineBefore, "2.4.1");
    world.says(&in_ring(runs("2.4.0"), "stable"), RolloutElsewhere, "2.4.1");
    world.says(&runs("2.4.0"), RolloutElsewhere, "2.4.1");
    world.deploy("2.4.1", None, 50);
    world.says(&in_ring(runs("2.4.0"), "stable"), RolloutPartial, "2.4.1");
    world.says(&InstallationFacts { environment: "staging".into(), ..runs("2.4.0") }, RolloutElsewhere, "2.4.1");
    world.says(&runs("2.4.1"), SameLineAtOrAfter, "2.4.1");
    // Another fix of the line that everybody can have.
    world.fix("2.4.2");
    world.says(&runs("2.4.0"), SameLineBefore, "2.4.2");
}

#[test]
fn a_later_release_of_the_line_brings_a_staged_fix() {
    let mut world = World::semver(&[]);
    world.fix("2.4.1");
    world.deploy("2.4.1", Some("beta"), 100);
    world.release("2.4.2");
    world.says(&runs("2.4.0"), SameLineBefore, "2.4.2");
    // Taken back everywhere: 2.4.2 may have come without it.
    world.get("2.4.1").deployments[0].rolled_back = true;
    world.says(&runs("2.4.0"), RolloutElsewhere, "2.4.1");
}

#[test]
fn law_7_a_release_that_needs_its_own_fix_is_not_the_one_to_move_to() {
    let mut world = World::semver(&[]);
    for version in ["2.3.6", "2.4.0"] {
        world.release(version);
    }
    world.fix("2.3.7");
    world.deploy("2.3.7", Some("beta"), 100);
    world.fix("2.4.1").state = Planned;
    world.says(&in_ring(runs("2.3.6"), "stable"), RolloutElsewhere, "2.3.7");
    world.get("2.4.1").state = Released;
    world.says(&in_ring(runs("2.3.6"), "stable"), SameLineBefore, "2.4.1");
}

#[test]
fn law_8_a_rollback_takes_the_upgrade_back() {
    let mut world = World::semver(&["2.4"]);
    world.fix("2.4.1");
    world.deploy("2.4.1", None, 100);
    world.says(&runs("2.4.0"), SameLineBefore, "2.4.1");
    world.get("2.4.1").deployments[0].rolled_back = true;
    world.says(&runs("2.4.0"), RolloutElsewhere, "2.4.1");
    world.says(&runs("2.4.1"), SameLineAtOrAfter, "2.4.1");
    world.says(&somewhere(), VersionUnknown, "");
}

/// Release `a`, then `b` with the fix, then `c`; `a` runs everywhere.
fn deployed() -> World {
    let mut world = World::continuous();
    world.release("a");
    world.deploy("a", None, 100);
    world.fix("b");
    world.release("c");
    world
}

#[test]
fn law_7_a_continuous_fix_covers_once_it_has_reached_all_of_the_place() {
    let mut world = deployed();
    world.says(&somewhere(), RolloutElsewhere, "b");
    world.deploy("b", None, 0);
    world.says(&somewhere(), RolloutPartial, "b");
    world.get("b").deployments[0].percent = 99;
    world.says(&somewhere(), RolloutPartial, "b");
    world.get("b").deployments[0].percent = 100;
    world.says(&somewhere(), Deployed, "b");
    world.get("c").state = Yanked;
    world.deploy("c", None, 0);
    world.says(&somewhere(), Deployed, "b");
    world.says(&InstallationFacts { environment: "staging".into(), ..somewhere() }, RolloutElsewhere, "b");
}

#[test]
fn releases_after_the_fix_carry_it() {
    let mut world = deployed();
    world.deploy("c", None, 100);
    world.says(&somewhere(), Deployed, "b");
    world.says(&runs("c"), SameLineAtOrAfter, "b");
}

#[test]
fn law_7_what_the_rest_of_the_place_runs_is_not_guessed() {
    let mut world = World::continuous();
    world.fix("b");
    world.says(&somewhere(), RolloutElsewhere, "b");
    world.deploy("b", None, 60);
    world.says(&somewhere(), RolloutPartial, "b");
}

#[test]
fn law_7_an_older_release_deployed_over_the_fix_hides_it() {
    let mut world = deployed();
    world.deploy("b", None, 100);
    world.get("a").deployments.clear();
    world.deploy("a", None, 10).sequence = 9;
    world.says(&somewhere(), RolloutElsewhere, "b");
}

#[test]
fn law_8_a_rollback_lets_the_earlier_release_run_again() {
    let mut world = deployed();
    world.deploy("b", None, 100);
    world.deploy("c", None, 30);
    world.says(&somewhere(), Deployed, "b");
    world.get("c").deployments[0].rolled_back = true;
    world.says(&somewhere(), Deployed, "b");
    world.get("b").deployments[0].rolled_back = true;
    world.says(&somewhere(), RolloutElsewhere, "b");
    world.says(&runs("b"), RolloutElsewhere, "b");
}

#[test]
fn law_7_an_unknown_ring_waits() {
    let mut world = deployed();
    world.deploy("b", Some("beta"), 100);
    world.says(&in_ring(somewhere(), "beta"), Deployed, "b");
    world.says(&in_ring(somewhere(), "stable"), RolloutElsewhere, "b");
    world.says(&somewhere(), RolloutElsewhere, "b");
}

#[test]
fn law_7_an_unknown_ring_may_be_the_one_without_the_fix() {
    let mut world = deployed();
    world.deploy("b", None, 100);
    world.deploy("c", Some("beta"), 100);
    world.says(&somewhere(), Deployed, "b");
    world.get("c").state = Yanked;
    world.says(&in_ring(somewhere(), "stable"), Deployed, "b");
    world.says(&somewhere(), ReleaseYanked, "c");
}

#[test]
fn a_reported_release_decides_until_a_newer_one_runs_there() {
    let mut world = deployed();
    world.says(&runs("a"), RolloutElsewhere, "b");
    world.says(&runs("b"), SameLineAtOrAfter, "b");
    world.deploy("b", None, 100);
    world.says(&runs("a"), DeployedSince, "b");
    world.says(&runs("never heard of"), Deployed, "b");
}

#[test]
fn a_continuous_line_without_the_fix_waits() {
    let mut world = deployed();
    world.get("b").line = Some("web".to_owned());
    world.deploy("b", None, 100);
    world.says(&somewhere(), LineWithoutFix, "");
    world.says(&runs("a"), LineWithoutFix, "");
    world.says(&runs("web.17"), Deployed, "b");
}

#[test]
fn law_11_a_report_from_a_version_with_the_fix_is_regression_evidence() {
    let mut world = backported();
    for _ in 0..2 {
        for fixed in ["2.4.1", "2.4.2", "2.3.7", "2.3.9", "2.5.0"] {
            assert!(world.is_regression(&runs(fixed), 0), "{fixed}");
        }
        for not in ["2.4.0", "2.3.6", "2.2.9", "nightly", ""] {
            assert!(!world.is_regression(&runs(not), i64::MAX), "{not}");
            assert_eq!(world.helping(&runs(not)), ["2.4.1", "2.3.7"], "{not}");
        }
        // Whichever fix was recorded first.
        for (sequence, release) in (0..).zip(world.product.releases.iter_mut().rev()) {
            release.sequence = sequence;
        }
    }
}

#[test]
fn law_11_what_was_in_the_reported_version_never_helps_and_a_later_fix_of_its_line_does() {
    let mut world = backported();
    assert_eq!(world.helping(&runs("2.4.2")), Vec::<&str>::new());
    assert_eq!(world.helping(&runs("2.3.8")), ["2.4.1"]);
    world.fix("2.4.3").platforms = platforms(&["ios"]);
    assert!(world.is_regression(&on(runs("2.4.2"), "android"), 0), "it is not for this platform");
    for ios in [runs("2.4.2"), on(runs("2.4.2"), "iOS")] {
        assert!(!world.is_regression(&ios, 0));
        assert_eq!(world.helping(&ios), ["2.4.3"]);
    }
    // One that is not out yet is something to wait for, but only in its own line.
    world.get("2.4.3").state = Planned;
    assert!(!world.is_regression(&runs("2.4.2"), 0));
    assert!(world.is_regression(&runs("2.3.8"), 0));
}

#[test]
fn law_11_a_backport_without_lines_is_regression_evidence_only_where_it_speaks() {
    let mut world = backported();
    world.product.lines.clear();
    assert!(world.is_regression(&runs("2.4.2"), 0));
    assert!(!world.is_regression(&runs("2.4.0"), 0), "2.4.1 fixes it again");
    // Nobody says that 2.4.1 is a fix of another line: it is a later one.
    assert!(!world.is_regression(&runs("2.3.8"), 0));
    assert_eq!(world.helping(&runs("2.3.8")), ["2.4.1"]);
}

#[test]
fn law_11_a_report_from_before_the_deployment_is_no_regression() {
    let mut world = deployed();
    let full_time = world.deploy("b", None, 100).full_time.unwrap().micros();
    assert!(!world.is_regression(&somewhere(), full_time - 1));
    assert!(world.is_regression(&somewhere(), full_time));
    assert!(!world.is_regression(&runs("a"), full_time), "it reported from a release without the fix");
    world.get("b").deployments[0].rolled_back = true;
    assert!(!world.is_regression(&somewhere(), full_time));
}

#[test]
fn law_11_all_lines_that_run_in_a_place_are_looked_at_together() {
    let mut world = World::continuous();
    for (version, line) in [("web.1", "web"), ("api.1", "api")] {
        world.fix(version).line = Some(line.to_owned());
        world.deploy(version, None, 100);
    }
    assert!(world.is_regression(&somewhere(), i64::MAX));
    assert!(world.is_regression(&runs("web.1"), i64::MAX));
    world.fix("web.2").line = Some("web".to_owned());
    assert!(!world.is_regression(&somewhere(), i64::MAX));
    assert_eq!(world.helping(&somewhere()), ["web.2"]);
    assert!(world.is_regression(&runs("api.1"), i64::MAX));
}

#[test]
fn the_worst_installation_speaks_for_the_customer() {
    let of = |rules: &[Rule]| combine(rules.iter().map(|&rule| Coverage::by(rule, None))).map(|it| it.rule);
    assert_eq!(of(&[]), None);
    assert_eq!(of(&[LineNotMaintained, Deployed, SameLineBefore]), Some(SameLineBefore));
    assert_eq!(of(&[Deployed, VersionUnknown, SameLineBefore]), Some(VersionUnknown));
    assert_eq!(of(&[VersionUnknown, RolloutPartial]), Some(RolloutPartial));
    assert_eq!(of(&[LineNotMaintained, LaterLine, Deployed]), Some(LaterLine));
    assert_eq!(of(&[LineNotMaintained]), Some(LineNotMaintained));
}

#[test]
fn words_read_back_from_their_names() {
    for rule in Rule::ALL {
        assert_eq!(rule.as_str().parse(), Ok(rule));
        assert_eq!(serde_json::to_value(rule).unwrap(), rule.as_str());
    }
    for verdict in Verdict::ALL {
        assert_eq!(verdict.as_str().parse(), Ok(verdict));
        assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.as_str());
    }
    for state in [Planned, Released, Yanked] {
        assert_eq!(state.as_str().parse(), Ok(state));
        assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
    }
    assert!("COVERED ".parse::<Verdict>().is_err());
}

fn some_deployments() -> impl Strategy<Value = Vec<DeploymentFacts>> {
    let ring = proptest::option::of(prop_oneof![Just("beta"), Just("stable")]);
    let percent = prop_oneof![Just(0_u8), Just(40), Just(100), Just(100)];
    let one = (ring, percent, 0_i64..50, any::<bool>(), 0_u8..8).prop_map(|(ring, percent, sequence, region, odd)| {
        DeploymentFacts {
            rolled_back: odd == 0,
            region: (region && odd == 1).then(|| "eu".to_owned()),
            environment: if odd == 2 { "staging" } else { PRODUCTION }.to_owned(),
            ..deployment(ring, percent, sequence)
        }
    });
    prop_oneof![Just(vec![]), proptest::collection::vec(one, 1..4)]
}

fn some_version() -> impl Strategy<Value = String> {
    "2\\.[2-5]\\.[0-3](-rc\\.1)?"
}

/// Any product: few versions, lines and places, so that they meet often.
fn some_world() -> impl Strategy<Value = World> {
    let state = prop_oneof![4 => Just(Released), 1 => Just(Planned), 1 => Just(Yanked)];
    let platform = proptest::sample::subsequence(vec!["ios", "android"], 0..2);
    let releases = proptest::collection::btree_map(
        some_version(),
        (state, platform, some_deployments(), any::<bool>(), 0_u8..6),
        0..7,
    );
    let lines = proptest::sample::subsequence(vec!["2.3", "2.4", "lts"], 0..3);
    (any::<bool>(), lines, releases, any::<u64>()).prop_map(|(semver, lines, releases, turn)| {
        let mut world = if semver { World::semver(&lines) } else { World::continuous() };
        let mut releases: Vec<_> = releases.into_iter().collect();
        let by = turn as usize % releases.len().max(1);
        releases.rotate_left(by);
        for (version, (state, platform, deployments, fixes, line)) in releases {
            let release = if fixes { world.fix(&version) } else { world.release(&version) };
            release.state = state;
            release.platforms = platforms(&platform);
            release.deployments = deployments;
            release.line = ["lts", "2.3"].get(usize::from(line)).map(|&line| line.to_owned());
        }
        world
    })
}

fn some_installation() -> impl Strategy<Value = InstallationFacts> {
    let of = |names: [&'static str; 2]| proptest::option::of(proptest::sample::select(names.to_vec()));
    (proptest::option::of(some_version()), of(["ios", "android"]), of(["eu", "us"]), of(["beta", "stable"])).prop_map(
        |(version, platform, region, ring)| InstallationFacts {
            version,
            platform: platform.map(str::to_owned),
            region: region.map(str::to_owned),
            ring: ring.map(str::to_owned),
            environment: PRODUCTION.to_owned(),
        },
    )
}

fn helps(world: &World, installation: &InstallationFacts) -> bool {
    world.judge(installation).0.verdict().allows_fix_available()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 400, ..Default::default() })]

    #[test]
    fn law_6_nothing_helps_without_a_released_fix(world in some_world(), installation in some_installation()) {
        let (rule, named) = world.judge(&installation);
        if rule.verdict().allows_fix_available() {
            let named = named.expect("what helps has a name");
            let release = world.product.releases.iter().find(|release| release.version == named).unwrap();
            prop_assert_eq!(release.state, Released);
            let is_out = |release: &&ReleaseFacts| {
                world.fixes.contains(&release.id) && release.state == Released
            };
            prop_assert!(world.product.releases.iter().any(|release| is_out(&release)));
        }
    }

    #[test]
    fn law_7_the_release_to_move_to_has_the_fix(world in some_world(), installation in some_installation()) {
        if let (SameLineBefore, version) = world.judge(&installation) {
            let moved = InstallationFacts { version, ..installation };
            prop_assert_eq!(world.judge(&moved).0.verdict(), Verdict::Covered);
        }
    }

    #[test]
    fn law_11_who_had_the_fix_is_not_helped_by_it(world in some_world(), installation in some_installation()) {
        let then = world.reported(&installation, i64::MAX);
        prop_assert!(then.helping.is_subset(&world.fixes));
        let had_it = world.product.scheme == VersionScheme::Semver
            && world.judge(&installation).0.verdict() == Verdict::Covered;
        if had_it {
            let helping = World { fixes: then.helping.clone(), ..world.clone() };
            prop_assert_ne!(helping.judge(&installation).0.verdict(), Verdict::Covered);
        } else if world.product.scheme == VersionScheme::Semver {
            prop_assert_eq!(then, Reported { regression: false, helping: world.fixes });
        }
    }

    #[test]
    fn law_8_when_every_fix_is_yanked_nobody_is_helped(
        mut world in some_world(), installation in some_installation(),
    ) {
        for release in &mut world.product.releases {
            if world.fixes.contains(&release.id) {
                release.state = Yanked;
            }
        }
        prop_assert!(!helps(&world, &installation));
    }

    #[test]
    fn law_7_what_is_said_without_knowing_the_place_holds_in_every_place(
        world in some_world(), mut installation in some_installation(), place in some_installation(),
    ) {
        let known = installation.clone();
        installation.ring = None;
        installation.region = None;
        installation.platform = None;
        let placed = InstallationFacts { version: known.version, ..place };
        if helps(&world, &installation) {
            prop_assert!(helps(&world, &placed), "{:?}", world.judge(&placed));
        }
    }

    #[test]
    fn the_order_in_which_facts_are_listed_does_not_matter(
        mut world in some_world(), installation in some_installation(), turn in 0_usize..7,
    ) {
        let before = world.judge(&installation);
        let by = turn % world.product.releases.len().max(1);
        world.product.releases.rotate_left(by);
        prop_assert_eq!(world.judge(&installation), before);
    }

    #[test]
    fn who_is_covered_stays_covered_by_moving_up_the_line(
        mut world in some_world(), installation in some_installation(), minor in 2_u8..6, low in 0_u8..6, up in 0_u8..6,
    ) {
        world.product.scheme = VersionScheme::Semver;
        world.product.lines = ["2.2", "2.3", "2.4", "2.5"].map(str::to_owned).to_vec();
        for release in &mut world.product.releases {
            release.line = None;
        }
        let at = |patch: u8| InstallationFacts { version: Some(format!("2.{minor}.{patch}")), ..installation.clone() };
        if world.judge(&at(low)).0.verdict() == Verdict::Covered {
            prop_assert_eq!(world.judge(&at(low + up)).0.verdict(), Verdict::Covered);
        }
    }

    #[test]
    fn a_release_of_another_line_changes_nothing(
        mut world in some_world(), installation in some_installation(), patch in 10_u8..20, minor in 2_u8..9,
    ) {
        world.product.scheme = VersionScheme::Semver;
        world.product.lines = ["2.2", "2.3", "2.4", "2.5"].map(str::to_owned).to_vec();
        for release in &mut world.product.releases {
            // A release may be named of a line that its number is not in.
            release.line.take_if(|line| line != "lts");
        }
        let before = world.judge(&installation);
        let version = format!("2.{minor}.{patch}");
        let runs_there = installation.version.as_ref().is_some_and(|own| own.starts_with(&format!("2.{minor}.")));
        prop_assume!(!runs_there);
        world.release(&version).line = Some(format!("2.{minor}"));
        prop_assert_eq!(world.judge(&installation), before);
    }

    #[test]
    fn law_8_a_rollback_restores_the_earlier_verdict(
        mut world in some_world(), mut installation in some_installation(),
        ring in proptest::option::of(Just("beta")), percent in 0_u8..=100,
    ) {
        world.product.scheme = VersionScheme::Continuous;
        installation.version = None;
        prop_assume!(!world.product.releases.is_empty());
        let before = world.judge(&installation);
        let mut taken_back = deployment(ring, percent, 99);
        taken_back.rolled_back = true;
        world.product.releases.last_mut().unwrap().deployments.push(taken_back);
        prop_assert_eq!(world.judge(&installation), before);
    }

    #[test]
    fn one_line_is_judged_as_a_naive_reader_would(
        fixes in proptest::collection::btree_set((1_u64..4, 0_u64..4), 1..5), own in (1_u64..4, 0_u64..4),
    ) {
        let mut world = World::semver(&[]);
        for (minor, patch) in &fixes {
            world.fix(&format!("2.{minor}.{patch}"));
        }
        let next = fixes.iter().find(|fix| **fix > own);
        // Another fix further up the same minor: the lower fix was a backport.
        let backport = next.is_some_and(|next| next.0 == own.0);
        let covered = fixes.iter().any(|fix| *fix <= own && (fix.0 == own.0 || !backport));
        let verdict = if covered { Verdict::Covered } else { Verdict::UpgradeAvailable };
        let (rule, named) = world.judge(&runs(&format!("2.{}.{}", own.0, own.1)));
        prop_assert_eq!(rule.verdict(), verdict);
        if !covered {
            prop_assert_eq!(named, next.map(|(minor, patch)| format!("2.{minor}.{patch}")));
        }
    }
}
