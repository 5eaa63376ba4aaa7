//! What the tests have in common: a server of their own, callers with keys, builders, and a world to talk to.

pub(crate) mod api;
pub(crate) mod builders;
pub(crate) mod caller;
pub(crate) mod database;
pub(crate) mod embedder;
pub(crate) mod every;
pub(crate) mod mailbox;
pub(crate) mod mime;
pub(crate) mod raw;
pub(crate) mod receiver;
pub(crate) mod server;
pub(crate) mod tls;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tonic::Status;
use tonic_types::StatusExt;

pub(crate) use builders::{a_release, a_report, request_id};
pub(crate) use caller::Caller;
pub(crate) use hearback::grpc::proto;
pub(crate) use mailbox::Mailbox;
pub(crate) use mime::Mail;
pub(crate) use receiver::Receiver;
pub(crate) use server::Server;

/// The reason an error gives, without its prefix.
#[track_caller]
pub(crate) fn reason(status: &Status) -> String {
    let info = status.get_details_error_info();
    let info = info.unwrap_or_else(|| panic!("every error carries ErrorInfo, but not this one: {status:?}"));
    assert_eq!(info.domain, "hearback.v1", "{status:?}");
    info.reason
}

/// The fields an error names, sorted.
pub(crate) fn fields(status: &Status) -> Vec<String> {
    let mut fields: Vec<String> = status
        .get_details_bad_request()
        .map(|bad| bad.field_violations.into_iter().map(|violation| violation.field).collect())
        .unwrap_or_default();
    fields.sort();
    fields
}

/// Waits for something that comes by itself: a real process, a socket. Only then; and never for long.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(30);
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("waited {limit:?} in vain for {what}"))
}

/// What a person or a mail program opens links with.
pub(crate) fn browser() -> reqwest::Client {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has them")
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth();
    reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().expect("a client")
}

/// Days as a duration.
pub(crate) fn days(count: u64) -> Duration {
    Duration::from_secs(count * 24 * 60 * 60)
}

/// Minutes as a duration.
pub(crate) fn minutes(count: u64) -> Duration {
    Duration::from_secs(count * 60)
}
