//! `hearback eval`: how well the matching engine does on a stream whose truth is known, and how fast.
//!
//! The engine that runs is the one of the service: reports come one at a time in the order of the file, each is placed
//! by what came before, and where it is put it stays. Texts are read by a second thread while the one before is placed,
//! as the service does. The file has a JSON object a line with `id`, `title`, `body`, `created_at` (RFC 3339 or null) and
//! `truth` (the same for reports about the same issue).

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::Globals;
use super::output::print_line;
use crate::matching::{Model, Policy};

pub(crate) mod calibration;
mod embedded;
pub(crate) mod metrics;
pub(crate) mod second_look;
mod slips;
pub(crate) mod stream;
pub(crate) mod variants;

use stream::{CANDIDATES, Labelled};

/// Measure the matching engine on reports whose truth is known.
#[derive(Debug, clap::Args)]
pub(crate) struct EvalArgs {
    /// JSON lines, gzip or not, in order of arrival.
    file: PathBuf,
    /// Write what was answered, a JSON object for each report.
    #[arg(long, value_name = "OUT")]
    predictions: Option<PathBuf>,
    /// The precision wanted of what is attached by itself, or the thresholds themselves.
    #[arg(long, value_name = "precision=P | attach=A,suggest=S", default_value = "precision=0.95", value_parser = policy)]
    policy: Policy,
    /// Judge by these weights and not by those that come with the program; see `hearback train`.
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
    /// Put a slip of the hand into every title (into the body where there is none), as people do who type in a hurry.
    #[arg(long)]
    misspelt: bool,
    /// Let half of the problems show an error code, which some of their reports tell; every other code is that of two problems.
    #[arg(long)]
    coded: bool,
    /// Send bare messages as mails: with a greeting, with thanks, and with a subject that says little or repeats some words.
    #[arg(long)]
    as_mails: bool,
    /// Send bare messages as reports with titles and bodies: one message is the title, the next ones about the same are a mail.
    #[arg(long, conflicts_with = "as_mails")]
    titled: bool,
    /// Look at every cluster again when the last report has come, and say how many of the proposed merges and splits are
    /// right.
    #[arg(long)]
    second_look: bool,
    /// Go by the embedder of the configuration (`embedder.enabled`, `.url`, `.model`) and not by the built-in table.
    #[arg(long)]
    embedder: bool,
}

/// Reads a probability.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn probability(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if (0.0..=1.0).contains(&number) => Ok(number),
        _ => Err(format!("{text} is no number from 0 to 1")),
    }
}

fn policy(text: &str) -> Result<Policy, String> {
    let mut policy = Policy::default();
    for part in text.split(',') {
        match part.split_once('=') {
            Some(("precision", value)) => policy = Policy::for_precision(probability(value)?),
            Some(("attach", value)) => policy.attach = probability(value)?,
            Some(("suggest", value)) => policy.suggest = probability(value)?,
            _ => return Err(format!("{part} is none of precision=, attach=, suggest=")),
        }
    }
    Ok(policy)
}

/// Runs the verb.
///
/// # Errors
/// If the file cannot be read, an embedder does not answer, or the answers cannot be written.
pub(crate) fn run(args: &EvalArgs, globals: &Globals) -> anyhow::Result<()> {
    let model = match &args.weights {
        None => Model::shipped(),
        Some(path) => stream::weights(path)?,
    };
    let mut labelled = stream::read(&args.file)?;
    if args.coded {
        labelled = variants::coded(&labelled);
    }
    if args.as_mails || args.titled {
        let other = if args.as_mails { variants::as_mails(&labelled) } else { variants::titled(&labelled) };
        labelled = other.with_context(|| {
            format!("--as-mails and --titled are for messages without bodies, and {} has some", args.file.display())
        })?;
    }
    if args.misspelt {
        labelled = variants::misspelt(&labelled);
    }
    if args.embedder {
        embedded::embed(&mut labelled, &globals.config()?.embedder)?;
    }
    let run = stream::run(&labelled, args.policy, model, false);
    if let Some(path) = &args.predictions {
        write_predictions(path, &labelled, &run.cases)
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    let mut figures = serde_json::to_value(metrics::metrics(&run.cases))?;
    if let Some(figures) = figures.as_object_mut() {
        figures.insert("reports_per_s".to_owned(), json!((labelled.len() as f64 / run.seconds).round()));
        figures.insert("policy".to_owned(), json!(args.policy));
        figures.insert("calibration".to_owned(), json!(calibration::calibrated(&run.cases, &args.policy)));
        if args.second_look {
            figures.insert("second_look".to_owned(), json!(second_look::look(&labelled, &run)));
        }
        figures.insert("optimised".to_owned(), json!(!cfg!(debug_assertions)));
    }
    print_line(&serde_json::to_string_pretty(&figures)?)?;
    Ok(())
}

fn write_predictions(path: &PathBuf, labelled: &[Labelled], cases: &[metrics::Case]) -> anyhow::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for (report, case) in labelled.iter().zip(cases) {
        let id = |&at: &u32| &labelled[at as usize].id;
        let candidates: Vec<&String> = case.candidates.iter().take(CANDIDATES).map(id).collect();
        let cluster = &labelled[case.cluster as usize].id;
        let line = json!({ "id": report.id, "cluster": cluster, "candidates": candidates, "score": case.score });
        writeln!(file, "{line}")?;
    }
    Ok(file.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_a_precision_or_thresholds() {
        assert_eq!(policy("precision=0.95"), Ok(Policy::default()));
        assert_eq!(policy("attach=0.5,suggest=0.2"), Ok(Policy { attach: 0.5, suggest: 0.2 }));
        for wrong in ["", "0.9", "precision=2", "attach=x", "best"] {
            assert!(policy(wrong).is_err(), "{wrong}");
        }
    }
}
