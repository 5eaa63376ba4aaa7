//! One tenant's past, kept so that a text can be placed in it.
//!
//! Every member's exact keys are kept. Of its words only those of a cluster's *exemplars* are shown to the search: the
//! [`EXEMPLARS`] best texts of a cluster in other words than any better one (those a person placed first, then the
//! earliest), and every text a person set apart from some cluster. A few more are kept ready, so that a removal finds its
//! successor. The choice depends on the members alone and not on the order they came in.

mod evidence;
pub(super) mod review;
mod second;

use std::collections::BTreeSet;
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::decide::{self, Candidate, Evidence, Judgement, Near, Placement, Policy, Standing};
use super::exact::{Apart, Keys, Rank};
use super::features::Features;
use super::learn::{Lesson, Row};
pub(super) use super::lexical::UNTOLD as UNTOLD_TIME;
use super::lexical::{Lexicon, Query};
use super::model::Model;
use super::second::TextName;
use super::signature::Signature;
use super::table::{Few, Map, Numbers, hash_of};
use crate::domain::id::{ClusterId, ReportId};

/// Texts of a cluster that are compared, each in words of its own. Fewer would not know a problem's many wordings, more
/// would cost memory and let a cluster drift along a chain of likenesses.
const EXEMPLARS: usize = 40;
/// Texts of a cluster whose words are kept: the exemplars and their successors.
const KEPT: usize = EXEMPLARS + 12;
/// What decides which texts are kept and shown.
pub(super) const SHAPE: [usize; 2] = [EXEMPLARS, KEPT];
/// The best clusters that a decision tells.
const NEAREST: usize = 4;
/// What a candidate's score is beside the last of those that were compared, if it was not.
const UNCOMPARED: f64 = 0.5;

/// One tenant's memory of its reports: a cache of what the database says, never a second truth.
#[derive(Debug)]
pub struct Index {
    policy: Policy,
    model: Arc<Model>,
    pub(super) members: Map<ReportId, Member>,
    pub(super) clusters: Map<ClusterId, Cluster>,
    pub(super) keys: ExactKeys,
    stacks: Keys,
    pub(super) apart: FxHashMap<ReportId, BTreeSet<ClusterId>>,
    pub(super) lexicon: Lexicon,
    pub(super) stale: BTreeSet<ClusterId>,
}

#[derive(Debug, Clone)]
pub(super) struct Member {
    /// The number of its cluster.
    pub(super) cluster: u32,
    pub(super) matched: bool,
    /// When it came, or [`UNTOLD_TIME`].
    pub(super) time: i64,
    /// What few reports have.
    pub(super) prints: Option<Box<Prints>>,
}

/// The exact keys of a report beside its text.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prints {
    pub(super) fingerprint: Option<Signature>,
    pub(super) stack: Option<Signature>,
}

impl Member {
    pub(super) fn fingerprint(&self) -> Option<Signature> {
        self.prints.as_ref()?.fingerprint
    }

    pub(super) fn stack(&self) -> Option<Signature> {
        self.prints.as_ref()?.stack
    }
}

/// The keys that make two reports one statement.
#[derive(Debug, Default)]
pub(super) struct ExactKeys {
    /// The numbers of the clusters that hold a text, by the hash of its signature. A text that says nothing is not the same
    /// as another one that says nothing: it is not here.
    pub(super) texts: Numbers,
    texts_apart: Apart,
    fingerprints: Keys,
}

impl ExactKeys {
    /// Who keeps clusters away from the keys of a member with this text.
    fn apart_of<'k>(
        &'k mut self,
        member: &Member,
        text: Option<Signature>,
    ) -> impl Iterator<Item = (&'k mut Apart, Signature)> + use<'k> {
        let text = text.map(|key| (&mut self.texts_apart, key));
        text.into_iter().chain(member.fingerprint().map(|key| (&mut self.fingerprints.apart, key)))
    }
}

