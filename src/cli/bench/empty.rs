//! What the service is compared with: the same API, whose handlers do nothing.

use std::io::Read as _;
use std::net::Ipv4Addr;
use std::pin::Pin;

use anyhow::Context as _;
use futures::{Stream, StreamExt as _};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};

use crate::grpc::proto::report_service_server::{ReportService, ReportServiceServer};
use crate::grpc::proto::{self, stream_reports_response};

/// Serves on a free port, prints its address, and ends with its standard input: when whoever started it is gone.
///
/// # Errors
/// If no port can be opened.
pub(super) async fn serve() -> anyhow::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("no loopback port can be opened")?;
    super::print_line(&listener.local_addr()?.to_string())?;
    let (ended, gone) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Nothing is ever written there: what ends the reading ends this.
        let _ = std::io::stdin().read(&mut [0]);
        drop(ended);
    });
    let incoming = TcpListenerStream::new(listener).map(|stream| {
        if let Ok(stream) = &stream {
            stream.set_nodelay(true)?;
        }
        stream
    });
    let serving = Server::builder().add_service(ReportServiceServer::new(Empty)).serve_with_incoming(incoming);
    tokio::select! {
        served = serving => served.context("the empty handler stopped")?,
        _ = gone => {}
    }
    Ok(())
}

struct Empty;

/// The two calls that are measured answer with nothing; the others are not there.
#[tonic::async_trait]
impl ReportService for Empty {
    type StreamReportsStream = Pin<Box<dyn Stream<Item = Result<proto::StreamReportsResponse, Status>> + Send>>;

    async fn submit_report(
        &self,
        _: Request<proto::SubmitReportRequest>,
    ) -> Result<Response<proto::SubmitReportResponse>, Status> {
        Ok(Response::new(proto::SubmitReportResponse::default()))
    }

    async fn stream_reports(
        &self,
        request: Request<Streaming<proto::StreamReportsRequest>>,
    ) -> Result<Response<Self::StreamReportsStream>, Status> {
        let answers = request.into_inner().map(|report| {
            let accepted = stream_reports_response::Result::Accepted(proto::SubmitReportResponse::default());
            Ok(proto::StreamReportsResponse { client_token: report?.client_token, result: Some(accepted) })
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn match_report(
        &self,
        _: Request<proto::MatchReportRequest>,
    ) -> Result<Response<proto::MatchReportResponse>, Status> {
        Err(not_here())
    }

    async fn get_report(
        &self,
        _: Request<proto::GetReportRequest>,
    ) -> Result<Response<proto::GetReportResponse>, Status> {
        Err(not_here())
    }

    async fn explain_report(
        &self,
        _: Request<proto::ExplainReportRequest>,
    ) -> Result<Response<proto::ExplainReportResponse>, Status> {
        Err(not_here())
    }

    async fn list_reports(
        &self,
        _: Request<proto::ListReportsRequest>,
    ) -> Result<Response<proto::ListReportsResponse>, Status> {
        Err(not_here())
    }

    async fn move_report(
        &self,
        _: Request<proto::MoveReportRequest>,
    ) -> Result<Response<proto::MoveReportResponse>, Status> {
        Err(not_here())
    }
}

fn not_here() -> Status {
    Status::unimplemented("this server only measures what a call costs")
}
