//! Histories that went wrong in one place each: the checker names the invariant.

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

const CORRUPTIONS: &[(&str, Invariant, Corruption)] = &[
    ("a bill was never emitted", Invariant::I1, |it| {
        it.source.push(Sighting { document: "源单 lost".into(), stamp: 3 });
    }),
    ("a newer version was never emitted", Invariant::I1, |it| {
        it.source.push(Sighting { document: "源单 K0".into(), stamp: 9 });
    }),
    ("a record vanished behind the watermark", Invariant::I1, |it| drop(it.extracted.remove(0))),
    ("seen without its record", Invariant::I2, |it| drop(it.extracted.remove(1))),
    ("seen with another digest", Invariant::I2, |it| it.seen[0].digest.push('x')),
    ("seen with another version", Invariant::I2, |it| it.seen[0].version += 1),
    ("a checkpoint without its last record", Invariant::I2, |it| it.checkpoints.last_mut().unwrap().last_version += 1),
    ("a watermark goes back", Invariant::I2, |it| it.checkpoints.last_mut().unwrap().watermark = 0),
    ("a version given twice", Invariant::I2, |it| it.extracted[1].version = it.extracted[0].version),
    ("an earlier owner writes", Invariant::I3, |it| it.state.last_mut().unwrap().producer = (7, 0)),
    ("another's id under the barrier", Invariant::I3, |it| it.state.last_mut().unwrap().producer.0 = 8),
    ("a write before any barrier", Invariant::I3, |it| drop(it.state.remove(0))),
    ("a mapped record is missing", Invariant::I4, |it| drop(it.outcomes.remove(0))),
    ("a record and a letter", Invariant::I4, |it| {
        let mut outcome = it.outcomes[0].clone();
        outcome.kind = Kind::Letter;
        it.outcomes.push(outcome);
    }),
    ("two records of one input", Invariant::I4, |it| {
        let mut outcome = it.outcomes[0].clone();
        outcome.identity.push('x');
        it.outcomes.push(outcome);
    }),
    ("an input committed and not read", Invariant::I4, |it| {
        let committed = &mut it.committed[1];
        committed.records.push(committed.to);
        committed.to += 1;
    }),
    ("a save without an intent", Invariant::I5, |it| {
        it.intents.retain(|intent| intent.documents[0].key != "K0");
    }),
    ("an intent after its save", Invariant::I5, |it| it.intents[0].at += 51),
    ("one intent for two attempts", Invariant::I5, |it| drop(it.intents.remove(4))),
    ("an intent closed before its save", Invariant::I5, |it| it.intents[0].closed = Some(it.intents[0].at + 1)),
    ("saved again after it was saved", Invariant::I6, |it| again(it, "K0", 200_000)),
    ("sent again with no probe", Invariant::I6, |it| {
        it.calls.retain(|call| call.probe.as_ref().is_none_or(|probe| probe.asked[0] != "K3"));
    }),
    ("sent again before it had settled", Invariant::I6, |it| {
        let settled = call_of(it, "K3").at + SETTLE;
        for call in it.calls.iter_mut().filter(|call| call.probe.is_some() && call.at >= settled) {
            call.at = settled - 1;
        }
    }),
    ("sent again though it was found", Invariant::I6, |it| {
        for probe in it.calls.iter_mut().filter_map(|call| call.probe.as_mut()) {
            probe.found.clone_from(&probe.asked);
        }
    }),
    ("a probe for another number", Invariant::I6, |it| {
        for probe in it.calls.iter_mut().filter_map(|call| call.probe.as_mut()) {
            probe.asked[0].push('x');
        }
    }),
    ("an unclear reply and no probe", Invariant::I6, |it| {
        call_of(it, "K0").saves[0].told = Told::Unclear;
        again(it, "K0", 1_000);
    }),
    ("a number twice", Invariant::I7, |it| it.target.push(it.target[0].clone())),
    ("no end", Invariant::I8, |it| it.ends.retain(|end| end.key != "K0")),
    ("an end after sixteen minutes", Invariant::I8, |it| end_of(it, "K1").at += 960_000),
    ("an intent that stays open", Invariant::I8, |it| it.intents[0].closed = None),
    ("an older version applied", Invariant::I9, |it| {
        let mut end = end_of(it, "K4").clone();
        end.version -= 1;
        it.ends.push(end);
    }),
    ("a torn bill", Invariant::I10, |it| drop(it.target[0].rows.pop())),
    ("rows out of order", Invariant::I10, |it| it.target[0].rows.swap(0, 1)),
    ("a quantity off by a cent", Invariant::I10, |it| {
        it.target[0].rows[2].insert("FQty".into(), Field::Number(Decimal::new(451, 2)));
    }),
    ("a field missing", Invariant::I10, |it| drop(it.target[0].fields.remove("FNote"))),
    ("a field too many", Invariant::I10, |it| {
        it.target[0].fields.insert("FMore".into(), Field::Text(String::new()));
    }),
    ("a bill that nothing maps to", Invariant::I10, |it| it.target[0].key.push('x')),
    ("an applied bill missing", Invariant::I10, |it| drop(it.target.remove(0))),
    ("a bill that never arrived", Invariant::I10, |it| {
        let mut bill = it.expected[0].clone();
        bill.key.push('x');
        it.expected.push(bill);
    }),
    ("two saves in flight", Invariant::I11, |it| again(it, "K0", 399)),
    ("the first still works", Invariant::I11, |it| call_of(it, "K3").until += SETTLE + 2_000),
    ("a bill gone with Redis", Invariant::I12, |it| drop(it.target.remove(0))),
    ("a bill that never arrived, and Redis was hurt", Invariant::I12, |it| {
        let mut bill = it.expected[0].clone();
        bill.key.push('x');
        it.expected.push(bill);
    }),
    ("calls stand still without Redis", Invariant::I12, |it| it.redis[0] = call_of(it, "K3").at + 60_000),
    ("one call of the source over the limit", Invariant::I13, |it| {
        it.source_limit = 100;
        it.source_calls = (0..=100).map(|number| number * 599).collect();
    }),
    ("one call over the limit", Invariant::I13, |it| {
        let mut call = it.calls[0].clone();
        call.saves.clear();
        for _ in 0..100 {
            call.at += 1;
            it.calls.push(call.clone());
        }
    }),
];

#[test]
fn each_corruption_is_named() {
    for (name, invariant, corrupt) in CORRUPTIONS {
        let mut history = history(3, 1);
        corrupt(&mut history);
        let found = check(&history);
        assert!(found.iter().any(|it| it.invariant == *invariant), "{name}: {found:?}");
    }
}

#[test]
fn every_invariant_has_a_corruption() {
    let named: std::collections::BTreeSet<_> = CORRUPTIONS.iter().map(|(_, invariant, _)| *invariant).collect();
    assert_eq!(named.len(), 13);
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
