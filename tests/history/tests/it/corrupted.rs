//! The recorded run, gone wrong in one place: the checker names the invariant.

use std::collections::{BTreeMap, BTreeSet};

use history_checker::*;
use rust_decimal::Decimal;

use crate::recorded;

type Corruption = fn(&mut History);

/// A number that was saved twice, since nobody knew what became of the first.
pub(crate) fn twice(history: &History) -> String {
    let mut saves: BTreeMap<&str, usize> = BTreeMap::new();
    for sent in history.calls.iter().flat_map(|call| &call.saves).filter(|sent| sent.told != Told::Rejected) {
        *saves.entry(&sent.key).or_default() += 1;
    }
    saves.into_iter().find(|(_, count)| *count == 2).expect("one was sent twice").0.to_owned()
}

fn saves_of<'a>(history: &'a mut History, key: &str) -> Vec<&'a mut Call> {
    history.calls.iter_mut().filter(|call| call.saves.iter().any(|sent| sent.key == key)).collect()
}

/// The first call whose caller was told that all of it was saved.
fn saved(history: &History) -> Call {
    let all_saved = |call: &&Call| !call.saves.is_empty() && call.saves.iter().all(|sent| sent.told == Told::Saved);
    history.calls.iter().find(all_saved).expect("most are").clone()
}

/// The same call once more, with an intent of its own.
fn again(history: &mut History, after: i64) {
    let mut call = saved(history);
    call.at += after;
    call.until += after;
    let version = |key: &str| history.mapped.iter().find(|record| record.key == key).expect("mapped").version;
    let documents = call.saves.iter().map(|sent| Intended { version: version(&sent.key), key: sent.key.clone() });
    history.intents.push(Intent { at: call.at - 1, closed: Some(call.until), documents: documents.collect() });
    history.calls.push(call);
}

fn state(history: &mut History, barrier: bool) -> usize {
    let ledger = |write: &StateWrite| write.partition.0.ends_with(".ledger") && write.barrier == barrier;
    history.state.iter().position(ledger).expect("a ledger has both")
}

