//! Asks the embedder for what is lacking, and forgets what other embedders left.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tracing::{debug, info};

use super::{Counts, Endpoint, hash_of};
use crate::app::{App, Error, Progress};
use crate::domain::id::ReportId;
use crate::domain::time::Timestamp;
use crate::matching::{self, Embedding};
use crate::store::vector::ReportVector;
use crate::store::{self, TenantScope};

/// Nobody waits for these answers, but a server that goes down.
const LEISURE: Duration = Duration::from_secs(20);
/// Batches of one tenant in one round: to find out what is lacking takes a look at every text.
const BATCHES: usize = 16;
/// If so many texts are refused one by one, it is not the texts.
const REFUSALS: usize = 8;
/// What another embedder said is kept this long at least: replicas that still use it may be running.
const KEPT_FOR: Duration = Duration::from_secs(24 * 60 * 60);
/// How often to look for what may be forgotten, and how much goes in one transaction.
const FORGET_PERIOD: Duration = Duration::from_secs(60 * 60);
const FORGOTTEN_AT_ONCE: u64 = 1_000;

/// What was learned of some reports, to be kept and used.
type Gained = Vec<(ReportVector, Embedding)>;

impl App {
    /// Asks for some of what is lacking, of each tenant. `More` if something was gained or forgotten.
    pub async fn embed_once(&self, now: Timestamp) -> Result<Progress, Error> {
        let Some(endpoint) = &self.embedding else { return Ok(Progress::Idle) };
        let mut progress = Progress::Idle;
        let forgets = endpoint.is_time_to_forget(now);
        for scope in store::tenant::all_scopes(&self.store).await? {
            let lacking = self.lacking(endpoint, scope).await?;
            let done = if !lacking.is_empty() {
                self.fill_all(endpoint, scope, &lacking, now).await?
            } else if forgets {
                self.forget_others(endpoint, scope, now).await?
            } else {
                Progress::Idle
            };
            if done == Progress::More {
                progress = Progress::More;
            }
        }
        if forgets && progress == Progress::Idle {
            endpoint.set_forget_time(now + FORGET_PERIOD);
            let Counts { asked, known, fell_back, failed } = endpoint.counts();
            info!(asked, known, fell_back, failed, "the embedder was asked about {asked} texts since the start");
        }
        Ok(progress)
    }

    /// Some reports whose texts the matcher compares and that lack a vector: a few batches of them, from any place on.
    async fn lacking(&self, endpoint: &Endpoint, scope: TenantScope) -> Result<Vec<ReportId>, Error> {
        let mut lacking = self.current_index(scope).await?.lacking_vectors();
        let refused = endpoint.refused.lock().expect("nobody panics while holding it").clone();
        lacking.retain(|report| !refused.contains(report));
        if lacking.len() > endpoint.settings.batch {
            lacking.sort_unstable();
            // Replicas that begin at different places rarely ask for the same.
            let from = rand::random_range(0..lacking.len());
            lacking.rotate_left(from);
            lacking.truncate(BATCHES * endpoint.settings.batch);
        }
        Ok(lacking)
    }

    /// Does so batch by batch, as long as it helps.
    async fn fill_all(
        &self,
        endpoint: &Arc<Endpoint>,
        scope: TenantScope,
        lacking: &[ReportId],
        now: Timestamp,
    ) -> Result<Progress, Error> {
        let mut progress = Progress::Idle;
        for batch in lacking.chunks(endpoint.settings.batch) {
            match self.fill(endpoint, scope, batch, now).await? {
                Progress::More => progress = Progress::More,
                Progress::Idle => break,
            }
        }
        Ok(progress)
    }

    /// Finds or asks for the vectors of these reports, keeps them and gives them to the matcher.
    async fn fill(
        &self,
        endpoint: &Arc<Endpoint>,
        scope: TenantScope,
        lacking: &[ReportId],
        now: Timestamp,
    ) -> Result<Progress, Error> {
        let db = self.store.reader(scope);
        let of_others = store::vector::of_reports(&db, endpoint.id(), lacking).await?;
        let mut vectors: BTreeMap<ReportId, Embedding> = BTreeMap::new();
        for (report, bytes) in of_others {
            vectors.extend(Embedding::from_bytes(endpoint.space, &bytes).map(|embedding| (report, embedding)));
        }
        let unknown: Vec<ReportId> = lacking.iter().copied().filter(|report| !vectors.contains_key(report)).collect();
        let gained = self.gain(endpoint, scope, unknown).await?;
        if !gained.is_empty() {
            let rows = gained.iter().map(|(row, _)| row.clone()).collect();
            let txn = self.store.begin_system(scope, now).await?;
            store::vector::insert(&txn, endpoint.id(), rows).await?;
            txn.commit().await?;
            vectors.extend(gained.into_iter().map(|(row, embedding)| (row.report_id, embedding)));
        }
        if vectors.is_empty() {
            return Ok(Progress::Idle);
        }
        debug!(vector_count = vectors.len(), "the matcher gets vectors of the embedder");
        let (before, after) = self.current_index(scope).await?.give_vectors(&vectors);
        if after == 0 && before > 0 {
            info!("nothing of the embedder's is lacking any more in a tenant");
        }
        // If nothing changed, another round would not change it either.
        Ok(if after < before { Progress::More } else { Progress::Idle })
    }

