//! What comes of tries: each outcome is recorded once, under the lease it was tried under, and followed through to the
//! delivery, the ledger and the announcement.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::json;
use tracing::{info, warn};

use crate::domain::announcement::{Announcement, AnnouncementState, Stage};
use crate::domain::customer::ContactState;
use crate::domain::delivery::{Delivery, DeliveryState, Outcome, Settled};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{AnnouncementId, DeliveryId};
use crate::domain::ledger::{CANCELLED_BY_PERSON, Statement, StatementState};
use crate::domain::time::Timestamp;
use crate::store::dirty::{self, Subject};
use crate::store::{self, TenantScope, Txn};

use super::super::{App, Error, announcement};

/// What came of one claimed delivery.
#[derive(Debug, Clone)]
pub struct Reported {
    /// Which.
    pub delivery: DeliveryId,
    /// Under which lease.
    pub lease_token: i64,
    /// What came of it.
    pub outcome: Outcome,
    /// What the other side said.
    pub detail: String,
}

/// Why a delivery ended UNCONFIRMED: it may have arrived, and nobody will find out.
pub(in crate::app) const OUTCOME_UNKNOWN: &str = "outcome_unknown";
/// Most characters of what the other side said that are kept.
const MAX_DETAIL: usize = 1_000;

impl App {
    /// Records what came of tries. One whose lease is no longer the current one changes nothing and is not counted.
    pub(crate) async fn record_outcomes(
        &self,
        scope: TenantScope,
        reported: Vec<Reported>,
        now: Timestamp,
    ) -> Result<Vec<DeliveryId>, Error> {
        let mut txn = self.store.begin_system(scope, now).await?;
        let mut deliveries: HashMap<DeliveryId, Delivery> =
            store::delivery::by_ids(&txn.read(), reported.iter().map(|reported| reported.delivery))
                .await?
                .into_iter()
                .map(|delivery| (delivery.id, delivery))
                .collect();
        let mut outcomes = Outcomes::default();
        let mut applied = Vec::new();
        for reported in reported {
            let Some(delivery) = deliveries.get_mut(&reported.delivery) else { continue };
            if delivery.state != DeliveryState::Sending || delivery.lease_token != reported.lease_token {
                let id = delivery.id;
                warn!(delivery.id = %id, "an outcome of {id} came after its lease had ended and changes nothing");
                continue;
            }
            self.settle(&mut txn, delivery, &reported.outcome, &reported.detail).await?;
            note(&mut outcomes, delivery);
            applied.push(delivery.id);
        }
        announcement::add_outcomes(&mut txn, &outcomes).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(applied)
    }

    /// Writes what follows from one try's outcome.
    pub(super) async fn settle(
        &self,
        txn: &mut Txn,
        delivery: &mut Delivery,
        outcome: &Outcome,
        detail: &str,
    ) -> Result<(), Error> {
        let now = txn.now();
        let detail: String = detail.chars().take(MAX_DETAIL).collect();
        store::delivery::finish_attempt(txn, delivery.id, delivery.lease_token, outcome.record(), &detail).await?;
        let first_try = match outcome {
            Outcome::Retry { .. } | Outcome::Unknown => store::delivery::first_try_time(&txn.read(), delivery).await?,
            Outcome::Delivered | Outcome::Rejected { .. } => None,
        };
        let first_try = first_try.unwrap_or(now);
        let settled = delivery.settle(outcome, &self.delivery.settings.schedule, first_try, now, rand::random());
        let goes_on = matches!(settled, Settled::Again(_) | Settled::NextContact { .. });
        let is_stopped = goes_on && is_cancelled(txn, delivery.announcement_id).await?;
        match settled {
            // A person stopped it while it was being sent: whatever came of that, nothing more of it is tried.
            Settled::Again(_) if is_stopped && (*outcome == Outcome::Unknown || delivery.may_have_arrived()) => {
                finish(txn, delivery, DeliveryState::Unconfirmed, OUTCOME_UNKNOWN).await?;
            }
            Settled::Again(_) if is_stopped => {
                finish(txn, delivery, DeliveryState::Cancelled, CANCELLED_BY_PERSON).await?;
            }
            Settled::Told => finish(txn, delivery, DeliveryState::Delivered, "").await?,
            Settled::Unconfirmed => finish(txn, delivery, DeliveryState::Unconfirmed, OUTCOME_UNKNOWN).await?,
            Settled::Again(time) => {
                delivery.state = DeliveryState::Pending;
                delivery.next_attempt_time = time;
                delivery.lease_expire_time = None;
                delivery.unknown_count += i32::from(*outcome == Outcome::Unknown);
                outcome.record().as_str().clone_into(&mut delivery.reason);
                delivery.update_time = now;
                store::delivery::update(txn, delivery.clone()).await?;
                if delivery.may_have_arrived() {
                    // If it became false while it was under way, it is taken back now and not at the next try.
                    dirty::mark(txn, [Subject::Customer(delivery.customer_id)], now).await?;
                }
            }
            Settled::NextContact { reason, bounced } => {
                if bounced {
                    let contact = delivery.contact_point_id;
                    store::customer::set_contact_state(txn, contact, ContactState::Bounced).await?;
                    txn.record(NewEvent::new(EventKind::ContactPointBounced, contact).customer(delivery.customer_id));
                }
                if is_stopped {
                    finish(txn, delivery, DeliveryState::Cancelled, CANCELLED_BY_PERSON).await?;
                } else {
                    self.next_contact(txn, delivery, reason).await?;
                }
            }
        }
        Ok(())
    }

