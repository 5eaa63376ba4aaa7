//! Random histories. Entities are named by numbers that are taken modulo what exists, so that a shortened history is
//! still one.

use proptest::collection::vec;
use proptest::prelude::*;

use super::heard::Answer;

/// Something that happens in the world.
#[derive(Debug, Clone)]
pub(super) enum Action {
    Submit {
        customer: u8,
        text: u8,
        version: u8,
        ring: u8,
    },
    Move {
        report: u8,
        to: Option<u8>,
    },
    Merge {
        from: u8,
        into: u8,
    },
    Split {
        cluster: u8,
        mask: u8,
    },
    /// Counted back from the last.
    Undo {
        operation: u8,
    },
    Link {
        cluster: u8,
        defect: u8,
    },
    Unlink {
        cluster: u8,
        defect: u8,
    },
    Track {
        defect: u8,
        state: u8,
    },
    Release {
        product: u8,
        version: u8,
        planned: bool,
        fixes: u8,
    },
    Yank {
        release: u8,
    },
    Deploy {
        release: u8,
        ring: u8,
        percent: u8,
    },
    RollBack {
        deployment: u8,
    },
    Upgrade {
        customer: u8,
        product: u8,
        version: u8,
        ring: u8,
    },
    OptOut {
        customer: u8,
    },
    OptIn {
        customer: u8,
    },
    OptOutContact {
        customer: u8,
        contact: u8,
    },
    OptInContact {
        customer: u8,
        contact: u8,
    },
    Wait {
        minutes: u16,
    },
}

/// What the service gets round to afterwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Nothing,
    /// One page of customers of each cluster that is marked is planned for.
    Page,
    /// What should be said is planned, and nothing is sent.
    Plan,
    /// What was planned before is sent before anybody looks at what has changed; then everything.
    SendFirst,
    /// Everything, until nothing is left to do now.
    All,
}

/// One step of a history.
#[derive(Debug, Clone)]
pub(super) struct Step {
    pub(super) action: Action,
    /// How the other side answers to the next messages; then it takes everything.
    pub(super) answers: Vec<Answer>,
    pub(super) pass: Pass,
}

/// A history, and the tenant's policy on clusters with several defects.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) any_defect: bool,
    pub(super) steps: Vec<Step>,
}

/// Few defects, the first most often: links and fixes meet.
fn defect() -> impl Strategy<Value = u8> {
    prop_oneof![6 => Just(0_u8), 3 => Just(1_u8), 1 => Just(2_u8), 1 => Just(3_u8)]
}

/// The defects that a release fixes, one bit each.
fn fixes() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(0b0001_u8), 3 => Just(0b0011_u8), 2 => Just(0b0010_u8), 1 => 0..16_u8]
}

/// A history is mostly about one product: reports and fixes meet.
fn product(focus: u8) -> impl Strategy<Value = u8> {
    prop_oneof![6 => Just(focus), 1 => 0..3_u8]
}

/// The texts of a product, one of them most often: reports meet.
fn text(focus: u8) -> impl Strategy<Value = u8> {
    let (often, seldom) = [(0, 1), (2, 3), (4, 4)][usize::from(focus)];
    prop_oneof![5 => Just(often), 2 => Just(seldom), 1 => 0..5_u8]
}

/// What reporters run: old versions more often than new ones.
fn reported_version() -> impl Strategy<Value = u8> {
    prop_oneof![4 => 0..2_u8, 2 => 2..4_u8, 1 => 4..8_u8]
}

