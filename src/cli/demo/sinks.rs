//! The receiving ends of the demo: a mail server and a webhook receiver on loopback that keep what really arrived.
//!
//! The demo's figures are counted from these, not from what the server meant to send. Both speak their protocols over
//! real sockets, but only as much of them as a sender needs: no TLS, no authentication, no queue. A mailbox whose name
//! begins with `bounced.` does not exist. Nothing is judged here: signatures are kept and not checked, and a message
//! that arrives twice is there twice. Every buffer has a bound, and so has the number of messages kept.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Far more than a demo sends; what comes after is refused for now, as a full mailbox would.
const KEPT_MAX: usize = 10_000;
/// Connections served at once; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// RFC 5321 asks for 512 octets in a command and 1,000 in a line of text. Some senders are more generous.
const LINE_MAX: usize = 8 * 1024;
/// One mail of the demo is a few kilobytes.
const MAIL_MAX: usize = 1024 * 1024;
/// RFC 5321 asks for at least 100.
const RECIPIENTS_MAX: usize = 100;
/// One webhook is a kilobyte.
const WEBHOOK_MAX: usize = 256 * 1024;
/// A pooling sender may keep a connection for a while; a lost one must not stay for ever.
const IDLE_MAX: Duration = Duration::from_secs(120);

/// A mail as it arrived for one recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ReceivedMail {
    /// The address in `RCPT TO`, in lower case.
    pub(crate) rcpt: String,
    /// The `Message-ID` with its angle brackets; empty if there was none.
    pub(crate) message_id: String,
    /// The decoded subject.
    pub(crate) subject: String,
    /// The whole mail, dots unstuffed, lines ending in CR LF.
    pub(crate) raw: Vec<u8>,
}

/// A webhook as it arrived.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ReceivedWebhook {
    /// The path it was posted to, which names the customer.
    pub(crate) path: String,
    /// The header `webhook-id`; empty if there was none.
    pub(crate) webhook_id: String,
    /// The header `webhook-signature`; empty if there was none.
    pub(crate) signature: String,
    /// The body.
    pub(crate) body: serde_json::Value,
}

type Kept<T> = Arc<Mutex<Vec<T>>>;

/// No writer can leave a list half changed, so a poisoned lock is as good as a whole one.
fn lock<T>(kept: &Mutex<Vec<T>>) -> MutexGuard<'_, Vec<T>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A mail server that accepts everything for everybody but `bounced.…`.
#[derive(Debug)]
pub(crate) struct SmtpSink {
    address: SocketAddr,
    kept: Kept<ReceivedMail>,
    task: JoinHandle<()>,
}

