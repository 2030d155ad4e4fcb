//! What each class of reply to a save leads to.

use std::time::Duration;

use document::{Category, Code, Stage, header};

use super::super::event::*;
use super::super::ledger::{End, Reached};
use super::world::*;

fn loaded(count: usize, flow_version: &str, fault: &[Fault]) -> World {
    let mut world = World::new(2);
    world.publish_many("A", count, flow_version);
    world.script.extend(fault.iter().cloned());
    world.start();
    world.run(minutes(20));
    world.assert_done();
    world
}

fn applied(world: &World) -> usize {
    world.ended.iter().filter(|end| **end == Ended::Applied).count()
}

#[test]
fn documents_are_saved_in_few_calls_and_end_applied() {
    let world = loaded(120, "v1", &[]);
    assert_eq!(world.saves.iter().map(Vec::len).collect::<Vec<_>>(), [50, 50, 20]);
    assert_eq!((applied(&world), world.target.len(), world.letters.len()), (120, 120, 0));
    assert_eq!(world.end_of("A000"), Some(End::Applied));
}

#[test]
fn what_was_not_sent_is_sent_again_after_one_two_and_four_seconds() {
    let world = loaded(10, "v1", &[Fault::NotSent, Fault::NotSent, Fault::NotSent]);
    let gaps: Vec<f64> = world.save_times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for (gap, base) in gaps.iter().zip([1.0, 2.0, 4.0]) {
        assert!((base * 0.8..base * 1.2 + 0.6).contains(gap), "{gaps:?}");
    }
    assert_eq!((gaps.len(), applied(&world), world.letters.len(), world.probe_times.len()), (3, 10, 0, 0));
}

#[test]
fn throttled_saves_wait_a_minute_and_count_for_nothing() {
    let world = loaded(3, "v1", &[Fault::Throttled]);
    let gap = world.save_times[1] - world.save_times[0];
    assert!(gap >= Duration::from_secs(60) && gap < Duration::from_secs(62), "{gap:?}");
    assert_eq!((applied(&world), world.probe_times.len()), (3, 0));
}

#[test]
fn an_unclear_answer_is_resolved_by_one_probe_before_anything_is_sent_again() {
    for fault in [Fault::ClosedNothing, Fault::SessionLost] {
        let world = loaded(10, "v1", std::slice::from_ref(&fault));
        assert_eq!((world.saves.len(), world.probe_times.len(), applied(&world)), (2, 1, 10), "{fault:?}");
        assert!(world.now < Duration::from_secs(1_005), "no settling needed: {:?}", world.now);
    }
}

#[test]
fn a_lost_reply_to_a_finished_save_ends_applied_without_another_save() {
    for fault in [Fault::ClosedDone, Fault::OpenDone] {
        let world = loaded(10, "v1", &[fault]);
        assert_eq!((world.saves.len(), applied(&world), world.letters.len()), (1, 10, 0));
        assert!(world.now < Duration::from_secs(1_005));
    }
}

#[test]
fn an_absent_document_is_sent_again_only_after_everything_has_settled() {
    let world = loaded(10, "v1", &[Fault::OpenNothing]);
    let gap = world.save_times[1] - world.save_times[0];
    assert!(gap >= Duration::from_secs(115), "{gap:?}");
    let waits: Vec<u64> = world.probe_times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect();
    assert_eq!(waits.len(), 5, "after 1, 2, 4, 8 and 8 seconds, and at the end: {waits:?}");
    assert_eq!((world.saves.len(), applied(&world)), (2, 10));
}

#[test]
fn a_save_that_happens_late_is_found_and_not_repeated() {
    for late in [2, 20, 109] {
        let world = loaded(10, "v1", &[Fault::OpenLate(Duration::from_secs(late))]);
        assert_eq!((world.saves.len(), applied(&world), world.target.len()), (1, 10, 10), "{late}");
    }
}

#[test]
fn partial_answers_end_each_document_by_itself() {
    let mut world = World::new(1);
    world.publish_many("A", 10, "v1");
    world.refuses.insert("A003".into(), refusal(Code::ReferenceMissing, "编码值[\"M1\"]不存在"));
    world.refuses.insert("A004".into(), refusal(Code::TargetRequired, "字段“客户”是必填项"));
    world.script.push_back(Fault::Uncovered(7));
    world.start();
    world.run(minutes(5));
    world.assert_done();
    assert_eq!((world.saves.len(), applied(&world)), (1, 8));
    assert_eq!(world.letters_of("A003"), [(Stage::Load, Code::ReferenceMissing)]);
    assert_eq!(world.letters_of("A004"), [(Stage::Load, Code::TargetRequired)]);
    let missing = world.letters.iter().find(|letter| letter.code == Code::ReferenceMissing).expect("a letter");
    assert_eq!(missing.retry_at, Some(missing.last_failed_at + 60_000), "base data may be on its way");
    assert_eq!(missing.origin, Some(("starbridge.misc.mapped".to_owned(), 0, 6)));
    assert_eq!(missing.body, b"{\"FBillNo\":\"A003\",\"v\":1}");
}

