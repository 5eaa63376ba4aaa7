//! What is true in the story: who reported what, what they run, what was shipped where. The demo's own book, kept beside
//! the server and by simpler means, so that the two can be compared.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::corpus::{self, DemoReport, Scheme};

/// One human and one problem.
pub(super) type Case = (String, &'static str);

/// Whether a customer may hear that a problem is fixed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Hearing {
    /// It is fixed for them by one of these releases; they have to hear it.
    Must(BTreeSet<String>),
    /// Depending on which of their reports is looked at.
    May(BTreeSet<String>),
    /// It is not fixed for them, or nobody knows.
    MustNot,
}

/// What somebody runs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Runs {
    version: Option<String>,
    region: Option<&'static str>,
}

#[derive(Debug)]
struct Shipped {
    product: &'static str,
    version: String,
    fixes: Vec<&'static str>,
    /// Regions that it has reached altogether; `None` is every region. Installed products need no rollout.
    reached: Vec<Option<&'static str>>,
    is_yanked: bool,
}

/// The book.
#[derive(Debug, Default)]
pub(super) struct Truth {
    /// By reference: whose report it is, and about what.
    reports: HashMap<String, (String, Option<&'static str>)>,
    runs: HashMap<(String, &'static str), BTreeSet<Runs>>,
    shipped: Vec<Shipped>,
    reachable: BTreeMap<String, bool>,
    opted_out: BTreeSet<String>,
    /// Those who still had the problem with a version that should have fixed it.
    regressions: BTreeSet<Case>,
}

/// A report as messages refer to it.
pub(super) fn reference_of(report: &DemoReport) -> String {
    format!("{}/{}", report.source, report.external_id)
}

impl Truth {
    /// A report was submitted.
    pub(super) fn reported(&mut self, report: &DemoReport) {
        let customer = report.customer_key.clone();
        self.reports.insert(reference_of(report), (customer.clone(), report.problem));
        if !report.product.is_empty() {
            let runs = Runs { version: report.version.map(str::to_owned), region: report.region };
            self.runs.entry((customer.clone(), report.product)).or_default().insert(runs);
        }
        let is_reachable = report.contacts.iter().any(|(_, address)| !address.starts_with("bounced."));
        *self.reachable.entry(customer).or_default() |= is_reachable;
    }

    /// A customer reported from a version that should have had the fix.
    pub(super) fn regressed(&mut self, case: Case) {
        self.regressions.insert(case);
    }

    /// A release came out.
    pub(super) fn released(&mut self, product: &'static str, version: &str, fixes: &[&'static str]) {
        let version = version.to_owned();
        self.shipped.push(Shipped { product, version, fixes: fixes.to_vec(), reached: Vec::new(), is_yanked: false });
    }

    /// A release was rolled out altogether, in one region or everywhere.
    pub(super) fn rolled_out(&mut self, version: &str, region: Option<&'static str>) {
        for shipped in self.shipped.iter_mut().filter(|shipped| shipped.version == version) {
            shipped.reached.push(region);
        }
    }

    /// A release was withdrawn.
    pub(super) fn yanked(&mut self, product: &str, version: &str) {
        for shipped in self.shipped.iter_mut() {
            shipped.is_yanked |= shipped.product == product && shipped.version == version;
        }
    }

    /// A customer runs another version now.
    pub(super) fn upgraded(&mut self, customer: &str, product: &'static str, version: &str) {
        let runs = Runs { version: Some(version.to_owned()), region: None };
        self.runs.insert((customer.to_owned(), product), BTreeSet::from([runs]));
    }

    /// A customer wants to hear nothing more.
    pub(super) fn opted_out(&mut self, customer: &str) {
        self.opted_out.insert(customer.to_owned());
    }

    /// Whose report a reference is, and about what.
    pub(super) fn report(&self, reference: &str) -> Option<&(String, Option<&'static str>)> {
        self.reports.get(reference)
    }

    /// Every report with a problem: whose it is, and about what.
    pub(super) fn cases_of_reports(&self) -> impl Iterator<Item = Case> {
        self.reports.values().filter_map(|(customer, problem)| Some((customer.clone(), (*problem)?)))
    }

    /// Whether somebody can be told anything at all.
    pub(super) fn can_hear(&self, customer: &str) -> bool {
        self.reachable.get(customer).copied().unwrap_or_default() && !self.opted_out.contains(customer)
    }

    /// Whether a customer may hear that a problem is fixed.
    pub(super) fn hearing(&self, case: &Case) -> Hearing {
        let (customer, key) = case;
        let problem = corpus::problems().iter().find(|problem| problem.key == *key);
        let product = problem
            .and_then(|problem| corpus::products().iter().find(|product| product.key == problem.product))
            .expect("every problem of the corpus is in one of its products");
        if self.regressions.contains(case) {
            return Hearing::MustNot;
        }
        let runs = self.runs.get(&(customer.clone(), product.key)).into_iter().flatten();
        let fixed: Vec<Option<String>> = runs.map(|runs| self.fixed_by(key, product, runs)).collect();
        let releases: BTreeSet<String> = fixed.iter().flatten().cloned().collect();
        if releases.is_empty() {
            Hearing::MustNot
        } else if fixed.iter().all(Option::is_some) {
            Hearing::Must(releases)
        } else {
            Hearing::May(releases)
        }
    }

    /// The release that fixes a problem for somebody: of their own line for what is installed, in their region for what
    /// is rolled out.
    fn fixed_by(&self, problem: &str, product: &corpus::Product, runs: &Runs) -> Option<String> {
        let fixing = self
            .shipped
            .iter()
            .filter(|shipped| shipped.product == product.key && !shipped.is_yanked && shipped.fixes.contains(&problem));
        let mut fixing = fixing.filter(|shipped| match product.scheme {
            Scheme::Semver => {
                let Some(version) = &runs.version else { return false };
                product.lines.is_empty() || line(version) == line(&shipped.version)
            }
            Scheme::Continuous => shipped.reached.iter().any(|region| region.is_none() || *region == runs.region),
        });
        fixing.next().map(|shipped| shipped.version.clone())
    }
}

/// `2.4` of `2.4.1`.
fn line(version: &str) -> &str {
    version.rsplit_once('.').map_or(version, |(line, _)| line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_report(problem: &'static str) -> DemoReport {
        let mut report =
            corpus::reports().into_iter().find(|report| report.problem == Some(problem)).expect("it has reports");
        report.version = Some("2.3.6");
        report
    }

    #[test]
    fn a_fix_helps_those_of_its_line_until_it_is_withdrawn() {
        let report = a_report("pocketfern-photo-crash");
        let case = (report.customer_key.clone(), "pocketfern-photo-crash");
        let mut truth = Truth::default();
        truth.reported(&report);
        assert_eq!(truth.hearing(&case), Hearing::MustNot);
        truth.released("pocketfern", "2.4.2", &["pocketfern-photo-crash"]);
        assert_eq!(truth.hearing(&case), Hearing::MustNot);
        truth.upgraded(&report.customer_key, "pocketfern", "2.4.1");
        assert_eq!(truth.hearing(&case), Hearing::Must(BTreeSet::from(["2.4.2".to_owned()])));
        truth.yanked("pocketfern", "2.4.2");
        assert_eq!(truth.hearing(&case), Hearing::MustNot);
    }

    #[test]
    fn a_rollout_helps_where_it_has_arrived() {
        let mut report = a_report("bookabell-card-deposit");
        report.region = Some("eu-west");
        let case = (report.customer_key.clone(), "bookabell-card-deposit");
        let mut truth = Truth::default();
        truth.reported(&report);
        truth.released("bookabell", "2026.46", &["bookabell-card-deposit"]);
        assert_eq!(truth.hearing(&case), Hearing::MustNot);
        truth.rolled_out("2026.46", Some("us-east"));
        assert_eq!(truth.hearing(&case), Hearing::MustNot);
        truth.rolled_out("2026.46", Some("eu-west"));
        assert!(matches!(truth.hearing(&case), Hearing::Must(_)));
    }
}
