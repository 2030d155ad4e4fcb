//! The thinking of a limiter: whom to ask next, and what to do when Redis does not answer.
//!
//! Pure: instants are microseconds since any fixed one, and the answers of Redis are brought in by the caller.

use std::time::Duration;

use crate::gcra::Rate;
use crate::limiter::Lane;
use crate::split::Shares;

/// How often Redis is tried while it does not answer.
pub const RETRY: i64 = 1_000_000;

/// What to do next for one permit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Ask Redis, then tell [`Quota::answered`] or [`Quota::failed`].
    Ask,
    /// The call may be made.
    Granted,
    /// Wait this long, then ask [`Quota::next`] again.
    Wait(Duration),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// Redis counts.
    Shared,
    /// It did not answer; it is tried again at this instant.
    Local { retry: i64 },
    /// There is none.
    Apart,
}

/// One account's permits in one process.
#[derive(Debug, Clone)]
pub struct Quota {
    shares: Shares,
    mode: Mode,
    local: i64,
    local_replay: i64,
    seen: i64,
}

impl Quota {
    /// Begins at `now`, with empty pools. `apart`: there is no Redis, and `shares` were made for that.
    pub fn new(shares: Shares, apart: bool, now: i64) -> Self {
        let empty = |rate: Option<Rate>| rate.map_or(now, |rate| rate.empty(now));
        Self {
            shares,
            mode: if apart { Mode::Apart } else { Mode::Shared },
            local: empty(shares.local),
            local_replay: empty(shares.local_replay),
            seen: 0,
        }
    }

    /// Goes on with other shares; what was used stays used.
    pub fn reshare(&mut self, shares: Shares, now: i64) {
        if self.shares != shares {
            let empty = |rate: Option<Rate>| rate.map_or(now, |rate| rate.empty(now));
            self.local = empty(shares.local);
            self.local_replay = empty(shares.local_replay);
            self.shares = shares;
        }
    }

    /// The shares it goes by.
    pub fn shares(&self) -> &Shares {
        &self.shares
    }

    /// Whether it does without Redis although there is one.
    pub fn is_degraded(&self) -> bool {
        matches!(self.mode, Mode::Local { .. })
    }

    /// What to do for a permit at `now`.
    pub fn next(&mut self, now: i64, lane: Lane) -> Step {
        match self.mode {
            Mode::Shared => Step::Ask,
            Mode::Local { retry } if now >= retry => Step::Ask,
            Mode::Local { retry } => match self.take_local(now, lane) {
                0 => Step::Granted,
                wait => Step::Wait(micros(wait.min(retry - now))),
            },
            Mode::Apart => match self.take_local(now, lane) {
                0 => Step::Granted,
                wait => Step::Wait(micros(wait)),
            },
        }
    }

    /// The number that Redis was last seen to keep, in microseconds of its own clock. It goes along with every question,
    /// so that a Redis that came back with old data is told what it forgot.
    pub fn seen(&self) -> i64 {
        self.seen
    }

    /// Redis answered with its own decision (0 is a permit, anything else a wait) and the number it keeps now.
    pub fn answered(&mut self, wait: i64, seen: i64) -> Step {
        self.seen = seen;
        if self.mode != Mode::Apart {
            self.mode = Mode::Shared;
        }
        if wait <= 0 { Step::Granted } else { Step::Wait(micros(wait)) }
    }

    /// Redis did not answer, or with an error.
    pub fn failed(&mut self, now: i64) {
        if self.mode != Mode::Apart {
            self.mode = Mode::Local { retry: now + RETRY };
        }
    }

    /// Takes from the pool of this process: 0 is a permit, anything else a wait.
    fn take_local(&mut self, now: i64, lane: Lane) -> i64 {
        let Some(rate) = self.shares.local else { return RETRY };
        let all = rate.decide(Some(self.local), now);
        let mut wait = all.wait;
        let replay = match (lane, self.shares.local_replay) {
            (Lane::Fresh, _) => None,
            (Lane::Replay, None) => return RETRY,
            (Lane::Replay, Some(rate)) => Some(rate.decide(Some(self.local_replay), now)),
        };
        if let Some(replay) = replay {
            wait = wait.max(replay.wait);
        }
        if wait == 0 {
            self.local = all.granted;
            if let Some(replay) = replay {
                self.local_replay = replay.granted;
            }
        }
        wait
    }
}

fn micros(count: i64) -> Duration {
    Duration::from_micros(u64::try_from(count).unwrap_or_default())
}

#[cfg(test)]
mod tests;