#[test]
fn a_lost_reply_where_the_number_is_foreign_ends_in_conflict() {
    for fault in [Fault::OpenNothing, Fault::OpenDone, Fault::ClosedNothing] {
        let mut world = World::new(1);
        world.publish_many("A", 3, "v1");
        let before = world.wall() - 3_600_000;
        world.foreign("A001", before);
        let sure = if fault == Fault::ClosedNothing { Duration::ZERO } else { world.numbers.settle() };
        world.script.push_back(fault);
        world.start();
        world.run(minutes(10));
        world.assert_done();
        assert_eq!(world.letters_of("A001"), [(Stage::Load, Code::Conflict)]);
        let saved = EPOCH + i64::try_from(world.save_times[0].as_millis()).expect("small");
        let waited = Duration::from_millis((world.letters[0].last_failed_at - saved).try_into().expect("later"));
        assert!(waited >= sure, "the key is given away after {waited:?} although ours may still come");
        assert_eq!(world.target[&"A001".into()][0].content, b"{\"other\":1}", "never overwritten");
        assert_eq!(applied(&world), 2);
    }
}

#[test]
fn a_clock_that_ran_a_day_ahead_makes_no_document_of_ours_foreign() {
    for dies in [false, true] {
        let mut world = World::new(1);
        world.publish_many("A", 3, "v1");
        world.ahead = 86_400_000;
        world.script.push_back(Fault::OpenDone);
        world.start();
        world.run(Duration::from_millis(350));
        assert_eq!(world.saves.len(), 1);
        // The clock is set right while nobody knows yet what became of the save.
        world.ahead = 0;
        if dies {
            world.crash();
            world.start();
        }
        world.run(minutes(10));
        world.assert_done();
        assert_eq!((world.saves.len(), world.letters.len(), world.target.len()), (1, 0, 3), "{:?}", world.letters);
    }
}

#[test]
fn a_number_that_is_taken_at_the_first_try_is_a_letter_at_once() {
    for flow_version in ["v1", "auto"] {
        let mut world = World::new(1);
        world.publish_many("A", 3, flow_version);
        let before = world.wall() - 3_600_000;
        world.foreign("A001", before);
        world.start();
        world.run(minutes(1));
        world.assert_done();
        assert_eq!(world.letters_of("A001"), [(Stage::Load, Code::NumberTaken)]);
        assert_eq!((world.saves.len(), applied(&world)), (1, 2));
    }
}

#[test]
fn content_that_cannot_be_compared_is_in_doubt_and_holds_its_key() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.unclear = true;
    world.script.push_back(Fault::OpenDone);
    world.start();
    world.run(minutes(5));
    world.assert_done();
    assert_eq!(world.letters_of("A000"), [(Stage::Load, Code::InDoubt)]);
    assert_eq!(world.end_of("A000"), Some(End::InDoubt));
    // A newer version is parked behind it; a verdict frees the key.
    let newer = world.mapped("A000", 2, "v1");
    world.publish(0, newer);
    world.run(minutes(5));
    world.assert_done();
    assert_eq!(world.letters_of("A000").len(), 2);
    let mut word = world.mapped("A000", 1, "v1");
    word.replay = Some("r1".to_owned());
    world.publish_with(0, word, Some("applied as A000-1"));
    world.run(minutes(5));
    world.assert_done();
    let entry = world.entry(0, &"A000".into()).expect("an entry");
    assert_eq!((entry.end, entry.replays), (Some(End::Applied), vec!["r1".to_owned()]));
    assert_eq!(world.saves.len(), 1);
}

#[test]
fn a_verdict_that_does_not_read_is_a_letter_and_absent_is_looked_at_before_it_is_believed() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.unclear = true;
    world.script.push_back(Fault::OpenDone);
    world.start();
    world.run(minutes(5));
    let mut word = world.mapped("A000", 1, "v1");
    word.replay = Some("r1".to_owned());
    world.publish_with(0, word.clone(), Some("yes"));
    world.run(minutes(5));
    assert_eq!(world.letters_of("A000").last(), Some(&(Stage::Load, Code::Verdict)));
    let place = world.letters.last().and_then(|letter| letter.origin.clone());
    assert_eq!(place, Some(("starbridge.misc.mapped".to_owned(), 0, 2)));
    assert_eq!(world.end_of("A000"), Some(End::InDoubt), "a slip of the pen ends no doubt");
    world.unclear = false;
    word.replay = Some("r2".to_owned());
    world.publish_with(0, word, Some("absent"));
    world.run(minutes(5));
    world.assert_done();
    assert_eq!((world.end_of("A000"), world.saves.len()), (Some(End::Applied), 1), "it is there after all");
}

