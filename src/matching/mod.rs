//! Which reports are the same problem: text and past in, decision and reasons out.
//!
//! A report becomes [`Features`] (which needs nothing but its text, so it can be done by many threads at once). The
//! [`Index`] is one tenant's past. [`Index::place`] compares the two:
//!
//! 1. **Exact.** The same fingerprint, or the same normalised text, within the same product attaches with score 1.
//! 2. **Lexical.** The reports that share the most telling words are compared word by word with a few exemplars of each
//!    cluster, and the best score is held against the tenant's two thresholds ([`Policy`]): `ATTACH`, `SUGGEST`, `NEW`.
//! 3. **People.** What a person said bars clusters before the decision and breaks ties in it: see `decide`.
//!
//! Everything here is a pure function of what was put in: no clock, no disk, no randomness. Two indexes that hold the
//! same reports answer the same, whatever the order of arrival and whatever was inserted and removed in between; the one
//! exception, and its remedy, is [`Index::take_stale`].
//!
//! Left out on purpose: embeddings, a learned scorer and calibration of the thresholds. They belong behind
//! `score::compare` and `decide`, which are the only places that judge.
//!
//! Products: reports of two different known products never match. A report without a product matches others without one
//! as usual; between a known and an unknown product at most a suggestion comes out.

mod decide;
mod exact;
mod features;
mod index;
mod lexical;
mod postings;
mod score;
mod signature;
mod text;
mod words;

#[cfg(test)]
mod tests;

pub use decide::{Candidate, Decision, Placement, Policy, Signal};
pub use features::{Features, Text};
pub use index::Index;
pub use signature::Signature;

/// The version of normalisation, signature and scorer together. Stored with what they decided; raising it never
/// regroups old memberships by itself.
pub const VERSION: u32 = 2;
