//! What the target refuses: what the letter says of it, and whose a number is that was taken.

use document::{Code, Stage};

use super::super::event::{Ended, Refusal};
use super::super::ledger::Reached;
use super::world::*;

/// A world in which the first save of A is refused for `refusals`, after as many replies were lost as `lost` says.
fn refused(flow_version: &str, lost: usize, refusals: &[Refusal]) -> World {
    let mut world = World::new(1);
    world.publish_many("A", 1, flow_version);
    world.script.extend(vec![Fault::OpenNothing; lost]);
    world.script.push_back(Fault::Refused(refusals.to_vec()));
    world.start();
    world.feed();
    while world.saves.len() <= lost {
        assert!(world.step());
    }
    world
}

/// Puts a document with the very content of ours under its key.
fn appears(world: &mut World, reached: Reached, created: i64) {
    let content = world.mapped("A000", 1, "v1").value;
    world.target.insert("A000".into(), vec![Doc { id: "9".to_owned(), content, reached, created }]);
}

fn taken() -> Refusal {
    refusal(Code::NumberTaken, "编码唯一")
}

#[test]
fn a_letter_says_everything_that_its_document_was_refused_for_and_goes_by_the_number_that_is_taken() {
    let refusals = [
        refusal(Code::TargetRequired, "字段“客户”是必填项"),
        refusal(Code::TargetRequired, "字段“客户”是必填项"),
        taken(),
        refusal(Code::ReferenceMissing, "物料 M-9 不存在"),
    ];
    let mut world = refused("v1", 0, &refusals);
    world.run(minutes(1));
    world.assert_done();
    assert_eq!(world.letters_of("A000"), [(Stage::Load, Code::NumberTaken)]);
    assert_eq!(world.letters[0].category, Code::NumberTaken.category());
    assert_eq!(world.letters[0].message, "字段“客户”是必填项; 编码唯一; 物料 M-9 不存在");
}

#[test]
fn of_several_refusals_the_one_that_does_not_pass_by_itself_names_the_letter() {
    let busy = Refusal { timed: true, ..refusal(Code::TargetRefused, "正在被其他用户修改") };
    let mut world = refused("v1", 0, &[busy, refusal(Code::TargetRequired, "字段“客户”是必填项")]);
    world.run(minutes(1));
    world.assert_done();
    assert_eq!(world.letters_of("A000"), [(Stage::Load, Code::TargetRequired)]);
    assert_eq!(world.letters[0].retry_at, None, "no waiting fills the field in");
}

#[test]
fn a_number_that_is_taken_at_the_first_try_is_somebody_elses_whatever_the_document_says() {
    for flow_version in ["v1", "auto"] {
        let mut world = refused(flow_version, 0, &[taken()]);
        let now = world.wall();
        appears(&mut world, Reached::Audited, now);
        world.run(minutes(1));
        world.assert_done();
        assert_eq!(world.letters_of("A000"), [(Stage::Load, Code::NumberTaken)], "{flow_version}");
        assert_eq!(world.entry(0, &"A000".into()).and_then(|entry| entry.target), None, "{flow_version}");
    }
}

#[test]
fn a_number_that_is_taken_after_a_lost_reply_is_ours_where_the_document_says_so_and_is_taken_further() {
    for flow_version in ["v1", "steps"] {
        let mut world = refused(flow_version, 1, &[taken()]);
        let now = world.wall();
        appears(&mut world, Reached::Saved, now);
        world.run(minutes(5));
        world.assert_done();
        assert_eq!((world.letters.len(), &world.ended[..]), (0, &[Ended::Applied][..]), "{flow_version}");
        let wanted = if flow_version == "steps" { Reached::Audited } else { Reached::Saved };
        assert_eq!(world.target[&"A000".into()][0].reached, wanted, "{flow_version}");
    }
}

#[test]
fn a_document_that_was_there_before_we_meant_to_save_ours_is_a_conflict_although_it_says_the_same() {
    let mut world = World::new(1);
    world.publish_many("A", 1, "v1");
    world.script.push_back(Fault::OpenNothing);
    world.start();
    world.feed();
    while world.saves.is_empty() {
        assert!(world.step());
    }
    let before = world.wall() - 3_600_000;
    appears(&mut world, Reached::Saved, before);
    world.run(minutes(5));
    world.assert_done();
    assert_eq!(world.letters_of("A000"), [(Stage::Load, Code::Conflict)]);
    assert_eq!(world.letters[0].message, "the document in the target is older than ours");
}

#[test]
fn a_letter_of_a_step_has_the_kind_of_its_code_whatever_the_step_was_refused_for() {
    let mut world = refused("auto", 0, &[refusal(Code::ReferenceMissing, "审核流 W-1 不存在")]);
    let now = world.wall();
    appears(&mut world, Reached::Submitted, now);
    world.run(minutes(1));
    world.assert_done();
    assert_eq!(world.letters_of("A000"), [(Stage::Audit, Code::AuditFailed)]);
    assert_eq!(world.letters[0].category, Code::AuditFailed.category());
    assert_eq!(world.letters[0].message, "审核流 W-1 不存在");
}

#[test]
fn a_taken_number_whose_document_cannot_be_compared_is_in_doubt_where_that_may_be_ours() {
    for (lost, age, code) in [(0, 0, Code::NumberTaken), (1, 3_600_000, Code::NumberTaken), (1, 0, Code::InDoubt)] {
        let mut world = refused("v1", lost, &[taken()]);
        world.unclear = true;
        let created = world.wall() - age;
        appears(&mut world, Reached::Saved, created);
        world.run(minutes(5));
        assert_eq!(world.letters_of("A000"), [(Stage::Load, code)], "{lost} lost replies, {age} ms old");
    }
}
