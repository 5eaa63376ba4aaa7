//! Webhooks: one signed POST after Standard Webhooks 1.0, to an endpoint somebody else chose.
//!
//! The receiver is not trusted. Where it may live is [`super::egress`]'s business; its redirects are not followed, no proxy
//! is taken from the environment, its answer is read up to a limit and never decompressed, and everything ends with the
//! timeout. Connecting has its own shorter limit, so a timeout after it means that the request was on its way and may have
//! arrived: [`Outcome::Unknown`], safe to repeat because the receiver recognises `webhook-id`.

use std::error::Error as _;
use std::time::Duration;

use chrono::DateTime;
use ipnet::IpNet;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::pki_types::CertificateDer;
use serde::Serialize;

use super::egress::{BlockedAddress, EgressPolicy, GuardedResolver, Lookup, check_webhook_url, system_lookup};
use super::{Channel, ChannelConfigError, Message, Outcome, Sending, signature, text};
use crate::domain::time::Timestamp;

/// How much of an answer is read before the rest is hung up on.
const MAX_ANSWER_BYTES: usize = 20_000;

/// How much of it is kept.
const MAX_DETAIL_CHARS: usize = 1_000;

/// No receiver postpones us longer than this, whatever it asks.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

/// How we introduce ourselves.
const USER_AGENT: &str = concat!("hearback/", env!("CARGO_PKG_VERSION"));

/// How webhooks are sent.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// How long one attempt may take altogether; two thirds of it may go into connecting.
    pub timeout: Duration,
    /// Networks that may be reached although they are not public.
    pub allow_networks: Vec<IpNet>,
    /// Whether `http://` is permitted.
    pub allow_http: bool,
    /// Authorities whose certificates are accepted beside the web's.
    pub authorities: Vec<CertificateDer<'static>>,
}

/// The webhook channel. See the module's docs.
pub struct Webhook {
    client: Client,
    policy: EgressPolicy,
}

/// The body, in the order in which it is written.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'a str,
    timestamp: String,
    data: &'a serde_json::Value,
}

impl Webhook {
    /// Prepares the channel; connects to nothing yet.
    pub fn new(config: WebhookConfig) -> Result<Self, ChannelConfigError> {
        Self::with_lookup(config, system_lookup())
    }

    fn with_lookup(config: WebhookConfig, lookup: Lookup) -> Result<Self, ChannelConfigError> {
        if config.timeout.is_zero() {
            return Err(ChannelConfigError::new("timeout", "must not be zero"));
        }
        let policy = EgressPolicy { allow_networks: config.allow_networks, allow_http: config.allow_http };
        let client = Client::builder()
            .tls_backend_preconfigured(super::tls_client_config(&[b"h2", b"http/1.1"], &config.authorities)?)
            .dns_resolver(GuardedResolver::new(policy.clone(), lookup))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(USER_AGENT)
            .timeout(config.timeout)
            .connect_timeout(config.timeout * 2 / 3)
            .pool_max_idle_per_host(2)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| ChannelConfigError::new("webhook", error))?;
        Ok(Self { client, policy })
    }

    async fn attempt(&self, message: &Message) -> Outcome {
        let url = match check_webhook_url(&message.address, &self.policy) {
            Ok(url) => url,
            Err(reason) => return blocked(&format!("the URL {reason}")),
        };
        let body = Body { r#type: message.kind, timestamp: message.event_time.to_string(), data: &message.data };
        let body = serde_json::to_vec(&body).expect("strings and a JSON value always serialise");
        let id = message.delivery.to_string();
        let timestamp = message.now.micros().div_euclid(1_000_000);
        let signature = match signature::sign(&message.signing_secrets, &id, timestamp, &body) {
            Ok(signature) => signature,
            // An operator can repair it, so it is not the contact point's end.
            Err(error) => return retry(None, format!("CONFIG: not sent: {error}")),
        };
        let request = self
            .client
            .post(url)
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", id)
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body(body);
        match request.send().await {
            Ok(response) => judge(response, message.now).await,
            Err(error) => judge_silence(&error),
        }
    }
}

impl Channel for Webhook {
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(self.attempt(message))
    }
}

