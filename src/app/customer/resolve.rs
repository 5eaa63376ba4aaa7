//! Who somebody is: from what a caller says about a person to the one customer it is about.
//!
//! A person is found by our id, else by the caller's own id, else by any address that is known: one human who writes
//! over several channels is one customer, and hears once. An address is never taken from the customer it belongs to.
//!
//! [`People`] holds everybody a batch talks about, loaded with a fixed number of queries and saved the same way. Inside a
//! tenant's transaction nobody else creates customers, so what it decides in memory stays right until the commit.

use std::collections::{BTreeSet, HashMap};

use rand::RngCore;
use serde_json::json;

use crate::app::auth::hex;
use crate::app::{Error, Resource};
use crate::domain::customer::{ChannelKind, ContactAddress, ContactPoint, ContactState, Customer, canonical_address};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{ContactPointId, CustomerId};
use crate::domain::report::NewReporter;
use crate::domain::violation::Violations;
use crate::store::dirty::{self, Subject};
use crate::store::{Reader, Txn, customer};

/// Unguessable, and short enough for a link: 256 bits.
const TOKEN_BYTES: usize = 32;

/// Finds or makes the customer of each reporter, completes what is known of them, and records the changes. Reporters of
/// the slice who are the same new human get one customer. An unknown `customer_id` fails its own element only.
pub(crate) async fn resolve_many(
    txn: &mut Txn,
    reporters: &[NewReporter],
) -> Result<Vec<Result<Customer, Error>>, Error> {
    let mut people = People::load(&txn.read(), reporters).await?;
    let found: Vec<Result<usize, Error>> = reporters
        .iter()
        .map(|reporter| {
            let person = people.find(reporter)?.unwrap_or_else(|| people.create(txn));
            people.take(txn, person, reporter, Manner::Complete);
            Ok(person)
        })
        .collect();
    people.save(txn).await?;
    Ok(found.into_iter().map(|person| person.map(|person| people.customer(person).clone())).collect())
}

/// What happens to what was known before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Only what is empty is filled in: a report mentions its reporter in passing.
    Complete,
    /// What is given replaces it: somebody said so on purpose.
    Overwrite,
}

struct Person {
    customer: Customer,
    /// It was there before this transaction.
    known: bool,
    changes: BTreeSet<&'static str>,
    channels: BTreeSet<ChannelKind>,
    next_position: i32,
}

type Address = (ChannelKind, String);

/// Everybody a batch talks about, under all the names they are found by.
#[derive(Default)]
pub(super) struct People {
    persons: Vec<Person>,
    by_id: HashMap<CustomerId, usize>,
    by_external_id: HashMap<String, usize>,
    by_address: HashMap<Address, usize>,
    new_contact_points: Vec<ContactPoint>,
}

/// The addresses of a reporter whose channel is known, in the form in which they are compared.
fn addresses(reporter: &NewReporter) -> impl Iterator<Item = (Address, &ContactAddress)> {
    reporter.contact_points.iter().filter_map(|contact| {
        let channel = contact.channel?;
        Some(((channel, canonical_address(channel, &contact.address)), contact))
    })
}

fn fresh_token() -> String {
    let mut bytes = [0; TOKEN_BYTES];
    rand::rng().fill_bytes(&mut bytes);
    hex(&bytes)
}

impl People {
    /// Loads everybody these reporters may be.
    pub(super) async fn load(db: &Reader<'_>, reporters: &[NewReporter]) -> Result<Self, Error> {
        let mut ids: BTreeSet<CustomerId> = reporters.iter().filter_map(|reporter| reporter.customer_id).collect();
        let external_ids: BTreeSet<String> =
            reporters.iter().filter_map(|reporter| reporter.external_id.clone()).collect();
        let wanted: BTreeSet<Address> = reporters.iter().flat_map(addresses).map(|(address, _)| address).collect();

        let owned = customer::contact_points_by_address(db, &Vec::from_iter(wanted)).await?;
        ids.extend(owned.iter().map(|contact| contact.customer_id));
        let mut customers = customer::by_ids(db, &Vec::from_iter(ids)).await?;
        customers.extend(customer::by_external_ids(db, &Vec::from_iter(external_ids)).await?);

        let mut people = Self::default();
        for customer in customers {
            if !people.by_id.contains_key(&customer.id) {
                people.add(customer, true);
            }
        }
        let ids: Vec<CustomerId> = people.by_id.keys().copied().collect();
        for contact in customer::contact_points_of(db, &ids).await? {
            let index = people.by_id[&contact.customer_id];
            let person = &mut people.persons[index];
            person.next_position = person.next_position.max(contact.position.saturating_add(1));
            people.by_address.insert((contact.channel, contact.canonical_address), index);
        }
        Ok(people)
    }

