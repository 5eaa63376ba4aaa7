//! Customers: who they are, what they run, whether they want to hear, and what happened with them.

mod resolve;
mod timeline;

use serde::Serialize;
use serde_json::json;

use crate::channel::egress::{EgressPolicy, check_webhook_url};
use crate::channel::email::check_email_address;
use crate::domain::customer::{
    ChannelKind, ContactAddress, ContactPoint, ContactState, Customer, Installation, check_contact_points, check_person,
};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{ContactPointId, CustomerId, InstallationId};
use crate::domain::report::{DEFAULT_ENVIRONMENT, NewReporter};
use crate::domain::time::Timestamp;
use crate::domain::violation::{Violations, field_path};
use crate::store::dirty::{self, Subject};
use crate::store::{Page, Reader, Txn, customer, event};

use super::{App, Call, Error, Once, Resource, product, remembered};

pub(crate) use resolve::resolve_many;
pub use timeline::TimelineEntry;

/// A customer with everything that belongs to it.
#[derive(Debug, Clone)]
pub struct Profile {
    /// Who.
    pub customer: Customer,
    /// Where to reach them, in the order of preference.
    pub contact_points: Vec<ContactPoint>,
    /// What they run.
    pub installations: Vec<Installation>,
}

/// A customer that was created or completed.
#[derive(Debug, Clone)]
pub struct Upserted {
    /// The customer.
    pub profile: Profile,
    /// It is new.
    pub created: bool,
}

/// What a customer runs, as a caller says it.
#[derive(Debug, Clone, Serialize)]
pub struct NewInstallation {
    /// Who runs it.
    pub customer_id: CustomerId,
    /// The product, by key or id.
    pub product: String,
    /// Its version, if known.
    pub version: Option<String>,
    /// Its platform; `None` if unknown.
    pub platform: Option<String>,
    /// Its environment; `None` is production.
    pub environment: Option<String>,
    /// Its region, if known.
    pub region: Option<String>,
    /// Its ring, if known.
    pub ring: Option<String>,
}

/// A change of consent.
#[derive(Debug, Clone, Serialize)]
pub struct Preferences {
    /// Whose.
    pub customer_id: CustomerId,
    /// Whether they want to hear nothing at all; `None` leaves it as it is.
    pub opted_out: Option<bool>,
    /// Contact points not to use any more.
    pub opt_out_contact_point_ids: Vec<ContactPointId>,
    /// Contact points to use again.
    pub opt_in_contact_point_ids: Vec<ContactPointId>,
}

/// What the holder of an unsubscribe link may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The channel.
    pub channel: ChannelKind,
    /// Enough of the address to recognise it by.
    pub masked_address: String,
    /// Whether it is used.
    pub state: ContactState,
}

/// Who acts when a customer uses a link in a message.
const CUSTOMER: &str = "customer";

/// Contact points that one call changes at most.
const MAX_CONTACT_POINT_CHANGES: usize = 100;

/// Checks that the channels could dial these addresses. Shape and lengths are checked by
/// [`check_contact_points`]; what it refuses already is passed over here.
pub(crate) fn check_addresses(
    path: &str,
    contact_points: &[ContactAddress],
    policy: &EgressPolicy,
    violations: &mut Violations,
) {
    for (index, contact) in contact_points.iter().enumerate() {
        let address = contact.address.trim();
        let problem = match contact.channel {
            _ if address.is_empty() => None,
            Some(ChannelKind::Email) => check_email_address(address).err(),
            Some(ChannelKind::Webhook) => check_webhook_url(address, policy).err(),
            Some(ChannelKind::Stream) | None => None,
        };
        if let Some(problem) = problem {
            violations.add(field_path(path, &format!("contact_points[{index}].address")), problem);
        }
    }
}

/// Enough of an address to recognise it by, for those who know it anyway.
fn mask(channel: ChannelKind, address: &str) -> String {
    match channel {
        ChannelKind::Email => match (address.chars().next(), address.rsplit_once('@')) {
            (Some(first), Some((_, domain))) => format!("{first}…@{domain}"),
            _ => "…".to_owned(),
        },
        ChannelKind::Webhook => {
            let host = url::Url::parse(address).ok().and_then(|url| url.host_str().map(str::to_owned));
            format!("{}/…", host.unwrap_or_default())
        }
        ChannelKind::Stream => address.chars().take(2).chain(['…']).collect(),
    }
}

