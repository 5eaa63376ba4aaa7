//! A row as a report: fields are found by their usual names.
//!
//! Names are compared without case, with spaces, dashes and dots as underscores; objects are flattened. When a row has
//! several names of one field, the one listed first wins.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::domain::id::CustomerId;
use crate::grpc::proto;

/// Names of left-out fields that are remembered to be told.
const IGNORED_MAX: usize = 50;
/// Longest id a customer may have, in characters.
const EXTERNAL_ID_MAX: usize = 256;

/// What a field means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Field {
    Source,
    ExternalId,
    Title,
    Body,
    Product,
    Version,
    Platform,
    Environment,
    Region,
    Ring,
    Fingerprint,
    OccurredTime,
    /// An address or an id, whatever it looks like.
    Reporter,
    ReporterId,
    ReporterName,
    ReporterEmail,
    ReporterWebhook,
    ReporterStream,
    Locale,
    TimeZone,
}

#[rustfmt::skip]
const NAMES: &[(Field, &[&str])] = &[
    (Field::Source, &["source"]),
    (Field::ExternalId, &["external_id", "id", "key", "number", "ticket_id", "ticket", "issue_key", "issue_id",
        "reference"]),
    (Field::Title, &["title", "subject", "summary", "headline"]),
    (Field::Body, &["body", "description", "text", "message", "content", "comment"]),
    (Field::Product, &["product", "product_name", "product_key", "app", "project"]),
    (Field::Version, &["version", "app_version", "product_version", "affects_version"]),
    (Field::Platform, &["platform", "os", "operating_system"]),
    (Field::Environment, &["environment", "env"]),
    (Field::Region, &["region"]),
    (Field::Ring, &["ring"]),
    (Field::Fingerprint, &["fingerprint", "group_key", "crash_hash"]),
    (Field::OccurredTime, &["occurred_time", "occurred_at", "created_at", "create_time", "created", "reported_at",
        "date", "timestamp", "time"]),
    (Field::Reporter, &["reporter", "requester", "customer", "author", "user"]),
    (Field::ReporterId, &["reporter_external_id", "reporter_customer_id", "reporter_id", "requester_id",
        "customer_external_id", "customer_id", "user_id", "author_id"]),
    (Field::ReporterName, &["reporter_display_name", "reporter_name", "requester_name", "customer_name", "author_name",
        "user_name", "display_name", "name"]),
    (Field::ReporterEmail, &["reporter_email", "requester_email", "customer_email", "author_email", "user_email",
        "email", "email_address", "from"]),
    (Field::ReporterWebhook, &["reporter_webhook", "webhook"]),
    (Field::ReporterStream, &["reporter_stream", "stream"]),
    (Field::Locale, &["reporter_locale", "locale", "language"]),
    (Field::TimeZone, &["reporter_time_zone", "time_zone", "timezone"]),
];
const LABELS: [&str; 4] = ["component", "severity", "priority", "category"];

