//! The front door for programs. A handler has four thoughts: who calls, decode, ask `app`, encode.
//!
//! What all calls have in common (deadlines, room, shutdown, the log) happens before any handler, in `layer`; the list
//! of services is in `services`; errors get their wire form in `status`.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;

pub(crate) mod admin;
pub(crate) mod announcement;
pub(crate) mod call;
pub(crate) mod cluster;
pub(crate) mod convert;
pub(crate) mod coverage;
pub(crate) mod customer;
pub(crate) mod defect;
pub(crate) mod event;
pub(crate) mod layer;
pub(crate) mod list;
pub(crate) mod page_token;
pub(crate) mod release;
pub(crate) mod report;
pub(crate) mod services;
pub(crate) mod status;
pub(crate) mod suggestion;

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
    /// Cancelled when the server begins to go down: streams end, with what is needed to resume them.
    pub(crate) shutdown: CancellationToken,
    /// Owns what outlives a handler: the far ends of streams.
    pub(crate) tasks: TaskTracker,
}

impl Api {
    /// The API of this service.
    pub fn new(app: Arc<App>, shutdown: CancellationToken, tasks: TaskTracker) -> Self {
        Self { app, shutdown, tasks }
    }
}
