//! Announcements: previewed, approved by policy or by a person, stopped, and listed.
//!
//! An announcement's plan is its deliveries. Its digest is taken over all of them, so that a person approves what they
//! saw: while it waits, the reconciler keeps the plan true, and a plan that changed needs another look.

use std::collections::BTreeSet;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::channel::template;
use crate::domain::announcement::{APPROVED_BY_POLICY, Announcement, AnnouncementState, Stage};
use crate::domain::coverage::Coverage;
use crate::domain::customer::ChannelKind;
use crate::domain::delivery::{Attempt, Delivery, DeliveryState};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{AnnouncementId, ClusterId, CustomerId, DeliveryId};
use crate::domain::ledger::{CANCELLED_BY_PERSON, Due, StatementState};
use crate::domain::report::LoopState;
use crate::store::dirty::{self, Subject};
use crate::store::{self, Direction, Page, Reader, Txn};

use super::auth::hex;
use super::delivery::Outcomes;
use super::reconcile::{self, Evaluation, usable_contact};
use super::{App, Call, Error, Once, Resource, delivery, letter};

/// Deliveries read at once when a whole plan is walked.
const PLAN_PAGE: u64 = 1_000;

/// One customer in a preview: what would be said, or why nothing is.
#[derive(Debug, Clone)]
pub struct PlannedRecipient {
    /// Who.
    pub customer_id: CustomerId,
    /// What would be said; `None` if nothing.
    pub stage: Option<Stage>,
    /// Why nothing is said, or what it waits for.
    pub reason: String,
    /// What coverage says.
    pub coverage: Option<Coverage>,
    /// The channel that would be used.
    pub channel: Option<ChannelKind>,
    /// The letter's subject.
    pub subject: String,
    /// The letter's text.
    pub text: String,
}

/// A page of a preview.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The customers, by id.
    pub recipients: Page<PlannedRecipient, CustomerId>,
    /// The announcement about this cluster that waits for approval.
    pub awaiting_approval: Option<Announcement>,
}

/// The digest over a whole plan.
async fn digest_of(db: &Reader<'_>, id: AnnouncementId) -> Result<String, Error> {
    let mut digest = Sha256::new();
    let mut after = None;
    loop {
        let page = store::delivery::plan(db, id, after, PLAN_PAGE).await?;
        for delivery in &page {
            let verdict = delivery.verdict.map_or("", |verdict| verdict.as_str());
            let line = format!(
                "{}\0{}\0{verdict}\0{}\0{}\n",
                delivery.customer_id, delivery.stage, delivery.version, delivery.channel
            );
            digest.update(line);
        }
        after = match page.last() {
            Some(last) if u64::try_from(page.len()).unwrap_or(u64::MAX) == PLAN_PAGE => {
                Some((last.customer_id, last.id))
            }
            _ => return Ok(hex(&digest.finalize())),
        };
    }
}

/// How many an announcement reaches, and how many it has reached.
async fn count(db: &Reader<'_>, id: AnnouncementId) -> Result<(i64, i64), Error> {
    let (mut recipients, mut told) = (0, 0);
    for (state, count) in store::delivery::count_by_state(db, id).await? {
        recipients += if state == DeliveryState::Cancelled { 0 } else { count };
        told += if state.may_have_told() { count } else { 0 };
    }
    Ok((recipients, told))
}

/// Brings announcements whose plan changed up to date: digest, counts, approval by policy, completion.
pub(super) async fn settle_plans(txn: &mut Txn, touched: &BTreeSet<AnnouncementId>) -> Result<(), Error> {
    for announcement in store::announcement::by_ids(&txn.read(), touched.iter().copied()).await? {
        settle_plan(txn, announcement).await?;
    }
    Ok(())
}

/// The same for what a page of a cluster's walk left behind. The cluster's own announcements wait for the last page,
/// and then all that are open are settled, whichever page changed them: a plan that is half made is neither small
/// enough for the policy's approval nor what a person should look at.
pub(super) async fn settle_page(
    txn: &mut Txn,
    cluster: ClusterId,
    is_last: bool,
    touched: &BTreeSet<AnnouncementId>,
) -> Result<(), Error> {
    let mut announcements = store::announcement::by_ids(&txn.read(), touched.iter().copied()).await?;
    announcements.retain(|announcement| announcement.cluster_id != cluster);
    if is_last {
        announcements.extend(store::announcement::open_of_clusters(&txn.read(), &[cluster]).await?);
    }
    for announcement in announcements {
        settle_plan(txn, announcement).await?;
    }
    Ok(())
}