impl SmtpSink {
    /// Listens on a free loopback port until `shutdown`.
    ///
    /// # Errors
    /// If no loopback port can be opened.
    pub(crate) async fn start(shutdown: CancellationToken) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let kept = Kept::default();
        let task = tokio::spawn(accept(listener, Arc::clone(&kept), shutdown));
        Ok(Self { address, kept, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All mails so far, one for each recipient, in order of arrival.
    pub(crate) fn received(&self) -> Vec<ReceivedMail> {
        lock(&self.kept).clone()
    }

    /// Waits for its connections to end after the shutdown.
    pub(crate) async fn stopped(self) {
        // A panic in the task was reported when it happened and takes nothing else with it.
        let _ = self.task.await;
    }
}

async fn accept(listener: TcpListener, kept: Kept<ReceivedMail>, shutdown: CancellationToken) {
    let free = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut conversations = JoinSet::new();
    loop {
        let next = async {
            let place = Arc::clone(&free).acquire_owned().await.expect("this semaphore is never closed");
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = shutdown.cancelled() => break,
            Some(_) = conversations.join_next() => continue,
            next = next => next,
        };
        // A connection that is gone before it was accepted concerns nobody.
        let Ok((stream, _)) = accepted else { continue };
        let (kept, shutdown) = (Arc::clone(&kept), shutdown.clone());
        conversations.spawn(async move {
            let _place = place;
            tokio::select! {
                () = shutdown.cancelled() => {}
                // The sender sees a broken conversation itself; what was accepted before is kept.
                _ = converse(stream, &kept) => {}
            }
        });
    }
    while conversations.join_next().await.is_some() {}
}

/// One line of input.
enum Line {
    /// Without its line end.
    Text(Vec<u8>),
    /// Longer than allowed; it was read to its end and thrown away.
    TooLong,
    /// No more input.
    End,
}

async fn read_line(input: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Line> {
    let mut line = Vec::new();
    let mut length = 0_usize;
    loop {
        let chunk = timeout(IDLE_MAX, input.fill_buf()).await.map_err(|_| io::ErrorKind::TimedOut)??;
        if chunk.is_empty() {
            return Ok(Line::End);
        }
        let newline = chunk.iter().position(|&byte| byte == b'\n');
        let taken = newline.map_or(chunk.len(), |at| at + 1);
        length += taken;
        if length <= LINE_MAX {
            line.extend_from_slice(&chunk[..taken]);
        }
        input.consume(taken);
        if newline.is_some() {
            if length > LINE_MAX {
                return Ok(Line::TooLong);
            }
            line.pop();
            if line.last() == Some(&b'\r') {
                line.pop();
            }
            return Ok(Line::Text(line));
        }
    }
}

async fn converse(mut stream: TcpStream, kept: &Mutex<Vec<ReceivedMail>>) -> io::Result<()> {
    let (input, mut output) = stream.split();
    let mut input = BufReader::new(input);
    reply(&mut output, "220 demo.example.org ready").await?;
    let mut sender = false;
    let mut recipients: Vec<String> = Vec::new();
    loop {
        let line = match read_line(&mut input).await? {
            Line::Text(line) => line,
            Line::TooLong => {
                reply(&mut output, "500 5.5.2 Line too long").await?;
                continue;
            }
            Line::End => return Ok(()),
        };
        let line = String::from_utf8_lossy(&line).into_owned();
        let (verb, argument) = line.split_once(' ').unwrap_or((&line, ""));
        let answer = match verb.to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => {
                (sender, recipients) = (false, Vec::new());
                if verb.eq_ignore_ascii_case("HELO") {
                    "250 demo.example.org"
                } else {
                    "250-demo.example.org\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n250 SIZE 1048576"
                }
            }
            "MAIL" if sender => "503 5.5.1 Sender already given",
            "MAIL" => match path(argument, "FROM:") {
                Some(_) => {
                    sender = true;
                    "250 2.1.0 Sender accepted"
                }
                None => "501 5.5.4 Expected MAIL FROM:<address>",
            },
            "RCPT" if !sender => "503 5.5.1 MAIL comes first",
            "RCPT" if recipients.len() >= RECIPIENTS_MAX => "452 4.5.3 Too many recipients",
            "RCPT" => match path(argument, "TO:").filter(|address| address.contains('@')) {
                Some(address) if address.starts_with("bounced.") => "550 5.1.1 No such mailbox here",
                Some(address) => {
                    recipients.push(address);
                    "250 2.1.5 Recipient accepted"
                }
                None => "501 5.5.4 Expected RCPT TO:<address>",
            },
            "DATA" if recipients.is_empty() => "503 5.5.1 RCPT comes first",
            "DATA" => {
                reply(&mut output, "354 End with a line that is a single dot").await?;
                let Some(mail) = read_mail(&mut input).await? else { return Ok(()) };
                let recipients = std::mem::take(&mut recipients);
                sender = false;
                match mail {
                    Mail::Whole(raw) => keep(kept, recipients, raw),
                    Mail::TooLarge => "552 5.3.4 Message too large",
                }
            }
            "RSET" => {
                (sender, recipients) = (false, Vec::new());
                "250 2.0.0 Forgotten"
            }
            "NOOP" => "250 2.0.0 Here",
            "QUIT" => {
                return reply(&mut output, "221 2.0.0 Goodbye").await;
            }
            _ => "500 5.5.1 Unknown command",
        };
        reply(&mut output, answer).await?;
    }
}

async fn reply(output: &mut (impl AsyncWrite + Unpin), text: &str) -> io::Result<()> {
    output.write_all(format!("{text}\r\n").as_bytes()).await
}

/// The address in `FROM:<address> PARAMETERS`, in lower case.
fn path(argument: &str, keyword: &str) -> Option<String> {
    let head = argument.get(..keyword.len())?;
    let rest = argument[keyword.len()..].trim_start();
    let (address, _) = rest.strip_prefix('<')?.split_once('>')?;
    head.eq_ignore_ascii_case(keyword).then(|| address.to_ascii_lowercase())
}

enum Mail {
    Whole(Vec<u8>),
    TooLarge,
}

/// Reads up to the single dot. `None` if the sender left before it: then nothing was sent.
async fn read_mail(input: &mut (impl AsyncBufRead + Unpin)) -> io::Result<Option<Mail>> {
    let mut raw = Vec::new();
    let mut too_large = false;
    loop {
        match read_line(input).await? {
            Line::End => return Ok(None),
            Line::TooLong => too_large = true,
            Line::Text(line) if line == b"." => {
                return Ok(Some(if too_large { Mail::TooLarge } else { Mail::Whole(raw) }));
            }
            Line::Text(line) => {
                let line = line.strip_prefix(b".").unwrap_or(&line); // The sender doubled a leading dot.
                too_large |= raw.len() + line.len() > MAIL_MAX;
                if !too_large {
                    raw.extend_from_slice(line);
                    raw.extend_from_slice(b"\r\n");
                }
            }
        }
    }
}

fn keep(kept: &Mutex<Vec<ReceivedMail>>, recipients: Vec<String>, raw: Vec<u8>) -> &'static str {
    let (headers, _) = split_part(&raw);
    let message_id = header(&headers, "message-id").unwrap_or_default().to_owned();
    let subject = decode_words(header(&headers, "subject").unwrap_or_default());
    let mut kept = lock(kept);
    if kept.len() + recipients.len() > KEPT_MAX {
        return "452 4.2.2 Mailbox full";
    }
    for rcpt in recipients {
        let (message_id, subject, raw) = (message_id.clone(), subject.clone(), raw.clone());
        kept.push(ReceivedMail { rcpt, message_id, subject, raw });
    }
    "250 2.0.0 Kept"
}

/// A receiver of webhooks that thanks for everything.
#[derive(Debug)]
pub(crate) struct WebhookSink {
    address: SocketAddr,
    kept: Kept<ReceivedWebhook>,
    task: JoinHandle<io::Result<()>>,
}

impl WebhookSink {
    /// Listens on a free loopback port until `shutdown`.
    ///
    /// # Errors
    /// If no loopback port can be opened.
    pub(crate) async fn start(shutdown: CancellationToken) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let kept = Kept::default();
        let router =
            Router::new().fallback(receive).layer(DefaultBodyLimit::max(WEBHOOK_MAX)).with_state(Arc::clone(&kept));
        let serving = axum::serve(listener, router);
        let task = tokio::spawn(async move {
            // Senders keep connections open for the next webhook, so that waiting for them would not end.
            tokio::select! {
                () = shutdown.cancelled() => Ok(()),
                served = async { serving.await } => served,
            }
        });
        Ok(Self { address, kept, task })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that stands for `{webhook}` in the corpus: `http://127.0.0.1:port`, without a slash at its end.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All webhooks so far, in order of arrival.
    pub(crate) fn received(&self) -> Vec<ReceivedWebhook> {
        lock(&self.kept).clone()
    }

