//! Watching the history: every event once, in order, from a token on and then as they happen (law 15).
//!
//! A feed remembers one number, the sequence of the last event it gave out, and asks the database for what comes after.
//! Because sequences are given inside the tenant's serialised transactions, nothing can appear before it later. Being
//! woken and looking by itself run the same code: commits of this process wake it, those of other replicas are found
//! within [`POLL`].

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::sync::watch;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::domain::event::Event;
use crate::domain::id::ApiKeyId;
use crate::store::{TenantScope, event};

use super::{App, Call, Error};

/// How soon commits of other replicas are seen.
const POLL: Duration = Duration::from_secs(1);
/// Events read at once: a watcher that starts at the beginning costs no more memory than one that is up to date.
const PAGE: u64 = 200;

/// Where a watcher begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Start {
    /// With the next event.
    Next,
    /// With the first event.
    Beginning,
    /// After the event that this token names.
    After(String),
}

/// What a feed brings.
#[derive(Debug)]
pub enum Feed {
    /// The next events, in order; never none.
    Events(Vec<Event>),
    /// Nothing happened for a while; the watcher is up to date.
    Heartbeat,
    /// The server is going down.
    End,
}

/// One watcher's place in the history.
pub struct EventFeed {
    app: Arc<App>,
    scope: TenantScope,
    key: Option<ApiKeyId>,
    after: i64,
    woken: watch::Receiver<u64>,
    poll: Interval,
    /// There may be more than was read.
    behind: bool,
    silent_since: Instant,
    shutdown: CancellationToken,
}

impl EventFeed {
    /// The events after this sequence number.
    pub fn new(app: Arc<App>, scope: TenantScope, after: i64, shutdown: CancellationToken) -> Self {
        let woken = app.wake.subscribe();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { app, scope, key: None, after, woken, poll, behind: true, silent_since: Instant::now(), shutdown }
    }

    /// Ends with an error once the caller's key is revoked or has expired: a stream outlives the call that began it.
    pub fn as_long_as_valid(mut self, call: &Call) -> Self {
        self.key = Some(call.key);
        self
    }

    /// The sequence number of the last event it brought.
    pub fn sequence(&self) -> i64 {
        self.after
    }

    /// Whose history.
    pub fn scope(&self) -> TenantScope {
        self.scope
    }

    /// Waits for what comes next. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Feed, Error> {
        loop {
            if self.shutdown.is_cancelled() {
                return Ok(Feed::End);
            }
            if let Some(key) = self.key {
                self.app.check_key(self.scope, key).await?;
            }
            if self.behind {
                self.woken.mark_unchanged();
                let events = event::after(&self.app.store.reader(self.scope), self.after, PAGE).await?;
                self.behind = u64::try_from(events.len()).is_ok_and(|count| count == PAGE);
                if let Some(last) = events.last() {
                    self.after = last.sequence;
                    self.silent_since = Instant::now();
                    return Ok(Feed::Events(events));
                }
            }
            tokio::select! {
                () = self.shutdown.cancelled() => return Ok(Feed::End),
                // It cannot fail: the sender lives in the app, which this holds.
                _ = self.woken.changed() => self.behind = true,
                _ = self.poll.tick() => self.behind = true,
                () = tokio::time::sleep_until(self.silent_since + self.app.delivery.settings.stream_heartbeat) => {
                    self.silent_since = Instant::now();
                    return Ok(Feed::Heartbeat);
                }
            }
        }
    }
}

/// Binds a token to its tenant, so that one of another history is recognised. It gives no authority.
fn checksum(scope: TenantScope, sequence: i64) -> [u8; 4] {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(scope.tenant().uuid().as_bytes());
    hasher.update(&sequence.to_be_bytes());
    hasher.finalize().to_be_bytes()
}

/// The token that resumes after this event.
pub(crate) fn encode_token(scope: TenantScope, sequence: i64) -> String {
    let mut bytes = checksum(scope, sequence).to_vec();
    bytes.extend(sequence.to_be_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// The sequence number a token names. Whether the history goes that far is for [`App::watch`] to see.
pub(crate) fn decode_token(scope: TenantScope, token: &str) -> Result<i64, Error> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).map_err(|_| Error::CursorUnknown)?;
    let (sum, sequence) = bytes.split_first_chunk::<4>().ok_or(Error::CursorUnknown)?;
    let sequence = i64::from_be_bytes(sequence.try_into().map_err(|_| Error::CursorUnknown)?);
    if *sum == checksum(scope, sequence) { Ok(sequence) } else { Err(Error::CursorUnknown) }
}

impl App {
    /// Begins to watch the caller's history. A token of another history, or from beyond this one's end (a database that
    /// was restored from a backup), is refused: resuming there would skip events.
    pub async fn watch(
        self: &Arc<Self>,
        call: &Call,
        start: &Start,
        shutdown: CancellationToken,
    ) -> Result<EventFeed, Error> {
        let after = match start {
            Start::Beginning => 0,
            Start::Next => event::last_sequence(&self.read(call)).await?,
            Start::After(token) => {
                let sequence = decode_token(call.scope, token)?;
                if !(0..=event::last_sequence(&self.read(call)).await?).contains(&sequence) {
                    return Err(Error::CursorUnknown);
                }
                sequence
            }
        };
        Ok(EventFeed::new(self.clone(), call.scope, after, shutdown).as_long_as_valid(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TenantId;
    use crate::domain::time::Timestamp;
    use crate::store::{Store, tenant};

    #[tokio::test]
    async fn law_13_a_token_resumes_its_own_history_only() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open_sqlite(&folder.path().join("test.db")).await.expect("a database");
        let now = Timestamp::from_micros(0);
        let ours = tenant::insert(&store, TenantId::new(), "ours", now).await.expect("a tenant");
        let theirs = tenant::insert(&store, TenantId::new(), "theirs", now).await.expect("a tenant");
        let token = encode_token(ours, 7);
        assert_eq!(decode_token(ours, &token).expect("its own"), 7);
        for (scope, token) in [(theirs, token.as_str()), (ours, ""), (ours, "AAAA"), (ours, "no token!")] {
            assert!(matches!(decode_token(scope, token), Err(Error::CursorUnknown)), "{token}");
        }
    }
}
