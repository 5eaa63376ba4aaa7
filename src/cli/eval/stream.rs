//! A labelled stream, and what the engine makes of it.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::Instant;

use anyhow::{Context as _, bail};
use chrono::DateTime;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;
use uuid::Uuid;

use super::metrics::Case;
use crate::domain::id::{ClusterId, ReportId};
use crate::matching::{Decision, Embedding, Features, Index, Lesson, Model, Policy, Text, said};

/// Candidates asked for.
pub(crate) const CANDIDATES: usize = 50;
/// Texts that are read ahead.
const AHEAD: usize = 64;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A report whose truth is known.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Labelled {
    pub(crate) id: String,
    #[serde(default)]
    pub(super) title: String,
    #[serde(default)]
    pub(super) body: String,
    #[serde(default)]
    pub(super) created_at: Option<String>,
    pub(super) truth: String,
    /// What an embedder said of it, if one was asked.
    #[serde(skip)]
    pub(crate) embedding: Option<Embedding>,
}

/// What became of a stream.
pub(crate) struct Run {
    pub(crate) cases: Vec<Case>,
    /// The past as it is when the last report has come.
    pub(crate) index: Index,
    /// The cluster that each report which began its own was suggested for, if any.
    pub(crate) suggested: HashMap<u32, u32>,
    /// What there was to learn, if that was wanted.
    pub(crate) lessons: Vec<Lesson>,
    pub(crate) seconds: f64,
}

/// Reads weights from a file.
///
/// # Errors
/// If it cannot be read, or holds none.
pub(crate) fn weights(path: &Path) -> anyhow::Result<Arc<Model>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("{} cannot be read", path.display()))?;
    match Model::from_text(&text) {
        Ok(model) => Ok(Arc::new(model)),
        Err(wrong) => bail!("{} holds no weights: {wrong}", path.display()),
    }
}

/// Reads a stream.
///
/// # Errors
/// If the file cannot be read, or a line is no report.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Labelled>> {
    let opened = || File::open(path).with_context(|| format!("{} cannot be opened", path.display()));
    let mut magic = Vec::new();
    opened()?.take(2).read_to_end(&mut magic)?;
    let file: Box<dyn Read> =
        if magic == GZIP_MAGIC { Box::new(MultiGzDecoder::new(opened()?)) } else { Box::new(opened()?) };
    let mut reports = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let line = line.with_context(|| format!("{} cannot be read", path.display()))?;
        if !line.trim().is_empty() {
            let report = serde_json::from_str(&line);
            reports.push(report.with_context(|| format!("{}, line {number}", path.display()))?);
        }
    }
    Ok(reports)
}

/// So many reports of a tenant are its beginning, and of so many of a stream the beginnings are looked at.
const YOUNG: usize = 60;
const MOST_YOUNG: usize = 3_000;

impl Labelled {
    fn seconds(&self) -> Option<i64> {
        Some(DateTime::parse_from_rfc3339(self.created_at.as_deref()?).ok()?.timestamp())
    }

    pub(crate) fn features(&self) -> Features {
        // Products are left out: a tracker's are often a triager's later word.
        let text = Text { product: None, fingerprint: None, title: &self.title, body: &self.body };
        let features = Features::of(&text);
        let features = match self.seconds() {
            Some(seconds) => features.arrived(seconds),
            None => features,
        };
        match &self.embedding {
            Some(embedding) => features.with_embedding(embedding.clone()),
            None => features,
        }
    }

    /// What an embedder is told of it.
    pub(crate) fn said(&self) -> String {
        said(&self.title, &self.body)
    }
}

pub(crate) fn report(at: usize) -> ReportId {
    ReportId::from_uuid(Uuid::from_u128(at as u128))
}

pub(crate) fn place_of(id: Uuid) -> u32 {
    u32::try_from(id.as_u128()).expect("it was made of a place in the stream")
}

