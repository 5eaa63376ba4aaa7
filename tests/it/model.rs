//! The loop as a whole, against a plain model of it.
//!
//! Random histories (reports, merges, splits, links, releases, rollouts, upgrades, opt-outs, crashes in the middle of
//! sending) are played against the real service over a real database, with only the far end of the channel replaced:
//! it writes down every message. Beside it the model keeps plain facts and its own naive reading of the rules. After
//! every step, laws 3, 5 to 10, 12 and 15 must hold between what went over the wire, what the service says, and what
//! the model knows to be true; what is still to be done must then be on its way in the database. At the end, when every channel works again and time has passed, nobody may be left
//! without what they should have heard.
//!
//! `PROPTEST_CASES` sets how many histories are played.

mod act;
mod compare;
mod facts;
mod heard;
mod ledger;
mod rules;
mod run;
mod service;
mod steps;

use proptest::prelude::*;

/// Histories played unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 64;

pub(crate) fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        // A failure prints its shortest history, which belongs into a test of its own.
        failure_persistence: None,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(CASES))]

    #[test]
    fn laws_3_5_to_10_12_and_15_hold_whatever_happens(history in steps::history()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let broken = runtime.block_on(run::play(&history)).err();
        prop_assert!(broken.is_none(), "{}", broken.unwrap_or_default());
    }
}
