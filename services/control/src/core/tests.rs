//! Jobs against a world that answers as it likes: no letter is lost, none is published beside its turn.

use std::collections::BTreeMap;

use document::{Category, Code, DeadLetterId, Headers, Record, Stage, TraceParent, Version};
use proptest::prelude::*;

use super::job::{Begin, CHUNK, Chunk, Fate, Item, Job, Options, Replay, Status, Under, chunk_key, job_key};
use super::letters::{By, Wish, moved, next_revision, replayable};
use super::observe::{Outcome, outcome};
use super::replay::{Manner, keeps_edit, record};
use super::{End, Letter};
use crate::letter::{Edit, LetterEvent, State};

fn letter(id: &str, version: u64) -> Letter {
    Letter {
        id: DeadLetterId(id.to_owned()),
        flow: document::FlowName::new("misc").expect("valid"),
        document: "A".into(),
        target: Some("A".into()),
        version: Version(version),
        stage: Stage::Load,
        category: Category::ReferenceMissing,
        code: Code::ReferenceMissing,
        attempts: 1,
        last_failed_at: 10,
        retry_at: None,
        failed_in: None,
        has_original: true,
        event: None,
    }
}

fn by() -> By {
    By { name: "li".to_owned(), reason: Some("because".to_owned()), at: 99 }
}

fn end(version: u64) -> End {
    End { version: Version(version), applied: true, letter: None, replays: Vec::new(), dropped: None, in_target: None }
}

pub(super) fn job(rate: f64) -> Job {
    let options = Options {
        rate,
        under: Under::Original,
        from: Begin::Failed,
        attempt_cap: 3,
        stop_on_failure_ratio: 0.0,
        verdict: None,
    };
    Job {
        id: "j".to_owned(),
        by: "li".to_owned(),
        created_at: 0,
        reason: String::new(),
        selector: String::new(),
        options,
        status: Status::Running,
        counts: super::job::Counts::default(),
        ended_at: None,
        note: String::new(),
        timed: false,
        approval: None,
    }
}

pub(super) fn items(documents: &[&str]) -> Vec<Item> {
    let named = documents.iter().enumerate();
    named
        .map(|(number, document)| Item {
            id: DeadLetterId(format!("{number:032}")),
            flow: document::FlowName::new("misc").expect("valid"),
            document: (*document).into(),
            fate: Fate::Waiting,
            published_at: None,
            why: String::new(),
            edit: 0,
        })
        .collect()
}

/// Every state and every wish against the table of what is allowed.
#[test]
fn letters_move_only_along_the_drawn_ways() {
    let wishes = [
        Wish::Publish("j".to_owned()),
        Wish::Resolve,
        Wish::Supersede,
        Wish::Reappear,
        Wish::Park,
        Wish::Reopen { discarded: false },
        Wish::Reopen { discarded: true },
        Wish::Discard,
    ];
    let allowed: &[(State, &[Option<State>; 8])] = &[
        (
            State::Open,
            &[
                Some(State::Replaying),
                None,
                Some(State::Superseded),
                None,
                Some(State::Parked),
                None,
                None,
                Some(State::Discarded),
            ],
        ),
        (
            State::Replaying,
            &[None, Some(State::Resolved), Some(State::Superseded), Some(State::Open), None, None, None, None],
        ),
        (State::Resolved, &[None; 8]),
        (State::Superseded, &[None; 8]),
        (
            State::Parked,
            &[
                None,
                None,
                Some(State::Superseded),
                None,
                None,
                Some(State::Open),
                Some(State::Open),
                Some(State::Discarded),
            ],
        ),
        (State::Discarded, &[None, None, None, None, None, None, Some(State::Open), None]),
    ];
    for (from, row) in allowed {
        for (wish, to) in wishes.iter().zip(row.iter()) {
            let mut letter = letter("a", 1);
            letter.event = Some(LetterEvent::new(*from, 1, "x", 1));
            match (moved(&letter, wish, &by()), to) {
                (Ok(event), Some(to)) => assert_eq!(event.state, *to, "{from} {wish:?}"),
                (Err(fault), None) => {
                    assert_eq!(fault.code, Code::LetterState);
                    assert_eq!(fault.place.record.as_deref(), Some("a"));
                }
                (got, wanted) => panic!("{from} {wish:?}: {got:?}, not {wanted:?}"),
            }
        }
    }
}