/// Names a text: what it says and in which words. Texts of one signature may have other words where the signature masks
/// or drops something, and then they are two. Texts of other signatures may have the same words in another order: then
/// one speaks for all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct TextKey {
    pub(super) signature: Signature,
    pub(super) words: u64,
}

impl TextKey {
    /// The text's name in a second space.
    fn name(self) -> TextName {
        (self.signature, self.words)
    }
}

/// The distinct texts of a cluster, by their best members.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) texts: Few<Wording>,
    /// When the last of its members came, or [`UNTOLD_TIME`].
    pub(super) latest: i64,
    pub(super) size: u32,
}

/// One distinct text of a cluster.
#[derive(Debug)]
pub(super) struct Wording {
    pub(super) key: TextKey,
    /// Its members, best first; there is always one.
    pub(super) members: Few<Rank>,
    /// When the last of them came, or [`UNTOLD_TIME`].
    pub(super) latest: i64,
    /// Where the search keeps its words, if they are kept.
    pub(super) document: Option<Slot>,
    /// Whether the search finds it.
    pub(super) shown: bool,
    pub(super) says_something: bool,
}

/// A place in the search, below the greatest of its kind: so that there may be none without more memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(std::num::NonZeroU32);

impl Slot {
    pub(super) fn new(slot: u32) -> Option<Self> {
        std::num::NonZeroU32::new(!slot).map(Self)
    }

    pub(super) fn number(self) -> u32 {
        !self.0.get()
    }
}

impl Wording {
    pub(super) fn best(&self) -> Rank {
        self.members[0]
    }

    /// Where the search finds it, if it does.
    fn shown_in(&self) -> Option<u32> {
        self.document.filter(|_| self.shown).map(Slot::number)
    }

    /// The key that it holds.
    pub(super) fn exact_key(&self) -> Option<Signature> {
        self.says_something.then_some(self.key.signature)
    }
}

impl Cluster {
    pub(super) fn new() -> Self {
        Self { texts: Few::None, latest: UNTOLD_TIME, size: 0 }
    }

    fn find(&self, key: TextKey) -> Option<usize> {
        self.texts.iter().position(|text| text.key == key)
    }

    /// Puts a text where its best member belongs.
    fn put(&mut self, wording: Wording) {
        let at = self.texts.partition_point(|text| text.best() < wording.best());
        self.texts.insert(at, wording);
    }

    /// When a text in these words came last.
    pub(super) fn latest_in(&self, words: u64) -> i64 {
        let times = self.texts.iter().filter(|text| text.key.words == words).map(|text| text.latest);
        times.max().unwrap_or(UNTOLD_TIME)
    }

    fn holds(&self, key: Signature) -> bool {
        self.texts.iter().any(|text| text.exact_key() == Some(key))
    }
}

impl Index {
    /// An empty memory.
    pub fn new(policy: Policy) -> Self {
        Self::with_model(policy, Model::shipped())
    }

    /// An empty memory that judges by other weights.
    pub fn with_model(policy: Policy, model: Arc<Model>) -> Self {
        Self {
            policy,
            model,
            members: Map::default(),
            clusters: Map::default(),
            keys: ExactKeys::default(),
            stacks: Keys::default(),
            apart: FxHashMap::default(),
            lexicon: Lexicon::default(),
            stale: BTreeSet::new(),
        }
    }

    /// The thresholds in force.
    pub fn policy(&self) -> Policy {
        self.policy
    }

    /// Changes the thresholds. Nothing else changes.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// How many reports are known.
    pub fn report_count(&self) -> usize {
        self.members.len()
    }

    /// How many clusters have a report.
    pub fn cluster_count(&self) -> usize {
        self.clusters.len()
    }

    /// The cluster a report was inserted into.
    pub fn cluster_of(&self, report: ReportId) -> Option<ClusterId> {
        self.cluster(self.members.get(report)?.cluster).map(|(cluster, _)| cluster)
    }

