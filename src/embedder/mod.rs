//! Embedders beside the built-in table: an HTTP endpoint that speaks OpenAI's embeddings API, as many servers do.
//!
//! `POST {url}/embeddings` with `{"model": …, "input": [texts]}`; the answer holds `data[].index` and
//! `data[].embedding`, numbers or base64. The operator names the endpoint, so it may be anywhere, also in a private
//! network: what keeps tenants' webhooks out of those does not apply. Redirects are not followed and no proxy is taken from the
//! environment, so texts go to that address and nowhere else. Its answer is not trusted: it is read up to a limit, and
//! nothing is used of an answer that is not exactly as promised.
//!
//! An endpoint that is busy (429, 5xx) or out of reach is asked again while time is left: after as many seconds as
//! `Retry-After` says, else after a pause that doubles and is never quite the same. Dates in `Retry-After` are not read.
//!
//! There is no trait for embedders. The table is part of `matching`, answers at once and cannot fail, so nobody calls it
//! through what an endpoint needs: a budget of time, an error, a name to keep its vectors by.

mod answer;

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, redirect};
use rustls::ClientConfig;
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use sha2::{Digest, Sha256};
use tokio::time::{Instant, sleep, timeout_at};
use url::Url;

/// How we introduce ourselves.
const USER_AGENT: &str = concat!("hearback/", env!("CARGO_PKG_VERSION"));
/// The first pause before an endpoint is asked again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause that it does not ask for itself.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// No endpoint postpones us longer than this, whatever it asks.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(60 * 60);
/// How much of an answer is read: as many numbers as the largest models give for the largest batch, and as long as
/// they are written.
const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;
/// How much of a refusal is read.
const MAX_REFUSAL_BYTES: usize = 64 * 1024;
/// Of a vector made from other texts, or kept in another way, nothing can be told. Raise it with either.
const KEPT_AS: u32 = 1;

/// How an endpoint is asked.
pub struct HttpEmbedderSettings {
    /// Where it is; `/embeddings` is added.
    pub url: Url,
    /// Which of its models.
    pub model: String,
    /// The bearer key.
    pub api_key: Option<SecretString>,
    /// How many numbers to ask for; as many as the model has if `None`.
    pub dimensions: Option<u16>,
    /// TLS as a client.
    pub tls: ClientConfig,
}

/// Why an endpoint cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
#[error("{key}: {reason}")]
pub struct EmbedderConfigError {
    /// The setting, as it is called in the configuration.
    pub key: &'static str,
    /// What is wrong with it.
    pub reason: String,
}

/// Why an endpoint gave no vectors. Says nothing of the texts.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// No answer in time.
    #[error("it did not answer in time")]
    TimedOut,
    /// No connection, or one that broke.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It wants to be left alone for a while.
    #[error("it is busy: HTTP {status}")]
    Busy {
        /// What it said.
        status: u16,
        /// How long it wants to be left alone.
        retry_after: Option<Duration>,
    },
    /// It does not take the question.
    #[error("it refuses: HTTP {status}{code}")]
    Refused {
        /// What it said.
        status: u16,
        /// Its own word for it, if it is a plain one, behind a comma.
        code: String,
    },
    /// It answered something else than it should.
    #[error("its answer is of no use: {0}")]
    Malformed(String),
}

impl EmbedError {
    /// Whether the texts may be at fault, and not all of them: some models take no more than so many words.
    pub fn may_be_the_texts(&self) -> bool {
        matches!(self, Self::Refused { status: 400 | 413 | 422, .. })
    }

    /// How long it wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Busy { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// An endpoint.
pub struct HttpEmbedder {
    client: Client,
    url: Url,
    model: String,
    dimensions: Option<u16>,
    authorization: Option<HeaderValue>,
    id: String,
}

/// The question.
#[derive(Serialize)]
struct Question<'a> {
    model: &'a str,
    input: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    dimensions: Option<u16>,
}

