//! Sending: claims deliveries that are due, checks everything once more at the last moment (law 12), records the try,
//! sends outside any transaction, and records what came of it (law 9).
//!
//! The order matters. The claim commits a try in state `started` under a lease before a byte goes out; the outcome
//! counts only with the lease's token. Whoever finds a lease that ended finds a try of unknown outcome, and treats it
//! as one.

mod outcome;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use secrecy::SecretString;
use serde_json::json;
use tracing::error;
use url::Url;

use crate::channel::egress::EgressPolicy;
use crate::channel::template::{self, Rendered};
use crate::channel::{self, Channels, Message};
use crate::domain::announcement::Stage;
use crate::domain::customer::{ChannelKind, ContactPoint, ContactState};
use crate::domain::delivery::{Attempt, AttemptOutcome, Delivery, DeliveryState, Outcome, RetrySchedule, UNWRITABLE};
use crate::domain::id::{AttemptId, ClusterId, CustomerId, DeliveryId, ProductId};
use crate::domain::statements::{Outlook, World};
use crate::domain::time::Timestamp;
use crate::store::dirty;
use crate::store::tenant::WebhookSecrets;
use crate::store::{self, TenantScope, Txn};
use crate::telemetry::chain;

use super::reconcile::{self, Evaluation, usable_contact};
use super::{App, Error, Progress, announcement, cluster, letter};

pub use outcome::Reported;
use outcome::note;
pub(super) use outcome::{OUTCOME_UNKNOWN, Outcomes, complete_if_finished, finish};

/// How sending is done.
#[derive(Debug, Clone)]
pub struct DeliverySettings {
    /// Deliveries claimed and sent at once.
    pub batch: usize,
    /// How long a claim holds. Longer than any channel's timeout.
    pub lease: Duration,
    /// How long a help desk on the stream has to acknowledge.
    pub stream_lease: Duration,
    /// Silence after which a stream shows that it is alive: shorter than what proxies take for a dead connection.
    pub stream_heartbeat: Duration,
    /// Sends at once to one mail domain or webhook host.
    pub per_destination: usize,
    /// When to try again.
    pub schedule: RetrySchedule,
    /// What unsubscribe links begin with.
    pub public_url: Url,
    /// Customers the reconciler looks at in one transaction.
    pub reconcile_page: u64,
    /// After how long a linked cluster is looked at without being asked.
    pub sweep_period: Duration,
}

/// The ways out, and how they are used.
pub struct Deliverer {
    /// The channels that are configured.
    pub channels: Channels,
    /// Where webhooks may go.
    pub egress: EgressPolicy,
    /// How sending is done.
    pub settings: DeliverySettings,
}

fn channel_name(kind: ChannelKind) -> &'static str {
    match kind {
        ChannelKind::Email => "email",
        ChannelKind::Webhook => "webhook",
        ChannelKind::Stream => "stream",
    }
}

impl Deliverer {
    /// Where webhooks may go: what intake refuses, sending refuses too.
    pub(crate) fn egress(&self) -> &EgressPolicy {
        &self.egress
    }

    /// The channels that can be used. The stream always can: it is for help desks to come and fetch.
    pub fn enabled(&self) -> Vec<ChannelKind> {
        ChannelKind::ALL
            .iter()
            .copied()
            .filter(|&kind| kind == ChannelKind::Stream || self.channels.find(channel_name(kind)).is_some())
            .collect()
    }
}

/// A delivery that was claimed: to be sent, or handed out, under its lease.
pub struct Claimed {
    /// The delivery, as claimed.
    pub delivery: Delivery,
    /// Where it goes.
    pub contact: ContactPoint,
    /// The caller's own id of the customer.
    pub customer_external_id: Option<String>,
    /// The customer's reports it answers, as `source/external_id`.
    pub references: Vec<String>,
    /// The letter.
    pub letter: Rendered,
    message: Message,
}

