//! Growing waits between attempts, with jitter.

use std::time::Duration;

/// How long to wait before the next attempt: `first`, doubled each time up to `ceiling`, ±20 %.
///
/// A server that names its own time is obeyed, within bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    first: Duration,
    ceiling: Duration,
    longest_wish: Duration,
}

/// Numbers that make no backoff.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidBackoff {
    /// A wait of zero is a busy loop.
    #[error("the first wait must be longer than zero")]
    FirstIsZero,
    /// The waits would shrink.
    #[error("the ceiling {ceiling:?} is below the first wait {first:?}")]
    CeilingBelowFirst {
        /// The first wait.
        first: Duration,
        /// The longest wait.
        ceiling: Duration,
    },
    /// Nobody is served by a wait beyond a day.
    #[error("a wait of {0:?} is longer than a day")]
    TooLong(Duration),
}

const DAY: Duration = Duration::from_secs(86_400);

impl Backoff {
    /// 1, 2, 4, 8, 8 … seconds; a server may ask for up to five minutes.
    pub const HOUSE: Backoff = Backoff {
        first: Duration::from_secs(1),
        ceiling: Duration::from_secs(8),
        longest_wish: Duration::from_secs(300),
    };

    /// Waits from `first` to `ceiling`. A server's wish is obeyed between `first` and the longer of `ceiling` and five
    /// minutes.
    ///
    /// # Errors
    /// [`InvalidBackoff`] when `first` is zero, `ceiling` is below it, or `ceiling` is longer than a day.
    pub fn new(first: Duration, ceiling: Duration) -> Result<Self, InvalidBackoff> {
        if first.is_zero() {
            return Err(InvalidBackoff::FirstIsZero);
        }
        if ceiling < first {
            return Err(InvalidBackoff::CeilingBelowFirst { first, ceiling });
        }
        if ceiling > DAY {
            return Err(InvalidBackoff::TooLong(ceiling));
        }
        Ok(Self { first, ceiling, longest_wish: Self::HOUSE.longest_wish.max(ceiling) })
    }

    /// The wait after failed attempt number `attempt` (from 1), without jitter.
    pub fn plain(&self, attempt: u32) -> Duration {
        let doublings = attempt.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.ceiling)
    }

    /// The wait after failed attempt number `attempt` (from 1).
    ///
    /// `wish` is the time the server asked for; `random` is any random number, from which the jitter is made.
    pub fn wait(&self, attempt: u32, wish: Option<Duration>, random: u64) -> Duration {
        match wish {
            Some(wish) => wish.clamp(self.first, self.longest_wish),
            None => {
                let per_mille = 800 + u32::try_from(random % 401).expect("below 401");
                self.plain(attempt).saturating_mul(per_mille) / 1_000
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_double_up_to_the_ceiling() {
        let waits: Vec<u64> = (1..=6).map(|attempt| Backoff::HOUSE.plain(attempt).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 8, 8]);
        assert_eq!(Backoff::HOUSE.plain(u32::MAX), 8 * SECOND);
        assert_eq!(Backoff::HOUSE.plain(0), SECOND);
    }

    #[test]
    fn jitter_is_twenty_per_cent_either_way() {
        assert_eq!(Backoff::HOUSE.wait(2, None, 0), Duration::from_millis(1_600));
        assert_eq!(Backoff::HOUSE.wait(2, None, 200), Duration::from_secs(2));
        assert_eq!(Backoff::HOUSE.wait(2, None, 400), Duration::from_millis(2_400));
        for random in 0..2_000 {
            let wait = Backoff::HOUSE.wait(4, None, random * 7_919);
            assert!((Duration::from_millis(6_400)..=Duration::from_millis(9_600)).contains(&wait), "{wait:?}");
        }
    }

    #[test]
    fn the_servers_wish_wins_within_bounds() {
        assert_eq!(Backoff::HOUSE.wait(1, Some(30 * SECOND), 0), 30 * SECOND);
        assert_eq!(Backoff::HOUSE.wait(4, Some(Duration::ZERO), 0), SECOND);
        assert_eq!(Backoff::HOUSE.wait(1, Some(DAY), 0), 300 * SECOND);
    }

    #[test]
    fn bad_numbers_make_no_backoff() {
        assert_eq!(Backoff::new(Duration::ZERO, SECOND), Err(InvalidBackoff::FirstIsZero));
        assert_eq!(
            Backoff::new(2 * SECOND, SECOND),
            Err(InvalidBackoff::CeilingBelowFirst { first: 2 * SECOND, ceiling: SECOND })
        );
        assert_eq!(Backoff::new(SECOND, DAY + SECOND), Err(InvalidBackoff::TooLong(DAY + SECOND)));
        assert_eq!(Backoff::new(SECOND, 8 * SECOND), Ok(Backoff::HOUSE));
    }
}
