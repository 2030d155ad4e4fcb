//! Documents that are published again by request, and a person's word on those in doubt.

use document::{Code, Stage, TargetKey, Version};

use super::super::event::Ended;
use super::super::ledger::{Dropped, End, Reached};
use super::world::*;

fn world() -> World {
    let mut world = World::new(1);
    world.start();
    world
}

fn publish(world: &mut World, key: &str, version: u64, replay: Option<&str>, verdict: Option<&str>) {
    let mut mapped = world.mapped(key, version, "v1");
    mapped.replay = replay.map(str::to_owned);
    world.publish_with(0, mapped, verdict);
}

fn run(world: &mut World) {
    world.run(minutes(10));
    world.assert_done();
}

fn calls(world: &World) -> (usize, usize) {
    (world.saves.len(), world.probe_times.len())
}

/// A world in which version 1 of A is in doubt and version 2 is parked behind it.
fn in_doubt(happened: bool) -> World {
    let mut world = world();
    world.unclear = true;
    let fault = if happened { Fault::OpenDone } else { Fault::OpenNothing };
    world.script.push_back(fault);
    publish(&mut world, "A", 1, None, None);
    if !happened {
        // What is found under the key meanwhile cannot be compared.
        world.foreign("A", EPOCH + 1_000_000);
    }
    run(&mut world);
    publish(&mut world, "A", 2, None, None);
    run(&mut world);
    assert_eq!((world.end_of("A"), world.letters_of("A")), (Some(End::InDoubt), vec![(Stage::Load, Code::InDoubt); 2]));
    world.unclear = false;
    world
}

#[test]
fn a_replay_that_was_overtaken_is_dropped_without_a_call_and_whoever_asked_is_told() {
    let mut world = world();
    world.refuses.insert("A".into(), refusal(Code::TargetRefused, "不允许"));
    publish(&mut world, "A", 1, None, None);
    run(&mut world);
    world.refuses.clear();
    publish(&mut world, "A", 2, None, None);
    run(&mut world);
    let before = calls(&world);
    publish(&mut world, "A", 1, Some("r1"), None);
    run(&mut world);
    assert_eq!((calls(&world), world.ended.last()), (before, Some(&Ended::Superseded)));
    let entry = world.entry(0, &"A".into()).expect("an entry");
    assert_eq!((entry.version, entry.end), (Version(2), Some(End::Applied)));
    assert_eq!(entry.dropped, Some(Dropped { version: Version(1), replay: "r1".to_owned() }));
    assert_eq!(world.target[&"A".into()][0].content, b"{\"FBillNo\":\"A\",\"v\":2}");
}

#[test]
fn a_replay_that_comes_twice_is_one_save_and_is_not_told_as_dropped() {
    for together in [true, false] {
        let mut world = world();
        world.refuses.insert("A".into(), refusal(Code::TargetRefused, "不允许"));
        publish(&mut world, "A", 1, None, None);
        run(&mut world);
        world.refuses.clear();
        publish(&mut world, "A", 1, Some("r1"), None);
        if !together {
            run(&mut world);
        }
        publish(&mut world, "A", 1, Some("r1"), None);
        run(&mut world);
        assert_eq!(world.ended, [Ended::Parked, Ended::Applied, Ended::Superseded]);
        let entry = world.entry(0, &"A".into()).expect("an entry");
        assert_eq!((entry.end, entry.replays, entry.dropped), (Some(End::Applied), vec!["r1".to_owned()], None));
        assert_eq!(world.saves.len(), 2);
    }
}

#[test]
fn a_copy_of_a_replay_that_failed_again_makes_no_second_letter() {
    let mut world = world();
    world.refuses.insert("A".into(), refusal(Code::TargetRefused, "不允许"));
    publish(&mut world, "A", 1, None, None);
    publish(&mut world, "A", 1, Some("r1"), None);
    publish(&mut world, "A", 1, Some("r1"), None);
    run(&mut world);
    assert_eq!(world.ended, [Ended::Parked, Ended::Parked, Ended::Superseded]);
    assert_eq!((world.saves.len(), world.letters.len()), (2, 2));
}