impl HttpEmbedder {
    /// Prepares an endpoint; connects to nothing yet.
    ///
    /// # Errors
    /// For a key that no header can hold, or an address that nothing can be added to.
    pub fn new(settings: HttpEmbedderSettings) -> Result<Self, EmbedderConfigError> {
        let refuse = |key, reason: &str| EmbedderConfigError { key, reason: reason.to_owned() };
        let HttpEmbedderSettings { mut url, model, api_key, dimensions, tls } = settings;
        let id = id_of(&url, &model, dimensions);
        url.path_segments_mut()
            .map_err(|()| refuse("embedder.url", "must be an http or https URL"))?
            .pop_if_empty()
            .push("embeddings");
        let authorization = match api_key {
            None => None,
            Some(key) => {
                let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose_secret()))
                    .map_err(|_| refuse("embedder.api_key", "must be plain text on one line"))?;
                value.set_sensitive(true);
                Some(value)
            }
        };
        let client = Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .user_agent(USER_AGENT)
            .pool_idle_timeout(Duration::from_secs(30))
            .build()
            .map_err(|error| refuse("embedder", &error.to_string()))?;
        Ok(Self { client, url, model, dimensions, authorization, id })
    }

    /// Names the embedder: the same name, the same vectors. Another address, model or count of numbers is another one.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether its first numbers tell the most: it was asked for so many.
    pub fn is_ordered(&self) -> bool {
        self.dimensions.is_some()
    }

    /// What the texts are about, one vector for each, all of one length.
    ///
    /// # Errors
    /// If there is no answer of use within `budget`. Nothing of a wrong answer is used.
    pub async fn embed(&self, texts: &[String], budget: Duration) -> Result<Vec<Vec<f32>>, EmbedError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let end = Instant::now() + budget;
        let mut pause = FIRST_PAUSE;
        loop {
            let error = match timeout_at(end, self.ask(texts)).await {
                Ok(Ok(vectors)) => return Ok(vectors),
                Ok(Err(error)) => error,
                Err(_) => return Err(EmbedError::TimedOut),
            };
            let wait = match &error {
                EmbedError::Busy { retry_after, .. } => retry_after.unwrap_or_else(|| jittered(pause)),
                EmbedError::Unreachable(_) => jittered(pause),
                EmbedError::TimedOut | EmbedError::Refused { .. } | EmbedError::Malformed(_) => return Err(error),
            };
            if Instant::now() + wait >= end {
                return Err(error);
            }
            sleep(wait).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn ask(&self, texts: &[String]) -> Result<Vec<Vec<f32>>, EmbedError> {
        let question = Question { model: &self.model, input: texts, dimensions: self.dimensions };
        let mut request = self.client.post(self.url.clone()).json(&question);
        if let Some(authorization) = &self.authorization {
            request = request.header(AUTHORIZATION, authorization.clone());
        }
        let response = request.send().await.map_err(|error| unreachable_by(&error))?;
        let status = response.status();
        if status.is_success() {
            let body = read(response, MAX_ANSWER_BYTES).await?;
            return answer::vectors(&body, texts.len(), self.dimensions).map_err(EmbedError::Malformed);
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let retry_after = response.headers().get(RETRY_AFTER).and_then(retry_after);
            return Err(EmbedError::Busy { status: status.as_u16(), retry_after });
        }
        let said = read(response, MAX_REFUSAL_BYTES).await.unwrap_or_default();
        let code = answer::error_code(&said).map_or_else(String::new, |code| format!(", {code}"));
        Err(EmbedError::Refused { status: status.as_u16(), code })
    }
}

/// The URL may hold a secret, so its digest stands for it.
fn id_of(url: &Url, model: &str, dimensions: Option<u16>) -> String {
    let mut hasher = Sha256::new();
    for part in [url.as_str(), model, &format!("{dimensions:?}"), &KEPT_AS.to_string()] {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize()[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(rand::random_range(0.5..1.5))
}

fn retry_after(value: &HeaderValue) -> Option<Duration> {
    let text = value.to_str().ok()?.trim();
    let is_count = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // More digits than fit are a long time.
    is_count.then(|| text.parse().map_or(MAX_RETRY_AFTER, Duration::from_secs).min(MAX_RETRY_AFTER))
}

async fn read(mut response: Response, most: usize) -> Result<Vec<u8>, EmbedError> {
    let mut read = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| unreachable_by(&error))? {
        if read.len() + chunk.len() > most {
            return Err(EmbedError::Malformed(format!("it is longer than {most} bytes")));
        }
        read.extend_from_slice(&chunk);
    }
    Ok(read)
}

/// Only the innermost cause is told: outer ones repeat the URL.
fn unreachable_by(error: &reqwest::Error) -> EmbedError {
    let what = if error.is_connect() { "no connection" } else { "the connection broke" };
    let mut cause = error.source();
    let mut said = what.to_owned();
    while let Some(error) = cause {
        said = format!("{what}: {error}");
        cause = error.source();
    }
    EmbedError::Unreachable(said)
}

#[cfg(test)]
mod tests;
