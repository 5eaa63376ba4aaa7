//! `hearback serve`: runs the service until it is told to stop.
//!
//! The first SIGTERM or SIGINT drains, a second one stops at once. Standard output carries only what is shown once: the
//! key of a new database. Everything else is logged to standard error.

use std::panic;

use anyhow::bail;
use serde_json::json;
use tracing::error;

use super::Globals;
use super::output::{OutputFormat, print_json, print_line};
use crate::server::{Running, Server, StartOptions};
use crate::telemetry;

pub(super) async fn run(globals: &Globals) -> anyhow::Result<()> {
    let config = globals.config()?;
    telemetry::init(config.log.format, &config.log.filter, true)?;
    log_panics();
    // Before the doors open: a signal that comes early is not lost.
    let mut signals = Signals::listen()?;
    let is_encrypted = config.grpc.tls.is_some();
    let running = tokio::select! {
        running = Server::start(config, StartOptions::default()) => running?,
        () = signals.next() => return Ok(()),
    };
    greet(globals, &running, is_encrypted)?;
    signals.next().await;
    tokio::select! {
        () = running.shut_down() => Ok(()),
        () = signals.next() => bail!("stopped at once by a second signal"),
    }
}

/// Shows the key that a new database begins with, and what to do with it.
fn greet(globals: &Globals, running: &Running, is_encrypted: bool) -> anyhow::Result<()> {
    let Some(first_key) = &running.first_key else { return Ok(()) };
    let scheme = if is_encrypted { "https" } else { "http" };
    let address = format!("{scheme}://{}", running.grpc_address);
    let pages = format!("http://{}", running.http_address);
    if globals.output == OutputFormat::Json {
        print_json(&json!({ "api_key": first_key.text, "address": address, "pages": pages }))?;
        return Ok(());
    }
    print_line(&format!(
        "This database is new. Its first API key, which is shown only now and may do everything:\n\n  {}\n\n\
         Programs connect to {address}; people and probes to {pages}. A first call:\n\n  \
         export HEARBACK_ADDRESS={address} HEARBACK_API_KEY={}\n  \
         hearback report list\n",
        first_key.text, first_key.text
    ))?;
    Ok(())
}

/// Panics become log lines that tell where. What they say is left out unless it is fixed text: it may quote a report.
fn log_panics() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
        let said = panic.payload().downcast_ref::<&'static str>().copied().unwrap_or("(not shown)");
        error!(panic.place = %place, "a task panicked at {place}: {said}");
    }));
}

/// What tells a process to stop.
#[cfg(unix)]
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What tells a process to stop.
#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if let Err(error) = tokio::signal::ctrl_c().await {
            error!(%error, "Ctrl-C cannot be heard");
            std::future::pending().await
        }
    }
}
