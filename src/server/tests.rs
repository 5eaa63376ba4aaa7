//! The doors, knocked at from outside.

use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::codec::CompressionEncoding;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus};
use tonic_types::StatusExt;

use super::*;
use crate::config::LoadOptions;
use crate::domain::customer::ContactState;
use crate::grpc::proto;
use crate::grpc::proto::customer_service_client::CustomerServiceClient;
use crate::grpc::proto::report_service_client::ReportServiceClient;

async fn start(overrides: &[&str]) -> (Running, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let mut all = vec![
        format!("data_dir={}", dir.path().display()),
        "grpc.listen=127.0.0.1:0".to_owned(),
        "http.listen=127.0.0.1:0".to_owned(),
    ];
    all.extend(overrides.iter().map(|text| (*text).to_owned()));
    let config = Config::load(LoadOptions { overrides: all, ..LoadOptions::default() }).expect("settings");
    let options = StartOptions { clock: Clock::system(), run_passes: false };
    (Server::start(config, options).await.expect("a server"), dir)
}

fn channel(running: &Running) -> Channel {
    Endpoint::from_shared(format!("http://{}", running.grpc_address)).expect("an address").connect_lazy()
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().expect("every error has it").reason
}

async fn health(client: &mut HealthClient<Channel>, service: &str) -> Result<ServingStatus, Code> {
    let answer = client.check(HealthCheckRequest { service: service.to_owned() }).await;
    answer.map(|answer| answer.into_inner().status()).map_err(|status| status.code())
}

/// What the page door answers to a raw request.
async fn page(running: &Running, request: &str) -> String {
    let mut stream = TcpStream::connect(running.http_address).await.expect("open");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    answer
}

#[test]
fn the_second_look_can_be_switched_off_and_slowed_down() {
    let period = |flags: &[&str]| {
        let overrides = flags.iter().map(|&flag| flag.to_owned()).collect();
        let config = Config::load(LoadOptions { overrides, ..LoadOptions::default() }).expect("settings");
        let Config { reconcile, delivery, idempotency, matching, .. } = &config;
        let passes = worker::passes(&worker::Settings::new(reconcile, delivery, idempotency, matching));
        let (looks, others): (Vec<_>, Vec<_>) = passes.iter().partition(|pass| pass.name == "second look");
        assert_eq!(others.len(), 6, "nothing else is");
        looks.first().map(|pass| pass.period)
    };
    assert_eq!(period(&[]), Some(Duration::from_secs(1)));
    assert_eq!(period(&["matching.second_look_poll=1m"]), Some(Duration::from_secs(60)));
    assert_eq!(period(&["matching.second_look=false"]), None);
}

#[tokio::test]
async fn every_service_is_healthy_and_needs_a_key() {
    let (running, _dir) = start(&[]).await;
    let mut client = HealthClient::new(channel(&running));
    for name in ["", "hearback.v1.ReportService", "hearback.v1.AdminService"] {
        assert_eq!(health(&mut client, name).await, Ok(ServingStatus::Serving), "{name}");
    }
    assert_eq!(health(&mut client, "hearback.v1.NoService").await, Err(Code::NotFound));
    let mut reports = ReportServiceClient::new(channel(&running));
    let status = reports.get_report(proto::GetReportRequest::default()).await.expect_err("no key");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unauthenticated, "CREDENTIALS_MISSING"));
    running.shut_down().await;
}

#[tokio::test]
async fn a_new_database_gives_its_first_key_and_an_old_one_does_not() {
    let (running, dir) = start(&[]).await;
    let key = running.first_key.as_ref().expect("a new database").text.clone();
    let mut reports = ReportServiceClient::new(channel(&running));
    let mut request = tonic::Request::new(proto::ListReportsRequest::default());
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().expect("plain text"));
    assert!(reports.list_reports(request).await.is_ok());
    running.shut_down().await;
    let (again, _) = start(&[&format!("data_dir={}", dir.path().display())]).await;
    assert!(again.first_key.is_none());
}

#[tokio::test]
async fn what_is_too_large_or_not_known_is_said_with_a_reason() {
    let (running, _dir) = start(&["grpc.max_message_bytes=16384", "grpc.max_stream_message_bytes=16384"]).await;
    let mut reports = ReportServiceClient::new(channel(&running)).send_compressed(CompressionEncoding::Gzip);
    for size in [20_000, 20_000_000] {
        let request = proto::GetReportRequest { report_id: "x".repeat(size) };
        let status = reports.get_report(request).await.expect_err("too large, once unpacked");
        assert_eq!((status.code(), reason(&status).as_str()), (Code::ResourceExhausted, "MESSAGE_TOO_LARGE"));
    }
    let mut grpc = tonic::client::Grpc::new(channel(&running));
    grpc.ready().await.expect("open");
    let codec = tonic_prost::ProstCodec::<proto::GetReportRequest, proto::GetReportResponse>::default();
    let path = "/hearback.v1.ReportService/Guess".parse().expect("a path");
    let status = grpc.unary(tonic::Request::new(proto::GetReportRequest::default()), path, codec).await;
    let status = status.expect_err("no such method");
    assert_eq!((status.code(), reason(&status).as_str()), (Code::Unimplemented, "UNSUPPORTED"));
}

