//! Sending through channels that misbehave, and plans that grow, against a real database.

use crate::app::intake::tests::{Scene, report};
use crate::channel::{Channel, Sending};
use crate::domain::announcement::AnnouncementState;
use crate::domain::customer::ContactAddress;
use crate::domain::defect::DefectRef;
use crate::domain::policy::{MultiDefect, Policy};
use crate::domain::report::NewReport;
use crate::store::Direction;
use crate::store::report::PlacedReport;

use super::*;

/// Goes to pieces over one address, and takes every other message.
struct Fragile(&'static str);

impl Channel for Fragile {
    fn send<'a>(&'a self, message: &'a Message) -> Sending<'a> {
        Box::pin(async move {
            assert_ne!(message.address, self.0, "the test wants this panic");
            channel::Outcome::Delivered { detail: "taken".to_owned() }
        })
    }
}

fn mailed(reference: &str, address: &str) -> NewReport {
    let mut new = report(reference, "Export to PDF crashes with FontNotFoundException");
    let address = ContactAddress { channel: Some(ChannelKind::Email), address: address.to_owned() };
    new.reporter.contact_points = vec![address];
    new.product = "app".to_owned();
    new.version = Some("1.0.0".to_owned());
    new
}

fn defect(number: u32) -> DefectRef {
    format!("github:acme/app#{number}").parse().expect("a defect")
}

impl Scene {
    async fn link_to(&self, placed: &PlacedReport, defect: &DefectRef) {
        self.app.link_defect(&self.call, placed.membership.cluster_id, defect).await.expect("linked");
    }

    /// Plans what is to be said, and sends nothing.
    async fn plan(&self) {
        while let Progress::More = self.app.reconcile_once(self.app.clock.now()).await.expect("plans") {}
    }

    async fn deliveries(&self) -> Vec<Delivery> {
        let filter = store::delivery::Filter::default();
        store::delivery::list(&self.reader(), &filter, None, Direction::Ascending, 100).await.expect("reads").items
    }
}

#[tokio::test]
async fn law_10_a_channel_that_panics_over_one_message_keeps_nobody_else_back() {
    let scene = Scene::with_channels(Channels::default().with("email", Fragile("bad@example.org"))).await;
    let first = scene.submit(mailed("1", "ada@example.org")).await.placed;
    let bad = scene.submit(mailed("2", "bad@example.org")).await.placed;
    scene.submit(mailed("3", "cy@example.org")).await;
    scene.link_to(&first, &defect(1)).await;
    scene.release("1.0.1", defect(1)).await;
    scene.plan().await;
    scene.app.deliver_once(scene.app.clock.now()).await.expect("the pass goes on");

    let deliveries = scene.deliveries().await;
    assert_eq!(deliveries.len(), 3);
    for delivery in deliveries {
        let is_bad = delivery.customer_id == bad.report.customer_id;
        // It may have arrived before the channel went to pieces, and these tests do not try again.
        let expected = if is_bad { DeliveryState::Unconfirmed } else { DeliveryState::Delivered };
        assert_eq!(delivery.state, expected);
    }
}

#[tokio::test]
async fn law_10_a_plan_is_read_whole_however_many_deliveries_a_customer_has_in_it() {
    let scene = Scene::with_channels(Channels::default().with("email", Fragile(""))).await;
    let txn = scene.app.store.begin_system(scene.call.scope, scene.call.now).await.expect("a transaction");
    let policy = Policy { multi_defect: MultiDefect::Any, approval_threshold: Some(0), ..Policy::default() };
    store::tenant::update_policy(&txn, &policy).await.expect("a policy");
    txn.commit().await.expect("a commit");

    let placed = scene.submit(mailed("1", "ada@example.org")).await.placed;
    for (number, version) in [(1, "1.0.1"), (2, "1.0.2"), (3, "1.0.3")] {
        scene.link_to(&placed, &defect(number)).await;
        scene.release(version, defect(number)).await;
        scene.plan().await;
    }
    let planned = scene.deliveries().await;
    assert_eq!(planned.len(), 3, "each fix became known after the one before was planned");
    let announcement = planned[0].announcement_id;
    assert!(planned.iter().all(|delivery| delivery.announcement_id == announcement));

    let (mut read, mut after) = (Vec::new(), None);
    while let [delivery] = &store::delivery::plan(&scene.reader(), announcement, after, 1).await.expect("reads")[..] {
        after = Some((delivery.customer_id, delivery.id));
        read.push(delivery.id);
    }
    let planned: Vec<DeliveryId> = planned.iter().map(|delivery| delivery.id).collect();
    assert_eq!(read, planned, "one after the other, in the order in which the digest takes them");

    let plan = scene.app.get_announcement(&scene.call, announcement).await.expect("is there");
    assert_eq!((plan.state, plan.recipient_count), (AnnouncementState::AwaitingApproval, 3));
    let approved = scene.app.approve_announcement(&scene.call, announcement, &plan.plan_digest).await;
    assert_eq!(approved.expect("it is what was looked at").result.state, AnnouncementState::Approved);
}
