//! Clusters, the operations people do on them, and the constraints those leave behind.

use super::id::{ClusterId, ConstraintId, DefectId, OperationId, ProductId, ReportId, TenantId};
use super::report::Origin;
use super::text_enum;
use super::time::Timestamp;

text_enum! {
    /// Derived from defects, releases and coverage; see [`derive_state`].
    pub enum ClusterState {
        /// No defect is linked.
        Open = "OPEN",
        /// A defect is linked, no fix is known.
        Linked = "LINKED",
        /// Fixed in the code, in no release.
        FixMerged = "FIX_MERGED",
        /// Fixed in a release or deployment; some loops are open.
        FixReleased = "FIX_RELEASED",
        /// Every loop is closed.
        Resolved = "RESOLVED",
        /// A report came from a version that should have had the fix.
        Regressed = "REGRESSED",
        /// Every defect was closed without a fix.
        ClosedWithoutFix = "CLOSED_WITHOUT_FIX",
        /// Its reports went into another cluster.
        Merged = "MERGED",
    }
}

text_enum! {
    /// A step of a person that can be taken back.
    pub enum OperationKind {
        /// One report moved.
        Move = "MOVE",
        /// A cluster merged into another.
        Merge = "MERGE",
        /// A cluster split.
        Split = "SPLIT",
        /// A suggested report was kept out of a cluster.
        Reject = "REJECT",
    }
}

/// Reports believed to be one problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Cluster {
    /// Its id.
    pub id: ClusterId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// A headline: a person's, or the derived one.
    pub title: String,
    /// Whether a person set the title.
    pub title_by_person: bool,
    /// The headline of the report that speaks best for all.
    pub derived_title: String,
    /// The words that tell most of what it is about, the most telling first.
    pub key_terms: Vec<String>,
    /// Its state.
    pub state: ClusterState,
    /// The product of its first report.
    pub product_id: Option<ProductId>,
    /// What customers can do meanwhile.
    pub workaround: String,
    /// Advice for support.
    pub guidance: String,
    /// Reports in it.
    pub report_count: i64,
    /// Distinct customers among them.
    pub reporter_count: i64,
    /// Where its reports went.
    pub merged_into_cluster_id: Option<ClusterId>,
    /// When it was last reconciled as a whole.
    pub sweep_time: Timestamp,
    /// Its version and its number of reports at the last second look; 0 before the first.
    pub looked_version: i64,
    /// See [`Cluster::looked_version`].
    pub looked_report_count: i64,
    /// Rises with every change.
    pub version: i64,
    /// When its first report was accepted.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

impl Cluster {
    /// A cluster that begins, without reports yet, under a derived title.
    pub fn begin(
        id: ClusterId,
        tenant_id: TenantId,
        title: String,
        product_id: Option<ProductId>,
        now: Timestamp,
    ) -> Self {
        Self {
            id,
            tenant_id,
            derived_title: title.clone(),
            title,
            title_by_person: false,
            key_terms: Vec::new(),
            state: ClusterState::Open,
            product_id,
            workaround: String::new(),
            guidance: String::new(),
            report_count: 0,
            reporter_count: 0,
            merged_into_cluster_id: None,
            sweep_time: now,
            looked_version: 0,
            looked_report_count: 0,
            version: 1,
            create_time: now,
            update_time: now,
        }
    }

    /// Calls it by a person's title, or by its derived one if that is empty; answers whether that changed anything.
    pub fn call_it(&mut self, title: &str) -> bool {
        let by_person = !title.is_empty();
        // Of an older cluster no title has been derived yet: until it is, it keeps its name.
        let title = [title, &self.derived_title, &self.title].into_iter().find(|title| !title.is_empty());
        let title = title.unwrap_or_default().to_owned();
        let changes = (self.title_by_person, &self.title) != (by_person, &title);
        (self.title_by_person, self.title) = (by_person, title);
        changes
    }
}

/// The headline of a report: its title, or the beginning of its body.
pub fn title_of(title: &str, body: &str) -> String {
    let source = if title.trim().is_empty() { body } else { title };
    let line = source.trim().lines().next().unwrap_or_default();
    line.chars().take(200).collect()
}

/// A person's step, remembered so that it can be undone exactly.
#[derive(Debug, Clone, PartialEq)]
pub struct Operation {
    /// Its id.
    pub id: OperationId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What was done.
    pub kind: OperationKind,
    /// Where reports left.
    pub from_cluster_id: ClusterId,
    /// Where they went.
    pub to_cluster_id: ClusterId,
    /// Whether the operation made the cluster they went to.
    pub created_cluster: bool,
    /// How many went.
    pub report_count: i64,
    /// Who acted.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When it was taken back.
    pub undo_time: Option<Timestamp>,
    /// When it was done.
    pub create_time: Timestamp,
}