    fn add(&mut self, customer: Customer, known: bool) -> usize {
        let index = self.persons.len();
        self.by_id.insert(customer.id, index);
        if let Some(external_id) = &customer.external_id {
            self.by_external_id.insert(external_id.clone(), index);
        }
        let (changes, channels) = (BTreeSet::new(), BTreeSet::new());
        self.persons.push(Person { customer, known, changes, channels, next_position: 0 });
        index
    }

    /// Whose this is; `None` if nobody we know.
    pub(super) fn find(&self, reporter: &NewReporter) -> Result<Option<usize>, Error> {
        if let Some(id) = reporter.customer_id {
            let known = self.by_id.get(&id).copied();
            return known.map(Some).ok_or_else(|| Error::not_found(Resource::Customer, id));
        }
        let by_external_id = reporter.external_id.as_ref().and_then(|id| self.by_external_id.get(id));
        let found = by_external_id.copied();
        Ok(found.or_else(|| addresses(reporter).find_map(|(address, _)| self.by_address.get(&address).copied())))
    }

    /// A new human, of whom nothing is known yet.
    pub(super) fn create(&mut self, txn: &Txn) -> usize {
        let customer = Customer {
            id: CustomerId::new(),
            tenant_id: txn.scope().tenant(),
            external_id: None,
            display_name: String::new(),
            locale: String::new(),
            time_zone: String::new(),
            opted_out: false,
            version: 1,
            create_time: txn.now(),
            update_time: txn.now(),
        };
        self.add(customer, false)
    }

    /// What would take something from another customer, or make two humans one.
    pub(super) fn check_identity(&self, person: Option<usize>, input: &NewReporter, violations: &mut Violations) {
        for (index, contact) in input.contact_points.iter().enumerate() {
            let Some(channel) = contact.channel else { continue };
            let owner = self.by_address.get(&(channel, canonical_address(channel, &contact.address)));
            if owner.is_some_and(|&owner| person != Some(owner)) {
                let field = format!("contact_points[{index}].address");
                violations.add(field, "belongs to another customer; leave it out, or name that customer");
            }
        }
        let (Some(person), Some(external_id)) = (person, &input.external_id) else { return };
        if self.by_external_id.get(external_id).is_some_and(|&owner| owner != person) {
            violations.add("external_id", "belongs to another customer; leave it out, or name that customer");
        } else if input.customer_id.is_none()
            && self.customer(person).external_id.as_ref().is_some_and(|known| known != external_id)
        {
            violations.add(
                "external_id",
                "differs from that of the customer with this contact point; set customer_id to change it, or leave the \
                 contact point out",
            );
        }
    }

    /// Takes over what is said about a person.
    pub(super) fn take(&mut self, txn: &Txn, index: usize, said: &NewReporter, manner: Manner) {
        let person = &mut self.persons[index];
        let customer = &mut person.customer;
        for (name, known, given) in [
            ("display_name", &mut customer.display_name, &said.display_name),
            ("locale", &mut customer.locale, &said.locale),
            ("time_zone", &mut customer.time_zone, &said.time_zone),
        ] {
            let wanted = known.is_empty() || manner == Manner::Overwrite;
            if wanted && !given.is_empty() && known != given {
                known.clone_from(given);
                person.changes.insert(name);
            }
        }
        if let Some(external_id) = &said.external_id {
            let wanted = customer.external_id.is_none() || manner == Manner::Overwrite;
            if wanted && !self.by_external_id.contains_key(external_id) {
                if let Some(before) = customer.external_id.replace(external_id.clone()) {
                    self.by_external_id.remove(&before);
                }
                self.by_external_id.insert(external_id.clone(), index);
                person.changes.insert("external_id");
            }
        }
        for (address, contact) in addresses(said) {
            if self.by_address.contains_key(&address) {
                continue;
            }
            let (channel, canonical_address) = address.clone();
            self.by_address.insert(address, index);
            self.new_contact_points.push(ContactPoint {
                id: ContactPointId::new(),
                tenant_id: txn.scope().tenant(),
                customer_id: customer.id,
                channel,
                address: contact.address.trim().to_owned(),
                canonical_address,
                state: ContactState::Active,
                unsubscribe_token: fresh_token(),
                position: person.next_position,
                create_time: txn.now(),
                update_time: txn.now(),
            });
            person.next_position = person.next_position.saturating_add(1);
            person.channels.insert(channel);
            person.changes.insert("contact_points");
        }
    }

