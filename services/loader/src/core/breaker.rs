//! Breakers: of a target that does not answer, of a login that is refused, of a flow whose documents all fail alike.

use std::collections::VecDeque;
use std::time::Duration;

use document::Code;

use super::rules::Numbers;

/// What may be called now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    /// As much as there are places.
    Any,
    /// One call at a time.
    One,
    /// One call that changes nothing.
    Trial,
    /// Nothing before that instant.
    Wait(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    Open { until: Duration, wait: Duration },
    HalfOpen { successes: u32, wait: Duration },
}

/// The breaker of one connection.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    failures: VecDeque<Duration>,
    logins_refused: usize,
    login_again: Option<Duration>,
}

impl Default for Breaker {
    fn default() -> Self {
        Self { state: State::Closed, failures: VecDeque::new(), logins_refused: 0, login_again: None }
    }
}

impl Breaker {
    /// What may be called at `now`.
    pub fn allow(&self, now: Duration) -> Allow {
        if let Some(again) = self.login_again {
            return if now >= again { Allow::Trial } else { Allow::Wait(again) };
        }
        match self.state {
            State::Closed => Allow::Any,
            State::Open { until, .. } if now >= until => Allow::Trial,
            State::Open { until, .. } => Allow::Wait(until),
            State::HalfOpen { .. } => Allow::One,
        }
    }

    /// 0 closed, 1 half open, 2 open.
    pub fn level(&self) -> u8 {
        match (self.logins_refused, self.state) {
            (1.., _) | (_, State::Open { .. }) => 2,
            (_, State::HalfOpen { .. }) => 1,
            (_, State::Closed) => 0,
        }
    }

    /// The target answered. Whether the breaker moved.
    pub fn success(&mut self, numbers: &Numbers) -> bool {
        let before = self.level();
        self.logins_refused = 0;
        self.login_again = None;
        self.failures.clear();
        self.state = match self.state {
            State::Closed => State::Closed,
            State::Open { wait, .. } if numbers.breaker_successes > 1 => State::HalfOpen { successes: 1, wait },
            State::HalfOpen { successes, wait } if successes + 1 < numbers.breaker_successes => {
                State::HalfOpen { successes: successes + 1, wait }
            }
            State::Open { .. } | State::HalfOpen { .. } => State::Closed,
        };
        before != self.level()
    }

    /// The target did not answer. Whether the breaker moved.
    pub fn failure(&mut self, now: Duration, numbers: &Numbers) -> bool {
        self.failures.push_back(now);
        while self.failures.front().is_some_and(|first| now.saturating_sub(*first) > numbers.breaker_window) {
            self.failures.pop_front();
        }
        match self.state {
            State::Closed if self.failures.len() >= numbers.breaker_failures => self.open(now, numbers),
            State::Closed => false,
            State::Open { .. } | State::HalfOpen { .. } => self.open(now, numbers),
        }
    }

    /// Opens at once, or waits longer when it is not closed. Whether the breaker moved.
    pub fn open(&mut self, now: Duration, numbers: &Numbers) -> bool {
        let before = self.level();
        let wait = match self.state {
            State::Closed => numbers.breaker_wait,
            State::Open { wait, .. } | State::HalfOpen { wait, .. } => (wait * 2).min(numbers.breaker_wait_max),
        };
        self.state = State::Open { until: now + wait, wait };
        before != self.level()
    }

    /// The login was refused: nothing is tried for long. Whether it is the first refusal in a row.
    ///
    /// That something is tried again and again locks no account: the client looks at the secret's file by then, and
    /// sends no login that was refused before.
    pub fn login_refused(&mut self, now: Duration, numbers: &Numbers) -> bool {
        let wait = numbers.login_waits.get(self.logins_refused).or(numbers.login_waits.last());
        self.login_again = Some(now + wait.copied().unwrap_or(numbers.breaker_wait_max));
        self.logins_refused += 1;
        self.logins_refused == 1
    }
}

/// Looks back on how the records of one flow version ended.
#[derive(Debug, Clone, Default)]
pub struct FlowBreaker {
    ended: VecDeque<Option<Code>>,
}

impl FlowBreaker {
    /// Notes one end: the letter's code, or none. Gives the code that too many failed with.
    pub fn ended(&mut self, code: Option<Code>, numbers: &Numbers) -> Option<Code> {
        self.ended.push_back(code);
        let window = numbers.flow_breaker_window.max(numbers.flow_breaker_least);
        while self.ended.len() > window {
            self.ended.pop_front();
        }
        let code = code?;
        let alike = self.ended.iter().filter(|one| **one == Some(code)).count();
        (self.ended.len() >= numbers.flow_breaker_least && alike * 2 > self.ended.len()).then_some(code)
    }

