//! What must be true after every step, whatever the service has not come to yet.
//!
//! Between a change and what follows from it there may be a while, and a process may die in it. So what is not yet as
//! it should be must be on its way in the database: a delivery that is not finished, or a mark that somebody will look
//! at. Where neither is there, everything has to be right now.

use std::collections::BTreeSet;

use hearback::domain::announcement::Stage;
use hearback::domain::id::{CustomerId, DeliveryId};
use hearback::domain::ledger::{Statement, StatementState};
use hearback::grpc::proto;
use hearback::grpc::proto::cluster::State;
use hearback::grpc::proto::cluster_service_server::ClusterService;
use hearback::grpc::proto::report::LoopState;
use hearback::grpc::proto::report_service_server::ReportService;

use super::facts::{CUSTOMERS, DEFECTS, DefectState};
use super::heard::{Kind, law};
use super::rules::View;
use super::run::{Check, Play, failed};
use super::service::{Marks, Unfinished};

/// What the service says at one moment.
struct Seen {
    reports: Vec<proto::Report>,
    /// One for each of the facts', in the same order.
    clusters: Vec<proto::Cluster>,
    unfinished: Vec<Unfinished>,
    ledger: Vec<Statement>,
    marks: Marks,
}

impl Seen {
    /// Whether a delivery to this customer is being sent: until its lease ends, nobody can say what came of it.
    fn is_sending_to(&self, customer: &str) -> bool {
        self.unfinished.iter().any(|delivery| delivery.is_sending && delivery.customer == customer)
    }

    /// Whether this is to be said to this customer, or may be being said.
    fn is_coming(&self, customer: &str, defect: &str, kind: Kind) -> bool {
        let stage = match kind {
            Kind::Fix => Stage::FixAvailable,
            Kind::Correction => Stage::Correction,
        };
        let about = |statement: &&Statement| {
            statement.customer_id.to_string() == customer
                && statement.defect_id.to_string() == defect
                && (statement.stage, statement.state) == (stage, StatementState::Pending)
        };
        let carried: BTreeSet<DeliveryId> =
            self.ledger.iter().filter(about).filter_map(|statement| statement.delivery_id).collect();
        self.unfinished.iter().any(|delivery| carried.iter().any(|id| id.to_string() == delivery.id))
    }
}

impl Play {
    /// Laws 3, 5, 6, 8, 9, 10 and 15. Laws 7, 9 and 12 are also held against each message as it is sent.
    pub(super) async fn compare(&self) -> Check {
        let seen = self.look().await?;
        self.compare_places(&seen)?;
        self.compare_states(&seen)?;
        self.compare_tellings(&seen)?;
        self.compare_loops(&seen)?;
        self.compare_ledger(&seen)?;
        let sequences = self.service.sequences().await;
        let expected = 1..=i64::try_from(sequences.len()).expect("few events");
        law!(sequences.iter().copied().eq(expected), "law 15: the history has gaps: {sequences:?}");
        Ok(())
    }

    /// Law 10, when the service says that it has nothing to do.
    pub(super) async fn compare_idle(&self) -> Check {
        let now = self.service.now();
        let unfinished = self.service.unfinished().await;
        let overdue = unfinished.iter().find(|delivery| delivery.due <= now);
        law!(overdue.is_none(), "law 10: idle with something to send: {overdue:?}");
        let marks = self.service.marks().await;
        law!(marks.is_empty(), "law 10: idle with something to look at: {marks:?}");
        Ok(())
    }