impl From<&ContactPoint> for Subscription {
    fn from(contact: &ContactPoint) -> Self {
        Self { channel: contact.channel, masked_address: mask(contact.channel, &contact.address), state: contact.state }
    }
}

async fn get(db: &Reader<'_>, id: CustomerId) -> Result<Customer, Error> {
    let found = customer::by_ids(db, &[id]).await?.pop();
    found.ok_or_else(|| Error::not_found(Resource::Customer, id))
}

async fn profile(db: &Reader<'_>, id: CustomerId) -> Result<Profile, Error> {
    Ok(Profile {
        customer: get(db, id).await?,
        contact_points: customer::contact_points_of(db, &[id]).await?,
        installations: customer::installations_of(db, &[id]).await?,
    })
}

async fn installation(db: &Reader<'_>, customer: CustomerId, id: InstallationId) -> Result<Installation, Error> {
    let all = customer::installations_of(db, &[customer]).await?;
    let found = all.into_iter().find(|installation| installation.id == id);
    found.ok_or_else(|| Error::not_found(Resource::Customer, customer))
}

/// Stores that a customer changed, and has it looked at again.
async fn touch(txn: &Txn, mut customer: Customer) -> Result<(), Error> {
    customer.version += 1;
    customer.update_time = txn.now();
    let id = customer.id;
    customer::update_customer(txn, customer).await?;
    dirty::mark(txn, [Subject::Customer(id)], txn.now()).await?;
    Ok(())
}

impl NewInstallation {
    /// Notes what is wrong with it.
    pub fn check(&self, violations: &mut Violations) {
        violations.required_text("product", &self.product, 128);
        for (field, value, max) in [
            ("version", &self.version, 128),
            ("platform", &self.platform, 64),
            ("environment", &self.environment, 64),
            ("region", &self.region, 64),
            ("ring", &self.ring, 64),
        ] {
            violations.text(field, value.as_deref().unwrap_or_default(), max);
        }
    }
}

impl Preferences {
    /// Notes what is wrong with it.
    pub fn check(&self, violations: &mut Violations) {
        let (out, back) = (&self.opt_out_contact_point_ids, &self.opt_in_contact_point_ids);
        if self.opted_out.is_none() && out.is_empty() && back.is_empty() {
            violations.add("opted_out", "nothing would change; set opted_out or name a contact point");
        }
        for (field, ids) in [("opt_out_contact_point_ids", out), ("opt_in_contact_point_ids", back)] {
            if ids.len() > MAX_CONTACT_POINT_CHANGES {
                let count = ids.len();
                violations.add(field, format!("has {count} ids; send at most {MAX_CONTACT_POINT_CHANGES}"));
            }
        }
        for (index, id) in back.iter().enumerate() {
            if out.contains(id) {
                let field = format!("opt_in_contact_point_ids[{index}]");
                violations.add(field, "is opted out by the same call; name it once");
            }
        }
    }
}

impl App {
    /// Creates a customer, or adds to what is known of one found by id, external id or contact point. What was known
    /// already is a replay, under whatever key it comes.
    pub async fn upsert_customer(&self, call: &Call, input: NewReporter) -> Result<Once<Upserted>, Error> {
        const METHOD: &str = "UpsertCustomer";
        let mut violations = Violations::new();
        self.check_person(&input, &mut violations);
        violations.into_result()?;

        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &input).await? {
            let profile = profile(&txn.read(), remembered(&earlier, "customer_id")?).await?;
            let result = Upserted { profile, created: remembered(&earlier, "created")? };
            return Ok(Once { result, replayed: true });
        }
        let mut people = resolve::People::load(&txn.read(), std::slice::from_ref(&input)).await?;
        let found = people.find(&input)?;
        let mut violations = Violations::new();
        people.check_identity(found, &input, &mut violations);
        violations.into_result()?;
        let person = found.unwrap_or_else(|| people.create(&txn));
        people.take(&txn, person, &input, resolve::Manner::Overwrite);
        people.save(&mut txn).await?;

