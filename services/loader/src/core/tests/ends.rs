//! Copies, stale versions, collisions, changes of loaded documents, unreadable records, look-ups before the first save.

use std::time::Duration;

use document::{Code, Mapped, Record, Stage, header};

use super::super::Carried;
use super::super::event::*;
use super::super::ledger::{self, End, Reached, Since};
use super::world::*;

fn world() -> World {
    let mut world = World::new(1);
    world.start();
    world
}

fn publish_and_run(world: &mut World, key: &str, version: u64, flow_version: &str, replay: Option<&str>) {
    let mut mapped = world.mapped(key, version, flow_version);
    mapped.replay = replay.map(str::to_owned);
    world.publish(0, mapped);
    world.run(minutes(5));
    world.assert_done();
}

#[test]
fn copies_and_older_versions_are_superseded_without_a_call() {
    let mut world = world();
    publish_and_run(&mut world, "A", 5, "v1", None);
    publish_and_run(&mut world, "A", 5, "v1", None);
    publish_and_run(&mut world, "A", 4, "v1", None);
    publish_and_run(&mut world, "A", 5, "v1", Some("r1"));
    assert_eq!(world.ended, [Ended::Applied, Ended::Superseded, Ended::Superseded, Ended::Superseded]);
    assert_eq!((world.saves.len(), world.probe_times.len()), (1, 0));
    let dropped = world.entry(0, &"A".into()).and_then(|entry| entry.dropped).expect("told to whoever asked");
    assert_eq!(dropped.replay, "r1");
}

#[test]
fn records_of_one_key_go_one_after_another_in_order() {
    let mut world = world();
    for version in 1..=4 {
        let mapped = world.mapped("A", version, "update");
        world.publish(0, mapped);
    }
    world.run(minutes(5));
    world.assert_done();
    assert_eq!(world.saves.len(), 4);
    assert_eq!(world.target[&"A".into()][0].content, b"{\"FBillNo\":\"A\",\"v\":4}");
}

#[test]
fn a_change_of_a_loaded_document_is_skipped_parked_or_applied_as_the_flow_says() {
    let mut world = world();
    for (key, flow_version) in [("S", "v1"), ("P", "park"), ("U", "update")] {
        publish_and_run(&mut world, key, 1, flow_version, None);
        publish_and_run(&mut world, key, 2, flow_version, None);
    }
    assert_eq!(
        world.ended,
        [Ended::Applied, Ended::Skipped, Ended::Applied, Ended::Parked, Ended::Applied, Ended::Applied]
    );
    assert_eq!(world.entry(0, &"S".into()).and_then(|entry| entry.changed).map(|v| v.0), Some(2));
    assert_eq!(world.letters_of("P"), [(Stage::Load, Code::ChangedAfterLoad)]);
    assert_eq!(world.letters[0].origin, Some(("starbridge.misc.mapped".to_owned(), 0, 6)));
    assert_eq!(world.target[&"U".into()][0].content, b"{\"FBillNo\":\"U\",\"v\":2}");
    assert_eq!(world.target[&"S".into()][0].content, b"{\"FBillNo\":\"S\",\"v\":1}");
}

#[test]
fn an_audited_document_is_not_updated() {
    let mut world = world();
    publish_and_run(&mut world, "U", 1, "update", None);
    world.target.get_mut(&"U".into()).expect("loaded")[0].reached = Reached::Audited;
    publish_and_run(&mut world, "U", 2, "update", None);
    assert_eq!(world.letters_of("U"), [(Stage::Load, Code::AuditedInTarget)]);
    assert_eq!(world.letters[0].origin, Some(("starbridge.misc.mapped".to_owned(), 0, 2)));
    // Once it is open again, the replay updates it.
    world.target.get_mut(&"U".into()).expect("loaded")[0].reached = Reached::Saved;
    publish_and_run(&mut world, "U", 2, "update", Some("r1"));
    assert_eq!(world.target[&"U".into()][0].content, b"{\"FBillNo\":\"U\",\"v\":2}");
}

