//! Fresh documents and replays side by side: who is called for, and how often.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::super::event::Lane;
use super::super::ledger::End;
use super::world::*;

/// One document per call, replays published first.
fn busy(replays: usize, fresh: usize) -> World {
    let mut world = World::new(2);
    world.ledger.rules.insert("v1".to_owned(), Arc::new(super::super::Rules { documents: 1, ..rules() }));
    publish(&mut world, "R", replays, Some("r1"));
    publish(&mut world, "F", fresh, None);
    world.start();
    world
}

fn publish(world: &mut World, prefix: &str, count: usize, replay: Option<&str>) {
    for n in 0..count {
        let mut mapped = world.mapped(&format!("{prefix}{n:03}"), 1, "v1");
        mapped.replay = replay.map(str::to_owned);
        let partitions = i32::try_from(world.log.len()).expect("few");
        world.publish(i32::try_from(n).expect("few") % partitions, mapped);
    }
}

fn of(lane: Lane, lanes: &[Lane]) -> usize {
    lanes.iter().filter(|other| **other == lane).count()
}

#[test]
fn replays_get_every_fifth_call_while_fresh_documents_wait_and_all_of_them_afterwards() {
    for every in [Duration::ZERO, Duration::from_millis(700)] {
        let mut world = busy(30, 60);
        world.quota.every = [(Lane::Fresh, every), (Lane::Replay, every * 5)].into();
        world.run(minutes(10));
        world.assert_done();
        let last = world.lanes.iter().rposition(|lane| *lane == Lane::Fresh).expect("some");
        let (contended, rest) = world.lanes.split_at(last + 1);
        let replays = of(Lane::Replay, contended);
        assert!((12..=15).contains(&replays), "{replays} replays among 60 fresh calls, permits every {every:?}");
        for window in contended.windows(10) {
            assert!(of(Lane::Replay, window) <= 2, "{window:?}");
        }
        assert_eq!((of(Lane::Replay, rest), of(Lane::Fresh, contended)), (30 - replays, 60));
    }
}

#[test]
fn fresh_documents_do_not_wait_for_a_permit_of_replays() {
    let mut world = busy(5, 0);
    world.quota.every = [(Lane::Replay, minutes(1))].into();
    world.run(Duration::from_secs(5));
    assert_eq!(world.lanes, [Lane::Replay]);
    let begun = world.now;
    publish(&mut world, "F", 20, None);
    world.feed();
    while (0..20).any(|n| world.end_of(&format!("F{n:03}")) != Some(End::Applied)) {
        assert!(world.step());
    }
    assert!(world.now - begun < Duration::from_secs(20), "{:?}", world.now - begun);
    world.run(minutes(10));
    world.assert_done();
}

#[test]
fn fresh_documents_and_replays_share_neither_a_save_nor_a_probe() {
    let mut world = World::new(1);
    for n in 0..6 {
        let mut mapped = world.mapped(&format!("{}{n}", ["R", "F"][n % 2]), 1, "v1");
        mapped.replay = (n % 2 == 0).then(|| "r1".to_owned());
        mapped.created = None;
        world.publish(0, mapped);
    }
    world.start();
    world.run(minutes(5));
    world.assert_done();
    let mut saves: Vec<Vec<&str>> = world.saves.iter().map(|batch| batch.iter().map(text).collect()).collect();
    saves.sort_unstable();
    assert_eq!(saves, [["F1", "F3", "F5"], ["R0", "R2", "R4"]]);
    assert_eq!((world.probe_times.len(), of(Lane::Fresh, &world.lanes), of(Lane::Replay, &world.lanes)), (2, 2, 2));
}

#[test]
fn a_search_among_fresh_documents_takes_no_call_from_the_replays() {
    for (replay, lane) in [(None, Lane::Fresh), (Some("r1"), Lane::Replay)] {
        let mut world = World::new(1);
        publish(&mut world, "A", 6, replay);
        world.script.push_back(Fault::ClosedNothing);
        world.poison.insert("A002".into());
        world.start();
        world.run(minutes(60));
        world.assert_done();
        assert!(world.saves.len() > 3, "it is searched for");
        assert_eq!(of(lane, &world.lanes), world.lanes.len(), "{:?}", world.lanes);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// However replays are published, whatever either lane waits for its permits, and however many calls go at once: of
    /// the calls that are made while fresh documents wait, no more than every fifth is for replays.
    #[test]
    fn replays_never_take_more_than_their_share_while_fresh_documents_wait(
        replays in prop::collection::vec((0_u64..60_000, 1_usize..8), 1..12),
        fresh in 20_usize..80,
        permits in (0_u64..1_500, 0_u64..1_500),
        (calls, partitions, documents) in (1_usize..4, 1_i32..4, 1_usize..3),
        seed: u64,
    ) {
        let mut world = World::new(partitions).seeded(seed);
        world.numbers.calls = calls;
        world.ledger.rules.insert("v1".to_owned(), Arc::new(super::super::Rules { documents, ..rules() }));
        world.quota.every = [
            (Lane::Fresh, Duration::from_millis(permits.0)),
            (Lane::Replay, Duration::from_millis(permits.1)),
        ].into();
        publish(&mut world, "F", fresh, None);
        world.start();
        let begun = world.now;
        let mut waves = replays.clone();
        waves.sort_unstable();
        for (number, (at, count)) in waves.iter().enumerate() {
            while world.now < begun + Duration::from_millis(*at) && world.step() {}
            publish(&mut world, &format!("R{number}-"), *count, Some(&format!("r{number}")));
            world.feed();
        }
        world.run(minutes(60));
        world.assert_done();
        // The last fresh call but those that were on their way with it: until then fresh documents waited.
        let last = world.lanes.iter().rposition(|lane| *lane == Lane::Fresh).expect("some");
        let contended = &world.lanes[..last.saturating_sub(calls)];
        for length in 1..=contended.len() {
            for window in contended.windows(length) {
                prop_assert!(of(Lane::Replay, window) <= length.div_ceil(5), "{length}: {window:?}");
            }
        }
    }
}