#[test]
fn two_documents_under_one_key_are_reported_and_the_key_is_held() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.foreign("A000", 0);
    let twice = world.target[&"A000".into()][0].clone();
    world.target.get_mut(&"A000".into()).expect("there").push(twice);
    world.script.push_back(Fault::OpenNothing);
    world.start();
    world.run(minutes(5));
    world.assert_done();
    assert_eq!(world.letters_of("A000"), [(Stage::Load, Code::DuplicateInTarget)]);
    assert_eq!(world.end_of("A000"), Some(End::InDoubt));
    assert_eq!(world.alerts(), [(Code::DuplicateInTarget, "misc A000")]);
}

#[test]
fn an_audit_that_fails_after_the_save_is_a_letter_of_its_stage_and_never_saved_again() {
    let world_after = |fault: Fault| {
        let mut world = World::new(1);
        world.publish_many("A", 5, "auto");
        world.script.push_back(fault);
        world.start();
        world.run(minutes(5));
        world.assert_done();
        world
    };
    let mut kept = world_after(Fault::AuditKeep(2));
    assert_eq!(kept.letters_of("A002"), [(Stage::Audit, Code::AuditFailed)]);
    assert_eq!(kept.letters[0].origin, Some(("starbridge.misc.mapped".to_owned(), 0, 4)));
    let target = kept.entry(0, &"A002".into()).and_then(|entry| entry.target).expect("in the target");
    assert_eq!((target.id.as_str(), target.reached), ("A002-1", Reached::Submitted));
    // Its replay does the missing step only.
    let mut replay = kept.mapped("A002", 1, "auto");
    replay.replay = Some("r1".to_owned());
    kept.publish(0, replay);
    kept.run(minutes(5));
    kept.assert_done();
    assert_eq!((kept.saves.len(), kept.advances.len(), kept.end_of("A002")), (1, 1, Some(End::Applied)));
    assert_eq!(kept.advances[0].0, Step::Audit);

    let undone = world_after(Fault::AuditRollback(2));
    assert_eq!(undone.letters_of("A002"), [(Stage::Load, Code::TargetRefused)]);
    assert_eq!((undone.saves.len(), undone.target.get(&"A002".into())), (1, None));
}

#[test]
fn steps_after_saving_are_calls_of_their_own_and_refusals_name_their_stage() {
    let mut world = World::new(1);
    world.publish_many("A", 3, "steps");
    world.start();
    world.audit_refused.insert("A001".into());
    world.run(minutes(5));
    world.assert_done();
    let steps: Vec<(Step, usize)> = world.advances.iter().map(|(step, keys)| (*step, keys.len())).collect();
    assert_eq!(steps, [(Step::Submit, 3), (Step::Audit, 2)]);
    assert_eq!(world.letters_of("A001"), [(Stage::Submit, Code::SubmitFailed)]);
    assert_eq!(world.letters[0].origin, Some(("starbridge.misc.mapped".to_owned(), 0, 2)));
    assert_eq!((world.saves.len(), applied(&world)), (1, 2));
}

#[test]
fn a_document_that_someone_audited_meanwhile_is_applied() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "steps");
    world.start();
    world.feed();
    while world.target.is_empty() {
        assert!(world.step());
    }
    world.target.get_mut(&"A000".into()).expect("saved")[0].reached = Reached::Audited;
    world.run(minutes(5));
    world.assert_done();
    assert_eq!((world.letters.len(), world.end_of("A000")), (0, Some(End::Applied)));
}

#[test]
fn a_target_that_numbers_by_itself_leaves_lost_saves_in_doubt() {
    let mut world = World::new(1);
    world.renumbers = true;
    world.publish_many("A", 1, "v1");
    world.start();
    world.run(minutes(1));
    world.script.push_back(Fault::OpenNothing);
    world.publish_many("B", 1, "v1");
    world.run(minutes(5));
    world.assert_done();
    assert_eq!(world.alerts(), [(Code::KeyNotKept, "misc A000")]);
    assert_eq!(world.letters_of("B000"), [(Stage::Load, Code::InDoubt)]);
    assert_eq!(world.saves.len(), 2, "never sent again");
}

