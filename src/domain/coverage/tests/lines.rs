//! Products whose customers know their version: lines, backports, platforms, staged releases.

use super::*;

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
fn law_7_without_lines_a_backport_does_not_reach_what_was_there_before_it() {
    let mut world = World::semver(&[]);
    for version in ["2.3.6", "2.4.0"] {
        world.release(version);
    }
    world.fix("2.3.7");
    world.says(&runs("2.3.6"), SameLineBefore, "2.3.7");
    for version in ["2.4.0", "2.4.3", "2.4.1-rc.1"] {
        world.says(&runs(version), LineWithoutFix, "");
        assert!(!world.is_regression(&runs(version), i64::MAX), "{version}");
    }
    // What came after the fix has it, and can be moved to.
    world.says(&runs("2.5.0"), SameLineAtOrAfter, "2.3.7");
    world.release("2.5.0");
    world.says(&runs("2.4.0"), SameLineBefore, "2.5.0");
    world.fix("2.4.1");
    world.says(&runs("2.4.0"), SameLineBefore, "2.4.1");
    world.says(&runs("2.4.3"), SameLineAtOrAfter, "2.4.1");
}

#[test]
fn law_7_without_lines_a_prerelease_that_nobody_recorded_may_be_older_than_the_fix() {
    let mut world = World::semver(&[]);
    world.fix("2.4.1");
    world.says(&runs("2.4.2-rc.1"), SameLineAtOrAfter, "2.4.1");
    world.says(&runs("2.5.0-beta.1"), PrereleaseBeforeFix, "2.4.1");
    world.release("2.5.0-beta.1");
    world.says(&runs("2.5.0-beta.1"), SameLineAtOrAfter, "2.4.1");
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