async fn settle_plan(txn: &mut Txn, announcement: Announcement) -> Result<(), Error> {
    let mut new = announcement.clone();
    let (recipients, told) = count(&txn.read(), new.id).await?;
    (new.recipient_count, new.told_count) = (recipients, told);
    // What was approved keeps the digest it was approved under.
    if new.state == AnnouncementState::AwaitingApproval || new.approved_by.as_deref() == Some(APPROVED_BY_POLICY) {
        new.plan_digest = digest_of(&txn.read(), new.id).await?;
    }
    if new.state == AnnouncementState::AwaitingApproval && recipients > 0 && is_small_enough(txn, &new).await? {
        approve(txn, &mut new, APPROVED_BY_POLICY).await?;
    }
    delivery::complete_if_finished(txn, &mut new).await?;
    save(txn, &announcement, new).await
}

/// Whether nobody has to be asked. While the cluster's customers are still being looked at, nobody knows how many it
/// will be.
async fn is_small_enough(txn: &Txn, announcement: &Announcement) -> Result<bool, Error> {
    let Some(threshold) = txn.policy().approval_threshold else { return Ok(true) };
    if u64::try_from(announcement.recipient_count).is_ok_and(|recipients| recipients > threshold) {
        return Ok(false);
    }
    Ok(dirty::find(txn, Subject::Cluster(announcement.cluster_id)).await?.is_none())
}

/// Adds what came of deliveries to the counts of their announcements. Counted anew with every outcome, a large
/// announcement would be read as often as it has recipients.
pub(super) async fn add_outcomes(txn: &mut Txn, outcomes: &Outcomes) -> Result<(), Error> {
    for announcement in store::announcement::by_ids(&txn.read(), outcomes.keys().copied()).await? {
        let mut new = announcement.clone();
        for state in &outcomes[&new.id] {
            new.told_count += i64::from(state.may_have_told());
            new.recipient_count -= i64::from(*state == DeliveryState::Cancelled);
        }
        delivery::complete_if_finished(txn, &mut new).await?;
        save(txn, &announcement, new).await?;
    }
    Ok(())
}

async fn save(txn: &Txn, before: &Announcement, mut after: Announcement) -> Result<(), Error> {
    if after != *before {
        after.update_time = txn.now();
        store::announcement::update(txn, after).await?;
    }
    Ok(())
}

async fn approve(txn: &mut Txn, announcement: &mut Announcement, by: &str) -> Result<(), Error> {
    announcement.state = AnnouncementState::Approved;
    announcement.approved_by = Some(by.to_owned());
    announcement.approve_time = Some(txn.now());
    announcement.update_time = txn.now();
    store::delivery::release_approved(txn, announcement.id).await?;
    txn.record(NewEvent::new(EventKind::AnnouncementApproved, announcement.id).cluster(announcement.cluster_id).data(
        json!({
            "by": by, "plan_digest": announcement.plan_digest, "recipient_count": announcement.recipient_count,
        }),
    ));
    Ok(())
}

impl App {
    /// One announcement.
    pub async fn get_announcement(&self, call: &Call, id: AnnouncementId) -> Result<Announcement, Error> {
        find(&self.read(call), id).await
    }

    /// A page of announcements.
    pub async fn list_announcements(
        &self,
        call: &Call,
        filter: &store::announcement::Filter,
        after: Option<AnnouncementId>,
        direction: Direction,
        size: u64,
    ) -> Result<Page<Announcement, AnnouncementId>, Error> {
        Ok(store::announcement::list(&self.read(call), filter, after, direction, size).await?)
    }

    /// A page of deliveries, each with its tries.
    pub async fn list_deliveries(
        &self,
        call: &Call,
        filter: &store::delivery::Filter,
        after: Option<DeliveryId>,
        direction: Direction,
        size: u64,
    ) -> Result<Page<(Delivery, Vec<Attempt>), DeliveryId>, Error> {
        let db = self.read(call);
        let page = store::delivery::list(&db, filter, after, direction, size).await?;
        let ids: Vec<DeliveryId> = page.items.iter().map(|delivery| delivery.id).collect();
        let mut attempts = store::delivery::attempts_of(&db, &ids).await?;
        let items = page.items.into_iter().map(|delivery| {
            let own = attempts.extract_if(.., |attempt| attempt.delivery_id == delivery.id).collect();
            (delivery, own)
        });
        Ok(Page { items: items.collect(), next: page.next })
    }

