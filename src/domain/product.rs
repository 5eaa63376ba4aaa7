//! Products: what customers run, and how its versions compare.

use serde::{Deserialize, Serialize};

use super::id::{ProductId, TenantId};
use super::time::Timestamp;
use super::version::VersionScheme;

/// Names of release lines, such as `2.3` and `2.4`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lines(pub Vec<String>);

/// What customers run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// Its id.
    pub id: ProductId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// The tenant's own key for it.
    pub key: String,
    /// Its name in messages to customers.
    pub display_name: String,
    /// How its versions compare.
    pub version_scheme: VersionScheme,
    /// Its maintained lines.
    pub lines: Lines,
    /// Rises with every change.
    pub version: i64,
    /// When it was created.
    pub create_time: Timestamp,
}
