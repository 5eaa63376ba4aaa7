//! What an operator can set: read once, checked once, plain typed values after that.
//!
//! `default.toml` holds every key with its comment; it is the default and the manual. Later sources win: defaults,
//! file, environment (`HEARBACK__SECTION__KEY`), flags (`section.key=value`). [`Config::load`] fails on the first value
//! that cannot be read and names its key and source; [`Config::check`] then lists everything that can be read but
//! would not work, or would not be safe, all at once.
//!
//! Nothing below the server sees the whole [`Config`]: each part is handed what is its own.

mod check;
mod load;
mod print;
mod text;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use schemars::JsonSchema;
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

pub use check::Problem;
pub use load::{ConfigError, ConfigFile, LoadOptions};

/// All settings of one process.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Hearback configuration")]
pub struct Config {
    /// Where the server keeps everything it keeps on disk.
    pub data_dir: PathBuf,
    /// The database.
    #[schemars(with = "StoreSection")]
    pub store: StoreConfig,
    /// The front door for programs.
    pub grpc: GrpcConfig,
    /// The front door for people and probes.
    pub http: HttpConfig,
    /// How submitted reports are gathered into transactions.
    pub intake: IntakeConfig,
    /// An embedder beside the built-in table.
    pub embedder: EmbedderConfig,
    /// How the matching indexes are kept over a restart, and whether clusters have a second look.
    pub matching: MatchingConfig,
    /// How announcements are carried out of the house.
    pub delivery: DeliveryConfig,
    /// How what is true is compared with what was told.
    pub reconcile: ReconcileConfig,
    /// The mail server.
    pub email: EmailConfig,
    /// Webhooks to help desks and others.
    pub webhook: WebhookConfig,
    /// Announcements that help desks take from a stream.
    pub stream: StreamConfig,
    /// What is logged, and how.
    pub log: LogConfig,
    /// How long answers are remembered for callers that retry.
    pub idempotency: IdempotencyConfig,
}

/// The database and its settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", try_from = "StoreSection")]
pub enum StoreConfig {
    /// One file on local disk, for a single process. The default.
    Sqlite {
        /// The database file; `hearback.db` in `data_dir` unless set.
        path: PathBuf,
    },
    /// A database several replicas share.
    Postgres {
        /// How to reach it, credentials included.
        #[serde(serialize_with = "text::redacted")]
        url: SecretString,
        /// Connections of this process, at most.
        max_connections: u32,
        /// Connections kept open when idle.
        min_connections: u32,
        /// How long a call waits for a free connection.
        #[serde(with = "text::duration")]
        acquire_timeout: Duration,
        /// How long one statement may run.
        #[serde(with = "text::duration")]
        statement_timeout: Duration,
    },
}

/// `[store]` as written; [`StoreConfig`] is what it means.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StoreSection {
    /// "sqlite" (one file, one process) or "postgres" (shared by replicas).
    kind: StoreKind,
    /// For "sqlite": the database file; hearback.db in data_dir unless set.
    path: Option<PathBuf>,
    /// For "postgres": how to reach the database.
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    url: Option<SecretString>,
    /// For "postgres": connections of this process, at most; 16 unless set.
    max_connections: Option<u32>,
    /// For "postgres": connections kept open when idle; 1 unless set.
    min_connections: Option<u32>,
    /// For "postgres": how long a call waits for a free connection; "5s" unless set.
    #[serde(default, deserialize_with = "text::optional_duration")]
    #[schemars(with = "Option<String>")]
    acquire_timeout: Option<Duration>,
    /// For "postgres": how long one statement may run; "15s" unless set.
    #[serde(default, deserialize_with = "text::optional_duration")]
    #[schemars(with = "Option<String>")]
    statement_timeout: Option<Duration>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum StoreKind {
    Sqlite,
    Postgres,
}

impl TryFrom<StoreSection> for StoreConfig {
    type Error = String;

