//! Leaves an endpoint alone that does not answer, so that a dead one does not cost every report its timeout.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// Failures in a row after which it is left alone.
const FAILURES: u32 = 3;
/// For how long at first; it doubles each time it fails again.
const FIRST_REST: Duration = Duration::from_secs(10);
/// The longest it is left alone unless it asks for more.
const LONGEST_REST: Duration = Duration::from_secs(5 * 60);
/// After a rest one question goes out; others wait this long for what becomes of it.
const TRIAL: Duration = Duration::from_secs(10);

/// Counts failures in a row.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    rests_until: Option<Timestamp>,
}

impl Breaker {
    /// Whether to ask. After a rest, true for one caller only.
    pub(super) fn allows(&mut self, now: Timestamp) -> bool {
        match self.rests_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.rests_until = Some(now + TRIAL);
                true
            }
        }
    }

    /// It answered.
    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// It did not, and perhaps said for how long it does not want to be asked. Returns how long it is left alone, if it
    /// is from now on.
    pub(super) fn failed(&mut self, now: Timestamp, wish: Option<Duration>) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let doublings = self.failures.checked_sub(FAILURES);
        let rest = doublings.map(|doublings| (FIRST_REST * 2_u32.pow(doublings.min(8))).min(LONGEST_REST));
        let rest = rest.max(wish.filter(|wish| !wish.is_zero()))?;
        self.rests_until = Some(now + rest);
        Some(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn an_endpoint_is_left_alone_after_some_failures_in_a_row_and_longer_each_time() {
        let mut breaker = Breaker::default();
        assert_eq!((breaker.failed(NOW, None), breaker.failed(NOW, None)), (None, None));
        breaker.succeeded();
        assert_eq!((breaker.failed(NOW, None), breaker.failed(NOW, None)), (None, None));
        assert!(breaker.allows(NOW));
        let mut now = NOW;
        for expected in [10, 20, 40, 80, 160, 300, 300] {
            assert_eq!(breaker.failed(now, None), Some(seconds(expected)));
            assert!(!breaker.allows(now + seconds(expected - 1)));
            now = now + seconds(expected);
            assert!(breaker.allows(now));
        }
    }

    #[test]
    fn after_a_rest_one_question_goes_out() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            breaker.failed(NOW, None);
        }
        let later = NOW + seconds(10);
        assert!(breaker.allows(later) && !breaker.allows(later), "the others wait");
        // What became of it was never told: the next one tries.
        assert!(breaker.allows(later + TRIAL));
        breaker.succeeded();
        assert!(breaker.allows(later) && breaker.allows(later));
    }

    #[test]
    fn a_wish_to_be_left_alone_is_obeyed_at_once() {
        let mut breaker = Breaker::default();
        assert_eq!(breaker.failed(NOW, Some(seconds(120))), Some(seconds(120)));
        assert!(!breaker.allows(NOW + seconds(119)) && breaker.allows(NOW + seconds(120)));
        assert_eq!(Breaker::default().failed(NOW, Some(Duration::ZERO)), None);
    }
}