#[test]
fn an_update_whose_reply_is_lost_is_made_again_only_if_it_did_not_happen() {
    for (fault, saves) in [(Fault::OpenDone, 2), (Fault::OpenNothing, 3)] {
        let mut world = world();
        publish_and_run(&mut world, "U", 1, "update", None);
        world.script.push_back(fault);
        publish_and_run(&mut world, "U", 2, "update", None);
        assert_eq!((world.saves.len(), world.end_of("U")), (saves, Some(End::Applied)));
        assert_eq!(world.target[&"U".into()][0].content, b"{\"FBillNo\":\"U\",\"v\":2}");
    }
}

#[test]
fn two_documents_with_one_target_key_collide() {
    let mut world = world();
    publish_and_run(&mut world, "A", 1, "v1", None);
    let mut other = world.mapped("A", 9, "v1");
    other.document_key = "FID-other".into();
    world.publish(0, other);
    world.run(minutes(1));
    world.assert_done();
    assert_eq!(world.letters_of("other"), [(Stage::Load, Code::Collision)]);
    assert_eq!(world.letters[0].origin, Some(("starbridge.misc.mapped".to_owned(), 0, 2)));
    assert_eq!((world.saves.len(), world.entry(0, &"A".into()).expect("kept").version.0), (1, 1));
}

#[test]
fn a_record_that_cannot_be_read_is_a_letter_with_its_place_and_its_bytes() {
    let mut world = world();
    let broken = Record { key: b"k".to_vec(), value: Some(b"\xff\x00".to_vec()), ..Record::default() };
    world.publish_raw(0, broken);
    let mut list = world.mapped("A", 1, "v1");
    list.value = b"[1]".to_vec();
    world.publish(0, list);
    world.run(minutes(1));
    world.assert_done();
    let seen: Vec<_> = world.letters.iter().map(|l| (l.code, l.origin.clone().expect("a place").2)).collect();
    assert_eq!(seen, [(Code::RecordUnreadable, 0), (Code::RecordUnreadable, 2)]);
    assert_eq!(world.letters[0].body, b"\xff\x00");
}

#[test]
fn a_letter_that_would_be_too_large_names_the_place_of_its_record() {
    let mut world = World::new(1);
    world.numbers.letter_bytes = 20;
    world.refuses.insert("A".into(), refusal(Code::TargetRefused, "不允许"));
    world.start();
    publish_and_run(&mut world, "A", 1, "v1", None);
    let body: serde_json::Value = serde_json::from_slice(&world.letters[0].body).expect("JSON");
    assert_eq!(body["topic"], "starbridge.misc.mapped");
    assert_eq!((&body["offset"], &body["bytes"]), (&0.into(), &21.into()));
    assert_eq!((world.letters[0].claim_check, world.letters[0].original()), (true, None));

    let mut world = World::new(1);
    world.numbers.letter_bytes = 21;
    world.refuses.insert("A".into(), refusal(Code::TargetRefused, "不允许"));
    world.start();
    publish_and_run(&mut world, "A", 1, "v1", None);
    assert_eq!((world.letters[0].claim_check, world.letters[0].body.len()), (false, 21), "as large as it may be");
}

#[test]
fn a_refused_record_can_be_published_again_from_its_letter_alone() {
    let mut world = world();
    world.refuses.insert("A".into(), refusal(Code::TargetRefused, "不允许"));
    let mapped = world.mapped("A", 1, "v1");
    publish_and_run(&mut world, "A", 1, "v1", Some("r1"));
    let original = world.letters[0].original().expect("nothing of it is missing");
    assert_eq!(Mapped::from_record(&original), Ok(mapped));

    world.refuses.clear();
    let mut again = original;
    again.headers.set(header::REPLAY, "r2");
    world.publish_raw(0, again);
    world.run(minutes(1));
    world.assert_done();
    assert_eq!(world.end_of("A"), Some(End::Applied));
}

#[test]
fn a_parked_version_is_tried_again_by_a_replay_and_its_letter_counts_up() {
    let mut world = world();
    world.refuses.insert("A".into(), refusal(Code::TargetRefused, "不允许"));
    publish_and_run(&mut world, "A", 1, "v1", None);
    publish_and_run(&mut world, "A", 1, "v1", Some("r1"));
    let attempts: Vec<u32> = world.letters.iter().map(|letter| letter.attempts).collect();
    assert_eq!(attempts, [1, 2]);
    assert_eq!(world.letters[0].id(), world.letters[1].id());
    assert_eq!(world.letters[0].first_failed_at, world.letters[1].first_failed_at);
    world.refuses.clear();
    publish_and_run(&mut world, "A", 1, "v1", Some("r2"));
    publish_and_run(&mut world, "A", 1, "v1", Some("r1"));
    assert_eq!((world.saves.len(), world.end_of("A")), (3, Some(End::Applied)));
}

