//! What suggestions promise: a person's yes or no is carried out, can be taken back, and is obeyed from then on.

use crate::support::proto::resolve_suggestion_request::Answer;
use crate::support::proto::suggestion::State;
use crate::support::proto::*;
use crate::support::{Server, a_report, fields, reason};

/// Ada reported a problem of the app; Bob said the same words without naming the app, so nobody can be sure.
async fn unsure(server: &Server) -> (Report, Report, Suggestion) {
    let ada = server.submit(a_report().from("ada@example.org")).await;
    let bob = server.submit(a_report().from("bob@example.org").product("")).await;
    assert_ne!(ada.cluster_id, bob.cluster_id);
    let suggestion = server.list_suggestions("state = PENDING").await.remove(0);
    assert_eq!((&suggestion.report_id, &suggestion.cluster_id), (&bob.id, &ada.cluster_id));
    (ada, bob, suggestion)
}

async fn home(server: &Server, report: &Report) -> String {
    server.report(&report.id).await.cluster_id
}

#[tokio::test]
async fn a_suggestion_says_what_it_is_about_and_why() {
    let server = Server::start().await;
    let (ada, bob, suggestion) = unsure(&server).await;
    assert_eq!(suggestion.state(), State::Pending);
    assert_eq!((&suggestion.report_cluster_id, &suggestion.cluster_title), (&bob.cluster_id, &ada.title));
    assert_eq!(suggestion.report_title, bob.title);
    assert!((0.0..=1.0).contains(&suggestion.score) && !suggestion.signals.is_empty(), "{suggestion:?}");
    for (filter, count) in [
        (format!("report_id = {}", bob.id), 1),
        (format!("report_id = {}", ada.id), 0),
        (format!("cluster_id = {}", ada.cluster_id), 1),
        ("state = REJECTED".to_owned(), 0),
        ("score >= 0.01".to_owned(), 1),
    ] {
        assert_eq!(server.list_suggestions(&filter).await.len(), count, "{filter}");
    }
}

#[tokio::test]
async fn a_yes_puts_the_report_where_it_belongs_and_can_be_taken_back() {
    let server = Server::start().await;
    let (ada, bob, suggestion) = unsure(&server).await;
    let answered = server.resolve(&suggestion, Answer::Confirm).await;
    let now = answered.suggestion.expect("the suggestion");
    let step = answered.operation.expect("a step");
    assert_eq!((now.state(), &now.operation_id), (State::Confirmed, &step.id));
    assert!(now.actor.starts_with("key_") && now.resolve_time.is_some());
    assert_eq!(home(&server, &bob).await, ada.cluster_id);
    assert_eq!(server.cluster(&ada.cluster_id).await.report_count, 2);

    server.undo(&step).await;
    assert_eq!(home(&server, &bob).await, bob.cluster_id);
    let again = server.list_suggestions("state = PENDING").await;
    assert_eq!(again, [suggestion], "the question stands as it stood before");
}

#[tokio::test]
async fn a_yes_for_a_report_in_company_moves_the_report_alone() {
    let server = Server::start().await;
    let (ada, bob, suggestion) = unsure(&server).await;
    let other = server.submit(a_report().from("eve@example.org").product("").saying("The map stays empty")).await;
    server.move_report(&other, &bob.cluster_id).await;
    let step = server.resolve(&suggestion, Answer::Confirm).await.operation.expect("a step");
    assert_eq!(step.kind(), operation::Kind::Move);
    assert_eq!(home(&server, &bob).await, ada.cluster_id);
    assert_eq!(home(&server, &other).await, bob.cluster_id);
}

#[tokio::test]
async fn law_5_a_no_is_obeyed_from_then_on() {
    let server = Server::start().await;
    let (ada, bob, suggestion) = unsure(&server).await;
    let answered = server.resolve(&suggestion, Answer::Reject).await;
    assert_eq!(answered.suggestion.expect("the suggestion").state(), State::Rejected);
    assert_eq!(home(&server, &bob).await, bob.cluster_id);
    // Who says what Bob said is not put before anybody again.
    let twin = server.submitted(a_report().from("carl@example.org").product("")).await;
    assert_eq!(twin.report.expect("a report").cluster_id, bob.cluster_id);
    assert!(server.list_suggestions(&format!("cluster_id = {}", ada.cluster_id)).await.len() == 1);

    server.undo(&answered.operation.expect("a step")).await;
    assert_eq!(server.list_suggestions("state = PENDING").await, [suggestion]);
}

#[tokio::test]
async fn the_same_answer_again_changes_nothing_and_another_one_is_refused() {
    let server = Server::start().await;
    let (_, _, suggestion) = unsure(&server).await;
    let first = server.resolve(&suggestion, Answer::Reject).await;
    let again = server.resolve(&suggestion, Answer::Reject).await;
    assert!(!first.replayed && again.replayed);
    assert_eq!(first.operation, again.operation);

    let request = ResolveSuggestionRequest {
        suggestion_id: suggestion.id.clone(),
        answer: Answer::Confirm.into(),
        ..ResolveSuggestionRequest::default()
    };
    let refused = server.clusters().resolve_suggestion(request).await.expect_err("it was answered");
    assert!(refused.message().contains(&first.operation.expect("a step").id), "{refused:?}");
}

