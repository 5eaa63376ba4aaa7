//! Coverage on the wire, where more than one service says it.

use crate::domain::coverage::{Coverage, InstallationFacts, PRODUCTION, Verdict};
use crate::domain::violation::Violations;

use super::{convert, proto};

/// A verdict for the wire.
pub(crate) fn encode_verdict(verdict: Verdict) -> proto::coverage::Verdict {
    match verdict {
        Verdict::Covered => proto::coverage::Verdict::Covered,
        Verdict::UpgradeAvailable => proto::coverage::Verdict::UpgradeAvailable,
        Verdict::NotYet => proto::coverage::Verdict::NotYet,
        Verdict::NotApplicable => proto::coverage::Verdict::NotApplicable,
        Verdict::Unknown => proto::coverage::Verdict::Unknown,
    }
}

/// A verdict with its rule, and what was judged if anything is known of it. `product` is its id.
pub(crate) fn encode_coverage(
    coverage: &Coverage,
    installation: Option<&InstallationFacts>,
    product: &str,
) -> proto::Coverage {
    proto::Coverage {
        verdict: encode_verdict(coverage.verdict).into(),
        rule: coverage.rule.as_str().to_owned(),
        release_id: coverage.release.map(|id| id.to_string()).unwrap_or_default(),
        version: coverage.version.clone().unwrap_or_default(),
        installation: installation.map(|facts| encode_installation(facts, product)),
    }
}

/// What a customer runs, for the wire. `product` is its id.
pub(crate) fn encode_installation(facts: &InstallationFacts, product: &str) -> proto::InstallationFacts {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    proto::InstallationFacts {
        product: product.to_owned(),
        version: text(&facts.version),
        platform: text(&facts.platform),
        environment: facts.environment.clone(),
        region: text(&facts.region),
        ring: text(&facts.ring),
    }
}

/// What a caller says is run, without its product.
pub(crate) fn read_installation(
    path: &str,
    installation: &proto::InstallationFacts,
    violations: &mut Violations,
) -> InstallationFacts {
    let mut text = |field: &str, value: &str, max: usize| {
        violations.text(&format!("{path}.{field}"), value, max);
        convert::optional_text(value)
    };
    InstallationFacts {
        version: text("version", &installation.version, 128),
        platform: text("platform", &installation.platform, 64).map(|platform| platform.to_lowercase()),
        environment: text("environment", &installation.environment, 64).unwrap_or_else(|| PRODUCTION.to_owned()),
        region: text("region", &installation.region, 64),
        ring: text("ring", &installation.ring, 64),
    }
}