impl App {
    /// Sends one batch of what is due. `More` if there was anything.
    pub async fn deliver_once(&self, now: Timestamp) -> Result<Progress, Error> {
        let limit = u64::try_from(self.delivery.settings.batch).unwrap_or(u64::MAX);
        let due = store::delivery::due(&self.store, now, limit).await?;
        if due.is_empty() {
            return Ok(Progress::Idle);
        }
        let mut by_scope: BTreeMap<_, (TenantScope, Vec<DeliveryId>)> = BTreeMap::new();
        for (scope, id) in due {
            by_scope.entry(scope.tenant()).or_insert_with(|| (scope, Vec::new())).1.push(id);
        }
        // One tenant is claimed after the other, and all send side by side: none waits for another one's slow receivers.
        let mut sending = FuturesUnordered::new();
        let mut destinations = Destinations::default();
        let mut result = Ok(Progress::More);
        for (scope, ids) in by_scope.into_values() {
            // The lease begins with the claim, whenever the pass began: one that was over before its send is would let
            // another replica send the same.
            let lease = self.delivery.settings.lease;
            match self.claim(scope, &ids, lease, self.clock.now(), &mut destinations).await {
                Ok(claimed) => sending.push(self.send_all(scope, claimed)),
                // What goes wrong for one breaks off nobody else's sends, which would then have an unknown outcome.
                Err(error) => result = Err(error),
            }
        }
        while let Some(sent) = sending.next().await {
            result = result.and_then(|progress| sent.map(|()| progress));
        }
        result
    }

    /// Sends what was claimed, all at once, and records outcomes as they come.
    async fn send_all(&self, scope: TenantScope, claimed: Vec<Claimed>) -> Result<(), Error> {
        let mut sending: FuturesUnordered<_> = claimed.iter().map(|claimed| self.send(claimed)).collect();
        while let Some(first) = sending.next().await {
            let mut done = vec![first];
            // What has finished meanwhile shares the transaction.
            while let Some(Some(next)) = sending.next().now_or_never() {
                done.push(next);
            }
            self.record_outcomes(scope, done, self.clock.now()).await?;
        }
        Ok(())
    }

    async fn send(&self, claimed: &Claimed) -> Reported {
        let delivery = &claimed.delivery;
        let (outcome, detail) = match self.delivery.channels.find(channel_name(delivery.channel)) {
            None => (Outcome::Retry { not_before: None }, "the channel is not configured any more".to_owned()),
            Some(channel) => {
                // The panic hook has logged where; the other sends of the batch go on.
                let outcome = AssertUnwindSafe(channel.send(&claimed.message)).catch_unwind().await;
                let outcome = outcome.unwrap_or_else(|_| channel::Outcome::Unknown {
                    detail: "AMBIGUOUS: the channel failed in the middle of the attempt".to_owned(),
                });
                let detail = outcome.detail().to_owned();
                (read_outcome(outcome), detail)
            }
        };
        Reported { delivery: delivery.id, lease_token: delivery.lease_token, outcome, detail }
    }

