//! Infrastructure faults: they wait, they never become letters.

use std::time::Duration;

use document::{Code, Stage};

use super::super::event::*;
use super::super::ledger::End;
use super::world::*;

fn breaker_states(world: &World) -> Vec<u8> {
    let states = world.observations.iter().filter_map(|seen| match seen {
        Observation::Breaker { state, .. } => Some(*state),
        _ => None,
    });
    states.collect()
}

#[test]
fn an_hour_without_a_connection_makes_no_letter_and_drains_afterwards() {
    let mut world = World::new(2);
    world.publish_many("A", 200, "v1");
    world.script.extend(vec![Fault::NotSent; 4]);
    world.probes_fail = 60;
    world.start();
    world.run(minutes(180));
    world.assert_done();
    assert_eq!((world.letters.len(), world.target.len()), (0, 200));
    assert_eq!(breaker_states(&world), [2, 1, 0]);
    assert!(world.now > Duration::from_secs(1_000 + 55 * 60), "{:?}", world.now);
    // While it is open: one probe at a time, 5 to 60 seconds apart.
    let gaps: Vec<u64> = world.probe_times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert!(gaps.iter().take(58).all(|gap| (5..=61).contains(gap)), "{gaps:?}");
}

#[test]
fn a_flow_says_itself_how_often_a_connection_is_tried() {
    let tries = |flow_version: &str| {
        let mut world = World::new(1);
        world.publish_many("A", 1, flow_version);
        world.script.extend(vec![Fault::NotSent; 9]);
        world.probes_fail = usize::MAX;
        world.start();
        world.run(minutes(1));
        assert_eq!(breaker_states(&world)[..1], [2], "{flow_version}");
        world.saves.len()
    };
    assert_eq!((tries("v1"), tries("hasty")), (4, 1));
}

#[test]
fn saves_that_fail_while_queries_work_convict_nobody_as_long_as_none_passes() {
    let mut world = World::new(1);
    world.publish_many("A", 12, "v1");
    world.saves_down = true;
    world.start();
    world.run(minutes(60));
    assert!(!world.is_done());
    assert_eq!(world.letters.len(), 0);
    let saves = world.saves.len();
    world.saves_down = false;
    world.run(minutes(60));
    world.assert_done();
    assert_eq!((world.letters.len(), world.target.len()), (0, 12));
    assert!(saves < 400, "an hour of outage cost {saves} saves");
}

#[test]
fn a_lone_poison_document_ends_within_a_quarter_of_an_hour() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.poison.insert("A000".into());
    world.start();
    world.run(minutes(15));
    world.assert_done();
    assert_eq!(world.letters_of("A000"), [(Stage::Load, Code::PoisonDocument)]);
}

#[test]
fn a_lone_document_that_is_never_answered_ends_within_a_quarter_of_an_hour() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.unanswered.insert("A000".into(), u32::MAX);
    world.start();
    world.run(minutes(15));
    world.assert_done();
    assert_eq!(world.letters_of("A000"), [(Stage::Load, Code::ReplyLost)]);
}

#[test]
fn four_poison_documents_are_all_found() {
    let mut world = World::new(1);
    world.publish_many("A", 50, "v1");
    for key in ["A003", "A017", "A018", "A044"] {
        world.poison.insert(key.into());
    }
    world.start();
    world.run(minutes(60));
    world.assert_done();
    assert_eq!((world.letters.len(), world.target.len()), (4, 46));
}

#[test]
fn after_a_refused_login_a_query_is_tried_a_minute_later_and_it_alerts_once() {
    let mut world = World::new(1);
    world.publish_many("A", 5, "v1");
    world.script.push_back(Fault::Login);
    world.start();
    world.run(minutes(2));
    world.assert_done();
    assert_eq!(world.alerts(), [(Code::AuthFailed, "b")]);
    // The next try is a query a minute later.
    assert!(world.probe_times[0] >= world.save_times[0] + Duration::from_secs(60));
    assert_eq!((world.letters.len(), world.target.len()), (0, 5));
}

