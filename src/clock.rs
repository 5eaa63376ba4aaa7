//! What time it is.
//!
//! The server's clock orders things, so within a process it never goes backwards. If the machine's clock is set back,
//! this one runs at half speed until the machine has caught up: leases still end and retries still come due, while the
//! error shrinks instead of staying for the life of the process.
//!
//! Tests own time: [`Clock::manual`] moves only when told to. Timers (`tokio::time`) are not its business.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// Tells the time, cut to microseconds. Clones tell the same time.
#[derive(Clone, Debug)]
pub struct Clock(Mode);

#[derive(Clone, Debug)]
enum Mode {
    System,
    Manual(Arc<AtomicI64>),
}

/// The last moment told by any system clock of this process, and when that was by the machine's steady clock.
static LAST: Mutex<Option<(i64, Instant)>> = Mutex::new(None);

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self(Mode::System)
    }

    /// A clock that stands at `start` until it is moved. For tests.
    pub fn manual(start: Timestamp) -> Self {
        Self(Mode::Manual(Arc::new(AtomicI64::new(start.micros()))))
    }

    /// The time. Never earlier than what any clone said before.
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Mode::System => system_now(),
            Mode::Manual(micros) => Timestamp::from_micros(micros.load(Ordering::SeqCst)),
        }
    }

    /// Moves a manual clock on, for all its clones. Returns the new time.
    ///
    /// # Panics
    /// On a system clock, which moves by itself.
    pub fn advance(&self, by: Duration) -> Timestamp {
        let micros = self.hands();
        let forward = |now: i64| Some((Timestamp::from_micros(now) + by).micros());
        match micros.fetch_update(Ordering::SeqCst, Ordering::SeqCst, forward) {
            Ok(before) | Err(before) => Timestamp::from_micros(before) + by,
        }
    }

    /// Sets a manual clock, for all its clones; an earlier moment than it shows is ignored, as clocks never go back.
    ///
    /// # Panics
    /// On a system clock, which moves by itself.
    pub fn set(&self, to: Timestamp) {
        self.hands().fetch_max(to.micros(), Ordering::SeqCst);
    }

    fn hands(&self) -> &AtomicI64 {
        match &self.0 {
            Mode::Manual(micros) => micros,
            Mode::System => panic!("only a manual clock can be moved"),
        }
    }
}

fn system_now() -> Timestamp {
    // A panic cannot leave the pair half written, so a poisoned lock still holds a good one.
    let mut last = LAST.lock().unwrap_or_else(PoisonError::into_inner);
    // Read under the lock: read before, a thread that waits for it would bring an old moment.
    let (wall, steady) = (wall_micros(), Instant::now());
    let now = match *last {
        Some((told, at)) => next_moment(told, steady.saturating_duration_since(at), wall),
        None => wall,
    };
    // While standing still, keep the older instant: many short waits add up to a microsecond.
    if last.is_none_or(|(told, _)| now > told) {
        *last = Some((now, steady));
    }
    Timestamp::from_micros(now)
}

/// The moment to tell `elapsed` after `told`, when the wall clock shows `wall`.
fn next_moment(told: i64, elapsed: Duration, wall: i64) -> i64 {
    let half = i64::try_from(elapsed.as_micros() / 2).unwrap_or(i64::MAX);
    wall.max(told.saturating_add(half))
}

fn wall_micros() -> i64 {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |micros| -micros),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_never_goes_backwards_in_any_thread() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let clock = Clock::system();
                    let mut last = clock.now();
                    for _ in 0..10_000 {
                        let now = clock.now();
                        assert!(now >= last);
                        last = now;
                    }
                });
            }
        });
    }

    #[test]
    fn the_system_clock_shows_the_time_of_the_machine() {
        let before = wall_micros();
        let now = Clock::system().now().micros();
        assert!(now >= before && now <= wall_micros());
    }

    #[test]
    fn a_clock_set_back_runs_slowly_until_the_machine_has_caught_up() {
        let second = Duration::from_secs(1);
        assert_eq!(next_moment(10_000_000, second, 11_000_000), 11_000_000, "in step");
        assert_eq!(next_moment(10_000_000, second, 4_000_000), 10_500_000, "set back: half speed");
        assert_eq!(next_moment(10_000_000, Duration::from_nanos(900), 4_000_000), 10_000_000, "too short to tell");
        // Two seconds ahead at half speed: caught up after four.
        let (mut told, mut wall) = (12_000_000, 10_000_000);
        for _ in 0..4 {
            wall += 1_000_000;
            let next = next_moment(told, second, wall);
            assert!(next > told);
            told = next;
        }
        assert_eq!(told, wall);
    }

    #[test]
    fn a_manual_clock_moves_only_when_told_and_clones_agree() {
        let clock = Clock::manual(Timestamp::from_micros(5));
        let clone = clock.clone();
        assert_eq!((clock.now(), clone.now()), (Timestamp::from_micros(5), Timestamp::from_micros(5)));
        assert_eq!(clock.advance(Duration::from_micros(7)), Timestamp::from_micros(12));
        clone.set(Timestamp::from_micros(100));
        clone.set(Timestamp::from_micros(50));
        assert_eq!((clock.now(), clone.now()), (Timestamp::from_micros(100), Timestamp::from_micros(100)));
    }

    #[test]
    #[should_panic(expected = "only a manual clock can be moved")]
    fn a_system_clock_cannot_be_moved() {
        Clock::system().advance(Duration::from_secs(1));
    }
}
