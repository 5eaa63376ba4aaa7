//! Hearback closes the loop between customers and engineering: every customer who reported a problem hears back when it
//! is fixed for them, once and truthfully.
//!
//! This page is the map of the building. Each module explains itself; read them in this order for the whole story:
//!
//! 1. `proto/hearback/v1/report.proto`: the promise made to callers.
//! 2. [`grpc`]: the front door for programs. A handler asks who calls, decodes, asks [`app`], encodes.
//! 3. [`app::intake`]: how a report is accepted and placed in a cluster, in one transaction with its neighbours.
//! 4. [`matching`]: how it is recognised that two reports are the same problem. Text in, decision out.
//! 5. [`domain::coverage`] and [`domain::statements`]: what a customer runs and what they should have heard, as pure
//!    functions over plain data. The heart of the loop.
//! 6. [`app::reconcile`]: compares that with the told-truth ledger ([`domain::ledger`]) and plans what is missing.
//! 7. [`app::delivery`] and [`channel`]: how one statement reaches one address, and what is known if it does not.
//! 8. [`worker`]: when all that happens by itself. [`server`]: how everything is put together, and taken down.
//!
//! # Floors
//!
//! ```text
//! main → cli → server → { grpc  http  worker } → app → { store  matching  channel  embedder } → domain
//! ```
//!
//! Imports go down only, and neighbours on a floor do not import each other: where two must meet, they meet in [`app`].
//! The doors decide *when*, [`app`] decides *what*, [`domain`] and [`matching`] know the rules, [`store`] remembers.
//! [`config`], [`clock`] and [`telemetry`] stand beside the stairs. A resource has one name on every floor.
//!
//! # What always holds
//!
//! - What was acknowledged is durable: nothing is answered before its commit.
//! - A change, its event and its dirty marks are one transaction. History is append-only and without gaps in each tenant.
//! - Every query is for one tenant: it needs a [`store::TenantScope`], which only authentication and the service's own
//!   stored work can make.
//! - A tenant's writers follow each other on either database, so that no race makes twins of identical reports.
//! - What should be said is derived from what is true now, never from the event that happened to arrive. So late links,
//!   lost hints, crashes and restarts need no code of their own.
//! - A delivery is recorded as tried, under a lease with a fencing token, before a byte leaves the house; its id is its
//!   idempotency key on every try.
//! - Consent, contact point, quiet hours and coverage are checked when sending, not when planning.
//! - Every report's loop ends told or with a recorded reason.
//! - Whatever waits has a bound, and every task an owner that outlives it.
//!
//! # What never happens
//!
//! - No work lives only in memory: stop the process at any moment, and the next start finds what is due.
//! - No transaction is open during a network call.
//! - No caller's clock orders anything; only the edges read [`clock`], once for each call.
//! - No text from outside becomes markup, a header, a template, SQL or a log line.
//! - No tenant, address, token or report text is logged or counted: ids find them for those who may look.
//! - [`domain`] and [`matching`] know no runtime, no wire, no database, no clock and no disk.
//! - There is no queue beside the database, no second truth beside the tables, and no switch that weakens a promise.

pub mod app;
pub mod channel;
pub mod cli;
pub mod clock;
pub mod config;
pub mod domain;
pub mod embedder;
pub mod grpc;
pub mod http;
pub mod matching;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod worker;
