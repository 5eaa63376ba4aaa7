//! What `AnnouncementService` promises beyond the laws: approval, and the stream that help desks deliver from.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Streaming};

use crate::support::builders::ReportBuilder;
use crate::support::proto::watch_announcements_request as ask;
use crate::support::proto::watch_announcements_response as told;
use crate::support::proto::*;
use crate::support::{Caller, Server, a_release, a_report, days, minutes, reason, soon};

const DEFECT: &str = "github:acme/app#12";

/// A help desk on the stream.
pub(crate) struct Watcher {
    requests: mpsc::Sender<WatchAnnouncementsRequest>,
    answers: Streaming<WatchAnnouncementsResponse>,
}

impl Watcher {
    /// Begins to watch, with at most this many deliveries out at once.
    pub(crate) async fn start(caller: &Caller, max_outstanding: i32) -> Self {
        let (requests, receiver) = mpsc::channel(16);
        let start = ask::Message::Start(ask::Start { max_outstanding });
        requests.send(WatchAnnouncementsRequest { message: Some(start) }).await.expect("room");
        let stream = ReceiverStream::new(receiver);
        let answers = caller.announcements().watch_announcements(stream).await.expect("a watch").into_inner();
        Self { requests, answers }
    }

    async fn next(&mut self) -> told::Message {
        let next = async {
            loop {
                let next = self.answers.message().await.expect("it goes on").expect("it goes on");
                match next.message.expect("a message") {
                    told::Message::Heartbeat(_) => {}
                    other => return other,
                }
            }
        };
        soon("the next message", next).await
    }

    /// Lets the lease of a delivery end, and what follows from that come due: it is to be handed out again.
    pub(crate) async fn let_lapse(server: &Server, report: &Report) {
        server.clock.advance(minutes(5));
        let watcher = Self::start(server, 10).await;
        let noticed = async {
            while server.delivery_to(report).await.state() == delivery::State::Sending {
                tokio::task::yield_now().await;
            }
        };
        soon("the end of the lease to be noticed", noticed).await;
        drop(watcher);
        server.clock.advance(minutes(5));
    }

    /// The next delivery that is handed out.
    pub(crate) async fn delivery(&mut self) -> told::StreamDelivery {
        match self.next().await {
            told::Message::Delivery(delivery) => delivery,
            other => panic!("expected a delivery: {other:?}"),
        }
    }

    /// Says that the customer was told; whether that changed anything.
    pub(crate) async fn acknowledge(&mut self, delivery_id: &str) -> bool {
        self.say(delivery_id, ask::acknowledgement::Outcome::Delivered).await
    }

    async fn say(&mut self, delivery_id: &str, outcome: ask::acknowledgement::Outcome) -> bool {
        let acknowledgement = ask::Acknowledgement {
            delivery_id: delivery_id.to_owned(),
            outcome: outcome.into(),
            detail: "as the desk says".to_owned(),
        };
        let message = Some(ask::Message::Acknowledgement(acknowledgement));
        self.requests.send(WatchAnnouncementsRequest { message }).await.expect("the stream is open");
        match self.next().await {
            told::Message::Recorded(recorded) => {
                assert_eq!(recorded.delivery_id, delivery_id);
                recorded.applied
            }
            other => panic!("expected the record: {other:?}"),
        }
    }
}

