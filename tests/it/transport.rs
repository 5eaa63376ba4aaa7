//! What every call passes: limits, deadlines, room, shutdown; and health and reflection beside the services.

use std::time::Duration;

use futures::StreamExt;
use prost::Message;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_types::StatusExt;

use crate::support::api::Api;
use crate::support::every::{self, Things};
use crate::support::proto::*;
use crate::support::{Caller, Server, a_report, browser, fields, reason, soon};

/// Fields of requests that are not looked at, because only the server sets them or the mask does not name them, and etags,
/// which are only compared.
const READS_ANYTHING: [&str; 7] = [
    "cluster.product_id",
    "cluster.defect_ids",
    "cluster.merged_into_cluster_id",
    "cluster.key_terms",
    "cluster.etag",
    "policy.time_zone",
    "policy.etag",
];

/// While it is held, nobody else writes for this tenant.
async fn hold_the_pen(server: &Server) -> hearback::store::Txn {
    let call = server.app().authenticate(server.key(), server.clock.now()).await.expect("the first key");
    server.app().begin(&call).await.expect("a transaction")
}

/// A write that waits for the pen, once it has been let in.
fn write(server: &Server) -> tokio::task::JoinHandle<Result<String, tonic::Status>> {
    let caller: Caller = (**server).clone();
    tokio::spawn(async move {
        loop {
            let request = UpsertProductRequest { key: "late".to_owned(), ..Default::default() };
            match caller.admin().upsert_product(request).await {
                Ok(answer) => return Ok(answer.into_inner().product.expect("it").key),
                // Whoever asks whether it is in progress was there first.
                Err(status) if is_overloaded(&status) => tokio::task::yield_now().await,
                Err(status) => return Err(status),
            }
        }
    })
}

fn is_overloaded(status: &tonic::Status) -> bool {
    status.get_details_error_info().is_some_and(|info| info.reason == "OVERLOADED")
}

/// Returns when a call is in progress: with room for one, another is told to come back.
async fn is_in_progress(server: &Server) -> tonic::Status {
    soon("the call to be let in", async {
        loop {
            match server.admin().get_tenant(GetTenantRequest {}).await {
                Err(status) => return status,
                Ok(_) => tokio::task::yield_now().await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_as_such() {
    let server = Server::start().await;
    let report = a_report().from("ada@example.org").body(&"x".repeat(5 << 20));
    let refused = server.try_submit(report).await.expect_err("too large");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    let defect = UpsertDefectRequest { title: "x".repeat(2 << 20), ..Default::default() };
    let refused = server.defects().upsert_defect(defect).await.expect_err("too large");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    let report = a_report().from("ada@example.org").body(&"x".repeat(100_001));
    let refused = server.try_submit(report).await.expect_err("too long");
    assert_eq!(crate::support::fields(&refused), ["report.body"]);
    server.submit(a_report().from("ada@example.org").body(&"ü".repeat(100_000))).await;
}

#[tokio::test]
async fn a_single_call_and_a_message_of_a_stream_have_limits_of_their_own() {
    let server = Server::start_with(|config| {
        config.grpc.max_message_bytes = 16_384;
        config.grpc.max_stream_message_bytes = 65_536;
    })
    .await;
    let sized = |size: usize| {
        let request =
            |body: usize| a_report().from("ada@example.org").reference("L-1").body(&"x".repeat(body)).request();
        let rest = request(size - 500).encoded_len() - (size - 500);
        let request = request(size - rest);
        assert_eq!(request.encoded_len(), size);
        request
    };
    server.reports().submit_report(sized(16_384)).await.expect("as large as may be");
    let refused = server.reports().submit_report(sized(16_385)).await.expect_err("one byte more");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    let message = refused.message();
    assert!(message.contains("16384") && message.contains("send or ask for less"), "{message}");
    let dry_run = MatchReportRequest { report: sized(20_000).report, ..Default::default() };
    let refused = server.reports().match_report(dry_run).await.expect_err("a single call, too");
    assert_eq!(reason(&refused), "MESSAGE_TOO_LARGE");

    let stream = async |size: usize| {
        let report = sized(size).report.map(|input| ReportInput { external_id: "L-2".to_owned(), ..input });
        let message = StreamReportsRequest { client_token: "1".to_owned(), report };
        let mut answers =
            server.reports().stream_reports(futures::stream::iter([message])).await.expect("a stream").into_inner();
        answers.message().await
    };
    let answer = stream(40_000).await.expect("it is read").expect("an answer");
    assert!(matches!(answer.result, Some(stream_reports_response::Result::Accepted(_))), "{answer:?}");
    let refused = stream(70_000).await.expect_err("more than a stream's");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
}

#[tokio::test]
async fn a_call_that_takes_too_long_ends_with_its_deadline() {
    let server = Server::start_with(|config| config.grpc.request_timeout = Duration::from_millis(300)).await;
    let pen = hold_the_pen(&server).await;
    let refused = write(&server).await.expect("it ends").expect_err("nobody can write");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::DeadlineExceeded, "DEADLINE_EXCEEDED"));
    drop(pen);
    assert_eq!(write(&server).await.expect("it ends").expect("now it can"), "late");
}

#[tokio::test]
async fn more_calls_than_there_is_room_for_are_told_to_come_back() {
    let server = Server::start_with(|config| config.grpc.max_in_flight = 1).await;
    let pen = hold_the_pen(&server).await;
    let waiting = write(&server);
    let refused = is_in_progress(&server).await;
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "OVERLOADED"));
    assert!(refused.get_details_retry_info().is_some_and(|retry| retry.retry_delay.is_some()));
    drop(pen);
    assert_eq!(waiting.await.expect("it ends").expect("it was let in"), "late");
}

#[tokio::test]
async fn a_server_that_goes_down_finishes_what_has_begun_and_ends_streams() {
    let server = Server::start_with(|config| config.grpc.max_in_flight = 2).await;
    let mut events = server.watch("").await.expect("a watch");
    let first = soon("an event", events.message()).await.expect("it goes on").expect("an event");
    let pen = hold_the_pen(&server).await;
    let waiting = write(&server);
    is_in_progress(&server).await;
    server.begin_to_stop();
    let ended = soon("the stream to end", async {
        loop {
            match events.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ends with a status"),
                Err(status) => return status,
            }
        }
    });
    let ended = ended.await;
    assert_eq!((ended.code(), reason(&ended).as_str()), (Code::Unavailable, "SHUTTING_DOWN"));
    let newcomer = server.with_key(server.key()).await;
    let refused = newcomer.admin().get_tenant(GetTenantRequest {}).await.expect_err("nothing new begins");
    assert_eq!(refused.code(), Code::Unavailable);
    drop(pen);
    assert_eq!(waiting.await.expect("it ends").expect("it had begun"), "late");
    let server = server.restart().await;
    let product = GetProductRequest { product: "late".to_owned() };
    server.admin().get_product(product).await.expect("it was done");
    let mut events = server.watch(&first.resume_token).await.expect("it resumes");
    let next = soon("an event", events.message()).await.expect("it goes on").expect("an event");
    assert_eq!(next.event.expect("an event").sequence, first.event.expect("an event").sequence + 1);
}

