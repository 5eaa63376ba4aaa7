//! Reports.

use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use crate::domain::explanation::{Grounds, Signals};
use crate::domain::id::{ClusterId, CustomerId, ProductId, ReportId, TenantId};
use crate::domain::report::Report;
use crate::domain::report::{Labels, LoopState, PlacementDecision};
use crate::domain::time::Timestamp;

#[sea_orm::model]
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "report")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: ReportId,
    pub tenant_id: TenantId,
    pub source: String,
    pub external_id: String,
    pub customer_id: CustomerId,
    pub product_id: Option<ProductId>,
    pub title: String,
    pub body: String,
    pub version: Option<String>,
    pub platform: Option<String>,
    pub environment: Option<String>,
    pub region: Option<String>,
    pub ring: Option<String>,
    pub fingerprint: Option<String>,
    pub labels: Labels,
    pub occurred_time: Option<Timestamp>,
    pub create_time: Timestamp,
    pub decision: PlacementDecision,
    pub decision_score: f64,
    pub decision_cluster_id: ClusterId,
    pub suggested_cluster_id: Option<ClusterId>,
    pub signals: Signals,
    pub grounds: Option<Grounds>,
    pub loop_state: LoopState,
    pub loop_reason: String,
}

impl ActiveModelBehavior for ActiveModel {}

impl From<Model> for Report {
    fn from(row: Model) -> Self {
        Self {
            id: row.id,
            tenant_id: row.tenant_id,
            source: row.source,
            external_id: row.external_id,
            customer_id: row.customer_id,
            product_id: row.product_id,
            title: row.title,
            body: row.body,
            version: row.version,
            platform: row.platform,
            environment: row.environment,
            region: row.region,
            ring: row.ring,
            fingerprint: row.fingerprint,
            labels: row.labels,
            occurred_time: row.occurred_time,
            create_time: row.create_time,
            decision: row.decision,
            decision_score: row.decision_score,
            decision_cluster_id: row.decision_cluster_id,
            suggested_cluster_id: row.suggested_cluster_id,
            signals: row.signals,
            grounds: row.grounds,
            loop_state: row.loop_state,
            loop_reason: row.loop_reason,
        }
    }
}

impl From<Report> for ActiveModel {
    fn from(value: Report) -> Self {
        Self {
            id: Set(value.id),
            tenant_id: Set(value.tenant_id),
            source: Set(value.source),
            external_id: Set(value.external_id),
            customer_id: Set(value.customer_id),
            product_id: Set(value.product_id),
            title: Set(value.title),
            body: Set(value.body),
            version: Set(value.version),
            platform: Set(value.platform),
            environment: Set(value.environment),
            region: Set(value.region),
            ring: Set(value.ring),
            fingerprint: Set(value.fingerprint),
            labels: Set(value.labels),
            occurred_time: Set(value.occurred_time),
            create_time: Set(value.create_time),
            decision: Set(value.decision),
            decision_score: Set(value.decision_score),
            decision_cluster_id: Set(value.decision_cluster_id),
            suggested_cluster_id: Set(value.suggested_cluster_id),
            signals: Set(value.signals),
            grounds: Set(value.grounds),
            loop_state: Set(value.loop_state),
            loop_reason: Set(value.loop_reason),
        }
    }
}
