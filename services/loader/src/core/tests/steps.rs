//! Submits and audits whose outcome does not show, or that are made up for later.

use document::{Code, Mapped, Stage, Version};

use super::super::event::Observation;
use super::super::ledger::{End, Reached};
use super::world::*;

fn opened(world: &World) -> bool {
    world.observations.iter().any(|seen| matches!(seen, Observation::Breaker { state: 2, .. }))
}

#[test]
fn a_step_whose_reply_does_not_tell_is_read_and_made_again() {
    let mut world = World::new(1);
    world.publish_many("A", 2, "steps");
    world.silent_steps = 1;
    world.start();
    world.run(minutes(5));
    world.assert_done();
    assert_eq!((world.end_of("A000"), world.end_of("A001")), (Some(End::Applied), Some(End::Applied)));
    assert_eq!((world.advances.len(), world.saves.len(), world.letters.len()), (3, 1, 0));
    assert!(!opened(&world));
}

#[test]
fn a_step_that_has_no_outcome_five_times_opens_the_breaker_and_makes_no_letter() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "steps");
    world.silent_steps = usize::MAX;
    world.start();
    world.feed();
    while !opened(&world) {
        assert!(world.step() && world.advances.len() <= 5, "{:?}", world.advances);
    }
    assert_eq!((world.advances.len(), world.letters.len()), (5, 0));
    world.silent_steps = 0;
    world.run(minutes(5));
    world.assert_done();
    assert_eq!((world.end_of("A000"), world.saves.len(), world.letters.len()), (Some(End::Applied), 1, 0));
}

#[test]
fn a_newer_version_that_says_the_same_makes_up_for_the_steps_that_are_missing() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "steps");
    world.audit_refused.insert("A000".into());
    world.start();
    world.run(minutes(5));
    assert_eq!(world.letters_of("A000"), [(Stage::Submit, Code::SubmitFailed)]);
    world.audit_refused.clear();
    let first = world.mapped("A000", 1, "steps");
    world.publish(0, Mapped { version: Version(2), ..first });
    world.run(minutes(5));
    world.assert_done();
    assert_eq!((world.end_of("A000"), world.saves.len()), (Some(End::Applied), 1));
    assert_eq!(world.target[&"A000".into()][0].reached, Reached::Audited);
}
