//! Whether what customers heard was true, once, and everything they had to hear.
//!
//! Works on what arrived and on the story's own [`Truth`], as it was while the messages were under way. It knows nothing
//! of the server's ledger.

use std::collections::{BTreeMap, BTreeSet};

use super::inbox::{Received, Said};
use super::truth::{Case, Hearing, Truth};

/// The figures at the end.
#[derive(Debug, Default, Clone)]
pub(super) struct Tally {
    /// Reports that were submitted.
    pub(super) reports: usize,
    /// Clusters they are in.
    pub(super) clusters: usize,
    /// Reports whose customer was told of a fix, which still holds.
    pub(super) told: usize,
    /// Reports whose loop is open, with the reason on record.
    pub(super) waiting: usize,
    /// Reports whose loop was closed for a recorded reason, without a word.
    pub(super) suppressed: usize,
    /// Corrections that arrived.
    pub(super) corrected: usize,
    /// Fixes that somebody heard of again while the first word still stood.
    pub(super) told_twice: usize,
    /// Statements that were not true for whoever got them.
    pub(super) told_falsely: usize,
    /// Loops that are open and nobody knows why.
    pub(super) open_loops_without_reason: usize,
    /// Messages that arrived.
    pub(super) messages: usize,
    /// Cases that should have been told or corrected, and were not.
    pub(super) forgotten: usize,
    /// What is wrong, in words.
    pub(super) problems: Vec<String>,
}

/// Judges step by step.
#[derive(Debug, Default)]
pub(super) struct Judge {
    /// What somebody was told, which still stands.
    standing: BTreeSet<Case>,
    corrections: usize,
    messages: usize,
    told_twice: usize,
    told_falsely: usize,
    /// What was wrong, in words.
    faults: Vec<String>,
}

impl Judge {
    /// Takes note of messages that arrived while this was true.
    pub(super) fn hear(&mut self, truth: &Truth, messages: &[Received]) {
        for message in messages {
            self.messages += 1;
            match self.cases(truth, message) {
                Err(fault) => self.falsely(message, &fault),
                Ok(cases) => {
                    for case in cases {
                        self.judge(truth, message, case);
                    }
                }
            }
            self.corrections += usize::from(message.said == Said::Correction);
        }
    }

    fn falsely(&mut self, message: &Received, fault: &str) {
        self.told_falsely += 1;
        let customer = message.customer.as_deref().unwrap_or("nobody we know");
        self.faults.push(format!("{customer} got {:?}: {fault}", message.subject));
    }

    /// What a message is about.
    fn cases(&self, truth: &Truth, message: &Received) -> Result<BTreeSet<Case>, String> {
        let customer = message.customer.as_ref().ok_or("the address is nobody's")?;
        if message.references.is_empty() {
            return Err("it names no report".to_owned());
        }
        let mut cases = BTreeSet::new();
        for reference in &message.references {
            match truth.report(reference) {
                None => return Err(format!("it names {reference}, which nobody submitted")),
                Some((owner, _)) if owner != customer => return Err(format!("it names {reference} of {owner}")),
                Some((_, None)) => return Err(format!("it names {reference}, which is about no known problem")),
                Some((_, Some(problem))) => cases.insert((customer.clone(), *problem)),
            };
        }
        Ok(cases)
    }

    fn judge(&mut self, truth: &Truth, message: &Received, case: Case) {
        let problem = case.1;
        match message.said {
            Said::Other => self.falsely(message, "it is neither a fix nor a correction"),
            Said::Correction if !self.standing.remove(&case) => {
                self.falsely(message, &format!("they had not been told about {problem}"));
            }
            Said::Correction if matches!(truth.hearing(&case), Hearing::Must(_)) => {
                self.falsely(message, &format!("{problem} is fixed for them"));
            }
            Said::Correction => {}
            Said::Fix => {
                match truth.hearing(&case) {
                    _ if !truth.can_hear(&case.0) => self.falsely(message, "they want to hear nothing"),
                    Hearing::MustNot => self.falsely(message, &format!("{problem} is not fixed for them")),
                    Hearing::Must(releases) | Hearing::May(releases) => {
                        if !releases.iter().any(|release| message.text.contains(release)) {
                            self.falsely(message, &format!("it does not name the release that helps: {releases:?}"));
                        }
                    }
                }
                if !self.standing.insert(case) {
                    self.told_twice += 1;
                    self.faults.push(format!("{:?} was told twice about {problem}", message.customer));
                }
            }
        }
    }

