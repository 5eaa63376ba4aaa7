//! An import against servers that misbehave.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use futures::Stream;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream as Receiving, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Streaming};

use super::*;
use crate::cli::client::endpoint;
use crate::grpc::proto::report_service_server::{ReportService, ReportServiceServer};

/// What a server does with the report in this place of a stream, beside answering it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mood {
    /// Break the stream instead.
    Break(Code),
    /// Say that it is too busy for this one.
    Busy,
}

/// A server that keeps what it accepted, and has moods: one for each stream, at a place in it.
#[derive(Clone, Default)]
struct Moody {
    moods: Arc<Mutex<Vec<(usize, Mood)>>>,
    kept: Arc<Mutex<HashSet<String>>>,
}

fn answer(kept: &Mutex<HashSet<String>>, request: proto::StreamReportsRequest) -> proto::StreamReportsResponse {
    use stream_reports_response::{Refusal, Result as Answer};
    let report = request.report.unwrap_or_default();
    let result = if report.title == "bad" {
        let violation = proto::FieldViolation { field: "report.title".to_owned(), description: "is bad".to_owned() };
        Answer::Refused(Refusal {
            code: i32::from(Code::InvalidArgument),
            field_violations: vec![violation],
            ..Default::default()
        })
    } else {
        let replayed = !kept.lock().unwrap().insert(report.external_id);
        let report = proto::Report { cluster_id: ClusterId::new().to_string(), ..Default::default() };
        Answer::Accepted(proto::SubmitReportResponse { report: Some(report), replayed, ..Default::default() })
    };
    proto::StreamReportsResponse { client_token: request.client_token, result: Some(result) }
}

#[tonic::async_trait]
impl ReportService for Moody {
    type StreamReportsStream = Pin<Box<dyn Stream<Item = Result<proto::StreamReportsResponse, Status>> + Send>>;

    async fn stream_reports(
        &self,
        request: Request<Streaming<proto::StreamReportsRequest>>,
    ) -> Result<Response<Self::StreamReportsStream>, Status> {
        let mood = self.moods.lock().unwrap().pop();
        let kept = Arc::clone(&self.kept);
        let mut requests = request.into_inner();
        let (sender, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut place = 0;
            while let Ok(Some(request)) = requests.message().await {
                let answer = match mood {
                    Some((at, Mood::Break(code))) if at == place => Err(Status::new(code, "gone")),
                    Some((at, Mood::Busy)) if at == place => Ok(proto::StreamReportsResponse {
                        client_token: request.client_token,
                        result: Some(stream_reports_response::Result::Refused(stream_reports_response::Refusal {
                            code: i32::from(Code::Unavailable),
                            ..Default::default()
                        })),
                    }),
                    _ => Ok(answer(&kept, request)),
                };
                place += 1;
                let is_broken = answer.is_err();
                if sender.send(answer).await.is_err() || is_broken {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(Receiving::new(answers))))
    }

    async fn submit_report(
        &self,
        _: Request<proto::SubmitReportRequest>,
    ) -> Result<Response<proto::SubmitReportResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn match_report(
        &self,
        _: Request<proto::MatchReportRequest>,
    ) -> Result<Response<proto::MatchReportResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn get_report(
        &self,
        _: Request<proto::GetReportRequest>,
    ) -> Result<Response<proto::GetReportResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn explain_report(
        &self,
        _: Request<proto::ExplainReportRequest>,
    ) -> Result<Response<proto::ExplainReportResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn list_reports(
        &self,
        _: Request<proto::ListReportsRequest>,
    ) -> Result<Response<proto::ListReportsResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn move_report(
        &self,
        _: Request<proto::MoveReportRequest>,
    ) -> Result<Response<proto::MoveReportResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

async fn start(server: Moody) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = ReportServiceServer::new(server);
    tokio::spawn(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)));
    address
}

/// Imports lines with these titles.
async fn import(address: SocketAddr, titles: Vec<&'static str>) -> Result<Counts, CallError> {
    let channel = endpoint(&format!("http://{address}")).unwrap().connect_lazy();
    let client = Client::new(channel, &SecretString::from("hb_1_2")).unwrap();
    let (sender, lines) = mpsc::channel(1);
    tokio::spawn(async move {
        for (index, title) in titles.into_iter().enumerate() {
            let number = index as u64 + 1;
            let report = match title {
                "broken" => Err(Vec::new()),
                title => Ok(proto::ReportInput {
                    external_id: number.to_string(),
                    title: title.to_owned(),
                    ..Default::default()
                }),
            };
            if sender.send(Line { number, report }).await.is_err() {
                return;
            }
        }
    });
    let bar = ProgressBar::hidden();
    let import = Import { client: &client, window: 4, creates_products: true, bar: &bar, progress: &|_| {} };
    import.run(lines, None, Counts::default()).await.map(|(counts, _)| counts)
}

#[tokio::test]
async fn every_line_is_counted_once_whatever_it_came_to() {
    let server = Moody::default();
    let address = start(server.clone()).await;
    let counts = import(address, vec!["a", "bad", "broken", "b", "c", "d", "e", "f"]).await.unwrap();
    assert_eq!(counts, Counts { line: 8, accepted: 6, replayed: 0, refused: 2 });
    let again = import(address, vec!["a", "bad", "broken", "b", "c", "d", "e", "f"]).await.unwrap();
    assert_eq!(again, Counts { line: 8, accepted: 0, replayed: 6, refused: 2 });
}

#[tokio::test]
async fn a_stream_that_breaks_is_taken_up_again_and_nothing_is_lost() {
    // Moods are taken from the end.
    let moods = vec![(2, Mood::Break(Code::Internal)), (3, Mood::Busy), (5, Mood::Break(Code::Unavailable))];
    let server = Moody { moods: Arc::new(Mutex::new(moods)), ..Moody::default() };
    let counts = import(start(server.clone()).await, vec!["x"; 40]).await.unwrap();
    assert_eq!((counts.line, counts.lines(), counts.refused), (40, 40, 0));
    assert_eq!(server.kept.lock().unwrap().len(), 40);
}

#[tokio::test]
async fn what_waiting_does_not_cure_ends_the_import() {
    let moods = vec![(1, Mood::Break(Code::PermissionDenied))];
    let server = Moody { moods: Arc::new(Mutex::new(moods)), ..Moody::default() };
    let error = import(start(server).await, vec!["x"; 5]).await.unwrap_err();
    assert_eq!(error.code, Code::PermissionDenied);
}
