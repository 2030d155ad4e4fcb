//! A crash at every single step: no second save without proof, and every record ends.

use document::{Code, Stage};

use super::super::ledger::{self, End, Intended, Intent};
use super::world::*;

/// Runs `setup` again and again, dying one step later each time, until a run ends before its death.
fn dying_at_every_step(setup: impl Fn() -> World, check: impl Fn(&World, usize)) {
    for death in 1..10_000 {
        let mut world = setup().seeded(death as u64);
        world.start();
        world.feed();
        let mut steps = 0;
        while steps < death && !world.is_done() && world.step() {
            steps += 1;
        }
        let survived = world.is_done();
        world.crash();
        // The machine is away for a while; what was on the wire goes on meanwhile.
        world.start();
        world.run(minutes(30));
        world.assert_done();
        check(&world, death);
        if survived {
            return;
        }
    }
    panic!("no end");
}

#[test]
fn plain_saves() {
    let setup = || {
        let mut world = World::new(2);
        world.publish_many("A", 6, "v1");
        world
    };
    dying_at_every_step(setup, |world, death| {
        assert_eq!((world.target.len(), world.letters.len()), (6, 0), "dead after {death}");
        assert!(world.saves.iter().map(Vec::len).sum::<usize>() <= 12);
    });
}

#[test]
fn a_save_that_is_executed_late() {
    let setup = || {
        let mut world = World::new(1);
        world.publish_many("A", 3, "v1");
        world.script.push_back(Fault::OpenLate(std::time::Duration::from_secs(100)));
        world
    };
    dying_at_every_step(setup, |world, death| {
        assert_eq!((world.target.len(), world.saves.len(), world.letters.len()), (3, 1, 0), "dead after {death}");
    });
}

#[test]
fn an_audit_that_fails_after_the_save() {
    let setup = || {
        let mut world = World::new(1);
        world.publish_many("A", 2, "auto");
        world.script.push_back(Fault::AuditKeep(1));
        world
    };
    dying_at_every_step(setup, |world, death| {
        // Dead before the refusal was read: the next owner finds it saved and only takes it further.
        let letters = world.letters_of("A001");
        assert!(letters == [(Stage::Audit, Code::AuditFailed)] || letters.is_empty(), "dead after {death}");
        assert_eq!((world.target.len(), world.saves.len()), (2, 1), "dead after {death}");
    });
}

#[test]
fn steps_after_saving() {
    let setup = || {
        let mut world = World::new(1);
        world.publish_many("A", 2, "steps");
        world
    };
    dying_at_every_step(setup, |world, death| {
        assert_eq!((world.target.len(), world.letters.len()), (2, 0), "dead after {death}");
        assert_eq!((world.end_of("A000"), world.end_of("A001")), (Some(End::Applied), Some(End::Applied)));
    });
}

#[test]
fn an_intent_that_was_left_open_holds_only_its_own_keys() {
    let mut world = World::new(1);
    world.publish_many("A", 2, "v1");
    let mapped = world.mapped("A000", 1, "v1");
    let document = Intended {
        key: mapped.target_key.clone(),
        version: mapped.version,
        digest: mapped.digest,
        offset: 0,
        first: world.wall(),
    };
    let record = ledger::record(ledger::intent_key("b"), &Intent::new(world.wall(), 5_000, vec![document]));
    world.ledger.values.insert((partition(0), record.key), record.value.expect("a value"));
    world.start();
    world.run(minutes(10));
    world.assert_done();
    assert!(world.save_times[0].as_secs() < 1_002, "the other document does not wait");
    assert!(world.save_times[1].as_secs() >= 1_000 + 5 + 115, "{:?}", world.save_times);
}

#[test]
fn what_the_process_knows_of_its_calls_outlives_the_session() {
    let mut world = World::new(1);
    world.commit_takes = std::time::Duration::from_secs(6);
    world.publish_many("A", 3, "v1");
    world.start();
    world.feed();
    while world.open_intents() == 0 {
        assert!(world.step());
    }
    // The commit was slow, so the session is built anew; the intent is readable but was never sent.
    let carried = world.core.take().map(super::super::Core::carry).expect("a core");
    world.crash();
    world.commit_takes = std::time::Duration::from_millis(20);
    world.start_with(carried, false);
    let before = world.now;
    world.run(minutes(5));
    world.assert_done();
    assert!(world.now < before + std::time::Duration::from_secs(5), "no settling: {:?}", world.now - before);
    assert_eq!(world.saves.len(), 1);
}

#[test]
fn an_open_intent_whose_record_is_gone_ends_in_doubt() {
    let mut world = World::new(1);
    let old = world.mapped("A", 1, "v1");
    let document = Intended { key: "A".into(), version: old.version, digest: old.digest, offset: 0, first: 0 };
    let record = ledger::record(ledger::intent_key("b"), &Intent::new(0, 5_000, vec![document]));
    world.ledger.values.insert((partition(0), record.key), record.value.expect("a value"));
    world.publish_many("X", 1, "v1");
    let newer = world.mapped("A", 2, "v1");
    world.publish(0, newer);
    world.start();
    world.run(minutes(5));
    world.assert_done();
    assert_eq!(world.letters_of("A"), [(Stage::Load, Code::InDoubt)]);
    assert_eq!(world.letters[0].origin, Some(("starbridge.misc.mapped".to_owned(), 0, 2)));
    assert_eq!(world.end_of("A"), Some(End::InDoubt));
}