#[test]
fn old_documents_and_those_without_a_date_are_looked_up_in_one_query_before_they_are_saved() {
    let mut world = world();
    for n in 0..60 {
        let mut mapped = world.mapped(&format!("A{n:02}"), 1, "v1");
        mapped.created = if n % 2 == 0 { None } else { Some(EPOCH / 1_000 - 40 * 86_400) };
        world.publish(0, mapped);
    }
    let same = Doc {
        id: "9".to_owned(),
        content: b"{\"FBillNo\":\"A07\",\"v\":1}".to_vec(),
        reached: Reached::Saved,
        created: 5,
    };
    world.target.insert("A07".into(), vec![same]);
    world.foreign("A08", 5);
    world.run(minutes(5));
    world.assert_done();
    assert_eq!((world.probe_times.len(), world.saves.len()), (1, 2));
    assert_eq!(world.letters_of("A08"), [(Stage::Load, Code::Conflict)]);
    assert_eq!(world.letters[0].origin, Some(("starbridge.misc.mapped".to_owned(), 0, 16)));
    let adopted = world.entry(0, &"A07".into()).and_then(|entry| entry.target).expect("adopted");
    assert_eq!(adopted.id, "9");
}

#[test]
fn a_lost_ledger_means_looking_everything_up_after_earlier_saves_have_settled() {
    let mut world = World::new(1);
    world.publish_many("A", 3, "v1");
    world.committed.insert(0, 0);
    world.start_with(Carried::default(), true);
    world.run(minutes(10));
    world.assert_done();
    let first_save = world.save_times[0];
    assert!(first_save.as_secs() >= 1_000 + 5 + 115, "{first_save:?}");
    assert!(!world.probe_times.is_empty());
    let since: Since = ledger::read("since", &world.ledger.values[&(partition(0), b"since".to_vec())]).expect("kept");
    assert_eq!(since.at, EPOCH + 1_000_000);
    assert_eq!(world.alerts(), [(Code::LedgerLost, "misc/0")]);
    // The next owner remembers it: what was created before is looked up, what came later is not.
    world.crash();
    world.start();
    let probes = world.probe_times.len();
    world.publish_many("B", 1, "v1");
    world.run(minutes(10));
    assert!(world.probe_times.len() > probes);
    let probes = world.probe_times.len();
    let mut fresh = world.mapped("C", 1, "v1");
    fresh.created = Some(since.at / 1_000 + 601);
    world.publish(0, fresh);
    world.run(minutes(10));
    world.assert_done();
    assert_eq!(world.probe_times.len(), probes);
}

#[test]
fn a_new_ledger_that_is_to_verify_first_settles_like_a_lost_one_also_when_its_owner_dies_meanwhile() {
    let mut world = World::new(1);
    world.numbers.verify_first = true;
    world.publish_many("A", 3, "v1");
    world.start();
    world.run(Duration::from_secs(30));
    assert!(world.ledger.values.contains_key(&(partition(0), b"since".to_vec())), "the mark is written");
    // The setting is taken away and the loader dies: the mark alone says what is not known.
    world.crash();
    world.numbers.verify_first = false;
    world.start();
    let begun = world.now;
    world.run(minutes(10));
    world.assert_done();
    assert!(world.save_times[0] >= begun + Duration::from_secs(120), "{:?} after {begun:?}", world.save_times[0]);
    assert_eq!(world.save_times.len(), 1);
    // A day later nothing is on its way any more: one look is enough.
    world.crash();
    world.now += Duration::from_secs(90_000);
    world.start();
    let begun = world.now;
    world.publish_many("B", 1, "v1");
    world.run(minutes(1));
    world.assert_done();
    assert!(world.save_times[1] < begun + Duration::from_secs(10), "{:?} after {begun:?}", world.save_times[1]);
}

