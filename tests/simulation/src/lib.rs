//! The whole road in one thread: the very cores that ship, over a log, a source and a target in memory, under a seeded
//! scheduler and a virtual clock.
//!
//! A history is drawn from its seed: what the source does, who dies, who is stopped and goes on, which partitions move,
//! which ends come late, which replies are lost. [`judge`] asks at every step what must hold at every step. In half of
//! the histories faults go on to the last step; in the other half they stop, every document has to end within
//! [`PATIENCE`], and source and target are compared by rules that know nothing of the cores ([`settled`]).
//!
//! | what | where |
//! |---|---|
//! | the scheduler, the clock, the nodes | `world` |
//! | Kafka: transactions, epochs, late ends; groups | `log`, `group`; the client's side in `session`, `membership` |
//! | the systems | `source`, `target` |
//! | shells around the cores | `extract`, `transform`, `load` |
//! | what goes wrong | `nemesis` |
//! | what is seldom | `variety`, `blows`, `lies` |
//! | what must hold | `judge`, `discipline`, `hand`, `held`, `letters`, `limits`, `settled` |
//!
//! Written out of the world on purpose: a process that is stopped exactly between its last look at the clock and the
//! first byte of a save (assumption A1 does not cover it; reconciliation finds what comes of it); and a loader that goes
//! after its ledger was lost and before it has put that down: here the next one knows of the loss all the same.
//! Of Redis the cores see no more than how long a permit takes, so a Redis that forgets, or grants too much, is tried with
//! the real one (`make test-faults`, rows of Redis; the tests of `coordination`).

mod blows;
mod dice;
mod discipline;
mod extract;
mod group;
mod hand;
mod held;
mod judge;
mod letters;
mod lies;
mod limits;
mod load;
mod log;
mod membership;
mod message;
mod nemesis;
mod rule;
mod session;
mod setting;
mod settled;
mod source;
mod target;
mod trace;
mod transform;
mod variety;
mod world;

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use document::FlowName;

pub use rule::Rule;
pub use settled::PATIENCE;

use world::World;

/// How long faults go on, virtual time.
const CHAOS: Duration = Duration::from_secs(10 * 60);

pub(crate) fn flow() -> FlowName {
    FlowName::new("misc").expect("a label of lower case letters")
}

/// What came of one history.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// The first thing that must never happen, if it did.
    pub violation: Option<String>,
    /// How many things happened.
    pub steps: u64,
    /// From the end of the faults to the last end, virtual; `None` where they went on.
    pub healed_after: Option<Duration>,
    /// The story, where it was asked for.
    pub trace: Vec<String>,
    /// One number for the story.
    pub hash: String,
}

thread_local! {
    /// The words of the thread's last panic, once [`keep_panics`] was called.
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Panics are written nowhere from now on: those of mappings are meant, and those of cores are words of the violation.
pub fn keep_panics() {
    std::panic::set_hook(Box::new(|panic| LAST_PANIC.set(panic.to_string().replace('\n', " "))));
}

/// Runs the history of a seed, with a rule switched off or none.
pub fn run(seed: u64, off: Option<Rule>, traced: bool) -> Outcome {
    let mut world = World::new(seed, off, traced);
    let mut healed_after = None;
    // What a core asserts of itself counts like what the judge asks.
    let broken = catch_unwind(AssertUnwindSafe(|| {
        let end = world.now + CHAOS;
        world.run(end);
        if seed % 2 == 1 && world.violation.is_none() {
            healed_after = world.settle();
        }
    }));
    if broken.is_err() {
        let words = LAST_PANIC.with_borrow_mut(std::mem::take);
        world.violate(format!("a core broke down: {words}"));
    }
    let World { violation, steps, trace, .. } = world;
    let trace = trace.into_lines();
    Outcome { seed, violation, steps, healed_after, hash: trace::hash(&trace), trace }
}

/// Runs histories `first` to `first + count − 1` on all cores of the machine, until one violates something where
/// `until_caught` says so. Gives those that did, in order of their seeds, and the number that ran.
pub fn sweep(first: u64, count: u64, off: Option<Rule>, until_caught: bool) -> (Vec<Outcome>, u64) {
    let next = AtomicU64::new(0);
    let ran = AtomicU64::new(0);
    let caught: Mutex<Vec<Outcome>> = Mutex::default();
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let found = !caught.lock().expect("no worker panics with it").is_empty();
                    if at >= count || (until_caught && found) {
                        return;
                    }
                    let outcome = run(first + at, off, false);
                    ran.fetch_add(1, Ordering::Relaxed);
                    if outcome.violation.is_some() {
                        caught.lock().expect("no worker panics with it").push(outcome);
                    }
                }
            });
        }
    });
    let mut caught = caught.into_inner().expect("no worker panics with it");
    caught.sort_by_key(|outcome| outcome.seed);
    (caught, ran.into_inner())
}

#[cfg(test)]
mod tests;