/// Lets the engine place each report by those before it.
pub(crate) fn run(reports: &[Labelled], policy: Policy, model: Arc<Model>, learns: bool) -> Run {
    let mut names: HashMap<&str, u32> = HashMap::new();
    let mut truths = Vec::with_capacity(reports.len());
    for (at, report) in (0..).zip(reports) {
        truths.push(*names.entry(&report.truth).or_insert(at));
    }
    let mut commonest: HashMap<u32, Members> = HashMap::new();
    let mut run = Run {
        cases: Vec::with_capacity(reports.len()),
        index: Index::with_model(policy, model),
        suggested: HashMap::new(),
        lessons: Vec::new(),
        seconds: 0.0,
    };
    let index = &mut run.index;
    let space = reports.iter().find_map(|report| Some(report.embedding.as_ref()?.space()));
    space.into_iter().for_each(|space| index.use_space(space));
    let begin = Instant::now();
    std::thread::scope(|scope| {
        let (sender, texts) = mpsc::sync_channel(AHEAD);
        scope.spawn(move || reports.iter().try_for_each(|report| sender.send(report.features())));
        for (at, features) in texts.iter().enumerate() {
            let (placement, candidates) = if learns {
                let (placement, candidates, mut lesson) = index.study(&features, CANDIDATES);
                let truth = truths[at];
                lesson.answer(
                    |report| truths[place_of(report.uuid()) as usize] == truth,
                    |cluster| {
                        commonest.get(&place_of(cluster.uuid())).is_some_and(|members| members.commonest == truth)
                    },
                );
                run.lessons.push(lesson);
                (placement, candidates)
            } else {
                index.place_among(&features, CANDIDATES)
            };
            let cluster = match placement.decision {
                Decision::Attach { cluster, .. } => cluster,
                Decision::Suggest { .. } | Decision::New => ClusterId::from_uuid(report(at).uuid()),
            };
            if let Decision::Suggest { cluster: suggested, .. } = placement.decision {
                run.suggested.insert(place_of(cluster.uuid()), place_of(suggested.uuid()));
            }
            index.insert(report(at), cluster, false, &features);
            if space.is_some() {
                index.fit_scale();
            }
            let cluster = place_of(cluster.uuid());
            commonest.entry(cluster).or_default().add(truths[at]);
            run.cases.push(Case {
                truth: truths[at],
                time: reports[at].seconds(),
                cluster,
                candidates: candidates.iter().map(|candidate| place_of(candidate.report.uuid())).collect(),
                score: Some(placement.score),
            });
        }
    });
    run.seconds = begin.elapsed().as_secs_f64();
    run
}

/// What there is to learn from a stream that begins anew again and again, as every tenant's does.
pub(crate) fn young(reports: &[Labelled], policy: Policy, model: &Arc<Model>) -> Vec<Lesson> {
    let most = &reports[..reports.len().min(MOST_YOUNG)];
    most.chunks(YOUNG).flat_map(|some| run(some, policy, Arc::clone(model), true).lessons).collect()
}

/// The truths of a cluster's members.
#[derive(Default)]
struct Members {
    counts: HashMap<u32, u32>,
    commonest: u32,
}

impl Members {
    fn add(&mut self, truth: u32) {
        let most = self.counts.get(&self.commonest).copied().unwrap_or(0);
        let count = self.counts.entry(truth).or_default();
        *count += 1;
        if *count > most {
            self.commonest = truth;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matching::{Dice, Order, Space};

    #[test]
    fn what_an_embedder_says_of_a_stream_is_gone_by() {
        // The second half says what the first half said, in words that share nothing with it.
        const HALF: usize = 80;
        let mut dice = Dice::new(1);
        let space = Space::named("a test's");
        let meanings: Vec<Embedding> = (0..HALF)
            .map(|_| {
                let numbers: Vec<f32> = (0..32).map(|_| dice.unit() - 0.5).collect();
                Embedding::of(space, &numbers, Order::Any).expect("they are numbers")
            })
            .collect();
        let mut reports: Vec<Labelled> = (0..2 * HALF)
            .map(|at| Labelled {
                id: at.to_string(),
                title: format!("{}{at} {}{at}", ["alpha", "gamma"][at / HALF], ["beta", "delta"][at / HALF]),
                body: String::new(),
                created_at: None,
                truth: (at % HALF).to_string(),
                embedding: None,
            })
            .collect();
        let found = |reports: &[Labelled]| {
            let run = run(reports, Policy { attach: 1.0, suggest: 1.0 }, Model::shipped(), false);
            let is_found =
                |at: &usize| run.cases[*at].candidates.iter().take(3).any(|&first| first as usize == at - HALF);
            (HALF..2 * HALF).filter(is_found).count()
        };
        let by_table = found(&reports);
        for (at, report) in reports.iter_mut().enumerate() {
            report.embedding = Some(meanings[at % HALF].clone());
        }
        let by_embedder = found(&reports);
        assert!(
            by_table < HALF / 8 && by_embedder > HALF / 2,
            "{by_table} by the table, {by_embedder} by the embedder"
        );
    }
}
