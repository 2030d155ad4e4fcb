//! The limiter: leave to make one call.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::Script;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::error::Error;
use crate::link::Link;
use crate::quota::{Quota, Step};
use crate::settings::RedisSettings;
use crate::split::{Limit, PERMIT_LIFETIME, Shares};

/// The common rate in one script: Redis's clock, one number per lane, empty where nothing (or nonsense) is found.
///
/// Any value that is not a number, of whatever type, is overwritten: it can only be a mistake, and an empty start is
/// always safe. The same arithmetic as [`crate::gcra`], checked against it in the tests.
pub(crate) const SCRIPT: &str = include_str!("permit.lua");

static PERMIT: LazyLock<Script> = LazyLock::new(|| Script::new(SCRIPT));

/// What a permit is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Lane {
    /// New work, probes, logins.
    Fresh,
    /// Replays: at most a fifth of the limit.
    Replay,
}

/// Leave to make one call now.
#[derive(Debug, Clone, Copy)]
pub struct Permit {
    asked: Instant,
}

impl Permit {
    /// Whether the call may still be sent on it. One that is older than [`PERMIT_LIFETIME`] is to be thrown away, and
    /// another asked for: the margin of the limit covers calls that arrive within that time.
    pub fn is_fresh(&self) -> bool {
        self.asked.elapsed() <= PERMIT_LIFETIME
    }
}

/// Grants permits; cloning is cheap and shares everything.
#[derive(Clone)]
pub struct Limiter {
    inner: Arc<Inner>,
}

struct Inner {
    link: Option<Link>,
    prefix: String,
    start: Instant,
    accounts: Mutex<HashMap<String, Arc<Account>>>,
}

/// One account's permits in this process. The locks are fair: whoever asked first is served first, lane by lane.
struct Account {
    quota: Mutex<Quota>,
    fresh: tokio::sync::Mutex<()>,
    replay: tokio::sync::Mutex<()>,
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter").field("redis", &self.inner.link.is_some()).finish_non_exhaustive()
    }
}

impl Limiter {
    /// Prepares a limiter; Redis is reached when the first permit is asked for. `None`: every process keeps an even part
    /// of the limit by itself.
    ///
    /// # Errors
    /// [`Error`] when the settings cannot work. A Redis that is down is no error.
    pub fn connect(settings: Option<&RedisSettings>) -> Result<Self, Error> {
        let link = settings.map(Link::new).transpose()?;
        let prefix = settings.map(|settings| settings.key_prefix.clone()).unwrap_or_default();
        let inner = Inner { link, prefix, start: Instant::now(), accounts: Mutex::default() };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Waits until one call of `account` may be made, first come first served within each lane of this process.
    ///
    /// Dropping the future gives the place in the queue up; a permit that was just granted is then lost, which is safe.
    pub async fn permit(&self, account: &str, limit: &Limit, lane: Lane) -> Permit {
        let entry = self.account(account, limit);
        let _turn = match lane {
            Lane::Fresh => entry.fresh.lock().await,
            Lane::Replay => entry.replay.lock().await,
        };
        loop {
            let asked = Instant::now();
            let mut step = entry.quota().next(self.now(), lane);
            if let (Step::Ask, Some(link)) = (step, &self.inner.link) {
                let (shares, seen) = {
                    let quota = entry.quota();
                    (*quota.shares(), quota.seen())
                };
                let answer = link.run::<(i64, i64)>(&self.invocation(account, &shares, lane, seen)).await;
                step = self.take_in(account, &entry, answer, lane);
            }
            match step {
                Step::Granted => return Permit { asked },
                Step::Wait(wait) => tokio::time::sleep(wait + jitter(wait)).await,
                // There is no link to ask: cannot be, but waiting is safe.
                Step::Ask => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }

    /// Whether permits of `account` come from this process's own pool because Redis does not answer.
    pub fn is_degraded(&self, account: &str) -> bool {
        self.accounts().get(account).is_some_and(|entry| entry.quota().is_degraded())
    }

    fn take_in(
        &self,
        account: &str,
        entry: &Account,
        answer: Result<(i64, i64), redis::RedisError>,
        lane: Lane,
    ) -> Step {
        let mut quota = entry.quota();
        let was = quota.is_degraded();
        match answer {
            Ok((wait, seen)) => {
                if was {
                    info!(account, "redis answers again, the common rate counts");
                }
                quota.answered(wait, seen)
            }
            Err(error) => {
                if !was {
                    warn!(account, %error, "redis does not answer, this process falls back to its own pool");
                }
                let now = self.now();
                quota.failed(now);
                quota.next(now, lane)
            }
        }
    }

    fn invocation(&self, account: &str, shares: &Shares, lane: Lane, seen: i64) -> redis::ScriptInvocation<'static> {
        // The braces keep both keys of an account in one slot of a cluster.
        let key = |part: &str| format!("{}:quota:{{{account}}}:{part}", self.inner.prefix);
        let mut invocation = PERMIT.prepare_invoke();
        invocation.key(key("all")).key(key("replay"));
        for rate in [shares.shared, shares.shared_replay] {
            invocation.arg(rate.interval()).arg(rate.tolerance());
        }
        invocation.arg(i32::from(lane == Lane::Replay)).arg(seen);
        invocation
    }

    fn now(&self) -> i64 {
        i64::try_from(self.inner.start.elapsed().as_micros()).unwrap_or(i64::MAX / 2)
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<String, Arc<Account>>> {
        // Nothing panics while it holds the lock.
        self.inner.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn account(&self, account: &str, limit: &Limit) -> Arc<Account> {
        let apart = self.inner.link.is_none();
        let shares = if apart { limit.shares_apart() } else { limit.shares() };
        // Pools count from the start of the process, not from the first permit: a pool that began when Redis failed
        // would stall the very calls it is for.
        let mut accounts = self.accounts();
        let entry = accounts.entry(account.to_owned()).or_insert_with(|| {
            Arc::new(Account {
                quota: Mutex::new(Quota::new(shares, apart, 0)),
                fresh: tokio::sync::Mutex::default(),
                replay: tokio::sync::Mutex::default(),
            })
        });
        entry.quota().reshare(shares, self.now());
        entry.clone()
    }
}

impl Account {
    fn quota(&self) -> MutexGuard<'_, Quota> {
        // Nothing panics while it holds the lock.
        self.quota.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Up to a tenth more, at most 20 ms: replicas that were told the same wait do not come back at the same instant for ever.
fn jitter(wait: Duration) -> Duration {
    (wait / 10).min(Duration::from_millis(20)).mul_f64(rand::random::<f64>())
}
