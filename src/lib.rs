//! wip
pub mod domain;
pub mod matching;
pub mod store;
