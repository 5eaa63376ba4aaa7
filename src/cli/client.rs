//! The way from a verb to a server: address, key, TLS, patience, and errors in words.
//!
//! Calls that time puts right are repeated: UNAVAILABLE, a bounded number of times, after the delay the server asks for.
//! That is harmless, because every mutation carries a `request_id` made once for all its tries. Any other error is
//! decoded into a [`CallError`] that names each wrong field with its remedy.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use secrecy::{ExposeSecret as _, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;
use uuid::Uuid;

use crate::grpc::proto::admin_service_client::AdminServiceClient;
use crate::grpc::proto::announcement_service_client::AnnouncementServiceClient;
use crate::grpc::proto::cluster_service_client::ClusterServiceClient;
use crate::grpc::proto::customer_service_client::CustomerServiceClient;
use crate::grpc::proto::defect_service_client::DefectServiceClient;
use crate::grpc::proto::event_service_client::EventServiceClient;
use crate::grpc::proto::release_service_client::ReleaseServiceClient;
use crate::grpc::proto::report_service_client::ReportServiceClient;

/// Where a server listens unless told otherwise, as `default.toml` has it.
const DEFAULT_ADDRESS: &str = "http://127.0.0.1:7431";
/// How long one call may take, the server's own limit and a little for the way.
const CALL_TIMEOUT: Duration = Duration::from_secs(35);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent connection is asked whether it is alive, so that a vanished server is noticed on a stream too.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(10);
/// Tries of a call that the server was not ready for: about eight seconds, enough for a replica to take over.
const TRIES: u32 = 6;
/// Tries of a call that nobody answers: a person with a wrong address wants to know soon.
const TRIES_UNANSWERED: u32 = 3;
/// Pages and streams carry many reports; a server sends none larger than this.
const MAX_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

/// The largest page a server gives.
const MAX_PAGE: usize = 500;

/// How to reach a server, and as whom.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Server")]
pub(crate) struct ClientArgs {
    /// The server, as http://HOST:PORT or https://HOST:PORT.
    #[arg(long, env = "HEARBACK_ADDRESS", default_value = DEFAULT_ADDRESS, value_name = "URL")]
    pub(crate) address: String,
    /// The API key. Better in the environment than in a flag, which other users of the machine can see.
    #[arg(long, env = "HEARBACK_API_KEY", hide_env_values = true, value_name = "KEY")]
    pub(crate) api_key: Option<SecretString>,
    /// A file with the API key, used when no key is given.
    #[arg(long, env = "HEARBACK_API_KEY_FILE", value_name = "FILE")]
    pub(crate) api_key_file: Option<PathBuf>,
    /// Certificates (PEM) of the authority that signed the server's; without it, those the web trusts.
    #[arg(long, env = "HEARBACK_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

impl ClientArgs {
    /// A client of this server. Nothing is sent yet.
    ///
    /// # Errors
    /// If there is no key, or address, key or certificates cannot be read.
    pub(crate) fn client(&self) -> anyhow::Result<Client> {
        // A variable that is set to nothing, as scripts do, is no key.
        let given = self.api_key.as_ref().filter(|key| !key.expose_secret().trim().is_empty());
        let key = match (given, &self.api_key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(file)) => SecretString::from(
                std::fs::read_to_string(file)
                    .with_context(|| format!("the API key file {} cannot be read", file.display()))?,
            ),
            (None, None) => return Err(CallError::without_key().into()),
        };
        let mut endpoint = endpoint(&self.address)?;
        if endpoint.uri().scheme_str() == Some("https") {
            let tls = match &self.ca {
                Some(file) => {
                    let pem = std::fs::read(file)
                        .with_context(|| format!("the certificates {} cannot be read", file.display()))?;
                    ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem))
                }
                None => ClientTlsConfig::new().trust_anchors(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
            };
            endpoint = endpoint.tls_config(tls).context("the certificates are not usable")?;
        } else if self.ca.is_some() {
            bail!("--ca goes with an https:// address, but the address is {}", self.address);
        }
        Client::new(endpoint.connect_lazy(), &key)
    }
}

/// The address as something to connect to, with this client's patience.
///
/// # Errors
/// If it is not `http://HOST:PORT` or `https://HOST:PORT`.
pub(crate) fn endpoint(address: &str) -> anyhow::Result<Endpoint> {
    let endpoint = Endpoint::from_shared(address.to_owned()).ok();
    let endpoint = endpoint.filter(|endpoint| matches!(endpoint.uri().scheme_str(), Some("http" | "https")));
    let Some(endpoint) = endpoint else {
        bail!("{address:?} is not an address; write http://HOST:PORT or https://HOST:PORT");
    };
    Ok(endpoint
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT))
}

/// Puts the key on every call.
#[derive(Debug, Clone)]
pub(crate) struct Bearer(MetadataValue<Ascii>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A channel that carries the key.
pub(crate) type Service = InterceptedService<Channel, Bearer>;

/// A connection to one server as one caller. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    channel: Channel,
    bearer: Bearer,
    key_id: String,
}

