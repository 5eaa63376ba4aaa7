//! Email, through one relay, spoken step by step.
//!
//! The steps matter: before the message's text is sent a lost connection means nothing arrived, after its final dot it
//! means nobody knows. Lettre's transport reports both the same way, so this file builds letters and parses answers with
//! lettre but walks through the transaction itself and always knows how far it has got. Connections are kept open between
//! messages, a bounded number of them, with Nagle's algorithm off (it would add 40 ms to every message).
//!
//! One recipient a message. A retry of the same delivery carries the same `Message-ID`, boundary and words, so that
//! mailboxes can recognise it. Left to the relay: DKIM signing, MX lookups, and what bounces later.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream, Certificate, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt, Rset};
use lettre::transport::smtp::extension::{ClientId, Extension, MailBodyParameter, MailParameter};
use lettre::transport::smtp::response::Severity;
use lettre::{Address, Message as Letter};
use rustls::pki_types::{CertificateDer, ServerName};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use url::{Host, Url};

pub use super::address::check_email_address;
use super::address::parse_address;
use super::reply::{Step, detail, judge_error, transient};
use super::{Channel, ChannelConfigError, Message, Outcome, Sending};
use crate::domain::time::Timestamp;

/// Relays commonly hang up on connections that idle for a minute, and after a hundred messages.
const MAX_IDLE: Duration = Duration::from_secs(45);
const MAX_MESSAGES: u32 = 100;

/// How the connection to the relay is secured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Not at all: for a relay on this machine and for tests.
    None,
    /// In the clear first, then upgraded; without the upgrade nothing is sent. Usually port 587.
    StartTls,
    /// From the first byte. Usually port 465.
    Implicit,
}

