//! What happened with a customer, in sentences for people. They are made from the events' facts when read, so they can
//! become better without touching history.

use serde_json::Value;

use crate::domain::event::{Event, EventKind};
use crate::domain::id::ClusterId;
use crate::domain::time::Timestamp;

/// One thing that happened with a customer.
#[derive(Debug, Clone, PartialEq)]
pub struct TimelineEntry {
    /// When.
    pub time: Timestamp,
    /// What.
    pub kind: EventKind,
    /// The same for people.
    pub summary: String,
    /// The resource it is about.
    pub subject: String,
    /// The cluster, if any.
    pub cluster_id: Option<ClusterId>,
}

impl From<Event> for TimelineEntry {
    fn from(event: Event) -> Self {
        let summary = summary(&event);
        Self { time: event.time, kind: event.kind, summary, subject: event.subject, cluster_id: event.cluster_id }
    }
}

/// A fact that is a text and not empty.
fn fact<'a>(data: &'a Value, key: &str) -> Option<&'a str> {
    data.get(key)?.as_str().filter(|text| !text.is_empty())
}

fn facts(data: &Value, key: &str) -> Vec<String> {
    let texts = data.get(key).and_then(Value::as_array).into_iter().flatten();
    texts.filter_map(Value::as_str).map(words).collect()
}

/// A name of ours as words.
fn words(name: &str) -> String {
    name.replace('_', " ").to_lowercase()
}

/// Why, if that is recorded.
fn because(data: &Value) -> String {
    fact(data, "reason").map(|reason| format!(": {}", words(reason))).unwrap_or_default()
}

/// What is said at a stage, and how it travels.
fn statement(data: &Value) -> String {
    let said = match (fact(data, "stage"), fact(data, "version")) {
        (Some("ACKNOWLEDGED"), _) => "the problem is known and worked on".to_owned(),
        (Some("FIX_AVAILABLE"), Some(version)) => format!("{version} has the fix"),
        (Some("FIX_AVAILABLE"), None) => "the fix is available".to_owned(),
        (Some("CORRECTION"), Some(version)) => format!("{version} does not have the fix after all"),
        (Some("CORRECTION"), None) => "what was said before no longer holds".to_owned(),
        _ => "there is news".to_owned(),
    };
    let by = fact(data, "channel").map(|channel| format!(", by {channel}")).unwrap_or_default();
    format!("{said}{by}")
}

