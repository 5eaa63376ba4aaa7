//! Whose data a query may see.

use crate::domain::id::TenantId;

/// The right to see one tenant's rows. Only this module's siblings make one: from a verified key, or from work the
/// service itself stored for the tenant. There is no query without it (law 13).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TenantScope(TenantId);

impl TenantScope {
    pub(in crate::store) const fn new(tenant: TenantId) -> Self {
        Self(tenant)
    }

    /// The tenant.
    pub const fn tenant(self) -> TenantId {
        self.0
    }
}
