//! The real server in this process: its doors on free ports, its clock ours, its passes run when told to.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use hearback::app::App;
use hearback::clock::Clock;
use hearback::config::{Config, EmailTls, LoadOptions};
use hearback::domain::time::Timestamp;
use hearback::server::{Running, Server as Hearback, StartOptions};
use hearback::worker;

use super::database::Database;
use super::proto::CreateTenantRequest;
use super::{Caller, Mail, Mailbox, request_id};

/// A server with a tenant of its own, whose first caller it stands for: `server.submit(…)`.
pub(crate) struct Server {
    // Dropped in this order: the server before what it stands on.
    running: Running,
    caller: Caller,
    config: Config,
    /// What the server's time is; moves only when told to.
    pub(crate) clock: Clock,
    /// Where its mails go.
    pub(crate) mailbox: Arc<Mailbox>,
    database: Arc<Database>,
}

impl Deref for Server {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// Where every test begins: a Monday, at noon.
pub(crate) fn noon() -> Timestamp {
    Timestamp::from_chrono("2026-06-01T12:00:00Z".parse().expect("a moment"))
}

impl Server {
    /// Starts one over a fresh database, with mail and webhooks and one product, `app`.
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let database = Arc::new(Database::fresh().await);
        let mailbox = Arc::new(Mailbox::open().await);
        let mut config = settings(&database, &mailbox);
        change(&mut config);
        let clock = Clock::manual(noon());
        let running = open(&config, &clock).await;
        let first_key = running.first_key.as_ref().expect("a new database gets a first key");
        let caller = Caller::connect(running.grpc_address, &first_key.text).await;
        caller.product("app", "Acme App").await;
        Self { running, caller, config, clock, mailbox, database }
    }

    /// Another server on the same database, with the same clock; both serve.
    pub(crate) async fn replica(&self) -> Self {
        let running = open(&self.config, &self.clock).await;
        assert!(running.first_key.is_none(), "only a new database gets a first key");
        let caller = Caller::connect(running.grpc_address, self.caller.key()).await;
        Self {
            running,
            caller,
            config: self.config.clone(),
            clock: self.clock.clone(),
            mailbox: self.mailbox.clone(),
            database: self.database.clone(),
        }
    }

    /// Goes down as an operator asks it to, and comes up again over the same data.
    pub(crate) async fn restart(self) -> Self {
        self.restart_with(|_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn restart_with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        let Self { running, caller, config, clock, mailbox, database } = self;
        running.shut_down().await;
        Self::again(caller, config, clock, mailbox, database).await
    }

    /// Is cut off in the middle of whatever it does, and comes up again over the same data.
    pub(crate) async fn crash(self) -> Self {
        let Self { running, caller, config, clock, mailbox, database } = self;
        drop(running);
        Self::again(caller, config, clock, mailbox, database).await
    }

    async fn again(
        caller: Caller,
        config: Config,
        clock: Clock,
        mailbox: Arc<Mailbox>,
        database: Arc<Database>,
    ) -> Self {
        let running = open(&config, &clock).await;
        let caller = Caller::connect(running.grpc_address, caller.key()).await;
        Self { running, caller, config, clock, mailbox, database }
    }

    /// Goes down as an operator asks it to.
    pub(crate) async fn shut_down(self) {
        self.running.shut_down().await;
    }

    /// The service behind the doors, to drive single passes.
    pub(crate) fn app(&self) -> &Arc<App> {
        &self.running.app
    }

    /// Begins to go down; whoever holds the server still has to wait for it.
    pub(crate) fn begin_to_stop(&self) {
        self.running.stopper().cancel();
    }

    /// Somebody of this server with another key, or with none if it is empty.
    pub(crate) async fn with_key(&self, key: &str) -> Caller {
        Caller::connect(self.running.grpc_address, key).await
    }

    /// Where programs connect.
    pub(crate) fn grpc_url(&self) -> String {
        format!("http://{}", self.running.grpc_address)
    }

    /// Another tenant of the same server, with a product of its own, `app`.
    pub(crate) async fn second_tenant(&self) -> Caller {
        let request = CreateTenantRequest { request_id: request_id(), display_name: "Somebody else".to_owned() };
        let created = self.admin().create_tenant(request).await.expect("an operator creates tenants").into_inner();
        let caller = self.with_key(&created.secret).await;
        caller.product("app", "Their App").await;
        caller
    }

    /// Runs every pass until there is nothing left to do at this moment.
    pub(crate) async fn run_until_idle(&self) {
        worker::run_until_idle(&self.running.app).await.expect("the passes run");
    }

    /// Looks at every cluster that is due for a second look.
    pub(crate) async fn look_again(&self) {
        worker::look_until_idle(&self.running.app).await.expect("the looks are taken");
    }

    /// Lets time pass, then does what has come due.
    pub(crate) async fn after(&self, time: Duration) {
        self.clock.advance(time);
        self.run_until_idle().await;
    }

    /// What arrived for this address, oldest first.
    pub(crate) fn mail_to(&self, address: &str) -> Vec<Mail> {
        self.mailbox.to(address)
    }

    /// The subjects of what arrived for this address, oldest first.
    pub(crate) fn subjects(&self, address: &str) -> Vec<String> {
        self.mail_to(address).iter().map(|mail| mail.subject().to_owned()).collect()
    }

    /// The link of a mail as it reaches this server, which mails know under its public name.
    pub(crate) fn page(&self, public: &str) -> String {
        let path = public.strip_prefix("https://hearback.example/").expect("mails link to the public name");
        format!("http://{}/{path}", self.running.http_address)
    }

    /// A page of this server.
    pub(crate) fn http_url(&self, path: &str) -> String {
        format!("http://{}{path}", self.running.http_address)
    }
}

fn settings(database: &Database, mailbox: &Mailbox) -> Config {
    let mut config = Config::load(LoadOptions::default()).expect("the defaults are settings");
    let free = "127.0.0.1:0".parse().expect("an address");
    config.data_dir = database.folder().to_owned();
    config.store = database.store();
    config.grpc.listen = free;
    config.grpc.drain_timeout = Duration::from_secs(5);
    config.http.listen = free;
    config.http.public_url = "https://hearback.example/".parse().expect("a URL");
    config.email.enabled = true;
    config.email.host = Some(mailbox.address.ip().to_string());
    config.email.port = Some(mailbox.address.port());
    config.email.tls = EmailTls::None;
    config.email.from = Some("Acme Support <support@acme.example>".to_owned());
    config.webhook.allow_http = true;
    config.webhook.allow_networks = vec!["127.0.0.0/8".parse().expect("a network")];
    config
}

async fn open(config: &Config, clock: &Clock) -> Running {
    let options = StartOptions { clock: clock.clone(), run_passes: false };
    Hearback::start(config.clone(), options).await.unwrap_or_else(|error| panic!("the server starts: {error:?}"))
}
