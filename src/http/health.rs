//! Is it alive, ready, started? For supervisors and balancers; the answers say no more than that.

use axum::extract::State;
use axum::http::StatusCode;
use tracing::warn;

use super::Site;
use crate::telemetry::chain;

/// The process answers.
pub(super) async fn live() -> &'static str {
    "alive\n"
}

/// The doors are open, which they are only after the database was: whoever can ask has the answer.
pub(super) async fn started() -> &'static str {
    "started\n"
}

/// New work is welcome: the database answers and the server stays.
pub(super) async fn ready(State(site): State<Site>) -> (StatusCode, &'static str) {
    if site.shutdown.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "going down\n");
    }
    match site.app.store.ping().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(error) => {
            warn!(error = %chain(&error), "not ready: the database does not answer");
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
        }
    }
}
