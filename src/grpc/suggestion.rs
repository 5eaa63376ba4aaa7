//! Suggestions on the wire. They are a part of `ClusterService`.

use crate::app::cluster::operation::check_reason;
use crate::app::suggestion::{Answer, SuggestionView};
use crate::app::{Call, Error};
use crate::domain::filter::{Operator, Term};
use crate::domain::id::SuggestionId;
use crate::domain::suggestion::{SuggestionKind, SuggestionState};
use crate::domain::violation::Violations;
use crate::store::suggestion::SuggestionFilter;

use super::Api;
use super::cluster::encode_operation;
use super::convert::{noted_id, timestamp};
use super::list::{Asked, ListFields, any_id, any_of, encode_page, equal, unknown_field};
use super::proto;
use super::report::encode_signal;

fn encode(view: SuggestionView) -> proto::Suggestion {
    let SuggestionView { suggestion, placed, cluster, from } = view;
    let kind = match suggestion.kind {
        SuggestionKind::Placement => proto::suggestion::Kind::Placement,
        SuggestionKind::Merge => proto::suggestion::Kind::Merge,
        SuggestionKind::Split => proto::suggestion::Kind::Split,
    };
    let state = match suggestion.state {
        SuggestionState::Pending => proto::suggestion::State::Pending,
        SuggestionState::Confirmed => proto::suggestion::State::Confirmed,
        SuggestionState::Rejected => proto::suggestion::State::Rejected,
        SuggestionState::Withdrawn => proto::suggestion::State::Withdrawn,
    };
    proto::Suggestion {
        id: suggestion.id.to_string(),
        report_id: suggestion.report_id.to_string(),
        report_title: crate::domain::cluster::title_of(&placed.report.title, &placed.report.body),
        report_cluster_id: placed.membership.cluster_id.to_string(),
        cluster_id: cluster.id.to_string(),
        cluster_title: cluster.title,
        score: suggestion.score,
        signals: suggestion.signals.0.into_iter().map(encode_signal).collect(),
        state: state.into(),
        operation_id: suggestion.operation_id.map(|id| id.to_string()).unwrap_or_default(),
        actor: suggestion.actor.unwrap_or_default(),
        create_time: Some(timestamp(suggestion.create_time)),
        resolve_time: suggestion.resolve_time.map(timestamp),
        kind: kind.into(),
        from_cluster_id: from.as_ref().map(|from| from.id.to_string()).unwrap_or_default(),
        from_cluster_title: from.map(|from| from.title).unwrap_or_default(),
        report_ids: suggestion.report_ids.iter().map(ToString::to_string).collect(),
    }
}

fn read_filter(asked: &Asked<SuggestionId>, violations: &mut Violations) -> SuggestionFilter {
    let score = |text: &str| match text.parse::<f64>() {
        Ok(score) if (0.0..=1.0).contains(&score) => Ok(score),
        _ => Err("a number from 0 to 1".to_owned()),
    };
    let mut filter = SuggestionFilter::default();
    for term in &asked.terms {
        match (term.field.as_str(), term.operator) {
            ("kind", _) => equal(term, &mut filter.kind, any_of(SuggestionKind::ALL), violations),
            ("state", _) => equal(term, &mut filter.state, any_of(SuggestionState::ALL), violations),
            ("report_id", _) => equal(term, &mut filter.report, any_id, violations),
            ("cluster_id", _) => equal(term, &mut filter.cluster, any_id, violations),
            ("score", Operator::AtLeast) => {
                let term = Term { operator: Operator::Equal, ..term.clone() };
                equal(&term, &mut filter.min_score, score, violations);
            }
            ("score", _) => {
                violations.add("filter", format!("score knows only >=; write score >= {}", term.value));
            }
            _ => unknown_field(term, "kind, state, report_id, cluster_id or score", violations),
        }
    }
    filter
}

/// `ListSuggestions`.
pub(crate) async fn list(
    api: &Api,
    call: &Call,
    request: &proto::ListSuggestionsRequest,
) -> Result<proto::ListSuggestionsResponse, Error> {
    let fields = ListFields {
        list: "suggestions",
        page_size: request.page_size,
        page_token: &request.page_token,
        filter: &request.filter,
        order_by: &request.order_by,
    };
    let mut violations = Violations::new();
    let asked: Asked<SuggestionId> = fields.read(&mut violations);
    let filter = read_filter(&asked, &mut violations);
    violations.into_result()?;
    let page = api.app.list_suggestions(call, &filter, asked.direction, asked.after, asked.size).await?;
    let (suggestions, next) = encode_page(page, |view| view.suggestion.id, encode);
    Ok(proto::ListSuggestionsResponse { suggestions, next_page_token: fields.next(next) })
}

/// `ResolveSuggestion`. `violations` is what is wrong with it already.
pub(crate) async fn resolve(
    api: &Api,
    call: &Call,
    request: &proto::ResolveSuggestionRequest,
    mut violations: Violations,
) -> Result<proto::ResolveSuggestionResponse, Error> {
    use proto::resolve_suggestion_request::Answer as Asked;
    let id = noted_id("suggestion_id", &request.suggestion_id, &mut violations);
    check_reason(&request.reason, &mut violations);
    let answer = match request.answer() {
        Asked::Confirm => Some(Answer::Confirm),
        Asked::Reject => Some(Answer::Reject),
        Asked::Unspecified => {
            violations.add("answer", "is required; send ANSWER_CONFIRM or ANSWER_REJECT");
            None
        }
    };
    let Some(answer) = answer.filter(|_| violations.is_empty()) else { return Err(Error::Invalid(violations)) };
    let done = api.app.resolve_suggestion(call, id, answer, &request.reason).await?;
    Ok(proto::ResolveSuggestionResponse {
        suggestion: Some(encode(done.result.view)),
        operation: done.result.operation.map(encode_operation),
        replayed: done.replayed,
    })
}