#[test]
fn only_an_open_letter_with_its_record_and_without_doubt_is_replayed() {
    let refused = |letter: &Letter, verdict| replayable(letter, verdict).expect_err("refused").code;
    let open = letter("a", 1);
    assert_eq!(replayable(&open, false), Ok(()));
    let mut doubtful = open.clone();
    doubtful.category = Category::InDoubt;
    assert_eq!(refused(&doubtful, false), Code::LetterInDoubt);
    assert_eq!(replayable(&doubtful, true), Ok(()));
    let mut bare = open.clone();
    bare.has_original = false;
    assert_eq!(refused(&bare, false), Code::ReplayImpossible);
    let mut parked = open;
    parked.event = Some(LetterEvent::new(State::Parked, 1, "x", 1));
    assert_eq!(refused(&parked, true), Code::LetterState);
}

#[test]
fn an_edit_of_what_was_edited_since_is_refused() {
    let mut letter = letter("a", 1);
    assert_eq!(next_revision(&letter, 0), Ok(1));
    let mut event = LetterEvent::new(State::Open, 1, "x", 1);
    event.edit = Some(Edit { rev: 3, body: Vec::new(), by: "x".to_owned(), at: 1, reason: String::new() });
    letter.event = Some(event);
    assert_eq!(next_revision(&letter, 3), Ok(4));
    let fault = next_revision(&letter, 0).expect_err("edited since");
    assert_eq!((fault.code, fault.place.record.as_deref()), (Code::EditRevision, Some("a")));
}

#[test]
fn a_move_keeps_the_edit_and_names_its_job() {
    let mut letter = letter("a", 1);
    let mut event = LetterEvent::new(State::Open, 1, "x", 1);
    let edit = Edit { rev: 2, body: b"{}".to_vec(), by: "x".to_owned(), at: 1, reason: "r".to_owned() };
    event.edit = Some(edit.clone());
    letter.event = Some(event);
    let event = moved(&letter, &Wish::Publish("j".to_owned()), &by()).expect("open");
    assert_eq!((event.edit, event.replay.as_deref(), event.by.as_str()), (Some(edit), Some("j"), "li"));
}

#[test]
fn an_edit_is_not_lost_on_a_longer_road() {
    let mut letter = letter("a", 1);
    keeps_edit(&letter, Begin::Transform).expect("nobody edited it");
    let mut event = LetterEvent::new(State::Open, 1, "x", 1);
    event.edit = Some(Edit { rev: 1, body: b"{}".to_vec(), by: "x".to_owned(), at: 1, reason: String::new() });
    letter.event = Some(event);
    keeps_edit(&letter, Begin::Failed).expect("the edit is what is published");
    let fault = keeps_edit(&letter, Begin::Transform).expect_err("it would be mapped anew");
    assert_eq!((fault.code, fault.place.record.as_deref()), (Code::ReplayImpossible, Some("a")));
    letter.stage = Stage::Transform;
    keeps_edit(&letter, Begin::Transform).expect("what was edited is what is mapped");
}

#[test]
fn outcomes_follow_from_ledger_and_letters() {
    let one = letter("a", 5);
    assert_eq!(outcome(&one, "j", None), Outcome::Unknown);
    // The same version applied before the replay says nothing of the replay.
    assert_eq!(outcome(&one, "j", Some(&end(5))), Outcome::Unknown);
    let mut applied = end(5);
    applied.replays = vec!["i".to_owned(), "j".to_owned()];
    assert_eq!(outcome(&one, "j", Some(&applied)), Outcome::Applied);
    assert!(matches!(outcome(&one, "j", Some(&end(6))), Outcome::Superseded(_)));
    let mut dropped = end(5);
    dropped.dropped = Some((Version(5), "j".to_owned()));
    assert!(matches!(outcome(&one, "j", Some(&dropped)), Outcome::Superseded(_)));
    // Parked again: the letter itself says so when it comes.
    let mut parked = applied.clone();
    parked.applied = false;
    parked.letter = Some(one.id.clone());
    assert_eq!(outcome(&one, "j", Some(&parked)), Outcome::Unknown);
    parked.letter = Some(DeadLetterId("b".to_owned()));
    assert_eq!(outcome(&one, "j", Some(&parked)), Outcome::FailedLater(DeadLetterId("b".to_owned())));
    let mut again = one;
    again.failed_in = Some("j".to_owned());
    assert_eq!(outcome(&again, "j", Some(&parked)), Outcome::FailedAgain);
    assert_eq!(outcome(&again, "k", None), Outcome::Unknown);
}

