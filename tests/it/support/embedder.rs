//! An endpoint that speaks OpenAI's embeddings API and knows two languages: words of one meaning point the same way,
//! whichever they are. Another model points elsewhere. It can also be slow, busy, wrong and picky.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use hearback::config::Config;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};

use super::tls;

/// Numbers of a vector.
const NUMBERS: usize = 384;
/// Words that mean the same to it.
const MEANINGS: [&[&str]; 6] = [
    &["password", "passwort", "kennwort"],
    &["forgotten", "vergessen"],
    &["invoice", "rechnung"],
    &["empty", "leer"],
    &["printer", "drucker"],
    &["jammed", "verklemmt"],
];

/// See the module's docs.
pub(crate) struct Embedder {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    asked: Mutex<Vec<Question>>,
    mood: Mutex<Mood>,
}

/// How it answers.
#[derive(Debug, Clone, Default)]
pub(crate) enum Mood {
    /// As it should.
    #[default]
    Good,
    /// This status.
    Status(u16),
    /// Too many requests, come back after so many seconds.
    Busy(u32),
    /// Not at all.
    Silent,
    /// With something else.
    Garbage,
    /// With a vector too few.
    TooFew,
    /// It takes no text with this word.
    Picky(&'static str),
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) path: String,
    pub(crate) authorization: Option<String>,
    pub(crate) body: Value,
}

impl Question {
    pub(crate) fn texts(&self) -> Vec<String> {
        let texts = self.body["input"].as_array().expect("a list of texts").iter();
        texts.map(|text| text.as_str().expect("a text").to_owned()).collect()
    }
}

impl Embedder {
    /// Opens one in plain HTTP.
    pub(crate) async fn open() -> Self {
        let (listener, shared, router) = Self::prepared().await;
        let address = listener.local_addr().expect("its address");
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves until the test ends");
        });
        Self { address, scheme: "http", shared, server }
    }

    /// Opens one that speaks TLS, with the certificate of [`tls`].
    pub(crate) async fn open_tls() -> Self {
        let (listener, shared, router) = Self::prepared().await;
        let address = listener.local_addr().expect("its address");
        let acceptor = tls::acceptor(&[b"http/1.1"]);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = TowerToHyperService::new(router);
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            }
        });
        Self { address, scheme: "https", shared, server }
    }

    async fn prepared() -> (tokio::net::TcpListener, Arc<Shared>, axum::Router) {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let router = axum::Router::new().fallback(answer).with_state(shared.clone());
        (listener, shared, router)
    }

    /// Tells a server to ask it. With time enough: what is not answered here is not answered at all.
    pub(crate) fn configure(&self, config: &mut Config) {
        config.embedder.enabled = true;
        config.embedder.url = Some(format!("{}://{}/v1", self.scheme, self.address).parse().expect("a URL"));
        config.embedder.model = Some("one".to_owned());
        config.embedder.api_key = Some("key-271828".into());
        config.embedder.timeout = std::time::Duration::from_secs(10);
    }

    /// Answers like this from now on.
    pub(crate) fn be(&self, mood: Mood) {
        *self.shared.mood.lock().expect("nobody panics while holding it") = mood;
    }

    /// What it was asked, oldest first.
    pub(crate) fn questions(&self) -> Vec<Question> {
        self.shared.asked.lock().expect("nobody panics while holding it").clone()
    }

    /// The texts it was asked about, oldest first.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.questions().iter().flat_map(Question::texts).collect()
    }
}

impl Drop for Embedder {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    let authorization = headers.get("authorization").map(|value| value.to_str().expect("text").to_owned());
    let question = Question { path: uri.to_string(), authorization, body };
    let texts = question.texts();
    let model = question.body["model"].as_str().expect("a model").to_owned();
    shared.asked.lock().expect("nobody panics while holding it").push(question);
    let mood = shared.mood.lock().expect("nobody panics while holding it").clone();
    let status = |code| StatusCode::from_u16(code).expect("a status code");
    let mut rows: Vec<Value> = (0..)
        .zip(&texts)
        .map(|(index, text): (usize, _)| json!({"object": "embedding", "index": index, "embedding": vector(&model, text)}))
        .collect();
    match mood {
        Mood::Good => {}
        Mood::Status(code) => return (status(code), "my words").into_response(),
        Mood::Busy(seconds) => return (status(429), [("retry-after", seconds.to_string())]).into_response(),
        Mood::Silent => return std::future::pending().await,
        Mood::Garbage => return "<html>It works!</html>".into_response(),
        Mood::TooFew => drop(rows.pop()),
        Mood::Picky(word) if texts.iter().any(|text| text.contains(word)) => {
            let refusal = json!({"error": {"message": texts, "code": "context_length_exceeded"}});
            return (status(400), refusal.to_string()).into_response();
        }
        Mood::Picky(_) => {}
    }
    // In another order than they were asked for.
    rows.reverse();
    json!({"object": "list", "model": model, "data": rows}).to_string().into_response()
}

/// The sum of its words' directions, and something that all texts have.
fn vector(model: &str, text: &str) -> Vec<f32> {
    let mut sum = vec![0.4; NUMBERS];
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| word.chars().count() > 3) {
        let word = word.to_lowercase();
        let meaning =
            MEANINGS.iter().find(|words| words.contains(&word.as_str())).map_or(word.as_str(), |words| words[0]);
        let mut state = format!("{model}/{meaning}")
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |state, byte| (state ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
        for number in &mut sum {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *number += (state >> 40) as f32 / (1 << 23) as f32 - 1.0;
        }
    }
    sum
}