    /// Writes what is new and what changed, with its events. Somebody new has no report yet that could be answered;
    /// everybody else is looked at again.
    pub(super) async fn save(&mut self, txn: &mut Txn) -> Result<(), Error> {
        let (mut created, mut updated) = (Vec::new(), Vec::new());
        for person in &mut self.persons {
            let id = person.customer.id;
            if !person.known {
                let channels: Vec<&str> = person.channels.iter().map(|channel| channel.as_str()).collect();
                let event = NewEvent::new(EventKind::CustomerCreated, id).customer(id);
                txn.record(event.data(json!({ "channels": channels })));
                created.push(person.customer.clone());
            } else if !person.changes.is_empty() {
                person.customer.version += 1;
                person.customer.update_time = txn.now();
                let event = NewEvent::new(EventKind::CustomerUpdated, id).customer(id);
                txn.record(event.data(json!({ "fields": person.changes })));
                updated.push(person.customer.clone());
            }
        }
        let changed: Vec<Subject> = updated.iter().map(|customer| Subject::Customer(customer.id)).collect();
        customer::insert_customers(txn, created).await?;
        customer::update_customers(txn, updated).await?;
        customer::insert_contact_points(txn, std::mem::take(&mut self.new_contact_points)).await?;
        dirty::mark(txn, changed, txn.now()).await?;
        Ok(())
    }

    /// Whether anything new was said about somebody who was known.
    pub(super) fn is_changed(&self, index: usize) -> bool {
        !self.persons[index].changes.is_empty()
    }

