//! What `AdminService` promises beyond the laws: keys and their scopes, products, policy.

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Code;

use crate::support::api::Api;
use crate::support::caller::paths;
use crate::support::every::{self, Things};
use crate::support::proto::*;
use crate::support::{Server, a_report, fields, minutes, reason, request_id, soon};

/// Every scope but `admin` and `operator`.
const SCOPES: [&str; 14] = [
    "reports.read",
    "reports.write",
    "clusters.read",
    "clusters.write",
    "defects.read",
    "defects.write",
    "releases.read",
    "releases.write",
    "customers.read",
    "customers.write",
    "announcements.read",
    "announcements.approve",
    "announcements.deliver",
    "events.read",
];

#[tokio::test]
async fn every_method_is_refused_without_its_scope_and_let_in_with_it() {
    let server = Server::start().await;
    let things = Things::of(&server, &server).await;
    let api = Api::read();
    for scope in SCOPES.iter().chain(&["admin", "operator"]) {
        assert!(api.methods.iter().any(|method| method.scope == *scope), "{scope} is of use");
    }
    for method in &api.methods {
        assert!(SCOPES.contains(&method.scope.as_str()) || ["admin", "operator"].contains(&method.scope.as_str()));
    }
    let (_, nothing_but_admin) = server.create_key(&["admin"]).await;
    let admin = server.with_key(&nothing_but_admin).await;
    for (path, _, message) in every::requests(&things) {
        let needed = api.method(&path).scope.as_str();
        let refused = if needed == "operator" {
            admin.raw(&path, message.clone()).await.expect_err(&path)
        } else {
            let others: Vec<&str> = SCOPES.iter().copied().filter(|scope| *scope != needed).collect();
            let (_, key) = server.create_key(&others).await;
            server.with_key(&key).await.raw(&path, message.clone()).await.expect_err(&path)
        };
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "SCOPE_MISSING"), "{path}");
        let info = tonic_types::StatusExt::get_details_error_info(&refused).expect("the reason");
        assert_eq!(info.metadata.get("scope").map(String::as_str), Some(needed), "{path}");
        if SCOPES.contains(&needed) {
            let (_, key) = server.create_key(&[needed]).await;
            if let Err(status) = server.with_key(&key).await.raw(&path, message).await {
                assert_ne!(status.code(), Code::PermissionDenied, "{path}: {status:?}");
            }
        }
    }
}

#[tokio::test]
async fn every_method_is_refused_without_a_key_and_with_a_wrong_one() {
    let server = Server::start().await;
    let things = Things::of(&server, &server).await;
    let nobody = server.with_key("").await;
    let mut mistyped = server.key().to_owned();
    let last = mistyped.pop().expect("a key");
    mistyped.push(if last == '0' { '1' } else { '0' });
    let wrong = server.with_key(&mistyped).await;
    for (path, _, message) in every::requests(&things) {
        let refused = nobody.raw(&path, message.clone()).await.expect_err(&path);
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unauthenticated, "CREDENTIALS_MISSING"),
            "{path}"
        );
        let refused = wrong.raw(&path, message).await.expect_err(&path);
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::Unauthenticated, "CREDENTIALS_INVALID"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn a_key_is_shown_once_and_ends_when_it_is_revoked_or_expires() {
    let server = Server::start().await;
    let request = CreateApiKeyRequest {
        request_id: request_id(),
        display_name: "help desk".to_owned(),
        scopes: vec!["reports.write".to_owned()],
        expire_time: Some(prost_types::Timestamp {
            seconds: (server.clock.now() + minutes(10)).micros() / 1_000_000,
            nanos: 0,
        }),
    };
    let first = server.admin().create_api_key(request.clone()).await.expect("a key").into_inner();
    let again = server.admin().create_api_key(request).await.expect("the same").into_inner();
    assert!(again.replayed);
    assert_eq!((again.secret.as_str(), &again.api_key), ("", &first.api_key));
    let desk = server.with_key(&first.secret).await;
    desk.submit(a_report().from("ada@example.org")).await;
    server.clock.advance(minutes(10));
    let refused = desk.try_submit(a_report().from("ada@example.org")).await.expect_err("expired");
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");

    let (id, secret) = server.create_key(&["reports.write"]).await;
    let desk = server.with_key(&secret).await;
    desk.submit(a_report().from("ada@example.org")).await;
    let revoke = RevokeApiKeyRequest { api_key_id: id, ..Default::default() };
    server.admin().revoke_api_key(revoke.clone()).await.expect("revoked");
    let refused = desk.try_submit(a_report().from("ada@example.org")).await.expect_err("revoked");
    assert_eq!(reason(&refused), "CREDENTIALS_INVALID");
    assert!(server.admin().revoke_api_key(revoke).await.expect("it is").into_inner().replayed);

    let keys = server.admin().list_api_keys(ListApiKeysRequest::default()).await.expect("keys").into_inner().api_keys;
    assert_eq!(keys.iter().filter(|key| key.revoke_time.is_some()).count(), 1);
    let shown = format!("{keys:?}");
    assert!(!shown.contains(&secret) && !shown.contains(&first.secret));
}