#[test]
fn a_timed_fault_is_due_later_with_every_failure() {
    let mut world = world();
    world.refuses.insert("A".into(), refusal(Code::ReferenceMissing, "物料 M-9 不存在"));
    publish(&mut world, "A", 1, None, None);
    run(&mut world);
    for replay in ["r1", "r2", "r3"] {
        publish(&mut world, "A", 1, Some(replay), None);
        run(&mut world);
    }
    let told = |letter: &document::DeadLetter| {
        let wait = letter.retry_at.expect("timed") - letter.last_failed_at;
        (letter.attempts, wait / 60_000, letter.id())
    };
    let id = world.letters[0].id();
    let wanted: Vec<_> = [(1, 1), (2, 10), (3, 60), (4, 60)].map(|(n, wait)| (n, wait, id.clone())).into();
    assert_eq!(world.letters.iter().map(told).collect::<Vec<_>>(), wanted);
}

#[test]
fn a_letter_about_a_missing_reference_is_saved_once_by_its_replay() {
    let mut world = world();
    world.refuses.insert("A".into(), refusal(Code::ReferenceMissing, "物料 M-9 不存在"));
    publish(&mut world, "A", 1, None, None);
    run(&mut world);
    assert_eq!(world.letters_of("A"), [(Stage::Load, Code::ReferenceMissing)]);
    world.refuses.clear();
    publish(&mut world, "A", 1, Some("r1"), None);
    run(&mut world);
    let entry = world.entry(0, &"A".into()).expect("an entry");
    assert_eq!((entry.end, entry.replays), (Some(End::Applied), vec!["r1".to_owned()]));
    assert_eq!((entry.letter, entry.code, entry.dropped), (None, None, None));
    assert_eq!((world.saves.len(), world.target[&TargetKey::from("A")].len()), (2, 1));
}

#[test]
fn the_verdict_absent_frees_its_key_and_the_document_is_saved_again() {
    let mut world = in_doubt(false);
    world.target.clear();
    publish(&mut world, "A", 1, Some("r1"), Some("absent"));
    run(&mut world);
    let entry = world.entry(0, &"A".into()).expect("an entry");
    assert_eq!((entry.end, entry.replays), (Some(End::Applied), vec!["r1".to_owned()]));
    assert_eq!((world.saves.len(), world.target[&TargetKey::from("A")].len()), (2, 1));
    // Version 2 is judged against what is there now, no longer against the doubt.
    publish(&mut world, "A", 2, Some("r2"), None);
    run(&mut world);
    assert_eq!(world.entry(0, &"A".into()).and_then(|entry| entry.changed), Some(Version(2)));
    assert_eq!(world.letters.len(), 2);
}

#[test]
fn the_verdict_applied_frees_its_key_without_a_call() {
    let mut world = in_doubt(true);
    let before = calls(&world);
    publish(&mut world, "A", 1, Some("r1"), Some("applied as A-1"));
    run(&mut world);
    let entry = world.entry(0, &"A".into()).expect("an entry");
    assert_eq!((entry.end, entry.replays), (Some(End::Applied), vec!["r1".to_owned()]));
    assert_eq!(entry.target.map(|target| target.id), Some("A-1".to_owned()));
    assert_eq!(calls(&world), before);
    publish(&mut world, "A", 3, None, None);
    run(&mut world);
    assert_eq!(world.entry(0, &"A".into()).and_then(|entry| entry.changed), Some(Version(3)));
    assert_eq!(world.letters.len(), 2);
}

#[test]
fn a_word_too_late_or_about_a_version_that_never_was_in_doubt_changes_nothing() {
    let mut world = in_doubt(true);
    publish(&mut world, "A", 1, Some("r1"), Some("applied as A-1"));
    run(&mut world);
    publish(&mut world, "A", 2, Some("r2"), None);
    run(&mut world);
    let before = (calls(&world), world.letters.len());
    for (version, replay) in [(1, "r3"), (2, "r4")] {
        publish(&mut world, "A", version, Some(replay), Some("absent"));
        run(&mut world);
        let entry = world.entry(0, &"A".into()).expect("an entry");
        assert_eq!((entry.version, entry.end, entry.changed), (Version(1), Some(End::Applied), Some(Version(2))));
        assert_eq!(entry.target.map(|target| target.id), Some("A-1".to_owned()));
    }
    assert_eq!((calls(&world), world.letters.len()), before);
}

