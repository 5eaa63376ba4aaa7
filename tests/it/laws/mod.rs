//! The laws of the design, each by tests that carry its number. Law 14 (erasure) comes with the operation.

mod consent;
mod corrections;
mod durable;
mod forgotten;
mod history;
mod hostile;
mod late;
mod once;
mod one_home;
mod people;
mod retries;
mod shipped;
mod tenants;
mod twins;