        let (id, created) = (people.customer(person).id, found.is_none());
        let result = json!({ "customer_id": id, "created": created });
        self.remember(&txn, call, METHOD, &input, result).await?;
        let profile = profile(&txn.read(), id).await?;
        let replayed = !created && !people.is_changed(person);
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result: Upserted { profile, created }, replayed })
    }

    /// Notes what is wrong with what is said about a person.
    pub fn check_person(&self, input: &NewReporter, violations: &mut Violations) {
        if input.customer_id.is_none() && input.external_id.is_none() && input.contact_points.is_empty() {
            violations.add("customer_id", "nothing says who this is; set customer_id, external_id or a contact point");
        }
        violations.text("external_id", input.external_id.as_deref().unwrap_or_default(), 256);
        check_person("", &input.display_name, &input.locale, &input.time_zone, violations);
        check_contact_points("", &input.contact_points, violations);
        check_addresses("", &input.contact_points, self.delivery.egress(), violations);
    }

    /// One customer.
    pub async fn get_customer(&self, call: &Call, id: CustomerId) -> Result<Profile, Error> {
        profile(&self.read(call), id).await
    }

    /// Records what a customer runs now, as a whole: what it leaves empty is unknown from now on. A heartbeat that says
    /// nothing new only moves the time it was last seen.
    pub async fn record_installation(&self, call: &Call, input: NewInstallation) -> Result<Once<Installation>, Error> {
        const METHOD: &str = "RecordInstallation";
        let mut violations = Violations::new();
        input.check(&mut violations);
        violations.into_result()?;

        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &input).await? {
            let id = remembered(&earlier, "installation_id")?;
            let result = installation(&txn.read(), input.customer_id, id).await?;
            return Ok(Once { result, replayed: true });
        }
        let customer = get(&txn.read(), input.customer_id).await?;
        let product = product::resolve(&txn.read(), "product", &input.product).await?;
        let heard = Installation {
            id: InstallationId::new(),
            tenant_id: txn.scope().tenant(),
            customer_id: customer.id,
            product_id: product.id,
            version: input.version.clone(),
            platform: input.platform.as_deref().unwrap_or_default().to_lowercase(),
            environment: input.environment.clone().unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
            region: input.region.clone(),
            ring: input.ring.clone(),
            create_time: txn.now(),
            last_seen_time: txn.now(),
        };
        let place = |of: &Installation| (of.product_id, of.platform.clone(), of.environment.clone());
        let known = customer::installations_of(&txn.read(), &[customer.id]).await?;
        let known = known.into_iter().find(|known| place(known) == place(&heard));
        let now_known = match &known {
            Some(known) => Installation { id: known.id, create_time: known.create_time, ..heard },
            None => heard,
        };
        customer::replace_installation(&txn, now_known.clone()).await?;
        if known.as_ref().map(Installation::facts) != Some(now_known.facts()) {
            let event = NewEvent::new(EventKind::InstallationRecorded, now_known.id).customer(customer.id);
            txn.record(event.data(json!({
                "product_id": product.id,
                "version": now_known.version,
                "platform": now_known.platform,
                "environment": now_known.environment,
                "region": now_known.region,
                "ring": now_known.ring,
            })));
            touch(&txn, customer).await?;
        }
        self.remember(&txn, call, METHOD, &input, json!({ "installation_id": now_known.id })).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result: now_known, replayed: false })
    }

    /// Changes consent. It is in force when this returns: whoever sends looks again at the last moment (law 12).
    pub async fn update_preferences(&self, call: &Call, input: Preferences) -> Result<Once<Profile>, Error> {
        const METHOD: &str = "UpdatePreferences";
        let mut violations = Violations::new();
        input.check(&mut violations);
        violations.into_result()?;

        let mut txn = self.begin(call).await?;
        if self.earlier(&txn, call, METHOD, &input).await?.is_some() {
            let result = profile(&txn.read(), input.customer_id).await?;
            return Ok(Once { result, replayed: true });
        }
        let before = profile(&txn.read(), input.customer_id).await?;
        let changing = |ids: &[ContactPointId], to: ContactState| -> Result<Vec<ContactPointId>, Error> {
            let mut changing = Vec::new();
            for &id in ids {
                let contact = before.contact_points.iter().find(|contact| contact.id == id);
                let contact = contact.ok_or_else(|| Error::not_found(Resource::ContactPoint, id))?;
                if contact.state != to && !changing.contains(&id) {
                    changing.push(id);
                }
            }
            Ok(changing)
        };
        let out = changing(&input.opt_out_contact_point_ids, ContactState::OptedOut)?;
        let back = changing(&input.opt_in_contact_point_ids, ContactState::Active)?;
        let opted_out = input.opted_out.filter(|&wanted| wanted != before.customer.opted_out);
        let is_news = opted_out.is_some() || !out.is_empty() || !back.is_empty();
        if is_news {
            customer::set_contact_states(&txn, &out, ContactState::OptedOut).await?;
            customer::set_contact_states(&txn, &back, ContactState::Active).await?;
            let id = before.customer.id;
            let mut data = json!({ "opted_out_contact_point_ids": out, "opted_in_contact_point_ids": back });
            if let Some(opted_out) = opted_out {
                data["opted_out"] = opted_out.into();
            }
            txn.record(NewEvent::new(EventKind::PreferencesUpdated, id).customer(id).data(data));
            let mut customer = before.customer;
            customer.opted_out = opted_out.unwrap_or(customer.opted_out);
            touch(&txn, customer).await?;
        }
        self.remember(&txn, call, METHOD, &input, json!({ "customer_id": input.customer_id })).await?;
        let result = profile(&txn.read(), input.customer_id).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(Once { result, replayed: !is_news })
    }

    /// What an unsubscribe link is about; `None` if it is nobody's.
    pub async fn find_unsubscribe(&self, token: &str) -> Result<Option<Subscription>, Error> {
        if token.contains('\0') {
            return Ok(None); // Postgres does not take one even to look for it.
        }
        let found = customer::find_by_unsubscribe_token(&self.store, token).await?;
        Ok(found.map(|(_, contact)| Subscription::from(&contact)))
    }

    /// Ends what an unsubscribe link is about: exactly that contact point, and nothing else. Once or many times.
    pub async fn unsubscribe_by_token(&self, token: &str, now: Timestamp) -> Result<Option<Subscription>, Error> {
        if self.find_unsubscribe(token).await?.is_none() {
            return Ok(None);
        }
        let Some((scope, found)) = customer::find_by_unsubscribe_token(&self.store, token).await? else {
            return Ok(None);
        };
        let mut txn = self.store.begin(scope, CUSTOMER, now).await?;
        let Some(mut contact) = customer::find_contact_point(&txn.read(), found.id).await? else {
            return Ok(None); // Gone since we looked.
        };
        if contact.state != ContactState::OptedOut {
            contact.state = ContactState::OptedOut;
            customer::set_contact_state(&txn, contact.id, contact.state).await?;
            let owner = get(&txn.read(), contact.customer_id).await?;
            let event = NewEvent::new(EventKind::PreferencesUpdated, owner.id).customer(owner.id);
            txn.record(event.data(json!({ "opted_out_contact_point_ids": [contact.id] })));
            touch(&txn, owner).await?;
            txn.commit().await?;
            self.wake.committed();
        }
        Ok(Some(Subscription::from(&contact)))
    }

    /// A page of what happened with a customer, oldest first.
    pub async fn get_timeline(
        &self,
        call: &Call,
        id: CustomerId,
        after: i64,
        size: u64,
    ) -> Result<Page<TimelineEntry, i64>, Error> {
        let db = self.read(call);
        get(&db, id).await?;
        let Page { items, next } = event::list_for_customer(&db, id, after, size).await?;
        Ok(Page { items: items.into_iter().map(TimelineEntry::from).collect(), next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_recognised_but_not_shown() {
        assert_eq!(mask(ChannelKind::Email, "ada.lovelace@example.org"), "a…@example.org");
        assert_eq!(mask(ChannelKind::Webhook, "https://hooks.example.org/x?secret=1"), "hooks.example.org/…");
        assert_eq!(mask(ChannelKind::Stream, "ticket-4711"), "ti…");
    }

    #[test]
    fn addresses_nobody_can_dial_are_named() {
        let contact = |channel, address: &str| ContactAddress { channel, address: address.to_owned() };
        let contacts = [
            contact(Some(ChannelKind::Email), "ada@example.org"),
            contact(Some(ChannelKind::Email), "ada"),
            contact(Some(ChannelKind::Webhook), "https://127.0.0.1/hook"),
            contact(Some(ChannelKind::Stream), "anything"),
            contact(None, "nowhere"),
        ];
        let mut violations = Violations::new();
        check_addresses("report.reporter", &contacts, &EgressPolicy::default(), &mut violations);
        check_addresses("", &contacts[1..2], &EgressPolicy::default(), &mut violations);
        let fields: Vec<&str> = violations.iter().map(|violation| violation.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "report.reporter.contact_points[1].address",
                "report.reporter.contact_points[2].address",
                "contact_points[0].address"
            ]
        );
    }
}
