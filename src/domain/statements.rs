//! What each customer should have heard, given what is true. Pure; the heart of the loop.
//!
//! The unit is one customer and one defect: clusters merge and split, people file the same thing over three channels,
//! but "this defect's fix has reached you" stays one thing to say to one human. A [`Standing`] says two different
//! things about it:
//!
//! - [`Standing::outlook`]: may FIX_AVAILABLE be said now (law 7), and if not, what does it wait for?
//! - [`Standing::holds`]: if FIX_AVAILABLE was said before, is it still true (law 8)? A merge that brings a second
//!   defect along makes the whole problem unsolved, so it may no longer be said; yet what was said about the first
//!   defect is as true as before, and nobody is corrected.
//!
//! What was said already is not looked at here: that is [`super::ledger`]'s.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::coverage::{self, Coverage, InstallationFacts, ProductFacts, ReleaseFacts, Reported, Rule, Verdict};
use super::defect::DefectState;
use super::id::{ClusterId, DefectId, ProductId, ReleaseId, ReportId};
use super::policy::{MultiDefect, Policy};
use super::time::Timestamp;
use super::version::{Version, VersionScheme};

/// What is true for every customer of a page: loaded once, shared by all.
#[derive(Debug, Default)]
pub struct World {
    /// The defects linked to each cluster.
    pub links: HashMap<ClusterId, BTreeSet<DefectId>>,
    /// The defects.
    pub defects: HashMap<DefectId, DefectFacts>,
    /// The products with their releases.
    pub products: HashMap<ProductId, ProductFacts>,
}

/// What is true of a defect.
#[derive(Debug, Clone)]
pub struct DefectFacts {
    /// What its tracker says.
    pub state: DefectState,
    /// The releases that contain its fix, of the current round, by product.
    pub fixes: BTreeMap<ProductId, BTreeSet<ReleaseId>>,
    /// When the youngest evidence for these fixes was recorded: a release, a deployment, or the fix itself.
    pub evidence_time: Option<Timestamp>,
}

/// What is true of one customer.
#[derive(Debug, Clone, Default)]
pub struct CustomerFacts {
    /// What they reported.
    pub reports: Vec<ReportFacts>,
    /// What they run.
    pub installations: Vec<(ProductId, InstallationFacts)>,
}

/// What is true of a report.
#[derive(Debug, Clone)]
pub struct ReportFacts {
    /// Which.
    pub id: ReportId,
    /// Where it belongs now.
    pub cluster: ClusterId,
    /// What it is about.
    pub product: Option<ProductId>,
    /// What the customer ran when reporting.
    pub installation: InstallationFacts,
    /// When it was accepted.
    pub create_time: Timestamp,
}

/// Why nothing is said yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Waiting {
    /// No release that this customer can have carries the fix.
    ForRelease,
    /// A release carries it and has not reached this customer.
    ForRollout,
    /// Nobody knows what the customer runs, or it cannot be compared.
    CoverageUnknown,
    /// The report came from a version that has the fix: it did not help.
    RegressionReported,
    /// The fix must stand a while longer.
    Settling {
        /// Until then.
        until: Timestamp,
    },
    /// Another defect of the cluster is not fixed for this customer.
    ForOtherDefects,
    /// The fix will not come to what this customer runs.
    NotApplicable,
    /// The defect was closed without a fix.
    ClosedWithoutFix,
}

impl Waiting {
    /// Its text in loops, previews and events.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ForRelease => "waiting_for_release",
            Self::ForRollout => "waiting_for_rollout",
            Self::CoverageUnknown => "coverage_unknown",
            Self::RegressionReported => "regression_reported",
            Self::Settling { .. } => "settling",
            Self::ForOtherDefects => "waiting_for_other_defects",
            Self::NotApplicable => "not_applicable",
            Self::ClosedWithoutFix => "closed_without_fix",
        }
    }

    /// Whether nothing is expected to change: the loop is closed, with this reason.
    pub fn is_final(self) -> bool {
        matches!(self, Self::NotApplicable | Self::ClosedWithoutFix)
    }
}