#[test]
fn a_replay_keeps_the_record_and_begins_a_new_trace() {
    let letter = letter("a", 5);
    let mut original = Record { key: b"A".to_vec(), headers: Headers::new(), value: Some(b"{}".to_vec()) };
    let old = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    original.headers.set("sb-version", 5).set("traceparent", old).set("sb-replay", "earlier");
    let trace = TraceParent { trace_id: [1; 16], span_id: [2; 8], flags: 1 };
    let edit = Edit { rev: 1, body: b"{\"a\":1}".to_vec(), by: "x".to_owned(), at: 1, reason: String::new() };
    let manner =
        Manner { job: "j", flow_version: Some("v2".into()), edit: Some(&edit), verdict: Some("absent"), trace };
    let (topic, record) = record(&letter, original.clone(), &manner).expect("a load letter");
    assert_eq!((topic.as_str(), record.key.as_slice()), ("starbridge.misc.mapped", b"A".as_slice()));
    let headers = &record.headers;
    assert_eq!(headers.get("sb-replay"), Some("j"));
    assert_eq!(headers.get("sb-version"), Some("5"));
    assert_eq!(headers.get("sb-flow-version"), Some("v2"));
    assert_eq!(headers.get("sb-replayed-trace"), Some(old));
    assert_eq!(headers.get("traceparent"), Some(trace.to_string().as_str()));
    assert_eq!(headers.get("sb-verdict"), Some("absent"));
    assert_eq!((headers.get("sb-edit"), record.value), (Some("1"), Some(b"{\"a\":1}".to_vec())));
    let mut of_source = letter;
    of_source.stage = Stage::Extract;
    let fault = super::replay::record(&of_source, original, &manner).expect_err("nothing to publish");
    assert_eq!((fault.code, fault.place.record.as_deref()), (Code::ReplayImpossible, Some("a")));
}

#[test]
fn a_pause_brings_no_burst() {
    let names: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut replay = Replay::new(job(20.0), items(&names));
    assert!(replay.due(0, 500).is_empty());
    // An hour of silence allows one second's worth, and the letter that was begun.
    assert_eq!(replay.due(3_600_000, 500).len(), 21);
}

#[test]
fn a_job_that_was_ended_is_followed_until_what_it_published_has_its_outcome() {
    let mut replay = Replay::new(job(1000.0), items(&["A", "B", "C"]));
    replay.note_published(0, 5);
    replay.note_published(1, 5);
    replay.end(Status::Cancelled, String::new(), 6);
    assert_eq!((replay.job.is_settled(), replay.held().count()), (false, 2));
    replay.note(0, Fate::Resolved, String::new());
    replay.note(1, Fate::Failed, String::new());
    assert_eq!((replay.job.is_settled(), replay.held().count()), (true, 0));
    assert!(replay.due(1_000_000, 500).is_empty(), "what waited stays open");
}

#[test]
fn a_later_version_waits_for_the_earlier_one_and_falls_with_it() {
    let mut replay = Replay::new(job(1000.0), items(&["A", "A", "B", "A"]));
    assert!(replay.due(0, 10).is_empty());
    assert_eq!(replay.due(1000, 10), [0, 2]);
    replay.note_published(0, 1000);
    replay.note_published(2, 1000);
    assert!(replay.due(2000, 10).is_empty());
    replay.note(0, Fate::Resolved, String::new());
    assert_eq!(replay.due(3000, 10), [1]);
    replay.note_published(1, 3000);
    replay.note(1, Fate::Failed, "again".to_owned());
    replay.note(2, Fate::Superseded, String::new());
    assert!(replay.due(4000, 10).is_empty());
    replay.conclude(4000);
    let counts = replay.job.counts;
    assert_eq!((counts.published, counts.resolved, counts.superseded, counts.failed, counts.skipped), (3, 1, 1, 1, 1));
    assert_eq!((replay.job.status, replay.job.ended_at), (Status::Done, Some(4000)));
    let settled: Vec<Fate> = replay.take_settled().into_iter().map(|(_, fate)| fate).collect();
    assert_eq!(settled, [Fate::Resolved, Fate::Failed, Fate::Skipped, Fate::Superseded]);
    assert_eq!(replay.take_settled(), []);
}