fn action(focus: u8) -> impl Strategy<Value = Action> {
    let byte = || 0..12_u8;
    let customer = || 0..6_u8;
    let submit = (customer(), text(focus), reported_version(), 0..3_u8)
        .prop_map(|(customer, text, version, ring)| Action::Submit { customer, text, version, ring });
    let release = (product(focus), byte(), proptest::bool::weighted(0.1), fixes())
        .prop_map(|(product, version, planned, fixes)| Action::Release { product, version, planned, fixes });
    let deploy = (byte(), 0..3_u8, prop_oneof![1 => Just(0_u8), 1 => Just(10), 4 => Just(100)])
        .prop_map(|(release, ring, percent)| Action::Deploy { release, ring, percent });
    let upgrade = (customer(), product(focus), byte(), 0..3_u8)
        .prop_map(|(customer, product, version, ring)| Action::Upgrade { customer, product, version, ring });
    prop_oneof![
        10 => submit,
        3 => (byte(), proptest::option::of(byte())).prop_map(|(report, to)| Action::Move { report, to }),
        3 => (byte(), byte()).prop_map(|(from, into)| Action::Merge { from, into }),
        3 => (byte(), any::<u8>()).prop_map(|(cluster, mask)| Action::Split { cluster, mask }),
        5 => byte().prop_map(|operation| Action::Undo { operation }),
        7 => (byte(), defect()).prop_map(|(cluster, defect)| Action::Link { cluster, defect }),
        3 => (byte(), defect()).prop_map(|(cluster, defect)| Action::Unlink { cluster, defect }),
        3 => (defect(), 0..4_u8).prop_map(|(defect, state)| Action::Track { defect, state }),
        14 => release,
        4 => byte().prop_map(|release| Action::Yank { release }),
        8 => deploy,
        4 => byte().prop_map(|deployment| Action::RollBack { deployment }),
        5 => upgrade,
        2 => customer().prop_map(|customer| Action::OptOut { customer }),
        3 => customer().prop_map(|customer| Action::OptIn { customer }),
        1 => (customer(), 0..2_u8).prop_map(|(customer, contact)| Action::OptOutContact { customer, contact }),
        2 => (customer(), 0..2_u8).prop_map(|(customer, contact)| Action::OptInContact { customer, contact }),
        4 => prop_oneof![Just(1), Just(3), Just(30), Just(2_000)].prop_map(|minutes| Action::Wait { minutes }),
    ]
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        2 => Just(Answer::Delivered),
        3 => Just(Answer::Retry),
        2 => Just(Answer::Bounced),
        3 => Just(Answer::Unknown),
        3 => Just(Answer::Crash),
        2 => Just(Answer::Slow),
    ]
}

/// An answer after which the message may have arrived, mostly.
fn doubtful() -> impl Strategy<Value = Answer> {
    prop_oneof![3 => Just(Answer::Unknown), 2 => Just(Answer::Crash), 1 => answer()]
}

fn step(focus: u8) -> impl Strategy<Value = Step> {
    let answers = prop_oneof![2 => Just(Vec::new()), 1 => vec(answer(), 1..3)];
    let pass = prop_oneof![
        7 => Just(Pass::All),
        2 => Just(Pass::Plan),
        1 => Just(Pass::Page),
        1 => Just(Pass::Nothing),
        2 => Just(Pass::SendFirst),
    ];
    (action(focus), answers, pass).prop_map(|(action, answers, pass)| Step { action, answers, pass })
}

/// Steps that belong together: what seldom happens by chance and must go right too.
fn steps_of(focus: u8) -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![
        10 => step(focus).prop_map(|step| vec![step]),
        4 => told(focus).prop_flat_map(|told| (Just(told), 0..4_u8)).prop_map(|(told, turn)| told.turn(turn)),
        1 => (defect(), 0..2_u8).prop_map(|(defect, operation)| shared_link(defect, operation)),
    ]
}

fn quiet(action: Action) -> Step {
    Step { action, answers: Vec::new(), pass: Pass::All }
}

/// A customer is about to be told of a fix.
#[derive(Debug, Clone)]
struct Told {
    report: Action,
    another: Action,
    customer: u8,
    defect: u8,
    /// One letter may be about two.
    second: Option<u8>,
    release: Action,
    change: Action,
    answers: Vec<Answer>,
    state: u8,
}

