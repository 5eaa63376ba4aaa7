//! The told-truth ledger alone, as a pure function run again and again: it comes to rest, and nobody is told twice
//! between corrections, whatever becomes true and whatever becomes of what is sent.

use std::collections::{BTreeMap, BTreeSet};

use hearback::domain::announcement::Stage;
use hearback::domain::coverage::{Coverage, Rule, Verdict};
use hearback::domain::defect::DefectState;
use hearback::domain::id::{ClusterId, CustomerId, DefectId, ReleaseId, ReportId, StatementId, TenantId};
use hearback::domain::ledger::{self, Due, Statement, StatementState};
use hearback::domain::policy::Policy;
use hearback::domain::report::LoopState;
use hearback::domain::statements::{DefectFacts, Outlook, Standing, Waiting, World};
use hearback::domain::time::Timestamp;
use proptest::collection::vec;
use proptest::prelude::*;

const DEFECTS: usize = 3;

/// How the customer stands to a defect.
#[derive(Debug, Clone, Copy)]
enum Truth {
    /// No report of theirs is about it.
    Elsewhere,
    /// It may be said, naming this release.
    Say(usize),
    /// It may not be said; what was said may still be true.
    Wait { waiting: usize, holds: bool },
}

/// What becomes of what is pending.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Stays,
    Told,
    Unconfirmed,
    Suppressed,
}

#[derive(Debug, Clone)]
struct Turn {
    truths: Vec<Truth>,
    fates: Vec<Fate>,
}

const WAITING: [Waiting; 5] = [
    Waiting::ForRelease,
    Waiting::ForRollout,
    Waiting::CoverageUnknown,
    Waiting::NotApplicable,
    Waiting::ClosedWithoutFix,
];

fn truth() -> impl Strategy<Value = Truth> {
    prop_oneof![
        1 => Just(Truth::Elsewhere),
        4 => (0..2_usize).prop_map(Truth::Say),
        3 => (0..WAITING.len(), any::<bool>()).prop_map(|(waiting, holds)| Truth::Wait { waiting, holds }),
    ]
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![Just(Fate::Stays), Just(Fate::Told), Just(Fate::Told), Just(Fate::Unconfirmed), Just(Fate::Suppressed)]
}

fn turns() -> impl Strategy<Value = Vec<Turn>> {
    let turn = (vec(truth(), DEFECTS), vec(fate(), 2 * DEFECTS)).prop_map(|(truths, fates)| Turn { truths, fates });
    vec(turn, 1..20)
}

struct Scene {
    tenant: TenantId,
    customer: CustomerId,
    cluster: ClusterId,
    report: ReportId,
    defects: Vec<DefectId>,
    releases: [ReleaseId; 2],
    world: World,
    policy: Policy,
    statements: Vec<Statement>,
}

impl Scene {
    fn new(acknowledge: bool) -> Self {
        let mut defects: Vec<DefectId> = (0..DEFECTS).map(|_| DefectId::new()).collect();
        defects.sort();
        let open = |&id: &DefectId| {
            (id, DefectFacts { state: DefectState::Open, fixes: BTreeMap::new(), evidence_time: None })
        };
        Self {
            tenant: TenantId::new(),
            customer: CustomerId::new(),
            cluster: ClusterId::new(),
            report: ReportId::new(),
            world: World { defects: defects.iter().map(open).collect(), ..World::default() },
            defects,
            releases: [ReleaseId::new(), ReleaseId::new()],
            policy: Policy { acknowledge, ..Policy::default() },
            statements: Vec::new(),
        }
    }

    fn standings(&self, truths: &[Truth]) -> Vec<Standing> {
        let standing = |(&defect, truth): (&DefectId, &Truth)| {
            let (outlook, holds) = match *truth {
                Truth::Elsewhere => return None,
                Truth::Say(release) => {
                    let coverage = Coverage {
                        verdict: Verdict::Covered,
                        rule: Rule::SameLineAtOrAfter,
                        release: Some(self.releases[release]),
                        version: Some(format!("1.{release}.0")),
                    };
                    (Outlook::Say(coverage), true)
                }
                Truth::Wait { waiting, holds } => (Outlook::Wait(WAITING[waiting], None), holds),
            };
            let (reports, regressions) = (vec![self.report], Vec::new());
            Some(Standing { defect, cluster: self.cluster, reports, regressions, outlook, holds })
        };
        self.defects.iter().zip(truths).filter_map(standing).collect()
    }

    fn due(&self, standings: &[Standing]) -> Vec<Due> {
        ledger::due(standings, &self.statements, &self.world, &self.policy)
    }

