//! What `CustomerService` promises beyond the laws.

use tonic::Code;

use crate::support::proto::*;
use crate::support::{Server, a_report, fields, reason};

fn mail(address: &str) -> ContactPointInput {
    ContactPointInput { channel: Channel::Email.into(), address: address.to_owned() }
}

#[tokio::test]
async fn an_upsert_finds_a_customer_by_any_name_and_adds_to_them() {
    let server = Server::start().await;
    let upsert = async |request: UpsertCustomerRequest| {
        server.customers().upsert_customer(request).await.map(tonic::Response::into_inner)
    };
    let first = upsert(UpsertCustomerRequest {
        external_id: "c-1".to_owned(),
        display_name: "Ada".to_owned(),
        locale: "en-GB".to_owned(),
        time_zone: "Europe/London".to_owned(),
        contact_points: vec![mail("ada@example.org")],
        ..Default::default()
    });
    let first = first.await.expect("a customer");
    assert!(first.created);
    let ada = first.customer.clone().expect("her");
    let more = upsert(UpsertCustomerRequest {
        contact_points: vec![mail("ADA@example.org"), mail("ada@work.example")],
        ..Default::default()
    });
    let more = more.await.expect("the same");
    assert!(!more.created);
    let again = more.customer.clone().expect("her");
    assert_eq!(
        (again.id.as_str(), again.display_name.as_str(), again.locale.as_str()),
        (ada.id.as_str(), "Ada", "en-GB")
    );
    let addresses: Vec<_> = again.contact_points.iter().map(|contact| contact.address.as_str()).collect();
    assert_eq!(addresses, ["ada@example.org", "ada@work.example"]);
    let same = upsert(UpsertCustomerRequest {
        customer_id: ada.id.clone(),
        display_name: "Ada".to_owned(),
        ..Default::default()
    });
    let same = same.await.expect("nothing new");
    assert!(same.replayed && !same.created && !more.replayed && !first.replayed);
    assert_eq!(same.customer.expect("her").etag, again.etag, "nothing changed");

    let other = upsert(UpsertCustomerRequest {
        external_id: "c-2".to_owned(),
        contact_points: vec![mail("ben@example.org")],
        ..Default::default()
    });
    other.await.expect("another");
    let taken = upsert(UpsertCustomerRequest {
        external_id: "c-2".to_owned(),
        contact_points: vec![mail("ada@example.org")],
        ..Default::default()
    });
    let refused = taken.await.expect_err("it is Ada's");
    assert!(
        matches!(refused.code(), Code::InvalidArgument | Code::AlreadyExists | Code::FailedPrecondition),
        "{refused:?}"
    );
    reason(&refused);
}

#[tokio::test]
async fn all_that_is_wrong_with_a_customer_is_named_at_once() {
    let server = Server::start().await;
    let request = UpsertCustomerRequest {
        external_id: "e".repeat(257),
        display_name: "n".repeat(257),
        locale: "not a locale".to_owned(),
        time_zone: "Mars/Olympus".to_owned(),
        contact_points: vec![ContactPointInput { channel: 0, address: "x".to_owned() }],
        ..Default::default()
    };
    let refused = server.customers().upsert_customer(request).await.expect_err("much is wrong");
    assert_eq!(fields(&refused), ["contact_points[0].channel", "display_name", "external_id", "locale", "time_zone"]);
    let nobody = server.customers().upsert_customer(UpsertCustomerRequest::default()).await.expect_err("nobody");
    assert_eq!(reason(&nobody), "FIELD_INVALID");
}

#[tokio::test]
async fn an_installation_is_one_per_product_platform_and_environment() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    let record = async |version: &str, platform: &str| {
        let request = RecordInstallationRequest {
            customer_id: ada.customer_id.clone(),
            product: "app".to_owned(),
            version: version.to_owned(),
            platform: platform.to_owned(),
            ..Default::default()
        };
        server.customers().record_installation(request).await.expect("an installation").into_inner()
    };
    record("2.4.0", "windows").await;
    record("2.4.1", "Windows").await;
    record("2.4.0", "linux").await;
    let customer = server.customer(&ada.customer_id).await;
    let mut known: Vec<_> = customer.installations.iter().map(|it| format!("{} {}", it.platform, it.version)).collect();
    known.sort();
    assert_eq!(known, ["linux 2.4.0", "windows 2.4.1"]);
    let request = RecordInstallationRequest {
        customer_id: ada.customer_id.clone(),
        product: "none".to_owned(),
        ..Default::default()
    };
    let refused = server.customers().record_installation(request).await.expect_err("unknown");
    assert!(matches!(refused.code(), Code::NotFound | Code::InvalidArgument), "{refused:?}");
}