/// Judges an answer by its status and headers. They have arrived, so a body that breaks off changes nothing.
async fn judge(mut response: Response, now: Timestamp) -> Outcome {
    let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
    let mut read = Vec::new();
    while read.len() < MAX_ANSWER_BYTES {
        match response.chunk().await {
            Ok(Some(chunk)) => read.extend_from_slice(&chunk[..chunk.len().min(MAX_ANSWER_BYTES - read.len())]),
            Ok(None) | Err(_) => break,
        }
    }
    let said = text::one_line(&String::from_utf8_lossy(&read), MAX_DETAIL_CHARS - 60);
    let detail = if said.is_empty() { format!("HTTP {status}") } else { format!("HTTP {status}: {said}") };
    if status.is_success() {
        return Outcome::Delivered { detail };
    }
    if headers.get("webhook-delivery").is_some_and(|value| value == "abort-message") {
        return Outcome::Rejected {
            bounced: false,
            detail: format!("the receiver asks not to be sent this again; {detail}"),
        };
    }
    match status {
        StatusCode::GONE => Outcome::Rejected { bounced: true, detail },
        status if status.is_redirection() => retry(None, format!("redirects are not followed; {detail}")),
        _ => retry(retry_after(&headers, now), detail),
    }
}

/// How long the receiver asks us to wait: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit are a long time.
        value.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs)
    } else {
        Timestamp::from_chrono(DateTime::parse_from_rfc2822(value).ok()?.to_utc()).since(now)
    };
    Some(wait.min(MAX_RETRY_AFTER))
}

/// Judges an attempt that got no answer.
fn judge_silence(error: &reqwest::Error) -> Outcome {
    let mut cause = error.source();
    let mut said = "no answer".to_owned();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<BlockedAddress>() {
            return blocked(&error.to_string());
        }
        said = error.to_string();
        cause = error.source();
    }
    // Only the innermost cause is kept: outer ones repeat the URL, and a URL may hold a secret.
    let said = text::one_line(&said, MAX_DETAIL_CHARS - 60);
    if error.is_connect() {
        retry(None, format!("no connection: {said}"))
    } else if error.is_builder() {
        Outcome::Rejected { bounced: false, detail: format!("the request cannot be made: {said}") }
    } else {
        Outcome::Unknown { detail: format!("AMBIGUOUS: sent, and the answer was lost: {said}") }
    }
}

fn retry(not_before: Option<Duration>, detail: String) -> Outcome {
    Outcome::Retry { not_before, detail }
}

