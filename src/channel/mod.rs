//! Ways out: how one statement reaches one address.
//!
//! Each channel is one file: [`email`] speaks SMTP to a relay, [`webhook`] posts signed JSON. A channel makes exactly one
//! attempt and reports it as an [`Outcome`]; when to try again, whom to suppress and what to record is decided above, by
//! `app`. What channels share lives beside them: [`egress`] keeps webhooks away from private networks, [`signature`] signs
//! them, [`template`] turns a letter into words.
//!
//! Left out on purpose: queues, retries, consent and the store. A channel knows an address, not a customer's history.

mod address;
pub mod egress;
pub mod email;
mod reply;
pub mod signature;
pub mod template;
mod text;
pub mod webhook;
#[cfg(test)]
mod wire;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use secrecy::SecretString;

use crate::domain::id::{CustomerId, DeliveryId};
use crate::domain::time::Timestamp;

/// What one attempt came to. Failure is ordinary here, so it is data and not an `Err` that a `?` could lose.
///
/// Every `detail` is one line for the person who asks why: the other side's answer, cut short, freed of control
/// characters and of the recipient's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The other side took responsibility for the message.
    Delivered {
        /// What it said.
        detail: String,
    },
    /// Nothing arrived, and trying again may help.
    Retry {
        /// How long the other side asked us to wait (`Retry-After`, greylisting); `None` leaves it to our own schedule.
        not_before: Option<Duration>,
        /// What went wrong.
        detail: String,
    },
    /// A final no for this contact point: repeating cannot help.
    Rejected {
        /// The address does not exist (any more): suppress it.
        bounced: bool,
        /// Why.
        detail: String,
    },
    /// It was sent and the answer was lost: it may have arrived. Only a receiver that recognises the same
    /// idempotency key may be asked again.
    Unknown {
        /// How far it got.
        detail: String,
    },
}

impl Outcome {
    /// What was said about the attempt, whatever came of it.
    pub fn detail(&self) -> &str {
        match self {
            Self::Delivered { detail }
            | Self::Retry { detail, .. }
            | Self::Rejected { detail, .. }
            | Self::Unknown { detail } => detail,
        }
    }
}

/// One statement to one address, ready to go. The idempotency key is the delivery's id: the same on every attempt.
///
/// It carries text and addresses, so it has no `Debug`: it must not end up in a log line.
pub struct Message {
    /// The delivery this is an attempt at: becomes `Message-ID` or `webhook-id`.
    pub delivery: DeliveryId,
    /// To whom it goes.
    pub customer: CustomerId,
    /// Where it goes: an email address, or the URL of a webhook.
    pub address: String,
    /// One line.
    pub subject: String,
    /// The whole statement as plain text.
    pub text: String,
    /// The whole statement as HTML.
    pub html: String,
    /// Where one click ends such messages; absent for those nobody can opt out of.
    pub unsubscribe_url: Option<String>,
    /// What kind of event a webhook is told about: `fix.announced`, `correction.announced`, `acknowledgement.announced`.
    pub kind: &'static str,
    /// The webhook's payload.
    pub data: serde_json::Value,
    /// When what the message tells about happened.
    pub event_time: Timestamp,
    /// The moment of this attempt.
    pub now: Timestamp,
    /// Secrets a webhook is signed with: the current one, then the previous one while it is being rotated out.
    pub signing_secrets: Vec<SecretString>,
}

/// An attempt in progress. Dropping it gives the attempt up; then nobody knows whether the message arrived.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

/// A way to reach somebody.
pub trait Channel: Send + Sync {
    /// Makes one attempt, within the channel's timeout.
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a>;
}

/// The channels that are configured, by the name a contact point calls them: `email`, `webhook`.
#[derive(Clone, Default)]
pub struct Channels {
    by_name: BTreeMap<&'static str, Arc<dyn Channel>>,
}

impl Channels {
    /// The same channels and one more; an earlier one of that name is replaced.
    #[must_use]
    pub fn with(mut self, name: &'static str, channel: impl Channel + 'static) -> Self {
        self.by_name.insert(name, Arc::new(channel));
        self
    }

