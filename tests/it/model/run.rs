//! Plays a history against the real service and the plain model side by side, and compares them after every step.

use std::collections::BTreeSet;
use std::time::Duration;

use hearback::grpc::proto;
use hearback::grpc::proto::admin_service_server::AdminService;
use hearback::grpc::proto::customer_service_server::CustomerService;
use tonic::Status;

use super::facts::{CONTACTS, CUSTOMERS, Contact, ContactState, Customer, Facts, PRODUCTS, Scheme};
use super::heard::{Answer, Heard, law};
use super::service::{Ended, LEASE, Service};
use super::steps::{History, Pass, Step};

/// What broke, in words.
pub(super) type Check = Result<(), String>;

/// More batches than any step has to send.
const MANY: usize = 1_000;

/// The service, what is true, and what was heard.
pub(super) struct Play {
    pub(super) service: Service,
    pub(super) facts: Facts,
    pub(super) heard: Heard,
}

/// Plays a history to its end, and then lets everything come to rest.
pub(super) async fn play(history: &History) -> Check {
    let mut play = Play::begin(history.any_defect).await;
    for (number, step) in history.steps.iter().enumerate() {
        play.step(step).await.map_err(|broken| format!("step {number}, {step:?}:\n{broken}"))?;
    }
    play.come_to_rest().await.map_err(|broken| format!("at rest:\n{broken}"))
}

/// A call that must not fail did.
pub(super) fn failed(what: &str) -> impl Fn(Status) -> String {
    let what = what.to_owned();
    move |status| format!("{what} was refused: {status:?}")
}

impl Play {
    async fn begin(any_defect: bool) -> Self {
        let service = Service::start(any_defect).await;
        let mut facts = Facts::new(any_defect);
        for product in &PRODUCTS {
            let scheme = match product.scheme {
                Scheme::Semver => proto::product::VersionScheme::Semver,
                Scheme::Continuous => proto::product::VersionScheme::Continuous,
            };
            let request = proto::UpsertProductRequest {
                key: product.key.to_owned(),
                display_name: product.key.to_owned(),
                version_scheme: scheme.into(),
                lines: product.lines.iter().map(|&line| line.to_owned()).collect(),
                ..Default::default()
            };
            service.api.upsert_product(service.ask(request)).await.expect("a product");
        }
        for (number, &contacts) in CONTACTS.iter().enumerate() {
            let address = |contact| format!("person{number}-{contact}@example.com");
            let request = proto::UpsertCustomerRequest {
                external_id: format!("customer-{number}"),
                display_name: format!("Person {number}"),
                contact_points: (0..contacts)
                    .map(|contact| proto::ContactPointInput {
                        channel: proto::Channel::Email.into(),
                        address: address(contact),
                    })
                    .collect(),
                ..Default::default()
            };
            let answer = service.api.upsert_customer(service.ask(request)).await.expect("a customer").into_inner();
            let customer = answer.customer.expect("a customer is answered");
            let contacts = customer.contact_points.into_iter().map(|contact| Contact {
                id: contact.id,
                address: contact.address,
                state: ContactState::Active,
            });
            facts.customers.push(Customer { id: customer.id, contacts: contacts.collect(), ..Customer::default() });
        }
        assert_eq!(facts.customers.len(), CUSTOMERS);
        Self { service, facts, heard: Heard::default() }
    }

    async fn step(&mut self, step: &Step) -> Check {
        self.service.advance(Duration::from_millis(1));
        self.act(&step.action).await?;
        if self.service.is_sending() {
            // What was slow arrives now, after the world has changed.
            self.service.let_through().await;
        }
        self.service.advance(Duration::from_millis(1));
        self.service.answer_with(&step.answers);
        match step.pass {
            Pass::Nothing => {}
            Pass::Page => self.service.plan_page().await,
            Pass::Plan => self.service.plan().await,
            Pass::SendFirst => {
                let first = self.service.send_batch().await;
                self.listen(first == Some(Ended::Crashed)).await?;
                if first != Some(Ended::Slow) {
                    self.run_passes().await?;
                }
            }
            Pass::All => self.run_passes().await?,
        }
        self.compare().await?;
        self.service.answer_with(&[]);
        Ok(())
    }

    /// After a long time in which nothing happens and every channel works, everybody has heard what they should.
    async fn come_to_rest(&mut self) -> Check {
        self.service.let_through().await;
        for _ in 0..4 {
            self.service.advance(LEASE + Duration::from_secs(3_600));
            self.run_passes().await?;
        }
        self.compare().await?;
        let unfinished = self.service.unfinished().await;
        law!(unfinished.is_empty(), "law 10: deliveries that nobody finishes: {unfinished:?}");
        let before = self.service.sequences().await.len();
        self.service.advance(Duration::from_secs(48 * 3_600));
        self.run_passes().await?;
        let after = self.service.sequences().await.len();
        law!(before == after, "a sweep over what is settled changed something: {before} events became {after}");
        self.compare().await
    }

    /// What the service does by itself, until it has nothing left to do or somebody is slow.
    async fn run_passes(&mut self) -> Check {
        self.service.sweep().await;
        for _ in 0..MANY {
            self.service.plan().await;
            let ended = self.service.send_batch().await;
            self.listen(ended == Some(Ended::Crashed)).await?;
            match ended {
                None => return self.compare_idle().await,
                Some(Ended::Idle) => {}
                Some(Ended::Crashed) => self.service.plan().await,
                Some(Ended::Slow) => return Ok(()),
            }
        }
        Err("there is always something more to send".to_owned())
    }

    /// Takes in what was sent.
    async fn listen(&mut self, crashed: bool) -> Check {
        let unfinished = if crashed { self.service.unfinished().await } else { Vec::new() };
        let mut bounced = BTreeSet::new();
        for (mut sent, defects) in self.service.take_sent().await {
            let defects: BTreeSet<usize> = defects.iter().map(|id| self.defect(id)).collect::<Result<_, _>>()?;
            // Whether the dying process wrote down the other outcomes of its batch is chance.
            if unfinished.iter().any(|delivery| delivery.is_sending && delivery.id == sent.delivery) {
                sent.answer = Answer::Unknown;
            }
            self.heard.hear(&self.facts, &sent, &defects)?;
            if sent.answer == Answer::Bounced {
                bounced.insert(sent.address);
            }
        }
        // The messages of one batch are under way together: none of them waits for what the others come to.
        let contacts = self.facts.customers.iter_mut().flat_map(|customer| &mut customer.contacts);
        for contact in contacts.filter(|contact| bounced.contains(&contact.address)) {
            contact.state = ContactState::Bounced;
        }
        Ok(())
    }

    fn defect(&self, id: &str) -> Result<usize, String> {
        let found = self.facts.defects.iter().position(|defect| defect.id == id);
        found.ok_or_else(|| format!("nobody has heard of {id}"))
    }
}
