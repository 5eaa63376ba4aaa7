//! A small real mail server on a free port. It keeps what it accepted, and fails when its recipient's name says so.
//!
//! How the name before the `@` begins decides the answer, as in `tests/python/smtp_server.py`:
//!
//! - `bounce-NNN`: RCPT TO is answered NNN; `refuse-NNN`: the message itself is.
//! - `greylist`: the first RCPT TO of an address is answered 451, later ones are accepted.
//! - `drop`: the message is kept, but the connection ends before its 250.
//! - `hang`: the message is kept, and nothing is ever said again.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::{Mail, tls};

/// See the module's docs.
pub(crate) struct Mailbox {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
    listener: tokio::task::JoinHandle<()>,
}

/// How it is spoken to. Where TLS is asked for, no mail comes in without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken {
    /// In the clear.
    Plainly,
    /// In the clear until STARTTLS.
    AfterStartTls,
    /// In TLS from the first byte.
    InTls,
}

#[derive(Default)]
struct Shared {
    mails: Mutex<Vec<Mail>>,
    greylisted: Mutex<HashSet<String>>,
    arrived: Notify,
}

impl Mailbox {
    /// Opens it.
    pub(crate) async fn open() -> Self {
        Self::open_to(Spoken::Plainly).await
    }

    /// Opens one that is spoken to like this.
    pub(crate) async fn open_to(spoken: Spoken) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let shared = Arc::new(Shared::default());
        let state = shared.clone();
        let listener = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = state.clone();
                tokio::spawn(async move {
                    // A sender that hangs up is a sender's right.
                    let _ = receive(stream, spoken, &shared).await;
                });
            }
        });
        Self { address, shared, listener }
    }

    /// Everything that arrived, oldest first.
    pub(crate) fn all(&self) -> Vec<Mail> {
        self.shared.mails.lock().expect("nobody panics while holding it").clone()
    }

    /// What arrived for this address, oldest first.
    pub(crate) fn to(&self, address: &str) -> Vec<Mail> {
        self.all().into_iter().filter(|mail| mail.recipient == address).collect()
    }

    /// Returns once this many mails have arrived for this address.
    pub(crate) async fn arrivals(&self, address: &str, count: usize) {
        loop {
            let mut next = pin!(self.shared.arrived.notified());
            next.as_mut().enable();
            if self.to(address).len() >= count {
                return;
            }
            next.await;
        }
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.listener.abort();
    }
}

/// The code in a name such as `bounce-550`, if it begins so.
fn scripted(recipient: &str, word: &str) -> Option<String> {
    let code: String = recipient.strip_prefix(word)?.strip_prefix('-')?.chars().take(3).collect();
    code.chars().all(|c| c.is_ascii_digit()).then_some(code)
}

async fn receive(stream: TcpStream, spoken: Spoken, shared: &Shared) -> std::io::Result<()> {
    match spoken {
        Spoken::Plainly => {
            let mut stream = BufReader::new(stream);
            stream.write_all(GREETING).await?;
            converse(stream, shared).await
        }
        Spoken::InTls => {
            let mut stream = BufReader::new(tls::acceptor(&[]).accept(stream).await?);
            stream.write_all(GREETING).await?;
            converse(stream, shared).await
        }
        Spoken::AfterStartTls => {
            let mut stream = BufReader::new(stream);
            stream.write_all(GREETING).await?;
            let mut line = String::new();
            loop {
                line.clear();
                if stream.read_line(&mut line).await? == 0 {
                    return Ok(());
                }
                let reply = match line.trim_end().split(' ').next().unwrap_or_default() {
                    "EHLO" => "250-mail.test\r\n250 STARTTLS\r\n",
                    "STARTTLS" => break stream.write_all(b"220 2.0.0 Go on\r\n").await?,
                    "QUIT" => "221 2.0.0 Bye\r\n",
                    _ => "530 5.7.0 Must issue a STARTTLS command first\r\n",
                };
                stream.write_all(reply.as_bytes()).await?;
            }
            // Nothing may have come in behind STARTTLS in the clear (RFC 3207, 4.2).
            assert!(stream.buffer().is_empty());
            converse(BufReader::new(tls::acceptor(&[]).accept(stream.into_inner()).await?), shared).await
        }
    }
}

const GREETING: &[u8] = b"220 mail.test ready\r\n";

async fn converse<S>(mut stream: BufReader<S>, shared: &Shared) -> std::io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut recipients: Vec<String> = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Ok(());
        }
        let command = String::from_utf8_lossy(&line).trim_end().to_owned();
        let verb = command.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let reply = match verb.as_str() {
            "EHLO" => "250-mail.test\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 ENHANCEDSTATUSCODES".to_owned(),
            "RCPT" => {
                let address = command.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
                if let Some(code) = scripted(&address, "bounce") {
                    format!("{code} {}.1.1 No such mailbox", &code[..1])
                } else if address.starts_with("greylist")
                    && shared.greylisted.lock().expect("nobody panics while holding it").insert(address.clone())
                {
                    "451 4.7.1 Greylisted, try again later".to_owned()
                } else {
                    recipients.push(address);
                    "250 2.1.5 Known here".to_owned()
                }
            }
            "DATA" => {
                stream.write_all(b"354 Go on\r\n").await?;
                let raw = read_data(&mut stream).await?;
                let refused = recipients.iter().find_map(|recipient| scripted(recipient, "refuse"));
                if let Some(code) = refused {
                    recipients.clear();
                    format!("{code} {}.7.1 Refused as the test asked", &code[..1])
                } else {
                    {
                        let mut mails = shared.mails.lock().expect("nobody panics while holding it");
                        mails.extend(recipients.iter().map(|recipient| Mail::read(recipient, &raw)));
                    }
                    shared.arrived.notify_waiters();
                    if recipients.iter().any(|recipient| recipient.starts_with("drop")) {
                        return Ok(());
                    }
                    if recipients.iter().any(|recipient| recipient.starts_with("hang")) {
                        std::future::pending::<()>().await;
                    }
                    recipients.clear();
                    "250 2.0.0 Kept".to_owned()
                }
            }
            "QUIT" => {
                stream.write_all(b"221 2.0.0 Bye\r\n").await?;
                return Ok(());
            }
            "MAIL" | "RSET" => {
                recipients.clear();
                "250 2.0.0 Yes".to_owned()
            }
            "HELO" | "NOOP" => "250 2.0.0 Yes".to_owned(),
            _ => "500 5.5.1 What?".to_owned(),
        };
        stream.write_all(format!("{reply}\r\n").as_bytes()).await?;
    }
}

/// The message up to its final dot, with dots unstuffed (RFC 5321, 4.5.2).
async fn read_data<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> std::io::Result<String> {
    let mut raw = Vec::new();
    let mut line = Vec::new();
    loop {
        line.clear();
        if stream.read_until(b'\n', &mut line).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        assert!(line.ends_with(b"\r\n"), "lines end in CRLF: {:?}", String::from_utf8_lossy(&line));
        match line.strip_prefix(b".") {
            Some(b"\r\n") => return Ok(String::from_utf8(raw).expect("mails are UTF-8")),
            Some(rest) => raw.extend_from_slice(rest),
            None => raw.extend_from_slice(&line),
        }
    }
}
