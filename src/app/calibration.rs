//! What people taught the matcher of one tenant: how sure it has to be before it attaches or asks.
//!
//! It is derived anew from what people did, as everything is here: an answer that is taken back has taught nothing.
//! Two things teach. Suggestions that were confirmed or rejected say how scores are to be read. And of the reports that
//! the matcher attached, a person may have taken some out: then the attached are read as answers too, those taken out as
//! a no and the others as a yes. But most of these others nobody has looked at, so that they can only make the matcher
//! more careful, never bolder. Where reports are stays as it is: what is learned decides about new ones only.

use std::collections::{BTreeSet, HashMap};

use crate::domain::id::ClusterId;
use crate::domain::policy::Policy;
use crate::domain::report::Origin;
use crate::domain::suggestion::SuggestionState;
use crate::domain::time::Timestamp;
use crate::matching::{self, Answer, Calibration};
use crate::store::{self, Reader};

use super::Error;

/// The last answers count, so that a stream that changes is followed.
const ANSWERS: u64 = 1_000;
/// Of so many of the last reports, the attached count.
const RECENT: u64 = 2_000;

/// What was learned, and from how much.
#[derive(Debug, Clone)]
pub struct Learned {
    /// From which scores on the matcher attaches and asks.
    pub thresholds: matching::Policy,
    /// How scores are read, by the suggestions that were answered.
    pub calibration: Calibration,
    /// Suggestions that were confirmed.
    pub confirmed: u64,
    /// Suggestions that were rejected.
    pub rejected: u64,
    /// Reports that the matcher attached by likeness.
    pub attached: u64,
    /// Of these, those that a person took out again.
    pub taken_out: u64,
    /// Nothing before counts.
    pub since: Option<Timestamp>,
}

/// Learns from what the database says now.
pub(crate) async fn learned(db: &Reader<'_>, policy: &Policy) -> Result<Learned, Error> {
    let since = policy.answers_since.unwrap_or_default();
    let answered = store::suggestion::answers(db, since, ANSWERS).await?;
    let mut answers: Vec<Answer> = answered
        .into_iter()
        .map(|(score, state)| Answer { score, same: state == SuggestionState::Confirmed })
        .collect();
    let attached = attached(db, since).await?;
    let count = |answers: &[Answer], same| answers.iter().filter(|answer| answer.same == same).count() as u64;
    let (confirmed, rejected) = (count(&answers, true), count(&answers, false));
    let taken_out = count(&attached, false);

    let wanted = matching::Policy::for_precision(policy.attach_precision);
    let calibration = Calibration::fit(&answers);
    let mut thresholds = wanted.calibrated(&calibration);
    let attached_count = attached.len() as u64;
    if taken_out > 0 {
        answers.extend(attached);
        let careful = wanted.calibrated(&Calibration::fit(&answers));
        thresholds.attach = thresholds.attach.max(careful.attach);
    }
    let since = policy.answers_since;
    Ok(Learned { thresholds, calibration, confirmed, rejected, attached: attached_count, taken_out, since })
}

/// The reports that were attached by likeness, and whether they still are where they were put. A cluster that was merged
/// lives on in the other.
async fn attached(db: &Reader<'_>, since: Timestamp) -> Result<Vec<Answer>, Error> {
    let attached = store::report::attached_lately(db, since, RECENT).await?;
    let moved: BTreeSet<ClusterId> =
        attached.iter().filter(|attached| attached.origin == Origin::Human).map(|attached| attached.put_into).collect();
    let roots: HashMap<ClusterId, ClusterId> = store::cluster::roots(db, moved).await?;
    let answers = attached.into_iter().map(|attached| {
        let root = roots.get(&attached.put_into).copied().unwrap_or(attached.put_into);
        Answer { score: attached.score, same: attached.origin == Origin::Matched || root == attached.is_in }
    });
    Ok(answers.collect())
}
