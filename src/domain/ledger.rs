//! The told-truth ledger: what each customer was told about each defect, and what is still to be said.
//!
//! A [`Statement`] is a slot with a key of customer, defect, stage and ordinal. The ordinal is 1 for the first time a
//! fix is announced and rises only when the announcement before it was withdrawn by a correction that the customer
//! got. The key is unique in the database, so that no merge, retry, replica, release or crash can make a second telling
//! (law 9): whoever comes second finds the slot taken.
//!
//! [`due`] compares what should have been heard with what was said. It is pure and has no memory, so running it again
//! changes nothing.

use std::collections::BTreeSet;

use super::announcement::Stage;
use super::coverage::{Coverage, Verdict};
use super::defect::DefectState;
use super::id::{
    AnnouncementId, ClusterId, CustomerId, DefectId, DeliveryId, ReleaseId, ReportId, StatementId, TenantId,
};
use super::policy::Policy;
use super::report::LoopState;
use super::statements::{Outlook, Standing, Waiting, World};
use super::text_enum;
use super::time::Timestamp;

text_enum! {
    /// Where a statement stands.
    pub enum StatementState {
        /// Its delivery is planned or under way.
        Pending = "PENDING",
        /// The customer was told, and it has not been withdrawn.
        Told = "TOLD",
        /// The customer may have been told, and it has not been withdrawn.
        Unconfirmed = "UNCONFIRMED",
        /// The customer was told, and later that it no longer holds.
        Withdrawn = "WITHDRAWN",
        /// It is not said, for the recorded reason.
        Suppressed = "SUPPRESSED",
    }
}

/// One row of the told-truth ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its id.
    pub id: StatementId,
    /// Whose it is.
    pub tenant_id: TenantId,
    /// Who was told.
    pub customer_id: CustomerId,
    /// About which defect.
    pub defect_id: DefectId,
    /// What.
    pub stage: Stage,
    /// The how-many-th time; of a correction, that of the statement it corrects.
    pub ordinal: i32,
    /// Where it stands.
    pub state: StatementState,
    /// Why it is suppressed, or what a correction corrects.
    pub reason: String,
    /// The cluster it was about when planned.
    pub cluster_id: ClusterId,
    /// Its announcement.
    pub announcement_id: Option<AnnouncementId>,
    /// Its delivery.
    pub delivery_id: Option<DeliveryId>,
    /// The release it named.
    pub release_id: Option<ReleaseId>,
    /// The version it named; empty if none.
    pub version: String,
    /// The verdict it rests on.
    pub verdict: Option<Verdict>,
    /// The rule that gave the verdict.
    pub rule: String,
    /// When the customer was told.
    pub told_time: Option<Timestamp>,
    /// When it was withdrawn.
    pub withdraw_time: Option<Timestamp>,
    /// When it was planned.
    pub create_time: Timestamp,
    /// When it last changed.
    pub update_time: Timestamp,
}

/// A person stopped it; it is not taken up again until its ground has changed.
pub const CANCELLED_BY_PERSON: &str = "cancelled_by_person";

/// Something to be written down about one customer and one defect.
#[derive(Debug, Clone, PartialEq)]
pub enum Due {
    /// Say it.
    Tell {
        /// About which defect.
        defect: DefectId,
        /// In which cluster.
        cluster: ClusterId,
        /// What.
        stage: Stage,
        /// The slot.
        ordinal: i32,
        /// What it rests on; `None` for an acknowledgement.
        coverage: Option<Coverage>,
        /// Why, for a correction.
        reason: &'static str,
        /// A suppressed slot to be taken up again.
        slot: Option<StatementId>,
    },
    /// Take it back before it is sent: it is no longer true, or no longer false.
    Drop {
        /// The slot.
        slot: StatementId,
        /// Why.
        reason: &'static str,
    },
    /// Forget that it was suppressed: there is nothing to say any more.
    Forget {
        /// The slot.
        slot: StatementId,
    },
}

