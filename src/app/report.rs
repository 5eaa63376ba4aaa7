//! Reports after they were accepted: reading them, what is known about their problems, and the dry run that stores
//! nothing.

use std::collections::{BTreeSet, HashMap};

use crate::domain::cluster::Cluster;
use crate::domain::coverage::{Coverage, InstallationFacts};
use crate::domain::explanation::{Nearest, Signal};
use crate::domain::id::{ClusterId, DefectId, ReportId};
use crate::domain::policy::Policy;
use crate::domain::report::{DEFAULT_ENVIRONMENT, NewReport, PlacementDecision, Report};
use crate::domain::statements::{self, CustomerFacts, Outlook, ReportFacts, World};
use crate::domain::time::Timestamp;
use crate::domain::violation::Violations;
use crate::matching::{Candidate, Decision, Placement};
use crate::store::cluster::ClusterFilter;
use crate::store::report::{PlacedReport, ReportFilter};
use crate::store::{self, Direction, Page, Reader};

use super::cluster::search::{NEAREST, passing};
use super::embedding::ReadText;
use super::intake::signals;
use super::{App, Call, Error, Resource, world};

/// Why a report was placed where it was, or would be.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacementView {
    /// What the matcher decided.
    pub decision: PlacementDecision,
    /// Where it went; `None` for a new cluster of a dry run.
    pub cluster: Option<ClusterId>,
    /// The best candidate's score.
    pub score: f64,
    /// For SUGGEST, what it resembles.
    pub suggested: Option<ClusterId>,
    /// Why, strongest first.
    pub signals: Vec<Signal>,
}

impl PlacementView {
    /// Of a report when it was accepted.
    pub fn of(report: &Report) -> Self {
        Self {
            decision: report.decision,
            cluster: Some(report.decision_cluster_id),
            score: report.decision_score,
            suggested: report.suggested_cluster_id,
            signals: report.signals.0.clone(),
        }
    }

    /// Of a report that is not stored.
    fn of_dry_run(placement: &Placement) -> Self {
        let (decision, cluster, suggested) = match placement.decision {
            Decision::Attach { cluster, .. } => (PlacementDecision::Attach, Some(cluster), None),
            Decision::Suggest { cluster, .. } => (PlacementDecision::Suggest, None, Some(cluster)),
            Decision::New => (PlacementDecision::New, None, None),
        };
        Self { decision, cluster, score: placement.score, suggested, signals: signals(&placement.signals).0 }
    }
}

/// Why a report is where it is.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The report, and where it is now.
    pub placed: PlacedReport,
    /// What was near when it came, best first, each with its cluster's title now; empty too where nobody remembers.
    pub nearest: Vec<(Nearest, String)>,
}

/// What is known about the problem a report describes.
#[derive(Debug, Clone)]
pub struct KnownProblem {
    /// The cluster.
    pub cluster: Cluster,
    /// The defects it is linked to.
    pub defects: Vec<DefectId>,
}

/// What is known about a number of clusters.
pub(crate) struct Known {
    clusters: HashMap<ClusterId, Cluster>,
    world: World,
}

impl Known {
    /// Reads it. Nothing is asked about no cluster.
    pub(crate) async fn load(db: &Reader<'_>, clusters: BTreeSet<ClusterId>) -> Result<Self, Error> {
        if clusters.is_empty() {
            return Ok(Self { clusters: HashMap::new(), world: World::default() });
        }
        let ids = Vec::from_iter(clusters);
        let clusters = store::cluster::by_ids(db, &ids).await?;
        let clusters = clusters.into_iter().map(|cluster| (cluster.id, cluster)).collect();
        Ok(Self { clusters, world: world::load(db, &ids).await? })
    }

    /// A problem that others reported before.
    pub(crate) fn problem(&self, id: ClusterId) -> Option<KnownProblem> {
        let cluster = self.clusters.get(&id)?.clone();
        let defects = self.world.links.get(&id).into_iter().flatten().copied().collect();
        Some(KnownProblem { cluster, defects })
    }

    /// The release that helps whoever sent this report, judged by what the report itself says. None for a report from a
    /// version that has the fix: that is evidence of a regression, not "already fixed" (law 11).
    pub(crate) fn fixed_in(&self, report: ReportFacts, policy: &Policy, now: Timestamp) -> Option<Coverage> {
        let customer = CustomerFacts { reports: vec![report], installations: Vec::new() };
        let standings = statements::standings(&self.world, &customer, policy, now);
        let sayable = standings.into_iter().filter_map(|standing| match standing.outlook {
            Outlook::Say(coverage) if coverage.verdict.allows_fix_available() => Some(coverage),
            Outlook::Say(_) | Outlook::Wait(..) => None,
        });
        // Of several defects, the release that was recorded last: their fixes add up.
        sayable.max_by_key(|coverage| coverage.release)
    }
}