    fn try_from(section: StoreSection) -> Result<Self, String> {
        let StoreSection { kind, path, url, max_connections, min_connections, acquire_timeout, statement_timeout } =
            section;
        match kind {
            StoreKind::Sqlite => {
                let postgres_only = [
                    ("url", url.is_some()),
                    ("max_connections", max_connections.is_some()),
                    ("min_connections", min_connections.is_some()),
                    ("acquire_timeout", acquire_timeout.is_some()),
                    ("statement_timeout", statement_timeout.is_some()),
                ];
                if let Some((key, _)) = postgres_only.into_iter().find(|(_, is_set)| *is_set) {
                    return Err(format!("{key} goes with kind = \"postgres\", but kind is \"sqlite\""));
                }
                let path = path.ok_or("kind = \"sqlite\" needs path")?;
                Ok(Self::Sqlite { path })
            }
            StoreKind::Postgres => {
                if path.is_some() {
                    return Err("path goes with kind = \"sqlite\", but kind is \"postgres\"".to_owned());
                }
                Ok(Self::Postgres {
                    url: url.ok_or("kind = \"postgres\" needs url or url_file")?,
                    max_connections: max_connections.unwrap_or(16),
                    min_connections: min_connections.unwrap_or(1),
                    acquire_timeout: acquire_timeout.unwrap_or(Duration::from_secs(5)),
                    statement_timeout: statement_timeout.unwrap_or(Duration::from_secs(15)),
                })
            }
        }
    }
}

/// The front door for programs.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrpcConfig {
    /// Where programs connect.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// Certificate and key; plain text without.
    pub tls: Option<TlsConfig>,
    /// Lets `listen` be reachable from other machines without TLS.
    pub insecure: bool,
    /// Describes the API to tools such as grpcurl.
    pub reflection: bool,
    /// The largest request of a single call, in bytes.
    pub max_message_bytes: usize,
    /// The largest message of a stream, in bytes.
    pub max_stream_message_bytes: usize,
    /// No single call runs longer.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub request_timeout: Duration,
    /// Open calls on one connection.
    pub max_concurrent_streams: u32,
    /// Calls in progress in the whole process.
    pub max_in_flight: usize,
    /// How often a silent connection is asked whether it is alive.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub keepalive_interval: Duration,
    /// How long it has to answer.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub keepalive_timeout: Duration,
    /// Connections are asked to reconnect after this long.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub max_connection_age: Duration,
    /// How long calls in progress may take to finish at shutdown.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub drain_timeout: Duration,
}

/// PEM files for TLS.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// The certificate chain, own certificate first.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
    /// Callers must show a certificate signed by one of these.
    pub client_ca: Option<PathBuf>,
}

/// The front door for people and probes.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Where pages and probes are served, in plain HTTP.
    #[schemars(with = "String")]
    pub listen: SocketAddr,
    /// What links in mails begin with.
    #[serde(with = "text::url")]
    #[schemars(with = "String")]
    pub public_url: Url,
}

/// How submitted reports are gathered into transactions.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IntakeConfig {
    /// Reports committed in one transaction, at most.
    pub max_batch: usize,
    /// Reports that may wait for a transaction.
    pub queue: usize,
}

/// An embedder beside the built-in table: an endpoint that speaks OpenAI's embeddings API.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmbedderConfig {
    /// Whether it is asked at all.
    pub enabled: bool,
    /// Where it is; `/embeddings` is added.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::optional_url")]
    #[schemars(with = "Option<String>")]
    pub url: Option<Url>,
    /// Which of its models.
    pub model: Option<String>,
    /// The bearer key.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text::redacted_option")]
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub api_key: Option<SecretString>,
    /// How many numbers to ask for, of a model whose first numbers tell the most.
    pub dimensions: Option<u16>,
    /// How long a new report waits for it.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Texts in one question, at most.
    pub batch: usize,
    /// Whether it may be plain HTTP elsewhere than on this machine.
    pub allow_http: bool,
    /// Authorities (PEM) whose certificates are accepted beside the web's.
    pub ca: Option<PathBuf>,
}

/// How announcements are carried out of the house.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryConfig {
    /// Deliveries claimed and sent at once.
    pub batch: usize,
    /// How long a claim lasts.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub lease: Duration,
    /// Sends at once to one mail domain or webhook host.
    pub per_destination: usize,
    /// The pause before each further attempt.
    #[serde(with = "text::durations")]
    #[schemars(with = "Vec<String>")]
    pub retry_schedule: Vec<Duration>,
    /// The share by which each pause is made shorter or longer, 0 to 1.
    pub jitter: f64,
    /// An address that was first tried longer ago is given up.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub max_age: Duration,
    /// How often to look for due deliveries without a hint.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub poll: Duration,
}

