//! Law 11: what a report says about the fixes that its version had.

use super::*;

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