/// How to reach the relay, and as whom to write.
#[derive(Debug, Clone)]
pub struct EmailConfig {
    /// The relay's name; its certificate must carry it.
    pub host: String,
    /// The relay's port.
    pub port: u16,
    /// How the connection is secured.
    pub tls: Tls,
    /// Whom to log in as; absent for a relay that knows us by address.
    pub username: Option<String>,
    /// The password that goes with it.
    pub password: Option<SecretString>,
    /// The sender: `Acme Support <support@acme.example>` or the bare address.
    pub from: String,
    /// Where answers go, if not to the sender.
    pub reply_to: Option<String>,
    /// How long one attempt may take altogether. Half of it is kept for the relay's final answer.
    pub timeout: Duration,
    /// How many connections may be open at once.
    pub pool: u32,
    /// The part of `Message-ID` after the `@`: a domain of the sender's.
    pub message_id_domain: String,
    /// What `List-Id` says, without brackets: a name below a domain of the sender's, as `fixes.acme.example`.
    pub list_id: Option<String>,
    /// Authorities whose certificates are accepted beside the web's.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// The email channel. See the module's docs.
pub struct Email {
    relay: (String, u16),
    security: Security,
    credentials: Option<Credentials>,
    hello: ClientId,
    from: Mailbox,
    reply_to: Option<Mailbox>,
    message_id_domain: String,
    list_id: Option<String>,
    timeout: Duration,
    lines: Semaphore,
    idle: Mutex<Vec<Idle>>,
}

enum Security {
    None,
    StartTls(TlsParameters),
    Implicit { connector: TlsConnector, name: ServerName<'static> },
}

/// An open connection that is between messages.
struct Idle {
    connection: AsyncSmtpConnection,
    sent: u32,
    since: Instant,
}

/// An open connection that is used, with the permit to have one.
struct Line<'a> {
    connection: AsyncSmtpConnection,
    sent: u32,
    _permit: SemaphorePermit<'a>,
}

/// A message in the form it crosses the wire.
struct Composed {
    recipient: Address,
    bytes: Vec<u8>,
}

impl Email {
    /// Checks the configuration and prepares the channel; connects to nothing yet.
    pub fn new(config: EmailConfig) -> Result<Self, ChannelConfigError> {
        let mailbox = |key, text: &str| -> Result<Mailbox, ChannelConfigError> {
            check_header(text).map_err(|reason| ChannelConfigError::new(key, reason))?;
            text.parse().map_err(|_| ChannelConfigError::new(key, "is not a mailbox like `Name <name@example.com>`"))
        };
        let domain = |key, text: &str| match Host::parse(text) {
            Ok(Host::Domain(name)) if name == text => Ok(name),
            _ => Err(ChannelConfigError::new(key, "is not a lower-case domain name")),
        };
        if config.pool == 0 {
            return Err(ChannelConfigError::new("pool", "must be at least 1"));
        }
        if config.timeout.is_zero() {
            return Err(ChannelConfigError::new("timeout", "must not be zero"));
        }
        let credentials = match (config.username, config.password) {
            (None, None) => None,
            (Some(name), Some(password)) => Some(Credentials::new(name, password.expose_secret().to_owned())),
            (None, Some(_)) => return Err(ChannelConfigError::new("username", "is missing beside a password")),
            (Some(_), None) => return Err(ChannelConfigError::new("password", "is missing beside a username")),
        };
        let local = config.host == "localhost" || config.host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
        if credentials.is_some() && config.tls == Tls::None && !local {
            return Err(ChannelConfigError::new("tls", "must not be `none` where a password is sent over a network"));
        }
        let security = match config.tls {
            Tls::None => Security::None,
            Tls::StartTls => {
                let mut parameters = TlsParameters::builder(config.host.clone());
                for authority in &config.authorities {
                    let authority = Certificate::from_der(authority.to_vec())
                        .map_err(|error| ChannelConfigError::new("ca", error))?;
                    parameters = parameters.add_root_certificate(authority);
                }
                Security::StartTls(parameters.build().map_err(|error| ChannelConfigError::new("tls", error))?)
            }
            Tls::Implicit => Security::Implicit {
                connector: TlsConnector::from(Arc::new(super::tls_client_config(&[], &config.authorities)?)),
                name: ServerName::try_from(config.host.clone())
                    .map_err(|_| ChannelConfigError::new("host", "is not a name a certificate can carry"))?,
            },
        };
        Ok(Self {
            security,
            credentials,
            hello: ClientId::default(),
            from: mailbox("from", &config.from)?,
            reply_to: config.reply_to.as_deref().map(|text| mailbox("reply_to", text)).transpose()?,
            message_id_domain: domain("message_id_domain", &config.message_id_domain)?,
            list_id: config.list_id.as_deref().map(|text| domain("list_id", text)).transpose()?,
            timeout: config.timeout,
            lines: Semaphore::new(config.pool as usize),
            idle: Mutex::default(),
            relay: (config.host, config.port),
        })
    }

    async fn attempt(&self, message: &Message) -> Outcome {
        let composed = match self.compose(message) {
            Ok(composed) => composed,
            Err(reason) => return Outcome::Rejected { bounced: false, detail: reason },
        };
        let start = Instant::now();
        let mut line = match timeout_at(start + self.timeout / 2, self.begin(&composed)).await {
            Ok(Ok(line)) => line,
            Ok(Err(outcome)) => return outcome,
            Err(_) => return transient("the relay did not answer in time; nothing was sent"),
        };
        match timeout_at(start + self.timeout, line.connection.message(&composed.bytes)).await {
            Ok(Ok(response)) => {
                let answer = format!("{} {}", response.code(), response.message().collect::<Vec<_>>().join(" "));
                let detail = detail(&answer, composed.recipient.as_ref());
                if response.code().severity != Severity::PositiveCompletion {
                    return Outcome::Unknown {
                        detail: format!("AMBIGUOUS: sent, and the answer makes no sense: {detail}"),
                    };
                }
                self.park(line);
                Outcome::Delivered { detail }
            }
            Ok(Err(error)) => {
                if error.status().is_some() {
                    self.park(line);
                }
                judge_error(Step::Content, &error, composed.recipient.as_ref())
            }
            Err(_) => Outcome::Unknown { detail: "AMBIGUOUS: sent, and the relay did not answer in time".to_owned() },
        }
    }

