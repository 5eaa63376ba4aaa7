//! Where one tenant's reports wait for their batch.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use uuid::Uuid;

use crate::app::{Call, Error};
use crate::domain::id::ProductId;
use crate::domain::report::NewReport;
use crate::matching::Features;
use crate::store::request::Fingerprint;

use super::Accepted;

/// One tenant's reports that wait.
pub(super) struct Lane {
    waiting: Mutex<Waiting>,
    pub(super) room: Arc<Semaphore>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// A task works on this lane.
    running: bool,
}

/// A report that waits to be stored, and who waits for the answer.
pub(super) struct Job {
    pub(super) call: Call,
    pub(super) new: NewReport,
    pub(super) product: Option<ProductId>,
    pub(super) features: Features,
    /// Of what an embedder is given of it, where there is one.
    pub(super) text_hash: Option<String>,
    /// Of the request, if it may be repeated by its id.
    pub(super) fingerprint: Option<Fingerprint>,
    pub(super) answer: oneshot::Sender<Result<Accepted, Error>>,
    /// Its place among those that wait, until its batch has ended.
    pub(super) _room: OwnedSemaphorePermit,
}

impl Lane {
    /// The most that can wait.
    pub(super) const MOST: usize = Semaphore::MAX_PERMITS;

    /// Nobody waits, and so many may.
    pub(super) fn new(room: usize) -> Self {
        Self { waiting: Mutex::default(), room: Arc::new(Semaphore::new(room)) }
    }

    /// Adds a job. True if nobody works on the lane: the caller begins to.
    pub(super) fn add(&self, job: Job) -> bool {
        let mut waiting = self.waiting.lock().expect("nobody panics while holding it");
        waiting.jobs.push_back(job);
        !std::mem::replace(&mut waiting.running, true)
    }

    /// The next batch: of one key, whom its events name, and without two jobs for the same report, of which the second
    /// is a replay of the first. What does not fit waits in its order. If nothing waits, the work ends.
    pub(super) fn take(&self, max: usize) -> Option<Vec<Job>> {
        let mut waiting = self.waiting.lock().expect("nobody panics while holding it");
        let mut batch: Vec<Job> = Vec::new();
        let mut passed_over = VecDeque::new();
        let mut references: HashSet<(String, String)> = HashSet::new();
        let mut requests: HashSet<Uuid> = HashSet::new();
        while let Some(job) = waiting.jobs.pop_front() {
            let same_key = batch.first().is_none_or(|first: &Job| first.call.key == job.call.key);
            let reference = (job.new.source.clone(), job.new.external_id.clone());
            let is_repeated = job.call.request_id.is_some_and(|id| requests.contains(&id));
            if same_key && !is_repeated && !references.contains(&reference) {
                references.insert(reference);
                requests.extend(job.call.request_id);
                batch.push(job);
                if batch.len() == max {
                    break;
                }
            } else {
                passed_over.push_back(job);
            }
        }
        passed_over.append(&mut waiting.jobs);
        waiting.jobs = passed_over;
        waiting.running = !batch.is_empty();
        (!batch.is_empty()).then_some(batch)
    }
}

/// Leaves the lane usable if its task panics. Who waited is told by the end of their channel.
pub(super) struct WorkOn(pub(super) Arc<Lane>);

impl Drop for WorkOn {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            waiting.jobs.clear();
            waiting.running = false;
        }
    }
}
