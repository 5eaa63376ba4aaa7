//! The real service in this process, with its time, its passes and its wire in the test's hands.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hearback::app::delivery::{Deliverer, DeliverySettings};
use hearback::app::intake::Intake;
use hearback::app::{App, Call, Error, Progress, auth};
use hearback::channel::egress::EgressPolicy;
use hearback::channel::{Channel, Channels, Message, Outcome, Sending};
use hearback::clock::Clock;
use hearback::domain::delivery::{DeliveryState, RetrySchedule};
use hearback::domain::id::{ClusterId, CustomerId, DeliveryId, TenantId};
use hearback::domain::ledger::Statement;
use hearback::domain::policy::{MultiDefect, Policy};
use hearback::domain::scope::{Scope, Scopes};
use hearback::domain::time::Timestamp;
use hearback::grpc::Api;
use hearback::store::dirty::{self, DirtyKind, Subject};
use hearback::store::tenant::ApiKey;
use hearback::store::{self, Direction, Store};
use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::metadata::{Ascii, MetadataValue};

use super::heard::{Answer, Kind, Sent};

/// How long a claim holds.
pub(super) const LEASE: Duration = Duration::from_secs(120);

/// The far end of the channel: writes down what arrives and answers as told.
#[derive(Clone)]
struct Wire(Arc<WireEnd>);

struct WireEnd {
    answers: Mutex<VecDeque<Answer>>,
    sent: Mutex<Vec<Sent>>,
    /// Somebody waits for an answer that does not come by itself, and which.
    stuck: Notify,
    crashed: Mutex<bool>,
    /// Lets slow answers through.
    gate: Semaphore,
}

impl Channel for Wire {
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            let end = &*self.0;
            let answer = end.answers.lock().expect("no panic").pop_front().unwrap_or(Answer::Delivered);
            let text = |field: &str| message.data[field].as_str().unwrap_or_default().to_owned();
            let kind = match message.kind {
                "correction.announced" => Kind::Correction,
                "fix.announced" => Kind::Fix,
                other => panic!("nobody asked for {other}"),
            };
            end.sent.lock().expect("no panic").push(Sent {
                delivery: message.delivery.to_string(),
                customer: message.customer.to_string(),
                address: message.address.clone(),
                kind,
                version: text("version"),
                verdict: text("verdict"),
                answer,
            });
            let detail = String::from("as told by the test");
            match answer {
                Answer::Delivered => Outcome::Delivered { detail },
                Answer::Retry => Outcome::Retry { not_before: None, detail },
                Answer::Bounced => Outcome::Rejected { bounced: true, detail },
                Answer::Unknown => Outcome::Unknown { detail },
                Answer::Crash => {
                    *end.crashed.lock().expect("no panic") = true;
                    end.stuck.notify_one();
                    std::future::pending().await
                }
                Answer::Slow => {
                    end.stuck.notify_one();
                    let _through = end.gate.acquire().await.expect("the gate is never closed");
                    Outcome::Delivered { detail }
                }
            }
        })
    }
}

/// How a run of the passes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Idle,
    /// Somebody died in the middle of sending.
    Crashed,
    /// Somebody is still sending.
    Slow,
}

/// The service of one history.
pub(super) struct Service {
    pub(super) api: Api,
    pub(super) app: Arc<App>,
    call: Call,
    credential: MetadataValue<Ascii>,
    wire: Wire,
    in_flight: Option<JoinHandle<Result<Progress, Error>>>,
    /// What each delivery stands for, as soon as something of it was sent.
    carried: HashMap<String, BTreeSet<String>>,
    _folder: tempfile::TempDir,
}

