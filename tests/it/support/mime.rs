//! Reads a mail as its recipient's program does: headers unfolded and decoded, parts found and decoded. Written for
//! these tests, so that mails are not checked by the library that wrote them.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

/// A mail that arrived.
#[derive(Debug, Clone)]
pub(crate) struct Mail {
    /// The envelope's recipient.
    pub(crate) recipient: String,
    /// As it came over the wire.
    pub(crate) raw: String,
    /// Decoded headers in their order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The decoded plain text.
    pub(crate) text: String,
    /// The decoded HTML.
    pub(crate) html: String,
}

impl Mail {
    /// Reads it.
    pub(crate) fn read(recipient: &str, raw: &str) -> Self {
        let part = Part::read(raw);
        let mut mail = Self {
            recipient: recipient.to_owned(),
            raw: raw.to_owned(),
            headers: part.headers.clone(),
            text: String::new(),
            html: String::new(),
        };
        mail.take_parts(&part);
        mail
    }

    fn take_parts(&mut self, part: &Part) {
        let kind = part.header("content-type").unwrap_or("text/plain").to_owned();
        if kind.starts_with("multipart/") {
            let boundary = parameter(&kind, "boundary").expect("a multipart names its boundary");
            for inner in part.body.split(&format!("--{boundary}")).skip(1) {
                if inner.starts_with("--") {
                    break;
                }
                self.take_parts(&Part::read(inner.trim_start_matches("\r\n")));
            }
        } else if kind.starts_with("text/html") {
            self.html = part.decoded();
        } else {
            self.text = part.decoded();
        }
    }

    /// The one header of this name.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> &str {
        let values = self.all(name);
        assert_eq!(values.len(), 1, "{name} in {:?}", self.headers);
        values[0]
    }

    /// All headers of this name.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        let of_name = |(known, _): &&(String, String)| known == name;
        self.headers.iter().filter(of_name).map(|(_, value)| value.as_str()).collect()
    }

    /// Its subject.
    pub(crate) fn subject(&self) -> &str {
        self.header("subject")
    }

    /// Where one click unsubscribes.
    pub(crate) fn unsubscribe_url(&self) -> String {
        let header = self.header("list-unsubscribe");
        let from = header.find("<http").expect("an http link") + 1;
        header[from..].split('>').next().expect("its end").to_owned()
    }
}

struct Part {
    headers: Vec<(String, String)>,
    body: String,
}

impl Part {
    fn read(raw: &str) -> Self {
        let (head, body) = raw.split_once("\r\n\r\n").unwrap_or((raw, ""));
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in head.split("\r\n") {
            match (line.starts_with([' ', '\t']), headers.last_mut()) {
                (true, Some((_, value))) => value.push_str(line),
                _ => {
                    let (name, value) = line.split_once(':').unwrap_or_else(|| panic!("not a header: {line:?}"));
                    headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
                }
            }
        }
        for (_, value) in &mut headers {
            *value = decode_words(value);
        }
        Self { headers, body: body.to_owned() }
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn decoded(&self) -> String {
        let body = self.body.trim_end_matches("\r\n");
        let bytes = match self.header("content-transfer-encoding").unwrap_or("7bit").to_ascii_lowercase().as_str() {
            "base64" => {
                let packed: String = body.chars().filter(|c| !c.is_whitespace()).collect();
                BASE64_STANDARD.decode(packed).expect("base64")
            }
            "quoted-printable" => quoted_printable(body, false),
            _ => body.as_bytes().to_vec(),
        };
        String::from_utf8(bytes).expect("UTF-8").replace("\r\n", "\n")
    }
}

fn parameter(header: &str, name: &str) -> Option<String> {
    let at = header.find(&format!("{name}="))? + name.len() + 1;
    let rest = &header[at..];
    Some(match rest.strip_prefix('"') {
        Some(quoted) => quoted.split('"').next()?.to_owned(),
        None => rest.split(';').next()?.trim().to_owned(),
    })
}

/// RFC 2045, 6.7; `in_header` reads `_` as a space (RFC 2047, 4.2).
fn quoted_printable(text: &str, in_header: bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at] {
            b'=' if bytes[at + 1..].starts_with(b"\r\n") => at += 3,
            b'=' => {
                let hex = std::str::from_utf8(&bytes[at + 1..at + 3]).expect("two hex digits");
                decoded.push(u8::from_str_radix(hex, 16).expect("two hex digits"));
                at += 3;
            }
            b'_' if in_header => {
                decoded.push(b' ');
                at += 1;
            }
            byte => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Decodes the encoded words of a header (RFC 2047).
fn decode_words(value: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = value;
    let mut after_word = false;
    while let Some(at) = rest.find("=?") {
        let word: Vec<&str> = rest[at + 2..].splitn(4, '?').collect();
        let [_charset, encoding, text, tail] = word.as_slice() else { break };
        let Some(tail) = tail.strip_prefix('=') else { break };
        // Space between two encoded words is not part of the text.
        if !(after_word && rest[..at].trim().is_empty()) {
            decoded.extend_from_slice(&rest.as_bytes()[..at]);
        }
        decoded.extend(match *encoding {
            "b" | "B" => BASE64_STANDARD.decode(text).expect("base64"),
            _ => quoted_printable(text, true),
        });
        after_word = true;
        rest = tail;
    }
    decoded.extend_from_slice(rest.as_bytes());
    String::from_utf8(decoded).expect("UTF-8")
}