#[tokio::test]
async fn what_a_recorded_installation_leaves_empty_is_unknown_and_what_a_report_leaves_out_stays() {
    let server = Server::start().await;
    let full = a_report().from("ada@example.org").version("2.4.0").with(|input| {
        input.region = "eu".to_owned();
        input.ring = "beta".to_owned();
    });
    let ada = server.submit(full).await;
    let runs = async || {
        let mut all = server.customer(&ada.customer_id).await.installations;
        assert_eq!(all.len(), 1, "{all:?}");
        let known = all.remove(0);
        (known.version, known.region, known.ring)
    };
    let texts = |version: &str, region: &str, ring: &str| (version.to_owned(), region.to_owned(), ring.to_owned());
    server.submit(a_report().from("ada@example.org").version("2.4.1")).await;
    assert_eq!(runs().await, texts("2.4.1", "eu", "beta"));
    let request = RecordInstallationRequest {
        customer_id: ada.customer_id.clone(),
        product: "app".to_owned(),
        region: "us".to_owned(),
        ..Default::default()
    };
    let recorded = server.customers().record_installation(request).await.expect("running it, version unknown");
    let answered = recorded.into_inner().installation.expect("it");
    assert_eq!((answered.version, answered.region, answered.ring), texts("", "us", ""));
    assert_eq!(runs().await, texts("", "us", ""));
    // What nobody knows any more is not spoken of (law 7).
    server.link(&ada, "github:acme/app#12").await;
    server.release(crate::support::a_release("2.4.2").fixing("github:acme/app#12")).await;
    server.run_until_idle().await;
    assert_eq!(server.loop_of(&ada).await, "OPEN coverage_unknown");
    server.now_runs(&ada, "2.4.1").await;
    server.run_until_idle().await;
    assert_eq!(server.loop_of(&ada).await, "TOLD told");
}

#[tokio::test]
async fn preferences_name_contact_points_of_this_customer_only() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("ada@example.org")).await;
    let ben = server.submit(a_report().from("ben@example.org")).await;
    let theirs = server.customer(&ben.customer_id).await.contact_points.remove(0).id;
    let request = UpdatePreferencesRequest {
        customer_id: ada.customer_id.clone(),
        opt_out_contact_point_ids: vec![theirs],
        ..Default::default()
    };
    let refused = server.customers().update_preferences(request).await.expect_err("it is Ben's");
    assert!(["RESOURCE_NOT_FOUND", "FIELD_INVALID"].contains(&reason(&refused).as_str()), "{refused:?}");
    assert_eq!(server.customer(&ben.customer_id).await.contact_points[0].state(), contact_point::State::Active);
    let own = server.customer(&ada.customer_id).await.contact_points.remove(0).id;
    let both = UpdatePreferencesRequest {
        customer_id: ada.customer_id,
        opt_out_contact_point_ids: vec![own.clone()],
        opt_in_contact_point_ids: vec![own],
        ..Default::default()
    };
    let refused = server.customers().update_preferences(both).await.expect_err("in and out");
    assert_eq!(reason(&refused), "FIELD_INVALID");
}

#[tokio::test]
async fn a_timeline_is_paged_and_in_order() {
    let server = Server::start().await;
    let mut reports = Vec::new();
    for _ in 0..5 {
        reports.push(server.submit(a_report().from("ada@example.org")).await);
    }
    let (mut entries, mut page_token) = (Vec::new(), String::new());
    loop {
        let request = GetTimelineRequest { customer_id: reports[0].customer_id.clone(), page_size: 2, page_token };
        let page = server.customers().get_timeline(request).await.expect("a page").into_inner();
        assert!(page.entries.len() <= 2);
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let submitted: Vec<_> =
        entries.iter().filter(|entry| entry.r#type == "report.submitted").map(|entry| &entry.subject).collect();
    assert_eq!(submitted, reports.iter().map(|report| &report.id).collect::<Vec<_>>());
    assert!(entries.iter().all(|entry| !entry.summary.is_empty()));
}