    /// Builds the message, or says which part of it cannot be sent.
    fn compose(&self, message: &Message) -> Result<Composed, String> {
        let recipient = parse_address(&message.address).map_err(|reason| format!("the address {reason}"))?;
        check_header(&message.subject).map_err(|reason| format!("the subject {reason}"))?;
        let raw = |name: &'static str, value: String| {
            // Lettre folds at spaces; without any the line may be long, and RFC 5322 has a limit.
            if value.len() > 900 {
                Err(format!("the header {name} is too long"))
            } else {
                Ok(HeaderValue::new(HeaderName::new_from_ascii_str(name), value))
            }
        };
        let mut letter = Letter::builder()
            .date(calendar(message.now))
            .from(self.from.clone())
            .to(Mailbox::new(None, recipient.clone()))
            .subject(&*message.subject)
            .raw_header(raw("Message-ID", format!("<{}@{}>", message.delivery, self.message_id_domain))?)
            .raw_header(raw("Auto-Submitted", "auto-generated".to_owned())?);
        if let Some(reply_to) = &self.reply_to {
            letter = letter.reply_to(reply_to.clone());
        }
        if let Some(list_id) = &self.list_id {
            letter = letter.raw_header(raw("List-Id", format!("<{list_id}>"))?);
        }
        if let Some(text) = &message.unsubscribe_url {
            let url = check_header(text).and_then(|()| Url::parse(text).map_err(|error| error.to_string()));
            let url = url.map_err(|reason| format!("the unsubscribe URL {reason}"))?;
            match url.scheme() {
                "https" => {
                    letter = letter
                        .raw_header(raw("List-Unsubscribe", format!("<{url}>"))?)
                        .raw_header(raw("List-Unsubscribe-Post", "List-Unsubscribe=One-Click".to_owned())?);
                }
                // One click is only defined over https; without it a mail program opens the page.
                "http" => letter = letter.raw_header(raw("List-Unsubscribe", format!("<{url}>"))?),
                _ => return Err("the unsubscribe URL is not a web address".to_owned()),
            }
        }
        let body = MultiPart::alternative()
            .boundary(format!("hearback-{}", message.delivery.uuid().simple()))
            .singlepart(SinglePart::plain(message.text.clone()))
            .singlepart(SinglePart::html(message.html.clone()));
        let letter = letter.multipart(body).map_err(|error| format!("the message cannot be built: {error}"))?;
        Ok(Composed { recipient, bytes: letter.formatted() })
    }

    /// Brings a connection to the point where the text is awaited.
    async fn begin(&self, composed: &Composed) -> Result<Line<'_>, Outcome> {
        let permit = self.lines.acquire().await.expect("the semaphore is never closed");
        let (connection, sent) = match self.reuse().await {
            Some(idle) => (idle.connection, idle.sent),
            None => (
                self.connect()
                    .await
                    .map_err(|(step, error)| judge_failure(step, &error, composed.recipient.as_ref()))?,
                0,
            ),
        };
        let mut line = Line { connection, sent, _permit: permit };
        match introduce(&mut line.connection, self.from.email.clone(), composed).await {
            Ok(()) => Ok(line),
            Err(Refusal::Answer(step, error)) => {
                let outcome = judge_error(step, &error, composed.recipient.as_ref());
                if error.status().is_some_and(|code| u16::from(code) != 421) {
                    self.park(line);
                }
                Err(outcome)
            }
            Err(Refusal::Incapable(reason)) => {
                self.park(line);
                Err(Outcome::Rejected { bounced: false, detail: reason.to_owned() })
            }
            Err(Refusal::Nonsense) => Err(transient("the relay did not ask for the text; nothing was sent")),
        }
    }

    /// An idle connection that still answers, freed of whatever its last message left behind.
    async fn reuse(&self) -> Option<Idle> {
        loop {
            let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if idle.since.elapsed() < MAX_IDLE && idle.connection.command(Rset).await.is_ok() {
                return Some(idle);
            }
        }
    }

    fn park(&self, line: Line<'_>) {
        let sent = line.sent + 1;
        if sent < MAX_MESSAGES {
            let idle = Idle { connection: line.connection, sent, since: Instant::now() };
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(idle);
        }
    }

    async fn connect(&self) -> Result<AsyncSmtpConnection, (Step, Failure)> {
        let at = |step| move |error| (step, Failure::Smtp(error));
        let (host, port) = &self.relay;
        let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(|e| (Step::Connect, Failure::Io(e)))?;
        tcp.set_nodelay(true).map_err(|e| (Step::Connect, Failure::Io(e)))?;
        let stream: Box<dyn AsyncTokioStream> = match &self.security {
            Security::Implicit { connector, name } => {
                let tls = connector.connect(name.clone(), tcp).await;
                Box::new(OverTls(tls.map_err(|e| (Step::Connect, Failure::Io(e)))?))
            }
            Security::None | Security::StartTls(_) => Box::new(tcp),
        };
        let mut connection =
            AsyncSmtpConnection::connect_with_transport(stream, &self.hello).await.map_err(at(Step::Connect))?;
        if let Security::StartTls(parameters) = &self.security {
            connection.starttls(parameters.clone(), &self.hello).await.map_err(at(Step::Connect))?;
        }
        if let Some(credentials) = &self.credentials {
            connection.auth(&[Mechanism::Plain, Mechanism::Login], credentials).await.map_err(at(Step::LogIn))?;
        }
        Ok(connection)
    }
}

