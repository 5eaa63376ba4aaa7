//! An index as bytes: what is needed so that a restart reads no text again.
//!
//! A snapshot begins with its format, with what shaped the features in it (so that it is not taken for one of another
//! version), and with a [`Stamp`] of the caller's. Everything after the first words lies in frames with checksums
//! ([`frames`]). Kept are the documents, their vectors in their lists, the vocabulary and the postings as they are; of the
//! clusters and members what cannot be concluded from each other. What is read is checked, so that bytes that are not a
//! snapshot give an error and neither a panic nor a wrong index.
//!
//! An index that was restored answers like the one that was kept, and goes on like it. The thresholds are not in it.

pub(in crate::matching) mod frames;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::sync::LazyLock;

use uuid::Uuid;

use self::frames::{In, Out};
use super::decide::Policy;
use super::embed;
use super::exact::Rank;
use super::features::{Features, Text};
use super::index::{Index, Member, Prints, SHAPE, Slot, TextKey, UNTOLD_TIME, Wording, order};
use super::signature::Signature;
use super::table::{Few, hash_of};
use super::{VERSION, lexical, spelling};
use crate::domain::id::{ClusterId, ReportId};

const MAGIC: [u8; 8] = *b"hearback";
/// Raised when what follows is laid out otherwise.
const FORMAT: u32 = 1;
/// More reports, or clusters, than an index can have.
const MOST: usize = 1 << 32;

/// Why bytes are not a snapshot that can be used.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// It is something else.
    #[error("it is no snapshot of an index")]
    Foreign,
    /// It was written by a version that reads texts, or lays snapshots out, in another way.
    #[error("it is a snapshot of another version")]
    OtherVersion,
    /// It is not as it was written.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
    /// It cannot be read, or ends too early.
    #[error("it cannot be read")]
    Unreadable(#[from] io::Error),
}

/// What a snapshot is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// Whose past.
    pub tenant: Uuid,
    /// Up to which event.
    pub sequence: i64,
    /// That event's id: a log that was put back to an earlier state and went on has another one there.
    pub event: Uuid,
}

/// A number for all that shapes what is kept of a text. A few texts are read, so that it changes with the way they are
/// read, whether or not somebody thought of raising a version.
static SHAPED_BY: LazyLock<u64> = LazyLock::new(|| {
    let version = (VERSION, env!("CARGO_PKG_VERSION"));
    let mut shape = hash_of(&(version, SHAPE, embed::checksum(), spelling::checksum()));
    for (title, body) in [
        ("Re: NullPointerException in App.save()", "Hi team,\nOrder #4711 fails with E1234 since v2.4.1 on Android.\n"),
        (
            "größe wird nicht gespeichert",
            "1. Open the app\n2. Save\n\n    at com.example.Main.run(Main.java:12)\nThanks",
        ),
        ("アプリがクラッシュ", "HTTP 500, cannot sign in: <https://example.com/a?b=1> 2024-01-02 10:11:12"),
    ] {
        let features = Features::of(&Text { product: None, fingerprint: Some("f"), title, body });
        let exact = (features.signature(), features.fingerprint(), features.stack(), features.words());
        shape = hash_of(&(shape, exact, features.pieces(), features.vector().numbers()));
    }
    shape
});

impl Index {
    /// Writes all that is needed to have this index again.
    ///
    /// # Errors
    /// If `to` cannot be written.
    pub fn snapshot(&self, stamp: &Stamp, mut to: impl Write) -> io::Result<()> {
        to.write_all(&MAGIC)?;
        to.write_all(&FORMAT.to_le_bytes())?;
        let mut out = Out::new(to);
        out.u64(*SHAPED_BY)?;
        out.bytes(stamp.tenant.as_bytes())?;
        out.u64(stamp.sequence as u64)?;
        out.bytes(stamp.event.as_bytes())?;
        self.lexicon.save(&mut out)?;
        out.count(self.apart.len())?;
        for (report, clusters) in &self.apart {
            out.bytes(report.uuid().as_bytes())?;
            out.count(clusters.len())?;
            clusters.iter().try_for_each(|cluster| out.bytes(cluster.uuid().as_bytes()))?;
        }
        out.count(self.clusters.len())?;
        for (cluster, home) in self.clusters.iter() {
            out.bytes(cluster.uuid().as_bytes())?;
            out.u8(u8::from(self.stale.contains(&cluster)))?;
            out.count(home.texts.len())?;
            home.texts.iter().try_for_each(|wording| self.save_wording(wording, &mut out))?;
        }
        out.end()
    }

    fn save_wording(&self, wording: &Wording, out: &mut Out<impl Write>) -> io::Result<()> {
        out.bytes(&wording.key.signature.to_bytes())?;
        out.u64(wording.key.words)?;
        out.u32(wording.document.map_or(u32::MAX, Slot::number))?;
        out.u8(u8::from(wording.shown) | u8::from(wording.says_something) << 1)?;
        out.count(wording.members.len())?;
        for rank in wording.members.iter() {
            let Some(member) = self.members.get(rank.report) else { continue };
            out.bytes(rank.report.uuid().as_bytes())?;
            out.u64(member.time as u64)?;
            let (fingerprint, stack) = (member.fingerprint(), member.stack());
            out.u8(u8::from(rank.matched) | u8::from(fingerprint.is_some()) << 1 | u8::from(stack.is_some()) << 2)?;
            for key in fingerprint.iter().chain(&stack) {
                out.bytes(&key.to_bytes())?;
            }
        }
        Ok(())
    }