    /// Remembers that a report belongs to a cluster. A report that is already known moves.
    pub fn insert(&mut self, report: ReportId, cluster: ClusterId, by_person: bool, features: &Features) {
        self.remove_report(report);
        let rank = Rank { matched: !by_person, report };
        let (number, home) = self.clusters.entry(cluster, Cluster::new);
        let (fingerprint, stack) = (features.fingerprint(), features.stack());
        let prints = (fingerprint.is_some() || stack.is_some()).then(|| Box::new(Prints { fingerprint, stack }));
        let time = features.time().unwrap_or(UNTOLD_TIME);
        let member = Member { cluster: number, matched: !by_person, time, prints };

        let key = TextKey { signature: features.signature(), words: features.words() };
        home.size += 1;
        home.latest = home.latest.max(time);
        let mut wording = match home.find(key) {
            Some(at) => home.texts.remove(at),
            None => {
                let says_something = features.says_something();
                if says_something && !home.holds(key.signature) {
                    self.keys.texts.insert(hash_of(&key.signature), number);
                }
                let (members, latest, document) = (Few::None, UNTOLD_TIME, None);
                Wording { key, members, latest, document, shown: false, says_something }
            }
        };
        let at = wording.members.partition_point(|&other| other < rank);
        wording.members.insert(at, rank);
        wording.latest = wording.latest.max(time);
        if wording.document.is_none() {
            wording.document = self.lexicon.learn(features).and_then(Slot::new);
            if wording.document.is_some() {
                self.lexicon.keep_in_second(report, features);
            }
        }
        self.lexicon.give_in_second(features);
        let text = wording.exact_key();
        home.put(wording);
        self.hold(&member, cluster, rank, text);
        self.members.entry(report, || member);
        self.choose_exemplars(cluster, key);
        self.choose_where_set_apart(report, key.signature);
    }

    /// A member holds its keys, and what was said of it holds for them.
    pub(super) fn hold(&mut self, member: &Member, cluster: ClusterId, rank: Rank, text: Option<Signature>) {
        if let Some(stack) = member.stack() {
            self.stacks.hold(stack, cluster, rank);
        }
        if let Some(fingerprint) = member.fingerprint() {
            self.keys.fingerprints.hold(fingerprint, cluster, rank);
        }
        for &other in self.apart.get(&rank.report).into_iter().flatten() {
            self.keys.apart_of(member, text).for_each(|(apart, key)| apart.set(key, other));
        }
    }

    /// The inverse of [`Index::hold`].
    fn release(&mut self, member: &Member, cluster: ClusterId, rank: Rank, text: Option<Signature>) {
        if let Some(stack) = member.stack() {
            self.stacks.release(stack, cluster, rank);
        }
        if let Some(fingerprint) = member.fingerprint() {
            self.keys.fingerprints.release(fingerprint, cluster, rank);
        }
        for &other in self.apart.get(&rank.report).into_iter().flatten() {
            self.keys.apart_of(member, text).for_each(|(apart, key)| apart.clear(key, other));
        }
    }

    /// Forgets a report, as if it had never been inserted. What people said about it stays: [`Index::clear_apart`].
    pub fn remove_report(&mut self, report: ReportId) {
        let Some((_, member)) = self.members.remove(report) else { return };
        let rank = Rank { matched: member.matched, report };
        let Some(cluster) = self.cluster(member.cluster).map(|(cluster, _)| cluster) else { return };
        let Some(home) = self.clusters.get_mut(cluster) else { return };
        home.size -= 1;
        let Some(at) = home.texts.iter().position(|text| text.members.binary_search(&rank).is_ok()) else { return };
        let mut wording = home.texts.remove(at);
        let (text, exact_key) = (wording.key, wording.exact_key());
        if let Ok(place) = wording.members.binary_search(&rank) {
            wording.members.remove(place);
        }
        if wording.members.is_empty() {
            if let Some(key) = exact_key.filter(|&key| !home.holds(key)) {
                self.keys.texts.remove(hash_of(&key), member.cluster);
            }
            Self::drop_wording(&mut self.lexicon, &wording);
        } else {
            let times = wording.members.iter().filter_map(|member| Some(self.members.get(member.report)?.time));
            wording.latest = times.max().unwrap_or(UNTOLD_TIME);
            home.put(wording);
        }
        home.latest = home.texts.iter().map(|text| text.latest).max().unwrap_or(UNTOLD_TIME);
        let is_empty = home.texts.is_empty();
        self.release(&member, cluster, rank, exact_key);
        if is_empty {
            self.clusters.remove(cluster);
            self.stale.remove(&cluster);
        } else {
            self.choose_exemplars(cluster, text);
        }
        self.choose_where_set_apart(report, text.signature);
    }