#[tokio::test]
async fn a_merge_or_move_by_hand_answers_what_it_makes_true() {
    let server = Server::start().await;
    let (ada, bob, suggestion) = unsure(&server).await;
    let step = server.merge(&bob.cluster_id, &ada.cluster_id).await;
    let now = server.list_suggestions("state = CONFIRMED").await.remove(0);
    assert_eq!((&now.id, &now.operation_id), (&suggestion.id, &step.id));
    server.undo(&step).await;
    assert_eq!(server.list_suggestions("state = PENDING").await, [suggestion]);

    server.move_report(&bob, &ada.cluster_id).await;
    assert_eq!(server.list_suggestions("state = CONFIRMED").await.len(), 1);
}

#[tokio::test]
async fn an_answer_without_an_id_or_a_word_names_both() {
    let server = Server::start().await;
    let refused = server.clusters().resolve_suggestion(ResolveSuggestionRequest::default()).await.expect_err("empty");
    assert_eq!(reason(&refused), "FIELD_INVALID");
    assert_eq!(fields(&refused), ["answer", "suggestion_id"]);
    let list = ListSuggestionsRequest { filter: "score = 1 AND colour = red".to_owned(), ..Default::default() };
    let refused = server.clusters().list_suggestions(list).await.expect_err("no such filter");
    assert_eq!(fields(&refused), ["filter", "filter"]);
}

async fn calibration(server: &Server) -> Calibration {
    let answer = server.admin().get_calibration(GetCalibrationRequest::default()).await.expect("it").into_inner();
    answer.calibration.expect("it")
}

#[tokio::test]
async fn answers_move_how_sure_the_matcher_has_to_be_and_nothing_else() {
    let server = Server::start().await;
    let (_, bob, suggestion) = unsure(&server).await;
    let before = calibration(&server).await;
    assert!(
        (before.attach_score - 0.9).abs() < 1e-9 && before.suggest_score == 0.15,
        "as the matcher came: {before:?}"
    );
    assert_eq!((before.slope, before.offset), (1.0, 0.0));

    let rejected = server.resolve(&suggestion, Answer::Reject).await;
    let after = calibration(&server).await;
    assert_eq!((after.confirmed_count, after.rejected_count), (0, 1));
    assert!(after.attach_score > before.attach_score && after.suggest_score > before.suggest_score, "{after:?}");
    assert_eq!(home(&server, &bob).await, bob.cluster_id, "what is placed stays");

    server.undo(&rejected.operation.expect("a step")).await;
    assert_eq!(calibration(&server).await, before, "an answer that was taken back has taught nothing");

    let suggestion = server.list_suggestions("state = PENDING").await.remove(0);
    server.resolve(&suggestion, Answer::Confirm).await;
    let bolder = calibration(&server).await;
    assert_eq!((bolder.confirmed_count, bolder.rejected_count), (1, 0));
    assert!(bolder.attach_score < before.attach_score, "{bolder:?}");

    server.clock.advance(std::time::Duration::from_secs(1));
    let reset = server.admin().reset_calibration(ResetCalibrationRequest::default()).await.expect("reset").into_inner();
    let reset = reset.calibration.expect("it");
    assert!(reset.reset_time.is_some());
    assert_eq!(Calibration { reset_time: None, ..reset }, before, "as the matcher came");
    assert_eq!(calibration(&server).await, reset);
}

#[tokio::test]
async fn what_the_policy_asks_for_is_what_is_decided_by() {
    let server = Server::start().await;
    let wanted = async |attach_precision| {
        server.policy(Policy { attach_precision, ..Policy::default() }, &["attach_precision"]).await;
        calibration(&server).await.attach_score
    };
    let ada = a_report().from("ada@example.org").saying("The export to PDF crashes when an invoice has a logo");
    let ada = server.submit(ada).await;
    assert!((wanted(0.999).await - 0.998).abs() < 1e-9);
    let bob = a_report().from("bob@example.org").saying("When there is a logo on an invoice, PDF export crashes");
    let bob = server.submit(bob).await;
    assert_ne!(bob.cluster_id, ada.cluster_id, "alike, and not as alike as that");
    assert!((wanted(0.5).await - 0.15).abs() < 1e-9, "whatever may be, is");
    let cy = a_report().from("cy@example.org").saying("Exporting an invoice with a logo to PDF crashes");
    let cy = server.submit(cy).await;
    assert!([ada.cluster_id, bob.cluster_id].contains(&cy.cluster_id));
    for wrong in [0.2, 1.0, f64::NAN, -1.0] {
        let update = UpdatePolicyRequest {
            policy: Some(Policy { attach_precision: wrong, ..Policy::default() }),
            update_mask: Some(prost_types::FieldMask { paths: vec!["attach_precision".to_owned()] }),
            ..UpdatePolicyRequest::default()
        };
        let refused = server.admin().update_policy(update).await.expect_err("no precision");
        assert_eq!(fields(&refused), ["policy.attach_precision"], "{wrong}");
    }
}