fn blocked(reason: &str) -> Outcome {
    Outcome::Rejected { bounced: false, detail: format!("BLOCKED_ADDRESS: {reason}") }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::egress::LookingUp;
    use super::super::wire::{NOON, Server, Turn, message, nobody, say};
    use super::*;

    fn config() -> WebhookConfig {
        WebhookConfig {
            timeout: Duration::from_secs(10),
            allow_networks: vec!["127.0.0.0/8".parse().unwrap()],
            allow_http: true,
            authorities: Vec::new(),
        }
    }

    async fn send(turn: Turn) -> (Outcome, Server) {
        let receiver = Server::receiver(turn).await;
        let message = message(&format!("http://{}/hook", receiver.address));
        (Webhook::new(config()).unwrap().send(&message).await, receiver)
    }

    fn answer(head: &str) -> Turn {
        say(&format!("HTTP/1.1 {head}\r\nconnection: close\r\ncontent-length: 4\r\n\r\nbody"))
    }

    #[tokio::test]
    async fn a_webhook_is_signed_and_compact() {
        let (outcome, receiver) = send(answer("200 OK")).await;
        assert_eq!(outcome, Outcome::Delivered { detail: "HTTP 200 OK: body".to_owned() });
        let request = receiver.said().remove(0);
        let (head, body) = request.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("POST /hook HTTP/1.1\r\n"), "{head}");
        assert_eq!(
            body,
            r#"{"type":"fix.announced","timestamp":"2026-05-03T11:50:00Z","data":{"cluster":"clu_1","version":"2.4.1"}}"#
        );
        let id = "dlv_0192f3c4000070008000000000000001";
        let signature = signature::sign(&message("").signing_secrets, id, 1_777_809_600, body.as_bytes()).unwrap();
        assert_eq!(signature.split(' ').count(), 2);
        for expected in [
            format!("webhook-id: {id}"),
            "webhook-timestamp: 1777809600".to_owned(),
            format!("webhook-signature: {signature}"),
            "content-type: application/json".to_owned(),
            format!("user-agent: hearback/{}", env!("CARGO_PKG_VERSION")),
        ] {
            assert!(head.lines().any(|line| line == expected), "{expected}\n{head}");
        }
    }

    #[tokio::test]
    async fn every_answer_has_its_meaning() {
        let wait = |seconds| Some(Duration::from_secs(seconds));
        for (head, expected) in [
            ("400 Bad Request", None),
            ("401 Unauthorized", None),
            ("404 Not Found", None),
            ("429 Too Many Requests\r\nretry-after: 120", wait(120)),
            ("429 Too Many Requests\r\nretry-after: Sun, 03 May 2026 12:05:00 GMT", wait(300)),
            ("429 Too Many Requests\r\nretry-after: Sun, 03 May 2020 12:05:00 GMT", wait(0)),
            ("429 Too Many Requests\r\nretry-after: Sun, 03 May 2099 12:05:00 GMT", wait(86_400)),
            ("429 Too Many Requests\r\nretry-after: 99999999999999999999999", wait(86_400)),
            ("429 Too Many Requests\r\nretry-after: -1", None),
            ("429 Too Many Requests\r\nretry-after: soon", None),
            ("429 Too Many Requests\r\nretry-after:", None),
            ("500 Internal Server Error", None),
            ("502 Bad Gateway", None),
            ("503 Service Unavailable\r\nretry-after: 7", wait(7)),
            ("504 Gateway Timeout\r\nretry-after: 0", wait(0)),
            ("304 Not Modified", None),
        ] {
            let (outcome, _receiver) = send(answer(head)).await;
            assert!(
                matches!(&outcome, Outcome::Retry { not_before, .. } if *not_before == expected),
                "{head}: {outcome:?}"
            );
        }
        for (head, expected) in [
            ("410 Gone", true),
            ("500 Oops\r\nwebhook-delivery: abort-message", false),
            ("429 No\r\nwebhook-delivery: abort-message", false),
        ] {
            let (outcome, _receiver) = send(answer(head)).await;
            assert!(matches!(outcome, Outcome::Rejected { bounced, .. } if bounced == expected), "{head}: {outcome:?}");
        }
        for head in ["200 OK", "202 Accepted", "200 OK\r\nwebhook-delivery: abort-message"] {
            let (outcome, _receiver) = send(answer(head)).await;
            assert!(matches!(outcome, Outcome::Delivered { .. }), "{head}: {outcome:?}");
        }
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let elsewhere = Server::receiver(answer("200 OK")).await;
        for status in [301, 302, 303, 307, 308] {
            let (outcome, receiver) =
                send(answer(&format!("{status} Moved\r\nlocation: http://{}/", elsewhere.address))).await;
            assert!(matches!(outcome, Outcome::Retry { .. }), "{status}: {outcome:?}");
            assert_eq!(receiver.connections(), 1);
        }
        assert_eq!(elsewhere.connections(), 0);
    }

    #[tokio::test]
    async fn an_endless_answer_is_read_to_its_limit() {
        let endless = "HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"x".repeat(1 << 16);
        let (outcome, _receiver) = send(Turn::Endless(endless)).await;
        assert!(matches!(outcome, Outcome::Delivered { .. }), "{outcome:?}");
        assert!(outcome.detail().chars().count() <= MAX_DETAIL_CHARS);
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_does_not_change_the_status() {
        let (outcome, _receiver) = send(say("HTTP/1.1 503 Busy\r\ncontent-length: 999\r\n\r\nhalf")).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
        let (outcome, _receiver) =
            send(say("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\n\r\nnot gzip\0\x1b[31m")).await;
        assert!(matches!(&outcome, Outcome::Delivered { detail } if !detail.contains(char::is_control)), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_lost_answer_is_unknown_and_no_connection_is_a_retry() {
        for turn in [
            Turn::HangUp,
            say("garbage\r\n\r\n"),
            say("HTTP/1.1 200"),
            say(&format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(1 << 20))),
        ] {
            let (outcome, receiver) = send(turn).await;
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
            assert_eq!(receiver.said().len(), 1, "sent once and not repeated behind our back");
        }
        let webhook = Webhook::new(config()).unwrap();
        let outcome = webhook.send(&message(&format!("http://{}/", nobody().await))).await;
        assert!(matches!(outcome, Outcome::Retry { not_before: None, .. }), "{outcome:?}");
    }

    #[tokio::test]
    async fn a_receiver_that_stalls_is_left_in_time() {
        for turn in [Turn::Silence, Turn::Endless("HTTP/1.1 102 Processing\r\n\r\n".to_owned())] {
            let receiver = Server::receiver(turn).await;
            let webhook = Webhook::new(WebhookConfig { timeout: Duration::from_secs(1), ..config() }).unwrap();
            let outcome = webhook.send(&message(&format!("http://{}/", receiver.address))).await;
            assert!(matches!(outcome, Outcome::Unknown { .. }), "{outcome:?}");
        }
    }

    #[tokio::test]
    async fn a_receiver_without_tls_gets_nothing_over_https() {
        let receiver = Server::relay(&[]).await;
        let outcome = Webhook::new(config()).unwrap().send(&message(&format!("https://{}/", receiver.address))).await;
        assert!(matches!(outcome, Outcome::Retry { .. }), "{outcome:?}");
        assert!(!receiver.said().iter().any(|said| said.contains("fix.announced")));
    }

    #[tokio::test]
    async fn what_cannot_be_signed_is_not_sent() {
        let receiver = Server::receiver(answer("200 OK")).await;
        for secrets in [vec![], vec!["whsec_x".into()]] {
            let message = Message { signing_secrets: secrets, ..message(&format!("http://{}/", receiver.address)) };
            let outcome = Webhook::new(config()).unwrap().send(&message).await;
            assert!(matches!(&outcome, Outcome::Retry { detail, .. } if detail.starts_with("CONFIG")), "{outcome:?}");
        }
        assert_eq!(receiver.connections(), 0);
    }

    #[tokio::test]
    async fn a_private_address_is_never_dialled() {
        let receiver = Server::receiver(answer("200 OK")).await;
        let closed = WebhookConfig { allow_networks: Vec::new(), ..config() };
        let webhook = Webhook::with_lookup(closed.clone(), to_loopback()).unwrap();
        let port = receiver.address.port();
        for url in [
            format!("http://127.0.0.1:{port}/"),
            format!("http://public.example:{port}/"),
            format!("http://[::1]:{port}/"),
        ] {
            let outcome = webhook.send(&message(&url)).await;
            assert!(
                matches!(&outcome, Outcome::Rejected { bounced: false, detail } if detail.starts_with("BLOCKED_ADDRESS")),
                "{url}: {outcome:?}"
            );
        }
        assert_eq!(receiver.connections(), 0);
    }

    #[tokio::test]
    async fn a_name_that_turns_private_is_blocked_from_then_on() {
        let receiver = Server::receiver(answer("200 OK")).await;
        let asked = Arc::new(AtomicUsize::new(0));
        let lookup: Lookup = Box::new(move |_| -> LookingUp {
            let address = if asked.fetch_add(1, Ordering::Relaxed) == 0 { "127.0.0.1" } else { "10.0.0.1" };
            Box::pin(async move { Ok(vec![address.parse().unwrap()]) })
        });
        let webhook = Webhook::with_lookup(config(), lookup).unwrap();
        let message = message(&format!("http://public.example:{}/", receiver.address.port()));
        assert!(matches!(webhook.send(&message).await, Outcome::Delivered { .. }));
        let outcome = webhook.send(&message).await;
        assert!(outcome.detail().starts_with("BLOCKED_ADDRESS"), "{outcome:?}");
        assert_eq!(receiver.connections(), 1);
    }

    #[tokio::test]
    async fn a_name_that_does_not_resolve_is_tried_again() {
        let lookup: Lookup =
            Box::new(|_| -> LookingUp { Box::pin(async { Err(std::io::Error::other("no such name")) }) });
        let outcome =
            Webhook::with_lookup(config(), lookup).unwrap().send(&message("https://gone.example/?token=secret")).await;
        assert!(matches!(&outcome, Outcome::Retry { detail, .. } if !detail.contains("secret")), "{outcome:?}");
    }

    #[test]
    fn a_date_to_wait_for_counts_from_now() {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, "Sun, 03 May 2026 12:00:30 GMT".parse().unwrap())]);
        assert_eq!(retry_after(&headers, NOON), Some(Duration::from_secs(30)));
    }

    fn to_loopback() -> Lookup {
        Box::new(|_| Box::pin(async { Ok(vec!["127.0.0.1".parse().unwrap()]) }))
    }
}
