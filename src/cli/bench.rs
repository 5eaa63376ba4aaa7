//! `hearback bench`: how fast the service is, measured from outside.
//!
//! A server of this very executable is started as a process of its own, with a fresh store and on ports of its own, and
//! is spoken to in gRPC over loopback ([`load`]) with reports that differ ([`workload`]). In the same run and with the
//! same reports an empty handler is measured, also in a process of its own ([`empty`]): what it costs is what gRPC costs
//! here, and whatever the service costs beyond is its own. Client and servers share the machine, so the figures are of
//! the whole, and a build without `--release` says little. What matching alone costs is measured without a server
//! ([`matching`]).

use std::time::Duration;

use anyhow::bail;
use secrecy::SecretString;
use serde_json::json;

use super::Globals;
use super::output::{OutputFormat, print_json, print_line};

mod cold_start;
mod empty;
mod load;
mod matching;
mod process;
mod workload;

use load::{Figures, Load};
use process::{Process, Setting};

/// Measure the service.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum BenchCommand {
    /// Submit reports to a fresh server as fast as it takes them.
    Submit(SubmitArgs),
    /// Find the place of texts among many clusters, beside what one would otherwise use.
    Match(matching::MatchArgs),
    /// Start a server over an existing data directory and wait until it answers.
    ColdStart(cold_start::ColdStartArgs),
    /// What the service is compared with; started by `bench submit`.
    #[command(hide = true)]
    EmptyServer,
}

/// What to submit to, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct SubmitArgs {
    /// The database.
    #[arg(long, value_enum, default_value_t = StoreKind::Sqlite)]
    store: StoreKind,
    /// Of --store postgres: an empty database, as postgres://USER:PASSWORD@HOST/NAME.
    #[arg(long, env = "HEARBACK_BENCH_DATABASE_URL", hide_env_values = true, required_if_eq("store", "postgres"))]
    database_url: Option<SecretString>,
    /// How long to measure, after a short warm-up.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    seconds: u64,
    /// Connections.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=256))]
    connections: u32,
    /// Reports on their way at once on each connection; 32 for calls, 256 for a stream unless given.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    in_flight: Option<u32>,
    /// Submit over StreamReports, one stream on each connection, instead of by single calls.
    #[arg(long)]
    stream: bool,
    /// The same reports in every run with the same number.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Print JSON, like --output json.
    #[arg(long)]
    json: bool,
}

/// The databases.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum StoreKind {
    /// One file.
    Sqlite,
    /// A server.
    Postgres,
}

/// Runs the verb.
///
/// # Errors
/// If a server does not start, or a report was not accepted.
pub(crate) async fn run(command: BenchCommand, globals: &Globals) -> anyhow::Result<()> {
    match command {
        BenchCommand::Submit(args) => args.run(globals).await,
        BenchCommand::Match(args) => tokio::task::block_in_place(|| matching::run(&args, globals)),
        BenchCommand::ColdStart(args) => cold_start::run(args, globals).await,
        BenchCommand::EmptyServer => empty::serve().await,
    }
}

impl SubmitArgs {
    async fn run(self, globals: &Globals) -> anyhow::Result<()> {
        let in_flight = self.in_flight.unwrap_or(if self.stream { 256 } else { 32 });
        let load = |key: Option<SecretString>| Load {
            key,
            connections: self.connections,
            in_flight,
            stream: self.stream,
            seed: self.seed,
            warm_up: Duration::from_secs(2),
            measured: Duration::from_secs(self.seconds),
        };

        let mut settings = Vec::new();
        if let (StoreKind::Postgres, Some(url)) = (self.store, &self.database_url) {
            settings.push(Setting::plain("store.kind", "postgres"));
            settings.push(Setting::secret("store.url", url.clone()));
        }
        let mut server = Process::prepare(None, settings)?;
        server.start().await?;
        let key = server.create_key().await?;
        let service = load(Some(key)).run(&server).await?;
        server.stop().await;

        let empty = Process::empty_server().await?;
        let floor = load(None).run(&empty).await?;
        empty.stop().await;

        self.print(globals, in_flight, &service, &floor)?;
        if let Some(error) = &service.first_error {
            bail!("{} reports were not accepted; the first because: {error}", service.error_count);
        }
        if service.answered() == 0 {
            bail!("no report was accepted within {} s; measure longer, or with fewer in flight", self.seconds);
        }
        Ok(())
    }

    fn print(&self, globals: &Globals, in_flight: u32, service: &Figures, floor: &Figures) -> anyhow::Result<()> {
        let (cpu, floor_cpu) = (service.cpu_us_per_call(), floor.cpu_us_per_call());
        let ratio = cpu.zip(floor_cpu).map(|(cpu, floor)| cpu / floor);
        let store = match self.store {
            StoreKind::Sqlite => "sqlite",
            StoreKind::Postgres => "postgres",
        };
        let mode = if self.stream { "stream" } else { "unary" };
        if self.json || globals.output == OutputFormat::Json {
            print_json(&json!({
                "reports_per_s": rounded(service.per_second(), 1),
                "p50_ms": rounded(service.latency_ms(50.0), 3),
                "p99_ms": rounded(service.latency_ms(99.0), 3),
                "server_cpu_us_per_report": cpu.map(|cpu| rounded(cpu, 1)),
                "empty_handler_cpu_us_per_call": floor_cpu.map(|cpu| rounded(cpu, 1)),
                "empty_handler_calls_per_s": rounded(floor.per_second(), 1),
                "cpu_ratio": ratio.map(|ratio| rounded(ratio, 2)),
                "accepted": service.answered(),
                "errors": service.error_count,
                "attached": service.attached_count,
                "store": store,
                "mode": mode,
                "seconds": self.seconds,
                "connections": self.connections,
                "in_flight": in_flight,
                "optimised": !cfg!(debug_assertions),
            }))?;
            return Ok(());
        }
        let or_unknown = |number: Option<f64>| number.map_or_else(|| "unknown".to_owned(), |n| format!("{n:.1}"));
        let lines = [
            format!("{mode} on {store}, {} connections of {in_flight}, {} s", self.connections, self.seconds),
            format!("reports/s          {:.0}", service.per_second()),
            format!("p50, p99           {:.2} ms, {:.2} ms", service.latency_ms(50.0), service.latency_ms(99.0)),
            format!("server CPU/report  {} us", or_unknown(cpu)),
            format!("empty handler      {} us at {:.0} calls/s", or_unknown(floor_cpu), floor.per_second()),
            format!("ratio              {}", or_unknown(ratio)),
            format!(
                "accepted           {} ({} attached), {} errors",
                service.answered(),
                service.attached_count,
                service.error_count
            ),
        ];
        print_line(&lines.join("\n"))?;
        if cfg!(debug_assertions) {
            print_line("This build is not optimised; measure one of `cargo build --release`.")?;
        }
        Ok(())
    }
}

fn rounded(number: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (number * scale).round() / scale
}
