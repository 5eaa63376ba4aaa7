//! Products that reach places by deployments.

use super::*;

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
