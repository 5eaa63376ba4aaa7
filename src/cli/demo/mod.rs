//! `hearback demo`: the whole loop in front of your eyes, and a check that it told the truth.
//!
//! The real server is started inside this process, on free loopback ports and over a temporary SQLite file, with a mail
//! server, a webhook receiver and a help desk's stream of the demo's own at its other end ([`stage`], [`sinks`]). The
//! [`story`] speaks to it in gRPC alone, as help desks, support leads and build pipelines do: [`corpus`] comes in,
//! clusters are looked after, defects linked, releases shipped, rolled out and withdrawn.
//!
//! Whether it went well is not asked of the server. The [`truth`] knows what every customer reported and runs, the
//! [`inbox`] holds what really arrived in their mailboxes, and the [`judge`] compares the two after every step: who was
//! told twice, told something false, or forgotten. Only the state of the loops is the server's word, and it has to agree.

use std::io::Write as _;

use anyhow::{Context as _, bail};
use serde_json::json;

use super::Globals;
use super::output::{OutputFormat, Table, print_json};

mod corpus;
mod inbox;
mod judge;
mod sinks;
mod stage;
mod story;
mod truth;

use judge::Tally;
use stage::Stage;

/// Show the whole loop on a server of its own.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Print one JSON object at the end, and the story to standard error.
    #[arg(long)]
    json: bool,
    /// Leave the server running at the end, until Ctrl-C.
    #[arg(long)]
    keep: bool,
}

/// Tells what happens, line by line.
pub(super) struct Narrator {
    to_stdout: bool,
    colour: bool,
    chapter: usize,
}

impl Narrator {
    /// Begins a chapter.
    fn chapter(&mut self, title: &str) {
        self.chapter += 1;
        let title = format!("{}. {title}", self.chapter);
        self.line("");
        if self.colour {
            self.line(&format!("\u{1b}[1m{title}\u{1b}[0m"));
        } else {
            self.line(&title);
        }
    }

    /// Says a line.
    fn line(&self, text: &str) {
        // Whoever stopped listening still wants to know how it ends.
        let _ = if self.to_stdout {
            writeln!(std::io::stdout().lock(), "{text}")
        } else {
            writeln!(std::io::stderr().lock(), "{text}")
        };
    }
}

/// Runs the verb.
///
/// # Errors
/// If the server does not do what it is asked, or did not tell the truth.
pub(crate) async fn run(args: DemoArgs, globals: &Globals) -> anyhow::Result<()> {
    let wants_json = args.json || globals.output == OutputFormat::Json;
    let mut narrator = Narrator { to_stdout: !wants_json, colour: globals.colour && !wants_json, chapter: 0 };
    let stage = Stage::open().await?;
    narrator.line(&format!("A Hearback server of this demo's own runs at {}.", stage.address()));
    let told = tokio::select! {
        told = story::play(&stage, &mut narrator) => told,
        interrupted = tokio::signal::ctrl_c() => match interrupted {
            Ok(()) => Err(anyhow::anyhow!("interrupted")),
            Err(error) => Err(error.into()),
        },
    };
    let ended = match told {
        Ok(tally) => end(&tally, wants_json, &narrator),
        Err(error) => Err(error.context("the story broke off")),
    };
    if args.keep && ended.is_ok() {
        eprintln!("\nThe server goes on until Ctrl-C. In another terminal:\n\n  {}\n", stage.how_to_connect());
        tokio::signal::ctrl_c().await.context("Ctrl-C cannot be heard")?;
    }
    stage.close().await;
    ended
}

/// The table at the end, and the verdict.
fn end(tally: &Tally, wants_json: bool, narrator: &Narrator) -> anyhow::Result<()> {
    let mut table = Table::new(["REPORTS", "CLUSTERS", "TOLD", "WAITING", "SUPPRESSED", "CORRECTED"]);
    let numbers = [tally.reports, tally.clusters, tally.told, tally.waiting, tally.suppressed, tally.corrected];
    table.row(numbers.map(|number| number.to_string()));
    narrator.line("");
    narrator.line(&table.text());
    narrator.line(&format!(
        "\nReports by what became of them, counted from {} messages as they arrived. Told twice: {}. Told something \
         false: {}. Loops open without a reason: {}.",
        tally.messages, tally.told_twice, tally.told_falsely, tally.open_loops_without_reason
    ));
    if wants_json {
        print_json(&json!({
            "reports": tally.reports,
            "clusters": tally.clusters,
            "told": tally.told,
            "waiting": tally.waiting,
            "suppressed": tally.suppressed,
            "corrected": tally.corrected,
            "told_twice": tally.told_twice,
            "told_falsely": tally.told_falsely,
            "open_loops_without_reason": tally.open_loops_without_reason,
            "messages": tally.messages,
            "forgotten": tally.forgotten,
            "problems": tally.problems,
        }))?;
    }
    if !tally.problems.is_empty() {
        bail!("the story did not end right:\n  {}", tally.problems.join("\n  "));
    }
    Ok(())
}
