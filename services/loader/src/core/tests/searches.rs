//! The search for a document at fault: what is not sent, who leaves meanwhile, and how often it is tried.

use document::{Code, Stage};

use super::super::event::{Event, Observation};
use super::super::ledger::End;
use super::world::*;

/// Starts a world whose first save fails, and stops once the set that its search sends next was throttled.
fn throttled(world: &mut World) {
    world.script.extend([Fault::ClosedNothing, Fault::Throttled]);
    world.start();
    world.feed();
    while world.script.front().is_some() || !world.in_flight.is_empty() {
        assert!(world.step());
    }
}

#[test]
fn a_set_of_a_search_that_was_not_sent_is_sent_later() {
    let mut world = World::new(1);
    world.publish_many("A", 6, "v1");
    throttled(&mut world);
    world.run(minutes(5));
    world.assert_done();
    assert_eq!((world.saves.len(), world.target.len(), world.letters.len()), (3, 6, 0));
}

#[test]
fn a_search_goes_on_with_those_who_stay_when_a_partition_leaves() {
    let mut world = World::new(2);
    let leaving = world.mapped("L", 1, "v1");
    world.publish(0, leaving);
    for key in ["A", "B", "C", "D", "E"] {
        let mapped = world.mapped(key, 1, "v1");
        world.publish(1, mapped);
    }
    throttled(&mut world);
    world.tell(Event::Revoking(vec![partition(0)]));
    world.tell(Event::Revoked(vec![partition(0)]));
    world.run(minutes(5));
    for key in ["A", "B", "C", "D", "E"] {
        assert_eq!(world.end_of(key), Some(End::Applied), "{key}");
    }
    assert_eq!(world.saves.last().map(Vec::len), Some(5));
}

#[test]
fn a_document_is_given_up_with_as_many_lost_replies_as_there_are_attempts() {
    let mut world = World::new(1);
    world.publish_many("A", 3, "v1");
    world.unanswered.insert("A001".into(), 5);
    world.start();
    world.run(minutes(60));
    world.assert_done();
    assert_eq!((world.letters_of("A001"), world.target.len()), (vec![(Stage::Load, Code::ReplyLost)], 2));
}

#[test]
fn saves_that_all_fail_open_the_breaker_after_one_round_or_five_of_a_lone_document() {
    for (documents, rounds) in [(3, 1), (1, 5)] {
        let mut world = World::new(1);
        world.publish_many("A", documents, "v1");
        world.saves_down = true;
        world.start();
        world.feed();
        let reason = loop {
            assert!(world.step() && world.saves.len() < 20, "{documents}: {:?}", world.saves);
            let opened = world.observations.iter().find_map(|seen| match seen {
                Observation::Breaker { state: 2, reason, .. } => Some(reason.clone()),
                _ => None,
            });
            if let Some(reason) = opened {
                break reason;
            }
        };
        assert_eq!(reason, format!("{documents} documents fail alone and no save passes"));
        let alone = world.saves.iter().filter(|keys| keys.len() == 1).count();
        assert_eq!(alone, documents * rounds, "{:?}", world.saves);
    }
}
