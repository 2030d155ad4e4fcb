//! Histories that went wrong in one place each: the checker names what that breaks, and nothing else.

use history_checker::Invariant::*;
use history_checker::*;
use rust_decimal::Decimal;

use crate::good::{SETTLE, history};

type Corruption = fn(&mut History);

fn call_of<'a>(history: &'a mut History, key: &str) -> &'a mut Call {
    history.calls.iter_mut().find(|call| call.saves.iter().any(|sent| sent.key == key)).unwrap()
}

fn end_of<'a>(history: &'a mut History, key: &str) -> &'a mut Ended {
    history.ends.iter_mut().rfind(|end| end.key == key).unwrap()
}

fn again(history: &mut History, key: &str, after: i64) {
    let mut call = call_of(history, key).clone();
    call.at += after;
    call.until += after;
    let version = end_of(history, key).version;
    let documents = vec![Intended { key: key.into(), version }];
    history.intents.push(Intent { at: call.at - 1, closed: Some(call.until), documents });
    history.calls.push(call);
}

fn never_arrived(history: &mut History) {
    let mut bill = history.expected[0].clone();
    bill.key.push('x');
    history.expected.push(bill);
}

/// K0 is neither in the target nor expected there, and Redis was hurt so long after it was applied.
fn gone(history: &mut History, after: i64) {
    history.target.retain(|bill| bill.key != "K0");
    history.expected.retain(|bill| bill.key != "K0");
    history.redis = vec![end_of(history, "K0").at + after];
}

const CORRUPTIONS: &[(&str, &[Invariant], Corruption)] = &[
    ("a bill was never emitted", &[I1], |it| {
        it.source.push(Sighting { document: "源单 lost".into(), stamp: 3 });
    }),
    ("a newer version was never emitted", &[I1], |it| {
        it.source.push(Sighting { document: "源单 K0".into(), stamp: 9 });
    }),
    ("a record vanished behind the watermark", &[I1, I2], |it| drop(it.extracted.remove(0))),
    ("seen without its record", &[I2], |it| {
        let seen = Seen { document: "源单 lost".into(), ..it.seen[1].clone() };
        it.seen.push(seen);
    }),
    ("seen with another digest", &[I2], |it| it.seen[0].digest.push('x')),
    ("seen with another version", &[I2], |it| it.seen[0].version += 1),
    ("a checkpoint without its last record", &[I2], |it| it.checkpoints.last_mut().unwrap().last_version += 1),
    ("a watermark goes back", &[I2], |it| it.checkpoints.last_mut().unwrap().watermark = 0),
    ("a version given twice", &[I2], |it| it.extracted[1].version = it.extracted[0].version),
    ("an earlier owner writes", &[I3], |it| it.state.last_mut().unwrap().producer = (7, 0)),
    ("another's id under the barrier", &[I3], |it| it.state.last_mut().unwrap().producer.0 = 8),
    ("a write before any barrier", &[I3], |it| drop(it.state.remove(0))),
    ("a mapped record is missing", &[I4], |it| drop(it.outcomes.remove(0))),
    ("a record and a letter", &[I4], |it| {
        let mut outcome = it.outcomes[0].clone();
        outcome.kind = Kind::Letter;
        it.outcomes.push(outcome);
    }),
    ("two records of one input", &[I4], |it| {
        let mut outcome = it.outcomes[0].clone();
        outcome.identity.push('x');
        it.outcomes.push(outcome);
    }),
    ("an input committed and not read", &[I4], |it| {
        let committed = &mut it.committed[1];
        committed.records.push(committed.to);
        committed.to += 1;
    }),
    ("a save without an intent", &[I5], |it| {
        it.intents.retain(|intent| intent.documents[0].key != "K0");
    }),
    ("an intent after its save", &[I5], |it| it.intents[0].at += 51),
    ("one intent for two attempts", &[I5], |it| drop(it.intents.remove(4))),
    ("an intent closed before its save", &[I5], |it| it.intents[0].closed = Some(it.intents[0].at + 1)),
    ("saved again after it was saved", &[I6], |it| again(it, "K0", 200_000)),
    ("sent again with no probe", &[I6], |it| {
        it.calls.retain(|call| call.probe.as_ref().is_none_or(|probe| probe.asked[0] != "K3"));
    }),
    ("sent again before it had settled", &[I6], |it| {
        let settled = call_of(it, "K3").at + SETTLE;
        for call in it.calls.iter_mut().filter(|call| call.probe.is_some() && call.at >= settled) {
            call.at = settled - 1;
        }
    }),
    ("sent again though it was found", &[I6], |it| {
        for probe in it.calls.iter_mut().filter_map(|call| call.probe.as_mut()) {
            probe.found.clone_from(&probe.asked);
        }
    }),
    ("a probe for another number", &[I6], |it| {
        for probe in it.calls.iter_mut().filter_map(|call| call.probe.as_mut()) {
            probe.asked[0].push('x');
        }
    }),
    ("an unclear reply and no probe", &[I6], |it| {
        call_of(it, "K0").saves[0].told = Told::Unclear;
        again(it, "K0", 1_000);
    }),
    ("a number twice", &[I7], |it| it.target.push(it.target[0].clone())),
    ("no end", &[I8], |it| it.ends.retain(|end| end.key != "K0")),
    ("an end after sixteen minutes", &[I8], |it| end_of(it, "K1").at += 960_000),
    ("an intent that stays open", &[I8], |it| it.intents[0].closed = None),
    ("an older version applied", &[I9], |it| {
        let mut end = end_of(it, "K4").clone();
        end.version -= 1;
        it.ends.push(end);
    }),
    ("a torn bill", &[I10], |it| drop(it.target[0].rows.pop())),
    ("rows out of order", &[I10], |it| it.target[0].rows.swap(0, 1)),
    ("a quantity off by a cent", &[I10], |it| {
        it.target[0].rows[2].insert("FQty".into(), Field::Number(Decimal::new(451, 2)));
    }),
    ("a field missing", &[I10], |it| drop(it.target[0].fields.remove("FNote"))),
    ("a field too many", &[I10], |it| {
        it.target[0].fields.insert("FMore".into(), Field::Text(String::new()));
    }),
    ("a bill that nothing maps to", &[I10], |it| {
        let mut bill = it.target[0].clone();
        bill.key.push('x');
        it.target.push(bill);
    }),
    ("an applied bill missing, and Redis was never hurt", &[I10], |it| {
        it.redis.clear();
        it.target.remove(0);
    }),
    ("a bill that never arrived, and Redis was never hurt", &[I10], |it| {
        it.redis.clear();
        never_arrived(it);
    }),
    ("two saves in flight", &[I11], |it| again(it, "K1", 399)),
    ("the first still works", &[I6, I11], |it| call_of(it, "K3").until += SETTLE + 2_000),
    ("a bill gone with Redis", &[I10, I12], |it| drop(it.target.remove(0))),
    ("a bill that never arrived, and Redis was hurt", &[I10, I12], never_arrived),
    // Of a bill that nothing maps to any more, only its end tells whether Redis may have to do with it.
    ("a bill gone, Redis hurt after its end", &[I10, I12], |it| gone(it, 0)),
    ("a bill gone, Redis hurt before its end", &[I10], |it| gone(it, -1)),
    ("calls stand still without Redis", &[I12], |it| it.redis[0] = call_of(it, "K3").at + 60_000),
    ("one call of the source over the limit", &[I13], |it| {
        it.source_limit = 100;
        it.source_calls = (0..=100).map(|number| number * 599).collect();
    }),
    ("one call over the limit", &[I13], |it| {
        let mut call = it.calls[0].clone();
        call.saves.clear();
        for _ in 0..100 {
            call.at += 1;
            it.calls.push(call.clone());
        }
    }),
];

