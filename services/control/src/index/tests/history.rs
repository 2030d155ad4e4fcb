//! What the index says after a history of records, however it was cut, repeated or read anew.

use std::collections::HashMap;

use document::{Code, Received, Stage, topic};
use proptest::prelude::*;

use super::records::{Sample, end, event, index, keyed, letter, sample, selector, state};
use crate::index::{Applied, Ended, Index, Unfinished, Unreadable};
use crate::letter::{Edit, LetterEvent, OWN_NAME, State};

fn count(index: &Index, text: &str) -> u64 {
    index.count(&selector(text), 1_000).expect("counted").letters
}

#[test]
fn a_letter_comes_back_as_it_was_with_body_and_headers() {
    let (_folder, index) = index();
    let mut sample = sample("A", 10);
    sample.body = b"\xff not even text".to_vec();
    sample.target_key = Some("T-1".to_owned());
    sample.version = u64::MAX;
    index.apply(&[letter(0, &sample)]).expect("applied");
    let found = index.get(&sample.id()).expect("read").expect("there");
    assert_eq!(found.letter.body, sample.body);
    assert_eq!(found.letter.version.0, u64::MAX);
    assert_eq!(found.row.version.0, u64::MAX);
    assert_eq!(found.row.target_key.as_ref().map(|key| key.as_str()), Some("T-1"));
    assert_eq!((found.row.state, found.event, found.offset), (Some(State::Open), None, 0));
    sample.document = "B".to_owned();
    assert_eq!(index.get(&sample.id()), Ok(None));
}

#[test]
fn the_latest_record_of_a_letter_wins_and_keeps_what_was_decided() {
    let (_folder, index) = index();
    let first = sample("A", 10);
    let again = Sample { attempts: 2, last_failed: 99, body: b"[2]".to_vec(), ..first.clone() };
    index.apply(&[letter(0, &first), state(0, &first.id(), State::Parked), letter(1, &again)]).expect("applied");
    let found = index.get(&first.id()).expect("read").expect("there");
    assert_eq!((found.row.attempts, found.row.first_failed, found.row.last_failed), (2, 10, 99));
    assert_eq!((found.row.state, found.letter.body.as_slice(), found.offset), (Some(State::Parked), &b"[2]"[..], 1));
    assert_eq!(count(&index, ""), 1);
}

#[test]
fn earlier_failures_of_a_letter_are_told_in_their_order_until_their_records_expire() {
    let (_folder, index) = index();
    let first = sample("A", 10);
    let id = first.id();
    let again = |attempts: u32| Sample { attempts, last_failed: i64::from(attempts) * 100, ..first.clone() };
    index.apply(&[letter(0, &first), letter(1, &sample("B", 10))]).expect("applied");
    assert_eq!(index.earlier(&id), Ok(Vec::new()));
    index.apply(&[letter(2, &again(2)), letter(3, &again(3))]).expect("applied");
    // A record that is read again changes nothing.
    index.apply(&[letter(2, &again(2))]).expect("applied");
    let told = |index: &Index| -> Vec<(u32, i64)> {
        let earlier = index.earlier(&id).expect("read");
        earlier.iter().map(|failure| (failure.attempt, failure.failed_at)).collect()
    };
    assert_eq!(told(&index), [(1, first.last_failed), (2, 200)]);
    let failure = index.earlier(&id).expect("read").remove(0);
    let row = index.get(&id).expect("read").expect("there").row;
    assert_eq!((failure.code, failure.message, failure.trace), (row.code, row.message, row.trace));
    index.prune(topic::DEAD_LETTERS, 0, 1).expect("pruned");
    assert_eq!(told(&index), [(2, 200)]);
    index.prune(topic::DEAD_LETTERS, 0, 4).expect("pruned");
    assert_eq!((told(&index), index.get(&id)), (Vec::new(), Ok(None)));
}