/// Whether FIX_AVAILABLE may be said.
#[derive(Debug, Clone, PartialEq)]
pub enum Outlook {
    /// It may, on the strength of this coverage.
    Say(Coverage),
    /// It may not, yet.
    Wait(Waiting, Option<Coverage>),
}

impl Outlook {
    /// The coverage it rests on.
    pub fn coverage(&self) -> Option<&Coverage> {
        match self {
            Self::Say(coverage) => Some(coverage),
            Self::Wait(_, coverage) => coverage.as_ref(),
        }
    }
}

/// How one customer stands to one defect.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The defect.
    pub defect: DefectId,
    /// The cluster that ties the customer to it: the one that may be spoken of, if any.
    pub cluster: ClusterId,
    /// The customer's reports in clusters linked to the defect.
    pub reports: Vec<ReportId>,
    /// Of them, those that came from a version that has the fix (law 11).
    pub regressions: Vec<ReportId>,
    /// Whether FIX_AVAILABLE may be said.
    pub outlook: Outlook,
    /// Whether a FIX_AVAILABLE said before is still true.
    pub holds: bool,
}

/// How a customer stands to every defect of the clusters their reports are in.
pub fn standings(world: &World, customer: &CustomerFacts, policy: &Policy, now: Timestamp) -> Vec<Standing> {
    let mut by_defect: BTreeMap<DefectId, Vec<(&ReportFacts, Judged)>> = BTreeMap::new();
    for report in &customer.reports {
        let Some(links) = world.links.get(&report.cluster) else { continue };
        let judged: BTreeMap<DefectId, Judged> =
            links.iter().map(|&defect| (defect, judge_report(world, customer, report, defect, policy, now))).collect();
        let together = match policy.multi_defect {
            MultiDefect::All => together(world, customer, report, &judged),
            MultiDefect::Any => Together::AsTheyAre,
        };
        for (&defect, own) in &judged {
            let awaits_others = policy.multi_defect == MultiDefect::All && !all_others_sayable(&judged, defect);
            let outlook = match (&own.outlook, &together) {
                (Outlook::Say(coverage), together) if awaits_others || *together == Together::Never => {
                    Outlook::Wait(Waiting::ForOtherDefects, Some(coverage.clone()))
                }
                (Outlook::Say(_), Together::In(release)) => Outlook::Say(release.clone()),
                (outlook, _) => outlook.clone(),
            };
            by_defect.entry(defect).or_default().push((report, Judged { outlook, holds: own.holds }));
        }
    }
    by_defect.into_iter().map(|(defect, judged)| combine(defect, judged)).collect()
}

/// One report's view of one defect.
struct Judged {
    outlook: Outlook,
    holds: bool,
}

fn all_others_sayable(judged: &BTreeMap<DefectId, Judged>, defect: DefectId) -> bool {
    judged.iter().filter(|&(&other, _)| other != defect).all(|(_, judged)| {
        // A defect closed without a fix is not awaited.
        matches!(judged.outlook, Outlook::Say(_) | Outlook::Wait(Waiting::ClosedWithoutFix, _))
    })
}

/// Whether a customer who waits for all defects of a cluster can have all fixes at once.
#[derive(Debug, Clone, PartialEq)]
enum Together {
    /// They have them, or there is one defect only, or what is deployed decides.
    AsTheyAre,
    /// In this release, which is to be named for each of them.
    In(Coverage),
    /// Each is in a release that lacks another: one for a line, say, that the other was never brought to.
    Never,
}

