//! Suggestions that wait for a person's word, and those that were answered.

use sea_orm::sea_query::{Expr, Query};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect};

use crate::domain::id::{ClusterId, OperationId, ReportId, SuggestionId};
use crate::domain::suggestion::{Suggestion, SuggestionState};
use crate::domain::time::Timestamp;

use super::entity::{membership, suggestion};
use super::error::StoreError;
use super::{Direction, Page, Reader, Txn, chunks};

/// What a list of suggestions is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct SuggestionFilter {
    /// In this state.
    pub state: Option<SuggestionState>,
    /// About this report.
    pub report: Option<ReportId>,
    /// Of this cluster, under the id it had when the suggestion was made.
    pub cluster: Option<ClusterId>,
    /// With this score at least.
    pub min_score: Option<f64>,
}

/// Stores new suggestions.
pub async fn insert(txn: &Txn, suggestions: Vec<Suggestion>) -> Result<(), StoreError> {
    for chunk in chunks(suggestions) {
        let rows = chunk.into_iter().map(suggestion::ActiveModel::from);
        suggestion::Entity::insert_many(rows).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// One suggestion.
pub async fn find(db: &Reader<'_>, id: SuggestionId) -> Result<Option<Suggestion>, StoreError> {
    let row = suggestion::Entity::find_by_id(id).filter(suggestion::Column::TenantId.eq(db.tenant()));
    Ok(row.one(db.db()).await?.map(Suggestion::from))
}

/// A page of suggestions by age. The key of a page is its last suggestion.
pub async fn list(
    db: &Reader<'_>,
    filter: &SuggestionFilter,
    direction: Direction,
    after: Option<SuggestionId>,
    size: u64,
) -> Result<Page<Suggestion, SuggestionId>, StoreError> {
    use suggestion::Column;
    let mut all = Condition::all()
        .add(Column::TenantId.eq(db.tenant()))
        .add_option(filter.state.map(|state| Column::State.eq(state)))
        .add_option(filter.report.map(|id| Column::ReportId.eq(id)))
        .add_option(filter.cluster.map(|id| Column::ClusterId.eq(id)))
        .add_option(filter.min_score.map(|score| Column::Score.gte(score)));
    let query = match direction {
        Direction::Ascending => {
            all = all.add_option(after.map(|id| Column::Id.gt(id)));
            suggestion::Entity::find().order_by_asc(Column::Id)
        }
        Direction::Descending => {
            all = all.add_option(after.map(|id| Column::Id.lt(id)));
            suggestion::Entity::find().order_by_desc(Column::Id)
        }
    };
    let rows = query.filter(all).limit(size + 1).all(db.db()).await?;
    let suggestions = rows.into_iter().map(Suggestion::from).collect();
    Ok(Page::cut(suggestions, size, |suggestion: &Suggestion| suggestion.id))
}

/// The last answers that people gave since a moment: how sure the matcher was, and what they said.
pub async fn answers(db: &Reader<'_>, since: Timestamp, limit: u64) -> Result<Vec<(f64, SuggestionState)>, StoreError> {
    use suggestion::Column;
    let mut answers = Vec::new();
    for state in [SuggestionState::Confirmed, SuggestionState::Rejected] {
        let rows: Vec<(SuggestionId, f64)> = suggestion::Entity::find()
            .select_only()
            .columns([Column::Id, Column::Score])
            .filter(Column::TenantId.eq(db.tenant()))
            .filter(Column::State.eq(state))
            .filter(Column::ResolveTime.gte(since))
            .order_by_desc(Column::Id)
            .limit(limit)
            .into_tuple()
            .all(db.db())
            .await?;
        answers.extend(rows.into_iter().map(|(id, score)| (id, score, state)));
    }
    answers.sort_unstable_by_key(|&(id, ..)| std::cmp::Reverse(id));
    answers.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok(answers.into_iter().map(|(_, score, state)| (score, state)).collect())
}

/// The suggestions without an answer about reports that are in this cluster now.
pub async fn pending_of_members(db: &Reader<'_>, cluster: ClusterId) -> Result<Vec<Suggestion>, StoreError> {
    let members = Query::select()
        .column(membership::Column::ReportId)
        .from(membership::Entity)
        .and_where(membership::Column::ClusterId.eq(cluster))
        .to_owned();
    let rows = suggestion::Entity::find()
        .filter(suggestion::Column::TenantId.eq(db.tenant()))
        .filter(suggestion::Column::State.eq(SuggestionState::Pending))
        .filter(suggestion::Column::ReportId.in_subquery(members))
        .all(db.db())
        .await?;
    Ok(rows.into_iter().map(Suggestion::from).collect())
}

/// A person answered, by a step if there was anything to do.
pub async fn resolve(
    txn: &Txn,
    ids: impl IntoIterator<Item = SuggestionId>,
    state: SuggestionState,
    operation: Option<OperationId>,
) -> Result<(), StoreError> {
    for ids in chunks(ids) {
        suggestion::Entity::update_many()
            .col_expr(suggestion::Column::State, Expr::value(state))
            .col_expr(suggestion::Column::OperationId, Expr::value(operation))
            .col_expr(suggestion::Column::Actor, Expr::value(txn.actor()))
            .col_expr(suggestion::Column::ResolveTime, Expr::value(txn.now()))
            .filter(suggestion::Column::TenantId.eq(txn.scope().tenant()))
            .filter(suggestion::Column::Id.is_in(ids))
            .exec(txn.db())
            .await?;
    }
    Ok(())
}

/// The step that carried out an answer was taken back: the question stands again.
pub async fn reopen(txn: &Txn, operation: OperationId) -> Result<(), StoreError> {
    suggestion::Entity::update_many()
        .col_expr(suggestion::Column::State, Expr::value(SuggestionState::Pending))
        .col_expr(suggestion::Column::OperationId, Expr::value(None::<OperationId>))
        .col_expr(suggestion::Column::Actor, Expr::value(None::<String>))
        .col_expr(suggestion::Column::ResolveTime, Expr::value(None::<i64>))
        .filter(suggestion::Column::TenantId.eq(txn.scope().tenant()))
        .filter(suggestion::Column::OperationId.eq(operation))
        .exec(txn.db())
        .await?;
    Ok(())
}