    /// Forgets all members of a cluster, so that they can be inserted again as the database has them.
    pub fn remove_cluster(&mut self, cluster: ClusterId) {
        let Some((number, home)) = self.clusters.remove(cluster) else { return };
        self.stale.remove(&cluster);
        let mut set_apart = Vec::new();
        let keys: BTreeSet<Signature> = home.texts.iter().filter_map(Wording::exact_key).collect();
        keys.iter().for_each(|key| self.keys.texts.remove(hash_of(key), number));
        for wording in home.texts.iter() {
            for &rank in wording.members.iter() {
                let Some((_, member)) = self.members.remove(rank.report) else { continue };
                self.release(&member, cluster, rank, wording.exact_key());
                if self.apart.contains_key(&rank.report) {
                    set_apart.push(wording.key.signature);
                }
            }
            Self::drop_wording(&mut self.lexicon, wording);
        }
        for signature in set_apart {
            self.choose_exemplars_of_text(signature);
        }
    }

    /// A person said that this report, and so its near twins, do not belong to this cluster. The report may come later.
    pub fn set_apart(&mut self, report: ReportId, cluster: ClusterId) {
        if !self.apart.entry(report).or_default().insert(cluster) {
            return;
        }
        self.speak(report, |apart, key| apart.set(key, cluster));
    }

    /// The person took it back.
    pub fn clear_apart(&mut self, report: ReportId, cluster: ClusterId) {
        let Some(clusters) = self.apart.get_mut(&report) else { return };
        if !clusters.remove(&cluster) {
            return;
        }
        if clusters.is_empty() {
            self.apart.remove(&report);
        }
        self.speak(report, |apart, key| apart.clear(key, cluster));
    }

    /// Lets what was said of a report hold for its keys, if it is known.
    fn speak(&mut self, report: ReportId, mut say: impl FnMut(&mut Apart, Signature)) {
        let Some(member) = self.members.get(report).cloned() else { return };
        let rank = Rank { matched: member.matched, report };
        let Some((_, home)) = self.clusters.at(member.cluster) else { return };
        let Some(text) = home.texts.iter().find(|text| text.members.binary_search(&rank).is_ok()) else { return };
        let (signature, exact_key) = (text.key.signature, text.exact_key());
        self.keys.apart_of(&member, exact_key).for_each(|(apart, key)| say(apart, key));
        self.choose_exemplars_of_text(signature);
    }

    /// The cluster of a number.
    fn cluster(&self, number: u32) -> Option<(ClusterId, &Cluster)> {
        self.clusters.at(number)
    }

    /// The clusters that hold a text, and the best member of each that has it.
    fn text_holders(&self, key: Signature) -> impl Iterator<Item = (ClusterId, Rank)> {
        self.keys.texts.all(hash_of(&key)).filter_map(move |number| {
            let (cluster, home) = self.cluster(number)?;
            let holding = home.texts.iter().filter(|text| text.exact_key() == Some(key));
            Some((cluster, holding.map(Wording::best).min()?))
        })
    }

    /// What people said: which report is set apart from which cluster.
    pub fn set_apart_pairs(&self) -> impl Iterator<Item = (ReportId, ClusterId)> {
        self.apart.iter().flat_map(|(report, clusters)| clusters.iter().map(|cluster| (*report, *cluster)))
    }