/// The lowest release that helps with all that may be said. Each fix alone names the nearest release that has it, and
/// the highest of those need not have the others: on a product without lines a later major version may lack what was
/// fixed in an earlier one since.
fn together(
    world: &World,
    customer: &CustomerFacts,
    report: &ReportFacts,
    judged: &BTreeMap<DefectId, Judged>,
) -> Together {
    let said: Vec<(&DefectFacts, &Coverage)> = judged
        .iter()
        .filter_map(|(defect, judged)| match &judged.outlook {
            Outlook::Say(coverage) => Some((world.defects.get(defect)?, coverage)),
            Outlook::Wait(..) => None,
        })
        .collect();
    if said.len() < 2 || said.iter().all(|(_, coverage)| coverage.verdict == Verdict::Covered) {
        return Together::AsTheyAre;
    }
    let products: BTreeSet<ProductId> = said.iter().filter_map(|(facts, _)| product_of(report, facts)).collect();
    let mut products = products.into_iter();
    let (Some(product_id), None) = (products.next(), products.next()) else { return Together::Never };
    let Some(product) = world.products.get(&product_id) else { return Together::Never };
    if product.scheme != VersionScheme::Semver {
        return Together::AsTheyAre;
    }
    let helping: Vec<BTreeSet<ReleaseId>> = said
        .iter()
        .filter_map(|(facts, _)| Some(helping(product, facts.fixes.get(&product_id)?, report).helping))
        .collect();
    let version_of = |id: ReleaseId| {
        let release = product.releases.iter().find(|release| release.id == id)?;
        Version::parse(&release.version).ok()
    };
    let least = said.iter().filter_map(|(_, coverage)| version_of(coverage.release?)).max();
    let mut candidates: Vec<(Version, &ReleaseFacts)> = product
        .releases
        .iter()
        .filter_map(|release| Some((Version::parse(&release.version).ok()?, release)))
        .filter(|(version, _)| Some(version) >= least.as_ref())
        .collect();
    candidates.sort_by(|(a, _), (b, _)| a.cmp(b));
    let mut named = None;
    for installation in what_they_run(customer, report, product_id) {
        let has_all = |installation: &InstallationFacts| {
            helping.iter().all(|fixes| coverage::judge(product, fixes, installation).verdict == Verdict::Covered)
        };
        if has_all(installation) {
            continue;
        }
        let found = candidates.iter().find_map(|(_, release)| {
            let moved = InstallationFacts { version: Some(release.version.clone()), ..installation.clone() };
            let to_be_had = coverage::judge(product, &BTreeSet::from([release.id]), installation);
            let helps = matches!(to_be_had.verdict, Verdict::UpgradeAvailable | Verdict::Unknown);
            (helps && has_all(&moved)).then_some(to_be_had)
        });
        let Some(found) = found else { return Together::Never };
        named.get_or_insert(found);
    }
    named.map_or(Together::AsTheyAre, Together::In)
}

/// Over a customer's reports: said if one report allows it, true if one report holds it up; otherwise the wait that is
/// most likely to end.
fn combine(defect: DefectId, judged: Vec<(&ReportFacts, Judged)>) -> Standing {
    let holds = judged.iter().any(|(_, judged)| judged.holds);
    let reports = judged.iter().map(|(report, _)| report.id).collect();
    let regressed = |judged: &Judged| matches!(judged.outlook, Outlook::Wait(Waiting::RegressionReported, _));
    let regressions = judged.iter().filter(|(_, judged)| regressed(judged)).map(|(report, _)| report.id).collect();
    let (report, best) = judged
        .into_iter()
        .min_by(|(_, a), (_, b)| rank(&a.outlook).cmp(&rank(&b.outlook)))
        .expect("a defect is listed only with a report that led to it");
    Standing { defect, cluster: report.cluster, reports, regressions, outlook: best.outlook, holds }
}

fn rank(outlook: &Outlook) -> (u8, Option<Waiting>) {
    match outlook {
        Outlook::Say(_) => (0, None),
        Outlook::Wait(waiting, _) => (if waiting.is_final() { 2 } else { 1 }, Some(*waiting)),
    }
}

