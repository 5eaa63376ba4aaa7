//! Suggestions that wait for a person's word, and those that were answered.
//!
//! Those about single reports come with the reports. What a second look proposes has one row for each pair of clusters,
//! or for each cluster and first report that would leave it: a proposal that was withdrawn and is made again is the same.

use std::collections::HashSet;

use sea_orm::sea_query::{Expr, ExprTrait, Query, SelectStatement};
use sea_orm::{ColumnTrait, Condition, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait};

use crate::domain::id::{ClusterId, OperationId, ReportId, SuggestionId};
use crate::domain::suggestion::{Suggestion, SuggestionKind, SuggestionState};
use crate::domain::time::Timestamp;

use super::entity::{membership, suggestion};
use super::error::StoreError;
use super::sql_types::JsonText;
use super::{Direction, Page, Reader, Txn, chunks};

/// Proposals about one cluster that are looked at together, the newest.
const MOST_PROPOSALS: u64 = 5_000;

/// What a list of suggestions is narrowed to.
#[derive(Debug, Clone, Default)]
pub struct SuggestionFilter {
    /// About this.
    pub kind: Option<SuggestionKind>,
    /// In this state.
    pub state: Option<SuggestionState>,
    /// About this report.
    pub report: Option<ReportId>,
    /// Of this cluster, under the id it had when the suggestion was made; of a merge, either.
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
        .add_option(filter.kind.map(|kind| Column::Kind.eq(kind)))
        .add_option(filter.state.map(|state| Column::State.eq(state)))
        .add_option(filter.report.map(|id| Column::ReportId.eq(id)))
        .add_option(filter.cluster.map(|id| Column::ClusterId.eq(id).or(Column::FromClusterId.eq(id))))
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

/// The last answers that people gave since a moment about single reports: how sure the matcher was, and what they said.
pub async fn answers(db: &Reader<'_>, since: Timestamp, limit: u64) -> Result<Vec<(f64, SuggestionState)>, StoreError> {
    use suggestion::Column;
    let mut answers = Vec::new();
    for state in [SuggestionState::Confirmed, SuggestionState::Rejected] {
        let rows: Vec<(SuggestionId, f64)> = suggestion::Entity::find()
            .select_only()
            .columns([Column::Id, Column::Score])
            .filter(Column::TenantId.eq(db.tenant()))
            .filter(Column::Kind.eq(SuggestionKind::Placement))
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

/// The suggestions without an answer about single reports that are in this cluster now.
pub async fn pending_of_members(db: &Reader<'_>, cluster: ClusterId) -> Result<Vec<Suggestion>, StoreError> {
    let members = Query::select()
        .column(membership::Column::ReportId)
        .from(membership::Entity)
        .and_where(membership::Column::ClusterId.eq(cluster))
        .to_owned();
    let rows = suggestion::Entity::find()
        .filter(suggestion::Column::TenantId.eq(db.tenant()))
        .filter(suggestion::Column::Kind.eq(SuggestionKind::Placement))
        .filter(suggestion::Column::State.eq(SuggestionState::Pending))
        .filter(suggestion::Column::ReportId.in_subquery(members))
        .all(db.db())
        .await?;
    Ok(rows.into_iter().map(Suggestion::from).collect())
}

/// What second looks proposed about these clusters and nobody has made true, newest first.
pub async fn proposals_about(db: &Reader<'_>, clusters: &[ClusterId]) -> Result<Vec<Suggestion>, StoreError> {
    use suggestion::Column;
    let mut found = Vec::new();
    for chunk in chunks(clusters.iter().copied()) {
        // Two questions, each along an index of its own.
        for column in [Column::ClusterId, Column::FromClusterId] {
            let rows = suggestion::Entity::find()
                .filter(Column::TenantId.eq(db.tenant()))
                .filter(column.is_in(chunk.clone()))
                .filter(Column::Kind.is_in([SuggestionKind::Merge, SuggestionKind::Split]))
                .filter(Column::State.ne(SuggestionState::Confirmed))
                .order_by_desc(Column::Id)
                .limit(MOST_PROPOSALS)
                .all(db.db())
                .await?;
            found.extend(rows.into_iter().map(Suggestion::from));
        }
    }
    // A merge of two of them was found from both.
    found.sort_by_key(|suggestion| std::cmp::Reverse(suggestion.id));
    found.dedup_by_key(|suggestion| suggestion.id);
    Ok(found)
}

/// Those of these clusters that may be several problems, as long as nobody has answered.
pub async fn flagged(db: &Reader<'_>, clusters: &[ClusterId]) -> Result<HashSet<ClusterId>, StoreError> {
    let mut flagged = HashSet::new();
    for chunk in chunks(clusters.iter().copied()) {
        let rows: Vec<ClusterId> = flags(db)
            .filter(suggestion::Column::ClusterId.is_in(chunk))
            .select_only()
            .column(suggestion::Column::ClusterId)
            .into_tuple()
            .all(db.db())
            .await?;
        flagged.extend(rows);
    }
    Ok(flagged)
}

/// The splits that nobody has answered.
fn flags(db: &Reader<'_>) -> sea_orm::Select<suggestion::Entity> {
    suggestion::Entity::find()
        .filter(suggestion::Column::TenantId.eq(db.tenant()))
        .filter(suggestion::Column::Kind.eq(SuggestionKind::Split))
        .filter(suggestion::Column::State.eq(SuggestionState::Pending))
}

/// The clusters with a split that nobody has answered, to narrow another question.
pub(in crate::store) fn flagged_clusters(db: &Reader<'_>) -> SelectStatement {
    flags(db).select_only().column(suggestion::Column::ClusterId).into_query()
}

/// A proposal is as it is now, and waits for an answer.
pub async fn propose_again(txn: &Txn, proposal: &Suggestion) -> Result<(), StoreError> {
    suggestion::Entity::update_many()
        .col_expr(suggestion::Column::ReportId, Expr::value(proposal.report_id))
        .col_expr(suggestion::Column::ClusterId, Expr::value(proposal.cluster_id))
        .col_expr(suggestion::Column::FromClusterId, Expr::value(proposal.from_cluster_id))
        .col_expr(suggestion::Column::ReportIds, Expr::value(JsonText(proposal.report_ids.clone())))
        .col_expr(suggestion::Column::Score, Expr::value(proposal.score))
        .col_expr(suggestion::Column::Signals, Expr::value(proposal.signals.clone()))
        .col_expr(suggestion::Column::State, Expr::value(SuggestionState::Pending))
        .col_expr(suggestion::Column::ResolveTime, Expr::value(None::<i64>))
        .filter(suggestion::Column::TenantId.eq(txn.scope().tenant()))
        .filter(suggestion::Column::Id.eq(proposal.id))
        .exec(txn.db())
        .await?;
    Ok(())
}

/// What proposals rested on is gone.
pub async fn withdraw(txn: &Txn, ids: impl IntoIterator<Item = SuggestionId>) -> Result<(), StoreError> {
    for ids in chunks(ids) {
        suggestion::Entity::update_many()
            .col_expr(suggestion::Column::State, Expr::value(SuggestionState::Withdrawn))
            .col_expr(suggestion::Column::ResolveTime, Expr::value(txn.now()))
            .filter(suggestion::Column::TenantId.eq(txn.scope().tenant()))
            .filter(suggestion::Column::State.eq(SuggestionState::Pending))
            .filter(suggestion::Column::Id.is_in(ids))
            .exec(txn.db())
            .await?;
    }
    Ok(())
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
