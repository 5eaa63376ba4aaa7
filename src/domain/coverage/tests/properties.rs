//! What holds in every world.

use super::*;
use proptest::prelude::*;

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