#[test]
fn too_many_failures_end_a_job() {
    let names: Vec<String> = (0..40).map(|n| n.to_string()).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut job = job(1000.0);
    job.options.stop_on_failure_ratio = 0.2;
    let mut replay = Replay::new(job, items(&names));
    for number in 0..40 {
        replay.note(number, if number % 3 == 0 { Fate::Failed } else { Fate::Resolved }, String::new());
        replay.conclude(7);
        assert_eq!(replay.job.status == Status::Stopped, number >= 19, "{number}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever the rate, and however unlike the rounds are, as many letters are published as the rate says.
    #[test]
    fn the_rate_is_held_within_five_percent(
        rate in prop_oneof![0.2_f64..5.0, 5.0_f64..200.0],
        rounds in prop::collection::vec(100_i64..900, 64),
    ) {
        let wanted = 100;
        let names: Vec<String> = (0..wanted + 1).map(|n| n.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut replay = Replay::new(job(rate), items(&names));
        let (mut now, mut published) = (0, 0);
        for round in rounds.iter().cycle() {
            for number in replay.due(now, 500) {
                replay.note_published(number, now);
                published += 1;
            }
            if published > wanted {
                break;
            }
            now += round;
        }
        // A round is as fine as it gets: what is due in it is published at its end.
        let (seconds, round) = (now as f64 / 1000.0, 0.9);
        let (slowest, fastest) = (wanted as f64 / (rate * 0.95) + round, wanted as f64 / (rate * 1.05) - round);
        prop_assert!(seconds <= slowest && seconds >= fastest, "{published} in {seconds} s at {rate} a second");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    /// What is written after any history, at any moment, brings the job back as it was.
    #[test]
    fn a_job_survives_its_memory(steps in prop::collection::vec((0_usize..600, 0_usize..5), 0..30)) {
        let names: Vec<String> = (0..600).map(|n| (n % 350).to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut replay = Replay::new(job(50.0), items(&names));
        let mut memory: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for (number, what) in steps {
            match what {
                0 => replay.note_published(number, 5),
                1 => replay.note(number, Fate::Resolved, String::new()),
                2 => replay.note(number, Fate::Failed, "no".to_owned()),
                3 => replay.note(number, Fate::Superseded, String::new()),
                _ => {}
            }
            for (key, value) in replay.write() {
                memory.insert(key, value.expect("jobs are not forgotten"));
            }
        }
        for (key, value) in replay.write() {
            memory.insert(key, value.expect("jobs are not forgotten"));
        }
        let written: Job = serde_json::from_slice(&memory[&job_key("j")]).expect("readable");
        let chunks: Vec<Chunk> = (0..600_usize.div_ceil(CHUNK))
            .map(|chunk| serde_json::from_slice(&memory[&chunk_key("j", chunk)]).expect("readable"))
            .collect();
        let back = Replay::of_memory(written, chunks);
        prop_assert_eq!(&back.items, &replay.items);
        prop_assert_eq!(back.job.counts.total, 600);
        let waiting = back.items.iter().filter(|item| item.fate == Fate::Waiting).count() as u64;
        let open = back.items.iter().filter(|item| item.fate == Fate::Published).count() as u64;
        let counts = back.job.counts;
        prop_assert_eq!(waiting + open + counts.resolved + counts.superseded + counts.failed + counts.skipped, 600);
    }
}

#[test]
fn a_claim_is_no_state_and_nobody_elses() {
    let by = |name: &str, reason: Option<&str>| By { name: name.to_owned(), reason: reason.map(str::to_owned), at: 9 };
    let mut parked = letter("a", 5);
    let mut event = LetterEvent::new(State::Parked, 2, "wang", 1);
    event.reason = Some("waits for stock".to_owned());
    parked.event = Some(event);
    let claimed = moved(&parked, &Wish::Claim, &by("li", None)).expect("claimed");
    assert_eq!((claimed.state, claimed.claimed_by.as_deref()), (State::Parked, Some("li")));
    assert_eq!((claimed.reason.as_deref(), claimed.by.as_str()), (Some("waits for stock"), "li"));
    let mut letter = Letter { event: Some(claimed), ..parked };
    assert!(moved(&letter, &Wish::Claim, &by("li", Some("again"))).is_ok());
    let fault = moved(&letter, &Wish::Claim, &by("zhao", None)).expect_err("somebody else's");
    assert_eq!((fault.code, fault.place.record.as_deref()), (Code::LetterState, Some("a")));
    assert!(fault.detail.contains("claimed by li"), "{fault}");
    // It goes along with the letter, and whoever may can end it.
    let open = moved(&letter, &Wish::Reopen { discarded: false }, &by("zhao", None)).expect("reopened");
    assert_eq!(open.claimed_by.as_deref(), Some("li"));
    letter.event = Some(moved(&letter, &Wish::Unclaim, &by("zhao", Some("li is away"))).expect("unclaimed"));
    let event = letter.event.as_ref().expect("an event");
    assert_eq!((event.state, &event.claimed_by, event.reason.as_deref()), (State::Parked, &None, Some("li is away")));
    assert_eq!(moved(&letter, &Wish::Unclaim, &by("li", None)).map_err(|fault| fault.code), Err(Code::LetterState));
    letter.event = Some(LetterEvent::new(State::Resolved, 2, "control", 1));
    assert_eq!(moved(&letter, &Wish::Claim, &by("li", None)).map_err(|fault| fault.code), Err(Code::LetterState));
}