    /// Writes down what is due, as the reconciler does for somebody who can be reached.
    fn apply(&mut self, due: Vec<Due>) {
        for due in due {
            match due {
                Due::Tell { defect, cluster, stage, ordinal, coverage, reason, slot } => {
                    self.statements.retain(|statement| Some(statement.id) != slot);
                    let now = Timestamp::from_micros(0);
                    self.statements.push(Statement {
                        id: StatementId::new(),
                        tenant_id: self.tenant,
                        customer_id: self.customer,
                        defect_id: defect,
                        stage,
                        ordinal,
                        state: StatementState::Pending,
                        reason: reason.to_owned(),
                        cluster_id: cluster,
                        announcement_id: None,
                        delivery_id: None,
                        release_id: coverage.as_ref().and_then(|coverage| coverage.release),
                        version: String::new(),
                        verdict: coverage.map(|coverage| coverage.verdict),
                        rule: String::new(),
                        told_time: None,
                        withdraw_time: None,
                        create_time: now,
                        update_time: now,
                    });
                }
                Due::Drop { slot, .. } | Due::Forget { slot } => {
                    self.statements.retain(|statement| statement.id != slot);
                }
            }
        }
    }

    /// What becomes of each pending statement; a correction that was heard withdraws what it corrects.
    fn send(&mut self, fates: &[Fate]) {
        let mut withdrawn = Vec::new();
        let mut fates = fates.iter().cycle();
        for statement in self.statements.iter_mut().filter(|statement| statement.state == StatementState::Pending) {
            statement.state = match fates.next().expect("a cycle has no end") {
                Fate::Stays => continue,
                Fate::Told => StatementState::Told,
                Fate::Unconfirmed => StatementState::Unconfirmed,
                Fate::Suppressed => {
                    statement.reason = "bounced".to_owned();
                    StatementState::Suppressed
                }
            };
            if statement.stage == Stage::Correction && statement.state != StatementState::Suppressed {
                withdrawn.push((statement.defect_id, statement.ordinal));
            }
        }
        for (defect, ordinal) in withdrawn {
            for statement in &mut self.statements {
                if statement.stage == Stage::FixAvailable
                    && (statement.defect_id, statement.ordinal) == (defect, ordinal)
                {
                    statement.state = StatementState::Withdrawn;
                }
            }
        }
    }

    fn fixes_heard(&self, defect: DefectId) -> usize {
        let heard = |statement: &&Statement| {
            statement.defect_id == defect
                && statement.stage == Stage::FixAvailable
                && matches!(statement.state, StatementState::Told | StatementState::Unconfirmed)
        };
        self.statements.iter().filter(heard).count()
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let mut slots = BTreeSet::new();
        for statement in &self.statements {
            let slot = (statement.defect_id, statement.stage.as_str(), statement.ordinal);
            prop_assert!(slots.insert(slot), "law 9: slot {slot:?} is taken twice: {:?}", self.statements);
        }
        for &defect in &self.defects {
            prop_assert!(self.fixes_heard(defect) <= 1, "law 9: told again uncorrected: {:?}", self.statements);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(super::config(256))]

    #[test]
    fn law_9_the_ledger_comes_to_rest_and_tells_once_between_corrections(
        turns in turns(), acknowledge in any::<bool>(),
    ) {
        let mut scene = Scene::new(acknowledge);
        for turn in &turns {
            let standings = scene.standings(&turn.truths);
            for due in &scene.due(&standings) {
                if let Due::Tell { defect, stage: Stage::Correction, .. } = due {
                    let standing = standings.iter().find(|standing| standing.defect == *defect);
                    prop_assert!(!standing.is_some_and(|standing| standing.holds), "law 8: {due:?} takes back the truth");
                    prop_assert_eq!(scene.fixes_heard(*defect), 1, "law 8: {:?} corrects what nobody heard", due);
                }
                if let Due::Tell { defect, stage: Stage::FixAvailable, .. } = due {
                    prop_assert_eq!(scene.fixes_heard(*defect), 0, "law 9: {:?} tells again", due);
                }
            }
            scene.apply(scene.due(&standings));
            // What was taken back before it was sent is looked at once more.
            scene.apply(scene.due(&standings));
            let again = scene.due(&standings);
            prop_assert!(again.is_empty(), "running it again changes something: {again:?}");
            scene.check()?;
            scene.send(&turn.fates);
            scene.check()?;
        }
        // When everything that is sent arrives, it comes to rest, and what is believed is what is true.
        let standings = scene.standings(&turns[turns.len() - 1].truths);
        for _ in 0..4 {
            scene.apply(scene.due(&standings));
            scene.send(&[Fate::Told]);
        }
        let rest = scene.due(&standings);
        prop_assert!(rest.is_empty(), "it does not come to rest: {rest:?}");
        for &defect in &scene.defects {
            let standing = standings.iter().find(|standing| standing.defect == defect);
            let (told, holds) = (scene.fixes_heard(defect) == 1, standing.is_some_and(|standing| standing.holds));
            let sayable = standing.is_some_and(|standing| matches!(standing.outlook, Outlook::Say(_)));
            prop_assert!(!told || holds, "law 8: a falsehood stands: {:?}", scene.statements);
            prop_assert!(told || !sayable, "law 10: the truth was not told: {:?}", scene.statements);
            let links = BTreeSet::from([defect]);
            let (state, reason) = ledger::loop_of(scene.report, Some(&links), &standings, &scene.statements);
            prop_assert_eq!(state == LoopState::Told, told, "law 10: the loop says {:?} {}", state, reason);
            prop_assert!(!reason.is_empty());
        }
    }
}