    /// Forgets what it saw.
    pub fn clear(&mut self) {
        self.ended.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn five_failures_within_thirty_seconds_open_it_and_three_successes_close_it() {
        let (mut breaker, numbers) = (Breaker::default(), Numbers::default());
        for at in [0, 10, 20, 31] {
            assert!(!breaker.failure(s(at), &numbers));
        }
        assert!(!breaker.failure(s(32), &numbers), "the first failure is older than the window");
        assert!(breaker.failure(s(33), &numbers));
        assert_eq!(breaker.allow(s(34)), Allow::Wait(s(38)));
        assert_eq!(breaker.allow(s(38)), Allow::Trial);
        assert!(breaker.success(&numbers));
        assert_eq!(breaker.allow(s(39)), Allow::One);
        assert!(!breaker.success(&numbers));
        assert!(breaker.success(&numbers));
        assert_eq!((breaker.allow(s(40)), breaker.level()), (Allow::Any, 0));
    }

    #[test]
    fn where_one_success_is_to_close_it_the_first_one_does() {
        let (mut breaker, numbers) = (Breaker::default(), Numbers { breaker_successes: 1, ..Numbers::default() });
        breaker.open(s(0), &numbers);
        assert!(breaker.success(&numbers));
        assert_eq!((breaker.allow(s(1)), breaker.level()), (Allow::Any, 0));
    }

    #[test]
    fn an_open_breaker_waits_five_to_sixty_seconds() {
        let (mut breaker, numbers) = (Breaker::default(), Numbers::default());
        let mut now = s(100);
        breaker.open(now, &numbers);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let Allow::Wait(until) = breaker.allow(now) else { panic!("open") };
            waits.push((until - now).as_secs());
            now = until;
            breaker.failure(now, &numbers);
        }
        assert_eq!(waits, [5, 10, 20, 40, 60, 60]);
    }

    #[test]
    fn an_answer_between_failures_keeps_it_closed() {
        let (mut breaker, numbers) = (Breaker::default(), Numbers::default());
        for at in 0..20 {
            assert!(!breaker.failure(s(at), &numbers));
            breaker.success(&numbers);
        }
    }

    #[test]
    fn after_a_refused_login_one_call_is_tried_a_minute_later_and_then_every_five() {
        let (mut breaker, numbers) = (Breaker::default(), Numbers::default());
        assert!(breaker.login_refused(s(0), &numbers));
        assert_eq!(breaker.allow(s(1)), Allow::Wait(s(60)));
        assert_eq!(breaker.allow(s(60)), Allow::Trial);
        for at in [60, 360, 660, 960] {
            assert!(!breaker.login_refused(s(at), &numbers), "somebody has been called");
            assert_eq!((breaker.allow(s(at + 1)), breaker.level()), (Allow::Wait(s(at + 300)), 2));
        }
        breaker.success(&numbers);
        assert_eq!((breaker.allow(s(961)), breaker.level()), (Allow::Any, 0));
        assert!(breaker.login_refused(s(1_000), &numbers), "another story");
    }

    #[test]
    fn more_than_half_of_twenty_alike_trip_a_flow() {
        let (mut breaker, numbers) = (FlowBreaker::default(), Numbers::default());
        for n in 0..19 {
            assert_eq!(breaker.ended((n % 2 == 0).then_some(Code::ReferenceMissing), &numbers), None);
        }
        assert_eq!(breaker.ended(Some(Code::NumberTaken), &numbers), None, "another failure");
        assert_eq!(breaker.ended(Some(Code::ReferenceMissing), &numbers), Some(Code::ReferenceMissing));
    }

    #[test]
    fn half_alike_trip_nothing_and_one_more_does() {
        let (mut breaker, numbers) = (FlowBreaker::default(), Numbers::default());
        for _ in 0..10 {
            assert_eq!(breaker.ended(None, &numbers), None);
        }
        for _ in 0..10 {
            assert_eq!(breaker.ended(Some(Code::ReferenceMissing), &numbers), None);
        }
        assert_eq!(breaker.ended(Some(Code::ReferenceMissing), &numbers), Some(Code::ReferenceMissing));
    }

    #[test]
    fn a_flow_is_judged_by_its_last_forty() {
        let (mut breaker, numbers) = (FlowBreaker::default(), Numbers::default());
        for _ in 0..500 {
            assert_eq!(breaker.ended(None, &numbers), None);
        }
        for _ in 0..20 {
            assert_eq!(breaker.ended(Some(Code::ReferenceMissing), &numbers), None);
        }
        assert_eq!(breaker.ended(Some(Code::ReferenceMissing), &numbers), Some(Code::ReferenceMissing));
    }
}
