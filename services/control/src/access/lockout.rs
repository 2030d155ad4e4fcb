//! Whoever fails to sign in too often waits, each time longer.
//!
//! Failures are counted per name that the caller chooses. For tokens and the bootstrap credential it is the peer's
//! address: counted by the principal that a forged token claims, anyone could lock out anyone.

use std::collections::HashMap;

use chrono::{DateTime, TimeDelta, Utc};
use document::{Code, Fault};

/// When to lock, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Failures in a row that are let pass.
    pub tolerated: u32,
    /// The first lock. Every further failure doubles it.
    pub first_lock: TimeDelta,
    /// The longest lock.
    pub longest_lock: TimeDelta,
    /// After this long without a failure, earlier ones are forgotten.
    pub forgotten_after: TimeDelta,
    /// How many names are remembered; memory stays within it.
    pub names: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tolerated: 5,
            first_lock: TimeDelta::minutes(1),
            longest_lock: TimeDelta::hours(1),
            forgotten_after: TimeDelta::hours(2),
            names: 10_000,
        }
    }
}

/// A name that may not try before an instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many failed attempts; the next one is looked at from {} on", until.format("%Y-%m-%dT%H:%M:%SZ"))]
pub struct Locked {
    /// The end of the lock.
    pub until: DateTime<Utc>,
}

impl From<Locked> for Fault {
    fn from(locked: Locked) -> Self {
        Fault::new(Code::LockedOut, locked.to_string())
    }
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: DateTime<Utc>,
    locked_until: DateTime<Utc>,
}

/// The failures of late.
#[derive(Debug, Clone)]
pub struct Lockout {
    limits: Limits,
    names: HashMap<String, Failures>,
}

impl Lockout {
    /// No failures yet.
    pub fn new(limits: Limits) -> Self {
        Self { limits, names: HashMap::new() }
    }

    /// Whether `name` may try at `now`. Asked before the credential is looked at, so that a lock tells nothing about it.
    ///
    /// # Errors
    /// [`Locked`] when it may not.
    pub fn check(&self, name: &str, now: DateTime<Utc>) -> Result<(), Locked> {
        match self.names.get(name) {
            Some(failures) if now < failures.locked_until => Err(Locked { until: failures.locked_until }),
            Some(_) | None => Ok(()),
        }
    }

    /// `name` failed at `now`. Says when that locks it.
    ///
    /// # Errors
    /// [`Locked`] when it may not try again at once.
    pub fn failed(&mut self, name: &str, now: DateTime<Utc>) -> Result<(), Locked> {
        let earlier = self.names.get(name).filter(|earlier| now - earlier.last < self.limits.forgotten_after);
        let count = earlier.map_or(0, |earlier| earlier.count).saturating_add(1);
        let locked_until = now + self.lock_after(count);
        if !self.names.contains_key(name) {
            self.make_room(now);
        }
        self.names.insert(name.to_owned(), Failures { count, last: now, locked_until });
        self.check(name, now)
    }

    /// `name` signed in; its failures are forgotten.
    pub fn succeeded(&mut self, name: &str) {
        self.names.remove(name);
    }

    /// How long the failure number `count` locks.
    fn lock_after(&self, count: u32) -> TimeDelta {
        let Some(doublings) = count.checked_sub(self.limits.tolerated + 1) else { return TimeDelta::zero() };
        let factor = 1_i32.checked_shl(doublings).filter(|factor| *factor > 0).unwrap_or(i32::MAX);
        self.limits
            .first_lock
            .checked_mul(factor)
            .map_or(self.limits.longest_lock, |lock| lock.min(self.limits.longest_lock))
    }

