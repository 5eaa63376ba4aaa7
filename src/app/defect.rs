//! Defects: what engineering's trackers say. It tells customers nothing by itself; going back to open after a fix
//! withdraws the fixes recorded so far (laws 6 and 8).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::Serialize;
use serde_json::json;
use url::Url;

use crate::domain::coverage::ReleaseState;
use crate::domain::defect::{Defect, DefectRef, DefectState, reopens};
use crate::domain::event::{EventKind, NewEvent};
use crate::domain::id::{ClusterId, DefectId};
use crate::domain::violation::Violations;
use crate::store::defect::DefectFilter;
use crate::store::dirty::{self, Subject};
use crate::store::{self, Direction, Page, Reader, Txn};

use super::{App, Call, Error, Resource};

/// A defect with what is told about it.
#[derive(Debug, Clone)]
pub struct DefectView {
    /// The defect.
    pub defect: Defect,
    /// The clusters it is linked to.
    pub cluster_ids: Vec<ClusterId>,
}

/// A defect as a tracker or a person states it.
#[derive(Debug, Clone, Serialize)]
pub struct NewDefect {
    /// The tracker.
    pub tracker: String,
    /// The key there.
    pub key: String,
    /// Its headline; empty leaves it as it is.
    pub title: String,
    /// A link for people; empty leaves it as it is.
    pub url: String,
    /// Its state; `None` leaves it as it is.
    pub state: Option<DefectState>,
}

impl NewDefect {
    /// Notes what is wrong with it.
    pub fn check(&self, violations: &mut Violations) {
        violations.name("tracker", &self.tracker);
        violations.required_text("key", &self.key, 256);
        violations.text("title", &self.title, 1_000);
        violations.text("url", &self.url, 2_000);
        let web = || Url::parse(&self.url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"));
        if !self.url.is_empty() && !web() {
            violations.add("url", "is not an http or https link; send one, or leave it empty");
        }
    }
}

/// What became of a stated defect.
#[derive(Debug, Clone)]
pub struct UpsertedDefect {
    /// The defect.
    pub view: DefectView,
    /// It was new.
    pub created: bool,
    /// Nothing was changed now.
    pub replayed: bool,
}

impl App {
    /// Records a defect or what is new about it.
    pub async fn upsert_defect(&self, call: &Call, new: NewDefect) -> Result<UpsertedDefect, Error> {
        const METHOD: &str = "UpsertDefect";
        let mut violations = Violations::new();
        new.check(&mut violations);
        violations.into_result()?;

        let mut txn = self.begin(call).await?;
        if let Some(earlier) = self.earlier(&txn, call, METHOD, &new).await? {
            let defect = resolve(&txn.read(), &reference(&new)).await?;
            let created = earlier["created"] == true;
            return Ok(UpsertedDefect { view: view_one(&txn.read(), defect).await?, created, replayed: true });
        }
        let found = store::defect::find(&txn.read(), &reference(&new)).await?;
        let created = found.is_none();
        let (defect, changed) = match found {
            None => (create(&mut txn, vec![new.clone()]).await?.remove(0), true),
            Some(before) => update(&mut txn, before, &new).await?,
        };
        let result = json!({ "defect_id": defect.id, "created": created });
        self.remember(&txn, call, METHOD, &new, result).await?;
        let view = view_one(&txn.read(), defect).await?;
        txn.commit().await?;
        self.wake.committed();
        Ok(UpsertedDefect { view, created, replayed: !changed })
    }

    /// One defect.
    pub async fn get_defect(&self, call: &Call, defect: &DefectRef) -> Result<DefectView, Error> {
        let db = self.read(call);
        let defect = resolve(&db, defect).await?;
        view_one(&db, defect).await
    }