impl Service {
    pub(super) async fn start(any_defect: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder of our own");
        let store = Store::open_sqlite(&folder.path().join("hearback.db")).await.expect("a new file");
        let clock = Clock::manual(Timestamp::from_micros(1_800_000_000_000_000));
        let wire = Wire(Arc::new(WireEnd {
            answers: Mutex::default(),
            sent: Mutex::default(),
            stuck: Notify::new(),
            crashed: Mutex::default(),
            gate: Semaphore::new(0),
        }));
        let key = auth::fresh_key();
        let now = clock.now();
        let scope = store::tenant::insert(&store, TenantId::new(), "Acme", now).await.expect("a tenant");
        let txn = store.begin_system(scope, now).await.expect("a transaction");
        let api_key = ApiKey {
            id: key.id,
            display_name: "test".to_owned(),
            scopes: Scopes(vec![Scope::Admin]),
            create_time: now,
            expire_time: None,
            revoke_time: None,
        };
        store::tenant::insert_key(&txn, &api_key, &key.secret_hash).await.expect("a key");
        let multi_defect = if any_defect { MultiDefect::Any } else { MultiDefect::All };
        let policy = Policy { multi_defect, ..Policy::default() };
        store::tenant::update_policy(&txn, &policy).await.expect("a policy");
        txn.commit().await.expect("a commit");

        let settings = DeliverySettings {
            batch: 16,
            lease: LEASE,
            stream_lease: LEASE,
            stream_heartbeat: LEASE,
            per_destination: 16,
            // Never used up: what fails for good does so by its answer.
            schedule: RetrySchedule {
                delays: vec![Duration::from_secs(60); 100],
                jitter: 0.2,
                max_age: Duration::from_secs(3_000 * 24 * 3_600),
            },
            public_url: "https://hearback.example/".parse().expect("a URL"),
            reconcile_page: 2,
            sweep_period: Duration::from_secs(24 * 3_600),
        };
        let channels = Channels::default().with("email", wire.clone());
        let deliverer = Deliverer { channels, egress: EgressPolicy::default(), settings };
        let app = App::new(store, clock, Intake::new(TaskTracker::new(), 64, 64), deliverer);
        let call = app.authenticate(&key.text, now).await.expect("the key just made");
        let credential = format!("Bearer {}", key.text).parse().expect("a header");
        Self {
            api: Api::new(app.clone(), CancellationToken::new(), TaskTracker::new()),
            app,
            call,
            credential,
            wire,
            in_flight: None,
            carried: HashMap::new(),
            _folder: folder,
        }
    }

    /// A request with the tenant's key.
    pub(super) fn ask<T>(&self, message: T) -> tonic::Request<T> {
        let mut request = tonic::Request::new(message);
        request.metadata_mut().insert("authorization", self.credential.clone());
        request
    }

    pub(super) fn now(&self) -> i64 {
        self.app.clock.now().micros()
    }

    pub(super) fn advance(&self, by: Duration) {
        self.app.clock.advance(by);
    }

    pub(super) fn answer_with(&self, answers: &[Answer]) {
        *self.wire.0.answers.lock().expect("no panic") = answers.iter().copied().collect();
    }

    /// Lets go of sends that were slow.
    pub(super) async fn let_through(&mut self) {
        let Some(sending) = self.in_flight.take() else { return };
        self.wire.0.gate.add_permits(64);
        sending.await.expect("no panic").expect("a pass does not fail");
        self.wire.0.gate.forget_permits(64);
    }

    /// Looks at one page of what is marked, of each cluster.
    pub(super) async fn plan_page(&self) {
        self.app.reconcile_once(self.app.clock.now()).await.expect("a pass does not fail");
    }

    /// Plans what should be said, and sends nothing.
    pub(super) async fn plan(&self) {
        while let Progress::More = self.app.reconcile_once(self.app.clock.now()).await.expect("a pass does not fail") {}
    }

    /// Sends one batch of what is due. `None` if nothing was.
    pub(super) async fn send_batch(&mut self) -> Option<Ended> {
        let app = self.app.clone();
        let now = app.clock.now();
        let mut sending = tokio::spawn(async move { app.deliver_once(now).await });
        tokio::select! {
            biased;
            done = &mut sending => match done.expect("no panic").expect("a pass does not fail") {
                Progress::More => return Some(Ended::Idle),
                Progress::Idle => return None,
            },
            () = self.wire.0.stuck.notified() => {}
        }
        if std::mem::take(&mut *self.wire.0.crashed.lock().expect("no panic")) {
            sending.abort();
            let died = sending.await;
            assert!(died.is_err(), "it was stuck: {died:?}");
            return Some(Ended::Crashed);
        }
        // The rest of the batch is done, whatever is slow.
        while self.unfinished().await.iter().any(|delivery| delivery.is_sending && !self.is_slow(&delivery.id)) {
            tokio::task::yield_now().await;
        }
        self.in_flight = Some(sending);
        Some(Ended::Slow)
    }

    /// Whether a delivery is not of this batch, or is one that takes its time.
    fn is_slow(&self, delivery: &str) -> bool {
        let sent = self.wire.0.sent.lock().expect("no panic");
        sent.iter().rfind(|sent| sent.delivery == delivery).is_none_or(|sent| sent.answer == Answer::Slow)
    }