fn summary(event: &Event) -> String {
    let data = &event.data;
    let cluster = || event.cluster_id.map_or_else(|| "a cluster".to_owned(), |id| id.to_string());
    match event.kind {
        EventKind::ReportSubmitted => match fact(data, "decision") {
            Some("ATTACH") => format!("reported a problem that others have too; it joined {}", cluster()),
            Some("SUGGEST") => format!("reported a problem that resembles a known one; it began {}", cluster()),
            _ => format!("reported a new problem; it began {}", cluster()),
        },
        EventKind::ReportMoved => format!("a person moved their report to {}", cluster()),
        EventKind::LoopChanged => match fact(data, "state") {
            Some("TOLD") => "the loop of their report is closed: they were told".to_owned(),
            Some("CLOSED") => format!("the loop of their report is closed without telling them{}", because(data)),
            _ => format!("the loop of their report is open{}", because(data)),
        },
        EventKind::CustomerCreated => match facts(data, "channels") {
            channels if channels.is_empty() => "first heard of, without a way to reach them".to_owned(),
            channels => format!("first heard of, reachable by {}", channels.join(", ").to_uppercase()),
        },
        EventKind::CustomerUpdated => match facts(data, "fields") {
            fields if fields.is_empty() => "something about them changed".to_owned(),
            fields => format!("something about them changed: {}", fields.join(", ")),
        },
        EventKind::InstallationRecorded => {
            let version = fact(data, "version").unwrap_or("an unknown version");
            let platform = fact(data, "platform").map(|platform| format!(" on {platform}")).unwrap_or_default();
            let environment = fact(data, "environment").map(|name| format!(" in {name}")).unwrap_or_default();
            format!("runs {version}{platform}{environment}")
        }
        EventKind::PreferencesUpdated => {
            let count = |key| data.get(key).and_then(Value::as_array).map_or(0, Vec::len);
            let mut parts = Vec::new();
            match data.get("opted_out").and_then(Value::as_bool) {
                Some(true) => parts.push("wants to hear nothing at all".to_owned()),
                Some(false) => parts.push("may be told things again".to_owned()),
                None => {}
            }
            for (key, what) in [("opted_out_contact_point_ids", "off"), ("opted_in_contact_point_ids", "on again")] {
                match count(key) {
                    0 => {}
                    1 => parts.push(format!("one contact point was switched {what}")),
                    many => parts.push(format!("{many} contact points were switched {what}")),
                }
            }
            if parts.is_empty() { "their consent changed".to_owned() } else { parts.join("; ") }
        }
        EventKind::ContactPointBounced => {
            let channel = fact(data, "channel").map(|channel| format!(" ({channel})")).unwrap_or_default();
            format!("a contact point{channel} does not exist any more")
        }
        EventKind::DeliveryPlanned => format!("is to be told that {}", statement(data)),
        EventKind::DeliveryFinished => match fact(data, "state") {
            Some("DELIVERED") => format!("told that {}", statement(data)),
            Some("UNCONFIRMED") => format!("may have been told that {}; the answer was lost", statement(data)),
            Some("FAILED") => format!("could not be told that {}{}", statement(data), because(data)),
            Some("SUPPRESSED") => format!("not told that {}{}", statement(data), because(data)),
            Some("CANCELLED") => format!("is not to be told any more that {}{}", statement(data), because(data)),
            _ => format!("was to be told that {}", statement(data)),
        },
        EventKind::StatementSuppressed => format!("not told that {}{}", statement(data), because(data)),
        // Nothing else concerns one customer; should it one day, its name says enough.
        other => other.as_str().replace(['.', '_'], " "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::{EventId, TenantId};
    use serde_json::json;

    fn said(kind: EventKind, data: Value) -> String {
        summary(&Event {
            id: EventId::new(),
            tenant_id: TenantId::new(),
            sequence: 1,
            kind,
            subject: "dlv_1".to_owned(),
            actor: "system".to_owned(),
            cluster_id: None,
            customer_id: None,
            data,
            time: Timestamp::from_micros(0),
        })
    }

    #[test]
    fn a_timeline_reads_like_a_story() {
        let told = json!({"stage": "FIX_AVAILABLE", "state": "DELIVERED", "version": "2.4.1", "channel": "EMAIL"});
        assert_eq!(said(EventKind::DeliveryFinished, told), "told that 2.4.1 has the fix, by EMAIL");
        let failed = json!({"stage": "ACKNOWLEDGED", "state": "SUPPRESSED", "reason": "opted_out", "channel": "EMAIL"});
        assert_eq!(
            said(EventKind::DeliveryFinished, failed),
            "not told that the problem is known and worked on, by EMAIL: opted out"
        );
        let runs = json!({"version": "2.4.0", "platform": "ios", "environment": "production"});
        assert_eq!(said(EventKind::InstallationRecorded, runs), "runs 2.4.0 on ios in production");
        let consent = json!({"opted_out": true, "opted_out_contact_point_ids": ["cpt_1"]});
        assert_eq!(
            said(EventKind::PreferencesUpdated, consent),
            "wants to hear nothing at all; one contact point was switched off"
        );
    }

    #[test]
    fn every_kind_has_a_sentence_even_without_facts() {
        for &kind in EventKind::ALL {
            assert!(said(kind, json!({})).len() > 8, "{kind}");
        }
    }
}
