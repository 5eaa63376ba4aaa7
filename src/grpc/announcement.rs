//! `AnnouncementService`: plans, approvals, deliveries, and the stream for help desks that post themselves.

use std::collections::HashMap;
use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::app::announcement::PlannedRecipient;
use crate::app::delivery::{Claimed, Reported};
use crate::app::{Call, Error};
use crate::domain::announcement::{Announcement, AnnouncementState, Stage};
use crate::domain::customer::ChannelKind;
use crate::domain::delivery::{Attempt, Delivery, DeliveryState, Outcome};
use crate::domain::id::{ClusterId, DeliveryId};
use crate::domain::scope::Scope;
use crate::domain::violation::Violations;
use crate::store::{self, Direction};

use super::Api;
use super::convert::{channel, noted_id, required_id, timestamp};
use super::coverage::{encode_coverage, encode_verdict};
use super::list::{ListFields, any_id, any_of, encode_page, equal, read_page, unknown_field};
use super::page_token;
use super::proto::announcement_service_server::AnnouncementService;
use super::proto::watch_announcements_request::{Acknowledgement, Message as Asked, acknowledgement};
use super::proto::watch_announcements_response::{AcknowledgementRecorded, Heartbeat, Message as Said, StreamDelivery};
use super::proto::{self as pb};

/// Deliveries out at once if the watcher names no number, and at most.
const OUTSTANDING: (usize, usize) = (100, 1_000);
/// Other replicas' work is found by looking.
const POLL: Duration = Duration::from_secs(1);

type WatchStream = Pin<Box<dyn Stream<Item = Result<pb::WatchAnnouncementsResponse, Status>> + Send>>;