    async fn look(&self) -> Result<Seen, String> {
        let request =
            proto::ListReportsRequest { page_size: 500, order_by: "create_time".to_owned(), ..Default::default() };
        let answer = self.service.api.list_reports(self.service.ask(request)).await.map_err(failed("ListReports"))?;
        let reports = answer.into_inner().reports;
        let request = proto::ListClustersRequest { page_size: 500, ..Default::default() };
        let answer = self.service.api.list_clusters(self.service.ask(request)).await.map_err(failed("ListClusters"))?;
        let mut listed = answer.into_inner().clusters;
        let mut clusters = Vec::with_capacity(self.facts.clusters.len());
        for expected in &self.facts.clusters {
            clusters.push(match listed.iter().position(|cluster| cluster.id == expected.id) {
                Some(found) => listed.swap_remove(found),
                None => self.unlisted_cluster(&expected.id).await?,
            });
        }
        law!(listed.is_empty(), "law 3: clusters that nobody made: {listed:?}");
        let ids: Vec<CustomerId> = self.facts.customers.iter().map(|customer| customer.uid()).collect();
        Ok(Seen {
            reports,
            clusters,
            unfinished: self.service.unfinished().await,
            ledger: self.service.ledger(&ids).await,
            marks: self.service.marks().await,
        })
    }

    /// One that was merged away.
    async fn unlisted_cluster(&self, id: &str) -> Result<proto::Cluster, String> {
        let request = proto::GetClusterRequest { cluster_id: id.to_owned() };
        let answer = self.service.api.get_cluster(self.service.ask(request)).await.map_err(failed("GetCluster"))?;
        Ok(answer.into_inner().cluster.unwrap_or_default())
    }

    /// Whether somebody will look at a customer again: they are marked, or a cluster that they reported to is and the
    /// walk over it has not passed them.
    fn is_marked(&self, seen: &Seen, customer: usize) -> bool {
        let id = self.facts.customers[customer].uid();
        let reported_to = |cluster: &str| {
            self.facts
                .reports
                .iter()
                .any(|report| report.customer == customer && self.facts.clusters[report.cluster].id == cluster)
        };
        seen.marks.customers.contains(&id)
            || seen
                .marks
                .clusters
                .iter()
                .any(|(cluster, passed)| passed.is_none_or(|passed| id > passed) && reported_to(&cluster.to_string()))
    }

