//! What callers of the service can act on. The doors turn it into their own wire form, in one place each.

use std::fmt;

use crate::domain::violation::Violations;
use crate::store::StoreError;

/// Why an operation did not happen. Nothing of it did.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The input is wrong; every wrong field is named.
    #[error("the request is not valid: {0}")]
    Invalid(Violations),
    /// There is no such resource in this tenant.
    #[error("{resource} {id} was not found")]
    NotFound {
        /// What kind.
        resource: Resource,
        /// Which, as the caller named it.
        id: String,
    },
    /// A resource with this identity exists.
    #[error("{resource} {id} exists already: {hint}")]
    Exists {
        /// What kind.
        resource: Resource,
        /// Which.
        id: String,
        /// What to do about it.
        hint: String,
    },
    /// The same key came before with another body.
    #[error("{key} was used before with another body; these fields differ: {}", .fields.join(", "))]
    KeyReused {
        /// The idempotency key, as `request_id …` or `report zendesk/123`.
        key: String,
        /// The fields that differ.
        fields: Vec<String>,
    },
    /// The resource changed since it was read.
    #[error("{resource} {id} has changed since it was read; read it again")]
    StaleEtag {
        /// What kind.
        resource: Resource,
        /// Which.
        id: String,
    },
    /// The resource's state does not allow it.
    #[error("{resource} {id} {problem}")]
    WrongState {
        /// What kind.
        resource: Resource,
        /// Which.
        id: String,
        /// What stands in the way, and what to do.
        problem: String,
    },
    /// The plan is another one than the one looked at.
    #[error("the plan of announcement {id} has changed since it was looked at; look again and approve digest {digest}")]
    PlanChanged {
        /// The announcement.
        id: String,
        /// Its digest now.
        digest: String,
    },
    /// The key lacks a scope.
    #[error("the API key lacks the scope {scope}")]
    ScopeMissing {
        /// The scope.
        scope: crate::domain::scope::Scope,
    },
    /// No credential.
    #[error("send an API key as metadata `authorization: Bearer hb_…`")]
    CredentialsMissing,
    /// Not a credential, or not any more.
    #[error("the API key is unknown, malformed, expired or revoked")]
    CredentialsInvalid,
    /// A resume token names no event of this log.
    #[error("the resume token is of no event in this history; start from the beginning")]
    CursorUnknown,
    /// Too much at once.
    #[error("too many calls at once; retry in a moment")]
    Overloaded,
    /// The server is going down.
    #[error("the server is shutting down; retry")]
    ShuttingDown,
    /// Time may put it right.
    #[error("the database is not available; retry")]
    Unavailable(#[source] StoreError),
    /// Ours to put right.
    #[error("something went wrong on our side")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Kinds of resources, as errors name them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// A tenant.
    Tenant,
    /// An API key.
    ApiKey,
    /// A product.
    Product,
    /// A customer.
    Customer,
    /// A contact point.
    ContactPoint,
    /// A report.
    Report,
    /// A cluster.
    Cluster,
    /// An operation.
    Operation,
    /// A suggestion.
    Suggestion,
    /// A defect.
    Defect,
    /// A release.
    Release,
    /// A deployment.
    Deployment,
    /// An announcement.
    Announcement,
    /// A delivery.
    Delivery,
    /// A policy.
    Policy,
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tenant => "tenant",
            Self::ApiKey => "API key",
            Self::Product => "product",
            Self::Customer => "customer",
            Self::ContactPoint => "contact point",
            Self::Report => "report",
            Self::Cluster => "cluster",
            Self::Operation => "operation",
            Self::Suggestion => "suggestion",
            Self::Defect => "defect",
            Self::Release => "release",
            Self::Deployment => "deployment",
            Self::Announcement => "announcement",
            Self::Delivery => "delivery",
            Self::Policy => "policy",
        })
    }
}

impl Error {
    /// One wrong field.
    pub fn invalid(field: impl Into<String>, description: impl Into<String>) -> Self {
        let mut violations = Violations::new();
        violations.add(field, description);
        Self::Invalid(violations)
    }

    /// No such resource.
    pub fn not_found(resource: Resource, id: impl ToString) -> Self {
        Self::NotFound { resource, id: id.to_string() }
    }

    /// The state forbids it.
    pub fn wrong_state(resource: Resource, id: impl ToString, problem: impl Into<String>) -> Self {
        Self::WrongState { resource, id: id.to_string(), problem: problem.into() }
    }
}

impl From<Violations> for Error {
    fn from(violations: Violations) -> Self {
        Self::Invalid(violations)
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable(_) => Self::Unavailable(error),
            // Two writers met at a unique index; the loser's retry finds the winner's row.
            StoreError::Exists(_) => Self::Unavailable(error),
            StoreError::Broken(_) | StoreError::Unfit(_) => Self::Internal(Box::new(error)),
        }
    }
}
