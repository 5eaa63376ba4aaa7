//! What is true, kept plainly: who reported what, where it is, what was linked, released, deployed and run.
//!
//! People's operations change it by their plain meaning. It knows nothing of rows, marks or passes.

use std::collections::{BTreeMap, BTreeSet};

use hearback::domain::id::CustomerId;

/// Microseconds of the case's clock.
pub(super) type Time = i64;

/// How a product's versions compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    Semver,
    Continuous,
}

/// A product of the small world.
#[derive(Debug)]
pub(super) struct Product {
    pub(super) key: &'static str,
    pub(super) scheme: Scheme,
    pub(super) lines: &'static [&'static str],
    pub(super) versions: &'static [&'static str],
}

pub(super) const PRODUCTS: [Product; 3] = [
    Product {
        key: "app",
        scheme: Scheme::Semver,
        lines: &[],
        versions: &["1.0.0", "1.0.1", "1.1.0", "1.1.1", "2.0.0"],
    },
    Product {
        key: "desk",
        scheme: Scheme::Semver,
        lines: &["2.3", "2.4"],
        versions: &["2.2.9", "2.3.0", "2.3.1", "2.3.2", "2.4.0", "2.4.1", "2.5.0"],
    },
    Product { key: "cloud", scheme: Scheme::Continuous, lines: &[], versions: &["b1", "b2", "b3", "b4"] },
];

/// Rings that deployments and installations name; the first means none.
pub(super) const RINGS: [&str; 3] = ["", "early", "broad"];

/// Texts that share no telling word, each with its product.
pub(super) const TEXTS: [(&str, &str, usize); 5] = [
    ("Export crashes", "Saving the quarterly spreadsheet kills the whole window immediately.", 0),
    ("Upside-down photographs", "Holiday pictures appear rotated after syncing my camera.", 0),
    ("Password rejected", "Login refuses credentials containing umlauts since yesterday morning.", 1),
    ("Invoice totals wrong", "Discounted articles are charged twice on printed receipts.", 1),
    ("Video stutters", "Streaming lectures freezes every few seconds over wireless.", 2),
];

pub(super) const CUSTOMERS: usize = 6;
pub(super) const DEFECTS: usize = 4;
/// Contact points of each customer.
pub(super) const CONTACTS: [usize; CUSTOMERS] = [1, 2, 0, 1, 2, 1];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ContactState {
    Active,
    OptedOut,
    Bounced,
}

#[derive(Debug, Clone)]
pub(super) struct Contact {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) state: ContactState,
}

/// What somebody runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) version: Option<&'static str>,
    pub(super) ring: Option<&'static str>,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Customer {
    pub(super) id: String,
    pub(super) contacts: Vec<Contact>,
    pub(super) opted_out: bool,
    pub(super) installations: BTreeMap<usize, Runs>,
}

impl Customer {
    /// Its id, as the service orders them.
    pub(super) fn uid(&self) -> CustomerId {
        self.id.parse().expect("the service gave it")
    }

    pub(super) fn is_reachable(&self) -> bool {
        !self.opted_out && self.contacts.iter().any(|contact| contact.state == ContactState::Active)
    }
}

#[derive(Debug, Clone)]
pub(super) struct Report {
    pub(super) id: String,
    pub(super) customer: usize,
    pub(super) text: usize,
    pub(super) runs: Runs,
    pub(super) time: Time,
    pub(super) cluster: usize,
    /// The operation that put it there.
    pub(super) placed_by: Option<usize>,
}

impl Report {
    pub(super) fn product(&self) -> usize {
        TEXTS[self.text].2
    }
}

/// Who says that a link stands: a person, or a merge that brought it along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum LinkedBy {
    Person,
    Merge(usize),
}

