//! Deliveries: one announcement to one customer, tried until its outcome is final.
//!
//! A try is recorded before anything is sent, under a lease. If this process dies in between, the lease ends, and the
//! try is known to have an unknown outcome: it may have arrived. What may then be repeated, and under which key, is
//! decided here, in [`Delivery::settle`].

use std::time::Duration;

use super::announcement::Stage;
use super::coverage::Verdict;
use super::customer::ChannelKind;
use super::id::{AnnouncementId, AttemptId, ClusterId, ContactPointId, CustomerId, DeliveryId, ReleaseId, TenantId};
use super::text_enum;
use super::time::Timestamp;

text_enum! {
    /// Where a delivery stands.
    pub enum DeliveryState {
        /// Waits for its announcement's approval.
        AwaitingApproval = "AWAITING_APPROVAL",
        /// Due, or waiting for its next try.
        Pending = "PENDING",
        /// Being tried, under a lease.
        Sending = "SENDING",
        /// The channel took it.
        Delivered = "DELIVERED",
        /// It may have arrived and cannot be repeated safely.
        Unconfirmed = "UNCONFIRMED",
        /// Every contact point failed for good, or too many tries did.
        Failed = "FAILED",
        /// Something at the last moment forbade it.
        Suppressed = "SUPPRESSED",
        /// Its announcement was cancelled, or it stopped being true before it was sent.
        Cancelled = "CANCELLED",
    }
}

impl DeliveryState {
    /// Whether nothing more will happen.
    pub fn is_final(self) -> bool {
        !matches!(self, Self::AwaitingApproval | Self::Pending | Self::Sending)
    }

    /// Whether the customer was, or may have been, told.
    pub fn may_have_told(self) -> bool {
        matches!(self, Self::Delivered | Self::Unconfirmed)
    }
}

text_enum! {
    /// What came of one try.
    pub enum AttemptOutcome {
        /// Recorded before sending; no outcome yet.
        Started = "started",
        /// Taken.
        Delivered = "delivered",
        /// Not now.
        Retry = "retry",
        /// Never, by this contact point.
        Rejected = "rejected",
        /// It may have arrived.
        Unknown = "unknown",
    }
}

/// One announcement to one customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// Its id, and the idempotency key of every try.
    pub id: DeliveryId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its announcement.
    pub announcement_id: AnnouncementId,
    /// The cluster it is about.
    pub cluster_id: ClusterId,
    /// Whom it tells.
    pub customer_id: CustomerId,
    /// What it says.
    pub stage: Stage,
    /// The contact point to use next, or used last.
    pub contact_point_id: ContactPointId,
    /// Its channel.
    pub channel: ChannelKind,
    /// Where it stands.
    pub state: DeliveryState,
    /// Why, for anything but success.
    pub reason: String,
    /// What coverage said when it was planned; `None` for what does not rest on coverage.
    pub verdict: Option<Verdict>,
    /// The release it names.
    pub release_id: Option<ReleaseId>,
    /// Its version; empty if none.
    pub version: String,
    /// Tries so far, over all contact points.
    pub attempt_count: i32,
    /// Of them, those of the current contact point: each begins the schedule anew.
    pub contact_attempt_count: i32,
    /// Tries of the current contact point whose outcome is unknown.
    pub unknown_count: i32,
    /// When it is tried next.
    pub next_attempt_time: Timestamp,
    /// Rises with every lease: an outcome counts only with the current one.
    pub lease_token: i64,
    /// When the lease ends.
    pub lease_expire_time: Option<Timestamp>,
    /// When it was planned.
    pub create_time: Timestamp,
    /// When it reached its final state.
    pub finish_time: Option<Timestamp>,
    /// When it last changed.
    pub update_time: Timestamp,
}

/// One try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub id: AttemptId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Its delivery.
    pub delivery_id: DeliveryId,
    /// 1 for the first.
    pub number: i32,
    /// What was tried.
    pub contact_point_id: ContactPointId,
    /// The lease it ran under.
    pub lease_token: i64,
    /// What came of it.
    pub outcome: AttemptOutcome,
    /// What the other side said.
    pub detail: String,
    /// When it was recorded, before sending.
    pub start_time: Timestamp,
    /// When its outcome was recorded.
    pub finish_time: Option<Timestamp>,
}

