//! The call limit: at most so many calls in any sliding window.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

/// Counts calls and refuses the one beyond the limit. Refused calls do not use up the limit.
#[derive(Debug)]
pub struct Limit {
    calls: Option<u32>,
    window: Duration,
    served: VecDeque<Instant>,
}

impl Limit {
    /// At most `calls` in any `window`; no limit without a number.
    pub fn new(calls: Option<u32>, window: Duration) -> Self {
        Self { calls, window, served: VecDeque::new() }
    }

    /// Admits a call at `now`, or says how long until one would be admitted.
    ///
    /// # Errors
    ///
    /// The wait.
    pub fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        let Some(calls) = self.calls else { return Ok(()) };
        while self.served.front().is_some_and(|first| now.duration_since(*first) >= self.window) {
            self.served.pop_front();
        }
        if self.served.len() < usize::try_from(calls).unwrap_or(usize::MAX) {
            self.served.push_back(now);
            return Ok(());
        }
        let first = self.served.front().copied().unwrap_or(now);
        Err(self.window.saturating_sub(now.duration_since(first)))
    }
}

/// The most instants, which ascend, that lie in any `window`.
pub fn fullest(instants: &[Instant], window: Duration) -> usize {
    let mut first = 0;
    let mut most = 0;
    for (index, instant) in instants.iter().enumerate() {
        while instants.get(first).is_some_and(|early| instant.duration_since(*early) >= window) {
            first += 1;
        }
        most = most.max(index + 1 - first);
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_slides_and_refused_calls_do_not_count() {
        let start = Instant::now();
        let at = |second: u64| start + Duration::from_secs(second);
        let mut limit = Limit::new(Some(2), Duration::from_secs(60));
        assert_eq!(limit.admit(at(0)), Ok(()));
        assert_eq!(limit.admit(at(50)), Ok(()));
        assert_eq!(limit.admit(at(55)), Err(Duration::from_secs(5)));
        assert_eq!(limit.admit(at(59)), Err(Duration::from_secs(1)));
        assert_eq!(limit.admit(at(60)), Ok(()));
        assert_eq!(limit.admit(at(61)), Err(Duration::from_secs(49)));
        assert_eq!(limit.admit(at(110)), Ok(()));
    }

    #[test]
    fn the_fullest_window_is_found_wherever_it_lies() {
        let start = Instant::now();
        let instants: Vec<Instant> =
            [0, 10, 59, 60, 61, 200].into_iter().map(|second| start + Duration::from_secs(second)).collect();
        assert_eq!(fullest(&instants, Duration::from_secs(60)), 4);
        assert_eq!(fullest(&[], Duration::from_secs(60)), 0);
    }
}
