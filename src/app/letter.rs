//! From what the ledger knows to what a customer reads: gathers the facts of one letter. The words are
//! [`crate::channel::template`]'s.

use crate::channel::template::{Letter, LetterReport, LetterStage, LetterVerdict};
use crate::domain::announcement::Stage;
use crate::domain::coverage::Verdict;
use crate::domain::customer::Customer;
use crate::domain::id::ClusterId;
use crate::domain::ledger::Statement;
use crate::store::statement::ReportBrief;

/// What a letter is about, beyond its customer and reports.
pub(crate) struct Subject<'a> {
    /// What is said.
    pub(crate) stage: Stage,
    /// About which cluster.
    pub(crate) cluster: ClusterId,
    /// What coverage said.
    pub(crate) verdict: Option<Verdict>,
    /// The version to name; empty if none.
    pub(crate) version: &'a str,
    /// What helps meanwhile; empty if nothing does.
    pub(crate) workaround: &'a str,
    /// The name of the product.
    pub(crate) product_name: Option<String>,
    /// Where one click ends such letters.
    pub(crate) unsubscribe_url: Option<String>,
}

/// The facts of one letter to one customer.
pub(crate) fn letter(
    subject: Subject<'_>,
    customer: &Customer,
    reports: &[ReportBrief],
    statements: &[Statement],
) -> Letter {
    let about = |report: &&ReportBrief| report.cluster_id == subject.cluster;
    let mut own: Vec<LetterReport> = reports.iter().filter(about).map(letter_report).collect();
    if own.is_empty() {
        // The reports have moved on since the statement was made; it is still this customer's own words we answer.
        own = reports.iter().map(letter_report).collect();
    }
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    let correction = (subject.stage == Stage::Correction).then(|| corrected(statements, &subject)).flatten();
    let withdrawn = statements
        .iter()
        .filter(|statement| statement.stage == Stage::FixAvailable && statement.withdraw_time.is_some())
        .max_by_key(|statement| statement.withdraw_time)
        .and_then(|statement| text(&statement.version));
    Letter {
        stage: match subject.stage {
            Stage::Acknowledged => LetterStage::Acknowledged,
            Stage::FixAvailable => LetterStage::FixAvailable,
            Stage::Correction => LetterStage::Correction,
        },
        customer_name: text(&customer.display_name),
        product_name: subject.product_name,
        reports: own,
        version: text(subject.version),
        previous_version: match subject.stage {
            Stage::Correction => correction.as_ref().and_then(|(version, _)| text(version)),
            Stage::FixAvailable => withdrawn.filter(|version| version != subject.version),
            Stage::Acknowledged => None,
        },
        verdict: match subject.verdict {
            Some(Verdict::Covered) => LetterVerdict::Covered,
            Some(Verdict::UpgradeAvailable) => LetterVerdict::UpgradeAvailable,
            Some(Verdict::NotYet | Verdict::NotApplicable | Verdict::Unknown) | None => LetterVerdict::Unknown,
        },
        workaround: text(subject.workaround),
        reason: correction.map(|(_, reason)| reason_in_words(&reason).to_owned()),
        unsubscribe_url: subject.unsubscribe_url,
    }
}

fn letter_report(report: &ReportBrief) -> LetterReport {
    LetterReport {
        source: report.source.clone(),
        external_id: report.external_id.clone(),
        title: report.title.clone(),
        date: report.create_time,
    }
}

/// The version that was named wrongly, and why it no longer counts.
fn corrected(statements: &[Statement], subject: &Subject<'_>) -> Option<(String, String)> {
    let correction = statements
        .iter()
        .filter(|statement| statement.stage == Stage::Correction && statement.cluster_id == subject.cluster)
        .max_by_key(|statement| statement.create_time)?;
    let said = statements.iter().find(|statement| {
        statement.stage == Stage::FixAvailable
            && statement.defect_id == correction.defect_id
            && statement.ordinal == correction.ordinal
    })?;
    Some((said.version.clone(), correction.reason.clone()))
}

fn reason_in_words(reason: &str) -> &'static str {
    match reason {
        "rolled_back" => "The rollout was taken back.",
        "not_in_what_you_run" => "What you run does not have the fix yet.",
        "not_your_problem" => "A closer look showed that it is not the problem you reported.",
        _ => "The release was withdrawn, or it turned out not to solve the problem.",
    }
}
