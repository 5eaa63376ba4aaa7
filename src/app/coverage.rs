//! Whether a defect's fix has reached somebody: loads the facts and lets [`crate::domain::coverage`] judge.

use std::collections::{BTreeMap, BTreeSet};

use crate::domain::coverage::{Coverage, InstallationFacts, Judge, ReleaseState, Rule};
use crate::domain::defect::{Defect, DefectRef};
use crate::domain::id::{CustomerId, ProductId, ReleaseId};
use crate::store::{self, Reader};

use super::release::load_product_facts;
use super::{App, Call, Error, Resource, defect, product};

/// For whom coverage is asked.
#[derive(Debug, Clone)]
pub enum CoverageSubject {
    /// Everything this customer runs.
    Customer(CustomerId),
    /// An installation as described.
    Installation {
        /// The product, by key or id.
        product: String,
        /// What is run.
        facts: InstallationFacts,
    },
}

/// A verdict, and about what.
#[derive(Debug, Clone)]
pub struct JudgedInstallation {
    /// The verdict.
    pub coverage: Coverage,
    /// The product and what of it is run; `None` if nothing is known.
    pub installation: Option<(ProductId, InstallationFacts)>,
}

impl App {
    /// Judges everything the customer runs of the products that the defect was fixed in, or the installation
    /// described. One verdict without an installation if nothing is known.
    pub async fn get_coverage(
        &self,
        call: &Call,
        defect: &DefectRef,
        subject: CoverageSubject,
    ) -> Result<Vec<JudgedInstallation>, Error> {
        let db = self.read(call);
        let defect = defect::resolve(&db, defect).await?;
        let Fixes { mut of_product, any_out } = fixes_of(&db, &defect).await?;
        let runs = match subject {
            CoverageSubject::Installation { product, facts } => {
                let product = product::resolve(&db, "installation.product", &product).await?;
                of_product.entry(product.id).or_default();
                vec![(product.id, facts)]
            }
            CoverageSubject::Customer(customer) => {
                let products: Vec<ProductId> = of_product.keys().copied().collect();
                let runs = store::release::runs_of_customer(&db, customer, &products).await?;
                runs.ok_or_else(|| Error::not_found(Resource::Customer, customer))?
            }
        };
        let products: Vec<ProductId> = of_product.keys().copied().collect();
        let facts = load_product_facts(&db, &products).await?;
        let judges: BTreeMap<ProductId, Judge<'_>> =
            of_product.iter().filter_map(|(id, fixes)| Some((*id, Judge::new(facts.get(id)?, fixes)))).collect();
        if runs.is_empty() {
            let coverage = of_anybody(judges.values().next(), any_out);
            return Ok(vec![JudgedInstallation { coverage, installation: None }]);
        }
        let judged = runs.into_iter().filter_map(|(product, facts)| {
            let coverage = judges.get(&product)?.judge(&facts);
            Some(JudgedInstallation { coverage, installation: Some((product, facts)) })
        });
        Ok(judged.collect())
    }
}

/// The releases said to fix a defect since it was last reopened.
struct Fixes {
    of_product: BTreeMap<ProductId, BTreeSet<ReleaseId>>,
    /// Whether one of them is to be had.
    any_out: bool,
}

async fn fixes_of(db: &Reader<'_>, defect: &Defect) -> Result<Fixes, Error> {
    let fixes = store::release::fixes_of_defects(db, &[defect.id]).await?;
    let ids: Vec<ReleaseId> =
        fixes.into_iter().filter(|fix| fix.round == defect.reopen_count).map(|fix| fix.release_id).collect();
    let releases = store::release::by_ids(db, &ids).await?;
    let any_out = releases.iter().any(|release| release.state == ReleaseState::Released);
    let mut of_product: BTreeMap<ProductId, BTreeSet<ReleaseId>> = BTreeMap::new();
    for release in releases {
        of_product.entry(release.product_id).or_default().insert(release.id);
    }
    Ok(Fixes { of_product, any_out })
}

/// What holds for somebody of whom nothing is known: while no fix is to be had, why not; afterwards, unknown.
fn of_anybody(judge: Option<&Judge<'_>>, any_out: bool) -> Coverage {
    let by = |rule: Rule| Coverage { verdict: rule.verdict(), rule, release: None, version: None };
    match judge {
        None => by(Rule::NoReleaseWithFix),
        Some(_) if any_out => by(Rule::VersionUnknown),
        Some(judge) => judge.judge(&InstallationFacts::default()),
    }
}
