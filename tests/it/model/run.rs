//! Plays a history against the real service and the plain model side by side, and compares them after every step.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use hearback::domain::announcement::Stage;
use hearback::domain::ledger::StatementState;
use hearback::grpc::proto;
use hearback::grpc::proto::admin_service_server::AdminService;
use hearback::grpc::proto::cluster_service_server::ClusterService;
use hearback::grpc::proto::customer_service_server::CustomerService;
use hearback::grpc::proto::defect_service_server::DefectService;
use hearback::grpc::proto::release_service_server::ReleaseService;
use hearback::grpc::proto::report_service_server::ReportService;
use tonic::{Code, Status};

use super::facts::{
    CONTACTS, CUSTOMERS, Cluster, Contact, ContactState, Customer, DEFECTS, DefectState, Deployment, Facts,
    OperationKind, PRODUCTS, RINGS, Release, ReleaseState, Report, Runs, Scheme, TEXTS,
};
use super::heard::{Answer, Heard, Kind, law};
use super::rules::View;
use super::service::{Ended, LEASE, Service, Unfinished};
use super::steps::{Action, History, Pass, Step};

/// What broke, in words.
type Check = Result<(), String>;

/// More batches than any step has to send.
const MANY: usize = 1_000;

struct Play {
    service: Service,
    facts: Facts,
    heard: Heard,
}

/// Plays a history to its end, and then lets everything come to rest.
pub(super) async fn play(history: &History) -> Check {
    let mut play = Play::begin(history.any_defect).await;
    for (number, step) in history.steps.iter().enumerate() {
        play.step(step).await.map_err(|broken| format!("step {number}, {step:?}:\n{broken}"))?;
    }
    play.come_to_rest().await.map_err(|broken| format!("at rest:\n{broken}"))
}

fn failed(what: &str) -> impl Fn(Status) -> String {
    let what = what.to_owned();
    move |status| format!("{what} was refused: {status:?}")
}

