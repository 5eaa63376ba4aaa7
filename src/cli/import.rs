//! `hearback import`: reports from a file, over one stream, as often as you like.
//!
//! Every line is a report. It is read ([`input`]), its fields are found by their usual names ([`record`]), and it goes
//! over `StreamReports` with a bounded number of lines that wait for their acknowledgement ([`stream`]). What is
//! accepted is accepted once: the reference in the source tells a line that came before, which is answered as replayed.
//!
//! Because of that, an interrupted import may simply be run again. A [`checkpoint`] beside the file only saves the time:
//! it remembers the last line before which every line was answered. Once all lines were, it is removed, so that the next
//! run looks at every line again.
//!
//! Refused lines are named with their number and what is wrong, and the others go on; the exit code is 1 if there were
//! any. A lost server is waited for, for about a minute.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;

use super::Globals;
use super::client::ClientArgs;
use super::output::{OutputFormat, print_json, print_line};

mod checkpoint;
mod input;
mod record;
mod stream;

use checkpoint::{Binding, Checkpoint, Counts};
use input::{Format, Input};
use record::Mapper;

pub(crate) use record::parse_moment;

/// Import reports from a file.
#[derive(Debug, clap::Args)]
#[command(after_help = FIELDS)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    client: ClientArgs,
    /// A file of JSON lines or CSV, gzip or not; `-` reads standard input.
    file: PathBuf,
    /// How lines are written; told by the name or the first character unless given.
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// The system the reports come from. Without it: a field `source`, else the name of the file.
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Put before every product's name to make its key.
    #[arg(long, default_value = "", hide_default_value = true, value_name = "PREFIX")]
    product_prefix: String,
    /// Do not create products that do not exist; their reports are refused.
    #[arg(long)]
    no_create_products: bool,
    /// Also keep this field, as a label; may be given several times.
    #[arg(long = "label", value_name = "FIELD")]
    labels: Vec<String>,
    /// Lines on their way at once.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    window: u32,
    /// Where to remember how far it came; FILE.hearback-import unless given.
    #[arg(long, value_name = "FILE", conflicts_with = "no_checkpoint")]
    checkpoint: Option<PathBuf>,
    /// Remember nothing.
    #[arg(long)]
    no_checkpoint: bool,
    /// Begin with the first line whatever was remembered.
    #[arg(long)]
    from_start: bool,
}

const FIELDS: &str = "\
Fields, by any of their names (case, spaces and dashes do not matter; objects are flattened, so reporter.email is
reporter_email):
  reference    external_id id key number ticket_id issue_key
  text         title subject summary headline; body description text message content
  product      product product_name app project; version app_version; platform os; environment region ring
  grouping     fingerprint group_key crash_hash
  time         occurred_time created_at created date timestamp (RFC 3339, YYYY-MM-DD or seconds since 1970)
  reporter     reporter_email email; reporter_name name; reporter_id requester_id user_id customer_id;
               reporter_webhook; reporter_stream; locale; time_zone
  labels       component severity priority category, an object `labels`, label_… and what --label names
A report without a reporter gets a customer of its own with the id unknown:SOURCE/REFERENCE: nobody can be told, and
nobody is taken for somebody else. One without words is titled with its reference. Other fields are left out and named
at the end.";

