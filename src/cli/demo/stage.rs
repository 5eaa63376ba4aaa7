//! The server and everything around it: mail server, webhook receiver, a help desk at the stream, and the caller.

use std::net::TcpListener;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use super::super::client::{self, CallError, Client, endpoint};
use super::sinks::{SmtpSink, WebhookSink};
use crate::clock::Clock;
use crate::config::{Config, LoadOptions};
use crate::grpc::proto;
use crate::grpc::proto::watch_announcements_request::{Acknowledgement, Message as Said, Start, acknowledgement};
use crate::grpc::proto::watch_announcements_response::{Message as Heard, StreamDelivery};
use crate::server::{Running, Server, StartOptions};
use crate::telemetry;

/// Without an event for so long, and with nothing under way, the server has done all there is to do.
const CALM: Duration = Duration::from_millis(500);
/// How often to look.
const POLL: Duration = Duration::from_millis(50);
/// Reasons of loops that somebody is still working on.
const UNDER_WAY: [&str; 3] = ["delivery_pending", "correction_pending", "settling"];

/// What the help desk at the stream was given to post.
type Posted = Arc<Mutex<Vec<StreamDelivery>>>;

/// All that the story needs.
pub(super) struct Stage {
    server: Running,
    key: SecretString,
    client: Client,
    /// Where mails arrive.
    pub(super) mail: SmtpSink,
    /// Where webhooks arrive.
    pub(super) webhooks: WebhookSink,
    posted: Posted,
    /// When the server's history last grew.
    last_event: Arc<Mutex<Instant>>,
    watchers: [JoinHandle<Result<(), Status>>; 2],
    shutdown: CancellationToken,
    _folder: TempDir,
}

