//! What is told to whoever watches.

use super::super::event::{Event, Observation};
use super::world::*;

#[test]
fn documents_are_in_doubt_from_the_lost_reply_until_what_became_of_them_is_known() {
    let mut world = World::new(1);
    world.publish_many("A", 3, "v1");
    world.script.push_back(Fault::OpenNothing);
    world.start();
    world.feed();
    let doubts = |world: &World| world.core.as_ref().map(|core| core.in_doubt()).expect("a core");
    while !world.observations.iter().any(|seen| matches!(seen, Observation::Retry { class: "unknown", .. })) {
        assert!(doubts(&world).is_empty());
        assert!(world.step());
    }
    let (count, first) = doubts(&world)[&flow()];
    let sent = EPOCH + i64::try_from(world.save_times[0].as_millis()).expect("small");
    assert_eq!((count, first), (3, sent - 30), "since the intent, which took a commit");
    world.run(minutes(5));
    world.assert_done();
    assert!(doubts(&world).is_empty());
}

#[test]
fn an_end_is_told_with_the_millisecond_in_which_the_source_showed_its_version() {
    let mut world = World::new(1);
    world.start();
    let mapped = world.mapped("A", 1_700_000_000_123_456, "v1");
    world.publish(0, mapped);
    world.run(minutes(1));
    world.assert_done();
    assert_eq!(world.observed, [1_700_000_000_123]);
}

#[test]
fn an_intent_that_is_to_be_closed_keeps_the_session_busy() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.script.push_back(Fault::NotSent);
    world.start();
    world.feed();
    while world.saves.is_empty() || !world.in_flight.is_empty() {
        assert!(world.step());
    }
    let busy = |world: &World| world.core.as_ref().is_some_and(|core| core.is_busy(&[]));
    assert_eq!((busy(&world), world.open_intents()), (true, 1));
    world.tell(Event::Drain);
    world.pass(world.commit_takes);
    assert_eq!((busy(&world), world.open_intents()), (false, 0));
}

#[test]
fn what_became_of_a_save_without_an_outcome_is_told_for_each_of_its_documents() {
    let told = |fault: Fault| {
        let mut world = World::new(1);
        world.publish_many("A", 2, "v1");
        world.script.push_back(fault);
        world.start();
        world.run(minutes(30));
        world.assert_done();
        let verdict = |seen: &Observation| match seen {
            Observation::Resolved { verdict, .. } => Some(*verdict),
            _ => None,
        };
        world.observations.iter().filter_map(verdict).collect::<Vec<_>>()
    };
    assert_eq!(told(Fault::OpenDone), ["applied", "applied"]);
    assert_eq!(told(Fault::OpenNothing), ["absent", "absent"]);
    assert_eq!(told(Fault::None), [""; 0]);
}

#[test]
fn who_waits_for_a_flows_breaker_or_a_version_is_told_with_the_number_of_records() {
    let mut world = World::new(1);
    world.publish_many("A", 60, "v1");
    world.refuse_alike(60);
    let unknown = world.mapped("B", 1, "v9");
    world.start();
    let waiting = |world: &World| {
        let core = world.core.as_ref().expect("a core");
        core.waiting().into_iter().map(|(flow, why, count)| (flow.clone(), why, count)).collect::<Vec<_>>()
    };
    assert_eq!(waiting(&world), []);
    world.feed();
    world.pass(minutes(1));
    assert_eq!(waiting(&world), [(flow(), "breaker", 60)]);
    world.publish(0, unknown);
    world.feed();
    assert_eq!(waiting(&world), [(flow(), "breaker", 60), (flow(), "version", 1)]);
}

#[test]
fn nothing_is_begun_for_a_partition_that_is_to_leave() {
    let mut world = World::new(1);
    world.publish_many("A", 3, "v1");
    world.start();
    world.feed();
    world.tell(Event::Revoking(vec![partition(0)]));
    world.pass(minutes(1));
    assert_eq!((world.saves.len(), world.open_intents()), (0, 0));
}