/// A fixed problem of one customer, to be told.
async fn fixed(server: &Server, report: ReportBuilder) -> Report {
    let report = server.submit(report.version("2.4.0")).await;
    server.link(&report, DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    report
}

async fn with_threshold(threshold: i64) -> Server {
    let server = Server::start().await;
    let policy = Policy { approval_threshold: Some(threshold), ..Policy::default() };
    server.policy(policy, &["approval_threshold"]).await;
    server
}

fn approve(announcement: &Announcement) -> ApproveAnnouncementRequest {
    ApproveAnnouncementRequest {
        announcement_id: announcement.id.clone(),
        plan_digest: announcement.plan_digest.clone(),
        ..ApproveAnnouncementRequest::default()
    }
}

#[tokio::test]
async fn more_recipients_than_policy_lets_out_wait_for_a_person() {
    let server = with_threshold(1).await;
    server.submit(a_report().from("ben@example.org").version("2.4.0")).await;
    let ada = fixed(&server, a_report().from("ada@example.org")).await;
    assert_eq!(server.mailbox.all().len(), 0);
    let preview = server.preview(&ada.cluster_id).await;
    let waiting = preview.awaiting_approval.expect("it waits");
    assert_eq!((waiting.state(), waiting.recipient_count), (announcement::State::AwaitingApproval, 2));
    assert!(preview.recipients.iter().all(|recipient| recipient.text.contains("Acme App 2.4.1")));
    server.after(days(10)).await;
    assert_eq!(server.mailbox.all().len(), 0, "time is no approval");

    let approved = server.announcements().approve_announcement(approve(&waiting)).await.expect("approved").into_inner();
    assert!(!approved.replayed);
    assert!(approved.announcement.expect("it").approved_by.starts_with("key_"));
    assert!(server.announcements().approve_announcement(approve(&waiting)).await.expect("it is").into_inner().replayed);
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 2);
    let done = server.list_announcements("").await.remove(0);
    assert_eq!((done.state(), done.told_count), (announcement::State::Completed, 2));
}

#[tokio::test]
async fn as_many_as_policy_lets_out_do_not_wait() {
    let server = with_threshold(1).await;
    fixed(&server, a_report().from("ada@example.org")).await;
    assert_eq!(server.mailbox.all().len(), 1);
    assert_eq!(server.list_announcements("").await[0].approved_by, "policy");
}

/// A small problem of three customers, looked at one customer at a time, with what they run.
async fn one_by_one(threshold: i64, versions: [&str; 3]) -> (Server, Vec<Report>) {
    let server = Server::start_with(|config| config.reconcile.page = 1).await;
    let policy = Policy { approval_threshold: Some(threshold), ..Policy::default() };
    server.policy(policy, &["approval_threshold"]).await;
    let mut reports = Vec::new();
    for (number, version) in versions.into_iter().enumerate() {
        let from = format!("c{number}@example.org");
        reports.push(server.submit(a_report().from(&from).version(version)).await);
    }
    server.link(&reports[0], DEFECT).await;
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    (server, reports)
}

#[tokio::test]
async fn law_10_a_small_plan_goes_out_whichever_page_of_customers_it_came_from() {
    let (server, _) = one_by_one(2, ["2.4.0", "2.4.0", ""]).await;
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 2, "the last page, with nobody to be told, ends the plan of the others");
    let done = server.list_announcements("").await.remove(0);
    assert_eq!((done.state(), done.recipient_count, done.told_count), (announcement::State::Completed, 2, 2));
    assert!(!done.plan_digest.is_empty());
}

#[tokio::test]
async fn a_plan_is_not_small_enough_while_its_customers_are_still_being_looked_at() {
    let (server, _) = one_by_one(2, ["2.4.0", "2.4.0", "2.4.0"]).await;
    let reconcile = async || server.app().reconcile_once(server.clock.now()).await.expect("a pass");
    reconcile().await;
    assert_eq!(server.list_deliveries("").await.len(), 1, "the first of three");
    server.submit(a_report().from("late@example.org").version("2.4.0")).await;
    reconcile().await;
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 0);
    let waiting = server.list_announcements("").await;
    assert_eq!(waiting.len(), 1);
    assert_eq!((waiting[0].state(), waiting[0].recipient_count), (announcement::State::AwaitingApproval, 4));
}

#[tokio::test]
async fn corrections_of_one_cluster_are_one_announcement_however_many_pages_they_take() {
    let (server, _) = one_by_one(3, ["2.4.0", "2.4.0", "2.4.0"]).await;
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 3);
    let release = server.release(a_release("2.4.1")).await;
    server.yank(&release).await;
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 6);
    let corrections = server.list_announcements("stage = CORRECTION").await;
    assert_eq!(corrections.len(), 1, "{corrections:?}");
    assert_eq!((corrections[0].recipient_count, corrections[0].told_count), (3, 3));
    assert_eq!(corrections[0].state(), announcement::State::Completed);
}

