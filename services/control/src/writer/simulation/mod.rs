//! The writer over a log in memory, stopped after every single effect and begun again from what is readable: no letter is
//! lost, none is published twice, and every job ends.

mod letters;
mod road;
mod view;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};

use world::{Kill, World};

/// Histories in which the writer is stopped by dice.
const SEEDS: u64 = 300;
/// Histories that are run again for every one of their effects, the writer stopped after that one.
const WHOLE: u64 = 2;

fn history(seed: u64, kill: Kill) -> World {
    let run = || {
        let mut world = World::new(seed, kill);
        world.run();
        world.check();
        world
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|_| panic!("seed {seed}, {kill:?}"))
}

#[test]
fn a_writer_that_is_stopped_after_any_effect_loses_no_letter_and_publishes_none_twice() {
    let (mut seen, mut hits, mut again) = (BTreeSet::new(), BTreeMap::<String, u64>::new(), 0);
    let mut count = |world: World| {
        seen.extend(world.seen);
        world.hits.into_iter().for_each(|(kind, times)| *hits.entry(kind).or_default() += times);
        again += world.emitted_again;
    };
    for seed in 0..SEEDS {
        count(history(seed, Kill::OneOf(3 + seed % 40)));
    }
    for seed in 0..WHOLE {
        let effects = history(seed, Kill::At(0)).effects;
        for number in 1..=effects {
            count(history(seed, Kill::At(number)));
        }
    }
    for kind in &seen {
        assert!(hits.get(kind).is_some_and(|times| *times >= 5), "{kind} was not stopped after: {hits:#?}");
    }
    // What all of this is about happened: starts, publications to either stage, outcomes, timed jobs, late stages.
    for part in ["mapped", "extracted", "audit", "dead-letter-events", "job-items", "answer", "after the commit"] {
        assert!(seen.iter().any(|kind| kind.contains(part)), "{part}: {seen:#?}");
    }
    assert!(again > 0, "nothing was published again");
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 0..20 {
        let trace = || history(seed, Kill::OneOf(9)).trace();
        assert_eq!(trace(), trace(), "seed {seed}");
    }
}