#[tonic::async_trait]
impl AnnouncementService for Api {
    async fn preview_announcement(
        &self,
        request: Request<pb::PreviewAnnouncementRequest>,
    ) -> Result<Response<pb::PreviewAnnouncementResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::AnnouncementsRead).await?;
        let request = request.into_inner();
        let mut violations = Violations::new();
        let cluster: ClusterId = noted_id("cluster_id", &request.cluster_id, &mut violations);
        let (size, after) =
            read_page("preview", &request.cluster_id, request.page_size, &request.page_token, &mut violations);
        violations.into_result()?;
        let preview = self.app.preview_announcement(&call, cluster, after, size).await?;
        let (recipients, next) = encode_page(preview.recipients, |recipient| recipient.customer_id, encode_recipient);
        Ok(Response::new(pb::PreviewAnnouncementResponse {
            recipients,
            next_page_token: page_token::encode("preview", &request.cluster_id, "", next),
            awaiting_approval: preview.awaiting_approval.map(encode),
        }))
    }

    async fn approve_announcement(
        &self,
        request: Request<pb::ApproveAnnouncementRequest>,
    ) -> Result<Response<pb::ApproveAnnouncementResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::AnnouncementsApprove, request_id, &mut violations).await?;
        let request = request.into_inner();
        let id = noted_id("announcement_id", &request.announcement_id, &mut violations);
        violations.required_text("plan_digest", &request.plan_digest, 64);
        violations.into_result()?;
        let done = self.app.approve_announcement(&call, id, &request.plan_digest).await?;
        Ok(Response::new(pb::ApproveAnnouncementResponse {
            announcement: Some(encode(done.result)),
            replayed: done.replayed,
        }))
    }

    async fn cancel_announcement(
        &self,
        request: Request<pb::CancelAnnouncementRequest>,
    ) -> Result<Response<pb::CancelAnnouncementResponse>, Status> {
        let mut violations = Violations::new();
        let request_id = &request.get_ref().request_id;
        let call = self.writer(request.metadata(), Scope::AnnouncementsApprove, request_id, &mut violations).await?;
        let request = request.into_inner();
        let id = noted_id("announcement_id", &request.announcement_id, &mut violations);
        violations.text("reason", &request.reason, 1_000);
        violations.into_result()?;
        let done = self.app.cancel_announcement(&call, id, &request.reason).await?;
        Ok(Response::new(pb::CancelAnnouncementResponse {
            announcement: Some(encode(done.result)),
            replayed: done.replayed,
        }))
    }

    async fn get_announcement(
        &self,
        request: Request<pb::GetAnnouncementRequest>,
    ) -> Result<Response<pb::GetAnnouncementResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::AnnouncementsRead).await?;
        let mut violations = Violations::new();
        let id = noted_id("announcement_id", &request.get_ref().announcement_id, &mut violations);
        violations.into_result()?;
        let announcement = self.app.get_announcement(&call, id).await?;
        Ok(Response::new(pb::GetAnnouncementResponse { announcement: Some(encode(announcement)) }))
    }

    async fn list_announcements(
        &self,
        request: Request<pb::ListAnnouncementsRequest>,
    ) -> Result<Response<pb::ListAnnouncementsResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::AnnouncementsRead).await?;
        let request = request.into_inner();
        let fields = ListFields {
            list: "announcements",
            page_size: request.page_size,
            page_token: &request.page_token,
            filter: &request.filter,
            order_by: &request.order_by,
        };
        let mut violations = Violations::new();
        let asked = fields.read(&mut violations);
        let mut filter = store::announcement::Filter::default();
        for term in &asked.terms {
            match term.field.as_str() {
                "cluster_id" => equal(term, &mut filter.cluster_id, any_id, &mut violations),
                "state" => equal(term, &mut filter.state, any_of(AnnouncementState::ALL), &mut violations),
                "stage" => equal(term, &mut filter.stage, any_of(Stage::ALL), &mut violations),
                _ => unknown_field(term, "cluster_id, state and stage", &mut violations),
            }
        }
        violations.into_result().map_err(Error::from)?;
        let page = self.app.list_announcements(&call, &filter, asked.after, asked.direction, asked.size).await?;
        let (announcements, next) = encode_page(page, |announcement| announcement.id, encode);
        Ok(Response::new(pb::ListAnnouncementsResponse { announcements, next_page_token: fields.next(next) }))
    }

    async fn list_deliveries(
        &self,
        request: Request<pb::ListDeliveriesRequest>,
    ) -> Result<Response<pb::ListDeliveriesResponse>, Status> {
        let call = self.caller(request.metadata(), Scope::AnnouncementsRead).await?;
        let request = request.into_inner();
        let fields = ListFields {
            list: "deliveries",
            page_size: request.page_size,
            page_token: &request.page_token,
            filter: &request.filter,
            order_by: &request.order_by,
        };
        let mut violations = Violations::new();
        let asked = fields.read(&mut violations);
        // Deliveries read like a story: oldest first, unless asked otherwise.
        let direction = if request.order_by.is_empty() { Direction::Ascending } else { asked.direction };
        let mut filter = store::delivery::Filter::default();
        for term in &asked.terms {
            match term.field.as_str() {
                "announcement_id" => equal(term, &mut filter.announcement_id, any_id, &mut violations),
                "cluster_id" => equal(term, &mut filter.cluster_id, any_id, &mut violations),
                "customer_id" => equal(term, &mut filter.customer_id, any_id, &mut violations),
                "channel" => equal(term, &mut filter.channel, any_of(ChannelKind::ALL), &mut violations),
                "stage" => equal(term, &mut filter.stage, any_of(Stage::ALL), &mut violations),
                "state" => equal(term, &mut filter.state, any_of(DeliveryState::ALL), &mut violations),
                _ => unknown_field(
                    term,
                    "announcement_id, cluster_id, customer_id, channel, stage and state",
                    &mut violations,
                ),
            }
        }
        violations.into_result().map_err(Error::from)?;
        let page = self.app.list_deliveries(&call, &filter, asked.after, direction, asked.size).await?;
        let (deliveries, next) = encode_page(page, |(delivery, _)| delivery.id, encode_delivery);
        Ok(Response::new(pb::ListDeliveriesResponse { deliveries, next_page_token: fields.next(next) }))
    }

    type WatchAnnouncementsStream = WatchStream;

    async fn watch_announcements(
        &self,
        request: Request<Streaming<pb::WatchAnnouncementsRequest>>,
    ) -> Result<Response<Self::WatchAnnouncementsStream>, Status> {
        let call = self.caller(request.metadata(), Scope::AnnouncementsDeliver).await?;
        let mut asked = request.into_inner();
        let start = match asked.message().await?.and_then(|first| first.message) {
            Some(Asked::Start(start)) => start,
            _ => return Err(Error::invalid("start", "must be the first message of the stream; send it").into()),
        };
        let limit = match usize::try_from(start.max_outstanding) {
            Ok(0) => OUTSTANDING.0,
            Ok(number) => number.min(OUTSTANDING.1),
            Err(_) => {
                return Err(
                    Error::invalid("start.max_outstanding", "is negative; send 0 for 100, or up to 1000").into()
                );
            }
        };
        let (said, stream) = mpsc::channel(16);
        let watcher = Watcher { api: self.clone(), call, limit, outstanding: HashMap::new(), said };
        // Ends with the client's stream, with the server, or when the client stops reading.
        self.tasks.spawn(watcher.run(asked));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

/// One help desk at the stream.
struct Watcher {
    api: Api,
    call: Call,
    limit: usize,
    /// What is out and not acknowledged, with its lease.
    outstanding: HashMap<DeliveryId, (i64, crate::domain::time::Timestamp)>,
    said: mpsc::Sender<Result<pb::WatchAnnouncementsResponse, Status>>,
}

impl Watcher {
    async fn run(mut self, mut asked: Streaming<pb::WatchAnnouncementsRequest>) {
        let mut news = self.api.app.wake.subscribe();
        let mut poll = tokio::time::interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heartbeat = tokio::time::interval(self.api.app.delivery.settings.stream_heartbeat);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let shutdown = self.api.shutdown.clone();
        loop {
            let step = tokio::select! {
                () = shutdown.cancelled() => Err(Error::ShuttingDown.into()),
                () = self.said.closed() => return,
                message = asked.next() => match message {
                    None => return,
                    Some(message) => self.hear(message).await,
                },
                changed = news.changed() => match changed {
                    Ok(()) => self.hand_out().await,
                    Err(_) => Err(Error::ShuttingDown.into()),
                },
                _ = poll.tick() => self.hand_out().await,
                _ = heartbeat.tick() => self.say(Said::Heartbeat(Heartbeat {
                    time: Some(timestamp(self.api.app.clock.now())),
                })).await,
            };
            if let Err(status) = step {
                // If the client is gone too, there is nobody to tell.
                let _ = self.said.send(Err(status)).await;
                return;
            }
        }
    }

    async fn say(&self, message: Said) -> Result<(), Status> {
        let response = pb::WatchAnnouncementsResponse { message: Some(message) };
        self.said.send(Ok(response)).await.map_err(|_| Status::cancelled("the client stopped reading"))
    }

    async fn hand_out(&mut self) -> Result<(), Status> {
        // Whoever watches outlives the call that began it: nothing is given to a key that has ended since.
        self.api.app.check_key(self.call.scope, self.call.key).await?;
        let now = self.api.app.clock.now();
        self.outstanding.retain(|_, (_, expire)| *expire > now);
        let room = self.limit.saturating_sub(self.outstanding.len());
        if room == 0 {
            return Ok(());
        }
        for claimed in self.api.app.claim_for_stream(&self.call, room, now).await? {
            let delivery = &claimed.delivery;
            let expire = delivery.lease_expire_time.unwrap_or(now);
            self.outstanding.insert(delivery.id, (delivery.lease_token, expire));
            self.say(Said::Delivery(encode_stream_delivery(claimed))).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, message: Result<pb::WatchAnnouncementsRequest, Status>) -> Result<(), Status> {
        let message = message?;
        self.api.app.check_key(self.call.scope, self.call.key).await?;
        match message.message {
            Some(Asked::Acknowledgement(acknowledgement)) => self.acknowledge(acknowledgement).await,
            Some(Asked::Start(_)) => Err(Error::invalid("start", "was sent before; send it once").into()),
            None => Err(Error::invalid("message", "is empty; send an acknowledgement").into()),
        }
    }

    async fn acknowledge(&mut self, acknowledgement: Acknowledgement) -> Result<(), Status> {
        let mut violations = Violations::new();
        let id =
            required_id::<DeliveryId>("acknowledgement.delivery_id", &acknowledgement.delivery_id, &mut violations);
        violations.text("acknowledgement.detail", &acknowledgement.detail, 1_000);
        let outcome = match acknowledgement::Outcome::try_from(acknowledgement.outcome) {
            Ok(acknowledgement::Outcome::Delivered) => Some(Outcome::Delivered),
            Ok(acknowledgement::Outcome::Retry) => Some(Outcome::Retry { not_before: None }),
            Ok(acknowledgement::Outcome::Rejected) => Some(Outcome::Rejected { bounced: false }),
            Ok(acknowledgement::Outcome::Unspecified) | Err(_) => {
                violations.add("acknowledgement.outcome", "is required; set DELIVERED, RETRY or REJECTED");
                None
            }
        };
        violations.into_result().map_err(Error::from)?;
        let (Some(delivery), Some(outcome)) = (id, outcome) else {
            return Err(Error::invalid("acknowledgement", "could not be read").into());
        };
        let applied = match self.outstanding.remove(&delivery) {
            None => false,
            Some((lease_token, _)) => {
                let reported = Reported { delivery, lease_token, outcome, detail: acknowledgement.detail };
                let now = self.api.app.clock.now();
                !self.api.app.record_outcomes(self.call.scope, vec![reported], now).await?.is_empty()
            }
        };
        self.say(Said::Recorded(AcknowledgementRecorded { delivery_id: delivery.to_string(), applied })).await
    }
}

fn encode_stream_delivery(claimed: Claimed) -> StreamDelivery {
    StreamDelivery {
        delivery_id: claimed.delivery.id.to_string(),
        customer_id: claimed.delivery.customer_id.to_string(),
        customer_external_id: claimed.customer_external_id.unwrap_or_default(),
        address: claimed.contact.address,
        stage: encode_stage(claimed.delivery.stage).into(),
        subject: claimed.letter.subject,
        text: claimed.letter.text,
        report_references: claimed.references,
        lease_expire_time: claimed.delivery.lease_expire_time.map(timestamp),
    }
}

fn encode(announcement: Announcement) -> pb::Announcement {
    use pb::announcement::State;
    pb::Announcement {
        id: announcement.id.to_string(),
        cluster_id: announcement.cluster_id.to_string(),
        stage: encode_stage(announcement.stage).into(),
        state: match announcement.state {
            AnnouncementState::AwaitingApproval => State::AwaitingApproval,
            AnnouncementState::Approved => State::Approved,
            AnnouncementState::Completed => State::Completed,
            AnnouncementState::Cancelled => State::Cancelled,
        }
        .into(),
        plan_digest: announcement.plan_digest,
        recipient_count: announcement.recipient_count,
        told_count: announcement.told_count,
        approved_by: announcement.approved_by.unwrap_or_default(),
        create_time: Some(timestamp(announcement.create_time)),
        approve_time: announcement.approve_time.map(timestamp),
        update_time: Some(timestamp(announcement.update_time)),
    }
}

fn encode_stage(stage: Stage) -> pb::Stage {
    match stage {
        Stage::Acknowledged => pb::Stage::Acknowledged,
        Stage::FixAvailable => pb::Stage::FixAvailable,
        Stage::Correction => pb::Stage::Correction,
    }
}

fn encode_recipient(recipient: PlannedRecipient) -> pb::PlannedRecipient {
    pb::PlannedRecipient {
        customer_id: recipient.customer_id.to_string(),
        stage: recipient.stage.map_or(pb::Stage::Unspecified, encode_stage).into(),
        reason: recipient.reason,
        coverage: recipient.coverage.map(|coverage| encode_coverage(&coverage, None, "")),
        channel: recipient.channel.map_or(pb::Channel::Unspecified, channel).into(),
        subject: recipient.subject,
        text: recipient.text,
    }
}

fn encode_delivery((delivery, attempts): (Delivery, Vec<Attempt>)) -> pb::Delivery {
    use pb::delivery::State;
    pb::Delivery {
        id: delivery.id.to_string(),
        announcement_id: delivery.announcement_id.to_string(),
        customer_id: delivery.customer_id.to_string(),
        channel: channel(delivery.channel).into(),
        state: match delivery.state {
            DeliveryState::AwaitingApproval => State::AwaitingApproval,
            DeliveryState::Pending => State::Pending,
            DeliveryState::Sending => State::Sending,
            DeliveryState::Delivered => State::Delivered,
            DeliveryState::Unconfirmed => State::Unconfirmed,
            DeliveryState::Failed => State::Failed,
            DeliveryState::Suppressed => State::Suppressed,
            DeliveryState::Cancelled => State::Cancelled,
        }
        .into(),
        reason: delivery.reason,
        verdict: delivery.verdict.map_or(pb::coverage::Verdict::Unspecified, encode_verdict).into(),
        version: delivery.version,
        attempt_count: delivery.attempt_count,
        next_attempt_time: (!delivery.state.is_final()).then(|| timestamp(delivery.next_attempt_time)),
        create_time: Some(timestamp(delivery.create_time)),
        finish_time: delivery.finish_time.map(timestamp),
        attempts: attempts.into_iter().map(encode_attempt).collect(),
    }
}

fn encode_attempt(attempt: Attempt) -> pb::Attempt {
    pb::Attempt {
        number: attempt.number,
        contact_point_id: attempt.contact_point_id.to_string(),
        outcome: attempt.outcome.to_string(),
        detail: attempt.detail,
        start_time: Some(timestamp(attempt.start_time)),
        finish_time: attempt.finish_time.map(timestamp),
    }
}