fn some(text: &'static str) -> Option<&'static str> {
    (!text.is_empty()).then_some(text)
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
            // Who is told what shows when it is sent; where everything is, at once.
            Pass::Nothing => self.compare(true).await?,
            Pass::Plan => {
                self.service.plan().await;
                self.compare(true).await?;
            }
            Pass::SendFirst => {
                let first = self.service.send_batch().await;
                self.listen(first == Some(Ended::Crashed)).await?;
                let ended = if first == Some(Ended::Slow) { Ended::Slow } else { self.run_passes().await? };
                self.compare(ended != Ended::Idle).await?;
            }
            Pass::All => {
                let ended = self.run_passes().await?;
                self.compare(ended != Ended::Idle).await?;
            }
        }
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
        self.compare(false).await?;
        let unfinished = self.service.unfinished().await;
        law!(unfinished.is_empty(), "law 10: deliveries that nobody finishes: {unfinished:?}");
        let before = self.service.sequences().await.len();
        self.service.advance(Duration::from_secs(48 * 3_600));
        self.run_passes().await?;
        let after = self.service.sequences().await.len();
        law!(before == after, "a sweep over what is settled changed something: {before} events became {after}");
        self.compare(false).await
    }

    // What the service does by itself.

    async fn run_passes(&mut self) -> Result<Ended, String> {
        self.service.sweep().await;
        for _ in 0..MANY {
            self.service.plan().await;
            let ended = self.service.send_batch().await;
            self.listen(ended == Some(Ended::Crashed)).await?;
            match ended {
                None => return Ok(Ended::Idle),
                Some(Ended::Idle) => {}
                Some(Ended::Crashed) => self.service.plan().await,
                Some(Ended::Slow) => return Ok(Ended::Slow),
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

    // What people and systems do.

    async fn act(&mut self, action: &Action) -> Check {
        match *action {
            Action::Submit { customer, text, version, ring } => self.submit(customer, text, version, ring).await,
            Action::Move { report, to } => self.move_report(report, to).await,
            Action::Merge { from, into } => self.merge(from, into).await,
            Action::Split { cluster, mask } => self.split(cluster, mask).await,
            Action::Undo { operation } => self.undo(operation).await,
            Action::Link { cluster, defect } => self.link(cluster, defect).await,
            Action::Unlink { cluster, defect } => self.unlink(cluster, defect).await,
            Action::Track { defect, state } => self.track(defect, state).await,
            Action::Release { product, version, planned, fixes } => {
                self.release(product, version, planned, fixes).await
            }
            Action::Yank { release } => self.yank(release).await,
            Action::Deploy { release, ring, percent } => self.deploy(release, ring, percent).await,
            Action::RollBack { deployment } => self.roll_back(deployment).await,
            Action::Upgrade { customer, product, version, ring } => {
                self.upgrade(customer, product, version, ring).await
            }
            Action::OptOut { customer } => self.set_opted_out(customer, true).await,
            Action::OptIn { customer } => self.set_opted_out(customer, false).await,
            Action::OptOutContact { customer, contact } => {
                self.set_contact(customer, contact, ContactState::OptedOut).await
            }
            Action::OptInContact { customer, contact } => {
                self.set_contact(customer, contact, ContactState::Active).await
            }
            Action::Wait { minutes } => {
                self.service.advance(Duration::from_secs(u64::from(minutes) * 60));
                Ok(())
            }
        }
    }

    async fn submit(&mut self, customer: u8, text: u8, version: u8, ring: u8) -> Check {
        let customer = usize::from(customer) % CUSTOMERS;
        let text = usize::from(text);
        let (title, body, product) = TEXTS[text];
        let versions = PRODUCTS[product].versions;
        // One number more than there are versions: nothing is said about it.
        let version = versions.get(usize::from(version) % (versions.len() + 1)).copied();
        let ring = some(RINGS[usize::from(ring)]);
        let request = proto::SubmitReportRequest {
            report: Some(proto::ReportInput {
                source: "desk".to_owned(),
                external_id: format!("T-{}", self.facts.reports.len()),
                reporter: Some(proto::Reporter {
                    customer_id: self.facts.customers[customer].id.clone(),
                    ..Default::default()
                }),
                product: PRODUCTS[product].key.to_owned(),
                title: title.to_owned(),
                body: body.to_owned(),
                version: version.unwrap_or_default().to_owned(),
                ring: ring.unwrap_or_default().to_owned(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let time = self.service.now();
        let answer = self.service.api.submit_report(self.service.ask(request)).await;
        let answer = answer.map_err(failed("SubmitReport"))?.into_inner();
        let report = answer.report.ok_or("no report was answered")?;

        let (holding, barred) = self.facts.homes(text);
        let known = self.facts.clusters.iter().position(|cluster| cluster.id == report.cluster_id);
        match known {
            Some(cluster) => {
                law!(holding.contains(&cluster), "law 5: a report went to {cluster}, its text is in {holding:?}");
                law!(!barred.contains(&cluster), "law 5: a report went to {cluster}, people keep it out of {barred:?}");
            }
            None => {
                let open: Vec<_> = holding.difference(&barred).collect();
                law!(open.is_empty(), "laws 4 and 5: a report began a cluster, its text is in {open:?}");
                self.facts.clusters.push(Cluster { id: report.cluster_id.clone(), ..Cluster::default() });
            }
        }
        let cluster = known.unwrap_or(self.facts.clusters.len() - 1);
        let runs = Runs { version, ring };
        self.hear_installation(customer, product, &runs);
        self.facts.reports.push(Report { id: report.id, customer, text, runs, time, cluster, placed_by: None });

        let number = self.facts.reports.len() - 1;
        let links = &self.facts.clusters[cluster].links;
        if let Some(fixed_in) = &answer.fixed_in {
            let helps = |&defect: &usize| matches!(self.facts.view(number, defect), View::Helps(_));
            law!(
                !links.is_empty() && links.keys().any(helps),
                "law 11: customer {customer} was answered that {fixed_in:?} helps"
            );
        }
        Ok(())
    }

    /// What a report leaves out of what its customer runs stays as it was.
    fn hear_installation(&mut self, customer: usize, product: usize, heard: &Runs) {
        if *heard == Runs::default() {
            return;
        }
        let known = self.facts.customers[customer].installations.entry(product).or_default();
        known.version = heard.version.or(known.version);
        known.ring = heard.ring.or(known.ring);
    }

    fn pick_cluster(&self, number: u8) -> Option<usize> {
        let standing = self.facts.standing_clusters();
        (!standing.is_empty()).then(|| standing[usize::from(number) % standing.len()])
    }

    async fn move_report(&mut self, report: u8, to: Option<u8>) -> Check {
        let Some(target) = to.map(|to| self.pick_cluster(to)) else {
            return self.move_to(report, None).await;
        };
        match target {
            Some(target) => self.move_to(report, Some(target)).await,
            None => Ok(()),
        }
    }

    async fn move_to(&mut self, report: u8, to: Option<usize>) -> Check {
        if self.facts.reports.is_empty() {
            return Ok(());
        }
        let report = usize::from(report) % self.facts.reports.len();
        let from = self.facts.reports[report].cluster;
        // A report that is alone needs no cluster of its own.
        if to == Some(from) || to.is_none() && self.facts.members(from).len() == 1 {
            return Ok(());
        }
        let request = proto::MoveReportRequest {
            report_id: self.facts.reports[report].id.clone(),
            cluster_id: to.map(|to| self.facts.clusters[to].id.clone()).unwrap_or_default(),
            reason: "looked at it".to_owned(),
            ..Default::default()
        };
        let answer = self.service.api.move_report(self.service.ask(request)).await;
        let answer = answer.map_err(failed("MoveReport"))?.into_inner();
        let operation = answer.operation.ok_or("no operation was answered")?;
        self.facts.take_out(operation.id, OperationKind::Move, &[report], to.ok_or(operation.to_cluster_id));
        Ok(())
    }

    async fn merge(&mut self, from: u8, into: u8) -> Check {
        let (Some(from), Some(into)) = (self.pick_cluster(from), self.pick_cluster(into)) else { return Ok(()) };
        if from == into {
            return Ok(());
        }
        let request = proto::MergeClustersRequest {
            from_cluster_id: self.facts.clusters[from].id.clone(),
            into_cluster_id: self.facts.clusters[into].id.clone(),
            ..Default::default()
        };
        let answer = self.service.api.merge_clusters(self.service.ask(request)).await;
        let answer = answer.map_err(failed("MergeClusters"))?.into_inner();
        self.facts.merge(answer.operation.ok_or("no operation was answered")?.id, from, into);
        Ok(())
    }

    async fn split(&mut self, cluster: u8, mask: u8) -> Check {
        let Some(cluster) = self.pick_cluster(cluster) else { return Ok(()) };
        let members = self.facts.members(cluster);
        let taken = |&(at, _): &(usize, &usize)| mask >> (at % 8) & 1 == 1;
        let taken: Vec<usize> = members.iter().enumerate().filter(taken).map(|(_, &report)| report).collect();
        if taken.is_empty() || taken.len() == members.len() {
            return Ok(());
        }
        let request = proto::SplitClusterRequest {
            cluster_id: self.facts.clusters[cluster].id.clone(),
            report_ids: taken.iter().map(|&report| self.facts.reports[report].id.clone()).collect(),
            ..Default::default()
        };
        let answer = self.service.api.split_cluster(self.service.ask(request)).await;
        let answer = answer.map_err(failed("SplitCluster"))?.into_inner();
        let new = answer.new_cluster.ok_or("no cluster was answered")?;
        let operation = answer.operation.ok_or("no operation was answered")?;
        self.facts.take_out(operation.id, OperationKind::Split, &taken, Err(new.id));
        Ok(())
    }

    async fn undo(&mut self, operation: u8) -> Check {
        let standing: Vec<usize> =
            (0..self.facts.operations.len()).filter(|&number| !self.facts.operations[number].undone).collect();
        if standing.is_empty() {
            return Ok(());
        }
        let number = standing[usize::from(operation) % standing.len()];
        let request = proto::UndoOperationRequest {
            operation_id: self.facts.operations[number].id.clone(),
            ..Default::default()
        };
        let can_be_undone = self.facts.can_be_undone(number);
        match self.service.api.undo_operation(self.service.ask(request)).await {
            Ok(_) => {
                law!(can_be_undone, "law 5: {number} was undone under a later operation: {:?}", self.facts.operations);
                self.facts.undo(number);
            }
            Err(status) if status.code() == Code::FailedPrecondition => {
                // Whoever came to the cluster since may stand in the way, too.
                let to = self.facts.operations[number].to;
                let later = self.facts.operations[number + 1..]
                    .iter()
                    .any(|later| !later.undone && [later.from, later.to].contains(&to));
                law!(!can_be_undone || later, "law 5: {number} cannot be undone: {status:?}");
            }
            Err(status) => return Err(failed("UndoOperation")(status)),
        }
        Ok(())
    }

    fn defect_key(defect: usize) -> String {
        format!("github:acme/app#{defect}")
    }

    /// Learns the id of a defect that a call may have made.
    async fn learn_defect(&mut self, defect: usize) -> Check {
        if self.facts.defects[defect].id.is_empty() {
            let request = proto::GetDefectRequest { defect: Self::defect_key(defect) };
            let answer = self.service.api.get_defect(self.service.ask(request)).await.map_err(failed("GetDefect"))?;
            self.facts.defects[defect].id = answer.into_inner().defect.unwrap_or_default().id;
        }
        Ok(())
    }

    async fn link(&mut self, cluster: u8, defect: u8) -> Check {
        let Some(cluster) = self.pick_cluster(cluster) else { return Ok(()) };
        let defect = usize::from(defect);
        let request = proto::LinkDefectRequest {
            cluster_id: self.facts.clusters[cluster].id.clone(),
            defect: Self::defect_key(defect),
            ..Default::default()
        };
        self.service.api.link_defect(self.service.ask(request)).await.map_err(failed("LinkDefect"))?;
        self.facts.link(cluster, defect);
        self.learn_defect(defect).await
    }

    async fn unlink(&mut self, cluster: u8, defect: u8) -> Check {
        let Some(cluster) = self.pick_cluster(cluster) else { return Ok(()) };
        let defect = usize::from(defect);
        if !self.facts.clusters[cluster].links.contains_key(&defect) {
            return Ok(());
        }
        let request = proto::UnlinkDefectRequest {
            cluster_id: self.facts.clusters[cluster].id.clone(),
            defect: Self::defect_key(defect),
            ..Default::default()
        };
        self.service.api.unlink_defect(self.service.ask(request)).await.map_err(failed("UnlinkDefect"))?;
        self.facts.unlink(cluster, defect);
        Ok(())
    }

    async fn track(&mut self, defect: u8, state: u8) -> Check {
        let number = usize::from(defect);
        let (state, sent) = [
            (DefectState::Open, proto::defect::State::Open),
            (DefectState::FixMerged, proto::defect::State::FixMerged),
            (DefectState::Closed, proto::defect::State::Closed),
            (DefectState::ClosedWithoutFix, proto::defect::State::ClosedWithoutFix),
        ][usize::from(state)];
        let request = proto::UpsertDefectRequest {
            tracker: "github".to_owned(),
            key: format!("acme/app#{number}"),
            state: sent.into(),
            ..Default::default()
        };
        let answer = self.service.api.upsert_defect(self.service.ask(request)).await;
        let answer = answer.map_err(failed("UpsertDefect"))?.into_inner().defect.unwrap_or_default();
        let has_fix = self.facts.releases.iter().any(|release| {
            release.state == ReleaseState::Released
                && release.fixes.get(&number) == Some(&self.facts.defects[number].round)
        });
        let defect = &mut self.facts.defects[number];
        let believed_fixed = matches!(defect.state, DefectState::Closed | DefectState::FixMerged) || has_fix;
        if state == DefectState::Open && defect.state != DefectState::Open && believed_fixed {
            defect.round += 1;
        }
        defect.state = state;
        defect.id = answer.id;
        law!(
            u32::try_from(answer.reopen_count) == Ok(defect.round),
            "law 8: defect {number} was reopened {} times, not {}",
            defect.round,
            answer.reopen_count
        );
        Ok(())
    }

    async fn release(&mut self, product: u8, version: u8, planned: bool, fixes: u8) -> Check {
        let product = usize::from(product);
        let versions = PRODUCTS[product].versions;
        let version = versions[usize::from(version) % versions.len()];
        let known = self.facts.release_of(product, version);
        if known.is_some_and(|known| self.facts.releases[known].state == ReleaseState::Yanked) {
            return Ok(());
        }
        let fixes: Vec<usize> = (0..DEFECTS).filter(|defect| fixes >> defect & 1 == 1).collect();
        let state = if planned { proto::release::State::Planned } else { proto::release::State::Released };
        let request = proto::RecordReleaseRequest {
            product: PRODUCTS[product].key.to_owned(),
            version: version.to_owned(),
            state: state.into(),
            defects: fixes.iter().map(|&defect| Self::defect_key(defect)).collect(),
            ..Default::default()
        };
        let now = self.service.now();
        let answer = self.service.api.record_release(self.service.ask(request)).await;
        let answer = answer.map_err(failed("RecordRelease"))?.into_inner().release.unwrap_or_default();
        let sequence = self.facts.next_sequence();
        let number = known.unwrap_or_else(|| {
            self.facts.releases.push(Release {
                id: answer.id,
                product,
                version,
                state: if planned { ReleaseState::Planned } else { ReleaseState::Released },
                fixes: BTreeMap::new(),
                sequence,
                time: (!planned).then_some(now),
                deployments: Vec::new(),
            });
            self.facts.releases.len() - 1
        });
        for &defect in &fixes {
            let round = self.facts.defects[defect].round;
            // Said again, it stays a word of its first round.
            self.facts.releases[number].fixes.entry(defect).or_insert(round);
            self.learn_defect(defect).await?;
        }
        let release = &mut self.facts.releases[number];
        if release.state == ReleaseState::Planned && !planned {
            release.state = ReleaseState::Released;
            release.time = Some(now);
            // What was recorded between the plan and now did not wait for its fixes.
            if !release.fixes.is_empty() {
                release.sequence = sequence;
            }
        }
        Ok(())
    }

    async fn yank(&mut self, release: u8) -> Check {
        if self.facts.releases.is_empty() {
            return Ok(());
        }
        let number = usize::from(release) % self.facts.releases.len();
        let request = proto::YankReleaseRequest {
            release_id: self.facts.releases[number].id.clone(),
            reason: "it burns".to_owned(),
            ..Default::default()
        };
        self.service.api.yank_release(self.service.ask(request)).await.map_err(failed("YankRelease"))?;
        self.facts.releases[number].state = ReleaseState::Yanked;
        Ok(())
    }

    async fn deploy(&mut self, release: u8, ring: u8, percent: u8) -> Check {
        let deployable: Vec<usize> = (0..self.facts.releases.len())
            .filter(|&release| self.facts.releases[release].state == ReleaseState::Released)
            .collect();
        if deployable.is_empty() {
            return Ok(());
        }
        let number = deployable[usize::from(release) % deployable.len()];
        let (ring, percent) = (some(RINGS[usize::from(ring)]), i32::from(percent));
        let request = proto::RecordDeploymentRequest {
            release_id: self.facts.releases[number].id.clone(),
            ring: ring.unwrap_or_default().to_owned(),
            percent: Some(percent),
            ..Default::default()
        };
        let now = self.service.now();
        let answer = self.service.api.record_deployment(self.service.ask(request)).await;
        let answer = answer.map_err(failed("RecordDeployment"))?.into_inner().deployment.unwrap_or_default();
        let sequence = self.facts.next_sequence();
        // An older release that is recorded again over a newer one comes after it.
        let newest_of_others = self
            .facts
            .releases
            .iter()
            .enumerate()
            .filter(|&(other, release)| other != number && release.product == self.facts.releases[number].product)
            .flat_map(|(_, release)| &release.deployments)
            .filter(|deployment| deployment.ring == ring && !deployment.rolled_back)
            .map(|deployment| deployment.sequence)
            .max();
        let deployments = &mut self.facts.releases[number].deployments;
        match deployments.iter_mut().find(|deployment| deployment.ring == ring) {
            Some(known) => {
                if known.rolled_back || newest_of_others > Some(known.sequence) {
                    (known.rolled_back, known.sequence, known.full_time) = (false, sequence, None);
                }
                known.percent = percent;
                known.full_time = (percent == 100).then(|| known.full_time.unwrap_or(now));
            }
            None => deployments.push(Deployment {
                id: answer.id,
                ring,
                percent,
                rolled_back: false,
                sequence,
                full_time: (percent == 100).then_some(now),
            }),
        }
        Ok(())
    }

    async fn roll_back(&mut self, deployment: u8) -> Check {
        let all: Vec<(usize, usize)> = self
            .facts
            .releases
            .iter()
            .enumerate()
            .flat_map(|(release, facts)| (0..facts.deployments.len()).map(move |deployment| (release, deployment)))
            .collect();
        if all.is_empty() {
            return Ok(());
        }
        let (release, deployment) = all[usize::from(deployment) % all.len()];
        let deployment = &mut self.facts.releases[release].deployments[deployment];
        let request = proto::RollBackDeploymentRequest { deployment_id: deployment.id.clone(), ..Default::default() };
        deployment.rolled_back = true;
        let answer = self.service.api.roll_back_deployment(self.service.ask(request)).await;
        answer.map_err(failed("RollBackDeployment"))?;
        Ok(())
    }

    async fn upgrade(&mut self, customer: u8, product: u8, version: u8, ring: u8) -> Check {
        let (customer, product) = (usize::from(customer) % CUSTOMERS, usize::from(product));
        let versions = PRODUCTS[product].versions;
        // One number more than there are versions: they run it, nobody knows in which.
        let version = versions.get(usize::from(version) % (versions.len() + 1)).copied();
        let ring = some(RINGS[usize::from(ring)]);
        let request = proto::RecordInstallationRequest {
            customer_id: self.facts.customers[customer].id.clone(),
            product: PRODUCTS[product].key.to_owned(),
            version: version.unwrap_or_default().to_owned(),
            ring: ring.unwrap_or_default().to_owned(),
            ..Default::default()
        };
        let answer = self.service.api.record_installation(self.service.ask(request)).await;
        answer.map_err(failed("RecordInstallation"))?;
        self.facts.customers[customer].installations.insert(product, Runs { version, ring });
        Ok(())
    }

    async fn set_opted_out(&mut self, customer: u8, opted_out: bool) -> Check {
        let customer = &mut self.facts.customers[usize::from(customer) % CUSTOMERS];
        let request = proto::UpdatePreferencesRequest {
            customer_id: customer.id.clone(),
            opted_out: Some(opted_out),
            ..Default::default()
        };
        customer.opted_out = opted_out;
        let answer = self.service.api.update_preferences(self.service.ask(request)).await;
        answer.map_err(failed("UpdatePreferences"))?;
        Ok(())
    }

    async fn set_contact(&mut self, customer: u8, contact: u8, state: ContactState) -> Check {
        let customer = &mut self.facts.customers[usize::from(customer) % CUSTOMERS];
        let Some(contact) = customer.contacts.get_mut(usize::from(contact)) else { return Ok(()) };
        let ids = vec![contact.id.clone()];
        let (opt_out, opt_in) = if state == ContactState::Active { (vec![], ids) } else { (ids, vec![]) };
        let request = proto::UpdatePreferencesRequest {
            customer_id: customer.id.clone(),
            opt_out_contact_point_ids: opt_out,
            opt_in_contact_point_ids: opt_in,
            ..Default::default()
        };
        contact.state = state;
        let answer = self.service.api.update_preferences(self.service.ask(request)).await;
        answer.map_err(failed("UpdatePreferences"))?;
        Ok(())
    }

    // What must be true whenever the service has nothing left to do.

    /// `interrupted`: somebody is sending, or died while they did.
    async fn compare(&self, interrupted: bool) -> Check {
        let reports = self.reports().await?;
        self.compare_places(&reports).await?;
        let unfinished = self.service.unfinished().await;
        if !interrupted {
            let overdue = unfinished.iter().find(|delivery| delivery.due <= self.service.now());
            law!(overdue.is_none(), "law 10: idle with something to do: {overdue:?}");
        }
        if !interrupted {
            self.compare_tellings(&unfinished)?;
            self.compare_loops(&reports, &unfinished)?;
            self.compare_ledger(&unfinished).await?;
        }
        let sequences = self.service.sequences().await;
        let expected = 1..=i64::try_from(sequences.len()).expect("few events");
        law!(sequences.iter().copied().eq(expected), "law 15: the history has gaps: {sequences:?}");
        Ok(())
    }

    async fn reports(&self) -> Result<Vec<proto::Report>, String> {
        let request =
            proto::ListReportsRequest { page_size: 500, order_by: "create_time".to_owned(), ..Default::default() };
        let answer = self.service.api.list_reports(self.service.ask(request)).await.map_err(failed("ListReports"))?;
        Ok(answer.into_inner().reports)
    }

    /// Laws 3 and 5: everything is where people put it, once, and counted right.
    async fn compare_places(&self, reports: &[proto::Report]) -> Check {
        let places = |id: &String, cluster: &String| format!("{id} in {cluster}");
        let expected: BTreeSet<String> = self
            .facts
            .reports
            .iter()
            .map(|report| places(&report.id, &self.facts.clusters[report.cluster].id))
            .collect();
        let found: BTreeSet<String> = reports.iter().map(|report| places(&report.id, &report.cluster_id)).collect();
        law!(expected == found && reports.len() == expected.len(), "laws 3, 5: expected {expected:?}, found {found:?}");
        let request = proto::ListClustersRequest { page_size: 500, ..Default::default() };
        let answer = self.service.api.list_clusters(self.service.ask(request)).await.map_err(failed("ListClusters"))?;
        let mut clusters = answer.into_inner().clusters;
        for (number, expected) in self.facts.clusters.iter().enumerate() {
            let found = match clusters.iter().position(|cluster| cluster.id == expected.id) {
                Some(listed) => clusters.swap_remove(listed),
                None => self.cluster(&expected.id).await?,
            };
            let merged_into = expected.merged_into.map(|into| self.facts.clusters[into].id.clone());
            law!(
                found.merged_into_cluster_id == merged_into.clone().unwrap_or_default(),
                "law 5: cluster {number} was merged into {merged_into:?}, found {found:?}"
            );
            let (report_count, reporter_count) =
                (self.facts.members(number).len() as i64, self.facts.reporters(number).len() as i64);
            law!(
                (found.report_count, found.reporter_count) == (report_count, reporter_count),
                "law 3: cluster {number} has {report_count} reports of {reporter_count} customers, found {found:?}"
            );
            let links: BTreeSet<&String> =
                expected.links.keys().map(|&defect| &self.facts.defects[defect].id).collect();
            law!(
                expected.merged_into.is_some() || links == found.defect_ids.iter().collect(),
                "law 5: cluster {number} is linked to {links:?}, found {found:?}"
            );
        }
        law!(clusters.is_empty(), "law 3: clusters that nobody made: {clusters:?}");
        Ok(())
    }

    /// One cluster that is not listed.
    async fn cluster(&self, id: &str) -> Result<proto::Cluster, String> {
        let request = proto::GetClusterRequest { cluster_id: id.to_owned() };
        let answer = self.service.api.get_cluster(self.service.ask(request)).await.map_err(failed("GetCluster"))?;
        Ok(answer.into_inner().cluster.unwrap_or_default())
    }

    /// Laws 6 to 10: everybody heard what they should, nobody believes what is false.
    fn compare_tellings(&self, unfinished: &[Unfinished]) -> Check {
        for customer in 0..CUSTOMERS {
            let reachable = self.facts.customers[customer].is_reachable();
            for defect in 0..DEFECTS {
                let believes = self.heard.believes(customer, defect);
                let coming = |kind| self.is_coming(unfinished, customer, kind);
                if believes && !self.facts.holds(customer, defect) && reachable {
                    // Nobody can say whether what is under way has arrived before its lease has ended.
                    let under_way = unfinished
                        .iter()
                        .any(|delivery| delivery.is_sending && delivery.customer == self.facts.customers[customer].id);
                    law!(
                        coming(Kind::Correction) || under_way,
                        "law 8: customer {customer} believes that defect {defect} is fixed, and nobody takes it back"
                    );
                }
                if !believes && self.facts.is_sayable(customer, defect) && reachable {
                    law!(
                        coming(Kind::Fix) || coming(Kind::Correction),
                        "law 10: nobody tells customer {customer} that defect {defect} is fixed"
                    );
                }
            }
        }
        Ok(())
    }

    fn is_coming(&self, unfinished: &[Unfinished], customer: usize, kind: Kind) -> bool {
        let id = &self.facts.customers[customer].id;
        unfinished.iter().any(|delivery| delivery.kind == kind && delivery.customer == *id)
    }

    /// Law 10: every loop says how far it is closed.
    fn compare_loops(&self, reports: &[proto::Report], unfinished: &[Unfinished]) -> Check {
        use proto::report::LoopState;
        for found in reports {
            let number = self.facts.reports.iter().position(|report| report.id == found.id);
            let number = number.ok_or("a report nobody submitted")?;
            let report = &self.facts.reports[number];
            let links: Vec<usize> = self.facts.clusters[report.cluster].links.keys().copied().collect();
            let states: Vec<LoopState> = links.iter().map(|&defect| self.expected_loop(number, defect)).collect();
            let expected = if states.is_empty() || states.contains(&LoopState::Open) {
                LoopState::Open
            } else if states.contains(&LoopState::Told) {
                LoopState::Told
            } else {
                LoopState::Closed
            };
            law!(!found.loop_reason.is_empty(), "law 10: report {number} gives no reason: {found:?}");
            if links.is_empty() {
                law!(
                    found.loop_state() == LoopState::Open && found.loop_reason == "no_defect_linked",
                    "law 10: report {number} has no link, and says {:?} {}",
                    found.loop_state(),
                    found.loop_reason
                );
            }
            let correcting = self.is_coming(unfinished, report.customer, Kind::Correction);
            let busy = correcting || self.is_coming(unfinished, report.customer, Kind::Fix);
            law!(
                found.loop_state() == expected
                    || busy && found.loop_state() == LoopState::Open
                    // A correction of what is true again may or may not have arrived.
                    || correcting && found.loop_state() == LoopState::Told,
                "law 10: report {number} should be {expected:?} ({states:?} of {links:?}) and is {:?} {}",
                found.loop_state(),
                found.loop_reason
            );
            if expected == LoopState::Closed && found.loop_state() == LoopState::Closed {
                let reasons = ["no_contact_point", "opted_out", "bounced", "not_applicable", "closed_without_fix"];
                law!(
                    reasons.contains(&found.loop_reason.as_str()),
                    "law 10: report {number} ended for {:?}",
                    found.loop_reason
                );
            }
        }
        Ok(())
    }

    fn expected_loop(&self, report: usize, defect: usize) -> proto::report::LoopState {
        use proto::report::LoopState;
        let customer = self.facts.reports[report].customer;
        let view = self.facts.view(report, defect);
        if view == View::Regression {
            return LoopState::Open;
        }
        // Who is owed a word and must not be sent one has the reason why not.
        let owed = if self.facts.customers[customer].is_reachable() { LoopState::Open } else { LoopState::Closed };
        if self.heard.believes(customer, defect) {
            return if self.facts.holds(customer, defect) { LoopState::Told } else { owed };
        }
        if self.facts.is_sayable(customer, defect) {
            return owed;
        }
        // The customer's most hopeful report decides what is waited for.
        let views =
            self.facts.reports_about(customer, defect).into_iter().map(|report| self.facts.view(report, defect));
        if views.into_iter().all(|view| matches!(view, View::Ends | View::Never)) {
            LoopState::Closed
        } else {
            LoopState::Open
        }
    }

    /// The ledger says what the wire saw.
    async fn compare_ledger(&self, unfinished: &[Unfinished]) -> Check {
        let ids: Vec<String> = self.facts.customers.iter().map(|customer| customer.id.clone()).collect();
        let ledger = self.service.ledger(&ids).await;
        for (customer, facts) in self.facts.customers.iter().enumerate() {
            for (defect, tracked) in self.facts.defects.iter().enumerate() {
                let told = ledger
                    .iter()
                    .filter(|statement| {
                        statement.customer_id.to_string() == facts.id
                            && statement.defect_id.to_string() == tracked.id
                            && statement.stage == Stage::FixAvailable
                    })
                    .filter(|statement| matches!(statement.state, StatementState::Told | StatementState::Unconfirmed))
                    .count();
                law!(told <= 1, "law 9: customer {customer} was told of defect {defect} {told} times over");
                // A correction may have arrived before its sender knows.
                let in_doubt = self.is_coming(unfinished, customer, Kind::Correction);
                law!(
                    told == 0 || self.heard.believes(customer, defect) || in_doubt,
                    "law 9: the ledger says that customer {customer} heard of defect {defect}, and nothing was sent"
                );
            }
        }
        Ok(())
    }
}