#[test]
fn a_date_that_the_clock_of_the_source_may_have_put_too_late_is_not_relied_on() {
    let mut world = World::new(1);
    world.committed.insert(0, 0);
    world.start_with(Carried::default(), true);
    let mut early = world.mapped("A", 1, "v1");
    early.created = Some(world.wall() / 1_000 + 599);
    world.publish(0, early);
    let mut late = world.mapped("B", 1, "v1");
    late.created = Some(world.wall() / 1_000 + 601);
    world.publish(0, late);
    world.run(minutes(5));
    world.assert_done();
    let settled: Vec<bool> = world.save_times.iter().map(|time| time.as_secs() >= 1_120).collect();
    assert_eq!(settled, [false, true]);
}

#[test]
fn an_unreadable_entry_is_told_and_its_document_looked_up() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.ledger.values.insert((partition(0), b"doc/A000".to_vec()), b"{\"v\":9}".to_vec());
    world.start();
    world.run(minutes(10));
    world.assert_done();
    assert_eq!(world.alerts(), [(Code::LedgerUnreadable, "misc/0 doc/A000")]);
    assert!(world.save_times[0].as_secs() >= 1_120, "settled first");
    assert_eq!(world.end_of("A000"), Some(End::Applied));
}

#[test]
fn records_wait_for_their_flow_version_without_a_letter() {
    let mut world = world();
    let late = world.mapped("A", 1, "v9");
    world.publish(0, late);
    world.feed();
    for _ in 0..20 {
        assert!(world.step());
    }
    assert_eq!((world.saves.len(), world.letters.len()), (0, 0));
    assert_eq!(world.alerts(), [(Code::FlowVersionMissing, "misc@v9")]);
    world.ledger.rules.insert("v9".to_owned(), std::sync::Arc::new(rules()));
    world.run(minutes(1));
    world.assert_done();
    assert_eq!(world.end_of("A"), Some(End::Applied));
}

#[test]
fn large_documents_travel_alone_and_batches_keep_to_their_bytes() {
    let mut world = world();
    let big = std::sync::Arc::new(super::super::Rules { max_bytes: 100, ..rules() });
    world.ledger.rules.insert("v1".to_owned(), big);
    for (n, size) in [10, 10, 300, 10, 90].into_iter().enumerate() {
        let mut mapped = world.mapped(&format!("A{n}"), 1, "v1");
        mapped.value = format!("{{\"n\":\"{}\"}}", "x".repeat(size)).into_bytes();
        world.publish(0, mapped);
    }
    world.run(minutes(1));
    world.assert_done();
    let sizes: Vec<Vec<&str>> = world.saves.iter().map(|batch| batch.iter().map(text).collect()).collect();
    assert_eq!(sizes, [vec!["A0", "A1", "A3"], vec!["A2"], vec!["A4"]]);
}

#[test]
fn a_copy_of_an_older_change_does_not_hide_a_newer_one() {
    let mut world = world();
    for version in [1, 2, 3, 2] {
        publish_and_run(&mut world, "S", version, "v1", None);
    }
    assert_eq!(world.ended, [Ended::Applied, Ended::Skipped, Ended::Skipped, Ended::Skipped]);
    assert_eq!(world.entry(0, &"S".into()).and_then(|entry| entry.changed).map(|v| v.0), Some(3));
}

#[test]
fn a_version_that_comes_late_is_not_loaded_over_a_newer_one_that_said_nothing_new() {
    let mut world = world();
    publish_and_run(&mut world, "U", 1, "update", None);
    let first = world.mapped("U", 1, "update");
    // The bill was changed, which could not be mapped, and changed back: the third version says what the first one said.
    let third = Mapped { version: document::Version(3), ..first };
    world.publish(0, third);
    world.run(minutes(1));
    publish_and_run(&mut world, "U", 2, "update", Some("r1"));
    assert_eq!(world.ended, [Ended::Applied, Ended::Superseded, Ended::Superseded]);
    assert_eq!(world.target[&"U".into()][0].content, b"{\"FBillNo\":\"U\",\"v\":1}");
    assert_eq!((world.saves.len(), world.entry(0, &"U".into()).expect("kept").version.0), (1, 3));
}