const CORRUPTIONS: &[(&str, Invariant, Corruption)] = &[
    ("a bill was never emitted", Invariant::I1, |it| {
        let mut bill = it.source[0].clone();
        bill.document.push('x');
        it.source.push(bill);
    }),
    ("a bill was emitted before it was changed", Invariant::I1, |it| it.source[3].stamp += 1),
    ("a record of the extracted topic is gone", Invariant::I2, |it| drop(it.extracted.remove(5))),
    ("what was seen had another digest", Invariant::I2, |it| it.seen[2].digest.push('0')),
    ("a checkpoint says more than its records", Invariant::I2, |it| it.checkpoints[1].last_version += 1),
    ("a watermark goes back", Invariant::I2, |it| it.checkpoints.reverse()),
    ("two documents have one version", Invariant::I2, |it| {
        let version = it.extracted[0].version;
        it.extracted[1].version = version;
    }),
    ("an earlier owner's write behind the barrier", Invariant::I3, |it| {
        let at = state(it, false);
        it.state[at].producer.1 -= 1;
    }),
    ("another producer's write behind the barrier", Invariant::I3, |it| {
        let at = state(it, false);
        it.state[at].producer.0 += 1;
    }),
    ("a write without a barrier", Invariant::I3, |it| {
        let at = state(it, true);
        it.state.remove(at);
    }),
    ("an input that was not mapped", Invariant::I4, |it| {
        let at = it.outcomes.iter().position(|outcome| outcome.way == Way::Transform).expect("mapped");
        it.outcomes.remove(at);
    }),
    ("a mapped record that did not end", Invariant::I4, |it| {
        let at = it.outcomes.iter().position(|outcome| outcome.way == Way::Load).expect("loaded");
        it.outcomes.remove(at);
    }),
    ("an input that was mapped and became a letter", Invariant::I4, |it| {
        let letter = Outcome { identity: "letter".to_owned(), kind: Kind::Letter, ..it.outcomes[0].clone() };
        it.outcomes.push(letter);
    }),
    ("a position beyond what was read", Invariant::I4, |it| {
        let load = it.committed.iter_mut().find(|committed| committed.way == Way::Load).expect("committed");
        load.records.push(load.to);
        load.to += 1;
    }),
    ("a save without an intent", Invariant::I5, |it| drop(it.intents.remove(0))),
    ("an intent readable after its save", Invariant::I5, |it| it.intents[0].at += 60_000),
    ("an intent closed before its save", Invariant::I5, |it| it.intents[0].closed = Some(it.intents[0].at)),
    ("one intent for two saves", Invariant::I5, |it| {
        let key = twice(it);
        let named = |intent: &Intent| intent.documents.iter().any(|document| document.key == key);
        let first = it.intents.iter().position(named).expect("intended");
        it.intents.remove(first);
    }),
    ("saved, and saved again", Invariant::I6, |it| again(it, 60_000)),
    ("sent again without asking", Invariant::I6, |it| it.calls.retain(|call| call.probe.is_none())),
    ("sent again though it was there", Invariant::I6, |it| {
        for probe in it.calls.iter_mut().filter_map(|call| call.probe.as_mut()) {
            probe.found.clone_from(&probe.asked);
        }
    }),
    ("sent again while the first could still be at work", Invariant::I6, |it| it.settle = 60_000),
    ("a number twice in the target", Invariant::I7, |it| it.target.push(it.target[0].clone())),
    ("a mapped version without an end", Invariant::I8, |it| {
        let key = it.mapped[0].key.clone();
        it.ends.retain(|end| end.key != key);
    }),
    ("an end after sixteen minutes", Invariant::I8, |it| {
        let key = it.mapped[0].key.clone();
        it.ends.iter_mut().filter(|end| end.key == key).for_each(|end| end.at += 960_000);
    }),
    ("an intent that stays open", Invariant::I8, |it| it.intents[1].closed = None),
    ("an older version applied", Invariant::I9, |it| {
        let mut end = it.ends.iter().find(|end| end.end == End::Applied).expect("applied").clone();
        end.version -= 1;
        it.ends.push(end);
    }),
    ("a quantity off by a hundredth", Invariant::I10, |it| {
        let Some(Field::Number(quantity)) = it.target[0].rows[0].get_mut("FQty") else { unreachable!("a quantity") };
        *quantity += Decimal::new(1, 2);
    }),
    ("a torn bill", Invariant::I10, |it| drop(it.target[0].rows.pop())),
    ("rows out of order", Invariant::I10, |it| {
        let bill = it.target.iter_mut().find(|bill| bill.rows.len() > 1).expect("some have more than one");
        bill.rows.reverse();
    }),
    ("a bill that was not audited", Invariant::I10, |it| {
        it.target[0].fields.insert("FDocumentStatus".to_owned(), Field::Text("B".to_owned()));
    }),
    ("a bill that nobody ordered", Invariant::I10, |it| {
        let mut bill = it.target[0].clone();
        bill.key.push('x');
        it.target.push(bill);
    }),
    ("a bill that never arrived", Invariant::I10, |it| drop(it.target.remove(4))),
    ("the first save was still at work", Invariant::I11, |it| {
        let key = twice(it);
        let mut saves = saves_of(it, &key);
        saves[0].until = saves[1].at + 1;
    }),
    ("two saves at once", Invariant::I11, |it| again(it, 1)),
    ("a bill lost, and Redis was hurt", Invariant::I12, |it| drop(it.target.remove(0))),
    ("nothing moves after Redis was hurt", Invariant::I12, |it| {
        // An order whose record was there by then waits for ever, and no call comes.
        let last = it.calls.iter().map(|call| call.at).max().expect("calls");
        it.redis.push(last + 1);
        it.ends.retain(|end| end.key != it.mapped[0].key);
    }),
    ("calls of the target beyond its limit", Invariant::I13, |it| it.limit = 10),
    ("calls of the source beyond its limit", Invariant::I13, |it| it.source_limit = 2),
];

#[test]
fn the_recorded_run_is_accepted() {
    let history = recorded();
    assert_eq!(check(&history), []);
    assert!(looked_at(&history).values().all(|count| *count > 0), "{:?}", looked_at(&history));
}

#[test]
fn each_corruption_is_named() {
    for (name, invariant, corrupt) in CORRUPTIONS {
        let mut history = recorded();
        corrupt(&mut history);
        let found = check(&history);
        assert!(found.iter().any(|it| it.invariant == *invariant), "{name}: {found:?}");
    }
}

#[test]
fn every_invariant_has_a_corruption() {
    let named: BTreeSet<Invariant> = CORRUPTIONS.iter().map(|(_, invariant, _)| *invariant).collect();
    assert_eq!(named, BTreeSet::from(Invariant::ALL));
    assert!(CORRUPTIONS.len() >= 20);
}
