//! Named places at which a process can be made to die, so that faults meet every step and not only likely ones.
//!
//! A build without the feature `armed`, and so every build that ships, has nothing here: a place is an empty function.
//! With it `STARBRIDGE_KILLPOINT=NAME` kills the process, as `kill -9` does, when it first comes by the place of that
//! name, and `NAME:3` when it does so for the third time. Names are `room.step.moment`; whoever draws one finds them all
//! in the sources, so a name is written out where it stands.

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
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).ok();
    }
}

/// Where to die.
#[cfg(feature = "armed")]
#[derive(Debug, PartialEq, Eq)]
struct Order {
    name: String,
    passage: u64,
}

#[cfg(feature = "armed")]
impl Order {
    fn read(text: &str) -> Option<Self> {
        let (name, passage) = text.split_once(':').unwrap_or((text, "1"));
        Some(Self { name: name.to_owned(), passage: passage.parse().ok()? })
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_place_that_nobody_named_is_passed() {
        super::reached("nowhere.at.all");
    }

    #[cfg(feature = "armed")]
    #[test]
    fn an_order_is_a_name_and_a_passage() {
        let order = |text| super::Order::read(text).map(|order| (order.name, order.passage));
        assert_eq!(order("session.commit.begun"), Some(("session.commit.begun".to_owned(), 1)));
        assert_eq!(order("session.commit.begun:3"), Some(("session.commit.begun".to_owned(), 3)));
        assert_eq!(order("session.commit.begun:x"), None);
    }
}