impl Channel for Email {
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(self.attempt(message))
    }
}

/// Why there is no connection.
enum Failure {
    Io(io::Error),
    Smtp(lettre::transport::smtp::Error),
}

/// Why a transaction did not begin.
enum Refusal {
    Answer(Step, lettre::transport::smtp::Error),
    Incapable(&'static str),
    /// The relay agreed to take the text with a code that does not mean it.
    Nonsense,
}

/// Names sender and recipient and asks to send the text.
async fn introduce(line: &mut AsyncSmtpConnection, from: Address, composed: &Composed) -> Result<(), Refusal> {
    let mut parameters = Vec::new();
    if !composed.recipient.user().is_ascii() {
        if !line.server_info().supports_feature(Extension::SmtpUtfEight) {
            return Err(Refusal::Incapable("the relay cannot send to addresses with letters beyond ASCII"));
        }
        parameters.push(MailParameter::SmtpUtfEight);
    }
    if !composed.bytes.is_ascii() {
        if !line.server_info().supports_feature(Extension::EightBitMime) {
            return Err(Refusal::Incapable("the relay cannot send text beyond ASCII"));
        }
        parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
    }
    let at = |step| move |error| Refusal::Answer(step, error);
    line.command(Mail::new(Some(from), parameters)).await.map_err(at(Step::Sender))?;
    line.command(Rcpt::new(composed.recipient.clone(), Vec::new())).await.map_err(at(Step::Recipient))?;
    let ready = line.command(Data).await.map_err(at(Step::Data))?;
    if ready.has_code(354) { Ok(()) } else { Err(Refusal::Nonsense) }
}

fn judge_failure(step: Step, failure: &Failure, address: &str) -> Outcome {
    match failure {
        Failure::Io(error) => transient(&format!("no connection to the relay: {error}")),
        Failure::Smtp(error) => judge_error(step, error, address),
    }
}

/// The moment for the `Date` header, held within the years such a header can name.
fn calendar(moment: Timestamp) -> SystemTime {
    const LATEST_S: u64 = 253_402_300_799; // 9999-12-31T23:59:59Z
    let seconds = u64::try_from(moment.micros().div_euclid(1_000_000)).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.min(LATEST_S))
}

/// Refuses what could end a header early.
fn check_header(value: &str) -> Result<(), String> {
    if value.chars().any(char::is_control) {
        Err("contains a line break or control character".to_owned())
    } else {
        Ok(())
    }
}

/// A TLS stream that lettre takes for a plain one, so that our own connector with our own socket options stands below it.
#[derive(Debug)]
struct OverTls(TlsStream<TcpStream>);

impl AsyncTokioStream for OverTls {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().0.peer_addr()
    }
}

impl AsyncRead for OverTls {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for OverTls {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
