//! `hearback train`: the weights of the matching engine's judge, learned from streams whose truth is known.
//!
//! Each pass lets the engine place every stream with the weights of the pass before, so that it learns from clusters as
//! it makes them, with its own mistakes in them; the first pass goes by rules of thumb.
//! A stream of bare messages is learned from once more with a subject, a greeting and thanks around each: else a body would
//! be the mark of a bug tracker. And each stream is learned from once more without its times, or with made-up ones if it
//! has none: else a time would be that mark. Of bare messages nearly all repeat what was there, so they are learned from
//! thinned, too. These further streams only teach how sure to be, not what is nearest: their subjects and times are drawn
//! by lot. So do the beginnings of all streams, where little is known yet. The same files, in the same order, give the same
//! weights.
//!
//! How good weights are is told only by a stream they were not learned from: leave one out, and `hearback eval` that
//! with `--weights`.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::Globals;
use super::eval::metrics::metrics;
use super::eval::stream::{self, Labelled};
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
    /// How often the streams are placed and learned from.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    passes: u32,
    /// Learn from the first so many reports of each stream; from all unless given.
    #[arg(long, value_name = "COUNT")]
    most: Option<usize>,
    /// From this probability on the engine attaches while it learns.
    #[arg(long, default_value_t = 0.5)]
    attach: f64,
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
        let mails = stream::as_mails(&reports);
        let thinned = stream::thinned(&reports);
        let name = file.display().to_string();
        streams.push((format!("{name} otherwise timed"), true, stream::otherwise_timed(&reports)));
        streams.push((name.clone(), false, reports));
        if let Some(mails) = mails {
            streams.push((format!("{name} thinned"), true, thinned));
            streams.push((format!("{name} as mails thinned"), true, stream::thinned(&mails)));
            streams.push((format!("{name} as mails otherwise timed"), true, stream::otherwise_timed(&mails)));
            streams.push((format!("{name} as mails"), true, mails));
        }
    }
    let policy = Policy { attach: args.attach, ..Policy::default() };
    let teaching = Teaching { seed: args.seed, ..Teaching::default() };
    let mut model = Arc::new(Model::unlearned());
    // What was learned from stays: weights that only know the mistakes of the last ones go to and fro.
    let (mut lessons, mut further): (Vec<Vec<Lesson>>, Vec<Vec<Lesson>>) = (Vec::new(), Vec::new());
    for pass in 1..=args.passes {
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
