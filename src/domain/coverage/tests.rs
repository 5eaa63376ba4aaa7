//! What [`super`] promises.

mod lines;
mod properties;
mod reported;
mod rollout;

use super::*;
use crate::domain::time::Timestamp;
use ReleaseState::{Planned, Released, Yanked};
use Rule::*;

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