    /// Reads an index that was written by [`Index::snapshot`].
    ///
    /// # Errors
    /// If the bytes are no snapshot, or one of another version, or damaged.
    pub fn restore(policy: Policy, mut from: impl Read) -> Result<(Self, Stamp), SnapshotError> {
        let (mut magic, mut format) = ([0; 8], [0; 4]);
        from.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(SnapshotError::Foreign);
        }
        from.read_exact(&mut format)?;
        if u32::from_le_bytes(format) != FORMAT {
            return Err(SnapshotError::OtherVersion);
        }
        let mut input = In::new(from);
        if input.u64()? != *SHAPED_BY {
            return Err(SnapshotError::OtherVersion);
        }
        let stamp = Stamp {
            tenant: Uuid::from_bytes(input.array()?),
            sequence: input.u64()? as i64,
            event: Uuid::from_bytes(input.array()?),
        };
        let mut index = Self::new(policy);
        index.lexicon = lexical::Lexicon::load(&mut input)?;
        for _ in 0..input.count(MOST)? {
            let report = ReportId::from_uuid(Uuid::from_bytes(input.array()?));
            let clusters = index.apart.entry(report).or_default();
            for _ in 0..input.count(MOST)? {
                clusters.insert(ClusterId::from_uuid(Uuid::from_bytes(input.array()?)));
            }
        }
        let count = input.count(MOST)?;
        index.clusters.reserve(count.min(lexical::Lexicon::MOST));
        index.members.reserve(count.min(lexical::Lexicon::MOST));
        for _ in 0..count {
            index.load_cluster(&mut input)?;
        }
        index.lexicon.check_homes()?;
        input.end()?;
        Ok((index, stamp))
    }

    fn load_cluster(&mut self, input: &mut In<impl Read>) -> Result<(), SnapshotError> {
        let cluster = ClusterId::from_uuid(Uuid::from_bytes(input.array()?));
        if input.u8()? == 1 {
            self.stale.insert(cluster);
        }
        let known = self.clusters.len();
        let number = self.clusters.entry(cluster, super::index::Cluster::new).0;
        if self.clusters.len() == known {
            return Err(SnapshotError::Damaged("a cluster is there twice"));
        }
        let count = input.count(MOST)?;
        let mut texts = Vec::with_capacity(count.min(1_024));
        let (mut latest, mut size) = (UNTOLD_TIME, 0);
        let mut keys = BTreeSet::new();
        for _ in 0..count {
            let wording = self.load_wording(number, cluster, input)?;
            if let Some(key) = wording
                .exact_key()
                .filter(|_| count == 1)
                .or_else(|| wording.exact_key().filter(|&key| keys.insert(key)))
            {
                self.keys.texts.insert(hash_of(&key), number);
            }
            latest = latest.max(wording.latest);
            size += wording.members.len() as u32;
            texts.push(wording);
        }
        if texts.is_empty() || !texts.is_sorted_by(|one: &Wording, other| one.best() < other.best()) {
            return Err(SnapshotError::Damaged("the texts of a cluster are not in order"));
        }
        let Some(home) = self.clusters.at_mut(number) else { return Ok(()) };
        (home.texts, home.latest, home.size) = (Few::from(texts), latest, size);
        for (at, wording) in home.texts.iter().enumerate() {
            let Some(slot) = wording.document else { continue };
            let words = wording.key.words;
            let leads = home.texts[..at].iter().all(|better| better.key.words != words);
            let latest = if leads { home.latest_in(words) } else { wording.latest };
            self.lexicon.settle(slot.number(), wording.shown, number, order(cluster, wording.key), latest)?;
        }
        Ok(())
    }

    fn load_wording(
        &mut self,
        number: u32,
        cluster: ClusterId,
        input: &mut In<impl Read>,
    ) -> Result<Wording, SnapshotError> {
        let signature = load_signature(input)?;
        let key = TextKey { signature, words: input.u64()? };
        let document = input.u32()?;
        let flags = input.u8()?;
        let (shown, says_something) = (flags & 1 != 0, flags & 2 != 0);
        let count = input.count(MOST)?;
        let mut members = Vec::with_capacity(count.min(1_024));
        let mut latest = UNTOLD_TIME;
        for _ in 0..count {
            let report = ReportId::from_uuid(Uuid::from_bytes(input.array()?));
            let time = input.u64()? as i64;
            let flags = input.u8()?;
            let fingerprint = if flags & 2 == 0 { None } else { Some(load_signature(input)?) };
            let stack = if flags & 4 == 0 { None } else { Some(load_signature(input)?) };
            let prints = (flags & 6 != 0).then(|| Box::new(Prints { fingerprint, stack }));
            let rank = Rank { matched: flags & 1 != 0, report };
            let member = Member { cluster: number, matched: rank.matched, time, prints };
            self.hold(&member, cluster, rank, says_something.then_some(signature));
            let known = self.members.len();
            self.members.entry(report, || member);
            if self.members.len() == known {
                return Err(SnapshotError::Damaged("a report is there twice"));
            }
            latest = latest.max(time);
            members.push(rank);
        }
        if members.is_empty() || !members.is_sorted() {
            return Err(SnapshotError::Damaged("the members of a text are not in order"));
        }
        let document = if document == u32::MAX { None } else { Slot::new(document) };
        if document.is_none() && shown {
            return Err(SnapshotError::Damaged("a text is not where it should be"));
        }
        Ok(Wording { key, members: Few::from(members), latest, document, shown, says_something })
    }
}

fn load_signature(input: &mut In<impl Read>) -> Result<Signature, SnapshotError> {
    let bytes = input.array::<{ Signature::LENGTH }>()?;
    let signature = Signature::from_bytes(&bytes).filter(|signature| signature.version() == VERSION);
    signature.ok_or(SnapshotError::Damaged("a signature is of another version"))
}