#[test]
fn a_target_that_numbers_by_itself_is_asked_by_the_marker() {
    let mut world = World::new(1);
    world.renumbers = true;
    world.publish_many("A", 60, "marked");
    world.start();
    world.run(minutes(1));
    world.assert_done();
    assert_eq!((applied(&world), world.saves.len(), world.probe_times.len()), (60, 2, 1));
    for (prefix, fault) in [("B", Fault::OpenNothing), ("C", Fault::OpenDone), ("D", Fault::ClosedDone)] {
        world.script.push_back(fault);
        world.publish_many(prefix, 1, "marked");
        world.run(minutes(5));
        world.assert_done();
        assert_eq!(world.end_of(&format!("{prefix}000")), Some(End::Applied));
    }
    assert_eq!((world.target.len(), world.letters.len()), (63, 0));
    assert!(!world.observations.iter().any(|seen| matches!(seen, Observation::Alert(_))));
}

#[test]
fn a_marker_that_the_target_does_not_keep_leaves_lost_saves_in_doubt() {
    let mut world = World::new(1);
    world.forgets_keys = true;
    world.publish_many("A", 1, "marked");
    world.start();
    world.run(minutes(1));
    world.script.push_back(Fault::OpenNothing);
    world.publish_many("B", 1, "marked");
    world.run(minutes(5));
    world.assert_done();
    assert_eq!(world.alerts(), [(Code::KeyNotKept, "misc A000")]);
    assert_eq!(
        (world.end_of("A000"), world.letters_of("B000")),
        (Some(End::Applied), vec![(Stage::Load, Code::InDoubt)])
    );
    assert_eq!(world.saves.len(), 2, "never sent again");
}

#[test]
fn one_poison_bill_in_a_hundred_costs_fifteen_saves_at_most() {
    for culprit in ["A000", "A031", "A049", "A050", "A077", "A099"] {
        let mut world = World::new(3);
        world.publish_many("A", 100, "v1");
        world.poison.insert(culprit.into());
        world.start();
        world.run(minutes(10));
        world.assert_done();
        assert_eq!((world.target.len(), world.letters.len()), (99, 1), "{culprit}");
        assert_eq!(world.letters_of(culprit), [(Stage::Load, Code::PoisonDocument)]);
        assert!(world.letters[0].origin.is_some());
        assert!(world.saves.len() <= 15, "{culprit}: {} saves", world.saves.len());
    }
}

#[test]
fn a_document_whose_saves_are_never_answered_is_not_called_poison_and_is_due_again() {
    for culprit in ["A000", "A049", "A077"] {
        let mut world = World::new(3);
        world.publish_many("A", 100, "v1");
        world.unanswered.insert(culprit.into(), u32::MAX);
        world.start();
        world.run(minutes(30));
        world.assert_done();
        assert_eq!((world.target.len(), world.letters.len()), (99, 1), "{culprit}");
        let letter = &world.letters[0];
        assert_eq!((letter.stage, letter.code, letter.category), (Stage::Load, Code::ReplyLost, Category::Transport));
        assert_eq!(letter.message, "no save that carries it is answered: reset");
        assert_eq!(letter.retry_at, Some(letter.last_failed_at + 60_000));
        assert_eq!(world.end_of(culprit), Some(End::Parked));

        world.unanswered.clear();
        let mut again = letter.original().expect("nothing of it is missing");
        again.headers.set(header::REPLAY, "r1");
        let at = letter.origin.as_ref().expect("a place").1;
        world.publish_raw(at, again);
        world.run(minutes(5));
        assert_eq!((world.target.len(), world.end_of(culprit)), (100, Some(End::Applied)));
    }
}

#[test]
fn a_document_with_less_lost_replies_than_attempts_is_only_sent_again() {
    let mut world = World::new(1);
    world.publish_many("A", 3, "v1");
    world.unanswered.insert("A001".into(), 4);
    world.start();
    world.run(minutes(60));
    world.assert_done();
    assert_eq!((world.letters.len(), world.target.len()), (0, 3));
}

#[test]
fn four_server_errors_and_then_an_answer_cost_one_two_four_and_eight_seconds() {
    let mut world = World::new(1);
    world.publish_many("A", 5, "v1");
    world.script.push_back(Fault::ClosedNothing);
    world.probes_fail = 3;
    world.start();
    world.run(minutes(5));
    world.assert_done();
    let mut times = vec![world.save_times[0]];
    times.extend(&world.probe_times);
    let gaps: Vec<f64> = times.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert_eq!(gaps.len(), 4);
    for (gap, base) in gaps.iter().zip([1.0, 2.0, 4.0, 8.0]) {
        assert!((base * 0.8..base * 1.2 + 0.6).contains(gap), "{gaps:?}");
    }
    assert_eq!((world.letters.len(), applied(&world)), (0, 5));
}
