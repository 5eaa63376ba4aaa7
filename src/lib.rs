//! wip
pub mod domain;
pub mod config;
pub mod store;
pub mod app;
pub mod clock;
pub mod telemetry;
pub mod grpc;
