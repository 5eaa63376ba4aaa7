//! Customers, where to reach them, and what they run.

use serde::Serialize;

use super::coverage::InstallationFacts;
use super::id::{ContactPointId, CustomerId, InstallationId, ProductId, TenantId};
use super::text_enum;
use super::time::Timestamp;
use super::violation::{Violations, field_path};

text_enum! {
    /// A way to reach people.
    pub enum ChannelKind {
        /// Mail.
        Email = "EMAIL",
        /// A signed HTTP POST.
        Webhook = "WEBHOOK",
        /// A help desk that watches and posts itself.
        Stream = "STREAM",
    }
}

text_enum! {
    /// Whether a contact point may be used.
    pub enum ContactState {
        /// It may.
        Active = "ACTIVE",
        /// The customer unsubscribed it.
        OptedOut = "OPTED_OUT",
        /// Its server says that it does not exist.
        Bounced = "BOUNCED",
    }
}

/// One human.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customer {
    /// Its id.
    pub id: CustomerId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The caller's own id.
    pub external_id: Option<String>,
    /// How to address them; empty if unknown.
    pub display_name: String,
    /// BCP 47 tag; empty if unknown.
    pub locale: String,
    /// IANA time zone; empty takes the tenant's.
    pub time_zone: String,
    /// They want to hear nothing at all.
    pub opted_out: bool,
    /// Rises with every change.
    pub version: i64,
    /// When first seen.
    pub create_time: Timestamp,
    /// When last changed.
    pub update_time: Timestamp,
}

/// One address of a customer on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactPoint {
    /// Its id.
    pub id: ContactPointId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The customer.
    pub customer_id: CustomerId,
    /// The channel.
    pub channel: ChannelKind,
    /// As given.
    pub address: String,
    /// In the form in which two addresses are compared: see [`canonical_address`].
    pub canonical_address: String,
    /// Whether it may be used.
    pub state: ContactState,
    /// Unguessable; unsubscribes exactly this contact point.
    pub unsubscribe_token: String,
    /// Order of preference, lowest first.
    pub position: i32,
    /// When first given.
    pub create_time: Timestamp,
    /// When its state last changed.
    pub update_time: Timestamp,
}

/// What a customer runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Installation {
    /// Its id.
    pub id: InstallationId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Who runs it.
    pub customer_id: CustomerId,
    /// What it is.
    pub product_id: ProductId,
    /// Its version, if known.
    pub version: Option<String>,
    /// Its platform, lower case; empty if unknown.
    pub platform: String,
    /// Its environment.
    pub environment: String,
    /// Its region, if known.
    pub region: Option<String>,
    /// Its ring, if known.
    pub ring: Option<String>,
    /// When first heard of.
    pub create_time: Timestamp,
    /// When last heard of.
    pub last_seen_time: Timestamp,
}

impl Installation {
    /// Takes over what a later word about the same installation says; what it leaves out stays.
    pub fn hear(&mut self, later: &Self) {
        for (known, given) in
            [(&mut self.version, &later.version), (&mut self.region, &later.region), (&mut self.ring, &later.ring)]
        {
            if given.is_some() {
                known.clone_from(given);
            }
        }
        self.last_seen_time = later.last_seen_time;
    }

    /// What coverage needs to know of it.
    pub fn facts(&self) -> InstallationFacts {
        InstallationFacts {
            version: self.version.clone(),
            platform: (!self.platform.is_empty()).then(|| self.platform.clone()),
            environment: self.environment.clone(),
            region: self.region.clone(),
            ring: self.ring.clone(),
        }
    }
}

/// An address as a caller gives it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ContactAddress {
    /// The channel; `None` if the caller named none that is known.
    pub channel: Option<ChannelKind>,
    /// The address.
    pub address: String,
}

/// The form in which addresses are compared. Mail addresses differ by case only in theory (RFC 5321, 2.4); a host's
/// case never matters.
pub fn canonical_address(channel: ChannelKind, address: &str) -> String {
    match channel {
        ChannelKind::Email => address.trim().to_lowercase(),
        ChannelKind::Webhook | ChannelKind::Stream => address.trim().to_owned(),
    }
}

const MAX_CONTACT_POINTS: usize = 16;

/// Checks what is said about a person.
pub fn check_person(path: &str, display_name: &str, locale: &str, time_zone: &str, violations: &mut Violations) {
    violations.text(&field_path(path, "display_name"), display_name, 256);
    let tag = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if locale.len() > 35 || !locale.chars().all(tag) {
        violations.add(field_path(path, "locale"), "is not a BCP 47 language tag; send one like en-GB, or none");
    }
    if !time_zone.is_empty() && time_zone.parse::<chrono_tz::Tz>().is_err() {
        violations.add(field_path(path, "time_zone"), "is not an IANA time zone; send one like Europe/Berlin, or none");
    }
}

/// Checks the shape of addresses; the channels check what they can dial.
pub fn check_contact_points(path: &str, contact_points: &[ContactAddress], violations: &mut Violations) {
    if contact_points.len() > MAX_CONTACT_POINTS {
        let count = contact_points.len();
        violations.add(
            field_path(path, "contact_points"),
            format!("has {count} contact points; send at most {MAX_CONTACT_POINTS}"),
        );
    }
    for (index, contact) in contact_points.iter().enumerate() {
        let field = field_path(path, &format!("contact_points[{index}]"));
        let Some(channel) = contact.channel else {
            violations.add(format!("{field}.channel"), "is required; set EMAIL, WEBHOOK or STREAM");
            continue;
        };
        let max = if channel == ChannelKind::Email { 320 } else { 2_000 };
        violations.required_text(&format!("{field}.address"), &contact.address, max);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_mailbox_is_one_contact_point_however_it_is_spelt() {
        let canonical = |address| canonical_address(ChannelKind::Email, address);
        assert_eq!(canonical("Ada@Example.org "), canonical("ada@example.org"));
    }
}
