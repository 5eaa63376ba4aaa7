//! What a report says about the fixes of its defect: it may come from somebody who had them (law 11).
//!
//! All fixes are judged together, for one judged alone covers too much: 2.3.7 alone would speak for 2.4.0, which
//! 2.4.1 fixes again. Who had a fix when reporting is not helped by it, nor by any below what they ran, wherever they
//! move later; those above are new attempts. Only an attempt in their own line is something to wait for.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::{InstallationFacts, Judge, ProductFacts, ReleaseFacts, Verdict, known};
use crate::domain::id::ReleaseId;
use crate::domain::time::Timestamp;
use crate::domain::version::VersionScheme;

/// What a report says about the fixes of its defect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reported {
    /// Whether what the customer ran had the fix, and their line has no later one: evidence that it does not hold.
    pub regression: bool,
    /// The fixes that can help this customer: all, or those after what they ran if that had the fix.
    pub helping: BTreeSet<ReleaseId>,
}

/// Looks at what the customer ran when reporting at `as_of`.
///
/// A version speaks for itself whatever the time; deployments count only if they had reached all of the place by
/// `as_of`.
pub fn reported(
    product: &ProductFacts,
    fixes: &BTreeSet<ReleaseId>,
    installation: &InstallationFacts,
    as_of: Timestamp,
) -> Reported {
    let then = match product.scheme {
        VersionScheme::Semver => Cow::Borrowed(product),
        VersionScheme::Continuous => Cow::Owned(as_deployed(product, as_of)),
    };
    let judge = Judge::new(&then, fixes);
    if judge.judge(installation).verdict != Verdict::Covered {
        return Reported { regression: false, helping: fixes.clone() };
    }
    let (helping, own_line) = match then.scheme {
        VersionScheme::Semver => judge.above(installation),
        VersionScheme::Continuous => {
            let later = later_in_line(&then, &judge, installation);
            (later.clone(), later)
        }
    };
    Reported {
        regression: !own_line.into_iter().any(|fix| may_run(fix, installation)),
        helping: helping.into_iter().map(|fix| fix.id).collect(),
    }
}

/// A product with those deployments only that had reached all of their place.
fn as_deployed(product: &ProductFacts, as_of: Timestamp) -> ProductFacts {
    let mut then = product.clone();
    for release in &mut then.releases {
        release.deployments.retain(|deployment| {
            !deployment.rolled_back && deployment.full_time.is_some_and(|full_time| full_time <= as_of)
        });
    }
    then
}

/// The fixes that a covered installation would miss if they were the only ones of their line.
fn later_in_line<'a>(
    product: &ProductFacts,
    judge: &Judge<'a>,
    installation: &InstallationFacts,
) -> Vec<&'a ReleaseFacts> {
    let is_missed = |fix: &&super::Known<'a>| {
        let others = judge.recorded().filter(|other| other.line != fix.line).map(|other| other.facts.id);
        let without_earlier = others.chain([fix.facts.id]).collect();
        super::judge(product, &without_earlier, installation).verdict != Verdict::Covered
    };
    judge.recorded().filter(is_missed).map(|fix| fix.facts).collect()
}

/// Whether a release is for a platform that an installation may have.
fn may_run(release: &ReleaseFacts, installation: &InstallationFacts) -> bool {
    known(installation.platform.as_deref())
        .is_none_or(|platform| release.platforms.is_empty() || release.platforms.contains(&platform.to_lowercase()))
}