/// What came of a try, as its channel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Taken.
    Delivered,
    /// Not now; not before `not_before` has passed, if the other side said so.
    Retry {
        /// The other side's wish.
        not_before: Option<Duration>,
    },
    /// Never, by this contact point.
    Rejected {
        /// The address does not exist.
        bounced: bool,
    },
    /// It may have arrived.
    Unknown,
}

impl Outcome {
    /// How it is recorded.
    pub fn record(&self) -> AttemptOutcome {
        match self {
            Self::Delivered => AttemptOutcome::Delivered,
            Self::Retry { .. } => AttemptOutcome::Retry,
            Self::Rejected { .. } => AttemptOutcome::Rejected,
            Self::Unknown => AttemptOutcome::Unknown,
        }
    }
}

/// When to try again.
#[derive(Debug, Clone)]
pub struct RetrySchedule {
    /// The pause after the first failed try, the second, and so on; when they are used up, it has failed.
    pub delays: Vec<Duration>,
    /// How far a pause is varied, as a share of it: 0.2 is ±20 %.
    pub jitter: f64,
    /// A contact point that was first tried longer ago than this has failed. It is not the age of the delivery: that may
    /// have waited for days for a person's approval or for the morning before anything was tried.
    pub max_age: Duration,
}

/// Why a delivery failed whose every address refused it.
pub const REJECTED: &str = "rejected";
/// Why a delivery failed whose tries are used up.
pub const RETRIES_EXHAUSTED: &str = "retries_exhausted";
/// Why a delivery failed whose letter could not be written.
pub const UNWRITABLE: &str = "unwritable";

/// What follows from an outcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// The customer was told.
    Told,
    /// The customer may have been told, and must not be tried again.
    Unconfirmed,
    /// Try the same contact point again at this time.
    Again(Timestamp),
    /// This contact point is finished: take the next one, or fail with this reason.
    NextContact {
        /// Why this one is finished.
        reason: &'static str,
        /// Its address does not exist.
        bounced: bool,
    },
}

impl Delivery {
    /// Whether a try of the current contact point may have arrived without anybody knowing.
    pub fn may_have_arrived(&self) -> bool {
        self.unknown_count > 0
    }

    /// What follows from a try's outcome. `first_try` is when its contact point was first tried; `dice` is a random
    /// number from 0 to 1.
    ///
    /// An unknown outcome is repeated only under the delivery's own id. A webhook's or stream's receiver drops the
    /// second of two equal ids, so those are repeated like any other failure. Mail servers promise no such thing: the
    /// same Message-ID is sent once more, and then the delivery is UNCONFIRMED.
    pub fn settle(
        &self,
        outcome: &Outcome,
        schedule: &RetrySchedule,
        first_try: Timestamp,
        now: Timestamp,
        dice: f64,
    ) -> Settled {
        let next_try = |not_before| self.next_try(schedule, first_try, now, dice, not_before);
        match outcome {
            Outcome::Delivered => Settled::Told,
            Outcome::Rejected { bounced: true } => Settled::NextContact { reason: "bounced", bounced: true },
            // An earlier try may have arrived: another address would be a second telling. Only a help desk on the stream
            // knows what became of the delivery as a whole: it speaks of the id, not of one try.
            Outcome::Rejected { bounced: false } if self.may_have_arrived() && self.channel != ChannelKind::Stream => {
                Settled::Unconfirmed
            }
            Outcome::Rejected { bounced: false } => Settled::NextContact { reason: REJECTED, bounced: false },
            Outcome::Unknown if self.channel == ChannelKind::Email && self.unknown_count >= 1 => Settled::Unconfirmed,
            Outcome::Unknown => match next_try(None) {
                Some(time) => Settled::Again(time),
                None => Settled::Unconfirmed,
            },
            Outcome::Retry { not_before } => match next_try(*not_before) {
                Some(time) => Settled::Again(time),
                // It may have arrived in an earlier try of unknown outcome: another address would be a second telling.
                None if self.unknown_count > 0 => Settled::Unconfirmed,
                None => Settled::NextContact { reason: RETRIES_EXHAUSTED, bounced: false },
            },
        }
    }

