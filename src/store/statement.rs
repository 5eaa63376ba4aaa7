//! The told-truth ledger, and what the reconciler reads and writes beside it: the reports of customers with their
//! places, and how far their loops are closed.

use sea_orm::sea_query::Expr;
use sea_orm::{ColumnTrait, EntityTrait, FromQueryResult, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef};

use crate::domain::announcement::Stage;
use crate::domain::coverage::{Coverage, InstallationFacts};
use crate::domain::id::{ClusterId, CustomerId, DefectId, DeliveryId, ProductId, ReportId, StatementId};
use crate::domain::ledger::{Statement, StatementState};
use crate::domain::report::{DEFAULT_ENVIRONMENT, LoopState};
use crate::domain::statements::ReportFacts;
use crate::domain::time::Timestamp;

use super::entity::{membership, report, statement};
use super::error::StoreError;
use super::{Reader, Txn, chunks};

/// A report as the reconciler needs it: its place and its facts, without the customer's words.
#[derive(Debug, Clone, FromQueryResult)]
pub struct ReportBrief {
    /// Its id.
    pub id: ReportId,
    /// Who reported.
    pub customer_id: CustomerId,
    /// Where it is.
    pub cluster_id: ClusterId,
    /// What it is about.
    pub product_id: Option<ProductId>,
    /// The system that took it.
    pub source: String,
    /// Its reference there.
    pub external_id: String,
    /// Its headline.
    pub title: String,
    /// What the customer ran.
    pub version: Option<String>,
    /// On which platform.
    pub platform: Option<String>,
    /// In which environment.
    pub environment: Option<String>,
    /// In which region.
    pub region: Option<String>,
    /// In which ring.
    pub ring: Option<String>,
    /// When it was accepted.
    pub create_time: Timestamp,
    /// How far its loop is closed.
    pub loop_state: LoopState,
    /// Why.
    pub loop_reason: String,
}

impl ReportBrief {
    /// What decides about it.
    pub fn facts(&self) -> ReportFacts {
        ReportFacts {
            id: self.id,
            cluster: self.cluster_id,
            product: self.product_id,
            installation: InstallationFacts {
                version: self.version.clone(),
                platform: self.platform.clone(),
                environment: self.environment.clone().unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
                region: self.region.clone(),
                ring: self.ring.clone(),
            },
            create_time: self.create_time,
        }
    }
}

fn report_of_membership() -> RelationDef {
    membership::Entity::belongs_to(report::Entity).from(membership::Column::ReportId).to(report::Column::Id).into()
}

/// The reports of customers, oldest first.
pub async fn reports_of(db: &Reader<'_>, customers: &[CustomerId]) -> Result<Vec<ReportBrief>, StoreError> {
    let mut briefs = Vec::new();
    for chunk in chunks(customers.iter().copied()) {
        let rows = membership::Entity::find()
            .select_only()
            .column(membership::Column::CustomerId)
            .column(membership::Column::ClusterId)
            .columns([
                report::Column::Id,
                report::Column::ProductId,
                report::Column::Source,
                report::Column::ExternalId,
                report::Column::Title,
                report::Column::Version,
                report::Column::Platform,
                report::Column::Environment,
                report::Column::Region,
                report::Column::Ring,
                report::Column::CreateTime,
                report::Column::LoopState,
                report::Column::LoopReason,
            ])
            .join(JoinType::InnerJoin, report_of_membership())
            .filter(membership::Column::TenantId.eq(db.tenant()))
            .filter(membership::Column::CustomerId.is_in(chunk))
            .order_by_asc(membership::Column::ReportId)
            .into_model::<ReportBrief>()
            .all(db.db())
            .await?;
        briefs.extend(rows);
    }
    Ok(briefs)
}

/// A page of the customers who reported a cluster, by id.
pub async fn customers_of_cluster(
    db: &Reader<'_>,
    cluster: ClusterId,
    after: Option<CustomerId>,
    size: u64,
) -> Result<Vec<CustomerId>, StoreError> {
    let mut query = membership::Entity::find()
        .select_only()
        .column(membership::Column::CustomerId)
        .distinct()
        .filter(membership::Column::TenantId.eq(db.tenant()))
        .filter(membership::Column::ClusterId.eq(cluster))
        .order_by_asc(membership::Column::CustomerId)
        .limit(size);
    if let Some(after) = after {
        query = query.filter(membership::Column::CustomerId.gt(after));
    }
    Ok(query.into_tuple().all(db.db()).await?)
}

/// Writes how far loops are closed: reports that come to the same share a statement.
pub async fn set_loops(txn: &Txn, loops: Vec<(ReportId, LoopState, String)>) -> Result<(), StoreError> {
    let mut groups: std::collections::BTreeMap<(LoopState, String), Vec<ReportId>> = Default::default();
    for (report, state, reason) in loops {
        groups.entry((state, reason)).or_default().push(report);
    }
    for ((state, reason), reports) in groups {
        for chunk in chunks(reports) {
            report::Entity::update_many()
                .col_expr(report::Column::LoopState, Expr::value(state))
                .col_expr(report::Column::LoopReason, Expr::value(reason.clone()))
                .filter(report::Column::TenantId.eq(txn.scope().tenant()))
                .filter(report::Column::Id.is_in(chunk))
                .exec(txn.db())
                .await?;
        }
    }
    Ok(())
}

