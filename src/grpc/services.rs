//! Every service this server offers: the eight of the API, health, and reflection.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tonic::codec::CompressionEncoding;
use tonic::server::NamedService;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::Api;
use super::layer::{Front, Gate, Limits};
use super::proto::DESCRIPTORS;
use super::proto::admin_service_server::AdminServiceServer;
use super::proto::announcement_service_server::AnnouncementServiceServer;
use super::proto::cluster_service_server::ClusterServiceServer;
use super::proto::customer_service_server::CustomerServiceServer;
use super::proto::defect_service_server::DefectServiceServer;
use super::proto::event_service_server::EventServiceServer;
use super::proto::release_service_server::ReleaseServiceServer;
use super::proto::report_service_server::ReportServiceServer;
use crate::config::GrpcConfig;

/// The methods to which callers send streams.
const REPORT_STREAM: &str = "/hearback.v1.ReportService/StreamReports";
const ANNOUNCEMENT_STREAM: &str = "/hearback.v1.AnnouncementService/WatchAnnouncements";
/// The largest answer: what clients take unless told otherwise. Pages end before it.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// Why the services cannot be offered. The descriptors are compiled in, so this is a fault of the build.
#[derive(Debug, thiserror::Error)]
#[error("the API's own descriptors cannot be read")]
pub struct ServicesError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// The services, ready to be served on connections.
pub(crate) struct Services {
    /// What answers requests.
    pub(crate) front: Front,
    /// Where they all pass.
    pub(crate) gate: Arc<Gate>,
    health: HealthReporter,
    names: Vec<&'static str>,
}

impl Services {
    /// Puts them together. From the moment `shutdown` is cancelled, only health answers.
    pub(crate) async fn new(api: Api, config: &GrpcConfig, shutdown: CancellationToken) -> Result<Self, ServicesError> {
        let (health, health_service) = tonic_health::server::health_reporter();
        let mut routes = Routes::new(health_service);
        let mut names = vec![""];

        // Each service is its own generated type, which a function cannot take in general.
        macro_rules! limited {
            ($service:ident, $limit:expr) => {
                $service::new(api.clone())
                    .max_decoding_message_size($limit)
                    .max_encoding_message_size(MAX_ANSWER_BYTES)
                    .accept_compressed(CompressionEncoding::Gzip)
                    .send_compressed(CompressionEncoding::Gzip)
            };
        }
        macro_rules! offer {
            ($($service:ident)+) => {$(
                names.push(<$service<Api> as NamedService>::NAME);
                routes = routes.add_service(limited!($service, config.max_message_bytes));
            )+};
        }
        offer! {
            ReportServiceServer
            ClusterServiceServer
            DefectServiceServer
            ReleaseServiceServer
            CustomerServiceServer
            AnnouncementServiceServer
            EventServiceServer
            AdminServiceServer
        }
        // tonic limits a service, and streams from callers have a limit of their own: their methods get to a second copy
        // of their service, because a whole path goes before its beginning.
        let stream_limit = config.max_stream_message_bytes;
        let streams = routes
            .into_axum_router()
            .route_service(REPORT_STREAM, limited!(ReportServiceServer, stream_limit))
            .route_service(ANNOUNCEMENT_STREAM, limited!(AnnouncementServiceServer, stream_limit));
        let mut routes = Routes::from(streams);

        let mut sets = vec![DESCRIPTORS, tonic_health::pb::FILE_DESCRIPTOR_SET];
        if config.reflection {
            let describe = || {
                tonic_reflection::server::Builder::configure()
                    .register_encoded_file_descriptor_set(DESCRIPTORS)
                    .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
            };
            // Older tools speak only the second.
            routes = routes.add_service(describe().build_v1().map_err(|error| ServicesError(error.into()))?);
            routes = routes.add_service(describe().build_v1alpha().map_err(|error| ServicesError(error.into()))?);
            sets.push(tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET);
            sets.push(tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET);
        }

        let limits = Limits { max_in_flight: config.max_in_flight, request_timeout: config.request_timeout };
        let gate = Gate::new(&limits, shutdown, &sets).map_err(|error| ServicesError(error.into()))?;
        let gate = Arc::new(gate);
        Ok(Self { front: Front::new(routes, gate.clone()), gate, health, names })
    }

    /// Tells those who ask for the server's health, or wait for it to change.
    pub(crate) async fn set_serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in &self.names {
            self.health.set_service_status(*name, status).await;
        }
    }
}
