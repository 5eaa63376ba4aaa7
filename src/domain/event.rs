//! Events: what the tenant's history is made of. Each change is one event with the tenant's next sequence number.

use super::id::{ClusterId, CustomerId, EventId, TenantId};
use super::text_enum;
use super::time::Timestamp;

text_enum! {
    /// What happened.
    pub enum EventKind {
        /// A report was accepted; data has `report_id`, `cluster_id`, `decision`.
        ReportSubmitted = "report.submitted",
        /// A report was moved by a person; data has the operation.
        ReportMoved = "report.moved",
        /// A report's loop changed; data has `state` and `reason`.
        LoopChanged = "report.loop_changed",
        /// A cluster began.
        ClusterCreated = "cluster.created",
        /// Its title, key terms, workaround or guidance changed; data has `fields`.
        ClusterUpdated = "cluster.updated",
        /// Its derived state changed; data has `from` and `to`.
        ClusterStateChanged = "cluster.state_changed",
        /// It went into another one; data has the operation.
        ClusterMerged = "cluster.merged",
        /// Reports left it for a new one; data has the operation.
        ClusterSplit = "cluster.split",
        /// A second look proposes a merge or a split; data has the suggestion, its `kind` and `score`, and the clusters.
        SuggestionProposed = "suggestion.proposed",
        /// What a proposal rested on is gone; data has the suggestion and its `kind`.
        SuggestionWithdrawn = "suggestion.withdrawn",
        /// A person answered a suggestion; data has the operation, its `kind` and `state`.
        SuggestionResolved = "suggestion.resolved",
        /// An operation was taken back.
        OperationUndone = "operation.undone",
        /// A defect was linked.
        DefectLinked = "cluster.defect_linked",
        /// A link was taken back.
        DefectUnlinked = "cluster.defect_unlinked",
        /// A defect was recorded.
        DefectCreated = "defect.created",
        /// A defect changed; data has `state`.
        DefectUpdated = "defect.updated",
        /// A defect was reopened after a fix.
        DefectReopened = "defect.reopened",
        /// A release was recorded.
        ReleaseRecorded = "release.recorded",
        /// A release was withdrawn.
        ReleaseYanked = "release.yanked",
        /// A deployment was recorded or changed.
        DeploymentRecorded = "deployment.recorded",
        /// A deployment was taken back.
        DeploymentRolledBack = "deployment.rolled_back",
        /// A customer was created.
        CustomerCreated = "customer.created",
        /// A customer changed.
        CustomerUpdated = "customer.updated",
        /// What a customer runs was recorded.
        InstallationRecorded = "installation.recorded",
        /// A customer's consent changed.
        PreferencesUpdated = "customer.preferences_updated",
        /// A contact point does not exist any more.
        ContactPointBounced = "contact_point.bounced",
        /// An announcement was planned.
        AnnouncementPlanned = "announcement.planned",
        /// An announcement may go out.
        AnnouncementApproved = "announcement.approved",
        /// An announcement was stopped.
        AnnouncementCancelled = "announcement.cancelled",
        /// Every delivery of an announcement has its final outcome.
        AnnouncementCompleted = "announcement.completed",
        /// A delivery was planned.
        DeliveryPlanned = "delivery.planned",
        /// A delivery reached its final state; data has `state`, `stage`, `reason`.
        DeliveryFinished = "delivery.finished",
        /// Something that would be said is not, for a recorded reason.
        StatementSuppressed = "statement.suppressed",
        /// A tenant began.
        TenantCreated = "tenant.created",
        /// A key was created.
        ApiKeyCreated = "api_key.created",
        /// A key was revoked.
        ApiKeyRevoked = "api_key.revoked",
        /// A product was created.
        ProductCreated = "product.created",
        /// A product changed.
        ProductUpdated = "product.updated",
        /// The policy changed.
        PolicyUpdated = "policy.updated",
        /// The webhook secret changed.
        WebhookSecretRotated = "webhook_secret.rotated",
    }
}

/// A change that is about to be recorded with the transaction that makes it.
#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    /// What happened.
    pub kind: EventKind,
    /// To which resource.
    pub subject: String,
    /// The cluster concerned.
    pub cluster_id: Option<ClusterId>,
    /// The customer concerned.
    pub customer_id: Option<CustomerId>,
    /// Facts about it: a JSON object without text of reports and without addresses.
    pub data: serde_json::Value,
}

impl NewEvent {
    /// An event about a resource, without facts yet.
    pub fn new(kind: EventKind, subject: impl ToString) -> Self {
        Self {
            kind,
            subject: subject.to_string(),
            cluster_id: None,
            customer_id: None,
            data: serde_json::Value::Object(serde_json::Map::new()),
        }
    }

    /// Concerning this cluster.
    pub fn cluster(mut self, id: ClusterId) -> Self {
        self.cluster_id = Some(id);
        self
    }

    /// Concerning this customer.
    pub fn customer(mut self, id: CustomerId) -> Self {
        self.customer_id = Some(id);
        self
    }

    /// With these facts.
    pub fn data(mut self, data: serde_json::Value) -> Self {
        self.data = data;
        self
    }
}

/// One recorded change.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Whose history it is part of.
    pub tenant_id: TenantId,
    /// Its place there: 1, 2, 3 … without gap.
    pub sequence: i64,
    /// What happened.
    pub kind: EventKind,
    /// To which resource.
    pub subject: String,
    /// Who did it: `key_…` or `system`.
    pub actor: String,
    /// The cluster concerned.
    pub cluster_id: Option<ClusterId>,
    /// The customer concerned.
    pub customer_id: Option<CustomerId>,
    /// Facts about it.
    pub data: serde_json::Value,
    /// When.
    pub time: Timestamp,
}

/// The actor of what the service does by itself.
pub const SYSTEM: &str = "system";