#[tokio::test]
async fn law_10_what_was_approved_after_days_is_tried_as_often_as_anything_else() {
    let server = with_threshold(0).await;
    let ada = fixed(&server, a_report().from("bounce-451@example.org")).await;
    let waiting = server.preview(&ada.cluster_id).await.awaiting_approval.expect("it waits");
    server.clock.advance(days(10));
    server.announcements().approve_announcement(approve(&waiting)).await.expect("approved");
    server.run_until_idle().await;
    server.after(minutes(60)).await;
    let delivery = server.delivery_to(&ada).await;
    assert_eq!((delivery.state(), delivery.attempt_count), (delivery::State::Pending, 2), "{delivery:?}");
    // From its first attempt on, the days count.
    for _ in 0..10 {
        server.after(days(1)).await;
    }
    assert_eq!(server.loop_of(&ada).await, "CLOSED retries_exhausted");
}

#[tokio::test]
async fn a_plan_that_changed_since_it_was_looked_at_is_not_approved() {
    let server = with_threshold(0).await;
    let ada = fixed(&server, a_report().from("ada@example.org")).await;
    let seen = server.preview(&ada.cluster_id).await.awaiting_approval.expect("it waits");
    server.submit(a_report().from("ben@example.org").version("2.4.0")).await;
    server.run_until_idle().await;
    let refused = server.announcements().approve_announcement(approve(&seen)).await.expect_err("it changed");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "PLAN_CHANGED"));
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 0);
    let seen = server.preview(&ada.cluster_id).await.awaiting_approval.expect("it still waits");
    assert_eq!(seen.recipient_count, 2);
    server.announcements().approve_announcement(approve(&seen)).await.expect("looked at again");
    server.run_until_idle().await;
    assert_eq!(server.mailbox.all().len(), 2);
}

#[tokio::test]
async fn a_stopped_announcement_sends_nothing_more_and_cannot_be_approved() {
    let server = with_threshold(0).await;
    let ada = fixed(&server, a_report().from("ada@example.org")).await;
    let waiting = server.preview(&ada.cluster_id).await.awaiting_approval.expect("it waits");
    let cancel = CancelAnnouncementRequest { announcement_id: waiting.id.clone(), ..Default::default() };
    let stopped = server.announcements().cancel_announcement(cancel.clone()).await.expect("stopped").into_inner();
    assert_eq!(stopped.announcement.expect("it").state(), announcement::State::Cancelled);
    assert!(server.announcements().cancel_announcement(cancel).await.expect("it is").into_inner().replayed);
    let refused = server.announcements().approve_announcement(approve(&waiting)).await.expect_err("stopped");
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::FailedPrecondition, "STATE_FORBIDS"));
    server.after(days(30)).await;
    assert_eq!(server.mailbox.all().len(), 0);
    assert_eq!(server.delivery_to(&ada).await.state(), delivery::State::Cancelled);
    // Other ground, another statement: a person is asked again.
    server.release(a_release("2.4.2").fixing("github:acme/other#1")).await;
    server.unlink(&ada.cluster_id, DEFECT).await;
    server.link(&ada, "github:acme/other#1").await;
    server.run_until_idle().await;
    assert!(server.preview(&ada.cluster_id).await.awaiting_approval.is_some());
}

