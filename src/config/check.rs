//! What can be read but would not work, or would not be safe: found before anything is opened, all at once.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use secrecy::ExposeSecret;
use tracing_subscriber::EnvFilter;
use url::{Host, Url};

use super::{Config, EmailConfig, EmailTls, EmbedderConfig, GrpcConfig, StoreConfig, WebhookConfig, text};

/// A caller that retries overnight must find its answer in the morning.
const SHORTEST_RETENTION: Duration = Duration::from_secs(24 * 60 * 60);

/// Below this, ordinary reports would be refused.
const SMALLEST_MESSAGE: usize = 16 * 1024;

/// One setting that cannot stay as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The setting, as `section.key`.
    pub key: String,
    /// What is wrong and what to do instead. Never shows a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

impl Config {
    /// Looks at all settings together. Opens the files they name, and nothing else.
    ///
    /// # Errors
    /// Every problem there is, in the order of the manual.
    pub fn check(&self) -> Result<(), Vec<Problem>> {
        let mut found = Findings(Vec::new());
        found.refuse_if(self.data_dir.as_os_str().is_empty(), "data_dir", "must not be empty");
        check_store(&mut found, &self.store);
        check_grpc(&mut found, &self.grpc);
        check_http(&mut found, self);
        found.positive("intake.max_batch", self.intake.max_batch);
        found.refuse_if(
            self.intake.queue < self.intake.max_batch,
            "intake.queue",
            "must hold at least intake.max_batch",
        );
        check_embedder(&mut found, &self.embedder, self.grpc.request_timeout);
        found.lasting("matching.snapshot_poll", self.matching.snapshot_poll);
        let is_nowhere = self.matching.snapshot_dir.as_ref().is_some_and(|folder| folder.as_os_str().is_empty());
        found.refuse_if(
            is_nowhere,
            "matching.snapshot_dir",
            "must not be empty; leave it out for a folder in data_dir",
        );
        found.lasting("matching.second_look_poll", self.matching.second_look_poll);
        check_delivery(&mut found, self);
        found.positive("reconcile.page", self.reconcile.page);
        found.lasting("reconcile.poll", self.reconcile.poll);
        found.lasting("reconcile.sweep", self.reconcile.sweep);
        check_email(&mut found, &self.email);
        if self.email.enabled {
            found.shorter_than_lease("email.timeout", self.email.timeout, self.delivery.lease);
        }
        check_webhook(&mut found, &self.webhook);
        if self.webhook.enabled {
            found.shorter_than_lease("webhook.timeout", self.webhook.timeout, self.delivery.lease);
        }
        found.lasting("stream.heartbeat", self.stream.heartbeat);
        found.refuse_if(
            self.stream.lease <= self.stream.heartbeat,
            "stream.lease",
            "must be longer than stream.heartbeat, or announcements are offered twice before a dead stream is noticed",
        );
        if let Err(error) = EnvFilter::try_new(&self.log.filter) {
            found.refuse("log.filter", format!("{:?} is not a filter: {error}", self.log.filter));
        }
        found.refuse_if(
            self.idempotency.retention < SHORTEST_RETENTION,
            "idempotency.retention",
            "must be a day or longer, or late retries act twice",
        );
        if found.0.is_empty() { Ok(()) } else { Err(found.0) }
    }
}

struct Findings(Vec<Problem>);

impl Findings {
    fn refuse(&mut self, key: &str, message: impl Into<String>) {
        self.0.push(Problem { key: key.to_owned(), message: message.into() });
    }

    fn refuse_if(&mut self, is_wrong: bool, key: &str, message: &str) {
        if is_wrong {
            self.refuse(key, message);
        }
    }

    fn positive(&mut self, key: &str, count: usize) {
        self.refuse_if(count == 0, key, "must be 1 or more");
    }

    fn lasting(&mut self, key: &str, duration: Duration) {
        self.refuse_if(duration.is_zero(), key, "must be longer than nothing");
    }

    fn shorter_than_lease(&mut self, key: &str, timeout: Duration, lease: Duration) {
        self.lasting(key, timeout);
        // Else another replica takes the delivery over while this one is still sending it.
        self.refuse_if(timeout >= lease, key, "must be shorter than delivery.lease");
    }

