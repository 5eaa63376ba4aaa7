//! A second look at clusters: what each is about, which may be one problem, and which may be several.
//!
//! A cluster is due when it changed since it was last looked at (`store::second_look`). One look reads its exemplars and
//! some of its other reports, asks the matching index about them, and writes what it found in one transaction: title and
//! key terms in the customers' own words, and proposals. Proposals are suggestions ([`SuggestionKind::Merge`],
//! [`SuggestionKind::Split`]): a person's yes carries them out, a no is remembered. The look itself moves no report and
//! changes no cluster's state.
//!
//! It is level-triggered: what it finds replaces what was found before. A proposal that is found again stays as it is, one
//! that is not is withdrawn, one that was withdrawn and is found again is the same one. So a look may be repeated, broken
//! off or done by two replicas at once.
//!
//! What people said comes first. Two clusters of which one has a report that a person keeps away from the other are never
//! proposed, nor is a pair that was rejected, and reports that a person placed, or said to be in the right place, are
//! never said to stand apart.
//!
//! Work is bounded: a turn takes a few clusters of each tenant in rotation, a look reads a few dozen texts, and it holds
//! the index, for which reports wait, for some ten questions at a time.

mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;

use crate::domain::cluster::Cluster;
use crate::domain::id::{ClusterId, ReportId, TenantId};
use crate::domain::suggestion::{Suggestion, SuggestionKind, SuggestionState};
use crate::domain::time::Timestamp;
use crate::matching::{ASKED, Digest, Features, Likeness, Member, Part, Policy, Text, Votes, digest};
use crate::store::report::{ReportText, Texts, texts, texts_of};
use crate::store::{self, Reader, TenantScope};

use self::write::{other_of, write};
use super::matcher::seconds;
use super::{App, Error, Progress};

/// Clusters looked at in one turn.
const LOOKS: usize = 16;
/// Of these, clusters of one tenant before the next has its turn.
const LOOKS_OF_TENANT: u64 = 4;
/// Reports beside the exemplars that a cluster's title and key terms are derived from.
const OTHERS: u64 = 24;
/// Proposals of a cluster that are held against it again in one look.
const REVISED: usize = 8;
/// How far the turns have come, so that every tenant and cluster has its turn. Lost with the process: then they begin
/// again, which costs a little time.
#[derive(Debug, Default)]
pub struct Turns {
    places: Mutex<Places>,
}

#[derive(Debug, Default)]
struct Places {
    tenant: Option<TenantScope>,
    clusters: HashMap<TenantId, ClusterId>,
}

/// What a look found.
#[derive(Debug, Default)]
struct Findings {
    digest: Option<Digest>,
    parts: Vec<Part>,
    /// The clusters that were held against it, and how alike those are that are alike at all.
    held: BTreeSet<ClusterId>,
    merges: BTreeMap<ClusterId, Likeness>,
}

/// A text that is asked, with the report it stands for.
type Asked = (ReportId, Features);

fn read(text: &ReportText) -> Member {
    let parts = Text {
        product: text.product_id,
        fingerprint: text.fingerprint.as_deref(),
        title: &text.title,
        body: &text.body,
    };
    Member::read(text.report_id, &parts)
}

fn asked(text: &ReportText, member: &Member) -> Asked {
    (text.report_id, member.features().clone().arrived(seconds(text.occurred_time, text.create_time)))
}

async fn apart<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Error::Internal(Box::new(error)))
}

impl App {
    /// Looks at a few clusters that are due.
    pub async fn look_again_once(&self, now: Timestamp) -> Result<Progress, Error> {
        let due = self.due_looks().await?;
        if due.is_empty() {
            return Ok(Progress::Idle);
        }
        for (scope, cluster) in due {
            self.look_again(scope, cluster, now).await?;
        }
        Ok(Progress::More)
    }

    /// The next clusters that are due: some of each tenant, from where the last turn ended.
    async fn due_looks(&self) -> Result<Vec<(TenantScope, ClusterId)>, Error> {
        let mut due = Vec::new();
        let mut tenant = self.turns.places.lock().expect("nobody panics while holding it").tenant;
        let (mut wraps_left, mut first) = (u8::from(tenant.is_some()), None);
        while due.len() < LOOKS {
            let Some(scope) = store::second_look::next_tenant(&self.store, tenant).await? else {
                if wraps_left == 0 {
                    break;
                }
                (wraps_left, tenant) = (wraps_left - 1, None);
                continue;
            };
            if first == Some(scope) {
                break; // Once around.
            }
            first = first.or(Some(scope));
            tenant = Some(scope);
            due.extend(self.due_looks_of(scope).await?.into_iter().map(|cluster| (scope, cluster)));
        }
        self.turns.places.lock().expect("nobody panics while holding it").tenant = tenant;
        Ok(due)
    }

    async fn due_looks_of(&self, scope: TenantScope) -> Result<Vec<ClusterId>, Error> {
        let db = self.store.reader(scope);
        let after = {
            let places = self.turns.places.lock().expect("nobody panics while holding it");
            places.clusters.get(&scope.tenant()).copied()
        };
        let mut due = store::second_look::due(&db, after, LOOKS_OF_TENANT).await?;
        if due.is_empty() && after.is_some() {
            due = store::second_look::due(&db, None, LOOKS_OF_TENANT).await?;
        }
        let mut places = self.turns.places.lock().expect("nobody panics while holding it");
        // The place moves on before the looks: one that always fails does not keep the others waiting.
        match due.last() {
            Some(&last) => places.clusters.insert(scope.tenant(), last),
            None => places.clusters.remove(&scope.tenant()),
        };
        Ok(due)
    }

