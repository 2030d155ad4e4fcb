//! Time as a value that is handed in, so that tests pass their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Wall time and a monotonic stopwatch. Cheap to clone; clones show the same time.
#[derive(Debug, Clone)]
pub struct Clock(Kind);

#[derive(Debug, Clone)]
enum Kind {
    System { started: Instant },
    Manual { wall: Arc<AtomicU64>, monotonic: Arc<AtomicU64> },
}

/// Moves the clock made with it by [`Clock::manual`].
#[derive(Debug, Clone)]
pub struct Hand {
    wall: Arc<AtomicU64>,
    monotonic: Arc<AtomicU64>,
}

fn micros_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Clock {
    /// The clock of the machine. Its stopwatch is tokio's, which tests can pause.
    pub fn system() -> Self {
        Self(Kind::System { started: Instant::now() })
    }

    /// A clock that stands still at `micros` (unix microseconds) until its hand moves it.
    pub fn manual(micros: u64) -> (Self, Hand) {
        let (wall, monotonic) = (Arc::new(AtomicU64::new(micros)), Arc::new(AtomicU64::new(0)));
        let hand = Hand { wall: Arc::clone(&wall), monotonic: Arc::clone(&monotonic) };
        (Self(Kind::Manual { wall, monotonic }), hand)
    }

    /// Wall time, unix microseconds. It may jump either way.
    pub fn micros(&self) -> u64 {
        match &self.0 {
            // A clock before 1970 reads as 1970: versions stay ordered by their own counter.
            Kind::System { .. } => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, micros_of);
                // Nothing but a build for runs under faults has a clock that is wrong on purpose.
                now.saturating_add_signed(killpoint::clock_error().saturating_mul(1_000_000))
            }
            Kind::Manual { wall, .. } => wall.load(Ordering::SeqCst),
        }
    }

    /// Wall time, unix milliseconds.
    pub fn millis(&self) -> i64 {
        i64::try_from(self.micros() / 1_000).expect("micros / 1000 is below i64::MAX")
    }

    /// Wall time, unix seconds.
    pub fn seconds(&self) -> i64 {
        self.millis() / 1_000
    }

    /// Time since the clock was made. It never goes back.
    pub fn monotonic(&self) -> Duration {
        match &self.0 {
            Kind::System { started } => started.elapsed(),
            Kind::Manual { monotonic, .. } => Duration::from_micros(monotonic.load(Ordering::SeqCst)),
        }
    }
}

impl Hand {
    /// Lets time pass, on the wall and on the stopwatch.
    pub fn advance(&self, by: Duration) {
        let by = micros_of(by);
        self.wall.fetch_add(by, Ordering::SeqCst);
        self.monotonic.fetch_add(by, Ordering::SeqCst);
    }

    /// Makes the wall time jump to `micros` (unix microseconds), either way; the stopwatch does not notice.
    pub fn jump(&self, micros: u64) {
        self.wall.store(micros, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_by_its_hand() {
        let (clock, hand) = Clock::manual(5_000_000);
        assert_eq!((clock.micros(), clock.monotonic()), (5_000_000, Duration::ZERO));
        hand.advance(Duration::from_millis(1_500));
        assert_eq!((clock.micros(), clock.millis(), clock.seconds()), (6_500_000, 6_500, 6));
        hand.jump(1);
        assert_eq!((clock.micros(), clock.monotonic()), (1, Duration::from_millis(1_500)));
    }

    #[test]
    fn the_system_clock_goes_forward() {
        let clock = Clock::system();
        let before = clock.monotonic();
        assert!(clock.micros() > 1_700_000_000_000_000);
        assert!(clock.monotonic() >= before);
    }
}
