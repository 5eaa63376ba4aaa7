//! Reports and their one place each. Every read joins the two tables, so nobody can show a report without its place.

use sea_orm::sea_query::{ExprTrait, Query};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, FromQueryResult, JoinType, QueryFilter, QueryOrder, QuerySelect, RelationDef,
    SelectTwo,
};

use crate::domain::event::{Event, EventKind};
use crate::domain::id::{ClusterId, CustomerId, OperationId, ProductId, ReportId};
use crate::domain::report::{LoopState, Membership, Origin, PlacementDecision, Report};
use crate::domain::time::Timestamp;

use super::entity::{cluster_defect, event, membership, operation_member, report};
use super::error::StoreError;
use super::{Direction, Page, Reader, Txn, chunks};

/// A report and where it belongs now.
#[derive(Debug, Clone, PartialEq)]
pub struct PlacedReport {
    /// What was said.
    pub report: Report,
    /// Where it belongs.
    pub membership: Membership,
}

/// What a list of reports is narrowed to. Empty lists all.
#[derive(Debug, Clone, Default)]
pub struct ReportFilter {
    /// In this cluster now.
    pub cluster: Option<ClusterId>,
    /// Of this customer.
    pub customer: Option<CustomerId>,
    /// About this product.
    pub product: Option<ProductId>,
    /// From this system.
    pub source: Option<String>,
    /// With this reference there.
    pub external_id: Option<String>,
    /// With its loop in this state.
    pub loop_state: Option<LoopState>,
    /// For this reason.
    pub loop_reason: Option<String>,
}

/// What matching needs of a stored report.
#[derive(Debug, Clone)]
pub struct ReportText {
    /// Which.
    pub report_id: ReportId,
    /// Where it belongs.
    pub cluster_id: ClusterId,
    /// Whose it is: with the report's id, the key of a cluster's pages.
    pub customer_id: CustomerId,
    /// Who put it there.
    pub origin: Origin,
    /// What it is about.
    pub product_id: Option<ProductId>,
    /// The caller's grouping key.
    pub fingerprint: Option<String>,
    /// Headline.
    pub title: String,
    /// Words.
    pub body: String,
    /// When it happened, as the caller says.
    pub occurred_time: Option<Timestamp>,
    /// When it was accepted.
    pub create_time: Timestamp,
}

fn membership_of_report() -> RelationDef {
    report::Entity::belongs_to(membership::Entity).from(report::Column::Id).to(membership::Column::ReportId).into()
}

fn placed(db: &Reader<'_>) -> SelectTwo<report::Entity, membership::Entity> {
    report::Entity::find()
        .join(JoinType::InnerJoin, membership_of_report())
        .select_also(membership::Entity)
        .filter(report::Column::TenantId.eq(db.tenant()))
}

async fn all_placed(
    db: &Reader<'_>,
    query: SelectTwo<report::Entity, membership::Entity>,
) -> Result<Vec<PlacedReport>, StoreError> {
    let rows = query.all(db.db()).await?;
    let placed = rows.into_iter().filter_map(|(report, membership)| {
        Some(PlacedReport { report: report.into(), membership: membership?.into() })
    });
    Ok(placed.collect())
}

/// Stores accepted reports and their places.
pub async fn insert(txn: &Txn, placed: Vec<PlacedReport>) -> Result<(), StoreError> {
    for chunk in chunks(placed) {
        let (reports, memberships): (Vec<_>, Vec<_>) = chunk
            .into_iter()
            .map(|placed| (report::ActiveModel::from(placed.report), membership::ActiveModel::from(placed.membership)))
            .unzip();
        report::Entity::insert_many(reports).exec_without_returning(txn.db()).await?;
        membership::Entity::insert_many(memberships).exec_without_returning(txn.db()).await?;
    }
    Ok(())
}

/// One report.
pub async fn find(db: &Reader<'_>, id: ReportId) -> Result<Option<PlacedReport>, StoreError> {
    Ok(by_ids(db, &[id]).await?.pop())
}

/// Reports by their ids, in any order. What does not exist is left out.
pub async fn by_ids(db: &Reader<'_>, ids: &[ReportId]) -> Result<Vec<PlacedReport>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for chunk in chunks(ids.iter().copied()) {
        found.extend(all_placed(db, placed(db).filter(report::Column::Id.is_in(chunk))).await?);
    }
    Ok(found)
}