#[tokio::test]
async fn a_server_that_cannot_finish_goes_down_at_its_deadline() {
    let server = Server::start_with(|config| {
        config.grpc.drain_timeout = Duration::from_millis(300);
        config.grpc.max_in_flight = 1;
    })
    .await;
    let pen = hold_the_pen(&server).await;
    let waiting = write(&server);
    is_in_progress(&server).await;
    let server = soon("the server to restart", async {
        let restarted = tokio::spawn(server.restart());
        // The pen belongs to the old process, which would have taken it along.
        waiting.await.expect("it ends").expect_err("it was cut off");
        drop(pen);
        restarted.await.expect("it comes up again")
    })
    .await;
    server.submit(a_report().from("ada@example.org")).await;
}

#[tokio::test]
async fn health_is_told_for_the_server_and_each_service_without_a_key() {
    let server = Server::start().await;
    let nobody = server.with_key("").await;
    let mut health = HealthClient::new(nobody.channel());
    let services =
        Api::read().methods.into_iter().map(|method| method.path.split('/').next().expect("a service").to_owned());
    for service in services.chain([String::new()]) {
        let request = HealthCheckRequest { service: service.clone() };
        let answer = health.check(request).await.unwrap_or_else(|status| panic!("{service}: {status:?}"));
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving, "{service}");
    }
    let request = HealthCheckRequest { service: "nothing".to_owned() };
    assert_eq!(health.check(request).await.expect_err("unknown").code(), Code::NotFound);

    let request = HealthCheckRequest { service: String::new() };
    let mut watch = health.watch(request).await.expect("a watch").into_inner();
    assert_eq!(
        soon("its state", watch.message()).await.expect("a state").expect("a state").status(),
        ServingStatus::Serving
    );
    let down = tokio::spawn(server.shut_down());
    let next = soon("its next state", watch.next()).await;
    if let Some(Ok(next)) = next {
        assert_eq!(next.status(), ServingStatus::NotServing);
    }
    down.await.expect("it goes down");
}

