//! What people and systems do: each action is done to the service, and its plain meaning to the facts.

use std::collections::BTreeMap;
use std::time::Duration;

use hearback::grpc::proto;
use hearback::grpc::proto::cluster_service_server::ClusterService;
use hearback::grpc::proto::customer_service_server::CustomerService;
use hearback::grpc::proto::defect_service_server::DefectService;
use hearback::grpc::proto::release_service_server::ReleaseService;
use hearback::grpc::proto::report_service_server::ReportService;
use tonic::Code;

use super::facts::{
    CUSTOMERS, Cluster, ContactState, DEFECTS, DefectState, Deployment, OperationKind, PRODUCTS, RINGS, Release,
    ReleaseState, Report, Runs, TEXTS,
};
use super::heard::law;
use super::rules::View;
use super::run::{Check, Play, failed};
use super::steps::Action;

fn some(text: &'static str) -> Option<&'static str> {
    (!text.is_empty()).then_some(text)
}

impl Play {
    /// Does it.
    pub(super) async fn act(&mut self, action: &Action) -> Check {
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
        let number = standing[standing.len() - 1 - usize::from(operation) % standing.len()];
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
        let number = self.facts.releases.len() - 1 - usize::from(release) % self.facts.releases.len();
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
}