/// What a corruption breaks, in order.
pub(crate) fn broken(history: &History) -> Vec<Invariant> {
    let mut broken: Vec<Invariant> = check(history).into_iter().map(|found| found.invariant).collect();
    broken.dedup();
    broken
}

#[test]
fn each_corruption_breaks_these_invariants_and_no_other() {
    let mut wrong = Vec::new();
    for (name, invariants, corrupt) in CORRUPTIONS {
        let mut history = history(3, 1);
        corrupt(&mut history);
        let broken = broken(&history);
        if broken != *invariants {
            wrong.push(format!("{name}: {broken:?}, not {invariants:?}: {:#?}", check(&history)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_invariant_has_a_corruption_of_its_own() {
    // Alone, so that no other rule stands in for it.
    let alone = CORRUPTIONS.iter().filter_map(|(_, broken, _)| <[Invariant; 1]>::try_from(*broken).ok());
    let alone: std::collections::BTreeSet<Invariant> = alone.flatten().collect();
    assert_eq!(alone, Invariant::ALL.into());
    assert!(CORRUPTIONS.len() >= 30);
}

#[test]
fn a_hundred_calls_in_a_minute_are_no_breach() {
    let mut history = history(3, 1);
    history.calls.truncate(1);
    let mut call = history.calls[0].clone();
    call.saves.clear();
    for _ in 0..99 {
        call.at += 1;
        history.calls.push(call.clone());
    }
    assert!(check(&history).iter().all(|it| it.invariant != Invariant::I13));
}
