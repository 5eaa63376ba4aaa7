//! Law 13: tenants never meet.

use std::collections::BTreeSet;

use tonic::Code;

use crate::support::api::{Api, FieldPath};
use crate::support::every::{self, About, Things};
use crate::support::proto::*;
use crate::support::raw::Answer;
use crate::support::{Server, a_release, a_report, fields, reason};

#[tokio::test]
async fn law_13_another_tenants_ids_are_not_found_by_any_method() {
    let server = Server::start().await;
    let theirs = server.second_tenant().await;
    let things = Things::of(&server, &theirs).await;
    let before = theirs.history("").await.len();
    for (path, about, message) in every::requests(&things) {
        if !matches!(about, About::Thing | About::Reference(_)) {
            continue;
        }
        let refused = server.raw(&path, message).await.expect_err(&path);
        if let About::Reference(field) = about {
            assert_eq!((refused.code(), fields(&refused)), (Code::InvalidArgument, vec![field.to_owned()]), "{path}");
            continue;
        }
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::NotFound, "RESOURCE_NOT_FOUND"),
            "{path}: {refused:?}"
        );
    }
    let history = theirs.history("").await;
    assert_eq!(history.len(), before + 1, "nothing of theirs changed: {:?}", &history[before..]);
}

/// In any text field of any method. Whoever could tell the two apart could ask which ids others have.
#[tokio::test]
async fn law_13_another_tenants_id_looks_exactly_like_one_that_never_was() {
    let server = Server::start().await;
    let theirs = server.second_tenant().await;
    let their_things = Things::of(&server, &theirs).await;
    let ours = Things::of(&server, &server).await;
    let before = theirs.history("").await.len();
    let api = Api::read();
    let mut told_apart = Vec::new();
    for (path, about, message) in every::requests(&ours) {
        let answer = async |field: &FieldPath, id: &str| {
            let message = [message.clone(), field.encode(id)].concat();
            match server.raw(&path, message).await {
                Ok(_) => "an answer".to_owned(),
                Err(refused) => {
                    let said = (refused.code(), reason(&refused), fields(&refused));
                    format!("{said:?} {}", refused.message().replace(id, "ID"))
                }
            }
        };
        for field in api.strings(&api.method(&path).input) {
            answer(&field, "clu_00000000000000000000000000000000").await; // What can happen once only has happened now.
            // A stream that has nothing to say has to be waited for.
            for id in their_things.ids().into_iter().filter(|id| about != About::Stream || id.starts_with("clu_")) {
                let prefix = id.split('_').next().expect("ids have one");
                let never = format!("{prefix}_{}", "f".repeat(32));
                let (theirs, nobodys) = (answer(&field, &id).await, answer(&field, &never).await);
                if theirs != nobodys {
                    told_apart.push(format!("{path} {}: {theirs} for {id}, {nobodys} for nobody's", field.name));
                }
            }
        }
    }
    assert!(told_apart.is_empty(), "{told_apart:#?}");
    let history = theirs.history("").await;
    // Each look at the history leaves one mark.
    assert_eq!(history.len(), before + 1, "nothing of theirs changed: {:?}", &history[before..]);
}

#[tokio::test]
async fn law_13_lists_and_streams_hold_the_callers_own_things_only() {
    let server = Server::start().await;
    let theirs = server.second_tenant().await;
    let things = Things::of(&server, &theirs).await;
    let api = Api::read();
    for (path, about, message) in every::requests(&things) {
        let method = api.method(&path);
        if about == About::Stream {
            let answer = server.raw(&path, message).await.unwrap_or_else(|status| panic!("{path}: {status:?}"));
            if let Answer::Message(bytes) = answer {
                // Where to resume, or that it is alive; nothing of anybody's.
                let said = api.fields_of(&method.output, &bytes);
                assert!(said == ["resume_token"] || said == ["heartbeat"], "{path}: {said:?}");
            }
        } else if method.name.starts_with("List") && method.name != "ListTenants" {
            let Answer::Message(bytes) = server.raw(&path, message).await.expect("a page") else { panic!("{path}") };
            // Of our own we have a key and a product from the start.
            let own = match method.name.as_str() {
                "ListApiKeys" | "ListProducts" => 1,
                _ => 0,
            };
            assert_eq!(api.count(&method.output, &bytes), own, "{path}");
        }
    }
}