/// The status that a stream ends with; what comes before it does not count.
async fn end<T>(mut stream: tonic::Streaming<T>) -> tonic::Status {
    soon("the stream to end", async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ends with a status"),
                Err(status) => return status,
            }
        }
    })
    .await
}

#[tokio::test]
async fn streams_end_when_their_key_is_revoked_or_expires() {
    let server = Server::start().await;
    for is_revoked in [true, false] {
        let request = CreateApiKeyRequest {
            display_name: "watcher".to_owned(),
            scopes: ["events.read", "clusters.read", "announcements.deliver", "reports.write"]
                .map(str::to_owned)
                .into(),
            expire_time: Some(prost_types::Timestamp {
                seconds: (server.clock.now() + minutes(10)).micros() / 1_000_000,
                nanos: 0,
            }),
            ..CreateApiKeyRequest::default()
        };
        let key = server.admin().create_api_key(request).await.expect("a key").into_inner();
        let watcher = server.with_key(&key.secret).await;
        let events = watcher.events_service().watch(WatchRequest::default()).await.expect("a watch").into_inner();
        let clusters = watcher.clusters().watch_clusters(WatchClustersRequest::default()).await.expect("a watch");
        let start = watch_announcements_request::Message::Start(watch_announcements_request::Start::default());
        let start = futures::stream::iter([WatchAnnouncementsRequest { message: Some(start) }]);
        let start = start.chain(futures::stream::pending());
        let announcements = watcher.announcements().watch_announcements(start).await.expect("a watch").into_inner();
        let (reports, receiver) = mpsc::channel(4);
        let stream = ReceiverStream::new(receiver);
        let mut answers = watcher.reports().stream_reports(stream).await.expect("a stream").into_inner();
        let report =
            || StreamReportsRequest { report: Some(a_report().from("ada@example.org").input), ..Default::default() };
        reports.send(report()).await.expect("room");
        soon("an answer", answers.message()).await.expect("it goes on").expect("an answer");

        if is_revoked {
            let api_key_id = key.api_key.expect("its facts").id;
            let revoke = RevokeApiKeyRequest { api_key_id, ..Default::default() };
            server.admin().revoke_api_key(revoke).await.expect("revoked");
        } else {
            server.clock.advance(minutes(10));
        }
        reports.send(report()).await.expect("room");
        for ended in [end(events).await, end(clusters.into_inner()).await, end(announcements).await, end(answers).await]
        {
            assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unauthenticated, "CREDENTIALS_INVALID"));
        }
    }
    assert_eq!(server.list_reports("").await.len(), 2, "none came in after the key had ended");
}

#[tokio::test]
async fn nobody_gives_away_more_than_they_have() {
    let server = Server::start().await;
    let (_, key) = server.create_key(&["admin"]).await;
    let admin = server.with_key(&key).await;
    let request = |scope: &str| CreateApiKeyRequest {
        display_name: "k".to_owned(),
        scopes: vec![scope.to_owned()],
        ..CreateApiKeyRequest::default()
    };
    let refused = admin.admin().create_api_key(request("operator")).await.expect_err("more than it has");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::PermissionDenied, "SCOPE_MISSING"));
    let refused = admin.admin().create_api_key(request("everything")).await.expect_err("no scope");
    assert_eq!(reason(&refused), "FIELD_INVALID");
    let refused = admin.admin().create_api_key(CreateApiKeyRequest::default()).await.expect_err("nothing");
    assert_eq!(fields(&refused), ["display_name", "scopes"]);
}