impl Stage {
    /// Sets everything up.
    ///
    /// # Errors
    /// If a port or folder is not to be had, or the server does not start.
    pub(super) async fn open() -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("no temporary folder can be made")?;
        let shutdown = CancellationToken::new();
        let mail = SmtpSink::start(shutdown.clone()).await.context("no mail server can be started")?;
        let webhooks = WebhookSink::start(shutdown.clone()).await.context("no webhook receiver can be started")?;
        // Links in mails need the port before the server has it.
        let pages = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr())?;
        let overrides = [
            format!("data_dir={}", folder.path().display()),
            "grpc.listen=127.0.0.1:0".to_owned(),
            format!("http.listen={pages}"),
            format!("http.public_url=http://{pages}"),
            "email.enabled=true".to_owned(),
            format!("email.host={}", mail.address().ip()),
            format!("email.port={}", mail.address().port()),
            "email.tls=none".to_owned(),
            "email.from=Demo Support <support@example.org>".to_owned(),
            "webhook.allow_http=true".to_owned(),
            format!("webhook.allow_networks={}/32", webhooks.address().ip()),
            // Everybody here has one of three mail domains.
            "delivery.per_destination=16".to_owned(),
        ];
        let config = Config::load(LoadOptions { overrides: overrides.to_vec(), ..LoadOptions::default() })?;
        telemetry::init(config.log.format, "error", false)?;
        let server = Server::start(config, StartOptions { clock: Clock::system(), run_passes: true }).await?;
        let first_key = server.first_key.as_ref().context("a new database comes with a key")?;
        let key = SecretString::from(first_key.text.clone());
        let channel = endpoint(&format!("http://{}", server.grpc_address))?.connect().await?;
        let client = Client::new(channel, &key)?;

        let last_event = Arc::new(Mutex::new(Instant::now()));
        let posted = Posted::default();
        let watchers = [
            tokio::spawn(listen(client.clone(), Arc::clone(&last_event))),
            tokio::spawn(post(client.clone(), Arc::clone(&posted))),
        ];
        Ok(Self { server, key, client, mail, webhooks, posted, last_event, watchers, shutdown, _folder: folder })
    }

    /// Where the server listens.
    pub(super) fn address(&self) -> String {
        format!("http://{}", self.server.grpc_address)
    }

    /// What to type to look around.
    pub(super) fn how_to_connect(&self) -> String {
        use secrecy::ExposeSecret as _;
        format!(
            "export HEARBACK_ADDRESS={} HEARBACK_API_KEY={}\n  hearback cluster list --order-by 'report_count desc'",
            self.address(),
            self.key.expose_secret()
        )
    }

    /// The caller.
    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    /// What the help desk was given to post so far, and acknowledged.
    pub(super) fn posted(&self) -> Vec<StreamDelivery> {
        self.posted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn since_last_event(&self) -> Duration {
        self.last_event.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Waits until the server has nothing left to do.
    ///
    /// # Errors
    /// If it still has at the deadline.
    pub(super) async fn quiet(&self, deadline: Instant) -> anyhow::Result<()> {
        let asked = Instant::now();
        loop {
            let is_calm = asked.elapsed() >= CALM && self.since_last_event() >= CALM;
            let work = if is_calm { self.work().await? } else { Some("changes happen all the time".to_owned()) };
            let Some(work) = work else { return Ok(()) };
            if let Some(watcher) = self.watchers.iter().find(|watcher| watcher.is_finished()) {
                bail!("the server ended a stream that is watched (task {})", watcher.id());
            }
            if Instant::now() >= deadline {
                bail!("the server is still busy: {work}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// What the server is working on, in words; `None` if nothing is left.
    async fn work(&self) -> Result<Option<String>, CallError> {
        let mut announcements = self.client.announcements();
        for state in ["PENDING", "SENDING"] {
            let filter = format!("state = {state}");
            let request = proto::ListDeliveriesRequest { page_size: 1, filter, ..Default::default() };
            let page = client::call(request, async |request| announcements.list_deliveries(request).await).await?;
            if let Some(delivery) = page.deliveries.first() {
                let last = delivery.attempts.last().map(|attempt| format!("{}: {}", attempt.outcome, attempt.detail));
                let last = last.unwrap_or_else(|| "no attempt yet".to_owned());
                let kind = delivery.channel().as_str_name();
                return Ok(Some(format!("delivery {} is {state}, {kind}, {last}", delivery.id)));
            }
        }
        let mut reports = self.client.reports();
        for reason in UNDER_WAY {
            let filter = format!("loop_reason = {reason}");
            let request = proto::ListReportsRequest { page_size: 1, filter, ..Default::default() };
            let page = client::call(request, async |request| reports.list_reports(request).await).await?;
            if let Some(report) = page.reports.first() {
                return Ok(Some(format!("the loop of {} is at {reason}", report.id)));
            }
        }
        Ok(None)
    }

    /// Takes everything down again.
    pub(super) async fn close(self) {
        for watcher in &self.watchers {
            watcher.abort();
        }
        self.server.shut_down().await;
        self.shutdown.cancel();
        self.mail.stopped().await;
        self.webhooks.stopped().await;
    }
}

/// Notes when something happened.
async fn listen(client: Client, last_event: Arc<Mutex<Instant>>) -> Result<(), Status> {
    let request = proto::WatchRequest { resume_token: String::new(), from_beginning: true };
    let mut events = client.events().watch(request).await?.into_inner();
    while let Some(event) = events.message().await? {
        if event.event.is_some() {
            *last_event.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        }
    }
    Ok(())
}

/// A help desk: takes what is for its customers, posts it, and says so.
async fn post(client: Client, posted: Posted) -> Result<(), Status> {
    let (say, said) = mpsc::channel(16);
    let ask = |message| proto::WatchAnnouncementsRequest { message: Some(message) };
    let gone = |_| Status::unavailable("the server ended the stream");
    say.send(ask(Said::Start(Start { max_outstanding: 50 }))).await.map_err(gone)?;
    let mut heard = client.announcements().watch_announcements(ReceiverStream::new(said)).await?.into_inner();
    while let Some(answer) = heard.message().await? {
        let Some(Heard::Delivery(delivery)) = answer.message else { continue };
        let acknowledgement = Acknowledgement {
            delivery_id: delivery.delivery_id.clone(),
            outcome: acknowledgement::Outcome::Delivered.into(),
            detail: "posted below the customer's own report".to_owned(),
        };
        {
            let mut posted = posted.lock().unwrap_or_else(PoisonError::into_inner);
            // The same id again is the same statement again: it is acknowledged again, and not posted again.
            if posted.iter().all(|known| known.delivery_id != delivery.delivery_id) {
                posted.push(delivery);
            }
        }
        say.send(ask(Said::Acknowledgement(acknowledgement))).await.map_err(gone)?;
    }
    Ok(())
}