/// Runs the verb.
///
/// # Errors
/// If the file cannot be read, the server refuses the caller or stays away, or any line was refused.
pub(crate) async fn run(args: ImportArgs, globals: &Globals) -> anyhow::Result<()> {
    let client = args.client.client()?;
    let begin = Instant::now();
    let from_stdin = args.file.as_os_str() == "-";
    let source = args.source.clone().unwrap_or_else(|| input::source_name(&args.file));

    let remembers = !args.no_checkpoint && (!from_stdin || args.checkpoint.is_some());
    let mut checkpoint = None;
    if remembers {
        let path = args.checkpoint.clone().unwrap_or_else(|| checkpoint::beside(&args.file));
        let file = if from_stdin { None } else { Some(args.file.clone()) };
        let (key, source) = (client.key_id().to_owned(), source.clone());
        let binding = tokio::task::spawn_blocking(move || Binding::of(file.as_deref(), key, source))
            .await
            .context("reading the file was stopped")??;
        checkpoint = Some(Checkpoint::open(path, binding, args.from_start)?);
    }
    let start = checkpoint.as_ref().map_or_else(Counts::default, Checkpoint::counts);
    if start.line > 0 {
        eprintln!("continuing after line {} (--from-start begins anew)", start.line);
    }

    let file = if from_stdin { None } else { Some(args.file.as_path()) };
    let input = Input::open(file, args.format)?;
    let bar = progress_bar(input.size(), from_stdin);
    let bytes_read = input.bytes_read();
    let labels: BTreeSet<String> = args.labels.iter().map(|label| record::name(label)).collect();
    let mapper = Mapper::new(args.source.clone(), source.clone(), args.product_prefix, labels);
    let (lines, reader) = stream::read(input, mapper, start.line);

    let ticker = bar.clone();
    let progress = move |counts: &Counts| {
        ticker.set_position(bytes_read.load(Ordering::Relaxed));
        ticker.set_message(format!("{} lines, {} refused", counts.lines(), counts.refused));
    };
    let importing = stream::Import {
        client: &client,
        window: args.window as usize,
        creates_products: !args.no_create_products,
        bar: &bar,
        progress: &progress,
    };
    let outcome = importing.run(lines, checkpoint.as_mut(), start).await;
    bar.finish_and_clear();
    let (counts, clusters) = match outcome {
        Ok(done) => done,
        Err(error) => {
            let kept = if checkpoint.is_some() { "; run it again to continue" } else { "" };
            return Err(anyhow::Error::from(error).context(format!("the import stopped{kept}")));
        }
    };
    let ignored = reader.await.context("reading the file was stopped")??;
    if let Some(checkpoint) = checkpoint {
        checkpoint.finish()?;
    }

    let elapsed = begin.elapsed();
    let here = counts.lines() - start.lines();
    let rate = here as f64 / elapsed.as_secs_f64().max(0.001);
    match globals.output {
        OutputFormat::Json => print_json(&json!({
            "file": args.file.display().to_string(),
            "source": source,
            "lines": counts.lines(),
            "accepted": counts.accepted,
            "replayed": counts.replayed,
            "refused": counts.refused,
            "clusters": clusters,
            "resumed_after_line": start.line,
            "elapsed_ms": u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
            "reports_per_s": rate.round(),
            "ignored_fields": ignored,
        }))?,
        OutputFormat::Table => {
            print_line(&format!(
                "{} lines: {} accepted, {} replayed, {} refused; {clusters} clusters touched; {} at {rate:.0} lines/s",
                counts.lines(),
                counts.accepted,
                counts.replayed,
                counts.refused,
                humantime::format_duration(Duration::from_millis(elapsed.as_millis() as u64)),
            ))?;
            if !ignored.is_empty() {
                let ignored: Vec<_> = ignored.into_iter().collect();
                print_line(&format!("fields left out: {} (--label keeps one)", ignored.join(", ")))?;
            }
        }
    }
    match counts.refused {
        0 => Ok(()),
        1 => bail!("one line was refused"),
        refused => bail!("{refused} lines were refused"),
    }
}

/// A bar on standard error; hidden when that is no terminal.
fn progress_bar(size: Option<u64>, from_stdin: bool) -> ProgressBar {
    let template = if from_stdin || size.is_none() {
        "{spinner} {msg}, {elapsed}"
    } else {
        "{bar:30} {percent:>3} %  {msg}, {elapsed}, {eta} left"
    };
    let bar = ProgressBar::with_draw_target(size, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::with_template(template).expect("the template is fixed and well formed"));
    bar
}
