//! When things happen by themselves.
//!
//! A [`Pass`] is idempotent and takes no input: it finds in the database what is due. [`drive`] runs it whenever somebody
//! gives a hint, and from time to time without one; both run the same code, so a lost hint costs a little time and never
//! a delivery. What a pass does is `app`'s; the table of passes is [`mod@passes`].
//!
//! Left out on purpose: cron, priorities, a queue of jobs. The rows already say what is due, and when.

mod passes;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::{error, warn};

use crate::app::wake::Wake;
use crate::app::{App, Error, Progress};
use crate::domain::time::Timestamp;
use crate::telemetry::chain;

pub use passes::{Settings, look_until_idle, passes, run_until_idle};

/// After a failure the wait doubles from the pass's own period up to this.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// A pass that runs.
type Run = BoxFuture<'static, Result<Progress, Error>>;

/// Work that is done again and again.
pub struct Pass {
    /// What the log calls it.
    pub name: &'static str,
    /// How often to look when nobody says there is work.
    pub period: Duration,
    /// Who says so.
    hint: fn(&Wake) -> Option<&Notify>,
    run: Box<dyn Fn(Arc<App>, Timestamp) -> Run + Send + Sync>,
}

impl Pass {
    /// Does what is due, or a part of it.
    pub async fn run_once(&self, app: &Arc<App>, now: Timestamp) -> Result<Progress, Error> {
        (self.run)(app.clone(), now).await
    }
}

/// Runs a pass until the server goes down.
pub(crate) async fn drive(pass: Pass, app: Arc<App>, shutdown: CancellationToken) {
    let mut wait = pass.period;
    // Stops between runs, never inside one.
    while !shutdown.is_cancelled() {
        match AssertUnwindSafe(pass.run_once(&app, app.clock.now())).catch_unwind().await {
            Ok(Ok(Progress::More)) => {
                wait = pass.period;
                continue;
            }
            Ok(Ok(Progress::Idle)) => wait = pass.period,
            Ok(Err(error)) => {
                wait = longer(wait);
                warn!(pass = pass.name, error = %chain(&error), "{} failed, trying again in {wait:?}", pass.name);
            }
            Err(_) => {
                wait = longer(wait);
                // The panic hook has logged where.
                error!(pass = pass.name, "{} panicked, trying again in {wait:?}", pass.name);
            }
        }
        let hint = async {
            match (pass.hint)(&app.wake) {
                // A hint does not shorten the wait after a failure: whatever fails would fail again.
                Some(notify) if wait <= pass.period => notify.notified().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = hint => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

fn longer(wait: Duration) -> Duration {
    (wait * 2).min(LONGEST_WAIT.max(wait))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_after_failures_grows_to_a_minute_and_never_shrinks() {
        assert_eq!(longer(Duration::from_secs(1)), Duration::from_secs(2));
        assert_eq!(longer(Duration::from_secs(40)), LONGEST_WAIT);
        assert_eq!(longer(Duration::from_secs(3600)), Duration::from_secs(3600));
    }
}
