//! The breaker: stops calling what keeps failing, and finds out when it is back.
//!
//! Pure: time is an argument, any monotonic duration since a fixed instant.

use std::collections::VecDeque;
use std::time::Duration;

/// When to open, how to probe, when to close.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BreakerSettings {
    /// Failures within `window` that open it.
    pub failures: usize,
    /// The window.
    pub window: Duration,
    /// The first wait before a probe; doubles with each failed probe.
    pub probe_first: Duration,
    /// The longest wait between probes.
    pub probe_longest: Duration,
    /// Successful probes in a row that close it.
    pub successes: u32,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_secs(30),
            probe_first: Duration::from_secs(5),
            probe_longest: Duration::from_secs(60),
            successes: 3,
        }
    }
}

/// Whether a call may be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Closed: call.
    Go,
    /// Open, and this caller is the one that probes: its result must be told.
    Probe,
    /// Open: wait this long and ask again.
    Wait(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        /// The next probe may leave at this time.
        next: Duration,
        /// The wait after the probe that is due, should it fail.
        wait: Duration,
        /// Successful probes in a row.
        good: u32,
        /// A probe is under way since then.
        probing: Option<Duration>,
    },
}

/// One breaker, for one target.
#[derive(Debug, Clone)]
pub struct Breaker {
    settings: BreakerSettings,
    state: State,
    failed: VecDeque<Duration>,
}

/// A probe that never reported back is given up after this long.
const PROBE_LOST: Duration = Duration::from_secs(180);

impl Breaker {
    /// A closed breaker.
    pub fn new(settings: BreakerSettings) -> Self {
        Self { settings, state: State::Closed, failed: VecDeque::new() }
    }

    /// Whether it is open.
    pub fn is_open(&self) -> bool {
        self.state != State::Closed
    }

    /// Asks for a call. [`Gate::Probe`] is given to one caller at a time.
    pub fn ask(&mut self, now: Duration) -> Gate {
        match &mut self.state {
            State::Closed => Gate::Go,
            State::Open { next, probing, .. } => {
                if let Some(since) = *probing {
                    let over = since.saturating_add(PROBE_LOST);
                    if now < over {
                        return Gate::Wait(self.settings.probe_first.min(over.saturating_sub(now)));
                    }
                    *probing = None;
                }
                if now < *next {
                    return Gate::Wait(next.saturating_sub(now));
                }
                *probing = Some(now);
                Gate::Probe
            }
        }
    }

    /// A call succeeded.
    pub fn succeeded(&mut self, now: Duration) {
        match &mut self.state {
            State::Closed => {}
            State::Open { next, wait, good, probing } => {
                // A call that was under way when the breaker opened is no probe: its luck is older than the trouble.
                if probing.take().is_none() {
                    return;
                }
                *good += 1;
                if *good >= self.settings.successes {
                    self.state = State::Closed;
                    self.failed.clear();
                } else {
                    *wait = self.settings.probe_first;
                    *next = now.saturating_add(self.settings.probe_first);
                }
            }
        }
    }

    /// A call failed for a reason of infrastructure.
    pub fn failed(&mut self, now: Duration) {
        match &mut self.state {
            State::Closed => {
                let window = self.settings.window;
                self.failed.retain(|then| then.saturating_add(window) > now);
                self.failed.push_back(now);
                if self.failed.len() >= self.settings.failures {
                    self.trip(now);
                }
            }
            State::Open { next, wait, good, probing } => {
                if probing.take().is_none() {
                    return;
                }
                *good = 0;
                *wait = wait.saturating_mul(2).min(self.settings.probe_longest);
                *next = now.saturating_add(*wait);
            }
        }
    }

    /// Opens at once, as a refused login does.
    pub fn trip(&mut self, now: Duration) {
        self.failed.clear();
        self.state = State::Open {
            next: now.saturating_add(self.settings.probe_first),
            wait: self.settings.probe_first,
            good: 0,
            probing: None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn open_at(now: Duration) -> Breaker {
        let mut breaker = Breaker::new(BreakerSettings::default());
        breaker.trip(now);
        breaker
    }

    #[test]
    fn five_failures_in_thirty_seconds_open_it() {
        let mut breaker = Breaker::new(BreakerSettings::default());
        for at in [0, 1, 2, 3] {
            breaker.failed(s(at));
            assert_eq!(breaker.ask(s(at)), Gate::Go);
        }
        breaker.failed(s(29));
        assert!(breaker.is_open());
        assert_eq!(breaker.ask(s(29)), Gate::Wait(s(5)));
    }

    #[test]
    fn failures_that_are_thirty_seconds_old_do_not_count() {
        let mut breaker = Breaker::new(BreakerSettings::default());
        for at in [0, 10, 20, 25, 30] {
            breaker.failed(s(at));
        }
        assert!(!breaker.is_open(), "the failure at 0 left the window at 30");
        breaker.failed(s(31));
        assert!(breaker.is_open());
    }

    #[test]
    fn one_caller_probes_and_the_waits_double_to_a_minute() {
        let mut breaker = open_at(s(0));
        let mut now = s(0);
        for wait in [5, 10, 20, 40, 60, 60] {
            assert_eq!(breaker.ask(now), Gate::Wait(s(wait)));
            now += s(wait);
            assert_eq!(breaker.ask(now), Gate::Probe);
            assert!(matches!(breaker.ask(now), Gate::Wait(_)), "only one probe at a time");
            breaker.failed(now);
        }
    }

    #[test]
    fn three_successful_probes_close_it() {
        let mut breaker = open_at(s(0));
        for at in [5, 10, 15] {
            assert!(breaker.is_open());
            assert_eq!(breaker.ask(s(at)), Gate::Probe);
            breaker.succeeded(s(at));
        }
        assert!(!breaker.is_open());
        assert_eq!(breaker.ask(s(15)), Gate::Go);
        breaker.failed(s(15));
        assert!(!breaker.is_open(), "old failures are forgotten");
    }

    #[test]
    fn a_failed_probe_begins_the_row_of_successes_again() {
        let mut breaker = open_at(s(0));
        for (at, good) in [(5, true), (10, true), (15, false), (25, true), (30, true)] {
            assert_eq!(breaker.ask(s(at)), Gate::Probe, "at {at}");
            if good {
                breaker.succeeded(s(at));
            } else {
                breaker.failed(s(at));
            }
        }
        assert!(breaker.is_open());
        assert_eq!(breaker.ask(s(35)), Gate::Probe);
        breaker.succeeded(s(35));
        assert!(!breaker.is_open());
    }

    #[test]
    fn calls_from_before_the_opening_change_nothing() {
        let mut breaker = open_at(s(0));
        for _ in 0..10 {
            breaker.succeeded(s(1));
            breaker.failed(s(1));
        }
        assert_eq!(breaker.ask(s(4)), Gate::Wait(s(1)));
        assert_eq!(breaker.ask(s(5)), Gate::Probe);
    }

    #[test]
    fn a_probe_that_never_reports_is_given_up() {
        let mut breaker = open_at(s(0));
        assert_eq!(breaker.ask(s(5)), Gate::Probe);
        assert_eq!(breaker.ask(s(184)), Gate::Wait(s(1)));
        assert_eq!(breaker.ask(s(185)), Gate::Probe);
    }
}
