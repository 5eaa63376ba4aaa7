//! Reports: one statement of one customer at one time. Their text never changes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::coverage::InstallationFacts;
use super::customer::ContactAddress;
use super::explanation::{Grounds, Signals};
use super::id::{ClusterId, CustomerId, OperationId, ProductId, ReportId, TenantId};
use super::text_enum;
use super::time::Timestamp;
use super::violation::Violations;

text_enum! {
    /// How far the loop from a report back to its customer is closed.
    pub enum LoopState {
        /// Nothing has been said yet that closes it.
        Open = "OPEN",
        /// The customer was told of a fix, and that still holds.
        Told = "TOLD",
        /// Nothing will be said, for the recorded reason.
        Closed = "CLOSED",
    }
}

text_enum! {
    /// What the matcher decided when the report arrived.
    pub enum PlacementDecision {
        /// It joined a cluster.
        Attach = "ATTACH",
        /// It began a new cluster and resembles another one.
        Suggest = "SUGGEST",
        /// It began a new cluster.
        New = "NEW",
    }
}

text_enum! {
    /// Who decided where a report belongs.
    pub enum Origin {
        /// The matcher.
        Matched = "MATCHED",
        /// A person.
        Human = "HUMAN",
    }
}

/// Free labels of the caller.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Labels(pub BTreeMap<String, String>);

/// A report as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Its id.
    pub id: ReportId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The system that took it.
    pub source: String,
    /// Its reference there.
    pub external_id: String,
    /// Who reported.
    pub customer_id: CustomerId,
    /// What it is about.
    pub product_id: Option<ProductId>,
    /// The customer's headline.
    pub title: String,
    /// The customer's words.
    pub body: String,
    /// What the customer ran.
    pub version: Option<String>,
    /// On which platform.
    pub platform: Option<String>,
    /// In which environment; `None` is production.
    pub environment: Option<String>,
    /// Served from which region.
    pub region: Option<String>,
    /// In which rollout ring.
    pub ring: Option<String>,
    /// The caller's grouping key.
    pub fingerprint: Option<String>,
    /// The caller's labels.
    pub labels: Labels,
    /// When it happened, says the caller.
    pub occurred_time: Option<Timestamp>,
    /// When it was accepted.
    pub create_time: Timestamp,
    /// What the matcher decided then.
    pub decision: PlacementDecision,
    /// The best candidate's score then.
    pub decision_score: f64,
    /// Where the matcher put it then; people may have moved it since.
    pub decision_cluster_id: ClusterId,
    /// For SUGGEST, what it resembled.
    pub suggested_cluster_id: Option<ClusterId>,
    /// Why.
    pub signals: Signals,
    /// What that was decided by; `None` if it was accepted by a release that did not remember.
    pub grounds: Option<Grounds>,
    /// How far its loop is closed.
    pub loop_state: LoopState,
    /// What it waits for, or why it ended.
    pub loop_reason: String,
}

impl Report {
    /// What the customer ran when reporting, as far as the report says.
    pub fn installation(&self) -> InstallationFacts {
        InstallationFacts {
            version: self.version.clone(),
            platform: self.platform.clone(),
            environment: self.environment.clone().unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
            region: self.region.clone(),
            ring: self.ring.clone(),
        }
    }
}

/// The environment of those who name none.
pub const DEFAULT_ENVIRONMENT: &str = "production";

/// A report's place in its one cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct Membership {
    /// The report.
    pub report_id: ReportId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Where it is.
    pub cluster_id: ClusterId,
    /// Who reported it: kept here too, so that a cluster's audience is one index scan.
    pub customer_id: CustomerId,
    /// The score it was placed with.
    pub score: f64,
    /// Who decided.
    pub origin: Origin,
    /// The key that acted; `None` for the matcher.
    pub actor: Option<String>,
    /// Why.
    pub reason: String,
    /// The operation that put it here; `None` if it never moved.
    pub operation_id: Option<OperationId>,
    /// When it came here.
    pub update_time: Timestamp,
}

/// A report as a caller sends it, with the reporter resolved to nobody yet.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NewReport {
    /// The system that took it.
    pub source: String,
    /// Its reference there.
    pub external_id: String,
    /// Who reports.
    pub reporter: NewReporter,
    /// The product, by key or id; empty if not known.
    pub product: String,
    /// Headline.
    pub title: String,
    /// Words.
    pub body: String,
    /// Version.
    pub version: Option<String>,
    /// Platform, lower case.
    pub platform: Option<String>,
    /// Environment.
    pub environment: Option<String>,
    /// Region.
    pub region: Option<String>,
    /// Ring.
    pub ring: Option<String>,
    /// Grouping key.
    pub fingerprint: Option<String>,
    /// Labels.
    pub labels: Labels,
    /// When it happened.
    pub occurred_time: Option<Timestamp>,
}

/// Who reports, as a caller says it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct NewReporter {
    /// A known customer.
    pub customer_id: Option<CustomerId>,
    /// The caller's own id.
    pub external_id: Option<String>,
    /// How to address them.
    pub display_name: String,
    /// Language tag.
    pub locale: String,
    /// Time zone.
    pub time_zone: String,
    /// Where to reach them.
    pub contact_points: Vec<ContactAddress>,
}

/// Most characters of a report's headline.
pub const MAX_TITLE: usize = 1_000;
/// Most characters of a report's body.
pub const MAX_BODY: usize = 100_000;
const MAX_LABELS: usize = 32;

impl NewReport {
    /// Everything that is wrong with it. A dry run needs neither a reference nor a reporter.
    pub fn check(&self, dry_run: bool, violations: &mut Violations) {
        if !(dry_run && self.source.is_empty()) {
            violations.name("report.source", &self.source);
        }
        if dry_run {
            violations.text("report.external_id", &self.external_id, 256);
        } else {
            violations.required_text("report.external_id", &self.external_id, 256);
            self.reporter.check("report.reporter", violations);
        }
        if self.title.trim().is_empty() && self.body.trim().is_empty() {
            violations.add("report.title", "title or body is required; set at least one");
        }
        violations.text("report.title", &self.title, MAX_TITLE);
        violations.text("report.body", &self.body, MAX_BODY);
        violations.text("report.product", &self.product, 128);
        for (field, value, max) in [
            ("report.version", &self.version, 128),
            ("report.platform", &self.platform, 64),
            ("report.environment", &self.environment, 64),
            ("report.region", &self.region, 64),
            ("report.ring", &self.ring, 64),
            ("report.fingerprint", &self.fingerprint, 256),
        ] {
            violations.text(field, value.as_deref().unwrap_or_default(), max);
        }
        if self.labels.0.len() > MAX_LABELS {
            violations.add("report.labels", format!("has {} labels; send at most {MAX_LABELS}", self.labels.0.len()));
        }
        for (key, value) in &self.labels.0 {
            violations.required_text(&format!("report.labels[{key:?}]"), key, 64);
            violations.text(&format!("report.labels[{key:?}]"), value, 256);
        }
    }
}

impl NewReporter {
    fn check(&self, path: &str, violations: &mut Violations) {
        if self.customer_id.is_none() && self.external_id.is_none() && self.contact_points.is_empty() {
            violations.add(path, "says nothing about who reports; set customer_id, external_id or a contact point");
        }
        violations.text(&format!("{path}.external_id"), self.external_id.as_deref().unwrap_or_default(), 256);
        super::customer::check_person(path, &self.display_name, &self.locale, &self.time_zone, violations);
        super::customer::check_contact_points(path, &self.contact_points, violations);
    }
}
