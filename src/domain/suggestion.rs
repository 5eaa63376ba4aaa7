//! Suggestions: what the matcher was not sure of, and what a second look at its clusters proposes, waiting for a
//! person's yes or no.

use super::explanation::Signals;
use super::id::{ClusterId, OperationId, ReportId, SuggestionId, TenantId};
use super::text_enum;
use super::time::Timestamp;

text_enum! {
    /// What a suggestion is about.
    pub enum SuggestionKind {
        /// A report may belong to a cluster it is not in.
        Placement = "PLACEMENT",
        /// Two clusters may be one problem.
        Merge = "MERGE",
        /// Some reports of a cluster may be another problem.
        Split = "SPLIT",
    }
}

text_enum! {
    /// What became of a suggestion.
    pub enum SuggestionState {
        /// Nobody has said anything yet.
        Pending = "PENDING",
        /// A person said yes.
        Confirmed = "CONFIRMED",
        /// A person said no.
        Rejected = "REJECTED",
        /// What it rested on is gone, and nobody had answered.
        Withdrawn = "WITHDRAWN",
    }
}

/// A change that a person may want to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// Its id.
    pub id: SuggestionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it is about.
    pub kind: SuggestionKind,
    /// Of a placement, the report. Of a merge, the report of the cluster that would go that is nearest to the other
    /// cluster. Of a split, the first of those that would go.
    pub report_id: ReportId,
    /// Of a placement, the cluster it may belong to. Of a merge, the cluster that would stay. Of a split, the cluster
    /// that would be split.
    pub cluster_id: ClusterId,
    /// Of a merge, the cluster that would go.
    pub from_cluster_id: Option<ClusterId>,
    /// Of a split, the reports that would go.
    pub report_ids: Vec<ReportId>,
    /// How sure the matcher was, 0 to 1: that they belong together; of a split, that they do not.
    pub score: f64,
    /// Why, strongest first.
    pub signals: Signals,
    /// What became of it.
    pub state: SuggestionState,
    /// The step that carried out a person's word.
    pub operation_id: Option<OperationId>,
    /// Whose word it was.
    pub actor: Option<String>,
    /// When the matcher made it.
    pub create_time: Timestamp,
    /// When a person answered.
    pub resolve_time: Option<Timestamp>,
}