/// How one report stood before an operation moved it.
#[derive(Debug, Clone, PartialEq)]
pub struct OperationMember {
    /// The operation.
    pub operation_id: OperationId,
    /// The report.
    pub report_id: ReportId,
    /// Its score before.
    pub score: f64,
    /// Who had decided before.
    pub origin: Origin,
    /// Who had acted before.
    pub actor: Option<String>,
    /// Why, before.
    pub reason: String,
    /// The operation that had put it there before.
    pub previous_operation_id: Option<OperationId>,
}

/// A person's lasting word that a report does not belong to a cluster. Its near twins do not either.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraint {
    /// Its id.
    pub id: ConstraintId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// This report …
    pub report_id: ReportId,
    /// … is not of this cluster.
    pub cluster_id: ClusterId,
    /// The move, split or rejection that said so.
    pub operation_id: OperationId,
    /// A later merge that brought them together again; it stands until that is undone.
    pub lifted_by_operation_id: Option<OperationId>,
    /// When it was said.
    pub create_time: Timestamp,
}

/// A defect said to cause a cluster's problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterDefect {
    /// The cluster.
    pub cluster_id: ClusterId,
    /// The defect.
    pub defect_id: DefectId,
    /// Whose they are.
    pub tenant_id: TenantId,
    /// The merge that brought the link along; `None` if a person linked it here.
    pub operation_id: Option<OperationId>,
    /// Who linked.
    pub actor: String,
    /// When.
    pub create_time: Timestamp,
}

/// What a cluster's state is derived from.
#[derive(Debug, Clone, Copy, Default)]
pub struct StateFacts {
    /// It went into another cluster.
    pub merged: bool,
    /// Linked defects.
    pub defects: usize,
    /// Of them, closed without a fix.
    pub without_fix: usize,
    /// Of them, fixed in the code at least.
    pub fix_merged: usize,
    /// Of them, fixed in a release that stands.
    pub fix_released: usize,
    /// Whether the loop of any report is open.
    pub open_loops: bool,
    /// Whether that of a report from a version that should have had the fix is.
    pub regressions: bool,
}

/// The state that follows from the facts. First match wins.
pub fn derive_state(facts: StateFacts) -> ClusterState {
    let awaited = facts.defects - facts.without_fix;
    if facts.merged {
        ClusterState::Merged
    } else if facts.defects == 0 {
        ClusterState::Open
    } else if awaited == 0 {
        ClusterState::ClosedWithoutFix
    } else if facts.fix_released >= awaited && facts.regressions {
        ClusterState::Regressed
    } else if facts.fix_released >= awaited && !facts.open_loops {
        ClusterState::Resolved
    } else if facts.fix_released >= awaited {
        ClusterState::FixReleased
    } else if facts.fix_merged + facts.fix_released >= awaited {
        ClusterState::FixMerged
    } else {
        ClusterState::Linked
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn law_6_a_closed_defect_is_merged_and_not_released() {
        let facts = StateFacts { defects: 1, fix_merged: 1, open_loops: true, ..StateFacts::default() };
        assert_eq!(derive_state(facts), ClusterState::FixMerged);
        assert_eq!(derive_state(StateFacts { fix_released: 1, ..facts }), ClusterState::FixReleased);
        assert_eq!(derive_state(StateFacts { fix_released: 1, open_loops: false, ..facts }), ClusterState::Resolved);
    }

    #[test]
    fn a_title_that_is_handed_back_is_the_derived_one_again() {
        let now = Timestamp::from_micros(0);
        let mut cluster = Cluster::begin(ClusterId::new(), TenantId::new(), "Export fails".to_owned(), None, now);
        assert!(!cluster.call_it(""), "it is derived already");
        assert!(cluster.call_it("Export fails"), "the same words, and now a person's");
        assert!(cluster.call_it("PDF") && cluster.title_by_person && !cluster.call_it("PDF"));
        assert!(cluster.call_it("") && !cluster.title_by_person);
        assert_eq!(cluster.title, "Export fails");
    }

    #[test]
    fn a_title_is_the_first_line_that_was_said() {
        assert_eq!(title_of("  ", "It broke.\nBadly."), "It broke.");
        assert_eq!(title_of("Crash", "It broke."), "Crash");
    }
}