#[tokio::test]
async fn reflection_describes_the_api_in_both_versions() {
    let server = Server::start().await;
    let nobody = server.with_key("").await;
    macro_rules! describes {
        ($version:ident) => {{
            use tonic_reflection::pb::$version::ServerReflectionRequest;
            use tonic_reflection::pb::$version::server_reflection_client::ServerReflectionClient;
            use tonic_reflection::pb::$version::server_reflection_request::MessageRequest;
            use tonic_reflection::pb::$version::server_reflection_response::MessageResponse;
            let ask = |message| ServerReflectionRequest { host: String::new(), message_request: Some(message) };
            let requests = futures::stream::iter([
                ask(MessageRequest::ListServices(String::new())),
                ask(MessageRequest::FileContainingSymbol("hearback.v1.ReportService".to_owned())),
            ]);
            let mut client = ServerReflectionClient::new(nobody.channel());
            let mut answers = client.server_reflection_info(requests).await.expect("reflection").into_inner();
            let first = answers.message().await.expect("an answer").expect("an answer").message_response;
            let Some(MessageResponse::ListServicesResponse(list)) = first else { panic!("{first:?}") };
            let services: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
            for method in Api::read().methods {
                let service = method.path.split('/').next().expect("a service").to_owned();
                assert!(services.contains(&service), "{service} in {services:?}");
            }
            let second = answers.message().await.expect("an answer").expect("an answer").message_response;
            let Some(MessageResponse::FileDescriptorResponse(file)) = second else { panic!("{second:?}") };
            assert!(!file.file_descriptor_proto.is_empty());
        }};
    }
    describes!(v1);
    describes!(v1alpha);
}

#[tokio::test]
async fn reflection_can_be_switched_off() {
    use tonic_reflection::pb::v1::ServerReflectionRequest;
    use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
    let server = Server::start_with(|config| config.grpc.reflection = false).await;
    let mut client = ServerReflectionClient::new(server.channel());
    let requests = futures::stream::iter([ServerReflectionRequest::default()]);
    let refused = client.server_reflection_info(Request::new(requests)).await.expect_err("it is off");
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn a_method_that_does_not_exist_is_unimplemented_with_a_reason() {
    let server = Server::start().await;
    for path in ["hearback.v1.ReportService/DeleteEverything", "hearback.v2.ReportService/GetReport", "nothing/at-all"]
    {
        let refused = server.raw(path, Vec::new()).await.expect_err(path);
        assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unimplemented, "UNSUPPORTED"), "{path}");
    }
}

#[tokio::test]
async fn a_browser_at_the_wrong_door_is_told_so() {
    let server = Server::start().await;
    let answer = browser().get(server.grpc_url()).send().await.expect("an answer");
    assert_eq!(answer.status(), 426);
}

/// Of every method: a wrong idempotency key is named beside every other field that is wrong.
#[tokio::test]
async fn everything_wrong_with_a_request_is_named_at_once() {
    let server = Server::start().await;
    let things = Things::of(&server, &server).await;
    let api = Api::read();
    let wrong = async |path: &str, message: Vec<u8>| match server.raw(path, message).await {
        Err(refused) if reason(&refused) == "FIELD_INVALID" => fields(&refused),
        _ => Vec::new(),
    };
    let mut forgotten = Vec::new();
    for (path, _, message) in every::requests(&things) {
        let strings = api.strings(&api.method(&path).input);
        let first = strings.iter().find(|field| ["request_id", "page_token"].contains(&field.name.as_str()));
        let Some(first) = first else { continue };
        let message = [message, first.encode("neither a UUID nor a token")].concat();
        if wrong(&path, message.clone()).await != [first.name.clone()] {
            forgotten.push(format!("{path} {}", first.name));
        }
        for field in strings.iter().filter(|field| field.name != first.name) {
            let broken = field.encode(&"a\0".repeat(2_500));
            let alone = wrong(&path, [message.clone(), broken].concat()).await;
            let counts = alone.len() > 1 || READS_ANYTHING.contains(&field.name.as_str());
            if !counts || !alone.contains(&first.name) {
                forgotten.push(format!("{path} {} beside {}: {alone:?}", field.name, first.name));
            }
        }
        for number in api.numbers(&api.method(&path).input).iter().filter(|number| number.name == "page_size") {
            let alone = wrong(&path, [message.clone(), number.encode_number(-1)].concat()).await;
            if alone.len() != 2 {
                forgotten.push(format!("{path} page_size beside {}: {alone:?}", first.name));
            }
        }
    }
    assert!(forgotten.is_empty(), "{forgotten:#?}");
}