/// What is to be written down for one customer, given how they stand to each defect and what they were told.
///
/// `statements` are all of this customer's. A defect that no standing mentions is one the customer has no report
/// about any more.
pub fn due(standings: &[Standing], statements: &[Statement], world: &World, policy: &Policy) -> Vec<Due> {
    let mut due = Vec::new();
    let mut defects: Vec<DefectId> = standings.iter().map(|standing| standing.defect).collect();
    defects.extend(statements.iter().map(|statement| statement.defect_id));
    defects.sort();
    defects.dedup();
    for defect in defects {
        let standing = standings.iter().find(|standing| standing.defect == defect);
        let said = |stage| {
            statements
                .iter()
                .filter(move |statement| statement.defect_id == defect && statement.stage == stage)
                .max_by_key(|statement| statement.ordinal)
        };
        let fix = said(Stage::FixAvailable);
        fix_due(defect, standing, fix, &mut due);
        if let Some(fix) = fix {
            let correction = said(Stage::Correction).filter(|correction| correction.ordinal == fix.ordinal);
            correction_due(standing, fix, correction, &mut due);
        }
        // What is forgotten in this very turn stands in nobody's way.
        let forgotten = |fix: &&Statement| due.iter().any(|due| matches!(due, Due::Forget { slot } if *slot == fix.id));
        let fix = fix.filter(|fix| !forgotten(fix));
        let open = world.defects.get(&defect).is_some_and(|facts| facts.state == DefectState::Open);
        acknowledgement_due(standing, fix, said(Stage::Acknowledged), open && policy.acknowledge, &mut due);
    }
    due
}

fn fix_due(defect: DefectId, standing: Option<&Standing>, last: Option<&Statement>, due: &mut Vec<Due>) {
    let sayable = standing.and_then(|standing| match &standing.outlook {
        Outlook::Say(coverage) => Some((standing.cluster, coverage)),
        Outlook::Wait(..) => None,
    });
    let tell = |ordinal, slot, (cluster, coverage): (ClusterId, &Coverage)| Due::Tell {
        defect,
        cluster,
        stage: Stage::FixAvailable,
        ordinal,
        coverage: Some(coverage.clone()),
        reason: "",
        slot,
    };
    match (last.map(|last| (last, last.state)), sayable) {
        (None, Some(ground)) => due.push(tell(1, None, ground)),
        (Some((last, StatementState::Withdrawn)), Some(ground)) => due.push(tell(last.ordinal + 1, None, ground)),
        (Some((last, StatementState::Suppressed)), Some(ground)) => {
            let same_ground = last.release_id == ground.1.release;
            if !(last.reason == CANCELLED_BY_PERSON && same_ground) {
                due.push(tell(last.ordinal, Some(last.id), ground));
            }
        }
        (Some((last, StatementState::Suppressed)), None) => due.push(Due::Forget { slot: last.id }),
        (Some((last, StatementState::Pending)), None) => {
            due.push(Due::Drop { slot: last.id, reason: "no_longer_true" });
        }
        // Pending and still sayable, or told: nothing to say about the fix; a correction is its own matter.
        (Some(_), _) | (None, None) => {}
    }
}

fn correction_due(standing: Option<&Standing>, fix: &Statement, correction: Option<&Statement>, due: &mut Vec<Due>) {
    let was_told = matches!(fix.state, StatementState::Told | StatementState::Unconfirmed);
    let is_false = !standing.is_some_and(|standing| standing.holds);
    let tell = |slot| Due::Tell {
        defect: fix.defect_id,
        cluster: standing.map_or(fix.cluster_id, |standing| standing.cluster),
        stage: Stage::Correction,
        ordinal: fix.ordinal,
        coverage: None,
        reason: correction_reason(standing),
        slot,
    };
    match (correction.map(|correction| (correction, correction.state)), was_told && is_false) {
        (None, true) => due.push(tell(None)),
        (Some((correction, StatementState::Suppressed)), true) if correction.reason != CANCELLED_BY_PERSON => {
            due.push(tell(Some(correction.id)));
        }
        (Some((correction, StatementState::Pending)), false) => {
            due.push(Due::Drop { slot: correction.id, reason: "true_again" });
        }
        (Some((correction, StatementState::Suppressed)), false) => due.push(Due::Forget { slot: correction.id }),
        (Some(_), _) | (None, false) => {}
    }
}