    /// Goes on with the customer's next contact point, or ends the delivery if there is none.
    async fn next_contact(&self, txn: &mut Txn, delivery: &mut Delivery, reason: &'static str) -> Result<(), Error> {
        let contacts = store::customer::contact_points_of(&txn.read(), &[delivery.customer_id]).await?;
        let tried: BTreeSet<_> = store::delivery::attempts_of(&txn.read(), &[delivery.id])
            .await?
            .into_iter()
            .map(|attempt| attempt.contact_point_id)
            .collect();
        let enabled = self.delivery.enabled();
        let next = contacts.into_iter().find(|contact| {
            contact.state == ContactState::Active && enabled.contains(&contact.channel) && !tried.contains(&contact.id)
        });
        let Some(next) = next else {
            return finish(txn, delivery, DeliveryState::Failed, reason).await;
        };
        delivery.contact_point_id = next.id;
        delivery.channel = next.channel;
        delivery.contact_attempt_count = 0;
        delivery.unknown_count = 0;
        delivery.state = DeliveryState::Pending;
        reason.clone_into(&mut delivery.reason);
        delivery.next_attempt_time = txn.now();
        delivery.lease_expire_time = None;
        delivery.update_time = txn.now();
        store::delivery::update(txn, delivery.clone()).await?;
        Ok(())
    }
}

/// The final states that deliveries came to, by announcement.
pub(in crate::app) type Outcomes = BTreeMap<AnnouncementId, Vec<DeliveryState>>;

pub(super) fn note(outcomes: &mut Outcomes, delivery: &Delivery) {
    if delivery.state.is_final() {
        outcomes.entry(delivery.announcement_id).or_default().push(delivery.state);
    }
}

async fn is_cancelled(txn: &Txn, id: AnnouncementId) -> Result<bool, Error> {
    let found = store::announcement::find(&txn.read(), id).await?;
    Ok(found.is_some_and(|announcement| announcement.state == AnnouncementState::Cancelled))
}

/// Gives a delivery its final state and writes what that means for the ledger.
pub(in crate::app) async fn finish(
    txn: &mut Txn,
    delivery: &mut Delivery,
    state: DeliveryState,
    reason: &'static str,
) -> Result<(), Error> {
    let now = txn.now();
    delivery.state = state;
    reason.clone_into(&mut delivery.reason);
    delivery.finish_time = Some(now);
    delivery.lease_expire_time = None;
    delivery.update_time = now;
    store::delivery::update(txn, delivery.clone()).await?;
    let carried = store::statement::of_deliveries(&txn.read(), &[delivery.id]).await?;
    match state {
        DeliveryState::Delivered => told(txn, delivery, &carried, StatementState::Told).await?,
        DeliveryState::Unconfirmed => told(txn, delivery, &carried, StatementState::Unconfirmed).await?,
        _ => store::statement::suppress(txn, &[delivery.id], reason).await?,
    }
    txn.record(
        NewEvent::new(EventKind::DeliveryFinished, delivery.id)
            .customer(delivery.customer_id)
            .cluster(delivery.cluster_id)
            .data(json!({
                "announcement_id": delivery.announcement_id, "state": state, "stage": delivery.stage,
                "reason": reason, "channel": delivery.channel, "version": delivery.version,
                "verdict": delivery.verdict,
            })),
    );
    // The loop of this customer's reports follows, and whatever is to be said next.
    dirty::mark(txn, [Subject::Customer(delivery.customer_id)], now).await?;
    let (id, channel) = (delivery.id, delivery.channel);
    info!(delivery.id = %id, attempt_count = delivery.attempt_count, "{id} by {channel} ended as {state}");
    Ok(())
}

async fn told(txn: &Txn, delivery: &Delivery, carried: &[Statement], state: StatementState) -> Result<(), Error> {
    store::statement::told(txn, &[delivery.id], state).await?;
    for correction in carried.iter().filter(|statement| statement.stage == Stage::Correction) {
        store::statement::withdraw(txn, correction.customer_id, correction.defect_id, correction.ordinal).await?;
    }
    Ok(())
}

/// Whether every delivery of an announcement is final, and what that makes of it.
pub(in crate::app) async fn complete_if_finished(txn: &mut Txn, announcement: &mut Announcement) -> Result<(), Error> {
    if announcement.state == AnnouncementState::Approved
        && announcement.recipient_count > 0
        && !store::delivery::any_unfinished(&txn.read(), announcement.id).await?
    {
        announcement.state = AnnouncementState::Completed;
        txn.record(NewEvent::new(EventKind::AnnouncementCompleted, announcement.id).cluster(announcement.cluster_id));
    }
    Ok(())
}
