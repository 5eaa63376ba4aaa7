//! What a relay's answer, or its silence, means for one recipient.
//!
//! An answer is judged by its code, its enhanced code (RFC 3463) and what it was an answer to; each kept detail begins with
//! its class, so that operators can count them: `TRANSIENT`, `SOFT`, `HARD_BOUNCE`, `PERMANENT`, `SENDER_FAULT`, `CONFIG`,
//! `AMBIGUOUS`.

use std::error::Error as _;
use std::time::Duration;

use lettre::transport::smtp::Error;

use super::{Outcome, text};

/// Greylisting relays want the same message again after a while; half an hour satisfies nearly all of them.
const GREYLISTED: Duration = Duration::from_secs(30 * 60);

/// A full mailbox is not emptied within minutes.
const MAILBOX_FULL: Duration = Duration::from_secs(4 * 60 * 60);

/// How much of an answer is kept.
const MAX_DETAIL_CHARS: usize = 500;

/// How far an attempt has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Connect, greeting, EHLO, STARTTLS.
    Connect,
    /// AUTH.
    LogIn,
    /// MAIL FROM: the relay judges the sender, not yet the recipient.
    Sender,
    /// RCPT TO.
    Recipient,
    /// DATA, before any of the text is sent.
    Data,
    /// The text has been (partly) sent: without an answer it may have been accepted.
    Content,
}

/// What an error means at this step: an answer is judged by its code, silence by whether the text was on its way.
pub(super) fn judge_error(step: Step, error: &Error, address: &str) -> Outcome {
    let said = error.source().map(ToString::to_string).unwrap_or_default();
    match error.status() {
        Some(code) => {
            let said = detail(&said, address);
            judge(step, code.into(), &said)
        }
        None if step == Step::Content => {
            Outcome::Unknown { detail: format!("AMBIGUOUS: sent, and the answer was lost: {}", detail(&said, address)) }
        }
        // Nothing the relay offers for TLS or for logging in is what we were told to use: an operator has to look.
        None if error.is_client() => config(&detail(&said, address)),
        None => transient(&format!("the connection failed before anything was sent: {}", detail(&said, address))),
    }
}

/// Judges a negative answer by its code, its enhanced code (RFC 3463) and what it was an answer to.
fn judge(step: Step, code: u16, said: &str) -> Outcome {
    let answer = format!("{code} {said}");
    let enhanced = enhanced(said);
    let about_recipient = matches!(step, Step::Recipient | Step::Data | Step::Content);
    match (code, enhanced) {
        (530 | 534 | 535 | 538, _) => config(&answer),
        (400..=499, _) if matches!(code, 450 | 451) || matches!(enhanced, Some((_, 7, _))) => {
            Outcome::Retry { not_before: Some(GREYLISTED), detail: format!("TRANSIENT: {answer}") }
        }
        (..=499, Some((_, 2, 2))) => full(&answer),
        (..=499, _) => transient(&answer),
        // The relay will not work for us at all. That says nothing about the recipient, and somebody may repair it.
        _ if !about_recipient => Outcome::Retry { not_before: None, detail: format!("SENDER_FAULT: {answer}") },
        (550 | 551 | 553, Some((5, 1, 1 | 2 | 3 | 6 | 10))) => {
            Outcome::Rejected { bounced: true, detail: format!("HARD_BOUNCE: {answer}") }
        }
        (_, Some((5, 2, 2))) | (552, None) => full(&answer),
        (_, Some((5, 7, _))) => Outcome::Rejected { bounced: false, detail: format!("SENDER_FAULT: {answer}") },
        _ => Outcome::Rejected { bounced: false, detail: format!("PERMANENT: {answer}") },
    }
}

/// The enhanced code an answer begins with, as `5.1.1`.
fn enhanced(said: &str) -> Option<(u16, u16, u16)> {
    let mut parts = said.split_whitespace().next()?.splitn(3, '.').map(|part| part.parse().ok());
    Some((parts.next()??, parts.next()??, parts.next()??))
}

/// A fault that passes by itself.
pub(super) fn transient(detail: &str) -> Outcome {
    Outcome::Retry { not_before: None, detail: format!("TRANSIENT: {detail}") }
}

fn full(answer: &str) -> Outcome {
    Outcome::Retry { not_before: Some(MAILBOX_FULL), detail: format!("SOFT: {answer}") }
}

fn config(answer: &str) -> Outcome {
    Outcome::Retry { not_before: None, detail: format!("CONFIG: the relay does not let us in: {answer}") }
}