    /// The channel of that name, if it is configured.
    pub fn find(&self, name: &str) -> Option<&dyn Channel> {
        self.by_name.get(name).map(|channel| &**channel)
    }

    /// The names of those configured, sorted.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.by_name.keys().copied()
    }
}

/// Why a channel cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct ChannelConfigError {
    /// The setting, as it is called in the channel's configuration.
    pub key: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

impl ChannelConfigError {
    pub(crate) fn new(key: &'static str, reason: impl ToString) -> Self {
        Self { key, reason: reason.to_string() }
    }
}

/// TLS as a client: ring for the cryptography, the web's usual authorities and those the operator names, and every
/// certificate is verified. `protocols` are offered by ALPN, the preferred one first.
pub(crate) fn tls_client_config(
    protocols: &[&[u8]],
    authorities: &[CertificateDer<'static>],
) -> Result<ClientConfig, ChannelConfigError> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    for authority in authorities {
        roots.add(authority.clone()).map_err(|error| ChannelConfigError::new("ca", error))?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default versions of TLS")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::email::{Email, EmailConfig, Tls};
    use super::webhook::{Webhook, WebhookConfig};
    use super::wire::{Server, Turn, message, nobody, say};
    use super::*;

    /// What every channel promises, spoken to a receiver that accepts, one whose answer is lost, and none at all.
    async fn keeps_the_contract(accepting: (Boxed, Message), losing: (Boxed, Message), missing: (Boxed, Message)) {
        let outcome = accepting.0.send(&accepting.1).await;
        assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
        let outcome = losing.0.send(&losing.1).await;
        assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        let outcome = missing.0.send(&missing.1).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
        assert!(!outcome.detail().is_empty() && !outcome.detail().contains(char::is_control));
        let outcome = missing.0.send(&message("not an address\r\n")).await;
        assert!(matches!(outcome, Outcome::Rejected { bounced: false, .. }), "{outcome:?}");
    }

    type Boxed = Box<dyn Channel>;

    #[tokio::test]
    async fn email_keeps_the_contract() {
        let channel = |server: std::net::SocketAddr| -> (Boxed, Message) {
            let config = EmailConfig {
                host: "127.0.0.1".to_owned(),
                port: server.port(),
                tls: Tls::None,
                username: None,
                password: None,
                from: "support@acme.example".to_owned(),
                reply_to: None,
                timeout: Duration::from_secs(10),
                pool: 1,
                message_id_domain: "acme.example".to_owned(),
                list_id: None,
                authorities: Vec::new(),
            };
            (Box::new(Email::new(config).unwrap()), message("ada@example.org"))
        };
        let (accepting, losing) = (Server::relay(&[]).await, Server::relay(&[("CONTENT", Turn::HangUp)]).await);
        keeps_the_contract(channel(accepting.address), channel(losing.address), channel(nobody().await)).await;
    }

    #[tokio::test]
    async fn webhook_keeps_the_contract() {
        let channel = |server: std::net::SocketAddr| -> (Boxed, Message) {
            let config = WebhookConfig {
                timeout: Duration::from_secs(10),
                allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
                allow_http: true,
                authorities: Vec::new(),
            };
            (Box::new(Webhook::new(config).unwrap()), message(&format!("http://{server}/hook")))
        };
        let accepting = Server::receiver(say("HTTP/1.1 204 No Content\r\n\r\n")).await;
        let losing = Server::receiver(Turn::HangUp).await;
        keeps_the_contract(channel(accepting.address), channel(losing.address), channel(nobody().await)).await;
    }

    #[test]
    fn a_channel_is_found_by_its_name() {
        let config = WebhookConfig {
            timeout: Duration::from_secs(1),
            allow_networks: Vec::new(),
            allow_http: false,
            authorities: Vec::new(),
        };
        let channels = Channels::default().with("webhook", Webhook::new(config).unwrap());
        assert!(channels.find("webhook").is_some() && channels.find("email").is_none());
        assert_eq!(channels.names().collect::<Vec<_>>(), ["webhook"]);
    }
}