#[tokio::test]
async fn going_down_waits_neither_for_silent_connections_nor_for_health_watchers() {
    let (running, _dir) = start(&[]).await;
    let silent = TcpStream::connect(running.grpc_address).await.expect("open");
    let mut client = HealthClient::new(channel(&running));
    let mut watch = client.watch(HealthCheckRequest::default()).await.expect("open").into_inner();
    assert_eq!(watch.message().await.expect("news").expect("a status").status(), ServingStatus::Serving);
    let begin = Instant::now();
    let (grpc, pages) = (running.grpc_address, running.http_address);
    running.shut_down().await;
    assert!(begin.elapsed() < Duration::from_secs(20), "well before the deadline of 25 s");
    assert_eq!(watch.message().await.expect("news").expect("a status").status(), ServingStatus::NotServing);
    assert!(TcpStream::connect(grpc).await.is_err() && TcpStream::connect(pages).await.is_err());
    drop(silent);
}

#[tokio::test]
async fn a_browser_at_the_wrong_door_is_told_so() {
    let (running, _dir) = start(&[]).await;
    let mut stream = TcpStream::connect(running.grpc_address).await.expect("open");
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}

#[tokio::test]
async fn probes_are_answered_and_pages_are_safe() {
    let (running, _dir) = start(&[]).await;
    for probe in ["livez", "readyz", "startupz"] {
        let answer = page(&running, &format!("GET /{probe} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    }
    let answer = page(&running, "GET /u/nobodys HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 404 ") && answer.contains("<h1>This link is not known</h1>"), "{answer}");
    for header in
        ["content-security-policy: default-src 'none'", "referrer-policy: no-referrer", "cache-control: no-store"]
    {
        assert!(answer.contains(header), "{header} is missing in {answer}");
    }
    let long = format!(
        "POST /u/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 5000\r\n\r\n{}",
        "x".repeat(5000)
    );
    assert!(page(&running, &long).await.starts_with("HTTP/1.1 413 "));
    running.shut_down().await;
}

#[tokio::test]
async fn law_12_a_link_changes_nothing_and_one_click_unsubscribes_that_address_only() {
    let (running, _dir) = start(&[]).await;
    let key = &running.first_key.as_ref().expect("a new database").text;
    let mut customers = CustomerServiceClient::new(channel(&running));
    let address =
        |address: &str| proto::ContactPointInput { channel: proto::Channel::Email.into(), address: address.to_owned() };
    let mut request = tonic::Request::new(proto::UpsertCustomerRequest {
        external_id: "ada".to_owned(),
        contact_points: vec![address("ada@example.org"), address("ada@work.example")],
        ..Default::default()
    });
    request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().expect("plain text"));
    let customer = customers.upsert_customer(request).await.expect("stored").into_inner().customer.expect("a customer");
    let id = customer.id.parse().expect("our id");
    let call = running.app.authenticate(key, running.app.clock.now()).await.expect("the first key");
    let reader = running.app.read(&call);
    let contacts = async || crate::store::customer::contact_points_of(&reader, &[id]).await.expect("readable");
    let found = contacts().await;
    let ada = found.iter().find(|contact| contact.address == "ada@example.org").expect("stored");

    let path = format!("/u/{}", ada.unsubscribe_token);
    let asked = page(&running, &format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).await;
    assert!(asked.starts_with("HTTP/1.1 200 OK") && asked.contains("<form method=\"post\">"), "{asked}");
    assert!(!asked.contains("ada@example.org"), "whoever has the link need not learn the address");
    let post = |body: &str| {
        let length = body.len();
        let kind = "content-type: application/x-www-form-urlencoded";
        format!(
            "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{kind}\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    assert!(page(&running, &post("something=else")).await.starts_with("HTTP/1.1 400 "));
    assert!(contacts().await.iter().all(|contact| contact.state == ContactState::Active));

    for _ in 0..2 {
        assert!(page(&running, &post("List-Unsubscribe=One-Click")).await.starts_with("HTTP/1.1 200 OK"));
        for contact in contacts().await {
            let expected =
                if contact.address == "ada@example.org" { ContactState::OptedOut } else { ContactState::Active };
            assert_eq!(contact.state, expected);
        }
    }
}

#[tokio::test]
async fn a_server_that_cannot_start_says_which_setting_is_in_the_way() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let dir = tempfile::tempdir().expect("a temporary folder");
    let overrides = vec![
        format!("data_dir={}", dir.path().display()),
        format!("grpc.listen={}", taken.local_addr().expect("bound")),
    ];
    let config = Config::load(LoadOptions { overrides, ..LoadOptions::default() }).expect("settings");
    let error = Server::start(config, StartOptions::default()).await.err().expect("the port is taken");
    assert!(error.to_string().contains("grpc.listen"), "{error}");
}
