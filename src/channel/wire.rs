//! Test servers that say what a script tells them to: a relay and a webhook receiver, on the loopback interface.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use secrecy::SecretString;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{Message, signature};
use crate::domain::id::CustomerId;
use crate::domain::time::Timestamp;

/// 2026-05-03T12:00:00Z.
pub(super) const NOON: Timestamp = Timestamp::from_micros(1_777_809_600_000_000);

/// What a scripted server does when its turn comes.
#[derive(Clone, Debug)]
pub(super) enum Turn {
    Say(String),
    HangUp,
    /// Stay connected and say nothing.
    Silence,
    /// Never stop talking.
    Endless(String),
}

pub(super) fn say(text: &str) -> Turn {
    Turn::Say(text.to_owned())
}

/// A running server and what it has heard.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    heard: Arc<Mutex<Heard>>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Heard {
    connections: usize,
    /// Commands of a relay; whole requests of a receiver.
    said: Vec<String>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// A relay that accepts everything, but takes the given turns at the given verbs (`CONNECT`, `EHLO`, `MAIL`, …, and
    /// `CONTENT` after the final dot).
    pub(super) async fn relay(script: &[(&'static str, Turn)]) -> Self {
        let script: Vec<(&'static str, Turn)> = script.to_vec();
        Self::start(move |stream, heard| relay(stream, script.clone(), heard)).await
    }

    /// A receiver of webhooks that answers every request the same way.
    pub(super) async fn receiver(turn: Turn) -> Self {
        Self::start(move |stream, heard| receiver(stream, turn.clone(), heard)).await
    }

    async fn start<F, T>(serve: F) -> Self
    where
        F: Fn(TcpStream, Arc<Mutex<Heard>>) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let task = tokio::spawn({
            let heard = Arc::clone(&heard);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    heard.lock().unwrap().connections += 1;
                    tokio::spawn(serve(stream, Arc::clone(&heard)));
                }
            }
        });
        Self { address, heard, task }
    }

    pub(super) fn connections(&self) -> usize {
        self.heard.lock().unwrap().connections
    }

    pub(super) fn said(&self) -> Vec<String> {
        self.heard.lock().unwrap().said.clone()
    }
}

/// A port of this machine on which nobody listens.
pub(super) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// Takes a turn; says whether to go on listening.
async fn take(turn: &Turn, stream: &mut TcpStream) -> bool {
    match turn {
        Turn::Say(text) => stream.write_all(text.as_bytes()).await.is_ok(),
        Turn::HangUp => false,
        Turn::Silence => std::future::pending().await,
        Turn::Endless(text) => {
            while stream.write_all(text.as_bytes()).await.is_ok() {}
            false
        }
    }
}

async fn relay(stream: TcpStream, script: Vec<(&'static str, Turn)>, heard: Arc<Mutex<Heard>>) {
    let turn = |verb: &str| {
        let scripted = script.iter().find(|(at, _)| *at == verb).map(|(_, turn)| turn.clone());
        scripted.unwrap_or_else(|| match verb {
            "CONNECT" => say("220 relay.test ready\r\n"),
            "EHLO" => say("250-relay.test\r\n250-AUTH PLAIN\r\n250 8BITMIME\r\n"),
            "DATA" => say("354 go ahead\r\n"),
            "CONTENT" => say("250 2.0.0 queued as 4711\r\n"),
            "AUTH" => say("235 2.7.0 welcome\r\n"),
            _ => say("250 2.1.0 ok\r\n"),
        })
    };
    let mut stream = BufReader::new(stream);
    if !take(&turn("CONNECT"), stream.get_mut()).await {
        return;
    }
    let mut line = String::new();
    while stream.read_line(&mut line).await.is_ok_and(|read| read > 0) {
        let verb = line.split_whitespace().next().unwrap_or_default().to_uppercase();
        heard.lock().unwrap().said.push(std::mem::take(&mut line).trim_end().to_owned());
        let reply = turn(&verb);
        let asks_for_content = verb == "DATA" && matches!(&reply, Turn::Say(text) if text.starts_with("354"));
        if !take(&reply, stream.get_mut()).await {
            return;
        }
        if asks_for_content {
            let mut content = String::new();
            while !content.ends_with("\r\n.\r\n") {
                if stream.read_line(&mut content).await.is_ok_and(|read| read == 0) {
                    return;
                }
            }
            heard.lock().unwrap().said.push(content);
            if !take(&turn("CONTENT"), stream.get_mut()).await {
                return;
            }
        }
    }
}

async fn receiver(mut stream: TcpStream, turn: Turn, heard: Arc<Mutex<Heard>>) {
    let mut request = Vec::new();
    let mut part = [0; 4096];
    loop {
        match stream.read(&mut part).await {
            Ok(read @ 1..) => request.extend_from_slice(&part[..read]),
            _ => return,
        }
        let text = String::from_utf8_lossy(&request).into_owned();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        if text.split_once("\r\n\r\n").is_some_and(|(_, body)| body.len() >= length.unwrap_or(0)) {
            heard.lock().unwrap().said.push(text);
            take(&turn, &mut stream).await;
            // Everything was said; half-close, so that the last bytes arrive.
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// A message with everything in it.
pub(super) fn message(address: &str) -> Message {
    Message {
        delivery: "dlv_0192f3c4000070008000000000000001".parse().unwrap(),
        customer: CustomerId::new(),
        address: address.to_owned(),
        subject: "Fixed: \"Export fails\"".to_owned(),
        text: "Hello Ada,\n\nthere is a fix.\n".to_owned(),
        html: "<p>Hello Ada,</p>".to_owned(),
        unsubscribe_url: Some("https://hearback.example/u/abc".to_owned()),
        kind: "fix.announced",
        data: serde_json::json!({ "cluster": "clu_1", "version": "2.4.1" }),
        event_time: Timestamp::from_micros(1_777_809_000_000_000),
        now: NOON,
        signing_secrets: vec![
            signature::signing_secret(&[7; 32]),
            SecretString::from("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"),
        ],
    }
}