    /// What the embedder says of reports of which nothing is kept.
    async fn gain(&self, endpoint: &Endpoint, scope: TenantScope, reports: Vec<ReportId>) -> Result<Gained, Error> {
        let db = self.store.reader(scope);
        let texts = store::report::texts_of(&db, &reports).await?;
        let read = move || {
            let said = texts.into_iter().map(|text| (text.report_id, matching::said(&text.title, &text.body)));
            said.collect::<Vec<_>>()
        };
        let said = tokio::task::spawn_blocking(read).await.map_err(|error| Error::Internal(Box::new(error)))?;
        // Each text once, whoever says it.
        let mut by_hash: HashMap<String, (String, Vec<ReportId>)> = HashMap::new();
        for (report, text) in said {
            by_hash.entry(hash_of(&text)).or_insert_with(|| (text, Vec::new())).1.push(report);
        }
        let hashes: Vec<String> = by_hash.keys().cloned().collect();
        let mut known: HashMap<String, Embedding> = HashMap::new();
        for (hash, bytes) in store::vector::of_texts(&db, endpoint.id(), &hashes).await? {
            known.extend(Embedding::from_bytes(endpoint.space, &bytes).map(|embedding| (hash, embedding)));
        }
        let silent = hash_of("");
        if by_hash.contains_key(&silent) {
            known.insert(silent, Embedding::without_direction(endpoint.space));
        }
        let asked: Vec<(&String, &(String, Vec<ReportId>))> =
            by_hash.iter().filter(|(hash, _)| !known.contains_key(*hash)).collect();
        let texts: Vec<String> = asked.iter().map(|(_, (text, _))| text.clone()).collect();
        for (at, answer) in endpoint.ask_at_leisure(&texts).await.into_iter().enumerate() {
            let (hash, (_, reports)) = asked[at];
            match answer {
                Answer::Embedded(embedding) => {
                    known.insert(hash.clone(), *embedding);
                }
                Answer::Refused => {
                    endpoint.refused.lock().expect("nobody panics while holding it").extend(reports);
                }
                Answer::None => {}
            }
        }
        let mut gained = Gained::new();
        for (hash, (_, reports)) in by_hash {
            let Some(embedding) = known.get(&hash) else { continue };
            gained.extend(reports.into_iter().map(|report_id| {
                let row = ReportVector { report_id, text_hash: hash.clone(), vector: embedding.to_bytes() };
                (row, embedding.clone())
            }));
        }
        Ok(gained)
    }

    /// Forgets some of what other embedders said long ago, now that nothing of this one's is lacking.
    async fn forget_others(&self, endpoint: &Endpoint, scope: TenantScope, now: Timestamp) -> Result<Progress, Error> {
        let txn = self.store.begin_system(scope, now).await?;
        let before = now - KEPT_FOR;
        let forgotten = store::vector::forget_others(&txn, endpoint.id(), before, FORGOTTEN_AT_ONCE).await?;
        txn.commit().await?;
        Ok(if forgotten > 0 { Progress::More } else { Progress::Idle })
    }
}

/// What came of one text.
#[derive(Clone)]
enum Answer {
    Embedded(Box<Embedding>),
    /// The embedder does not take this text.
    Refused,
    /// Nothing yet.
    None,
}

impl Answer {
    fn embedded(embedding: Embedding) -> Self {
        Self::Embedded(Box::new(embedding))
    }
}

impl Endpoint {
    /// Asks about many texts without haste, each on its own if together they are refused.
    async fn ask_at_leisure(&self, texts: &[String]) -> Vec<Answer> {
        let mut answers = vec![Answer::None; texts.len()];
        if texts.is_empty() || !self.allows() {
            return answers;
        }
        match self.ask(texts, LEISURE).await {
            Ok(embeddings) => return embeddings.into_iter().map(Answer::embedded).collect(),
            Err(error) if error.may_be_the_texts() => {}
            Err(_) => return answers,
        }
        let mut taken = false;
        let mut refusals = Vec::new();
        for (at, text) in texts.iter().enumerate() {
            match self.ask(std::slice::from_ref(text), LEISURE).await {
                Ok(embeddings) => {
                    taken = true;
                    answers[at] = embeddings.into_iter().next().map_or(Answer::None, Answer::embedded);
                }
                Err(error) if error.may_be_the_texts() => {
                    answers[at] = Answer::Refused;
                    refusals.push(error);
                }
                Err(_) => break,
            }
            if !taken && refusals.len() == REFUSALS {
                // Not one was taken: the question is wrong, not the texts.
                refusals.iter().take(3).for_each(|error| self.has_failed(error));
                return vec![Answer::None; texts.len()];
            }
        }
        answers
    }

    fn is_time_to_forget(&self, now: Timestamp) -> bool {
        self.forget_time.lock().expect("nobody panics while holding it").is_none_or(|time| time <= now)
    }

    fn set_forget_time(&self, time: Timestamp) {
        *self.forget_time.lock().expect("nobody panics while holding it") = Some(time);
    }
}