/// Reports by source and reference there, in any order. What does not exist is left out.
pub async fn by_references(db: &Reader<'_>, references: &[(&str, &str)]) -> Result<Vec<PlacedReport>, StoreError> {
    let mut by_source: std::collections::BTreeMap<&str, Vec<&str>> = std::collections::BTreeMap::new();
    for (source, external_id) in references {
        by_source.entry(source).or_default().push(external_id);
    }
    let mut found = Vec::new();
    // One question for each source, of which a batch has few: SQLite answers one about several by reading all of the
    // tenant's reports.
    for (source, external_ids) in by_source {
        for chunk in chunks(external_ids) {
            let query =
                placed(db).filter(report::Column::Source.eq(source)).filter(report::Column::ExternalId.is_in(chunk));
            found.extend(all_placed(db, query).await?);
        }
    }
    Ok(found)
}

/// A page of reports in the order in which they were accepted.
pub async fn list(
    db: &Reader<'_>,
    filter: &ReportFilter,
    direction: Direction,
    after: Option<ReportId>,
    size: u64,
) -> Result<Page<PlacedReport, ReportId>, StoreError> {
    // By what a list of few is found: joined, SQLite would look for them among all of the tenant's reports.
    let few = |places: Condition| {
        let reports =
            Query::select().column(membership::Column::ReportId).from(membership::Entity).cond_where(places).to_owned();
        report::Column::Id.in_subquery(reports)
    };
    let mut all = Condition::all()
        .add_option(filter.cluster.map(|id| few(Condition::all().add(membership::Column::ClusterId.eq(id)))))
        .add_option(filter.customer.map(|id| few(Condition::all().add(membership::Column::CustomerId.eq(id)))))
        .add_option(filter.product.map(|id| report::Column::ProductId.eq(id)))
        .add_option(filter.source.as_ref().map(|text| report::Column::Source.eq(text)))
        .add_option(filter.external_id.as_ref().map(|text| report::Column::ExternalId.eq(text)))
        .add_option(filter.loop_state.map(|state| report::Column::LoopState.eq(state)))
        .add_option(filter.loop_reason.as_ref().map(|text| report::Column::LoopReason.eq(text)));
    let query = match direction {
        Direction::Ascending => {
            all = all.add_option(after.map(|id| report::Column::Id.gt(id)));
            placed(db).order_by_asc(report::Column::Id)
        }
        Direction::Descending => {
            all = all.add_option(after.map(|id| report::Column::Id.lt(id)));
            placed(db).order_by_desc(report::Column::Id)
        }
    };
    let items = all_placed(db, query.filter(all).limit(size + 1)).await?;
    Ok(Page::cut(items, size, |placed: &PlacedReport| placed.report.id))
}

/// Which stored texts are asked for.
#[derive(Debug, Clone, Copy)]
pub enum Texts {
    /// All of the tenant's, after this report.
    All(Option<ReportId>),
    /// Those an operation moved, wherever they are now, after this report.
    OfOperation(OperationId, Option<ReportId>),
    /// Those of a cluster, after this customer's report.
    OfCluster(ClusterId, Option<(CustomerId, ReportId)>),
}

/// A page of texts for the matching index. One that is shorter than `size` is the last.
pub async fn texts(db: &Reader<'_>, which: Texts, size: u64) -> Result<Vec<ReportText>, StoreError> {
    let query = match which {
        Texts::All(after) => text_rows(db)
            .filter(Condition::all().add_option(after.map(|id| report::Column::Id.gt(id))))
            .order_by_asc(report::Column::Id),
        Texts::OfOperation(operation, after) => {
            let moved = Query::select()
                .column(operation_member::Column::ReportId)
                .from(operation_member::Entity)
                .and_where(operation_member::Column::OperationId.eq(operation))
                .to_owned();
            text_rows(db)
                .filter(report::Column::Id.in_subquery(moved))
                .filter(Condition::all().add_option(after.map(|id| report::Column::Id.gt(id))))
                .order_by_asc(report::Column::Id)
        }
        // By customer, as the cluster's index has them: each page is one short range of it.
        Texts::OfCluster(cluster, after) => text_rows(db)
            .filter(membership::Column::ClusterId.eq(cluster))
            .filter(Condition::all().add_option(after.map(|(customer, report)| {
                let later = membership::Column::CustomerId.gt(customer).or(membership::Column::ReportId.gt(report));
                membership::Column::CustomerId.gte(customer).and(later)
            })))
            .order_by_asc(membership::Column::CustomerId)
            .order_by_asc(membership::Column::ReportId),
    };
    read_texts(db, query.limit(size)).await
}

