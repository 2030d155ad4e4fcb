//! Ends the process when a poll or a transaction is late. A client that is not polled, or that waits for an answer that it
//! lost, keeps its place in the group and does nothing: nobody would notice, so the process gives way to a new one.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use tracing::error;

/// What to do about a thread that stopped polling.
pub(crate) type Stalled = Arc<dyn Fn() + Send + Sync>;

/// Exit status of a process that the watchdog ended: a temporary failure, start again.
const EXIT: i32 = 75;

/// The pulse of one thread, or of one piece of its work. Dropping it ends the watch.
pub(crate) struct Pulse {
    name: String,
    limit: Duration,
    last: Mutex<Instant>,
    stalled: Option<Stalled>,
}

impl fmt::Debug for Pulse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pulse").field("name", &self.name).finish_non_exhaustive()
    }
}

static WATCHED: OnceLock<Mutex<Vec<Weak<Pulse>>>> = OnceLock::new();

fn watched() -> std::sync::MutexGuard<'static, Vec<Weak<Pulse>>> {
    let list = WATCHED.get_or_init(|| {
        let patrol = std::thread::Builder::new().name("watchdog".to_owned()).spawn(|| {
            loop {
                std::thread::park_timeout(Duration::from_secs(1));
                patrol(Instant::now());
            }
        });
        if let Err(error) = patrol {
            error!(%error, "no watchdog: the thread cannot be started");
        }
        Mutex::default()
    });
    list.lock().unwrap_or_else(PoisonError::into_inner)
}

fn patrol(now: Instant) {
    let living: Vec<Arc<Pulse>> = {
        let mut list = watched();
        list.retain(|pulse| pulse.strong_count() > 0);
        list.iter().filter_map(Weak::upgrade).collect()
    };
    for pulse in living {
        pulse.check(now);
    }
}

impl Pulse {
    /// Watches a thread from now on.
    pub(crate) fn watch(name: &str, limit: Duration, stalled: Option<Stalled>) -> Arc<Self> {
        let pulse = Arc::new(Self { name: name.to_owned(), limit, last: Mutex::new(Instant::now()), stalled });
        watched().push(Arc::downgrade(&pulse));
        pulse
    }

    /// Says that the thread lives.
    pub(crate) fn beat(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn check(&self, now: Instant) {
        let silent = now.saturating_duration_since(*self.last.lock().unwrap_or_else(PoisonError::into_inner));
        if silent < self.limit {
            return;
        }
        error!(thread = self.name, seconds = silent.as_secs(), "stands still; the process gives way to a new one");
        match &self.stalled {
            Some(stalled) => stalled(),
            None => std::process::exit(EXIT),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn a_late_beat_is_reported_and_one_in_time_is_not() {
        let calls = Arc::new(AtomicUsize::new(0));
        let stalled: Stalled = {
            let calls = Arc::clone(&calls);
            Arc::new(move || {
                calls.fetch_add(1, Ordering::Relaxed);
            })
        };
        let pulse = Pulse::watch("t", Duration::from_secs(60), Some(stalled));
        let now = Instant::now();
        pulse.check(now + Duration::from_secs(50));
        assert_eq!(calls.load(Ordering::Relaxed), 0);
        pulse.check(now + Duration::from_secs(61));
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        pulse.beat();
        pulse.check(Instant::now());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