#[tokio::test]
async fn a_help_desk_posts_itself_and_acknowledges() {
    let server = Server::start().await;
    let desk = fixed(&server, a_report().stream("ticket-1").customer("c-1").named("Ada").reference("T-1")).await;
    assert_eq!(server.loop_of(&desk).await, "OPEN delivery_pending");
    let mut watcher = Watcher::start(&server, 0).await;
    let delivery = watcher.delivery().await;
    assert_eq!((delivery.address.as_str(), delivery.customer_external_id.as_str()), ("ticket-1", "c-1"));
    assert_eq!(delivery.stage(), Stage::FixAvailable);
    assert_eq!(delivery.report_references, ["zendesk/T-1"]);
    assert!(delivery.text.contains("Acme App 2.4.1") && delivery.text.contains("Ada"), "{}", delivery.text);
    assert!(watcher.acknowledge(&delivery.delivery_id).await);
    assert!(!watcher.acknowledge(&delivery.delivery_id).await, "it was recorded before");
    server.run_until_idle().await;
    assert_eq!(server.loop_of(&desk).await, "TOLD told");
}

#[tokio::test]
async fn a_delivery_that_was_not_acknowledged_is_handed_out_again_and_one_refused_goes_elsewhere() {
    let server = Server::start().await;
    let desk = fixed(&server, a_report().stream("ticket-1").from("ada@example.org")).await;
    let mut first = Watcher::start(&server, 10).await;
    let handed = first.delivery().await;
    drop(first);
    Watcher::let_lapse(&server, &desk).await;
    let mut second = Watcher::start(&server, 10).await;
    let again = second.delivery().await;
    assert_eq!((again.delivery_id.as_str(), again.text.as_str()), (handed.delivery_id.as_str(), handed.text.as_str()));
    assert!(second.say(&again.delivery_id, ask::acknowledgement::Outcome::Rejected).await);
    server.run_until_idle().await;
    assert_eq!(server.mail_to("ada@example.org").len(), 1, "her next contact point");
    assert_eq!(server.loop_of(&desk).await, "TOLD told");
}

#[tokio::test]
async fn no_more_are_handed_out_at_once_than_were_asked_for() {
    let server = Server::start().await;
    for number in 0..5 {
        server.submit(a_report().stream(&format!("ticket-{number}")).version("2.4.0")).await;
    }
    fixed(&server, a_report().stream("ticket-5")).await;
    let mut watcher = Watcher::start(&server, 2).await;
    let mut seen = std::collections::BTreeSet::new();
    let (first, second) = (watcher.delivery().await, watcher.delivery().await);
    let silence = tokio::time::timeout(Duration::from_millis(300), watcher.delivery()).await;
    assert!(silence.is_err(), "two are out");
    for delivery in [first, second] {
        assert!(watcher.acknowledge(&delivery.delivery_id).await);
        seen.insert(delivery.delivery_id);
        let next = watcher.delivery().await;
        assert!(!seen.contains(&next.delivery_id));
        seen.insert(next.delivery_id);
    }
    assert_eq!(seen.len(), 4);
}

#[tokio::test]
async fn a_watch_that_begins_with_anything_but_start_is_refused() {
    let server = Server::start().await;
    let acknowledgement = ask::Acknowledgement::default();
    let message = Some(ask::Message::Acknowledgement(acknowledgement));
    let requests = futures::stream::iter([WatchAnnouncementsRequest { message }]);
    let refused = match server.announcements().watch_announcements(requests).await {
        Err(refused) => refused,
        Ok(answers) => soon("the refusal", answers.into_inner().message()).await.expect_err("no start"),
    };
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "FIELD_INVALID"));
}

