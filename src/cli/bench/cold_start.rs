//! How long a server takes from nothing to its first answer, over data that is there.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::bail;
use secrecy::SecretString;
use serde_json::json;
use tonic::Code;

use super::super::Globals;
use super::super::client::{CallError, Client, endpoint};
use super::super::output::{OutputFormat, print_json, print_line};
use super::process::Process;
use super::workload::Workload;
use crate::grpc::proto;

/// Between one question and the next.
const PAUSE: Duration = Duration::from_millis(2);

/// Over what.
#[derive(Debug, clap::Args)]
pub(crate) struct ColdStartArgs {
    /// The data directory, with its SQLite database. The server works on it, so take a copy of one that matters.
    #[arg(long, value_name = "DIR")]
    data_dir: PathBuf,
    /// A key of the data; without one, one is made.
    #[arg(long, env = "HEARBACK_API_KEY", hide_env_values = true, value_name = "KEY")]
    api_key: Option<SecretString>,
    /// Start so many times; the figures are of the median start.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    runs: u32,
    /// Print JSON, like --output json.
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
///
/// # Errors
/// If the server does not start or does not answer.
pub(super) async fn run(args: ColdStartArgs, globals: &Globals) -> anyhow::Result<()> {
    if !args.data_dir.is_dir() {
        bail!("{} is not a directory", args.data_dir.display());
    }
    let key = match args.api_key {
        Some(key) => key,
        None => Process::prepare(Some(&args.data_dir), Vec::new())?.create_key().await?,
    };
    let mut runs = Vec::new();
    for _ in 0..args.runs {
        let mut server = Process::prepare(Some(&args.data_dir), Vec::new())?;
        let begin = Instant::now();
        let serving = server.start().await?;
        first_match(&server, &key).await?;
        runs.push((begin.elapsed(), serving));
        server.stop().await;
    }
    runs.sort_unstable();
    let (first_match, serving) = runs[runs.len() / 2];
    let ms = |duration: Duration| (duration.as_secs_f64() * 10_000.0).round() / 10.0;
    if args.json || globals.output == OutputFormat::Json {
        print_json(&json!({
            "serving_ms": ms(serving),
            "first_match_ms": ms(first_match),
            "runs": args.runs,
            "optimised": !cfg!(debug_assertions),
        }))?;
    } else {
        print_line(&format!("serving after     {} ms\nfirst match after {} ms", ms(serving), ms(first_match)))?;
    }
    Ok(())
}

/// Asks whether a report is known until it is answered.
async fn first_match(server: &Process, key: &SecretString) -> anyhow::Result<()> {
    let client = Client::new(endpoint(&server.address())?.connect_lazy(), key)?;
    let report = proto::ReportInput { product: String::new(), ..Workload::new(1).report(0) };
    loop {
        let request = proto::MatchReportRequest { report: Some(report.clone()), ..Default::default() };
        match client.reports().match_report(request).await {
            Ok(_) => return Ok(()),
            // Whoever asks before everything is read waits, and is asked to come again when their time is up.
            Err(status) if matches!(status.code(), Code::Unavailable | Code::DeadlineExceeded) => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(status) => return Err(CallError::from(status).into()),
        }
    }
}
