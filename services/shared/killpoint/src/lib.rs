//! Named places at which a process can be made to die, so that faults meet every step and not only likely ones; and a wall
//! clock that can be made to jump.
//!
//! A build without the feature `armed`, and so every build that ships, has nothing here: a place is an empty function.
//! With it `STARBRIDGE_KILLPOINT=NAME` kills the process, as `kill -9` does, when it first comes by the place of that
//! name, and `NAME:3` when it does so for the third time; with `NAME:1:stop` it stands still there, as under SIGSTOP, until
//! somebody lets it go on. Names are `room.step.moment`; whoever draws one finds them all
//! in the sources, so a name is written out where it stands. `STARBRIDGE_CLOCK=FILE` sets the clock wrong by the seconds
//! that the file holds, now and whenever it is written anew.

/// A place by which the process comes.
#[cfg(not(feature = "armed"))]
#[inline(always)]
pub fn reached(_name: &str) {}

/// A place by which the process comes.
#[cfg(feature = "armed")]
pub fn reached(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static ORDER: OnceLock<Option<Order>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);
    #[expect(clippy::disallowed_methods, reason = "no setting: nothing that ships can be told to die")]
    let order = ORDER.get_or_init(|| Order::read(&std::env::var("STARBRIDGE_KILLPOINT").ok()?));
    if let Some(order) = order
        && order.name == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == order.passage
    {
        // The signal is not to be caught, and comes before this returns.
        let signal = if order.stop { rustix::process::Signal::STOP } else { rustix::process::Signal::KILL };
        rustix::process::kill_process(rustix::process::getpid(), signal).ok();
    }
}

/// How wrong the wall clock is to be, seconds.
#[cfg(not(feature = "armed"))]
#[inline(always)]
pub fn clock_error() -> i64 {
    0
}

/// How wrong the wall clock is to be, seconds.
#[cfg(feature = "armed")]
pub fn clock_error() -> i64 {
    use std::sync::{Mutex, OnceLock, PoisonError};
    use std::time::{Duration, Instant};

    /// Between two looks at the file.
    const LOOK: Duration = Duration::from_millis(200);
    static FILE: OnceLock<Option<std::ffi::OsString>> = OnceLock::new();
    static SEEN: Mutex<Option<(Instant, i64)>> = Mutex::new(None);
    #[expect(clippy::disallowed_methods, reason = "no setting: nothing that ships has a wrong clock")]
    let file = FILE.get_or_init(|| std::env::var_os("STARBRIDGE_CLOCK"));
    let Some(file) = file else { return 0 };
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = seen.map_or(0, |(_, error)| error);
    if seen.is_none_or(|(at, _)| at.elapsed() > LOOK) {
        // A file that is being written holds nothing for a moment.
        let error = std::fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(before);
        *seen = Some((Instant::now(), error));
        return error;
    }
    before
}

/// Where to die, or to stand still.
#[cfg(feature = "armed")]
#[derive(Debug, PartialEq, Eq)]
struct Order {
    name: String,
    passage: u64,
    stop: bool,
}

#[cfg(feature = "armed")]
impl Order {
    fn read(text: &str) -> Option<Self> {
        let (text, stop) = text.strip_suffix(":stop").map_or((text, false), |text| (text, true));
        let (name, passage) = text.split_once(':').unwrap_or((text, "1"));
        Some(Self { name: name.to_owned(), passage: passage.parse().ok()?, stop })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_place_that_nobody_named_is_passed() {
        super::reached("nowhere.at.all");
        assert_eq!(super::clock_error(), 0);
    }

    #[cfg(feature = "armed")]
    #[test]
    fn an_order_is_a_name_and_a_passage() {
        let order = |text| super::Order::read(text).map(|order| (order.name, order.passage, order.stop));
        assert_eq!(order("session.commit.begun"), Some(("session.commit.begun".to_owned(), 1, false)));
        assert_eq!(order("session.commit.begun:3"), Some(("session.commit.begun".to_owned(), 3, false)));
        assert_eq!(order("session.commit.begun:2:stop"), Some(("session.commit.begun".to_owned(), 2, true)));
        assert_eq!(order("session.commit.begun:x"), None);
    }
}
