//! The generic cell rate algorithm, in whole microseconds.
//!
//! One number is kept per rate: the instant at which the bucket would be whole again (`tat`). A call is let through when
//! that instant is at most `tolerance` ahead, and moves it on by `interval`.
//!
//! **Bound**: any closed window of 60 s holds at most `per_minute + burst` calls.
//! **Empty start**: where nothing is known (first use, a flush, a foreign value under the key), the number is set to the
//! highest one that a call could have left behind. Forgetting can therefore only slow things down, however often it
//! happens.

/// Microseconds in the window that limits are about.
pub const WINDOW: i64 = 60_000_000;

/// A rate with a burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    interval: i64,
    tolerance: i64,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// 0: it may be made. Otherwise how long to wait before asking again.
    pub wait: i64,
    /// The number to keep if it is made.
    pub granted: i64,
    /// The number to keep if it is not.
    pub kept: i64,
}

impl Rate {
    /// At most `per_minute + burst` calls in any closed window of 60 s; both at least 1.
    pub fn new(per_minute: u32, burst: u32) -> Self {
        let per_minute = i64::from(per_minute.max(1));
        let interval = (WINDOW + per_minute - 1) / per_minute;
        Self { interval, tolerance: interval * (i64::from(burst.max(1)) - 1) }
    }

    /// At most `count` calls in any closed window of 60 s, evenly spaced, with no burst at all; `None` for 0.
    pub fn spaced(count: u32) -> Option<Self> {
        match count {
            0 => None,
            // Two calls never share a window, not even when the first is late and the second is not: 64 s are more than a
            // window and the longest way of a call (`split::PERMIT_LIFETIME`).
            1 => Some(Self { interval: WINDOW + WINDOW / 15, tolerance: 0 }),
            count => Some(Self::new(count - 1, 1)),
        }
    }

    /// The time between two calls at the sustained rate.
    pub fn interval(&self) -> i64 {
        self.interval
    }

    /// How far ahead the kept number may be for a call to be let through.
    pub fn tolerance(&self) -> i64 {
        self.tolerance
    }

    /// The number that means "nothing left", at `now`.
    pub fn empty(&self, now: i64) -> i64 {
        now + self.tolerance + self.interval
    }

    /// Decides one call at `now`, given the kept number if there is one, and the number the caller last saw: a keeper that
    /// came back with old data is corrected by it.
    pub fn decide_seen(&self, tat: Option<i64>, seen: i64, now: i64) -> Decision {
        self.decide(tat.map(|tat| tat.max(seen)), now)
    }

    /// Decides one call at `now`, given the kept number if there is one.
    pub fn decide(&self, tat: Option<i64>, now: i64) -> Decision {
        let empty = self.empty(now);
        // A number further ahead than any call leaves behind comes from a clock that has since gone back.
        let kept = tat.map_or(empty, |tat| tat.min(empty));
        Decision { wait: (kept - self.tolerance - now).max(0), granted: kept.max(now) + self.interval, kept }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The most calls in any closed window of 60 s.
    fn fullest(times: &[i64]) -> usize {
        let mut first = 0;
        (0..times.len())
            .map(|last| {
                while times[last] - times[first] > WINDOW {
                    first += 1;
                }
                last - first + 1
            })
            .max()
            .unwrap_or(0)
    }

    /// Calls as fast as they are let through, from `start` on, forgetting everything at the given instants.
    fn greedy(rate: Rate, until: i64, flushes: &[i64]) -> Vec<i64> {
        let (mut tat, mut now, mut made) = (None, 0, Vec::new());
        let mut flushes = flushes.iter().copied().peekable();
        while now < until {
            while flushes.next_if(|at| *at <= now).is_some() {
                tat = None;
            }
            let decision = rate.decide(tat, now);
            if decision.wait == 0 {
                tat = Some(decision.granted);
                made.push(now);
            } else {
                tat = Some(decision.kept);
                now += flushes.peek().map_or(decision.wait, |at| decision.wait.min(at - now)).max(1);
            }
        }
        made
    }

    #[test]
    fn it_starts_empty_and_then_keeps_the_rate() {
        let rate = Rate::new(60, 5);
        let made = greedy(rate, 10 * WINDOW, &[]);
        assert_eq!(made.first(), Some(&1_000_000), "one interval after the start");
        assert_eq!(made.len(), 599);
    }

    #[test]
    fn a_pause_saves_up_one_burst_and_no_more() {
        let rate = Rate::new(60, 5);
        let mut tat = Some(0);
        let now = 100 * WINDOW;
        let mut made = 0;
        while rate.decide(tat, now).wait == 0 {
            tat = Some(rate.decide(tat, now).granted);
            made += 1;
        }
        assert_eq!(made, 5);
        assert_eq!(rate.decide(tat, now).wait, 1_000_000);
    }

    #[test]
    fn a_number_from_a_clock_that_went_back_is_cut() {
        let rate = Rate::new(60, 5);
        assert_eq!(rate.decide(Some(1_000_000 * WINDOW), 0).wait, rate.interval());
    }

    #[test]
    fn spaced_rates_never_put_more_than_their_count_into_a_closed_minute() {
        for count in 1..=20 {
            let rate = Rate::spaced(count).expect("above zero");
            let most = fullest(&greedy(rate, 20 * WINDOW, &[])) as u32;
            assert!(most == count || most + 1 == count, "{most} of {count}");
        }
        assert_eq!(Rate::spaced(0), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn no_closed_minute_holds_more_than_rate_and_burst_whatever_is_forgotten(
            per_minute in 1_u32..120, burst in 1_u32..10,
            mut flushes in prop::collection::vec(0_i64..3 * WINDOW, 0..12),
        ) {
            flushes.sort_unstable();
            let made = greedy(Rate::new(per_minute, burst), 3 * WINDOW, &flushes);
            prop_assert!(fullest(&made) <= (per_minute + burst) as usize);
        }
    }
}