impl Client {
    /// A client over a channel.
    ///
    /// # Errors
    /// If the key cannot be sent as metadata.
    pub(crate) fn new(channel: Channel, key: &SecretString) -> anyhow::Result<Self> {
        let key = key.expose_secret().trim();
        let mut bearer: MetadataValue<Ascii> =
            format!("Bearer {key}").parse().ok().context("the API key has characters that no key has")?;
        bearer.set_sensitive(true);
        // `hb_<id>_<secret>`: the id is public. Of a key that is mistyped there is none, and the server will say so.
        let key_id = key.split('_').nth(1).unwrap_or_default().to_owned();
        Ok(Self { channel, bearer: Bearer(bearer), key_id })
    }

    /// The public id of the key: it belongs to one tenant of one server.
    pub(crate) fn key_id(&self) -> &str {
        &self.key_id
    }

    fn service(&self) -> Service {
        InterceptedService::new(self.channel.clone(), self.bearer.clone())
    }

    /// Reports.
    pub(crate) fn reports(&self) -> ReportServiceClient<Service> {
        ReportServiceClient::new(self.service()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Clusters.
    pub(crate) fn clusters(&self) -> ClusterServiceClient<Service> {
        ClusterServiceClient::new(self.service()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Releases.
    pub(crate) fn releases(&self) -> ReleaseServiceClient<Service> {
        ReleaseServiceClient::new(self.service()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Announcements and deliveries.
    pub(crate) fn announcements(&self) -> AnnouncementServiceClient<Service> {
        AnnouncementServiceClient::new(self.service()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Customers.
    pub(crate) fn customers(&self) -> CustomerServiceClient<Service> {
        CustomerServiceClient::new(self.service()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Defects.
    pub(crate) fn defects(&self) -> DefectServiceClient<Service> {
        DefectServiceClient::new(self.service()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// The history.
    pub(crate) fn events(&self) -> EventServiceClient<Service> {
        EventServiceClient::new(self.service()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    /// Tenants, keys, products and policies.
    pub(crate) fn admin(&self) -> AdminServiceClient<Service> {
        AdminServiceClient::new(self.service()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }
}

/// A new idempotency key.
pub(crate) fn request_id() -> String {
    Uuid::new_v4().to_string()
}

/// Makes one call, again while the server is unavailable. The message must be the same in every try, its `request_id`
/// included.
///
/// # Errors
/// The server's last word, or that it cannot be reached.
pub(crate) async fn call<M: Clone, T>(
    message: M,
    mut send: impl AsyncFnMut(Request<M>) -> Result<Response<T>, Status>,
) -> Result<T, CallError> {
    let mut tried = 1;
    loop {
        let mut request = Request::new(message.clone());
        request.set_timeout(CALL_TIMEOUT);
        match send(request).await {
            Ok(response) => return Ok(response.into_inner()),
            Err(status) => {
                let is_answered = status.get_details_error_info().is_some();
                let tries = if is_answered { TRIES } else { TRIES_UNANSWERED };
                if status.code() != Code::Unavailable || tried >= tries {
                    return Err(status.into());
                }
                tokio::time::sleep(backoff(tried, &status)).await;
                tried += 1;
            }
        }
    }
}

/// Gathers at most `limit` items page by page. `fetch` is asked for a page of a size after a token, and answers with
/// its items and the next token.
///
/// # Errors
/// What `fetch` answers.
pub(crate) async fn pages<T>(
    limit: usize,
    mut fetch: impl AsyncFnMut(i32, String) -> Result<(Vec<T>, String), CallError>,
) -> Result<Vec<T>, CallError> {
    let mut items = Vec::new();
    let mut token = String::new();
    loop {
        let size = (limit - items.len()).min(MAX_PAGE);
        let (page, next) = fetch(i32::try_from(size).expect("a page is small"), token).await?;
        items.extend(page);
        if next.is_empty() || items.len() >= limit {
            return Ok(items);
        }
        token = next;
    }
}

/// How long to wait before the next try: what the server asks for, and longer from try to try.
pub(crate) fn backoff(tried: u32, status: &Status) -> Duration {
    let asked = status.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or_default();
    let own = Duration::from_millis(250) * 2_u32.saturating_pow(tried.saturating_sub(1).min(6));
    own.max(asked).min(Duration::from_secs(10))
}

/// Why a call failed, in words for the person at the terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallError {
    /// The gRPC code.
    pub(crate) code: Code,
    /// The `ErrorReason` without its prefix; empty if the server gave none.
    pub(crate) reason: String,
    message: String,
    remedies: Vec<String>,
}

impl CallError {
    fn without_key() -> Self {
        Self {
            code: Code::Unauthenticated,
            reason: "CREDENTIALS_MISSING".to_owned(),
            message: "there is no API key".to_owned(),
            remedies: vec![
                "set HEARBACK_API_KEY, or name a file with --api-key-file; `hearback key create` makes a key"
                    .to_owned(),
            ],
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        let details = status.get_error_details();
        let mut remedies = Vec::new();
        for violation in details.bad_request().into_iter().flat_map(|request| &request.field_violations) {
            remedies.push(format!("{}: {}", violation.field, violation.description));
        }
        for violation in details.precondition_failure().into_iter().flat_map(|failure| &failure.violations) {
            remedies.push(format!("{}: {}", violation.subject, violation.description));
        }
        let info = details.error_info();
        let metadata = |key: &str| info.and_then(|info| info.metadata.get(key));
        if let Some(scope) = metadata("scope") {
            remedies.push(format!("use a key with the scope `{scope}`, or create one: hearback key create"));
        }
        if let Some(call_id) = metadata("call_id") {
            remedies.push(format!("the server's log has it as {call_id}"));
        }
        let message = match (status.code(), remedies.is_empty()) {
            // The fields and their remedies follow, so the one-line form of the same would only repeat them.
            (Code::InvalidArgument, false) => "the request is not valid".to_owned(),
            // Without `ErrorInfo` it was not the server who spoke: nobody answered.
            (Code::Unavailable, _) if info.is_none() => {
                format!("the server cannot be reached: {}", root_cause(&status))
            }
            (Code::Unknown | Code::Internal, _) if info.is_none() => {
                format!("no Hearback answers there (is it http or https?): {}", root_cause(&status))
            }
            _ => status.message().to_owned(),
        };
        let reason = info.map(|info| info.reason.clone()).unwrap_or_default();
        Self { code: status.code(), reason, message, remedies }
    }
}

/// The innermost reason, as `Connection refused`: what the layers above it say is not for people.
fn root_cause(status: &Status) -> String {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    let mut text = status.message().to_owned();
    while let Some(error) = cause {
        text = error.to_string();
        cause = error.source();
    }
    text
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for remedy in &self.remedies {
            write!(f, "\n  {remedy}")?;
        }
        Ok(())
    }
}

impl std::error::Error for CallError {}

/// The exit code for a failure, as `sysexits.h` has them: 77 for what the key may not do, 69 for a server that is not
/// there, 1 for everything else.
pub(crate) fn exit_code(error: &anyhow::Error) -> u8 {
    match error.chain().find_map(|cause| cause.downcast_ref::<CallError>()).map(|error| error.code) {
        Some(Code::Unauthenticated | Code::PermissionDenied) => 77,
        Some(Code::Unavailable) => 69,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use crate::app::Error;
    use crate::domain::scope::Scope;
    use crate::domain::violation::Violations;

    use super::*;

    #[test]
    fn every_wrong_field_has_a_line_with_its_remedy() {
        let mut violations = Violations::new();
        violations.add("report.title", "title or body is required; set at least one");
        violations.add("report.source", "is required; set it");
        let error = CallError::from(Status::from(Error::Invalid(violations)));
        assert_eq!(
            error.to_string(),
            "the request is not valid\n  report.title: title or body is required; set at least one\n  report.source: \
             is required; set it"
        );
        assert_eq!(error.reason, "FIELD_INVALID");
    }

    #[test]
    fn the_exit_code_says_who_can_put_it_right() {
        let of = |error: Error| exit_code(&anyhow::Error::from(CallError::from(Status::from(error))).context("outer"));
        assert_eq!(of(Error::CredentialsInvalid), 77);
        assert_eq!(of(Error::ScopeMissing { scope: Scope::ReportsWrite }), 77);
        assert_eq!(of(Error::ShuttingDown), 69);
        assert_eq!(of(Error::CursorUnknown), 1);
        assert_eq!(exit_code(&anyhow::anyhow!("other")), 1);
    }

    #[test]
    fn the_scope_that_is_missing_is_named() {
        let error = CallError::from(Status::from(Error::ScopeMissing { scope: Scope::ReportsWrite }));
        assert!(error.to_string().contains("`reports.write`"), "{error}");
    }

    #[test]
    fn a_retry_waits_as_long_as_the_server_asks_and_never_too_long() {
        let asked = Status::from(Error::Overloaded);
        assert_eq!(backoff(1, &asked), Duration::from_millis(500));
        assert_eq!(backoff(3, &asked), Duration::from_secs(1));
        assert_eq!(backoff(60, &asked), Duration::from_secs(10));
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_said_to_be_unreachable() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        drop(listener);
        let channel = endpoint(&address).unwrap().connect_lazy();
        let client = Client::new(channel, &SecretString::from("hb_1_2")).unwrap();
        let status =
            client.reports().list_reports(crate::grpc::proto::ListReportsRequest::default()).await.unwrap_err();
        let error = CallError::from(status);
        assert!(error.to_string().starts_with("the server cannot be reached: "), "{error}");
    }

    #[test]
    fn an_address_without_a_scheme_is_refused() {
        assert!(endpoint("localhost:7431").is_err());
        assert!(endpoint("http://localhost:7431").is_ok());
    }
}