fn judge_report(
    world: &World,
    customer: &CustomerFacts,
    report: &ReportFacts,
    defect: DefectId,
    policy: &Policy,
    now: Timestamp,
) -> Judged {
    let Some(facts) = world.defects.get(&defect) else {
        return Judged { outlook: Outlook::Wait(Waiting::ForRelease, None), holds: false };
    };
    let Some(coverage) = cover(world, customer, report, facts) else {
        return Judged { outlook: Outlook::Wait(unshipped(facts), None), holds: false };
    };
    // Unknown is not known to be false: it is never said without the tenant's leave, and never corrected either.
    let holds = coverage.covered.verdict != Verdict::NotYet;
    let outlook = match coverage.covered.verdict {
        _ if coverage.regression => Outlook::Wait(Waiting::RegressionReported, Some(coverage.covered)),
        Verdict::Covered | Verdict::UpgradeAvailable => settle(coverage.covered, facts, policy, now),
        Verdict::Unknown if policy.tell_unknown_conditionally => settle(coverage.covered, facts, policy, now),
        Verdict::Unknown => Outlook::Wait(Waiting::CoverageUnknown, Some(coverage.covered)),
        Verdict::NotYet if matches!(coverage.covered.rule, Rule::RolloutPartial | Rule::RolloutElsewhere) => {
            Outlook::Wait(Waiting::ForRollout, Some(coverage.covered))
        }
        Verdict::NotYet => Outlook::Wait(unshipped(facts), Some(coverage.covered)),
        Verdict::NotApplicable => Outlook::Wait(Waiting::NotApplicable, Some(coverage.covered)),
    };
    Judged { outlook, holds }
}

fn unshipped(facts: &DefectFacts) -> Waiting {
    if facts.state == DefectState::ClosedWithoutFix { Waiting::ClosedWithoutFix } else { Waiting::ForRelease }
}

fn settle(coverage: Coverage, facts: &DefectFacts, policy: &Policy, now: Timestamp) -> Outlook {
    let until = facts.evidence_time.map(|time| time + policy.settle_delay());
    match until {
        Some(until) if until > now && policy.settle_delay() > Duration::ZERO => {
            Outlook::Wait(Waiting::Settling { until }, Some(coverage))
        }
        _ => Outlook::Say(coverage),
    }
}

/// A report's coverage for a defect.
struct ReportCoverage {
    covered: Coverage,
    /// What the customer ran when reporting had the fix, and no later one helps (law 11).
    regression: bool,
}

/// `None` if nothing carries a fix for a product that can be this report's.
fn cover(world: &World, customer: &CustomerFacts, report: &ReportFacts, facts: &DefectFacts) -> Option<ReportCoverage> {
    if facts.fixes.is_empty() {
        return None;
    }
    let Some(product_id) = product_of(report, facts) else {
        let covered = Coverage { verdict: Verdict::Unknown, rule: Rule::VersionUnknown, release: None, version: None };
        return Some(ReportCoverage { covered, regression: false });
    };
    let fixes = facts.fixes.get(&product_id)?;
    let product = world.products.get(&product_id)?;
    let Reported { regression, helping } = helping(product, fixes, report);
    let verdicts = what_they_run(customer, report, product_id)
        .into_iter()
        .map(|installation| coverage::judge(product, &helping, installation));
    coverage::combine(verdicts).map(|covered| {
        // Whoever has moved on to a later fix of another line has one that helps.
        let regression = regression && !covered.verdict.allows_fix_available();
        ReportCoverage { covered, regression }
    })
}

/// The product of a report. If the caller did not say and the fix concerns one product only, it is that one.
fn product_of(report: &ReportFacts, facts: &DefectFacts) -> Option<ProductId> {
    let mut fixed = facts.fixes.keys();
    report.product.or_else(|| fixed.next().filter(|_| fixed.next().is_none()).copied())
}

/// The fixes that can help whoever reported.
fn helping(product: &ProductFacts, fixes: &BTreeSet<ReleaseId>, report: &ReportFacts) -> Reported {
    coverage::reported(product, fixes, &report.installation, report.create_time)
}