fn told(focus: u8) -> impl Strategy<Value = Told> {
    // Most have one way to be reached; those with two can be told over the wrong one.
    let customer = prop_oneof![2 => Just(1_u8), 2 => Just(4), 1 => 0..6_u8];
    let defects = (defect(), proptest::option::of(0..3_u8));
    let told = (customer, text(focus), defects, 1..8_u8, vec(doubtful(), 1..4), 1..4_u8);
    told.prop_flat_map(move |(customer, text, (defect, second), version, answers, state)| {
        let change = prop_oneof![
            3 => Just(Action::Yank { release: 0 }),
            2 => (0..2_u8).prop_map(move |cluster| Action::Unlink { cluster, defect }),
            2 => Just(Action::OptOut { customer }),
            4 => Just(Action::OptOutContact { customer, contact: 0 }),
            1 => (0..12_u8).prop_map(|report| Action::Move { report, to: None }),
            1 => any::<u8>().prop_map(|mask| Action::Split { cluster: 0, mask }),
        ];
        change.prop_map(move |change| Told {
            report: Action::Submit { customer, text, version: 0, ring: 0 },
            another: Action::Submit { customer: customer + 1, text, version: 0, ring: 0 },
            customer,
            defect,
            second,
            release: Action::Release {
                product: focus,
                version,
                planned: false,
                fixes: 1 << defect | second.map_or(0, |second| 1 << second),
            },
            change,
            answers: answers.clone(),
            state,
        })
    })
}

impl Told {
    /// How it comes otherwise.
    fn turn(self, turn: u8) -> Vec<Step> {
        let Self { report, another, customer, defect, second, release, change, answers, state } = self;
        let mut steps = vec![quiet(report)];
        for defect in [defect].into_iter().chain(second) {
            steps.extend([0, 1].map(|cluster| quiet(Action::Link { cluster, defect })));
        }
        let release = quiet(release);
        match turn {
            // It is planned, and the world changes before it is sent.
            0 => steps.extend([
                Step { pass: Pass::Plan, ..release },
                Step { action: change, answers: Vec::new(), pass: Pass::SendFirst },
            ]),
            // Nobody knows whether it has arrived, and the world changes before it is tried again.
            1 => steps.extend([
                Step { answers, ..release },
                quiet(change),
                quiet(Action::Wait { minutes: 3 }),
                quiet(Action::Wait { minutes: 30 }),
            ]),
            // The tracker says something before there is a release; it is told, and the defect is open again.
            2 => steps.extend([
                quiet(Action::Track { defect, state }),
                release,
                quiet(Action::Track { defect, state }),
                quiet(Action::Track { defect, state: 0 }),
            ]),
            // It was told, somebody else reports the same, and it is taken back and true once more.
            _ => steps.extend([
                release,
                Step { action: another, answers: Vec::new(), pass: Pass::Nothing },
                quiet(change),
                quiet(Action::OptIn { customer }),
            ]),
        }
        steps
    }
}

/// Two merges bring the same link, and one of them is taken back.
fn shared_link(defect: u8, operation: u8) -> Vec<Step> {
    let reports = [0, 2, 4].map(|text| Action::Submit { customer: text, text, version: 0, ring: 0 });
    let links = [0, 1].map(|cluster| Action::Link { cluster, defect });
    let merges = [Action::Merge { from: 0, into: 2 }, Action::Merge { from: 0, into: 1 }];
    reports.into_iter().chain(links).chain(merges).chain([Action::Undo { operation }]).map(quiet).collect()
}

/// A beginning in which some have reported, something is linked and something is released, so that not every history
/// has to find that anew.
fn beginning(focus: u8) -> impl Strategy<Value = Vec<Step>> {
    let reports = vec((0..6_u8, text(focus), 0..3_u8), 2..6);
    let links = vec((0..3_u8, defect()), 1..4);
    (reports, links, proptest::option::of((1..8_u8, fixes()))).prop_map(move |(reports, links, release)| {
        let submit = |(customer, text, version)| quiet(Action::Submit { customer, text, version, ring: 0 });
        let link = |(cluster, defect)| quiet(Action::Link { cluster, defect });
        let release =
            release.map(|(version, fixes)| quiet(Action::Release { product: focus, version, planned: false, fixes }));
        reports.into_iter().map(submit).chain(links.into_iter().map(link)).chain(release).collect()
    })
}

pub(super) fn history() -> impl Strategy<Value = History> {
    let steps = (0..3_u8).prop_flat_map(|focus| (beginning(focus), vec(steps_of(focus), 1..12)));
    (any::<bool>(), steps).prop_map(|(any_defect, (mut steps, more))| {
        steps.extend(more.into_iter().flatten());
        History { any_defect, steps }
    })
}
