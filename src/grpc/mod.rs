//! The front door for programs. A handler has four thoughts: who calls, decode, ask `app`, encode.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::app::App;

pub(crate) mod admin;
pub(crate) mod announcement;
pub(crate) mod call;
//pub(crate) mod cluster;
pub(crate) mod convert;
pub(crate) mod coverage;
pub(crate) mod customer;
pub(crate) mod defect;
pub(crate) mod event;
pub(crate) mod list;
pub(crate) mod page_token;
pub(crate) mod release;
//pub(crate) mod report;
pub(crate) mod status;

/// The API as generated from `proto/hearback/v1`.
#[allow(missing_docs, unreachable_pub, clippy::all)]
pub mod proto {
    tonic::include_proto!("hearback.v1");

    /// The API's descriptors, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hearback_descriptors.bin"));
}

/// Every service of the API over one [`App`].
#[derive(Clone)]
pub struct Api {
    /// What it asks.
    pub(crate) app: Arc<App>,
    /// Cancelled when the server drains: streams end then.
    pub(crate) shutdown: CancellationToken,
}

impl Api {
    /// The API of this service; its streams end when `shutdown` is cancelled.
    pub fn new(app: Arc<App>, shutdown: CancellationToken) -> Self {
        Self { app, shutdown }
    }
}