    /// Looks at one cluster as it is now.
    async fn look_again(&self, scope: TenantScope, id: ClusterId, now: Timestamp) -> Result<(), Error> {
        let db = self.store.reader(scope);
        let Some(cluster) = store::cluster::find(&db, id).await? else { return Ok(()) };
        let known = store::suggestion::proposals_about(&db, &[id]).await?;
        let stands = cluster.merged_into_cluster_id.is_none() && cluster.report_count > 0;
        let findings = if stands { self.find_out(&db, &cluster, &known).await? } else { Findings::default() };
        let mut txn = self.store.begin_system(scope, now).await?;
        if write(&mut txn, &cluster, findings).await? {
            let tells = txn.has_events();
            txn.commit().await?;
            if tells {
                self.wake.committed();
            }
        }
        Ok(())
    }

    /// Reads the cluster's texts and asks the index about them. Nothing is written.
    async fn find_out(&self, db: &Reader<'_>, cluster: &Cluster, known: &[Suggestion]) -> Result<Findings, Error> {
        let (id, scope) = (cluster.id, db.scope());
        let exemplars: Vec<ReportId> = self
            .current_index(scope)
            .await?
            .memory()
            .exemplars(id)
            .into_iter()
            .map(|exemplar| exemplar.report)
            .collect();
        let of_exemplars = texts_of(db, &exemplars).await?;
        let mut sample = texts(db, Texts::OfCluster(id, None), OTHERS).await?;
        sample.retain(|text| !exemplars.contains(&text.report_id));
        let reading = move || {
            let mut members: Vec<Member> = of_exemplars.iter().map(read).collect();
            let exemplars: Vec<Asked> =
                of_exemplars.iter().zip(&members).map(|(text, member)| asked(text, member)).collect();
            members.extend(sample.iter().map(read));
            (exemplars, members)
        };
        let (mut exemplars_read, members) = apart(reading).await?;
        let place = |report: &ReportId| exemplars.iter().position(|exemplar| exemplar == report);
        exemplars_read.sort_by_key(|(report, _)| place(report));

        let title = cluster.derived_title.clone();
        let vouched: BTreeSet<ReportId> = known
            .iter()
            .filter(|known| known.kind == SuggestionKind::Split && known.state == SuggestionState::Rejected)
            .flat_map(|known| known.report_ids.iter().copied())
            .collect();
        let index = self.current_index(scope).await?;
        let asking = move || {
            let texts: Vec<Features> = exemplars_read.iter().map(|(_, features)| features.clone()).collect();
            let memory = index.memory();
            let rarity = memory.rarity(&members);
            let parts = memory.parts(id, &texts, &vouched);
            let votes = Votes::of(memory, id, &exemplars_read);
            let policy = memory.policy();
            drop(index); // Reports wait for it.
            (digest(&members, &title, &rarity), parts, votes, policy)
        };
        let (digest, parts, votes, policy) = apart(asking).await?;
        let partners = partners(cluster, known, &votes, &policy);
        let mut merges = BTreeMap::new();
        for &other in &partners {
            // What is said of this one from their side counts too.
            let likeness = votes.likeness(&self.votes_of(db, other).await?, &policy);
            merges.extend(likeness.map(|likeness| (other, likeness)));
        }
        Ok(Findings { digest: Some(digest), parts, held: partners, merges })
    }

    /// What the exemplars of a cluster say of others.
    async fn votes_of(&self, db: &Reader<'_>, of: ClusterId) -> Result<Votes, Error> {
        let exemplars = self.current_index(db.scope()).await?.memory().exemplars(of);
        let exemplars: Vec<ReportId> = exemplars.iter().take(ASKED).map(|exemplar| exemplar.report).collect();
        let texts = texts_of(db, &exemplars).await?;
        let read = apart(move || texts.iter().map(|text| asked(text, &read(text))).collect::<Vec<_>>()).await?;
        let index = self.current_index(db.scope()).await?;
        apart(move || Votes::of(index.memory(), of, &read)).await
    }
}

/// The clusters to hold against this one from their side: the nearest, and those of proposals that wait; of many other
/// ones in each look.
fn partners(cluster: &Cluster, known: &[Suggestion], votes: &Votes, policy: &Policy) -> BTreeSet<ClusterId> {
    let mut waiting: Vec<ClusterId> = known
        .iter()
        .filter(|known| known.kind == SuggestionKind::Merge && known.state == SuggestionState::Pending)
        .filter_map(|known| other_of(known, cluster.id))
        .collect();
    if waiting.len() > REVISED {
        let turn = usize::try_from(cluster.version.wrapping_add(cluster.report_count)).unwrap_or(0);
        let start = turn.wrapping_mul(REVISED) % waiting.len();
        waiting.rotate_left(start);
    }
    votes.nearest(policy.suggest).into_iter().chain(waiting.into_iter().take(REVISED)).collect()
}
