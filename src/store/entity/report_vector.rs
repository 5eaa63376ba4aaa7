//! What embedders say of reports.

use sea_orm::entity::prelude::*;

use crate::domain::id::{ReportId, TenantId};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "report_vector")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant_id: TenantId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub report_id: ReportId,
    #[sea_orm(primary_key, auto_increment = false)]
    pub embedder: String,
    pub text_hash: String,
    pub vector: Vec<u8>,
    pub create_time: Timestamp,
}

impl ActiveModelBehavior for ActiveModel {}