/// What statements are derived from.
pub(crate) fn facts_of(placed: &PlacedReport) -> ReportFacts {
    ReportFacts {
        id: placed.report.id,
        cluster: placed.membership.cluster_id,
        product: placed.report.product_id,
        installation: placed.report.installation(),
        create_time: placed.report.create_time,
    }
}

/// Facts worth asking the customer for: without them nobody can say whether a fix reached them, or tell them.
pub(crate) fn missing_facts(new: &NewReport, lacks_contact_point: bool) -> Vec<&'static str> {
    let facts = [
        ("version", new.version.is_none()),
        ("platform", new.platform.is_none()),
        ("product", new.product.is_empty()),
        ("contact_point", lacks_contact_point),
    ];
    facts.into_iter().filter(|&(_, is_missing)| is_missing).map(|(fact, _)| fact).collect()
}

/// What a dry run found.
#[derive(Debug, Clone)]
pub struct Matched {
    /// Where the report would go.
    pub placement: PlacementView,
    /// Candidates with their titles, best first.
    pub candidates: Vec<(Candidate, String)>,
    /// The problem it would join.
    pub known_problem: Option<KnownProblem>,
    /// The release that would help.
    pub fixed_in: Option<Coverage>,
    /// Facts worth asking for.
    pub missing_facts: Vec<&'static str>,
}

impl App {
    /// One report.
    pub async fn get_report(&self, call: &Call, id: ReportId) -> Result<PlacedReport, Error> {
        let found = store::report::find(&self.read(call), id).await?;
        found.ok_or_else(|| Error::not_found(Resource::Report, id))
    }

    /// Why one report is where it is: what was decided when it came, by what, and who put it there.
    pub async fn explain_report(&self, call: &Call, id: ReportId) -> Result<Explanation, Error> {
        let placed = self.get_report(call, id).await?;
        let nearest = placed.report.grounds.as_ref().map_or_else(Vec::new, |grounds| grounds.nearest.clone());
        let clusters: Vec<ClusterId> = nearest.iter().map(|near| near.cluster_id).collect();
        let clusters = store::cluster::by_ids(&self.read(call), &clusters).await?;
        let titles: HashMap<ClusterId, String> =
            clusters.into_iter().map(|cluster| (cluster.id, cluster.title)).collect();
        let titled = |near: Nearest| (near, titles.get(&near.cluster_id).cloned().unwrap_or_default());
        Ok(Explanation { placed, nearest: nearest.into_iter().map(titled).collect() })
    }

    /// A page of reports.
    pub async fn list_reports(
        &self,
        call: &Call,
        filter: &ReportFilter,
        direction: Direction,
        after: Option<ReportId>,
        size: u64,
    ) -> Result<Page<PlacedReport, ReportId>, Error> {
        Ok(store::report::list(&self.read(call), filter, direction, after, size).await?)
    }

    /// Says what is known about a report without storing anything.
    pub async fn match_report(
        &self,
        call: &Call,
        new: NewReport,
        violations: Violations,
        filter: &ClusterFilter,
        limit: usize,
    ) -> Result<Matched, Error> {
        let product = self.check_report(call, &new, true, violations).await?;
        let db = self.read(call);
        let ReadText { new, features, .. } = self.read_text(call.scope, new, product, call.now).await?;
        let index = self.current_index(call.scope).await?;
        let search = move || index.place_among(&features, NEAREST);
        let (placement, candidates) =
            tokio::task::spawn_blocking(search).await.map_err(|error| Error::Internal(Box::new(error)))?;

        let view = PlacementView::of_dry_run(&placement);
        let known = Known::load(&db, view.cluster.into_iter().collect()).await?;
        let (policy, _) = store::tenant::policy(&db).await?;
        let fixed_in = view.cluster.and_then(|cluster| {
            let facts = ReportFacts {
                id: ReportId::new(),
                cluster,
                product,
                installation: installation_of(&new),
                create_time: call.now,
            };
            known.fixed_in(facts, &policy, call.now)
        });
        let candidates = passing(&db, candidates, filter, limit).await?;
        Ok(Matched {
            candidates: candidates.into_iter().map(|(candidate, cluster)| (candidate, cluster.title)).collect(),
            known_problem: view.cluster.and_then(|cluster| known.problem(cluster)),
            fixed_in,
            missing_facts: missing_facts(&new, false),
            placement: view,
        })
    }
}

fn installation_of(new: &NewReport) -> InstallationFacts {
    InstallationFacts {
        version: new.version.clone(),
        platform: new.platform.clone(),
        environment: new.environment.clone().unwrap_or_else(|| DEFAULT_ENVIRONMENT.to_owned()),
        region: new.region.clone(),
        ring: new.ring.clone(),
    }
}
