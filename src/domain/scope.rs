//! What an API key may do.

use serde::{Deserialize, Serialize};

use super::text_enum;

text_enum! {
    /// One permission.
    pub enum Scope {
        /// Read reports, products, and match.
        ReportsRead = "reports.read",
        /// Submit reports.
        ReportsWrite = "reports.write",
        /// Read clusters.
        ClustersRead = "clusters.read",
        /// Move, merge, split, link, update.
        ClustersWrite = "clusters.write",
        /// Read defects.
        DefectsRead = "defects.read",
        /// Record defects.
        DefectsWrite = "defects.write",
        /// Read releases and coverage.
        ReleasesRead = "releases.read",
        /// Record releases and deployments.
        ReleasesWrite = "releases.write",
        /// Read customers and their timelines.
        CustomersRead = "customers.read",
        /// Record customers, installations, preferences.
        CustomersWrite = "customers.write",
        /// Read announcements and deliveries, preview.
        AnnouncementsRead = "announcements.read",
        /// Approve and cancel announcements.
        AnnouncementsApprove = "announcements.approve",
        /// Deliver announcements on the stream.
        AnnouncementsDeliver = "announcements.deliver",
        /// Watch the history.
        EventsRead = "events.read",
        /// All of the above, and the tenant's keys, products and policy.
        Admin = "admin",
        /// All of the above, and tenants.
        Operator = "operator",
    }
}

/// What one key may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(pub Vec<Scope>);

impl Scopes {
    /// Whether this lets a caller do what needs `scope`.
    pub fn allow(&self, scope: Scope) -> bool {
        self.0
            .iter()
            .any(|&held| held == scope || held == Scope::Operator || (held == Scope::Admin && scope != Scope::Operator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_may_everything_but_tenants_and_operator_may_those_too() {
        let admin = Scopes(vec![Scope::Admin]);
        let operator = Scopes(vec![Scope::Operator]);
        let reader = Scopes(vec![Scope::ReportsRead]);
        for &scope in Scope::ALL {
            assert!(operator.allow(scope));
            assert_eq!(admin.allow(scope), scope != Scope::Operator, "{scope}");
            assert_eq!(reader.allow(scope), scope == Scope::ReportsRead, "{scope}");
        }
    }
}