    /// Claims deliveries for sending: everything is checked again, then the try is recorded, then the lease begins.
    pub(crate) async fn claim(
        &self,
        scope: TenantScope,
        ids: &[DeliveryId],
        lease: Duration,
        now: Timestamp,
        destinations: &mut Destinations,
    ) -> Result<Vec<Claimed>, Error> {
        let mut txn = self.store.begin_system(scope, now).await?;
        let due = store::delivery::still_due(&txn, ids).await?;
        let (left_behind, due): (Vec<_>, Vec<_>) =
            due.into_iter().partition(|delivery| delivery.state == DeliveryState::Sending);
        let customers: BTreeSet<CustomerId> = due.iter().map(|delivery| delivery.customer_id).collect();
        let customers: Vec<CustomerId> = customers.into_iter().collect();
        let enabled = self.delivery.enabled();

        // The whole truth once more: what stopped being true since it was planned is cancelled here.
        let policy = txn.policy().clone();
        let mut page = reconcile::evaluate(&txn.read(), &policy, now, &customers).await?;
        let applied = reconcile::apply(&mut txn, &mut page, &enabled).await?;
        let ids: Vec<DeliveryId> = due.iter().map(|delivery| delivery.id).collect();
        let due = store::delivery::still_due(&txn, &ids).await?;
        let evaluations: HashMap<CustomerId, &Evaluation> =
            page.evaluations.iter().map(|evaluation| (evaluation.customer.id, evaluation)).collect();

        let mut facts = LetterFacts::load(&txn, &due, &page.evaluations).await?;
        let mut outcomes = Outcomes::default();
        let mut claimed = Vec::new();
        for mut delivery in due {
            let Some(evaluation) = evaluations.get(&delivery.customer_id) else { continue };
            let contact = match self.contact_for(&delivery, evaluation, &enabled) {
                Ok(contact) => contact,
                Err(reason) => {
                    // What may have arrived is not unsaid by an opt-out.
                    let (state, reason) = if delivery.may_have_arrived() {
                        (DeliveryState::Unconfirmed, OUTCOME_UNKNOWN)
                    } else {
                        (DeliveryState::Suppressed, reason)
                    };
                    finish(&mut txn, &mut delivery, state, reason).await?;
                    note(&mut outcomes, &delivery);
                    continue;
                }
            };
            if let Some(until) = policy.quiet_until(&evaluation.customer.time_zone, now) {
                delivery.next_attempt_time = until;
                "quiet_hours".clone_into(&mut delivery.reason);
                delivery.update_time = now;
                store::delivery::update(&txn, delivery).await?;
                continue;
            }
            let sends = destinations.entry(destination(contact)).or_default();
            if *sends >= self.delivery.settings.per_destination {
                continue; // Still due: the next batch takes it.
            }
            *sends += 1;
            if contact.id != delivery.contact_point_id {
                if delivery.may_have_arrived() {
                    // Another address would be a second telling.
                    finish(&mut txn, &mut delivery, DeliveryState::Unconfirmed, OUTCOME_UNKNOWN).await?;
                    note(&mut outcomes, &delivery);
                    continue;
                }
                delivery.contact_point_id = contact.id;
                delivery.contact_attempt_count = 0;
            }
            restate(&txn, &mut delivery, evaluation, &page.world).await?;
            let sending = Delivery {
                channel: contact.channel,
                state: DeliveryState::Sending,
                reason: String::new(),
                attempt_count: delivery.attempt_count + 1,
                contact_attempt_count: delivery.contact_attempt_count + 1,
                lease_token: delivery.lease_token + 1,
                lease_expire_time: Some(now + lease),
                update_time: now,
                ..delivery.clone()
            };
            match self.prepare(&mut facts, sending, contact, evaluation) {
                Ok(ready) => claimed.push(ready),
                // One letter that cannot be written must not keep back everybody else's.
                Err(error) => {
                    error!(delivery.id = %delivery.id, error = %chain(&error), "the letter of a delivery cannot be written");
                    finish(&mut txn, &mut delivery, DeliveryState::Failed, UNWRITABLE).await?;
                    note(&mut outcomes, &delivery);
                }
            }
        }
        for claimed in &claimed {
            store::delivery::update(&txn, claimed.delivery.clone()).await?;
        }
        store::delivery::insert_attempts(&txn, claimed.iter().map(started).collect()).await?;
        for mut delivery in left_behind {
            let lost = "the process that sent it went away before it could record the outcome";
            self.settle(&mut txn, &mut delivery, &Outcome::Unknown, lost).await?;
            note(&mut outcomes, &delivery);
        }
        for &(subject, due) in &applied.again {
            dirty::mark(&txn, [subject], due.max(now)).await?;
        }
        announcement::settle_plans(&mut txn, &applied.touched).await?;
        // Those were counted afresh just now.
        outcomes.retain(|announcement, _| !applied.touched.contains(announcement));
        announcement::add_outcomes(&mut txn, &outcomes).await?;
        let clusters: Vec<ClusterId> = applied.clusters.into_iter().collect();
        cluster::refresh_states(&mut txn, &clusters).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(claimed)
    }

