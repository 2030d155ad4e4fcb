//! What is waited for, and how long: company, permits, offsets, queries that are refused.

use std::time::Duration;

use document::{Code, Stage};

use super::super::event::{Event, Lane, Observation};
use super::world::*;

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A world with one document loaded and everything written.
fn settled() -> World {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.start();
    world.run(minutes(1));
    world.assert_done();
    world
}

/// Publishes a document once more, which ends without anything to write.
fn copy(world: &mut World) -> i64 {
    let mapped = world.mapped("A000", 1, "v1");
    let offset = world.publish(0, mapped);
    world.feed();
    offset + 1
}

#[test]
fn a_batch_that_is_not_full_waits_a_tenth_of_a_second_for_company() {
    let mut world = World::new(1);
    world.start();
    world.publish_many("A", 1, "v1");
    world.feed();
    world.pass(millis(90));
    world.publish_many("B", 1, "v1");
    world.run(minutes(1));
    world.assert_done();
    let batches: Vec<Vec<&str>> = world.saves.iter().map(|batch| batch.iter().map(text).collect()).collect();
    assert_eq!(batches, [["A000", "B000"]]);
}

#[test]
fn offsets_alone_are_written_a_second_after_what_was_written_last_and_nobody_wakes_before() {
    let mut world = settled();
    let last = world.commit_times.len();
    let due = world.commit_times[last - 1] + world.numbers.offsets_every;
    let next = copy(&mut world);
    assert_eq!((world.commit_times.len(), world.due()), (last, Some(due)));
    world.run(minutes(1));
    assert_eq!((world.commit_times[last..].to_vec(), world.committed[&0]), (vec![due], next));
}

#[test]
fn whoever_drains_or_leaves_writes_offsets_at_once() {
    for leaves in [Event::Drain, Event::Revoking(vec![partition(0)])] {
        let mut world = settled();
        let next = copy(&mut world);
        world.tell(leaves);
        assert_eq!(world.commit_times.last(), Some(&world.now));
        world.pass(world.commit_takes);
        assert_eq!(world.committed[&0], next);
    }
}

#[test]
fn a_query_that_is_refused_is_told_and_asked_again_a_minute_later() {
    let mut world = World::new(1);
    let mut undated = world.mapped("A", 1, "hasty");
    undated.created = None;
    world.publish(0, undated);
    world.queries_refused = true;
    world.start();
    world.feed();
    while !world.observations.iter().any(|seen| matches!(seen, Observation::Alert(_))) {
        assert!(world.step());
    }
    let told = world.now;
    world.queries_refused = false;
    world.run(minutes(5));
    world.assert_done();
    let waited = world.save_times[0] - told;
    assert!((60..62).contains(&waited.as_secs()), "{waited:?}");
}

#[test]
fn a_save_under_way_when_its_partition_leaves_has_its_time_after_connecting_before_it_is_made_again() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.script.push_back(Fault::OpenNothing);
    world.latency = Duration::from_secs(10);
    world.start();
    world.feed();
    while world.saves.is_empty() {
        assert!(world.step());
    }
    world.move_away_and_back(0, 0);
    world.latency = millis(200);
    world.run(minutes(10));
    world.assert_done();
    let least = world.numbers.connect_allowance + world.numbers.settle();
    let waited = world.save_times[1] - world.save_times[0];
    assert!(waited >= least && waited < least + Duration::from_secs(2), "{waited:?}");
}

#[test]
fn a_permit_that_comes_while_the_only_place_is_taken_is_used_when_it_is_free() {
    let mut world = World::new(1);
    world.quota.every = [(Lane::Replay, Duration::from_secs(10))].into();
    world.start();
    let replay = |world: &mut World, key: &str| {
        let mut mapped = world.mapped(key, 1, "v1");
        mapped.replay = Some("r1".to_owned());
        world.publish(0, mapped);
        world.feed();
    };
    replay(&mut world, "R0");
    world.pass(Duration::from_secs(1));
    replay(&mut world, "R1");
    world.pass(Duration::from_secs(8));
    // The permit for R1 is still a second away when a save for five seconds begins.
    world.latency = Duration::from_secs(5);
    world.publish_many("F", 1, "v1");
    world.run(minutes(1));
    world.assert_done();
    assert_eq!(world.lanes, [Lane::Replay, Lane::Fresh, Lane::Replay]);
    let waited = world.save_times[2] - world.save_times[1];
    assert!(waited < millis(5_100), "{waited:?}");
}

#[test]
fn a_target_that_refuses_to_be_asked_is_asked_as_often_as_there_are_attempts() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.script.push_back(Fault::OpenNothing);
    world.queries_refused = true;
    world.start();
    world.run(minutes(120));
    assert_eq!((world.letters_of("A000"), world.probe_times.len()), (vec![(Stage::Load, Code::InDoubt)], 5));
}

#[test]
fn a_document_is_looked_for_first_unless_it_was_made_within_the_horizon() {
    for (within, queries) in [(0, 1), (1, 0)] {
        let mut world = World::new(1);
        let mut mapped = world.mapped("A", 1, "v1");
        mapped.created = Some(world.wall() / 1_000 - world.numbers.horizon.as_secs().cast_signed() + within);
        world.publish(0, mapped);
        world.start();
        world.run(minutes(1));
        world.assert_done();
        assert_eq!(world.probe_times.len(), queries, "{within} s within it");
    }
}

#[test]
fn nothing_more_is_fetched_until_no_more_than_half_of_what_may_be_in_hand_is() {
    for (records, bytes, total) in [(3, 1_000, 1_000), (9, 60, 1_000), (9, 1_000, 60)] {
        let mut world = World::new(1);
        world.numbers.in_hand = records;
        world.numbers.in_hand_bytes = bytes;
        world.numbers.total_bytes = total;
        world.publish_many("A", 4, "v1");
        world.start();
        world.feed();
        world.pass(millis(90));
        assert_eq!((world.saves.len(), &world.fetching[..]), (0, &[false][..]), "{records}, {bytes}, {total}");
        world.run(minutes(1));
        world.assert_done();
        assert_eq!(world.fetching, [false, true], "{records}, {bytes}, {total}");
    }
}