/// The texts of these reports, in any order.
pub async fn texts_of(db: &Reader<'_>, ids: &[ReportId]) -> Result<Vec<ReportText>, StoreError> {
    let mut texts = Vec::with_capacity(ids.len());
    for chunk in chunks(ids.iter().copied()) {
        texts.extend(read_texts(db, text_rows(db).filter(report::Column::Id.is_in(chunk))).await?);
    }
    Ok(texts)
}

fn text_rows(db: &Reader<'_>) -> sea_orm::Select<report::Entity> {
    report::Entity::find()
        .select_only()
        .columns([
            report::Column::Id,
            report::Column::ProductId,
            report::Column::Fingerprint,
            report::Column::Title,
            report::Column::Body,
            report::Column::OccurredTime,
            report::Column::CreateTime,
        ])
        .columns([membership::Column::ClusterId, membership::Column::CustomerId, membership::Column::Origin])
        .join(JoinType::InnerJoin, membership_of_report())
        .filter(report::Column::TenantId.eq(db.tenant()))
}

/// The columns of [`text_rows`].
#[derive(FromQueryResult)]
struct TextRow {
    id: ReportId,
    product_id: Option<ProductId>,
    fingerprint: Option<String>,
    title: String,
    body: String,
    occurred_time: Option<Timestamp>,
    create_time: Timestamp,
    cluster_id: ClusterId,
    customer_id: CustomerId,
    origin: Origin,
}

async fn read_texts(db: &Reader<'_>, query: sea_orm::Select<report::Entity>) -> Result<Vec<ReportText>, StoreError> {
    let rows = query.into_model::<TextRow>().all(db.db()).await?;
    let texts = rows.into_iter().map(|row| {
        let TextRow {
            id,
            product_id,
            fingerprint,
            title,
            body,
            occurred_time,
            create_time,
            cluster_id,
            customer_id,
            origin,
        } = row;
        let report_id = id;
        ReportText {
            report_id,
            cluster_id,
            customer_id,
            origin,
            product_id,
            fingerprint,
            title,
            body,
            occurred_time,
            create_time,
        }
    });
    Ok(texts.collect())
}

/// A report that the matcher attached by likeness.
#[derive(Debug, Clone, Copy)]
pub struct Attached {
    /// How sure it was.
    pub score: f64,
    /// Where it put the report.
    pub put_into: ClusterId,
    /// Where the report is now.
    pub is_in: ClusterId,
    /// Who put it there.
    pub origin: Origin,
}

/// Of the last `within` reports, those that came since a moment and that the matcher attached without being certain.
pub async fn attached_lately(db: &Reader<'_>, since: Timestamp, within: u64) -> Result<Vec<Attached>, StoreError> {
    let last = Query::select()
        .column(report::Column::Id)
        .from(report::Entity)
        .and_where(report::Column::TenantId.eq(db.tenant()))
        .order_by(report::Column::Id, sea_orm::Order::Desc)
        .limit(within)
        .to_owned();
    let rows: Vec<(f64, ClusterId, ClusterId, Origin)> = report::Entity::find()
        .select_only()
        .columns([report::Column::DecisionScore, report::Column::DecisionClusterId])
        .columns([membership::Column::ClusterId, membership::Column::Origin])
        .join(JoinType::InnerJoin, membership_of_report())
        .filter(report::Column::Id.in_subquery(last))
        .filter(report::Column::Decision.eq(PlacementDecision::Attach))
        .filter(report::Column::DecisionScore.lt(1.0))
        .filter(report::Column::CreateTime.gte(since))
        .into_tuple()
        .all(db.db())
        .await?;
    let attached = |(score, put_into, is_in, origin)| Attached { score, put_into, is_in, origin };
    Ok(rows.into_iter().map(attached).collect())
}

/// What changes where reports belong, or how sure the matcher has to be.
const MATCHING_KINDS: [EventKind; 7] = [
    EventKind::ReportSubmitted,
    EventKind::ReportMoved,
    EventKind::ClusterMerged,
    EventKind::ClusterSplit,
    EventKind::SuggestionResolved,
    EventKind::OperationUndone,
    EventKind::PolicyUpdated,
];

