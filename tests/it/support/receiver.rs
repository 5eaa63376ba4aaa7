//! An HTTP endpoint of somebody else: keeps what was posted to it, answers as told, and checks signatures by its own
//! computation after Standard Webhooks.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use sha2::{Digest, Sha256};
use tokio::sync::Notify;

use super::tls;

/// See the module's docs.
pub(crate) struct Receiver {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    server: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    posts: Mutex<Vec<Post>>,
    answers: Mutex<VecDeque<Scripted>>,
    arrived: Notify,
}

/// What to say to one request.
#[derive(Debug, Clone)]
pub(crate) enum Scripted {
    /// This status.
    Status(u16),
    /// This status with this header.
    With(u16, &'static str, String),
    /// Nothing, ever.
    Hang,
}

/// One request that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    /// Path and query.
    pub(crate) path: String,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body, as sent.
    pub(crate) body: Vec<u8>,
}

impl Receiver {
    /// Opens one that answers everything with 200.
    pub(crate) async fn open() -> Self {
        Self::scripted([]).await
    }

    /// Opens one that gives these answers first.
    pub(crate) async fn scripted(answers: impl IntoIterator<Item = Scripted>) -> Self {
        let shared = Arc::new(Shared { answers: Mutex::new(answers.into_iter().collect()), ..Shared::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let router = axum::Router::new().fallback(take).with_state(shared.clone());
        let server = tokio::spawn(async move {
            axum::serve(listener, router).await.expect("it serves until the test ends");
        });
        Self { address, scheme: "http", shared, server }
    }

    /// Opens one that speaks TLS, with the certificate of [`tls`].
    pub(crate) async fn open_tls() -> Self {
        let shared = Arc::new(Shared::default());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let router = axum::Router::new().fallback(take).with_state(shared.clone());
        let acceptor = tls::acceptor(&[b"http/1.1"]);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    // Whoever does not trust the certificate hangs up, as they should.
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

    /// Where to post.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}/hook", self.scheme, self.address)
    }

    /// What arrived, oldest first.
    pub(crate) fn posts(&self) -> Vec<Post> {
        self.shared.posts.lock().expect("nobody panics while holding it").clone()
    }

    /// Returns once this many requests have arrived.
    pub(crate) async fn arrivals(&self, count: usize) {
        loop {
            let mut next = pin!(self.shared.arrived.notified());
            next.as_mut().enable();
            if self.posts().len() >= count {
                return;
            }
            next.await;
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn take(State(shared): State<Arc<Shared>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let post = Post { path: uri.to_string(), headers, body: body.to_vec() };
    shared.posts.lock().expect("nobody panics while holding it").push(post);
    shared.arrived.notify_waiters();
    let answer = shared.answers.lock().expect("nobody panics while holding it").pop_front();
    let status = |code| StatusCode::from_u16(code).expect("a status code");
    match answer.unwrap_or(Scripted::Status(200)) {
        Scripted::Status(code) => status(code).into_response(),
        Scripted::With(code, name, value) => (status(code), [(name, value)]).into_response(),
        Scripted::Hang => std::future::pending().await,
    }
}

impl Post {
    /// The header of this name.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name).unwrap_or_else(|| panic!("{name} in {:?}", self.headers));
        value.to_str().expect("a plain header")
    }

    /// Its body as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// Whether it is signed with this secret.
    pub(crate) fn is_signed_with(&self, secret: &str) -> bool {
        let key = BASE64_STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret's prefix")).expect("base64");
        let mut signed = format!("{}.{}.", self.header("webhook-id"), self.header("webhook-timestamp")).into_bytes();
        signed.extend_from_slice(&self.body);
        let expected = format!("v1,{}", BASE64_STANDARD.encode(hmac(&key, &signed)));
        self.header("webhook-signature").split(' ').any(|signature| signature == expected)
    }
}

/// RFC 2104 written out, so that it does not rest on the code under test.
fn hmac(key: &[u8], text: &[u8]) -> Vec<u8> {
    assert!(key.len() <= 64, "longer keys are hashed first, which these tests do not need");
    let padded = |pad: u8| (0..64).map(|at| key.get(at).copied().unwrap_or(0) ^ pad).collect::<Vec<u8>>();
    let inner = Sha256::digest([padded(0x36).as_slice(), text].concat());
    Sha256::digest([padded(0x5c).as_slice(), inner.as_slice()].concat()).to_vec()
}
