//! The promises of Hearback, checked from the street: the real server in this process, spoken to in gRPC, over a fresh
//! SQLite file; with `TEST_DATABASE_URL` set, over a fresh Postgres database per test.
//!
//! Read [`journey`] first: it is one story from a report to the mail that answers it. [`laws`] has the laws of the
//! design by number; the other modules have what each service promises beyond them. Time is ours
//! (`support::Server::clock`), work runs when told to (`run_until_idle`), and the world is faked at the wire: a mail
//! server and HTTP receivers on free ports.

mod support;

mod journey;

mod laws;

mod admin;
mod announcement;
mod cluster;
mod customer;
mod defect;
mod email;
mod embedder;
mod event;
mod explain;
mod release;
mod report;
mod second_look;
mod start;
mod suggestion;
mod transport;
mod unsubscribe;
mod webhook;

mod layering;

mod model;