    fn next_try(
        &self,
        schedule: &RetrySchedule,
        first_try: Timestamp,
        now: Timestamp,
        dice: f64,
        not_before: Option<Duration>,
    ) -> Option<Timestamp> {
        let failed = usize::try_from(self.contact_attempt_count).unwrap_or(usize::MAX).saturating_sub(1);
        let delay = schedule.delays.get(failed)?;
        let varied = delay.mul_f64(1.0 + schedule.jitter * (2.0 * dice - 1.0));
        let time = now + varied.max(not_before.unwrap_or_default());
        (time.since(first_try) <= schedule.max_age).then_some(time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(channel: ChannelKind) -> Delivery {
        let start = Timestamp::from_micros(0);
        Delivery {
            id: DeliveryId::new(),
            tenant_id: TenantId::new(),
            announcement_id: AnnouncementId::new(),
            cluster_id: ClusterId::new(),
            customer_id: CustomerId::new(),
            stage: Stage::FixAvailable,
            contact_point_id: ContactPointId::new(),
            channel,
            state: DeliveryState::Sending,
            reason: String::new(),
            verdict: None,
            release_id: None,
            version: String::new(),
            attempt_count: 1,
            contact_attempt_count: 1,
            unknown_count: 0,
            next_attempt_time: start,
            lease_token: 1,
            lease_expire_time: None,
            create_time: start,
            finish_time: None,
            update_time: start,
        }
    }

    fn schedule() -> RetrySchedule {
        RetrySchedule {
            delays: vec![Duration::from_secs(5), Duration::from_secs(300)],
            jitter: 0.2,
            max_age: Duration::from_secs(3600),
        }
    }

    #[test]
    fn law_9_a_mail_of_unknown_outcome_is_repeated_once_and_then_unconfirmed() {
        let now = Timestamp::from_micros(0);
        let mut mail = delivery(ChannelKind::Email);
        assert!(matches!(mail.settle(&Outcome::Unknown, &schedule(), now, now, 0.5), Settled::Again(_)));
        mail.unknown_count = 1;
        mail.contact_attempt_count = 2;
        assert_eq!(mail.settle(&Outcome::Unknown, &schedule(), now, now, 0.5), Settled::Unconfirmed);
    }

    #[test]
    fn law_9_a_mail_that_may_have_arrived_never_goes_to_another_address() {
        let mut mail = delivery(ChannelKind::Email);
        mail.unknown_count = 1;
        mail.contact_attempt_count = 3;
        let now = Timestamp::from_micros(0);
        let settled = mail.settle(&Outcome::Retry { not_before: None }, &schedule(), now, now, 0.5);
        assert_eq!(settled, Settled::Unconfirmed);
    }

    #[test]
    fn retries_keep_to_the_schedule_its_jitter_and_the_other_sides_wish() {
        let now = Timestamp::from_micros(1_000_000);
        let webhook = delivery(ChannelKind::Webhook);
        for (dice, seconds) in [(0.0, 4), (0.5, 5), (1.0, 6)] {
            let settled = webhook.settle(&Outcome::Retry { not_before: None }, &schedule(), now, now, dice);
            assert_eq!(settled, Settled::Again(now + Duration::from_secs(seconds)));
        }
        let wish = Outcome::Retry { not_before: Some(Duration::from_secs(60)) };
        assert_eq!(webhook.settle(&wish, &schedule(), now, now, 0.5), Settled::Again(now + Duration::from_secs(60)));
    }

    #[test]
    fn a_delivery_fails_when_its_tries_or_its_time_are_used_up() {
        let mut webhook = delivery(ChannelKind::Webhook);
        webhook.contact_attempt_count = 3;
        let exhausted = Settled::NextContact { reason: RETRIES_EXHAUSTED, bounced: false };
        let retry = Outcome::Retry { not_before: None };
        let start = Timestamp::from_micros(0);
        assert_eq!(webhook.settle(&retry, &schedule(), start, start, 0.5), exhausted);
        webhook.contact_attempt_count = 1;
        let late = start + Duration::from_secs(3600);
        assert_eq!(webhook.settle(&retry, &schedule(), start, late, 0.5), exhausted);
        // What waited for its first try is not old.
        assert_eq!(webhook.settle(&retry, &schedule(), late, late, 0.5), Settled::Again(late + Duration::from_secs(5)));
    }
}