    fn readable(&mut self, key: &str, path: &Path) {
        if let Err(error) = std::fs::File::open(path) {
            self.refuse(key, format!("cannot read {}: {error}", path.display()));
        }
    }
}

fn check_store(found: &mut Findings, store: &StoreConfig) {
    match store {
        StoreConfig::Sqlite { path } => {
            // SQLite also takes URIs for a database in memory, which forgets what was acknowledged.
            let name = path.to_string_lossy();
            found.refuse_if(name.is_empty(), "store.path", "must not be empty");
            let is_special = name.starts_with(':') || name.starts_with("file:") || name.starts_with("sqlite:");
            found.refuse_if(is_special, "store.path", "must be a file on disk, by its plain path");
        }
        StoreConfig::Postgres { url, max_connections, min_connections, acquire_timeout, statement_timeout } => {
            let is_postgres =
                ["postgres://", "postgresql://"].iter().any(|scheme| url.expose_secret().starts_with(scheme));
            found.refuse_if(!is_postgres, "store.url", "must begin with postgres://");
            // One connection holds the write transaction, one serves reads meanwhile.
            found.refuse_if(*max_connections < 2, "store.max_connections", "must be 2 or more");
            found.refuse_if(
                min_connections > max_connections,
                "store.min_connections",
                "must not exceed store.max_connections",
            );
            found.lasting("store.acquire_timeout", *acquire_timeout);
            found.lasting("store.statement_timeout", *statement_timeout);
        }
    }
}

fn check_grpc(found: &mut Findings, grpc: &GrpcConfig) {
    match &grpc.tls {
        None if !grpc.listen.ip().is_loopback() && !grpc.insecure => found.refuse(
            "grpc.listen",
            format!(
                "{} can be reached from other machines without encryption: set grpc.tls, or grpc.insecure = true where \
                 something in front encrypts",
                grpc.listen
            ),
        ),
        None => {}
        Some(tls) => {
            found.refuse_if(grpc.insecure, "grpc.insecure", "contradicts grpc.tls: set one of them");
            found.readable("grpc.tls.cert", &tls.cert);
            found.readable("grpc.tls.key", &tls.key);
            if let Some(client_ca) = &tls.client_ca {
                found.readable("grpc.tls.client_ca", client_ca);
            }
        }
    }
    for (key, bytes) in [
        ("grpc.max_message_bytes", grpc.max_message_bytes),
        ("grpc.max_stream_message_bytes", grpc.max_stream_message_bytes),
    ] {
        found.refuse_if(bytes < SMALLEST_MESSAGE, key, "must be 16384 (16 KiB) or more");
    }
    found.refuse_if(grpc.max_concurrent_streams == 0, "grpc.max_concurrent_streams", "must be 1 or more");
    found.positive("grpc.max_in_flight", grpc.max_in_flight);
    for (key, duration) in [
        ("grpc.request_timeout", grpc.request_timeout),
        ("grpc.keepalive_interval", grpc.keepalive_interval),
        ("grpc.keepalive_timeout", grpc.keepalive_timeout),
        ("grpc.max_connection_age", grpc.max_connection_age),
        ("grpc.drain_timeout", grpc.drain_timeout),
    ] {
        found.lasting(key, duration);
    }
}

fn check_http(found: &mut Findings, config: &Config) {
    let same_place = |a: SocketAddr, b: SocketAddr| {
        a.port() != 0
            && a.port() == b.port()
            && (a.ip() == b.ip() || a.ip().is_unspecified() || b.ip().is_unspecified())
    };
    found.refuse_if(
        same_place(config.http.listen, config.grpc.listen),
        "http.listen",
        "is where grpc.listen already is: choose another port",
    );
    let url = &config.http.public_url;
    match url.scheme() {
        "https" => {}
        "http" if is_this_machine(url) => {}
        "http" => found.refuse("http.public_url", "must be https unless it names this machine"),
        _ => found.refuse("http.public_url", "must be https"),
    }
    let has_extras =
        !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some();
    found.refuse_if(
        has_extras,
        "http.public_url",
        "must be host and path only, because links are made by adding to it",
    );
}

