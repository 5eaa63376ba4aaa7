//! What was submitted before: found by its request id or by the report's own reference, and answered again (law 2).

use std::collections::{BTreeSet, HashMap, HashSet};

use uuid::Uuid;

use crate::app::Error;
use crate::domain::customer::{ChannelKind, canonical_address};
use crate::domain::id::{CustomerId, ReportId};
use crate::domain::report::{NewReporter, Report};
use crate::store::report::PlacedReport;
use crate::store::request::{self, Answered};
use crate::store::{self, Reader, Txn};

use super::METHOD;
use super::batch::{Outcome, Stored};
use super::lane::Job;

/// Finds the jobs that were done before, by request id or by the report's own reference (law 2), and refuses those that
/// ask for something else under the same key. Also tells which request ids are remembered already.
pub(super) async fn find_replays(txn: &Txn, jobs: &[Job]) -> Result<(Vec<Option<Outcome>>, HashSet<Uuid>), Error> {
    let db = txn.read();
    let request_ids: Vec<Uuid> = jobs.iter().filter_map(|job| job.call.request_id).collect();
    let answered = request::find_many(txn, METHOD, request_ids).await?;
    let earlier = |job: &Job| answered.get(&job.call.request_id?);
    let ids: Vec<ReportId> = jobs.iter().filter_map(|job| report_of(earlier(job)?)).collect();
    let references: Vec<(&str, &str)> =
        jobs.iter().map(|job| (job.new.source.as_str(), job.new.external_id.as_str())).collect();
    let by_id: HashMap<ReportId, PlacedReport> =
        store::report::by_ids(&db, &ids).await?.into_iter().map(|placed| (placed.report.id, placed)).collect();
    let by_reference: HashMap<(String, String), PlacedReport> = store::report::by_references(&db, &references)
        .await?
        .into_iter()
        .map(|placed| ((placed.report.source.clone(), placed.report.external_id.clone()), placed))
        .collect();
    let repeated = |job: &Job| by_reference.get(&(job.new.source.clone(), job.new.external_id.clone()));
    let reporters: Vec<&NewReporter> =
        jobs.iter().filter(|job| repeated(job).is_some()).map(|job| &job.new.reporter).collect();
    let people = KnownPeople::load(&db, &reporters).await?;

    let outcomes = jobs.iter().map(|job| {
        if let Some(earlier) = earlier(job) {
            let now = job.fingerprint.clone().unwrap_or_default();
            let fields = earlier.fingerprint.differences(&now);
            if !fields.is_empty() {
                let id = job.call.request_id.unwrap_or_default();
                return Some(Err(Error::KeyReused { key: format!("request_id {id}"), fields }));
            }
            if let Some(placed) = report_of(earlier).and_then(|id| by_id.get(&id)) {
                return Some(Ok(Stored { placed: placed.clone(), replayed: true }));
            }
        }
        let placed = repeated(job)?;
        let fields = differences(job, &placed.report, people.find(&job.new.reporter));
        Some(if fields.is_empty() {
            Ok(Stored { placed: placed.clone(), replayed: true })
        } else {
            let key = format!("report {}/{}", job.new.source, job.new.external_id);
            Err(Error::KeyReused { key, fields })
        })
    });
    Ok((outcomes.collect(), answered.into_keys().collect()))
}

fn report_of(answered: &Answered) -> Option<ReportId> {
    answered.result.get("report_id")?.as_str()?.parse().ok()
}

/// The fields in which a report differs from the one stored under its reference. Of the reporter only who it is counts:
/// names, languages and further addresses are the customer's and may have changed since.
fn differences(job: &Job, stored: &Report, reporter: Option<CustomerId>) -> Vec<String> {
    let new = &job.new;
    let differing = [
        ("product", stored.product_id != job.product),
        ("title", stored.title != new.title),
        ("body", stored.body != new.body),
        ("version", stored.version != new.version),
        ("platform", stored.platform != new.platform),
        ("environment", stored.environment != new.environment),
        ("region", stored.region != new.region),
        ("ring", stored.ring != new.ring),
        ("fingerprint", stored.fingerprint != new.fingerprint),
        ("labels", stored.labels != new.labels),
        ("occurred_time", stored.occurred_time != new.occurred_time),
        ("reporter", reporter != Some(stored.customer_id)),
    ];
    differing.into_iter().filter(|&(_, differs)| differs).map(|(field, _)| format!("report.{field}")).collect()
}

/// Who the reporters of repeated reports are, found as [`resolve_many`](crate::app::customer::resolve_many) finds them, without adding anybody.
#[derive(Default)]
struct KnownPeople {
    by_external_id: HashMap<String, CustomerId>,
    by_address: HashMap<(ChannelKind, String), CustomerId>,
}

impl KnownPeople {
    async fn load(db: &Reader<'_>, reporters: &[&NewReporter]) -> Result<Self, Error> {
        if reporters.is_empty() {
            return Ok(Self::default());
        }
        let external_ids: BTreeSet<String> =
            reporters.iter().filter_map(|reporter| reporter.external_id.clone()).collect();
        let addresses: BTreeSet<_> = reporters.iter().flat_map(|reporter| addresses(reporter)).collect();
        let customers = store::customer::by_external_ids(db, &Vec::from_iter(external_ids)).await?;
        let contacts = store::customer::contact_points_by_address(db, &Vec::from_iter(addresses)).await?;
        let by_external_id = customers.into_iter().filter_map(|customer| Some((customer.external_id?, customer.id)));
        let by_address =
            contacts.into_iter().map(|contact| ((contact.channel, contact.canonical_address), contact.customer_id));
        Ok(Self { by_external_id: by_external_id.collect(), by_address: by_address.collect() })
    }

    fn find(&self, reporter: &NewReporter) -> Option<CustomerId> {
        let by_external_id = || self.by_external_id.get(reporter.external_id.as_ref()?).copied();
        let by_address = || addresses(reporter).find_map(|address| self.by_address.get(&address).copied());
        reporter.customer_id.or_else(by_external_id).or_else(by_address)
    }
}

fn addresses(reporter: &NewReporter) -> impl Iterator<Item = (ChannelKind, String)> {
    reporter.contact_points.iter().filter_map(|contact| {
        let channel = contact.channel?;
        Some((channel, canonical_address(channel, &contact.address)))
    })
}