#[test]
fn a_replay_without_a_verdict_is_not_sent_again_where_the_target_does_not_keep_keys() {
    let mut world = world();
    world.renumbers = true;
    publish(&mut world, "B", 1, None, None);
    run(&mut world);
    world.forgets_keys = true;
    world.script.push_back(Fault::OpenDone);
    publish(&mut world, "A", 1, None, None);
    run(&mut world);
    assert_eq!(world.end_of("A"), Some(End::InDoubt));
    let saves = world.saves.len();
    publish(&mut world, "A", 1, Some("r1"), None);
    run(&mut world);
    assert_eq!((world.end_of("A"), world.saves.len()), (Some(End::InDoubt), saves));
}

#[test]
fn an_update_in_doubt_is_still_an_update_when_it_is_replayed() {
    for (fault, saves) in [(Fault::OpenDone, 2), (Fault::OpenNothing, 3)] {
        let mut world = world();
        let update = |world: &mut World, version: u64, replay: Option<&str>| {
            let mut mapped = world.mapped("A", version, "update");
            mapped.replay = replay.map(str::to_owned);
            world.publish(0, mapped);
            run(world);
        };
        update(&mut world, 1, None);
        world.unclear = true;
        world.script.push_back(fault);
        update(&mut world, 2, None);
        assert_eq!(world.end_of("A"), Some(End::InDoubt));
        world.unclear = false;
        update(&mut world, 2, Some("r1"));
        assert_eq!((world.saves.len(), world.end_of("A")), (saves, Some(End::Applied)));
        assert_eq!(world.target[&"A".into()][0].content, b"{\"FBillNo\":\"A\",\"v\":2}");
        assert_eq!(world.letters_of("A"), [(Stage::Load, Code::InDoubt)]);
    }
}

#[test]
fn a_correction_that_was_taken_back_is_overtaken_and_its_replay_changes_nothing() {
    for (flow_version, code) in [("park", Code::ChangedAfterLoad), ("update", Code::AuditedInTarget)] {
        let mut world = world();
        let publish = |world: &mut World, version: u64, content: u64, replay: Option<&str>| {
            let mut mapped = world.mapped("A", content, flow_version);
            (mapped.version, mapped.replay) = (Version(version), replay.map(str::to_owned));
            world.publish(0, mapped);
            run(world);
        };
        publish(&mut world, 1, 1, None);
        world.target.get_mut(&"A".into()).expect("loaded")[0].reached = Reached::Audited;
        publish(&mut world, 2, 2, None);
        assert_eq!(world.letters_of("A"), [(Stage::Load, code)]);
        publish(&mut world, 3, 1, None);
        let entry = world.entry(0, &"A".into()).expect("an entry");
        assert_eq!((entry.version, entry.end, entry.letter), (Version(3), Some(End::Applied), None));
        assert_eq!(entry.target.map(|target| target.version), Some(Version(3)));
        // The bill could be changed now; but the source itself took the correction back.
        world.target.get_mut(&"A".into()).expect("loaded")[0].reached = Reached::Saved;
        let before = calls(&world);
        publish(&mut world, 2, 2, Some("r1"));
        assert_eq!((calls(&world), world.ended.last()), (before, Some(&Ended::Superseded)));
        assert_eq!(world.target[&"A".into()][0].content, b"{\"FBillNo\":\"A\",\"v\":1}");
        // A version that says once more what stands is noted without a call.
        publish(&mut world, 4, 1, None);
        let entry = world.entry(0, &"A".into()).expect("an entry");
        assert_eq!((calls(&world), entry.version), (before, Version(4)));
    }
}