/// Why what was said no longer holds, in the words the customer's letter is chosen by.
fn correction_reason(standing: Option<&Standing>) -> &'static str {
    match standing.map(|standing| &standing.outlook) {
        None => "not_your_problem",
        Some(Outlook::Wait(Waiting::ForRollout, _)) => "rolled_back",
        // The release stands: they have moved to what it does not reach, or their line turned out to need its own.
        Some(Outlook::Wait(_, Some(coverage))) if coverage.rule.is_about_what_runs() => "not_in_what_you_run",
        Some(_) => "withdrawn",
    }
}

fn acknowledgement_due(
    standing: Option<&Standing>,
    fix: Option<&Statement>,
    last: Option<&Statement>,
    wanted: bool,
    due: &mut Vec<Due>,
) {
    let unfixed = standing.filter(|standing| {
        fix.is_none() && matches!(standing.outlook, Outlook::Wait(waiting, _) if !waiting.is_final())
    });
    match (unfixed.filter(|_| wanted), last.map(|last| (last, last.state))) {
        (Some(standing), None) => due.push(acknowledge(standing, None)),
        (Some(standing), Some((last, StatementState::Suppressed))) if last.reason != CANCELLED_BY_PERSON => {
            due.push(acknowledge(standing, Some(last.id)));
        }
        (None, Some((last, StatementState::Pending))) => {
            due.push(Due::Drop { slot: last.id, reason: "no_longer_true" });
        }
        (None, Some((last, StatementState::Suppressed))) => due.push(Due::Forget { slot: last.id }),
        _ => {}
    }
}

fn acknowledge(standing: &Standing, slot: Option<StatementId>) -> Due {
    Due::Tell {
        defect: standing.defect,
        cluster: standing.cluster,
        stage: Stage::Acknowledged,
        ordinal: 1,
        coverage: None,
        reason: "",
        slot,
    }
}

/// How far a report's loop is closed, given what its customer was told by now (law 10): told, or open or closed with a
/// reason.
pub fn loop_of(
    report: ReportId,
    links: Option<&BTreeSet<DefectId>>,
    standings: &[Standing],
    statements: &[Statement],
) -> (LoopState, String) {
    let mut told = None;
    let mut closed = None;
    for defect in links.into_iter().flatten() {
        let standing = standings.iter().find(|standing| standing.defect == *defect);
        match defect_loop(report, standing, *defect, statements) {
            (LoopState::Open, reason) => return (LoopState::Open, reason),
            (LoopState::Told, reason) => told = Some((LoopState::Told, reason)),
            (LoopState::Closed, reason) => closed = Some((LoopState::Closed, reason)),
        }
    }
    told.or(closed).unwrap_or((LoopState::Open, NO_DEFECT_LINKED.to_owned()))
}

/// Nobody has said yet what causes the problem.
pub const NO_DEFECT_LINKED: &str = "no_defect_linked";