    /// The contact point to use now: the planned one if it may still be used, else the customer's next.
    fn contact_for<'a>(
        &self,
        delivery: &Delivery,
        evaluation: &'a Evaluation,
        enabled: &[ChannelKind],
    ) -> Result<&'a ContactPoint, &'static str> {
        let first = usable_contact(&evaluation.customer, &evaluation.contacts, enabled)?;
        let planned = evaluation.contacts.iter().find(|contact| {
            contact.id == delivery.contact_point_id
                && contact.state == ContactState::Active
                && enabled.contains(&contact.channel)
        });
        Ok(planned.unwrap_or(first))
    }

    fn prepare(
        &self,
        facts: &mut LetterFacts,
        delivery: Delivery,
        contact: &ContactPoint,
        evaluation: &Evaluation,
    ) -> Result<Claimed, Error> {
        let unsubscribe_url = self.unsubscribe_url(contact);
        let subject = letter::Subject {
            stage: delivery.stage,
            cluster: delivery.cluster_id,
            verdict: delivery.verdict,
            version: &delivery.version,
            workaround: facts.workarounds.get(&delivery.cluster_id).map_or("", String::as_str),
            product_name: facts.product_name(delivery.cluster_id, evaluation),
            unsubscribe_url: unsubscribe_url.clone(),
        };
        let letter = letter::letter(subject, &evaluation.customer, &evaluation.reports, &evaluation.statements);
        let references: Vec<String> =
            letter.reports.iter().map(|report| format!("{}/{}", report.source, report.external_id)).collect();
        let rendered = template::render(&letter).map_err(|error| Error::Internal(Box::new(error)))?;
        let message = Message {
            delivery: delivery.id,
            customer: delivery.customer_id,
            address: contact.address.clone(),
            subject: rendered.subject.clone(),
            text: rendered.text.clone(),
            html: rendered.html.clone(),
            unsubscribe_url,
            kind: match delivery.stage {
                Stage::Acknowledged => "acknowledgement.announced",
                Stage::FixAvailable => "fix.announced",
                Stage::Correction => "correction.announced",
            },
            data: json!({
                "delivery_id": delivery.id,
                "announcement_id": delivery.announcement_id,
                "cluster_id": delivery.cluster_id,
                "customer_id": delivery.customer_id,
                "customer_external_id": evaluation.customer.external_id,
                "stage": delivery.stage,
                "verdict": delivery.verdict,
                "version": delivery.version,
                "reports": references,
                "subject": rendered.subject,
                "text": rendered.text,
            }),
            event_time: delivery.create_time,
            now: delivery.update_time,
            signing_secrets: facts.signing_secrets(delivery.update_time),
        };
        Ok(Claimed {
            delivery,
            contact: contact.clone(),
            customer_external_id: evaluation.customer.external_id.clone(),
            references,
            letter: rendered,
            message,
        })
    }

    /// Where one click ends letters to this contact point.
    pub(crate) fn unsubscribe_url(&self, contact: &ContactPoint) -> Option<String> {
        let path = format!("u/{}", contact.unsubscribe_token);
        self.delivery.settings.public_url.join(&path).ok().map(String::from)
    }
}

/// Says what is true now, where it is not what was true when it was planned: the customer has moved, or another release
/// helps.
async fn restate(txn: &Txn, delivery: &mut Delivery, evaluation: &Evaluation, world: &World) -> Result<(), Error> {
    let carried = evaluation
        .statements
        .iter()
        .filter(|statement| statement.delivery_id == Some(delivery.id) && statement.stage == Stage::FixAvailable);
    let mut coverages = Vec::new();
    for statement in carried {
        let standing = evaluation.standings.iter().find(|standing| standing.defect == statement.defect_id);
        let Some(Outlook::Say(coverage)) = standing.map(|standing| &standing.outlook) else { continue };
        if (statement.release_id, statement.verdict) != (coverage.release, Some(coverage.verdict)) {
            store::statement::restate(txn, statement.id, coverage).await?;
        }
        coverages.push(coverage);
    }
    if let Some(coverage) = reconcile::spoken(coverages.into_iter(), world) {
        delivery.verdict = Some(coverage.verdict);
        delivery.release_id = coverage.release;
        delivery.version = coverage.version.clone().unwrap_or_default();
    }
    Ok(())
}