    pub(super) fn customer(&self, index: usize) -> &Customer {
        &self.persons[index].customer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::id::TenantId;
    use crate::domain::time::Timestamp;
    use crate::store::{Store, TenantScope, event, tenant};

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    async fn store() -> (tempfile::TempDir, Store, TenantScope) {
        let folder = tempfile::tempdir().expect("a folder");
        let store = Store::open_sqlite(&folder.path().join("test.db")).await.expect("a database");
        let scope = tenant::insert(&store, TenantId::new(), "acme", NOW).await.expect("a tenant");
        (folder, store, scope)
    }

    fn reporter(external_id: &str, addresses: &[(ChannelKind, &str)]) -> NewReporter {
        NewReporter {
            external_id: (!external_id.is_empty()).then(|| external_id.to_owned()),
            contact_points: addresses
                .iter()
                .map(|&(channel, address)| ContactAddress { channel: Some(channel), address: address.to_owned() })
                .collect(),
            ..NewReporter::default()
        }
    }

    async fn resolve(store: &Store, scope: TenantScope, reporters: &[NewReporter]) -> Vec<Result<Customer, Error>> {
        let mut txn = store.begin(scope, "key_test", NOW).await.expect("begins");
        let found = resolve_many(&mut txn, reporters).await.expect("resolves");
        txn.commit().await.expect("commits");
        found
    }

    async fn addresses_of(store: &Store, scope: TenantScope, id: CustomerId) -> Vec<String> {
        let contacts = customer::contact_points_of(&store.reader(scope), &[id]).await.expect("reads");
        contacts.into_iter().map(|contact| contact.address).collect()
    }

    use ChannelKind::{Email, Stream};

    #[tokio::test]
    async fn one_human_over_several_channels_is_one_customer() {
        let (_folder, store, scope) = store().await;
        let batch = [
            reporter("", &[(Email, "Ada@Example.org")]),
            reporter("u-1", &[(Email, "ada@example.org"), (Stream, "t-7")]),
            reporter("", &[(Stream, "t-7")]),
            reporter("u-2", &[]),
        ];
        let found = resolve(&store, scope, &batch).await;
        let ids: Vec<CustomerId> = found.iter().map(|found| found.as_ref().expect("found").id).collect();
        assert_eq!((ids[0], ids[0]), (ids[1], ids[2]));
        assert_ne!(ids[0], ids[3]);
        assert_eq!(addresses_of(&store, scope, ids[0]).await, ["Ada@Example.org", "t-7"]);
        let stored = customer::by_ids(&store.reader(scope), &ids[..1]).await.expect("reads");
        assert_eq!(stored[0].external_id.as_deref(), Some("u-1"));

        let again = resolve(&store, scope, &batch).await;
        assert!(again.iter().zip(&ids).all(|(found, &id)| found.as_ref().expect("found").id == id));
        let kinds: Vec<EventKind> = event::after(&store.reader(scope), 0, 10)
            .await
            .expect("reads")
            .into_iter()
            .map(|event| event.kind)
            .collect();
        assert_eq!(kinds, [EventKind::CustomerCreated, EventKind::CustomerCreated], "nothing new happened again");
    }

    #[tokio::test]
    async fn an_address_of_another_customer_is_not_stolen() {
        let (_folder, store, scope) = store().await;
        let first = [reporter("u-1", &[(Email, "ada@example.org")]), reporter("u-2", &[(Email, "eve@example.org")])];
        let ids: Vec<_> = resolve(&store, scope, &first).await.into_iter().map(|c| c.expect("new").id).collect();
        let thief = [reporter("u-2", &[(Email, "ADA@example.org"), (Stream, "t-1")])];
        let found = resolve(&store, scope, &thief).await.remove(0).expect("known");
        assert_eq!((found.id, found.version), (ids[1], 2));
        assert_eq!(addresses_of(&store, scope, ids[0]).await, ["ada@example.org"]);
        assert_eq!(addresses_of(&store, scope, ids[1]).await, ["eve@example.org", "t-1"]);
    }

    #[tokio::test]
    async fn a_report_only_fills_in_what_is_empty() {
        let (_folder, store, scope) = store().await;
        let ada = NewReporter { display_name: "Ada".to_owned(), ..reporter("u-1", &[]) };
        let id = resolve(&store, scope, &[ada]).await.remove(0).expect("new").id;
        let later = NewReporter {
            display_name: "A. L.".to_owned(),
            locale: "en-GB".to_owned(),
            customer_id: Some(id),
            ..reporter("u-other", &[])
        };
        let unknown = NewReporter { customer_id: Some(CustomerId::new()), ..NewReporter::default() };
        let mut found = resolve(&store, scope, &[unknown, later]).await.into_iter();
        assert!(matches!(found.next(), Some(Err(Error::NotFound { .. }))), "fails alone");
        let customer = found.next().expect("two").expect("known");
        assert_eq!((customer.display_name.as_str(), customer.locale.as_str()), ("Ada", "en-GB"));
        assert_eq!(customer.external_id.as_deref(), Some("u-1"));
        let marks = dirty::due(&store, dirty::DirtyKind::Customer, NOW, 10).await.expect("reads");
        assert_eq!(marks.len(), 1, "looked at again because something changed");
    }

    #[tokio::test]
    async fn law_13_another_tenants_customer_is_nobody() {
        let (_folder, store, scope) = store().await;
        let other = tenant::insert(&store, TenantId::new(), "other", NOW).await.expect("a tenant");
        let ada = reporter("u-1", &[(Email, "ada@example.org")]);
        let theirs = resolve(&store, other, std::slice::from_ref(&ada)).await.remove(0).expect("new");
        let ours = resolve(&store, scope, std::slice::from_ref(&ada)).await.remove(0).expect("new");
        assert_ne!(ours.id, theirs.id);
        let by_id = NewReporter { customer_id: Some(theirs.id), ..NewReporter::default() };
        assert!(resolve(&store, scope, &[by_id]).await.remove(0).is_err());
    }
}