    /// Waits until it no longer listens, after the shutdown.
    pub(crate) async fn stopped(self) {
        // Ended either way; the sender would have seen why.
        let _ = self.task.await;
    }
}

async fn receive(State(kept): State<Kept<ReceivedWebhook>>, uri: Uri, headers: HeaderMap, body: Bytes) -> StatusCode {
    let Ok(body) = serde_json::from_slice(&body) else { return StatusCode::BAD_REQUEST };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let received = ReceivedWebhook {
        path: uri.path().to_owned(),
        webhook_id: text("webhook-id"),
        signature: text("webhook-signature"),
        body,
    };
    let mut kept = lock(&kept);
    if kept.len() >= KEPT_MAX {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    kept.push(received);
    StatusCode::NO_CONTENT
}

/// Subject and plain text of a mail, for people to read. Knows what mail libraries write: nested multiparts, folded
/// headers, encoded words, quoted-printable, base64, UTF-8. A mail without plain text gives its first part as it is.
pub(crate) fn decode_mail(raw: &[u8]) -> (String, String) {
    let (headers, body) = split_part(raw);
    let subject = decode_words(header(&headers, "subject").unwrap_or_default());
    let text = plain_text(&headers, body, 0).unwrap_or_else(|| String::from_utf8_lossy(body).into_owned());
    (subject, text.replace("\r\n", "\n").trim_end().to_owned())
}

/// Parts nested deeper than this are not mail that anybody reads.
const DEPTH_MAX: usize = 5;

fn plain_text(headers: &[(String, String)], body: &[u8], depth: usize) -> Option<String> {
    let content_type = header(headers, "content-type").unwrap_or("text/plain");
    let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind.starts_with("multipart/") && depth < DEPTH_MAX {
        let boundary = parameter(content_type, "boundary")?;
        return parts(body, &boundary).into_iter().find_map(|part| {
            let (headers, body) = split_part(part);
            plain_text(&headers, body, depth + 1)
        });
    }
    if kind != "text/plain" {
        return None;
    }
    let encoding = header(headers, "content-transfer-encoding").unwrap_or("7bit").trim().to_ascii_lowercase();
    let bytes = match encoding.as_str() {
        "quoted-printable" => unquote(body, false),
        "base64" => {
            let packed: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
            STANDARD.decode(packed).ok()?
        }
        _ => body.to_vec(),
    };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Headers, unfolded and with lower-case names, and what follows the empty line.
fn split_part(raw: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let mut headers: Vec<(String, String)> = Vec::new();
    let mut rest = raw;
    while !rest.is_empty() {
        let end = rest.iter().position(|&byte| byte == b'\n').map_or(rest.len(), |at| at + 1);
        let line = String::from_utf8_lossy(&rest[..end]).trim_end_matches(['\r', '\n']).to_owned();
        rest = &rest[end..];
        if line.is_empty() {
            break;
        }
        match (line.starts_with([' ', '\t']), headers.last_mut()) {
            (true, Some((_, value))) => value.push_str(&line),
            _ => {
                if let Some((name, value)) = line.split_once(':') {
                    headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
                }
            }
        }
    }
    (headers, rest)
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|parameter| {
        let (known, value) = parameter.split_once('=')?;
        known.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// What lies between the lines that consist of the boundary.
fn parts<'a>(body: &'a [u8], boundary: &str) -> Vec<&'a [u8]> {
    let delimiter = format!("--{boundary}").into_bytes();
    let (mut found, mut begin, mut at) = (Vec::new(), None, 0);
    while at < body.len() {
        let end = body[at..].iter().position(|&byte| byte == b'\n').map_or(body.len(), |newline| at + newline + 1);
        let line = body[at..end].trim_ascii_end();
        let after = line.strip_prefix(delimiter.as_slice());
        if matches!(after, Some(b"" | b"--")) {
            if let Some(begin) = begin {
                found.push(&body[begin..at]);
            }
            begin = Some(end);
        }
        if after == Some(b"--") {
            break;
        }
        at = end;
    }
    found
}

/// Undoes quoted-printable; in a header (`Q`) an underscore is a space.
fn unquote(text: &[u8], in_header: bool) -> Vec<u8> {
    let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let mut plain = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = match (byte, after) {
            (b'=', [b'\r', b'\n', after @ ..] | [b'\n', after @ ..]) => after,
            (b'=', [high, low, after2 @ ..]) => match (hex(*high), hex(*low)) {
                (Some(high), Some(low)) => {
                    plain.push(high << 4 | low);
                    after2
                }
                _ => {
                    plain.push(byte);
                    after
                }
            },
            (b'_', _) if in_header => {
                plain.push(b' ');
                after
            }
            _ => {
                plain.push(byte);
                after
            }
        };
    }
    plain
}

/// Undoes the encoded words (`=?utf-8?b?…?=`) of a header. The space between two of them is none.
fn decode_words(value: &str) -> String {
    let mut plain: Vec<u8> = Vec::new();
    let mut after_word = false;
    let mut rest = value;
    while let Some(at) = rest.find("=?") {
        let (before, from) = rest.split_at(at);
        let Some((bytes, after)) = encoded_word(from) else {
            plain.extend_from_slice(before.as_bytes());
            plain.extend_from_slice(b"=?");
            (rest, after_word) = (&from[2..], false);
            continue;
        };
        if !(after_word && before.trim().is_empty()) {
            plain.extend_from_slice(before.as_bytes());
        }
        plain.extend(bytes);
        (rest, after_word) = (after, true);
    }
    plain.extend_from_slice(rest.as_bytes());
    String::from_utf8_lossy(&plain).into_owned()
}

fn encoded_word(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut fields = text.strip_prefix("=?")?.splitn(3, '?');
    let (_charset, encoding) = (fields.next()?, fields.next()?);
    let (content, after) = fields.next()?.split_once("?=")?;
    let bytes = match encoding {
        "B" | "b" => STANDARD.decode(content).ok()?,
        "Q" | "q" => unquote(content.as_bytes(), true),
        _ => return None,
    };
    Some((bytes, after))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    /// A client that says one thing at a time and reads the answer's last line.
    struct Client(BufReader<TcpStream>);

    impl Client {
        async fn connect(address: SocketAddr) -> Self {
            let mut client = Self(BufReader::new(TcpStream::connect(address).await.unwrap()));
            assert!(client.answer().await.starts_with("220 "));
            client
        }

        async fn answer(&mut self) -> String {
            loop {
                let mut line = String::new();
                self.0.read_line(&mut line).await.unwrap();
                if line.as_bytes().get(3) != Some(&b'-') {
                    return line.trim_end().to_owned();
                }
            }
        }

        async fn say(&mut self, text: &str) -> String {
            self.0.get_mut().write_all(format!("{text}\r\n").as_bytes()).await.unwrap();
            self.answer().await
        }

        async fn send(&mut self, to: &str, mail: &str) -> String {
            assert!(self.say("MAIL FROM:<help@example.org> BODY=8BITMIME").await.starts_with("250 "));
            assert!(self.say(&format!("RCPT TO:<{to}>")).await.starts_with("250 "));
            assert!(self.say("DATA").await.starts_with("354 "));
            self.say(&format!("{mail}\r\n.")).await
        }
    }

    #[tokio::test]
    async fn a_mail_is_kept_as_it_was_sent() {
        let shutdown = CancellationToken::new();
        let sink = SmtpSink::start(shutdown.clone()).await.unwrap();
        let mut client = Client::connect(sink.address()).await;
        assert!(client.say("EHLO here").await.starts_with("250 "));
        assert!(client.say("NOOP").await.starts_with("250 "));
        let mail = "Message-ID: <1@x>\r\nSubject: Hi =?utf-8?b?w7w=?=\r\n\r\none\r\n..two\r\n";
        assert!(client.send("Ada@example.org", mail).await.starts_with("250 "));
        assert!(client.say("QUIT").await.starts_with("221 "));
        let received = sink.received();
        assert_eq!(received.len(), 1);
        assert_eq!(received[0].rcpt, "ada@example.org");
        assert_eq!(received[0].message_id, "<1@x>");
        assert_eq!(received[0].subject, "Hi ü");
        assert!(received[0].raw.ends_with(b"\r\n\r\none\r\n.two\r\n\r\n"));
        shutdown.cancel();
        sink.stopped().await;
    }

    #[tokio::test]
    async fn a_mailbox_that_bounces_gets_nothing_and_the_next_mail_goes_through() {
        let sink = SmtpSink::start(CancellationToken::new()).await.unwrap();
        let mut client = Client::connect(sink.address()).await;
        client.say("HELO here").await;
        client.say("MAIL FROM:<help@example.org>").await;
        let answer = client.say("RCPT TO:<bounced.ada@example.org>").await;
        assert!(answer.starts_with("550 5.1.1"), "{answer}");
        assert!(client.say("DATA").await.starts_with("503 "));
        assert!(client.say("RSET").await.starts_with("250 "));
        assert!(client.send("bob@example.org", "Subject: x\r\n\r\ny").await.starts_with("250 "));
        assert_eq!(sink.received().len(), 1);
    }

    #[tokio::test]
    async fn commands_out_of_order_and_nonsense_are_refused() {
        let sink = SmtpSink::start(CancellationToken::new()).await.unwrap();
        let mut client = Client::connect(sink.address()).await;
        assert!(client.say("RCPT TO:<a@example.org>").await.starts_with("503 "));
        assert!(client.say("DATA").await.starts_with("503 "));
        assert!(client.say("MAIL whatever").await.starts_with("501 "));
        assert!(client.say("MAIL FRÖM:<a@example.org>").await.starts_with("501 "));
        assert!(client.say("VRFY a").await.starts_with("500 "));
        assert!(client.say(&"x".repeat(LINE_MAX + 1)).await.starts_with("500 "));
        assert!(client.say("NOOP").await.starts_with("250 "));
    }

    #[tokio::test]
    async fn a_mail_too_large_is_refused_and_one_cut_off_is_not_kept() {
        let sink = SmtpSink::start(CancellationToken::new()).await.unwrap();
        let mut client = Client::connect(sink.address()).await;
        let line = "x".repeat(998) + "\r\n";
        let answer = client.send("a@example.org", &line.repeat(MAIL_MAX / line.len() + 2)).await;
        assert!(answer.starts_with("552 "), "{answer}");
        client.say("MAIL FROM:<help@example.org>").await;
        client.say("RCPT TO:<a@example.org>").await;
        client.say("DATA").await;
        client.0.get_mut().write_all(b"Subject: half").await.unwrap();
        client.0.get_mut().shutdown().await.unwrap();
        let mut rest = Vec::new();
        client.0.read_to_end(&mut rest).await.unwrap();
        assert_eq!((rest.len(), sink.received().len()), (0, 0));
    }

    #[tokio::test]
    async fn shutting_down_ends_conversations_in_progress() {
        let shutdown = CancellationToken::new();
        let sink = SmtpSink::start(shutdown.clone()).await.unwrap();
        let mut client = Client::connect(sink.address()).await;
        shutdown.cancel();
        sink.stopped().await;
        assert_eq!(client.0.read(&mut [0; 8]).await.unwrap_or(0), 0);
    }

    #[tokio::test]
    async fn a_webhook_is_kept_with_its_headers() {
        let shutdown = CancellationToken::new();
        let sink = WebhookSink::start(shutdown.clone()).await.unwrap();
        assert_eq!(sink.url(), format!("http://{}", sink.address()));
        for (body, status) in [("{\"a\":1}", "204"), ("nonsense", "400")] {
            let mut stream = TcpStream::connect(sink.address()).await.unwrap();
            let length = body.len();
            let request = format!(
                "POST /customers/7 HTTP/1.1\r\nhost: x\r\nconnection: close\r\nwebhook-id: msg_1\r\n\
                 webhook-signature: v1,abc\r\ncontent-length: {length}\r\n\r\n{body}"
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
        }
        let expected = ReceivedWebhook {
            path: "/customers/7".into(),
            webhook_id: "msg_1".into(),
            signature: "v1,abc".into(),
            body: serde_json::json!({ "a": 1 }),
        };
        assert_eq!(sink.received(), [expected]);
        shutdown.cancel();
        sink.stopped().await;
    }

    #[test]
    fn a_multipart_mail_is_read_as_its_plain_text() {
        let raw = b"Subject: =?utf-8?b?RmVybiDDvGI=?=\r\n =?utf-8?q?er_all=C3=A9?= ok\r\n\
            Content-Type: multipart/alternative;\r\n boundary=\"b1\"\r\n\r\nignored\r\n--b1\r\n\
            Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n\
            Gr=C3=BC=\r\n=C3=9Fe =3D fine\r\n--b1-not\r\n--b1\r\nContent-Type: text/html\r\n\r\n<p>x</p>\r\n--b1--\r\n";
        let (subject, text) = decode_mail(raw);
        assert_eq!(subject, "Fern über allé ok");
        assert_eq!(text, "Grüße = fine\n--b1-not");
    }

    #[test]
    fn base64_and_bare_mails_are_read_and_damaged_ones_do_no_harm() {
        let packed = b"Content-Transfer-Encoding: base64\r\n\r\naGVs\r\nbG8=\r\n";
        assert_eq!(decode_mail(packed), (String::new(), "hello".into()));
        assert_eq!(decode_mail(b"Subject: =?x\n\nplain\n"), ("=?x".into(), "plain".into()));
        assert_eq!(decode_mail(b"").1, "");
        assert_eq!(decode_mail(b"Content-Type: multipart/mixed\r\n\r\n=zz=").1, "=zz=");
    }
}
