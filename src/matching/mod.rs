//! Which reports are the same problem: text and past in, decision and reasons out.
//!
//! A report becomes [`Features`] (which needs nothing but its text, so it can be done by many threads at once). The
//! [`Index`] is one tenant's past. [`Index::place`] compares the two:
//!
//! 1. **Exact.** The same fingerprint, or the same normalised text, within the same product attaches with score 1.
//! 2. **Candidates.** The 50 exemplars that share the most telling words (`postings`) and the 50 that are nearest by what
//!    they are about (`embed`, `vectors`), in one list. The 24 of them that promise most by their rank, their cosine and
//!    their time go on; the others are named behind those, uncompared (`lexical`).
//! 3. **Measures.** Some forty numbers of each candidate that mean the same in every stream (`measures`): how alike words,
//!    titles and meaning are, how well the pieces of the two align, what differs, how it stands among the others, what its
//!    cluster adds, how long ago it came.
//! 4. **Judgement.** Two small networks (`model`): one orders the candidates, so that several exemplars of a cluster speak
//!    together; the other says how probable it is that the first cluster is the right one. Their weights are a data file
//!    made by `hearback train` (`learn`). The probability explains itself (`reasons`). A time that is not known is
//!    ordinary to both, and they learned from every stream with times and without: times put candidates in order, and
//!    say nothing of how many reports are duplicates.
//! 5. **Decision.** The probability is held against the tenant's thresholds ([`Policy`]): `ATTACH`, `SUGGEST`, `NEW`.
//!    Different numbers, platforms, file formats or error codes in the titles never attach, however probable it is (`decide`).
//! 6. **People.** What a person said bars clusters before the judgement and breaks ties in it: see `decide`.
//!
//! What is placed is looked at a second time, when the past has grown: which clusters may be one problem (`alike`), and
//! which may be several (`index::review`). And what a cluster is about is told in its customers' own words (`digest`).
//!
//! How well this does, and what it misses, is in `docs/MATCHING.md`.
//!
//! Everything here is a pure function of what was put in: no clock, no disk, no randomness. When a report came is told by
//! the caller ([`Features::arrived`]). Two indexes that hold the same reports answer the same, whatever the order of
//! arrival and whatever was inserted and removed in between. There are three exceptions: [`Index::take_stale`], which is
//! the remedy of itself; beyond some thousand exemplars the lists of `vectors` are as they grew; and the scale of a second
//! space (`second`) is as it was found when there were half as many.
//!
//! Vectors are the built-in table's. A report may carry another embedder's vector too ([`Features::with_embedding`]);
//! where nearly all do, that embedder's space is searched and measured instead, never both in one search (`second`).
//!
//! An index can be kept as bytes and had again without reading a text (`snapshot`).
//!
//! Products: reports of two different known products never match. A report without a product matches others without one
//! as usual; between a known and an unknown product at most a suggestion comes out.

mod alike;
mod calibrate;
mod decide;
mod digest;
mod embed;
mod embedding;
mod exact;
mod features;
mod index;
mod learn;
mod lexical;
mod measures;
mod model;
mod packed;
mod postings;
mod reasons;
mod score;
mod second;
mod signature;
mod snapshot;
mod spelling;
mod table;
mod text;
mod vectors;
mod words;

#[cfg(test)]
mod tests;

pub use alike::{ASKED, Likeness, Votes};
pub use calibrate::{Answer, Calibration};
pub use decide::{Candidate, Decision, Placement, Policy, Signal};
pub use digest::{Digest, Member, Rarity, digest, headline};
pub use embedding::{Embedding, Order, Space, Unusable, said};
pub use features::{Features, Text};
pub use index::Index;
pub use index::review::{Exemplar, Part, Rival};
pub use learn::{Dice, Lesson, Teaching, teach};
pub use model::Model;
pub use reasons::usual_detail;
pub use signature::Signature;
pub use snapshot::{SnapshotError, Stamp};

/// The version of normalisation, signature and scorer together. Stored with what they decided; raising it never
/// regroups old memberships by itself.
pub const VERSION: u32 = 8;