fn started(claimed: &Claimed) -> Attempt {
    let delivery = &claimed.delivery;
    Attempt {
        id: AttemptId::new(),
        tenant_id: delivery.tenant_id,
        delivery_id: delivery.id,
        number: delivery.attempt_count,
        contact_point_id: delivery.contact_point_id,
        lease_token: delivery.lease_token,
        outcome: AttemptOutcome::Started,
        detail: String::new(),
        start_time: delivery.update_time,
        finish_time: None,
    }
}

fn read_outcome(outcome: channel::Outcome) -> Outcome {
    match outcome {
        channel::Outcome::Delivered { .. } => Outcome::Delivered,
        channel::Outcome::Retry { not_before, .. } => Outcome::Retry { not_before },
        channel::Outcome::Rejected { bounced, .. } => Outcome::Rejected { bounced },
        channel::Outcome::Unknown { .. } => Outcome::Unknown,
    }
}

/// Sends at once, by where they go; over all tenants of a pass.
type Destinations = HashMap<String, usize>;

/// What a limit of sends at once is counted by: the mail domain, or the webhook's host.
fn destination(contact: &ContactPoint) -> String {
    let address = &contact.canonical_address;
    match contact.channel {
        ChannelKind::Email => address.rsplit('@').next().unwrap_or(address).to_owned(),
        ChannelKind::Webhook => {
            Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
        }
        // Handed out by the watching help desk's own pace.
        ChannelKind::Stream => address.clone(),
    }
}

/// What letters of one batch need beyond their customers: loaded together.
struct LetterFacts {
    workarounds: HashMap<ClusterId, String>,
    cluster_products: HashMap<ClusterId, ProductId>,
    product_names: HashMap<ProductId, String>,
    secrets: WebhookSecrets,
}

impl LetterFacts {
    async fn load(txn: &Txn, due: &[Delivery], evaluations: &[Evaluation]) -> Result<Self, Error> {
        let ids: BTreeSet<ClusterId> = due.iter().map(|delivery| delivery.cluster_id).collect();
        let ids: Vec<ClusterId> = ids.into_iter().collect();
        let clusters = store::cluster::by_ids(&txn.read(), &ids).await?;
        let reported = evaluations.iter().flat_map(|evaluation| &evaluation.reports);
        let products: BTreeSet<ProductId> = clusters
            .iter()
            .filter_map(|cluster| cluster.product_id)
            .chain(reported.filter_map(|report| report.product_id))
            .collect();
        let products = store::tenant::products(&txn.read(), products).await?;
        Ok(Self {
            cluster_products: clusters.iter().filter_map(|cluster| Some((cluster.id, cluster.product_id?))).collect(),
            workarounds: clusters.into_iter().map(|cluster| (cluster.id, cluster.workaround)).collect(),
            product_names: products.into_iter().map(|product| (product.id, product.display_name)).collect(),
            secrets: store::tenant::webhook_secrets(&txn.read()).await?,
        })
    }

    /// The product as the customer knows it: that of their own report, else the cluster's.
    fn product_name(&self, cluster: ClusterId, evaluation: &Evaluation) -> Option<String> {
        let own = evaluation.reports.iter().filter(|report| report.cluster_id == cluster);
        let product = own.filter_map(|report| report.product_id).next();
        let product = product.or_else(|| self.cluster_products.get(&cluster).copied())?;
        self.product_names.get(&product).cloned()
    }

    fn signing_secrets(&self, now: Timestamp) -> Vec<SecretString> {
        let previous = self.secrets.previous.iter().filter(|(_, expire)| *expire > now).map(|(secret, _)| secret);
        self.secrets.current.iter().chain(previous).map(|secret| SecretString::from(secret.clone())).collect()
    }
}

impl App {
    /// Claims what is due on the stream for a help desk that will post it itself.
    pub async fn claim_for_stream(
        &self,
        call: &super::Call,
        limit: usize,
        now: Timestamp,
    ) -> Result<Vec<Claimed>, Error> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX);
        let due = store::delivery::due_of_tenant(&self.read(call), ChannelKind::Stream, now, limit).await?;
        if due.is_empty() {
            return Ok(Vec::new());
        }
        let lease = self.delivery.settings.stream_lease;
        self.claim(call.scope, &due, lease, now, &mut Destinations::default()).await
    }
}