/// A name in the form in which names are compared.
pub(super) fn name(text: &str) -> String {
    let mut name = String::new();
    for c in text.trim().chars() {
        if c.is_alphanumeric() {
            name.extend(c.to_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_end_matches('_').to_owned()
}

/// Makes reports of rows.
pub(super) struct Mapper {
    source: Option<String>,
    source_fallback: String,
    product_prefix: String,
    labels: BTreeSet<String>,
    ignored: BTreeSet<String>,
}

impl Mapper {
    /// `source` outranks what rows say; `source_fallback` is for rows that say nothing. `labels` are names of fields
    /// that become labels beside the usual ones.
    pub(super) fn new(
        source: Option<String>,
        source_fallback: String,
        product_prefix: String,
        mut labels: BTreeSet<String>,
    ) -> Self {
        labels.extend(LABELS.map(str::to_owned));
        Self { source, source_fallback, product_prefix, labels, ignored: BTreeSet::new() }
    }

    /// The names of fields that were left out.
    pub(super) fn into_ignored(self) -> BTreeSet<String> {
        self.ignored
    }

    /// The report in a row. What only the server can judge is left to the server.
    ///
    /// # Errors
    /// Every field that cannot be read.
    pub(super) fn report(&mut self, row: Map<String, Value>) -> Result<proto::ReportInput, Vec<proto::FieldViolation>> {
        let mut gathered = Gathered::default();
        for (key, value) in row {
            self.gather(name(&key), value, &mut gathered);
        }
        let Gathered { mut texts, labels, mut contact_points, mut violations } = gathered;
        let mut take = |field: Field| texts.remove(&field).map(|(_, text)| text).unwrap_or_default();

        let occurred_time = match take(Field::OccurredTime) {
            time if time.is_empty() => None,
            time => parse_moment(&time).map_err(|problem| violations.push(violation("occurred_time", problem))).ok(),
        };
        let said = take(Field::Source);
        let source = match &self.source {
            Some(source) => source.clone(),
            None if said.is_empty() => self.source_fallback.clone(),
            None => said,
        };
        let external_id = take(Field::ExternalId);

        let mut reporter = proto::Reporter {
            display_name: take(Field::ReporterName),
            locale: take(Field::Locale),
            time_zone: take(Field::TimeZone),
            ..Default::default()
        };
        let (who, mut id) = (take(Field::Reporter), take(Field::ReporterId));
        let mut email = take(Field::ReporterEmail);
        match who {
            who if who.contains('@') && email.is_empty() => email = who,
            who if id.is_empty() => id = who,
            _ => {}
        }
        for (channel, address) in [
            (proto::Channel::Email, email),
            (proto::Channel::Webhook, take(Field::ReporterWebhook)),
            (proto::Channel::Stream, take(Field::ReporterStream)),
        ] {
            if !address.is_empty() {
                contact_points.push(proto::ContactPointInput { channel: channel.into(), address });
            }
        }
        if id.parse::<CustomerId>().is_ok() {
            reporter.customer_id = id;
        } else {
            reporter.external_id = id;
        }
        if reporter.customer_id.is_empty() && reporter.external_id.is_empty() && contact_points.is_empty() {
            reporter.external_id = unknown(&source, &external_id);
        }
        reporter.contact_points = contact_points;

        let (mut title, body) = (take(Field::Title), take(Field::Body));
        if title.is_empty() && body.is_empty() {
            // Trackers have such rows. Whoever wrote it wants to hear back all the same.
            title.clone_from(&external_id);
        }
        let product = take(Field::Product);
        let product = if product.is_empty() { product } else { format!("{}{product}", self.product_prefix) };
        let report = proto::ReportInput {
            source,
            external_id,
            reporter: Some(reporter),
            product,
            title,
            body,
            version: take(Field::Version),
            platform: take(Field::Platform),
            environment: take(Field::Environment),
            region: take(Field::Region),
            ring: take(Field::Ring),
            fingerprint: take(Field::Fingerprint),
            labels,
            occurred_time,
        };
        if violations.is_empty() { Ok(report) } else { Err(violations) }
    }

    fn gather(&mut self, key: String, value: Value, to: &mut Gathered) {
        let found = NAMES
            .iter()
            .find_map(|(field, names)| names.iter().position(|name| *name == key).map(|rank| (*field, rank)));
        let label = key.strip_prefix("label_").or_else(|| key.strip_prefix("labels_"));
        match value {
            Value::Null => {}
            Value::Object(inner) => {
                for (inner_key, value) in inner {
                    self.gather(format!("{key}_{}", name(&inner_key)), value, to);
                }
            }
            Value::Array(points) if key == "reporter_contact_points" => {
                to.contact_points.extend(points.iter().filter_map(contact_point));
            }
            Value::Array(_) if found.is_some() => {
                to.violations.push(violation(&key, "is a list; it has to be one text"));
            }
            Value::Array(_) => self.ignore(key),
            scalar => {
                let text = match scalar {
                    // No database keeps a NUL, and it says nothing.
                    Value::String(text) if text.contains('\0') => text.replace('\0', ""),
                    Value::String(text) => text,
                    other => other.to_string(),
                };
                if text.trim().is_empty() {
                    return;
                }
                if let Some(label) = label {
                    to.labels.insert(label.to_owned(), text);
                } else if self.labels.contains(&key) {
                    to.labels.insert(key, text);
                } else if let Some((field, rank)) = found {
                    // Titles and bodies stay as they were written.
                    let text = if matches!(field, Field::Title | Field::Body) { text } else { text.trim().to_owned() };
                    let known = to.texts.entry(field).or_insert((usize::MAX, String::new()));
                    if rank < known.0 {
                        *known = (rank, text);
                    }
                } else {
                    self.ignore(key);
                }
            }
        }
    }

    fn ignore(&mut self, key: String) {
        if self.ignored.len() < IGNORED_MAX {
            self.ignored.insert(key);
        }
    }
}

#[derive(Default)]
struct Gathered {
    texts: BTreeMap<Field, (usize, String)>,
    labels: std::collections::HashMap<String, String>,
    contact_points: Vec<proto::ContactPointInput>,
    violations: Vec<proto::FieldViolation>,
}

fn violation(field: &str, description: impl Into<String>) -> proto::FieldViolation {
    proto::FieldViolation { field: field.to_owned(), description: description.into() }
}

/// A contact point in the API's own form. What is not one is left out, and the server says if nothing is left.
fn contact_point(value: &Value) -> Option<proto::ContactPointInput> {
    let channel = value.get("channel")?.as_str()?.trim().to_uppercase();
    let channel = channel.strip_prefix("CHANNEL_").unwrap_or(&channel);
    let channel = proto::Channel::from_str_name(&format!("CHANNEL_{channel}"))?;
    let address = value.get("address")?.as_str()?.to_owned();
    Some(proto::ContactPointInput { channel: channel.into(), address })
}

/// The id of the customer that a report without one gets: a human of their own, the same when the line comes again.
fn unknown(source: &str, external_id: &str) -> String {
    let id = format!("unknown:{source}/{external_id}");
    if id.chars().count() <= EXTERNAL_ID_MAX {
        return id;
    }
    format!("unknown:{source}/{}", Uuid::new_v5(&Uuid::NAMESPACE_OID, id.as_bytes()).simple())
}

/// Reads a moment: RFC 3339, a date with or without a time of day (in UTC), or seconds or milliseconds since 1970.
///
/// # Errors
/// Says which forms there are.
pub(crate) fn parse_moment(text: &str) -> Result<prost_types::Timestamp, String> {
    let text = text.trim();
    let day = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let moment = DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.to_utc())
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f%z").map(|moment| moment.to_utc()))
        .or_else(|_| DateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f %z").map(|moment| moment.to_utc()))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").map(|moment| moment.and_utc()))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|moment| moment.and_utc()))
        .or_else(|_| NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").map(|moment| moment.and_utc()))
        .or_else(|_| NaiveDate::parse_from_str(text, "%Y-%m-%d").map(day))
        .ok()
        .or_else(|| {
            let number: i64 = text.parse().ok()?;
            // 100 thousand million seconds are the year 5138; as milliseconds they are 1973.
            if number.abs() < 100_000_000_000 {
                DateTime::from_timestamp(number, 0)
            } else {
                DateTime::from_timestamp_millis(number)
            }
        })
        .ok_or("is not a time; write 2026-05-03T12:00:00Z, 2026-05-03, or seconds since 1970")?;
    let nanos = i32::try_from(moment.timestamp_subsec_nanos().min(999_999_999)).expect("less than a second");
    Ok(prost_types::Timestamp { seconds: moment.timestamp(), nanos })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn mapper() -> Mapper {
        Mapper::new(None, "file".into(), String::new(), BTreeSet::new())
    }

    fn read(mapper: &mut Mapper, row: Value) -> Result<proto::ReportInput, Vec<proto::FieldViolation>> {
        let Value::Object(row) = row else { panic!("rows are objects") };
        mapper.report(row)
    }

    #[test]
    fn fields_are_found_by_their_usual_names() {
        let mut mapper = mapper();
        let report = read(
            &mut mapper,
            json!({
                "id": 7, "Subject": " Crash ", "description": "It crashes", "product": "App", "Component": "sync",
                "created_at": "2011-03-29T16:48:47Z", "truth": "T-1", "Requester Email": "ada@example.org",
                "name": "Ada", "os": "Linux", "empty": null
            }),
        )
        .unwrap();
        assert_eq!((report.source.as_str(), report.external_id.as_str()), ("file", "7"));
        assert_eq!((report.title.as_str(), report.body.as_str()), (" Crash ", "It crashes"));
        assert_eq!((report.product.as_str(), report.platform.as_str()), ("App", "Linux"));
        assert_eq!(report.labels["component"], "sync");
        assert_eq!(report.occurred_time.unwrap().seconds, 1_301_417_327);
        let reporter = report.reporter.unwrap();
        assert_eq!((reporter.display_name.as_str(), reporter.external_id.as_str()), ("Ada", ""));
        assert_eq!(reporter.contact_points[0].address, "ada@example.org");
        assert_eq!(mapper.into_ignored().into_iter().collect::<Vec<_>>(), ["truth"]);
    }

    #[test]
    fn a_row_in_the_form_of_the_api_is_understood() {
        let report = read(
            &mut mapper(),
            json!({
                "source": "zendesk", "external_id": "1", "title": "x", "labels": { "a b": "c" },
                "reporter": {
                    "external_id": "u-1", "display_name": "Ada",
                    "contact_points": [{ "channel": "CHANNEL_EMAIL", "address": "a@example.org" },
                        { "channel": "stream", "address": "t/1" }]
                }
            }),
        )
        .unwrap();
        assert_eq!(report.source, "zendesk");
        assert_eq!(report.labels["a_b"], "c");
        let reporter = report.reporter.unwrap();
        assert_eq!((reporter.external_id.as_str(), reporter.display_name.as_str()), ("u-1", "Ada"));
        let channels: Vec<_> = reporter.contact_points.iter().map(|point| point.channel()).collect();
        assert_eq!(channels, [proto::Channel::Email, proto::Channel::Stream]);
    }

    #[test]
    fn a_report_without_a_reporter_has_a_customer_of_its_own_every_time() {
        let id = |external_id: &str| {
            read(&mut mapper(), json!({ "id": external_id, "title": "x" })).unwrap().reporter.unwrap().external_id
        };
        assert_eq!(id("A-1"), "unknown:file/A-1");
        let long = "x".repeat(256);
        assert_eq!(id(&long), id(&long));
        assert!(id(&long).chars().count() <= EXTERNAL_ID_MAX);
    }

    #[test]
    fn a_name_listed_earlier_wins_in_any_order() {
        for row in [json!({ "id": "1", "external_id": "2" }), json!({ "external_id": "2", "id": "1" })] {
            assert_eq!(read(&mut mapper(), row).unwrap().external_id, "2");
        }
    }

    #[test]
    fn everything_that_cannot_be_read_is_named_at_once() {
        let violations = read(&mut mapper(), json!({ "id": [1], "created_at": "yesterday" })).unwrap_err();
        let fields: Vec<_> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(fields, ["id", "occurred_time"]);
    }

    #[test]
    fn a_customer_id_of_ours_names_a_customer_and_any_other_is_the_callers() {
        let id = CustomerId::new().to_string();
        let reporter = |id: &str| {
            read(&mut mapper(), json!({ "id": 1, "title": "x", "customer_id": id })).unwrap().reporter.unwrap()
        };
        assert_eq!(reporter(&id).customer_id, id);
        assert_eq!(reporter("4711").external_id, "4711");
    }

    #[test]
    fn a_row_without_words_is_kept_under_its_reference_and_nul_is_left_out() {
        let report = read(&mut mapper(), json!({ "id": "A-1", "title": " ", "body": "" })).unwrap();
        assert_eq!(report.title, "A-1");
        assert_eq!(read(&mut mapper(), json!({ "id": 1, "body": "a\0b" })).unwrap().body, "ab");
    }

    #[test]
    fn moments_are_read_in_their_usual_forms() {
        for text in [
            "2026-05-03T12:00:00Z",
            "2026-05-03T14:00:00+02:00",
            "2026-05-03 12:00:00",
            "2026-05-03 12:00",
            "2026-05-03T12:00:00.000+0000",
            "1777809600",
            "1777809600000",
        ] {
            assert_eq!(parse_moment(text).map(|time| time.seconds), Ok(1_777_809_600), "{text}");
        }
        assert_eq!(parse_moment("2026-05-03").map(|time| time.seconds), Ok(1_777_766_400));
        assert!(parse_moment("05/03/2026").is_err());
    }
}