fn defect_loop(
    report: ReportId,
    standing: Option<&Standing>,
    defect: DefectId,
    statements: &[Statement],
) -> (LoopState, String) {
    if standing.is_some_and(|standing| standing.regressions.contains(&report)) {
        return (LoopState::Open, Waiting::RegressionReported.reason().to_owned());
    }
    let last = statements
        .iter()
        .filter(|statement| statement.defect_id == defect && statement.stage == Stage::FixAvailable)
        .max_by_key(|statement| statement.ordinal);
    match last.map(|last| (last, last.state)) {
        Some((_, StatementState::Told)) if standing.is_some_and(|standing| standing.holds) => {
            (LoopState::Told, "told".to_owned())
        }
        Some((_, StatementState::Unconfirmed)) if standing.is_some_and(|standing| standing.holds) => {
            (LoopState::Told, "told_unconfirmed".to_owned())
        }
        Some((last, StatementState::Told | StatementState::Unconfirmed)) => {
            let correction = statements.iter().find(|statement| {
                statement.defect_id == defect
                    && statement.stage == Stage::Correction
                    && statement.ordinal == last.ordinal
                    && statement.state == StatementState::Suppressed
            });
            match correction {
                Some(correction) => (LoopState::Closed, correction.reason.clone()),
                None => (LoopState::Open, "correction_pending".to_owned()),
            }
        }
        Some((_, StatementState::Pending)) => (LoopState::Open, "delivery_pending".to_owned()),
        Some((last, StatementState::Suppressed)) => (LoopState::Closed, last.reason.clone()),
        Some((_, StatementState::Withdrawn)) | None => match standing.map(|standing| &standing.outlook) {
            Some(Outlook::Wait(waiting, _)) if waiting.is_final() => (LoopState::Closed, waiting.reason().to_owned()),
            Some(Outlook::Wait(waiting, _)) => (LoopState::Open, waiting.reason().to_owned()),
            Some(Outlook::Say(_)) => (LoopState::Open, "delivery_pending".to_owned()),
            None => (LoopState::Open, NO_DEFECT_LINKED.to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::coverage::Rule;
    use crate::domain::statements::DefectFacts;

    struct Scene {
        world: World,
        policy: Policy,
        standing: Standing,
        statements: Vec<Statement>,
    }

    fn coverage(release: ReleaseId) -> Coverage {
        Coverage {
            verdict: Verdict::UpgradeAvailable,
            rule: Rule::SameLineBefore,
            release: Some(release),
            version: Some("2.4.1".to_owned()),
        }
    }

    impl Scene {
        fn new() -> Self {
            let defect = DefectId::new();
            let facts = DefectFacts { state: DefectState::Open, fixes: Default::default(), evidence_time: None };
            Self {
                world: World { defects: [(defect, facts)].into(), ..World::default() },
                policy: Policy::default(),
                standing: Standing {
                    defect,
                    cluster: ClusterId::new(),
                    reports: vec![ReportId::new()],
                    regressions: vec![],
                    outlook: Outlook::Wait(Waiting::ForRelease, None),
                    holds: false,
                },
                statements: vec![],
            }
        }

        fn shipped(mut self) -> Self {
            self.standing.outlook = Outlook::Say(coverage(ReleaseId::new()));
            self.standing.holds = true;
            self
        }

        fn said(mut self, stage: Stage, ordinal: i32, state: StatementState, reason: &str) -> Self {
            let release_id = self.standing.outlook.coverage().and_then(|coverage| coverage.release);
            self.statements.push(Statement {
                id: StatementId::new(),
                tenant_id: TenantId::new(),
                customer_id: CustomerId::new(),
                defect_id: self.standing.defect,
                stage,
                ordinal,
                state,
                reason: reason.to_owned(),
                cluster_id: self.standing.cluster,
                announcement_id: None,
                delivery_id: None,
                release_id,
                version: String::new(),
                verdict: None,
                rule: String::new(),
                told_time: None,
                withdraw_time: None,
                create_time: Timestamp::default(),
                update_time: Timestamp::default(),
            });
            self
        }

        fn due(&self) -> Vec<(&'static str, Option<Stage>, i32)> {
            due(std::slice::from_ref(&self.standing), &self.statements, &self.world, &self.policy)
                .into_iter()
                .map(|due| match due {
                    Due::Tell { stage, ordinal, .. } => ("tell", Some(stage), ordinal),
                    Due::Drop { .. } => ("drop", None, 0),
                    Due::Forget { .. } => ("forget", None, 0),
                })
                .collect()
        }
    }

    const FIX: Stage = Stage::FixAvailable;

    #[test]
    fn law_9_what_is_told_or_pending_is_not_told_again() {
        assert_eq!(Scene::new().shipped().due(), [("tell", Some(FIX), 1)]);
        for state in [StatementState::Pending, StatementState::Told, StatementState::Unconfirmed] {
            assert_eq!(Scene::new().shipped().said(FIX, 1, state, "").due(), [], "{state}");
        }
    }

    #[test]
    fn law_8_what_became_false_is_corrected_once_and_the_next_fix_is_told() {
        let told = Scene::new().said(FIX, 1, StatementState::Told, "");
        assert_eq!(told.due(), [("tell", Some(Stage::Correction), 1)]);
        let correcting = told.said(Stage::Correction, 1, StatementState::Pending, "");
        assert_eq!(correcting.due(), []);
        let withdrawn = Scene::new().shipped().said(FIX, 1, StatementState::Withdrawn, "").said(
            Stage::Correction,
            1,
            StatementState::Told,
            "",
        );
        assert_eq!(withdrawn.due(), [("tell", Some(FIX), 2)]);
    }

    #[test]
    fn law_8_a_correction_that_became_untrue_itself_is_not_sent() {
        let scene = Scene::new().shipped().said(FIX, 1, StatementState::Told, "").said(
            Stage::Correction,
            1,
            StatementState::Pending,
            "",
        );
        assert_eq!(scene.due(), [("drop", None, 0)]);
    }

    #[test]
    fn law_7_what_stopped_being_true_before_it_was_sent_is_dropped() {
        assert_eq!(Scene::new().said(FIX, 1, StatementState::Pending, "").due(), [("drop", None, 0)]);
    }

    #[test]
    fn a_suppressed_statement_is_taken_up_again_but_not_against_a_persons_word() {
        let bounced = Scene::new().shipped().said(FIX, 1, StatementState::Suppressed, "bounced");
        assert_eq!(bounced.due(), [("tell", Some(FIX), 1)]);
        let cancelled = Scene::new().shipped().said(FIX, 1, StatementState::Suppressed, CANCELLED_BY_PERSON);
        assert_eq!(cancelled.due(), []);
    }

    #[test]
    fn an_acknowledgement_is_said_once_when_policy_wants_it() {
        let mut scene = Scene::new();
        assert_eq!(scene.due(), []);
        scene.policy.acknowledge = true;
        assert_eq!(scene.due(), [("tell", Some(Stage::Acknowledged), 1)]);
        assert_eq!(scene.said(Stage::Acknowledged, 1, StatementState::Told, "").due(), []);
    }

    #[test]
    fn law_10_every_loop_has_a_state_and_a_reason() {
        let of = |scene: &Scene| {
            let report = scene.standing.reports[0];
            let links = BTreeSet::from([scene.standing.defect]);
            loop_of(report, Some(&links), std::slice::from_ref(&scene.standing), &scene.statements)
        };
        let open = |reason: &str| (LoopState::Open, reason.to_owned());
        assert_eq!(of(&Scene::new()), open("waiting_for_release"));
        assert_eq!(of(&Scene::new().shipped()), open("delivery_pending"));
        let told = Scene::new().shipped().said(FIX, 1, StatementState::Told, "");
        assert_eq!(of(&told), (LoopState::Told, "told".to_owned()));
        assert_eq!(of(&Scene::new().said(FIX, 1, StatementState::Told, "")), open("correction_pending"));
        let uncorrected = Scene::new().said(FIX, 1, StatementState::Told, "");
        let uncorrected = uncorrected.said(Stage::Correction, 1, StatementState::Suppressed, "opted_out");
        assert_eq!(of(&uncorrected), (LoopState::Closed, "opted_out".to_owned()));
        let suppressed = Scene::new().shipped().said(FIX, 1, StatementState::Suppressed, "no_contact_point");
        assert_eq!(of(&suppressed), (LoopState::Closed, "no_contact_point".to_owned()));
        assert_eq!(loop_of(ReportId::new(), None, &[], &[]), open(NO_DEFECT_LINKED));
    }
}