    /// The clusters of which removals took more exemplars than were kept ready, or a constraint asks for words that were
    /// not kept. They still match, by fewer exemplars. To restore them, remove each and insert its members again.
    pub fn take_stale(&mut self) -> Vec<ClusterId> {
        std::mem::take(&mut self.stale).into_iter().collect()
    }

    /// Where a text belongs, and why.
    pub fn place(&self, features: &Features) -> Placement {
        self.place_for(features, &BTreeSet::new())
    }

    /// The same for somebody who has reports in these clusters already: what they say goes there more readily.
    pub fn place_for(&self, features: &Features, own: &BTreeSet<ClusterId>) -> Placement {
        let query = self.lexicon.query(features);
        let mut evidence = self.evidence(features, &query, true);
        if own.len() <= decide::FEW_PROBLEMS {
            evidence.own.clone_from(own);
        }
        self.placement(features, &query, &evidence, &self.judge(&query, &evidence))
    }

    /// The clusters a text may belong to, best first, each once. Those that people keep it away from are left out.
    pub fn candidates(&self, features: &Features, limit: usize) -> Vec<Candidate> {
        let query = self.lexicon.query(features);
        let evidence = self.evidence(features, &query, false);
        self.best(&evidence, &self.judge(&query, &evidence), limit)
    }

    /// Both at once, for little more than one.
    pub fn place_among(&self, features: &Features, limit: usize) -> (Placement, Vec<Candidate>) {
        let query = self.lexicon.query(features);
        let evidence = self.evidence(features, &query, false);
        let judgement = self.judge(&query, &evidence);
        (self.placement(features, &query, &evidence, &judgement), self.best(&evidence, &judgement, limit))
    }

    fn judge(&self, query: &Query, evidence: &Evidence) -> Judgement {
        self.judge_without(query, evidence, |_| false)
    }

    fn judge_without(&self, query: &Query, evidence: &Evidence, is_hidden: impl Fn(&Wording) -> bool) -> Judgement {
        let around = |at| self.surroundings(query, &evidence.near, at, is_hidden);
        decide::judge(&self.policy, &self.model, evidence, around)
    }

    /// The best clusters: those that were judged, and then those that were found and not compared.
    fn best(&self, evidence: &Evidence, judgement: &Judgement, limit: usize) -> Vec<Candidate> {
        let mut best: Vec<Candidate> = judgement.standings.iter().take(limit).map(Standing::candidate).collect();
        if best.len() == limit {
            return best;
        }
        let least = best.last().map_or(0.0, |last| last.score);
        let mut seen: FxHashSet<ClusterId> = best.iter().map(|candidate| candidate.cluster).collect();
        for &slot in &evidence.rest {
            let (cluster, wording) = self.shown(slot);
            if !judgement.barred.contains(&cluster) && seen.insert(cluster) {
                best.push(Candidate { cluster, report: wording.best().report, score: least * UNCOMPARED });
                if best.len() == limit {
                    break;
                }
            }
        }
        best
    }

    fn placement(&self, features: &Features, query: &Query, evidence: &Evidence, judgement: &Judgement) -> Placement {
        let best = judgement.standings.first();
        let verdict = judgement.verdict.as_ref();
        Placement {
            decision: decide::decide(&self.policy, &judgement.standings),
            score: best.map_or(0.0, |best| best.score),
            nearest: judgement.standings.iter().take(NEAREST).map(Standing::candidate).collect(),
            thresholds: self.policy.of(best),
            signals: best.map_or_else(Vec::new, |best| self.signals(features, query, evidence, best, verdict)),
        }
    }

    /// The same, and what the report shows beside its past, to learn from.
    pub fn study(&self, features: &Features, limit: usize) -> (Placement, Vec<Candidate>, Lesson) {
        let query = self.lexicon.query(features);
        let evidence = self.evidence(features, &query, false);
        let judgement = self.judge(&query, &evidence);
        let placement = self.placement(features, &query, &evidence, &judgement);
        let row = |(at, near): (usize, &Near)| {
            Row::new(
                near.rank.report,
                near.cluster,
                near.measures,
                self.surroundings(&query, &evidence.near, at, |_| false),
            )
        };
        let lesson = Lesson::new(evidence.near.iter().enumerate().map(row).collect());
        (placement, self.best(&evidence, &judgement, limit), lesson)
    }

