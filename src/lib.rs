//! wip
pub mod app;
pub mod channel;
pub mod clock;
pub mod config;
pub mod domain;
pub mod grpc;
pub mod matching;
pub mod store;
pub mod telemetry;