    /// Lets go of what is forgotten anyway, and otherwise of the name whose lock ends first: whoever floods this with
    /// names of their own frees none that is locked for longer.
    fn make_room(&mut self, now: DateTime<Utc>) {
        if self.names.len() < self.limits.names {
            return;
        }
        let forgotten_after = self.limits.forgotten_after;
        self.names.retain(|_, failures| now - failures.last < forgotten_after || now < failures.locked_until);
        while self.names.len() >= self.limits.names {
            let least = self.names.iter().min_by_key(|(_, failures)| (failures.locked_until, failures.last));
            let Some(name) = least.map(|(name, _)| name.clone()) else { return };
            self.names.remove(&name);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn start() -> DateTime<Utc> {
        "2026-03-01T08:00:00Z".parse().expect("an instant")
    }

    fn fail(lockout: &mut Lockout, name: &str, now: DateTime<Utc>) -> TimeDelta {
        match lockout.failed(name, now) {
            Ok(()) => TimeDelta::zero(),
            Err(locked) => locked.until - now,
        }
    }

    #[test]
    fn the_sixth_failure_locks_and_each_further_one_for_twice_as_long() {
        let mut lockout = Lockout::new(Limits::default());
        let mut now = start();
        let mut locks = Vec::new();
        for _ in 0..14 {
            assert_eq!(lockout.check("10.0.0.1", now), Ok(()));
            let lock = fail(&mut lockout, "10.0.0.1", now);
            if lock > TimeDelta::zero() {
                let last = now + lock - TimeDelta::milliseconds(1);
                assert_eq!(lockout.check("10.0.0.1", last), Err(Locked { until: now + lock }));
            }
            now += lock;
            locks.push(lock.num_minutes());
        }
        assert_eq!(locks, [0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(lockout.check("10.0.0.2", start()), Ok(()));
    }

    #[test]
    fn success_and_time_make_forget() {
        let mut lockout = Lockout::new(Limits::default());
        for _ in 0..5 {
            assert_eq!(fail(&mut lockout, "a", start()), TimeDelta::zero());
            assert_eq!(fail(&mut lockout, "b", start()), TimeDelta::zero());
        }
        lockout.succeeded("a");
        assert_eq!(fail(&mut lockout, "a", start()), TimeDelta::zero());
        assert_eq!(fail(&mut lockout, "b", start() + TimeDelta::hours(2)), TimeDelta::zero());
        assert_eq!(fail(&mut lockout, "b", start() + TimeDelta::hours(2)), TimeDelta::zero());
    }

    #[test]
    fn a_lock_is_told_with_its_end() {
        let fault = Fault::from(Locked { until: start() });
        assert_eq!(fault.code, Code::LockedOut);
        assert!(fault.detail.contains("2026-03-01T08:00:00Z"), "{fault}");
    }

    #[test]
    fn a_flood_of_names_frees_nobody_who_is_locked() {
        let mut lockout = Lockout::new(Limits { names: 100, ..Limits::default() });
        for _ in 0..6 {
            fail(&mut lockout, "locked", start());
        }
        for number in 0..1_000 {
            fail(&mut lockout, &format!("other-{number}"), start() + TimeDelta::seconds(1));
        }
        assert!(lockout.check("locked", start() + TimeDelta::seconds(59)).is_err());
    }

    #[test]
    fn failures_without_end_do_not_overflow() {
        let limits = Limits { first_lock: TimeDelta::MAX, longest_lock: TimeDelta::hours(1), ..Limits::default() };
        let mut lockout = Lockout::new(limits);
        let last = (0..100).map(|_| fail(&mut lockout, "a", start())).last();
        assert_eq!(last, Some(TimeDelta::hours(1)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        #[test]
        fn memory_is_bounded_and_locks_only_grow_in_a_row(
            steps in prop::collection::vec(("[a-h]", 0_i64..400, any::<bool>()), 0..60),
        ) {
            let limits = Limits { names: 4, tolerated: 1, ..Limits::default() };
            let mut lockout = Lockout::new(limits);
            let mut now = start();
            for (name, seconds, success) in steps {
                now += TimeDelta::seconds(seconds);
                let before = lockout.check(&name, now);
                if success {
                    lockout.succeeded(&name);
                    prop_assert_eq!(lockout.check(&name, now), Ok(()));
                } else {
                    let after = lockout.failed(&name, now);
                    prop_assert_eq!(after, lockout.check(&name, now));
                    if let Err(Locked { until }) = before {
                        prop_assert!(after.is_err_and(|locked| locked.until >= until));
                    }
                    prop_assert!(after.map_or_else(|locked| locked.until - now, |()| TimeDelta::zero()) <= limits.longest_lock);
                }
                prop_assert!(lockout.names.len() <= limits.names);
            }
        }
    }
}