    /// Who should have heard something by now, and has not; with what.
    pub(super) fn forgotten(&self, truth: &Truth) -> BTreeMap<Case, &'static str> {
        let cases: BTreeSet<Case> = truth.cases_of_reports().collect();
        let fixes = cases.into_iter().filter(|case| {
            truth.can_hear(&case.0) && !self.standing.contains(case) && matches!(truth.hearing(case), Hearing::Must(_))
        });
        let corrections = self.standing.iter().filter(|case| truth.hearing(case) == Hearing::MustNot).cloned();
        fixes.map(|case| (case, "a fix")).chain(corrections.map(|case| (case, "a correction"))).collect()
    }

    /// Who was told about one of these problems, and it still stands.
    pub(super) fn standing(&self, problems: &[&str]) -> BTreeSet<Case> {
        self.standing.iter().filter(|(_, problem)| problems.contains(problem)).cloned().collect()
    }

    /// The figures, given the server's word on the loops: reports by state and reason.
    pub(super) fn tally(self, truth: &Truth, clusters: usize, loops: &BTreeMap<(String, String), usize>) -> Tally {
        let of = |state: &str| loops.iter().filter(|((known, _), _)| known == state).map(|(_, count)| count).sum();
        let told = truth.cases_of_reports().filter(|case| self.standing.contains(case)).count();
        let forgotten = self.forgotten(truth);
        let mut tally = Tally {
            reports: loops.values().sum(),
            clusters,
            told,
            waiting: of("OPEN"),
            suppressed: of("CLOSED"),
            corrected: self.corrections,
            told_twice: self.told_twice,
            told_falsely: self.told_falsely,
            open_loops_without_reason: loops.get(&("OPEN".to_owned(), String::new())).copied().unwrap_or_default(),
            messages: self.messages,
            forgotten: forgotten.len(),
            problems: self.faults,
        };
        for ((customer, problem), what) in forgotten {
            tally.problems.push(format!("{customer} did not get {what} about {problem}"));
        }
        let told_loops: usize = of("TOLD");
        if told_loops != tally.told {
            tally.problems.push(format!(
                "the server says that {told_loops} reports are answered, but {} are by what arrived",
                tally.told
            ));
        }
        if tally.told + tally.waiting + tally.suppressed != tally.reports {
            tally.problems.push("told, waiting and suppressed reports are not all reports".to_owned());
        }
        if tally.open_loops_without_reason > 0 {
            tally.problems.push("there are open loops without a reason".to_owned());
        }
        tally
    }
}

#[cfg(test)]
mod tests {
    use super::super::corpus::{self, ContactKind, DemoReport};
    use super::super::truth::reference_of;
    use super::*;

    const PROBLEM: &str = "siltbox-external-drive";

    fn a_report() -> DemoReport {
        let mut report = corpus::reports()
            .into_iter()
            .find(|report| report.problem == Some(PROBLEM) && report.contacts.len() == 1)
            .expect("it has reports");
        report.version = Some("5.1.0");
        report.contacts = vec![(ContactKind::Email, "ada@example.org".to_owned())];
        report
    }

    fn a_message(report: &DemoReport, said: Said) -> Received {
        Received {
            kind: ContactKind::Email,
            customer: Some(report.customer_key.clone()),
            said,
            subject: "Fixed in Siltbox Backup 5.2.2".to_owned(),
            text: "5.2.2".to_owned(),
            references: vec![reference_of(report)],
        }
    }

    fn scene() -> (DemoReport, Truth) {
        let report = a_report();
        let mut truth = Truth::default();
        truth.reported(&report);
        (report, truth)
    }

    #[test]
    fn a_fix_that_is_told_once_and_holds_is_well_told() {
        let (report, mut truth) = scene();
        truth.released("siltbox", "5.2.2", &[PROBLEM]);
        let mut judge = Judge::default();
        assert_eq!(judge.forgotten(&truth).len(), 1);
        judge.hear(&truth, &[a_message(&report, Said::Fix)]);
        assert!(judge.forgotten(&truth).is_empty());
        let loops = BTreeMap::from([(("TOLD".to_owned(), "told".to_owned()), 1)]);
        let tally = judge.tally(&truth, 1, &loops);
        assert_eq!((tally.told, tally.told_twice, tally.told_falsely), (1, 0, 0));
        assert!(tally.problems.is_empty(), "{:?}", tally.problems);
    }

    #[test]
    fn a_fix_is_false_before_it_ships_and_twice_when_repeated() {
        let (report, mut truth) = scene();
        let mut judge = Judge::default();
        judge.hear(&truth, &[a_message(&report, Said::Fix)]);
        assert_eq!((judge.told_falsely, judge.told_twice), (1, 0));
        truth.released("siltbox", "5.2.2", &[PROBLEM]);
        judge.hear(&truth, &[a_message(&report, Said::Fix)]);
        assert_eq!((judge.told_falsely, judge.told_twice), (1, 1));
    }

    #[test]
    fn a_withdrawn_fix_has_to_be_corrected_and_may_be_told_again() {
        let (report, mut truth) = scene();
        truth.released("siltbox", "5.2.2", &[PROBLEM]);
        let mut judge = Judge::default();
        judge.hear(&truth, &[a_message(&report, Said::Fix)]);
        truth.yanked("siltbox", "5.2.2");
        assert_eq!(judge.forgotten(&truth).into_values().collect::<Vec<_>>(), ["a correction"]);
        judge.hear(&truth, &[a_message(&report, Said::Correction)]);
        truth.released("siltbox", "5.2.3", &[PROBLEM]);
        let again = Received { text: "5.2.3".to_owned(), ..a_message(&report, Said::Fix) };
        judge.hear(&truth, &[again]);
        assert_eq!((judge.told_falsely, judge.told_twice, judge.corrections), (0, 0, 1));
        assert!(judge.forgotten(&truth).is_empty());
    }

    #[test]
    fn words_about_somebody_elses_report_or_to_the_unwilling_are_false() {
        let (report, mut truth) = scene();
        truth.released("siltbox", "5.2.2", &[PROBLEM]);
        truth.opted_out(&report.customer_key);
        let mut judge = Judge::default();
        let elsewhere = Received { customer: Some("somebody.else".to_owned()), ..a_message(&report, Said::Fix) };
        judge.hear(&truth, &[a_message(&report, Said::Fix), elsewhere]);
        assert_eq!(judge.told_falsely, 2);
    }
}