fn is_this_machine(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        None => false,
    }
}

fn check_embedder(found: &mut Findings, embedder: &EmbedderConfig, request_timeout: Duration) {
    if let Some(url) = &embedder.url {
        match url.scheme() {
            "https" => {}
            "http" if embedder.allow_http || is_this_machine(url) => {}
            "http" => found.refuse(
                "embedder.url",
                "would send what customers wrote unencrypted: use https, or set embedder.allow_http = true",
            ),
            _ => found.refuse("embedder.url", "must be an http or https URL"),
        }
        found.refuse_if(
            !url.username().is_empty() || url.password().is_some(),
            "embedder.url",
            "must not hold a user name or password: a key goes into embedder.api_key",
        );
        found.refuse_if(url.fragment().is_some(), "embedder.url", "must not hold a fragment");
    }
    found.refuse_if(
        embedder.model.as_deref().is_some_and(|model| model.trim().is_empty()),
        "embedder.model",
        "must name a model of the endpoint",
    );
    found.refuse_if(
        embedder.api_key.as_ref().is_some_and(|key| !is_header_text(key.expose_secret())),
        "embedder.api_key",
        "must be plain text on one line",
    );
    found.refuse_if(
        embedder.dimensions.is_some_and(|count| !(1..=256).contains(&count)),
        "embedder.dimensions",
        "must be from 1 to 256, which is what is kept; leave it out to have more brought down to that",
    );
    found.lasting("embedder.timeout", embedder.timeout);
    found.refuse_if(
        embedder.enabled && embedder.timeout >= request_timeout,
        "embedder.timeout",
        "must be shorter than grpc.request_timeout, or reports fail that would go by the built-in table",
    );
    found.refuse_if(!(1..=2048).contains(&embedder.batch), "embedder.batch", "must be from 1 to 2048");
    if let Some(ca) = &embedder.ca {
        found.readable("embedder.ca", ca);
    }
    if embedder.enabled {
        found.refuse_if(embedder.url.is_none(), "embedder.url", "is missing: embedder.enabled needs an endpoint");
        found.refuse_if(embedder.model.is_none(), "embedder.model", "is missing: embedder.enabled needs a model");
    }
}

fn is_header_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
}

fn check_delivery(found: &mut Findings, config: &Config) {
    let delivery = &config.delivery;
    found.positive("delivery.batch", delivery.batch);
    found.lasting("delivery.lease", delivery.lease);
    found.positive("delivery.per_destination", delivery.per_destination);
    found.refuse_if(
        delivery.retry_schedule.iter().any(Duration::is_zero),
        "delivery.retry_schedule",
        "must not hold a pause of nothing",
    );
    found.refuse_if(!(0.0..=1.0).contains(&delivery.jitter), "delivery.jitter", "must be from 0 to 1");
    found.lasting("delivery.max_age", delivery.max_age);
    found.lasting("delivery.poll", delivery.poll);
}

fn check_email(found: &mut Findings, email: &EmailConfig) {
    for (key, mailbox) in [("email.from", &email.from), ("email.reply_to", &email.reply_to)] {
        if mailbox.as_deref().is_some_and(|mailbox| text::mailbox_domain(mailbox).is_none()) {
            found.refuse(key, "must be an address such as \"Example Support <support@example.org>\"");
        }
    }
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c));
    if email.message_id_domain.as_deref().is_some_and(|domain| !is_name(domain)) {
        found.refuse("email.message_id_domain", "must be a domain such as \"example.org\"");
    }
    if let Some(ca) = &email.ca {
        found.readable("email.ca", ca);
    }
    found.refuse_if(email.connections == 0, "email.connections", "must be 1 or more");
    if email.username.is_some() != email.password.is_some() {
        let missing = if email.username.is_some() { "email.password" } else { "email.username" };
        found.refuse(missing, "is missing: a login needs username and password");
    }
    if !email.enabled {
        return;
    }
    let host = email.host.as_deref().unwrap_or_default();
    found.refuse_if(host.is_empty(), "email.host", "is missing: email.enabled needs a mail server");
    found.refuse_if(email.from.is_none(), "email.from", "is missing: email.enabled needs a sender");
    found.refuse_if(
        email.tls == EmailTls::None && email.password.is_some() && !is_local_host(host),
        "email.tls",
        "would send the password unencrypted: use \"starttls\" or \"implicit\"",
    );
}

