//! What customers really got: mails, webhooks and posts of the help desk, read as a customer would.

use std::collections::{HashMap, HashSet};

use super::corpus::{ContactKind, DemoReport};
use super::sinks::{ReceivedMail, ReceivedWebhook, decode_mail};
use super::stage::Stage;
use crate::grpc::proto;
use crate::grpc::proto::watch_announcements_response::StreamDelivery;

/// What a message says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    /// There is a fix.
    Fix,
    /// What was said before no longer holds.
    Correction,
    /// Anything else.
    Other,
}

/// A message as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Received {
    /// Over which channel.
    pub(super) kind: ContactKind,
    /// The human whose address it came to; `None` if it is nobody's.
    pub(super) customer: Option<String>,
    /// What it says.
    pub(super) said: Said,
    /// Its subject.
    pub(super) subject: String,
    /// Its text.
    pub(super) text: String,
    /// The reports it answers, as `source/external_id`.
    pub(super) references: Vec<String>,
}

/// Reads what has arrived since it was last asked.
pub(super) struct Inbox {
    owners: HashMap<String, String>,
    mail_count: usize,
    webhook_count: usize,
    post_count: usize,
    webhook_ids: HashSet<String>,
}

impl Inbox {
    /// An inbox for the addresses of these reports.
    pub(super) fn new(reports: &[DemoReport]) -> Self {
        let addresses = reports.iter().flat_map(|report| {
            report.contacts.iter().map(|(_, address)| {
                // A webhook is told by its path: the host is the receiver's.
                let address = address.trim_start_matches("{webhook}").to_lowercase();
                (address, report.customer_key.clone())
            })
        });
        Self {
            owners: addresses.collect(),
            mail_count: 0,
            webhook_count: 0,
            post_count: 0,
            webhook_ids: HashSet::new(),
        }
    }

    /// What has arrived since.
    pub(super) fn fetch(&mut self, stage: &Stage) -> Vec<Received> {
        let (mails, webhooks, posts) = (stage.mail.received(), stage.webhooks.received(), stage.posted());
        let mut news = Vec::new();
        news.extend(mails[self.mail_count..].iter().map(|mail| self.mail(mail)));
        for webhook in &webhooks[self.webhook_count..] {
            // As Standard Webhooks asks of a receiver: the same id again is a retry, and nothing new.
            if self.webhook_ids.insert(webhook.webhook_id.clone()) {
                news.push(self.webhook(webhook));
            }
        }
        news.extend(posts[self.post_count..].iter().map(|post| self.post(post)));
        (self.mail_count, self.webhook_count, self.post_count) = (mails.len(), webhooks.len(), posts.len());
        news
    }

    fn owner(&self, address: &str) -> Option<String> {
        self.owners.get(&address.to_lowercase()).cloned()
    }

    fn mail(&self, mail: &ReceivedMail) -> Received {
        let (subject, text) = decode_mail(&mail.raw);
        let said = if subject.starts_with("Correction: ") {
            Said::Correction
        } else if subject.starts_with("Fixed") || subject.starts_with("There is a fix") {
            Said::Fix
        } else {
            Said::Other
        };
        let references = text.lines().filter_map(reference).collect();
        Received { kind: ContactKind::Email, customer: self.owner(&mail.rcpt), said, subject, text, references }
    }

    fn webhook(&self, webhook: &ReceivedWebhook) -> Received {
        let data = &webhook.body["data"];
        let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
        Received {
            kind: ContactKind::Webhook,
            customer: self.owner(&webhook.path),
            said: match webhook.body["type"].as_str() {
                Some("fix.announced") => Said::Fix,
                Some("correction.announced") => Said::Correction,
                _ => Said::Other,
            },
            subject: text("subject"),
            text: text("text"),
            references: data["reports"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|reference| reference.as_str().map(str::to_owned))
                .collect(),
        }
    }

    fn post(&self, post: &StreamDelivery) -> Received {
        Received {
            kind: ContactKind::Stream,
            customer: self.owner(&post.address),
            said: match post.stage() {
                proto::Stage::FixAvailable => Said::Fix,
                proto::Stage::Correction => Said::Correction,
                proto::Stage::Acknowledged | proto::Stage::Unspecified => Said::Other,
            },
            subject: post.subject.clone(),
            text: post.text.clone(),
            references: post.report_references.clone(),
        }
    }
}

/// The report that a line of a letter names: `- "Export fails" (reference 4711 at zendesk, 3 May 2026)`.
fn reference(line: &str) -> Option<String> {
    let line = line.trim_start().strip_prefix("- ")?;
    let (_, after) = line.rsplit_once("reference ")?;
    let (external_id, after) = after.split_once(" at ")?;
    let (source, _) = after.split_once(", ")?;
    Some(format!("{source}/{external_id}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reports_a_letter_answers_are_read_out_of_its_text() {
        let line = r#"  - "My "reference 1 at x, y" is odd" (reference <7f@mail.example.org> at email, 3 May 2026)"#;
        assert_eq!(reference(line).as_deref(), Some("email/<7f@mail.example.org>"));
        assert_eq!(reference("  - reference 4711 at zendesk, 3 May 2026").as_deref(), Some("zendesk/4711"));
        assert_eq!(reference("mention the reference above."), None);
    }
}
