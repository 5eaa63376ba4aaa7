//! Ids: a prefix that says what they name, and a UUIDv7 inside, so that they sort by the time they were made.
//!
//! In text an id is its prefix, an underscore and 32 lower-case hex digits: `rep_0192f3c4…`. A wrong prefix does not
//! parse, so a cluster's id can never be taken for a report's.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

/// Why a text is not an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is not an id of the form {prefix}_ followed by 32 hexadecimal digits")]
pub struct ParseIdError {
    /// The prefix that was expected.
    pub prefix: &'static str,
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// What its text form begins with, without the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// A new id that sorts after all earlier ones of this process.
            #[allow(clippy::new_without_default)]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }

            /// The UUID inside.
            pub const fn uuid(self) -> Uuid {
                self.0
            }

            /// The id around a UUID that was taken out of one before.
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                text.strip_prefix(concat!($prefix, "_"))
                    .filter(|hex| hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
                    .and_then(|hex| Uuid::try_parse(hex).ok())
                    .map(Self)
                    .ok_or(ParseIdError { prefix: $prefix })
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    )+

        /// Calls another macro with the name of every id type, so that a floor below can teach them to its framework.
        macro_rules! for_each_id {
            ($each:ident) => { $($each!($name);)+ };
        }
        pub(crate) use for_each_id;
    };
}

ids! {
    /// Names a tenant.
    TenantId = "ten";
    /// Names an API key. Not secret.
    ApiKeyId = "key";
    /// Names a product.
    ProductId = "prd";
    /// Names a customer.
    CustomerId = "cus";
    /// Names a contact point.
    ContactPointId = "cpt";
    /// Names an installation.
    InstallationId = "ins";
    /// Names a report.
    ReportId = "rep";
    /// Names a cluster.
    ClusterId = "clu";
    /// Names an operation that can be undone.
    OperationId = "opr";
    /// Names a suggestion.
    SuggestionId = "sug";
    /// Names a constraint.
    ConstraintId = "con";
    /// Names a defect.
    DefectId = "def";
    /// Names a release.
    ReleaseId = "rel";
    /// Names a deployment.
    DeploymentId = "dep";
    /// Names an announcement.
    AnnouncementId = "ann";
    /// Names a delivery.
    DeliveryId = "dlv";
    /// Names an attempt.
    AttemptId = "att";
    /// Names a statement of the told-truth ledger.
    StatementId = "sta";
    /// Names an event.
    EventId = "evt";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_from_its_text() {
        let id = ReportId::new();
        assert_eq!(id.to_string().parse::<ReportId>(), Ok(id));
    }

    #[test]
    fn another_kind_of_id_does_not_parse() {
        assert!(ClusterId::new().to_string().parse::<ReportId>().is_err());
        for wrong in ["", "rep_", "rep_x", "rep_0192f3c4-0000-7000-8000-000000000000"] {
            assert!(wrong.parse::<ReportId>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let ids: Vec<_> = (0..100).map(|_| ReportId::new()).collect();
        assert!(ids.is_sorted());
    }
}
