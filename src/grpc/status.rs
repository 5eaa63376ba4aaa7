//! The one place that gives errors their wire form: a gRPC status with `ErrorInfo` and the details CONVENTIONS-minded
//! clients decode (google.rpc, AIP-193).

use std::collections::HashMap;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};
use tracing::error;

use crate::app::Error;
use crate::domain::violation::Violations;
use crate::grpc::proto::ErrorReason;
use crate::telemetry::chain;

/// Who gives the reasons of `ErrorInfo`.
pub(crate) const DOMAIN: &str = "hearback.v1";
/// How long a client should wait before it tries again what time puts right.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Details travel in a header that clients limit, usually to 8 or 16 KiB for all of it: what quotes the caller is cut.
const MAX_DETAILS: usize = 4_096;
/// Most characters of one sentence.
const MAX_SENTENCE: usize = 400;

/// At most [`MAX_SENTENCE`] characters of a text.
pub(crate) fn brief(text: &str) -> String {
    match text.char_indices().nth(MAX_SENTENCE) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// The wrong fields of an error, as many as its details have room for.
pub(crate) fn brief_violations(error: &Error) -> Violations {
    let all = violations(error);
    let mut said = Violations::new();
    let mut room = MAX_DETAILS;
    for violation in all.iter() {
        let (field, description) = (brief(&violation.field), brief(&violation.description));
        let size = field.len() + description.len();
        if size > room {
            break;
        }
        room -= size;
        said.add(field, description);
    }
    match all.count() - said.count() {
        0 => {}
        more => {
            let field = all.iter().nth(said.count()).or(all.iter().last()).map(|next| brief(&next.field));
            let description = format!("and {more} more fields are wrong; put these right first");
            said.add(field.unwrap_or_default(), description);
        }
    }
    said
}

/// The reason without its prefix, as `ErrorInfo` carries it.
pub(crate) fn reason_text(reason: ErrorReason) -> &'static str {
    reason.as_str_name().trim_start_matches("ERROR_REASON_")
}

/// Code and reason of an error.
pub(crate) fn classify(error: &Error) -> (Code, ErrorReason) {
    // No `_` arm: a new variant has to choose its code here.
    match error {
        Error::Invalid(_) => (Code::InvalidArgument, ErrorReason::FieldInvalid),
        Error::NotFound { .. } => (Code::NotFound, ErrorReason::ResourceNotFound),
        Error::Exists { .. } => (Code::AlreadyExists, ErrorReason::ResourceExists),
        Error::KeyReused { .. } => (Code::InvalidArgument, ErrorReason::IdempotencyKeyReused),
        Error::StaleEtag { .. } => (Code::Aborted, ErrorReason::EtagMismatch),
        Error::WrongState { .. } => (Code::FailedPrecondition, ErrorReason::StateForbids),
        Error::PlanChanged { .. } => (Code::FailedPrecondition, ErrorReason::PlanChanged),
        Error::ScopeMissing { .. } => (Code::PermissionDenied, ErrorReason::ScopeMissing),
        Error::CredentialsMissing => (Code::Unauthenticated, ErrorReason::CredentialsMissing),
        Error::CredentialsInvalid => (Code::Unauthenticated, ErrorReason::CredentialsInvalid),
        Error::CursorUnknown => (Code::OutOfRange, ErrorReason::CursorUnknown),
        Error::Overloaded => (Code::Unavailable, ErrorReason::Overloaded),
        Error::ShuttingDown => (Code::Unavailable, ErrorReason::ShuttingDown),
        Error::Unavailable(_) => (Code::Unavailable, ErrorReason::StoreUnavailable),
        Error::Internal(_) => (Code::Internal, ErrorReason::Internal),
    }
}

/// The wrong fields an error names.
pub(crate) fn violations(error: &Error) -> Violations {
    match error {
        Error::Invalid(violations) => violations.clone(),
        Error::KeyReused { fields, .. } => {
            let mut violations = Violations::new();
            for field in fields {
                violations.add(field, "differs from the first request with this key; send the same, or a new key");
            }
            violations
        }
        _ => Violations::new(),
    }
}

impl From<Violations> for Status {
    fn from(violations: Violations) -> Self {
        Error::Invalid(violations).into()
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (code, reason) = classify(&error);
        let mut metadata = HashMap::new();
        let mut details = ErrorDetails::new();
        for violation in brief_violations(&error).iter() {
            details.add_bad_request_violation(&violation.field, &violation.description);
        }
        match &error {
            Error::NotFound { resource, id } | Error::Exists { resource, id, .. } => {
                details.set_resource_info(resource.to_string(), brief(id), "", brief(&error.to_string()));
                metadata.insert("resource".to_owned(), resource.to_string());
                metadata.insert("id".to_owned(), brief(id));
            }
            Error::StaleEtag { resource, id } => {
                metadata.insert("resource".to_owned(), resource.to_string());
                metadata.insert("id".to_owned(), brief(id));
            }
            Error::WrongState { resource, id, problem } => {
                details.add_precondition_failure_violation(reason_text(reason), format!("{resource} {id}"), problem);
                metadata.insert("id".to_owned(), brief(id));
            }
            Error::PlanChanged { id, digest } => {
                details.add_precondition_failure_violation(reason_text(reason), id, error.to_string());
                metadata.insert("digest".to_owned(), digest.clone());
            }
            Error::ScopeMissing { scope } => {
                metadata.insert("scope".to_owned(), scope.to_string());
            }
            Error::Overloaded | Error::ShuttingDown | Error::Unavailable(_) => {
                details.set_retry_info(Some(RETRY_AFTER));
            }
            Error::Internal(_) => {
                let call_id = uuid::Uuid::now_v7().simple().to_string();
                error!(call.id = %call_id, error = %chain(&error), "call {call_id} failed");
                metadata.insert("call_id".to_owned(), call_id);
            }
            Error::Invalid(_)
            | Error::KeyReused { .. }
            | Error::CredentialsMissing
            | Error::CredentialsInvalid
            | Error::CursorUnknown => {}
        }
        details.set_error_info(reason_text(reason), DOMAIN, metadata);
        Self::with_error_details(code, brief(&error.to_string()), details)
    }
}
