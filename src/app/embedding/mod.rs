//! What an embedder beside the built-in table says of texts: asked for, kept, and done without.
//!
//! Every report has the table's vector, so nothing here can lose or delay one for long. Three things are done where an
//! endpoint is configured:
//!
//! - **A new text** ([`App::read_text`]) is looked up among what is kept, else the endpoint is asked, before the report
//!   joins its batch. Texts that come at once go in one question. No answer within the timeout, or an endpoint
//!   that is being left alone ([`breaker`]): the report goes by the table.
//! - **A pass** ([`App::embed_once`]) asks for what is lacking, in batches: after an outage, after the endpoint was
//!   configured, and after another model was. Only texts that the matcher compares are asked for: a cluster has two dozen of
//!   those at most, however many reports. Several replicas do this at once; each begins elsewhere and looks at what
//!   the others have kept before it asks, so little is asked twice.
//! - **What is kept** (`store::vector`) is each embedder's own. The matcher takes those of the one that is configured, and
//!   goes by them once nearly all are there (`matching::second`); meanwhile by the table. So another embedder is a
//!   change of space at one moment, and there are candidates before, during and after. What the embedder before said stays
//!   until nothing is lacking of the new one's, and a day longer: while replicas of both run, and if the change is
//!   taken back, nothing is asked again. Where the endpoint is switched off, what it said stays.

mod breaker;
mod pass;

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use self::breaker::Breaker;
use super::matcher::seconds;
use super::{App, Error};
use crate::clock::Clock;
use crate::domain::id::{ProductId, ReportId};
use crate::domain::report::NewReport;
use crate::domain::time::Timestamp;
use crate::embedder::{EmbedError, HttpEmbedder};
use crate::matching::{self, Embedding, Features, Order, Space, Text};
use crate::store::{self, TenantScope};
use crate::telemetry::chain;

/// Questions of new texts that are under way at once; what comes meanwhile goes together in the next.
const AT_ONCE: usize = 4;
/// A longer text is read on a thread of its own.
const LONG_TEXT: usize = 8 * 1024;

/// How an endpoint is used.
#[derive(Debug, Clone)]
pub struct EmbeddingSettings {
    /// How long a new report waits for it.
    pub timeout: Duration,
    /// Texts in one question, at most.
    pub batch: usize,
}

/// How often what happened with the endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Texts it was asked about.
    pub asked: u64,
    /// Texts that were known already.
    pub known: u64,
    /// New texts that went by the table because it gave no answer in time.
    pub fell_back: u64,
    /// Questions that failed.
    pub failed: u64,
}

/// An endpoint and what is known about it.
pub struct Endpoint {
    embedder: HttpEmbedder,
    space: Space,
    order: Order,
    settings: EmbeddingSettings,
    clock: Clock,
    tasks: TaskTracker,
    breaker: Mutex<Breaker>,
    waiting: Mutex<VecDeque<Waiting>>,
    room: Arc<Semaphore>,
    /// Reports whose texts it does not take. Asked again after a restart only.
    refused: Mutex<BTreeSet<ReportId>>,
    /// When to look next for what other embedders left.
    forget_time: Mutex<Option<Timestamp>>,
    asked: AtomicU64,
    known: AtomicU64,
    fell_back: AtomicU64,
    failed: AtomicU64,
}

struct Waiting {
    text: String,
    answer: oneshot::Sender<Embedding>,
}

/// A text that was read, and what is kept under.
pub(crate) struct ReadText {
    pub(crate) new: NewReport,
    pub(crate) features: Features,
    /// Of what an embedder is given of it, where there is one.
    pub(crate) text_hash: Option<String>,
}

impl Endpoint {
    /// Nothing was asked yet.
    pub fn new(embedder: HttpEmbedder, settings: EmbeddingSettings, clock: Clock, tasks: TaskTracker) -> Self {
        let order = if embedder.is_ordered() { Order::MostTellingFirst } else { Order::Any };
        Self {
            space: Space::named(embedder.id()),
            order,
            embedder,
            settings,
            clock,
            tasks,
            breaker: Mutex::default(),
            waiting: Mutex::default(),
            room: Arc::new(Semaphore::new(AT_ONCE)),
            refused: Mutex::default(),
            forget_time: Mutex::default(),
            asked: AtomicU64::new(0),
            known: AtomicU64::new(0),
            fell_back: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        }
    }

    /// The name that its vectors are kept by.
    pub fn id(&self) -> &str {
        self.embedder.id()
    }

    /// How often what happened since the process began.
    pub fn counts(&self) -> Counts {
        Counts {
            asked: self.asked.load(Ordering::Relaxed),
            known: self.known.load(Ordering::Relaxed),
            fell_back: self.fell_back.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }

    /// Whether it may be asked now.
    fn allows(&self) -> bool {
        self.breaker.lock().expect("nobody panics while holding it").allows(self.clock.now())
    }

    /// Asks, and draws the conclusions for the next time.
    async fn ask(&self, texts: &[String], budget: Duration) -> Result<Vec<Embedding>, EmbedError> {
        self.asked.fetch_add(texts.len() as u64, Ordering::Relaxed);
        let answer = self.embedder.embed(texts, budget).await.and_then(|vectors| {
            let kept = vectors.iter().map(|numbers| Embedding::of(self.space, numbers, self.order));
            kept.collect::<Result<Vec<_>, _>>().map_err(|error| EmbedError::Malformed(error.to_string()))
        });
        match &answer {
            Ok(_) => self.breaker.lock().expect("nobody panics while holding it").succeeded(),
            // It is there, and it answers.
            Err(error) if error.may_be_the_texts() => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                info!(error = %chain(error), text_count = texts.len(), "the embedder did not take some text");
            }
            Err(error) => self.has_failed(error),
        }
        answer
    }