#[tokio::test]
async fn a_products_scheme_cannot_change_and_its_lines_grow() {
    let server = Server::start().await;
    let first = server.product_of("web", "Acme Web", product::VersionScheme::Semver, &["1.0"]).await;
    let second = server.product_of("web", "", product::VersionScheme::Unspecified, &["1.1"]).await;
    assert_eq!((second.id.as_str(), second.display_name.as_str()), (first.id.as_str(), "Acme Web"));
    assert_eq!(second.lines, ["1.0", "1.1"]);
    let request = UpsertProductRequest {
        key: "web".to_owned(),
        version_scheme: product::VersionScheme::Continuous.into(),
        ..UpsertProductRequest::default()
    };
    let refused = server.admin().upsert_product(request).await.expect_err("it has releases");
    assert!(["STATE_FORBIDS", "FIELD_INVALID"].contains(&reason(&refused).as_str()), "{refused:?}");
    for name in ["web", &first.id] {
        let request = GetProductRequest { product: name.to_owned() };
        let product = server.admin().get_product(request).await.expect(name).into_inner().product.expect("it");
        assert_eq!(product.id, first.id);
    }
}

#[tokio::test]
async fn a_policy_is_changed_field_by_field_and_guarded() {
    let server = Server::start().await;
    let read = async || {
        server.admin().get_policy(GetPolicyRequest::default()).await.expect("it").into_inner().policy.expect("it")
    };
    let default = read().await;
    assert!(!default.acknowledge && default.approval_threshold.is_none());
    assert_eq!((default.multi_defect(), default.time_zone.as_str()), (policy::MultiDefect::All, "UTC"));
    let changed =
        server.policy(Policy { approval_threshold: Some(5), ..Policy::default() }, &["approval_threshold"]).await;
    assert_eq!(changed.approval_threshold, Some(5));
    assert_eq!(changed.time_zone, "UTC", "what the mask does not name stays");
    let cleared = server.policy(Policy::default(), &["approval_threshold"]).await;
    assert_eq!(cleared.approval_threshold, None);

    let update = |policy: Policy, mask: &[&str]| UpdatePolicyRequest {
        policy: Some(policy),
        update_mask: Some(paths(mask)),
        ..UpdatePolicyRequest::default()
    };
    let stale = Policy { acknowledge: true, etag: default.etag, ..Policy::default() };
    let refused = server.admin().update_policy(update(stale, &["acknowledge"])).await.expect_err("it changed");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Aborted, "ETAG_MISMATCH"));
    let wrong = Policy {
        settle_delay: Some(prost_types::Duration { seconds: 8 * 24 * 3600, nanos: 0 }),
        quiet_start_minute: Some(60),
        quiet_end_minute: Some(60),
        time_zone: "Mars/Olympus".to_owned(),
        ..Policy::default()
    };
    let mask = ["settle_delay", "quiet_start_minute", "quiet_end_minute", "time_zone"];
    let refused = server.admin().update_policy(update(wrong, &mask)).await.expect_err("much is wrong");
    assert_eq!(fields(&refused), ["policy.quiet_end_minute", "policy.settle_delay", "policy.time_zone"]);
    // What cannot be read is named together with what is wrong, and once.
    let unreadable = Policy {
        multi_defect: 99,
        approval_threshold: Some(-1),
        quiet_start_minute: Some(2_000),
        quiet_end_minute: Some(60),
        time_zone: "Mars/Olympus".to_owned(),
        ..Policy::default()
    };
    let mask = ["quiet_start_minute", "quiet_end_minute", "time_zone", "nothing"];
    let refused = server.admin().update_policy(update(unreadable, &mask)).await.expect_err("more is wrong");
    assert_eq!(
        fields(&refused),
        [
            "policy.approval_threshold",
            "policy.multi_defect",
            "policy.quiet_start_minute",
            "policy.time_zone",
            "update_mask",
        ]
    );
    let refused = server.admin().update_policy(UpdatePolicyRequest::default()).await.expect_err("nothing");
    assert_eq!(fields(&refused), ["policy", "update_mask"]);
    for mask in [&[] as &[&str], &["nothing"]] {
        let refused = server.admin().update_policy(update(Policy::default(), mask)).await.expect_err("which?");
        assert_eq!(reason(&refused), "FIELD_INVALID");
    }
}

#[tokio::test]
async fn an_operator_lists_tenants_and_everybody_reads_their_own() {
    let server = Server::start().await;
    let theirs = server.second_tenant().await;
    let own = theirs.admin().get_tenant(GetTenantRequest {}).await.expect("it").into_inner().tenant.expect("it");
    assert_eq!(own.display_name, "Somebody else");
    let list = server.admin().list_tenants(ListTenantsRequest::default()).await.expect("tenants").into_inner().tenants;
    assert_eq!(list.len(), 2);
    assert!(list.contains(&own));
}