fn is_local_host(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn check_webhook(found: &mut Findings, webhook: &WebhookConfig) {
    if let Some(ca) = &webhook.ca {
        found.readable("webhook.ca", ca);
    }
    for network in webhook.allow_networks.iter().filter(|network| network.prefix_len() == 0) {
        let message = format!("{network} would let tenants reach everything from here: name the networks you mean");
        found.refuse("webhook.allow_networks", message);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{ConfigFile, LoadOptions};
    use super::*;

    fn problems(settings: &[&str]) -> Vec<String> {
        let overrides = settings.iter().map(|flag| flag.to_string()).collect();
        let options = LoadOptions { file: ConfigFile::None, overrides, ..LoadOptions::default() };
        let config = Config::load(options).expect("these settings can be read");
        config.check().err().unwrap_or_default().into_iter().map(|problem| problem.key).collect()
    }

    #[test]
    fn the_defaults_have_no_problems() {
        assert_eq!(problems(&[]), Vec::<String>::new());
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let found =
            problems(&["intake.max_batch=0", "delivery.jitter=1.5", "log.filter=a=b=c", "idempotency.retention=1h"]);
        assert_eq!(found, ["intake.max_batch", "delivery.jitter", "log.filter", "idempotency.retention"]);
    }

    #[test]
    fn listening_to_the_world_needs_tls_or_a_clear_word() {
        assert_eq!(problems(&["grpc.listen=0.0.0.0:7431"]), ["grpc.listen"]);
        assert_eq!(problems(&["grpc.listen=[::]:7431"]), ["grpc.listen"]);
        assert_eq!(problems(&["grpc.listen=0.0.0.0:7431", "grpc.insecure=true"]), [""; 0]);
        assert_eq!(problems(&["grpc.listen=[::1]:7431"]), [""; 0]);
        let file = tempfile::NamedTempFile::new().unwrap();
        let (cert, key) =
            (format!("grpc.tls.cert={}", file.path().display()), format!("grpc.tls.key={}", file.path().display()));
        assert_eq!(problems(&["grpc.listen=0.0.0.0:7431", &cert, &key]), [""; 0]);
        assert_eq!(problems(&["grpc.insecure=true", &cert, &key]), ["grpc.insecure"]);
        assert_eq!(problems(&[&cert, "grpc.tls.key=/nowhere/at/all"]), ["grpc.tls.key"]);
    }

    #[test]
    fn links_in_mails_are_https_or_lead_to_this_machine() {
        for url in ["https://example.org", "https://example.org/hearback/", "http://localhost:80", "http://[::1]:7432"]
        {
            assert_eq!(problems(&[&format!("http.public_url={url}")]), [""; 0], "{url}");
        }
        for url in
            ["http://example.org", "http://10.0.0.1", "ftp://example.org", "https://u:p@example.org", "https://a.b/?q"]
        {
            assert_eq!(problems(&[&format!("http.public_url={url}")]), ["http.public_url"], "{url}");
        }
    }

    #[test]
    fn the_two_front_doors_are_not_one() {
        assert_eq!(problems(&["http.listen=127.0.0.1:7431"]), ["http.listen"]);
        assert_eq!(problems(&["http.listen=0.0.0.0:7431"]), ["http.listen"]);
        assert_eq!(problems(&["http.listen=127.0.0.1:0", "grpc.listen=127.0.0.1:0"]), [""; 0]);
    }

    #[test]
    fn a_send_ends_before_its_lease() {
        assert_eq!(problems(&["webhook.timeout=30s"]), ["webhook.timeout"]);
        assert_eq!(problems(&["webhook.timeout=30s", "webhook.enabled=false"]), [""; 0]);
        assert_eq!(problems(&["delivery.lease=10s"]), ["webhook.timeout"]);
    }

    #[test]
    fn an_embedder_needs_an_endpoint_and_a_model() {
        assert_eq!(problems(&["embedder.enabled=true"]), ["embedder.url", "embedder.model"]);
        let embedder = ["embedder.enabled=true", "embedder.url=https://example.org/v1", "embedder.model=small"];
        assert_eq!(problems(&embedder), [""; 0]);
        for (flag, key) in [
            ("embedder.url=ftp://example.org", "embedder.url"),
            ("embedder.url=https://u:p@example.org", "embedder.url"),
            ("embedder.url=http://example.org/v1", "embedder.url"),
            ("embedder.url=http://10.0.0.7/v1", "embedder.url"),
            ("embedder.model= ", "embedder.model"),
            ("embedder.api_key=a\nb", "embedder.api_key"),
            ("embedder.dimensions=0", "embedder.dimensions"),
            ("embedder.dimensions=257", "embedder.dimensions"),
            ("embedder.timeout=0s", "embedder.timeout"),
            ("embedder.timeout=30s", "embedder.timeout"),
            ("embedder.batch=0", "embedder.batch"),
            ("embedder.batch=2049", "embedder.batch"),
            ("embedder.ca=/nowhere/at/all", "embedder.ca"),
        ] {
            assert_eq!(problems(&[&embedder[..], &[flag]].concat()), [key], "{flag}");
        }
    }

    #[test]
    fn an_embedder_may_be_on_this_machine_or_in_a_private_network() {
        for settings in [
            &["embedder.url=http://127.0.0.1:8080/v1"][..],
            &["embedder.url=http://localhost:8080"],
            &["embedder.url=https://10.0.0.7/v1"],
            &["embedder.url=http://10.0.0.7:8080/v1", "embedder.allow_http=true"],
            &["embedder.dimensions=256", "embedder.api_key=sk-1"],
        ] {
            assert_eq!(problems(settings), [""; 0], "{settings:?}");
        }
    }

    #[test]
    fn mail_needs_a_server_and_a_sender() {
        assert_eq!(problems(&["email.enabled=true"]), ["email.host", "email.from"]);
        let mail = ["email.enabled=true", "email.host=smtp.example.org", "email.from=Help <help@example.org>"];
        assert_eq!(problems(&mail), [""; 0]);
        assert_eq!(problems(&[&mail[..], &["email.from=help\nBcc: x@y.z"]].concat()), ["email.from"]);
        assert_eq!(problems(&[&mail[..], &["email.username=u"]].concat()), ["email.password"]);
        assert_eq!(problems(&[&mail[..], &["email.timeout=1m"]].concat()), ["email.timeout"]);
    }

    #[test]
    fn a_mail_password_is_not_sent_in_the_clear() {
        let login =
            ["email.enabled=true", "email.from=a@b.c", "email.username=u", "email.password=p", "email.tls=none"];
        assert_eq!(problems(&[&login[..], &["email.host=smtp.example.org"]].concat()), ["email.tls"]);
        assert_eq!(problems(&[&login[..], &["email.host=127.0.0.1"]].concat()), [""; 0]);
    }

    #[test]
    fn webhooks_are_not_let_loose_on_every_network() {
        assert_eq!(problems(&["webhook.allow_networks=10.0.0.0/8,fd00::/8"]), [""; 0]);
        assert_eq!(problems(&["webhook.allow_networks=0.0.0.0/0"]), ["webhook.allow_networks"]);
    }

    #[test]
    fn the_database_outlives_the_process() {
        assert_eq!(problems(&["store.path=:memory:"]), ["store.path"]);
        assert_eq!(problems(&["store.path=file:x?mode=memory"]), ["store.path"]);
        let postgres = [
            "store.kind=postgres",
            "store.url=mysql://u:271828@h/d",
            "store.max_connections=1",
            "store.min_connections=2",
        ];
        assert_eq!(problems(&postgres), ["store.url", "store.max_connections", "store.min_connections"]);
    }
}