    /// A page of defects, by the time they were first recorded.
    pub async fn list_defects(
        &self,
        call: &Call,
        filter: &DefectFilter,
        after: Option<DefectId>,
        direction: Direction,
        size: u64,
    ) -> Result<Page<DefectView, DefectId>, Error> {
        let db = self.read(call);
        let page = store::defect::list(&db, filter, after, direction, size).await?;
        Ok(Page { items: views(&db, page.items).await?, next: page.next })
    }
}

/// The defect that a caller names.
pub(crate) async fn resolve(db: &Reader<'_>, defect: &DefectRef) -> Result<Defect, Error> {
    let found = store::defect::find(db, defect).await?;
    found.ok_or_else(|| Error::not_found(Resource::Defect, defect))
}

/// The defects that a caller names, each once, in the order named. Keys not seen before become new defects; ids must
/// be known.
pub(crate) async fn resolve_or_create(txn: &mut Txn, refs: &[DefectRef]) -> Result<Vec<Defect>, Error> {
    let mut ids = BTreeSet::new();
    let mut keys = BTreeSet::new();
    for named in refs {
        match named {
            DefectRef::Id(id) => drop(ids.insert(*id)),
            DefectRef::Key { tracker, key } => drop(keys.insert((tracker.as_str(), key.as_str()))),
        }
    }
    let ids: Vec<DefectId> = ids.into_iter().collect();
    let mut defects = store::defect::by_ids(&txn.read(), &ids).await?;
    defects.extend(store::defect::by_keys(&txn.read(), keys.clone()).await?);
    for defect in &defects {
        keys.remove(&(defect.tracker.as_str(), defect.key.as_str()));
    }
    let unseen = keys.into_iter().map(|(tracker, key)| NewDefect {
        tracker: tracker.to_owned(),
        key: key.to_owned(),
        title: String::new(),
        url: String::new(),
        state: None,
    });
    let unseen: Vec<NewDefect> = unseen.collect();
    defects.extend(create(txn, unseen).await?);

    let by_id: BTreeMap<DefectId, &Defect> = defects.iter().map(|defect| (defect.id, defect)).collect();
    let by_key: HashMap<(&str, &str), &Defect> =
        defects.iter().map(|defect| ((defect.tracker.as_str(), defect.key.as_str()), defect)).collect();
    let mut seen = BTreeSet::new();
    let mut resolved = Vec::with_capacity(refs.len());
    for named in refs {
        let defect = match named {
            DefectRef::Id(id) => by_id.get(id),
            DefectRef::Key { tracker, key } => by_key.get(&(tracker.as_str(), key.as_str())),
        };
        let defect = *defect.ok_or_else(|| Error::not_found(Resource::Defect, named))?;
        if seen.insert(defect.id) {
            resolved.push(defect.clone());
        }
    }
    Ok(resolved)
}

/// Has everybody looked at again who reported to a cluster that these defects are linked to.
pub(crate) async fn mark_dirty(txn: &Txn, defects: &[DefectId]) -> Result<(), Error> {
    let links = store::defect::clusters_of(&txn.read(), defects).await?;
    dirty::mark(txn, links.into_iter().map(|link| Subject::Cluster(link.cluster_id)), txn.now()).await?;
    Ok(())
}

fn reference(new: &NewDefect) -> DefectRef {
    DefectRef::Key { tracker: new.tracker.clone(), key: new.key.clone() }
}

/// Records defects that were not known. Nothing is linked to them yet, so nothing follows.
async fn create(txn: &mut Txn, new: Vec<NewDefect>) -> Result<Vec<Defect>, Error> {
    let defects: Vec<Defect> = new
        .into_iter()
        .map(|new| Defect {
            id: DefectId::new(),
            tenant_id: txn.scope().tenant(),
            tracker: new.tracker,
            key: new.key,
            title: new.title,
            url: new.url,
            state: new.state.unwrap_or(DefectState::Open),
            reopen_count: 0,
            version: 1,
            create_time: txn.now(),
            update_time: txn.now(),
        })
        .collect();
    store::defect::insert(txn, defects.clone()).await?;
    for defect in &defects {
        let data = json!({ "tracker": defect.tracker, "key": defect.key, "state": defect.state });
        txn.record(NewEvent::new(EventKind::DefectCreated, defect.id).data(data));
    }
    Ok(defects)
}

/// Records what is new about a defect, and says whether anything is.
async fn update(txn: &mut Txn, before: Defect, new: &NewDefect) -> Result<(Defect, bool), Error> {
    let mut after = before.clone();
    if !new.title.is_empty() {
        after.title.clone_from(&new.title);
    }
    if !new.url.is_empty() {
        after.url.clone_from(&new.url);
    }
    after.state = new.state.unwrap_or(before.state);
    if after == before {
        return Ok((before, false));
    }
    let state_changed = after.state != before.state;
    let reopened = state_changed && reopens(before.state, after.state, has_released_fix(txn, &before).await?);
    if reopened {
        after.reopen_count += 1;
    }
    after.version += 1;
    after.update_time = txn.now();
    store::defect::update(txn, after.clone()).await?;
    let (kind, data) = if reopened {
        (EventKind::DefectReopened, json!({ "state": after.state, "reopen_count": after.reopen_count }))
    } else {
        (EventKind::DefectUpdated, json!({ "state": after.state }))
    };
    txn.record(NewEvent::new(kind, after.id).data(data));
    if state_changed {
        mark_dirty(txn, &[after.id]).await?;
    }
    Ok((after, true))
}

/// Whether a release that is out carries a fix of the present round.
async fn has_released_fix(txn: &Txn, defect: &Defect) -> Result<bool, Error> {
    let fixes = store::release::fixes_of_defects(&txn.read(), &[defect.id]).await?;
    let releases: Vec<_> =
        fixes.into_iter().filter(|fix| fix.round == defect.reopen_count).map(|fix| fix.release_id).collect();
    let releases = store::release::by_ids(&txn.read(), &releases).await?;
    Ok(releases.iter().any(|release| release.state == ReleaseState::Released))
}

async fn views(db: &Reader<'_>, defects: Vec<Defect>) -> Result<Vec<DefectView>, Error> {
    let ids: Vec<DefectId> = defects.iter().map(|defect| defect.id).collect();
    let mut clusters: HashMap<DefectId, Vec<ClusterId>> = HashMap::new();
    for link in store::defect::clusters_of(db, &ids).await? {
        clusters.entry(link.defect_id).or_default().push(link.cluster_id);
    }
    let view = |defect: Defect| DefectView { cluster_ids: clusters.remove(&defect.id).unwrap_or_default(), defect };
    Ok(defects.into_iter().map(view).collect())
}

async fn view_one(db: &Reader<'_>, defect: Defect) -> Result<DefectView, Error> {
    Ok(views(db, vec![defect]).await?.remove(0))
}