/// The events after a sequence number that change where reports belong or how sure the matcher has to be, in order.
pub async fn placements_after(db: &Reader<'_>, sequence: i64, limit: u64) -> Result<Vec<Event>, StoreError> {
    let rows = event::Entity::find()
        .filter(event::Column::TenantId.eq(db.tenant()))
        .filter(event::Column::Sequence.gt(sequence))
        .filter(event::Column::Kind.is_in(MATCHING_KINDS))
        .order_by_asc(event::Column::Sequence)
        .limit(limit)
        .all(db.db())
        .await?;
    Ok(rows.into_iter().map(Event::from).collect())
}

/// Of these pairs, those where the customer has a report in the cluster.
pub async fn known_reporters(
    db: &Reader<'_>,
    pairs: impl IntoIterator<Item = (ClusterId, CustomerId)>,
) -> Result<Vec<(ClusterId, CustomerId)>, StoreError> {
    let mut known = Vec::new();
    for chunk in chunks(pairs) {
        let mut by_cluster: std::collections::BTreeMap<ClusterId, Vec<CustomerId>> = std::collections::BTreeMap::new();
        for (cluster, customer) in chunk {
            by_cluster.entry(cluster).or_default().push(customer);
        }
        let any = by_cluster.into_iter().fold(Condition::any(), |any, (cluster, customers)| {
            any.add(membership::Column::ClusterId.eq(cluster).and(membership::Column::CustomerId.is_in(customers)))
        });
        let rows: Vec<(ClusterId, CustomerId)> = membership::Entity::find()
            .select_only()
            .columns([membership::Column::ClusterId, membership::Column::CustomerId])
            .distinct()
            .filter(membership::Column::TenantId.eq(db.tenant()))
            .filter(any)
            .into_tuple()
            .all(db.db())
            .await?;
        known.extend(rows);
    }
    Ok(known)
}

/// The clusters in which these customers have reports, in any order.
pub async fn homes_of(db: &Reader<'_>, customers: &[CustomerId]) -> Result<Vec<(CustomerId, ClusterId)>, StoreError> {
    let mut homes = Vec::new();
    for chunk in chunks(customers.iter().copied()) {
        let rows: Vec<(CustomerId, ClusterId)> = membership::Entity::find()
            .select_only()
            .column(membership::Column::CustomerId)
            .column(membership::Column::ClusterId)
            .distinct()
            .filter(membership::Column::TenantId.eq(db.tenant()))
            .filter(membership::Column::CustomerId.is_in(chunk))
            .into_tuple()
            .all(db.db())
            .await?;
        homes.extend(rows);
    }
    Ok(homes)
}

/// Of these customers, those with a report in a cluster that is linked to a defect.
pub async fn linked_customers(db: &Reader<'_>, customers: &[CustomerId]) -> Result<Vec<CustomerId>, StoreError> {
    let mut linked = Vec::new();
    for chunk in chunks(customers.iter().copied()) {
        let link_of_cluster: RelationDef = membership::Entity::belongs_to(cluster_defect::Entity)
            .from(membership::Column::ClusterId)
            .to(cluster_defect::Column::ClusterId)
            .into();
        let rows: Vec<CustomerId> = membership::Entity::find()
            .select_only()
            .column(membership::Column::CustomerId)
            .distinct()
            .join(JoinType::InnerJoin, link_of_cluster)
            .filter(membership::Column::TenantId.eq(db.tenant()))
            .filter(membership::Column::CustomerId.is_in(chunk))
            .into_tuple()
            .all(db.db())
            .await?;
        linked.extend(rows);
    }
    Ok(linked)
}

/// The places of these reports, in any order. What does not exist is left out.
pub async fn memberships(db: &Reader<'_>, ids: &[ReportId]) -> Result<Vec<Membership>, StoreError> {
    let mut found = Vec::with_capacity(ids.len());
    for chunk in chunks(ids.iter().copied()) {
        let rows = membership::Entity::find()
            .filter(membership::Column::TenantId.eq(db.tenant()))
            .filter(membership::Column::ReportId.is_in(chunk))
            .all(db.db())
            .await?;
        found.extend(rows.into_iter().map(Membership::from));
    }
    Ok(found)
}