/// What the relay said, fit to be kept: relays like to repeat the address, and erasing a customer must not leave it here.
pub(super) fn detail(said: &str, address: &str) -> String {
    let mut said = text::one_line(said, MAX_DETAIL_CHARS);
    while let Some(at) = said.to_ascii_lowercase().find(&address.to_ascii_lowercase()) {
        said.replace_range(at..at + address.len(), "[address]");
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_has_its_meaning() {
        use Step::{Connect, Content, Data, LogIn, Recipient, Sender};
        let retry = |wait: Option<Duration>| (wait, None);
        let rejected = |bounced: bool| (None, Some(bounced));
        for (step, answer, class, expected) in [
            (Connect, "421 4.3.2 too busy", "TRANSIENT", retry(None)),
            (Connect, "554 5.7.1 not you", "SENDER_FAULT", retry(None)),
            (Connect, "550 no", "SENDER_FAULT", retry(None)),
            (LogIn, "535 5.7.8 bad credentials", "CONFIG", retry(None)),
            (LogIn, "534 5.7.9 too weak", "CONFIG", retry(None)),
            (LogIn, "454 4.7.0 not now", "TRANSIENT", retry(Some(GREYLISTED))),
            (Sender, "421 closing", "TRANSIENT", retry(None)),
            (Sender, "451 4.7.1 slow down", "TRANSIENT", retry(Some(GREYLISTED))),
            (Sender, "530 5.7.0 authentication required", "CONFIG", retry(None)),
            (Sender, "538 5.7.11 encryption required", "CONFIG", retry(None)),
            (Sender, "550 5.1.8 bad sender", "SENDER_FAULT", retry(None)),
            (Sender, "550 5.1.1 odd", "SENDER_FAULT", retry(None)),
            (Recipient, "450 4.2.0 greylisted", "TRANSIENT", retry(Some(GREYLISTED))),
            (Recipient, "451 try later", "TRANSIENT", retry(Some(GREYLISTED))),
            (Recipient, "452 4.3.1 disk full", "TRANSIENT", retry(None)),
            (Recipient, "452 4.2.2 over quota", "SOFT", retry(Some(MAILBOX_FULL))),
            (Recipient, "421 4.7.0 rate", "TRANSIENT", retry(Some(GREYLISTED))),
            (Recipient, "550 5.1.1 no such user", "HARD_BOUNCE", rejected(true)),
            (Recipient, "550 5.1.2 no such host", "HARD_BOUNCE", rejected(true)),
            (Recipient, "553 5.1.3 bad syntax", "HARD_BOUNCE", rejected(true)),
            (Recipient, "551 5.1.6 moved", "HARD_BOUNCE", rejected(true)),
            (Recipient, "550 5.1.10 null MX", "HARD_BOUNCE", rejected(true)),
            (Recipient, "550 5.1.0 other", "PERMANENT", rejected(false)),
            (Recipient, "550 no such user", "PERMANENT", rejected(false)),
            (Recipient, "550 5.7.1 policy", "SENDER_FAULT", rejected(false)),
            (Recipient, "552 5.2.2 mailbox full", "SOFT", retry(Some(MAILBOX_FULL))),
            (Recipient, "552 mailbox full", "SOFT", retry(Some(MAILBOX_FULL))),
            (Recipient, "554 no", "PERMANENT", rejected(false)),
            (Data, "554 5.5.1 no valid recipients", "PERMANENT", rejected(false)),
            (Data, "451 4.3.0 later", "TRANSIENT", retry(Some(GREYLISTED))),
            (Content, "550 5.1.1 no such user", "HARD_BOUNCE", rejected(true)),
            (Content, "550 5.7.26 unauthenticated", "SENDER_FAULT", rejected(false)),
            (Content, "552 5.3.4 too big", "PERMANENT", rejected(false)),
            (Content, "452 4.3.1 disk full", "TRANSIENT", retry(None)),
        ] {
            let (code, said) = answer.split_once(' ').unwrap();
            let outcome = judge(step, code.parse().unwrap(), said);
            let got = match &outcome {
                Outcome::Retry { not_before, .. } => retry(*not_before),
                Outcome::Rejected { bounced, .. } => rejected(*bounced),
                other => panic!("{answer}: {other:?}"),
            };
            assert_eq!(got, expected, "{step:?} {answer}: {outcome:?}");
            assert_eq!(outcome.detail().split(':').next(), Some(class), "{step:?} {answer}");
        }
    }

    #[test]
    fn what_is_kept_does_not_name_the_recipient() {
        let said = "5.1.1 <ADA@example.org> unknown,\r\nada@example.org\u{202e}";
        assert_eq!(detail(said, "Ada@example.org"), "5.1.1 <[address]> unknown, [address]");
    }
}
