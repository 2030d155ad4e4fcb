//! How one call limit is split: a common rate that Redis keeps, and a pool that each process keeps for the time when
//! Redis does not answer.
//!
//! The parts add up for every instant, because the pool is never part of the common rate. Of a limit of 100 in any
//! sliding 60 s:
//!
//! | | one process | several |
//! |---|---|---|
//! | common rate and burst, counted by Redis | 86 + 5 | 71 + 5 |
//! | pools, all together | 5 | 20 |
//! | never granted | 4 | 4 |
//!
//! The last line pays for the way: a permit is granted before its call reaches the server. If every call arrives at most
//! [`PERMIT_LIFETIME`] after its permit, the calls that arrive in 60 s were granted within 63 s, and 3 s of the rates are
//! (86 + 5)/20 or (71 + 20)/20, at most 4 whole permits. Other limits are split in the same proportions.
//!
//! A second burst, for a Redis that forgets, is not set aside: the common rate starts empty whenever its number is missing,
//! and a caller brings along the last number it saw, so that old data (a snapshot after a crash) is corrected too. With
//! several processes the first to ask may have missed what the others got in the last instants; that is less than the
//! burst, and only then part of the margin is used for it.
//!
//! Pools are whole permits. Where there are fewer than processes, the first ones have one each and the others wait.

use std::time::Duration;

use document::{Code, Fault};

use crate::error::Error;
use crate::gcra::Rate;

/// How old a permit may be when its call is sent.
pub const PERMIT_LIFETIME: Duration = Duration::from_secs(3);

/// A limit of calls in any sliding 60 s, and who shares it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limit {
    /// Calls that any sliding 60 s may hold, all processes together.
    pub per_minute: u32,
    /// How many processes there are at most that take permits of the account, of all services together.
    pub max_replicas: u32,
    /// Which of them this is, from 0.
    pub replica: u32,
}

/// The rates that one process knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shares {
    /// Kept in Redis: everything.
    pub shared: Rate,
    /// Kept in Redis: replays, a part of everything.
    pub shared_replay: Rate,
    /// Kept by this process, for the time without Redis.
    pub local: Option<Rate>,
    /// The same for replays, a part of it.
    pub local_replay: Option<Rate>,
}

impl Limit {
    /// A limit for one process alone.
    pub fn alone(per_minute: u32) -> Self {
        Self { per_minute, max_replicas: 1, replica: 0 }
    }

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`Error::Split`], with the number's name as its path.
    pub fn check(&self) -> Result<(), Error> {
        let wrong =
            |path: &str, detail: String| Err(Error::Split(Fault::new(Code::QuotaSplit, detail).at_path(path).into()));
        if self.per_minute < 10 {
            return wrong("per_minute", format!("{} calls a minute are too few to be split", self.per_minute));
        }
        if self.max_replicas == 0 {
            return wrong("max_replicas", "there is at least one process".to_owned());
        }
        if self.replica >= self.max_replicas {
            return wrong("replica", format!("{} is not below max_replicas {}", self.replica, self.max_replicas));
        }
        Ok(())
    }

    /// The rates of this process when Redis keeps the common one.
    ///
    /// Numbers that [`Limit::check`] refuses are split as if they were the nearest good ones downwards.
    pub fn shares(&self) -> Shares {
        let replicas = self.max_replicas.max(1);
        let burst = (self.per_minute / 20).max(1);
        let pool = if replicas == 1 { self.per_minute / 20 } else { self.per_minute / 5 };
        let common = self.per_minute.saturating_sub(burst + pool + self.margin());
        let own = match self.replica {
            replica if replica >= replicas => 0,
            replica => pool / replicas + u32::from(replica < pool % replicas),
        };
        Shares {
            shared: Rate::new(common, burst),
            shared_replay: Rate::spaced((common / 5).max(1)).unwrap_or(Rate::new(1, 1)),
            local: Rate::spaced(own),
            local_replay: Rate::spaced(own / 5),
        }
    }

    /// What is never granted: a 22nd part, one at least.
    fn margin(&self) -> u32 {
        (self.per_minute / 22).max(1)
    }

    /// The rates of this process when there is no Redis at all: an even part of the limit each.
    pub fn shares_apart(&self) -> Shares {
        let replicas = self.max_replicas.max(1);
        let margin = (self.per_minute / 20).max(1);
        let own = if self.replica < replicas { self.per_minute.saturating_sub(margin) / replicas } else { 0 };
        let mut shares = self.shares();
        let burst = (own / 20).max(1);
        shares.local = if own < 20 { Rate::spaced(own) } else { Some(Rate::new(own - burst, burst)) };
        shares.local_replay = Rate::spaced(own / 5);
        shares
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(per_minute: u32, max_replicas: u32, replica: u32) -> Limit {
        Limit { per_minute, max_replicas, replica }
    }

    #[test]
    fn a_hundred_calls_are_split_as_documented() {
        let one = limit(100, 1, 0).shares();
        assert_eq!(one.shared, Rate::new(86, 5));
        assert_eq!(Some(one.shared_replay), Rate::spaced(17));
        assert_eq!(one.local, Rate::spaced(5));
        assert_eq!(one.local_replay, Rate::spaced(1));
        let three: Vec<_> = (0..3).map(|replica| limit(100, 3, replica).shares()).collect();
        assert!(three.iter().all(|shares| shares.shared == Rate::new(71, 5)));
        assert_eq!(three.iter().map(|shares| shares.local).collect::<Vec<_>>(), [7, 7, 6].map(Rate::spaced));
    }

    #[test]
    fn more_processes_than_permits_leave_the_last_without_a_pool() {
        assert_eq!(limit(100, 30, 19).shares().local, Rate::spaced(1));
        assert_eq!(limit(100, 30, 20).shares().local, None);
        assert_eq!(limit(100, 3, 3).shares().local, None, "a number beyond the processes has no pool");
    }

    #[test]
    fn the_margin_of_every_limit_covers_the_way() {
        for per_minute in 10..3000_u32 {
            for replicas in [1, 2, 3, 7, 40] {
                let burst = (per_minute / 20).max(1);
                let pool: u32 = if replicas == 1 { per_minute / 20 } else { per_minute / 5 };
                let margin = limit(per_minute, replicas, 0).margin();
                let common = per_minute - burst - pool - margin;
                // 3 s more of the common rate, and of each pool: its spacing lets one in for every 20 it holds. A pool of
                // one is spaced by more than a window and the way.
                let own = |replica| pool / replicas + u32::from(replica < pool % replicas);
                let late: u32 = (0..replicas).map(|replica| own(replica).saturating_sub(1) / 20).sum();
                assert!(common >= 1 && common / 20 + late <= margin, "{per_minute} {replicas}");
            }
        }
    }

    #[test]
    fn a_limit_that_cannot_be_split_is_named() {
        for (bad, path) in
            [(limit(9, 1, 0), "per_minute"), (limit(100, 0, 0), "max_replicas"), (limit(100, 2, 2), "replica")]
        {
            let error = bad.check().expect_err("refused");
            assert_eq!(error.code(), Code::QuotaSplit);
            assert_eq!(error.fault().place.path.as_deref(), Some(path));
        }
        assert!(limit(100, 3, 2).check().is_ok());
    }
}
