//! Announcements: approved statements about a cluster at a stage.

use super::id::{AnnouncementId, ClusterId, TenantId};
use super::text_enum;
use super::time::Timestamp;

text_enum! {
    /// What is said.
    pub enum Stage {
        /// The problem is known and worked on.
        Acknowledged = "ACKNOWLEDGED",
        /// A fix is available for what the customer runs.
        FixAvailable = "FIX_AVAILABLE",
        /// What was said before no longer holds.
        Correction = "CORRECTION",
    }
}

text_enum! {
    /// Where an announcement stands.
    pub enum AnnouncementState {
        /// Waits for a person.
        AwaitingApproval = "AWAITING_APPROVAL",
        /// Going out.
        Approved = "APPROVED",
        /// Every delivery has its final outcome.
        Completed = "COMPLETED",
        /// Stopped by a person.
        Cancelled = "CANCELLED",
    }
}

/// One statement about a cluster at a stage, to those it is true for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    /// Its id.
    pub id: AnnouncementId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// What it is about.
    pub cluster_id: ClusterId,
    /// What is said.
    pub stage: Stage,
    /// Where it stands.
    pub state: AnnouncementState,
    /// Digest over every recipient, verdict, release and channel, in hexadecimal.
    pub plan_digest: String,
    /// Deliveries planned and not withdrawn before approval.
    pub recipient_count: i64,
    /// Deliveries made.
    pub told_count: i64,
    /// Who approved: a key, or `policy`.
    pub approved_by: Option<String>,
    /// Why it was stopped.
    pub cancel_reason: String,
    /// When it was made.
    pub create_time: Timestamp,
    /// When it was approved.
    pub approve_time: Option<Timestamp>,
    /// When it last changed.
    pub update_time: Timestamp,
}

/// Who approves when policy lets an announcement go out unasked.
pub const APPROVED_BY_POLICY: &str = "policy";