    /// Lets an announcement go out, if its plan is still the one that was looked at.
    pub async fn approve_announcement(
        &self,
        call: &Call,
        id: AnnouncementId,
        plan_digest: &str,
    ) -> Result<Once<Announcement>, Error> {
        let body = json!({"announcement_id": id, "plan_digest": plan_digest});
        let mut txn = self.begin(call).await?;
        let replayed = self.earlier(&txn, call, "ApproveAnnouncement", &body).await?.is_some();
        let mut announcement = find(&txn.read(), id).await?;
        if replayed {
            return Ok(Once { result: announcement, replayed });
        }
        match announcement.state {
            AnnouncementState::Cancelled => {
                return Err(Error::wrong_state(Resource::Announcement, id, "was cancelled; it cannot be approved"));
            }
            AnnouncementState::Approved | AnnouncementState::Completed => {
                return if announcement.plan_digest == plan_digest {
                    Ok(Once { result: announcement, replayed: true })
                } else {
                    Err(Error::PlanChanged { id: id.to_string(), digest: announcement.plan_digest })
                };
            }
            AnnouncementState::AwaitingApproval => {}
        }
        let digest = digest_of(&txn.read(), id).await?;
        if digest != plan_digest {
            return Err(Error::PlanChanged { id: id.to_string(), digest });
        }
        announcement.plan_digest = digest;
        (announcement.recipient_count, _) = count(&txn.read(), id).await?;
        approve(&mut txn, &mut announcement, &call.actor()).await?;
        store::announcement::update(&txn, announcement.clone()).await?;
        self.remember(&txn, call, "ApproveAnnouncement", &body, json!({"announcement_id": id})).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result: announcement, replayed: false })
    }

    /// Stops an announcement. What is being sent at this moment cannot be called back; nothing else of it is sent, and
    /// nothing is tried again.
    pub async fn cancel_announcement(
        &self,
        call: &Call,
        id: AnnouncementId,
        reason: &str,
    ) -> Result<Once<Announcement>, Error> {
        let body = json!({"announcement_id": id, "reason": reason});
        let mut txn = self.begin(call).await?;
        let replayed = self.earlier(&txn, call, "CancelAnnouncement", &body).await?.is_some();
        let mut announcement = find(&txn.read(), id).await?;
        if replayed || announcement.state == AnnouncementState::Cancelled {
            return Ok(Once { result: announcement, replayed: true });
        }
        if announcement.state == AnnouncementState::Completed {
            return Err(Error::wrong_state(
                Resource::Announcement,
                id,
                "is completed: everybody in it has been told or has a reason; there is nothing left to stop",
            ));
        }
        loop {
            let page = store::delivery::stoppable(&txn.read(), id, PLAN_PAGE).await?;
            if page.is_empty() {
                break;
            }
            // What may have arrived is not unsaid by stopping the rest: it ends as that, and is corrected if it is false.
            let (in_doubt, unsent): (Vec<Delivery>, Vec<Delivery>) =
                page.into_iter().partition(Delivery::may_have_arrived);
            for mut delivery in in_doubt {
                delivery::finish(&mut txn, &mut delivery, DeliveryState::Unconfirmed, delivery::OUTCOME_UNKNOWN)
                    .await?;
                announcement.told_count += 1;
            }
            let ids: Vec<DeliveryId> = unsent.iter().map(|delivery| delivery.id).collect();
            // A person's lasting word: the slots stay taken, so that the reconciler does not plan them again.
            store::statement::suppress(&txn, &ids, CANCELLED_BY_PERSON).await?;
            store::delivery::finish(&txn, &ids, DeliveryState::Cancelled, CANCELLED_BY_PERSON).await?;
            for delivery in &unsent {
                txn.record(
                    NewEvent::new(EventKind::DeliveryFinished, delivery.id)
                        .customer(delivery.customer_id)
                        .cluster(delivery.cluster_id)
                        .data(json!({
                            "state": DeliveryState::Cancelled, "stage": delivery.stage, "reason": CANCELLED_BY_PERSON,
                        })),
                );
            }
            let customers = unsent.iter().map(|delivery| Subject::Customer(delivery.customer_id));
            dirty::mark(&txn, customers, call.now).await?;
        }
        announcement.state = AnnouncementState::Cancelled;
        reason.clone_into(&mut announcement.cancel_reason);
        announcement.update_time = call.now;
        store::announcement::update(&txn, announcement.clone()).await?;
        txn.record(
            NewEvent::new(EventKind::AnnouncementCancelled, id)
                .cluster(announcement.cluster_id)
                .data(json!({"reason": reason})),
        );
        self.remember(&txn, call, "CancelAnnouncement", &body, json!({"announcement_id": id})).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result: announcement, replayed: false })
    }

    /// Works out who would be told what about a cluster now, and why the others would not. Stores nothing.
    pub async fn preview_announcement(
        &self,
        call: &Call,
        cluster: ClusterId,
        after: Option<CustomerId>,
        size: u64,
    ) -> Result<Preview, Error> {
        let db = self.read(call);
        let found = store::cluster::by_ids(&db, &[cluster]).await?;
        let found = found.into_iter().next().ok_or_else(|| Error::not_found(Resource::Cluster, cluster))?;
        let (policy, _) = store::tenant::policy(&db).await?;
        let mut customers = store::statement::customers_of_cluster(&db, cluster, after, size + 1).await?;
        let limit = usize::try_from(size).unwrap_or(usize::MAX);
        let more = customers.len() > limit;
        customers.truncate(limit);
        let page = reconcile::evaluate(&db, &policy, call.now, &customers).await?;
        let products = page.evaluations.iter().flat_map(|evaluation| &evaluation.reports);
        let products: BTreeSet<_> = products.filter_map(|report| report.product_id).chain(found.product_id).collect();
        let products = store::tenant::products(&db, products).await?;
        let product_name = |evaluation: &Evaluation| {
            let own = evaluation.reports.iter().filter(|report| report.cluster_id == cluster);
            let product = own.filter_map(|report| report.product_id).next().or(found.product_id)?;
            products.iter().find(|known| known.id == product).map(|known| known.display_name.clone())
        };
        let enabled = self.delivery.enabled();
        let mut recipients = Vec::with_capacity(page.evaluations.len());
        for evaluation in &page.evaluations {
            let product_name = product_name(evaluation);
            recipients.push(self.plan_recipient(evaluation, cluster, &found.workaround, product_name, &enabled)?);
        }
        recipients.sort_by_key(|recipient| recipient.customer_id);
        let next = if more { customers.last().copied() } else { None };
        let open = store::announcement::open_of_clusters(&db, &[cluster]).await?;
        let awaiting_approval =
            open.into_iter().find(|announcement| announcement.state == AnnouncementState::AwaitingApproval);
        Ok(Preview { recipients: Page { items: recipients, next }, awaiting_approval })
    }

    fn plan_recipient(
        &self,
        evaluation: &Evaluation,
        cluster: ClusterId,
        workaround: &str,
        product_name: Option<String>,
        enabled: &[ChannelKind],
    ) -> Result<PlannedRecipient, Error> {
        let standing = evaluation.standings.iter().find(|standing| {
            evaluation
                .reports
                .iter()
                .any(|report| report.cluster_id == cluster && standing.reports.contains(&report.id))
        });
        let coverage = standing.and_then(|standing| standing.outlook.coverage().cloned());
        let mut recipient = PlannedRecipient {
            customer_id: evaluation.customer.id,
            stage: None,
            reason: String::new(),
            coverage,
            channel: None,
            subject: String::new(),
            text: String::new(),
        };
        let pending = evaluation
            .statements
            .iter()
            .find(|statement| statement.state == StatementState::Pending && statement.cluster_id == cluster);
        let said = match pending {
            Some(statement) => Some(statement.stage),
            None => evaluation.due.iter().find_map(|due| match due {
                Due::Tell { cluster: about, stage, .. } if *about == cluster => Some(*stage),
                _ => None,
            }),
        };
        let contact = usable_contact(&evaluation.customer, &evaluation.contacts, enabled);
        match (said, contact) {
            (Some(stage), Ok(contact)) => {
                recipient.stage = Some(stage);
                recipient.channel = Some(contact.channel);
                let version = recipient.coverage.as_ref().and_then(|coverage| coverage.version.clone());
                let subject = letter::Subject {
                    stage,
                    cluster,
                    verdict: recipient.coverage.as_ref().map(|coverage| coverage.verdict),
                    version: version.as_deref().unwrap_or_default(),
                    workaround,
                    product_name,
                    unsubscribe_url: self.unsubscribe_url(contact),
                };
                let letter = letter::letter(subject, &evaluation.customer, &evaluation.reports, &evaluation.statements);
                let rendered = template::render(&letter).map_err(|error| Error::Internal(Box::new(error)))?;
                (recipient.subject, recipient.text) = (rendered.subject, rendered.text);
            }
            (Some(_), Err(reason)) => reason.clone_into(&mut recipient.reason),
            (None, _) => {
                // Open before closed before told: what keeps a loop open is what a reader asks about.
                let own = evaluation.reports.iter().filter(|report| report.cluster_id == cluster);
                let waiting = own.min_by_key(|report| match report.loop_state {
                    LoopState::Open => 0,
                    LoopState::Closed => 1,
                    LoopState::Told => 2,
                });
                recipient.reason = waiting.map(|report| report.loop_reason.clone()).unwrap_or_default();
            }
        }
        Ok(recipient)
    }
}

async fn find(db: &Reader<'_>, id: AnnouncementId) -> Result<Announcement, Error> {
    store::announcement::find(db, id).await?.ok_or_else(|| Error::not_found(Resource::Announcement, id))
}