#[tokio::test]
async fn law_13_filters_and_page_tokens_do_not_reach_across() {
    let server = Server::start().await;
    let theirs = server.second_tenant().await;
    let things = Things::of(&server, &theirs).await;
    for filter in [
        format!("cluster_id = {}", things.report.cluster_id),
        format!("customer_id = {}", things.report.customer_id),
        format!("product_id = {}", things.product),
    ] {
        assert_eq!(server.list_reports(&filter).await, [], "{filter}");
    }
    assert_eq!(server.list_deliveries(&format!("announcement_id = {}", things.announcement.id)).await, []);
    let request = ListReportsRequest { page_size: 1, ..Default::default() };
    let page = theirs.reports().list_reports(request.clone()).await.expect("their page").into_inner();
    assert!(!page.next_page_token.is_empty());
    let request = ListReportsRequest { page_token: page.next_page_token, ..request };
    match server.reports().list_reports(request).await {
        Ok(page) => assert_eq!(page.into_inner().reports, []),
        Err(refused) => assert_eq!(reason(&refused), "FIELD_INVALID"),
    }
}

#[tokio::test]
async fn law_13_the_same_names_mean_each_tenants_own() {
    let server = Server::start().await;
    let theirs = server.second_tenant().await;
    let report = a_report().from("ada@example.org").customer("c-1").version("2.4.0").fingerprint("crash-1");
    let ours = server.submitted(report.clone()).await;
    let other = theirs.submitted(report).await;
    assert!(!other.replayed);
    assert_eq!(other.known_problem, None);
    let (ours, other) = (ours.report.expect("a report"), other.report.expect("a report"));
    assert_ne!(ours.cluster_id, other.cluster_id);
    assert_ne!(ours.customer_id, other.customer_id);

    // The same defect and the same release: only theirs is linked and shipped.
    theirs.link(&other, "github:acme/app#12").await;
    server.link(&ours, "github:acme/app#12").await;
    theirs.release(a_release("2.4.1").fixing("github:acme/app#12")).await;
    server.run_until_idle().await;
    let mails = server.mail_to("ada@example.org");
    assert_eq!(mails.len(), 1);
    assert!(mails[0].subject().contains("Their App"), "{}", mails[0].subject());
    assert_eq!(server.loop_of(&ours).await, "OPEN waiting_for_release");
}

#[tokio::test]
async fn law_13_a_request_id_of_another_tenant_is_a_new_one() {
    let server = Server::start().await;
    let theirs = server.second_tenant().await;
    let release = a_release("2.4.1").request_id(&crate::support::request_id());
    let ids: BTreeSet<String> = [server.release(release.clone()).await.id, theirs.release(release).await.id].into();
    assert_eq!(ids.len(), 2);
}

#[tokio::test]
async fn law_13_webhooks_are_signed_with_the_secret_of_their_own_tenant() {
    let receiver = crate::support::Receiver::open().await;
    let server = Server::start().await;
    let theirs = server.second_tenant().await;
    let mut secrets = Vec::new();
    for caller in [&*server, &theirs] {
        let rotated =
            caller.admin().rotate_webhook_secret(RotateWebhookSecretRequest::default()).await.expect("a secret");
        secrets.push(rotated.into_inner().secret);
        let report = caller.submit(a_report().webhook(&receiver.url()).version("2.4.0")).await;
        caller.link(&report, "github:acme/app#12").await;
        caller.release(a_release("2.4.1").fixing("github:acme/app#12")).await;
        server.run_until_idle().await;
    }
    let posts = receiver.posts();
    assert_eq!(posts.len(), 2);
    for (post, at) in posts.iter().zip([0, 1]) {
        assert!(post.is_signed_with(&secrets[at]) && !post.is_signed_with(&secrets[1 - at]));
    }
}