    pub(super) async fn sweep(&self) {
        self.app.sweep_once(self.app.clock.now()).await.expect("a pass does not fail");
    }

    pub(super) fn is_sending(&self) -> bool {
        self.in_flight.is_some()
    }

    /// What was sent since this was last asked, each with the defects (by id) that it was about.
    pub(super) async fn take_sent(&mut self) -> Vec<(Sent, BTreeSet<String>)> {
        let sent = std::mem::take(&mut *self.wire.0.sent.lock().expect("no panic"));
        let ids: Vec<DeliveryId> = sent.iter().map(|sent| sent.delivery.parse().expect("a delivery's id")).collect();
        let statements =
            store::statement::of_deliveries(&self.app.read(&self.call), &ids).await.expect("the ledger can be read");
        let mut now: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for statement in statements {
            if let Some(delivery) = statement.delivery_id {
                now.entry(delivery.to_string()).or_default().insert(statement.defect_id.to_string());
            }
        }
        // What a delivery stands for was fixed when it was planned, even if the ledger has dropped it since.
        for (delivery, defects) in now {
            self.carried.entry(delivery).or_default().extend(defects);
        }
        sent.into_iter()
            .map(|sent| {
                let defects = self.carried.get(&sent.delivery).cloned().unwrap_or_default();
                (sent, defects)
            })
            .collect()
    }

    /// Deliveries that are not finished: id, customer, and when something will be done about each.
    pub(super) async fn unfinished(&self) -> Vec<Unfinished> {
        let filter = store::delivery::Filter::default();
        let db = self.app.read(&self.call);
        let page = store::delivery::list(&db, &filter, None, Direction::Ascending, 10_000).await;
        let deliveries = page.expect("deliveries can be read").items;
        deliveries
            .into_iter()
            .filter(|delivery| !delivery.state.is_final())
            .map(|delivery| Unfinished {
                id: delivery.id.to_string(),
                customer: delivery.customer_id.to_string(),
                kind: match delivery.stage {
                    hearback::domain::announcement::Stage::Correction => Kind::Correction,
                    _ => Kind::Fix,
                },
                due: match delivery.state {
                    DeliveryState::Sending => delivery.lease_expire_time,
                    _ => Some(delivery.next_attempt_time),
                }
                .map_or(i64::MIN, |time| time.micros()),
                is_sending: delivery.state == DeliveryState::Sending,
            })
            .collect()
    }

    /// What is marked to be looked at now.
    pub(super) async fn marks(&self) -> Marks {
        let mut marks = Marks::default();
        for &kind in DirtyKind::ALL {
            let due = dirty::due(&self.app.store, kind, self.app.clock.now(), 10_000).await.expect("marks can be read");
            for mark in due {
                match mark.subject {
                    Subject::Customer(id) => drop(marks.customers.insert(id)),
                    Subject::Cluster(id) => drop(marks.clusters.insert(id, mark.page_cursor)),
                }
            }
        }
        marks
    }

    /// The told-truth ledger of these customers.
    pub(super) async fn ledger(&self, customers: &[CustomerId]) -> Vec<Statement> {
        store::statement::of_customers(&self.app.read(&self.call), customers).await.expect("the ledger can be read")
    }

    /// The sequence numbers of the tenant's history.
    pub(super) async fn sequences(&self) -> Vec<i64> {
        let events = store::event::after(&self.app.read(&self.call), 0, 100_000).await.expect("events can be read");
        events.into_iter().map(|event| event.sequence).collect()
    }
}

/// A delivery whose outcome is open.
#[derive(Debug)]
pub(super) struct Unfinished {
    pub(super) id: String,
    pub(super) customer: String,
    pub(super) kind: Kind,
    /// When it is tried again, or its lease ends.
    pub(super) due: i64,
    pub(super) is_sending: bool,
}

/// What somebody will look at.
#[derive(Debug, Default)]
pub(super) struct Marks {
    pub(super) customers: BTreeSet<CustomerId>,
    /// With the last customer that the walk over the cluster has passed.
    pub(super) clusters: BTreeMap<ClusterId, Option<CustomerId>>,
}

impl Marks {
    pub(super) fn is_empty(&self) -> bool {
        self.customers.is_empty() && self.clusters.is_empty()
    }
}