#[derive(Debug, Clone, Default)]
pub(super) struct Cluster {
    pub(super) id: String,
    pub(super) links: BTreeMap<usize, BTreeSet<LinkedBy>>,
    pub(super) merged_into: Option<usize>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum DefectState {
    #[default]
    Open,
    FixMerged,
    Closed,
    ClosedWithoutFix,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Defect {
    /// Empty while nobody has heard of it.
    pub(super) id: String,
    pub(super) state: DefectState,
    /// How often it was reopened: fixes of earlier rounds do not count.
    pub(super) round: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReleaseState {
    Planned,
    Released,
    Yanked,
}

#[derive(Debug, Clone)]
pub(super) struct Release {
    pub(super) id: String,
    pub(super) product: usize,
    pub(super) version: &'static str,
    pub(super) state: ReleaseState,
    /// The defects it is said to fix, each with the defect's round when that was said.
    pub(super) fixes: BTreeMap<usize, u32>,
    pub(super) sequence: u64,
    /// Since when it is out.
    pub(super) time: Option<Time>,
    pub(super) deployments: Vec<Deployment>,
}

#[derive(Debug, Clone)]
pub(super) struct Deployment {
    pub(super) id: String,
    pub(super) ring: Option<&'static str>,
    pub(super) percent: i32,
    pub(super) rolled_back: bool,
    pub(super) sequence: u64,
    pub(super) full_time: Option<Time>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OperationKind {
    Move,
    Merge,
    Split,
}

/// A person's step, with what it takes to undo it.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) kind: OperationKind,
    pub(super) from: usize,
    pub(super) to: usize,
    /// The reports that went, and which operation had put each where it was.
    pub(super) moved: Vec<(usize, Option<usize>)>,
    /// Whether the cluster they went to was made for them.
    pub(super) created_cluster: bool,
    pub(super) undone: bool,
}

/// A person's word that a report's text does not belong to a cluster.
#[derive(Debug, Clone)]
pub(super) struct Apart {
    pub(super) report: usize,
    pub(super) cluster: usize,
    said_by: usize,
    lifted_by: Option<usize>,
}

/// Everything that is true.
#[derive(Debug, Clone, Default)]
pub(super) struct Facts {
    /// Speak about each defect of a cluster as its fix arrives, instead of when all have.
    pub(super) any_defect: bool,
    pub(super) customers: Vec<Customer>,
    pub(super) reports: Vec<Report>,
    pub(super) clusters: Vec<Cluster>,
    pub(super) defects: Vec<Defect>,
    pub(super) releases: Vec<Release>,
    pub(super) operations: Vec<Operation>,
    apart: Vec<Apart>,
    sequence: u64,
}

impl Facts {
    pub(super) fn new(any_defect: bool) -> Self {
        Self { any_defect, defects: vec![Defect::default(); DEFECTS], ..Self::default() }
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    pub(super) fn members(&self, cluster: usize) -> Vec<usize> {
        (0..self.reports.len()).filter(|&report| self.reports[report].cluster == cluster).collect()
    }

    pub(super) fn reporters(&self, cluster: usize) -> BTreeSet<usize> {
        self.members(cluster).into_iter().map(|report| self.reports[report].customer).collect()
    }

    /// Clusters that were not merged away.
    pub(super) fn standing_clusters(&self) -> Vec<usize> {
        (0..self.clusters.len()).filter(|&cluster| self.clusters[cluster].merged_into.is_none()).collect()
    }

    /// A person says what causes a problem. A word about what a merge brought along outlasts the merge.
    pub(super) fn link(&mut self, cluster: usize, defect: usize) {
        self.clusters[cluster].links.insert(defect, BTreeSet::from([LinkedBy::Person]));
    }

    pub(super) fn unlink(&mut self, cluster: usize, defect: usize) {
        self.clusters[cluster].links.remove(&defect);
    }

    /// A move or a split, to this cluster or to a new one with this id.
    pub(super) fn take_out(&mut self, id: String, kind: OperationKind, reports: &[usize], to: Result<usize, String>) {
        let created_cluster = to.is_err();
        let to = to.unwrap_or_else(|id| {
            self.clusters.push(Cluster { id, ..Cluster::default() });
            self.clusters.len() - 1
        });
        let number = self.operations.len();
        let from = self.reports[reports[0]].cluster;
        let mut moved = Vec::new();
        for &report in reports {
            moved.push((report, self.reports[report].placed_by));
            self.reports[report].cluster = to;
            self.reports[report].placed_by = Some(number);
            self.lift(number, |apart, home| apart.report == report && home == to);
            self.apart.push(Apart { report, cluster: from, said_by: number, lifted_by: None });
        }
        self.operations.push(Operation { id, kind, from, to, moved, created_cluster, undone: false });
    }

    pub(super) fn merge(&mut self, id: String, from: usize, into: usize) {
        let number = self.operations.len();
        let mut moved = Vec::new();
        let (leaving, staying) = (self.members(from), self.members(into));
        self.lift(number, |apart, home| {
            (leaving.contains(&apart.report) && home == into) || (staying.contains(&apart.report) && home == from)
        });
        for report in leaving {
            moved.push((report, self.reports[report].placed_by));
            self.reports[report].cluster = into;
            self.reports[report].placed_by = Some(number);
        }
        self.clusters[from].merged_into = Some(into);
        let brought: Vec<usize> = self.clusters[from].links.keys().copied().collect();
        for defect in brought {
            self.clusters[into].links.entry(defect).or_default().insert(LinkedBy::Merge(number));
        }
        let kind = OperationKind::Merge;
        self.operations.push(Operation { id, kind, from, to: into, moved, created_cluster: false, undone: false });
    }

    /// A newer word sets older ones aside. They are about a cluster wherever it was merged into.
    fn lift(&mut self, by: usize, which: impl Fn(&Apart, usize) -> bool) {
        for number in 0..self.apart.len() {
            let apart = &self.apart[number];
            if apart.lifted_by.is_none() && which(apart, self.root(apart.cluster)) {
                self.apart[number].lifted_by = Some(by);
            }
        }
    }

    /// Where a cluster's reports are now.
    fn root(&self, cluster: usize) -> usize {
        self.clusters[cluster].merged_into.map_or(cluster, |into| self.root(into))
    }

    /// Whether everything is as the operation left it, so that it can be undone.
    pub(super) fn can_be_undone(&self, number: usize) -> bool {
        let operation = &self.operations[number];
        let in_place = |&(report, _): &(usize, _)| self.reports[report].placed_by == Some(number);
        // Reports go back to a cluster that must stand, or leave one that must not be a part of another.
        let must_stand = if operation.kind == OperationKind::Merge { operation.to } else { operation.from };
        let home_stands = self.clusters[must_stand].merged_into.is_none();
        !operation.undone && operation.moved.iter().all(in_place) && home_stands
    }

    pub(super) fn undo(&mut self, number: usize) {
        self.operations[number].undone = true;
        let operation = self.operations[number].clone();
        for (report, placed_by) in operation.moved {
            self.reports[report].cluster = operation.from;
            self.reports[report].placed_by = placed_by;
        }
        self.apart.retain(|apart| apart.said_by != number);
        for apart in self.apart.iter_mut().filter(|apart| apart.lifted_by == Some(number)) {
            apart.lifted_by = None;
        }
        if operation.kind == OperationKind::Merge {
            self.clusters[operation.from].merged_into = None;
            for linked_by in self.clusters[operation.to].links.values_mut() {
                linked_by.remove(&LinkedBy::Merge(number));
            }
            self.clusters[operation.to].links.retain(|_, linked_by| !linked_by.is_empty());
        } else if operation.created_cluster && self.members(operation.to).is_empty() {
            // Whoever kept its id is led to where its reports are.
            self.clusters[operation.to].merged_into = Some(operation.from);
        }
    }

    /// Clusters that hold a text, and those people keep it away from.
    pub(super) fn homes(&self, text: usize) -> (BTreeSet<usize>, BTreeSet<usize>) {
        let holding = self.reports.iter().filter(|report| report.text == text).map(|report| report.cluster).collect();
        let barred = self
            .apart
            .iter()
            .filter(|apart| apart.lifted_by.is_none() && self.reports[apart.report].text == text)
            .map(|apart| self.root(apart.cluster))
            .collect();
        (holding, barred)
    }

    pub(super) fn release_of(&self, product: usize, version: &str) -> Option<usize> {
        self.releases.iter().position(|release| release.product == product && release.version == version)
    }

    /// The releases of a product said to fix a defect, since it was last reopened.
    pub(super) fn fixes(&self, product: usize, defect: usize) -> Vec<usize> {
        (0..self.releases.len())
            .filter(|&release| {
                let release = &self.releases[release];
                release.product == product && release.fixes.get(&defect) == Some(&self.defects[defect].round)
            })
            .collect()
    }

    /// Whether any release that is out fixes a defect, since it was last reopened.
    pub(super) fn is_released(&self, defect: usize) -> bool {
        let fixes = |product| self.fixes(product, defect);
        (0..PRODUCTS.len()).flat_map(fixes).any(|release| self.releases[release].state == ReleaseState::Released)
    }
}
