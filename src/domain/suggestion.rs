//! Suggestions: what the matcher was not sure of, waiting for a person's yes or no.

use super::id::{ClusterId, OperationId, ReportId, SuggestionId, TenantId};
use super::report::Signals;
use super::text_enum;
use super::time::Timestamp;

text_enum! {
    /// What became of a suggestion.
    pub enum SuggestionState {
        /// Nobody has said anything yet.
        Pending = "PENDING",
        /// A person said yes.
        Confirmed = "CONFIRMED",
        /// A person said no.
        Rejected = "REJECTED",
    }
}

/// A report that may belong to a cluster it is not in.
#[derive(Debug, Clone, PartialEq)]
pub struct Suggestion {
    /// Its id.
    pub id: SuggestionId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// This report …
    pub report_id: ReportId,
    /// … may belong to this cluster.
    pub cluster_id: ClusterId,
    /// How sure the matcher was, 0 to 1.
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
