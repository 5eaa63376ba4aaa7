//! What customers heard, by what went over the wire, and whether it was right to say it at that moment.
//!
//! A message whose sender never learned of its arrival may have arrived. It counts as heard: it may be repeated under
//! its own key and to its own address, and if it is false it is to be corrected.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{ContactState, Facts};
use super::rules::{Verdict, View};

/// What the other side answers to one send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Delivered,
    Retry,
    Bounced,
    /// It may have arrived.
    Unknown,
    /// The sender dies before it learns the outcome.
    Crash,
    /// Taken, but only after something else has happened.
    Slow,
}

impl Answer {
    /// Whether the customer may have heard it.
    fn may_have_arrived(self) -> bool {
        matches!(self, Self::Delivered | Self::Unknown | Self::Crash | Self::Slow)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Fix,
    Correction,
}

/// One message as the other side saw it.
#[derive(Debug, Clone)]
pub(super) struct Sent {
    pub(super) delivery: String,
    pub(super) customer: String,
    pub(super) address: String,
    pub(super) kind: Kind,
    pub(super) version: String,
    pub(super) verdict: String,
    pub(super) answer: Answer,
}

/// A fix that a customer may have heard of.
#[derive(Debug, Clone)]
struct Telling {
    delivery: String,
    address: String,
    /// The message that took it back.
    correction: Option<(String, String)>,
}

/// What went over the wire.
#[derive(Debug, Default)]
pub(super) struct Heard {
    tellings: BTreeMap<(usize, usize), Vec<Telling>>,
    /// Deliveries whose arrival was confirmed: they are never sent again.
    confirmed: BTreeSet<String>,
}

macro_rules! law {
    ($holds:expr, $($what:tt)+) => {
        if !$holds {
            return Err(format!($($what)+));
        }
    };
}
pub(super) use law;

impl Heard {
    /// Whether a customer believes that a defect is fixed for them.
    pub(super) fn believes(&self, customer: usize, defect: usize) -> bool {
        self.last(customer, defect).is_some_and(|telling| telling.correction.is_none())
    }

    fn last(&self, customer: usize, defect: usize) -> Option<&Telling> {
        self.tellings.get(&(customer, defect)).and_then(|tellings| tellings.last())
    }

    /// Takes in one message, about these defects.
    pub(super) fn hear(&mut self, facts: &Facts, sent: &Sent, defects: &BTreeSet<usize>) -> Result<(), String> {
        let customer = facts.customers.iter().position(|customer| customer.id == sent.customer);
        let customer = customer.ok_or_else(|| format!("nobody is {}", sent.customer))?;
        law!(!defects.is_empty(), "law 9: {sent:?} stands for no statement");
        law!(!self.confirmed.contains(&sent.delivery), "law 9: {sent:?} was confirmed before and is sent again");
        let person = &facts.customers[customer];
        law!(!person.opted_out, "law 12: {sent:?} went out after customer {customer} had opted out");
        let contact = person.contacts.iter().find(|contact| contact.address == sent.address);
        law!(
            contact.is_some_and(|contact| contact.state == ContactState::Active),
            "law 12: {sent:?} went to a contact point that must not be used: {contact:?}"
        );
        for &defect in defects {
            match sent.kind {
                Kind::Fix => self.hear_fix(facts, customer, defect, sent)?,
                Kind::Correction => self.hear_correction(facts, customer, defect, sent)?,
            }
        }
        if matches!(sent.answer, Answer::Delivered) {
            self.confirmed.insert(sent.delivery.clone());
        }
        Ok(())
    }

    fn hear_fix(&mut self, facts: &Facts, customer: usize, defect: usize, sent: &Sent) -> Result<(), String> {
        law!(
            facts.is_sayable(customer, defect),
            "law 7: {sent:?} told customer {customer} of defect {defect}, which must not be said now"
        );
        let open = self.last(customer, defect).filter(|telling| telling.correction.is_none());
        if let Some(before) = open {
            law!(
                before.delivery == sent.delivery,
                "law 9: {sent:?} told customer {customer} of defect {defect} again, after {before:?}"
            );
            law!(
                before.address == sent.address,
                "law 9: {sent:?} repeats to another address what may have arrived: {before:?}"
            );
        }
        self.check_promise(facts, customer, defect, sent)?;
        let is_new = open.is_none();
        let tellings = self.tellings.entry((customer, defect)).or_default();
        match sent.answer {
            answer if answer.may_have_arrived() && is_new => tellings.push(Telling {
                delivery: sent.delivery.clone(),
                address: sent.address.clone(),
                correction: None,
            }),
            // Nobody lives there, so nothing arrived before either.
            Answer::Bounced if !is_new => drop(tellings.pop()),
            _ => {}
        }
        Ok(())
    }

    /// The version that a letter names must help with each defect that the letter is about.
    fn check_promise(&self, facts: &Facts, customer: usize, defect: usize, sent: &Sent) -> Result<(), String> {
        let helped =
            facts.reports_about(customer, defect).into_iter().filter_map(|report| match facts.view(report, defect) {
                View::Helps(verdict) => Some((facts.reports[report].product(), verdict)),
                _ => None,
            });
        let keeps_word = |(product, verdict): (usize, Verdict)| {
            let release = facts.release_of(product, &sent.version).map(|release| &facts.releases[release]);
            let has_fix = release.is_some_and(|release| facts.contains_fix(product, release.version, defect));
            match verdict {
                // Who must move is told so, and where to.
                Verdict::UpgradeAvailable => sent.verdict == "UPGRADE_AVAILABLE" && has_fix,
                _ => sent.verdict == "COVERED" || has_fix,
            }
        };
        let helped: Vec<(usize, Verdict)> = helped.collect();
        law!(
            helped.iter().copied().any(keeps_word),
            "law 7: {sent:?} promises customer {customer} a version without the fix of defect {defect}: {helped:?}"
        );
        Ok(())
    }

    fn hear_correction(&mut self, facts: &Facts, customer: usize, defect: usize, sent: &Sent) -> Result<(), String> {
        law!(
            !facts.holds(customer, defect),
            "law 8: {sent:?} took back from customer {customer} that defect {defect} is fixed, which is true"
        );
        let last = self.tellings.entry((customer, defect)).or_default().last_mut();
        let Some(last) = last else {
            return Err(format!("law 8: {sent:?} corrects what customer {customer} never heard of defect {defect}"));
        };
        let key = (sent.delivery.clone(), sent.address.clone());
        if let Some(before) = &last.correction {
            law!(*before == key, "law 9: {sent:?} corrects for customer {customer} what {before:?} corrected");
        }
        match sent.answer {
            answer if answer.may_have_arrived() => last.correction = Some(key),
            Answer::Bounced => last.correction = None,
            _ => {}
        }
        Ok(())
    }
}
