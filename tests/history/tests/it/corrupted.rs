//! The recorded run, gone wrong in one place: the checker names what that breaks, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use history_checker::Invariant::*;
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

/// The first save of which its caller was told so, once more, with an intent of its own.
fn again(history: &mut History, told: Told, after: i64) {
    let mut call =
        history.calls.iter().find(|call| call.saves.iter().any(|sent| sent.told == told)).expect("some").clone();
    call.saves.retain(|sent| sent.told == told);
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

/// A bill that was applied is neither in the target nor expected there, and Redis was hurt so long after its end.
fn gone(history: &mut History, after: i64) {
    let end = history.ends.iter().find(|end| end.end == End::Applied).expect("applied").clone();
    history.target.retain(|bill| bill.key != end.key);
    history.expected.retain(|bill| bill.key != end.key);
    history.redis = vec![end.at + after];
}

const CORRUPTIONS: &[(&str, &[Invariant], Corruption)] = &[
    ("a bill was never emitted", &[I1], |it| {
        let mut bill = it.source[0].clone();
        bill.document.push('x');
        it.source.push(bill);
    }),
    ("a bill was emitted before it was changed", &[I1], |it| it.source[3].stamp += 1),
    ("a record of the extracted topic is gone", &[I1, I2], |it| drop(it.extracted.remove(5))),
    ("what was seen had another digest", &[I2], |it| it.seen[2].digest.push('0')),
    ("a checkpoint says more than its records", &[I2], |it| it.checkpoints[1].last_version += 1),
    ("a watermark goes back", &[I2], |it| it.checkpoints.reverse()),
    ("two documents have one version", &[I2], |it| {
        let version = it.extracted[0].version;
        it.extracted[1].version = version;
    }),
    ("an earlier owner's write behind the barrier", &[I3], |it| {
        let at = state(it, false);
        it.state[at].producer.1 -= 1;
    }),
    ("another producer's write behind the barrier", &[I3], |it| {
        let at = state(it, false);
        it.state[at].producer.0 += 1;
    }),
    ("a write without a barrier", &[I3], |it| {
        let at = state(it, true);
        it.state.remove(at);
    }),
    ("an input that was not mapped", &[I4], |it| {
        let at = it.outcomes.iter().position(|outcome| outcome.way == Way::Transform).expect("mapped");
        it.outcomes.remove(at);
    }),
    ("a mapped record that did not end", &[I4], |it| {
        let at = it.outcomes.iter().position(|outcome| outcome.way == Way::Load).expect("loaded");
        it.outcomes.remove(at);
    }),
    ("an input that was mapped and became a letter", &[I4], |it| {
        let letter = Outcome { identity: "letter".to_owned(), kind: Kind::Letter, ..it.outcomes[0].clone() };
        it.outcomes.push(letter);
    }),
    ("a position beyond what was read", &[I4], |it| {
        let load = it.committed.iter_mut().find(|committed| committed.way == Way::Load).expect("committed");
        load.records.push(load.to);
        load.to += 1;
    }),
    ("a save without an intent", &[I5], |it| drop(it.intents.remove(0))),
    ("an intent readable after its save", &[I5], |it| it.intents[0].at += 60_000),
    ("an intent closed before its save", &[I5], |it| it.intents[0].closed = Some(it.intents[0].at)),
    ("one intent for two saves", &[I5], |it| {
        let key = twice(it);
        let named = |intent: &Intent| intent.documents.iter().any(|document| document.key == key);
        let first = it.intents.iter().position(named).expect("intended");
        it.intents.remove(first);
    }),
    ("saved, and saved again", &[I6], |it| again(it, Told::Saved, 60_000)),
    ("sent again without asking", &[I6], |it| it.calls.retain(|call| call.probe.is_none())),
    ("sent again though it was there", &[I6], |it| {
        for probe in it.calls.iter_mut().filter_map(|call| call.probe.as_mut()) {
            probe.found.clone_from(&probe.asked);
        }
    }),
    ("sent again while the first could still be at work", &[I6], |it| it.settle = 60_000),
    ("a number twice in the target", &[I7], |it| it.target.push(it.target[0].clone())),
    ("a mapped version without an end", &[I8], |it| {
        let key = it.mapped[0].key.clone();
        it.ends.retain(|end| end.key != key);
    }),
    ("an end after sixteen minutes", &[I8], |it| {
        let key = it.mapped[0].key.clone();
        it.ends.iter_mut().filter(|end| end.key == key).for_each(|end| end.at += 960_000);
    }),
    ("an intent that stays open", &[I8], |it| it.intents[1].closed = None),
    ("an older version applied", &[I9], |it| {
        let mut end = it.ends.iter().find(|end| end.end == End::Applied).expect("applied").clone();
        end.version -= 1;
        it.ends.push(end);
    }),
    ("a quantity off by a hundredth", &[I10], |it| {
        let Some(Field::Number(quantity)) = it.target[0].rows[0].get_mut("FQty") else { unreachable!("a quantity") };
        *quantity += Decimal::new(1, 2);
    }),
    ("a torn bill", &[I10], |it| drop(it.target[0].rows.pop())),
    ("rows out of order", &[I10], |it| {
        let bill = it.target.iter_mut().find(|bill| bill.rows.len() > 1).expect("some have more than one");
        bill.rows.reverse();
    }),
    ("a bill that was not audited", &[I10], |it| {
        it.target[0].fields.insert("FDocumentStatus".to_owned(), Field::Text("B".to_owned()));
    }),
    ("a bill that nobody ordered", &[I10], |it| {
        let mut bill = it.target[0].clone();
        bill.key.push('x');
        it.target.push(bill);
    }),
    ("a bill that never arrived, and Redis was never hurt", &[I10], |it| {
        it.redis.clear();
        it.target.remove(4);
    }),
    ("the first save was still at work", &[I6, I11], |it| {
        let key = twice(it);
        let mut saves = saves_of(it, &key);
        saves[0].until = saves[1].at + 1;
    }),
    ("two saves at once", &[I11], |it| again(it, Told::Rejected, 1)),
    ("a bill lost, and Redis was hurt", &[I10, I12], |it| drop(it.target.remove(0))),
    ("a bill gone, Redis hurt after its end", &[I10, I12], |it| gone(it, 0)),
    ("a bill gone, Redis hurt before its end", &[I10], |it| gone(it, -1)),
    ("nothing moves after Redis was hurt", &[I12], |it| {
        // An order whose record was there by then waits for longer than it may, and no call comes.
        let last = it.calls.iter().map(|call| call.at).max().expect("calls");
        it.stall = 60_000;
        it.redis.push(last + 1);
        let key = it.mapped[0].key.clone();
        it.ends.iter_mut().filter(|end| end.key == key).for_each(|end| end.at = last + 60_002);
    }),
    ("calls of the target beyond its limit", &[I13], |it| it.limit = 10),
    ("calls of the source beyond its limit", &[I13], |it| it.source_limit = 2),
];

#[test]
fn the_recorded_run_is_accepted() {
    let history = recorded();
    assert_eq!(check(&history), []);
    assert!(looked_at(&history).values().all(|count| *count > 0), "{:?}", looked_at(&history));
}

/// What a history breaks, in order.
pub(crate) fn broken(history: &History) -> Vec<Invariant> {
    let mut broken: Vec<Invariant> = check(history).into_iter().map(|found| found.invariant).collect();
    broken.dedup();
    broken
}

#[test]
fn each_corruption_breaks_these_invariants_and_no_other() {
    let mut wrong = Vec::new();
    for (name, invariants, corrupt) in CORRUPTIONS {
        let mut history = recorded();
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
    assert_eq!(alone.flatten().collect::<BTreeSet<Invariant>>(), BTreeSet::from(Invariant::ALL));
    assert!(CORRUPTIONS.len() >= 20);
}