#[tokio::test]
async fn an_acknowledgement_is_said_when_policy_says_so() {
    let server = Server::start().await;
    server.policy(Policy { acknowledge: true, ..Policy::default() }, &["acknowledge"]).await;
    let ada = server.submit(a_report().from("ada@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    server.run_until_idle().await;
    server.after(days(1)).await;
    let subjects = server.subjects("ada@example.org");
    assert_eq!(subjects, ["We have your report \"Export to PDF stops at page three\""]);
    server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.after(days(1)).await;
    assert_eq!(server.subjects("ada@example.org").len(), 2);
}

#[tokio::test]
async fn announcements_and_deliveries_are_listed_and_filtered() {
    let server = Server::start().await;
    let ada = fixed(&server, a_report().from("ada@example.org")).await;
    let announcement = server.list_announcements("stage = FIX_AVAILABLE AND state = COMPLETED").await.remove(0);
    assert_eq!(announcement.cluster_id, ada.cluster_id);
    assert_eq!(server.list_announcements("stage = CORRECTION").await, []);
    let request = GetAnnouncementRequest { announcement_id: announcement.id.clone() };
    let same = server.announcements().get_announcement(request).await.expect("it").into_inner().announcement;
    assert_eq!(same.as_ref(), Some(&announcement));
    let deliveries = server.list_deliveries(&format!("announcement_id = {}", announcement.id)).await;
    assert_eq!(deliveries.len(), 1);
    let delivery = &deliveries[0];
    assert_eq!((delivery.state(), delivery.channel()), (delivery::State::Delivered, Channel::Email));
    assert_eq!((delivery.verdict(), delivery.version.as_str()), (coverage::Verdict::UpgradeAvailable, "2.4.1"));
    assert_eq!((delivery.attempt_count, delivery.attempts.len()), (1, 1));
    assert_eq!(server.list_deliveries("channel = WEBHOOK").await, []);
    assert_eq!(server.list_deliveries("channel = EMAIL AND state = DELIVERED").await.len(), 1);
}

/// Stops the announcement that tells of the fix.
async fn stop(server: &Server) -> Announcement {
    let announcement_id = server.list_announcements("stage = FIX_AVAILABLE").await.remove(0).id;
    let request = CancelAnnouncementRequest { announcement_id, ..Default::default() };
    let stopped = server.announcements().cancel_announcement(request).await.expect("stopped").into_inner();
    stopped.announcement.expect("it")
}

#[tokio::test]
async fn law_8_what_may_have_arrived_before_it_was_stopped_is_unconfirmed_and_corrected_when_it_becomes_false() {
    let server = Server::start().await;
    let ada = server.submit(a_report().from("drop@example.org").version("2.4.0")).await;
    server.link(&ada, DEFECT).await;
    let release = server.release(a_release("2.4.1").fixing(DEFECT)).await;
    server.run_until_idle().await;
    assert_eq!(server.delivery_to(&ada).await.state(), delivery::State::Pending, "it is to be tried again");
    assert_eq!(stop(&server).await.told_count, 1);
    let delivery = server.delivery_to(&ada).await;
    assert_eq!((delivery.state(), delivery.reason.as_str()), (delivery::State::Unconfirmed, "outcome_unknown"));
    server.after(days(1)).await;
    assert_eq!(server.loop_of(&ada).await, "TOLD told_unconfirmed");
    assert_eq!(server.subjects("drop@example.org").len(), 1, "it is not sent again");
    server.yank(&release).await;
    server.run_until_idle().await;
    let subjects = server.subjects("drop@example.org");
    assert!(subjects.len() == 2 && subjects[1].starts_with("Correction:"), "{subjects:?}");
}

#[tokio::test]
async fn what_was_being_sent_when_it_was_stopped_is_not_tried_again() {
    let server = Server::start().await;
    let first = server.submit(a_report().stream("ticket-1").version("2.4.0")).await;
    let second = fixed(&server, a_report().stream("ticket-2")).await;
    let mut watcher = Watcher::start(&server, 10).await;
    let mut handed = [watcher.delivery().await, watcher.delivery().await];
    handed.sort_by_key(|delivery| delivery.address.clone());
    stop(&server).await;
    assert!(watcher.say(&handed[0].delivery_id, ask::acknowledgement::Outcome::Retry).await);
    assert_eq!(server.delivery_to(&first).await.state(), delivery::State::Cancelled);
    drop(watcher);
    Watcher::let_lapse(&server, &second).await;
    assert_eq!(server.delivery_to(&second).await.state(), delivery::State::Unconfirmed, "nobody knows");
    server.after(days(1)).await;
    assert_eq!(server.loop_of(&first).await, "CLOSED cancelled_by_person");
    assert_eq!(server.loop_of(&second).await, "TOLD told_unconfirmed");
}