/// Everything these customers were told or are about to be.
pub async fn of_customers(db: &Reader<'_>, customers: &[CustomerId]) -> Result<Vec<Statement>, StoreError> {
    let mut statements = Vec::new();
    for chunk in chunks(customers.iter().copied()) {
        let rows = statement::Entity::find()
            .filter(statement::Column::TenantId.eq(db.tenant()))
            .filter(statement::Column::CustomerId.is_in(chunk))
            .order_by_asc(statement::Column::Id)
            .all(db.db())
            .await?;
        statements.extend(rows.into_iter().map(Statement::from));
    }
    Ok(statements)
}

/// The statements that deliveries carry.
pub async fn of_deliveries(db: &Reader<'_>, deliveries: &[DeliveryId]) -> Result<Vec<Statement>, StoreError> {
    let mut statements = Vec::new();
    for chunk in chunks(deliveries.iter().copied()) {
        let rows = statement::Entity::find()
            .filter(statement::Column::TenantId.eq(db.tenant()))
            .filter(statement::Column::DeliveryId.is_in(chunk))
            .order_by_asc(statement::Column::Id)
            .all(db.db())
            .await?;
        statements.extend(rows.into_iter().map(Statement::from));
    }
    Ok(statements)
}

/// Takes slots. A slot that is taken already is an error: nobody is told twice.
pub async fn insert(txn: &Txn, statements: Vec<Statement>) -> Result<(), StoreError> {
    for chunk in chunks(statements.into_iter().map(statement::ActiveModel::from)) {
        statement::Entity::insert_many(chunk).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// Frees slots of what was never said.
pub async fn delete(txn: &Txn, ids: Vec<StatementId>) -> Result<(), StoreError> {
    for chunk in chunks(ids) {
        statement::Entity::delete_many()
            .filter(statement::Column::TenantId.eq(txn.scope().tenant()))
            .filter(statement::Column::Id.is_in(chunk))
            // What was said is history and stays.
            .filter(statement::Column::State.is_in([StatementState::Pending, StatementState::Suppressed]))
            .exec(txn.db())
            .await?;
    }
    Ok(())
}

/// Frees the slots that deliveries held and never fulfilled.
pub async fn delete_of_deliveries(txn: &Txn, deliveries: &[DeliveryId]) -> Result<(), StoreError> {
    for chunk in chunks(deliveries.iter().copied()) {
        statement::Entity::delete_many()
            .filter(statement::Column::TenantId.eq(txn.scope().tenant()))
            .filter(statement::Column::DeliveryId.is_in(chunk))
            .filter(statement::Column::State.eq(StatementState::Pending))
            .exec(txn.db())
            .await?;
    }
    Ok(())
}

/// What a pending statement rests on now.
pub async fn restate(txn: &Txn, id: StatementId, coverage: &Coverage) -> Result<(), StoreError> {
    statement::Entity::update_many()
        .col_expr(statement::Column::ReleaseId, Expr::value(coverage.release))
        .col_expr(statement::Column::Version, Expr::value(coverage.version.clone().unwrap_or_default()))
        .col_expr(statement::Column::Verdict, Expr::value(coverage.verdict))
        .col_expr(statement::Column::Rule, Expr::value(coverage.rule.as_str()))
        .col_expr(statement::Column::UpdateTime, Expr::value(txn.now()))
        .filter(statement::Column::TenantId.eq(txn.scope().tenant()))
        .filter(statement::Column::Id.eq(id))
        .filter(statement::Column::State.eq(StatementState::Pending))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// The deliveries' pending statements were said, or may have been.
pub async fn told(txn: &Txn, deliveries: &[DeliveryId], state: StatementState) -> Result<(), StoreError> {
    for chunk in chunks(deliveries.iter().copied()) {
        statement::Entity::update_many()
            .col_expr(statement::Column::State, Expr::value(state))
            .col_expr(statement::Column::ToldTime, Expr::value(txn.now()))
            .col_expr(statement::Column::UpdateTime, Expr::value(txn.now()))
            .filter(statement::Column::TenantId.eq(txn.scope().tenant()))
            .filter(statement::Column::DeliveryId.is_in(chunk))
            .filter(statement::Column::State.eq(StatementState::Pending))
            .exec(txn.db())
            .await?;
    }
    Ok(())
}

/// The deliveries' pending statements are not said, for this reason.
pub async fn suppress(txn: &Txn, deliveries: &[DeliveryId], reason: &str) -> Result<(), StoreError> {
    for chunk in chunks(deliveries.iter().copied()) {
        statement::Entity::update_many()
            .col_expr(statement::Column::State, Expr::value(StatementState::Suppressed))
            .col_expr(statement::Column::Reason, Expr::value(reason))
            .col_expr(statement::Column::UpdateTime, Expr::value(txn.now()))
            .filter(statement::Column::TenantId.eq(txn.scope().tenant()))
            .filter(statement::Column::DeliveryId.is_in(chunk))
            .filter(statement::Column::State.eq(StatementState::Pending))
            .exec(txn.db())
            .await?;
    }
    Ok(())
}

/// A correction was said: what it corrects is withdrawn.
pub async fn withdraw(txn: &Txn, customer: CustomerId, defect: DefectId, ordinal: i32) -> Result<(), StoreError> {
    statement::Entity::update_many()
        .col_expr(statement::Column::State, Expr::value(StatementState::Withdrawn))
        .col_expr(statement::Column::WithdrawTime, Expr::value(txn.now()))
        .col_expr(statement::Column::UpdateTime, Expr::value(txn.now()))
        .filter(statement::Column::TenantId.eq(txn.scope().tenant()))
        .filter(statement::Column::CustomerId.eq(customer))
        .filter(statement::Column::DefectId.eq(defect))
        .filter(statement::Column::Stage.eq(Stage::FixAvailable))
        .filter(statement::Column::Ordinal.eq(ordinal))
        .exec(txn.db())
        .await?;
    Ok(())
}