/// The installations a report is about: those of its product and platform, else of its product, else what the report
/// itself says.
fn what_they_run<'a>(
    customer: &'a CustomerFacts,
    report: &'a ReportFacts,
    product: ProductId,
) -> Vec<&'a InstallationFacts> {
    let of_product = || customer.installations.iter().filter(|(id, _)| *id == product).map(|(_, facts)| facts);
    let same_place: Vec<_> = of_product()
        .filter(|facts| {
            let platform = &report.installation.platform;
            (platform.is_none() || facts.platform == *platform) && facts.environment == report.installation.environment
        })
        .collect();
    if !same_place.is_empty() {
        return same_place;
    }
    let all: Vec<_> = of_product().collect();
    if report.installation.platform.is_some() || all.is_empty() { vec![&report.installation] } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::coverage::{ReleaseFacts, ReleaseState};
    use crate::domain::version::VersionScheme;

    fn moment(seconds: u64) -> Timestamp {
        Timestamp::from_micros(0) + Duration::from_secs(seconds)
    }

    fn running(version: &str) -> InstallationFacts {
        InstallationFacts {
            version: (!version.is_empty()).then(|| version.to_owned()),
            platform: None,
            environment: "production".to_owned(),
            region: None,
            ring: None,
        }
    }

    /// One product, one cluster, one customer who reported from 2.4.0.
    struct Scene {
        world: World,
        customer: CustomerFacts,
        policy: Policy,
        product: ProductId,
        cluster: ClusterId,
    }

    impl Scene {
        fn new() -> Self {
            let (product, cluster) = (ProductId::new(), ClusterId::new());
            let facts = ProductFacts { scheme: VersionScheme::Semver, lines: vec![], releases: vec![] };
            let report = ReportFacts {
                id: ReportId::new(),
                cluster,
                product: Some(product),
                installation: running("2.4.0"),
                create_time: moment(10),
            };
            Self {
                world: World { products: HashMap::from([(product, facts)]), ..World::default() },
                customer: CustomerFacts { reports: vec![report], installations: vec![] },
                policy: Policy::default(),
                product,
                cluster,
            }
        }

        fn link(&mut self, cluster: ClusterId, state: DefectState) -> DefectId {
            let defect = DefectId::new();
            self.world.links.entry(cluster).or_default().insert(defect);
            let facts = DefectFacts { state, fixes: BTreeMap::new(), evidence_time: None };
            self.world.defects.insert(defect, facts);
            defect
        }

        fn release(&mut self, version: &str, fixes: &[DefectId], time: u64) -> ReleaseId {
            let id = ReleaseId::new();
            let product = self.world.products.get_mut(&self.product).expect("the scene's product");
            product.releases.push(ReleaseFacts {
                id,
                version: version.to_owned(),
                line: None,
                platforms: BTreeSet::new(),
                state: ReleaseState::Released,
                sequence: i64::try_from(product.releases.len()).expect("few releases"),
                release_time: Some(moment(time)),
                deployments: vec![],
            });
            for defect in fixes {
                let facts = self.world.defects.get_mut(defect).expect("a linked defect");
                facts.fixes.entry(self.product).or_default().insert(id);
                facts.evidence_time = Some(moment(time));
            }
            id
        }

        fn standing(&self, defect: DefectId, now: u64) -> Standing {
            let all = standings(&self.world, &self.customer, &self.policy, moment(now));
            all.into_iter().find(|standing| standing.defect == defect).expect("the customer reported it")
        }
    }

    #[test]
    fn law_6_a_closed_defect_without_a_release_is_not_said() {
        let mut scene = Scene::new();
        let defect = scene.link(scene.cluster, DefectState::Closed);
        let standing = scene.standing(defect, 20);
        assert_eq!(standing.outlook, Outlook::Wait(Waiting::ForRelease, None));
        assert!(!standing.holds);
    }

    #[test]
    fn law_7_a_release_that_helps_is_said() {
        let mut scene = Scene::new();
        let defect = scene.link(scene.cluster, DefectState::Open);
        let release = scene.release("2.4.1", &[defect], 20);
        let standing = scene.standing(defect, 20);
        let Outlook::Say(coverage) = standing.outlook else { panic!("{standing:?}") };
        assert_eq!((coverage.verdict, coverage.release), (Verdict::UpgradeAvailable, Some(release)));
    }

    #[test]
    fn law_7_unknown_waits_unless_the_tenant_lets_it_be_said_conditionally() {
        let mut scene = Scene::new();
        scene.customer.reports[0].installation = running("");
        let defect = scene.link(scene.cluster, DefectState::Open);
        scene.release("2.4.1", &[defect], 20);
        let standing = scene.standing(defect, 20);
        assert!(matches!(standing.outlook, Outlook::Wait(Waiting::CoverageUnknown, _)), "{standing:?}");
        scene.policy.tell_unknown_conditionally = true;
        assert!(matches!(scene.standing(defect, 20).outlook, Outlook::Say(c) if c.verdict == Verdict::Unknown));
    }

    #[test]
    fn a_cluster_with_two_defects_waits_for_both_unless_policy_says_any() {
        let mut scene = Scene::new();
        let first = scene.link(scene.cluster, DefectState::Open);
        let second = scene.link(scene.cluster, DefectState::Open);
        scene.release("2.4.1", &[first], 20);
        let standing = scene.standing(first, 20);
        assert!(matches!(standing.outlook, Outlook::Wait(Waiting::ForOtherDefects, _)), "{standing:?}");
        assert!(standing.holds, "what was said about the first defect stays true");
        scene.policy.multi_defect = MultiDefect::Any;
        assert!(matches!(scene.standing(first, 20).outlook, Outlook::Say(_)));
        scene.policy.multi_defect = MultiDefect::All;
        scene.release("2.4.2", &[second], 30);
        assert!(matches!(scene.standing(first, 30).outlook, Outlook::Say(_)));
        assert!(matches!(scene.standing(second, 30).outlook, Outlook::Say(_)));
    }

    #[test]
    fn law_11_a_report_from_a_fixed_version_is_regression_evidence() {
        let mut scene = Scene::new();
        let defect = scene.link(scene.cluster, DefectState::Open);
        scene.release("2.4.0", &[defect], 5);
        let standing = scene.standing(defect, 20);
        assert!(matches!(standing.outlook, Outlook::Wait(Waiting::RegressionReported, _)), "{standing:?}");
        scene.release("2.4.1", &[defect], 20);
        assert!(matches!(scene.standing(defect, 20).outlook, Outlook::Say(_)));
    }

    #[test]
    fn law_11_a_fixed_version_is_regression_evidence_beside_an_earlier_backport() {
        let mut scene = Scene::new();
        let product = scene.world.products.get_mut(&scene.product).expect("the scene's product");
        product.lines = ["2.3", "2.4"].map(str::to_owned).to_vec();
        let defect = scene.link(scene.cluster, DefectState::Open);
        scene.release("2.4.0", &[], 5);
        scene.release("2.3.7", &[defect], 6);
        scene.release("2.4.1", &[defect], 7);
        scene.customer.reports[0].installation = running("2.4.2");
        let standing = scene.standing(defect, 20);
        assert!(matches!(standing.outlook, Outlook::Wait(Waiting::RegressionReported, _)), "{standing:?}");
        assert_eq!(standing.regressions, [scene.customer.reports[0].id]);
        // A fix of a later line is no answer to somebody who is not there …
        scene.release("2.5.1", &[defect], 30);
        let standing = scene.standing(defect, 30);
        assert!(matches!(standing.outlook, Outlook::Wait(Waiting::RegressionReported, _)), "{standing:?}");
        // … and is one to somebody who moved on.
        scene.customer.installations.push((scene.product, running("2.5.1")));
        assert!(matches!(scene.standing(defect, 30).outlook, Outlook::Say(c) if c.verdict == Verdict::Covered));
    }

    #[test]
    fn a_fix_is_spoken_of_after_it_has_settled() {
        let mut scene = Scene::new();
        scene.policy.settle_delay_seconds = 60;
        let defect = scene.link(scene.cluster, DefectState::Open);
        scene.release("2.4.1", &[defect], 20);
        let waiting = scene.standing(defect, 79).outlook;
        assert!(matches!(waiting, Outlook::Wait(Waiting::Settling { until }, _) if until == moment(80)), "{waiting:?}");
        assert!(matches!(scene.standing(defect, 80).outlook, Outlook::Say(_)));
    }

    #[test]
    fn an_upgrade_the_customer_reported_counts_more_than_the_old_report() {
        let mut scene = Scene::new();
        let defect = scene.link(scene.cluster, DefectState::Open);
        scene.release("2.4.1", &[defect], 20);
        scene.customer.installations.push((scene.product, running("2.4.1")));
        assert!(matches!(scene.standing(defect, 20).outlook, Outlook::Say(c) if c.verdict == Verdict::Covered));
    }
}
