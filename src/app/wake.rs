//! Hints that there is work, or news. Losing one costs a little time: everybody who waits also looks by themselves.

use tokio::sync::{Notify, watch};

/// Hints, one for each kind of waiter.
#[derive(Debug)]
pub struct Wake {
    /// Something was marked dirty.
    pub reconcile: Notify,
    /// A delivery is due.
    pub deliver: Notify,
    events: watch::Sender<u64>,
}

impl Default for Wake {
    fn default() -> Self {
        Self::new()
    }
}

impl Wake {
    /// Nothing to do so far.
    pub fn new() -> Self {
        Self { reconcile: Notify::new(), deliver: Notify::new(), events: watch::Sender::new(0) }
    }

    /// Something was committed: there may be events to send on, dirty marks to work on and deliveries to make.
    pub fn committed(&self) {
        self.events.send_modify(|count| *count = count.wrapping_add(1));
        self.reconcile.notify_one();
        self.deliver.notify_one();
    }

    /// For watchers of the history: changes with every commit of this process.
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.events.subscribe()
    }
}