#[test]
fn what_the_loader_has_not_finished_is_counted_by_flow() {
    let (_folder, index) = index();
    let ledger = "starbridge.misc-inbound.ledger";
    let ended = |offset, key: &str, word: &str| {
        let mut record = end(offset, key, key, 1);
        let text = String::from_utf8(record.record.value.take().expect("a value")).expect("JSON");
        record.record.value = Some(text.replace(r#""end":"applied""#, word).into_bytes());
        record
    };
    let batch = [
        keyed(ledger, 0, "intent/b1", Some(b"{}")),
        keyed(ledger, 1, "intent/b2", Some(b"{}")),
        end(2, "T-1", "A", 1),
        ended(3, "T-2", r#""attempts":1"#),
        ended(4, "T-3", r#""end":"in_doubt""#),
        ended(5, "T-4", r#""end":"parked""#),
        keyed(ledger, 6, "intent/b2", None),
    ];
    index.apply(&batch).expect("applied");
    let unfinished = |flow: &str| index.unfinished(&document::FlowName::new(flow).expect("valid")).expect("counted");
    assert_eq!(unfinished("misc-inbound"), Unfinished { intents: 1, begun: 1, in_doubt: 1 });
    assert_eq!(unfinished("other"), Unfinished::default());
    index.forget(ledger, 0).expect("forgotten");
    assert_eq!(unfinished("misc-inbound"), Unfinished::default());
}

#[test]
fn letters_stand_in_groups_with_their_oldest() {
    let (_folder, index) = index();
    let (a, b) = (sample("A", 30), sample("B", 20));
    let other = Sample { flow: "transfer".to_owned(), stage: Stage::Transform, ..sample("C", 5) };
    let parked = state(0, &b.id(), State::Parked);
    index.apply(&[letter(0, &a), letter(1, &b), letter(2, &sample("D", 40)), letter(3, &other), parked]).expect("in");
    let standing = index.standing().expect("counted");
    let told: Vec<_> = standing
        .iter()
        .map(|group| (group.flow.as_str(), group.stage.as_str(), group.state, group.letters, group.oldest))
        .collect();
    assert_eq!(
        told,
        [
            ("misc-inbound", "load", Some(State::Open), 2, 30),
            ("misc-inbound", "load", Some(State::Parked), 1, 20),
            ("transfer", "transform", Some(State::Open), 1, 5),
        ]
    );
    assert!(standing.iter().all(|group| group.category == "reference_missing"), "{standing:?}");
}

#[test]
fn an_event_may_come_before_its_letter_and_go_again() {
    let (_folder, index) = index();
    let trace = "0af7651916cd43dd8448eb211c80319c".to_owned();
    let sample = Sample { replay: Some("old".to_owned()), trace: Some(trace), ..sample("A", 10) };
    let mut told = LetterEvent::new(State::Replaying, 1, "ops", 5);
    told.replay = Some("job-1".to_owned());
    told.claimed_by = Some("li".to_owned());
    told.edit = Some(Edit { rev: 3, body: b"{}".to_vec(), by: "li".into(), at: 5, reason: "typo".into() });
    index.apply(&[event(0, &sample.id(), &told), letter(0, &sample)]).expect("applied");
    let found = index.get(&sample.id()).expect("read").expect("there");
    assert_eq!(found.event, Some(told));
    assert_eq!((found.row.revision, found.row.state_by.as_deref()), (3, Some("ops")));
    assert_eq!(count(&index, "state=replaying and replay=\"job-1\" and claimed_by=li and edited=true"), 1);
    assert_eq!(count(&index, "trace = 0af7651916cd43dd8448eb211c80319c"), 1);
    index.apply(&[keyed(topic::DEAD_LETTER_EVENTS, 1, &sample.id().0, None)]).expect("applied");
    assert_eq!(count(&index, "state=open and replay=old and edited=false and not exists(claimed_by)"), 1);
}

#[test]
fn records_below_the_position_are_passed_over() {
    let (_folder, index) = index();
    let sample = sample("A", 10);
    let batch = [letter(3, &sample), state(8, &sample.id(), State::Parked)];
    assert_eq!(index.apply(&batch), Ok(Applied { taken: 2, ..Applied::default() }));
    assert_eq!(index.apply(&batch), Ok(Applied { repeated: 2, ..Applied::default() }));
    let positions = index.positions().expect("read");
    assert_eq!(positions[&(topic::DEAD_LETTERS.to_owned(), 0)], 4);
    assert_eq!(positions[&(topic::DEAD_LETTER_EVENTS.to_owned(), 0)], 9);
}

#[test]
fn a_record_that_does_not_read_is_listed_and_counted() {
    let (_folder, index) = index();
    let mut record = sample("A", 10).record();
    record.headers.set("dl-attempts", "many");
    let wrong = super::records::received(topic::DEAD_LETTERS, 2, 5, record);
    let applied = index.apply(&[wrong, letter(0, &sample("B", 11))]).expect("applied");
    assert_eq!((applied.taken, applied.unreadable), (2, 1));
    let listed = index.unreadable(None, 10).expect("listed");
    let [Unreadable { at, fault }] = listed.as_slice() else { panic!("{listed:?}") };
    assert_eq!(fault.code, Code::RecordUnreadable);
    assert_eq!(fault.place.record.as_deref(), Some("starbridge.dead-letters/2@5"));
    assert!(fault.detail.contains("dl-attempts"), "{fault}");
    assert_eq!(index.unreadable(Some(at), 10), Ok(Vec::new()));
    assert_eq!((index.count_unreadable(), count(&index, "")), (Ok(1), 1));
}

#[test]
fn an_unreadable_event_leaves_the_state_unknown_until_a_readable_one_comes() {
    let (_folder, index) = index();
    let sample = sample("A", 10);
    let id = sample.id();
    let unknown = keyed(topic::DEAD_LETTER_EVENTS, 1, &id.0, Some(br#"{"v":2,"state":"open"}"#));
    index.apply(&[letter(0, &sample), state(0, &id, State::Parked), unknown]).expect("applied");
    assert_eq!(index.get(&id).expect("read").expect("there").row.state, None);
    assert_eq!((count(&index, "exists(state)"), index.count_unreadable()), (0, Ok(1)));
    index.apply(&[state(2, &id, State::Open)]).expect("applied");
    assert_eq!((count(&index, "state=open"), index.count_unreadable()), (1, Ok(0)));
}

#[test]
fn letters_are_due_that_are_open_timed_and_in_nobodys_hands() {
    let (_folder, index) = index();
    let timed = |document: &str, at: i64| Sample { retry_at: Some(at), ..sample(document, 10) };
    let letters = [timed("B", 100), timed("A", 200), sample("C", 10), timed("D", 50), timed("E", 50), timed("F", 60)];
    let batch: Vec<Received> = letters.iter().zip(0..).map(|(sample, offset)| letter(offset, sample)).collect();
    index.apply(&batch).expect("applied");
    let told = |offset: i64, sample: &Sample, state: State, by: &str, claimed: Option<&str>| {
        let mut told = LetterEvent::new(state, 1, by, 5);
        told.claimed_by = claimed.map(str::to_owned);
        event(offset, &sample.id(), &told)
    };
    let [_, _, _, d, e, f] = &letters;
    index
        .apply(&[
            told(0, d, State::Open, "li", None),
            told(1, e, State::Parked, OWN_NAME, None),
            told(2, f, State::Open, OWN_NAME, Some("li")),
        ])
        .expect("applied");
    let due = |now: i64, limit: usize| {
        let flow = document::FlowName::new("misc-inbound").expect("a flow");
        index.due(&flow, now, limit).expect("read")
    };
    let ids = |numbers: &[usize]| numbers.iter().map(|number| letters[*number].id()).collect::<Vec<_>>();
    assert_eq!((due(99, 9), due(100, 9), due(200, 9)), (ids(&[]), ids(&[0]), ids(&[1, 0])));
    // Those that are due longest, in the order in which they are published.
    assert_eq!(due(200, 1), ids(&[0]));
    index.apply(&[told(3, d, State::Open, OWN_NAME, None), told(4, f, State::Open, OWN_NAME, None)]).expect("applied");
    assert_eq!(due(200, 9), ids(&[1, 0, 3, 5]));
    let elsewhere = document::FlowName::new("other").expect("a flow");
    assert_eq!(index.due(&elsewhere, 200, 9), Ok(Vec::new()));
}

#[test]
fn records_of_the_session_are_of_no_letter() {
    let (_folder, index) = index();
    let (events, ledger) = (topic::DEAD_LETTER_EVENTS, "starbridge.misc-inbound.ledger");
    let records = [
        keyed(events, 0, "@barrier", Some(b"control-0")),
        keyed(events, 1, "@owner", Some(b"control-0")),
        keyed(ledger, 0, "@barrier", Some(b"loader-0")),
        keyed(ledger, 1, "@owner", Some(b"loader-0")),
        keyed(ledger, 2, "intent/b1", Some(b"anything")),
    ];
    assert_eq!(index.apply(&records), Ok(Applied { taken: 5, ..Applied::default() }));
    assert_eq!(index.count_unreadable(), Ok(0));
}

#[test]
fn ends_are_found_by_either_key() {
    let (_folder, index) = index();
    index.apply(&[end(0, "T-1", "A", 3), end(1, "T-2", "B", 4), end(2, "T-1", "A", 5)]).expect("applied");
    let by_document = index.ends_of_document(&"A".into(), None).expect("read");
    let [found] = by_document.as_slice() else { panic!("{by_document:?}") };
    assert_eq!((found.entry.version.0, found.entry.end), (5, Some(Ended::Applied)));
    assert_eq!(found.entry.replays, ["r1"]);
    assert_eq!(found.entry.target.as_ref().map(|target| target.id.as_str()), Some("100"));
    assert_eq!(index.ends_of_target(&"T-1".into(), Some(&found.flow)), Ok(by_document.clone()));
    index.apply(&[keyed("starbridge.misc-inbound.ledger", 3, "doc/T-1", None)]).expect("applied");
    assert_eq!(index.ends_of_target(&"T-1".into(), None), Ok(Vec::new()));
}

#[test]
fn letters_whose_last_record_expired_go() {
    let (_folder, index) = index();
    let (old, kept) = (sample("A", 10), sample("B", 20));
    let again = Sample { attempts: 2, ..kept.clone() };
    index.apply(&[letter(0, &kept), letter(1, &old), letter(2, &again)]).expect("applied");
    assert_eq!(index.prune(topic::DEAD_LETTERS, 0, 2), Ok(1));
    assert_eq!(index.get(&old.id()), Ok(None));
    assert!(index.get(&kept.id()).expect("read").is_some());
}

#[test]
fn a_topic_that_was_made_anew_is_read_from_its_start() {
    let (_folder, index) = index();
    let (old, new) = (sample("A", 10), sample("B", 20));
    index.apply(&[letter(7, &old)]).expect("applied");
    index.forget(topic::DEAD_LETTERS, 0).expect("forgotten");
    assert_eq!(index.get(&old.id()), Ok(None));
    assert_eq!(index.apply(&[letter(0, &new)]), Ok(Applied { taken: 1, ..Applied::default() }));
    assert!(index.get(&new.id()).expect("read").is_some());
}

#[test]
fn events_and_ends_whose_record_expired_go_too() {
    let (_folder, index) = index();
    let (parked, kept) = (sample("A", 10), sample("B", 20));
    let wrong = keyed(topic::DEAD_LETTER_EVENTS, 2, "other", Some(b"?"));
    let events = [state(0, &parked.id(), State::Parked), state(1, &kept.id(), State::Parked), wrong];
    index.apply(&events).expect("applied");
    index
        .apply(&[letter(0, &parked), letter(1, &kept), end(0, "T-1", "A", 3), end(1, "T-2", "A", 4)])
        .expect("applied");
    assert_eq!(index.prune(topic::DEAD_LETTER_EVENTS, 0, 1), Ok(1));
    assert_eq!((count(&index, "state=open"), count(&index, "state=parked")), (1, 1));
    assert_eq!(index.prune(topic::DEAD_LETTER_EVENTS, 0, 3), Ok(3));
    assert_eq!((count(&index, "state=open"), index.count_unreadable()), (2, Ok(0)));
    assert_eq!(index.prune("starbridge.misc-inbound.ledger", 0, 1), Ok(1));
    assert_eq!(index.ends_of_document(&"A".into(), None).map(|ends| ends.len()), Ok(1));
    // Another partition of the same topic is not concerned.
    assert_eq!(index.prune(topic::DEAD_LETTERS, 1, 9), Ok(0));
}

#[test]
fn a_topic_that_is_not_indexed_is_refused_and_nothing_is_kept_of_the_batch() {
    let (_folder, index) = index();
    let batch = [letter(0, &sample("A", 10)), keyed("starbridge.flows", 0, "a", None)];
    assert_eq!(index.apply(&batch).map_err(|fault| fault.code), Err(Code::Index));
    assert_eq!(index.positions().map(|positions| positions.len()), Ok(0));
    assert_eq!(count(&index, ""), 0);
}

#[test]
fn an_index_is_kept_over_a_restart_and_made_anew_when_damaged_or_of_another_build() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("letters.db");
    let index = Index::open(&path).expect("an index");
    index.apply(&[letter(0, &sample("A", 10))]).expect("applied");
    let digest = index.digest();
    drop(index);
    let index = Index::open(&path).expect("an index");
    assert_eq!(index.digest(), digest);
    drop(index);
    let other = rusqlite::Connection::open(&path).expect("a store");
    other.pragma_update(None, "user_version", 99).expect("written");
    drop(other);
    assert_eq!(Index::open(&path).and_then(|index| index.positions()).map(|positions| positions.len()), Ok(0));
    std::fs::write(&path, vec![7; 8_192]).expect("written");
    assert_eq!(Index::open(&path).and_then(|index| index.positions()).map(|positions| positions.len()), Ok(0));
    let nowhere = folder.path().join("none").join("letters.db");
    assert_eq!(Index::open(&nowhere).map_err(|fault| fault.code).err(), Some(Code::Index));
}

/// What happens in a history; offsets are given as it is written.
#[derive(Debug, Clone)]
enum Happening {
    Letter { document: u8, attempts: u32 },
    WrongLetter { document: u8 },
    Event { document: u8, state: State },
    WrongEvent { document: u8 },
    NoEvent { document: u8 },
    End { key: u8, document: u8, version: u64 },
    WrongEnd { key: u8 },
    NoEnd { key: u8 },
}

fn happenings() -> impl Strategy<Value = Happening> {
    let few = 0_u8..5;
    prop_oneof![
        4 => (few.clone(), 1_u32..9).prop_map(|(document, attempts)| Happening::Letter { document, attempts }),
        1 => few.clone().prop_map(|document| Happening::WrongLetter { document }),
        4 => (few.clone(), prop::sample::select(State::ALL.to_vec()))
            .prop_map(|(document, state)| Happening::Event { document, state }),
        1 => few.clone().prop_map(|document| Happening::WrongEvent { document }),
        1 => few.clone().prop_map(|document| Happening::NoEvent { document }),
        2 => (few.clone(), few.clone(), 1_u64..9)
            .prop_map(|(key, document, version)| Happening::End { key, document, version }),
        1 => few.clone().prop_map(|key| Happening::WrongEnd { key }),
        1 => few.prop_map(|key| Happening::NoEnd { key }),
    ]
}

fn written(happening: &Happening, offset: i64) -> Received {
    let of = |document: u8| Sample { stage: Stage::Transform, ..sample(&format!("D{document}"), 10) };
    let ledger = "starbridge.misc-inbound.ledger";
    match happening {
        Happening::Letter { document, attempts } => letter(offset, &Sample { attempts: *attempts, ..of(*document) }),
        Happening::WrongLetter { document } => {
            let mut wrong = letter(offset, &of(*document));
            wrong.record.headers.set("dl-stage", "nowhere");
            wrong
        }
        Happening::Event { document, state: to } => state(offset, &of(*document).id(), *to),
        Happening::WrongEvent { document } => {
            keyed(topic::DEAD_LETTER_EVENTS, offset, &of(*document).id().0, Some(b"{\"v\":9}"))
        }
        Happening::NoEvent { document } => keyed(topic::DEAD_LETTER_EVENTS, offset, &of(*document).id().0, None),
        Happening::End { key, document, version } => end(offset, &format!("T{key}"), &format!("D{document}"), *version),
        Happening::WrongEnd { key } => keyed(ledger, offset, &format!("doc/T{key}"), Some(b"[]")),
        Happening::NoEnd { key } => keyed(ledger, offset, &format!("doc/T{key}"), None),
    }
}

/// What Kafka still has: of compacted topics the last record of each key, and in time not even that of a deletion; of
/// the letters those not expired.
fn remaining(records: &[Received], expired_below: i64, deletions_gone: bool) -> Vec<Received> {
    let mut last: HashMap<(&str, &[u8]), i64> = HashMap::new();
    for received in records {
        last.insert((&received.topic, &received.record.key), received.offset);
    }
    let stays = |received: &&Received| match received.topic.as_str() {
        topic::DEAD_LETTERS => received.offset >= expired_below,
        topic => {
            last[&(topic, received.record.key.as_slice())] == received.offset
                && !(deletions_gone && received.record.value.is_none())
        }
    };
    records.iter().filter(stays).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn an_index_filled_anew_is_the_live_one(
        history in prop::collection::vec(happenings(), 1..40),
        cuts in prop::collection::vec(1_usize..7, 1..8),
        expired_below in 0_i64..40,
        deletions_gone: bool,
    ) {
        let records: Vec<Received> =
            history.iter().zip(0..).map(|(happening, offset)| written(happening, offset)).collect();
        let (_live_folder, live) = index();
        let mut rest = records.as_slice();
        for cut in cuts.iter().cycle() {
            let (batch, after) = rest.split_at((*cut).min(rest.len()));
            live.apply(batch).expect("applied");
            // A batch may come twice, after a crash between the commit and its report.
            prop_assert_eq!(live.apply(batch).expect("applied").taken, 0);
            rest = after;
            if rest.is_empty() {
                break;
            }
        }
        live.prune(topic::DEAD_LETTERS, 0, expired_below).expect("pruned");

        let (_anew_folder, anew) = index();
        anew.apply(&remaining(&records, expired_below, deletions_gone)).expect("applied");
        prop_assert_eq!(anew.digest().expect("a digest"), live.digest().expect("a digest"));
    }
}
