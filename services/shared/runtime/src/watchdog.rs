//! Ends a process that no longer makes its rounds: a loop that hangs is worth less than a restart.

use std::collections::BTreeMap;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// The exit code of a process whose watchdog bit: an internal failure in the words of `sysexits.h`.
pub const EXIT_CODE: i32 = 70;

/// How late a heartbeat may be unless settings say otherwise.
pub const LIMIT: Duration = Duration::from_secs(60);

type Beats = Arc<Mutex<BTreeMap<String, Duration>>>;

/// Watches heartbeats from a thread of its own, so that a blocked async runtime is noticed too. Stops when dropped.
#[derive(Debug)]
pub struct Watchdog {
    beats: Beats,
    clock: Clock,
    _stop: mpsc::Sender<()>,
}

/// One watched loop. Dropping it ends the watch.
#[derive(Debug)]
pub struct Heartbeat {
    name: String,
    beats: Beats,
    clock: Clock,
}

impl Watchdog {
    /// Ends the process with [`EXIT_CODE`] when a heartbeat is `limit` late.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub fn start(limit: Duration, clock: Clock) -> std::io::Result<Self> {
        Self::with_bite(limit, clock, |name, late| {
            tracing::error!(heartbeat = name, late_seconds = late.as_secs(), "heartbeat is late, ending the process");
            std::process::exit(EXIT_CODE);
        })
    }

    /// Calls `bite` with name and lateness of each heartbeat that is `limit` late, once.
    ///
    /// # Errors
    /// The system refuses the thread.
    pub fn with_bite(
        limit: Duration,
        clock: Clock,
        bite: impl Fn(&str, Duration) + Send + 'static,
    ) -> std::io::Result<Self> {
        let beats = Beats::default();
        let (stop, stopped) = mpsc::channel();
        let (watched, time) = (Arc::clone(&beats), clock.clone());
        let round = (limit / 20).clamp(Duration::from_millis(5), Duration::from_secs(1));
        std::thread::Builder::new().name("watchdog".to_owned()).spawn(move || {
            while stopped.recv_timeout(round) == Err(RecvTimeoutError::Timeout) {
                let now = time.monotonic();
                let mut beats = watched.lock().unwrap_or_else(PoisonError::into_inner);
                beats.retain(|name, last| {
                    let late = now.saturating_sub(*last);
                    let in_time = late <= limit;
                    if !in_time {
                        bite(name, late);
                    }
                    in_time
                });
            }
        })?;
        Ok(Self { beats, clock, _stop: stop })
    }

    /// Begins to watch a loop, which must beat from now on.
    pub fn heartbeat(&self, name: impl Into<String>) -> Heartbeat {
        let heartbeat = Heartbeat { name: name.into(), beats: Arc::clone(&self.beats), clock: self.clock.clone() };
        heartbeat.beat();
        heartbeat
    }
}

impl Heartbeat {
    /// Says that the loop goes round.
    pub fn beat(&self) {
        let mut beats = self.beats.lock().unwrap_or_else(PoisonError::into_inner);
        beats.insert(self.name.clone(), self.clock.monotonic());
    }
}

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.beats.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_heartbeat_is_bitten_once_and_a_dropped_one_never() {
        let (clock, hand) = Clock::manual(0);
        let (told, bites) = mpsc::channel();
        let limit = Duration::from_millis(100);
        let dog = Watchdog::with_bite(limit, clock, move |name, late| {
            told.send((name.to_owned(), late)).expect("the test listens");
        })
        .expect("a thread");
        let _poll = dog.heartbeat("poll");
        drop(dog.heartbeat("gone"));
        hand.advance(limit);
        assert_eq!(bites.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout));
        hand.advance(Duration::from_millis(1));
        let late = limit + Duration::from_millis(1);
        assert_eq!(bites.recv_timeout(Duration::from_secs(5)), Ok(("poll".to_owned(), late)));
        assert_eq!(bites.recv_timeout(Duration::from_millis(50)), Err(RecvTimeoutError::Timeout));
    }
}
