//! `hearback train`: the weights of the matching engine's judge, learned from streams whose truth is known.
//!
//! Each pass lets the engine place every stream with the weights of the pass before, so that it learns from clusters as
//! it makes them, with its own mistakes in them; the first pass goes by rules of thumb.
//! Each pass attaches from another probability on: where little is attached a problem lies in many small clusters, and a
//! judge that knows only large ones doubts it, attaches less, and has more to doubt.
//!
//! A stream of bare messages is learned from once more with a subject, a greeting and thanks around each, and with titles
//! and bodies that tell the problem in different words: else a body would be the mark of a bug tracker. Some of the latter
//! tell error codes: nothing else would teach what a shared one is worth. And each stream is learned from once more without
//! its times, or with made-up ones if it has none: else a time would be that mark. Of bare messages nearly all repeat what
//! was there, so they are learned from thinned, too. These further streams only teach how sure to be, not what is nearest:
//! their subjects, codes and times are drawn by lot. So do the beginnings of all streams, where little is known yet. The
//! same files, in the same order, give the same weights.
//!
//! How good weights are is told only by a stream they were not learned from: leave one out, and `hearback eval` that
//! with `--weights`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::Globals;
use super::eval::metrics::metrics;
use super::eval::probability;
use super::eval::stream::{self, Labelled};
use super::eval::variants;
use super::output::print_line;
use crate::matching::{Lesson, Model, Policy, Teaching, teach};

/// Learn the weights of the matching engine from reports whose truth is known.
#[derive(Debug, clap::Args)]
pub(crate) struct TrainArgs {
    /// Streams as `hearback eval` reads them.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Where to write the weights.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Learn from the first so many reports of each stream; from all unless given.
    #[arg(long, value_name = "COUNT")]
    most: Option<usize>,
    /// The probability from which on the engine attaches while it learns, for each pass over the streams.
    #[arg(long, value_name = "PROBABILITY,…", value_delimiter = ',', value_parser = probability, default_values_t = [0.5, 0.9, 0.7])]
    attach: Vec<f64>,
    /// Another number gives other weights of the same worth.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the verb.
///
/// # Errors
/// If a file cannot be read, or the weights cannot be written.
pub(crate) fn run(args: &TrainArgs, _globals: &Globals) -> anyhow::Result<()> {
    let mut streams: Vec<(String, bool, Vec<Labelled>)> = Vec::new();
    for file in &args.files {
        let mut reports = stream::read(file)?;
        reports.truncate(args.most.unwrap_or(usize::MAX));
        let name = file.display();
        for (what, reports) in variants::further(&reports) {
            streams.push((format!("{name} {what}"), true, reports));
        }
        streams.push((name.to_string(), false, reports));
    }
    let teaching = Teaching { seed: args.seed, ..Teaching::default() };
    let mut model = Arc::new(Model::unlearned());
    // What was learned from stays: weights that only know the mistakes of the last ones go to and fro.
    let (mut lessons, mut further): (Vec<Vec<Lesson>>, Vec<Vec<Lesson>>) = (Vec::new(), Vec::new());
    for (pass, &attach) in (1..).zip(&args.attach) {
        let policy = Policy { attach, ..Policy::default() };
        for (name, is_further, reports) in &streams {
            let run = stream::run(reports, policy, Arc::clone(&model), true);
            let found = metrics(&run.cases);
            eprintln!(
                "pass {pass}, {name}: recall@1 {:.3}, @10 {:.3}, attached {} with precision {:.3}",
                found.retrieval.at_1,
                found.retrieval.at_10,
                found.decision.attached,
                found.decision.agreement.precision
            );
            further.push(stream::young(reports, policy, &model));
            if *is_further { &mut further } else { &mut lessons }.push(run.lessons);
        }
        model = Arc::new(teach(&slices(&lessons), &slices(&further), &teaching));
    }
    std::fs::write(&args.out, model.to_text()).with_context(|| format!("{} cannot be written", args.out.display()))?;
    print_line(&format!("weights written to {}", args.out.display()))?;
    Ok(())
}

fn slices(lessons: &[Vec<Lesson>]) -> Vec<&[Lesson]> {
    lessons.iter().map(Vec::as_slice).collect()
}