#[test]
fn a_flow_whose_documents_all_fail_alike_waits_instead_of_filling_the_letters() {
    let mut world = World::new(1);
    world.publish_many("A", 60, "v1");
    world.refuse_alike(60);
    world.start();
    world.run(minutes(9));
    assert_eq!((world.letters.len(), world.saves.len()), (0, 1));
    assert_eq!(world.alerts(), [(Code::FlowBreaker, "misc@v1")]);
    world.refuses.clear();
    world.run(minutes(30));
    world.assert_done();
    assert_eq!((world.letters.len(), world.target.len()), (0, 60));
}

#[test]
fn a_flow_that_goes_on_is_judged_by_what_fails_from_then_on() {
    let mut world = World::new(1);
    world.publish_many("A", 60, "v1");
    world.refuse_alike(60);
    world.start();
    world.run(minutes(9));
    assert_eq!(world.letters.len(), 0);
    world.refuses.retain(|key, _| key.as_str() == "A000");
    world.run(minutes(2));
    world.assert_done();
    assert_eq!(world.letters_of("A000"), [(Stage::Load, Code::ReferenceMissing)]);
    assert_eq!((world.letters.len(), world.target.len()), (1, 59));
}

#[test]
fn a_version_that_the_flow_does_not_go_by_fills_the_letters_and_holds_up_nothing() {
    let mut world = World::new(1);
    world.ledger.outdated.insert("v1".to_owned());
    world.publish_many("A", 60, "v1");
    world.publish_many("B", 20, "update");
    world.refuse_alike(60);
    world.start();
    world.run(minutes(9));
    world.assert_done();
    assert_eq!((world.letters.len(), world.target.len()), (60, 20));
    assert!(!world.observations.iter().any(|seen| matches!(seen, Observation::Alert(_))));
}

#[test]
fn what_waits_under_a_version_becomes_letters_once_the_flow_goes_by_another() {
    let mut world = World::new(1);
    world.publish_many("A", 60, "v1");
    world.refuse_alike(60);
    world.start();
    world.run(minutes(9));
    assert_eq!((world.letters.len(), world.saves.len()), (0, 1));
    world.ledger.outdated.insert("v1".to_owned());
    world.run(minutes(30));
    world.assert_done();
    assert_eq!((world.letters.len(), world.target.len()), (60, 0));
}

#[test]
fn an_intent_whose_commit_took_too_long_is_not_sent() {
    let mut world = World::new(1);
    world.commit_takes = Duration::from_secs(6);
    world.publish_many("A", 3, "v1");
    world.start();
    world.feed();
    while world.now < Duration::from_secs(1_020) {
        assert!(world.step());
    }
    assert_eq!(world.saves.len(), 0);
    world.commit_takes = Duration::from_millis(20);
    world.run(minutes(1));
    world.assert_done();
    assert_eq!((world.saves.len(), world.probe_times.len(), world.end_of("A000")), (1, 0, Some(End::Applied)));
}

#[test]
fn draining_finishes_the_call_and_writes_its_outcome() {
    let mut world = World::new(1);
    world.publish_many("A", 100, "v1");
    world.start();
    world.feed();
    while world.saves.is_empty() {
        assert!(world.step());
    }
    world.tell(Event::Drain);
    while world.core.as_ref().is_some_and(|core| core.is_busy(&[])) {
        assert!(world.step());
    }
    assert_eq!((world.saves.len(), world.open_intents()), (1, 0));
    assert_eq!(world.committed[&0], 100, "fifty documents, two offsets each");
}

#[test]
fn a_partition_that_leaves_is_finished_first_and_the_rest_goes_on() {
    let mut world = World::new(2);
    world.publish_many("A", 40, "v1");
    world.start();
    world.feed();
    while world.saves.is_empty() {
        assert!(world.step());
    }
    world.tell(Event::Revoking(vec![partition(0)]));
    while world.core.as_ref().is_some_and(|core| core.is_busy(&[partition(0)])) {
        assert!(world.step());
    }
    assert_eq!(world.committed[&0], 39, "twenty documents: the last one is at 38");
    world.tell(Event::Revoked(vec![partition(0)]));
    assert_eq!(world.core.as_ref().map(|core| core.partitions().count()), Some(1));
    world.run(minutes(1));
    assert_eq!(world.committed[&1], 39);
}