    /// Laws 3 and 5: everything is where people put it, once, and counted right.
    fn compare_places(&self, seen: &Seen) -> Check {
        let places = |id: &String, cluster: &String| format!("{id} in {cluster}");
        let expected: BTreeSet<String> = self
            .facts
            .reports
            .iter()
            .map(|report| places(&report.id, &self.facts.clusters[report.cluster].id))
            .collect();
        let found: BTreeSet<String> =
            seen.reports.iter().map(|report| places(&report.id, &report.cluster_id)).collect();
        law!(
            expected == found && seen.reports.len() == expected.len(),
            "laws 3, 5: expected {expected:?}, found {found:?}"
        );
        for (number, (expected, found)) in self.facts.clusters.iter().zip(&seen.clusters).enumerate() {
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
        Ok(())
    }

    /// Law 6: a cluster is as far as the releases of its defects are, whatever the tracker says.
    fn compare_states(&self, seen: &Seen) -> Check {
        for (number, found) in seen.clusters.iter().enumerate() {
            let is_marked = seen.marks.clusters.keys().any(|id| id.to_string() == found.id);
            let expected = self.expected_state(seen, number);
            law!(
                is_marked || found.state() == expected,
                "law 6: cluster {number} should be {expected:?}, and is {:?}, which nobody will look at",
                found.state()
            );
        }
        Ok(())
    }

    fn expected_state(&self, seen: &Seen, cluster: usize) -> State {
        let facts = &self.facts.clusters[cluster];
        if facts.merged_into.is_some() {
            return State::Merged;
        }
        let (released, unreleased): (Vec<usize>, Vec<usize>) =
            facts.links.keys().partition(|&&defect| self.facts.is_released(defect));
        let awaited: Vec<DefectState> = unreleased
            .iter()
            .map(|&defect| self.facts.defects[defect].state)
            .filter(|&state| state != DefectState::ClosedWithoutFix)
            .collect();
        if facts.links.is_empty() {
            return State::Open;
        }
        if awaited.contains(&DefectState::Open) {
            return State::Linked;
        }
        if !awaited.is_empty() {
            return State::FixMerged;
        }
        if released.is_empty() {
            return State::ClosedWithoutFix;
        }
        let members = seen.reports.iter().filter(|report| report.cluster_id == facts.id);
        let open: Vec<&proto::Report> = members.filter(|report| report.loop_state() == LoopState::Open).collect();
        if open.iter().any(|report| report.loop_reason == "regression_reported") {
            State::Regressed
        } else if open.is_empty() {
            State::Resolved
        } else {
            State::FixReleased
        }
    }

    /// Laws 8 and 10: everybody heard what they should and nobody believes what is false, or it is on its way.
    fn compare_tellings(&self, seen: &Seen) -> Check {
        for (customer, person) in self.facts.customers.iter().enumerate() {
            if !person.is_reachable() || self.is_marked(seen, customer) || seen.is_sending_to(&person.id) {
                continue;
            }
            for (defect, tracked) in self.facts.defects.iter().enumerate() {
                let believes = self.heard.believes(customer, defect);
                let coming = |kind| seen.is_coming(&person.id, &tracked.id, kind);
                law!(
                    !believes || self.facts.holds(customer, defect) || coming(Kind::Correction),
                    "law 8: customer {customer} believes that defect {defect} is fixed, and nobody takes it back"
                );
                law!(
                    believes
                        || !self.facts.is_sayable(customer, defect)
                        || coming(Kind::Fix)
                        || coming(Kind::Correction),
                    "law 10: nobody tells customer {customer} that defect {defect} is fixed"
                );
            }
        }
        Ok(())
    }

    /// Law 10: every loop says how far it is closed.
    fn compare_loops(&self, seen: &Seen) -> Check {
        for found in &seen.reports {
            let number = self.facts.reports.iter().position(|report| report.id == found.id);
            let number = number.ok_or("a report nobody submitted")?;
            let report = &self.facts.reports[number];
            law!(!found.loop_reason.is_empty(), "law 10: report {number} gives no reason: {found:?}");
            if self.is_marked(seen, report.customer) {
                continue;
            }
            let links: Vec<usize> = self.facts.clusters[report.cluster].links.keys().copied().collect();
            let states: Vec<LoopState> = links.iter().map(|&defect| self.expected_loop(number, defect)).collect();
            let expected = if states.is_empty() || states.contains(&LoopState::Open) {
                LoopState::Open
            } else if states.contains(&LoopState::Told) {
                LoopState::Told
            } else {
                LoopState::Closed
            };
            if links.is_empty() {
                law!(
                    found.loop_state() == LoopState::Open && found.loop_reason == "no_defect_linked",
                    "law 10: report {number} has no link, and says {:?} {}",
                    found.loop_state(),
                    found.loop_reason
                );
            }
            let customer = &self.facts.customers[report.customer].id;
            let coming =
                |kind| seen.unfinished.iter().any(|delivery| delivery.kind == kind && delivery.customer == *customer);
            let correcting = coming(Kind::Correction);
            let busy = correcting || coming(Kind::Fix);
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

    fn expected_loop(&self, report: usize, defect: usize) -> LoopState {
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

    /// Law 9: the ledger says what the wire saw.
    fn compare_ledger(&self, seen: &Seen) -> Check {
        for customer in 0..CUSTOMERS {
            for defect in 0..DEFECTS {
                let person = &self.facts.customers[customer].id;
                let tracked = &self.facts.defects[defect].id;
                let told = seen
                    .ledger
                    .iter()
                    .filter(|statement| {
                        statement.customer_id.to_string() == *person
                            && statement.defect_id.to_string() == *tracked
                            && statement.stage == Stage::FixAvailable
                    })
                    .filter(|statement| matches!(statement.state, StatementState::Told | StatementState::Unconfirmed))
                    .count();
                law!(told <= 1, "law 9: customer {customer} was told of defect {defect} {told} times over");
                // A correction may have arrived before its sender knows.
                let in_doubt = seen.is_coming(person, tracked, Kind::Correction);
                law!(
                    told == 0 || self.heard.believes(customer, defect) || in_doubt,
                    "law 9: the ledger says that customer {customer} heard of defect {defect}, and nothing was sent"
                );
            }
        }
        Ok(())
    }
}
