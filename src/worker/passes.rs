//! The table of passes.

use std::sync::Arc;
use std::time::Duration;

use crate::app::matcher::Save;
use crate::app::{App, Error, Progress};
use crate::config::{DeliveryConfig, IdempotencyConfig, MatchingConfig, ReconcileConfig};
use crate::store::request;

use super::Pass;

/// How often to forget old answers: seldom enough not to matter, often enough to stay small.
const EXPIRE_PERIOD: Duration = Duration::from_secs(10 * 60);
/// How often to look for reports of which the embedder said nothing: what came while it was away goes by the table.
const EMBED_PERIOD: Duration = Duration::from_secs(10);
/// The longest sleep of the sweep: it asks the database what is due, which is cheap.
const SWEEP_LOOK: Duration = Duration::from_secs(30);
/// More rounds than any test's work needs; a pass that always finds more is at fault.
const MANY_ROUNDS: usize = 100_000;

/// How often passes look, and what they keep.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How often to look for dirty clusters without a hint.
    pub reconcile_period: Duration,
    /// How often everything is compared afresh.
    pub sweep_period: Duration,
    /// How often to look for due deliveries without a hint.
    pub deliver_period: Duration,
    /// How long the answer to a request is remembered.
    pub retention: Duration,
    /// How often to look whether a matching index should be kept.
    pub snapshot_period: Duration,
    /// How often a few clusters have a second look; never if it is switched off.
    pub second_look_period: Option<Duration>,
}

impl Settings {
    /// As configured.
    pub fn new(
        reconcile: &ReconcileConfig,
        delivery: &DeliveryConfig,
        idempotency: &IdempotencyConfig,
        matching: &MatchingConfig,
    ) -> Self {
        Self {
            reconcile_period: reconcile.poll,
            sweep_period: reconcile.sweep,
            deliver_period: delivery.poll,
            retention: idempotency.retention,
            snapshot_period: matching.snapshot_poll,
            second_look_period: matching.second_look.then_some(matching.second_look_poll),
        }
    }
}

/// Every pass there is, less what is switched off.
pub fn passes(settings: &Settings) -> Vec<Pass> {
    let retention = settings.retention;
    let mut passes = vec![
        // Compares what is true with what was told, and plans what should be said.
        Pass {
            name: "reconcile",
            period: settings.reconcile_period,
            hint: |wake| Some(&wake.reconcile),
            run: Box::new(|app, now| Box::pin(async move { app.reconcile_once(now).await })),
        },
        // Marks what nobody marked, so that a lost mark costs time and not a customer.
        Pass {
            name: "sweep",
            period: settings.sweep_period.min(SWEEP_LOOK),
            hint: |_| None,
            run: Box::new(|app, now| Box::pin(async move { app.sweep_once(now).await })),
        },
        // Sends what is due.
        Pass {
            name: "deliver",
            period: settings.deliver_period,
            hint: |wake| Some(&wake.deliver),
            run: Box::new(|app, now| Box::pin(async move { app.deliver_once(now).await })),
        },
        // Asks the embedder for what is lacking, if one is configured.
        Pass {
            name: "embed",
            period: EMBED_PERIOD,
            hint: |_| None,
            run: Box::new(|app, now| Box::pin(async move { app.embed_once(now).await })),
        },
        // Keeps the matching indexes for the next start.
        Pass {
            name: "snapshot",
            period: settings.snapshot_period,
            hint: |_| None,
            run: Box::new(|app, _| {
                Box::pin(async move {
                    app.save_indexes(Save::NowAndThen).await?;
                    Ok(Progress::Idle)
                })
            }),
        },
        // Forgets the answers to requests that nobody will repeat any more.
        Pass {
            name: "expire",
            period: EXPIRE_PERIOD,
            hint: |_| None,
            run: Box::new(move |app, now| {
                Box::pin(async move {
                    request::forget_before(&app.store, now - retention).await?;
                    Ok(Progress::Idle)
                })
            }),
        },
    ];
    passes.extend(settings.second_look_period.map(second_look));
    passes
}

/// Looks at clusters that changed: what they are about, which may be one, which may be several. It is not urgent, and it
/// shares the matching index with new reports.
fn second_look(period: Duration) -> Pass {
    Pass {
        name: "second look",
        period,
        hint: |_| None,
        run: Box::new(|app, now| {
            Box::pin(async move {
                // However much there is, the next turn comes after the period: nobody waits for it.
                app.look_again_once(now).await?;
                Ok(Progress::Idle)
            })
        }),
    }
}

/// Runs what announces and delivers until there is nothing left to do now. For tests, which own the time.
///
/// # Errors
/// The first one of any pass.
///
/// # Panics
/// If a pass never says that it is idle.
pub async fn run_until_idle(app: &Arc<App>) -> Result<(), Error> {
    for _ in 0..MANY_ROUNDS {
        let now = app.clock.now();
        let done = [
            app.sweep_once(now).await?,
            app.reconcile_once(now).await?,
            app.deliver_once(now).await?,
            app.embed_once(now).await?,
        ];
        if done.iter().all(|progress| matches!(progress, Progress::Idle)) {
            return Ok(());
        }
    }
    panic!("a pass finds more to do each time it is run");
}

/// Looks at every cluster that is due for a second look. For tests, as [`run_until_idle`], of which it is no part:
/// nothing that is announced or delivered depends on it.
///
/// # Errors
/// The first one.
///
/// # Panics
/// If a cluster is due again each time it was looked at.
pub async fn look_until_idle(app: &Arc<App>) -> Result<(), Error> {
    for _ in 0..MANY_ROUNDS {
        if app.look_again_once(app.clock.now()).await? == Progress::Idle {
            return Ok(());
        }
    }
    panic!("a cluster is due for a second look each time it had one");
}