    fn has_failed(&self, error: &EmbedError) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        let now = self.clock.now();
        let rest = self.breaker.lock().expect("nobody panics while holding it").failed(now, error.retry_after());
        match rest {
            Some(rest) => warn!(error = %chain(error), "the embedder failed, leaving it alone for {rest:?}"),
            None => warn!(error = %chain(error), "the embedder failed; reports go by the built-in table meanwhile"),
        }
    }

    /// What it says of a new text, if it says so in time.
    async fn ask_for_new(self: &Arc<Self>, text: String) -> Option<Embedding> {
        if !self.allows() {
            return None;
        }
        let (answer, answered) = oneshot::channel();
        self.waiting.lock().expect("nobody panics while holding it").push_back(Waiting { text, answer });
        // A task of its own: whoever asked may go away, and others wait for the same question.
        if let Ok(permit) = Arc::clone(&self.room).try_acquire_owned() {
            drop(permit);
            let endpoint = Arc::clone(self);
            self.tasks.spawn(async move { endpoint.carry().await });
        }
        timeout(self.settings.timeout, answered).await.ok()?.ok()
    }

    /// Asks for all that waits.
    async fn carry(&self) {
        // Who comes after the last look finds room and carries it themselves.
        while self.has_waiting() {
            let Ok(_permit) = self.room.try_acquire() else { return };
            while let Some(some) = self.take_waiting() {
                let (texts, answers): (Vec<String>, Vec<_>) =
                    some.into_iter().map(|waiting| (waiting.text, waiting.answer)).unzip();
                if let Ok(embeddings) = self.ask(&texts, self.settings.timeout).await {
                    for (answer, embedding) in answers.into_iter().zip(embeddings) {
                        // Whoever does not wait any more goes by the table.
                        drop(answer.send(embedding));
                    }
                }
            }
        }
    }

    fn has_waiting(&self) -> bool {
        !self.waiting.lock().expect("nobody panics while holding it").is_empty()
    }

    fn take_waiting(&self) -> Option<Vec<Waiting>> {
        let mut waiting = self.waiting.lock().expect("nobody panics while holding it");
        waiting.retain(|waiting| !waiting.answer.is_closed());
        let count = waiting.len().min(self.settings.batch);
        (count > 0).then(|| waiting.drain(..count).collect())
    }

    fn counted(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// What a text is kept by.
fn hash_of(text: &str) -> String {
    Sha256::digest(text.as_bytes())[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl App {
    /// Reads what matching needs of a report; a long text on a thread that may take its time. Where there is an
    /// embedder, also what it says, if it does so in time.
    pub(crate) async fn read_text(
        &self,
        scope: TenantScope,
        new: NewReport,
        product: Option<ProductId>,
        now: Timestamp,
    ) -> Result<ReadText, Error> {
        let is_long = new.title.len() + new.body.len() > LONG_TEXT;
        let is_embedded = self.embedding.is_some();
        let read = move || {
            let text = Text { product, fingerprint: new.fingerprint.as_deref(), title: &new.title, body: &new.body };
            let features = Features::of(&text).arrived(seconds(new.occurred_time, now));
            let said = is_embedded.then(|| matching::said(&new.title, &new.body));
            (new, features, said)
        };
        let (new, features, said) = if is_long {
            tokio::task::spawn_blocking(read).await.map_err(|error| Error::Internal(Box::new(error)))?
        } else {
            read()
        };
        let Some(said) = said else { return Ok(ReadText { new, features, text_hash: None }) };
        let text_hash = Some(hash_of(&said));
        Ok(ReadText { new, features: self.embedded(scope, features, said).await, text_hash })
    }

    /// The same text, with what the embedder says of it, if there is one and it does so in time.
    pub(crate) async fn embedded(&self, scope: TenantScope, features: Features, said: String) -> Features {
        let Some(endpoint) = &self.embedding else { return features };
        match self.embedding_of(endpoint, scope, said).await {
            Some(embedding) => features.with_embedding(embedding),
            None => {
                Endpoint::counted(&endpoint.fell_back);
                features
            }
        }
    }

    async fn embedding_of(&self, endpoint: &Arc<Endpoint>, scope: TenantScope, said: String) -> Option<Embedding> {
        if said.is_empty() {
            return Some(Embedding::without_direction(endpoint.space));
        }
        let db = self.store.reader(scope);
        match store::vector::of_texts(&db, endpoint.id(), &[hash_of(&said)]).await {
            Ok(known) => {
                let known = known.iter().find_map(|(_, bytes)| Embedding::from_bytes(endpoint.space, bytes));
                if known.is_some() {
                    Endpoint::counted(&endpoint.known);
                    return known;
                }
            }
            // The report itself will tell whether the database is there.
            Err(error) => warn!(error = %chain(&error), "cannot look up what the embedder said before"),
        }
        endpoint.ask_for_new(said).await
    }
}