    fn drop_wording(lexicon: &mut Lexicon, wording: &Wording) {
        let Some(slot) = wording.document else { return };
        if wording.shown {
            lexicon.hide(slot.number());
            lexicon.hide_in_second(wording.key.name(), slot.number());
        }
        lexicon.forget(slot.number());
        lexicon.release_in_second(wording.key.name());
    }

    /// A report that a person set apart came or went, and with it the reason to show its text in other clusters too.
    fn choose_where_set_apart(&mut self, report: ReportId, signature: Signature) {
        if self.apart.contains_key(&report) {
            self.choose_exemplars_of_text(signature);
        }
    }

    /// Chooses again in every cluster where a text is held.
    fn choose_exemplars_of_text(&mut self, signature: Signature) {
        let clusters: Vec<ClusterId> = self.text_holders(signature).map(|(cluster, _)| cluster).collect();
        for cluster in clusters {
            let texts = self.clusters.get(cluster).into_iter().flat_map(|home| home.texts.iter());
            let keys: Vec<TextKey> = texts.map(|text| text.key).filter(|key| key.signature == signature).collect();
            for key in keys {
                self.choose_exemplars(cluster, key);
            }
        }
    }

    /// Shows a cluster's exemplars and nothing else of it, after one of its texts changed.
    fn choose_exemplars(&mut self, cluster: ClusterId, changed: TextKey) {
        let Some(number) = self.clusters.number(cluster) else { return };
        let Some(home) = self.clusters.get_mut(cluster) else { return };
        let mut stale = false;
        let mut leaders = Vec::with_capacity(home.texts.len().min(KEPT + 1));
        for at in 0..home.texts.len() {
            let TextKey { signature, words } = home.texts[at].key;
            // The places around the two borders can have moved by one; beyond that only the changed text can differ.
            let is_beyond = leaders.len() > KEPT;
            if is_beyond && home.texts[at].key != changed {
                continue;
            }
            let leads = !is_beyond && !leaders.contains(&words);
            let place = if leads { leaders.len() } else { KEPT };
            if leads {
                leaders.push(words);
            }
            let pinned = self.keys.texts_apart.has(signature);
            // Who speaks for others in the same words is as late as the last of them.
            let speaks_anew = leads && (words == changed.words || !home.texts[at].shown);
            let latest = if speaks_anew { home.latest_in(words) } else { home.texts[at].latest };
            let wording = &mut home.texts.as_mut()[at];
            if place < EXEMPLARS || pinned {
                match wording.document {
                    Some(slot) if !wording.shown => {
                        let order = order(cluster, wording.key);
                        self.lexicon.show(slot.number(), number, order, latest);
                        self.lexicon.show_in_second(wording.key.name(), slot.number(), order);
                        wording.shown = true;
                    }
                    None => stale |= self.lexicon.has_room(),
                    Some(_) => {}
                }
            } else if let Some(slot) = wording.document.filter(|_| wording.shown) {
                self.lexicon.hide(slot.number());
                self.lexicon.hide_in_second(wording.key.name(), slot.number());
                wording.shown = false;
            }
            if words == changed.words
                && let Some(slot) = wording.document.filter(|_| wording.shown)
            {
                self.lexicon.set_latest(slot.number(), latest);
            }
            if place >= KEPT
                && !pinned
                && let Some(slot) = wording.document.take()
            {
                self.lexicon.forget(slot.number());
                self.lexicon.release_in_second(wording.key.name());
            }
        }
        if stale {
            self.stale.insert(cluster);
        }
    }
}

/// A text's place among equals, whenever it came.
pub(super) fn order(cluster: ClusterId, key: TextKey) -> u64 {
    let (high, low) = cluster.uuid().as_u64_pair();
    key.signature.prefix() ^ key.words ^ high.rotate_left(32) ^ low
}