/// How what is true is compared with what was told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReconcileConfig {
    /// Customers compared in one transaction.
    pub page: usize,
    /// How often to look for dirty clusters without a hint.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub poll: Duration,
    /// How often everything is compared afresh.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub sweep: Duration,
}

/// The mail server.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmailConfig {
    /// Whether mail is sent at all.
    pub enabled: bool,
    /// The mail server's name.
    pub host: Option<String>,
    /// Its port; see [`EmailConfig::port_or_usual`].
    pub port: Option<u16>,
    /// How the connection is encrypted.
    pub tls: EmailTls,
    /// Authorities (PEM) whose certificates are accepted beside the web's.
    pub ca: Option<PathBuf>,
    /// Who logs in; together with the password or not at all.
    pub username: Option<String>,
    /// The password.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "text::redacted_option")]
    #[schemars(with = "Option<String>", extend("writeOnly" = true))]
    pub password: Option<SecretString>,
    /// Who mails come from.
    pub from: Option<String>,
    /// Where answers go, if not to `from`.
    pub reply_to: Option<String>,
    /// One mail, from connecting to the server's last word.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Connections kept, at most.
    pub connections: u32,
    /// What follows the @ in Message-ID; see [`EmailConfig::message_id_domain_or_own`].
    pub message_id_domain: Option<String>,
}

impl EmailConfig {
    /// The port to connect to: as set, else the usual one for the kind of TLS.
    pub fn port_or_usual(&self) -> u16 {
        self.port.unwrap_or(match self.tls {
            EmailTls::Starttls => 587,
            EmailTls::Implicit => 465,
            EmailTls::None => 25,
        })
    }

    /// The domain for Message-ID: as set, else the one of `from`; `None` if neither is known.
    pub fn message_id_domain_or_own(&self) -> Option<&str> {
        self.message_id_domain.as_deref().or_else(|| text::mailbox_domain(self.from.as_deref()?))
    }
}

/// How a connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EmailTls {
    /// A plain greeting, then TLS or nothing.
    Starttls,
    /// TLS from the first byte.
    Implicit,
    /// No TLS.
    None,
}

/// Webhooks to help desks and others.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookConfig {
    /// Whether webhooks are sent at all.
    pub enabled: bool,
    /// One request, from connecting to the last byte of the answer.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub timeout: Duration,
    /// Networks that are not public, yet may be reached.
    #[serde(with = "text::networks")]
    #[schemars(with = "Vec<String>")]
    pub allow_networks: Vec<IpNet>,
    /// Whether an endpoint may be plain HTTP.
    pub allow_http: bool,
    /// Authorities (PEM) whose certificates are accepted beside the web's.
    pub ca: Option<PathBuf>,
}

/// Announcements that help desks take from a stream.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StreamConfig {
    /// How long a taker has to acknowledge.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub lease: Duration,
    /// How often a silent stream shows that it is alive.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub heartbeat: Duration,
}

/// What is logged, and how.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LogConfig {
    /// For people or for machines.
    pub format: LogFormat,
    /// How much, also by module: `info,hearback::worker=debug`.
    pub filter: String,
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For machines: one JSON object a line.
    Json,
}

/// How the matching indexes are kept over a restart, and whether clusters have a second look.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MatchingConfig {
    /// Whether indexes are kept in files, so that a restart need not read all reports again.
    pub snapshots: bool,
    /// Where; `matching` in `data_dir` unless set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_dir: Option<PathBuf>,
    /// How often to look whether a new one is worth it.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub snapshot_poll: Duration,
    /// Whether clusters are looked at again: merges and splits are proposed, titles and key terms derived.
    pub second_look: bool,
    /// How often a few of them are.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub second_look_poll: Duration,
}

/// How long answers are remembered for callers that retry.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IdempotencyConfig {
    /// How long the answer to a request_id is remembered.
    #[serde(with = "text::duration")]
    #[schemars(with = "String")]
    pub retention: Duration,
}
